"""Ids: missing, unknown, written otherwise; titles; pairs that are there more than once."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from test_collab import loaders, ratings, views
from test_collab_ranking import done, drawn

from burnish.collab.dataloaders import CollabDataLoaders, Ratings
from burnish.collab.learner import collab_learner
from burnish.collab.models import EmbeddingDotBias
from burnish.data.notes import captured_notes
from burnish.data.number import RegressionBlock
from burnish.data.split import GroupSplitter, IndexSplitter, LastSplitter
from burnish.errors import DataError, SettingError
from burnish.tabular.procs import Categorify


def numbered() -> pd.DataFrame:
    return ratings().assign(user=lambda d: d["user"].str[1:].astype(int), film=lambda d: d["film"].str[5:].astype(int))


# -- missing ids ----------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("implicit", [False, True])
def test_rows_without_a_user_or_an_item_are_left_out_and_said(implicit):
    df = (views() if implicit else ratings()).reset_index(drop=True)
    df.loc[[3, 5], "user"] = None
    df.loc[7, "film"] = np.nan
    with captured_notes() as notes:
        dls = CollabDataLoaders.from_df(df, implicit=implicit, splitter=IndexSplitter(range(200, 300)), seed=1)
    said = " ".join(notes)
    assert f"2 of {len(df)} rows have no user: rows 3, 5. They are left out." in said
    assert f"1 of {len(df)} rows have no film: rows 7. They are left out." in said
    assert len(dls.table) == len(df) - 3 and sorted(dls.valid.rows) == list(range(197, 297))
    assert dls.prepared.valid.items["user"].tolist() == df["user"].iloc[200:300].tolist(), "positions are of the user's table"
    assert not (dls.prepared.tensors[0] == 0).any()
    with captured_notes() as notes:
        assert len(dls.new(df).table) == len(df) - 3
    assert "have no user" in " ".join(notes)


@pytest.mark.parametrize("splitter", [GroupSplitter("user", seed=1), LastSplitter("user")])
def test_rows_without_a_user_need_no_group(splitter):
    df = ratings()
    df.loc[[3, 5], "user"] = None
    dls, clean = loaders(df, splitter=splitter), loaders(df.dropna(), splitter=splitter)
    for side in ("train", "valid"):
        assert getattr(dls.prepared, side).items.reset_index(drop=True).equals(getattr(clean.prepared, side).items.reset_index(drop=True))


@pytest.mark.parametrize(
    ("change", "settings", "said"),
    [
        (lambda d: d[["user"]], {}, "needs two columns, users and items; the table has 1: user"),
        (lambda d: d, {"user_name": "film"}, r"must be two columns; they are 'film', 'film'. Name all: user_name=, item_name=\."),
        (lambda d: d[["user", "film"]], {"user_name": "usr"}, r"It has: user, film\."),
    ],
)
def test_columns_of_what_was_done_that_cannot_be_say_why(change, settings, said):
    with pytest.raises(DataError, match=said):
        loaders(change(views()), implicit=True, **settings)


def test_missing_ids_are_an_error_where_rows_are_not_to_be_left_out():
    df = ratings()
    df.loc[3, "user"] = None
    with pytest.raises(DataError, match=r"1 of \d+ rows have no user: rows 3"):
        Ratings(df, [Categorify], ["user", "film"], None, "stars", RegressionBlock(), missing_targets="raise", seed=1)
    with pytest.raises(DataError, match="have no film"):
        loaders(ratings().assign(film=None))


def test_a_missing_id_is_answered_as_an_unknown_one_and_said():
    learn = drawn(loaders())
    with captured_notes() as notes:
        answers = learn.predict([{"user": None, "film": "film 1"}, {"user": "nobody", "film": "film 1"}])
        table = pd.DataFrame({"user": [None, "u1"], "film": ["film 1", None]})
        learn.get_preds(dl=learn.dls.test_dl(table))
    assert answers[0].label == answers[1].label
    assert "'user' has 1 missing cell(s)" in " ".join(notes) and "'film' has 1 missing cell(s)" in " ".join(notes)


# -- one way to look an id up -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("df", [numbered(), numbered().astype({"user": str, "film": str})], ids=["numbers", "texts"])
@pytest.mark.parametrize("use_nn", [False, True])
def test_an_id_is_the_same_however_it_is_written(df, use_nn):
    learn = drawn(loaders(df)) if not use_nn else collab_learner(loaders(df), use_nn=True, seed=1)
    for same in (7, "7", 7.0, np.int64(7), np.float32(7)):
        assert torch.equal(learn.model.weight(same), learn.model.weight([7]))
        assert learn.predict({"user": same, "film": same}).label == learn.predict({"user": 7, "film": 7}).label
        assert learn.recommend(same, k=2).equals(learn.recommend(7, k=2))
        if not use_nn:
            assert torch.equal(learn.model.bias(same), learn.model.bias([7]))
            assert learn.similar(same, k=2).equals(learn.similar(7, k=2))
            new = learn.recommend(ratings={same: 5}, k=60)
            assert new.equals(learn.recommend(ratings={7: 5}, k=60)) and 7 not in new["item"].map(int).tolist()
    assert learn.model.weight([]).shape[0] == 0
    with pytest.raises(DataError, match="no such item"):
        learn.model.weight([7, None])


def test_the_network_with_layers_says_that_it_has_no_biases():
    learn = collab_learner(loaders(), use_nn=True, seed=1)
    with pytest.raises(SettingError, match=r"no biases.*model\.weight"):
        learn.model.bias(["film 1"])


def test_no_biases_of_no_ids():
    assert drawn(loaders()).model.bias([]).shape == (0,)


def test_a_text_among_ids_that_are_numbers_is_an_unknown_id():
    learn = drawn(loaders(numbered()))
    table = pd.DataFrame({"user": ["abc", "3", "99999"], "film": [1, 1, 1]})
    with captured_notes() as notes:
        preds = learn.get_preds(dl=learn.dls.test_dl(table)).preds
        one = learn.predict({"user": "abc", "film": 1}).label
        learn.recommend("abc", k=1)
    assert preds[0] == preds[2] != preds[1] and one == pytest.approx(float(preds[0]))
    said = " ".join(notes)
    assert "2 cell(s) with categories unknown from training ('abc', '99999')" in said and "'abc' is no user that training knows" in said


def test_names_that_classes_lack_are_refused():
    classes = loaders().classes
    with pytest.raises(SettingError, match=r"'usr': no such name.*Did you mean: user"):
        EmbeddingDotBias.from_classes(5, classes, user="usr")


# -- what a user had ----------------------------------------------------------------------------------------------------------
def test_what_a_user_outside_of_training_has_rated_is_not_recommended():
    df = ratings()
    theirs = df.index[df["user"] == "u3"]
    learn = drawn(loaders(df, splitter=IndexSplitter(theirs)))
    with captured_notes():
        table = learn.recommend("u3", k=50)
        everything = learn.recommend("u3", k=50, exclude_seen=False)
    assert set(everything["item"]) - set(table["item"]) == set(df.loc[theirs, "film"])


# -- titles -------------------------------------------------------------------------------------------------------------------
ITEMS = [f"film {i}" for i in range(40)]


def titled(titles, df=None):
    with captured_notes() as notes:
        dls = CollabDataLoaders.from_df(ratings() if df is None else df, seed=1, titles=titles)
    return dls.titles, " ".join(notes)


def test_titles_are_matched_by_the_name_of_the_items_column():
    table = pd.DataFrame({"year": 1990, "title": [f"The {i}" for i in range(40)], "film": ITEMS})
    assert titled(table)[0] == titled(table[["film", "title"]])[0] == {f"film {i}": f"The {i}" for i in range(40)}


def test_items_with_several_titles_are_said_and_the_first_is_taken():
    table = pd.DataFrame({"film": [*ITEMS, "film 3", "film 4"], "title": [*(f"The {i}" for i in range(40)), "Other", "The 4"]})
    for given in (table, table.set_index("film")["title"]):
        found, said = titled(given)
        assert found["film 3"] == "The 3" and "1 items have several titles ('film 3': 'The 3', 'Other'" in said


def test_a_missing_title_is_none():
    found, said = titled(pd.Series([None, np.nan, *ITEMS[2:]], index=ITEMS))
    assert "film 0" not in found and "2 of the 40 items have no title: film 0, film 1" in said


@pytest.mark.parametrize(
    "given",
    [
        pd.DataFrame({"title": ["The 1", "The 2"], "id": ["film 1", "film 2"]}),
        {"a": "The 1"},
        pd.Series(["The 1"], index=["x"]),
        pd.DataFrame({"id": ["film 1"]}),
        "titles.csv",
    ],
)
def test_titles_of_something_else_are_refused_by_name(given):
    with pytest.raises(DataError, match="titles"):
        titled(given)
    with pytest.raises(DataError, match="titles"):
        titled(given, numbered())


# -- pairs --------------------------------------------------------------------------------------------------------------------
def test_pairs_on_both_sides_of_the_split_are_found():
    df = ratings()
    n = len(df)
    both = pd.concat([df, df.iloc[:4].assign(stars=[*df["stars"].iloc[:3], 6 - df["stars"].iloc[3]])], ignore_index=True)
    df.loc[3, "stars"] = both.loc[3, "stars"] = 1.0
    both.loc[n + 3, "stars"] = 5.0
    with captured_notes() as notes:
        dls = CollabDataLoaders.from_df(both, splitter=IndexSplitter([*range(n - 20, n + 4)]), seed=1)
    assert "4 rows that judge have a pair that training has too" in " ".join(notes)
    issue = dls.check().issues.set_index("kind").loc["pair_leak"]
    assert issue["rows"] == [n, n + 1, n + 2, n + 3]
    assert "4 of 24 rows outside of training" in issue["message"] and "(3 with the same rating, 1 with another)" in issue["message"]
    with captured_notes():
        within = CollabDataLoaders.from_df(both, splitter=IndexSplitter(range(100, 150)), seed=1).check().issues.set_index("kind")
    assert "4 pairs of user and film" in within.loc["repeated_pairs", "message"] and "pair_leak" not in within.index


def test_what_users_had_done_before_is_no_test_of_what_comes_next():
    df = views().reset_index(drop=True)
    old = df.iloc[:50]
    last = df.sort_values("when").groupby("user").tail(1)
    both = pd.concat([df, old, last, last], ignore_index=True)
    valid = [*last.index, *range(len(df), len(both))]
    learn = drawn(done(both, splitter=IndexSplitter(valid)))
    train = set(map(tuple, both.drop(index=valid)[["user", "film"]].to_numpy()))
    judged = [tuple(row) for row in both.loc[valid, ["user", "film"]].to_numpy()]
    new = {row for row in judged if row not in train}
    with captured_notes() as notes:
        found = learn.ranking(k=5)
    assert (found["n"] == len(new)).all() and len(new) < len(judged)
    again = sum(row in train for row in judged)
    assert f"of {len(judged)} rows of the valid split {again} whose user had done the item before" in " ".join(notes)
    assert f"and {len(judged) - again - len(new)} that repeat another are left out" in " ".join(notes)


def test_a_split_of_repeats_alone_and_one_that_is_not_there_are_refused():
    df = views().reset_index(drop=True)
    both = pd.concat([df, df.iloc[:50]], ignore_index=True)
    learn = drawn(done(both, splitter=IndexSplitter(range(len(df), len(both)))))
    with pytest.raises(DataError, match="done before"):
        learn.ranking()
    with pytest.raises(DataError, match=r"no test split.*test_pct"):
        learn.ranking("test")


def test_last_items_are_at_least_one():
    with pytest.raises(SettingError, match="n=0: expected a whole number of at least 1"):
        LastSplitter("user", "when", n=0)


def test_what_was_taken_as_what_was_done_is_said():
    with captured_notes() as notes:
        CollabDataLoaders.from_df(views(), implicit=True, seed=1)
    assert "Taken as users: user, items: film. To say otherwise: user_name=, item_name=." in " ".join(notes)
    with captured_notes() as notes:
        CollabDataLoaders.from_df(views(), implicit=True, seed=1, user_name="user", item_name="film")
    assert "Taken as" not in " ".join(notes)
