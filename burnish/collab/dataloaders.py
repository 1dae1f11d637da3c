"""CollabDataLoaders: who rated what, and how, from a table of ratings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self, TypedDict, Unpack

import numpy as np

from burnish.collab.check import repeated_pairs, say_repeated
from burnish.collab.ids import IdFeature, PairsBlock
from burnish.collab.implicit import InteractionBlock, OtherItems, check_implicit
from burnish.collab.rating import RatingBlock
from burnish.collab.titles import titles_of
from burnish.data.block import Block
from burnish.data.findings import Report
from burnish.data.lazy import pd
from burnish.data.notes import note
from burnish.data.number import RegressionBlock, checked_range
from burnish.data.split import GroupSplitter, LastSplitter, RandomSplitter
from burnish.errors import DataError, SettingError, hinting, listed
from burnish.tabular.blocks import ColumnsBlock
from burnish.tabular.dataloaders import TabularDataLoaders
from burnish.tabular.files import read_csv, read_file
from burnish.tabular.frames import as_frame, cells_of, need_columns
from burnish.tabular.prepare import Splits, TabularPandas
from burnish.tabular.procs import Categorify
from burnish.tabular.targets import say_left_out

DONE = "done"  # the target's column where the rows are what was done


class RatingsOptions(TypedDict, total=False):
    """What ``from_csv`` and ``from_file`` pass on to ``from_df``; see there."""

    bs: int
    val_bs: int | None
    device: Any
    shuffle: bool
    drop_last: bool | None


class Ratings(TabularPandas):
    """A table of ratings made ready: users and items as codes, the rating as a number."""

    ids_repeat: ClassVar[bool] = True  # a model of ratings knows its users and items

    def _input_blocks(self, train: pd.DataFrame) -> tuple[ColumnsBlock, ...]:
        features = [IdFeature(name) for name in self.roles.categories]
        for feature in features:
            feature.learn(cells_of(train, feature.source))
        return (PairsBlock(features),)

    def _split(self, frame: pd.DataFrame, kept: np.ndarray, n: int, splits: Splits, seed: int | None) -> tuple[np.ndarray, ...]:
        """Splitters that go by a column of the users, say, see the rows that are kept: the others may have none."""
        by_column = isinstance(splits, (GroupSplitter, LastSplitter)) and isinstance(splits.group, str)
        if not by_column or n < len(frame):
            return super()._split(frame, kept, n, splits, seed)
        rows = frame.iloc[kept].reset_index(drop=True)
        return super()._split(rows, np.arange(len(rows)), len(rows), splits, seed)

    def _kept(self, frame: pd.DataFrame, missing: str, inputs: Sequence[str]) -> np.ndarray:
        """Also without the rows that have no user or no item."""
        kept = super()._kept(frame, missing, inputs)
        for name in inputs:
            gone = cells_of(frame, name).isna().to_numpy()
            say_left_out(gone, name, missing, f"[{name!r}]")
            kept = kept[~gone[kept]]
        return kept


class CollabDataLoaders(TabularDataLoaders):
    """DataLoaders of ratings: a batch is the codes of users and items ``(batch, 2)`` int64, and the ratings ``(batch,)`` float32."""

    kind: ClassVar[str] = "collab"
    preparing: ClassVar[type[TabularPandas]] = Ratings
    titles: dict[Any, str]

    def __init__(self, *loaders: Any, path: str | Path = ".", device: Any = None, n_inp: int | None = None) -> None:
        super().__init__(*loaders, path=path, device=device, n_inp=n_inp)
        self.titles = {}

    @classmethod
    @hinting
    def from_df(  # pyright: ignore[reportIncompatibleMethodOverride]
        cls, ratings: Any, valid_pct: float = 0.2, user_name: str | None = None, item_name: str | None = None,
        rating_name: str | None = None, seed: int | None = None, path: str | Path = ".", *, test_pct: float = 0.0, splitter: Splits = None,
        y_range: Sequence[float] | None = None, titles: Any = None, implicit: bool = False, bs: int = 64, val_bs: int | None = None, device: Any = None, shuffle: bool = True,
        drop_last: bool | None = None,
    ) -> CollabDataLoaders:  # fmt: skip
        """From a table with a row a rating.

        Args:
            ratings: a table; see ``TabularPandas``.
            valid_pct, test_pct: the shares drawn at random for validation and testing; `splitter` splits otherwise.
            user_name, item_name, rating_name: the columns; the first three by default. Rows in which one of them is missing are left out,
                and it is said.
            seed: fixes the split (42 when not given) and the order.
            y_range: (low, high) of predicted ratings; None takes it from the training ratings where they are steps of a scale, and says so.
            titles: item to title, to be shown beside the ids: a dict, a Series, or a table with the items in the column of that name (else
                its first) and the titles in the column "title" (else the next).
            implicit: the rows are things that were done (views, clicks, purchases), without a rating: what was done is to rank above
                what was not.
        """
        frame = as_frame(ratings, in_memory=True)
        if implicit:
            check_implicit(rating_name, y_range)
            frame = frame.assign(**{DONE: 1.0})
            rating_name = DONE
        names = _columns(frame, user_name, item_name, rating_name)
        if implicit:
            block: Block = InteractionBlock()
        else:
            block = RatingBlock() if y_range is None else RegressionBlock(y_range=checked_range(y_range))
        splits = RandomSplitter(valid_pct, seed=42 if seed is None else seed, test_pct=test_pct) if splitter is None else splitter
        to = Ratings(frame, [Categorify], names[:2], None, names[2], block, splits, seed=seed)
        dls = cls.from_prepared(to, bs=bs, val_bs=val_bs, path=path, device=device, seed=seed, shuffle=shuffle, drop_last=drop_last)
        dls.titles = titles_of(titles, dls.features[1])
        _say_unknown(dls)
        if not implicit:
            say_repeated(to)
        else:
            dls.batch_tfms.append(OtherItems(dls.features[1].unknown - 1, seed=dls.seed))
            for dl in dls:
                dl.batch_tfms.append(dls.batch_tfms[-1].to(dls.device))
        return dls

    @classmethod
    def from_csv(  # pyright: ignore[reportIncompatibleMethodOverride]
        cls, csv: str | Path, valid_pct: float = 0.2, user_name: str | None = None, item_name: str | None = None,
        rating_name: str | None = None, seed: int | None = None, path: str | Path = ".", *, sep: str | None = None, encoding: str | None = None,
        decimal: str | None = None, thousands: str | None = None, test_pct: float = 0.0, splitter: Splits = None, y_range: Sequence[float] | None = None, titles: Any = None, implicit: bool = False,
        **options: Unpack[RatingsOptions],
    ) -> CollabDataLoaders:  # fmt: skip
        """From a CSV file; see ``from_df``. A table that needs other options of ``pandas.read_csv`` is read with it."""
        given = {"sep": sep, "encoding": encoding, "decimal": decimal, "thousands": thousands}
        said = {name: value for name, value in given.items() if value is not None}
        return cls.from_df(
            read_csv(csv, True, **said), valid_pct, user_name, item_name, rating_name, seed, path, test_pct=test_pct, splitter=splitter,
            y_range=y_range, titles=titles, implicit=implicit, **options,
        )  # fmt: skip

    @classmethod
    def from_file(  # pyright: ignore[reportIncompatibleMethodOverride]
        cls, file: str | Path, valid_pct: float = 0.2, user_name: str | None = None, item_name: str | None = None,
        rating_name: str | None = None, seed: int | None = None, path: str | Path = ".", *, test_pct: float = 0.0, splitter: Splits = None,
        y_range: Sequence[float] | None = None, titles: Any = None, implicit: bool = False, **options: Unpack[RatingsOptions],
    ) -> CollabDataLoaders:  # fmt: skip
        """From a file, by its ending: CSV (.csv, .tsv), Parquet (also a folder of such files), Arrow (.arrow, .feather). Ratings are read into
        memory. The rest: see ``from_df``."""
        return cls.from_df(
            read_file(file, True), valid_pct, user_name, item_name, rating_name, seed, path, test_pct=test_pct, splitter=splitter,
            y_range=y_range, titles=titles, implicit=implicit, **options,
        )  # fmt: skip

    @classmethod
    def from_prepared(
        cls, to: TabularPandas, *, bs: int = 64, val_bs: int | None = None, path: str | Path = ".", device: Any = None,
        seed: int | None = None, shuffle: bool = True, drop_last: bool | None = None, balance: str | None = None,
    ) -> Self:  # fmt: skip
        """The loaders of prepared ratings, ``Ratings(df, [Categorify], [user, item], None, rating, RegressionBlock())``; see ``from_df`` for
        the arguments."""
        target = to.blocks[to.n_inp].kind if len(to.blocks) == to.n_inp + 1 else "none, or several"
        if to.n_inp != 1 or len(to.cat_names) != 2 or target not in ("number", InteractionBlock.kind):
            raise SettingError(
                f"CollabDataLoaders.from_prepared got a {type(to).__name__} of the columns {listed([*to.cat_names, *to.cont_names])} (target: {target}); expected "
                "Ratings of two categories, users and items, and a number: Ratings(df, [Categorify], [user, item], None, rating, RegressionBlock()), "
                "or CollabDataLoaders.from_df(df)."
            )
        return super().from_prepared(
            to, bs=bs, val_bs=val_bs, path=path, device=device, seed=seed, shuffle=shuffle, drop_last=drop_last, balance=balance
        )

    @property
    def user(self) -> str:
        """The column of the users."""
        return self._ids.names[0]

    @property
    def item(self) -> str:
        """The column of the items."""
        return self._ids.names[1]

    @property
    def _ids(self) -> PairsBlock:
        block = self.blocks[0]
        assert isinstance(block, PairsBlock)
        return block

    @property
    def implicit(self) -> bool:
        """Whether the rows are what was done, and no ratings."""
        return self.target_blocks[0].kind == InteractionBlock.kind

    @property
    def features(self) -> list[IdFeature]:
        """The users and the items, as what they are in a batch."""
        return self._ids.features

    def check(self) -> Report:
        """Looks for what spoils results; of ratings also for pairs of a user and an item that are there more than once."""
        found = super().check()
        assert self.prepared is not None
        return Report([*found.found, *repeated_pairs(self.prepared)], found.scope)

    def new(
        self, df: Any, valid_idx: Sequence[int] | None = None, *, splitter: Splits = None, bs: int | None = None, seed: int | None = None,
        missing_targets: str = "drop",
    ) -> Self:  # fmt: skip
        frame = as_frame(df, in_memory=True)
        if self.target_names[0] == [DONE]:
            frame = frame.assign(**{DONE: 1.0})
        made = super().new(frame, valid_idx, splitter=splitter, bs=bs, seed=seed, missing_targets=missing_targets)
        made.titles = self.titles
        return made

    def named(self, items: Sequence[Any]) -> pd.DataFrame:
        """Items with their titles, where there are any: columns item, title."""
        columns: dict[str, Any] = {"item": list(items)}
        if self.titles:
            columns["title"] = [self.titles.get(item, "") for item in items]
        return pd.DataFrame(columns)

    # -- the model file -----------------------------------------------------------------------------------------
    def config(self) -> dict[str, Any]:
        return {**super().config(), "titles": [[item, title] for item, title in self.titles.items()]}

    @classmethod
    def from_config(cls, config: dict[str, Any], device: Any = None) -> CollabDataLoaders:
        dls = super().from_config(config, device)
        assert isinstance(dls, CollabDataLoaders)
        ids: Any = dls.blocks[0]
        if not isinstance(ids, PairsBlock):  # of a file from before there were such
            dls.blocks[0] = PairsBlock([IdFeature(f.source, f.classes, f.values, f.na_seen) for f in ids.features], ids.names)
        dls.titles = dict(config["titles"])
        return dls


def _columns(frame: pd.DataFrame, user: str | None, item: str | None, rating: str | None) -> list[str]:
    done = rating == DONE
    there = [c for c in frame.columns if not (done and c == DONE)]
    needs = "What was done needs two columns, users and items" if done else "Ratings need three columns, users, items and ratings"
    if len(frame.columns) < 3 and None in (user, item, rating):
        raise DataError(f"{needs}; the table has {len(there)}: {listed(there)}.")
    first = [*there, DONE][:3]
    names = [str(given) if given is not None else first[i] for i, given in enumerate((user, item, rating))]
    given = "user_name, item_name" if done else "user_name, item_name, rating_name"
    known: Any = frame[there]
    need_columns(known, names[: 2 if done else 3], given)
    if len(set(names)) < 3:
        what = "users and the items must be two columns" if done else "users, the items and the ratings must be three columns"
        raise DataError(f"The {what}; they are {listed(map(repr, names[: 2 if done else 3]))}. Name all: {given.replace(',', '=,')}=.")
    if done and (user is None or item is None):
        note(f"Taken as users: {names[0]}, items: {names[1]}. To say otherwise: user_name=, item_name=.")
    elif user is None or item is None or rating is None:
        note(f"Taken as users: {names[0]}, items: {names[1]}, ratings: {names[2]}. To say otherwise: user_name=, item_name=, rating_name=.")
    return names


def _say_unknown(dls: CollabDataLoaders) -> None:
    """Says so where the rows that judge have users or items without a row that trains: of users with a single rating, say."""
    assert dls.prepared is not None
    judged = (dls.table["split"].notna() & (dls.table["split"] != "train")).to_numpy(dtype=bool)
    codes = dls.prepared.tensors[0].numpy()[judged]
    new = [int((codes[:, i] == feature.unknown).sum()) for i, feature in enumerate(dls.features)]
    if any(new):
        shown = " and ".join(
            f"{n:,} {'has' if n == 1 else 'have'} a {feature.name}" for n, feature in zip(new, dls.features, strict=True) if n
        )
        note(f"Of {len(codes):,} rows that judge, {shown} that no training row has: they are answered from what everybody likes.")
