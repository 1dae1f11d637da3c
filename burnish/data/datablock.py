"""DataBlock: says once what the data is; makes the table and the loaders from any source of that kind."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from burnish.data.apart import SHARES_GEOMETRY
from burnish.data.block import Block
from burnish.data.check import check_table, white_of
from burnish.data.dataloaders import DataLoaders
from burnish.data.dataset import Datasets
from burnish.data.foreign import BatchFunction, as_batch_transforms, as_item_transforms
from burnish.data.label import ColReader, ItemGetter
from burnish.data.lazy import pd
from burnish.data.notes import note
from burnish.data.number import RegressionBlock
from burnish.data.randomness import derive
from burnish.data.split import RandomSplitter, Splitter
from burnish.data.table import (
    as_list,
    brief,
    build_table,
    column_names,
    find_items,
    label_items,
    rows_of_columns,
    with_labels_read,
)
from burnish.data.transforms import ItemFunction
from burnish.errors import DataError, SettingError, hinting

_UNSET: Any = object()


class DataBlock:
    """A declaration of what the data is. Nothing is read before ``dataloaders`` or ``datasets`` gets a source.

    Args:
        blocks: one a column, inputs first: instances, classes, or functions without arguments giving one.
        get_items: from a source (a folder, say) to the list of samples; None when the source is the list or a DataFrame.
        splitter: which samples train and which validate; None is a random fifth, always the same one.
        get_x, get_y: from a sample to the raw cell of the input(s) / target(s); lists for several.
        getters: one function a block, instead of get_x and get_y.
        n_inp: how many blocks are inputs; None is all but the last.
        item_tfms: on each sample, in a worker: burnish's, torchvision's, or any function of the input.
        batch_tfms: on each batch, on the device.

    Example:
        >>> DataBlock(blocks=(ImageBlock, CategoryBlock), get_items=get_image_files, get_y=parent_label,
        ...           splitter=RandomSplitter(0.2, seed=42), item_tfms=Resize(128))  # doctest: +SKIP
    """

    @hinting
    def __init__(
        self,
        blocks: Sequence[Any] | Any | None = None,
        *,
        get_items: Callable[[Any], Any] | None = None,
        splitter: Callable[..., Any] | None = None,
        get_x: Any = None,
        get_y: Any = None,
        getters: Sequence[Callable[[Any], Any] | None] | None = None,
        n_inp: int | None = None,
        item_tfms: Any = None,
        batch_tfms: Any = None,
    ) -> None:
        self.blocks = [_block(b, i) for i, b in enumerate(as_list(blocks) or [Block, Block])]
        pairs = [i for i, block in enumerate(self.blocks[:-1]) if block.joined(self.blocks[i + 1]) is not None]
        self.n_inp = max(1, len(self.blocks) - 1 - len(pairs)) if n_inp is None else n_inp
        if not 1 <= self.n_inp <= len(self.blocks):
            raise SettingError(f"n_inp={n_inp}: with {len(self.blocks)} blocks it must be between 1 and {len(self.blocks)}.")
        self.get_items, self.splitter = get_items, _splitter(splitter)
        self.get_x, self.get_y, self.getters = get_x, get_y, getters
        self.item_tfms, self.batch_tfms = as_list(item_tfms), as_list(batch_tfms)
        as_item_transforms(self.item_tfms)  # mistakes are told here, not when data is read
        as_batch_transforms(self.batch_tfms)
        self._getters()
        for i in reversed(pairs):
            self._join(i)

    def _join(self, i: int) -> None:
        """Makes one of block `i` and the one behind it (boxes and their labels), with one getter for both."""
        if i < self.n_inp:
            raise SettingError(
                f"n_inp={self.n_inp}: {type(self.blocks[i]).__name__} and {type(self.blocks[i + 1]).__name__} are one target together. Pass n_inp={i}."
            )
        getters = self._getters()
        made = self.blocks[i].joined(self.blocks[i + 1])
        assert made is not None
        if any(getters):
            getters[i : i + 2] = [Both(getters[i], getters[i + 1])]
            self.getters, self.get_x, self.get_y = getters, None, None
        self.blocks[i : i + 2] = [made]

    @classmethod
    def from_columns(
        cls,
        blocks: Sequence[Any] | Any | None = None,
        *,
        getters: Any = None,
        get_items: Callable[[Any], Any] | None = None,
        n_inp: int | None = None,
        splitter: Any = None,
        item_tfms: Any = None,
        batch_tfms: Any = None,
    ) -> DataBlock:
        """A DataBlock whose source is a list of columns of equal length, or a DataFrame with these columns: one a block, in
        the order of the blocks.

        Args:
            getters: functions, one a block, from a column's cell to the raw value; None takes the cells as they are.
            get_items: from the source to the columns (or the DataFrame).
        """
        made = [_block(b, i) for i, b in enumerate(as_list(blocks) or [Block, Block])]
        own = as_list(getters) or [None] * len(made)
        return cls(
            made, n_inp=n_inp, splitter=splitter, item_tfms=item_tfms, batch_tfms=batch_tfms, getters=[_then(ItemGetter(i), g) for i, g in enumerate(own)],
            get_items=lambda source: rows_of_columns(get_items(source) if get_items else source, column_names(made)),
        )  # fmt: skip

    def new(
        self,
        item_tfms: Any = _UNSET,
        batch_tfms: Any = _UNSET,
        *,
        blocks: Any = _UNSET,
        get_items: Any = _UNSET,
        splitter: Any = _UNSET,
        get_x: Any = _UNSET,
        get_y: Any = _UNSET,
        getters: Any = _UNSET,
        n_inp: Any = _UNSET,
    ) -> DataBlock:
        """A copy with what is named here changed; this one stays as it is."""
        changed = {k: v for k, v in locals().items() if k not in ("self",) and v is not _UNSET}
        settings = {
            k: getattr(self, k)
            for k in ("blocks", "get_items", "splitter", "get_x", "get_y", "getters", "n_inp", "item_tfms", "batch_tfms")
        }
        if "blocks" in changed and "n_inp" not in changed:
            settings["n_inp"] = None
        return type(self)(**{**settings, **changed})

    # -- from a source to data ----------------------------------------------------------------------------------
    def table(self, source: Any, seed: int | None = None) -> pd.DataFrame:
        """The labelled and split table of a source, without loaders: a column a block, and `split`."""
        items = find_items(source, self.get_items)
        cells = self._cells(items, with_labels=True)
        splitter = self.splitter or RandomSplitter(valid_pct=0.2, seed=42 if seed is None else derive(seed, "split"))
        return build_table(source if self.get_items is None else None, items, cells, self.n_inp, splitter)

    @hinting
    def dataloaders(
        self,
        source: Any,
        path: str | Path = ".",
        bs: int = 64,
        val_bs: int | None = None,
        *,
        seed: int | None = None,
        device: torch.device | str | None = None,
        num_workers: int | None = None,
        shuffle: bool = True,
        drop_last: bool | None = None,
        cache: bool | str | Path | None = None,
        on_error: str = "skip",
        balance: str | None = None,
        verbose: bool = False,
    ) -> DataLoaders:
        """Finds, labels, splits and checks the data of `source`, and gives its loaders.

        Args:
            source: what `get_items` takes; or a list of samples; or a DataFrame.
            path: where models and results of training go.
            bs: samples a training batch. val_bs: a validation batch; the same when None.
            seed: fixes order and augmentation, and the split when no splitter is given.
            device: where batches go; the accelerator if there is one.
            num_workers: threads that read; None one a processor; 0 none.
            shuffle: a new order every epoch. drop_last: see DataLoader.
            cache: True or "ram", or a folder: keep decoded, resized pictures. None does it in memory when they are small.
            on_error: "skip" leaves out files that can't be read, counted and named; "raise" stops.
            balance: "sample" draws rare classes more often, "loss" weighs them more, None leaves them as they are.
            verbose: print a summary.
        """
        table = self.table(source, seed)
        white = white_of(self.blocks[: self.n_inp])
        readable, targets = with_labels_read(table, self.blocks, self.n_inp, quick=True)
        quick = check_table(readable, table.attrs["inputs"], targets, quick=True, white=white)
        if quick:
            note(quick.announcement())
        dls = DataLoaders.from_table(
            table, [_with_names(b, g) for b, g in zip(self.blocks, self._getters(), strict=True)], n_inp=self.n_inp, item_tfms=as_item_transforms(self.item_tfms), batch_tfms=as_batch_transforms(self.batch_tfms),
            bs=bs, val_bs=val_bs, path=path, seed=seed, device=device, num_workers=num_workers, shuffle=shuffle, drop_last=drop_last,
            cache=cache, on_error=on_error, balance=balance, labels_of=Labeller(self, source),
        )  # fmt: skip
        _say_what_stays(dls)
        if verbose:
            print(dls.summary())
        return dls

    def datasets(self, source: Any, verbose: bool = False) -> Datasets:
        """The splits for looking at, sample by sample: ``datasets(path).train[0]`` is the opened (picture, label)."""
        dls = self.dataloaders(source, bs=1, cache=False, num_workers=0, device="cpu", verbose=verbose)
        return Datasets(dls.train_ds, dls.valid_ds, None if dls.test is None else dls.test_ds, dls.table)

    def summary(self, source: Any, bs: int = 4, show_batch: bool = False) -> str:
        """Follows the first sample from its raw cells to a batch, step by step; prints and returns the text."""
        from burnish.data.describe import follow

        text = follow(self, source, bs, tell=print)
        if show_batch:
            self.dataloaders(source, bs=bs, device="cpu").show_batch()
        return text

    # -- labelling ----------------------------------------------------------------------------------------------
    def _getters(self) -> list[Callable[[Any], Any] | None]:
        """One getter a block, or an error that says which are missing."""
        n = len(self.blocks)
        if self.getters is not None:
            if self.get_x is not None or self.get_y is not None:
                raise SettingError("getters and get_x/get_y were both given; use one or the other.")
            if len(self.getters) != n:
                raise SettingError(
                    f"getters has {len(self.getters)} functions for {n} blocks; one a block is needed (None takes the sample as it is)."
                )
            return list(self.getters)
        out: list[Callable[[Any], Any] | None] = []
        for name, given, wanted in (("get_x", self.get_x, self.n_inp), ("get_y", self.get_y, n - self.n_inp)):
            functions = [None] * wanted if given is None else as_list(given)
            if len(functions) != wanted:
                raise SettingError(
                    f"{name} has {len(functions)} function(s) for {wanted} {'input' if name == 'get_x' else 'target'} block(s): give one a block. To apply several in turn to one block, compose them into one function."
                )
            wrong = [f for f in functions if f is not None and not callable(f)]
            if wrong:
                raise SettingError(
                    f"{name} must be a function of a sample, or a list of them; got {wrong[0]!r}. For a column of a table use ColReader({wrong[0]!r})."
                )
            out += functions
        return out

    def _cells(self, items: Sequence[Any], with_labels: bool) -> dict[str, list[Any]]:
        getters = self._getters()
        names = column_names(self.blocks)
        if not with_labels:
            getters, names = getters[: self.n_inp], names[: self.n_inp]
        tuples = all(isinstance(item, tuple) and len(item) == len(self.blocks) for item in items)
        if all(g is None for g in self._getters()) and tuples:
            getters = [ItemGetter(i) for i in range(len(names))]
        elif with_labels and self.getters is None and self.get_y is None and len(self.blocks) > self.n_inp:
            raise DataError(
                f"get_y was not given, so nothing says what the {names[-1]} of a sample is (the first sample is {brief(items[0])}). "
                "Pass get_y=parent_label for a folder a class, get_y=RegexLabeller(...) for labels in file names, get_y=ColReader('column') for a table."
            )
        cells = label_items(items, getters, names)
        return {name: _kept(block, cells[name]) for name, block in zip(names, self.blocks, strict=False)}

    def __repr__(self) -> str:
        return f"DataBlock(blocks=({', '.join(map(repr, self.blocks))}), item_tfms={self.item_tfms}, batch_tfms={self.batch_tfms})"


class Labeller:
    """From samples like the ones a DataBlock's source had to raw cells; lives in the session, never in a file."""

    def __init__(self, block: DataBlock, source: Any) -> None:
        self.block = copy.copy(block)
        self.from_frame = isinstance(source, pd.DataFrame)

    def takes(self, items: Any) -> bool:
        """Whether items must go through the getters: rows of a table must, files and pictures are what they are."""
        return isinstance(items, pd.DataFrame) or (self.from_frame and len(items) > 0 and isinstance(items[0], pd.Series))

    def columns(self, items: Any, with_labels: bool) -> list[list[Any]]:
        return list(self.block._cells(find_items(items, None), with_labels).values())


def _kept(block: Block, cells: list[Any]) -> list[Any]:
    """What the table keeps of raw cells. A DataError names the row."""
    if type(block).cell is Block.cell:
        return cells
    kept = []
    for i, given in enumerate(cells):
        try:
            kept.append(block.cell(given))
        except DataError as error:
            raise DataError(f"Row {i}: {error}") from error
    return kept


class Both:
    """Two getters as one, which gives what both give; None takes the sample as it is."""

    def __init__(self, first: Callable[[Any], Any] | None, second: Callable[[Any], Any] | None) -> None:
        self.first, self.second = first, second

    def __call__(self, item: Any) -> tuple[Any, Any]:
        return (item if self.first is None else self.first(item)), (item if self.second is None else self.second(item))

    def __repr__(self) -> str:
        return f"{self.first!r} and {self.second!r}"


def _block(block: Any, position: int) -> Block:
    """A block as an instance; classes and functions without arguments are called."""
    if isinstance(block, Block):
        return block
    if callable(block):
        made = block()
        if isinstance(made, Block):
            return made
    kind = "class" if inspect.isclass(block) else type(block).__name__
    raise SettingError(f"blocks[{position}] is {block!r} (a {kind}); expected a block such as ImageBlock or CategoryBlock.")


def _with_names(block: Block, getter: Any) -> Block:
    """A block of several numbers, which are called as the columns they are read from; any other as it is."""
    columns = getter.cols if isinstance(getter, ColReader) and isinstance(getter.cols, (list, tuple)) else []
    named = all(isinstance(column, str) for column in columns) and len(set(columns)) == len(columns) > 1
    if not named or not isinstance(block, RegressionBlock) or block.names is not None:
        return block
    made = copy.copy(block)
    made.names = list(columns)
    return made


def _splitter(splitter: Any) -> Any:
    """A splitter as a function; a class of splitters that needs no arguments is called."""
    if inspect.isclass(splitter) and issubclass(splitter, Splitter):
        try:
            return splitter()
        except TypeError as error:
            raise SettingError(
                f"splitter={splitter.__name__} is a class that needs arguments ({error}). Give one made with them: splitter={splitter.__name__}(...)."
            ) from None
    if splitter is not None and not callable(splitter):
        raise SettingError(
            f"splitter={brief(splitter)}: expected a splitter such as RandomSplitter(0.2, seed=42), or a function from the samples to (train, valid) "
            "positions. For positions that you have, use IndexSplitter(valid_idx)."
        )
    return splitter


def _then(first: Callable[[Any], Any], second: Callable[[Any], Any] | None) -> Callable[[Any], Any]:
    return first if second is None else lambda item: second(first(item))


def _say_what_stays(dls: DataLoaders) -> None:
    """Says where a function of the user's gets the pictures alone, and something lies in them."""
    placed = [type(block).__name__ for block in dls.target_blocks if block.kind in SHARES_GEOMETRY]
    blind = [tfm for tfm in (*dls.item_tfms, *dls.batch_tfms) if isinstance(tfm, (ItemFunction, BatchFunction))]
    if placed and blind:
        name = getattr(blind[0].function, "__qualname__", type(blind[0].function).__name__)
        note(
            f"The transform {name!r} is a function, which is given the pictures alone: what the {placed[0]} has in them stays where it is. If it moves pixels (flips, turns, shifts), use a "
            "transform of burnish or torchvision.transforms.v2, or a class deriving from ItemTransform or BatchTransform."
        )
