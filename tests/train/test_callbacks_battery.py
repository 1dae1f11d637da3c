"""One battery for all callbacks: each trains, cleans up after a fit however it ends, and its state goes to a file and back."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from callbacks_support import same_weights, small_learner, small_model, weights, when

from burnish.artifact import read, write
from burnish.data.notes import captured_notes
from burnish.train import callbacks
from burnish.train.callback import Callback, check_events
from burnish.train.callbacks.pack import pack, unpack

MAKE: dict[str, Callable[[], Callback]] = {
    "GradientAccumulation": lambda: callbacks.GradientAccumulation(20),
    "BatchLimit": lambda: callbacks.BatchLimit(2, 1),
    "Checkpoint": lambda: callbacks.Checkpoint(every_steps=2),
    "ReduceLROnPlateau": lambda: callbacks.ReduceLROnPlateau("valid_loss", comp="higher"),
    "EarlyStopping": lambda: callbacks.EarlyStopping(patience=3),
    "Distillation": lambda: callbacks.Distillation(small_model()),
    "TrackerCallback": lambda: callbacks.TrackerCallback("accuracy"),
}
NAMES = sorted({getattr(callbacks, name).__name__ for name in callbacks.__all__})
CALLBACKS = [MAKE.get(name) or MAKE.get(name + "Callback") or getattr(callbacks, name, None) or callbacks.TrackerCallback for name in NAMES]
each = pytest.mark.parametrize("make", CALLBACKS, ids=NAMES)


def surroundings(learn: Any) -> dict[str, Any]:
    """Everything of a learner that a callback might change and must put back."""
    return {
        "loss_func": learn.loss_func,
        "reduction": learn.loss_func.reduction,
        "model": learn.model,
        "forward": vars(learn.model).get("forward"),
        "train": learn.dls.train,
        "valid": learn.dls.valid,
        "callbacks": list(learn.cbs),
        "rates": [group["lr"] for group in learn.opt.param_groups],
        "hooks": [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in learn.model.modules()],
        "requires_grad": [p.requires_grad for p in learn.model.parameters()],
        "gradients": [p.grad for p in learn.model.parameters()],
        "rng": torch.get_rng_state().tolist(),
    }


def fitted(learn: Any, *cbs: Callback, epochs: int = 2) -> list[str]:
    with captured_notes() as notes:
        learn.fit(epochs, 1e-2, cbs=list(cbs))
    return notes


def test_every_callback_is_in_the_battery() -> None:
    found = {c.__name__ for c in vars(callbacks).values() if isinstance(c, type) and issubclass(c, Callback)}
    assert found == set(NAMES) and {"MixUp", "EMA", "Checkpoint", "Tracker"} <= found


@each
def test_trains_and_cleans_up(make: Callable[[], Callback], tmp_path: Path) -> None:
    learn = small_learner(tmp_path)
    fitted(learn, epochs=1)
    before, start = surroundings(learn), weights(learn)
    cb = make()
    check_events(cb)
    fitted(learn, cb)
    assert not same_weights(start, weights(learn))
    assert all(torch.isfinite(w).all() for w in weights(learn).values())
    assert surroundings(learn) == before
    fitted(learn, cb)  # the same object serves a second fit


@each
@pytest.mark.parametrize("event", ["before_step", "after_loss", "before_validate", "after_epoch"])
def test_cleans_up_after_ctrl_c(make: Callable[[], Callback], event: str, tmp_path: Path) -> None:
    learn = small_learner(tmp_path)
    fitted(learn, epochs=1)
    before, calls = surroundings(learn), []

    def interrupt(learn: Any) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fitted(learn, make(), when(order=2000, **{event: interrupt}))
    after = surroundings(learn)
    assert {k: v for k, v in after.items() if k != "gradients"} == {k: v for k, v in before.items() if k != "gradients"}
    assert all(torch.isfinite(w).all() for w in weights(learn).values())
    fitted(learn, epochs=1)


@each
def test_state_survives_a_file(make: Callable[[], Callback], tmp_path: Path) -> None:
    states: list[dict[str, object]] = []
    learn = small_learner(tmp_path)
    cb = make()
    fitted(learn, cb, when(order=2000, after_epoch=lambda learn: states.append(copy.deepcopy(cb.state_dict()))))
    tensors: dict[str, torch.Tensor] = {}
    write(tmp_path / "state.burnish", {"state": pack(states[-1], tensors)}, tensors)
    stored = read(tmp_path / "state.burnish")
    again = make()
    again.load_state_dict(unpack(stored.config["state"], stored.tensors))
    assert_same(again.state_dict(), states[-1])


def assert_same(a: Any, b: Any) -> None:
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for k in a:
            assert_same(a[k], b[k])
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    elif isinstance(a, torch.Tensor):
        assert a.dtype == b.dtype and torch.equal(a, b)
    else:
        assert a == b
