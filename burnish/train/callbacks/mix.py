"""Training on mixtures of samples: MixUp (Zhang et al. 2018, arXiv:1710.09412) and CutMix (Yun et al. 2019, arXiv:1905.04899)."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from burnish.data.device import to_device
from burnish.data.randomness import derive
from burnish.errors import SettingError
from burnish.train.callback import Callback
from burnish.train.guards import compute_loss

if TYPE_CHECKING:
    from burnish.train.learner import Learner

Loss = Callable[..., Tensor]


class Mix(Callback):
    """Base of MixUp and CutMix: mixes each sample of a training batch with another one, and the losses in proportion.

    Every sample has its own partner and its own proportion, drawn from the learner's seed, the pass and the batch. The
    loss is ``part * loss(sample) + (1 - part) * loss(partner)``, per sample; ``learn.loss_func`` is never replaced. A loss
    function without ``reduction`` can't be taken per sample: then one proportion is drawn for the whole batch.

    Args:
        alpha: parameter of the Beta(alpha, alpha) distribution of the proportions; near 0 little is mixed.
    """

    order: ClassVar[float] = 5

    def __init__(self, alpha: float) -> None:
        if not alpha > 0:
            raise SettingError(f"alpha={alpha!r}: expected a number above 0; leave {type(self).__name__} out to mix nothing.")
        self.alpha = float(alpha)
        self._per_sample: Loss | None = None
        self._partner: Tensor | None = None
        self._part: Tensor | None = None

    def before_fit(self, learn: Learner) -> None:
        odd = [type(block).__name__ for block in learn.dls.input_blocks if not block.blends]
        if odd:
            raise SettingError(
                f"{type(self).__name__} mixes samples, and what a {odd[0]} gives can't be mixed. Leave {type(self).__name__} out."
            )
        self._per_sample = per_sample_loss(learn.loss_func)

    def before_batch(self, learn: Learner) -> None:
        if not learn.training:
            return
        if not all(isinstance(x, Tensor) for x in (*learn.xb, *learn.yb)):
            kinds = ", ".join(type(x).__name__ for x in (*learn.xb, *learn.yb))
            raise SettingError(f"{type(self).__name__} mixes batches of tensors; this one has {kinds}. Leave it out for such data.")
        n = len(learn.xb[0])
        rng = np.random.default_rng(self._seed(learn))
        drawn = rng.beta(self.alpha, self.alpha, size=n if self._per_sample is not None else 1)
        partner = to_device(torch.from_numpy(rng.permutation(n)), learn.xb[0].device)
        learn.xb, part = self.mix(tuple(learn.xb), partner, drawn, rng)
        learn.yb, part = self.mix_targets(tuple(learn.yb), partner, part)
        self._partner = partner
        self._part = to_device(torch.from_numpy(part.astype(np.float32)), partner.device)

    def _seed(self, learn: Learner) -> int:
        passes = getattr(learn.dl, "epoch", learn.epoch)  # counts on over several fits, unlike learn.epoch
        return derive(learn.seed, type(self).__name__, passes, learn.batch_index)

    def mix(
        self, xb: tuple[Tensor, ...], partner: Tensor, drawn: np.ndarray, rng: np.random.Generator
    ) -> tuple[tuple[Tensor, ...], np.ndarray]:
        """The mixed inputs, and the part of each sample (or of all, with one element) that is its own."""
        raise NotImplementedError

    def mix_targets(self, yb: tuple[Tensor, ...], partner: Tensor, part: np.ndarray) -> tuple[tuple[Tensor, ...], np.ndarray]:
        """The targets, and the part that is their own, where they can be mixed as the inputs were."""
        return yb, part

    def after_loss(self, learn: Learner) -> None:
        if learn.training and self._partner is not None and self._part is not None:
            others = tuple(y[self._partner] for y in learn.yb)
            learn.loss = mixed_loss(learn.loss_func, self._per_sample, learn.pred, learn.yb, others, self._part)

    def after_batch(self, learn: Learner) -> None:
        self._partner = self._part = None

    def after_fit(self, learn: Learner) -> None:
        self._per_sample = self._partner = self._part = None


class MixUp(Mix):
    """Blends each training sample with another one: ``part * x + (1 - part) * x[partner]``, all float inputs alike.

    Args:
        alpha: of the Beta distribution that the proportions come from. The own part is always the larger one.
    """

    def __init__(self, alpha: float = 0.4) -> None:
        super().__init__(alpha)

    def mix(
        self, xb: tuple[Tensor, ...], partner: Tensor, drawn: np.ndarray, rng: np.random.Generator
    ) -> tuple[tuple[Tensor, ...], np.ndarray]:
        part = np.maximum(drawn, 1 - drawn)
        if not any(x.is_floating_point() for x in xb):
            kinds = ", ".join(str(x.dtype).removeprefix("torch.") for x in xb)
            raise SettingError(
                f"MixUp blends float inputs (images, numbers); the inputs here are {kinds}. Leave MixUp out, or embed the inputs first."
            )
        weight = to_device(torch.from_numpy(part.astype(np.float32)), partner.device)
        return tuple(_blend(x, partner, weight) if x.is_floating_point() else x for x in xb), part


class CutMix(Mix):
    """Pastes a rectangle of another image into each training image; the targets count by area, and masks are pasted likewise.

    Args:
        alpha: of the Beta distribution that the rectangles' areas come from; 1 makes all areas equally likely.
    """

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__(alpha)

    def before_fit(self, learn: Learner) -> None:
        super().before_fit(learn)
        placed = [type(block).__name__ for block in learn.dls.target_blocks if block.located and block.kind != "mask"]
        if placed:
            raise SettingError(
                f"CutMix covers a part of each picture, and with it what the {placed[0]} tells of, which would still be asked for. Use MixUp, or leave it out."
            )

    def mix(
        self, xb: tuple[Tensor, ...], partner: Tensor, drawn: np.ndarray, rng: np.random.Generator
    ) -> tuple[tuple[Tensor, ...], np.ndarray]:
        if xb[0].ndim != 4:
            raise SettingError(
                f"CutMix needs images, (batch, channel, height, width); the first input has the shape {tuple(xb[0].shape)}. MixUp works for any shape."
            )
        height, width = xb[0].shape[-2:]
        boxes = draw_boxes(drawn, height, width, rng)
        part = 1 - (boxes[:, 1] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 2]) / (height * width)
        self._inside = inside = box_mask(to_device(torch.from_numpy(boxes), partner.device), height, width)
        alike = [x.ndim == 4 and x.shape[-2:] == xb[0].shape[-2:] for x in xb]
        return tuple(torch.where(inside, x[partner], x) if same else x for x, same in zip(xb, alike, strict=True)), part

    def mix_targets(self, yb: tuple[Tensor, ...], partner: Tensor, part: np.ndarray) -> tuple[tuple[Tensor, ...], np.ndarray]:
        inside = self._inside[:, 0]
        maps = [y.ndim >= 3 and y.shape[-2:] == inside.shape[-2:] for y in yb]
        if not any(maps):
            return yb, part
        if not all(maps):
            raise SettingError(
                "CutMix pastes masks and lets other targets count by area, and can't do both at once: this batch has targets of both kinds. Use MixUp."
            )
        pasted = tuple(torch.where(inside if y.ndim == 3 else inside[:, None], y[partner], y) for y in yb)
        return pasted, np.ones_like(part)


def _blend(x: Tensor, partner: Tensor, part: Tensor) -> Tensor:
    return torch.lerp(x[partner], x, part.to(x.dtype).reshape(-1, *[1] * (x.ndim - 1)))


def draw_boxes(kept: np.ndarray, height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Boxes that cover the share ``1 - kept`` of an image, with a random centre, cut off at the border.

    Returns:
        whole numbers, (boxes, 4): top, bottom, left, right.
    """
    side = np.sqrt(1 - kept)
    cy, cx = rng.integers(0, height, len(kept)), rng.integers(0, width, len(kept))
    half_h, half_w = (side * height / 2).astype(int), (side * width / 2).astype(int)
    limits = [
        np.clip(cy - half_h, 0, height),
        np.clip(cy + half_h, 0, height),
        np.clip(cx - half_w, 0, width),
        np.clip(cx + half_w, 0, width),
    ]
    return np.stack(limits, axis=1)


def box_mask(boxes: Tensor, height: int, width: int) -> Tensor:
    """True inside the boxes; (boxes, 1, height, width)."""
    rows = torch.arange(height, device=boxes.device).view(1, 1, -1, 1)
    columns = torch.arange(width, device=boxes.device).view(1, 1, 1, -1)
    top, bottom, left, right = (boxes[:, i].view(-1, 1, 1, 1) for i in range(4))
    return (rows >= top) & (rows < bottom) & (columns >= left) & (columns < right)


def per_sample_loss(loss_func: Any) -> Loss | None:
    """`loss_func` without its reduction, or None when it can't be had. The original is not touched.

    Raises:
        SettingError: the loss is summed or not reduced, where a mean is expected.
    """
    reduction = getattr(loss_func, "reduction", None)
    if isinstance(reduction, str):
        if reduction != "mean":
            raise SettingError(f"The loss {loss_func!r} has reduction={reduction!r}; mixing samples needs reduction='mean'.")
        single = copy.copy(loss_func)
        single.reduction = "none"
        return single
    if not isinstance(loss_func, nn.Module) and _takes_reduction(loss_func):
        return functools.partial(loss_func, reduction="none")
    return None


def _takes_reduction(function: Any) -> bool:
    try:
        return "reduction" in inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False


def mixed_loss(
    loss_func: Loss, per_sample: Loss | None, pred: Any, own: tuple[Tensor, ...], others: tuple[Tensor, ...], part: Tensor
) -> Tensor:
    """The mean over samples of ``part * loss(own) + (1 - part) * loss(others)``; with equal targets it is the plain loss.

    Class weights and ignored targets count in the mean as they do in cross-entropy's own.
    """
    if per_sample is None:
        return part[0] * compute_loss(loss_func, pred, own) + (1 - part[0]) * compute_loss(loss_func, pred, others)
    n = len(own[0])
    share = part.reshape(-1, 1)
    losses = [_by_sample(compute_loss(per_sample, pred, targets), n) for targets in (own, others)]
    weights = [_weights(loss_func, targets[0], n) for targets in (own, others)]
    total = (share * losses[0] + (1 - share) * losses[1]).sum()
    if weights[0] is None or weights[1] is None:
        return total / losses[0].numel()
    counted = (share * weights[0] + (1 - share) * weights[1]).sum()
    return total / counted.clamp(min=torch.finfo(counted.dtype).tiny)  # a batch may have nothing that counts


def _by_sample(losses: Tensor, n: int) -> Tensor:
    """Losses as (sample, element), whatever shape the loss gave them."""
    if losses.numel() % n or losses.ndim == 0:
        raise SettingError(
            f"The loss gave the shape {tuple(losses.shape)} for {n} samples with reduction='none'; expected one or more values a sample."
        )
    return losses.reshape(n, -1)


def _weights(loss_func: Any, target: Tensor, n: int) -> Tensor | None:
    """What each element counts in the mean of a cross-entropy with class weights or ignored targets; else None."""
    index, weight = getattr(loss_func, "ignore_index", None), getattr(loss_func, "weight", None)
    if index is None or target.is_floating_point():
        return None
    ignored = target == index
    counts = torch.ones_like(target, dtype=torch.float32) if weight is None else weight[target.masked_fill(ignored, 0)]
    return counts.masked_fill(ignored, 0).reshape(n, -1)


__all__ = ["CutMix", "Mix", "MixUp", "mixed_loss", "per_sample_loss"]
