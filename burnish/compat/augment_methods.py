"""Augmentation as methods of typed batches, ``TensorImage(batch).rotate(draw=30, p=1.)``, by burnish's own; and colours as hue, saturation and value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from burnish.compat.augment_classes import Dihedral, Rotate, Warp
from burnish.data.transforms import BatchTransform
from burnish.vision import augment as own
from burnish.vision.transforms import height_width

__all__ = ["cutout_gaussian", "grayscale", "hsv2rgb", "rgb2hsv", "setup_aug_tfms"]


def _through(x: Any, part: BatchTransform) -> Any:
    from burnish.compat.transform_adapters import call_batch

    return call_batch(part, x, split_idx=0)


class Moving:
    """Geometry, of batches of pictures ``(batch, channel, height, width)``, masks ``(batch, height, width)``, points and boxes (-1 to 1). In each method `p` is the probability for each
    sample, `draw` what is drawn (a number, one for each, or a function of the batch), `batch` one draw for all; `size`, `mode`, `pad_mode`, `align_corners` as of ``aug_transforms``.
    """

    def flip_batch(
        self, size: Any = None, mode: str | None = None, pad_mode: str | None = None, align_corners: bool = True, p: float = 0.5, draw: Any = None, batch: bool = False
    ) -> Self:  # fmt: skip
        """Mirrored left-right."""
        return _through(self, own.Flip(p, draw, size, *_how(mode, pad_mode), align_corners, batch))

    def dihedral_batch(
        self, size: Any = None, mode: str | None = None, pad_mode: str | None = None, align_corners: bool = True, p: float = 0.5, draw: Any = None, batch: bool = False
    ) -> Self:  # fmt: skip
        """By one of the symmetries of the square; `draw` is 0 to 7."""
        return _through(self, Dihedral(p, draw, size, *_how(mode, pad_mode), align_corners, batch))

    def rotate(
        self, size: Any = None, mode: str | None = None, pad_mode: str | None = None, align_corners: bool = True, max_deg: float = 10, p: float = 0.5, draw: Any = None, batch: bool = False
    ) -> Self:  # fmt: skip
        """Turned by up to `max_deg` degrees; `draw` in degrees, clockwise. The shape of things is kept, also in pictures that aren't square."""
        return _through(self, Rotate(max_deg, p, draw, size, *_how(mode, pad_mode), align_corners, batch))

    def zoom(
        self, size: Any = None, mode: str | None = None, pad_mode: str | None = None, align_corners: bool = True, min_zoom: float = 1.0, max_zoom: float = 1.1, p: float = 0.5, draw: Any = None, draw_x: Any = None,
        draw_y: Any = None, batch: bool = False,
    ) -> Self:  # fmt: skip
        """Magnified around a place, 0 to 1 across and down (`draw_x`, `draw_y`)."""
        return _through(self, own.Zoom(min_zoom, max_zoom, p, draw, draw_x, draw_y, size, *_how(mode, pad_mode), align_corners, batch))

    def warp(
        self, size: Any = None, mode: str | None = None, pad_mode: str | None = None, align_corners: bool = True, magnitude: float = 0.2, p: float = 0.5, draw_x: Any = None, draw_y: Any = None, batch: bool = False
    ) -> Self:  # fmt: skip
        """Tilted to the side and up or down (`draw_x`, `draw_y`), as if seen from there."""
        return _through(self, Warp(magnitude, p, draw_x, draw_y, size, *_how(mode, pad_mode), align_corners, batch))

    def affine_coord(
        self, mat: Tensor | None = None, coord_tfm: Callable[..., Any] | None = None, sz: Any = None, mode: str | None = None, pad_mode: str | None = None, align_corners: bool = True
    ) -> Self:  # fmt: skip
        """Moved by matrices, from places in the result to places in the source, -1 to 1 ``(batch, 2 or 3, 3)``; by a function of these places ``(batch, height, width, 2)``, which for points
        gets ``invert=True``; and brought to the size `sz`.
        """
        if mat is None and coord_tfm is None:
            return _through(self, own.Augment([], sz, *_how(mode, pad_mode), align_corners)) if sz is not None else self
        return _sampled(self, mat, coord_tfm, sz, *_how(mode, pad_mode), align_corners)


def _how(mode: str | None, pad_mode: str | None) -> tuple[str, str]:
    return mode or "bilinear", pad_mode or "reflection"


def _sampled(x: Any, mat: Tensor | None, coord_tfm: Any, sz: Any, mode: str, pad_mode: str, align_corners: bool) -> Any:
    from burnish.compat.tensors import TensorFlowField, TensorMask, TensorPoint

    n = len(x)
    mat = torch.eye(3)[None, :2].expand(n, 2, 3) if mat is None else mat[:, :2].as_subclass(Tensor)
    mat = mat.to(x.device, torch.float32)
    if isinstance(x, TensorPoint):
        return _points_moved(x, mat, coord_tfm)
    plain, mask = x.as_subclass(Tensor), isinstance(x, TensorMask)
    planes = (plain[:, None] if mask and plain.ndim == 3 else plain).float()
    size = height_width(sz) if sz is not None else (planes.shape[-2], planes.shape[-1])
    if not mask and size[0] < planes.shape[-2] and size[1] < planes.shape[-1]:  # loses less than sampling so few places
        planes = torch.nn.functional.interpolate(planes, size=size, mode="bilinear", antialias=True)
    grid: Any = affine_grid(mat, [n, planes.shape[1], *size], align_corners=align_corners)
    if coord_tfm is not None:
        grid = coord_tfm(grid.as_subclass(TensorFlowField)).as_subclass(Tensor)
    made = grid_sample(planes, grid, mode="nearest" if mask else mode, padding_mode=pad_mode, align_corners=align_corners)
    return made.reshape(*plain.shape[:-2], *size).to(plain.dtype).as_subclass(type(x)).set_meta(x)


def _points_moved(x: Any, mat: Tensor, coord_tfm: Any) -> Any:
    places = x.reshape(len(x), -1, 2)
    if x.shape[-1] == 4:  # boxes: their corners
        x1, y1, x2, y2 = x.unbind(-1)
        places = torch.stack([x1, y1, x2, y1, x2, y2, x1, y2], dim=-1).reshape(len(x), -1, 2)
    if coord_tfm is not None:
        places = coord_tfm(places, invert=True)
    back = torch.linalg.inv(mat[:, :, :2]).transpose(1, 2)
    plain = (places.as_subclass(Tensor).float() - mat[:, None, :, 2]) @ back
    if x.shape[-1] == 4:
        corners = plain.reshape(len(x), -1, 4, 2)
        plain = torch.cat([corners.amin(2), corners.amax(2)], dim=-1)
    return plain.reshape(x.shape).to(x.dtype).as_subclass(type(x)).set_meta(x)


class Lighting:
    """Colours of batches of pictures ``(batch, channel, height, width)``, floats in 0..1. `p`, `draw` and `batch` as in `Moving`."""

    def brightness(self, max_lighting: float = 0.2, p: float = 0.75, draw: Any = None, batch: bool = False) -> Self:
        """Brighter or darker; `draw` is 0 (black) to 1 (white)."""
        return _through(self, own.Brightness(max_lighting, p, draw, batch))

    def contrast(self, max_lighting: float = 0.2, p: float = 0.75, draw: Any = None, batch: bool = False) -> Self:
        """More or less contrast; `draw` is the factor."""
        return _through(self, own.Contrast(max_lighting, p, draw, batch))

    def saturation(self, max_lighting: float = 0.2, p: float = 0.75, draw: Any = None, batch: bool = False) -> Self:
        """More or less colour; `draw` is the factor, 0 is grey."""
        return _through(self, own.Saturation(max_lighting, p, draw, batch))

    def hue(self, max_hue: float = 0.1, p: float = 0.75, draw: Any = None, batch: bool = False) -> Self:
        """Colours turned around the circle; `draw` is the share of a turn."""
        return _through(self, own.Hue(max_hue, p, draw, batch))

    def lighting(self: Any, func: Callable[[Any], Any]) -> Any:
        """Through a function in logit space, log(x / (1 - x))."""
        from burnish.compat.torch_tools import logit

        return torch.sigmoid(func(logit(self)))

    def hsv(self: Any, func: Callable[[Any], Any]) -> Any:
        """Through a function of hue, saturation and value."""
        return hsv2rgb(func(rgb2hsv(self)))


def rgb2hsv(img: Tensor) -> Tensor:
    """Red, green, blue in 0..1 ``(batch, 3, height, width)`` as hue, saturation and value in 0..1."""
    red, green, blue = img.unbind(1)
    value, low = img.amax(1), img.amin(1)
    chroma = value - low
    safe = torch.where(chroma > 0, chroma, 1)
    hue = torch.where(value == red, (green - blue) / safe, torch.where(value == green, (blue - red) / safe + 2, (red - green) / safe + 4))
    return torch.stack([(hue / 6) % 1.0, torch.where(value > 0, chroma / value.clamp(min=1e-12), 0), value], dim=1)


def hsv2rgb(img: Tensor) -> Tensor:
    """Hue, saturation and value in 0..1 ``(batch, 3, height, width)`` as red, green, blue; https://en.wikipedia.org/wiki/HSL_and_HSV#HSV_to_RGB_alternative"""
    hue, saturation, value = img.unbind(1)
    channels = []
    for offset in (5, 3, 1):
        k = (hue * 6 + offset) % 6
        channels.append(value - value * saturation * torch.minimum(k, 4 - k).clamp(0, 1))
    return torch.stack(channels, dim=1)


def grayscale(x: Tensor) -> Tensor:
    """The brightness of pictures ``(batch, 3, height, width)``, in each channel."""
    weights = torch.tensor([0.2989, 0.5870, 0.1140], dtype=x.dtype, device=x.device)
    return (x * weights[:, None, None]).sum(1, keepdim=True)


def cutout_gaussian(x: Tensor, areas: Sequence[tuple[int, int, int, int]]) -> Tensor:
    """Normal noise in place of areas (top, bottom, left, right) of pictures ``(..., height, width)``, which are written into."""
    for top, bottom, left, right in areas:
        x[..., top:bottom, left:right].normal_()
    return x


def setup_aug_tfms(tfms: Sequence[Any]) -> list[BatchTransform]:
    """Batch transforms, neighbours that can act in one pass (all geometry, all lighting) as one."""
    return own.compose(list(tfms))
