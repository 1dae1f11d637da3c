"""Features: what one column of a table becomes for a model, learned from the training rows; a category's code, a number's value."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from burnish.data.config import Configurable
from burnish.data.label import is_missing
from burnish.data.lazy import pd
from burnish.errors import DataError, listed, nearest

NA = "#na#"  # the class of missing cells, always the first
_MOST_SHOWN = 4


class Feature(Configurable):
    """One input of a model, made of one column.

    Attributes:
        source: the column. name: what the feature is called, the column's name unless several are made of it.
        na_seen: whether the training rows had missing cells.
    """

    source: str
    na_seen: bool

    @property
    def name(self) -> str:
        return self.source

    def learn(self, column: pd.Series) -> None:
        """Learns from the training rows of its column."""
        raise NotImplementedError

    def of_cell(self, cell: Any) -> float:
        """A cell as the model gets it."""
        raise NotImplementedError

    def of_column(self, column: pd.Series) -> np.ndarray:
        """The same for a whole column."""
        raise NotImplementedError

    def said(self, made: float) -> Any:
        """What the model got, as a person reads it."""
        raise NotImplementedError

    def surprise(self, column: pd.Series, made: np.ndarray) -> str | None:
        """What a column has that the training rows had not, and what was done about it; None if nothing."""
        return None

    def _wrong(self, column: pd.Series, wrong: np.ndarray, expected: str) -> DataError:
        """The error for cells that can't be what they should be."""
        at = np.flatnonzero(wrong).tolist()
        shown = listed((f"{column.iloc[i]!r} (row {column.index[i]})" for i in at), _MOST_SHOWN)
        return DataError(f"Column {self.source!r} has {len(at)} cell(s) that are no {expected}: {shown}. It was learned as {expected}s.")


class CategoryFeature(Feature):
    """A category by its code: 0 missing, 1 ... the classes known from training, and after them one for unknown ones.

    Args:
        source: the column.
        classes: "#na#", then the categories in their order; None learns those of the training rows, sorted (those of pandas'
            categorical columns in their own order).
        values: what they are: "text", "number" or "truth".
        na_seen: whether missing cells were seen in training; where not, a missing cell is taken as unknown.
    """

    def __init__(self, source: str, classes: Sequence[Any] | None = None, values: str | None = None, na_seen: bool = False) -> None:
        self.source, self.values, self.na_seen = source, values, na_seen
        self.classes: list[Any] = [NA] if classes is None else list(classes)
        self._index: dict[Any, int] = {}

    @property
    def unknown(self) -> int:
        """The code of what training has not seen."""
        return len(self.classes)

    @property
    def rows(self) -> int:
        """How many codes there are: the rows of an embedding."""
        return len(self.classes) + 1

    @property
    def index(self) -> dict[Any, int]:
        """Category to code."""
        if len(self._index) != len(self.classes) - 1:
            self._index = {c: i for i, c in enumerate(self.classes[1:], start=1)}
        return self._index

    def learn(self, column: pd.Series) -> None:
        parts = self.parts(column)
        self.values = self.values or kind_of_values(parts)
        codes, keys = self._keys(parts)
        self.na_seen = bool((codes < 0).any())
        ordered = list(dict.fromkeys(keys)) if isinstance(column.dtype, pd.CategoricalDtype) else sorted(set(keys))
        self.classes, self._index = [NA, *ordered], {}

    def parts(self, column: pd.Series) -> pd.Series:
        """What of a column is categorised: its cells."""
        return column

    def _keys(self, parts: pd.Series) -> tuple[np.ndarray, list[Any]]:
        """For each cell the position of its category (-1 missing), and the categories that there are."""
        if isinstance(parts.dtype, pd.CategoricalDtype):  # in pandas' own order
            codes, own = parts.cat.codes.to_numpy(), parts.cat.categories
            used = np.flatnonzero(np.bincount(codes[codes >= 0], minlength=len(own)))
            place = np.full(len(own) + 1, -1, dtype=np.int32)  # of the missing ones, whose code is -1, too
            place[used] = np.arange(len(used))
            codes, different = place[codes], own[used]
        else:
            try:
                codes, different = pd.factorize(parts)
            except TypeError as error:
                raise DataError(f"Column {self.source!r} has cells that are no plain values ({error}).") from error
        keys = [self.plain(value) for value in different]
        wrong = [k for k, key in enumerate(keys) if key is None]
        if wrong:
            raise self._wrong(parts, np.isin(codes, wrong), self._noun())
        return np.asarray(codes), keys

    def plain(self, value: Any) -> Any:
        """A value that isn't missing as its category; None where it can be none."""
        if self.values == "text":
            return value if type(value) is str else as_text(value)
        return as_truth(value) if self.values == "truth" else as_number(value)

    def key(self, cell: Any) -> Any:
        """A cell that isn't missing as its category.

        Raises:
            DataError: it can be none.
        """
        made = self.plain(cell)
        if made is None:
            raise DataError(f"Column {self.source!r} got {cell!r}, which is no {self._noun()}; it was learned as {self._noun()}s.")
        return made

    def of_cell(self, cell: Any) -> float:
        if is_missing(cell):
            return 0 if self.na_seen else self.unknown
        return self.index.get(self.key(cell), self.unknown)

    def of_column(self, column: pd.Series) -> np.ndarray:
        codes, keys = self._keys(self.parts(column))
        known = [self.index.get(key, self.unknown) for key in keys]
        return np.array([*known, 0 if self.na_seen else self.unknown], dtype=np.int32)[codes]  # -1, the missing ones, is the last

    def said(self, made: float) -> Any:
        code = int(made)
        return "#unknown#" if code >= self.unknown else self.classes[code]

    def surprise(self, column: pd.Series, made: np.ndarray) -> str | None:
        missing = column.isna().to_numpy()
        new = (made == self.unknown) & ~missing
        parts = []
        if new.any():
            values = listed(map(repr, dict.fromkeys(column[new].tolist())), _MOST_SHOWN)
            parts.append(f"{self.source!r} has {int(new.sum())} cell(s) with categories unknown from training ({values}), taken as unknown")
        if missing.any() and not self.na_seen:
            parts.append(f"{self.source!r} has {int(missing.sum())} missing cell(s), of which training had none, taken as unknown")
        return "; ".join(parts) or None

    def _noun(self) -> str:
        return "number" if self.values == "number" else "truth value"


class MissingFeature(CategoryFeature):
    """Whether a number was missing: a category beside the number that is put in its place."""

    def __init__(self, source: str, na_seen: bool = True) -> None:
        super().__init__(source, [NA, False, True], "truth", na_seen)

    @property
    def name(self) -> str:
        return f"{self.source}_na"

    def learn(self, column: pd.Series) -> None:
        pass

    def of_cell(self, cell: Any) -> float:
        return 2 if is_missing(cell) else 1

    def of_column(self, column: pd.Series) -> np.ndarray:
        return column.isna().to_numpy().astype(np.int64) + 1

    def surprise(self, column: pd.Series, made: np.ndarray) -> str | None:
        return None


class NumberFeature(Feature):
    """A number: missing ones filled, then brought to mean 0 and spread 1.

    Args:
        source: the column.
        fill: what a missing cell gets; None refuses missing cells.
        mean, std: of the training rows, filled; 0 and 1 leave the numbers as they are.
        na_seen: whether missing cells were seen in training.
    """

    def __init__(self, source: str, fill: float | None = None, mean: float = 0.0, std: float = 1.0, na_seen: bool = False) -> None:
        self.source, self.fill, self.mean, self.std, self.na_seen = source, fill, mean, std, na_seen

    def learn(self, column: pd.Series) -> None:
        self.na_seen = bool(np.isnan(self.numbers(column)).any())

    def learn_scale(self, column: pd.Series) -> None:
        """Learns mean and spread of the training rows, missing cells filled."""
        numbers = self._filled(column)
        self.mean, spread = float(numbers.mean()), float(numbers.std())
        self.std = spread if spread > 0 else 1.0

    def numbers(self, column: pd.Series) -> np.ndarray:
        """The cells as float64; missing ones nan.

        Raises:
            DataError: cells that are no numbers, or infinite.
        """
        missing = column.isna().to_numpy()
        numbers, wrong = numbers_of(column, missing)
        if wrong.any():
            raise self._wrong(column, wrong, "number")
        if numbers.dtype != np.float64:
            numbers = numbers.astype(np.float64)
        if missing.any():
            numbers = np.where(missing, np.nan, numbers)
        with np.errstate(all="ignore"):
            finite = np.isfinite(numbers.sum())  # a sum is quicker, and finite in most columns
        if not finite and np.isinf(numbers).any():
            at = column.index[np.isinf(numbers)]
            raise DataError(
                f"Column {self.source!r} has {len(at)} infinite number(s): rows {listed(at)}. Mend them, or make them missing: "
                f"df[{self.source!r}].replace([np.inf, -np.inf], np.nan)."
            )
        return numbers

    def _filled(self, column: pd.Series) -> np.ndarray:
        numbers = self.numbers(column)
        missing = np.isnan(numbers)
        if not missing.any():
            return numbers
        if self.fill is None:
            raise self._no_fill(column.index[missing])
        return np.where(missing, self.fill, numbers)

    def _no_fill(self, rows: Any) -> DataError:
        return DataError(
            f"Column {self.source!r} has {len(rows)} missing cell(s) (rows {listed(rows)}), and nothing says what to put in their place: "
            "add FillMissing to procs, or leave procs out."
        )

    def number(self, cell: Any) -> float:
        """A cell that isn't missing as a number."""
        made = as_number(cell)
        if made is None or not math.isfinite(made):
            raise DataError(f"Column {self.source!r} got {cell!r}, which is no {'finite ' if made is not None else ''}number.")
        return made

    def of_cell(self, cell: Any) -> float:
        if is_missing(cell):
            if self.fill is None:
                raise self._no_fill([0])
            return (self.fill - self.mean) / self.std
        return (self.number(cell) - self.mean) / self.std

    def of_column(self, column: pd.Series) -> np.ndarray:
        made = self._filled(column) - self.mean
        made /= self.std
        return made

    def said(self, made: float) -> Any:
        value = float(made) * self.std + self.mean
        return float(f"{value:.6g}")

    def surprise(self, column: pd.Series, made: np.ndarray) -> str | None:
        missing = 0 if self.na_seen else int(column.isna().sum())
        return f"{self.source!r} has {missing} missing cell(s), of which training had none, filled with {self.fill:g}" if missing else None


# -- cells and columns as values ----------------------------------------------------------------------------------------
_TRUTHS = {"true": True, "false": False, "yes": True, "no": False, "t": True, "f": False}
_KINDS = {"boolean": "truth", "integer": "number", "floating": "number", "mixed-integer-float": "number"}


def kind_of_values(column: pd.Series) -> str:
    """What a column's categories are: "truth", "number" or "text" (all else, as it reads)."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = pd.Series(column.dtype.categories)
    return _KINDS.get(pd.api.types.infer_dtype(column, skipna=True), "text")


def as_text(cell: Any) -> str:
    """A cell as a category of texts: whole numbers without a fraction, whatever type they came in."""
    if isinstance(cell, (float, np.floating)) and float(cell).is_integer():
        return str(int(cell))
    return cell if type(cell) is str else str(cell)


def as_number(cell: Any) -> Any:
    """A cell as a number, exactly: texts that read as one too. None for what is none."""
    if isinstance(cell, (bool, np.bool_)):
        return int(cell)
    if isinstance(cell, (int, np.integer)):
        return int(cell)
    if isinstance(cell, str) and (whole := re.fullmatch(r"\s*([+-]?\d+)\s*", cell)):
        return int(whole[1])
    try:
        value = float(cell)
    except (TypeError, ValueError):
        return None
    if isinstance(cell, str) and "_" in cell:  # which Python's own numbers may have
        return None
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def as_truth(cell: Any) -> bool | None:
    """A cell as a truth value: True, False, 1, 0 and their words. None for what is none."""
    if isinstance(cell, str):
        return _TRUTHS.get(cell.strip().lower())
    return bool(cell) if isinstance(cell, (bool, np.bool_, int, float, np.number)) and cell in (0, 1) else None


def numbers_of(column: Any, missing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A column (a Series) as numbers (int64 where it is whole, else float64), and which cells that aren't missing are none."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    if pd.api.types.is_bool_dtype(column.dtype):
        return column.fillna(False).to_numpy(dtype=np.int64), np.zeros(len(column), dtype=bool)
    if pd.api.types.is_numeric_dtype(column.dtype):
        whole = pd.api.types.is_integer_dtype(column.dtype)
        filled = column.fillna(0) if whole and missing.any() else column
        return filled.to_numpy(dtype=np.int64 if whole else np.float64), np.zeros(len(column), dtype=bool)
    parsed: Any = pd.to_numeric(column, errors="coerce")
    numbers = parsed.to_numpy(dtype=np.float64, na_value=np.nan)
    return numbers, np.isnan(numbers) & ~missing


def _each(cells: np.ndarray, missing: np.ndarray, function: Any) -> np.ndarray:
    out = np.empty(len(cells), dtype=object)
    out[:] = [None if gone else function(cell) for cell, gone in zip(cells, missing, strict=True)]
    return out


def cell_of(row: Any, source: str) -> Any:
    """The cell of a row given as a mapping; an error by name where it is not there."""
    try:
        return row[source]
    except KeyError:
        raise DataError(
            f"The row has no column {source!r}, which the model was trained with. It has: {listed(map(str, row), 20)}.{nearest(source, map(str, row))}"
        ) from None
