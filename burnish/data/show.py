"""Grids of pictures: what show_batch and show_results draw."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from burnish.data.block import Block
from burnish.errors import SettingError

_CELL = 2.6  # inches: a picture's side


def how_many(max_n: int, nrows: int | None, ncols: int | None) -> int:
    """How many pictures to draw at most: as many as a grid of `nrows` x `ncols` has places, `max_n` where it isn't given."""
    return max_n if nrows is None or ncols is None else nrows * ncols


def grid(
    n: int,
    nrows: int | None = None,
    ncols: int | None = None,
    figsize: tuple[float, float] | None = None,
    lines: int = 1,
    heading: str | None = None,
) -> list[Any]:
    """Axes for `n` pictures, as square as possible; unused ones are hidden.

    With `nrows` or `ncols` alone the other grows to fit `n`. With both the grid is as told, and there are at most
    ``nrows * ncols`` axes: draw no more pictures than that (``how_many``).

    Args:
        figsize: of the figure in inches; by default there is room for the titles.
        lines: of each title. heading: above them all.
    """
    import matplotlib.pyplot as plt

    for name, given in (("nrows", nrows), ("ncols", ncols)):
        if given is not None and given < 1:
            raise SettingError(f"{name}={given!r}: a whole number of at least 1 was expected, or None to fit the pictures.")
    if nrows is None and ncols is None:
        nrows = max(1, int(math.sqrt(n)))
    rows = nrows if nrows is not None else -(-n // (ncols or 1))
    columns = ncols if ncols is not None else -(-n // rows)
    size = figsize or (columns * _CELL, rows * (_CELL + 0.12 + 0.18 * lines) + (0.3 if heading else 0))
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="compressed")
    flat = list(axes.flat)
    for ax in flat:
        ax.set_anchor("N")  # right under its title, for which the layout then leaves room
    for ax in flat[n:]:
        ax.set_axis_off()
    if heading:
        figure.suptitle(heading, fontsize=11)
    return flat[:n]


def set_title(ax: Any, text: str, color: str = "black", size: float = 9) -> None:
    """The title of one of ``grid``'s axes, after its picture; each line shortened in the middle to the width of the cell.

    Args:
        size: of the font in points.
    """
    figure, cells = ax.figure, ax.get_subplotspec().get_gridspec()
    width, height = 72 * figure.get_figwidth() / cells.ncols, 72 * figure.get_figheight() / cells.nrows
    lines = text.split("\n")
    if ax.get_data_ratio() * width > height - 1.3 * size * len(lines):  # narrower than its cell: the columns don't move together,
        figure.set_layout_engine("constrained")  # so that the titles keep the cells' widths
    ax.set_title("\n".join(fitting(line, width - size, size) for line in lines), fontsize=size, color=color, parse_math=False)


def fitting(text: str, room: float, size: float) -> str:
    """`text` as it is where it fits into `room` points at a font size of `size` points, else ``brief`` enough to fit."""
    tries = (brief(text, most) for most in range(len(text), 2, -1))
    return next((t for t in tries if width_of(t, size) <= room), "…" if text else "")


def width_of(text: str, size: float) -> float:
    """Width in points of a line in matplotlib's font at a size of `size` points."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    return text_to_path.get_text_width_height_descent(text, FontProperties(size=size), False)[0]


def brief(text: str, most: int) -> str:
    """A long text with its middle left out, `most` characters in all: names often differ only at the end.

    >>> brief("golden delicious apple number 12", 20)
    'golden de…number 12'
    """
    if len(text) <= most:
        return text
    end = (most - 1) // 2
    return f"{text[: most - 1 - end].rstrip()}…{text[-end:].lstrip()}"


def draw_sample(blocks: Sequence[Block], values: Sequence[Any], ax: Any, title: str | None = None) -> None:
    """Draws a sample's decoded values on one axes: pictures drawn, the others as their title."""
    has_picture = [type(b).draw is not Block.draw for b in blocks]
    drawn = [(b, v) for b, v, picture in zip(blocks, values, has_picture, strict=True) if picture]
    said = [b.say(v) for b, v, picture in zip(blocks, values, has_picture, strict=True) if not picture]
    for block, value in drawn:
        block.draw(value, ax)
    set_title(ax, "\n".join(said) if title is None else title)
    if not drawn:
        ax.set_axis_off()
