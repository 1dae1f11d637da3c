"""Rates suggested by a finder's curve, as fastai's functions give them: ``(rate, (rate, loss))`` of ``(lrs, losses, num_it)``."""

from __future__ import annotations

from typing import Any

import numpy as np

from burnish.train import lr_find as finder

__all__ = ["SuggestionMethod", "minimum", "slide", "steep", "valley"]
Suggestion = tuple[float, tuple[float, float]]


def _at(found: float, lrs: Any, losses: Any, tenth: bool = False) -> Suggestion:
    """A rate, and the point of the curve that it is at."""
    i = int(np.abs(np.log(lrs) - np.log(found * (10 if tenth else 1))).argmin())
    return found, (float(lrs[i]), float(losses[i]))


def _curve(lrs: Any, losses: Any) -> tuple[Any, Any]:
    return np.asarray(lrs, dtype=np.float64), np.asarray(losses, dtype=np.float64)


def valley(lrs: Any, losses: Any, num_it: int = 100) -> Suggestion:
    """A rate in the middle of the longest valley. `num_it` has no effect."""
    _ = num_it
    curve = _curve(lrs, losses)
    return _at(finder.valley(*curve), *curve)


def slide(lrs: Any, losses: Any, num_it: int = 100, lr_diff: int = 15, thresh: float = 0.005, adjust_value: float = 1.0) -> Suggestion:
    """A rate before the loss goes up, by an interval of `lr_diff` points that slides from the right. `num_it` has no effect."""
    _ = num_it
    curve = _curve(lrs, losses)
    return _at(finder.slide(*curve, lr_diff, thresh, adjust_value), *curve)


def minimum(lrs: Any, losses: Any, num_it: int = 100) -> Suggestion:
    """A tenth of the rate where the loss is lowest. `num_it` has no effect."""
    _ = num_it
    curve = _curve(lrs, losses)
    return _at(finder.minimum(*curve), *curve, tenth=True)


def steep(lrs: Any, losses: Any, num_it: int = 100) -> Suggestion:
    """The rate where the loss falls most steeply. `num_it` has no effect."""
    _ = num_it
    curve = _curve(lrs, losses)
    return _at(finder.steep(*curve), *curve)


class SuggestionMethod:
    """The suggestion functions under their familiar names."""

    Valley, Slide, Minimum, Steep = staticmethod(valley), staticmethod(slide), staticmethod(minimum), staticmethod(steep)
