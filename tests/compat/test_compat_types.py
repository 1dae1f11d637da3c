"""Typed tensors, numbers, labels and pictures: what they keep, how they mix, how they show themselves."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import burnish
from burnish.compat.containers import fastuple
from burnish.compat.picture_types import PILBase, PILImage, PILImageBW, PILMask, image2tensor, load_image, to_image
from burnish.compat.tensors import (
    ArrayImage,
    ArrayMask,
    TensorBase,
    TensorBBox,
    TensorCategory,
    TensorImage,
    TensorImageBW,
    TensorMask,
    TensorPoint,
    TitledTensorScalar,
)
from burnish.compat.titled import Category, LabeledBBox, MultiCategory, TitledFloat, TitledInt, TitledStr, TitledTuple
from burnish.errors import DataError
from burnish.vision.blocks import ImageBlock
from burnish.vision.image import open_image

PHOTO = sorted((Path(burnish.__file__).parent / "vision" / "sample").rglob("*.jpg"))[0]


@pytest.fixture
def ax():
    figure, axes = plt.subplots()
    yield axes
    plt.close(figure)


# -- tensors -----------------------------------------------------------------------------------------------------------
def test_a_typed_tensor_keeps_class_and_attributes():
    x = TensorImage(torch.rand(3, 4, 4), taken="today")
    made = [
        x + 1,
        1 - x,
        x[0],
        x.float(),
        x.mean(),
        torch.stack([x, x]),
        torch.cat([x, x]),
        x.max(dim=0)[0],
        x.clone(),
        copy.deepcopy(x),
        pickle.loads(pickle.dumps(x)),
        next(iter(x)),
        torch.rand(4) + x,
    ]
    assert all(type(o) is TensorImage and o.taken == "today" for o in made)
    assert type(x.max(dim=0)).__name__ == "max" and isinstance(x.numpy(), np.ndarray) and isinstance(x.shape, torch.Size)
    copied = copy.deepcopy(x)
    copied[0] = 5
    assert x.max() <= 1 and copied.add_(1) is copied


def test_any_two_classes_mix():
    image, others = (
        TensorImage(torch.ones(2, 4)),
        [TensorCategory([1, 2, 3, 4]), TensorBBox.create([1, 2, 3, 4]), TensorMask(torch.ones(4)), torch.ones(4)],
    )
    assert all(type(image * other) is TensorImage and type(torch.where(image > 0, image, other)) is TensorImage for other in others)
    assert type(TensorBase([1.0]) + TensorImage([1.0])) is TensorImage and type(TensorMask([1]) == TensorCategory(1)) is TensorMask


def test_gradients_pass_through_types():
    w = TensorBase([1.0, 2.0]).requires_grad_()
    loss = torch.nn.functional.mse_loss(TensorImage([3.0, 3.0]) * w, TensorCategory([0, 0]).float())
    loss.backward()
    assert type(w.grad) is torch.Tensor and w.grad.tolist() == [9, 18] and copy.deepcopy(w).requires_grad


def test_what_tensors_are_made_of_and_how_they_read():
    assert repr(TensorCategory(3)) == "TensorCategory(3)" and repr(TensorImage([1, 2])) == "TensorImage([1, 2])"
    assert TensorBase(np.ones(2)).dtype is torch.float32 and TensorImage(PILImage.create(PHOTO)).shape[-1] == 3
    points = TensorPoint.create([1, 2, 3, 4], img_size=(10, 20))
    assert points.tolist() == [[1, 2], [3, 4]] and points.dtype is torch.float32 and points[0].img_size == (10, 20)
    assert TensorBBox.create([[1, 2, 3, 4]]).shape == (1, 4) and TensorMask(torch.zeros(2, 2), codes=["a"])[0].codes == ["a"]
    assert TensorBase([1]).set_meta(points).get_meta("img_size") == (10, 20) and TensorBase([1]).get_meta("img_size", 3) == 3


def test_tensors_show_themselves(ax):
    for x in (
        TensorImage(torch.rand(3, 4, 5)),
        TensorImageBW(torch.rand(1, 4, 5)),
        TensorMask(torch.ones(4, 5), codes=["a", "b"]),
        ArrayImage(np.zeros((4, 5, 3))),
        ArrayMask(np.ones((4, 5))),
    ):
        assert x.show(ctx=ax) is ax
    assert (
        len(ax.images) == 5
        and ax.images[2].get_cmap().name == "tab20"
        and ax.images[2].get_clim() == (0, 2)
        and ax.images[2].get_alpha() == 0.5
    )
    assert TensorPoint.create([[1, 2], [3, 1]]).show(ctx=ax) is ax and ax.collections[0].get_offsets().tolist() == [[1, 2], [3, 1]]
    assert TensorBBox.create([1, 1, 3, 4]).show(ctx=ax) is ax and ax.patches[0].get_width() == 2 and ax.patches[0].get_height() == 3
    LabeledBBox(TensorBBox.create([[1, 1, 3, 4], [0, 0, 0, 0]]), ["cat", "#na#"]).show(ctx=ax)
    assert len(ax.patches) == 2 and [t.get_text() for t in ax.texts] == ["cat"]
    assert TitledTensorScalar(torch.tensor(3.0)).show(ctx=ax) is ax and ax.get_title() == "3.0"


# -- numbers and labels ---------------------------------------------------------------------------------------------------
def test_titled_values_are_what_they_hold_and_show_themselves(ax, capsys):
    assert (
        TitledInt(3) + 1 == 4
        and TitledFloat(1.5) * 2 == 3
        and TitledStr("a b c").truncate(2) == "a b"
        and TitledTuple((1, 2))[1] == 2
        and Category("cat").upper() == "CAT"
    )
    for value in (TitledInt(3), MultiCategory(["a", "b"]), Category("cat")):
        assert value.show(ctx=ax) is ax
    assert ax.get_title() == "3\na;b\ncat"
    row = TitledFloat(0.5).show(ctx=Category("cat").show(ctx=pd.Series({"text": 1})))
    assert row.to_dict() == {"text": 1, "category": "cat", "text_": "0.5"}
    TitledTuple((1, 2)).show()
    assert capsys.readouterr().out == "(1, 2)\n"


# -- pictures -------------------------------------------------------------------------------------------------------------
def test_pictures_are_of_their_class_and_ordinary_pictures_for_pil_and_burnish():
    image = PILImage.create(PHOTO)
    assert (
        type(image) is PILImage
        and isinstance(image, Image.Image)
        and image.mode == "RGB"
        and PILImage.mode == "RGB"
        and PILImageBW.mode == "L"
    )
    assert repr(image) == f"PILImage mode=RGB size={image.width}x{image.height}"
    assert (
        open_image(image) is image
        and ImageBlock(cls=PILImageBW).mode == "L"
        and ImageBlock().encode(image).shape == (3, image.height, image.width)
    )
    for same in (copy.copy(image), copy.deepcopy(image), pickle.loads(pickle.dumps(image)), image.copy(), PILImage(Image.open(PHOTO))):
        assert type(same) is PILImage and np.array_equal(np.asarray(same), np.asarray(image))
    assert type(image.resize((4, 4))) is Image.Image and type(PILImage(image.resize((4, 4)))) is PILImage
    changed = image.copy()
    changed.putpixel((0, 0), (1, 2, 3))
    assert image.getpixel((0, 0)) != (1, 2, 3)
    with pytest.raises(DataError, match=r"PILImage.create opens paths"):
        PILImage("photo.jpg")


@pytest.mark.parametrize("make", [str, Path, lambda p: Path(p).read_bytes(), lambda p: np.array(Image.open(p)), lambda p: image2tensor(Image.open(p)), lambda p: TensorImage(image2tensor(Image.open(p)).float()), Image.open])  # fmt: skip
def test_a_picture_is_made_of_anything_that_holds_one(make):
    grey = PILImageBW.create(make(str(PHOTO)))
    assert type(grey) is PILImageBW and grey.mode == "L" and grey.size == Image.open(PHOTO).size and type(PILImage.create(grey)) is PILImage


def test_pictures_stand_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (30, 20)).save(tmp_path / "a.jpg", exif=exif)
    assert PILImage.create(tmp_path / "a.jpg").size == (20, 30) and load_image(tmp_path / "a.jpg").size == (20, 30)


def test_a_class_of_ones_own():
    class Mine(PILImage):
        _open_args, _show_args = {"mode": "L"}, {"cmap": "gray"}

    class Ink(PILBase):
        _open_args = {"mode": "CMYK"}

    image = Mine.create(PHOTO)
    assert type(image) is Mine and image.mode == "L" and Mine.create(PHOTO, mode="RGB").mode == "RGB" and Ink.create(PHOTO).mode == "CMYK"


def test_masks_keep_their_numbers(tmp_path, ax):
    numbers = np.array([[0, 3], [7, 255]], dtype=np.uint8)
    indexed = Image.fromarray(numbers)
    indexed.putpalette(list(range(255, -1, -1)) * 3)
    indexed.save(tmp_path / "m.png")
    for raw in (
        numbers,
        torch.from_numpy(numbers).long(),
        TensorMask(torch.from_numpy(numbers).float()),
        tmp_path / "m.png",
        str(tmp_path / "m.png"),
    ):
        mask = PILMask.create(raw)
        assert type(mask) is PILMask and mask.mode == "L" and np.asarray(mask).tolist() == numbers.tolist()
    assert mask.show(ctx=ax) is ax and ax.images[0].get_cmap().name == "tab20" and PILMask.create(PHOTO).mode == "L"
    with pytest.raises(DataError, match="from 0 to 300"):
        PILMask.create(np.array([[0, 300]]))


def test_pictures_and_tensors_of_each_other():
    image = PILImage.create(PHOTO)
    assert to_image(image2tensor(image)).tobytes() == image.tobytes() and to_image(image) is image
    assert image2tensor(PILImageBW.create(PHOTO)).shape == (1, image.height, image.width) and to_image(torch.rand(1, 4, 5)).mode == "L"


def test_a_type_of_ones_own_made_of_pictures(ax):
    class Pair(fastuple):
        @classmethod
        def create(cls, files):
            return cls(tuple(PILImage.create(f) for f in files))

        def show(self, ctx=None, **kwargs):
            a, b = self
            return TensorImage(torch.cat([a, a.new_zeros(a.shape[0], a.shape[1], 10), b], dim=2)).show(ctx=ctx, **kwargs)

    from burnish.compat.data_transforms import ToTensor
    from burnish.compat.transform import Pipeline, Transform

    class Halved(Transform):
        def encodes(self, x: PILImage):
            return x.resize((40, 30))

    pair = Pipeline([Halved(), ToTensor()])(Pair.create([PHOTO, PHOTO]))
    assert type(pair) is Pair and [type(o) for o in pair] == [TensorImage, TensorImage] and pair.show(ctx=ax) is ax
    assert ax.images[0].get_array().shape == (30, 90, 3)
