"""Drawings of the interpretation, readable at a notebook's size."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from burnish.data.show import grid

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
    side = min(14.0, max(4.0, 1.6 + 0.36 * classes))
    _, ax = plt.subplots(figsize=figsize or (side, side), dpi=dpi, layout="constrained")
    ax.imshow(shown, cmap=cmap, vmin=0, vmax=1 if normalize else max(1, counts.max()), interpolation="nearest")
    small = float(np.clip(11 - 0.12 * classes, 5, 10))
    labels = [textwrap.shorten(n, 24, placeholder="…") for n in names]
    step = max(1, classes // 60)  # of very many classes, every so many are named
    places = range(0, classes, step)
    ax.set_xticks(list(places), [labels[i] for i in places], rotation=90, fontsize=small)
    ax.set_yticks(list(places), [labels[i] for i in places], fontsize=small)
    ax.set(title=title, xlabel="predicted", ylabel="actual")
    if plot_txt and classes <= MOST_WITH_NUMBERS:
        _write_cells(ax, shown, counts, normalize, norm_dec, small)


def _write_cells(ax: Any, shown: np.ndarray, counts: np.ndarray, normalize: bool, decimals: int, size: float) -> None:
    dark = shown.max() / 2
    wide = len(shown) > 12  # small cells: .05 instead of 0.05
    for i, j in zip(*np.nonzero(counts), strict=True):
        text = f"{shown[i, j]:.{decimals}f}" if normalize else f"{counts[i, j]}"
        text = text.removeprefix("0") if wide and normalize and decimals else text
        ax.text(
            j,
            i,
            text,
            ha="center",
            va="center",
            fontsize=size * (0.72 if wide and normalize else 0.9),
            color="white" if shown[i, j] > dark else "black",
        )


def shares_of_rows(counts: np.ndarray) -> np.ndarray:
    """Each row divided by its sum; rows without samples are 0."""
    return counts / np.maximum(counts.sum(1, keepdims=True), 1)


def draw_samples(
    n: int,
    draw: Callable[[int, Any], None],
    titles: Sequence[tuple[str, bool | None]],
    heading: str,
    nrows: int | None = None,
    ncols: int | None = None,
    figsize: tuple[float, float] | None = None,
) -> None:
    """Draws samples in a grid in a new figure.

    Args:
        n: how many.
        draw: called as ``draw(i, ax)``.
        titles: each sample's title, and whether the prediction is right (green), wrong (red) or neither (None).
        heading: what the titles say.
    """
    axes = grid(n, nrows, ncols, figsize, cell=2.6)
    for i, ax in enumerate(axes[:n]):
        draw(i, ax)
        text, right = titles[i]
        ax.set_title(text, fontsize=9, color="black" if right is None else RIGHT if right else WRONG)
    if axes:
        axes[0].figure.suptitle(heading, fontsize=10)
