"""Large pictures in overlapping windows: what the model says of each, put together without seams."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from burnish.data.notes import note
from burnish.data.transforms import Size
from burnish.vision.frames import Frame, frame_of

if TYPE_CHECKING:
    from burnish.data.dataloaders import DataLoaders

LARGEST = 1024  # the side, in pixels that the model gets, from which on a picture is predicted in windows
OVERLAP = 0.25  # of a window's side, at least
_AT_ONCE = 2**20  # pixels of windows in a batch
_TRIES = 4  # at a window of the scale wanted
_ALIKE = 0.02  # how far scales may differ that count as one


def windows_of(dls: DataLoaders, frame: Frame) -> Frame | None:
    """What the model gets of one window of a picture; None where it is given the picture as a whole.

    Windows are needed where the transforms cut off a part of the picture, or what they leave is large. They show the picture at the scale at
    which the model saw those that it learned from; where no window has that scale (all pictures are brought to one large size, say), there are none.
    """
    if frame.sees_all and max(frame.seen) <= LARGEST * 1.25:
        return None
    left, top, right, bottom = frame.part
    sides = [min(float(side), LARGEST / scale) for side, scale in zip((right - left, bottom - top), frame.scale, strict=True)]
    for _ in range(_TRIES):
        window = frame_of(dls, (max(1, round(sides[0])), max(1, round(sides[1]))))
        ratios = [a / b for a, b in zip(window.scale, frame.scale, strict=True)]
        if all(abs(ratio - 1) < _ALIKE for ratio in ratios):
            return window
        sides = [side * ratio for side, ratio in zip(sides, ratios, strict=True)]  # a transform that fits a share of what it gets
    if not frame.sees_all:
        note(
            "The item transforms cut off a part of the picture, and no window of it can be predicted at the same scale: what the model doesn't see has "
            "the class of the nearest pixel that it sees. Resize(size, method='squish') sees whole pictures."
        )
    return None


def predict_windows(picture: Image.Image, window: Frame, run: Callable[[list[Image.Image]], list[Tensor]]) -> Tensor:
    """What the model says of a whole picture ``(channels, height, width)``: the mean of its windows, where they overlap weighted by how far inside
    of each a pixel is.

    Args:
        window: what the model gets of one window. What it doesn't see around is given from the picture, mirrored at its edges.
        run: what it says of some windows, each ``(channels, height, width)`` as the model sees it.
    """
    left, top, right, bottom = window.part
    size, (width, height) = (right - left, bottom - top), picture.size
    weight = ramp(size[1])[:, None] * ramp(size[0])
    total: Tensor | None = None
    weights = torch.zeros((height, width))
    places = list(_places((width, height), size))
    at_once = max(1, _AT_ONCE // (window.seen[0] * window.seen[1]))
    for i in range(0, len(places), at_once):
        some = places[i : i + at_once]
        for (x, y), planes in zip(some, run([_cut(picture, x - left, y - top, window.source) for x, y in some]), strict=True):
            if total is None:
                total = torch.zeros((len(planes), height, width))
            seen = window.planes(planes.float().cpu())[:, top:bottom, left:right]
            wide, high = min(size[0], width), min(size[1], height)  # of a picture smaller than a window
            total[:, y : y + high, x : x + wide] += (seen * weight)[:, :high, :wide]
            weights[y : y + high, x : x + wide] += weight[:high, :wide]
    assert total is not None  # there is always one window
    return total.div_(weights)


def _cut(picture: Image.Image, left: int, top: int, size: Size) -> Image.Image:
    """A part of a picture; where it goes beyond it, mirrored."""
    across, down = (_mirrored(start, n, whole) for start, n, whole in zip((left, top), size, picture.size, strict=True))
    if left >= 0 and top >= 0 and left + size[0] <= picture.width and top + size[1] <= picture.height:
        return picture.crop((left, top, left + size[0], top + size[1]))
    return Image.fromarray(np.asarray(picture)[down][:, across])


def _mirrored(start: int, n: int, whole: int) -> np.ndarray:
    """Indices of `n` pixels from `start` on, of which there are `whole`."""
    places = np.arange(start, start + n) % (2 * whole)
    return np.minimum(places, 2 * whole - 1 - places)


def ramp(n: int) -> Tensor:
    """The weights ``(n,)`` of a window's pixels along one side: rising over the overlap, 1 in the middle."""
    inwards = torch.arange(n) + 0.5
    return (torch.minimum(inwards, n - inwards) / max(1.0, OVERLAP * n)).clamp(max=1)


def _places(picture: Size, window: Size) -> Iterator[tuple[int, int]]:
    """The left upper corners of windows that cover a picture, evenly laid."""
    across, down = (_starts(n, w) for n, w in zip(picture, window, strict=True))
    return ((x, y) for y in down for x in across)


def _starts(n: int, window: int) -> list[int]:
    room = n - window
    if room <= 0:
        return [0]
    steps = math.ceil(room / max(1, window * (1 - OVERLAP)))
    return [round(room * i / steps) for i in range(steps + 1)]
