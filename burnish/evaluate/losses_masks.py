"""Losses of masks: overlap instead of pixels, and sums of losses. Outputs ``(batch, classes, height, width)``, targets ``(batch, height, width)``;
pixels whose target is -100 don't count.

As those of ``losses.py`` each has a settable ``reduction``, ``activation`` and ``decodes``; with "none" the result is the loss of each sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from burnish.errors import SettingError
from burnish.evaluate.losses import FocalLossFlat, Weights, _Loss, counted, mean_of_counted
from burnish.evaluate.segmentation import IGNORED
from burnish.train.guards import as_loss, loss_name
from burnish.train.readout import mean_of_each

__all__ = ["CombinedLoss", "DiceLoss", "FocalLoss", "LovaszLoss", "PixelCrossEntropy"]


class _MaskLoss(_Loss):
    """Base: a loss of each sample ``of_samples``, reduced."""

    of_raw_classes: ClassVar[bool] = True
    axis: int = 1

    def of_samples(self, output: Tensor, target: Tensor, known: Tensor) -> Tensor:
        """The loss of each sample ``(batch,)``. `known` are the pixels that count ``(batch, height, width)``."""
        raise NotImplementedError

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        target = target[:, 0] if target.ndim == output.ndim and target.shape[1] == 1 else target
        if output.ndim != target.ndim + 1 or output.shape[2:] != target.shape[1:] or target.is_floating_point():
            raise ValueError(
                f"{type(self).__name__}: expected outputs (batch, classes, height, width) and class indices (batch, height, width); got {tuple(output.shape)} and {tuple(target.shape)}."
            )
        loss = self.of_samples(output.float(), target.long(), target != IGNORED)
        return loss if self.reduction == "none" else loss.mean() if self.reduction == "mean" else loss.sum()

    def activation(self, output: Tensor) -> Tensor:
        """Probabilities, along the axis of classes."""
        return output.float().softmax(1)

    def decodes(self, activated: Tensor) -> Tensor:
        """Class indices."""
        return activated.argmax(1)


class PixelCrossEntropy(nn.CrossEntropyLoss):
    """``nn.CrossEntropyLoss``, but 0 for a batch of which no pixel counts: the mean over nothing is nan, and so would be the weights."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        if self.reduction != "mean" or target.is_floating_point():
            return super().forward(input, target)
        total = F.cross_entropy(
            input, target, self.weight, ignore_index=self.ignore_index, reduction="sum", label_smoothing=self.label_smoothing
        )
        return mean_of_counted(total, counted(target, self.ignore_index, self.weight, total.dtype))


class DiceLoss(_MaskLoss):
    """1 - the soft Dice coefficient of each class, averaged over the classes and the pictures (Milletari et al. 2016).

    Args:
        axis: where the classes are; 1.
        smooth: added above and below the fraction: a class that is neither there nor predicted has no loss.
        reduction: "mean", "sum" or "none", over the pictures.
        square_in_union: squares in the denominator, as Milletari et al. have it.
    """

    def __init__(self, axis: int = 1, smooth: float = 1.0, reduction: str = "mean", square_in_union: bool = False) -> None:
        super().__init__(reduction)
        if axis != 1:
            raise SettingError(f"DiceLoss(axis={axis}): the classes are expected on axis 1, (batch, classes, height, width).")
        self.smooth, self.square_in_union = smooth, square_in_union

    def of_samples(self, output: Tensor, target: Tensor, known: Tensor) -> Tensor:
        share = output.softmax(1) * known[:, None]
        true = torch.zeros_like(share).scatter_(1, target.clamp(min=0)[:, None], known[:, None].to(share.dtype))
        both = (share * true).flatten(2).sum(-1)
        union = (share**2 + true if self.square_in_union else share + true).flatten(2).sum(-1)
        return (1 - (2 * both + self.smooth) / (union + self.smooth)).mean(1)


class LovaszLoss(_MaskLoss):
    """A surrogate of 1 - intersection over union, averaged over the classes of each picture (Berman, Rannen Triki and Blaschko 2018, Lovasz-softmax)."""

    def of_samples(self, output: Tensor, target: Tensor, known: Tensor) -> Tensor:
        share = output.softmax(1).flatten(2)  # (batch, classes, pixels)
        classes, flat, counts = share.shape[1], target.flatten(1), known.flatten(1)
        true = (flat[:, None] == torch.arange(classes, device=flat.device)[:, None]).to(share.dtype)
        errors = (true - share).abs() * counts[:, None]
        ranked, order = errors.sort(dim=2, descending=True)
        there = true.gather(2, order)
        total = there.sum(2, keepdim=True)
        inside, outside = (
            total - there.cumsum(2),
            total + ((1 - there) * counts[:, None].to(share.dtype).expand_as(there).gather(2, order)).cumsum(2),
        )
        jaccard = 1 - inside / outside.clamp(min=1e-12)
        steps = torch.cat([jaccard[..., :1], jaccard.diff(dim=2)], dim=2)
        of_class, present = (ranked * steps).sum(2), (total[..., 0] > 0).to(share.dtype)
        return (of_class * present).sum(1) / present.sum(1).clamp(min=1)


class FocalLoss(FocalLossFlat):
    """Focal loss of masks: as ``FocalLossFlat``, the classes on axis 1."""

    def __init__(self, gamma: float = 2.0, weight: Weights = None, reduction: str = "mean", ignore_index: int = IGNORED) -> None:
        super().__init__(gamma, 1, weight, ignore_index, reduction)


def _whole(loss: Any) -> Any:
    """torch's cross-entropy as the one that is never nan."""
    if type(loss) is not nn.CrossEntropyLoss:
        return loss
    return PixelCrossEntropy(loss.weight, ignore_index=loss.ignore_index, reduction=loss.reduction, label_smoothing=loss.label_smoothing)


class CombinedLoss(_Loss):
    """A weighted sum of losses: ``CombinedLoss(nn.CrossEntropyLoss(), DiceLoss())``.

    Args:
        losses: each called as ``loss(output, target)``.
        weights: of each; 1 by default. reduction: of all of them.
    """

    of_raw_classes: ClassVar[bool] = True
    axis: int = 1

    def __init__(self, *losses: Any, weights: Sequence[float] | None = None, reduction: str = "mean") -> None:
        made = [_whole(as_loss(loss)) for loss in losses]
        if not made or (weights is not None and len(weights) != len(made)):
            raise SettingError(
                f"CombinedLoss of {len(made)} losses with weights={weights}: give one or more losses, and one weight for each."
            )
        odd = [loss_name(loss) for loss in made if not isinstance(loss, nn.Module)]
        if odd:
            raise SettingError(f"CombinedLoss got {odd[0]}, which is no loss module: nn.CrossEntropyLoss(), DiceLoss() ... were expected.")
        self.weights = [1.0] * len(made) if weights is None else [float(w) for w in weights]
        super().__init__(reduction)
        self.losses = nn.ModuleList(made)
        self.reduction = reduction

    @property
    def reduction(self) -> str:
        """ "mean", "sum" or "none" (the loss of each sample)."""
        return self._reduction

    @reduction.setter
    def reduction(self, value: str) -> None:
        _Loss.reduction.fset(self, value)  # type: ignore[attr-defined]
        for loss in list(getattr(self, "losses", ())):
            loss.reduction = value  # type: ignore[union-attr]

    def __copy__(self) -> CombinedLoss:
        """A copy whose losses are copies too: another reduction is that one's alone."""
        import copy

        return CombinedLoss(*(copy.copy(loss) for loss in self.losses), weights=self.weights, reduction=self.reduction)

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        total: Any = 0
        for weight, loss in zip(self.weights, self.losses, strict=True):
            part = loss(output, target)
            total = total + weight * (
                mean_of_each(part, target, getattr(loss, "ignore_index", IGNORED)) if self.reduction == "none" else part
            )
        return total

    def activation(self, output: Tensor) -> Tensor:
        """As the first loss that knows, else probabilities along axis 1."""
        known = next((loss for loss in self.losses if hasattr(loss, "activation")), None)
        return output.float().softmax(1) if known is None else known.activation(output)  # type: ignore[operator]

    def decodes(self, activated: Tensor) -> Tensor:
        """Class indices."""
        return activated.argmax(1)
