"""The check that is of ratings alone: pairs of a user and an item that are there more than once, on both sides of the split above all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from burnish.data.findings import Issue
from burnish.data.lazy import pd
from burnish.data.notes import note
from burnish.errors import listed
from burnish.tabular.frames import cells_of
from burnish.tabular.prepare import TabularPandas


def say_repeated(to: TabularPandas) -> None:
    """Says so where a user has rated an item more than once."""
    pairs = _pairs(to)
    several = pairs[pairs["rows"] > 1]
    if len(several):
        rows, names = several.drop_duplicates("pair"), to.cat_names
        leaked = int((several["leaked"]).sum())
        also = f" {leaked:,} rows that judge have a pair that training has too: they are judged too well." if leaked else ""
        note(
            f"{len(rows):,} pairs of {names[0]} and {names[1]} have several ratings, {int((rows['targets'] > 1).sum()):,} of them different ones; each counts "
            f"as a rating.{also} To keep the last: df.drop_duplicates({names!r}, keep='last')."
        )


def repeated_pairs(to: TabularPandas) -> Iterator[Issue]:
    """Pairs that are there more than once: rows that judge and whose pair is in training too; rows of one side."""
    pairs, (user, item) = _pairs(to), to.cat_names
    once = f"df.drop_duplicates({to.cat_names!r}, keep='last')"
    leaked = pairs[pairs["leaked"]]
    if len(leaked):
        judged = int((pairs["split"] != "train").sum())
        alike = int(leaked["alike"].sum())
        rated = to.blocks[to.n_inp].kind == "number"
        what = f" ({alike} with the same rating, {len(leaked) - alike} with another)" if rated else ""
        severity = "low" if not rated else "high" if len(leaked) > judged / 20 else "medium"
        yield Issue(
            "pair_leak", severity,
            f"{len(leaked)} of {judged} rows outside of training have a {user} and a {item} that a training row has together{what}: rows {listed(leaked.index)}.",
            f"What is measured on them looks better than it is. To keep the last of each pair: {once}." if rated else "learn.ranking() leaves them out.",
            leaked.index.tolist(),
        )  # fmt: skip
    others = pairs[(pairs["rows"] > 1) & (pairs["sides"] == 1)]
    if len(others):
        differ = int(others.loc[others["targets"] > 1, "pair"].nunique())
        yield Issue(
            "repeated_pairs", "low", f"{others['pair'].nunique()} pairs of {user} and {item} are there more than once on one side, {differ} with different targets: "
            f"rows {listed(others.index)}.", f"If that isn't meant: {once}.", others.index.tolist(),
        )  # fmt: skip


def _pairs(to: TabularPandas) -> Any:
    """The rows of all sides: split, pair (a number), target; of their pair the rows, sides and targets that there are, whether the row judges
    and its pair trains too (leaked), and with the same target (alike)."""
    ids = [pd.factorize(cells_of(to.frame, name))[0].astype("int64") for name in to.cat_names]
    table: Any = pd.DataFrame(
        {"split": to.table["split"].to_numpy(), "pair": ids[0] * (int(ids[1].max()) + 1) + ids[1], "target": to.tensors[to.n_inp].numpy()},
        index=to.frame.index,
    )
    table = table[table["split"].notna()]
    by = table.groupby("pair", sort=False)
    table = table.assign(
        rows=by["target"].transform("size"), sides=by["split"].transform("nunique"), targets=by["target"].transform("nunique")
    )
    trained = table[table["split"] == "train"]
    judges = table["split"] != "train"
    leaked = judges & table["pair"].isin(trained["pair"])
    both = pd.MultiIndex.from_frame(trained[["pair", "target"]])
    return table.assign(leaked=leaked, alike=leaked & pd.MultiIndex.from_frame(table[["pair", "target"]]).isin(both))
