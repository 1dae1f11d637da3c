"""Item transforms for pictures: resizing, cropping, flipping one sample, in a worker, before it becomes a tensor.

Each acts on the picture and on the masks, points and boxes beside it alike (masks by nearest pixel). What is
deterministic is a stage of its own, so that the cache holds small pictures and only the drawn part runs at each reading.
A size is an int (square) or (height, width).
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from typing import Any

from burnish.data.transforms import ItemTransform, Size, Values
from burnish.data.whole import whole_number
from burnish.errors import SettingError, nearest
from burnish.vision.geometry import Box, check_pad_mode, cut, pad, resample_name, size_of, turn

HeightWidth = int | Sequence[int]


class ResizeMethod:
    """Familiar names for ``Resize(method=...)``."""

    Crop = "crop"
    Squish = "squish"
    Pad = "pad"


class PadMode:
    """Familiar names for ``pad_mode=``."""

    Zeros = "zeros"
    Border = "border"
    Reflection = "reflection"


def height_width(size: HeightWidth, name: str = "size") -> tuple[int, int]:
    """(height, width) of an int or a pair; raises SettingError for anything else."""
    pair = tuple(size) if isinstance(size, (list, tuple)) else (size, size)
    whole = [number for number in (whole_number(s, least=1) for s in pair) if number is not None]
    if len(pair) != 2 or len(whole) != 2:
        raise SettingError(f"{name}={size!r}: expected a positive int (a square), or (height, width) of two.")
    return whole[0], whole[1]


def checked_size(size: HeightWidth, name: str = "size") -> int | tuple[int, int]:
    """`size` as it is kept: an int or a tuple. Raises SettingError as :func:`height_width` does."""
    pair = height_width(size, name)
    return pair if isinstance(size, (list, tuple)) else pair[0]


class _Sized(ItemTransform):
    """A transform that gives pictures of one size, ``self.size`` as the user gave it."""

    size: int | tuple[int, int]

    @property
    def target(self) -> Size:
        """(width, height) of the result."""
        return (self.size, self.size) if isinstance(self.size, int) else (self.size[1], self.size[0])


class Resize(_Sized):
    """Pictures of one size.

    Args:
        size: int, or (height, width).
        method: "crop" cuts the largest part of the target's shape (at a random place in training, the centre else);
            "pad" fits the whole picture inside and pads; "squish" ignores the shape.
        pad_mode: with what "pad" fills: "reflection", "zeros" or "border".
        resample: "bilinear", "bicubic", "lanczos", "box", "hamming" or "nearest"; antialiased.
    """

    def __init__(self, size: HeightWidth, method: str = "crop", pad_mode: str = "reflection", resample: str | int = "bilinear") -> None:
        self.size = checked_size(size)
        if method not in ("crop", "squish", "pad"):
            raise SettingError(f"method={method!r}: expected 'crop', 'squish' or 'pad'.{nearest(str(method), ('crop', 'squish', 'pad'))}")
        self.method, self.pad_mode = method, check_pad_mode(pad_mode)
        self.resample = resample_name(resample)

    def stages(self) -> tuple[ItemTransform | None, ItemTransform | None]:
        if self.method == "squish":
            return self, None
        drawn = RandomCrop(self.size) if self.method == "crop" else _PadTo(self.size, self.pad_mode)
        return _Scale(self.size, self.method, self.resample), drawn

    def apply(self, values: Values, rng: random.Random | None) -> Values:
        if self.method == "squish":
            return each(values, lambda v, size: cut(v, (0, 0, *size), self.target, self.resample))
        return _in_turn(self.stages(), values, rng)

    def decode_size(self, size: Size) -> Size | None:
        if self.method == "squish":
            return self.target if self.target[0] <= size[0] and self.target[1] <= size[1] else None
        return _smaller(size, _factor(size, self.target, self.method))


class RandomResizedCrop(_Sized):
    """In training a random part of the picture, at `size`; otherwise its centre.

    Args:
        size: int, or (height, width).
        min_scale, max_scale: the part's share of the picture's area.
        ratio: the range of the part's shape, width / height.
        val_xtra: outside training, the picture is made this share larger than `size` (rounded up to a multiple of 8
            pixels), keeping its shape, and the centre is cut.
        resample: as in :class:`Resize`.

    Source: the "Inception crop", Szegedy et al. 2014, https://arxiv.org/abs/1409.4842.
    """

    def __init__(
        self,
        size: HeightWidth,
        min_scale: float = 0.08,
        ratio: Sequence[float] = (3 / 4, 4 / 3),
        val_xtra: float = 0.14,
        max_scale: float = 1.0,
        resample: str | int = "bilinear",
    ) -> None:
        self.size = checked_size(size)
        if not 0 < min_scale <= max_scale <= 1:
            raise SettingError(
                f"min_scale={min_scale}, max_scale={max_scale}: expected 0 < min_scale <= max_scale <= 1 (shares of the area)."
            )
        if len(ratio) != 2 or not 0 < ratio[0] <= ratio[1]:
            raise SettingError(f"ratio={ratio!r}: expected (least, most) width / height, both positive, as in (3/4, 4/3).")
        if val_xtra < 0:
            raise SettingError(f"val_xtra={val_xtra}: expected 0 or more.")
        self.min_scale, self.max_scale, self.ratio = min_scale, max_scale, tuple(ratio)
        self.val_xtra, self.resample = val_xtra, resample_name(resample)

    def stages(self) -> tuple[ItemTransform | None, ItemTransform | None]:
        return _Shrink(self), _CropPart(self)

    def apply(self, values: Values, rng: random.Random | None) -> Values:
        return _in_turn(self.stages(), values, rng)

    def decode_size(self, size: Size) -> Size | None:
        return _smaller(size, self.shrinkage(size))

    def shrinkage(self, size: Size) -> float:
        """The factor by which a picture can be made smaller first: the smallest part still has as many pixels as
        the result, and the centre outside training is not enlarged."""
        width, height = self.target
        return max(math.sqrt(width * height / (self.min_scale * size[0] * size[1])), _factor(size, self._with_margin(), "crop"))

    def _with_margin(self) -> Size:
        extra = math.ceil(max(self.target) * self.val_xtra / 8) * 8
        return self.target[0] + extra, self.target[1] + extra

    def centre(self, size: Size) -> Box:
        """The part taken outside training."""
        factor = _factor(size, self._with_margin(), "crop")
        return _placed(size, (min(self.target[0] / factor, size[0]), min(self.target[1] / factor, size[1])), 0.5, 0.5)

    def draw(self, size: Size, rng: random.Random) -> Box:
        """A random part of a picture of `size`; after ten misses the largest centred one of a legal shape."""
        for _ in range(10):
            area = rng.uniform(self.min_scale, self.max_scale) * size[0] * size[1]
            shape = math.exp(rng.uniform(math.log(self.ratio[0]), math.log(self.ratio[1])))
            width, height = math.sqrt(area * shape), math.sqrt(area / shape)
            if width <= size[0] and height <= size[1]:
                return _placed(size, (width, height), rng.random(), rng.random())
        shape = min(max(size[0] / size[1], self.ratio[0]), self.ratio[1])
        return _placed(size, (min(size[0], size[1] * shape), min(size[1], size[0] / shape)), 0.5, 0.5)


class CropPad(_Sized):
    """The centre of the picture at its own scale: cut where it is larger than `size`, padded where it is smaller."""

    def __init__(self, size: HeightWidth, pad_mode: str = "zeros") -> None:
        self.size = checked_size(size)
        self.pad_mode = check_pad_mode(pad_mode)

    def stages(self) -> tuple[ItemTransform | None, ItemTransform | None]:
        return self, None

    def apply(self, values: Values, rng: random.Random | None) -> Values:
        return each(values, lambda v, size: _crop_pad(v, size, self.target, (0.5, 0.5), self.pad_mode))


class RandomCrop(_Sized):
    """A part of `size` at the picture's own scale: at a random place in training, the centre otherwise. Pictures smaller
    than `size` are padded."""

    takes_pixels = True

    def __init__(self, size: HeightWidth, pad_mode: str = "zeros") -> None:
        self.size = checked_size(size)
        self.pad_mode = check_pad_mode(pad_mode)

    def apply(self, values: Values, rng: random.Random | None) -> Values:
        place = (0.5, 0.5) if rng is None else (rng.random(), rng.random())
        return each(values, lambda v, size: _crop_pad(v, size, self.target, place, self.pad_mode))


class RatioResize(ItemTransform):
    """The longest side becomes `max_sz`, the shape stays (so pictures of one batch may differ in size)."""

    def __init__(self, max_sz: int, resample: str | int = "bilinear") -> None:
        height_width(max_sz, "max_sz")
        self.max_sz, self.resample = max_sz, resample_name(resample)

    def stages(self) -> tuple[ItemTransform | None, ItemTransform | None]:
        return self, None

    def apply(self, values: Values, rng: random.Random | None) -> Values:
        return each(values, lambda v, size: cut(v, (0, 0, *size), _scaled(size, self.max_sz / max(size)), self.resample))

    def decode_size(self, size: Size) -> Size | None:
        return _smaller(size, self.max_sz / max(size))


class FlipItem(ItemTransform):
    """Mirrors the sample left-right with probability `p`, in training."""

    when = "train"
    takes_pixels = True

    def __init__(self, p: float = 0.5) -> None:
        self.p = check_p(p)

    def apply(self, values: Values, rng: random.Random | None) -> Values:
        if rng is None or rng.random() >= self.p:
            return values
        return each(values, lambda v, size: turn(v, 1))


class DihedralItem(ItemTransform):
    """With probability `p`, in training, one of the 8 symmetries of the square. Pictures that aren't square change
    their shape when turned: put it after a square Resize."""

    when = "train"
    takes_pixels = True

    def __init__(self, p: float = 1.0) -> None:
        self.p = check_p(p)

    def apply(self, values: Values, rng: random.Random | None) -> Values:
        if rng is None or rng.random() >= self.p:
            return values
        k = rng.randrange(8)
        return each(values, lambda v, size: turn(v, k))


# -- the stages that the above are made of --------------------------------------------------------------------------
class _Scale(_Sized):
    """Deterministic: resized, keeping the shape, until it covers ("crop") or fits into ("pad") `size`."""

    def __init__(self, size: int | tuple[int, int], method: str, resample: str) -> None:
        self.size, self.method, self.resample = size, method, resample

    def stages(self) -> tuple[ItemTransform | None, ItemTransform | None]:
        return self, None

    def apply(self, values: Values, rng: random.Random | None) -> Values:
        return each(values, lambda v, size: cut(v, (0, 0, *size), self._result(size), self.resample))

    def _result(self, size: Size) -> Size:
        """(width, height) after scaling: one side is exactly the target's, the other at least (at most) its."""
        scaled, limit = _scaled(size, _factor(size, self.target, self.method)), max if self.method == "crop" else min
        return limit(scaled[0], self.target[0]), limit(scaled[1], self.target[1])


class _PadTo(_Sized):
    """Padded to `size`, the picture at a random place in training and in the middle otherwise."""

    takes_pixels = True

    def __init__(self, size: int | tuple[int, int], pad_mode: str) -> None:
        self.size, self.pad_mode = size, pad_mode

    def apply(self, values: Values, rng: random.Random | None) -> Values:
        place = (0.5, 0.5) if rng is None else (rng.random(), rng.random())
        return each(values, lambda v, size: _crop_pad(v, size, self.target, place, self.pad_mode))


class _Shrink(ItemTransform):
    """Deterministic: made as small as `crop` can do with, where that saves at least a fifth of each side."""

    def __init__(self, crop: RandomResizedCrop) -> None:
        self.crop = crop

    def stages(self) -> tuple[ItemTransform | None, ItemTransform | None]:
        return self, None

    def apply(self, values: Values, rng: random.Random | None) -> Values:
        return each(values, self._shrunk)

    def _shrunk(self, value: Any, size: Size) -> Any:
        factor = self.crop.shrinkage(size)
        return value if factor > 0.8 else cut(value, (0, 0, *size), _scaled(size, factor), self.crop.resample)


class _CropPart(ItemTransform):
    """The part that a RandomResizedCrop draws, cut and resized in one step."""

    def __init__(self, crop: RandomResizedCrop) -> None:
        self.crop = crop

    def apply(self, values: Values, rng: random.Random | None) -> Values:
        first = next((size for size in map(size_of, values) if size), None)
        if first is None:
            return values
        box = self.crop.centre(first) if rng is None else self.crop.draw(first, rng)

        def part(value: Any, size: Size) -> Any:
            across, down = size[0] / first[0], size[1] / first[1]  # a mask may have another resolution than its picture
            own = (box[0] * across, box[1] * down, min(box[2] * across, size[0]), min(box[3] * down, size[1]))
            return cut(value, own, self.crop.target, self.crop.resample)

        return each(values, part)


# -- small tools ----------------------------------------------------------------------------------------------------
def each(values: Values, change: Callable[[Any, Size], Any]) -> Values:
    """`change(value, (width, height))` for every value that has a place in a picture; the others as they are."""
    return tuple(value if (size := size_of(value)) is None else change(value, size) for value in values)


def check_p(p: float) -> float:
    """A probability; raises SettingError otherwise."""
    if not isinstance(p, (int, float)) or not 0 <= p <= 1:
        raise SettingError(f"p={p!r}: expected a probability, 0 to 1.")
    return p


def _in_turn(stages: Sequence[ItemTransform | None], values: Values, rng: random.Random | None) -> Values:
    for stage in stages:
        values = values if stage is None else stage.apply(values, rng)
    return values


def _factor(size: Size, target: Size, method: str) -> float:
    """By how much `size` must be scaled to cover ("crop") or fit into ("pad") `target`."""
    return (max if method == "crop" else min)(target[0] / size[0], target[1] / size[1])


def _scaled(size: Size, factor: float) -> Size:
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def _smaller(size: Size, factor: float) -> Size | None:
    return (math.ceil(size[0] * factor), math.ceil(size[1] * factor)) if factor < 1 else None


def _placed(size: Size, part: tuple[float, float], across: float, down: float) -> Box:
    """A part of (width, height) within `size`, placed at those fractions of the room there is."""
    left, top = (size[0] - part[0]) * across, (size[1] - part[1]) * down
    return left, top, min(left + part[0], size[0]), min(top + part[1], size[1])


def _crop_pad(value: Any, size: Size, target: Size, place: tuple[float, float], pad_mode: str) -> Any:
    """Cut and padded to `target` at its own scale; `place` are the fractions of the room left and above."""
    inner = min(size[0], target[0]), min(size[1], target[1])
    left, top = (int((s - i) * p + 0.5) for s, i, p in zip(size, inner, place, strict=True))
    value = cut(value, (left, top, left + inner[0], top + inner[1]), inner)
    if inner == target:
        return value
    before = [int((t - i) * p + 0.5) for t, i, p in zip(target, inner, place, strict=True)]
    after = [t - i - b for t, i, b in zip(target, inner, before, strict=True)]
    return pad(value, before[0], before[1], after[0], after[1], pad_mode)


# -- what users may write as item_tfms ------------------------------------------------------------------------------
