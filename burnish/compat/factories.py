"""The functions and class methods that make data and learners, with what fastai does by default: results lie where the data is."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from burnish.collab import learner as collab
from burnish.collab.dataloaders import CollabDataLoaders as OwnCollabDataLoaders
from burnish.tabular import learner as tabular
from burnish.tabular.dataloaders import TabularDataLoaders as OwnTabularDataLoaders
from burnish.train.learner import Learner
from burnish.train.progress import Progress
from burnish.vision import learner as vision
from burnish.vision import segmentation
from burnish.vision.dataloaders import ImageDataLoaders as OwnImageDataLoaders
from burnish.vision.segmentation import SegmentationDataLoaders as OwnSegmentationDataLoaders

__all__ = [
    "CollabDataLoaders", "ImageDataLoaders", "SegmentationDataLoaders", "TabularDataLoaders", "cnn_learner", "collab_learner", "tabular_learner", "unet_learner", "vision_learner",
]  # fmt: skip


def _beside_data(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that makes a learner, whose results lie by default where its data does."""
    names = [name for name, p in inspect.signature(function).parameters.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]

    @functools.wraps(function)
    def made(*args: Any, **kwargs: Any) -> Any:
        given = dict(zip(names, args, strict=False))  # fastai takes by position what burnish takes by name
        twice = [name for name in given if name in kwargs]
        if len(args) > len(names) or twice:
            wrong = f"{twice[0]!r} is given twice" if twice else f"{len(args)} arguments by position are given, and there are {len(names)}"
            raise TypeError(f"{function.__name__}(): {wrong}. It takes: {', '.join(names)}.")
        given.update(kwargs)
        default_cbs = given.pop("default_cbs", True)
        if given.get("path") is None:
            given["path"] = getattr(given.get("dls"), "path", ".")
        learn = function(**given)
        return learn if default_cbs else learn.remove_cb(Progress)

    return made


vision_learner, cnn_learner = _beside_data(vision.vision_learner), _beside_data(vision.cnn_learner)
unet_learner = _beside_data(segmentation.unet_learner)
tabular_learner, collab_learner = _beside_data(tabular.tabular_learner), _beside_data(collab.collab_learner)


def _placed(cls: type, names: list[str]) -> type:
    """A class of loaders whose class methods `names` keep the folder of the data as where results go."""

    def wrapped(name: str) -> Any:
        own = getattr(cls, name).__func__
        signature = inspect.signature(own)

        @functools.wraps(own)
        def made(owner: Any, *args: Any, **kwargs: Any) -> Any:
            dls = own(owner, *args, **kwargs)
            path = Path(signature.bind(owner, *args, **kwargs).arguments.get("path") or ".")
            dls.path = path.parent if path.is_file() else path
            return dls

        return classmethod(made)

    return type(cls.__name__, (cls,), {name: wrapped(name) for name in names} | {"__doc__": cls.__doc__, "__module__": __name__})


def _factories(cls: type) -> list[str]:
    return [
        name for name in dir(cls) if name.startswith("from_") and name not in ("from_config", "from_dsets", "from_dblock", "from_columns")
    ]


ImageDataLoaders = _placed(OwnImageDataLoaders, _factories(OwnImageDataLoaders))
SegmentationDataLoaders = _placed(OwnSegmentationDataLoaders, _factories(OwnSegmentationDataLoaders))
TabularDataLoaders = _placed(OwnTabularDataLoaders, _factories(OwnTabularDataLoaders))
CollabDataLoaders = _placed(OwnCollabDataLoaders, _factories(OwnCollabDataLoaders))

_export = Learner.export


def export(self: Learner, fname: Any = "export.pkl", pickle_module: Any = None, pickle_protocol: int = 2) -> None:
    """Writes the model below ``learn.path``: one safe file, whatever its name ends in (nothing is pickled)."""
    _ = pickle_module, pickle_protocol
    _export(self, fname)
