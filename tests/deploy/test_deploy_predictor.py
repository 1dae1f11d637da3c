"""Predictor: an exported model, many inputs, a table."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from burnish.data.category import CategoryBlock
from burnish.data.datablock import DataBlock
from burnish.data.files import get_image_files
from burnish.data.label import parent_label
from burnish.data.notes import captured_notes
from burnish.data.number import RegressionBlock
from burnish.data.split import RandomSplitter
from burnish.deploy.predictor import Predictor
from burnish.errors import ModelFileError, SettingError
from burnish.train.learner import Learner
from burnish.vision.blocks import ImageBlock
from burnish.vision.dataloaders import ImageDataLoaders
from burnish.vision.learner import vision_learner
from burnish.vision.masks import MaskBlock
from burnish.vision.transforms import Resize


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    for name, colour in {"red": (200, 30, 30), "blue": (20, 40, 190)}.items():
        (root / name).mkdir()
        for i in range(6):
            Image.new("RGB", (40 + i, 36), tuple(c + 3 * i for c in colour)).save(root / name / f"{i}.png")
    return root


@pytest.fixture(scope="module")
def predictor(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    with captured_notes():
        dls = ImageDataLoaders.from_folder(folder, valid_pct=0.3, item_tfms=Resize(32), bs=4, device="cpu", num_workers=0)
    learn = vision_learner(dls, "resnet18", pretrained=False, seed=1, lin_ftrs=[16])
    return Predictor(learn.export(tmp_path_factory.mktemp("out") / "m.burnish"))


def test_one_item_gives_label_index_and_probabilities(predictor: Predictor, folder: Path) -> None:
    label, index, probs = predictor.predict(folder / "red" / "1.png")
    assert predictor.vocab == ["blue", "red"] and label == predictor.vocab[int(index)]
    assert float(probs.sum()) == pytest.approx(1, abs=1e-5)
    assert predictor(folder / "red" / "1.png").label == label


def test_the_table_has_a_row_an_item_in_their_order(predictor: Predictor, folder: Path) -> None:
    files = sorted(folder.glob("*/*.png"))[::-1]
    table = predictor.table(files)
    assert list(table.columns) == ["file", "label", "probability", "error"]
    assert table["file"].tolist() == [str(f) for f in files]
    for row in table.iloc[[0, 5, 11]].to_dict("records"):
        alone = predictor.predict(row["file"])
        assert row["label"] == alone.label and row["probability"] == pytest.approx(float(alone.probs.max()), abs=1e-5)


def test_all_probabilities_on_request(predictor: Predictor, folder: Path) -> None:
    table = predictor.table([folder / "red" / "0.png"], all_probabilities=True)
    assert table[["p(blue)", "p(red)"]].sum(axis=1).tolist() == pytest.approx([1], abs=1e-5)


def test_drawings_on_request(predictor: Predictor, folder: Path, tmp_path: Path) -> None:
    before = plt.get_fignums()
    table = predictor.table([folder / "red" / "0.png", folder / "none.png", folder / "blue" / "0.png"], drawings=tmp_path / "drawn")
    assert [Path(f).name if isinstance(f, str) else f for f in table["drawing"].fillna("")] == ["0.png", "", "0_2.png"]
    assert all(Image.open(f).width > 100 for f in table["drawing"].dropna()) and plt.get_fignums() == before


def test_what_others_made_is_not_written_over(predictor: Predictor, folder: Path, tmp_path: Path) -> None:
    """A folder of photographs, or of masks that somebody drew, given for the results."""
    before = {f: f.read_bytes() for f in folder.glob("red/*.png")}
    with pytest.raises(
        SettingError, match=r"6 of the pictures to write are in .* already and are no drawings of an earlier call, such as 0.png"
    ):
        predictor.table(sorted(folder.glob("red/*.png")), drawings=folder / "red")
    assert {f: f.read_bytes() for f in folder.glob("red/*.png")} == before
    photo = tmp_path / "photo.jpg"
    Image.new("RGB", (40, 36)).save(photo)
    with pytest.raises(
        SettingError, match="holds the pictures themselves, and whoever reads it next would take the drawings for more of them"
    ):
        predictor.table([photo], drawings=tmp_path)
    for _ in range(2):  # its own it makes again
        table = predictor.table([folder / "red" / "0.png"], drawings=tmp_path / "drawn")
    assert [f.name for f in (tmp_path / "drawn").iterdir()] == ["0.png"] and table["drawing"][0].endswith("0.png")
    with pytest.raises(SettingError, match="masks= is of a model that predicts masks"):
        predictor.table([folder / "red" / "0.png"], masks=tmp_path / "masks")


def test_several_targets_have_columns_each(folder: Path, tmp_path: Path) -> None:
    block = DataBlock(
        (ImageBlock, CategoryBlock, RegressionBlock), n_inp=1, get_items=get_image_files, get_y=[parent_label, lambda f: float(f.stem) / 2],
        item_tfms=Resize(32), splitter=RandomSplitter(0.3, seed=0),
    )  # fmt: skip
    with captured_notes():
        learn = vision_learner(block.dataloaders(folder, bs=4, device="cpu"), "resnet18", pretrained=False, seed=1, lin_ftrs=[16])
    both, item = Predictor(learn.export(tmp_path / "m.burnish")), folder / "red" / "1.png"
    table = both.table([item, folder / "none.png"], all_probabilities=True, drawings=tmp_path / "drawn")
    alone = both.predict(item)
    assert list(table.columns) == ["file", "label", "label probability", "number", "error", "p(label=blue)", "p(label=red)", "drawing"]
    assert (table["label"][0], table["number"][0]) == (alone.label[0], pytest.approx(alone.label[1], abs=1e-4))
    assert table["label probability"][0] == pytest.approx(float(alone.probs[0].max()), abs=1e-5)
    assert "none.png" in table["error"][1] and pd.isna(table["label"][1]) and Image.open(table["drawing"][0]).width > 100


def test_several_numbers_have_columns_each(folder: Path, tmp_path: Path) -> None:
    files = get_image_files(folder)
    rows = pd.DataFrame({"file": files, "area": [len(f.parent.name) / 2 for f in files], "error": [float(f.stem) / 2 for f in files]})
    with captured_notes():
        dls = ImageDataLoaders.from_df(
            rows, ".", label_col=["area", "error"], y_block=RegressionBlock, item_tfms=Resize(32), bs=4, device="cpu"
        )
        learn = vision_learner(dls, "resnet18", pretrained=False, seed=1, lin_ftrs=[16])
    two, item = Predictor(learn.export(tmp_path / "m.burnish")), folder / "red" / "1.png"
    table = two.table([item, folder / "none.png"])
    assert list(table.columns) == ["file", "number: area", "number: error", "error"], "the table has an error of its own"
    assert table.iloc[0, 1:3].tolist() == pytest.approx(two.predict(item).label, abs=1e-4)
    assert table.iloc[1, 1:3].isna().all() and "none.png" in table["error"][1] and table["error"][0] == ""
    two.learn.dls.target_blocks[0].names = ["area", "left"]
    assert list(two.table([item], all_probabilities=True).columns) == ["file", "area", "left", "error"]


def test_masks_and_drawings_beside_a_label(folder: Path, tmp_path: Path) -> None:
    """One model that tells of each picture its class, and a class for every pixel."""
    block = DataBlock(
        (ImageBlock, CategoryBlock, MaskBlock(["dark", "bright"])), n_inp=1, get_items=get_image_files,
        get_y=[parent_label, lambda f: np.arange(36 * (40 + int(f.stem))).reshape(36, -1) % 2], item_tfms=Resize(32), splitter=RandomSplitter(0.3, seed=0),
    )  # fmt: skip

    class Both(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.pixels, self.label = torch.nn.Conv2d(3, 2, 1), torch.nn.Linear(3, 2)

        def forward(self, x):
            return self.label(x.mean((2, 3))), self.pixels(x)

    with captured_notes():
        learn = Learner(block.dataloaders(folder, bs=4, device="cpu"), Both(), seed=0)
    both, items = object.__new__(Predictor), [folder / "red" / "1.png", folder / "blue" / "1.png"]
    both.learn = learn
    table = both.table(items, all_probabilities=True, masks=tmp_path / "masks", drawings=tmp_path / "drawn")
    assert {"label", "label probability", "mask: label", "p(label=red)", "mask", "drawing"} <= set(table.columns)
    assert [Image.open(f).size for f in table["mask"]] == [(41, 36)] * 2 and all(Image.open(f).width > 100 for f in table["drawing"])
    with pytest.raises(SettingError, match="masks= and drawings= are both"):
        both.table(items, masks=tmp_path / "one", drawings=tmp_path / "one")
    with pytest.raises(SettingError, match="are no drawings of an earlier call"):
        both.table(items, drawings=tmp_path / "masks")


@pytest.mark.parametrize("bad", [[0], [1], [0, 1, 2], [2]], ids=str)
def test_unreadable_items_are_named_and_the_others_predicted(predictor: Predictor, folder: Path, tmp_path: Path, bad: list[int]) -> None:
    (tmp_path / "broken.png").write_bytes(b"nothing")
    items: list[object] = [folder / "red" / f"{i}.png" for i in range(3)]
    for i in bad:
        items[i] = tmp_path / ("broken.png" if i < 2 else "missing.png")
    with captured_notes() as notes:
        table = predictor.table(items)
    assert [i for i, e in enumerate(table["error"]) if e] == bad
    assert all(str(items[i]) in table["error"][i] for i in bad)
    assert table["label"].isna().tolist() == [i in bad for i in range(3)]
    assert notes == []


def test_no_items_give_an_empty_table(predictor: Predictor) -> None:
    pd.testing.assert_frame_equal(predictor.table([]), pd.DataFrame(columns=["file", "label", "probability", "error"]))


def test_one_path_is_no_list(predictor: Predictor) -> None:
    with pytest.raises(SettingError, match=r"one item.*table\(\[item\]\)"):
        predictor.table("a.png")


def test_bytes_and_pictures_are_items_too(predictor: Predictor, folder: Path) -> None:
    path = folder / "red" / "2.png"
    table = predictor.table([path, path.read_bytes(), Image.open(path)])
    assert table["probability"].max() - table["probability"].min() < 1e-6
    assert table["file"].tolist()[1:] == ["<bytes>", "<PngImageFile>"]


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(b"PK\x03\x04....")
    with pytest.raises(ModelFileError, match="zip archive"):
        Predictor(tmp_path / "m")
