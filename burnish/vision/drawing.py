"""What is drawn over pictures: masks, points, boxes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

ALPHA = 0.4  # of a mask over its picture
_MOST_NAMED = 6  # classes in a legend


def colours_of(n: int) -> np.ndarray:
    """A colour ``(n, 3)`` in 0..1 for each class: those of matplotlib's tab20, strong ones first, then around the colour wheel."""
    import matplotlib

    own = np.array(matplotlib.colormaps["tab20"].colors)  # type: ignore[attr-defined]
    strong = np.concatenate([own[::2], own[1::2]])
    if n <= len(strong):
        return strong[:n]
    more = matplotlib.colormaps["hsv"](np.linspace(0, 1, n - len(strong), endpoint=False))[:, :3]
    return np.concatenate([strong, more])


def draw_mask(mask: np.ndarray, codes: Sequence[str], ax: Any, alpha: float = ALPHA) -> None:
    """A mask ``(height, width)`` of class numbers over what is drawn on `ax`, with a legend of the largest classes in their order; numbers beyond the codes are left
    clear. The pixels of a class that touch another one are stronger, those of class 0 (the background) not: so an outline is in its object, on all sides."""
    from matplotlib.patches import Patch

    colours = colours_of(len(codes))
    known = mask < len(codes)
    shown = np.zeros((*mask.shape, 4))
    border = np.zeros(mask.shape, dtype=bool)
    down, across = mask[1:] != mask[:-1], mask[:, 1:] != mask[:, :-1]
    for side, differs in ((border[1:], down), (border[:-1], down), (border[:, 1:], across), (border[:, :-1], across)):
        side |= differs
    border &= mask != 0
    shown[..., :3], shown[..., 3] = colours[np.where(known, mask, 0)], np.where(known, np.where(border, 1.0, alpha), 0)
    ax.imshow(shown, interpolation="nearest")
    ax.set_axis_off()
    numbers, counts = np.unique(mask[known], return_counts=True)
    largest = np.sort(numbers[np.argsort(-counts)][:_MOST_NAMED])
    ax.legend(
        handles=[Patch(color=tuple(colours[i].tolist()), label=codes[i]) for i in largest], loc="lower left", fontsize=6, framealpha=0.7, handlelength=1,
        borderpad=0.3, labelspacing=0.2,
    )  # fmt: skip


def draw_points(places: np.ndarray, names: Sequence[str] | None, ax: Any) -> None:
    """Points ``(n, 2)``, in fractions of the picture that is drawn on `ax`; missing ones and those beyond its edges are left out. Each of a few has a colour and its
    name; many are alike."""
    height, width = ax.images[-1].get_array().shape[:2] if ax.images else (1, 1)
    seen = np.asarray(np.abs(places - 0.5).max(axis=1) <= 0.5)  # and there: no comparison holds for NaN
    x, y = (np.where(seen[:, None], places, np.nan) * (width, height) - 0.5).T
    few = len(places) <= 20
    size = 30 if few else 6
    ax.scatter(x, y, s=size, c=colours_of(len(places)) if few else "#00e5ff", edgecolors="white", linewidths=0.8 if few else 0.2, zorder=3)
    for i, name in enumerate(names or []):
        if seen[i]:
            text = ax.annotate(
                name, (x[i], y[i]), xytext=(4, 3), textcoords="offset points", fontsize=6, color="white", bbox=_BEHIND, zorder=4
            )
            text.set_in_layout(False)  # one that reaches beyond the picture doesn't take its room
    ax.set_axis_off()


def draw_boxes(value: Any, vocab: Sequence[Any], ax: Any) -> None:
    """Boxes in fractions of the picture that is drawn on `ax`, in the colour of their class, with label and score; many have thin lines, and no words."""
    from matplotlib.patches import Rectangle

    height, width = ax.images[-1].get_array().shape[:2] if ax.images else (1, 1)
    few, colours = len(value.labels) <= _MOST_WORDED, colours_of(len(vocab))
    for i, (box, label) in enumerate(zip(value.boxes, value.labels, strict=True)):
        x1, y1, x2, y2 = box * (width, height, width, height) - 0.5
        colour = colours[vocab.index(label)].tolist()
        ax.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=colour, linewidth=1.6 if few else 0.8, zorder=3))
        score = "" if value.scores is None else f"{value.scores[i]:.2f}"
        words = f"{label if len(vocab) > 1 else ''} {score}".strip()
        if few and words:
            above = y1 > 0.08 * height
            ax.annotate(
                words, (x1, y1), xytext=(0, 1 if above else -1), textcoords="offset points", fontsize=6, color="white", va="bottom" if above else "top", zorder=4,
                bbox={**_BEHIND, "facecolor": colour, "alpha": 0.8}, annotation_clip=True,
            )  # fmt: skip
    ax.set_axis_off()


_MOST_WORDED = 12  # boxes that have their label beside them
_BEHIND = {"facecolor": "black", "alpha": 0.5, "edgecolor": "none", "pad": 1}  # text over a picture
