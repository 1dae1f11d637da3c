"""Drawing arrays, tensors and pictures as notebooks for fastai do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

__all__ = ["get_grid", "show_image", "show_images", "show_title", "show_titled_image", "subplots"]


def _pixels(im: Any) -> np.ndarray:
    """What to draw: (height, width) or (height, width, channels)."""
    found = im.detach().cpu() if isinstance(im, Tensor) else im
    if isinstance(found, Image.Image):
        return np.asarray(found)
    found = np.asarray(found.float() if isinstance(found, Tensor) and found.is_floating_point() else found)
    if found.ndim == 3 and found.shape[0] < 5:  # channels first
        found = found.transpose(1, 2, 0)
    return found[..., 0] if found.ndim == 3 and found.shape[-1] == 1 else found


def show_image(
    im: Any, ax: Any = None, figsize: Any = None, title: str | None = None, ctx: Any = None, cmap: Any = None, **kwargs: Any
) -> Any:
    """Draws a picture, an array or a tensor; gives the axes. Keywords go to ``imshow``."""
    import matplotlib.pyplot as plt

    pixels, ax = _pixels(im), ctx if ax is None else ax
    if ax is None:
        size = figsize or (max(1.0, pixels.shape[1] / 100 * 1.5), max(1.0, pixels.shape[0] / 100 * 1.5))
        ax = plt.subplots(figsize=size)[1]
    ax.imshow(pixels, cmap=cmap, **kwargs)
    if title is not None:
        ax.set_title(title)
    ax.axis("off")
    return ax


def show_titled_image(o: Any, **kwargs: Any) -> Any:
    """Draws (picture, title)."""
    return show_image(o[0], title=str(o[1]), **kwargs)


def subplots(
    nrows: int = 1, ncols: int = 1, figsize: Any = None, imsize: float = 3, suptitle: str | None = None, **kwargs: Any
) -> tuple[Any, Any]:
    """A figure and its axes, `imsize` inches each; of one the axes in an array, too."""
    import matplotlib.pyplot as plt

    size = figsize or (ncols * imsize, nrows * imsize + (0.6 if suptitle else 0))
    figure, axes = plt.subplots(nrows, ncols, figsize=size, **kwargs)
    if suptitle is not None:
        figure.suptitle(suptitle)
    return figure, np.array([axes]) if nrows * ncols == 1 else axes


def get_grid(
    n: int, nrows: int | None = None, ncols: int | None = None, figsize: Any = None, double: bool = False, title: str | None = None, return_fig: bool = False, flatten: bool = True, **kwargs: Any
) -> Any:  # fmt: skip
    """Axes for `n` pictures, as square as possible (twice as wide for pairs); unused ones are hidden."""
    if nrows:
        ncols = ncols or math.ceil(n / nrows)
    elif ncols:
        nrows = math.ceil(n / ncols)
    else:
        nrows = max(1, int(math.sqrt(n)))
        ncols = math.ceil(n / nrows)
    if double:
        ncols, n = ncols * 2, n * 2
    figure, axes = subplots(nrows, ncols, figsize=figsize, suptitle=title, **kwargs)  # type: ignore[arg-type]
    flat = list(np.asarray(axes, dtype=object).flatten())
    for ax in flat[n:]:
        ax.set_axis_off()
    made = flat[:n] + [None] * (n - len(flat)) if flatten else axes
    return (figure, made) if return_fig else made


def show_images(ims: Sequence[Any], nrows: int = 1, ncols: int | None = None, titles: Any = None, **kwargs: Any) -> None:
    """Draws several pictures in rows."""
    ncols = ncols or math.ceil(len(ims) / nrows)
    titles = [None] * len(ims) if titles is None else titles
    axes = np.asarray(subplots(nrows, ncols, **kwargs)[1], dtype=object).flatten()
    for im, title, ax in zip(ims, titles, axes, strict=False):
        show_image(im, ax=ax, title=title)
    for ax in axes[len(ims) :]:
        ax.set_axis_off()


def show_title(o: Any, ax: Any = None, ctx: Any = None, label: str | None = None, color: str = "black", **kwargs: Any) -> Any:
    """Sets a title, adds a cell to a row of a table, or prints."""
    ax = ctx if ax is None else ax
    if ax is None:
        print(o)
    elif hasattr(ax, "set_title"):
        before = ax.title.get_text()
        ax.set_title(f"{before}\n{o}" if before else f"{o}", color=color, **kwargs)
    else:
        name = label or "text"
        while name in ax:
            name += "_"
        if hasattr(ax, "astype") and ax.dtype != object:
            ax = ax.astype(object)  # a cell of a table's row may hold anything
        ax[name] = o
    return ax
