"""What texts look like that stand where numbers or dates are meant (1234.50; 29,7; 12 %; $300; 31.12.2020), and how to convert them; columns
that only count the rows."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from burnish.data.lazy import pd
from burnish.data.moments import is_iso_day
from burnish.errors import listed
from burnish.tabular.features import as_float, as_number, is_a_number

_MOSTLY = 0.9  # share of the cells from which on they look like something
_SOME = 0.1  # share from which on signs beside the digits are a way of writing, and no slips
_LOOKED_AT = 60  # cells that tell whether it is worth to look at all
_CODE_DIGITS = 5  # whole numbers that all have as many digits, or more, are codes
_INDEX_NAMED = re.compile(r"^Unnamed: \d+$|^(?i:index|idx|row|row[_ ]?(names?|id|no|nr|number|num))$")
_CODE_NAMED = re.compile(
    r"(^|[_ .-])(?i:ids?|uuid|key|code|codes|zip|zip[_ ]?code|post[_ ]?code|plz|phone|tel|isbn|ean|sku)([_ .-]|$)|Id$|(?<![A-Z])ID$|[a-z]Code$"
)
_MONEY = r"[$€£¥₹]|USD|EUR|GBP|CHF|JPY|CNY|INR"
_PERCENT = re.compile(r"[+-]?[\d.,]*\d\s?%")
_CURRENCY = re.compile(rf"[+-]?\s?({_MONEY})\s?[+-]?[\d.,]*\d|[+-]?[\d.,]*\d\s?({_MONEY})")
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d+)?")
_COMMA = re.compile(r"[+-]?(\d*|[1-9]\d{0,2}(\.\d{3})+),\d+")
_OTHER_DATE = re.compile(r"(\d{1,2})([./-])(\d{1,2})\2(\d{4}|\d{2})([ T].*)?")
_YEAR_FIRST = re.compile(r"\d{4}([./])\d{1,2}\1\d{1,2}([ T].*)?")


class Look(NamedTuple):
    """What the texts of a column look like.

    Attributes:
        kind: "numbers" (each reads as one exactly, and they are no codes), "codes" (whole numbers that name things), "written" (numbers
            in another way of writing, or with a few cells that are none), "dates".
        said: the column and what it looks like. advice: how to convert it.
    """

    kind: str
    said: str
    advice: str


def look_of(column: pd.Series, few: int = 20) -> Look | None:
    """What a column of texts (or of texts beside numbers) looks like; None for what looks like texts, and for other columns.

    Args:
        few: so many different values or fewer are categories, however they look; dates are dates.
    """
    if column.dtype != object and not isinstance(column.dtype, pd.StringDtype):
        return None
    cells, inferred = column.dropna(), pd.api.types.infer_dtype(column, skipna=True)
    if inferred != "string" and not (inferred.startswith("mixed") and any(isinstance(cell, str) for cell in cells)):
        return None
    some = cells.iloc[np.unique(np.linspace(0, len(cells) - 1, _LOOKED_AT).astype(int))]
    if sum(map(is_digital, some)) < len(some) / 2 or not all(map(_is_simple, some)):
        return None
    if inferred != "string" and not all(map(_is_simple, cells)):
        return None
    counts = cells.value_counts()
    texts = counts.index.tolist()
    found = _Texts(str(column.name), cells, texts, counts.to_numpy())
    return _dates(found) or (_numbers(found) if len(texts) > few else None)


class _Texts:
    """The different texts of a column, and how many cells each is in."""

    def __init__(self, name: str, cells: pd.Series, texts: list[Any], counts: np.ndarray) -> None:
        self.name, self.cells, self.texts, self.counts = name, cells, texts, counts

    def which(self, is_one: Callable[[Any], Any]) -> np.ndarray:
        return np.array([bool(is_one(text)) for text in self.texts], dtype=bool)

    def share(self, which: np.ndarray) -> float:
        return float(self.counts[which].sum() / self.counts.sum())

    def shown(self, which: np.ndarray, most: int = 2) -> str:
        return ", ".join(repr(self.texts[i]) for i in np.flatnonzero(which)[:most])

    def others(self, which: np.ndarray) -> str:
        """How many cells are none of these, and the first of them with their rows."""
        odd: Any = self.cells[self.cells.isin([text for text, one in zip(self.texts, which, strict=True) if not one])]
        return f"{len(odd)} of {len(self.cells)} cells aren't: {listed((f'{cell!r} (row {row})' for row, cell in odd.items()), 3)}"


def _is_simple(cell: Any) -> bool:
    return isinstance(cell, str) or is_a_number(cell)


def is_digital(cell: Any) -> bool:
    """Whether a cell may be a number or a date: it is mostly digits."""
    return not isinstance(cell, str) or 2 * sum(c.isdigit() for c in cell) >= len(cell.strip()) > 0


def is_plain(cell: Any) -> bool:
    """Whether a cell reads as a number exactly: 1234.50, and not 1,234 or 12 %."""
    number = as_number(cell)
    return number is not None and math.isfinite(as_float(number))


def _matches(pattern: re.Pattern[str]) -> Callable[[Any], bool]:
    return lambda cell: isinstance(cell, str) and pattern.fullmatch(cell.strip()) is not None


def _numbers(found: _Texts) -> Look | None:
    plain = found.which(is_plain)
    if _leading_zeros(found, plain):
        return None
    if plain.all():
        return _codes(found) or Look("numbers", f"{found.name!r} has numbers written as text ({found.shown(plain)})", "")
    name, column = found.name, f"df[{found.name!r}]"
    percent, currency = found.which(_matches(_PERCENT)), found.which(_matches(_CURRENCY))
    thousands, comma = found.which(_matches(_THOUSANDS)), found.which(_matches(_COMMA))
    by_comma = (thousands | comma) & ~(plain | percent | currency)
    written = percent | currency | by_comma
    if found.share(plain | written) < _MOSTLY:
        return None
    if found.share(written) < _SOME:
        said = f"{name!r} looks like numbers, but {found.others(plain)}"
        return Look("written", said, f"{column} = pd.to_numeric({column}, errors='coerce') makes these missing, and the others numbers.")
    forms = {"percent": percent, "currency": currency, "comma": by_comma}
    form = max(forms, key=lambda form: found.share(forms[form]))
    shown = found.shown(forms[form])
    if form == "percent":
        return Look("written", f"{name!r} looks like percentages ({shown})", f"{column} = {column}.str.rstrip('% ').astype(float) / 100.")
    if form == "currency":
        return Look(
            "written",
            f"{name!r} looks like amounts with a currency ({shown})",
            f"{column} = {column}.str.replace(r'[^0-9.+-]', '', regex=True).astype(float), where the point is a decimal one.",
        )
    if (thousands | ~by_comma).all():
        said = f"{name!r} looks like numbers with commas between thousands ({shown})"
        return Look("written", said, f"pd.read_csv(path, thousands=','), or {column} = {column}.str.replace(',', '').astype(float).")
    said = f"{name!r} looks like numbers with a decimal comma ({shown})"
    return Look(
        "written",
        said,
        f"pd.read_csv(path, decimal=','), or {column} = {column}.str.replace('.', '').str.replace(',', '.').astype(float).",
    )


def _leading_zeros(found: _Texts, plain: np.ndarray) -> bool:
    """Whether some of the numbers begin with zeros, as only codes do: 00123."""
    return any(is_it and isinstance(text, str) and re.match(r"\s*0\d", text) for text, is_it in zip(found.texts, plain, strict=True))


def _codes(found: _Texts) -> Look | None:
    """Whole numbers as texts that are codes: by their name, or all of one length."""
    whole = all(isinstance(as_number(text), int) and "." not in str(text) for text in found.texts)
    lengths = {len(str(text).strip()) for text in found.texts}
    if not whole or not (_CODE_NAMED.search(found.name) or (len(lengths) == 1 and lengths.pop() >= _CODE_DIGITS)):
        return None
    said = f"{found.name!r} has whole numbers as texts, which look like codes ({found.shown(np.ones(len(found.texts), dtype=bool))}): they are categories"
    return Look("codes", said, f"If they are amounts: cont_names=[..., {found.name!r}].")


def _dates(found: _Texts) -> Look | None:
    column = f"df[{found.name!r}]"
    for is_one, advice in (
        (is_iso_day, f"{column} = pd.to_datetime({column}, format='ISO8601', errors='coerce') makes these missing."),
        (_matches(_YEAR_FIRST), f"{column} = pd.to_datetime({column})."),
        (_matches(_OTHER_DATE), ""),
    ):
        which = found.which(is_one)
        if found.share(which) < _MOSTLY or which.sum() < 3 or (is_one is is_iso_day and which.all()):
            continue
        but = "" if which.all() else f", but {found.others(which)}"
        said = f"{found.name!r} looks like dates ({found.shown(which)}){but}"
        if not advice:
            order = _order(found, which)
            if order is None:
                return None
            either = ", or with dayfirst=False: these could be either" if order == "dayfirst=True or False" else ""
            coerce = "" if which.all() else ", errors='coerce'"
            advice = f"{column} = pd.to_datetime({column}, {'dayfirst=True' if either else order}{coerce}){either}."
        return Look("dates", said, advice)
    return None


def _order(found: _Texts, which: np.ndarray) -> str | None:
    """Whether dates such as 31.12.2020 begin with the day; None if they can be none."""
    parts = [_OTHER_DATE.fullmatch(text.strip()) for text, is_it in zip(found.texts, which, strict=True) if is_it]
    first, second = (max(int(part[i]) for part in parts if part) for i in (1, 3))
    if max(first, second) > 31 or min(first, second) > 12:
        return None
    return "dayfirst=True" if first > 12 else "dayfirst=False" if second > 12 else "dayfirst=True or False"


def named_like_an_id(name: Any) -> bool:
    """Whether a column is named like an index, an id or a code."""
    return bool(_INDEX_NAMED.search(str(name)) or _CODE_NAMED.search(str(name)))


def mixed_kinds(column: pd.Series) -> str | None:
    """What stands beside what in a column of cells of several kinds; None for others."""
    if column.dtype != object or not pd.api.types.infer_dtype(column, skipna=True).startswith("mixed"):
        return None
    kinds: dict[str, str] = {}
    for row, cell in column.dropna().items():
        kind = (
            "texts"
            if isinstance(cell, str)
            else "truth values"
            if isinstance(cell, (bool, np.bool_))
            else "numbers"
            if is_a_number(cell)
            else "other things"
        )
        kinds.setdefault(kind, f"{kind} ({cell!r}, row {row})")
    return f"{column.name!r} has {' beside '.join(kinds.values())}" if len(kinds) > 1 else None


def counts_rows(column: pd.Series) -> bool:
    """Whether whole numbers only count the rows, as an index that was saved with the table does: one more from each row to the next, from
    0 or 1 on; where the column is named like an index, from any number on.

    Args:
        column: the rows looked at, whose index are their positions in the table.
    """
    if not pd.api.types.is_integer_dtype(column.dtype) or column.isna().any() or not pd.api.types.is_integer_dtype(column.index.dtype):
        return False
    first = int(column.iloc[0]) - int(column.index[0])
    if first not in (0, 1) and not named_like_an_id(column.name):
        return False
    return bool((column.to_numpy(dtype=np.float64) - column.index.to_numpy() == first).all())
