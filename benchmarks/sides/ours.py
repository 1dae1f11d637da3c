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


def mask_learner(files: list[Any], codes: list[str], arch: str, bs: int, seed: int) -> Any:
    """A U-Net without weights on pictures images/NAME.jpg with masks masks/NAME.png, of which every fifth validates."""
    from burnish.vision.all import DataBlock, ImageBlock, IndexSplitter, MaskBlock, unet_learner

    block = DataBlock((ImageBlock, MaskBlock(codes)), get_y=_mask_of, splitter=IndexSplitter(range(0, len(files), 5)))
    return unet_learner(block.dataloaders(files, bs=bs, seed=seed), arch, pretrained=False, seed=seed)


def _mask_of(file: Any) -> Any:
    return file.parent.parent / "masks" / f"{file.stem}.png"


def fit_masks(learn: Any, epochs: int, lr: float) -> None:
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(epochs, lr)


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


def verifier(folder: Any) -> tuple[Callable[[], Any], Callable[[Any], bool]]:
    """What verifies all pictures of a folder, and whether its result is that all are good."""
    from burnish.vision.all import get_image_files, verify_images

    files = get_image_files(folder)
    return (lambda: verify_images(files)), (lambda bad: len(bad) == 0)


def resizer(folder: Any, dest: Any, max_size: int) -> tuple[Callable[[], Any], Callable[[Any], bool]]:
    """What makes all pictures of a folder smaller, and whether all are there then."""
    from burnish.vision.all import get_image_files, resize_images

    n = len(get_image_files(folder))
    return (lambda: resize_images(folder, max_size=max_size, dest=dest)), (lambda _: len(get_image_files(dest)) == n)


# -- tables and ratings -------------------------------------------------------------------------------------------------


def table_learner(
    table: Any, cat_names: Any, cont_names: Any, target: str, valid: Any, bs: int, seed: int, kind: str, same: bool = False
) -> Any:
    """A table's learner with the library's defaults; `kind` is "class" or "number". With `same`, of the network that both libraries have."""
    from burnish.tabular.all import CategoryBlock, RegressionBlock, TabularDataLoaders, tabular_learner

    dls = TabularDataLoaders.from_df(
        table, cat_names=cat_names, cont_names=cont_names, y_names=target, y_block=(CategoryBlock if kind == "class" else RegressionBlock)(),
        valid_idx=valid, bs=bs, seed=seed,
    )  # fmt: skip
    return tabular_learner(dls, arch="mlp" if same else None, seed=seed)


def table_from_csv(path: str, cat_names: Any, cont_names: Any, target: str, seed: int, bs: int) -> Any:
    from burnish.tabular.all import CategoryBlock, RandomSplitter, TabularDataLoaders

    return TabularDataLoaders.from_csv(
        path, cat_names=cat_names, cont_names=cont_names, y_names=target, y_block=CategoryBlock(), splitter=RandomSplitter(0.2, seed=seed),
        bs=bs, seed=seed,
    )  # fmt: skip


def ratings_learner(table: Any, valid: Any, bs: int, seed: int, n_factors: int) -> Any:
    from burnish.collab.all import CollabDataLoaders, IndexSplitter, collab_learner

    dls = CollabDataLoaders.from_df(table, splitter=IndexSplitter(valid), bs=bs, seed=seed)
    return collab_learner(dls, n_factors=n_factors, seed=seed)


def fit_quietly(learn: Any, epochs: int, lr: float) -> None:
    with learn.no_bar(), learn.no_logging():
        learn.fit(epochs, lr)


def fit_by_default(learn: Any, epochs: int) -> None:
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(epochs)


def fit_ratings(learn: Any, epochs: int) -> None:
    fit_by_default(learn, epochs)


def predict_row(learn: Any, row: Any) -> Any:
    return learn.predict(row)


def table_preds(learn: Any) -> Any:
    return learn.get_preds()[:2]
