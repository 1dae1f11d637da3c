"""The training loop: plain PyTorch, with places where callbacks may act. Read it; nothing is hidden elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from burnish.errors import DataError, SettingError
from burnish.train.callback import (
    EVENTS,
    Callback,
    CancelBatchException,
    CancelEpochException,
    CancelFitException,
    CancelStepException,
    CancelTrainException,
    CancelValidException,
)
from burnish.train.guards import compute_loss
from burnish.train.precision import use_usual_layout

if TYPE_CHECKING:
    from burnish.train.learner import Learner


_EVENTS = frozenset(EVENTS)


def fit_loop(learn: Learner) -> None:
    """Trains ``learn.model`` from ``learn.start_epoch`` to ``learn.n_epochs``.

    ``fire("...")`` calls the callbacks' methods of that name. A Cancel exception raised by one of them ends the part it
    names and the loop goes on behind it, with the part's ``after_`` event. Any other exception ends training and keeps
    its type and traceback; ``after_fit`` runs in every case. Nothing in here reads a value back from the device.
    """
    fire, opt, precision = learn.events, learn.opt, learn.precision
    try:
        fire.begin()  # before_fit
        for epoch in range(learn.start_epoch, learn.n_epochs):
            learn.epoch = epoch
            try:
                fire("before_epoch")
                try:
                    learn.start_pass(learn.dls.train, training=True)
                    fire("before_train")
                    for i, batch in enumerate(learn.batches, start=learn.start_batch):
                        learn.batch_index, learn.progress = i, (epoch + i / learn.n_batches) / learn.n_epochs
                        try:
                            learn.xb, learn.yb = split_batch(batch, learn.n_inp)
                            learn.pred = learn.loss = None
                            fire("before_batch")
                            with precision.autocast():
                                learn.pred = run_model(learn.model, learn.xb)
                                fire("after_pred")
                                learn.loss = compute_loss(learn.loss_func, learn.pred, learn.yb)
                                fire("after_loss")
                            fire("before_backward")
                            precision.scale(learn.loss).backward()
                            fire("before_step")
                            precision.step(opt)
                            learn.step, learn.keep_gradients = learn.step + 1, False
                            fire("after_step")
                        except (CancelStepException, CancelBatchException):
                            pass
                        if not learn.keep_gradients:
                            opt.zero_grad()
                        fire("after_batch")
                except CancelTrainException:
                    pass
                learn.start_batch = 0  # only the first epoch after resuming begins in its middle
                fire("after_train")
                if learn.has_valid:
                    valid_pass(learn, learn.dls.valid)
            except CancelEpochException:
                learn.start_batch = 0
            fire("after_epoch")
    except CancelFitException:
        pass
    except BaseException as error:  # Ctrl-C too
        learn.exception = error
        fire("on_exception")
        raise
    finally:
        fire.finish()  # after_fit, in reverse order


@torch.no_grad()
def valid_pass(learn: Learner, dl: Any) -> None:
    """One pass over `dl` without learning: what validation, ``validate`` and ``get_preds`` run."""
    fire = learn.events
    try:
        learn.start_pass(dl, training=False)
        fire("before_validate")
        for learn.batch_index, batch in enumerate(dl):
            try:
                learn.xb, learn.yb = split_batch(batch, learn.n_inp)
                learn.pred = learn.loss = None
                fire("before_batch")
                with learn.precision.autocast():
                    learn.pred = run_model(learn.model, learn.xb)
                    fire("after_pred")
                    if learn.yb:
                        learn.loss = compute_loss(learn.loss_func, learn.pred, learn.yb)
                        fire("after_loss")
            except CancelBatchException:
                pass
            fire("after_batch")
    except CancelValidException:
        pass
    fire("after_validate")


class Events:
    """The callbacks of one run, bound once: calling it with an event's name calls who overrides that event, in order."""

    def __init__(self, learn: Learner, cbs: Sequence[Callback]) -> None:
        self.learn = learn
        self.cbs = sorted(cbs, key=lambda cb: cb.order)  # sorted() is stable: equal orders keep the order of adding
        self._begun: list[Callback] = []
        self._calls: dict[str, list[Any]] = {event: [] for event in EVENTS}
        for cb in self.cbs:
            for event in _overridden(cb):
                self._calls[event].append(getattr(cb, event))

    def __call__(self, event: str) -> None:
        for call in self._calls[event]:
            call(self.learn)

    def begin(self) -> None:
        """``before_fit`` of all; remembers who was asked, for they are who must clean up."""
        for cb in self.cbs:
            self._begun.append(cb)
            cb.before_fit(self.learn)

    def finish(self) -> None:
        """``after_fit`` of all who began, the last first. An error in one doesn't keep the others from cleaning up."""
        first: BaseException | None = None
        while self._begun:
            try:
                self._begun.pop().after_fit(self.learn)
            except CancelFitException:
                pass
            except BaseException as error:
                first = first or error
        if first is not None:
            raise first

    def who(self) -> dict[str, list[str]]:
        """Event to the callbacks that act at it, in order."""
        return {event: [type(call.__self__).__name__ for call in calls] for event, calls in self._calls.items()}

    def rebound(self, cbs: Sequence[Callback]) -> Events:
        """The same run with other callbacks, for one who adds or removes callbacks in the middle of it."""
        new = Events(self.learn, cbs)
        new._begun = self._begun
        return new


def _overridden(cb: Callback) -> set[str]:
    """The events at which a callback acts: those that it has itself, or a class of it before Callback."""
    classes = type(cb).__mro__
    parts = [vars(cb), *map(vars, classes[: classes.index(Callback)])]
    return {event for part in parts for event in _EVENTS & part.keys()}


def split_batch(batch: Any, n_inp: int | None) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """A batch as (inputs, targets).

    A tuple or list is cut after `n_inp` elements, or before its last when `n_inp` is None. A mapping (as Hugging Face
    collators give) is one input, its "labels" the target. A lone tensor is an input without target.
    """
    if isinstance(batch, (tuple, list)):
        cut = max(1, len(batch) - 1) if n_inp is None else n_inp
        return tuple(map(plain, batch[:cut])), tuple(map(plain, batch[cut:]))
    if isinstance(batch, Tensor):
        return (plain(batch),), ()
    if isinstance(batch, Mapping):
        inputs = {k: v for k, v in batch.items() if k != "labels"}
        return (inputs,), ((batch["labels"],) if "labels" in batch else ())
    raise DataError(
        f"A batch is a {type(batch).__name__}; expected a tuple or list of tensors (inputs, then targets), a dict, or a tensor."
    )


def plain(x: Any) -> Any:
    """A tensor of a subclass (torchvision's `tv_tensors`, say) as a plain one, at no cost; of tuples and lists their elements; all else as it is."""
    if isinstance(x, Tensor):
        return x if type(x) is Tensor or isinstance(x, nn.Parameter) else x.as_subclass(Tensor)
    if isinstance(x, (tuple, list)) and not hasattr(x, "_fields"):
        return type(x)(map(plain, x))
    return x


def run_model(model: nn.Module, xb: tuple[Any, ...]) -> Any:
    """The model's output: ``model(*xb)``, or ``model(**inputs)`` for a mapping, of whose result ``.logits`` is taken; of a
    mapping that the model returns, "logits".

    Raises:
        DataError: a batch of one sample can't be normalised.
    """
    by_name = len(xb) == 1 and isinstance(xb[0], Mapping)
    try:
        output = model(**xb[0]) if by_name else model(*xb)
    except RuntimeError as error:
        if "view size is not compatible" not in str(error) or not any(isinstance(x, Tensor) and x.ndim == 4 for x in xb):
            raise
        if not use_usual_layout(model):  # it is something else then
            raise
        return run_model(model, tuple(x.contiguous() if isinstance(x, Tensor) else x for x in xb))
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise DataError(
            "A batch of 1 sample reached a BatchNorm layer, which has no statistics of one value: batches of 1 don't go with BatchNorm in training. "
            "Use bs=2 or more; where only the last batch of an epoch is that small, drop_last=True leaves it out."
        ) from error
    if isinstance(output, Mapping):
        return output.get("logits", output)
    return getattr(output, "logits", output) if by_name else output


def count_batches(dl: Any, split: str) -> int:
    """``len(dl)``, at least 1. Raises DataError when there is nothing to iterate over, or no way to know how much."""
    try:
        n = len(dl)
    except TypeError:
        raise SettingError(
            f"The {split} loader has no length (an IterableDataset?), so schedules and progress can't be laid out. "
            "Give its dataset a __len__ (number of samples), or wrap the loader in a class with __len__ (number of batches)."
        ) from None
    if n == 0:
        raise DataError(
            f"The {split} loader has no batches: its {getattr(dl, 'n', 0)} sample(s) don't fill one of {getattr(dl, 'bs', '?')}. "
            "Use a smaller batch size (bs=), keep the last incomplete batch (drop_last=False), or add data."
        )
    return n
