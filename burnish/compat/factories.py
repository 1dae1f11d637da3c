"""The functions and class methods that make data and learners, with what fastai does by default: results lie where the data is."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from burnish.collab import learner as collab
from burnish.collab.dataloaders import CollabDataLoaders as OwnCollabDataLoaders
from burnish.compat.blocks import in_place, learned, without_learning
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


_WITHOUT_EFFECT = {  # what fastai takes and does nothing with
    "vision_learner": ("cut",), "unet_learner": ("cut", "config")}  # fmt: skip


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
        for name in _WITHOUT_EFFECT.get(function.__name__, ()):
            given.pop(name, None)
        if hasattr(given.get("weights"), "get_state_dict"):  # torchvision's choice of weights: the architecture's published ones
            given.update(weights=None, pretrained=True)
        if given.get("metrics") is None:
            given["metrics"] = []  # fastai shows those that are asked for
        if function.__name__ in ("vision_learner", "cnn_learner") and given.get("splitter") is None:
            given["splitter"] = _groups_of(given.get("arch"))
        if function.__name__ == "tabular_learner" and given.get("arch") is None:
            given["arch"] = "mlp"  # the network that code for fastai is written for; burnish's own default is another
        default_cbs = given.pop("default_cbs", True)
        if given.get("path") is None:
            given["path"] = getattr(given.get("dls"), "path", ".")
        learn = function(**given)
        return learn if default_cbs else learn.remove_cb(Progress)

    return made


def _groups_of(arch: Any) -> Any:
    """The model to fastai's layer groups of an architecture."""
    from burnish.compat.vision_models import default_split, split_of

    return split_of(arch) or default_split


vision_learner, cnn_learner = _beside_data(vision.vision_learner), _beside_data(vision.cnn_learner)
_own_unet_learner = _beside_data(segmentation.unet_learner)


def unet_learner(
    dls: Any, arch: Any, *args: Any, y_range: tuple[float, float] | None = None, bottle: bool = False, blur_final: bool = True, act_cls: Any = nn.ReLU,
    init: Any = nn.init.kaiming_normal_, norm_type: Any = None, **kwargs: Any,
) -> Any:  # fmt: skip
    """A learner for masks or other pictures: burnish's U-Net; with a setting that only fastai's has (`y_range`, `bottle`, `blur_final`, `act_cls`, `init`, `norm_type`), a
    `DynamicUnet` over the architecture's body. The other arguments are those of ``burnish.vision.segmentation.unet_learner``.
    """
    usual = y_range is None and not bottle and blur_final and act_cls is nn.ReLU and init is nn.init.kaiming_normal_ and norm_type is None
    if usual:
        return _own_unet_learner(dls, arch, *args, **kwargs)
    from burnish.compat.unet_learner import dynamic_unet_learner

    own = {"y_range": y_range, "bottle": bottle, "blur_final": blur_final, "act_cls": act_cls, "init": init, "norm_type": norm_type}
    return dynamic_unet_learner(dls, arch, own, *args, **kwargs)


tabular_learner, collab_learner = _beside_data(tabular.tabular_learner), _beside_data(collab.collab_learner)


def _placed(cls: type, names: list[str]) -> type:
    """A class of loaders whose class methods `names` keep the folder of the data as where results go."""

    def wrapped(name: str) -> Any:
        own = getattr(cls, name).__func__
        signature = inspect.signature(own)

        @functools.wraps(own)
        def made(owner: Any, *args: Any, **kwargs: Any) -> Any:
            tfms = kwargs.get("batch_tfms")
            if tfms is not None:
                kwargs["batch_tfms"] = without_learning(in_place(tfms))
            if kwargs.get("item_tfms") is not None:
                kwargs["item_tfms"] = in_place(kwargs["item_tfms"])
            dls = learned(own(owner, *args, **kwargs), tfms)
            path = Path(signature.bind(owner, *args, **kwargs).arguments.get("path") or ".")
            dls.path = path.parent if path.is_file() else path
            return dls

        return classmethod(made)

    return type(cls.__name__, (cls,), {name: wrapped(name) for name in names} | {"__doc__": cls.__doc__, "__module__": __name__})


def _factories(cls: type) -> list[str]:
    return [
        name
        for name in dir(cls)
        if name.startswith("from_") and name not in ("from_config", "from_dsets", "from_dblock", "from_columns", "from_prepared")
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
