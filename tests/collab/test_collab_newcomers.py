"""Somebody new, known by a few ratings or by what they did: on real ratings that helps."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import realdata
import torch
from test_collab import loaders, ratings, views
from test_collab_ranking import done, drawn

from burnish.collab.dataloaders import CollabDataLoaders
from burnish.collab.learner import collab_learner
from burnish.data.notes import captured_notes
from burnish.data.split import GroupSplitter
from burnish.errors import DataError, SettingError


@pytest.mark.slow
@pytest.mark.data("movielens_100k")
def test_knowing_ratings_of_a_new_user_helps():
    scores, _ = realdata.movielens_100k()
    with captured_notes():
        dls = CollabDataLoaders.from_df(
            scores,
            user_name="user_id",
            item_name="item_id",
            rating_name="rating",
            splitter=GroupSplitter("user_id", seed=1),
            seed=0,
            bs=256,
        )
        learn = collab_learner(dls, n_factors=30, seed=0)
        learn.fit_one_cycle(5, 5e-3)
    errors = {n: [] for n in (0, 1, 5, 20)}
    with captured_notes():
        nobody = learn.recommend("nobody", k=2000, exclude_seen=False).set_index("item")["rating"]  # the same for all who are unknown
    for user, theirs in dls.prepared.valid.items.groupby("user_id"):
        theirs = theirs[theirs["item_id"].isin(dls.classes["item_id"][1:])].sample(frac=1, random_state=int(user))
        if len(theirs) < 30 or int(user) % 3:  # every third one tells enough
            continue
        given, judged = theirs.iloc[:20], theirs.iloc[20:].set_index("item_id")["rating"]
        for n in errors:
            known = given.head(n).set_index("item_id")["rating"]
            found = learn.recommend(ratings=known, k=2000, exclude_seen=False).set_index("item")["rating"] if n else nobody
            errors[n] += ((found[judged.index] - judged) ** 2).tolist()
    unknown, one, five, twenty = (float(np.mean(e)) ** 0.5 for e in errors.values())
    assert one < unknown + 0.002 and five < unknown - 0.01 and twenty < unknown - 0.06, (unknown, one, five, twenty)


def test_without_a_hint_a_new_user_is_an_average_one():
    learn = drawn(loaders())
    with torch.no_grad():
        learn.model.u_weight.weight[:] = learn.model.u_weight.weight * 0.3 + 1.5
    film = learn.dls.classes["film"][1]
    model = learn.model
    users = torch.cat([model.u_weight.weight, model.u_bias.weight], 1).detach()[1:-1].mean(0)
    films = learn.dls.classes["film"][1:]
    average = model.final((model.weight(films) @ users[:-1] + users[-1] + model.bias(films))[:, None])[:, 0]
    own = float(average[films.index(film)].detach())
    table = learn.recommend(ratings={film: own}, k=60, exclude_seen=False).set_index("item")["rating"]
    assert table[films].tolist() == pytest.approx(average.tolist(), abs=0.02), "who rates as an average user does is one"


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({}, SettingError, "expected items with their ratings"),
        ([("film 1", 5)], SettingError, "a dict such as"),
        (5, SettingError, "a dict such as"),
        ({"film 1": "good"}, DataError, "no number"),
        (pd.Series([5, 4], index=["film 1", "film 1"]), DataError, "an item twice: 'film 1'"),
    ],
)
def test_ratings_that_are_none_say_what_is_expected(given, error, said):
    with pytest.raises(error, match=said):
        drawn(loaders()).recommend(ratings=given)


def test_a_series_of_ratings_is_a_dict_of_them():
    learn = drawn(loaders())
    assert learn.recommend(ratings=pd.Series({"film 1": 5, "film 2": 1})).equals(learn.recommend(ratings={"film 1": 5, "film 2": 1}))


def test_recommending_is_for_one_user_at_a_time():
    learn = drawn(loaders())
    for several in (["u1", "u2"], np.array(["u1"]), pd.Series(["u1"]), ("u1",)):
        with pytest.raises(SettingError, match="one user at a time"):
            learn.recommend(several)


def test_what_a_new_user_did_tells_what_they_would_do():
    with captured_notes():
        dls = CollabDataLoaders.from_df(views(), implicit=True, seed=1, bs=64)
        learn = collab_learner(dls, n_factors=8, seed=1)
        learn.fit_one_cycle(15, 2e-2)
    for parity in (0, 1):
        given = [f"film {i}" for i in range(parity, 12, 2)]
        table = learn.recommend(done=given, k=8)
        assert list(table) == ["item", "score"] and not set(table["item"]) & set(given)
        assert sum(int(item.split()[1]) % 2 == parity for item in table["item"]) >= 7
    with captured_notes() as notes:
        learn.recommend("nobody")
    assert "recommend(done=[...])" in " ".join(notes)
    for wrong, said in (({"ratings": {"film 1": 5}}, r"recommend\(done="), ({"done": []}, "names no item")):
        with pytest.raises(SettingError, match=said):
            learn.recommend(**wrong)
    with pytest.raises(SettingError, match=r"recommend\(ratings="):
        drawn(loaders()).recommend(done=["film 1"])
    with pytest.raises(DataError, match="no such item"):
        learn.recommend(done=["film 999"])


# -- what was done is shown and reported ----------------------------------------------------------------------------------------
def test_what_was_done_is_shown_predicted_and_reported(tmp_path, capsys):
    from burnish.deploy.report import write_report
    from burnish.evaluate.interpret import Interpretation

    learn = drawn(done(), path=tmp_path)
    with captured_notes():
        learn.fit_one_cycle(1)
    (pair, was), _ = learn.dls.train.decode_batch(learn.dls.train.one_batch(), 2)
    assert list(pair) == ["user", "film"] and was == 1
    preds, targs = learn.get_preds()
    assert preds.shape == targs.shape == (len(learn.dls.valid.rows),)
    row = learn.dls.prepared.valid.items.iloc[0]
    assert learn.predict(row[["user", "film"]].to_dict()).label == pytest.approx(float(preds[0]), abs=1e-5)
    worst = Interpretation.from_learner(learn).top_losses(5)
    assert worst[0].shape == (5,)
    capsys.readouterr()
    learn.show_results(max_n=4)
    assert "done_pred" in capsys.readouterr().out
    page = write_report(learn, "report.html").read_text()
    assert "The most wrong" in page


# -- settings -----------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"n_factors": -1}, "n_factors=-1"),
        ({"n_factors": 0}, "n_factors=0"),
        ({"n_factors": 2.5}, "n_factors=2.5"),
        ({"n_factors": "8"}, "n_factors='8'"),
        ({"y_range": "x"}, "y_range='x'"),
        ({"y_range": (5, 1)}, "high above low"),
        ({"use_nn": True, "layers": 16}, "layers=16"),
        ({"use_nn": True, "layers": ["a"]}, "layers=\\['a'\\]"),
        ({"use_nn": True, "layers": [0]}, "layers=\\[0\\]"),
    ],
)
def test_settings_that_cannot_work_say_so(settings, said):
    with pytest.raises(SettingError, match=said):
        collab_learner(loaders(), **settings)


def test_no_hidden_layers_are_none():
    learn = collab_learner(loaders(), use_nn=True, layers=[], seed=1)
    assert sum(isinstance(m, torch.nn.Linear) for m in learn.model.modules()) == 1
    assert torch.isfinite(learn.model(learn.dls.one_batch()[0].cpu())).all()


def test_a_range_that_ratings_lie_outside_of_is_said():
    with captured_notes() as notes:
        collab_learner(loaders(), y_range=(2, 3))
    assert "training rows have a target outside of y_range=(2, 3)" in " ".join(notes)


# -- the scale ----------------------------------------------------------------------------------------------------------------
def test_ratings_of_many_levels_are_said_to_have_no_range():
    df = ratings().assign(stars=lambda d: np.random.default_rng(0).integers(0, 101, len(d)))
    with captured_notes() as notes:
        CollabDataLoaders.from_df(df, seed=1)
    assert "101 different values from 0 to 100" in " ".join(notes) and "y_range=(0, 100)" in " ".join(notes)


@pytest.mark.parametrize(("odd", "said"), [(99, "2 of them are 99, far from the next, 5"), (-9, "2 of them are -9, far from the next, 1")])
def test_a_rating_far_from_all_others_is_said(odd, said):
    df = ratings()
    df.loc[:1, "stars"] = odd
    with captured_notes() as notes:
        CollabDataLoaders.from_df(df, splitter=lambda items: (np.arange(1000), np.arange(1000, len(df))), seed=1)
    assert said in " ".join(notes)
    with captured_notes() as notes:
        CollabDataLoaders.from_df(ratings(), seed=1)
    assert "far from" not in " ".join(notes)


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_three_ratings_are_compared_without_warnings():
    df = pd.DataFrame({"user": ["a", "b", "a", "c"], "film": ["x", "y", "z", "x"], "stars": [1, 2, 3, 1]})
    learn = collab_learner(loaders(df), seed=1)
    with captured_notes():
        assert len(learn.baselines(metrics="rmse")) == 5
