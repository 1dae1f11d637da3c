"""What a table's target is: classes or numbers, chosen by what the column holds and said, or as the user says."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from burnish.data.block import Block
from burnish.data.category import CategoryBlock
from burnish.data.lazy import pd
from burnish.data.mapped import plain_rows
from burnish.data.notes import note
from burnish.data.number import RegressionBlock
from burnish.errors import DataError, SettingError, listed
from burnish.tabular.features import is_duration, kind_of_values, numbers_of
from burnish.tabular.frames import cells_of, names_of, need_columns
from burnish.tabular.looks import look_of

MOST_CLASSES = 20  # whole numbers with more different values than this are taken as numbers


class Classes(NamedTuple):
    """A column of classes: for each row the position of its class among the different ones, -1 for none."""

    codes: np.ndarray
    different: list[Any]


class Target:
    """One target of a model: its block and the column(s) of the table that it is in.

    Attributes:
        block: CategoryBlock, RegressionBlock (over all of `columns`), or one of the user's own.
        columns: their names.
    """

    def __init__(self, block: Block, columns: Sequence[str]) -> None:
        self.block, self.columns = block, list(columns)

    def learned(self, frame: pd.DataFrame, sides: Mapping[str, np.ndarray], known: bool = False) -> Tensor:
        """The targets of all rows ``(rows, ...)``, 0 in the rows of no side: the block learns from the training rows (unless it is
        `known` from others), and looks at the rows of every side."""
        of = self._classes(frame) if isinstance(self.block, CategoryBlock) else None
        used = np.zeros(len(frame), dtype=bool)
        for split, rows in sides.items():
            used[rows] = True
            cells = self._values(frame, rows) if of is None else [*of.different, None]
            if of is not None:
                cells = [cells[code] for code in pd.unique(of.codes[rows]).tolist()]  # -1, none, is the last
            fitted = split != "train" or known
            try:
                if not fitted:
                    self.block.fit(cells)
                    fitted = True
                self.block.check(cells, range(len(cells)), split)
            except DataError:
                if fitted or of is None:  # with the rows' names
                    self.block.check(self.cells(frame.iloc[rows]), [f"row {row}" for row in frame.index[rows]], split)
                raise
        at = np.flatnonzero(used)
        some = self.block.encode_all(self._values(frame, at)) if of is None else self._codes(of, at)
        whole = torch.zeros(len(frame), *some.shape[1:], dtype=some.dtype)
        whole[torch.from_numpy(at)] = some
        return whole

    def _classes(self, frame: pd.DataFrame) -> Classes:
        codes, different = pd.factorize(cells_of(frame, self.columns[0]))
        return Classes(codes, different.tolist())

    def _codes(self, of: Classes, rows: np.ndarray) -> Tensor:
        block, codes = self.block, of.codes[rows]
        assert isinstance(block, CategoryBlock)
        there = set(pd.unique(codes).tolist())
        known = [block.encode(value) if code in there else torch.tensor(0) for code, value in enumerate(of.different)]
        missing = block.encode(None) if block.add_na else torch.tensor(0)  # else there are none: see drop_missing
        return torch.stack([*known, missing])[torch.from_numpy(codes)]

    def _values(self, frame: pd.DataFrame, rows: np.ndarray) -> Any:
        """The raw cells of some rows: numbers as an array, where the columns hold nothing else."""
        columns = [cells_of(frame, name).iloc[rows] for name in self.columns]
        if isinstance(self.block, RegressionBlock) and all(isinstance(c.dtype, np.dtype) and c.dtype.kind in "iuf" for c in columns):
            numbers = [c.to_numpy(dtype=np.float64) for c in columns]
            return numbers[0][:, None] if len(numbers) == 1 else np.stack(numbers, 1)
        return self.cells(pd.DataFrame(dict(zip(self.columns, columns, strict=True))))

    def cells(self, frame: pd.DataFrame) -> list[Any]:
        """The raw cells, one a row; a list a row where the target is in several columns."""
        if len(self.columns) == 1:
            return cells_of(frame, self.columns[0]).tolist()
        several: Any = frame[self.columns]
        return plain_rows(several).to_numpy().tolist()


def find_targets(frame: pd.DataFrame, y_names: Any, y_block: Any = None) -> list[Target]:
    """The target(s) of a table: several columns of numbers are one target, classes one each.

    Args:
        y_names: a name, or a list of them.
        y_block: the block (a class, or one made), or a list of one a name; None chooses, and says what where it could be meant
            otherwise.

    Raises:
        DataError: there is no such column, or it can't be a target.
    """
    names = names_of(y_names, frame)
    need_columns(frame, names, "y_names")
    if len(set(names)) < len(names):
        raise DataError(f"y_names has a column twice: {listed(map(repr, names))}.")
    blocks = _given(y_block, names)
    if len(blocks) == 1 and len(names) > 1 and blocks[0] is not None:
        return [Target(blocks[0], names)]
    chosen = [block if block is not None else choose_block(cells_of(frame, name)) for block, name in zip(blocks, names, strict=True)]
    if len(chosen) > 1 and all(type(b) is RegressionBlock for b in chosen) and y_block is None:
        return [Target(RegressionBlock(len(names)), names)]
    return [Target(block, [name]) for block, name in zip(chosen, names, strict=True)]


def _given(y_block: Any, names: Sequence[str]) -> list[Block | None]:
    if y_block is None:
        return [None] * len(names)
    several: list[Any] = list(y_block) if isinstance(y_block, (list, tuple)) else [y_block]
    made: list[Any] = [copy.deepcopy(b) if isinstance(b, Block) else b() if inspect.isclass(b) or callable(b) else b for b in several]
    odd = next((b for b in made if not isinstance(b, Block)), None)
    if odd is not None:
        raise SettingError(f"y_block={odd!r}: expected a block such as CategoryBlock() or RegressionBlock().")
    if len(made) not in (1, len(names)):
        raise SettingError(f"y_block has {len(made)} blocks for the {len(names)} targets {listed(map(repr, names))}; give one each.")
    if len(made) == 1 and len(names) > 1 and isinstance(made[0], CategoryBlock):
        return [CategoryBlock(made[0].vocab, made[0].sort, made[0].add_na) for _ in names]
    return made


def choose_block(column: pd.Series) -> Block:
    """Classes or numbers, by what a column holds: fractions and many different whole numbers are numbers, all else classes.

    Few different whole numbers could be either; what is chosen is said, with how to choose the other.
    """
    cells = column.dropna()
    if not len(cells):
        raise DataError(f"The target {column.name!r} has no value: all {len(column)} cells are missing.")
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        raise DataError(
            f"The target {column.name!r} holds dates. Predict a number made of them (days since ...), or pass y_block= if they are classes."
        )
    odd = next((c for c in cells.head(1).tolist() if isinstance(c, (pd.Interval, pd.Period))), None)
    if odd is not None:
        raise DataError(
            f"The target {column.name!r} holds {odd!r}, and others like it, which a model file can't keep. Make them texts: "
            f"df[{column.name!r}] = df[{column.name!r}].astype(str)."
        )
    if is_duration(column):
        raise DataError(
            f"The target {column.name!r} holds durations. Predict a number made of them: df[{column.name!r}] = df[{column.name!r}].dt.total_seconds()."
        )
    look = look_of(column, MOST_CLASSES)
    if look is not None and look.kind != "numbers":
        if look.kind != "codes":
            note(f"The target {look.said}: taken as {cells.nunique()} classes. If it is no class, convert it first: {look.advice}")
        return CategoryBlock()
    if look is None and (isinstance(column.dtype, pd.CategoricalDtype) or kind_of_values(cells) != "number"):
        return CategoryBlock()
    numbers = numbers_of(cells, np.zeros(len(cells), dtype=bool))[0]
    different = np.unique(numbers)
    if look is not None:
        note(f"The target {look.said}: taken as a number. If they are classes: y_block=CategoryBlock().")
        return RegressionBlock()
    if (different != np.floor(different)).any():
        return RegressionBlock()
    values = f"{len(different)} different whole numbers ({listed((f'{v:g}' for v in different), 6)})"
    if len(different) > min(MOST_CLASSES, max(2, len(cells) // 5)):
        note(f"The target {column.name!r} has {values}: taken as a number. If they are classes: y_block=CategoryBlock().")
        return RegressionBlock()
    order = "" if len(different) == 2 else ", without an order"
    note(f"The target {column.name!r} has {values}: taken as classes{order}. If it is an amount: y_block=RegressionBlock().")
    return CategoryBlock()


def drop_missing(frame: pd.DataFrame, targets: Sequence[Target], missing: str) -> np.ndarray:
    """The positions of the rows that have all their targets. Those that haven't are told in a note, or an error.

    Args:
        missing: "drop" or "raise".
    """
    if missing not in ("drop", "raise"):
        raise SettingError(f"missing_targets={missing!r}: expected 'drop' (leave such rows out and say so) or 'raise'.")
    gone = np.zeros(len(frame), dtype=bool)
    for target in targets:
        block = target.block
        if not (isinstance(block, CategoryBlock) and block.add_na):
            for name in target.columns:
                gone |= cells_of(frame, name).isna().to_numpy()
    say_left_out(gone, f"target ({listed((c for t in targets for c in t.columns), 4)})", missing)
    return np.flatnonzero(~gone)


def say_left_out(gone: np.ndarray, what: str, missing: str, columns: str = "[...]") -> None:
    """Says which rows are left out because they have no `what`; an error where `missing` is "raise", or no row is left."""
    if gone.any():
        at = np.flatnonzero(gone)
        said = f"{len(at)} of {len(gone)} rows have no {what}: rows {listed(at)}"
        if missing == "raise" or gone.all():
            raise DataError(f"{said}. Fill them in, or leave the rows out: df.dropna(subset={columns}).")
        note(f"{said}. They are left out.")
