"""RealMLP: a network for tables made of what was found to win on many of them; all plain PyTorch.

After Holzmueller, Grinsztajn and Steinwart 2024, "Better by default" (arXiv:2407.04491): numbers clipped softly and embedded by
periodic functions, categories one-hot where they are few, a learned scale of each input, layers whose steps don't depend on
their width (the neural tangent parametrisation), and smooth activations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from burnish.tabular.models import Embeddings, dropouts

FEW_CATEGORIES = 9  # rows of a category up to which it is one-hot


class RealMLP(nn.Module):
    """``model(categories, numbers)`` gives ``(batch, out_sz)``.

    Args:
        emb_szs: (rows, width) of each category; those of up to 9 rows are one-hot instead.
        n_cont: how many numbers. out_sz: outputs. layers: widths of the hidden layers.
        ps: dropout after each hidden layer.
        periods: how many periodic functions describe a number. spread: of their frequencies.
        smooth: the activation: "selu" (classes) or "mish" (numbers).
        final: what the model ends in.
    """

    def __init__(
        self,
        emb_szs: Sequence[tuple[int, int]],
        n_cont: int,
        out_sz: int,
        layers: Sequence[int] = (256, 256, 256),
        ps: float | Sequence[float] | None = 0.15,
        periods: int = 16,
        spread: float = 0.1,
        smooth: str = "selu",
        final: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.few = [i for i, (rows, _) in enumerate(emb_szs) if rows <= FEW_CATEGORIES]
        self.many = [i for i in range(len(emb_szs)) if i not in self.few]
        self.sizes = [emb_szs[i][0] for i in self.few]
        self.embeds = Embeddings([(emb_szs[i][0], min(8, emb_szs[i][1])) for i in self.many])
        self.numbers = PeriodicNumbers(n_cont, periods, spread) if n_cont else None
        width = sum(self.sizes) + self.embeds.width + (self.numbers.width if self.numbers else 0)
        self.scale = nn.Parameter(torch.ones(width))
        widths, drops = [width, *layers], dropouts(ps, len(layers))
        parts: list[nn.Module] = []
        for n_in, n_out, p in zip(widths, widths[1:], drops, strict=False):
            parts += [TangentLinear(n_in, n_out), SmoothUnit(n_out, smooth), *([nn.Dropout(p)] if p else [])]
        self.layers = nn.Sequential(*parts, TangentLinear(widths[-1], out_sz, last=True), *([] if final is None else [final]))

    def inputs(self, x_cat: Tensor, x_cont: Tensor) -> Tensor:
        """What the layers are given ``(batch, width)``."""
        parts = [F.one_hot(x_cat[:, i], n).to(self.scale.dtype) for i, n in zip(self.few, self.sizes, strict=True)]
        if self.many:
            parts.append(self.embeds(x_cat[:, self.many]))
        if self.numbers is not None:
            parts.append(self.numbers(x_cont))
        return torch.cat(parts, 1) * self.scale

    def forward(self, x_cat: Tensor, x_cont: Tensor) -> Tensor:
        return self.layers(self.inputs(x_cat, x_cont))


class PeriodicNumbers(nn.Module):
    """Each number beside three mixtures of periodic functions of it: ``(batch, n)`` to ``(batch, 4 * n)``. Far values are drawn
    in smoothly, to within 3."""

    def __init__(self, n: int, periods: int = 16, spread: float = 0.1, width: int = 4) -> None:
        super().__init__()
        self.width = n * width
        self.frequency = nn.Parameter(torch.randn(n, periods) * spread)
        self.phase = nn.Parameter((torch.rand(n, periods) * 2 - 1) * math.pi)
        self.mix = nn.Parameter((torch.rand(n, periods, width - 1) * 2 - 1) / math.sqrt(periods))
        self.bias = nn.Parameter((torch.rand(n, width - 1) * 2 - 1) / math.sqrt(periods))

    def forward(self, x: Tensor) -> Tensor:
        x = x * torch.rsqrt(1 + (x / 3).square())
        waves = torch.cos(2 * math.pi * x[:, :, None] * self.frequency + self.phase)  # (batch, n, periods)
        mixed = torch.einsum("bnp,npk->bnk", waves, self.mix) + self.bias
        return torch.cat([x[:, :, None], mixed], 2).flatten(1)


class TangentLinear(nn.Module):
    """A linear layer in the neural tangent parametrisation: weights of spread 1, the sum divided by the root of their number."""

    def __init__(self, n_in: int, n_out: int, last: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(n_out, n_in) if last else torch.randn(n_out, n_in))
        self.bias = nn.Parameter(torch.zeros(n_out) if last else torch.randn(n_out))
        self.factor = 1 / math.sqrt(n_in)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.factor, self.bias)


class SmoothUnit(nn.Module):
    """A smooth activation that each channel may learn to do without: ``x + a * (f(x) - x)``, a starting at 1."""

    def __init__(self, n: int, function: str) -> None:
        super().__init__()
        self.function = {"selu": F.selu, "mish": F.mish}[function]
        self.amount = nn.Parameter(torch.ones(n))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.amount * (self.function(x) - x)
