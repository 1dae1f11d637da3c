"""What fastai's own augmentation is built of: matrices of movements, perspective, and transforms made of such functions. For code that makes augmentations of its own of them.

Matrices ``(batch, 3, 3)`` lead from places in the result to places in the source, -1 to 1, as if pictures were square; `AffineCoordTfm` fits them to the picture's shape.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from burnish.compat.augment_classes import find_coeffs
from burnish.compat.rand_transform import RandTransform
from burnish.compat.tensors import TensorBBox, TensorFlowField, TensorImage, TensorMask, TensorPoint
from burnish.compat.transform import compose_tfms
from burnish.data.collections import L
from burnish.vision.transforms import height_width

__all__ = [
    "AffineCoordTfm", "HSVTfm", "LightingTfm", "SpaceTfm", "TensorTypes", "affine_grid", "affine_mat", "apply_perspective", "dihedral_mat", "find_coeffs", "flip_mat", "mask_tensor", "norm_apply_denorm", "rotate_mat",
    "zoom_mat",
]  # fmt: skip
TensorTypes = (TensorImage, TensorMask, TensorPoint, TensorBBox)
_DIHEDRAL = torch.tensor(  # of each symmetry: the signs of x and y, and whether they are exchanged
    [[1, 1, 0], [-1, 1, 0], [1, -1, 0], [-1, 1, 1], [-1, -1, 0], [1, -1, 1], [1, 1, 1], [-1, -1, 1]], dtype=torch.float32
)


# -- draws and matrices ---------------------------------------------------------------------------------------------------
def mask_tensor(x: Tensor, p: float = 0.5, neutral: float = 0.0, batch: bool = False) -> Tensor:
    """Each number as it is with probability `p`, else `neutral`; with `batch` all or none."""
    if p == 1.0:
        return x
    kept = torch.full_like(x, float(random.random() < p)) if batch else torch.empty_like(x, dtype=torch.float32).bernoulli_(p)
    return torch.where(kept > 0, x, torch.full_like(x, neutral))


def _drawn(x: Tensor, otherwise: Callable[[int], Tensor], draw: Any, p: float, neutral: float, batch: bool) -> Tensor:
    """A number for each sample ``(batch,)``: of `draw` (a number, several, a function of `x`) or of `otherwise`, which is given how many."""
    n = len(x)
    if draw is None:
        made = otherwise(1 if batch else n).expand(n)
    else:
        made = torch.as_tensor(draw(x) if callable(draw) else draw, dtype=torch.float32).reshape(-1)
        made = made.expand(n) if len(made) == 1 else made[:n]
    return mask_tensor(made.to(x.device), p=p, neutral=neutral, batch=batch)


def _uniform(low: float, high: float) -> Callable[[int], Tensor]:
    return lambda n: torch.empty(n).uniform_(low, high)


def affine_mat(*ms: Tensor) -> Tensor:
    """Matrices ``(batch, 3, 3)`` of the six numbers of their first two rows, ``(batch,)`` each."""
    zero, one = torch.zeros_like(ms[0]), torch.ones_like(ms[0])
    return torch.stack([*ms, zero, zero, one], dim=1).reshape(-1, 3, 3)


def flip_mat(x: Tensor, p: float = 0.5, draw: Any = None, batch: bool = False) -> Tensor:
    """Mirrored; a `draw` of 1 is mirrored, 0 isn't."""
    sign = 1 - 2 * _drawn(x, torch.ones, draw, p, 0.0, batch)
    return affine_mat(sign, sign * 0, sign * 0, sign * 0, sign * 0 + 1, sign * 0)


def dihedral_mat(x: Tensor, p: float = 0.5, draw: Any = None, batch: bool = False) -> Tensor:
    """One of the symmetries of the square, 0 to 7."""
    number = _drawn(x, lambda n: torch.randint(0, 8, (n,)).float(), draw, p, 0.0, batch).long()
    across, down, turned = _DIHEDRAL.to(number.device)[number].unbind(1)
    zero = torch.zeros_like(across)
    return affine_mat(across * (1 - turned), across * turned, zero, down * turned, down * (1 - turned), zero)


def rotate_mat(x: Tensor, max_deg: float = 10, p: float = 0.5, draw: Any = None, batch: bool = False) -> Tensor:
    """Turned, clockwise in degrees."""
    angle = torch.deg2rad(_drawn(x, _uniform(-max_deg, max_deg), draw, p, 0.0, batch))
    zero = torch.zeros_like(angle)
    return affine_mat(angle.cos(), angle.sin(), zero, -angle.sin(), angle.cos(), zero)


def zoom_mat(
    x: Tensor, min_zoom: float = 1.0, max_zoom: float = 1.1, p: float = 0.5, draw: Any = None, draw_x: Any = None, draw_y: Any = None, batch: bool = False
) -> Tensor:  # fmt: skip
    """Magnified around a place, 0 to 1 across and down."""
    share = 1 / _drawn(x, _uniform(min_zoom, max_zoom), draw, p, 1.0, batch)
    across, down = (_drawn(x, _uniform(0, 1), d, 1.0, 0.0, batch) for d in (draw_x, draw_y))
    zero = torch.zeros_like(share)
    return affine_mat(share, zero, (1 - share) * (2 * across - 1), zero, share, (1 - share) * (2 * down - 1))


# -- places ---------------------------------------------------------------------------------------------------------------
def affine_grid(theta: Tensor, size: Sequence[int], align_corners: bool | None = None) -> TensorFlowField:
    """The places in the source of every pixel of a result of `size` (batch, channel, height, width), by matrices ``(batch, 2, 3)``."""
    return functional.affine_grid(theta.as_subclass(Tensor), list(size), align_corners=align_corners).as_subclass(TensorFlowField)  # type: ignore[return-value]


def apply_perspective(coords: Tensor, coeffs: Tensor) -> Tensor:
    """Places ``(batch, ..., 2)`` through the perspectives of `find_coeffs`."""
    matrix = torch.cat([coeffs.reshape(-1, 8), torch.ones_like(coeffs.reshape(-1, 8)[:, :1])], dim=1).reshape(-1, 3, 3)
    flat = coords.reshape(len(coords), -1, 2)
    moved = torch.cat([flat, torch.ones_like(flat[..., :1])], dim=2) @ matrix.transpose(1, 2)
    return (moved[..., :2] / moved[..., 2:]).reshape(coords.shape)


# -- transforms made of functions -----------------------------------------------------------------------------------------
class AffineCoordTfm(RandTransform):
    """Moves pictures, masks, points and boxes by matrices and by functions of places, all in one interpolation; outside training it only brings them to `size`.

    Args:
        aff_fs: functions from a batch to matrices. coord_fs: functions of places, called with ``invert=True`` for points; those with ``before_call(x)`` are given the batch first.
        size, mode, pad_mode, align_corners: as of ``affine_coord``. mode_mask: masks are always sampled by nearest. p, order: as of `RandTransform`.
    """

    order, split_idx = 30, None

    def __init__(
        self, aff_fs: Any = None, coord_fs: Any = None, size: Any = None, mode: str = "bilinear", pad_mode: str = "reflection", mode_mask: str = "nearest", align_corners: bool | None = None, p: float = 1.0,
        order: float | None = None,
    ) -> None:  # fmt: skip
        super().__init__(p, order=order)
        self.aff_fs, self.coord_fs, self.size = L(aff_fs), L(coord_fs), size
        self.mode, self.pad_mode, self.mode_mask, self.align_corners = mode, pad_mode, mode_mask, align_corners
        self.mat: Tensor | None = None
        self.calm = False

    def before_call(self, b: Any, split_idx: int | None) -> None:
        while isinstance(b, tuple):
            b = b[0]
        self.do, self.calm, self.mat = True, bool(split_idx), None
        if self.calm:
            return
        for f in self.coord_fs:
            getattr(f, "before_call", lambda x: None)(b)
        if self.aff_fs:
            mats = [f(b).as_subclass(Tensor) for f in self.aff_fs]
            height, width = height_width(self.size) if self.size is not None else b.shape[-2:]
            shape = torch.tensor([[1, height / width, 1], [width / height, 1, 1], [1, 1, 1]], device=mats[0].device)
            self.mat = (functools.reduce(torch.matmul, mats) * shape)[:, :2]

    def encodes(self, x: TensorImage):
        return self._moved(x)

    def _moved(self, x: Any) -> Any:
        coords = (
            None
            if self.calm or not self.coord_fs
            else functools.partial(compose_tfms, tfms=self.coord_fs, reverse=isinstance(x, TensorPoint))
        )
        return x.affine_coord(self.mat, coords, self.size, self.mode, self.pad_mode, bool(self.align_corners))


@AffineCoordTfm
def encodes(self: AffineCoordTfm, x: TensorMask | TensorPoint | TensorBBox):
    return self._moved(x)


class SpaceTfm(RandTransform):
    """Functions of pictures in a space of their own, such as logits or hue, saturation and value, in training.

    Args:
        fs: functions; those with ``before_call(x)`` are given the batch first. space_fn: ``TensorImage.lighting``, ``TensorImage.hsv``, or another like them.
    """

    order = 40

    def __init__(
        self, fs: Any, space_fn: Callable[..., Any], p: float = 1.0, split_idx: int | None = None, order: float | None = None
    ) -> None:
        super().__init__(p, split_idx=split_idx, order=order)
        self.fs, self.space_fn = L(fs), space_fn

    def before_call(self, b: Any, split_idx: int | None) -> None:
        while isinstance(b, tuple):
            b = b[0]
        self.do = True
        for f in self.fs:
            getattr(f, "before_call", lambda x: None)(b)

    def encodes(self, x: TensorImage):
        return self.space_fn(x, functools.partial(compose_tfms, tfms=self.fs))


class LightingTfm(SpaceTfm):
    """Functions of pictures in logit space."""

    def __init__(self, fs: Any, p: float = 1.0, split_idx: int | None = None, order: float | None = None) -> None:
        super().__init__(fs, TensorImage.lighting, p, split_idx, order)


class HSVTfm(SpaceTfm):
    """Functions of the hue, saturation and value of pictures."""

    def __init__(self, fs: Any, p: float = 1.0, split_idx: int | None = None, order: float | None = None) -> None:
        super().__init__(fs, TensorImage.hsv, p, split_idx, order)


def norm_apply_denorm(x: Tensor, f: Callable[[Tensor], Tensor], nrm: Any) -> Tensor:
    """A function of normalised pictures, on pictures in 0..1, which stay there."""
    return nrm.decode(f(nrm(x))).clamp(0, 1)
