"""A row of a table with what is predicted of it, as `predict` gives it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from burnish.train.results import show_frame


class PredictedRow(pd.DataFrame):
    """One row with its prediction in the target's column; ``show()`` prints it whole."""

    @property
    def _constructor(self) -> Any:
        return PredictedRow

    def show(self, max_n: int = 10) -> None:
        """Prints the row."""
        show_frame(pd.DataFrame(self.head(max_n)))


def row_of(learn: Any, item: Any, label: Any) -> PredictedRow:
    """The row `item` (a Series, a mapping, a one-row table) with `label` in the column of the target."""
    if isinstance(item, pd.DataFrame):
        cells = dict(item.iloc[0])
    else:
        cells = dict(item) if isinstance(item, (Mapping, pd.Series)) else {}
    targets = [name for names in learn.dls.target_names for name in names]
    said = label if isinstance(label, (tuple, list)) and len(targets) > 1 else [label]
    return PredictedRow({**{k: [v] for k, v in cells.items()}, **{k: [v] for k, v in zip(targets, said, strict=False)}})
