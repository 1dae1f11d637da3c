"""Points in pictures: their loss and their metrics. Places are x, y in -1 ... 1 of what the model gets; points that are missing (NaN) or outside don't count."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import smooth_l1_loss

from burnish.evaluate.base import MeanMetric

PCK_AT = 0.05  # of the picture's side


def seen(target: Tensor) -> Tensor:
    """Which points count ``(batch, points)``: those that are there, and inside."""
    return ((target >= -1) & (target <= 1)).all(dim=-1)  # NaN is neither


def as_points(output: Tensor, target: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """Output and target ``(batch, points, 2)`` as floats.

    Raises:
        ValueError: they are of other shapes.
    """
    if target.ndim != 3 or target.shape[-1] != 2 or output.numel() != target.numel() or len(output) != len(target):
        raise ValueError(f"{name}: outputs {tuple(output.shape)} for targets {tuple(target.shape)}; expected (batch, points, 2) for both.")
    return output.float().reshape(target.shape), target.float()


class PointLoss(nn.Module):
    """Smooth L1 distance of points in units of `beta`, which are robust where a point is off (compared for landmarks by Feng et al. 2018).

    Args:
        beta: from which distance on, in half sides of the picture, errors count in proportion and no longer squared.
        reduction: "mean" (over all points that count), "sum", or "none": ``(batch, points)``, 0 where a point doesn't count.
    """

    def __init__(self, beta: float = 0.1, reduction: str = "mean") -> None:
        super().__init__()
        self.beta, self.reduction = beta, reduction

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        output, target = as_points(output, target, "PointLoss")
        counts = seen(target)
        target = torch.where(counts[..., None], target, output.detach())
        losses = smooth_l1_loss(output, target, reduction="none", beta=self.beta).sum(-1) / self.beta
        if self.reduction == "none":
            return losses
        return losses.sum() if self.reduction == "sum" else losses.sum() / counts.sum().clamp(min=1)


class PointDistance(MeanMetric):
    """Mean distance of predicted points from where they are, as a share of the picture's side (0.01: 2 pixels of 200)."""

    name, better = "point_distance", "lower"

    def terms(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        far, counts = distances(output, target, self.name)
        return far.sum(), counts.sum()


class PCK(MeanMetric):
    """Share of the points that are predicted within `at` of the picture's side (percentage of correct keypoints, Yang and Ramanan 2013)."""

    name, better = "pck", "higher"

    def __init__(self, at: float = PCK_AT) -> None:
        self.at = at
        super().__init__()

    def terms(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        far, counts = distances(output, target, self.name)
        return ((far <= self.at) & counts).sum().float(), counts.sum()


def distances(output: Tensor, target: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """Distances in sides of the picture ``(batch, points)``, 0 where a point doesn't count, and which count."""
    output, target = as_points(output, target, name)
    counts = seen(target)
    far = (output - target).norm(dim=-1) / 2
    return torch.where(counts, far, 0), counts
