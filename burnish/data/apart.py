"""Samples of several pictures: which of them a transform changes each on its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

SHARES_GEOMETRY = {"mask", "points", "boxes"}  # kinds whose coordinates belong to the picture at its full size


def apart(kinds: Sequence[str]) -> list[int] | None:
    """Where in a sample the pictures are that transforms change each on its own, with draws of its own.

    None where they change the sample as a whole: where it is one picture and its target, or where something has places in its
    pictures (a mask, points, boxes), which then all move alike and stay in line.

    >>> apart(["image", "image", "category"]), apart(["image", "image", "mask"]), apart(["image", "category"])
    ([0, 1], None, None)
    """
    pictures = [i for i, kind in enumerate(kinds) if kind == "image"]
    whole = not pictures or (pictures == [0] and len(kinds) <= 2)
    return None if whole or SHARES_GEOMETRY.intersection(kinds) else pictures


def is_own(tfm: Any) -> bool:
    """Whether a transform is burnish's own (or holds somebody's function or torchvision's), which knows pictures only. A class of the
    user's may look at the whole sample, and gets it."""
    return type(tfm).__module__.startswith("burnish.")
