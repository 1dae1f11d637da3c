"""A learner of a `DynamicUnet`, for settings of the way up that burnish's own U-Net hasn't."""

from __future__ import annotations

from typing import Any

from torch import nn

from burnish.compat.learner import Learner
from burnish.compat.unet import DynamicUnet, create_unet_model, unet_split
from burnish.train.optim import Adam
from burnish.vision.backbones import IMAGENET_STATS, InputNormalize
from burnish.vision.learner import outputs_of


class _Normalized(nn.Sequential):
    """Pictures normalised, then the network."""

    def __init__(self, normalize: nn.Module, unet: DynamicUnet) -> None:
        super().__init__(normalize, unet)


def dynamic_unet_learner(
    dls: Any, arch: Any, own: dict[str, Any], normalize: bool = True, n_out: int | None = None, pretrained: bool = True, weights: Any = None, config: Any = None, loss_func: Any = None,
    opt_func: Any = Adam, lr: Any = None, splitter: Any = None, cbs: Any = None, metrics: Any = None, path: Any = None, model_dir: Any = "models", wd: float | None = None,
    wd_bn_bias: bool = False, train_bn: bool = True, moms: Any = (0.95, 0.85, 0.95), default_cbs: bool = True, blur: bool = False, self_attention: bool = False, last_cross: bool = True,
    n_in: int = 3, cut: Any = None, seed: int | None = None, precision: str = "auto", device: Any = None,
) -> Learner:  # fmt: skip
    """A learner of a `DynamicUnet` over the body of `arch`; pretrained, its body is frozen at first.

    Args:
        own: the settings that only this network has. config: has no effect.
    """
    _ = config
    height, width = dls.one_batch()[0].shape[-2:]
    unet = create_unet_model(
        arch,
        outputs_of(dls, n_out),
        (height, width),
        pretrained,
        weights,
        cut,
        n_in,
        blur=blur,
        self_attention=self_attention,
        last_cross=last_cross,
        **own,
    )
    known = normalize and pretrained and n_in == 3
    model = _Normalized(InputNormalize(*IMAGENET_STATS) if known else nn.Identity(), unet)
    learn = Learner(
        dls, model, loss_func, opt_func, lr, splitter or (lambda m: unet_split(m[1])), cbs, metrics, dls.path if path is None else path, model_dir, wd, wd_bn_bias, train_bn, moms,
        default_cbs, seed, precision, device,
    )  # fmt: skip
    learn.pretrained = pretrained
    if pretrained:
        learn.freeze()
    return learn
