"""Dates and times out of whatever holds them, read in one way everywhere: datetimes, dates, and texts in ISO form."""

from __future__ import annotations

import datetime
import re
import warnings
from typing import Any, NamedTuple

import numpy as np

from burnish.data.lazy import pd

_YEAR = re.compile(r"\s*\d{4}")
_WORDS = ("now", "today")  # which pandas takes as dates
_ISO_DAY = re.compile(r"\s*\d{4}-\d{2}-\d{2}(?!\d)")
_DAY = 10  # letters of 2024-03-31; an offset comes after them


class Moments(NamedTuple):
    """The dates of a column, cell by cell.

    Attributes:
        utc: datetimes without a zone (a Series): in UTC where they are given in a zone, else by the clock they are given by; NaT for none.
        zoned: which of them are given in a zone, or with an offset from UTC.
        wrong: which cells that aren't missing are no dates.
        zone: the zone by whose clock they are meant, by its name: the column's own; "UTC" for texts with offsets and for several zones;
            None without any.
    """

    utc: pd.Series
    zoned: np.ndarray
    wrong: np.ndarray
    zone: str | None


def read_moments(column: pd.Series) -> Moments:
    """The dates that a column holds: datetimes, dates, texts in ISO form (2024-03-31, 2024-03-31T18:00+02:00). Nothing is guessed:
    03/04/2024 may be March or April, and is none, nor is a number."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.dtype.categories.dtype)
    cells = column.infer_objects() if column.dtype == object else column
    there, none = cells.notna().to_numpy(), np.zeros(len(cells), dtype=bool)
    if pd.api.types.is_datetime64_any_dtype(cells.dtype):
        zone = getattr(cells.dtype, "tz", None)
        utc: Any = cells if zone is None else cells.dt.tz_convert("UTC").dt.tz_localize(None)
        return Moments(utc, none if zone is None else there, none, _name(zone))
    if (quick := _without_zone(cells, there)) is not None:
        return Moments(quick, none, none, None)
    texts = cells.dtype == object or isinstance(cells.dtype, pd.StringDtype)
    raw = [_date(cell) for cell in cells] if texts else [None] * len(cells)
    taken: Any = pd.Series(raw, index=column.index, name=column.name, dtype=object)
    parsed: Any = pd.to_datetime(taken, format="ISO8601", errors="coerce", utc=True)
    utc = parsed.dt.tz_localize(None)
    found = utc.notna().to_numpy()
    zoned = np.array([_in_zone(cell) for cell in raw], dtype=bool) & found
    return Moments(utc, zoned, there & ~found, "UTC" if zoned.any() else None)


def is_iso_day(cell: Any) -> bool:
    """Whether a cell is a text that begins with a day in ISO form: 2024-03-31."""
    return isinstance(cell, str) and _ISO_DAY.match(cell) is not None


def _without_zone(cells: pd.Series, there: np.ndarray) -> Any:
    """The datetimes of a column of texts that are all dates, none of them with an offset, at once; None for other columns."""
    if not there.any() or pd.api.types.infer_dtype(cells, skipna=True) != "string" or _in_zone(cells.iloc[there.argmax()]):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # pandas 2 says of offsets that come later what pandas 3 makes an error
            parsed: Any = pd.to_datetime(cells, format="ISO8601", errors="coerce")
    except ValueError:  # one with an offset comes later
        return None
    odd = cells.isin(_WORDS).to_numpy() | (parsed.isna().to_numpy() & there)
    return parsed if parsed.dtype.kind == "M" and not odd.any() else None


def _date(cell: Any) -> Any:
    """A cell, if it may be a date; else None."""
    if isinstance(cell, str):
        return cell.strip() if _YEAR.match(cell) else None
    return cell if isinstance(cell, (datetime.date, np.datetime64)) else None


def _in_zone(cell: Any) -> bool:
    if isinstance(cell, str):
        time = cell.strip()[_DAY:]
        return any(sign in time for sign in "+-Zz") or "+" in cell
    return getattr(cell, "tzinfo", None) is not None


def _name(zone: Any) -> str | None:
    """A zone's name, by which it is found again; "UTC" for a zone that has none."""
    if zone is None:
        return None
    try:
        pd.Timestamp(0, tz=str(zone))
        return str(zone)
    except (LookupError, ValueError, TypeError, OSError):  # a zone out of a file, of somebody's own class
        return "UTC"
