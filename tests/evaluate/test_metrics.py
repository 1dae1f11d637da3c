"""Metrics against scikit-learn's, in batches of any size, and their refusals."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import sklearn.metrics as skm
import torch
from box_samples import box_sample
from scipy import stats

from burnish.data.multicategory import MultiCategoryBlock
from burnish.data.notes import captured_notes
from burnish.errors import SettingError
from burnish.evaluate.boxes import detections
from burnish.evaluate.metrics import (
    BOXES,
    MASKS,
    METRICS,
    MULTI_LABEL,
    NUMBERS,
    POINTS,
    RMSE,
    AccumMetric,
    BalancedAccuracy,
    CohenKappa,
    F1Score,
    F1ScoreMulti,
    FBeta,
    FBetaMulti,
    Jaccard,
    JaccardMulti,
    LossMetric,
    MatthewsCorrCoefMulti,
    PearsonCorrCoef,
    Perplexity,
    Precision,
    PrecisionMulti,
    R2Score,
    Recall,
    RecallMulti,
    RocAuc,
    RocAucBinary,
    RocAucMulti,
    accuracy,
    accuracy_multi,
    mae,
    metric_by_name,
    optim_metric,
    resolve_metrics,
    rmse,
    skm_to_burnish,
    top_k_accuracy,
)
from burnish.train.metric import AverageMetric, Metric, as_metric

N = 90


def sample(kind: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Imperfect outputs and targets of a kind, with ties among the outputs."""
    g = torch.Generator().manual_seed(3)
    if kind in ("two", "six"):
        classes = 2 if kind == "two" else 6
        targets = torch.cat([torch.arange(classes), torch.randint(classes, (N - classes,), generator=g)])
        outputs = torch.randn(N, classes, generator=g) + 1.2 * torch.nn.functional.one_hot(targets, classes)
        return (outputs * 4).round() / 4, targets
    if kind in ("masks", "masks of two"):
        classes = 4 if kind == "masks" else 2
        targets = torch.randint(0, classes, (24, 6, 5), generator=g)
        outputs = torch.randn(24, classes, 6, 5, generator=g) + 1.2 * torch.nn.functional.one_hot(targets, classes).permute(0, 3, 1, 2)
        targets[:, 0] = -100  # which doesn't count
        return (outputs * 4).round() / 4, targets
    if kind == "points":
        targets = torch.rand(N, 3, 2, generator=g) * 2.2 - 1.1  # some outside, which don't count
        targets[::5, 0] = torch.nan
        return targets.nan_to_num() + 0.1 * torch.randn(N, 3, 2, generator=g), targets
    if kind == "boxes":
        return box_sample(g, N)
    if kind == "multi":
        targets = (torch.rand(N, 5, generator=g) < 0.4).float()
        return ((torch.randn(N, 5, generator=g) + targets) * 4).round() / 4, targets
    targets = torch.rand(N, generator=g) * 3 + 0.1
    return ((targets + 0.4 * torch.randn(N, generator=g)).clamp(min=0) * 8).round() / 8, targets


def fed(metric: Metric, outputs: torch.Tensor, targets: torch.Tensor, bs: int) -> float:
    metric.reset()
    for i in range(0, len(outputs), bs):
        metric.update(outputs[i : i + bs], targets[i : i + bs])
    return metric.compute()


def kind_of(name: str) -> str:
    if name in MULTI_LABEL:
        return "multi"
    if name in NUMBERS:
        return "numbers"
    if name in POINTS:
        return "points"
    if name in BOXES:
        return "boxes"
    if name in MASKS:
        return "masks of two" if name in ("dice", "jaccard_coeff") else "masks"
    return "two" if name in ("roc_auc_binary", "average_precision") else "six"


def average_precisions(y: np.ndarray, s: np.ndarray, at: list[float]) -> float:
    """COCO's mean average precision, written out: greedy matching by score, precision at 101 steps of recall."""
    found = []
    for label in range(3):
        n = (y[..., 4] == label).sum()
        for least in at:
            hits = []
            for boxes, told in zip(y, s, strict=True):
                free = [box[:4] for box in boxes if box[4] == label]
                for one in sorted((d for d in told if d[4] == label), key=lambda d: -d[5]):
                    overlaps = [overlap(one[:4], box) for box in free]
                    best = int(np.argmax(overlaps)) if free else -1
                    hits.append((one[5], bool(free) and overlaps[best] >= least))
                    if hits[-1][1]:
                        free.pop(best)
            right = np.array([h for _, h in sorted(hits, key=lambda h: -h[0])])
            precision = np.maximum.accumulate((right.cumsum() / np.arange(1, len(right) + 1))[::-1])[::-1]
            places = np.searchsorted(right.cumsum() / n, np.linspace(0, 1, 101), side="left")
            found.append(np.mean([precision[p] if p < len(precision) else 0.0 for p in places]))
    return float(np.mean(found))


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    inner = np.prod(np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None))
    return inner / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - inner)


def probabilities(outputs: torch.Tensor) -> np.ndarray:
    return outputs.double().softmax(1).numpy()


def macro_matthews(y: np.ndarray, p: np.ndarray) -> float:
    return float(np.mean([skm.matthews_corrcoef(y[:, i], p[:, i]) for i in range(y.shape[1])]))


# name -> function of (targets, decided, scores), scikit-learn's or scipy's
ORACLE = {
    "accuracy": lambda y, d, s: skm.accuracy_score(y, d),
    "error_rate": lambda y, d, s: 1 - skm.accuracy_score(y, d),
    "top_k_accuracy": lambda y, d, s: skm.top_k_accuracy_score(y, s, k=5),
    "f1_score": lambda y, d, s: skm.f1_score(y, d, average="macro"),
    "fbeta": lambda y, d, s: skm.fbeta_score(y, d, beta=2, average="macro"),
    "precision": lambda y, d, s: skm.precision_score(y, d, average="macro"),
    "recall": lambda y, d, s: skm.recall_score(y, d, average="macro"),
    "jaccard": lambda y, d, s: skm.jaccard_score(y, d, average="macro"),
    "balanced_accuracy": lambda y, d, s: skm.balanced_accuracy_score(y, d),
    "cohen_kappa": lambda y, d, s: skm.cohen_kappa_score(y, d),
    "matthews_corrcoef": lambda y, d, s: skm.matthews_corrcoef(y, d),
    "hamming_loss": lambda y, d, s: skm.hamming_loss(y, d),
    "brier_score": lambda y, d, s: ((s - np.eye(s.shape[1])[y]) ** 2).sum(1).mean(),
    "roc_auc": lambda y, d, s: skm.roc_auc_score(y, s, multi_class="ovr"),
    "roc_auc_binary": lambda y, d, s: skm.roc_auc_score(y, s[:, 1]),
    "average_precision": lambda y, d, s: skm.average_precision_score(y, s[:, 1]),
    "perplexity": lambda y, d, s: np.exp(skm.log_loss(y, s)),
    "accuracy_multi": lambda y, d, s: (y == d).mean(),
    "f1_score_multi": lambda y, d, s: skm.f1_score(y, d, average="macro"),
    "fbeta_multi": lambda y, d, s: skm.fbeta_score(y, d, beta=2, average="macro"),
    "precision_multi": lambda y, d, s: skm.precision_score(y, d, average="macro"),
    "recall_multi": lambda y, d, s: skm.recall_score(y, d, average="macro"),
    "jaccard_multi": lambda y, d, s: skm.jaccard_score(y, d, average="macro"),
    "hamming_loss_multi": lambda y, d, s: skm.hamming_loss(y, d),
    "matthews_corrcoef_multi": lambda y, d, s: macro_matthews(y, d),
    "brier_score_multi": lambda y, d, s: ((s - y) ** 2).mean(),
    "roc_auc_multi": lambda y, d, s: skm.roc_auc_score(y, s, average="macro"),
    "average_precision_multi": lambda y, d, s: skm.average_precision_score(y, s, average="macro"),
    "mse": lambda y, d, s: skm.mean_squared_error(y, s),
    "mae": lambda y, d, s: skm.mean_absolute_error(y, s),
    "msle": lambda y, d, s: skm.mean_squared_log_error(y, s),
    "rmse": lambda y, d, s: skm.root_mean_squared_error(y, s),
    "exp_rmspe": lambda y, d, s: np.sqrt((((np.exp(y) - np.exp(s)) / np.exp(y)) ** 2).mean()),
    "r2_score": lambda y, d, s: skm.r2_score(y, s),
    "explained_variance": lambda y, d, s: skm.explained_variance_score(y, s),
    "pearson": lambda y, d, s: stats.pearsonr(y, s).statistic,
    "spearman": lambda y, d, s: stats.spearmanr(y, s).statistic,
    "pixel_accuracy": lambda y, d, s: skm.accuracy_score(y, d),
    "foreground_acc": lambda y, d, s: skm.accuracy_score(y[y > 0], d[y > 0]),
    "mean_iou": lambda y, d, s: skm.jaccard_score(y, d, average="macro"),
    "dice_multi": lambda y, d, s: skm.f1_score(y, d, average="macro"),
    "dice": lambda y, d, s: skm.f1_score(y, d),
    "jaccard_coeff": lambda y, d, s: skm.jaccard_score(y, d),
    "point_distance": lambda y, d, s: skm.pairwise.paired_distances(y, s).mean() / 2,
    "mean_ap": lambda y, d, s: average_precisions(y, s, [0.5 + 0.05 * i for i in range(10)]),
    "map_50": lambda y, d, s: average_precisions(y, s, [0.5]),
    "pck": lambda y, d, s: (skm.pairwise.paired_distances(y, s) <= 0.1).mean(),
}


def expected(name: str, outputs: torch.Tensor, targets: torch.Tensor) -> float:
    kind = kind_of(name)
    if kind == "numbers":
        return float(ORACLE[name](targets.double().numpy(), None, outputs.double().numpy()))
    if kind == "multi":
        scores = outputs.double().sigmoid().numpy()
        return float(ORACLE[name](targets.int().numpy(), (scores > 0.5).astype(int), scores))
    if kind == "points":
        known = (targets.abs() <= 1).all(-1)
        return float(ORACLE[name](targets[known].double().numpy(), None, outputs[known].double().numpy()))
    if kind == "boxes":
        return float(ORACLE[name](targets.double().numpy(), None, detections(outputs).double().numpy()))
    if kind.startswith("masks"):
        known = targets >= 0
        return float(ORACLE[name](targets[known].numpy(), outputs.argmax(1)[known].numpy(), None))
    return float(ORACLE[name](targets.numpy(), outputs.argmax(1).numpy(), probabilities(outputs)))


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("bs", [7, N])
def test_every_metric_agrees_with_the_oracle_whatever_the_batch_size(name: str, bs: int) -> None:
    outputs, targets = sample(kind_of(name))
    assert fed(metric_by_name(name), outputs, targets, bs) == pytest.approx(expected(name, outputs, targets), abs=2e-6)


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_starts_afresh_after_reset_is_nan_when_empty_and_says_what_is_better(name: str) -> None:
    metric, (outputs, targets) = metric_by_name(name), sample(kind_of(name))
    once = fed(metric, outputs, targets, 16)
    assert fed(metric, outputs, targets, 16) == once
    metric.reset()
    assert np.isnan(metric.compute())
    assert metric.better in ("higher", "lower") and isinstance(metric.name, str)


@pytest.mark.parametrize("name", METRICS)
def test_better_points_the_right_way(name: str) -> None:
    """Perfect outputs must be better than the imperfect ones, in the stated direction."""
    outputs, targets = sample(kind_of(name))
    if kind_of(name) in ("numbers", "points"):
        perfect = targets.nan_to_num()
    elif kind_of(name) == "multi":
        perfect = targets * 20 - 10
    elif kind_of(name) == "boxes":
        sure = torch.cat(
            [torch.tensor([9.0, 0.0, 0.0, 0.1, 0.1]).expand(N, 2, 5), 20.0 * (targets[..., 4:] == torch.arange(3)) - 10], dim=-1
        )
        perfect = torch.cat([targets[..., :4], sure], dim=-1)
    elif kind_of(name).startswith("masks"):
        perfect = 20.0 * torch.nn.functional.one_hot(targets.clamp(min=0), outputs.shape[1]).permute(0, 3, 1, 2)
    else:
        perfect = 20.0 * torch.nn.functional.one_hot(targets, outputs.shape[1])
    metric = metric_by_name(name)
    gain = fed(metric, perfect, targets, 16) - fed(metric, outputs, targets, 16)
    if name == "top_k_accuracy":  # k=5 of 6 can be full marks already
        assert gain >= 0
    else:
        assert gain > 0 if metric.better == "higher" else gain < 0


@pytest.mark.parametrize("name", METRICS)
def test_no_metric_reads_the_device_or_keeps_the_graph_in_update(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    outputs, targets = sample(kind_of(name))
    metric = metric_by_name(name)
    metric.reset()

    def read(*args: object) -> None:
        raise AssertionError("update read a value back from the device")

    with monkeypatch.context() as patch:
        for reader in ("item", "tolist", "cpu", "numpy", "__bool__", "__float__", "__int__", "nonzero", "__index__"):
            patch.setattr(torch.Tensor, reader, read)
        metric.update(outputs.requires_grad_(), targets)
        metric.update(outputs, targets)
    held = [t for v in vars(metric).values() for t in (v if isinstance(v, list) else [v]) if isinstance(t, torch.Tensor)]
    assert held and not any(t.requires_grad for t in held)
    assert metric.compute() == pytest.approx(expected(name, outputs.detach(), targets), abs=2e-6)


@pytest.mark.parametrize("name", METRICS)
def test_half_precision_outputs_are_fine(name: str) -> None:
    outputs, targets = sample(kind_of(name))
    assert fed(metric_by_name(name), outputs.bfloat16(), targets, 16) == pytest.approx(expected(name, outputs, targets), rel=0.05, abs=0.02)


@pytest.mark.parametrize("average", ["macro", "micro", "weighted"])
@pytest.mark.parametrize(
    ("cls", "oracle"),
    [
        (F1Score, skm.f1_score),
        (Precision, skm.precision_score),
        (Recall, skm.recall_score),
        (Jaccard, skm.jaccard_score),
        (partial(FBeta, 0.5), partial(skm.fbeta_score, beta=0.5)),
    ],
)
def test_averages_of_one_label_per_sample(cls: type[Metric], oracle, average: str) -> None:
    outputs, targets = sample("six")
    outputs = torch.cat([outputs, outputs[:, :1] - 9], 1)  # a seventh class that is nowhere must not count
    metric = cls(average=average)
    assert fed(metric, outputs, targets, 13) == pytest.approx(oracle(targets, outputs.argmax(1), average=average, zero_division=0))
    assert metric.name.endswith(f"_{average}")


@pytest.mark.parametrize("average", ["macro", "micro", "weighted", "samples"])
@pytest.mark.parametrize(
    ("cls", "oracle"),
    [
        (F1ScoreMulti, skm.f1_score),
        (PrecisionMulti, skm.precision_score),
        (RecallMulti, skm.recall_score),
        (JaccardMulti, skm.jaccard_score),
        (partial(FBetaMulti, 0.5), partial(skm.fbeta_score, beta=0.5)),
    ],
)
def test_averages_of_several_labels_per_sample(cls: type[Metric], oracle, average: str) -> None:
    outputs, targets = sample("multi")
    targets[:, 2], outputs[:, 2] = 0, -1  # a label nobody has
    wanted = oracle(targets.int().numpy(), (outputs.sigmoid() > 0.7).int().numpy(), average=average, zero_division=0)
    metric = cls(thresh=0.7, average=average)
    assert fed(metric, outputs, targets, 13) == pytest.approx(wanted)
    assert metric.name.endswith(f"_{average}")


@pytest.mark.parametrize("pos_label", [0, 1])
def test_two_classes_are_binary_and_more_are_macro_and_the_name_says_so(pos_label: int) -> None:
    outputs, targets = sample("two")
    metric = F1Score(pos_label=pos_label)
    assert fed(metric, outputs, targets, 16) == pytest.approx(skm.f1_score(targets, outputs.argmax(1), pos_label=pos_label))
    assert metric.name == "f1_score"
    more = F1Score()
    more.for_classes(6)
    assert more.name == "f1_score_macro"
    fed(fresh := F1Score(), *sample("six"), 16)
    assert fresh.name == "f1_score"  # a column of the results doesn't change its name in the middle of a fit


@pytest.mark.parametrize("weights", ["linear", "quadratic"])
def test_weighted_kappa(weights: str) -> None:
    outputs, targets = sample("six")
    assert fed(CohenKappa(weights=weights), outputs, targets, 13) == pytest.approx(
        skm.cohen_kappa_score(targets, outputs.argmax(1), weights=weights)
    )


def test_adjusted_balanced_accuracy_and_partial_auc_and_pairs() -> None:
    outputs, targets = sample("six")
    assert fed(BalancedAccuracy(adjusted=True), outputs, targets, 9) == pytest.approx(
        skm.balanced_accuracy_score(targets, outputs.argmax(1), adjusted=True)
    )
    for average in ("macro", "weighted"):
        for multi_class in ("ovo", "ovr"):
            wanted = skm.roc_auc_score(targets, probabilities(outputs), average=average, multi_class=multi_class)
            assert fed(RocAuc(average=average, multi_class=multi_class), outputs, targets, 9) == pytest.approx(wanted)
    outputs, targets = sample("two")
    wanted = skm.roc_auc_score(targets, probabilities(outputs)[:, 1], max_fpr=0.3)
    assert fed(RocAucBinary(max_fpr=0.3), outputs, targets, 9) == pytest.approx(wanted, abs=1e-6)
    assert RocAuc()(outputs, targets) == pytest.approx(RocAucBinary()(outputs, targets))


@pytest.mark.parametrize("average", ["macro", "micro", "weighted"])
def test_averages_of_rankings_of_labels(average: str) -> None:
    outputs, targets = sample("multi")
    scores = outputs.double().sigmoid().numpy()
    assert fed(RocAucMulti(average=average), outputs, targets, 9) == pytest.approx(
        skm.roc_auc_score(targets, scores, average=average), abs=1e-6
    )
    ap = metric_by_name("average_precision_multi").__class__(average=average)
    assert fed(ap, outputs, targets, 9) == pytest.approx(skm.average_precision_score(targets, scores, average=average), abs=1e-6)


def test_labels_that_nothing_can_be_ranked_by_are_left_out_and_told() -> None:
    outputs, targets = sample("multi")
    targets = targets.clone()
    targets[:, 1] = 0
    block = MultiCategoryBlock(vocab=["a", "rare", "c"][: targets.shape[1]])
    for metric, theirs in ((RocAucMulti(), skm.roc_auc_score), (metric_by_name("average_precision_multi"), skm.average_precision_score)):
        metric.for_target(block)
        with captured_notes() as notes:
            for _ in range(3):
                found = fed(metric, outputs, targets, 9)
        others = [i for i in range(targets.shape[1]) if i != 1]
        assert found == pytest.approx(theirs(targets[:, others], outputs[:, others].double().sigmoid(), average="macro"), abs=1e-6)
        assert notes == [f"{metric.name} leaves out 'rare', which all or none of these samples have: there is nothing to rank."]
    with pytest.raises(ValueError, match="all or none of the samples have label"):
        fed(RocAucMulti(), outputs, targets * 0, 9)


def test_several_numbers_per_sample_are_scored_one_by_one() -> None:
    g = torch.Generator().manual_seed(0)
    targets = torch.randn(50, 2, generator=g) + torch.tensor([0.0, 100.0])
    outputs = torch.tensor([0.0, 100.0]) + 0.1 * torch.randn(50, 2, generator=g)  # knows the means and nothing else
    assert fed(R2Score(), outputs, targets, 8) == pytest.approx(skm.r2_score(targets.numpy(), outputs.numpy()), abs=1e-5)
    assert fed(R2Score(), outputs, targets, 8) < 0.1
    assert fed(RMSE(), outputs, targets, 8) == pytest.approx(float((outputs - targets).square().mean().sqrt()))


def test_large_means_lose_no_precision() -> None:
    g = torch.Generator().manual_seed(0)
    targets = 1.6e9 + 1e3 * torch.randn(200, dtype=torch.float64, generator=g)
    outputs = targets + 200 * torch.randn(200, dtype=torch.float64, generator=g)
    assert fed(R2Score(), outputs, targets, 9) == pytest.approx(skm.r2_score(targets.numpy(), outputs.numpy()), abs=1e-9)
    assert fed(PearsonCorrCoef(), outputs, targets, 9) == pytest.approx(stats.pearsonr(outputs, targets).statistic, abs=1e-9)


def test_rmse_is_a_class_so_learners_do_not_share_it_and_n_by_1_is_n() -> None:
    outputs, targets = sample("numbers")
    first, second = as_metric(rmse), as_metric(rmse)
    assert first is not second
    assert fed(first, outputs[:, None], targets, 9) == pytest.approx(skm.root_mean_squared_error(targets, outputs), abs=1e-6)
    assert mae(outputs[:, None], targets).item() == pytest.approx(skm.mean_absolute_error(targets, outputs), abs=1e-6)


def test_classes_on_another_axis() -> None:
    outputs, targets = sample("six")
    maps, masks = outputs.reshape(9, 10, 6).movedim(2, 1), targets.reshape(9, 10)
    assert accuracy(maps, masks, axis=1).item() == pytest.approx(accuracy(outputs, targets).item())
    assert F1Score(axis=1)(maps, masks) == pytest.approx(F1Score()(outputs, targets))
    padded = torch.cat([targets, torch.full((5,), -100)])
    assert Perplexity()(torch.cat([outputs, outputs[:5]]), padded) == pytest.approx(Perplexity()(outputs, targets))


def test_functions_of_scikit_learn() -> None:
    outputs, targets = sample("two")
    zero_one = skm_to_burnish(skm.zero_one_loss, better="lower")
    assert (zero_one.name, zero_one.better) == ("zero_one_loss", "lower")
    assert fed(zero_one, outputs, targets, 7) == pytest.approx(skm.zero_one_loss(targets, outputs.argmax(1)))
    auc = skm_to_burnish(skm.roc_auc_score, is_class=False, activation="binarysoftmax", name="auc")
    assert fed(auc, outputs, targets, 7) == pytest.approx(skm.roc_auc_score(targets, probabilities(outputs)[:, 1]))
    outputs, targets = sample("multi")
    for thresh in (0.5, 0.0):
        multi = skm_to_burnish(skm.f1_score, thresh=thresh, average="macro")
        assert fed(multi, outputs, targets, 7) == pytest.approx(skm.f1_score(targets, (outputs.sigmoid() > thresh).int(), average="macro"))


def test_dim_argmax_zero_is_not_unset() -> None:
    seen = []
    AccumMetric(lambda o, t: seen.append(o) or 0.0, dim_argmax=0)(torch.tensor([[1.0, 5.0], [3.0, 2.0]]), torch.zeros(2))
    assert seen[0].tolist() == [1, 0]


def test_an_argument_at_its_best_is_found_over_the_whole_set_and_told() -> None:
    outputs, targets = sample("multi")
    metric = optim_metric(accuracy_multi, "thresh", (0.1, 0.9), tol=0.001)
    found = fed(metric, outputs, targets, 7)
    tried = [accuracy_multi(outputs, targets, thresh=x).item() for x in np.linspace(0.1, 0.9, 2001)]
    assert (metric.name, metric.better) == ("accuracy_multi_at_best_thresh", "higher") and found == pytest.approx(max(tried))
    assert found == pytest.approx(accuracy_multi(outputs, targets, thresh=metric.x).item())
    where = optim_metric(accuracy_multi, "thresh", (0.1, 0.9), tol=0.001, get_x=True)
    assert (where.name, where.better) == ("accuracy_multi_best_thresh", None) and fed(where, outputs, targets, 7) == metric.x
    again = optim_metric(accuracy_multi, "thresh", (0.1, 0.9), tol=0.001)
    assert again(outputs, targets) == found and again.x == metric.x and math.isnan(again.compute())


@pytest.mark.parametrize(("tol", "near"), [(0.01, 0.011), (1e-5, 1e-5)])
def test_the_best_argument_is_found_beyond_a_nearer_lesser_peak_to_the_tolerance(tol: float, near: float) -> None:
    def two_peaks(output: torch.Tensor, target: torch.Tensor, a: float) -> float:
        return max(0.9 - abs(a - 0.2), 1 - 5 * abs(a - 1.7321))

    metric = optim_metric(two_peaks, "a", (-1, 3), tol=tol)
    assert metric(LOGITS, LABELS) == pytest.approx(1, abs=5 * near) and metric.x == pytest.approx(1.7321, abs=near)
    lowest = optim_metric(two_peaks, "a", (-1, 3), do_neg=False)
    assert lowest.better == "lower" and lowest(LOGITS, LABELS) == pytest.approx(-1.9) and lowest.x == 3


def test_the_best_of_an_error_is_the_lowest_and_of_equals_the_middle_one() -> None:
    def missed(output: torch.Tensor, target: torch.Tensor, thresh: float) -> torch.Tensor:
        return ((output > thresh) != target.bool()).float().mean()

    missed.better = "lower"  # type: ignore[attr-defined]
    metric = optim_metric(missed, "thresh", (0, 1), name="missed")
    assert metric(torch.tensor([0.2, 0.6]), torch.tensor([0, 1])) == 0 and metric.x == pytest.approx(0.4, abs=0.011)
    assert (metric.name, metric.better) == ("missed", "lower")
    nowhere = optim_metric(lambda o, t, a: math.nan, "a", (0, 1), tol=1e-6)
    assert math.isnan(nowhere(LOGITS, LABELS)) and math.isnan(nowhere.x)


def test_a_part_of_a_loss() -> None:
    class Two(torch.nn.Module):
        def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            self.l1 = (x - y).abs().mean()
            return self.l1 + (x - y).square().mean()

    loss, (outputs, targets) = Two(), sample("numbers")
    metric = LossMetric(loss, "l1")
    metric.reset()
    for part in (slice(0, 70), slice(70, N)):
        loss(outputs[part], targets[part])
        metric.update(outputs[part], targets[part])
    assert metric.compute() == pytest.approx(mae(outputs, targets).item(), abs=1e-6)
    with pytest.raises(ValueError, match="Two has no attribute 'l2' after a batch"):
        LossMetric(loss, "l2").update(outputs, targets)


def test_names_resolve() -> None:
    found = resolve_metrics(["accuracy", accuracy, F1Score, RMSE(), rmse])
    assert [m.name for m in found] == ["accuracy", "accuracy", "f1_score", "rmse", "rmse"] and all(isinstance(m, Metric) for m in found)
    assert resolve_metrics(None) == [] and len(resolve_metrics(accuracy)) == 1 and len(resolve_metrics("mae")) == 1
    assert isinstance(metric_by_name("accuracy"), AverageMetric) and metric_by_name("accuracy").better == "higher"
    with pytest.raises(SettingError, match=r"no metric called 'acuracy'\. Did you mean: accuracy"):
        metric_by_name("acuracy")


LOGITS, LABELS = torch.randn(6, 3), torch.tensor([0, 1, 2, 0, 1, 2])


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: accuracy(LOGITS, LABELS[:5]), r"6 outputs for 5 targets: outputs \(6, 3\) with classes on axis -1, targets \(5,\)"),
        (lambda: accuracy(LOGITS[:, :1], LABELS), "one output per sample .* no class to choose"),
        (lambda: accuracy(LOGITS[:, 0], LABELS), "no axis of classes"),
        (lambda: accuracy(LOGITS, torch.rand(6, 3)), "got one value per output .*Multi metrics"),
        (lambda: accuracy(LOGITS, torch.rand(6)), "got numbers: float32 of shape"),
        (lambda: accuracy_multi(LOGITS, LABELS), r"outputs \(6, 3\) and targets \(6,\) must have the same shape"),
        (lambda: mae(LOGITS, LABELS), "look like class indices"),
        (lambda: mae(LOGITS, torch.rand(3, 6)), r"\(6, 3\) and targets \(3, 6\)"),
        (lambda: top_k_accuracy(LOGITS, LABELS), "k=5 with 3 classes"),
        (lambda: F1Score()(LOGITS, LABELS + 1), "2 target.s. are not a class index from 0 to 2"),
        (lambda: F1Score(average="binary")(LOGITS, LABELS), "average='binary' with 3 classes. Use average='macro'"),
        (lambda: F1Score(pos_label=7)(LOGITS[:, :2], LABELS % 2), "pos_label=7 is no class index; expected 0 to 1"),
        (lambda: Recall()(LOGITS[:, :2], LABELS * 0), "no sample of the split is of class 1"),
        (lambda: RocAucBinary()(LOGITS, LABELS), "for two classes and the model has 3 outputs. Use RocAuc"),
        (lambda: RocAuc()(LOGITS, LABELS % 2), r"no sample of class\(es\) 2 "),
        (lambda: RocAuc()(LOGITS * float("nan"), LABELS), "6 sample.s. have outputs that are nan"),
        (lambda: CohenKappa()(LOGITS, LABELS * 0), "all samples are of class 0"),
        (lambda: MatthewsCorrCoefMulti()(LOGITS, LOGITS * 0), r"all or none of the samples have label\(s\) 0, 1, 2"),
        (lambda: R2Score()(LOGITS[:, 0], LABELS * 0.0), "all targets are the same number"),
        (lambda: R2Score()(LOGITS[:1, 0], LABELS[:1] * 1.0), "only one sample"),
        (lambda: PearsonCorrCoef()(LABELS * 0.0, LABELS * 1.0), "same output for every sample"),
    ],
)
def test_a_metric_that_cannot_be_computed_says_why(call, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        call()


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: F1Score(average="mean"), "average='mean'; expected one of 'auto', 'binary', 'macro'"),
        (lambda: F1ScoreMulti(average="binary"), "expected one of 'macro', 'micro'"),
        (lambda: FBeta(0), "beta=0 must be above 0"),
        (lambda: FBetaMulti(-1), "beta=-1 must be above 0"),
        (lambda: CohenKappa(weights="cubic"), "expected None, 'linear' or 'quadratic'"),
        (lambda: RocAuc(multi_class="raise"), "multi_class 'ovr' or 'ovo'"),
        (lambda: RocAucBinary(max_fpr=0), "max_fpr=0; expected a number above 0"),
        (lambda: RocAucMulti(average="samples"), "expected 'macro', 'weighted' or 'micro'"),
        (lambda: AccumMetric(mae, activation="relu"), "activation='relu'; expected one of 'no'"),
        (lambda: optim_metric(accuracy_multi, "thresh", (1, 0)), r"bounds=\(1, 0\), tol=0.01: expected a lower and a higher number"),
        (lambda: optim_metric(accuracy_multi, "thresh", (0, 1), tol=0), r"tol=0: expected .* a tol above 0"),
    ],
)
def test_a_setting_that_cannot_work_is_refused(call, says: str) -> None:
    with pytest.raises(SettingError, match=says):
        call()


def test_a_misspelt_argument_of_a_wrapped_function_is_an_error_at_once() -> None:
    with pytest.raises(TypeError, match=r"f1_score can't be called with \(output, target, averge\)"):
        skm_to_burnish(skm.f1_score, averge="macro")
    with pytest.raises(TypeError, match=r"accuracy_multi can't be called with \(output, target, tresh\)"):
        optim_metric(accuracy_multi, "tresh", (0, 1))


@pytest.mark.parametrize("name", ["roc_auc", "roc_auc_binary", "average_precision", "roc_auc_multi", "average_precision_multi"])
def test_a_very_sure_model_is_ranked_by_its_margins(name: str) -> None:
    """Margins beyond 17 are all probability 1 to float32; they still rank."""
    g = torch.Generator().manual_seed(0)
    yes = torch.arange(200) % 2
    margin = 30 + 6 * torch.randn(200, generator=g) + 10 * yes
    if name.endswith("multi"):
        output, target = margin[:, None], yes[:, None].float()
    else:
        output, target = torch.stack([torch.zeros(200), margin], 1), yes
    theirs = skm.average_precision_score if "precision" in name else skm.roc_auc_score
    assert metric_by_name(name)(output, target) == pytest.approx(theirs(yes.numpy(), margin.numpy()), abs=1e-6)


def test_several_sure_classes_are_ranked_as_in_float64() -> None:
    g = torch.Generator().manual_seed(0)
    target = torch.arange(300) % 3
    logits = (torch.randn(300, 3, generator=g) + 0.5 * torch.nn.functional.one_hot(target, 3)) * 5
    wanted = skm.roc_auc_score(target.numpy(), logits.double().softmax(1).numpy(), multi_class="ovr")
    assert metric_by_name("roc_auc")(logits, target) == pytest.approx(wanted, abs=1e-6)


def test_the_peers_name_of_perplexity_is_a_fresh_metric_each_time() -> None:
    from burnish.vision.all import perplexity

    first, second = (resolve_metrics(perplexity)[0] for _ in range(2))
    assert first is not second and first.name == "perplexity"
