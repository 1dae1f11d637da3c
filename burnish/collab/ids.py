"""The ids of users and items: one way to look them up for all that asks, and what a batch of pairs is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Self

import numpy as np
from torch import Tensor

from burnish.data.label import is_missing
from burnish.data.lazy import pd
from burnish.tabular.blocks import CategoriesBlock
from burnish.tabular.features import CategoryFeature, kind_of_values

_NONE = object()  # what a cell is that can be no id


class IdFeature(CategoryFeature):
    """Users or items by their codes. 3, "3" and 3.0 are one id; what can be none (a text among numbers) is an unknown one."""

    @classmethod
    def of_classes(cls, source: str, classes: Sequence[Any]) -> Self:
        """The ids of a model's classes ("#na#" first)."""
        return cls(source, classes, kind_of_values(pd.Series(list(classes[1:]), dtype=object)))

    def plain(self, value: Any) -> Any:
        made = super().plain(value)
        return _NONE if made is None else made

    def code(self, cell: Any) -> int | None:
        """The code of an id; None for one that training doesn't know."""
        return None if is_missing(cell) else self.index.get(self.plain(cell))

    def same(self, column: pd.Series, cell: Any) -> np.ndarray:
        """Which cells of a column are this id ``(cells,)``, known or not."""
        codes, keys = self._keys(column)
        wanted = _NONE if is_missing(cell) else self.plain(cell)
        return np.isin(codes, [i for i, key in enumerate(keys) if key is not _NONE and key == wanted])


class PairsBlock(CategoriesBlock):
    """A user and an item as their codes ``(batch, 2)``. Of a batch that has other items beside them the pairs are shown."""

    features: list[IdFeature]  # pyright: ignore[reportIncompatibleVariableOverride]

    def decode(self, encoded: Tensor) -> dict[str, Any]:
        return super().decode(encoded[: len(self.features)])


def several(ids: Any) -> list[Any]:
    """Ids as a list: of one id, a list, a Series, an array."""
    if isinstance(ids, (str, bytes)) or not isinstance(ids, Iterable) or np.ndim(ids) == 0:  # pyright: ignore[reportArgumentType]
        return [ids]
    return list(ids)
