"""Gradual unfreezing: which layer group trains when, and that everything is put back."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from callbacks_support import small_data, when
from torch import nn

from burnish.errors import SettingError
from burnish.train.callback import CancelFitException
from burnish.train.callbacks import GradientAccumulation, GradualUnfreeze
from burnish.train.learner import Learner


def layered_learner(path: Path, **kwargs: Any) -> Learner:
    """Five layer groups, two with batch norm; 4 batches an epoch."""
    torch.manual_seed(0)
    convs = [nn.Sequential(nn.Conv2d(3 if i == 0 else 4, 4, 3, padding=1), nn.BatchNorm2d(4) if i < 2 else nn.ReLU()) for i in range(4)]
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    settings = {"loss_func": nn.CrossEntropyLoss(), "splitter": list, "seed": 3, "path": path, **kwargs}
    return Learner(small_data(), nn.Sequential(*convs, head), **settings)


def training(learn: Learner) -> list[bool]:
    """Which groups train."""
    return [all(p.requires_grad for p in group) for group in learn.groups]


def recorded(learn: Learner, *cbs: Any, epochs: int = 2) -> list[list[bool]]:
    """Which groups train at each step of a fit."""
    seen: list[list[bool]] = []
    learn.fit(epochs, 1e-2, cbs=[*cbs, when(before_step=lambda learn: seen.append(training(learn)))])
    return seen


@pytest.mark.parametrize(
    ("until", "turns"), [(0.5, [4, 3, 2, 0, 0]), (np.float32(0.75), [6, 4, 2, 0, 0]), (0, [0] * 5), (1, [7, 6, 3, 0, 0])]
)
def test_groups_join_from_the_head_down_after_a_first_step_of_all(until: float, turns: list[int], tmp_path: Path) -> None:
    learn = layered_learner(tmp_path)
    seen = recorded(learn, GradualUnfreeze(until))
    assert seen == [[step == 0 or step >= turn for turn in turns] for step in range(8)]
    assert all(training(learn))


def test_a_group_that_waits_keeps_its_weights(tmp_path: Path) -> None:
    learn, firsts = layered_learner(tmp_path), []
    keep = when(after_step=lambda learn: firsts.append(learn.model[0][0].weight.detach().clone()))
    learn.fit(2, 1e-2, cbs=[GradualUnfreeze(0.5), keep])
    moved = [not torch.equal(a, b) for a, b in pairwise(firsts)]
    assert moved == [False] * 3 + [True] * 4  # between steps: joins at the fifth of eight


def test_what_is_frozen_before_stays_frozen(tmp_path: Path) -> None:
    learn = layered_learner(tmp_path)
    learn.freeze_to(2)
    assert all(step[:2] == [False, False] for step in recorded(learn, GradualUnfreeze(0.5)))
    assert training(learn) == [False, False, True, True, True]


def test_normalisation_goes_on_training_where_it_should_always(tmp_path: Path) -> None:
    learn, seen = layered_learner(tmp_path, train_bn=True), []
    keep = when(before_step=lambda learn: seen.append([p.requires_grad for p in learn.model[0].parameters()]))
    learn.fit(2, 1e-2, cbs=[GradualUnfreeze(0.5), keep])
    assert seen[1] == [False, False, True, True] and seen[-1] == [True] * 4


def test_nobody_joins_between_batches_whose_gradients_are_gathered(tmp_path: Path) -> None:
    learn, seen = layered_learner(tmp_path), []
    keep = when(order=99, after_pred=lambda learn: learn.training and seen.append((learn.keep_gradients, training(learn))))
    learn.fit(3, 1e-2, cbs=[GradualUnfreeze(0.5), GradientAccumulation(16), keep])
    assert sum(gathering for gathering, _ in seen) == 6  # 8 samples a batch, 4 batches an epoch
    assert all(now == before for (_, before), (gathering, now) in pairwise(seen) if gathering)
    assert any(not all(now) for _, now in seen)


def test_a_single_step_trains_all(tmp_path: Path) -> None:
    learn = layered_learner(tmp_path)
    learn.dls = small_data(n=11)  # 8 for training: one batch
    assert recorded(learn, GradualUnfreeze(1), epochs=1) == [[True] * 5]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, CancelFitException])
def test_everything_trains_again_after_a_fit_that_was_stopped(error: type[BaseException], tmp_path: Path) -> None:
    learn = layered_learner(tmp_path)

    def stop(learn: Any) -> None:
        if learn.step == 2:
            assert not training(learn)[0]
            raise error

    with suppress(KeyboardInterrupt, RuntimeError):
        learn.fit(2, 1e-2, cbs=[GradualUnfreeze(0.5), when(after_batch=stop)])
    assert all(training(learn))


@pytest.mark.parametrize("wrong", [-0.1, 1.5, "half", None, True, float("nan")])
def test_wrong_shares_are_refused(wrong: Any, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"until=.*from 0 to 1"):
        GradualUnfreeze(wrong)
    learn = layered_learner(tmp_path)
    for name in ("unfreeze_pct", "pct_start"):
        with pytest.raises(SettingError, match=f"{name}=.*from 0 to 1"):
            learn.fine_tune(1, **{name: wrong})
    assert learn.n_fits == 0  # nothing was trained before it was found out


@pytest.mark.parametrize(("given", "turn"), [({}, 4), ({"unfreeze_pct": 0}, 0), ({"unfreeze_pct": 0.25}, 2)])
def test_fine_tune_lets_the_groups_join_in_its_second_phase(given: dict[str, float], turn: int, tmp_path: Path) -> None:
    learn, seen = layered_learner(tmp_path), []
    keep = when(before_step=lambda learn: seen.append((learn.phase, training(learn)[0], training(learn)[-2])))
    learn.fine_tune(2, cbs=keep, **given)
    whole = [step for step in seen if step[0] == "whole"]
    assert [step for step in seen if step[0] == "head"] == [("head", False, False)] * 4
    assert whole == [("whole", i == 0 or i >= turn, True) for i in range(8)]


def test_a_compiled_model_trains_whole_as_each_change_would_compile_it_anew(tmp_path: Path) -> None:
    learn = layered_learner(tmp_path)
    learn.model = torch.compile(learn.model, backend="eager")
    assert all(all(step) for step in recorded(learn, GradualUnfreeze(0.5)))
