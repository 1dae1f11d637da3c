"""A table of metrics with their intervals, as it is printed. Imported where such a table is made, for it needs pandas."""

from __future__ import annotations

import shutil
from typing import Any

import pandas as pd

from burnish.errors import short
from burnish.evaluate.summary import justified

MOST_ROWS = 60  # that are printed


class Compared(pd.DataFrame):
    """Models or groups compared: a row each, and for a metric the columns NAME, NAME_low and NAME_high.

    A DataFrame in every respect, except that each metric is printed in one column, with its interval in brackets, so that a
    terminal shows them all.
    """

    @property
    def _constructor(self) -> type[Compared]:
        return Compared

    def __repr__(self) -> str:
        names = [c for c in self.columns if {f"{c}_low", f"{c}_high"} <= set(self.columns)]
        if not names or not self.columns.is_unique:
            return super().__repr__()
        inside = {f"{name}_{end}" for name in names for end in ("low", "high")}
        shown: Any = pd.DataFrame({c: self._with_interval(c) if c in names else self[c] for c in self.columns if c not in inside})
        return f"{_printed(shown, shown.columns[0] not in names)}\n(in brackets: 95 % intervals)"

    def _with_interval(self, name: Any) -> pd.Series:
        each = zip(self[name], self[f"{name}_low"], self[f"{name}_high"], strict=True)
        return pd.Series([_told(*numbers) for numbers in each], index=self.index, dtype=object)


class ByClass(pd.DataFrame):
    """Classes, labels or points: a row each. A DataFrame in every respect, except that all columns are printed."""

    def __repr__(self) -> str:
        return _printed(self, True) if len(self.columns) and self.columns.is_unique else super().__repr__()


def _printed(shown: Any, named: bool) -> str:
    """All of a table, in parts where it is wider than the terminal; each begins with the first column, where that names the rows."""
    if named:
        first = shown.columns[0]
        shown = pd.DataFrame(shown).set_index(first).rename_axis(index=None, columns=first)
    width = shutil.get_terminal_size((80, 24)).columns
    return shown.to_string(line_width=width, max_rows=MOST_ROWS, float_format=lambda number: short(number, 3))


def _told(value: float, low: float, high: float) -> str:
    said = justified(value, low, high)
    return f"{said} ({justified(low, low, high)} to {justified(high, low, high)})" if low == low else said
