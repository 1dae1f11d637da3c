"""The ways up of segmentation-models-pytorch (Unet++, FPN, DeepLabV3+ ...) over burnish's bodies: ``arch="smp:unetplusplus/resnet34"``."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from burnish.errors import SettingError, nearest
from burnish.vision.backbones import Backbone, create_body
from burnish.vision.unet import body_maps, size_of
from burnish.vision.weights import Source

SMP = "smp:"
DEFAULT_BODY = "resnet34"
_NOT_OVER_BODIES = ("dpt",)  # takes the tokens of a plain transformer
_FAILURES = (ValueError, RuntimeError, KeyError, IndexError, TypeError, AssertionError, AttributeError)  # of parts that don't go together


def parts_of(arch: Any) -> tuple[str | None, Any]:
    """(the way up, the body) of ``"smp:unetplusplus/resnet34"``; (None, arch) of what isn't from there.

    Raises:
        SettingError: it names no way up.
    """
    if not isinstance(arch, str) or not arch.startswith(SMP):
        return None, arch
    way, _, body = arch.removeprefix(SMP).partition("/")
    known = [name for name in _package().MODEL_ARCHITECTURES_MAPPING if name not in _NOT_OVER_BODIES]
    if way.lower() not in known:
        raise SettingError(
            f"arch={arch!r}: segmentation-models-pytorch has no {way!r}.{nearest(way.lower(), known)} Expected 'smp:NAME' or 'smp:NAME/BODY', NAME one of "
            f"{', '.join(known)}, and BODY an architecture such as '{DEFAULT_BODY}'."
        )
    return way.lower(), body or DEFAULT_BODY


class SmpNet(nn.Module):
    """A body and a way up of segmentation-models-pytorch: outputs ``(batch, n_out, height, width)`` for pictures ``(batch, n_in, height, width)`` of any size.

    Attributes:
        body: normalises, and makes the feature maps.
        net: the package's network, whose encoder is the body.
    """

    def __init__(self, body: Backbone, net: Any, first: int, final: nn.Module | None = None) -> None:
        super().__init__()
        stride = int(net.encoder.output_stride)
        self.multiple = stride if net.requires_divisible_input_shape else 1
        net.encoder = _Encoder(body, list(net.encoder.out_channels), stride, first)
        self.net, self.final = net, final or nn.Identity()

    @property
    def body(self) -> Backbone:
        return self.net.encoder.body

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        below, right = -height % self.multiple, -width % self.multiple
        if below or right:
            x = pad(x, (0, right, 0, below), mode="replicate")
        return self.final(self.net(x)[..., :height, :width])

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """The body's groups, then the way up."""
        inside = {id(p) for p in self.body.parameters()}
        return [g for g in (*self.body.layer_groups(), [p for p in self.parameters() if id(p) not in inside]) if g]


class _Encoder(nn.Module):
    """A body as the package's networks expect it: the picture, then maps each half the size of the one before, one of no channels where the body has none.

    Args:
        channels: of each of these. first: which of the body's maps is the first of them.
    """

    def __init__(self, body: Backbone, channels: list[int], stride: int, first: int) -> None:
        super().__init__()
        self.body, self.out_channels, self.output_stride, self.first = body, channels, stride, first

    def forward(self, x: Tensor) -> list[Tensor]:
        x, maps = body_maps(self.body, x)
        before = [x] if self.out_channels[0] == x.shape[1] else []
        before += [x.new_empty(len(x), 0, x.shape[-2] // 2, x.shape[-1] // 2)] if 0 in self.out_channels else []
        return [*before, *maps[self.first : self.first + len(self.out_channels) - len(before)]]


def make_smp(
    way: str, arch: str, pretrained: bool | None, n_in: int, n_out: int, weights: Source | None, normalize: bool, arch_args: dict[str, Any],
    final: nn.Module | None,
) -> SmpNet:  # fmt: skip
    """The network of a way up and a body (one of timm's). Draws from torch's global generator.

    Raises:
        SettingError: they don't go together.
    """
    from burnish.vision.architectures import TORCHVISION, resolve

    name = resolve(arch)
    if name.startswith(TORCHVISION):
        raise SettingError(
            f"arch='{SMP}{way}/{arch}': the ways up of segmentation-models-pytorch stand on timm's architectures, and this one is torchvision's."
        )
    said = f"arch='{SMP}{way}/{arch}': these don't go together"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            net = _package().create_model(way, f"tu-{name}", encoder_weights=None, in_channels=n_in, classes=n_out)
    except _FAILURES as error:
        raise SettingError(f"{said} ({_brief(error)}). Take another body, such as '{DEFAULT_BODY}', or another way up.") from error
    stride, steps = int(net.encoder.output_stride), len(net.encoder.out_channels) - 1
    dilated = {"output_stride": stride} if stride < 2**steps else {}  # maps that stay larger, as some ways up ask for
    body = create_body(name, pretrained, n_in, weights, normalize=normalize, arch_args={**arch_args, **dilated})
    return _joined(body, net, n_in, n_out, final, said)


@torch.no_grad()
def _joined(body: Backbone, net: Any, n_in: int, n_out: int, final: nn.Module | None, said: str) -> SmpNet:
    """Both together, tried on a blank picture."""
    height, width = size_of(body)
    modes = [(m, m.training) for part in (body, net) for m in part.modules()]
    body.eval()
    net.eval()
    try:
        blank = torch.zeros(1, n_in, height, width)
        found = [made.shape[1] for made in body_maps(body, blank)[1]]
        wanted = [c for i, c in enumerate(net.encoder.out_channels) if c and (i or c != n_in)]
        first = next((i for i in range(len(found)) if found[i : i + len(wanted)] == wanted), None)
        if first is None:
            raise ValueError(f"the body's maps have {found} channels, and {wanted} were expected")
        model = SmpNet(body, net, first, final)
        made = model.net(blank)
        if made.shape != (1, n_out, height, width):
            raise ValueError(f"pictures of {height} x {width} pixels give {tuple(made.shape)}")
    except _FAILURES as error:
        raise SettingError(f"{said} ({_brief(error)}). Take another body, such as '{DEFAULT_BODY}', or another way up.") from error
    finally:
        for m, training in modes:
            m.training = training
    return model


def _brief(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _package() -> Any:
    try:
        import segmentation_models_pytorch
    except ImportError:
        raise ModuleNotFoundError(
            "arch='smp:...' needs segmentation-models-pytorch, which isn't installed: pip install segmentation-models-pytorch (or pip install '.[smp]' in a clone of burnish)."
        ) from None
    return segmentation_models_pytorch
