"""From a table of ratings to a model that answers to ids, and back from its file."""

from __future__ import annotations

import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import realdata
import torch

from burnish.collab.dataloaders import CollabDataLoaders
from burnish.collab.learner import collab_learner
from burnish.collab.models import EmbeddingDotBias, EmbeddingNN
from burnish.data.notes import captured_notes
from burnish.data.split import IndexSplitter, LastSplitter, TimeSplitter
from burnish.errors import DataError, SettingError
from burnish.evaluate.summary import assess
from burnish.train.export import load_learner


def ratings(n: int = 3000, seed: int = 0) -> pd.DataFrame:
    """Made ratings: two kinds of users like two kinds of films."""
    rng = np.random.default_rng(seed)
    user, film = rng.integers(0, 60, n), rng.integers(0, 40, n)
    liked = 3 + 1.4 * np.where(user % 2 == film % 2, 1, -1) + (film % 5 - 2) * 0.2 + rng.normal(0, 0.3, n)
    df = pd.DataFrame({"user": [f"u{u}" for u in user], "film": [f"film {f}" for f in film], "stars": liked.round().clip(1, 5)})
    return df.drop_duplicates(["user", "film"]).reset_index(drop=True)


def loaders(df=None, **settings) -> CollabDataLoaders:
    with captured_notes():
        return CollabDataLoaders.from_df(ratings() if df is None else df, **{"seed": 1, "bs": 64, **settings})


@pytest.fixture(scope="module")
def learn():
    made = collab_learner(loaders(), n_factors=8, seed=1)
    made.fit_one_cycle(8, 2e-2)
    return made


def test_a_batch_is_two_codes_and_a_rating():
    x, y = loaders().one_batch()
    assert (x.shape, x.dtype, y.shape, y.dtype) == ((64, 2), torch.int64, (64,), torch.float32)


def test_users_and_items_belong_on_every_side():
    df = ratings().rename(columns={"user": "user_id", "film": "item_id"})
    with captured_notes() as notes:
        dls = CollabDataLoaders.from_df(df, seed=1)
    assert "more than one side" not in " ".join(notes) and not dls.check()


def test_users_with_a_single_rating_are_said_where_it_judges():
    df = pd.concat([ratings(), pd.DataFrame({"user": ["once"], "film": ["film 1"], "stars": [3.0]})], ignore_index=True)
    with captured_notes() as notes:
        dls = CollabDataLoaders.from_df(df, splitter=IndexSplitter([0, 1, len(df) - 1]), seed=1)
    assert "Of 3 rows that judge, 1 has a user that no training row has" in " ".join(notes)
    assert "once" not in dls.classes["user"]


def test_what_was_taken_as_what_is_said():
    with captured_notes() as notes:
        dls = CollabDataLoaders.from_df(ratings(), seed=1)
    said = " ".join(notes)
    assert "users: user, items: film, ratings: stars" in said and "5 steps from 1 to 5: predictions stay in y_range=(0.5, 5.5)" in said
    assert (dls.user, dls.item, dls.target_blocks[0].y_range) == ("user", "film", (0.5, 5.5))


@pytest.mark.parametrize("use_nn", [False, True])
def test_it_learns_who_likes_what(use_nn, tmp_path):
    learn = collab_learner(loaders(), n_factors=8, use_nn=use_nn, seed=1)
    learn.fit_one_cycle(8, 2e-2)
    assert isinstance(learn.model, EmbeddingNN if use_nn else EmbeddingDotBias)
    found = assess(learn).set_index("metric")
    assert found.loc["rmse", "value"] < 0.65 < found.loc["rmse", "baseline"]
    again = load_learner(learn.export(tmp_path / "m.burnish"))
    pair = {"user": "u3", "film": "film 7"}
    assert again.predict(pair).label == pytest.approx(learn.predict(pair).label, abs=1e-6) and learn.predict(pair).label > 3.5


def test_it_answers_to_ids(learn, tmp_path):
    again = load_learner(learn.export(tmp_path / "m.burnish"))
    for made in (learn, again):
        bias = made.model.bias(["film 4", "film 0"], is_item=True)
        assert bias.shape == (2,) and bias.device.type == "cpu" and bias[0] > bias[1]
        assert made.model.weight(["u1", "u2", "u3"], is_item=False).shape == (3, 8)
    with pytest.raises(DataError, match=r"no such item.*film 4"):
        learn.model.bias(["film4"])


TITLES = {f"film {i}": f"The {i}" for i in range(40)}


@pytest.fixture(scope="module")
def titled():
    made = collab_learner(loaders(titles=TITLES), n_factors=8, seed=1)
    made.fit_one_cycle(8, 2e-2)
    return made


def test_what_is_recommended_was_not_seen_and_is_liked(titled):
    table = titled.recommend("u3", k=5)
    seen = set(ratings().query("user == 'u3'")["film"])
    assert len(table) == 5 and not set(table["item"]) & seen and table["rating"].is_monotonic_decreasing
    assert sum(int(item.split()[1]) % 2 == 1 for item in table["item"]) >= 4  # u3 likes the odd ones
    assert table["title"].tolist() == [TITLES[item] for item in table["item"]]
    everything = titled.recommend("u3", k=40, exclude_seen=False)
    assert len(everything) == 40 and everything["rating"].iloc[0] == pytest.approx(
        titled.predict({"user": "u3", "film": everything["item"].iloc[0]}).label, abs=1e-4
    )


def test_a_new_user_is_known_by_a_few_ratings_and_the_model_stays_as_it_is(titled):
    before = {k: v.clone() for k, v in titled.model.state_dict().items()}
    odd, even = ({f"film {i}": (5 if i % 2 == parity else 1) for i in range(8)} for parity in (1, 0))
    for given, parity in ((odd, 1), (even, 0)):
        table = titled.recommend(ratings=given, k=10)
        assert not set(table["item"]) & set(given)
        assert sum(int(item.split()[1]) % 2 == parity for item in table["item"]) >= 9
    assert all(torch.equal(v, before[k]) for k, v in titled.model.state_dict().items())
    with pytest.raises(DataError, match="outside of y_range"):
        titled.recommend(ratings={"film 1": 9})


def test_a_user_nobody_knows_gets_what_everybody_likes(titled):
    with captured_notes() as notes:
        table = titled.recommend("u300", k=8)
    assert "what everybody likes" in " ".join(notes) and "u30" in " ".join(notes)
    assert sum(int(item.split()[1]) % 5 >= 3 for item in table["item"]) >= 6  # these are better for both kinds of users


def test_what_is_like_what(titled):
    table = titled.similar("film 7", k=8)
    assert "film 7" not in table["item"].tolist() and table["similarity"].is_monotonic_decreasing
    assert sum(int(item.split()[1]) % 2 == 1 for item in table["item"]) >= 7


def test_a_loaded_model_recommends_with_its_titles(titled, tmp_path):
    again = load_learner(titled.export(tmp_path / "m.burnish"))
    with captured_notes() as notes:
        table = again.recommend("u3", k=3)
    assert "doesn't know what a user has rated" in " ".join(notes) and table["title"].str.startswith("The").all()
    assert again.similar("film 7")["item"].tolist() == titled.similar("film 7")["item"].tolist()


def test_a_map_of_the_items(titled):
    titled.plot_items(n=20)
    ax = plt.gca()
    assert len(ax.collections[0].get_offsets()) == 20 and 10 < len(ax.texts) <= 20 and ax.texts[0].get_text().startswith("The")
    boxes = [text.get_window_extent() for text in ax.texts]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_titles_from_a_table_and_missing_ones_said():
    table = pd.DataFrame({"id": list(TITLES)[:39], "name": list(TITLES.values())[:39]})
    with captured_notes() as notes:
        dls = CollabDataLoaders.from_df(ratings(), seed=1, titles=table)
    assert dls.titles["film 3"] == "The 3" and "1 of the 40 items have no title: film 39" in " ".join(notes)


def test_simpler_models_are_judged_on_the_same_ratings(titled):
    table = titled.baselines().set_index("model")["rmse"]
    assert table.index[0].startswith("network") and len(table) == 5
    assert table.iloc[0] == pytest.approx(assess(titled).set_index("metric").loc["rmse", "value"])
    mean, biases, near, factors = table.iloc[1:]
    assert factors < 0.7 and near < biases and mean > 1.2 and biases > 1  # the kinds of users are no biases
    with pytest.raises(SettingError, match="biases"):
        titled.baselines(models=["bias"])


def test_recommending_asks_for_one_user(titled):
    for wrong in ({}, {"user": "u1", "ratings": {"film 1": 3}}):
        with pytest.raises(SettingError, match="a user, or the ratings of a new one"):
            titled.recommend(**wrong)
    with pytest.raises(SettingError, match="use_nn"):
        collab_learner(loaders(), use_nn=True).similar("film 1")


def test_unknown_users_and_items_are_said(learn):
    with captured_notes() as notes:
        learn.dls.test_dl(pd.DataFrame({"user": ["u1", "new"], "film": ["film 1", "film 1"]}))
    assert "unknown from training ('new')" in " ".join(notes)


def test_a_model_made_of_classes_stands_alone():
    dls = loaders()
    model = EmbeddingDotBias.from_classes(5, dls.classes, y_range=(0, 6))
    x, _ = dls.one_batch()
    made = model(x.cpu()).detach()
    assert made.shape == (64,) and model.weight("film 3").shape == (1, 5) and 0 < float(made.min()) < float(made.max()) < 6


def test_ratings_that_are_no_scale_keep_their_units():
    df = ratings()
    df["stars"] = df["stars"] * 1000 + np.random.default_rng(0).normal(0, 1, len(df))
    dls = loaders(df)
    assert dls.target_blocks[0].y_range is None
    learn = collab_learner(dls, n_factors=8, seed=1)
    learn.fit_one_cycle(5, 2e-2)
    assert 300 < assess(learn).set_index("metric").loc["rmse", "value"] < 1000


def test_ids_as_numbers_with_a_fraction_are_the_same_ids():
    df = ratings().assign(user=lambda d: d["user"].str[1:].astype(int))
    learn = collab_learner(loaders(df), n_factors=4, seed=1)
    a, b = (learn.predict({"user": u, "film": "film 1"}).label for u in (3, 3.0))
    assert a == b and np.array_equal(learn.model.weight([3, 5], is_item=False), learn.model.weight(np.array([3, 5]), is_item=False))


def test_ratings_split_by_time():
    df = ratings().assign(when=lambda d: np.arange(len(d)))
    dls = loaders(df, splitter=TimeSplitter("when", 0.2))
    assert dls.prepared.train.items["when"].max() < dls.prepared.valid.items["when"].min()


@pytest.mark.parametrize(
    ("change", "settings", "said"),
    [
        (lambda d: d[["user", "film"]], {}, "three columns"),
        (lambda d: d, {"user_name": "usr"}, "user"),
        (lambda d: d, {"user_name": "film"}, "three columns"),
        (lambda d: d, {"y_range": (2, 4)}, r"outside of y_range=\(2, 4\)"),
        (lambda d: d.assign(stars=3.0), {}, "nothing to predict"),
        (lambda d: d.assign(stars="good"), {}, "no number"),
    ],
)
def test_ratings_that_cannot_be_used_say_why(change, settings, said):
    with pytest.raises(DataError, match=said):
        loaders(change(ratings()), **settings)


def test_a_pair_rated_twice_is_said():
    df = pd.concat([ratings(), ratings().iloc[:3].assign(stars=1.0)], ignore_index=True)
    with captured_notes() as notes:
        CollabDataLoaders.from_df(df, seed=1)
    assert "3 pairs of user and film have several ratings" in " ".join(notes)


def test_settings_of_the_other_network_are_refused():
    with pytest.raises(SettingError, match="use_nn=True"):
        collab_learner(loaders(), layers=[10])
    with pytest.raises(SettingError, match="CollabDataLoaders"):
        collab_learner(None)


@pytest.mark.data("movielens_100k")
def test_films_in_a_few_lines():
    scores, _ = realdata.movielens_100k()
    with captured_notes():
        dls = CollabDataLoaders.from_df(scores, user_name="user_id", item_name="item_id", rating_name="rating", seed=0, bs=512)
    learn = collab_learner(dls, n_factors=20, seed=0, wd=0.1)
    learn.fit_one_cycle(3, 1e-2)
    assert learn.results["valid"].set_index("metric").loc["rmse", "value"] < 0.96


# -- what was done, without ratings ---------------------------------------------------------------------------------------------


def views() -> pd.DataFrame:
    """Users see mostly films of their own kind."""
    df = ratings(6000)
    return df[df["stars"] >= 4][["user", "film"]].assign(when=lambda d: np.random.default_rng(1).permutation(len(d)))


@pytest.fixture(scope="module")
def ranked():
    with captured_notes():
        dls = CollabDataLoaders.from_df(views(), implicit=True, splitter=LastSplitter("user", "when", 2), seed=1, bs=64)
    made = collab_learner(dls, n_factors=8, seed=1)
    made.fit_one_cycle(20, 2e-2)
    return made


def test_what_was_done_ranks_above_what_was_not(ranked):
    table = ranked.ranking(k=10)
    assert "hit_rate" in str(table) and "ndcg" in str(table) and "..." not in str(table)  # whole, also in a narrow terminal
    table = table.set_index("model")
    assert table["hit_rate"].iloc[0] > table["hit_rate"].iloc[1] + 0.15 and table["ndcg"].iloc[0] > table["ndcg"].iloc[1]
    assert (table["n"] == len(ranked.dls.valid.rows)).all() and (table["hit_rate_low"] < table["hit_rate"]).all()
    assert float(ranked.validate()[0]) < math.log(2) - 0.1


def test_a_batch_has_other_items_beside_the_one_taken(ranked, capsys):
    x, y = ranked.dls.one_batch()
    assert x.shape == (64, 6) and (y == 1).all() and int(x[:, 2:].min()) >= 1 and int(x[:, 2:].max()) < ranked.dls.features[1].unknown
    assert all(torch.equal(a[0], b[0]) for a, b in zip(ranked.dls.valid, ranked.dls.valid, strict=True)), "in validation always the same"
    ranked.dls.show_batch(3)
    assert len(capsys.readouterr().out.splitlines()) == 4


def test_what_was_done_is_recommended_for(ranked, tmp_path):
    table = ranked.recommend("u3", k=5, exclude_seen=False)
    assert list(table) == ["item", "score"] and sum(int(item.split()[1]) % 2 == 1 for item in table["item"]) >= 4
    again = load_learner(ranked.export(tmp_path / "m.burnish"))
    with captured_notes():
        assert (
            again.recommend("u3", k=3, exclude_seen=False)["item"].tolist()
            == ranked.recommend("u3", k=3, exclude_seen=False)["item"].tolist()
        )
    assert again.predict({"user": "u3", "film": "film 7"}).label == pytest.approx(
        ranked.predict({"user": "u3", "film": "film 7"}).label, abs=1e-5
    )


def test_what_belongs_to_ratings_is_refused(ranked):
    for attempt in (ranked.baselines, lambda: ranked.recommend(ratings={"film 1": 3}), lambda: collab_learner(ranked.dls, use_nn=True)):
        with pytest.raises((SettingError, DataError), match=r"ratings|were done"):
            attempt()
    with pytest.raises(SettingError, match="without a rating"):
        CollabDataLoaders.from_df(ratings(), rating_name="stars", implicit=True)
