"""RealMLP: a network for tables made of what was found to win on many of them; all plain PyTorch.

After Holzmueller, Grinsztajn and Steinwart 2024, "Better by default" (arXiv:2407.04491): numbers clipped softly, categories one-hot
where they are few, a learned scale of each input, layers whose steps don't depend on their width (the neural tangent parametrisation),
and smooth activations. Numbers are told piece by piece instead of by periodic functions, which was measured to be better.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from burnish.tabular.models import Embeddings, dropouts, emb_sz_rule

FEW_CATEGORIES = 9  # rows of a category up to which it is one-hot
MOST_BINS = 8192  # of all numbers together
MOST_ROWS = 100_000  # that bins are learned from


def modern_emb_sz(n_cat: int) -> int:
    """How many numbers an embedding of `n_cat` categories has in ``RealMLP``: at most 8, and 0 (one-hot) where they are few."""
    return 0 if n_cat < FEW_CATEGORIES else min(8, emb_sz_rule(n_cat))


class RealMLP(nn.Module):
    """``model(categories, numbers)`` gives ``(batch, out_sz)``.

    Args:
        emb_szs: (rows, width) of each category's embedding; a width of 0 is one-hot.
        n_cont: how many numbers. out_sz: outputs. layers: widths of the hidden layers.
        ps: dropout after each hidden layer.
        bins: most bins of a number (see ``PiecewiseNumbers``); fewer where there are more than 64 numbers.
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
        bins: int = 128,
        smooth: str = "selu",
        final: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.few = [i for i, (_, width) in enumerate(emb_szs) if not width]
        self.many = [i for i in range(len(emb_szs)) if i not in self.few]
        self.sizes = [emb_szs[i][0] for i in self.few]
        self.embeds = Embeddings([emb_szs[i] for i in self.many])
        self.numbers = PiecewiseNumbers(n_cont, max(2, min(bins, MOST_BINS // n_cont))) if n_cont else None
        width = sum(self.sizes) + self.embeds.width + (self.numbers.width if self.numbers else 0)
        self.scale = nn.Parameter(torch.ones(width))
        widths, drops = [width, *layers], dropouts(ps, len(layers))
        parts: list[nn.Module] = []
        for n_in, n_out, p in zip(widths, widths[1:], drops, strict=False):
            parts += [TangentLinear(n_in, n_out), SmoothUnit(n_out, smooth), *([nn.Dropout(p)] if p else [])]
        self.layers = nn.Sequential(*parts, TangentLinear(widths[-1], out_sz, last=True), *([] if final is None else [final]))

    def learn_bins(self, x_cat: Tensor, x_cont: Tensor) -> None:
        """Sets the bins of the numbers by training rows."""
        if self.numbers is not None:
            self.numbers.learn(x_cont)

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


class PiecewiseNumbers(nn.Module):
    """Each number beside `width` ones that follow it piece by piece: ``(batch, n)`` to ``(batch, n * (1 + width))``.

    A number is told by how far it has come through each of its bins, from -1 (not reached) to 1 (passed), of which a linear layer of its
    own makes `width` numbers (Gorishniy, Rubachev and Babenko 2022, "On embeddings for numerical features", arXiv:2203.05556): so a network
    sees a step in a number as well as a tree does. The number itself is drawn in smoothly, to within 3.

    Args:
        n: how many numbers. bins: most bins of each. width: numbers made of each.
    """

    edges: Tensor  # (n, bins + 1), increasing; those that aren't needed repeat the last

    def __init__(self, n: int, bins: int = 128, width: int = 8) -> None:
        super().__init__()
        self.width = n * (1 + width)
        self.mix = nn.Parameter((torch.rand(n, bins, width) * 2 - 1) / math.sqrt(bins))
        self.bias = nn.Parameter(torch.zeros(n, width))
        normal = torch.special.ndtri(torch.linspace(0, 1, bins + 3, dtype=torch.float64)[1:-1]).float()
        self.register_buffer("edges", normal.repeat(n, 1))

    @torch.no_grad()
    def learn(self, numbers: Tensor) -> None:
        """Sets the bins by training rows ``(rows, n)``: an edge at each value where they are few; else half of the edges divide the rows
        evenly, the other half the different values, so that a few large ones are told apart too."""
        bins = self.edges.shape[1] - 1
        for i, column in enumerate(numbers[:: max(1, len(numbers) // MOST_ROWS)].double().cpu().unbind(1)):
            edges = column.float().unique()
            if len(edges) > bins + 1:
                halves = ((column, bins // 2 + 1), (column.unique(), bins - bins // 2))
                edges = torch.cat([torch.quantile(v, torch.linspace(0, 1, n, dtype=torch.float64)) for v, n in halves]).float().unique()
            self.edges[i] = torch.cat([edges, edges[-1:].expand(bins + 1 - len(edges))])

    def forward(self, x: Tensor) -> Tensor:
        low, wide = self.edges[:, :-1], self.edges.diff(dim=1)
        there = wide > 0
        passed = ((x[:, :, None] - low) / torch.where(there, wide, 1)).clamp(0, 1) * 2 - 1
        made = torch.einsum("bnp,npk->bnk", passed * there, self.mix) + self.bias
        near = x * torch.rsqrt(1 + (x / 3).square())
        return torch.cat([near[:, :, None], made.relu()], 2).flatten(1)


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
