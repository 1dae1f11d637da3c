"""Data sets of pipelines that hold nothing but known transforms, as burnish's own loaders: read in parallel, decoded small, cached; and what learns from them can be
exported."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

import numpy as np
import pandas as pd

from burnish.compat.data_transforms import IntToFloatTensor, Normalize, ToTensor
from burnish.compat.datasets import Datasets, picked
from burnish.compat.label_transforms import Categorize, MultiCategorize, OneHotEncode
from burnish.compat.picture_types import PILBase, PILImage, PILImageBW
from burnish.compat.transform import Pipeline, Transform
from burnish.data.block import Block
from burnish.data.category import CategoryBlock
from burnish.data.collections import L
from burnish.data.dataloaders import DataLoaders
from burnish.data.foreign import as_batch_transform, as_item_transform, is_torchvision
from burnish.data.multicategory import MultiCategoryBlock
from burnish.data.table import build_table, column_names
from burnish.data.transforms import BatchTransform, ItemTransform
from burnish.vision.blocks import ImageBlock

_LOOKED_AT = 3  # items whose raw values are made twice, to see that nothing is drawn for them
_TAKEN = {"after_item", "after_batch", "num_workers", "pin_memory", "verbose"}
_LABELS = (str, int, float, bool)


def own_loaders(
    dsets: Any, bs: int, val_bs: int | None, shuffle: bool, drop_last: bool | None, path: Any, device: Any, more: dict[str, Any]
) -> DataLoaders | None:
    """burnish's loaders for data sets and transforms of which everything is known; None where anything isn't.

    Args:
        more: what else ``Datasets.dataloaders`` was given.
    """
    if type(dsets) is not Datasets or set(more) - _TAKEN or len(dsets.splits) != 2 or len(dsets.tls) < 2 or not dsets.items_are_plain:
        return None
    of_items, of_batches = _item_tfms(more.get("after_item")), _batch_tfms(more.get("after_batch"))
    found = [_block_of(list(tl.tfms.fs)) for tl in dsets.tls]
    blocks = [b for b in found if b is not None]
    if of_items is None or of_batches is None or len(blocks) < len(found) or not isinstance(blocks[0], ImageBlock):
        return None
    cells = _cells(dsets, dsets.items)
    if cells is None or _cells(dsets, picked(dsets.items, list(range(min(_LOOKED_AT, len(dsets.items)))))) != [
        c[:_LOOKED_AT] for c in cells
    ]:
        return None
    names = column_names(blocks)
    source = dsets.items if isinstance(dsets.items, pd.DataFrame) else None
    table = build_table(
        source, list(range(len(cells[0]))), dict(zip(names, cells, strict=True)), dsets.n_inp, lambda items: tuple(map(list, dsets.splits))
    )
    made = DataLoaders.from_table(
        table, blocks, n_inp=dsets.n_inp, item_tfms=of_items, batch_tfms=of_batches, bs=bs, val_bs=val_bs, path=path, device=device, num_workers=more.get("num_workers"), shuffle=shuffle,
        drop_last=drop_last, labels_of=_Cells(dsets),
    )  # fmt: skip
    loaders: list[Any] = made.loaders
    for i, dl in enumerate(loaders):
        dl.rows = np.asarray(list(map(int, dsets.splits[i])), dtype=np.int64)  # in the order of the split, as the data set is
        dl.__dict__["_dsets"] = dsets.subset(i)
    return made


class _Cells:
    """New items to raw cells, by the functions that stand before the known transforms."""

    def __init__(self, dsets: Datasets) -> None:
        self.dsets = dsets

    def takes(self, items: Any) -> bool:
        """Whether items go through these functions: those that are what the data set's items are, and no pictures yet."""
        if not len(_before(self.dsets.tls[0])):
            return False
        return isinstance(items, pd.DataFrame) or type(items[0]) is type(picked(self.dsets.items, 0))

    def columns(self, items: Any, with_labels: bool) -> list[list[Any]]:
        tls = self.dsets.tls if with_labels else self.dsets.tls[: self.dsets.n_inp]
        return [[_through(tl, picked(items, i)) for i in range(len(items))] for tl in tls]


def _item_tfms(given: Any) -> list[ItemTransform] | None:
    """Item transforms of burnish; None where one is unknown, or none makes tensors."""
    tfms = given.fs if isinstance(given, Pipeline) else L(given)
    to_tensor = [t for t in tfms if t is ToTensor or type(t) is ToTensor]
    rest = [t for t in tfms if not (t is ToTensor or type(t) is ToTensor)]
    if not to_tensor or not all(isinstance(t, ItemTransform) or is_torchvision(t) for t in rest):
        return None
    return [as_item_transform(t) for t in rest]


def _batch_tfms(given: Any) -> list[BatchTransform] | None:
    """Batch transforms of burnish; None where one is unknown, or none makes floats."""
    tfms = given.fs if isinstance(given, Pipeline) else L(given)
    floats = [t for t in tfms if t is IntToFloatTensor or (type(t) is IntToFloatTensor and (t.div, t.div_mask) == (255.0, 1))]
    rest = [t for t in tfms if not any(t is f for f in floats)]
    if not floats or not all(isinstance(t, BatchTransform) or (type(t) is Normalize and t.mean is not None) for t in rest):
        return None
    return [as_batch_transform(t) for t in rest]


def _opens(f: Transform) -> type | None:
    """The class of pictures whose ``create`` a transform is."""
    functions = f._functions("encodes")
    made = functions[0][0] if f.init_enc and len(functions) == 1 else None
    cls = getattr(made, "__self__", None)
    return cls if isinstance(cls, type) and issubclass(cls, PILBase) and getattr(made, "__name__", "") == "create" else None


def _tail(fs: Sequence[Transform]) -> int:
    """How many known transforms a pipeline ends in."""
    if fs and (type(fs[-1]) is Categorize or _opens(fs[-1]) is not None):
        return 1
    return 2 if len(fs) > 1 and type(fs[-1]) is OneHotEncode and type(fs[-2]) is MultiCategorize else 0


def _block_of(fs: Sequence[Transform]) -> Block | None:
    """The block that reads what a pipeline does; None where it does more than plain functions and known transforms."""
    n = _tail(fs)
    if not n or not all(type(f) is Transform and f.init_enc and _opens(f) is None for f in fs[:-n]):
        return None
    last = fs[-n]
    if isinstance(last, MultiCategorize):
        return MultiCategoryBlock(vocab=list(last._known()), add_na=last.add_na)
    if isinstance(last, Categorize):
        return CategoryBlock(vocab=list(last._known()), add_na=last.add_na)
    mode = {PILImage: "RGB", PILImageBW: "L"}.get(_opens(last))  # type: ignore[arg-type]
    return None if mode is None else ImageBlock(mode)


def _before(tl: Any) -> list[Transform]:
    fs = list(tl.tfms.fs)
    return fs[: len(fs) - _tail(fs)]


def _through(tl: Any, item: Any) -> Any:
    for f in _before(tl):
        item = f(item)
    return list(item) if isinstance(item, (list, tuple, L)) else item


def _cells(dsets: Datasets, items: Any) -> list[list[Any]] | None:
    """Raw values, a list a pipeline: the files of pictures, labels; None where they are anything else."""
    try:
        cells = [[_through(tl, picked(items, i)) for i in range(len(items))] for tl in dsets.tls]
    except Exception:  # the same happens, and is told, where the item is read
        return None
    for tl, column in zip(dsets.tls, cells, strict=True):
        kinds = (str, PurePath) if _opens(tl.tfms.fs[-1]) is not None else (*_LABELS, list)
        if not all(isinstance(cell, kinds) for cell in column):
            return None
    return cells
