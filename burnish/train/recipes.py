"""Recipes: how the learning rate and momentum go over training. Each is a few lines on ``Learner.train_epochs``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from burnish.data.notes import note
from burnish.data.whole import checked_whole, whole_number
from burnish.errors import SettingError, hinting
from burnish.train.attached import Callbacks, as_callbacks
from burnish.train.callbacks.checkpoint import Checkpoint
from burnish.train.callbacks.gradients import GradientAccumulation
from burnish.train.callbacks.unfreezing import GradualUnfreeze
from burnish.train.freezing import FULL_STEP
from burnish.train.optim import LearningRate, has_momentum, lr_per_group
from burnish.train.schedule import SchedCos, SchedNo, Schedule, checked_share, combine_scheds, combined_cos

if TYPE_CHECKING:
    from burnish.train.learner import Learner
    from burnish.train.results import Results

Moments = tuple[float, float, float]
FROZEN, WHOLE = "head", "whole"  # the phases of fine_tune


@hinting
def fit(
    learn: Learner,
    n_epoch: int,
    lr: LearningRate | None = None,
    wd: float | None = None,
    cbs: Callbacks = None,
    reset_opt: bool = False,
    start_epoch: int = 0,
    resume: bool = False,
) -> Results:
    """Trains for `n_epoch` epochs with a constant learning rate.

    Args:
        lr: a number; ``slice(a)``: `a` for the last layer group and a tenth for the others; ``slice(a, b)``: from `a` for
            the first group to `b` for the last, geometrically; a list: one a group. None is the learner's.
        wd: weight decay of this fit alone; None is the learner's.
        cbs: callbacks of this fit alone.
        reset_opt: forget the optimizer's state (its moments); it is kept from fit to fit otherwise.
        start_epoch: leave out the epochs before it; schedules stand where they would stand there.
        resume: go on where the ``Checkpoint`` among `cbs` says the same call was interrupted.

    Returns:
        the table of results.
    """
    n_epoch = whole_epochs(n_epoch)
    rates = _rates(learn, lr)
    return learn.train_epochs(n_epoch, rates, wd, {}, cbs, reset_opt, start_epoch, resume, _said("fit", learn, n_epoch, rates, wd))


@hinting
def fit_one_cycle(
    learn: Learner,
    n_epoch: int,
    lr_max: LearningRate | None = None,
    div: float = 25.0,
    div_final: float = 1e5,
    pct_start: float = 0.25,
    wd: float | None = None,
    moms: Moments | None = None,
    cbs: Callbacks = None,
    reset_opt: bool = False,
    start_epoch: int = 0,
    resume: bool = False,
) -> Results:
    """Trains with one cycle: the rate rises from ``lr_max / div`` to `lr_max` over the share `pct_start` of training and
    falls to ``lr_max / div_final``, both by half a cosine; momentum goes the other way (Smith 2018, arXiv:1803.09820).

    Args:
        moms: momentum (the first beta of Adam) at the start, the top of the rate, and the end; None is the learner's.
        lr_max and the others: as in :func:`fit`.
    """
    n_epoch = whole_epochs(n_epoch)
    rates = _rates(learn, lr_max)
    top = _schedulable(rates)
    scheds: dict[str, Schedule] = {"lr": combined_cos(pct_start, top / div, top, top / div_final)}
    momenta = _momenta(learn, moms, reset_opt)
    if momenta is not None:
        scheds["mom"] = combined_cos(pct_start, *momenta)
    said = _said("fit_one_cycle", learn, n_epoch, rates, wd, div=div, div_final=div_final, pct_start=pct_start, moms=momenta)
    return learn.train_epochs(n_epoch, rates, wd, scheds, cbs, reset_opt, start_epoch, resume, said)


@hinting
def fit_flat_cos(
    learn: Learner,
    n_epoch: int,
    lr: LearningRate | None = None,
    div_final: float = 1e5,
    pct_start: float = 0.75,
    wd: float | None = None,
    cbs: Callbacks = None,
    reset_opt: bool = False,
    start_epoch: int = 0,
    resume: bool = False,
) -> Results:
    """Trains at `lr` for the share `pct_start` of training, then down half a cosine to ``lr / div_final``."""
    n_epoch = whole_epochs(n_epoch)
    rates = _rates(learn, lr)
    top = _schedulable(rates)
    pct_start = checked_share("pct_start", pct_start)
    scheds: dict[str, Schedule] = {"lr": combine_scheds([pct_start, 1 - pct_start], [SchedNo(top), SchedCos(top, top / div_final)])}
    said = _said("fit_flat_cos", learn, n_epoch, rates, wd, div_final=div_final, pct_start=pct_start)
    return learn.train_epochs(n_epoch, rates, wd, scheds, cbs, reset_opt, start_epoch, resume, said)


@hinting
def fit_sgdr(
    learn: Learner,
    n_cycles: int,
    cycle_len: int,
    lr_max: LearningRate | None = None,
    cycle_mult: int = 2,
    cbs: Callbacks = None,
    reset_opt: bool = False,
    wd: float | None = None,
    start_epoch: int = 0,
    resume: bool = False,
) -> Results:
    """Trains for `n_cycles` cycles, each from `lr_max` down half a cosine to 0 (Loshchilov and Hutter 2016,
    arXiv:1608.03983). The first takes `cycle_len` epochs, each next one `cycle_mult` times as many."""
    given = (n_cycles, cycle_len, cycle_mult)
    n_cycles, cycle_len, cycle_mult = (whole_number(n, least=1) or 0 for n in given)
    if not min(n_cycles, cycle_len, cycle_mult):
        raise SettingError(
            f"fit_sgdr(n_cycles={given[0]!r}, cycle_len={given[1]!r}, cycle_mult={given[2]!r}): expected whole numbers of at least 1."
        )
    lengths = [cycle_len * cycle_mult**i for i in range(n_cycles)]
    n_epoch = sum(lengths)
    rates = _rates(learn, lr_max)
    top = _schedulable(rates)
    scheds: dict[str, Schedule] = {"lr": combine_scheds([n / n_epoch for n in lengths], [SchedCos(top, top * 0)] * n_cycles)}
    said = _said("fit_sgdr", learn, n_epoch, rates, wd, cycles=lengths)
    return learn.train_epochs(n_epoch, rates, wd, scheds, cbs, reset_opt, start_epoch, resume, said)


@hinting
def fine_tune(
    learn: Learner,
    epochs: int,
    base_lr: float = 2e-3,
    freeze_epochs: int = 1,
    lr_mult: float = 10,
    pct_start: float = 0.3,
    div: float = 5.0,
    div_final: float = 1e5,
    unfreeze_pct: float = 0.5,
    wd: float | None = None,
    moms: Moments | None = None,
    cbs: Callbacks = None,
    resume: bool = False,
) -> Results:
    """Trains a pretrained model for a new task: first the new head alone, then everything, gently.

    `freeze_epochs` epochs of one cycle with the body frozen, at ``slice(base_lr)``; then `epochs` epochs of one cycle, which
    the layer groups join from the head down: the head at a quarter of `base_lr`, the groups before it geometrically down to
    ``1 / lr_mult`` of that for the first layers; these rates of the body are for steps of 64 samples, and proportionally lower
    for smaller ones (a quarter at ``bs=16``): gentle enough for a body that keeps the statistics of its normalisation.

    A body that isn't pretrained has nothing worth freezing, and gentle rates keep it random. Then (``learn.pretrained`` is
    False, or the model is one single layer group) all is trained in one cycle up to half of `base_lr`, for `epochs` epochs.

    Args:
        base_lr: the head's top rate in the first phase; the second phase's follow from it.
        lr_mult: how many times more slowly than the head the first layers learn, in steps of 64 samples.
        div, pct_start: of the second cycle; see :func:`fit_one_cycle`.
        unfreeze_pct: share of the second cycle over which the groups join (``GradualUnfreeze``); 0: all train from its beginning.
        cbs: callbacks of both phases.

    Returns:
        the results of both phases, with a column `phase`: "head", then "whole".
    """
    epochs, freeze_epochs = _check_epochs(epochs, freeze_epochs)
    cbs = [cb() if isinstance(cb, type) else cb for cb in as_callbacks(cbs)]  # the same ones in both phases
    pct_start, unfreeze_pct = checked_share("pct_start", pct_start), checked_share("unfreeze_pct", unfreeze_pct)
    common: dict[str, Any] = {"div_final": div_final, "wd": wd, "moms": moms}
    from burnish.train.results import joined

    if _begins_from_scratch(learn):
        with _phase(learn, WHOLE):
            return joined({WHOLE: fit_one_cycle(learn, epochs, base_lr / 2, pct_start=pct_start, cbs=cbs, resume=resume, **common)})
    parts: dict[str, Results] = {}
    if freeze_epochs and not (resume and _saved_phase(learn, cbs) == WHOLE):
        with _phase(learn, FROZEN):
            parts[FROZEN] = fit_one_cycle(learn, freeze_epochs, slice(base_lr), pct_start=0.99, cbs=cbs, resume=resume, **common)
        resume = False  # the first phase has gone on to its end; the second begins
    with _phase(learn, WHOLE):
        rates = _gentle_rates(learn, base_lr / 4, lr_mult, cbs)
        parts[WHOLE] = fit_one_cycle(
            learn, epochs, rates, div=div, pct_start=pct_start, cbs=[GradualUnfreeze(unfreeze_pct), *cbs], resume=resume, **common
        )
    return joined(parts)


@contextmanager
def _phase(learn: Learner, name: str) -> Iterator[None]:
    """A phase of fine_tune: what it trains is made trainable, and ``learn.phase`` has its name inside."""
    learn.freeze() if name == FROZEN else learn.unfreeze()
    learn.phase = name
    try:
        yield
    finally:
        learn.phase = None


def _begins_from_scratch(learn: Learner) -> bool:
    """Whether fine_tune has no body to keep frozen first; says so where that isn't plain."""
    if learn.pretrained is False:
        return True
    if len(learn.groups) > 1:
        return False
    note(
        "fine_tune: the model has one layer group, so there is no head to train first; all epochs train all of it. Pass splitter= to make groups."
    )
    return True


def _gentle_rates(learn: Learner, lr: float, lr_mult: float, cbs: Sequence[Any]) -> list[float]:
    """The rates of fine_tune's second phase, one a group: `lr` for the head; see there."""
    *body, head = lr_per_group(slice(lr / lr_mult, lr), len(learn.groups))
    share = min(1.0, samples_of_step(learn, [*learn.cbs, *cbs]) / FULL_STEP)
    return [rate * share for rate in body] + [head]


def samples_of_step(learn: Learner, cbs: Sequence[Any]) -> int:
    """How many samples a step of the optimizer follows from: a batch, or what a GradientAccumulation among `cbs` gathers."""
    gathered = [cb.n_acc for cb in cbs if isinstance(cb, GradientAccumulation)]
    return max([getattr(learn.dls.train, "bs", None) or FULL_STEP, *gathered])


def whole_epochs(n_epoch: Any) -> int:
    """A number of epochs as an int. Raises SettingError unless it is a whole number of at least 1."""
    number = whole_number(n_epoch, least=1)
    if number is None:
        raise SettingError(f"The number of epochs is {n_epoch!r}; expected a whole number of at least 1.")
    return number


def _check_epochs(epochs: Any, freeze_epochs: Any) -> tuple[int, int]:
    """Both numbers of epochs of fine_tune. Raises SettingError before anything is trained, if either can't be."""
    frozen, whole = checked_whole("freeze_epochs", freeze_epochs, 0), whole_number(epochs, least=1)
    if whole is None:
        raise SettingError(
            f"The number of epochs is {epochs!r}; expected a whole number of at least 1. To train only the head: learn.freeze(), then learn.fit_one_cycle(1)."
        )
    return whole, frozen


def _saved_phase(learn: Learner, cbs: Callbacks) -> str | None:
    """The phase of fine_tune that the newest checkpoint is of, or None when there is none."""
    checkpoints = [cb for cb in [*learn.cbs, *as_callbacks(cbs)] if isinstance(cb, Checkpoint)]
    return next((phase for cb in checkpoints if (phase := cb.saved_phase(learn))), None)


def _rates(learn: Learner, lr: LearningRate | None) -> list[float]:
    return lr_per_group(learn.lr if lr is None else lr, len(learn.groups))


def _schedulable(rates: list[float]) -> Any:
    """One number when all groups share it (fast), else an array, one a group."""
    return rates[0] if len(set(rates)) == 1 else np.asarray(rates)


def checked_moms(moms: Any) -> Moments:
    """`moms` as it is. Raises SettingError unless it is three numbers from 0 to below 1."""
    if not isinstance(moms, (tuple, list)) or len(moms) != 3 or not all(isinstance(m, (int, float)) and 0 <= m < 1 for m in moms):
        raise SettingError(
            f"moms={moms!r}: expected three numbers from 0 to below 1, the momentum at the start, at the top of the rate and at the end, e.g. (0.95, 0.85, 0.95)."
        )
    return moms[0], moms[1], moms[2]


def _momenta(learn: Learner, moms: Moments | None, reset_opt: bool) -> Moments | None:
    """The momentum to schedule: `moms` or the learner's; None for an optimizer without momentum."""
    if has_momentum(learn.create_opt() if learn.opt is None or reset_opt else learn.opt):
        return checked_moms(learn.moms if moms is None else moms)
    if moms is not None:
        raise SettingError(
            f"moms={moms}: {type(learn.opt).__name__} was made without momentum, so there is none to schedule. Give it some, e.g. opt_func=SGD or partial(torch.optim.SGD, momentum=0.9)."
        )
    return None


def _said(recipe: str, learn: Learner, n_epoch: int, rates: list[float], wd: float | None, **more: Any) -> dict[str, Any]:
    """What a fit was called with, in JSON's types."""
    more = {k: list(v) if isinstance(v, tuple) else v for k, v in more.items()}
    return {"recipe": recipe, "phase": learn.phase, "epochs": n_epoch, "lr": rates, "wd": wd, **more}
