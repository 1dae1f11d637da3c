"""An exponential moving average of the weights: a smoother, usually better model than the last step's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from burnish.errors import SettingError
from burnish.train.callback import Callback

if TYPE_CHECKING:
    from burnish.train.learner import Learner


class EMA(Callback):
    """Keeps a moving average of weights and float buffers (the statistics of batch norm), on the device.

    Validation, what other callbacks save after an epoch, and the model that a fit leaves behind (also an interrupted one)
    have the averaged weights; training itself goes on from its own. Polyak and Juditsky 1992.

    Args:
        decay: how much of the average stays at each step.
        warm_up: begin with a short memory: the decay of step t is at most ``(1 + t) / (10 + t)``.
    """

    order: ClassVar[float] = 80  # after_fit runs in reverse: the average is in place before SaveModel (62) saves or loads

    def __init__(self, decay: float = 0.999, warm_up: bool = True) -> None:
        if not 0 < decay < 1:
            raise SettingError(f"decay={decay!r}: expected a number between 0 and 1, e.g. 0.999.")
        self.decay, self.warm_up = decay, warm_up
        self.steps = 0
        self.swapped = False
        self._others: list[Tensor] = []  # the average while training, the training weights while swapped

    def before_fit(self, learn: Learner) -> None:
        self.steps, self.swapped = 0, False
        self._others = [t.detach().clone() for t in averaged(learn.model)]

    @torch.no_grad()
    def after_step(self, learn: Learner) -> None:
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps)) if self.warm_up else self.decay
        torch._foreach_lerp_(self._others, [t.detach() for t in averaged(learn.model)], 1 - decay)

    def before_train(self, learn: Learner) -> None:
        if self.swapped:
            self._swap(learn)

    def after_train(self, learn: Learner) -> None:
        if not self.swapped:
            self._swap(learn)

    def after_fit(self, learn: Learner) -> None:
        if self._others and not self.swapped:
            self._swap(learn)
        self.swapped, self._others = False, []

    @torch.no_grad()
    def _swap(self, learn: Learner) -> None:
        for weight, other in zip(averaged(learn.model), self._others, strict=True):
            kept = weight.detach().clone()
            weight.copy_(other)
            other.copy_(kept)
        self.swapped = not self.swapped

    def state_dict(self) -> dict[str, object]:
        return {"steps": self.steps, "swapped": self.swapped, "others": list(self._others)}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps, self.swapped = state["steps"], state["swapped"]
        stored: list[Tensor] = list(state["others"])
        if not self._others:
            self._others = [t.clone() for t in stored]
        for mine, theirs in zip(self._others, stored, strict=True):
            mine.copy_(theirs)


def averaged(model: nn.Module) -> list[Tensor]:
    """The tensors that are averaged: parameters and float buffers (a count of batches stays the model's own)."""
    return [t for t in [*model.parameters(), *model.buffers()] if t.is_floating_point()]


__all__ = ["EMA"]
