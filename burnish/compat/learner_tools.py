"""What notebooks for fastai ask of a learner, under the names that they use."""

from __future__ import annotations

from typing import Any

import torch

from burnish.train.learner import Learner


def _one(batch: tuple[Any, ...]) -> Any:
    return batch[0] if len(batch) == 1 else batch


def _other(name: str, doc: str) -> property:
    return property(lambda self: getattr(self, name), doc=doc)


n_epoch = _other("n_epochs", "How many epochs the fit has.")
iter = _other("batch_index", "The batch's number in this pass.")
n_iter = _other("n_batches", "How many batches this pass has.")
train_iter = _other("step", "The steps since the fit began.")


def _pct_train(self: Learner) -> float:
    """How much of the fit is done, 0 to 1: after a batch with this batch."""
    steps = self.n_epochs * len(self.dls.train) if self.step and len(self.dls) else 0
    return max(self.progress, min(1.0, self.step / steps)) if steps else self.progress


pct_train = property(_pct_train, doc=_pct_train.__doc__)
x = property(lambda self: _one(self.xb), doc="The input of the batch, or a tuple of several.")
y = property(lambda self: _one(self.yb), doc="The target of the batch, or a tuple of several.")
loss_grad = property(lambda self: self.loss, lambda self, value: setattr(self, "loss", value), doc="The loss that is differentiated.")
smooth_loss = property(lambda self: torch.as_tensor(self.recorder.smooth_loss), doc="The training loss, smoothed over batches.")
final_record = property(lambda self: self.recorder.values[-1], doc="What the last epoch's row says.")


def logger(self: Learner, row: Any) -> None:
    """Prints a row."""
    print(*row)
