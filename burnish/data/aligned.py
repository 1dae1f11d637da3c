"""Masks and points in torchvision's transforms where the picture's pixels go.

torchvision mirrors points as if a pixel were a place (x becomes width - 1 - x) and resizes masks by the left upper corners of pixels, pictures by
their centres; ours are places from edge to edge, a pixel's centre at .5. So for the time of a transform masks and points are of the classes here, for
which it finds other kernels. This module imports torchvision: import it where one of torchvision's objects is.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import grid_sample
from torchvision import tv_tensors
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

_STEPS = 8  # towards the place that a displacement brings to a point; each halves the error or better where nothing is folded


class AlignedMask(tv_tensors.Mask):
    """A mask that is resized by the centres of its pixels, as pictures are."""


class AlignedPoints(tv_tensors.KeyPoints):
    """Points that are mirrored from edge to edge."""

    @classmethod
    def _wrap_output(cls, output: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Of this class too, where torchvision keeps its own: copies, and other types of numbers."""
        made: Any = super()._wrap_output(output, args, kwargs)
        if isinstance(made, (tuple, list)):
            return tuple(_as(part, cls) for part in made)
        return _as(made, cls)


CLASSES: dict[type, type] = {tv_tensors.Mask: AlignedMask, tv_tensors.KeyPoints: AlignedPoints}  # those of torchvision, and ours
_BACK = {ours: theirs for theirs, ours in CLASSES.items()}


def aligned(value: Any) -> Any:
    """`value` as one of the classes here, if there is one for it."""
    return _as(value, CLASSES[type(value)]) if type(value) in CLASSES else value


def unaligned(value: Any) -> Any:
    """`value` as torchvision's own class again."""
    return _as(value, _BACK[type(value)]) if type(value) in _BACK else value


def teach(transform: Any) -> None:
    """What a transform of torchvision was told for masks or points alone (``fill={Mask: 255}``) holds for the classes here too."""
    for name in ("_fill", "dtype"):
        told = vars(transform).get(name) if hasattr(transform, "__dict__") else None
        if isinstance(told, dict):
            more = {ours: told[theirs] for theirs, ours in CLASSES.items() if theirs in told}
            setattr(transform, name, {**told, **more})


def _as(value: Any, cls: type) -> Any:
    if not isinstance(value, tv_tensors.TVTensor) or type(value) is cls:
        return value
    made = value.as_subclass(Tensor).as_subclass(cls)
    if isinstance(value, tv_tensors.KeyPoints):
        made.canvas_size = value.canvas_size  # type: ignore[attr-defined]
    return made


# -- the kernels ------------------------------------------------------------------------------------------------------
def _points(places: Tensor, like: Any, canvas: tuple[int, int] | None = None) -> Any:
    """`places` ``(..., 2)`` as points of a picture of `canvas`, (height, width); by default of that which `like` is of."""
    made: Any = places.to(like.dtype).as_subclass(AlignedPoints)
    made.canvas_size = canvas or like.canvas_size
    return made


@F.register_kernel("horizontal_flip", AlignedPoints)
def _mirrored(points: AlignedPoints) -> Any:
    x, y = points.as_subclass(Tensor).unbind(-1)
    return _points(torch.stack([points.canvas_size[1] - x, y], dim=-1), points)


@F.register_kernel("vertical_flip", AlignedPoints)
def _upside_down(points: AlignedPoints) -> Any:
    x, y = points.as_subclass(Tensor).unbind(-1)
    return _points(torch.stack([x, points.canvas_size[0] - y], dim=-1), points)


@F.register_kernel("rotate", AlignedPoints)
def _rotated(
    points: AlignedPoints, angle: float, interpolation: Any = None, expand: bool = False, fill: Any = None, center: Any = None
) -> Any:
    """Of a picture that grows by turning the centre stays the centre, and its size is that of the pictures of torchvision and PIL."""
    turned = F.rotate(_as(points, tv_tensors.KeyPoints), angle, center=None if expand else center)
    if not expand:
        return _as(turned, AlignedPoints)
    height, width = points.canvas_size
    across, down = abs(math.cos(math.radians(angle))), abs(math.sin(math.radians(angle)))
    new_width, new_height = _grown(width, width * across + height * down), _grown(height, width * down + height * across)
    shift = torch.tensor([new_width - width, new_height - height], device=points.device) / 2
    return _points(turned.as_subclass(Tensor) + shift, points, (new_height, new_width))


def _grown(side: int, extent: float) -> int:
    """Pixels that something of `extent` takes around the middle of `side` pixels."""
    return math.ceil(round((side + extent) / 2, 4)) - math.floor(round((side - extent) / 2, 4))


@F.register_kernel("elastic", AlignedPoints)
def _displaced(points: AlignedPoints, displacement: Tensor, interpolation: Any = None, fill: Any = None) -> Any:
    """The places whose displacement, which says where a pixel comes from, leads to the points: sought step by step. Missing points stay so."""
    places = points.as_subclass(Tensor).float().reshape(-1, 2)
    if not len(places):
        return points
    half = torch.tensor([points.canvas_size[1], points.canvas_size[0]], device=places.device) / 2
    given = moved = places / half - 1
    shifts = displacement.to(given).permute(0, 3, 1, 2)
    for _step in range(_STEPS):
        shift = grid_sample(shifts, moved.nan_to_num()[None, None], padding_mode="border", align_corners=False)[0, :, 0].T
        moved = given - shift
    return _points(((moved + 1) * half).reshape(points.shape), points)


@F.register_kernel("resize", AlignedMask)
def _resized(mask: AlignedMask, size: Any, interpolation: Any = None, max_size: int | None = None, antialias: Any = None) -> Any:
    planes = mask.as_subclass(Tensor)
    flat = planes[None] if planes.ndim == 2 else planes
    made = F.resize_image(flat, size=size, interpolation=InterpolationMode.NEAREST_EXACT, max_size=max_size)
    return (made[0] if planes.ndim == 2 else made).as_subclass(AlignedMask)


@F.register_kernel("resized_crop", AlignedMask)
def _cropped(
    mask: AlignedMask, top: int, left: int, height: int, width: int, size: Any, interpolation: Any = None, antialias: Any = None
) -> Any:
    return F.resize(F.crop(mask, top, left, height, width), size)
