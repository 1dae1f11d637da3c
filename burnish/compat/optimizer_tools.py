"""What notebooks for fastai ask of an optimizer: its hyper-parameters under the names that schedules use."""

from __future__ import annotations

from typing import Any

import torch

from burnish.data.collections import L
from burnish.train import optim

_ELSEWHERE = {"weight_decay": "wd", "momentum": "mom"}


def _of(group: dict[str, Any]) -> dict[str, Any]:
    shown = {
        _ELSEWHERE.get(k, k): v for k, v in group.items() if isinstance(v, (int, float)) and not isinstance(v, bool) and k != "layer_group"
    }
    if "betas" in group:
        shown["mom"], shown["sqr_mom"] = group["betas"]
    return shown


def _layer_groups(self: torch.optim.Optimizer) -> L[dict[str, Any]]:
    """One a layer group: of its two parameter groups the one that decays, where there is one."""
    found: dict[Any, dict[str, Any]] = {}
    for i, group in enumerate(self.param_groups):
        key = group.get("layer_group", i)
        if key not in found or group.get("decays"):
            found[key] = _of(group)
    return L(list(found.values()))


hypers = property(_layer_groups, doc="The hyper-parameters of each layer group: lr, mom, sqr_mom, wd, eps ...")


def _param_lists(self: torch.optim.Optimizer) -> L[L[torch.nn.Parameter]]:
    found: dict[Any, list[torch.nn.Parameter]] = {}
    for i, group in enumerate(self.param_groups):
        found.setdefault(group.get("layer_group", i), []).extend(group["params"])
    return L([L(params, use_list=True) for params in found.values()], use_list=True)


param_lists = property(_param_lists, doc="The parameters of each layer group.")


def all_params(self: torch.optim.Optimizer, n: Any = slice(None), with_grad: bool = False) -> L[Any]:
    """(parameter, its group, its state, the group's hyper-parameters) of each parameter of the groups `n`."""
    found = [
        (p, ps, self.state[p], hyper)
        for ps, hyper in list(zip(_param_lists(self), _layer_groups(self), strict=True))[n if isinstance(n, slice) else slice(n, n + 1)]
        for p in ps
    ]
    return L([one for one in found if not with_grad or one[0].grad is not None], use_list=True)


def set_hyper(self: torch.optim.Optimizer, k: str, v: Any) -> None:
    """Sets one hyper-parameter, of all groups or (a list) of each."""
    optim.set_hyper(self, k, v)


def set_hypers(self: torch.optim.Optimizer, **kwargs: Any) -> None:
    """Sets several."""
    for k, v in kwargs.items():
        optim.set_hyper(self, k, v)
