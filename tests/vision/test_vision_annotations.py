"""Boxes as data: readers of COCO, VOC and tables, the factories, what is checked and refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from shapes import OPTIONS, N, make_shapes, write_coco

from burnish.data.notes import captured_notes
from burnish.data.split import RandomSplitter
from burnish.errors import DataError, SettingError, UnreadableFileError
from burnish.vision.annotations import annotated_coco, annotated_voc, get_annotations
from burnish.vision.boxes import BBoxLblBlock
from burnish.vision.detection import DetectionDataLoaders, detection_learner
from burnish.vision.transforms import Resize


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_shapes(tmp_path_factory.mktemp("shapes"))


FACTORIES = {
    "from_coco": lambda p, **o: DetectionDataLoaders.from_coco(p, images="JPEGImages", **o),
    "from_voc": lambda p, **o: DetectionDataLoaders.from_voc(p, **o),
    "from_df": lambda p, **o: DetectionDataLoaders.from_df(pd.read_csv(p / "boxes.csv"), p, folder="JPEGImages", **o),
    "from_csv": lambda p, **o: DetectionDataLoaders.from_csv(p, folder="JPEGImages", **o),
}


@pytest.mark.parametrize("factory", FACTORIES)
def test_every_factory_gives_the_same_data(folder, factory):
    with captured_notes() as notes:
        dls = FACTORIES[factory](folder, **OPTIONS)
    table = dls.table.assign(file=[f.name for f in dls.table.iloc[:, 0]]).set_index("file")
    first, expected = table.loc["002.jpg"].iloc[1], pd.read_csv(folder / "boxes.csv").query("file == '002.jpg'")
    assert np.allclose(first[0], expected[["x1", "y1", "x2", "y2"]]) and list(first[1]) == expected.label.tolist()
    assert dls.vocab == ["ball", "box"] and len(dls.table) == N and len(table.loc["000.jpg"].iloc[1][0]) == 0
    assert any("40 of 120 pictures have no XML file" in said for said in notes) == (factory == "from_voc")


def test_a_column_says_which_pictures_validate(folder):
    table = pd.read_csv(folder / "boxes.csv")
    number = table.file.str[:3].astype(int)
    told = table.assign(side=np.where(number % 4 == 0, "valid", np.where(number % 4 == 1, "test", "train")))
    with captured_notes():
        dls = DetectionDataLoaders.from_df(told, folder, folder="JPEGImages", valid_col="side", **OPTIONS)
    with captured_notes():  # written in two ways
        mixed = told.assign(side=[s.title() if i % 2 else s for i, s in enumerate(told.side)]).convert_dtypes()
        again = DetectionDataLoaders.from_df(mixed, folder, folder="JPEGImages", valid_col="side", **OPTIONS)
    assert again.table.split.tolist() == dls.table.split.tolist()
    for remainder, split in ((0, "valid"), (1, "test"), (2, "train"), (3, "train")):
        assert {s for f, s in zip(dls.table.image, dls.table.split, strict=True) if int(f.stem) % 4 == remainder} == {split}
    split_in_two = told.assign(side=["valid", *["train"] * (len(told) - 1)])
    two = split_in_two.file[split_in_two.file.duplicated()].iloc[0]
    split_in_two.loc[split_in_two.index[split_in_two.file == two][0], "side"] = "valid"
    for wrong, options, said in (
        (told, {"valid_col": "sides"}, "valid_col='sides': the table has no such column.*Did you mean: side"),
        (told, {"valid_col": "side", "test_pct": 0.1}, "valid_col='side' and test_pct=0.1 were both given"),
        (told, {"valid_col": "side", "splitter": RandomSplitter()}, "valid_col= and splitter= were both given"),
        (split_in_two, {"valid_col": "side"}, f"puts {two} on the side 'train', and a row before it on 'valid'"),
        (
            told.assign(side="maybe"),
            {"valid_col": "side"},
            rf"The column 'side' has {len(told)} value.s. that don't say which side .*'maybe'",
        ),
        (told.convert_dtypes().assign(side=[pd.NA, *told.side[1:]]), {"valid_col": "side"}, r"The column 'side' has 1 value.*positions 0"),
    ):
        with pytest.raises((DataError, SettingError), match=said):
            DetectionDataLoaders.from_df(wrong, folder, folder="JPEGImages", **options, **OPTIONS)


def test_boxes_too_small_to_be_found_are_told(folder):
    for size, told in ((96, False), (24, True)):
        with captured_notes():
            dls = DetectionDataLoaders.from_csv(folder, folder="JPEGImages", **{**OPTIONS, "item_tfms": Resize(size, "squish")})
        with captured_notes() as notes:
            detection_learner(dls, "resnet18", pretrained=False)
        small = [note for note in notes if "as the model sees them" in note]
        assert bool(small) == told and all("in pictures of 24 x 24" in note and "finest=4" in note for note in small)


def test_the_labels_of_boxes_are_checked(folder):
    table = pd.read_csv(folder / "boxes.csv")
    table.loc[table.index[table.label == "ball"][:3], "label"] = "Ball"
    with captured_notes() as notes:
        dls = DetectionDataLoaders.from_df(table, folder, folder="JPEGImages", **OPTIONS)
    found = dls.check().issues
    said = found.message[found.kind == "similar_labels"].tolist()
    assert len(said) == 1 and "'Ball' (2 rows)" in said[0] and any("written in more than one way" in note for note in notes)
    rare = pd.read_csv(folder / "boxes.csv")
    rare.loc[rare.label == "ball", "label"] = np.where(np.arange((rare.label == "ball").sum()) < 5, "ball", "box")
    with captured_notes():
        found = DetectionDataLoaders.from_df(rare, folder, folder="JPEGImages", **OPTIONS).check().issues
        advice = found.advice[found.kind == "imbalance"].tolist()
        assert len(advice) == 1 and "balance" not in advice[0], "which boxes don't have"
        dls = DetectionDataLoaders.from_df(table, folder, folder="JPEGImages", label_col=None, **OPTIONS)
    assert not set(dls.check().issues.kind) & {"one_class", "similar_labels"}, "of one kind there is nothing to compare"


def test_annotations_as_people_read_them(folder):
    files, told = get_annotations(folder / "annotations.json", prefix="train/")
    assert len(files) == len(told) == 80 and files[0] == "train/001.jpg"
    boxes, labels = told[0]
    assert len(boxes[0]) == 4 and labels[0] in ("ball", "box")


def _coco(tmp_path, **changed):
    table = pd.DataFrame([("a.jpg", 1, 2, 11, 22, "ball")], columns=["file", "x1", "y1", "x2", "y2", "label"])
    file = tmp_path / "coco.json"
    told = write_coco(table, file)
    one = told["annotations"][0]
    write_coco(table, file, **{k: v(one) if callable(v) else v for k, v in changed.items()})
    return annotated_coco(file)


COCO = {
    "category": ({"annotations": lambda a: [{**a, "category_id": 5}]}, DataError, r"of the category 5, which is none of its categories: 7 \(ball\), 31 \(box\)"),
    "image": ({"annotations": lambda a: [{**a, "image_id": 5}]}, DataError, "of the image 5, which isn't among its 1 images"),
    "size": ({"annotations": lambda a: [{**a, "bbox": [5, 5, -3, 4]}]}, DataError, r"a.jpg\) is -3 x 4 pixels"),
    "numbers": ({"annotations": lambda a: [{**a, "bbox": [5, 5, 3]}]}, DataError, "four numbers were expected"),
    "no lists": ({"annotations": {}, "categories": None}, DataError, "no list 'annotations', 'categories'"),
    "no names": ({"categories": [{"id": 7}]}, DataError, r"categories\[0\] has no 'id', 'name'"),
}  # fmt: skip


@pytest.mark.parametrize("name", COCO)
def test_what_is_wrong_with_coco_is_said(tmp_path, name):
    changed, error, said = COCO[name]
    with pytest.raises(error, match=said):
        _coco(tmp_path, **changed)


def test_crowds_are_left_out_and_files_that_are_none_are_told(tmp_path):
    with captured_notes() as notes:
        assert _coco(tmp_path, annotations=lambda a: [a, {**a, "iscrowd": 1}])[0].boxes == [(1.0, 2.0, 11.0, 22.0)]
    assert "1 region(s) of crowds" in notes[0]
    (tmp_path / "x.json").write_text("{nothing")
    with pytest.raises(UnreadableFileError, match=r"x\.json is no JSON"):
        annotated_coco(tmp_path / "x.json")
    (tmp_path / "list.json").write_text("[1]")
    with pytest.raises(DataError, match="it has a list"):
        annotated_coco(tmp_path / "list.json")
    with pytest.raises(FileNotFoundError, match="no file"):
        annotated_coco(tmp_path / "nowhere.json")
    with pytest.raises(FileNotFoundError, match="no folder"):
        annotated_voc(tmp_path / "nowhere", tmp_path)


def test_what_is_wrong_with_tables_and_folders_is_said(folder, tmp_path):
    table = pd.read_csv(folder / "boxes.csv")
    bad = {
        "row 1 of the table .* has no 'x2'": table.assign(x2=table.x2.where(table.index != 1)),
        "no column 'label'. It has": table.rename(columns={"label": "kind"}),
        "names no picture": table.assign(file=table.file.where(table.index != 3)),
    }
    for said, frame in bad.items():
        with captured_notes(), pytest.raises(DataError, match=f"(?i){said}"):
            DetectionDataLoaders.from_df(frame, folder, folder="JPEGImages")
    with pytest.raises(FileNotFoundError, match="None of the 120 pictures of the annotations is there"):
        DetectionDataLoaders.from_df(table, tmp_path)
    with pytest.raises(FileNotFoundError, match="1 of 121 pictures of the annotations aren't there"):
        DetectionDataLoaders.from_df(pd.concat([table, table.head(1).assign(file="x.jpg")]), folder, folder="JPEGImages")
    with pytest.raises(SettingError, match="four columns"):
        DetectionDataLoaders.from_df(table, folder, box_cols=["x1"])
    sizes = table.rename(columns={"x2": "box_w", "y2": "box_h"})
    with pytest.raises(DataError, match=r"the last two are sizes. Add the columns: df\['x2'\]"):
        DetectionDataLoaders.from_df(sizes, folder, box_cols=("x1", "y1", "box_w", "box_h"), folder="JPEGImages")
    with pytest.raises(TypeError, match="item_tfm"):
        DetectionDataLoaders.from_df(table, folder, folder="JPEGImages", item_tfm=None)


# -- network and loss -----------------------------------------------------------------------------------------------------


def test_pictures_of_another_size_than_their_annotations_are_refused(tmp_path):
    table = pd.DataFrame(
        [("a.jpg", 1, 2, 11, 22, "ball"), ("b.jpg", 1, 2, 11, 22, "ball")], columns=["file", "x1", "y1", "x2", "y2", "label"]
    )
    write_coco(table, tmp_path / "annotations.json")
    for name in ("a.jpg", "b.jpg"):
        Image.new("RGB", (96, 72)).save(tmp_path / name)
    with captured_notes():
        assert len(DetectionDataLoaders.from_coco(tmp_path, valid_pct=0.5, item_tfms=Resize(32)).table) == 2
    Image.new("RGB", (48, 36)).save(tmp_path / "b.jpg")
    with pytest.raises(
        DataError, match=r"1 of 2 pictures .*b.jpg: 48 x 36 pixels, and 96 x 72 in the annotations. Its boxes would be in the wrong places"
    ):
        DetectionDataLoaders.from_coco(tmp_path, item_tfms=Resize(32))
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (96, 72)).save(tmp_path / "b.jpg", exif=exif)
    with pytest.raises(
        DataError, match="72 x 96 pixels, and 96 x 72 in the annotations, which is its size before its EXIF orientation turns it"
    ):
        DetectionDataLoaders.from_coco(tmp_path, item_tfms=Resize(32))


def test_the_way_boxes_are_written_is_said_once_and_rightly(folder):
    with captured_notes(), pytest.raises(SettingError, match="A COCO file says itself how boxes are written"):
        DetectionDataLoaders.from_coco(folder, images="JPEGImages", bbox=BBoxLblBlock(format="xywh"), **OPTIONS)
    table = pd.read_csv(folder / "boxes.csv")
    sized = table.assign(w=table.x2 - table.x1, h=table.y2 - table.y1)
    with captured_notes():
        dls = DetectionDataLoaders.from_df(
            sized, folder, folder="JPEGImages", box_cols=("x1", "y1", "w", "h"), bbox=BBoxLblBlock(format="xywh"), **OPTIONS
        )
        same = DetectionDataLoaders.from_df(table, folder, folder="JPEGImages", **OPTIONS)
    assert torch.equal(dls.valid.one_batch()[1], same.valid.one_batch()[1])
    with pytest.raises(DataError, match=r"by their names they are in another order: .'xmin', 'ymin', 'xmax', 'ymax'."):
        DetectionDataLoaders.from_df(
            table.rename(columns={"x1": "xmin", "x2": "xmax", "y1": "ymin", "y2": "ymax"}),
            folder,
            box_cols=("xmin", "xmax", "ymin", "ymax"),
            **OPTIONS,
        )


def test_a_box_that_is_wrong_names_its_picture(folder):
    table = pd.read_csv(folder / "boxes.csv")
    table.loc[table.index[3], ["x2", "y2"]] = (500, 500)
    with captured_notes(), pytest.raises(DataError, match=rf"{table.file[3]}: Box \d+, .* is outside of a picture of 96 x 72 pixels"):
        dls = DetectionDataLoaders.from_df(table, folder, folder="JPEGImages", **OPTIONS)
        for dl in (dls.train, dls.valid):
            list(dl)
