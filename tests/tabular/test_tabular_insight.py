"""What a model of a table has learned is what was put into the table."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from test_tabular_learner import people
from torch import nn

from burnish.data.notes import captured_notes
from burnish.errors import DataError, SettingError
from burnish.evaluate.interpret import Interpretation
from burnish.evaluate.summary import assess
from burnish.tabular.dataloaders import TabularDataLoaders
from burnish.tabular.insight import places_of
from burnish.tabular.learner import TabularLearner, tabular_learner
from burnish.tabular.procs import Categorify, Dates, FillMissing, Normalize, TabularProc
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


# -- values, dates, several targets -----------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def mixed():
    """A learner of a class and a number, of which the one follows from the hours and the other from the job."""
    df = people(300).assign(rich=lambda d: np.where(d["hours"] > 40, "yes", "no"), pay=lambda d: (d["job"] == "pilot") * 100.0 + d["hours"])
    with captured_notes():
        dls = TabularDataLoaders.from_df(df, cat_names="job", cont_names=["hours", "age"], y_names=["rich", "pay"], seed=1)
        made = tabular_learner(dls, seed=1)
        made.fit_one_cycle(6)
    return made


def untrained(df, **settings):
    with captured_notes():
        return tabular_learner(TabularDataLoaders.from_df(df, **{"seed": 1, **settings}), seed=1)


def test_a_number_with_gaps_is_shown_at_its_quantiles_with_the_rows_nearest_to_each():
    df = people(400)  # ages have gaps
    learn = untrained(df, cat_names="job", cont_names=["age", "hours"], y_names="rich")
    table, ages = learn.partial_dependence("age", n=5), df["age"].iloc[learn.dls.train.rows].dropna()
    assert (table["age"].iloc[0], table["age"].iloc[-1]) == (ages.min(), ages.max()) and len(table) == 5
    assert table["count"].tolist() == np.bincount(np.abs(ages.to_numpy()[:, None] - table["age"].to_numpy()).argmin(1)).tolist()
    assert table["count"].iloc[0] > 5


@pytest.mark.parametrize("texts", [True, False])
def test_dates_are_shown_over_all_their_time_in_order(texts):
    days = pd.Series(pd.date_range("2019-12-28", periods=300, freq="31h"))
    df = people(300).assign(when=days.astype(str) if texts else days).sample(frac=1, random_state=0, ignore_index=True)
    learn = untrained(df, y_names="rich", cat_names="job", cont_names="hours", procs=[Categorify, Normalize, Dates("when")])
    table, train = learn.partial_dependence("when", n=6), df["when"].iloc[learn.dls.train.rows]
    assert table["when"].is_monotonic_increasing and (table["when"].iloc[0], table["when"].iloc[-1]) == (train.min(), train.max())
    assert len(table) == 6 and table["count"].sum() == len(train)
    learn.plot_dependence("when", n=6)
    low, high = plt.gca().get_xlim()
    assert high - low > 380  # days on an axis of dates


def test_categories_are_the_most_frequent_in_their_order():
    df = people(300).assign(town=np.repeat(["d", "a", "c", "b"], [10, 90, 120, 80]))
    df["town"] = df["town"].astype(pd.CategoricalDtype(["c", "b", "a", "d", "never"]))
    learn = untrained(df, y_names="rich", cat_names=["job", "town"], cont_names="hours")
    table = learn.partial_dependence("town", n=3)
    assert table["town"].tolist() == ["c", "b", "a"]
    assert table["count"].tolist() == df["town"].iloc[learn.dls.train.rows].value_counts()[["c", "b", "a"]].tolist()


class Hours(nn.Module):
    """Answers with the hours that it is given, whatever the job."""

    def forward(self, x_cat, x_cont):
        return x_cont[:, :1]


def test_the_middle_80_percent_of_the_rows_is_shown():
    dls = untrained(people(300), y_names="pay", cat_names="job", cont_names=["hours"]).dls
    given = dls.valid.in_order().tensors[1][torch.from_numpy(dls.valid.rows), 0].double()
    row = TabularLearner(dls, Hours(), loss_func=nn.L1Loss(), seed=1).partial_dependence("job").iloc[0]
    assert [row["low"], row["high"]] == pytest.approx(np.quantile(given, [0.1, 0.9]).tolist(), abs=1e-5)
    assert row["prediction"] == pytest.approx(float(given.mean()), abs=1e-5)


def test_one_of_several_targets_is_asked_for(mixed):
    for ask in (mixed.partial_dependence, mixed.plot_dependence):
        with pytest.raises(SettingError, match="predicts 'rich', 'pay': say which one to look at, target='rich'"):
            ask("hours")
    rich, pay = (mixed.partial_dependence("hours", n=5, target=target) for target in ("rich", "pay"))
    assert rich["prediction"].between(0, 1).all() and rich["prediction"].iloc[-1] > rich["prediction"].iloc[0] + 0.3
    assert pay["prediction"].min() > 20 and rich.attrs == {"target": "rich", "label": "yes"} and pay.attrs["target"] == "pay"
    mixed.plot_dependence(["job", "hours"], n=3, target="rich", label="no")
    assert plt.gcf().axes[0].get_ylabel() == "probability of rich 'no'"
    with pytest.raises(SettingError, match=r"target='riches' is none of the targets: 'rich', 'pay'.*Did you mean: rich"):
        mixed.partial_dependence("hours", target="riches")
    with pytest.raises(SettingError, match="label='yes' would be a class, and 'pay' is predicted as a number"):
        mixed.explain_row(people().iloc[0], target="pay", label="yes")


def test_a_row_is_explained_for_one_of_several_targets(mixed):
    row = people().iloc[0].to_dict() | {"job": "pilot", "hours": 30.0}
    pay, rich = (mixed.explain_row(row, target=target) for target in ("pay", "rich"))
    label, _, probs = mixed.predict(row)
    assert pay["column"].iloc[0] == "job" and pay.attrs["prediction"] == pytest.approx(label[1], rel=1e-4)
    assert rich["column"].iloc[0] == "hours" and rich.attrs["label"] == label[0] == "no"
    assert rich.attrs["prediction"] == pytest.approx(float(probs[0][0]), abs=1e-5)
    with pytest.raises(SettingError, match="target="):
        mixed.explain_row(row)


def test_several_numbers_are_told_one_at_a_time():
    learn = untrained(people(200).assign(twice=lambda d: d["pay"] * 2), y_names=["pay", "twice"], cat_names="job", cont_names="hours")
    means = [learn.partial_dependence("job", target=target)["prediction"].mean() for target in ("pay", "twice")]
    assert means[1] == pytest.approx(2 * means[0], rel=0.01)
    preds = learn.get_preds().preds
    assert means == pytest.approx(preds.mean(0).tolist(), rel=0.05)


class Sum(TabularProc):
    """A column made of others."""

    def apply(self, frame):
        return frame.assign(both=frame["age"].fillna(0) + frame["hours"])


def test_a_table_of_one_row_is_explained_with_the_values_of_the_users_own_columns():
    df = people(200)
    learn = untrained(df, y_names="rich", cat_names="job", cont_names=["both", "hours"], procs=[Categorify, FillMissing, Normalize, Sum()])
    by_table, by_row = learn.explain_row(df.iloc[[3]]), learn.explain_row(df.iloc[3])
    pd.testing.assert_frame_equal(by_table, by_row)
    values = by_table.set_index("column")["value"]
    assert values["both"] == pytest.approx(np.nan_to_num(df["age"].iloc[3]) + df["hours"].iloc[3]) and values["job"] == df["job"].iloc[3]
    assert by_table.attrs["label"] == learn.predict(df.iloc[3]).label


def test_what_judges_one_target_says_what_judges_several(mixed):
    for judge in (assess, Interpretation.from_learner):
        with pytest.raises(DataError, match=r"2 targets.*learn.validate\(\)"):
            judge(mixed)


# -- importance, of networks whose answers are known ------------------------------------------------------------------------
def test_a_column_that_the_answers_do_not_rest_on_has_no_importance():
    dls = untrained(people(200), y_names="pay", cat_names="job", cont_names=["hours"]).dls
    learn = TabularLearner(dls, Hours(), loss_func=nn.L1Loss(), seed=1)
    table = learn.feature_importance().set_index("column")["importance"]
    assert table["job"] == 0 and table["hours"] != 0 and learn.validate()[0] > 1


def test_all_that_is_made_of_a_column_is_shuffled_together():
    dls = untrained(people(200), y_names="rich", cat_names="job", cont_names=["age", "hours"]).dls
    assert len(places_of(dls)["age"]) == 2  # the number, and whether it was missing

    class Age(nn.Module):
        """Rests on the number and not on whether it was missing, or the other way round."""

        def __init__(self, number):
            super().__init__()
            self.number = number

        def forward(self, x_cat, x_cont):
            x = x_cont[:, 0] if self.number else (x_cat[:, 1] - 1).float()
            return torch.stack([x, -x], 1) * 3

    for number in (True, False):
        table = TabularLearner(dls, Age(number), seed=1).feature_importance().set_index("column")["importance"]
        assert abs(table["age"]) > 0.001 and table["job"] == table["hours"] == 0
