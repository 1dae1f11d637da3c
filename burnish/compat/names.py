"""The names of fastai and its sister packages, and where each is in burnish."""

from __future__ import annotations

import functools
import importlib
from typing import Any

_TYPES = "tensors titled label_transforms data_transforms "
_MIDDLE = "datasets loaders tfmd_loaders dataloaders blocks showing "
_CALLBACKS = "callback suggestions training adapted more_callbacks mixing "
_LEARNING = (
    _CALLBACKS
    + "module_info losses plain_metrics metrics metric_kit learner layers optimizers more_optimizers bars defaults interpretation "
)
_VISION = "blocks factories picture_types place_transforms rand_transform augment_classes resizing augment_methods affine_tools vision_tools vision_models unet conv_layers archs "

# Group -> the modules whose names it has, adapters before burnish's own: the first that has a name gives it.
_SOURCES: dict[str, tuple[str, ...]] = {
    group: tuple(sources.split())
    for group, sources in {
        "everyday": "everyday",
        "core": "transform typed helpers lists curried classes containers asserting parallels paths fastcore_more",
        "transforms": "transform typed",
        "data": "transform places splitters " + _TYPES + _MIDDLE + "burnish.basics",
        "callbacks": _CALLBACKS + "module_info burnish.train.callbacks burnish.train.hooks",
        "layers": "layers conv_layers",
        "basics": _LEARNING + "places splitters torch_tools drawing " + _TYPES + _MIDDLE + "burnish.basics",
        "architectures": "archs",
        "vision": _VISION + "burnish.vision.all",
        "tabular": "factories tables table_loaders burnish.tabular.all",
        "collab": "factories tables table_loaders burnish.collab.all",
        "widgets": "widgets burnish.vision.all",
        "text": "texts",
        "absent": "absent",
        "download": "places",
        "progress": "bars",
        "test_utils": "test_utils",
        "book": "book",
    }.items()
}
_FIRST = {"fastbook": "book"}  # a package whose names are looked up here first, for they differ from others' of the same name


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


def find(name: str, package: str = "") -> Any:
    """What stands in the place of a name, asked for in a package; KeyError where nothing does."""
    first = _FIRST.get(package)
    source = first if first is not None and name in _all(first) else _where()[name]
    return getattr(_module(source), name)
