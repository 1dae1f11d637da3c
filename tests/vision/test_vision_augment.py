"""Batch augmentation: alignment, fusing, drawing per picture, validation, formats, reproducibility."""

import json
import random
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.transforms.v2 as v2
from PIL import Image
from torch.utils._python_dispatch import TorchDispatchMode

import burnish.vision.augment as augment
from burnish.data.config import from_config
from burnish.data.foreign import TorchvisionBatch
from burnish.data.transforms import BatchTransform
from burnish.errors import DataError, SettingError
from burnish.vision.augment import (
    Augment,
    Brightness,
    Contrast,
    Dihedral,
    Flip,
    Hue,
    Normalize,
    RandomErasing,
    RandomResizedCropGPU,
    Rotate,
    Saturation,
    Warp,
    Zoom,
    as_batch_transform,
    aug_transforms,
    compose,
    imagenet_stats,
)  # fmt: skip
from burnish.vision.augment_parts import Part
from burnish.vision.augment_warp import GeometricPart
from burnish.vision.transforms import Resize

GEOMETRIC = [
    Flip(p=1.0),
    Dihedral(p=1.0),
    Rotate(20, p=1.0),
    Zoom(1.0, 1.5, p=1.0),
    Warp(p=1.0),
    RandomResizedCropGPU((30, 40), min_scale=0.3),
]
COLOUR = [Brightness(p=1.0), Contrast(p=1.0), Saturation(p=1.0), Hue(p=1.0)]
FUSED = [
    *aug_transforms(),
    *aug_transforms(flip_vert=True, size=(30, 40)),
    *aug_transforms(size=32, min_scale=0.5, xtra_tfms=[Hue(), Saturation()]),
]
REST = [RandomErasing(p=1.0, sl=0.1), Normalize.from_stats(*imagenet_stats), TorchvisionBatch(v2.RandAugment(num_ops=2, magnitude=15))]
ALL = GEOMETRIC + COLOUR + FUSED + REST
RANDOM = [t for t in ALL if not isinstance(t, (Normalize,)) and repr(t) != repr(GEOMETRIC[0])]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def photos(n=6, height=40, width=40):
    import sklearn.datasets

    image = Image.open(Path(sklearn.datasets.__file__).parent / "images" / "flower.jpg").convert("RGB")
    one = np.asarray(Resize((height, width)).apply((image,), None)[0])
    return torch.from_numpy(np.stack([one] * n)).permute(0, 3, 1, 2).contiguous().float() / 255


def places(n, height, width):
    """Float images whose channels say where a pixel came from: x, y (-1..1, edge to edge) and 1 inside the picture."""
    y, x = torch.meshgrid((torch.arange(height) * 2 + 1) / height - 1, (torch.arange(width) * 2 + 1) / width - 1, indexing="ij")
    return torch.stack([x, y, torch.ones_like(x)]).repeat(n, 1, 1, 1)


def test_the_lists_here_hold_every_public_transform():
    public = {n for n in augment.__all__ if isinstance(getattr(augment, n), type)}
    assert public == {type(t).__name__ for t in ALL} - {"TorchvisionBatch"}


# -- geometry -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("tfm", GEOMETRIC + FUSED, ids=repr)
@pytest.mark.parametrize("size", [(40, 40), (36, 60)], ids=str)
@pytest.mark.parametrize("pad_mode", ["zeros", "reflection"])
def test_masks_points_and_boxes_follow_their_pixels(tfm, size, pad_mode):
    spatial = [t for t in (tfm.parts if isinstance(tfm, Augment) else [tfm]) if isinstance(t, GeometricPart)]
    tfm = Augment(spatial, getattr(tfm, "size", None) if isinstance(tfm, Augment) else None, pad_mode=pad_mode)
    n = 5
    image = places(n, *size)
    mask = torch.arange(size[0] * size[1]).reshape(1, *size).expand(n, -1, -1)
    points = torch.rand(n, 50, 2, generator=generator(3)) * 1.6 - 0.8
    boxes = torch.cat([points[:, :10] - 0.05, points[:, :10] + 0.05], dim=-1)
    moved, masks, landed, framed = tfm.apply([image, mask, points, boxes], ["image", "mask", "points", "boxes"], generator(1))
    assert masks.dtype == torch.int64 and masks.shape == (n, *moved.shape[-2:])
    height, width = moved.shape[-2:]
    whole = moved[:, 2] > 0.999
    source = torch.stack([(masks % size[1] * 2 + 1) / size[1] - 1, (masks // size[1] * 2 + 1) / size[0] - 1], dim=1)
    step = torch.tensor([2 / size[1], 2 / size[0]])[:, None, None]  # a source pixel
    if pad_mode == "zeros":
        blur = 1 + 0.5 * max(size[0] / height, size[1] / width)
        assert ((source - moved[:, :2]).abs() <= blur * step + 1e-4).all(dim=1)[whole].float().mean() > 0.99, (
            "nearest is within half a pixel (and the blur of shrinking)"
        )
    checked = 0
    for i in range(n):
        for before, after in zip(points[i], landed[i], strict=True):
            column, row = int((after[0] + 1) / 2 * width), int((after[1] + 1) / 2 * height)
            if 1 < column < width - 2 and 1 < row < height - 2 and whole[i, row, column]:
                scale = 1.5 * max(2 / width, 2 / height, float(step.max()))
                assert (moved[i, :2, row, column] - before).abs().max() < scale, "a point lands where its pixel lands"
                checked += 1
    assert checked > 50
    centres = (framed[..., :2] + framed[..., 2:]) / 2
    assert (centres - landed[:, :10]).abs().max() < 0.05 and (framed[..., 2:] > framed[..., :2]).all()


@pytest.mark.parametrize("align_corners", [True, False])
def test_flips_are_exact(align_corners):
    x, mask = torch.rand(3, 3, 17, 24), torch.randint(0, 300, (3, 17, 24))
    y, m = Flip(p=1.0, align_corners=align_corners).apply([x, mask], ["image", "mask"], generator())
    assert torch.allclose(y, x.flip(3), atol=2e-5) and torch.equal(m, mask.flip(2))
    eight = Dihedral(p=1.0, draw=range(8), align_corners=align_corners)(torch.rand(1, 3, 16, 16).repeat(8, 1, 1, 1), generator())
    assert len({tuple(e.flatten().mul(1000).round().int().tolist()) for e in eight}) == 8
    oblong = Dihedral(p=1.0, draw=range(8))(x[:1].repeat(8, 1, 1, 1), generator())
    assert oblong.shape == (8, 3, 17, 24) and torch.allclose(oblong[:4], oblong[4:], atol=1e-5), "only those that keep the shape"


def test_rotation_is_counter_clockwise_and_keeps_shapes():
    pixels = np.zeros((40, 80, 3), np.uint8)
    pixels[10:30, 30:50] = 255
    x = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    turned = Rotate(p=1.0, draw=30.0, pad_mode="zeros")(x)[0, 0]
    expected = np.asarray(Image.fromarray(pixels).rotate(30, Image.Resampling.BILINEAR))[..., 0] / 255
    assert np.abs(turned.numpy() - expected).max() < 0.2 and np.abs(turned.numpy() - expected).mean() < 0.01
    point = torch.tensor([[[0.0, -0.5]]])  # above the middle goes to the left
    moved = Rotate(p=1.0, draw=90.0).apply([x, point], ["image", "points"], generator())[1]
    assert torch.allclose(moved, torch.tensor([[[-0.25, 0.0]]]), atol=1e-5)


def test_zoom_warp_and_crop_do_what_they_say():
    x = places(1, 50, 50)
    zoomed = Zoom(p=1.0, draw=2.0, draw_x=0.0, draw_y=1.0)(x)[0]
    assert abs(zoomed[0, 25, 0] + 0.99) < 0.02 and abs(zoomed[0, 25, -1]) < 0.02, "the left half"
    assert abs(zoomed[1, 0, 25]) < 0.02 and abs(zoomed[1, -1, 25] - 0.99) < 0.02, "the lower half"
    out = Zoom(p=1.0, draw=0.5, draw_x=0.5, draw_y=0.5, pad_mode="zeros")(x)[0, 2]
    assert out[:12].max() == 0 and out[14:36, 14:36].min() > 0.99
    corners = torch.tensor([[[-1.0, -1], [-1, 1], [1, -1], [1, 1]]])
    landed = Warp(p=1.0, draw_x=0.2, draw_y=0.0).apply([x, corners], ["image", "points"], generator())[1]
    heights = (landed[0, 1, 1] - landed[0, 0, 1]).item(), (landed[0, 3, 1] - landed[0, 2, 1]).item()
    assert sorted([round(h / 2, 3) for h in heights]) == [round(1 / 1.2, 3), round(1 / 0.8, 3)], "one edge shrinks, the other grows"
    cropped = RandomResizedCropGPU(20, min_scale=0.25, max_scale=0.25, ratio=(1, 1))(x.repeat(30, 1, 1, 1), generator())
    assert torch.allclose(cropped[:, 0, 10, -1] - cropped[:, 0, 10, 0], torch.tensor(0.95), atol=0.02)
    assert cropped[:, 0, 10, 0].std() > 0.1 and cropped[:, 1, 0, 10].std() > 0.1, "another part of every picture"
    centre = RandomResizedCropGPU((20, 10), valid_scale=0.5).apply([x], ["image"], None)[0][0]
    assert centre.shape == (3, 20, 10) and abs(centre[1, 0, 5] + 0.475) < 0.03 and abs(centre[0, 10, 0] + 0.225) < 0.03


def test_one_interpolation_does_what_several_do():
    x = photos(4, 64, 64)
    parts = [Flip(p=1.0), Warp(p=1.0), Rotate(15, p=1.0), Zoom(1.2, 1.3, p=1.0)]
    rng = generator(4)
    separate = [x, places(4, 64, 64)]
    for part in parts:
        separate = part.apply(separate, ["image", "image"], rng)
    together = Augment(parts).apply([x, places(4, 64, 64)], ["image", "image"], generator(4))
    inner = (slice(None), slice(0, 2), slice(12, -12), slice(12, -12))
    assert (separate[1][inner] - together[1][inner]).abs().max() < 0.05
    assert (separate[0] - together[0])[..., 12:-12, 12:-12].abs().mean() < 0.03
    sharp = lambda t: (t[..., 1:] - t[..., :-1])[..., 12:-12, 12:-12].abs().mean()  # noqa: E731
    assert sharp(together[0]) > 1.02 * sharp(separate[0]), "and stays sharper"


def test_shrinking_is_antialiased_also_for_crops():
    stripes = (torch.arange(256) % 2).float().expand(4, 3, 256, 256).contiguous()
    for tfm in (Augment([], size=64), Augment([Rotate(1, p=1.0)], size=64), RandomResizedCropGPU(64, min_scale=0.9)):
        for rng in (generator(), None):
            assert (tfm.apply([stripes], ["image"], rng)[0][..., 4:-4, 4:-4] - 0.5).abs().max() < 0.27


# -- colour ---------------------------------------------------------------------------------------------------------
def test_lighting_follows_the_formulae():
    x = torch.rand(3, 3, 8, 8) * 0.9 + 0.05
    logits = torch.logit(x)
    grey = (logits * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)
    brighter, richer = Brightness(p=1.0, draw=0.6), Contrast(p=1.0, draw=1.5)
    colourful = Saturation(p=1.0, draw=0.3)
    assert torch.allclose(brighter(x), torch.sigmoid(logits + torch.logit(torch.tensor(0.6))), atol=1e-5)
    assert torch.allclose(richer(x), torch.sigmoid(logits * 1.5), atol=1e-5)
    assert torch.allclose(colourful(x), torch.sigmoid(0.3 * logits + 0.7 * grey), atol=1e-5)
    for parts in ([brighter, richer, colourful], [colourful, brighter, richer], [colourful, colourful, richer, brighter]):
        step = x
        for part in parts:
            step = part(step)
        assert torch.allclose(Augment(parts)(x), step, atol=1e-4), "one pass does what several do"


def test_hue_turns_and_keeps_brightness_and_saturation():
    primary = torch.tensor([[1.0, 0, 0], [0.2, 0.8, 0.4], [0.5, 0.5, 0.5]]).reshape(3, 3, 1, 1)
    third = Hue(p=1.0, draw=1 / 3)(primary).reshape(3, 3)
    assert torch.allclose(third, primary.reshape(3, 3).roll(1, dims=1), atol=1e-5), "a third of a turn: red to green to blue"
    import colorsys

    x = torch.rand(1, 3, 6, 6)
    expected = [colorsys.hsv_to_rgb((h + 0.07) % 1, s, v) for h, s, v in (colorsys.rgb_to_hsv(*p) for p in x[0].flatten(1).T.tolist())]
    assert torch.allclose(Hue(p=1.0, draw=0.07)(x)[0].flatten(1).T, torch.tensor(expected), atol=1e-5)


@pytest.mark.parametrize("tfm", COLOUR, ids=repr)
def test_colour_leaves_masks_and_points_and_copes_with_any_channels(tfm):
    mask, points = torch.randint(0, 3, (2, 6, 6)), torch.rand(2, 4, 2)
    for channels in (1, 3, 4):
        x = torch.rand(2, channels, 6, 6)
        out = tfm.apply([x, mask, points], ["image", "mask", "points"], generator())
        assert out[0].shape == x.shape and out[0].min() >= 0 and out[0].max() <= 1
        assert torch.equal(out[1], mask) and torch.equal(out[2], points)


# -- every transform ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("tfm", ALL, ids=repr)
@pytest.mark.parametrize("channels_last", [False, True])
def test_the_input_is_left_alone_and_the_output_is_like_it(tfm, channels_last):
    x = photos()
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last)
    before = x.clone()
    label = torch.arange(6)
    out, same = tfm.apply([x, label], ["image", "category"], generator())
    assert torch.equal(x, before) and same is label
    assert out.dtype == x.dtype and out.device == x.device and out.shape[:2] == x.shape[:2] and torch.isfinite(out).all()
    if channels_last and not isinstance(tfm, TorchvisionBatch):
        assert out.is_contiguous(memory_format=torch.channels_last)
    elif not channels_last:
        assert out.is_contiguous()
    assert not torch.equal(out, x), "something happened"


@pytest.mark.parametrize("tfm", ALL, ids=repr)
def test_reproducible_and_without_the_global_generators(tfm):
    x = photos()
    state, numpy_state, torch_state = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()
    a, b, c = (tfm.apply([x], ["image"], generator(s))[0] for s in (1, 1, 2))
    assert torch.equal(a, b)
    assert torch.equal(a, c) == (tfm not in RANDOM)
    assert (
        random.getstate() == state and (np.random.get_state()[1] == numpy_state).all() and torch.equal(torch.get_rng_state(), torch_state)
    )


@pytest.mark.parametrize("tfm", RANDOM, ids=repr)
def test_every_picture_gets_its_own_draw(tfm):
    out = tfm.apply([photos(8)], ["image"], generator(3))[0]
    assert len({o.numpy().tobytes() for o in out}) > 2


@pytest.mark.parametrize("tfm", ALL, ids=repr)
def test_nothing_is_drawn_in_validation(tfm):
    x, mask = photos(2), torch.randint(0, 9, (2, 40, 40))
    out, masks = tfm.apply([x, mask], ["image", "mask"], None)
    assert torch.equal(out, tfm.apply([x, mask], ["image", "mask"], None)[0])
    size = next(
        (s for s in [getattr(tfm, "size", None), *(p.size for p in getattr(tfm, "parts", []) if isinstance(p, GeometricPart))] if s), None
    )
    if size is None and not isinstance(tfm, Normalize):
        assert out is x and masks is mask, "not even an identity pass"
    if size is not None:
        size = (size, size) if isinstance(size, int) else size
        assert tuple(out.shape[-2:]) == tuple(masks.shape[-2:]) == tuple(size) and masks.dtype == mask.dtype


@pytest.mark.parametrize("tfm", [t for t in ALL if not isinstance(t, TorchvisionBatch)], ids=repr)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_float_types(tfm, dtype):
    x = photos(2)
    out = tfm.apply([x.to(dtype)], ["image"], generator(1))[0]
    assert out.dtype == dtype and torch.isfinite(out).all()
    if not isinstance(tfm, RandomErasing):
        assert (out.float() - tfm.apply([x], ["image"], generator(1))[0]).abs().mean() < 0.03


@pytest.mark.parametrize("tfm", ALL, ids=repr)
def test_config_round_trip(tfm):
    again = from_config(json.loads(json.dumps(tfm.config())))
    assert repr(again) == repr(tfm) and again.config() == tfm.config()
    assert torch.equal(again.apply([photos()], ["image"], generator(1))[0], tfm.apply([photos()], ["image"], generator(1))[0])


@pytest.mark.parametrize("make", [Flip, Dihedral, Rotate, Zoom, Warp, Brightness, Contrast, Saturation, Hue, RandomErasing])
def test_p_zero_is_the_identity_and_p_is_a_share_of_pictures(make):
    x = torch.rand(400, 3, 6, 6)
    never = make(p=0.0).apply([x], ["image"], generator())[0]
    assert torch.equal(never, x)
    changed = (make(p=0.4).apply([x], ["image"], generator())[0] - x).abs().flatten(1).amax(1) > 1e-3
    expected = {Dihedral: 0.4 * 7 / 8, RandomErasing: 0.4}.get(make, 0.4)
    assert abs(changed.float().mean() - expected) < 0.12


@pytest.mark.parametrize("make", [Flip, Rotate, Zoom, Warp, Dihedral, Brightness, Contrast, Saturation, Hue])
def test_batch_shares_one_draw(make):
    for seed in range(6):
        out = make(p=0.5, batch=True).apply([photos(4)], ["image"], generator(seed))[0]
        assert (out - out[:1]).abs().max() < 1e-6


def test_draw_takes_a_number_a_list_or_a_function():
    x = photos(4)
    for draw in (20.0, [20.0] * 4, lambda x: torch.full((len(x),), 20.0), torch.tensor([20.0])):
        assert torch.equal(Rotate(p=1.0, draw=draw)(x), Rotate(p=1.0, draw=20.0)(x))
    each = Rotate(p=1.0, draw=[0.0, 90.0, 180.0, 270.0, 5.0])(x)
    assert torch.allclose(each[2], x[2].flip(1, 2), atol=1e-4) and torch.allclose(each[0], x[0], atol=1e-4)
    with pytest.raises(SettingError, match=r"Rotate\(draw=...\) gives 2 values for a batch of 4"):
        Rotate(p=1.0, draw=[1.0, 2.0])(x)
    with pytest.raises(TypeError, match=r"Rotate\.draw"):
        Rotate(draw=lambda x: x).config()


def test_some_pictures_of_a_batch_can_stay_untouched():
    x = photos(64)
    out = Augment([Rotate(p=0.5), Brightness(p=0.5)])(x, generator())
    still = (out - x).abs().flatten(1).amax(1) < 1e-3
    assert 5 < still.sum() < 30


def test_erasing_covers_what_it_says():
    x = torch.zeros(200, 3, 40, 40)
    covered = (RandomErasing(p=1.0, sl=0.2, sh=0.2)(x, generator()) != 0).any(dim=1).flatten(1).float().mean(1)
    assert abs(covered.mean() - 0.2) < 0.03 and covered.std() < 0.05
    several = RandomErasing(p=1.0, sl=0.1, sh=0.3, max_count=4).rectangles(100, 40, 40, generator())
    counts = np.bincount([r[0] for r in several])
    assert set(counts) == {1, 2, 3, 4} and all(t + h <= 40 and w + left <= 40 for _, t, left, h, w in several)
    noise = RandomErasing(p=1.0, sl=1, sh=1, min_aspect=1.0)(x, generator())
    assert abs(noise.mean() - 0.5) < 0.02 and abs(noise.std() - 0.25) < 0.02


def test_normalize_there_and_back():
    x, tfm = photos(2), Normalize.from_stats(*imagenet_stats)
    out = tfm.apply([x, torch.zeros(2)], ["image", "category"], None)[0]
    assert torch.allclose(out, v2.functional.normalize(x, *imagenet_stats), atol=1e-6) and torch.allclose(tfm.decode(out), x, atol=1e-6)
    with pytest.raises(SettingError, match=r"3 channel\(s\), and the images have 1"):
        tfm(x[:, :1])


# -- aug_transforms and compose -------------------------------------------------------------------------------------
def parts_of(tfms):
    return {type(p).__name__: p for t in tfms for p in (t.parts if isinstance(t, Augment) else [t])}


def test_aug_transforms_has_the_familiar_parts_and_defaults():
    (one,) = aug_transforms()
    parts = parts_of([one])
    assert list(parts) == ["Flip", "Warp", "Rotate", "Zoom", "Brightness", "Contrast"]
    assert (parts["Flip"].p, parts["Rotate"].p, parts["Brightness"].p) == (0.5, 0.75, 0.75)
    assert (parts["Rotate"].max_deg, parts["Zoom"].max_zoom, parts["Warp"].magnitude, parts["Contrast"].max_lighting) == (10, 1.1, 0.2, 0.2)
    doubled = parts_of(aug_transforms(mult=2))
    assert (doubled["Rotate"].max_deg, doubled["Zoom"].max_zoom, doubled["Warp"].magnitude, doubled["Contrast"].max_lighting) == (
        20,
        1.1,
        0.4,
        0.4,
    )
    assert list(parts_of(aug_transforms(flip_vert=True, max_rotate=0, max_warp=0, max_lighting=0, max_zoom=1))) == ["Dihedral"]
    assert aug_transforms(do_flip=False, max_rotate=0, max_warp=0, max_lighting=0, max_zoom=1) == []
    assert "Hue" in parts_of(aug_transforms(xtra_tfms=Hue())) and "RandomErasing" in parts_of(aug_transforms(xtra_tfms=[RandomErasing()]))
    assert aug_transforms(mult=3)[0](photos(2)).shape == (2, 3, 40, 40)


@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("pad_mode", ["reflection", "zeros", "border"])
@pytest.mark.parametrize("align_corners", [True, False])
def test_modes(mode, pad_mode, align_corners):
    (tfm,) = aug_transforms(mult=2, mode=mode, pad_mode=pad_mode, align_corners=align_corners, max_lighting=0)
    assert (tfm.mode, tfm.pad_mode, tfm.align_corners) == (mode, pad_mode, align_corners)
    white = torch.ones(16, 3, 24, 24)
    lowest = tfm(white, generator())[:, :, 1:-1, 1:-1].min()
    assert (lowest < 0.5) == (pad_mode == "zeros")


def test_compose_fuses_neighbours_only_where_it_is_the_same():
    fused = compose([Flip(), Rotate(), Brightness(), Zoom(), RandomErasing(), Warp(), Contrast(), Normalize.from_stats(*imagenet_stats)])
    assert [type(t).__name__ for t in fused] == ["Augment", "RandomErasing", "Augment", "Normalize"]
    assert [type(t).__name__ for t in compose([Flip(pad_mode="zeros"), Rotate(pad_mode="border"), Rotate(pad_mode="border")])] == [
        "Flip",
        "Augment",
    ]
    assert [type(t).__name__ for t in compose([Rotate(), Augment([Flip()], size=30)])] == ["Rotate", "Augment"]
    assert compose([Augment([], size=30), Flip(mode="bilinear")])[0].size == 30
    assert compose([]) == [] and compose([*aug_transforms(), Hue()])[0].parts[-1].max_hue == 0.1
    assert compose([Brightness(), Flip(pad_mode="zeros")])[0].pad_mode == "zeros"


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: aug_transforms(min_scale=0.5), ["min_scale=0.5", "size="]),
        (lambda: Flip(mode="linear"), ["mode='linear'", "bilinear"]),
        (lambda: Rotate(pad_mode="reflect"), ["pad_mode='reflect'", "Did you mean: reflection"]),
        (lambda: Flip(p=2), ["p=2", "probability"]),
        (lambda: Zoom(0, 1), ["min_zoom=0"]),
        (lambda: Warp(0.9), ["magnitude=0.9"]),
        (lambda: Brightness(1.0), ["max_lighting=1.0"]),
        (lambda: Hue(1.5), ["max_hue=1.5"]),
        (lambda: RandomErasing(sl=0.5, sh=0.2), ["sl=0.5", "sh=0.2"]),
        (lambda: RandomErasing(max_count=0), ["max_count=0"]),
        (lambda: RandomResizedCropGPU(32, min_scale=2), ["min_scale=2"]),
        (lambda: RandomResizedCropGPU(32, ratio=(2, 1)), ["ratio=(2, 1)"]),
        (lambda: RandomResizedCropGPU(32, mode_mask="bilinear"), ["mode_mask='bilinear'", "class numbers"]),
        (lambda: Augment([], size=-1), ["size=-1"]),
        (lambda: Augment([RandomErasing()]), ["RandomErasing", "compose"]),
        (lambda: Normalize([0.5], [0.0]), ["std above 0"]),
        (lambda: as_batch_transform(Resize(3)), ["Resize", "item_tfms="]),
        (lambda: as_batch_transform(Normalize), ["class Normalize", "needs arguments"]),
        (lambda: as_batch_transform("flip"), ["'flip'"]),
        (lambda: as_batch_transform(v2.CutMix(num_classes=3)), ["CutMix", "callback CutMix()"]),
    ],
)
def test_wrong_settings_are_told(make, words):
    with pytest.raises(SettingError) as e:
        make()
    assert all(w in str(e.value) for w in words), e.value


@pytest.mark.parametrize("tfm", [t for t in ALL if not isinstance(t, TorchvisionBatch)], ids=repr)
def test_bytes_and_wrong_shapes_are_refused(tfm):
    for x in ((photos(2) * 255).byte(), photos(2)[0]):
        with pytest.raises(DataError, match=r"floats in 0\.\.1 of shape \(batch, channel, height, width\)"):
            tfm.apply([x], ["image"], generator())


def test_a_batch_without_pictures_passes():
    x = torch.rand(4, 3)
    for tfm in ALL:
        assert tfm.apply([x], ["number"], generator())[0] is x


def test_an_empty_and_a_single_batch():
    for tfm in FUSED + GEOMETRIC + COLOUR:
        assert len(tfm(photos(1))) == 1


# -- on a device ----------------------------------------------------------------------------------------------------
class _Watch(TorchDispatchMode):
    """Counts operations, and refuses those that would read back from another device or depend on a device's values."""

    forbidden = ("_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal.default")

    def __init__(self):
        super().__init__()
        self.read, self.samplings = [], 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        tensors = [a for a in args if isinstance(a, torch.Tensor)]
        if any(t.device.type == "meta" for t in tensors) and any(f in str(func) for f in self.forbidden):
            self.read.append(str(func))
        self.samplings += "grid_sampler" in str(func)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "tfm", [t for t in GEOMETRIC + COLOUR + FUSED + REST if not isinstance(t, (TorchvisionBatch, RandomErasing))], ids=repr
)
def test_nothing_is_read_back_and_there_is_one_interpolation(tfm):
    x = torch.empty(8, 3, 40, 40, device="meta")  # has no values: reading one is an error
    with _Watch() as watch:
        tfm.apply([x, torch.empty(8, 5, 2, device="meta"), torch.empty(8, 40, 40, device="meta")], ["image", "points", "mask"], generator())
    assert watch.read == [] and watch.samplings <= 2, "one for the image, one for its mask"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("tfm", ALL, ids=repr)
def test_on_a_gpu_the_same_without_waiting(tfm):
    x = photos(4).cuda().contiguous(memory_format=torch.channels_last)
    tfm.apply([x], ["image"], generator(1))
    torch.cuda.set_sync_debug_mode("error" if not isinstance(tfm, TorchvisionBatch) else "default")
    try:
        out = tfm.apply([x], ["image"], generator(1))[0]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert out.is_cuda
    if not isinstance(tfm, (RandomErasing, TorchvisionBatch)):
        assert torch.allclose(out.cpu(), tfm.apply([x.cpu()], ["image"], generator(1))[0], atol=1e-3)


def test_every_part_says_when_it_runs():
    for tfm in ALL:
        assert isinstance(tfm, BatchTransform) and tfm.when in ("always", "train")
        assert tfm.when == "always" or not isinstance(tfm, (GeometricPart, Augment, Normalize))
        if isinstance(tfm, Part) and tfm.when == "train":
            x = photos(1)
            assert tfm.apply([x], ["image"], None)[0] is x


NUMBERS = [
    (Rotate, ["max_deg", "draw"]), (Zoom, ["min_zoom", "max_zoom", "draw", "draw_x", "draw_y"]), (Warp, ["magnitude", "draw_x", "draw_y"]), (Flip, ["p", "draw"]), (Dihedral, ["p", "draw"]),
    (Brightness, ["max_lighting", "draw"]), (Contrast, ["max_lighting", "p"]), (Saturation, ["draw"]), (Hue, ["max_hue", "draw"]),
    (RandomErasing, ["p", "sl", "sh", "min_aspect", "max_count", "noise_mean", "noise_std"]), (partial(RandomResizedCropGPU, 32), ["min_scale", "max_scale", "valid_scale", "ratio"]),
    (aug_transforms, ["mult", "max_rotate", "min_zoom", "max_zoom", "max_lighting", "max_warp", "p_affine", "p_lighting", "min_scale"]),
]  # fmt: skip


@pytest.mark.parametrize(("make", "name"), [(make, name) for make, names in NUMBERS for name in names])
def test_what_is_no_number_is_refused_by_name_at_once(make, name):
    wrong = ("x", "y") if name == "ratio" else "x"
    with pytest.raises(SettingError, match=rf"^{'p' if name.startswith('p_') else name}="):
        make(**{name: wrong})


def test_draw_is_for_the_chosen_ones():
    x = torch.rand(1, 3, 8, 8).repeat(200, 1, 1, 1)
    mirrored = [torch.allclose(y, x[0].flip(2), atol=1e-4) for y in Flip(draw=1.0)(x, generator())]
    assert 60 < sum(mirrored) < 140
    assert torch.allclose(Flip(p=1.0, draw=1.0)(x, generator()), x.flip(3), atol=1e-4)


@pytest.mark.parametrize(
    "normalize", [Normalize.from_stats(*imagenet_stats), v2.Normalize(*imagenet_stats)], ids=["burnish", "torchvision"]
)
def test_normalised_pictures_are_shown_as_they_were(normalize):
    from burnish.vision.all import CategoryBlock, DataBlock, ImageBlock, get_image_files, parent_label, sample_photos

    block = DataBlock(blocks=(ImageBlock, CategoryBlock), get_items=get_image_files, get_y=parent_label, item_tfms=Resize(24))
    shown = []
    for tfms in ([], [normalize]):
        valid = block.new(batch_tfms=tfms).dataloaders(sample_photos(), bs=4, seed=1).valid
        batch = valid.one_batch()
        shown.append([np.asarray(picture, dtype=int) for picture, _ in valid.decode_batch(batch)])
        assert (batch[0].min() < 0) == bool(tfms)
    assert len(shown[0]) == 4 and all(abs(a - b).max() <= 1 for a, b in zip(*shown, strict=True))
