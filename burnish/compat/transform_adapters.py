"""burnish's transforms, and torchvision's, as fastai's `Transform`; and the other way: a `Transform` among those of burnish's own `DataBlock`.

In a `Pipeline` burnish's transforms act on samples and batches of typed values: pictures, masks, points and boxes move together, labels stay. Chance comes from the
process's generators, which ``set_seed`` seeds. In a `DataBlock` of burnish a `Transform` is given typed views of the values, and leaves plain ones.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from burnish.compat.transform import ItemTransform as WholeTransform
from burnish.compat.transform import Transform
from burnish.compat.typed_values import batch_kind, from_own, plain_batch, sample_size, to_own, typed_batch, typed_value, untyped_value
from burnish.data.foreign import TorchvisionBatch, TorchvisionTransform, is_torchvision
from burnish.data.functions import draws_nothing
from burnish.data.randomness import own_globals
from burnish.data.transforms import BatchTransform, ItemTransform, Values
from burnish.errors import DataError
from burnish.vision.augment_color import ColourPart
from burnish.vision.augment_parts import Part

__all__ = ["OwnBatch", "OwnItem", "adapted", "call_batch", "call_item"]

_ORDERS = {
    "Resize": 1,
    "RandomResizedCrop": 1,
    "RandomCrop": 1,
    "RatioResize": 1,
    "Normalize": 99,
    "RandomErasing": 100,
}  # fastai's places in a pipeline


def adapted(tfm: Any) -> Transform | None:
    """A transform of burnish or torchvision as a `Transform`; None for anything else."""
    if isinstance(tfm, ItemTransform) or is_torchvision(tfm):
        return OwnItem(tfm)
    return OwnBatch(tfm) if isinstance(tfm, BatchTransform) else None


def order_of(tfm: Any) -> float:
    if is_torchvision(tfm):
        return 99 if type(tfm).__name__ == "Normalize" else 1
    if (own := getattr(tfm, "order", None)) is not None:
        return own
    known = next((_ORDERS[c.__name__] for c in type(tfm).__mro__ if c.__name__ in _ORDERS), None)
    return known if known is not None else 40 if isinstance(tfm, ColourPart) else 30 if isinstance(tfm, Part) else 0


def _leaves(x: Any) -> list[Any]:
    """What is in tuples, one in the other, in order."""
    return [leaf for part in x for leaf in _leaves(part)] if isinstance(x, tuple) else [x]


def _rebuilt(x: Any, leaves: Any) -> Any:
    """Tuples like `x` with other things in them, taken in order from an iterator."""
    if not isinstance(x, tuple):
        return next(leaves)
    parts = [_rebuilt(part, leaves) for part in x]
    return type(x)(*parts) if hasattr(x, "_fields") else type(x)(parts)  # type: ignore[call-arg]


class _Own(Transform):
    """A transform of burnish's in a pipeline; an attribute that it hasn't is that of the transform."""

    def __init__(self, tfm: Any) -> None:
        super().__init__()
        self.tfm, self.order, self.__name__ = tfm, order_of(tfm), type(tfm).__name__
        self.split_idx = 0 if getattr(tfm, "when", "always") == "train" and order_of(tfm) != 30 else None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "tfm":
            raise AttributeError(name)
        return getattr(self.tfm, name)

    def __repr__(self) -> str:
        return repr(self.tfm)

    def decode(self, x: Any, split_idx: int | None = None) -> Any:
        """The way back, of what has one: Normalize."""
        back = getattr(self.tfm, "decode", None)
        if back is None or (split_idx != self.split_idx and self.split_idx is not None):
            return x
        return _rebuilt(x, iter([back(leaf).as_subclass(type(leaf)) if batch_kind(leaf) == "image" else leaf for leaf in _leaves(x)]))

    def _call(self, which: str, x: Any, split_idx: int | None = None) -> Any:
        if which != "encodes" or (split_idx != self.split_idx and self.split_idx is not None):
            return x
        return _rebuilt(x, iter(self._applied(_leaves(x), bool(split_idx))))

    def _applied(self, leaves: list[Any], calm: bool) -> list[Any]:
        raise NotImplementedError


class OwnItem(_Own):
    """An item transform of burnish or a transform of torchvision: on a sample, or, torchvision's, on a batch of tensors."""

    def _applied(self, leaves: list[Any], calm: bool) -> list[Any]:
        foreign = is_torchvision(self.tfm)
        if foreign and any(isinstance(leaf, Tensor) and leaf.ndim == 4 for leaf in leaves):
            return _on_batch(TorchvisionBatch(self.tfm), leaves, calm)
        tfm = TorchvisionTransform(self.tfm) if foreign else self.tfm
        size = sample_size(leaves)
        given = [to_own(leaf, size, tensors=foreign) for leaf in leaves]
        where = [i for i, value in enumerate(given) if value is not None]
        if not where and foreign and len(leaves) == 1:
            given, where = leaves, [0]
        if not where:
            return leaves
        rng = None if calm else random.Random(random.getrandbits(64))
        made = tfm.apply(tuple(given[i] for i in where), rng)
        out = list(leaves)
        for i, value in zip(where, made, strict=True):
            out[i] = from_own(value, leaves[i])
        return out


class OwnBatch(_Own):
    """A batch transform of burnish: on a batch, or on one sample of tensors."""

    def _applied(self, leaves: list[Any], calm: bool) -> list[Any]:
        return _on_batch(self.tfm, leaves, calm)


def _on_batch(tfm: BatchTransform, leaves: list[Any], calm: bool) -> list[Any]:
    if calm and tfm.when == "train":
        return leaves
    kinds = [batch_kind(leaf) for leaf in leaves]
    if not {"image", "mask"} & set(kinds):  # nothing says what it is: a lone tensor is a batch of pictures
        kinds = [
            "image" if i == 0 and isinstance(leaf, Tensor) and leaf.ndim == 4 and leaf.is_floating_point() else k
            for i, (leaf, k) in enumerate(zip(leaves, kinds, strict=True))
        ]
    where = [i for i, kind in enumerate(kinds) if kind != "other"]
    if not where:
        return leaves
    first = next((i for i in where if kinds[i] in ("image", "mask")), None)
    alone = leaves[where[0]].ndim < 3 if first is None else leaves[first].ndim < (4 if kinds[first] == "image" else 3)
    given = [leaves[i].as_subclass(Tensor) for i in where]
    given, kinds = [x[None] for x in given] if alone else given, [kinds[i] for i in where]
    if first is None:  # points alone: of square pictures
        given, kinds = [*given, torch.zeros(len(given[0]), 2, 2)], [*kinds, "mask"]
    rng = None if calm else torch.Generator().manual_seed(int(torch.randint(2**62, ())))
    made = tfm.apply(given, kinds, rng)[: len(where)]
    out = list(leaves)
    for i, value in zip(where, made, strict=True):
        out[i] = from_own(value[0] if alone else value, leaves[i])
    return out


# -- called as people do -------------------------------------------------------------------------------------------------
def call_item(self: ItemTransform, sample: Any, rng: random.Random | None = None, split_idx: int | None = None) -> Any:
    """Applies an item transform of burnish to a value or a tuple of values: as in training, with ``split_idx=1`` as in validation."""
    if rng is None:
        made = OwnItem(self)
        return made(sample, split_idx=made.split_idx if split_idx is None else split_idx)
    values = sample if isinstance(sample, tuple) else (sample,)
    with own_globals(rng.getrandbits(32) if self.draws_globally else None):
        out = self.apply(values, rng)
    return out if isinstance(sample, tuple) else out[0]


def call_batch(self: BatchTransform, x: Any, rng: torch.Generator | None = None, split_idx: int | None = None) -> Any:
    """Applies a batch transform of burnish to a batch: as in training, with ``split_idx=1`` as in validation."""
    if rng is None:
        made = OwnBatch(self)
        return made(x, split_idx=made.split_idx if split_idx is None else split_idx)
    return self.apply([x], ["image"], rng)[0]


# -- the other way --------------------------------------------------------------------------------------------------------
def _is_calm(tfm: Transform) -> bool:
    """Whether the code of a transform shows that it draws nothing."""
    named = {"before_call", "__call__"} & {name for c in type(tfm).__mro__ if not c.__module__.startswith("burnish.") for name in vars(c)}
    functions: list[Callable[..., Any]] = [f for f, *_ in tfm._functions("encodes")]
    return not named and not hasattr(tfm, "before_call") and all(map(draws_nothing, functions))


class TransformOfItems(ItemTransform):
    """A `Transform` among burnish's item transforms. Pictures, masks, points and boxes are typed for it, in pixels where its order is below that of `PointScaler`; labels, which are encoded
    later, are shown only to one of the whole sample. One that may draw is run in the thread that asks for the batch, with seeded generators.
    """

    def __init__(self, tfm: Transform) -> None:
        self.tfm = tfm
        self.draws_globally = not _is_calm(tfm)

    def cache_key(self) -> str | None:
        return None

    def apply(self, values: Values, rng: random.Random | None) -> Values:
        typed = [typed_value(value, scaled=self.tfm.order >= 1) for value in values]
        whole = isinstance(self.tfm, WholeTransform)
        where = [i for i, value in enumerate(typed) if value is not None or whole]
        given = tuple(values[i] if typed[i] is None else typed[i] for i in where)
        made = self.tfm(given, split_idx=1 if rng is None else 0)
        if not isinstance(made, tuple) or len(made) != len(given):
            got = f"{len(made)} values" if isinstance(made, (tuple, list)) else f"a {type(made).__name__}"
            raise DataError(f"The transform {self.tfm.name} gave {got} for the {len(given)} of a sample; a DataBlock expects as many.")
        size = sample_size(made)
        out = list(values)
        for i, value in zip(where, made, strict=True):
            out[i] = untyped_value(value, size)
        return tuple(out)

    def config(self) -> dict[str, Any]:
        raise TypeError(_unwritable("item", self.tfm, "ItemTransform"))


class TransformOfBatches(BatchTransform):
    """A `Transform` among burnish's batch transforms: the parts of a batch are typed for it, its results are plain tensors."""

    by_sample: ClassVar[bool] = False

    def __init__(self, tfm: Transform) -> None:
        super().__init__()
        self.tfm = tfm

    def apply(self, batch: list[Tensor], kinds: Sequence[str], rng: torch.Generator | None) -> list[Tensor]:
        given = tuple(typed_batch(x, kind) for x, kind in zip(batch, kinds, strict=True))
        with own_globals(0 if rng is None else int(torch.randint(2**31, (), generator=rng))):
            made = self.tfm(given, split_idx=1 if rng is None else 0)
        if not isinstance(made, tuple) or len(made) != len(batch):
            got = f"{len(made)} parts" if isinstance(made, (tuple, list)) else f"a {type(made).__name__}"
            raise DataError(f"The transform {self.tfm.name} gave {got} for a batch of {len(batch)} parts; a DataBlock expects as many.")
        return [plain_batch(new, old) for new, old in zip(made, batch, strict=True)]

    def config(self) -> dict[str, Any]:
        raise TypeError(_unwritable("batch", self.tfm, "BatchTransform"))

    def __repr__(self) -> str:
        return f"TransformOfBatches({self.tfm!r})"


def _unwritable(what: str, tfm: Transform, base: str) -> str:
    return (
        f"The {what} transform {tfm.name} is a class of Transform, which a model file can't hold (no code is stored). "
        f"Write it as a class deriving from burnish.data.transforms.{base}, which the person who loads the file imports first; or do this step on the files, before burnish reads them."
    )


name = property(
    lambda self: f"{type(self).__name__} -- { {k: v for k, v in vars(self).items() if not k.startswith('_')} }",
    doc="What it is called, with its settings.",
)
