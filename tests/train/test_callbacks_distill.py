"""Distillation: what the loss is, for each kind of target, and that a teacher of something else is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from callbacks_support import same_weights, small_data, small_learner, small_model, when
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from burnish.data.category import CategoryBlock
from burnish.data.datablock import DataBlock
from burnish.data.multicategory import MultiCategoryBlock
from burnish.data.notes import captured_notes
from burnish.data.number import RegressionBlock
from burnish.data.split import RandomSplitter
from burnish.errors import DataError, SettingError
from burnish.train.callbacks import Distillation, MixUp
from burnish.train.export import load_learner
from burnish.vision.blocks import ImageBlock
from burnish.vision.learner import vision_learner
from burnish.vision.masks import MaskBlock
from burnish.vision.points import PointBlock
from burnish.vision.segmentation import unet_learner


def teacher_of(outputs: Tensor) -> nn.Module:
    """A network that always says `outputs`."""

    class Says(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.says = nn.Parameter(outputs)

        def forward(self, x: Tensor) -> Tensor:
            return self.says.expand(len(x), -1)

    return Says()


def test_the_loss_is_of_labels_and_teacher(tmp_path: Path) -> None:
    says, seen = torch.tensor([2.0, 0.5, -1.0]), []
    learn = small_learner(tmp_path)
    keep = when(99, after_loss=lambda learn: seen.append((learn.training, learn.pred.detach(), learn.yb[0], learn.loss.detach())))
    with captured_notes():
        learn.fit(1, cbs=[Distillation(teacher_of(says), weight=0.25, temperature=3), keep])
    assert {training for training, *_ in seen} == {True, False}
    for training, pred, y, loss in seen:
        plain = F.cross_entropy(pred, y)
        p, q = (says / 3).softmax(-1), (pred / 3).softmax(-1)
        far = 9 * (p * (p.log() - q.log())).sum(-1).mean()
        torch.testing.assert_close(loss, 0.75 * plain + 0.25 * far if training else plain)


def test_the_teacher_stays_as_it_is(tmp_path: Path) -> None:
    learn, teacher = small_learner(tmp_path), small_model(dropout=0.5).train()
    before = {k: v.clone() for k, v in teacher.state_dict().items()}
    modes = set()
    with captured_notes():
        learn.fit(2, cbs=[Distillation(teacher), when(after_loss=lambda _: modes.add(teacher.training))])
    assert same_weights(before, dict(teacher.state_dict())) and modes == {False} and all(m.training for m in teacher.modules())
    assert all(p.grad is None for p in teacher.parameters())


def test_a_teacher_that_knows_more_than_the_labels_helps(tmp_path: Path) -> None:
    """Labels of training are random; the teacher was taught with the right ones."""
    teacher, data = small_learner(tmp_path), small_data(400, bs=16)
    teacher.dls = data
    with captured_notes():
        teacher.fit_one_cycle(8, 1e-2)
    found = {}
    for name, cbs in {
        "labels": [],
        "teacher": [Distillation(teacher, weight=0.9)],
        "mixed": [MixUp(), Distillation(teacher, weight=0.9)],
    }.items():
        learn = small_learner(tmp_path)
        learn.dls = small_data(400, bs=16)
        targets = learn.dls.train.dataset.tensors
        learn.dls.train.dataset.tensors = (
            targets[0],
            targets[1][torch.randperm(len(targets[1]), generator=torch.Generator().manual_seed(0))],
        )
        with captured_notes():
            learn.fit_one_cycle(8, 1e-2, cbs=cbs)
        found[name] = learn.validate()["accuracy"]
    assert teacher.validate()["accuracy"] > 0.9 and found["teacher"] > 0.8 and found["mixed"] > 0.8 and found["labels"] < 0.6


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    files = [folder / f"{i}.png" for i in range(24)]
    for file in files:
        Image.fromarray(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(file)
    return files


def number(file: Path) -> int:
    return int(file.stem)


TARGETS: dict[str, tuple[Any, Any]] = {
    "class": (lambda: CategoryBlock(), lambda f: "ab"[number(f) % 2]),
    "labels": (lambda: MultiCategoryBlock(), lambda f: ["ab"[number(f) % 2], "c"]),
    "number": (lambda: RegressionBlock(), lambda f: number(f) / 24),
    "points": (lambda: PointBlock(), lambda f: [(number(f), 5), None]),
    "mask": (lambda: MaskBlock(["x", "y"]), lambda f: Image.fromarray(np.full((64, 64), number(f) % 2, np.uint8))),
}


def learner_of(pictures: list[Path], kind: str, seed: int) -> Any:
    block, get_y = TARGETS[kind]
    with captured_notes():
        dls = DataBlock(blocks=(ImageBlock, block()), get_y=get_y, splitter=RandomSplitter(seed=0)).dataloaders(
            pictures, bs=4, seed=0, device="cpu"
        )
        make = unet_learner if kind == "mask" else vision_learner
        return make(dls, "mobilenetv3_small_050", pretrained=False, seed=seed)


@pytest.mark.parametrize("kind", TARGETS)
def test_a_model_with_its_teachers_weights_is_at_no_distance(pictures: list[Path], kind: str, tmp_path: Path) -> None:
    learn, other = learner_of(pictures, kind, 0), learner_of(pictures, kind, 1)
    with captured_notes(), other.no_logging():
        other.fit(1, 1e-2)
    learn.export(tmp_path / "teacher.burnish")
    seen: list[float] = []
    for teacher in (load_learner(tmp_path / "teacher.burnish"), other):
        learn.model.eval()
        with captured_notes(), learn.no_logging():
            learn.fit(
                1,
                0.0,
                cbs=[
                    when(before_batch=lambda learn: learn.model.eval()),
                    Distillation(teacher, weight=1),
                    when(99, after_loss=lambda learn: seen.append(learn.loss.item())),
                ],
            )
    n = len(seen) // 2
    assert seen[0] == pytest.approx(0, abs=1e-5) and seen[n] > 1e-4


def test_what_does_not_fit_is_refused(pictures: list[Path], tmp_path: Path) -> None:
    learn = learner_of(pictures, "class", 0)
    with pytest.raises(SettingError, match="can't teach itself"):
        learn.fit(1, cbs=Distillation(learn))
    with pytest.raises(DataError, match="has the classes"):
        learn.fit(1, cbs=Distillation(learner_of(pictures, "number", 0)))
    swapped = learner_of(pictures, "class", 0)
    swapped.dls.target_blocks[0].vocab = swapped.dls.target_blocks[0].vocab[::-1]
    with pytest.raises(DataError, match="in this order"):
        learn.fit(1, cbs=Distillation(swapped))
    with pytest.raises(SettingError, match=r"teacher's outputs are \(4, 3\) and the model's \(4, 2\)"):
        learn.fit(1, cbs=Distillation(teacher_of(torch.zeros(3))))
    with pytest.raises(SettingError, match="targets that are one of"):
        other = small_learner(tmp_path, loss_func=lambda pred, y: F.cross_entropy(pred, y))
        other.fit(1, cbs=Distillation(small_model()))
    for settings, said in (({"weight": 0}, "weight=0"), ({"weight": 1.5}, "above 0, up to 1"), ({"temperature": 0}, "temperature=0")):
        with pytest.raises(SettingError, match=said):
            Distillation(small_model(), **settings)
    with pytest.raises(SettingError, match="teacher is a str"):
        Distillation("resnet34")
