"""From raw outputs to predictions: which activation, which decision, which loss a sample."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from burnish.data.block import Block
from burnish.data.joint import JointLoss
from burnish.errors import DataError
from burnish.train.guards import compute_loss, loss_name

if TYPE_CHECKING:
    from burnish.train.learner import Learner

IGNORED = -100  # a class index that doesn't count, as PyTorch's losses have it


class Readout(NamedTuple):
    """How outputs are read."""

    activate: Callable[[Any], Any]  # raw outputs -> predictions
    decide: Callable[[Any], Any]  # predictions -> decisions, in the encoding of the targets
    label: Callable[[Any], Any]  # one decision -> what a person reads


def readout(learn: Learner, act: Callable[[Tensor], Tensor] | None = None) -> Readout:
    """How the outputs of `learn` are read: as its loss says if it says so, else as the target blocks do, else as the
    PyTorch loss it was trained with demands; as they are otherwise.

    Args:
        act: an activation to use instead.
    """
    blocks: Sequence[Block] = getattr(learn.dls, "target_blocks", ())
    loss = learn.loss_func
    if len(blocks) > 1:
        own = isinstance(loss, JointLoss)
        chosen = Readout(_each(blocks, "activation", own), _each(blocks, "decide", own), _label_each(blocks))
    else:
        activate, decide = (
            _of_loss(loss, blocks) or (_of_block(blocks[0]) if blocks and blocks[0].reads_outputs else None) or _of_torch(loss)
        )
        chosen = Readout(activate, decide, blocks[0].decode if blocks else _plain_label)
    return chosen if act is None else chosen._replace(activate=act)


def in_full(output: Any) -> Any:
    """An output of mixed precision in fp32 (numpy knows no bfloat16), also inside tuples, lists and dicts; others as they are."""
    if isinstance(output, Tensor):
        return output.float() if output.dtype in (torch.bfloat16, torch.float16) else output
    if isinstance(output, dict):
        return {name: in_full(part) for name, part in output.items()}
    return type(output)(in_full(part) for part in output) if type(output) in (tuple, list) else output


def _of_loss(loss: Any, blocks: Sequence[Block]) -> tuple[Callable[..., Any], Callable[..., Any]] | None:
    """The loss's own activation and decision, of a category's outputs those that stand for a class."""
    activate, decide = getattr(loss, "activation", None), getattr(loss, "decodes", lambda p: p)
    if activate is None or not blocks or blocks[0].kind != "category":
        return None if activate is None else (activate, decide)
    n = blocks[0].n_out
    return (lambda out: _first(activate(out), n)), (lambda p: decide(_first(p, n)))


def _first(preds: Any, n: int) -> Any:
    return preds[:, :n] if isinstance(preds, Tensor) and preds.ndim > 1 else preds


def _of_block(block: Block) -> tuple[Callable[..., Any], Callable[..., Any]]:
    return block.activation, block.decide


def _of_torch(loss: Any) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Activation and decision that belong to PyTorch's own losses."""
    name = loss_name(loss)
    if name in ("CrossEntropyLoss", "cross_entropy"):
        return (lambda out: out.float().softmax(dim=1)), (lambda p: p.argmax(dim=1))
    if name in ("NLLLoss", "nll_loss"):
        return (lambda out: out.float().exp()), (lambda p: p.argmax(dim=1))
    if name in ("BCEWithLogitsLoss", "binary_cross_entropy_with_logits"):
        return (lambda out: out.float().sigmoid()), (lambda p: p > 0.5)
    if name in ("BCELoss", "binary_cross_entropy"):
        return (lambda out: out.float()), (lambda p: p > 0.5)
    return (lambda out: out), (lambda p: p)


def _each(blocks: Sequence[Block], method: str, must: bool) -> Callable[[Any], Any]:
    """A method of each target's block on its output. A model whose loss is the user's may give one tensor for all: it stays as it is, unless they `must` be apart."""

    def apply(outputs: Any) -> Any:
        if not must and isinstance(outputs, Tensor):
            return outputs
        if not isinstance(outputs, (tuple, list)) or len(outputs) != len(blocks):
            got = f"{len(outputs)} outputs" if isinstance(outputs, (tuple, list)) else "one tensor"
            raise DataError(
                f"The data has {len(blocks)} targets, but the model gives {got}. Make it return a tuple with one output a target."
            )
        return tuple(getattr(block, method)(out) for block, out in zip(blocks, outputs, strict=True))

    return apply


def _label_each(blocks: Sequence[Block]) -> Callable[[Any], Any]:
    return lambda decided: (
        decided if isinstance(decided, Tensor) else tuple(block.decode(d) for block, d in zip(blocks, decided, strict=True))
    )


def _plain_label(decided: Any) -> Any:
    return decided.tolist() if isinstance(decided, Tensor) else decided


def sample_losses(loss_func: Any, pred: Any, yb: tuple[Any, ...]) -> Tensor:
    """The loss of each sample of a batch, ``(batch,)``; over several values of a sample, the mean of those that count.

    A loss that knows ``reduction`` is asked for unreduced values; any other is called sample by sample.
    """
    n = len(yb[0])
    single = unreduced(loss_func)
    if single is not None:
        return mean_of_each(compute_loss(single, pred, yb), yb[0], getattr(single, "ignore_index", IGNORED))
    one = [(_slice(pred, i), tuple(_slice(y, i) for y in yb)) for i in range(n)]
    return torch.stack([compute_loss(loss_func, p, y).reshape(()) for p, y in one])


def mean_of_each(losses: Tensor, target: Any, ignored: int = IGNORED) -> Tensor:
    """The mean loss of each sample ``(batch,)`` over its values; where targets are class indices, those that are `ignored` don't count."""
    losses = losses.reshape(len(target), -1)
    if not isinstance(target, Tensor) or target.is_floating_point() or target.numel() != losses.numel():
        return losses.mean(dim=1)
    return losses.sum(dim=1) / (target.reshape(losses.shape) != ignored).sum(dim=1).clamp(min=1)


def unreduced(loss_func: Any) -> Any:
    """The loss without averaging (a copy), or None when it has no such mode."""
    if isinstance(loss_func, nn.Module):
        if not hasattr(loss_func, "reduction"):
            return None
        single = copy.copy(loss_func)
        single.reduction = "none"  # type: ignore[assignment]
        return single
    try:
        takes = "reduction" in inspect.signature(loss_func).parameters
    except (TypeError, ValueError):
        takes = False
    return functools.partial(loss_func, reduction="none") if takes else None


def _slice(value: Any, i: int) -> Any:
    return tuple(v[i : i + 1] for v in value) if isinstance(value, (tuple, list)) else value[i : i + 1]
