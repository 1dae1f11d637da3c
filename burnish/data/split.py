"""Splitters: which samples train, which validate and, where asked for, which test.

A splitter is called with the samples and, inside a DataBlock, the labelled table whose rows are in their order. It gives
int64 positions for (train, valid) or (train, valid, test). Every one refuses empty sides. The random ones draw from
their own generator: a seed fixes the draw, None draws a fresh seed (kept as ``last_seed``).
"""

from __future__ import annotations

import datetime
import itertools
import re
from collections.abc import Callable, Sequence
from pathlib import Path, PurePath
from typing import Any, ClassVar, TypeAlias

import numpy as np

from burnish.data.allot import allot_groups, allot_strata, thin_strata
from burnish.data.columns import called, column_values, paths_of, refuse_missing
from burnish.data.config import Configurable
from burnish.data.label import is_missing
from burnish.data.lazy import pd
from burnish.data.mapped import plain_column
from burnish.data.moments import read_moments
from burnish.data.notes import note
from burnish.data.randomness import derive, fresh_seed
from burnish.data.sides import SIDES, Sides, check_shares, check_sides, cut, positive_int, side_sizes, sides_of_marks
from burnish.data.whole import checked_whole
from burnish.errors import DataError, SettingError, listed, nearest

__all__ = [
    "ColSplitter", "EndSplitter", "FileSplitter", "FuncSplitter", "GrandparentSplitter", "GroupSplitter", "IndexSplitter", "LastSplitter", "MaskSplitter",
    "RandomSplitter", "RandomSubsetSplitter", "Splitter", "TimeSplitter", "TrainTestSplitter", "check_sides",
]  # fmt: skip

_ADDRESS = re.compile(r"<function (\S+) at 0x[0-9A-Fa-f]+>")
Column: TypeAlias = "str | int | Callable[[Any], Any] | Sequence[Any] | np.ndarray | pd.Series"


class Splitter:
    """Base of the splitters: a subclass implements ``split(items, table)``; calling it checks what that gives.

    ``splitter(items, table=None)``: `items` are the samples (a list, L or DataFrame); `table` is the labelled table with
    its rows in the order of the samples, and the names of its target columns in ``table.attrs["targets"]``.
    """

    advice: ClassVar[str] = ""  # what to do about an empty side, for the message
    last_seed: int | None = None

    def split(self, items: Any, table: pd.DataFrame | None) -> Sides:
        """Positions for train, valid and perhaps test."""
        raise NotImplementedError

    def __call__(self, items: Any, table: pd.DataFrame | None = None) -> Sides:
        n = len(items)
        if n == 0:
            raise DataError(
                f"{self!r} got no items, so there is nothing to split. Check that they are found: get_items, or the filter before it."
            )
        if table is not None and len(table) != n:
            raise DataError(
                f"{self!r} got {n} item(s) and a table of {len(table)} row(s); they must be the same samples in the same order."
            )
        return check_sides(self.split(items, table), n, repr(self), self.advice)

    def __repr__(self) -> str:
        text = _ADDRESS.sub(r"\1", Configurable.__repr__(self))  # type: ignore[arg-type]
        return text if len(text) < 150 else f"{type(self).__name__}(...)"

    def _generator(self, seed: int | None) -> np.random.Generator:
        self.last_seed = fresh_seed() if seed is None else seed
        return np.random.default_rng(derive(self.last_seed, "split"))


class RandomSplitter(Splitter):
    """A random share validates, and another tests when `test_pct` is above 0. Shares are rounded, to at least one item."""

    def __init__(self, valid_pct: float = 0.2, seed: int | None = None, test_pct: float = 0.0) -> None:
        check_shares(valid_pct, test_pct)
        self.valid_pct, self.seed, self.test_pct = valid_pct, _seed(seed), test_pct

    def split(self, items: Any, table: pd.DataFrame | None) -> Sides:
        n_valid, n_test = side_sizes(len(items), self.valid_pct, self.test_pct, repr(self))
        return cut(self._generator(self.seed).permutation(len(items)), n_valid, n_test, bool(self.test_pct))


class RandomSubsetSplitter(Splitter):
    """Random shares train, validate and (when `test_sz` is above 0) test; the rest is left out."""

    def __init__(self, train_sz: float, valid_sz: float, seed: int | None = None, test_sz: float = 0.0) -> None:
        check_shares(train_sz, 0.0, "train_sz")
        check_shares(valid_sz, test_sz, "valid_sz", "test_sz")
        if train_sz + valid_sz + test_sz > 1 + 1e-9:
            raise SettingError(
                f"train_sz={train_sz}, valid_sz={valid_sz} and test_sz={test_sz} add up to more than 1; they are shares of all items."
            )
        self.train_sz, self.valid_sz, self.seed, self.test_sz = train_sz, valid_sz, _seed(seed), test_sz

    def split(self, items: Any, table: pd.DataFrame | None) -> Sides:
        n = len(items)
        n_valid, n_test = side_sizes(n, self.valid_sz, self.test_sz, repr(self))
        n_train = min(max(1, int(n * self.train_sz + 0.5)), n - n_valid - n_test)
        order = self._generator(self.seed).permutation(n)[: n_train + n_valid + n_test]
        return cut(order, n_valid, n_test, bool(self.test_sz))


class EndSplitter(Splitter):
    """The last items validate (the first with ``valid_last=False``); with `test_pct` those beyond them test."""

    def __init__(self, valid_pct: float = 0.2, valid_last: bool = True, test_pct: float = 0.0) -> None:
        check_shares(valid_pct, test_pct)
        self.valid_pct, self.valid_last, self.test_pct = valid_pct, valid_last, test_pct

    def split(self, items: Any, table: pd.DataFrame | None) -> Sides:
        n_valid, n_test = side_sizes(len(items), self.valid_pct, self.test_pct, repr(self))
        order = np.arange(len(items)) if self.valid_last else np.arange(len(items))[::-1]
        return cut(order, n_valid, n_test, bool(self.test_pct))


class TrainTestSplitter(Splitter):
    """A random split that can keep the classes' proportions (stratified).

    Args:
        test_size: what validates: a share (0 to 1) or a number of items.
        random_state: the seed.
        stratify: True keeps the proportions of the last target (inside a DataBlock); or the name of a column, or the
            labels themselves, one an item. A class with a single item trains.
        train_size: what trains, as a share or a number, when not all the rest should.
        shuffle: False validates on the last items.
        test_pct: the share that tests.
    """

    def __init__(
        self,
        test_size: float | int = 0.2,
        random_state: int | None = None,
        stratify: Any = None,
        train_size: float | int | None = None,
        shuffle: bool = True,
        test_pct: float = 0.0,
    ) -> None:
        whole = isinstance(test_size, (int, np.integer)) and not isinstance(test_size, bool) and test_size >= 1
        check_shares(0.5 if whole else test_size, 0.0, "test_size")
        check_shares(0.5 if whole else test_size, test_pct, "test_size")
        if stratify is not None and stratify is not False and not shuffle:
            raise SettingError("stratify needs a random draw, but shuffle=False takes the last items. Use one or the other.")
        self.test_size, self.random_state, self.stratify = test_size, _seed(random_state, "random_state"), stratify
        self.train_size, self.shuffle, self.test_pct = train_size, shuffle, test_pct

    def split(self, items: Any, table: pd.DataFrame | None) -> Sides:
        n, rng = len(items), self._generator(self.random_state)
        n_valid, n_test = self._sizes(n)
        labels = self._labels(items, table)
        if labels is None:
            order = rng.permutation(n) if self.shuffle else np.arange(n)
            sides = cut(order, n_valid, n_test, bool(self.test_pct))
        else:
            sides = allot_strata(labels, n_valid, n_test, rng)
        return (self._shortened(sides[0], n, labels, rng), *sides[1:])

    def _sizes(self, n: int) -> tuple[int, int]:
        if self.test_size < 1:
            return side_sizes(n, self.test_size, self.test_pct, repr(self))
        n_test = max(1, int(n * self.test_pct + 0.5)) if self.test_pct else 0
        if self.test_size + n_test >= n:
            raise DataError(
                f"{self!r} leaves nothing to train on: test_size={self.test_size} of {n} item(s). Give a smaller number, or a share such as 0.2."
            )
        return int(self.test_size), n_test

    def _shortened(self, train: np.ndarray, n: int, labels: Any, rng: np.random.Generator) -> np.ndarray:
        if self.train_size is None:
            return train
        wanted = int(self.train_size) if self.train_size >= 1 else int(n * self.train_size + 0.5)
        if not 1 <= wanted <= len(train):
            raise DataError(
                f"train_size={self.train_size} asks for {wanted} of {n} item(s), but {len(train)} are left to train on. Give 1 to {len(train)}."
            )
        if labels is not None:
            return thin_strata(train, labels, wanted, rng)
        return np.sort(rng.choice(train, wanted, replace=False)) if self.shuffle else train[:wanted]

    def _labels(self, items: Any, table: pd.DataFrame | None) -> Any:
        if self.stratify is None or self.stratify is False:
            return None
        by: Any = self.stratify
        if by is True:
            targets = [] if table is None else table.attrs.get("targets", [])
            if table is None or not targets:
                raise SettingError(
                    "stratify=True takes the labels from the DataBlock's table, and there is none here. Pass the labels: stratify=[...], one an item."
                )
            column: Any = plain_column(table[targets[-1]])
            if column.dtype != object and not column.hasnans:
                return column.array
            # missing labels are one group here; the target's block refuses them and names their files
            return ["#missing#" if is_missing(label) else label for label in column]
        return column_values(by, items, table, "stratify")


class GrandparentSplitter(Splitter):
    """By the folder above the label's folder: ``train/cat/1.jpg`` trains. Names may be lists; files elsewhere are left
    out, and a note says how many. `test_name` makes a third side."""

    def __init__(
        self,
        train_name: str | Sequence[str] = "train",
        valid_name: str | Sequence[str] = "valid",
        test_name: str | Sequence[str] | None = None,
    ) -> None:
        self.train_name, self.valid_name, self.test_name = train_name, valid_name, test_name

    def split(self, items: Any, table: pd.DataFrame | None) -> Sides:
        folders = [p.parent.parent.name for p in paths_of(items, table, repr(self))]
        wanted = [[n] if isinstance(n, str) else list(n) for n in (self.train_name, self.valid_name, self.test_name) if n is not None]
        sides = tuple(np.flatnonzero([f in names for f in folders]) for names in wanted)
        counts = {f: folders.count(f) for f in dict.fromkeys(folders)}
        shown = listed((f"{f!r} ({c} files)" for f, c in counts.items()), 8)
        for side, names, which in zip(sides, wanted, SIDES, strict=False):
            if not len(side):
                raise DataError(
                    f"{self!r} found no file for {which}: no file is in a folder inside a folder named {listed(map(repr, names))}. The folders two "
                    f"levels above the files are: {shown}.{nearest(names[0], counts)} Pass {which}_name=, or use RandomSplitter."
                )
        elsewhere = {f: c for f, c in counts.items() if not any(f in names for names in wanted)}
        if elsewhere:
            note(f"{sum(elsewhere.values())} file(s) in other folders ({listed(map(repr, elsewhere))}) are left out of the split.")
        return sides


class IndexSplitter(Splitter):
    """The items at `valid_idx` validate, those at `test_idx` (if given) test, all others train."""

    advice = "Leave some positions out of valid_idx and test_idx, and name at least one in each."

    def __init__(self, valid_idx: Sequence[int] | np.ndarray, test_idx: Sequence[int] | np.ndarray | None = None) -> None:
        self.valid_idx, self.test_idx = valid_idx, test_idx

    def split(self, items: Any, table: pd.DataFrame | None) -> Sides:
        n, held_out = len(items), [self.valid_idx] if self.test_idx is None else [self.valid_idx, self.test_idx]
        taken = np.zeros(n, dtype=bool)
        checked = check_sides(([], *held_out), n, repr(self), self.advice, may_be_empty=("train",))[1:]
        for side in checked:
            taken[side] = True
        return (np.flatnonzero(~taken), *checked)


class FuncSplitter(Splitter):
    """`func` of an item says where it belongs: true validates, false trains; or the text "train", "valid" or "test"."""

    advice = "The function must be true for some items and false for others."

    def __init__(self, func: Callable[[Any], Any]) -> None:
        if not callable(func):
            raise SettingError(f"FuncSplitter needs a function of an item, got {func!r}.")
        self.func = func

    def split(self, items: Any, table: pd.DataFrame | None) -> Sides:
        return sides_of_marks(column_values(self.func, items, table, "func"), f"What {called(self.func)} returns", lenient=True)


class MaskSplitter(Splitter):
    """The items where `mask` is true validate, the others train."""

    advice = "The mask must be True for some items and False for others."

    def __init__(self, mask: Sequence[bool] | np.ndarray) -> None:
        self.mask = mask

    def split(self, items: Any, table: pd.DataFrame | None) -> Sides:
        mask = np.asarray(self.mask)
        if mask.shape != (len(items),):
            raise DataError(f"The mask has shape {mask.shape}, but there are {len(items)} items; one True or False an item was expected.")
        if mask.dtype != bool and set(mask.tolist()) - {0, 1}:
            raise DataError(
                f"The mask has values other than True and False: {listed(dict.fromkeys(mask.tolist()))}. For positions use IndexSplitter."
            )
        return np.flatnonzero(mask == 0), np.flatnonzero(mask != 0)


class FileSplitter(Splitter):
    """A text file with one file name a line says which items validate. A line with "/" is the end of a path.

    Raises:
        FileNotFoundError: (on making) there is no such file.
        DataError: no line names an item. Some that don't are told in a note.
    """

    advice = "The file must name some of the items, and not all."

    def __init__(self, fname: str | Path) -> None:
        if not Path(fname).is_file():
            raise FileNotFoundError(f"There is no file {str(fname)!r} with the names of the validation files (one a line).")
        self.fname = fname

    def split(self, items: Any, table: pd.DataFrame | None) -> Sides:
        lines = {line.strip().replace("\\", "/") for line in Path(self.fname).read_text(encoding="utf-8-sig").splitlines() if line.strip()}
        hits = [_endings(p) & lines for p in paths_of(items, table, repr(self))]
        unknown = sorted(lines - set().union(*hits))
        if len(unknown) == len(lines):
            raise DataError(
                f"None of the {len(lines)} line(s) of {self.fname} names an item: they are {listed(unknown)}; items are {listed(items, 3)}."
            )
        if unknown:
            note(f"{len(unknown)} of {len(lines)} lines of {self.fname} name no item: {listed(unknown)}.")
        mask = np.array([bool(h) for h in hits])
        return np.flatnonzero(~mask), np.flatnonzero(mask)


class ColSplitter(Splitter):
    """A column says which rows validate: by True/False or the texts "train", "valid" and "test"; with `on`, the rows that
    equal it (or are in it, for a list) validate and all others train.

    Args:
        col: the column's name, or its position in the DataFrame that is the source; or the values themselves, one an item.
    """

    advice = "The column must send some rows to each side; pass on= if other values mean valid."

    def __init__(self, col: str | int | Sequence[Any] = "is_valid", on: Any = None) -> None:
        self.col, self.on = col, on

    def split(self, items: Any, table: pd.DataFrame | None) -> Sides:
        values = column_values(self.col, items, table, "col")
        if self.on is None:
            return sides_of_marks(values, self._called(), lenient=False)
        wanted = list(self.on) if isinstance(self.on, (list, tuple, set, frozenset, np.ndarray, pd.Series)) else [self.on]
        mask = np.array([v in wanted for v in values])
        if not mask.any():
            raise DataError(
                f"No row has {self.on!r} in {self._called()}; it has: {listed(dict.fromkeys(map(repr, values)), 10)}. Change on=."
            )
        return np.flatnonzero(~mask), np.flatnonzero(mask)

    def _called(self) -> str:
        return f"the column {self.col!r}" if isinstance(self.col, (str, int)) else "the values of col="


class GroupSplitter(Splitter):
    """Whole groups validate (and test), so that no group (patient, site, speaker, burst of photographs) is on two sides.

    Args:
        group: the name of a column, a function from an item to its group, or the groups themselves, one an item.
        valid_pct, test_pct: shares of the items, met as nearly as whole groups allow.
    """

    def __init__(self, group: Column, valid_pct: float = 0.2, test_pct: float = 0.0, seed: int | None = None) -> None:
        check_shares(valid_pct, test_pct)
        self.group, self.valid_pct, self.test_pct, self.seed = group, valid_pct, test_pct, _seed(seed)

    def groups(self, items: Any, table: pd.DataFrame | None = None) -> np.ndarray:
        """The group of each item, as an object array."""
        values = column_values(self.group, items, table, "group")
        refuse_missing(values, "group", "Give each item a group (its own, where it stands alone)")
        out = np.empty(len(values), dtype=object)
        out[:] = values
        return out

    def split(self, items: Any, table: pd.DataFrame | None) -> Sides:
        groups = self.groups(items, table).tolist()
        sides = allot_groups(groups, self.valid_pct, self.test_pct, self._generator(self.seed), repr(self))
        for side, name, wanted in zip(sides[1:], SIDES[1:], (self.valid_pct, self.test_pct), strict=False):
            share = len(side) / len(groups)
            if not wanted / 2 <= share <= wanted * 2:
                note(f"Whole groups allow no nearer split: the {name} side has {share:.0%} of the items where {wanted:.0%} was asked for.")
        return sides


class TimeSplitter(Splitter):
    """The latest items validate (with `test_pct` the very latest test), as when a model meets the future.

    Items of the same time stay on one side, so shares are met as nearly as the times allow.

    Args:
        time: the name of a column, a function from an item to its time, or the times themselves, one an item: dates,
            numbers, or texts in ISO form (2024-03-31, 2024-03-31T18:00+02:00).
        gap: what is left out before each side after the first, so that neighbours in time don't tell the answer: a
            number of items, or the least time between them (datetime.timedelta, pandas.Timedelta).
    """

    advice = "Make gap= smaller, or the shares."

    def __init__(self, time: Column, valid_pct: float = 0.2, test_pct: float = 0.0, gap: int | datetime.timedelta = 0) -> None:
        check_shares(valid_pct, test_pct)
        span = isinstance(gap, (datetime.timedelta, np.timedelta64))
        if span and pd.Timedelta(gap) < pd.Timedelta(0):
            raise SettingError(f"gap={gap!r}: a time span of 0 or more was expected.")
        self.time, self.valid_pct, self.test_pct = time, valid_pct, test_pct
        self.gap = gap if span else positive_int(gap, "gap")

    def split(self, items: Any, table: pd.DataFrame | None) -> Sides:
        times = self._times(items, table)
        n_valid, n_test = side_sizes(len(times), self.valid_pct, self.test_pct, repr(self))
        order = np.argsort(times, kind="stable")
        first_valid, first_test = self._cuts(times[order], n_valid, n_test)
        starts = [0, first_valid, first_test, len(order)] if n_test else [0, first_valid, len(order)]
        sides = []
        for start, stop in itertools.pairwise(starts):
            kept = order[start:stop] if stop == len(order) else self._before_gap(order[start:stop], times, times[order[stop]])
            sides.append(np.sort(kept))
        dropped = len(order) - sum(map(len, sides))
        if dropped:
            note(f"{dropped} item(s) in the gap of {self.gap} before later sides are left out.")
        return tuple(sides)

    def _cuts(self, times: np.ndarray, n_valid: int, n_test: int) -> tuple[int, int]:
        """Where valid and test begin in the sorted times: the changes of time nearest to the sizes asked for."""
        changes = np.flatnonzero(times[1:] != times[:-1]) + 1
        if len(changes) < (2 if n_test else 1):
            raise DataError(
                f"{self!r} can't split by time: the {len(times)} item(s) have {len(changes) + 1} different time(s), and items of one time stay "
                "together. Use finer times, or RandomSplitter or GroupSplitter."
            )
        test_at = len(times)
        if n_test:
            later = changes[1:]  # one change must remain for valid
            test_at = int(later[np.abs(later - (len(times) - n_test)).argmin()])
        earlier = changes[changes < test_at]
        return int(earlier[np.abs(earlier - (len(times) - n_test - n_valid)).argmin()]), test_at

    def _before_gap(self, side: np.ndarray, times: np.ndarray, next_start: Any) -> np.ndarray:
        if isinstance(self.gap, int):
            return side[: max(0, len(side) - self.gap)]
        if not np.issubdtype(times.dtype, np.datetime64):
            raise SettingError(
                f"gap={self.gap!r} is a time span, but the times are numbers. Give gap= as a number of items, or the times as dates."
            )
        return side[times[side] <= next_start - pd.Timedelta(self.gap).to_timedelta64()]  # type: ignore[union-attr]

    def _times(self, items: Any, table: pd.DataFrame | None) -> np.ndarray:
        if isinstance(self.time, str) and isinstance(items, pd.DataFrame) and self.time in items.columns:
            column = plain_column(items[self.time])
            if isinstance(column.dtype, np.dtype) and column.dtype.kind in "iufM" and not column.isna().any():
                return column.to_numpy()
        values = column_values(self.time, items, table, "time")
        refuse_missing(values, "time", "Fill the times in, or drop these items")
        if all(isinstance(v, (int, float, np.integer, np.floating)) for v in values):
            return np.asarray(values)
        found = read_moments(pd.Series(values, dtype=object))
        if found.wrong.any():
            shown = listed((f"{values[i]!r} (item {i})" for i in np.flatnonzero(found.wrong).tolist()), 3)
            raise DataError(
                f"The times can't be understood as dates: {shown}. Give datetimes, numbers or ISO "
                "texts (2024-03-31); pd.to_datetime(column, dayfirst=...) or format=... converts others."
            )
        if found.zoned.any() and not found.zoned.all():
            pair = (f"{values[int(which.argmax())]!r} (item {int(which.argmax())})" for which in (found.zoned, ~found.zoned))
            raise DataError(
                f"The times can't be put in one order: {' has a time zone or an offset, '.join(pair)} has none. Give all of them a zone, or none."
            )
        return found.utc.to_numpy()


class LastSplitter(Splitter):
    """The last items of each group validate (with `test_n` the very last ones test): of each user the latest ratings, as when a model
    meets what people do next. A group with too few items trains with all of them.

    Args:
        group: the name of a column, a function from an item to its group (the user), or the groups themselves, one an item.
        time: in the same way, what orders the items of a group; None keeps their own order.
        n, test_n: how many of each group.
    """

    advice = "Every group has too few items to spare any: make n= smaller."

    def __init__(self, group: Column, time: Column | None = None, n: int = 1, test_n: int = 0) -> None:
        self.group, self.time = group, time
        self.n, self.test_n = checked_whole("n", n, least=1, otherwise=": how many of each group validate"), positive_int(test_n, "test_n")

    def split(self, items: Any, table: pd.DataFrame | None) -> Sides:
        groups = column_values(self.group, items, table, "group")
        refuse_missing(groups, "group", "Give each item a group")
        order = np.arange(len(groups)) if self.time is None else np.argsort(TimeSplitter(self.time)._times(items, table), kind="stable")
        rows = pd.DataFrame({"group": groups}).iloc[order].groupby("group", sort=False)
        left, size = rows.cumcount(ascending=False).sort_index().to_numpy(), rows["group"].transform("size").sort_index().to_numpy()
        spare = size > self.n + self.test_n
        test = np.flatnonzero(spare & (left < self.test_n))
        valid = np.flatnonzero(spare & (left >= self.test_n) & (left < self.n + self.test_n))
        train = np.flatnonzero(~spare | (left >= self.n + self.test_n))
        return (train, valid, test) if self.test_n else (train, valid)


def _endings(path: PurePath) -> set[str]:
    """ "c.jpg", "b/c.jpg", "a/b/c.jpg" and so on: the ways a line may name a path."""
    parts = [p for p in path.as_posix().split("/") if p]
    return {"/".join(parts[i:]) for i in range(len(parts))} | {path.as_posix()}


def _seed(seed: int | None, name: str = "seed") -> int | None:
    return None if seed is None else positive_int(seed, name)
