"""The learning-rate finder (Smith 2015, arXiv:1506.01186): train briefly at rising rates and look at the loss."""

from __future__ import annotations

import bisect
import keyword
import math
from collections import namedtuple
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from burnish.data.notes import note
from burnish.data.randomness import derive, own_globals
from burnish.errors import SettingError, hinting
from burnish.train.callback import Callback, CancelEpochException, CancelFitException
from burnish.train.optim import set_hyper
from burnish.train.precision import Precision
from burnish.train.progress import Progress
from burnish.train.turns import in_turn

if TYPE_CHECKING:
    from burnish.train.learner import Learner

SuggestFunc = Callable[[np.ndarray, np.ndarray], float]
SuggestedLRs = Any  # a named tuple with a field for each suggestion function: SuggestedLRs(valley=0.002)


@hinting
@in_turn
def find_lr(
    learn: Learner,
    start_lr: float = 1e-7,
    end_lr: float = 10,
    num_it: int = 100,
    stop_div: bool = True,
    show_plot: bool = True,
    suggest_funcs: SuggestFunc | Sequence[SuggestFunc] | None = None,
) -> SuggestedLRs:
    """Trains for `num_it` batches while the rate rises geometrically from `start_lr` to `end_lr`, and suggests rates.

    Everything is as before afterwards, also when it was interrupted: weights, buffers, optimizer, random generators, the
    order of the data, modes, the recorder's history. The copy to go back to is in the CPU's memory, not on disk.

    Args:
        num_it: batches; at least 6. The loader is gone through again when it has fewer.
        stop_div: end when the smoothed loss is 4 times the best one.
        show_plot: draw the loss by rate, with the suggestions.
        suggest_funcs: one or several of `valley` (the default), `slide`, `minimum`, `steep`, or functions of (rates, losses) that give
            a rate.

    Returns:
        a named tuple, a field a function: ``learn.lr_find().valley``. A partial goes by its function's name, a lambda is
        ``suggestion``; one of a name that was there before gets a number: ``slide_2``.
    """
    if not 0 < start_lr < end_lr or not math.isfinite(end_lr):
        raise SettingError(f"lr_find(start_lr={start_lr!r}, end_lr={end_lr!r}): expected 0 < start_lr < end_lr.")
    functions = _named([suggest_funcs] if callable(suggest_funcs) else list(suggest_funcs or [valley]))
    finder = LRFinder(start_lr, end_lr, max(6, num_it), stop_div)
    learn.check_trainable(1, 0)
    with everything_restored(learn), own_globals(derive(learn.seed, "lr_find")), learn.showing(rows=False):
        learn.reset_state()
        learn.create_opt()
        learn.n_epochs = math.ceil(finder.num_it / max(1, len(learn.dls.train)))
        displays = [cb for cb in learn.cbs if isinstance(cb, Progress)]
        learn.run_fit([*learn.acting_cbs(), finder, *displays])
    rates, losses = finder.curve()
    found = {name: float(f(rates, losses)) for name, f in functions.items()}
    learn.recorder.finder = (np.asarray(finder.rates), np.asarray(finder.losses), found)
    if show_plot:
        learn.recorder.plot_lr_find()
    return namedtuple("SuggestedLRs", list(found))(**found)


def _named(functions: Sequence[Any]) -> dict[str, Callable[..., Any]]:
    """Suggestion functions by names that a named tuple can have. Raises SettingError if one is no function."""
    named: dict[str, Callable[..., Any]] = {}
    for function in functions:
        if not callable(function):
            raise SettingError(
                f"lr_find(suggest_funcs=...) got {function!r}: expected valley, slide, minimum, steep, or functions of (rates, losses) that give a rate."
            )
        inner = function
        while isinstance(inner, partial):
            inner = inner.func
        name = str(getattr(inner, "__name__", type(inner).__name__)).strip("_")
        name = name if name.isidentifier() and not keyword.iskeyword(name) else "suggestion"
        repeated = sum(known == name or known.startswith(f"{name}_") for known in named)
        named[f"{name}_{repeated + 1}" if repeated else name] = function
    return named


class LRFinder(Callback):
    """Raises the rate before each batch, records the smoothed loss after it, and ends the run.

    Attributes:
        rates, losses: one a batch.
    """

    order = 49

    def __init__(self, start_lr: float, end_lr: float, num_it: int, stop_div: bool, beta: float = 0.98) -> None:
        self.start_lr, self.end_lr, self.num_it, self.stop_div, self.beta = start_lr, end_lr, num_it, stop_div, beta
        self.rates: list[float] = []
        self.losses: list[float] = []
        self._rate, self._average = start_lr, 0.0

    def before_batch(self, learn: Learner) -> None:
        self._rate = self.start_lr * (self.end_lr / self.start_lr) ** (len(self.rates) / (self.num_it - 1))
        set_hyper(learn.opt, "lr", self._rate)

    def after_batch(self, learn: Learner) -> None:
        if learn.loss is None:
            return
        n = len(self.rates) + 1
        self._average = self.beta * self._average + (1 - self.beta) * float(learn.loss.detach())
        smoothed = self._average / (1 - self.beta**n)
        self.rates.append(self._rate)
        self.losses.append(smoothed)
        diverged = not math.isfinite(smoothed) or (self.stop_div and smoothed > 4 * min(self.losses))
        if diverged or n >= self.num_it:
            raise CancelFitException

    def after_train(self, learn: Learner) -> None:
        raise CancelEpochException  # no validation

    def curve(self) -> tuple[np.ndarray, np.ndarray]:
        """Rates and losses for the suggestions: without the first tenth, the last 5, and what isn't finite."""
        losses = np.asarray(self.losses)
        bad = np.flatnonzero(~np.isfinite(losses))
        end = bad[0] if len(bad) else len(losses)
        if end < 2:
            raise SettingError(
                f"lr_find: the loss was {losses[0] if len(losses) else 'never computed'} from the start, at a rate of {self.start_lr:g}, so there is no curve to read. "
                "Look for nan in the data (dls.one_batch()) or in the weights."
            )
        first, last = min(self.num_it // 10, end - 2), max(end - 5, 2)
        if last - first < 6:
            note(
                f"lr_find: training diverged after {end} batches, so the suggestion stands on few points. Begin lower: start_lr={self.start_lr / 100:g}."
            )
            first, last = 0, end
        return np.asarray(self.rates)[first:last], losses[first:last]


@contextmanager
def everything_restored(learn: Learner) -> Iterator[None]:
    """Puts back, however the block ends, whatever training changes on a learner."""
    modules = [m for m in (learn.model, learn.loss_func) if isinstance(m, nn.Module)]
    weights = [(t, t.detach().to("cpu", copy=True)) for m in modules for t in m.parameters()]
    buffers = [
        (sub, name, b, b.detach().to("cpu", copy=True))
        for m in modules
        for sub in m.modules()
        for name, b in sub._buffers.items()
        if b is not None
    ]
    modes = [(sub, sub.training) for m in modules for sub in m.modules()]
    states = [(cb, cb.state_dict()) for cb in learn.acting_cbs()]
    kept = {k: v for k, v in vars(learn).items() if k not in ("cbs", "_model", "_dls")}
    passes = getattr(learn.dls.train, "epoch", 0)
    learn.precision = Precision(learn.precision.setting, learn.device)
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, copy in weights:
                tensor.copy_(copy)
                tensor.grad = None
            for module, name, tensor, copy in buffers:
                tensor.copy_(copy)
                module._buffers[name] = tensor
        for module, mode in modes:
            module.training = mode
        for cb, state in states:
            if state:
                cb.load_state_dict(state)
        vars(learn).update(kept)
        learn.dls.train.epoch = passes


# -- suggestions ------------------------------------------------------------------------------------------------------
def valley(lrs: np.ndarray, losses: np.ndarray) -> float:
    """A rate in the valley: half of the way from one third to two thirds of the longest decreasing run of losses.

    The run is the longest strictly decreasing subsequence (found in O(n log n)).
    """
    ends: list[float] = []  # ends[k]: the least -loss that ends a decreasing run of k + 1 points; ascending
    longest, at = 0, 0
    for i, loss in enumerate(losses):
        k = bisect.bisect_left(ends, -loss)
        ends[k : k + 1] = [-loss]
        if k + 1 > longest:
            longest, at = k + 1, i
    start = max(0, at - longest)
    third = (at - start) / 3
    return float(lrs[start + int(third) + int(third / 2)])


def slide(lrs: np.ndarray, losses: np.ndarray, lr_diff: int = 15, thresh: float = 0.005, adjust_value: float = 1.0) -> float:
    """Slides an interval of `lr_diff` points from the right until the slope of the loss is the same (to `thresh`) at both
    its ends, and gives the rate at its left end, times `adjust_value`."""
    slopes = np.gradient(losses)
    width = min(lr_diff, len(losses) - 1)
    right = len(losses) - 1
    while right - width > 0 and abs(slopes[right] - slopes[right - width]) > thresh:
        right -= 1
    return float(lrs[right - width]) * adjust_value


def minimum(lrs: np.ndarray, losses: np.ndarray) -> float:
    """A tenth of the rate where the loss is lowest."""
    return float(lrs[np.argmin(losses)]) / 10


def steep(lrs: np.ndarray, losses: np.ndarray) -> float:
    """The rate where the loss falls most steeply, by the logarithm of the rate."""
    return float(lrs[np.argmin(np.gradient(losses, np.log(lrs)))])


class SuggestionMethod:
    """The suggestion functions under their familiar names."""

    Valley, Slide, Minimum, Steep = staticmethod(valley), staticmethod(slide), staticmethod(minimum), staticmethod(steep)


def draw_finder(lrs: np.ndarray, losses: np.ndarray, suggestions: dict[str, float], ax: Any) -> Any:
    """The loss by rate on `ax`, a dot at each suggestion; returns the axes."""
    ok = np.isfinite(losses)
    ax.plot(lrs[ok], losses[ok], color="tab:blue")
    ax.set(xscale="log", xlabel="learning rate", ylabel="loss (smoothed)")
    for i, (name, lr) in enumerate(suggestions.items()):
        height = np.interp(np.log(lr), np.log(lrs[ok]), losses[ok])
        ax.plot([lr], [height], "o", color=f"C{i + 1}", label=f"{name}: {lr:.2e}")
    if suggestions:
        ax.legend(frameon=False)
    return ax
