"""burnish's own loaders as code for fastai looks at them: data sets of typed values, typed batches, the transforms as pipelines."""

from __future__ import annotations

import copy
import functools
from typing import Any

from PIL import Image
from torch import Tensor

from burnish.compat.datasets import Datasets, TfmdLists
from burnish.compat.picture_types import PILImage, PILImageBW, PILMask
from burnish.compat.tensors import TensorCategory, TensorImage, TensorImageBW, TensorMask, TensorMultiCategory, TensorPoint
from burnish.compat.transform import Pipeline, Transform
from burnish.data.block import Block
from burnish.data.collections import L
from burnish.data.dataloaders import DataLoaders
from burnish.data.loader import DataLoader
from burnish.errors import SettingError
from burnish.evaluate.losses import BCEWithLogitsLossFlat, CrossEntropyLossFlat, MSELossFlat


class Vocab(L[Any]):
    """Labels in order, with the number of each: ``vocab.o2i["cat"]``."""

    @property
    def o2i(self) -> dict[Any, int]:
        """Label to number."""
        return {label: i for i, label in enumerate(self)}

    @property
    def items(self) -> Vocab:
        """The labels."""
        return self

    def map_objs(self, objs: Any) -> L[int]:
        """The numbers of labels."""
        known = self.o2i
        return L([known[o] for o in objs])

    def map_ids(self, ids: Any) -> L[Any]:
        """The labels of numbers."""
        return L([self[int(i)] for i in ids], use_list=True)


def numbered(vocab: Any) -> Any:
    """A list of labels as `Vocab`; of several lists each."""
    if isinstance(vocab, list) and vocab and all(isinstance(v, list) for v in vocab):
        return L([Vocab(v, use_list=True) for v in vocab], use_list=True)
    return Vocab(vocab, use_list=True) if type(vocab) is list else vocab


_own_vocab: Any = vars(DataLoaders)["vocab"]


def _vocab(self: DataLoaders) -> Any:
    told = self.__dict__.get("_vocab_told")
    return told if told is not None else numbered(_own_vocab.fget(self))


def _tell_vocab(self: DataLoaders, labels: Any) -> None:
    self.__dict__["_vocab_told"] = labels


vocab = property(_vocab, _tell_vocab, doc=_own_vocab.__doc__)
_own_c: Any = vars(DataLoaders)["c"]


def _c(self: DataLoaders) -> int:
    told = self.__dict__.get("_c_told")
    return told if told is not None else _own_c.fget(self)


def _tell_c(self: DataLoaders, c: int) -> None:
    self.__dict__["_c_told"] = int(c)


c = property(_c, _tell_c, doc=_own_c.__doc__)

_OF_BATCHES = {
    "image": TensorImage,
    "category": TensorCategory,
    "multicategory": TensorMultiCategory,
    "mask": TensorMask,
    "points": TensorPoint,
}


def typed(block: Block, x: Any) -> Any:
    """An encoded element, or a batch of it, as a tensor that knows what it is."""
    kind = _OF_BATCHES.get(block.kind)
    if kind is None or not isinstance(x, Tensor):
        return x
    kind = TensorImageBW if kind is TensorImage and x.ndim == 4 and x.shape[1] == 1 else kind
    made = x.as_subclass(kind)
    if kind is TensorMask:
        made.codes = block.vocab  # type: ignore[attr-defined]
    return made


class Opens(Transform):
    """What a block makes of a raw value: a typed picture, or the encoded target."""

    def __init__(self, block: Block, column: Any) -> None:
        super().__init__()
        self.block, self.column = block, column
        if getattr(block, "vocab", None) is not None:
            self.vocab = numbered(block.vocab)  # type: ignore[attr-defined]

    @property
    def name(self) -> str:
        return type(self.block).__name__

    def encodes(self, row: object) -> None:  # annotated with None: the result keeps its own type
        value = self.block.open(self.column[row])
        if isinstance(value, Image.Image):
            return (PILImageBW if value.mode == "L" else PILImage)(value)  # type: ignore[return-value]
        if self.block.kind == "mask":
            return PILMask.create(self.block.decode(self.block.encode(value)))  # type: ignore[return-value]
        if self.block.takes_picture_size:
            return value
        return typed(self.block, self.block.encode(value))  # type: ignore[return-value]

    def decodes(self, x: Tensor) -> None:
        return self.block.decode(x)


class TableDatasets(Datasets):
    """The samples of one split of burnish's loaders."""

    raws: Any
    frame: Any = None

    @property
    def items(self) -> Any:  # type: ignore[override]
        """The raw cells of the first input: paths, say; of a table its rows."""
        if self.frame is not None:
            return self.frame.iloc[list(self.tls[0].items)]
        return L([self.raws[row] for row in self.tls[0].items], use_list=True)

    @items.setter
    def items(self, items: Any) -> None:
        raise AttributeError("The items of a data set that was made of a table can't be assigned. Make new loaders of them.")


def dataset_of(dl: DataLoader, n_inp: int | None, split_idx: int) -> Any:
    """The samples of a loader, by position: typed pictures, encoded targets; the data set that it was made of, where it was."""
    if (found := dl.__dict__.get("_dsets")) is not None:
        return found
    tls = [
        TfmdLists(L(dl.rows.tolist()), [Opens(block, column)], do_setup=False, split_idx=split_idx)
        for block, column in zip(dl.blocks, dl.columns, strict=True)
    ]
    made = TableDatasets(tls=tls, n_inp=n_inp or 1)
    made.raws = dl.columns[0]
    return made


_own_dataset = DataLoaders._dataset


def _dataset(self: DataLoaders, i: int) -> Any:
    """The samples of a split."""
    dl = self[i]
    if not isinstance(dl, DataLoader):
        return _own_dataset(self, i)
    made = dataset_of(dl, self.n_inp, min(i, 1))
    if getattr(self.labels_of, "from_frame", False) and isinstance(made, TableDatasets):
        names = self.table.attrs.get("inputs", [])
        rows = self.table[[c for c in self.table if c not in names or f"source_{c}" not in self.table]].drop(columns="split")
        made.frame = rows.set_axis([str(name).removeprefix("source_") for name in rows.columns], axis=1)
    return made


_own_one_batch = DataLoader.one_batch


@functools.wraps(_own_one_batch)
def one_batch(self: DataLoader) -> Any:
    return tuple(typed(block, x) for block, x in zip(self.blocks, _own_one_batch(self), strict=False))


def _pipeline(tfms: list[Any], split_idx: int) -> Pipeline:
    return Pipeline(tfms, split_idx=split_idx)


def _after_item(self: DataLoader) -> Pipeline:
    from burnish.compat.data_transforms import ToTensor

    return _pipeline([*self.reader.item_tfms, ToTensor()], 0 if self.train else 1)


def _after_batch(self: DataLoader) -> Pipeline:
    from burnish.compat.data_transforms import IntToFloatTensor

    floats = [IntToFloatTensor()] if any(b.kind in ("image", "mask") for b in self.blocks) else []
    return _pipeline([*floats, *self.batch_tfms], 0 if self.train else 1)


def decode(self: Any, b: Any) -> Any:
    """A batch as it was before the batch's transforms, on the CPU."""
    return self.after_batch.decode(tuple(typed(block, x.cpu()) for block, x in zip(self.blocks, b, strict=False)))


after_item = property(_after_item, doc="The transforms of items, as a pipeline: to look at and to try out.")
after_batch = property(_after_batch, doc="The transforms of batches, as a pipeline: to look at and to try out.")
before_batch = property(lambda self: Pipeline([]), doc="Nothing: burnish collates by its blocks.")
dataset = property(lambda self: dataset_of(self, None, 0 if self.train else 1), doc="The samples, by position.")
loader_vocab = property(
    lambda self: numbered([b.vocab for b in self.blocks if getattr(b, "vocab", None) is not None][-1]), doc="The labels of the target."
)
items = property(lambda self: self.dataset.items, doc="The raw cells of the first input: paths, say.")


def _loss_func(self: DataLoaders) -> Any:
    """The loss of the target, with its activation and its decision."""
    kinds = [block.kind for block in self.target_blocks]
    flat = {"category": CrossEntropyLossFlat, "multicategory": BCEWithLogitsLossFlat, "number": MSELossFlat, "points": MSELossFlat}
    if len(kinds) == 1 and kinds[0] == "mask":
        return CrossEntropyLossFlat(axis=1)
    return flat[kinds[0]]() if len(kinds) == 1 and kinds[0] in flat else self.loss()


loss_func = property(_loss_func, doc=_loss_func.__doc__)


def new(
    self: DataLoaders, bs: int | None = None, shuffle: bool | None = None, drop_last: bool | None = None, num_workers: int | None = None
) -> DataLoaders:
    """The same data in other batches."""
    made = copy.copy(self)
    own: list[Any] = self.loaders
    made.loaders = list[Any](
        new_loader(
            dl,
            bs=bs,
            shuffle=shuffle if dl is self.loaders[0] else None,
            drop_last=drop_last if dl is self.loaders[0] else None,
            num_workers=num_workers,
        )
        for dl in own
    )
    return made


def new_loader(
    self: DataLoader, dataset: Any = None, bs: int | None = None, shuffle: bool | None = None, drop_last: bool | None = None, num_workers: int | None = None
) -> DataLoader:  # fmt: skip
    """A loader like this one, in other batches.

    Args:
        dataset: other data: not to be had here, make it with ``dls.test_dl(items)``.
    """
    if dataset is not None:
        raise SettingError(
            "dl.new(dataset): a loader of burnish reads its own rows. Make one of other items: dls.test_dl(items, with_labels=True)."
        )
    made = copy.copy(self)
    for name, value in (("bs", bs), ("shuffle", shuffle), ("drop_last", drop_last), ("num_workers", num_workers)):
        if value is not None:
            setattr(made, name, value)
    return made


def delegated(self: DataLoaders, k: str) -> Any:
    """What DataLoaders haven't themselves is asked of the loader that trains."""
    if k.startswith("_") or k in ("loaders", "balance") or not self.__dict__.get("loaders"):
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {k!r}")
    return getattr(self.__dict__["loaders"][0], k)
