"""Metrics from other people's functions: anything called on all outputs and targets at once, scikit-learn's among them."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from burnish.errors import SettingError
from burnish.evaluate.base import CallableMetric, MeanMetric
from burnish.evaluate.shapes import wide

ACTIVATIONS: dict[str, Callable[[Tensor, int], Tensor]] = {
    "no": lambda x, axis: x,
    "sigmoid": lambda x, axis: x.sigmoid(),
    "softmax": lambda x, axis: x.softmax(axis),
    "binarysoftmax": lambda x, axis: x.softmax(axis).select(axis, -1),
}
POINTS = 101  # at which optim_metric looks first


class AccumMetric(CallableMetric):
    """A function of all outputs and targets of a split, called once at the end.

    Args:
        func: called as ``func(output, target, **kwargs)`` on CPU tensors.
        dim_argmax: take the index of the largest output along this axis.
        activation: "no", "sigmoid", "softmax", or "binarysoftmax" (the last class's probability), applied first.
        thresh: turn outputs into yes (above it) or no.
        to_np: give numpy arrays.
        invert_arg: call ``func(target, output)``, as scikit-learn's functions expect.
        flatten: give both as one flat axis where they have as many elements as each other (probabilities of classes stay as they are).
        name: the column; the function's name by default.
        better: "higher", "lower", or None when there is no better; trackers need it.
        kwargs: handed to `func`; a name that it doesn't take is an error here, not after the first epoch.
    """

    def __init__(
        self,
        func: Callable[..., Any],
        dim_argmax: int | None = None,
        activation: str | None = "no",
        thresh: float | None = None,
        to_np: bool = False,
        invert_arg: bool = False,
        flatten: bool = True,
        name: str | None = None,
        better: str | None = None,
        **kwargs: Any,
    ) -> None:
        activation = activation or "no"
        if activation not in ACTIVATIONS:
            raise SettingError(f"activation={activation!r}; expected one of {', '.join(map(repr, ACTIVATIONS))}.")
        _check_arguments(func, kwargs)
        self.func = partial(func, **kwargs) if kwargs else func
        self.dim_argmax, self.activation, self.thresh = dim_argmax, activation, thresh
        self.to_np, self.invert_arg, self.flatten = to_np, invert_arg, flatten
        self.name, self.better = name or getattr(func, "__name__", type(func).__name__), better
        self.reset()

    def reset(self) -> None:
        self._outputs: list[Tensor] = []
        self._targets: list[Tensor] = []

    def update(self, preds: Tensor, targs: Tensor) -> None:
        output = preds.detach()
        axis = -1 if self.dim_argmax is None else self.dim_argmax
        output = ACTIVATIONS[self.activation](output.float() if output.is_floating_point() else output, axis)
        if self.dim_argmax is not None and self.activation != "binarysoftmax":
            output = output.argmax(self.dim_argmax)
        if self.thresh is not None:
            output = output > self.thresh
        self._outputs.append(output.clone())
        self._targets.append(targs.detach().clone())

    def compute(self) -> float:
        return float(self.func(*self._pair())) if self._outputs else math.nan

    def _pair(self) -> tuple[Any, Any]:
        """All outputs and targets, as the function wants them."""
        output, target = torch.cat(self._outputs).cpu(), torch.cat(self._targets).cpu()
        if self.flatten and output.numel() == target.numel():
            output, target = output.reshape(-1), target.reshape(-1)
        pair: tuple[Any, Any] = (output.numpy(), target.numpy()) if self.to_np else (output, target)
        return pair[::-1] if self.invert_arg else pair


def _check_arguments(func: Callable[..., Any], kwargs: dict[str, Any]) -> None:
    try:
        signature = inspect.signature(func)
    except (TypeError, ValueError):  # a builtin without a signature: it will say so itself
        return
    try:
        signature.bind(None, None, **kwargs)
    except TypeError as error:
        raise TypeError(
            f"{getattr(func, '__name__', func)} can't be called with (output, target, {', '.join(kwargs) or 'nothing else'}): {error}. It takes {signature}."
        ) from None


def skm_to_burnish(
    func: Callable[..., Any],
    is_class: bool = True,
    thresh: float | None = None,
    axis: int = -1,
    activation: str | None = None,
    name: str | None = None,
    better: str | None = None,
    **kwargs: Any,
) -> AccumMetric:
    """A metric from a function ``func(y_true, y_pred, **kwargs)`` in scikit-learn's manner.

    Args:
        is_class: the function takes classes: outputs become the index of the largest along `axis`, or yes and no above
            `thresh` (after a sigmoid) when that is given.
        activation: "no", "sigmoid", "softmax" or "binarysoftmax"; by default sigmoid with a `thresh`, else none.
        name, better: as in AccumMetric.

    >>> from sklearn.metrics import accuracy_score
    >>> skm_to_burnish(accuracy_score)(torch.tensor([[2.0, 1.0], [0.0, 1.0]]), torch.tensor([0, 0]))
    0.5
    """
    dim_argmax = axis if is_class and thresh is None else None
    activation = activation or ("sigmoid" if is_class and thresh is not None else "no")
    shape = {"dim_argmax": dim_argmax, "activation": activation, "thresh": thresh}
    return AccumMetric(func, **shape, to_np=True, invert_arg=True, flatten=thresh is None, name=name, better=better, **kwargs)


class OptimMetric(AccumMetric):
    """A function of all outputs and targets at the number for one of its arguments, a threshold say, that makes it best.

    The number is tuned on the very samples that are judged, so the value is optimistic, the more so the fewer they are; its
    interval, at that number, is too. For an honest value take ``x`` from validation and judge other samples (the test split)
    with it: ``partial(f, thresh=metric.x)``.

    Args:
        f: called as ``f(output, target, argname=number)`` on CPU tensors, 101 times or more at the end of each validation.
        argname: the argument's name.
        bounds: the lowest and the highest number to try. The best of a grid is taken (the middle one of equals), for what
            counts decisions goes in steps, in which a descent gets stuck.
        tol: how far apart the numbers that are tried around the best one may be.
        do_neg: True seeks the highest value, False the lowest; by default what `f` says is better, else the highest.
        get_x: report the number found in place of the value.
        name: the column; "f_at_best_argname", or "f_best_argname" with `get_x`, by default.

    Attributes:
        x: the number that was found last; nan before.

    >>> best = optim_metric(accuracy_multi, "thresh", (0, 1))
    >>> best(torch.tensor([[-2.0], [-1.0], [1.0]]), torch.tensor([[0], [1], [1]])), round(best.x, 2)
    (1.0, 0.19)
    """

    def __init__(
        self,
        f: Callable[..., Any],
        argname: str,
        bounds: tuple[float, float],
        tol: float = 0.01,
        do_neg: bool | None = None,
        get_x: bool = False,
        name: str | None = None,
    ) -> None:
        if len(bounds) != 2 or not -math.inf < bounds[0] < bounds[1] < math.inf or not tol > 0:
            raise SettingError(f"bounds={bounds!r}, tol={tol!r}: expected a lower and a higher number, e.g. (0, 1), and a tol above 0.")
        _check_arguments(f, {argname: bounds[0]})
        self.highest = getattr(f, "better", None) != "lower" if do_neg is None else do_neg
        better = None if get_x else "higher" if self.highest else "lower"
        name = name or f"{getattr(f, '__name__', type(f).__name__)}_{'best' if get_x else 'at_best'}_{argname}"
        self.argname, self.bounds, self.tol, self.get_x, self.x = argname, bounds, tol, get_x, math.nan
        super().__init__(partial(f, **{argname: bounds[0]}), flatten=False, name=name, better=better)

    def __call__(self, output: Tensor, target: Tensor) -> float:
        other = copy.copy(self)
        other.reset()
        other.update(output, target)
        value, self.x = other.compute(), other.x
        return value

    def compute(self) -> float:
        (low, high), value, self.x = self.bounds, math.nan, math.nan
        if self._outputs:
            step, pair = (high - low) / (POINTS - 1), self._pair()
            self.x, value = self._best_of(np.linspace(low, high, POINTS), pair)
            while step > self.tol and not math.isnan(value):
                near = np.linspace(max(low, self.x - step), min(high, self.x + step), 21)
                self.x, value = self._best_of(np.sort(np.append(near, self.x)), pair)
                step /= 10
        return self.x if self.get_x else value

    def _best_of(self, points: np.ndarray, pair: tuple[Any, Any]) -> tuple[float, float]:
        """The point with the best value, the middle one of equals, and that value; nan where none has a value."""
        values = np.array([float(self.func(*pair, **{self.argname: x})) for x in points.tolist()])
        if np.isnan(values).all():
            return math.nan, math.nan
        equals = np.flatnonzero(values == (np.nanmax(values) if self.highest else np.nanmin(values)))
        best = equals[len(equals) // 2]
        return float(points[best]), float(values[best])

    def at_best(self) -> AccumMetric:
        """The function at the number that was found, as a metric."""
        return AccumMetric(partial(self.func, **{self.argname: self.x}), flatten=False, name=self.name, better=self.better)


optim_metric = OptimMetric


class LossMetric(MeanMetric):
    """The mean over samples of a part of a loss that the loss keeps as an attribute, e.g. the terms of a sum of losses.

    Args:
        loss: the loss module; its ``forward`` sets the attribute at each batch.
        attr: the attribute's name.
        name: the column; `attr` by default.
    """

    better = "lower"

    def __init__(self, loss: nn.Module, attr: str, name: str | None = None) -> None:
        self.loss, self.attr, self.name = loss, attr, name or attr
        super().__init__()

    def terms(self, output: Tensor, target: Tensor) -> tuple[Tensor, int]:
        part = getattr(self.loss, self.attr, None)
        if part is None:
            raise ValueError(
                f"LossMetric: {type(self.loss).__name__} has no attribute {self.attr!r} after a batch. Set it in the loss's forward, e.g. self.{self.attr} = part."
            )
        part = torch.as_tensor(part, device=output.device).detach()
        return part.to(wide(part.device)).mean() * len(target), len(target)
