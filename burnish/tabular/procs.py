"""Procs: how the columns of a table are prepared. What they learn, they learn from the training rows."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from burnish.data.config import Configurable
from burnish.data.lazy import pd
from burnish.errors import DataError, SettingError, listed, nearest
from burnish.tabular.features import NumberFeature


class FillStrategy:
    """What is put in the place of a missing number; names for ``FillMissing(fill_strategy=...)``."""

    median = "median"
    mean = "mean"
    mode = "mode"
    constant = "constant"


STRATEGIES = ("median", "mean", "mode", "constant")


class Categorify:
    """Categories become codes: 0 for missing cells, 1 ... for the categories of the training rows, one more for unknown ones."""


class FillMissing:
    """Missing numbers are filled.

    Args:
        fill_strategy: "median", "mean" or "mode" of the training rows, or "constant".
        add_col: where training has missing cells, a category beside the column says which they were (NAME_na).
        fill_vals: the constant by column, for "constant"; 0 for a column that isn't named.
    """

    def __init__(self, fill_strategy: str = "median", add_col: bool = True, fill_vals: Mapping[str, float] | None = None) -> None:
        if fill_strategy not in STRATEGIES:
            raise SettingError(
                f"fill_strategy={fill_strategy!r}: expected one of {', '.join(map(repr, STRATEGIES))}.{nearest(str(fill_strategy), STRATEGIES)}"
            )
        if fill_vals and fill_strategy != "constant":
            raise SettingError(f"fill_vals are for fill_strategy='constant', and it is {fill_strategy!r}.")
        self.fill_strategy, self.add_col = fill_strategy, add_col
        self.fill_vals = {str(name): value for name, value in (fill_vals or {}).items()}

    def check_columns(self, numbers: Sequence[str]) -> None:
        """Raises DataError if a constant is given for what is no column of numbers."""
        unknown = [name for name in self.fill_vals if name not in numbers]
        if unknown:
            raise DataError(
                f"fill_vals has {listed(map(repr, unknown))}, which is no column of numbers here.{nearest(unknown[0], numbers)} "
                f"They are: {listed(dict.fromkeys(numbers), 20)}."
            )

    def value(self, feature: NumberFeature, column: pd.Series) -> float:
        """What a missing cell of a training column gets."""
        if self.fill_strategy == "constant":
            return float(self.fill_vals.get(feature.source, 0.0))
        numbers = feature.numbers(column)
        missing = np.isnan(numbers)
        there = numbers[~missing] if missing.any() else numbers
        if not len(there):
            raise DataError(
                f"Column {feature.source!r} has no number in the training rows, all are missing, so nothing can be put in their place. Leave it out of cont_names."
            )
        found = pd.Series(there).mode().iloc[0] if self.fill_strategy == "mode" else getattr(np, self.fill_strategy)(there)
        return float(found) if math.isfinite(found) else 0.0


class Normalize:
    """Numbers come to mean 0 and spread 1 over the training rows."""


class Dates:
    """Columns of dates become what varies in them: month, weekday, hour ... as categories; the time passed, and where in the
    year, the week and the day it is, as numbers.

    Args:
        names: the column(s); None is every column that holds dates and is not among the categories and numbers.
        cyclic: the sine and cosine of the way through the year, the week and the day too.
    """

    def __init__(self, names: Any = None, cyclic: bool = True) -> None:
        several = isinstance(names, Iterable) and not isinstance(names, str)
        self.names = None if names is None else list(map(str, names)) if several else [str(names)]
        self.cyclic = cyclic


class TabularProc(Configurable):
    """A preparation of your own: a class with ``apply(frame) -> frame``, which changes or adds columns, row by row.

    It runs before all else, on the table and later on every row to predict. ``setup(frame)`` gets the training rows first, to
    learn from; what it learns belongs in attributes called like the constructor's parameters, which the model file keeps. The
    class must be defined or imported before such a file is loaded.

    Example:
        >>> class Area(TabularProc):
        ...     def apply(self, frame):
        ...         return frame.assign(area=frame["width"] * frame["height"])
    """

    order: ClassVar[int] = 0

    def setup(self, frame: pd.DataFrame) -> None:
        """Learns from the training rows."""

    def apply(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The table with columns changed or added; as many rows, in the same order."""
        raise NotImplementedError

    def applied(self, frame: pd.DataFrame) -> pd.DataFrame:
        """``apply``, checked."""
        made = self.apply(frame)
        if not isinstance(made, pd.DataFrame) or len(made) != len(frame):
            got = f"{len(made)} rows" if isinstance(made, pd.DataFrame) else f"a {type(made).__name__}"
            raise DataError(
                f"{type(self).__name__}.apply must return a table with a row for each of the {len(frame)} rows; it returned {got}."
            )
        return made


class Procs:
    """What a list of procs asks for.

    Attributes:
        fill: how missing numbers are filled, or None. normalize: whether numbers are brought to one scale.
        dates: which columns are taken apart as dates, or None. own: the user's own procs, in order: copies, which learn for one table.
    """

    def __init__(self, procs: Any = None) -> None:
        given = (
            [Categorify, FillMissing, Normalize, Dates] if procs is None else list(procs) if isinstance(procs, (list, tuple)) else [procs]
        )
        self.fill: FillMissing | None = None
        self.dates: Dates | None = None
        self.normalize, self.own = False, []
        for proc in given:
            if "Normalize" in (
                getattr(proc, "__name__", None),
                type(proc).__name__,
            ):  # pictures have a class of that name, which people may hold
                proc = Normalize
            made = proc() if isinstance(proc, type) else proc
            if isinstance(made, FillMissing):
                self.fill = made
            elif isinstance(made, Dates):
                self.dates = made
            elif isinstance(made, Normalize):
                self.normalize = True
            elif isinstance(made, TabularProc):
                self.own.append(copy.deepcopy(made))
            elif not isinstance(made, Categorify):
                raise SettingError(
                    f"procs has {proc!r}; expected Categorify, FillMissing, Normalize, Dates, or a class of your own that derives from TabularProc "
                    "and implements apply(frame)."
                )
        self.own.sort(key=lambda proc: proc.order)
