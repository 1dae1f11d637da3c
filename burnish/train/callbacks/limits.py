"""Training less: a part of the batches only, or up to the first loss that is no number."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from torch import Tensor

from burnish.data.notes import note
from burnish.data.whole import whole_number
from burnish.errors import SettingError
from burnish.train.callback import Callback, CancelFitException, CancelTrainException, CancelValidException

if TYPE_CHECKING:
    from burnish.train.learner import Learner


class BatchLimit(Callback):
    """Ends each epoch's passes early: for a quick look at whether everything runs.

    Args:
        train: batches of a training pass: a number, a share of them (0.1), or None for all.
        valid: the same for validation.

    Example:
        >>> BatchLimit(train=5, valid=0.1)
        BatchLimit(train=5, valid=0.1)
    """

    order: ClassVar[float] = 1100  # the last one in after_batch: everybody has seen the batch

    def __init__(self, train: int | float | None = 10, valid: int | float | None = None) -> None:
        self.train, self.valid = _checked_limit("train", train), _checked_limit("valid", valid)

    def before_train(self, learn: Learner) -> None:
        learn.n_batches = batches_within(self.train, learn.n_batches)

    def before_validate(self, learn: Learner) -> None:
        learn.n_batches = batches_within(self.valid, learn.n_batches)

    def after_batch(self, learn: Learner) -> None:
        limit = self.train if learn.training else self.valid
        if limit is not None and learn.batch_index + 1 >= learn.n_batches:
            raise CancelTrainException if learn.training else CancelValidException

    def __repr__(self) -> str:
        return f"{type(self).__name__}(train={self.train!r}, valid={self.valid!r})"


class ShortEpoch(BatchLimit):
    """A share of each pass, in the familiar form: ``ShortEpochCallback(pct=0.01)``.

    Args:
        pct: share of the batches, 0 to 1; at least one batch is run.
        short_valid: shorten validation too.
    """

    def __init__(self, pct: float = 0.01, short_valid: bool = True) -> None:
        super().__init__(train=float(pct), valid=float(pct) if short_valid else None)


def batches_within(limit: int | float | None, n_batches: int) -> int:
    """How many of `n_batches` a limit leaves; at least one.

    >>> batches_within(5, 100), batches_within(0.1, 100), batches_within(None, 100), batches_within(0.001, 100)
    (5, 10, 100, 1)
    """
    if limit is None:
        return n_batches
    return min(n_batches, limit if isinstance(limit, int) else max(1, round(limit * n_batches)))


def _checked_limit(name: str, limit: int | float | None) -> int | float | None:
    whole = whole_number(limit, least=1)
    if whole is not None:
        return whole
    if limit is None or (isinstance(limit, (float, np.floating)) and 0 < limit <= 1):
        return None if limit is None else float(limit)
    raise SettingError(
        f"{name}={limit!r}: expected a number of batches (at least 1), a share of them (a float above 0, up to 1.0), or None for all."
    )


class TerminateOnNaN(Callback):
    """Ends training when the training loss is nan or infinite.

    On a CPU it looks before each step, so the weights are those of the last good step. On an accelerator looking would
    make the processor wait, so the device keeps a flag that travels back on the side, every `every` batches and at the
    epoch's end: training goes on for some batches meanwhile, and the weights may have become nan. What SaveModel or
    Checkpoint saved before is good.

    Args:
        every: batches between two looks on an accelerator.
    """

    order: ClassVar[float] = 8  # in after_loss: after MixUp has set the loss

    def __init__(self, every: int = 25) -> None:
        if every < 1:
            raise SettingError(f"every={every!r}: expected a number of batches, at least 1.")
        self.every = every
        self._bad: Tensor | None = None
        self._landing: Tensor | None = None  # where the flag arrives on the CPU
        self._arrived: torch.cuda.Event | None = None

    def before_train(self, learn: Learner) -> None:
        self._bad = self._arrived = None

    def after_loss(self, learn: Learner) -> None:
        if not learn.training:
            return
        bad = ~torch.isfinite(learn.loss.detach()).all()
        if bad.device.type == "cpu":
            self._stop_if(bool(bad), learn)
            return
        self._bad = bad if self._bad is None else self._bad | bad
        if bad.device.type == "cuda":
            self._look(learn)

    def _look(self, learn: Learner) -> None:
        """Sends the flag on its way, or reads it when it has arrived; waits for nothing."""
        assert self._bad is not None
        if self._arrived is not None and self._arrived.query() and self._landing is not None:
            self._arrived = None
            self._stop_if(bool(self._landing), learn)
        elif self._arrived is None and learn.batch_index % self.every == 0:
            if self._landing is None:
                self._landing = torch.empty((), dtype=torch.bool, pin_memory=True)
            self._landing.copy_(self._bad, non_blocking=True)
            self._arrived = torch.cuda.Event()
            self._arrived.record()

    def after_train(self, learn: Learner) -> None:
        self._stop_if(self._bad is not None and bool(self._bad), learn)

    def after_fit(self, learn: Learner) -> None:
        self._bad = self._landing = self._arrived = None

    def _stop_if(self, bad: bool, learn: Learner) -> None:
        if bad:
            note(
                f"TerminateOnNaN: the training loss is nan or infinite (epoch {learn.epoch}, batch {learn.batch_index}); training stopped. "
                "A lower learning rate (learn.lr_find()), GradientClip, precision='fp32', or a look at the data (dls.check()) may help."
            )
            raise CancelFitException


ShortEpochCallback, TerminateOnNaNCallback = ShortEpoch, TerminateOnNaN

__all__ = ["BatchLimit", "ShortEpoch", "ShortEpochCallback", "TerminateOnNaN", "TerminateOnNaNCallback", "batches_within"]
