"""Everything that compatibility adds to other people's classes, in one list; `uninstall` takes all of it back."""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple

_ABSENT: Any = object()


class Patch(NamedTuple):
    """An attribute of a class, both by where they are."""

    owner: str  # "module:Class"
    name: str
    source: str  # "module:name" of what it becomes


def _each(owner: str, source: str, names: str) -> list[Patch]:
    return [Patch(owner, name, f"burnish.compat.{source}:{name}") for name in names.split()]


PATCHES: list[Patch] = [
    *_each("pathlib:Path", "paths", "ls read_json read_jsonl write_json mk_write readlines delete relpath normpath"),
    Patch("pathlib:PurePath", "__repr__", "burnish.compat.paths:__repr__"),
    *_each("PIL.Image:Image", "pictures", "to_thumb resize_max to_bytes_format shape n_px aspect reshape flip_lr dihedral"),
    *_each("torch:Tensor", "tensor_tools", "pca interp_1d"),
    *_each("torch.optim:Optimizer", "optimizer_tools", "hypers set_hyper set_hypers"),
    *_each(
        "burnish.train.learner:Learner",
        "learner_tools",
        "n_epoch iter n_iter train_iter pct_train x y loss_grad smooth_loss logger final_record",
    ),
    Patch("burnish.train.learner:Learner", "export", "burnish.compat.factories:export"),
    Patch("burnish.train.attached:HasCallbacks", "add_cb", "burnish.compat.learner:add_cb"),
]
_before: list[tuple[Any, str, Any]] = []


def found(where: str) -> Any:
    """What "module:name" stands for."""
    module, name = where.split(":")
    return getattr(importlib.import_module(module), name)


def install() -> None:
    """Puts all of the list in place."""
    if _before:
        return
    for patch in PATCHES:
        owner = found(patch.owner)
        _before.append((owner, patch.name, vars(owner).get(patch.name, _ABSENT)))
        setattr(owner, patch.name, found(patch.source))


def uninstall() -> None:
    """Puts back what was there before."""
    while _before:
        owner, name, value = _before.pop()
        if value is _ABSENT:
            delattr(owner, name)
        else:
            setattr(owner, name, value)
