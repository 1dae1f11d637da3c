"""Accumulation and clipping of gradients, against the same steps done by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from callbacks_support import same_weights, small_learner, weights, when
from torch import nn

from burnish.data.notes import captured_notes
from burnish.errors import SettingError
from burnish.train.callback import CancelBatchException, CancelTrainException
from burnish.train.callbacks import BatchLimit, GradientAccumulation, GradientClip

PLAIN = {"images": False, "dropout": 0.0, "opt_func": torch.optim.SGD}  # nothing drawn, no batch norm: batches add up exactly


def fixed(tmp_path: Path, bs: int, **kwargs: Any) -> Any:
    return small_learner(tmp_path, **{**PLAIN, "data": {"bs": bs, "shuffle": False, "n": 40}, **kwargs})


def close(a: Any, b: Any) -> None:
    for key, value in weights(a).items():
        torch.testing.assert_close(value, weights(b)[key], msg=key)


@pytest.mark.parametrize(("bs", "n_acc", "large"), [(5, 15, 15), (3, 6, 6), (2, 30, 30), (5, 12, 15), (4, 30, 32), (30, 8, 30)])
def test_accumulated_steps_are_those_of_the_large_batch(bs: int, n_acc: int, large: int, tmp_path: Path) -> None:
    """Also where n_acc is no multiple of the batch size, and with a rest at the epoch's end (40 * 3/4 = 30 samples)."""
    small, big = fixed(tmp_path, bs), fixed(tmp_path, large)
    small.fit(2, 0.1, cbs=GradientAccumulation(n_acc))
    big.fit(2, 0.1)
    close(small, big)
    assert small.step == big.step


def test_the_reported_loss_is_the_batches_own(tmp_path: Path) -> None:
    plain, accumulated = fixed(tmp_path, 5), fixed(tmp_path, 5)
    plain.fit(1, 0.0)
    accumulated.fit(1, 0.0, cbs=GradientAccumulation(15))
    assert accumulated.recorder.raw_losses == pytest.approx(plain.recorder.raw_losses)


def test_the_rest_of_a_shortened_epoch_is_stepped(tmp_path: Path) -> None:
    limited, cancelled, by_hand = fixed(tmp_path, 5), fixed(tmp_path, 5), fixed(tmp_path, 10)

    def stop(learn: Any) -> None:
        if learn.training and learn.batch_index == 1:
            raise CancelTrainException

    limited.fit(2, 0.1, cbs=[GradientAccumulation(100), BatchLimit(2)])
    cancelled.fit(2, 0.1, cbs=[GradientAccumulation(100), when(order=2000, after_batch=stop)])
    by_hand.fit(2, 0.1, cbs=BatchLimit(1))
    close(limited, by_hand)
    close(cancelled, by_hand)


def test_a_cancelled_batch_does_not_lose_what_is_gathered(tmp_path: Path) -> None:
    def leave_out(learn: Any) -> None:
        if learn.training and learn.batch_index in (1, 5):
            raise CancelBatchException

    got, by_hand = fixed(tmp_path, 5), fixed(tmp_path, 5)
    got.fit(1, 0.1, cbs=[GradientAccumulation(10), when(before_batch=leave_out)])
    x, y = (torch.cat(parts) for parts in zip(*by_hand.dls.train, strict=True))
    opt = torch.optim.SGD(by_hand.model.parameters(), 0.1)
    for rows in ([*range(5), *range(10, 15)], [*range(15, 25)]):  # batches 0 and 2, then 3 and 4
        nn.functional.cross_entropy(by_hand.model(x[rows]), y[rows]).backward()
        opt.step()
        opt.zero_grad()
    close(got, by_hand)


def test_nothing_leaks_from_an_interrupted_fit(tmp_path: Path) -> None:
    def interrupt(learn: Any) -> None:
        if learn.training:
            raise KeyboardInterrupt

    cb = GradientAccumulation(100)
    got, fresh = fixed(tmp_path, 5), fixed(tmp_path, 5)
    with pytest.raises(KeyboardInterrupt):
        got.fit(1, 0.1, cbs=[cb, when(order=2000, after_batch=interrupt)])
    assert all(p.grad is None for p in got.model.parameters())
    got.fit(1, 0.1, cbs=cb)
    fresh.fit(1, 0.1, cbs=GradientAccumulation(100))
    close(got, fresh)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_clip_limits_the_norm_after_unscaling(precision: str, tmp_path: Path) -> None:
    norms: list[float] = []

    def measure(learn: Any) -> None:
        norms.append(float(torch.stack([p.grad.norm() for p in learn.model.parameters()]).norm()))

    with captured_notes():
        learn = fixed(tmp_path, 10, precision=precision)
    learn.fit(1, 0.1, cbs=[when(order=2000, before_step=measure)])
    norms.clear()
    learn.fit(1, 0.1, cbs=[GradientClip(0.01), when(order=2000, before_step=measure)])
    assert norms == pytest.approx([0.01] * len(norms), rel=1e-3) and len(norms) == 3


def test_clip_leaves_small_gradients_alone(tmp_path: Path) -> None:
    a, b = fixed(tmp_path, 10), fixed(tmp_path, 10)
    a.fit(1, 0.1, cbs=GradientClip(1e6))
    b.fit(1, 0.1)
    assert same_weights(weights(a), weights(b))


def test_accumulation_and_clipping_together_clip_the_whole_step(tmp_path: Path) -> None:
    small, big = fixed(tmp_path, 5), fixed(tmp_path, 15)
    small.fit(2, 0.1, cbs=[GradientClip(0.05), GradientAccumulation(15)])
    big.fit(2, 0.1, cbs=GradientClip(0.05))
    close(small, big)


def test_settings_that_cannot_be() -> None:
    with pytest.raises(SettingError, match=r"n_acc=0.*at least 1"):
        GradientAccumulation(0)
    with pytest.raises(SettingError, match=r"max_norm=-1.*above 0"):
        GradientClip(-1)
