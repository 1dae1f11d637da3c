"""Tables that can't be used as they are: each with a message that says what was given, where, and what to do."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
import torch

from burnish.data.notes import captured_notes
from burnish.errors import DataError, SettingError
from burnish.tabular.dataloaders import TabularDataLoaders
from burnish.tabular.dates import add_datepart
from burnish.tabular.procs import Categorify, FillMissing, Normalize

N = 40


def table(**columns) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    base = {"colour": rng.choice(["red", "blue"], N), "size": rng.normal(size=N), "sold": rng.choice(["yes", "no"], N)}
    return pd.DataFrame({**base, **columns})


def load(df=None, **settings):
    with captured_notes() as notes:
        dls = TabularDataLoaders.from_df(table() if df is None else df, **{"y_names": "sold", "seed": 0, **settings})
    return dls, " ".join(notes)


def csv(tmp_path, text: str | bytes):
    path = tmp_path / "data.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


REFUSED = {
    "no such column": ({"cat_names": ["color"]}, r"'color', and the table has no such column. Did you mean: colour"),
    "no such target": ({"y_names": "solt"}, r"y_names names 'solt'.*sold"),
    "no target": ({"y_names": None}, r"has no target.*y_names"),
    "target among the features": ({"cat_names": ["colour", "sold"]}, r"cat_names has 'sold', which is the target"),
    "a column in two roles": ({"cat_names": ["size"], "cont_names": ["size"]}, r"in both cat_names and cont_names"),
    "a column twice": ({"cat_names": ["colour", "colour"]}, r"twice in cat_names"),
    "texts as numbers": ({"cont_names": ["colour"]}, r"cont_names has 'colour', of whose training cells 32 of 32 are no numbers"),
    "duplicate names": ({"df": table().assign(a=1).rename(columns={"a": "size"})}, r"columns of one name: 'size' \(columns 1, 3\)"),
    "no rows": ({"df": table().iloc[:0]}, r"no rows"),
    "no columns": ({"df": pd.DataFrame(index=range(3))}, r"no columns"),
    "one row": ({"df": table().iloc[:1]}, r"can't split 1 item|at least 2"),
    "a target with one value": ({"df": table(sold="yes")}, r"one class only, 'yes'"),
    "a number with one value": ({"df": table(sold=1.5)}, r"1.5 in all 32 training rows"),
    "a target that is all missing": ({"df": table(sold=None)}, r"all 40 cells are missing"),
    "dates as the target": ({"df": table(sold=pd.date_range("2024", periods=N))}, r"holds dates"),
    "infinite numbers": ({"df": table(size=[np.inf, *range(N - 1)])}, r"Column 'size' has 1 infinite number.*rows 0"),
    "infinite numbers among few": (
        {"df": table(size=[np.inf, *([1.0, 2.0] * N)[: N - 1]])},
        r"Column 'size' has 1 infinite number.*rows 0",
    ),
    "infinite target": ({"df": table(sold=[np.inf, *np.linspace(0.1, 1, N - 1)])}, r"infinite number as the target"),
    "all missing": ({"df": table(gone=[np.nan] * N), "cont_names": ["size", "gone"]}, r"'gone', which has no number in the training rows"),
    "nested values": ({"df": table(lists=[[1, 2]] * N), "cat_names": ["lists"]}, r"'lists' holds lists, one a cell"),
    "dates as numbers": ({"df": table(when=pd.date_range("2024", periods=N)), "cont_names": ["when"]}, r"Dates\('when'\)"),
    "nothing to predict from": ({"df": table()[["sold"]]}, r"No column is left to predict 'sold' from"),
    "gaps that nothing fills": ({"df": table(size=[np.nan, *range(N - 1)]), "procs": [Categorify, Normalize]}, r"FillMissing"),
    "an index out of range": ({"valid_idx": [500]}, r"positions 500"),
    "a position as a name": ({"cat_names": [0]}, r"no such column"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_it_is_refused_with_what_is_wrong(case):
    settings, said = REFUSED[case]
    settings = dict(settings)
    with pytest.raises((DataError, SettingError), match=said):
        dls, _ = load(settings.pop("df", None), **settings)
        from burnish.tabular.learner import tabular_learner

        tabular_learner(dls)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"proc": [Categorify]}, "procs"),
        ({"procs": [str]}, "procs has"),
        ({"missing_targets": "ignore"}, "'drop'"),
        ({"y_block": "category"}, "y_block"),
        ({"splitter": "random"}, "splits|positions"),
        ({"bs": 0}, "bs=0"),
        ({"valid_idx": [1], "splitter": lambda d: ([0], [1])}, "use one or the other"),
    ],
)
def test_settings_that_cannot_be(settings, said):
    with pytest.raises((SettingError, DataError, TypeError), match=said):
        load(**settings)


def test_a_strategy_that_is_none_names_the_nearest():
    with pytest.raises(SettingError, match=r"fill_strategy='medain'.*median"):
        FillMissing("medain")


# -- columns that can be used, with a word about them ---------------------------------------------------------------------


def test_constant_and_unique_columns_that_are_named_stay_with_a_word():
    df = table(same="x", name=[f"n{i}" for i in range(N)])
    dls, said = load(df, cat_names=["colour", "same", "name"])
    assert (
        dls.cat_names == ["colour", "same", "name"]
        and "'same' is 'x' in every row" in said
        and "'name' has another value in every row" in said
    )


def test_a_column_of_mixed_types_is_taken_as_texts():
    dls, _ = load(table(mixed=[1, "1", "x", 2.0] * 10), cat_names=["mixed"])
    assert dls.classes["mixed"] == ["#na#", "1", "2", "x"]


def test_truth_values_are_categories():
    assert load(table(flag=[True, False] * (N // 2)))[0].cat_names == ["colour", "flag"]


def test_ids_as_numbers_with_a_fraction_are_the_ids():
    dls, _ = load(table(shop=[1.0, 2.0, np.nan, 3.0] * 10), cat_names=["shop"])
    assert dls.classes["shop"] == ["#na#", 1, 2, 3]
    assert dls.test_dl(pd.DataFrame({"shop": [3]})).one_batch()[0].tolist() == [[3]]


# -- files --------------------------------------------------------------------------------------------------------------------


def test_a_csv_file_is_a_table(tmp_path):
    path = tmp_path / "data.csv"
    table().to_csv(path, index=False)
    with captured_notes():
        assert TabularDataLoaders.from_csv(path, y_names="sold").cat_names == ["colour"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", r"is empty: 0 bytes"),
        ("a,b,sold\n", r"columns \(a, b, sold\) and no rows"),
        ("a;b;sold\n1,5;2;x\n3,5;4;y\n", r"single column.*3 parts between semicolons: from_csv\(path, sep=';', decimal=','\)"),
        ("a;b;sold\n1;2;x\n3;4;y\n", r"single column.*3 parts between semicolons: from_csv\(path, sep=';'\)"),
        ("a,sold\n1,5,x\n2,6,y\n", r"2 names in its first line \(a, sold\) and 3 cells in its rows"),
        ("a\tb\tsold\n1\t2\tx\n", r"between tabs"),
        ("a,sold\n1,x\n1,2,3,4\n", r"can't be read as a CSV file"),
        ("größe,sold\n1,x\n".encode("cp1252"), r"isn't in UTF-8.*encoding='cp1252'"),
        ("größe,sold\n1,x\n".encode("utf-16"), r"utf-16"),
    ],
)
def test_files_that_are_no_table_say_why(content, said, tmp_path):
    with pytest.raises(DataError, match=said):
        TabularDataLoaders.from_csv(csv(tmp_path, content), y_names="sold")


def test_a_file_that_is_not_there_names_what_is(tmp_path):
    csv(tmp_path, "a,sold\n1,x\n")
    with pytest.raises(FileNotFoundError, match=r"data.csv"):
        TabularDataLoaders.from_csv(tmp_path / "date.csv", y_names="sold")


def test_another_encoding_and_separator_can_be_said(tmp_path):
    text = table(größe=np.arange(N) * 2).to_csv(index=False, sep=";")
    path = csv(tmp_path, text.encode("cp1252"))
    with captured_notes():
        dls = TabularDataLoaders.from_csv(path, y_names="sold", sep=";", encoding="cp1252")
    assert "größe" in dls.cont_names


def test_what_is_no_table_says_so():
    for wrong in (3, "data.csv", [1, 2]):
        with pytest.raises(DataError, match="A table was expected"):
            load(wrong)


# -- dates ----------------------------------------------------------------------------------------------------------------------


def test_datepart_adds_the_familiar_columns_in_seconds():
    df = pd.DataFrame({"saledate": pd.to_datetime(["2020-01-01 00:00", "2020-02-29 12:30"])})
    out = add_datepart(df, "saledate", time=True, cyclic=True)
    assert out is df and "saledate" not in df
    assert df["saleElapsed"].tolist() == [1577836800.0, 1582979400.0] and df["saleDayofweek"].tolist() == [2, 5]
    assert df["saleIs_month_end"].tolist() == [False, True] and df["saleHour"].tolist() == [0, 12] and df["saleWeek"].tolist() == [1, 9]
    assert df["saleHour_cos"].tolist() == pytest.approx([1, -1])


def test_datepart_refuses_what_is_no_date():
    with pytest.raises(DataError, match="no column"):
        add_datepart(table(), "when")
    with pytest.raises(DataError, match=r"'red'|'blue'"):
        add_datepart(table(), "colour")


# -- durations and decimal numbers, and what comes later in their place -----------------------------------------------------------


def test_durations_are_numbers_in_tables_and_rows():
    df = table(wait=pd.to_timedelta(np.arange(N) * 90, unit="s"))
    for settings in ({}, {"cat_names": ["colour"], "cont_names": ["size", "wait"]}):
        dls, _ = load(df, **settings)
        assert dls.cont_names == ["size", "wait"]
        whole, rows = dls.test_dl(df).tensors, dls.test_dl(df.to_dict("records")).tensors
        assert torch.equal(whole[1], rows[1]) and torch.equal(dls.blocks[1].encode(dls.blocks[1].open(df.iloc[3])), whole[1][3])
    with pytest.raises(DataError, match=r"'sold' holds durations.*total_seconds"):
        load(table(sold=df["wait"]))


@pytest.mark.parametrize("wrong", [pd.Timestamp("2024-01-01"), pd.Timedelta(5), np.timedelta64(5, "s"), pd.Period("2024-01"), 1j])
def test_what_is_no_number_is_named_with_row_and_column(wrong):
    dls, _ = load()
    rows = table().head(3).astype({"size": object})
    rows.loc[2, "size"] = wrong
    with pytest.raises(DataError, match=r"Column 'size' .* no number: .*row 2"):
        dls.test_dl(rows)
    with pytest.raises(DataError, match=r"Row 2: Column 'size' got .* no number"):
        dls.test_dl(rows.to_dict("records"))


def test_decimal_numbers_are_numbers_as_inputs_and_as_the_target():
    cents = [Decimal(i * 7 % 1000) / 100 for i in range(N)]
    dls, _ = load(table(price=cents))
    plain, _ = load(table(price=[float(c) for c in cents]))
    assert "price" in dls.cont_names and [b.config() for b in dls.blocks] == [b.config() for b in plain.blocks]
    assert load(table(price=cents), y_names="price")[0].target_blocks[0].kind == "number"
    assert load(table(sold=[Decimal(i % 2) for i in range(N)]))[0].vocab == [0, 1]
