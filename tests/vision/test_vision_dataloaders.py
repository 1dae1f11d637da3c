"""Every factory of ImageDataLoaders, and what it says about bad input."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from burnish.data.files import get_image_files
from burnish.data.notes import captured_notes
from burnish.errors import DataError, SettingError
from burnish.vision.dataloaders import ImageDataLoaders
from burnish.vision.transforms import Resize

OPTIONS = {"item_tfms": Resize(12), "bs": 4, "seed": 0, "device": "cpu"}


def fill(path, n=8, labels=("ant", "bee")):
    rng = np.random.default_rng(len(str(path)))
    for label in labels:
        (path / label).mkdir(parents=True)
        for i in range(n):
            Image.fromarray(rng.integers(0, 255, (14, 18, 3), dtype=np.uint8)).save(path / label / f"{label}_{i}.png")
    return path


@pytest.fixture
def folder(tmp_path):
    return fill(tmp_path / "all")


@pytest.fixture
def split_folder(tmp_path):
    for part in ("train", "valid", "test"):
        fill(tmp_path / part, 4)
    return tmp_path


def frame(folder):
    files = get_image_files(folder)
    return pd.DataFrame(
        {
            "name": [f.relative_to(folder).as_posix() for f in files],
            "label": [f.parent.name for f in files],
            "late": [i % 4 == 0 for i in range(len(files))],
        }
    )


FACTORIES = {
    "from_folder": lambda p, o: ImageDataLoaders.from_folder(p, valid_pct=0.25, **o),
    "from_path_func": lambda p, o: ImageDataLoaders.from_path_func(p, get_image_files(p), lambda f: f.parent.name, valid_pct=0.25, **o),
    "from_name_func": lambda p, o: ImageDataLoaders.from_name_func(p, get_image_files(p), lambda n: n.split("_")[0], valid_pct=0.25, **o),
    "from_path_re": lambda p, o: ImageDataLoaders.from_path_re(p, get_image_files(p), r"/(\w+)/[^/]+$", valid_pct=0.25, **o),
    "from_name_re": lambda p, o: ImageDataLoaders.from_name_re(p, get_image_files(p), r"^(\w+)_\d+", valid_pct=0.25, **o),
    "from_df": lambda p, o: ImageDataLoaders.from_df(frame(p), p, valid_pct=0.25, **o),
    "from_lists": lambda p, o: ImageDataLoaders.from_lists(
        p, get_image_files(p), [f.parent.name for f in get_image_files(p)], valid_pct=0.25, **o
    ),
    "from_csv": lambda p, o: (frame(p).to_csv(p / "labels.csv", index=False), ImageDataLoaders.from_csv(p, valid_pct=0.25, **o))[1],
}


@pytest.mark.parametrize("factory", FACTORIES)
def test_every_factory_gives_the_same_data(folder, factory):
    dls = FACTORIES[factory](folder, OPTIONS)
    assert (dls.train.n, dls.valid.n, dls.vocab) == (12, 4, ["ant", "bee"])
    x, y = dls.one_batch()
    assert x.shape == (4, 3, 12, 12) and x.dtype.is_floating_point and x.min() >= 0 and x.max() <= 1 and y.shape == (4,)
    assert [p.parent.name for p in map(type(folder), dls.table.image)] == dls.table.label.tolist()
    reference = FACTORIES["from_folder"](folder, OPTIONS)
    assert dls.table.split.tolist() == reference.table.split.tolist()


@pytest.mark.parametrize("factory", FACTORIES)
def test_every_factory_refuses_an_unknown_keyword(folder, factory):
    with pytest.raises(TypeError, match="shufle"):
        FACTORIES[factory](folder, {**OPTIONS, "shufle": False})


def test_folders_named_train_valid_and_test_are_the_splits(split_folder):
    dls = ImageDataLoaders.from_folder(split_folder, **OPTIONS)
    assert [dl.n for dl in dls] == [8, 8, 8]
    assert all(f.relative_to(split_folder).parts[0] == s for f, s in zip(dls.table.image, dls.table.split, strict=True))


def test_a_plain_folder_is_split_at_random_and_says_so(folder):
    with captured_notes() as notes:
        dls = ImageDataLoaders.from_folder(folder, **OPTIONS)
    assert dls.valid.n == 3 and any("a fifth of the pictures" in n for n in notes)


def test_a_column_can_say_the_split(folder):
    dls = ImageDataLoaders.from_df(frame(folder), folder, valid_col="late", **OPTIONS)
    assert dls.valid.n == 4


def test_grey_pictures(folder):
    dls = ImageDataLoaders.from_folder(folder, valid_pct=0.25, img_cls="L", **OPTIONS)
    assert dls.one_batch()[0].shape == (4, 1, 12, 12)


def test_models_do_not_go_beside_the_data(folder):
    assert ImageDataLoaders.from_folder(folder, valid_pct=0.25, **OPTIONS).path != folder


def test_bad_input(folder, tmp_path):
    with pytest.raises(FileNotFoundError):
        ImageDataLoaders.from_folder(tmp_path / "absent", **OPTIONS)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError):
        ImageDataLoaders.from_folder(tmp_path / "empty", **OPTIONS)
    with pytest.raises(FileNotFoundError, match="csv_fname"):
        ImageDataLoaders.from_csv(folder, "absent.csv", **OPTIONS)
    with pytest.raises(DataError, match=r"label_col='lable'.*Did you mean: label"):
        ImageDataLoaders.from_df(frame(folder), folder, label_col="lable", **OPTIONS)
    with pytest.raises(DataError, match="16 files and 3 labels"):
        ImageDataLoaders.from_lists(folder, get_image_files(folder), ["a"] * 3, **OPTIONS)
    with pytest.raises(SettingError, match="no class name"):
        ImageDataLoaders.from_lists(folder, get_image_files(folder), [0.5] * 16, **OPTIONS)
    with pytest.raises(SettingError, match="Several labels"):
        ImageDataLoaders.from_df(frame(folder), folder, label_delim=" ", **OPTIONS)


def test_pictures_are_drawn(folder):
    import matplotlib.pyplot as plt

    dls = FACTORIES["from_folder"](folder, OPTIONS)
    dls.show_batch(max_n=4)
    titles = [ax.get_title() for ax in plt.gcf().axes if ax.images]
    assert len(titles) == 4 and set(titles) <= {"ant", "bee"}
    dls.valid.show_batch(max_n=3, nrows=1)
    assert len([ax for ax in plt.gcf().axes if ax.images]) == 3
    plt.close("all")


def test_a_random_split_keeps_the_classes_shares(tmp_path):
    folder = fill(tmp_path / "many", 20, ("common",))
    fill(folder, 8, ("rare",))
    fill(folder, 1, ("single",))
    with captured_notes():
        dls = ImageDataLoaders.from_folder(folder, valid_pct=0.25, **OPTIONS)
    counts = dls.table.groupby(["label", "split"]).size().to_dict()
    assert counts[("common", "valid")] == 5 and counts[("rare", "valid")] == 2 and counts[("single", "train")] == 1
