"""TabularDataLoaders: loaders of a table's rows, straight from a DataFrame or a CSV file."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Self, TypedDict, Unpack

import numpy as np
import torch

from burnish.data.config import from_config
from burnish.data.dataloaders import DataLoaders
from burnish.data.findings import Report
from burnish.data.label import is_missing
from burnish.data.lazy import pd
from burnish.data.mapped import is_mapped, row_at
from burnish.data.notes import captured_notes, note
from burnish.data.randomness import fresh_seed
from burnish.data.split import IndexSplitter
from burnish.data.table import SPLITS, rows_of
from burnish.data.tensors import Encoded, TensorLoader
from burnish.errors import DataError, SettingError, hinting, listed, nearest
from burnish.tabular.blocks import ColumnsBlock, as_row
from burnish.tabular.check import check_prepared
from burnish.tabular.files import read_csv, read_file
from burnish.tabular.frames import as_frame
from burnish.tabular.prepare import Side, Splits, TabularPandas, encode_rows
from burnish.tabular.procs import TabularProc
from burnish.tabular.targets import Target
from burnish.tabular.transforms import UnknownCategories

FEW = 64  # rows of so many or fewer are encoded one by one, without making a table of them


class LoaderOptions(TypedDict, total=False):
    """What every factory passes on to ``TabularDataLoaders.from_prepared``; see there."""

    bs: int
    val_bs: int | None
    device: torch.device | str | None
    shuffle: bool
    drop_last: bool | None
    balance: str | None


class TabularDataLoaders(DataLoaders):
    """DataLoaders of a table: a batch is the categories as codes ``(batch, columns)`` int64, the numbers ``(batch, columns)``
    float32, and the target(s). The whole table is kept encoded, on the device where it fits: nothing is read in training."""

    kind: ClassVar[str] = "tabular"  # by which a model file knows what to make
    preparing: ClassVar[type[TabularPandas]] = TabularPandas  # what makes a table ready
    procs: list[TabularProc]
    prepared: TabularPandas | None

    def __init__(self, *loaders: Any, path: str | Path = ".", device: torch.device | str | None = None, n_inp: int | None = None) -> None:
        super().__init__(*loaders, path=path, device=device, n_inp=n_inp)
        self.prepared, self.procs = None, []
        self._told: set[str] = set()

    @classmethod
    @hinting
    def from_df(
        cls, df: Any, path: str | Path = ".", procs: Any = None, cat_names: Any = None, cont_names: Any = None, y_names: Any = None,
        y_block: Any = None, valid_idx: Sequence[int] | None = None, *, splitter: Splits = None, test_df: Any = None, seed: int | None = None,
        missing_targets: str = "drop", bs: int = 64, val_bs: int | None = None, device: torch.device | str | None = None, shuffle: bool = True,
        drop_last: bool | None = None, balance: str | None = None, in_memory: bool | None = None,
    ) -> TabularDataLoaders:  # fmt: skip
        """From a table.

        Args:
            df: a DataFrame of pandas or polars, an Arrow table, a dict of columns.
            path: where models and results go.
            procs, cat_names, cont_names, y_names, y_block, missing_targets: see ``TabularPandas``.
            valid_idx: positions of the rows that validate. splitter: a splitter instead, e.g. ``TimeSplitter("date")``,
                ``GroupSplitter("patient")`` or ``RandomSplitter(0.2, test_pct=0.1, seed=42)``. Without either a fifth is drawn.
            test_df: rows of their own for the last test, with their targets.
            bs: rows a batch. val_bs: of a validation batch; None takes larger ones, which change no result.
            seed: fixes order and split. balance: see ``DataBlock.dataloaders``.
            in_memory: see ``TabularPandas``.
        """
        if valid_idx is not None and splitter is not None:
            raise SettingError("valid_idx and splitter were both given; use one or the other.")
        splits = splitter if valid_idx is None else IndexSplitter(valid_idx)
        to = TabularPandas(
            df, procs, cat_names, cont_names, y_names, y_block, splits, test_df=test_df, seed=seed, missing_targets=missing_targets,
            in_memory=in_memory,
        )  # fmt: skip
        return cls.from_prepared(
            to, bs=bs, val_bs=val_bs, path=path, device=device, seed=seed, shuffle=shuffle, drop_last=drop_last, balance=balance
        )

    @classmethod
    def from_csv(
        cls, csv: str | Path, path: str | Path = ".", procs: Any = None, cat_names: Any = None, cont_names: Any = None, y_names: Any = None,
        y_block: Any = None, valid_idx: Sequence[int] | None = None, *, skipinitialspace: bool = True, sep: str | None = None, encoding: str | None = None,
        decimal: str | None = None, thousands: str | None = None, splitter: Splits = None, test_df: Any = None, seed: int | None = None, missing_targets: str = "drop", in_memory: bool | None = None,
        **options: Unpack[LoaderOptions],
    ) -> TabularDataLoaders:  # fmt: skip
        """From a CSV file; see ``from_df``. A table that needs other options of ``pandas.read_csv`` than these is read with it.

        Args:
            sep, encoding, decimal, thousands: how it is written: ``sep=";", decimal=","`` is what Excel writes in much of Europe.
        """
        given = {"sep": sep, "encoding": encoding, "decimal": decimal, "thousands": thousands}
        said = {name: value for name, value in given.items() if value is not None}
        return cls.from_df(
            read_csv(csv, in_memory, skipinitialspace=skipinitialspace, **said), path, procs, cat_names, cont_names, y_names, y_block, valid_idx,
            splitter=splitter, test_df=test_df, seed=seed, missing_targets=missing_targets, in_memory=in_memory, **options,
        )  # fmt: skip

    @classmethod
    def from_file(
        cls, file: str | Path, path: str | Path = ".", procs: Any = None, cat_names: Any = None, cont_names: Any = None, y_names: Any = None,
        y_block: Any = None, valid_idx: Sequence[int] | None = None, *, splitter: Splits = None, test_df: Any = None, seed: int | None = None,
        missing_targets: str = "drop", in_memory: bool | None = None, **options: Unpack[LoaderOptions],
    ) -> TabularDataLoaders:  # fmt: skip
        """From a file, by its ending: CSV (.csv, .tsv), Parquet (also a folder of such files), Arrow (.arrow, .feather). A table that is
        large beside the free memory stays in files (see ``TabularPandas``). The rest: see ``from_df``."""
        return cls.from_df(
            read_file(file, in_memory), path, procs, cat_names, cont_names, y_names, y_block, valid_idx, splitter=splitter, test_df=test_df, seed=seed,
            missing_targets=missing_targets, in_memory=in_memory, **options,
        )  # fmt: skip

    @classmethod
    def from_prepared(
        cls,
        to: TabularPandas,
        *,
        bs: int = 64,
        val_bs: int | None = None,
        path: str | Path = ".",
        device: torch.device | str | None = None,
        seed: int | None = None,
        shuffle: bool = True,
        drop_last: bool | None = None,
        balance: str | None = None,
    ) -> Self:
        """The loaders of a prepared table; see ``from_df`` for the arguments."""
        dls = cls(path=path, device=device, n_inp=to.n_inp)
        dls.prepared, dls.procs, dls.table, dls.blocks = to, to.procs.own, to.table, to.blocks
        dls.bs, dls.seed = bs, fresh_seed() if seed is None else int(seed)
        dls.check_balance(balance, shuffle)
        rows = {split: rows_of(to.table, split) for split in SPLITS}
        weights = dls._balance(balance, lambda: to.tensors[to.n_inp][torch.from_numpy(rows["train"])])
        encoded = Encoded(to.tensors, mapped=is_mapped(to.frame))
        dls.batch_tfms = [UnknownCategories(to.blocks[0].unknown)]  # type: ignore[attr-defined]
        for split, where in rows.items():
            if split == "test" and not len(where):
                continue
            train = split == "train"
            dls.loaders.append(
                TensorLoader(
                    encoded,
                    to.blocks,
                    where,
                    partial(row_at, to.frame),
                    batch_tfms=dls.batch_tfms,
                    bs=bs if train else val_bs or max(bs, 1024),
                    train=train,
                    shuffle=train and shuffle,
                    drop_last=drop_last if train else False,
                    weights=weights if train else None,
                    device=dls.device,
                    seed=dls.seed,
                )
            )
        dls.say_small()
        quick = check_prepared(to, quick=True)
        if quick:
            note(quick.announcement())
        return dls

    # -- looking at it ------------------------------------------------------------------------------------------
    def show_batch(
        self,
        max_n: int = 10,
        nrows: int | None = None,
        ncols: int | None = None,
        figsize: tuple[float, float] | None = None,
        unique: bool = False,
    ) -> None:
        """Shows rows of a training batch as the model sees them, in words: gaps filled, unknown categories named so.

        Args:
            max_n: how many rows; `nrows` is the same. ncols, figsize, unique: without meaning for a table.
        """
        from burnish.train.results import show_frame

        self._loader(0, "train")
        show_frame(self.decoded(self.train.one_batch(), nrows or max_n))

    def _dataset(self, i: int) -> Side:
        self[i]  # or the error that says there is no such split
        assert self.prepared is not None
        return Side(self.prepared, SPLITS[i])

    def check(self) -> Report:
        """Looks for what spoils results: rows on both sides of the split, columns that give the answer away, ids and times that a
        random split mixes, uneven classes ..."""
        self._loader(0, "train")
        assert self.prepared is not None
        return check_prepared(self.prepared)

    def decoded(self, batch: Sequence[torch.Tensor], max_n: int = 10) -> pd.DataFrame:
        """The first rows of a batch as a table."""
        rows = []
        for values in self.train.decode_batch(batch, max_n):
            row: dict[str, Any] = {}
            for value in values[: self.n_inp]:
                row |= value
            for value, names in zip(values[self.n_inp :], self.target_names, strict=False):
                row |= dict(zip(names, value, strict=True)) if len(names) > 1 else {names[0]: value}
            rows.append(row)
        return pd.DataFrame(rows)

    # -- rows to predict ----------------------------------------------------------------------------------------
    @property
    def cat_names(self) -> list[str]:
        """The features that are categories, in the order of a batch's columns."""
        return self.blocks[0].names  # type: ignore[attr-defined]

    @property
    def cont_names(self) -> list[str]:
        """The features that are numbers, in the order of a batch's columns."""
        return self.blocks[1].names if self.n_inp == 2 else []  # type: ignore[attr-defined]

    @property
    def classes(self) -> dict[str, list[Any]]:
        """Feature to its categories, in the order of their codes."""
        return self.blocks[0].classes  # type: ignore[attr-defined]

    def several(self, item: Any) -> list[Any] | None:
        """The rows of a table or a list; None for one row (a dict, a Series, a named tuple)."""
        if isinstance(item, pd.DataFrame):
            return item.to_dict("records")
        is_list = (isinstance(item, (list, tuple)) and not hasattr(item, "_asdict")) or type(item).__name__ == "L"
        return list(item) if is_list else None

    def test_dl(
        self, test_items: Any, with_labels: bool = False, bs: int | None = None, num_workers: int | None = None, on_error: str | None = None
    ) -> TensorLoader:
        """A loader over new rows, prepared as the training rows were; in order.

        Columns may be in any order; others than the model knows are left aside, one that is missing is an error. What these rows
        have that training had not (categories, missing cells) is said in a note.

        Args:
            test_items: a table, or a list of rows (dicts, Series).
            with_labels: take the target from the table too.
            num_workers, on_error: without meaning here; nothing is read from files.
        """
        rows = self._rows(test_items)
        blocks = self.blocks if with_labels else self.input_blocks
        if isinstance(rows, pd.DataFrame):
            tensors = encode_rows(self.input_blocks, rows)
            self._say_surprises(rows, tensors)
            raw: Any = partial(row_at, rows)
        else:
            tensors = [block.encode_all(rows) for block in self.input_blocks]
            self._say_surprises_of_few(rows, tensors)
            raw = rows.__getitem__
        if with_labels:
            tensors += self._labels(rows)
        return TensorLoader(
            Encoded(tensors), blocks, np.arange(len(rows)), raw, bs=bs or max(self.bs, 1024), device=self.device, seed=self.seed
        )

    def _rows(self, items: Any) -> Any:
        """New rows after the user's own procs: a table, or a short list of mappings."""
        if isinstance(items, (str, Path, bytes)):
            raise SettingError(
                f"test_dl got {str(items)[:80]!r}; expected a table or a list of rows. A CSV file: test_dl(pd.read_csv(path))."
            )
        if isinstance(items, (Mapping, pd.Series)):
            items = [items]
        if isinstance(items, (list, tuple)) or type(items).__name__ == "L":
            rows = [as_row(item) for item in items]
            if not rows:
                raise DataError("test_dl got no rows.")
            if len(rows) <= FEW and not self.procs:
                return rows
            self._check_whole(rows)
            items = pd.DataFrame(rows)
        if isinstance(items, pd.DataFrame) and not len(items):
            raise DataError("The table has no rows to predict.")
        frame = as_frame(items)
        for proc in self.procs:
            frame = proc.applied(frame)
        self.check_columns(frame)
        return frame

    def _check_whole(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Raises DataError for a row without a column that is needed: in a table made of the rows its cell would only be missing."""
        wanted = self._needed() if not self.procs else list(dict.fromkeys(name for row in rows for name in row))
        for i, row in enumerate(rows):
            if len(row) < len(wanted) or any(name not in row for name in wanted):
                lacking = [name for name in wanted if name not in row]
                raise DataError(
                    f"Row {i} has no column {listed(map(repr, lacking))}, which "
                    f"{'other rows have' if self.procs else 'the model was trained with'}. It has: {listed(row, 20)}. A cell that is not known is None."
                )

    def _needed(self) -> list[str]:
        """The columns that the model is given."""
        return list(dict.fromkeys(s for block in self.input_blocks if isinstance(block, ColumnsBlock) for s in block.sources))

    def check_columns(self, frame: pd.DataFrame) -> None:
        """Raises DataError for columns that are missing; says which ones are left aside."""
        needed = self._needed()
        there = list(map(str, frame.columns))
        missing = [name for name in needed if name not in frame.columns]
        if missing:
            raise DataError(
                f"The table has no column {listed(map(repr, missing))}, which the model was trained with.{nearest(str(missing[0]), there)} It has: {listed(there, 20)}."
            )
        extra = [name for name in frame.columns if name not in needed and name not in self._target_columns()]
        if extra and not self._same_columns(frame):
            note(f"Columns that the model doesn't know are left aside: {listed(extra, 8)}.")

    def _same_columns(self, frame: pd.DataFrame) -> bool:
        """Whether a table has no other columns than the one this was made from."""
        return self.prepared is not None and set(frame.columns) <= set(self.prepared.frame.columns)

    def targets_of(self, split: str) -> list[torch.Tensor]:
        if self.prepared is None:
            return super().targets_of(split)
        at = torch.from_numpy(rows_of(self.table, split))
        return [tensor[at] for tensor in self.prepared.tensors[self.prepared.n_inp :]]

    def _target_columns(self) -> list[str]:
        return [name for target in self.targets for name in target.columns]

    @property
    def targets(self) -> list[Target]:
        """The target(s), with the columns that they are in."""
        return [Target(block, names) for block, names in zip(self.target_blocks, self.target_names, strict=True)]

    @property
    def target_names(self) -> list[list[str]]:
        """The columns that each target is in."""
        return [t.columns for t in self.prepared.targets] if self.prepared is not None else self._stored_targets

    def _labels(self, rows: Any) -> list[torch.Tensor]:
        frame = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(rows)
        found = []
        for target in self.targets:
            for name in target.columns:
                if name not in frame.columns:
                    raise DataError(
                        f"with_labels=True needs the target column {name!r}, which these rows have not. They have: {listed(frame.columns, 20)}."
                    )
            cells = target.cells(frame)
            target.block.check(cells, [f"row {i}" for i in range(len(cells))], "given")
            found.append(target.block.encode_all(cells))
        return found

    def _say_surprises_of_few(self, rows: list[Mapping[str, Any]], tensors: list[torch.Tensor]) -> None:
        """The same for a few rows, which are made a table only where there is something to say; each thing is said once."""
        unknown: list[int] = self.blocks[0].unknown  # type: ignore[attr-defined]
        new = any(code == at for codes in tensors[0].tolist() for code, at in zip(codes, unknown, strict=True))
        gaps = any(is_missing(row[s]) for block in self.input_blocks[1:] for s in block.sources for row in rows)  # type: ignore[attr-defined]
        if new or gaps:
            with captured_notes() as notes:
                self._say_surprises(pd.DataFrame([{s: row[s] for s in self._needed()} for row in rows]), tensors)
            for said in notes:
                if said not in self._told:
                    self._told.add(said)
                    note(said)

    def _say_surprises(self, frame: pd.DataFrame, tensors: list[torch.Tensor]) -> None:
        said = [
            s
            for block, t in zip(self.input_blocks, tensors, strict=True)
            if isinstance(block, ColumnsBlock)
            for s in block.surprises(frame, t)
        ]
        if said:
            note(f"New in these rows: {listed(dict.fromkeys(said), 6)}.")

    def new(
        self, df: Any, valid_idx: Sequence[int] | None = None, *, splitter: Splits = None, bs: int | None = None, seed: int | None = None,
        missing_targets: str = "drop",
    ) -> Self:  # fmt: skip
        """Loaders of other rows, prepared exactly as these were (the same columns, categories, means and targets): what a model that was
        trained on these, or came from a file, can be trained further on: ``learn.dls = learn.dls.new(df)``.

        Args: see ``from_df``. The target's columns must be in the table.
        """
        if valid_idx is not None and splitter is not None:
            raise SettingError("valid_idx and splitter were both given; use one or the other.")
        splits = splitter if valid_idx is None else IndexSplitter(valid_idx)
        to = self.preparing(df, splits=splits, like=self, seed=seed, missing_targets=missing_targets)
        made = type(self).from_prepared(to, bs=bs or self.bs, path=self.path, device=self.device, seed=seed)
        made.batch_tfms = copy.deepcopy(self.batch_tfms)
        for dl in made:
            dl.batch_tfms = [tfm for tfm in made.batch_tfms if dl.train or tfm.when != "train"]
        return made

    # -- the model file -----------------------------------------------------------------------------------------
    def config(self) -> dict[str, Any]:
        return {
            **super().config(),
            "kind": self.kind,
            "procs": [proc.config() for proc in self.procs],
            "targets": [[str(name) for name in names] for names in self.target_names],
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], device: torch.device | str | None = None) -> TabularDataLoaders:
        dls = super().from_config(config, device)
        assert isinstance(dls, TabularDataLoaders)
        dls.prepared, dls.procs = None, [from_config(c) for c in config["procs"]]
        dls._stored_targets = config["targets"]
        return dls

    _stored_targets: list[list[str]]
