"""Pictures unlike the others and copies of one another: what ``find_issues`` tells beside wrong labels."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image

from burnish.data.duplicates import looks_same, same_content
from burnish.data.facts import FileFacts, look_inside
from burnish.data.parallel import in_parallel
from burnish.errors import UnreadableFileError
from burnish.vision.image import open_image

if TYPE_CHECKING:
    from burnish.data.dataloaders import DataLoaders

NEIGHBOURS = 5
FAR = 5.0  # robust deviations of the distance to the neighbours at which a picture counts as unlike the others by half
SMALL, LONG = 32, 4.0  # least side in pixels, most ratio of the sides
DARK = 16.0  # mean of 255 below which a picture is very dark
BLURRED = 0.25  # share of the median sharpness below which a picture is blurry
SIDE = 192  # pixels at which sharpness is looked at: about what a model sees


class Copies(NamedTuple):
    """Pictures that are the same (`exact`) or nearly so: positions among the rows that were looked at."""

    members: list[int]
    exact: bool


def look_at(dls: DataLoaders, rows: np.ndarray) -> list[FileFacts]:
    """Facts of the files of `rows`; [] where the pictures are no files."""
    cells = dls.table[dls.table.attrs["inputs"][0]].iloc[rows].tolist()
    if not all(isinstance(c, (str, os.PathLike)) for c in cells):
        return []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PIL's, on files that are named here anyway
        return in_parallel(look_inside, [os.fspath(c) for c in cells])


def issues_of(facts: Sequence[FileFacts], rows: np.ndarray, blur: bool = True) -> Iterator[dict[str, Any]]:
    """Files that can't be read, and pictures that are very small, long, plain, dark or (with `blur`: they are read once more) blurred."""
    good = [i for i, f in enumerate(facts) if f.problem is None and f.size is not None and f.thumb is not None]
    for i, f in enumerate(facts):
        if f.problem is not None:
            yield _issue(rows[i], "unreadable", 1.0, f.problem)
    usual = float(np.median([min(facts[i].size or (0, 0)) for i in good])) if good else 0.0
    plain = set()
    for i in good:
        width, height = facts[i].size or (1, 1)
        small, long, thumb = min(width, height), max(width, height) / min(width, height), facts[i].thumb
        assert thumb is not None
        if small < SMALL and usual >= 2 * SMALL:
            yield _issue(rows[i], "odd_size", 1 - small / (2 * SMALL), f"{width} x {height} pixels")
        elif long > LONG:
            yield _issue(rows[i], "odd_size", 1 - LONG / (2 * long), f"{width} x {height} pixels, {long:.1f} times as long as wide")
        if thumb.std() < 1.0:
            plain.add(i)
            yield _issue(rows[i], "blank", 1 - float(thumb.std()) / 2, "one plain colour")
        elif thumb.mean() < DARK:
            yield _issue(rows[i], "dark", 1 - float(thumb.mean()) / (2 * DARK), f"mean brightness {thumb.mean() / 255:.0%}")
    if blur:
        yield from _blurred([i for i in good if i not in plain], facts, rows)


def _blurred(places: list[int], facts: Sequence[FileFacts], rows: np.ndarray) -> Iterator[dict[str, Any]]:
    sharp = np.array(in_parallel(lambda i: sharpness(facts[i].path), places))
    if len(sharp) < 2 * NEIGHBOURS:
        return
    usual = float(np.nanmedian(sharp))
    for i, s in zip(places, sharp, strict=True):
        if usual > 0 and s < BLURRED * usual:
            yield _issue(rows[i], "blurry", 1 - float(s) / (2 * BLURRED * usual), f"{s / usual:.0%} of the usual sharpness")


def sharpness(path: str) -> float:
    """The mean edge of a picture (its Laplacian, at some 192 pixels) as a share of its contrast; nan where it can't be read."""
    try:
        image = open_image(path, "L", lambda size: (2 * SIDE, 2 * SIDE))
    except (OSError, UnreadableFileError):
        return float("nan")
    factor = SIDE / max(min(image.size), 1)
    if factor < 1:
        image = image.resize((round(image.width * factor), round(image.height * factor)), Image.Resampling.BOX)
    x = np.asarray(image, dtype=np.float32)
    if min(x.shape) < 3:
        return float("nan")
    edges = 4 * x[1:-1, 1:-1] - x[:-2, 1:-1] - x[2:, 1:-1] - x[1:-1, :-2] - x[1:-1, 2:]
    return float(np.abs(edges).mean() / (x.std() + 4.0))


# -- copies -----------------------------------------------------------------------------------------------------------
def copies(facts: Sequence[FileFacts]) -> list[Copies]:
    """Groups of pictures that are copies of one another, exact ones first."""
    usable = [i for i, f in enumerate(facts) if f.problem is None]
    exact = [[usable[i] for i in group] for group in same_content([facts[i].path for i in usable], [facts[i].n_bytes for i in usable])]
    again = {i for group in exact for i in group[1:]}
    firsts = [i for i in usable if i not in again and facts[i].thumb is not None]
    near = looks_same(np.stack([facts[i].thumb for i in firsts])) if len(firsts) > 1 else []  # type: ignore[arg-type]
    return [*(Copies(group, True) for group in exact), *(Copies([firsts[k] for k in group], False) for group in near)]


def issues_of_copies(groups: Sequence[Copies], dls: DataLoaders, rows: np.ndarray) -> Iterator[dict[str, Any]]:
    """What copies mean: a leak where they are on several sides of the split, a conflict where their labels differ; else one is too many.

    Of a leak those that validate or test are named, of copies all but the first, and of a conflict all.
    """
    splits = dls.table["split"].iloc[rows].tolist()
    names = dls.table.attrs["targets"]
    labels = [str(cell) for cell in dls.table[names[0]].iloc[rows]] if names else [""] * len(rows)
    rank = {"train": 0, "valid": 1, "test": 2}
    for group in groups:
        members = sorted(group.members, key=lambda i: (rank.get(splits[i], 3), i))
        said = "the same file" if group.exact else "nearly the same picture"
        for place, i in enumerate(members):
            score = 1.0 if group.exact else 0.9
            other = next((j for j in members if labels[j] != labels[i]), None)
            if other is not None:
                yield _issue(rows[i], "conflicting_labels", score, f"{said}, labelled {labels[other]!r}", rows[other])
            across = next((j for j in members[:place] if splits[j] != splits[i]), None)
            if across is not None:
                yield _issue(rows[i], "leak", score, f"{said} is in {splits[across]}", rows[across])
            elif place and other is None:
                yield _issue(rows[i], "duplicate" if group.exact else "near_duplicate", score, said, rows[members[0]])


# -- outliers ---------------------------------------------------------------------------------------------------------
def unlikeness(features: np.ndarray, group_of: np.ndarray, block: int = 1024) -> tuple[np.ndarray, np.ndarray]:
    """How far pictures are from their neighbours: scores 0 to 1 ``(pictures,)``, and the position of the nearest one.

    The mean distance to the 5 nearest (copies of the picture don't count) in median absolute deviations above the median, z, as z / (z + 5).

    Args:
        features: of length 1 ``(pictures, features)``. group_of: the same number for copies of one another.
    """
    n = len(features)
    distance, nearest = np.zeros(n), np.zeros(n, dtype=np.int64)
    k = min(NEIGHBOURS, n - 1)
    if k < 1:
        return distance, nearest
    for start in range(0, n, block):
        alike = features[start : start + block] @ features.T
        alike[group_of[start : start + block, None] == group_of[None]] = -np.inf
        best = np.argpartition(-alike, k - 1, axis=1)[:, :k]
        values = np.take_along_axis(alike, best, axis=1)
        distance[start : start + block] = 1 - np.where(np.isfinite(values), values, 0.0).mean(1)
        nearest[start : start + block] = alike.argmax(1)
    middle = np.median(distance)
    spread = 1.4826 * np.median(np.abs(distance - middle))
    z = np.maximum(distance - middle, 0) / max(float(spread), 1e-6)
    return z / (z + FAR), nearest


def _issue(row: Any, issue: str, score: float, about: str, near: Any = None) -> dict[str, Any]:
    near = None if near is None else int(near)
    return {
        "row": int(row),
        "issue": issue,
        "score": float(np.clip(score, 0, 1)),
        "suggested": None,
        "probability": float("nan"),
        "near": near,
        "about": about,
    }
