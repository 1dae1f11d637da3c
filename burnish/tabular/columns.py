"""Looking after columns: smaller types for the same values, columns that say the same, and those that tell splits apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from burnish.data.lazy import pd
from burnish.data.notes import note
from burnish.errors import DataError, listed
from burnish.tabular.frames import as_frame

if TYPE_CHECKING:
    from burnish.tabular.dataloaders import TabularDataLoaders

_MOST_ROWS = 20_000  # that a comparison of columns or splits looks at, drawn at random


def df_shrink(df: pd.DataFrame, skip: Sequence[str] = (), obj2cat: bool = True, int2uint: bool = False) -> pd.DataFrame:
    """A copy of a table in the smallest types that hold its values exactly.

    Args:
        skip: columns to leave as they are.
        obj2cat: texts become pandas' categories.
        int2uint: whole numbers without negative ones become unsigned.

    Fractions become float32 only where that loses nothing.
    """
    out = df.copy()
    for name in df.columns:
        if name not in skip:
            out[name] = _shrunk(df[name], obj2cat, int2uint)
    return out


def _shrunk(column: Any, obj2cat: bool, int2uint: bool) -> Any:
    kinds = pd.api.types
    if kinds.is_bool_dtype(column.dtype) or isinstance(column.dtype, pd.CategoricalDtype):
        return column
    if kinds.is_integer_dtype(column.dtype):
        unsigned = int2uint and len(column) > 0 and bool((column.dropna() >= 0).all())
        return pd.to_numeric(column, downcast="unsigned" if unsigned else "integer")
    if kinds.is_float_dtype(column.dtype):
        small = column.astype("float32")
        same = (small.astype(column.dtype) == column) | column.isna()
        return small if bool(same.all()) else column
    if obj2cat and (kinds.is_object_dtype(column.dtype) or kinds.is_string_dtype(column.dtype)):
        try:
            return column.astype("category")
        except TypeError:  # lists and the like, which are no categories
            return column
    return column


def cluster_columns(
    df: Any, threshold: float = 0.95, plot: bool = True, figsize: tuple[float, float] = (8, 6), font_size: float = 9
) -> list[list[str]]:
    """Groups of columns that say nearly the same (rank correlation, in either direction, of at least `threshold`), which a model can do
    with one of.

    Args:
        df: a table; categories are compared by the order of their values, missing cells as a value of their own.
        plot: draw the tree of all columns; what joins far to the right of it is alike.
    """
    from scipy.cluster.hierarchy import dendrogram, fcluster, linkage
    from scipy.spatial.distance import squareform

    frame = _ranked(as_frame(df))
    if frame.shape[1] < 2:
        raise DataError(f"cluster_columns needs at least two columns with more than one value; it got {listed(frame.columns) or 'none'}.")
    alike = frame.corr(method="pearson").abs().fillna(0).clip(upper=1).to_numpy(copy=True)
    np.fill_diagonal(alike, 1.0)
    tree = linkage(squareform(1 - alike, checks=False), method="average")
    if plot:
        import matplotlib.pyplot as plt

        _, ax = plt.subplots(figsize=figsize, layout="constrained")
        dendrogram(
            tree, labels=[str(c) for c in frame.columns], orientation="left", leaf_font_size=font_size, ax=ax, color_threshold=1 - threshold
        )
        ax.axvline(1 - threshold, color="grey", linestyle=":", linewidth=0.8)
        ax.set_xlabel("1 - rank correlation")
    groups = fcluster(tree, 1 - threshold, criterion="distance")
    found = [[c for c, g in zip(frame.columns, groups, strict=True) if g == group] for group in np.unique(groups)]
    return [group for group in found if len(group) > 1]


def _ranked(frame: pd.DataFrame) -> pd.DataFrame:
    """The columns as ranks, without those of one value; at most so many rows."""
    some = frame if len(frame) <= _MOST_ROWS else frame.sample(_MOST_ROWS, random_state=0)
    columns = {}
    for name in some.columns:
        column: Any = some[name]
        if pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_datetime64_any_dtype(column.dtype):
            ranks: Any = column.rank(na_option="top")
        else:
            ranks = pd.Series(pd.Categorical(column.astype(str)).codes, index=column.index).rank()
        if ranks.nunique() > 1:
            columns[name] = ranks
    return pd.DataFrame(columns)


def split_check(dls: TabularDataLoaders, split: str = "valid") -> pd.DataFrame:
    """Whether a model can tell the rows of `split` from those that train, and by which columns: where it can, results on `split` say
    how the model does on other data than it was trained on (later, elsewhere), and columns that tell them apart may not carry over.

    A forest is asked, on rows it was not fitted to; how well it could tell them apart is said.

    Returns: columns column and importance (the most telling first), which mean nothing where the rows can't be told apart; in ``.attrs``
    "roc_auc" (0.5 is no difference, 1 all) with its 95 % interval, "low" and "high".
    """
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import cross_val_predict

    from burnish.data.table import rows_of
    from burnish.evaluate.intervals import bootstrap
    from burnish.tabular.baselines import matrix_of

    if dls.prepared is None:
        raise DataError("There are no rows to compare: these DataLoaders came with a loaded model. Make them from your data.")
    if not len(rows_of(dls.table, split)):
        raise DataError(f"There are no {split} rows to compare with those that train.")
    rng = np.random.default_rng(0)
    parts = [matrix_of(dls, side)[0] for side in ("train", split)]
    parts = [p[rng.permutation(len(p))[: _MOST_ROWS // 2]] for p in parts]
    x, y = np.concatenate(parts), np.repeat([0, 1], [len(p) for p in parts])
    forest = RandomForestClassifier(n_estimators=60, min_samples_leaf=5, class_weight="balanced", n_jobs=-1, random_state=0)
    chances: Any = cross_val_predict(forest, x, y, cv=3, method="predict_proba")
    auc = float(roc_auc_score(y, chances[:, 1]))
    low, high = bootstrap(lambda at: float(roc_auc_score(y[at], chances[at, 1])), len(y), n_boot=200)
    sources = [f.source for block in dls.input_blocks for f in block.features]  # type: ignore[attr-defined]
    summed: Any = pd.Series(forest.fit(x, y).feature_importances_).groupby(sources).sum()
    importance = summed.sort_values(ascending=False)
    table = pd.DataFrame({"column": importance.index, "importance": importance.to_numpy()})
    table.attrs = {"roc_auc": auc, "low": low, "high": high}
    verdict = f"they differ, most in {listed(map(repr, table['column'][:2]))}" if low > 0.5 else "no difference to be seen, in no column"
    note(
        f"A forest tells {split} rows from those that train with a roc_auc of {auc:.2f} (95 % interval {low:.2f} to {high:.2f}; 0.5 is chance): {verdict}."
    )
    return table
