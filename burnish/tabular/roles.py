"""Which columns of a table are categories, which are numbers or dates, and which can teach a model nothing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np

from burnish.data.lazy import pd
from burnish.data.notes import note
from burnish.data.whole import checked_whole
from burnish.errors import DataError, listed
from burnish.tabular.dates import looks_like_dates
from burnish.tabular.features import is_duration, kind_of_values, numbers_of
from burnish.tabular.frames import as_frame, cells_of, names_of, need_columns
from burnish.tabular.looks import Look, counts_rows, look_of, mixed_kinds, named_like_an_id

MAX_CARD = 20  # whole numbers with more different values than this are numbers, not categories


class Roles(NamedTuple):
    """The columns by their role, each in the order of the table (or of who named them)."""

    categories: list[str]
    numbers: list[str]
    dates: list[str]


def cont_cat_split(df: Any, max_card: int = MAX_CARD, dep_var: Any = None) -> tuple[list[Any], list[Any]]:
    """The names of the columns with numbers and of those with categories, in the table's order.

    Fractions are numbers, and whole numbers with more than `max_card` different values; all else is a category.

    Args:
        df: a DataFrame of pandas or polars, an Arrow table, a dict of columns.
        dep_var: the target(s), which are left out: a name or a list of them.

    Raises:
        DataError: it is no table, or has no such target.
    """
    checked_whole("max_card", max_card, least=0)
    frame = as_frame(df, in_memory=True)
    left_out = names_of(dep_var, frame)
    need_columns(frame, left_out, "dep_var")
    cont, cat = [], []
    for given, name in zip(df.columns if isinstance(df, pd.DataFrame) else frame.columns, frame.columns, strict=True):
        if name not in left_out:
            column = cells_of(frame, name)
            (cont if _is_number(column, max_card, look_of(column, max_card)) else cat).append(given)
    return cont, cat


def _is_number(column: pd.Series, max_card: int, look: Look | None, whole: bool = False) -> bool:
    """Whether a column is of numbers, not of categories.

    Args:
        whole: take fractions that are all whole for whole numbers, as gaps make fractions of them, also gaps in rows that don't train.
    """
    if look is not None:
        return look.kind == "numbers"
    if isinstance(column.dtype, pd.CategoricalDtype) or pd.api.types.is_bool_dtype(column.dtype):
        return False
    if is_duration(column):
        return True
    if pd.api.types.is_float_dtype(column.dtype):
        return not (whole and _all_whole(column)) or column.nunique() > max_card
    if pd.api.types.is_integer_dtype(column.dtype):
        return column.nunique() > max_card
    return kind_of_values(column) == "number" and column.nunique() > max_card


def _all_whole(column: pd.Series) -> bool:
    """Whether fractions are all whole numbers, none of them infinite; the first rows mostly tell."""
    head = column.iloc[:100].dropna().to_numpy(dtype=np.float64)
    if (head != np.floor(head)).any():
        return False
    there = column.dropna().to_numpy(dtype=np.float64)
    return len(there) > 0 and bool((there == np.floor(there)).all() and np.isfinite(there).all())


def find_roles(
    train: pd.DataFrame,
    targets: Sequence[str],
    cat_names: Any = None,
    cont_names: Any = None,
    dates: Sequence[str] | None = None,
    with_dates: bool = True,
    aside: Collection[str] = (),
) -> Roles:
    """The roles of a table's columns: as they are named; where nobody names any, as they look in the training rows.

    What is inferred and what is left out is said in a note, with how to say it otherwise.

    Args:
        train: the training rows.
        targets: columns to predict.
        cat_names, cont_names: names; both None infers them, one alone leaves the other without columns.
        dates: names of columns with dates; None looks for them, where `with_dates`.
        aside: columns that are no inputs (that the split was made by, say).

    Raises:
        DataError: a name that isn't there, is the target, or is in two roles; a column that can't be used.
    """
    named = {"cat_names": names_of(cat_names, train), "cont_names": names_of(cont_names, train), "Dates": names_of(dates, train)}
    _check_named(train, targets, named)
    if cat_names is not None or cont_names is not None:
        categories, numbers = named["cat_names"], named["cont_names"]
        _check_content(train, categories, numbers)
        return Roles(categories, numbers, named["Dates"])
    return _inferred(train, targets, named["Dates"], with_dates and dates is None, aside)


def _check_named(train: pd.DataFrame, targets: Sequence[str], named: dict[str, list[str]]) -> None:
    seen: dict[str, str] = {}
    for argument, names in named.items():
        need_columns(train, names, argument)
        inside = [name for name in names if name in targets]
        if inside:
            raise DataError(
                f"{argument} has {listed(map(repr, inside))}, which is the target: a model that is given the answer learns nothing. Leave it out of {argument}."
            )
        for name in names:
            if name in seen:
                where = f"twice in {argument}" if seen[name] == argument else f"in both {seen[name]} and {argument}"
                raise DataError(f"The column {name!r} is {where}; a column has one role.")
            seen[name] = argument


def _check_content(train: pd.DataFrame, categories: Sequence[str], numbers: Sequence[str]) -> None:
    """Refuses columns that can't have the role they were given, and says which can teach nothing."""
    for name in categories:
        if (kind := _nested(cells_of(train, name))) is not None:
            raise DataError(
                f"Column {name!r} holds {kind}s, one a cell, which are no categories. Make columns of plain values from it first."
            )
    for name in numbers:
        column = cells_of(train, name)
        missing = column.isna().to_numpy()
        if pd.api.types.is_datetime64_any_dtype(column.dtype):
            raise DataError(
                f"Column {name!r} holds dates, which are no numbers. Leave it out of cont_names and use procs=[..., Dates({name!r})]."
            )
        wrong = ~missing if _nested(column) else numbers_of(column, missing, is_duration(column))[1]
        if wrong.any():
            at = np.flatnonzero(wrong)
            raise DataError(
                f"cont_names has {name!r}, of whose training cells {len(at)} of {len(column)} are no numbers: {listed((repr(column.iloc[i]) for i in at), 3)}. "
                "Put it into cat_names, or clean it: pd.to_numeric(column, errors='coerce') makes them missing."
            )
        if missing.all():
            raise DataError(
                f"cont_names has {name!r}, which has no number in the training rows: all {len(column)} cells are missing. Leave it out."
            )
    columns = [cells_of(train, name) for name in categories]
    _say_looks([look for column in columns if (look := look_of(column, MAX_CARD)) is not None])
    _say_mixed([mixed for column in columns if (mixed := mixed_kinds(column)) is not None])
    useless = [why for name in [*categories, *numbers] if (why := _teaches_nothing(cells_of(train, name), name in categories)) is not None]
    if useless:
        note(f"{'; '.join(useless)}. They stay, as they were named.")


def _inferred(train: pd.DataFrame, targets: Sequence[str], dates: list[str], look_for_dates: bool, aside: Collection[str]) -> Roles:
    categories: list[str] = []
    numbers: list[str] = []
    left_out: list[str] = []
    looks: list[Look] = []
    mixed: list[str] = []
    for name in train.columns:
        if name in targets or name in dates or name in aside:
            continue
        column = cells_of(train, name)
        if (kind := _nested(column)) is not None:
            left_out.append(f"{name!r} holds {kind}s")
            continue
        if look_for_dates and looks_like_dates(column):
            dates.append(name)
            continue
        look = look_of(column, MAX_CARD)
        is_number = _is_number(column, MAX_CARD, look, whole=True)
        looks += [] if look is None else [look]
        if (why := _teaches_nothing(column, not is_number)) is not None:
            left_out.append(why)
            continue
        (numbers if is_number else categories).append(name)
        if look is None and (kinds := mixed_kinds(column)) is not None:
            mixed.append(kinds)
    if not (categories or numbers or dates):
        raise DataError(
            f"No column is left to predict {listed(map(repr, targets))} from: {'; '.join(left_out) or 'the table has only the target'}. Name them: cat_names=[...], cont_names=[...]."
        )
    parts = [
        f"{what} {listed(names, 30)}" for what, names in (("categories:", categories), ("numbers:", numbers), ("dates:", dates)) if names
    ]
    out = f". Left out: {'; '.join(left_out)}" if left_out else ""
    note(f"Columns taken as {'; '.join(parts)}{out}. To say otherwise: cat_names=[...], cont_names=[...].")
    _say_looks(looks)
    _say_mixed(mixed)
    _say_ids([cells_of(train, name) for name in numbers if named_like_an_id(name)])
    return Roles(categories, numbers, dates)


def _say_looks(looks: Sequence[Look]) -> None:
    """Says which texts are taken as numbers, and which look like numbers, dates or codes and are taken as they are."""
    numbers = [look.said for look in looks if look.kind == "numbers"]
    if numbers:
        note(f"{'; '.join(numbers)}: taken as numbers. If they are codes: cat_names=[...].")
    for look in looks:
        if look.kind == "codes":
            note(f"{look.said}. {look.advice}")
        elif look.kind != "numbers":
            note(f"{look.said}; texts teach a model little of that. Convert it first: {look.advice}")


def _say_mixed(mixed: Sequence[str]) -> None:
    if mixed:
        note(
            f"Columns of several kinds are categories, each cell by how it reads: {'; '.join(mixed)}. If they are meant alike, make them alike."
        )


def _say_ids(columns: Sequence[pd.Series]) -> None:
    ids = [repr(c.name) for c in columns if len(c) > MAX_CARD and pd.api.types.is_integer_dtype(c.dtype) and c.is_unique]
    if ids:
        note(
            f"{listed(ids)}: another whole number in every row, taken as an amount. If it only names the row, leave it out: cont_names=[...]."
        )


def _nested(column: pd.Series) -> str | None:
    """What a column of lists, dicts or the like holds; None for plain values."""
    if column.dtype != object or pd.api.types.infer_dtype(column, skipna=True) in ("string", "boolean", "empty", "datetime", "date"):
        return None
    odd = next((c for c in column if isinstance(c, (list, tuple, dict, set, np.ndarray))), None)
    return None if odd is None else type(odd).__name__


def _teaches_nothing(column: pd.Series, is_category: bool) -> str | None:
    """Why a column can teach a model nothing, or None."""
    if not is_category and len(column) > MAX_CARD and counts_rows(column):
        return f"{column.name!r} only counts the rows (an index, saved with the table?)"
    first = column.iloc[:1000].dropna()
    if (different := first.nunique()) > 1 and (not is_category or different < len(first)):
        return None  # as the first rows show
    filled = column.dropna()
    if not len(filled):
        return f"{column.name!r} is empty"
    different = filled.nunique()
    if different == 1 and len(filled) == len(column):
        return f"{column.name!r} is {filled.head(1).tolist()[0]!r} in every row"
    if is_category and different == len(filled) and len(filled) > MAX_CARD:
        return f"{column.name!r} has another value in every row (a name or a number of the row?)"
    return None
