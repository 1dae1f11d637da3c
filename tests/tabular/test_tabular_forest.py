"""A forest as plain tensors answers as scikit-learn's does; its mean with a network is a model like any other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from test_tabular_learner import loaders, people

from burnish.data.notes import captured_notes
from burnish.data.number import RegressionBlock
from burnish.errors import SettingError
from burnish.evaluate.summary import assess
from burnish.tabular.baselines import matrix_of
from burnish.tabular.forest import Forest, _not_above
from burnish.tabular.learner import tabular_learner
from burnish.train.export import load_learner
from burnish.train.optim import SGD


@pytest.mark.parametrize("leaf", [1, 5])
def test_the_trees_answer_as_scikit_learns(leaf):
    rng = np.random.default_rng(0)
    cats, conts = rng.integers(0, 5, (300, 2)), rng.normal(size=(300, 3)).astype(np.float32)
    x = np.concatenate([cats, conts], 1).astype(np.float32)
    number, label = conts[:, 0] + cats[:, 0], (conts[:, 0] > 0).astype(int) + 2 * (cats[:, 0] > 3)
    given = torch.from_numpy(cats), torch.from_numpy(conts)
    forest = RandomForestRegressor(20, min_samples_leaf=leaf, random_state=0).fit(x, number)
    assert np.allclose(Forest.of_sklearn(forest)(*given)[:, 0], forest.predict(x), atol=1e-4)
    forest = RandomForestClassifier(20, min_samples_leaf=leaf, random_state=0).fit(x, label)
    ours = Forest.of_sklearn(forest, 5)(*given).numpy()
    assert np.allclose(ours[:, forest.classes_], forest.predict_proba(x), atol=1e-5) and np.allclose(ours.sum(1), 1, atol=1e-5)


@pytest.mark.parametrize(("target", "settings"), [("rich", {}), ("pay", {}), ("pay", {"y_block": RegressionBlock(log=True)})])
def test_the_mean_is_judged_and_exports_like_any_model(target, settings, tmp_path):
    learn = tabular_learner(loaders(target, **settings), seed=1, path=tmp_path)
    with captured_notes():
        learn.fit_one_cycle(4, 1e-2)
    before = learn.get_preds().preds.clone()
    both = learn.ensemble()
    results, own = (assess(made).set_index("metric")["value"] for made in (both, learn))
    assert results["loss"] < own["loss"]
    assert torch.equal(learn.get_preds().preds, before)
    again = load_learner(both.export("both.burnish"))
    df = people(seed=4)
    assert torch.allclose(again.get_preds(dl=again.dls.test_dl(df)).preds, both.get_preds(dl=both.dls.test_dl(df)).preds, atol=1e-5)
    assert matrix_of(both.dls, "valid")[0].shape[0] == len(both.dls.valid.rows)


def test_the_forests_share_is_a_half_unless_said():
    learn = tabular_learner(loaders("pay"), seed=1)
    both, most = learn.ensemble(n_trees=5), learn.ensemble(0.75, n_trees=5)
    assert both.model.weight == 0.5
    for made, share in ((both, 0.5), (most, 0.75)):
        theirs, ours = made.model.forest, made.model.network
        x = made.dls.valid.one_batch()[:2]
        with torch.no_grad():
            expected = (1 - share) * ours.eval()(*x) + share * theirs(*x)
            assert torch.allclose(made.model.eval()(*x), expected, rtol=1e-5)
    few = tabular_learner(loaders("rich"), seed=1).ensemble(n_trees=5)
    x = few.dls.valid.one_batch()[:2]
    with torch.no_grad():
        expected = (few.model.network.eval()(*x).softmax(1) + few.model.forest(*x)) / 2
        assert torch.allclose(few.model.eval()(*x).softmax(1), expected, atol=1e-5)


def test_thresholds_are_rounded_to_numbers_that_are_not_above_them():
    """A float32 just above a threshold that lies between two of them must stay above it: scikit-learn sends it to the right."""
    between = np.array([0.1, 1 / 3, 1e-3, -0.1, -1 / 3, 1e9 + 7, 2.5, -2.0])
    near = between.astype(np.float32)
    made = _not_above(between)
    assert made.dtype == np.float32 and (made.astype(np.float64) <= between).all()
    assert (np.nextafter(made, np.float32(np.inf)).astype(np.float64) > between).all() and (near.astype(np.float64) > between).any()


def test_the_learner_stays_as_it_is_when_the_ensemble_is_trained_on():
    learn = tabular_learner(loaders(), seed=1, lr=0.013, wd=0.07, opt_func=SGD, moms=(0.8, 0.7, 0.8), precision="bf16")
    both = learn.ensemble(n_trees=5)
    assert (both.lr, both.wd, both.opt_func, both.moms, both.precision.format) == (0.013, 0.07, SGD, (0.8, 0.7, 0.8), "bf16")
    assert both.metrics[0] is not learn.metrics[0] and both.loss_func is not learn.loss_func
    assert [m.name for m in both.metrics] == [m.name for m in learn.metrics]
    before, mean = learn.get_preds().preds.clone(), both.get_preds().preds.clone()
    with captured_notes():
        both.fit(1)
    assert torch.equal(learn.get_preds().preds, before) and not torch.equal(both.get_preds().preds, mean)


def test_layer_groups_go_with_the_network():
    learn = tabular_learner(loaders(), seed=1)
    learn.splitter = lambda model: [model.embeds, model.numbers, model.layers]
    assert [len(group) for group in learn.ensemble(n_trees=5).groups] == [len(group) for group in learn.groups]


def test_outputs_beyond_the_classes_are_left_out(tmp_path):
    learn = tabular_learner(loaders(), n_out=5, seed=1)
    both = learn.ensemble(n_trees=5)
    preds = both.get_preds().preds
    assert preds.shape[1] == 2 and torch.allclose(preds.sum(1), torch.ones(len(preds)), atol=1e-5)
    again = load_learner(both.export(tmp_path / "m.burnish"))
    row = people().iloc[0]
    assert torch.allclose(again.predict(row).probs, both.predict(row).probs, atol=1e-6)


def test_the_weight_is_a_share():
    learn = tabular_learner(loaders(), seed=1)
    for wrong in (0, 1, 5):
        with pytest.raises(SettingError, match="share of the answer"):
            learn.ensemble(weight=wrong)


def test_numbers_are_never_rounded_to_half_precision_unasked(tmp_path, monkeypatch):
    monkeypatch.setattr("burnish.train.precision.cpu_has_bf16", lambda: True)
    learn = tabular_learner(loaders("pay"), seed=1)
    made = [
        learn,
        learn.ensemble(),
        load_learner(learn.export(tmp_path / "m.burnish")),
        load_learner(learn.ensemble().export(tmp_path / "e.burnish")),
    ]
    assert [one.precision.format for one in made] == ["fp32"] * 4
    assert tabular_learner(loaders("pay"), precision="bf16").precision.format == "bf16"
