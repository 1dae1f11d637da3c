"""Layer groups, and what freezing them means."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import nn
from torch.nn import Parameter

from burnish.data.notes import note
from burnish.errors import SettingError, listed
from burnish.train.optim import norm_params

Splitter = Callable[[nn.Module], Sequence[Any]]


def plain(model: nn.Module) -> nn.Module:
    """The module that ``torch.compile`` wraps, or the module itself: its parts and names are the same either way."""
    return getattr(model, "_orig_mod", model)


def trainable_params(model: nn.Module) -> list[list[Parameter]]:
    """The default splitter: one layer group with all parameters that require a gradient."""
    return [[p for p in model.parameters() if p.requires_grad]]


def layer_groups(model: nn.Module, splitter: Splitter | None) -> list[list[Parameter]]:
    """What `splitter` makes of the model, checked: groups of parameters, from the input to the output.

    A splitter may give groups of parameters, of modules, or one flat list of parameters (one group).

    Raises:
        SettingError: a parameter is in two groups. One that is in none is said: it would never be trained.
    """
    found = list((splitter or trainable_params)(plain(model)))
    if found and all(isinstance(p, Parameter) for p in found):
        found = [found]
    groups = [_parameters(group) for group in found]
    counts: dict[Parameter, int] = {}
    for group in groups:
        for p in group:
            counts[p] = counts.get(p, 0) + 1
    names = {p: name for name, p in model.named_parameters()}
    doubled = [names.get(p, "?") for p, n in counts.items() if n > 1]
    if doubled:
        raise SettingError(f"The splitter put {len(doubled)} parameter(s) into more than one group: {listed(doubled)}. Each may be in one.")
    lost = [name for p, name in names.items() if p not in counts and p.requires_grad]
    if lost:
        note(f"The splitter put {len(lost)} parameter(s) into no layer group, so they won't be trained: {listed(lost)}.")
    return [group for group in groups if group]


def _parameters(group: Any) -> list[Parameter]:
    if isinstance(group, nn.Module):
        return list(group.parameters())
    members = list(group)
    return list(dict.fromkeys(p for m in members for p in (m.parameters() if isinstance(m, nn.Module) else [m])))


def set_frozen(model: nn.Module, groups: Sequence[Sequence[Parameter]], n: int, train_bn: bool) -> None:
    """Freezes the groups before `n` (negative counts from the end): their parameters get no gradient.

    Args:
        train_bn: leave the normalisation layers of frozen groups trainable.
    """
    first = n if n >= 0 else len(groups) + n
    if first >= len(groups):
        note(f"freeze_to({n}) freezes all {len(groups)} layer group(s): nothing is left to train.")
    norms = norm_params(model) if train_bn else set()
    for i, group in enumerate(groups):
        for p in group:
            p.requires_grad_(i >= first or p in norms)


def steady_norms(model: nn.Module, groups: Sequence[Sequence[Parameter]], pretrained: bool, rates: Sequence[float]) -> list[nn.Module]:
    """Normalisation layers whose running statistics stay as they are in training: those of frozen parts; of a pretrained
    model also those of the groups that learn more slowly than the head (the last group).

    A fine-tuning is short. Statistics of small batches, slowly averaged, lag behind weights that are made for them: the
    model is then evaluated with others than it was trained with (what that costs: benchmarks/recipes.py). Weights that learn as fast as the head soon have little in common with the statistics they began with: those move.

    Args:
        rates: the learning rate of each group.
    """
    still = {p for p in model.parameters() if not p.requires_grad}
    if pretrained:
        still |= {p for group, rate in zip(groups, rates, strict=True) if rate < rates[-1] for p in group}
    found: dict[nn.Module, None] = {}
    for module in model.modules():
        own = set(module.parameters())
        if own and own <= still:  # a layer without parameters goes with what it lies in
            found.update(dict.fromkeys(m for m in module.modules() if getattr(m, "running_mean", None) is not None))
    return list(found)
