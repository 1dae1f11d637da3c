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


def set_hyper(self: torch.optim.Optimizer, k: str, v: Any) -> None:
    """Sets one hyper-parameter, of all groups or (a list) of each."""
    optim.set_hyper(self, k, v)


def set_hypers(self: torch.optim.Optimizer, **kwargs: Any) -> None:
    """Sets several."""
    for k, v in kwargs.items():
        optim.set_hyper(self, k, v)
