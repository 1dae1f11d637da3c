"""Recorder: what happened in training, kept without waiting for the device, and its plots."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from burnish.data.lazy import pd
from burnish.data.notes import note
from burnish.errors import SettingError, listed
from burnish.train.callback import Callback
from burnish.train.metric import value_of
from burnish.train.optim import get_hyper, has_momentum

if TYPE_CHECKING:
    from burnish.train.learner import Learner
    from burnish.train.results import Results

_CHUNK = 512  # batch losses that wait as single tensors, before they are stacked (on the device, without waiting)


class Curve(NamedTuple):
    """The losses of a fit: smoothed after each training batch; batches seen at each epoch's end, and the validation loss there."""

    losses: list[float]
    iters: list[int]
    valid: list[float]


class Recorder(Callback):
    """Records losses, learning rates, metrics and times. Values stay on the device until an epoch ends or someone asks.

    Attributes:
        train_metrics: compute the metrics on the training batches too (columns train_NAME and valid_NAME).
        valid_metrics: compute them on validation.
        explained: metrics that could not be computed in this run, and why; a note has said it.
        latest: the columns of the last epoch's row, name to number.
        lrs, moms: learning rate and momentum of the last layer group, one a training batch.
        iters: training batches seen at each epoch's end.
        beta: weight of the past in the smoothed training loss: an exponential average over batches, corrected for its
            start, begun anew with each fit (not each epoch).
    """

    order = 50

    def __init__(self, train_metrics: bool = False, valid_metrics: bool = True, beta: float = 0.98) -> None:
        self.train_metrics, self.valid_metrics, self.beta = train_metrics, valid_metrics, beta
        self.finder: tuple[np.ndarray, np.ndarray, dict[str, float]] | None = None  # of lr_find: rates, losses, suggestions
        self._runs: list[Results] = []
        self._phase: str | None = None
        self._before: list[Curve] = []  # of the phases of fine_tune that came before the last fit
        self._clear([])

    def _clear(self, columns: list[str]) -> None:
        self.columns, self.rows = columns, []
        self.latest: dict[str, float] = {}
        self.lrs: list[float] = []
        self.moms: list[float] = []
        self.iters: list[int] = []
        self._steps = 0  # the optimizer's, at the last epoch's end
        self._read: list[float] = []  # batch losses that have been read
        self._stacks: list[Tensor] = []  # then those stacked on the device
        self._waiting: list[Tensor] = []  # then single ones
        self._smooth = (0.0, 0)  # running average, and how many losses are in it
        self._smoothed: list[float] = []
        self._said_nan = False
        self._failed: set[str] = set()  # metrics that can't be computed this epoch
        self.explained: dict[str, str] = {}
        self._train_scores: list[float] = []
        self._valid_scores: list[float] = []
        self._total: Tensor | float = 0.0  # of the validation loss over samples
        self._count = 0

    # -- during a fit -------------------------------------------------------------------------------------------
    def before_fit(self, learn: Learner) -> None:
        self._close_run()
        goes_on = self._phase == "head" and learn.phase == "whole"
        self._before, self._phase = [self.curves()[-1]] if goes_on else [], learn.phase
        self._clear(self.columns_of(learn))
        self._has_momentum = has_momentum(learn.opt)

    def columns_of(self, learn: Learner) -> list[str]:
        """The columns of the results table of a fit of `learn`."""
        names = [m.name for m in learn.metrics]
        twice = self.train_metrics and self.valid_metrics and learn.has_valid
        train = [f"train_{n}" if twice else n for n in names] if self.train_metrics else []
        valid = [f"valid_{n}" if twice else n for n in names] if self.valid_metrics and learn.has_valid else []
        return ["epoch", "train_loss", *train, *(["valid_loss"] if learn.has_valid else []), *valid, "time"]

    def before_epoch(self, learn: Learner) -> None:
        self._started = time.perf_counter()
        self._train_scores, self._valid_scores = [], []
        self._total, self._count = 0.0, 0

    def before_train(self, learn: Learner) -> None:
        if self.train_metrics:
            self._begin_scores(learn)

    def before_validate(self, learn: Learner) -> None:
        self._begin_scores(learn)

    def _begin_scores(self, learn: Learner) -> None:
        self._total, self._count = 0.0, 0
        for metric in learn.metrics:
            metric.reset()

    def after_batch(self, learn: Learner) -> None:
        if learn.loss is None:  # a callback cancelled the batch, or it has no target
            return
        if learn.training:
            self._record_batch(learn)
            if self.train_metrics:
                self._update_metrics(learn)
        else:
            self._update_scores(learn)

    def _record_batch(self, learn: Learner) -> None:
        self._waiting.append(learn.loss.detach())
        if len(self._waiting) >= _CHUNK:
            self._stack()
        self.lrs.append(get_hyper(learn.opt, "lr"))
        if self._has_momentum:
            self.moms.append(get_hyper(learn.opt, "mom"))

    def _update_scores(self, learn: Learner) -> None:
        n = batch_size(learn.yb)
        self._total = self._total + learn.loss.detach().float() * n
        self._count += n
        if self.valid_metrics:
            self._update_metrics(learn)

    def _update_metrics(self, learn: Learner) -> None:
        pred = learn.pred.detach() if isinstance(learn.pred, Tensor) else learn.pred
        if isinstance(pred, Tensor) and pred.dtype in (torch.float16, torch.bfloat16):
            pred = pred.float()
        targets: Any = learn.yb[0] if len(learn.yb) == 1 else learn.yb
        for metric in learn.metrics:
            if metric.name not in self._failed:
                self._guarded(metric.name, lambda metric=metric: metric.update(pred, targets))

    def _guarded(self, name: str, action: Callable[[], Any]) -> Any:
        """A metric's action, or nan where it can't be computed (ValueError): why is said once a run, and training goes on."""
        try:
            return action()
        except ValueError as error:
            self._failed.add(name)
            if self.explained.get(name) != str(error):
                note(f"The metric {name!r} can't be computed and shows nan: {error}")
            self.explained[name] = str(error)
            return float("nan")

    def after_train(self, learn: Learner) -> None:
        if self.train_metrics:
            self._train_scores = self._read_metrics(learn)

    def after_validate(self, learn: Learner) -> None:
        loss = float(self._total) / self._count if self._count else float("nan")
        self._valid_scores = [loss, *(self._read_metrics(learn) if self.valid_metrics else [])]

    def _read_metrics(self, learn: Learner) -> list[float]:
        return [self._guarded(m.name, lambda m=m: value_of(m)) if m.name not in self._failed else float("nan") for m in learn.metrics]

    def valid_scores(self) -> list[float]:
        """Loss and metrics of the last validation pass; the one place where its values are read from the device."""
        return self._valid_scores

    def after_epoch(self, learn: Learner) -> None:
        smoothed = self.losses
        train_loss = smoothed[-1] if smoothed else float("nan")
        values = [train_loss, *self._train_scores, *self._valid_scores]
        n_values = len(self.columns) - 2
        values = (values + [float("nan")] * n_values)[:n_values]  # a cancelled validation has none
        row = [learn.epoch, *values, time.perf_counter() - self._started]
        self.latest = dict(zip(self.columns, row, strict=True))
        self.rows.append(dict(self.latest))
        self.iters.append(len(self.lrs))
        self._steps = learn.step
        self._failed.clear()
        self._say_nan(learn)

    def _say_nan(self, learn: Learner) -> None:
        first = next((i for i, v in enumerate(self._read) if not np.isfinite(v)), None)
        if first is None or self._said_nan:
            return
        self._said_nan = True
        note(
            f"The training loss became {self._read[first]} at batch {first + 1} of this fit (epoch {learn.epoch}), and so may the weights. Use a smaller learning rate "
            "(learn.lr_find() suggests one), look for nan or huge values in the data, or add TerminateOnNaN() or GradientClip() to cbs."
        )

    def after_fit(self, learn: Learner) -> None:
        self._read_all()

    def _close_run(self) -> None:
        if self.rows:
            self._runs.append(self.results())

    # -- losses: from the device to numbers, when asked ---------------------------------------------------------------
    def _stack(self) -> None:
        if self._waiting:
            self._stacks.append(torch.stack(self._waiting).reshape(-1).float())
            self._waiting = []

    def _read_all(self) -> list[float]:
        self._stack()
        if self._stacks:
            self._read.extend(torch.cat(self._stacks).tolist())
            self._stacks = []
        return self._read

    @property
    def raw_losses(self) -> list[float]:
        """The training loss of every batch of the last fit."""
        return list(self._read_all())

    @property
    def losses(self) -> list[float]:
        """The smoothed training loss after every batch of the last fit."""
        raw = self._read_all()
        average, n = self._smooth
        for value in raw[len(self._smoothed) :]:
            average, n = self.beta * average + (1 - self.beta) * value, n + 1
            self._smoothed.append(average / (1 - self.beta**n))
        self._smooth = (average, n)
        return self._smoothed

    @property
    def smooth_loss(self) -> float:
        """The smoothed training loss now; nan before the first batch. Reading it waits for the device."""
        return self.losses[-1] if self.losses else float("nan")

    # -- results --------------------------------------------------------------------------------------------------
    @property
    def metric_names(self) -> list[str]:
        """The columns of the table."""
        return list(self.columns)

    @property
    def values(self) -> list[list[float]]:
        """Each epoch's row of the last fit, without epoch and time."""
        return [[v for k, v in row.items() if k not in ("epoch", "time")] for row in self.rows]

    def is_current(self, learn: Learner) -> bool:
        """Whether the last row tells of the weights as they are: no step was made after it (as when Ctrl-C ends an epoch)."""
        return learn.step == self._steps

    def curves(self) -> list[Curve]:
        """The losses of the last fit; of both phases, one after the other, when it was ``fine_tune``."""
        return [*self._before, Curve(list(self.losses), list(self.iters), [row.get("valid_loss", float("nan")) for row in self.rows])]

    def results(self) -> Results:
        """The table of the last fit."""
        from burnish.train.results import results_table

        return results_table(self.rows, self.columns)

    def history(self) -> pd.DataFrame:
        """The tables of all fits of this learner below one another, with a first column `fit` (from 0)."""
        tables = [*self._runs, *([self.results()] if self.rows else [])]
        if not tables:
            return pd.DataFrame()
        return pd.concat([pd.DataFrame(t).assign(fit=i) for i, t in enumerate(tables)], ignore_index=True).pipe(_first, "fit")

    def state_dict(self) -> dict[str, object]:
        """For checkpoints: everything that results and plots need."""
        runs = [{"columns": list(r.columns), "rows": r.to_dict("records")} for r in self._runs]
        return {
            "columns": self.columns, "rows": self.rows, "latest": self.latest, "lrs": torch.tensor(self.lrs, dtype=torch.float64),
            "moms": torch.tensor(self.moms, dtype=torch.float64), "iters": self.iters, "steps": self._steps,
            "losses": torch.tensor(self._read_all(), dtype=torch.float64), "runs": runs,
            "before": [list(curve) for curve in self._before],
        }  # fmt: skip

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._clear(list(state["columns"]))
        self.rows, self.latest, self.iters = [dict(r) for r in state["rows"]], dict(state["latest"]), list(state["iters"])
        self._steps = state["steps"]
        self.lrs, self.moms, self._read = state["lrs"].tolist(), state["moms"].tolist(), state["losses"].tolist()
        from burnish.train.results import results_table

        self._runs = [results_table(r["rows"], r["columns"]) for r in state["runs"]]
        self._before = [Curve(*curve) for curve in state["before"]]

    # -- plots ------------------------------------------------------------------------------------------------------
    def plot_loss(self, skip_start: int = 5, with_valid: bool = True, log: bool = False, show_epochs: bool = False, ax: Any = None) -> Any:
        """The smoothed training loss by batch, and the validation loss at each epoch's end; both phases of ``fine_tune``.

        Args:
            skip_start: first batches left out, of a short training at most a quarter.
            log: a logarithmic axis of losses.
            show_epochs: vertical lines between epochs.
            ax: matplotlib axes to draw on; a new figure's by default.

        Returns:
            the axes.
        """
        if not self.losses:
            raise SettingError("There is no loss to plot yet: train first, e.g. learn.fit_one_cycle(1).")
        from matplotlib.ticker import MaxNLocator

        ax, curves = ax if ax is not None else _new_axes((6.4, 4.0)), self.curves()
        skip, start = min(skip_start, sum(len(curve.losses) for curve in curves) // 4), 0
        ends: list[tuple[int, float]] = []
        for losses, iters, valid in curves:
            batches = np.arange(max(start, skip), start + len(losses)) + 1
            ax.plot(batches, losses[len(losses) - len(batches) :], color="tab:blue", label="_" if start else "train (smoothed)")
            ends += [(start + i, loss) for i, loss in zip(iters, valid, strict=True)]
            start += len(losses)
        shown = [(i, loss) for i, loss in ends if i > skip and not np.isnan(loss)]
        if with_valid and shown:
            ax.plot(*zip(*shown, strict=True), label="valid", color="tab:orange", marker="o", markersize=4)
        for i, _ in ends if show_epochs else ():
            ax.axvline(i, color="0.85", linewidth=0.8, zorder=0)
        if len(curves) > 1:
            border = len(curves[0].losses) + 0.5
            ax.axvline(border, color="0.6", linestyle="--", linewidth=0.8, zorder=0, label="from here the body trains too")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set(xlabel="training batch", ylabel="loss", yscale="log" if log else "linear")
        ax.legend(frameon=False)
        return ax

    def plot_sched(self, keys: Sequence[str] | None = None, figsize: tuple[float, float] | None = None) -> Any:
        """The learning rate and the momentum by batch, as the optimizer had them.

        Args:
            keys: "lr", "mom"; both by default.
        """
        known = {"lr": self.lrs, "mom": self.moms}
        chosen = [k for k in known if known[k]] if keys is None else list(keys)
        unknown = [k for k in chosen if k not in known]
        if unknown or not chosen or not self.lrs:
            why = (
                f"keys={unknown}: expected 'lr' or 'mom'"
                if unknown
                else "nothing is recorded yet: train first, e.g. learn.fit_one_cycle(1)"
            )
            raise SettingError(f"plot_sched: {why}.")
        import matplotlib.pyplot as plt

        _, axes = plt.subplots(1, len(chosen), figsize=figsize or (4.2 * len(chosen), 3.0), squeeze=False, layout="constrained")
        for ax, key in zip(axes[0], chosen, strict=True):
            ax.plot(np.arange(1, len(known[key]) + 1), known[key])
            ax.set(xlabel="training batch", ylabel={"lr": "learning rate", "mom": "momentum"}[key])
        return axes[0]

    def plot_lr_find(self, skip_end: int = 5, suggestions: dict[str, float] | None = None, ax: Any = None) -> Any:
        """The loss by learning rate of the last ``lr_find``, with its suggestions marked."""
        if self.finder is None:
            raise SettingError("There is nothing to plot: run learn.lr_find() first.")
        from burnish.train.lr_find import draw_finder

        lrs, losses, found = self.finder
        end = max(2, len(lrs) - skip_end) if skip_end else len(lrs)
        return draw_finder(
            lrs[:end], losses[:end], found if suggestions is None else suggestions, ax if ax is not None else _new_axes((6.4, 4.0))
        )

    def __repr__(self) -> str:
        return f"Recorder({len(self.rows)} epochs, {len(self.lrs)} batches; columns: {listed(self.columns, 12) or 'none yet'})"


def batch_size(targets: tuple[Any, ...]) -> int:
    """Number of samples of a batch, from its first target."""
    first = targets[0]
    return len(first) if not isinstance(first, Tensor) or first.ndim else 1


def _first(table: pd.DataFrame, column: str) -> pd.DataFrame:
    return table.loc[:, [column, *[c for c in table.columns if c != column]]]


def _new_axes(figsize: tuple[float, float]) -> Any:
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=figsize, layout="constrained")[1]
