"""The names of fastai and its sister packages, and where each is in burnish."""

from __future__ import annotations

import functools
import importlib
from typing import Any

# Group -> the modules whose names it has, adapters before burnish's own: the first that has a name gives it.
_SOURCES: dict[str, tuple[str, ...]] = {
    "everyday": ("everyday",),
    "core": ("transform", "typed", "helpers", "lists", "curried", "classes", "containers", "asserting", "parallels", "paths"),
    "transforms": ("transform", "typed"),
    "data": ("transform", "places", "burnish.basics"),
    "callbacks": ("callback", "training", "burnish.train.callbacks", "burnish.train.hooks"),
    "layers": ("layers", "conv_layers"),
    "basics": ("callback", "learner", "training", "places", "layers", "torch_tools", "drawing", "optimizers", "burnish.basics"),
    "architectures": ("archs",),
    "vision": ("factories", "vision_tools", "conv_layers", "archs", "burnish.vision.all"),
    "tabular": ("factories", "burnish.tabular.all"),
    "collab": ("factories", "burnish.collab.all"),
    "widgets": ("burnish.vision.all",),
    "text": (),
    "download": ("places",),
    "progress": (),
}


@functools.cache
def _module(name: str) -> Any:
    return importlib.import_module(name if name.startswith("burnish.") else f"burnish.compat.{name}")


@functools.cache
def group(name: str) -> tuple[str, ...]:
    """The names of a group."""
    return tuple(sorted({n for source in _SOURCES[name] for n in _all(source)}))


def _all(source: str) -> list[str]:
    return list(_module(source).__all__)


@functools.cache
def _where() -> dict[str, str]:
    """Name -> the module that gives it."""
    found: dict[str, str] = {}
    sources = list(dict.fromkeys(source for several in _SOURCES.values() for source in several))
    for source in sorted(sources, key=lambda s: s.startswith("burnish.")):  # adapters first
        for name in _all(source):
            found.setdefault(name, source)
    return found


def find(name: str) -> Any:
    """What stands in the place of a name; KeyError where nothing does."""
    return getattr(_module(_where()[name]), name)
