"""Features: a column's cells as codes and numbers; one by one and all together alike, and told when they are new."""

from __future__ import annotations

import datetime
import json
import math
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from burnish.data.config import from_config
from burnish.errors import DataError
from burnish.tabular.dates import DateCategory, DateNumber
from burnish.tabular.features import CategoryFeature, MissingFeature, NumberFeature

WHEN = ["2024-02-29", "2023-12-31 23:30", None, "2024-06-01T12:00:00"]
FEATURES = {  # a feature, training cells, new cells
    "text": (lambda: CategoryFeature("c"), ["b", "a", "b"], ["a", "new", None, "b"]),
    "text with gaps": (lambda: CategoryFeature("c"), ["b", None, "a"], ["a", None, "z"]),
    "whole numbers": (lambda: CategoryFeature("c"), [3, 1, 2], [1, 9, 3]),
    "long ids": (lambda: CategoryFeature("c"), [2**60 + 1, 2**60 + 2], [2**60 + 2, 2**60 + 1, 2**60 + 3]),
    "truth values": (lambda: CategoryFeature("c"), [True, False, True], [False, True, True]),
    "mixed": (lambda: CategoryFeature("c"), ["1", 2, 3.0, "x"], [1, "2", "3", "x", 4]),
    "was it missing": (lambda: MissingFeature("c"), [1.0, None], [None, 2.0]),
    "numbers": (lambda: NumberFeature("c", fill=2.0, mean=1.0, std=2.0), [1.0, 3.0], [5.0, None, -1.0]),
    "month": (lambda: DateCategory("c", "Month"), WHEN, WHEN[::-1]),
    "week": (lambda: DateCategory("c", "Week"), WHEN, WHEN[::-1]),
    "hour": (lambda: DateCategory("c", "Hour"), WHEN, WHEN[::-1]),
    "elapsed": (lambda: DateNumber("c", "Elapsed", fill=0.0), WHEN, WHEN[::-1]),
    "through the year": (lambda: DateNumber("c", "Dayofyear_sin", fill=0.0), WHEN, WHEN[::-1]),
}


@pytest.fixture(params=sorted(FEATURES))
def case(request):
    make, seen, new = FEATURES[request.param]
    feature = make()
    feature.learn(pd.Series(seen, name="c"))
    return feature, pd.Series(seen, name="c"), pd.Series(new, name="c")


def test_a_column_is_what_its_cells_are(case):
    feature, seen, new = case
    for column in (seen, new):
        assert feature.of_column(column) == pytest.approx([feature.of_cell(cell) for cell in column], rel=1e-6)


def test_it_survives_a_model_file(case):
    feature, _, new = case
    again = from_config(json.loads(json.dumps(feature.config())))
    assert np.array_equal(again.of_column(new), feature.of_column(new)) and again.config() == feature.config()


def test_what_the_training_rows_hold_is_no_surprise(case):
    feature, seen, _ = case
    assert feature.surprise(seen, feature.of_column(seen)) is None


def test_codes_are_missing_then_the_classes_sorted_then_unknown():
    feature = CategoryFeature("c")
    feature.learn(pd.Series(["b", None, "a"]))
    assert feature.classes == ["#na#", "a", "b"] and feature.rows == 4
    assert [feature.of_cell(c) for c in (None, "a", "b", "z")] == [0, 1, 2, 3]
    assert [feature.said(c) for c in range(4)] == ["#na#", "a", "b", "#unknown#"]


def test_a_missing_cell_where_training_had_none_is_unknown_and_counted():
    feature = CategoryFeature("c")
    feature.learn(pd.Series(["b", "a"]))
    new = pd.Series(["a", None, "q", "q", "r"])
    made = feature.of_column(new)
    assert made.tolist() == [1, 3, 3, 3, 3] == [feature.of_cell(c) for c in new]
    said = feature.surprise(new, made)
    assert "3 cell(s) with categories unknown from training ('q', 'r')" in said and "1 missing cell(s)" in said


def test_codes_of_pandas_are_never_taken_at_their_word():
    feature = CategoryFeature("c")
    feature.learn(pd.Series(["a", "b", "c"], dtype="category"))
    other = pd.Series(["c", "a"], dtype=pd.CategoricalDtype(["c", "a"]))
    assert [feature.said(v) for v in feature.of_column(other)] == ["c", "a"]


def test_an_order_of_pandas_own_is_kept_for_what_training_has():
    feature = CategoryFeature("c")
    feature.learn(pd.Series(["low", "high"], dtype=pd.CategoricalDtype(["low", "middle", "high"], ordered=True)))
    assert feature.classes == ["#na#", "low", "high"]


@pytest.mark.parametrize("dtype", ["object", "str", "string", "category"])
def test_texts_are_the_same_in_every_dtype(dtype):
    feature = CategoryFeature("c")
    feature.learn(pd.Series(["b", None, "a"], dtype=dtype))
    assert feature.classes == ["#na#", "a", "b"] and feature.of_column(pd.Series(["a", None], dtype=dtype)).tolist() == [1, 0]


@pytest.mark.parametrize("dtype", ["int8", "int64", "uint64", "float32", "Int64", "Float64", "object", "category"])
def test_numbers_are_the_same_in_every_dtype(dtype):
    feature = CategoryFeature("c")
    feature.learn(pd.Series([3, 1, 2], dtype=dtype))
    assert feature.values == "number" and feature.classes[1:] == [1, 2, 3]
    assert feature.of_column(pd.Series([1, 3])).tolist() == [1, 3] == feature.of_column(pd.Series([1.0, 3.0], dtype=dtype)).tolist()
    number = NumberFeature("c")
    assert number.of_column(pd.Series([3, 1], dtype=dtype)).tolist() == [3.0, 1.0]


@pytest.mark.parametrize(
    ("dtype", "missing"), [("Int64", pd.NA), ("Float64", pd.NA), ("float64", math.nan), ("object", None), ("boolean", pd.NA)]
)
def test_missing_numbers_are_filled_in_every_dtype(dtype, missing):
    assert NumberFeature("c", fill=7.0).of_column(pd.Series([1, missing], dtype=dtype)).tolist() == [1.0, 7.0]


def test_texts_that_read_exactly_as_numbers_are_taken_and_others_named():
    feature = NumberFeature("c")
    assert feature.of_column(pd.Series(["1.5", "2"])).tolist() == [1.5, 2.0]
    with pytest.raises(DataError, match=r"Column 'c' has 1 cell.s. that are no number: 'cheap' .row 1."):
        feature.of_column(pd.Series(["1.5", "cheap"]))
    with pytest.raises(DataError, match="Column 'c' got 'cheap'"):
        feature.of_cell("cheap")


def test_infinite_numbers_are_named():
    with pytest.raises(DataError, match=r"1 infinite number.*rows 1"):
        NumberFeature("c").of_column(pd.Series([1.0, np.inf]))
    with pytest.raises(DataError, match="finite"):
        NumberFeature("c").of_cell(math.inf)


def test_missing_numbers_without_anything_to_put_in_their_place_are_an_error():
    with pytest.raises(DataError, match="FillMissing"):
        NumberFeature("c").of_column(pd.Series([1.0, None]))
    with pytest.raises(DataError, match="FillMissing"):
        NumberFeature("c").of_cell(None)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_elapsed_is_in_seconds_whatever_unit_pandas_stores(unit):
    column = pd.Series(pd.to_datetime(["2020-01-01"])).astype(f"datetime64[{unit}]")
    assert DateNumber("c", "Elapsed").numbers(column).tolist() == [1577836800.0]


def test_dates_with_a_zone_count_by_their_own_clock():
    column = pd.Series(pd.to_datetime(["2024-01-01 23:00"]).tz_localize("Europe/Berlin"))
    feature = DateCategory("c", "Hour")
    feature.learn(column)
    assert feature.classes == ["#na#", 23]


def test_dates_that_can_be_read_in_two_ways_are_refused():
    with pytest.raises(DataError, match="dayfirst"):
        DateNumber("c", "Elapsed").numbers(pd.Series(["03/04/2024"]))
    with pytest.raises(DataError, match="no dates"):
        DateNumber("c", "Elapsed").numbers(pd.Series([20240304]))


# -- what is no number, and numbers of every kind -------------------------------------------------------------------------------
NO_NUMBERS = {
    "dates": pd.Series(pd.date_range("2024-01-01", periods=2)),
    "dates in a zone": pd.Series(pd.date_range("2024-01-01", periods=2, tz="UTC")),
    "dates as objects": pd.Series([pd.Timestamp("2024-01-01"), datetime.date(2024, 1, 2)], dtype=object),
    "numpy's dates": pd.Series([np.datetime64("2024-01-01", "ns"), np.datetime64(5, "us")], dtype=object),
    "durations": pd.Series(pd.to_timedelta([1, 2], unit="s")),
    "durations as objects": pd.Series([datetime.timedelta(1), 5.0], dtype=object),
    "numpy's durations": pd.Series([np.timedelta64(5, "s"), 1], dtype=object),
    "periods": pd.Series(pd.period_range("2024-01", periods=2, freq="M")),
    "complex numbers": pd.Series([1 + 0j, 2j]),
    "complex objects": pd.Series([np.complex128(1), 1], dtype=object),
    "categories of dates": pd.Series(pd.date_range("2024-01-01", periods=2)).astype("category"),
    "intervals": pd.Series(pd.interval_range(0, 2)),
    "lists": pd.Series([[1], [2]]),
    "texts": pd.Series(["cheap", "1_000"]),
    "words for no number": pd.Series(["nan", "n/a"]),
}


@pytest.mark.parametrize("case", NO_NUMBERS)
def test_what_is_no_number_is_refused_alike_in_a_column_and_alone(case):
    column = NO_NUMBERS[case]
    number, category = NumberFeature("c"), CategoryFeature("c")
    for feature in (number, category):
        feature.learn(pd.Series([1, 2, 3]))
        with pytest.raises(
            DataError, match=r"Column 'c' .*no (plain values|numbers?).*row 0|Column 'c' has cells that are no plain values"
        ):
            feature.of_column(column)
    with pytest.raises(DataError, match=r"Column 'c' got .*no (finite )?number"):
        number.of_cell(column.iloc[0])


def test_durations_are_seconds_in_a_column_and_alone():
    cells = [datetime.timedelta(minutes=1), pd.Timedelta(2, "s"), np.timedelta64(3, "s"), None]
    feature = NumberFeature("c", fill=0.0)
    feature.learn(pd.Series([*cells, pd.Timedelta(days=1)]))
    again = from_config(json.loads(json.dumps(feature.config())))
    for column in (pd.Series(cells), pd.Series(cells, dtype=object), pd.Series(cells).astype("category")):
        assert again.of_column(column).tolist() == [60.0, 2.0, 3.0, 0.0] == [again.of_cell(cell) for cell in cells]
    for other in (5, "1 days", pd.Timestamp("2024-01-01")):
        with pytest.raises(DataError, match=r"no duration: .*row 0"):
            again.of_column(pd.Series([other]))
        with pytest.raises(DataError, match="no duration"):
            again.of_cell(other)


@pytest.mark.parametrize("dtype", ["uint64", "UInt64", "object", "category"])
def test_large_whole_numbers_stay_positive(dtype):
    column, feature = pd.Series([2**63 + 5, 1], dtype=dtype), NumberFeature("c")
    assert feature.of_column(column).tolist() == [feature.of_cell(cell) for cell in column] == [float(2**63 + 5), 1.0]


@pytest.mark.parametrize("cells", [["1.50", "2", "0.1"], ["1.5", None], ["7"]])
def test_decimal_numbers_are_numbers(cells):
    column = pd.Series([None if c is None else Decimal(c) for c in cells], dtype=object)
    floats = [None if c is None else float(c) for c in cells]
    for feature in (NumberFeature("c", fill=0.0), CategoryFeature("c")):
        feature.learn(column)
        assert feature.of_column(column).tolist() == [feature.of_cell(c) for c in column] == [feature.of_cell(c) for c in floats]
    assert feature.classes[1:] == sorted(f for f in floats if f is not None)
    texts = CategoryFeature("c", ["#na#", "1.5", "2"], "text")
    assert texts.of_cell(Decimal("1.50")) == 1 and texts.of_column(pd.Series([Decimal("2.0"), "x"])).tolist() == [2, 3]


@pytest.mark.parametrize("dtype", ["int64", "Int64", "uint8", "float64", "object"])
def test_numbers_as_categories_of_pandas_may_have_gaps(dtype):
    column = pd.Series(pd.Categorical.from_codes([1, -1, 0], categories=pd.Index([1, 3], dtype=dtype)))
    assert NumberFeature("c", fill=9.0).of_column(column).tolist() == [3.0, 9.0, 1.0]


MIXED = [[1, "a", 2.5, None], [True, 0, 1], [1, True, "1", 1.0, "True"], [Decimal("1.5"), "x", 1], [np.float64(2), 2, True, "2"]]


@pytest.mark.parametrize("seen", MIXED, ids=str)
@pytest.mark.parametrize("new", [[1, True], [True, 1], [1.0, True, 1], [0, False, "0"], [True, "True"], [2.5, 1, None]], ids=str)
def test_the_code_of_a_cell_depends_on_it_alone(seen, new):
    feature = CategoryFeature("c")
    feature.learn(pd.Series(seen, dtype=object))
    assert feature.unknown not in feature.of_column(pd.Series(seen, dtype=object))
    for cells in (new, new[::-1], seen + new):
        assert feature.of_column(pd.Series(cells, dtype=object)).tolist() == [feature.of_cell(cell) for cell in cells]


def test_numbers_far_from_zero_stay_apart_without_a_scale():
    moments = 1.7e9 + np.arange(100.0)
    for feature in (NumberFeature("c"), DateNumber("c", "Elapsed")):
        column = pd.Series(moments) if type(feature) is NumberFeature else pd.Series(pd.to_datetime(moments, unit="s"))
        feature.learn(column)
        made = feature.of_column(column).astype(np.float32)
        assert np.diff(made).tolist() == [1.0] * 99 and feature.said(made[0]) == pytest.approx(1.7e9)
    feature = NumberFeature("c")
    feature.learn(pd.Series([1.5, 100.25, 3e6]))
    assert feature.mean == 0.0
