"""Where a model of masks errs: pixels counted by picture in one inference pass, no output kept; what is drawn is predicted again."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from burnish.data.lazy import pd
from burnish.data.mapped import plain_rows
from burnish.evaluate import outcome as outcomes
from burnish.evaluate import plots
from burnish.evaluate.by_class import scores_by_class
from burnish.evaluate.interpret import ClassificationInterpretation
from burnish.evaluate.mask_results import MaskGather, rows_of_counts, said_of
from burnish.evaluate.metrics import metric_by_name
from burnish.evaluate.summary import chosen_metrics, keep
from burnish.train.predict import Predictions, gathered, get_preds, loader_of

if TYPE_CHECKING:
    from burnish.train.learner import Learner


class _Gather(MaskGather):
    """The counts of one pass, and which classes were taken for which."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes, self.confused = classes, torch.zeros((), dtype=torch.int64)

    def after_batch(self, learn: Learner) -> None:
        super().after_batch(learn)
        if learn.pred is None:
            return
        target = learn.yb[0]
        known = target >= 0
        cells = target[known] * self.classes + learn.pred.argmax(1)[known]
        self.confused = self.confused.to(cells.device) + torch.bincount(cells, minlength=self.classes**2)


class MaskInterpretation(ClassificationInterpretation):
    """What the pixels of a split's masks tell. ``Interpretation.from_learner`` makes one of a model of masks.

    Outputs aren't kept: ``losses`` are, and counts of pixels. ``preds``, ``decoded``, ``targs`` and ``outputs`` of all pictures are made when they are asked for, by
    a further pass. Confusion matrices count pixels.
    """

    def __init__(self, learn: Learner, split: str, dl: Any = None) -> None:
        self.learn, self.split, self.dl, self.task = learn, split, dl, "category"
        self.block = outcomes.target_block(learn)
        gather = _Gather(len(self.block.vocab))  # type: ignore[union-attr, arg-type]
        counts, self.losses = gathered(learn, loader_of(learn, split, dl), gather)
        self.counts, self.rows, self._confused = counts.whole(), np.asarray(counts.rows, dtype=np.int64), gather.confused.cpu()

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def vocab(self) -> list[Any]:
        return list(self.block.vocab)  # type: ignore[union-attr, arg-type]

    @property
    def baseline_says(self) -> str:
        """What the baseline of the results does, in words."""
        return said_of(self.counts, self.block)

    # -- of all pictures, on demand ---------------------------------------------------------------------------------
    @cached_property
    def _predictions(self) -> Predictions:
        return get_preds(self.learn, dl=loader_of(self.learn, self.split, self.dl), with_decoded=True)

    @property
    def preds(self) -> Tensor:  # type: ignore[override]
        return self._predictions.preds

    @property
    def decoded(self) -> Tensor:  # type: ignore[override]
        return self._predictions.decoded

    @property
    def targs(self) -> Tensor:  # type: ignore[override]
        return self._predictions.targs

    @property
    def outputs(self) -> Tensor:  # type: ignore[override]
        return outcomes.run(self.learn, self.split, self.dl).output

    @property
    def outcome(self) -> outcomes.Outcome:  # type: ignore[override]
        return outcomes.run(self.learn, self.split, self.dl)

    # -- as tables --------------------------------------------------------------------------------------------------
    def _columns(self) -> dict[str, Any]:
        right, actual, said = self.counts.unbind(1)
        either = actual + said - right
        ious = (right / either).where(either > 0, torch.nan)
        return {"pixel_accuracy": (right.sum(1) / actual.sum(1)).numpy(), "mean_iou": ious.nanmean(1).numpy(), "loss": self.losses.numpy()}

    @property
    def table(self) -> pd.DataFrame:
        """The split's rows of ``dls.table`` with the columns pixel_accuracy, mean_iou (of the classes in the picture) and loss. A column of that name that the
        table had is called source_NAME."""
        whole, ours = getattr(self.learn.dls, "table", None), self._columns()
        if self.dl is not None or whole is None or not len(whole):
            return pd.DataFrame(ours)
        table = plain_rows(whole.iloc[self.rows])
        return table.rename(columns={c: f"source_{c}" for c in ours if c in table}).assign(**ours)

    def results(self, metrics: Any = None) -> pd.DataFrame:
        """Each metric with its 95 % interval over pictures and what one class everywhere scores: columns metric, value, low, high, baseline, n."""
        table = pd.DataFrame(rows_of_counts(chosen_metrics(self.learn, metrics), self.counts, self._groups()))
        if metrics is None:
            keep(self.learn, None if self.dl is not None else self.split, table)
        return table

    def _of_group(self, of: dict[str, Any], at: Tensor, metrics: Any, base: Any, groups: Any) -> dict[str, Any]:
        own = None if groups is None else [groups[i] for i in at.tolist()]
        row: dict[str, Any] = {**of, "n": len(at)}
        for found in rows_of_counts(metrics, self.counts[at], own):
            name = found["metric"]
            row |= {name: found["value"], **{f"{name}_{k}": found[k] for k in ("low", "high", "baseline")}}
        return row

    # -- classes ----------------------------------------------------------------------------------------------------
    def confusion_matrix(self) -> np.ndarray:
        """How many pixels of each class (row) were predicted as each (column): ``(classes, classes)``."""
        n = len(self.vocab)
        return self._confused.reshape(n, n).numpy().copy()

    def classification_report(self) -> pd.DataFrame:
        """Of each class: pixels (its share of them), recall, precision, iou, dice."""
        return scores_by_class(self.counts.sum(0), self.vocab)

    def print_classification_report(self) -> None:
        print(self.classification_report().to_string(index=False))

    # -- drawn ------------------------------------------------------------------------------------------------------
    def _said(self, i: int) -> str:
        return ""

    def _right(self, i: int) -> bool | None:
        return None

    def _draw_beside(self, wanted: list[int], heading: str | None, nrows: int | None, ncols: int | None, figsize: Any) -> None:
        found = get_preds(self.learn, dl=self._loader().of_rows(self.rows[wanted]), with_decoded=True)
        n, block = 2 * len(wanted), self.block
        iou = metric_by_name("mean_iou")

        def draw(place: int, ax: Any) -> None:
            self._draw_one(wanted[place // 2], ax)
            assert block is not None
            block.draw(block.decode((found.decoded if place % 2 else found.targs)[place // 2]), ax)

        def title(place: int) -> str:
            i = place // 2
            if place % 2 == 0:
                return "actual"
            iou.reset()
            iou.update(found.preds[i : i + 1], found.targs[i : i + 1])
            return f"predicted, loss {self.losses[wanted[i]]:.2f}, IoU {iou.compute():.2f}"

        columns = ncols if ncols is not None or nrows is not None else min(4, n)
        plots.draw_samples(n, draw, [(title(place), None) for place in range(n)], heading, nrows, columns, figsize)
