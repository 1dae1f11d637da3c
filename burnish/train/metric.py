"""The contract of a metric: accumulated on the device, read once an epoch."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from burnish.data.block import Block
from burnish.errors import SettingError


class Metric:
    """Accumulates over a whole split and is read once.

    ``update`` gets the model's raw output and the target, on the device; it must not read a value back (no ``.item()``,
    no ``if`` on a tensor). ``compute`` is called once at the end and may.

    Attributes:
        name: the column it fills.
        better: "higher", "lower" or None when there is no better.
        positive: index of the class it is about, where it looks for one class of two; None where all classes count alike.
    """

    name: str = "metric"
    better: str | None = None
    positive: int | None = None

    @property
    def by_thresholds(self) -> bool:
        """Whether it goes by the thresholds that were chosen for several labels."""
        return False

    def reset(self) -> None:
        raise NotImplementedError

    def update(self, preds: Tensor, targs: Tensor) -> None:
        raise NotImplementedError

    def for_classes(self, n: int) -> None:
        """Told the number of classes before training, where the target is a category: a metric whose name or working
        depends on it overrides this."""

    def for_target(self, block: Block) -> None:
        """Told the block of the one target before training, and again when that has changed."""
        if block.kind == "category":
            self.for_classes(block.n_out)

    def compute(self) -> float:
        """The value over everything since ``reset``; nan when there was nothing. Raises ValueError that says why when
        it can't be computed."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self.name!r})"


class AverageMetric(Metric):
    """The mean over samples of a function of a batch: right for what is itself a mean over samples (accuracy, an error).

    Args:
        function: called as ``function(output, target)``, with several targets as a tuple, or as ``function(output, target, target ...)`` where it is written so;
            gives a scalar tensor (the mean over the batch).
        name: the column; the function's name by default.
        better: "higher", "lower", or None.
    """

    def __init__(self, function: Callable[..., Any], name: str | None = None, better: str | None = None) -> None:
        self.function = function
        inner = _innermost(function)
        self.name = name or getattr(inner, "__name__", type(inner).__name__)
        self.better = better or getattr(function, "better", getattr(inner, "better", None))
        self._given: dict[str, Any] = {}  # arguments that follow from the data
        self.reset()

    def for_target(self, block: Block) -> None:
        """A function with a threshold that nobody has set gets those of the labels."""
        super().for_target(block)
        thresholds = getattr(block, "thresholds", None)
        self._given = {"thresh": thresholds} if thresholds is not None and _takes(self.function, "thresh") else {}

    @property
    def by_thresholds(self) -> bool:
        return bool(self._given)

    def value(self, preds: Tensor, targs: Tensor) -> Any:
        """The function of a batch."""
        if isinstance(targs, (tuple, list)) and not _binds(self.function, 2) and _binds(self.function, 1 + len(targs)):
            return self.function(preds, *targs, **self._given)  # written as the loss is: each target by itself
        return self.function(preds, targs, **self._given)

    def reset(self) -> None:
        self._total: Tensor | float = 0.0
        self._count = 0

    def update(self, preds: Tensor, targs: Tensor) -> None:
        one = targs[0] if isinstance(targs, (tuple, list)) and len(targs) else targs
        n = len(one) if isinstance(one, Tensor) and one.ndim else 1
        value = self.value(preds, targs)
        if value is None:
            raise TypeError(
                f"The metric {self.name!r} returned None; expected one number, the batch's mean. Does its function end in return?"
            )
        value = value.detach() if isinstance(value, Tensor) else torch.tensor(float(value))
        self._total = self._total + value.float() * n
        self._count += n

    def compute(self) -> float:
        return float(self._total) / self._count if self._count else float("nan")


def _binds(function: Any, n: int) -> bool:
    """Whether a function can be called with `n` arguments by position."""
    try:
        inspect.signature(function).bind(*[None] * n)
    except (TypeError, ValueError):
        return False
    return True


def value_of(metric: Metric) -> float:
    """What the metric computes, as a float.

    Raises:
        ValueError: it can't be computed; the message says why.
        TypeError: it gives no number.
    """
    value = metric.compute()
    if value is None:
        raise TypeError(
            f"{type(metric).__name__}.compute() of the metric {metric.name!r} returned None; expected one number. Does it end in return?"
        )
    return float(value)


def _innermost(function: Any) -> Any:
    """What a functools.partial (of a partial ...) calls in the end."""
    while hasattr(function, "func"):
        function = function.func
    return function


def _takes(function: Any, name: str) -> bool:
    """Whether a function has a parameter of this name that no functools.partial has set."""
    while hasattr(function, "func"):
        if name in function.keywords:
            return False
        function = function.func
    try:
        return name in inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False


def as_metric(metric: Any) -> Metric:
    """A Metric as it is, a Metric class instantiated, any function as its average over samples."""
    inner = _innermost(metric)
    if isinstance(inner, type) and issubclass(inner, Metric):  # also a functools.partial of one
        metric = metric()
    if isinstance(metric, Metric):
        missing = [f"{name}(...)" for name in ("reset", "update", "compute") if getattr(type(metric), name) is getattr(Metric, name)]
        if missing:
            raise TypeError(
                f"The metric {type(metric).__name__} has no {', '.join(missing)}. A Metric needs reset(self), update(self, preds, targs), which is called with the output and target of each batch, "
                "and compute(self), which returns the value (fastai's accumulate and value are called update and compute here)."
            )
        return metric
    if callable(metric):
        return AverageMetric(metric)
    raise TypeError(
        f"metrics: got {metric!r} ({type(metric).__name__}); expected a function of (output, target), a Metric, or a list of them, e.g. metrics=[accuracy]."
    )


def as_metrics(metrics: Any, block: Block | None = None) -> list[Metric]:
    """One or several metrics (see ``as_metric``; None is none) as a list, told the block of the one target.

    Raises:
        SettingError: two have the same name.
    """
    several = list(metrics) if isinstance(metrics, (list, tuple)) else [] if metrics is None else [metrics]
    made = [as_metric(m) for m in several]
    if block is not None:
        for metric in made:
            metric.for_target(block)
    names = [m.name for m in made]
    doubled = sorted({n for n in names if names.count(n) > 1})
    if doubled:
        raise SettingError(
            f"Two metrics are called {doubled[0]!r}, so the table couldn't tell them apart. Give one another name: AverageMetric(function, name='...')."
        )
    return made
