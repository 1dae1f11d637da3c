"""The layers of a model with output shapes and parameters, as a table."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from burnish.errors import DataError
from burnish.train.freezing import steady_norms
from burnish.train.guards import loss_name
from burnish.train.loop import run_model, split_batch

if TYPE_CHECKING:
    from burnish.train.learner import Learner

HEADER = ("layer", "output shape", "parameters", "trains")


class Layer(NamedTuple):
    """One row: a module without children, or parameters that a larger module holds itself."""

    name: str
    kind: str
    shape: str
    params: int
    trains: str


class Summary:
    """The table; prints itself in a terminal and in a notebook.

    Attributes:
        layers: its rows, in the order they run.
        total, trainable: numbers of parameters.
        facts: name to value: loss, optimizer, device ...
    """

    def __init__(self, model_name: str, layers: list[Layer], total: int, trainable: int, facts: dict[str, str]) -> None:
        self.model_name, self.layers, self.total, self.trainable, self.facts = model_name, layers, total, trainable, facts

    def _cells(self) -> list[tuple[str, ...]]:
        return [(f"{r.name} {r.kind}".strip(), r.shape, f"{r.params:,}" if r.params else "", r.trains) for r in self.layers]

    def _totals(self) -> str:
        return f"{self.total:,} parameters, of which {self.trainable:,} train and {self.total - self.trainable:,} are frozen"

    def __repr__(self) -> str:
        rows = [HEADER, *self._cells()]
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        lines = [f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]:>{widths[2]}}  {row[3]:<{widths[3]}}".rstrip() for row in rows]
        rule = "-" * max(map(len, lines))
        facts = [f"{name}: {value}" for name, value in self.facts.items()]
        return "\n".join([self.model_name, rule, lines[0], rule, *lines[1:], rule, self._totals(), *facts])

    def _repr_html_(self) -> str:
        def cells(row: tuple[str, ...], tag: str) -> str:
            sides = ("left", "left", "right", "left")
            return "".join(f'<{tag} style="text-align:{side}">{html.escape(cell)}</{tag}>' for cell, side in zip(row, sides, strict=True))

        rows = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in self._cells())
        facts = "<br>".join(f"{html.escape(k)}: {html.escape(v)}" for k, v in self.facts.items())
        return f"<b>{html.escape(self.model_name)}</b><table><thead><tr>{cells(HEADER, 'th')}</tr></thead><tbody>{rows}</tbody></table><p>{self._totals()}<br>{facts}</p>"


def summarise(learn: Learner, xb: tuple[Any, ...] | None = None) -> Summary:
    """Runs one batch through the model (in eval mode, nothing is changed) and describes every layer.

    Args:
        xb: the inputs of a batch; those of one of the data by default.
    """
    model = learn.model
    if xb is None:
        if not len(learn.dls):
            raise DataError(
                "learn.summary() runs a batch through the model, and there is no data here. Give it one, learn.summary((x,)); print(learn.model) shows the layers."
            )
        xb = split_batch(learn.dls.one_batch(), learn.n_inp)[0]
    shapes = output_shapes(model, xb)
    names = {module: name for name, module in model.named_modules()}
    order = [*shapes, *(m for m in names if m not in shapes)]
    layers = [row for m in order if (row := _layer(m, names[m], shapes.get(m, ""))) is not None]
    params = list(model.parameters())
    facts = {
        "input": ", ".join(_shape(x) for x in xb),
        "loss": loss_name(learn.loss_func),
        "optimizer": getattr(learn.opt_func, "__name__", repr(learn.opt_func)),
        "layer groups": f"{len(learn.groups)}"
        + (
            ""
            if learn.train_bn or not steady_norms(model, learn.groups, bool(learn.pretrained))
            else "; normalisation before the last one keeps its statistics where it is frozen or learns gently"
        ),
        "on": learn.precision.describe(),
        "callbacks": ", ".join(type(cb).__name__ for cb in learn.cbs),
    }
    return Summary(type(model).__name__, layers, sum(p.numel() for p in params), sum(p.numel() for p in params if p.requires_grad), facts)


def output_shapes(model: nn.Module, xb: tuple[Any, ...]) -> dict[nn.Module, str]:
    """The output shape of every module without children, in the order they ran. The model is left as it was."""
    shapes: dict[nn.Module, str] = {}
    leaves = [m for m in model.modules() if not list(m.children())]
    hooks = [m.register_forward_hook(lambda m, _, out: shapes.update({m: _shape(out)})) for m in leaves]
    modes = [(m, m.training) for m in model.modules()]
    try:
        model.eval()
        with torch.no_grad():
            run_model(model, xb)
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in modes:
            module.training = mode
    return shapes


def _layer(module: nn.Module, name: str, shape: str) -> Layer | None:
    own = list(module.parameters(recurse=False))
    is_leaf = not list(module.children())
    if not own and not (is_leaf and shape):
        return None
    trains = "" if not own else "yes" if all(p.requires_grad for p in own) else "no" if not any(p.requires_grad for p in own) else "partly"
    kind = type(module).__name__ if is_leaf else f"{type(module).__name__} (its own parameters)"
    return Layer(name, kind, shape, sum(p.numel() for p in own), trains)


def _shape(value: Any) -> str:
    if isinstance(value, Tensor):
        return " x ".join(map(str, value.shape)) or "one number"
    if isinstance(value, (tuple, list)):
        return ", ".join(_shape(v) for v in value)
    return type(value).__name__
