"""Schedules: picklable functions of progress (0 to 1), and the callback that sets hyper-parameters by them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from burnish.errors import SettingError
from burnish.train.callback import Callback
from burnish.train.optim import set_hyper

if TYPE_CHECKING:
    from burnish.train.learner import Learner

Value = float | np.ndarray  # one value, or one a layer group
Schedule = Callable[[float], Any]


@dataclass(frozen=True, eq=False)
class SchedLin:
    """A straight line from `start` to `end`. Values may be arrays: one a layer group.

    >>> SchedLin(0.0, 2.0)(0.25)
    0.5
    """

    start: Value
    end: Value

    def __call__(self, progress: float) -> Any:
        return self.start + (self.end - self.start) * progress


@dataclass(frozen=True, eq=False)
class SchedCos:
    """Half a cosine wave from `start` to `end`: flat at both ends (Loshchilov and Hutter 2016, arXiv:1608.03983)."""

    start: Value
    end: Value

    def __call__(self, progress: float) -> Any:
        return self.start + (self.end - self.start) * ((1 - math.cos(math.pi * progress)) / 2)


@dataclass(frozen=True, eq=False)
class SchedExp:
    """Geometric from `start` to `end`: equal progress multiplies by an equal factor. Neither may be 0."""

    start: Value
    end: Value

    def __call__(self, progress: float) -> Any:
        return self.start * (self.end / self.start) ** progress


@dataclass(frozen=True, eq=False)
class SchedPoly:
    """``start + (end - start) * progress ** power``."""

    start: Value
    end: Value
    power: float

    def __call__(self, progress: float) -> Any:
        return self.start + (self.end - self.start) * progress**self.power


@dataclass(frozen=True, eq=False)
class SchedNo:
    """Always `start`; `end` is there so that all schedules are made alike."""

    start: Value
    end: Value | None = None

    def __call__(self, progress: float) -> Any:
        return self.start


@dataclass(frozen=True, eq=False)
class CombinedSched:
    """Several schedules one after the other: ``scheds[i]`` runs over the share ``pcts[i]`` of progress."""

    pcts: tuple[float, ...]
    scheds: tuple[Schedule, ...]

    def __call__(self, progress: float) -> Any:
        begin = 0.0
        for pct, sched in zip(self.pcts[:-1], self.scheds[:-1], strict=True):
            if progress < begin + pct:
                return sched((progress - begin) / pct)
            begin += pct
        return self.scheds[-1](min(1.0, (progress - begin) / self.pcts[-1]) if self.pcts[-1] > 0 else 1.0)


sched_lin, sched_cos, sched_exp, sched_poly, sched_const = SchedLin, SchedCos, SchedExp, SchedPoly, SchedNo


def combine_scheds(pcts: Sequence[float], scheds: Sequence[Schedule]) -> CombinedSched:
    """Schedules one after the other. `pcts` are their shares of progress and sum to 1 (to rounding).

    >>> combine_scheds([0.5, 0.5], [SchedLin(0.0, 1.0), SchedNo(1.0)])(0.25)
    0.5
    """
    if len(pcts) != len(scheds) or not pcts:
        raise SettingError(
            f"combine_scheds got {len(pcts)} share(s) for {len(scheds)} schedule(s); expected as many of each, at least one."
        )
    if min(pcts) < 0 or abs(sum(pcts) - 1) > 1e-4:
        raise SettingError(f"combine_scheds: the shares {list(pcts)} sum to {sum(pcts):g}; expected shares of at least 0 that sum to 1.")
    return CombinedSched(tuple(map(float, pcts)), tuple(scheds))


def checked_share(name: str, value: Any) -> float:
    """The setting `name`, a share of training. Raises SettingError unless it is a number from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)) or not 0 <= value <= 1:
        raise SettingError(f"{name}={value!r}: expected a share of training from 0 to 1.")
    return float(value)


def combined_cos(pct: float, start: Value, middle: Value, end: Value) -> CombinedSched:
    """Half a cosine wave from `start` to `middle` over the share `pct` of progress, then one to `end`: one cycle."""
    pct = checked_share("pct_start", pct)
    return combine_scheds([pct, 1 - pct], [SchedCos(start, middle), SchedCos(middle, end)])


class ParamScheduler(Callback):
    """Sets hyper-parameters before each training batch.

    Args:
        scheds: hyper-parameter to its schedule: "lr", "mom" (momentum, or the first beta), "wd", "sqr_mom" (the second
            beta), or any other key of the optimizer's groups. A schedule may give one value, or one a layer group.
    """

    order = 40

    def __init__(self, scheds: Mapping[str, Schedule]) -> None:
        self.scheds = dict(scheds)

    def before_batch(self, learn: Learner) -> None:
        if not learn.training:
            return
        for name, sched in self.scheds.items():
            set_hyper(learn.opt, name, sched(learn.progress))
