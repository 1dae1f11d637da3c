"""The parts of training one by one, as notebooks for fastai call them, and what a learner has of its model."""

from __future__ import annotations

from typing import Any

from burnish.compat.callback import EVENTS
from burnish.compat.torch_tools import to_device
from burnish.data.collections import L
from burnish.errors import SettingError, nearest
from burnish.train.attached import HasCallbacks
from burnish.train.callback import CancelBatchException, CancelStepException
from burnish.train.guards import compute_loss
from burnish.train.learner import Learner
from burnish.train.loop import run_model, split_batch


def ordered_cbs(self: Learner, event: str) -> L[Any]:
    """The callbacks that have this event, in the order in which they run."""
    return L([cb for cb in sorted(self.cbs, key=lambda cb: cb.order) if hasattr(cb, event)])


def __call__(self: Learner, event_name: Any) -> None:
    """Has the callbacks do what they do at an event, or at several: ``learn("before_fit")``."""
    for name in [event_name] if isinstance(event_name, str) else list(event_name):
        if name not in EVENTS:
            raise SettingError(f"learn({name!r}): there is no such event.{nearest(name, EVENTS)} The events are: {', '.join(EVENTS)}.")
        for cb in ordered_cbs(self, name):
            getattr(cb, name)(self)


def one_batch(self: Learner, i: int, b: Any) -> None:
    """What the loop does with one batch: the model, the loss and, while ``learn.training``, backward and the optimizer's step; with its events."""
    if not self.running:
        with self.bound(self.acting_cbs()):
            _one(self, i, b)
    else:
        _one(self, i, b)


def _one(learn: Learner, i: int, b: Any) -> None:
    fire = learn.events
    learn.batch_index = i
    if learn.training and learn.opt is None:
        learn.create_opt()
    try:
        learn.xb, learn.yb = (tuple(to_device(t, learn.device) for t in part) for part in split_batch(b, learn.n_inp))
        learn.pred = learn.loss = None
        fire("before_batch")
        learn.pred = run_model(learn.model, learn.xb)
        fire("after_pred")
        if learn.yb:
            learn.loss = compute_loss(learn.loss_func, learn.pred, learn.yb)
            fire("after_loss")
        if learn.training and learn.yb:
            fire("before_backward")
            learn.loss.backward()
            fire("before_step")
            learn.opt.step()  # pyright: ignore[reportOptionalMemberAccess]
            learn.step += 1
            fire("after_step")
    except (CancelBatchException, CancelStepException):
        pass
    if learn.training and learn.opt is not None and not learn.keep_gradients:
        learn.opt.zero_grad()
    fire("after_batch")


def all_batches(self: Learner) -> None:
    """`one_batch` for every batch of ``learn.dl``, or of the training loader where none is in use."""
    dl = self.dl if self.dl is not None else self.dls.train
    self.n_batches = len(dl)
    for i, b in enumerate(dl):
        self.one_batch(i, b)  # type: ignore[attr-defined]


_own_getattr = HasCallbacks.__getattr__


def __getattr__(self: Any, name: str) -> Any:
    """A callback by its name, else what the model has of that name: ``learn.parameters()``."""
    try:
        return _own_getattr(self, name)
    except AttributeError:
        model = self.__dict__.get("_model")
        if model is None or name.startswith("_") or not hasattr(model, name):
            raise
        return getattr(model, name)
