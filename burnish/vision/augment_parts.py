"""What the parts of an augmentation share: drawing parameters per picture, on the CPU."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from burnish.data.transforms import BatchTransform
from burnish.errors import DataError, SettingError, nearest

Draw = float | Sequence[float] | Callable[[Tensor], Any] | None
Rng = torch.Generator

_MODES = ("bilinear", "nearest", "bicubic")
_PAD_MODES = ("reflection", "zeros", "border")


@dataclass(frozen=True)
class Sampling:
    """How pixels between and outside the pixels are read."""

    mode: str = "bilinear"
    pad_mode: str = "reflection"
    align_corners: bool = True

    def __post_init__(self) -> None:
        for name, value, known in (("mode", self.mode, _MODES), ("pad_mode", self.pad_mode, _PAD_MODES)):
            if value not in known:
                raise SettingError(f"{name}={value!r}: expected one of {', '.join(known)}.{nearest(str(value), known)}")


class Part(BatchTransform):
    """One augmentation that can be fused with its neighbours (see ``burnish.vision.augment.Augment``)."""

    when = "train"

    def apply(self, batch: list[Tensor], kinds: Sequence[str], rng: Rng | None) -> list[Tensor]:
        from burnish.vision.augment import as_augment

        alone = as_augment(self)
        return batch if alone is None else alone.apply(batch, kinds, rng)

    def fuse(self, following: BatchTransform) -> BatchTransform | None:
        """This and the transform after it as one, or None when they can't be."""
        from burnish.vision.augment import as_augment

        alone = as_augment(self)
        return None if alone is None else alone.fuse(following)


def check_number(value: Any, name: str) -> float:
    """`value` if it is a finite number; raises SettingError otherwise."""
    if isinstance(value, bool) or not isinstance(value, (numbers.Real, Tensor)) or not math.isfinite(value):
        raise SettingError(f"{name}={value!r}: expected a number.")
    return value  # pyright: ignore[reportReturnType]


def check_numbers(**values: Any) -> None:
    """Raises SettingError for the first of several arguments, given by their names, that is no finite number."""
    for name, value in values.items():
        check_number(value, name)


def check_draw(draw: Draw, name: str) -> Draw:
    """`draw` if it is a number, several, a function of the batch, or None; raises SettingError otherwise."""
    if draw is not None and not callable(draw):
        try:
            torch.as_tensor(draw, dtype=torch.float32)
        except (TypeError, ValueError, RuntimeError):
            raise SettingError(f"{name}={draw!r}: expected a number, one for each picture, or a function of the batch.") from None
    return draw


def chosen(n: int, p: float, rng: Rng, batch: bool) -> Tensor:
    """Which of `n` pictures it happens to ``(n,)``; with `batch` all or none."""
    return (torch.rand(1 if batch else n, generator=rng) < p).expand(n)


def uniform(n: int, low: float, high: float, rng: Rng, batch: bool = False) -> Tensor:
    """A number between `low` and `high` for each of `n` pictures ``(n,)``; with `batch` the same for all."""
    return (torch.rand(1 if batch else n, generator=rng) * (high - low) + low).expand(n)


def drawn(draw: Draw, x: Tensor, otherwise: Callable[[], Tensor], name: str) -> Tensor:
    """The user's `draw` for a batch `x`, ``(n,)`` on the CPU: a number for all, a number each, a function of the batch;
    or, when it is None, what `otherwise` draws."""
    n = len(x)
    if draw is None:
        return otherwise()
    if callable(draw):
        draw = draw(x)
    values = torch.as_tensor(draw, dtype=torch.float32).reshape(-1)
    if len(values) == 1:
        return values.expand(n)
    if len(values) < n:
        raise SettingError(f"{name} gives {len(values)} values for a batch of {n}: expected one number, or one for each picture.")
    return values[:n]


def float_images(x: Tensor, name: str) -> Tensor:
    """`x` if it is a batch of float images; raises DataError otherwise."""
    if x.ndim != 4 or not x.is_floating_point():
        raise DataError(
            f"{name} needs images as floats in 0..1 of shape (batch, channel, height, width); it got {x.dtype} of shape {tuple(x.shape)}. "
            "Bytes become floats by x.float() / 255."
        )
    return x
