"""Names of the training loop's parts that only code for fastai uses."""

from __future__ import annotations

from burnish.compat.callback import Callback
from burnish.train.metric import AverageMetric
from burnish.train.progress import Progress
from burnish.train.recorder import Recorder

__all__ = ["AvgMetric", "CastToTensor", "ProgressCallback", "Recorder"]

AvgMetric = AverageMetric
ProgressCallback = Progress


class CastToTensor(Callback):
    """Stands for what needn't be done: in burnish's training step there are plain tensors only."""

    order = 9
