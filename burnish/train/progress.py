"""Progress: the table of results as it grows, and a bar; in a terminal, a notebook or a log file."""

from __future__ import annotations

import html
import os
import sys
import time
from typing import TYPE_CHECKING, Any, Protocol

from burnish.train.callback import Callback
from burnish.train.scores import as_text

if TYPE_CHECKING:
    from burnish.train.learner import Learner

PHASES = {"head": "training the head (the body is frozen)", "whole": "training the whole model"}


class View(Protocol):
    """What shows the progress of one fit."""

    every: float  # least seconds between two updates of the bar

    def begin(self, columns: list[str], caption: str | None) -> None: ...
    def bar(self, label: str, done: int, total: int, loss: float | None) -> None: ...
    def row(self, cells: list[str]) -> None: ...
    def end(self, stopped: str | None) -> None: ...


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


def choose_view(bar: bool) -> View:
    """The view for where the output goes."""
    if notebook():
        return NotebookView()
    return TerminalView() if bar and _live_terminal() else PlainView()


def notebook() -> bool:
    """Whether this runs in a notebook: a Jupyter kernel, Colab, VS Code."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and (hasattr(shell, "kernel") or "colab" in type(shell).__module__)


def _live_terminal() -> bool:
    return bool(getattr(sys.stdout, "isatty", lambda: False)()) and os.environ.get("TERM") != "dumb"


class PlainView:
    """Rows as lines of text, right-aligned under their names."""

    every = float("inf")

    def begin(self, columns: list[str], caption: str | None) -> None:
        self.widths = [max(len(c), 5 if c in ("epoch", "time") else 9) for c in columns]
        if columns and caption:
            self.say(caption)
        if columns:
            self.row(columns)

    def bar(self, label: str, done: int, total: int, loss: float | None) -> None:
        pass

    def row(self, cells: list[str]) -> None:
        self.say("  ".join(f"{cell:>{width}}" for cell, width in zip(cells, self.widths, strict=True)))

    def say(self, line: str) -> None:
        print(line, flush=True)

    def end(self, stopped: str | None) -> None:
        if stopped and self.widths:
            self.say(stopped)


class TerminalView(PlainView):
    """Rows, and a live bar below them that goes away at the end."""

    every = 0.1

    def begin(self, columns: list[str], caption: str | None) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        columns_of_bar = (
            TextColumn("{task.description}"),
            BarColumn(24),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        self._rich = RichProgress(*columns_of_bar, transient=True, auto_refresh=False)
        self._task = self._rich.add_task("", total=None, visible=False, note="")
        self._label = ""
        self._rich.start()
        super().begin(columns, caption)

    def bar(self, label: str, done: int, total: int, loss: float | None) -> None:
        if label != self._label:
            self._label = label
            self._rich.reset(self._task, total=total, description=label, visible=True, note="")
        self._rich.update(self._task, completed=done, total=total, note="" if loss is None else f"loss {loss:.4f}")
        self._rich.refresh()

    def say(self, line: str) -> None:
        self._rich.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def end(self, stopped: str | None) -> None:
        super().end(stopped)
        self._rich.stop()


class NotebookView:
    """One HTML table, updated in place, with a bar below it while training."""

    every = 0.4

    def begin(self, columns: list[str], caption: str | None) -> None:
        self.columns, self.caption, self.lines, self._bar = columns, caption, [], ""
        self._handle: Any = None
        self._show()

    def bar(self, label: str, done: int, total: int, loss: float | None) -> None:
        said = f"{label}: {done}/{total}" + ("" if loss is None else f", loss {loss:.4f}")
        self._bar = (
            f'<div><progress value="{done}" max="{total}" style="width:20em;vertical-align:middle"></progress> {html.escape(said)}</div>'
        )
        self._show()

    def row(self, cells: list[str]) -> None:
        self.lines.append(cells)
        self._show()

    def end(self, stopped: str | None) -> None:
        self._bar = f"<div>{html.escape(stopped)}</div>" if stopped and self.columns else ""
        self._show()

    def html(self) -> str:
        """What is on screen now."""
        if not self.columns:
            return self._bar
        cell = '<{tag} style="text-align:right;padding:0.2em 0.8em">{text}</{tag}>'
        head = "".join(cell.format(tag="th", text=html.escape(c)) for c in self.columns)
        body = "".join("<tr>" + "".join(cell.format(tag="td", text=html.escape(c)) for c in line) + "</tr>" for line in self.lines)
        caption = f'<caption style="text-align:left">{html.escape(self.caption)}</caption>' if self.caption else ""
        return f'<table style="font-variant-numeric:tabular-nums">{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{self._bar}'

    def _show(self) -> None:
        from IPython.display import HTML, display

        if self._handle is None:
            self._handle = display(HTML(self.html()), display_id=True)
        else:
            self._handle.update(HTML(self.html()))
