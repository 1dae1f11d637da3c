"""Batch transforms from elsewhere: torchvision's policies, modules and plain functions."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.transforms.v2 as v2
from PIL import Image

from burnish.data.foreign import BatchFunction
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
