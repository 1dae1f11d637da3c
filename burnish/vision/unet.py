"""U-Net: a body's feature maps, brought back step by step to the size of the picture (Ronneberger, Fischer and Brox 2015)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, softmax

from burnish.errors import SettingError
from burnish.vision.backbones import Backbone

WIDEST, NARROWEST = 512, 64  # channels of a step of the way up


class UNet(nn.Module):
    """A body and the way up: outputs ``(batch, n_out, height, width)`` for pictures ``(batch, n_in, height, width)`` of any size.

    Each step doubles the size by a pixel shuffle, and joins the body's map of that size; the last one joins the picture itself. Steps are as wide as
    what goes into them (64 to 512 channels). As wide as the maps they join, with 32 at the end, they are twice as quick and learn less: mean IoU 0.410 instead of 0.441 after 3 epochs
    of resnet18 from scratch (the benchmark ``unet_epoch``, means of 3 seeds).

    Args:
        body: one that gives feature maps at several sizes.
        n_out: outputs a pixel. n_in: channels of the pictures.
        blur: average each pixel with its neighbours after a shuffle, against checkerboards. self_attention: let far places see each other, two steps
            before the last (Zhang et al. 2019).
        last_cross: the last step sees the (normalised) picture.
        final: what comes last, or None.
    """

    def __init__(
        self,
        body: Backbone,
        n_out: int,
        n_in: int = 3,
        *,
        blur: bool = False,
        self_attention: bool = False,
        last_cross: bool = True,
        final: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.body, self.last_cross = body, last_cross
        sizes = probe_maps(body, n_in)
        self.taken = [i for i, _, _ in sizes]
        channels, strides = [c for _, c, _ in sizes], [s for _, _, s in sizes]
        deepest = channels[-1]
        self.middle = nn.Sequential(nn.BatchNorm2d(deepest), nn.ReLU(), _conv(deepest, min(deepest, WIDEST)))
        width, steps = min(deepest, WIDEST), []
        for i, joined in enumerate(reversed(channels[:-1])):
            made = step_width(width, joined)
            attends = self_attention and i == max(0, len(channels) - 4)
            steps.append(Step(width, joined, made, strides[-1 - i] // strides[-2 - i], blur, attends))
            width = made
        self.steps = nn.ModuleList(steps)
        self.enlarge = Enlarge(width, NARROWEST, strides[0], blur)
        seen = NARROWEST + (n_in if last_cross else 0)
        self.last = nn.Sequential(Residual(seen, NARROWEST), nn.Conv2d(NARROWEST, n_out, 1))
        self.final = final or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        picture, maps = body_maps(self.body, x)
        maps = [maps[i] for i in self.taken]
        out = self.middle(maps[-1])
        for step, joined in zip(self.steps, reversed(maps[:-1]), strict=True):
            out = step(out, joined)
        out = _sized(self.enlarge(out), picture)
        if self.last_cross:
            out = torch.cat([out, picture.to(out.dtype)], dim=1)
        return self.final(self.last(out))

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """The body's groups, then the way up."""
        inside = {id(p) for p in self.body.parameters()}
        return [g for g in (*self.body.layer_groups(), [p for p in self.parameters() if id(p) not in inside]) if g]


def step_width(wide: int, joined: int) -> int:
    """Channels of a step that is given `wide` ones from below, and joins a map of `joined`."""
    return max(NARROWEST, min(WIDEST, wide // 2 + joined))


def unet_groups(model: nn.Module) -> list[list[nn.Parameter]]:
    """A learner's ``splitter`` for a U-Net, and for other networks that know their groups."""
    groups = getattr(model, "layer_groups", None)
    return groups() if callable(groups) else [list(model.parameters())]  # pyright: ignore[reportReturnType]


# -- the body's maps ------------------------------------------------------------------------------------------------------
def body_maps(body: Backbone, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """The normalised picture, and all maps that the body makes of it, from the finest on. Nothing is kept for a backward pass through a frozen body."""
    if torch.is_grad_enabled() and not x.requires_grad and body.frozen:
        with torch.no_grad():
            return _maps(body, x)
    return _maps(body, x)


def _maps(body: Backbone, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    x = body.normalize(x)
    model = body.model
    if hasattr(model, "forward_intermediates"):
        return x, model.forward_intermediates(x, intermediates_only=True)  # pyright: ignore[reportCallIssue]
    maps, y = [], x
    for module in _sequence(model):
        y = module(y)
        maps.append(y)
    return x, maps


def _sequence(model: nn.Module) -> list[nn.Module]:
    """The parts of a network that apply one after the other."""
    parts = list(model.children()) if isinstance(model, nn.Sequential) else [model]
    return [inner for part in parts for inner in (_sequence(part) if len(parts) < 3 and isinstance(part, nn.Sequential) else [part])]


def probe_maps(body: Backbone, n_in: int) -> list[tuple[int, int, int]]:
    """The maps that a U-Net joins: (which of the body's, its channels, its stride), of each size the deepest, from the finest on.

    Raises:
        SettingError: the body doesn't give maps of several sizes.
    """
    height, width = size_of(body)
    modes = [(m, m.training) for m in body.modules()]
    body.eval()
    try:
        with torch.no_grad():
            _, maps = body_maps(body, torch.zeros(1, n_in, height, width))
    finally:
        for m, training in modes:
            m.training = training
    found: dict[int, tuple[int, int, int]] = {}
    for i, made in enumerate(maps):
        if made.ndim == 4 and width % made.shape[-1] == 0 and (stride := width // made.shape[-1]) > 1:
            found[stride] = (i, made.shape[1], stride)
    chosen = [found[s] for s in sorted(found)]
    if len(chosen) < 2:
        shapes = [tuple(m.shape[1:]) for m in maps]
        raise SettingError(
            f"The body {body.arch or type(body.model).__name__!r} gives maps of one size only ({shapes}), and a U-Net needs several: a convolutional network "
            "(resnet34, convnext_tiny, efficientnet_b0) or a hierarchical transformer (swin_tiny_patch4_window7_224) has them."
        )
    return chosen


def size_of(body: Backbone) -> tuple[int, int]:
    """The height and width of pictures to try a body with: those it was made for, where it takes no others."""
    config = getattr(body.model, "pretrained_cfg", None) or {}
    own = getattr(getattr(body.model, "patch_embed", None), "img_size", None)
    if own:
        return (own[0], own[1]) if isinstance(own, (tuple, list)) else (own, own)
    side = (config.get("input_size") or (3, 224, 224))[1] if config.get("fixed_input_size") else 128
    return side, side


# -- the way up -------------------------------------------------------------------------------------------------------------
class Step(nn.Module):
    """One step up: enlarged, joined with the body's map of that size, two convolutions."""

    def __init__(self, wide: int, joined: int, out: int, times: int, blur: bool, attends: bool) -> None:
        super().__init__()
        half = max(NARROWEST, wide // 2)
        self.enlarge, self.norm = Enlarge(wide, half, times, blur), nn.BatchNorm2d(joined)
        self.convs = nn.Sequential(nn.ReLU(), _conv(half + joined, out), _conv(out, out), *([SelfAttention(out)] if attends else []))

    def forward(self, x: Tensor, joined: Tensor) -> Tensor:
        x = _sized(self.enlarge(x), joined)
        return self.convs(torch.cat([x, self.norm(joined)], dim=1))


class Enlarge(nn.Module):
    """`times` the size by a pixel shuffle (Shi et al. 2016), its convolution initialised so that it begins as nearest-neighbour enlargement (ICNR, Aitken
    et al. 2017)."""

    def __init__(self, wide: int, out: int, times: int, blur: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(wide, out * times**2, 1)
        nn.init.kaiming_normal_(self.conv.weight)
        nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]
        with torch.no_grad():
            self.conv.weight.copy_(self.conv.weight[:out].repeat_interleave(times**2, dim=0))
        self.shuffle = nn.PixelShuffle(times)
        self.smooth = nn.Sequential(nn.ReplicationPad2d((1, 0, 1, 0)), nn.AvgPool2d(2, stride=1)) if blur else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.smooth(self.shuffle(torch.relu(self.conv(x))))


class Residual(nn.Module):
    """Two convolutions beside a straight way."""

    def __init__(self, wide: int, out: int) -> None:
        super().__init__()
        self.straight = nn.Conv2d(wide, out, 1)
        self.convs = nn.Sequential(_conv(wide, out), nn.Conv2d(out, out, 3, padding=1, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.convs(x) + self.straight(x))


class SelfAttention(nn.Module):
    """Each place sees all others, weighed by likeness, at first not at all: ``gamma`` begins at 0 (Zhang et al. 2019, SAGAN)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(1, channels // 8)
        self.query, self.key, self.value = (nn.Conv1d(channels, n, 1, bias=False) for n in (inner, inner, channels))
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(2)
        seen = softmax(self.query(flat).transpose(1, 2) @ self.key(flat), dim=1)
        return (self.gamma * (self.value(flat) @ seen) + flat).reshape(x.shape)


def _conv(wide: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(wide, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU())


def _sized(x: Tensor, like: Tensor) -> Tensor:
    """`x` at the height and width of `like`, from which it differs by a pixel or two where these were odd."""
    return x if x.shape[-2:] == like.shape[-2:] else interpolate(x, size=like.shape[-2:], mode="nearest")


def init_way_up(model: UNet) -> None:
    """Convolutions by He et al. 2015; those of ``Enlarge`` stay as they are. Draws from torch's global generator."""
    parts: Sequence[nn.Module] = [model.middle, *(step.convs for step in model.steps), model.last]  # type: ignore[union-attr]
    for module in (m for part in parts for m in part.modules()):
        if isinstance(module, (nn.Conv1d, nn.Conv2d)):
            nn.init.kaiming_normal_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
