"""Folders called like the sides of a split (train, val, test ...): which file is on which side."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from burnish.data.files import root_name
from burnish.data.lazy import pd
from burnish.data.notes import note
from burnish.data.sides import SIDES, Sides, side_called
from burnish.data.split import Splitter
from burnish.errors import DataError, SettingError, listed, nearest

Place = tuple[str, ...]  # the folders from the root down to a file


@dataclass(frozen=True)
class FolderSides:
    """`sides` says where each file belongs ("train", "valid", "test", or None for not used), `folders` which folder is
    which side; a side without a folder is missing there."""

    sides: list[str | None]
    folders: dict[str, str]


class FilledSplitter(Splitter):
    """Sides that are known, one an item; those named in `fill` are drawn by another splitter from the items that train."""

    def __init__(self, sides: Sequence[str], draw: Splitter | None = None, fill: Sequence[str] = ()) -> None:
        self.sides, self.draw, self.fill = sides, draw, fill

    def split(self, items: Any, table: pd.DataFrame | None) -> Sides:
        sides = np.array(self.sides, dtype=object)
        if self.draw is not None:
            train = np.flatnonzero(sides == "train")
            drawn = self.draw([items[i] for i in train], None if table is None else table.iloc[train])
            for side, positions in zip(self.fill, drawn[1:], strict=True):
                sides[train[positions]] = side
        found = tuple(np.flatnonzero(sides == side) for side in SIDES)
        return found if len(found[2]) else found[:2]


def sides_by_folder(
    root: Path, files: Sequence[Path], train: str | None = None, valid: str | None = None, test: str | None = None
) -> FolderSides:
    """The sides of files under `root`, by its sub-folders: ``root/train/cat/1.jpg`` trains.

    A folder is a side when it holds folders of classes and is called like a side: train, training; valid, val, validation,
    dev; test, testing, eval, holdout; in any letter case, and beside other words (``test_images``) where the folders of
    another side are called likewise. Without one for training, all other files train. Left out, with a note, are: a folder
    called like a held-out side that has no classes, or none of those that train; what lies beside a training folder; and
    files beside class folders. A class may be called like a side too: ``train`` among vehicles, ``test`` beside ``control``.

    Args:
        train, valid, test: names of the sub-folders; None recognises the usual ones.

    Raises:
        DataError: a named folder isn't there or has no classes; several folders may be one side; nothing is left to
            train on; or such folders lie elsewhere, where training and held-out files would be mixed.
        SettingError: one folder is named for two sides.
    """
    paths = [f.relative_to(root).parts[:-1] for f in files]
    places = _undoubled(paths)
    named = {side: name for side, name in zip(SIDES, (train, valid, test), strict=True) if name is not None}
    _check_named(root, places, named)
    folders = _side_folders(root, places, named)
    unlabelled = _flat(places, folders)
    trained = _classes(places, folders, "train")
    for side in [s for s in ("valid", "test") if s in folders and s not in named]:
        if trained and not trained & _classes(places, folders, side):
            unlabelled.add(folders.pop(side))
    side_of = {folder: side for side, folder in folders.items()}
    sides = [_side(place, side_of, unlabelled, any(places)) for place in places]
    if "train" not in folders:
        _refuse_mixtures(root, [both for *both, side in zip(paths, places, sides, strict=True) if side == "train"])
    _refuse_empty(root, sides, folders)
    _tell_left_out(root, places, sides, unlabelled)
    _tell_doubtful(places, sides)
    return FolderSides(sides, folders)


def _undoubled(paths: Sequence[Place]) -> list[Place]:
    """The folders from the root to each file, without the doubling that unpacking makes (``train/train/cat``): a folder that
    holds others besides the one called like itself has a class of that name."""
    mixed = {p[0] for p in paths if len(p) > 1 and p[1] != p[0]}
    return [p[1:] if len(p) > 1 and p[0] not in mixed else p for p in paths]


def _check_named(root: Path, places: Sequence[Place], named: dict[str, str]) -> None:
    if len(set(named.values())) < len(named):
        raise SettingError(f"One folder can't be two sides of a split: {listed(f'{s}={n!r}' for s, n in named.items())}.")
    tops = sorted({p[0] for p in places if p})
    with_classes = {p[0] for p in places if len(p) > 1}
    for side, name in named.items():
        if name not in with_classes:
            what = "holds no pictures in class folders" if name in tops else "isn't there, or holds no pictures"
            raise DataError(
                f"{side}={name!r} names a folder in {root_name(root)} that {what}; the layout expected is {name}/CLASS/picture. "
                f"Folders with pictures there: {listed(map(repr, tops), 10) or 'none'}.{nearest(name, tops)}"
            )


def _side_folders(root: Path, places: Sequence[Place], named: dict[str, str]) -> dict[str, str]:
    """Side to folder: the named ones, and of the others those that are called like a side and hold classes."""
    free = sorted({p[0] for p in places if len(p) > 1} - set(named.values()))
    exact = {side: [t for t in free if side_called(t) == side] for side in SIDES}
    loose = {side: exact[side] or [t for t in free if _side_among_words(t) == side] for side in SIDES}
    found = loose if sum(map(bool, loose.values())) > 1 else exact
    folders = {}
    for side in SIDES:
        if side in named:
            folders[side] = named[side]
        elif len(found[side]) > 1:
            raise DataError(
                f"{root_name(root)} has several folders that may be the {side} side: {listed(map(repr, found[side]))}. Say which is: "
                f"{side}={found[side][0]!r}."
            )
        elif found[side]:
            folders[side] = found[side][0]
    return folders


def _side_among_words(name: str) -> str | None:
    """The only side that a word of the name stands for: "test" of ``seg_test`` and of ``Test images``."""
    sides = {side for word in re.split(r"[\W_]+", name) if (side := side_called(word))}
    return sides.pop() if len(sides) == 1 else None


def _classes(places: Sequence[Place], folders: dict[str, str], side: str) -> set[str]:
    """The classes of a side, as its folder has them; without a folder for training, those of all the rest."""
    if side in folders:
        return {p[1] for p in places if len(p) == 2 and p[0] == folders[side]}
    return {p[-1] for p in places if p and p[0] not in folders.values()}


def _flat(places: Sequence[Place], folders: dict[str, str]) -> set[str]:
    """Folders called like a side, with pictures but without classes. Where the classes lie in the root itself, ``train``
    may be one of them, and a held-out name too when it is needed to have two."""
    flat = {p[0] for p in places if p} - {p[0] for p in places if len(p) > 1}
    if "train" in folders:
        return {t for t in flat if side_called(t)}
    held_out = {t for t in flat if side_called(t) in ("valid", "test")}
    return held_out if len(_classes(places, folders, "train") - held_out) > 1 else set()


def _side(place: Place, side_of: dict[str, str], unlabelled: set[str], has_classes: bool) -> str | None:
    if not place:
        return None if has_classes else "train"
    if place[0] in side_of:
        return side_of[place[0]] if len(place) == 2 else None  # deeper down the folder above is no class
    return None if place[0] in unlabelled or "train" in side_of.values() else "train"


def _refuse_mixtures(root: Path, training: Sequence[Sequence[Place]]) -> None:
    """Files drawn from at random (their paths as they are, and undoubled) mustn't come from held-out folders that weren't
    recognised because of where they lie."""
    for path, place in training:
        sides = [_side_among_words(name) for name in place[:-1]]
        depth = next((i for i, side in enumerate(sides) if side in ("valid", "test")), None)
        if depth == 0:
            raise DataError(
                f"{place[0]!r} in {root_name(root)} is called like a side of a split, and a random one would mix it with what trains. "
                f"If it is held out, say {sides[0]}={place[0]!r}; if it isn't, give it another name."
            )
        if depth is not None:
            above = path[: len(path) - len(place) + depth]
            raise DataError(
                f"{'/'.join((*above, place[depth]))!r} in {root_name(root)} is called like a side of a split, but lies too deep to be taken for one, and a "
                f"random split would mix it with what trains. Give the folder that holds it: {str(root.joinpath(*above))!r}."
            )
    labels = sorted({place[-1] for _, place in training if place})
    if len({side_called(name) for name in labels}) > 1 and all(map(side_called, labels)):
        raise DataError(
            f"The folders that the pictures under {root_name(root)} are in, which would be the classes, are {listed(map(repr, labels))}: sides of a split. "
            "The layout expected is train/CLASS/picture; for another, use DataBlock with get_y= and splitter=FuncSplitter(...)."
        )


def _refuse_empty(root: Path, sides: Sequence[str | None], folders: dict[str, str]) -> None:
    for side, folder in folders.items():
        if side not in sides:
            raise DataError(
                f"{folder!r} in {root_name(root)} has no picture directly in a class folder; the layout expected is {folder}/CLASS/picture."
            )
    if "train" not in sides:
        held = listed(f"{folder!r} ({side})" for side, folder in folders.items())
        raise DataError(
            f"{root_name(root)} holds nothing to train on, only held-out pictures: {held}. Name the folder that trains (train=...), or give "
            f"one of these itself to draw a split from it: {str(root / next(iter(folders.values())))!r}."
        )


def _tell_left_out(root: Path, places: Sequence[Place], sides: Sequence[str | None], unlabelled: set[str]) -> None:
    left = Counter("/".join(place) or "." for place, side in zip(places, sides, strict=True) if side is None)
    for folder in sorted(unlabelled):
        inside = [name for name in left if name.split("/")[0] == folder]
        note(
            f"{sum(left.pop(name) for name in inside)} picture(s) in {folder!r} are in no folder of a class that trains, so they have no labels and are "
            f"left out. To predict on them: learn.get_preds(dl=dls.test_dl(get_image_files({str(root / folder)!r})))."
        )
    if left:
        shown = listed((f"{folder!r} ({n})" for folder, n in left.items()), 4)
        note(f"{sum(left.values())} picture(s) under {root_name(root)} are in no class folder of the split and are left out: {shown}.")


def _tell_doubtful(places: Sequence[Place], sides: Sequence[str | None]) -> None:
    """Says which classes are called like a held-out side among other words: ``test_images`` beside ``cat`` and ``dog``."""
    pictures = Counter(place[-1] for place, side in zip(places, sides, strict=True) if side == "train" and place)
    for name, n in sorted(pictures.items()):
        if side_called(name) is None and _side_among_words(name) in ("valid", "test"):
            note(
                f"{name!r}, with {n} picture(s), is taken for a class. If it holds pictures without labels, move it out of the folder of classes."
            )
