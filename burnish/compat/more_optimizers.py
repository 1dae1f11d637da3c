"""More optimizers of steps: RAdam, QHAdam, SGD and Adam as courses have them, Lookahead and ranger; PyTorch's by fastai's names."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from burnish.compat.optimizer_tools import set_hypers
from burnish.compat.optimizers import (
    Optimizer,
    _decay,
    _with,
    average_grad,
    average_sqr_grad,
    debias,
    momentum_step,
    step_stat,
)
from burnish.errors import SettingError
from burnish.train import optim

__all__ = [
    "SGD",
    "Adam",
    "Lookahead",
    "QHAdam",
    "RAdam",
    "detuplify_pg",
    "pytorch_hp_map",
    "qhadam_step",
    "radam_step",
    "ranger",
    "set_item_pg",
]
pytorch_hp_map = {"momentum": "mom", "weight_decay": "wd", "alpha": "sqr_mom", "betas__0": "mom", "betas__1": "sqr_mom"}


# -- steps --------------------------------------------------------------------------------------------------------------
def _clipped(
    p: Tensor, lr: float, mom: float, step: int, sqr_mom: float, grad_avg: Tensor, sqr_avg: Tensor, eps: float, beta: float
) -> None:
    """One step of RAdam (Liu et al. 2019): Adam's, in proportion to how far its second moment can be relied on; plain averages where it can't be."""
    debias1, debias2 = debias(mom, 1 - mom, step), debias(sqr_mom, 1 - sqr_mom, step)
    at_last = 2 / (1 - sqr_mom) - 1
    now = at_last - 2 * step * sqr_mom**step / (1 - sqr_mom**step)
    if now <= 5:
        p.add_(grad_avg, alpha=-lr / debias1)
        return
    v = math.sqrt(((now - 4) * (now - 2) * at_last) / ((at_last - 4) * (at_last - 2) * now))
    below = (sqr_avg / debias2).sqrt()
    below = F.softplus(below, beta) if beta else below + eps
    p.addcdiv_(grad_avg, below, value=-lr * v / debias1)


@_with(eps=1e-5)
def radam_step(
    p: Tensor, lr: float, mom: float, step: int, sqr_mom: float, grad_avg: Tensor, sqr_avg: Tensor, eps: float, beta: float = 0.0, **kwargs: Any
) -> None:  # fmt: skip
    """RAdam's, of averages with dampening; with `beta` the denominator goes through a softplus."""
    _ = kwargs
    _clipped(p, lr, mom, step, sqr_mom, grad_avg, sqr_avg, eps, beta)


@_with(eps=1e-8)
def qhadam_step(
    p: Tensor, lr: float, mom: float, sqr_mom: float, sqr_avg: Tensor, nu_1: float, nu_2: float, step: int, grad_avg: Tensor, eps: float, **kwargs: Any
) -> None:  # fmt: skip
    """QHAdam's (Ma and Yarats 2019): averages and the gradient itself in the proportions `nu_1` and `nu_2`."""
    _ = kwargs
    assert p.grad is not None
    debias1, debias2 = debias(mom, 1 - mom, step), debias(sqr_mom, 1 - sqr_mom, step)
    above = (1 - nu_1) * p.grad + nu_1 * (grad_avg / debias1)
    below = ((1 - nu_2) * p.grad**2 + nu_2 * (sqr_avg / debias2)).sqrt() + eps
    p.addcdiv_(above, below, value=-lr)


# -- optimizers ---------------------------------------------------------------------------------------------------------
def SGD(params: Iterable[Any], lr: float = 1e-3, mom: float = 0.0, wd: float = 0.0, decouple_wd: bool = True) -> torch.optim.Optimizer:
    """Stochastic gradient descent, without momentum unless it is given: then of steps, with decoupled weight decay; else PyTorch's, which is the same."""
    if mom == 0:
        return _each_group(optim.SGD, params, lr=lr, mom=0.0, wd=wd)
    return Optimizer(params, [_decay(decouple_wd), average_grad, momentum_step], lr=lr, mom=mom, wd=wd)


def Adam(
    params: Iterable[Any],
    lr: float = 1e-3,
    mom: float = 0.9,
    sqr_mom: float = 0.99,
    eps: float = 1e-5,
    wd: float = 0.01,
    decouple_wd: bool = True,
) -> torch.optim.Optimizer:
    """PyTorch's, fused: AdamW, or with ``decouple_wd=False`` Adam with L2 regularisation."""
    return _each_group(optim.AdamW if decouple_wd else _with_l2, params, lr=lr, mom=mom, sqr_mom=sqr_mom, eps=eps, wd=wd)


def _with_l2(params: Iterable[Any], lr: float, mom: float, sqr_mom: float, eps: float, wd: float) -> torch.optim.Optimizer:
    return torch.optim.Adam(optim._as_groups(params), lr=lr, betas=(mom, sqr_mom), eps=eps, weight_decay=wd)


def _each_group(made_by: Any, params: Iterable[Any], **hypers: Any) -> torch.optim.Optimizer:
    """An optimizer of which a hyper-parameter may be a list or a slice, of values for the groups."""
    each = {k: v for k, v in hypers.items() if isinstance(v, (list, tuple, slice))}
    made = made_by(params, **{k: v for k, v in hypers.items() if k not in each}, **dict.fromkeys(each, 0.0))
    set_hypers(made, **each)
    return made


def RAdam(
    params: Iterable[Any], lr: float = 1e-3, mom: float = 0.9, sqr_mom: float = 0.99, eps: float = 1e-5, wd: float = 0.0, beta: float = 0.0, decouple_wd: bool = True
) -> Optimizer:  # fmt: skip
    """RAdam of steps."""
    steps: list[Any] = [_decay(decouple_wd), partial(average_grad, dampening=True), average_sqr_grad, step_stat, radam_step]
    return Optimizer(params, steps, lr=lr, mom=mom, sqr_mom=sqr_mom, eps=eps, wd=wd, beta=beta)


def QHAdam(
    params: Iterable[Any], lr: float = 1e-3, mom: float = 0.999, sqr_mom: float = 0.999, nu_1: float = 0.7, nu_2: float = 1.0, eps: float = 1e-8, wd: float = 0.0,
    decouple_wd: bool = True,
) -> Optimizer:  # fmt: skip
    """QHAdam of steps."""
    steps: list[Any] = [
        _decay(decouple_wd),
        partial(average_grad, dampening=True),
        partial(average_sqr_grad, dampening=True),
        step_stat,
        qhadam_step,
    ]
    return Optimizer(params, steps, lr=lr, nu_1=nu_1, nu_2=nu_2, mom=mom, sqr_mom=sqr_mom, eps=eps, wd=wd)


class Lookahead(torch.optim.Optimizer):
    """Wraps an optimizer: after every `k` of its steps the weights go back `1 - alpha` of the way to where they were before these (Zhang et al. 2019).

    Args:
        opt: an optimizer that was made.
    """

    def __init__(self, opt: torch.optim.Optimizer, k: int = 6, alpha: float = 0.5) -> None:
        if k < 1 or not 0 < alpha <= 1:
            raise SettingError(f"Lookahead(k={k!r}, alpha={alpha!r}): expected steps of at least 1, and a share above 0, at most 1.")
        self.opt, self.k, self.alpha, self.count = opt, k, alpha, 0
        self.slow_weights: list[list[Tensor]] | None = None
        super().__init__(opt.param_groups, {})
        self.param_groups, self.state = opt.param_groups, opt.state

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:  # type: ignore[override]
        """The optimizer's step, every `k`-th time followed by the way back."""
        if self.slow_weights is None:
            self.slow_weights = [[p.detach().clone() for p in group["params"]] for group in self.param_groups]
        found = self.opt.step() if closure is None else self.opt.step(closure)
        self.count += 1
        if self.count % self.k == 0:
            for slow, group in zip(self.slow_weights, self.param_groups, strict=True):
                for kept, p in zip(slow, group["params"], strict=True):
                    kept.lerp_(p, self.alpha)
                    p.copy_(kept)
        return found

    def clear_state(self) -> None:
        """Forgets where the weights were, and what the optimizer has kept."""
        self.count, self.slow_weights = 0, None
        self.opt.state.clear()

    def state_dict(self) -> dict[str, Any]:
        """The optimizer's, with `count` and the slow weights."""
        return {**self.opt.state_dict(), "count": self.count, "slow_weights": self.slow_weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes back what ``state_dict`` gave."""
        state = dict(state_dict)
        self.count, self.slow_weights = state.pop("count", 0), state.pop("slow_weights", None)
        self.opt.load_state_dict(state)
        self.param_groups, self.state = self.opt.param_groups, self.opt.state


def ranger(
    params: Iterable[Any], lr: float = 1e-3, mom: float = 0.95, wd: float = 0.01, eps: float = 1e-6, k: int = 6, alpha: float = 0.5, sqr_mom: float = 0.99, beta: float = 0.0,
    decouple_wd: bool = True,
) -> Lookahead:  # fmt: skip
    """`Lookahead` around `RAdam`."""
    return Lookahead(RAdam(params, lr, mom, sqr_mom, eps, wd, beta, decouple_wd), k, alpha)


# -- parameter groups ---------------------------------------------------------------------------------------------------
def detuplify_pg(d: dict[str, Any]) -> dict[str, Any]:
    """A parameter group without its parameters, its tuples apart: ``betas`` as ``betas__0`` and ``betas__1``."""
    found: dict[str, Any] = {}
    for k, v in d.items():
        if k != "params":
            found.update({f"{k}__{i}": each for i, each in enumerate(v)} if isinstance(v, tuple) else {k: v})
    return found


def set_item_pg(pg: dict[str, Any], k: str, v: Any) -> dict[str, Any]:
    """Sets a hyper-parameter of a group, by the name that `detuplify_pg` gives it."""
    name, _, place = k.partition("__")
    if not place:
        pg[k] = v
    else:
        pg[name] = tuple(v if i == int(place) else old for i, old in enumerate(pg[name]))
    return pg
