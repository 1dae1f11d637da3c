"""RowBlock: a row of a table as one input among others, beside a picture, say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from burnish.data.block import Block
from burnish.data.lazy import pd
from burnish.errors import DataError, SettingError, listed, nearest
from burnish.tabular.blocks import CategoriesBlock, NumbersBlock, as_row
from burnish.tabular.features import NA, MissingFeature
from burnish.tabular.frames import as_frame
from burnish.tabular.prepare import input_blocks
from burnish.tabular.procs import Categorify, Dates, FillMissing, Normalize, Procs
from burnish.tabular.roles import find_roles

_MOST_EXACT = 2**24  # whole numbers up to which float32 tells all apart
MOST_LINES, MOST_LETTERS = 5, 34  # of a row beside its picture


class RowBlock(Block):
    """A row of a table, of which the model gets the columns that are named: ``RowBlock(cat_names=["site"], cont_names=["age"])``.

    They are prepared as in ``TabularDataLoaders``: categories as codes (missing and unknown ones too), numbers filled and brought to mean
    0 and spread 1, dates taken apart; all learned from the training rows.

    Args:
        cat_names: columns of categories. cont_names: of numbers. date_names: of dates.
        categories, numbers: what ``fit`` made of them.

    A raw cell is a row: a dict, a Series, a named tuple, a DataFrame of one row. It may have other columns; those aren't looked at.

    Shapes: encode ``(columns,)`` float32, the codes of the categories, then the numbers; collate ``(batch, columns)``.

    Raises:
        SettingError: no column is named. A row mostly holds the answer too, and a model that is given it learns nothing.
    """

    kind: ClassVar[str] = "row"
    name: ClassVar[str] = "row"
    of_row: ClassVar[bool] = True
    blends: ClassVar[bool] = False

    def __init__(
        self,
        cat_names: Any = None,
        cont_names: Any = None,
        date_names: Any = None,
        categories: CategoriesBlock | None = None,
        numbers: NumbersBlock | None = None,
    ) -> None:
        self.cat_names, self.cont_names, self.date_names = (_names(given) for given in (cat_names, cont_names, date_names))
        if not self.columns:
            raise SettingError(
                "RowBlock() names no column. Say which ones the model is to be given, without the target: "
                "RowBlock(cat_names=['site'], cont_names=['age', 'weight'])."
            )
        self.categories = CategoriesBlock() if categories is None else categories
        self.numbers = NumbersBlock() if numbers is None else numbers

    @property
    def columns(self) -> list[str]:
        """The columns that the model is given."""
        return [*self.cat_names, *self.cont_names, *self.date_names]

    def cell(self, given: Any) -> dict[str, Any]:
        row = as_row(given)
        missing = [name for name in self.columns if name not in row]
        if missing:
            raise DataError(
                f"The row has no column {listed(map(repr, missing))}, which the RowBlock names.{nearest(missing[0], row)} It has: {listed(row, 20)}."
            )
        return {name: row[name] for name in self.columns}

    def fit(self, raws: Sequence[Any]) -> None:
        frame = self._frame(raws)
        dates = [Dates(self.date_names)] if self.date_names else []
        roles = find_roles(frame, [], self.cat_names, self.cont_names, self.date_names, with_dates=False)
        self.categories, self.numbers = input_blocks(frame, roles, Procs([Categorify, FillMissing, Normalize, *dates]))
        largest = max((f.unknown for f in self.categories.features), default=0)
        if largest > _MOST_EXACT:
            raise DataError(
                f"A column has {largest:,} categories, more than float32 tells apart. It names the rows, perhaps: leave it out."
            )

    def check(self, raws: Sequence[Any], rows: Sequence[object], split: str) -> None:
        try:
            self.encode_all(raws)  # all at once, for there may be many
            return
        except DataError:
            pass
        for raw, row in zip(raws, rows, strict=True):  # which one is it?
            try:
                self.encode(raw)
            except DataError as error:
                raise DataError(f"{split} split, {row}: {error}") from error

    def encode(self, value: Any) -> Tensor:
        row = as_row(value)
        return torch.cat([self.categories.encode(row).float(), self.numbers.encode(row)])

    def encode_all(self, raws: Any) -> Tensor:
        frame = self._frame(raws)
        return torch.cat([self.categories.encode_all(frame).float(), self.numbers.encode_all(frame)], 1)

    def decode(self, encoded: Tensor) -> dict[str, Any]:
        n = len(self.categories.features)
        made = {**self.categories.decode(encoded[:n].long()), **self.numbers.decode(encoded[n:])}
        for name, feature in zip(self.categories.names, self.categories.features, strict=True):
            if isinstance(feature, MissingFeature) and made.pop(name) is True:  # what was put in its place isn't its cell
                made |= {
                    other: NA for other, f in zip(self.numbers.names, self.numbers.features, strict=True) if f.source == feature.source
                }
        return made

    def say(self, value: Mapping[str, Any]) -> str:
        lines = [f"{name} {_short(cell)}" for name, cell in value.items()]
        if len(lines) > MOST_LINES:
            lines = _packed(lines)
        return "\n".join([*lines[: MOST_LINES - 1], f"… {len(lines) - MOST_LINES + 1} more"] if len(lines) > MOST_LINES else lines)

    def news(self, raws: Sequence[Any]) -> list[str]:
        frame = self._frame(raws)
        return [s for block in (self.categories, self.numbers) for s in block.surprises(frame, block.encode_all(frame))]

    def _frame(self, raws: Any) -> pd.DataFrame:
        rows = []
        for i, raw in enumerate(raws.to_dict("records") if isinstance(raws, pd.DataFrame) else raws):
            try:
                rows.append(self.cell(raw))
            except DataError as error:
                raise DataError(f"Row {i}: {error}") from error
        return as_frame(pd.DataFrame(rows, columns=pd.Index(self.columns)))


def _names(given: Any) -> list[str]:
    if given is None:
        return []
    return [given] if isinstance(given, str) else [str(name) for name in given]


def _short(cell: Any) -> str:
    return "missing" if cell == NA else f"{cell:.4g}" if isinstance(cell, float) else str(cell)


def _packed(parts: Sequence[str]) -> list[str]:
    """Parts as lines of several, where they fit."""
    lines = [parts[0]]
    for part in parts[1:]:
        if len(lines[-1]) + len(part) + 2 <= MOST_LETTERS:
            lines[-1] += f", {part}"
        else:
            lines.append(part)
    return lines
