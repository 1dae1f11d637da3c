"""All metrics by name: what ``metrics="f1_score"`` and a block's default metrics resolve to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from burnish.errors import SettingError, listed, nearest
from burnish.evaluate.boxes import MeanAP
from burnish.evaluate.classification import (
    BalancedAccuracy,
    BrierScore,
    CohenKappa,
    F1Score,
    FBeta,
    HammingLoss,
    Jaccard,
    MatthewsCorrCoef,
    Perplexity,
    Precision,
    Recall,
    perplexity,
)
from burnish.evaluate.custom import AccumMetric, LossMetric, optim_metric, skm_to_burnish
from burnish.evaluate.functions import accuracy, accuracy_multi, error_rate, mae, mse, msle, top_k_accuracy
from burnish.evaluate.joint import TargetMetric
from burnish.evaluate.multilabel import (
    BrierScoreMulti,
    F1ScoreMulti,
    FBetaMulti,
    HammingLossMulti,
    JaccardMulti,
    MatthewsCorrCoefMulti,
    PrecisionMulti,
    RecallMulti,
)
from burnish.evaluate.points import PCK, PointDistance
from burnish.evaluate.ranking import APScoreBinary, APScoreMulti, RocAuc, RocAucBinary, RocAucMulti
from burnish.evaluate.regression import RMSE, ExplainedVariance, ExpRMSPE, PearsonCorrCoef, R2Score, SpearmanCorrCoef, exp_rmspe, rmse
from burnish.evaluate.segmentation import (
    Dice,
    DiceMulti,
    ForegroundAccuracy,
    JaccardCoeff,
    JaccardCoeffMulti,
    MeanIoU,
    PixelAccuracy,
    foreground_acc,
    mean_iou,
    pixel_accuracy,
)
from burnish.train.metric import AverageMetric, Metric, as_metric

__all__ = [
    "METRICS",
    "PCK",
    "RMSE",
    "APScoreBinary",
    "APScoreMulti",
    "AccumMetric",
    "BalancedAccuracy",
    "BrierScore",
    "BrierScoreMulti",
    "CohenKappa",
    "Dice",
    "DiceMulti",
    "ExpRMSPE",
    "ExplainedVariance",
    "F1Score",
    "F1ScoreMulti",
    "FBeta",
    "FBetaMulti",
    "ForegroundAccuracy",
    "HammingLoss",
    "HammingLossMulti",
    "Jaccard",
    "JaccardCoeff",
    "JaccardCoeffMulti",
    "JaccardMulti",
    "LossMetric",
    "MatthewsCorrCoef",
    "MatthewsCorrCoefMulti",
    "MeanAP",
    "MeanIoU",
    "PearsonCorrCoef",
    "Perplexity",
    "PixelAccuracy",
    "PointDistance",
    "Precision",
    "PrecisionMulti",
    "R2Score",
    "Recall",
    "RecallMulti",
    "RocAuc",
    "RocAucBinary",
    "RocAucMulti",
    "SpearmanCorrCoef",
    "TargetMetric",
    "accuracy",
    "accuracy_multi",
    "dice_multi",
    "error_rate",
    "exp_rmspe",
    "foreground_acc",
    "mae",
    "mean_iou",
    "metric_by_name",
    "mse",
    "msle",
    "optim_metric",
    "pck",
    "perplexity",
    "pixel_accuracy",
    "point_distance",
    "resolve_metrics",
    "rmse",
    "skm_to_burnish",
    "top_k_accuracy",
]  # fmt: skip


def _average(function: Callable[..., Any]) -> Callable[[], Metric]:
    return partial(AverageMetric, function)


# kind of target -> name -> what makes a fresh metric
SINGLE_LABEL: dict[str, Callable[[], Metric]] = {
    "accuracy": _average(accuracy),
    "error_rate": _average(error_rate),
    "top_k_accuracy": _average(top_k_accuracy),
    "f1_score": F1Score,
    "fbeta": FBeta,
    "precision": Precision,
    "recall": Recall,
    "jaccard": Jaccard,
    "balanced_accuracy": BalancedAccuracy,
    "cohen_kappa": CohenKappa,
    "matthews_corrcoef": MatthewsCorrCoef,
    "hamming_loss": HammingLoss,
    "brier_score": BrierScore,
    "roc_auc": RocAuc,
    "roc_auc_binary": RocAucBinary,
    "average_precision": APScoreBinary,
    "perplexity": Perplexity,
}
MULTI_LABEL: dict[str, Callable[[], Metric]] = {
    "accuracy_multi": _average(accuracy_multi),
    "f1_score_multi": F1ScoreMulti,
    "fbeta_multi": FBetaMulti,
    "precision_multi": PrecisionMulti,
    "recall_multi": RecallMulti,
    "jaccard_multi": JaccardMulti,
    "hamming_loss_multi": HammingLossMulti,
    "matthews_corrcoef_multi": MatthewsCorrCoefMulti,
    "brier_score_multi": BrierScoreMulti,
    "roc_auc_multi": RocAucMulti,
    "average_precision_multi": APScoreMulti,
}
NUMBERS: dict[str, Callable[[], Metric]] = {
    "mse": _average(mse),
    "mae": _average(mae),
    "msle": _average(msle),
    "rmse": RMSE,
    "exp_rmspe": ExpRMSPE,
    "r2_score": R2Score,
    "explained_variance": ExplainedVariance,
    "pearson": PearsonCorrCoef,
    "spearman": SpearmanCorrCoef,
}
MASKS: dict[str, Callable[[], Metric]] = {
    "pixel_accuracy": PixelAccuracy,
    "foreground_acc": ForegroundAccuracy,
    "mean_iou": MeanIoU,
    "dice_multi": DiceMulti,
    "dice": Dice,
    "jaccard_coeff": JaccardCoeff,
}
POINTS: dict[str, Callable[[], Metric]] = {"point_distance": PointDistance, "pck": PCK}
BOXES: dict[str, Callable[[], Metric]] = {"mean_ap": MeanAP, "map_50": partial(MeanAP, 0.5)}
dice_multi, point_distance, pck = DiceMulti, PointDistance, PCK  # as they are called in tables
METRICS: dict[str, Callable[[], Metric]] = {**SINGLE_LABEL, **MULTI_LABEL, **NUMBERS, **MASKS, **POINTS, **BOXES}


def metric_by_name(name: str) -> Metric:
    """A fresh metric of this name, e.g. "accuracy" or "f1_score".

    Raises:
        SettingError: there is none of this name; the message lists the nearest.
    """
    if name not in METRICS:
        raise SettingError(f"There is no metric called {name!r}.{nearest(name, METRICS)} Known: {listed(METRICS, len(METRICS))}.")
    return METRICS[name]()


def resolve_metrics(metrics: Any) -> list[Metric]:
    """Names, functions, Metrics, Metric classes, or a list of them, as a list of fresh or given Metrics; None as []."""
    if metrics is None:
        return []
    several = metrics if isinstance(metrics, Iterable) and not isinstance(metrics, (str, Metric)) else [metrics]
    return [metric_by_name(m) if isinstance(m, str) else as_metric(m) for m in several]
