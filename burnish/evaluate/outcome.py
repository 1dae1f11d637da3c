"""From a learner to what can be judged: the raw outputs of a split, and what they mean, from one inference pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from burnish.data.block import Block
from burnish.data.multicategory import MultiCategoryBlock
from burnish.data.whole import whole_number
from burnish.errors import DataError, SettingError, nearest
from burnish.evaluate.losses import BCEWithLogitsLossFlat

if TYPE_CHECKING:
    from burnish.train.learner import Learner
    from burnish.train.metric import Metric

SPLITS = ("train", "valid", "test")
_SURE = 1e-6  # how near to 0 and 1 a threshold is taken to lie, at the least
TARGET_KINDS = {"category": "category", "multicategory": "labels", "number": "numbers"}  # a block's kind -> what is predicted


class Outcome(NamedTuple):
    """What one pass over a split gave, the samples in order, all on the CPU.

    Attributes:
        output: raw outputs ``(samples, ...)``.
        target: targets ``(samples, ...)``.
        losses: the loss of each sample ``(samples,)``.
        rows: the position of each sample in ``dls.table`` (or among the items of a loader of its own).
        held_out: the outputs as metrics that go by thresholds are to be given them, where those were chosen on these very samples: see ``held_out_of``.
    """

    output: Tensor
    target: Tensor
    losses: Tensor
    rows: np.ndarray
    held_out: Tensor | None = None

    def output_for(self, metric: Metric) -> Tensor:
        """The outputs that a metric is to be given."""
        return self.held_out if self.held_out is not None and metric.by_thresholds else self.output


def split_name(which: int | str) -> str:
    """ "valid" for 1 or "valid". Raises SettingError for what isn't a split."""
    index = whole_number(which, least=0)
    if index is not None and index < 3:
        return SPLITS[index]
    if which in SPLITS:
        return str(which)
    raise SettingError(f"There is no split {which!r}: expected 'train', 'valid' or 'test' (or 0, 1, 2).{nearest(str(which), SPLITS)}")


def run(learn: Learner, split: str = "valid", dl: Any = None) -> Outcome:
    """One inference pass over a split, or over `dl`.

    Raises:
        DataError: there are no targets to compare with, or several.
    """
    found = learn.get_preds(split, dl, with_loss=True, act=nn.Identity())
    output, target, losses = found.preds, found.targs, found.losses
    if isinstance(output, tuple) and isinstance(target, tuple):
        raise DataError(
            f"The model has {len(target)} targets, and here one is judged. Of several: learn.validate() gives the loss and each target's metrics, "
            "learn.get_preds(with_decoded=True, with_loss=True) each sample's predictions and loss, learn.show_results() shows them."
        )
    if not isinstance(output, Tensor) or not isinstance(target, Tensor):
        raise DataError(
            f"Only one output and one target per sample can be judged here; the model gives {_counted(output)} and the data {_counted(target)}."
        )
    output = output.detach().cpu()
    held = held_out_of(learn, output, found.rows, None if dl is not None else split)
    return Outcome(output, target.detach().cpu(), losses.detach().cpu().float(), found.rows, held)


def held_out_of(learn: Learner, output: Tensor, rows: Sequence[int] | np.ndarray, split: str | None) -> Tensor | None:
    """Outputs moved so that the thresholds of the labels decide on each row as thresholds chosen without it would; None where they were
    chosen on other rows. Judged by thresholds chosen on it, a model looks better than it is."""
    block = target_block(learn)
    if not isinstance(block, MultiCategoryBlock) or block.thresholds is None or block.held_out is None or block.held_out.split != split:
        return None
    held = block.held_out
    place = {row: i for i, row in enumerate(held.rows.tolist())}
    used = np.array(block.thresholds)
    own = np.stack([held.thresholds[place[row]] if row in place else used for row in rows])
    of_all, of_each = torch.from_numpy(used).logit(_SURE), torch.from_numpy(own).logit(_SURE)
    return output + (of_all - of_each).to(output.dtype)


def groups_of(dls: Any, rows: np.ndarray) -> list[Any] | None:
    """The group (patient, site ...) of each row of ``dls.table``; None when the table has no groups."""
    table = getattr(dls, "table", None)
    if table is None or "group" not in table or not len(table) or table["group"].isna().any():
        return None
    return table["group"].iloc[rows].tolist()


def _counted(value: Any) -> str:
    return f"{len(value)} of them" if isinstance(value, (tuple, list)) else "one"


def target_block(learn: Learner) -> Block | None:
    """The block of the one target; None for plain PyTorch loaders."""
    blocks = list(getattr(learn.dls, "blocks", None) or [])
    targets = blocks[learn.dls.n_inp :] if blocks else []
    return targets[0] if len(targets) == 1 else None


def task(learn: Learner, output: Tensor, target: Tensor) -> str:
    """What is predicted: "category" (one label), "labels" (several), "numbers", or "other" (masks, points ...)."""
    block = target_block(learn)
    if block is not None:
        return TARGET_KINDS.get(block.kind, "other")
    if not target.is_floating_point() and target.ndim == 1 and output.ndim == 2 and output.shape[1] > 1:
        return "category"
    if isinstance(learn.loss_func, (nn.BCEWithLogitsLoss, BCEWithLogitsLossFlat)):
        return "labels"
    return "numbers" if target.is_floating_point() and target.ndim <= 2 else "other"
