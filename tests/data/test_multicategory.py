"""Several labels a sample: how they come, what is refused, how they are split, and their thresholds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from burnish.data.allot import allot_labels
from burnish.data.multicategory import MultiCategoryBlock
from burnish.data.notes import captured_notes
from burnish.data.split import TrainTestSplitter
from burnish.errors import DataError, SettingError
from burnish.evaluate.thresholds import best_thresholds, f_scores

CELLS = {
    "lists": (MultiCategoryBlock(), [["b", "a"], [], ["c"]]),
    "tuples and sets": (MultiCategoryBlock(), [("b", "a"), set(), {"c"}]),
    "arrays": (MultiCategoryBlock(), [np.array(["b", "a"]), np.array([]), np.array(["c"])]),
    "texts": (MultiCategoryBlock(delim=";"), ["b; a", "", "c"]),
    "said twice": (MultiCategoryBlock(), [["b", "a", "b"], [], ["c"]]),
    "marks": (MultiCategoryBlock(encoded=True, vocab=["a", "b", "c"]), [[1, 1, 0], [False, False, False], np.array([0, 0, 1])]),
}


@pytest.mark.parametrize("how", CELLS)
def test_labels_come_in_many_forms_and_mean_the_same(how):
    block, raws = CELLS[how]
    with captured_notes() as notes:
        block.fit(raws)
    assert block.vocab == ["a", "b", "c"] and block.n_out == 3
    assert torch.equal(block.encode_all(raws), torch.tensor([[1.0, 1, 0], [0, 0, 0], [0, 0, 1]]))
    assert [block.decode(row) for row in block.encode_all(raws)] == [["a", "b"], [], ["c"]]
    assert "1 of 3 samples that train have no label" in notes[0]


def test_an_explicit_vocab_keeps_its_order_and_a_single_label_needs_no_list():
    block = MultiCategoryBlock(vocab=["z", "a"])
    assert block.vocab == ["z", "a"] and block.encode(block.open("a")).tolist() == [0, 1]
    assert block.say([]) == "(none)" and block.say(["z", "a"]) == "z; a"


BAD = {
    "marks without names": (lambda: MultiCategoryBlock(encoded=True), SettingError, "vocab="),
    "empty delimiter": (lambda: MultiCategoryBlock(delim=""), SettingError, "delim"),
    "a name twice": (lambda: MultiCategoryBlock(vocab=["a", "a"]), DataError, "more than once"),
    "too few thresholds": (lambda: MultiCategoryBlock(vocab=["a", "b"], thresholds=[0.5]), SettingError, "each of the 2"),
    "no probability": (lambda: MultiCategoryBlock(vocab=["a"], thresholds=[1.5]), SettingError, "probability"),
    "marks of another length": (lambda: MultiCategoryBlock(True, ["a", "b"]).open([1]), DataError, "2 values 0 and 1"),
    "no marks": (lambda: MultiCategoryBlock(True, ["a", "b"]).open([1, 2]), DataError, "2 values 0 and 1"),
    "missing": (lambda: MultiCategoryBlock().open(None), DataError, r"given as \[\]"),
    "missing among labels": (lambda: MultiCategoryBlock().open(["a", None]), DataError, "no list of labels"),
    "nested": (lambda: MultiCategoryBlock().open([["a"], "b"]), DataError, "no list of labels"),
    "texts and numbers": (lambda: MultiCategoryBlock().fit([["a"], [1]]), DataError, "mix"),
    "no label at all": (lambda: MultiCategoryBlock().fit([[], []]), DataError, "nothing to learn"),
    "unknown": (lambda: MultiCategoryBlock(vocab=["cat", "dog"]).encode(["cats"]), DataError, "Did you mean: cat"),
    "rows without": (lambda: MultiCategoryBlock(vocab=["a"]).check([["a"], None], ["row 0", "row 1"], "valid"), DataError, "row 1"),
    "only in valid": (lambda: MultiCategoryBlock(vocab=["a"]).check([["b"]], ["x.jpg"], "valid"), DataError, r"never in training: 'b' \(rows: x.jpg\)"),
    "unreadable row": (lambda: MultiCategoryBlock(True, ["a"]).check([[3]], ["x.jpg"], "train"), DataError, "x.jpg"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_and_says_what_to_do(name):
    make, error, says = BAD[name]
    with pytest.raises(error, match=says):
        make()


def test_unknown_labels_are_left_out_and_said_where_asked_for():
    block = MultiCategoryBlock(vocab=["a"], add_na=True)
    with captured_notes() as notes:
        block.check([["a", "b"]], ["x.jpg"], "valid")
    assert "'b' (rows: x.jpg)" in notes[0] and block.encode(["a", "b"]).tolist() == [1.0]


def test_texts_that_look_like_several_labels_are_pointed_out():
    with captured_notes() as notes:
        MultiCategoryBlock().fit(["haze primary", "clear primary", "haze", "clear"])
    assert ("MultiCategoryBlock(delim=' ')" in notes[0] and "'haze primary'" in notes[0]) or "'clear primary'" in notes[0]
    with captured_notes() as notes:
        MultiCategoryBlock().fit(["polar bear", "cat", "dog"])
    assert not notes


def test_outputs_begin_at_the_labels_shares():
    block = MultiCategoryBlock()
    assert block.prior() is None
    block.fit([["a", "b"], ["a"], ["a"], ["a"]])
    prior = block.prior()
    assert prior is not None and prior[1].sigmoid().item() == pytest.approx(0.25) and 0.99 < prior[0].sigmoid().item() < 1


def test_a_split_keeps_each_labels_share_and_every_label_in_train():
    rng = np.random.default_rng(0)
    common = [[f"label {k}" for k in range(8) if rng.random() < 0.5**k] for _ in range(300)]
    labels = [*common, ["once"], ["twice", "label 0"], ["twice"]]
    train, valid, test = allot_labels(labels, 60, 30, np.random.default_rng(1))
    assert sorted([*train, *valid, *test]) == list(range(303)) and (len(valid), len(test)) == (60, 30)
    seen = {label for i in train for label in labels[i]}
    assert seen == {label for cell in labels for label in cell}
    for k in range(5):
        has = np.array([f"label {k}" in cell for cell in labels])
        assert abs(has[valid].mean() - has.mean()) < 0.03 and abs(has[test].mean() - has.mean()) < 0.05
    marks = [[int(f"label {k}" in cell) for k in range(8)] for cell in labels]
    assert allot_labels(marks, 60, 0, np.random.default_rng(1))[1].shape == (60,)


def test_the_splitter_stratifies_lists_of_labels():
    labels = [["a"], ["b"], ["a", "b"], []] * 25
    table = pd.DataFrame({"labels": labels})
    table.attrs["targets"] = ["labels"]
    _train, valid = TrainTestSplitter(0.2, random_state=0, stratify=True)(range(100), table)
    assert len(valid) == 20 and sum("a" in labels[i] for i in valid) == 10
    with pytest.raises(DataError, match=r"\[1.5, 2.25\], with fractions.*RandomSplitter"):
        TrainTestSplitter(stratify=[[1.5, 2.25], [2.5, 1.0]] * 5)(range(10))


def test_thresholds_are_best_for_each_label_and_shared_by_rare_ones():
    rng = np.random.default_rng(0)
    there = np.stack([rng.random(400) < 0.3, rng.random(400) < 0.5, np.arange(400) < 2], axis=1)
    shares = np.clip(
        np.stack([0.1 + 0.2 * there[:, 0], 0.6 + 0.3 * there[:, 1], 0.2 + 0.1 * there[:, 2]], 1) + 0.01 * rng.random((400, 3)), 0, 1
    )
    chosen = best_thresholds(shares, there)
    assert 0.1 < chosen[0] < 0.31 and 0.6 < chosen[1] < 0.91
    assert f_scores(shares > chosen, there)[:2].tolist() == [1.0, 1.0]
    alone = best_thresholds(shares, there, least=1)
    assert chosen[2] != alone[2] and 0.2 < alone[2] < 0.31


def test_a_threshold_never_divides_equal_probabilities():
    shares = np.array([[0.3], [0.3], [0.3], [0.1]])
    there = np.array([[True], [True], [False], [False]])
    assert 0.1 < best_thresholds(shares, there, least=1)[0] < 0.3
    assert best_thresholds(np.array([[0.4], [0.4]]), np.array([[True], [False]]), least=1)[0] < 0.4
