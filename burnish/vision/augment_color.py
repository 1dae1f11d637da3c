"""Lighting parts: brightness, contrast and saturation as one map in logit space; hue.

In logit space (log of x / (1 - x)) a picture can be made brighter or richer in contrast without clipping: adding moves
brightness, multiplying moves contrast. Brightness, contrast and saturation are all of the form
``a * l + b * grey(l) + c``, and so is any sequence of them, so a sequence is one pass over the pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from burnish.data.device import to_device
from burnish.errors import SettingError
from burnish.vision.augment_parts import Draw, Part, Rng, check_draw, check_number, chosen, drawn, uniform
from burnish.vision.transforms import check_p

Step = Callable[[Tensor, slice], Tensor]  # (some pictures of a batch, which) -> those pictures, changed; the given ones stay

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
_EPS = 1e-6


class ColourPart(Part):
    """Changes pixels where they are, in the pictures that `p` chooses; `draw` is for these."""

    joins: bool = True  # can share one pass with its neighbours

    def __init__(self, p: float, draw: Draw, batch: bool) -> None:
        super().__init__()
        self.p, self.draw, self.batch = check_p(p), check_draw(draw, "draw"), batch

    def map(self, x: Tensor, rng: Rng) -> Tensor:
        """The coefficients a, b, c ``(batch, 3)`` on the CPU, as if it happened to all."""
        raise NotImplementedError

    def pass_over(self, x: Tensor, rng: Rng) -> Step | None:
        """For parts that don't join: the pass over the pixels, None when nobody is chosen."""
        raise NotImplementedError


class _Lighting(ColourPart):
    def __init__(self, max_lighting: float = 0.2, p: float = 0.75, draw: Draw = None, batch: bool = False) -> None:
        super().__init__(p, draw, batch)
        if not 0 <= check_number(max_lighting, "max_lighting") < 1:
            raise SettingError(f"max_lighting={max_lighting}: expected 0 (none) to below 1.")
        self.max_lighting = max_lighting

    def _factor(self, x: Tensor, rng: Rng, name: str) -> Tensor:
        most = -math.log(1 - self.max_lighting)
        return drawn(self.draw, x, lambda: uniform(len(x), -most, most, rng, self.batch).exp(), name)


class Brightness(_Lighting):
    """Brighter or darker with probability `p`. `draw`: 0 (black) to 1 (white), 0.5 leaves pictures as they are; for those that are chosen (all by ``p=1.0``)."""

    def map(self, x: Tensor, rng: Rng) -> Tensor:
        low, high = 0.5 * (1 - self.max_lighting), 0.5 * (1 + self.max_lighting)
        level = drawn(self.draw, x, lambda: uniform(len(x), low, high, rng, self.batch), "Brightness(draw=...)")
        return _coefficients(len(x), c=torch.logit(level, 1e-3))


class Contrast(_Lighting):
    """More or less contrast with probability `p`. `draw`: the factor in logit space, 1 leaves pictures as they are; for those that are chosen (all by ``p=1.0``)."""

    def map(self, x: Tensor, rng: Rng) -> Tensor:
        return _coefficients(len(x), a=self._factor(x, rng, "Contrast(draw=...)"))


class Saturation(_Lighting):
    """More or less colour with probability `p`. `draw`: 0 is grey, 1 leaves pictures as they are, above is more colour; for those
    that are chosen (all by ``p=1.0``)."""

    def map(self, x: Tensor, rng: Rng) -> Tensor:
        factor = self._factor(x, rng, "Saturation(draw=...)")
        return _coefficients(len(x), a=factor, b=1 - factor)


class Hue(ColourPart):
    """Turns the colours around the colour circle with probability `p`. `draw`: the share of a full turn, -0.5..0.5, for those
    that are chosen (all by ``p=1.0``).
    Leaves pictures that don't have 3 channels as they are."""

    joins = False

    def __init__(self, max_hue: float = 0.1, p: float = 0.75, draw: Draw = None, batch: bool = False) -> None:
        super().__init__(p, draw, batch)
        if not 0 <= check_number(max_hue, "max_hue") < 1:
            raise SettingError(f"max_hue={max_hue}: expected 0 (none) to below 1.")
        self.max_hue = max_hue

    def pass_over(self, x: Tensor, rng: Rng) -> Step | None:
        most = -math.log(1 - self.max_hue)
        happens = chosen(len(x), self.p, rng, self.batch)
        turned = drawn(self.draw, x, lambda: uniform(len(x), -most, most, rng, self.batch), "Hue(draw=...)")
        if not happens.any() or x.ndim != 4 or x.shape[1] != 3:
            return None
        sent = to_device(torch.where(happens, turned, 0.0)[:, None, None], x.device)
        return lambda y, some: turn_hue(y, sent[some].to(y.dtype))


def light(parts: Sequence[ColourPart], x: Tensor, rng: Rng) -> Step | None:
    """One pass over the pixels for a sequence of parts that join; None when no picture was chosen."""
    total: Tensor | None = None
    for part in parts:
        happens = chosen(len(x), part.p, rng, part.batch)
        step = part.map(x, rng)
        if happens.any():
            step = torch.where(happens[:, None], step, _coefficients(1))
            total = step if total is None else _after(total, step)
    if total is None:
        return None
    greyed = bool((total[:, 1] != 0).any())  # on the CPU
    sent = to_device(total, x.device)

    def run(y: Tensor, some: slice) -> Tensor:
        a, b, c = sent[some].to(y.dtype)[:, :, None, None, None].unbind(1)
        logits = torch.logit(y, _EPS if y.dtype == torch.float32 else 1e-3)
        grey = _grey(logits) * b if greyed else None
        logits.mul_(a).add_(c)
        return (logits if grey is None else logits.add_(grey)).sigmoid_()

    return run


def turn_hue(x: Tensor, by: Tensor) -> Tensor:
    """Colours ``(batch, 3, height, width)`` in 0..1 turned around the circle by `by` ``(batch, 1, 1)`` full turns, brightest channel
    and saturation kept (HSV). Without branches: https://en.wikipedia.org/wiki/HSL_and_HSV#HSV_to_RGB_alternative"""
    red, green, blue = x.unbind(1)
    value, low = x.amax(dim=1), x.amin(dim=1)
    chroma = value - low
    safe = chroma.clamp(min=1e-8)
    hue = torch.where(value == red, (green - blue) / safe, torch.where(value == green, (blue - red) / safe + 2, (red - green) / safe + 4))
    hue = hue + 6 * by
    channels = []
    for offset in (5, 3, 1):
        k = (hue + offset) % 6
        channels.append(value - chroma * torch.minimum(k, 4 - k).clamp(0, 1))
    return torch.stack(channels, dim=1)


def _coefficients(n: int, a: Tensor | float = 1.0, b: Tensor | float = 0.0, c: Tensor | float = 0.0) -> Tensor:
    m = torch.zeros(n, 3)
    m[:, 0], m[:, 1], m[:, 2] = a, b, c
    return m


def _after(first: Tensor, second: Tensor) -> Tensor:
    """The coefficients of `second` applied to the result of `first`: grey(grey(l)) = grey(l) and grey(1) = 1."""
    (a1, b1, c1), (a2, b2, c2) = first.unbind(1), second.unbind(1)
    return torch.stack([a2 * a1, a2 * b1 + b2 * a1 + b2 * b1, (a2 + b2) * c1 + c2], dim=1)


def _grey(logits: Tensor) -> Tensor:
    """The weighted mean of the channels ``(batch, 1, height, width)``."""
    if logits.shape[1] != 3:
        return logits.mean(dim=1, keepdim=True)
    red, green, blue = logits.split(1, dim=1)
    return red * _LUMA[0] + green * _LUMA[1] + blue * _LUMA[2]
