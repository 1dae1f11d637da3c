"""ImageDataLoaders: loaders of pictures straight from a folder, a table or lists."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypedDict, Unpack

import numpy as np
import torch

from burnish.data.block import Block
from burnish.data.category import CategoryBlock
from burnish.data.datablock import DataBlock
from burnish.data.dataloaders import DataLoaders
from burnish.data.files import get_image_files
from burnish.data.folders import FilledSplitter, sides_by_folder
from burnish.data.label import ColReader, RegexLabeller, is_missing, parent_label
from burnish.data.lazy import pd
from burnish.data.multicategory import MultiCategoryBlock
from burnish.data.notes import note
from burnish.data.number import RegressionBlock
from burnish.data.sides import check_shares
from burnish.data.split import ColSplitter, RandomSplitter, Splitter, TrainTestSplitter
from burnish.errors import DataError, SettingError, listed, nearest
from burnish.vision.blocks import ImageBlock
from burnish.vision.csv_files import check_csv, csv_in, read_rows


class LoaderOptions(TypedDict, total=False):
    """What every factory passes on to ``DataBlock.dataloaders``; see there."""

    bs: int
    val_bs: int | None
    device: torch.device | str | None
    num_workers: int | None
    shuffle: bool
    drop_last: bool | None
    cache: bool | str | Path | None
    on_error: str
    balance: str | None


class ImageDataLoaders(DataLoaders):
    """DataLoaders of pictures with one label each. Models and results go to the working directory, not beside the data.

    All factories take: `valid_pct` and `test_pct`, the shares (0 to 1) drawn at random for validation and testing, every
    class in the same proportion on all sides (a class with one picture trains);
    `seed`, which fixes that draw (42 when not given) and everything random in loading; `item_tfms` and `batch_tfms`;
    `img_cls`, a mode for ImageBlock or a block of your own (``ImageBlock("L", white=4095)``); and the options of ``DataBlock.dataloaders`` (bs, cache, num_workers ...).
    """

    @classmethod
    def from_folder(
        cls, path: str | Path, train: str | None = None, valid: str | None = None, valid_pct: float | None = None, seed: int | None = None,
        vocab: Sequence[Any] | None = None, item_tfms: Any = None, batch_tfms: Any = None, img_cls: Any = None, *, test: str | None = None,
        test_pct: float = 0.0, **options: Unpack[LoaderOptions],
    ) -> DataLoaders:  # fmt: skip
        """From a folder with a sub-folder a class.

        Sub-folders called like the sides of a split (``train``, ``val``, ``test`` ..., each with a sub-folder a class) are
        these sides; ``burnish.data.folders`` says which names are known and what is left out. What has no folder is drawn
        at random from the pictures that train: a fifth for validation, and `test_pct` for testing. Without such folders
        these are all pictures.

        Args:
            train, valid, test: names of the folders in `path` that are the sides, where they are called otherwise.
            valid_pct: draw this share for validation, also where there is a folder for it (which then trains).
        """
        path = Path(path).expanduser()
        files = get_image_files(path)
        found = sides_by_folder(path, files, train, valid, test)
        used = [(file, side) for file, side in zip(files, found.sides, strict=True) if side is not None]
        block = DataBlock(
            blocks=(image_block(img_cls), CategoryBlock(vocab=vocab)), get_y=parent_label, item_tfms=item_tfms, batch_tfms=batch_tfms,
            splitter=_folder_splitter(path, [side for _, side in used], found.folders, valid_pct, test_pct, seed),
        )  # fmt: skip
        return block.dataloaders([file for file, _ in used], seed=seed, **known_options(options))

    @classmethod
    def from_path_func(
        cls, path: str | Path, fnames: Sequence[Any], label_func: Callable[[Any], Any], valid_pct: float = 0.2, seed: int | None = None,
        item_tfms: Any = None, batch_tfms: Any = None, img_cls: Any = None, *, test_pct: float = 0.0, vocab: Sequence[Any] | None = None,
        **options: Unpack[LoaderOptions],
    ) -> DataLoaders:  # fmt: skip
        """From a list of files and a function from a file's Path to its label."""
        block = DataBlock(
            blocks=(image_block(img_cls), CategoryBlock(vocab=vocab)), splitter=_random(valid_pct, test_pct, seed), get_y=label_func,
            item_tfms=item_tfms, batch_tfms=batch_tfms,
        )  # fmt: skip
        return block.dataloaders([Path(f) if isinstance(f, str) else f for f in fnames], seed=seed, **known_options(options))

    @classmethod
    def from_name_func(
        cls, path: str | Path, fnames: Sequence[Any], label_func: Callable[[str], Any], valid_pct: float = 0.2, seed: int | None = None,
        item_tfms: Any = None, batch_tfms: Any = None, img_cls: Any = None, *, test_pct: float = 0.0, vocab: Sequence[Any] | None = None,
        **options: Unpack[LoaderOptions],
    ) -> DataLoaders:  # fmt: skip
        """From a list of files and a function from a file's name (a string) to its label."""
        return cls.from_path_func(
            path, fnames, _OfName(label_func), valid_pct, seed, item_tfms, batch_tfms, img_cls, test_pct=test_pct, vocab=vocab, **options
        )

    @classmethod
    def from_path_re(
        cls, path: str | Path, fnames: Sequence[Any], pat: str | re.Pattern[str], valid_pct: float = 0.2, seed: int | None = None,
        item_tfms: Any = None, batch_tfms: Any = None, img_cls: Any = None, *, test_pct: float = 0.0, vocab: Sequence[Any] | None = None,
        **options: Unpack[LoaderOptions],
    ) -> DataLoaders:  # fmt: skip
        """From a list of files; the label is the first group of `pat` in the path (with forward slashes)."""
        return cls.from_path_func(
            path, fnames, RegexLabeller(pat), valid_pct, seed, item_tfms, batch_tfms, img_cls, test_pct=test_pct, vocab=vocab, **options
        )

    @classmethod
    def from_name_re(
        cls, path: str | Path, fnames: Sequence[Any], pat: str | re.Pattern[str], valid_pct: float = 0.2, seed: int | None = None,
        item_tfms: Any = None, batch_tfms: Any = None, img_cls: Any = None, *, test_pct: float = 0.0, vocab: Sequence[Any] | None = None,
        **options: Unpack[LoaderOptions],
    ) -> DataLoaders:  # fmt: skip
        """From a list of files; the label is the first group of `pat` in the file's name."""
        return cls.from_name_func(
            path, fnames, RegexLabeller(pat), valid_pct, seed, item_tfms, batch_tfms, img_cls, test_pct=test_pct, vocab=vocab, **options
        )

    @classmethod
    def from_df(
        cls, df: pd.DataFrame, path: str | Path = ".", valid_pct: float = 0.2, seed: int | None = None, fn_col: int | str = 0,
        folder: str | Path | None = None, suff: str = "", label_col: int | str | Sequence[int | str] = 1, label_delim: str | None = None,
        y_block: Any = None, valid_col: int | str | None = None, item_tfms: Any = None, batch_tfms: Any = None, img_cls: Any = None, *,
        test_pct: float = 0.0, vocab: Sequence[Any] | None = None, **options: Unpack[LoaderOptions],
    ) -> DataLoaders:  # fmt: skip
        """From a table with a column of file names and one of labels.

        Args:
            fn_col, label_col: columns by name or position. folder: put between `path` and the file name.
            suff: put after the file name (".jpg"). valid_col: a column that says which rows validate (True/False, or
                "train"/"valid"/"test"), instead of a random draw.
            label_delim: what stands between several labels in one cell ("cat;dog"). Several `label_col` are columns of 0 and 1, one a
                label, or columns of labels (empty cells are none).
            y_block: the target's block when it is neither one label nor several: ``RegressionBlock``, with one or several `label_col`.
        """
        fn_col = column_of(df, fn_col, "fn_col")
        label_cols = [column_of(df, c, "label_col") for c in ([label_col] if isinstance(label_col, (int, str)) else label_col)]
        if str(fn_col).startswith("Unnamed:") and list(df[fn_col]) == list(range(len(df))):
            raise DataError(
                f"fn_col={fn_col!r} names no files: it is the table's index, which pandas wrote as a column. Pass fn_col=1, label_col=2, or write the file with df.to_csv(index=False)."
            )
        y_block, get_y = _targets(df, fn_col, label_cols, label_delim, y_block, vocab)
        root = Path(path) / folder if folder is not None else Path(path)
        splitter = _random(valid_pct, test_pct, seed, y_block) if valid_col is None else by_column(df, valid_col, test_pct)
        block = DataBlock(
            blocks=(image_block(img_cls), y_block), get_x=lambda row: _file(row, root, fn_col, suff), get_y=get_y, splitter=splitter, item_tfms=item_tfms, batch_tfms=batch_tfms,
        )  # fmt: skip
        return block.dataloaders(df, seed=seed, **known_options(options))

    @classmethod
    def from_csv(
        cls, path: str | Path, csv_fname: str | Path = "labels.csv", header: Any = "infer", delimiter: str | None = None, quoting: int = 0, *,
        valid_pct: float = 0.2, seed: int | None = None, fn_col: int | str = 0, folder: str | Path | None = None, suff: str = "",
        label_col: int | str | Sequence[int | str] = 1, label_delim: str | None = None, y_block: Any = None, valid_col: int | str | None = None,
        item_tfms: Any = None, batch_tfms: Any = None, img_cls: Any = None, test_pct: float = 0.0, vocab: Sequence[Any] | None = None,
        **options: Unpack[LoaderOptions],
    ) -> DataLoaders:  # fmt: skip
        """From a CSV file in `path` (or which `path` is) with a column of file names and one of labels; see ``from_df``. One without a line of
        names at its top needs ``header=None``."""
        path, file = csv_in(path, csv_fname)
        df = read_rows(file, header, delimiter, quoting, asks=True)
        check_csv(df, file, header, delimiter, Path(path) / (folder or ""), suff)
        return cls.from_df(
            df, path, valid_pct, seed, fn_col, folder, suff, label_col, label_delim, y_block, valid_col, item_tfms, batch_tfms, img_cls,
            test_pct=test_pct, vocab=vocab, **options,
        )  # fmt: skip

    @classmethod
    def from_lists(
        cls, path: str | Path, fnames: Sequence[Any], labels: Sequence[Any], valid_pct: float = 0.2, seed: int | None = None,
        y_block: Any = None, item_tfms: Any = None, batch_tfms: Any = None, img_cls: Any = None, *, test_pct: float = 0.0,
        vocab: Sequence[Any] | None = None, **options: Unpack[LoaderOptions],
    ) -> DataLoaders:  # fmt: skip
        """From a list of files and the list of their labels, in the same order."""
        fnames, labels = list(fnames), list(labels)
        if len(fnames) != len(labels):
            raise DataError(f"There are {len(fnames)} files and {len(labels)} labels; one label a file is needed, in the same order.")
        y_block = _block_for(labels, fnames, vocab) if y_block is None else y_block
        block = DataBlock(
            blocks=(image_block(img_cls), y_block), splitter=_random(valid_pct, test_pct, seed, y_block),
            item_tfms=item_tfms, batch_tfms=batch_tfms,
        )  # fmt: skip
        pairs = [(Path(f) if isinstance(f, str) else f, y) for f, y in zip(fnames, labels, strict=True)]
        return block.dataloaders(pairs, seed=seed, **known_options(options))


def _targets(
    df: pd.DataFrame, fn_col: str, label_cols: list[str], label_delim: str | None, y_block: Any, vocab: Sequence[Any] | None
) -> tuple[Any, Callable[[Any], Any]]:
    """The block of the targets, and what reads them from a row."""
    several = len(label_cols) > 1
    read = ColReader(label_cols if several else label_cols[0], label_delim=label_delim)
    if y_block is not None:
        return y_block, read
    if several and all(mark in (0, 1) for name in label_cols for mark in df[name].unique().tolist()):
        note(f"The columns {listed(label_cols, 8)} hold 0 and 1 only: each is a label that a picture has or has not.")
        return MultiCategoryBlock(encoded=True, vocab=label_cols if vocab is None else vocab), read
    if several:
        numbers = [name for name in label_cols if pd.api.types.is_numeric_dtype(df[name]) and not pd.api.types.is_bool_dtype(df[name])]
        if numbers and vocab is None:
            raise SettingError(
                f"The columns {listed(map(repr, numbers), 6)} hold numbers, and it isn't said what they are: y_block=RegressionBlock for numbers to predict, y_block=PointBlock(n=...) for places "
                "(x and y of each in turn), y_block=MultiCategoryBlock for labels."
            )
        return MultiCategoryBlock(vocab=vocab), lambda row: [row[name] for name in label_cols if not is_missing(row[name])]
    if label_delim is not None:
        return MultiCategoryBlock(vocab=vocab), read
    return _block_for(list(df[label_cols[0]]), list(df[fn_col]), vocab), read


def _block_for(labels: Sequence[Any], fnames: Sequence[Any], vocab: Sequence[Any] | None) -> Block:
    """The block that suits the labels: several a picture, fractions as numbers, else one class each.

    Raises:
        SettingError: some are fractions, and others neither numbers nor missing.
    """
    if any(isinstance(label, (list, tuple, set)) for label in labels):
        return MultiCategoryBlock(vocab=vocab)
    there = [(label, name) for label, name in zip(labels, fnames, strict=True) if not is_missing(label)]
    fraction = next(((label, name) for label, name in there if isinstance(label, (float, np.floating))), None)
    if fraction is None or vocab is not None or len(there) < len(labels):  # what is missing makes fractions of whole numbers
        if vocab is None:
            _say_whole_numbers([label for label, _ in there])
        return CategoryBlock(vocab=vocab)
    if any(isinstance(label, bool) or not isinstance(label, (int, float, np.number)) for label, _ in there):
        raise SettingError(
            f"The label of {fraction[1]} is {fraction[0]!r}, a fraction, and others are no numbers. Mend them; or y_block=CategoryBlock takes all as classes."
        )
    shown = listed((f"{label:g}" for label, _ in there), 4)
    note(f"The labels are fractions ({shown}): taken as numbers to predict. If they are classes: y_block=CategoryBlock.")
    return RegressionBlock()


def _say_whole_numbers(labels: Sequence[Any]) -> None:
    """Whole numbers are classes here, and could be an amount."""
    if not all(isinstance(label, (int, float, np.number)) and not isinstance(label, bool) for label in labels):
        return
    different = set(labels)
    if len(different) > 2:
        shown = listed((f"{label:g}" for label in sorted(different)), 6)
        note(
            f"The labels are {len(different)} different whole numbers ({shown}): taken as classes, without an order. If they are an amount: y_block=RegressionBlock."
        )


def known_options(options: LoaderOptions, who: str = "ImageDataLoaders") -> LoaderOptions:
    """The options, none of them misspelt.

    Raises:
        TypeError: one is no option of ``DataBlock.dataloaders``.
    """
    known = LoaderOptions.__annotations__
    wrong = [name for name in options if name not in known]
    if wrong:
        raise TypeError(
            f"{who} got an unexpected keyword argument {wrong[0]!r}. Besides the arguments of this factory there are: "
            f"{listed(known, 12)}.{nearest(wrong[0], [*known, 'valid_pct', 'test_pct', 'item_tfms', 'batch_tfms', 'img_cls', 'vocab'])}"
        )
    return options


class _OfName:
    """A label function of a file's name as one of its path, called as the user's own in messages."""

    def __init__(self, function: Callable[[str], Any]) -> None:
        self.function = function

    def __call__(self, file: Any) -> Any:
        return self.function(Path(file).name)

    def __repr__(self) -> str:
        return getattr(self.function, "__qualname__", None) or repr(self.function)


def _file(row: Any, root: Path, column: str, suff: str) -> Path:
    if is_missing(row[column]):
        raise DataError(f"The column {column!r} names no file in this row. Fill it in, or drop the row.")
    return root / f"{row[column]}{suff}"


def _random(valid_pct: float, test_pct: float, seed: int | None, y_block: Any = None) -> Splitter:
    """A random draw; of labels one that keeps the classes' shares on every side."""
    check_shares(valid_pct, test_pct)
    seed = 42 if seed is None else seed
    if y_block is None or y_block in (CategoryBlock, MultiCategoryBlock) or isinstance(y_block, (CategoryBlock, MultiCategoryBlock)):
        return TrainTestSplitter(test_size=valid_pct, test_pct=test_pct, random_state=seed, stratify=True)
    return RandomSplitter(valid_pct=valid_pct, test_pct=test_pct, seed=seed)


def _folder_splitter(
    path: Path, sides: list[str], folders: dict[str, str], valid_pct: float | None, test_pct: float, seed: int | None
) -> FilledSplitter:
    """The sides that folders give, filled up with random draws from what trains."""
    if test_pct and "test" in folders:
        raise SettingError(
            f"test_pct={test_pct} asks for a random test split, but the folder {folders['test']!r} in {path} is the test split. Leave test_pct out to "
            "test on it; to draw one instead, move that folder out of there."
        )
    if "valid" in folders and valid_pct is None:
        if not test_pct:
            return FilledSplitter(sides)
        check_shares(test_pct, 0.0, "test_pct")
        return FilledSplitter(sides, _random(test_pct, 0.0, seed), ("test",))
    if valid_pct is None:
        missing = "no folder 'valid'" if folders else "no folders 'train' and 'valid'"
        pool = f" in {folders['train']!r}" if "train" in folders else ""
        note(f"{path} has {missing}: a fifth of the pictures{pool}, drawn at random, validates (valid_pct= changes that).")
    elif "valid" in folders:
        note(f"valid_pct={valid_pct} draws from all that may train, {folders['valid']!r} too; without it that folder validates.")
    drawn = _random(0.2 if valid_pct is None else valid_pct, test_pct, seed)
    return FilledSplitter(["train" if side == "valid" else side for side in sides], drawn, ("valid", "test")[: 1 + bool(test_pct)])


def image_block(img_cls: Any) -> Block:
    if isinstance(img_cls, Block):
        return img_cls
    return ImageBlock() if img_cls is None else ImageBlock(cls=img_cls)


def by_column(df: pd.DataFrame, valid_col: int | str, test_pct: float) -> ColSplitter:
    """The split that a column says."""
    if test_pct:
        raise SettingError(
            f"valid_col={valid_col!r} and test_pct={test_pct} were both given, and the column says which rows test: those with the text 'test'. Leave test_pct out."
        )
    return ColSplitter(column_of(df, valid_col, "valid_col"))


def column_of(df: pd.DataFrame, column: int | str, argument: str) -> str:
    """A column's name, from its name or position."""
    if column in df.columns:
        return column  # type: ignore[return-value]
    if isinstance(column, int) and -len(df.columns) <= column < len(df.columns):
        return df.columns[column]
    raise DataError(
        f"{argument}={column!r}: the table has no such column. It has: {listed(df.columns, 12)}.{nearest(str(column), map(str, df.columns))}"
    )
