"""Intervals: published values, coverage, agreement with scipy, and what they do with few samples or groups."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import torch
from box_samples import box_sample
from scipy import stats

from burnish.data.notes import captured_notes
from burnish.errors import SettingError
from burnish.evaluate.boxes import MeanAP
from burnish.evaluate.intervals import bootstrap, bootstrap_mean, evaluated, interval, wilson
from burnish.evaluate.metrics import (
    BOXES,
    MASKS,
    METRICS,
    MULTI_LABEL,
    NUMBERS,
    POINTS,
    AccumMetric,
    APScoreMulti,
    F1Score,
    RocAuc,
    accuracy,
    accuracy_multi,
    metric_by_name,
    optim_metric,
    resolve_metrics,
)


def sample(name: str, n: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(1)
    if name in MULTI_LABEL:
        targets = (torch.rand(n, 4, generator=g) < 0.5).float()
        return torch.randn(n, 4, generator=g) + targets, targets
    if name in NUMBERS:
        targets = torch.rand(n, generator=g)
        return targets + 0.3 * torch.rand(n, generator=g), targets
    if name in POINTS:
        targets = torch.rand(n, 3, 2, generator=g) * 2 - 1
        return targets + 0.1 * torch.randn(n, 3, 2, generator=g), targets
    if name in BOXES:
        return box_sample(g, n)
    classes = 2 if name in ("roc_auc_binary", "average_precision", "dice", "jaccard_coeff") else 7
    if name in MASKS:
        targets = torch.randint(0, classes, (n, 4, 5), generator=g)
        return torch.randn(n, classes, 4, 5, generator=g) + torch.nn.functional.one_hot(targets, classes).permute(0, 3, 1, 2), targets
    targets = torch.arange(n) % classes
    return torch.randn(n, classes, generator=g) + torch.nn.functional.one_hot(targets, classes), targets


def metric_value(name: str, output: torch.Tensor, target: torch.Tensor) -> float:
    metric = metric_by_name(name)
    metric.update(output, target)
    return metric.compute()


@pytest.mark.parametrize(("k", "n"), [(0, 10), (10, 10), (49, 57), (1, 3), (500, 1000)])
def test_wilson_is_scipys(k: int, n: int) -> None:
    low, high = stats.binomtest(k, n).proportion_ci(method="wilson")
    assert wilson(k, n) == pytest.approx((low, high), abs=1e-9)


def test_wilson_refuses_the_impossible() -> None:
    with pytest.raises(SettingError, match="11 successes out of 10"):
        wilson(11, 10)
    with pytest.raises(SettingError, match="level=95; expected a share between 0 and 1"):
        wilson(1, 10, level=95)


@pytest.mark.parametrize("method", ["bca", "percentile"])
def test_the_bootstrap_of_a_mean_is_scipys(method: str) -> None:
    values = np.random.default_rng(0).lognormal(size=60)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=4000, method=method, rng=np.random.default_rng(1)).confidence_interval
    assert bootstrap_mean(values, n_boot=4000, method=method) == pytest.approx(tuple(theirs), rel=0.05)


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_has_an_interval_around_its_value_that_repeats_itself(name: str) -> None:
    output, target = sample(name)
    found = interval(name, output, target, n_boot=100)
    assert found.low < found.value < found.high and found.n == 40
    assert found.value == pytest.approx(metric_value(name, output, target))
    assert interval(name, output, target, n_boot=100) == found
    assert (
        found.high - found.low
        > interval(name, output, target, n_boot=100, level=0.5).high - interval(name, output, target, n_boot=100, level=0.5).low
    )


def test_the_method_fits_the_metric() -> None:
    output, target = sample("accuracy")
    assert interval(accuracy, output, target)[1:3] == pytest.approx(wilson(round(accuracy(output, target).item() * 40), 40))
    methods = {
        name: interval(name, *sample(name), n_boot=50).method for name in ("accuracy", "hamming_loss", "mae", "rmse", "f1_score", "roc_auc")
    }
    assert methods == {
        "accuracy": "wilson",
        "hamming_loss": "wilson",
        "mae": "bca",
        "rmse": "bca",
        "f1_score": "percentile",
        "roc_auc": "percentile",
    }


def test_resampled_counts_are_what_resampled_samples_give() -> None:
    output, target = sample("f1_score", n=60)
    metric = F1Score(average="macro")
    slow = bootstrap(lambda i: metric(output[i], target[i]), 60, n_boot=1500)
    assert interval(F1Score(), output, target, n_boot=3000)[1:3] == pytest.approx(slow, abs=0.025)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng, inside = np.random.default_rng(3), 0
    for i in range(300):
        low, high = bootstrap_mean(rng.exponential(size=40), n_boot=400, seed=i)
        inside += low <= 1 <= high
    assert 0.88 <= inside / 300 <= 0.98


def test_samples_of_one_group_are_not_independent() -> None:
    """Ten patients with twelve pictures each, all right or all wrong: the interval must be that of ten, not of 120."""
    right = np.repeat([1, 1, 1, 1, 1, 1, 1, 0, 0, 0], 12)
    target = torch.zeros(120, dtype=torch.int64)
    output = torch.stack([torch.from_numpy(right), 1 - torch.from_numpy(right)], 1).float()
    groups = np.repeat([f"patient {i}" for i in range(10)], 12).tolist()
    alone, together = interval(accuracy, output, target), interval(accuracy, output, target, groups=groups)
    assert together.high - together.low > 2 * (alone.high - alone.low)
    assert interval(F1Score(average="micro"), output, target, n_boot=200, groups=groups).low < 0.5
    with pytest.raises(SettingError, match="groups: 3 given for 120 samples"):
        interval(F1Score(average="micro"), output, target, groups=[1, 2, 3])


@pytest.mark.parametrize("right", [0, 1])
def test_groups_that_are_all_alike_have_the_interval_of_so_many_samples(right: int) -> None:
    target = torch.zeros(60, dtype=torch.int64)
    output = torch.tensor([[1.0, 0.0]] * 60 if right else [[0.0, 1.0]] * 60)
    found = interval(accuracy, output, target, groups=[i % 12 for i in range(60)])
    assert found.value == right and found[1:3] == pytest.approx(wilson(12 * right, 12)) and found.method == "wilson"
    number = interval("mae", torch.ones(60), torch.zeros(60), groups=[i % 12 for i in range(60)])
    assert number.value == 1 and found.n == 60


def test_few_samples() -> None:
    assert all(map(math.isnan, bootstrap_mean([3.0])))
    assert all(map(math.isnan, bootstrap_mean([2.0, 2.0, 2.0])))  # three alike don't make it certain
    one = interval(accuracy, torch.tensor([[2.0, 1.0]]), torch.tensor([0]))
    assert one.value == 1 and one.low == pytest.approx(wilson(1, 1)[0])


@pytest.mark.parametrize("name", ["r2_score", "explained_variance", "pearson"])
@pytest.mark.parametrize("grouped", [False, True])
def test_metrics_of_means_and_covariances_have_the_interval_of_resampled_samples(name: str, grouped: bool) -> None:
    rng = torch.Generator().manual_seed(1)
    target = torch.randn(400, 2, generator=rng) * 3 + 1950
    output = target + torch.randn(400, 2, generator=rng)
    groups = np.random.default_rng(0).integers(0, 40, 400) if grouped else None
    found = interval(name, output, target, groups=groups)
    metric = resolve_metrics(name)[0]
    expected = bootstrap(lambda i: evaluated(metric, output[i], target[i]), 400, groups=groups)
    assert (found.low, found.high) == pytest.approx(expected, abs=1e-9) and found.method == "percentile"


@pytest.mark.parametrize("name", ["r2_score", "explained_variance", "pearson"])
def test_metrics_of_means_and_covariances_of_many_samples_agree_with_the_bootstrap(name: str) -> None:
    rng = torch.Generator().manual_seed(1)
    target = torch.randn(10_001, generator=rng)
    output = target + torch.randn(10_001, generator=rng) / 2
    found, metric = interval(name, output, target), resolve_metrics(name)[0]
    low, high = bootstrap(lambda i: evaluated(metric, output[i], target[i]), 10_001, n_boot=400)
    assert found.method == "normal"
    assert (found.low, found.high) == pytest.approx((low, high), abs=(high - low) / 8)


def test_many_samples_are_quick_and_agree_with_the_bootstrap() -> None:
    values = np.random.default_rng(0).exponential(size=10_001)
    low, high = bootstrap_mean(values)
    assert (high - low) == pytest.approx(2 * 1.96 * values.std() / 100, rel=0.02)


def test_functions_that_are_no_mean_of_samples_or_read_values_are_resampled() -> None:
    output, target = sample("mae")
    largest = AccumMetric(lambda o, t: (o - t).abs().max(), name="largest")
    found = interval(largest, output, target, n_boot=50)
    assert found.value == pytest.approx((output - target).abs().max().item()) and found.method == "percentile"
    by_hand = interval(lambda o, t: float((o - t).abs().mean().item()), output, target, n_boot=50)
    assert by_hand[1:3] == pytest.approx(interval("mae", output, target, n_boot=50)[1:3], rel=0.2) and by_hand.method == "bca"
    root = interval(lambda o, t: ((o - t) ** 2).mean().sqrt(), output, target, n_boot=50)  # no mean over samples
    assert root.method == "percentile" and root.value == pytest.approx(interval("rmse", output, target).value)


def test_the_interval_of_a_tuned_metric_is_at_the_argument_that_was_found() -> None:
    output, target = sample("accuracy_multi")
    tuned = optim_metric(accuracy_multi, "thresh", (0, 1))
    value = tuned(output, target)
    found = interval(tuned, output, target, n_boot=50)
    at_it = AccumMetric(partial(accuracy_multi, thresh=tuned.x), flatten=False, name="at it")
    assert found.value == value and found.low < value < found.high and found == interval(at_it, output, target, n_boot=50)
    where = interval(optim_metric(accuracy_multi, "thresh", (0, 1), get_x=True), output, target)
    assert where.value == tuned.x and math.isnan(where.low) and where.method == "none"


def test_a_metric_without_a_value_says_why_and_resamples_without_one_are_left_out() -> None:
    output, target = sample("roc_auc")
    with pytest.raises(ValueError, match="no sample of class"):
        interval(RocAuc(), output, target * 0)
    target = target.clone()
    target[target == 6] = 3
    target[0] = 6  # a class with one sample: a third of the resamples miss it
    found = interval(RocAuc(), output, target, n_boot=100)
    assert found.low < found.value


def test_what_a_metric_leaves_out_is_said_of_the_samples_and_of_no_resample() -> None:
    generator = torch.Generator().manual_seed(0)
    output, target = torch.randn(30, 4, generator=generator), torch.randint(0, 2, (30, 4), generator=generator)
    target[:, 1], target[:, 2] = 0, 0
    target[:2, 2] = 1  # which one resample in eight misses
    with captured_notes() as notes:
        found = interval(APScoreMulti(), output, target, n_boot=100)
    assert notes == ["average_precision_multi leaves out number 1, which all or none of these samples have: there is nothing to rank."]
    assert found.low < found.value < found.high


def test_the_users_random_state_is_left_alone() -> None:
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    interval("f1_score", *sample("f1_score"), n_boot=20)
    interval("mae", *sample("mae"), n_boot=20)
    assert torch.equal(before[0], torch.get_rng_state()) and (before[1] == np.random.get_state()[1]).all()


def test_resampled_boxes_are_what_resampled_pictures_give() -> None:
    """Weights of pictures, beside torchmetrics on pictures that are there several times."""
    output, target = sample("mean_ap")
    for at in (None, 0.5):
        metric = MeanAP(at)
        drawn = np.random.default_rng(0).integers(40, size=(3, 40))
        weights = np.stack([np.bincount(rows, minlength=40) for rows in drawn]).astype(float)
        theirs = [metric(output[rows], target[rows]) for rows in drawn]
        assert metric.resamples(output, target, weights) == pytest.approx(theirs, abs=1.5e-3), (
            "copies of a box count in one step, not one by one"
        )
        assert metric.resamples(output, target, np.ones((1, 40)))[0] == pytest.approx(metric(output, target), abs=1e-6)
