"""What simpler models of ratings score on the same pairs: the mean, biases, neighbours, a factorisation."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from burnish.data.lazy import pd
from burnish.data.notes import note
from burnish.data.table import rows_of
from burnish.errors import DataError, SettingError, nearest
from burnish.evaluate import outcome as outcomes
from burnish.evaluate.outcome import Outcome, split_name
from burnish.evaluate.summary import chosen_metrics
from burnish.tabular.baselines import BaselineNote, fit_seconds, row_of, value_of
from burnish.train.metric import Metric

if TYPE_CHECKING:
    from burnish.collab.dataloaders import CollabDataLoaders
    from burnish.collab.learner import CollabLearner

Pairs = np.ndarray  # codes of users and items ``(ratings, 2)``
Predict = Callable[[Pairs], np.ndarray]
PENALTIES = (2.0, 5.0, 10.0, 20.0, 40.0)  # of which the factorisation takes what is best on a tenth of the training ratings
FACTORS, ROUNDS, NEIGHBOURS = 16, 12, 40
_SOLVED = 4096  # users or items whose vectors are found at once
MOST_NOTED = 100_000  # training ratings up to which these models are fitted after every fit
MOST_RATINGS, MOST_IDS = 1_000_000, 50_000  # training ratings, and users and items, up to which these models are fitted unasked
_ALIKE = 2**21  # likenesses, of some items to all, that are worked out at a time


def baselines(learn: CollabLearner, split: int | str = "valid", metrics: Any = None, models: Sequence[str] | None = None) -> pd.DataFrame:
    """The model beside simpler ones, fitted to the same training ratings and judged on the same others.

    Args:
        split: "valid" or "test" (or 1, 2).
        metrics: names, functions or Metrics; the learner's by default.
        models: which of "mean", "biases", "neighbours" (of the items: Sarwar et al. 2001), "factors" (matrix factorisation by
            alternating least squares, its penalty chosen on a tenth of the training ratings: Hu, Koren and Volinsky 2008). The last two
            take the mean of what one user gave one item.

    Returns: a row a model: columns model, for each metric NAME, NAME_low, NAME_high (95 % interval), and seconds (to fit and to answer; of
        the network its last fit, none where that is not known).
    """
    from burnish.evaluate.tables import Compared

    wanted = list(NAMES if models is None else models)
    if unknown := [m for m in wanted if m not in NAMES]:
        raise SettingError(f"models has {unknown[0]!r}; expected some of {', '.join(map(repr, NAMES))}.{nearest(str(unknown[0]), NAMES)}")
    if learn.dls.implicit:
        raise DataError("These models are of ratings; of things that were done learn.ranking() compares with the most popular.")
    _check_prepared(learn.dls)
    chosen, found = chosen_metrics(learn, metrics), outcomes.run(learn, split_name(split))
    groups = outcomes.groups_of(learn.dls, found.rows)
    rows = [row_of(f"network ({learn.arch})", chosen, found, groups, fit_seconds(learn))]
    for name in wanted:
        output, seconds = answers(learn.dls, name, split_name(split))
        rows.append(row_of(NAMES[name], chosen, found._replace(output=output), groups, seconds))
    return Compared(rows)


def answers(dls: CollabDataLoaders, name: str, split: str) -> tuple[torch.Tensor, float]:
    """What a model answers on a split ``(ratings,)``, and the seconds to fit it and to answer. It is fitted at the first call for these
    data, and what it answers is kept with them."""
    models: dict[str, tuple[Predict, float]] = vars(dls).setdefault("_fitted", {})
    kept: dict[tuple[str, str], tuple[torch.Tensor, float]] = vars(dls).setdefault("_answers", {})
    if (name, split) not in kept:
        started = time.perf_counter()
        if name not in models:
            fit = {"mean": _mean, "biases": _biases, "neighbours": _neighbours, "factors": _factors}[name]
            models[name] = fit(*ratings_of(dls, "train")), time.perf_counter() - started
            started = time.perf_counter()
        predict, seconds = models[name]
        low, high = dls.target_blocks[0].y_range or (-np.inf, np.inf)  # type: ignore[attr-defined]
        output = torch.from_numpy(np.clip(predict(ratings_of(dls, split)[0]), low, high)).float()
        kept[name, split] = output, seconds + time.perf_counter() - started
    return kept[name, split]


NAMES = {
    "mean": "always the mean",
    "biases": "biases of users and items",
    "neighbours": f"{NEIGHBOURS} nearest items",
    "factors": f"matrix factorisation, {FACTORS} factors",
}


def quick_baselines(learn: CollabLearner) -> pd.DataFrame | None:
    """What ``baselines()`` gives where that takes little time; else None, and a note says how to ask for it."""
    ids = sum(feature.rows for feature in learn.dls.features)
    if learn.dls.train.n <= MOST_RATINGS and ids <= MOST_IDS:
        return baselines(learn)
    note(
        f"With {learn.dls.train.n:,} training ratings and {ids:,} users and items other models are not fitted unasked: learn.baselines() fits biases, "
        "neighbours and a factorisation to the same ratings, to compare with."
    )
    return None


class RatingsNote(BaselineNote):
    """Says after a fit what simpler models score on the same ratings, where there are few enough that it takes seconds."""

    rows = "ratings"

    def others(self, learn: Any, metric: Metric) -> list[tuple[str, float, float]]:
        dls: CollabDataLoaders = learn.dls
        if dls.prepared is None or dls.implicit or dls.train.n > MOST_NOTED or sum(f.rows for f in dls.features) > MOST_IDS:
            return []
        _, target = ratings_of(dls, "valid")
        found = Outcome(torch.zeros(0), torch.from_numpy(target).float(), torch.zeros(0), rows_of(dls.table, "valid"))
        made = {name: answers(dls, name, "valid") for name in NAMES if name != "mean"}  # which the network's own result is told beside
        return [(NAMES[name], value_of(metric, found._replace(output=output)), seconds) for name, (output, seconds) in made.items()]


def _check_prepared(dls: CollabDataLoaders) -> None:
    """Raises DataError where there are no training ratings."""
    if dls.prepared is None:
        raise DataError(
            "There are no training ratings to fit other models to: this learner was loaded from a file. Assign data first: learn.dls = dls."
        )


def ratings_of(dls: CollabDataLoaders, split: str) -> tuple[Pairs, np.ndarray]:
    """The codes ``(ratings, 2)`` and the ratings of a split."""
    _check_prepared(dls)
    assert dls.prepared is not None
    at = torch.from_numpy(rows_of(dls.table, split))
    return dls.prepared.tensors[0][at].long().numpy(), dls.prepared.tensors[1][at].double().numpy()


# -- the models -----------------------------------------------------------------------------------------------------------
def _averaged(x: Pairs, y: np.ndarray) -> tuple[Pairs, np.ndarray]:
    """A row a pair, in the order of their first ones, with the mean of its ratings."""
    key = x[:, 0] * (x[:, 1].max() + 1) + x[:, 1]
    _, first, which, count = np.unique(key, return_index=True, return_inverse=True, return_counts=True)
    order = np.argsort(first)
    return x[first[order]], (np.bincount(which, y) / count)[order]


def _mean(x: Pairs, y: np.ndarray) -> Predict:
    return lambda pairs: np.full(len(pairs), y.mean())


def _fit_biases(x: Pairs, y: np.ndarray, penalty: float = 5.0) -> tuple[float, np.ndarray, np.ndarray]:
    """The mean, and the biases of users and items, drawn to 0 where there are few ratings."""
    mean = float(y.mean())
    n = x.max(0) + 1
    users, items = np.zeros(n[0]), np.zeros(n[1])
    counts = [np.bincount(x[:, k], minlength=n[k]) for k in (0, 1)]
    for _ in range(10):
        items = np.bincount(x[:, 1], y - mean - users[x[:, 0]], n[1]) / (counts[1] + penalty)
        users = np.bincount(x[:, 0], y - mean - items[x[:, 1]], n[0]) / (counts[0] + penalty)
    return mean, users, items


def _at(values: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """`values` at the codes; 0 (or a row of them) for codes that training lacks."""
    inside = codes < len(values)
    out = values[np.where(inside, codes, 0)]
    out[~inside] = 0
    return out


def _biases(x: Pairs, y: np.ndarray) -> Predict:
    mean, users, items = _fit_biases(x, y)
    return lambda pairs: mean + _at(users, pairs[:, 0]) + _at(items, pairs[:, 1])


def _neighbours(x: Pairs, y: np.ndarray) -> Predict:
    """A rating as the bias and what the user thought of the most similar items (cosine of what is left after the biases, drawn to 0
    where few have rated both)."""
    from scipy.sparse import csr_matrix

    x, y = _averaged(x, y)
    mean, users, items = _fit_biases(x, y)
    left = y - mean - users[x[:, 0]] - items[x[:, 1]]
    shape = (len(users), len(items))
    table, there = csr_matrix((left, (x[:, 0], x[:, 1])), shape), csr_matrix((np.ones(len(left)), (x[:, 0], x[:, 1])), shape)
    columns, there_columns = table.tocsc(), there.tocsc()
    length = np.sqrt(np.maximum(np.bincount(x[:, 1], left**2), 1e-12))

    def likeness(some: np.ndarray) -> np.ndarray:
        """Of some items to all ``(some, items)``; 0 to itself."""
        dot, both = (columns[:, some].T @ table).toarray(), (there_columns[:, some].T @ there).toarray()
        like = dot / length[some, None] / length[None, :] * both / (both + 50)
        like[np.arange(len(some)), some] = 0
        return like

    def predict(pairs: Pairs) -> np.ndarray:
        base = mean + _at(users, pairs[:, 0]) + _at(items, pairs[:, 1])
        known = np.flatnonzero((pairs < shape).all(1))
        known = known[np.argsort(pairs[known, 1], kind="stable")]
        asked = np.unique(pairs[known, 1])
        size = max(1, _ALIKE // shape[1])
        for start in range(0, len(asked), size):
            some = asked[start : start + size]
            like = likeness(some)
            first, last = np.searchsorted(pairs[known, 1], (some[0], some[-1] + 1))
            for i in known[first:last]:
                user, item = pairs[i]
                theirs = slice(table.indptr[user], table.indptr[user + 1])
                near = like[np.searchsorted(some, item), table.indices[theirs]]
                best = np.argsort(-np.abs(near))[:NEIGHBOURS]
                weight = np.abs(near[best]).sum()
                if weight > 0:
                    base[i] += near[best] @ table.data[theirs][best] / (weight + 0.5)
        return base

    return predict


def _factors(x: Pairs, y: np.ndarray) -> Predict:
    x, y = _averaged(x, y)
    rng = np.random.default_rng(0)
    held = rng.random(len(y)) < 0.1
    errors: dict[float, float] = {}
    for penalty in PENALTIES if 0 < held.sum() < len(held) else PENALTIES[2:3]:
        predict = _factorised(x[~held], y[~held], penalty)
        errors[penalty] = float(((predict(x[held]) - y[held]) ** 2).sum())
    return _factorised(x, y, min(errors, key=lambda p: errors[p]))


def _factorised(x: Pairs, y: np.ndarray, penalty: float) -> Predict:
    """Biases, and vectors of users and items by alternating least squares on what the biases leave."""
    mean, users, items = _fit_biases(x, y)
    left = y - mean - users[x[:, 0]] - items[x[:, 1]]
    rng = np.random.default_rng(0)
    vectors = [rng.normal(0, 0.1, (len(users), FACTORS)), rng.normal(0, 0.1, (len(items), FACTORS))]
    orders = [np.argsort(x[:, k], kind="stable") for k in (0, 1)]
    for _ in range(ROUNDS):
        for k in (0, 1):
            _solve(vectors[k], vectors[1 - k], x[orders[k], k], x[orders[k], 1 - k], left[orders[k]], penalty)
    return lambda pairs: (
        mean + _at(users, pairs[:, 0]) + _at(items, pairs[:, 1]) + (_at(vectors[0], pairs[:, 0]) * _at(vectors[1], pairs[:, 1])).sum(1)
    )


def _solve(own: np.ndarray, other: np.ndarray, of: np.ndarray, to: np.ndarray, left: np.ndarray, penalty: float) -> None:
    """The best vectors of one side, the other side's fixed. `of` is sorted."""
    starts, width = np.searchsorted(of, np.arange(len(own) + 1)), own.shape[1]
    for first in range(0, len(own), _SOLVED):  # many at once: one at a time takes several times as long
        ends = starts[first : first + _SOLVED + 1]
        squares, products = np.empty((len(ends) - 1, width, width)), np.empty((len(ends) - 1, width, 1))
        for i, (a, b) in enumerate(pairwise(ends)):
            theirs = other[to[a:b]]
            squares[i], products[i, :, 0] = theirs.T @ theirs, theirs.T @ left[a:b]  # zeros where there are none
        own[first : first + _SOLVED] = np.linalg.solve(squares + penalty * np.eye(width), products)[..., 0]
