"""Tables from anywhere as pandas: CSV files, DataFrames of pandas, polars or Arrow; and what a table must be."""

from __future__ import annotations

import csv
import os
import re
import warnings
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from burnish.data.lazy import pd
from burnish.errors import DataError, listed, nearest

A = TypeVar("A")
B = TypeVar("B")
_DATE = re.compile(r"\d{4}-\d{2}")
_LONG = 50_000  # rows from which on columns are worked on side by side
_SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}


def as_frame(source: Any) -> pd.DataFrame:
    """A table as a pandas DataFrame: pandas' own, or anything that speaks Arrow or the dataframe interchange (polars, pyarrow,
    duckdb ...), with positions as its index. The cells are shared, not copied, where that is possible.

    Raises:
        DataError: it is no table, has no rows or no columns, or two columns have one name.
    """
    if isinstance(source, pd.DataFrame):
        frame = source.reset_index(drop=True)
    elif hasattr(source, "to_pandas"):  # polars, pyarrow, cudf
        frame = source.to_pandas().reset_index(drop=True)
    elif hasattr(source, "__dataframe__"):
        frame = pd.api.interchange.from_dataframe(source).reset_index(drop=True)
    elif isinstance(source, dict):
        frame = pd.DataFrame(source)
    else:
        raise DataError(
            f"A table was expected (a DataFrame of pandas or polars, an Arrow table, a dict of columns), got a {type(source).__name__}. "
            "A CSV file goes to from_csv(path)."
        )
    return check_frame(frame, "The table")


def check_frame(frame: pd.DataFrame, what: str) -> pd.DataFrame:
    """The table as it is, if it has rows, columns, and no name twice; `what` begins the messages."""
    if not len(frame.columns):
        raise DataError(f"{what} has no columns.")
    if not len(frame):
        raise DataError(f"{what} has columns ({listed(frame.columns, 8)}) and no rows: there is nothing to learn from.")
    names = list(map(str, frame.columns))
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        at = {name: [i for i, other in enumerate(names) if other == name] for name in doubled}
        shown = "; ".join(f"{name!r} (columns {listed(where)})" for name, where in list(at.items())[:5])
        raise DataError(f"{what} has columns of one name: {shown}. Rename them, or drop the copies: df.loc[:, ~df.columns.duplicated()].")
    return frame


def read_csv(path: str | os.PathLike[str], **options: Any) -> pd.DataFrame:
    """A CSV file as a table, by ``pandas.read_csv``, whose options may be given.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: it is empty, of another encoding, or its separator is another one (the message says which).
    """
    path = Path(path).expanduser()
    if not path.is_file():
        beside = [p.name for p in path.parent.glob("*.csv")] if path.parent.is_dir() else []
        raise FileNotFoundError(f"There is no file {str(path)!r} (looked from {str(Path.cwd())!r}).{nearest(path.name, beside)}")
    try:
        frame = _read(path, {"skipinitialspace": True, **options})
    except pd.errors.EmptyDataError:
        raise DataError(f"{str(path)!r} is empty: {path.stat().st_size} bytes, without a line of column names.") from None
    except UnicodeDecodeError as error:
        raise DataError(
            f"{str(path)!r} isn't in UTF-8 (byte {error.start} is {error.object[error.start : error.start + 1]!r}). Tables saved by Excel are often in "
            f"Windows' encoding: from_csv({path.name!r}, encoding='cp1252'); one saved as 'CSV UTF-8' needs nothing. Found here: {_encoding(path)}."
        ) from None
    except pd.errors.ParserError as error:
        raise DataError(f"{str(path)!r} can't be read as a CSV file: {str(error).strip()}.{_other_separator(path, options)}") from error
    if len(frame.columns) == 1 and (hint := _other_separator(path, options)):
        raise DataError(f"{str(path)!r} has a single column, {str(frame.columns[0])[:80]!r}.{hint}")
    return check_frame(frame, f"{str(path)!r}")


def _read(path: Path, settings: dict[str, Any]) -> pd.DataFrame:
    """The file read in parts, at once, which is faster; as a whole where the parts of a column turn out to be of different types."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.DtypeWarning)
        try:
            return pd.read_csv(path, **settings)
        except pd.errors.DtypeWarning:
            settings["low_memory"] = False
            return pd.read_csv(path, **settings)


def _other_separator(path: Path, options: dict[str, Any]) -> str:
    """A hint, if the first line looks as if it had another separator than the one it was read with."""
    with open(path, encoding=options.get("encoding") or "utf-8", errors="replace", newline="") as file:
        first = file.readline().rstrip("\r\n")
    used = options.get("sep") or options.get("delimiter") or ","
    counts = {sep: len(next(csv.reader([first], delimiter=sep), [])) for sep in _SEPARATORS if sep != used}
    best = max(counts, key=lambda sep: counts[sep])
    if counts[best] < 2:
        return ""
    return f" Its first line has {counts[best]} parts between {_SEPARATORS[best]}s: from_csv(path, sep={best!r})."


def _encoding(path: Path) -> str:
    """What a file's bytes look like, in words."""
    head = path.read_bytes()[:4]
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "the mark of UTF-16 (encoding='utf-16')"
    return "no mark of an encoding at its beginning"


def texts_as_categories(frame: pd.DataFrame, leave: Collection[Any] = ()) -> pd.DataFrame:
    """The table with its texts that repeat as pandas' categories, in their order: then what is asked of a column is asked of few.

    Args:
        leave: columns that stay as they are, as those do that look like dates.
    """
    names = [name for name in frame.columns if name not in leave]
    found = dict(zip(names, each(_as_categories, [cells_of(frame, name) for name in names], len(frame)), strict=True))
    made = {name: column for name, column in found.items() if column is not None}
    return frame.assign(**made) if made else frame


def each(function: Callable[[A], B], columns: Sequence[A], rows: int) -> list[B]:
    """What a function makes of each column: of long ones side by side, for pandas and numpy let go of the interpreter meanwhile."""
    if rows < _LONG:
        return [function(column) for column in columns]
    with ThreadPoolExecutor() as pool:
        return list(pool.map(function, columns))


def _as_categories(column: pd.Series) -> pd.Series | None:
    """The column as pandas' categories, if it is of texts that repeat, and no dates."""
    if not _is_text(column):
        return None
    codes, different = pd.factorize(column)
    if len(different) > len(column) / 2 or not len(different) or _DATE.match(different[0]):
        return None
    texts = np.asarray(different, dtype=object)
    order = np.argsort(texts, kind="stable")
    place = np.append(np.argsort(order), -1).astype(np.int32)  # -1, the missing ones, is the last
    return pd.Series(pd.Categorical.from_codes(place[codes], categories=texts[order]), index=column.index)


def _is_text(column: pd.Series) -> bool:
    if column.dtype == object:
        return pd.api.types.infer_dtype(column, skipna=True) == "string"
    return isinstance(column.dtype, pd.StringDtype)


def cells_of(frame: pd.DataFrame, name: Any) -> pd.Series:
    """One column of a table, whose names are known to be different: a Series."""
    return frame[name]  # pyright: ignore[reportReturnType]


def need_columns(frame: pd.DataFrame, names: Sequence[Any], argument: str) -> None:
    """Raises DataError if the table lacks one of these columns, with the nearest names."""
    there = list(map(str, frame.columns))
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise DataError(
            f"{argument} names {listed(map(repr, missing))}, and the table has no such column.{nearest(str(missing[0]), there)} "
            f"It has: {listed(there, 20)}."
        )
