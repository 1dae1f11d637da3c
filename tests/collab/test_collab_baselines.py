"""Simpler models of ratings beside a count by hand; repeated pairs, many items, many ratings."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pandas as pd
import pytest
from test_collab import loaders, ratings

from burnish.collab import baselines
from burnish.collab.learner import collab_learner
from burnish.data.notes import captured_notes
from burnish.data.split import IndexSplitter


def test_a_pair_rated_three_times_alike_counts_as_rated_once_where_items_are_compared():
    df, found = ratings(), []
    for times in (1, 3):
        several = pd.concat([df, *[df.iloc[300:]] * (times - 1)], ignore_index=True)
        learn = collab_learner(loaders(several, splitter=IndexSplitter(range(300))), seed=1)
        found.append(learn.baselines(models=["neighbours", "factors"])["rmse"].iloc[1:].tolist())
    assert found[0] == pytest.approx(found[1], abs=1e-6)


def test_a_pair_rated_twice_has_the_mean_of_both():
    x, y = baselines._averaged(np.array([[2, 1], [1, 3], [2, 1], [1, 1]]), np.array([1.0, 2.0, 4.0, 5.0]))
    assert x.tolist() == [[2, 1], [1, 3], [1, 1]] and y.tolist() == [2.5, 2.0, 5.0]


def test_the_nearest_items_are_those_of_a_count_by_hand(monkeypatch):
    learn = collab_learner(loaders(), seed=1)
    (x, y), (judged, _) = (baselines.ratings_of(learn.dls, split) for split in ("train", "valid"))
    mean, users, items = baselines._fit_biases(x, y)
    table = np.full((len(users), len(items)), np.nan)
    table[x[:, 0], x[:, 1]] = y - mean - users[x[:, 0]] - items[x[:, 1]]
    left, there = np.nan_to_num(table), ~np.isnan(table)
    monkeypatch.setattr(baselines, "NEIGHBOURS", 5)
    wanted = []
    for user, item in judged:
        near = {}
        for other in np.flatnonzero(there[user]):
            if other != item:
                both = (there[:, item] & there[:, other]).sum()
                cosine = left[:, item] @ left[:, other] / np.linalg.norm(left[:, item]) / np.linalg.norm(left[:, other])
                near[other] = cosine * both / (both + 50)
        best = sorted(near, key=lambda o: -abs(near[o]))[:5]
        weight = sum(abs(near[o]) for o in best)
        wanted.append(mean + users[user] + items[item] + sum(near[o] * left[user, o] for o in best) / (weight + 0.5))
    for at_a_time in (2**21, 100):  # all items, or two
        monkeypatch.setattr(baselines, "_ALIKE", at_a_time)
        assert baselines._neighbours(x, y)(judged) == pytest.approx(np.array(wanted), abs=1e-9)


def test_many_items_take_little_memory():
    rng = np.random.default_rng(0)
    x = np.stack([rng.integers(0, 2000, 60_000), rng.integers(0, 20_000, 60_000)], 1)
    tracemalloc.start()
    made = baselines._neighbours(x, rng.normal(3, 1, 60_000))(x[:300])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.isfinite(made).all() and peak < 400e6  # all likenesses would be 3.2e9


def test_answers_stay_in_the_range_of_ratings():
    rng = np.random.default_rng(0)
    user, film = rng.integers(0, 30, 900), rng.integers(0, 20, 900)
    df = pd.DataFrame({"user": user, "film": film, "stars": (3 + (user % 5 - 2) * 1.2 + (film % 5 - 2) * 1.2).round().clip(1, 5)})
    learn = collab_learner(loaders(df, y_range=(1, 5)), seed=1)
    (x, y), (judged, rated) = (baselines.ratings_of(learn.dls, split) for split in ("train", "valid"))
    made = baselines._biases(x, y)(judged)
    clipped = np.sqrt(((made.clip(1, 5) - rated) ** 2).mean())
    assert np.sqrt(((made - rated) ** 2).mean()) > clipped + 0.01
    assert learn.baselines(models=["biases"])["rmse"].iloc[1] == pytest.approx(clipped, abs=1e-5)


@pytest.mark.parametrize("limit", ["MOST_RATINGS", "MOST_IDS"])
def test_where_they_take_long_they_are_fitted_when_asked_for(monkeypatch, limit):
    learn = collab_learner(loaders(), seed=1)
    assert len(learn.quick_baselines()) == 5
    monkeypatch.setattr(baselines, limit, 50)
    with captured_notes() as notes:
        assert learn.quick_baselines() is None
    assert "unasked: learn.baselines()" in " ".join(notes) and len(learn.baselines()) == 5
