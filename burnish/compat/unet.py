"""A U-Net over any body, put together as fastai's is, with as many parameters; `unet_learner` has burnish's own, which is quicker."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.init import kaiming_normal_

from burnish.compat.conv_layers import ConvLayer, PixelShuffle_ICNR, ResBlock, SelfAttention
from burnish.compat.layers import BatchNorm, MergeLayer, Module, SequentialEx, apply_init, in_channels
from burnish.compat.torch_tools import params
from burnish.compat.vision_models import _meta_of, create_body
from burnish.data.collections import L
from burnish.data.number import SigmoidRange
from burnish.errors import SettingError
from burnish.train.hooks import Hook, hook_outputs

__all__ = ["DynamicUnet", "ResizeToOrig", "UnetBlock", "create_unet_model"]


class UnetBlock(Module):
    """One step up: enlarged, beside what a hook holds of the body, two convolutions.

    Args:
        up_in_c: channels from below. x_in_c: of the body's maps. hook: holds them in ``stored``. final_div: keep all channels, else half of them.
    """

    def __init__(
        self, up_in_c: int, x_in_c: int, hook: Hook, final_div: bool = True, blur: bool = False, act_cls: Any = nn.ReLU, self_attention: bool = False, init: Any = kaiming_normal_,
        norm_type: Any = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        self.hook = hook
        self.shuf = PixelShuffle_ICNR(up_in_c, up_in_c // 2, blur=blur, act_cls=act_cls, norm_type=norm_type)
        self.bn = BatchNorm(x_in_c)
        wide = up_in_c // 2 + x_in_c
        out = wide if final_div else wide // 2
        attention = SelfAttention(out) if self_attention else None
        self.conv1 = ConvLayer(wide, out, act_cls=act_cls, norm_type=norm_type, **kwargs)
        self.conv2 = ConvLayer(out, out, act_cls=act_cls, norm_type=norm_type, xtra=attention, **kwargs)
        self.relu = act_cls()
        apply_init(nn.Sequential(self.conv1, self.conv2), init)

    def forward(self, up_in: Tensor) -> Tensor:
        joined: Any = self.hook.stored
        up = self.shuf(up_in)
        if joined.shape[-2:] != up.shape[-2:]:
            up = F.interpolate(up, joined.shape[-2:], mode="nearest")
        return self.conv2(self.conv1(self.relu(torch.cat([up, self.bn(joined)], dim=1))))


class ResizeToOrig(Module):
    """In a SequentialEx: at the size of the first input."""

    def __init__(self, mode: str = "nearest") -> None:
        self.mode = mode

    def forward(self, x: Any) -> Tensor:
        return x if x.orig.shape[-2:] == x.shape[-2:] else F.interpolate(x, x.orig.shape[-2:], mode=self.mode)


class DynamicUnet(SequentialEx):
    """A U-Net: the body, a middle, a step up for each of the sizes that the body goes through, and the picture itself beside it at the end.

    Args:
        encoder: a sequence of layers (`create_body`'s). n_out: outputs a pixel. img_size: (height, width) of the pictures.
        blur, blur_final: average neighbours after enlarging, and after the last time. self_attention: in the third step from the end. last_cross: the picture beside it at the end.
        bottle: half of the channels in the last block. y_range: (low, high) that outputs are squeezed into.

    Raises:
        SettingError: the body's maps are of one size.
    """

    def __init__(
        self, encoder: Any, n_out: int, img_size: tuple[int, int], blur: bool = False, blur_final: bool = True, self_attention: bool = False, y_range: tuple[float, float] | None = None,
        last_cross: bool = True, bottle: bool = False, act_cls: Any = nn.ReLU, init: Any = kaiming_normal_, norm_type: Any = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        probe = torch.zeros(1, in_channels(encoder), *img_size)
        shapes, x = _shapes(encoder, probe)
        changes = [i for i in range(len(shapes) - 1) if shapes[i][-1] != shapes[i + 1][-1]][::-1]
        if not changes:
            raise SettingError(f"DynamicUnet: the body's maps are all of one size, {shapes[-1][-2:]}; a U-Net needs several.")
        same = {"act_cls": act_cls, "norm_type": norm_type}
        self.sfs = hook_outputs([encoder[i] for i in changes], detach=False)
        _ = _forward(encoder, probe)
        ni = shapes[-1][1]
        middle = nn.Sequential(ConvLayer(ni, ni * 2, **same, **kwargs), ConvLayer(ni * 2, ni, **same, **kwargs)).eval()
        layers: list[nn.Module] = [encoder, BatchNorm(ni), nn.ReLU(), middle]
        with torch.no_grad():
            x = middle(x)
            for k, i in enumerate(changes):
                not_last, attends = k != len(changes) - 1, self_attention and k == len(changes) - 3
                block = UnetBlock(
                    x.shape[1],
                    shapes[i][1],
                    self.sfs[k],
                    not_last,
                    blur and (not_last or blur_final),
                    act_cls,
                    attends,
                    init,
                    norm_type,
                    **kwargs,
                ).eval()
                layers.append(block)
                x = block(x)
        ni = x.shape[1]
        if tuple(img_size) != tuple(shapes[0][-2:]):
            layers.append(PixelShuffle_ICNR(ni, act_cls=act_cls, norm_type=norm_type))
        layers.append(ResizeToOrig())
        if last_cross:
            layers.append(MergeLayer(dense=True))
            ni += in_channels(encoder)
            layers.append(ResBlock(1, ni, ni // 2 if bottle else ni, act_cls=act_cls, norm_type=norm_type, **kwargs))
        layers.append(ConvLayer(ni, n_out, ks=1, act_cls=None, norm_type=norm_type, **kwargs))
        apply_init(nn.Sequential(middle, layers[-1]), init)
        super().__init__(*layers, *([] if y_range is None else [SigmoidRange(*y_range)]))
        self.train()


def _forward(encoder: nn.Module, x: Tensor) -> Tensor:
    """What a body gives, in evaluation mode; the modes it had come back."""
    modes = [(m, m.training) for m in encoder.modules()]
    encoder.eval()
    try:
        with torch.no_grad():
            return encoder(x.to(next(encoder.parameters()).device))
    finally:
        for m, training in modes:
            m.training = training


def _shapes(encoder: Any, probe: Tensor) -> tuple[list[tuple[int, ...]], Tensor]:
    """The shape of what each of a body's layers gives, and what the last one does."""
    with hook_outputs(list(encoder.children())) as hooks:
        x = _forward(encoder, probe)
        return [tuple(o.shape) for o in hooks.stored], x


def create_unet_model(
    arch: Any, n_out: int, img_size: tuple[int, int], pretrained: bool = True, weights: Any = None, cut: Any = None, n_in: int = 3, blur: bool = False, blur_final: bool = True,
    self_attention: bool = False, y_range: tuple[float, float] | None = None, last_cross: bool = True, bottle: bool = False, act_cls: Any = nn.ReLU, init: Any = kaiming_normal_,
    norm_type: Any = None,
) -> DynamicUnet:  # fmt: skip
    """A `DynamicUnet` over the body of an architecture. It doesn't normalise its pictures."""
    meta = _meta_of(arch)
    made = arch(weights=weights) if weights is not None else arch(pretrained=pretrained)
    body = create_body(made, n_in, pretrained, meta["cut"] if cut is None and meta is not None else cut)
    return DynamicUnet(body, n_out, img_size, blur, blur_final, self_attention, y_range, last_cross, bottle, act_cls, init, norm_type)


def unet_split(m: Any) -> L[Any]:
    """Three layer groups: the first half of the body, its rest, the way up."""
    body = m.layers[0]
    first = min(6, len(body) - 1)
    return L([params(body[:first]), params(body[first:]), [p for layer in m.layers[1:] for p in layer.parameters()]], use_list=True)
