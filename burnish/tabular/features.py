"""Features: what one column of a table becomes for a model, learned from the training rows; a category's code, a number's value."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np

from burnish.data.config import Configurable
from burnish.data.label import is_missing
from burnish.data.lazy import pd
from burnish.data.mapped import PIECE
from burnish.errors import DataError, listed, nearest

_AS_LEARNED = "Give it as it was in training."
NA = "#na#"  # the class of missing cells, always the first
_MOST_SHOWN = 4
_LOST = 1e-5  # of the spread of numbers: what float32, in which a model gets them, may lose


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
        texts = all(isinstance(column.iloc[i], str) for i in at) and expected == "number"
        return DataError(
            f"Column {self.source!r} has {len(at)} cell(s) that are no {expected}: {shown}. It was learned as {expected}s. "
            + (f"Mend them, or make them missing: pd.to_numeric(df[{self.source!r}], errors='coerce')." if texts else _AS_LEARNED)
        )


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
                codes, different = distinct(parts)
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
            raise DataError(
                f"Column {self.source!r} got {cell!r}, which is no {self._noun()}; it was learned as {self._noun()}s. {_AS_LEARNED}"
            )
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
    """A number: missing ones filled, then brought to mean 0 and spread 1. Durations are seconds.

    Args:
        source: the column.
        fill: what a missing cell gets; None refuses missing cells.
        mean, std: of the training rows, filled; 0 and 1 leave the numbers as they are.
        na_seen: whether missing cells were seen in training.
        duration: whether the training rows hold durations.
    """

    def __init__(
        self, source: str, fill: float | None = None, mean: float = 0.0, std: float = 1.0, na_seen: bool = False, duration: bool = False
    ) -> None:
        self.source, self.fill, self.mean, self.std, self.na_seen, self.duration = source, fill, mean, std, na_seen, duration

    def learn(self, column: pd.Series) -> None:
        """Learns what the cells are, and a mean to take off where they lie so far from 0 that float32 would not tell them apart."""
        self.duration = is_duration(column)
        numbers = self.numbers(column)
        missing = np.isnan(numbers)
        self.na_seen = bool(missing.any())
        there = numbers[~missing] if self.na_seen else numbers
        spread = spread_of(there) if len(there) else 0.0
        if spread > 0 and max(float(np.abs(part - part.astype(np.float32)).max()) for part in parts_of(there)) > _LOST * spread:
            self.mean = float(there.mean())

    def learn_scale(self, column: pd.Series) -> None:
        """Learns mean and spread of the training rows, missing cells filled."""
        numbers = self._filled(column)
        self.mean, spread = float(numbers.mean()), spread_of(numbers)
        self.std = spread if spread > 0 else 1.0

    def numbers(self, column: pd.Series) -> np.ndarray:
        """The cells as float64; missing ones nan.

        Raises:
            DataError: cells that are no numbers, or infinite.
        """
        missing = column.isna().to_numpy()
        numbers, wrong = numbers_of(column, missing, self.duration)
        if wrong.any():
            raise self._wrong(column, wrong, self._noun())
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
        made = as_seconds(cell) if self.duration else as_number(cell)
        if made is None or not math.isfinite(made := as_float(made)):
            noun = f"{'finite ' if made is not None else ''}{self._noun()}"
            raise DataError(f"Column {self.source!r} got {cell!r}, which is no {noun}; it was learned as {self._noun()}s. {_AS_LEARNED}")
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

    def _noun(self) -> str:
        return "duration" if self.duration else "number"

    def said(self, made: float) -> Any:
        value = float(made) * self.std + self.mean
        return float(f"{value:.6g}")

    def surprise(self, column: pd.Series, made: np.ndarray) -> str | None:
        missing = 0 if self.na_seen else int(column.isna().sum())
        return f"{self.source!r} has {missing} missing cell(s), of which training had none, filled with {self.fill:g}" if missing else None


# -- cells and columns as values ----------------------------------------------------------------------------------------
_TRUTHS = {"true": True, "false": False, "yes": True, "no": False, "t": True, "f": False}
_KINDS = {"boolean": "truth", **dict.fromkeys(("integer", "floating", "mixed-integer-float", "decimal"), "number")}


def kind_of_values(column: pd.Series) -> str:
    """What a column's categories are: "truth", "number" or "text" (all else, as it reads)."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = pd.Series(column.dtype.categories)
    inferred = pd.api.types.infer_dtype(column, skipna=True)
    if inferred in ("mixed", "mixed-integer") and all(map(is_a_number, column.dropna())):
        return "number"
    return _KINDS.get(inferred, "text")


def is_a_number(cell: Any) -> bool:
    """Whether a cell is a number, of any type; truth values and texts are none."""
    return isinstance(cell, (Real, Decimal)) and not isinstance(cell, (bool, np.timedelta64))


def is_duration(column: pd.Series) -> bool:
    """Whether a column holds durations: what there is between two dates."""
    return pd.api.types.infer_dtype(column, skipna=True) in ("timedelta", "timedelta64")


def distinct(column: pd.Series) -> tuple[np.ndarray, Any]:
    """For each cell the position of its value among the different ones (-1 missing), and these, told apart by their type too: for
    Python 1, True and 1.0 are the same, and which of them came first would decide.

    Raises:
        TypeError: a cell is no plain value.
    """
    if not pd.api.types.infer_dtype(column, skipna=True).startswith(("mixed", "complex")):
        return pd.factorize(column)
    places: dict[Any, int] = {}
    cells = zip(column, column.isna(), strict=True)
    codes = [-1 if missing else places.setdefault((type(cell), cell), len(places)) for cell, missing in cells]
    return np.array(codes, dtype=np.int64), [cell for _, cell in places]


def as_text(cell: Any) -> str:
    """A cell as a category of texts: whole numbers without a fraction, whatever type they came in."""
    if isinstance(cell, Decimal):
        cell = float(cell)
    if isinstance(cell, (float, np.floating)) and float(cell).is_integer():
        return str(int(cell))
    return cell if type(cell) is str else str(cell)


def as_number(cell: Any) -> Any:
    """A cell as a number, exactly: texts that read as one too. None for what is none."""
    if isinstance(cell, (bool, np.bool_, int, np.integer)) and not isinstance(cell, np.timedelta64):
        return int(cell)
    if isinstance(cell, (complex, np.datetime64, np.timedelta64, np.complexfloating)):  # some of which numpy would make numbers of
        return None
    if isinstance(cell, str) and (whole := re.fullmatch(r"\s*([+-]?\d+)\s*", cell)):
        return int(whole[1])
    try:
        value = float(cell)
    except (TypeError, ValueError):
        return None
    if isinstance(cell, str) and ("_" in cell or value != value):  # Python's own numbers may have the one, and words be the other
        return None
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def as_truth(cell: Any) -> bool | None:
    """A cell as a truth value: True, False, 1, 0 and their words. None for what is none."""
    if isinstance(cell, str):
        return _TRUTHS.get(cell.strip().lower())
    return bool(cell) if isinstance(cell, (bool, np.bool_, int, float, np.number)) and cell in (0, 1) else None


def as_float(number: float) -> float:
    """A number as a float; one that is too large is infinite."""
    try:
        return float(number)
    except OverflowError:
        return math.copysign(math.inf, number)


def as_seconds(cell: Any) -> float | None:
    """A duration in seconds. None for what is none."""
    return pd.Timedelta(cell).total_seconds() if isinstance(cell, (datetime.timedelta, np.timedelta64)) else None


def parts_of(numbers: np.ndarray) -> Iterator[np.ndarray]:
    """Numbers a part at a time: what is worked out from them takes up little memory then."""
    return (numbers[start : start + PIECE] for start in range(0, len(numbers), PIECE))


def spread_of(numbers: np.ndarray) -> float:
    """The standard deviation of numbers, a part at a time."""
    mean = numbers.mean()
    return math.sqrt(sum(float(np.square(part - mean).sum()) for part in parts_of(numbers)) / len(numbers))


def numbers_of(column: Any, missing: np.ndarray, duration: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """A column (a Series) as float64, missing cells nan, and which cells that aren't missing are no numbers: cell by cell what
    ``as_number`` makes of them, or ``as_seconds`` of durations."""
    right, kinds = np.zeros(len(column), dtype=bool), pd.api.types
    if isinstance(column.dtype, pd.CategoricalDtype):
        own = pd.Series(column.cat.categories)
        numbers, wrong = numbers_of(own, np.zeros(len(own), dtype=bool), duration)
        codes = column.cat.codes.to_numpy()  # -1, the missing ones, is the last
        return np.append(numbers, np.nan)[codes], np.append(wrong, False)[codes]
    if duration and column.dtype.kind == "m":
        return column.dt.total_seconds().to_numpy(dtype=np.float64), right
    if kinds.is_numeric_dtype(column.dtype) and not kinds.is_complex_dtype(column.dtype) and not duration:
        return column.to_numpy(dtype=np.float64, na_value=np.nan), right
    if column.dtype != object and not isinstance(column.dtype, pd.StringDtype):
        return np.full(len(column), np.nan), ~missing
    try:
        codes, different = distinct(column)
    except TypeError:  # lists and the like
        codes, different = np.where(missing, -1, np.arange(len(column))), column.tolist()
    made = [as_seconds(cell) if duration else as_number(cell) for cell in different]
    numbers = np.array([*(np.nan if number is None else as_float(number) for number in made), np.nan])[codes]
    return numbers, np.isnan(numbers) & ~missing


def cell_of(row: Any, source: str) -> Any:
    """The cell of a row given as a mapping; an error by name where it is not there."""
    try:
        return row[source]
    except KeyError:
        raise DataError(
            f"The row has no column {source!r}, which the model was trained with. It has: {listed(map(str, row), 20)}.{nearest(source, map(str, row))}"
        ) from None
