"""Predictions at the size of the picture: where its pixels went, and large pictures in windows without seams."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from burnish.data.notes import captured_notes
from burnish.evaluate.learner import Learner
from burnish.vision import windows
from burnish.vision.augment import aug_transforms
from burnish.vision.frames import CORNERS, frame_of, homographies, moved_planes, project, project_boxes
from burnish.vision.segmentation import SegmentationDataLoaders
from burnish.vision.transforms import CropPad, RandomCrop, RandomResizedCrop, Resize

TFMS = {
    "none": None,
    "squish": Resize(64, method="squish"),
    "crop": Resize(64),
    "pad": Resize(64, method="pad", pad_mode="zeros"),
    "random crop": RandomCrop(48),
    "crop or pad": CropPad(80),
    "resized crop": RandomResizedCrop(64),
}


class Bright(nn.Module):
    """A network that knows the answer: the second class where a pixel is bright."""

    def __init__(self, reach=1):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, reach, padding=reach // 2, padding_mode="replicate", bias=True)
        with torch.no_grad():
            self.conv.weight.zero_()
            self.conv.weight[1] = 40 / 3 / reach**2
            self.conv.bias.copy_(torch.tensor([20.0, 0.0]))

    def forward(self, x):
        return self.conv(x)


def picture(width, height, seed=0):
    """Bright blocks on dark ones, and which are bright."""
    bright = np.random.default_rng(seed).random((-(-height // 16), -(-width // 16))) > 0.5
    mask = np.kron(bright, np.ones((16, 16)))[:height, :width].astype(np.uint8)
    return Image.fromarray((mask * 180 + 40).astype(np.uint8)).convert("RGB"), mask


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("bright")
    for name in ("images", "masks"):
        (root / name).mkdir()
    for i in range(8):
        image, mask = picture(96, 96, i)
        image.save(root / "images" / f"{i}.png")
        Image.fromarray(mask).save(root / "masks" / f"{i}.png")
    return root


def learner(folder, tfm, model=None, **options):
    dls = SegmentationDataLoaders.from_folder(folder, codes=["dark", "bright"], item_tfms=tfm, bs=4, seed=0, device="cpu", **options)
    return Learner(dls, model or Bright(), path=folder)


@pytest.mark.parametrize("name", TFMS)
@pytest.mark.parametrize("size", [(96, 96), (200, 144), (144, 320)], ids=str)
def test_masks_have_the_size_of_their_pictures_and_fit_them(folder, name, size):
    learn = learner(folder, TFMS[name], batch_tfms=aug_transforms())
    image, mask = picture(*size, seed=3)
    with captured_notes() as notes:
        label, index, probs = learn.predict(image)
    assert (
        label.shape == mask.shape == tuple(index.shape)
        and probs.shape == (2, *mask.shape)
        and torch.allclose(probs.sum(0), torch.ones(mask.shape), atol=1e-4)
    )
    scale = min(frame_of(learn.dls, size).scale)
    assert (label == mask).mean() > (0.995 if scale >= 1 else 0.97 if scale > 0.5 else 0.85), "places agree to the pixel seen"
    assert not notes


def test_several_of_different_sizes_in_one_list(folder):
    learn = learner(folder, RandomCrop(48))
    pictures, masks = zip(*[picture(w, h, w) for w, h in [(96, 96), (100, 50), (40, 120), (48, 48)]], strict=True)
    found = learn.predict(list(pictures))
    assert all((f.label == m).mean() > 0.995 for f, m in zip(found, masks, strict=True))


def test_windows_leave_no_seams(folder, monkeypatch):
    """Beside the picture as a whole, and at the edges of windows beside elsewhere."""
    torch.manual_seed(0)
    wide = nn.Sequential(
        nn.Conv2d(3, 8, 9, padding=4), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 9, padding=4), nn.ReLU(), nn.Conv2d(8, 2, 1)
    )
    learn = learner(folder, None, wide)
    image, _ = picture(320, 256, 5)
    whole = learn.predict(image).probs
    monkeypatch.setattr(windows, "LARGEST", 96)
    tiled = learn.predict(image).probs
    assert whole.shape == tiled.shape and not torch.equal(whole, tiled), "there were windows"
    assert (whole - tiled).abs().max() < 0.05
    off = (whole - tiled).abs()[0]
    steps = (tiled[:, :, 1:] - tiled[:, :, :-1] - (whole[:, :, 1:] - whole[:, :, :-1])).abs().amax(dim=(0, 1))
    assert steps.max() < 0.02, f"no column where the windows' answer jumps and the whole's doesn't (mean difference {off.mean():.4f})"


def test_windows_cover_everything_evenly():
    for n in (10, 96, 97, 1000, 3001):
        starts = windows._starts(n, min(n, 96))
        ends = [s + min(n, 96) for s in starts]
        assert starts[0] == 0 and ends[-1] == n and all(b - a <= 72 for a, b in itertools.pairwise(starts))
    assert windows.ramp(96).min() > 0 and windows.ramp(1).tolist() == [0.5]


def test_where_no_window_shows_the_scale_it_is_said(folder):
    learn = learner(folder, [Resize(64), CropPad(32)])
    image, mask = picture(200, 144, 3)
    with captured_notes() as notes:
        label = learn.predict(image).label
    if any("cut off a part" in text for text in notes):
        assert label.shape == mask.shape
    else:
        assert (label == mask).mean() > 0.8


def test_moving_there_and_back():
    torch.manual_seed(0)
    there = CORNERS.double() + torch.rand(5, 4, 2).double() * 0.6 - 0.3
    maps = homographies(CORNERS.double().expand(5, -1, -1), there)
    assert torch.allclose(project(CORNERS.double().expand(5, -1, -1), maps), there, atol=1e-9)
    planes = torch.stack(torch.meshgrid(torch.linspace(-1, 1, 41), torch.linspace(-1, 1, 41), indexing="xy"))[None] * 40 / 41
    moved, inside = moved_planes(planes.expand(5, -1, -1, -1), maps)
    expected = project(planes[0].flatten(1).T.double().expand(5, -1, -1), maps).transpose(1, 2).reshape(5, 2, 41, 41).float()
    near = (expected.abs() < 0.95).all(dim=1, keepdim=True)
    assert torch.allclose(moved[near.expand_as(moved)], expected[near.expand_as(moved)], atol=0.01) and inside.mean() < 1
    assert (inside[near] == 1).all()


def test_augmented_masks_are_brought_back(folder):
    learn = learner(folder, Resize(64, method="squish"), batch_tfms=aug_transforms(max_rotate=20, max_lighting=0))
    augmented, plain, targets = learn.tta(n=4, beta=None)
    assert augmented.shape == plain.shape == (len(targets), 2, 64, 64)
    assert (plain.argmax(1) == targets).float().mean() > 0.97 and (augmented.argmax(1) == targets).float().mean() > 0.93


@pytest.mark.parametrize("degrees", (0, 10, -20, 90))
def test_boxes_come_back_as_they_were(degrees):
    turn = np.deg2rad(degrees)
    there = torch.tensor([[np.cos(turn), -np.sin(turn), 0.05], [np.sin(turn), np.cos(turn), -0.02], [0, 0, 1.2]], dtype=torch.float64)[None]
    boxes = torch.tensor([[[-0.5, -0.2, 0.1, 0.6], [0.2, 0.2, 0.4, 0.5]]], dtype=torch.float64)
    x1, y1, x2, y2 = boxes.unbind(-1)
    corners = project(torch.stack([x1, y1, x2, y1, x2, y2, x1, y2], -1).reshape(1, -1, 2), there).reshape(1, 2, 4, 2)
    around = torch.cat([corners.amin(2), corners.amax(2)], -1)
    assert torch.allclose(project_boxes(around, torch.linalg.inv(there)), boxes)


def test_boxes_that_turned_too_far_hold_their_corners():
    turn = np.pi / 4
    there = torch.tensor([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]], dtype=torch.float64)[None]
    side = 0.2 * 2**0.5
    assert torch.allclose(
        project_boxes(torch.tensor([[[-0.2, -0.2, 0.2, 0.2]]]), there), torch.tensor([[[-side, -side, side, side]]]).double()
    )
