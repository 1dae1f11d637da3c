"""`MixHandler`: a base for callbacks that mix samples and their losses; `MixUp` and `CutMix` are burnish's own."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions import Beta

from burnish.compat.callback import Callback
from burnish.compat.layers import NoneReduce
from burnish.train.guards import of_classes

__all__ = ["MixHandler", "reduce_loss"]


def reduce_loss(loss: Tensor, reduction: str = "mean") -> Tensor:
    """The mean or the sum of a loss, or the loss as it is."""
    return loss.mean() if reduction == "mean" else loss.sum() if reduction == "sum" else loss


class MixHandler(Callback):
    """A subclass mixes inputs in ``before_batch`` and sets ``self.yb1``, the other samples' targets (a tuple), and ``self.lam``, the part that is the
    sample's own; the loss is then mixed in proportion (or the targets, where they are no classes: by the subclass).

    Args:
        alpha: of the Beta distribution ``self.distrib`` that proportions may be drawn from.
    """

    run_valid = False

    def __init__(self, alpha: float = 0.5) -> None:
        super().__init__()
        self.distrib = Beta(torch.tensor(alpha), torch.tensor(alpha))
        self.stack_y, self.old_lf = False, None

    def before_train(self) -> None:
        self.stack_y = bool(getattr(self.learn.loss_func, "y_int", False)) or of_classes(self.learn.loss_func)
        if self.stack_y:
            self.old_lf, self.learn.loss_func = self.learn.loss_func, self.lf

    def after_train(self) -> None:
        if self.stack_y and self.old_lf is not None:
            self.learn.loss_func, self.old_lf = self.old_lf, None

    def after_cancel_train(self) -> None:
        self.after_train()

    def after_fit(self) -> None:  # where Ctrl-C has left the pass
        self.after_train()

    def lf(self, pred: Any, *yb: Any) -> Tensor:
        """The mixed loss."""
        if not self.training:
            return self.old_lf(pred, *yb)  # type: ignore[misc]
        with NoneReduce(self.old_lf) as single:
            loss = torch.lerp(single(pred, *self.yb1), single(pred, *yb), self.lam)
        return reduce_loss(loss, getattr(self.old_lf, "reduction", "mean"))
