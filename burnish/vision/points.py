"""PointBlock: places in a picture (landmarks, joints, tips), as a target."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from burnish.data.block import Answer, Block, names_of
from burnish.data.transforms import Size
from burnish.errors import DataError, SettingError, listed
from burnish.evaluate.points import PointLoss
from burnish.vision.head import PlaceOfMaps, PointHead

if TYPE_CHECKING:
    from burnish.data.dataloaders import DataLoaders

_UNITS = ("pixels", "fraction")
_MOST_NAMED = 12  # points whose names are written beside them


class PointBlock(Block):
    """Points of a picture, as many for each: the corners of a leaf, the landmarks of a face. Some may be missing.

    Raw cells are lists or arrays of (x, y) from the left upper corner, ``(n, 2)`` or flat; a missing point is None or has NaN in it.

    Args:
        names: of the points, in their order.
        n: how many there are; None learns it from the training rows.
        units: of the raw cells: "pixels" of the picture as it is in its file (upright), or "fraction" of its width and height.
        y_first: the raw cells are (y, x).
        swap: pairs of points, by number or name, that change places when a picture is mirrored (a left and a right eye). By default those whose names
            differ by "left" and "right" alone; ``[]`` for none.

    Shapes: encode gives float32 ``(n, 2)``, x, y from -1 (left, top) to 1 (right, bottom) of the picture, NaN where missing. A finished batch is
    ``(batch, n, 2)``, after augmentation also beyond -1 ... 1: such points aren't seen and don't count. Models give the same shape. Decoded, points are in fractions
    of the picture, 0 to 1; ``predict`` gives them in pixels of the picture as it was given.
    """

    kind: ClassVar[str] = "points"
    name: ClassVar[str] = "points"
    takes_picture_size: ClassVar[bool] = True
    located: ClassVar[bool] = True
    metrics: ClassVar[tuple[str, ...]] = ("point_distance", "pck")

    def __init__(
        self,
        names: Sequence[str] | None = None,
        n: int | None = None,
        units: str = "pixels",
        y_first: bool = False,
        swap: Sequence[Sequence[int | str]] | None = None,
    ) -> None:
        if units not in _UNITS:
            raise SettingError(f"units={units!r}: expected 'pixels' or 'fraction' (of the picture's width and height).")
        self.names = None if names is None else [str(name) for name in names]
        if self.names is not None and n not in (None, len(self.names)):
            raise SettingError(f"n={n} points, and names has {len(self.names)}: leave one of them out.")
        self.n = len(self.names) if self.names is not None else n
        self.units, self.y_first = units, y_first
        self.swap = _left_and_right(self.names or []) if swap is None else [_pair(pair, self.names) for pair in swap]

    def fit(self, raws: Sequence[Any]) -> None:
        if self.n is None and len(raws):
            self.n = len(_places(raws[0], str(names_of(raws)[0])))
            if self.n == 0:
                raise DataError("The first training row has no point. How many does a picture have? PointBlock(n=...) says it.")
        self.check(raws, names_of(raws), "train")
        largest = max((float(np.nanmax(np.abs(p))) for raw in raws if np.isfinite(p := _places(raw, "")).any()), default=None)
        if largest is None:
            raise DataError(f"All points of the {len(raws)} training rows are missing: there is nothing to learn.")
        if self.units == "pixels" and largest <= 1:
            raise DataError(
                "No number of the training points is above 1: they are fractions of their pictures, not pixels. PointBlock(units='fraction') says so."
            )
        taken = [i for pair in self.swap for i in pair]
        if any(not 0 <= i < (self.n or 0) for i in taken) or len(set(taken)) < len(taken):
            raise SettingError(
                f"swap={self.swap}: pairs of the points 0 to {(self.n or 1) - 1} were expected, each point in one pair at most, for the two change places."
            )

    def check(self, raws: Sequence[Any], rows: Sequence[object], split: str) -> None:
        for raw, row in zip(raws, rows, strict=True):
            found = _places(raw, f"{row} of the {split} split")
            if len(found) != self.n:
                raise DataError(
                    f"{row} of the {split} split has {len(found)} points, and {self.n} are expected in each{self._named()}. Where one isn't seen, write None."
                )

    def _named(self) -> str:
        return f": {listed(self.names, 12)}" if self.names else ""

    # -- opening ----------------------------------------------------------------------------------------------------
    def open(self, raw: Any, size: Size | None = None) -> Any:
        from torchvision import tv_tensors

        places = _places(raw, "A sample")
        if len(places) != self.n:
            raise DataError(f"{len(places)} points were given, and {self.n} are expected{self._named()}. Where one isn't seen, write None.")
        places = places[:, ::-1] if self.y_first else places
        if size is None:
            if self.units == "pixels":
                raise DataError(
                    "These points are in pixels, and there is no picture before them. Put an ImageBlock first, or give fractions: PointBlock(units='fraction')."
                )
            size = (1, 1)
        pixels = places * (size if self.units == "fraction" else (1, 1))
        self._check_inside(pixels, size)
        if self.swap:
            pixels = np.concatenate([pixels, np.array([[0, 0], [1, 0], [0, 1]]) * size])  # a triangle that tells what was mirrored
        return tv_tensors.KeyPoints(torch.from_numpy(pixels.astype(np.float32)), canvas_size=(size[1], size[0]))  # type: ignore[call-arg]

    def _check_inside(self, pixels: np.ndarray, size: Size) -> None:
        slack = 1 if self.units == "pixels" else 1e-3 * max(size)
        outside = (pixels < -slack) | (pixels > np.array(size) + slack)
        if not outside.any():
            return
        i = int(np.flatnonzero(outside.any(axis=1))[0])
        x, y = pixels[i].tolist()
        swapped = (
            " They are inside as (y, x): y_first=True says so."
            if not ((pixels[:, ::-1] < -slack) | (pixels[:, ::-1] > np.array(size) + slack)).any()
            else ""
        )
        raise DataError(
            f"Point {i}{f' ({self.names[i]})' if self.names else ''} is at x={x:g}, y={y:g}, outside of its picture of {size[0]} x {size[1]} pixels (width x height).{swapped} "
            "Mend it, or write None where a point isn't seen."
        )

    # -- tensors ------------------------------------------------------------------------------------------------------
    def encode(self, value: Any) -> Tensor:
        canvas = getattr(value, "canvas_size", None)
        if canvas is None or value.ndim != 2 or value.shape[1] != 2:
            raise DataError(
                f"After the item transforms points must be torchvision's KeyPoints (n, 2); they are a {type(value).__name__}. Check what the transforms return."
            )
        return value.as_subclass(Tensor).float() * 2 / torch.tensor([float(canvas[1]), float(canvas[0])]) - 1

    def settle(self, batch: Tensor) -> Tensor:
        """Without the triangle; of mirrored pictures the points of each pair have changed places."""
        if not self.swap or batch.shape[1] == self.n:
            return batch
        points, (corner, right, below) = batch[:, :-3], batch[:, -3:].unbind(1)
        (a, b), (c, d) = (right - corner).unbind(-1), (below - corner).unbind(-1)
        order = list(range(points.shape[1]))
        for i, j in self.swap:
            order[i], order[j] = order[j], order[i]
        return torch.where((a * d - b * c < 0)[:, None, None], points[:, order], points)

    def decode(self, encoded: Tensor) -> np.ndarray:
        """Fractions of the picture's width and height ``(n, 2)``, x, y; NaN where missing."""
        encoded = encoded[: self.n]  # of a sample that isn't settled
        return ((encoded.detach().as_subclass(Tensor).cpu().float() + 1) / 2).numpy()

    def draw(self, value: Any, ax: Any, title: str | None = None) -> None:
        """On the picture that is drawn already."""
        from burnish.vision.drawing import draw_points

        draw_points(np.asarray(value), self.names if self.n is not None and self.n <= _MOST_NAMED else None, ax)
        if title is not None:
            ax.set_title(title)

    def say(self, value: Any) -> str:
        there = [bool(np.isfinite(place).all()) for place in np.asarray(value)]
        return f"{sum(there)} of {len(there)} points"

    # -- as a target --------------------------------------------------------------------------------------------------
    @property
    def n_out(self) -> int:
        if self.n is None:
            raise DataError("This PointBlock doesn't know how many points there are: it learns it from the training rows, or n= says it.")
        return 2 * self.n

    def loss(self) -> nn.Module:
        return PointLoss()

    def final(self) -> nn.Module:
        return nn.Unflatten(1, (self.n_out // 2, 2))

    def head(self, features: int) -> nn.Module:
        return PointHead(features, self.n_out // 2)

    def of_maps(self) -> tuple[int, nn.Module]:
        return self.n_out // 2, PlaceOfMaps()

    def prior(self) -> Tensor:
        """The middle of the picture."""
        return torch.zeros(self.n_out)

    begins_flat: ClassVar[bool] = True

    def in_source(self, answer: Answer, dls: DataLoaders, item: Any) -> Answer:
        from burnish.vision.frames import frame_of, picture_of

        picture = picture_of(dls, item)
        places = frame_of(dls, picture.size).points(answer[0])
        return places * 2 / torch.tensor(picture.size).to(places) - 1, places

    def tracer(self) -> tuple[Block, Any]:
        from burnish.vision.frames import corner_tracer

        return corner_tracer()

    def moved(self, preds: Tensor, traced: Tensor, plain: Tensor) -> tuple[Tensor, Tensor]:
        from burnish.vision.frames import homographies, project

        return project(preds, homographies(traced, plain)), (preds.abs() <= 1).all(dim=-1, keepdim=True).float()

    def told(self, answer: Answer) -> np.ndarray:
        """In pixels of the picture as it was given ``(n, 2)``."""
        return answer[1].numpy()

    def cells(self, label: Any) -> dict[str, Any]:
        names = self.names or [f"point {i}" for i in range(len(label))]
        return {f"{name} {axis}": float(place[k]) for name, place in zip(names, label, strict=True) for k, axis in enumerate("xy")}


def _left_and_right(names: Sequence[str]) -> list[list[int]]:
    """The pairs of names that differ by "left" and "right" alone."""
    lower = [name.lower() for name in names]
    return [[i, lower.index(other)] for i, name in enumerate(lower) if "left" in name and (other := name.replace("left", "right")) in lower]


def _pair(pair: Sequence[int | str], names: Sequence[str] | None) -> list[int]:
    """The two points of a pair by their numbers.

    Raises:
        SettingError: they are no two points.
    """
    known = list(names or [])
    unknown = [point for point in pair if isinstance(point, str) and point not in known]
    if len(pair) != 2 or unknown or pair[0] == pair[1]:
        raise SettingError(f"swap has {list(pair)}: expected two points each, by number or one of the names {listed(known, 12)}.")
    return [known.index(point) if isinstance(point, str) else int(point) for point in pair]


def _places(raw: Any, where: str) -> np.ndarray:
    """Points as an array ``(n, 2)``, NaN where missing."""
    if isinstance(raw, (str, bytes, os.PathLike)) or raw is None:
        raise DataError(f"{where} has {raw!r}, which is no points: expected a list of (x, y).")
    if isinstance(raw, Tensor):
        raw = raw.detach().cpu().numpy()
    try:
        if not isinstance(raw, np.ndarray):
            raw = [(np.nan, np.nan) if point is None else point for point in raw]
            raw = [[np.nan if v is None else v for v in point] if isinstance(point, (list, tuple)) else point for point in raw]
        array = np.asarray(raw, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError(
            f"{where} has {str(raw)[:80]}, which is no points: expected a list of (x, y), None for one that isn't seen."
        ) from None
    if array.size == 0:
        return array.reshape(0, 2)
    if array.ndim == 1 and len(array) % 2 == 0:
        array = array.reshape(-1, 2)
    if array.ndim != 2 or array.shape[1] != 2 or np.isinf(array).any():
        raise DataError(f"{where} has an array of shape {array.shape}, or infinite numbers, which is no points: expected (x, y) for each.")
    return np.where(np.isnan(array).any(axis=1, keepdims=True), np.nan, array)
