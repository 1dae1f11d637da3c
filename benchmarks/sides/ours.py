"""burnish, by its public names and with its defaults."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

STAR = "from burnish.vision.all import *"


def versions() -> dict[str, str]:
    return {"burnish": version("burnish")}


def loaders(table: Any, size: int, bs: int, seed: int, augment: bool = False, cache: bool = False) -> Any:
    """Loaders of the photographs in `table` (file, label, is_valid)."""
    from burnish.vision.all import ImageDataLoaders, Resize, aug_transforms

    return ImageDataLoaders.from_df(
        table, path="/", fn_col="file", label_col="label", valid_col="is_valid", seed=seed, bs=bs,
        item_tfms=Resize(size), batch_tfms=aug_transforms() if augment else None, cache=True if cache else None,
    )  # fmt: skip


def image_learner(dls: Any, arch: str, weights: str | None, seed: int) -> Any:
    from burnish.vision.all import vision_learner

    return vision_learner(dls, arch, pretrained=weights is not None, weights=weights, seed=seed)


def whole_pictures(learn: Any) -> None:
    """Trains on pictures of the full size from the first batch on: the default, from scratch, lets them grow."""
    from burnish.vision.all import ProgressiveResize

    learn.remove_cb(ProgressiveResize)


def plain_learner(train: Any, valid: Any, model: Any, loss: Any) -> Any:
    """A learner on two plain PyTorch loaders."""
    from burnish.vision.all import DataLoaders, Learner

    return Learner(DataLoaders(train, valid), model, loss_func=loss)


def small_learner(dls: Any, model: Any, on_epoch: Callable[[], None] | None = None) -> Any:
    """A learner with a model of the user's own on image loaders; `on_epoch` is called after every epoch."""
    from burnish.vision.all import Callback, CrossEntropyLossFlat, Learner

    class EachEpoch(Callback):
        def after_epoch(self, learn: Any) -> None:
            if on_epoch:
                on_epoch()

    return Learner(dls, model, loss_func=CrossEntropyLossFlat(), cbs=[EachEpoch()])


def around_training(learn: Any, begin: Callable[[], None], end: Callable[[], None]) -> None:
    """Has `begin` and `end` called around the training part of every epoch to come."""
    from burnish.vision.all import Callback

    class Around(Callback):
        order = -99

        def before_train(self, learn: Any) -> None:
            begin()

        def after_train(self, learn: Any) -> None:
            end()

    learn.add_cb(Around())


def autocast(learn: Any) -> Callable[[], Any]:
    """The context in which the learner's model runs."""
    return learn.precision.autocast


def augmenter(size: int) -> Callable[[Any], Any]:
    """What ``aug_transforms()`` does to a training batch of images ``(batch, 3, size, size)`` in 0..1."""
    import torch

    from burnish.vision.all import aug_transforms

    steps, rng = aug_transforms(), torch.Generator().manual_seed(0)

    def apply(batch: Any) -> Any:
        for step in steps:
            batch = step(batch, rng)
        return batch

    return apply


def interpretation() -> Any:
    from burnish.vision.all import ClassificationInterpretation

    return ClassificationInterpretation
