"""Augmentation of whole batches on the device: all geometry in one interpolation, all lighting in one pass.

``aug_transforms()`` is the usual set; each of its parts (Flip, Rotate, Brightness ...) can be used alone. Neighbouring
parts are fused into one :class:`Augment`: their matrices multiply into one sampling grid. Parameters are drawn per
picture on the CPU and sent to the device; nothing is read back. Outside training nothing runs, except changes of size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate

from burnish.data.device import to_device
from burnish.data.foreign import as_batch_transform
from burnish.data.foreign import as_batch_transforms as compose
from burnish.data.transforms import BatchTransform
from burnish.errors import SettingError, hinting
from burnish.vision.augment_boxes import moved_boxes
from burnish.vision.augment_color import Brightness, ColourPart, Contrast, Hue, Saturation, light
from burnish.vision.augment_erase import Normalize, RandomErasing, cifar_stats, imagenet_stats, mnist_stats
from burnish.vision.augment_parts import Part, Sampling, check_numbers, float_images
from burnish.vision.augment_warp import Dihedral, Flip, GeometricPart, RandomResizedCropGPU, Rotate, Warp, Zoom
from burnish.vision.transforms import HeightWidth, checked_size, height_width

__all__ = [
    "Augment",
    "Brightness",
    "Contrast",
    "Dihedral",
    "Flip",
    "Hue",
    "Normalize",
    "RandomErasing",
    "RandomResizedCropGPU",
    "Rotate",
    "Saturation",
    "Warp",
    "Zoom",
    "as_batch_transform",
    "aug_transforms",
    "cifar_stats",
    "compose",
    "imagenet_stats",
    "mnist_stats",
]

GEOMETRIC_KINDS = ("mask", "points", "boxes")


@hinting
def aug_transforms(
    mult: float = 1.0,
    do_flip: bool = True,
    flip_vert: bool = False,
    max_rotate: float = 10.0,
    min_zoom: float = 1.0,
    max_zoom: float = 1.1,
    max_lighting: float = 0.2,
    max_warp: float = 0.2,
    p_affine: float = 0.75,
    p_lighting: float = 0.75,
    xtra_tfms: Any = None,
    size: HeightWidth | None = None,
    mode: str = "bilinear",
    pad_mode: str = "reflection",
    align_corners: bool = True,
    batch: bool = False,
    min_scale: float = 1.0,
) -> list[BatchTransform]:
    """The usual augmentation of photographs: flip, warp, rotate, zoom, brightness, contrast; one interpolation.

    Args:
        mult: multiplies max_rotate, max_lighting and max_warp.
        do_flip: mirror left-right with p=0.5; with `flip_vert` one of the 8 symmetries of the square instead.
        max_rotate: degrees to either side. min_zoom, max_zoom: the range of the magnification.
        max_lighting: strength of brightness and contrast, 0..1. max_warp: strength of the perspective tilt.
        p_affine: probability of each of warp, rotate, zoom. p_lighting: of each of brightness, contrast.
        xtra_tfms: more batch transforms, put in front and fused where they can be.
        size: int or (height, width) to bring the batch to, also outside training.
        mode: "bilinear", "nearest" or "bicubic". pad_mode: "reflection", "zeros" or "border", what is outside the picture.
        align_corners: mirror at the centres of the border pixels (True) or at their outer edges.
        batch: one draw for the whole batch instead of one per picture.
        min_scale: below 1, a random crop of at least this share of the area, resized to `size`, follows.
    """
    check_numbers(mult=mult, max_rotate=max_rotate, min_zoom=min_zoom, max_zoom=max_zoom, max_lighting=max_lighting, max_warp=max_warp, min_scale=min_scale)  # fmt: skip
    if min_scale < 1 and size is None:
        raise SettingError(f"aug_transforms(min_scale={min_scale}) crops, and needs to know to which size: pass size= too.")
    how: dict[str, Any] = {"mode": mode, "pad_mode": pad_mode, "align_corners": align_corners}
    parts: list[Any] = list(xtra_tfms) if isinstance(xtra_tfms, (list, tuple)) else [xtra_tfms] if xtra_tfms is not None else []
    if size is not None and min_scale >= 1:
        parts.insert(0, Augment([], size=size, **how))
    if do_flip:
        parts.append((Dihedral if flip_vert else Flip)(p=0.5, batch=batch, **how))
    if max_warp:
        parts.append(Warp(magnitude=max_warp * mult, p=p_affine, batch=batch, **how))
    if max_rotate:
        parts.append(Rotate(max_deg=max_rotate * mult, p=p_affine, batch=batch, **how))
    if min_zoom < 1 or max_zoom > 1:
        parts.append(Zoom(min_zoom=min_zoom, max_zoom=max_zoom, p=p_affine, batch=batch, **how))
    if size is not None and min_scale < 1:
        parts.append(RandomResizedCropGPU(size, min_scale=min_scale, ratio=(1, 1), batch=batch, **how))
    if max_lighting:
        parts += [part(max_lighting * mult, p=p_lighting, batch=batch) for part in (Brightness, Contrast)]
    return compose([as_batch_transform(part) for part in parts])


def as_augment(tfm: BatchTransform) -> Augment | None:
    """A part, or an Augment, as an Augment; None for other transforms."""
    if isinstance(tfm, Augment):
        return tfm
    if not isinstance(tfm, Part):
        return None
    how = tfm.sampling if isinstance(tfm, GeometricPart) else Sampling()
    return Augment([tfm], None, how.mode, how.pad_mode, how.align_corners)


class Augment(Part):
    """Several augmentations as one: first all geometry, in one interpolation; then all lighting, in one pass.

    Args:
        parts: Flip, Rotate, Brightness and so on, in the order in which they act.
        size: int or (height, width) to which the batch is brought first, also outside training; None keeps it.
        mode, pad_mode, align_corners: how pixels are sampled, see :func:`aug_transforms`.

    Images ``(batch, channel, height, width)`` are sampled by `mode`, masks ``(batch, [1,] height, width)`` by nearest,
    points ``(batch, n, 2)`` and boxes ``(batch, n, 4 ...)`` (x, y in -1..1 from edge to edge) follow their pixels; of a box that is
    partly outside the upright box around what is still seen is left (:func:`burnish.vision.augment_boxes.moved_boxes`).
    """

    when = "always"

    def __init__(
        self,
        parts: Sequence[Part],
        size: HeightWidth | None = None,
        mode: str = "bilinear",
        pad_mode: str = "reflection",
        align_corners: bool = True,
    ) -> None:
        super().__init__()
        self.parts = list(parts)
        self.size = None if size is None else checked_size(size)
        self.sampling = Sampling(mode, pad_mode, align_corners)
        self.mode, self.pad_mode, self.align_corners = mode, pad_mode, align_corners
        self._geometry = [p for p in self.parts if isinstance(p, GeometricPart)]
        self._colour = [p for p in self.parts if isinstance(p, ColourPart)]
        if len(self._geometry) + len(self._colour) != len(self.parts):
            raise SettingError(
                f"Augment(parts={self.parts!r}): expected parts such as Flip(), Rotate(), Brightness(). Use compose([...]) for other transforms."
            )

    def fuse(self, following: BatchTransform) -> Augment | None:
        """This and the transform after it as one, or None when that would not be the same."""
        other = as_augment(following)
        if other is None or (other.size is not None and self._geometry):
            return None
        mine, theirs = bool(self._geometry) or self.size is not None, bool(other._geometry) or other.size is not None
        if mine and theirs and self.sampling != other.sampling:
            return None
        how = self.sampling if mine else other.sampling
        size = other.size if other.size is not None else self.size
        return Augment([*self.parts, *other.parts], size, how.mode, how.pad_mode, how.align_corners)

    def apply(self, batch: list[Tensor], kinds: Sequence[str], rng: torch.Generator | None) -> list[Tensor]:
        first = next((x for x, kind in zip(batch, kinds, strict=True) if kind in ("image", "mask")), None)
        if first is None:
            return batch
        before = (first.shape[-2], first.shape[-1])
        matrix, after = self._matrix(first, before, rng)
        colours = [] if rng is None else [c for part in _runs(self._colour) if (c := part(first, rng)) is not None]
        out = list(batch)
        for i, (x, kind) in enumerate(zip(batch, kinds, strict=True)):
            if kind == "image":
                out[i] = self._images(x, matrix, after, colours)
            elif kind in GEOMETRIC_KINDS:
                out[i] = self._others(x, kind, matrix, after)
        return out

    def _matrix(self, x: Tensor, size: tuple[int, int], rng: torch.Generator | None) -> tuple[Tensor | None, tuple[int, int]]:
        """From places in the result to places in the source ``(batch, 3, 3)``, None for none; and the result's size."""
        matrix = None
        size = size if self.size is None else height_width(self.size)
        for part in self._geometry:
            step, size = part.step(x, size, rng)
            matrix = step if matrix is None else matrix if step is None else matrix @ step
        return matrix, size

    def _images(self, x: Tensor, matrix: Tensor | None, size: tuple[int, int], colours: list[Callable[[Tensor, slice], Tensor]]) -> Tensor:
        """Geometry, then lighting, a few pictures at a time on the CPU so that they stay in its cache."""
        x = float_images(x, "Augment")
        resized = _brought_near(x, size, matrix)
        if matrix is None and not colours:
            return resized
        warp = None if matrix is None else _warper(resized, matrix, size, self.sampling)
        channels_last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
        layout = torch.channels_last if channels_last else torch.contiguous_format
        out = torch.empty((len(x), x.shape[1], *size), dtype=x.dtype, device=x.device, memory_format=layout)
        for some in _portions(len(x), x.device):
            y = resized[some] if warp is None else warp(some)
            for colour in colours:
                y = colour(y, some)
            out[some] = y
        return out

    def _others(self, x: Tensor, kind: str, matrix: Tensor | None, size: tuple[int, int]) -> Tensor:
        if kind == "mask":
            return _mask(x, matrix, size, self.sampling)
        return x if matrix is None else _moved(x, kind, matrix)


# -- the work -------------------------------------------------------------------------------------------------------
def _runs(parts: Sequence[ColourPart]) -> list[Callable[..., Any]]:
    """Lighting parts that follow each other as one step; Hue, which can't join them, as its own."""
    runs: list[list[ColourPart]] = []
    for part in parts:
        if runs and part.joins and runs[-1][-1].joins:
            runs[-1].append(part)
        else:
            runs.append([part])
    return [lambda x, rng, run=run: light(run, x, rng) if run[0].joins else run[0].pass_over(x, rng) for run in runs]


def _portions(n: int, device: torch.device) -> list[slice]:
    """Slices of the batch: all of it on an accelerator; on a CPU few pictures, so that they stay in its cache. With several
    threads more of them, since the threads meet after every operation, and wait long for each other on a busy machine."""
    threads = torch.get_num_threads()
    step = n if device.type != "cpu" else 2 if threads == 1 else 8 * threads
    return [slice(i, min(i + step, n)) for i in range(0, n, max(step, 1))]


def _brought_near(x: Tensor, size: tuple[int, int], matrix: Tensor | None) -> Tensor:
    """`x` at `size`; with a matrix, shrunk so far that sampling it at `size` loses and aliases little."""
    if x.shape[-2:] == size:
        return x
    if matrix is not None:
        reach = float(torch.linalg.det(matrix[:, :2, :2]).abs().sqrt().min().clamp(max=1))  # the most that is magnified
        factor = min(x.shape[-2] * reach / size[0], x.shape[-1] * reach / size[1])
        if factor < 1.25:
            return x
        size = (max(1, round(x.shape[-2] / factor)), max(1, round(x.shape[-1] / factor)))
    return interpolate(x, size=size, mode="bilinear", antialias=True)


def _warper(x: Tensor, matrix: Tensor, size: tuple[int, int], how: Sampling, mode: str | None = None) -> Callable[[slice], Tensor]:
    """A function from a slice of the batch to those pictures, sampled by their matrices."""
    height, width = x.shape[-2:]
    straight = bool((matrix[:, 2, :2] == 0).all())  # on the CPU: no perspective
    if how.align_corners:  # grid_sample then counts from the centres of the border pixels, not from their edges
        matrix = torch.diag(torch.tensor([width / max(width - 1, 1), height / max(height - 1, 1), 1.0])) @ matrix
    sent = to_device(matrix, x.device)
    across, down = _places(size[1], x.device), _places(size[0], x.device)

    def warp(some: slice) -> Tensor:
        grid = _grid(sent[some], across, down, straight)
        out = grid_sample(x[some].float(), grid, mode=mode or how.mode, padding_mode=how.pad_mode, align_corners=how.align_corners)
        return out.to(x.dtype)

    return warp


def _places(n: int, device: torch.device) -> Tensor:
    """The centres of `n` pixels between the edges -1 and 1."""
    return (torch.arange(n, device=device, dtype=torch.float32) * 2 + 1) / n - 1


def _grid(m: Tensor, across: Tensor, down: Tensor, straight: bool) -> Tensor:
    """The sampling grid ``(batch, height, width, 2)`` of matrices ``(batch, 3, 3)``: sums of a row and a column, which
    costs far less than multiplying every pixel's coordinates."""
    columns = (m[:, :2, 0, None] * across).transpose(1, 2)[:, None]
    rows = (m[:, :2, 1, None] * down + m[:, :2, 2, None]).transpose(1, 2)[:, :, None]
    grid = columns + rows
    if straight:
        return grid
    depth = (m[:, 2, 0, None] * across)[:, None] + (m[:, 2, 1, None] * down + m[:, 2, 2, None])[:, :, None]
    return grid.mul_(depth.reciprocal_()[..., None])


def _mask(x: Tensor, matrix: Tensor | None, size: tuple[int, int], how: Sampling) -> Tensor:
    """Masks ``(batch, [1,] height, width)`` of any dtype, by nearest pixel."""
    if matrix is None and x.shape[-2:] == size:
        return x
    planes = (x if x.ndim == 4 else x[:, None]).float()
    if matrix is None:
        moved = interpolate(planes, size=size, mode="nearest-exact")
    else:
        moved = _warper(planes, matrix, size, how, mode="nearest")(slice(None))
    return (moved if x.ndim == 4 else moved[:, 0]).to(x.dtype)


def _moved(x: Tensor, kind: str, matrix: Tensor) -> Tensor:
    """Points ``(batch, n, 2)`` or boxes ``(batch, n, 4 ...)`` (see :func:`moved_boxes`) where their pixels are."""
    if kind == "points":
        return _project(x, to_device(torch.linalg.inv(matrix), x.device))
    there, back = to_device(torch.stack([torch.linalg.inv(matrix), matrix]), x.device).unbind(0)
    return moved_boxes(x, there, back)


def _project(points: Tensor, m: Tensor) -> Tensor:
    flat = torch.cat([points.float(), torch.ones_like(points[..., :1], dtype=torch.float32)], dim=-1) @ m.transpose(1, 2)
    return (flat[..., :2] / flat[..., 2:]).to(points.dtype)
