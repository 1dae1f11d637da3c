"""Losses: their numbers against torch's and against the papers' formulas, their shapes, and their refusals."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import nn
from torch.nn import functional as F

from burnish.errors import DataError, SettingError
from burnish.evaluate.losses import (
    LOSSES,
    BCEWithLogitsLossFlat,
    CrossEntropyLossFlat,
    FocalLossFlat,
    L1LossFlat,
    LabelSmoothingCrossEntropy,
    MSELossFlat,
    class_weights,
)

G = torch.Generator().manual_seed(0)
LOGITS = torch.randn(8, 3, generator=G)
LABELS = torch.tensor([0, 1, 2, 0, 1, 2, 2, 1])
MULTI = (torch.rand(8, 3, generator=G) < 0.5).float()
WEIGHT = [0.5, 1.0, 3.0]
CLASS_LOSSES = ("CrossEntropyLossFlat", "LabelSmoothingCrossEntropy", "FocalLossFlat")


def case(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    if name in CLASS_LOSSES:
        return LOGITS, LABELS
    return (LOGITS, MULTI) if name == "BCEWithLogitsLossFlat" else (LOGITS[:, 0], MULTI[:, 0] * 2)


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_is_a_module_whose_reductions_agree(name: str) -> None:
    loss, (output, target) = LOSSES[name](), case(name)
    assert isinstance(loss, nn.Module) and loss.reduction == "mean"
    mean = loss(output, target)
    loss.reduction = "none"
    each = loss(output, target)
    assert each.shape == target.shape and each.mean().item() == pytest.approx(mean.item(), rel=1e-5)
    loss.reduction = "sum"
    assert loss(output, target).item() == pytest.approx(each.sum().item(), rel=1e-5)
    with pytest.raises(SettingError, match="reduction='average'; expected one of 'mean', 'sum', 'none'"):
        loss.reduction = "average"


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_trains_decodes_and_copies(name: str) -> None:
    loss, (output, target) = LOSSES[name](), case(name)
    x = output.clone().requires_grad_()
    for step in range(300):
        value = copy.deepcopy(loss)(x, target)
        (grad,) = torch.autograd.grad(value, x)
        x = (x - (2 - step / 150) * grad).detach().requires_grad_()
    decoded = loss.decodes(loss.activation(x.detach())).float()
    assert torch.allclose(decoded, target.float(), atol=0.05)
    assert loss(output.bfloat16(), target).dtype == torch.float32


@pytest.mark.parametrize("name", LOSSES)
def test_unequal_counts_are_refused_with_both_shapes(name: str) -> None:
    output, target = case(name)
    with pytest.raises(ValueError, match=r"\(8.*\(5"):
        LOSSES[name]()(output, target[:5])


@pytest.mark.parametrize(
    "kwargs", [{}, {"weight": torch.tensor(WEIGHT)}, {"label_smoothing": 0.1}, {"reduction": "none"}, {"ignore_index": 2}]
)
def test_cross_entropy_is_torchs(kwargs: dict) -> None:
    assert torch.allclose(CrossEntropyLossFlat(**kwargs)(LOGITS, LABELS), F.cross_entropy(LOGITS, LABELS, **kwargs))


def test_cross_entropy_on_another_axis_and_with_soft_targets() -> None:
    maps, masks = LOGITS.reshape(2, 4, 3).movedim(2, 1), LABELS.reshape(2, 4)
    loss = CrossEntropyLossFlat(axis=1)
    assert loss(maps, masks).item() == pytest.approx(F.cross_entropy(LOGITS, LABELS).item())
    assert loss.activation(maps).sum(1).allclose(torch.ones(2, 4)) and torch.equal(loss.decodes(maps), maps.argmax(1))
    soft = F.one_hot(LABELS, 3).float() * 0.7 + 0.1
    assert CrossEntropyLossFlat()(LOGITS, soft).item() == pytest.approx(F.cross_entropy(LOGITS, soft).item())
    assert loss(maps, soft.reshape(2, 4, 3).movedim(2, 1)).item() == pytest.approx(F.cross_entropy(LOGITS, soft).item())
    loss.reduction = "none"
    assert loss(maps, masks).shape == masks.shape and loss(maps, soft.reshape(2, 4, 3).movedim(2, 1)).shape == masks.shape


def test_label_smoothing_is_torchs() -> None:
    wanted = F.cross_entropy(LOGITS, LABELS, label_smoothing=0.2, weight=torch.tensor(WEIGHT))
    assert LabelSmoothingCrossEntropy(0.2, weight=WEIGHT)(LOGITS, LABELS).item() == pytest.approx(wanted.item())


@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_focal_loss_is_the_papers_with_weights_on_the_loss(weight: list[float] | None) -> None:
    p = LOGITS.double().softmax(1)[torch.arange(8), LABELS]
    w = torch.tensor(weight or [1.0, 1.0, 1.0], dtype=torch.float64)[LABELS]
    wanted = (w * (1 - p) ** 2 * -p.log()).sum() / w.sum()
    assert FocalLossFlat(weight=weight)(LOGITS, LABELS).item() == pytest.approx(wanted.item(), rel=1e-5)
    plain = FocalLossFlat(gamma=0, weight=weight)(LOGITS, LABELS).item()
    assert plain == pytest.approx(F.cross_entropy(LOGITS, LABELS, None if weight is None else torch.tensor(weight)).item(), rel=1e-5)
    ignoring = FocalLossFlat(ignore_index=2)(LOGITS, LABELS).item()
    assert ignoring == pytest.approx(FocalLossFlat()(LOGITS[LABELS != 2], LABELS[LABELS != 2]).item(), rel=1e-5)


def test_focal_loss_of_a_sure_and_right_answer_has_a_finite_gradient() -> None:
    x = torch.tensor([[200.0, 0.0]], requires_grad=True)
    for gamma in (0.0, 0.5, 2.0):
        loss = FocalLossFlat(gamma)(x, torch.tensor([0]))
        assert loss.item() == 0 and torch.autograd.grad(loss, x)[0].isfinite().all()


def test_binary_cross_entropy_is_torchs_and_n_by_1_is_n() -> None:
    wanted = F.binary_cross_entropy_with_logits(LOGITS, MULTI, pos_weight=torch.tensor(WEIGHT))
    assert BCEWithLogitsLossFlat(pos_weight=WEIGHT)(LOGITS, MULTI.int()).item() == pytest.approx(wanted.item())
    one = BCEWithLogitsLossFlat(thresh=0.9)
    assert one(LOGITS[:, :1], MULTI[:, 0]).item() == pytest.approx(F.binary_cross_entropy_with_logits(LOGITS[:, 0], MULTI[:, 0]).item())
    assert one.decodes(torch.tensor([0.8, 0.95])).tolist() == [False, True]
    with pytest.raises(ValueError, match="look like class indices: use accuracy and CrossEntropyLossFlat"):
        one(LOGITS, LABELS)


@pytest.mark.parametrize(("loss", "torchs"), [(MSELossFlat(), F.mse_loss), (L1LossFlat(), F.l1_loss)])
def test_numbers_do_not_broadcast(loss: nn.Module, torchs) -> None:
    assert loss(LOGITS[:, :1], LABELS).item() == pytest.approx(torchs(LOGITS[:, 0], LABELS.float()).item())
    with pytest.raises(ValueError, match=r"outputs \(8, 3\) and targets \(3, 8\) must have the same shape"):
        loss(LOGITS, LOGITS.T)


def test_settings_and_weights_that_cannot_work() -> None:
    with pytest.raises(ValueError, match=r"weight has shape \(2,\), but there are 3 classes"):
        CrossEntropyLossFlat(weight=[1, 2])(LOGITS, LABELS)
    with pytest.raises(SettingError, match="gamma=-1; expected 0 or more"):
        FocalLossFlat(-1)
    with pytest.raises(SettingError, match=r"label_smoothing=1\.5; expected a share"):
        LabelSmoothingCrossEntropy(1.5)
    with pytest.raises(ValueError, match="expected class indices"):
        FocalLossFlat()(LOGITS, LOGITS)
    with pytest.raises(TypeError, match="wieght"):
        CrossEntropyLossFlat(wieght=WEIGHT)  # type: ignore[call-arg]


def test_weights_move_with_the_module() -> None:
    assert CrossEntropyLossFlat(weight=WEIGHT).to(torch.float64).weight.dtype == torch.float64
    assert CrossEntropyLossFlat().weight is None


def test_class_weights_are_scikit_learns_in_the_order_of_the_vocabulary() -> None:
    labels, vocab = ["b", "a", "b", "c", "b", "a"], ["c", "a", "b"]
    wanted = dict(zip("abc", compute_class_weight("balanced", classes=np.array(["a", "b", "c"]), y=labels), strict=True))
    assert class_weights(labels, vocab).tolist() == pytest.approx([wanted[v] for v in vocab])
    assert class_weights(labels, vocab, "sqrt").tolist() == pytest.approx([wanted[v] ** 0.5 for v in vocab])
    assert class_weights(labels, ["#na#", *vocab])[0] == 1
    with pytest.raises(DataError, match="'b' among the labels, but not in the vocabulary"):
        class_weights(labels, ["a", "c"])
    with pytest.raises(DataError, match=r"the class\(es\) 'd' have no training sample"):
        class_weights(labels, [*vocab, "d"])
    with pytest.raises(SettingError, match="kind='inverse'; expected one of 'balanced', 'sqrt'"):
        class_weights(labels, vocab, "inverse")


@pytest.mark.parametrize("settings", [{}, {"weight": WEIGHT}])
@pytest.mark.parametrize("name", CLASS_LOSSES)
def test_a_batch_of_which_nothing_counts_has_no_loss(name: str, settings: dict) -> None:
    """As of masks whose every pixel is void: the mean over nothing would be nan, and the weights after it."""
    loss, output = LOSSES[name](**settings), LOGITS.clone().requires_grad_()
    value = loss(output, torch.full((8,), -100))
    value.backward()
    assert value.item() == 0 and output.grad is not None and (output.grad == 0).all()
    some = torch.where(torch.arange(8) < 3, LABELS, -100)
    assert loss(LOGITS, some).item() == pytest.approx(loss(LOGITS[:3], LABELS[:3]).item(), rel=1e-5)
