"""burnish's callbacks as classes that code written for fastai can build on: events without an argument, ``self.learn``, ``super().after_epoch()``."""

from __future__ import annotations

from typing import Any

from burnish.compat.callback import Callback
from burnish.train import callback as own
from burnish.train import lr_find, schedule
from burnish.train.callbacks import activations, gradients, graph, limits, logging, mix, trackers

__all__ = [
    "ActivationStats", "CSVLogger", "CutMix", "EarlyStoppingCallback", "GradientAccumulation", "GradientClip", "LRFinder", "MixUp", "ParamScheduler", "ReduceLROnPlateau",
    "SaveModelCallback", "ShortEpochCallback", "ShowGraphCallback", "TerminateOnNaNCallback", "TrackerCallback",
]  # fmt: skip


def _event(of: type[own.Callback], name: str) -> Any:
    method = getattr(of, name)

    def event(self: Any) -> None:
        method(self, self.learn)

    event.__name__, event.__doc__ = name, method.__doc__
    return event


def familiar(of: type[own.Callback], name: str, **more: Any) -> Any:
    """The class `of` as a `Callback` of fastai's kind; it goes on being one of burnish's."""
    events = {e: _event(of, e) for e in own.EVENTS if e != "on_exception" and getattr(of, e) is not getattr(own.Callback, e)}
    body = {"__doc__": of.__doc__, "__module__": __name__, "__init__": of.__init__, "__repr__": of.__repr__, "order": of.order}
    return type(name, (Callback, of), {**body, **events, **more})


new_best = property(lambda self: self.improved, doc="Whether the epoch that has just ended is the best so far.")
TrackerCallback = familiar(trackers.Tracker, "TrackerCallback", new_best=new_best)
EarlyStoppingCallback = familiar(trackers.EarlyStopping, "EarlyStoppingCallback", new_best=new_best)
ReduceLROnPlateau = familiar(trackers.ReduceLROnPlateau, "ReduceLROnPlateau", new_best=new_best)
SaveModelCallback = familiar(trackers.SaveModel, "SaveModelCallback", new_best=new_best)
TerminateOnNaNCallback = familiar(limits.TerminateOnNaN, "TerminateOnNaNCallback")
ShortEpochCallback = familiar(limits.ShortEpoch, "ShortEpochCallback")
CSVLogger = familiar(logging.CSVLog, "CSVLogger")
GradientAccumulation = familiar(gradients.GradientAccumulation, "GradientAccumulation")
GradientClip = familiar(gradients.GradientClip, "GradientClip")
MixUp, CutMix = familiar(mix.MixUp, "MixUp"), familiar(mix.CutMix, "CutMix")
ShowGraphCallback = familiar(graph.ShowGraph, "ShowGraphCallback")
ParamScheduler = familiar(schedule.ParamScheduler, "ParamScheduler")
_stats = familiar(activations.ActivationStats, "ActivationStats")


class ActivationStats(_stats):
    """What layers give while a model trains: see burnish's own.

    Args:
        remove_end, is_forward, detach, cpu: have no effect: the hooks go at the end of the fit, and look at the outputs, detached, on the device.
        include_paramless: also layers without parameters.
    """

    def __init__(
        self, with_hist: bool = False, *, modules: Any = None, every: int | None = None, remove_end: bool = True, is_forward: bool = True, detach: bool = True,
        cpu: bool = True, include_paramless: bool = False,
    ) -> None:  # fmt: skip
        _ = remove_end, is_forward, detach, cpu
        activations.ActivationStats.__init__(self, with_hist, modules, every)
        self.include_paramless = include_paramless

    def before_fit(self) -> None:
        if self.include_paramless and self.modules is None:
            self.modules = [m for m in self.learn.model.modules() if next(m.children(), None) is None]
        activations.ActivationStats.before_fit(self, self.learn)


class LRFinder(familiar(lr_find.LRFinder, "LRFinder")):
    """Raises the rate batch by batch, and puts the weights back at the end: what ``learn.lr_find()`` does, as a callback of a fit."""

    def __init__(self, start_lr: float = 1e-7, end_lr: float = 10, num_it: int = 100, stop_div: bool = True) -> None:
        lr_find.LRFinder.__init__(self, start_lr, end_lr, num_it, stop_div)

    def before_fit(self) -> None:
        self._kept = {k: v.detach().clone() for k, v in self.learn.model.state_dict().items()}

    def after_fit(self) -> None:
        import numpy as np

        self.learn.model.load_state_dict(self._kept)
        self.learn.opt.state.clear()
        self.learn.recorder.finder = (np.asarray(self.rates), np.asarray(self.losses), {})
