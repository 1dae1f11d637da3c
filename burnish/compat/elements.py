"""What the elements of a batch of fastai's loaders are, as burnish's blocks: so that its learner, its predictions and its drawings know them."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor, nn

from burnish.compat.helpers import is_listy
from burnish.data.block import Answer, Block
from burnish.data.category import CategoryBlock
from burnish.data.multicategory import MultiCategoryBlock
from burnish.data.number import RegressionBlock
from burnish.errors import SettingError
from burnish.vision.blocks import ImageBlock
from burnish.vision.masks import MaskBlock
from burnish.vision.points import PointBlock


class Element(Block):
    """An element of a batch: decoded through the loader's pipelines, shown by its own ``show``."""

    located = False
    reads_outputs = False
    _dl: Any = None
    _i: int = 0

    def _bind(self, dl: Any, i: int) -> Any:
        self._dl, self._i = dl, i
        return self

    def decode(self, encoded: Tensor) -> Any:
        return decoded(self._dl, self._i, encoded)

    def draw(self, value: Any, ax: Any, title: str | None = None) -> None:
        draw(value, ax, title)

    def in_source(self, answer: Answer, dls: Any, item: Any) -> Answer:
        return answer

    def told(self, answer: Answer) -> Any:
        return self.decode(answer[0])

    @property
    def n_out(self) -> int:
        c = getattr(self._pipeline(), "c", None)
        if c is None:
            raise SettingError(
                "The number of outputs isn't known: nothing in the transforms of the target says it. Pass n_out= to the learner."
            )
        return int(c)

    def loss(self) -> nn.Module:
        raise SettingError("No loss is known for this data: none of its transforms has a loss_func. Pass loss_func= to the learner.")

    def _pipeline(self) -> Any:
        return pipeline_of(self._dl, self._i)


class Picture(Element, ImageBlock):
    """Pictures."""

    def draw(self, value: Any, ax: Any, title: str | None = None) -> None:
        draw(value, ax, title)

    def beside(self, values: Any) -> Any:
        return ImageBlock.beside(self, [as_picture(v) for v in values])


class Label(CategoryBlock):
    """One label."""


class Labels(MultiCategoryBlock):
    """Several labels."""


class Number(Element, RegressionBlock):
    """Numbers, in the scale they come in."""

    reads_outputs = True
    draw = Block.draw
    n_out = RegressionBlock.n_out
    loss = RegressionBlock.loss  # type: ignore[assignment]

    def decode(self, encoded: Tensor) -> Any:
        return RegressionBlock.decode(self, encoded)


class Mask(Element, MaskBlock):
    """The class of every pixel."""

    reads_outputs = True
    n_out = MaskBlock.n_out
    loss = MaskBlock.loss  # type: ignore[assignment]
    predict_items = Block.predict_items

    def decode(self, encoded: Tensor) -> Any:
        return MaskBlock.decode(self, encoded)

    def draw(self, value: Any, ax: Any, title: str | None = None) -> None:
        MaskBlock.draw(self, value, ax, title)


class Places(Element, PointBlock):
    """Points."""

    reads_outputs = True
    n_out = PointBlock.n_out
    loss = PointBlock.loss  # type: ignore[assignment]

    def settle(self, batch: Tensor) -> Tensor:
        return batch


def pipeline_of(dl: Any, i: int) -> Any:
    """The pipeline that element `i` of a loader's items comes from, if it is known."""
    tls = getattr(dl.dataset, "tls", None)
    return tls[i] if tls is not None and i < len(tls) else dl.dataset


def decoded(dl: Any, i: int, encoded: Tensor) -> Any:
    """One encoded element on its way back: through the transforms of batches, of items and of its pipeline."""
    types = dl._types_of_batch()
    kind = types[i] if isinstance(types, tuple) and i < len(types) else None
    typed = encoded.detach().cpu()
    if isinstance(kind, type) and issubclass(kind, Tensor):
        typed = typed.as_subclass(kind)
    value = dl.after_batch.decode(typed[None])[0] if typed.ndim else typed
    value = dl.after_item.decode(value)
    tls = getattr(dl.dataset, "tls", None)
    return tls[i].decode(value, full=False) if tls is not None and i < len(tls) else value


def draw(value: Any, ax: Any, title: str | None = None) -> None:
    """A decoded value on axes: by its own ``show``."""
    from burnish.compat.drawing import show_image

    if hasattr(value, "show") and not isinstance(value, Image.Image):
        value.show(ctx=ax)
    elif isinstance(value, (Tensor, np.ndarray, Image.Image)):
        show_image(value, ax=ax)
    if title is not None:
        ax.set_title(title)


def as_picture(value: Any) -> Image.Image:
    """A decoded picture as PIL's."""
    if isinstance(value, Image.Image):
        return value
    return ImageBlock().decode(value if value.ndim == 3 else value[None])


def _vocab_of(dl: Any, i: int) -> list[Any] | None:
    vocab = getattr(pipeline_of(dl, i), "vocab", None)
    if vocab is None or isinstance(vocab, str):
        return None
    return list(vocab)


def elements_of(dl: Any) -> list[Block]:
    """One block an element of `dl`'s batches, from its first one; none where batches aren't tuples."""
    if not dl.n:
        return []
    batch = dl.one_batch()
    if not is_listy(batch):
        return []
    n_inp = dl.n_inp
    return [_element(dl, i, x, i >= n_inp) for i, x in enumerate(batch)]


def _element(dl: Any, i: int, x: Any, is_target: bool) -> Block:
    kinds = {cls.__name__ for cls in type(x).__mro__}
    vocab = _vocab_of(dl, i) if is_target else None
    if "TensorMultiCategory" in kinds and vocab is not None:
        return Labels(vocab=vocab)
    if ("TensorCategory" in kinds or (isinstance(x, Tensor) and x.ndim == 1 and not x.is_floating_point())) and vocab is not None:
        return Label(vocab=vocab)
    if "TensorMask" in kinds:
        codes = getattr(pipeline_of(dl, i), "codes", None) or getattr(dl.after_item, "codes", None)
        if codes is not None:
            return Mask(codes=[str(c) for c in codes])._bind(dl, i)
    if "TensorPoint" in kinds:
        return Places(n=x.shape[1])._bind(dl, i)
    if "TensorImageBase" in kinds or (isinstance(x, Tensor) and x.ndim == 4 and not is_target and x.shape[1] in (1, 3, 4)):
        mode = {1: "L", 4: "RGBA"}.get(x.shape[1] if x.ndim == 4 else 1, "RGB")
        block = Picture(mode)
        block.kind = "image"  # type: ignore[misc]
        return block._bind(dl, i)
    if is_target and isinstance(x, Tensor) and x.is_floating_point() and x.ndim <= 2:
        n = 1 if x.ndim == 1 else x.shape[1]
        return Number(n_out=n, mean=[0.0] * n, std=[1.0] * n)._bind(dl, i)
    return Element()._bind(dl, i)
