"""Optimizers made of steps do what PyTorch's of the same name do, and train a learner."""

from __future__ import annotations

import copy
from functools import partial

import pytest
import torch
from torch import nn

from burnish.compat.optimizers import (
    Lamb,
    Larc,
    Optimizer,
    OptimWrapper,
    RMSProp,
    adam_step,
    average_grad,
    average_sqr_grad,
    l2_reg,
    momentum_step,
    sgd_step,
    step_stat,
    weight_decay,
)
from burnish.data.dataloaders import DataLoaders
from burnish.errors import SettingError
from burnish.train.learner import Learner

ADAM = [weight_decay, partial(average_grad, dampening=True), average_sqr_grad, step_stat, adam_step]
SAME = {
    "sgd": (lambda p: Optimizer(p, [sgd_step], lr=0.1), lambda p: torch.optim.SGD(p, 0.1)),
    "momentum": (lambda p: Optimizer(p, [average_grad, momentum_step], lr=0.1, mom=0.8), lambda p: torch.optim.SGD(p, 0.1, momentum=0.8)),
    "l2": (lambda p: Optimizer(p, [l2_reg, sgd_step], lr=0.1, wd=0.3), lambda p: torch.optim.SGD(p, 0.1, weight_decay=0.3)),
    "adamw": (lambda p: Optimizer(p, ADAM, lr=0.1, mom=0.9, sqr_mom=0.99, eps=1e-5, wd=0.1), lambda p: torch.optim.AdamW(p, 0.1, betas=(0.9, 0.99), eps=1e-5, weight_decay=0.1)),
    "rmsprop": (lambda p: RMSProp(p, lr=0.01), lambda p: torch.optim.RMSprop(p, 0.01, alpha=0.99)),
}  # fmt: skip


@pytest.mark.parametrize("name", SAME)
def test_the_same_as_pytorchs(name):
    torch.manual_seed(0)
    ours = nn.Linear(3, 2)
    theirs = copy.deepcopy(ours)
    for model, make in zip((ours, theirs), SAME[name], strict=True):
        opt = make(model.parameters())
        for k in range(5):
            model(torch.arange(6.0).view(2, 3) / 6 + k).pow(2).sum().backward()
            opt.step()
            opt.zero_grad()
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


@pytest.mark.parametrize(
    ("make", "lr"),
    [(Larc, 1.0), (Lamb, 0.3), (RMSProp, 0.05), (partial(Optimizer, cbs=[weight_decay, sgd_step]), 0.05), (partial(Optimizer, cbs=ADAM), 0.1), (partial(OptimWrapper, opt=torch.optim.AdamW), 0.1)],
)  # fmt: skip
def test_they_train_a_learner(make, lr):
    torch.manual_seed(0)
    x = torch.randn(64, 3)
    data = torch.utils.data.TensorDataset(x, x.sum(1, keepdim=True))
    dls = DataLoaders(torch.utils.data.DataLoader(data, 16, shuffle=True), torch.utils.data.DataLoader(data, 16), device="cpu")
    learn = Learner(dls, nn.Linear(3, 1), nn.MSELoss(), opt_func=make, wd=0.01, seed=1)
    with learn.no_logging():
        before = learn.validate()["valid_loss"]
        learn.fit_one_cycle(5, lr)
        assert learn.validate()["valid_loss"] < 0.7 * before


def test_groups_and_what_is_refused():
    a, b = nn.Linear(2, 2), nn.Linear(2, 1)
    opt = Optimizer([list(a.parameters()), list(b.parameters())], [sgd_step], lr=0.1)
    assert opt.param_lists.map(len) == [2, 2]
    with pytest.raises(NotImplementedError, match="takes no closure"):
        opt.step(lambda: None)
    with pytest.raises(SettingError, match="OptimWrapper needs opt="):
        OptimWrapper([])
