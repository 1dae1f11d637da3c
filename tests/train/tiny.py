"""A tiny problem that is learned in a second, and learners for it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader as TorchLoader
from torch.utils.data import TensorDataset

from burnish.data import loader
from burnish.data.dataloaders import DataLoaders
from burnish.train.callback import EVENTS, Callback
from burnish.train.learner import Learner

CLASSES = 3


def points(n: int = 96, seed: int = 0) -> tuple[Tensor, Tensor]:
    """(n, 4) inputs and their class, a linear function of them."""
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 4, generator=rng)
    return x, (x @ torch.tensor([[1.0, -1, 0], [0, 1, -1], [1, 0, -1], [-1, 1, 1]])).argmax(1)


def tiny_dls(n: int = 96, bs: int = 16, valid: bool = True, shuffle: bool = True, **kwargs: Any) -> DataLoaders:
    train = TorchLoader(TensorDataset(*points(n)), bs, shuffle=shuffle)
    others = [TorchLoader(TensorDataset(*points(40, seed=1)), 16)] if valid else []
    return DataLoaders(train, *others, device="cpu", **kwargs)


def tiny_model(dropout: float = 0.0, norm: bool = True, n_out: int = CLASSES) -> nn.Sequential:
    """A body (0) and a head (1), the same weights every time."""
    rng = torch.random.get_rng_state()
    torch.manual_seed(0)
    body = nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16) if norm else nn.Identity(), nn.ReLU(), nn.Dropout(dropout))
    model = nn.Sequential(body, nn.Linear(16, n_out))
    torch.random.set_rng_state(rng)
    return model


def accuracy(output: Tensor, target: Tensor) -> Tensor:
    return (output.argmax(1) == target).float().mean()


def body_and_head(model: nn.Sequential) -> list[nn.Module]:
    return [model[0], model[1]]


def tiny_learner(
    path: Any = ".", dls: DataLoaders | None = None, model: nn.Module | None = None, quiet: bool = True, **kwargs: Any
) -> Learner:
    settings: dict[str, Any] = {
        "loss_func": nn.CrossEntropyLoss(),
        "seed": 7,
        "metrics": accuracy,
        "splitter": body_and_head,
        "precision": "fp32",
        **kwargs,
    }
    learn = Learner(tiny_dls() if dls is None else dls, tiny_model() if model is None else model, path=path, **settings)
    if quiet:
        learn.cbs = [cb for cb in learn.cbs if type(cb).__name__ != "Progress"]
    return learn


def state(learn: Learner) -> dict[str, Tensor]:
    return {k: v.clone() for k, v in learn.model.state_dict().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def counted_reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """From here on, every conversion of a tensor to a Python or numpy value, by name. On a GPU each would make the processor
    wait. What a loader reads (files, and draws of its own) is on the CPU anyway and isn't counted."""
    reads: list[str] = []
    for name in ("item", "tolist", "__bool__", "__float__", "__int__", "cpu", "numpy"):
        original = getattr(torch.Tensor, name)

        def counted(self: Tensor, *args: Any, _original: Any = original, _name: str = name, **kwargs: Any) -> Any:
            if not _in_loader():
                reads.append(_name)
            return _original(self, *args, **kwargs)

        monkeypatch.setattr(torch.Tensor, name, counted)
    return reads


def _in_loader() -> bool:
    frame = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename != loader.__file__:
        frame = frame.f_back
    return frame is not None


class Log(Callback):
    """Notes every event, and raises where it is told to: ``at={"before_step": error}``, at the n-th time."""

    order = 30

    def __init__(
        self, at: dict[str, BaseException] | None = None, nth: int = 1, when: Callable[[Learner], bool] = lambda learn: True
    ) -> None:
        self.seen: list[str] = []
        self.at, self.nth, self.when = at or {}, nth, when
        self.times: dict[str, int] = {}

    def note(self, event: str, learn: Learner) -> None:
        self.seen.append(event)
        if event in self.at and self.when(learn):
            self.times[event] = self.times.get(event, 0) + 1
            if self.times[event] == self.nth:
                raise self.at[event]


for _event in EVENTS:
    setattr(Log, _event, lambda self, learn, _event=_event: self.note(_event, learn))
