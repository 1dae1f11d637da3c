"""Resizing with fastai's arguments: two filters, for pictures and for masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from burnish.compat.augment_classes import AsOwn
from burnish.errors import SettingError
from burnish.vision import transforms as own
from burnish.vision.geometry import resample_name
from burnish.vision.transforms import HeightWidth

__all__ = ["OldRandomCrop", "RandomResizedCrop", "RatioResize", "Resize"]

OldRandomCrop = own.RandomCrop  # fastai's cuts the centre in training too


def _filter(resamples: Any, resample: Any) -> Any:
    """The filter of pictures, of fastai's pair (pictures, masks).

    Raises:
        SettingError: masks are to be mixed between classes.
    """
    if resamples is None:
        return resample
    pair = list(resamples) if isinstance(resamples, Sequence) and not isinstance(resamples, str) else [resamples, resamples]
    if len(pair) > 1 and resample_name(pair[1]) != "nearest":
        raise SettingError(f"resamples={resamples!r}: masks are resized by nearest pixel, whose values are classes; the second is NEAREST.")
    return pair[0]


class Resize(AsOwn, own.Resize):
    """burnish's ``Resize``; `resamples` are the filters of pictures and of masks."""

    __qualname__ = "compat.Resize"  # burnish's own class of the name stays what a model file names

    def __init__(
        self, size: HeightWidth, method: str = "crop", pad_mode: str = "reflection", resamples: Any = None, *, resample: str | int = "bilinear"
    ) -> None:  # fmt: skip
        super().__init__(size, method, pad_mode, _filter(resamples, resample))


class RandomResizedCrop(AsOwn, own.RandomResizedCrop):
    """burnish's ``RandomResizedCrop``; `resamples` are the filters of pictures and of masks."""

    __qualname__ = "compat.RandomResizedCrop"  # burnish's own class of the name stays what a model file names

    def __init__(
        self, size: HeightWidth, min_scale: float = 0.08, ratio: Sequence[float] = (3 / 4, 4 / 3), resamples: Any = None, val_xtra: float = 0.14, max_scale: float = 1.0,
        *, resample: str | int = "bilinear",
    ) -> None:  # fmt: skip
        super().__init__(size, min_scale, ratio, val_xtra, max_scale, _filter(resamples, resample))


class RatioResize(AsOwn, own.RatioResize):
    """burnish's ``RatioResize``; `resamples` are the filters of pictures and of masks."""

    __qualname__ = "compat.RatioResize"  # burnish's own class of the name stays what a model file names

    def __init__(self, max_sz: int, resamples: Any = None, *, resample: str | int = "bilinear") -> None:
        super().__init__(max_sz, _filter(resamples, resample))
