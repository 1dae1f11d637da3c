"""Schedules: their values, joining them, and what the optimizer gets."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from tiny import tiny_learner

from burnish.errors import SettingError
from burnish.train import schedule as s
from burnish.train.schedule import ParamScheduler, combine_scheds, combined_cos

SCHEDULES = {
    "lin": (s.SchedLin(1.0, 3.0), 2.0),
    "cos": (s.SchedCos(1.0, 3.0), 2.0),
    "exp": (s.SchedExp(1.0, 100.0), 10.0),
    "poly": (s.SchedPoly(1.0, 3.0, 2.0), 1.5),
    "const": (s.SchedNo(1.0), 1.0),
    "combined": (combine_scheds([0.25, 0.75], [s.SchedLin(0.0, 1.0), s.SchedNo(1.0)]), 1.0),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_values_ends_and_pickling(name: str) -> None:
    sched, half = SCHEDULES[name]
    again = pickle.loads(pickle.dumps(sched))
    assert sched(0.5) == pytest.approx(half) == again(0.5)
    if name not in ("const", "combined"):
        assert sched(0.0) == pytest.approx(sched.start)
        assert sched(1.0) == pytest.approx(sched.end)


@pytest.mark.parametrize("kind", [s.SchedLin, s.SchedCos, s.SchedExp])
def test_one_value_a_layer_group(kind: type) -> None:
    both = kind(np.array([1.0, 10.0]), np.array([2.0, 20.0]))(0.3)
    assert both == pytest.approx([kind(1.0, 2.0)(0.3), kind(10.0, 20.0)(0.3)])


def test_one_cycle_has_the_known_shape() -> None:
    one_cycle = combined_cos(0.25, 1 / 25, 1.0, 1e-5)
    assert [round(one_cycle(p), 3) for p in (0, 0.1, 0.25, 0.5, 0.75)] == [0.04, 0.372, 1.0, 0.75, 0.25]
    assert one_cycle(1.0) == pytest.approx(1e-5)


def test_shares_may_be_off_by_rounding() -> None:
    assert combine_scheds([0.7, 0.2, 0.1], [s.SchedNo(1), s.SchedNo(2), s.SchedNo(3)])(0.95) == 3


@pytest.mark.parametrize(
    ("pcts", "scheds", "message"),
    [([0.5, 0.6], 2, "sum to 1.1"), ([1.0], 2, r"1 share\(s\) for 2 schedule"), ([], 0, "at least one"), ([-0.5, 1.5], 2, "at least 0")],
)
def test_shares_that_cannot_be(pcts: list[float], scheds: int, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        combine_scheds(pcts, [s.SchedNo(1.0)] * scheds)


def test_pct_start_out_of_range() -> None:
    with pytest.raises(SettingError, match=r"pct_start=1.5.*from 0 to 1"):
        tiny_learner().fit_one_cycle(1, pct_start=1.5)


def test_the_scheduler_sets_what_it_is_told_by_layer_group() -> None:
    learn = tiny_learner()
    scheds = {
        "lr": s.SchedLin(np.array([0.1, 1.0]), np.array([0.2, 2.0])),
        "mom": s.SchedNo(0.5),
        "wd": s.SchedNo(0.3),
        "eps": s.SchedNo(1e-3),
    }
    learn.fit(1, cbs=ParamScheduler(scheds))
    at = learn.progress
    for group in learn.opt.param_groups:
        low = (0.1, 1.0)[group["layer_group"]]
        assert group["lr"] == pytest.approx(low + low * at)
        assert group["betas"][0] == 0.5
        assert group["weight_decay"] == (0.3 if group["decays"] else 0.0)
        assert group["eps"] == 1e-3


def test_an_unknown_hyper_parameter_is_named_with_those_there_are() -> None:
    with pytest.raises(SettingError, match=r"no hyper-parameter 'momm'.*Did you mean: mom"):
        tiny_learner().fit(1, cbs=ParamScheduler({"momm": s.SchedNo(0.5)}))


def test_familiar_names() -> None:
    assert (s.sched_lin, s.sched_cos, s.sched_exp, s.sched_const) == (s.SchedLin, s.SchedCos, s.SchedExp, s.SchedNo)
