"""Transforms from elsewhere: torchvision's policies, on pictures, masks and points alike; modules and plain functions."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.transforms.v2 as v2
from PIL import Image
from torchvision import tv_tensors

from burnish.data.foreign import BatchFunction, as_item_transform
from burnish.errors import DataError, SettingError
from burnish.vision.augment import Flip, as_batch_transform
from burnish.vision.transforms import Resize


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def photos(n=6):
    import sklearn.datasets

    image = Image.open(Path(sklearn.datasets.__file__).parent / "images" / "flower.jpg").convert("RGB")
    one = np.asarray(Resize(40).apply((image,), None)[0])
    return torch.from_numpy(np.stack([one] * n)).permute(0, 3, 1, 2).contiguous().float() / 255


POLICIES = [
    v2.RandAugment(), v2.AutoAugment(), v2.TrivialAugmentWide(), v2.AugMix(), v2.ColorJitter(0.5, 0.5, 0.5, 0.1), v2.JPEG((10, 40)), v2.RandomErasing(p=1.0),
    v2.RandomAffine(20), v2.Compose([v2.RandomHorizontalFlip(), v2.GaussianNoise()]), v2.GaussianBlur(3), v2.RandomResizedCrop(24),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:The image decoding and encoding:DeprecationWarning")
@pytest.mark.parametrize("policy", POLICIES, ids=repr)
def test_torchvision_policies_are_drawn_per_picture_in_training_only(policy):
    tfm, x, state = as_batch_transform(policy), photos(8), torch.get_rng_state()
    out = tfm.apply([x, torch.arange(8)], ["image", "category"], generator())[0]
    assert out.dtype == torch.float32 and out.min() >= 0 and out.max() <= 1 and len(out) == 8
    assert len({o.numpy().tobytes() for o in out}) > 2
    assert torch.equal(out, tfm.apply([x], ["image"], generator())[0]) and torch.equal(torch.get_rng_state(), state)
    if not isinstance(policy, v2.RandomResizedCrop):
        assert tfm.apply([x], ["image"], None)[0] is x
    else:
        assert tfm.apply([x], ["image"], None)[0].shape == (8, 3, 24, 24)


def test_torchvision_takes_masks_along_and_refuses_points():
    x = torch.rand(3, 3, 20, 20)
    mask = torch.arange(400).reshape(1, 20, 20).repeat(3, 1, 1)
    out, moved = as_batch_transform(v2.RandomHorizontalFlip(1.0)).apply([x, mask], ["image", "mask"], generator())
    assert torch.equal(moved, mask.flip(2)) and torch.equal(out, x.flip(3))
    with pytest.raises(SettingError, match="points and boxes behind"):
        as_batch_transform(v2.RandomHorizontalFlip()).apply([x, torch.rand(3, 2, 2)], ["image", "points"], generator())


def test_deterministic_torchvision_runs_in_validation_too():
    tfm = as_batch_transform(v2.Grayscale(3))
    assert torch.equal(tfm.apply([photos(2)], ["image"], None)[0], tfm.apply([photos(2)], ["image"], generator())[0])


def test_functions_and_modules():
    invert = as_batch_transform(lambda x: 1 - x)
    assert isinstance(invert, BatchFunction) and torch.equal(invert.apply([photos(2)], ["image"], None)[0], 1 - photos(2))
    with pytest.raises(TypeError, match="plain function or module"):
        invert.config()
    dropout = as_batch_transform(torch.nn.Dropout(0.5))
    assert torch.equal(dropout.apply([photos(2)], ["image"], None)[0], photos(2)) and (dropout(photos(2)) == 0).any()
    with pytest.raises(DataError, match=r"gave a tensor of shape \(3, 40, 40\) for images of shape \(2, 3, 40, 40\)"):
        as_batch_transform(lambda x: x[0]).apply([photos(2)], ["image"], None)
    noise = as_batch_transform(lambda x: x + torch.rand(x.shape))
    state = torch.get_rng_state()
    assert torch.equal(noise.apply([photos(2)], ["image"], generator(1))[0], noise.apply([photos(2)], ["image"], generator(1))[0])
    assert torch.equal(torch.get_rng_state(), state)
    ours = Flip()
    assert as_batch_transform(ours) is ours and isinstance(as_batch_transform(Flip), Flip)


# -- places in the picture --------------------------------------------------------------------------------------------
SQUARE = (40, 31, 58, 44)  # left, top, right, bottom in a picture of 128 x 96
EVERYWHERE = [
    v2.RandomHorizontalFlip(1.0), v2.RandomVerticalFlip(1.0), v2.Compose([v2.Resize((150, 210)), v2.RandomHorizontalFlip(1.0)]), v2.Resize((200, 200)), v2.Resize((50, 70)),
    v2.Resize(70, max_size=90), v2.RandomResizedCrop(120, scale=(0.8, 1.0)), v2.RandomRotation((77, 77), expand=True), v2.RandomRotation(30, expand=True),
    v2.RandomRotation((30, 30)), v2.RandomAffine(10, (0.1, 0.1)), v2.RandomPerspective(0.2, p=1.0), v2.ElasticTransform(60.0, 15.0), v2.Pad(7), v2.CenterCrop(80),
]  # fmt: skip


def middle(x):
    """Where the middle of what is bright is (x, y), a pixel's own being at .5."""
    x = (x.as_subclass(torch.Tensor) if isinstance(x, torch.Tensor) else torch.from_numpy(np.array(x))).float()
    return torch.stack([(x.sum(dim) * (torch.arange(x.shape[1 - dim]) + 0.5)).sum() for dim in (0, 1)]) / x.sum()


def placed(square=SQUARE):
    """A picture with a white square, its mask, and its middle with a point that is missing."""
    x1, y1, x2, y2 = square
    white = np.zeros((96, 128), np.uint8)
    white[y1:y2, x1:x2] = 1
    points = tv_tensors.KeyPoints([[(x1 + x2) / 2, (y1 + y2) / 2], [float("nan")] * 2], canvas_size=(96, 128))
    return Image.fromarray(white * 255), tv_tensors.Mask(torch.from_numpy(white)), points


@pytest.mark.parametrize("rng", [random.Random(0), None], ids=["training", "else"])
@pytest.mark.parametrize("tfm", EVERYWHERE, ids=repr)
def test_masks_and_points_go_where_the_pixels_go(tfm, rng):
    picture, mask, points = as_item_transform(tfm).apply(placed(), rng)
    assert type(mask) is tv_tensors.Mask and type(points) is tv_tensors.KeyPoints
    assert tuple(mask.shape) == points.canvas_size == picture.size[::-1]
    where = middle(picture)
    assert (points[0] - where).abs().max() < 0.3 and points[1].isnan().all()
    assert (middle(mask) - where).abs().max() <= 0.5


@pytest.mark.parametrize("side", [200, 150, 90, 50])
def test_resized_masks_are_not_shifted(side):
    """On the mean over many places, for at one of them a border may be half a pixel off."""
    off = []
    for i in range(20):
        picture, mask, _ = as_item_transform(v2.Resize((side, side))).apply(placed((40 + i, 31 + i, 58 + i, 44 + i)), None)
        off.append(middle(mask) - middle(picture))
    assert torch.stack(off).mean(0).abs().max() < 0.1


def test_the_middle_outside_training_is_not_shifted_either():
    picture, mask, points = as_item_transform(v2.RandomResizedCrop(120)).apply(placed((60, 40, 68, 56)), None)
    assert torch.allclose(middle(picture), torch.tensor([60.0, 60.0]), atol=0.05) and torch.allclose(points[0], middle(picture), atol=0.05)
    assert (middle(mask) - middle(picture)).abs().max() < 0.3


def test_a_point_in_a_mirrored_picture_is_where_its_pixel_is():
    white = np.zeros((64, 64), np.uint8)
    white[10:13, 10:13] = 255
    points = tv_tensors.KeyPoints([[11.5, 11.5]], canvas_size=(64, 64))
    for tfm, expected in [(v2.RandomHorizontalFlip(1.0), [52.5, 11.5]), (v2.RandomVerticalFlip(1.0), [11.5, 52.5])]:
        picture, moved = as_item_transform(tfm).apply((Image.fromarray(white), points), random.Random(0))
        assert moved.tolist() == [expected] and middle(picture).tolist() == expected


def test_what_torchvision_is_told_for_masks_alone_holds():
    empty = (Image.new("L", (40, 40)), tv_tensors.Mask(torch.zeros(40, 40, dtype=torch.uint8)))
    for fill in ({tv_tensors.Mask: 7, "others": 0}, {Image.Image: 0, tv_tensors.Mask: 7}):
        turned = as_item_transform(v2.Compose([v2.RandomRotation((45, 45), fill=fill), v2.Resize(60)]))
        assert turned.apply(empty, random.Random(0))[1][0, 0] == 7
    numbers = as_item_transform(v2.ToDtype({tv_tensors.Mask: torch.int64, "others": None}))
    assert numbers.apply(empty, None)[1].dtype == torch.int64


def test_batches_of_masks_are_resized_by_their_centres():
    x, mask = torch.zeros(20, 1, 96, 128), torch.zeros(20, 96, 128, dtype=torch.int64)
    for i in range(20):
        x[i, :, 31 + i : 44 + i, 40 + i : 58 + i], mask[i, 31 + i : 44 + i, 40 + i : 58 + i] = 1, 1
    out, moved = as_batch_transform(v2.Resize((200, 200))).apply([x, mask], ["image", "mask"], None)
    off = torch.stack([middle(m) - middle(o[0]) for m, o in zip(moved, out, strict=True)])
    assert moved.dtype == torch.int64 and moved.shape == (20, 200, 200) and off.mean(0).abs().max() < 0.1
