"""Prediction: a whole split, one item or a list of them, augmented copies."""

from __future__ import annotations

import os
from collections import namedtuple
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from burnish.data.batches import RowLoader
from burnish.data.block import Answer, Block
from burnish.data.dataloaders import DataLoaders
from burnish.data.loader import DataLoader, PlainLoader
from burnish.data.notes import note
from burnish.data.randomness import derive, own_globals
from burnish.data.reader import Reader
from burnish.errors import DataError, SettingError, hinting
from burnish.train.attached import Callbacks, as_callbacks
from burnish.train.callback import Callback
from burnish.train.heap import reused_memory
from burnish.train.loop import valid_pass
from burnish.train.plain import ordered, unknown_sampler
from burnish.train.readout import Readout, in_full, readout, sample_losses
from burnish.train.stores import Store, make_store

if TYPE_CHECKING:
    from burnish.train.learner import Learner

Split = int | str
_MOST_SHOWN = 24  # numbers of a prediction that are written out
_NO_TARGETS = "needs targets, and this loader gives none. Make it with labels: learn.dls.test_dl(items, with_labels=True)."


class Prediction(namedtuple("Prediction", "label index probs")):
    """The prediction for one item: ``label, index, probs = learn.predict(item)``.

    Attributes:
        label: what a person reads: the class, the number ...
        index: the decision as a tensor, in the encoding of the targets (the index of the class).
        probs: the activated output as a tensor: a probability for each class, ``(classes,)``.

    Further attributes may be set on it (a calibrated confidence, say).
    """

    def __repr__(self) -> str:
        parts = (f"{name}={_brief(value)}" for name, value in zip(self._fields, self, strict=True))
        return f"Prediction({', '.join(parts)})"


def _brief(value: Any) -> str:
    """A value as one line; of large tensors and arrays the shape."""
    if isinstance(value, tuple):
        return f"({', '.join(map(_brief, value))})"
    if getattr(value, "ndim", 0) and getattr(value, "size", None) is not None and np.prod(value.shape) > _MOST_SHOWN:
        return f"<{type(value).__name__} {tuple(value.shape)}>"
    return repr(value)


class Predictions(tuple[Any, ...]):
    """What ``get_preds`` gives: a tuple ([inputs], preds, targets, [decoded], [losses]) that also has names.

    Attributes:
        preds: ``(samples, ...)``, activated, on the CPU.
        targs: ``(samples, ...)``, or None without labels.
        inputs, decoded, losses: as asked for, else None.
        rows: positions in ``dls.table``, one a sample (an unreadable file is left out); for PyTorch's loaders positions in
            their data set (where the order is the loader's own, 0, 1, 2 ...).
    """

    inputs: Any
    preds: Any
    targs: Any
    decoded: Any
    losses: Any
    traced: Any
    rows: np.ndarray

    @classmethod
    def of(cls, preds: Any, targs: Any, rows: np.ndarray, **asked: Any) -> Predictions:
        """The tuple of what was asked for, in the order above."""
        made = cls(
            [*([asked["inputs"]] if "inputs" in asked else []), preds, targs, *(asked[k] for k in ("decoded", "losses") if k in asked)]
        )
        made.preds, made.targs, made.rows = preds, targs, rows
        made.inputs, made.decoded, made.losses = (asked.get(k) for k in ("inputs", "decoded", "losses"))
        return made


# -- whole splits -----------------------------------------------------------------------------------------------------
@hinting
def get_preds(
    learn: Learner,
    ds_idx: Split = 1,
    dl: Any = None,
    with_input: bool = False,
    with_decoded: bool = False,
    with_loss: bool = False,
    act: Callable[[Tensor], Tensor] | None = None,
    cbs: Callbacks = None,
    save_to: str | os.PathLike[str] | None = None,
) -> Predictions:
    """Predictions for a split, in the order of the data, with targets; the training split is read without augmentation.

    Outputs are activated (logits become probabilities) by the loss when it has an ``activation`` of its own, else by the
    target's block, else as a known PyTorch loss demands; a model trained with an unknown loss on plain loaders gives raw
    outputs.

    Args:
        ds_idx: "train", "valid" or "test", or 0, 1, 2.
        dl: a loader to use instead: ``learn.dls.test_dl(items)``, or any iterable of batches.
        with_input, with_decoded, with_loss: also give the inputs, the decisions, the loss of each sample.
        act: an activation to use instead.
        save_to: a folder; predictions and targets go to files in it (preds.npy, targs.npy) batch by batch, and what is
            returned is mapped from them, so memory stays bounded.

    Raises:
        DataError: ``with_loss`` without targets, or outputs that differ in shape from batch to batch.
    """
    loader = loader_of(learn, ds_idx, dl)
    drawn_by = unknown_sampler(loader)
    if drawn_by:
        note(
            f"get_preds: the loader draws its samples by a {drawn_by}, whose order isn't known. Predictions come in the loader's order, and `rows` counts them 0, 1, 2 ..."
        )
    gather = Gather(readout(learn, act), with_input, with_decoded, with_loss, None if save_to is None else Path(save_to))
    return gathered(learn, loader, gather, cbs)


def gathered(learn: Learner, loader: Any, gather: Any, cbs: Callbacks = None) -> Any:
    """What `gather`, a Callback with ``result`` and ``discard``, collects in one pass over `loader`."""
    with (
        undisturbed(learn),
        own_globals(derive(learn.seed, "predict")),
        learn.bound([*learn.acting_cbs(), gather, *as_callbacks(cbs)]),
        reused_memory(learn.device),
    ):
        try:
            valid_pass(learn, loader)
            return gather.result()
        except BaseException:
            gather.discard()
            raise


class Gather(Callback):
    """Collects outputs, batch by batch, on the CPU."""

    order = 48

    def __init__(
        self, how: Readout, with_input: bool = False, with_decoded: bool = False, with_loss: bool = False, folder: Path | None = None
    ) -> None:
        self.how, self.with_input, self.with_decoded, self.with_loss = how, with_input, with_decoded, with_loss
        self.preds, self.targs = make_store(folder, "preds"), make_store(folder, "targs")
        self.inputs, self.decoded, self.losses = make_store(None, "inputs"), make_store(None, "decoded"), make_store(None, "losses")
        self.rows: list[int] = []

    def after_batch(self, learn: Learner) -> None:
        if learn.pred is None:  # a callback cancelled the batch
            return
        output = in_full(learn.pred)
        preds = self.how.activate(output)
        n = first_length(preds)
        self.rows.extend(learn.dl.last_rows or range(len(self.rows), len(self.rows) + n))
        self.preds.add(preds)
        if learn.yb:
            self.targs.add(_one_or_all(learn.yb))
        if self.with_input:
            self.inputs.add(_one_or_all(learn.xb))
        if self.with_decoded:
            self.decoded.add(self.how.decide(preds))
        if self.with_loss:
            if not learn.yb:
                raise DataError(f"with_loss=True {_NO_TARGETS}")
            self.losses.add(sample_losses(learn.loss_func, output, learn.yb))

    def discard(self) -> None:
        """Lets go of what was gathered, where the pass didn't come to its end."""
        for store in (self.preds, self.targs):
            store.discard()

    def result(self) -> Predictions:
        asked: list[tuple[str, bool, Store]] = [
            ("inputs", self.with_input, self.inputs),
            ("decoded", self.with_decoded, self.decoded),
            ("losses", self.with_loss, self.losses),
        ]
        return Predictions.of(
            self.preds.value(),
            self.targs.value(),
            np.asarray(self.rows, dtype=np.int64),
            **{name: s.value() for name, wanted, s in asked if wanted},
        )


@hinting
def tta(learn: Learner, ds_idx: Split = 1, dl: Any = None, n: int = 4, beta: float | None = 0.25, use_max: bool = False) -> Predictions:
    """Test-time augmentation: predictions averaged over `n` passes with the training transforms, and the plain ones.

    Args:
        n: augmented passes. Of boxes those that several passes found become one, more certain the more of them did.
        beta: weight of the plain predictions; None gives ``(augmented, plain, targets)`` instead.
        use_max: the elementwise maximum instead of the average.

    Returns:
        (preds, targets), in the order of the data.
    """
    if n < 1:
        raise SettingError(f"tta(n={n!r}): expected at least one augmented pass.")
    loader = loader_of(learn, ds_idx, dl)
    if not isinstance(loader, DataLoader):
        raise SettingError(
            "tta needs training transforms that vary a sample, which plain PyTorch loaders and tables don't have. Use get_preds, or a DataBlock or a factory such as ImageDataLoaders."
        )
    blocks = learn.dls.target_blocks
    if len(blocks) == 1 and blocks[0].located:
        return _averaged_in_place(learn, loader, n, beta, use_max)
    if placed := [type(block).__name__ for block in blocks if block.located]:
        raise SettingError(f"tta of several targets takes labels and numbers, and {placed[0]} has places in the picture. Use get_preds.")
    plain = get_preds(learn, dl=loader)
    total: Any = None
    for i in range(n):
        drawn = gathered(learn, _augmented(learn.dls, loader, i), Gather(readout(learn))).preds
        total = drawn if total is None else _each(torch.maximum if use_max else torch.add, total, drawn)
    if use_max:
        return Predictions.of(_each(torch.maximum, total, plain.preds), plain.targs, plain.rows)
    average = _each(lambda t: t / n, total)
    if beta is None:
        return _apart(average, plain)
    return Predictions.of(_each(lambda a, b: torch.lerp(a, b, beta), average, plain.preds), plain.targs, plain.rows)


def _each(function: Callable[..., Tensor], *given: Any) -> Any:
    """A function of predictions; of several targets' tuples of them one by one."""
    return tuple(map(function, *given)) if isinstance(given[0], tuple) else function(*given)


def _apart(average: Any, plain: Predictions) -> Predictions:
    """Those of the augmented passes, the plain ones, the targets."""
    both = Predictions([average, plain.preds, plain.targs])
    both.preds, both.targs, both.rows = average, plain.targs, plain.rows
    return both


def _averaged_in_place(learn: Learner, loader: DataLoader, n: int, beta: float | None, use_max: bool) -> Predictions:
    """The same for a target that has places in the picture: what is said of moved pictures is brought back first; where one wasn't seen, it doesn't count."""
    block = learn.dls.target_blocks[0]
    tracer = block.tracer()
    if tracer is None or use_max:
        what = (
            "use_max=True picks values, not places" if tracer is not None else f"predictions of a {type(block).__name__} can't be averaged"
        )
        raise SettingError(f"tta: {what}. Use get_preds.")
    plain = gathered(learn, _traced(loader, tracer), GatherTraced(readout(learn)))
    drawn = (gathered(learn, _traced(_augmented(learn.dls, loader, i), tracer), GatherTraced(readout(learn))) for i in range(n))
    looks = ((found.preds, found.traced) for found in drawn)  # one at a time: masks are large
    average = block.averaged(looks, (plain.preds, plain.traced), 0.0 if beta is None else beta)
    return _apart(average, plain) if beta is None else Predictions.of(average, plain.targs, plain.rows)


class GatherTraced(Gather):
    """Collects also where a tracer, the last tensor of each batch, went: ``traced`` of the predictions."""

    def __init__(self, how: Readout) -> None:
        super().__init__(how)
        self.traced = make_store(None, "traced")

    def before_batch(self, learn: Learner) -> None:
        *targets, traced = learn.yb
        learn.yb = tuple(targets)
        self.traced.add(traced.cpu())

    def result(self) -> Predictions:
        found = super().result()
        found.traced = self.traced.value()
        return found


def _traced(dl: DataLoader, tracer: tuple[Block, Any]) -> DataLoader:
    """`dl` with one more column, which is the same for all samples."""
    block, raw = tracer
    made = DataLoader(
        [*dl.columns, [raw] * len(dl.columns[0])], dl.rows, Reader([*dl.blocks, block], dl.reader.item_tfms, train=dl.train), batch_tfms=dl.batch_tfms, bs=dl.bs,
        train=dl.train, shuffle=False, drop_last=False, num_workers=dl.num_workers, device=dl.device, seed=dl.seed, on_error=dl.on_error,
    )  # fmt: skip
    made.epoch = dl.epoch
    return made


def _augmented(dls: DataLoaders, dl: DataLoader, number: int) -> DataLoader:
    """`dl`'s samples, in order, through the training transforms; draws differ by `number`."""
    made = DataLoader(
        dl.columns, dl.rows, Reader(dl.blocks, dls.item_tfms, train=True), batch_tfms=dls.batch_tfms, bs=dl.bs, train=True, shuffle=False,
        drop_last=False, num_workers=dl.num_workers, device=dl.device, seed=derive(dl.seed, "tta"), on_error=dl.on_error,
    )  # fmt: skip
    made.epoch = number
    return made


# -- loaders ----------------------------------------------------------------------------------------------------------
def loader_of(learn: Learner, ds_idx: Split, dl: Any) -> Any:
    """The loader to evaluate on: `dl`, or a split's; in the order of the data, nothing drawn, nothing dropped."""
    if dl is None:
        return in_order(learn.dls[ds_idx])
    if isinstance(dl, (RowLoader, PlainLoader)):
        return in_order(dl)
    if isinstance(dl, (str, bytes)) or not hasattr(dl, "__iter__"):
        raise SettingError(f"dl={dl!r}: expected a loader. For files or other items make one: dl=learn.dls.test_dl(items).")
    return in_order(PlainLoader(dl, learn.device))


def loader_with_targets(learn: Learner, ds_idx: Split, dl: Any) -> Any:
    """The same for what needs targets to compare with. Raises DataError if `dl` is one of burnish's that gives none."""
    loader = loader_of(learn, ds_idx, dl)
    if dl is not None and isinstance(loader, RowLoader) and len(loader.blocks) <= (learn.n_inp or 1) < len(learn.dls.blocks):
        raise DataError(f"validate {_NO_TARGETS} Without labels there are predictions: learn.get_preds(dl=...).")
    return loader


def in_order(dl: Any) -> Any:
    """A training loader's samples as validation reads them; any other loader as it is."""
    return ordered(dl) if isinstance(dl, PlainLoader) else dl.in_order()


@contextmanager
def undisturbed(learn: Learner) -> Iterator[None]:
    """Puts the learner's state and the modes of the model back, so that evaluating in the middle of a fit is safe; other
    threads that evaluate or train wait meanwhile."""
    names = ("dl", "training", "batch_index", "n_batches", "xb", "yb", "pred", "loss")
    with learn.turns:
        kept = {name: getattr(learn, name) for name in names}
        modes = [(m, m.training) for m in learn.model.modules()]
        try:
            yield
        finally:
            vars(learn).update(kept)
            for module, mode in modes:
                if module.training is not mode:  # setting it costs more than looking
                    module.training = mode


# -- items ------------------------------------------------------------------------------------------------------------
def predict(learn: Learner, item: Any) -> Any:
    """The prediction for one item: a path, bytes, a picture, an array ...: whatever the input block opens. For a list of
    items (a tuple too, where the model has one input), a list of predictions, computed in batches.

    With plain PyTorch loaders an item is a tensor or array without batch dimension. Threads may share a learner: they take
    turns, and wait for a fit to end.

    Raises:
        UnreadableFileError: an item can't be opened.
    """
    several = learn.dls.several(item)
    items = [item] if several is None else several
    if not items:
        return []
    how = readout(learn)
    blocks = learn.dls.target_blocks
    label = lambda answer: how.label(answer[0])  # noqa: E731
    if any(block.located for block in blocks):
        label = blocks[0].told if len(blocks) == 1 else lambda answer: _told_each(blocks, answer)
    made = [Prediction(label(answer), *answer) for answer in _answers(learn, how, items)]
    return made[0] if several is None else made


def _answers(learn: Learner, how: Readout, items: list[Any]) -> list[Answer]:
    """The decision and the activated output for each item; what has a place in the picture, in the picture as it was given."""

    def run(some: list[Any]) -> list[Answer]:
        gather = Gather(how, with_decoded=True)
        loader = _items_loader(learn, some)
        with undisturbed(learn), learn.bound([*learn.acting_cbs(), gather]):
            valid_pass(learn, loader)
        preds, decided = gather.preds.value(), gather.decoded.value()
        return [(_pick(decided, i), _pick(preds, i)) for i in range(len(some))]

    blocks = learn.dls.target_blocks
    if len(blocks) == 1:
        return blocks[0].predict_items(learn.dls, items, run)
    if not any(block.located for block in blocks):
        return run(items)
    return [_in_source(learn.dls, item, answer) for item, answer in zip(items, run(items), strict=True)]


def _in_source(dls: DataLoaders, item: Any, answer: Answer) -> Answer:
    """The same for each of several targets."""
    parts = zip(dls.target_blocks, *answer, strict=True)
    decided, preds = zip(*(block.in_source((d, p), dls, item) for block, d, p in parts), strict=True)
    return decided, preds


def _told_each(blocks: Sequence[Block], answer: Answer) -> tuple[Any, ...]:
    """The answers of several targets as a person reads them."""
    return tuple(b.told((d, p)) if b.located else b.decode(d) for b, d, p in zip(blocks, *answer, strict=True))


def _items_loader(learn: Learner, items: list[Any]) -> Any:
    if learn.dls.blocks:
        return learn.dls.test_dl(items, on_error="raise")
    if (learn.n_inp or 1) != 1:
        raise SettingError(
            "predict can't tell the inputs of a sample apart with plain PyTorch loaders. Make a loader of your samples and use get_preds(dl=loader)."
        )
    samples = [torch.as_tensor(item) for item in items]
    if len({s.shape for s in samples}) > 1:
        raise DataError(
            f"The items differ in shape ({', '.join(str(tuple(s.shape)) for s in samples[:3])} ...), so they don't make a batch. Predict them one by one."
        )
    size = 64
    return PlainLoader([(torch.stack(samples[i : i + size]),) for i in range(0, len(samples), size)], learn.device)


def _pick(value: Any, i: int) -> Any:
    return tuple(v[i] for v in value) if isinstance(value, tuple) else value[i]


def _one_or_all(values: tuple[Any, ...]) -> Any:
    return values[0] if len(values) == 1 else values


def first_length(value: Any) -> int:
    """Length of a tensor, or of the first of several."""
    while isinstance(value, (tuple, list)):
        value = value[0]
    return len(value)
