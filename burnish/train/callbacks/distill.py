"""Distillation: a model learns from what a better one says, beside the labels (Hinton et al. 2015, arXiv:1503.02531)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from burnish.errors import SettingError
from burnish.train.callback import Callback
from burnish.train.guards import compute_loss, of_classes
from burnish.train.loop import run_model

if TYPE_CHECKING:
    from burnish.train.learner import Learner

OF_CLASSES, OF_LABELS, OF_PLACES = ("category", "mask"), ("multicategory",), ("number", "points")


class Distillation(Callback):
    """Trains on a teacher's predictions of each training batch as well as on its targets, to make a small model better than its labels alone would.

    The loss is ``(1 - weight) * loss + weight * distance``. The distance of classes (also of pixels, and of several labels) is the Kullback-Leibler divergence from
    the teacher's probabilities, both softened by `temperature`, times its square; of numbers and points it is the learner's own loss, with the
    teacher's predictions as the targets. The teacher sees what the model sees, mixed and augmented; it learns nothing, and isn't part of what is saved. Validation
    tells the plain loss.

    Args:
        teacher: a learner (a loaded one too), or a plain network that gives the same outputs for the same inputs, about which nothing can be checked.
        weight: what the teacher's part of the loss counts, above 0, up to 1 (the labels then count nothing).
        temperature: by which outputs are divided first: higher ones tell more of the classes that the teacher finds unlikely.

    Raises:
        SettingError: when training begins, if the teacher gives other outputs than the model. DataError: its classes or its inputs are others.
    """

    order: ClassVar[float] = 10  # after MixUp and CutMix have made the loss

    def __init__(self, teacher: Learner | nn.Module, weight: float = 0.5, temperature: float = 2.0) -> None:
        if not isinstance(getattr(teacher, "model", teacher), nn.Module):
            raise SettingError(f"teacher is a {type(teacher).__name__}; expected a learner, or a network (an nn.Module).")
        if not 0 < weight <= 1:
            raise SettingError(f"weight={weight!r}: expected a number above 0, up to 1: what the teacher's part of the loss counts.")
        if not temperature > 0:
            raise SettingError(f"temperature={temperature!r}: expected a number above 0, such as 2.")
        self.teacher, self.weight, self.temperature = teacher, float(weight), float(temperature)
        self._modes: list[tuple[nn.Module, bool]] = []
        self._home: torch.device | None = None

    @property
    def model(self) -> nn.Module:
        """The teacher's network."""
        return self.teacher if isinstance(self.teacher, nn.Module) else self.teacher.model

    def before_fit(self, learn: Learner) -> None:
        if self.model is learn.model:
            raise SettingError("The teacher is the model itself, which can't teach itself anything: give another one.")
        if not isinstance(self.teacher, nn.Module):
            self.teacher.check_new_data(self.teacher.dls, learn.dls)
        self._distance = _distance_of(learn)
        self._home = next((p.device for p in self.model.parameters()), None)
        self._modes = [(m, m.training) for m in self.model.modules()]
        self.model.to(learn.device).eval()

    def after_loss(self, learn: Learner) -> None:
        if not learn.training:
            return
        with torch.no_grad():
            says = run_model(self.model, learn.xb)
        if not isinstance(says, Tensor) or not isinstance(learn.pred, Tensor) or says.shape != learn.pred.shape:
            raise SettingError(
                f"The teacher's outputs are {_shape(says)} and the model's {_shape(learn.pred)}: both must be for the same target. Make the teacher on the same classes."
            )
        learn.loss = (1 - self.weight) * learn.loss + self.weight * self._distance(learn, says, self.temperature)

    def after_fit(self, learn: Learner) -> None:
        for module, mode in self._modes:
            module.training = mode
        if self._home is not None:
            self.model.to(self._home)
        self._modes, self._home = [], None

    def __repr__(self) -> str:
        name = getattr(self.teacher, "arch", None) or type(self.model).__name__
        return f"Distillation({name}, weight={self.weight:g}, temperature={self.temperature:g})"


def _distance_of(learn: Learner) -> Any:
    """What tells how far a model's outputs are from its teacher's, by the target's kind.

    Raises:
        SettingError: nobody knows for such targets.
    """
    blocks = getattr(learn.dls, "target_blocks", ())
    kinds = [block.kind for block in blocks]
    if len(kinds) == 1 and kinds[0] in OF_LABELS:
        return _of_labels
    if len(kinds) == 1 and kinds[0] in OF_PLACES:
        return _of_places
    if (len(kinds) == 1 and kinds[0] in OF_CLASSES) or (not kinds and of_classes(learn.loss_func)):
        return _of_classes
    if not kinds and isinstance(learn.loss_func, (nn.MSELoss, nn.L1Loss, nn.SmoothL1Loss, nn.HuberLoss)):
        return _of_places
    raise SettingError(
        f"Distillation knows targets that are one of: a class, a mask, several labels, numbers, points; these are {', '.join(kinds) or 'not known'}. "
        "For others, compute the teacher's part in a loss_func of your own."
    )


def _of_classes(learn: Learner, says: Tensor, temperature: float) -> Tensor:
    own, his = (F.log_softmax(out.float() / temperature, dim=1) for out in (learn.pred, says))
    return F.kl_div(own, his, reduction="none", log_target=True).sum(1).mean() * temperature**2


def _of_labels(learn: Learner, says: Tensor, temperature: float) -> Tensor:
    own, his = learn.pred.float() / temperature, says.float() / temperature
    likely = his.sigmoid()
    least = F.binary_cross_entropy_with_logits(his, likely)  # the teacher's own uncertainty, which nothing can undercut
    return (F.binary_cross_entropy_with_logits(own, likely) - least) * temperature**2


def _of_places(learn: Learner, says: Tensor, temperature: float) -> Tensor:
    return compute_loss(learn.loss_func, learn.pred, (says.reshape(learn.yb[0].shape).to(learn.yb[0].dtype),))


def _shape(output: Any) -> str:
    return str(tuple(output.shape)) if isinstance(output, Tensor) else f"a {type(output).__name__}"
