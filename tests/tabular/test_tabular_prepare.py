"""TabularPandas: roles inferred and said, everything learned from the training rows alone, targets chosen aloud."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from burnish.data.category import CategoryBlock
from burnish.data.notes import captured_notes
from burnish.data.number import RegressionBlock
from burnish.data.split import GroupSplitter, MaskSplitter, RandomSplitter, TimeSplitter
from burnish.errors import DataError, SettingError
from burnish.tabular.dataloaders import TabularDataLoaders
from burnish.tabular.prepare import TabularPandas
from burnish.tabular.procs import Categorify, Dates, FillMissing, Normalize, TabularProc

N = 60


def table(**columns) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    base = {
        "colour": rng.choice(["red", "green", "blue"], N), "size": rng.normal(10, 3, N).round(2), "doors": rng.choice([2, 4], N),
        "price": rng.normal(100, 20, N).round(2), "sold": rng.choice(["yes", "no"], N),
    }  # fmt: skip
    return pd.DataFrame({**base, **columns})


def prepared(df=None, **settings) -> tuple[TabularPandas, str]:
    with captured_notes() as notes:
        made = TabularPandas(table() if df is None else df, **{"y_names": "sold", **settings})
    return made, " ".join(notes)


def test_roles_are_inferred_in_the_tables_order_and_said():
    to, said = prepared()
    assert to.cat_names == ["colour", "doors"] and to.cont_names == ["size", "price"]
    assert "categories: colour, doors; numbers: size, price" in said and "cat_names=[...]" in said


def test_named_columns_are_taken_as_named():
    to, said = prepared(cat_names=["doors"], cont_names=["price", "size"])
    assert (to.cat_names, to.cont_names, said) == (["doors"], ["price", "size"], "")


def test_columns_that_teach_nothing_are_left_out_and_said():
    df = table(id=[f"row {i}" for i in range(N)], empty=[None] * N, same=["x"] * N, nested=[[1, 2]] * N)
    to, said = prepared(df)
    assert to.cat_names == ["colour", "doors"]
    for words in ("'id' has another value in every row", "'empty' is empty", "'same' is 'x' in every row", "'nested' holds lists"):
        assert words in said


def test_everything_is_learned_from_the_training_rows_alone():
    df = table()
    df.loc[:9, "size"], df.loc[:9, "colour"] = 1e6, "never in training"
    to, _ = prepared(df, splits=(list(range(10, N)), list(range(10))))
    train = df["size"].iloc[10:].to_numpy()
    assert to.train.xs["size"].mean() == pytest.approx(0, abs=1e-5) and to.train.xs["size"].std(ddof=0) == pytest.approx(1, rel=1e-4)
    assert to.valid.xs["size"].iloc[0] == pytest.approx((1e6 - train.mean()) / train.std(), rel=1e-4)
    assert "never in training" not in to.classes["colour"] and (to.valid.xs["colour"] == len(to.classes["colour"])).all()


def test_the_users_table_stays_as_it_is():
    df = table(size=[None, *range(N - 1)])
    before = df.copy(deep=True)
    prepared(df)
    pd.testing.assert_frame_equal(df, before)


@pytest.mark.parametrize(("strategy", "expected"), [("median", 3.0), ("mean", 4.0), ("mode", 2.0), ("constant", -1.0)])
def test_missing_numbers_are_filled_by_the_strategy_and_marked(strategy, expected):
    df = pd.DataFrame({"a": [2.0, 2.0, 4.0, 8.0, None, 5.0], "y": list("xyxyxy")})
    fill = FillMissing(strategy, fill_vals={"a": -1.0} if strategy == "constant" else None)
    to, _ = prepared(df, y_names="y", procs=[Categorify, fill], splits=([0, 1, 2, 3, 4], [5]), cont_names=["a"])
    assert to.train.xs["a"].iloc[4] == expected and to.cat_names == ["a_na"]
    assert to.train.xs["a_na"].tolist() == [1, 1, 1, 1, 2]


def test_without_add_col_there_is_no_mark_and_without_fill_an_error():
    df = table(size=[None, *range(N - 1)])
    assert prepared(df, procs=[Categorify, FillMissing(add_col=False)])[0].cat_names == ["colour", "doors"]
    with pytest.raises(DataError, match=r"'size' has 1 missing cell.*FillMissing"):
        prepared(df, procs=[Categorify, Normalize])


def test_dates_become_what_varies_in_them():
    df = table(when=pd.date_range("2024-01-01", periods=N, freq="20h"))
    to, said = prepared(df)
    assert {"whenDayofweek", "whenHour", "whenDay", "whenMonth"} < set(to.cat_names) and "whenYear" not in to.cont_names
    assert {"whenElapsed", "whenHour_sin", "whenHour_cos"} < set(to.cont_names) and "dates: when" in said
    assert "whenMinute" not in to.cat_names


def test_dates_in_texts_are_found_and_can_be_named():
    df = table(when=pd.date_range("2024-01-01", periods=N, freq="5h").strftime("%Y-%m-%d"))
    assert "whenElapsed" in prepared(df)[0].cont_names
    assert "whenElapsed" in prepared(df, cat_names=["colour"], procs=[Categorify, FillMissing, Dates("when")])[0].cont_names
    assert "whenElapsed" not in prepared(df, procs=[Categorify, FillMissing])[0].cont_names


class Area(TabularProc):
    def __init__(self, largest: float = 0.0) -> None:
        self.largest = largest

    def setup(self, frame):
        self.largest = float(frame["size"].max())

    def apply(self, frame):
        return frame.assign(share=frame["size"] / self.largest)


def test_a_proc_of_ones_own_learns_from_training_and_adds_columns():
    to, _ = prepared(procs=[Area, Categorify, FillMissing, Normalize])
    assert "share" in to.cont_names and to.procs.own[0].largest == to.train.items["size"].max()


# -- targets ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "block", "said"),
    [
        (np.tile(["a", "b"], N // 2), CategoryBlock, ""),
        (np.tile([True, False], N // 2), CategoryBlock, ""),
        (np.linspace(0.5, 9, N), RegressionBlock, ""),
        (np.tile([0, 1], N // 2), CategoryBlock, "taken as two classes|2 different whole numbers .0, 1.*RegressionBlock"),
        (np.tile([1, 2, 3], N // 3), CategoryBlock, "taken as classes, without an order.*RegressionBlock"),
        (np.tile([1.0, 2.0, 3.0], N // 3), CategoryBlock, "taken as classes, without an order.*RegressionBlock"),
        (np.arange(N), RegressionBlock, "taken as a number.*CategoryBlock"),
    ],
)
def test_classes_or_numbers_are_chosen_and_what_could_be_either_is_said(values, block, said):
    import re

    to, notes = prepared(table(sold=values))
    assert type(to.targets[0].block) is block
    assert re.search(said, notes) if said else "The target" not in notes


def test_y_block_decides():
    to, said = prepared(table(sold=np.tile([0, 1], N // 2)), y_block=RegressionBlock)
    assert type(to.targets[0].block) is RegressionBlock and "The target" not in said


def test_several_numbers_are_one_target_and_mixed_ones_several():
    to, _ = prepared(y_names=["price", "size"])
    assert [t.columns for t in to.targets] == [["price", "size"]] and to.tensors[2].shape == (N, 2)
    to, _ = prepared(y_names=["price", "sold"])
    assert [t.columns for t in to.targets] == [["price"], ["sold"]] and len(to.tensors) == 4


def test_rows_without_a_target_are_left_out_and_counted_or_refused():
    df = table()
    df.loc[[3, 5], "sold"] = None
    to, said = prepared(df)
    assert len(to) == N - 2 and "2 of 60 rows have no target (sold): rows 3, 5" in said
    with pytest.raises(DataError, match="2 of 60 rows have no target"):
        prepared(df, missing_targets="raise")


def test_positions_of_a_split_are_those_of_the_users_table():
    df = table()
    df.loc[[0, 1], "sold"] = None
    to, _ = prepared(df, splits=(list(range(50)), list(range(50, N))))
    assert len(to.train) == 48 and len(to.valid) == 10
    assert to.valid.items["price"].tolist() == df["price"].iloc[50:].tolist()


def test_every_splitter_means_the_rows_of_the_users_table():
    df = table(site=np.repeat(list("abcdef"), N // 6))
    df.loc[[0, 1, 2], "sold"] = None
    expected = df["price"].iloc[[5, 6, 50]].tolist()
    with captured_notes():
        by_index = TabularDataLoaders.from_df(df, y_names="sold", valid_idx=[5, 6, 50])
    assert by_index.prepared.valid.items["price"].tolist() == expected
    mask = [i in (5, 6, 50) for i in range(N)]
    assert prepared(df, splits=MaskSplitter(mask))[0].valid.items["price"].tolist() == expected
    to, _ = prepared(df, splits=GroupSplitter(df["site"].tolist(), seed=0))
    assert to.table["group"].tolist() == df["site"].iloc[3:].tolist() and not set(to.train.items["site"]) & set(to.valid.items["site"])


# -- splits -------------------------------------------------------------------------------------------------------------


def test_splitters_see_the_columns():
    df = table(site=np.repeat(list("abcdef"), N // 6), when=pd.date_range("2024-01-01", periods=N))
    to, _ = prepared(df, splits=GroupSplitter("site", seed=0))
    assert not set(to.train.items["site"]) & set(to.valid.items["site"]) and "group" in to.table
    to, _ = prepared(df, splits=TimeSplitter("when", test_pct=0.1))
    assert to.train.items["when"].max() < to.valid.items["when"].min() <= to.valid.items["when"].max() < to.test.items["when"].min()
    assert len(prepared(df, splits=RandomSplitter(0.2, test_pct=0.2, seed=1))[0].test) == 12


def test_a_table_of_its_own_tests():
    df = table()
    to, _ = prepared(df.iloc[:50], test_df=df.iloc[50:])
    assert len(to.test) == 10 and to.test.items["price"].tolist() == df["price"].iloc[50:].tolist()
    with pytest.raises(DataError, match=r"test_df has no column 'sold'.*test_dl"):
        prepared(df.iloc[:50], test_df=df.iloc[50:].drop(columns="sold"))
    with pytest.raises(SettingError, match="two test sets"):
        prepared(df.iloc[:50], test_df=df.iloc[50:], splits=RandomSplitter(0.2, test_pct=0.2))


def test_the_default_split_is_always_the_same_one():
    assert prepared()[0].valid.rows.tolist() == prepared()[0].valid.rows.tolist() != prepared(seed=7)[0].valid.rows.tolist()


def test_a_column_called_split_stays_beside_the_splits_own():
    to, _ = prepared(table(split=np.tile(["x", "y"], N // 2)))
    assert "split" in to.cat_names and set(to.table["split"]) == {"train", "valid"} and set(to.table["source_split"]) == {"x", "y"}


# -- other kinds of tables ----------------------------------------------------------------------------------------------


def test_arrow_tables_and_dicts_are_tables():
    pyarrow = pytest.importorskip("pyarrow")
    df = table()
    expected = prepared(df)[0].items
    for other in (pyarrow.Table.from_pandas(df), {name: df[name].tolist() for name in df}):
        pd.testing.assert_frame_equal(prepared(other)[0].items, expected)


def test_features_for_other_models_have_names_and_the_tables_positions():
    to, _ = prepared()
    assert list(to.train.xs) == ["colour", "doors", "size", "price"] and to.train.xs.index.tolist() == to.train.rows.tolist()
    assert to.train.y.name == "sold" and set(to.train.y) == {0, 1}
    assert list(to.items) == ["colour", "doors", "size", "price", "sold"] and len(to.items) == N
