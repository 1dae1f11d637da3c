"""TensorLoader: a data set that is whole in memory as tensors (a table, ratings): a batch is an index, no thread reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from burnish.data.batches import Batch, RowLoader
from burnish.data.block import Block
from burnish.data.randomness import derive
from burnish.data.transforms import BatchTransform
from burnish.errors import DataError

_AT_ONCE = 8192  # rows that are looked up and finished at once; a batch is a part of them
_STRETCH = 4096  # rows that lie together in a file, and are read together
_MIXED = 256  # stretches whose rows are mixed
_SHARE_OF_DEVICE = 0.5  # of the device's free memory that a data set may take up


class Encoded:
    """The encoded rows of a whole table, one tensor a block, where they are trained on; the loaders of its splits share it.

    Args:
        tensors: ``(rows, ...)`` each, on the CPU.
        mapped: whether they are mapped from files, which are quick to read where rows that lie together are read together.
    """

    def __init__(self, tensors: Sequence[Tensor], mapped: bool = False) -> None:
        self._home, self.mapped = tuple(tensors), mapped
        self._there: dict[torch.device, tuple[Tensor, ...]] = {}

    def __len__(self) -> int:
        return len(self._home[0])

    def on(self, device: torch.device) -> tuple[Tensor, ...]:
        """The tensors on a device; those that would take up too much of its memory stay on the CPU."""
        if device.type == "cpu" or not self._fit(device):
            return self._home
        if device not in self._there:
            self._there = {device: tuple(t.to(device) for t in self._home)}
        return self._there[device]

    def _fit(self, device: torch.device) -> bool:
        if device in self._there or device.type != "cuda":
            return True
        free, _ = torch.cuda.mem_get_info(device)
        return sum(t.numel() * t.element_size() for t in self._home) < _SHARE_OF_DEVICE * free

    def __getstate__(self) -> dict[str, Any]:
        """A copy in another process begins on the CPU."""
        return {**self.__dict__, "_there": {}}


class TensorLoader(RowLoader):
    """Gives batches out of tensors that hold the whole table.

    Args:
        encoded: the table's tensors, one a block.
        blocks: what they are.
        rows: the rows (positions in the table) of this split.
        raw: from a row to what the user gave for it.
        The rest: see ``RowLoader``.
    """

    def __init__(
        self,
        encoded: Encoded,
        blocks: Sequence[Block],
        rows: Sequence[int] | np.ndarray,
        raw: Callable[[int], Any] | None = None,
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
        self.encoded, self.raw = encoded, raw
        super().__init__(
            blocks, rows, batch_tfms=batch_tfms, bs=bs, train=train, shuffle=shuffle, drop_last=drop_last, weights=weights,
            device=device, seed=seed,
        )  # fmt: skip

    def to(self, device: torch.device | str) -> Self:
        super().to(device)
        self.tensors = self.encoded.on(self.device)
        return self

    def order(self, epoch: int) -> np.ndarray:
        """The rows in the order of pass `epoch`: of a table in files stretches of rows in random order, many of them mixed at a time, so
        that a pass reads every part of a file once."""
        if not (self.shuffle and self.encoded.mapped and self.tensors is self.encoded.on(torch.device("cpu"))) or self.weights is not None:
            return super().order(epoch)
        rng = np.random.default_rng(derive(self.seed, "order", epoch))
        out, place = np.empty_like(self.rows), 0
        stretches = rng.permutation(-(-self.n // _STRETCH))
        for start in range(0, len(stretches), _MIXED):
            taken = [self.rows[k * _STRETCH : (k + 1) * _STRETCH] for k in stretches[start : start + _MIXED]]
            mixed = rng.permutation(np.concatenate(taken))
            out[place : place + len(mixed)] = mixed
            place += len(mixed)
        return out

    def iter_from(self, first: int) -> Iterator[Batch]:
        epoch = self.epoch
        self.epoch += 1
        return self._pass(epoch, first)

    def _pass(self, epoch: int, first: int) -> Iterator[Batch]:
        order, bs = self.order(epoch), self.bs
        index = torch.from_numpy(order).to(self.tensors[0].device)
        several = max(1, _AT_ONCE // bs) if all(vars(type(t)).get("by_sample", False) for t in self.batch_tfms) else 1
        batches: list[Batch] = []
        for number in range(first, len(self)):
            start, place = number * bs, number % several
            if place == 0 or not batches:
                begin = start - place * bs
                whole = self._at(index[begin : begin + several * bs], epoch, number - place)
                batches = list(zip(*(t.split(bs) for t in whole), strict=True))
            self.last_rows, self.next_place = order[start : start + bs].tolist(), number + 1
            yield batches[place]

    def _at(self, index: Tensor, epoch: int, number: int) -> Batch:
        taken = tuple(t.index_select(0, index) for t in self.tensors)
        return self.finish(taken, self.batch_rng(epoch, number) if self.batch_tfms else None)

    def one_batch(self) -> Batch:
        if len(self) == 0:
            raise DataError(f"There is no batch to look at: the split has {self.n} samples.")
        index = torch.from_numpy(self.order(self.epoch)[: self.bs]).to(self.tensors[0].device)
        return self._at(index, self.epoch, 0)

    def sample(self, row: int) -> Batch:
        return tuple(t[row].to(self.device) for t in self.tensors)

    def item(self, row: int) -> Any:
        return row if self.raw is None else self.raw(row)

    def in_order(self) -> TensorLoader:
        if self.ordered:
            return self
        return TensorLoader(
            self.encoded, self.blocks, self.rows, self.raw, batch_tfms=self.batch_tfms, bs=self.bs, device=self.device, seed=self.seed
        )

    def of_rows(self, rows: np.ndarray) -> TensorLoader:
        few = copy(self)
        few.rows, few.bs = rows, max(1, len(rows))
        return few
