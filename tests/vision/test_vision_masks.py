"""Masks: how they come, what is refused, that they stay on their pixels, and what is measured of them."""

from __future__ import annotations

import io
import random

import numpy as np
import pytest
import sklearn.metrics as skm
import torch
from PIL import Image
from torch import nn
from torchvision import tv_tensors

from burnish.data.config import from_config
from burnish.data.notes import captured_notes
from burnish.errors import DataError, SettingError
from burnish.evaluate.losses_masks import CombinedLoss, DiceLoss, FocalLoss, LovaszLoss
from burnish.evaluate.segmentation import Dice, DiceMulti, ForegroundAccuracy, JaccardCoeff, MeanIoU, PixelAccuracy
from burnish.vision.augment import Flip, Rotate, Warp, Zoom, compose
from burnish.vision.masks import IGNORED, VOID, MaskBlock
from burnish.vision.transforms import CropPad, DihedralItem, FlipItem, RandomCrop, RandomResizedCrop, Resize

CODES = ["sky", "sea", "sand"]
NUMBERS = np.array([[0, 1, 2], [2, 1, 0]], dtype=np.uint8)
PALETTE = {"sky": (0, 0, 255), "sea": (0, 128, 128), "sand": (200, 180, 0)}


def indexed():
    image = Image.new("P", (3, 2))
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    image.putdata(NUMBERS.reshape(-1).tolist())
    return image


def coloured():
    return Image.fromarray(np.array([PALETTE[c] for c in CODES], dtype=np.uint8)[NUMBERS])


def saved(image, kind="PNG"):
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


FORMS = {
    "grey picture": (MaskBlock(CODES), Image.fromarray(NUMBERS)),
    "indexed picture": (MaskBlock(CODES), indexed()),
    "indexed file": (MaskBlock(CODES), saved(indexed())),
    "grey in three channels": (MaskBlock(CODES), Image.fromarray(np.repeat(NUMBERS[..., None], 3, 2))),
    "16 bits": (MaskBlock(CODES), Image.fromarray(NUMBERS.astype(np.uint16))),
    "array": (MaskBlock(CODES), NUMBERS.astype(np.int64)),
    "tensor": (MaskBlock(CODES), torch.from_numpy(NUMBERS)[None]),
    "colours": (MaskBlock(CODES, palette=PALETTE), saved(coloured())),
    "colours in order": (MaskBlock(CODES, palette=list(PALETTE.values())), coloured()),
    "values of their own": (MaskBlock(CODES, values=[10, 20, 40]), np.array([10, 20, 40], dtype=np.uint8)[NUMBERS]),
}


@pytest.mark.parametrize("form", FORMS)
def test_masks_come_in_many_forms_and_mean_the_same(form):
    block, raw = FORMS[form]
    block.fit([raw])
    encoded = block.encode(block.open(raw))
    assert encoded.dtype == torch.uint8 and np.array_equal(encoded.numpy(), NUMBERS)
    again = from_config(block.config())
    assert torch.equal(again.encode(again.open(raw)), encoded)


def test_what_does_not_count_is_left_out_of_loss_and_metrics():
    numbers = NUMBERS.copy()
    numbers[0, 0] = 255
    with captured_notes() as notes:
        (block := MaskBlock(CODES)).fit([numbers])
    assert "255, which is no class" in notes[0]
    finished = block.on_device()(block.encode(block.open(numbers))[None])
    assert finished.dtype == torch.int64 and finished[0, 0, 0] == IGNORED and block.decode(finished[0])[0, 0] == VOID
    named = MaskBlock(CODES, void="sea")
    named.fit([NUMBERS])
    finished = named.on_device()(named.encode(named.open(NUMBERS))[None])
    assert (finished == IGNORED).sum() == 2 and named.n_out == 3
    output = torch.randn(1, 3, 2, 3)
    other = output.clone()
    other[:, :, :, 1] += 100 * torch.rand(1, 3, 2)
    for loss in (named.loss(), DiceLoss(), LovaszLoss(), FocalLoss(), CombinedLoss(nn.CrossEntropyLoss(), DiceLoss())):
        assert torch.allclose(loss(output, finished), loss(other, finished))
    for metric in (MeanIoU(), PixelAccuracy(), DiceMulti()):
        assert metric(output, finished) == metric(other, finished)


def test_black_and_white_masks_are_two_classes():
    with captured_notes() as notes:
        (block := MaskBlock(["background", "cell"])).fit([NUMBERS % 2 * 255])
    assert "0 is 'background', 255 is 'cell'" in notes[0] and block.values == [0, 255]
    with captured_notes() as notes:
        (block := MaskBlock()).fit([NUMBERS % 2 * 255])
    assert block.codes == ["0", "255"] and "each is a class" in notes[0]


BAD = {
    "a number beyond the codes": (lambda: MaskBlock(CODES).fit([NUMBERS + 1, NUMBERS + 1]), DataError, r"hold the numbers 1, 2, 3.*3 codes, for 0 to 2.*values=\[1, 2, 3\]"),
    "a stray number": (lambda: MaskBlock([*CODES, "rock"]).fit([NUMBERS, NUMBERS, _stray()]), DataError, r"(?s)codes, for 0 to 3: 7 is in 1 of the masks.* at x=2, y=1 \(1 pixel\(s\) in all\).*mend the mask\.$"),
    "codes as a text": (lambda: MaskBlock("sky,sea"), SettingError, r"codes='sky,sea' is one text; expected a list"),
    "255 that may be the last class": (lambda: MaskBlock(CODES).fit([np.where(NUMBERS == 2, 255, NUMBERS)]), DataError, "say which number"),
    "one in a later mask": (lambda: _fitted().open(NUMBERS + 5), DataError, r"holds 5 \(at x=0, y=0\).*0 'sky'"),
    "a JPEG": (lambda: _fitted().open(saved(Image.fromarray(NUMBERS), "JPEG")), DataError, "JPEG, whose compression changes"),
    "colours without a palette": (lambda: MaskBlock(CODES).fit([coloured()]), DataError, r"coloured mask \(3 colours.*palette="),
    "a colour of its own": (lambda: MaskBlock(CODES, palette=PALETTE).open(Image.new("RGB", (3, 2), "red")), DataError, r"colour \(255, 0, 0\) \(at x=0, y=0; 6 of 6"),
    "fractions": (lambda: _fitted().open(NUMBERS / 2), DataError, "whole numbers"),
    "missing": (lambda: _fitted().check([None], ["row 3"], "train"), DataError, "no mask: row 3"),
    "no file": (lambda: _fitted().check(["absent.png"], ["a.jpg"], "valid"), FileNotFoundError, r"absent.png \(of a.jpg\)"),
    "all alike": (lambda: MaskBlock().fit([NUMBERS * 0]), DataError, "nothing to tell apart"),
    "one code": (lambda: MaskBlock(["sky"]), SettingError, "2 to 254"),
    "colours as fractions": (lambda: MaskBlock(palette={"sky": (0, 0, 0), "sea": (1, 1, 1)}).open(np.full((2, 3, 3), 0.5)), DataError, "array of float64, and the colours"),
    "a JPEG opened by somebody": (lambda: _fitted().open(Image.open(io.BytesIO(saved(Image.fromarray(NUMBERS), "JPEG")))), DataError, "JPEG, whose compression"),
    "unknown void": (lambda: MaskBlock(CODES, void="sandy"), SettingError, "Did you mean: sand"),
    "a colour missing": (lambda: MaskBlock(CODES, palette={"sky": (0, 0, 0)}), SettingError, "give each code its colour"),
    "no colour": (lambda: MaskBlock(CODES, palette=[(0, 0, 300), (1, 1, 1), (2, 2, 2)]), SettingError, "0 to 255"),
    "values too few": (lambda: MaskBlock(CODES, values=[1, 2]), SettingError, "another number for each"),
    "not learned": (lambda: MaskBlock(CODES).open(NUMBERS), DataError, "learns it from the training rows"),
}  # fmt: skip


def _stray():
    mask = NUMBERS.copy()
    mask[1, 2] = 7
    return mask


def _fitted():
    block = MaskBlock(CODES)
    block.fit([NUMBERS])
    return block


@pytest.mark.parametrize("name", BAD)
def test_bad_masks_are_refused_with_what_to_do(name):
    make, error, says = BAD[name]
    with pytest.raises(error, match=says):
        make()


# -- on their pixels ----------------------------------------------------------------------------------------------------
ITEM = [
    Resize(96),
    Resize(96, method="pad"),
    Resize(96, method="squish"),
    RandomResizedCrop(96, min_scale=0.5),
    CropPad(80),
    RandomCrop(80),
    FlipItem(1.0),
    DihedralItem(),
]


def blocks_of_colour(height=192, width=256, side=64):
    """A picture of coloured squares, and the mask that numbers them."""
    rows, columns = np.arange(height) // side, np.arange(width) // side
    numbers = (rows[:, None] * (width // side) + columns) % 7
    return Image.fromarray((numbers * 36).astype(np.uint8)), tv_tensors.Mask(torch.from_numpy(numbers.astype(np.uint8)))


@pytest.mark.parametrize("tfm", ITEM, ids=repr)
def test_item_transforms_keep_a_mask_on_its_pixels(tfm):
    picture, mask = blocks_of_colour()
    for seed in range(5):
        image, moved = tfm.apply((picture, mask), random.Random(seed))
        shown, numbers = np.asarray(image, dtype=float), np.asarray(moved)
        assert shown.shape == numbers.shape
        exact = np.isclose(shown / 36, numbers, atol=0.02)
        assert exact.mean() > 0.8, "only pixels on an edge between squares may be mixed"


@pytest.mark.parametrize(
    "tfm",
    [Flip(p=1), Rotate(p=1, max_deg=20), Zoom(p=1, max_zoom=1.5), Warp(p=1), compose([Flip(), Rotate(), Zoom(), Warp()])[0]],
    ids=lambda t: type(t).__name__,
)
def test_batch_transforms_keep_a_mask_on_its_pixels(tfm):
    picture, mask = blocks_of_colour()
    x = torch.from_numpy(np.array(picture)).float().div(255)[None, None].repeat(6, 3, 1, 1)
    y = mask.as_subclass(torch.Tensor).long()[None].repeat(6, 1, 1)
    (augment,) = compose([tfm])
    moved, numbers = augment.apply([x, y], ["image", "mask"], torch.Generator().manual_seed(0))
    exact = torch.isclose(moved[:, 0] * 255 / 36, numbers.float(), atol=0.02)
    assert exact.float().mean() > 0.75 and not torch.equal(numbers, y)


# -- measures -----------------------------------------------------------------------------------------------------------
def outcome(classes=4):
    g = torch.Generator().manual_seed(0)
    target = torch.randint(0, classes, (5, 12, 10), generator=g)
    output = torch.randn(5, classes, 12, 10, generator=g) + 2 * nn.functional.one_hot(target, classes).permute(0, 3, 1, 2)
    target[:, :2] = IGNORED
    return output, target


def flat(output, target):
    known = target.reshape(-1) >= 0
    return output.argmax(1).reshape(-1)[known].numpy(), target.reshape(-1)[known].numpy()


def test_metrics_agree_with_scikit_learn_in_any_batches():
    output, target = outcome()
    decided, actual = flat(output, target)
    wanted = {
        "mean_iou": skm.jaccard_score(actual, decided, average="macro"),
        "dice_multi": skm.f1_score(actual, decided, average="macro"),
        "pixel_accuracy": skm.accuracy_score(actual, decided),
        "foreground_acc": skm.accuracy_score(actual[actual > 0], decided[actual > 0]),
    }
    for metric in (MeanIoU(), DiceMulti(), PixelAccuracy(), ForegroundAccuracy()):
        for part in (slice(0, 2), slice(2, 5)):
            metric.update(output[part], target[part])
        assert metric.compute() == pytest.approx(wanted[metric.name])
    assert MeanIoU()(output[:, :4], target) == pytest.approx(np.mean(skm.jaccard_score(actual, decided, average=None)))
    two = outcome(2)
    decided, actual = flat(*two)
    assert Dice()(*two) == pytest.approx(skm.f1_score(actual, decided)) and JaccardCoeff()(*two) == pytest.approx(
        skm.jaccard_score(actual, decided)
    )
    with pytest.raises(ValueError, match="two classes"):
        Dice()(output, target)


def test_targets_of_no_class_and_single_outputs_are_refused():
    output, target = outcome()
    for strange in (4, 255, -1):
        with pytest.raises(ValueError, match=r"1 pixels of the targets are of no class of the 4 .*don't count are -100"):
            MeanIoU()(output, torch.where(torch.arange(10 * 12 * 5).reshape(5, 12, 10) == 599, strange, target))
    with pytest.raises(ValueError, match="one output a pixel"):
        PixelAccuracy()(output[:, :1], target)


def test_a_class_that_is_nowhere_does_not_count_in_the_mean():
    output, target = outcome(3)
    wider = torch.cat([output, torch.full((5, 1, 12, 10), -100.0)], 1)
    assert MeanIoU()(wider, target) == MeanIoU()(output, target)


def test_losses_are_nothing_where_all_is_right_and_shrink_towards_it():
    output, target = outcome()
    right = nn.functional.one_hot(target.clamp(min=0), 4).permute(0, 3, 1, 2).float() * 60
    for loss in (DiceLoss(), DiceLoss(square_in_union=True), LovaszLoss(), FocalLoss()):
        better = output + right / 60
        assert loss(right, target) < 1e-3 < loss(better, target) < loss(output, target)
        single = [loss(output[i : i + 1], target[i : i + 1]) for i in range(5)]
        loss.reduction = "none"
        found = loss(output, target).reshape(5, -1)
        if type(loss) is not FocalLoss:
            assert torch.allclose(found[:, 0], torch.stack(single), atol=1e-6)


def test_lovasz_of_sure_answers_is_one_minus_iou():
    """Of outputs that are sure, the surrogate is the Jaccard loss itself."""
    target = torch.tensor([[[0, 0, 1, 1], [0, 1, 1, 1]]])
    decided = torch.tensor([[[0, 1, 1, 1], [0, 0, 1, 1]]])
    output = nn.functional.one_hot(decided, 2).permute(0, 3, 1, 2).float() * 100
    wanted = np.mean(1 - skm.jaccard_score(target.reshape(-1), decided.reshape(-1), average=None))
    assert LovaszLoss()(output, target).item() == pytest.approx(wanted, abs=1e-5)


def test_a_sum_of_losses():
    output, target = outcome()
    both = CombinedLoss(nn.CrossEntropyLoss(), DiceLoss(), weights=[2, 0.5])
    assert both(output, target).item() == pytest.approx(
        2 * nn.CrossEntropyLoss()(output, target).item() + 0.5 * DiceLoss()(output, target).item(), rel=1e-6
    )
    both.reduction = "none"
    assert both(output, target).shape == (5,)
    with pytest.raises(SettingError, match="one weight for each"):
        CombinedLoss(DiceLoss(), weights=[1, 2])
    with pytest.raises(SettingError, match="reduction='average'"):
        CombinedLoss(nn.CrossEntropyLoss(), reduction="average")
    with pytest.raises(SettingError, match="no loss module"):
        CombinedLoss(nn.functional.cross_entropy)
    for loss in (DiceLoss(), LovaszLoss()):
        with pytest.raises(ValueError, match=r"got \(5, 4, 12, 10\) and \(5, 4\)"):
            loss(output, torch.zeros(5, 4, dtype=torch.long))
    with pytest.raises(ValueError, match="class indices"):
        MeanIoU()(output, target.float())


def test_a_predicted_mask_is_saved_as_those_it_was_learned_from():
    with captured_notes():
        block = MaskBlock()
        block.fit([np.where(NUMBERS == 0, 0, 200)])
    picture = block.as_picture(np.array([[0, 1], [1, VOID]]))
    assert picture.mode == "P" and np.asarray(picture).tolist() == [[0, 200], [200, 255]]
    assert len({tuple(c) for c in np.asarray(picture.convert("RGB")).reshape(-1, 3).tolist()}) == 3
    coloured_block = MaskBlock(palette=PALETTE)
    made = coloured_block.as_picture(np.array([[0, 1]]))
    assert made.mode == "RGB" and np.array_equal(coloured_block.open(np.asarray(made)).as_subclass(torch.Tensor), [[0, 1]])
    assert np.asarray(_fitted().as_picture(NUMBERS)).tolist() == NUMBERS.tolist()


def test_the_outline_of_a_class_is_in_its_own_pixels_on_all_sides():
    import matplotlib.pyplot as plt

    from burnish.vision.drawing import ALPHA, colours_of, draw_mask

    mask = np.zeros((12, 12), np.uint8)
    mask[3:8, 2:7], mask[3:8, 7:10], mask[10:, 10:] = 1, 2, 1
    _, ax = plt.subplots()
    draw_mask(mask, ["background", "a", "b"], ax)
    shown = np.asarray(ax.images[-1].get_array())
    expected = np.zeros((12, 12), bool)
    expected[3:8, 2:10] = True
    expected[4:7, 3:6], expected[4:7, 8] = False, False
    expected[10, 10:], expected[10:, 10] = True, True
    assert np.array_equal(shown[..., 3] == 1, expected) and (shown[..., 3][~expected] == np.float64(ALPHA)).all()
    assert np.allclose(shown[..., :3], colours_of(3)[mask])
