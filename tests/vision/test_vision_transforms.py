"""Item transforms: sizes, alignment of picture, mask, points and boxes, stages, validation, and torchvision's transforms."""

import json
import math
import random
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.transforms as v1
import torchvision.transforms.v2 as v2
from PIL import Image
from torchvision import tv_tensors

from burnish.data.cache import Pixels, as_pixels
from burnish.data.config import from_config
from burnish.data.foreign import TorchvisionTransform, as_item_transform, build, describe
from burnish.data.transforms import ItemFunction, ItemTransform
from burnish.errors import ModelFileError, SettingError
from burnish.vision.augment import Flip
from burnish.vision.blocks import ImageBlock
from burnish.vision.transforms import (
    CropPad,
    DihedralItem,
    FlipItem,
    PadMode,
    RandomCrop,
    RandomResizedCrop,
    RatioResize,
    Resize,
    ResizeMethod,
)  # fmt: skip


def photo():
    import sklearn.datasets

    return Image.open(Path(sklearn.datasets.__file__).parent / "images" / "china.jpg").convert("RGB")


SIZED = [
    Resize(64), Resize((48, 80)), Resize(64, "squish"), Resize((48, 80), "squish"), Resize(64, "pad"), Resize((48, 80), "pad", "zeros"),
    Resize(64, "pad", "border"), Resize(64, resample="lanczos"), RandomResizedCrop(64), RandomResizedCrop((48, 80), min_scale=0.35),
    RandomResizedCrop(64, val_xtra=0), CropPad(64), CropPad((48, 80), "reflection"), RandomCrop(64), RandomCrop((48, 80), "border"),
]  # fmt: skip
OTHERS = [RatioResize(64), FlipItem(), FlipItem(1.0), DihedralItem(), DihedralItem(0.5)]
ALL = SIZED + OTHERS
SIZES = [(200, 150), (150, 200), (64, 64), (30, 20), (1000, 40), (1, 1), (63, 500)]


def ids(tfms):
    return [repr(t) for t in tfms]


def grid(width, height):
    """A picture that says where each pixel came from: red is x, green is y."""
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([x, y, 0 * x], axis=-1).astype(np.uint8))


def sample(width=200, height=150):
    """Picture, mask, point and box of the same place, and a label."""
    pixels = np.asarray(grid(width, height))
    mask = tv_tensors.Mask(torch.from_numpy(pixels[..., 0].astype(np.int64) * 256 + pixels[..., 1]))
    points = tv_tensors.KeyPoints(torch.tensor([[100.5, 75.5], [90.5, 60.5]]), canvas_size=(height, width))
    boxes = tv_tensors.BoundingBoxes(torch.tensor([[80.0, 60.0, 120.0, 90.0]]), format="XYXY", canvas_size=(height, width))
    return grid(width, height), mask, points, boxes, "label"


@pytest.mark.parametrize("tfm", SIZED, ids=ids(SIZED))
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_result_has_the_size_asked_for(tfm, size):
    target = (tfm.size, tfm.size) if isinstance(tfm.size, int) else (tfm.size[1], tfm.size[0])
    for mode in ("RGB", "L"):
        image = Image.new(mode, size, 77)
        for rng in (None, random.Random(0), random.Random(1)):
            assert tfm.apply((image, "label"), rng)[0].size == target
            assert tfm.apply((image, "label"), rng)[1] == "label"


@pytest.mark.parametrize("tfm", ALL, ids=ids(ALL))
@pytest.mark.parametrize("seed", [None, 0, 1, 2])
def test_mask_points_and_boxes_stay_with_their_pixels(tfm, seed):
    image, mask, points, boxes, label = tfm.apply(sample(), None if seed is None else random.Random(seed))
    pixels = np.asarray(image).astype(float)
    assert label == "label" and tuple(mask.shape) == pixels.shape[:2] == points.canvas_size == boxes.canvas_size
    inside = np.zeros(pixels.shape[:2], bool)  # padded parts and the smear of antialiasing at the very border are left out
    inside[2:-2, 2:-2] = True
    if (isinstance(tfm, Resize) and tfm.method == "pad") or isinstance(tfm, (CropPad, RandomCrop)):
        inside &= (pixels[..., 0] > 4) & (pixels[..., 1] > 4)
    across, down = (mask.numpy() // 256)[inside], (mask.numpy() % 256)[inside]
    scale = 2.5 + max(200 / pixels.shape[1], 150 / pixels.shape[0])  # a pixel of the result covers several of the source
    assert np.abs(across - pixels[..., 0][inside]).max() <= scale and np.abs(down - pixels[..., 1][inside]).max() <= scale
    for (x, y), (was_x, was_y) in zip(points.tolist(), [(100, 75), (90, 60)], strict=True):
        if 2 < x < pixels.shape[1] - 2 and 2 < y < pixels.shape[0] - 2:
            assert np.abs(pixels[int(y), int(x), :2] - (was_x, was_y)).max() <= scale
    left, top, right, bottom = boxes[0].tolist()
    centre = points[0]
    assert left < centre[0] < right and top < centre[1] < bottom
    assert abs((left + right) / 2 - (centre[0] - 0.5 * (right - left) / 40)) < 1.01


@pytest.mark.parametrize(
    "tfm", [Resize(64, resample="nearest"), Resize((33, 57), "squish", resample="nearest"), RandomResizedCrop(31, resample="nearest"),
            RandomResizedCrop((90, 70), min_scale=0.5, resample="nearest"), CropPad(64), FlipItem(1.0), DihedralItem(1.0)], ids=repr,
)  # fmt: skip
def test_mask_is_aligned_to_the_pixel(tfm):
    image, mask = sample()[:2]
    for seed in range(5):
        picture, moved = tfm.apply((image, mask), random.Random(seed))
        pixels = np.asarray(picture).astype(int)
        off = np.maximum(np.abs(pixels[..., 0] - moved.numpy() // 256), np.abs(pixels[..., 1] - moved.numpy() % 256))
        assert (off == 0).mean() > 0.95 and off.max() <= 1, "the same source pixel, but for ties in rounding"


def test_box_format_is_kept():
    boxes = tv_tensors.BoundingBoxes(torch.tensor([[100.0, 75.0, 40.0, 30.0]]), format="CXCYWH", canvas_size=(150, 200))
    out = Resize((75, 100), "squish").apply((grid(200, 150), boxes), None)[1]
    assert out.format.name == "CXCYWH" and out.canvas_size == (75, 100) and out.tolist() == [[50.0, 37.5, 20.0, 15.0]]


@pytest.mark.parametrize("tfm", ALL, ids=ids(ALL))
@pytest.mark.parametrize("size", [(200, 150), (50, 70), (300, 90)], ids=str)
def test_stages_together_are_the_whole(tfm, size):
    image = photo().resize(size)
    first, second = tfm.stages()
    for seed in (None, 3, 4):
        whole = tfm.apply((image,), None if seed is None else random.Random(seed))
        staged = (image,)
        staged = staged if first is None else first.apply(staged, None)
        staged = staged if second is None else second.apply(staged, None if seed is None else random.Random(seed))
        assert (np.asarray(whole[0]) == np.asarray(staged[0])).all()


@pytest.mark.parametrize("tfm", ALL, ids=ids(ALL))
def test_draws_in_training_only_reproducibly_and_from_its_own_generator(tfm):
    image = photo()
    state, numpy_state, torch_state = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()
    once, twice = (np.asarray(tfm.apply((image,), None)[0]) for _ in range(2))
    assert (once == twice).all()
    seeded = [np.asarray(tfm.apply((image,), random.Random(5))[0]) for _ in range(2)]
    assert (seeded[0] == seeded[1]).all()
    assert (
        random.getstate() == state and (np.random.get_state()[1] == numpy_state).all() and torch.equal(torch.get_rng_state(), torch_state)
    )
    varied = {np.asarray(tfm.apply((image,), random.Random(s))[0]).tobytes() for s in range(8)}
    assert (len(varied) > 1) == (tfm.stages()[1] is not None and tfm != OTHERS[2])


TAKE_PIXELS = [t for t in ALL if (drawn := t.stages()[1]) is not None and drawn.takes_pixels]


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
@pytest.mark.parametrize("tfm", TAKE_PIXELS, ids=ids(TAKE_PIXELS))
def test_the_caches_arrays_become_what_pictures_become(tfm, mode):
    drawn = tfm.stages()[1]
    for size in [(200, 150), (150, 200), (64, 64), (30, 20)]:
        image = photo().resize(size).convert(mode)
        pixels = as_pixels(image)
        before = pixels.copy()
        for seed in [None, 0, 1, 2, 3]:
            rngs = [None if seed is None else random.Random(seed) for _ in range(2)]
            (expected, label), (found, same) = (drawn.apply((v, "label"), rng) for v, rng in zip((image, pixels), rngs, strict=True))
            assert isinstance(found, Pixels) and np.array_equal(found, np.asarray(expected)) and label == same == "label"
            assert torch.equal(ImageBlock(mode).encode(found), ImageBlock(mode).encode(expected))
        assert np.array_equal(pixels, before), "nothing is written into what the cache holds"


@pytest.mark.parametrize("tfm", ALL, ids=ids(ALL))
def test_config_round_trip(tfm):
    again = from_config(json.loads(json.dumps(tfm.config())))
    assert type(again) is type(tfm) and again.config() == tfm.config()
    assert np.array_equal(np.asarray(again.apply((photo(),), random.Random(1))[0]), np.asarray(tfm.apply((photo(),), random.Random(1))[0]))


@pytest.mark.parametrize("tfm", ALL, ids=ids(ALL))
@pytest.mark.parametrize("size", [(1600, 1200), (1200, 1600), (70, 70), (3000, 700)], ids=str)
def test_decode_size_is_enough_and_loses_nothing_visible(tfm, size):
    need = tfm.decode_size(size)
    if need is None:
        return
    assert need[0] <= size[0] and need[1] <= size[1]
    y, x = np.mgrid[: size[1], : size[0]]
    image = Image.fromarray((128 + 60 * np.sin(x / size[0] * 9) + 60 * np.cos(y / size[1] * 7)).astype(np.uint8))
    small = image.resize(need, Image.Resampling.BOX)
    for seed in (None, 1, 2):
        a, b = (np.asarray(tfm.apply((i,), None if seed is None else random.Random(seed))[0]).astype(int) for i in (image, small))
        assert a.shape == b.shape and np.abs(a - b).mean() < 4


def test_resize_methods_show_what_they_should():
    image = grid(200, 100)
    centre = np.asarray(Resize(50).apply((image,), None)[0])
    assert abs(centre[25, 0, 0] - 50) <= 2 and abs(centre[25, -1, 0] - 149) <= 2, "the centre, 100 pixels wide"
    lefts = {int(np.asarray(Resize(50).apply((image,), random.Random(s))[0])[25, 0, 0]) for s in range(20)}
    assert min(lefts) < 25 and max(lefts) > 75, "a random place in training"
    squished = np.asarray(Resize(50, "squish").apply((image,), random.Random(0))[0])
    assert squished[25, 0, 0] <= 3 and squished[25, -1, 0] >= 196
    padded = np.asarray(Resize(50, ResizeMethod.Pad, PadMode.Zeros).apply((image.point(lambda v: v // 2 + 100),), None)[0])
    assert (padded[:12] == 0).all() and (padded[-12:] == 0).all() and (padded[13:37] > 0).all()
    reflected = np.asarray(Resize(50, "pad", "reflection").apply((image,), None)[0]).astype(int)
    border = reflected[:, 25, 1]
    assert (np.abs(border[:12] - border[14:26][::-1]) <= 5).all(), "mirrored above the picture"


def test_random_resized_crop_keeps_shapes_and_scale():
    tfm = RandomResizedCrop(50, min_scale=0.25, ratio=(1, 1))
    shares = []
    for seed in range(60):
        pixels = np.asarray(tfm.apply((grid(200, 200),), random.Random(seed))[0]).astype(float)
        wide, high = pixels[25, -1, 0] - pixels[25, 0, 0], pixels[-1, 25, 1] - pixels[0, 25, 1]
        assert abs(wide - high) < 6
        shares.append((wide / 196) ** 2)
    assert min(shares) > 0.2 and max(shares) > 0.9 and len({round(s, 2) for s in shares}) > 20
    valid = np.asarray(RandomResizedCrop(224).apply((grid(200, 100),), None)[0]).astype(float)
    wide, high = valid[112, -1, 0] - valid[112, 0, 0], valid[-1, 112, 1] - valid[0, 112, 1]
    assert abs(wide - high) < 3 and abs(high - 100 * 224 / 256) < 3, "the peer would squash it; here shapes are kept, 224 of 256 are cut"


def test_random_resized_crop_falls_back_to_a_centred_legal_crop():
    box = RandomResizedCrop(10, min_scale=1.0, ratio=(1, 1)).draw((300, 100), random.Random(0))
    assert box == (100, 0, 200, 100)


def test_crop_pad_keeps_the_scale():
    image = grid(100, 40)
    out = np.asarray(CropPad(60).apply((image,), None)[0])
    assert out[30, 0, 0] == 20 and out[30, -1, 0] == 79 and (out[:10] == 0).all() and out[10, 30, 1] == 0 and out[49, 30, 1] == 39
    places = {tuple(np.asarray(RandomCrop(30).apply((image,), random.Random(s))[0])[0, 0, :2]) for s in range(30)}
    assert len(places) > 10 and {x for x, _ in places} != {0}
    assert tuple(np.asarray(RandomCrop(30).apply((image,), None)[0])[0, 0, :2]) == (35, 5)


def test_ratio_resize_keeps_the_shape():
    assert RatioResize(64).apply((Image.new("RGB", (200, 100)),), None)[0].size == (64, 32)
    assert RatioResize(64).apply((Image.new("RGB", (10, 20)),), None)[0].size == (32, 64)


def test_both_of_two_resizes_are_applied():
    values = (photo(),)
    for tfm in (Resize(64), Resize(32)):
        values = tfm.apply(values, None)
    assert values[0].size == (32, 32)


def test_dihedral_reaches_all_eight():
    image = Image.fromarray(np.arange(9, dtype=np.uint8).reshape(3, 3))
    assert len({DihedralItem(1.0).apply((image,), random.Random(s))[0].tobytes() for s in range(100)}) == 8
    share = np.mean([DihedralItem(0.5).apply((image,), random.Random(s))[0].tobytes() != image.tobytes() for s in range(1000)])
    assert abs(share - 7 / 16) < 0.06


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: Resize(64, "zoom"), ["method='zoom'", "'crop', 'squish' or 'pad'"]),
        (lambda: Resize(64, "sqish"), ["Did you mean: squish"]),
        (lambda: Resize(64, "pad", "mirror"), ["pad_mode='mirror'", "reflection"]),
        (lambda: CropPad(64, "zero"), ["Did you mean: zeros"]),
        (lambda: Resize(64, resample="cubic"), ["resample='cubic'", "bicubic"]),
        (lambda: Resize(0), ["size=0", "positive int"]),
        (lambda: Resize((64, 64, 3)), ["size=(64, 64, 3)", "(height, width)"]),
        (lambda: Resize(64.5), ["size=64.5"]),
        (lambda: RatioResize(-1), ["max_sz=-1"]),
        (lambda: RandomResizedCrop(64, min_scale=0), ["min_scale=0", "0 < min_scale"]),
        (lambda: RandomResizedCrop(64, ratio=(2, 1)), ["ratio=(2, 1)"]),
        (lambda: RandomResizedCrop(64, val_xtra=-1), ["val_xtra=-1"]),
        (lambda: FlipItem(1.5), ["p=1.5", "probability"]),
        (lambda: as_item_transform(Resize), ["class Resize", "needs arguments", "Resize(...)"]),
        (lambda: as_item_transform(Flip()), ["Flip", "batch_tfms="]),
        (lambda: as_item_transform(3), ["3", "int"]),
        (lambda: as_item_transform(v2.MixUp(num_classes=3)), ["MixUp", "callback MixUp()"]),
        (lambda: as_item_transform(v2.Compose([v2.TenCrop(3)])), ["TenCrop", "tta"]),
        (lambda: TorchvisionTransform("resize"), ["'resize'", "torchvision.transforms.v2"]),
    ],
)
def test_wrong_settings_are_told(make, words):
    with pytest.raises(SettingError) as e:
        make()
    assert all(w in str(e.value) for w in words), e.value


def test_unknown_keyword_is_an_error():
    with pytest.raises(TypeError):
        Resize(64, metod="pad")


def test_pil_constants_are_understood():
    assert Resize(8, resample=Image.Resampling.BICUBIC).config()["resample"] == "bicubic"


# -- what users write -----------------------------------------------------------------------------------------------
def test_as_item_transform():
    ours = Resize(8)
    assert as_item_transform(ours) is ours
    assert isinstance(as_item_transform(FlipItem), FlipItem)
    assert isinstance(as_item_transform(v2.RandomHorizontalFlip), TorchvisionTransform)
    assert isinstance(as_item_transform(lambda i: i), ItemFunction)
    assert isinstance(as_item_transform(torch.nn.Identity()), ItemFunction)


# -- torchvision ----------------------------------------------------------------------------------------------------
ARGUMENTS = {
    "CenterCrop": [(8,)], "ColorJitter": [(0.5, 0.5, 0.5, 0.2)], "GaussianBlur": [(3,), (5, (1.0, 1.0))], "GaussianNoise": None, "Grayscale": [(3,)],
    "JPEG": [((10, 50),), (20,)], "Pad": [(3,), ([1, 2], 5, "constant")], "RandomAdjustSharpness": [(2,)], "RandomAffine": [(20, (0.1, 0.2), (0.8, 1.2), 5)],
    "RandomApply": [([v2.ColorJitter(0.5)], 0.7)], "RandomChoice": [([v2.Grayscale(3), v2.RandomInvert(1.0)],)], "RandomCrop": [(16,), ((12, 20), 4)],
    "RandomOrder": [([v2.Grayscale(3), v2.RandomInvert(0.5)],)], "RandomPosterize": [(3,)], "RandomResize": [(20, 40)], "RandomResizedCrop": [(16,), ((12, 20), (0.2, 0.9))],
    "RandomRotation": [(30,), ((0, 90), v2.InterpolationMode.BILINEAR)], "RandomShortestSize": [([20, 30],)], "RandomSolarize": [(100,)], "Resize": [(16,), ((12, 20), v2.InterpolationMode.BICUBIC)],
    "ScaleJitter": [((30, 40),)], "ToDtype": None, "ElasticTransform": [(20.0,)], "Compose": [([v2.Resize(20), v2.RandomCrop(16), v2.ColorJitter(0.3)],)],
    "AutoAugment": [(), (v2.AutoAugmentPolicy.CIFAR10,)], "RandomIoUCrop": None, "RandAugment": [(2, 12)],
}  # fmt: skip
NOT_FOR_PICTURES = {
    "ClampBoundingBoxes", "ClampKeyPoints", "ConvertBoundingBoxFormat", "ConvertImageDtype", "CutMix", "FiveCrop", "Lambda", "LinearTransformation", "MixUp",
    "Normalize", "SanitizeBoundingBoxes", "SanitizeKeyPoints", "SetClampingMode", "TenCrop", "ToPILImage", "ToTensor", "Transform", "UniformTemporalSubsample",
}  # fmt: skip
CLASSES = [
    n for n in dir(v2) if isinstance(getattr(v2, n), type) and issubclass(getattr(v2, n), v2.Transform) and n not in NOT_FOR_PICTURES
]
MADE = [getattr(v2, n)(*a) for n in CLASSES for a in (ARGUMENTS.get(n, [()]) or [])]


@pytest.mark.filterwarnings("ignore:The image decoding and encoding:DeprecationWarning")
@pytest.mark.parametrize("transform", MADE, ids=repr)
def test_every_torchvision_transform_works_draws_from_our_generator_and_round_trips(transform):
    tfm, image = as_item_transform(transform), photo().resize((60, 45))
    before = (torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy())
    calm = [np.asarray(tfm.apply((image,), None)[0]) for _ in range(2)]
    assert np.array_equal(*calm), "nothing is drawn outside training"
    drawn = [np.asarray(tfm.apply((image, "label"), random.Random(s))[0]) for s in (7, 7, 8, 9, 10, 11, 12, 13, 14, 15)]
    assert np.array_equal(drawn[0], drawn[1]), "the sample's generator decides"
    assert (
        torch.equal(torch.get_rng_state(), before[0]) and random.getstate() == before[1] and (np.random.get_state()[1] == before[2]).all()
    )
    always = tfm.stages() == (tfm, None)
    assert (len({d.tobytes() + str(d.shape).encode() for d in drawn}) == 1) == always
    again = from_config(json.loads(json.dumps(tfm.config())))
    assert repr(again).replace("(", "[").replace(")", "]") == repr(tfm).replace("(", "[").replace(")", "]")
    assert np.array_equal(np.asarray(again.apply((image,), random.Random(7))[0]), drawn[0])


def test_torchvision_acts_jointly():
    image, mask, points, boxes, label = as_item_transform(v2.RandomHorizontalFlip(p=1.0)).apply(sample(), random.Random(0))
    assert np.asarray(image)[10, 0, 0] == 199 and mask[10, 0] == 199 * 256 + 10 and label == "label"
    assert boxes.tolist() == [[80.0, 60.0, 120.0, 90.0]] and 98 <= points[0, 0] <= 100


def test_random_crops_of_torchvision_give_equal_sizes_in_validation():
    image = grid(200, 150)
    for transform in (
        v2.RandomResizedCrop(64),
        v2.RandomResizedCrop((40, 64)),
        v2.RandomCrop(64),
        v2.Compose([v2.RandomResizedCrop((40, 64)), v2.ColorJitter(0.5)]),
    ):
        out = as_item_transform(transform).apply((image, sample()[1]), None)
        height, width = (64, 64) if getattr(transform, "size", None) in ((64, 64), [64, 64]) else (40, 64)
        assert out[0].size == (width, height) and tuple(out[1].shape) == (height, width)
        assert np.abs(np.asarray(out[0])[height // 2, width // 2, :2].astype(int) - (100, 75)).max() <= 3
    assert TorchvisionTransform(v2.RandomResizedCrop(64)).apply((Image.new("L", (5, 9)),), None)[0].size == (64, 64)


def test_compose_keeps_its_deterministic_part_in_validation():
    tfm = as_item_transform(v2.Compose([v2.Resize((20, 30)), v2.RandomHorizontalFlip(1.0), v2.Grayscale(3)]))
    out = np.asarray(tfm.apply((grid(60, 40),), None)[0])
    assert out.shape == (20, 30, 3) and (out[..., 0] == out[..., 1]).all() and out[10, 0, 0] < out[10, -1, 0], (
        "resized and grey, not mirrored"
    )
    flipped = np.asarray(tfm.apply((grid(60, 40),), random.Random(0))[0])
    assert flipped[10, 0, 0] > flipped[10, -1, 0]


def test_older_torchvision_transforms():
    tfm = as_item_transform(v1.Compose([v1.Resize((20, 30)), v1.RandomHorizontalFlip(1.0), v1.ToTensor()]))
    out = tfm.apply((grid(60, 40), "label"), None)
    assert out[0].shape == (3, 20, 30) and out[0].dtype == torch.float32 and out[1] == "label" and out[0][0, 0, 0] < out[0][0, 0, -1]
    assert tfm.apply((grid(60, 40),), random.Random(0))[0][0, 0, 0] > 0.2
    assert from_config(json.loads(json.dumps(tfm.config()))).apply((grid(60, 40),), None)[0].shape == (3, 20, 30)
    with pytest.raises(SettingError, match=r"older transforms.*torchvision\.transforms\.v2"):
        as_item_transform(v1.Resize(20)).apply(sample(), None)


def test_a_users_subclass_is_told_apart_and_refused_only_when_written():
    class Mine(v2.Transform):
        def forward(self, *inputs):
            return inputs if len(inputs) > 1 else inputs[0]

    tfm = as_item_transform(Mine())
    assert tfm.apply((photo(),), None)[0].size == photo().size
    with pytest.raises(TypeError, match=r"Mine.*not a class of torchvision itself"):
        tfm.config()
    with pytest.raises(TypeError, match=r"'lambd'|'types'|function"):
        as_item_transform(v2.Lambda(lambda x: x)).config()
    odd = v2.Resize(20)
    odd.size = [20, 20, 20]
    with pytest.raises((TypeError, ModelFileError)):
        describe(odd)


@pytest.mark.parametrize(
    "spec",
    [
        {"home": "os", "name": "system", "args": {"command": "true"}},
        {"home": "torchvision.transforms.v2", "name": "functional", "args": {}},
        {"home": "torchvision.transforms.v2", "name": "NoSuch", "args": {}},
        {"home": "torchvision.transforms.v2", "name": "Resize", "args": {"no_such": 1}},
        {"home": "torchvision.transforms.v2", "name": "ToDtype", "args": {"dtype": {"dtype": "load"}}},
        {"home": "torchvision.transforms.v2", "name": "Resize", "args": {"size": 3, "interpolation": {"enum": "Enum", "member": "x"}}},
        {},
    ],
    ids=str,
)
def test_only_torchvisions_own_classes_are_made_from_a_file(spec):
    with pytest.raises(ModelFileError):
        build(spec)


def test_the_contract_of_every_transform():
    for tfm in [*ALL, TorchvisionTransform(v2.RandomInvert())]:
        assert isinstance(tfm, ItemTransform) and tfm.when in ("always", "train") and len(tfm.stages()) == 2
        assert tfm.decode_size((100, 100)) is None or all(math.isfinite(s) for s in tfm.decode_size((100, 100)))
        assert isinstance(tfm(photo()), Image.Image) and isinstance(tfm((photo(), 1)), tuple)
