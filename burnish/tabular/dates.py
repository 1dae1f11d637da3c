"""Dates as what a model can use of them: month, weekday, hour ... as categories, time and the seasons as numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from burnish.data.lazy import pd
from burnish.data.moments import Moments, is_iso_day, read_moments
from burnish.errors import DataError, listed
from burnish.tabular.features import CategoryFeature, NumberFeature
from burnish.tabular.frames import cells_of

CATEGORIES = ("Month", "Day", "Dayofweek", "Hour", "Minute")
FLAGS = ("Is_month_end", "Is_month_start", "Is_quarter_end", "Is_quarter_start", "Is_year_end", "Is_year_start")
CYCLES = {"Month": ("Month", 1, 12), "Dayofweek": ("Dayofweek", 0, 7), "Dayofyear": ("Dayofyear", 1, 365.25), "Hour": ("Hour", 0, 24)}
_SPELT = {"Dayofweek": "day_of_week", "Dayofyear": "day_of_year"}  # pandas' names
_DAY_PARTS = ("Year", "Month", "Week", "Day", "Dayofweek", "Dayofyear", *FLAGS)
_TIME_PARTS = ("Hour", "Minute", "Second")


def add_datepart(
    df: pd.DataFrame, field_name: str, prefix: str | None = None, drop: bool = True, time: bool = False, cyclic: bool = False
) -> pd.DataFrame:
    """Puts columns made of a date into a table, in place, and returns the table.

    They are Year, Month, Week, Day, Dayofweek (Monday 0), Dayofyear, Is_month_end, Is_month_start, Is_quarter_end, Is_quarter_start,
    Is_year_end, Is_year_start and Elapsed (seconds since 1970-01-01 00:00 UTC, whatever unit pandas stores), each after the prefix. Dates in
    a time zone have the parts of that zone's clock, texts with offsets from UTC those of UTC's; Elapsed is of the moment itself.

    Args:
        field_name: the column: dates, or texts in ISO form (2024-03-31, 2024-03-31T18:00+02:00).
        prefix: before the names; by default the column's name without "date" at its end.
        drop: take the column out of the table.
        time: Hour, Minute and Second too.
        cyclic: also the sine and cosine of the way through the year, the week and (with `time`) the day: "Dayofyear_sin" ...
            December is then next to January.

    Raises:
        DataError: there is no such column, or cells in it are no dates.
    """
    if field_name not in df.columns:
        raise DataError(f"add_datepart: the table has no column {field_name!r}. It has: {listed(df.columns, 20)}.")
    found = moments_of(cells_of(df, field_name), field_name)
    moments = on_clock(found.utc, found.zone)
    before = prefix_of(str(field_name)) if prefix is None else prefix
    parts: dict[str, Any] = {part: part_of(moments, part) for part in (*_DAY_PARTS, *(_TIME_PARTS if time else ()))}
    parts["Elapsed"] = seconds_of(found.utc)
    if cyclic:
        for cycle in ("Dayofyear", "Dayofweek", *(("Hour",) if time else ())):
            parts[f"{cycle}_sin"], parts[f"{cycle}_cos"] = (on_cycle(moments, cycle, of) for of in (np.sin, np.cos))
    if drop:
        del df[field_name]
    for name, values in parts.items():
        df[f"{before}{name}"] = np.asarray(values)
    return df


def prefix_of(name: str) -> str:
    """The column's name without "date" at its end: what the names of its parts begin with.

    >>> prefix_of("saledate"), prefix_of("Date"), prefix_of("when")
    ('sale', '', 'when')
    """
    return re.sub("[Dd]ate$", "", name)


def moments_of(column: pd.Series, name: str) -> Moments:
    """The dates of a column.

    Raises:
        DataError: cells that are no dates (texts must be in ISO form, as 03/04/2024 may be March or April); some with a time zone
            beside some without.
    """
    found = read_moments(column)
    if found.wrong.any():
        raise DataError(
            f"Column {name!r} has {_cells(column, found.wrong, 3)} that are no dates. Dates must be datetimes or ISO "
            f"texts (2024-03-31 18:00). Convert them first: df[{name!r}] = pd.to_datetime(df[{name!r}], dayfirst=..., format=..., unit=...)."
        )
    naive = found.utc.notna().to_numpy() & ~found.zoned
    if found.zoned.any() and naive.any():
        raise DataError(
            f"Column {name!r} has {_cells(column, found.zoned, 1)} with a time zone or an offset, and {_cells(column, naive, 1)} without: they "
            f"can't be put in one order. Give all of them a zone, or none; df[{name!r}] = pd.to_datetime(df[{name!r}], format='ISO8601', utc=True) "
            "takes those without as UTC."
        )
    return found


def _cells(column: pd.Series, which: np.ndarray, most: int) -> str:
    at = np.flatnonzero(which).tolist()
    return f"{len(at)} cell(s) ({listed((f'{column.iloc[i]!r}, row {column.index[i]}' for i in at), most)})"


def moments_in(column: pd.Series, name: str, zone: str | None) -> Moments:
    """The dates of a column of which training knew the zone (None: they had none).

    Raises:
        DataError: see ``moments_of``; dates with a zone where training had none, or the other way round.
    """
    found = moments_of(column, name)
    if zone is None and found.zoned.any():
        raise DataError(
            f"Column {name!r} has {_cells(column, found.zoned, 2)} with a time zone or an offset; training had dates without. Bring them to the "
            f"clock that those were by, and take the zone away: df[{name!r}].dt.tz_convert('Europe/Berlin').dt.tz_localize(None), say."
        )
    naive = found.utc.notna().to_numpy() & ~found.zoned
    if zone is not None and naive.any():
        raise DataError(
            f"Column {name!r} has {_cells(column, naive, 2)} without a time zone; training had dates with one ({zone}). Say which zone they are in: "
            f"df[{name!r}] = pd.to_datetime(df[{name!r}]).dt.tz_localize({zone!r}), say."
        )
    return found


def on_clock(utc: pd.Series, zone: str | None) -> pd.Series:
    """Datetimes in UTC as a clock in a zone shows them; without a zone as they are."""
    return utc if zone is None else utc.dt.tz_localize("UTC").dt.tz_convert(zone).dt.tz_localize(None)


def part_of(moments: Any, part: str) -> Any:
    """A part of datetimes (a column, or one), by its name: "Month", "Is_month_end" ..."""
    dt = getattr(moments, "dt", moments)
    if part == "Week":
        week = dt.isocalendar()
        return week[1] if isinstance(week, tuple) else week["week"]
    return getattr(dt, _SPELT.get(part, part.lower()))


def seconds_of(moments: pd.Series) -> np.ndarray:
    """Seconds since 1970-01-01 00:00 as float64; missing ones nan."""
    values = moments.to_numpy(dtype="datetime64[us]")
    return np.where(np.isnat(values), np.nan, values.astype(np.int64) / 1e6)


def on_cycle(moments: pd.Series, cycle: str, of: Any) -> np.ndarray:
    """The sine or cosine of how far through a cycle (a year, a week, a day) each datetime is."""
    part, first, length = CYCLES[cycle]
    return of(2 * math.pi * (np.asarray(part_of(moments, part), dtype=np.float64) - first) / length)


class DateCategory(CategoryFeature):
    """A part of a date as a category: "Month", "Dayofweek", "Hour" ...

    Args:
        zone: by whose clock, where the training rows have dates in a time zone; learned.
    """

    def __init__(
        self, source: str, part: str, classes: Sequence[Any] | None = None, na_seen: bool = False, zone: str | None = None
    ) -> None:
        super().__init__(source, classes, "number", na_seen)
        self.part, self.zone = part, zone

    @property
    def name(self) -> str:
        return f"{prefix_of(self.source)}{self.part}"

    def learn(self, column: pd.Series) -> None:
        self.zone = moments_of(column, self.source).zone
        super().learn(column)

    def parts(self, column: pd.Series) -> pd.Series:
        return part_of(on_clock(moments_in(column, self.source, self.zone).utc, self.zone), self.part)

    def key(self, cell: Any) -> Any:
        return int(self.parts(pd.Series([cell], dtype=object)).iloc[0])


class DateNumber(NumberFeature):
    """A date as a number: "Elapsed" (seconds since 1970-01-01 00:00 UTC), "Year", or where it is in a cycle: "Dayofyear_sin" ...

    Args:
        zone: by whose clock, where the training rows have dates in a time zone; learned.
    """

    def __init__(
        self, source: str, part: str, fill: float | None = None, mean: float = 0.0, std: float = 1.0, na_seen: bool = False,
        zone: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(source, fill, mean, std, na_seen)
        self.part, self.zone = part, zone

    @property
    def name(self) -> str:
        return f"{prefix_of(self.source)}{self.part}"

    def learn(self, column: pd.Series) -> None:
        self.zone = moments_of(column, self.source).zone
        super().learn(column)

    def numbers(self, column: pd.Series) -> np.ndarray:
        found = moments_in(column, self.source, self.zone)
        if self.part == "Elapsed":
            return seconds_of(found.utc)
        moments = on_clock(found.utc, self.zone)
        cycle, _, of = self.part.partition("_")
        if of:
            return on_cycle(moments, cycle, np.sin if of == "sin" else np.cos)
        return np.asarray(part_of(moments, self.part), dtype=np.float64)

    def number(self, cell: Any) -> float:
        return float(self.numbers(pd.Series([cell], dtype=object))[0])

    def surprise(self, column: pd.Series, made: np.ndarray) -> str | None:
        return super().surprise(column, made) if self.part == "Elapsed" else None


def date_features(column: pd.Series, cyclic: bool = True) -> tuple[list[DateCategory], list[DateNumber]]:
    """The features that a column of dates becomes: of the parts that vary in it."""
    name = str(column.name)
    found = moments_of(column, name)
    moments = on_clock(found.utc, found.zone).dropna()
    if moments.empty:
        raise DataError(f"Column {name!r} has no date: all its cells are missing.")
    varies = {part: part_of(moments, part).nunique() > 1 for part in ("Year", "Month", "Day", "Dayofweek", "Dayofyear", "Hour", "Minute")}
    categories = [DateCategory(name, part) for part in CATEGORIES if varies[part]]
    numbers = [DateNumber(name, "Elapsed"), *([DateNumber(name, "Year")] if varies["Year"] else [])]
    if cyclic:
        numbers += [DateNumber(name, f"{c}_{of}") for c in ("Dayofyear", "Dayofweek", "Hour") if varies[c] for of in ("sin", "cos")]
    return categories, numbers


def looks_like_dates(column: pd.Series) -> bool:
    """Whether a column holds dates, or texts all of which are ISO dates."""
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return True
    if pd.api.types.infer_dtype(column, skipna=True) not in ("string", "datetime", "date", "datetime64", "mixed"):
        return False
    if any(isinstance(c, str) and not is_iso_day(c) for c in column.iloc[:100].dropna()):
        return False  # as the first rows show
    cells = column.dropna()
    return len(cells) > 0 and not read_moments(cells).wrong.any() and all(is_iso_day(c) for c in cells if isinstance(c, str))
