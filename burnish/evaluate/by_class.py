"""How good a model is at each class, label or point."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from burnish.data.block import Block
from burnish.data.lazy import pd
from burnish.errors import DataError
from burnish.evaluate.boxes import MeanAP
from burnish.evaluate.mask_results import count_split, is_of_masks
from burnish.evaluate.multilabel import LabelCounts
from burnish.evaluate.outcome import Outcome, run, split_name, target_block
from burnish.evaluate.points import PCK_AT, distances
from burnish.evaluate.ranking import average_precision


def results_by_class(learn: Any, split: int | str = "valid") -> pd.DataFrame:
    """How good a model of several labels, masks, boxes or points is at each label, class or point.

    Returns: a row a class. Of labels: samples (how many have it), recall (the share of them that are given it), precision (of those given it, the share that
        has it), f1, average_precision, and the threshold above which it is given. Of masks: pixels (its share of them), recall (the share of its pixels that are
        found), precision (of the pixels said to be it, the share that is), iou, dice. Of boxes: boxes (how many there are), mean_ap and map_50 (average
        precisions). Of points: samples (how many have it), point_distance and pck. Nan where there is nothing to tell by.

    Raises:
        DataError: the target is something else.
    """
    from burnish.evaluate.tables import ByClass

    return ByClass(_by_class(learn, target_block(learn), split_name(split)))


def _by_class(learn: Any, block: Block | None, name: str) -> pd.DataFrame:
    if block is not None and block.kind == "multicategory":
        return labels_by_class(block, run(learn, name))
    if block is not None and block.kind == "points":
        return points_by_name(block, run(learn, name))
    if block is not None and block.kind == "boxes":
        return _boxes_by_class(learn, name)
    if block is None or not is_of_masks(learn):
        raise DataError(
            "results_by_class is for several labels a sample, masks, boxes and points. Of one label a sample: ClassificationInterpretation.from_learner(learn).classification_report()."
        )
    counts = count_split(learn, name)[0].whole().sum(0)
    return scores_by_class(counts, getattr(block, "vocab", None) or range(counts.shape[1]))


class _Counted(LabelCounts):
    name = "counted"


def labels_by_class(block: Block, found: Outcome) -> pd.DataFrame:
    """The table of ``results_by_class`` for several labels; rows that thresholds were chosen on are judged by those of the other half of the rows."""
    counted, names = _Counted(), list(block.vocab or [])  # pyright: ignore[reportAttributeAccessIssue]
    counted.for_target(block)
    counted.update(found.output_for(counted), found.target)
    hits, actual, predicted, _ = counted.counts().tolist()
    there = [i for i, n in enumerate(actual) if n]
    ranked = torch.full((len(names),), math.nan, dtype=torch.float64)
    if there:
        ranked[there] = average_precision(found.output[:, there], found.target[:, there] > 0.5)
    return pd.DataFrame(
        {
            "class": names,
            "samples": [int(n) for n in actual],
            "recall": [_share(h, a) for h, a in zip(hits, actual, strict=True)],
            "precision": [_share(h, p) for h, p in zip(hits, predicted, strict=True)],
            "f1": [_share(2 * h, a + p) for h, a, p in zip(hits, actual, predicted, strict=True)],
            "average_precision": ranked.tolist(),
            "threshold": getattr(block, "thresholds", None) or [0.5] * len(names),
        }
    )


def points_by_name(block: Block, found: Outcome) -> pd.DataFrame:
    """The table of ``results_by_class`` for points: a row a point."""
    far, counts = distances(found.output, found.target, "points")
    names = getattr(block, "names", None) or [f"point {i}" for i in range(far.shape[1])]
    there, near = counts.sum(0).tolist(), ((far <= PCK_AT) & counts).sum(0).tolist()
    rows = zip(names, there, far.sum(0).tolist(), near, strict=True)
    return pd.DataFrame([{"point": name, "samples": n, "point_distance": _share(d, n), "pck": _share(k, n)} for name, n, d, k in rows])


def scores_by_class(counts: Tensor, names: Sequence[Any]) -> pd.DataFrame:
    """The table of ``results_by_class`` from the pixels of each class ``(3, classes)``: right, actual, predicted."""
    hits, actual, predicted = counts.tolist()
    rows = [
        {
            "class": name,
            "pixels": _share(a, sum(actual)),
            "recall": _share(h, a),
            "precision": _share(h, p),
            "iou": _share(h, a + p - h),
            "dice": _share(2 * h, a + p),
        }
        for name, h, a, p in zip(names, hits, actual, predicted, strict=True)
    ]
    return pd.DataFrame(rows)


def _boxes_by_class(learn: Any, split: str) -> pd.DataFrame:
    metrics = MeanAP(), MeanAP(0.5)
    found = learn.get_preds(split, act=nn.Identity())
    table: dict[str, list[Any]] = {"class": list(learn.dls.target_blocks[0].vocab)}
    table["boxes"] = [int((found.targs[..., 4] == i).sum()) for i in range(len(table["class"]))]
    for metric in metrics:
        metric.update(found.preds, found.targs)
        by = metric.by_class() if sum(table["boxes"]) else {}
        table[metric.name] = [by.get(i, math.nan) for i in range(len(table["class"]))]
    return pd.DataFrame(table)


def _share(above: float, below: float) -> float:
    return above / below if below else math.nan
