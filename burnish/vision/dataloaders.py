"""ImageDataLoaders: loaders of pictures straight from a folder, a table or lists."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypedDict, Unpack

import torch

from burnish.data.block import Block
from burnish.data.category import CategoryBlock
from burnish.data.datablock import DataBlock
from burnish.data.dataloaders import DataLoaders
from burnish.data.files import get_image_files
from burnish.data.label import ColReader, RegexLabeller, is_missing, parent_label
from burnish.data.lazy import pd
from burnish.data.notes import note
from burnish.data.sides import check_shares
from burnish.data.split import ColSplitter, GrandparentSplitter, RandomSplitter, Splitter, TrainTestSplitter
from burnish.errors import DataError, SettingError, listed, nearest
from burnish.vision.blocks import ImageBlock


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
    `img_cls` or a mode for ImageBlock; and the options of ``DataBlock.dataloaders`` (bs, cache, num_workers ...).
    """

    @classmethod
    def from_folder(
        cls, path: str | Path, train: str = "train", valid: str = "valid", valid_pct: float | None = None, seed: int | None = None,
        vocab: Sequence[Any] | None = None, item_tfms: Any = None, batch_tfms: Any = None, img_cls: Any = None, *, test: str = "test",
        test_pct: float = 0.0, **options: Unpack[LoaderOptions],
    ) -> DataLoaders:  # fmt: skip
        """From a folder with a sub-folder a class.

        With folders named `train` and `valid` (and perhaps `test`) in `path` these are the splits; otherwise, and with
        `valid_pct`, the splits are drawn at random from all pictures.
        """
        path = Path(path)
        has_splits = (path / train).is_dir() and (path / valid).is_dir()
        if valid_pct is None and has_splits:
            names = [n for n in (train, valid, test) if (path / n).is_dir()]
            splitter: Any = GrandparentSplitter(train_name=train, valid_name=valid, test_name=test if (path / test).is_dir() else None)
            files = lambda p: get_image_files(p, folders=names)  # noqa: E731
        else:
            if valid_pct is None and path.is_dir():  # a missing folder is told below
                note(
                    f"{path} has no folders {train!r} and {valid!r}: a fifth of the pictures, drawn at random, validates (valid_pct= changes that)."
                )
            splitter = _random(0.2 if valid_pct is None else valid_pct, test_pct, seed)
            files = get_image_files
        block = DataBlock(
            blocks=(_image_block(img_cls), CategoryBlock(vocab=vocab)), get_items=files, splitter=splitter, get_y=parent_label,
            item_tfms=item_tfms, batch_tfms=batch_tfms,
        )  # fmt: skip
        return block.dataloaders(path, seed=seed, **_known(options))

    @classmethod
    def from_path_func(
        cls, path: str | Path, fnames: Sequence[Any], label_func: Callable[[Any], Any], valid_pct: float = 0.2, seed: int | None = None,
        item_tfms: Any = None, batch_tfms: Any = None, img_cls: Any = None, *, test_pct: float = 0.0, vocab: Sequence[Any] | None = None,
        **options: Unpack[LoaderOptions],
    ) -> DataLoaders:  # fmt: skip
        """From a list of files and a function from a file's Path to its label."""
        block = DataBlock(
            blocks=(_image_block(img_cls), CategoryBlock(vocab=vocab)), splitter=_random(valid_pct, test_pct, seed), get_y=label_func,
            item_tfms=item_tfms, batch_tfms=batch_tfms,
        )  # fmt: skip
        return block.dataloaders([Path(f) if isinstance(f, str) else f for f in fnames], seed=seed, **_known(options))

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
            y_block: the target's block when it isn't a single label.
        """
        if label_delim is not None or (not isinstance(label_col, (int, str)) and len(label_col) > 1):
            raise SettingError(
                "Several labels a picture (label_delim, or more than one label_col) need a block for them: pass y_block=, and get the labels with a DataBlock."
            )
        fn_col, label_col = (
            _column(df, fn_col, "fn_col"),
            _column(df, label_col if isinstance(label_col, (int, str)) else label_col[0], "label_col"),
        )
        root = Path(path) / folder if folder is not None else Path(path)
        splitter = _random(valid_pct, test_pct, seed, y_block) if valid_col is None else ColSplitter(_column(df, valid_col, "valid_col"))
        block = DataBlock(
            blocks=(_image_block(img_cls), y_block or CategoryBlock(vocab=vocab)), get_x=lambda row: _file(row, root, fn_col, suff),
            get_y=ColReader(label_col), splitter=splitter, item_tfms=item_tfms, batch_tfms=batch_tfms,
        )  # fmt: skip
        return block.dataloaders(df, seed=seed, **_known(options))

    @classmethod
    def from_csv(
        cls, path: str | Path, csv_fname: str | Path = "labels.csv", header: Any = "infer", delimiter: str | None = None, quoting: int = 0, *,
        valid_pct: float = 0.2, seed: int | None = None, fn_col: int | str = 0, folder: str | Path | None = None, suff: str = "",
        label_col: int | str | Sequence[int | str] = 1, label_delim: str | None = None, y_block: Any = None, valid_col: int | str | None = None,
        item_tfms: Any = None, batch_tfms: Any = None, img_cls: Any = None, test_pct: float = 0.0, vocab: Sequence[Any] | None = None,
        **options: Unpack[LoaderOptions],
    ) -> DataLoaders:  # fmt: skip
        """From a CSV file in `path` with a column of file names and one of labels; see ``from_df``."""
        file = Path(path) / csv_fname
        if not file.exists():
            raise FileNotFoundError(f"There is no {file}. Pass csv_fname= the name of the CSV file in {path}.")
        df = pd.read_csv(file, header=header, sep=delimiter or ",", quoting=quoting)  # type: ignore[call-overload]
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
        odd = next(((i, v) for i, v in enumerate(labels) if isinstance(v, (list, tuple, set)) or (isinstance(v, float) and v == v)), None)
        if y_block is None and odd is not None:
            raise SettingError(
                f"The label of file {odd[0]} ({fnames[odd[0]]}) is {odd[1]!r}, which is no class name. Pass y_block= the block for such targets; y_block=CategoryBlock takes numbers as classes."
            )
        block = DataBlock(
            blocks=(_image_block(img_cls), y_block or CategoryBlock(vocab=vocab)), splitter=_random(valid_pct, test_pct, seed, y_block),
            item_tfms=item_tfms, batch_tfms=batch_tfms,
        )  # fmt: skip
        pairs = [(Path(f) if isinstance(f, str) else f, y) for f, y in zip(fnames, labels, strict=True)]
        return block.dataloaders(pairs, seed=seed, **_known(options))


def _known(options: LoaderOptions) -> LoaderOptions:
    """The options, none of them misspelt.

    Raises:
        TypeError: one is no option of ``DataBlock.dataloaders``.
    """
    known = LoaderOptions.__annotations__
    wrong = [name for name in options if name not in known]
    if wrong:
        raise TypeError(
            f"ImageDataLoaders got an unexpected keyword argument {wrong[0]!r}. Besides the arguments of this factory there are: "
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
    """A random draw; of single labels one that keeps the classes' shares on every side."""
    check_shares(valid_pct, test_pct)
    seed = 42 if seed is None else seed
    if y_block is None or y_block is CategoryBlock or isinstance(y_block, CategoryBlock):
        return TrainTestSplitter(test_size=valid_pct, test_pct=test_pct, random_state=seed, stratify=True)
    return RandomSplitter(valid_pct=valid_pct, test_pct=test_pct, seed=seed)


def _image_block(img_cls: Any) -> Block:
    return ImageBlock() if img_cls is None else ImageBlock(cls=img_cls)


def _column(df: pd.DataFrame, column: int | str, argument: str) -> str:
    """A column's name, from its name or position."""
    if column in df.columns:
        return column  # type: ignore[return-value]
    if isinstance(column, int) and -len(df.columns) <= column < len(df.columns):
        return df.columns[column]
    raise DataError(
        f"{argument}={column!r}: the table has no such column. It has: {listed(df.columns, 12)}.{nearest(str(column), map(str, df.columns))}"
    )
