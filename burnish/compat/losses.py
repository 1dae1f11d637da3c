"""Losses with fastai's arguments: burnish's where they are the same, and `BaseLoss`, around any other, to build on."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from burnish.compat.standins import StandIn
from burnish.errors import SettingError
from burnish.evaluate import losses as own
from burnish.evaluate import losses_masks as masks
from burnish.train.learner import Learner

__all__ = [
    "BCELossFlat", "BCEWithLogitsLossFlat", "BaseLoss", "CrossEntropyLossFlat", "DiceLoss", "FocalLossFlat", "L1LossFlat", "LabelSmoothingCrossEntropyFlat", "MSELossFlat",
]  # fmt: skip


class BaseLoss(nn.Module):
    """A loss ``loss_cls(*args, **kwargs)`` of outputs whose classes are moved to the end and which are flattened, as its targets are.

    A subclass may have ``activation`` (outputs to predictions) and ``decodes`` (predictions to targets), which prediction uses.

    Args:
        loss_cls: a class (or function) that makes a loss. args, kwargs: its arguments.
        axis: where the classes are. flatten: flatten outputs and targets. floatify: targets as floats. is_2d: flattened outputs are ``(n, classes)``, else ``(n,)``.
    """

    activation: Any = staticmethod(lambda x: x)
    decodes: Any = staticmethod(lambda x: x)

    def __init__(
        self, loss_cls: Any, *args: Any, axis: int = -1, flatten: bool = True, floatify: bool = False, is_2d: bool = True, **kwargs: Any
    ) -> None:
        super().__init__()
        self.axis, self.flatten, self.floatify, self.is_2d = axis, flatten, floatify, is_2d
        self.func = loss_cls(*args, **kwargs)

    @property
    def reduction(self) -> str:
        """ "mean", "sum" or "none"."""
        return self.func.reduction

    @reduction.setter
    def reduction(self, value: str) -> None:
        self.func.reduction = value

    def forward(self, inp: Tensor, targ: Tensor, **kwargs: Any) -> Tensor:
        targ = targ if isinstance(targ, Tensor) else torch.as_tensor(targ)
        inp = inp.transpose(self.axis, -1).contiguous() if self.is_2d and inp.ndim > 1 else inp.contiguous()
        targ = targ.transpose(self.axis, -1).contiguous() if self.is_2d and targ.ndim == inp.ndim > 1 else targ.contiguous()
        if self.floatify and targ.dtype is not torch.float16:
            targ = targ.float()
        if targ.dtype in (torch.int8, torch.int16, torch.int32):
            targ = targ.long()
        if self.flatten:
            inp, targ = inp.view(-1, inp.shape[-1]) if self.is_2d else inp.view(-1), targ.view(-1)
        return self.func(inp, targ, **kwargs)

    def __repr__(self) -> str:
        return f"FlattenedLoss of {self.func}"

    def __copy__(self) -> BaseLoss:
        """Copies have a ``reduction`` of their own."""
        made = object.__new__(type(self))
        made.__dict__.update(self.__dict__)
        made.__dict__["_modules"] = dict(self._modules)
        if isinstance(self.func, nn.Module):
            inner = object.__new__(type(self.func))
            inner.__dict__.update(self.func.__dict__)
            made._modules["func"] = inner
        return made


def _only(function: str, flatten: bool, is_2d: bool = True) -> None:
    """Raises SettingError where burnish's loss, which looks at the shapes itself, is told otherwise."""
    if not flatten or not is_2d:
        raise SettingError(
            f"{function}(flatten={flatten}, is_2d={is_2d}): BaseLoss takes these, e.g. BaseLoss(nn.CrossEntropyLoss, flatten=False)."
        )


def _weight(function: str, args: tuple[Any, ...], weight: Any) -> Any:
    """The class weights, which may be given first, by position."""
    if len(args) > 1 or (args and weight is not None):
        raise TypeError(
            f"{function}: {len(args)} arguments by position; it takes one, the weights of the classes. Give the others by name."
        )
    return args[0] if args else weight


def _default_loss(self: Learner) -> Any:
    """The loss that the data chooses; PyTorch's of classes and of several labels as the flattened ones of the same settings."""
    loss = _chosen(self)
    if type(loss) is nn.CrossEntropyLoss:
        return own.CrossEntropyLossFlat(-1, loss.weight, loss.ignore_index, loss.reduction, loss.label_smoothing)
    if type(loss) is nn.BCEWithLogitsLoss:
        return own.BCEWithLogitsLossFlat(0.5, loss.weight, loss.reduction, loss.pos_weight)
    return loss


_chosen = Learner._default_loss


def _func(self: Any) -> nn.Module:
    """PyTorch's loss of the same settings."""
    if isinstance(self, own.CrossEntropyLossFlat):
        return nn.CrossEntropyLoss(
            self.weight, ignore_index=self.ignore_index, reduction=self.reduction, label_smoothing=self.label_smoothing
        )  # type: ignore[arg-type]
    if isinstance(self, own.BCEWithLogitsLossFlat):
        return nn.BCEWithLogitsLoss(self.weight, reduction=self.reduction, pos_weight=self.pos_weight)  # type: ignore[arg-type]
    return (nn.MSELoss if isinstance(self, own.MSELossFlat) else nn.L1Loss)(reduction=self.reduction)


# what burnish's losses, which look at the shapes themselves, are found to do
func = property(_func, doc=_func.__doc__)
always = property(lambda self: True, doc="Outputs and targets are flattened.")
of_classes = property(lambda self: hasattr(self, "ignore_index"), doc="The flattened outputs are `(n, classes)`.")
of_numbers = property(lambda self: not hasattr(self, "ignore_index"), doc="Targets become floats.")
last_axis = -1


class CrossEntropyLossFlat(own.CrossEntropyLossFlat, metaclass=StandIn):
    """Cross-entropy: burnish's own. `floatify` has no effect."""

    own = own.CrossEntropyLossFlat
    y_int = True

    def __init__(
        self, *args: Any, axis: int = -1, weight: Any = None, ignore_index: int = -100, reduction: str = "mean", flatten: bool = True, floatify: bool = False,
        is_2d: bool = True, label_smoothing: float = 0.0,
    ) -> None:  # fmt: skip
        _ = floatify
        _only("CrossEntropyLossFlat", flatten, is_2d)
        super().__init__(axis, _weight("CrossEntropyLossFlat", args, weight), ignore_index, reduction, label_smoothing)
        self.y_int = True


class LabelSmoothingCrossEntropyFlat(own.LabelSmoothingCrossEntropy, metaclass=StandIn):
    """Cross-entropy with smoothed targets: burnish's own. `floatify` has no effect."""

    own = own.LabelSmoothingCrossEntropy
    y_int = True

    def __init__(
        self,
        *args: Any,
        axis: int = -1,
        eps: float = 0.1,
        reduction: str = "mean",
        flatten: bool = True,
        floatify: bool = False,
        is_2d: bool = True,
    ) -> None:
        _ = floatify
        _only("LabelSmoothingCrossEntropyFlat", flatten, is_2d)
        super().__init__(args[0] if args else eps, None, reduction, axis)
        self.y_int = True


class FocalLossFlat(own.FocalLossFlat, metaclass=StandIn):
    """Focal loss: burnish's own. `floatify` has no effect."""

    own = own.FocalLossFlat
    y_int = True

    def __init__(
        self, *args: Any, gamma: float = 2.0, axis: int = -1, weight: Any = None, reduction: str = "mean", flatten: bool = True, floatify: bool = False,
        is_2d: bool = True,
    ) -> None:  # fmt: skip
        _ = floatify
        _only("FocalLossFlat", flatten, is_2d)
        super().__init__(args[0] if args else gamma, axis, weight, reduction=reduction)
        self.y_int = True


class BCEWithLogitsLossFlat(own.BCEWithLogitsLossFlat, metaclass=StandIn):
    """Binary cross-entropy on raw outputs: burnish's own. `axis`, `floatify` and `is_2d` have no effect; `flatten` none but with `pos_weight`.

    Raises:
        ValueError: ``pos_weight`` with ``flatten=True``, said in words: the weights are of labels, which flattening would mix.
    """

    own = own.BCEWithLogitsLossFlat

    def __init__(
        self, *args: Any, axis: int = -1, floatify: bool = True, thresh: float = 0.5, weight: Any = None, reduction: str = "mean", pos_weight: Any = None,
        flatten: bool | None = None, is_2d: bool = True,
    ) -> None:  # fmt: skip
        _ = axis, floatify, is_2d
        if pos_weight is not None and flatten:
            raise ValueError(
                "BCEWithLogitsLossFlat(pos_weight=..., flatten=True): the weights are of labels, which flattening would mix. Leave flatten away."
            )
        super().__init__(thresh, _weight("BCEWithLogitsLossFlat", args, weight), reduction, pos_weight)


class MSELossFlat(own.MSELossFlat, metaclass=StandIn):
    """Mean squared error: burnish's own. `axis` and `floatify` have no effect."""

    own = own.MSELossFlat

    def __init__(self, axis: int = -1, floatify: bool = True, reduction: str = "mean") -> None:
        _ = axis, floatify
        super().__init__(reduction)


class L1LossFlat(own.L1LossFlat, metaclass=StandIn):
    """Mean absolute error: burnish's own. `axis` and `floatify` have no effect."""

    own = own.L1LossFlat

    def __init__(self, axis: int = -1, floatify: bool = True, reduction: str = "mean") -> None:
        _ = axis, floatify
        super().__init__(reduction)


def BCELossFlat(*args: Any, axis: int = -1, floatify: bool = True, reduction: str = "mean", weight: Any = None) -> BaseLoss:
    """Binary cross-entropy of probabilities, flattened."""
    return BaseLoss(nn.BCELoss, _weight("BCELossFlat", args, weight), axis=axis, floatify=floatify, is_2d=False, reduction=reduction)


class DiceLoss(masks.DiceLoss):
    """1 - the soft Dice coefficient, of the size that fastai's has: summed over pictures and classes by default, or (``"mean"``) averaged over both."""

    def __init__(self, axis: int = 1, smooth: float = 1e-6, reduction: str = "sum", square_in_union: bool = False) -> None:
        super().__init__(axis, smooth, reduction, square_in_union)
        self.axis = axis

    def of_samples(self, output: Tensor, target: Tensor, known: Tensor) -> Tensor:
        loss = super().of_samples(output, target, known)
        return loss * output.shape[1] if self.reduction == "sum" else loss
