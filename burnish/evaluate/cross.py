"""Probabilities of samples from models that have not seen them: cross-validated logistic regression over features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from burnish.data.whole import checked_whole
from burnish.errors import DataError, SettingError
from burnish.evaluate.label_issues import fit_noise

STRENGTH = 10.0  # of the fit beside the penalty (scikit-learn's C), for features of length 1
_LEAST_WEIGHT = 1e-3


def cross_validated(
    features: np.ndarray, labels: np.ndarray, cv: int = 5, groups: Sequence[Any] | None = None, seed: int = 0, rounds: int = 2
) -> np.ndarray:
    """The probability of each class for each sample ``(samples, classes)``, by logistic regressions that were fitted on the others.

    In the second round a sample counts by how likely its label is right by the first: fewer wrong labels are learned from. Each sample is
    still judged by fits without it, though the weights of others rest on first fits with it.

    Args:
        features: ``(samples, features)``; see ``powered``. labels: positions of classes ``(samples,)``; or, for several labels a sample, 0
            and 1 ``(samples, labels)``, each judged by itself.
        cv: into how many parts the samples are divided.
        groups: samples of one group (copies of a picture, say) stay in one part.

    Raises:
        SettingError: there are fewer samples (or groups) than parts.
    """
    checked_whole("cv", cv, least=2)
    n = len(set(groups)) if groups is not None else len(labels)
    if n < cv:
        raise SettingError(f"cv={cv}: the {n} sample(s) or groups can't be divided into so many parts. Give a smaller cv=.")
    if labels.ndim == 2:
        each = [_of_label(features, labels[:, i], cv, groups, seed, rounds) for i in range(labels.shape[1])]
        return np.stack(each, axis=1)
    weights = np.ones(len(labels))
    probs = _one_round(features, labels, weights, cv, groups, seed)
    for _ in range(rounds - 1):
        truth = fit_noise(labels, probs).true_classes(labels, probs)
        weights = np.maximum(truth[np.arange(len(labels)), labels], _LEAST_WEIGHT)
        probs = _one_round(features, labels, weights, cv, groups, seed)
    return probs


def _of_label(features: np.ndarray, there: np.ndarray, cv: int, groups: Any, seed: int, rounds: int) -> np.ndarray:
    if there.all() or not there.any():
        return there.astype(float)  # nothing to tell apart
    return cross_validated(features, there.astype(np.int64), cv, groups, seed, rounds)[:, 1]


def _one_round(features: np.ndarray, labels: np.ndarray, weights: np.ndarray, cv: int, groups: Any, seed: int) -> np.ndarray:
    from sklearn.linear_model import LogisticRegression

    probs = np.zeros((len(labels), int(labels.max()) + 1))
    for train, judged in parts(labels, cv, groups, seed):
        classes = np.unique(labels[train])
        if len(classes) == 1:
            probs[judged, classes[0]] = 1.0
            continue
        model = LogisticRegression(C=STRENGTH, max_iter=500).fit(features[train], labels[train], sample_weight=weights[train])
        probs[np.ix_(judged, classes)] = model.predict_proba(features[judged])
    return probs


def parts(labels: np.ndarray, cv: int, groups: Sequence[Any] | None, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Positions (to fit on, to judge), `cv` times; each class in the same share in every part, as far as it can be divided."""
    import warnings

    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    by = labels if labels.ndim == 1 else labels.sum(1).astype(np.int64)  # of several labels, by how many there are
    splitter: Any = (StratifiedKFold if groups is None else StratifiedGroupKFold)(cv, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on classes with fewer samples than parts: who calls leaves them out
        try:
            return [(np.asarray(a), np.asarray(b)) for a, b in splitter.split(np.zeros(len(by)), by, groups)]
        except ValueError as error:
            raise DataError(f"The samples can't be divided into {cv} parts ({error}). Give a smaller cv=.") from None


def powered(features: np.ndarray) -> np.ndarray:
    """Features with their signed square roots, at length 1 (F. Perronnin et al., "Improving the Fisher kernel", 2010): a few large
    values then don't outweigh all others."""
    rooted = np.sign(features) * np.sqrt(np.abs(features))
    return rooted / np.maximum(np.linalg.norm(rooted, axis=1, keepdims=True), 1e-12)
