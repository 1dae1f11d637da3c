"""burnish's metrics that are plain functions, with fastai's names of their arguments: ``accuracy(inp=..., targ=...)``."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from torch import Tensor

from burnish.evaluate import functions as own

__all__ = ["accuracy", "accuracy_multi", "error_rate", "mae", "mse", "msle", "top_k_accuracy"]


def _renamed(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The function, whose first arguments are called `inp` and `targ`; a model file knows it as burnish's own."""

    @functools.wraps(function)
    def metric(inp: Tensor, targ: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return function(inp, targ, *args, **kwargs)

    told = inspect.signature(function)
    first, second, *others = told.parameters.values()
    metric.__signature__ = told.replace(parameters=[first.replace(name="inp"), second.replace(name="targ"), *others])  # type: ignore[attr-defined]
    return metric


accuracy, error_rate, top_k_accuracy = map(_renamed, (own.accuracy, own.error_rate, own.top_k_accuracy))
accuracy_multi, mse, mae, msle = map(_renamed, (own.accuracy_multi, own.mse, own.mae, own.msle))
