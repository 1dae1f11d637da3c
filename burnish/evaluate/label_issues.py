"""Which labels are likely wrong, from out-of-sample probabilities of any model, on any kind of data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from burnish.data.label import is_missing
from burnish.errors import DataError, SettingError, listed, nearest

if TYPE_CHECKING:
    import pandas as pd

FIRST_RATE = 0.1  # of wrong labels, where the fit begins
RATE_ROWS = 20.0  # rows for which the mean rate of all classes counts in a class's own
SHARES = (1.0, 5.0, 20.0, 100.0, np.inf)  # errors for which "all other classes alike" counts; inf: always
TEMPERATURES = tuple(np.geomspace(0.3, 2.0, 8))
_TINY = 1e-12


class LabelNoise(NamedTuple):
    """How labels go wrong.

    Attributes:
        rates: ``(classes, classes)``: what share of the samples that are class i is labelled j.
        temperature: by which the model's log-probabilities are divided; it is less sure than it could be where this is below 1.
    """

    rates: np.ndarray
    temperature: float

    def true_classes(self, labels: np.ndarray, probs: np.ndarray) -> np.ndarray:
        """The probability of each class to be the true one ``(samples, classes)``, given what the model says and the label."""
        return _posterior(_tempered(probs, self.temperature), labels, self.rates)


def find_label_issues(labels: Any, probs: Any, vocab: Sequence[Any] | None = None, least: float = 0.5) -> pd.DataFrame:
    """The labels that are likely wrong, the most suspicious first.

    The score is the probability that a label is wrong: Bayes' rule on what the model says of the sample, and how often which class
    is labelled as which, estimated from the same predictions. These confusions are fitted by expectation maximisation (as in A. P.
    Dawid and A. M. Skene, "Maximum likelihood estimation of observer error-rates", 1979, with the model in place of the observers'
    prior); how far the classes share one error rate, spread evenly, is chosen by the likelihood of labels that were left out. The
    model's temperature is fitted along (C. Guo et al., arXiv:1706.04599).

    Args:
        labels: the label of each sample: positions in the classes, or, with `vocab`, labels. For several labels a sample, 0 and 1
            ``(samples, labels)``.
        probs: probabilities ``(samples, classes)`` from a model that has not seen the sample's label: cross-validated ones, or of
            rows that validate. From a model that was trained on these labels they hide the errors.
        vocab: the classes, in the order of the columns of `probs`.
        least: the least score that is told; 0 tells of every sample.

    Returns: columns row, label, suggested, probability (of the suggested class to be the true one), score. For several labels: a line a
        sample and label, with label, given, suggested (both True or False), probability and score.

    Raises:
        DataError: shapes don't agree, a label is unknown or missing, or `probs` are no probabilities.
    """
    import pandas as pd

    if not 0 <= least <= 1:
        raise SettingError(f"least={least!r}: expected a probability, 0 to 1.")
    probs = _checked_probs(probs)
    names = list(range(probs.shape[1])) if vocab is None else list(vocab)
    if len(names) != probs.shape[1]:
        raise DataError(f"vocab names {len(names)} classes, and probs has {probs.shape[1]} columns; expected one a class, in this order.")
    given = np.asarray(labels)
    if given.ndim == 2:
        found = _of_several(given, probs, names)
    else:
        codes = _codes(labels, names, len(probs))
        truth = fit_noise(codes, probs).true_classes(codes, probs)
        each = np.arange(len(codes))
        others = truth.copy()
        others[each, codes] = -1.0
        best = others.argmax(1)
        found = pd.DataFrame({
            "row": each, "label": [names[c] for c in codes], "suggested": [names[c] for c in best], "probability": truth[each, best],
            "score": _wrong(truth, codes),
        })  # fmt: skip
    told: Any = found[found["score"] >= least]
    return told.sort_values("score", ascending=False, kind="stable", ignore_index=True)


def _of_several(given: np.ndarray, probs: np.ndarray, names: list[Any]) -> pd.DataFrame:
    """Every label is a question of two classes, given or not."""
    import pandas as pd

    if given.shape != probs.shape or not np.isin(given, (0, 1)).all():
        raise DataError(f"Several labels a sample: expected labels of 0 and 1 of the shape of probs, {probs.shape}; got {given.shape}.")
    parts = []
    for i, name in enumerate(names):
        there = given[:, i].astype(np.int64)
        both = np.stack([1 - probs[:, i], probs[:, i]], axis=1)
        wrong = _wrong(fit_noise(there, both).true_classes(there, both), there)
        parts.append(
            pd.DataFrame({
                "row": np.arange(len(given)), "label": name, "given": there == 1, "suggested": there == 0, "probability": wrong, "score": wrong
            })
        )  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def fit_noise(labels: np.ndarray, probs: np.ndarray) -> LabelNoise:
    """How these labels go wrong, by what the model says of the samples.

    Args:
        labels: positions of classes ``(samples,)``. probs: ``(samples, classes)``, of samples whose label the model has not seen.
    """
    told = [_tempered(probs, t) for t in TEMPERATURES]
    fits = [_likelihood(p, labels, _rates(p, labels, 20.0, 25)) for p in told]
    best = int(np.argmax(fits))
    probs, half = told[best], np.random.default_rng(0).permutation(len(labels)) % 2 == 0
    held_out = [
        sum(_likelihood(probs[~side], labels[~side], _rates(probs[side], labels[side], share, 60)) for side in (half, ~half))
        for share in SHARES
    ]
    return LabelNoise(_rates(probs, labels, SHARES[int(np.argmax(held_out))], 60), float(TEMPERATURES[best]))


def _rates(probs: np.ndarray, labels: np.ndarray, share: float, rounds: int) -> np.ndarray:
    """What share of which class is labelled as which ``(classes, classes)``, by expectation maximisation.

    Each class has an error rate, drawn to the mean of all, and says where its errors go, drawn to all other classes alike: `share` is the
    number of errors for which this counts.
    """
    k = probs.shape[1]
    rate, towards = np.full(k, FIRST_RATE), np.full((k, k), 1.0 / max(k - 1, 1))
    np.fill_diagonal(towards, 0.0)
    for _ in range(rounds):
        counts = _by_label(_posterior(probs, labels, _matrix(rate, towards)), labels)
        total, wrong = counts.sum(1), counts * (1 - np.eye(k))
        errors = wrong.sum(1)
        rate = np.clip((errors + RATE_ROWS * errors.sum() / total.sum()) / (total + RATE_ROWS), 1e-4, 0.9)
        if np.isfinite(share):
            towards = (wrong + share / max(k - 1, 1)) * (1 - np.eye(k)) / (errors + share)[:, None]
    return _matrix(rate, towards)


def _matrix(rate: np.ndarray, towards: np.ndarray) -> np.ndarray:
    return rate[:, None] * towards + np.diag(1 - rate)


def _by_label(posterior: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How many samples of which true class have which label: sums of the posterior ``(classes, labels)``."""
    order = np.argsort(labels, kind="stable")
    there, starts = np.unique(labels[order], return_index=True)
    counts = np.zeros((posterior.shape[1],) * 2)
    counts[:, there] = np.add.reduceat(posterior[order], starts, axis=0).T
    return counts


def _posterior(probs: np.ndarray, labels: np.ndarray, rates: np.ndarray) -> np.ndarray:
    joint = probs * rates[:, labels].T
    return joint / np.maximum(joint.sum(1, keepdims=True), 1e-300)


def _likelihood(probs: np.ndarray, labels: np.ndarray, rates: np.ndarray) -> float:
    """The mean log-probability of the labels."""
    return float(np.log(np.maximum((probs * rates[:, labels].T).sum(1), 1e-300)).mean())


def _tempered(probs: np.ndarray, temperature: float) -> np.ndarray:
    logs = np.log(np.maximum(probs, _TINY)) / temperature
    powers = np.exp(logs - logs.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def _wrong(truth: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The probability that a label is wrong: the sum over the other classes, which tells 1e-9 from 1e-12 where 1 - p can't."""
    others = truth.copy()
    others[np.arange(len(labels)), labels] = 0.0
    return others.sum(1)


# -- what is given ----------------------------------------------------------------------------------------------------
def _checked_probs(probs: Any) -> np.ndarray:
    values = np.asarray(probs.detach().cpu() if hasattr(probs, "detach") else probs, dtype=np.float64)
    if values.ndim != 2 or (values.shape[1] < 2 and values.shape[0]):
        raise DataError(f"probs has the shape {values.shape}; expected (samples, classes), with two classes or more.")
    if not len(values):
        raise DataError("probs is empty: there is no sample to judge.")
    bad = np.flatnonzero(~np.isfinite(values).all(1) | (values < 0).any(1) | (values > 1 + 1e-3).any(1))
    if len(bad):
        raise DataError(
            f"probs of row {listed(bad, 3)} are no probabilities ({listed((f'{v:.3g}' for v in values[bad[0]]), 4)}): expected numbers from 0 to 1. "
            "Raw outputs become probabilities by a softmax; learn.get_preds() gives them."
        )
    return values


def _codes(labels: Any, names: list[Any], n: int) -> np.ndarray:
    """The labels as positions in `names`."""
    cells = labels.tolist() if hasattr(labels, "tolist") else list(labels)
    if len(cells) != n:
        raise DataError(f"There are {len(cells)} labels and probabilities of {n} samples; expected one label a sample, in the same order.")
    index = {name: i for i, name in enumerate(names)}
    unknown = [(row, cell) for row, cell in enumerate(cells) if is_missing(cell) or cell not in index]
    if unknown:
        row, cell = unknown[0]
        raise DataError(
            f"The label of row {row} is {cell!r}, and {len(unknown)} row(s) have one that is none of the classes: {listed(map(repr, names), 8)}."
            f"{nearest(str(cell), map(str, names))} Labels by name need vocab=."
        )
    return np.array([index[cell] for cell in cells], dtype=np.int64)
