"""The kit of layers: shapes, and as many parameters as the networks of these names have."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from burnish.compat import conv_layers, layers
from burnish.compat.conv_layers import (
    ConvLayer,
    PixelShuffle_ICNR,
    PooledSelfAttention2d,
    ResBlock,
    SelfAttention,
    SimpleCNN,
    SimpleSelfAttention,
    XResNet,
)
from burnish.compat.layers import (
    Cat,
    Embedding,
    Flatten,
    Lambda,
    LinBnDrop,
    MergeLayer,
    Module,
    NormType,
    SequentialEx,
    TimeDistributed,
    flatten_model,
    in_channels,
    module,
    sequential,
)

MAKE = {  # what makes it, shape in, shape out, parameters (counted in fastai 2.8.12)
    "conv": (lambda: ConvLayer(3, 8), (2, 3, 9, 9), (2, 8, 9, 9), 232),
    "transposed": (lambda: ConvLayer(3, 8, ks=4, stride=2, padding=1, transpose=True), (2, 3, 9, 9), (2, 8, 18, 18), 400),
    "instance": (lambda: ConvLayer(3, 8, norm_type=NormType.Instance), (2, 3, 9, 9), (2, 8, 9, 9), 232),
    "one dimension": (lambda: ConvLayer(3, 8, ndim=1, stride=2), (2, 3, 9), (2, 8, 5), 88),
    "residual": (lambda: ResBlock(1, 8, 16, stride=2), (2, 8, 8, 8), (2, 16, 4, 4), 3680),
    "bottleneck": (lambda: ResBlock(4, 8, 8), (2, 32, 8, 8), (2, 32, 8, 8), 1184),
    "attention": (lambda: SelfAttention(16), (2, 16, 4, 4), (2, 16, 4, 4), 321),
    "pooled attention": (lambda: PooledSelfAttention2d(16), (2, 16, 4, 4), (2, 16, 4, 4), 321),
    "simple attention": (lambda: SimpleSelfAttention(16), (2, 16, 4, 4), (2, 16, 4, 4), 257),
    "shuffle": (lambda: PixelShuffle_ICNR(8, 4, blur=True), (2, 8, 4, 4), (2, 4, 8, 8), 160),
    "cnn": (lambda: SimpleCNN([3, 8, 4]), (2, 3, 16, 16), (2, 4), 524),
    "linear": (lambda: LinBnDrop(4, 5, p=0.1, act=nn.ReLU()), (2, 4), (2, 5), 28),
    "xresnet18": (lambda: conv_layers.xresnet18(n_out=10), (2, 3, 64, 64), (2, 10), 11200874),
    "one-dimensional xresnet": (lambda: XResNet(ResBlock, 1, [2, 2, 2, 2], c_in=1, n_out=3, ndim=1), (2, 1, 64), (2, 3), None),
}


@pytest.mark.parametrize("name", MAKE)
def test_shapes_and_parameters(name):
    make, given, gives, count = MAKE[name]
    made = make()
    made.eval()
    assert tuple(made(torch.randn(*given)).shape) == gives
    if count is not None:
        assert sum(p.numel() for p in made.parameters()) == count
    made.train()
    made(torch.randn(*given)).sum().backward()


def test_attention_and_residual_paths_begin_as_nothing():
    x = torch.randn(2, 16, 4, 4)
    assert torch.allclose(SelfAttention(16)(x), x) and torch.allclose(ResBlock(1, 16, 16)(x), x.relu(), atol=2e-3)
    shuffled = PixelShuffle_ICNR(8, 3, norm_type=None, act_cls=None)(torch.randn(1, 8, 4, 4))
    assert torch.allclose(shuffled[..., ::2, ::2], shuffled[..., 1::2, 1::2], atol=1e-6)


def test_small_modules():
    class Net(Module):
        def __init__(self, n):
            self.lin = nn.Linear(n, 1)

        def forward(self, x):
            return self.lin(x)

    @module("k")
    def Times(self, x):
        return x * self.k

    x = torch.ones(2, 3)
    assert Net(3)(x).shape == (2, 1) and len(list(Net(3).parameters())) == 2 and torch.equal(Times(3)(x), 3 * x)
    assert torch.equal(SequentialEx(Lambda(lambda t: t * 2), MergeLayer())(x), 3 * x)
    assert torch.equal(SequentialEx(Lambda(lambda t: t * 2), MergeLayer(dense=True))(x), torch.cat([2 * x, x], 1))
    assert Cat([nn.Linear(3, 1), nn.Linear(3, 2)])(x).shape == (2, 3) and Flatten()(torch.ones(2, 3, 4)).shape == (2, 12)
    for low_mem in (False, True):
        assert TimeDistributed(nn.Linear(3, 2), low_mem=low_mem)(torch.ones(4, 5, 3)).shape == (4, 5, 2)
    assert Embedding(5, 3).weight.abs().max() <= 0.02 and len(sequential(nn.ReLU(), None)) == 1
    assert [type(m).__name__ for m in flatten_model(SimpleCNN([3, 4]))] == [
        "Conv2d",
        "ReLU",
        "AdaptiveAvgPool2d",
        "Flatten",
    ] and in_channels(SimpleCNN([3, 4])) == 3
    with pytest.raises(TypeError, match="Times takes k"):
        Times(j=1)


def test_initialisation_and_losses_of_samples():
    made = layers.init_default(nn.Linear(3, 2), nn.init.ones_)
    assert (made.weight == 1).all() and (made.bias == 0).all()
    norm = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 2, 1))
    layers.apply_init(norm, nn.init.zeros_)
    assert (norm[0].weight == 1).all() and (norm[1].weight == 0).all()
    with layers.NoneReduce(nn.MSELoss()) as loss:
        assert loss(torch.ones(4), torch.zeros(4)).shape == (4,)
    assert layers.total_params(nn.Linear(3, 2)) == (8, True) and layers.swish(torch.zeros(1)) == 0
