"""A row of a table with what is predicted of it, as `predict` gives it."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import pandas as pd

from burnish.train.results import show_frame


class PredictedRow:
    """One row with its prediction in the target's column: a table of one row, which is made when something of it is asked for; ``show()`` prints it whole.

    Args:
        item: the row (a Series, a mapping, a one-row table). predicted: target to what is predicted.
    """

    def __init__(self, item: Any, predicted: Mapping[str, Any]) -> None:
        self._item, self._predicted = item, predicted

    @functools.cached_property
    def items(self) -> pd.DataFrame:
        """The row as a table."""
        item = self._item.iloc[0] if isinstance(self._item, pd.DataFrame) else self._item
        cells = dict(item) if isinstance(item, (Mapping, pd.Series)) else {}
        return pd.DataFrame({name: [value] for name, value in {**cells, **self._predicted}.items()})

    def show(self, max_n: int = 10) -> None:
        """Prints the row."""
        show_frame(self.items.head(max_n))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.items, name)

    def __getitem__(self, key: Any) -> Any:
        return self.items[key]

    def __len__(self) -> int:
        return 1

    def __repr__(self) -> str:
        return repr(self.items)

    def _repr_html_(self) -> str:
        return self.items._repr_html_()  # type: ignore[operator]


def row_of(learn: Any, item: Any, label: Any) -> PredictedRow:
    """The row `item` with `label` in the column of the target."""
    targets = [name for names in learn.dls.target_names for name in names]
    said = label if isinstance(label, (tuple, list)) and len(targets) > 1 else [label]
    return PredictedRow(item, dict(zip(targets, said, strict=False)))
