"""What the choices in ``fine_tune`` are worth, on real photographs: error by recipe, mean over seeds.

    python benchmarks/recipes.py [--set photos|groceries|scratch] [--seeds 3] [--epochs 4] [--bs 16] [--size 96]

Fine-tunes ImageNet weights in small batches: tf_efficientnet_lite0 (extra ``offline``) on the sample photographs, 40 % of them for
validation; or mobilenetv2_100 on the groceries photographs, validated on their official test split. Compared are the default,
all layer groups training from the beginning of the second phase, statistics of the body's normalisation that move
(``train_bn=True``), one low rate for all, with statistics that are kept (by default) or move, and the second phase's rates as
fastai has them (at bs=16 the statistics then move by default).

``--set scratch`` trains resnet18 without weights on the groceries photographs, judged by their validation and test splits together: the
default, dropout in the head as a pretrained body gets it, and pictures that begin larger or have their full size throughout. Give it
``--epochs 3 --bs 32 --size 160`` (a minute a run on 2 cores).

``--set distilled`` trains the same network from scratch beside a teacher (``Distillation``): mobilenetv2_100, fine-tuned once on the same photographs of training.
"""

from __future__ import annotations

import argparse
import functools
from typing import Any

import pandas as pd
import prepare

from burnish.vision.all import (
    Distillation,
    ImageDataLoaders,
    ProgressiveResize,
    Resize,
    error_rate,
    mobilenetv2_100,
    resnet18,
    sample_photos,
    tf_efficientnet_lite0,
    vision_learner,
)

BASE_LR = 2e-3
RECIPES: dict[str, dict[str, Any]] = {
    "default": {},
    "all groups at once": {"unfreeze_pct": 0},
    "statistics moving": {"train_bn": True},
    "one rate, 1e-4": {"rates": 1e-4},
    "one rate, 1e-4, moving": {"rates": 1e-4, "train_bn": True},
    "rates 1e-5 to 1e-3": {"rates": slice(BASE_LR / 2 / 100, BASE_LR / 2)},
}
FROM_SCRATCH: dict[str, dict[str, Any]] = {
    "default": {},
    "dropout in the head": {"ps": 0.5},
    "pictures from 0.4, 64 px": {"grow": {"start": 0.4, "least": 64}},
    "whole pictures": {"grow": None},
}
DISTILLED: dict[str, dict[str, Any]] = {
    "labels alone": {},
    "teacher, half": {"teacher": {}},
    "teacher, 0.9": {"teacher": {"weight": 0.9}},
    "teacher, 0.9, temperature 4": {"teacher": {"weight": 0.9, "temperature": 4}},
}
OF_LEARNER = {"train_bn", "ps", "grow"}


def photos(seed: int, size: int, bs: int, **settings: Any) -> Any:
    """A learner on the sample photographs."""
    dls = ImageDataLoaders.from_folder(sample_photos(), valid_pct=0.4, seed=seed, bs=bs, item_tfms=Resize(size))
    return vision_learner(dls, tf_efficientnet_lite0, weights="offline", metrics=error_rate, seed=seed, **settings)


def groceries(seed: int, size: int, bs: int, **settings: Any) -> Any:
    """A learner on the groceries photographs."""
    table = pd.read_csv(prepare.groceries(quick=False))
    table = table[table["split"] != "valid"].assign(is_valid=lambda t: t["split"] == "test")
    dls = ImageDataLoaders.from_df(
        table[["file", "label", "is_valid"]], path="/", valid_col="is_valid", seed=seed, bs=bs, item_tfms=Resize(size)
    )
    weights = prepare.weights("mobilenetv2_100")
    return vision_learner(dls, mobilenetv2_100, weights=weights, metrics=error_rate, seed=seed, **settings)


def scratch(seed: int, size: int, bs: int, grow: dict[str, Any] | bool | None = True, **settings: Any) -> Any:
    """A learner on the groceries photographs without weights; `grow` is how pictures do: True as by default, None not at all."""
    table = pd.read_csv(prepare.groceries(quick=False)).assign(is_valid=lambda t: t["split"] != "train")
    dls = ImageDataLoaders.from_df(
        table[["file", "label", "is_valid"]], path="/", valid_col="is_valid", seed=seed, bs=bs, item_tfms=Resize(size)
    )
    learn = vision_learner(dls, resnet18, pretrained=False, metrics=error_rate, seed=seed, **settings)
    if grow is not True:
        learn.remove_cb(ProgressiveResize)
        learn.add_cbs(ProgressiveResize(**grow) if grow else None)
    return learn


SETS = {
    "photos": (photos, RECIPES),
    "groceries": (groceries, RECIPES),
    "scratch": (scratch, FROM_SCRATCH),
    "distilled": (scratch, DISTILLED),
}


@functools.cache
def teacher(size: int, bs: int) -> Any:
    """A learner fine-tuned on what ``scratch`` trains on."""
    dls = scratch(0, size, bs).dls
    learn = vision_learner(dls, mobilenetv2_100, weights=prepare.weights("mobilenetv2_100"), metrics=error_rate, seed=0)
    results = trained(learn, 3)
    print(f"The teacher: error {results.error_rate.iloc[-1]:.3f}", flush=True)
    return learn


def trained(
    learn: Any, epochs: int, rates: float | slice | None = None, teacher: dict[str, Any] | None = None, **settings: Any
) -> pd.DataFrame:
    """The results of ``fine_tune`` with these settings, or of its two phases with other rates in the second one; beside a teacher where settings for it are given."""
    if teacher is not None:
        settings["cbs"] = Distillation(**teacher)
    with learn.no_logging():
        if rates is None:
            return learn.fine_tune(epochs, BASE_LR, **settings)
        learn.freeze()
        head = learn.fit_one_cycle(1, slice(BASE_LR), pct_start=0.99)
        learn.unfreeze()
        return pd.concat([head, learn.fit_one_cycle(epochs, rates, div=5.0, pct_start=0.3)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", choices=SETS, default="photos")
    for name, default in {"seeds": 3, "epochs": 4, "bs": 16, "size": 96}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    make, recipes = SETS[args.set]
    for name, settings in recipes.items():
        of_learner = {k: v for k, v in settings.items() if k in OF_LEARNER}
        of_training = {k: v for k, v in settings.items() if k not in OF_LEARNER}
        learners = (make(seed, args.size, args.bs, **of_learner) for seed in range(args.seeds))
        if "teacher" in of_training:
            of_training["teacher"] = {"teacher": teacher(args.size, args.bs), **of_training["teacher"]}
        results = [trained(learn, args.epochs, **of_training) for learn in learners]
        first, last = pd.DataFrame([r.iloc[0] for r in results]), pd.DataFrame([r.iloc[-1] for r in results])
        print(
            f"{name:<28} error {last.error_rate.mean():.3f} (after the first epoch {first.error_rate.mean():.3f})  "
            f"valid_loss {last.valid_loss.mean():.3f}  time {last.time.mean():.1f} s an epoch",
            flush=True,
        )


if __name__ == "__main__":
    main()
