"""The helpers that the chapters of a well-known book on deep learning import by ``from fastbook import *``."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from burnish.compat import vision_tools
from burnish.data.collections import L
from burnish.data.files import get_image_files

__all__ = [
    "cluster_columns", "draw_tree", "get_image_files_sorted", "gv", "plot_function", "search_images_bing", "search_images_ddg", "setup_book",
]  # fmt: skip

search_images_ddg = vision_tools.search_images_ddg


def setup_book() -> None:
    """Nothing is to be set up."""


def search_images_bing(key: str | None, term: str, min_sz: int = 128, max_images: int = 150) -> L[dict[str, str]]:
    """What a search finds, as Bing's results look: ``.attrgot('contentUrl')``. No key is needed: the search is burnish's; nor has `min_sz`
    an effect."""
    _ = min_sz
    return vision_tools.search_images_bing(term, key, max_images)


def get_image_files_sorted(path: Any, recurse: bool = True, folders: Any = None) -> L[Any]:
    """The pictures below a folder, in order (as burnish gives them anyway)."""
    return get_image_files(path, recurse=recurse, folders=folders)


def plot_function(
    f: Callable[[torch.Tensor], Any], tx: str | None = None, ty: str | None = None, title: str | None = None, min: float = -2, max: float = 2,
    figsize: tuple[float, float] = (6, 4),
) -> None:  # fmt: skip
    """Draws a function of one number between `min` and `max`; `tx` and `ty` name the axes."""
    from matplotlib import pyplot as plt

    _, ax = plt.subplots(figsize=figsize)
    x = torch.linspace(min, max, 100)
    y = torch.as_tensor(f(x)).detach()
    ax.plot(x.numpy(), np.broadcast_to(y.numpy(), x.shape))
    ax.set(xlabel=tx or "", ylabel=ty or "", title=title or "")


def draw_tree(
    t: Any, df: Any, size: float = 10, ratio: float = 0.6, precision: int = 0, filled: bool = True, rounded: bool = True, rotate: bool = True,
    special_characters: bool = True, leaves_parallel: bool = False,
) -> None:  # fmt: skip
    """Draws a decision tree of scikit-learn, of the columns of `df`. The last three have no effect: it is drawn by matplotlib, from the top."""
    from matplotlib import pyplot as plt
    from sklearn.tree import plot_tree

    _ = rotate, special_characters, leaves_parallel
    _, ax = plt.subplots(figsize=(size, size * ratio))
    plot_tree(t, feature_names=[str(c) for c in df.columns], precision=precision, filled=filled, rounded=rounded, impurity=False, ax=ax)


def cluster_columns(df: Any, figsize: tuple[float, float] = (10, 6), font_size: int = 12) -> None:
    """Draws which columns of a table say nearly the same: joined the further left, the lower their rank correlation."""
    from matplotlib import pyplot as plt
    from scipy.cluster import hierarchy
    from scipy.spatial.distance import squareform

    apart = (1 - df.corr("spearman").fillna(0).to_numpy()).clip(0)
    np.fill_diagonal(apart, 0)
    joined = hierarchy.linkage(squareform(apart, checks=False), "average")
    _, ax = plt.subplots(figsize=figsize)
    hierarchy.dendrogram(joined, labels=[str(c) for c in df.columns], orientation="left", leaf_font_size=font_size, ax=ax)


class _AsText:
    """A drawing in the language DOT that can't be drawn here."""

    def __init__(self, source: str) -> None:
        self.source = source

    def __repr__(self) -> str:
        return f"{self.source.strip()}\n(To see this drawn: install Graphviz, and pip install graphviz.)"


def gv(s: str) -> Any:
    """A drawing of nodes and arrows, in the language DOT; its text where Graphviz or its Python package is missing."""
    source = f'digraph G{{ rankdir="LR"{s}; }}'
    try:
        from graphviz import Source  # type: ignore[import-not-found]
    except ImportError:
        return _AsText(s)
    return Source(source) if shutil.which("dot") else _AsText(s)
