"""The progress of a fit: the table of results as it grows, and a bar for the batches."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from burnish.data.views import View, choose_view, notebook
from burnish.train.callback import Callback
from burnish.train.scores import as_text

if TYPE_CHECKING:
    from burnish.train.learner import Learner

PHASES = {"head": "training the head (the body is frozen)", "whole": "training the whole model"}


class Progress(Callback):
    """Shows a row an epoch and a bar for the batches: an HTML table in a notebook, lines in a terminal. Where the output
    is neither (a log file) there are only the rows.

    Args:
        bar: show the bar.
        rows: show the table.

    During a pass it looks at the clock, and only at the CPU's losses: it never makes an accelerator wait.
    """

    order = 60

    def __init__(self, bar: bool = True, rows: bool = True) -> None:
        self.bar, self.rows = bar, rows
        self.in_notebook = False
        self._view: View | None = None
        self._last = 0.0

    def before_fit(self, learn: Learner) -> None:
        self.in_notebook = self.rows and notebook()
        self._view = choose_view(self.bar) if self.bar or self.rows else None
        self._columns = learn.recorder.columns_of(learn)
        if self._view is not None:
            self._view.begin(self._columns if self.rows else [], PHASES.get(learn.phase or ""))

    def before_train(self, learn: Learner) -> None:
        self._begin_pass(learn)

    def before_validate(self, learn: Learner) -> None:
        self._begin_pass(learn)

    def _begin_pass(self, learn: Learner) -> None:
        which = "train" if learn.training else "valid"
        self._label = f"epoch {learn.epoch + 1}/{learn.n_epochs} {which}"
        self._update(learn, 0)

    def after_batch(self, learn: Learner) -> None:
        if self._view is not None and time.monotonic() - self._last >= self._view.every:
            self._update(learn, learn.batch_index + 1)

    def _update(self, learn: Learner, done: int) -> None:
        if self._view is None or not self.bar:
            return
        readable = self.rows and learn.training and learn.device.type == "cpu"
        self._view.bar(self._label, done, learn.n_batches, learn.recorder.smooth_loss if readable and done else None)
        self._last = time.monotonic()

    def after_epoch(self, learn: Learner) -> None:
        if self._view is not None and self.rows:
            self._view.row([as_text(name, learn.recorder.latest.get(name)) for name in self._columns])

    def after_fit(self, learn: Learner) -> None:
        view, self._view = self._view, None
        if view is not None:
            stopped = (
                None
                if learn.exception is None
                else f"stopped in epoch {learn.epoch}, batch {learn.batch_index}, by {type(learn.exception).__name__}"
            )
            view.end(stopped)
