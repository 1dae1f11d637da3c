"""The inputs of a table: a block of its categories and a block of its numbers, each of many columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from burnish.data.block import Block
from burnish.data.lazy import pd
from burnish.errors import DataError
from burnish.tabular.features import CategoryFeature, Feature, MissingFeature, NumberFeature, cell_of
from burnish.tabular.frames import cells_of, each


class ColumnsBlock(Block):
    """Columns of a table that one tensor holds, a feature each. A raw cell is a row: a mapping from column to cell.

    Args:
        features: in their order.
        names: what they are called, no two alike (see ``different_names``); by default each as it calls itself.
    """

    of_row: ClassVar[bool] = True

    def __init__(self, features: Sequence[Any] = (), names: Sequence[str] | None = None) -> None:
        self.features: list[Any] = list(features)
        self.names = [f.name for f in self.features] if names is None else list(names)

    @property
    def dtype(self) -> torch.dtype:
        """In which type the table is held."""
        raise NotImplementedError

    @property
    def sources(self) -> list[str]:
        """The columns that the features are made of."""
        return list(dict.fromkeys(f.source for f in self.features))

    def fit(self, raws: Any) -> None:
        frame = raws if isinstance(raws, pd.DataFrame) else pd.DataFrame([self.open(raw) for raw in raws])
        for feature in self.features:
            feature.learn(frame[feature.source])

    def open(self, raw: Any) -> Mapping[str, Any]:
        return as_row(raw)

    def encode(self, value: Any) -> Tensor:
        return torch.tensor([f.of_cell(cell_of(value, f.source)) for f in self.features], dtype=self.dtype)

    def encode_all(self, raws: Any) -> Tensor:
        if not isinstance(raws, pd.DataFrame):
            return self._of_rows(raws) if len(raws) else torch.zeros(0, len(self.features), dtype=self.dtype)
        made = torch.empty(len(raws), len(self.features), dtype=self.dtype)
        cells = made.numpy()

        def fill(i: int) -> None:
            cells[:, i] = self._column(self.features[i], raws)

        each(fill, range(len(self.features)), len(raws))
        return made

    def _of_rows(self, raws: Sequence[Any]) -> Tensor:
        made = []
        for i, raw in enumerate(raws):
            try:
                made.append(self.encode(self.open(raw)))
            except DataError as error:
                raise DataError(f"Row {i}: {error}") from error
        return torch.stack(made)

    def _column(self, feature: Feature, frame: pd.DataFrame) -> np.ndarray:
        return feature.of_column(cells_of(frame, feature.source))

    def surprises(self, frame: pd.DataFrame, encoded: Tensor) -> list[str]:
        """What these rows have that the training rows had not."""
        made = encoded.numpy()
        found = (f.surprise(cells_of(frame, f.source), made[:, i]) for i, f in enumerate(self.features))
        return [said for said in found if said]

    def decode(self, encoded: Tensor) -> dict[str, Any]:
        return {name: f.said(v) for name, f, v in zip(self.names, self.features, encoded.tolist(), strict=True)}

    def say(self, value: Any) -> str:
        return ", ".join(f"{k} {v}" for k, v in value.items())


class CategoriesBlock(ColumnsBlock):
    """The categories of a table as codes: ``(batch, columns)`` int64, held in as few bytes as they need."""

    kind: ClassVar[str] = "categories"
    name: ClassVar[str] = "categories"
    features: list[CategoryFeature]

    @property
    def dtype(self) -> torch.dtype:
        most = max((f.unknown for f in self.features), default=0)
        return next(t for t in (torch.int16, torch.int32, torch.int64) if most <= torch.iinfo(t).max)

    def on_device(self) -> nn.Module:
        return ToLong()

    @property
    def classes(self) -> dict[str, list[Any]]:
        """Feature to its categories, in the order of their codes ("#na#", the missing ones, first)."""
        return {name: list(f.classes) for name, f in zip(self.names, self.features, strict=True)}

    @property
    def unknown(self) -> list[int]:
        """The code of an unknown category, one a column; -1 for a column that can have none."""
        return [-1 if isinstance(f, MissingFeature) else f.unknown for f in self.features]


class NumbersBlock(ColumnsBlock):
    """The numbers of a table: ``(batch, columns)`` float32, filled and of one scale."""

    kind: ClassVar[str] = "numbers"
    name: ClassVar[str] = "numbers"
    features: list[NumberFeature]

    @property
    def dtype(self) -> torch.dtype:
        return torch.float32


def different_names(features: Sequence[Feature]) -> list[str]:
    """What features are called, no two alike: a column by its name, what is made of one by what it is (saleMonth, age_na), and after the
    whole name of its column (Date_Month) where another is called so."""
    said = Counter(f.name for f in features)
    names: list[str] = []
    for feature in features:
        name = feature.name
        if said[name] > 1 and name != feature.source:
            name = f"{feature.source}_{getattr(feature, 'part', 'missing')}"
            while name in said or name in names:
                name += "_"
        names.append(name)
    return names


class ToLong(nn.Module):
    """Codes as the int64 that lookups take."""

    def forward(self, codes: Tensor) -> Tensor:
        return codes.long()


def as_row(raw: Any) -> Mapping[str, Any]:
    """A row as a mapping from column to cell: a dict, a Series, a named tuple, a table of one row. Names are texts, as ``as_frame`` has them.

    Raises:
        DataError: it is none of these.
    """
    if isinstance(raw, pd.DataFrame) and len(raw) == 1:
        raw = raw.iloc[0]
    if isinstance(raw, pd.Series):
        raw = raw.to_dict()
    elif hasattr(raw, "_asdict"):
        raw = raw._asdict()
    if isinstance(raw, Mapping):
        return raw if all(isinstance(name, str) for name in raw) else {str(name): cell for name, cell in raw.items()}
    raise DataError(
        f"A row was expected, as a dict of column to cell or a row of a DataFrame (df.iloc[0]); got {str(raw)[:80]!r} (a {type(raw).__name__}). "
        "Many rows at once: learn.predict(list_of_rows), or learn.get_preds(dl=dls.test_dl(df))."
    )
