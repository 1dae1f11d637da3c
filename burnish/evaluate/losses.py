"""Losses as plain modules that check shapes, with the activation and the decision that belong to them.

Each is called as ``loss(output, target)`` on raw outputs, has a settable ``reduction`` ("mean", "sum", "none"), and
``activation(output)`` and ``decodes(activated)``, which prediction uses. With "none" the result has the target's shape.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from burnish.errors import DataError, SettingError, listed, nearest
from burnish.evaluate.shapes import class_outputs, elementwise
from burnish.train.guards import loss_name

__all__ = [
    "LOSSES",
    "BCEWithLogitsLossFlat",
    "CrossEntropyLossFlat",
    "FocalLossFlat",
    "L1LossFlat",
    "LabelSmoothingCrossEntropy",
    "LabelSmoothingCrossEntropyFlat",
    "MSELossFlat",
    "class_weights",
]

REDUCTIONS = ("mean", "sum", "none")
Weights = Tensor | Sequence[float] | None


class _Loss(nn.Module):
    """Base: a checked, settable ``reduction``; predictions as they are."""

    weight: Tensor | None
    pos_weight: Tensor | None

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = reduction

    @property
    def reduction(self) -> str:
        """ "mean", "sum" or "none"."""
        return self._reduction

    @reduction.setter
    def reduction(self, value: str) -> None:
        if value not in REDUCTIONS:
            raise SettingError(f"reduction={value!r}; expected one of {', '.join(map(repr, REDUCTIONS))}.")
        self._reduction = value

    def activation(self, output: Tensor) -> Tensor:
        """Raw outputs as predictions a person can read."""
        return output

    def decodes(self, activated: Tensor) -> Tensor:
        """Activated outputs as targets."""
        return activated

    def keep(self, name: str, weight: Weights) -> None:
        """Keeps weights as a buffer, which moves with the module."""
        self.register_buffer(name, None if weight is None else torch.as_tensor(weight, dtype=torch.float32))

    def extra_repr(self) -> str:
        return f"reduction={self.reduction!r}"


class CrossEntropyLossFlat(_Loss):
    """Cross-entropy over an axis of classes; everything else is flattened.

    Args:
        axis: where the classes are in the output.
        weight: one weight a class (see `class_weights`); the mean is weighted by them.
        ignore_index: targets of this value don't count.
        reduction: "mean", "sum" or "none".
        label_smoothing: share of each target that is spread over all classes (Szegedy et al. 2016).

    Targets are class indices, or probabilities of the output's own shape.
    """

    of_raw_classes: ClassVar[bool] = True  # takes raw outputs, one a class

    def __init__(
        self, axis: int = -1, weight: Weights = None, ignore_index: int = -100, reduction: str = "mean", label_smoothing: float = 0.0
    ) -> None:
        super().__init__(reduction)
        if not 0 <= label_smoothing < 1:
            raise SettingError(f"label_smoothing={label_smoothing!r}; expected a share from 0 to below 1, e.g. 0.1.")
        self.axis, self.ignore_index, self.label_smoothing = axis, ignore_index, label_smoothing
        self.keep("weight", weight)

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        output = _precise(output)
        weight = _class_weight(self.weight, output, self.axis)
        options: dict[str, Any] = {"weight": weight, "reduction": self.reduction, "label_smoothing": self.label_smoothing}
        if target.is_floating_point() and target.shape == output.shape:
            flat = output.movedim(self.axis, -1).reshape(-1, output.shape[self.axis])
            loss = F.cross_entropy(flat, target.movedim(self.axis, -1).reshape(flat.shape).to(flat.dtype), **options)
            return loss.reshape(output.movedim(self.axis, -1).shape[:-1]) if self.reduction == "none" else loss
        flat, actual = class_outputs(output, target, self.axis, type(self).__name__)
        seen = actual.device.type == "cpu" and actual.numel() > 0  # elsewhere looking at values would wait for the device
        if self.reduction == "mean" and not (seen and self.ignore_index < int(actual.min())):  # torch's own is nan where nothing counts
            total = F.cross_entropy(flat, actual, ignore_index=self.ignore_index, **{**options, "reduction": "sum"})
            return mean_of_counted(total, counted(actual, self.ignore_index, weight, flat.dtype))
        loss = F.cross_entropy(flat, actual, ignore_index=self.ignore_index, **options)
        return loss.reshape(target.shape) if self.reduction == "none" else loss

    def activation(self, output: Tensor) -> Tensor:
        """Probabilities, along the axis of classes."""
        return output.float().softmax(self.axis)

    def decodes(self, activated: Tensor) -> Tensor:
        """Class indices."""
        return activated.argmax(self.axis)


class LabelSmoothingCrossEntropy(CrossEntropyLossFlat):
    """Cross-entropy with a share `eps` of each target spread over all classes (Szegedy et al. 2016)."""

    def __init__(self, eps: float = 0.1, weight: Weights = None, reduction: str = "mean", axis: int = -1, ignore_index: int = -100) -> None:
        super().__init__(axis, weight, ignore_index, reduction, label_smoothing=eps)
        self.eps = eps


LabelSmoothingCrossEntropyFlat = LabelSmoothingCrossEntropy


class FocalLossFlat(_Loss):
    """Focal loss (Lin et al. 2017): cross-entropy times ``(1 - p)**gamma``, which makes easy samples count less.

    `p` is the probability of the true class. Class weights multiply the loss and weight the mean, so ``gamma=0`` is
    cross-entropy.

    Args:
        gamma: 0 or more; how strongly easy samples are discounted.
        axis, weight, ignore_index, reduction: as in CrossEntropyLossFlat.
    """

    of_raw_classes: ClassVar[bool] = True

    def __init__(
        self, gamma: float = 2.0, axis: int = -1, weight: Weights = None, ignore_index: int = -100, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction)
        if not gamma >= 0:
            raise SettingError(f"FocalLossFlat: gamma={gamma!r}; expected 0 or more (2 is usual).")
        self.gamma, self.axis, self.ignore_index = gamma, axis, ignore_index
        self.keep("weight", weight)

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        output = _precise(output)
        flat, actual = class_outputs(output, target, self.axis, "FocalLossFlat")
        plain = F.cross_entropy(flat, actual, ignore_index=self.ignore_index, reduction="none")
        counts = counted(actual, self.ignore_index, _class_weight(self.weight, output, self.axis), plain.dtype)
        loss = counts * (-torch.expm1(-plain)).clamp(min=1e-12) ** self.gamma * plain
        if self.reduction == "none":
            return loss.reshape(target.shape)
        return mean_of_counted(loss.sum(), counts) if self.reduction == "mean" else loss.sum()

    activation = CrossEntropyLossFlat.activation  # type: ignore[assignment]
    decodes = CrossEntropyLossFlat.decodes  # type: ignore[assignment]


class BCEWithLogitsLossFlat(_Loss):
    """Binary cross-entropy on raw outputs, for several labels per sample or one yes/no answer.

    Args:
        thresh: the probability above which ``decodes`` says yes.
        weight: a weight for each label ``(labels,)``.
        reduction: "mean", "sum" or "none".
        pos_weight: for each label, how much more a positive counts than a negative ``(labels,)``.
    """

    def __init__(self, thresh: float = 0.5, weight: Weights = None, reduction: str = "mean", pos_weight: Weights = None) -> None:
        super().__init__(reduction)
        self.thresh = thresh
        self.keep("weight", weight)
        self.keep("pos_weight", pos_weight)

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        shape = target.shape
        output, target = elementwise(_precise(output), target, "BCEWithLogitsLossFlat")
        weight, pos_weight = (None if w is None else w.to(output.device) for w in (self.weight, self.pos_weight))
        loss = F.binary_cross_entropy_with_logits(output, target.to(output.dtype), weight, reduction=self.reduction, pos_weight=pos_weight)
        return loss.reshape(shape) if self.reduction == "none" else loss

    def activation(self, output: Tensor) -> Tensor:
        """Probabilities of yes."""
        return output.float().sigmoid()

    def decodes(self, activated: Tensor) -> Tensor:
        """True where the probability is above `thresh`."""
        return activated > self.thresh


class _NumberLoss(_Loss):
    """A loss between numbers; ``(batch, 1)`` against ``(batch,)`` is the same, anything else must have one shape."""

    function: Callable[..., Tensor]

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        shape = target.shape
        output, target = elementwise(_precise(output), target, type(self).__name__)
        loss = type(self).function(output, target.to(output.dtype), reduction=self.reduction)
        return loss.reshape(shape) if self.reduction == "none" else loss


class MSELossFlat(_NumberLoss):
    """Mean squared error."""

    function = staticmethod(F.mse_loss)


class L1LossFlat(_NumberLoss):
    """Mean absolute error."""

    function = staticmethod(F.l1_loss)


LOSSES: dict[str, type[nn.Module]] = {
    c.__name__: c for c in (CrossEntropyLossFlat, LabelSmoothingCrossEntropy, FocalLossFlat, BCEWithLogitsLossFlat, MSELossFlat, L1LossFlat)
}


def _class_weight(weight: Tensor | None, output: Tensor, axis: int) -> Tensor | None:
    if weight is None:
        return None
    if weight.shape != (output.shape[axis],):
        raise ValueError(
            f"weight has shape {tuple(weight.shape)}, but there are {output.shape[axis]} classes (outputs {tuple(output.shape)}, axis {axis}); expected one weight a class."
        )
    return weight.to(output)


def counted(actual: Tensor, ignore_index: int, weight: Tensor | None, dtype: torch.dtype) -> Tensor:
    """How much each target counts: the weight of its class, 0 where it is ignored."""
    counts = (actual != ignore_index).to(dtype)
    return counts if weight is None else counts * weight[actual.clamp(0, len(weight) - 1)]


def mean_of_counted(total: Tensor, counts: Tensor) -> Tensor:
    """The mean over what counts, as torch's cross-entropy has it; 0, not nan, where nothing does."""
    return total / counts.sum().clamp(min=torch.finfo(counts.dtype).tiny)


def weights_of_classes(loss_func: Any) -> Tensor | None:
    """The class weights by which a loss weights its mean ``(classes,)``; None when it has none, or its mean is a plain one."""
    if not _weighted_mean(loss_func):
        return None
    weight = getattr(loss_func, "keywords", {}).get("weight", getattr(loss_func, "weight", None))
    return weight.detach() if isinstance(weight, Tensor) else None


def sample_weights(loss_func: Any, target: Tensor) -> Tensor | None:
    """How much each sample counts in the mean of a loss with class weights or ignored targets, ``(samples,)``; None where all
    count the same. Over several values of a sample (the pixels of a mask), their mean weight."""
    if not _weighted_mean(loss_func) or target.is_floating_point():
        return None
    ignored = getattr(loss_func, "keywords", {}).get("ignore_index", getattr(loss_func, "ignore_index", -100))
    counted, weight = (target != ignored).double(), weights_of_classes(loss_func)
    if weight is not None:
        counted = counted * weight.to(counted)[target.long().clamp(0, len(weight) - 1)]
    return counted.reshape(len(target), -1).mean(1)


def _weighted_mean(loss_func: Any) -> bool:
    """Whether a loss's mean is over the weights of the targets' classes: so it is of cross-entropy and its like."""
    return hasattr(loss_func, "ignore_index") or loss_name(loss_func) in ("cross_entropy", "nll_loss")


def _precise(output: Tensor) -> Tensor:
    """Half-precision outputs as float32, in which a loss is computed."""
    return output.float() if output.dtype in (torch.float16, torch.bfloat16) else output


KINDS: dict[str, Callable[[Tensor], Tensor]] = {
    "balanced": lambda counts: counts.sum() / (len(counts) * counts),
    "sqrt": lambda counts: (counts.sum() / (len(counts) * counts)).sqrt(),
}


def class_weights(labels: Sequence[Any], vocab: Sequence[Any], kind: str = "balanced") -> Tensor:
    """Weights that make rare classes count more, one a class in the order of `vocab`, for a loss's ``weight``.

    Args:
        labels: the labels of the training samples.
        vocab: the classes in the order of the model's outputs; "#na#", the class of unknown labels, may be without samples.
        kind: "balanced" every class counts the same in total (n / (classes x count)); "sqrt" its square root, milder.

    Returns: float32 ``(classes,)``.

    Raises:
        DataError: a label isn't in the vocabulary, or a class has no sample.

    >>> class_weights(["a", "a", "a", "b"], ["a", "b"])
    tensor([0.6667, 2.0000])
    """
    if kind not in KINDS:
        raise SettingError(f"kind={kind!r}; expected one of {', '.join(map(repr, KINDS))}.")
    counts = Counter(labels)
    unknown = [label for label in counts if label not in set(vocab)]
    if unknown:
        raise DataError(
            f"class_weights: {listed(map(repr, unknown))} among the labels, but not in the vocabulary ({listed(vocab, 8)}).{nearest(str(unknown[0]), map(str, vocab))}"
        )
    empty = [v for v in vocab if not counts[v] and v != "#na#"]
    if empty:
        raise DataError(
            f"class_weights: the class(es) {listed(map(repr, empty))} have no training sample, so no weight would balance them. Leave them out of the vocabulary or add samples."
        )
    there = [v for v in vocab if counts[v]]
    found = dict(zip(there, KINDS[kind](torch.tensor([float(counts[v]) for v in there])).tolist(), strict=True))
    return torch.tensor([found.get(v, 1.0) for v in vocab])
