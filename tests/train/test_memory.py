"""Memory while training does not grow from epoch to epoch: no sample, batch or prediction is kept longer than it is needed."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

from burnish.train.callback import Callback
from burnish.train.learner import Learner
from burnish.vision.dataloaders import ImageDataLoaders
from burnish.vision.transforms import Resize

SAMPLES, EPOCHS, SETTLED = 240, 7, 3  # by the third epoch every cache and pool is filled
LIMIT = 0.6 * SAMPLES * (EPOCHS - SETTLED)  # blocks: less than one a sample and epoch, with room for a few numbers a batch (the history)


class Weighing(Callback):
    """Notes, after each epoch, how many blocks of memory Python holds, and how many pictures and tensors are alive."""

    order = 99

    def __init__(self) -> None:
        self.blocks: list[int] = []
        self.alive: list[int] = []

    def after_epoch(self, learn: Learner) -> None:
        gc.collect()
        self.blocks.append(sys.getallocatedblocks())
        self.alive.append(sum(issubclass(type(o), (torch.Tensor, Image.Image)) for o in gc.get_objects()))


class Hoarding(Callback):
    """What a leak looks like: keeps one tensor and one number a sample of every batch."""

    def __init__(self) -> None:
        self.kept: list[object] = []

    def after_batch(self, learn: Learner) -> None:
        self.kept += [*learn.xb, [float(i) for i in range(len(learn.xb[0]))]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("small_files")
    for i in range(SAMPLES):
        (root / f"class{i % 2}").mkdir(exist_ok=True)
        Image.new("RGB", (12, 12), (i, 255 - i, 7)).save(root / f"class{i % 2}" / f"{i}.png")
    return root


def weigh(folder: Path, cache: bool | str, workers: int, *cbs: Callback) -> Weighing:
    dls = ImageDataLoaders.from_folder(folder, valid_pct=0.2, seed=1, bs=16, item_tfms=Resize(8), cache=cache, num_workers=workers)
    weighing = Weighing()
    learn = Learner(dls, nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2)), cbs=[weighing, *cbs])
    with learn.no_logging():
        learn.fit(EPOCHS, 1e-3)
    return weighing


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("cache", [False, True, "folder"])
def test_training_keeps_nothing_from_epoch_to_epoch(folder: Path, tmp_path: Path, cache: bool | str, workers: int):
    found = weigh(folder, str(tmp_path) if cache == "folder" else cache, workers)
    assert found.blocks[-1] - found.blocks[SETTLED - 1] < LIMIT, found.blocks
    assert max(found.alive[SETTLED:]) <= found.alive[SETTLED - 1] + 4, found.alive


def test_the_scale_feels_a_leak(folder: Path):
    found = weigh(folder, False, 0, Hoarding())
    assert found.blocks[-1] - found.blocks[SETTLED - 1] > LIMIT
    assert found.alive[-1] > found.alive[SETTLED - 1] + 4
