"""What brings pictures to a model: as tensors, as floats, normalised; and masks that know their classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from burnish.compat.picture_types import PILBase, PILMask, image2tensor
from burnish.compat.tensors import TensorImage, TensorMask
from burnish.compat.torch_tools import default_device, tensor
from burnish.compat.transform import DisplayedTransform, Transform
from burnish.data.collections import L
from burnish.data.transforms import BatchTransform
from burnish.errors import SettingError
from burnish.vision.augment import Augment
from burnish.vision.augment_erase import Normalize as BatchNormalize

__all__ = ["AddMaskCodes", "IntToFloatTensor", "Normalize", "OpenMask", "ToTensor", "broadcast_vec"]


OpenMask = Transform(PILMask.create)  # what opens masks, by name


class ToTensor(Transform):
    """Pictures as tensors of bytes ``(channel, height, width)``, masks ``(height, width)``."""

    order = 5

    def encodes(self, o: PILBase):
        made = image2tensor(o)
        return o._tensor_cls(made[0] if issubclass(o._tensor_cls, TensorMask) else made)


class IntToFloatTensor(DisplayedTransform):
    """Bytes of pictures as floats in 0..1, those of masks as class numbers.

    Args:
        div: what pictures are divided by. div_mask: what masks are divided by (255, where theirs is black and white).
    """

    order = 10

    def __init__(self, div: float = 255.0, div_mask: int = 1) -> None:
        super().__init__()
        self.div, self.div_mask = div, div_mask

    def encodes(self, o: TensorImage):
        return o.float().div_(self.div)

    def decodes(self, o: TensorImage):
        return (o.clamp(0.0, 1.0) * self.div).long() if self.div else o

    def as_batch_transform(self) -> BatchTransform:
        """Nothing: burnish's pictures are floats in 0..1 already. A `div_mask` is for `Datasets`."""
        if self.div_mask != 1:
            raise SettingError(
                f"IntToFloatTensor(div_mask={self.div_mask}) among the batch transforms of a DataBlock: MaskBlock(values=[0, {self.div_mask}], codes=[...]) says which numbers the masks hold."
            )
        return Augment([])


@IntToFloatTensor
def encodes(self: IntToFloatTensor, o: TensorMask):
    return o.long() // self.div_mask


def broadcast_vec(dim: int, ndim: int, *t: Any, cuda: bool = True) -> list[Tensor]:
    """Vectors as tensors of `ndim` dimensions, their numbers along `dim`; on the device that is trained on, where `cuda`."""
    shape = [1] * ndim
    shape[dim] = -1
    device = default_device() if cuda else None
    return [tensor(v).reshape(shape).to(device) for v in t]


class Normalize(DisplayedTransform):
    """Subtracts the mean and divides by the spread: of batches of pictures among transforms; of a table's numbers among the procs of `TabularPandas`.

    Args:
        mean, std: as they broadcast over a batch (`from_stats` makes them of one number a channel); None takes those of one batch at `setup`.
        axes: over which these are taken.
    """

    order = 99
    parameters: ClassVar[L[str]] = L("mean", "std")

    def __init__(self, mean: Any = None, std: Any = None, axes: Sequence[int] = (0, 2, 3)) -> None:
        super().__init__()
        self.mean, self.std, self.axes = mean, std, tuple(axes)

    @classmethod
    def from_stats(cls, mean: Any, std: Any, dim: int = 1, ndim: int = 4, cuda: bool = True) -> Normalize:
        """``Normalize.from_stats(*imagenet_stats)``: one number for each of dimension `dim` of batches of `ndim` dimensions."""
        return cls(*broadcast_vec(dim, ndim, mean, std, cuda=cuda))

    def setups(self, dl):
        if self.mean is not None and self.std is not None:
            return
        x = next((part for part in dl.one_batch() if isinstance(part, TensorImage)), None)
        if x is not None:  # a table learns them by itself
            x = x.as_subclass(Tensor).float()
            self.mean, self.std = x.mean(self.axes, keepdim=True), x.std(self.axes, keepdim=True) + 1e-7

    def encodes(self, x: TensorImage):
        mean, std = self._stats(x)
        return (x - mean) / std

    def decodes(self, x: TensorImage):
        mean, std = self._stats(x)
        return x * std + mean

    def _stats(self, x: Tensor) -> list[Tensor]:
        if self.mean is None or self.std is None:
            raise SettingError(
                "This Normalize has no statistics: use Normalize.from_stats(*imagenet_stats), or set it up on a loader (setup)."
            )
        made = [tensor(v).to(x.device, non_blocking=True) for v in (self.mean, self.std)]
        return [v[0] if v.ndim == x.ndim + 1 else v for v in made]  # of a single picture

    def as_batch_transform(self) -> BatchTransform:
        """As burnish's own batch transform of that name, which a model file can hold."""
        if self.mean is None or self.std is None:
            raise SettingError(
                "Normalize() without statistics among the batch transforms of a DataBlock: give them, Normalize.from_stats(*imagenet_stats), or leave it out: vision_learner normalises as its body was trained."
            )
        return BatchNormalize(*(torch.as_tensor(v).flatten().tolist() for v in (self.mean, self.std)))


class AddMaskCodes(Transform):
    """Masks carry the names of their classes, `codes`.

    Attributes:
        vocab: the names. c: how many there are.
    """

    def __init__(self, codes: Sequence[str] | None = None) -> None:
        super().__init__()
        self.codes = codes
        if codes is not None:
            self.vocab, self.c = codes, len(codes)

    def encodes(self, o: TensorMask):
        return self._named(o)

    def decodes(self, o: TensorMask):
        return self._named(o)

    def _named(self, o: TensorMask) -> TensorMask:
        if self.codes is not None:
            o.codes = self.codes  # type: ignore[attr-defined]
        return o
