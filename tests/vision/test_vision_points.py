"""Points: what they are read from, that they stay on their pixels, that a model learns them and tells them in pixels of the original."""

from __future__ import annotations

import random

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torchvision.transforms import v2

from burnish.data.datablock import DataBlock
from burnish.data.foreign import as_item_transforms
from burnish.data.notes import captured_notes
from burnish.data.number import RegressionBlock
from burnish.data.split import IndexSplitter, RandomSplitter
from burnish.errors import DataError, SettingError
from burnish.evaluate.interpret import Interpretation
from burnish.evaluate.points import PCK, PointDistance, PointLoss
from burnish.train.export import load_learner
from burnish.vision.augment import Flip, aug_transforms
from burnish.vision.blocks import ImageBlock
from burnish.vision.dataloaders import ImageDataLoaders
from burnish.vision.learner import vision_learner
from burnish.vision.points import PointBlock
from burnish.vision.segmentation import unet_learner
from burnish.vision.transforms import CropPad, DihedralItem, FlipItem, RandomCrop, RandomResizedCrop, Resize

RED, BLUE = (255, 0, 0), (0, 0, 255)


def dotted(i, size=(96, 80), radius=5):
    """A grey picture with a red and a blue dot, and where they are."""
    rng = np.random.default_rng(i)
    picture = Image.new("RGB", size, (90, 90, 90))
    draw, places = ImageDraw.Draw(picture), []
    for colour in (RED, BLUE):
        x, y = (int(rng.integers(12, side - 12)) for side in size)
        draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=colour)
        places.append([x + 0.5, y + 0.5])
    return picture, places


def centre_of(picture, colour):
    """The middle of the pixels of a colour, as a fraction of the picture."""
    pixels = np.asarray(picture, dtype=float)
    y, x = np.nonzero(np.abs(pixels - np.array(colour)).sum(-1) < 200)
    return None if len(x) < 40 else np.array([(x.mean() + 0.5) / pixels.shape[1], (y.mean() + 0.5) / pixels.shape[0]])


def data(n=64, block=None, **options):
    pictures, points = zip(*map(dotted, range(n)), strict=True)
    given = {
        "item_tfms": Resize(64, method="squish"),
        "batch_tfms": aug_transforms(),
        "bs": 16,
        "valid_pct": 0.25,
        "seed": 0,
        "device": "cpu",
    }
    return ImageDataLoaders.from_lists(".", list(pictures), list(points), y_block=block or PointBlock(["red", "blue"]), **(given | options))


# -- on their pixels ------------------------------------------------------------------------------------------------------
ITEM = {
    "squish": Resize(64, method="squish"),
    "crop": Resize(64),
    "pad": Resize(64, method="pad", pad_mode="zeros"),
    "random crop": RandomCrop(70),
    "crop or pad": CropPad((60, 80)),
    "resized crop": RandomResizedCrop(64, min_scale=0.6),
    "flip": FlipItem(p=1),
    "dihedral": DihedralItem(),
    "torchvision": v2.RandomAffine(20, translate=(0.1, 0.1)),
}


@pytest.mark.parametrize("name", ITEM)
def test_a_point_lands_where_its_pixels_land(name):
    (tfm,) = as_item_transforms([ITEM[name]])
    checked = 0
    for seed in range(12):
        picture, points = dotted(seed)
        value = PointBlock(n=2).open(points, size=picture.size)
        shown, moved = tfm.apply((picture, value), random.Random(seed))
        places = PointBlock(n=2).decode(PointBlock(n=2).encode(moved))
        for place, colour in zip(places, (RED, BLUE), strict=True):
            centre = centre_of(shown, colour)
            if centre is not None and (place > 0.12).all() and (place < 0.88).all():
                assert np.abs(centre - place).max() < 0.02
                checked += 1
    assert checked >= 8


def test_points_stay_on_their_pixels_through_a_loader():
    dls = data(batch_tfms=aug_transforms(max_rotate=25, max_lighting=0))
    checked = 0
    for x, y in dls.train:
        for picture, points in zip(x, y, strict=True):
            shown = Image.fromarray(picture.mul(255).byte().permute(1, 2, 0).numpy())
            for place, colour in zip((points.numpy() + 1) / 2, (RED, BLUE), strict=True):
                centre = centre_of(shown, colour)
                if centre is not None and (np.abs(place - 0.5) < 0.38).all():
                    assert np.abs(centre - place).max() < 0.03
                    checked += 1
    assert checked > 25


@pytest.mark.parametrize("flip", ["item", "batch"])
def test_left_and_right_change_places_in_mirrored_pictures_only(flip):
    block = PointBlock(["left eye", "right eye", "nose"])
    assert block.swap == [[0, 1]]
    how = {"item_tfms": [Resize(64), FlipItem(p=1)]} if flip == "item" else {"batch_tfms": Flip(p=1)}
    pictures, points = [dotted(i)[0] for i in range(8)], [[[20, 20], [70, 30], [40, 60]]] * 8
    given = {"item_tfms": Resize(64, method="squish"), "batch_tfms": None, "bs": 6, "valid_pct": 0.25, "seed": 0, "device": "cpu"}
    dls = ImageDataLoaders.from_lists(".", pictures, points, y_block=block, **(given | how))
    for dl, mirrored in ((dls.train, True), (dls.valid, False)):
        y = dl.one_batch()[1]
        assert y.shape[1:] == (3, 2)
        assert (y[:, 0, 0] < y[:, 1, 0]).all(), "the left eye is left of the right one, mirrored or not"
        assert (y[:, 0, 1] > y[:, 1, 1]).all() == mirrored, "and so is at the other's height"
    assert PointBlock(["left eye", "right eye"], swap=[]).swap == [] and PointBlock(n=4, swap=[(0, 3)]).swap == [[0, 3]]


# -- what may be given ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "raw",
    [
        [[24, 20], None],
        [(24, 20), (None, 5)],
        [[24.0, 20.0], [float("nan"), 1]],
        np.array([24, 20, np.nan, np.nan]),
        torch.tensor([[24, 20], [float("nan")] * 2]),
    ],
    ids=["None", "half None", "NaN", "flat array", "tensor"],
)
def test_points_come_in_many_forms_and_may_be_missing(raw):
    block = PointBlock()
    block.fit([[[1, 2], [3, 4]], raw])
    encoded = block.encode(block.open(raw, size=(96, 80)))
    assert block.n == 2 and encoded[0].tolist() == [-0.5, -0.5] and encoded[1].isnan().all()


def test_what_is_missing_or_outside_does_not_count():
    target = torch.tensor([[[0.0, 0.0], [float("nan")] * 2, [1.5, 0.0]]])
    output = torch.tensor([[[0.2, 0.0], [9.0, 9.0], [9.0, 9.0]]], requires_grad=True)
    loss = PointLoss()(output, target)
    loss.backward()
    assert (
        loss.item() == pytest.approx(1.5) and output.grad is not None and (output.grad[0, 1:] == 0).all() and output.grad.isfinite().all()
    )
    assert PointLoss(reduction="none")(output, target).tolist() == [[pytest.approx(1.5), 0.0, 0.0]]
    assert PointDistance()(output, target) == pytest.approx(0.1) and PCK()(output, target) == 0.0 and PCK(at=0.11)(output, target) == 1.0
    assert PointLoss()(output, target * float("nan")).item() == 0


def block_of(points, **settings):
    block = PointBlock(**settings)
    block.fit(points)
    return block


BAD = {
    "another number of points": (lambda: block_of([[[1, 2]], [[1, 2], [3, 4]]]), DataError, "row 1 of the train split has 2 points, and 1 are expected.*write None"),
    "outside": (lambda: block_of([[[1, 2]]], names=["tip"]).open([[5, 90]], size=(96, 80)), DataError, r"Point 0 \(tip\) is at x=5, y=90, outside of its picture of 96 x 80"),
    "y before x": (lambda: block_of([[[1, 2]]]).open([[79, 95]], size=(80, 70)), DataError, "outside"),
    "swapped": (lambda: block_of([[[1, 2]]]).open([[75, 30]], size=(60, 80)), DataError, r"inside as \(y, x\): y_first=True"),
    "a text": (lambda: block_of(["12 30"]), DataError, "'12 30', which is no points"),
    "three numbers": (lambda: block_of([[[1, 2, 3]]]), DataError, r"shape \(1, 3\).*expected \(x, y\)"),
    "infinite": (lambda: block_of([[[1, float("inf")]]]), DataError, "infinite"),
    "none at all": (lambda: block_of([[None], [None]]), DataError, "All points of the 2 training rows are missing"),
    "no picture": (lambda: block_of([[[1, 2]]]).open([[1, 2]]), DataError, "no picture before them"),
    "units": (lambda: PointBlock(units="metres"), SettingError, "'pixels' or 'fraction'"),
    "names and number": (lambda: PointBlock(["a"], n=2), SettingError, "names has 1"),
    "swap": (lambda: PointBlock(["a", "b"], swap=[("a", "c")]), SettingError, r"\['a', 'c'\].*names a, b"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_points_are_refused_with_what_to_do(name):
    make, kind, words = BAD[name]
    with pytest.raises(kind, match=f"(?s){words}"):
        make()


@pytest.mark.parametrize(("bad", "says"), [([[1, 2], [3, 4], [5, 6]], "has 3 points, and 2 are expected"), ([[1, 2, 3]], "shape")])
def test_a_row_is_called_by_its_file(bad, says, tmp_path):
    files = [tmp_path / f"{i}.png" for i in range(6)]
    for file in files:
        Image.new("RGB", (96, 80)).save(file)
    block = DataBlock(
        (ImageBlock, PointBlock),
        get_y=lambda f: bad if f.stem == "4" else [[1, 2], [3, 4]],
        splitter=IndexSplitter([0, 1]),
        item_tfms=Resize(64),
    )
    with pytest.raises(DataError, match=rf"4\.png.*{says}"):
        block.dataloaders(files, bs=2, device="cpu")


def test_a_point_outside_its_picture_names_the_sample():
    pictures, points = zip(*map(dotted, range(8)), strict=True)
    points = [*points[:7], [[500.0, 3.0], [2.0, 2.0]]]
    block = DataBlock(
        (ImageBlock, PointBlock), get_items=lambda s: list(range(8)), get_x=lambda i: pictures[i], get_y=lambda i: points[i], splitter=IndexSplitter([0, 1]), item_tfms=Resize(64)
    )  # fmt: skip
    dls = block.dataloaders(None, bs=8, device="cpu")
    with pytest.raises(DataError, match=r"(?s)x=500, y=3, outside of its picture of 96 x 80.*row 7 of the table"):
        list(dls.train.in_order())


# -- learning -------------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def learn():
    learner = unet_learner(data(96), "tf_efficientnet_lite0", weights="offline", seed=0, device="cpu")
    learner.fit_one_cycle(
        6, 1e-3
    )  # at three times the rate the statistics of 24 steps are a matter of luck, which isn't the same on every processor
    return learner


@pytest.mark.slow
def test_a_unet_learns_and_tells_in_pixels_of_the_original(learn):
    preds, targets = learn.get_preds()
    assert PointDistance()(preds, targets) < 0.06
    picture, points = dotted(999, size=(400, 300), radius=20)
    label, index, probs = learn.predict(picture)
    assert np.abs(label - points).max() < 60 and np.allclose(label, probs) and index.abs().max() <= 1.2
    several = learn.predict([dotted(i)[0] for i in range(5)])
    assert all(np.abs(s.label - dotted(i)[1]).max() < 16 for i, s in enumerate(several))


@pytest.mark.slow
def test_augmented_predictions_are_brought_back(learn):
    plain, (augmented, targets) = learn.get_preds(), learn.tta(n=3, beta=0.0)
    far = [PointDistance()(preds, targets) for preds in (plain.preds, augmented)]
    assert far[1] < far[0] * 1.5 and not torch.equal(plain.preds, augmented)
    with pytest.raises(SettingError, match="picks values, not places"):
        learn.tta(use_max=True)


@pytest.mark.slow
def test_it_is_exported_drawn_and_interpreted(learn, tmp_path):
    learn.export(tmp_path / "points.burnish")
    again = load_learner(tmp_path / "points.burnish")
    picture = dotted(7)[0]
    assert np.allclose(again.predict(picture).label, learn.predict(picture).label, atol=0.05)
    learn.dls.show_batch()
    learn.show_results(max_n=2)
    _, (left, right) = plt.subplots(1, 2)
    found = learn.show_prediction(picture, ax=right).label
    assert not left.images and np.allclose(right.collections[0].get_offsets(), found - 0.5, atol=0.01)
    interp = Interpretation.from_learner(learn)
    interp.plot_top_losses(2)
    told = interp.results().set_index("metric")
    mean = interp.targs.nanmean(0).expand_as(interp.targs)
    assert (
        told.baseline["point_distance"] == pytest.approx(PointDistance()(mean, interp.targs), rel=1e-4)
        and told.value["pck"] > told.baseline["pck"]
    )
    assert told.baseline["loss"] == pytest.approx(PointLoss()(mean, interp.targs).item(), rel=1e-3)
    with captured_notes() as notes:
        learn.validate()
    assert any("always answering each point's mean place here: point_distance" in text for text in notes)
    assert all(ax.collections for figure in map(plt.figure, plt.get_fignums()) for ax in figure.axes if ax.images)
    plt.close("all")


def test_a_classifiers_body_gets_a_head_that_knows_places():
    dls = data(16)
    learn = vision_learner(dls, "resnet18", pretrained=False, seed=0, device="cpu")
    learn.fit_one_cycle(1)
    assert learn.get_preds().preds.shape == (4, 2, 2) and learn.model[1](torch.rand(2, 512, 4, 4)).shape == (2, 2, 2)
    with captured_notes() as notes:
        pooled = vision_learner(dls, "resnet18", pretrained=False, lin_ftrs=[8], seed=0, device="cpu")
    assert any("know little" in text for text in notes) and pooled.get_preds().preds.shape == (4, 2, 2)


def test_points_beside_a_number():
    pictures, points = zip(*map(dotted, range(16)), strict=True)
    block = DataBlock(
        (ImageBlock, PointBlock, RegressionBlock), n_inp=1, get_items=lambda s: list(range(16)), get_x=lambda i: pictures[i], get_y=[lambda i: points[i], lambda i: float(points[i][0][0])],
        splitter=IndexSplitter([0, 1, 2, 3]), item_tfms=Resize(64),
    )  # fmt: skip
    learn = vision_learner(block.dataloaders(None, bs=6, device="cpu"), "resnet18", pretrained=False, seed=0, device="cpu")
    learn.fit_one_cycle(1)
    found = learn.predict(pictures[0])
    assert found.probs[0].shape == (2, 2) and found.probs[0].max() > 2, "pixels"


def test_points_that_change_places_get_a_learner():
    """Their batches hold a triangle more before they are settled."""
    pictures = [Image.new("RGB", (32, 32), (i, 0, 0)) for i in range(8)]
    samples = [(p, [(3, 4), (20, 6)]) for p in pictures]
    with captured_notes():
        block = DataBlock(blocks=(ImageBlock, PointBlock(names=["left eye", "right eye"])), splitter=RandomSplitter(0.25, seed=0))
        learn = vision_learner(block.dataloaders(samples, bs=4, device="cpu"), "resnet18", pretrained=False)
    assert [m.name for m in learn.metrics] == ["point_distance", "pck"]


def test_points_as_fractions_where_pixels_were_expected_and_swaps_that_are_none_are_refused():
    with pytest.raises(DataError, match=r"No number of the training points is above 1.*units='fraction'"):
        PointBlock().fit([[(0.1, 0.2), (0.9, 0.3)], [None, (0.5, 1.0)]])
    PointBlock(units="fraction").fit([[(0.1, 0.2), (0.9, 0.3)]])
    for swap in ([[0, 5]], [[0, 1], [1, 2]]):
        with pytest.raises(SettingError, match="points 0 to 2 were expected, each point in one pair"):
            PointBlock(swap=swap).fit([[(1, 2), (3, 4), (5, 6)]])


def test_points_beyond_the_picture_are_not_drawn():
    """They took room from the picture: of a cropped or turned one, a point may be anywhere."""
    from burnish.vision.drawing import draw_points

    figure, axes = plt.subplots(1, 2, layout="compressed")
    for ax in axes:
        ax.imshow(np.zeros((40, 60, 3)))
    draw_points(
        np.array([[0.5, 0.5], [1.3, 0.5], [0.2, -0.4], [np.nan, np.nan], [0.99, 0.5]]), ["a", "b", "c", "d", "at the edge"], axes[0]
    )
    figure.draw_without_rendering()
    drawn = axes[0].collections[0].get_offsets()
    assert np.isfinite(np.ma.filled(drawn, np.nan)).all(axis=1).tolist() == [True, False, False, False, True]
    assert [text.get_text() for text in axes[0].texts] == ["a", "at the edge"]
    assert axes[0].axis() == axes[1].axis() == (-0.5, 59.5, 39.5, -0.5)
    assert axes[0].get_position().size == pytest.approx(axes[1].get_position().size)
