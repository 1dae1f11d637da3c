"""Callbacks that watch one column of the results: stop early, keep the best weights, lower the learning rate."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from burnish.data.notes import note
from burnish.data.whole import checked_whole
from burnish.errors import SettingError, nearest
from burnish.train.callback import Callback, CancelFitException

if TYPE_CHECKING:
    import torch

    from burnish.train.learner import Learner

_LOWER = re.compile(r"loss|error|perplexity|mse|mae|msle|hamming|brier|deviance|distance")
_HIGHER = re.compile(r"acc|f1|f_?beta|precision|recall|auc|score|dice|iou|jaccard|kappa|matthews|r2|corr|variance|bleu|top_?k|top_?\d")
Comparison = str | Callable[[float, float], object] | None


class Tracker(Callback):
    """Base of the callbacks that follow one column: compares its value with the best one after every epoch.

    Args:
        monitor: a column of the results table.
        comp: "lower" or "higher" (or ``np.less`` / ``np.greater``): which values are better. None asks the metric
            itself, then its name.
        min_delta: a change smaller than this is no improvement.
        reset_on_fit: forget the best value when a new fit begins.

    Raises:
        SettingError: (when training begins) there is no such column, or it can't be told which values are better.
    """

    order: ClassVar[float] = 61

    def __init__(self, monitor: str = "valid_loss", comp: Comparison = None, min_delta: float = 0.0, reset_on_fit: bool = True) -> None:
        self.monitor, self.comp, self.min_delta, self.reset_on_fit = monitor, comp, abs(min_delta), reset_on_fit
        if comp is not None:
            as_direction(comp)
        self.best: float | None = None
        self.improved = False
        self._sign = 1.0

    def before_fit(self, learn: Learner) -> None:
        columns = monitored_columns(learn)
        if self.monitor not in columns:
            raise SettingError(
                f"{type(self).__name__}(monitor={self.monitor!r}): the results have no such column. Columns: {', '.join(columns)}.{nearest(self.monitor, columns)}"
            )
        direction = as_direction(self.comp) if self.comp is not None else guess_direction(learn, self.monitor)
        self._sign = 1.0 if direction == "lower" else -1.0
        if self.reset_on_fit:
            self.best = None

    def after_epoch(self, learn: Learner) -> None:
        """Sets ``improved`` and ``best`` from the epoch that has just ended. A nan never improves."""
        value = self.value(learn)
        self.improved = not math.isnan(value) and (self.best is None or self._sign * (self.best - value) > self.min_delta)
        if self.improved:
            self.best = value

    def value(self, learn: Learner) -> float:
        """The monitored value of the epoch that has just ended; nan when the epoch did not give one."""
        value = learn.recorder.latest.get(self.monitor)
        return float("nan") if value is None else float(value)

    def state_dict(self) -> dict[str, object]:
        return {"best": self.best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best = state["best"]


def monitored_columns(learn: Learner) -> list[str]:
    """The columns that an epoch of `learn` will give, before there is one."""
    return [c for c in learn.recorder.columns_of(learn) if c not in ("epoch", "time")]


def as_direction(comp: str | Callable[[float, float], object]) -> str:
    """ "lower" or "higher" for what a user may say: these words, "min"/"max", or a comparison such as ``np.less``."""
    if isinstance(comp, str):
        direction = {"lower": "lower", "min": "lower", "higher": "higher", "max": "higher"}.get(comp)
        if direction:
            return direction
    elif callable(comp):
        return "lower" if bool(comp(0.0, 1.0)) else "higher"
    raise SettingError(
        f"comp={comp!r}: expected 'lower' or 'higher' (or np.less, np.greater): which values of the monitored column are better."
    )


def guess_direction(learn: Learner, column: str) -> str:
    """Which values of `column` are better: what the metric says, else what its name says."""
    own = {m.name: m.better for m in learn.metrics}
    said = own.get(column) or own.get(column.removeprefix("valid_").removeprefix("train_"))
    if said in ("lower", "higher"):
        return said
    name = column.lower()
    lower, higher = bool(_LOWER.search(name)), bool(_HIGHER.search(name))
    if lower != higher:
        return "lower" if lower else "higher"
    raise SettingError(
        f"monitor={column!r}: can't tell whether lower or higher values of it are better. Say comp='lower' or comp='higher', or give the metric an attribute `better`."
    )


class EarlyStopping(Tracker):
    """Ends training when the monitored column has not improved for `patience` epochs in a row.

    Args:
        patience: epochs without improvement that are borne.
        monitor, comp, min_delta, reset_on_fit: see Tracker.
    """

    order: ClassVar[float] = 70

    def __init__(
        self, monitor: str = "valid_loss", comp: Comparison = None, min_delta: float = 0.0, patience: int = 1, reset_on_fit: bool = True
    ) -> None:
        super().__init__(monitor, comp, min_delta, reset_on_fit)
        self.patience, self.waited = checked_whole("patience", patience, 1), 0

    def before_fit(self, learn: Learner) -> None:
        super().before_fit(learn)
        self.waited = 0

    def after_epoch(self, learn: Learner) -> None:
        super().after_epoch(learn)
        self.waited = 0 if self.improved else self.waited + 1
        if self.waited >= self.patience:
            note(
                f"EarlyStopping: {self.monitor} has not improved for {self.waited} epoch(s) (best {_shown(self.best)}); stopped after epoch {learn.epoch}."
            )
            raise CancelFitException

    def state_dict(self) -> dict[str, object]:
        return {**super().state_dict(), "waited": self.waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.waited = state["waited"]


class SaveModel(Tracker):
    """Saves the weights whenever the monitored column improves, and loads the best ones when training has ended.

    After an interrupted fit (Ctrl-C, an error) the weights stay as they are, and a note names the file with the best ones.

    Args:
        fname: name of the file, saved by ``learn.save``; with `every_epoch` the epoch's number is put behind it.
        every_epoch: save after every epoch (True) or every n-th one (a number) instead of at improvements, and load
            nothing at the end.
        at_end: save (once more) when training has ended.
        with_opt: save the optimizer's state too.
        monitor, comp, min_delta, reset_on_fit: see Tracker.
    """

    order: ClassVar[float] = 62

    def __init__(
        self,
        monitor: str = "valid_loss",
        comp: Comparison = None,
        min_delta: float = 0.0,
        fname: str = "model",
        every_epoch: bool | int = False,
        at_end: bool = False,
        with_opt: bool = False,
        reset_on_fit: bool = True,
    ) -> None:
        super().__init__(monitor, comp, min_delta, reset_on_fit)
        self.fname, self.at_end, self.with_opt = fname, at_end, with_opt
        self.every_epoch = checked_whole("every_epoch", 1 if every_epoch is True else every_epoch, 1) if every_epoch else 0
        self.best_epoch: int | None = None
        self.saved_value: float | None = None
        self.saved_here = False  # whether best_epoch is one of this fit, not of an earlier one or of before a resume

    def before_fit(self, learn: Learner) -> None:
        self.saved_here = False
        if not self.every_epoch:
            super().before_fit(learn)
        if self.reset_on_fit:
            self.best_epoch = None

    def after_epoch(self, learn: Learner) -> None:
        if self.every_epoch:
            if learn.epoch % self.every_epoch == 0:
                self._save(learn, f"{self.fname}_{learn.epoch}")
            return
        super().after_epoch(learn)
        if self.improved:
            self._save(learn, self.fname)
            # only now: a full disk leaves the older file
            self.best_epoch, self.saved_value, self.saved_here = learn.epoch, self.best, True

    def after_fit(self, learn: Learner) -> None:
        broken = getattr(learn, "exception", None) is not None
        if not self.every_epoch:
            self._finish(learn, broken)
        if self.at_end and not broken:
            self._save(learn, self.fname if not self.every_epoch else f"{self.fname}_end")

    def _finish(self, learn: Learner, broken: bool) -> None:
        if self.best_epoch is None:
            if not broken:
                note(f"SaveModel: {self.monitor} never had a value to improve, so nothing was saved and the weights stay as they are.")
        elif broken:
            note(
                f"SaveModel: the fit was interrupted; the best weights (epoch {self.best_epoch}, {self.monitor} {_shown(self.saved_value)}) are in learn.load({self.fname!r})."
            )
        else:
            if self.best_epoch != learn.epoch:
                note(f"SaveModel: back to the best weights, of epoch {self.best_epoch} ({self.monitor} {_shown(self.best)}).")
            learn.load(self.fname, with_opt=self.with_opt)

    def _save(self, learn: Learner, fname: str) -> None:
        learn.save(fname, with_opt=self.with_opt)

    def state_dict(self) -> dict[str, object]:
        return {**super().state_dict(), "best_epoch": self.best_epoch, "saved_value": self.saved_value}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.best_epoch, self.saved_value = state["best_epoch"], state["saved_value"]


class ReduceLROnPlateau(Tracker):
    """Divides the learning rate by `factor` when the monitored column has not improved for `patience` epochs in a row.

    It multiplies whatever the schedule sets, so it works with one_cycle and the like as it does with a constant rate.
    The rates go back to their own when the fit ends.

    Args:
        patience: epochs without improvement that are borne.
        factor: what the rate is divided by; above 1.
        min_lr: no rate is taken below this.
        monitor, comp, min_delta, reset_on_fit: see Tracker.
    """

    order: ClassVar[float] = 69  # in before_step: after any schedule has set its rates

    def __init__(
        self,
        monitor: str = "valid_loss",
        comp: Comparison = None,
        min_delta: float = 0.0,
        patience: int = 1,
        factor: float = 10.0,
        min_lr: float = 0.0,
        reset_on_fit: bool = True,
    ) -> None:
        super().__init__(monitor, comp, min_delta, reset_on_fit)
        if factor <= 1:
            raise SettingError(f"factor={factor!r}: the learning rate is divided by it, so it must be above 1.")
        self.patience, self.factor, self.min_lr = checked_whole("patience", patience, 1), factor, min_lr
        self.waited, self.scale = 0, 1.0
        self._base: list[float] = []
        self._written: list[float] = []

    def before_fit(self, learn: Learner) -> None:
        super().before_fit(learn)
        self.waited, self.scale, self._base, self._written = 0, 1.0, [], []

    def before_step(self, learn: Learner) -> None:
        if self.scale == 1.0:
            return
        self._keep_base(learn.opt)
        self._written = [max(base * self.scale, min(self.min_lr, base)) for base in self._base]
        for group, lr in zip(learn.opt.param_groups, self._written, strict=True):
            group["lr"] = lr

    def _keep_base(self, opt: torch.optim.Optimizer) -> None:
        """The rates without this callback: what a schedule has set since, or what was there before."""
        now = [float(group["lr"]) for group in opt.param_groups]
        if len(self._written) != len(now):
            self._base, self._written = list(now), list(now)
        self._base = [base if lr == written else lr for base, lr, written in zip(self._base, now, self._written, strict=True)]

    def after_epoch(self, learn: Learner) -> None:
        super().after_epoch(learn)
        self.waited = 0 if self.improved else self.waited + 1
        if self.waited >= self.patience:
            self.waited, self.scale = 0, self.scale / self.factor
            note(
                f"ReduceLROnPlateau: {self.monitor} has not improved; from epoch {learn.epoch + 1} on the learning rate is {self.scale:.3g} times its own."
            )

    def after_fit(self, learn: Learner) -> None:
        if self._written:
            self._keep_base(learn.opt)
            for group, lr in zip(learn.opt.param_groups, self._base, strict=True):
                group["lr"] = lr

    def state_dict(self) -> dict[str, object]:
        return {
            **super().state_dict(),
            "waited": self.waited,
            "scale": self.scale,
            "base": list(self._base),
            "written": list(self._written),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.waited, self.scale = state["waited"], state["scale"]
        self._base, self._written = list(state["base"]), list(state["written"])


def _shown(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}"


EarlyStoppingCallback, SaveModelCallback, TrackerCallback = EarlyStopping, SaveModel, Tracker

__all__ = [
    "EarlyStopping", "EarlyStoppingCallback", "ReduceLROnPlateau", "SaveModel", "SaveModelCallback", "Tracker", "TrackerCallback",
    "as_direction", "guess_direction", "monitored_columns",
]  # fmt: skip
