"""The contract of a metric: accumulated on the device, read once an epoch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class Metric:
    """Accumulates over a whole split and is read once.

    ``update`` gets the model's raw output and the target, on the device; it must not read a value back (no ``.item()``,
    no ``if`` on a tensor). ``compute`` is called once at the end and may.

    Attributes:
        name: the column it fills.
        better: "higher", "lower" or None when there is no better.
    """

    name: str = "metric"
    better: str | None = None

    def reset(self) -> None:
        raise NotImplementedError

    def update(self, preds: Tensor, targs: Tensor) -> None:
        raise NotImplementedError

    def compute(self) -> float:
        """The value over everything since ``reset``; nan when there was nothing. Raises ValueError that says why when
        it can't be computed."""
        raise NotImplementedError


class AverageMetric(Metric):
    """The mean over samples of a function of a batch: right for what is itself a mean over samples (accuracy, an error).

    Args:
        function: called as ``function(output, target)``, gives a scalar tensor (the mean over the batch).
        name: the column; the function's name by default.
        better: "higher", "lower", or None.
    """

    def __init__(self, function: Callable[..., Any], name: str | None = None, better: str | None = None) -> None:
        self.function = function
        self.name = name or _function_name(function)
        self.better = better or getattr(function, "better", None)
        self.reset()

    def reset(self) -> None:
        self._total: Tensor | float = 0.0
        self._count = 0

    def update(self, preds: Tensor, targs: Tensor) -> None:
        n = len(targs) if isinstance(targs, Tensor) and targs.ndim else 1
        value = self.function(preds, targs)
        value = value.detach() if isinstance(value, Tensor) else torch.tensor(float(value))
        self._total = self._total + value.float() * n
        self._count += n

    def compute(self) -> float:
        return float(self._total) / self._count if self._count else float("nan")


def _function_name(function: Any) -> str:
    while hasattr(function, "func"):  # functools.partial
        function = function.func
    return getattr(function, "__name__", type(function).__name__)


def as_metric(metric: Any) -> Metric:
    """A Metric as it is, a Metric class instantiated, any function as its average over samples."""
    if isinstance(metric, type) and issubclass(metric, Metric):
        return metric()
    if isinstance(metric, Metric):
        return metric
    if callable(metric):
        return AverageMetric(metric)
    raise TypeError(
        f"metrics: got {metric!r} ({type(metric).__name__}); expected a function of (output, target), a Metric, or a list of them, e.g. metrics=[accuracy]."
    )
