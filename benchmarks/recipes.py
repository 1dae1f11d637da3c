"""What the choices in ``fine_tune`` are worth, on real photographs: error by recipe, mean over seeds.

    python benchmarks/recipes.py [--set photos|groceries] [--seeds 3] [--epochs 4] [--bs 16] [--size 96]

Fine-tunes ImageNet weights in small batches: tf_efficientnet_lite0 (extra ``offline``) on the sample photographs, 40 % of them for
validation; or mobilenetv2_100 on the groceries photographs, validated on their official test split. Compared are the default,
all layer groups training from the beginning of the second phase, statistics of the body's normalisation that move
(``train_bn=True``), one low rate for all, with statistics that are kept (by default) or move, and the second phase's rates as
fastai has them (at bs=16 the statistics then move by default).
"""

from __future__ import annotations

import argparse
from typing import Any

import pandas as pd
import prepare

from burnish.vision.all import ImageDataLoaders, Resize, error_rate, mobilenetv2_100, sample_photos, tf_efficientnet_lite0, vision_learner

BASE_LR = 2e-3
RECIPES: dict[str, dict[str, Any]] = {
    "default": {},
    "all groups at once": {"unfreeze_pct": 0},
    "statistics moving": {"train_bn": True},
    "one rate, 1e-4": {"rates": 1e-4},
    "one rate, 1e-4, moving": {"rates": 1e-4, "train_bn": True},
    "rates 1e-5 to 1e-3": {"rates": slice(BASE_LR / 2 / 100, BASE_LR / 2)},
}


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


SETS = {"photos": photos, "groceries": groceries}


def trained(learn: Any, epochs: int, rates: float | slice | None = None, **settings: Any) -> pd.DataFrame:
    """The results of ``fine_tune`` with these settings, or of its two phases with other rates in the second one."""
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
    for name, settings in RECIPES.items():
        of_learner = {k: v for k, v in settings.items() if k == "train_bn"}
        of_training = {k: v for k, v in settings.items() if k != "train_bn"}
        learners = (SETS[args.set](seed, args.size, args.bs, **of_learner) for seed in range(args.seeds))
        results = [trained(learn, args.epochs, **of_training) for learn in learners]
        first, last = pd.DataFrame([r.iloc[0] for r in results]), pd.DataFrame([r.iloc[-1] for r in results])
        print(
            f"{name:<28} error {last.error_rate.mean():.3f} (after the head alone {first.error_rate.mean():.3f})  "
            f"valid_loss {last.valid_loss.mean():.3f}  time {last.time.mean():.1f} s an epoch",
            flush=True,
        )


if __name__ == "__main__":
    main()
