"""The command line on tables and ratings."""

from __future__ import annotations

import inspect
import io
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_cli import burnish as cli

from burnish.collab.learner import collab_learner
from burnish.tabular.learner import ARCHITECTURES
from burnish.train.export import load_learner

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


def test_ratings_with_titles_and_few_factors_and_their_map_in_the_report(folder):
    ratings().to_csv(folder / "ratings.csv", index=False)
    pd.DataFrame({"film": [f"film {i}" for i in range(40)], "title": [f"The {i}" for i in range(40)]}).to_csv(folder / "t.csv", index=False)
    columns = ("--user", "user", "--item", "film", "--rating", "stars")
    got = cli("train", "ratings.csv", *columns, "--titles", "t.csv", "--factors", 3, "--out", "few", cwd=folder)
    assert got.returncode == 0, got.stderr
    assert "batches of 64" in got.stdout and got.stdout.count("00:0") == 10, "ten epochs"
    learn = load_learner(folder / "few/model.burnish")
    assert learn.model.weight("film 1").shape == (1, 3) and learn.dls.titles["film 7"] == "The 7"
    page = (folder / "few/report.html").read_text()
    assert "A map of the items" in page and page.count("data:image/png;base64,") == 1
    got = cli("train", "people.csv", "--target", "rich", "--factors", 3, cwd=folder)
    assert got.returncode == 2 and "--factors: of ratings" in got.stderr


def test_a_network_that_another_model_beats_is_said_to_be_beaten(folder):
    rng = np.random.default_rng(0)
    user, film = rng.integers(0, 80, 4000), rng.integers(0, 60, 4000)
    stars = (3 + (user % 5 - 2) * 0.6 + (film % 5 - 2) * 0.6 + rng.normal(0, 0.2, 4000)).clip(1, 5)
    table = pd.DataFrame({"user": user, "film": film, "stars": stars.round(3)}).drop_duplicates(["user", "film"])
    table.to_csv(folder / "plain.csv", index=False)
    columns = ("--user", "user", "--item", "film", "--rating", "stars")
    got = cli("train", "plain.csv", *columns, "--epochs", 1, "--lr", 1e-6, "--out", "beaten", cwd=folder)
    assert got.returncode == 0, got.stderr
    said = " ".join(got.stdout.split())
    assert "Better than the network here: biases of users and items (rmse 0." in said or "here: matrix factorisation" in said
    assert "other models on the same ratings, rmse: biases of users and items" in got.stderr and "is clearly better here" in got.stderr
    got = cli("train", "ratings.csv", *columns, "--out", "good", cwd=folder)
    assert "Better than the network" not in got.stdout


def test_ratings_are_checked_before_training(folder):
    df = ratings()
    pd.concat([df, df.iloc[:200]]).to_csv(folder / "twice.csv", index=False)
    got = cli("show", "twice.csv", "--user", "user", "--item", "film", "--rating", "stars", cwd=folder)
    assert got.returncode == 0, got.stderr
    assert "have a user and a film that a training row has together" in got.stdout
    assert "burnish train twice.csv --user user --item film --rating stars" in got.stdout
    assert "To keep the last, in Python: df" in got.stderr
    got = cli("show", "twice.csv", "--user", "user", "--target", "film", cwd=folder)
    assert got.returncode == 2 and "one or the other" in got.stderr


def test_how_a_file_is_written_can_be_said(folder):
    written = people(300).assign(pay=lambda d: np.arange(len(d)) / 8)
    written.loc[0, "job"] = "Gärtner"
    written.to_csv(folder / "europe.csv", sep=";", decimal=",", encoding="cp1252", index=False)
    written.to_csv(folder / "tabs.txt", sep="\t", index=False)
    got = cli("train", "europe.csv", "--target", "rich", cwd=folder)
    assert got.returncode == 2 and "--encoding cp1252" in got.stderr and "from_csv" not in got.stderr
    got = cli("train", "europe.csv", "--target", "rich", "--encoding", "cp1252", cwd=folder)
    assert got.returncode == 2 and "between semicolons: --sep ';' --decimal ," in got.stderr and "from_csv" not in got.stderr
    got = cli("show", "tabs.txt", cwd=folder)
    assert got.returncode == 2 and "between tabs: --sep tab" in got.stderr
    for tab in ("tab", "\\t"):
        assert "300 rows and 5 columns" in cli("show", "tabs.txt", "--sep", tab, cwd=folder).stdout
    how = ("--sep", ";", "--decimal", ",", "--encoding", "cp1252")
    got = cli("show", "europe.csv", "--target", "rich", *how, cwd=folder)
    assert "float64" in got.stdout and "train europe.csv --target rich --sep ';' --encoding cp1252 --decimal ," in got.stdout
    got = cli("train", "europe.csv", "--target", "rich", "--epochs", 1, "--out", "europe", *how, cwd=folder)
    assert got.returncode == 0, got.stderr
    got = cli("predict", "europe/model.burnish", "europe.csv", "--csv", *how, cwd=folder)
    assert len(pd.read_csv(io.StringIO(got.stdout))) == 300


def test_a_column_of_a_table_says_what_validates(folder):
    frame = pd.read_csv(folder / "people.csv")
    frame.assign(side=["test" if i % 4 == 0 else "valid" if i % 4 == 1 else "train" for i in range(len(frame))]).to_csv(
        folder / "sides.csv", index=False
    )
    got = cli("show", "sides.csv", "--target", "rich", "--valid-col", "side", cwd=folder)
    assert got.returncode == 0 and "burnish train sides.csv --target rich --valid-col side" in got.stdout, got.stderr
    got = cli("train", "sides.csv", "--target", "rich", "--valid-col", "side", "--epochs", "1", "--out", "sides", cwd=folder)
    assert got.returncode == 0, got.stderr
    assert load_learner(folder / "sides" / "model.burnish").record["data"] == {"train": 150, "valid": 75, "test": 75}
    got = cli("train", "sides.csv", "--target", "rich", "--valid-col", "side", "--test", "0.1", cwd=folder)
    assert got.returncode == 2 and "--valid-col and --test were both given" in got.stderr


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("show", "people.parquet", "--sep", ";"), "--sep: 'people.parquet' is no CSV file"),
        (("show", "people.csv", "--encoding", "utf-9"), "--encoding 'utf-9': Python knows no such encoding"),
        (("show", "people.csv", "--decimal", ",,"), "--decimal ',,': expected one sign"),
        (("show", ".", "--sep", ";"), "--sep: these are options of a table"),
        (("train", "people.csv", "--user", "jop", "--item", "age", "--rating", "pay"), "--user, --item, --rating: the command names 'jop'"),
        (("train", "people.csv", "--user", "job", "--item", "job"), "Name all: --user, --item, --rating."),
        (("train", "people.csv", "--target", "ritch"), "--target names 'ritch'"),
        (("train", "people.csv", "--target", "rich", "--categories", "jop"), "--categories names 'jop'"),
    ],
)
def test_messages_name_options_of_the_command(trained, folder, args, said):
    got = cli(*args, cwd=folder)
    assert got.returncode == 2 and said in got.stderr, got.stderr


def test_a_column_called_like_an_argument_keeps_its_name(folder):
    ratings().rename(columns={"user": "user_name"}).to_csv(folder / "called.csv", index=False)
    got = cli("show", "called.csv", "--user", "user", "--item", "film", "--rating", "stars", cwd=folder)
    assert "It has: user_name, film, stars" in got.stderr


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
        (("train", ".", "--target", "rich"), "--target: these are options of a table that names pictures"),
        (("predict", "burnish-out/model.burnish", "photo.jpg"), "predicts the rows of a table"),
    ],
)
def test_what_cannot_be_says_why(trained, folder, args, said):
    got = cli(*args, cwd=folder)
    assert got.returncode == 2 and said in got.stderr, got.stderr
