"""Names of columns that are no texts, as tables without a line of names and those of several levels have them: the same model by any of them."""

from __future__ import annotations

import time
from io import StringIO

import numpy as np
import pandas as pd
import polars
import pyarrow as pa
import pytest
import torch

from burnish.collab.dataloaders import CollabDataLoaders
from burnish.data.notes import captured_notes
from burnish.data.split import ColSplitter, GroupSplitter, TimeSplitter
from burnish.errors import DataError, SettingError
from burnish.tabular.dataloaders import TabularDataLoaders
from burnish.tabular.dates import add_datepart
from burnish.tabular.frames import check_frame
from burnish.tabular.learner import tabular_learner
from burnish.tabular.procs import Categorify, Dates, FillMissing, Normalize
from burnish.tabular.roles import cont_cat_split
from burnish.train.export import load_learner

N = 100
TEXTS = ["colour", "size", "when", "gaps", "site", "sold"]
NAMES = {
    "positions": [0, 1, 2, 3, 4, 5],
    "other numbers": [10, 7, 3, 8, 5, 1],
    "numpy's numbers": list(np.arange(6)),
    "tuples": [("a", "x"), ("a", "y"), ("b", "x"), ("c", "y"), ("d", "x"), ("d", "")],
    "all kinds": ["colour", 1, 2.5, ("c", 3), None, pd.Timestamp("2024-01-01")],
}


def table(names) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    df = pd.DataFrame(
        {
            "colour": rng.choice(["red", "blue"], N), "size": rng.normal(size=N), "when": pd.date_range("2024", periods=N, freq="7h"),
            "gaps": [None, *rng.normal(size=N - 1)], "site": np.repeat(list("abcdefghij"), N // 10), "sold": rng.choice(["yes", "no"], N),
        }
    )  # fmt: skip
    df.columns = pd.Index(names, tupleize_cols=all(isinstance(name, tuple) for name in names))
    return df


def load(df, **settings) -> tuple[TabularDataLoaders, str]:
    with captured_notes() as notes:
        dls = TabularDataLoaders.from_df(df, **{"seed": 0, **settings})
    return dls, " ".join(notes)


@pytest.mark.parametrize("case", NAMES)
def test_any_names_give_the_same_model_in_tables_rows_and_files(case, tmp_path):
    names = NAMES[case]
    df, expected = table(names), load(table(TEXTS), y_names="sold")[0]
    dls, said = load(df, y_names=names[-1])
    assert "Names of columns are texts here: " in said and f"is called {str(names[1])!r}" in said
    assert all(torch.equal(a, b) for a, b in zip(dls.prepared.tensors, expected.prepared.tensors, strict=True))
    assert dls.target_names == [[str(names[-1])]] and list(df.columns) == list(table(names).columns)
    with captured_notes() as notes:
        learn = tabular_learner(dls, arch="mlp", seed=0)
        loaded = load_learner(learn.export(tmp_path / "m.burnish"))
        for made in (learn, loaded):
            whole = made.get_preds(dl=made.dls.test_dl(df)).preds
            assert torch.allclose(made.get_preds(dl=made.dls.test_dl(df.head(3).to_dict("records"))).preds, whole[:3], atol=1e-6)
            assert torch.allclose(made.predict(df.iloc[0])[2], whole[0], atol=1e-6)
            assert torch.allclose(made.predict({str(name): cell for name, cell in df.iloc[0].items()})[2], whole[0], atol=1e-6)
    assert "are texts here" not in " ".join(notes)
    with captured_notes():
        assert len(loaded.dls.new(df, seed=1).train_ds) == 80


@pytest.mark.parametrize("case", NAMES)
def test_columns_may_be_named_by_what_they_were_called(case):
    names = NAMES[case]
    colour, size, when, gaps, _, sold = names
    procs = [Categorify, FillMissing("constant", fill_vals={gaps: 3.0}), Normalize, Dates([when])]
    dls, _ = load(table(names), y_names=[sold], cat_names=[colour], cont_names=[size, gaps], procs=procs)
    assert dls.cat_names[0] == str(colour) and dls.cont_names[:2] == [str(size), str(gaps)] and dls.blocks[1].features[1].fill == 3.0
    assert load(table(names), y_names=sold, cat_names=colour, cont_names=size)[0].cont_names == [str(size)]


def test_a_table_without_a_line_of_names_can_be_read_split_and_learned_from():
    df = pd.read_csv(StringIO(table(TEXTS).to_csv(index=False, header=False)), header=None)
    dls, _ = load(df, y_names=5, splitter=GroupSplitter(4, seed=0))
    assert dls.cat_names[0] == "0" and "4" not in dls.cat_names and {"2Hour", "1"} < {*dls.cat_names, *dls.cont_names}
    assert not set(dls.prepared.train.items["4"]) & set(dls.prepared.valid.items["4"])
    other = df.rename(columns={2: 20, 5: 50}).assign(is_valid=[True, False] * (N // 2))
    assert load(other, y_names=50, splitter=TimeSplitter(20))[0].table["split"].tolist() == ["train"] * 80 + ["valid"] * 20
    assert load(other.rename(columns={"is_valid": 60}), y_names=50, splitter=ColSplitter(60))[0].valid.n == N // 2
    with pytest.raises(DataError, match=r"time=99 names a column that isn't there"):
        load(df, y_names=5, splitter=TimeSplitter(99))
    with pytest.raises(DataError, match="y_names names '9', and the table has no such column"):
        load(df, y_names=9)
    assert "5Elapsed" in add_datepart(df.rename(columns={2: 5, 5: 2}), 5).columns


def test_ratings_may_have_any_names():
    df = pd.DataFrame({0: np.repeat(range(10), 10), 1: [*range(10)] * 10, 2: np.arange(N) % 5 + 1.0})
    with captured_notes():
        assert CollabDataLoaders.from_df(df, user_name=1, item_name=0, rating_name=2, seed=0).user == "1"


def test_names_that_are_one_as_texts_are_refused():
    with pytest.raises(DataError, match=r"columns of one name: '1' \(columns 0, 1\)"):
        load(pd.DataFrame({"1": [1], 1: [2]}), y_names="1")


def test_many_columns_are_looked_at_in_no_time():
    frame, start = pd.DataFrame(np.zeros((1, 20_000))), time.perf_counter()
    check_frame(frame, "It")
    assert time.perf_counter() - start < 3


# -- names that are none ----------------------------------------------------------------------------------------------------------


def test_the_split_of_columns_takes_every_table_and_refuses_names_that_are_none():
    df = table(TEXTS)
    expected = (["size", "gaps"], ["colour", "when", "site"])
    for source in (df, polars.from_pandas(df), pa.Table.from_pandas(df), df.to_dict("list")):
        assert cont_cat_split(source, dep_var="sold") == expected
    assert cont_cat_split(table(NAMES["positions"]), 20, 5) == ([1, 3], [0, 2, 4])
    with pytest.raises(DataError, match=r"dep_var names 'solld'.*Did you mean: sold"):
        cont_cat_split(df, 5, "solld")
    with pytest.raises(DataError, match="A table was expected"):
        cont_cat_split([1, 2])  # type: ignore[arg-type]


def test_a_constant_for_no_column_is_refused():
    with pytest.raises((DataError, SettingError), match=r"fill_vals has 'gapps'.*Did you mean: gaps.*size"):
        load(table(TEXTS), y_names="sold", procs=[Categorify, FillMissing("constant", fill_vals={"gapps": 3})])
