"""The loaders of a table as code for fastai uses them: rows that can be looked at and changed, other rows, batches of its shapes."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from burnish.collab.dataloaders import CollabDataLoaders, Ratings
from burnish.compat.table_views import Rows, TableView, classes_of, rows_of, targets_in
from burnish.compat.transform import ItemTransform
from burnish.data.collections import L
from burnish.data.mapped import is_mapped, row_at
from burnish.data.table import SPLITS
from burnish.data.tensors import Encoded, TensorLoader
from burnish.errors import DataError, SettingError
from burnish.tabular import prepare
from burnish.tabular.dataloaders import TabularDataLoaders
from burnish.tabular.transforms import UnknownCategories
from burnish.train.learner import Learner

__all__ = ["ReadTabBatch", "TabDataLoader", "TabWeightedDL"]

_OWN = "_for_own"  # says that the next pass is of a learner whose model has a row for unknown categories


# -- batches ------------------------------------------------------------------------------------------------------------------
def _given(self: TensorLoader, batch: Sequence[Tensor], codes_too: bool, classes_too: bool) -> tuple[Tensor, ...]:
    """A batch with fastai's codes (0 for what training hasn't seen) and its shape of a target, ``(batch, 1)``.

    Args:
        codes_too: False leaves the code of the unknown, for which burnish's own models have a row.
        classes_too: also targets that are classes, which losses of PyTorch's want as ``(batch,)``.
    """
    out = list(batch)
    for i, block in enumerate(self.blocks[: len(out)]):
        x = out[i]
        if codes_too and block.kind == "categories" and x.ndim == 2 and x.shape[1] == len(block.unknown):  # type: ignore[attr-defined]
            unknown = torch.tensor(block.unknown, device=x.device)  # type: ignore[attr-defined]
            out[i] = torch.where(x == unknown, torch.zeros_like(x), x)
        elif x.ndim == 1 and (block.kind == "number" or (classes_too and block.kind == "category")):
            out[i] = x[:, None]
    return tuple(out)


_own_iter_from, _own_one_batch, _own_decode_batch = TensorLoader.iter_from, TensorLoader.one_batch, TensorLoader.decode_batch


def iter_from(self: TensorLoader, first: int) -> Iterator[tuple[Tensor, ...]]:
    """The batches of the next pass, from place `first` on."""
    whose = vars(self).pop(_OWN, "")
    _take_changes(self)
    batches = _own_iter_from(self, first)
    if whose == "collab" or (whose and not any(b.kind == "number" for b in self.blocks)):
        return batches
    return (_given(self, batch, whose == "", False) for batch in (batches if whose else _as_they_are(self, batches)))


@contextmanager
def _nothing_unknown(self: TensorLoader) -> Iterator[None]:
    """Inside the block no category is taken as unknown by chance: only burnish's own models know what that is for."""
    kept, self.batch_tfms = self.batch_tfms, [t for t in self.batch_tfms if not isinstance(t, UnknownCategories)]
    try:
        yield
    finally:
        self.batch_tfms = kept


def _as_they_are(self: TensorLoader, batches: Iterator[Any]) -> Iterator[Any]:
    while True:
        with _nothing_unknown(self):
            batch = next(batches, None)
        if batch is None:
            return
        yield batch


def one_batch(self: TensorLoader) -> tuple[Tensor, ...]:
    """A first batch, without counting as a pass."""
    _take_changes(self)
    with _nothing_unknown(self):
        batch = _own_one_batch(self)
    return _given(self, batch, True, True)


def decode_batch(self: TensorLoader, batch: Any, max_n: int = 9) -> list[tuple[Any, ...]]:
    """The first `max_n` samples of a batch, as values that a person recognises."""
    flat = [
        x[:, 0] if x.ndim == 2 and x.shape[1] == 1 and b.kind in ("number", "category") else x
        for b, x in zip(self.blocks, batch, strict=False)
    ]
    return _own_decode_batch(self, tuple(flat), max_n)


def decode(self: TensorLoader, b: Any) -> Rows:
    """A batch as rows in words."""
    whole = _whole_of(self)
    tensors = tuple(x.cpu() for x in b)
    return Rows(whole, pd.DataFrame(index=range(len(tensors[0]))), tensors).decode()


_own_start_pass = Learner.start_pass


def start_pass(self: Any, dl: Any, training: bool) -> None:
    """Sets the learner up for a pass. What a model of burnish's own is given keeps its code of unknown categories."""
    _own_start_pass(self, dl, training)
    if isinstance(dl, TensorLoader):
        vars(dl)[_OWN] = str(self.dls.kind)


# -- rows ---------------------------------------------------------------------------------------------------------------------
def _whole_of(dl: TensorLoader) -> Any:
    """The prepared table, or the DataLoaders, that a loader is of."""
    if (whole := vars(dl).get("_whole")) is None:
        raise AttributeError(
            "This loader doesn't know which table its rows are of: make it with to.dataloaders(), dls.test_dl(df) or TabDataLoader(to)."
        )
    return whole


def _dataset_of(self: TensorLoader) -> Rows:
    if (found := vars(self).get("_view")) is None:
        at, raw = torch.from_numpy(self.rows), self.raw
        if isinstance(raw, partial):
            frame = raw.args[0].iloc[self.rows]
        else:
            cells: Any = getattr(raw, "__self__", [])
            frame = pd.DataFrame([cells[i] for i in self.rows])
        found = Rows(_whole_of(self), frame, tuple(t.cpu()[at] for t in self.tensors), self.rows)
        vars(self)["_view"] = found
    return found


def _take_changes(self: TensorLoader) -> None:
    """Takes over what was changed in ``dl.items``."""
    view = vars(self).get("_view")
    if view is None or view._made is None:
        return
    out = []
    for tensor, changed in zip(self.tensors, view.changed(), strict=False):
        made = tensor.clone()
        made[torch.from_numpy(view.places).to(tensor.device)] = changed.to(tensor.device)
        out.append(made)
    self.tensors = tuple(out)


dataset = property(_dataset_of, doc="The rows of the loader, with their columns: ``items``, ``xs``, ``ys`` ...")
items = property(lambda self: _dataset_of(self).items, doc="The rows as a model gets them; what is changed in them, the next pass gives.")
xs = property(lambda self: _dataset_of(self).xs, doc="The features.")
cats = property(lambda self: _dataset_of(self).cats, doc="The codes of the categories.")
conts = property(lambda self: _dataset_of(self).conts, doc="The numbers.")
ys = property(lambda self: _dataset_of(self).ys, doc="The encoded targets.")


def show_batch(self: Any, b: Any = None, max_n: int = 10, nrows: int | None = None, **kwargs: Any) -> None:
    """Shows rows in words.

    Args:
        b: a batch; one of the loader's by default. max_n: how many rows; `nrows` is the same.
        kwargs: ctxs, ncols, figsize, unique, show: without meaning for a table.
    """
    wrong = set(kwargs) - {"ctxs", "ncols", "figsize", "unique", "show"}
    if wrong:
        raise TypeError(f"show_batch() got an unexpected keyword argument {sorted(wrong)[0]!r}")
    if isinstance(b, int):  # by position, as burnish's own takes it
        b, max_n = None, b
    dl = self if isinstance(self, TensorLoader) else self.train
    decode(dl, dl.one_batch() if b is None else b).show(nrows or max_n)


# -- loaders of rows ------------------------------------------------------------------------------------------------------------
def loader_of(
    rows: Any,
    bs: int = 64,
    shuffle: bool = False,
    drop_last: bool | None = None,
    device: Any = None,
    weights: Any = None,
    seed: int | None = None,
) -> TensorLoader:
    """A loader of rows: of a prepared table, of a split (``to.train``), of new ones (``to.new(df)``)."""
    if isinstance(rows, prepare.TabularPandas):
        places = np.arange(len(rows.frame))
        rows = Rows(rows, rows.frame, rows.tensors, places)
    if not isinstance(rows, Rows):
        raise SettingError(
            f"A loader of a table reads rows that are made ready: to.train, to.valid, or to.new(df). It got a {type(rows).__name__}; of a DataFrame: dls.test_dl(df)."
        )
    rows.process()
    assert rows.tensors is not None
    whole = rows.whole
    dl = TensorLoader(
        Encoded(rows.changed()), whole.blocks[: len(rows.tensors)], np.arange(len(rows)), partial(row_at, rows.frame),
        batch_tfms=[UnknownCategories(whole.blocks[0].unknown)] if shuffle else [], bs=bs, train=shuffle, shuffle=shuffle, drop_last=drop_last,
        weights=None if weights is None else np.asarray(weights, dtype=np.float64), device=_device(device), seed=0 if seed is None else seed,
    )  # fmt: skip
    vars(dl)["_whole"] = whole
    return dl


def _device(device: Any) -> Any:
    from burnish.data.dataloaders import default_device

    return default_device() if device is None else device


def new(
    self: TensorLoader, dataset: Any = None, bs: int | None = None, shuffle: bool | None = None, drop_last: bool | None = None, num_workers: int | None = None
) -> TensorLoader:  # fmt: skip
    """A loader like this one, of other rows or in other batches.

    Args:
        dataset: rows that are made ready, ``to.new(df)``; None is its own. num_workers: without meaning, nothing is read.
    """
    _ = num_workers
    if dataset is not None:
        return loader_of(
            dataset, self.bs if bs is None else bs, self.shuffle if shuffle is None else shuffle, drop_last, self.device, seed=self.seed
        )
    made = copy.copy(self)
    for name, value in (("bs", bs), ("shuffle", shuffle), ("drop_last", drop_last)):
        if value is not None:
            setattr(made, name, value)
    return made


class _OfTensors(type):
    """Every loader of a table counts as one of them; making one gives burnish's loader."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, TensorLoader)


class TabDataLoader(metaclass=_OfTensors):
    """A loader of rows that are made ready: ``TabDataLoader(to.train, bs=64, shuffle=True)``.

    Args:
        dataset: ``to``, ``to.train``, ``to.valid``, ``to.new(df)``. bs: rows a batch. after_batch, num_workers, do_setup, verbose: without effect.
        device: where batches go. drop_last: leave out a last, incomplete batch; None does so in shuffling.
    """

    def __new__(
        cls, dataset: Any, bs: int = 16, shuffle: bool = False, after_batch: Any = None, num_workers: int = 0, *, drop_last: bool | None = None, device: Any = None,
        do_setup: bool = True, verbose: bool = False,
    ) -> Any:  # fmt: skip
        _ = after_batch, num_workers, do_setup, verbose
        return loader_of(dataset, bs, shuffle, bool(drop_last), device)


class TabWeightedDL(metaclass=_OfTensors):
    """The same, whose rows are drawn by their weights in shuffling.

    Args:
        wgts: one a row; None draws all alike. The rest: see `TabDataLoader`.
    """

    def __new__(
        cls, dataset: Any, bs: int = 16, shuffle: bool = False, after_batch: Any = None, wgts: Any = None, num_workers: int = 0, *, drop_last: bool | None = None,
        device: Any = None,
    ) -> Any:  # fmt: skip
        _ = after_batch, num_workers
        return loader_of(dataset, bs, shuffle, bool(drop_last), device, wgts if shuffle else None)


class ReadTabBatch(ItemTransform):
    """Rows to the tensors of a batch, and back.

    Args:
        to: the prepared table, or rows of it.
    """

    def __init__(self, to: Any) -> None:
        super().__init__()
        self.to = to

    def encodes(self, to: Any) -> Any:
        dl = loader_of(to, bs=max(1, len(to)), device="cpu")
        return dl.one_batch()

    def decodes(self, o: Any) -> Any:
        whole = self.to.whole if isinstance(self.to, Rows) else self.to
        return Rows(whole, pd.DataFrame(index=range(len(o[0]))), tuple(x.cpu() for x in o)).decode()


def loaders_of(loaders: Sequence[Any], path: Any = ".", device: Any = None) -> TabularDataLoaders:
    """DataLoaders of loaders of one prepared table.

    Raises:
        SettingError: they are of different ones, or of none.
    """
    wholes = [vars(dl).get("_whole") for dl in loaders]
    to = wholes[0]
    if not isinstance(to, prepare.TabularPandas) or any(whole is not to for whole in wholes):
        raise SettingError(
            "DataLoaders(train, valid) of tables takes loaders of the rows of one table: TabDataLoader(to.train), TabDataLoader(to.valid)."
        )
    kind = CollabDataLoaders if isinstance(to, Ratings) else TabularDataLoaders
    dls = kind.from_prepared(to, bs=loaders[0].bs, path=path, device=loaders[0].device if device is None else device)
    dls.loaders = [dl.to(dls.device) for dl in loaders]
    return dls


# -- added to burnish's DataLoaders of tables -----------------------------------------------------------------------------------
_own_from_prepared: Any = vars(TabularDataLoaders)["from_prepared"].__func__
_own_test_dl = TabularDataLoaders.test_dl


@classmethod
def from_prepared(cls: Any, to: Any, **options: Any) -> Any:
    """The loaders of a prepared table; see ``TabularDataLoaders.from_prepared`` of burnish for the arguments."""
    dls = _own_from_prepared(cls, to, **options)
    for dl in dls.loaders:
        vars(dl)["_whole"] = to
    return dls


def test_dl(
    self: TabularDataLoaders, test_items: Any, with_labels: bool | None = None, bs: int | None = None, num_workers: int | None = None, on_error: str | None = None,
    rm_type_tfms: Any = None, process: bool = True, inplace: bool = False, shuffle: bool = False, drop_last: bool = False,
) -> TensorLoader:  # fmt: skip
    """A loader over new rows, prepared as the training rows were; in order.

    Args:
        test_items: a table, or a list of rows. with_labels: take the target too; None does so where a table has all of it.
        bs: rows a batch. num_workers, on_error, rm_type_tfms, process, inplace: without effect.
        shuffle, drop_last: as of any loader.
    """
    _ = rm_type_tfms, process, inplace
    if isinstance(test_items, Rows):
        dl = loader_of(test_items, bs or max(self.bs, 1024), device=self.device, seed=self.seed)
    else:
        labels = _has_targets(self, test_items) if with_labels is None else with_labels
        dl = _own_test_dl(self, test_items, labels, bs, num_workers, on_error)
    vars(dl)["_whole"] = self.prepared or self
    if shuffle or drop_last:
        dl.shuffle, dl.drop_last = shuffle, drop_last
    return dl


def _has_targets(dls: TabularDataLoaders, rows: Any) -> bool:
    """Whether a table has the targets, all of which are known."""
    if not isinstance(rows, pd.DataFrame) or not len(rows) or is_mapped(rows):
        return False
    return targets_in(dls, rows) is not None


def _dataset(self: TabularDataLoaders, i: int) -> Rows:
    self[i]  # or the error that says there is no such split
    if self.prepared is None:
        raise DataError("There are no rows to look at: these DataLoaders came with a loaded model.")
    return rows_of(self.prepared, SPLITS[i])


def _names(name: str) -> Any:
    of_view: Any = vars(TableView)[name]

    def get(self: TabularDataLoaders) -> L[str]:
        view = TableView()
        view.whole = self
        return of_view.fget(view)

    return property(get, doc=of_view.__doc__)


cat_names, cont_names, y_names, x_names = (_names(name) for name in ("cat_names", "cont_names", "y_names", "x_names"))
classes = property(classes_of, doc='Column to its categories, in the order of their codes: "#na#" first.')
