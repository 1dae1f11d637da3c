"""Memory while training from many images on disk: does it grow from epoch to epoch?"""

from __future__ import annotations

from typing import Any

import pandas as pd
from memory import resident_mb


def measure(side: Any, s: dict[str, Any]) -> dict[str, float]:
    """Figures: resident memory (this process and its workers) after the first and the last epoch, in MB, and the growth between
    them in MB an epoch. The model is trivial: what grows is the library's."""
    from torch import nn

    table = pd.read_csv(s["table"])
    dls = side.loaders(table, s["size"], s["bs"], s["seed"])
    after: list[float] = []
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, table["label"].nunique()))
    learn = side.small_learner(dls, model, on_epoch=lambda: after.append(resident_mb()))
    learn.fit(s["epochs"], 1e-3)
    return {"first_mb": after[0], "last_mb": after[-1], "growth_mb_per_epoch": (after[-1] - after[0]) / (len(after) - 1)}
