"""Metrics for several labels per sample: outputs ``(batch, labels)``, targets of 0 and 1 of the same shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from burnish.data.block import Block
from burnish.errors import SettingError, listed
from burnish.evaluate.base import CallableMetric, MeanMetric
from burnish.evaluate.counts import averaged, check_average, fbeta_formula, jaccard_of, precision_of, ratio, recall_of
from burnish.evaluate.shapes import above, elementwise

AVERAGES = ("macro", "micro", "weighted", "samples")


def label_outputs(output: Tensor, target: Tensor, where: str) -> tuple[Tensor, Tensor]:
    """Outputs and targets as ``(samples, labels)``. Raises ValueError with both shapes when they aren't alike."""
    output, target = elementwise(output, target, where)
    labels = output.shape[-1] if output.ndim > 1 else 1
    return output.reshape(-1, labels), target.reshape(-1, labels)


class LabelCounts(CallableMetric):
    """Base of metrics that follow from counts per label. A subclass gives ``score``.

    Args:
        thresh: the probability above which a label is given, or one for each label. None is 0.5; in a learner what ``tune_thresholds`` has
            chosen.
        sigmoid: outputs are raw; False when they are probabilities already.
    """

    def __init__(self, thresh: float | Sequence[float] | None = None, sigmoid: bool = True) -> None:
        self.thresh, self.sigmoid = thresh, sigmoid
        self._of_labels: Sequence[float] | None = None
        self.reset()

    def for_target(self, block: Block) -> None:
        super().for_target(block)
        self._of_labels = getattr(block, "thresholds", None)

    @property
    def by_thresholds(self) -> bool:
        return self.thresh is None and self._of_labels is not None

    def reset(self) -> None:
        self._counts: Tensor | None = None  # (4, labels): right, there, predicted, samples

    def update(self, preds: Tensor, targs: Tensor) -> None:
        output, target = label_outputs(preds.detach(), targs, self.name)
        least = self.thresh if self.thresh is not None else self._of_labels if self._of_labels is not None else 0.5
        chosen, wanted = above(output.sigmoid() if self.sigmoid else output, least), target > 0.5
        self.add(chosen, wanted)
        counts = torch.stack([(chosen & wanted).sum(0), wanted.sum(0), chosen.sum(0), torch.ones_like(wanted).sum(0)])
        self._counts = counts if self._counts is None else self._counts + counts

    def add(self, chosen: Tensor, wanted: Tensor) -> None:
        """For what a subclass keeps besides the counts; both are bool ``(samples, labels)``."""

    def counts(self) -> Tensor:
        """Hits, actual, predicted and all samples of each label ``(4, labels)``, float64 on the CPU."""
        return torch.zeros(4, 0, dtype=torch.float64) if self._counts is None else self._counts.cpu().double()

    def score(self, counts: Tensor) -> Tensor:
        """The metric from counts ``(..., 4, labels)``, as ``(...)``."""
        raise NotImplementedError

    def compute(self) -> float:
        return float("nan") if self._counts is None else float(self.score(self.counts()))


class _AveragedMulti(LabelCounts):
    """A score of each label, averaged; a label without a sample and without a prediction scores 0, as in scikit-learn.

    Args:
        thresh: the probability above which a label is given, or one for each label. None is 0.5; in a learner what ``tune_thresholds`` has
            chosen.
        sigmoid: outputs are raw; False when they are probabilities already.
        average: "macro", "micro", "weighted", or "samples" (the mean over samples of the score of a sample's labels).
    """

    stem: ClassVar[str] = ""
    better: str | None = "higher"

    def __init__(self, thresh: float | Sequence[float] | None = None, sigmoid: bool = True, average: str = "macro") -> None:
        self.average = check_average(average, AVERAGES, type(self).__name__)
        super().__init__(thresh, sigmoid)

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"{self.stem}_{self.average}"

    def reset(self) -> None:
        super().reset()
        self._of_samples: Tensor | None = None

    def formula(self, hits: Tensor, actual: Tensor, predicted: Tensor) -> Tensor:
        """The score of each label."""
        raise NotImplementedError

    def add(self, chosen: Tensor, wanted: Tensor) -> None:
        if self.average == "samples":
            scores = self.formula((chosen & wanted).sum(1).float(), wanted.sum(1).float(), chosen.sum(1).float()).sum()
            self._of_samples = scores if self._of_samples is None else self._of_samples + scores

    def score(self, counts: Tensor) -> Tensor:
        return averaged(self.formula, counts[..., :3, :], self.average, skip_absent=False)

    def compute(self) -> float:
        if self.average != "samples" or self._of_samples is None:
            return super().compute()
        return float(self._of_samples) / float(self.counts()[3, 0])


class PrecisionMulti(_AveragedMulti):
    """Of the samples given a label, the share that has it."""

    stem = "precision_multi"

    def formula(self, hits: Tensor, actual: Tensor, predicted: Tensor) -> Tensor:
        return precision_of(hits, actual, predicted)


class RecallMulti(_AveragedMulti):
    """Of the samples that have a label, the share that is given it."""

    stem = "recall_multi"

    def formula(self, hits: Tensor, actual: Tensor, predicted: Tensor) -> Tensor:
        return recall_of(hits, actual, predicted)


class JaccardMulti(_AveragedMulti):
    """Right ones as a share of the samples that have a label or are given it."""

    stem = "jaccard_multi"

    def formula(self, hits: Tensor, actual: Tensor, predicted: Tensor) -> Tensor:
        return jaccard_of(hits, actual, predicted)


class F1ScoreMulti(_AveragedMulti):
    """Harmonic mean of precision and recall of each label."""

    stem = "f1_score_multi"

    def formula(self, hits: Tensor, actual: Tensor, predicted: Tensor) -> Tensor:
        return fbeta_formula(1.0)(hits, actual, predicted)


class FBetaMulti(_AveragedMulti):
    """As F1ScoreMulti, with recall counting `beta` times as much as precision (`beta` above 0)."""

    def __init__(
        self, beta: float = 2.0, thresh: float | Sequence[float] | None = None, sigmoid: bool = True, average: str = "macro"
    ) -> None:
        if not beta > 0:
            raise SettingError(f"FBetaMulti: beta={beta!r} must be above 0 (above 1 favours recall, below 1 precision).")
        self.beta = beta
        self.stem = f"f{beta:g}_score_multi"  # type: ignore[misc]
        super().__init__(thresh, sigmoid, average)

    def formula(self, hits: Tensor, actual: Tensor, predicted: Tensor) -> Tensor:
        return fbeta_formula(self.beta)(hits, actual, predicted)


class HammingLossMulti(LabelCounts):
    """Share of single yes/no answers that are wrong: 1 - accuracy_multi."""

    name, better = "hamming_loss_multi", "lower"

    def score(self, counts: Tensor) -> Tensor:
        hits, actual, predicted, n = counts.unbind(-2)
        return (actual + predicted - 2 * hits).sum(-1) / n.sum(-1)


class MatthewsCorrCoefMulti(LabelCounts):
    """Mean over the labels of the Matthews correlation of each. A label that all or no samples have makes it undefined."""

    name, better = "matthews_corrcoef_multi", "higher"

    def score(self, counts: Tensor) -> Tensor:
        hits, actual, predicted, n = counts.unbind(-2)
        return ratio(n * hits - actual * predicted, (actual * predicted * (n - actual) * (n - predicted)).clamp(min=0).sqrt()).mean(-1)

    def compute(self) -> float:
        counts = self.counts()
        need_both_answers(self.name, counts[1], counts[3])
        return super().compute()


class BrierScoreMulti(MeanMetric):
    """Mean squared error of the probabilities of all labels, 0 to 1.

    Args:
        sigmoid: outputs are raw; False when they are probabilities already.
    """

    name, better = "brier_score_multi", "lower"

    def __init__(self, sigmoid: bool = True) -> None:
        self.sigmoid = sigmoid
        super().__init__()

    def terms(self, output: Tensor, target: Tensor) -> tuple[Tensor, int]:
        output, target = label_outputs(output.float(), target, self.name)
        return ((output.sigmoid() if self.sigmoid else output) - target.float()).square().sum(), output.numel()


def need_both_answers(name: str, actual: Tensor, n: Tensor) -> None:
    """Raises ValueError naming the labels that all or no samples have."""
    stuck = ((actual == 0) | (actual == n)).nonzero().flatten().tolist()
    if stuck and actual.numel():
        raise ValueError(
            f"{name} can't be computed: all or none of the samples have label(s) {listed(stuck)} (index), and it compares samples with and without. "
            "Use a split that holds both, or leave these labels out."
        )
