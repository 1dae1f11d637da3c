"""MixUp and CutMix: what is mixed, that the loss is mixed in the same proportion, and that nothing stays changed."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from callbacks_support import small_learner, when
from torch import Tensor, nn
from torch.nn import functional as F

from burnish.errors import SettingError
from burnish.evaluate.losses import BCEWithLogitsLossFlat, CrossEntropyLossFlat, FocalLossFlat, LabelSmoothingCrossEntropy
from burnish.train.callbacks import CutMix, MixUp
from burnish.train.callbacks.mix import Mix, box_mask, draw_boxes, mixed_loss, per_sample_loss

N, C = 6, 4
CLASSES, MANY, NUMBERS = torch.tensor([0, 1, 2, 3, 1, 0]), (torch.arange(24).reshape(N, C) % 3 == 0).float(), torch.linspace(-1, 1, N)
LOSSES: dict[str, tuple[Any, tuple[int, ...], Tensor]] = {
    "cross-entropy": (nn.CrossEntropyLoss(), (N, C), CLASSES),
    "weights": (nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 0.5, 3.0])), (N, C), CLASSES),
    "ignored": (nn.CrossEntropyLoss(ignore_index=1), (N, C), CLASSES),
    "smoothed": (nn.CrossEntropyLoss(label_smoothing=0.1), (N, C), CLASSES),
    "function": (F.cross_entropy, (N, C), CLASSES),
    "partial": (partial(F.cross_entropy, label_smoothing=0.2), (N, C), CLASSES),
    "pixels": (nn.CrossEntropyLoss(ignore_index=0), (N, C, 2, 2), CLASSES[:, None, None].expand(N, 2, 2)),
    "labels": (nn.BCEWithLogitsLoss(), (N, C), MANY),
    "number": (nn.MSELoss(), (N, 1), NUMBERS),  # (N, 1) against (N,): must not broadcast
    "no reduction": (lambda p, y: F.cross_entropy(p, y) * 2, (N, C), CLASSES),
    "flat": (CrossEntropyLossFlat(), (N, C), CLASSES),
    "flat weights": (CrossEntropyLossFlat(weight=[1.0, 2.0, 0.5, 3.0]), (N, C), CLASSES),
    "flat smoothed": (LabelSmoothingCrossEntropy(), (N, C), CLASSES),
    "focal": (FocalLossFlat(weight=[1.0, 2.0, 0.5, 3.0]), (N, C), CLASSES),
    "flat labels": (BCEWithLogitsLossFlat(), (N, C), MANY),
}  # fmt: skip


def plain(loss: Any, pred: Tensor, target: Tensor) -> Tensor:
    return loss(pred, target.reshape(pred.shape) if isinstance(loss, nn.MSELoss) else target)


@pytest.mark.parametrize("name", LOSSES)
def test_mixing_a_batch_with_itself_gives_the_plain_loss(name: str) -> None:
    loss, shape, target = LOSSES[name]
    pred = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    part = torch.rand(N, generator=torch.Generator().manual_seed(1))
    got = mixed_loss(loss, per_sample_loss(loss), pred, (target,), (target,), part)
    torch.testing.assert_close(got, plain(loss, pred, target))


@pytest.mark.parametrize("name", [n for n in LOSSES if n not in ("weights", "ignored", "flat weights", "focal", "pixels")])
def test_the_loss_is_mixed_in_proportion(name: str) -> None:
    loss, shape, target = LOSSES[name]
    pred = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    others, part = target.flip(0), torch.full((N,), 0.3)
    got = mixed_loss(loss, per_sample_loss(loss), pred, (target,), (others,), part)
    torch.testing.assert_close(got, 0.3 * plain(loss, pred, target) + 0.7 * plain(loss, pred, others))


def test_each_sample_counts_with_its_own_part() -> None:
    pred, target, others = torch.randn(N, C), CLASSES, CLASSES.flip(0)
    part = torch.tensor([1.0, 0.0, 0.5, 1.0, 0.0, 0.25])
    own, other = F.cross_entropy(pred, target, reduction="none"), F.cross_entropy(pred, others, reduction="none")
    got = mixed_loss(nn.CrossEntropyLoss(), per_sample_loss(nn.CrossEntropyLoss()), pred, (target,), (others,), part)
    torch.testing.assert_close(got, (part * own + (1 - part) * other).mean())


def test_cross_entropy_is_that_of_soft_targets() -> None:
    pred, part = torch.randn(N, C), torch.rand(N)
    soft = part[:, None] * F.one_hot(CLASSES, C) + (1 - part)[:, None] * F.one_hot(CLASSES.flip(0), C)
    got = mixed_loss(nn.CrossEntropyLoss(), per_sample_loss(nn.CrossEntropyLoss()), pred, (CLASSES,), (CLASSES.flip(0),), part)
    torch.testing.assert_close(got, F.cross_entropy(pred, soft))


def test_the_loss_without_reduction_is_a_copy() -> None:
    loss = nn.CrossEntropyLoss()
    single = per_sample_loss(loss)
    assert single is not None and single.reduction == "none" and loss.reduction == "mean"  # type: ignore[attr-defined]


def test_boxes_cover_the_drawn_share_inside_the_image() -> None:
    rng = np.random.default_rng(0)
    kept = np.full(2000, 0.75)
    boxes = draw_boxes(kept, 40, 60, rng)
    assert boxes.min() >= 0 and boxes[:, :2].max() <= 40 and boxes[:, 2:].max() <= 60
    assert (boxes[:, 1] >= boxes[:, 0]).all() and (boxes[:, 3] >= boxes[:, 2]).all()
    assert (boxes[:, 1] - boxes[:, 0]).max() == 20 and (boxes[:, 3] - boxes[:, 2]).max() == 30  # half of each side: a quarter of the area
    mask = box_mask(torch.from_numpy(boxes[:5]), 40, 60)
    assert mask.sum((1, 2, 3)).tolist() == ((boxes[:5, 1] - boxes[:5, 0]) * (boxes[:5, 3] - boxes[:5, 2])).tolist()


def mixed(cb: Mix, x: Tensor, seed: int = 0) -> tuple[Tensor, Tensor, np.ndarray]:
    rng = np.random.default_rng(seed)
    drawn, partner = rng.beta(cb.alpha, cb.alpha, len(x)), torch.from_numpy(rng.permutation(len(x)))
    (out,), part = cb.mix((x,), partner, drawn, rng)
    return out, partner, part


def test_mixup_blends_in_the_stated_proportion() -> None:
    x = torch.randn(8, 3, 5, 5).to(memory_format=torch.channels_last)
    out, partner, part = mixed(MixUp(1.0), x)
    weight = torch.from_numpy(part).float().view(-1, 1, 1, 1)
    torch.testing.assert_close(out, weight * x + (1 - weight) * x[partner])
    assert (part >= 0.5).all() and len(set(part.tolist())) == 8
    assert out.is_contiguous(memory_format=torch.channels_last)


def test_cutmix_pastes_the_stated_area() -> None:
    x = torch.arange(8.0).view(8, 1, 1, 1).expand(8, 3, 16, 16).contiguous(memory_format=torch.channels_last)
    out, partner, part = mixed(CutMix(), x)
    own = (out[:, 0] == x[:, 0]).float().mean((1, 2))
    moved = partner != torch.arange(8)
    torch.testing.assert_close(own[moved], torch.from_numpy(part).float()[moved])
    assert ((out == x) | (out == x[partner])).all() and (part < 1).any()
    assert out.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("make", [MixUp, CutMix])
def test_training_mixes_training_batches_only_and_reports_the_mixed_loss(make: type[Mix], tmp_path: Path) -> None:
    seen: list[tuple[bool, bool]] = []
    originals: list[Tensor] = []
    learn = small_learner(tmp_path, dropout=0.0)
    loss_func = learn.loss_func
    watch = [
        when(order=-1000, before_batch=lambda learn: originals.append(learn.xb[0].clone())),
        when(order=1000, before_batch=lambda learn: seen.append((learn.training, torch.equal(learn.xb[0], originals[-1])))),
        when(
            order=1000,
            after_loss=lambda learn: learn.training and losses.append((learn.loss.item(), loss_func(learn.pred, *learn.yb).item())),
        ),
    ]
    losses: list[tuple[float, float]] = []
    learn.fit(1, 1e-2, cbs=[make(1.0), *watch])
    assert {same for training, same in seen if training} == {False} and {same for training, same in seen if not training} == {True}
    assert all(a != b for a, b in losses)
    assert learn.recorder.raw_losses == pytest.approx([a for a, _ in losses])
    assert learn.loss_func is loss_func and loss_func.reduction == "mean"


def test_two_passes_are_mixed_differently_and_two_runs_alike(tmp_path: Path) -> None:
    def run() -> list[float]:
        parts: list[float] = []
        cb = MixUp(1.0)
        small_learner(tmp_path).fit(
            2, 1e-2, cbs=[cb, when(order=9, before_batch=lambda learn: learn.training and parts.append(float(cb._part[0])))]
        )
        return parts

    first = run()
    assert first == run() and len(set(first)) == len(first) > 2


def test_what_cannot_be_mixed_is_said(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"alpha=0.*above 0"):
        MixUp(0)
    with pytest.raises(SettingError, match=r"inputs here are int64"):
        mixed(MixUp(), torch.ones(4, 3, dtype=torch.int64))
    with pytest.raises(SettingError, match=r"CutMix needs images.*\(4, 3\).*MixUp"):
        mixed(CutMix(), torch.ones(4, 3))
    with pytest.raises(SettingError, match=r"reduction='sum'.*'mean'"):
        per_sample_loss(nn.CrossEntropyLoss(reduction="sum"))
