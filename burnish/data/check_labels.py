"""Checks of labels and of the sides of a split."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from burnish.data.findings import Issue
from burnish.data.label import is_missing
from burnish.errors import listed

_FEW_TO_MEASURE, _FEW_TO_TRAIN = 30, 20  # rows of a side below which it is called very small
_STRATIFIED = ("category", "multicategory")  # kinds of targets by which a split may keep the shares
_MADE_UP = {
    "category": '; balance="sample" or balance="loss" makes up for it',
    "mask": '; balance="loss" makes up for it',
}  # what DataLoaders can do about uneven classes
_USUAL = {"category": "accuracy", "mask": "pixel_accuracy"}
_UNEVEN, _VERY_UNEVEN = 5, 20  # times that the largest class may exceed the smallest


def check_sizes_of_sides(splits: Sequence[str | None]) -> Iterator[Issue]:
    """Sides with so few rows that little can be learned from them, or measured on them."""
    rows: dict[str, list[int]] = defaultdict(list)
    for row, side in enumerate(splits):
        if side is not None:
            rows[side].append(row)
    for side, where in rows.items():
        n = len(where)
        if side == "train" and n < _FEW_TO_TRAIN:
            yield Issue(
                "tiny_split", "medium", f"train has only {n} row(s).", "Collect more; a pretrained model needs some 20 a class.", where
            )
        elif side != "train" and n < _FEW_TO_MEASURE:
            off = min(50, round(98 / math.sqrt(n)))
            message = f"{side} has only {n} row(s): what is measured on it is rough (an accuracy can be off by {off} percentage points either way)."
            yield Issue("tiny_split", "medium", message, f"Give {side} a larger share, or collect more.", where)


def check_labels(values: Sequence[Any], splits: Sequence[str | None], column: str, kind: str = "category") -> list[Issue]:
    """One class only, rare and uneven classes, classes missing from a side, and labels that differ only in spelling.

    Nothing is found in columns that hold no classes (fractions, paths, arrays).

    Args:
        kind: of the target, by which there is something to do about it.
    """
    rows = [[(label, r) for label in _classes(v)] for r, v in enumerate(values) if splits[r] is not None and not is_missing(v)]
    if not rows or not all(r for r in rows if r) or not _are_classes(values):
        return []
    where: dict[Any, list[int]] = defaultdict(list)
    for label, row in (pair for pairs in rows for pair in pairs):
        where[label].append(row)
    if not where:
        return []
    if len(where) == 1:
        label, at = next(iter(where.items()))
        message = f"All rows have the same {column}, {label!r}: there is nothing to tell apart."
        return [Issue("one_class", "high", message, "Check the labelling function, or add samples of other classes.", at)]
    return [
        *spellings(where, column),
        *(_delimited(where, column) if kind == "category" else ()),
        *_rare(where, column),
        *_missing(where, splits, column, kind),
        *_uneven(where, splits, column, kind),
    ]


def _classes(value: Any) -> list[Any]:
    values = value if isinstance(value, (list, tuple, set)) else [value]
    return [v.item() if isinstance(v, np.generic) else v for v in values]


def _are_classes(values: Sequence[Any]) -> bool:
    """Texts and truth values are classes; whole numbers are when there are few of them: else they are quantities."""
    labels = [v for value in values if not is_missing(value) for v in _classes(value)]
    if any(isinstance(v, int) and not isinstance(v, bool) for v in labels) and len(set(labels)) > max(20, len(labels) // 20):
        return False
    return all(isinstance(v, (str, bool, int)) for v in labels)


def spellings(where: dict[Any, list[int]], column: str, kind: str = "similar_labels", noun: str = "Labels") -> Iterator[Issue]:
    """Texts that differ in capitals, blanks, hyphens and underscores alone.

    Args:
        where: text to its rows; what isn't a text, or reads as a number, is no spelling: -1 is not 1.
        kind, noun: what such a finding is, and what the texts are.
    """
    alike: dict[str, list[Any]] = defaultdict(list)
    for label in where:
        if isinstance(label, str) and not _is_number(label):
            alike[" ".join(label.replace("_", " ").replace("-", " ").split()).casefold()].append(label)
    for labels in alike.values():
        if len(labels) > 1:
            counts = " and ".join(f"{label!r} ({len(where[label])} rows)" for label in labels)
            message = f"{noun} of {column} that may mean the same: {counts}."
            yield Issue(kind, "medium", message, "If they do, give them one spelling.", sorted(r for label in labels for r in where[label]))


def _delimited(where: dict[Any, list[int]], column: str) -> Iterator[Issue]:
    """Texts that are several labels each, of which every combination would be a class of its own."""
    for mark in (";", "|", ","):
        several = {label: [part.strip() for part in label.split(mark)] for label in where if isinstance(label, str) and mark in label}
        parts = Counter(part for found in several.values() for part in found) + Counter(label for label in where if label not in several)
        again = sum(all(parts[part] > 1 for part in found) for found in several.values())
        if len(several) > 1 and 2 * again > len(several):
            label = next(iter(several))
            message = f"{len(several)} of the {len(where)} classes of {column} look like several labels in one text, for example {label!r}: each combination is a class of its own."
            advice = f"If they are, label_delim={mark!r} takes them apart: several labels a picture."
            yield Issue("several_labels", "high", message, advice, sorted(r for text in several for r in where[text]))
            return


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _rare(where: dict[Any, list[int]], column: str) -> Iterator[Issue]:
    single = [label for label, rows in where.items() if len(rows) == 1]
    if single:
        message = f"{len(single)} class(es) of {column} have one sample only: {listed(map(repr, single))}."
        advice = "It can't both be trained on and tested on: collect more, or leave the class out or merge it."
        yield Issue("tiny_class", "medium", message, advice, [where[label][0] for label in single])


def _missing(where: dict[Any, list[int]], splits: Sequence[str | None], column: str, kind: str) -> Iterator[Issue]:
    sides = [s for s in ("train", "valid", "test") if s in set(splits)]
    present = {label: {splits[r] for r in rows} for label, rows in where.items()}
    for side in sides if len(sides) > 1 else ():
        absent = [label for label in where if side not in present[label]]
        if absent:
            severity, means = (
                ("high", "the model can't learn them") if side == "train" else ("medium", "nothing shows how well they are told apart")
            )
            message = f"{len(absent)} of {len(where)} classes of {column} are missing from {side}, so {means}: {listed(map(repr, absent))}."
            how = "TrainTestSplitter(stratify=True)" if kind in _STRATIFIED else "draw another split (seed=), or collect more"
            advice = f"Split so that each class is on both sides: {how}."
            yield Issue("missing_class", severity, message, advice, sorted(r for label in absent for r in where[label]))


def _uneven(where: dict[Any, list[int]], splits: Sequence[str | None], column: str, kind: str) -> Iterator[Issue]:
    counts = Counter({label: sum(splits[r] == "train" for r in rows) for label, rows in where.items()})
    ranked = [(label, n) for label, n in counts.most_common() if n]
    if not ranked or ranked[0][1] < _UNEVEN * ranked[-1][1]:
        return
    (most, n_most), (least, n_least) = ranked[0], ranked[-1]
    message = f"Classes of {column} are uneven in train: {most!r} has {n_most} samples ({n_most / sum(counts.values()):.0%}), {least!r} has {n_least}."
    advice = f"Look at each class's own results besides {_USUAL.get(kind, 'the mean')}{_MADE_UP.get(kind, '')}."
    yield Issue("imbalance", "medium" if n_most >= _VERY_UNEVEN * n_least else "low", message, advice)
