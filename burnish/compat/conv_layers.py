"""Convolutional layers and networks that courses teach with: ConvLayer, residual blocks, attention, XResNet."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.init import kaiming_normal_
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from burnish.compat.layers import (
    AdaptiveAvgPool,
    AvgPool,
    BatchNorm,
    Flatten,
    InstanceNorm,
    Module,
    NormType,
    PoolFlatten,
    ProdLayer,
    SequentialEx,
    init_default,
    init_linear,
)

_MADE = [
    "xresnet18",
    "xresnet34",
    "xresnet50",
    "xresnet101",
    "xresnet152",
    "xresnet18_deep",
    "xresnet34_deep",
    "xresnet50_deep",
    "xresnet18_deeper",
    "xresnet34_deeper",
    "xresnet50_deeper",
    "xresnext18",
    "xresnext34",
    "xresnext50",
    "xresnext101",
    "xse_resnet18",
    "xse_resnet34",
    "xse_resnet50",
    "xse_resnet101",
    "xse_resnet152",
    "xse_resnext18",
    "xse_resnext34",
    "xse_resnext50",
    "xse_resnext101",
    "xse_resnext18_deep",
    "xse_resnext34_deep",
    "xse_resnext50_deep",
    "xse_resnext18_deeper",
    "xse_resnext34_deeper",
    "xse_resnext50_deeper",
]
__all__ = [  # pyright: ignore[reportUnsupportedDunderAll]
    "ConvLayer", "PixelShuffle_ICNR", "PooledSelfAttention2d", "ResBlock", "SEBlock", "SEModule", "SEResNeXtBlock", "SelfAttention", "SeparableBlock", "SimpleCNN", "SimpleSelfAttention", "XResNet", "icnr_init", "init_cnn", *_MADE,
]  # fmt: skip


class ConvLayer(nn.Sequential):
    """A convolution with its normalisation and activation.

    Args:
        ni, nf: channels in and out. padding: None keeps the size at stride 1. bias: None is one where there is no batch normalisation.
        norm_type: of NormType, or None. bn_1st: normalisation before the activation. xtra: one more module at the end.
        init: of the weights; "auto" suits the activation. Further keywords go to the convolution.
    """

    def __init__(
        self, ni: int, nf: int, ks: Any = 3, stride: Any = 1, padding: Any = None, bias: bool | None = None, ndim: int = 2, norm_type: Any = NormType.Batch, bn_1st: bool = True, act_cls: Any = nn.ReLU,
        transpose: bool = False, init: Any = "auto", xtra: nn.Module | None = None, bias_std: float = 0.01, **kwargs: Any,
    ) -> None:  # fmt: skip
        if padding is None:
            padding = (ks - 1) // 2 if not transpose else 0
        bn, inn = norm_type in (NormType.Batch, NormType.BatchZero), norm_type in (NormType.Instance, NormType.InstanceZero)
        kind = getattr(nn, f"Conv{'Transpose' if transpose else ''}{ndim}d")
        conv = kind(ni, nf, kernel_size=ks, bias=not (bn or inn) if bias is None else bias, stride=stride, padding=padding, **kwargs)
        act = None if act_cls is None else act_cls()
        init_linear(conv, act, init=init, bias_std=bias_std)
        if norm_type == NormType.Weight:
            conv = weight_norm(conv)
        elif norm_type == NormType.Spectral:
            conv = spectral_norm(conv)
        rest: list[nn.Module] = [] if act is None else [act]
        norm = BatchNorm(nf, norm_type=norm_type, ndim=ndim) if bn else InstanceNorm(nf, norm_type=norm_type, ndim=ndim) if inn else None
        if norm is not None:
            rest.insert(0 if bn_1st else len(rest), norm)
        super().__init__(conv, *rest, *([xtra] if xtra is not None else []))


class SimpleCNN(nn.Sequential):
    """Convolutions of stride 2, then one number a channel."""

    def __init__(
        self, filters: Sequence[int], kernel_szs: Sequence[int] | None = None, strides: Sequence[int] | None = None, bn: bool = True
    ) -> None:
        n = len(filters) - 1
        kernels, steps = kernel_szs or [3] * n, strides or [2] * n
        layers = [
            ConvLayer(filters[i], filters[i + 1], kernels[i], stride=steps[i], norm_type=NormType.Batch if bn and i < n - 1 else None)
            for i in range(n)
        ]
        super().__init__(*layers, PoolFlatten())


# -- attention ----------------------------------------------------------------------------------------------------------
class SelfAttention(Module):
    """Every place looks at every other: (n, c, ...) to the same. Zhang et al. 2018, Self-Attention GAN; begins as the identity."""

    def __init__(self, n_channels: int) -> None:
        self.query, self.key, self.value = (self._conv(n_channels, c) for c in (n_channels // 8, n_channels // 8, n_channels))
        self.gamma = nn.Parameter(torch.tensor([0.0]))

    def _conv(self, n_in: int, n_out: int) -> nn.Module:
        return ConvLayer(n_in, n_out, ks=1, ndim=1, norm_type=NormType.Spectral, act_cls=None, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        flat = x.view(*x.shape[:2], -1)
        f, g, h = self.query(flat), self.key(flat), self.value(flat)
        beta = F.softmax(torch.bmm(f.transpose(1, 2), g), dim=1)
        return (self.gamma * torch.bmm(h, beta) + flat).view(*x.shape).contiguous()


class PooledSelfAttention2d(Module):
    """Self-attention on halved pictures, as BigGAN has it: (n, c, h, w) to the same."""

    def __init__(self, n_channels: int) -> None:
        self.n_channels = n_channels
        self.query, self.key, self.value = (self._conv(n_channels, c) for c in (n_channels // 8, n_channels // 8, n_channels // 2))
        self.out = self._conv(n_channels // 2, n_channels)
        self.gamma = nn.Parameter(torch.tensor([0.0]))

    def _conv(self, n_in: int, n_out: int) -> nn.Module:
        return ConvLayer(n_in, n_out, ks=1, norm_type=NormType.Spectral, act_cls=None, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        f = self.query(x).view(n, c // 8, h * w)
        g, v = (F.max_pool2d(m(x), [2, 2]).view(n, -1, h * w // 4) for m in (self.key, self.value))
        beta = F.softmax(torch.bmm(f.transpose(1, 2), g), -1)
        return self.gamma * self.out(torch.bmm(v, beta.transpose(1, 2)).view(n, c // 2, h, w)) + x


class SimpleSelfAttention(Module):
    """Self-attention in one matrix product: (n, c, ...) to the same; `sym` keeps its weights symmetric."""

    def __init__(self, n_in: int, ks: int = 1, sym: bool = False) -> None:
        self.sym, self.n_in = sym, n_in
        self.conv = spectral_norm(nn.Conv1d(n_in, n_in, ks, padding=ks // 2, bias=False))
        self.gamma = nn.Parameter(torch.tensor([0.0]))

    def forward(self, x: Tensor) -> Tensor:
        flat = x.view(*x.shape[:2], -1)
        conv: Any = self.conv
        convx = conv(flat)
        if self.sym:
            weight = conv.weight.view(self.n_in, self.n_in)
            convx = torch.matmul((weight + weight.t()) / 2, flat)
        attended = torch.bmm(torch.bmm(flat, flat.permute(0, 2, 1).contiguous()), convx)
        return (self.gamma * attended + flat).view(*x.shape).contiguous()


class SEModule(SequentialEx):
    """Squeeze and excitation: channels weighted by what all of them say. Hu et al. 2018."""

    def __init__(self, ch: int, reduction: int, act_cls: Any = nn.ReLU) -> None:
        inner = -(-ch // reduction // 8) * 8 if ch // reduction > 8 else 8
        super().__init__(
            nn.AdaptiveAvgPool2d(1),
            ConvLayer(ch, inner, ks=1, norm_type=None, act_cls=act_cls),
            ConvLayer(inner, ch, ks=1, norm_type=None, act_cls=nn.Sigmoid),
            ProdLayer(),
        )


# -- upsampling ---------------------------------------------------------------------------------------------------------
def icnr_init(x: Tensor, scale: int = 2, init: Any = kaiming_normal_) -> Tensor:
    """Weights for a pixel shuffle that begins as upsampling by the nearest: Aitken et al. 2017."""
    ni, nf, h, w = x.shape
    kernel = init(x.new_zeros([ni // scale**2, nf, h, w]))
    return kernel.repeat_interleave(scale**2, dim=0)


class PixelShuffle_ICNR(nn.Sequential):
    """Pictures `scale` times as large, out of more channels: (n, ni, h, w) to (n, nf, h * scale, w * scale)."""

    def __init__(
        self, ni: int, nf: int | None = None, scale: int = 2, blur: bool = False, norm_type: Any = NormType.Weight, act_cls: Any = nn.ReLU
    ) -> None:
        nf = ni if nf is None else nf
        layers: list[nn.Module] = [
            ConvLayer(ni, nf * scale**2, ks=1, norm_type=norm_type, act_cls=act_cls, bias_std=0),
            nn.PixelShuffle(scale),
        ]
        conv = layers[0][0]  # type: ignore[index]
        with torch.no_grad():
            conv.weight = icnr_init(conv.weight, scale) if norm_type == NormType.Weight else nn.Parameter(icnr_init(conv.weight, scale))
        if blur:
            layers += [nn.ReplicationPad2d((1, 0, 1, 0)), nn.AvgPool2d(2, stride=1)]
        super().__init__(*layers)


# -- residual blocks ----------------------------------------------------------------------------------------------------
class ResBlock(Module):
    """A residual block: convolutions whose result is added to the input.

    Args:
        expansion: 1 for two convolutions of 3 x 3, 4 for a bottleneck: `ni` and `nf` are multiplied by it.
        groups, dw: grouped, depthwise. reduction: of squeeze and excitation. nh1, nh2: channels inside. g2: groups of the second convolution.
        sa, sym: simple self-attention at the end. pool, pool_first: how the identity is made smaller, before its convolution or behind.
    """

    def __init__(
        self, expansion: int, ni: int, nf: int, stride: int = 1, groups: int = 1, reduction: int | None = None, nh1: int | None = None, nh2: int | None = None, dw: bool = False, g2: int = 1, sa: bool = False,
        sym: bool = False, norm_type: Any = NormType.Batch, act_cls: Any = nn.ReLU, ndim: int = 2, ks: int = 3, pool: Any = AvgPool, pool_first: bool = True, **kwargs: Any,
    ) -> None:  # fmt: skip
        last = NormType.BatchZero if norm_type == NormType.Batch else NormType.InstanceZero if norm_type == NormType.Instance else norm_type
        nh2, nh1 = nf if nh2 is None else nh2, (nf if nh2 is None else nh2) if nh1 is None else nh1
        nf, ni = nf * expansion, ni * expansion
        conv = functools.partial(ConvLayer, ndim=ndim, **kwargs)
        inner, outer = functools.partial(conv, norm_type=norm_type, act_cls=act_cls), functools.partial(conv, norm_type=last, act_cls=None)
        if expansion == 1:
            path = [inner(ni, nh2, ks, stride=stride, groups=ni if dw else groups), outer(nh2, nf, ks, groups=g2)]
        else:
            path = [inner(ni, nh1, 1), inner(nh1, nh2, ks, stride=stride, groups=nh1 if dw else groups), outer(nh2, nf, 1, groups=g2)]
        if reduction:
            path.append(SEModule(nf, reduction=reduction, act_cls=act_cls))
        if sa:
            path.append(SimpleSelfAttention(nf, ks=1, sym=sym))
        self.convpath = nn.Sequential(*path)
        identity: list[nn.Module] = [conv(ni, nf, 1, norm_type=norm_type, act_cls=None)] if ni != nf else []
        if stride != 1:
            identity.insert(0 if pool_first else len(identity), pool(stride, ndim=ndim, ceil_mode=True))
        self.idpath = nn.Sequential(*identity)
        self.act = nn.ReLU(inplace=True) if act_cls is nn.ReLU else act_cls()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.convpath(x) + self.idpath(x))


def SEBlock(expansion: int, ni: int, nf: int, groups: int = 1, reduction: int = 16, stride: int = 1, **kwargs: Any) -> ResBlock:
    """A residual block with squeeze and excitation."""
    return ResBlock(expansion, ni, nf, stride=stride, groups=groups, reduction=reduction, nh1=nf * 2, nh2=nf * expansion, **kwargs)


def SEResNeXtBlock(
    expansion: int, ni: int, nf: int, groups: int = 32, reduction: int = 16, stride: int = 1, base_width: int = 4, **kwargs: Any
) -> ResBlock:
    """The same with grouped convolutions."""
    inner = nf * base_width // 64 * groups
    return ResBlock(expansion, ni, nf, stride=stride, groups=groups, reduction=reduction, nh2=inner, **kwargs)


def SeparableBlock(expansion: int, ni: int, nf: int, reduction: int = 16, stride: int = 1, base_width: int = 4, **kwargs: Any) -> ResBlock:
    """The same with depthwise convolutions."""
    _ = base_width
    return ResBlock(expansion, ni, nf, stride=stride, reduction=reduction, nh2=nf * 2, dw=True, **kwargs)


# -- XResNet ------------------------------------------------------------------------------------------------------------
def init_cnn(m: nn.Module) -> None:
    """Fills convolutions and linear layers by Kaiming, biases with 0."""
    if isinstance(m, (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)):
        init_default(m)
    for child in m.children():
        init_cnn(child)


class XResNet(nn.Sequential):
    """ResNet with the later tricks (a stem of three convolutions, pooling in the identity path): He et al. 2019, Bag of Tricks.

    Args:
        block: of residual blocks, such as ResBlock. layers: how many in each of the stages. p: dropout before the last layer.
        c_in, n_out: channels in, outputs. stem_szs: channels of the stem. widen: times as many channels. sa: self-attention in the first stage.
        Further keywords go to the blocks.
    """

    def __init__(
        self, block: Any, expansion: int, layers: Sequence[int], p: float = 0.0, c_in: int = 3, n_out: int = 1000, stem_szs: Sequence[int] = (32, 32, 64), widen: float = 1.0, sa: bool = False,
        act_cls: Any = nn.ReLU, ndim: int = 2, ks: int = 3, stride: int = 2, **kwargs: Any,
    ) -> None:  # fmt: skip
        self.block, self.expansion, self.act_cls, self.ndim, self.ks = block, expansion, act_cls, ndim, ks
        if ks % 2 == 0:
            raise ValueError("ks must be odd")
        sizes = [c_in, *stem_szs]
        stem = [
            ConvLayer(sizes[i], sizes[i + 1], ks=ks, stride=stride if i == 0 else 1, act_cls=act_cls, ndim=ndim)
            for i in range(len(sizes) - 1)
        ]
        widths = [int(w * widen) for w in [64, 128, 256, 512] + [256] * (len(layers) - 4)]
        widths = [64 // expansion, *widths]
        stages = []
        for i, n in enumerate(layers):
            attends = sa and i == len(layers) - 4
            step = 1 if i == 0 else stride
            blocks = [
                block(
                    expansion,
                    widths[i] if k == 0 else widths[i + 1],
                    widths[i + 1],
                    stride=step if k == 0 else 1,
                    sa=attends and k == n - 1,
                    act_cls=act_cls,
                    ndim=ndim,
                    ks=ks,
                    **kwargs,
                )
                for k in range(n)
            ]
            stages.append(nn.Sequential(*blocks))
        pool = getattr(nn, f"MaxPool{ndim}d")(ks, stride=stride, padding=ks // 2)
        head = [AdaptiveAvgPool(sz=1, ndim=ndim), Flatten(), nn.Dropout(p), nn.Linear(widths[len(layers)] * expansion, n_out)]
        super().__init__(*stem, pool, *stages, *head)
        init_cnn(self)


_DEPTHS = {18: (1, [2, 2, 2, 2]), 34: (1, [3, 4, 6, 3]), 50: (4, [3, 4, 6, 3]), 101: (4, [3, 4, 23, 3]), 152: (4, [3, 8, 36, 3])}
_BLOCKS = {
    "xresnet": ResBlock,
    "xresnext": functools.partial(SEResNeXtBlock, reduction=0),
    "xse_resnet": SEBlock,
    "xse_resnext": SEResNeXtBlock,
}
_DEEPER = {"": [], "_deep": [1, 1], "_deeper": [1, 1, 1, 1]}


def _maker(family: str, depth: int, more: str) -> Any:
    expansion, layers = _DEPTHS[depth]

    def make(pretrained: bool = False, *, n_out: int = 1000, **kwargs: Any) -> XResNet:
        if pretrained:
            raise ValueError(
                f"There are no pretrained weights of {family}{depth}{more} here; timm has those of its relatives: vision_learner(dls, 'resnet50d')."
            )
        return XResNet(_BLOCKS[family], expansion, [*layers, *_DEEPER[more]], n_out=n_out, **kwargs)

    make.__name__ = make.__qualname__ = f"{family}{depth}{more}"
    make.__doc__ = f"An XResNet of {depth} layers ({family}), untrained."
    return make


globals().update({
    f"{family}{depth}{more}": _maker(family, depth, more)
    for family in _BLOCKS for depth in _DEPTHS for more in _DEEPER if f"{family}{depth}{more}" in _MADE
})  # fmt: skip
