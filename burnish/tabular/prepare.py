"""TabularPandas: a table prepared for a model: columns with their roles, features learned from the training rows, and encoded."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from burnish.data.block import Block
from burnish.data.category import CategoryBlock
from burnish.data.lazy import pd
from burnish.data.mapped import changed, is_mapped, mapped_like, mapped_tensor, pieces, plain_rows
from burnish.data.split import ColSplitter, GroupSplitter, RandomSplitter, Splitter, TrainTestSplitter, check_sides
from burnish.data.table import SPLITS, rows_of
from burnish.errors import DataError, SettingError, hinting, listed
from burnish.tabular.blocks import CategoriesBlock, ColumnsBlock, NumbersBlock, different_names
from burnish.tabular.dates import date_features
from burnish.tabular.features import CategoryFeature, MissingFeature, NumberFeature
from burnish.tabular.frames import ColumnByColumn, as_frame, cells_of, each, names_of, need_columns, rows_at, texts_as_categories
from burnish.tabular.procs import Procs, TabularProc
from burnish.tabular.roles import Roles, find_roles
from burnish.tabular.targets import Target, drop_missing, find_targets

if TYPE_CHECKING:
    from burnish.tabular.dataloaders import TabularDataLoaders

STRATIFIED = 5_000_000  # rows from which on chance alone keeps the shares of the classes
Splits = Splitter | Callable[[Any], Any] | Sequence[Sequence[int]] | None


class TabularPandas:
    """A table made ready: what each column is, learned from the training rows alone, and every row as a model gets it.

    Args:
        df: a DataFrame of pandas or polars, an Arrow table, a dict of columns. It stays as it is.
        procs: Categorify, FillMissing, Normalize, Dates, or your own; None is all of these.
        cat_names, cont_names: the columns that are categories, and numbers; both None infers them and says so.
        y_names: the column(s) to predict.
        y_block: what they are, where it can't be told: ``CategoryBlock()``, ``RegressionBlock(log=True)``; a list for several.
        splits: positions (train, valid[, test]), or a splitter; None draws a fifth for validation, always the same one.
        test_df: rows of their own for the last test, with their targets; `splits` is of `df` alone.
        like: DataLoaders whose columns, categories, means and targets are taken as they are, instead of learning them from `df`: for more
            rows of the same kind, to train a model further on.
        missing_targets: "drop" leaves rows without a target out and says so, "raise" is an error.
        aside: columns that are no inputs although nobody names any, as those are that a splitter looks at.
        in_memory: False leaves a table of Arrow's where it is, mapped from a file, say, and encodes it into files too; None does so
            where it takes up much of the free memory. Rows that are in no split, or have no target, stay in it.

    Attributes:
        frame: the table with the rows that have a target, their positions as the index. table: the same with the column `split`.
        cat_names, cont_names: the features' names, with those of dates and of missing numbers.
        y_names: the targets' columns. blocks: categories, numbers, then the target(s).
        classes: feature to its categories.
    """

    ids_repeat: ClassVar[bool] = False  # whether rows of one id belong on every side of the split

    @hinting
    def __init__(
        self,
        df: Any,
        procs: Any = None,
        cat_names: Any = None,
        cont_names: Any = None,
        y_names: Any = None,
        y_block: Any = None,
        splits: Splits = None,
        *,
        test_df: Any = None,
        like: TabularDataLoaders | None = None,
        seed: int | None = None,
        missing_targets: str = "drop",
        aside: Sequence[str] = (),
        in_memory: bool | None = None,
    ) -> None:
        frame, self.procs, self.like = as_frame(df, in_memory, say_names=like is None), Procs(procs if like is None else like.procs), like
        if like is None:
            self.targets = find_targets(frame, y_names, y_block)
        else:
            self._check_like(procs, cat_names, cont_names, y_names, y_block)
            self.targets = [Target(copy.deepcopy(target.block), target.columns) for target in like.targets]
            need_columns(frame, self.y_names, "The data that this is to be like")
        n, frame = len(frame), frame if test_df is None else self._with_test(frame, test_df)
        kept = self._kept(frame, missing_targets, names_of(cat_names, frame) if like is None else like.cat_names)
        self.groups: np.ndarray | None = None
        sides = self._split(frame, kept, n, splits, seed)
        self.frame = frame.iloc[kept] if len(kept) < len(frame) and not is_mapped(frame) else frame
        self.splitter = splits if isinstance(splits, Splitter) else None
        self._apply_own(sides[0])
        place, names = place_of(sides, len(self.frame)), SPLITS[: len(sides)]
        del kept, sides, frame  # of a table in files, these are its largest parts in memory
        dates = self.procs.dates
        leave = [*self.y_names, *((dates and dates.names) or [])]
        cells = self.frame if is_mapped(self.frame) else texts_as_categories(self.frame, leave)
        if like is None:
            at = np.flatnonzero(place == 0)
            train: Any = ColumnByColumn(cells, at, leave) if is_mapped(cells) else rows_at(cells, at)
            self.roles = find_roles(
                train,
                self.y_names,
                cat_names,
                cont_names,
                dates.names if dates else [],
                with_dates=dates is not None,
                aside=[*aside, *split_by(splits)],
            )
            inputs = self._input_blocks(train)
        else:
            like.check_columns(self.frame)
            inputs = tuple(copy.deepcopy(block) for block in like.input_blocks)  # type: ignore[misc]
        self.n_inp = len(inputs)
        self.blocks: list[Block] = [*inputs, *(t.block for t in self.targets)]
        self.table = self._table(place, names)
        targets = self._encoded_targets(self.frame, place)
        self.tensors: tuple[Tensor, ...] = (*encode_rows(self.blocks[: self.n_inp], cells), *targets)

    @staticmethod
    def _check_like(*given: Any) -> None:
        """Raises SettingError if something is said that `like` says already."""
        names = ("procs", "cat_names", "cont_names", "y_names", "y_block")
        said = [name for name, value in zip(names, given, strict=True) if value is not None]
        if said:
            raise SettingError(f"like= takes everything from the data it names: leave out {', '.join(said)}.")

    # -- rows -----------------------------------------------------------------------------------------------------
    def _kept(self, frame: pd.DataFrame, missing: str, inputs: Sequence[str]) -> np.ndarray:
        """The positions of the rows that can be used: those that have their targets; see `missing_targets`. `inputs` are the columns that were
        named as categories."""
        return drop_missing(frame, self.targets, missing)

    def _with_test(self, frame: pd.DataFrame, test_df: Any) -> pd.DataFrame:
        """The table with the test rows at its end."""
        test = as_frame(test_df, in_memory=not is_mapped(frame))
        missing = [name for name in frame.columns if name not in test.columns]
        if missing:
            wanted = (
                "their targets are needed to test with; rows without go to test_dl(df)"
                if set(missing) & set(self.y_names)
                else "both tables need the same columns"
            )
            raise DataError(f"test_df has no column {listed(map(repr, missing))}: {wanted}.")
        chosen: Any = test[list(frame.columns)]
        both: Any = pd.concat([frame, mapped_like(chosen, frame) if is_mapped(frame) else chosen], ignore_index=True)
        return both

    def _split(self, frame: pd.DataFrame, kept: np.ndarray, n: int, splits: Splits, seed: int | None) -> tuple[np.ndarray, ...]:
        """The positions of the sides among the kept rows, of which those from `n` on are the test's.

        A splitter sees all rows, also those that are not kept: positions and lists of values are of the user's table.
        """
        rows = frame.iloc[:n]
        rows.attrs = {"inputs": [], "targets": self.y_names}
        splits = self._default_splitter(rows, seed) if splits is None else splits
        if isinstance(splits, Splitter):
            sides = splits(rows, rows)
        else:
            given = splits(rows) if callable(splits) else tuple(splits)
            sides = check_sides(given, n, "splits", "Give at least one row to each side.")
        if groups := getattr(splits, "groups", None):
            named = isinstance(getattr(splits, "group", None), str)  # else the groups of the rows that are split
            own = [f"row {i} of test_df" for i in range(0 if named else len(frame) - n)]
            of_all = np.append(np.asarray(groups(frame, frame) if named else groups(rows, rows), dtype=object), own)
            self.groups = of_all if is_mapped(frame) else of_all[kept]
        if n < len(frame) and len(sides) > 2:
            raise SettingError("There are two test sets: test_df, and the splits have a third side. Give one of them.")
        sides = (*sides, np.arange(n, len(frame))) if n < len(frame) else sides
        if len(kept) == len(frame):
            return sides
        place = np.full(len(frame), -1)
        place[kept] = kept if is_mapped(frame) else np.arange(len(kept))
        moved = tuple(place[side][place[side] >= 0] for side in sides)
        return check_sides(moved, len(frame), "The split, without the rows that have no target,")

    def _default_splitter(self, frame: pd.DataFrame, seed: int | None) -> Splitter:
        seed = 42 if seed is None else seed
        if len(frame) <= STRATIFIED and len(self.targets) == 1 and isinstance(self.targets[0].block, CategoryBlock):
            counts = cells_of(frame, self.y_names[0]).value_counts()
            if (counts > 1).sum() > 1:  # a class of a single row trains
                return TrainTestSplitter(0.2, random_state=seed, stratify=True)
        return RandomSplitter(0.2, seed=seed)

    def _apply_own(self, train: np.ndarray) -> None:
        """Sets up the user's own procs on the training rows, and applies them."""
        for proc in self.procs.own:
            mapped = is_mapped(self.frame)
            if self.like is None and type(proc).setup is not TabularProc.setup:
                if mapped:
                    raise SettingError(
                        f"{type(proc).__name__}.setup(frame) learns from all training rows at once, and this table stays in files, for it is too large. Learn "
                        "from a part of it before, and give what was learned to the constructor; or in_memory=True."
                    )
                proc.setup(self.frame.iloc[train])
            self.frame = changed(self.frame, proc.applied) if mapped else proc.applied(self.frame)

    def _table(self, place: np.ndarray, names: Sequence[str]) -> pd.DataFrame:
        """The rows with their split, and their group where the splitter knows groups; columns of these names that were there are
        called source_NAME."""
        taken = [name for name in ("split", "group") if name in self.frame.columns]
        table = self.frame.rename(columns={name: f"source_{name}" for name in taken})
        few = is_mapped(table)  # then a byte a row
        table["split"] = pd.Categorical.from_codes(place, list(names)) if few else pd.Series([*SPLITS, None]).take(place).array
        if self.groups is not None:
            table["group"] = self.groups
        targets = [f"source_{name}" if name in taken else name for name in self.y_names]
        inputs = dict.fromkeys(name for block in self.blocks if isinstance(block, ColumnsBlock) for name in block.sources)
        table.attrs = {"inputs": list(inputs), "targets": targets}
        return table

    # -- columns --------------------------------------------------------------------------------------------------
    def _input_blocks(self, train: pd.DataFrame) -> tuple[ColumnsBlock, ...]:
        return input_blocks(train, self.roles, self.procs)

    def _encoded_targets(self, frame: pd.DataFrame, place: np.ndarray) -> list[Tensor]:
        """The targets of all rows, 0 where there is none; they learn from the training rows, and look at the rows of every side."""
        sides = {split: np.flatnonzero(place == i) for i, split in enumerate(SPLITS)}
        return [target.learned(frame, sides, known=self.like is not None) for target in self.targets]

    # -- what it is -----------------------------------------------------------------------------------------------
    @property
    def y_names(self) -> list[str]:
        return [name for target in self.targets for name in target.columns]

    @property
    def cat_names(self) -> list[str]:
        return self.blocks[0].names  # type: ignore[attr-defined]

    @property
    def cont_names(self) -> list[str]:
        return self.blocks[1].names if self.n_inp > 1 else []  # type: ignore[attr-defined]

    @property
    def classes(self) -> dict[str, list[Any]]:
        return self.blocks[0].classes  # type: ignore[attr-defined]

    @property
    def train(self) -> Side:
        """The training rows."""
        return Side(self, "train")

    @property
    def valid(self) -> Side:
        """The validation rows."""
        return Side(self, "valid")

    @property
    def test(self) -> Side:
        """The test rows."""
        return Side(self, "test")

    @property
    def items(self) -> pd.DataFrame:
        """All rows as the model gets them: the features, then the target(s)."""
        return pd.concat([Side(self, None).xs, Side(self, None).ys], axis=1)

    @property
    def xs(self) -> pd.DataFrame:
        return Side(self, None).xs

    @property
    def ys(self) -> pd.DataFrame:
        return Side(self, None).ys

    def __len__(self) -> int:
        return len(self.frame)

    def show(self, max_n: int = 10) -> None:
        """Shows the first rows as the user gave them."""
        from burnish.train.results import show_frame

        shown: Any = self.frame[[*dict.fromkeys([*self.table.attrs["inputs"], *self.y_names])]]
        show_frame(plain_rows(shown.head(max_n)))

    def dataloaders(self, bs: int = 64, **options: Any) -> TabularDataLoaders:
        """The loaders of its splits; see ``TabularDataLoaders.from_prepared`` for the options."""
        from burnish.tabular.dataloaders import TabularDataLoaders

        return TabularDataLoaders.from_prepared(self, bs=bs, **options)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{s} {len(rows_of(self.table, s))}" for s in SPLITS if len(rows_of(self.table, s)))
        return f"TabularPandas({sizes}; {len(self.cat_names)} categories, {len(self.cont_names)} numbers; target {', '.join(map(str, self.y_names)) or 'none'})"


def input_blocks(train: pd.DataFrame, roles: Roles, procs: Procs) -> tuple[CategoriesBlock, NumbersBlock]:
    """The inputs that columns of these roles become, learned from the training rows."""
    fill = procs.fill
    categories: list[CategoryFeature] = [CategoryFeature(name) for name in roles.categories]
    numbers: list[NumberFeature] = [NumberFeature(name) for name in roles.numbers]
    for name in roles.dates:
        of_date = date_features(cells_of(train, name), procs.dates.cyclic if procs.dates else True)
        categories += of_date[0]
        numbers += of_date[1]
    if fill is not None:
        fill.check_columns([feature.source for feature in numbers])

    def learn(feature: CategoryFeature | NumberFeature) -> None:
        column = cells_of(train, feature.source)
        feature.learn(column)
        if isinstance(feature, NumberFeature):
            feature.fill = feature.fill if fill is None else fill.value(feature, column)
            if procs.normalize:
                feature.learn_scale(column)

    each(learn, [*categories, *numbers], 0 if isinstance(train, ColumnByColumn) else len(train))  # one at a time
    indicated = dict.fromkeys(f.source for f in numbers if f.na_seen) if fill is not None and fill.add_col else {}
    categories += [MissingFeature(source) for source in indicated]
    names, n = different_names([*categories, *numbers]), len(categories)
    return CategoriesBlock(categories, names[:n]), NumbersBlock(numbers, names[n:])


def split_by(splits: Any) -> list[str]:
    """The column that a splitter goes by, which is no input unless it is named: what a model learns of one patient or site is of no use
    with others."""
    column = splits.group if isinstance(splits, GroupSplitter) else splits.col if isinstance(splits, ColSplitter) else None
    return [str(column)] if isinstance(column, (str, int)) else []


def place_of(sides: Sequence[np.ndarray], rows: int) -> np.ndarray:
    """For each row the side it is on; -1 on none."""
    place = np.full(rows, -1, dtype=np.int8)
    for i, side in enumerate(sides):
        place[side] = i
    return place


def encode_rows(blocks: Sequence[Block], frame: pd.DataFrame) -> list[Tensor]:
    """The inputs of all rows of a table, one tensor a block; those of a table in files are in files, too."""
    if not is_mapped(frame):
        return [block.encode_all(frame) for block in blocks]
    made = [mapped_tensor((len(frame), len(block.features)), block.dtype) for block in blocks]  # type: ignore[attr-defined]
    for piece in pieces(frame):
        rows = slice(piece.index[0], piece.index[-1] + 1)
        for tensor, block in zip(made, blocks, strict=True):
            tensor[rows] = block.encode_all(piece)
    return made


def _wide(tensor: Tensor) -> Tensor:
    """Codes as int64: in fewer bytes, sums of a user's own with them would overflow."""
    return tensor if tensor.is_floating_point() else tensor.long()


class Side:
    """The rows of one side of a split (None: of all of them), as other models take them.

    Attributes:
        xs: the features: codes of categories, numbers filled and of one scale; by the features' names.
        ys: the encoded target(s); y: the first of them, as a Series.
        items: the rows as they were given.
    """

    def __init__(self, whole: TabularPandas, split: str | None) -> None:
        self.whole = whole
        self.rows = np.arange(len(whole.frame)) if split is None else rows_of(whole.table, split)
        if not len(self.rows):
            raise DataError(f"There are no {split} rows: the splits have none.")

    @property
    def xs(self) -> pd.DataFrame:
        at = torch.from_numpy(self.rows)
        blocks: list[Any] = self.whole.blocks[: self.whole.n_inp]
        parts: Any = [pd.DataFrame(_wide(t[at]).numpy(), columns=b.names) for t, b in zip(self.whole.tensors, blocks, strict=False)]
        return pd.concat(parts, axis=1).set_index(self.items.index)

    @property
    def ys(self) -> pd.DataFrame:
        at, columns = torch.from_numpy(self.rows), {}
        for tensor, target in zip(self.whole.tensors[self.whole.n_inp :], self.whole.targets, strict=True):
            taken = tensor[at].reshape(len(self.rows), -1)
            columns |= {name: taken[:, i].numpy() for i, name in enumerate(target.columns)}
        return pd.DataFrame(columns, index=self.items.index)

    @property
    def y(self) -> pd.Series:
        return self.ys.iloc[:, 0]

    @property
    def items(self) -> pd.DataFrame:
        return self.whole.frame.iloc[self.rows]

    def __len__(self) -> int:
        return len(self.rows)
