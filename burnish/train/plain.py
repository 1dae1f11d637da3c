"""PyTorch's own loaders, read for evaluation: every sample of the split once, in order, and nothing dropped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch.utils.data import BatchSampler, IterableDataset, RandomSampler, SequentialSampler, SubsetRandomSampler, WeightedRandomSampler
from torch.utils.data import DataLoader as TorchLoader

from burnish.data.loader import PlainLoader


class OrderedLoader(PlainLoader):
    """A plain loader that knows which samples of its data set its batches are made of.

    Args:
        rows: their positions in the order of reading.
    """

    def __init__(self, loader: Any, device: Any, rows: Sequence[int]) -> None:
        super().__init__(loader, device)
        self.rows = rows

    def __iter__(self) -> Iterator[Any]:
        size = self.loader.batch_size
        for i, batch in enumerate(super().__iter__()):
            self.last_rows = list(self.rows[i * size : (i + 1) * size])
            yield batch


def ordered(dl: PlainLoader) -> PlainLoader:
    """`dl`'s samples in the order of the data, none left out, where PyTorch's samplers say which they are.

    A sampler that isn't known keeps its order; only an incomplete last batch is given too. Any other iterable stays as it is.
    """
    loader = dl.loader
    if not isinstance(loader, TorchLoader) or isinstance(dl, OrderedLoader):
        return dl
    sampler, size, drops = _drawing(loader)
    if isinstance(loader.dataset, IterableDataset):
        return PlainLoader(_remade(loader, batch_size=size), dl.device) if drops else dl
    rows = positions(sampler)
    if type(sampler) is SequentialSampler and not drops:
        return dl
    if rows is None:
        return PlainLoader(_remade(loader, batch_size=size, sampler=sampler), dl.device) if drops else dl
    remade = _remade(loader, batch_size=size, sampler=rows)
    return PlainLoader(remade, dl.device) if size is None else OrderedLoader(remade, dl.device, rows)


def unknown_sampler(dl: Any) -> str | None:
    """The name of what draws a loader's samples if they may come in any order, else None."""
    loader = getattr(dl, "loader", None)
    if not isinstance(loader, TorchLoader) or isinstance(loader.dataset, IterableDataset):
        return None
    sampler = _drawing(loader)[0]
    return type(sampler).__name__ if positions(sampler) is None else None


def positions(sampler: Any) -> Sequence[int] | None:
    """The positions in the data set that one of PyTorch's samplers draws from, in order; None for any other sampler.

    A random subset has the order it was given. What a weighted sampler gives no chance is not of the split.
    """
    kind = type(sampler)
    if kind is SubsetRandomSampler:
        return [int(i) for i in sampler.indices]
    if kind in (RandomSampler, SequentialSampler):
        return range(len(sampler.data_source))
    if kind is WeightedRandomSampler:
        return sampler.weights.nonzero().flatten().tolist()
    return sampler if kind in (range, list) and all(isinstance(i, int) for i in sampler) else None


def _drawing(loader: TorchLoader[Any]) -> tuple[Any, int | None, bool]:
    """What draws the samples (a batch sampler of the user's own, or the sampler), the batch size (None where the data set or
    such a batch sampler makes the batches), and whether an incomplete last batch is dropped."""
    batches = loader.batch_sampler
    if batches is None:
        return loader.sampler, None, False
    return (batches.sampler, batches.batch_size, batches.drop_last) if type(batches) is BatchSampler else (batches, None, False)


def _remade(loader: TorchLoader[Any], **changed: Any) -> TorchLoader[Any]:
    """A loader like `loader`, but for what is `changed`, that drops nothing."""
    same = ("num_workers", "collate_fn", "pin_memory", "timeout", "worker_init_fn", "multiprocessing_context")
    return TorchLoader(loader.dataset, **{name: getattr(loader, name) for name in same}, **changed)
