"""Wrong labels found from out-of-sample probabilities: made on purpose in real data, and found again."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.metrics import average_precision_score

from burnish.errors import DataError, SettingError
from burnish.evaluate import find_label_issues
from burnish.evaluate.cross import cross_validated, parts, powered
from burnish.evaluate.label_issues import fit_noise


def corrupted(labels: np.ndarray, kind: str, seed: int = 0, share: float = 0.1) -> np.ndarray:
    """Labels of which a share is wrong: any other class ("uniform"), or always the next one ("pair")."""
    rng, k = np.random.default_rng(seed), labels.max() + 1
    wrong = rng.choice(len(labels), round(share * len(labels)), replace=False)
    made = labels.copy()
    made[wrong] = (labels[wrong] + (rng.integers(1, k, len(wrong)) if kind == "uniform" else 1)) % k
    return made


@pytest.fixture(scope="module")
def digits():
    data = load_digits()
    return powered(data.data), data.target


@pytest.fixture(scope="module", params=["uniform", "pair"])
def judged(request, digits):
    """Digits with wrong labels, and probabilities of models that have not seen the label they judge."""
    features, true = digits
    given = corrupted(true, request.param)
    return request.param, true, given, cross_validated(features, given, cv=3, rounds=1)


def test_wrong_labels_come_first(judged):
    kind, true, given, probs = judged
    found = find_label_issues(given, probs, least=0)
    assert len(found) == len(given) and found["score"].is_monotonic_decreasing and found["score"].between(0, 1).all()
    scores = np.zeros(len(given))
    scores[found["row"]] = found["score"]
    ours = average_precision_score(given != true, scores)
    plain = average_precision_score(given != true, 1 - probs[np.arange(len(given)), given])
    assert ours > (plain if kind == "uniform" else plain + 0.01) and ours > 0.9


def test_the_score_is_the_probability_of_an_error(judged):
    _, true, given, probs = judged
    found = find_label_issues(given, probs, least=0)
    wrong = (given != true)[found["row"]]
    assert found["score"].sum() == pytest.approx(wrong.sum(), rel=0.35)
    assert wrong[found["score"] > 0.95].mean() > 0.9 and wrong[found["score"] < 0.05].mean() < 0.03


def test_what_is_suggested_is_mostly_the_truth(judged):
    _, true, given, probs = judged
    found = find_label_issues(given, probs)
    wrong = found[(given != true)[found["row"]]]
    assert (wrong["suggested"].to_numpy() == true[wrong["row"]]).mean() > 0.9
    assert (found["suggested"] != found["label"]).all() and (found["score"] >= 0.5).all()


def test_confusions_are_estimated(judged):
    kind, _, given, probs = judged
    rates = fit_noise(given, probs).rates
    assert rates.sum(1) == pytest.approx(1)
    to_next = rates[np.arange(10), (np.arange(10) + 1) % 10].mean()
    assert to_next > 0.07 if kind == "pair" else to_next < 0.03


def test_clean_labels_are_left_alone(digits):
    features, true = digits
    assert len(find_label_issues(true, cross_validated(features, true, cv=3, rounds=1))) < 0.02 * len(true)


def test_the_second_round_learns_less_from_wrong_labels(digits):
    features, true = digits
    given = corrupted(true, "pair")
    first, second = (cross_validated(features, given, cv=3, rounds=n) for n in (1, 2))
    assert (second.argmax(1) == true).mean() > (first.argmax(1) == true).mean()


def test_labels_by_name_and_tensors():
    import torch

    probs = torch.tensor([[0.9, 0.1], [0.95, 0.05]] * 10 + [[0.02, 0.98]])
    found = find_label_issues(["cat"] * 20 + ["cat"], probs, vocab=["cat", "dog"], least=0)
    assert found.iloc[0][["row", "label", "suggested"]].tolist() == [20, "cat", "dog"]


def test_several_labels_are_judged_one_by_one(digits):
    features, true = digits
    tags = np.stack([np.isin(true, (0, 6)), true == 4, np.ones_like(true)], axis=1).astype(int)
    given, rows = tags.copy(), np.arange(0, 400, 20)
    given[rows, 0] ^= 1
    probs = cross_validated(features, given, cv=3, rounds=1)
    found = find_label_issues(given, np.clip(probs, 1e-4, 1 - 1e-4), vocab=["round", "four", "digit"])
    of_round = found[found["label"] == "round"]
    assert len(set(rows) - set(of_round["row"])) <= 2 and len(of_round) < 30
    assert (of_round["suggested"] == (tags[of_round["row"], 0] == 1))[np.isin(of_round["row"], rows)].all()
    assert not (found["label"] == "digit").any()


def test_copies_stay_in_one_part():
    labels, groups = np.arange(60) % 3, np.arange(60) // 6
    for train, judged in parts(labels, 3, groups.tolist(), 0):
        assert not set(groups[train]) & set(groups[judged])
    assert sorted(np.concatenate([judged for _, judged in parts(labels, 3, groups.tolist(), 0)])) == list(range(60))


def test_no_sample_is_judged_by_a_model_that_saw_it():
    """Features that are noise tell nothing of the labels, unless these were seen."""
    rng = np.random.default_rng(0)
    features, labels = powered(rng.normal(size=(300, 500))), rng.integers(0, 2, 300)
    assert 0.35 < (cross_validated(features, labels).argmax(1) == labels).mean() < 0.65


@pytest.mark.parametrize(
    ("labels", "probs", "options", "says"),
    [
        ([0, 1], [[0.5, 0.5]], {}, r"2 labels and probabilities of 1 samples"),
        ([0, 5], [[0.5, 0.5]] * 2, {}, r"row 1 is 5.*none of the classes: 0, 1"),
        (["a", "c"], [[0.5, 0.5]] * 2, {"vocab": ["a", "b"]}, r"row 1 is 'c'.*'a', 'b'"),
        (["a", None], [[0.5, 0.5]] * 2, {"vocab": ["a", "b"]}, r"row 1 is None"),
        ([0, 1], [[0.5, 0.5], [3.0, -2.0]], {}, r"row 1 are no probabilities \(3, -2\).*softmax"),
        ([0, 1], [[0.5, 0.5], [np.nan, 0.5]], {}, r"row 1 are no probabilities"),
        ([0, 1], [0.5, 0.5], {}, r"shape \(2,\).*\(samples, classes\)"),
        ([], np.zeros((0, 3)), {}, r"no sample"),
        ([0], [[0.5, 0.5]], {"vocab": ["a"]}, r"vocab names 1 classes, and probs has 2"),
        ([[0, 2]], [[0.5, 0.5]], {}, r"labels of 0 and 1 of the shape"),
    ],
)
def test_what_can_not_be_judged_is_said(labels, probs, options, says):
    with pytest.raises(DataError, match=says):
        find_label_issues(
            np.array(labels) if isinstance(labels, list) and labels and isinstance(labels[0], list) else labels, probs, **options
        )


def test_settings_are_checked():
    with pytest.raises(SettingError, match="least=2: expected a probability"):
        find_label_issues([0, 1], [[0.5, 0.5]] * 2, least=2)
    with pytest.raises(SettingError, match=r"cv=5: the 3 sample\(s\)"):
        cross_validated(np.ones((3, 2)), np.array([0, 1, 0]))
