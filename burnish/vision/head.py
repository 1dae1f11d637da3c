"""The head: from a body's features to the outputs that a target needs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from burnish.data.number import SigmoidRange
from burnish.errors import SettingError

_NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm)


class AdaptiveConcatPool2d(nn.Module):
    """The maximum and the mean of each channel, one after the other.

    Args:
        size: height and width of the result.

    Shapes: ``(batch, channel, height, width)`` to ``(batch, 2 * channel, size, size)``.
    """

    def __init__(self, size: int = 1) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        if self.size == 1:  # a reduction is several times as fast as adaptive pooling
            return torch.cat([x.amax((2, 3), keepdim=True), x.mean((2, 3), keepdim=True)], 1)
        pools = (nn.functional.adaptive_max_pool2d, nn.functional.adaptive_avg_pool2d)
        return torch.cat([pool(x, self.size) for pool in pools], 1)


def create_head(
    nf: int,
    n_out: int,
    lin_ftrs: Sequence[int] | None = None,
    ps: float | Sequence[float] = 0.5,
    pool: bool = True,
    concat_pool: bool = True,
    first_bn: bool = True,
    bn_final: bool = False,
    lin_first: bool = False,
    y_range: tuple[float, float] | None = None,
    bn_eps: float = 1e-5,
    final: nn.Module | None = None,
) -> nn.Sequential:
    """Pooling, then (batch norm, dropout, linear) layers with ReLU between them.

    Args:
        nf: channels of the features.
        n_out: outputs.
        lin_ftrs: widths between, ``[512]`` by default; ``[]`` for a single linear layer.
        ps: dropout before the last layer, half of it before those above; or one value for each linear layer. A dropout of 0 has
            its place too: weights fit whatever `ps` they were trained with.
        pool: pool feature maps ``(batch, nf, h, w)`` first; False for features that are pooled already, ``(batch, nf)``.
        concat_pool: pool by maximum and mean; False by mean alone.
        first_bn: batch norm before the first linear layer.
        bn_final: batch norm on the outputs.
        lin_first: linear layer before batch norm and dropout in each step.
        y_range: (low, high) that outputs are squeezed into.
        bn_eps: what batch norm adds to the variance it divides by. ``vision_learner`` has 1e-3: of features that are mostly zero,
            batches of 4 or 8 often see nothing, and the running variance that is left would blow up the rare ones in evaluation.

        final: what comes last (the target's own units, say), unless `y_range` is given.

    Output shape: ``(batch, n_out)``. The last linear layer has a bias, so that it can take up the classes' frequencies.

    Raises:
        SettingError: a number makes no sense.
    """
    if n_out < 1:
        raise SettingError(f"n_out={n_out}: expected the number of outputs, 1 or more. It follows from the data unless it is given.")
    first = nf * 2 if pool and concat_pool else nf
    widths = [first, *([512] if lin_ftrs is None else lin_ftrs), n_out]
    drops = _dropouts(ps, len(widths) - 1)
    layers: list[nn.Module] = []
    if pool:
        layers.append(AdaptiveConcatPool2d() if concat_pool else nn.AdaptiveAvgPool2d(1))
    layers.append(nn.Flatten())
    if lin_first:
        layers.append(nn.Dropout(drops.pop(0)))
    for i, (wide, narrow) in enumerate(itertools.pairwise(widths)):
        last = i == len(widths) - 2
        drop = drops[i] if i < len(drops) else None
        has_norm = not last if lin_first else first_bn or i > 0
        norm = [nn.BatchNorm1d(narrow if lin_first else wide, bn_eps)] if has_norm else []
        layers += _step(wide, narrow, drop, norm, last=last, lin_first=lin_first)
    if bn_final:
        layers.append(nn.BatchNorm1d(n_out, momentum=0.01))
    final = final if y_range is None else SigmoidRange(*y_range)
    layers += [] if final is None else [final]
    return nn.Sequential(*layers)


class PlaceOfMaps(nn.Module):
    """The mean place of each map, weighted by its softmax: maps ``(batch, n, height, width)`` to x, y in about -1 ... 1 ``(batch, n, 2)`` (soft argmax; Nibali et
    al. 2018)."""

    EDGE = 1.1  # where the outermost cells are: a mean never quite gets there

    def forward(self, maps: Tensor) -> Tensor:
        height, width = maps.shape[-2:]
        share = maps.float().flatten(2).softmax(-1).reshape(maps.shape)
        across, down = (torch.linspace(-self.EDGE, self.EDGE, n, device=maps.device) for n in (width, height))
        return torch.stack([(share.sum(-2) * across).sum(-1), (share.sum(-1) * down).sum(-1)], dim=-1)


class PointHead(nn.Sequential):
    """From feature maps ``(batch, nf, height, width)`` to `n` points ``(batch, n, 2)``: a map for each, and its place. A head that pools first knows little of places:
    on 240 pictures with two painted shapes it learned nothing in the epochs in which this one was within a tenth of the side."""

    def __init__(self, nf: int, n: int, hidden: int = 128) -> None:
        def conv(wide: int, side: int) -> list[nn.Module]:
            return [nn.Conv2d(wide, hidden, side, padding=side // 2, bias=False), nn.BatchNorm2d(hidden), nn.ReLU(inplace=True)]

        super().__init__(*conv(nf, 1), *conv(hidden, 3), nn.Conv2d(hidden, n, 1), PlaceOfMaps())


def _step(wide: int, narrow: int, drop: float | None, norm: list[nn.BatchNorm1d], last: bool, lin_first: bool) -> list[nn.Module]:
    """One linear layer with what goes with it, in the order asked for."""
    # A bias before a batch norm is taken out by it; the last layer's is what the outputs begin with.
    linear: list[nn.Module] = [nn.Linear(wide, narrow, bias=last)]
    if not last:
        linear.append(nn.ReLU(inplace=True))
    around: list[nn.Module] = [*norm, *([] if drop is None else [nn.Dropout(drop)])]
    return linear + around if lin_first else around + linear


def _dropouts(ps: float | Sequence[float], n: int) -> list[float]:
    drops = [ps / 2] * (n - 1) + [ps] if isinstance(ps, (int, float)) else list(ps)
    if len(drops) != n or not all(0 <= p < 1 for p in drops):
        raise SettingError(f"ps={ps!r}: expected one number from 0 to below 1, or one for each of the {n} linear layers.")
    return drops


@torch.no_grad()
def begin_with(head: nn.Module, outputs: Tensor, flat: Tensor) -> None:
    """Lets the last linear layer's bias begin with these raw outputs ``(n_out,)``, where it has one for each of them.

    Args:
        flat: which of them ``(n_out,)`` begin so for every sample, their weights 0.
    """
    last = next((m for m in reversed(list(head.modules())) if isinstance(m, nn.Linear)), None)
    if last is not None and last.bias is not None and last.bias.shape == outputs.shape:
        last.bias.copy_(outputs)
        last.weight[flat] = 0


def init_head(head: nn.Module, init: Callable[[Tensor], Any] | None = nn.init.kaiming_normal_) -> nn.Module:
    """Initialises what is not a norm: weights of two or more dimensions by `init`, biases by zero. None leaves all as it is.

    Draws from torch's global generator: call it inside ``own_globals``.
    """
    for module in head.modules():
        weight, bias = getattr(module, "weight", None), getattr(module, "bias", None)
        if init is None or isinstance(module, _NORMS):
            continue
        if isinstance(weight, Tensor) and weight.ndim >= 2:
            init(weight)
        if isinstance(bias, Tensor):
            nn.init.zeros_(bias)
    return head
