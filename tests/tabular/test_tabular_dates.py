"""Dates, read in one way by everything that reads them: texts of any precision, with and without offsets, and time zones kept apart."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta, timezone

import numpy as np
import pandas as pd
import pytest

from burnish.data.config import from_config
from burnish.data.moments import read_moments
from burnish.data.notes import captured_notes
from burnish.data.split import TimeSplitter
from burnish.errors import DataError
from burnish.tabular.dataloaders import TabularDataLoaders
from burnish.tabular.dates import DateCategory, DateNumber, add_datepart, looks_like_dates
from burnish.tabular.learner import tabular_learner
from burnish.train.export import load_learner

N = 120
SUMMER = ["2024-03-30T12:00:00+01:00", "2024-04-01T12:00:00+02:00", None, "2024-01-01T00:30:00Z"]
CELLS = {  # cells, what they are in UTC or by their own clock, which are in a zone
    "days and times": (["2024-01-01", "2024-01-01 12:00", None], ["2024-01-01", "2024-01-01 12:00", None], 0),
    "offsets": (SUMMER, ["2024-03-30 11:00", "2024-04-01 10:00", None, "2024-01-01 00:30"], 3),
    "without dashes": (["20240331T1800-0500", "20240101T00Z"], ["2024-03-31 23:00", "2024-01-01"], 2),
    "blanks": ([" 2024-01-01 ", "2024-01-02"], ["2024-01-01", "2024-01-02"], 0),
    "objects": (
        [date(2024, 1, 1), datetime(2024, 1, 1, 5), np.datetime64("2024-01-02"), "2024-01-03"],
        ["2024-01-01", "2024-01-01 05:00", "2024-01-02", "2024-01-03"],
        0,
    ),
    "several zones": ([pd.Timestamp("2024-07-01", tz=zone) for zone in ("Europe/Berlin", "UTC")], ["2024-06-30 22:00", "2024-07-01"], 2),
}


@pytest.mark.parametrize("case", CELLS)
def test_all_that_holds_dates_is_read_in_one_way(case):
    cells, expected, zoned = CELLS[case]
    found = read_moments(pd.Series(cells, dtype=object))
    assert [str(a) for a in found.utc] == [str(a) for a in pd.to_datetime(pd.Series(expected), format="ISO8601")]
    assert not found.wrong.any() and found.zoned.sum() == zoned and found.zone == ("UTC" if zoned else None)


@pytest.mark.parametrize("cell", ["now", "today", "03/04/2024", "31.12.2024", 20240331, 3.5, True, "2024-13-01", pd.Timedelta(5), 1j])
def test_what_could_be_meant_otherwise_is_no_date(cell):
    for cells in ([cell], [cell, "2024-01-01"], [cell, "2024-01-01T00:00+01:00"]):
        assert read_moments(pd.Series(cells, dtype=object)).wrong.tolist() == [True, False][: len(cells)]
        assert not looks_like_dates(pd.Series(cells, dtype=object))


def table(**columns) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame({"x": rng.normal(size=N), "y": rng.choice(["a", "b"], N), **columns})


def load(df, **settings) -> TabularDataLoaders:
    with captured_notes():
        return TabularDataLoaders.from_df(df, **{"y_names": "y", "seed": 0, **settings})


def test_texts_of_different_precision_are_dates_and_their_order_is_found():
    hours = pd.date_range("2024-01-01", periods=N, freq="12h")
    texts = [f"{t:%Y-%m-%d}" if t.hour == 0 else f"{t:%Y-%m-%d %H:%M}" for t in hours]
    dls = load(table(when=texts))
    assert "whenHour" in dls.cat_names and "time_leak" in set(dls.check().issues["kind"])
    assert load(table(when=texts), splitter=TimeSplitter("when")).table["split"].tolist() == ["train"] * 96 + ["valid"] * 24


def test_texts_with_offsets_are_moments_everywhere(tmp_path):
    hours = pd.date_range("2024-03-01", periods=N, freq="11h", tz="Europe/Berlin")
    texts = [t.isoformat() for t in hours]
    df = table(when=texts)
    assert {t[-6:] for t in texts} == {"+01:00", "+02:00"}
    dls, of_utc = load(df), load(table(when=hours.tz_convert("UTC")))
    assert [b.config() for b in dls.blocks] == [b.config() for b in of_utc.blocks]
    df.to_csv(tmp_path / "t.csv", index=False)
    with captured_notes():
        assert "whenElapsed" in TabularDataLoaders.from_csv(tmp_path / "t.csv", y_names="y").cont_names
    whole, rows = dls.test_dl(df).tensors, dls.test_dl(df.head(20).to_dict("records")).tensors
    assert all((a[:20] == b).all() for a, b in zip(whole, rows, strict=True))
    parts = add_datepart(df.copy(), "when", time=True)
    assert parts["whenHour"].tolist() == hours.tz_convert("UTC").hour.tolist()
    assert parts["whenElapsed"].tolist() == [t.timestamp() for t in hours]
    split = load(df, splitter=TimeSplitter("when")).table["split"]
    assert split.tolist() == ["train"] * 96 + ["valid"] * 24


@pytest.mark.parametrize("part", ["Hour", "Day", "Elapsed", "Hour_sin", "Dayofyear_cos"])
@pytest.mark.parametrize("zone", ["Europe/Berlin", "UTC", timezone(timedelta(hours=-3))])
def test_equal_moments_are_equal_whatever_zone_they_come_in(part, zone):
    seen = pd.Series(pd.date_range("2024-03-28", periods=200, freq="5h", tz=zone))
    feature = DateCategory("c", part) if part in ("Hour", "Day") else DateNumber("c", part)
    feature.learn(seen)
    feature = from_config(json.loads(json.dumps(feature.config())))
    expected = feature.of_column(seen)
    for other in ("UTC", "Asia/Tokyo", "Europe/Berlin"):
        same = seen.dt.tz_convert(other)
        assert np.array_equal(feature.of_column(same), expected)
        assert [feature.of_cell(cell) for cell in same[:5]] == pytest.approx(expected[:5])
    assert np.array_equal(feature.of_column(seen.dt.tz_convert("UTC").map(lambda t: t.isoformat())), expected)


def test_the_parts_are_of_the_zones_own_clock_and_elapsed_is_of_the_moment():
    seen = pd.Series(pd.to_datetime(["2024-07-01 23:00", "2024-07-02 01:00"]).tz_localize("Europe/Berlin"))
    hour = DateCategory("c", "Hour")
    hour.learn(seen)
    assert hour.classes == ["#na#", 1, 23] and hour.said(hour.of_cell("2024-07-01T21:00Z")) == 23
    elapsed = DateNumber("c", "Elapsed")
    elapsed.learn(seen)
    assert elapsed.numbers(seen).tolist() == [t.timestamp() for t in seen]
    df = pd.DataFrame({"c": seen})
    assert add_datepart(df, "c", time=True)["cElapsed"].tolist() == [t.timestamp() for t in seen] and df["cHour"].tolist() == [23, 1]


@pytest.mark.parametrize("make", [lambda: DateCategory("c", "Hour"), lambda: DateNumber("c", "Elapsed")])
def test_dates_with_and_without_a_zone_are_never_mixed(make):
    plain = pd.Series(pd.date_range("2024-01-01", periods=5, freq="5h"))
    zoned = plain.dt.tz_localize("Europe/Berlin")
    for seen, other, said in (
        (plain, zoned, "training had dates without"),
        (zoned, plain, r"training had dates with one \(Europe/Berlin\)"),
    ):
        feature = make()
        feature.learn(seen)
        with pytest.raises(DataError, match=rf"Column 'c' has 5 cell.*row 0.*{said}"):
            feature.of_column(other)
        with pytest.raises(DataError, match=said):
            feature.of_cell(other.iloc[0])
    both = ["2024-01-01", "2024-01-01T12:00+01:00"]
    with pytest.raises(DataError, match=r"row 1\) with a time zone.*row 0\) without.*utc=True"):
        make().learn(pd.Series(both))
    with pytest.raises(DataError, match="can't be put in one order"):
        TimeSplitter(both * 5)(range(10))


def test_a_model_file_knows_the_zone(tmp_path):
    df = table(when=pd.date_range("2024-03-28", periods=N, freq="5h", tz="Europe/Berlin"))
    with captured_notes():
        learn = tabular_learner(load(df), arch="mlp", seed=0)
        loaded = load_learner(learn.export(tmp_path / "m.burnish"))
        same = df.assign(when=df["when"].dt.tz_convert("UTC"))
        assert (loaded.get_preds(dl=loaded.dls.test_dl(same)).preds == learn.get_preds(dl=learn.dls.test_dl(df)).preds).all()
        with pytest.raises(DataError, match="without a time zone"):
            loaded.predict(df.assign(when=df["when"].dt.tz_localize(None)).iloc[0])
