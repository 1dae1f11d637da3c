"""Tables from anywhere as pandas: DataFrames of pandas, polars or Arrow; what a table must be, and its columns one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, TypeVar

import numpy as np

from burnish.data.lazy import pd
from burnish.data.mapped import is_mapped, keeps_mapped, of_arrow, plain_column, plain_rows
from burnish.data.notes import note
from burnish.data.parallel import in_parallel
from burnish.errors import DataError, listed, nearest
from burnish.tabular.looks import is_digital

A = TypeVar("A")
B = TypeVar("B")
_HEAD = 20  # different texts that tell whether a column is of plain words
_LONG = 50_000  # rows from which on columns are worked on side by side


def as_frame(source: Any, in_memory: bool | None = None, say_names: bool = False) -> pd.DataFrame:
    """A table as a pandas DataFrame: pandas' own, or anything that speaks Arrow or the dataframe interchange (polars, pyarrow,
    duckdb ...), with positions as its index and texts as the names of its columns. The cells are shared, not copied, where that is possible.

    Args:
        in_memory: whether columns of Arrow are brought into memory, as pandas itself has them; None lets their size decide.
        say_names: say it, if names are no texts and become texts.

    Raises:
        DataError: it is no table, has no rows or no columns, or two columns have one name.
    """
    if isinstance(source, pd.DataFrame):
        frame = source.reset_index(drop=True)
    elif hasattr(source, "__arrow_c_stream__"):  # pyarrow, polars, duckdb
        frame = of_arrow(source)
    elif hasattr(source, "to_pandas"):  # cudf
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
    if is_mapped(frame) and not keeps_mapped(frame, in_memory):
        frame = plain_rows(frame)
    return _without_decimals(_named_by_texts(check_frame(frame, "The table"), say_names))


def _named_by_texts(frame: pd.DataFrame, say: bool) -> pd.DataFrame:
    """The table with the texts of names that are none: of 0, 1, 2 ..., as tables without a line of names have them, and of tuples."""
    odd = [name for name in frame.columns if not isinstance(name, str)]
    if not odd:
        return frame
    if say:
        note(
            f"Names of columns are texts here: {listed((f'{name!r} is called {str(name)!r}' for name in odd), 3)}. Rows to predict may have either."
        )
    return frame.set_axis(list(map(str, frame.columns)), axis=1)


def names_of(given: Any, frame: pd.DataFrame) -> list[str]:
    """What names one column of a table, or several, as the list of their names in it: texts, whatever they were before."""
    if given is None:
        return []
    one = isinstance(given, (str, bytes)) or not isinstance(given, Iterable) or (isinstance(given, tuple) and str(given) in frame.columns)
    return [str(given)] if one else list(map(str, given))


def _without_decimals(frame: pd.DataFrame) -> pd.DataFrame:
    """The table with columns of decimal numbers (which databases give) as float64."""
    objects = [name for name in frame.columns if frame[name].dtype == object]
    found = [name for name in objects if pd.api.types.infer_dtype(frame[name], skipna=True) == "decimal"]
    return frame.assign(**{name: frame[name].astype(np.float64) for name in found}) if found else frame


def check_frame(frame: pd.DataFrame, what: str) -> pd.DataFrame:
    """The table as it is, if it has rows, columns, and no name twice; `what` begins the messages."""
    if not len(frame.columns):
        raise DataError(f"{what} has no columns.")
    if not len(frame):
        raise DataError(f"{what} has columns ({listed(frame.columns, 8)}) and no rows: there is nothing to learn from.")
    names = list(map(str, frame.columns))
    doubled = sorted(name for name, times in Counter(names).items() if times > 1)
    if doubled:
        at = {name: [i for i, other in enumerate(names) if other == name] for name in doubled}
        shown = "; ".join(f"{name!r} (columns {listed(where)})" for name, where in list(at.items())[:5])
        raise DataError(f"{what} has columns of one name: {shown}. Rename them, or drop the copies: df.loc[:, ~df.columns.duplicated()].")
    return frame


def texts_as_categories(frame: pd.DataFrame, leave: Collection[Any] = ()) -> pd.DataFrame:
    """The table with its texts that repeat as pandas' categories, in their order: then what is asked of a column is asked of few.

    Args:
        leave: columns that stay as they are, as those do that look like numbers or dates.
    """
    names = [name for name in frame.columns if name not in leave]
    found = dict(zip(names, each(_as_categories, [cells_of(frame, name) for name in names], len(frame)), strict=True))
    made = {name: column for name, column in found.items() if column is not None}
    return frame.assign(**made) if made else frame


class ColumnByColumn:
    """The columns of some rows of a table in files, each brought into memory when it is asked for: what ``texts_as_categories`` makes.

    Args:
        rows: their positions, in order. leave: see ``texts_as_categories``.
    """

    def __init__(self, frame: pd.DataFrame, rows: np.ndarray, leave: Collection[Any] = ()) -> None:
        self.frame, self.rows, self.leave, self.columns = frame, rows, leave, frame.columns
        self.index = frame.index[rows]  # one for all columns

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, name: Any) -> pd.Series:
        column: Any = self.frame[name]
        made = None if name in self.leave else _as_categories(column)
        whole: Any = (plain_column(column) if made is None else made).array
        return pd.Series(whole.take(self.rows), index=self.index, name=name, copy=False)


def rows_at(frame: pd.DataFrame, rows: np.ndarray) -> pd.DataFrame:
    """Some rows of a table, by their positions, each column of the type that these rows have."""
    index = frame.index[rows]

    def taken(column: Any) -> pd.Series:
        return pd.Series(column.array.take(rows), index=index, name=column.name, copy=False).infer_objects()

    columns = each(taken, [frame.iloc[:, i] for i in range(frame.shape[1])], len(frame))
    return pd.DataFrame(dict(zip(frame.columns, columns, strict=True)), index=index, columns=frame.columns, copy=False)


def each(function: Callable[[A], B], columns: Sequence[A], rows: int) -> list[B]:
    """What a function makes of each column: of long ones side by side, for pandas and numpy let go of the interpreter meanwhile."""
    if rows < _LONG:
        return [function(column) for column in columns]
    return in_parallel(function, columns, chunk=1)


def _as_categories(column: pd.Series) -> pd.Series | None:
    """The column as pandas' categories, if it is of texts that repeat, and no numbers or dates in texts."""
    if not _is_text(column):
        return None
    codes, different = pd.factorize(column)
    if len(different) > len(column) / 2 or not len(different) or any(map(is_digital, different[:_HEAD])):
        return None
    texts = np.asarray(different, dtype=object)
    order = np.argsort(texts, kind="stable")
    place = np.append(np.argsort(order), -1).astype(np.int32)  # -1, the missing ones, is the last
    return pd.Series(pd.Categorical.from_codes(place[codes], categories=texts[order]), index=column.index, name=column.name)


def _is_text(column: pd.Series) -> bool:
    """Whether a column, also of Arrow's, is of texts."""
    if isinstance(column.dtype, pd.ArrowDtype):
        return column.dtype.type is str
    if column.dtype == object:
        return pd.api.types.infer_dtype(column, skipna=True) == "string"
    return isinstance(column.dtype, pd.StringDtype)


def cells_of(frame: pd.DataFrame, name: Any) -> pd.Series:
    """One column of a table, whose names are known to be different: a Series, in memory."""
    return plain_column(frame[name])


def need_columns(frame: pd.DataFrame, names: Sequence[Any], argument: str) -> None:
    """Raises DataError if the table lacks one of these columns, with the nearest names."""
    there = list(map(str, frame.columns))
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise DataError(
            f"{argument} names {listed(map(repr, missing))}, and the table has no such column.{nearest(str(missing[0]), there)} "
            f"It has: {listed(there, 20)}."
        )
