"""Geometric parts: each gives matrices from places in the result to places in the source.

Places are (x, y, 1) with x and y from -1 to 1, from one edge of the picture to the other, so a matrix doesn't depend on
the number of pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from burnish.errors import SettingError
from burnish.vision.augment_parts import Draw, Part, Rng, Sampling, check_draw, check_number, check_numbers, chosen, drawn, uniform
from burnish.vision.transforms import HeightWidth, check_p, checked_size, height_width

Pixels = tuple[int, int]  # (height, width)


class GeometricPart(Part):
    """Moves pixels. A subclass implements ``matrices``."""

    when = "always"

    def __init__(self, p: float, size: HeightWidth | None, mode: str, pad_mode: str, align_corners: bool, batch: bool) -> None:
        super().__init__()
        self.p, self.batch = check_p(p), batch
        self.size = None if size is None else checked_size(size)
        self.sampling = Sampling(mode, pad_mode, align_corners)
        self.mode, self.pad_mode, self.align_corners = mode, pad_mode, align_corners

    def matrices(self, x: Tensor, size: Pixels, rng: Rng) -> Tensor:
        """``(batch, 3, 3)`` on the CPU for the batch `x` seen as pictures of `size`, as if it happened to all."""
        raise NotImplementedError

    def step(self, x: Tensor, size: Pixels, rng: Rng | None) -> tuple[Tensor | None, Pixels]:
        """Matrices ``(batch, 3, 3)``, or None when nothing moves, and the size of the result."""
        size = size if self.size is None else height_width(self.size)
        if rng is None:
            return None, size
        happens = chosen(len(x), self.p, rng, self.batch)
        moved = self.matrices(x, size, rng)
        if not happens.any():
            return None, size
        return torch.where(happens[:, None, None], moved, torch.eye(3)), size


class Flip(GeometricPart):
    """Mirrors pictures left-right with probability `p`. `draw`: 1 mirrors those that are chosen, 0 doesn't; ``p=1.0`` chooses all."""

    def __init__(self, p: float = 0.5, draw: Draw = None, size: HeightWidth | None = None, mode: str = "bilinear",
                 pad_mode: str = "reflection", align_corners: bool = True, batch: bool = False) -> None:  # fmt: skip
        super().__init__(p, size, mode, pad_mode, align_corners, batch)
        self.draw = check_draw(draw, "draw")

    def matrices(self, x: Tensor, size: Pixels, rng: Rng) -> Tensor:
        mirrored = drawn(self.draw, x, lambda: torch.ones(len(x)), "Flip(draw=...)")
        return _matrices(x, a=1 - 2 * (mirrored > 0.5).float())


class Dihedral(GeometricPart):
    """One of the 8 symmetries of the square with probability `p`; of the 4 that keep the shape where height and width
    differ. `draw`, for those that are chosen (all by ``p=1.0``): 0..7, transposed if & 4, then mirrored left-right if & 1, top-bottom if & 2."""

    def __init__(self, p: float = 0.5, draw: Draw = None, size: HeightWidth | None = None, mode: str = "bilinear",
                 pad_mode: str = "reflection", align_corners: bool = True, batch: bool = False) -> None:  # fmt: skip
        super().__init__(p, size, mode, pad_mode, align_corners, batch)
        self.draw = check_draw(draw, "draw")

    def matrices(self, x: Tensor, size: Pixels, rng: Rng) -> Tensor:
        k = drawn(self.draw, x, lambda: uniform(len(x), 0, 8, rng, self.batch), "Dihedral(draw=...)").long().clamp(0, 7)
        k = k if size[0] == size[1] else k & 3
        across, down = 1.0 - 2 * (k & 1), 1.0 - 2 * (k >> 1 & 1)
        turned = (k & 4) > 0
        zero = torch.zeros(len(x))
        return _matrices(
            x,
            torch.where(turned, zero, across),
            torch.where(turned, down, zero),
            torch.where(turned, across, zero),
            torch.where(turned, zero, down),
        )


class Rotate(GeometricPart):
    """Turns pictures by up to `max_deg` degrees to either side, with probability `p`; the shape of things is kept, also in
    pictures that aren't square. `draw`: degrees, counter-clockwise, for those that are chosen (all by ``p=1.0``)."""

    def __init__(self, max_deg: float = 10, p: float = 0.5, draw: Draw = None, size: HeightWidth | None = None, mode: str = "bilinear",
                 pad_mode: str = "reflection", align_corners: bool = True, batch: bool = False) -> None:  # fmt: skip
        super().__init__(p, size, mode, pad_mode, align_corners, batch)
        self.max_deg, self.draw = check_number(max_deg, "max_deg"), check_draw(draw, "draw")

    def matrices(self, x: Tensor, size: Pixels, rng: Rng) -> Tensor:
        degrees = drawn(self.draw, x, lambda: uniform(len(x), -self.max_deg, self.max_deg, rng, self.batch), "Rotate(draw=...)")
        angle = torch.deg2rad(degrees)
        shape = size[0] / size[1]
        return _matrices(x, angle.cos(), -angle.sin() * shape, angle.sin() / shape, angle.cos())


class Zoom(GeometricPart):
    """Magnifies pictures by `min_zoom` to `max_zoom` around a random place, with probability `p`. `draw`: the magnification;
    `draw_x`, `draw_y`: the place, 0 (left, top) to 1; all for those that are chosen (all by ``p=1.0``)."""

    def __init__(self, min_zoom: float = 1.0, max_zoom: float = 1.1, p: float = 0.5, draw: Draw = None, draw_x: Draw = None,
                 draw_y: Draw = None, size: HeightWidth | None = None, mode: str = "bilinear", pad_mode: str = "reflection",
                 align_corners: bool = True, batch: bool = False) -> None:  # fmt: skip
        super().__init__(p, size, mode, pad_mode, align_corners, batch)
        if not 0 < check_number(min_zoom, "min_zoom") <= check_number(max_zoom, "max_zoom"):
            raise SettingError(f"min_zoom={min_zoom}, max_zoom={max_zoom}: expected 0 < min_zoom <= max_zoom.")
        self.min_zoom, self.max_zoom = min_zoom, max_zoom
        self.draw, self.draw_x, self.draw_y = check_draw(draw, "draw"), check_draw(draw_x, "draw_x"), check_draw(draw_y, "draw_y")

    def matrices(self, x: Tensor, size: Pixels, rng: Rng) -> Tensor:
        n = len(x)
        share = 1 / drawn(self.draw, x, lambda: uniform(n, self.min_zoom, self.max_zoom, rng, self.batch), "Zoom(draw=...)")
        across = drawn(self.draw_x, x, lambda: uniform(n, 0, 1, rng, self.batch), "Zoom(draw_x=...)")
        down = drawn(self.draw_y, x, lambda: uniform(n, 0, 1, rng, self.batch), "Zoom(draw_y=...)")
        return _matrices(x, a=share, d=share, x_shift=(1 - share) * (2 * across - 1), y_shift=(1 - share) * (2 * down - 1))


class Warp(GeometricPart):
    """Tilts pictures as if seen from the side (perspective), with probability `p`. `draw_x`, `draw_y`: the tilt to the side and up or
    down, -0.61 to 0.61; at 0.2 one edge grows by a fifth and the opposite one shrinks by a fifth. They are for those that are chosen (all by ``p=1.0``)."""

    def __init__(self, magnitude: float = 0.2, p: float = 0.5, draw_x: Draw = None, draw_y: Draw = None, size: HeightWidth | None = None,
                 mode: str = "bilinear", pad_mode: str = "reflection", align_corners: bool = True, batch: bool = False) -> None:  # fmt: skip
        super().__init__(p, size, mode, pad_mode, align_corners, batch)
        if not 0 <= check_number(magnitude, "magnitude") <= 0.61:
            raise SettingError(f"magnitude={magnitude}: expected 0 (none) to 0.61; beyond, the picture would be seen edge-on.")
        self.magnitude, self.draw_x, self.draw_y = magnitude, check_draw(draw_x, "draw_x"), check_draw(draw_y, "draw_y")

    def matrices(self, x: Tensor, size: Pixels, rng: Rng) -> Tensor:
        n, most = len(x), self.magnitude
        side = drawn(self.draw_x, x, lambda: uniform(n, -most, most, rng, self.batch), "Warp(draw_x=...)")
        up = drawn(self.draw_y, x, lambda: uniform(n, -most, most, rng, self.batch), "Warp(draw_y=...)")
        tilted = _matrices(x, d=1 - side**2, x_shift=side)
        tilted[:, 2, 0] = side
        lifted = _matrices(x, a=1 - up**2, y_shift=up)
        lifted[:, 2, 1] = up
        return tilted @ lifted


class RandomResizedCropGPU(GeometricPart):
    """A random part of each picture, at `size`; outside training the centre.

    Args:
        size: int, or (height, width).
        min_scale, max_scale: the part's share of the picture's area. ratio: the range of its width / height.
        mode: how images are sampled. mode_mask: kept for its name; masks are always sampled by nearest.
        valid_scale: outside training, the share of the sides of the largest centred part of the target's shape.
        p: how often; else the whole picture is resized.
    """

    def __init__(self, size: HeightWidth, min_scale: float = 0.08, ratio: Sequence[float] = (3 / 4, 4 / 3), mode: str = "bilinear",
                 valid_scale: float = 1.0, max_scale: float = 1.0, mode_mask: str = "nearest", p: float = 1.0, pad_mode: str = "reflection",
                 align_corners: bool = True, batch: bool = False) -> None:  # fmt: skip
        super().__init__(p, size, mode, pad_mode, align_corners, batch)
        check_numbers(min_scale=min_scale, max_scale=max_scale, valid_scale=valid_scale)
        if not 0 < min_scale <= max_scale <= 1 or not 0 < valid_scale <= 1:
            raise SettingError(
                f"min_scale={min_scale}, max_scale={max_scale}, valid_scale={valid_scale}: expected 0 < min_scale <= max_scale <= 1, valid_scale in 0..1."
            )
        if mode_mask != "nearest":
            raise SettingError(f"mode_mask={mode_mask!r}: masks hold class numbers, which only mode_mask='nearest' keeps whole.")
        if (
            not isinstance(ratio, (list, tuple))
            or len(ratio) != 2
            or not 0 < check_number(ratio[0], "ratio") <= check_number(ratio[1], "ratio")
        ):
            raise SettingError(f"ratio={ratio!r}: expected (least, most) width / height, both positive, as in (3/4, 4/3).")
        self.min_scale, self.max_scale, self.ratio, self.valid_scale, self.mode_mask = (
            min_scale,
            max_scale,
            tuple(ratio),
            valid_scale,
            mode_mask,
        )

    def step(self, x: Tensor, size: Pixels, rng: Rng | None) -> tuple[Tensor | None, Pixels]:
        target = height_width(self.size or 1)
        if rng is not None:
            happens = chosen(len(x), self.p, rng, self.batch)
            return torch.where(happens[:, None, None], self.matrices(x, size, rng), torch.eye(3)), target
        fit = min(size[1] / target[1], size[0] / target[0]) * self.valid_scale
        share = target[1] * fit / size[1], target[0] * fit / size[0]
        return (None if share == (1, 1) else torch.diag(torch.tensor([*share, 1.0])).expand(len(x), 3, 3)), target

    def matrices(self, x: Tensor, size: Pixels, rng: Rng) -> Tensor:
        n = len(x)
        area = uniform(n, self.min_scale, self.max_scale, rng, self.batch) * size[0] * size[1]
        low, high = math.log(self.ratio[0]), math.log(self.ratio[1])
        shape = uniform(n, low, high, rng, self.batch).exp()
        width, height = (area * shape).sqrt() / size[1], (area / shape).sqrt() / size[0]
        too_large = torch.maximum(width, height).clamp(min=1)  # keeps the shape where the part would not fit
        width, height = width / too_large, height / too_large
        across, down = uniform(n, -1, 1, rng, self.batch), uniform(n, -1, 1, rng, self.batch)
        return _matrices(x, a=width, d=height, x_shift=(1 - width) * across, y_shift=(1 - height) * down)


def _matrices(
    x: Tensor,
    a: Tensor | float = 1.0,
    b: Tensor | float = 0.0,
    c: Tensor | float = 0.0,
    d: Tensor | float = 1.0,
    x_shift: Tensor | float = 0.0,
    y_shift: Tensor | float = 0.0,
) -> Tensor:
    """``[[a, b, x_shift], [c, d, y_shift], [0, 0, 1]]`` for each picture of the batch."""
    m = torch.zeros(len(x), 3, 3)
    m[:, 0, 0], m[:, 0, 1], m[:, 0, 2] = a, b, x_shift
    m[:, 1, 0], m[:, 1, 1], m[:, 1, 2] = c, d, y_shift
    m[:, 2, 2] = 1
    return m
