"""What training gives back: its table of results. Imported where such a table is made, for it needs pandas."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from burnish.train.progress import notebook


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


def show_frame(frame: pd.DataFrame) -> None:
    """Shows a table where the user is: as HTML in a notebook, as text in a terminal."""
    if notebook():
        from IPython.display import display

        display(frame)
    else:
        print(frame.to_string(max_rows=60, line_width=120))


def joined(parts: dict[str, Results]) -> Results:
    """The results of several phases below one another, with a first column that names the phase."""
    tables = []
    for phase, part in parts.items():
        table = part.copy()
        table.insert(0, "phase", phase)
        tables.append(table)
    whole = Results(pd.concat([t for t in tables if len(t)] or tables[:1], ignore_index=True))
    return whole.shown() if any(p._already_shown for p in parts.values()) else whole
