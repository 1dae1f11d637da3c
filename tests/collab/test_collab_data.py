"""Ratings from files and prepared tables, the scale that training tells, and what a new user's ratings are worth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from test_collab import loaders, ratings

from burnish.collab.dataloaders import CollabDataLoaders, Ratings
from burnish.collab.learner import collab_learner
from burnish.data.notes import captured_notes
from burnish.data.number import RegressionBlock
from burnish.data.split import IndexSplitter
from burnish.errors import DataError, SettingError
from burnish.tabular.prepare import TabularPandas
from burnish.tabular.procs import Categorify
from burnish.train.export import load_learner


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet", "feather", "arrow"])
def test_ratings_from_a_file_are_those_of_the_table(tmp_path, ending):
    df, file = ratings(), tmp_path / f"ratings.{ending}"
    if ending in ("csv", "tsv"):
        df.to_csv(file, index=False, sep="\t" if ending == "tsv" else ",")
    elif ending == "parquet":
        df.to_parquet(file)
    else:
        df.to_feather(file, compression="uncompressed")
    with captured_notes() as notes:
        dls = CollabDataLoaders.from_file(file, 0.3, "user", "film", "stars", 5, bs=32, titles={"film 1": "One"})
    assert "Taken as users" not in " ".join(notes) and dls.titles == {"film 1": "One"} and dls.bs == 32
    same = loaders(df, valid_pct=0.3, seed=5, bs=32)
    for a, b in ((dls.train, same.train), (dls.valid, same.valid)):
        assert all(torch.equal(s, t) for x, y in zip(a, b, strict=True) for s, t in zip(x, y, strict=True))


def test_ratings_with_decimal_commas(tmp_path):
    df = ratings().assign(stars=lambda d: d["stars"] / 2)
    df.to_csv(tmp_path / "r.csv", index=False, sep=";", decimal=",")
    with captured_notes():
        dls = CollabDataLoaders.from_csv(tmp_path / "r.csv", seed=1, sep=";", decimal=",")
    assert dls.target_blocks[0].y_range == (0.25, 2.75)


def test_what_was_done_from_a_file(tmp_path):
    ratings()[["user", "film"]].to_parquet(tmp_path / "views.parquet")
    with captured_notes():
        dls = CollabDataLoaders.from_file(tmp_path / "views.parquet", implicit=True, seed=1)
    assert dls.one_batch()[0].shape == (64, 6)
    with pytest.raises(FileNotFoundError, match=r"views\.parquet"):
        CollabDataLoaders.from_file(tmp_path / "view.parquet")


def test_prepared_ratings_make_a_model_that_is_exported(tmp_path):
    to = Ratings(ratings(), [Categorify], ["user", "film"], None, "stars", RegressionBlock(y_range=(0.5, 5.5)), seed=1)
    with captured_notes():
        dls = CollabDataLoaders.from_prepared(to, seed=1)
    learn = collab_learner(dls, n_factors=4, seed=1)
    again = load_learner(learn.export(tmp_path / "m.burnish"))
    assert dls.titles == again.dls.titles == {} and list(again.recommend("u1", k=2)) == ["item", "rating"]


@pytest.mark.parametrize(
    ("kind", "names", "block", "said"),
    [
        (TabularPandas, ["user", "film"], RegressionBlock(), "got a TabularPandas"),
        (Ratings, ["user"], RegressionBlock(), "of the columns user"),
        (Ratings, ["user", "film"], None, r"target: category.*RegressionBlock\(\)"),
    ],
)
def test_a_prepared_table_of_something_else_is_refused(kind, names, block, said):
    with captured_notes():
        to = kind(ratings(), [Categorify], names, None, "stars", block, seed=1)
    with pytest.raises(SettingError, match=said):
        CollabDataLoaders.from_prepared(to)


def test_the_scale_is_the_training_ratings_and_others_outside_are_said(tmp_path):
    df = ratings()
    df.loc[:1, "stars"] = [9.0, -3.0]
    with captured_notes() as notes:
        dls = CollabDataLoaders.from_df(df, splitter=IndexSplitter(range(50)), seed=1)
    said = " ".join(notes)
    assert dls.target_blocks[0].y_range == (0.5, 5.5) and "5 steps from 1 to 5" in said
    assert "2 of 50 ratings of the valid split are outside" in said and "y_range=(0.5, 5.5)" in said
    assert sorted(dls.valid.one_batch()[1].tolist())[:: len(dls.valid.rows) - 1] == [-3.0, 9.0], "they judge as they are"
    again = load_learner(collab_learner(dls, n_factors=4, seed=1).export(tmp_path / "m.burnish"))
    assert again.dls.target_blocks[0].y_range == (0.5, 5.5)
    again.dls = again.dls.new(ratings())  # prepared alike
    with pytest.raises(DataError, match="outside of y_range"):
        again.dls.new(df, splitter=IndexSplitter(range(50, 100)))


def test_infinite_and_missing_ratings_outside_of_training_are_refused_still():
    df = ratings()
    df.loc[0, "stars"] = np.inf
    with pytest.raises(DataError, match="infinite"):
        loaders(df, splitter=IndexSplitter(range(50)))


def test_a_model_of_a_single_user_recommends_to_a_new_one():
    df = pd.DataFrame({"user": "u1", "film": [f"film {i}" for i in range(40)], "stars": np.arange(40) % 5 + 1.0})
    learn = collab_learner(loaders(df), n_factors=4, seed=1)
    learn.fit_one_cycle(2, 2e-2)
    film = learn.dls.classes["film"][1]
    table = learn.recommend(ratings={film: 5}, k=5)
    assert len(table) == 5 and np.isfinite(table["rating"]).all()


def test_a_new_users_vector_is_that_of_ridge_regression():
    df = ratings()
    df["stars"] += np.random.default_rng(0).normal(0, 0.1, len(df))  # no scale: the model is linear in the user's vector
    learn = collab_learner(loaders(df), n_factors=4, seed=1)
    learn.fit_one_cycle(5, 2e-2)
    model, block = learn.model, learn.dls.target_blocks[0]
    mean, std = block.mean[0], block.std[0]
    given = {"film 1": 5.0, "film 3": 4.5, "film 4": 1.0}
    users = torch.cat([model.u_weight.weight, model.u_bias.weight], 1).detach()[1:-1].double().numpy()
    films = learn.dls.classes["film"][1:]
    vectors = np.append(model.weight(films).double().numpy(), np.ones((len(films), 1)), 1)
    bias = model.bias(films).double().numpy()
    at = [films.index(film) for film in given]
    a, target = std * vectors[at], np.array(list(given.values())) - mean - std * bias[at]
    spread, share = np.cov(users.T), 5 / (len(users) + 5)
    precision = np.linalg.inv((1 - share) * spread + share * np.diag(np.diag(spread)))
    noise, mean_user = 0.5 * std**2, users.mean(0)
    own = np.linalg.solve(a.T @ a / noise + precision, a.T @ target / noise + precision @ mean_user)
    wanted = dict(zip(films, mean + std * (vectors @ own + bias), strict=True))
    table = learn.recommend(ratings=given, k=40, exclude_seen=False)
    assert table["rating"].tolist() == pytest.approx([wanted[film] for film in table["item"]], abs=5e-3)
