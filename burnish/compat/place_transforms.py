"""Points and boxes on their way to a model: as fractions of their pictures, as many in each sample of a batch, with their labels on the way back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from burnish.compat.tensors import TensorBBox, TensorImageBase, TensorMultiCategory, TensorPoint
from burnish.compat.titled import LabeledBBox
from burnish.compat.transform import Transform
from burnish.errors import DataError

__all__ = ["BBoxLabeler", "PointScaler", "TensorPointCreate", "bb_pad", "clip_remove_empty"]

TensorPointCreate = Transform(TensorPoint.create)  # what makes points of lists, by name


class PointScaler(Transform):
    """Points and boxes in pixels as places from -1 to 1 in the picture that is in the same sample, and back.

    Args:
        do_scale: they are in pixels; else only their order changes. y_first: they are (y, x).

    Attributes:
        c: how many numbers the points of a sample are, known after `setup`.
    """

    order = 1

    def __init__(self, do_scale: bool = True, y_first: bool = False) -> None:
        super().__init__()
        self.do_scale, self.y_first = do_scale, y_first
        self.sz: Any = None

    def setups(self, dl):
        places = next((part for part in _sample(dl) if isinstance(part, TensorPoint)), None)
        if places is not None:
            self.c = places.numel()

    def encodes(self, x: TensorPoint):
        return self._moved(x, self._size((x,)), True)

    def decodes(self, x: TensorPoint):
        return self._moved(x, self._size((x,)), False)

    def _do(self, which: str, x: Any, **kwargs: Any) -> Any:
        if not isinstance(x, tuple):
            return super()._do(which, x, **kwargs)
        places = [isinstance(part, TensorPoint) for part in x]
        size = self._size(x)
        return type(x)([self._moved(part, size, which == "encodes") if place else part for part, place in zip(x, places, strict=True)])

    def _size(self, parts: Sequence[Any]) -> Any:
        """(width, height) of the picture among the parts of a sample, or of that which its points were made for."""
        for part in parts:
            if isinstance(part, Image.Image):
                self.sz = tuple(part.size)
                return self.sz
            if isinstance(part, TensorImageBase):
                self.sz = (part.shape[-1], part.shape[-2])
                return self.sz
        own = next((s for part in parts if (s := getattr(part, "img_size", None)) is not None), None)
        return self.sz if own is None else own

    def _moved(self, x: TensorPoint, size: Any, there: bool) -> TensorPoint:
        if size is None:
            raise DataError(
                "PointScaler: points came without a picture, so their scale isn't known. Put the picture before them, or say TensorPoint.create(points, img_size=(width, height))."
            )
        sides, plain = torch.as_tensor(size, dtype=torch.float32), x.detach().as_subclass(Tensor).float().reshape(-1, 2)
        if there:
            plain = plain.flip(1) if self.y_first else plain
            plain = plain * 2 / sides - 1 if self.do_scale else plain
        else:
            plain = (plain + 1) * sides / 2 if self.do_scale else plain
            plain = plain.flip(1) if self.y_first else plain
        made = type(x)(plain.reshape(-1, 4 if isinstance(x, TensorBBox) else 2)).set_meta(x)
        made.img_size, made.scaled = tuple(size), there  # type: ignore[attr-defined]
        return made


def _sample(dl: Any) -> Sequence[Any]:
    """The first sample of a loader, or of a data set."""
    dataset = getattr(dl, "dataset", dl)
    try:
        found = dataset[0]
    except (IndexError, KeyError, TypeError):
        return ()
    return found if isinstance(found, tuple) else (found,)


class BBoxLabeler(Transform):
    """Puts boxes and their labels together where they are shown: of a decoded sample the labels become `LabeledBBox`.

    Attributes:
        vocab: the classes, known after `setup`.
    """

    vocab: Any = None

    def setups(self, dl):
        self.vocab = dl.vocab

    def decode(self, x: Any, split_idx: int | None = None) -> Any:
        if not isinstance(x, tuple):
            return x
        boxes = next((part for part in x if isinstance(part, TensorBBox)), None)
        return type(x)([self._named(part, boxes) if isinstance(part, TensorMultiCategory) else part for part in x])

    def _named(self, numbers: Tensor, boxes: TensorBBox | None) -> Any:
        labels = [self.vocab[int(i)] for i in numbers]
        return labels if boxes is None else LabeledBBox(boxes, labels)


def clip_remove_empty(bbox: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
    """Boxes ``(n, 4)`` cut off at the edge of the picture, -1 to 1, without those of which nothing is left, and without their labels."""
    bbox = bbox.clamp(-1, 1)
    there = ((bbox[..., 2] - bbox[..., 0]) * (bbox[..., 3] - bbox[..., 1])).as_subclass(Tensor) > 0
    return bbox[there], label[there]


def bb_pad(samples: Sequence[Any], pad_idx: int = 0) -> list[Any]:
    """Samples (picture, boxes, labels, ...) with as many boxes each: cut off at the edge, those of which nothing is left gone, filled up with boxes of no size and label `pad_idx`."""
    made = [(sample[0], *clip_remove_empty(sample[1], sample[2]), *sample[3:]) for sample in samples]
    most = max((len(sample[2]) for sample in made), default=0)
    return [(sample[0], _filled(sample[1], most, 0), _filled(sample[2], most, pad_idx), *sample[3:]) for sample in made]


def _filled(x: Any, n: int, value: float) -> Any:
    out = x.new_full((n, *x.shape[1:]), value)
    out[: len(x)] = x
    return out
