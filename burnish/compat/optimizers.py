"""Optimizers made of small steps, as courses teach them: each step is a function of a parameter, its state and the hyper-parameters."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from burnish.compat.optimizer_tools import clear_state, hypers, param_lists, set_hypers
from burnish.data.collections import L
from burnish.errors import SettingError
from burnish.train.optim import _as_groups

__all__ = [
    "Lamb", "Larc", "OptimWrapper", "Optimizer", "RMSProp", "adam_step", "average_grad", "average_sqr_grad", "debias", "l2_reg", "lamb_step", "larc_layer_lr", "larc_step", "momentum_step", "rms_prop_step",
    "sgd_step", "step_stat", "weight_decay",
]  # fmt: skip
Step = Callable[..., "dict[str, Any] | None"]


class Optimizer(torch.optim.Optimizer):
    """Calls steps one after another for each parameter that has a gradient: ``step(p, lr=..., **state_and_hypers)``; a dictionary that one gives becomes state.

    Args:
        params: parameters, or groups of them. cbs: the steps; their ``defaults`` are hyper-parameters too.
        defaults: hyper-parameters: lr, mom, sqr_mom, eps, wd ...
    """

    def __init__(self, params: Any, cbs: Any, **defaults: Any) -> None:
        self.cbs = L(cbs)
        own = {k: v for step in self.cbs for k, v in getattr(getattr(step, "func", step), "defaults", {}).items()}
        known = {"lr": 1e-3, **own, **defaults}
        each = {k: v for k, v in known.items() if isinstance(v, (list, tuple, slice))}  # one for each group
        super().__init__(_as_groups(params), {k: v for k, v in known.items() if k not in each})
        set_hypers(self, **each)

    hypers, param_lists, clear_state = hypers, param_lists, clear_state

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Changes the parameters.

        Raises:
            NotImplementedError: a closure is given.
        """
        if closure is not None:
            raise NotImplementedError("An Optimizer of steps takes no closure.")
        for group in self.param_groups:
            hypers = {k: v for k, v in group.items() if k != "params"}
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                for step in self.cbs:
                    found = step(p, **{**hypers, **state, "do_wd": hypers.get("decays", True)})
                    if isinstance(found, dict):  # the book's steps give the parameter back
                        state.update(found)


def _with(**defaults: Any) -> Callable[[Any], Any]:
    def decorated(step: Any) -> Any:
        step.defaults = defaults
        return step

    return decorated


# -- steps --------------------------------------------------------------------------------------------------------------
def sgd_step(p: Tensor, lr: float, **kwargs: Any) -> None:
    """Against the gradient."""
    _ = kwargs
    p.add_(p.grad, alpha=-lr)  # type: ignore[arg-type]


@_with(wd=0.0)
def weight_decay(p: Tensor, lr: float, wd: float, do_wd: bool = True, **kwargs: Any) -> None:
    """Shrinks the weights, apart from the gradient."""
    _ = kwargs
    if do_wd and wd != 0:
        p.mul_(1 - lr * wd)


@_with(wd=0.0)
def l2_reg(p: Tensor, lr: float, wd: float, do_wd: bool = True, **kwargs: Any) -> None:
    """Adds the weights to their gradient."""
    _ = kwargs, lr
    if do_wd and wd != 0 and p.grad is not None:
        p.grad.add_(p, alpha=wd)


@_with(mom=0.9)
def average_grad(p: Tensor, mom: float, dampening: bool = False, grad_avg: Tensor | None = None, **kwargs: Any) -> dict[str, Any]:
    """Keeps a running sum of the gradients (an average with `dampening`), in `grad_avg`."""
    _ = kwargs
    kept = torch.zeros_like(p) if grad_avg is None else grad_avg
    kept.mul_(mom).add_(p.grad, alpha=1 - mom if dampening else 1.0)  # type: ignore[arg-type]
    return {"grad_avg": kept}


@_with(sqr_mom=0.99)
def average_sqr_grad(p: Tensor, sqr_mom: float, dampening: bool = True, sqr_avg: Tensor | None = None, **kwargs: Any) -> dict[str, Any]:
    """Keeps a running average of their squares, in `sqr_avg`."""
    _ = kwargs
    kept = torch.zeros_like(p) if sqr_avg is None else sqr_avg
    kept.mul_(sqr_mom).addcmul_(p.grad, p.grad, value=1 - sqr_mom if dampening else 1.0)  # type: ignore[arg-type]
    return {"sqr_avg": kept}


def momentum_step(p: Tensor, lr: float, grad_avg: Tensor, **kwargs: Any) -> None:
    """Along `grad_avg`."""
    _ = kwargs
    p.add_(grad_avg, alpha=-lr)


@_with(eps=1e-8)
def rms_prop_step(p: Tensor, lr: float, sqr_avg: Tensor, eps: float, grad_avg: Tensor | None = None, **kwargs: Any) -> None:
    """Along the gradient (or `grad_avg`), over the root of `sqr_avg`."""
    _ = kwargs
    p.addcdiv_(p.grad if grad_avg is None else grad_avg, sqr_avg.sqrt().add_(eps), value=-lr)  # type: ignore[arg-type]


def step_stat(p: Tensor, step: int = 0, **kwargs: Any) -> dict[str, Any]:
    """Counts, in `step`."""
    _ = p, kwargs
    return {"step": step + 1}


def debias(mom: float, damp: float, step: int) -> float:
    """What a running average is divided by, since it began at zero."""
    return damp * (1 - mom**step) / (1 - mom)


@_with(eps=1e-5)
def adam_step(
    p: Tensor, lr: float, mom: float, step: int, sqr_mom: float, grad_avg: Tensor, sqr_avg: Tensor, eps: float, **kwargs: Any
) -> None:
    """Adam's, of averages with dampening."""
    _ = kwargs
    debias1, debias2 = debias(mom, 1 - mom, step), debias(sqr_mom, 1 - sqr_mom, step)
    p.addcdiv_(grad_avg, (sqr_avg / debias2).sqrt() + eps, value=-lr / debias1)


@_with(trust_coeff=0.02, wd=0.0, eps=1e-8)
def larc_layer_lr(p: Tensor, lr: float, trust_coeff: float, wd: float, eps: float, clip: bool = True, **kwargs: Any) -> dict[str, Any]:
    """A rate of each layer by the sizes of its weights and gradient (You et al. 2017), in `local_lr`."""
    _ = kwargs
    assert p.grad is not None
    sizes = torch.linalg.vector_norm(p), torch.linalg.vector_norm(p.grad)
    local = lr * trust_coeff * sizes[0] / (sizes[1] + sizes[0] * wd + eps)
    fitting = torch.minimum(local, torch.full_like(local, lr)) if clip else local
    return {"local_lr": torch.where(torch.logical_or(sizes[0] == 0, sizes[1] == 0), torch.full_like(local, lr), fitting)}


def larc_step(p: Tensor, local_lr: Tensor, grad_avg: Tensor | None = None, **kwargs: Any) -> None:
    """Along the gradient (or `grad_avg`) by `local_lr`."""
    _ = kwargs
    p.sub_((p.grad if grad_avg is None else grad_avg) * local_lr)  # type: ignore[operator]


@_with(eps=1e-6, wd=0.0)
def lamb_step(
    p: Tensor, lr: float, mom: float, step: int, sqr_mom: float, grad_avg: Tensor, sqr_avg: Tensor, eps: float, **kwargs: Any
) -> None:
    """Adam's, by layers' sizes (You et al. 2019); the ratio of sizes is at most 10."""
    _ = kwargs
    debias1, debias2 = debias(mom, 1 - mom, step), debias(sqr_mom, 1 - sqr_mom, step)
    way = (grad_avg / debias1) / ((sqr_avg / debias2).sqrt() + eps)
    weights, size = p.pow(2).mean().sqrt(), way.pow(2).mean().sqrt()
    ratio = torch.where(torch.logical_or(weights == 0, size == 0), torch.ones_like(size), (weights / size).clamp(max=10.0))
    p.sub_(way * lr * ratio)


# -- optimizers ---------------------------------------------------------------------------------------------------------
def _decay(decouple_wd: bool) -> Step:
    return weight_decay if decouple_wd else l2_reg


def RMSProp(
    params: Iterable[Any],
    lr: float = 1e-3,
    mom: float = 0.0,
    sqr_mom: float = 0.99,
    eps: float = 1e-8,
    wd: float = 0.0,
    decouple_wd: bool = True,
) -> Optimizer:
    """RMSProp of steps."""
    steps: list[Any] = [_decay(decouple_wd), *([average_grad] if mom != 0.0 else []), average_sqr_grad, rms_prop_step]
    return Optimizer(params, steps, lr=lr, mom=mom, sqr_mom=sqr_mom, eps=eps, wd=wd)


def Larc(
    params: Iterable[Any],
    lr: float = 1e-3,
    mom: float = 0.9,
    clip: bool = True,
    trust_coeff: float = 0.02,
    eps: float = 1e-8,
    wd: float = 0.0,
    decouple_wd: bool = True,
) -> Optimizer:
    """LARC (LARS without `clip`) of steps."""
    steps: list[Any] = [_decay(decouple_wd), *([average_grad] if mom != 0.0 else []), partial(larc_layer_lr, clip=clip), larc_step]
    return Optimizer(params, steps, lr=lr, mom=mom, trust_coeff=trust_coeff, eps=eps, wd=wd)


def Lamb(
    params: Iterable[Any],
    lr: float = 1e-3,
    mom: float = 0.9,
    sqr_mom: float = 0.99,
    eps: float = 1e-5,
    wd: float = 0.0,
    decouple_wd: bool = True,
) -> Optimizer:
    """LAMB of steps."""
    steps: list[Any] = [_decay(decouple_wd), partial(average_grad, dampening=True), average_sqr_grad, step_stat, lamb_step]
    return Optimizer(params, steps, lr=lr, mom=mom, sqr_mom=sqr_mom, eps=eps, wd=wd)


def OptimWrapper(
    params: Any = None, opt: Any = None, hp_map: dict[str, str] | None = None, convert_groups: bool = True, **kwargs: Any
) -> Any:
    """A PyTorch optimizer made for these parameters: burnish's learner takes them as they are, ``opt_func=torch.optim.AdamW`` too.

    Args:
        opt: its class, or a partial of it; one already made is given back. hp_map: its names of hyper-parameters to fastai's, beyond the usual ones.
        convert_groups: has no effect. kwargs: hyper-parameters, by fastai's names or its own.
    """
    _ = convert_groups
    made = next((o for o in (opt, params) if isinstance(o, torch.optim.Optimizer)), None)
    if made is not None:
        return made
    if opt is None:
        raise SettingError("OptimWrapper needs opt=, the class of a PyTorch optimizer, such as torch.optim.AdamW.")
    names = {"mom": "momentum", "wd": "weight_decay", **{ours: theirs for theirs, ours in (hp_map or {}).items()}}
    takes = inspect.signature(opt).parameters
    if "betas" in takes and {"mom", "sqr_mom"} & set(kwargs):
        usual = takes["betas"].default
        kwargs["betas"] = (kwargs.pop("mom", usual[0]), kwargs.pop("sqr_mom", usual[1]))
    return opt(params, **{names.get(k, k): v for k, v in kwargs.items()})
