"""The sides of a split (train, valid, test): how large they are, and whether they can be used."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np

from burnish.data.label import is_missing
from burnish.data.whole import whole_number
from burnish.errors import DataError, SettingError, listed

Sides = tuple[np.ndarray, ...]
SIDES = ("train", "valid", "test")

_TEXTS = {
    "train": {"train", "training"},
    "valid": {"valid", "validation", "val", "dev"},
    "test": {"test", "testing", "eval", "evaluation", "holdout"},
}
_TRUE, _FALSE = {"true", "yes", "1", "1.0"}, {"false", "no", "0", "0.0"}


def side_called(name: str) -> str | None:
    """The side that a name stands for, in any letter case.

    >>> side_called("Validation"), side_called("hold-out"), side_called("cat")
    ('valid', 'test', None)
    """
    text = re.sub(r"[\s_-]", "", name.lower())
    return next((side for side, texts in _TEXTS.items() if text in texts), None)


def check_sides(sides: Sequence[Any], n: int, who: str, advice: str = "", may_be_empty: Collection[str] = ()) -> Sides:
    """The sides of a split of `n` items as int64 arrays, if they can be used.

    Args:
        sides: positions for train, valid and perhaps test.
        who: what made the split, for messages. advice: what to do about an empty side, for messages.
        may_be_empty: names of sides that needn't have items.

    Raises:
        DataError: not two or three sides; positions that are no whole numbers, out of range, twice in a side or in two
            sides; or an empty side.
    """
    if not isinstance(sides, (tuple, list)) or len(sides) not in (2, 3):
        what = f"{len(sides)} parts" if isinstance(sides, (tuple, list)) else f"a {type(sides).__name__}"
        raise DataError(f"{who} gave {what}; a splitter must return (train, valid) or (train, valid, test), each a list of positions.")
    arrays = tuple(_as_positions(side, name, n, who) for side, name in zip(sides, SIDES, strict=False))
    taken = np.full(n, -1)
    for i, (side, name) in enumerate(zip(arrays, SIDES, strict=False)):
        both = side[taken[side] >= 0]
        if len(both):
            other = SIDES[taken[both[0]]]
            raise DataError(
                f"{who} put {len(both)} item(s) in both {other} and {name}: positions {listed(both)}. Each item may be in one side only."
            )
        taken[side] = i
    for side, name in zip(arrays, SIDES, strict=False):
        if not len(side) and name not in may_be_empty:
            sizes = ", ".join(f"{s} {len(a)}" for s, a in zip(SIDES, arrays, strict=False))
            raise DataError(f"{who} left the {name} side of {n} item(s) empty ({sizes}). {advice or 'Every side needs at least one item.'}")
    return arrays


def _as_positions(side: Any, name: str, n: int, who: str) -> np.ndarray:
    if not isinstance(side, Iterable):
        raise DataError(f"{who} gave {side!r} for the {name} side; a list of positions was expected, [] for none.")
    try:
        array = np.asarray(side if hasattr(side, "__array__") else list(side))
    except ValueError:
        raise DataError(f"{who} gave a {name} side that holds lists of unequal length; a flat list of positions was expected.") from None
    if array.ndim != 1:
        raise DataError(f"{who} gave a {name} side of shape {array.shape}; a flat list of positions was expected.")
    if array.dtype == bool:
        raise DataError(
            f"{who} gave a mask of True and False for the {name} side; positions were expected. np.flatnonzero(mask) gives them, or use MaskSplitter."
        )
    if len(array) and not np.issubdtype(array.dtype, np.integer):
        raise DataError(f"{who} gave a {name} side with {array.tolist()[0]!r}; positions must be whole numbers from 0 to {n - 1}.")
    array = array.astype(np.int64, copy=False)
    if len(array) and (array.min() < 0 or array.max() >= n):
        outside = array[(array < 0) | (array >= n)]
        raise DataError(f"{who} gave positions {listed(outside)} in the {name} side, but the {n} item(s) have positions 0 to {n - 1}.")
    often = np.bincount(array, minlength=1)
    if (often > 1).any():
        raise DataError(f"{who} has positions {listed(np.flatnonzero(often > 1))} more than once in the {name} side. Name each item once.")
    return array


def check_shares(valid: float, test: float, valid_name: str = "valid_pct", test_name: str = "test_pct") -> None:
    """Raises SettingError unless `valid` is in 0..1, `test` is 0 or in 0..1, and something is left to train on."""
    for name, share, least in ((valid_name, valid, "above 0"), (test_name, test, "0 or more")):
        good = (
            isinstance(share, (int, float, np.number))
            and not isinstance(share, bool)
            and (0 < share < 1 or (share == 0 and least != "above 0"))
        )
        if not good:
            percent = isinstance(share, (int, float)) and 1 < share < 100
            hint = f" For {share} percent give {share / 100:g}." if percent else ""
            why = " Without validation rows nothing would show how good the model is; keep a few." if share == 0 else ""
            raise SettingError(f"{name}={share!r}: a share of the items was expected, {least} and below 1.{hint}{why}")
    if valid + test >= 1:
        raise SettingError(f"{valid_name}={valid} and {test_name}={test} leave nothing to train on: together they must be below 1.")


def side_sizes(n: int, valid: float, test: float, who: str) -> tuple[int, int]:
    """How many of `n` items validate and test: shares rounded to the nearest, each that is above 0 at least one item.

    Raises:
        DataError: there are too few items for one in every side.
    """
    needed = 3 if test else 2
    if n < needed:
        names = ", ".join(SIDES[:needed])
        raise DataError(
            f"{who} can't split {n} item(s) into {names}: at least {needed} are needed, one for each. Add samples, or check that all were found."
        )
    n_test = max(1, int(n * test + 0.5)) if test else 0
    n_valid = max(1, int(n * valid + 0.5))
    while n_valid + n_test >= n:  # so few items that rounding up took everything
        n_valid, n_test = (n_valid - 1, n_test) if n_valid >= n_test else (n_valid, n_test - 1)
    return n_valid, n_test


def cut(order: np.ndarray, n_valid: int, n_test: int, with_test: bool) -> Sides:
    """An order of positions cut into train (its first part), valid and test, each sorted."""
    n_train = len(order) - n_valid - n_test
    sides = (order[:n_train], order[n_train : n_train + n_valid], order[n_train + n_valid :])
    return tuple(_in_order(s) for s in sides[: 3 if with_test else 2])


def _in_order(positions: np.ndarray) -> np.ndarray:
    """Positions, all different, in their order: marked, which is quicker than to sort them."""
    there = np.zeros(positions.max(initial=-1) + 1, dtype=bool)
    there[positions] = True
    return np.flatnonzero(there)


def sides_of_marks(marks: Sequence[Any], what: str, lenient: bool) -> Sides:
    """Sides from one mark an item: truth values (True validates), or the texts "train", "valid" and "test".

    Args:
        what: names the marks in messages.
        lenient: any Python value counts by its truth (what a function returned); else only clear truth values, since a
            column of other numbers or an empty cell is more likely a mistake.

    Raises:
        DataError: a mark that can't be understood; the message names its positions.
    """
    names = [_side_of_mark(m, lenient) for m in marks]
    bad = [i for i, name in enumerate(names) if name is None]
    if bad:
        shown = listed(dict.fromkeys(repr(marks[i]) for i in bad))
        raise DataError(
            f"{what[:1].upper()}{what[1:]} has {len(bad)} value(s) that don't say which side an item is on: {shown} (positions {listed(bad)}). "
            "Expected True (valid) or False (train), or the texts 'train', 'valid' and 'test'. Where other values mean valid, ColSplitter(column, on=[...]) says which."
        )
    array = np.array(names, dtype=object)
    sides = tuple(np.flatnonzero(array == name) for name in SIDES)
    return sides if len(sides[2]) else sides[:2]


def _side_of_mark(mark: Any, lenient: bool) -> str | None:
    if isinstance(mark, str):
        text = mark.strip().lower()
        return side_called(text) or ("valid" if text in _TRUE else "train" if text in _FALSE else None)
    if lenient and mark is None:
        return "train"
    if is_missing(mark):
        return None
    if lenient or isinstance(mark, (bool, np.bool_)) or (isinstance(mark, (int, float, np.number)) and mark in (0, 1)):
        return "valid" if mark else "train"
    return None


def positive_int(value: Any, name: str) -> int:
    """`value` as a whole number of 0 or more, or a SettingError that names it."""
    number = whole_number(value, least=0)
    if number is None:
        raise SettingError(f"{name}={value!r}: a whole number of 0 or more was expected.")
    return number
