"""Texts that are meant as numbers or dates are converted where nothing is lost by it, and told of where something would be; codes stay codes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from burnish.data.category import CategoryBlock
from burnish.data.notes import captured_notes
from burnish.data.number import RegressionBlock
from burnish.errors import DataError
from burnish.tabular.dataloaders import TabularDataLoaders
from burnish.tabular.learner import tabular_learner
from burnish.tabular.looks import look_of
from burnish.tabular.roles import cont_cat_split
from burnish.train.export import load_learner

N = 200
RNG = np.random.default_rng(0)
AMOUNTS = RNG.integers(-5000, 900_000, N) / 100
DAYS = pd.date_range("2020-12-01", periods=N, freq="3D")
LOOKS = {  # cells -> kind, words of what is said and advised
    "numbers": ([f"{v:.2f}" for v in AMOUNTS], "numbers", "numbers written as text"),
    "whole numbers": ([str(v) for v in RNG.integers(1, 90_000, N)], "numbers", "numbers written as text"),
    "numbers beside texts": ([v if i % 2 else str(v) for i, v in enumerate(AMOUNTS)], "numbers", "numbers written as text"),
    "decimal comma": ([f"{v:.1f}".replace(".", ",") for v in AMOUNTS], "written", r"decimal comma.*decimal=','"),
    "points and a comma": ([f"{v * 1000:,.2f}".translate(str.maketrans(",.", ".,")) for v in AMOUNTS], "written", "decimal comma"),
    "thousands": ([f"{v * 10:,.0f}" for v in AMOUNTS], "written", r"commas between thousands.*thousands=','"),
    "percent": ([f"{v:.1f} %" for v in AMOUNTS], "written", r"percentages.*rstrip"),
    "currency": ([f"${v:,.2f}" for v in AMOUNTS], "written", r"amounts with a currency.*str.replace"),
    "currency behind": ([f"{v:.0f} EUR" for v in AMOUNTS], "written", "amounts with a currency"),
    "a few others": (["?", "n/a", *[f"{v:.1f}" for v in AMOUNTS[2:]]], "written", r"looks like numbers, but 2 of 200 cells aren't: '\?' .row 0.*errors='coerce'"),
    "blanks": ([" ", *[f"{v:.1f}" for v in AMOUNTS[1:]]], "written", r"1 of 200 cells aren't: ' ' .row 0"),
    "days first": ([f"{d:%d.%m.%Y}" for d in DAYS], "dates", r"looks like dates.*dayfirst=True\)"),
    "months first": ([f"{d:%m/%d/%Y %H:%M}" for d in DAYS], "dates", "dayfirst=False"),
    "either first": ([f"{d:%d/%m/%y}" for d in pd.date_range("2020-01-01", periods=N) if d.day < 12], "dates", "could be either"),
    "years first": ([f"{d:%Y/%m/%d}" for d in DAYS], "dates", r"pd.to_datetime\(df\['c'\]\)"),
    "nearly ISO": (["unknown", *[f"{d:%Y-%m-%d}" for d in DAYS[1:]]], "dates", r"1 of 200 cells aren't: 'unknown' .row 0.*coerce"),
    "codes by their length": ([str(v) for v in RNG.integers(10_000, 99_999, N)], "codes", r"look like codes.*cont_names=\[..., 'c'\]"),
}  # fmt: skip
PLAIN = {
    "zip codes": [f"{v:05d}" for v in RNG.integers(100, 99_999, N)],
    "codes with letters": [*[f"{v:04d}" for v in range(190)], *["A12"] * 10],
    "words": [f"word {i}" for i in range(N)],
    "few": [f"{i % 10}.5" for i in range(N)],
    "few percents": [f"{i % 4 * 10}%" for i in range(N)],
    "ISO dates": [f"{d:%Y-%m-%d}" for d in DAYS],
    "no dates": [f"{i % 60}.{i % 50}.2020" for i in range(N)],
    "half of them": [str(i * 7) if i % 2 else f"x{i}" for i in range(N)],
    "missing": [None] * N,
    "numbers as such": list(AMOUNTS),
    "lists": [[1]] * N,
    "truth values beside": [True, *["1.5", "2.5"] * 90],
}


@pytest.mark.parametrize("dtype", ["object", "str"])
@pytest.mark.parametrize("case", LOOKS)
def test_what_texts_look_like_is_seen(case, dtype):
    import re

    cells, kind, said = LOOKS[case]
    if dtype == "str" and not all(isinstance(c, str) for c in cells):
        pytest.skip("no column of texts alone")
    look = look_of(pd.Series([*cells, None], dtype=dtype, name="c"))
    assert look is not None and look.kind == kind and re.search(said, f"{look.said} {look.advice}"), look


@pytest.mark.parametrize("case", PLAIN)
def test_what_is_meant_as_it_is_stays(case):
    assert look_of(pd.Series(PLAIN[case], name="c")) is None


def test_categories_of_pandas_are_what_they_are_called():
    assert look_of(pd.Series(LOOKS["numbers"][0], name="c", dtype="category")) is None


def table(**columns) -> pd.DataFrame:
    return pd.DataFrame({"x": RNG.normal(size=N), "y": RNG.choice(["a", "b"], N), **columns})


def load(df, **settings) -> tuple[TabularDataLoaders, str]:
    with captured_notes() as notes:
        dls = TabularDataLoaders.from_df(df, **{"y_names": "y", "seed": 0, **settings})
    return dls, " ".join(notes)


def test_numbers_in_texts_are_numbers_exactly_and_stay_so(tmp_path):
    df = table(price=LOOKS["numbers"][0], both=LOOKS["numbers beside texts"][0])
    dls, said = load(df)
    plain, _ = load(df.assign(price=AMOUNTS, both=AMOUNTS))
    assert dls.cont_names == ["x", "price", "both"] and "'price' has numbers written as text" in said and "cat_names" in said
    assert [b.config() for b in dls.blocks] == [b.config() for b in plain.blocks] and cont_cat_split(df, dep_var="y")[0] == dls.cont_names
    assert all((a == b).all() for a, b in zip(dls.prepared.tensors, plain.prepared.tensors, strict=True))
    assert not {"numbers_as_text"} & set(dls.check().issues["kind"])
    with captured_notes():
        loaded = load_learner(tabular_learner(dls, arch="mlp", seed=0).export(tmp_path / "m.burnish"))
    assert (loaded.predict(df.iloc[0])[2] == loaded.predict(df.assign(price=AMOUNTS).iloc[0])[2]).all()
    with pytest.raises(DataError, match=r"'price' .*'\?' .row 0.*to_numeric"):
        loaded.dls.test_dl(df.assign(price="?"))
    assert "price" in load(df, cat_names=["price"], cont_names=["x"])[0].cat_names


@pytest.mark.parametrize("case", [case for case in LOOKS if LOOKS[case][1] in ("written", "dates")])
def test_what_looks_like_something_else_is_said_and_found(case):
    cells = LOOKS[case][0] * (N // len(LOOKS[case][0]) + 1)
    df = table(c=cells[:N])
    split = (list(range(150)), list(range(150, N)))
    dls, said = load(df, splitter=split)
    assert "'c' looks like" in said and "Convert it first: " in said
    kind = "dates_as_text" if LOOKS[case][1] == "dates" else "numbers_as_text"
    assert kind in set(dls.check().issues["kind"])
    assert "'c' looks like" in load(df, splitter=split, cat_names=["c"], cont_names=["x"])[1]


def test_codes_stay_categories():
    dls, said = load(table(zip=PLAIN["zip codes"], place=[str(10_000 + i % 50) for i in range(N)], shop_id=[str(i % 90) for i in range(N)]))
    assert {"place", "shop_id"} <= set(dls.cat_names) and dls.cont_names == ["x"]
    assert "'place' has whole numbers as texts, which look like codes" in said and "'zip' has numbers" not in said


@pytest.mark.parametrize("case", LOOKS)
def test_texts_as_the_target_are_numbers_or_told_of(case):
    cells = LOOKS[case][0] * (N // len(LOOKS[case][0]) + 1)
    df, kind = table(y=cells[:N]), LOOKS[case][1]
    with captured_notes() as notes:
        try:
            dls = TabularDataLoaders.from_df(df, y_names="y", valid_idx=range(0, N, 3))
        except DataError as error:  # most classes are on one side only, or kinds are mixed
            assert kind != "numbers" and "label" in str(error)
        else:
            assert isinstance(dls.target_blocks[0], RegressionBlock if kind == "numbers" else CategoryBlock)
    if kind == "numbers":
        assert "taken as a number" in " ".join(notes) and dls.target_blocks[0].encode_all(df["y"].tolist()).dtype.is_floating_point
    elif kind != "codes":
        assert "The target 'y' looks like" in " ".join(notes) and "convert it first" in " ".join(notes)


def test_few_numbers_in_texts_are_classes():
    assert load(table(y=[str(i % 2) for i in range(N)]))[0].vocab == ["0", "1"]


def test_columns_of_several_kinds_are_named():
    df = table(mixed=[1, "a", 2.5, True] * (N // 4), flags=[True, 0, 1, None] * (N // 4))
    for settings in ({}, {"cat_names": ["mixed", "flags"]}):
        dls, said = load(df, **settings)
        assert "'mixed' has numbers (1, row " in said and "beside texts ('a', row" in said and "'flags' has " in said
        assert dls.classes["mixed"][1:] == ["1", "2.5", "True", "a"] and dls.classes["flags"][1:] == ["0", "1", "True"]
        cells = [{"mixed": 1, "flags": True, "x": 0.0}, {"mixed": True, "flags": 1, "x": 0.0}]
        assert (dls.test_dl(cells).tensors[0] == dls.test_dl(pd.DataFrame(cells)).tensors[0]).all()


# -- columns that count the rows --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("Unnamed: 0", np.arange(N)),
        ("PassengerId", np.arange(1, N + 1)),
        ("rownames", np.arange(1, N + 1, dtype="uint8")),
        ("any", np.arange(N)),
        ("row", pd.array(np.arange(N), dtype="Int64")),
        ("PassengerId", np.arange(892, 892 + N)),
    ],
)
def test_what_only_counts_the_rows_is_left_out(name, values):
    df = table(**{name: values})
    dls, said = load(df)
    assert dls.cont_names == ["x"] and f"{name!r} only counts the rows" in said
    assert load(df, cont_names=["x", name])[0].cont_names == ["x", name]
    assert len(dls.test_dl(df)) == 1


@pytest.mark.parametrize(
    "values",
    [
        1950 + np.arange(N),
        np.arange(N) * 2,
        np.arange(N)[::-1].copy(),
        np.r_[np.arange(N - 100), np.arange(N - 100, N) + 1],
        np.repeat(np.arange(N // 2), 2),
        np.arange(N) + 0.5,
    ],
)
def test_what_counts_otherwise_is_a_number(values):
    assert "year" in load(table(year=values))[0].cont_names


def test_ids_that_are_another_number_in_every_row_are_told_of():
    dls, said = load(table(customer_id=RNG.permutation(N) * 3 + 1000))
    assert "customer_id" in dls.cont_names and "'customer_id': another whole number in every row" in said
