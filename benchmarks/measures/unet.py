"""A U-Net trained on pictures with masks: seconds an epoch, and the mean IoU on the pictures that validate, computed here for both libraries."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import Any


def measure(side: Any, s: dict[str, Any]) -> dict[str, float]:
    """Figures: seconds (an epoch, its validation included, the mean of all), miou."""
    files = sorted(Path(s["folder"], "images").iterdir())
    learn = side.mask_learner(files, s["codes"], s["arch"], s["bs"], s["seed"])
    start = perf_counter()
    side.fit_masks(learn, s["epochs"], s["lr"])
    done = perf_counter()
    preds, targets = learn.get_preds()[:2]
    return {"seconds": (done - start) / s["epochs"], "miou": mean_iou(preds.argmax(1), targets, len(s["codes"]))}


def mean_iou(said: Any, true: Any, classes: int) -> float:
    """Over all pixels of the split: intersection over union, the mean of the classes that are anywhere."""
    ious = []
    for c in range(classes):
        both, either = ((said == c) & (true == c)).sum(), ((said == c) | (true == c)).sum()
        if either:
            ious.append(float(both / either))
    return sum(ious) / len(ious)
