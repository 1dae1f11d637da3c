"""Where a model errs, with fastai's names."""

from __future__ import annotations

from typing import Any

import numpy as np

from burnish.data.batches import RowLoader
from burnish.errors import SettingError
from burnish.evaluate.interpret import Interpretation

__all__ = ["SegmentationInterpretation"]


class SegmentationInterpretation(Interpretation):
    """The interpretation of masks: ``from_learner`` gives burnish's own of them."""


def __getitem__(self: Interpretation, idxs: Any) -> tuple[Any, ...]:
    """(inputs, predictions, targets, decisions, losses) of samples by their positions in the split.

    Raises:
        SettingError: a position is outside.
    """
    places = (
        [idxs]
        if isinstance(idxs, (int, np.integer))
        else [int(i) for i in (range(*idxs.indices(len(self))) if isinstance(idxs, slice) else idxs)]
    )
    n = len(self)
    outside = [i for i in places if not -n <= i < n]
    if outside:
        raise SettingError(f"interp[{outside[0]}]: there are {n} samples, 0 to {n - 1}.")
    places = [int(i) % n for i in places]
    loader = self._loader()
    assert isinstance(loader, RowLoader)
    found = self.learn.get_preds(dl=loader.of_rows(self.rows[places]), with_input=True, with_decoded=True, with_loss=True)
    return found.inputs, found.preds, found.targs, found.decoded, found.losses
