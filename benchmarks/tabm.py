"""A TabM-type network, beside which networks.py sees burnish's own; plain PyTorch, not part of burnish.

After Gorishniy, Kotelnikov and Babenko 2024, "TabM: advancing tabular deep learning with parameter-efficient ensembling"
(arXiv:2410.24210): members that share every layer's weights, each with its own scales of inputs and outputs; each is trained by itself,
their mean answers. It is given its inputs as ``RealMLP`` is.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from burnish.tabular.all import TabularDataLoaders, TabularLearner, tabular_learner


class SharedLinear(nn.Module):
    """A linear layer of all members ``(batch, members, n_in)``: one weight, scales and biases of each. Only the first layer's inputs are
    scaled by random signs, so that members differ."""

    def __init__(self, members: int, n_in: int, n_out: int, first: bool) -> None:
        super().__init__()
        bound = 1 / math.sqrt(n_in)
        self.weight = nn.Parameter(torch.empty(n_out, n_in).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(members, n_out).uniform_(-bound, bound))
        self.scale_in = nn.Parameter(torch.randint(0, 2, (members, n_in)) * 2.0 - 1 if first else torch.ones(members, n_in))
        self.scale_out = nn.Parameter(torch.ones(members, n_out))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x * self.scale_in, self.weight) * self.scale_out + self.bias


class TabM(nn.Module):
    """``model(categories, numbers)``: the members' outputs one below the other ``(batch * members, out_sz)`` in training, else ``(batch,
    out_sz)``: of classes the logarithm of their mean probabilities, of numbers their mean."""

    def __init__(self, like: Any, out_sz: int, classes: bool, final: nn.Module | None, members: int = 16, width: int = 256) -> None:
        super().__init__()
        self.like, self.classes, self.final = [like], classes, final or nn.Identity()  # in a list: only its inputs are taken
        self.embeds, self.numbers, self.scale = like.embeds, like.numbers, like.scale
        widths, parts = [len(like.scale), width, width], []
        for i, (n_in, n_out) in enumerate(pairwise(widths)):
            parts += [SharedLinear(members, n_in, n_out, first=i == 0), nn.ReLU(), nn.Dropout(0.1)]
        self.members, self.layers = members, nn.Sequential(*parts)
        bound = 1 / math.sqrt(width)
        self.head = nn.Parameter(torch.empty(members, width, out_sz).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(members, out_sz).uniform_(-bound, bound))

    def forward(self, x_cat: Tensor, x_cont: Tensor) -> Tensor:
        x = self.like[0].inputs(x_cat, x_cont)[:, None].expand(-1, self.members, -1)
        out = torch.einsum("bmi,mio->bmo", self.layers(x), self.head) + self.bias
        if self.training:
            return self.final(out.flatten(0, 1))
        return out.log_softmax(-1).logsumexp(1) - math.log(self.members) if self.classes else self.final(out.mean(1))


class MemberLoss(nn.Module):
    """The loss of each member by itself, their mean."""

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        return self.loss(pred, target.repeat_interleave(len(pred) // len(target), 0))


def tabm_learner(dls: TabularDataLoaders, seed: int) -> TabularLearner:
    """A learner of a TabM-type network with its authors' learning rate and decay."""
    torch.manual_seed(seed)
    like = tabular_learner(dls, seed=seed)
    block = dls.target_blocks[0]
    model = TabM(like.model, dls.c, block.kind == "category", block.final())
    return TabularLearner(dls, model, loss_func=MemberLoss(like.loss_func), lr=2e-3, wd=3e-4, seed=seed, metrics=[])
