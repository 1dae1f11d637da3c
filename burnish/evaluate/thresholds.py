"""The probability above which each of several labels is given: chosen on the rows that validate."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np

from burnish.data.multicategory import HeldOut, MultiCategoryBlock
from burnish.data.notes import note
from burnish.data.whole import checked_whole
from burnish.errors import DataError, SettingError, listed
from burnish.evaluate.outcome import run, split_name, target_block

if TYPE_CHECKING:
    import pandas as pd

    from burnish.train.learner import Learner


def tune_thresholds(learn: Learner, split: int | str = "valid", beta: float = 1.0, least: int = 5, keep: str = "better") -> pd.DataFrame:
    """Chooses for each label the probability above which it is given, so that its F score is best on the rows of `split`. The
    learner's predictions, its metrics and what it exports go by them from then on. Results on the rows of `split` (``assess``,
    ``Interpretation``, the report) are by thresholds chosen on the other half of the rows, for each half: by its own, a row would say too much.

    Of labels that fewer than `least` rows have, next to nothing is known: they share one threshold, which is best for all labels together.

    Args:
        split: rows that did not train; never the test split, whose result would be too good then.
        beta: how many times recall counts as much as precision.
        keep: "better" keeps them where they are better than 0.5, by the mean F score on rows that they weren't chosen on; "always".

    Returns: a row a label: label, n (rows that have it), threshold (what the learner goes by now), f_at_half (the F score at 0.5) and f_tuned. So that it isn't judged on
        the rows that it was chosen on, f_tuned is of the other half's thresholds too.

    Raises:
        DataError: the target isn't several labels (a MultiCategoryBlock), or no row has a label.
    """
    import pandas as pd

    block, name = target_block(learn), split_name(split)
    checked_whole("least", least, least=1)
    if not isinstance(block, MultiCategoryBlock):
        raise DataError(f"Thresholds are for several labels a sample (MultiCategoryBlock); the target is {type(block).__name__}.")
    if keep not in ("better", "always"):
        raise SettingError(f"keep={keep!r}: expected 'better' (than 0.5) or 'always'.")
    if not beta > 0:
        raise SettingError(f"beta={beta!r}: expected a number above 0 (above 1 favours recall, below 1 precision).")
    if name == "test":
        raise SettingError("Thresholds chosen on the test split would make its result too good: choose them on 'valid'.")
    found = run(learn, name)
    shares, there = block.activation(found.output).numpy().astype(np.float64), found.target.numpy() > 0.5
    if not there.any():
        raise DataError(f"No row of the {name} split has a label, so there is nothing to choose thresholds by.")
    chosen = best_thresholds(shares, there, beta, least)
    halves = np.random.default_rng(0).permutation(len(there)) % 2 == 0
    others = np.empty_like(shares)
    for half in (halves, ~halves):
        others[half] = best_thresholds(shares[~half], there[~half], beta, least)
    before, after = f_scores(shares > 0.5, there, beta), f_scores(shares > others, there, beta)
    kept = keep == "always" or after.mean() > before.mean()
    block = copy.copy(block)  # other learners of the same data keep theirs
    block.thresholds, block.held_out = None, None
    if kept:
        block.thresholds, block.held_out = [float(t) for t in chosen], HeldOut(name, np.asarray(found.rows), others)
    learn.dls = learn.dls.with_target(block)
    for metric in learn.metrics:
        metric.for_target(block)
    learn.results = {}
    _say(before, after, kept)
    few = [label for label, n in zip(block.vocab or [], there.sum(0), strict=True) if n < least]
    if few and kept:
        note(f"{len(few)} labels are in fewer than {least} of the rows, and share a threshold: {listed(map(repr, few), 6)}.")
    columns = {"label": block.vocab, "n": there.sum(0), "threshold": chosen if kept else 0.5, "f_at_half": before, "f_tuned": after}
    return pd.DataFrame(columns)


def _say(before: np.ndarray, after: np.ndarray, kept: bool) -> None:
    scores = f"mean F score of the labels {before.mean():.3f} at 0.5, {after.mean():.3f} tuned (on halves judged by the other)"
    if not kept:
        note(f"Thresholds stay at 0.5, for tuned ones are no better: {scores}.")
        return
    note(
        f"Thresholds chosen: {scores}. "
        "The results on these rows are told so too; learn.validate() and the metrics while training go by the thresholds of all rows, and say too much."
    )


def best_thresholds(shares: np.ndarray, there: np.ndarray, beta: float = 1.0, least: int = 5) -> np.ndarray:
    """For each label the threshold with the best F score.

    Args:
        shares: probabilities ``(rows, labels)``. there: which labels the rows have.
        least: labels of fewer rows share the one that is best for all labels together.
    """
    shared = _best(shares.reshape(-1), there.reshape(-1), beta)
    enough = (there.sum(0) >= least) & (~there).any(0)
    return np.array([_best(shares[:, i], there[:, i], beta) if enough[i] else shared for i in range(there.shape[1])])


def _best(shares: np.ndarray, there: np.ndarray, beta: float) -> float:
    """The threshold between two neighbouring probabilities with the best F score; of equals the one nearest to 0.5."""
    if not there.any():
        return 0.5
    order = np.argsort(-shares, kind="stable")
    ranked = shares[order]
    hits, given = np.cumsum(there[order]), np.arange(1, len(order) + 1)
    score = (1 + beta**2) * hits / (beta**2 * there.sum() + given)
    ends = np.append(ranked[1:], max(0.0, 2 * ranked[-1] - 1)) < ranked  # equal probabilities are given together
    score = np.where(ends, score, -1.0)
    middles = (ranked + np.append(ranked[1:], 0.0)) / 2
    among = np.flatnonzero(score >= score.max() - 1e-12)
    return float(middles[among[np.abs(middles[among] - 0.5).argmin()]])


def f_scores(given: np.ndarray, there: np.ndarray, beta: float = 1.0) -> np.ndarray:
    """The F score of each label ``(labels,)``; 0 where it is neither there nor given."""
    hits = (given & there).sum(0)
    both = beta**2 * there.sum(0) + given.sum(0)
    return np.where(both > 0, (1 + beta**2) * hits / np.maximum(both, 1e-12), 0.0)
