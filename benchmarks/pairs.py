"""Two photographs, are they of a kind? What a model of several inputs learns from pairs: ``python benchmarks/pairs.py [--splits 4]``.

On the sample photographs and tf_efficientnet_lite0 (extra ``offline``): first families of fruit (citrus, pears, apples) as what is the same, 400 pairs
and two epochs of ``fine_tune`` with augmentation; then the six kinds, 1,000 pairs, the body frozen, for each way of ``pairing``. No photograph is
on both sides. Accuracy on pairs of new photographs, of which half are the same: guessing gives 0.5.
"""

from __future__ import annotations

import argparse
import random
from statistics import mean
from time import perf_counter
from typing import Any

import pandas as pd

from burnish.vision.all import (
    CategoryBlock,
    ColReader,
    ColSplitter,
    DataBlock,
    ImageBlock,
    Resize,
    assess,
    aug_transforms,
    get_image_files,
    parent_label,
    sample_photos,
    tf_efficientnet_lite0,
    vision_learner,
)

FAMILY = {
    "orange": "citrus", "satsuma": "citrus", "conference_pear": "pear", "granny_smith": "apple", "golden_delicious": "apple", "royal_gala": "apple",
}  # fmt: skip
PAIRINGS = ("compare", "concat", "symmetric")


def family(file: Any) -> str:
    return FAMILY[parent_label(file)]


def pairs(kind: Any, split: int, n: int, n_valid: int) -> pd.DataFrame:
    """Pairs of photographs, half of them of one kind; every fourth photograph validates, in an order of the split's own."""
    draw, rows = random.Random(split), []
    files = sorted(get_image_files(sample_photos()))
    draw.shuffle(files)
    for some, many, valid in ((files[len(files) // 4 :], n, False), (files[: len(files) // 4], n_valid, True)):
        for i in range(many):
            one = draw.choice(some)
            other = draw.choice([f for f in some if f != one and (kind(f) == kind(one)) == (i % 2 == 0)])
            rows.append({"one": one, "other": other, "same": "different" if i % 2 else "same", "is_valid": valid})
    return pd.DataFrame(rows)


def learner(table: pd.DataFrame, batch_tfms: Any, pairing: str, seed: int) -> Any:
    """A learner on pairs."""
    block = DataBlock(
        blocks=(ImageBlock, ImageBlock, CategoryBlock), n_inp=2, get_x=[ColReader("one"), ColReader("other")], get_y=ColReader("same"),
        splitter=ColSplitter(), item_tfms=Resize(96), batch_tfms=batch_tfms,
    )  # fmt: skip
    dls = block.dataloaders(table, bs=16, seed=seed, device="cpu")
    return vision_learner(dls, tf_efficientnet_lite0, weights="offline", seed=seed, metrics="accuracy", pairing=pairing)


def accuracy(learn: Any) -> float:
    return float(assess(learn).set_index("metric").value["accuracy"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--splits", type=int, default=4)
    given = parser.parse_args()
    reached, seconds = [], []
    for split in range(given.splits):
        learn = learner(pairs(family, split, 400, 120), aug_transforms(), "compare", split)
        start = perf_counter()
        with learn.no_logging():
            learn.fine_tune(2, 2e-3)
        seconds.append(perf_counter() - start)
        reached.append(accuracy(learn))
    print(
        f"families, 400 pairs, 2 epochs: accuracy {mean(reached):.3f} ({min(reached):.3f} to {max(reached):.3f}), {mean(seconds):.0f} s",
        flush=True,
    )
    for pairing in PAIRINGS:
        reached = []
        for split in range(given.splits):
            learn = learner(pairs(parent_label, split, 1000, 240), None, pairing, split)
            learn.freeze()
            with learn.no_logging():
                learn.fit_one_cycle(6, 3e-3)
            reached.append(accuracy(learn))
        print(
            f"six kinds, 1,000 pairs, pairing {pairing!r}: accuracy {mean(reached):.3f} ({min(reached):.3f} to {max(reached):.3f})",
            flush=True,
        )


if __name__ == "__main__":
    main()
