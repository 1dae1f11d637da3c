"""What burnish's own metrics share: they can be called at once, and many are a mean over terms."""

from __future__ import annotations

import copy

from torch import Tensor

from burnish.evaluate.shapes import wide
from burnish.train.metric import Metric, value_of


class CallableMetric(Metric):
    """A metric that may also be called at once, ``metric(output, target) -> float``, without touching what it holds."""

    def __call__(self, output: Tensor, target: Tensor) -> float:
        other = copy.copy(self)
        other.reset()
        other.update(output, target)
        return value_of(other)


class MeanMetric(CallableMetric):
    """Base of metrics that are a sum over terms divided by their number. A subclass gives ``terms``."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._sum: Tensor | None = None
        self._count: Tensor | int = 0

    def terms(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor | int]:
        """The sum of a batch's terms (a scalar tensor), and how many there are."""
        raise NotImplementedError

    def finish(self, mean: float) -> float:
        """The value from the mean of all terms."""
        return mean

    def update(self, preds: Tensor, targs: Tensor) -> None:
        total, count = self.terms(preds.detach(), targs.detach())
        total = total.to(wide(total.device))
        self._sum = total if self._sum is None else self._sum + total
        self._count = self._count + count

    def compute(self) -> float:
        count = int(self._count)
        return self.finish(float(self._sum) / count) if self._sum is not None and count else float("nan")
