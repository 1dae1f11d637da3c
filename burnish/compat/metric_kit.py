"""Metrics of the user's in fastai's form: ``reset``, ``accumulate(learn)``, ``value``; those that look at the learner; a learner's list of metrics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from burnish.compat import metrics as named
from burnish.compat.torch_tools import find_bs
from burnish.train.callback import snake
from burnish.train.learner import Learner
from burnish.train.metric import AverageMetric, as_metric
from burnish.train.metric import Metric as OwnMetric

__all__ = ["AvgLoss", "AvgMetric", "AvgSmoothLoss", "LossMetric", "LossMetrics", "Metric", "ValueMetric", "mk_metric"]


class _Seen:
    """A learner as a metric sees it: with the outputs and targets that are to be judged."""

    def __init__(self, learn: Any, preds: Any, targs: Any) -> None:
        self._learn, self.pred = learn, preds
        self.yb = targs if isinstance(targs, tuple) else (targs,)
        self.y = targs

    def __getattr__(self, name: str) -> Any:
        if self._learn is None:
            raise AttributeError(f"The metric asks for learn.{name}, and belongs to no learner yet: Learner(..., metrics=...).")
        return getattr(self._learn, name)

    def to_detach(self, b: Any, cpu: bool = True, gather: bool = True) -> Any:
        """Without the graph."""
        from burnish.compat.torch_tools import to_detach

        return to_detach(b, cpu, gather)


class Metric(OwnMetric):
    """Base of metrics in fastai's form: ``reset(self)``, ``accumulate(self, learn)`` after each batch, and the property ``value`` at the end.

    Its name is the class's in snake case, without "Metric", unless it has a property ``name``.
    """

    learn: Any = None

    def reset(self) -> None:
        """Begins anew."""

    def accumulate(self, learn: Any) -> None:
        """Takes in a batch: ``learn.pred``, ``learn.y``, ``learn.yb``, ``learn.loss``."""

    @property
    def value(self) -> Any:
        """What was found; None where it has no value."""
        raise NotImplementedError

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.__dict__.get("_name") or snake(type(self).__name__.removesuffix("Metric"))

    @name.setter
    def name(self, name: str) -> None:
        self.__dict__["_name"] = name

    def update(self, preds: Tensor, targs: Tensor) -> None:
        self.accumulate(_Seen(self.learn, preds, targs))

    def compute(self) -> float:
        value = self.value
        return float("nan") if value is None else float(value)


class AvgMetric(AverageMetric):
    """The mean over samples of a function of a batch."""

    def __init__(self, func: Callable[..., Any], name: str | None = None, better: str | None = None) -> None:
        super().__init__(func, name, better)
        self.func = func


class AvgLoss(Metric):
    """The mean of the loss over samples."""

    better = "lower"

    def reset(self) -> None:
        self.total, self.count = 0.0, 0

    def accumulate(self, learn: Any) -> None:
        n = find_bs(learn.yb)
        self.total, self.count = self.total + learn.to_detach(learn.loss.mean()) * n, self.count + n

    @property
    def value(self) -> Any:
        return self.total / self.count if self.count else None

    @property
    def name(self) -> str:  # type: ignore[override]
        return "loss"


class AvgSmoothLoss(Metric):
    """The loss, smoothed over batches: an exponential average with weight `beta` of the past, corrected for its start."""

    better = "lower"

    def __init__(self, beta: float = 0.98) -> None:
        self.beta = beta
        self.reset()

    def reset(self) -> None:
        self.count, self.val = 0, 0.0

    def accumulate(self, learn: Any) -> None:
        self.count += 1
        loss = learn.to_detach(learn.loss.mean())
        self.val = self.beta * self.val + (1 - self.beta) * loss

    @property
    def value(self) -> Any:
        return self.val / (1 - self.beta**self.count) if self.count else None


class ValueMetric(Metric):
    """A value that a function gives at the end: something that was worked out elsewhere.

    Args:
        func: called without arguments. metric_name: the column; the function's name by default.
    """

    def __init__(self, func: Callable[[], Any], metric_name: str | None = None) -> None:
        self.func, self.metric_name = func, metric_name

    @property
    def value(self) -> Any:
        return self.func()

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.metric_name or getattr(self.func, "func", self.func).__name__


class LossMetric(Metric):
    """The mean of a part of the loss, which the loss keeps as its attribute.

    Args:
        attr: the attribute of ``learn.loss_func``. nm: the column; `attr` by default.
    """

    better = "lower"

    def __init__(self, attr: str, nm: str | None = None) -> None:
        self.attr, self.nm = attr, nm
        self.reset()

    def reset(self) -> None:
        self.total, self.count = 0.0, 0

    def accumulate(self, learn: Any) -> None:
        n = find_bs(learn.yb)
        part = getattr(learn.loss_func, self.attr, None)
        if part is None:
            raise ValueError(
                f"LossMetric({self.attr!r}): the loss has no such attribute after a batch. Set it where the loss is computed: self.{self.attr} = part."
            )
        self.total, self.count = self.total + learn.to_detach(part.mean()) * n, self.count + n

    @property
    def value(self) -> Any:
        return self.total / self.count if self.count else None

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.nm or self.attr


def LossMetrics(attrs: Any, nms: Any = None) -> list[LossMetric]:
    """`LossMetric` of several attributes, "a,b" or a list."""
    several = [a.strip() for a in attrs.split(",")] if isinstance(attrs, str) else list(attrs)
    columns = nms.split(",") if isinstance(nms, str) else (nms or several)
    return [LossMetric(a, n) for a, n in zip(several, columns, strict=True)]


def mk_metric(m: Any) -> OwnMetric:
    """A metric of a function, a class or a metric."""
    return named.alone(as_metric(m))


# -- a learner's list ---------------------------------------------------------------------------------------------------
_own_metrics: Any = Learner.metrics


def _set(self: Learner, metrics: Any) -> None:
    several = [] if metrics is None else [metrics] if callable(metrics) or isinstance(metrics, OwnMetric) else list(metrics)
    made = [mk_metric(m) for m in several]
    taken: list[str] = []
    for i, metric in enumerate(made):
        if metric.name in taken:
            long = getattr(getattr(type(metric), "plain", None), "name", None)
            column = long.fget(metric) if isinstance(long, property) else f"{metric.name}_{i + 1}"  # type: ignore[misc]
            named.renamed(metric, column if column not in taken else f"{metric.name}_{i + 1}")
        taken.append(metric.name)
        if isinstance(metric, Metric):
            metric.learn = self
    _own_metrics.fset(self, made)


metrics = property(_own_metrics.fget, _set, doc="The metrics; assign a function, a Metric or a list of them at any time.")
