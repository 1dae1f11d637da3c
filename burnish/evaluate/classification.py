"""Metrics for one label per sample, from counts kept on the device: no sample is stored, nothing is read back."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from burnish.errors import SettingError, listed
from burnish.evaluate.base import CallableMetric, MeanMetric
from burnish.evaluate.counts import (
    averaged,
    check_average,
    class_bins,
    fbeta_formula,
    jaccard_of,
    matthews_of,
    precision_of,
    ratio,
    recall_of,
)
from burnish.evaluate.shapes import class_outputs

AVERAGES = ("auto", "binary", "macro", "micro", "weighted")


class ClassCounts(CallableMetric):
    """Base of metrics that follow from three counts per class: right, there, predicted. A subclass gives ``score``.

    Args:
        axis: where the classes are in the model's output.
    """

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis
        self.reset()

    def reset(self) -> None:
        self._counts: Tensor | None = None  # (3, classes + 1): the last column takes what doesn't count

    def update(self, preds: Tensor, targs: Tensor) -> None:
        flat, actual = class_outputs(preds.detach(), targs, self.axis, self.name)
        classes = flat.shape[-1]
        self._see(classes)
        decided = flat.argmax(-1)
        bins = class_bins(actual, decided, classes)
        if self._counts is None:
            self._counts = torch.zeros(3, classes + 1, dtype=torch.int64, device=bins.device)
        self._counts.scatter_add_(1, bins, torch.ones_like(bins))

    def counts(self) -> Tensor:
        """Hits, actual and predicted samples of each class ``(3, classes)``, float64 on the CPU.

        Raises:
            ValueError: some targets are no class index.
        """
        if self._counts is None:
            return torch.zeros(3, 0, dtype=torch.float64)
        counts = self._counts.cpu().double()
        outside = int(counts[1, -1])
        if outside:
            raise ValueError(
                f"{self.name}: {outside} target(s) are not a class index from 0 to {counts.shape[1] - 2} (the model has {counts.shape[1] - 1} outputs)."
            )
        return counts[:, :-1]

    def score(self, counts: Tensor) -> Tensor:
        """The metric from counts ``(..., 3, classes)``, as ``(...)``."""
        raise NotImplementedError

    def check(self, counts: Tensor) -> None:
        """Raises ValueError that says why the metric doesn't exist for these counts ``(3, classes)``."""

    def compute(self) -> float:
        counts = self.counts()
        if counts.shape[1] == 0 or not counts[1].sum():
            return float("nan")
        self.check(counts)
        return float(self.score(counts))

    def _see(self, classes: int) -> None:
        """Learns the number of classes from the first batch."""


def _need_two_classes(name: str, counts: Tensor) -> None:
    present = (counts[1] > 0).nonzero().flatten().tolist()
    if len(present) < 2:
        raise ValueError(
            f"{name} can't be computed: all samples are of class {listed(present)}, and it compares classes. Use a split that holds at least two."
        )


class _Averaged(ClassCounts):
    """A score of each class, averaged.

    Args:
        axis: where the classes are in the model's output.
        average: "binary" (class `pos_label` alone), "macro", "micro", "weighted", or "auto": binary for two classes and
            macro for more. Any but binary is said in the name ("auto" needs `for_classes` for that).
        pos_label: index of the class that "binary" is about.
    """

    stem: ClassVar[str] = ""
    better: str | None = "higher"

    def __init__(self, axis: int = -1, average: str = "auto", pos_label: int = 1) -> None:
        self.average, self.pos_label = check_average(average, AVERAGES, type(self).__name__), pos_label
        self._classes: int | None = None
        self._named = average if average != "auto" else "binary"
        super().__init__(axis)

    def for_classes(self, n: int) -> None:
        """Tells the number of classes before training, so that the name can say how "auto" averages. The name never
        changes by itself: it is a column of the results."""
        self._classes = n
        self._named = self.resolved

    def _see(self, classes: int) -> None:
        self._classes = classes

    @property
    def resolved(self) -> str:
        """The kind of average in use; "auto" until the number of classes is known."""
        if self.average == "auto" and self._classes is not None:
            return "binary" if self._classes == 2 else "macro"
        return self.average

    @property
    def positive(self) -> int | None:  # type: ignore[override]
        return self.pos_label if self.resolved == "binary" else None

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.stem if self._named == "binary" else f"{self.stem}_{self._named}"

    def formula(self, hits: Tensor, actual: Tensor, predicted: Tensor) -> Tensor:
        """The score of each class."""
        raise NotImplementedError

    def score(self, counts: Tensor) -> Tensor:
        return averaged(self.formula, counts, self.resolved, self.pos_label)

    def check(self, counts: Tensor) -> None:
        if self.resolved != "binary":
            return
        classes = counts.shape[1]
        if classes > 2 and self.average == "binary":
            raise ValueError(f"{self.name}: average='binary' with {classes} classes. Use average='macro', 'weighted' or 'micro'.")
        if not 0 <= self.pos_label < classes:
            raise ValueError(f"{self.name}: pos_label={self.pos_label} is no class index; expected 0 to {classes - 1}.")
        if not counts[1, self.pos_label]:
            raise ValueError(
                f"{self.name} can't be computed: no sample of the split is of class {self.pos_label} (pos_label), so there is nothing to find."
            )


class Precision(_Averaged):
    """Of the samples predicted as a class, the share that is of it."""

    stem = "precision"

    def formula(self, hits: Tensor, actual: Tensor, predicted: Tensor) -> Tensor:
        return precision_of(hits, actual, predicted)


class Recall(_Averaged):
    """Of the samples of a class, the share that is found (sensitivity)."""

    stem = "recall"

    def formula(self, hits: Tensor, actual: Tensor, predicted: Tensor) -> Tensor:
        return recall_of(hits, actual, predicted)


class Jaccard(_Averaged):
    """Right samples as a share of those that are of the class or predicted as it."""

    stem = "jaccard"

    def formula(self, hits: Tensor, actual: Tensor, predicted: Tensor) -> Tensor:
        return jaccard_of(hits, actual, predicted)


class F1Score(_Averaged):
    """Harmonic mean of precision and recall."""

    stem = "f1_score"

    def formula(self, hits: Tensor, actual: Tensor, predicted: Tensor) -> Tensor:
        return fbeta_formula(1.0)(hits, actual, predicted)


class FBeta(_Averaged):
    """F-beta: as F1, with recall counting `beta` times as much as precision.

    Args:
        beta: weight of recall, above 0.
        axis, average, pos_label: as in F1Score.
    """

    def __init__(self, beta: float = 2.0, axis: int = -1, average: str = "auto", pos_label: int = 1) -> None:
        if not beta > 0:
            raise SettingError(f"FBeta: beta={beta!r} must be above 0 (above 1 favours recall, below 1 precision).")
        self.beta = beta
        self.stem = f"f{beta:g}_score"  # type: ignore[misc]
        super().__init__(axis, average, pos_label)

    def formula(self, hits: Tensor, actual: Tensor, predicted: Tensor) -> Tensor:
        return fbeta_formula(self.beta)(hits, actual, predicted)


class BalancedAccuracy(ClassCounts):
    """Mean over the classes of the share that is found: accuracy in which each class counts the same.

    Args:
        axis: where the classes are in the model's output.
        adjusted: rescale so that guessing scores 0 and perfection 1.
    """

    better = "higher"

    def __init__(self, axis: int = -1, adjusted: bool = False) -> None:
        super().__init__(axis)
        self.adjusted = adjusted
        self.name = "balanced_accuracy_adjusted" if adjusted else "balanced_accuracy"

    def score(self, counts: Tensor) -> Tensor:
        hits, actual, _ = counts.unbind(-2)
        present = (actual > 0).to(hits).sum(-1)
        mean = ratio(ratio(hits, actual).sum(-1), present)
        return ratio(mean - 1 / present, 1 - 1 / present) if self.adjusted else mean

    def check(self, counts: Tensor) -> None:
        if self.adjusted:
            _need_two_classes(self.name, counts)


class MatthewsCorrCoef(ClassCounts):
    """Matthews correlation coefficient, -1 to 1, 0 for constant predictions (Matthews 1975; several classes: Gorodkin 2004)."""

    name, better = "matthews_corrcoef", "higher"

    def score(self, counts: Tensor) -> Tensor:
        return matthews_of(*counts.unbind(-2))

    def check(self, counts: Tensor) -> None:
        _need_two_classes(self.name, counts)


class CohenKappa(ClassCounts):
    """Cohen's kappa: agreement beyond what chance gives, 1 when perfect, 0 when no better than chance.

    Args:
        axis: where the classes are in the model's output.
        weights: None, or "linear" or "quadratic" for classes that are in order (a grade): how much worse a miss by
            several classes is.
    """

    better = "higher"

    def __init__(self, axis: int = -1, weights: str | None = None) -> None:
        if weights not in (None, "linear", "quadratic"):
            raise SettingError(f"CohenKappa: weights={weights!r}; expected None, 'linear' or 'quadratic'.")
        super().__init__(axis)
        self.weights = weights
        self.name = f"cohen_kappa_{weights}" if weights else "cohen_kappa"

    def reset(self) -> None:
        super().reset()
        self._apart: Tensor | None = None  # sum over samples of the distance between decided and actual class

    def update(self, preds: Tensor, targs: Tensor) -> None:
        super().update(preds, targs)
        if self.weights:
            flat, actual = class_outputs(preds.detach(), targs, self.axis, self.name)
            apart = self._distance(flat.argmax(-1) - actual).sum()
            self._apart = apart if self._apart is None else self._apart + apart

    def _distance(self, steps: Tensor) -> Tensor:
        return steps.abs() if self.weights == "linear" else steps**2

    def score(self, counts: Tensor) -> Tensor:
        hits, actual, predicted = counts.unbind(-2)
        n = actual.sum(-1)
        by_chance = (actual * predicted).sum(-1) / n
        return ratio(hits.sum(-1) - by_chance, n - by_chance)

    def compute(self) -> float:
        if not self.weights or self._apart is None:
            return super().compute()
        counts = self.counts()
        self.check(counts)
        index = torch.arange(counts.shape[1])
        by_chance = float((counts[1] @ self._distance(index[:, None] - index).double()) @ counts[2] / counts[1].sum())
        return 1 - float(self._apart) / by_chance if by_chance else 0.0

    def check(self, counts: Tensor) -> None:
        _need_two_classes(self.name, counts)


class HammingLoss(MeanMetric):
    """Share of wrong labels; for one label per sample the same as error_rate.

    Args:
        axis: where the classes are in the model's output.
    """

    name, better = "hamming_loss", "lower"

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis
        super().__init__()

    def terms(self, output: Tensor, target: Tensor) -> tuple[Tensor, int]:
        flat, actual = class_outputs(output, target, self.axis, self.name)
        return (flat.argmax(-1) != actual).sum(), len(actual)


class BrierScore(MeanMetric):
    """Mean squared error of the probabilities (Brier 1950): 0 is perfect, and being sure and wrong costs most.

    For two classes the squared error of the probability of class 1 (0 to 1); for more, the sum over the classes (0 to 2).

    Args:
        axis: where the classes are in the model's output.
    """

    name, better = "brier_score", "lower"

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis
        super().__init__()

    def terms(self, output: Tensor, target: Tensor) -> tuple[Tensor, int]:
        flat, actual = class_outputs(output, target, self.axis, self.name)
        wanted = torch.arange(flat.shape[-1], device=flat.device) == actual[:, None]
        squares = (flat.float().softmax(-1) - wanted.float()).square().sum(-1)
        return (squares / 2 if flat.shape[-1] == 2 else squares).sum(), len(actual)


class Perplexity(MeanMetric):
    """exp of the mean cross-entropy per target: how many equally likely classes the model hesitates between.

    Args:
        axis: where the classes are in the model's output.
        ignore_index: targets of this value (padding) don't count.
    """

    name, better = "perplexity", "lower"

    def __init__(self, axis: int = -1, ignore_index: int = -100) -> None:
        self.axis, self.ignore_index = axis, ignore_index
        super().__init__()

    def terms(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        flat, actual = class_outputs(output, target, self.axis, self.name)
        counted = (actual != self.ignore_index).sum()
        return torch.nn.functional.cross_entropy(flat.float(), actual, ignore_index=self.ignore_index, reduction="sum"), counted

    def finish(self, mean: float) -> float:
        return float(torch.tensor(mean, dtype=torch.float64).exp())


perplexity = Perplexity  # a class stands where the peer has one shared object: each learner gets its own
