"""Several targets at once: one loss that is the sum of theirs, and outputs divided among them."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from burnish.data.block import Block
from burnish.errors import DataError


class JointLoss(nn.Module):
    """The sum of one loss a target: ``loss(outputs, *targets)``, a tuple of outputs and as many targets.

    Args:
        losses: one a target, each with a settable ``reduction``. Those of RegressionBlock are of the size of cross-entropy, so that no
            target drowns the others.
    """

    def __init__(self, losses: Sequence[nn.Module]) -> None:
        super().__init__()
        self.losses = nn.ModuleList(losses)

    @property
    def reduction(self) -> Any:
        """ "mean", "sum" or "none" (the loss of each sample)."""
        return self.losses[0].reduction

    @reduction.setter
    def reduction(self, value: Any) -> None:
        for loss in self.losses:
            loss.reduction = value

    def __copy__(self) -> JointLoss:
        """A copy whose losses are copies too: another reduction is that one's alone."""
        return JointLoss([copy.copy(loss) for loss in self.losses])

    def forward(self, outputs: Sequence[Tensor], *targets: Tensor) -> Tensor:
        if not isinstance(outputs, (tuple, list)) or len(outputs) != len(self.losses) or len(targets) != len(self.losses):
            got = f"{len(outputs)} outputs" if isinstance(outputs, (tuple, list)) else "one tensor"
            raise DataError(
                f"The loss is of {len(self.losses)} targets; it got {got} and {len(targets)} targets. The model must give a tuple, one output a target."
            )
        parts = [loss(out, target) for loss, out, target in zip(self.losses, outputs, targets, strict=True)]
        if self.reduction == "none":
            parts = [part.reshape(len(target), -1).mean(1) for part, target in zip(parts, targets, strict=True)]
        return torch.stack(parts).sum(0)


def final_of(blocks: Iterable[Block], n_out: int) -> nn.Module | None:
    """What a model of these targets ends in: a target's own final layer; of several targets, one that divides the outputs among them.
    None where the model has other outputs than theirs."""
    targets = list(blocks)
    if not targets or sum(block.n_out for block in targets) != n_out:
        return None
    if len(targets) == 1:
        return targets[0].final()
    return JointOutput([block.n_out for block in targets], [block.final() for block in targets])


def first_outputs(blocks: Sequence[Block]) -> tuple[Tensor, Tensor]:
    """What the raw outputs of a model of these targets begin with, and which of them begin so for every sample; both ``(outputs,)``."""
    first = [block.prior() for block in blocks]
    outputs = [torch.zeros(block.n_out) if prior is None else prior for block, prior in zip(blocks, first, strict=True)]
    flat = [torch.full((block.n_out,), block.begins_flat) for block in blocks]
    return torch.cat([*outputs, torch.zeros(0)]), torch.cat([*flat, torch.zeros(0, dtype=torch.bool)])


class JointOutput(nn.Module):
    """The last layer of a model of several targets: ``(batch, sum of widths)`` to a tuple, each part through its own final layer.

    Args:
        widths: how many outputs each target has. finals: what each ends in, or None.
    """

    def __init__(self, widths: Sequence[int], finals: Sequence[nn.Module | None]) -> None:
        super().__init__()
        self.widths = list(widths)
        self.finals = nn.ModuleList(final or nn.Identity() for final in finals)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(final(part) for final, part in zip(self.finals, x.split(self.widths, dim=1), strict=True))
