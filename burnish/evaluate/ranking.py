"""Metrics of how well scores rank the samples: they need every score of the split, kept on the device until the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from burnish.data.block import Block
from burnish.data.notes import note
from burnish.errors import SettingError, listed
from burnish.evaluate.base import CallableMetric
from burnish.evaluate.multilabel import label_outputs, need_both_answers
from burnish.evaluate.shapes import class_outputs


def roc_auc(scores: Tensor, positive: Tensor) -> Tensor:
    """Area under the ROC curve of each column: the chance that a positive scores above a negative (ties count half).

    Args:
        scores: ``(samples, columns)``.
        positive: bool ``(samples, columns)``; every column must have both answers.

    Returns: ``(columns,)`` float64.
    """
    columns = scores.T.contiguous()
    ordered = columns.sort(-1).values
    rank = (torch.searchsorted(ordered, columns) + torch.searchsorted(ordered, columns, right=True) + 1).double() / 2
    yes = positive.T.double()
    n_yes, n_no = yes.sum(-1), (1 - yes).sum(-1)
    return ((rank * yes).sum(-1) - n_yes * (n_yes + 1) / 2) / (n_yes * n_no)


def average_precision(scores: Tensor, positive: Tensor) -> Tensor:
    """Average precision of each column: the mean, over the positives, of the precision among those that score as high.

    Shapes as in `roc_auc`; every column must have a positive.
    """
    columns, yes = scores.T.contiguous(), positive.T.double()
    order = columns.argsort(-1, descending=True)
    falling = columns.gather(-1, order)
    at_least = torch.searchsorted(-falling, -columns, right=True)  # samples that score as high or higher
    found = yes.gather(-1, order).cumsum(-1).gather(-1, at_least - 1)
    return (found / at_least * yes).sum(-1) / yes.sum(-1)


def mean_over(values: Tensor, average: str, weights: Tensor) -> float:
    """The mean of per-column values; weighted by `weights` for "weighted"."""
    return float((values * weights).sum() / weights.sum()) if average == "weighted" else float(values.mean())


def log_odds(logits: Tensor) -> Tensor:
    """``log(p / (1 - p))`` of the softmax of each row ``(samples, classes)``, exact also where p is 1 or 0 to float32."""
    if logits.shape[-1] < 2:
        return logits
    top = logits.argmax(-1, keepdim=True)
    log_p = logits.log_softmax(-1)
    others = logits.scatter(-1, top, -torch.inf).logsumexp(-1, keepdim=True)  # 1 - p of the likeliest class would cancel
    return (log_p - torch.log1p(-log_p.exp())).scatter(-1, top, logits.gather(-1, top) - others)


class StoredScores(CallableMetric):
    """Base of metrics that need all scores at once. They stay on the device, as float32, until ``compute``."""

    better: str | None = "higher"

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._scores: list[Tensor] = []
        self._targets: list[Tensor] = []

    def prepare(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """A batch's scores and targets, flattened to samples first."""
        raise NotImplementedError

    def update(self, preds: Tensor, targs: Tensor) -> None:
        scores, target = self.prepare(preds.detach(), targs.detach())
        self._scores.append(scores.to(torch.float32, copy=True))  # a compiled model may use its output's memory again
        self._targets.append(target.clone())

    def value(self, scores: Tensor, target: Tensor) -> float:
        """The metric from all scores and targets. Raises ValueError that says why when it can't be computed."""
        raise NotImplementedError

    def compute(self) -> float:
        if not self._scores:
            return float("nan")
        scores, target = torch.cat(self._scores).cpu(), torch.cat(self._targets).cpu()
        if not scores.isfinite().all():
            raise ValueError(
                f"{self.name} can't be computed: {int((~scores.isfinite()).any(-1).sum())} sample(s) have outputs that are nan or infinite."
            )
        return self.value(scores, target)


class _ClassScores(StoredScores):
    """Scores of one label per sample: the log-odds of each class ``(samples, classes)``, which rank as probabilities do, and
    still differ where a sure model's probabilities are all 1 to float32."""

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis
        super().__init__()

    def prepare(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        flat, actual = class_outputs(output, target, self.axis, self.name)
        return log_odds(flat.float()), actual

    def need_classes(self, scores: Tensor, target: Tensor) -> None:
        """Raises ValueError unless every class is in the split."""
        missing = sorted(set(range(scores.shape[1])) - set(target.tolist()))
        if missing:
            raise ValueError(
                f"{self.name} can't be computed: the split has no sample of class(es) {listed(missing)} (index). "
                "Use a stratified split, TrainTestSplitter(stratify=True), or more validation data."
            )


class _TwoClassScores(_ClassScores):
    """Scores of class 1 out of two."""

    def positives(self, scores: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        if scores.shape[1] != 2:
            raise ValueError(f"{self.name} is for two classes and the model has {scores.shape[1]} outputs. Use RocAuc for several classes.")
        self.need_classes(scores, target)
        return scores[:, 1:], target[:, None] == 1


class RocAucBinary(_TwoClassScores):
    """Area under the ROC curve for two classes.

    Args:
        axis: where the classes are in the model's output.
        max_fpr: only the part of the curve up to this false positive rate, standardised (McClish 1989); None is all of it.
    """

    name = "roc_auc_binary"

    def __init__(self, axis: int = -1, max_fpr: float | None = None) -> None:
        if max_fpr is not None and not 0 < max_fpr <= 1:
            raise SettingError(f"RocAucBinary: max_fpr={max_fpr!r}; expected a number above 0 and up to 1, or None.")
        self.max_fpr = max_fpr
        super().__init__(axis)

    def value(self, scores: Tensor, target: Tensor) -> float:
        score, positive = self.positives(scores, target)
        if self.max_fpr is None:
            return float(roc_auc(score, positive))
        from sklearn.metrics import roc_auc_score

        return float(roc_auc_score(positive[:, 0].numpy(), score[:, 0].numpy(), max_fpr=self.max_fpr))


class APScoreBinary(_TwoClassScores):
    """Average precision (area under the precision-recall curve) for two classes."""

    name = "average_precision"
    positive = 1

    def value(self, scores: Tensor, target: Tensor) -> float:
        return float(average_precision(*self.positives(scores, target)))


class RocAuc(_ClassScores):
    """Area under the ROC curve; for several classes the mean over classes (or pairs of classes).

    Args:
        axis: where the classes are in the model's output.
        average: "macro", or "weighted" by how often a class is there.
        multi_class: "ovr" each class against the rest, "ovo" each pair of classes (Hand and Till 2001).
    """

    name = "roc_auc"

    def __init__(self, axis: int = -1, average: str = "macro", multi_class: str = "ovr") -> None:
        if average not in ("macro", "weighted") or multi_class not in ("ovr", "ovo"):
            raise SettingError(
                f"RocAuc: average={average!r}, multi_class={multi_class!r}; expected average 'macro' or 'weighted' and multi_class 'ovr' or 'ovo'."
            )
        self.average, self.multi_class = average, multi_class
        super().__init__(axis)

    def value(self, scores: Tensor, target: Tensor) -> float:
        self.need_classes(scores, target)
        classes = scores.shape[1]
        positive = torch.arange(classes) == target[:, None]
        if classes == 2:
            return float(roc_auc(scores[:, 1:], positive[:, 1:]))
        if self.multi_class == "ovr":
            return mean_over(roc_auc(scores, positive), self.average, positive.double().sum(0))
        pairs = [self._pair(scores, target, a, b) for a in range(classes) for b in range(a + 1, classes)]
        return mean_over(torch.tensor([p[0] for p in pairs]), self.average, torch.tensor([p[1] for p in pairs]))

    @staticmethod
    def _pair(scores: Tensor, target: Tensor, a: int, b: int) -> tuple[float, float]:
        either = (target == a) | (target == b)
        pair, is_a = scores[either][:, [a, b]], target[either] == a
        return float(roc_auc(pair, torch.stack([is_a, ~is_a], 1)).mean()), float(either.sum())


class _LabelScores(StoredScores):
    """Scores of several labels per sample. Labels that all or none of the samples have can't be ranked, and are left out of the mean, with a note.

    Args:
        sigmoid: outputs are raw; False when they are probabilities already. Both rank the same.
        average: "macro", "weighted" by how often a label is there, or "micro" all answers together.
    """

    def __init__(self, sigmoid: bool = True, average: str = "macro") -> None:
        if average not in ("macro", "weighted", "micro"):
            raise SettingError(f"{type(self).__name__}: average={average!r}; expected 'macro', 'weighted' or 'micro'.")
        self.sigmoid, self.average = sigmoid, average
        self._names: Sequence[Any] = ()
        self._told: set[tuple[int, ...]] = set()
        super().__init__()

    def for_target(self, block: Block) -> None:
        super().for_target(block)
        self._names = getattr(block, "vocab", None) or ()

    def prepare(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        output, target = label_outputs(output.float(), target, self.name)
        return output, target > 0.5  # without a sigmoid, which keeps the order but saturates

    def of_columns(self, scores: Tensor, positive: Tensor) -> Tensor:
        """The score of each column."""
        raise NotImplementedError

    def value(self, scores: Tensor, target: Tensor) -> float:
        if self.average == "micro":
            scores, target = scores.reshape(-1, 1), target.reshape(-1, 1)
        there = target.sum(0)
        judged = (there > 0) & (there < len(target))
        if not judged.any():
            need_both_answers(self.name, there, torch.full((target.shape[1],), len(target)))
        return mean_over(self.of_columns(scores[:, judged], target[:, judged]), self.average, there[judged].double())

    def compute(self) -> float:
        value = super().compute()
        if self._targets and self.average != "micro":
            there, n = torch.stack([t.sum(0) for t in self._targets]).sum(0), sum(map(len, self._targets))
            left = tuple(((there == 0) | (there == n)).nonzero().flatten().tolist())
            if left and left not in self._told:
                self._told.add(left)
                names = listed((repr(self._names[i]) if i < len(self._names) else f"number {i}" for i in left), 6)
                note(f"{self.name} leaves out {names}, which all or none of these samples have: there is nothing to rank.")
        return value


class RocAucMulti(_LabelScores):
    """Area under the ROC curve of each label, averaged."""

    name = "roc_auc_multi"

    def of_columns(self, scores: Tensor, positive: Tensor) -> Tensor:
        return roc_auc(scores, positive)


class APScoreMulti(_LabelScores):
    """Average precision of each label, averaged."""

    name = "average_precision_multi"

    def of_columns(self, scores: Tensor, positive: Tensor) -> Tensor:
        return average_precision(scores, positive)
