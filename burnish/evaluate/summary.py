"""Results as they should be told: with an interval, and beside what knowing nothing would give."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from burnish.data.lazy import pd
from burnish.data.notes import note
from burnish.errors import listed
from burnish.evaluate import outcome as outcomes
from burnish.evaluate.baselines import Baseline, baseline_of
from burnish.evaluate.custom import LossMetric
from burnish.evaluate.intervals import Interval, Units, interval, ratio_interval
from burnish.evaluate.joint import metrics_of
from burnish.evaluate.losses import sample_weights
from burnish.evaluate.mask_results import MaskCounts, count_split, is_of_masks, rows_of_counts, said_of
from burnish.evaluate.metrics import resolve_metrics
from burnish.evaluate.outcome import Outcome
from burnish.evaluate.segmentation import MaskMetric
from burnish.train.callback import Callback
from burnish.train.callbacks.trackers import SaveModel
from burnish.train.metric import Metric
from burnish.train.recipes import FROZEN

if TYPE_CHECKING:
    from burnish.train.learner import Learner
    from burnish.train.recorder import Recorder

COLUMNS = ["metric", "value", "low", "high", "baseline", "n"]
MOST_KEPT = 100_000_000  # numbers; a split with more output than this (masks, say) isn't kept for an interval
EARLIER = -1  # stands for an epoch of an earlier fit, or of before a run was resumed


def assess(learn: Learner, split: int | str = "valid", metrics: Any = None, dl: Any = None) -> pd.DataFrame:
    """How good a learner is on a split, from one pass: each metric and the loss with a 95 % interval and the baseline.

    Args:
        split: "train", "valid" or "test" (or 0, 1, 2).
        metrics: names, functions or Metrics; the learner's (or the target's own) by default.
        dl: a loader with labels to use instead of a split.

    Returns: columns metric, value, low, high, baseline, n. A metric that can't be computed is nan, and a note says why.
    """
    name = outcomes.split_name(split)
    if is_of_masks(learn):
        table = _results_of_masks(learn, name, metrics, dl)
    else:
        found = outcomes.run(learn, name, dl)
        table = results_of(learn, found, metrics, None if dl is not None else outcomes.groups_of(learn.dls, found.rows))
    if metrics is None:
        keep(learn, None if dl is not None else name, table)
    return table


def keep(learn: Learner, split: str | None, table: pd.DataFrame) -> None:
    """Keeps the results on a split (None: of a loader of its own, which isn't kept), for the record, the model card and the
    report, until the weights change."""
    if split is not None:
        learn.results[split] = table


def chosen_metrics(learn: Learner, metrics: Any = None) -> list[Metric]:
    """The metrics to report: those given, or the learner's, or the target block's own. A LossMetric is left out: it knows
    only the batch that has just gone through the loss."""
    block = outcomes.target_block(learn)
    own = list(getattr(learn, "metrics", None) or [])
    default = own or (metrics_of(block) if block is not None else [])
    chosen = [m for m in resolve_metrics(default if metrics is None else metrics) if not isinstance(m, LossMetric)]
    if block is not None:
        for metric in chosen:
            metric.for_target(block)
    return chosen


def _results_of_masks(learn: Learner, split: str, metrics: Any, dl: Any) -> pd.DataFrame:
    """The table of ``assess`` for masks, whose outputs are never kept."""
    counts, losses = count_split(learn, split, dl)
    groups = None if dl is not None else outcomes.groups_of(learn.dls, np.array(counts.rows))
    chosen = chosen_metrics(learn, metrics)
    if others := [m.name for m in chosen if not isinstance(m, MaskMetric)]:
        note(
            f"{listed(others)} left out: of masks burnish's own metrics are told here (mean_iou, dice_multi, pixel_accuracy ...); learn.validate() gives others."
        )
    rows = rows_of_counts(chosen, counts.whole(), groups)
    rows.append(_row("loss", loss_interval(losses, groups), math.nan))
    return pd.DataFrame(rows, columns=COLUMNS)


def results_of(learn: Learner, found: Outcome, metrics: Any = None, groups: Sequence[Any] | None = None) -> pd.DataFrame:
    """The table of ``assess`` from stored outputs."""
    base = baseline_of(learn.dls)
    rows = results_of_metrics(chosen_metrics(learn, metrics), found, base, groups)
    lost = loss_interval(found.losses, groups, sample_weights(learn.loss_func, found.target))
    rows.append(_row("loss", lost, math.nan if base is None else base.loss(learn.loss_func, found.target)))
    return pd.DataFrame(rows, columns=COLUMNS)


def results_of_metrics(
    metrics: Sequence[Metric],
    found: Outcome,
    base: Baseline | None,
    groups: Sequence[Any] | None,
    where: str = "",
    explained: Collection[str] = (),
) -> list[dict[str, Any]]:
    """The rows of ``assess`` for some metrics.

    Args:
        where: which samples these are, for the note on a metric that can't be computed on them: " for site 'north'".
        explained: the metrics of which such a note has been given already.
    """
    constant = None if base is None else base.on(found.target)
    rows = []
    for metric in metrics:
        result = measured(metric, found.output_for(metric), found.target, groups, where, say=metric.name not in explained)
        rows.append(_row(metric.name, result, math.nan if constant is None else constant.value(metric, found.target)))
    return rows


def _row(name: str, found: Interval, baseline: float) -> dict[str, Any]:
    return dict(zip(COLUMNS, [name, found.value, found.low, found.high, baseline, found.n], strict=True))


def measured(metric: Metric, output: Tensor, target: Tensor, groups: Sequence[Any] | None, where: str = "", say: bool = True) -> Interval:
    """A metric with its interval; nan, and a note (unless `say` is False), where it can't be computed (`where`: on which samples)."""
    try:
        return interval(metric, output, target, groups=groups)
    except ValueError as error:
        if say:
            note(f"The metric {metric.name!r} is nan{where}: {error}")
        return Interval(math.nan, math.nan, math.nan, len(target), "none")


def loss_interval(losses: Tensor, groups: Sequence[Any] | None = None, weights: Tensor | None = None) -> Interval:
    """The mean of the samples' losses with its interval.

    Args:
        losses: ``(samples,)``, multiplied by the sample's weight where the loss has class weights.
        weights: those weights ``(samples,)``; the mean is over their sum, as it is in training.
    """
    sums = losses.double().numpy()
    counts = np.ones(len(sums)) if weights is None else weights.double().numpy()
    low, high, method = ratio_interval(Units(sums, counts, float), groups=groups)
    return Interval(float(sums.sum() / counts.sum()) if counts.sum() else math.nan, low, high, len(sums), method)


def sentence(table: pd.DataFrame, split: str, unit: str, says: str | None, better: dict[str, str | None]) -> str:
    """The results in one line.

    Args:
        table: as ``assess`` gives it.
        unit: what the samples are: "images". says: what the baseline does, in words; None for none.
        better: metric -> "higher" or "lower", to say when a result is no better than the baseline.
    """
    rows = table.to_dict("records")
    text = f"{split}: {', '.join(_told(row, unit if i == 0 else None) for i, row in enumerate(rows))}"
    compared = [r for r in rows if r["baseline"] == r["baseline"]]
    if says is None or not compared:
        return text
    if len(rows) == 1:
        text += f"; {says} {_shown(compared[0])}"
    else:
        each = ", ".join(f"{r['metric']} {_shown(r)}" for r in compared)
        text += f"; {says}: {each}"
    doubtful = not_clearly_better(pd.DataFrame(compared), better)
    return text + (f". Not clearly better than that: {', '.join(doubtful)}" if doubtful else "")


def not_clearly_better(table: pd.DataFrame, better: dict[str, str | None]) -> list[str]:
    """The metrics of a table as ``assess`` gives it whose interval doesn't lie on the better side of their baseline; nor does
    the value itself, where there is no interval (a model that always gives one answer has none for many metrics)."""
    rows = [r for r in table.to_dict("records") if r["baseline"] == r["baseline"] and r["value"] == r["value"]]
    return [r["metric"] for r in rows if not _clearly_better(r, better.get(r["metric"]))]


def _told(row: dict[str, Any], unit: str | None) -> str:
    """A metric with its interval; the first one (`unit` is given) also says what the numbers in brackets are."""
    inside = []
    if row["low"] == row["low"]:
        inside.append(f"{'95 % interval ' if unit else ''}{_shown(row, 'low')} to {_shown(row, 'high')}")
    if unit:
        inside.append(f"{row['n']:,} {unit}")
    return f"{row['metric']} {_shown(row, 'value')}" + (f" ({', '.join(inside)})" if inside else "")


def _shown(row: dict[str, Any], which: str = "baseline") -> str:
    return justified(row[which], row["low"], row["high"])


def justified(number: float, low: float, high: float) -> str:
    """A number with as many decimals as the interval from `low` to `high` justifies: two digits of its half width."""
    half = (high - low) / 2
    return f"{number:,.{int(np.clip(1 - math.floor(math.log10(half)), 0, 5))}f}" if half > 0 else f"{number:.3g}"


def _clearly_better(row: dict[str, Any], direction: str | None) -> bool:
    low, high = (row["low"], row["high"]) if row["low"] == row["low"] else (row["value"], row["value"])
    return direction is None or {"higher": low > row["baseline"], "lower": high < row["baseline"]}[direction]


class Outputs:
    """Outputs and targets of one pass over a split, kept on the device as they come; of masks their counts."""

    def __init__(self) -> None:
        self._masks = MaskCounts()
        self._unfit: str | None = None  # why masks can't be told
        self._batches: list[tuple[Tensor, Tensor, list[int] | None]] = []
        self._size = 0

    def add(self, learn: Learner) -> None:
        """The batch that has just gone through; nothing where there isn't one output and one target, or too much to keep."""
        if len(learn.yb) != 1 or not isinstance(learn.pred, Tensor) or not isinstance(learn.yb[0], Tensor):
            return
        if is_of_masks(learn):
            self._add_masks(learn)
            return
        self._size += learn.pred.numel()
        if self._size > MOST_KEPT:
            self._batches = []
            return
        rows = getattr(learn.dl, "last_rows", None)
        self._batches.append((learn.pred.detach().float().clone(), learn.yb[0].detach(), list(rows) if rows else None))

    def _add_masks(self, learn: Learner) -> None:
        if self._unfit is None:
            try:
                self._masks.add(learn.pred, learn.yb[0], getattr(learn.dl, "last_rows", None))
            except ValueError as error:  # outputs of another form, with a loss and metrics of the user's own
                self._masks, self._unfit = MaskCounts(), str(error)

    def tell(self, learn: Learner, split: str | None, explained: Collection[str]) -> pd.DataFrame | None:
        """Says how good the outputs are, and gives the table; None when there are none. Never raises: what was run is done, and
        isn't to be lost for a note. `explained` are the metrics of which the recorder has said why they can't be computed."""
        if self._size > MOST_KEPT:
            note(
                f"The results have no intervals: the outputs of this pass are more than the {MOST_KEPT:,} numbers that are kept for them. assess(learn) works them out, where the memory holds all outputs."
            )
        if self._unfit is not None:
            note(f"The results can't be told with intervals. {self._unfit}")
        if not self._batches and not len(self._masks):
            return None
        try:
            return self._told_masks(learn, split) if len(self._masks) else self._told(learn, split, explained)
        except Exception as error:
            note(
                f"The results can't be told with their intervals ({type(error).__name__}: {error}). assess(learn) shows where that happens."
            )
            return None

    def _told_masks(self, learn: Learner, split: str | None) -> pd.DataFrame:
        counts, metrics = self._masks.whole(), chosen_metrics(learn)
        groups = outcomes.groups_of(learn.dls, np.array(self._masks.rows)) if split is not None else None
        table = pd.DataFrame(rows_of_counts(metrics, counts, groups), columns=COLUMNS)
        if len(table):
            keep(learn, split, table)
            if not learn.silent:
                says = said_of(counts, outcomes.target_block(learn))
                note(sentence(table, split or "the given loader", _unit(learn), says, {m.name: m.better for m in metrics}))
        return table

    def _told(self, learn: Learner, split: str | None, explained: Collection[str]) -> pd.DataFrame:
        output, target = torch.cat([b[0] for b in self._batches]).cpu(), torch.cat([b[1] for b in self._batches]).cpu()
        rows = [r for _, _, part in self._batches for r in (part or [])]
        known = len(rows) == len(target)
        places = np.array(rows if known else range(len(target)), dtype=np.int64)
        held = outcomes.held_out_of(learn, output, places, split if known else None)
        found = Outcome(output, target, torch.zeros(0), places, held)
        groups = outcomes.groups_of(learn.dls, found.rows) if known and split is not None else None
        metrics, base = chosen_metrics(learn), baseline_of(learn.dls)
        table = pd.DataFrame(results_of_metrics(metrics, found, base, groups, explained=explained), columns=COLUMNS)
        if len(table):
            keep(learn, split, table)
            better = {m.name: m.better for m in metrics}
            if not learn.silent:
                said = sentence(table, split or "the given loader", _unit(learn), None if base is None else base.on(target).says, better)
                note(said + _of_one_class(metrics, getattr(outcomes.target_block(learn), "vocab", None) or []))
        return table


class ResultNote(Callback):
    """Says at the end of a fit how good the model is: each metric with its interval, beside the trivial baseline; and so after
    ``learn.validate()``.

    It keeps the outputs of the last validation (on the device, read once at the end); where SaveModel puts the best
    weights back, those of the best epoch. Nothing is run a second time.

    Attributes:
        table: the results of the last fit, as ``assess`` gives them; None before.
    """

    order = 60  # after_fit runs in reverse: SaveModel (62) has put the best weights back

    def __init__(self) -> None:
        self.table: pd.DataFrame | None = None
        self._forget()

    def _forget(self) -> None:
        self._now: Outputs = Outputs()
        self._kept: dict[int, Outputs] = {}
        self._fitting = False

    def before_fit(self, learn: Learner) -> None:
        self.table = None  # an earlier fit's results are not this model's any more
        self._forget()
        self._fitting = True

    def before_train(self, learn: Learner) -> None:
        """From here on the weights are others than those last validated; only the epoch that SaveModel puts back still counts."""
        best = _restored_epoch(learn)
        self._kept = {e: kept for e, kept in self._kept.items() if e == best}

    def before_validate(self, learn: Learner) -> None:
        self._now = Outputs()

    def after_batch(self, learn: Learner) -> None:
        if self._fitting and not learn.training:
            self._now.add(learn)

    def after_validate(self, learn: Learner) -> None:
        self._kept[learn.epoch] = self._now  # not in after_epoch, where EarlyStopping ends the fit before everybody has been asked

    def after_fit(self, learn: Learner) -> None:
        best, kept = _restored_epoch(learn), self._kept
        outputs = kept.get(max(kept, default=-1) if best is None else best)
        self._forget()
        if getattr(learn, "exception", None) is not None or _is_first_phase(learn):
            return
        if outputs is not None:
            self.table = outputs.tell(learn, "valid", learn.recorder.explained)
        elif best == EARLIER and learn.has_valid:
            note("The best weights are of an epoch before this fit began or was resumed. learn.validate() says how good they are.")

    def in_validate(self, split: str | None, recorder: Recorder) -> Callback:
        return ValidationNote(split, recorder)


class ValidationNote(Callback):
    """Says what one ``learn.validate()`` found: each metric with its interval, beside the trivial baseline."""

    order = 70

    def __init__(self, split: str | None, recorder: Recorder) -> None:
        self.split, self._recorder, self._outputs = split, recorder, Outputs()

    def after_batch(self, learn: Learner) -> None:
        self._outputs.add(learn)

    def after_validate(self, learn: Learner) -> None:
        self._outputs.tell(learn, self.split, self._recorder.explained)


def _of_one_class(metrics: Sequence[Metric], vocab: Sequence[Any]) -> str:
    """Which class the metrics are about that look for one of two."""
    about = {m.name: m.positive for m in metrics if m.positive is not None and m.positive < len(vocab)}
    return "".join(
        f". Of class {str(vocab[c])!r}: {listed([n for n, of in about.items() if of == c])}" for c in sorted(set(about.values()))
    )


def _restored_epoch(learn: Learner) -> int | None:
    """The epoch whose weights SaveModel puts back at the end, EARLIER where that isn't one of this fit; None where it puts none
    back."""
    savers = (cb for cb in learn.cbs if isinstance(cb, SaveModel) and cb.best_epoch is not None)
    return next((cb.best_epoch if cb.saved_here else EARLIER for cb in savers), None)


def _is_first_phase(learn: Learner) -> bool:
    """Whether this fit is the frozen phase of fine_tune, after which training goes on."""
    return getattr(learn, "phase", None) == FROZEN


def _unit(learn: Learner) -> str:
    blocks = list(getattr(learn.dls, "blocks", None) or [])
    return "images" if blocks and blocks[0].kind == "image" else "samples"
