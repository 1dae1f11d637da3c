"""Smaller types that lose nothing, columns that say the same, and splits that differ."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from burnish.data.notes import captured_notes
from burnish.data.split import TimeSplitter
from burnish.errors import DataError
from burnish.tabular.columns import cluster_columns, df_shrink, split_check
from burnish.tabular.dataloaders import TabularDataLoaders

N = 400


def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "small": rng.integers(0, 100, N),
            "large": rng.integers(0, 10**12, N),
            "half": rng.integers(0, 9, N) / 2,
            "exact": rng.normal(size=N),
            "kind": rng.choice(["a", "b"], N),
            "flag": rng.choice([True, False], N),
            "gaps": np.where(rng.random(N) < 0.2, np.nan, 1.5),
        }
    )


def test_types_shrink_and_values_stay():
    df = table()
    out = df_shrink(df, skip=["large"], int2uint=True)
    kinds = {name: str(dtype) for name, dtype in out.dtypes.items()}
    assert kinds == {
        "small": "uint8", "large": "int64", "half": "float32", "exact": "float64", "kind": "category", "flag": "bool", "gaps": "float32",
    }  # fmt: skip
    for name in df:
        assert (out[name].astype(df[name].dtype).fillna(-1) == df[name].fillna(-1)).all()
    assert str(df["small"].dtype) == "int64" and str(df_shrink(df)["small"].dtype) == "int8"


def test_columns_that_say_the_same_are_found():
    df = table().assign(twice=lambda d: d["small"] * 2, turned=lambda d: -d["exact"], named=lambda d: d["kind"].map({"a": "x", "b": "y"}))
    groups = cluster_columns(df)
    assert sorted(map(sorted, groups)) == [["exact", "turned"], ["kind", "named"], ["small", "twice"]]
    assert {t.get_text() for t in plt.gca().get_yticklabels()} == set(df.columns)


def test_nothing_to_compare_says_so():
    with pytest.raises(DataError, match="at least two columns"):
        cluster_columns(table()[["small"]])


def test_a_split_by_time_differs_where_the_data_drifts_and_a_random_one_does_not():
    df = table().assign(when=pd.date_range("2024-01-01", periods=N), drift=lambda d: np.arange(N) + d["exact"] * 20, y=lambda d: d["kind"])
    with captured_notes():
        by_time = TabularDataLoaders.from_df(df, cont_names=["drift", "small"], y_names="y", splitter=TimeSplitter("when"), seed=1)
        random = TabularDataLoaders.from_df(df, cont_names=["drift", "small"], y_names="y", seed=1)
    with captured_notes() as said:
        found = split_check(by_time)
    assert found.attrs["roc_auc"] > 0.9 and found["column"].iloc[0] == "drift"
    assert found.attrs["low"] < found.attrs["roc_auc"] < found.attrs["high"] or found.attrs["roc_auc"] == 1
    assert "they differ, most in 'drift'" in str(said)
    with captured_notes() as said:
        same = split_check(random)
    assert 0.3 < same.attrs["low"] < 0.5 < same.attrs["high"] < 0.7 and "no difference to be seen" in str(said)
    with pytest.raises(DataError, match="no test rows"):
        split_check(random, "test")


def test_the_column_that_tells_more_rows_apart_is_first_however_few_validate():
    """`all` tells every one of 20 rows from 85 % of 980 others, `some` two fifths of them from nearly all others."""
    rng, valid = np.random.default_rng(0), np.arange(980, 1000)
    df = pd.DataFrame({"some": np.zeros(1000), "all": (rng.random(1000) < 0.15) * 1.0, "y": rng.choice(["a", "b"], 1000)})
    df.loc[valid, "all"], df.loc[valid[:8], "some"] = 1.0, 1.0
    df.loc[[0, 1], "some"] = 1.0
    with captured_notes():
        dls = TabularDataLoaders.from_df(df, cont_names=["some", "all"], y_names="y", valid_idx=valid.tolist(), seed=1)
    assert split_check(dls)["column"].tolist() == ["all", "some"]
