"""Where a picture's pixels went on their way to the model, and back: what is predicted of places is told in the picture as it was given.

Places are x, y from -1 (left, top) to 1 (right, bottom), from edge to edge: of the picture as it was given ("source"), or of what the model gets ("seen").
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import grid_sample

from burnish.data.loader import DataLoader
from burnish.data.reader import Reader
from burnish.data.transforms import Size
from burnish.errors import DataError

if TYPE_CHECKING:
    from burnish.data.dataloaders import DataLoaders

CORNERS = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])  # of a picture
_ROWS = 2**20  # pixels that are sampled at once


class Frame:
    """Where a picture is in what the model gets of it.

    Args:
        corners: where its corners went ``(4, 2)``, in the order of ``CORNERS``.
        source: (width, height) of the picture.
        seen: (width, height) of what the model gets.
    """

    def __init__(self, corners: Tensor, source: Size, seen: Size) -> None:
        self.corners, self.source, self.seen = corners.double(), source, seen

    @cached_property
    def to_seen(self) -> Tensor:
        """From places in the source to places in what is seen ``(3, 3)``."""
        return homographies(CORNERS[None].double(), self.corners[None])[0]

    @cached_property
    def to_source(self) -> Tensor:
        return torch.linalg.inv(self.to_seen)

    @property
    def scale(self) -> tuple[float, float]:
        """Pixels seen for one pixel of the source, across and down."""
        across, down = (self.corners[1] - self.corners[0]), (self.corners[3] - self.corners[0])
        half = torch.tensor(self.seen).double() / 2
        return float((across * half).norm()) / self.source[0], float((down * half).norm()) / self.source[1]

    @property
    def sees_all(self) -> bool:
        """Whether the whole picture is seen, but for a pixel at its edges."""
        slack = 1 + 2.0 / torch.tensor(self.seen).double()
        return bool((self.corners.abs() <= slack).all())

    @property
    def part(self) -> tuple[int, int, int, int]:
        """(left, top, right, bottom) in pixels of the source of what is seen of it."""
        inner = (project(CORNERS.double()[None], self.to_source[None])[0].clamp(-1, 1) + 1) / 2 * torch.tensor(self.source)
        left, top, right, bottom = (round(v) for v in (*inner.amin(0).tolist(), *inner.amax(0).tolist()))
        return left, top, max(right, left + 1), max(bottom, top + 1)

    def points(self, places: Tensor) -> Tensor:
        """Places in what is seen ``(n, 2)``, as pixels of the source: x, y from its left upper corner."""
        moved = project(places.double()[None], self.to_source[None])[0]
        return ((moved + 1) / 2 * torch.tensor(self.source)).to(places.dtype)

    def planes(self, seen: Tensor, mode: str = "bilinear") -> Tensor:
        """Values of what is seen ``(channels, height, width)``, at the pixels of the source. Beyond what is seen, the nearest that is."""
        width, height = self.source
        if (width, height) == (seen.shape[-1], seen.shape[-2]) and torch.allclose(self.corners, CORNERS.double(), atol=1e-6):
            return seen
        out = torch.empty((len(seen), height, width), dtype=seen.dtype, device=seen.device)
        step = max(1, _ROWS // width)
        for top in range(0, height, step):
            rows = slice(top, min(top + step, height))
            out[:, rows] = grid_sample(seen[None].float(), self._grid(rows, seen.device), mode, "border", align_corners=False)[0].to(
                seen.dtype
            )
        return out

    def _grid(self, rows: slice, device: torch.device) -> Tensor:
        """Where the pixels of some rows of the source are in what is seen ``(1, rows, width, 2)``."""
        width, height = self.source
        across = (torch.arange(width, dtype=torch.float64) * 2 + 1) / width - 1
        down = (torch.arange(rows.start, rows.stop, dtype=torch.float64) * 2 + 1) / height - 1
        places = torch.stack(torch.meshgrid(across, down, indexing="xy"), dim=-1)
        return project(places.reshape(1, -1, 2), self.to_seen[None]).reshape(1, len(down), width, 2).float().to(device)


def frame_of(dls: DataLoaders, size: Size) -> Frame:
    """Where a picture of `size`, (width, height), is in what the model gets in validation: traced by sending its corners with an empty one through
    the transforms."""
    index, (block, raw) = picture_input(dls), corner_tracer()
    mode = getattr(dls.input_blocks[index], "mode", "RGB")
    blocks = [dls.input_blocks[index], block]
    loader = DataLoader(
        [[Image.new(mode, size)], [raw]], np.arange(1), Reader(blocks, dls.item_tfms, train=False), batch_tfms=dls.batch_tfms, bs=1, num_workers=0, on_error="raise",
    )  # fmt: skip
    picture, corners = loader.one_batch()
    return Frame(corners[0], size, (picture.shape[-1], picture.shape[-2]))


def corner_tracer() -> tuple[Any, Any]:
    """What goes through the transforms beside a sample to tell where its picture went: its corners."""
    from burnish.vision.points import PointBlock

    return PointBlock(units="fraction", n=4), ((CORNERS + 1) / 2).numpy()


def picture_input(dls: DataLoaders) -> int:
    """Which of the inputs is the picture that the target belongs to: the first one.

    Raises:
        DataError: there is none.
    """
    index = next((i for i, block in enumerate(dls.input_blocks) if block.kind == "image"), None)
    if index is None:
        raise DataError(
            f"The target has places in a picture, and no input is one: {', '.join(type(b).__name__ for b in dls.input_blocks)}. Use an ImageBlock."
        )
    return index


def picture_of(dls: DataLoaders, item: Any) -> Image.Image:
    """The picture of an item that is predicted, as it was given, upright."""
    index = picture_input(dls)
    raw = item[index] if len(dls.input_blocks) > 1 else item
    return dls.input_blocks[index].open(raw)


def homographies(source: Tensor, target: Tensor) -> Tensor:
    """The perspective maps ``(n, 3, 3)`` that take four places ``(n, 4, 2)`` to four others (Hartley and Zisserman, 4.1)."""
    (x, y), (u, v) = source.double().unbind(-1), target.double().unbind(-1)
    one, none = torch.ones_like(x + u), torch.zeros_like(x + u)
    x, y = x * one, y * one
    above = torch.stack([x, y, one, none, none, none, -u * x, -u * y], dim=-1)
    below = torch.stack([none, none, none, x, y, one, -v * x, -v * y], dim=-1)
    found = torch.linalg.solve(torch.cat([above, below], dim=1), torch.cat([u * one, v * one], dim=1)[..., None])[..., 0]
    return torch.cat([found, torch.ones_like(found[:, :1])], dim=1).reshape(-1, 3, 3)


def project(places: Tensor, matrices: Tensor) -> Tensor:
    """Places ``(n, points, 2)`` through perspective maps ``(n, 3, 3)``."""
    moved = torch.cat([places, torch.ones_like(places[..., :1])], dim=-1) @ matrices.transpose(1, 2).to(places)
    return moved[..., :2] / moved[..., 2:]


def project_boxes(boxes: Tensor, matrices: Tensor) -> Tensor:
    """Boxes ``(n, boxes, 4)``, x1, y1, x2, y2 around things, through perspective maps ``(n, 3, 3)``: the boxes around them there.

    The box around a box that turns grows, and would grow again on its way back; so what is sought is the box that, turned the other way, gives this one (to the first order,
    around its centre). Where the turn is too far for that, it is the box around its corners.
    """
    boxes, maps = boxes.double(), matrices.double()
    middle, size = (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]
    centre = project(middle, maps)
    depth = (middle @ maps[:, 2, :2, None])[..., 0] + maps[:, 2, 2, None]
    turn = (maps[:, None, :2, :2] - centre[..., :, None] * maps[:, None, 2:, :2]) / depth[..., None, None]  # the map's slope at the centre
    back = torch.linalg.inv(turn).abs()
    steep = back[..., 0, 0] * back[..., 1, 1] - back[..., 0, 1] * back[..., 1, 0]
    exact = steep.abs() > 0.5 * (back[..., 0, 0] * back[..., 1, 1] + back[..., 0, 1] * back[..., 1, 0])
    solvable = torch.where(exact[..., None, None], back, torch.eye(2, dtype=back.dtype))
    sought = torch.linalg.solve(solvable, size[..., None])[..., 0]
    around = (turn.abs() @ size[..., None])[..., 0]
    half = torch.where((exact & (sought > 0).all(-1))[..., None], sought, around) / 2
    return torch.cat([centre - half, centre + half], dim=-1)


def moved_planes(planes: Tensor, matrices: Tensor) -> tuple[Tensor, Tensor]:
    """Planes ``(n, channels, height, width)`` sampled at the places that `matrices` ``(n, 3, 3)`` give for those of the result, of the same size; and where these
    are inside ``(n, 1, height, width)``, 1 or 0."""
    height, width = planes.shape[-2:]
    across, down = ((torch.arange(k, dtype=torch.float64) * 2 + 1) / k - 1 for k in (width, height))
    places = torch.stack(torch.meshgrid(across, down, indexing="xy"), dim=-1).reshape(1, -1, 2)
    grid = project(places.expand(len(planes), -1, -1), matrices).reshape(len(planes), height, width, 2).float()
    moved = grid_sample(planes.float(), grid, "bilinear", "border", align_corners=False).to(planes.dtype)
    return moved, (grid.abs() <= 1).all(dim=-1)[:, None].float()
