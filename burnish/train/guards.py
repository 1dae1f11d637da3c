"""Guards around the loss: shapes that would silently broadcast, and targets that can't be right, are said in words."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from burnish.data.notes import note
from burnish.data.number import checked_range
from burnish.errors import DataError, SettingError, listed
from burnish.train.callback import Callback

if TYPE_CHECKING:
    from burnish.data.dataloaders import DataLoaders
    from burnish.train.learner import Learner

ELEMENTWISE = (nn.MSELoss, nn.L1Loss, nn.SmoothL1Loss, nn.HuberLoss, nn.BCEWithLogitsLoss, nn.BCELoss)
ELEMENTWISE_FUNCTIONS = {F.mse_loss, F.l1_loss, F.smooth_l1_loss, F.huber_loss, F.binary_cross_entropy_with_logits, F.binary_cross_entropy}
CLASS_INDEX = (nn.CrossEntropyLoss, nn.NLLLoss)
CLASS_INDEX_FUNCTIONS = {F.cross_entropy, F.nll_loss}
LOG_PROBABILITIES = {nn.NLLLoss, F.nll_loss}  # what these expect of an output
CLOSE = 1e-2  # to 1, the sum of probabilities, also of half-precision ones


def compute_loss(loss_func: Any, pred: Any, yb: tuple[Any, ...]) -> Tensor:
    """``loss_func(pred, *yb)``, with a target of an elementwise loss brought to the output's shape and type.

    Raises:
        DataError: the target's shape, type or values can't fit the output; the message gives both.
    """
    if not yb:
        raise DataError("The batches have no target to compute a loss with: give each batch as (input, target), or set dls.n_inp.")
    if not isinstance(pred, Tensor) and (is_elementwise(loss_func) or of_classes(loss_func)):
        raise DataError(
            f"The model returned {_described(pred)}, and {loss_name(loss_func)} needs one tensor, or a dict with the key 'logits'. Return that from the model's forward, or pass a loss_func of your own, called with what the model returns."
        )
    if len(yb) == 1 and isinstance(pred, Tensor) and is_elementwise(loss_func):
        yb = (match_target(pred, yb[0], loss_func),)
    try:
        return loss_func(pred, *yb)
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, ValueError, IndexError) as error:
        raise_explained(error, loss_func, pred, yb)


def is_elementwise(loss_func: Any) -> bool:
    """Whether the loss compares output and target element by element, so that unequal shapes would broadcast."""
    return isinstance(loss_func, ELEMENTWISE) or (not isinstance(loss_func, nn.Module) and _function(loss_func) in ELEMENTWISE_FUNCTIONS)


def is_class_index(loss_func: Any) -> bool:
    """Whether the loss takes class indices as target (cross-entropy and the like)."""
    return isinstance(loss_func, CLASS_INDEX) or (not isinstance(loss_func, nn.Module) and _function(loss_func) in CLASS_INDEX_FUNCTIONS)


def of_classes(loss_func: Any) -> bool:
    """Whether the loss, PyTorch's or burnish's own, needs one output a class."""
    return is_class_index(loss_func) or getattr(loss_func, "of_raw_classes", False)


def match_target(pred: Tensor, target: Tensor, loss_func: Any) -> Tensor:
    """The target in the output's shape (when both have as many elements) and floating type."""
    if target.shape != pred.shape:
        if target.numel() != pred.numel():
            raise DataError(
                f"{loss_name(loss_func)} compares element by element, but the output is {_described(pred)} and the target {_described(target)}. "
                "They would be broadcast to a meaningless number. Give the model as many outputs as the target has values (n_out), or use the loss "
                "of the task (for class indices: nn.CrossEntropyLoss)."
            )
        target = target.reshape(pred.shape)
    return target if target.is_floating_point() else target.to(pred.dtype)


def raise_explained(error: Exception, loss_func: Any, pred: Any, yb: tuple[Any, ...]) -> NoReturn:
    """Raises `error` with what the loss was given; for a class-index loss as a DataError that says what is wrong."""
    given = f"{loss_name(loss_func)} got the output {_described(pred)} and the target {', '.join(map(_described, yb))}"
    wrong = (
        _class_index_fault(pred, yb[0]) if is_class_index(loss_func) and isinstance(pred, Tensor) and isinstance(yb[0], Tensor) else None
    )
    if wrong is not None:
        raise DataError(f"{given}. {wrong}") from error
    error.add_note(f"{given}.")
    raise error


def _class_index_fault(pred: Tensor, target: Tensor) -> str | None:
    if pred.ndim < 2:
        return "The output needs a class axis: (batch, classes). Does the model end in one output per class (n_out)?"
    if target.is_floating_point() and target.shape != pred.shape:
        return "Class indices must be whole numbers (int64), or probabilities of the output's own shape. For numbers to predict use nn.MSELoss (RegressionBlock)."
    if not target.is_floating_point() and target.shape != (pred.shape[0], *pred.shape[2:]):
        return (
            f"Expected a target of shape {(pred.shape[0], *pred.shape[2:])}: one class index where the output has {pred.shape[1]} scores."
        )
    if not target.is_floating_point() and target.device.type == "cpu":
        low, high = int(target.min()), int(target.max())
        if low < 0 or high >= pred.shape[1]:
            return f"The class indices go from {low} to {high}, but the model has {pred.shape[1]} outputs, for indices 0 to {pred.shape[1] - 1}. Set n_out={high + 1}, or mend the labels."
    return None


def unfitting_scale(loss_func: Any, pred: Tensor) -> str | None:
    """What is wrong with outputs ``(batch, classes, ...)`` that are probabilities, or no log-probabilities, for a loss of
    PyTorch's or burnish's own; None if nothing. Reads one value from the device."""
    expected = _function(loss_func) if not isinstance(loss_func, nn.Module) else type(loss_func)
    pred, axis = pred.detach().float(), getattr(loss_func, "axis", 1)
    if expected in LOG_PROBABILITIES:
        if bool((pred.logsumexp(axis).abs() < CLOSE).all()):
            return None
        return f"{loss_name(loss_func)} expects log-probabilities, and the model's outputs are none: the loss means nothing, and can fall for ever. Use nn.CrossEntropyLoss, or end the model in nn.LogSoftmax(dim=1)."
    if expected not in (nn.CrossEntropyLoss, F.cross_entropy) and not getattr(expected, "of_raw_classes", False):
        return None
    if not bool(((pred >= 0).all(axis) & ((pred.sum(axis) - 1).abs() < CLOSE)).all()):
        return None
    return f"The model's outputs are probabilities already, and {loss_name(loss_func)} expects raw outputs: it makes probabilities of them again, so the model learns slowly and is never sure. Leave out the model's last Softmax."


class FirstBatchCheck(Callback):
    """Looks at the first batch of a fit: outputs enough for the classes and of the scale that the loss expects, and a loss
    that is one number. When the model can't take it, the error says what it was given. What is only doubtful is said in a
    note, once; later batches cost nothing."""

    order = -90

    def __init__(self) -> None:
        self._looked, self._said = False, set[str]()

    def before_fit(self, learn: Learner) -> None:
        self._looked = False

    def after_pred(self, learn: Learner) -> None:
        if self._looked or not isinstance(learn.pred, Tensor) or learn.pred.ndim < 2:
            return
        targets = getattr(learn.dls, "target_blocks", ())
        classes = targets[0].n_out if len(targets) == 1 and targets[0].reads_outputs and of_classes(learn.loss_func) else 0
        outputs, described = learn.pred.shape[getattr(learn.loss_func, "axis", 1)], _described(learn.pred)
        if outputs < classes:
            raise SettingError(
                f"The model gives {outputs} output(s) ({described}), but the data has {classes} classes. Make its last layer give {classes} (n_out=dls.c)."
            )
        weight = getattr(learn.loss_func, "weight", None) if of_classes(learn.loss_func) else None
        if isinstance(weight, Tensor) and len(weight) != outputs:
            raise SettingError(
                f"{loss_name(learn.loss_func)} has {len(weight)} class weights, and the model gives {outputs} outputs ({described}). Give one weight a class, in the order of dls.vocab."
            )
        if not learn.training:
            return
        if outputs > classes > 0:
            self._say(
                f"The model gives {outputs} outputs ({described}), and the data has {classes} classes: the others can never be right. Predictions are the best of "
                f"the classes; metrics count another output that wins as an error. Unless you keep them for later, give the model {classes} (n_out=dls.c)."
            )
        if wrong := unfitting_scale(learn.loss_func, learn.pred):
            self._say(wrong)

    def _say(self, message: str) -> None:
        if message not in self._said:
            self._said.add(message)
            note(message)

    def after_loss(self, learn: Learner) -> None:
        if self._looked:
            return
        self._looked = True
        if not isinstance(learn.loss, Tensor) or learn.loss.numel() != 1:
            got = _described(learn.loss)
            raise SettingError(
                f"{loss_name(learn.loss_func)} returned {got}; training needs one number (a scalar tensor). Average it, e.g. reduction='mean'."
            )

    def on_exception(self, learn: Learner) -> None:
        error = learn.exception
        if self._looked or learn.pred is not None or not learn.xb or not isinstance(error, RuntimeError):
            return
        if not isinstance(error, torch.OutOfMemoryError):
            error.add_note(
                f"The model gave no output for the first batch; its input is {', '.join(map(_described, learn.xb))}. Does it suit the model? "
                "Where a size is too small, give larger inputs (pictures: item_tfms=Resize(224)); where the number of channels or "
                "columns differs, make the model for this one."
            )


def check_classes(dls: DataLoaders) -> None:
    """Raises DataError if the target is a category with fewer than two classes."""
    for block in getattr(dls, "target_blocks", ()):
        if block.kind == "category" and block.n_out < 2:
            raise DataError(
                f"The data has one class only, {listed(map(repr, getattr(block, 'vocab', ())))}, so there is nothing to tell apart. "
                "Give examples of at least one more class (in a folder a class: another sub-folder), or look at how the labels are made: print(dls.table)."
            )


def check_range(dls: DataLoaders, y_range: Any) -> None:
    """Raises SettingError for a y_range that the target can't have; says how many training rows lie outside of it."""
    if y_range is None:
        return
    low, high = checked_range(y_range)
    if not dls.target_blocks:
        return
    if len(dls.target_blocks) > 1:
        raise SettingError("y_range is of one target; several have their own: RegressionBlock(y_range=(0, 1)).")
    block = dls.target_blocks[0]
    if block.kind in ("category", "multicategory"):
        raise SettingError(
            "y_range is for numbers, and the target has classes: their probabilities lie between 0 and 1 as it is. Leave it out."
        )
    if getattr(block, "log", False):
        raise SettingError(
            "y_range and RegressionBlock(log=...) were both given: logarithms have no upper end to hold to. Leave one of them out."
        )
    if block.takes_picture_size:  # must be opened with their pictures
        return
    found = dls.targets_of("train")[0] if len(dls) else torch.zeros(0)
    outside = int(((found < low) | (found > high)).reshape(len(found), -1).any(1).sum()) if len(found) else 0
    if outside:
        note(
            f"{outside} of {len(found)} training rows have a target outside of y_range=({low:g}, {high:g}) (they go from {float(found.min()):g} to "
            f"{float(found.max()):g}): the model can't give them."
        )


def check_same_targets(old: DataLoaders, new: DataLoaders) -> None:
    """Raises DataError if the outputs of a model made for `old` would mean something else in `new`."""
    for a, b in zip(old.target_blocks, new.target_blocks, strict=False):
        known, given = getattr(a, "vocab", None), getattr(b, "vocab", None)
        if known is None and given is not None:
            raise DataError(f"The new data has the classes {listed(given, 8)}, and the model gives numbers: make a new learner for it.")
        if known is not None and given is None:
            raise DataError(
                f"The new data has numbers, and the model tells the classes {listed(known, 8)} apart: make a new learner for it."
            )
        if known != given:
            raise DataError(
                f"The new data has the classes {listed(given or [], 8)}, but the model's outputs stand for {listed(known or [], 8)}, in this order. "
                "Make the data with CategoryBlock(vocab=old.vocab), or make a new learner for it."
            )


def training_files(dls: DataLoaders) -> set[str]:
    """The files of the rows that train; none where the first input isn't a file."""
    return _files_of(dls, "train")


def tell_trained_on(seen: set[str], dls: DataLoaders) -> None:
    """Says so where files that validate or test in `dls` are among those that the model has `seen`."""
    for split in ("valid", "test"):
        again = _files_of(dls, split) & seen
        if again:
            note(
                f"{len(again)} of the {split} files of the new data, for example {min(again)}, are ones that this model was trained on: its results on them will be too good. "
                "Divide the new data as the old: the same splitter and seed."
            )


def _files_of(dls: DataLoaders, split: str) -> set[str]:
    table = getattr(dls, "table", None)
    if table is None or "split" not in table or not table.attrs.get("inputs"):
        return set()
    cells = table[table.attrs["inputs"][0]][table["split"] == split]
    return {os.path.abspath(cell) for cell in cells if isinstance(cell, os.PathLike)}


def as_loss(loss_func: Any) -> Any:
    """A loss as it is; a loss class that needs no arguments made."""
    if isinstance(loss_func, type):
        return loss_func()
    if not callable(loss_func):
        raise SettingError(
            f"loss_func={loss_func!r}: expected a function or module called as loss_func(output, target), e.g. nn.CrossEntropyLoss()."
        )
    return loss_func


def loss_name(loss_func: Any) -> str:
    """The loss as messages call it."""
    function = _function(loss_func)
    return type(loss_func).__name__ if isinstance(loss_func, nn.Module) else getattr(function, "__name__", type(function).__name__)


def _function(loss_func: Any) -> Any:
    while hasattr(loss_func, "func"):  # functools.partial
        loss_func = loss_func.func
    return loss_func


def _described(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"{tuple(value.shape)} {str(value.dtype).removeprefix('torch.')}"
    if isinstance(value, Mapping):
        return f"a {type(value).__name__} with the keys {listed(map(repr, value))}"
    return f"a {type(value).__name__}{f' of {len(value)}' if isinstance(value, (tuple, list)) else ''}"
