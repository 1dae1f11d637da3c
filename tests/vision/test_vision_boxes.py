"""Boxes: cells, what is wrong with them, and that they follow their pixels through every transform."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torchvision.transforms import v2

from burnish.data.category import CategoryBlock
from burnish.data.datablock import DataBlock
from burnish.data.notes import captured_notes
from burnish.data.split import RandomSplitter
from burnish.errors import DataError, SettingError
from burnish.vision.augment import Augment, Flip, Rotate, Warp, Zoom, aug_transforms
from burnish.vision.blocks import ImageBlock
from burnish.vision.boxes import BBoxBlock, BBoxLblBlock
from burnish.vision.transforms import DihedralItem, FlipItem, RandomCrop, RandomResizedCrop, Resize

SIZE = (120, 90)


def painted(seed, n=2):
    """A black picture with white rectangles, and their boxes."""
    rng, picture = np.random.default_rng(seed), Image.new("RGB", SIZE)
    boxes = []
    for i in range(n):
        w, h = rng.integers(12, 24, 2)
        x, y = rng.integers(2, 60 - w - 2) + 60 * i, rng.integers(2, 90 - h - 2)
        ImageDraw.Draw(picture).rectangle((x, y, x + w - 1, y + h - 1), fill="white")
        boxes.append((int(x), int(y), int(x + w), int(y + h)))
    return picture, boxes


def loaders(n=12, block=None, item_tfms=None, batch_tfms=None, **options):
    data = [painted(i) for i in range(n)]
    samples = [(picture, (boxes, ["a", "b"])) for picture, boxes in data]
    with captured_notes():
        made = DataBlock(
            blocks=(ImageBlock, block or BBoxLblBlock), splitter=RandomSplitter(0.25, seed=0), item_tfms=item_tfms, batch_tfms=batch_tfms
        )
        return made.dataloaders(samples, seed=0, device="cpu", **{"bs": 9, "num_workers": 0, **options})


GEOMETRY = {
    "nothing": (None, None),
    "squished": (Resize((60, 100), "squish"), None),
    "padded": (Resize(96, "pad", pad_mode="zeros"), None),
    "flipped": (FlipItem(p=1.0), None),
    "symmetries": ([Resize(80, "squish"), DihedralItem(p=1.0)], None),
    "torchvision's": (v2.Compose([v2.RandomHorizontalFlip(1.0), v2.Resize((64, 96))]), None),
    "flips of the batch": (None, Flip(p=1.0)),
    "zoom": (None, Zoom(max_zoom=1.1, p=1.0, pad_mode="zeros")),
    "cut": (RandomCrop(80), None),
    "cut and resized": (RandomResizedCrop(80, min_scale=0.7), None),
}


def bright(picture, label, boxes):
    """The box around the bright pixels nearest to a box's place, in pixels."""
    (height, width), x1, y1, x2, y2 = picture.shape, *boxes
    grown = [max(0, round(x1) - 4), max(0, round(y1) - 4), min(width, round(x2) + 4), min(height, round(y2) + 4)]
    rows, columns = np.nonzero(picture[grown[1] : grown[3], grown[0] : grown[2]] > 0.5)
    return np.array([columns.min() + grown[0], rows.min() + grown[1], columns.max() + 1 + grown[0], rows.max() + 1 + grown[1]])


@pytest.mark.parametrize("name", GEOMETRY)
def test_boxes_stay_around_their_pixels(name):
    item, batch = GEOMETRY[name]
    pictures, targets = loaders(item_tfms=item, batch_tfms=batch).one_batch()
    height, width = pictures.shape[-2:]
    seen = 0
    for picture, target in zip(pictures, targets, strict=True):
        for *places, label in target[target[:, 4] >= 0].tolist():
            box = (np.array(places) + 1) / 2 * [width, height, width, height]
            if min(box[2] - box[0], box[3] - box[1]) < 4:
                continue
            assert np.abs(bright(picture[0].numpy(), label, box) - box).max() <= 1.3
            seen += 1
    assert seen >= 12


def test_turned_boxes_hold_their_turned_objects():
    pictures, targets = loaders(
        item_tfms=Resize(96, "squish"), batch_tfms=[Rotate(25, p=1.0, pad_mode="zeros"), Warp(0.2, p=1.0, pad_mode="zeros")]
    ).one_batch()
    for picture, target in zip(pictures, targets, strict=True):
        inside = torch.zeros(96, 96, dtype=torch.bool)
        for x1, y1, x2, y2, _ in target[target[:, 4] >= 0].tolist():
            a, b, c, d = (round((v + 1) / 2 * 96) for v in (x1, y1, x2, y2))
            inside[max(0, b - 1) : d + 1, max(0, a - 1) : c + 1] = True
        gone = (target[:, 4] < 0).any()
        assert gone or (picture[0] > 0.5)[~inside].sum() <= 3


def moved_places(box, matrix):
    """Where many places of a box ``(4,)`` are after a move, those that are in the picture before and after."""
    x1, y1, x2, y2 = box.clamp(-1, 1).double().tolist()
    if x1 >= x2 or y1 >= y2:
        return torch.empty(0, 2, dtype=torch.float64)
    x, y = torch.meshgrid(torch.linspace(x1, x2, 600).double(), torch.linspace(y1, y2, 600).double(), indexing="ij")
    there = torch.stack([x, y, torch.ones_like(x)], dim=-1).reshape(-1, 3) @ torch.linalg.inv(matrix.double()).T
    there = there[there[:, 2] > 0]
    there = there[:, :2] / there[:, 2:]
    return there[(there.abs() <= 1).all(1)]


MOVES = {
    "turned": [Rotate(70, p=1.0)], "tilted": [Warp(0.5, p=1.0)], "near": [Zoom(1.0, 3.0, p=1.0)], "far": [Zoom(0.4, 1.0, p=1.0)], "mirrored": [Flip(p=1.0)],
    "tilted both ways": [Warp(p=1.0, draw_x=0.61, draw_y=0.61)], "all": [Warp(0.3, p=1.0), Rotate(40, p=1.0), Zoom(1.0, 1.5, p=1.0)],
}  # fmt: skip


@pytest.mark.parametrize("name", MOVES)
def test_boxes_are_around_what_is_still_seen(name):
    """Also of those that a crop had cut, that hold a corner of the picture or all of it, that are gone."""
    block, draw = BBoxLblBlock(["a"], min_visible=0), torch.Generator().manual_seed(1)
    middle, size = torch.rand(6, 8, 2, generator=draw) * 2.4 - 1.2, torch.rand(6, 8, 2, generator=draw) ** 2 * 1.5 + 0.05
    boxes = torch.cat([middle - size, middle + size, torch.zeros(6, 8, 1)], dim=-1)
    augment = Augment(MOVES[name])
    picture, step = torch.zeros(6, 1, 60, 80), torch.Generator().manual_seed(2)
    matrix, _ = augment._matrix(picture, (60, 80), torch.Generator().manual_seed(2))
    moved = block.settle(augment.apply([picture, boxes], ["image", "boxes"], step)[1])
    assert moved.shape == (6, 8, 5)
    seen = 0
    for i, k in np.ndindex(6, 8):
        places = moved_places(boxes[i, k, :4], matrix[i])
        if len(places) < 20:
            assert moved[i, k, 4] < 0 or (moved[i, k, 2:4] - moved[i, k, :2]).min() < 0.15
            continue
        around = torch.cat([places.amin(0), places.amax(0)])
        assert (moved[i, k, :4] - around).abs().max() < 0.02
        assert moved[i, k, 0] <= around[0] + 1e-5 and moved[i, k, 1] <= around[1] + 1e-5, "what is seen is in the box"
        assert moved[i, k, 2] >= around[2] - 1e-5 and moved[i, k, 3] >= around[3] - 1e-5
        seen += 1
    assert seen > 20


def test_a_turned_box_at_the_edge_holds_no_empty_area():
    """What was 20 pixels too high: of the box only the corner that is still in the picture is asked for."""
    picture = torch.zeros(1, 3, 100, 100)
    picture[:, :, 40:70, 70:100] = 1
    box = torch.tensor([[[0.4, -0.2, 1.0, 0.4, 0.0]]])
    moved, boxes = Rotate(draw=-45, p=1.0, pad_mode="zeros").apply([picture, box], ["image", "boxes"], torch.Generator().manual_seed(0))
    rows, columns = np.nonzero(moved[0, 0].numpy() > 0.5)
    around = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    settled = BBoxLblBlock(["a"]).settle(boxes)[0, 0]
    assert np.abs((settled[:4].numpy() + 1) * 50 - around).max() <= 1


def test_how_much_of_a_turned_box_is_seen_is_counted_in_upright_boxes():
    """As before, also through several transforms: the share of the upright box around the turned corners that is in the picture."""
    box, picture = torch.tensor([[[0.5, -0.5, 1.0, 0.5, 0.0]]]), torch.zeros(1, 3, 64, 64)
    turn = Rotate(draw=45, p=1.0, pad_mode="zeros")
    again = Zoom(draw=1.0, p=1.0, pad_mode="border")
    (whole,) = (turn.apply([picture, box[..., :4]], ["image", "boxes"], torch.Generator()))[1]
    upright = (whole[0, 2:] - whole[0, :2]).prod()
    cut = whole[0].clamp(-1, 1)
    share = float((cut[2:] - cut[:2]).prod() / upright)
    assert 0.3 < share < 0.9
    for least, kept in ((share - 0.01, True), (share + 0.01, False)):
        values = [picture, box]
        for tfm in (turn, again):
            values = tfm.apply(values, ["image", "boxes"], torch.Generator())
        assert bool(BBoxLblBlock(["a"], min_visible=least).settle(values[1])[0, 0, 4] == 0) == kept


def test_boxes_are_cut_at_the_edge_and_dropped_when_nearly_gone():
    block = BBoxLblBlock(["a"], min_visible=0.25)
    batch = torch.tensor(
        [[[-0.5, -0.5, 0.5, 0.5, 0], [0.9, 0, 1.3, 0.5, 0], [0.95, 0, 1.3, 0.5, 0], [1.2, 0, 1.5, 0.5, 0], [0, 0, 0, 0, -1]]]
    )
    settled = block.settle(batch)[0]
    assert settled[:, 4].tolist() == [0, 0, -1, -1, -1] and torch.allclose(settled[1, :4], torch.tensor([0.9, 0, 1, 0.5]))
    assert (settled[2:, :4] == 0).all()


@pytest.mark.parametrize(
    "cut", [v2.CenterCrop(40), v2.RandomCrop(40), v2.RandomAffine(0, (0.3, 0.3)), v2.RandomResizedCrop(40, (0.3, 0.5))]
)
def test_min_visible_holds_behind_crops_of_torchvision(cut):
    """A box that a crop left a sliver of isn't asked for: what is beyond the edge is known until the batch is made."""
    block = BBoxLblBlock(["a"], min_visible=0.5)
    for seed in range(20):
        torch.manual_seed(seed)
        moved = cut(block.open(([(0, 0, 96, 72)], ["a"]), SIZE)[0])
        height, width = moved.canvas_size
        x1, y1, x2, y2 = moved[0].tolist()
        share = max(0, min(x2, width) - max(x1, 0)) * max(0, min(y2, height) - max(y1, 0)) / ((x2 - x1) * (y2 - y1))
        assert x2 - x1 >= 40 and abs(share - 0.5) > 1e-4
        there = block.settle(block.collate([block.encode((moved, np.zeros(1, np.int64)))]))[0, 0, 4] == 0
        assert bool(there) == (share >= 0.5)


def test_min_visible_holds_where_a_crop_follows_a_resize():
    found = []
    for least in (0, 0.2):
        samples = [(Image.new("RGB", SIZE), ([(0, 0, 96, 72)], ["a"]))] * 60
        block = DataBlock(
            (ImageBlock, BBoxLblBlock(min_visible=least)),
            item_tfms=[Resize((160, 120), "squish"), v2.RandomCrop(60)],
            splitter=RandomSplitter(0.2, seed=0),
        )
        with captured_notes():
            targets = torch.cat([y for _, y in block.dataloaders(samples, bs=8, seed=0, device="cpu").train])
        found.append(targets[:, 0])
    whole, kept = found
    area = ((whole[:, 2:4] - whole[:, :2]) * 30).prod(1)
    enough = area >= 0.2 * 128 * 96
    assert enough.any() and (whole[:, 4] == 0).any() and not enough.all()
    assert torch.equal(kept[:, 4] == 0, enough)


def test_pictures_without_boxes_and_many_boxes_make_batches():
    samples = [(painted(i)[0], ([(1, 1, 9, 9)] * i, ["x"] * i)) for i in range(8)]
    with captured_notes():
        dls = DataBlock(blocks=(ImageBlock, BBoxLblBlock), splitter=RandomSplitter(0.25, seed=1)).dataloaders(
            samples, bs=6, device="cpu", drop_last=False
        )
    for _, targets in (*dls.train, *dls.valid):
        assert targets.shape[1:] == (7, 5)
    assert sorted((t[:, 4] >= 0).sum().item() for dl in dls for _, targets in dl for t in targets) == list(range(8))


@pytest.mark.parametrize(("format", "box"), [("xyxy", (10, 20, 40, 60)), ("xywh", (10, 20, 30, 40)), ("cxcywh", (25, 40, 30, 40))])
@pytest.mark.parametrize("units", ["pixels", "fraction"])
def test_formats_and_units(format, box, units):
    scale = np.array([*SIZE, *SIZE]) if units == "fraction" else 1
    block = BBoxBlock(format=format, units=units)
    value, classes = block.open([np.array(box) / scale], SIZE)
    assert np.allclose(value.numpy(), [[10, 20, 40, 60]], atol=1e-4) and classes.tolist() == [0]


def test_boxes_and_labels_in_blocks_of_their_own_are_one_target():
    """As people write it: a block and a getter for boxes, another for labels."""
    data = {i: painted(i) for i in range(8)}
    block = DataBlock(
        blocks=(ImageBlock, BBoxBlock, BBoxLblBlock), get_x=lambda i: data[i][0], get_y=[lambda i: data[i][1], lambda i: ["a", "b"]], n_inp=1,
        splitter=RandomSplitter(0.25, seed=0),
    )  # fmt: skip
    assert [type(b).__name__ for b in block.blocks] == ["ImageBlock", "BBoxLblBlock"]
    with captured_notes():
        dls = block.dataloaders(list(data), bs=6, device="cpu", num_workers=0)
    assert dls.vocab == ["a", "b"] and dls.one_batch()[1].shape == (6, 2, 5)
    assert [type(b).__name__ for b in DataBlock(blocks=(ImageBlock, BBoxBlock, CategoryBlock), n_inp=1).blocks][1:] == [
        "BBoxBlock",
        "CategoryBlock",
    ]
    with pytest.raises(SettingError, match=r"one target together. Pass n_inp=1"):
        DataBlock(blocks=(ImageBlock, BBoxBlock, BBoxLblBlock), n_inp=2)


def opened(boxes, labels=None, **settings):
    labels = ["a"] * len(boxes) if labels is None else labels
    return BBoxLblBlock(["a", "b"], **settings).open((boxes, labels), SIZE)


WRONG = {
    "negative size": (lambda: opened([(1, 2, 5, 9), (50, 20, 40, 60)]), r"Box 1, \(50, 20, 40, 60\), of -10 x 40 pixels, has a negative size in a picture of 120 x 90"),
    "width and height": (lambda: opened([(50, 20, 40, 60)]), "All of this picture's boxes are right as 'xywh'"),
    "no area": (lambda: opened([(50, 20, 50, 60)]), "of 0 x 40 pixels, has no area"),
    "outside": (lambda: opened([(100, 20, 140, 60)]), "is outside of a picture of 120 x 90 pixels"),
    "fractions": (lambda: opened([(0.5, 0.5, 0.5, 0.9)]), "They look like fractions"),
    "labels": (lambda: opened([(1, 2, 5, 9)], ["a", "b"]), "1 boxes and 2 labels"),
    "no label": (lambda: opened([(1, 2, 5, 9)], [None]), "box 0 has no label"),
    "unknown": (lambda: opened([(1, 2, 5, 9)], ["c"]), r"class 'c', which is none of the classes: 'a', 'b'"),
    "not a number": (lambda: opened([(1, 2, float("nan"), 9)]), "missing or infinite"),
    "three numbers": (lambda: opened([(1, 2, 3)]), r"shape \(1, 3\)"),
    "words": (lambda: opened(["box"]), "which is no boxes"),
    "no pair": (lambda: BBoxLblBlock(["a"]).open([(1, 2, 3, 4)], SIZE), r"a pair \(boxes, labels\) was expected"),
    "no picture": (lambda: BBoxLblBlock(["a"]).open(([(1, 2, 3, 4)], ["a"])), "no picture before them"),
    "nothing to learn": (lambda: BBoxBlock().fit([[], []]), "None of the 2 training pictures has a box"),
    "fractions throughout": (lambda: BBoxBlock().fit([[(0.1, 0.2, 0.5, 0.6)], []]), "fractions of their pictures, not pixels"),
    "a class of validation": (lambda: _fitted().check([([(0, 0, 1, 1)], ["z"])], ["row 7"], "valid"), "row 7 of the valid split has a box of the class 'z'"),
}  # fmt: skip


def _fitted():
    block = BBoxLblBlock()
    block.fit([([(0, 0, 9, 9)], ["a"])])
    return block


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said(name):
    do, said = WRONG[name]
    with pytest.raises(DataError, match=said):
        do()


@pytest.mark.parametrize("settings", [{"format": "yxyx"}, {"units": "inches"}, {"min_visible": 2}, {"threshold": -1}])
def test_settings_are_checked(settings):
    with pytest.raises(SettingError, match=next(iter(settings))):
        BBoxLblBlock(**settings)


def test_transforms_that_remove_boxes_are_refused():
    with pytest.raises(DataError, match="left 0 of 2 boxes"):
        loaders(item_tfms=v2.SanitizeBoundingBoxes(min_size=1000, labels_getter=None)).one_batch()


def test_all_of_the_usual_augmentation_at_once():
    _, targets = loaders(item_tfms=Resize(96, "squish"), batch_tfms=aug_transforms(size=64, min_scale=0.75)).one_batch()
    there = targets[targets[..., 4] >= 0]
    assert len(there) > 8 and (there[:, :4].abs() <= 1).all() and (there[:, 2:4] > there[:, :2]).all()


def test_settings_of_two_blocks_become_one_or_are_refused():
    joined = BBoxBlock(threshold=0.9).joined(BBoxLblBlock(format="xywh", min_visible=0.5))
    assert isinstance(joined, BBoxLblBlock) and (joined.format, joined.threshold, joined.min_visible) == ("xywh", 0.9, 0.5)
    with pytest.raises(SettingError, match=r"have different format: 'xywh', 'cxcywh'|have different format: 'cxcywh', 'xywh'"):
        BBoxBlock(format="cxcywh").joined(BBoxLblBlock(format="xywh"))
