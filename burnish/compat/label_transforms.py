"""Labels and numbers as transforms: one class, several, a one for each of several, numbers."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from burnish.compat.containers import CollBase
from burnish.compat.tensors import TensorCategory, TensorMultiCategory
from burnish.compat.titled import Category, MultiCategory, TitledFloat, TitledTuple
from burnish.compat.torch_tools import one_hot, one_hot_decode, tensor
from burnish.compat.transform import DisplayedTransform
from burnish.data.collections import L
from burnish.data.lazy import pd
from burnish.errors import listed, nearest
from burnish.evaluate.losses import BCEWithLogitsLossFlat, CrossEntropyLossFlat, MSELossFlat

__all__ = ["Categorize", "CategoryMap", "EncodedMultiCategorize", "MultiCategorize", "OneHotEncode", "RegressionSetup"]
_NA = "#na#"


class CategoryMap(CollBase):
    """The different labels of a column, in order; ``o2i`` has the number of each.

    Args:
        col: labels: a list, a column of a table (categories of pandas keep their order), anything that is iterated over. Missing ones (NaN) are left out.
        sort: in order; else as they come. add_na: "#na#" is first, and stands for every label that isn't there.
        strict: of pandas' categories only those that occur.

    Raises:
        TypeError: labels of several types, which can't be sorted.
    """

    def __init__(self, col: Any, sort: bool = True, add_na: bool = False, strict: bool = False) -> None:
        if isinstance(getattr(col, "dtype", None), pd.CategoricalDtype):
            there = set(col.unique()) if strict else None
            items = [o for o in getattr(col, "cat", col).categories if there is None or o in there]
        else:
            items = [o for o in dict.fromkeys(col.tolist() if hasattr(col, "tolist") else col) if o == o]
            items = _sorted(items) if sort else items
        super().__init__(L([_NA, *(o for o in items if o != _NA)] if add_na else items, use_list=True))
        index = {o: i for i, o in enumerate(self.items)}
        self.o2i: dict[Any, int] = defaultdict(int, index) if add_na else index

    def map_objs(self, objs: Iterable[Any]) -> L[int]:
        """The numbers of labels."""
        return L([self.o2i[o] for o in objs])

    def map_ids(self, ids: Iterable[Any]) -> L[Any]:
        """The labels of numbers."""
        return L([self.items[int(i)] for i in ids], use_list=True)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items)

    def __getitem__(self, k: Any) -> Any:
        return self.items[int(k) if isinstance(k, Tensor) and k.ndim == 0 else k]

    def __eq__(self, other: Any) -> bool:
        return list(self.items) == list(other) if isinstance(other, (CategoryMap, list, tuple)) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(list(self.items))


def _sorted(items: list[Any]) -> list[Any]:
    try:
        return sorted(items)
    except TypeError:
        kinds = listed(sorted({type(o).__name__ for o in items}))
        raise TypeError(
            f"The labels are of several types ({kinds}), for example {listed(map(repr, items), 4)}, and can't be sorted. Make them all strings, or pass sort=False."
        ) from None


class Categorize(DisplayedTransform):
    """A label as its number, `TensorCategory`; and back, as `Category`.

    Args:
        vocab: the labels; None learns them from the training items. sort: in order, also given ones. add_na: "#na#" is first, and stands for unknown ones.

    Attributes:
        c: how many classes there are.

    Raises:
        KeyError: a label that isn't there.
    """

    loss_func, order = CrossEntropyLossFlat(), 1

    def __init__(self, vocab: Any = None, sort: bool = True, add_na: bool = False) -> None:
        super().__init__()
        self.sort, self.add_na = sort, add_na
        self.vocab = None if vocab is None else vocab if isinstance(vocab, CategoryMap) else CategoryMap(vocab, sort=sort, add_na=add_na)
        if self.vocab is not None:
            self.c = len(self.vocab)

    def setups(self, dsets):
        if self.vocab is None and dsets is not None:
            self.vocab = CategoryMap(dsets, sort=self.sort, add_na=self.add_na)
        self.c = len(self.vocab or [])

    def encodes(self, o):
        return TensorCategory(self._number(o, "Label {} was not included in the training dataset"))

    def decodes(self, o):
        return Category(self._known()[int(o)])

    def _known(self) -> CategoryMap:
        if self.vocab is None:
            raise ValueError(f"This {self.name} knows no labels yet: give it vocab=, or set it up on the training items (setup).")
        return self.vocab

    def _number(self, o: Any, text: str) -> int:
        known = self._known()
        try:
            return known.o2i[o]
        except KeyError:
            hint = nearest(o, known.items) if isinstance(o, str) else ""
            raise KeyError(f"{text.format(repr(o))}: it has {listed(map(repr, known.items), 8)}.{hint}") from None


class MultiCategorize(Categorize):
    """Several labels as their numbers, `TensorMultiCategory`; and back, as `MultiCategory`. Given labels keep their order."""

    loss_func, order = BCEWithLogitsLossFlat(), 1

    def __init__(self, vocab: Any = None, add_na: bool = False) -> None:
        super().__init__(vocab=vocab, sort=vocab is None, add_na=add_na)

    def setups(self, dsets):
        if self.vocab is None and dsets is not None:
            self.vocab = CategoryMap({label: None for labels in dsets for label in labels}, add_na=self.add_na)
        self.c = len(self.vocab or [])

    def encodes(self, o):
        known = self._known()
        unknown = [] if self.add_na else [label for label in o if label not in known.o2i]
        if unknown:
            raise KeyError(
                f"Labels {listed(map(repr, unknown))} were not included in the training dataset: it has {listed(map(repr, known.items), 8)}."
            )
        return TensorMultiCategory(torch.tensor([known.o2i[label] for label in o], dtype=torch.int64))

    def decodes(self, o):
        return MultiCategory([self._known()[int(i)] for i in o])


class OneHotEncode(DisplayedTransform):
    """Numbers of classes as a one for each ``(c,)``; and back. `c` None is found in what it is set up on."""

    order = 2

    def __init__(self, c: int | None = None) -> None:
        super().__init__()
        self.c = c

    def setups(self, dsets):
        if self.c is None:
            self.c = len(getattr(dsets, "vocab", None) or []) or None
        if self.c is None:
            warnings.warn("Couldn't infer the number of classes, please pass a value for `c` at init", stacklevel=2)

    def encodes(self, o):
        if self.c is None:
            raise ValueError(
                "OneHotEncode doesn't know how many classes there are: say OneHotEncode(c=...), or set it up on data that has a vocab."
            )
        return TensorMultiCategory(one_hot(o, self.c).float())

    def decodes(self, o):
        return one_hot_decode(o, None)


class EncodedMultiCategorize(Categorize):
    """A one for each class, in the order of `vocab`, as `TensorMultiCategory`; and back, as `MultiCategory`."""

    loss_func, order = BCEWithLogitsLossFlat(), 1

    def __init__(self, vocab: Any) -> None:
        super().__init__(vocab, sort=False)

    def encodes(self, o):
        return TensorMultiCategory(tensor(o).float())

    def decodes(self, o):
        return MultiCategory(one_hot_decode(o, self.vocab))


class RegressionSetup(DisplayedTransform):
    """A number, or several, as a tensor of floats; and back. `c` None is found in what it is set up on: how many there are."""

    loss_func = MSELossFlat()

    def __init__(self, c: int | None = None) -> None:
        super().__init__()
        self.c = c

    def setups(self, dsets):
        if self.c is None and dsets is not None and len(dsets):
            first = dsets[0]
            self.c = len(first) if hasattr(first, "__len__") and getattr(first, "ndim", 1) else 1

    def encodes(self, o):
        return tensor(o).float()

    def decodes(self, o):
        return TitledFloat(o) if o.ndim == 0 else TitledTuple(v.item() for v in o)
