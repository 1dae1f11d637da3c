"""Batch transforms whose `draw` means what it means in fastai: degrees clockwise, another numbering of symmetries, the tilt the other way."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from burnish.data.notes import note
from burnish.vision import augment as own
from burnish.vision.augment_parts import Draw, drawn, uniform
from burnish.vision.transforms import HeightWidth

__all__ = ["DeterministicDihedral", "DeterministicDraw", "DeterministicFlip", "Dihedral", "Rotate", "Warp", "aug_transforms"]

_SYMMETRIES = (0, 1, 2, 6, 3, 5, 4, 7)  # fastai's numbers to burnish's


def opposite(draw: Draw) -> Draw:
    """What is drawn, the other way round."""
    return _changed(draw, lambda v: -v)


def symmetry(draw: Draw) -> Draw:
    """fastai's numbers of the symmetries of the square as burnish's."""
    return _changed(draw, lambda v: torch.tensor(_SYMMETRIES)[v.long().clamp(0, 7)].float())


def _changed(draw: Draw, change: Callable[[Tensor], Tensor]) -> Draw:
    if draw is None:
        return None
    if callable(draw):
        return lambda x: change(torch.as_tensor(draw(x), dtype=torch.float32).cpu())
    return change(torch.as_tensor(draw, dtype=torch.float32)).tolist()


def find_coeffs(p1: Tensor, p2: Tensor) -> Tensor:
    """The eight numbers ``(batch, 8, 1)`` of the perspective that brings four points `p2` ``(batch, 4, 2)`` to `p1`."""
    rows, (one, zero) = [], (torch.ones_like(p1[:, 0, 0]), torch.zeros_like(p1[:, 0, 0]))
    for (x, y), (u, v) in zip((q.unbind(1) for q in p2.unbind(1)), (q.unbind(1) for q in p1.unbind(1)), strict=True):
        rows.append(torch.stack([x, y, one, zero, zero, zero, -u * x, -u * y], dim=1))
        rows.append(torch.stack([zero, zero, zero, x, y, one, -v * x, -v * y], dim=1))
    return torch.linalg.solve(torch.stack(rows, dim=1).as_subclass(Tensor), p1.reshape(len(p1), 8, 1).as_subclass(Tensor))


class AsOwn:
    """In a model file it is burnish's own class, whose arguments its attributes are."""

    def config(self: Any) -> dict[str, Any]:
        cls = next(c for c in type(self).__mro__ if c.__module__.startswith("burnish.vision."))
        return cls(**{name: getattr(self, name) for name in inspect.signature(cls).parameters}).config()


class Rotate(AsOwn, own.Rotate):
    """Turns pictures by up to `max_deg` degrees to either side, with probability `p`. `draw`: degrees, clockwise."""

    __qualname__ = "compat.Rotate"  # burnish's own class of the name stays what a model file names

    def __init__(
        self, max_deg: float = 10, p: float = 0.5, draw: Draw = None, size: HeightWidth | None = None, mode: str = "bilinear", pad_mode: str = "reflection", align_corners: bool = True, batch: bool = False
    ) -> None:  # fmt: skip
        super().__init__(max_deg, p, opposite(draw), size, mode, pad_mode, align_corners, batch)


class Warp(AsOwn, own.Warp):
    """Tilts pictures as if seen from the side, with probability `p`. `draw_x`, `draw_y`: the tilt, by which one edge
    of the picture grows and the opposite one shrinks."""

    __qualname__ = "compat.Warp"  # burnish's own class of the name stays what a model file names

    def __init__(
        self, magnitude: float = 0.2, p: float = 0.5, draw_x: Draw = None, draw_y: Draw = None, size: HeightWidth | None = None, mode: str = "bilinear", pad_mode: str = "reflection", align_corners: bool = True, batch: bool = False
    ) -> None:  # fmt: skip
        super().__init__(magnitude, p, opposite(draw_x), opposite(draw_y), size, mode, pad_mode, align_corners, batch)

    def matrices(self, x: Tensor, size: tuple[int, int], rng: torch.Generator) -> Tensor:
        n, most = len(x), self.magnitude
        side = -drawn(self.draw_x, x, lambda: uniform(n, -most, most, rng, self.batch), "Warp(draw_x=...)")
        up = -drawn(self.draw_y, x, lambda: uniform(n, -most, most, rng, self.batch), "Warp(draw_y=...)")
        corners = torch.tensor([[-1.0, -1], [-1, 1], [1, -1], [1, 1]]).expand(n, 4, 2)
        moved = corners + torch.stack([-up, -side, up, side, up, side, -up, -side], dim=1).reshape(n, 4, 2)
        numbers = find_coeffs(corners, moved)[..., 0]
        return torch.cat([numbers, torch.ones(n, 1)], dim=1).reshape(n, 3, 3)


class Dihedral(AsOwn, own.Dihedral):
    """One of the 8 symmetries of the square, with probability `p`. `draw`: 0 as it is, 1 mirrored, 2 upside down, 4 turned by half, 6 transposed; 3, 5, 7 turned by a quarter or transposed
    the other way."""

    __qualname__ = "compat.Dihedral"  # burnish's own class of the name stays what a model file names

    def __init__(
        self, p: float = 0.5, draw: Draw = None, size: HeightWidth | None = None, mode: str = "bilinear", pad_mode: str = "reflection", align_corners: bool = True, batch: bool = False
    ) -> None:  # fmt: skip
        super().__init__(p, symmetry(draw), size, mode, pad_mode, align_corners, batch)


class DeterministicDraw:
    """For `draw`: of the first batch the first of `vals`, of the next the next, and so on around."""

    def __init__(self, vals: Sequence[float]) -> None:
        self.vals, self.count = list(vals), -1

    def __call__(self, x: Tensor) -> Tensor:
        self.count += 1
        return torch.full((len(x),), float(self.vals[self.count % len(self.vals)]))


class DeterministicDihedral(Dihedral):
    """The 8 symmetries of the square, one batch after the other."""

    def __init__(
        self, size: HeightWidth | None = None, mode: str = "bilinear", pad_mode: str = "reflection", align_corners: bool = True
    ) -> None:
        super().__init__(1.0, DeterministicDraw(range(8)), size, mode, pad_mode, align_corners)


class DeterministicFlip(own.Flip):
    """Every other batch mirrored."""

    def __init__(
        self, size: HeightWidth | None = None, mode: str = "bilinear", pad_mode: str = "reflection", align_corners: bool = True
    ) -> None:
        super().__init__(1.0, DeterministicDraw([0, 1]), size, mode, pad_mode, align_corners)


@functools.wraps(own.aug_transforms)
def aug_transforms(*args: Any, **kwargs: Any) -> Any:
    """burnish's `aug_transforms`; a `min_scale` without the `size` that it needs is left out, and said to be."""
    given = inspect.signature(own.aug_transforms).bind(*args, **kwargs).arguments
    if given.get("size") is None and given.get("min_scale", 1.0) != 1.0:
        note(f"aug_transforms(min_scale={given['min_scale']}) has no effect without size=.")
        given.pop("min_scale")
    return own.aug_transforms(**given)
