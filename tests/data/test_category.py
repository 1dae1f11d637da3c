import numpy as np
import pytest

from burnish.data.category import CategoryBlock
from burnish.errors import DataError


def test_a_learned_vocabulary_is_sorted_and_numbers_sort_as_numbers():
    block = CategoryBlock()
    block.fit([10, 9, np.int64(2)])
    assert block.vocab == [2, 9, 10]


def test_an_explicit_vocabulary_keeps_its_order():
    block = CategoryBlock(vocab=["low", "high", "mid"])
    block.fit(["mid"])
    assert block.vocab == ["low", "high", "mid"] and int(block.encode("high")) == 1


def test_unsorted_keeps_the_order_of_appearance():
    block = CategoryBlock(sort=False)
    block.fit(["z", "a", "z"])
    assert block.vocab == ["z", "a"]


def test_unknown_labels_of_a_split_are_named_with_their_rows():
    block = CategoryBlock()
    block.fit(["cat", "dog"])
    with pytest.raises(DataError, match=r"only there and never in training.*'fox' \(rows: a.jpg\)"):
        block.check(["cat", "fox"], ["b.jpg", "a.jpg"], "valid")


def test_missing_labels_are_named():
    block = CategoryBlock()
    block.fit(["cat", None])
    with pytest.raises(DataError, match=r"1 row\(s\) of the train split have no label: x.jpg"):
        block.check(["cat", None], ["y.jpg", "x.jpg"], "train")


def test_add_na_takes_unknown_and_missing_labels():
    block = CategoryBlock(add_na=True)
    block.fit(["cat"])
    assert block.vocab == ["#na#", "cat"]
    assert [int(block.encode(v)) for v in ("cat", "fox", None, float("nan"))] == [1, 0, 0, 0]


def test_add_na_stands_where_an_explicit_vocabulary_has_it():
    block = CategoryBlock(vocab=["a", "#na#", "b"], add_na=True)
    assert [block.decode(block.encode(v)) for v in ("a", "fox", None, float("nan"), "b")] == ["a", "#na#", "#na#", "#na#", "b"]


@pytest.mark.parametrize(
    ("labels", "message"),
    [(["a", 1], "mix types"), ([["a", "b"], ["c"]], "MultiCategoryBlock")],
)
def test_labels_that_cannot_be_categories(labels, message):
    with pytest.raises(DataError, match=message):
        CategoryBlock().fit(labels)


def test_a_doubled_vocabulary_is_refused():
    with pytest.raises(DataError, match=r"'?a'? more than once"):
        CategoryBlock(vocab=["a", "b", "a"])


def test_near_names_are_suggested():
    block = CategoryBlock(vocab=["kiwi", "lemon"])
    with pytest.raises(DataError, match=r"Did you mean: kiwi\?"):
        block.encode("kiwy")
