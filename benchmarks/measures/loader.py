"""Training batches from JPEGs of 1,600 x 1,200 to 224 pixels, without a model."""

from __future__ import annotations

from statistics import median
from time import perf_counter
from typing import Any

import pandas as pd


def measure(side: Any, s: dict[str, Any]) -> dict[str, float]:
    """Figures: images a second in the first epoch and (median) in the later ones, workers' start included in each."""
    table = pd.read_csv(s["table"])
    dls = side.loaders(table, s["size"], s["bs"], s["seed"], cache=True)
    rates = []
    for _ in range(s["epochs"]):
        start, images = perf_counter(), 0
        for batch in dls.train:
            images += len(batch[0])
        rates.append(images / (perf_counter() - start))
    return {"first_images_per_s": rates[0], "later_images_per_s": median(rates[1:])}
