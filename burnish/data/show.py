"""Grids of pictures: what show_batch and show_results draw."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from burnish.data.block import Block
from burnish.data.table import column_names
from burnish.errors import SettingError

_CELL = 2.6  # inches: a picture's side
_MOST_LINES = 5  # of a row beneath its picture
_SMALL = 7.5  # points: the font of a row beneath its picture


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
    beneath: int = 0,
    across: int = 1,
) -> list[Any]:
    """Axes for `n` pictures, as square as possible; unused ones are hidden.

    With `nrows` or `ncols` alone the other grows to fit `n`. With both the grid is as told, and there are at most
    ``nrows * ncols`` axes: draw no more pictures than that (``how_many``).

    Args:
        figsize: of the figure in inches; by default there is room for the titles.
        lines: of each title. heading: above them all. beneath: lines under each picture. across: pictures side by side in a place.
    """
    import matplotlib.pyplot as plt

    for name, given in (("nrows", nrows), ("ncols", ncols)):
        if given is not None and given < 1:
            raise SettingError(f"{name}={given!r}: a whole number of at least 1 was expected, or None to fit the pictures.")
    if nrows is None and ncols is None:
        nrows = max(1, math.ceil(n / max(1, 4 // across)) if across > 1 else int(math.sqrt(n)))
    rows = nrows if nrows is not None else -(-n // (ncols or 1))
    columns = ncols if ncols is not None else -(-n // rows)
    wide = columns * _CELL * (1 if across == 1 else 0.8 * across)
    size = figsize or (wide, rows * (_CELL * (1 if across == 1 else 0.8) + 0.12 + 0.18 * lines + 0.14 * beneath) + (0.3 if heading else 0))
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
    tries = (brief(text, most) for most in range(len(text), min(2, len(text) - 1), -1))
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


def draw_inputs(blocks: Sequence[Block], values: Sequence[Any], ax: Any) -> None:
    """Draws the decoded inputs of a sample on one axes: several pictures side by side, a table's row in words beneath."""
    kinds: dict[type[Block], list[int]] = {}
    for i, block in enumerate(blocks):
        if is_drawn(block):
            kinds.setdefault(type(block), []).append(i)
    for places in kinds.values():
        block, shown = blocks[places[0]], [values[i] for i in places]
        block.draw(shown[0] if len(shown) == 1 else block.beside(shown), ax, title="")
        ax.autoscale(len(shown) == 1)  # a mask over the first of several must not hide the others
        if len(shown) > 1:
            block.draw(shown[0], ax, title="")  # in its place again: what has places is drawn by the size of the last picture
    if not kinds:
        ax.set_axis_off()
    beneath = [block.say(value) for block, value in zip(blocks, values, strict=True) if block.of_row]
    if beneath and kinds:
        ax.text(
            0.5, -0.03, "\n".join(beneath), transform=ax.transAxes, va="top", ha="center", fontsize=_SMALL, color="0.3", parse_math=False
        )  # fmt: skip


def is_drawn(block: Block) -> bool:
    """Whether values of this kind are drawn, and not said in words."""
    return type(block).draw is not Block.draw


def named_lines(said: Sequence[str], names: Sequence[str]) -> list[str]:
    """What is said of each of several things, with its name before it; of one thing as it is."""
    return list(said) if len(said) < 2 else [f"{name}: {text}" for name, text in zip(names, said, strict=True)]


def rows_only(blocks: Sequence[Block]) -> bool:
    """Whether inputs are rows of a table and nothing else: they are shown as a table."""
    return bool(blocks) and all(block.of_row for block in blocks)


def room_of(blocks: Sequence[Block], samples: Sequence[Sequence[Any]] = ()) -> dict[str, Any]:
    """What ``grid`` must know of the inputs that ``draw_inputs`` draws: pictures across, lines beneath.

    Args:
        samples: the decoded inputs of each. Without them as many lines are taken as rows have at most.
    """
    rows = [i for i, block in enumerate(blocks) if block.of_row]
    lines = [sum(blocks[i].say(values[i]).count("\n") + 1 for i in rows) for values in samples]
    return {"across": max(1, sum(b.kind == "image" for b in blocks)), "beneath": max(lines, default=_MOST_LINES * len(rows))}


def draw_sample(blocks: Sequence[Block], values: Sequence[Any], ax: Any, title: str | None = None) -> None:
    """Draws a sample's decoded values on one axes: pictures drawn, a row beneath them, the others as their title, with their names where there
    are several."""
    drawn, beside = [is_drawn(b) for b in blocks], any(b.kind == "image" for b in blocks)
    places = [i for i, (b, d) in enumerate(zip(blocks, drawn, strict=True)) if d or (b.of_row and beside)]
    words = [i for i in range(len(blocks)) if i not in places]
    draw_inputs([blocks[i] for i in places], [values[i] for i in places], ax)
    names = column_names(blocks)
    said = named_lines([blocks[i].say(values[i]) for i in words], [names[i] for i in words])
    set_title(ax, "\n".join(said) if title is None else title)
    if not any(drawn):
        ax.set_axis_off()
