"""A learner and the data it is given: passes over data that several share, and what metrics are told about the target."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from tiny import counted_reads, same, state, tiny_learner
from torch import nn

from burnish.data.notes import captured_notes
from burnish.evaluate.summary import ResultNote
from burnish.train.callback import Callback
from burnish.train.callbacks import EMA, CutMix, GradientClip, MixUp
from burnish.train.learner import Learner
from burnish.train.metric import AverageMetric
from burnish.vision.all import F1Score, ImageDataLoaders, RandomResizedCrop, Resize, aug_transforms, top_k_accuracy


def linear(size: int) -> nn.Module:
    """A linear model of pictures, the same weights every time."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * size * size, 3))
    nn.init.zeros_(model[1].weight)
    nn.init.zeros_(model[1].bias)
    return model


def test_two_learners_on_the_same_data_give_the_same_numbers_whatever_was_read_between(photos: Path) -> None:
    dls = ImageDataLoaders.from_folder(photos, seed=3, bs=8, item_tfms=RandomResizedCrop(24), device="cpu", num_workers=0)
    rows: list[list[list[int]]] = []

    class Rows(Callback):
        def after_batch(self, learn: Learner) -> None:
            if learn.training:
                rows[-1].append(learn.dls.train.last_rows)

    weights = []
    for disturb in (False, True):
        learn = tiny_learner(dls=dls, model=linear(24), splitter=None, cbs=Rows())
        rows.append([])
        learn.fit(1)
        if disturb:
            learn.lr_find(num_it=6, show_plot=False)
            next(iter(dls.train)), dls.one_batch()
            rows[-1] = rows[-1][: len(dls.train)]  # without the finder's
        learn.fit(1)
        weights.append(state(learn))
    assert rows[0] == rows[1] and rows[0][: len(dls.train)] != rows[0][len(dls.train) :]
    assert same(*weights)


def test_a_metric_is_told_how_many_classes_there_are(photos: Path) -> None:
    dls = ImageDataLoaders.from_folder(photos, seed=3, item_tfms=Resize(16), device="cpu")
    learn = tiny_learner(dls=dls, model=linear(16), splitter=None, metrics=F1Score())
    assert learn.metrics[0].name == "f1_score_macro"
    assert "f1_score_macro" in learn.fit(1).columns


def test_a_partial_keeps_its_functions_name_and_direction() -> None:
    metric = AverageMetric(partial(partial(top_k_accuracy, k=2), axis=-1))
    assert (metric.name, metric.better) == ("top_k_accuracy", "higher")


@pytest.mark.parametrize("mixing", [MixUp, CutMix])
def test_nothing_is_read_back_while_pictures_are_learned(mixing: type[Callback], photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With augmentation, mixing, the display and the note of the results: the reads are the epoch's own, however many batches."""
    monkeypatch.setenv("TERM", "dumb")  # a live display shows the loss, which costs nothing on a CPU
    counts = []
    for bs in (8, 2):
        dls = ImageDataLoaders.from_folder(
            photos, seed=3, bs=bs, item_tfms=Resize(24), batch_tfms=aug_transforms(), device="cpu", num_workers=0
        )
        cbs = [mixing(), ResultNote(), GradientClip(), EMA()]
        learn = tiny_learner(dls=dls, model=linear(24), splitter=None, cbs=cbs, quiet=False, opt_func=torch.optim.SGD)
        with monkeypatch.context() as patches, captured_notes():
            reads = counted_reads(patches)
            learn.fit(1)
        counts.append(len(reads))
    assert counts[0] == counts[1] < 40, counts
