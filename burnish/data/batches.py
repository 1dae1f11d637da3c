"""RowLoader: what every loader over rows of a table is: its rows in order, in batches, finished on the device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from burnish.data.apart import apart, is_own
from burnish.data.block import Block
from burnish.data.randomness import derive, torch_rng
from burnish.data.transforms import BatchTransform
from burnish.data.whole import whole_number
from burnish.errors import SettingError

Batch = tuple[Tensor, ...]


class RowLoader:
    """Iterates over the rows of one split; yields tuples of finished tensors on the device, inputs first.

    The order and every draw of pass number ``epoch`` follow from ``seed`` alone. A subclass says where the tensors of a row come
    from: ``iter_from``, ``one_batch``, ``sample``, ``item`` and ``in_order``.

    Args:
        blocks: what the tensors of a batch are, in order.
        rows: the rows (positions in the table) of this split.
        batch_tfms: applied on the device in order.
        bs: samples a batch.
        train: shuffle and draw; False keeps the order of `rows` and draws nothing.
        drop_last: leave out a last, incomplete batch; None does so in training when it is smaller than a quarter of `bs`.
        weights: chance of each row in `rows` to be drawn (with replacement), or None.

    Attributes:
        last_rows: the rows of the batch just given. next_place: where the pass stands after it, for ``iter_from``.
        skipped: rows that could not be read, with the reason.
    """

    def __init__(
        self,
        blocks: Sequence[Block],
        rows: Sequence[int] | np.ndarray,
        *,
        batch_tfms: Sequence[BatchTransform] = (),
        bs: int = 64,
        train: bool = False,
        shuffle: bool | None = None,
        drop_last: bool | None = None,
        weights: np.ndarray | None = None,
        device: torch.device | str = "cpu",
        seed: int = 0,
    ) -> None:
        size = whole_number(bs, least=1)
        if size is None:
            raise SettingError(f"bs={bs!r}: the batch size must be a whole number of at least 1.")
        self.blocks, self.rows = list(blocks), np.asarray(rows, dtype=np.int64)
        self.batch_tfms = [t for t in batch_tfms if train or t.when != "train"]
        self.bs, self.train, self.drop_last, self.weights = size, train, drop_last, weights
        self.shuffle = train if shuffle is None else shuffle
        self.seed, self.epoch = seed, 0
        self.skipped: dict[int, str] = {}
        self.last_rows: list[int] = []
        self.next_place = 0
        self.to(device)

    # -- order --------------------------------------------------------------------------------------------------
    @property
    def n(self) -> int:
        """Number of samples of the split."""
        return len(self.rows)

    def __len__(self) -> int:
        """Number of batches of a pass."""
        whole, rest = divmod(self.n, self.bs)
        return whole + (1 if rest and not self._drops(rest, whole) else 0)

    def _drops(self, rest: int, whole: int) -> bool:
        if self.drop_last is not None:
            return self.drop_last and whole > 0
        return self.train and self.shuffle and whole > 0 and rest < max(2, self.bs / 4)

    def order(self, epoch: int) -> np.ndarray:
        """The rows in the order of pass `epoch`."""
        if not self.shuffle:
            return self.rows
        rng = np.random.default_rng(derive(self.seed, "order", epoch))
        if self.weights is not None:
            return rng.choice(self.rows, size=self.n, p=self.weights / self.weights.sum())
        return rng.permutation(self.rows)

    @property
    def ordered(self) -> bool:
        """Whether its samples come as validation reads them: all of them, in the order of the rows, nothing drawn."""
        return not (self.train or self.shuffle or self.drop_last)

    # -- what a subclass says -----------------------------------------------------------------------------------
    def iter_from(self, first: int) -> Iterator[Batch]:
        """The batches of the next pass, from place `first` on (a ``next_place`` of that pass): what resuming in mid-epoch needs."""
        raise NotImplementedError

    def one_batch(self) -> Batch:
        """A first batch, without counting as a pass."""
        raise NotImplementedError

    def sample(self, row: int) -> Batch:
        """Encoded tensors of one row, without batch dimension, as the next pass reads it."""
        raise NotImplementedError

    def item(self, row: int) -> Any:
        """What a row's input is, as the user gave it: a path, say, or the row of a table."""
        raise NotImplementedError

    def in_order(self) -> RowLoader:
        """The same samples as validation reads them: all of them, in the order of the rows, nothing drawn."""
        raise NotImplementedError

    def of_rows(self, rows: np.ndarray) -> RowLoader:
        """A loader like this one, of some of its rows alone, in one batch."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[Batch]:
        return self.iter_from(0)

    # -- the device ---------------------------------------------------------------------------------------------
    def to(self, device: torch.device | str) -> Self:
        """Sets the device that batches are finished on."""
        self.device = torch.device(device)
        self._finishers = [block.on_device() for block in self.blocks]
        for module in [*self._finishers, *self.batch_tfms]:
            if module is not None:
                module.to(self.device)
        return self

    def finish(self, tensors: Batch, rng: torch.Generator | None) -> Batch:
        """Collated tensors as the model gets them: on the device, bytes to floats, through the batch transforms."""
        batch = [t.to(self.device, non_blocking=True) for t in tensors]
        batch = [f(t) if f is not None else t for f, t in zip(self._finishers, batch, strict=False)]
        kinds = [b.kind for b in self.blocks]
        alone = apart(kinds)
        with torch.no_grad():
            for tfm in self.batch_tfms:
                if alone is None or not is_own(tfm):
                    batch = tfm.apply(batch, kinds, rng)
                    continue
                for i in alone:
                    batch[i] = tfm.apply([batch[i]], ["image"], rng)[0]
        return tuple(block.settle(t) for block, t in zip(self.blocks, batch, strict=False))

    def batch_rng(self, epoch: int, number: int) -> torch.Generator | None:
        """What the batch transforms draw from for one batch; None outside training."""
        return torch_rng(self.seed, "batch", epoch, number) if self.train else None

    # -- looking at it ------------------------------------------------------------------------------------------
    def undone(self, batch: Sequence[Tensor]) -> Batch:
        """A finished batch, or its first tensors, without what the batch transforms do to the scale of values (``Normalize``)."""
        kinds, tensors = [b.kind for b in self.blocks], list(batch)
        for tfm in reversed(self.batch_tfms):
            tensors = tfm.undo(tensors, kinds)
        return tuple(tensors)

    def decode_batch(self, batch: Batch, max_n: int = 9) -> list[tuple[Any, ...]]:
        """The first `max_n` samples of a finished batch, as values that a person recognises."""
        n = min(max_n, len(batch[0]))
        batch = self.undone(batch)
        return [tuple(b.decode(t[i].cpu()) for b, t in zip(self.blocks, batch, strict=False)) for i in range(n)]
