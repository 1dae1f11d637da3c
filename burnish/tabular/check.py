"""The checks of a table: rows on both sides of the split, answers given away, time and groups that a random split mixes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from burnish.data.check_labels import check_labels, check_sizes_of_sides, spellings
from burnish.data.findings import Issue, Report
from burnish.data.lazy import pd
from burnish.data.mapped import is_mapped
from burnish.data.moments import read_moments
from burnish.data.split import GroupSplitter, TimeSplitter
from burnish.data.table import SPLITS
from burnish.errors import listed
from burnish.tabular.blocks import ColumnsBlock
from burnish.tabular.dates import DateCategory, looks_like_dates
from burnish.tabular.features import NumberFeature
from burnish.tabular.frames import cells_of
from burnish.tabular.looks import look_of
from burnish.tabular.prepare import TabularPandas

QUICK_ROWS = 100_000  # of larger tables only what is cheap is looked at when they are made ready
_ID = re.compile(
    r"(^|[_ .-])(id|ids|uuid|key|patient|user|customer|client|subject|person|session|device|store|site|household|account)s?([_ .-]|$)|Id$|ID$"
)
_EXACT = 0.9999  # a rank correlation with the target from which on a column is the target in other words
_FEW = 5  # rows a value from which on it is no chance that they all have one target
_MOSTLY = 0.5  # share of missing cells


def check_prepared(to: TabularPandas, quick: bool = False) -> Report:
    """Checks a prepared table.

    Looks for equal rows on different sides of the split (a leak: the model is tested on what it has seen) or with different
    targets, columns that give the answer away, ids whose rows are on more than one side, rows in the order of time that a random
    split has mixed, columns that are mostly missing, texts that look like numbers or dates, categories in several spellings; of classes: several spellings, rare and uneven ones, ones missing from a side.

    Args:
        quick: only what is cheap.
    """
    sides = {name: np.flatnonzero(to.table["split"] == name) for name in SPLITS}
    whole = len(to.frame) <= QUICK_ROWS or not (quick or is_mapped(to.frame))
    issues = [*_ids(to, sides), *_time(to, sides)]
    if whole:
        splits = to.table["split"].where(to.table["split"].notna(), None).tolist()
        issues += [*check_sizes_of_sides(splits), *([] if to.ids_repeat else _repeated(to, splits))]
        for target in to.targets:
            if target.block.kind == "category":
                issues += check_labels(target.cells(to.frame), splits, str(target.columns[0]))
    if not quick:
        issues += [*_answers(to), *_missing(to), *_looks(to), *_spellings(to)]
    scope = f"{len(to.frame):,} rows, {len(to.table.attrs['inputs'])} columns"
    return Report(issues, scope if whole else f"{scope}; labels and equal rows were not looked at")


def _repeated(to: TabularPandas, splits: Sequence[str | None]) -> Iterator[Issue]:
    """Rows with the same inputs, where that is more than the chance of few different values."""
    hash_of: Any = pd.util.hash_pandas_object  # pyright: ignore[reportAttributeAccessIssue]
    columns = [c for c in to.table.attrs["inputs"] if c in to.frame.columns]
    if not columns or not to.y_names:
        return
    inputs: Any = to.frame[columns]
    group = pd.factorize(hash_of(inputs.astype(str) if _has_objects(inputs) else inputs, index=False))[0]
    table: Any = pd.DataFrame(
        {"group": group, "split": splits, "target": [str(t) for t in to.frame[to.y_names].itertuples(index=False)]}, index=to.frame.index
    )
    table = table[table["split"].notna()]
    by = table.groupby("group", sort=False)
    sides, targets, size = by["split"].transform("nunique"), by["target"].transform("nunique"), by["target"].transform("size")
    if (size > 1).sum() < 3 * _by_chance(inputs):
        return
    trained = set(table.loc[table["split"] == "train", "group"])
    leaked = table[(table["split"] != "train") & table["group"].isin(trained) & (sides > 1)]
    judged = int((table["split"] != "train").sum())
    if len(leaked):
        yield Issue(
            "row_leak", "high" if len(leaked) > judged / 20 else "medium",
            f"{len(leaked)} of {judged} rows outside of training are in it too, all inputs alike ({len(leaked) / judged:.1%}): rows {listed(leaked.index)}.",
            "If they are copies: df.drop_duplicates(). If they are one person's or thing's: GroupSplitter. What is measured on them looks better than it is.",
            leaked.index.tolist(),
        )  # fmt: skip
    other = table[targets > 1]
    if len(other):
        yield Issue(
            "conflicting_rows", "low", f"{len(other)} rows have inputs like another row's and another target: rows {listed(other.index)}.",
            "No model can tell them apart: a column that would is missing, or a target is wrong.", other.index.tolist(),
        )  # fmt: skip
    copies = table[(size > 1) & (sides == 1) & (targets == 1)]
    if len(copies):
        yield Issue(
            "repeated_rows", "low", f"{len(copies)} rows are there more than once: rows {listed(copies.index)}.",
            "If that isn't meant: df.drop_duplicates().", copies.index.tolist(),
        )  # fmt: skip


def _by_chance(inputs: pd.DataFrame) -> float:
    """How many rows would be like another one if the columns had nothing to do with each other."""
    alike = 1.0
    for name in inputs:
        alike *= float((inputs[name].astype(str).value_counts(normalize=True) ** 2).sum())
    return len(inputs) * -np.expm1(-len(inputs) * alike)


def _has_objects(frame: pd.DataFrame) -> bool:
    return any(map(pd.api.types.is_object_dtype, frame.dtypes))


def _ids(to: TabularPandas, sides: Mapping[str, np.ndarray]) -> Iterator[Issue]:
    """Columns named like ids, whose values have several rows, on more than one side."""
    if to.ids_repeat or isinstance(to.splitter, GroupSplitter):
        return
    for name in to.frame.columns:
        if name in to.y_names or not _ID.search(str(name)):
            continue
        column: Any = cells_of(to.frame, name)
        if column.dtype == object and any(isinstance(c, (list, dict, set)) for c in column.iloc[:50]):
            continue
        trained = set(column.iloc[sides["train"]].dropna().unique())
        judged = column.iloc[np.sort(np.concatenate([sides["valid"], sides["test"]]))].dropna()
        both = judged.isin(trained)
        if column.nunique() < 0.9 * len(column) and both.mean() > 0.05:
            yield Issue(
                "id_leak", "medium",
                f"{int(both.sum())} of {len(judged)} rows outside of training have a {name!r} that is in training too.",
                f"If the model is for new ones, keep each on one side: splitter=GroupSplitter({name!r}); else results look better than they will be.",
                judged.index[both.to_numpy()].tolist(),
            )  # fmt: skip


def _time(to: TabularPandas, sides: Mapping[str, np.ndarray]) -> Iterator[Issue]:
    """A table in the order of a date, of which a random split validates on rows between those it trains on."""
    if isinstance(to.splitter, (TimeSplitter, GroupSplitter)):
        return
    train, valid = sides["train"], sides["valid"]
    if len(train) < 3 or len(valid) < 3 or not (train.min() < valid.mean() < train.max()):
        return
    for name in to.frame.columns:
        head = cells_of(to.frame.iloc[:100], name).dropna()
        if name in to.y_names or (len(head) and not looks_like_dates(head)):
            continue
        column: Any = cells_of(to.frame, name)
        if looks_like_dates(column):
            moments: Any = read_moments(column.dropna()).utc
            if moments.is_monotonic_increasing and moments.nunique() > max(10, len(moments) / 100):
                yield Issue(
                    "time_leak", "medium", f"The rows are in the order of {name!r}, and those that validate lie between those that train.",
                    f"If the model is to predict what comes later: splitter=TimeSplitter({name!r}). Neighbours in time tell the answer.",
                )  # fmt: skip
                return


def _answers(to: TabularPandas) -> Iterator[Issue]:
    """Columns from which alone the target follows."""
    if len(to.targets) != 1 or len(to.targets[0].columns) != 1:
        return
    rows = np.flatnonzero((to.table["split"] == "train").to_numpy(dtype=bool))
    name = to.y_names[0]
    target = cells_of(to.frame, name).iloc[rows]
    for column in to.table.attrs["inputs"]:
        if column not in to.frame.columns:
            continue
        if not _tells(cells_of(to.frame, column).iloc[rows], target, to.targets[0].block.kind == "number"):
            continue
        yield Issue(
            "answer", "high", f"From the column {column!r} alone {name!r} follows, without an error in {len(rows)} training rows.",
            f"If it is known only when {name!r} is, the model will be of no use: leave it out.",
        )  # fmt: skip


def _tells(column: Any, target: Any, number: bool) -> bool:
    both: Any = pd.DataFrame({"x": column.to_numpy(), "y": target.to_numpy()}).dropna()
    if len(both) < 20 or both["y"].nunique() < 2:
        return False
    if number:
        if not pd.api.types.is_numeric_dtype(both["x"].dtype):
            return False
        return bool(both["x"].nunique() > 1 and abs(both["x"].rank().corr(both["y"].astype(float).rank())) > _EXACT)
    by = both.groupby("x", observed=True)["y"].agg(["nunique", "size"])
    return bool((by["nunique"] == 1).all() and by["size"].mean() >= _FEW)


def _missing(to: TabularPandas) -> Iterator[Issue]:
    for column in to.table.attrs["inputs"]:
        share = float(np.mean(cells_of(to.frame, column).isna())) if column in to.frame.columns else 0.0
        if share > _MOSTLY:
            yield Issue(
                "mostly_missing", "low", f"{column!r} is missing in {share:.0%} of the rows.",
                "Whether it is missing may tell more than what it is; look at why.",
            )  # fmt: skip


def _looks(to: TabularPandas) -> Iterator[Issue]:
    """Texts of the training rows that look like numbers or dates, and are taken as texts."""
    rows = np.flatnonzero((to.table["split"] == "train").to_numpy(dtype=bool))
    features = [feature for block in to.blocks if isinstance(block, ColumnsBlock) for feature in block.features]
    converted = {feature.source for feature in features if isinstance(feature, (NumberFeature, DateCategory))}
    converted |= {name for target in to.targets if target.block.kind != "category" for name in target.columns}
    for name in to.frame.columns:
        look = None if name in converted else look_of(cells_of(to.frame, name).iloc[rows])
        if look is not None and look.kind in ("written", "dates"):
            kind = "dates_as_text" if look.kind == "dates" else "numbers_as_text"
            yield Issue(kind, "medium", f"{look.said}.", f"Convert it before the data is made: {look.advice}")


def _spellings(to: TabularPandas) -> Iterator[Issue]:
    """Categories of the inputs that differ in how they are written alone."""
    for feature in to.blocks[0].features:  # type: ignore[attr-defined]
        if feature.values != "text" or feature.source not in to.frame.columns:
            continue
        where: dict[str, list[int]] = {}
        for row, cell in enumerate(cells_of(to.frame, feature.source).tolist()):
            if isinstance(cell, str):
                where.setdefault(cell, []).append(row)
        yield from spellings(where, feature.source, "similar_categories", "Categories")
