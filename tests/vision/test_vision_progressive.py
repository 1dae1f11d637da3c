"""Progressive resizing: which sizes when, for which models, and that it is part of fine_tune from scratch only."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from torch import nn

from burnish.data.notes import captured_notes
from burnish.errors import SettingError
from burnish.train.callback import Callback
from burnish.vision.dataloaders import ImageDataLoaders
from burnish.vision.learner import vision_learner
from burnish.vision.progressive import ProgressiveResize
from burnish.vision.segmentation import SegmentationDataLoaders, unet_learner
from burnish.vision.transforms import Resize


class Sizes(Callback):
    """Writes down the side of every batch, and whether all of the model was in the mode of its pass."""

    order = 0

    def __init__(self):
        self.train, self.valid, self.modes = [], [], set()

    def before_batch(self, learn):
        (self.train if learn.training else self.valid).append(learn.xb[0].shape[-1])
        self.modes |= {m.training == learn.training for m in learn.model.modules()}


class Alike(Callback):
    """Writes down in how many pixels white pictures and masks agree."""

    order = 0

    def __init__(self):
        self.shares = []

    def before_batch(self, learn):
        self.shares.append(((learn.xb[0][:, 0] > 0.5) == (learn.yb[0] == 1)).float().mean().item())


@pytest.fixture(scope="module")
def dls(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for label in "ab":
        (folder / label).mkdir()
        for i in range(20):
            Image.fromarray(rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(folder / label / f"{i}.png")
    return ImageDataLoaders.from_folder(folder, valid_pct=0.2, seed=0, bs=4, item_tfms=Resize(64), device="cpu", num_workers=0)


def test_sides_grow_to_the_full_one():
    cb = ProgressiveResize(start=0.5, full_from=0.5, multiple=16)
    sides = [cb.size(160, 160, p)[0] for p in np.linspace(0, 1, 11)]
    assert sides[0] == 80 and sides == sorted(sides) and set(sides[5:]) == {160}
    assert cb.size(224, 112, 0.0) == (112, 64), "no side below the least"
    assert cb.size(40, 40, 0.0) == (40, 40), "small pictures stay as they are"


@pytest.mark.parametrize("arch", ["resnet18", nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())], ids=["name", "module"])
def test_fine_tune_from_scratch_begins_small_and_validates_whole(dls, arch):
    learn = vision_learner(dls, arch, pretrained=False, seed=0)
    learn.remove_cb(ProgressiveResize)
    sizes = Sizes()
    with learn.no_logging():
        learn.fine_tune(1, cbs=[ProgressiveResize(least=16), sizes])
    assert sizes.train[0] == 16 and sizes.train[-1] == 64 and set(sizes.valid) == {64}
    assert sizes.modes == {True}, "trying a size out leaves no module in another mode"


def test_it_is_there_for_fine_tune_from_scratch_and_nothing_else(dls):
    learn = vision_learner(dls, "mobilenetv3_small_050", pretrained=False, seed=0)
    own = next(cb for cb in learn.cbs if isinstance(cb, ProgressiveResize))
    own.least = 16
    with learn.no_logging():
        learn.fine_tune(1, cbs=(first := Sizes()))
        learn.fit_one_cycle(1, cbs=(second := Sizes()))
        learn.pretrained = True
        learn.fine_tune(1, cbs=(third := Sizes()))
    assert min(first.train) == 16 and set(second.train) == set(third.train) == {64}


def test_an_architecture_of_one_size_is_left_alone(dls):
    learn = vision_learner(dls, "vit_tiny_patch16_224", pretrained=False, seed=0, arch_args={"depth": 1})
    sizes = Sizes()
    with learn.no_logging():
        learn.fine_tune(1, cbs=[ProgressiveResize(least=16), sizes])
    assert set(sizes.train) == {64}


@pytest.mark.parametrize("settings", [{"start": 0}, {"start": 1.5}, {"full_from": 0}])
def test_shares_out_of_range(settings):
    with pytest.raises(SettingError, match="shares above 0, up to 1"):
        ProgressiveResize(**settings)


def test_masks_shrink_with_their_pictures(tmp_path):
    """A mask marks where its picture is white; small ones still do, but for the pixels at the edge."""
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    for i in range(8):
        white = np.zeros((64, 64), np.uint8)
        white[8 * i :, :32] = 1
        Image.fromarray(np.repeat(white[..., None] * 255, 3, axis=2)).save(tmp_path / "images" / f"{i}.png")
        Image.fromarray(white).save(tmp_path / "masks" / f"{i}.png")
    with captured_notes():
        dls = SegmentationDataLoaders.from_folder(tmp_path, codes=["black", "white"], bs=4, seed=0, device="cpu", num_workers=0)
        learn = unet_learner(dls, "mobilenetv3_small_050", pretrained=False, seed=0)
    sizes = Sizes()
    with learn.no_logging():
        learn.fit(2, cbs=[ProgressiveResize(start=0.5, multiple=8, least=16), sizes, same := Alike()])
    assert sizes.train[0] == 32 and sizes.train[-1] > 32 and set(sizes.valid) == {64} and min(same.shares) > 0.97
