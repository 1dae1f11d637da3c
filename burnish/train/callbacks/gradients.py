"""Gradients between backward and step: accumulation over batches, and clipping."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from burnish.errors import SettingError
from burnish.train.callback import Callback, CancelStepException

if TYPE_CHECKING:
    from burnish.train.learner import Learner


class GradientAccumulation(Callback):
    """Takes a step only when at least `n_acc` samples have been seen: a large effective batch in little memory.

    The step follows the mean over all samples gathered, also when their number isn't `n_acc` exactly. What is left at the
    end of an epoch is stepped, not lost, and nothing leaks into the next epoch or fit. While it gathers, it cancels the
    step and sets ``learn.keep_gradients``.

    Args:
        n_acc: samples (not batches) a step.
    """

    order: ClassVar[float] = 6

    def __init__(self, n_acc: int = 32) -> None:
        if n_acc < 1:
            raise SettingError(f"n_acc={n_acc!r}: expected the number of samples a step, at least 1.")
        self.n_acc = int(n_acc)
        self._count = 0
        self._loss: Tensor | None = None

    def before_train(self, learn: Learner) -> None:
        self._drop(learn)  # of an epoch that was cancelled

    def before_backward(self, learn: Learner) -> None:
        n = len(learn.yb[0]) if learn.yb else len(learn.xb[0])
        self._count += n
        self._loss = learn.loss  # what is reported stays the batch's own loss
        learn.loss = learn.loss * (n / self.n_acc)

    def before_step(self, learn: Learner) -> None:
        self._give_back_loss(learn)
        if self._count < self.n_acc and learn.batch_index + 1 < learn.n_batches:
            learn.keep_gradients = True
            raise CancelStepException
        learn.keep_gradients = False
        self._to_mean(learn)

    def after_batch(self, learn: Learner) -> None:
        self._give_back_loss(learn)

    def after_train(self, learn: Learner) -> None:
        """An epoch that ended before its last batch (cancelled, or shorter than announced) leaves gradients behind."""
        if self._count:
            self._to_mean(learn)
            learn.precision.step(learn.opt)
            learn.step += 1
            learn.opt.zero_grad()
            learn.keep_gradients = False

    def after_fit(self, learn: Learner) -> None:
        self._give_back_loss(learn)
        self._drop(learn)  # of an interrupted fit

    def _drop(self, learn: Learner) -> None:
        if self._count:
            learn.opt.zero_grad()
            self._count, learn.keep_gradients = 0, False

    def _give_back_loss(self, learn: Learner) -> None:
        if self._loss is not None:
            learn.loss, self._loss = self._loss, None

    def _to_mean(self, learn: Learner) -> None:
        """From a sum over `_count` samples, divided by `n_acc`, to their mean."""
        if self._count != self.n_acc:
            grads = [p.grad for group in learn.opt.param_groups for p in group["params"] if p.grad is not None]
            torch._foreach_mul_(grads, self.n_acc / self._count)
        self._count = 0


class GradientClip(Callback):
    """Scales the gradients down to `max_norm` when their common norm is larger, after any loss scaling is undone.

    Args:
        max_norm: the largest norm that passes.
        norm_type: which norm: 2.0, 1.0, or ``float("inf")``.
    """

    order: ClassVar[float] = 11

    def __init__(self, max_norm: float = 1.0, norm_type: float = 2.0) -> None:
        if not max_norm > 0:
            raise SettingError(f"max_norm={max_norm!r}: expected a number above 0.")
        self.max_norm, self.norm_type = float(max_norm), float(norm_type)

    def before_step(self, learn: Learner) -> None:
        learn.precision.unscale(learn.opt)
        params = [p for group in learn.opt.param_groups for p in group["params"]]
        torch.nn.utils.clip_grad_norm_(params, self.max_norm, self.norm_type)


__all__ = ["GradientAccumulation", "GradientClip"]
