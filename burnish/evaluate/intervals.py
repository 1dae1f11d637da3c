"""How far a figure from so many samples can be trusted: intervals for proportions, means and any metric.

A proportion (accuracy) gets Wilson's interval (Wilson 1927), a mean (an error, a loss) a bias-corrected and accelerated
bootstrap (BCa, Efron 1987), anything else a percentile bootstrap over samples. Where samples come in groups (patients,
sites), whole groups are resampled: the samples of one group don't count as independent.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from burnish.data.notes import captured_notes, note
from burnish.data.randomness import derive
from burnish.errors import SettingError
from burnish.evaluate.base import MeanMetric
from burnish.evaluate.boxes import MeanAP
from burnish.evaluate.classification import ClassCounts
from burnish.evaluate.custom import OptimMetric
from burnish.evaluate.metrics import resolve_metrics
from burnish.evaluate.ranking import StoredScores
from burnish.evaluate.regression import Moments
from burnish.evaluate.segmentation import MaskMetric, counts_of_masks
from burnish.evaluate.shapes import class_outputs
from burnish.train.metric import AverageMetric, Metric, value_of

Finish = Callable[[float], float]
NOWHERE = (math.nan, math.nan)
MANY = 10_000  # from so many units on, the bootstrap of a mean and the normal interval are the same
CHUNK = 4_000_000  # indices drawn at a time


class Interval(NamedTuple):
    """A metric's value and the interval around it; `method` is "wilson", "bca", "normal", "percentile" or "none"."""

    value: float
    low: float
    high: float
    n: int
    method: str


class Units(NamedTuple):
    """What is resampled: the sum and the number (or weight) of terms of each sample or group, and what makes a metric of a mean."""

    sums: np.ndarray
    counts: np.ndarray
    finish: Finish

    @property
    def yes_or_no(self) -> bool:
        """Whether the metric is a proportion: each sample has one term, 0 or 1."""
        return self.finish is float and len(self.sums) > 0 and bool((self.counts == 1).all() and np.isin(self.sums, (0.0, 1.0)).all())


def wilson(successes: float, n: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a proportion; right also near 0 and 1 and for few samples.

    >>> [round(x, 3) for x in wilson(49, 57)]
    [0.747, 0.927]
    """
    if not 0 <= successes <= n or n < 1:
        raise SettingError(f"wilson: {successes} successes out of {n}; expected 0 to n successes of at least one sample.")
    z, share = _z(level), successes / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return float(max(0.0, min(share, centre - half))), float(min(1.0, max(share, centre + half)))


def bootstrap_mean(
    values: Sequence[float] | np.ndarray, level: float = 0.95, n_boot: int = 2000, seed: int = 0, method: str = "bca"
) -> tuple[float, float]:
    """Bootstrap interval of a mean.

    Args:
        values: one a sample.
        method: "bca" or "percentile".
    """
    values = np.asarray(values, dtype=np.float64)
    return ratio_interval(Units(values, np.ones(len(values)), float), level, n_boot, seed, method)[:2]


def bootstrap(
    statistic: Callable[[np.ndarray], float],
    n: int,
    level: float = 0.95,
    n_boot: int = 1000,
    seed: int = 0,
    groups: Sequence[Any] | None = None,
) -> tuple[float, float]:
    """Percentile interval of any statistic.

    Args:
        statistic: called with indices of resampled samples; one that raises (a class is missing, say) is left out.
        n: number of samples.
        groups: the group of each sample; whole groups are resampled.

    Returns: low and high; nan when less than half of the resamples have a value.
    """
    members = _members(n, groups)
    if len(members) < 2:
        return NOWHERE
    rng, found = _rng(seed), []
    for _ in range(n_boot):
        drawn = rng.integers(len(members), size=len(members))
        try:
            found.append(statistic(drawn if groups is None else np.concatenate([members[i] for i in drawn])))
        except Exception:  # whatever a user's metric raises where a resample has no value
            continue
    return _quantiles(np.array(found), level) if len(found) * 2 >= n_boot else NOWHERE


def interval(
    metric: Any,
    output: Tensor,
    target: Tensor,
    *,
    level: float = 0.95,
    n_boot: int = 1000,
    seed: int = 0,
    groups: Sequence[Any] | None = None,
) -> Interval:
    """A metric over stored outputs with its interval, by the method that fits the metric.

    Args:
        metric: a name, a function or a Metric.
        output: raw outputs of all samples, the samples first.
        target: their targets.
        groups: the group of each sample, when samples are not independent.

    Raises:
        ValueError: the metric can't be computed; the message says why.
    """
    metric = copy.copy(resolve_metrics(metric)[0])
    output, target = output.detach().cpu(), target.detach().cpu()
    value, n = evaluated(metric, output, target), len(target)
    if isinstance(metric, OptimMetric):
        if metric.get_x or math.isnan(value):
            return Interval(value, *NOWHERE, n, "none")
        metric = metric.at_best()  # looking for the best argument again in every resample takes far too long
    if isinstance(metric, MeanAP):
        return Interval(value, *_of_boxes(metric, output, target, level, n_boot, seed, groups), n, "percentile")
    units = _units(metric, output, target, value)
    if units is not None:
        low, high, method = ratio_interval(units, level, n_boot, seed, groups=groups)
        return Interval(value, low, high, n, method)
    if isinstance(metric, ClassCounts) and groups is None and not getattr(metric, "weights", None):
        return Interval(value, *_of_counts(metric, output, target, level, n_boot, seed), n, "percentile")
    if isinstance(metric, MaskMetric):
        codes = None if groups is None else np.unique([str(g) for g in groups], return_inverse=True)[1]
        counts = counts_of_masks(output, target, metric.name)
        return Interval(value, *metric.interval_of(counts, level, n_boot, codes), n, "percentile")
    if isinstance(metric, Moments):
        return Interval(value, *_of_moments(metric, output, target, level, n_boot, seed, groups))
    if isinstance(metric, StoredScores):  # sorting all scores again and again is slow: fewer times when they are many
        n_boot = int(np.clip(2e7 / max(1, output.numel()), min(200, n_boot), n_boot))
    failed: list[Exception] = []

    def resampled(i: np.ndarray) -> float:
        try:
            return evaluated(metric, output[i], target[i])
        except Exception as error:
            failed.append(error)
            raise

    with captured_notes():  # what a metric says of a draw is not so of the samples
        low, high = bootstrap(resampled, n, level, n_boot, seed, groups)
    if failed and low != low:
        note(
            f"The metric {metric.name!r} has no interval: on {len(failed):,} of {n_boot:,} resamples it raised {type(failed[-1]).__name__}: {failed[-1]}"
        )
    return Interval(value, low, high, n, "percentile")


def evaluated(metric: Metric, output: Tensor, target: Tensor) -> float:
    """A metric over given outputs, computed afresh."""
    metric.reset()
    metric.update(output, target)
    return value_of(metric)


def ratio_interval(
    units: Units, level: float = 0.95, n_boot: int = 2000, seed: int = 0, method: str = "bca", groups: Sequence[Any] | None = None
) -> tuple[float, float, str]:
    """Interval of ``finish(sum of sums / sum of counts)``: Wilson's for a proportion, else a bootstrap; nan where all units
    are alike, from which nothing can be resampled. The third value is the method used.

    A proportion that is the same in every group (all right, say) gets Wilson's interval with the groups as its samples.
    """
    proportion = units.yes_or_no
    sums, counts, finish = units = grouped(units, groups)
    m, total = len(sums), counts.sum()
    alike = m > 0 and total > 0 and np.ptp(sums / np.where(counts > 0, counts, 1)) == 0
    if proportion and (groups is None or alike):
        return *wilson(sums.sum() / total * m, m, level), "wilson"
    if m < 2 or alike or not total or not np.isfinite(sums).all():
        return *NOWHERE, method
    if m > MANY:
        half = _z(level) * math.sqrt(float(((sums - sums.sum() / total * counts) ** 2).sum())) / total
        return finish(max(sums.sum() / total - half, min(0.0, sums.sum()))), finish(sums.sum() / total + half), "normal"
    means = _resampled_means(sums, counts, n_boot, seed)
    tails = _bca_tails(means, sums, counts, level) if method == "bca" else None
    low, high = np.quantile(means, tails) if tails is not None else _quantiles(means, level)
    return finish(float(low)), finish(float(high)), method


def _resampled_means(sums: np.ndarray, counts: np.ndarray, n_boot: int, seed: int) -> np.ndarray:
    rng, m = _rng(seed), len(sums)
    rows = max(1, CHUNK // m)
    parts = []
    for first in range(0, n_boot, rows):
        drawn = rng.integers(m, size=(min(rows, n_boot - first), m))
        weight = counts[drawn].sum(1)
        parts.append(sums[drawn].sum(1) / np.where(weight > 0, weight, 1))
    return np.concatenate(parts)


def _bca_tails(means: np.ndarray, sums: np.ndarray, counts: np.ndarray, level: float) -> list[float] | None:
    """The quantiles that BCa takes instead of the plain tails, or None where it isn't defined (no spread)."""
    value = sums.sum() / counts.sum()
    below = ((means < value).mean() + (means <= value).mean()) / 2
    left_out = (sums.sum() - sums) / np.maximum(counts.sum() - counts, 1e-12)
    off = left_out.mean() - left_out
    spread = float((off**2).sum())
    if not 0 < below < 1 or spread <= 0:
        return None
    skew = float((off**3).sum()) / (6 * spread**1.5)
    normal = NormalDist()
    bias, z = normal.inv_cdf(float(below)), _z(level)
    return [normal.cdf(bias + (bias + s) / (1 - skew * (bias + s))) for s in (-z, z)]


def _units(metric: Metric, output: Tensor, target: Tensor, value: float) -> Units | None:
    """The terms of each sample for a metric that is a mean of them; None for others."""
    if isinstance(metric, AverageMetric):
        pairs, finish = _one_by_one(lambda o, t: (metric.value(o, t), 1), output, target), float
    elif isinstance(metric, MeanMetric):
        finish = float if type(metric).finish is MeanMetric.finish else metric.finish
        pairs = _one_by_one(metric.terms, output, target)
    else:
        return None
    if pairs is None:
        return None
    sums, counts = pairs
    again = finish(float(sums.sum() / counts.sum())) if counts.sum() else math.nan
    return Units(sums, counts, finish) if math.isclose(again, value, rel_tol=1e-4, abs_tol=1e-6) else None


def _one_by_one(terms: Callable[[Tensor, Tensor], tuple[Any, Any]], output: Tensor, target: Tensor) -> tuple[np.ndarray, np.ndarray] | None:
    """The terms of every sample alone: at once through vmap where the function allows it, else in a loop."""

    def alone(o: Tensor, t: Tensor) -> Tensor:
        total, count = terms(o[None], t[None])
        return torch.stack([torch.as_tensor(total).double(), torch.as_tensor(count).double()])

    try:
        found = torch.func.vmap(alone)(output, target)
    except ValueError:
        return None
    except Exception:  # reads values, or calls something that isn't torch
        try:
            found = torch.stack([alone(o, t) for o, t in zip(output, target, strict=True)])
        except Exception:  # one sample alone has no value: whatever a user's metric then raises
            return None
    sums, counts = found.numpy().T
    return sums, counts


def grouped(units: Units, groups: Sequence[Any] | None) -> Units:
    """Units by group instead of by sample; as they are without groups."""
    if groups is None:
        return units
    _, code = np.unique(np.asarray([str(g) for g in groups]), return_inverse=True)
    return Units(np.bincount(code, units.sums), np.bincount(code, units.counts), units.finish)


def _of_boxes(
    metric: MeanAP, output: Tensor, target: Tensor, level: float, n_boot: int, seed: int, groups: Sequence[Any] | None
) -> tuple[float, float]:
    """Resampling pictures is weighing them."""
    members, rng = _members(len(target), groups), _rng(seed)
    if len(members) < 2:
        return NOWHERE
    n_boot = int(np.clip(2e6 / len(target), min(200, n_boot), n_boot))  # sorting out many boxes again and again is slow
    code = np.empty(len(target), dtype=np.int64)
    for i, rows in enumerate(members):
        code[rows] = i
    drawn = rng.integers(len(members), size=(n_boot, len(members)))
    weights = np.stack([np.bincount(row, minlength=len(members))[code] for row in drawn]).astype(float)
    return _quantiles(metric.resamples(output, target, weights), level)


def _of_counts(metric: ClassCounts, output: Tensor, target: Tensor, level: float, n_boot: int, seed: int) -> tuple[float, float]:
    """Resampling samples is drawing the cells of the confusion matrix from a multinomial: all resamples at once."""
    flat, actual = class_outputs(output, target, metric.axis, metric.name)
    classes, cells = flat.shape[1], torch.stack([actual, flat.argmax(-1)])
    if len(actual) < 2:
        return NOWHERE
    (there, decided), n = torch.unique(cells, dim=1, return_counts=True)
    found = []
    rng = _rng(seed)
    rows = max(1, CHUNK // (3 * classes))
    for first in range(0, n_boot, rows):
        drawn = torch.from_numpy(rng.multinomial(len(actual), (n / n.sum()).double().numpy(), size=min(rows, n_boot - first))).double()
        counts = torch.zeros(len(drawn), 3, classes, dtype=torch.float64)
        counts[:, 0].index_add_(1, there, drawn * (there == decided))
        counts[:, 1].index_add_(1, there, drawn)
        counts[:, 2].index_add_(1, decided, drawn)
        found.append(metric.score(counts)[[_defined(metric, c) for c in counts]])
    return _quantiles(torch.cat(found).numpy(), level)


def _of_moments(
    metric: Moments, output: Tensor, target: Tensor, level: float, n_boot: int, seed: int, groups: Sequence[Any] | None
) -> tuple[float, float, int, str]:
    """A metric of means and covariances follows from the means of values and of their products: resampling samples is weighing
    these. Of many samples, its slope there tells how it moves with each (the delta method)."""
    values = metric.values(output, target).double().cpu()
    centre = values.mean(1)
    off = values - centre[:, None]
    terms = torch.cat([off, (off[..., None] * off[..., None, :]).flatten(2)], 2).transpose(0, 1)  # (samples, outputs, 12)
    n, outputs = len(terms), len(centre)
    sums, counts = terms.flatten(1), torch.ones(n, dtype=torch.float64)
    if groups is not None:
        code = torch.from_numpy(np.unique(np.asarray([str(g) for g in groups]), return_inverse=True)[1].reshape(-1))
        m = int(code.max()) + 1
        sums, counts = torch.zeros(m, sums.shape[1]).double().index_add_(0, code, sums), torch.bincount(code, minlength=m).double()

    def score(means: Tensor) -> Tensor:
        """Means of the terms ``(..., outputs * 12)`` to the metric's values ``(...)``."""
        mean, product = means.reshape(-1, 12).split([3, 9], 1)
        spread = (product.reshape(-1, 3, 3) - mean[:, :, None] * mean[:, None, :]) * n
        each = metric.value(n, mean + centre.repeat(len(mean) // outputs, 1), spread)
        return each.reshape((*means.shape[:-1], outputs)).mean(-1)

    m, total = len(sums), counts.sum()
    if m < 2:
        return *NOWHERE, n, "percentile"
    if m > MANY:
        means = (sums.sum(0) / total).requires_grad_()
        with torch.enable_grad():
            at = score(means)
            (slope,) = torch.autograd.grad(at, means)
        half = _z(level) * float(((sums - counts[:, None] * means.detach()) @ slope).square().sum().sqrt() / total)
        return at.item() - half, at.item() + half, n, "normal"
    rng, drawn = _rng(seed), []
    for _ in range(n_boot):
        weight = torch.from_numpy(np.bincount(rng.integers(m, size=m), minlength=m)).double()
        drawn.append(weight @ sums / (weight @ counts))
    found = _scored(score, drawn)
    return *(_quantiles(found, level) if len(found) * 2 >= n_boot else NOWHERE), n, "percentile"


def _scored(score: Callable[[Tensor], Tensor], means: list[Tensor]) -> np.ndarray:
    """The values of resampled means, of those that have one."""
    try:
        return score(torch.stack(means)).numpy()
    except ValueError:  # one has no variation
        if len(means) == 1:
            return np.zeros(0)
        return np.concatenate([_scored(score, [mean]) for mean in means])


def _defined(metric: ClassCounts, counts: Tensor) -> bool:
    try:
        metric.check(counts)
    except ValueError:
        return False
    return True


def _members(n: int, groups: Sequence[Any] | None) -> list[np.ndarray]:
    if groups is None:
        return [np.array([i]) for i in range(n)]
    if len(groups) != n:
        raise SettingError(f"groups: {len(groups)} given for {n} samples; expected one a sample.")
    code = np.unique(np.asarray([str(g) for g in groups]), return_inverse=True)[1]
    return [np.flatnonzero(code == i) for i in range(code.max() + 1)]


def _quantiles(values: np.ndarray, level: float) -> tuple[float, float]:
    _z(level)
    values = values[np.isfinite(values)]
    if not len(values) or values.min() == values.max():
        return NOWHERE  # resamples that never differ (a perfect score) don't show that the value is certain
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _z(level: float) -> float:
    if not 0 < level < 1:
        raise SettingError(f"level={level!r}; expected a share between 0 and 1, e.g. 0.95.")
    return NormalDist().inv_cdf((1 + level) / 2)


def _rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(derive(seed, "bootstrap"))
