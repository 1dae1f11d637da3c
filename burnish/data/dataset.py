"""Dataset and Datasets: the samples of a split, and the splits, opened but not transformed, for looking at them one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from burnish.data.block import Block
from burnish.data.collections import L

if TYPE_CHECKING:
    import pandas as pd


class Dataset:
    """Samples as tuples of opened values, by position: ``ds[0]`` is ``(picture, label)``.

    Args:
        columns: one list of raw cells a block.
        rows: the rows of this split.
        blocks: the blocks of the columns.
        n_inp: how many of them are inputs.
    """

    def __init__(self, columns: Sequence[Sequence[Any]], rows: np.ndarray, blocks: Sequence[Block], n_inp: int | None) -> None:
        self.columns, self.rows, self.blocks, self.n_inp = columns, rows, list(blocks), n_inp or 1

    @property
    def items(self) -> L[Any]:
        """The raw cells of the first input: paths, say."""
        return L([self.columns[0][row] for row in self.rows], use_list=True)

    @property
    def vocab(self) -> Any:
        """The labels of the target."""
        return next(b.vocab for b in self.blocks if getattr(b, "vocab", None) is not None)  # type: ignore[attr-defined]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> tuple[Any, ...]:
        if not -len(self) <= i < len(self):
            raise IndexError(f"There is no sample {i}: this split has {len(self)} samples (0 to {len(self) - 1}).")
        row = self.rows[i]
        return tuple(block.open(column[row]) for block, column in zip(self.blocks, self.columns, strict=True))

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"Dataset of {len(self)} samples ({', '.join(type(b).__name__ for b in self.blocks)})"


class Datasets(NamedTuple):
    """The splits of a data set: ``train, valid, test, table = block.datasets(source)``, or by name.

    Attributes:
        train, valid, test: each a Dataset; `test` is None when there is none.
        table: what was found: a row a sample.
    """

    train: Dataset
    valid: Dataset
    test: Dataset | None
    table: pd.DataFrame

    @property
    def vocab(self) -> Any:
        """The labels of the target."""
        return self.train.vocab
