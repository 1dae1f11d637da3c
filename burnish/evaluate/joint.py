"""Metrics where a model has several targets: each looks at one of them. And those that are shown when nobody names any."""

from __future__ import annotations

from typing import Any

from burnish.data.block import Block
from burnish.data.dataloaders import DataLoaders
from burnish.evaluate.boxes import mean_ap_is_there
from burnish.train.metric import Metric


class TargetMetric(Metric):
    """A metric of one of several targets.

    Args:
        index: which target, from 0.
        metric: a name, a function or a Metric.
        name: the column; by default the metric's own.
    """

    def __init__(self, index: int, metric: Any, name: str | None = None) -> None:
        from burnish.evaluate.metrics import resolve_metrics

        self.index, self.metric = index, metric
        self._inner = resolve_metrics(metric)[0]
        self.name, self.better = name or self._inner.name, self._inner.better

    def reset(self) -> None:
        self._inner.reset()

    def update(self, preds: Any, targs: Any) -> None:
        self._inner.update(preds[self.index], targs[self.index])

    def compute(self) -> float:
        return self._inner.compute()


def default_metrics(dls: DataLoaders) -> list[Any]:
    """The metrics of the target; of several targets two each."""
    blocks = dls.target_blocks
    if len(blocks) < 2:
        return [metric for block in blocks for metric in metrics_of(block)]
    named = zip(blocks, dls.target_names, strict=True)
    return [TargetMetric(i, metric, f"{names[0]}_{metric}") for i, (block, names) in enumerate(named) for metric in metrics_of(block)[:2]]


def metrics_of(block: Block) -> list[Any]:
    """A target's own metrics, as far as this installation can compute them: those of boxes need an extra."""
    return [] if block.kind == "boxes" and not mean_ap_is_there() else list(block.metrics)
