"""The familiar names of architectures, importable, so that ``vision_learner(dls, resnet34)`` reads as people know it.

They are names, not functions: each is a string that timm knows (or ``torchvision:name`` where timm lacks it).
"""

from __future__ import annotations

from typing import Any, NoReturn

from burnish.errors import SettingError, nearest

TORCHVISION = "torchvision:"


class Arch(str):
    """The name of an architecture. Pass it to ``vision_learner`` or ``create_body``; it is not a function.

    >>> resnet18 == "resnet18"
    True
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"Arch({str(self)!r})"

    def __call__(self, *args: Any, **settings: Any) -> NoReturn:
        raise TypeError(
            f"{str(self)!r} is the name of an architecture, not a function: pass it as it is, "
            f"vision_learner(dls, {str(self)!r}, pretrained=True), or make the body with create_body({str(self)!r}, pretrained=True)."
        )


_SAME = """
resnet18 resnet34 resnet50 resnet101 resnet152 resnext50_32x4d resnext101_32x8d wide_resnet50_2 wide_resnet101_2 resnet18d resnet34d resnet50d
densenet121 densenet161 densenet169 densenet201 vgg11_bn vgg13_bn vgg16_bn vgg19_bn inception_v3
mobilenetv2_100 mobilenetv3_large_100 mobilenetv3_small_100 tf_efficientnet_lite0
efficientnet_b0 efficientnet_b1 efficientnet_b2 efficientnet_b3 efficientnet_b4 efficientnet_b5
convnext_atto convnext_femto convnext_pico convnext_nano convnext_tiny convnext_small convnext_base convnext_large convnextv2_atto convnextv2_tiny
vit_tiny_patch16_224 vit_small_patch16_224 vit_base_patch16_224 vit_base_patch32_224 vit_large_patch16_224
swin_tiny_patch4_window7_224 swin_small_patch4_window7_224 swin_base_patch4_window7_224
regnety_002 regnety_004 regnety_008 regnety_016 regnety_032 regnetx_002 regnetx_004 regnetx_008
"""

_OTHER = {  # the name people know -> what it is called where it comes from
    "mobilenet_v2": "mobilenetv2_100",
    "mobilenet_v3_large": "mobilenetv3_large_100",
    "mobilenet_v3_small": "mobilenetv3_small_100",
    "efficientnet_v2_s": "tf_efficientnetv2_s",
    "efficientnet_v2_m": "tf_efficientnetv2_m",
    "efficientnet_b6": "tf_efficientnet_b6",
    "efficientnet_b7": "tf_efficientnet_b7",
    "vit_b_16": "vit_base_patch16_224",
    "vit_b_32": "vit_base_patch32_224",
    "vit_l_16": "vit_large_patch16_224",
    "swin_t": "swin_tiny_patch4_window7_224",
    "swin_s": "swin_small_patch4_window7_224",
    "swin_b": "swin_base_patch4_window7_224",
    "regnet_y_400mf": "regnety_004",
    "regnet_y_800mf": "regnety_008",
    "regnet_x_400mf": "regnetx_004",
    "xresnet18": "resnet18d",
    "xresnet34": "resnet34d",
    "xresnet50": "resnet50d",
    "xresnet101": "resnet101d",
    "xresnet152": "resnet152d",
    "alexnet": TORCHVISION + "alexnet",
    "squeezenet1_0": TORCHVISION + "squeezenet1_0",
    "squeezenet1_1": TORCHVISION + "squeezenet1_1",
}

ARCHITECTURES: dict[str, Arch] = {name: Arch(name) for name in _SAME.split()} | {name: Arch(target) for name, target in _OTHER.items()}
globals().update(ARCHITECTURES)

__all__ = ["ARCHITECTURES", "Arch", "resolve", *ARCHITECTURES]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Arch:
    raise AttributeError(f"burnish.vision.architectures has no {name!r}; any timm name works as a string.{nearest(name, ARCHITECTURES)}")


def resolve(arch: str) -> str:
    """The name that timm (``resnet18``, ``resnet18.a1_in1k``) or torchvision (``torchvision:alexnet``) knows `arch` by.

    Raises:
        SettingError: nobody knows it; names the nearest.
    """
    name = str(ARCHITECTURES.get(str(arch), arch))
    known = _known(name)
    if known is None:
        return name
    raise SettingError(
        f"Unknown architecture {str(arch)!r}: expected a name that timm knows, for example 'resnet34', 'convnext_tiny' or 'vit_small_patch16_224', "
        f"or 'torchvision:NAME'.{nearest(name, known)} timm.list_models('*part of the name*') lists them."
    )


def _known(name: str) -> list[str] | None:
    """None when `name` exists, otherwise the names that do."""
    if name.startswith(TORCHVISION):
        import torchvision

        names = [TORCHVISION + n for n in torchvision.models.list_models(module=torchvision.models)]
        return None if name in names else names
    import timm

    base, _, tag = name.partition(".")
    if timm.is_model(base) and (not tag or name in timm.list_pretrained(base + ".*")):
        return None
    if timm.is_model(base):
        return timm.list_pretrained(base + ".*")
    return list(dict.fromkeys([*ARCHITECTURES, *timm.list_models()]))
