"""Losses and metrics with fastai's arguments and names; metrics of the user's in fastai's form. Numbers are those of fastai 2.8.12 on the same tensors."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from burnish.compat import losses, metric_kit, metrics, plain_metrics
from burnish.compat.adapted import SaveModelCallback
from burnish.compat.factories import TabularDataLoaders, tabular_learner
from burnish.compat.layers import NoneReduce
from burnish.compat.learner import Learner, load_learner
from burnish.data.multicategory import MultiCategoryBlock
from burnish.evaluate import losses as own_losses
from burnish.evaluate.classification import F1Score
from burnish.evaluate.functions import accuracy
from burnish.evaluate.regression import RMSE

sys.path.append(str(Path(__file__).resolve().parents[1] / "train"))
from callbacks_support import small_data, small_model

MAPS, MASKS = torch.arange(96).float().view(2, 3, 4, 4).sin(), torch.arange(32).view(2, 4, 4) % 3
OUT, CLASSES = (torch.arange(60).float() * 0.7).sin().view(20, 3) * 2, torch.arange(20) % 3
WEIGHT = torch.tensor([1.0, 2.0, 3.0])


pytestmark = pytest.mark.usefixtures("installed")


@pytest.mark.parametrize(
    ("loss", "output", "target", "expected"),
    [
        (losses.DiceLoss(), MAPS, MASKS, 4.03758),
        (losses.DiceLoss(reduction="mean"), MAPS, MASKS, 0.67293),
        (losses.DiceLoss(1, 1.0, square_in_union=True), MAPS, MASKS, 2.90805),
        (losses.CrossEntropyLossFlat(axis=1), MAPS, MASKS, 1.33505),
        (losses.CrossEntropyLossFlat(weight=WEIGHT), OUT, CLASSES, 1.27865),
        (losses.CrossEntropyLossFlat(WEIGHT), OUT, CLASSES, 1.27865),
        (losses.LabelSmoothingCrossEntropyFlat(axis=1), MAPS, MASKS, 1.33229),
        (losses.BCEWithLogitsLossFlat(thresh=0.3), OUT, OUT > 0, 0.28799),
        (losses.BCELossFlat(), OUT.sigmoid(), (OUT > 0).float(), 0.28799),
        (losses.MSELossFlat(), OUT[:, :1], OUT[:, 1], 0.98913),
        (losses.L1LossFlat(reduction="sum"), OUT[:, :1], OUT[:, 1], 17.51432),
        (losses.FocalLossFlat(gamma=2.0, axis=1), MAPS, MASKS, 0.83604),
        (losses.BaseLoss(nn.CrossEntropyLoss, axis=1), MAPS, MASKS, 1.33505),
    ],
)
def test_losses_are_fastais(loss, output, target, expected):
    assert float(loss(output, target)) == pytest.approx(expected, abs=1e-5)


def test_losses_are_burnishs_own_objects():
    made = losses.CrossEntropyLossFlat(axis=1, flatten=True, floatify=False)
    assert type(made) is own_losses.CrossEntropyLossFlat and isinstance(made, losses.CrossEntropyLossFlat) and made.y_int and made.axis == 1
    assert (
        isinstance(own_losses.CrossEntropyLossFlat(), losses.CrossEntropyLossFlat)
        and losses.BCEWithLogitsLossFlat(thresh=0.2).thresh == 0.2
    )

    class Mine(losses.CrossEntropyLossFlat):
        def decodes(self, x):
            return x.argmax(self.axis) + 1

    assert type(Mine(axis=1)) is Mine and Mine(axis=1).decodes(MAPS).min() == 1
    for wrong in (lambda: losses.CrossEntropyLossFlat(axs=1), lambda: losses.CrossEntropyLossFlat(WEIGHT, weight=WEIGHT)):
        with pytest.raises(TypeError):
            wrong()
    with pytest.raises(ValueError, match="which flattening would mix"):
        losses.BCEWithLogitsLossFlat(pos_weight=WEIGHT, flatten=True)
    with pytest.raises(ValueError, match="BaseLoss takes these"):
        losses.CrossEntropyLossFlat(flatten=False)


@pytest.mark.parametrize(
    ("made", "kind", "shown"),
    [
        (lambda: losses.CrossEntropyLossFlat(axis=1, weight=WEIGHT), nn.CrossEntropyLoss, (1, True, False)),
        (lambda: losses.BCEWithLogitsLossFlat(weight=WEIGHT), nn.BCEWithLogitsLoss, (-1, False, True)),
        (losses.MSELossFlat, nn.MSELoss, (-1, False, True)),
        (losses.L1LossFlat, nn.L1Loss, (-1, False, True)),
    ],
)
def test_what_a_loss_is_made_of(made, kind, shown):
    loss = made()
    assert type(loss.func) is kind and (loss.axis, loss.is_2d, loss.floatify) == shown and loss.flatten
    if getattr(loss, "weight", None) is not None:
        assert torch.equal(loss.func.weight, WEIGHT)


def test_the_loss_that_data_chooses_is_a_flattened_one(tmp_path):
    table = pd.DataFrame({"x": range(40), "one": ["a", "b"] * 20, "some": ["a;b", "b"] * 20})
    for y, expected in (("one", own_losses.CrossEntropyLossFlat), ("some", own_losses.BCEWithLogitsLossFlat)):
        block = {} if y == "one" else {"y_block": MultiCategoryBlock(delim=";")}
        dls = TabularDataLoaders.from_df(table, cont_names=["x"], y_names=y, valid_idx=list(range(8)), bs=8, **block)
        learn = tabular_learner(dls, layers=[4], path=tmp_path)
        assert type(learn.loss_func) is expected
        learn.fit(1)
        learn.export("m.pkl")
        assert type(load_learner(tmp_path / "m.pkl").loss_func) is expected


def test_a_base_to_build_on(tmp_path):
    class Mine(losses.BaseLoss):
        y_int = True

        def __init__(self, *args, axis=-1, **kw):
            super().__init__(nn.CrossEntropyLoss, *args, axis=axis, **kw)

        def decodes(self, x):
            return x.argmax(dim=self.axis)

        def activation(self, x):
            return F.softmax(x, dim=self.axis)

    loss = Mine(axis=1)
    with NoneReduce(loss) as single:
        assert single(MAPS, MASKS).shape == (32,)
    assert loss.reduction == "mean" and "FlattenedLoss of CrossEntropyLoss" in repr(loss)
    learn = Learner(small_data(), small_model(), Mine(), path=tmp_path, default_cbs=False, metrics=accuracy)
    learn.fit(1)
    preds, targs, decoded, each = learn.get_preds(with_decoded=True, with_loss=True)
    assert torch.allclose(preds.sum(1), torch.ones(len(preds))) and torch.equal(decoded, preds.argmax(1)) and each.shape == targs.shape
    assert learn.loss_func.reduction == "mean" and float(each.mean()) == pytest.approx(learn.recorder.values[0][1], abs=1e-5)


@pytest.mark.parametrize(
    ("made", "name", "expected"),
    [
        (metrics.F1Score(average="macro"), "f1_score", 0.21053),
        (metrics.F1Score(average="macro", labels=[0, 2]), "f1_score", 0.31579),
        (metrics.F1Score(average="macro", sample_weight=np.arange(20) + 1), "f1_score", 0.21429),
        (metrics.Precision(average="weighted"), "precision_score", 0.13846),
        (metrics.Recall(average="micro"), "recall_score", 0.3),
        (metrics.BalancedAccuracy(adjusted=True), "balanced_accuracy_score", 0.0),
        (metrics.CohenKappa(weights="quadratic"), "cohen_kappa_score", -0.04167),
        (metrics.Jaccard(average="macro"), "jaccard_score", 0.15385),
        (metrics.FBeta(0.5, average="macro"), "fbeta_score", 0.17241),
        (metrics.HammingLoss(), "hamming_loss", 0.7),
        (metrics.MatthewsCorrCoef(), "matthews_corrcoef", -0.03181),
        (metrics.RocAuc(), "roc_auc_score", 0.26557),
    ],
)
def test_metrics_of_classes_are_fastais(made, name, expected):
    assert made.name == name and made(OUT, CLASSES) == pytest.approx(expected, abs=1e-5)


def test_metrics_of_labels_and_numbers():
    out, labels = OUT + 0.01, (torch.arange(60).view(20, 3) % 4 == 0).float()
    plain, chosen = metrics.F1ScoreMulti(0.4), metrics.F1ScoreMulti(0.4, labels=[0, 1, 2])
    assert plain.name == chosen.name == "f1_score" and plain(out, labels) == pytest.approx(chosen(out, labels))
    assert metrics.HammingLossMulti(sample_weight=np.ones(20))(out, labels) == pytest.approx(metrics.HammingLossMulti()(out, labels))
    assert metrics.rmse.name == "_rmse" and metrics.rmse(torch.tensor([1.0, 2.0]), torch.tensor([2.0, 4.0])) == pytest.approx(2.5**0.5)
    x, y = OUT[:, 0], OUT[:, 1] + 0.1 * OUT[:, 2]
    assert metrics.PearsonCorrCoef()(x, y) == pytest.approx(0.69802, abs=1e-5) and metrics.R2Score().name == "r2_score"
    assert metrics.R2Score(sample_weight=np.arange(20) + 1)(x, y) == pytest.approx(0.42926, abs=1e-5)
    assert metrics.F1Score(average="macro")(OUT.argmax(1), CLASSES) == pytest.approx(0.21053, abs=1e-5)
    assert float(metrics.foreground_acc(MAPS, MASKS)) == pytest.approx(float((MAPS.argmax(1) == MASKS)[MASKS != 0].float().mean()))


def test_a_model_with_one_of_these_losses_opens(tmp_path):

    learn = Learner(small_data(), small_model(), losses.DiceLoss(), path=tmp_path, default_cbs=False)
    learn.export("a.pkl")
    assert isinstance(load_learner(tmp_path / "a.pkl", model=small_model()).loss_func, losses.DiceLoss)


def test_a_learners_columns(tmp_path):
    class Hits(metric_kit.Metric):
        def reset(self):
            self.n = 0

        def accumulate(self, learn):
            self.n += (learn.pred.argmax(1) == learn.y).sum().item()

        @property
        def value(self):
            return self.n if self.n else None

    class Kept(nn.CrossEntropyLoss):
        def forward(self, pred, targ):
            self.part = super().forward(pred, targ)
            return self.part * 2

    several = [
        Hits(),
        metrics.F1Score(average="macro"),
        metrics.F1Score(average="micro"),
        metric_kit.AvgLoss(),
        metric_kit.ValueMetric(lambda: 3, "three"),
    ]
    learn = Learner(
        small_data(),
        small_model(),
        Kept(),
        path=tmp_path,
        default_cbs=False,
        metrics=[*several, *metric_kit.LossMetrics("part"), metric_kit.AvgSmoothLoss],
    )
    learn.fit(1)
    assert learn.recorder.metric_names[3:-1] == ["hits", "f1_score", "f1_score_micro", "loss", "three", "part", "avg_smooth_loss"]
    row = learn.recorder.latest
    assert row["loss"] == pytest.approx(row["valid_loss"]) and row["part"] == pytest.approx(row["valid_loss"] / 2) and row["three"] == 3
    assert isinstance(learn.metrics[1], F1Score) and learn.validate()[1] == row["hits"]
    learn.fit(1, cbs=SaveModelCallback(monitor="f1_score"))
    other = Learner(small_data(), small_model(), Kept(), default_cbs=False, metrics=metrics.rmse)
    assert other.metrics[0] is not metrics.rmse and isinstance(other.metrics[0], RMSE)
    with pytest.raises(AttributeError, match="belongs to no learner yet"):
        metric_kit.AvgSmoothLoss().update(OUT, CLASSES)


def test_plain_metrics_have_fastais_names_of_arguments():
    assert plain_metrics.accuracy(inp=torch.eye(3), targ=torch.tensor([0, 1, 1])) == pytest.approx(2 / 3)
    assert plain_metrics.mse(inp=torch.ones(3), targ=torch.zeros(3)) == 1 and plain_metrics.error_rate.better == "lower"
    with pytest.raises(TypeError, match="axs"):
        plain_metrics.accuracy(torch.eye(3), torch.tensor([0, 1, 1]), axs=1)
