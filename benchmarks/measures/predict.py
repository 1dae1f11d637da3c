"""``learn.predict`` on one image: time beyond decoding and the forward pass."""

from __future__ import annotations

from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd


def measure(side: Any, s: dict[str, Any]) -> dict[str, float]:
    """Figures: milliseconds of predict, of the forward pass alone, and the difference.

    The image is given decoded and at its final size (an array), so nothing has to be decoded or made smaller; the model is
    trivial, so that its own noise doesn't hide the difference. Medians of many calls.
    """
    import torch
    from PIL import Image
    from torch import nn

    table = pd.read_csv(s["table"])
    dls = side.loaders(table, s["size"], 8, s["seed"])
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, table["label"].nunique()))
    learn = side.small_learner(dls, model)
    image = np.asarray(Image.open(table["file"][0]).convert("RGB").resize((s["size"], s["size"])))
    x = torch.rand(1, 3, s["size"], s["size"])
    learn.model.eval()
    forward, whole = [], []
    for _ in range(s["calls"]):
        with torch.no_grad():
            start = perf_counter()
            learn.model(x)
            forward.append(perf_counter() - start)
        start = perf_counter()
        learn.predict(image)
        whole.append(perf_counter() - start)
    return {
        "predict_ms": 1000 * median(whole), "forward_ms": 1000 * median(forward), "overhead_ms": 1000 * (median(whole) - median(forward)),
    }  # fmt: skip
