"""PyTorch's own loaders in prediction: which samples, in which order, and `rows` that say so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from tiny import points, tiny_learner
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    IterableDataset,
    RandomSampler,
    Sampler,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)
from torch.utils.data import DataLoader as TorchLoader

from burnish.data.dataloaders import DataLoaders
from burnish.data.notes import captured_notes

X, Y = points(96)
CHOSEN = [40, 3, 17, 95, 8, 60, 21, 33, 5, 77]
SOME = torch.zeros(96).index_fill(0, torch.tensor(CHOSEN), 1.0)
DATA = TensorDataset(X, Y)


class Backwards(Sampler[int]):
    """A sampler of the user's own."""

    def __iter__(self) -> Iterator[int]:
        return iter(range(95, -1, -1))

    def __len__(self) -> int:
        return 96


class Pairs(Sampler[list[int]]):
    """A batch sampler of the user's own: the last four samples, in pairs."""

    def __iter__(self) -> Iterator[list[int]]:
        return iter([[95, 94], [93, 92]])

    def __len__(self) -> int:
        return 2


def predicted(loader: Any, split: str = "train") -> tuple[Tensor, Tensor, list[int], list[str]]:
    learn = tiny_learner(dls=DataLoaders(loader, TorchLoader(DATA, 16), device="cpu"))
    with captured_notes() as notes:
        found = learn.get_preds(split)
    everything = learn.model.eval()(X).softmax(1).detach()
    return found.preds, everything, found.rows.tolist(), notes


@pytest.mark.parametrize(
    ("loader", "rows"),
    [
        (TorchLoader(DATA, 16, sampler=SubsetRandomSampler(CHOSEN), drop_last=True), CHOSEN),
        (TorchLoader(DATA, 4, sampler=SubsetRandomSampler(CHOSEN)), CHOSEN),
        (TorchLoader(DATA, 4, sampler=SubsetRandomSampler(torch.tensor(CHOSEN))), CHOSEN),  # type: ignore[arg-type]
        (TorchLoader(DATA, 4, sampler=WeightedRandomSampler(SOME, 30)), sorted(CHOSEN)),  # type: ignore[arg-type]
        (TorchLoader(DATA, 40, sampler=WeightedRandomSampler(torch.ones(96), 50)), list(range(96))),  # type: ignore[arg-type]
        (TorchLoader(DATA, 40, shuffle=True, drop_last=True), list(range(96))),
        (TorchLoader(DATA, 40, drop_last=True), list(range(96))),
        (TorchLoader(DATA, 40), list(range(96))),
        (TorchLoader(DATA, 40, sampler=range(10, 30)), list(range(10, 30))),
        (TorchLoader(DATA, batch_sampler=BatchSampler(RandomSampler(DATA), 40, drop_last=True)), list(range(96))),
    ],
    ids=["subset, dropping", "subset", "subset as a tensor", "weights of 0", "weighted", "shuffled", "dropping", "plain", "range", "batches"],
)  # fmt: skip
def test_each_sample_of_the_split_comes_once_and_rows_tell_which(loader: TorchLoader[Any], rows: list[int]) -> None:
    preds, everything, found, notes = predicted(loader)
    assert found == rows and not notes
    torch.testing.assert_close(preds, everything[rows])


@pytest.mark.parametrize(
    ("loader", "order", "name"),
    [
        (TorchLoader(DATA, 40, sampler=Backwards(), drop_last=True), list(range(95, -1, -1)), "Backwards"),
        (TorchLoader(DATA, batch_sampler=Pairs()), [95, 94, 93, 92], "Pairs"),
        (TorchLoader(DATA, batch_sampler=BatchSampler(Backwards(), 40, drop_last=True)), list(range(95, -1, -1)), "Backwards"),
    ],
)  # fmt: skip
def test_an_unknown_sampler_keeps_its_order_and_it_is_said(loader: TorchLoader[Any], order: list[int], name: str) -> None:
    preds, everything, found, notes = predicted(loader)
    torch.testing.assert_close(preds, everything[order])
    assert found == list(range(len(order)))
    assert len(notes) == 1 and f"by a {name}" in notes[0] and "the loader's order" in notes[0]


def test_data_that_comes_in_whole_batches_is_not_shuffled() -> None:
    preds, everything, found, _ = predicted(TorchLoader(Halves(), batch_size=None, shuffle=True))
    torch.testing.assert_close(preds, everything)
    assert found == list(range(96))


class Halves(torch.utils.data.Dataset[Any]):
    def __len__(self) -> int:
        return 2

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        return X[i * 48 : (i + 1) * 48], Y[i * 48 : (i + 1) * 48]


def test_a_stream_loses_nothing() -> None:
    class Stream(IterableDataset[Any]):
        def __iter__(self) -> Iterator[Any]:
            return zip(X, Y, strict=True)

        def __len__(self) -> int:
            return 96

    preds, everything, found, notes = predicted(TorchLoader(Stream(), 40, drop_last=True))
    torch.testing.assert_close(preds, everything)
    assert found == list(range(96)) and not notes


def test_validating_on_a_subset_is_on_that_subset() -> None:
    loader = TorchLoader(DATA, 16, sampler=SubsetRandomSampler(CHOSEN), drop_last=True)
    learn = tiny_learner(dls=DataLoaders(loader, TorchLoader(DATA, 16), device="cpu"))
    right = (learn.model.eval()(X[CHOSEN]).argmax(1) == Y[CHOSEN]).float().mean()
    assert learn.validate("train")["accuracy"] == pytest.approx(float(right))
