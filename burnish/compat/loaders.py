"""fastai's `DataLoader`: batches out of any data set, with a hook at every step."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import default_collate

from burnish.compat.helpers import is_listy, noop
from burnish.compat.lists import chunked
from burnish.compat.torch_tools import to_device
from burnish.compat.transform import retain_types
from burnish.data.batches import RowLoader
from burnish.data.whole import whole_number
from burnish.errors import DataError, SettingError, nearest

__all__ = ["DataLoader", "SkipItemException", "collate_error", "fa_collate", "fa_convert"]

_HOOKS = (
    "wif", "before_iter", "after_item", "before_batch", "after_batch", "after_iter", "create_batches", "create_item", "create_batch", "retain", "get_idxs", "sample", "shuffle_fn", "do_batch",
)  # fmt: skip


class SkipItemException(Exception):
    """Raised while an item is made: leave it out; the batch is filled with those after it."""


def fa_collate(t: Any) -> Any:
    """Items as one batch: tuples element by element, in the class of the items; tensors stacked."""
    first = t[0]
    if isinstance(first, (str, bytes)):
        return t
    if isinstance(first, (Tensor, np.ndarray, str, bytes, Mapping, int, float, np.generic)):
        return default_collate([x.as_subclass(Tensor) if isinstance(x, Tensor) and type(x) is not Tensor else x for x in t])
    if isinstance(first, (tuple, list)):
        parts = [fa_collate(s) for s in zip(*t, strict=True)]
        return type(first)(*parts) if hasattr(first, "_fields") else type(first)(parts)
    return default_collate(t)


def fa_convert(t: Any) -> Any:
    """What is a batch already, as tensors."""
    if isinstance(t, (Tensor, np.ndarray, str, Mapping)):
        return torch.utils.data.default_convert(t)
    if isinstance(t, (tuple, list)):
        return type(t)([fa_convert(s) for s in t])
    return torch.utils.data.default_convert(t)


def collate_error(e: Exception, batch: Any) -> None:
    """Raises `e` as an error that says which elements of the items can't be put together, and why."""
    for i, values in enumerate(zip(*batch, strict=False) if is_listy(batch[0]) else [batch]):
        shapes = sorted({str(tuple(v.shape)) for v in values if isinstance(v, Tensor)})
        if len(shapes) > 1:
            raise RuntimeError(
                f"The items of a batch don't go together: element {i} ({type(values[0]).__name__}) has the shapes {', '.join(shapes[:4])}. "
                "Bring them to one size with an item transform: item_tfms=Resize(224), or after_item=[Resize(224), ToTensor()]."
            ) from e
        if not isinstance(values[0], (Tensor, np.ndarray, str, bytes, Mapping, int, float, np.generic, tuple, list)):
            raise TypeError(
                f"Element {i} of the items is a {type(values[0]).__name__}, of which no batch can be made. Make it a tensor, with an item transform such as ToTensor()."
            ) from e
    raise e


def _checked_size(bs: Any) -> int | None:
    if bs is None:
        return None
    size = whole_number(bs, least=1)
    if size is None:
        raise SettingError(f"bs={bs!r}: the batch size must be a whole number of at least 1, or None where the items are batches.")
    return size


class DataLoader(RowLoader):
    """Batches of a data set, on a device. Items are made in the calling thread, in an order that Python's own generator draws.

    Args:
        dataset: by positions, or iterable. bs: items a batch; None: the items are batches. shuffle, drop_last: a new order every pass; without an
            incomplete last batch. indexed: whether `dataset` is read by positions. n: how many items a pass has. device: where batches go.
        num_workers, pin_memory, timeout, persistent_workers, pin_memory_device: taken, without effect.
        hooks: functions instead of the methods of these names: wif, before_iter, after_item, before_batch, after_batch, after_iter,
            create_batches, create_item, create_batch, retain, get_idxs, sample, shuffle_fn, do_batch.
    """

    def __init__(
        self, dataset: Any = None, bs: int | None = None, num_workers: int | None = 0, pin_memory: bool = False, timeout: float = 0, batch_size: int | None = None, shuffle: bool = False,
        drop_last: bool = False, indexed: bool | None = None, n: int | None = None, device: Any = None, persistent_workers: bool = False, pin_memory_device: str = "", **hooks: Callable[..., Any],
    ) -> None:  # fmt: skip
        wrong = [name for name in hooks if name not in _HOOKS]
        if wrong:
            raise TypeError(f"{type(self).__name__}() got an unexpected argument {wrong[0]!r}.{nearest(wrong[0], _HOOKS)}")
        self.__dict__.update(hooks)
        self.dataset, self.bs, self.shuffle, self.drop_last = (
            dataset,
            _checked_size(bs if batch_size is None else batch_size),
            shuffle,
            drop_last,
        )  # type: ignore[assignment]
        self.indexed = (dataset is not None and hasattr(dataset, "__getitem__")) if indexed is None else indexed
        self.num_workers = num_workers or 0
        self._n = n
        self.rng, self.it, self.offs = random.Random(random.getrandbits(64)), None, 0
        self.train, self.epoch, self.seed, self.weights = shuffle, 0, 0, None
        self.skipped, self.last_rows, self.next_place = {}, [], 0
        self._rows: np.ndarray | None = None  # positions, where it reads some of the items only
        self.batch_tfms = []
        self.device = torch.device(device) if device is not None else None  # type: ignore[assignment]

    # -- the steps, each a hook -----------------------------------------------------------------------------------
    wif = noop
    before_iter = noop
    after_iter = noop

    def after_item(self, x: Any) -> Any:
        return x

    def before_batch(self, x: Any) -> Any:
        return x

    def after_batch(self, x: Any) -> Any:
        return x

    @property
    def prebatched(self) -> bool:
        """Whether the items are batches already."""
        return self.bs is None

    @property
    def n(self) -> int | None:  # type: ignore[override]
        """How many items a pass has; None where nothing tells."""
        if self._rows is not None:
            return len(self._rows)
        if self._n is not None:
            return self._n
        return len(self.dataset) if hasattr(self.dataset, "__len__") else None

    @n.setter
    def n(self, n: int | None) -> None:
        self._n = n

    @property
    def rows(self) -> np.ndarray:  # type: ignore[override]
        """The positions of its items in the data set."""
        return np.arange(self.n or 0) if self._rows is None else self._rows

    def sample(self, row: int | None = None) -> Any:
        """The positions of this pass; with `row` the tensors of that one, as a batch has them, without batch dimension."""
        if row is None:
            return iter(self.get_idxs())
        self._follow_split()
        batch = self.do_batch([self.do_item(int(row))])
        return tuple(x[0] for x in self.after_batch(batch if self.device is None else to_device(batch, self.device)))

    def get_idxs(self) -> Any:
        """The positions, in order."""
        if not self.indexed:
            return itertools.repeat(None) if self.n is None else [None] * self.n
        idxs: Any = itertools.count() if self.n is None else self.rows.tolist() if self._n is None else list(range(self._n))
        return self.shuffle_fn(idxs) if self.shuffle else idxs

    def shuffle_fn(self, idxs: list[int]) -> list[int]:
        return self.rng.sample(idxs, len(idxs))

    def randomize(self) -> None:
        """A generator of its own for the order of the next pass, drawn from Python's."""
        self.rng = random.Random(random.getrandbits(64))

    def create_item(self, s: Any) -> Any:
        """The item at a position; the next one of a data set that is iterable alone."""
        if self.indexed:
            return self.dataset[s or 0]
        if s is None and self.it is not None:
            return next(self.it)
        raise IndexError("This loader's data set is read in turn, not by positions.")

    def do_item(self, s: Any) -> Any:
        """An item, made and transformed; None where it is left out."""
        try:
            return self.after_item(self.create_item(s))
        except SkipItemException:
            return None

    def create_batch(self, b: Any) -> Any:
        """Items as a batch."""
        try:
            return (fa_convert if self.prebatched else fa_collate)(b)
        except Exception as error:
            if not self.prebatched:
                collate_error(error, b)
            raise

    def retain(self, res: Any, b: Any) -> Any:
        """A batch in the types of its items."""
        return retain_types(res, b[0] if is_listy(b) else b)

    def do_batch(self, b: Any) -> Any:
        return self.retain(self.create_batch(self.before_batch(b)), b)

    def chunkify(self, b: Any) -> Any:
        return b if self.prebatched else chunked(b, self.bs, self.drop_last)

    def _follow_split(self) -> None:
        """Has the transforms act as for the split that is read."""

    def create_batches(self, samps: Any) -> Iterator[Any]:
        """Batches of the items at these positions, on the CPU."""
        if self.dataset is not None:
            self.it = iter(self.dataset) if not self.indexed else None
        yield from map(self.do_batch, self.chunkify(self._made(samps)))

    def _made(self, samps: Any) -> Iterator[Any]:
        self._taken: list[int] = []
        for s in samps:
            try:
                item = self.do_item(s)
            except StopIteration:
                return
            if item is not None:
                self._taken.append(s)
                yield item

    # -- iterating ------------------------------------------------------------------------------------------------
    def __len__(self) -> int:
        n = self.n
        if n is None:
            raise TypeError(f"This {type(self).__name__} has no length: its data set has none. Pass n=.")
        return n if self.bs is None else n // self.bs + (0 if self.drop_last or n % self.bs == 0 else 1)

    def __iter__(self) -> Iterator[Any]:
        return self.iter_from(0)

    def iter_from(self, first: int) -> Iterator[Any]:
        self.epoch += 1
        self.randomize()
        self.before_iter()
        self._follow_split()
        known = type(self).create_batches is DataLoader.create_batches and "create_batches" not in self.__dict__
        for i, batch in enumerate(self.create_batches(self.sample())):
            if known and not self.prebatched:  # the rows of this batch: those that were taken for it
                taken = self._taken[: self.bs]
                del self._taken[: len(taken)]
                self.last_rows = [t for t in taken if t is not None]
            if i < first:
                continue
            self.next_place = i + 1
            yield self.after_batch(batch if self.device is None else to_device(batch, self.device))
        self.after_iter()
        self.it = None

    def one_batch(self) -> Any:
        if self.n is not None and len(self) == 0:
            raise DataError(f"There is no batch to look at: {self.n} items don't fill one of {self.bs} (drop_last={self.drop_last}).")
        epoch, batches = self.epoch, iter(self)
        try:
            return next(batches)
        finally:
            batches.close()  # type: ignore[attr-defined]
            self.epoch = epoch

    def new(self, dataset: Any = None, cls: Any = None, **kwargs: Any) -> Any:
        """A loader like this one, of another data set or with other settings."""
        settings = self._settings()
        settings.update(kwargs)
        return (cls or type(self))(self.dataset if dataset is None else dataset, **settings)

    def _settings(self) -> dict[str, Any]:
        hooks = {name: self.__dict__[name] for name in _HOOKS if name in self.__dict__}
        return {
            "bs": self.bs,
            "num_workers": self.num_workers,
            "shuffle": self.shuffle,
            "drop_last": self.drop_last,
            "indexed": self.indexed,
            "device": self.device,
            **hooks,
        }

    # -- what burnish asks of a loader ----------------------------------------------------------------------------
    blocks: Any = ()

    def to(self, device: Any) -> Any:
        self.device = torch.device(device)
        return self

    def item(self, row: int) -> Any:
        from burnish.compat.datasets import picked

        items = getattr(self.dataset, "items", None)
        return self.dataset[row] if items is None else picked(items, int(row))

    @property
    def ordered(self) -> bool:
        return not (self.shuffle or self.drop_last or self.train)

    train_as_is = False  # read with the transforms of training, in order: for predictions of augmented samples

    def in_order(self) -> Any:
        if self.train_as_is:
            return self
        if self.ordered and getattr(self.dataset, "split_idx", None) != 0:
            return self
        made = self.new(_as_valid(self.dataset), shuffle=False, drop_last=False)
        made._rows = self._rows
        return made

    def of_rows(self, rows: np.ndarray) -> Any:
        made = self.new(shuffle=False, drop_last=False, bs=max(1, len(rows)))
        made._rows = np.asarray(rows)
        return made

    def __repr__(self) -> str:
        return f"{type(self).__name__}({'' if self.n is None else f'{self.n} items, '}bs={self.bs}, shuffle={self.shuffle})"


def _as_valid(dataset: Any) -> Any:
    """A data set as it is read for validation, whatever it is for."""
    if getattr(dataset, "split_idx", None) != 0:
        return dataset
    return dataset._new(dataset.items, split_idx=1)
