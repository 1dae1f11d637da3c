"""`TransformBlock`, and `DataBlock` with fastai's order of arguments: read by burnish where its blocks and transforms say everything, else by pipelines."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from burnish.compat.data_transforms import Normalize
from burnish.compat.datasets import Datasets
from burnish.compat.helpers import is_listy, noop
from burnish.compat.label_transforms import MultiCategorize
from burnish.compat.lists import concat
from burnish.compat.place_transforms import BBoxLabeler, PointScaler, bb_pad
from burnish.compat.tensors import TensorBBox
from burnish.compat.transform import Pipeline, Transform
from burnish.compat.transform_adapters import order_of
from burnish.data.block import Block
from burnish.data.category import CategoryBlock
from burnish.data.collections import L
from burnish.data.datablock import DataBlock as OwnDataBlock
from burnish.data.lazy import pd
from burnish.data.multicategory import MultiCategoryBlock
from burnish.data.number import RegressionBlock
from burnish.data.split import RandomSplitter, Splitter
from burnish.data.table import find_items
from burnish.errors import DataError, SettingError
from burnish.vision.blocks import ImageBlock as OwnImageBlock
from burnish.vision.boxes import BBoxBlock, BBoxLblBlock
from burnish.vision.masks import MaskBlock
from burnish.vision.normalization import first_pictures
from burnish.vision.points import PointBlock

__all__ = ["DataBlock", "ImageBlock", "TransformBlock"]


class TransformBlock(Block):
    """A kind of data by its transforms.

    Args:
        type_tfms: from the raw value to what it is. item_tfms: on each item (`ToTensor` is always among them). batch_tfms: on each batch.
        dl_type: the class of its loaders. dls_kwargs: what these are given.
    """

    kind = "other"

    def __init__(
        self,
        type_tfms: Any = None,
        item_tfms: Any = None,
        batch_tfms: Any = None,
        dl_type: Any = None,
        dls_kwargs: dict[str, Any] | None = None,
    ) -> None:
        self.type_tfms, self.batch_tfms = L(type_tfms), L(batch_tfms)
        self.item_tfms = _to_tensor() + L(item_tfms)
        self.dl_type, self.dls_kwargs = dl_type, dls_kwargs or {}


def _to_tensor() -> L[Any]:
    from burnish.compat.data_transforms import ToTensor

    return L([ToTensor()])


def ImageBlock(cls: Any = "RGB", **settings: Any) -> Block:
    """Pictures.

    Args:
        cls: PILImage, PILImageBW, a class of your own with ``create``, or burnish's "RGB", "L", "RGBA". settings: of burnish's ImageBlock.
    """
    from burnish.compat.data_transforms import IntToFloatTensor
    from burnish.compat.picture_types import PILImage, PILImageBW

    modes = {PILImage: "RGB", PILImageBW: "L"}
    if isinstance(cls, str) or cls in modes:
        return OwnImageBlock(modes.get(cls, cls), **settings)
    if not hasattr(cls, "create"):
        raise SettingError(f"ImageBlock(cls={cls!r}): expected PILImage, PILImageBW, or a class with a method `create`.")
    return TransformBlock(type_tfms=cls.create, batch_tfms=IntToFloatTensor, **settings)


def transforms_of(block: Block) -> tuple[L[Any], L[Any], L[Any]]:
    """What a block does, as transforms: of the raw value, of items, of batches."""
    from burnish.compat import data_transforms as t
    from burnish.compat import label_transforms as labels
    from burnish.compat import place_transforms as places
    from burnish.compat.picture_types import PILImage, PILImageBW, PILMask
    from burnish.compat.tensors import TensorBBox, TensorPoint

    if isinstance(block, TransformBlock):
        return block.type_tfms, block.item_tfms, block.batch_tfms
    of_items, floats = _to_tensor(), L([t.IntToFloatTensor()])
    if isinstance(block, OwnImageBlock):
        return L([(PILImageBW if block.mode == "L" else PILImage).create]), of_items, floats
    if isinstance(block, MaskBlock):
        return L([PILMask.create]), L([t.AddMaskCodes(codes=block.codes)]) + of_items, floats
    if isinstance(block, PointBlock):
        return L([TensorPoint.create]), L([places.PointScaler(y_first=block.y_first)]) + of_items, L()
    if isinstance(block, (BBoxBlock, BBoxLblBlock)):
        return L([TensorBBox.create]), L([places.PointScaler()]) + of_items, L()
    if isinstance(block, CategoryBlock):
        return (
            L([labels.Categorize(vocab=block.vocab, sort=block.sort if block.vocab is None else False, add_na=block.add_na)]),
            of_items,
            L(),
        )
    if isinstance(block, MultiCategoryBlock):
        if block.encoded:
            return L([labels.EncodedMultiCategorize(vocab=block.vocab)]), of_items, L()
        return L([labels.MultiCategorize(vocab=block.vocab, add_na=block.add_na), labels.OneHotEncode()]), of_items, L()
    if isinstance(block, RegressionBlock):
        return L([labels.RegressionSetup(c=block.n_out_given)]), of_items, L()
    if type(block) is Block:
        return L(), of_items, L()
    return L([block.open]), of_items, L()


def _is_theirs(tfm: Any) -> bool:
    """Whether a transform can only be read by pipelines: one of fastai's kind that burnish's own data can't take."""
    return isinstance(tfm, Transform) or (isinstance(tfm, type) and issubclass(tfm, Transform))


def _made(tfm: Any) -> Any:
    return tfm() if isinstance(tfm, type) and issubclass(tfm, Transform) else tfm


class DataBlock(OwnDataBlock):
    """A declaration of what the data is, with fastai's arguments. With burnish's blocks its loaders are burnish's, quick and to be exported; with a
    TransformBlock among them they are made of pipelines.

    Args:
        blocks, getters, n_inp, item_tfms, batch_tfms, get_items, splitter, get_x, get_y: as of ``burnish.data.datablock.DataBlock``.
        dl_type: the class of the loaders (then they are made of pipelines).
    """

    def __init__(
        self, blocks: Any = None, dl_type: Any = None, getters: Any = None, n_inp: int | None = None, item_tfms: Any = None, batch_tfms: Any = None, get_items: Callable[[Any], Any] | None = None,
        splitter: Any = None, get_x: Any = None, get_y: Any = None,
    ) -> None:  # fmt: skip
        blocks = [TransformBlock, TransformBlock] if blocks is None else list(blocks) if is_listy(blocks) else [blocks]
        blocks = _apart(blocks)
        self.dl_type, given = dl_type, in_place(batch_tfms)
        super().__init__(
            [b() if isinstance(b, type) and issubclass(b, TransformBlock) else b for b in blocks], getters=_callables(getters), n_inp=n_inp, item_tfms=in_place(item_tfms),
            batch_tfms=without_learning(given), get_items=get_items, splitter=splitter, get_x=_callables(get_x), get_y=_callables(get_y),
        )  # fmt: skip
        self.batch_tfms = given

    @classmethod
    def from_columns(cls, blocks: Any = None, getters: Any = None, get_items: Any = None, **kwargs: Any) -> Any:  # type: ignore[override]
        """A DataBlock whose source is a list of columns; see burnish's."""
        made = OwnDataBlock.from_columns(
            blocks, getters=getters, get_items=get_items, **{k: v for k, v in kwargs.items() if k != "dl_type"}
        )
        return cls(
            made.blocks, dl_type=kwargs.get("dl_type"), getters=made.getters, n_inp=made.n_inp, item_tfms=made.item_tfms, batch_tfms=made.batch_tfms, get_items=made.get_items, splitter=made.splitter,
        )  # fmt: skip

    def table(self, source: Any, seed: int | None = None) -> Any:
        """The labelled and split table of a source. A plain function as splitter gets a table of the source as such."""
        if (
            self.get_items is not None
            or not isinstance(source, pd.DataFrame)
            or self.splitter is None
            or isinstance(self.splitter, Splitter)
        ):
            return super().table(source, seed)
        made, splitter = copy.copy(self), self.splitter
        made.splitter = lambda items: splitter(source)
        return OwnDataBlock.table(made, source, seed)

    @property
    def by_pipelines(self) -> bool:
        """Whether its loaders are made of pipelines of transforms, as burnish's own blocks can't say what the data is."""
        return self.dl_type is not None or any(isinstance(b, TransformBlock) for b in self.blocks)

    def _splits(self, source: Any, items: Any) -> Any:
        splitter = self.splitter or RandomSplitter()
        frame = source if self.get_items is None and isinstance(source, pd.DataFrame) else items
        return splitter(frame)

    def _held_items(self, source: Any) -> Any:
        if self.get_items is None:
            return source
        items = self.get_items(source)
        if not isinstance(items, pd.DataFrame) and not len(items):
            raise DataError(f"get_items found nothing in {str(source)[:200]}.")
        return items

    def datasets(self, source: Any, verbose: bool = False) -> Any:  # type: ignore[override]
        """The items of `source` through the transforms of the blocks: ``datasets(path).train[0]`` is (picture, its class as a number)."""
        items = self._held_items(source)
        splits = self._splits(source, find_items(source, None) if self.get_items is None else items)
        if verbose:
            print(f"Found {len(items)} items; {', '.join(f'{len(s)}' for s in splits)} in the splits")
        tfms = [_joined(getter, *transforms_of(block)[0]) for block, getter in zip(self.blocks, self._getters(), strict=True)]
        return Datasets(items, tfms, splits=splits, dl_type=self._dl_type(), n_inp=self.n_inp, verbose=verbose)

    def _dl_type(self) -> Any:
        of_blocks = [b.dl_type for b in self.blocks if isinstance(b, TransformBlock) and b.dl_type is not None]
        return self.dl_type or (of_blocks[-1] if of_blocks else None)

    def dataloaders(self, source: Any, path: str | Path = ".", verbose: bool = False, **kwargs: Any) -> Any:  # type: ignore[override]
        """The loaders of `source`.

        Args:
            path: where results go. kwargs: bs, val_bs, shuffle, drop_last, num_workers, device, seed ... as of burnish's DataBlock; with a
                TransformBlock as of ``Datasets.dataloaders``.
        """
        if not self.by_pipelines:
            kwargs.pop("pin_memory", None)
            return _normalised_by_a_batch(self, lambda block: OwnDataBlock.dataloaders(block, source, path, verbose=verbose, **kwargs))
        dsets = self.datasets(source, verbose=verbose)
        of_items, of_batches = self._tfms_by_pipelines()
        of_dls: dict[str, Any] = {}
        for block in self.blocks:
            of_dls.update(getattr(block, "dls_kwargs", {}))
        return dsets.dataloaders(path=path, after_item=of_items, after_batch=of_batches, verbose=verbose, **{**of_dls, **kwargs})

    def _tfms_by_pipelines(self) -> tuple[list[Any], list[Any]]:
        parts = [transforms_of(block) for block in self.blocks]
        return [*_once(concat([p[1] for p in parts])), *self.item_tfms], [*_once(concat([p[2] for p in parts])), *self.batch_tfms]

    def weighted_dataloaders(self, source: Any, wgts: Any, bs: int = 64, verbose: bool = False, **kwargs: Any) -> Any:
        """Loaders whose training items are drawn with replacement, by weights: one an item of the source."""
        of_items, of_batches = self._tfms_by_pipelines()
        dsets = self.datasets(source, verbose=verbose)
        return dsets.weighted_dataloaders(wgts, bs=bs, after_item=of_items, after_batch=of_batches, **kwargs)


def _apart(blocks: list[Any]) -> list[Any]:
    """Boxes and their labels as two targets, as fastai has them: burnish's own, for its detector, are one."""
    kinds = [b if isinstance(b, type) else type(b) for b in blocks]
    if BBoxBlock not in kinds or BBoxLblBlock not in kinds:
        return blocks
    boxes = TransformBlock(type_tfms=[TensorBBox.create], item_tfms=[PointScaler], dls_kwargs={"before_batch": [bb_pad]})
    given = next(b for b, kind in zip(blocks, kinds, strict=True) if kind is BBoxLblBlock)
    vocab = None if isinstance(given, type) else given.vocab
    labels = TransformBlock(type_tfms=[MultiCategorize(vocab=vocab, add_na=True)], item_tfms=[BBoxLabeler])
    return [boxes if kind is BBoxBlock else labels if kind is BBoxLblBlock else b for b, kind in zip(blocks, kinds, strict=True)]


def _normalised_by_a_batch(block: DataBlock, make: Callable[[DataBlock], Any]) -> Any:
    """Loaders of a block among whose batch transforms there may be ``Normalize()`` without statistics: those of a training batch."""
    plain = copy.copy(block)
    plain.batch_tfms = without_learning(block.batch_tfms)
    return learned(make(plain), block.batch_tfms)


def _learns(tfm: Any) -> bool:
    return isinstance(tfm, Normalize) and tfm.mean is None


def without_learning(tfms: Any) -> list[Any]:
    """Batch transforms but for ``Normalize()`` without statistics."""
    return [t for t in _list(tfms) if not _learns(t)]


def learned(dls: Any, tfms: Any) -> Any:
    """Loaders that end in the ``Normalize()`` among `tfms`, if there is one, with the statistics of a training batch."""
    learning = [t for t in _list(tfms) if _learns(t)]
    if not learning:
        return dls
    x = first_pictures(dls).as_subclass(Tensor).float()
    learning[-1].mean, learning[-1].std = x.mean((0, 2, 3), keepdim=True), x.std((0, 2, 3), keepdim=True) + 1e-7
    tfm = learning[-1].as_batch_transform().to(dls.device)
    for owner in (dls, *dls.loaders):
        owner.batch_tfms = [*owner.batch_tfms, tfm]
    return dls


def _list(tfms: Any) -> list[Any]:
    return [_made(t) for t in (tfms.fs if isinstance(tfms, Pipeline) else L(tfms))]


def in_place(tfms: Any) -> list[Any]:
    """Transforms in the order in which fastai applies them: by their own, as given where two are of one."""
    return sorted(_list(tfms), key=order_of)


def _callables(getter: Any) -> Any:
    """Getters, of which a Pipeline is one, and a list of several functions one each."""
    if getter is None or callable(getter):
        return getter
    return list(getter) if isinstance(getter, Sequence) or is_listy(getter) else getter


def _joined(getter: Any, *tfms: Any) -> list[Any]:
    return [noop if getter is None else getter, *tfms]


def _once(tfms: Any) -> list[Any]:
    """Transforms of the blocks, one of each class: the last."""
    of_class: dict[Any, Any] = {}
    for tfm in tfms:
        made = _made(tfm)
        of_class[type(made) if isinstance(made, Transform) else made] = made
    return list(of_class.values())
