"""Tables with fastai's names: `TabularPandas` with all of its properties, and tools on data frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from burnish.collab.dataloaders import CollabDataLoaders, Ratings
from burnish.compat.blocks import TransformBlock
from burnish.data.notes import note
from burnish.data.number import RegressionBlock
from burnish.tabular import dates, models, prepare
from burnish.tabular.columns import df_shrink

__all__ = ["Tabular", "TabularCollab", "TabularPandas", "add_datepart", "add_elapsed_times", "df_shrink_dtypes", "get_emb_sz", "make_date"]


class TabularPandas(prepare.TabularPandas):
    """A table made ready, with what code for fastai asks of it.

    Args:
        do_setup, device, inplace, reduce_memory: have no effect: it is made ready at once, the frame stays as it is, and tensors go where they train.
    """

    def __init__(
        self, df: Any, procs: Any = None, cat_names: Any = None, cont_names: Any = None, y_names: Any = None, y_block: Any = None, splits: Any = None, do_setup: bool = True,
        device: Any = None, inplace: bool = False, reduce_memory: bool = True, *, test_df: Any = None, like: Any = None, seed: int | None = None, missing_targets: str = "drop",
    ) -> None:  # fmt: skip
        _ = do_setup, device, inplace, reduce_memory
        if cat_names is not None or cont_names is not None:  # fastai takes the columns that are named, and no others
            cat_names, cont_names = list(cat_names or []), list(cont_names or [])
        y_block = RegressionBlock() if isinstance(y_block, TransformBlock) and not y_block.type_tfms else y_block  # numbers as they are
        super().__init__(
            df,
            procs,
            cat_names,
            cont_names,
            y_names,
            y_block,
            splits,
            test_df=test_df,
            like=like,
            seed=seed,
            missing_targets=missing_targets,
        )

    def to_device(self, d: Any = None) -> TabularPandas:
        """Itself: tensors go where they train."""
        _ = d
        return self


class TabularCollab(TabularPandas, Ratings):
    """Ratings made ready: a table of categories alone, users and items, whose batches are (codes, target)."""

    def dataloaders(self, bs: int = 64, **options: Any) -> CollabDataLoaders:
        """The loaders, which `collab_learner` takes. The arguments are those of ``CollabDataLoaders.from_prepared``."""
        return CollabDataLoaders.from_prepared(self, bs=bs, **options)


Tabular = TabularPandas


def get_emb_sz(to: Any, sz_dict: Mapping[str, int] | None = None) -> list[tuple[int, int]]:
    """(categories, width) of each embedding, by the rule or as `sz_dict` says; `to` is a `TabularPandas`, DataLoaders, or the classes themselves.

    A row a class, the first for missing and unknown ones: batches have the code 0 for these, except in the passes of burnish's own learners.
    """
    sizes = models.get_emb_sz(to if isinstance(to, Mapping) else to.classes, sz_dict)
    return [(rows - 1, width) for rows, width in sizes]


class ColumnEmbeddings:
    """The embeddings of a network, one a column of categories: ``model.embeds[i]`` is that of ``dls.cat_names[i]``; of a column that is one-hot the unit
    vectors. Their weights are to be read.

    Args:
        model: a ``RealMLP``.
    """

    def __init__(self, model: Any) -> None:
        self.model, self.own = model, model._modules["embeds"]

    def __call__(self, codes: Tensor) -> Tensor:
        return self.own(codes)

    def __len__(self) -> int:
        return len(self.model.few) + len(self.model.many)

    def __getitem__(self, i: int) -> nn.Embedding:
        i = range(len(self))[i]
        if i in self.model.many:
            return self.own[self.model.many.index(i)]
        unit = torch.eye(self.model.sizes[self.model.few.index(i)], device=self.model.scale.device)
        return nn.Embedding.from_pretrained(unit)

    def __getattr__(self, k: str) -> Any:
        return getattr(self.__dict__["own"], k)


embeds = property(ColumnEmbeddings, doc="The embeddings, one a column of categories.")


def make_date(df: pd.DataFrame, date_field: str) -> None:
    """Turns a column of texts into dates, in place."""
    if not isinstance(df[date_field].dtype, pd.DatetimeTZDtype) and not pd.api.types.is_datetime64_any_dtype(df[date_field]):
        df[date_field] = pd.to_datetime(df[date_field])


def add_elapsed_times(df: pd.DataFrame, field_names: Any, date_field: str, base_field: str) -> pd.DataFrame:
    """Adds, for each event column, the days since the last event (After...) and to the next one (Before..., below 0) of the same `base_field`, 0 where there is none, and how
    many there were in the last 7 rows (..._bw) and are in the next 7 (..._fw).

    Args:
        field_names: columns of yes and no. date_field: of dates. base_field: what the rows belong to (a shop).
    """
    fields = [field_names] if isinstance(field_names, str) else list(field_names)
    make_date(df, date_field)
    out = df.copy()
    rows: Any = out[[date_field, base_field]].assign(**{f: out[f].astype(bool) for f in fields}).reset_index(drop=True)
    rows = rows.sort_values([base_field, date_field], kind="stable")
    key, dates, found = rows[base_field], rows[date_field], {}
    for f in fields:
        event = dates.where(rows[f])
        for name, near in ((f"After{f}", event.groupby(key).ffill()), (f"Before{f}", event.groupby(key).bfill())):
            found[name] = (dates - near).dt.days.fillna(0).astype(int)
    for f in fields:
        found[f"{f}_bw"] = _recent(rows[f].astype(float), key)
    for f in fields:
        found[f"{f}_fw"] = _recent(rows[f].astype(float)[::-1], key[::-1])
    for name, values in found.items():
        out[name] = values.sort_index().to_numpy()
    return out


def _recent(values: Any, key: Any) -> Any:
    """The sum over the last 7 rows of the same key."""
    return values.groupby(key, sort=False).rolling(7, min_periods=1).sum().reset_index(level=0, drop=True)


def df_shrink_dtypes(df: pd.DataFrame, skip: Sequence[str] = (), obj2cat: bool = True, int2uint: bool = False) -> dict[str, Any]:
    """The smaller types that `df_shrink` would give the columns that it changes."""
    small = df_shrink(df, skip, obj2cat, int2uint)
    return {
        c: ("category" if isinstance(small[c].dtype, pd.CategoricalDtype) else small[c].dtype)
        for c in df.columns
        if small[c].dtype != df[c].dtype
    }


def add_datepart(df: pd.DataFrame, field_name: str, prefix: str | None = None, drop: bool = True, time: bool = False) -> pd.DataFrame:
    """burnish's ``add_datepart``, also of texts in other forms than ISO's, which pandas reads: "3/4/2009" is the fourth of March.

    Args:
        field_name: the column. prefix: before the new columns' names. drop: take the column out. time: also hours, minutes and seconds.
    """
    column = df[field_name]
    if column.dtype == object or pd.api.types.is_string_dtype(column):
        try:
            found = pd.to_datetime(column)
        except (ValueError, TypeError):
            found = None  # burnish's own message names the rows
        if found is not None and not column.astype(str).str.match(r"\d{4}-").all():
            note(f"The dates of {field_name!r} are read as pandas does: {column.iloc[0]!r} is {found.iloc[0].date()}.")
            df[field_name] = found
    return dates.add_datepart(df, field_name, prefix, drop, time)
