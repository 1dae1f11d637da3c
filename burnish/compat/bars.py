"""fastprogress' bars, shown by burnish's: ``for i in progress_bar(range(10))``, and a master bar around several."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from burnish.data.views import View, choose_view

__all__ = ["ConsoleMasterBar", "ConsoleProgressBar", "NBMasterBar", "NBProgressBar", "force_console_behavior", "master_bar", "progress_bar"]


class ProgressBar:
    """Goes through `gen` and shows how far it is.

    Args:
        gen: what is gone through. total: how many; its length by default. display: False shows nothing. parent: the master bar around it. comment: a text beside it.
        leave, master: have no effect: a bar goes away when it is done.
    """

    def __init__(
        self, gen: Iterable[Any] | None, total: int | None = None, display: bool = True, leave: bool = True, parent: MasterBar | None = None, master: Any = None, comment: str = ""
    ) -> None:  # fmt: skip
        _ = leave
        self.gen, self.display, self.comment = gen, display, comment
        self.parent: MasterBar | None = parent if parent is not None else master
        self.total = total if total is not None else len(gen) if hasattr(gen, "__len__") else None  # type: ignore[arg-type]
        self._view: View | None = None
        self._last, self._mine = 0.0, False
        if self.parent is not None:
            self.parent.child = self

    def __iter__(self) -> Iterator[Any]:
        try:
            self.update(0)
            for i, item in enumerate(self.gen or ()):
                yield item
                self.update(i + 1)
        finally:
            self._end()

    def update(self, val: int) -> None:
        """Says that so many are done."""
        view = self._shown_by()
        if view is None or not self.total or time.monotonic() - self._last < view.every:
            return
        self._last = time.monotonic()
        said = self.comment if self.parent is None else f"{self.parent.said()} {self.comment}"
        view.bar(said.strip(), min(val, self.total), self.total, None)

    def _shown_by(self) -> View | None:
        if not self.display or self.total is None:
            return None
        if self.parent is not None:
            return self.parent.view
        if self._view is None:
            self._view = choose_view(bar=True)
            self._view.begin([], None)
        return self._view

    def _end(self) -> None:
        if self._view is not None:
            self._view.end(None)
            self._view = None


class MasterBar(ProgressBar):
    """A bar around others: ``for epoch in (mb := master_bar(range(3))): for i in progress_bar(range(9), parent=mb): ...``; ``mb.main_bar.comment``, ``mb.child.comment`` and
    ``mb.write(text)`` are said beside and above it.
    """

    def __init__(
        self, gen: Iterable[Any], cls: Any = None, hide_graph: bool = False, order: Any = None, clean_on_interrupt: bool = False, total_time: bool = False, total: int | None = None
    ) -> None:  # fmt: skip
        _ = cls, hide_graph, order, clean_on_interrupt, total_time
        super().__init__(gen, total)
        self.view: View | None = None
        self.main_bar, self._place = self, 0
        self.child: ProgressBar | None = None
        self._names: list[str] = []

    def __iter__(self) -> Iterator[Any]:
        self.view = choose_view(bar=True)
        self.view.begin([], None)
        try:
            for i, item in enumerate(self.gen or ()):
                self._place = i
                yield item
        finally:
            self.view.end(None)
            self.view = None

    def said(self) -> str:
        """Where it is."""
        where = f"{self._place + 1}/{self.total}" if self.total else f"{self._place + 1}"
        return f"{where} {self.comment}".strip()

    def write(self, line: Any, table: bool = False) -> None:
        """A line, or with `table` the cells of one."""
        cells = [f"{v:.6f}" if isinstance(v, float) else str(v) for v in line] if table and not isinstance(line, str) else [str(line)]
        print("  ".join(cells), flush=True)

    def update_graph(
        self, graphs: Sequence[Any], x_bounds: Any = None, y_bounds: Any = None, figsize: tuple[float, float] = (6, 4)
    ) -> None:
        """Draws curves, ``[(x, y), ...]``, in a notebook anew at every call; elsewhere nothing."""
        from burnish.data.views import notebook

        if not notebook():
            return
        import matplotlib.pyplot as plt
        from IPython.display import display

        figure, ax = plt.subplots(figsize=figsize, layout="constrained")
        for i, (x, y) in enumerate(graphs):
            ax.plot(x, y, label=self._names[i] if i < len(self._names) else None)
        ax.set(**({"xlim": x_bounds} if x_bounds else {}), **({"ylim": y_bounds} if y_bounds else {}))
        plt.close(figure)
        handle = self.__dict__.get("_graph")
        if handle is None:
            self._graph = display(figure, display_id=True)
        else:
            handle.update(figure)

    @property
    def names(self) -> list[str]:
        """What the curves of the graph are called."""
        return self._names

    @names.setter
    def names(self, names: Sequence[str]) -> None:
        self._names = list(names)


progress_bar = ConsoleProgressBar = NBProgressBar = ProgressBar
master_bar = ConsoleMasterBar = NBMasterBar = MasterBar


def force_console_behavior() -> tuple[Any, Any]:
    """Both bars: where the output goes decides how they look."""
    return master_bar, progress_bar
