"""fastai's callbacks: burnish's to build on, and those that only fastai has."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from burnish.compat import adapted, mixing, training
from burnish.compat import more_callbacks as more
from burnish.compat.learner import Learner
from burnish.errors import SettingError
from burnish.train.callbacks import EarlyStopping, SaveModel
from burnish.train.schedule import SchedCos, SchedPoly, combine_scheds

sys.path.append(str(Path(__file__).resolve().parents[1] / "train"))
from callbacks_support import small_data, small_model

pytestmark = pytest.mark.usefixtures("installed")


@pytest.fixture
def learner(tmp_path):
    def make(**kw):
        return Learner(small_data(), small_model(), nn.CrossEntropyLoss(), path=tmp_path, seed=1, default_cbs=False, **kw)

    return make


def test_trackers_to_build_on(learner, tmp_path):
    class Mine(adapted.TrackerCallback):
        def __init__(self, monitor="valid_loss", **kw):
            super().__init__(monitor, **kw)
            self.seen = []

        def before_fit(self):
            super().before_fit()
            self.seen.append(self.n_epoch)

        def after_epoch(self):
            super().after_epoch()
            self.seen.append((self.new_best, self.best))

    class Saving(adapted.SaveModelCallback):
        def after_epoch(self):
            super().after_epoch()
            self.learn.seen_best = self.best

    learn = learner(cbs=[Mine(comp=np.less), Saving(fname="x"), adapted.EarlyStoppingCallback(patience=3), adapted.CSVLogger()])
    learn.fit(2)
    assert learn.mine.seen[0] == 2 and learn.mine.seen[1] == (True, learn.recorder.values[0][1])
    assert learn.seen_best == min(v[1] for v in learn.recorder.values) and (tmp_path / "models" / "x.safetensors").exists()
    assert isinstance(learn.saving, SaveModel) and isinstance(learn.early_stopping, EarlyStopping) and len(learn.csv_logger.read_log()) == 2
    with pytest.raises(SettingError, match="no such column"):
        learner(cbs=adapted.EarlyStoppingCallback("acuracy")).fit(1)


def test_what_changes_training_does_so(learner):
    learn = learner(cbs=[adapted.GradientClip, adapted.GradientAccumulation(20), adapted.MixUp(0.3), adapted.TerminateOnNaNCallback()])
    learn.fit(1)
    assert learn.step < len(learn.dls.train) and learn.mix_up.alpha == 0.3
    learn.fit(1, cbs=adapted.ShortEpochCallback(pct=0.3, short_valid=False))
    assert len(learn.recorder.losses) < len(learn.dls.train)
    sched = combine_scheds([0.5, 0.5], [SchedCos(0, 1e-2), SchedPoly(1e-2, 0, 2)])
    learn.fit(1, cbs=adapted.ParamScheduler({"lr": sched}))
    assert learn.recorder.lrs[0] == 0 and learn.recorder.hps["lr"] is learn.recorder.lrs
    weights = [p.clone() for p in learn.model.parameters()]
    learn.fit(1, cbs=adapted.LRFinder(num_it=3))
    assert all(torch.equal(a, b) for a, b in zip(weights, learn.model.parameters(), strict=True)) and len(learn.recorder.finder[0]) == 3


def test_looking_at_layers(learner):
    class Means(more.HookCallback):
        def hook(self, m, i, o):
            return o.mean().item()

    learn = learner(cbs=[Means(), more.CollectDataCallback(), adapted.ActivationStats(with_hist=True, include_paramless=True)])
    learn.fit(1)
    layers = [m for m in learn.model.modules() if not list(m.children())]
    assert len(learn.means.hooks.stored) == sum(1 for m in layers if list(m.parameters())) and all(learn.means.hooks.stored)
    assert len(learn.collect_data.data) == len(learn.dls.train) + len(learn.dls.valid) and learn.collect_data.data[0][2].grad_fn is None
    assert len(learn.activation_stats.stats[0]) == len(layers) and not learn.model[0]._forward_hooks
    with pytest.raises(SettingError, match="no method hook"):
        learner(cbs=more.HookCallback()).fit(1)


def test_predictions_within_a_fit(learner):
    learn = learner(cbs=more.FetchPredsCallback(with_decoded=True))
    learn.fit(1)
    assert torch.equal(learn.fetch_preds.preds[2], learn.fetch_preds.preds[0].argmax(1))
    gather = more.GatherPredsCallback(with_input=True, with_loss=True)
    learn.validate(cbs=gather)
    inputs, preds, targs, losses = gather.all_tensors()
    assert len(inputs) == len(preds) == len(targs) and len(losses) == len(learn.dls.valid)
    learn.model.append(nn.Dropout(0.5))
    drawn = torch.stack([learn.get_preds(cbs=more.MCDropoutCallback())[0] for _ in range(2)])
    assert (drawn[0] != drawn[1]).any() and torch.equal(learn.get_preds()[0], learn.get_preds()[0])


def test_mixing_of_ones_own(learner):
    class Own(mixing.MixHandler):
        def before_batch(self):
            n = self.y.size(0)
            self.lam, order = self.distrib.sample((n,)), torch.randperm(n)
            self.yb1 = tuple(y[order] for y in self.yb)
            part = self.lam.view(-1, 1, 1, 1)
            self.learn.xb = tuple(x * part + x[order] * (1 - part) for x in self.xb)

    learn = learner()
    loss = learn.loss_func
    learn.fit(1, cbs=Own(0.4))
    assert learn.loss_func is loss and loss.reduction == "mean" and np.isfinite(learn.recorder.losses).all()
    assert mixing.reduce_loss(torch.ones(2), "sum") == 2


def test_frozen_norms_keep_their_statistics(learner):
    learn = learner()
    learn.model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    for p in learn.model[1].parameters():
        p.requires_grad_(False)
    learn.fit(1, cbs=more.BnFreeze())
    assert not learn.model[1].running_mean.any()
    learn.fit(1)
    assert learn.model[1].running_mean.any()


def test_recurrent_models(learner):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn, self.out, self.resets = nn.RNN(8, 6, batch_first=True), nn.Linear(6, 3), 0

        def reset(self):
            self.resets += 1

        def forward(self, x):
            raw = self.rnn(x.mean(1))[0]
            return self.out(raw[:, -1]), [raw], [raw]

    learn = learner(cbs=more.rnn_cbs(2.0, 1.0))
    learn.model = Net()
    learn.fit(1)
    assert learn.model.resets == 3 and learn.recorder.losses[0] > learn.recorder.values[0][1]
    assert [type(cb) for cb in more.rnn_cbs()] == [more.ModelResetter, more.RNNCallback]


def test_formats_and_what_isnt_there(learner):
    learn = learner(cbs=[more.MixedPrecision("bf16"), more.ChannelsLast(), more.SkipToEpoch(1)])
    learn.fit(2)
    assert np.isnan(learn.recorder.values[0][0]) and np.isfinite(learn.recorder.values[1][0])
    with pytest.raises(ValueError, match="fp8"):
        more.MixedPrecision("fp8")


def test_schedules_as_functions():
    @training.annealer
    def square(start, end, pos):
        return start + (end - start) * pos**2

    assert square(0, 4)(0.5) == 1 and training.sched_lin(0, 2, 0.5) == 1 and training.sched_no(3, 0, 0.5) == 3
    assert training.sched_cos(0, 1, 0.5) == pytest.approx(0.5) and training.sched_exp(1, 100, 0.5) == pytest.approx(10)
    thing = nn.Dropout(0.3)
    with training.replacing_yield(thing, "p", 0.5):
        assert thing.p == 0.5
    assert thing.p == 0.3
