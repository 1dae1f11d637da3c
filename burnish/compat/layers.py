"""The kit of layers that courses teach with: small modules that change shapes, pool and normalise, and what initialises them."""

from __future__ import annotations

import enum
import functools
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.init import kaiming_normal_

from burnish.data.number import SigmoidRange
from burnish.vision.head import AdaptiveConcatPool2d

__all__ = [
    "AdaptiveAvgPool", "AdaptiveConcatPool1d", "AdaptiveConcatPool2d", "AvgPool", "BatchNorm", "BatchNorm1dFlat", "Cat", "Debugger", "Embedding", "Flatten", "Identity", "InstanceNorm", "Lambda",
    "LinBnDrop", "MaxPool", "MergeLayer", "Mish", "MishJit", "Module", "NoneReduce", "NormType", "ParameterModule", "PartialLambda", "PoolFlatten", "PoolType", "ProdLayer", "ResizeBatch", "SequentialEx",
    "SigmoidRange", "Swish", "SwishJit", "TimeDistributed", "View", "adaptive_pool", "apply_init", "apply_leaf", "bn_types", "children_and_parameters", "cond_init", "flatten_model", "has_children", "has_params",
    "in_channels", "init_default", "init_linear", "inplace_relu", "mish", "module", "norm_types", "requires_grad", "sequential", "sigmoid", "sigmoid_", "sigmoid_range", "swish", "total_params", "trunc_normal_", "vleaky_relu",
]  # fmt: skip

NormType = enum.Enum("NormType", "Batch BatchZero Weight Spectral Instance InstanceZero")
bn_types = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
norm_types = (*bn_types, nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d, nn.LayerNorm)
Mish = MishJit = nn.Mish
Swish = SwishJit = nn.SiLU
Identity = nn.Identity
inplace_relu = functools.partial(nn.ReLU, inplace=True)


class Module(nn.Module):
    """A module whose ``__init__`` needn't call ``super().__init__()``."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        _ = args, kwargs
        made = super().__new__(cls)
        nn.Module.__init__(made)
        return made

    def __init__(self) -> None: ...


def module(*flds: str, **defaults: Any) -> Callable[[Any], type[nn.Module]]:
    """Decorates a function that becomes the ``forward`` of a module, with these constructor arguments as attributes."""

    def decorated(f: Any) -> type[nn.Module]:
        def init(self: Any, *args: Any, **kwargs: Any) -> None:
            nn.Module.__init__(self)
            unknown = [k for k in kwargs if k not in flds and k not in defaults]
            if unknown or len(args) > len(flds) + len(defaults):
                raise TypeError(f"{f.__name__} takes {', '.join([*flds, *defaults])}")
            given = {**defaults, **dict(zip([*flds, *defaults], args, strict=False)), **kwargs}
            for k, v in given.items():
                setattr(self, k, v)

        return type(f.__name__, (nn.Module,), {"__init__": init, "forward": f, "__doc__": f.__doc__})

    return decorated


# -- shapes and functions -----------------------------------------------------------------------------------------------
class Flatten(Module):
    """All dimensions but the first in one; with `full` the first too."""

    def __init__(self, full: bool = False) -> None:
        self.full = full

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(-1) if self.full else x.reshape(x.shape[0], -1)

    def extra_repr(self) -> str:
        return f"full={self.full}"


class View(Module):
    """``x.view(size)``."""

    def __init__(self, *size: int) -> None:
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        return x.view(self.size)


class ResizeBatch(Module):
    """Each sample in another shape."""

    def __init__(self, *size: int) -> None:
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        return x.view((x.shape[0], *self.size))


class Lambda(Module):
    """A function as a module."""

    def __init__(self, func: Callable[..., Any]) -> None:
        self.func = func

    def forward(self, x: Any) -> Any:
        return self.func(x)

    def extra_repr(self) -> str:
        return f"{self.func}"


class PartialLambda(Lambda):
    """A partial function as a module, told by its keywords."""

    def extra_repr(self) -> str:
        return f"{self.func.func.__name__}, {self.func.keywords}"  # type: ignore[attr-defined]


class Debugger(Module):
    """Stops in the debugger."""

    def forward(self, x: Any) -> Any:
        breakpoint()
        return x


class ParameterModule(Module):
    """One parameter as a module."""

    def __init__(self, p: nn.Parameter) -> None:
        self.val = p

    def forward(self, x: Any) -> Any:
        return x


class SequentialEx(Module):
    """Layers one after another, which find the first input in ``x.orig``."""

    def __init__(self, *layers: nn.Module) -> None:
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Any) -> Any:
        out = x
        for layer in self.layers:
            out.orig = x
            result = layer(out)
            out.orig = None
            out = result
        return out

    def __getitem__(self, i: int) -> nn.Module:
        return self.layers[i]

    def append(self, layer: nn.Module) -> Any:
        return self.layers.append(layer)

    def extend(self, layers: Iterable[nn.Module]) -> Any:
        return self.layers.extend(layers)

    def insert(self, i: int, layer: nn.Module) -> None:
        self.layers.insert(i, layer)


class MergeLayer(Module):
    """In a SequentialEx: adds the first input, or (`dense`) puts it beside."""

    def __init__(self, dense: bool = False) -> None:
        self.dense = dense

    def forward(self, x: Any) -> Tensor:
        return torch.cat([x, x.orig], dim=1) if self.dense else x + x.orig


class ProdLayer(Module):
    """In a SequentialEx: multiplies by the first input."""

    def forward(self, x: Any) -> Tensor:
        return x * x.orig


class Cat(nn.ModuleList):
    """The results of several layers, side by side."""

    def __init__(self, layers: Iterable[nn.Module], dim: int = 1) -> None:
        super().__init__(layers)
        self.dim = dim

    def forward(self, x: Any) -> Tensor:
        return torch.cat([layer(x) for layer in self], dim=self.dim)


class TimeDistributed(Module):
    """A module at every step of the dimension `tdim`; `low_mem` one after another."""

    def __init__(self, module: nn.Module, low_mem: bool = False, tdim: int = 1) -> None:
        self.module, self.low_mem, self.tdim = module, low_mem, tdim

    def forward(self, *tensors: Tensor, **kwargs: Any) -> Any:
        n = tensors[0].shape[self.tdim]
        if self.low_mem or self.tdim != 1:
            steps = [self.module(*(t.select(self.tdim, i) for t in tensors), **kwargs) for i in range(n)]
            return _stacked(steps, self.tdim)
        bs = tensors[0].shape[0]
        out = self.module(*(t.reshape(bs * n, *t.shape[2:]) for t in tensors), **kwargs)
        back = [o.reshape(bs, n, *o.shape[1:]) for o in (out if isinstance(out, tuple) else (out,))]
        return tuple(back) if isinstance(out, tuple) else back[0]


def _stacked(steps: list[Any], dim: int) -> Any:
    if isinstance(steps[0], tuple):
        return tuple(_stacked([s[i] for s in steps], dim) for i in range(len(steps[0])))
    return torch.stack(steps, dim)


def sequential(*args: Any) -> nn.Module:
    """The modules (None left out) one after another; a OrderedDict of them at the end keeps its names."""
    if args and isinstance(args[-1], dict):
        named = {**{str(i): m for i, m in enumerate(args[:-1])}, **args[-1]}
        return nn.Sequential(OrderedDict((k, v) for k, v in named.items() if v is not None))
    modules: list[Any] = [m for m in args if m is not None and not (isinstance(m, (list, tuple)) and not m)]
    return nn.Sequential(*modules)


# -- pooling ------------------------------------------------------------------------------------------------------------
class PoolType:
    Avg, Max, Cat = "Avg", "Max", "Cat"


class AdaptiveConcatPool1d(Module):
    """The largest and the mean value, beside each other: (n, c, l) to (n, 2c, size)."""

    def __init__(self, size: Any = None) -> None:
        self.size = size or 1
        self.ap, self.mp = nn.AdaptiveAvgPool1d(self.size), nn.AdaptiveMaxPool1d(self.size)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.mp(x), self.ap(x)], 1)


def adaptive_pool(pool_type: str) -> Any:
    """The class of the pooling called "Avg", "Max" or "Cat"."""
    return nn.AdaptiveAvgPool2d if pool_type == "Avg" else nn.AdaptiveMaxPool2d if pool_type == "Max" else AdaptiveConcatPool2d


class PoolFlatten(nn.Sequential):
    """One number a channel: pooling and flattening."""

    def __init__(self, pool_type: str = PoolType.Avg) -> None:
        super().__init__(adaptive_pool(pool_type)(1), Flatten())


def _by_dimension(kind: str, ndim: int) -> Any:
    if ndim not in (1, 2, 3):
        raise ValueError(f"ndim={ndim}: expected 1, 2 or 3")
    return getattr(nn, f"{kind}{ndim}d")


def AvgPool(ks: Any = 2, stride: Any = None, padding: Any = 0, ndim: int = 2, ceil_mode: bool = False) -> nn.Module:
    """Mean pooling in `ndim` dimensions."""
    return _by_dimension("AvgPool", ndim)(ks, stride=stride, padding=padding, ceil_mode=ceil_mode)


def MaxPool(ks: Any = 2, stride: Any = None, padding: Any = 0, ndim: int = 2, ceil_mode: bool = False) -> nn.Module:
    """Pooling of the largest in `ndim` dimensions."""
    return _by_dimension("MaxPool", ndim)(ks, stride=stride, padding=padding, ceil_mode=ceil_mode)


def AdaptiveAvgPool(sz: Any = 1, ndim: int = 2) -> nn.Module:
    """Mean pooling to `sz`, in `ndim` dimensions."""
    return _by_dimension("AdaptiveAvgPool", ndim)(sz)


# -- normalisation and linear layers ------------------------------------------------------------------------------------
def _norm(kind: str, nf: int, ndim: int, zero: bool, **kwargs: Any) -> nn.Module:
    made = _by_dimension(kind, ndim)(nf, **kwargs)
    if made.affine:
        made.bias.data.fill_(1e-3)
        made.weight.data.fill_(0.0 if zero else 1.0)
    return made


def BatchNorm(nf: int, ndim: int = 2, norm_type: Any = NormType.Batch, **kwargs: Any) -> nn.Module:
    """Batch normalisation whose weights begin at 1, or at 0 (BatchZero)."""
    return _norm("BatchNorm", nf, ndim, norm_type == NormType.BatchZero, **kwargs)


def InstanceNorm(nf: int, ndim: int = 2, norm_type: Any = NormType.Instance, affine: bool = True, **kwargs: Any) -> nn.Module:
    """Instance normalisation whose weights begin at 1, or at 0 (InstanceZero)."""
    return _norm("InstanceNorm", nf, ndim, norm_type == NormType.InstanceZero, affine=affine, **kwargs)


class BatchNorm1dFlat(nn.BatchNorm1d):
    """Batch normalisation of the last dimension, all others taken as the batch."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if x.dim() == 2 else super().forward(x.contiguous().view(-1, x.shape[-1])).view(x.shape)


class LinBnDrop(nn.Sequential):
    """Batch normalisation, dropout and a linear layer; with `lin_first` the linear layer (and `act`) before them."""

    def __init__(
        self, n_in: int, n_out: int, bn: bool = True, p: float = 0.0, act: nn.Module | None = None, lin_first: bool = False
    ) -> None:
        layers: list[nn.Module] = [BatchNorm(n_out if lin_first else n_in, ndim=1)] if bn else []
        if p != 0:
            layers.append(nn.Dropout(p))
        linear: list[nn.Module] = [nn.Linear(n_in, n_out, bias=not bn)]
        if act is not None:
            linear.append(act)
        super().__init__(*(linear + layers if lin_first else layers + linear))


class Embedding(nn.Embedding):
    """An embedding that begins small: normal, cut off at two deviations."""

    def __init__(self, ni: int, nf: int, std: float = 0.01) -> None:
        super().__init__(ni, nf)
        trunc_normal_(self.weight.data, std=std)


def trunc_normal_(x: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """Fills with normal numbers, those beyond two deviations drawn again."""
    return nn.init.trunc_normal_(x, mean, std, mean - 2 * std, mean + 2 * std)


# -- activations --------------------------------------------------------------------------------------------------------
def sigmoid(input: Tensor, eps: float = 1e-7) -> Tensor:
    """The sigmoid, kept `eps` away from 0 and 1."""
    return input.sigmoid().clamp(eps, 1 - eps)


def sigmoid_(input: Tensor, eps: float = 1e-7) -> Tensor:
    """The same, in place."""
    return input.sigmoid_().clamp_(eps, 1 - eps)


def sigmoid_range(x: Tensor, low: float, high: float) -> Tensor:
    """The sigmoid, from `low` to `high`."""
    return torch.sigmoid(x) * (high - low) + low


def swish(x: Tensor, inplace: bool = False) -> Tensor:
    """``x * sigmoid(x)``."""
    return F.silu(x, inplace=inplace)


def mish(x: Tensor, inplace: bool = False) -> Tensor:
    """``x * tanh(softplus(x))``."""
    return F.mish(x, inplace=inplace)


def vleaky_relu(input: Tensor, inplace: bool = True) -> Tensor:
    """A leaky ReLU of slope 0.3."""
    return F.leaky_relu(input, negative_slope=0.3, inplace=inplace)


# -- initialisation and walking through models --------------------------------------------------------------------------
def init_default(m: nn.Module, func: Any = kaiming_normal_) -> nn.Module:
    """Fills a layer's weights by `func`, its bias with 0."""
    if func and isinstance(getattr(m, "weight", None), Tensor):  # a parametrised weight is no tensor
        func(m.weight)  # pyright: ignore
    if getattr(m, "bias", None) is not None:
        with torch.no_grad():
            m.bias.fill_(0.0)  # type: ignore[operator,union-attr]
    return m


def init_linear(m: nn.Module, act_func: Any = None, init: Any = "auto", bias_std: float = 0.01) -> None:
    """Fills a layer for what follows it: the weights by `init` ("auto": as `act_func` wants, else Kaiming), the bias with small numbers."""
    bias = getattr(m, "bias", None)
    if bias is not None and bias_std is not None:
        nn.init.normal_(bias, 0, bias_std) if bias_std != 0 else bias.data.zero_()
    if init == "auto":
        init = (
            kaiming_normal_
            if act_func in (nn.ReLU, F.relu, F.relu_) or isinstance(act_func, nn.ReLU)
            else getattr(act_func, "__default_init__", None)
        )
    if init is not None:
        init(m.weight)


def cond_init(m: nn.Module, func: Any) -> None:
    """`init_default`, but for normalisation."""
    if not isinstance(m, norm_types):
        init_default(m, func)


def apply_leaf(m: nn.Module, f: Callable[[nn.Module], Any]) -> None:
    """``f`` of it and of all that is in it."""
    if isinstance(m, nn.Module):
        f(m)
    for child in m.children():
        apply_leaf(child, f)


def apply_init(m: nn.Module, func: Any = kaiming_normal_) -> None:
    """Fills all layers but normalisation by `func`."""
    apply_leaf(m, functools.partial(cond_init, func=func))


def has_children(m: nn.Module) -> bool:
    return next(m.children(), None) is not None


def has_params(m: nn.Module) -> bool:
    """Whether it has parameters at all."""
    return next(m.parameters(), None) is not None


def total_params(m: nn.Module) -> tuple[int, bool]:
    """How many parameters it has, and whether they are trained."""
    found = list(m.parameters())
    return sum(p.numel() for p in found), bool(found) and found[0].requires_grad


def children_and_parameters(m: nn.Module) -> list[nn.Module]:
    """Its children, and its own parameters as modules."""
    inside = {id(p) for child in m.children() for p in child.parameters()}
    return [*m.children(), *(ParameterModule(p) for p in m.parameters() if id(p) not in inside)]


def flatten_model(m: nn.Module) -> list[nn.Module]:
    """All layers that have none in them, in order."""
    return [leaf for child in children_and_parameters(m) for leaf in flatten_model(child)] if has_children(m) else [m]


def in_channels(m: nn.Module) -> int:
    """The channels that its first convolution takes."""
    for layer in flatten_model(m):
        if isinstance(weight := getattr(layer, "weight", None), Tensor) and weight.ndim == 4:
            return weight.shape[1]
    raise ValueError(f"{type(m).__name__} has no convolution")


def requires_grad(m: Any) -> bool:
    """Whether its first parameter is trained."""
    found = list(m.parameters()) if isinstance(m, nn.Module) else [m]
    return bool(found) and found[0].requires_grad


class NoneReduce:
    """A block in which a loss gives one value a sample."""

    def __init__(self, loss_func: Any) -> None:
        self.loss_func, self.before = loss_func, None

    def __enter__(self) -> Any:
        if hasattr(self.loss_func, "reduction"):
            self.before, self.loss_func.reduction = self.loss_func.reduction, "none"
            return self.loss_func
        return functools.partial(self.loss_func, reduction="none")

    def __exit__(self, *args: Any) -> None:
        if self.before is not None:
            self.loss_func.reduction = self.before
