"""What a model of a table has learned is what was put into the table."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from test_tabular_learner import people

from burnish.data.notes import captured_notes
from burnish.errors import DataError, SettingError
from burnish.tabular.dataloaders import TabularDataLoaders
from burnish.tabular.learner import tabular_learner
from burnish.train.export import load_learner


@pytest.fixture(scope="module", params=["pay", "rich"])
def learn(request):
    df = people(800).assign(noise=np.random.default_rng(9).normal(size=800))
    df["when"] = pd.date_range("2024-01-01", periods=len(df), freq="17h")
    with captured_notes():
        dls = TabularDataLoaders.from_df(df, cat_names="job", cont_names=["hours", "age", "noise"], y_names=request.param, seed=1)
    made = tabular_learner(dls, seed=1)
    with captured_notes():
        made.fit_one_cycle(8, 1e-2)
    return made


def test_the_columns_that_matter_are_found_in_their_order(learn):
    table = learn.feature_importance()
    assert table["column"].tolist()[:2] == ["job", "hours"] and set(table["column"]) == {"job", "hours", "age", "noise"}
    first, noise = table.iloc[0], table.set_index("column").loc["noise"]
    assert first["low"] > 0 and first["share"] > 0.5 and noise["share"] < 0.05 and noise["importance"] < first["importance"] / 10


def test_it_changes_nothing_and_repeats_itself(learn):
    before = learn.get_preds().preds.clone()
    first, second = learn.feature_importance(n=2, columns=["age"]), learn.feature_importance(n=2, columns=["age"])
    pd.testing.assert_frame_equal(first, second)
    assert (learn.get_preds().preds == before).all()


def test_dependence_follows_the_column(learn):
    by_job = learn.partial_dependence("job").set_index("job")["prediction"]
    assert by_job["pilot"] > by_job["nurse"] > by_job["cook"]
    hours = learn.partial_dependence("hours", n=8)
    assert (
        hours["prediction"].iloc[-1] == hours["prediction"].max() > hours["prediction"].iloc[0]
        and len(hours) == 8
        and hours["count"].sum() == len(learn.dls.train.rows)
    )
    assert (hours["low"] <= hours["high"]).all()


def test_contributions_add_up_to_the_prediction(learn):
    row = {"job": "pilot", "age": 40, "hours": 42.0, "noise": 0.0}
    table = learn.explain_row(row, n=100, label="yes" if learn.dls.target_blocks[0].kind == "category" else None)
    assert table["contribution"].sum() == pytest.approx(
        table.attrs["prediction"] - table.attrs["base"], abs=1e-3 * abs(table.attrs["prediction"])
    )
    assert table["column"].iloc[0] == "job" and table["contribution"].iloc[0] > 0 and table["value"].iloc[0] == "pilot"
    own = learn.predict(row).probs
    assert table.attrs["prediction"] == pytest.approx(float(own[-1] if own.ndim else own), rel=1e-4)


def test_they_are_drawn(learn):
    learn.plot_importance(n=1)
    assert [t.get_text() for t in plt.gca().get_yticklabels()][-1] == "job"
    learn.plot_dependence(["job", "hours"], n=5)
    assert [ax.get_title() for ax in plt.gcf().axes] == ["job", "hours"]


def test_a_loaded_model_explains_rows_when_it_has_data(learn, tmp_path):
    again = load_learner(learn.export(tmp_path / "m.burnish"))
    with pytest.raises((DataError, RuntimeError), match="data"):
        again.feature_importance()
    with pytest.raises(DataError, match="loaded from a file"):
        again.partial_dependence("job")


def test_unknown_columns_and_classes_are_named(learn):
    with pytest.raises(SettingError, match="hours"):
        learn.partial_dependence("hour")
    if learn.dls.target_blocks[0].kind == "category":
        with pytest.raises(SettingError, match="yes"):
            learn.explain_row(people().iloc[0].to_dict() | {"noise": 0.0}, label="Yes")
