"""Transforms of the middle layer: labels, numbers, pictures, points and boxes, and back; chance in classes of one's own."""

from __future__ import annotations

import random

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from burnish.compat.data_transforms import AddMaskCodes, IntToFloatTensor, Normalize, ToTensor, broadcast_vec
from burnish.compat.label_transforms import Categorize, CategoryMap, EncodedMultiCategorize, MultiCategorize, OneHotEncode, RegressionSetup
from burnish.compat.picture_types import PILImage, PILImageBW, PILMask
from burnish.compat.place_transforms import BBoxLabeler, PointScaler, bb_pad, clip_remove_empty
from burnish.compat.rand_transform import RandTransform
from burnish.compat.tensors import TensorBBox, TensorCategory, TensorImage, TensorImageBW, TensorMask, TensorMultiCategory, TensorPoint
from burnish.compat.titled import Category, LabeledBBox, MultiCategory, TitledFloat, TitledTuple
from burnish.compat.torch_tools import get_c
from burnish.compat.transform import Pipeline, mk_transform
from burnish.data.label import AttrGetter, ColReader, ItemGetter
from burnish.errors import DataError, SettingError
from burnish.vision.augment_erase import imagenet_stats


def picture(w: int = 60, h: int = 40) -> PILImage:
    return PILImage.create(np.random.default_rng(0).integers(0, 255, (h, w, 3), dtype=np.uint8))


# -- labels -------------------------------------------------------------------------------------------------------------
def test_maps_of_labels():
    kinds = pd.Series(["b", "a"], dtype=pd.CategoricalDtype(["z", "b", "a"]))
    assert CategoryMap(["b", "a", "b"]) == ["a", "b"] and CategoryMap(["b", "a"], sort=False) == ["b", "a"]
    assert (
        CategoryMap(kinds) == ["z", "b", "a"]
        and CategoryMap(kinds, strict=True) == ["b", "a"]
        and CategoryMap([2.0, float("nan"), 1.0]) == [1, 2]
    )
    known = CategoryMap(["b", "a"], add_na=True)
    assert (
        list(known) == ["#na#", "a", "b"]
        and known.o2i["?"] == 0
        and known.map_objs(["b", "a"]) == [2, 1]
        and known.map_ids([torch.tensor(1)]) == ["a"]
        and known[torch.tensor(2)] == "b"
    )
    with pytest.raises(TypeError, match=r"several types \(int, str\).*sort=False"):
        CategoryMap([1, "a"])


def test_one_label():
    t = Categorize()
    t.setup(["dog", "cat", "dog"])
    assert t.vocab == ["cat", "dog"] and t.c == 2 and t.order == 1 and type(t.loss_func).__name__ == "CrossEntropyLossFlat"
    assert type(t("dog")) is TensorCategory and t("dog").item() == 1 and t("dog").dtype is torch.int64
    assert t.decode(t("dog")) == "dog" and type(t.decode(torch.tensor(0))) is Category
    assert (
        Categorize(["b", "a"]).vocab == ["a", "b"]
        and Categorize(["b", "a"], sort=False).vocab == ["b", "a"]
        and Categorize(["a"], add_na=True)("?").item() == 0
    )
    with pytest.raises(KeyError, match=r"'dgo' was not included in the training dataset: it has 'cat', 'dog'.*dog"):
        t("dgo")
    with pytest.raises(ValueError, match="knows no labels yet"):
        Categorize()("a")


def test_several_labels():
    pipe = Pipeline([MultiCategorize(), OneHotEncode()])

    class Lists(list):
        vocab = property(lambda self: pipe.vocab)

    pipe.setup(Lists([["b", "a"], ["c"], []]))
    made = pipe(["c", "a"])
    assert (
        type(made) is TensorMultiCategory
        and made.tolist() == [1, 0, 1]
        and pipe([]).tolist() == [0, 0, 0]
        and pipe.vocab == ["a", "b", "c"]
    )
    assert (
        type(pipe.decode(made)) is MultiCategory
        and list(pipe.decode(made)) == ["a", "c"]
        and MultiCategorize(["b", "a"]).vocab == ["b", "a"]
    )
    with pytest.raises(KeyError, match="'z' were not included"):
        pipe(["a", "z"])
    with pytest.raises(ValueError, match="OneHotEncode"), pytest.warns(UserWarning, match="Couldn't infer the number"):
        (t := OneHotEncode()).setup([])
        t([1])
    t = EncodedMultiCategorize(["b", "a"])
    assert (
        t([0, 1]).tolist() == [0, 1]
        and list(t.decode(t([1, 0]))) == ["b"]
        and t.c == 2
        and type(t.loss_func).__name__ == "BCEWithLogitsLossFlat"
    )


def test_numbers():
    one, two = RegressionSetup(), RegressionSetup()
    one.setup([1, 2])
    two.setup([[1, 2], [3, 4]])
    assert (one.c, two.c, RegressionSetup(5).c) == (1, 2, 5) and type(one.loss_func).__name__ == "MSELossFlat"
    assert (
        one(3).dtype is torch.float32
        and one.decode(one(3)) == 3.0
        and type(one.decode(one(3))) is TitledFloat
        and two.decode(two([1, 2])) == TitledTuple((1.0, 2.0))
    )


def test_getters_see_items_as_a_whole():
    row = pd.DataFrame({"a": [1], "b": ["x y"]}).itertuples(name="Row").__next__()
    assert mk_transform(ItemGetter(1))((3, 4)) == 4 and Pipeline([ColReader("b", label_delim=" ")])(row) == ["x", "y"]
    assert Pipeline([AttrGetter("size")])(picture()) == (60, 40) and mk_transform(ItemGetter(1)).decode(4) == 4


# -- pictures -------------------------------------------------------------------------------------------------------------
def test_pictures_become_floats_and_come_back():
    pipe = Pipeline([Normalize.from_stats(*imagenet_stats), IntToFloatTensor(), ToTensor()])
    assert [f.name for f in pipe.fs] == ["ToTensor", "IntToFloatTensor", "Normalize"]
    image, mask = picture(), PILMask.create(np.full((40, 60), 3, dtype=np.uint8))
    x, y, z = pipe((image, mask, TensorCategory(1)))
    assert (
        type(x) is TensorImage
        and x.shape == (3, 40, 60)
        and abs(x.mean()) < 1
        and type(y) is TensorMask
        and y.dtype is torch.int64
        and y.unique().tolist() == [3]
        and z.item() == 1
    )
    assert (pipe.decode((x, y, z))[0].float() - ToTensor()(image).float()).abs().max() <= 1
    assert type(ToTensor()(PILImageBW.create(image))) is TensorImageBW and IntToFloatTensor(div_mask=255)(
        TensorMask(torch.tensor([0, 255]))
    ).tolist() == [0, 1]


def test_normalize_learns_from_a_batch_and_is_known_everywhere():
    class Loader:
        def one_batch(self):
            return TensorImage(torch.rand(8, 3, 4, 4)), TensorCategory([0] * 8)

    t = Normalize()
    with pytest.raises(SettingError, match="no statistics"):
        t(TensorImage(torch.rand(1, 3, 2, 2)))
    t.setup(Loader())
    assert t.mean.shape == (1, 3, 1, 1) and torch.equal(t(torch.ones(2)), torch.ones(2))
    assert type(t.as_batch_transform()).__module__ == "burnish.vision.augment_erase" and t.parameters == ["mean", "std"]
    from burnish.tabular.procs import Procs

    assert Procs([Normalize]).normalize and Procs([Normalize()]).normalize and not Procs([]).normalize
    assert broadcast_vec(1, 4, [1, 2], cuda=False)[0].shape == (1, 2, 1, 1)


def test_masks_know_their_classes():
    t = AddMaskCodes(["sky", "road"])
    assert (
        t(TensorMask(torch.zeros(2, 2))).codes == ["sky", "road"]
        and t.c == 2
        and t.vocab == ["sky", "road"]
        and not hasattr(AddMaskCodes(), "c")
    )


def test_what_a_target_is_learned_with():
    assert (
        type(Pipeline([PILMask.create]).loss_func).__name__ == "CrossEntropyLossFlat"
        and type(mk_transform(TensorPoint.create).loss_func).__name__ == "MSELossFlat"
    )
    assert repr(Pipeline([PILImage.create, ToTensor()])) == "Pipeline: PILBase.create -> ToTensor" and not hasattr(
        mk_transform(PILImage.create), "loss_func"
    )


# -- points and boxes -----------------------------------------------------------------------------------------------------
def test_points_and_boxes_are_scaled_by_their_picture():
    t, image = PointScaler(), picture()
    x, points, boxes = t((image, TensorPoint.create([[0, 0], [30, 20], [60, 40]]), TensorBBox.create([0, 0, 30, 40])))
    assert (
        x is image
        and points.tolist() == [[-1, -1], [0, 0], [1, 1]]
        and boxes.tolist() == [[-1, -1, 0, 1]]
        and type(boxes) is TensorBBox
        and points.img_size == (60, 40)
    )
    back = t.decode((TensorImage(torch.rand(3, 20, 30)), points))  # of the picture as it is then
    assert back[1].tolist() == [[0, 0], [15, 10], [30, 20]] and PointScaler(y_first=True)((image, TensorPoint.create([[20, 60]])))[
        1
    ].tolist() == [[1, 0]]
    t.setup([(image, points)])
    assert t.c == 6
    with pytest.raises(DataError, match="without a picture"):
        PointScaler()(TensorPoint.create([1, 2]))


def test_boxes_of_a_batch():
    boxes, labels = TensorBBox(torch.tensor([[-1.5, -0.5, 0, 0], [1.1, 0, 1.5, 0.5]])), TensorMultiCategory([1, 2])
    kept = clip_remove_empty(boxes, labels)
    assert kept[0].tolist() == [[-1, -0.5, 0, 0]] and kept[1].tolist() == [1]
    made = bb_pad([("a", boxes, labels), ("b", TensorBBox(torch.tensor([[-1.0, -1, 0, 0], [0, 0, 1, 1]])), labels, "more")], pad_idx=9)
    assert (
        made[0][1].shape == made[1][1].shape == (2, 4)
        and made[0][2].tolist() == [1, 9]
        and made[0][1][1].tolist() == [0, 0, 0, 0]
        and made[1][3] == "more"
        and type(made[0][1]) is TensorBBox
    )
    t = BBoxLabeler()
    t.setup(type("Data", (), {"vocab": ["#na#", "a", "b"]}))
    shown = t.decode((1, boxes, labels))
    assert type(shown[2]) is LabeledBBox and shown[2].lbl == ["a", "b"] and shown[2].bbox is boxes


def test_outputs_that_data_asks_for():
    class Data:
        vocab = ["a", "b"]

    assert get_c(Data()) == 2
    Data.vocab = [["x"], CategoryMap(["a", "b", "c"])]
    assert get_c(Data()) == 3
    t = PointScaler()
    t.c = 8
    Data.train = type("Loader", (), {"after_item": Pipeline([t])})
    assert get_c(Data()) == 8


# -- chance ---------------------------------------------------------------------------------------------------------------
class Turned(RandTransform):
    def __init__(self, p: float = 0.5, **kwargs):
        super().__init__(p=p, **kwargs)

    def before_call(self, b, split_idx):
        super().before_call(b, split_idx)
        self.k = random.randint(1, 100)

    def encodes(self, x: PILImage):
        return Image.new("RGB", (self.k, 5))


def test_one_draw_for_a_whole_sample_in_training_alone():
    t, image = Turned(1.0), picture()
    a, b = t((image, image), split_idx=0)
    assert a.size == b.size == (t.k, 5) and type(a) is PILImage and t(image, split_idx=1) is image and t(image) is image
    assert Turned(0.0)(image, split_idx=0) is image and t.order == 0 and Turned(1.0, split_idx=None, order=3).order == 3
    random.seed(1)
    t = Turned(0.5)
    assert 20 < sum(t(image, split_idx=0) is not image for _ in range(100)) < 80
    plain = RandTransform(enc=lambda x: x + 1, before_call=lambda b, split_idx: None, nm="more")
    assert plain(1, split_idx=0) == 2 and plain.name == "more"
