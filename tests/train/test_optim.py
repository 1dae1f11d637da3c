"""Optimizers: groups, decay, rates in all their forms, and that nothing sticks from fit to fit."""

from __future__ import annotations

import copy
from functools import partial

import numpy as np
import pytest
import torch
from tiny import tiny_learner, tiny_model
from torch import nn

from burnish.errors import SettingError
from burnish.train import optim
from burnish.train.optim import SGD, AdamW, RAdam, lr_per_group

MAKERS = {
    "AdamW": AdamW, "RAdam": RAdam, "SGD": SGD, "torch AdamW": torch.optim.AdamW, "torch SGD": torch.optim.SGD, "torch Adam": torch.optim.Adam,
    "torch RMSprop": torch.optim.RMSprop, "partial": partial(torch.optim.SGD, momentum=0.8, nesterov=True),
}  # fmt: skip


@pytest.mark.parametrize("name", MAKERS)
def test_any_pytorch_optimizer_trains(name: str) -> None:
    learn = tiny_learner(opt_func=MAKERS[name])
    losses = learn.fit_one_cycle(3, 0.02)["train_loss"]
    assert losses.iloc[-1] < losses.iloc[0]


def test_the_default_is_adamw_as_documented() -> None:
    opt = tiny_learner().create_opt()
    assert isinstance(opt, torch.optim.AdamW)
    decayed = next(g for g in opt.param_groups if g["decays"])
    assert (decayed["betas"], decayed["eps"], decayed["weight_decay"]) == ((0.9, 0.99), 1e-5, 0.01)
    assert decayed["fused"]


def test_fused_steps_are_plain_steps() -> None:
    found = []
    for fused in (True, False):
        model = tiny_model(norm=False)
        opt = AdamW(model.parameters(), lr=0.1)
        for group in opt.param_groups:
            group["fused"] = fused
        for _ in range(3):
            model(torch.ones(2, 4)).square().sum().backward()
            opt.step()
            opt.zero_grad()
        found.append(model[1].weight.detach())
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("make", [AdamW, RAdam, SGD])
def test_lists_of_parameters_are_groups(make) -> None:
    first, last = nn.Linear(2, 3), nn.Linear(3, 1)
    opt = make([list(first.parameters()), last.parameters()], lr=0.1)
    assert [[id(p) for p in g["params"]] for g in opt.param_groups] == [[id(p) for p in part.parameters()] for part in (first, last)]


def _pair() -> tuple[nn.Module, nn.Module, torch.optim.Optimizer, torch.optim.Optimizer]:
    """Two equal networks, with burnish's AdamW and PyTorch's."""
    torch.manual_seed(0)
    a = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3))
    b = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3))
    b.load_state_dict(a.state_dict())
    groups = [[{"params": m[0].parameters(), "weight_decay": 0.1}, {"params": m[2].parameters()}] for m in (a, b)]
    return (
        a,
        b,
        AdamW(groups[0], lr=0.01),
        torch.optim.AdamW(groups[1], lr=0.01, betas=(0.9, 0.99), eps=1e-5, weight_decay=0.01, fused=True),
    )


def _backward(*models: nn.Module, seed: int = 0) -> None:
    x = torch.randn(8, 5, generator=torch.Generator().manual_seed(seed))
    for model in models:
        model(x).square().sum().backward()


def test_the_lean_step_is_pytorchs_whatever_happens_between_steps() -> None:
    a, b, lean, plain = _pair()
    for i in range(12):
        lean.zero_grad()
        plain.zero_grad()
        _backward(a, b, seed=i)
        if i == 4:  # a parameter without gradient
            a[0].bias.grad = b[0].bias.grad = None
        if i == 8:  # moments forgotten
            lean.state.clear()
            plain.state.clear()
        if i == 6:
            state = copy.deepcopy(lean.state_dict())
            for opt in (lean, plain):
                opt.load_state_dict(copy.deepcopy(state))
        for group in (*lean.param_groups, *plain.param_groups):
            group["lr"] = 0.01 * (i + 1)
        lean.step()
        plain.step()
        assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True)), i
    assert str(lean.state_dict()) == str(plain.state_dict())
    assert all(p.grad is None for p in a.parameters()) is False and lean.zero_grad() is None
    assert all(p.grad is None for p in a.parameters())


def test_the_lean_step_runs_hooks_and_closures() -> None:
    a, b, lean, plain = _pair()
    called: list[str] = []
    for opt in (lean, plain):
        _backward(a, b)
        opt.step()
        opt.register_step_pre_hook(lambda *_: called.append("before"))
        handle = opt.register_step_post_hook(lambda *_: called.append("after"))
        opt.step()
        opt.step()
        handle.remove()
        opt.step()
    assert called == ["before", "after", "before", "after", "before"] * 2

    def closure() -> torch.Tensor:
        lean.zero_grad()
        loss = a(torch.ones(2, 5)).sum()
        loss.backward()
        return loss

    before = float(a(torch.ones(2, 5)).sum().detach())
    assert float(lean.step(closure).detach()) == pytest.approx(before) != float(a(torch.ones(2, 5)).sum().detach())


def test_a_parameter_added_to_a_group_is_trained() -> None:
    a, _, lean, _ = _pair()
    for _ in range(2):
        _backward(a)
        lean.step()
    extra = nn.Parameter(torch.ones(3))
    lean.add_param_group({"params": [extra]})
    (a(torch.ones(2, 5)) * extra).sum().backward()
    lean.step()
    assert not torch.equal(extra, torch.ones(3))


def test_biases_and_norms_do_not_decay() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.norm, self.attn = nn.Linear(3, 3), nn.LayerNorm(3), nn.MultiheadAttention(3, 1)

    model = Own()
    names = {p: n for n, p in model.named_parameters()}
    spared = {names[p] for p in optim.undecayed(model)}
    assert spared == {"a.bias", "norm.weight", "norm.bias", "attn.in_proj_bias", "attn.out_proj.bias"}


@pytest.mark.parametrize(("wd_bn_bias", "decaying"), [(False, 2), (True, 6)])
def test_decay_by_group(wd_bn_bias: bool, decaying: int) -> None:
    opt = tiny_learner(wd_bn_bias=wd_bn_bias).create_opt()
    assert sum(len(g["params"]) for g in opt.param_groups if g["weight_decay"] > 0) == decaying
    assert sum(len(g["params"]) for g in opt.param_groups) == 6


def test_decay_really_spares_the_norm() -> None:
    learn = tiny_learner(opt_func=torch.optim.AdamW)
    learn.model[0][1].weight.requires_grad_(True)
    opt = learn.create_opt()
    for p in learn.model.parameters():
        p.grad = torch.zeros_like(p)
    before = learn.model[0][1].weight.clone(), learn.model[1].weight.clone()
    opt.step()
    assert torch.equal(learn.model[0][1].weight, before[0])
    assert not torch.equal(learn.model[1].weight, before[1])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (1e-3, [1e-3, 1e-3, 1e-3]),
        (slice(1e-3), [1e-4, 1e-4, 1e-3]),
        (slice(1e-6, 1e-3), [1e-6, 3.1623e-5, 1e-3]),
        ([1, 2, 3], [1, 2, 3]),
        (np.array([0.1, 0.2, 0.3]), [0.1, 0.2, 0.3]),
        (np.float32(0.5), [0.5] * 3),
    ],
)
def test_forms_of_a_learning_rate(given, expected: list[float]) -> None:
    assert lr_per_group(given, 3) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([1e-3, 1e-3], "2 values .* 3 layer group"),
        (-1e-3, "at least 0"),
        (float("nan"), "finite"),
        (slice(0, 1e-3), "above 0"),
        (slice(1e-3, 1e-2, 1), "slice"),
        (slice(None), "slice"),
    ],
)
def test_learning_rates_that_cannot_be(given, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        lr_per_group(given, 3)


def test_one_group_takes_the_top_of_a_slice() -> None:
    assert lr_per_group(slice(1e-5, 1e-3), 1) == [1e-3]
    assert lr_per_group(slice(1e-3), 1) == [1e-3]


def test_hyper_parameters_do_not_stick() -> None:
    learn = tiny_learner()
    learn.fit_one_cycle(1, 0.1, wd=0.5)
    learn.fit(1)
    group = learn.opt.param_groups[-2]
    assert (group["lr"], group["weight_decay"], group["betas"]) == (1e-3, 0.01, (0.9, 0.99))


def test_the_optimizers_state_lasts_until_it_is_reset() -> None:
    learn = tiny_learner()
    learn.fit(1)
    opt = learn.opt
    learn.fit(1)
    assert learn.opt is opt
    learn.fit(1, reset_opt=True)
    assert learn.opt is not opt
    opt = learn.opt
    learn.freeze()
    assert learn.opt is None


def test_wd_of_the_learner_and_of_a_fit() -> None:
    learn = tiny_learner(wd=0.2)
    learn.fit(1)
    assert {g["weight_decay"] for g in learn.opt.param_groups} == {0.2, 0.0}
    learn.fit(1, wd=0.0)
    assert {g["weight_decay"] for g in learn.opt.param_groups} == {0.0}


def test_momentum_is_scheduled_where_there_is_some() -> None:
    learn = tiny_learner(opt_func=SGD)
    learn.fit_one_cycle(1)
    assert min(learn.recorder.moms) == pytest.approx(0.85, abs=0.01)
    bare = tiny_learner(opt_func=torch.optim.SGD)
    bare.fit_one_cycle(1)
    assert {g["momentum"] for g in bare.opt.param_groups} == {0}
    with pytest.raises(SettingError, match="without momentum"):
        bare.fit_one_cycle(1, moms=(0.9, 0.8, 0.9))


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (torch.optim.SGD(nn.Linear(1, 1).parameters()), "not one already made"),
        (lambda groups, lr: "nothing", "returned a str"),
        (3, "expected a function"),
    ],
)
def test_what_is_no_optimizer_function(made, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        tiny_learner(opt_func=made).fit(1)


def test_a_model_without_parameters() -> None:
    with pytest.raises(SettingError, match="nothing to train"):
        tiny_learner(model=nn.Identity(), splitter=None).fit(1)
