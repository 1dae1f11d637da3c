"""What the tests of the callbacks share: small real training runs, and a callback made from functions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from burnish.data.dataloaders import DataLoaders
from burnish.train.callback import EVENTS, Callback
from burnish.train.learner import Learner


def small_data(n: int = 40, bs: int = 8, *, images: bool = True, shuffle: bool = True) -> DataLoaders:
    """Three classes that can be told apart: the mean colour of tiny noise images (or two numbers), with plain PyTorch loaders."""
    g = torch.Generator().manual_seed(0)
    y = torch.arange(n) % 3
    shape = (n, 3, 8, 8) if images else (n, 3)
    x = torch.randn(shape, generator=g) + 1.5 * nn.functional.one_hot(y, 3).float().reshape(n, 3, *[1] * (len(shape) - 2))
    train, valid = TensorDataset(x[: -n // 4], y[: -n // 4]), TensorDataset(x[-n // 4 :], y[-n // 4 :])
    return DataLoaders(DataLoader(train, bs, shuffle=shuffle), DataLoader(valid, bs), device="cpu")


def small_model(*, dropout: float = 0.2, images: bool = True) -> nn.Module:
    """A convolution, batch norm, dropout and a linear layer; the same weights every time."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        if not images:
            return nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Dropout(dropout), nn.Linear(8, 3))
        return nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(4, 3)
        )


def accuracy(pred: Tensor, targ: Tensor) -> Tensor:
    return (pred.argmax(1) == targ).float().mean()


def small_learner(path: Path, *, images: bool = True, dropout: float = 0.2, data: dict[str, Any] | None = None, **kwargs: Any) -> Learner:
    settings = {"loss_func": nn.CrossEntropyLoss(), "metrics": [accuracy], "seed": 3, "path": path, "precision": "fp32", **kwargs}
    return Learner(small_data(images=images, **(data or {})), small_model(images=images, dropout=dropout), **settings)


def weights(learn: Learner) -> dict[str, Tensor]:
    return {k: v.detach().clone() for k, v in learn.model.state_dict().items()}


def same_weights(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def when(order: float = 0, **events: Callable[[Learner], object]) -> Callback:
    """A callback from functions: ``when(after_batch=lambda learn: ...)``; `order` places it among the others."""
    unknown = set(events) - set(EVENTS)
    assert not unknown, unknown
    return type("When", (Callback,), {"order": order, **{name: _method(f) for name, f in events.items()}})()


def _method(function: Callable[[Learner], object]) -> Callable[[Callback, Learner], object]:
    return lambda self, learn: function(learn)
