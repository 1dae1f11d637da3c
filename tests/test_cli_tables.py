"""The command line on tables and ratings."""

from __future__ import annotations

import inspect
import io
import json
import sys
from pathlib import Path

import pandas as pd
import pytest
from test_cli import burnish as cli

from burnish.collab.learner import collab_learner
from burnish.tabular.learner import ARCHITECTURES

sys.path.insert(0, str(Path(__file__).parent / "tabular"))
sys.path.insert(0, str(Path(__file__).parent / "collab"))
from test_collab import ratings
from test_tabular_learner import people


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("tables")
    people(300).to_csv(made / "people.csv", index=False)
    people(300).to_csv(made / "people.tsv", index=False, sep="\t")
    people(300).to_parquet(made / "people.parquet")
    people(300).to_feather(made / "people.ipc")
    return made


@pytest.fixture(scope="module")
def trained(folder):
    return cli(
        "train",
        "people.csv",
        "--target",
        "rich",
        "--epochs",
        4,
        "--test",
        0.2,
        "--categories",
        "job",
        "--numbers",
        "age, hours",
        cwd=folder,
    )


def test_training_tells_the_result_beside_other_models_and_writes_everything(trained, folder):
    assert trained.returncode == 0, trained.stderr
    for words in (
        "300 rows and 5 columns",
        "network (realmlp)",
        "gradient boosting",
        "on the test split",
        "burnish predict burnish-out/model.burnish",
    ):
        assert words in trained.stdout
    assert {p.name for p in (folder / "burnish-out").iterdir()} == {"report.html", "model.burnish", "loss.png", "importance.png"}
    page = (folder / "burnish-out/report.html").read_text()
    for heading in ("Other models on the same rows", "What the predictions rest on", "The most wrong", "Before you trust it"):
        assert heading in page


def test_a_number_is_reported_in_its_own_words_and_read_without_powers_of_ten(folder):
    people(300).assign(pay=lambda d: 41_000 + 900 * d["hours"]).to_csv(folder / "paid.csv", index=False)
    got = cli("train", "paid.csv", "--target", "pay", "--epochs", 4, "--out", "paid", cwd=folder)
    assert got.returncode == 0, got.stderr
    page, names = (folder / "paid/report.html").read_text(), [*people(3).columns.drop("pay")]
    assert "always answering the mean (" in page and not any(word in page for word in ("e+0", "cameras", "most frequent", "labelled"))
    assert "e+0" not in got.stdout + got.stderr and "shuffled among the rows" in page
    worst = page.split("<h2>The most wrong</h2>")[1]
    places = [worst.index(f">{column}</th>") for column in ("pay", "prediction", "loss", *names)]
    assert places == sorted(places)


@pytest.mark.parametrize("name", ["people.csv", "people.tsv", "people.parquet", "people.ipc"])
def test_rows_are_predicted_from_any_kind_of_file(trained, folder, name):
    got = cli("predict", "burnish-out/model.burnish", name, "--csv", cwd=folder)
    assert got.returncode == 0, got.stderr
    lines = got.stdout.splitlines()
    assert len(lines) == 301 and lines[0].endswith("rich_pred,rich_prob,p(no),p(yes)")


def test_predictions_as_json_and_on_screen(trained, folder):
    rows = json.loads(cli("predict", "burnish-out/model.burnish", "people.csv", "--json", cwd=folder).stdout)
    assert len(rows) == 300 and rows[0]["rich_pred"] in ("yes", "no") and 0.5 <= rows[0]["rich_prob"] <= 1
    got = cli("predict", "burnish-out/model.burnish", "people.csv", cwd=folder)
    assert "rich_pred" in got.stdout and "280 more rows" in got.stderr


def test_the_task_can_be_said(folder):
    df = people(200).assign(n=lambda d: d["age"].fillna(40).astype(int) % 3)
    df.to_csv(folder / "n.csv", index=False)
    got = cli("train", "n.csv", "--target", "n", "--epochs", 1, "--out", "as-class", cwd=folder)
    assert "taken as classes" in got.stderr and "--task number" in got.stderr and "accuracy" in got.stdout
    got = cli("train", "n.csv", "--target", "n", "--epochs", 1, "--task", "number", "--out", "as-number", cwd=folder)
    assert got.returncode == 0 and "rmse" in got.stdout


def test_ratings_are_trained_on(folder):
    ratings().to_csv(folder / "ratings.csv", index=False)
    got = cli("train", "ratings.csv", "--user", "user", "--item", "film", "--rating", "stars", "--epochs", 2, "--out", "films", cwd=folder)
    assert got.returncode == 0, got.stderr
    assert {p.name for p in (folder / "films").iterdir()} == {"report.html", "model.burnish", "loss.png", "items.png"}
    pd.DataFrame({"user": ["u1"], "film": ["film 1"]}).to_csv(folder / "pair.csv", index=False)
    assert "stars_pred" in cli("predict", "films/model.burnish", "pair.csv", cwd=folder).stdout


def test_rows_of_several_files_are_one_list_and_one_csv(trained, folder):
    people(5).to_csv(folder / "a.csv", index=False)
    people(4)[["rich", "hours", "job", "pay", "age"]].to_csv(folder / "b.csv", index=False)
    people(3).drop(columns="pay").to_csv(folder / "c.csv", index=False)
    rows = json.loads(cli("predict", "burnish-out/model.burnish", "a.csv", "b.csv", "--json", cwd=folder).stdout)
    assert len(rows) == 9 and all("rich_pred" in row for row in rows)
    got = cli("predict", "burnish-out/model.burnish", "a.csv", "b.csv", "--csv", cwd=folder)
    table = pd.read_csv(io.StringIO(got.stdout))
    assert len(table) == 9 and list(table)[:5] == list(people(1)) and table["job"].tolist() == [*people(5)["job"], *people(4)["job"]]
    for files in (("a.csv", "c.csv"), ("c.csv", "a.csv")):
        got = cli("predict", "burnish-out/model.burnish", *files, "--csv", cwd=folder)
        assert got.returncode == 2 and "differ in 'pay'" in got.stderr and not got.stdout


def test_columns_of_the_users_own_are_not_overwritten(trained, folder):
    people(5).assign(rich_pred="mine", rich_prob=7.0).to_csv(folder / "own.csv", index=False)
    got = cli("predict", "burnish-out/model.burnish", "own.csv", "--csv", cwd=folder)
    table = pd.read_csv(io.StringIO(got.stdout))
    assert (table["rich_pred"] == "mine").all() and (table["rich_prob"] == 7).all()
    assert set(table["rich_pred_2"]) <= {"yes", "no"} and table["rich_prob_2"].between(0.5, 1).all()
    assert "what is predicted is in 'rich_pred_2'" in got.stderr and "in 'rich_prob_2'" in got.stderr


@pytest.mark.parametrize(
    ("limit", "args"),
    [
        ("burnish.tabular.baselines.MOST_CELLS", ("people.csv", "--target", "rich")),
        ("burnish.collab.baselines.MOST_RATINGS", ("stars.csv", "--user", "user", "--item", "film", "--rating", "stars")),
    ],
)
def test_other_models_that_take_long_are_told_of_only(folder, monkeypatch, limit, args):
    ratings().to_csv(folder / "stars.csv", index=False)
    monkeypatch.setattr(limit, 10)
    got = cli("train", *args, "--epochs", 1, "--out", "alone", cwd=folder)
    assert got.returncode == 0, got.stderr
    assert got.stderr.count("other models are not fitted here: in Python learn.baselines() fits") == 1
    assert "on the validation rows" not in got.stdout
    assert "Other models on the same rows" not in (folder / "alone/report.html").read_text()


def test_the_help_tells_the_rates_that_are_used():
    help_ = " ".join(cli("train", "--help").stdout.split())
    rates = [ARCHITECTURES[name].lr for name in ("realmlp", "mlp")] + [inspect.signature(collab_learner).parameters["lr"].default]
    assert "{:g} for a table ({:g} of 'mlp'), {:g} for ratings".format(*rates) in help_


def test_showing_a_table_tells_its_columns_and_its_checks(folder):
    got = cli("show", "people.csv", "--target", "rich", cwd=folder)
    assert (
        got.returncode == 0
        and "job" in got.stdout
        and "Data check" in got.stdout
        and "burnish train people.csv --target rich" in got.stdout
    )


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("train", "people.csv"), "--target NAME. The table has: job, age, hours, pay, rich"),
        (("train", "people.csv", "--target", "ritch"), "Did you mean: rich"),
        (("train", "people.csv", "--target", "rich", "--size", 64), "--size: these are options of photographs"),
        (("train", "people.csv", "--target", "rich", "--task", "regression"), "--task 'regression'"),
        (("train", "people.csv", "--target", "rich", "--user", "job"), "give one or the other"),
        (
            ("train", "people.csv", "--user", "job", "--arch", "mlp", "--task", "auto"),
            "--arch, --task: a model of ratings has no such options",
        ),
        (("train", "people.csv", "--item", "job", "--rating", "pay", "--balance", "loss"), "--balance: a model of ratings"),
        (
            ("train", "people.csv", "--item", "job", "--categories", "job", "--numbers", "pay"),
            "--categories, --numbers: a model of ratings",
        ),
        (("train", "people.csv", "--target", "rich", "--group", "job", "--time", "age"), "--group and --time"),
        (("train", "peple.csv", "--target", "rich"), "Did you mean: people.csv"),
        (("train", ".", "--target", "rich"), "--target: these are options of a table"),
        (("predict", "burnish-out/model.burnish", "photo.jpg"), "predicts the rows of a table"),
    ],
)
def test_what_cannot_be_says_why(trained, folder, args, said):
    got = cli(*args, cwd=folder)
    assert got.returncode == 2 and said in got.stderr, got.stderr
