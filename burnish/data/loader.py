"""DataLoader: samples in order, read in parallel threads, finished on the device one batch ahead."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from copy import copy
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from burnish.data.batches import Batch, RowLoader
from burnish.data.notes import note
from burnish.data.parallel import default_workers
from burnish.data.randomness import derive, item_rng, torch_rng
from burnish.data.reader import Reader, describe_failure
from burnish.data.show import draw_sample, grid, how_many, room_of
from burnish.data.transforms import BatchTransform
from burnish.data.whole import whole_number
from burnish.errors import DataError, SettingError, UnreadableFileError, listed

_PART = 0.004  # least seconds that a reading thread is asked to work for: waking it, and taking turns with it, costs tens of microseconds
Place = tuple[int, int]  # a row, and how often it came before in the pass


class Sample(NamedTuple):
    """A sample on its way: raw cells, then values, then tensors; or the reason why it can't be read.

    `rng` is its generator (None outside training), `seed` what the process's generators are seeded with for it.
    """

    row: int
    rng: random.Random | None
    seed: int
    content: tuple[Any, ...] | str


class Read(NamedTuple):
    """A batch as it is read: rows that could be, their tensors, and what went wrong with the others."""

    rows: list[int]
    tensors: Batch
    failures: dict[int, str]


class DataLoader(RowLoader):
    """Reads the samples of its rows in parallel threads. The batches are the same, whatever the number of threads.

    Args:
        columns: one list of raw cells a block, over all rows of the table.
        rows: the rows (positions in the table) of this split.
        reader: reads a row.
        num_workers: reading threads; 0 reads in the calling thread; None one a processor.
        on_error: "skip" leaves unreadable files out (counted in ``skipped``, named at the end of the pass; a batch of nothing
            else isn't given), "raise" stops at the first.
        The rest: see ``RowLoader``.
    """

    def __init__(
        self,
        columns: Sequence[Sequence[Any]],
        rows: Sequence[int] | np.ndarray,
        reader: Reader,
        *,
        batch_tfms: Sequence[BatchTransform] = (),
        bs: int = 64,
        train: bool = False,
        shuffle: bool | None = None,
        drop_last: bool | None = None,
        weights: np.ndarray | None = None,
        num_workers: int | None = None,
        device: torch.device | str = "cpu",
        seed: int = 0,
        on_error: str = "skip",
    ) -> None:
        threads = default_workers() if num_workers is None else whole_number(num_workers, least=0)
        if threads is None:
            raise SettingError(
                f"num_workers={num_workers!r}: expected a number of reading threads: 0 reads in the calling thread, None one a processor."
            )
        if on_error not in ("skip", "raise"):
            raise SettingError(f"on_error={on_error!r}: expected 'skip' or 'raise'.")
        super().__init__(
            reader.blocks, rows, batch_tfms=batch_tfms, bs=bs, train=train, shuffle=shuffle, drop_last=drop_last, weights=weights,
            device=device, seed=seed,
        )  # fmt: skip
        self.columns, self.reader, self.num_workers, self.on_error = columns, reader, threads, on_error
        self._pace = 1.0  # seconds to read a sample, of late: how many a thread is asked for at once
        self._pool: ThreadPoolExecutor | None = None
        self._assembler: ThreadPoolExecutor | None = None
        self._process = os.getpid()

    def in_order(self) -> DataLoader:
        if self.ordered:
            return self
        return DataLoader(
            self.columns, self.rows, Reader(self.blocks, self.reader.item_tfms, train=False), batch_tfms=self.batch_tfms, bs=self.bs,
            num_workers=self.num_workers, device=self.device, seed=self.seed, on_error=self.on_error,
        )  # fmt: skip

    def iter_from(self, first: int) -> Iterator[Batch]:
        epoch = self.epoch
        self.epoch += 1
        return self._finish_ahead(self._readable(self._batches(epoch)[first:], epoch, first), epoch)

    def one_batch(self) -> Batch:
        return self.finish(self._first_read().tensors, self.batch_rng(self.epoch, 0))

    def _first_read(self) -> Read:
        if len(self) == 0:
            raise DataError(f"There is no batch to look at: the split has {self.n} samples.")
        failures: dict[int, str] = {}
        for places in self._batches(self.epoch):
            read = self._read(places, self.epoch)
            failures |= read.failures
            if read.rows:
                self._name(self._new(failures))
                return read
        raise self._nothing_readable(failures)

    def of_rows(self, rows: np.ndarray) -> DataLoader:
        few = copy(self)
        few.rows, few.bs, few.num_workers = rows, max(1, len(rows)), 0
        return few

    def item(self, row: int) -> Any:
        return self.columns[0][row]

    def sample(self, row: int) -> Batch:
        read = self._read([(row, 0)], self.epoch)
        if not read.rows:
            raise UnreadableFileError(read.failures[row])
        return tuple(t[0] for t in read.tensors)

    def _batches(self, epoch: int) -> list[list[Place]]:
        order = self.order(epoch)
        places = list(zip(order.tolist(), _occurrences(order) if self.weights is not None else [0] * len(order), strict=True))
        return [places[i * self.bs : (i + 1) * self.bs] for i in range(len(self))]

    # -- reading ------------------------------------------------------------------------------------------------
    def _read(self, places: list[Place], epoch: int) -> Read:
        return self._assemble([self._start(places, epoch)])

    def _start(self, places: list[Place], epoch: int) -> list[Sample]:
        """Reads samples as far as a reading thread may: to tensors, unless a transform may draw from the process's generators."""
        reader, started = self.reader, perf_counter()
        read = (lambda s: reader.start(s.content, s.rng)) if reader.held else self._whole
        out: list[Sample] = []
        for row, again in places:
            rng = item_rng(self.seed, epoch, row, again) if self.train else None
            seed = derive(self.seed, "item", *((epoch, row, again) if self.train else (row,))) if reader.held else 0
            out.append(self._step(Sample(row, rng, seed, tuple(column[row] for column in self.columns)), read))
        self._pace += 0.2 * ((perf_counter() - started) / len(places) - self._pace)
        return out

    def _whole(self, sample: Sample) -> tuple[Any, ...]:
        values = self.reader.start(sample.content, sample.rng)  # pyright: ignore[reportArgumentType]
        return self.reader.end(values, sample.rng, sample.seed)

    def _end(self, sample: Sample) -> Sample:
        return self._step(sample, lambda s: self.reader.end(s.content, s.rng, s.seed))

    def _step(self, sample: Sample, do: Callable[[Any], tuple[Any, ...]]) -> Sample:
        """`sample` after a step of reading; with the reason why, if it turns out to be unreadable."""
        if isinstance(sample.content, str):
            return sample
        try:
            return sample._replace(content=do(sample))
        except (UnreadableFileError, OSError) as error:
            if self.on_error == "raise":
                raise
            return sample._replace(content=describe_failure(self.columns[0][sample.row], error))
        except Exception as error:
            raws = [column[sample.row] for column in self.columns]
            error.add_note(f"This happened while reading row {sample.row} of the table: {listed(map(repr, raws))}.")
            raise

    def _assemble(self, parts: Sequence[list[Sample] | Future[list[Sample]]]) -> Read:
        samples = [sample for part in parts for sample in (part.result() if isinstance(part, Future) else part)]
        if self.reader.held:
            with self.reader.borrowing():
                samples = [self._end(sample) for sample in samples]
        good = [s for s in samples if not isinstance(s.content, str)]
        failures = {s.row: s.content for s in samples if isinstance(s.content, str)}
        tensors = tuple(block.collate([s.content[i] for s in good]) for i, block in enumerate(self.blocks)) if good else ()  # pyright: ignore[reportArgumentType]
        if len(good) == 1 and self.reader.cache is not None:  # of several a batch is a copy; of one it may be the cache's own memory
            tensors = tuple(t.clone() for t in tensors)
        if self.device.type == "cuda":
            tensors = tuple(t.pin_memory() for t in tensors)
        return Read([s.row for s in good], tensors, failures)

    def _read_ahead(self, batches: list[list[Place]], epoch: int) -> Iterator[Read]:
        """Batches in order, read by the threads a few ahead of their use."""
        if self.num_workers == 0:
            yield from (self._read(places, epoch) for places in batches)
            return
        waiting: list[tuple[list[Future[Any]], Callable[[], Read]]] = []
        process, given, asked = os.getpid(), 0, 0
        try:
            while given < len(batches):
                if os.getpid() != process:  # forked meanwhile: the threads that were reading are not here
                    waiting, asked, process = [], given, os.getpid()
                while asked < min(given + 3, len(batches)):
                    waiting.append(self._ask(batches[asked], epoch))
                    asked += 1
                _, take = waiting.pop(0)
                yield take()
                given += 1
        finally:
            for future in (f for futures, _ in waiting if os.getpid() == process for f in futures):
                future.cancel()

    def _ask(self, places: list[Place], epoch: int) -> tuple[list[Future[Any]], Callable[[], Read]]:
        """Has the threads read a batch; gives what they are at, and how to take the result."""
        pool, assembler = self._threads()
        part = max(-(-self.bs // self.num_workers), min(self.bs, int(_PART / self._pace)))
        parts = [pool.submit(self._start, places[i : i + part], epoch) for i in range(0, len(places), part)]
        if self.reader.held:
            return [*parts], lambda: self._assemble(parts)
        whole = assembler.submit(self._assemble, parts)
        return [whole, *parts], whole.result

    def _threads(self) -> tuple[ThreadPoolExecutor, ThreadPoolExecutor]:
        if self._pool is None or self._assembler is None or self._process != os.getpid():  # a forked process has none of its parent's
            self._pool = ThreadPoolExecutor(self.num_workers, thread_name_prefix="burnish-read")
            self._assembler = ThreadPoolExecutor(1, thread_name_prefix="burnish-batch")
            self._process = os.getpid()
        return self._pool, self._assembler

    def __getstate__(self) -> dict[str, Any]:
        """Threads stay behind when a loader is copied or pickled."""
        return {**self.__dict__, "_pool": None, "_assembler": None}

    # -- what can't be read -------------------------------------------------------------------------------------
    def _readable(self, batches: list[list[Place]], epoch: int, first: int) -> Iterator[tuple[int, Read]]:
        """Batches with their numbers, without those of which nothing could be read. At the end, what couldn't is named; it is
        an error when that is everything."""
        failures: dict[int, str] = {}
        new: dict[int, str] = {}
        anything = first > 0 or not batches
        try:
            for number, read in enumerate(self._read_ahead(batches, epoch), start=first):
                failures |= read.failures
                new |= self._new(read.failures)
                if read.rows:
                    anything = True
                    yield number, read
        finally:
            if anything:
                self._name(new)
        if not anything:
            raise self._nothing_readable(failures)

    def _new(self, failures: dict[int, str]) -> dict[int, str]:
        """Those of `failures` that were not met before; they are now."""
        new = {row: why for row, why in failures.items() if row not in self.skipped}
        self.skipped.update(new)
        return new

    def _name(self, new: dict[int, str]) -> None:
        if new:
            note(
                f"{len(new)} file(s) could not be read and are left out: {_reasons(new)}. dls.check() lists them all; on_error='raise' stops instead."
            )

    def _nothing_readable(self, failures: dict[int, str]) -> DataError:
        self.skipped.update(failures)
        return DataError(f"None of the {len(failures)} samples could be read: {_reasons(failures, 3)}. dls.check() lists all such files.")

    # -- the device ---------------------------------------------------------------------------------------------
    def _finish_ahead(self, reads: Iterator[tuple[int, Read]], epoch: int) -> Iterator[Batch]:
        """Finished batches; on a GPU the next one is copied and transformed on a stream of its own meanwhile."""
        if self.device.type != "cuda":
            for i, read in reads:
                batch = self.finish(read.tensors, self.batch_rng(epoch, i))
                self.last_rows, self.next_place = read.rows, i + 1
                yield batch
            return
        side = torch.cuda.Stream(self.device)
        side.wait_stream(torch.cuda.current_stream(self.device))  # what the transforms hold may still be on its way
        ahead: tuple[int, list[int], Batch, torch.cuda.Event] | None = None
        for i, read in reads:
            with torch.cuda.stream(side):
                batch = self.finish(read.tensors, self.batch_rng(epoch, i))
            if ahead is not None:
                yield self._hand_over(*ahead)
            ahead = (i, read.rows, batch, side.record_event())  # pyright: ignore[reportAssignmentType]
        if ahead is not None:
            yield self._hand_over(*ahead)

    def _hand_over(self, number: int, rows: list[int], batch: Batch, ready: torch.cuda.Event) -> Batch:
        """The model's stream waits (on the device) for the batch, and for nothing that was enqueued after it."""
        now = torch.cuda.current_stream(self.device)
        now.wait_event(ready)
        for t in batch:
            t.record_stream(now)
        self.last_rows, self.next_place = rows, number + 1
        return batch

    def show_batch(
        self,
        max_n: int = 9,
        nrows: int | None = None,
        ncols: int | None = None,
        figsize: tuple[float, float] | None = None,
        unique: bool = False,
    ) -> None:
        """Draws samples as the model sees them: of a batch in training, else from all over the split.

        ``unique=True``: one sample, drawn anew each time.
        """
        max_n = how_many(max_n, nrows, ncols)
        if unique:
            row = self._first_read().rows[0]
            reads = [self._read([(row, 0)], self.epoch + k).tensors for k in range(max_n)]
            tensors = tuple(block.collate([r[i][0] for r in reads]) for i, block in enumerate(self.blocks))
            batch = self.finish(tensors, torch_rng(self.seed, "show", self.epoch) if self.train else None)
        elif self.train or self.shuffle:
            batch = self.one_batch()
        else:
            spread = np.linspace(0, self.n - 1, min(max_n, self.n)).round().astype(int)
            batch = self.of_rows(self.rows[spread]).one_batch()
        samples = self.decode_batch(batch, max_n)
        axes = grid(len(samples), nrows, ncols, figsize, **room_of(self.blocks, samples))
        for ax, values in zip(axes, samples, strict=True):
            draw_sample(self.blocks, values, ax)


class PlainLoader:
    """Any iterable of batches with a length (a PyTorch DataLoader), in the shape of a DataLoader: batches on the device.

    Batches are tuples, lists or mappings of tensors (which become dicts); the iterable's own order and workers stay as they are.
    """

    def __init__(self, loader: Any, device: torch.device | str = "cpu") -> None:
        self.loader, self.device, self.epoch = loader, torch.device(device), 0
        self.skipped: dict[int, str] = {}
        self.last_rows: list[int] = []

    @property
    def dataset(self) -> Any:
        return getattr(self.loader, "dataset", None)

    @property
    def bs(self) -> int | None:
        return getattr(self.loader, "batch_size", None)

    @property
    def n(self) -> int:
        return len(self.dataset) if self.dataset is not None else len(self)

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Any]:
        return self.iter_from(0)

    def iter_from(self, first: int) -> Iterator[Any]:
        """The batches from number `first` on; the ones before are read and thrown away, at once."""
        self.epoch += 1
        batches = iter(self.loader)
        for _ in range(first):
            next(batches, None)
        return map(self._move, batches)

    def one_batch(self) -> Any:
        for batch in self.loader:
            return self._move(batch)
        raise DataError(
            f"There is no batch to look at: the {type(self.loader).__name__} gave none. It needs samples; with drop_last=True as many as a batch."
        )

    def to(self, device: torch.device | str) -> PlainLoader:
        self.device = torch.device(device)
        return self

    def _move(self, batch: Any) -> Any:
        if isinstance(batch, Tensor):
            return batch.to(self.device, non_blocking=True)
        if isinstance(batch, Mapping):
            return {k: self._move(v) for k, v in batch.items()}
        if isinstance(batch, (list, tuple)):
            return tuple(self._move(v) for v in batch)
        return batch


def _occurrences(order: np.ndarray) -> list[int]:
    """How often each row came before in `order`.

    >>> _occurrences(np.array([7, 3, 7, 7]))
    [0, 0, 1, 2]
    """
    together = np.argsort(order, kind="stable")
    ordered = order[together]
    out = np.empty(len(order), dtype=np.int64)
    out[together] = np.arange(len(order)) - np.searchsorted(ordered, ordered)
    return out.tolist()


def _reasons(failures: dict[int, str], most: int = 20) -> str:
    """Why samples couldn't be read, as one clause."""
    said = "; ".join(why.rstrip(".") for why in list(failures.values())[:most])
    return said + (f"; and {len(failures) - most} more" if len(failures) > most else "")
