"""Whose running statistics move in training: nobody's in what is frozen, nor in a pretrained body that learns more slowly than
the head."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from burnish.data.dataloaders import DataLoaders
from burnish.train.learner import Learner


def learner(**settings):
    torch.manual_seed(0)
    data = torch.utils.data.TensorDataset(torch.randn(24, 3, 6, 6) * 3 + 1, torch.arange(24) % 2)
    dls = DataLoaders(*(torch.utils.data.DataLoader(data, batch_size=8) for _ in range(2)), device="cpu")
    body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.BatchNorm1d(4), nn.Linear(4, 2))
    model = nn.Sequential(body, head)
    return Learner(dls, model, nn.CrossEntropyLoss(), splitter=lambda m: [m[0], m[1]], seed=0, **settings)


def statistics(learn):
    return {name: copy.deepcopy(b) for name, b in learn.model.named_buffers() if name.endswith("running_mean")}


GENTLE, PLAIN = slice(0.01, 0.1), 0.1


@pytest.mark.parametrize(
    ("pretrained", "train_bn", "frozen", "rate", "moves"),
    [
        (True, False, False, GENTLE, False),
        (True, False, False, slice(0.1), False),  # a tenth for the body
        (True, False, False, PLAIN, True),
        (True, False, True, PLAIN, False),
        (False, False, True, PLAIN, False),
        (False, False, False, PLAIN, True),
        (False, False, False, GENTLE, True),
        (True, True, False, GENTLE, True),
        (True, True, True, PLAIN, True),
    ],
)
def test_whose_statistics_move(pretrained, train_bn, frozen, rate, moves):
    learn = learner(train_bn=train_bn)
    learn.pretrained = pretrained
    (learn.freeze if frozen else learn.unfreeze)()
    before, weight = statistics(learn), learn.model[0][1].weight.detach().clone()
    with learn.no_logging():
        learn.fit(1, rate)
    after = statistics(learn)
    assert torch.equal(before["0.1.running_mean"], after["0.1.running_mean"]) is not moves
    assert not torch.equal(before["1.2.running_mean"], after["1.2.running_mean"]), "the head's always move"
    assert torch.equal(weight, learn.model[0][1].weight) is (frozen and not train_bn), (
        "the layer's own weights train where they are not frozen"
    )


def test_a_layer_without_weights_goes_with_what_it_lies_in():
    learn = learner()
    learn.model[0][1], learn.model[1][2] = nn.BatchNorm2d(4, affine=False), nn.BatchNorm1d(4, affine=False)
    learn.model = learn.model  # other layers, other groups
    learn.pretrained = True
    before = statistics(learn)
    with learn.no_logging():
        learn.fit(1, GENTLE)
    after = statistics(learn)
    assert torch.equal(before["0.1.running_mean"], after["0.1.running_mean"])
    assert not torch.equal(before["1.2.running_mean"], after["1.2.running_mean"])
