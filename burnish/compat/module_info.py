"""What a model's layers are and make of a batch, as fastai tells it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from burnish.data.collections import L
from burnish.train.learner import Learner
from burnish.train.loop import run_model
from burnish.train.summary import Summary, summarise

__all__ = ["layer_info", "module_summary"]


def module_summary(learn: Learner, *xb: Any) -> Summary:
    """The table of ``learn.summary()``, of the inputs `xb` instead of a batch of the data."""
    return summarise(learn, xb or None)


def layer_info(learn: Learner, *xb: Any) -> L[tuple[str, Any, Any, Any, bool]]:
    """(class, parameters, whether they train, shape of the output of one sample, whether it has the input's shape) of each layer, in the order they run; parameters and
    whether they train are "" of layers without any.
    """
    rows: list[tuple[str, Any, Any, Any, bool]] = []

    def told(module: Any, given: Any, out: Any) -> None:
        own = list(module.parameters(recurse=False))
        shape = _shape(out)
        alike = shape is not None and len(given) > 0 and _shape(given[0]) == shape
        rows.append(
            (
                type(module).__name__,
                sum(p.numel() for p in own) if own else "",
                any(p.requires_grad for p in own) if own else "",
                shape,
                alike,
            )
        )

    model: Any = learn.model
    hooks = [m.register_forward_hook(told) for m in model.modules() if not list(m.children())]
    modes = [(m, m.training) for m in model.modules()]
    try:
        with torch.no_grad():
            run_model(model.eval(), tuple(x[:1].to(learn.device) if isinstance(x, Tensor) else x for x in xb))
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in modes:
            module.training = mode
    return L(rows, use_list=True)


def _shape(x: Any) -> Any:
    return x.shape if isinstance(x, Tensor) else None
