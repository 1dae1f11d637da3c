"""Metrics that are a mean over samples, as plain functions of ``(output, target)`` giving a scalar tensor.

The learner averages them over the whole split, weighted by batch size. Outputs are the model's raw outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from burnish.evaluate.shapes import above, class_outputs, elementwise

Function = TypeVar("Function", bound=Callable[..., Tensor])


def _better(direction: str) -> Callable[[Function], Function]:
    """Marks a function with the direction that is better, which trackers (SaveModel, EarlyStopping) read."""

    def mark(function: Function) -> Function:
        function.better = direction  # type: ignore[attr-defined]
        return function

    return mark


@_better("higher")
def accuracy(output: Tensor, target: Tensor, axis: int = -1) -> Tensor:
    """Share of samples whose largest output is the target's class.

    Args:
        output: ``(batch, classes)``, or with more axes and the classes on `axis`.
        target: class indices ``(batch,)``.

    >>> accuracy(torch.tensor([[2.0, 1.0], [0.0, 1.0]]), torch.tensor([0, 0])).item()
    0.5
    """
    flat, actual = class_outputs(output, target, axis, "accuracy")
    return (flat.argmax(-1) == actual).float().mean()


@_better("lower")
def error_rate(output: Tensor, target: Tensor, axis: int = -1) -> Tensor:
    """Share of samples whose largest output is not the target's class: 1 - accuracy."""
    flat, actual = class_outputs(output, target, axis, "error_rate")
    return (flat.argmax(-1) != actual).float().mean()


@_better("higher")
def top_k_accuracy(output: Tensor, target: Tensor, k: int = 5, axis: int = -1) -> Tensor:
    """Share of samples whose class is among the `k` largest outputs.

    Raises:
        ValueError: there are fewer than `k` classes.
    """
    flat, actual = class_outputs(output, target, axis, "top_k_accuracy")
    if not 1 <= k <= flat.shape[-1]:
        raise ValueError(
            f"top_k_accuracy: k={k} with {flat.shape[-1]} classes; k must be from 1 to the number of classes. Use partial(top_k_accuracy, k=...)."
        )
    return (flat.topk(k, dim=-1).indices == actual[:, None]).any(-1).float().mean()


@_better("higher")
def accuracy_multi(output: Tensor, target: Tensor, thresh: float | Sequence[float] = 0.5, sigmoid: bool = True) -> Tensor:
    """Share of single yes/no answers that are right, for several labels per sample.

    Args:
        output: ``(batch, labels)`` raw outputs, or probabilities with ``sigmoid=False``.
        target: ``(batch, labels)`` of 0 and 1.
        thresh: the probability above which a label is given, or one for each label. In a learner those of the data, unless one is set:
            0.5 until ``tune_thresholds`` has chosen others.
    """
    output, target = elementwise(output, target, "accuracy_multi")
    chosen = above(output.sigmoid() if sigmoid else output, thresh)
    return (chosen == target.bool()).float().mean()


@_better("lower")
def mse(output: Tensor, target: Tensor) -> Tensor:
    """Mean squared error."""
    return F.mse_loss(*_numbers(output, target, "mse"))


@_better("lower")
def mae(output: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error, in the target's own unit."""
    return F.l1_loss(*_numbers(output, target, "mae"))


@_better("lower")
def msle(output: Tensor, target: Tensor) -> Tensor:
    """Mean squared difference of ``log(1 + x)``; nan where a value is -1 or less, whose logarithm doesn't exist."""
    output, target = _numbers(output, target, "msle")
    return F.mse_loss(torch.log1p(output), torch.log1p(target))


def _numbers(output: Tensor, target: Tensor, where: str) -> tuple[Tensor, Tensor]:
    output, target = elementwise(output, target, where)
    return output.float(), target.float()
