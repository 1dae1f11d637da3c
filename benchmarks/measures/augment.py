"""``aug_transforms()`` on a training batch."""

from __future__ import annotations

from statistics import median
from time import perf_counter
from typing import Any


def measure(side: Any, s: dict[str, Any]) -> dict[str, float]:
    """Figures: milliseconds a batch (median)."""
    import torch

    torch.manual_seed(s["seed"])
    apply, batch = side.augmenter(s["size"]), torch.rand(s["bs"], 3, s["size"], s["size"])
    times = []
    for _ in range(s["calls"] + 1):
        start = perf_counter()
        apply(batch.clone())
        times.append(perf_counter() - start)
    return {"ms": 1000 * median(times[1:])}
