"""Gradual unfreezing: layer groups begin to train one after the other, from the head down."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from torch.nn import Parameter

from burnish.train.callback import Callback
from burnish.train.freezing import plain
from burnish.train.optim import norm_params
from burnish.train.schedule import checked_share

if TYPE_CHECKING:
    from burnish.train.learner import Learner


class GradualUnfreeze(Callback):
    """Has the layer groups wait for their turn to train: the head and the group before it train from the beginning, the others
    join one by one, evenly, down to the first group at the share `until` of training.

    A step costs less while the first groups wait, as no gradient need be worked out that far down; and by the time they join,
    the layers above them know what to ask of them. The very first step trains all groups, so that a lack of memory shows
    at once, and so does the last. What is frozen when the fit begins stays so; after it everything is as it was. All groups of a
    model of ``torch.compile`` train from the beginning: it would be compiled anew whenever one joins.

    Args:
        until: share of training (0 to 1) from which on all groups train; 0: from its beginning.

    Source: Howard and Ruder, Universal Language Model Fine-tuning for Text Classification (2018), section 3.3, where the
    groups join an epoch apart.
    """

    order: ClassVar[float] = -1

    def __init__(self, until: float = 0.5) -> None:
        self.until = checked_share("until", until)
        self._turns: list[tuple[float, list[Parameter]]] = []  # when the parameters of a group join, as a share of training

    def before_fit(self, learn: Learner) -> None:
        waiting = learn.groups[:-2] if plain(learn.model) is learn.model else []
        kept = norm_params(learn.model) if learn.train_bn else set()
        turns = [self.until * (len(waiting) - i) / len(waiting) for i in range(len(waiting))]
        self._turns = [(turn, [p for p in group if p.requires_grad and p not in kept]) for turn, group in zip(turns, waiting, strict=True)]

    def before_batch(self, learn: Learner) -> None:
        if not learn.training or learn.keep_gradients:  # gradients that are being gathered are all of the same layers
            return
        last = 1 - 1 / (learn.n_epochs * learn.n_batches)
        for turn, params in self._turns:
            joins = learn.step == 0 or learn.progress >= min(turn, last)
            if params and params[0].requires_grad is not joins:
                for p in params:
                    p.requires_grad_(joins)

    def after_fit(self, learn: Learner) -> None:
        for _, params in self._turns:
            for p in params:
                p.requires_grad_(True)
        self._turns = []

    def __repr__(self) -> str:
        return f"{type(self).__name__}(until={self.until!r})"


__all__ = ["GradualUnfreeze"]
