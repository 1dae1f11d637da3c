"""Grids of pictures: what show_batch and show_results draw."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from burnish.data.block import Block
from burnish.errors import SettingError


def how_many(max_n: int, nrows: int | None, ncols: int | None) -> int:
    """How many pictures to draw at most: as many as a grid of `nrows` x `ncols` has places, `max_n` where it isn't given."""
    return max_n if nrows is None or ncols is None else nrows * ncols


def grid(
    n: int, nrows: int | None = None, ncols: int | None = None, figsize: tuple[float, float] | None = None, cell: float = 2.6
) -> list[Any]:
    """Axes for `n` pictures, as square as possible; unused ones are hidden. `cell` is a picture's side in inches.

    With `nrows` or `ncols` alone the other grows to fit `n`. With both the grid is as told, and there are at most
    ``nrows * ncols`` axes: draw no more pictures than that (``how_many``).
    """
    import matplotlib.pyplot as plt

    for name, given in (("nrows", nrows), ("ncols", ncols)):
        if given is not None and given < 1:
            raise SettingError(f"{name}={given!r}: a whole number of at least 1 was expected, or None to fit the pictures.")
    if nrows is None and ncols is None:
        nrows = max(1, int(math.sqrt(n)))
    rows = nrows if nrows is not None else -(-n // (ncols or 1))
    columns = ncols if ncols is not None else -(-n // rows)
    _, axes = plt.subplots(rows, columns, figsize=figsize or (columns * cell, rows * (cell + 0.3)), squeeze=False, layout="constrained")
    flat = list(axes.flat)
    for ax in flat[n:]:
        ax.set_axis_off()
    return flat[:n]


def draw_sample(blocks: Sequence[Block], values: Sequence[Any], ax: Any, title: str | None = None) -> None:
    """Draws a sample's decoded values on one axes: pictures drawn, the others as their title."""
    drawn = [(b, v) for b, v in zip(blocks, values, strict=True) if b.kind not in ("category", "number", "value")]
    said = [b.say(v) for b, v in zip(blocks, values, strict=True) if b.kind in ("category", "number", "value")]
    for block, value in drawn:
        block.draw(value, ax)
    ax.set_title("\n".join(said) if title is None else title, fontsize=10)
    if not drawn:
        ax.set_axis_off()
