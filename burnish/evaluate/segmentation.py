"""Metrics of masks, from what each picture counts for each class: one pass tells them all, with intervals over pictures.

Outputs are ``(batch, classes, height, width)``, targets ``(batch, height, width)``; pixels whose target is no class (-100) don't count.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from burnish.errors import SettingError
from burnish.evaluate.base import CallableMetric
from burnish.evaluate.counts import class_bins
from burnish.train.readout import IGNORED


def counts_of_masks(output: Tensor, target: Tensor, where: str) -> Tensor:
    """Right, actual and predicted pixels of each class in each picture ``(batch, 3, classes)`` int64, on the device.

    Raises:
        ValueError: the shapes don't agree; the message has both.
    """
    target = target[:, 0] if target.ndim == output.ndim and target.shape[1] == 1 else target
    if (
        output.ndim != target.ndim + 1
        or output.shape[0] != target.shape[0]
        or output.shape[2:] != target.shape[1:]
        or target.is_floating_point()
    ):
        raise ValueError(
            f"{where}: expected outputs (batch, classes, height, width) and class indices (batch, height, width); got outputs {tuple(output.shape)} and "
            f"targets {tuple(target.shape)} {str(target.dtype).removeprefix('torch.')}."
        )
    n, classes = output.shape[:2]
    if classes < 2:
        raise ValueError(
            f"{where}: the model gives one output a pixel {tuple(output.shape)}, so there is no class to choose. Give it one output a class (n_out)."
        )
    actual, decided = target.reshape(n, -1).long(), output.argmax(1).reshape(n, -1)
    bins = class_bins(actual, decided, classes)
    counts = torch.zeros(n, 3, classes + 1, dtype=torch.int64, device=output.device)
    return counts.scatter_add_(2, bins, torch.ones_like(bins))[..., :classes]


class MaskMetric(CallableMetric):
    """Base of metrics that follow from the pixels counted for each class. A subclass gives ``score``."""

    better: str | None = "higher"

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._counts: list[Tensor] = []
        self._strange: list[Tensor] = []

    def update(self, preds: Tensor, targs: Tensor) -> None:
        self._counts.append(counts_of_masks(preds.detach(), targs, self.name))
        self._strange.append(((targs >= preds.shape[1]) | ((targs < 0) & (targs != IGNORED))).sum())

    def score(self, counts: Tensor) -> Tensor:
        """The metric from counts ``(..., 3, classes)``: right, actual, predicted; as ``(...)``."""
        raise NotImplementedError

    def compute(self) -> float:
        return float(self.score(self.counted())) if self._counts else float("nan")

    def counted(self) -> Tensor:
        """The counts of all pictures ``(3, classes)``, float64 on the CPU.

        Raises:
            ValueError: some targets are no class.
        """
        if strange := int(torch.stack(self._strange).sum()):
            raise ValueError(
                f"{self.name}: {strange:,} pixels of the targets are of no class of the {self._counts[0].shape[-1]} that the model gives. Give the model an output for "
                f"each class (n_out); pixels that don't count are {IGNORED}."
            )
        return torch.cat(self._counts).sum(0).cpu().double()

    def interval_of(self, counts: Tensor, level: float = 0.95, n_boot: int = 1000, groups: np.ndarray | None = None) -> tuple[float, float]:
        """The bootstrap interval over pictures of counts ``(pictures, 3, classes)``: pixels of one picture are alike.

        Args:
            groups: a number for the group of each picture; whole groups are resampled.
        """
        units = counts.double().reshape(len(counts), -1)
        if groups is not None:
            units = torch.zeros(int(groups.max()) + 1, units.shape[1], dtype=torch.float64).index_add_(0, torch.from_numpy(groups), units)
        n = len(units)
        if n < 2:
            return float("nan"), float("nan")
        drawn = torch.from_numpy(np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=n_boot)).double()
        values = self.score((drawn @ units).reshape(n_boot, 3, -1)).numpy()
        values = values[~np.isnan(values)]
        if len(values) * 2 < n_boot:
            return float("nan"), float("nan")
        low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
        return float(low), float(high)


class PixelAccuracy(MaskMetric):
    """Share of the pixels that are right."""

    name = "pixel_accuracy"

    def score(self, counts: Tensor) -> Tensor:
        return _share(counts[..., 0, :].sum(-1), counts[..., 1, :].sum(-1))


class ForegroundAccuracy(MaskMetric):
    """Share of the pixels that are right, of those that are no background.

    Args:
        bkg_idx: the class that is the background.
    """

    name = "foreground_acc"

    def __init__(self, bkg_idx: int = 0) -> None:
        self.bkg_idx = bkg_idx
        super().__init__()

    def score(self, counts: Tensor) -> Tensor:
        if not 0 <= self.bkg_idx < counts.shape[-1]:
            raise SettingError(
                f"foreground_acc: bkg_idx={self.bkg_idx}, and there are {counts.shape[-1]} classes (0 to {counts.shape[-1] - 1})."
            )
        others = [i for i in range(counts.shape[-1]) if i != self.bkg_idx]
        return _share(counts[..., 0, others].sum(-1), counts[..., 1, others].sum(-1))


class _OfClasses(MaskMetric):
    """A score of each class, averaged over the classes that are there or predicted.

    Args:
        background: False leaves out class 0.
    """

    def __init__(self, background: bool = True) -> None:
        self.background = background
        super().__init__()

    def of_class(self, counts: Tensor) -> Tensor:
        """The score of each class ``(..., classes)``; nan for one that is neither there nor predicted."""
        raise NotImplementedError

    def score(self, counts: Tensor) -> Tensor:
        return self.of_class(counts)[..., 0 if self.background else 1 :].nanmean(-1)

    def by_class(self) -> list[float]:
        """The score of each class over what was seen, in the order of the codes."""
        return self.of_class(self.counted()).tolist() if self._counts else []


class MeanIoU(_OfClasses):
    """Intersection over union (Jaccard index) of the pixels of each class, averaged over the classes."""

    name = "mean_iou"

    def of_class(self, counts: Tensor) -> Tensor:
        hits, actual, predicted = counts.unbind(-2)
        return _share(hits, actual + predicted - hits)


class DiceMulti(_OfClasses):
    """Dice coefficient (F1 score of the pixels) of each class, averaged over the classes."""

    name = "dice_multi"

    def of_class(self, counts: Tensor) -> Tensor:
        hits, actual, predicted = counts.unbind(-2)
        return _share(2 * hits, actual + predicted)


class Dice(MaskMetric):
    """Dice coefficient of the last of two classes: the object, where class 0 is the background."""

    name = "dice"

    def score(self, counts: Tensor) -> Tensor:
        hits, actual, predicted = _of_two(counts, self.name).unbind(-1)
        return _share(2 * hits, actual + predicted)


class JaccardCoeff(MaskMetric):
    """Intersection over union of the last of two classes: the object, where class 0 is the background."""

    name = "jaccard_coeff"

    def score(self, counts: Tensor) -> Tensor:
        hits, actual, predicted = _of_two(counts, self.name).unbind(-1)
        return _share(hits, actual + predicted - hits)


def _share(above: Tensor, below: Tensor) -> Tensor:
    """``above / below``; nan where there is nothing."""
    return torch.where(below > 0, above / below.clamp(min=1e-12), torch.nan)


def _of_two(counts: Tensor, name: str) -> Tensor:
    if counts.shape[-1] != 2:
        raise ValueError(f"{name} is for masks of two classes, and there are {counts.shape[-1]}: use mean_iou or dice_multi.")
    return counts[..., 1]


JaccardCoeffMulti = MeanIoU  # the familiar name
foreground_acc, pixel_accuracy, mean_iou = ForegroundAccuracy, PixelAccuracy, MeanIoU
