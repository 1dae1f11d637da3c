"""Optimizers: PyTorch's own, with parameter groups by layer and by decay, and familiar names for hyper-parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import Parameter
from torch.optim.optimizer import _global_optimizer_post_hooks as _global_post_hooks
from torch.optim.optimizer import _global_optimizer_pre_hooks as _global_pre_hooks

from burnish.errors import SettingError, nearest

OptFunc = Callable[..., torch.optim.Optimizer]
LearningRate = float | slice | Sequence[float] | np.ndarray
_FUSED_DEVICES = {"cpu", "cuda", "mps", "xpu"}


# -- the optimizers ---------------------------------------------------------------------------------------------------
def AdamW(
    params: Iterable[Any], lr: float = 1e-3, mom: float = 0.9, sqr_mom: float = 0.99, eps: float = 1e-5, wd: float = 0.01
) -> torch.optim.Optimizer:
    """``torch.optim.AdamW`` with fastai's defaults, fused (one kernel for all parameters) where the device has that.

    Adam with decoupled weight decay: Loshchilov and Hutter 2017, arXiv:1711.05101.
    """
    groups = _as_groups(params)
    fused = _can_fuse(groups)
    made = LeanAdamW if fused and all(p.device.type == "cpu" for p in _params(groups)) else torch.optim.AdamW
    return made(groups, lr=lr, betas=(mom, sqr_mom), eps=eps, weight_decay=wd, fused=fused)


Adam = AdamW


class LeanAdamW(torch.optim.AdamW):
    """``torch.optim.AdamW``, fused, that remembers what its kernel is given: of a small network's step on the CPU, looking that up
    anew takes longer than the kernel (the mlp of a table: a tenth of the whole step).

    State and results are PyTorch's; where anything is out of the ordinary (hooks, a closure, a parameter without gradient, a state
    that was loaded), its own step runs.
    """

    _known: tuple[Any, ...] | None = None

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        known = None if closure is not None or self._has_hooks() else self._remembered()
        grads = [[p.grad for p in params] for params, *_ in known] if known else []
        if known is None or any(g is None for of_group in grads for g in of_group):
            return _whole_step(self, closure)
        for group, given, (params, first, second, steps) in zip(self.param_groups, grads, known, strict=True):
            if not params:
                continue
            torch._foreach_add_(steps, 1)
            torch._fused_adamw_(
                params, given, first, second, [], steps, lr=group["lr"], beta1=group["betas"][0], beta2=group["betas"][1],
                weight_decay=group["weight_decay"], eps=group["eps"], amsgrad=False, maximize=False,
            )  # fmt: skip
        return None

    step.hooked = True  # type: ignore[attr-defined]  # what PyTorch wraps around a step is around _whole_step

    def zero_grad(self, set_to_none: bool = True) -> None:
        if not set_to_none:
            return super().zero_grad(set_to_none)
        for group in self.param_groups:
            for p in group["params"]:
                p.grad = None
        return None

    def _has_hooks(self) -> bool:
        return bool(self._optimizer_step_pre_hooks or self._optimizer_step_post_hooks or _global_pre_hooks or _global_post_hooks)

    def _remembered(self) -> list[tuple[list[Any], ...]] | None:
        """For each group its parameters, their moments and numbers of steps; None where they are not to be had."""
        at = (self.state, self.param_groups, len(self.state), len(self.param_groups), sum(len(g["params"]) for g in self.param_groups))
        if self._known is not None and all(a is b or (type(a) is int and a == b) for a, b in zip(at, self._known, strict=False)):
            return self._known[-1]
        lists, self._known = [], None
        for group in self.param_groups:
            states = [self.state.get(p) for p in group["params"]]
            if not all(states) or group["amsgrad"] or group["maximize"] or not group["fused"] or not isinstance(group["lr"], float):
                return None
            lists.append((list(group["params"]), *([s[key] for s in states] for key in ("exp_avg", "exp_avg_sq", "step"))))  # type: ignore[index]
        self._known = (*at, lists)
        return lists


_own_step: Any = torch.optim.AdamW.step
_whole_step = _own_step if getattr(_own_step, "hooked", False) else torch.optim.Optimizer.profile_hook_step(_own_step)


def RAdam(
    params: Iterable[Any], lr: float = 1e-3, mom: float = 0.9, sqr_mom: float = 0.99, eps: float = 1e-5, wd: float = 0.0
) -> torch.optim.Optimizer:
    """``torch.optim.RAdam`` with decoupled weight decay (Liu et al. 2019, arXiv:1908.03265)."""
    return torch.optim.RAdam(_as_groups(params), lr=lr, betas=(mom, sqr_mom), eps=eps, weight_decay=wd, decoupled_weight_decay=True)


def SGD(params: Iterable[Any], lr: float = 1e-3, mom: float = 0.9, wd: float = 0.0, nesterov: bool = False) -> torch.optim.Optimizer:
    """``torch.optim.SGD``, with momentum unless told otherwise (`wd` is L2 regularisation, as PyTorch does it)."""
    groups = _as_groups(params)
    return torch.optim.SGD(groups, lr=lr, momentum=mom, weight_decay=wd, nesterov=nesterov, fused=_can_fuse(groups))


def _as_groups(params: Iterable[Any]) -> list[Any]:
    """Parameters or groups of them (PyTorch's mappings, or lists of parameters) as lists, for they are gone through more than once."""
    return [
        g
        if isinstance(g, Tensor)
        else {**g, "params": [g["params"]] if isinstance(g["params"], Tensor) else list(g["params"])}
        if isinstance(g, dict)
        else {"params": list(g)}
        for g in params
    ]


def _params(groups: Sequence[Any]) -> list[Tensor]:
    return [p for g in groups for p in (g["params"] if isinstance(g, dict) else [g])]


def _can_fuse(groups: Sequence[Any]) -> bool:
    params = _params(groups)
    return bool(params) and all(p.is_floating_point() and p.device.type in _FUSED_DEVICES for p in params)


# -- parameter groups -------------------------------------------------------------------------------------------------
def is_norm(module: nn.Module) -> bool:
    """Whether a module is a normalisation layer (batch, layer, group, instance, RMS ...; also other people's)."""
    return "norm" in type(module).__name__.lower()


def norm_params(model: nn.Module) -> set[Parameter]:
    """The parameters of normalisation layers."""
    return {p for m in model.modules() if is_norm(m) for p in m.parameters(recurse=False)}


def undecayed(model: nn.Module) -> set[Parameter]:
    """Biases and the parameters of normalisation layers: what weight decay leaves alone."""
    return norm_params(model) | {p for name, p in model.named_parameters() if name.rpartition(".")[2] == "bias" or name.endswith("_bias")}


def param_groups(model: nn.Module, layer_groups: Sequence[Sequence[Parameter]], wd_bn_bias: bool = False) -> list[dict[str, Any]]:
    """Each layer group as one or two groups for a PyTorch optimizer: its parameters that decay, and those that don't.

    Groups carry "layer_group" (its index) and "decays".
    """
    spared = set() if wd_bn_bias else undecayed(model)
    groups = []
    for i, params in enumerate(layer_groups):
        for decays in (True, False):
            chosen = [p for p in params if (p not in spared) is decays]
            if chosen:
                groups.append({"params": chosen, "layer_group": i, "decays": decays})
    return groups


def build_optimizer(opt_func: OptFunc, groups: list[dict[str, Any]], lr: float) -> torch.optim.Optimizer:
    """``opt_func(groups, lr=lr)``: a PyTorch optimizer whose undecayed groups have no weight decay.

    Raises:
        SettingError: `opt_func` is no such function, or there is nothing to optimise.
    """
    if isinstance(opt_func, torch.optim.Optimizer) or not callable(opt_func):
        raise SettingError(
            f"opt_func={type(opt_func).__name__} object: expected a function of (parameters, lr=...) that makes an optimizer, not one already made. "
            "Pass the class, opt_func=torch.optim.SGD, or partial(torch.optim.SGD, momentum=0.9)."
        )
    if not groups:
        raise SettingError("The model has no parameters to train: the splitter gave none, or model.parameters() is empty.")
    opt = opt_func(groups, lr=lr)
    if not isinstance(opt, torch.optim.Optimizer):
        raise SettingError(f"opt_func returned a {type(opt).__name__}; expected a torch.optim.Optimizer.")
    _name_groups(opt, groups)
    for group in opt.param_groups:
        if not group["decays"] and "weight_decay" in group:
            group["weight_decay"] = 0.0
    return opt


def _name_groups(opt: torch.optim.Optimizer, groups: list[dict[str, Any]]) -> None:
    """Groups of an optimizer whose maker took the parameters out and left their names behind get these back."""
    first = {id(p): group for group in groups for p in group["params"]}
    for i, group in enumerate(opt.param_groups):
        known = next((first[id(p)] for p in group["params"] if id(p) in first), None)
        group.setdefault("layer_group", i if known is None else known["layer_group"])
        group.setdefault("decays", True if known is None else known["decays"])


# -- hyper-parameters -------------------------------------------------------------------------------------------------
def lr_per_group(lr: LearningRate, n: int) -> list[float]:
    """A learning rate in any of its forms as one number a layer group.

    >>> lr_per_group(1e-3, 2)
    [0.001, 0.001]
    >>> lr_per_group(slice(1e-3), 3)  # the head at the rate, the rest at a tenth
    [0.0001, 0.0001, 0.001]
    >>> [round(v, 6) for v in lr_per_group(slice(1e-5, 1e-3), 3)]  # geometric
    [1e-05, 0.0001, 0.001]
    """
    if isinstance(lr, slice):
        if lr.stop is None or lr.step is not None:
            raise SettingError(f"lr={lr!r}: expected slice(rate) or slice(lowest, highest).")
        if lr.start is None:
            rates = [float(lr.stop) / 10] * (n - 1) + [float(lr.stop)]
        else:
            _check_rates([float(lr.start), float(lr.stop)], lr, above_zero=True)
            rates = [float(lr.stop)] if n == 1 else np.geomspace(float(lr.start), float(lr.stop), n).tolist()
    elif np.ndim(lr) == 0:
        rates = [float(lr)] * n  # type: ignore[arg-type]
    else:
        rates = [float(v) for v in lr]  # type: ignore[union-attr]
        if len(rates) != n:
            raise SettingError(
                f"lr has {len(rates)} values ({rates}), but the model has {n} layer group(s). Give one a group, a number, or a slice."
            )
    return _check_rates(rates, lr)


def _check_rates(rates: list[float], given: Any, above_zero: bool = False) -> list[float]:
    if any(not np.isfinite(r) or r < 0 or (above_zero and r == 0) for r in rates):
        raise SettingError(f"lr={given!r}: learning rates must be finite and {'above' if above_zero else 'at least'} 0.")
    return rates


def set_hyper(opt: torch.optim.Optimizer, name: str, value: Any) -> None:
    """Sets one hyper-parameter on all groups: a number, or one number a layer group.

    Names: "lr", "mom", "sqr_mom", "wd", or a key of the optimizer's own groups. "wd" spares the undecayed groups.
    """
    values = value.tolist() if isinstance(value, np.ndarray) else value
    for group in opt.param_groups:
        v = values[group["layer_group"]] if isinstance(values, (list, tuple)) else values
        if name == "lr":
            group["lr"] = v
        elif name in ("mom", "sqr_mom") and "betas" in group:
            group["betas"] = (v, group["betas"][1]) if name == "mom" else (group["betas"][0], v)
        elif name == "mom" and "momentum" in group:
            group["momentum"] = v
        elif name == "wd" and "weight_decay" in group:
            group["weight_decay"] = v if group["decays"] else 0.0
        elif name in group:
            group[name] = v
        else:
            known = sorted({*_familiar(group), *group} - {"params", "layer_group", "decays", "betas"})
            raise SettingError(f"{type(opt).__name__} has no hyper-parameter {name!r}. It has: {', '.join(known)}.{nearest(name, known)}")


def get_hyper(opt: torch.optim.Optimizer, name: str) -> float:
    """A hyper-parameter of the last group (the head): see :func:`set_hyper` for names."""
    group = opt.param_groups[-1]
    if name == "mom":
        return group["betas"][0] if "betas" in group else group.get("momentum", group.get("mom", 0.0))
    return group["weight_decay"] if name == "wd" else group[name]


def has_momentum(opt: torch.optim.Optimizer) -> bool:
    """Whether the optimizer uses momentum, so that a schedule may drive it."""
    group = opt.param_groups[0]
    return "betas" in group or bool(group.get("momentum", group.get("mom", 0.0)))


def _familiar(group: dict[str, Any]) -> set[str]:
    names = {"lr"} | ({"mom", "sqr_mom"} if "betas" in group else set()) | ({"mom"} if "momentum" in group else set())
    return names | ({"wd"} if "weight_decay" in group else set())


def defaults_of(opt: torch.optim.Optimizer) -> list[dict[str, Any]]:
    """A copy of every group's hyper-parameters, to be put back by :func:`restore_defaults`."""
    return [{k: v for k, v in g.items() if k != "params"} for g in opt.param_groups]


def restore_defaults(opt: torch.optim.Optimizer, defaults: list[dict[str, Any]]) -> None:
    """Puts back what :func:`defaults_of` copied: what one fit set doesn't stick to the next."""
    for group, values in zip(opt.param_groups, defaults, strict=True):
        group.update(values)
