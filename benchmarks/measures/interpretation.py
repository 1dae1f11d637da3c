"""ClassificationInterpretation and four views of it: how often the model goes over the validation set."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import pandas as pd


def measure(side: Any, s: dict[str, Any]) -> dict[str, float]:
    """Figures: passes (images that went through the model / images in the set) and seconds."""
    from matplotlib import pyplot as plt
    from torch import nn

    table = pd.read_csv(s["table"])
    dls = side.loaders(table, s["size"], 16, s["seed"])
    learn = side.small_learner(dls, nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, table["label"].nunique())))
    seen = 0

    def count(module: nn.Module, inputs: Any, output: Any) -> None:
        nonlocal seen
        seen += len(output)

    learn.model.register_forward_hook(count)
    start = perf_counter()
    interp = side.interpretation().from_learner(learn)
    interp.plot_confusion_matrix()
    interp.most_confused()
    interp.plot_top_losses(4)
    interp.print_classification_report()
    seconds = perf_counter() - start
    plt.close("all")
    return {"passes": seen / int(table["is_valid"].sum()), "seconds": seconds}
