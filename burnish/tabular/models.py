"""Networks for tables: embeddings of the categories beside the numbers, then layers; all plain PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from burnish.data.number import SigmoidRange
from burnish.data.whole import whole_number
from burnish.errors import SettingError, listed, nearest

NARROW = 32  # numbers of an embedding up to which it is looked up together with others


def emb_sz_rule(n_cat: int) -> int:
    """How many numbers an embedding of `n_cat` categories has: 1.6 times their number to the power 0.56, at most 600.

    >>> [emb_sz_rule(n) for n in (2, 10, 100, 1000, 10000)]
    [2, 6, 21, 77, 278]
    """
    return min(600, round(1.6 * n_cat**0.56))


def get_emb_sz(
    classes: Mapping[str, Sequence[Any]], sz_dict: Mapping[str, int] | None = None, rule: Callable[[int], int] = emb_sz_rule
) -> list[tuple[int, int]]:
    """(rows, width) of each category's embedding: a row a class ("#na#" is the first), and one more for unknown categories.

    Args:
        classes: feature to its classes, as ``dls.classes`` gives them.
        sz_dict: widths of your own by feature.
        rule: from a number of categories to the width of the others.
    """
    own = dict(sz_dict or {})
    unknown = [name for name in own if name not in classes]
    if unknown:
        raise SettingError(
            f"emb_szs names {listed(map(repr, unknown))}, which is no category here.{nearest(str(unknown[0]), classes)} They are: {listed(classes, 20)}."
        )
    odd = [name for name, width in own.items() if whole_number(width, least=1) is None]
    if odd:
        raise SettingError(f"emb_szs has {odd[0]!r}: {own[odd[0]]!r}; expected how many numbers describe a category, at least 1.")
    return [(len(c) + 1, int(own.get(name, rule(len(c))))) for name, c in classes.items()]


class Embeddings(nn.Module):
    """An embedding for each category: ``(batch, columns)`` int64 to ``(batch, sum of widths)``, those of up to 32 numbers first.

    Those lie one after the other in one `weight` and are looked up at once: a lookup each is most of a small network's time.

    Args:
        sizes: (rows, width) of each.
        p: dropout on the result.
    """

    weight: nn.Parameter
    rows: Tensor
    column: Tensor
    stride: Tensor
    start: Tensor

    def __init__(self, sizes: Sequence[tuple[int, int]], p: float = 0.0) -> None:
        super().__init__()
        self.sizes = [(int(rows), int(width)) for rows, width in sizes]
        self.narrow = [i for i, (_, width) in enumerate(self.sizes) if width <= NARROW]
        self.wide = nn.ModuleDict({str(i): nn.Embedding(*self.sizes[i]) for i in range(len(self.sizes)) if i not in self.narrow})
        self.width = sum(width for _, width in self.sizes)
        ends = np.cumsum([0, *(rows * width for rows, width in map(self.sizes.__getitem__, self.narrow))])
        self.begins = dict(zip(self.narrow, ends.tolist(), strict=False))
        self.weight = nn.Parameter(torch.empty(int(ends[-1])))
        each = [(i, self.sizes[i][1], self.begins[i] + k) for i in self.narrow for k in range(self.sizes[i][1])]
        for name, values in zip(("column", "stride", "start"), zip(*each, strict=True) if each else ((), (), ()), strict=True):
            self.register_buffer(name, torch.tensor(values, dtype=torch.int64), persistent=False)
        self.register_buffer("rows", torch.tensor([rows for rows, _ in self.sizes], dtype=torch.int64), persistent=False)
        for table in (self.weight, *(embed.weight for embed in self.wide.values())):
            nn.init.trunc_normal_(table, std=0.01)  # type: ignore[arg-type]
        self.drop = nn.Dropout(p)

    def forward(self, codes: Tensor) -> Tensor:
        if not self.sizes:
            return self.weight.new_zeros(len(codes), 0)
        if codes.device.type == "cpu" and not (torch.compiler.is_compiling() or torch.jit.is_tracing()):
            self._check(codes)
        # a code's numbers lie at start + code * width, start + 1 + code * width, ...
        places = codes.index_select(1, self.column) * self.stride + self.start
        parts = [self.weight.index_select(0, places.flatten()).view(places.shape)]
        parts += [embed(codes[:, int(i)]) for i, embed in self.wide.items()]
        return self.drop(parts[0] if len(parts) == 1 else torch.cat(parts, 1))

    def _check(self, codes: Tensor) -> None:
        """Raises IndexError for codes that have no row: where all rows lie in one weight they would be answered by another column's."""
        wrong = (codes < 0) | (codes >= self.rows)
        if wrong.any():
            row, column = wrong.nonzero()[0].tolist()
            raise IndexError(
                f"The code {int(codes[row, column])} in row {row}, column {column} has no embedding: codes of this column go from 0 to "
                f"{self.sizes[column][0] - 1}. Make codes with the data's own blocks: learn.dls.test_dl(df)."
            )

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, i: int) -> nn.Embedding:
        """The embedding of column `i`; its weight ``(rows, width)`` is the one here, not a copy."""
        i = range(len(self))[i]
        if i not in self.begins:
            return self.wide[str(i)]  # type: ignore[return-value]
        rows, width = self.sizes[i]
        return nn.Embedding.from_pretrained(
            self.weight.detach()[self.begins[i] : self.begins[i] + rows * width].view(rows, width), freeze=False
        )


class TabularModel(nn.Module):
    """Embeddings and numbers through layers: ``model(categories, numbers)`` gives ``(batch, out_sz)``; without numbers (``n_cont=0``) also
    ``model(categories)``.

    Args:
        emb_szs: (rows, width) of each category's embedding.
        n_cont: how many numbers. out_sz: outputs. layers: the widths of the hidden layers.
        ps: dropout after each hidden layer: one number, or one each.
        embed_p: dropout on the embeddings.
        y_range: (low, high) that the outputs never leave.
        use_bn: batch normalisation after each hidden layer. bn_final: after the last too. bn_cont: of the numbers.
        act_cls: makes the activation.
        lin_first: each layer is linear, activation, normalisation, dropout; False normalises and drops first.
        final: what the model ends in, after all else.
    """

    def __init__(
        self,
        emb_szs: Sequence[tuple[int, int]],
        n_cont: int,
        out_sz: int,
        layers: Sequence[int],
        ps: float | Sequence[float] | None = None,
        embed_p: float = 0.0,
        y_range: tuple[float, float] | None = None,
        use_bn: bool = True,
        bn_final: bool = False,
        bn_cont: bool = True,
        act_cls: Callable[[], nn.Module] = nn.ReLU,
        lin_first: bool = True,
        final: nn.Module | None = None,
    ) -> None:
        super().__init__()
        drops = dropouts(ps, len(layers))
        self.embeds = Embeddings(emb_szs, embed_p)
        self.bn_cont = nn.BatchNorm1d(n_cont) if bn_cont and n_cont else None
        widths = [self.embeds.width + n_cont, *layers]
        hidden = [
            hidden_layer(n_in, n_out, use_bn and (bool(i) or lin_first), p, act_cls(), lin_first)
            for i, (n_in, n_out, p) in enumerate(zip(widths, widths[1:], drops, strict=False))
        ]
        last: list[nn.Module] = [nn.Linear(widths[-1], out_sz), *([nn.BatchNorm1d(out_sz)] if bn_final else [])]
        ends = [SigmoidRange(*y_range)] if y_range is not None else [] if final is None else [final]
        self.layers = nn.Sequential(*(m for part in hidden for m in part), *last, *ends)

    def inputs(self, x_cat: Tensor, x_cont: Tensor | None = None) -> Tensor:
        """What the layers are given: the embeddings and the numbers ``(batch, width)``."""
        if x_cont is None:
            return self.embeds(x_cat)
        numbers = x_cont if self.bn_cont is None else self.bn_cont(x_cont)
        return torch.cat([self.embeds(x_cat), numbers], 1)

    def forward(self, x_cat: Tensor, x_cont: Tensor | None = None) -> Tensor:
        return self.layers(self.inputs(x_cat, x_cont))


def hidden_layer(n_in: int, n_out: int, bn: bool, p: float, act: nn.Module, lin_first: bool) -> list[nn.Module]:
    """The modules of one hidden layer."""
    linear: list[nn.Module] = [nn.Linear(n_in, n_out, bias=not bn), act]
    rest: list[nn.Module] = [*([nn.BatchNorm1d(n_out if lin_first else n_in)] if bn else []), *([nn.Dropout(p)] if p else [])]
    return [*linear, *rest] if lin_first else [*rest, *linear]


def dropouts(ps: float | Sequence[float] | None, n: int) -> list[float]:
    """One dropout a hidden layer. Raises SettingError for another number of them, or one that is no share."""
    given = [0.0] * n if ps is None else [float(ps)] * n if isinstance(ps, (int, float)) else [float(p) for p in ps]
    if len(given) != n or any(not 0 <= p < 1 for p in given):
        raise SettingError(f"ps={ps!r}: expected a share from 0 to below 1, or one for each of the {n} hidden layers.")
    return given
