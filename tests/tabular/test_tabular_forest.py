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
from burnish.tabular.forest import Forest
from burnish.tabular.learner import tabular_learner
from burnish.train.export import load_learner


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
