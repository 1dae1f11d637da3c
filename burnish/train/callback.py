"""Callbacks: plain classes that get the learner as an argument, and the exceptions that steer the loop."""

from __future__ import annotations

import difflib
import inspect
from typing import TYPE_CHECKING, ClassVar

from burnish.errors import hinting, nearest

if TYPE_CHECKING:
    from burnish.train.learner import Learner
    from burnish.train.recorder import Recorder

EVENTS = (
    "before_fit", "before_epoch", "before_train", "before_batch", "after_pred", "after_loss", "before_backward",
    "before_step", "after_step", "after_batch", "after_train", "before_validate", "after_validate", "after_epoch",
    "after_fit", "on_exception",
)  # fmt: skip


class CancelBatchException(Exception):
    """Raised in a callback: leave the rest of this batch out, go on with the next."""


class CancelStepException(Exception):
    """Raised in a callback: leave the optimizer's step out (gradients are dropped unless a callback keeps them)."""


class CancelTrainException(Exception):
    """Raised in a callback: end this epoch's training pass, go on to validation."""


class CancelValidException(Exception):
    """Raised in a callback: end this epoch's validation pass."""


class CancelEpochException(Exception):
    """Raised in a callback: end this epoch, go on with the next."""


class CancelFitException(Exception):
    """Raised in a callback: end training now, in good order."""


class Callback:
    """Does something at the events of training. Override any of the event methods; each gets the learner.

    What a learner holds during training: ``xb``, ``yb`` (tuples of tensors), ``pred``, ``loss``, ``epoch``,
    ``n_epochs``, ``batch_index``, ``n_batches``, ``step`` (optimizer steps since the start of fit), ``progress``
    (0 to 1 over the whole fit), ``training``, ``dl``, ``opt``, ``model``, ``device``.

    ``after_fit`` runs however the fit ends (also by Ctrl-C or an error), in reverse order; restore there what was
    changed. ``on_exception`` runs before it when an exception that is not a Cancel exception ends the fit; it finds it
    in ``learn.exception``. The loop's events inside a batch (``before_batch`` to ``after_batch``) fire in training and
    in validation: ask ``learn.training``.

    Class attributes:
        order: callbacks run by ascending order, then in the order they were added.
    """

    order: ClassVar[float] = 0

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "__init__" in vars(cls) and cls.__module__.startswith("burnish."):
            cls.__init__ = hinting(cls.__init__)

    def before_fit(self, learn: Learner) -> None: ...
    def before_epoch(self, learn: Learner) -> None: ...
    def before_train(self, learn: Learner) -> None: ...
    def before_batch(self, learn: Learner) -> None: ...
    def after_pred(self, learn: Learner) -> None: ...
    def after_loss(self, learn: Learner) -> None: ...
    def before_backward(self, learn: Learner) -> None: ...
    def before_step(self, learn: Learner) -> None: ...
    def after_step(self, learn: Learner) -> None: ...
    def after_batch(self, learn: Learner) -> None: ...
    def after_train(self, learn: Learner) -> None: ...
    def before_validate(self, learn: Learner) -> None: ...
    def after_validate(self, learn: Learner) -> None: ...
    def after_epoch(self, learn: Learner) -> None: ...
    def after_fit(self, learn: Learner) -> None: ...
    def on_exception(self, learn: Learner) -> None: ...

    def in_validate(self, split: str | None, recorder: Recorder) -> Callback | None:
        """A callback that takes part in a ``learn.validate()`` outside of a fit, on behalf of this one, which watches fits.

        Args:
            split: "train", "valid" or "test"; None for a loader of its own.
            recorder: what this validation finds.
        """
        return None

    def state_dict(self) -> dict[str, object]:
        """What a checkpoint must keep of this callback (tensors, numbers, strings, lists, dicts of them)."""
        return {}

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Takes back what ``state_dict`` gave."""

    @property
    def name(self) -> str:
        """`early_stopping` for EarlyStopping: how the learner's attributes call it."""
        return snake(type(self).__name__.removesuffix("Callback")) or "callback"

    def __repr__(self) -> str:
        return type(self).__name__


def snake(name: str) -> str:
    """`EarlyStopping` as `early_stopping`; `CSVLog` as `csv_log`."""
    out = ""
    for i, c in enumerate(name):
        starts = c.isupper() and i and (not name[i - 1].isupper() or (i + 1 < len(name) and name[i + 1].islower()))
        out += ("_" if starts else "") + c.lower()
    return out


def check_events(cb: Callback) -> None:
    """Raises TypeError for a method that looks like an event but is none (`after_epoc`, `befor_fit`), as it would silently
    never run, and for an event that doesn't take the learner."""
    for attribute in dir(cb):
        if attribute in EVENTS:
            _check_takes_learner(cb, attribute)
            continue
        looks = attribute.startswith(("before_", "after_", "on_")) or difflib.get_close_matches(attribute, EVENTS, cutoff=0.89)
        if looks and callable(getattr(type(cb), attribute, None)):
            raise TypeError(
                f"{type(cb).__name__}.{attribute} is not an event of training, so it would never run. The events are: {', '.join(EVENTS)}.{nearest(attribute, EVENTS)}"
            )


def _check_takes_learner(cb: Callback, event: str) -> None:
    try:
        inspect.signature(getattr(cb, event)).bind("learn")
    except TypeError:
        raise TypeError(
            f"{type(cb).__name__}.{event} is called with the learner, and doesn't take it. Write def {event}(self, learn), and learn.model where fastai has self.model."
        ) from None
