"""``learn.predict`` on one image: time beyond decoding and the forward pass."""

from __future__ import annotations

from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd


def measure(side: Any, s: dict[str, Any]) -> dict[str, float]:
    """Figures: milliseconds of predict, of the forward pass in it, and the difference.

    The image is given decoded and at its final size (an array), so nothing has to be decoded or made smaller; the model is
    trivial, so that its own noise doesn't hide the difference. Medians of many calls.
    """
    from PIL import Image
    from torch import nn

    table = pd.read_csv(s["table"])
    dls = side.loaders(table, s["size"], 8, s["seed"])
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, table["label"].nunique()))
    learn = side.small_learner(dls, model)
    image = np.asarray(Image.open(table["file"][0]).convert("RGB").resize((s["size"], s["size"])))
    forward, whole, began = [], [], 0.0

    def begin(module: nn.Module, inputs: Any) -> None:
        nonlocal began
        began = perf_counter()

    def end(module: nn.Module, inputs: Any, output: Any) -> None:
        forward.append(perf_counter() - began)

    learn.model.register_forward_pre_hook(begin)
    learn.model.register_forward_hook(end)
    for _ in range(s["calls"]):
        start = perf_counter()
        learn.predict(image)
        whole.append(perf_counter() - start)
    return {
        "predict_ms": 1000 * median(whole), "forward_ms": 1000 * median(forward),
        "overhead_ms": 1000 * median(w - f for w, f in zip(whole, forward, strict=True)),
    }  # fmt: skip
