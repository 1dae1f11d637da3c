"""Callbacks written for fastai: events without an argument, the learner's attributes as their own, and events that burnish's loop hasn't."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from burnish.errors import nearest
from burnish.train import callback as own
from burnish.train.callback import (
    CancelBatchException,
    CancelEpochException,
    CancelFitException,
    CancelStepException,
    CancelTrainException,
    CancelValidException,
)

__all__ = ["Callback", "CancelBackwardException", "TrainEvalCallback", "before_batch_cb", "event"]


class CancelBackwardException(CancelStepException):
    """Raised in ``before_backward``: leave the backward pass out, which the callback has made itself; the step is made."""


EVENTS = [
    "after_create",
    "before_fit",
    "before_epoch",
    "before_train",
    "before_batch",
    "after_pred",
    "after_loss",
    "before_backward",
    "after_cancel_backward",
    "after_backward",
    "before_step",
    "after_cancel_step",
    "after_step",
    "after_cancel_batch",
    "after_batch",
    "after_cancel_train",
    "after_train",
    "before_validate",
    "after_cancel_validate",
    "after_validate",
    "after_cancel_epoch",
    "after_epoch",
    "after_cancel_fit",
    "after_fit",
]
event = SimpleNamespace(**{name: name for name in EVENTS})
_OWN = [name for name in own.EVENTS if name != "on_exception"]
_EXTRA = [name for name in EVENTS if name not in _OWN]
_INNER = {
    "before_batch",
    "after_pred",
    "after_loss",
    "before_backward",
    "after_backward",
    "before_step",
    "after_step",
    "after_batch",
}  # what run_train and run_valid gate
_CANCELS: dict[type[Exception], str] = {  # an exception to the event that follows it
    CancelBackwardException: "after_cancel_backward", CancelStepException: "after_cancel_step", CancelBatchException: "after_cancel_batch", CancelTrainException: "after_cancel_train",
    CancelValidException: "after_cancel_validate", CancelEpochException: "after_cancel_epoch", CancelFitException: "after_cancel_fit",
}  # fmt: skip
_FOLLOWS = {  # the loop's event to those that come before it, where there was a cancelling
    "after_batch": ("after_cancel_backward", "after_cancel_step", "after_cancel_batch"), "after_train": ("after_cancel_train",), "after_validate": ("after_cancel_validate",),
    "after_epoch": ("after_cancel_epoch",), "after_fit": ("after_cancel_fit",),
}  # fmt: skip


class Callback(own.Callback):
    """Does something at the events of training, as fastai's does: methods without an argument, the learner in ``self.learn``, and every attribute
    of the learner that the callback hasn't itself as ``self.x``. Write with ``self.learn.x = ...``.

    ``Callback(before_fit=f)`` makes one of functions. ``order`` says when it runs among others, ``run_after`` and ``run_before`` (a class or
    several) make it follow or precede them; ``run``, ``run_train`` and ``run_valid`` switch it off, in all or in one kind of pass.
    """

    order = 0
    run, run_train, run_valid = True, True, True
    remove_on_fetch = False
    learn: Any = None

    def __init__(self, **functions: Callable[[], Any]) -> None:
        wrong = [name for name in functions if name not in EVENTS]
        if wrong:
            raise TypeError(
                f"Callback({wrong[0]}=...): there is no such event.{nearest(wrong[0], EVENTS)} The events are: {', '.join(EVENTS)}."
            )
        self._functions = functions

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for name in EVENTS:
            function = vars(cls).get(name)
            if (
                inspect.isfunction(function)
                and not hasattr(function, "_takes_learner")
                and len(inspect.signature(function).parameters) == 1
            ):
                setattr(cls, name, _told(function))
        cls.order = _placed(cls)

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if name not in _EXTRA]  # burnish's loop calls its own events

    def __getattr__(self, name: str) -> Any:
        learn = self.__dict__.get("learn")
        if learn is None or name.startswith("__"):
            raise AttributeError(
                f"{type(self).__name__} has no attribute {name!r}{'' if learn is not None else ' (it belongs to no learner yet)'}"
            )
        return getattr(learn, name)

    def __call__(self, event_name: str) -> Any:
        """Does what it does at an event."""
        return getattr(self, event_name)(self.learn)


def _placed(cls: type[Callback]) -> float:
    """The class's order, moved behind what it runs after, and before what it runs before."""
    order = float(cls.order)
    for name, better, step in (("run_after", max, 0.5), ("run_before", min, -0.5)):
        others = vars(cls).get(name) or ()
        for other in others if isinstance(others, (list, tuple)) else [others]:
            order = better(order, float(getattr(other, "order", 0)) + step)
    return order


def _told(function: Callable[[Any], Any]) -> Callable[..., Any]:
    """An event's method as the loop calls it, with the learner, and as it is called from other methods, without."""
    name = function.__name__

    @functools.wraps(function)
    def method(self: Callback, learn: Any = None) -> Any:
        if learn is None:
            return function(self)
        self.learn = learn
        for extra in _due(self, name, learn):
            getattr(self, extra)(learn)
        if not self.run or (name in _INNER and not (self.run_train if learn.training else self.run_valid)):
            return None
        try:
            return function(self)
        except tuple(_CANCELS) as cancelled:
            kind = next(k for k in _CANCELS if isinstance(cancelled, k))
            counts = learn.__dict__.setdefault("cancelled", {})
            counts[_CANCELS[kind]] = counts.get(_CANCELS[kind], 0) + 1
            if kind is CancelBackwardException and name == "before_backward":
                _step(learn)
            raise

    del method.__wrapped__  # type: ignore[attr-defined]  # the loop looks whether an event takes the learner
    method._takes_learner = True  # type: ignore[attr-defined]
    return method


def _due(cb: Callback, name: str, learn: Any) -> list[str]:
    """The events of fastai that come before the loop's event `name`, for this callback, now."""
    if name == "before_fit":
        cb.__dict__["_knows"] = dict(learn.__dict__.get("cancelled", {}))
    due = ["after_backward"] if name == "before_step" else []
    if name not in _FOLLOWS:  # as most, several times a batch
        return due
    known, counts = cb.__dict__.get("_knows", {}), learn.__dict__.get("cancelled", {})
    for extra in _FOLLOWS[name]:
        if counts.get(extra, 0) != known.get(extra, 0):
            known[extra] = counts[extra]
            due.append(extra)
    return due


def _step(learn: Any) -> None:
    """The optimizer's step, behind a backward pass that a callback has made itself."""
    learn.events("before_step")
    learn.precision.step(learn.opt)
    learn.step += 1
    learn.events("after_step")


def _takes_one(function: Any) -> bool:
    try:
        inspect.signature(function).bind(None)
    except (TypeError, ValueError):
        return False
    return True


def _nothing(name: str) -> Callable[..., Any]:
    """An event's method of the class itself: what was given as a function for it."""

    def method(self: Callback) -> None:
        if (function := self.__dict__.get("_functions", {}).get(name)) is not None:
            function(*[self] * _takes_one(function))  # fastai gives it the callback

    method.__name__ = name
    return _told(method)


for _name in EVENTS:
    setattr(Callback, _name, _nothing(_name))


class TrainEvalCallback(Callback):
    """Stands for what burnish's loop does itself: the model's mode, the device and the counts."""

    order = -10


def before_batch_cb(f: Callable[[Any, Any, Any], Any]) -> Callback:
    """A callback out of ``f(learn, xb, yb)``, which gives the batch's new inputs and targets (or None)."""

    class BeforeBatch(Callback):
        def before_batch(self) -> None:
            made = f(self, self.xb, self.yb)
            if made is not None:
                self.learn.xb, self.learn.yb = made

    return BeforeBatch()
