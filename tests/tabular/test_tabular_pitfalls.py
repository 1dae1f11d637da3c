"""Tables in which something could go wrong without a word: features of one name, cells beyond the names, rows left out, settings that clash."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from test_tabular_learner import loaders, people

from burnish.data.config import Configurable, from_config
from burnish.data.notes import captured_notes
from burnish.data.number import RegressionBlock
from burnish.data.split import ColSplitter, GroupSplitter
from burnish.errors import DataError, SettingError
from burnish.tabular.dataloaders import TabularDataLoaders
from burnish.tabular.files import read_csv, read_file
from burnish.tabular.learner import tabular_learner
from burnish.tabular.prepare import TabularPandas
from burnish.tabular.procs import FillMissing, TabularProc
from burnish.train.export import load_learner

N = 200


def quiet(df, y_names="y", **settings) -> TabularDataLoaders:
    with captured_notes():
        return TabularDataLoaders.from_df(df, y_names=y_names, **{"seed": 0, "bs": 32, **settings})


def alike() -> pd.DataFrame:
    """Columns whose parts would be called alike, and a target of the second date's weekday alone."""
    rng = np.random.default_rng(0)
    days = rng.permutation(pd.date_range("2000-01-01", periods=N, freq="29h"))
    df = pd.DataFrame(
        {
            "Date": pd.date_range("2020-01-01", periods=N, freq="40h"), "date": days, "Month": rng.choice(["a", "b", "c"], N),
            "x": np.where(rng.random(N) < 0.2, np.nan, rng.random(N)), "x_na": rng.choice(["u", "v"], N),
        }
    )  # fmt: skip
    return df.assign(y=pd.Series(days).dt.day_of_week.isin([5, 6]).map({True: "end", False: "week"}))


# -- features -------------------------------------------------------------------------------------------------------------
def test_features_of_one_name_are_told_apart(tmp_path):
    df = alike()
    dls = quiet(df)
    names = [*dls.cat_names, *dls.cont_names]
    assert len(set(names)) == len(names) and {"Month", "x_na", "x_missing", "Date_Month", "date_Month", "date_Dayofweek"} <= set(names)
    assert dls.prepared.xs.columns.is_unique and dls.classes["Month"] == ["#na#", "a", "b", "c"]
    learn = tabular_learner(dls, seed=0)
    with learn.no_logging():
        learn.fit_one_cycle(8)
    assert learn.validate()["accuracy"] > 0.9  # the weekday of `date`, which `Date` hid
    again = load_learner(learn.export(tmp_path / "m.burnish"))
    assert again.dls.cat_names == dls.cat_names and torch.equal(again.predict(df.iloc[3]).probs, learn.predict(df.iloc[3]).probs)


class Share(TabularProc):
    """The mean of a group among the training rows: learned, by numbers that are no texts."""

    def __init__(self, means=None):
        self.means = means

    def setup(self, frame):
        self.means = frame.groupby("g")["x"].mean().to_dict()

    def apply(self, frame):
        return frame.assign(share=frame["g"].map(self.means))


def grouped(shift: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    g = rng.integers(0, 40, N)
    return pd.DataFrame({"g": g, "x": rng.normal(size=N) + g / 10 + shift, "y": np.where(g > 20, "high", "low")})


def test_what_a_proc_learned_by_numbers_is_in_the_model_file(tmp_path):
    learn = tabular_learner(quiet(grouped(), procs=[Share, FillMissing]), seed=0)
    again = load_learner(learn.export(tmp_path / "m.burnish"))
    assert again.dls.procs[0].means == learn.dls.procs[0].means
    rows = grouped().head(50)
    with captured_notes():
        pairs = zip(again.dls.test_dl(rows).one_batch(), learn.dls.test_dl(rows).one_batch(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_a_proc_that_learned_for_one_table_is_left_alone_by_the_next():
    procs = [Share(), FillMissing]
    first = quiet(grouped(), procs=procs)
    before = first.test_dl(grouped().head(9)).one_batch()[1]
    quiet(grouped(shift=5.0), procs=procs)
    assert torch.equal(first.test_dl(grouped().head(9)).one_batch()[1], before) and procs[0].means is None


class Holder(Configurable):
    def __init__(self, held=None):
        self.held = held


@pytest.mark.parametrize("held", [{1: "a", 2: "b"}, {(1, 2): 3}, {True: 0.5, None: 1}, {"a": {3: [1, 2]}}, {"a": 1}, {}])
def test_dicts_come_back_from_a_description_with_the_keys_they_had(held):
    assert from_config(Holder(held).config()).held == held


# -- rows -----------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("n", [3, 70])
def test_a_row_without_a_column_is_an_error_however_many_there_are(n):
    dls, rows = loaders(), people(n).to_dict("records")
    del rows[2]["age"]
    with pytest.raises(DataError, match="no column 'age'"):
        dls.test_dl(rows)


def test_rows_without_a_target_do_not_move_the_others_numbers():
    df = people().assign(place=lambda d: np.arange(len(d)))
    df.loc[:49, "pay"] = np.nan
    dls = quiet(df, "pay", cat_names=["job"], cont_names=["age", "hours"])
    assert (dls.valid.items.index if hasattr(dls.valid, "items") else dls.valid_ds.items.index).min() >= 50
    learn = tabular_learner(dls, seed=0)
    from burnish.evaluate.interpret import Interpretation

    table = Interpretation.from_learner(learn).table
    assert (table.index == table["place"]).all() and (dls.prepared.valid.xs.index == dls.prepared.valid.items["place"]).all()


def test_a_class_of_a_single_row_trains_and_unused_categories_do_not_spoil_the_shares():
    df = people()
    df.loc[0, "rich"] = "once"
    for seed in range(6):
        dls = quiet(df, "rich", seed=seed)
        assert dls.table.loc[0, "split"] == "train"
    kinds = pd.Categorical(np.repeat(["a", "b", "c"], [100, 100, 100]), categories=["a", "b", "c", "never"])
    dls = quiet(people(300).assign(kind=kinds), "kind")
    assert dls.table.loc[dls.table["split"] == "valid", "kind"].value_counts().loc[["a", "b", "c"]].tolist() == [20, 20, 20]


@pytest.mark.parametrize("splitter", [GroupSplitter("site"), ColSplitter("site", on="C")])
def test_the_column_that_splits_is_no_input_in_either_way_of_making_loaders(splitter):
    df = people().assign(site=lambda d: np.array(list("ABCDEFGH"))[np.arange(len(d)) % 8])
    with captured_notes():
        to = TabularPandas(df, y_names="rich", splits=splitter)
    assert "site" not in to.cat_names and "site" not in quiet(df, "rich", splitter=splitter).cat_names


def test_groups_given_as_a_list_are_of_the_rows_that_are_split():
    df = people(100)
    dls = quiet(df.head(80), "rich", splitter=GroupSplitter(list(np.arange(80) // 4)), test_df=df.tail(20))
    assert len(dls.test.rows) == 20 and dls.table["group"].iloc[80:].nunique() == 20


@pytest.mark.parametrize("as_given", [pd.Index, np.array, tuple])
def test_names_of_columns_may_be_an_index_or_an_array(as_given):
    with captured_notes():
        to = TabularPandas(people(), cat_names=as_given(["job"]), cont_names=as_given(["age", "hours"]), y_names=as_given(["rich"]))
    assert to.cat_names[0] == "job" and to.cont_names == ["age", "hours"]


# -- files ----------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("in_memory", [True, False])
def test_cells_beyond_the_names_move_no_column(in_memory, tmp_path):
    file = tmp_path / "t.csv"
    lines = [f"{2 * i + 100}.5,{i}.1,{i % 7}.2," for i in range(N)]
    file.write_text("\n".join(["y,x,a", *lines]))
    with captured_notes():
        frame = TabularDataLoaders.from_csv(file, y_names="y", in_memory=in_memory).prepared.frame
    assert [float(frame[c].iloc[3]) for c in ("y", "x", "a")] == [106.5, 3.1, 3.2]
    file.write_text("\n".join(["y,x,a", *lines[:150], *(line + "9" for line in lines[150:])]))
    with pytest.raises(DataError, match=r"3 names in its first line \(y, x, a\) and 4 cells in its rows"):
        TabularDataLoaders.from_csv(file, y_names="y", in_memory=in_memory)


def test_a_name_twice_in_a_file_is_an_error_as_it_is_in_a_table(tmp_path):
    file = tmp_path / "t.csv"
    file.write_text("\n".join(["a,b,a", *(f"{i},{i * 2},{i * 3}" for i in range(9))]))
    with pytest.raises(DataError, match=r"columns of one name: 'a' \(columns 0, 2\)"):
        TabularDataLoaders.from_csv(file, y_names="b")
    with pytest.raises(FileNotFoundError, match="a folder without Parquet files"):
        TabularDataLoaders.from_file(tmp_path, y_names="b")


# -- targets --------------------------------------------------------------------------------------------------------------
def test_numbers_that_single_precision_cannot_tell_apart_are_refused():
    times = 1.7e9 + 100 * np.random.default_rng(0).normal(size=500)
    with pytest.raises(DataError, match=r"500 different ones become \d+\).*Subtract a constant"):
        RegressionBlock().fit(times)
    RegressionBlock().fit(times - times.min())
    RegressionBlock().fit(1.7e9 + 1e6 * np.random.default_rng(0).normal(size=500))


@pytest.mark.parametrize("kind", [pd.cut(np.arange(N), 4), pd.period_range("2020-01", periods=N, freq="D")])
def test_a_target_that_a_model_file_cannot_keep_is_refused_at_once(kind):
    with pytest.raises(DataError, match="a model file can't keep"):
        TabularDataLoaders.from_df(people(N).assign(kind=kind), y_names="kind")


@pytest.mark.parametrize(
    ("target", "block", "said"),
    [
        ("rich", None, "the target has classes"),
        ("pay", RegressionBlock(log=True), "logarithms have no upper end"),
        (["pay", "rich"], None, "y_range is of one target"),
    ],
)
@pytest.mark.parametrize("how", ["argument", "config"])
def test_a_range_that_the_target_cannot_have_is_refused(target, block, said, how):
    dls = loaders(target, y_block=block)
    given = {"y_range": (0, 1)} if how == "argument" else {"config": {"y_range": (0, 1)}}
    with pytest.raises(SettingError, match=said):
        tabular_learner(dls, **given)


def test_a_range_that_leaves_targets_out_is_said():
    with captured_notes() as notes:
        tabular_learner(loaders("pay"), y_range=(0, 50_000))
    assert any("training rows have a target outside of y_range=(0, 50000)" in said for said in notes)


def test_a_loaded_learner_of_numbers_is_trained_on_and_exported_again(tmp_path):
    learn = tabular_learner(loaders("pay"), seed=0)
    again = load_learner(learn.export(tmp_path / "a.burnish"))
    again.dls = again.dls.new(people(seed=3))
    with again.no_logging():
        again.fit(1)
    third = load_learner(again.export(tmp_path / "b.burnish"))
    row = people().iloc[5]
    assert third.predict(row).label == again.predict(row).label != learn.predict(row).label


@pytest.mark.parametrize("in_memory", [True, False])
def test_numbers_with_a_decimal_comma_are_read_as_such(in_memory, tmp_path):
    file = tmp_path / "t.csv"
    file.write_text("\n".join(["y;x", *(f"1.{i % 1000:03d},5;{i},25" for i in range(N))]))
    with captured_notes():
        frame = TabularDataLoaders.from_csv(file, y_names="y", sep=";", decimal=",", thousands=".", in_memory=in_memory).prepared.frame
    assert [float(frame[c].iloc[7]) for c in ("y", "x")] == [1007.5, 7.25]


def test_a_column_added_to_a_table_in_files_has_test_rows_too(tmp_path):
    people().to_parquet(tmp_path / "t.parquet")
    frame = read_file(tmp_path / "t.parquet", in_memory=False)
    frame["extra"] = np.arange(len(frame)) / 7
    test = people(20, seed=4).assign(extra=-1.0)
    dls = quiet(frame, "rich", test_df=test)
    assert len(dls.test.rows) == 20 and "extra" in dls.cont_names
    assert dls.test.one_batch()[1][:, dls.cont_names.index("extra")].unique().numel() == 1


def test_all_columns_of_a_file_in_pieces_may_be_said_to_be_texts(tmp_path):
    people().to_csv(tmp_path / "t.csv", index=False)
    frame = read_csv(tmp_path / "t.csv", in_memory=False, dtype="str")
    assert {str(dtype).split("[")[0] for dtype in frame.dtypes} <= {"large_string", "string"}


def test_loaders_of_more_rows_have_transforms_of_their_own():
    dls = loaders()
    more = dls.new(people(seed=2))
    assert more.batch_tfms is not dls.batch_tfms and more.batch_tfms[0] is not dls.batch_tfms[0]


@pytest.mark.parametrize("spoilt", ["a gap", "a text", "a test row's text"])
def test_rows_that_do_not_train_do_not_decide_what_a_column_is(spoilt):
    df = people().assign(rooms=lambda d: np.arange(len(d)) % 5 + 1)
    before = quiet(df, "rich", valid_idx=range(40))
    test = None
    if spoilt == "a gap":
        df = df.assign(rooms=df["rooms"].where(df.index != 3))
    elif spoilt == "a text":
        df = df.assign(rooms=df["rooms"].astype(object).where(df.index != 3, "4"))
    else:
        test = df.tail(20).assign(rooms=lambda d: d["rooms"].astype(str))
    dls = quiet(df, "rich", valid_idx=range(40), test_df=test)
    assert (dls.cat_names, dls.cont_names) == (before.cat_names, before.cont_names)
    assert dls.classes["rooms"] == before.classes["rooms"] == ["#na#", 1, 2, 3, 4, 5]
    assert dls.train_ds.xs["rooms"].equals(before.train_ds.xs["rooms"])


def test_small_words_of_messages(tmp_path):
    with captured_notes() as notes:
        TabularDataLoaders.from_df(people().assign(same=np.float64(3.0)), y_names="rich")
    assert any("'same' is 3.0 in every row" in said for said in notes)
    with pytest.raises(DataError, match="no rows to predict"):
        loaders().test_dl(people().head(0))
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"no CSV file, by its ending: from_file\('a.parquet'\)"):
        TabularDataLoaders.from_csv(tmp_path / "a.parquet", y_names="rich")
    with pytest.raises(DataError, match="has the classes no, yes, and the model gives numbers"):
        tabular_learner(loaders("pay"), seed=0).dls = loaders("rich")


@pytest.mark.parametrize("in_memory", [True, False])
def test_options_of_pandas_that_name_columns_are_taken(in_memory, tmp_path):
    (tmp_path / "t.csv").write_text("\n".join(["a,when,b", *(f"{i},2024-01-{i % 28 + 1:02d},{i * 2}" for i in range(60))]))
    frame = read_csv(tmp_path / "t.csv", in_memory, usecols=["a", "when"], parse_dates=["when"])
    assert list(frame.columns) == ["a", "when"] and len(frame) == 60 and frame["when"].dt.year.eq(2024).all()
