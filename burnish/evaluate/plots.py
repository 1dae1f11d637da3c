"""Drawings of the interpretation, readable at a notebook's size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from burnish.data.block import Block
from burnish.data.show import brief, grid, room_of, set_title, width_of

RIGHT, WRONG = "#1a7f37", "#b3261e"
MOST_WITH_NUMBERS = 40  # classes; beyond, the cells are too small for a number


def draw_confusion(
    counts: np.ndarray,
    names: Sequence[str],
    *,
    normalize: bool = False,
    title: str = "Confusion matrix",
    cmap: str = "Blues",
    norm_dec: int = 2,
    plot_txt: bool = True,
    figsize: tuple[float, float] | None = None,
    dpi: float | None = None,
) -> None:
    """Draws a confusion matrix, rows actual and columns predicted, in a new figure.

    Args:
        counts: ``(classes, classes)``.
        names: of the classes.
        normalize: shares of each row instead of counts; a class without samples has none.
        norm_dec: decimals of the shares.
        plot_txt: write the numbers into the cells (up to 40 classes).
    """
    import matplotlib.pyplot as plt

    classes = len(names)
    shown = shares_of_rows(counts) if normalize else counts
    side = min(13.0, max(5.0, 2.4 + 0.42 * classes))
    width, height = figsize or (side, side)
    _, ax = plt.subplots(figsize=(width, height), dpi=dpi, layout="constrained")
    ax.imshow(shown, cmap=cmap, vmin=0, vmax=1 if normalize else max(1, counts.max()), interpolation="nearest")
    step = max(1, classes // 60)  # of very many classes, every so many are named
    cell = 72 * 0.75 * min(width, height) / classes  # points
    size = float(np.clip(0.75 * cell * step, 5, 10))
    places = range(0, classes, step)
    labels = [brief(names[i], 24) for i in places]
    turned = max(width_of(label, size) for label in labels) > 0.9 * cell * step
    ax.set_xticks(list(places), labels, rotation=90 if turned else 0, fontsize=size)
    ax.set_yticks(list(places), labels, fontsize=size)
    ax.set(title=title, xlabel="predicted", ylabel="actual")
    if plot_txt and classes <= MOST_WITH_NUMBERS:
        _write_cells(ax, shown, counts, norm_dec if normalize else 0, cell)


def _write_cells(ax: Any, shown: np.ndarray, counts: np.ndarray, decimals: int, cell: float) -> None:
    """Writes the numbers that aren't 0, as large as the cells (`cell` points wide) allow; .05 for 0.05 where it is tight."""
    places = list(zip(*np.nonzero(counts), strict=True))
    texts = [f"{shown[i, j]:.{decimals}f}" for i, j in places]
    if max(map(len, texts), default=0) * 6 > cell:
        texts = [t.removeprefix("0") if decimals else t for t in texts]
    size = min(10.0, cell / (0.68 * max(map(len, texts), default=1)))
    for (i, j), text in zip(places, texts, strict=True):
        ax.text(j, i, text, ha="center", va="center", fontsize=size, color="white" if shown[i, j] > shown.max() / 2 else "black")


def shares_of_rows(counts: np.ndarray) -> np.ndarray:
    """Each row divided by its sum; rows without samples are 0."""
    return counts / np.maximum(counts.sum(1, keepdims=True), 1)


def draw_samples(
    n: int,
    draw: Callable[[int, Any], None],
    titles: Sequence[tuple[str, bool | None]],
    heading: str | None = None,
    nrows: int | None = None,
    ncols: int | None = None,
    figsize: tuple[float, float] | None = None,
    blocks: Sequence[Block] = (),
) -> None:
    """Draws samples in a grid in a new figure.

    Args:
        n: how many.
        draw: called as ``draw(i, ax)``.
        titles: each sample's title, and whether the prediction is right (green), wrong (red) or neither (None).
        heading: above them all. blocks: of the inputs, for the room they need.
    """
    lines = max((text.count("\n") + 1 for text, _ in titles), default=1)
    for i, ax in enumerate(grid(n, nrows, ncols, figsize, lines, heading, **room_of(blocks))):
        draw(i, ax)
        text, right = titles[i]
        set_title(ax, text, "black" if right is None else RIGHT if right else WRONG)
