"""What a library adds to a plain PyTorch loop, per batch, on a trivial model."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import numpy as np


class Clocked(list[Any]):
    """Ready batches that note when each of them is asked for: the time between two is what a batch costs."""

    def __init__(self, batches: list[Any]) -> None:
        super().__init__(batches)
        self.times: list[float] = []

    def __getitem__(self, i: Any) -> Any:
        self.times.append(perf_counter())
        return super().__getitem__(i)

    def ms_a_batch(self) -> float:
        """The median of the epoch just run."""
        times, self.times = self.times, []
        return 1000 * float(np.median(np.diff(times)))


def measure(side: Any, s: dict[str, Any]) -> dict[str, float]:
    """Figures: milliseconds a batch of the plain loop, of the library, and the difference.

    Both go over the same loader of ready batches; the plain loop with PyTorch's fastest AdamW, the library with its default
    optimizer (an AdamW too) and callbacks. Both spare biases from weight decay, so both have two groups of parameters. They take
    turns, an epoch each. The median batch of each epoch counts, and of these the lower quartile, so that other work on the machine
    disturbs little.
    """
    import torch
    from torch import nn
    from torch.utils.data import DataLoader

    torch.manual_seed(s["seed"])
    batches = Clocked([(torch.randn(64, 10), torch.randn(64, 1)) for _ in range(s["batches"])])
    train, valid = DataLoader(batches, batch_size=None), DataLoader([batches[0]], batch_size=None)  # type: ignore[arg-type]
    learn = side.plain_learner(train, valid, nn.Linear(10, 1), nn.MSELoss())

    def library() -> float:
        batches.times.clear()
        learn.fit(1, 1e-3)
        return batches.ms_a_batch()

    def plain() -> float:
        model, loss_func = nn.Linear(10, 1), nn.MSELoss()
        groups = [{"params": [model.weight]}, {"params": [model.bias], "weight_decay": 0.0}]
        opt = torch.optim.AdamW(groups, lr=1e-3, fused=True)
        batches.times.clear()
        for xb, yb in train:
            loss = loss_func(model(xb), yb)
            loss.backward()
            opt.step()
            opt.zero_grad()
        return batches.ms_a_batch()

    library(), plain()  # warm up
    pairs = [(library(), plain()) for _ in range(s["tries"])]
    ours, theirs = (float(np.quantile(times, 0.25)) for times in zip(*pairs, strict=True))
    return {"library_ms": ours, "plain_ms": theirs, "overhead_ms": ours - theirs}
