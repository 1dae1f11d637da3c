"""Values of the items, one each: from a column's name, a function, or as given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from burnish.data.label import cell, is_missing
from burnish.data.lazy import pd
from burnish.data.mapped import plain_column
from burnish.errors import DataError, listed, nearest


def column_values(by: Any, items: Any, table: pd.DataFrame | None, argument: str) -> list[Any]:
    """One value an item, from the name (or position) of a column, a function of an item, or the values themselves.

    A named column is looked for in the items (a DataFrame, or rows), then in the table.
    """
    if callable(by):
        return [_value(by, item, i, argument) for i, item in enumerate(_rows(items))]
    if isinstance(by, (str, int)):
        return _named_column(by, items, table, argument)
    values = list(by)
    if len(values) != len(items):
        raise DataError(f"{argument}= has {len(values)} values for {len(items)} items; one an item was expected, in the same order.")
    return values


def _named_column(name: str | int, items: Any, table: pd.DataFrame | None, argument: str) -> list[Any]:
    if isinstance(items, pd.DataFrame):
        named = name if name in items.columns else str(name)  # names that are no texts may have become texts
        if named in items.columns:
            return list(plain_column(items[named]))
        if isinstance(name, int) and -items.shape[1] <= name < items.shape[1]:
            return list(plain_column(items.iloc[:, name]))
    if not isinstance(items, pd.DataFrame) and all(isinstance(i, (pd.Series, Mapping)) or hasattr(i, "_asdict") for i in items):
        return [cell(item, name) for item in items]
    if table is not None and name in table.columns:
        return list(plain_column(table[name]))
    columns = [] if table is None else list(map(str, table.columns))
    columns = list(map(str, items.columns)) if isinstance(items, pd.DataFrame) else columns
    there = f"The columns are: {listed(columns, 12)}." if columns else "The items have no columns (they are no rows of a table)."
    raise DataError(f"{argument}={name!r} names a column that isn't there. {there}{nearest(str(name), columns)}")


def frame_rows(frame: pd.DataFrame) -> list[pd.Series]:
    """The rows of a table, each cell as its column holds it: a row of one type would make 7 beside 0.5 into 7.0."""
    return [row for _, row in frame.astype(object).iterrows()]


def _rows(items: Any) -> Any:
    return frame_rows(items) if isinstance(items, pd.DataFrame) else items


def _value(function: Callable[[Any], Any], item: Any, i: int, argument: str) -> Any:
    try:
        return function(item)
    except Exception as error:
        raise DataError(
            f"{argument}= ({called(function)}) failed on item {i} ({str(item)[:100]}): {type(error).__name__}: {error}"
        ) from error


def paths_of(items: Any, table: pd.DataFrame | None, who: str) -> list[PurePath]:
    """The items as paths: themselves, the first of a tuple, or the table's first input column."""
    cells: list[Any] = list(_rows(items))
    if table is not None and table.attrs.get("inputs") and not isinstance(cells[0], (str, PurePath)):
        cells = list(table[table.attrs["inputs"][0]])
    cells = [c[0] if isinstance(c, (tuple, list)) and c else c for c in cells]
    odd = next(((i, c) for i, c in enumerate(cells) if not isinstance(c, (str, PurePath))), None)
    if odd is not None:
        raise DataError(
            f"{who} looks at the paths of files, but item {odd[0]} is {str(odd[1])[:80]!r} (a {type(odd[1]).__name__}). Use ColSplitter or FuncSplitter."
        )
    return [PurePath(c) for c in cells]


def refuse_missing(values: Sequence[Any], argument: str, advice: str) -> None:
    """Raises DataError naming the positions of missing values."""
    empty = [i for i, v in enumerate(values) if is_missing(v)]
    if empty:
        raise DataError(f"{len(empty)} item(s) have no {argument}: positions {listed(empty)}. {advice}.")


def called(function: Any) -> str:
    """How messages call a function."""
    return getattr(function, "__qualname__", None) or repr(function)
