"""What a library adds to a plain PyTorch loop, per batch, on a trivial model."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any


def measure(side: Any, s: dict[str, Any]) -> dict[str, float]:
    """Figures: milliseconds a batch of the plain loop, of the library, and the difference.

    Both go over the same loader of ready batches; the plain loop with PyTorch's fastest AdamW, the library with its default
    optimizer (an AdamW too) and callbacks. An epoch's cost is the
    time of fit(2) less that of fit(1), so that what happens once a fit doesn't count; the best of several tries is taken.
    """
    import torch
    from torch import nn
    from torch.utils.data import DataLoader

    torch.manual_seed(s["seed"])
    batches = [(torch.randn(64, 10), torch.randn(64, 1)) for _ in range(s["batches"])]
    train, valid = DataLoader(batches, batch_size=None), DataLoader(batches[:1], batch_size=None)  # type: ignore[arg-type]
    learn = side.plain_learner(train, valid, nn.Linear(10, 1), nn.MSELoss())
    learn.fit(1, 1e-3)  # warms up

    def plain(epochs: int) -> None:
        model, loss_func = nn.Linear(10, 1), nn.MSELoss()
        opt = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
        for _ in range(epochs):
            for xb, yb in train:
                loss = loss_func(model(xb), yb)
                loss.backward()
                opt.step()
                opt.zero_grad()

    def per_batch(run: Callable[[int], Any]) -> float:
        return 1000 * (_best(lambda: run(2), s["tries"]) - _best(lambda: run(1), s["tries"])) / len(batches)

    ours, theirs = per_batch(lambda n: learn.fit(n, 1e-3)), per_batch(plain)
    return {"library_ms": ours, "plain_ms": theirs, "overhead_ms": ours - theirs}


def _best(run: Callable[[], Any], tries: int) -> float:
    times = []
    for _ in range(tries):
        start = perf_counter()
        run()
        times.append(perf_counter() - start)
    return min(times)
