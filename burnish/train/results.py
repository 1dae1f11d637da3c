"""What training gives back: its table of results, and the scores of one validation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd


class Results(pd.DataFrame):
    """The results of a fit: a row an epoch, with the columns epoch, train_loss, valid_loss, each metric, and time
    (seconds). ``fine_tune`` puts a column `phase` in front.

    A DataFrame in every respect, except that a notebook doesn't show it a second time when it is a cell's last value
    and the live table is already there.
    """

    _already_shown = False

    @property
    def _constructor(self) -> type[Results]:
        return Results

    def shown(self) -> Results:
        """Marks that a notebook has this table on screen already; returns itself."""
        object.__setattr__(self, "_already_shown", True)
        return self

    def _ipython_display_(self) -> None:
        if self._already_shown:
            object.__setattr__(self, "_already_shown", False)  # asked for again, it is shown
            return
        raise NotImplementedError  # IPython goes on with _repr_html_ or repr


def results_table(rows: Iterable[dict[str, Any]], columns: Sequence[str]) -> Results:
    """Rows as Results; the columns are there also when no epoch ended."""
    return Results(list(rows), columns=list(columns))


def joined(parts: dict[str, Results]) -> Results:
    """The results of several phases below one another, with a first column that names the phase."""
    tables = []
    for phase, part in parts.items():
        table = part.copy()
        table.insert(0, "phase", phase)
        tables.append(table)
    whole = Results(pd.concat([t for t in tables if len(t)] or tables[:1], ignore_index=True))
    return whole.shown() if any(p._already_shown for p in parts.values()) else whole


class Scores(list[float]):
    """Loss and metrics of one validation: a list of numbers that knows their names.

    >>> scores = Scores(["valid_loss", "accuracy"], [0.5, 0.75])
    >>> scores[0], scores["accuracy"], scores
    (0.5, 0.75, valid_loss 0.5, accuracy 0.75)
    """

    def __init__(self, names: Sequence[str], values: Sequence[float]) -> None:
        super().__init__(values)
        self.names = list(names)

    def __getitem__(self, which: Any) -> Any:
        return super().__getitem__(self.names.index(which) if isinstance(which, str) else which)

    def as_dict(self) -> dict[str, float]:
        """Name to number."""
        return dict(zip(self.names, self, strict=True))

    def __repr__(self) -> str:
        return ", ".join(f"{name} {value:.6g}" for name, value in zip(self.names, self, strict=True))


def seconds_as_clock(seconds: float) -> str:
    """Seconds as people read them: mm:ss, or h:mm:ss beyond an hour.

    >>> seconds_as_clock(75), seconds_as_clock(3700)
    ('01:15', '1:01:40')
    """
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes:02d}:{rest:02d}"


def as_text(name: str, value: Any) -> str:
    """A cell of the table as the display shows it."""
    if name == "time":
        return seconds_as_clock(value)
    if value is None:
        return ""
    return f"{value:.6f}" if isinstance(value, float) else str(value)
