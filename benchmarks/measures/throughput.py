"""Training from JPEGs, end to end, beside the same model on one batch that lies on the device already."""

from __future__ import annotations

import sys
from collections import Counter
from statistics import median
from time import perf_counter
from typing import Any

import pandas as pd


def measure(side: Any, s: dict[str, Any]) -> dict[str, float]:
    """Figures: images a second in the first epoch, (median) in the later ones, and of the same model, number format and optimizer
    on a synthetic batch; the later ones as a share of that; and how often the host waited for the device in a step.
    """
    import torch

    table = pd.read_csv(s["table"])
    dls = side.loaders(table, s["size"], s["bs"], s["seed"], augment=True, cache=True)
    learn = side.image_learner(dls, s["arch"], None, s["seed"])
    side.whole_pictures(learn)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    images = len(dls.train) * s["bs"]  # of the full batches; the last one is left out where it is small

    spans: list[float] = []
    started = 0.0

    def begin() -> None:
        nonlocal started
        wait()
        started = perf_counter()

    def end() -> None:
        wait()
        spans.append(perf_counter() - started)

    side.around_training(learn, begin, end)
    learn.fit(s["epochs"], 1e-3)
    rates = [images / span for span in spans]
    x, y = (part[: s["bs"]].as_subclass(torch.Tensor) for part in dls.one_batch())
    synthetic = _synthetic(learn.model, x.to(device), y.to(device), side.autocast(learn), s["steps"], wait)
    return {
        "first_images_per_s": rates[0], "later_images_per_s": median(rates[1:]), "synthetic_images_per_s": synthetic,
        "share": median(rates[1:]) / synthetic, "waits_a_step": _waits(side, learn, dls) if device.type == "cuda" else float("nan"),
    }  # fmt: skip


def _synthetic(model: Any, x: Any, y: Any, autocast: Any, steps: int, wait: Any) -> float:
    """Images a second of a plain loop on one batch."""
    import torch

    model.train()
    opt = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-5, fused=True)

    def step() -> None:
        with autocast():
            loss = torch.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        opt.step()
        opt.zero_grad()

    for _ in range(3):
        step()
    wait()
    start = perf_counter()
    for _ in range(steps):
        step()
    wait()
    return steps * len(x) / (perf_counter() - start)


def _waits(side: Any, learn: Any, dls: Any) -> float:
    """How often a training step makes the host wait for the device, by PyTorch's own watch for it; in a second epoch, as what
    is looked at once a fit is no part of a step."""
    import warnings

    import torch

    begun = 0

    def watch() -> None:
        nonlocal begun
        begun += 1
        torch.cuda.set_sync_debug_mode("warn" if begun == 2 else "default")

    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        side.around_training(learn, watch, lambda: torch.cuda.set_sync_debug_mode("default"))
        learn.fit(2, 1e-5)
    waits = Counter(f"{w.filename}:{w.lineno}" for w in found if "called a synchronizing" in str(w.message))
    print("waits for the device:", dict(waits) or "none", file=sys.stderr)
    return waits.total() / len(dls.train)
