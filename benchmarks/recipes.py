"""What the choices in ``fine_tune`` are worth, on real photographs: error by recipe, mean over seeds.

    python benchmarks/recipes.py [--seeds 3] [--epochs 4]

Fine-tunes ImageNet weights (tf_efficientnet_lite0, from the extra ``offline``) on the sample photographs at 128 px, 40 % of
them for validation, with the statistics of the body's normalisation kept (the default) and moving (``train_bn=True``).
"""

from __future__ import annotations

import argparse

import pandas as pd

from burnish.vision.all import ImageDataLoaders, Resize, error_rate, sample_photos, tf_efficientnet_lite0, vision_learner

RECIPES = {"statistics kept (default)": {}, "statistics moving (train_bn=True)": {"train_bn": True}}


def final_row(seed: int, epochs: int, settings: dict[str, object]) -> pd.Series:
    """The last epoch's row of one run."""
    dls = ImageDataLoaders.from_folder(sample_photos(), valid_pct=0.4, seed=seed, bs=16, item_tfms=Resize(128))
    learn = vision_learner(dls, tf_efficientnet_lite0, weights="offline", metrics=error_rate, seed=seed, **settings)
    with learn.no_logging():
        return learn.fine_tune(epochs).iloc[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=4)
    args = parser.parse_args()
    for name, settings in RECIPES.items():
        rows = pd.DataFrame([final_row(seed, args.epochs, settings) for seed in range(args.seeds)])
        print(
            f"{name:<36} error {rows.error_rate.mean():.3f}  valid_loss {rows.valid_loss.mean():.3f}  time {rows.time.mean():.1f} s an epoch"
        )


if __name__ == "__main__":
    main()
