"""Metrics with fastai's arguments and fastai's column names (``monitor="f1_score"``): burnish's own, and scikit-learn's where one of its further arguments is given."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from burnish.evaluate import classification, multilabel, ranking, regression, segmentation
from burnish.evaluate.base import CallableMetric
from burnish.evaluate.custom import AccumMetric, skm_to_burnish
from burnish.train.metric import Metric as OwnMetric

__all__ = [
    "APScoreBinary", "APScoreMulti", "BalancedAccuracy", "BrierScore", "BrierScoreMulti", "CohenKappa", "Dice", "DiceMulti", "ExplainedVariance", "F1Score", "F1ScoreMulti", "FBeta",
    "FBetaMulti", "HammingLoss", "HammingLossMulti", "Jaccard", "JaccardCoeff", "JaccardCoeffMulti", "JaccardMulti", "MatthewsCorrCoef", "MatthewsCorrCoefMulti",
    "PearsonCorrCoef", "Perplexity", "Precision", "PrecisionMulti", "R2Score", "Recall", "RecallMulti", "RocAuc", "RocAucBinary", "RocAucMulti", "SpearmanCorrCoef", "exp_rmspe", "foreground_acc",
    "perplexity", "rmse", "skm_to_fastai",
]  # fmt: skip


@functools.cache
def _called(kind: type[CallableMetric], column: str, shared: bool) -> type[CallableMetric]:
    """A class of burnish's whose column has another name; model files know it by its own."""

    def __call__(self: Any, output: Tensor, target: Tensor) -> float:
        if output.shape == target.shape and not output.is_floating_point() and not target.is_floating_point():  # decided already
            n = int(max(output.max(), target.max())) + 1
            output = nn.functional.one_hot(output.long(), n).movedim(-1, getattr(self, "axis", -1)).float()
        return kind.__call__(self, output, target)

    return type(
        kind.__name__,
        (kind,),
        {"__module__": kind.__module__, "__doc__": kind.__doc__, "name": column, "plain": kind, "shared": shared, "__call__": __call__},
    )


def _named(metric: CallableMetric, column: str, shared: bool = False) -> Any:
    vars(metric).pop("name", None)
    metric.__class__ = _called(type(metric), column, shared)
    return metric


def skm_to_fastai(
    func: Callable[..., Any], is_class: bool = True, thresh: float | None = None, axis: int = -1, activation: Any = None, **kwargs: Any
) -> AccumMetric:
    """A metric from a function ``func(y_true, y_pred, **kwargs)`` in scikit-learn's manner, called by the function's name; see ``skm_to_burnish``."""
    return skm_to_burnish(func, is_class, thresh, axis, getattr(activation, "value", activation), **kwargs)


def _sk(name: str, axis: int = -1, better: str = "higher", **kwargs: Any) -> AccumMetric:
    """scikit-learn's function of this name, of classes."""
    import sklearn.metrics

    return skm_to_burnish(getattr(sklearn.metrics, name), axis=axis, better=better, **kwargs)


def _sk_multi(name: str, thresh: Any, sigmoid: bool, better: str = "higher", **kwargs: Any) -> AccumMetric:
    """The same, of labels above a threshold."""
    import sklearn.metrics

    return skm_to_burnish(getattr(sklearn.metrics, name), thresh=thresh, activation="sigmoid" if sigmoid else "no", better=better, **kwargs)


def _auto(average: str) -> str:
    return "auto" if average == "binary" else average  # which would be an error for more than two classes


# -- one label a sample -------------------------------------------------------------------------------------------------
def _averaged(kind: Any, column: str, axis: int, labels: Any, pos_label: int, average: str, sample_weight: Any) -> Any:
    if labels is None and sample_weight is None and average is not None:
        return _named(kind(axis=axis, average=_auto(average), pos_label=pos_label), column)
    return _sk(column, axis, labels=labels, pos_label=pos_label, average=average, sample_weight=sample_weight)


def F1Score(axis: int = -1, labels: Any = None, pos_label: int = 1, average: str = "binary", sample_weight: Any = None) -> Any:
    """Harmonic mean of precision and recall. "binary" is "macro" for more than two classes."""
    return _averaged(classification.F1Score, "f1_score", axis, labels, pos_label, average, sample_weight)


def Precision(axis: int = -1, labels: Any = None, pos_label: int = 1, average: str = "binary", sample_weight: Any = None) -> Any:
    """Of the samples predicted as a class, the share that is of it."""
    return _averaged(classification.Precision, "precision_score", axis, labels, pos_label, average, sample_weight)


def Recall(axis: int = -1, labels: Any = None, pos_label: int = 1, average: str = "binary", sample_weight: Any = None) -> Any:
    """Of the samples of a class, the share that is found."""
    return _averaged(classification.Recall, "recall_score", axis, labels, pos_label, average, sample_weight)


def Jaccard(axis: int = -1, labels: Any = None, pos_label: int = 1, average: str = "binary", sample_weight: Any = None) -> Any:
    """Right samples as a share of those that are of the class or predicted as it."""
    return _averaged(classification.Jaccard, "jaccard_score", axis, labels, pos_label, average, sample_weight)


def FBeta(beta: float, axis: int = -1, labels: Any = None, pos_label: int = 1, average: str = "binary", sample_weight: Any = None) -> Any:
    """F-beta: recall counts `beta` times as much as precision."""
    if labels is None and sample_weight is None and average is not None:
        return _named(classification.FBeta(beta, axis, _auto(average), pos_label), "fbeta_score")
    return _sk("fbeta_score", axis, beta=beta, labels=labels, pos_label=pos_label, average=average, sample_weight=sample_weight)


def BalancedAccuracy(axis: int = -1, sample_weight: Any = None, adjusted: bool = False) -> Any:
    """Mean over the classes of the share that is found."""
    if sample_weight is None:
        return _named(classification.BalancedAccuracy(axis, adjusted), "balanced_accuracy_score")
    return _sk("balanced_accuracy_score", axis, sample_weight=sample_weight, adjusted=adjusted)


def CohenKappa(axis: int = -1, labels: Any = None, weights: str | None = None, sample_weight: Any = None) -> Any:
    """Agreement beyond what chance gives."""
    if labels is None and sample_weight is None:
        return _named(classification.CohenKappa(axis, weights), "cohen_kappa_score")
    return _sk("cohen_kappa_score", axis, labels=labels, weights=weights, sample_weight=sample_weight)


def HammingLoss(axis: int = -1, sample_weight: Any = None) -> Any:
    """Share of wrong labels."""
    return (
        _named(classification.HammingLoss(axis), "hamming_loss")
        if sample_weight is None
        else _sk("hamming_loss", axis, "lower", sample_weight=sample_weight)
    )


def MatthewsCorrCoef(sample_weight: Any = None, axis: int = -1) -> Any:
    """Matthews correlation coefficient."""
    return (
        _named(classification.MatthewsCorrCoef(axis), "matthews_corrcoef")
        if sample_weight is None
        else _sk("matthews_corrcoef", axis, sample_weight=sample_weight)
    )


def BrierScore(axis: int = -1, sample_weight: Any = None, pos_label: Any = None) -> Any:
    """Mean squared error of the probabilities (fastai scores the likeliest class alone). `pos_label` has no effect."""
    _no_weights("BrierScore", sample_weight)
    return _named(classification.BrierScore(axis), "brier_score_loss")


def RocAuc(
    axis: int = -1, average: str = "macro", sample_weight: Any = None, max_fpr: float | None = None, multi_class: str = "ovr"
) -> Any:
    """Area under the ROC curve of several classes."""
    if sample_weight is None and max_fpr is None:
        return _named(ranking.RocAuc(axis, average, multi_class), "roc_auc_score")
    return _sk(
        "roc_auc_score",
        axis,
        is_class=False,
        activation="softmax",
        average=average,
        sample_weight=sample_weight,
        max_fpr=max_fpr,
        multi_class=multi_class,
    )


def RocAucBinary(
    axis: int = -1, average: str = "macro", sample_weight: Any = None, max_fpr: float | None = None, multi_class: str = "raise"
) -> Any:
    """Area under the ROC curve of two classes. `average` and `multi_class` have no effect."""
    if sample_weight is None:
        return _named(ranking.RocAucBinary(axis, max_fpr), "roc_auc_score")
    return _sk(
        "roc_auc_score",
        axis,
        is_class=False,
        activation="binarysoftmax",
        average=average,
        sample_weight=sample_weight,
        max_fpr=max_fpr,
        multi_class=multi_class,
    )


def APScoreBinary(axis: int = -1, average: str = "macro", pos_label: int = 1, sample_weight: Any = None) -> Any:
    """Average precision of two classes. `average` has no effect."""
    if pos_label == 1 and sample_weight is None:
        return _named(ranking.APScoreBinary(axis), "average_precision_score")
    return _sk(
        "average_precision_score",
        axis,
        is_class=False,
        activation="binarysoftmax",
        average=average,
        pos_label=pos_label,
        sample_weight=sample_weight,
    )


def _no_weights(name: str, sample_weight: Any) -> None:
    if sample_weight is not None:
        raise TypeError(
            f"{name}(sample_weight=...): samples can't be weighted in it. skm_to_fastai(a function of scikit-learn's, sample_weight=...) can."
        )


# -- several labels a sample --------------------------------------------------------------------------------------------
def _multi(kind: Any, column: str, thresh: Any, sigmoid: bool, labels: Any, pos_label: int, average: str, sample_weight: Any) -> Any:
    if labels is None and sample_weight is None and average is not None:
        return _named(kind(thresh=None if thresh == 0.5 else thresh, sigmoid=sigmoid, average=average), column)
    return _sk_multi(column, thresh, sigmoid, labels=labels, pos_label=pos_label, average=average, sample_weight=sample_weight)


def F1ScoreMulti(
    thresh: Any = 0.5, sigmoid: bool = True, labels: Any = None, pos_label: int = 1, average: str = "macro", sample_weight: Any = None
) -> Any:
    """Harmonic mean of precision and recall of each label."""
    return _multi(multilabel.F1ScoreMulti, "f1_score", thresh, sigmoid, labels, pos_label, average, sample_weight)


def PrecisionMulti(
    thresh: Any = 0.5, sigmoid: bool = True, labels: Any = None, pos_label: int = 1, average: str = "macro", sample_weight: Any = None
) -> Any:
    """Of the samples given a label, the share that has it."""
    return _multi(multilabel.PrecisionMulti, "precision_score", thresh, sigmoid, labels, pos_label, average, sample_weight)


def RecallMulti(
    thresh: Any = 0.5, sigmoid: bool = True, labels: Any = None, pos_label: int = 1, average: str = "macro", sample_weight: Any = None
) -> Any:
    """Of the samples that have a label, the share that is given it."""
    return _multi(multilabel.RecallMulti, "recall_score", thresh, sigmoid, labels, pos_label, average, sample_weight)


def JaccardMulti(
    thresh: Any = 0.5, sigmoid: bool = True, labels: Any = None, pos_label: int = 1, average: str = "macro", sample_weight: Any = None
) -> Any:
    """Right ones as a share of the samples that have a label or are given it."""
    return _multi(multilabel.JaccardMulti, "jaccard_score", thresh, sigmoid, labels, pos_label, average, sample_weight)


def FBetaMulti(
    beta: float,
    thresh: Any = 0.5,
    sigmoid: bool = True,
    labels: Any = None,
    pos_label: int = 1,
    average: str = "macro",
    sample_weight: Any = None,
) -> Any:
    """F-beta of each label."""
    if labels is None and sample_weight is None and average is not None:
        return _named(multilabel.FBetaMulti(beta, None if thresh == 0.5 else thresh, sigmoid, average), "fbeta_score")
    return _sk_multi(
        "fbeta_score", thresh, sigmoid, beta=beta, labels=labels, pos_label=pos_label, average=average, sample_weight=sample_weight
    )


def HammingLossMulti(thresh: Any = 0.5, sigmoid: bool = True, labels: Any = None, sample_weight: Any = None) -> Any:
    """Share of single yes/no answers that are wrong. `labels` has no effect."""
    _ = labels
    if sample_weight is None:
        return _named(multilabel.HammingLossMulti(None if thresh == 0.5 else thresh, sigmoid), "hamming_loss")
    return _sk_multi("hamming_loss", thresh, sigmoid, "lower", sample_weight=sample_weight)


def MatthewsCorrCoefMulti(thresh: Any = 0.5, sigmoid: bool = True, sample_weight: Any = None) -> Any:
    """Mean over the labels of the Matthews correlation of each (which fastai's can't compute)."""
    _no_weights("MatthewsCorrCoefMulti", sample_weight)
    return _named(multilabel.MatthewsCorrCoefMulti(None if thresh == 0.5 else thresh, sigmoid), "matthews_corrcoef")


def BrierScoreMulti(thresh: Any = 0.5, sigmoid: bool = True, sample_weight: Any = None, pos_label: Any = None) -> Any:
    """Mean squared error of the probabilities of all labels. `thresh` and `pos_label` have no effect."""
    _ = thresh, pos_label
    _no_weights("BrierScoreMulti", sample_weight)
    return _named(multilabel.BrierScoreMulti(sigmoid), "brier_score_loss")


def RocAucMulti(sigmoid: bool = True, average: str = "macro", sample_weight: Any = None, max_fpr: float | None = None) -> Any:
    """Area under the ROC curve of each label, averaged."""
    if sample_weight is None and max_fpr is None:
        return _named(ranking.RocAucMulti(sigmoid, average), "roc_auc_score")
    return _sk(
        "roc_auc_score",
        is_class=False,
        activation="sigmoid" if sigmoid else "no",
        average=average,
        sample_weight=sample_weight,
        max_fpr=max_fpr,
    )


def APScoreMulti(sigmoid: bool = True, average: str = "macro", pos_label: int = 1, sample_weight: Any = None) -> Any:
    """Average precision of each label, averaged."""
    if pos_label == 1 and sample_weight is None:
        return _named(ranking.APScoreMulti(sigmoid, average), "average_precision_score")
    return _sk(
        "average_precision_score",
        is_class=False,
        activation="sigmoid" if sigmoid else "no",
        average=average,
        pos_label=pos_label,
        sample_weight=sample_weight,
    )


# -- numbers ------------------------------------------------------------------------------------------------------------
def R2Score(sample_weight: Any = None) -> Any:
    """Coefficient of determination."""
    return (
        _named(regression.R2Score(), "r2_score") if sample_weight is None else _sk("r2_score", is_class=False, sample_weight=sample_weight)
    )


def ExplainedVariance(sample_weight: Any = None) -> Any:
    """As R2Score, but a constant offset is forgiven."""
    return (
        _named(regression.ExplainedVariance(), "explained_variance_score")
        if sample_weight is None
        else _sk("explained_variance_score", is_class=False, sample_weight=sample_weight)
    )


def PearsonCorrCoef(
    dim_argmax: int | None = None,
    activation: str = "no",
    thresh: float | None = None,
    to_np: bool = False,
    invert_arg: bool = False,
    flatten: bool = True,
    name: str | None = None,
) -> Any:
    """Linear correlation of outputs and targets. With an argument of `AccumMetric`, of what that gives."""
    _ = to_np, invert_arg
    if dim_argmax is None and activation == "no" and thresh is None and flatten:
        return _named(regression.PearsonCorrCoef(), name or "pearsonr")
    return AccumMetric(
        lambda p, t: regression.PearsonCorrCoef()(p.float(), t.float()),
        dim_argmax,
        activation,
        thresh,
        flatten=flatten,
        name=name or "pearsonr",
        better="higher",
    )


def SpearmanCorrCoef(
    dim_argmax: int | None = None,
    axis: int = 0,
    nan_policy: str = "propagate",
    activation: str = "no",
    thresh: float | None = None,
    to_np: bool = False,
    invert_arg: bool = False,
    flatten: bool = True,
    name: str | None = None,
) -> Any:
    """Rank correlation of outputs and targets. `axis` and `nan_policy` have no effect."""
    _ = axis, nan_policy, to_np, invert_arg
    if dim_argmax is None and activation == "no" and thresh is None and flatten:
        return _named(regression.SpearmanCorrCoef(), name or "spearmanr")
    return AccumMetric(
        lambda p, t: regression.SpearmanCorrCoef()(p.float(), t.float()),
        dim_argmax,
        activation,
        thresh,
        flatten=flatten,
        name=name or "spearmanr",
        better="higher",
    )


rmse = _named(regression.RMSE(), "_rmse", shared=True)
exp_rmspe = _named(regression.ExpRMSPE(), "_exp_rmspe", shared=True)


# -- masks, words -------------------------------------------------------------------------------------------------------
def _axis_one(name: str, axis: int) -> None:
    if axis != 1:
        raise TypeError(f"{name}(axis={axis}): the classes are expected on axis 1, (batch, classes, height, width).")


class Dice(segmentation.Dice):
    """Dice coefficient of the last of two classes."""

    def __init__(self, axis: int = 1) -> None:
        _axis_one("Dice", axis)
        super().__init__()


class JaccardCoeff(segmentation.JaccardCoeff):
    """Intersection over union of the last of two classes."""

    def __init__(self, axis: int = 1) -> None:
        _axis_one("JaccardCoeff", axis)
        super().__init__()


class DiceMulti(segmentation.DiceMulti):
    """Dice coefficient averaged over the classes."""

    def __init__(self, axis: int = 1) -> None:
        _axis_one("DiceMulti", axis)
        super().__init__()


class JaccardCoeffMulti(segmentation.MeanIoU):
    """Intersection over union averaged over the classes."""

    name = "jaccard_coeff_multi"

    def __init__(self, axis: int = 1) -> None:
        _axis_one("JaccardCoeffMulti", axis)
        super().__init__()


def foreground_acc(inp: Tensor, targ: Tensor, bkg_idx: int = 0, axis: int = 1) -> Tensor:
    """Share of the pixels that aren't background whose class is right."""
    targ = targ.squeeze(1) if targ.ndim == inp.ndim else targ
    seen = targ != bkg_idx
    return (inp.argmax(dim=axis)[seen] == targ[seen]).float().mean() if bool(seen.any()) else torch.tensor(0.0)


foreground_acc.better = "higher"  # type: ignore[attr-defined]
Perplexity = classification.Perplexity
perplexity = _named(classification.Perplexity(), "perplexity", shared=True)


def alone(metric: OwnMetric) -> OwnMetric:
    """A metric that may be kept: of a shared one (``rmse``) a copy."""
    if not getattr(type(metric), "shared", False):
        return metric
    import copy

    made = copy.copy(metric)
    made.reset()
    return made


def renamed(metric: OwnMetric, column: str) -> OwnMetric:
    """The metric with another column, where two of one learner have the same."""
    kind = getattr(type(metric), "plain", type(metric))
    if kind.name == metric.name or isinstance(vars(metric).get("name"), str):
        metric.name = column
    else:
        metric.__class__ = _called(kind, column, False)
    return metric
