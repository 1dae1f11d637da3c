"""How high what was done ranks, beside a count by hand; validation of what was done; the learner left as it was."""

from __future__ import annotations

import threading

import numpy as np
import pandas as pd
import pytest
import torch
from test_collab import loaders, ratings, views

from burnish.collab.dataloaders import CollabDataLoaders
from burnish.collab.learner import collab_learner
from burnish.data.notes import captured_notes
from burnish.data.number import SigmoidRange
from burnish.data.split import LastSplitter
from burnish.errors import DataError


def done(df=None, **settings):
    settings = {"splitter": LastSplitter("user", "when", 2, 2), "seed": 1, **settings}
    with captured_notes():
        return CollabDataLoaders.from_df(views() if df is None else df, implicit=True, **settings)


def drawn(dls, **settings):
    """A learner whose weights are drawn, so that its scores differ."""
    learn = collab_learner(dls, n_factors=6, seed=1, **settings)
    with torch.no_grad():
        for i, p in enumerate(learn.model.parameters()):
            p.normal_(generator=torch.Generator().manual_seed(i))
    return learn


def by_hand(learn, df, split, k):
    """hit_rate and ndcg, a row at a time."""
    side = learn.dls.table["split"]
    before = ["train", "valid"] if split == "test" else ["train"]
    items = [i for i in learn.dls.classes["film"] if i != "#na#"]
    hits, gains = [], []
    for user, film in df[(side == split).to_numpy()][["user", "film"]].itertuples(index=False):
        if user not in learn.dls.classes["user"] or film not in items:
            continue
        had = set(df[side.isin(before).to_numpy() & (df["user"] == user).to_numpy()]["film"])
        scores = {i: learn.predict({"user": user, "film": i}).label for i in items if i not in had or i == film}
        own = scores.pop(film)
        ahead = sum(s > own for s in scores.values()) + sum(s == own for s in scores.values()) / 2
        hits.append(ahead < k)
        gains.append(1 / np.log2(ahead + 2) if ahead < k else 0)
    return np.mean(hits), np.mean(gains), len(hits)


@pytest.mark.parametrize("split", ["valid", "test"])
def test_a_place_is_among_what_the_user_had_not_done_before(split):
    df = views().query("user in ['u1', 'u2', 'u3', 'u4', 'u5', 'u6', 'u7', 'u8']").reset_index(drop=True)
    learn = drawn(done(df))
    found = learn.ranking(split, k=20).iloc[0]
    assert (found["hit_rate"], found["ndcg"], found["n"]) == pytest.approx(by_hand(learn, df, split, 20))
    assert 0 < found["hit_rate"] < 1


def test_items_that_score_the_same_are_ahead_by_half():
    df = pd.DataFrame({"user": ["a"] * 3 + ["b"] * 9, "film": [f"f{i}" for i in (0, 1, 2, *range(9))]}).assign(when=lambda d: np.arange(12))
    learn = drawn(done(df, splitter=LastSplitter("user", "when", 1)))
    with torch.no_grad():
        for p in learn.model.parameters():
            p.zero_()
    assert len(learn.dls.valid.rows) == 2  # f2 among six that a had not done, and f8, which training doesn't have
    assert learn.ranking(k=2)["hit_rate"].iloc[0] == 0 and learn.ranking(k=3)["hit_rate"].iloc[0] == 1


def test_how_many_users_are_ranked_at_a_time_changes_nothing(monkeypatch):
    learn = drawn(done())
    whole = learn.ranking("test")
    monkeypatch.setattr("burnish.collab.implicit._SCORES", 100)  # two users at a time
    pd.testing.assert_frame_equal(learn.ranking("test"), whole)
    pairs = loaders()
    other = collab_learner(pairs, use_nn=True, seed=1)
    whole = other.ranking()
    monkeypatch.setattr("burnish.collab.scores._PAIRS", 7)
    pd.testing.assert_frame_equal(other.ranking(), whole)


# -- validation -----------------------------------------------------------------------------------------------------------


def test_the_validation_loss_depends_on_no_batch_size():
    losses = [drawn(done(val_bs=bs)).validate()["loss"] for bs in (None, 7, 50)]
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-6)


def test_other_items_in_validation_follow_from_seed_and_pair():
    dls, again = done(), done()
    x = torch.cat([b[0] for b in dls.valid])
    others, n = x[:, 2:], dls.features[1].unknown - 1
    assert len(torch.unique(others, dim=0)) > 0.9 * len(torch.unique(x[:, :2], dim=0))
    counts = torch.bincount(
        dls.valid.batch_tfms[-1]._of_pairs(torch.cartesian_prod(torch.arange(60), torch.arange(n)))[:, 1], minlength=n + 1
    )
    assert counts[0] == 0 and (counts[1:] - 60).abs().max() < 40  # as many of each item, but for chance (a spread of 8)
    assert torch.equal(others, torch.cat([b[0] for b in again.valid])[:, 2:])
    assert not torch.equal(others, torch.cat([b[0] for b in done(seed=2).valid])[:, 2:])


# -- the learner stays as it was ----------------------------------------------------------------------------------------------


def asked(learn, rated):
    return {
        "recommend": lambda: learn.recommend("u1"),
        "new": lambda: rated.recommend(ratings={"film 1": 5}),
        "similar": lambda: learn.similar("film 1"),
        "ranking": learn.ranking,
        "baselines": rated.baselines,
    }


@pytest.mark.parametrize("what", ["recommend", "new", "similar", "ranking", "baselines"])
def test_asking_leaves_a_model_in_its_mode_and_waits_for_its_turn(what):
    learn, rated = drawn(done()), drawn(loaders())
    ask = asked(learn, rated)[what]
    for model in (learn.model, rated.model):
        model.train()
    ask()
    assert all(m.training for made in (learn, rated) for m in made.model.modules())
    thread = threading.Thread(target=ask)
    with learn.turns, rated.turns:  # as in a fit
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()
    thread.join(30)
    assert not thread.is_alive()


def test_the_models_last_layer_is_not_moved_for_a_new_user():
    moved = []

    class Watched(SigmoidRange):
        def _apply(self, fn, recurse=True):
            moved.append(self)
            return super()._apply(fn, recurse)

    learn = drawn(loaders())
    learn.model.final = Watched(0.5, 5.5)
    learn.recommend(ratings={"film 1": 5})
    assert not any(m is learn.model.final for m in moved)


def test_nothing_to_rank_is_said():
    df = ratings()
    with captured_notes():
        dls = CollabDataLoaders.from_df(df, splitter=lambda items: (np.arange(100, len(df)), np.arange(100)), seed=1)
    learn = collab_learner(dls, seed=1)
    with pytest.raises(DataError, match="test"):
        learn.ranking("test")
