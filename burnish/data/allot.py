"""Allotting items to sides under a condition: classes in proportion, also where an item has several, or groups whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from burnish.data.label import is_missing
from burnish.data.lazy import pd
from burnish.data.sides import Sides
from burnish.errors import DataError, listed


def allot_strata(labels: Any, n_valid: int, n_test: int, rng: np.random.Generator) -> Sides:
    """Sides of exactly these sizes in which every class has its share, as nearly as whole items allow.

    Args:
        labels: one an item; a list, or a column's array.

    Each class keeps at least one item in train; where the sizes allow, each with two items has one in valid (and with
    three in test).

    Raises:
        DataError: a label is missing or is no single label, or the classes are too small for such sides.
    """
    if not is_column(labels) and any(isinstance(label, (list, tuple, set)) for label in labels):
        return allot_labels(labels, n_valid, n_test, rng)
    codes, names = _codes(labels)
    counts = np.bincount(codes, minlength=len(names))
    members = [rng.permutation(m) for m in np.split(np.argsort(codes, kind="stable"), np.cumsum(counts)[:-1])]
    if (counts - 1).sum() < n_valid + n_test:
        single = [names[k] for k in np.flatnonzero(counts == 1)]
        raise DataError(
            f"{len(labels)} items in {len(names)} classes can't be split in proportion with {n_valid + n_test} held out: each class keeps one item to "
            f"train on, and {len(single)} class(es) have only one ({listed(map(repr, single))}). If the target is a number, don't stratify; else merge or add to small classes."
        )
    for_valid = _apportion(counts, n_valid, counts - 1)
    for_test = _apportion(counts, n_test, counts - 1 - for_valid)
    valid = np.concatenate([m[:v] for m, v in zip(members, for_valid, strict=True)])
    test = np.concatenate([m[v : v + t] for m, v, t in zip(members, for_valid, for_test, strict=True)])
    train = np.concatenate([m[h:] for m, h in zip(members, for_valid + for_test, strict=True)])
    return tuple(np.sort(s) for s in ((train, valid, test) if n_test else (train, valid)))


def allot_labels(labels: Sequence[Any], n_valid: int, n_test: int, rng: np.random.Generator) -> Sides:
    """The same where an item has several labels: the rarest label's items are allotted first, each to the side that lacks most of it
    (iterative stratification, Sechidis, Tsoumakas and Vlahavas 2011). Each label keeps an item in train.

    Args:
        labels: lists of labels, or of 0 and 1, one for each label.
    """
    there = _marks(labels)
    room = np.array([len(labels) - n_valid - n_test, n_valid, n_test])
    wanted = np.outer(room / len(labels), there.sum(0))  # (sides, labels)
    side_of, left = np.full(len(labels), -1), there.sum(0)
    while (left > 0).any():
        label = int(np.where(left > 0, left, left.max() + 1).argmin())
        for item in rng.permutation(np.flatnonzero((side_of < 0) & there[:, label])):
            first = room[0] > 0 and not there[side_of == 0, label].any()
            side = 0 if first else int(max(range(3), key=lambda s: (room[s] > 0, wanted[s, label], room[s])))
            side_of[item] = side
            room[side] -= 1
            wanted[side] -= there[item]
            left -= there[item]
    rest = rng.permutation(np.flatnonzero(side_of < 0))  # without a label
    side_of[rest] = np.repeat(np.arange(3), room)
    return tuple(np.flatnonzero(side_of == side) for side in range(3 if n_test else 2))


def _marks(labels: Sequence[Any]) -> np.ndarray:
    """Which labels the items have ``(items, labels)``, as 0 and 1."""
    lists: list[list[Any]] = [
        [] if is_missing(label) else list(label) if isinstance(label, (list, tuple, set)) else [label] for label in labels
    ]
    if len(set(map(len, lists))) == 1 and all(mark in (0, 1) for cell in lists for mark in cell):
        return np.array(lists, dtype=int).reshape(len(lists), -1)
    odd = next((cell for cell in lists for label in cell if isinstance(label, float) and not label.is_integer()), None)
    if odd is not None:
        raise DataError(
            f"Stratifying needs labels, but there is {odd!r}, with fractions. If the target is numbers, don't stratify: RandomSplitter."
        )
    index = {label: k for k, label in enumerate(dict.fromkeys(label for cell in lists for label in cell))}
    made = np.zeros((len(lists), max(1, len(index))), dtype=int)
    for item, cell in enumerate(lists):
        made[item, [index[label] for label in cell]] = 1
    return made


def thin_strata(train: np.ndarray, labels: Any, wanted: int, rng: np.random.Generator) -> np.ndarray:
    """`wanted` of the positions `train`, with every class in proportion and none lost."""
    return train[allot_strata(labels[train] if is_column(labels) else [labels[i] for i in train], len(train) - wanted, 0, rng)[0]]


def is_column(labels: Any) -> bool:
    """Whether labels are an array of pandas' or numpy's whose cells are single values."""
    return getattr(labels, "ndim", 0) == 1 and labels.dtype != object


def _codes(labels: Any) -> tuple[np.ndarray, list[Any]]:
    if is_column(labels):
        codes, names = pd.factorize(labels)
        if codes.min(initial=0) >= 0:  # else some are missing
            return codes, list(names)
    empty = [i for i, label in enumerate(labels) if is_missing(label)]
    if empty:
        raise DataError(
            f"{len(empty)} item(s) have no label to stratify by: positions {listed(empty)}. Give them labels, or leave them out."
        )
    try:
        index = {label: k for k, label in enumerate(dict.fromkeys(labels))}
    except TypeError:
        odd = next(label for label in labels if isinstance(label, (list, set, dict, np.ndarray)))
        raise DataError(
            f"Stratifying needs one label an item, but there is {odd!r} (a {type(odd).__name__}). Pass stratify= a column with single labels."
        ) from None
    return np.array([index[label] for label in labels]), list(index)


def _apportion(counts: np.ndarray, total: int, most: np.ndarray) -> np.ndarray:
    """`total` places shared out in proportion to `counts`, at most `most` each: whole parts first, then one each to
    classes that have none yet, then by the largest remainder."""
    quota = counts * total / counts.sum()
    given = np.minimum(np.floor(quota).astype(int), most)
    while given.sum() < total:
        order = sorted(np.flatnonzero(given < most), key=lambda k: (given[k] > 0, given[k] - quota[k], k))
        for k in order[: total - given.sum()]:
            given[k] += 1
    return given


def allot_groups(groups: Sequence[Any], valid: float, test: float, rng: np.random.Generator, who: str) -> Sides:
    """Sides of whole groups: in a random order, a group joins test, then valid, where that brings it nearer to its share.

    Raises:
        DataError: fewer groups than sides.
    """
    names = list(dict.fromkeys(groups))
    needed = 3 if test else 2
    if len(names) < needed:
        raise DataError(
            f"{who} found {len(names)} group(s) ({listed(map(repr, names))}) and needs at least {needed}, one for each side. "
            "Check the group of the items, or split otherwise if they are all of one group."
        )
    index = {name: k for k, name in enumerate(names)}
    codes = np.array([index[g] for g in groups])
    sizes = np.bincount(codes)
    side_of = np.zeros(len(names), dtype=int)
    for side, share, others in ((2, test, 2), (1, valid, 1)):
        if share:
            free = [k for k in rng.permutation(len(names)) if side_of[k] == 0]
            side_of[_fill(free, sizes, share * len(codes), others)] = side
    return tuple(np.flatnonzero(side_of[codes] == s) for s in range(needed))


def _fill(free: list[int], sizes: np.ndarray, target: float, others: int) -> list[int]:
    """Groups out of `free` whose sizes add up to about `target`: at least one, and at least `others` are left."""
    chosen: list[int] = []
    total = 0
    for k in free:
        if len(free) - len(chosen) > others and abs(total + sizes[k] - target) < abs(total - target):
            chosen.append(k)
            total += sizes[k]
    return chosen or [min(free, key=lambda k: sizes[k])]
