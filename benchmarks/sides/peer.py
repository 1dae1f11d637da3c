"""fastai, as its documentation uses it. Runs in its own environment; see run.py."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

STAR = "from fastai.vision.all import *"


def versions() -> dict[str, str]:
    return {"fastai": version("fastai")}


def loaders(table: Any, size: int, bs: int, seed: int, augment: bool = False, cache: bool = False) -> Any:
    """Loaders of the photographs in `table` (file, label, is_valid). fastai keeps no decoded pictures: `cache` changes nothing."""
    from fastai.vision.all import ImageDataLoaders, Resize, aug_transforms, set_seed

    set_seed(seed)
    return ImageDataLoaders.from_df(
        table, path="/", fn_col="file", label_col="label", valid_col="is_valid", seed=seed, bs=bs,
        item_tfms=Resize(size), batch_tfms=aug_transforms() if augment else None,
    )  # fmt: skip


def mask_learner(files: list[Any], codes: list[str], arch: str, bs: int, seed: int) -> Any:
    """A U-Net without weights on pictures images/NAME.jpg with masks masks/NAME.png, of which every fifth validates."""
    from fastai.vision import all as vision

    vision.set_seed(seed)
    block = vision.DataBlock(
        (vision.ImageBlock, vision.MaskBlock(codes)), get_y=_mask_of, splitter=vision.IndexSplitter(list(range(0, len(files), 5)))
    )
    return vision.unet_learner(block.dataloaders(files, bs=bs), getattr(vision, arch), pretrained=False)


def _mask_of(file: Any) -> Any:
    return file.parent.parent / "masks" / f"{file.stem}.png"


def fit_masks(learn: Any, epochs: int, lr: float) -> None:
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(epochs, lr)


def image_learner(dls: Any, arch: str, weights: str | None, seed: int) -> Any:
    """torchvision's architecture where fastai has a recipe of its own for it (the resnets), timm's otherwise."""
    from fastai.vision.all import set_seed, vision_learner

    set_seed(seed)
    if arch.startswith("resnet"):
        return vision_learner(dls, _with_local_weights(arch, weights), pretrained=weights is not None)
    overlay = {"pretrained_cfg_overlay": {"file": weights}} if weights else {}
    return vision_learner(dls, arch, pretrained=weights is not None, **overlay)


def _with_local_weights(arch: str, file: str | None) -> Callable[..., Any]:
    """torchvision's builder, reading `file` where it would download; timm and torchvision name a resnet's parameters alike."""
    import torchvision
    from fastai.vision.learner import model_meta

    builder = getattr(torchvision.models, arch)

    def build(weights: Any = None) -> Any:
        model = builder(weights=None)
        if weights is not None:
            from safetensors.torch import load_file

            model.load_state_dict(load_file(str(file)))
        return model

    model_meta[build] = model_meta[builder]
    return build


def whole_pictures(learn: Any) -> None:
    """Trains on pictures of the full size from the first batch on, as fastai always does."""


def plain_learner(train: Any, valid: Any, model: Any, loss: Any) -> Any:
    """A learner on two plain PyTorch loaders."""
    from fastai.vision.all import DataLoaders, Learner

    return Learner(DataLoaders(train, valid), model, loss_func=loss)


def small_learner(dls: Any, model: Any, on_epoch: Callable[[], None] | None = None) -> Any:
    """A learner with a model of the user's own on image loaders; `on_epoch` is called after every epoch."""
    from fastai.vision.all import Callback, CrossEntropyLossFlat, Learner

    class EachEpoch(Callback):
        def after_epoch(self) -> None:
            if on_epoch:
                on_epoch()

    return Learner(dls, model, loss_func=CrossEntropyLossFlat(), cbs=[EachEpoch()], path=Path("."))


def around_training(learn: Any, begin: Callable[[], None], end: Callable[[], None]) -> None:
    """Has `begin` and `end` called around the training part of every epoch to come."""
    from fastai.vision.all import Callback

    class Around(Callback):
        order = -99

        def before_train(self) -> None:
            begin()

        def after_train(self) -> None:
            end()

    learn.add_cb(Around())


def autocast(learn: Any) -> Callable[[], Any]:
    """The context in which the learner's model runs: fp32, fastai's default."""
    from contextlib import nullcontext

    return nullcontext


def augmenter(size: int) -> Callable[[Any], Any]:
    """What ``aug_transforms()`` does to a training batch of images ``(batch, 3, size, size)`` in 0..1."""
    from fastai.vision.all import Pipeline, TensorImage, aug_transforms

    pipeline = Pipeline(aug_transforms(), split_idx=0)
    return lambda batch: pipeline(TensorImage(batch))


def interpretation() -> Any:
    from fastai.vision.all import ClassificationInterpretation

    return ClassificationInterpretation


def verifier(folder: Any) -> tuple[Callable[[], Any], Callable[[Any], bool]]:
    """What verifies all pictures of a folder, and whether its result is that all are good."""
    from fastai.vision.all import get_image_files, verify_images

    files = get_image_files(folder)
    return (lambda: verify_images(files)), (lambda bad: len(bad) == 0)


def resizer(folder: Any, dest: Any, max_size: int) -> tuple[Callable[[], Any], Callable[[Any], bool]]:
    """What makes all pictures of a folder smaller, and whether all are there then."""
    from fastai.vision.all import get_image_files, resize_images

    n = len(get_image_files(folder))
    return (lambda: resize_images(folder, max_size=max_size, dest=dest)), (lambda _: len(get_image_files(dest)) == n)


# -- tables and ratings -------------------------------------------------------------------------------------------------


def table_learner(
    table: Any, cat_names: Any, cont_names: Any, target: str, valid: Any, bs: int, seed: int, kind: str, same: bool = False
) -> Any:
    """`same` is for burnish, whose default is another network."""
    from fastai.tabular.all import (
        Categorify,
        CategoryBlock,
        FillMissing,
        Normalize,
        RegressionBlock,
        TabularDataLoaders,
        set_seed,
        tabular_learner,
    )

    set_seed(seed)
    dls = TabularDataLoaders.from_df(
        table, procs=[Categorify, FillMissing, Normalize], cat_names=list(cat_names), cont_names=list(cont_names), y_names=target,
        y_block=(CategoryBlock if kind == "class" else RegressionBlock)(), valid_idx=valid, bs=bs,
    )  # fmt: skip
    return tabular_learner(dls)


def table_from_csv(path: str, cat_names: Any, cont_names: Any, target: str, seed: int, bs: int) -> Any:
    from fastai.tabular.all import Categorify, CategoryBlock, FillMissing, Normalize, TabularDataLoaders, set_seed

    set_seed(seed)
    return TabularDataLoaders.from_csv(
        path, procs=[Categorify, FillMissing, Normalize], cat_names=list(cat_names), cont_names=list(cont_names), y_names=target,
        y_block=CategoryBlock(), bs=bs,
    )  # fmt: skip


def ratings_learner(table: Any, valid: Any, bs: int, seed: int, n_factors: int) -> Any:
    """Given positions to validate on, as the documentation has no argument for them: through TabularCollab, as from_df itself does."""
    from fastai.collab import CollabDataLoaders, TabularCollab, collab_learner
    from fastai.tabular.all import Categorify, TransformBlock, set_seed
    from fastcore.basics import range_of

    set_seed(seed)
    user, item, rating = table.columns[:3]
    taken = set(valid)
    splits = ([i for i in range_of(table) if i not in taken], list(valid))
    to = TabularCollab(table, [Categorify], [user, item], y_names=[rating], y_block=TransformBlock(), splits=splits)
    dls = to.dataloaders(path=".", bs=bs)
    dls.__class__ = CollabDataLoaders
    return collab_learner(dls, n_factors=n_factors, y_range=(0.5, 5.5))  # as its documentation has it


def fit_quietly(learn: Any, epochs: int, lr: float) -> None:
    with learn.no_bar(), learn.no_logging():
        learn.fit(epochs, lr)


def fit_by_default(learn: Any, epochs: int) -> None:
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(epochs)


def fit_ratings(learn: Any, epochs: int) -> None:
    """With the rate and the decay of its documentation's example: with its defaults it has not learned much by then."""
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(epochs, 5e-3, wd=0.1)


def predict_row(learn: Any, row: Any) -> Any:
    with learn.no_bar(), learn.no_logging():
        return learn.predict(row)


def table_preds(learn: Any) -> Any:
    with learn.no_bar(), learn.no_logging():
        return learn.get_preds()
