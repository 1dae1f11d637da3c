"""Names of the training loop's parts that only code for fastai uses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from burnish.compat.callback import Callback
from burnish.compat.standins import StandIn
from burnish.data.collections import L
from burnish.train import recorder
from burnish.train.progress import Progress
from burnish.train.schedule import SchedCos, SchedExp, SchedLin, SchedNo

__all__ = [
    "CastToTensor", "ProgressCallback", "Recorder", "annealer", "replacing_yield", "sched_cos", "sched_exp", "sched_lin", "sched_no",
]  # fmt: skip

ProgressCallback = Progress


class CastToTensor(Callback):
    """Stands for what needn't be done: in burnish's training step there are plain tensors only."""

    order = 9


class Recorder(recorder.Recorder, metaclass=StandIn):
    """Records losses, rates, metrics and times.

    Args:
        add_time: has no effect: the table has a column for the time.
    """

    own = recorder.Recorder

    def __init__(self, add_time: bool = True, train_metrics: bool = False, valid_metrics: bool = True, beta: float = 0.98) -> None:
        _ = add_time
        super().__init__(train_metrics, valid_metrics, beta)


# -- what a recorder is asked for ---------------------------------------------------------------------------------------
log = property(
    lambda self: L(list(self.rows[-1].values()) if self.rows else []), doc="The last epoch's row: epoch, losses, metrics, time in seconds."
)
hps = property(
    lambda self: {"lr": self.lrs, "mom": self.moms or [0.0] * len(self.lrs)},
    doc="Rate and momentum of the last layer group, one a batch.",
)
_plot_lr_find = recorder.Recorder.plot_lr_find


def plot_lr_find(self: Any, skip_end: int = 5, return_fig: bool = True, suggestions: Any = None, nms: Any = None, ax: Any = None) -> Any:
    """The loss by learning rate of the last ``lr_find``, with its suggestions marked; gives the figure, or without `return_fig` None.

    Args:
        suggestions: rates to mark, by name; or in fastai's form, a list of (rate, loss) with the names in `nms`.
    """
    if suggestions is not None and not isinstance(suggestions, dict):
        names = nms or [f"suggestion {i}" for i in range(len(suggestions))]
        suggestions = {str(n): float(np.ravel(s)[0]) for n, s in zip(names, suggestions, strict=False)}
    drawn = _plot_lr_find(self, skip_end, suggestions, ax)
    return drawn.figure if return_fig else None


# -- schedules as functions ---------------------------------------------------------------------------------------------
def annealer(f: Callable[[Any, Any, float], Any]) -> Callable[[Any, Any], Callable[[float], Any]]:
    """Makes of ``f(start, end, pos)`` what makes schedules: ``annealed(start, end)(pos)``."""

    class Annealer:
        def __init__(self, start: Any, end: Any) -> None:
            self.start, self.end = start, end

        def __call__(self, pos: float) -> Any:
            return f(self.start, self.end, pos)

    Annealer.__name__ = Annealer.__qualname__ = f.__name__
    Annealer.__doc__ = f.__doc__
    return Annealer


def sched_lin(start: Any, end: Any, pos: float) -> Any:
    """A straight line, at `pos` from 0 to 1."""
    return SchedLin(start, end)(pos)


def sched_cos(start: Any, end: Any, pos: float) -> Any:
    """Half a cosine wave, at `pos` from 0 to 1."""
    return SchedCos(start, end)(pos)


def sched_exp(start: Any, end: Any, pos: float) -> Any:
    """Geometric, at `pos` from 0 to 1."""
    return SchedExp(start, end)(pos)


def sched_no(start: Any, end: Any, pos: float) -> Any:
    """Always `start`."""
    return SchedNo(start, end)(pos)


@contextmanager
def replacing_yield(o: Any, attr: str, val: Any) -> Iterator[Any]:
    """An attribute with another value inside the block."""
    before = getattr(o, attr)
    try:
        yield setattr(o, attr, val)
    finally:
        setattr(o, attr, before)
