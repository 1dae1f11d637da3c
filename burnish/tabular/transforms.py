"""What is drawn in training on a table's rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from burnish.data.transforms import BatchTransform


class UnknownCategories(BatchTransform):
    """In training, a category is now and then taken as unknown, so that the model knows what to make of one.

    Args:
        codes: the code of the unknown, one a category's column; -1 leaves a column alone.
        p: how often, a share of the cells.
    """

    when: ClassVar[str] = "train"
    by_sample: ClassVar[bool] = True
    unknown: Tensor

    def __init__(self, codes: Sequence[int], p: float = 0.01) -> None:
        super().__init__()
        self.codes, self.p = list(codes), p
        self.register_buffer("unknown", torch.tensor(self.codes), persistent=False)
        self.register_buffer("chance", torch.tensor([p if code >= 0 else -1.0 for code in self.codes]), persistent=False)

    chance: Tensor

    def apply(self, batch: list[Tensor], kinds: Sequence[str], rng: torch.Generator | None) -> list[Tensor]:
        if rng is None:
            return batch
        return [self._some(t, rng) if kind == "categories" else t for t, kind in zip(batch, kinds, strict=False)]

    def _some(self, codes: Tensor, rng: torch.Generator) -> Tensor:
        drawn = torch.rand(codes.shape, generator=rng).to(codes.device, non_blocking=True)
        return torch.where(drawn < self.chance, self.unknown, codes)
