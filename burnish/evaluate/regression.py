"""Metrics for numbers, from running sums on the device."""

from __future__ import annotations

import torch
from torch import Tensor

from burnish.evaluate.base import CallableMetric, MeanMetric
from burnish.evaluate.ranking import StoredScores
from burnish.evaluate.shapes import elementwise, wide


class RMSE(MeanMetric):
    """Root of the mean squared error over everything (not the mean of the batches' roots), in the target's own unit."""

    name, better = "rmse", "lower"

    def terms(self, output: Tensor, target: Tensor) -> tuple[Tensor, int]:
        output, target = elementwise(output, target, self.name)
        return (output.float() - target.float()).square().sum(), target.numel()

    def finish(self, mean: float) -> float:
        return mean**0.5


class ExpRMSPE(MeanMetric):
    """Root of the mean squared percentage error of ``exp(output)`` and ``exp(target)``: for targets given as logarithms."""

    name, better = "exp_rmspe", "lower"

    def terms(self, output: Tensor, target: Tensor) -> tuple[Tensor, int]:
        output, target = elementwise(output, target, self.name)
        return torch.expm1(output.float() - target.float()).square().sum(), target.numel()

    def finish(self, mean: float) -> float:
        return mean**0.5


rmse = RMSE  # a class stands where the peer has one shared object: each learner gets its own
exp_rmspe = ExpRMSPE


class Moments(CallableMetric):
    """Base of metrics that follow from means and covariances of output, target and their difference.

    Batches are merged as in Chan, Golub and LeVeque (1983), so large means (years, say) lose no precision. Several
    outputs per sample are scored one by one and averaged, so that a difference between outputs counts for nothing.
    """

    better: str | None = "higher"

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._n = 0
        self._mean: Tensor | None = None  # (outputs, 3): of output, target, target - output
        self._spread: Tensor | None = None  # (outputs, 3, 3): sums of products of deviations

    def update(self, preds: Tensor, targs: Tensor) -> None:
        values = self.values(preds, targs)
        n, mean = values.shape[1], values.mean(1)
        off = values - mean[:, None]
        spread = off.transpose(1, 2) @ off
        if self._mean is None or self._spread is None:
            self._n, self._mean, self._spread = n, mean, spread
            return
        gap, total = mean - self._mean, self._n + n
        self._spread = self._spread + spread + gap[:, :, None] * gap[:, None, :] * (self._n * n / total)
        self._mean, self._n = self._mean + gap * (n / total), total

    def values(self, preds: Tensor, targs: Tensor) -> Tensor:
        """Of each output and sample: output, target and their difference ``(outputs, batch, 3)``."""
        output, target = elementwise(preds.detach(), targs.detach(), self.name)
        output, target = (t.reshape(len(t), -1).to(wide(t.device)) for t in (output, target))
        return torch.stack([output, target, target - output], -1).transpose(0, 1)

    def value(self, n: int, mean: Tensor, spread: Tensor) -> Tensor:
        """The score of each output from float64 CPU tensors ``(outputs, 3)`` and ``(outputs, 3, 3)``."""
        raise NotImplementedError

    def compute(self) -> float:
        if self._mean is None or self._spread is None:
            return float("nan")
        mean, spread = self._mean.cpu().double(), self._spread.cpu().double()
        if self._n < 2 or not (spread[:, 1, 1] > 0).all():
            what = "there is only one sample" if self._n < 2 else "all targets are the same number"
            raise ValueError(f"{self.name} can't be computed: {what}, so there is no variation to explain.")
        return float(self.value(self._n, mean, spread).mean())


class R2Score(Moments):
    """Coefficient of determination: the share of the targets' variance that is explained; 0 is predicting their mean."""

    name = "r2_score"

    def value(self, n: int, mean: Tensor, spread: Tensor) -> Tensor:
        return 1 - (spread[:, 2, 2] + n * mean[:, 2] ** 2) / spread[:, 1, 1]


class ExplainedVariance(Moments):
    """As R2Score, but a constant offset of the predictions is forgiven."""

    name = "explained_variance"

    def value(self, n: int, mean: Tensor, spread: Tensor) -> Tensor:
        return 1 - spread[:, 2, 2] / spread[:, 1, 1]


class PearsonCorrCoef(Moments):
    """Linear correlation of outputs and targets, -1 to 1."""

    name = "pearson"

    def value(self, n: int, mean: Tensor, spread: Tensor) -> Tensor:
        if not (spread[:, 0, 0] > 0).all():
            raise ValueError(f"{self.name} can't be computed: the model gives the same output for every sample.")
        return spread[:, 0, 1] / (spread[:, 0, 0] * spread[:, 1, 1]).sqrt()


class SpearmanCorrCoef(StoredScores):
    """Rank correlation of outputs and targets, -1 to 1: whether larger goes with larger, in whatever shape."""

    name = "spearman"

    def prepare(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        output, target = elementwise(output, target, self.name)
        return output.reshape(len(output), -1), target.reshape(len(target), -1)

    def value(self, scores: Tensor, target: Tensor) -> float:
        of_ranks = PearsonCorrCoef()
        of_ranks.name = self.name
        return of_ranks(ranks(scores), ranks(target))


def ranks(values: Tensor) -> Tensor:
    """Ranks from 1 within each column of ``(samples, columns)``; equal values share the mean of their ranks."""
    columns = values.T.contiguous()
    ordered = columns.sort(-1).values
    return ((torch.searchsorted(ordered, columns) + torch.searchsorted(ordered, columns, right=True) + 1).double() / 2).T
