"""Cropping, resizing, padding and turning whatever shares a picture's geometry: the picture, its mask, points, boxes.

Pictures are PIL images, or the cache's arrays of them; masks, points and boxes are torchvision ``tv_tensors``. Everything else in a sample (labels,
numbers) has no place in the picture and passes unchanged. Sizes are (width, height), boxes (left, top, right, bottom).
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from burnish.data.cache import Pixels, as_pixels
from burnish.data.transforms import Size
from burnish.errors import SettingError, nearest

Box = tuple[float, float, float, float]

RESAMPLE = {r.name.lower(): r for r in Image.Resampling}
PAD_MODES = {"zeros": "constant", "border": "edge", "reflection": "reflect"}  # ours to numpy's


def resample_name(resample: str | int) -> str:
    """A resampling filter's name, from its name or PIL's constant. Raises SettingError for others."""
    name = Image.Resampling(resample).name if isinstance(resample, int) and resample in set(Image.Resampling) else str(resample)
    if name.lower() not in RESAMPLE:
        raise SettingError(f"resample={resample!r}: expected one of {', '.join(RESAMPLE)}.{nearest(name.lower(), RESAMPLE)}")
    return name.lower()


def check_pad_mode(pad_mode: str) -> str:
    """`pad_mode` if it is known; raises SettingError otherwise."""
    if pad_mode not in PAD_MODES:
        raise SettingError(f"pad_mode={pad_mode!r}: expected one of {', '.join(PAD_MODES)}.{nearest(str(pad_mode), PAD_MODES)}")
    return pad_mode


def size_of(value: Any) -> Size | None:
    """(width, height) of the picture that `value` is, or belongs to; None when it has no place in a picture."""
    if isinstance(value, Pixels):
        return value.shape[1], value.shape[0]
    if isinstance(value, Image.Image):
        return value.size
    if not isinstance(value, Tensor):
        return None
    tv = sys.modules.get("torchvision.tv_tensors")  # not imported: nobody can have made one
    if tv is None:
        return None
    if isinstance(value, (tv.Mask, tv.Image)):
        return value.shape[-1], value.shape[-2]
    if isinstance(value, (tv.BoundingBoxes, tv.KeyPoints)):
        return value.canvas_size[1], value.canvas_size[0]  # pyright: ignore[reportAttributeAccessIssue]
    return None


def cut(value: Any, box: Box, size: Size, resample: str = "bilinear") -> Any:
    """The part `box` (within the picture) of `value`, at `size`. One antialiased step for pictures, nearest for masks."""
    if isinstance(value, Image.Image):
        return _cut_picture(value, box, size, resample)
    if isinstance(value, Pixels):
        if (box[2] - box[0], box[3] - box[1]) == size and all(float(b).is_integer() for b in box):
            return value[int(box[1]) : int(box[3]), int(box[0]) : int(box[2])]
        return as_pixels(_cut_picture(Image.fromarray(value.view(np.ndarray)), box, size, resample))
    if _is(value, "Mask"):
        return _like(value, value[..., _nearest(box[1], box[3], size[1])[:, None], _nearest(box[0], box[2], size[0])])
    scale = torch.tensor([size[0] / (box[2] - box[0]), size[1] / (box[3] - box[1])])
    return _move(value, lambda xy: (xy - torch.tensor(box[:2])) * scale, size)


def pad(value: Any, left: int, top: int, right: int, bottom: int, pad_mode: str = "zeros") -> Any:
    """`value` with that many pixels more on each side; masks are filled as pictures are (zeros: class 0)."""
    if not (left or top or right or bottom):
        return value
    width, height = size_of(value) or (0, 0)
    if isinstance(value, Image.Image) and pad_mode == "zeros":
        return ImageOps.expand(value, (left, top, right, bottom), 0)
    if isinstance(value, (Image.Image, Pixels)):
        pixels = np.asarray(value)
        sides = [(top, bottom), (left, right)] + [(0, 0)] * (pixels.ndim - 2)
        padded = np.pad(pixels, sides, mode=PAD_MODES[pad_mode])  # type: ignore[call-overload]
        return padded.view(Pixels) if isinstance(value, Pixels) else Image.fromarray(padded)
    if _is(value, "Mask"):
        sides = [(0, 0)] * (value.ndim - 2) + [(top, bottom), (left, right)]
        return _like(value, torch.from_numpy(np.pad(value.as_subclass(Tensor).numpy(), sides, mode=PAD_MODES[pad_mode])))  # type: ignore[call-overload]
    return _move(value, lambda xy: xy + torch.tensor([float(left), float(top)]), (width + left + right, height + top + bottom))


def turn(value: Any, k: int) -> Any:
    """One of the 8 symmetries of the square: transposed if `k` & 4, then mirrored left-right if `k` & 1 and top-bottom
    if `k` & 2."""
    if isinstance(value, Image.Image):
        return value.transpose(_TURNS[k]) if k else value
    if isinstance(value, Pixels):
        value = value.swapaxes(0, 1) if k & 4 else value
        return value[:: -1 if k & 2 else 1, :: -1 if k & 1 else 1]
    if _is(value, "Mask"):
        plain = value.as_subclass(Tensor)
        plain = plain.transpose(-1, -2) if k & 4 else plain
        return _like(value, plain.flip([d for d, bit in ((-1, 1), (-2, 2)) if k & bit]).contiguous())
    size = size_of(value) or (0, 0)
    size = (size[1], size[0]) if k & 4 else size

    def move(xy: Tensor) -> Tensor:
        xy = xy.flip(-1) if k & 4 else xy
        mirrored = torch.tensor([float(size[0]), float(size[1])]) - xy
        return torch.where(torch.tensor([bool(k & 1), bool(k & 2)]), mirrored, xy)

    return _move(value, move, size)


_T = Image.Transpose
_TURNS = {
    1: _T.FLIP_LEFT_RIGHT,
    2: _T.FLIP_TOP_BOTTOM,
    3: _T.ROTATE_180,
    4: _T.TRANSPOSE,
    5: _T.ROTATE_270,
    6: _T.ROTATE_90,
    7: _T.TRANSVERSE,
}


def _cut_picture(image: Image.Image, box: Box, size: Size, resample: str) -> Image.Image:
    whole = (0, 0, *image.size)
    if image.size == size and tuple(box) == whole:
        return image
    if (box[2] - box[0], box[3] - box[1]) == size and all(float(b).is_integer() for b in box):
        return image.crop((int(box[0]), int(box[1]), int(box[2]), int(box[3])))
    return image.resize(size, RESAMPLE[resample], box=box, reducing_gap=2.0)


def _nearest(start: float, end: float, n: int) -> Tensor:
    """Indices of the pixels nearest to `n` equal steps from `start` to `end`: PIL's rule, so masks follow pictures."""
    places = start + (torch.arange(n, dtype=torch.float64) + 0.5) * ((end - start) / n)
    return places.floor().long().clamp_(min=int(start), max=int(np.ceil(end)) - 1)


def _is(value: Any, name: str) -> bool:
    tv = sys.modules.get("torchvision.tv_tensors")
    return tv is not None and isinstance(value, getattr(tv, name))


def _like(value: Any, data: Tensor) -> Any:
    from torchvision import tv_tensors

    return tv_tensors.wrap(data.as_subclass(Tensor), like=value)  # type: ignore[call-arg]


def _move(value: Any, move: Any, size: Size) -> Any:
    """Points or boxes with their corners moved by a function of ``(..., 2)`` x, y; `size` is the new picture's."""
    from torchvision import tv_tensors

    canvas, upright = (size[1], size[0]), tv_tensors.BoundingBoxFormat.XYXY
    if isinstance(value, tv_tensors.KeyPoints):
        return tv_tensors.KeyPoints(move(value.as_subclass(Tensor).float()), canvas_size=canvas)  # type: ignore[call-arg]
    if not isinstance(value, tv_tensors.BoundingBoxes):
        raise SettingError(
            f"A {type(value).__name__} can't be cropped or resized here: put Resize and the like before transforms that make tensors."
        )
    from torchvision.transforms.v2.functional import convert_bounding_box_format as convert

    if tv_tensors.is_rotated_bounding_format(value.format):
        raise SettingError(f"Boxes in the rotated format {value.format.name} aren't supported by this transform: convert them to XYXY.")
    corners = convert(value.as_subclass(Tensor).float(), old_format=value.format, new_format=upright).reshape(-1, 2, 2)
    moved = move(corners)
    ordered = torch.cat([moved.amin(dim=1), moved.amax(dim=1)], dim=1)
    back = convert(ordered, old_format=upright, new_format=value.format)
    return tv_tensors.BoundingBoxes(back, format=value.format, canvas_size=canvas, clamping_mode=value.clamping_mode)  # type: ignore[call-overload]
