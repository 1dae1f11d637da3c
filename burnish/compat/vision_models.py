"""Bodies and heads put together by hand, as fastai's tutorials do: a network cut before its pooling, and a head on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn.init import kaiming_normal_

from burnish.compat import archs, conv_layers
from burnish.compat.layers import AdaptiveConcatPool2d, Flatten, LinBnDrop, apply_init
from burnish.compat.torch_tools import params
from burnish.data.collections import L
from burnish.data.number import SigmoidRange
from burnish.errors import SettingError
from burnish.train.hooks import num_features_model
from burnish.vision.backbones import IMAGENET_STATS, _adapt_first_conv

__all__ = [
    "TimmBody", "add_head", "create_body", "create_cnn_model", "create_head", "create_timm_model", "create_vision_model", "cut_model", "default_split", "has_pool_type", "model_meta", "models",
]  # fmt: skip


def has_pool_type(m: nn.Module) -> bool:
    """Whether a module is a pooling layer, or has one in it."""
    name = type(m).__name__
    return (name.endswith(("Pool1d", "Pool2d", "Pool3d")) or "AdaptiveConcatPool" in name) or any(has_pool_type(c) for c in m.children())


def cut_model(model: nn.Module, cut: Any) -> Any:
    """The first `cut` parts of a network (a negative number leaves out that many of the last), or what a function `cut` makes of it."""
    if callable(cut):
        return cut(model)
    if not isinstance(cut, int):
        raise SettingError(f"cut={cut!r}: expected a number of parts, or a function of the network.")
    return nn.Sequential(*list(model.children())[:cut])


def create_body(model: Any, n_in: Any = 3, pretrained: bool = True, cut: Any = None) -> nn.Module:
    """A network's body: its parts before the last one that pools, for pictures of `n_in` channels.

    Args:
        model: a network; or an architecture (``resnet34``), which is made with its published weights where `pretrained`.
        cut: where to cut it: see `cut_model`.

    Raises:
        SettingError: nothing in it pools, so that it isn't known where its body ends.
    """
    if isinstance(n_in, bool):  # create_body(resnet34, True), as older versions took it
        n_in, pretrained = 3, n_in
    known = _meta_of(model)
    made = model if isinstance(model, nn.Module) else model(pretrained=pretrained)
    _adapt_first_conv(made, n_in)
    if cut is None and known is not None:
        cut = known["cut"]
    if cut is None:
        pooled = [i for i, child in enumerate(made.children()) if has_pool_type(child)]
        if not pooled:
            raise SettingError(
                f"create_body({type(made).__name__}): no part of it pools, so it isn't known where its body ends. Pass cut=, a number of parts."
            )
        cut = pooled[-1]
    return cut_model(made, cut)


def create_head(
    nf: int, n_out: int, lin_ftrs: Sequence[int] | None = None, ps: Any = 0.5, pool: bool = True, concat_pool: bool = True, first_bn: bool = True, bn_final: bool = False,
    lin_first: bool = False, y_range: tuple[float, float] | None = None,
) -> nn.Sequential:  # fmt: skip
    """Pooling, then steps of batch norm, dropout and a linear layer, with as many parameters as fastai's head has.

    Args:
        nf: the body's channels. lin_ftrs: widths between, ``[512]`` by default. ps: dropout of the last step (half of it before), or one a step.
        concat_pool: pool by maximum and mean. first_bn: batch norm in the first step. bn_final: on the outputs. lin_first: the linear layer first in each step.
    """
    widths = [nf * 2 if concat_pool else nf, *([512] if lin_ftrs is None else lin_ftrs), n_out]
    steps = len(widths) - 1
    drops = [float(p) for p in ps] if isinstance(ps, (list, tuple)) else [float(ps)]
    drops = [drops[0] / 2] * (steps - 1) + drops if len(drops) == 1 else drops
    layers: list[nn.Module] = [AdaptiveConcatPool2d() if concat_pool else nn.AdaptiveAvgPool2d(1), Flatten()] if pool else []
    if lin_first:
        layers.append(nn.Dropout(drops.pop(0)))
    for i in range(steps - lin_first):
        act = nn.ReLU(inplace=True) if i < steps - 1 else None
        layers += LinBnDrop(widths[i], widths[i + 1], bn=first_bn if i == 0 else True, p=drops[i], act=act, lin_first=lin_first)
    if lin_first:
        layers.append(nn.Linear(widths[-2], n_out))
    if bn_final:
        layers.append(nn.BatchNorm1d(n_out, momentum=0.01))
    return nn.Sequential(*layers, *([] if y_range is None else [SigmoidRange(*y_range)]))


def add_head(
    body: nn.Module, nf: int, n_out: int, init: Any = kaiming_normal_, head: nn.Module | None = None, concat_pool: bool = True, pool: bool = True,
    lin_ftrs: Sequence[int] | None = None, ps: Any = 0.5, first_bn: bool = True, bn_final: bool = False, lin_first: bool = False, y_range: Any = None,
) -> nn.Sequential:  # fmt: skip
    """A body and a head (by default `create_head`'s, for `nf` features) in one network, the head initialised by `init`."""
    made = create_head(nf, n_out, lin_ftrs, ps, pool, concat_pool, first_bn, bn_final, lin_first, y_range) if head is None else head
    model = nn.Sequential(body, made)
    if init is not None:
        apply_init(model[1], init)
    return model


def create_vision_model(
    arch: Any, n_out: int, pretrained: bool = True, weights: Any = None, cut: Any = None, n_in: int = 3, init: Any = kaiming_normal_, custom_head: nn.Module | None = None,
    concat_pool: bool = True, pool: bool = True, lin_ftrs: Sequence[int] | None = None, ps: Any = 0.5, first_bn: bool = True, bn_final: bool = False, lin_first: bool = False,
    y_range: Any = None,
) -> nn.Sequential:  # fmt: skip
    """The body of an architecture with a new head: ``model[0]`` and ``model[1]``. Unlike those of ``vision_learner`` it doesn't normalise its pictures."""
    meta = _meta_of(arch)
    made = arch(weights=weights) if weights is not None else arch(pretrained=pretrained)
    body = create_body(made, n_in, pretrained, meta["cut"] if cut is None and meta is not None else cut)
    nf = num_features_model(nn.Sequential(*body.children())) if custom_head is None else 0
    return add_head(body, nf, n_out, init, custom_head, concat_pool, pool, lin_ftrs, ps, first_bn, bn_final, lin_first, y_range)


create_cnn_model = create_vision_model


# -- timm ---------------------------------------------------------------------------------------------------------------
class TimmBody(nn.Module):
    """A network of timm's without its classifier: feature maps, or pooled features where it has no maps (``needs_pool`` False)."""

    def __init__(self, model: nn.Module, pretrained: bool = True, cut: Any = None, n_in: int = 3) -> None:
        super().__init__()
        _ = pretrained, cut, n_in
        self.needs_pool = bool((getattr(model, "default_cfg", None) or {}).get("pool_size"))
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model.forward_features(x) if self.needs_pool else self.model(x)  # type: ignore[operator]


def create_timm_model(
    arch: str, n_out: int, cut: Any = None, pretrained: bool = True, n_in: int = 3, init: Any = kaiming_normal_, custom_head: nn.Module | None = None, concat_pool: bool = True,
    pool: bool = True, lin_ftrs: Sequence[int] | None = None, ps: Any = 0.5, first_bn: bool = True, bn_final: bool = False, lin_first: bool = False, y_range: Any = None, **kwargs: Any,
) -> tuple[nn.Sequential, dict[str, Any]]:  # fmt: skip
    """A network of timm's with a new head, and timm's settings of it. `kwargs` go to ``timm.create_model``."""
    import timm

    model = timm.create_model(arch, pretrained=pretrained, num_classes=0, in_chans=n_in, **kwargs)
    body = TimmBody(model, pretrained, None, n_in)
    pool = pool if body.needs_pool else False
    features: Any = model.num_features
    made = add_head(
        body,
        features,
        n_out,
        init,
        custom_head,
        concat_pool and body.needs_pool,
        pool,
        lin_ftrs,
        ps,
        first_bn,
        bn_final,
        lin_first,
        y_range,
    )  # type: ignore[arg-type]
    return made, dict(model.default_cfg)  # type: ignore[arg-type]


# -- what is known of architectures -------------------------------------------------------------------------------------
def default_split(m: Any) -> L[Any]:
    """Two layer groups: the body and the head."""
    return L([params(m[0]), params(m[1:])], use_list=True)


def _split_at(first: int) -> Any:
    """Three: the body's first parts, the others, the head."""

    def split(m: Any) -> L[Any]:
        body = m[0]
        body = body if not (len(body) == 1 and isinstance(body[0], nn.Sequential)) else body[0]
        return L([params(body[:first]), params(body[first:]), params(m[1:])], use_list=True)

    return split


def _facts() -> dict[Any, dict[str, Any]]:
    whole, resnets = {"stats": IMAGENET_STATS}, [f"resnet{n}" for n in (18, 34, 50, 101, 152)]
    kinds = [
        ([f"xresnet{n}" for n in (18, 34, 50, 101, 152)], -4, 3),
        (resnets, -2, 6),
        (["squeezenet1_0", "squeezenet1_1"], -1, 5),
        (["densenet121", "densenet161", "densenet169", "densenet201"], -1, 7),
        (["vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn"], -2, 22),
        (["alexnet"], -2, 6),
    ]
    found: dict[Any, dict[str, Any]] = {}
    for names, cut, first in kinds:
        for name in names:
            arch = getattr(conv_layers, name, None) if name.startswith("x") else getattr(archs, name)
            found[arch] = {"cut": cut, "split": _split_at(first), "weights": None, **whole}
    return found


model_meta = _facts()
models = archs  # ``models.resnet34``


def split_of(arch: Any) -> Any:
    """The function that makes an architecture's layer groups; None where nothing is known of it."""
    facts = (
        _meta_of(arch)
        if not isinstance(arch, str)
        else next((f for known, f in model_meta.items() if getattr(known, "__name__", known) == arch), None)
    )
    return None if facts is None else facts["split"]


def _meta_of(arch: Any) -> dict[str, Any] | None:
    """What is known of an architecture (or of torchvision's function of its name)."""
    name = getattr(arch, "__name__", "")
    return next((facts for known, facts in model_meta.items() if known is arch or (name and getattr(known, "__name__", "") == name)), None)
