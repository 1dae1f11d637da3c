"""What notebooks for fastai ask of tensors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def pca(self: Tensor, k: int = 2) -> Tensor:
    """The rows on their `k` main directions: (n, features) to (n, k)."""
    centred = self.detach().float()
    centred = centred - centred.mean(0, keepdim=True)
    u, s, _ = torch.linalg.svd(centred, full_matrices=False)
    return u[:, :k] * s[:k]


def interp_1d(x: Tensor, xp: Any, fp: Any) -> Tensor:
    """`fp`, known at the rising places `xp`, at the places `x`, on straight lines."""
    xp, fp = torch.as_tensor(xp), torch.as_tensor(fp)
    slopes = (fp[1:] - fp[:-1]) / (xp[1:] - xp[:-1])
    i = torch.clamp(torch.searchsorted(xp, x.contiguous(), right=True) - 1, 0, len(slopes) - 1)
    return fp[i] + slopes[i] * (x - xp[i])
