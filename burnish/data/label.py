"""Labelling: functions from a sample (a path, a row, a tuple) to its label or another raw cell."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from typing import Any

from burnish.data.collections import L
from burnish.data.config import Configurable
from burnish.data.lazy import pd
from burnish.errors import DataError, SettingError, listed, nearest


def parent_label(item: str | Path) -> str:
    """The name of the folder a file is in.

    >>> parent_label("photos/cat/1.jpg")
    'cat'

    Raises:
        DataError: the path names no folder, or the item isn't a path.
    """
    if not isinstance(item, (str, PurePath)):
        raise DataError(
            f"parent_label needs a file's path, but got {item!r} (a {type(item).__name__}). For rows of a table use ColReader('column')."
        )
    name = PurePath(item).parent.name
    if name in ("", "..", "."):
        raise DataError(f"{str(item)!r} names no folder to take the label from. Give paths with their folder, such as 'cat/1.jpg'.")
    return name


class RegexLabeller:
    """The first group of a regular expression found in the item's text, with "/" between the parts of a path.

    Args:
        pat: the pattern, with at least one group: ``r"([a-z]+)_\\d+.jpg$"``.
        match: the pattern must match from the start, not just somewhere.

    Raises:
        SettingError: (on making) the pattern is no regular expression, or has no group.
        DataError: (on calling) the pattern doesn't match an item.
    """

    def __init__(self, pat: str | re.Pattern[str], match: bool = False) -> None:
        try:
            self._pattern = re.compile(pat)
        except re.error as error:
            raise SettingError(f"{pat!r} is not a regular expression: {error}. Write it as a raw string: r'...'.") from error
        if self._pattern.groups == 0:
            raise SettingError(
                f"The pattern {self._pattern.pattern!r} has no group: put parentheses around the part that is the label, as in r'^(.*)_[0-9]+'."
            )
        self.pat, self.match = self._pattern.pattern, match

    __repr__ = Configurable.__repr__

    def __call__(self, item: str | Path) -> str:
        text = item.as_posix() if isinstance(item, PurePath) else str(item).replace(os.sep, "/")
        found = self._pattern.match(text) if self.match else self._pattern.search(text)
        if found is None or found.group(1) is None:
            how = "at its start" if self.match else "anywhere"
            raise DataError(
                f"The pattern {self.pat!r} doesn't match {text!r} {how}{'' if found is None else ' with its first group'}. "
                "Change the pattern (re.search(pattern, text) tries it), or leave such files out of the items."
            )
        return found.group(1)


class ColReader:
    """Cells of a row: of a DataFrame, a mapping, a named tuple or an object with attributes.

    One column gives its cell; several give an L of cells. With `pref` or `suff` the cell becomes text with these around
    it (a Path as `pref` is a folder: "/" is put after it). With `label_delim` the cell is split into a list of labels,
    spaces around them taken away; an empty or missing cell is an empty list.

    Args:
        cols: name(s) of the column(s), or position(s).

    Raises:
        DataError: there is no such column, or a cell that should get a prefix or suffix is missing.
    """

    def __init__(self, cols: Any, pref: str | Path = "", suff: str = "", label_delim: str | None = None) -> None:
        if label_delim == "":
            raise SettingError(
                "label_delim='' can't separate labels: give the text between them, such as ' ' or ';', or None for one label a cell."
            )
        self.cols, self.pref, self.suff, self.label_delim = cols, pref, suff, label_delim

    __repr__ = Configurable.__repr__

    def __call__(self, row: Any) -> Any:
        if isinstance(self.cols, (list, tuple)):
            return L([self._read(row, c) for c in self.cols])
        return self._read(row, self.cols)

    def _read(self, row: Any, column: Any) -> Any:
        value = cell(row, column)
        missing = is_missing(value)
        if self.label_delim is not None:
            return [] if missing else [part.strip() for part in str(value).split(self.label_delim) if part.strip()]
        if not str(self.pref) and not self.suff:
            return value
        if missing:
            raise DataError(
                f"The cell of column {column!r} is empty in the row {_brief(row)}: there is nothing to put {str(self.pref)!r} and {self.suff!r} around. Fill it in, or drop the row."
            )
        before = f"{self.pref}/" if isinstance(self.pref, PurePath) else self.pref
        return f"{before}{value}{self.suff}"


class ItemGetter:
    """Element `i` of an item that is a tuple, list, mapping or row."""

    def __init__(self, i: Any) -> None:
        self.i = i

    __repr__ = Configurable.__repr__

    def __call__(self, item: Any) -> Any:
        if isinstance(item, pd.Series):
            return cell(item, self.i)
        try:
            return item[self.i]
        except (IndexError, KeyError, TypeError) as error:
            raise DataError(
                f"ItemGetter({self.i!r}) can't take element {self.i!r} of {_brief(item)} (a {type(item).__name__}): {error}."
            ) from error


class AttrGetter:
    """Attribute `nm` of an item, or `default` where it has none."""

    def __init__(self, nm: str, default: Any = None) -> None:
        self.nm, self.default = nm, default

    __repr__ = Configurable.__repr__

    def __call__(self, item: Any) -> Any:
        return getattr(item, self.nm, self.default)


class using_attr:
    """`f` applied to an attribute of the item: ``using_attr(RegexLabeller(r"^(.*)_"), "name")`` looks at the file's name.
    Text counts as a path when it has no such attribute itself."""

    def __init__(self, f: Callable[[Any], Any], attr: str) -> None:
        self.f, self.attr = f, attr

    __repr__ = Configurable.__repr__

    def __call__(self, item: Any) -> Any:
        whole = Path(item) if isinstance(item, str) and not hasattr(item, self.attr) else item
        if not hasattr(whole, self.attr):
            raise DataError(f"using_attr looks at .{self.attr}, which {_brief(item)} (a {type(item).__name__}) doesn't have.")
        return self.f(getattr(whole, self.attr))


def cell(row: Any, column: Any) -> Any:
    """One cell of a row, by the column's name or (an int) position. DataError names the columns there are."""
    named, names = _as_mapping(row)
    if isinstance(column, int) and not (named is not None and column in named):
        values = list(named.values()) if named is not None else row
        if hasattr(values, "__getitem__") and not isinstance(values, (str, bytes)) and -len(values) <= column < len(values):
            return values[column]
    elif named is not None and column in named:
        return named[column]
    elif named is None and isinstance(column, str) and hasattr(row, column):
        return getattr(row, column)
    raise DataError(
        f"There is no column {column!r} in {_brief(row)}.{f' Columns: {listed(names, 12)}.' if names else ''}{nearest(str(column), names)}"
    )


def is_missing(value: Any) -> bool:
    """None, NaN, NaT and pandas' NA."""
    kind = type(value)
    if kind is str or kind is int or kind is bool:  # most cells; pandas takes its time
        return False
    if kind is float:
        return value != value
    return value is None or (bool(pd.api.types.is_scalar(value)) and bool(pd.isna(value)))


def _as_mapping(row: Any) -> tuple[Mapping[Any, Any] | None, list[str]]:
    if isinstance(row, pd.Series):
        row = row.to_dict()
    elif hasattr(row, "_asdict"):
        row = row._asdict()
    return (row, [str(k) for k in row]) if isinstance(row, Mapping) else (None, [])


def _brief(item: Any) -> str:
    named, _ = _as_mapping(item)
    text = "{" + listed((f"{k}: {v!r}" for k, v in named.items()), 4) + "}" if named is not None else repr(item)
    return text if len(text) < 120 else f"{text[:117]}..."
