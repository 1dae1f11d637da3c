"""What notebooks for fastai ask of an optimizer: its hyper-parameters under the names that schedules use."""

from __future__ import annotations

from typing import Any

import torch

from burnish.data.collections import L
from burnish.errors import SettingError
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
    """Sets one hyper-parameter, of all groups or (a list, a slice) of each.

    Raises:
        SettingError: another number of values than of groups.
    """
    for i, group in enumerate(self.param_groups):  # of one that no learner has made
        group.setdefault("layer_group", i)
        group.setdefault("decays", True)
    if isinstance(v, (slice, list, tuple)) and k != "betas":
        v = optim.lr_per_group(v, len({group["layer_group"] for group in self.param_groups}))
    optim.set_hyper(self, k, v)


def set_hypers(self: torch.optim.Optimizer, **kwargs: Any) -> None:
    """Sets several."""
    for k, v in kwargs.items():
        set_hyper(self, k, v)


class _State(dict[str, Any]):
    """An optimizer's state as PyTorch has it, whose "hypers" are there when they are asked for."""

    hypers: Any = None

    def __missing__(self, key: str) -> Any:
        if key == "hypers":
            return self.hypers
        raise KeyError(key)


_state_dict = torch.optim.Optimizer.state_dict


def state_dict(self: torch.optim.Optimizer) -> dict[str, Any]:
    """PyTorch's, in which "hypers" is found too."""
    found = _State(_state_dict(self))
    found.hypers = _layer_groups(self)
    return found


def clear_state(self: torch.optim.Optimizer) -> None:
    """Forgets the averages that were kept."""
    self.state.clear()


def freeze_to(self: torch.optim.Optimizer, n: int) -> None:
    """Freezes the groups of parameters before `n`, negative from the end."""
    lists = _param_lists(self)
    first = n if n >= 0 else len(lists) + n
    for i, params in enumerate(lists):
        for p in params:
            p.requires_grad_(i >= first)
    self.frozen_idx = first  # type: ignore[attr-defined]


def freeze(self: torch.optim.Optimizer) -> None:
    """Freezes all groups but the last.

    Raises:
        SettingError: there is one group only.
    """
    if len(_param_lists(self)) < 2:
        raise SettingError(
            "opt.freeze() freezes all groups but the last, and this optimizer has one. Give it lists of parameters, one a group."
        )
    freeze_to(self, -1)


def unfreeze(self: torch.optim.Optimizer) -> None:
    """Has all groups train."""
    freeze_to(self, 0)


frozen_idx = 0  # the first group that trains as a whole: of an optimizer where none is frozen
