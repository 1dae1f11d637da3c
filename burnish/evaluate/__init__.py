"""How good a model is and where it errs: metrics, losses, intervals, baselines, interpretation."""

from burnish.evaluate.baselines import Baseline, baseline
from burnish.evaluate.by_class import results_by_class
from burnish.evaluate.interpret import ClassificationInterpretation, Interpretation
from burnish.evaluate.intervals import Interval, bootstrap, bootstrap_mean, interval, wilson
from burnish.evaluate.label_issues import find_label_issues
from burnish.evaluate.metrics import METRICS, metric_by_name, optim_metric, resolve_metrics
from burnish.evaluate.summary import ResultNote, assess
from burnish.evaluate.thresholds import tune_thresholds

__all__ = [
    "METRICS",
    "Baseline",
    "ClassificationInterpretation",
    "Interpretation",
    "Interval",
    "ResultNote",
    "assess",
    "baseline",
    "bootstrap",
    "bootstrap_mean",
    "find_label_issues",
    "interval",
    "metric_by_name",
    "optim_metric",
    "resolve_metrics",
    "results_by_class",
    "tune_thresholds",
    "wilson",
]
