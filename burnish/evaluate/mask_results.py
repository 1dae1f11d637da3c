"""How good a model of masks is: from the pixels counted in each picture, so that no output need be kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from burnish.data.block import Block
from burnish.errors import DataError
from burnish.evaluate.outcome import target_block
from burnish.evaluate.segmentation import MaskMetric, counts_of_masks
from burnish.train.callback import Callback
from burnish.train.metric import Metric
from burnish.train.predict import gathered, loader_of
from burnish.train.readout import in_full, sample_losses

if TYPE_CHECKING:
    from burnish.train.learner import Learner


def is_of_masks(learn: Learner) -> bool:
    """Whether the one target of the data is a mask."""
    block = target_block(learn)
    return block is not None and block.kind == "mask"


class MaskCounts:
    """Pixels counted by picture and class ``(pictures, 3, classes)``: right, actual, predicted; on the device as they come."""

    def __init__(self) -> None:
        self._batches: list[Tensor] = []
        self.rows: list[int] = []

    def add(self, output: Tensor, target: Tensor, rows: Sequence[int] | None) -> None:
        """The counts of a batch; `rows` are the samples' places in the table."""
        self._batches.append(counts_of_masks(output.detach(), target, "the results"))
        self.rows.extend(rows or range(len(self.rows), len(self.rows) + len(target)))

    def __len__(self) -> int:
        return len(self.rows)

    def whole(self) -> Tensor:
        """All of them, float64 on the CPU."""
        return torch.cat(self._batches).cpu().double()


def rows_of_counts(metrics: Sequence[Metric], counts: Tensor, groups: Sequence[Any] | None) -> list[dict[str, Any]]:
    """The rows of ``assess``, one a metric of masks: value, 95 % interval over pictures (or groups of them), and what one class everywhere scores."""
    numbers = None if groups is None else np.unique([str(g) for g in groups], return_inverse=True)[1]
    constant = one_class_everywhere(counts)
    rows = []
    for metric in metrics:
        if isinstance(metric, MaskMetric):
            low, high = metric.interval_of(counts, groups=numbers)
            value, base = (float(metric.score(c.sum(0))) for c in (counts, constant))
            rows.append({"metric": metric.name, "value": value, "low": low, "high": high, "baseline": base, "n": len(counts)})
    return rows


def one_class_everywhere(counts: Tensor) -> Tensor:
    """The counts of who answers the most frequent class for every pixel."""
    most = int(counts[:, 1].sum(0).argmax())
    made = torch.zeros_like(counts)
    made[:, 1] = counts[:, 1]
    made[:, 0, most], made[:, 2, most] = counts[:, 1, most], counts[:, 1].sum(1)
    return made


def said_of(counts: Tensor, block: Block | None) -> str:
    """What that baseline does, in words."""
    most = int(counts[:, 1].sum(0).argmax())
    names = getattr(block, "vocab", None) or []
    return f"always answering {names[most]!r}" if most < len(names) else f"always answering class {most}"


class MaskGather(Callback):
    """Counts and losses of one pass."""

    order = 48

    def __init__(self) -> None:
        self.counts, self.losses = MaskCounts(), list[Tensor]()

    def after_batch(self, learn: Learner) -> None:
        if learn.pred is None:
            return
        if not learn.yb:
            raise DataError("There are no masks to compare with: make the loader with labels, learn.dls.test_dl(items, with_labels=True).")
        output = in_full(learn.pred)
        self.counts.add(output, learn.yb[0], getattr(learn.dl, "last_rows", None))
        self.losses.append(sample_losses(learn.loss_func, output, learn.yb).detach())

    def result(self) -> tuple[MaskCounts, Tensor]:
        return self.counts, torch.cat(self.losses).cpu().float()

    def discard(self) -> None:
        self.losses = []


def count_split(learn: Learner, split: str, dl: Any = None) -> tuple[MaskCounts, Tensor]:
    """One inference pass over a split (or over `dl`): the counts, and the loss of each picture ``(pictures,)``."""
    return gathered(learn, loader_of(learn, split, dl), MaskGather())
