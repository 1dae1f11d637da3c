"""A learner called with fastai's arguments, its parts one by one, and what it has of its model."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import burnish.compat
from burnish.compat.factories import TabularDataLoaders, tabular_learner
from burnish.compat.learner import Learner
from burnish.errors import ModelFileError, SettingError
from burnish.train.lr_find import minimum

sys.path.append(str(Path(__file__).resolve().parents[1] / "train"))
from callbacks_support import small_data, small_model

pytestmark = pytest.mark.usefixtures("installed")


@pytest.fixture
def learn(tmp_path):
    return Learner(small_data(), small_model(), nn.CrossEntropyLoss(), path=tmp_path, seed=1, default_cbs=False)


def test_predictions_by_position(learn):
    inputs, preds, targs, decoded, losses = learn.get_preds(1, None, True, True, True, None, False, True)
    assert inputs.shape[0] == len(preds) == len(targs) == len(decoded) == len(losses) and torch.equal(decoded, preds.argmax(1))
    assert learn.get_preds(with_targs=False)[1] is None and learn.get_preds(with_preds=False)[0] is None
    with pytest.raises(SettingError, match="save_to=folder"):
        learn.get_preds(save_preds="x")
    with pytest.raises(SettingError, match="along axis 0"):
        learn.get_preds(concat_dim=1)


def test_weights_kept_and_found(learn, tmp_path):
    before = learn.model.state_dict()["0.weight"].clone()
    assert learn.save("a", False).exists()
    (tmp_path / "models").mkdir(exist_ok=True)
    torch.save(learn.model.state_dict(), tmp_path / "models" / "old.pth")
    torch.save({"model": learn.model.state_dict(), "opt": {"any": 1}}, tmp_path / "models" / "both.pth")
    torch.save(learn.model, tmp_path / "models" / "whole.pth")
    for name, more in (("a", (None, False)), ("old", ()), ("both", ())):
        nn.init.zeros_(learn.model[0].weight)
        assert learn.load(name, *more) is learn and torch.equal(learn.model[0].weight, before)
    with pytest.raises(ModelFileError, match="without executing code"):
        learn.load("whole")
    with pytest.raises(FileNotFoundError, match="no saved model"):
        learn.load("none")


def test_suggestions_of_ones_own(learn):
    def mine(lrs, losses, num_it):
        return lrs[num_it // 10], (lrs[0], losses[0])

    found = learn.lr_find(num_it=20, suggest_funcs=(minimum, mine), show_plot=False)
    assert found._fields == ("minimum", "mine") and found.mine > 1e-7


def test_formats_and_devices(learn):
    assert learn.to_fp16(init_scale=2.0) is learn and learn.to_channelslast().to_bf16().to_fp32().to_contiguous().precision.format == "fp32"
    with learn.distrib_ctx(sync_bn=False), learn.parallel_ctx():
        learn.fine_tune(1, 1e-3, 1, 100, cbs=[])
    assert learn.to_parallel().detach_parallel() is learn
    with pytest.raises(TypeError, match="init_scle"):
        learn.to_fp16(init_scle=1)


def test_several_processes_are_refused(learn, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SettingError, match="2 processes were launched"), learn.distrib_ctx():
        pass


def test_loss_by_sample(learn):
    with learn.loss_not_reduced():
        assert learn.loss_func(torch.randn(3, 2), torch.tensor([0, 1, 1])).shape == (3,)
    assert learn.loss_func.reduction == "mean"
    learn.loss_func = lambda a, b: a.sum()
    with pytest.raises(SettingError, match="no `reduction`"), learn.loss_not_reduced():
        pass


def test_parts_of_training(learn):
    weight = learn.model[0].weight.detach().clone()
    learn.dl, learn.training = learn.dls.train, True
    learn.all_batches()
    assert learn.step == len(learn.dls.train) and not torch.equal(weight, learn.model[0].weight)
    learn.training, weight = False, learn.model[0].weight.detach().clone()
    learn.one_batch(0, next(iter(learn.dls.valid)))
    assert torch.equal(weight, learn.model[0].weight) and learn.loss is not None
    seen = []
    learn.add_cb(burnish.compat.callback.Callback(before_fit=lambda: seen.append(1)))
    learn("before_fit")
    learn(["before_fit", "after_fit"])
    assert seen == [1, 1] and [type(cb).__name__ for cb in learn.ordered_cbs("after_batch")][-1] in ("Recorder", "ResultNote")
    with pytest.raises(SettingError, match="no such event"):
        learn("before_ftt")


def test_what_the_model_has(learn):
    assert len(list(learn.parameters())) == len(list(learn.model.parameters())) and "0.weight" in learn.state_dict()
    with pytest.raises(AttributeError, match="no attribute or callback 'no_such'"):
        learn.no_such
    assert not hasattr(learn, "no_such")


def test_recorders(learn):
    from burnish.compat.training import Recorder

    assert isinstance(learn.recorder, Recorder)
    learn.add_cb(Recorder(train_metrics=True))
    assert [cb for cb in learn.cbs if isinstance(cb, Recorder)] == [learn.recorder] and learn.recorder.train_metrics
    learn.fit_one_cycle(1)
    assert set(learn.recorder.hps) == {"lr", "mom"} and learn.recorder.log[0] == 0 and len(learn.recorder.log) == 4
    learn.lr_find(num_it=20, show_plot=False)
    assert (
        learn.recorder.plot_lr_find(suggestions=[(1e-3, 0.5)], nms=["mine"]).axes and learn.recorder.plot_lr_find(return_fig=False) is None
    )


def test_a_row_of_a_table(capsys):
    df = pd.DataFrame({"a": ["x", "y", "z", "x"] * 10, "b": np.arange(40.0), "c": ["n", "p"] * 20})
    dls = TabularDataLoaders.from_df(df, cat_names=["a"], cont_names=["b"], y_names="c", bs=16, seed=1)
    row, index, probs = tabular_learner(dls, seed=1, default_cbs=False).predict(df.iloc[0])
    assert row["b"].iloc[0] == 0 and row["c"].iloc[0] == dls.vocab[int(index)] and probs.shape == (2,)
    capsys.readouterr()
    row.show()
    assert "0.0" in capsys.readouterr().out and len(row) == 1 and len(row.head(1)) == 1 and "<table" in row._repr_html_()
