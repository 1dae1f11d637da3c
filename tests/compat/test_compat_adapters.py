"""burnish's and torchvision's transforms in pipelines of typed values; fastai's transforms in burnish's own data blocks; augmentation as methods."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2

from burnish.compat import patched
from burnish.compat.affine_tools import (
    AffineCoordTfm,
    HSVTfm,
    LightingTfm,
    affine_grid,
    apply_perspective,
    dihedral_mat,
    find_coeffs,
    flip_mat,
    mask_tensor,
    norm_apply_denorm,
    rotate_mat,
    zoom_mat,
)
from burnish.compat.augment_classes import DeterministicDihedral, DeterministicFlip, Dihedral, Rotate, Warp
from burnish.compat.augment_methods import cutout_gaussian, grayscale, hsv2rgb, rgb2hsv, setup_aug_tfms
from burnish.compat.data_transforms import IntToFloatTensor, Normalize, ToTensor
from burnish.compat.picture_types import PILImage, PILMask
from burnish.compat.place_transforms import PointScaler
from burnish.compat.tensors import TensorBBox, TensorCategory, TensorFlowField, TensorImage, TensorMask, TensorPoint
from burnish.compat.transform import ItemTransform, Pipeline, Transform, mk_transform
from burnish.data.category import CategoryBlock
from burnish.data.config import from_config
from burnish.data.datablock import DataBlock
from burnish.data.split import IndexSplitter
from burnish.errors import DataError, SettingError
from burnish.vision.augment import Flip, RandomErasing, Zoom, aug_transforms
from burnish.vision.augment import Rotate as OwnRotate
from burnish.vision.augment_erase import imagenet_stats
from burnish.vision.blocks import ImageBlock
from burnish.vision.boxes import BBoxLblBlock
from burnish.vision.masks import MaskBlock
from burnish.vision.points import PointBlock
from burnish.vision.transforms import FlipItem, RandomResizedCrop, Resize


@pytest.fixture(autouse=True)
def _patched() -> Iterator[None]:
    patched.install()
    yield
    patched.uninstall()


def sample(w: int = 60, h: int = 40) -> tuple:
    """A picture with a bright spot; a mask of it; its place; a box around it; a label."""
    pixels, mask = np.zeros((h, w, 3), dtype=np.uint8), np.zeros((h, w), dtype=np.uint8)
    pixels[8:12, 18:22], mask[8:12, 18:22] = 255, 1
    return PILImage.create(pixels), PILMask.create(mask), TensorPoint.create([20, 10]), TensorBBox.create([18, 8, 22, 12]), "spot"


def spot(x) -> tuple[float, float]:
    """(x, y) of the middle of what is bright."""
    where = np.asarray(x.as_subclass(Tensor) if isinstance(x, Tensor) else x).astype(float)
    where = where.max(0) if isinstance(x, Tensor) and where.ndim == 3 else where.max(2) if where.ndim == 3 else where
    y, x = np.nonzero(where > where.max() / 2)
    return x.mean() + 0.5, y.mean() + 0.5


# -- item transforms in pipelines -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("split_idx", [None, 0, 1])
@pytest.mark.parametrize("tfm", [Resize(20), Resize(20, "pad", "zeros"), Resize((20, 30), "squish"), RandomResizedCrop(20, min_scale=0.9), v2.RandomHorizontalFlip(1.0)], ids=str)  # fmt: skip
def test_all_that_has_a_place_moves_together(tfm, split_idx):
    for scale in ([], [PointScaler()]):
        random.seed(0)
        image, mask, point, box, label = Pipeline([*scale, tfm], split_idx=split_idx)(sample())
        assert [type(o) for o in (image, mask, point, box)] == [PILImage, PILMask, TensorPoint, TensorBBox] and label == "spot"
        place = (point.as_subclass(Tensor) + 1) * torch.tensor(image.size) / 2 if scale else point
        corners = (box.reshape(2, 2).as_subclass(Tensor) + 1) * torch.tensor(image.size) / 2 if scale else box.reshape(2, 2)
        assert np.allclose(spot(image), place.tolist(), atol=0.6) and np.allclose(spot(mask), place.tolist(), atol=0.6)
        assert np.allclose(corners.mean(0).tolist(), place[0].tolist(), atol=0.01)


def test_orders_splits_names_and_attributes():
    pipe = Pipeline(
        [ToTensor(), Resize(20), FlipItem(1.0), Normalize.from_stats(*imagenet_stats), *aug_transforms(size=10), RandomErasing()]
    )
    assert [f.name for f in pipe.fs] == ["FlipItem", "Resize", "ToTensor", "Augment", "Normalize", "RandomErasing"]
    assert (
        [f.split_idx for f in pipe.fs] == [0, None, None, None, None, 0] and pipe.fs[1].size == 20 and "Resize(size=20)" in repr(pipe.fs[1])
    )
    assert mk_transform(Resize(3)).decode("x") == "x" and not hasattr(mk_transform(Resize(3)), "vocab")


def test_training_draws_from_seeded_generators_and_validation_doesnt():
    image = sample()[0]
    draws = []
    for _ in range(2):
        random.seed(3)
        draws.append([spot(Resize(20)(image, split_idx=0)) for _ in range(4)])
    assert draws[0] == draws[1] and len(set(draws[0])) > 1
    assert len({Resize(20)(image, split_idx=1).tobytes() for _ in range(4)}) == 1
    assert (
        FlipItem(1.0)(image).tobytes() != image.tobytes()
        and FlipItem(1.0)(image, split_idx=1) is image
        and Pipeline([FlipItem(1.0)])(image) is image
    )


def test_tensors_and_plain_pictures_too():
    image = sample()[0]
    x = Pipeline([ToTensor(), FlipItem(1.0)], split_idx=0)(image)
    assert type(x) is TensorImage and spot(x) == (40, 10)
    assert type(Resize(8)(image.resize((30, 30)))).__name__ == "Image" and Pipeline([v2.Resize((8, 9)), v2.ToImage()])(image).shape == (
        3,
        8,
        9,
    )
    assert (
        Pipeline([v2.RandomHorizontalFlip(1.0)])((image, image))[1].size == (60, 40) and type(v2.RandomVerticalFlip(1.0)(x)) is TensorImage
    )
    assert RandomResizedCrop(20)(image, rng=random.Random(0)).size == (20, 20)


# -- batch transforms in pipelines ------------------------------------------------------------------------------------------
def batch(n: int = 2) -> tuple:
    image, mask, point, *_ = sample()
    x, y = IntToFloatTensor()((ToTensor()(image), ToTensor()(mask)))
    places = PointScaler()((image, point))[1]
    return torch.stack([x] * n), torch.stack([y] * n), torch.stack([places] * n), TensorCategory([1] * n)


def test_batches_samples_and_single_values_pass():
    pipe = Pipeline([*aug_transforms(size=(40, 60), max_lighting=0), Normalize.from_stats([0.0] * 3, [2.0] * 3)])
    x, y, points, labels = pipe(batch())
    assert (
        [type(o) for o in (x, y, points, labels)] == [TensorImage, TensorMask, TensorPoint, TensorCategory]
        and labels.tolist() == [1, 1]
        and x.max() <= 0.5
    )
    for image, mask, place in zip(x, y, points, strict=True):
        expected = ((place[0].as_subclass(Tensor) + 1) * torch.tensor([60, 40]) / 2).tolist()
        assert np.allclose(spot(image), expected, atol=1.2) and np.allclose(spot(mask), expected, atol=1.2)
    one = pipe(tuple(part[0] for part in batch()))
    assert one[0].shape == (3, 40, 60) and one[1].shape == (40, 60) and pipe(batch()[0][0]).shape == (3, 40, 60)
    pipe.split_idx = 1
    assert torch.equal(pipe.decode(pipe(batch()))[0], batch()[0]) and Flip(p=1.0)(torch.rand(2, 3, 4, 4)).shape == (2, 3, 4, 4)


def test_calls_and_draws_of_batch_transforms():
    x = batch()[0]
    assert (
        spot(Flip(p=1.0)(x)[0]) == (40, 10)
        and torch.equal(RandomErasing(p=1.0)(x, split_idx=1), x)
        and not torch.equal(RandomErasing(p=1.0)(x), x)
    )
    torch.manual_seed(0)
    a = OwnRotate(p=1.0, max_deg=90)(x)
    torch.manual_seed(0)
    assert torch.equal(a, OwnRotate(p=1.0, max_deg=90)(x)) and type(a) is TensorImage
    assert type(Pipeline([v2.GaussianBlur(3), IntToFloatTensor()])(TensorImage(torch.ones(2, 3, 4, 4).byte()))) is TensorImage
    fused = setup_aug_tfms([Rotate(draw=90, p=1, size=40), Zoom(draw=1.0, p=1.0)])
    assert len(fused) == 1 and Pipeline(fused)(x).shape == (2, 3, 40, 40)


# -- as methods -----------------------------------------------------------------------------------------------------------
def test_methods_move_pictures_masks_points_and_boxes_alike():
    x, y, points, _ = batch()
    box = TensorBBox(torch.tensor([[[-0.4, -0.6, -0.27, -0.4]]] * 2))
    for name, kwargs, place in (("flip_batch", {}, (40, 10)), ("dihedral_batch", {"draw": 4}, (40, 30)), ("rotate", {"draw": 180}, (40, 30)), ("zoom", {"draw": 2, "draw_x": 0, "draw_y": 0}, (40, 20)), ("warp", {"draw_x": 0.0, "draw_y": 0.0}, (20, 10))):  # fmt: skip
        made = [getattr(o, name)(p=1.0, **kwargs) for o in (x, y, points, box)]
        assert [type(o) for o in made] == [TensorImage, TensorMask, TensorPoint, TensorBBox], name
        where = ((made[2][0, 0].as_subclass(Tensor) + 1) * torch.tensor([60, 40]) / 2).tolist()
        assert (
            np.allclose(where, place, atol=0.01)
            and np.allclose(spot(made[0][0]), place, atol=1)
            and np.allclose(spot(made[1][0]), place, atol=1)
        ), name
        assert np.allclose(made[3].reshape(2, 2, 2).mean(1)[0].tolist(), made[2][0, 0].tolist(), atol=0.02), name


def test_the_chapter_on_augmentation():
    x = TensorImage(batch()[0].clone())
    made = x.affine_coord(sz=224).rotate(draw=30, p=1.0).zoom(draw=1.2, p=1.0).warp(draw_x=-0.2, draw_y=0.2, p=1.0)
    assert made.shape == (2, 3, 224, 224) and type(made) is TensorImage and x.affine_coord() is x


def test_matrices_and_functions_of_places():
    x, y, points, _ = batch()
    mirror = torch.tensor([[[-1.0, 0, 0], [0, 1, 0]]] * 2)
    assert torch.allclose(x.affine_coord(mat=mirror), x.flip_batch(p=1.0), atol=1e-4) and spot(y.affine_coord(mat=mirror)[0]) == (40, 10)
    assert np.allclose(points.affine_coord(mat=mirror)[0].tolist(), [[1 / 3, -0.5]]) and x.affine_coord(mat=mirror, sz=20).shape == (
        2,
        3,
        20,
        20,
    )
    seen = []

    def halved(grid, invert=False):
        seen.append((type(grid), invert))
        return grid * (2 if invert else 0.5)

    assert x.affine_coord(coord_tfm=halved).shape == x.shape and np.allclose(
        points.affine_coord(coord_tfm=halved)[0].tolist(), [[-2 / 3, -1]]
    )
    assert seen == [(TensorFlowField, False), (TensorPoint, True)] and TensorBBox(torch.tensor([[[-1.0, -1, 0, 1]]])).affine_coord(
        mat=mirror[:1]
    ).tolist() == [[[0, -1, 1, 1]]]


def test_draws_mean_what_they_mean_in_fastai():
    """Where a spot at the right, above, left and below of the middle goes, as fastai 2.8 shows it."""
    x = torch.zeros(1, 1, 21, 21)
    x[..., 10, 16] = 1  # right of the middle
    at = lambda made: tuple(round(v - 10.5) for v in spot(made[0]))  # noqa: E731
    x = TensorImage(x)
    assert at(x.rotate(draw=90, p=1.0)) == (0, 6) and at(Rotate(draw=lambda b: torch.full((len(b),), 90.0), p=1.0)(x)) == (0, 6)
    found = [divmod(int(x.dihedral_batch(p=1.0, draw=k).argmax()), 21) for k in range(8)]
    assert found == [(10, 16), (10, 4), (10, 16), (4, 10), (10, 4), (16, 10), (16, 10), (4, 10)]
    x[..., 4, 10] = 0.4  # and above it: what makes all eight differ
    assert np.allclose(TensorPoint(torch.zeros(1, 1, 2)).warp(draw_x=0.3, draw_y=-0.1, p=1.0)[0, 0].tolist(), [0.3, -0.1], atol=0.02)
    made = Rotate(draw=30, p=1.0)
    again = from_config(made.config())
    assert (
        type(again) is OwnRotate
        and again.draw == -30
        and type(from_config(Warp(draw_x=0.1).config())).__module__ == "burnish.vision.augment_warp"
    )
    assert from_config(OwnRotate(draw=30).config()).draw == 30 and Dihedral(p=1.0).draw is None
    flip, turn = DeterministicFlip(), DeterministicDihedral()
    assert [at(flip(x)) for _ in range(3)] == [(6, 0), (-6, 0), (6, 0)] and len({tuple(turn(x).flatten().tolist()) for _ in range(8)}) == 8


def test_colours():
    x = TensorImage(torch.rand(2, 3, 5, 6))
    back = hsv2rgb(rgb2hsv(x))
    assert torch.allclose(back, x, atol=1e-5) and type(back) is TensorImage and torch.allclose(x.hsv(lambda h: h), x, atol=1e-5)
    assert (
        x.brightness(draw=0.9, p=1.0).mean() > x.mean()
        and torch.allclose(x.contrast(draw=1.0, p=1.0), x, atol=1e-4)
        and torch.allclose(x.lighting(lambda v: v), x, atol=1e-5)
    )
    assert x.saturation(draw=0.0, p=1.0).std(1).max() < 1e-3 and torch.allclose(
        x.hue(draw=0.3, p=1.0), x.hsv(lambda h: torch.stack([h[:, 0] + 0.3, h[:, 1], h[:, 2]], 1)), atol=1e-4
    )
    assert grayscale(x).shape == (2, 1, 5, 6) and torch.equal(cutout_gaussian(x.clone(), [(0, 2, 1, 3)])[:, :, 2:], x[:, :, 2:])


def test_augmentation_built_of_ones_own_functions():
    x, y, points, labels = batch()
    for f, method, kwargs in (
        (flip_mat, "flip_batch", {}),
        (rotate_mat, "rotate", {"draw": 30}),
        (zoom_mat, "zoom", {"draw": 1.5, "draw_x": 0.2, "draw_y": 0.1}),
    ):
        t = AffineCoordTfm(aff_fs=[lambda b, f=f, kwargs=kwargs: f(b, p=1.0, **kwargs)], align_corners=True)
        made = Pipeline([t])((x, y, points, labels))
        assert [type(o) for o in made] == [TensorImage, TensorMask, TensorPoint, TensorCategory] and (
            made[0] - getattr(x, method)(p=1.0, **kwargs)
        ).abs().mean() < 0.005, method
        place = ((made[2][0, 0].as_subclass(Tensor) + 1) * torch.tensor([60, 40]) / 2).tolist()
        assert np.allclose(spot(made[0][0]), place, atol=1) and np.allclose(spot(made[1][0]), place, atol=1), method
        assert torch.equal(t(x, split_idx=1), x) and AffineCoordTfm(size=20)(x, split_idx=1).shape == (2, 3, 20, 20)
    assert (
        len({tuple(dihedral_mat(x, p=1.0, draw=k)[0].flatten().tolist()) for k in range(8)}) == 8
        and mask_tensor(torch.ones(1000), p=0.3, neutral=2.0).mean() > 1.5
    )
    assert (
        flip_mat(x, p=0.5, batch=True).unique(dim=0).shape[0] == 1 and rotate_mat(x, max_deg=0, p=1.0)[0].tolist() == torch.eye(3).tolist()
    )
    corners = torch.tensor([[[-1.0, -1], [-1, 1], [1, -1], [1, 1]]])
    tilted = corners * torch.tensor([[[1.0], [1], [0.8], [0.8]]])
    assert torch.allclose(apply_perspective(tilted, find_coeffs(corners, tilted)), corners, atol=1e-5) and affine_grid(
        torch.eye(3)[None, :2], (1, 1, 2, 2), align_corners=True
    )[0, 0, 0].tolist() == [-1, -1]
    light = LightingTfm([lambda v: v + 1])
    assert (
        (light(x, split_idx=0) > x).any()
        and light(x, split_idx=1) is x
        and torch.allclose(HSVTfm(lambda h: h)((x, y), split_idx=0)[0], x, atol=1e-5)
    )
    assert torch.allclose(norm_apply_denorm(x, lambda t: t, Normalize.from_stats([0.5] * 3, [0.2] * 3)), x, atol=1e-6)


# -- in burnish's own data block --------------------------------------------------------------------------------------------
def loaders(blocks, *targets, **kwargs):
    values = sample()
    getters = [lambda i: values[0], *[lambda i, t=t: t for t in targets]]
    return DataBlock(blocks, get_x=getters[:1], get_y=getters[1:], splitter=IndexSplitter([4, 5]), **kwargs).dataloaders(
        list(range(6)), bs=2
    )


SEEN: list = []


@pytest.fixture(autouse=True)
def _nothing_seen() -> None:
    SEEN.clear()


class Dark(Transform):
    split_idx = 0

    def encodes(self, x: PILImage):
        SEEN.append(type(x))
        return PILImage.create(np.asarray(x) // 2)


class Halved(Transform):
    order = 50

    def encodes(self, x: TensorImage):
        SEEN.append(tuple(x.shape))
        return x / 2

    def encodes(self, x: TensorCategory):
        SEEN.append("label")
        return x


def test_transforms_among_those_of_a_data_block():
    dls = loaders(
        (ImageBlock, CategoryBlock(["a", "b"])),
        "a",
        item_tfms=[Dark, Resize(16, "squish"), ToTensor()],
        batch_tfms=[IntToFloatTensor(), Halved(), Normalize.from_stats([0.0] * 3, [0.5] * 3)],
    )
    x, y = dls.one_batch()
    assert (
        type(x) is TensorImage
        and type(y) is TensorCategory
        and x.shape == (2, 3, 16, 16)
        and [PILImage, PILImage, (2, 3, 16, 16), "label"] == SEEN
    )
    SEEN.clear()
    v = next(iter(dls.valid))[0]
    assert SEEN == [(2, 3, 16, 16), "label"] and 0 < x.max() < v.max()
    with pytest.raises(TypeError, match=r"Dark is a class of Transform, which a model file can't hold"):
        dls.config()


def test_a_whole_sample_and_its_places():
    class Cut(ItemTransform):
        def encodes(self, xy):
            image, other = xy
            SEEN.append(type(other))
            return PILImage(image.crop((10, 0, 50, 40))), type(other)(other.crop((10, 0, 50, 40))) if isinstance(other, PILMask) else type(
                other
            )(other - 10 * torch.tensor([1, 0] * (other.shape[-1] // 2)), img_size=(40, 40))

    class Mirrored(Transform):
        def encodes(self, x: TensorImage):
            return x.flip(-1)

        def encodes(self, x: TensorMask):
            return x.flip(-1)

        def encodes(self, x: TensorPoint):
            return x.flip_batch(p=1.0)

    _, mask, point, box, _ = sample()
    for block, target, read in (
        (MaskBlock(["no", "spot"]), mask, lambda t: spot(t[0])), (PointBlock, point.tolist(), lambda t: ((t[0, 0] + 1) * 20).tolist()),
        (BBoxLblBlock(["spot"]), (box.tolist(), ["spot"]), lambda t: ((t[0, 0, :4].reshape(2, 2).mean(0) + 1) * 20).tolist()),
    ):  # fmt: skip
        if isinstance(block, BBoxLblBlock):
            x, y = loaders((ImageBlock, block), target, batch_tfms=Mirrored).one_batch()
            assert np.allclose(read(y), [80 / 3, 10], atol=0.1) and y.shape == (2, 1, 5) and y[0, 0, 4] == 0
            continue
        x, y = loaders((ImageBlock, block), target, item_tfms=Cut, batch_tfms=Mirrored()).one_batch()
        assert x.shape == (2, 3, 40, 40) and np.allclose(spot(x[0]), (30, 10)) and np.allclose(read(y), (30, 10), atol=0.01), SEEN


def test_what_doesnt_fit_says_so():
    class Lost(ItemTransform):
        def encodes(self, xy):
            return xy[:1]

    with pytest.raises(DataError, match="Lost gave 1 values for the 2 of a sample"):
        loaders((ImageBlock, CategoryBlock(["a", "b"])), "a", item_tfms=Lost()).one_batch()
    with pytest.raises(SettingError, match="without statistics"):
        loaders((ImageBlock, CategoryBlock(["a", "b"])), "a", batch_tfms=Normalize())
    with pytest.raises(SettingError, match="div_mask"):
        loaders((ImageBlock, CategoryBlock(["a", "b"])), "a", batch_tfms=IntToFloatTensor(div_mask=255))
