"""Calls on burnish's own loaders, and drawing, with fastai's arguments."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from burnish.data.dataloaders import DataLoaders
from burnish.data.foreign import as_batch_transform, as_item_transform
from burnish.data.loader import DataLoader
from burnish.data.reader import Reader
from burnish.data.show import draw_sample, grid, how_many, room_of
from burnish.errors import SettingError

_OF_IMSHOW = ("vmin", "vmax", "cmap", "alpha", "interpolation")  # burnish draws each kind in its own way: masks by their classes


def drawn(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that draws, which also takes keywords of matplotlib's ``imshow``, without effect; other unknown ones stay errors."""

    @functools.wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **{name: value for name, value in kwargs.items() if name not in _OF_IMSHOW})

    return called


@drawn
def show_batch(
    self: DataLoader, b: Any = None, max_n: int = 9, ctxs: Any = None, show: bool = True, unique: bool = False, nrows: int | None = None, ncols: int | None = None, figsize: Any = None,
) -> Any:  # fmt: skip
    """Draws samples of a batch as the model sees them.

    Args:
        b: the batch; None takes one. ctxs: axes to draw on. show: False gives the decoded samples. unique: one sample over and over.
    """
    if show and _as_written(self, b, max_n, ctxs, nrows, ncols, figsize):
        return None
    if b is None and ctxs is None and show:
        return _show_batch(self, max_n, nrows, ncols, figsize, unique)
    samples = self.decode_batch(self.one_batch() if b is None else b, how_many(max_n, nrows, ncols))
    if not show:
        return samples
    axes = list(ctxs) if ctxs is not None else grid(len(samples), nrows, ncols, figsize, **room_of(self.blocks, samples))
    for ax, values in itertools.islice(zip(axes, samples, strict=False), max_n):
        draw_sample(self.blocks, values, ax)
    return None


def _as_written(dl: Any, b: Any, max_n: int, ctxs: Any, nrows: Any, ncols: Any, figsize: Any) -> bool:
    """Whether a ``show_batch`` of the user's has shown a batch."""
    from burnish.compat.showing import show_batch_as_written

    return isinstance(dl, DataLoader) and show_batch_as_written(dl, b, max_n, ctxs, {"nrows": nrows, "ncols": ncols, "figsize": figsize})


_show_batch = DataLoader.show_batch
_show_all = DataLoaders.show_batch


@drawn
def show_batch_of(
    self: DataLoaders, b: Any = None, max_n: int = 9, ctxs: Any = None, show: bool = True, unique: bool = False, nrows: int | None = None, ncols: int | None = None, figsize: Any = None,
) -> Any:  # fmt: skip
    """Draws samples of a training batch; see ``DataLoader.show_batch``."""
    if show and _as_written(self.train, b, max_n, ctxs, nrows, ncols, figsize):
        return None
    if b is None and ctxs is None and show:
        return _show_all(self, max_n, nrows, ncols, figsize, unique)
    return self.train.show_batch(b, max_n=max_n, ctxs=ctxs, show=show, nrows=nrows, ncols=ncols, figsize=figsize)


def add_tfms(self: DataLoaders, tfms: Any, event: str, loaders: Any = None) -> None:
    """Adds transforms to ``after_item`` or ``after_batch`` of all loaders, or of those that are named ('train', 'valid', or numbers)."""
    if event not in ("after_item", "after_batch"):
        raise SettingError(f"add_tfms(event={event!r}): burnish's loaders have 'after_item' and 'after_batch'.")
    several = list(tfms) if isinstance(tfms, (list, tuple)) else [tfms]
    chosen: list[Any] = (
        self.loaders if loaders is None else [self[i] for i in (loaders if isinstance(loaders, (list, tuple)) else [loaders])]
    )
    for dl in chosen:
        if event == "after_batch":
            made = [as_batch_transform(t).to(dl.device) for t in several]
            dl.batch_tfms = [*dl.batch_tfms, *(t for t in made if dl.train or t.when != "train")]
        else:
            dl.reader = Reader(dl.blocks, [*dl.reader.item_tfms, *map(as_item_transform, several)], train=dl.train)
    if loaders is None:  # what is predicted later goes through them too
        kept: list[Any] = self.batch_tfms if event == "after_batch" else self.item_tfms
        kept.extend(as_batch_transform(t) if event == "after_batch" else as_item_transform(t) for t in several)


def _from_dblock(
    cls: Any, dblock: Any, source: Any, path: str | Path = ".", bs: int = 64, val_bs: int | None = None, shuffle: bool = True, device: Any = None, **kwargs: Any
) -> Any:  # fmt: skip
    """What ``dblock.dataloaders`` makes; `kwargs` are its."""
    return dblock.dataloaders(source, path=path, bs=bs, val_bs=val_bs, shuffle=shuffle, device=device, **kwargs)


def _from_dsets(cls: Any, *ds: Any, **kwargs: Any) -> Any:
    """Loaders of data sets: see ``DataLoaders.from_dsets``, whose arguments `kwargs` are."""
    from burnish.compat.dataloaders import DataLoaders

    return DataLoaders.from_dsets(*ds, **kwargs)


from_dblock, from_dsets = classmethod(_from_dblock), classmethod(_from_dsets)
