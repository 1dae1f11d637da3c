"""Scores from counts: how many samples of each class are right, are there, and are predicted.

Everything here works on the last axis (classes or labels) and broadcasts over the axes before it, so one call also scores
the thousand resampled counts of a bootstrap.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from burnish.errors import SettingError

Formula = Callable[[Tensor, Tensor, Tensor], Tensor]  # (hits, actual, predicted) -> score


def ratio(above: Tensor, below: Tensor) -> Tensor:
    """``above / below``, and 0 where `below` is 0 (scikit-learn's convention)."""
    return torch.where(below > 0, above / below.clamp(min=1e-12), torch.zeros_like(above))


def class_bins(actual: Tensor, decided: Tensor, classes: int) -> Tensor:
    """For each sample ``(..., samples)`` where it counts: as right, as actual, as predicted ``(..., 3, samples)``; `classes` is nowhere."""
    known, nowhere = (actual >= 0) & (actual < classes), torch.full_like(actual, classes)
    right = torch.where(known & (decided == actual), actual, nowhere)
    return torch.stack([right, torch.where(known, actual, nowhere), torch.where(known, decided, nowhere)], dim=-2)


def precision_of(hits: Tensor, actual: Tensor, predicted: Tensor) -> Tensor:
    """Of those predicted, the share that is right."""
    return ratio(hits, predicted)


def recall_of(hits: Tensor, actual: Tensor, predicted: Tensor) -> Tensor:
    """Of those that are there, the share that is found."""
    return ratio(hits, actual)


def jaccard_of(hits: Tensor, actual: Tensor, predicted: Tensor) -> Tensor:
    """Right ones as a share of those that are there or predicted."""
    return ratio(hits, actual + predicted - hits)


def fbeta_formula(beta: float) -> Formula:
    """F-beta: the harmonic mean of precision and recall, in which recall counts `beta` times as much as precision."""

    def fbeta_of(hits: Tensor, actual: Tensor, predicted: Tensor) -> Tensor:
        return ratio((1 + beta**2) * hits, beta**2 * actual + predicted)

    return fbeta_of


def averaged(formula: Formula, counts: Tensor, average: str, pos_label: int = 1, skip_absent: bool = True) -> Tensor:
    """One score from the counts of all classes.

    Args:
        formula: gives the score of each class.
        counts: ``(..., 3, classes)``: hits, actual and predicted.
        average: "binary" the class `pos_label` alone; "macro" the mean over classes; "weighted" the mean weighted by how
            often a class is there; "micro" the score of all classes' counts together.
        skip_absent: leave classes that are neither there nor predicted out of "macro", as scikit-learn does for one
            label per sample.
    """
    hits, actual, predicted = counts.unbind(-2)
    if average == "binary":
        return formula(hits[..., pos_label], actual[..., pos_label], predicted[..., pos_label])
    if average == "micro":
        return formula(hits.sum(-1), actual.sum(-1), predicted.sum(-1))
    scores = formula(hits, actual, predicted)
    if average == "weighted":
        return ratio((scores * actual).sum(-1), actual.sum(-1))
    counted = (actual + predicted > 0).to(scores) if skip_absent else torch.ones_like(scores)
    return ratio((scores * counted).sum(-1), counted.sum(-1))


def matthews_of(hits: Tensor, actual: Tensor, predicted: Tensor) -> Tensor:
    """Matthews correlation of several classes (Gorodkin 2004) from counts ``(..., classes)``; 0 for constant predictions."""
    n = actual.sum(-1)
    shared = hits.sum(-1) * n - (actual * predicted).sum(-1)
    return ratio(shared, ((n**2 - (predicted**2).sum(-1)) * (n**2 - (actual**2).sum(-1))).clamp(min=0).sqrt())


def check_average(average: str, allowed: tuple[str, ...], where: str) -> str:
    """`average` if it is one of `allowed`. Raises SettingError that lists them otherwise."""
    if average not in allowed:
        raise SettingError(f"{where}: average={average!r}; expected one of {', '.join(map(repr, allowed))}.")
    return average
