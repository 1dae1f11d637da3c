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
FULL_STEP = 64  # samples a step from which on rates need not be lower
GENTLE_RATE = 5e-4  # a rate that a body with kept statistics bears in steps of so many, and a quarter of it in any


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
    if n < 0 and len(groups) == 1:
        note(
            "Nothing is frozen: the model has one layer group, which is its head too. Where nothing is pretrained (a network for a table, say) there "
            "is nothing to freeze; else make groups: learn.splitter = lambda model: [model.body, model.head]."
        )
    if first >= len(groups):
        note(f"freeze_to({n}) freezes all {len(groups)} layer group(s): nothing is left to train.")
    norms = norm_params(model) if train_bn else set()
    for i, group in enumerate(groups):
        for p in group:
            p.requires_grad_(i >= first or p in norms)


def is_gentle(rates: Sequence[float], samples: int, adaptive: bool) -> bool:
    """Whether a pretrained body learns so slowly that it is better off with the statistics its normalisation came with.

    A fine-tuning is short. Statistics of small batches, slowly averaged, lag behind weights that are made for them: the model
    is then evaluated with others than it was trained with. But kept ones bear only low rates, the lower the noisier the
    steps: beyond those the model is soon ruined (benchmarks/recipes.py measures both).

    Args:
        rates: the top learning rate of each layer group, the head's last.
        samples: samples a step.
        adaptive: whether a step of the optimizer is as large as the rate whatever the gradient (Adam and its relatives).
            With others a rate says little: then the body is to learn more slowly than the head.
    """
    *body, head = rates
    fastest = max(body, default=0.0)
    if not adaptive:
        return fastest < head
    return fastest <= max(GENTLE_RATE / 4, GENTLE_RATE * min(1.0, samples / FULL_STEP))


def steady_norms(model: nn.Module, groups: Sequence[Sequence[Parameter]], with_body: bool) -> list[nn.Module]:
    """Normalisation layers whose running statistics stay as they are in training: those of frozen parts, and `with_body` also
    those of all layer groups before the head (the last)."""
    still = {p for p in model.parameters() if not p.requires_grad}
    if with_body:
        still |= {p for group in groups[:-1] for p in group}
    found: dict[nn.Module, None] = {}
    for module in model.modules():
        own = set(module.parameters())
        if own and own <= still:  # a layer without parameters goes with what it lies in
            found.update(dict.fromkeys(m for m in module.modules() if getattr(m, "running_mean", None) is not None))
    return list(found)
