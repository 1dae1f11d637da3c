"""Splitters that draw as fastai's do: the same seed gives the same samples."""

from __future__ import annotations

from typing import Any

import torch

from burnish.data import split

__all__ = ["RandomSplitter"]


class RandomSplitter(split.RandomSplitter):
    """A random share validates. With a seed the share that fastai draws with it, from the same items in the same order; without one PyTorch's own generator draws
    (``set_seed`` fixes it). With a seed that generator stays as it was.
    """

    def split(self, items: Any, table: Any) -> Any:
        n = len(items)
        generator = None if self.seed is None else torch.Generator().manual_seed(self.seed)
        order = torch.randperm(n, generator=generator).numpy()
        n_valid = max(1, int(self.valid_pct * n)) if n > 1 else 0
        return order[n_valid:], order[:n_valid]
