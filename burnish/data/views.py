"""What is shown while something goes on: rows of a table as they come, and a bar; in a terminal, a notebook or a log file."""

from __future__ import annotations

import html
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from burnish.data.screen import laid_out, width_of


class View(Protocol):
    """What shows the progress of one fit, or of another long work."""

    every: float  # least seconds between two updates of the bar

    def begin(self, columns: list[str], caption: str | None) -> None: ...
    def bar(self, label: str, done: int, total: int, loss: float | None) -> None: ...
    def row(self, cells: list[str]) -> None: ...
    def end(self, stopped: str | None) -> None: ...


@contextmanager
def bar(label: str, total: int, show: bool = True) -> Iterator[Callable[[int], None]]:
    """A bar for `total` steps while the block runs; gives a function to be told of steps done since it was last called, from any thread.
    Where the output is neither a notebook nor a terminal, nothing is shown."""
    view, lock, done, last = choose_view(bar=True), threading.Lock(), 0, 0.0
    show = show and total > 0 and type(view) is not PlainView  # which shows rows only

    def step(more: int = 1) -> None:
        nonlocal done, last
        with lock:
            done += more
            if show and time.monotonic() - last >= view.every:
                last = time.monotonic()
                view.bar(label, min(done, total), total, None)

    if not show:
        yield step
        return
    view.begin([], None)
    try:
        yield step
    finally:
        view.end(None)


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
    """Rows as lines of text, right-aligned under their names; in a terminal laid out so that they fit its width."""

    every = float("inf")

    def room(self) -> int | None:
        """The characters of a line; None where there is no end to it."""
        return width_of(sys.stdout)

    def begin(self, columns: list[str], caption: str | None) -> None:
        self.layout = laid_out(columns, [5 if c in ("epoch", "time") else 9 for c in columns], self.room()) if columns else None
        if columns and caption:
            self.say(caption)
        for line in self.layout.lines_of_header() if self.layout else ():
            self.say(line)

    def bar(self, label: str, done: int, total: int, loss: float | None) -> None:
        pass

    def row(self, cells: list[str]) -> None:
        for line in self.layout.lines_of(cells) if self.layout else ():
            self.say(line)

    def say(self, line: str) -> None:
        print(line, flush=True)

    def end(self, stopped: str | None) -> None:
        if stopped and self.layout:
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

    def room(self) -> int | None:
        return super().room() or self._rich.console.width

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
