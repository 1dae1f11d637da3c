"""Ratings as a target: numbers on a scale that the training ratings tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from burnish.data.notes import note
from burnish.data.number import RegressionBlock

MOST_STEPS = 20  # different ratings up to which they are steps of a scale
FAR = 5  # usual steps from the next rating beyond which one is hardly of the same scale


class RatingBlock(RegressionBlock):
    """A rating: a number that stays on the scale of the training ratings, if they are steps of one. Others' ratings outside of that scale
    are told, and kept as they are: no prediction reaches them.

    Args: see ``RegressionBlock``. With `y_range` nothing is learned, and no rating may lie outside.
    """

    _learned = False

    def fit(self, raws: Sequence[Any]) -> None:
        if self.y_range is None and not self.log:
            self.y_range = range_of(self._array(raws))
            self._learned = self.y_range is not None
        super().fit(raws)

    def check(self, raws: Sequence[Any], rows: Sequence[object], split: str) -> None:
        if not (self._learned and self.y_range is not None and split in ("valid", "test") and len(raws)):
            super().check(raws, rows, split)
            return
        values, (low, high) = self._array(raws, rows), self.y_range
        outside = (np.isfinite(values) & ((values < low) | (values > high))).any(1)
        if outside.any():
            note(
                f"{int(outside.sum())} of {len(values):,} ratings of the {split} split are outside of the training ratings' scale: predictions stay in "
                f"y_range=({low:g}, {high:g}). To say what the scale is: y_range=(low, high)."
            )
        super().check(list(values[~outside]), [rows[int(i)] for i in np.flatnonzero(~outside)], split)


def range_of(ratings: np.ndarray) -> tuple[float, float] | None:
    """Where ratings may lie: half a step beyond the ends of their scale; None where they are no steps of a scale."""
    levels, counts = np.unique(ratings[np.isfinite(ratings)], return_counts=True)
    if len(levels) < 2:
        return None
    if len(levels) > MOST_STEPS:
        note(
            f"The ratings have {len(levels):,} different values from {levels[0]:g} to {levels[-1]:g}, too many for steps of a scale (up to {MOST_STEPS}): "
            f"predictions are held to no range. To hold them: y_range=({levels[0]:g}, {levels[-1]:g})."
        )
        return None
    gaps = np.diff(levels)
    half = float(gaps.min()) / 2
    low, high = float(levels[0]) - half, float(levels[-1]) + half
    note(
        f"The ratings have {len(levels)} steps from {levels[0]:g} to {levels[-1]:g}: predictions stay in y_range=({low:g}, {high:g})."
        f"{_far_off(levels, counts)}"
    )
    return low, high


def _far_off(levels: np.ndarray, counts: np.ndarray) -> str:
    """What to say of ratings at the end of the scale that lie far from all others, as a 99 for no answer does; else nothing."""
    gaps = np.diff(levels)
    for end, gap, next_to in ((0, gaps[0], levels[1]), (-1, gaps[-1], levels[-2])):
        if len(levels) > 2 and gap > FAR * np.median(gaps):
            return (
                f" {counts[end]:,} of them are {levels[end]:g}, far from the next, {next_to:g}: if that is no rating (no answer, say), leave these "
                f"rows out, for it stretches the scale: df[df[rating] != {levels[end]:g}]."
            )
    return ""
