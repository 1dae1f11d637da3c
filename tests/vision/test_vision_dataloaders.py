"""Every factory of ImageDataLoaders, and what it says about bad input."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from burnish.data.files import get_image_files
from burnish.data.multicategory import MultiCategoryBlock
from burnish.data.notes import captured_notes
from burnish.data.number import RegressionBlock
from burnish.errors import DataError, SettingError
from burnish.vision.blocks import ImageBlock
from burnish.vision.dataloaders import ImageDataLoaders
from burnish.vision.detection import DetectionDataLoaders
from burnish.vision.segmentation import SegmentationDataLoaders
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


def test_12_bit_pictures_are_told_and_read_by_a_block_of_ones_own(tmp_path):
    for label in ("ant", "bee"):
        (tmp_path / label).mkdir()
        for i in range(8):
            pixels = np.random.default_rng(i).integers(0, 4096, (14, 14)).astype(np.uint16)
            Image.fromarray(pixels).save(tmp_path / label / f"{i}.png")
    with captured_notes() as notes:
        dls = ImageDataLoaders.from_folder(tmp_path, **OPTIONS)
    assert any("few shades" in n for n in notes) and "ImageBlock(white=4095)" in repr(dls.check())
    with captured_notes() as notes:
        dls = ImageDataLoaders.from_folder(tmp_path, img_cls=ImageBlock("L", white=4095), **OPTIONS)
    assert not any("few shades" in n for n in notes) and "white=4095" not in repr(dls.check())
    assert dls.one_batch()[0].max() > 0.9


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
    with pytest.raises(SettingError, match="a fraction, and others are no numbers"):
        ImageDataLoaders.from_lists(folder, get_image_files(folder), [0.5, "ant"] * 8, **OPTIONS)


SEVERAL = {
    "a delimiter": ({"tags": ["small;wing", "wing"] * 8}, {"label_col": "tags", "label_delim": ";"}),
    "lists": ({"tags": [["small", "wing"], ["wing"]] * 8}, {"label_col": "tags"}),
    "columns of labels": ({"a": ["wing"] * 16, "b": ["small", None] * 8}, {"label_col": ["a", "b"]}),
    "columns of 0 and 1": ({"small": [1, 0] * 8, "wing": [True] * 16}, {"label_col": ["small", "wing"]}),
}


@pytest.mark.parametrize("how", SEVERAL)
def test_several_labels_a_picture(folder, how):
    columns, said = SEVERAL[how]
    with captured_notes():
        dls = ImageDataLoaders.from_df(pd.DataFrame({"name": frame(folder)["name"], **columns}), folder, **said, **OPTIONS)
    assert dls.vocab == ["small", "wing"] and isinstance(dls.target_blocks[0], MultiCategoryBlock)
    assert dls.targets_of("train")[0][:, 1].all() and 0 < dls.targets_of("train")[0][:, 0].mean() < 1
    assert dls.one_batch()[1].dtype == torch.float32


def test_fractions_are_numbers_to_predict(folder):
    with captured_notes() as notes:
        dls = ImageDataLoaders.from_lists(folder, get_image_files(folder), [i / 4 for i in range(16)], **OPTIONS)
    assert isinstance(dls.target_blocks[0], RegressionBlock) and "taken as numbers" in notes[0]
    two = pd.DataFrame({"name": frame(folder)["name"], "x": range(16), "y": range(16, 0, -1)})
    dls = ImageDataLoaders.from_df(two, folder, label_col=["x", "y"], y_block=RegressionBlock, **OPTIONS)
    assert dls.one_batch()[1].shape[1:] == (2,) and dls.c == 2


def test_pictures_are_drawn(folder):
    import matplotlib.pyplot as plt

    dls = FACTORIES["from_folder"](folder, OPTIONS)
    dls.show_batch(max_n=4)
    titles = [ax.get_title() for ax in plt.gcf().axes if ax.images]
    assert len(titles) == 4 and set(titles) <= {"ant", "bee"}
    dls.valid.show_batch(max_n=3, nrows=1)
    assert len([ax for ax in plt.gcf().axes if ax.images]) == 3
    plt.close("all")


@pytest.mark.parametrize(
    ("options", "shown", "places"),
    [
        ({"nrows": 2, "ncols": 2}, 4, 4),
        ({"nrows": 2, "ncols": 4, "max_n": 5}, 8, 8),
        ({"nrows": 4, "ncols": 4}, 12, 16),
        ({"nrows": 2, "ncols": 2, "unique": True}, 4, 4),
        ({"ncols": 2, "max_n": 5}, 5, 6),
        ({"nrows": 2, "max_n": 5}, 5, 6),
    ],
)
def test_a_grid_shows_as_many_as_it_has_places(folder, options, shown, places):
    import matplotlib.pyplot as plt

    dls = FACTORIES["from_folder"](folder, {**OPTIONS, "bs": 12})
    dls.show_batch(**options)
    axes = plt.gcf().axes
    assert len(axes) == places and sum(bool(ax.images) for ax in axes) == shown
    plt.close("all")
    with pytest.raises(SettingError, match="nrows=0: a whole number of at least 1"):
        dls.show_batch(nrows=0)


def test_results_fill_an_explicit_grid(folder):
    import matplotlib.pyplot as plt

    from burnish.evaluate.interpret import ClassificationInterpretation
    from burnish.train.learner import Learner

    dls = ImageDataLoaders.from_folder(folder, valid_pct=0.75, **OPTIONS)
    learn = Learner(dls, nn.Sequential(nn.Flatten(), nn.LazyLinear(2)))
    learn.show_results(nrows=2, ncols=5)
    assert sum(bool(ax.images) for ax in plt.gcf().axes) == 10
    interp = ClassificationInterpretation.from_learner(learn)
    interp.plot_top_losses(nrows=2, ncols=2)
    assert sum(bool(ax.images) for ax in plt.gcf().axes) == 4
    plt.close("all")


def extent(artist, figure):
    """What an artist takes up of a figure: left, bottom, right, top, as shares."""
    box = artist.get_window_extent(figure.canvas.get_renderer())
    return figure.transFigure.inverted().transform(box).ravel()


@pytest.mark.parametrize("options", [{}, {"nrows": 1, "ncols": 4}, {"figsize": (5, 2.5), "ncols": 2, "max_n": 4}, {"ncols": 1, "max_n": 1}])
def test_long_names_fit_their_cells(tmp_path, options):
    import matplotlib.pyplot as plt

    from burnish.evaluate.interpret import ClassificationInterpretation
    from burnish.train.learner import Learner

    names = [f"Carabus violaceus subsp. purpurascens (Fabricius, 1787)_{i}" for i in (13, 14)]
    dls = ImageDataLoaders.from_folder(fill(tmp_path, 6, names), valid_pct=0.5, **OPTIONS)
    learn = Learner(dls, nn.Sequential(nn.Flatten(), nn.LazyLinear(2)))
    interp = ClassificationInterpretation.from_learner(learn)
    for draw in (dls.show_batch, learn.show_results, lambda max_n=9, **o: interp.plot_top_losses(max_n, **o)):
        draw(**options)
        figure = plt.gcf()
        figure.canvas.draw()
        boxes = [extent(ax.title, figure) for ax in figure.axes if ax.images]
        for left, bottom, right, top in boxes:
            assert left >= 0 and right <= 1 and bottom >= 0 and top <= 1
            assert not [b for b in boxes if b[0] < left < b[2] and b[1] < (bottom + top) / 2 < b[3]], "they overlap"
        said = [line for ax in figure.axes for line in ax.get_title().splitlines()]
        assert any(line.startswith(("Carab", "predicted Carab")) and "…" in line for line in said)
        assert all("_13" in line or "_14" in line for line in said if not line.startswith("loss"))
        plt.close("all")


def test_rows_of_pictures_stay_together(folder):
    import matplotlib.pyplot as plt

    dls = FACTORIES["from_folder"](folder, OPTIONS)
    dls.show_batch(figsize=(7, 9), nrows=2, ncols=2)
    figure = plt.gcf()
    figure.canvas.draw()
    upper, lower = (figure.axes[i].get_position() for i in (0, 2))
    assert (upper.y0 - lower.y1) * 9 < 0.5, "inches between two rows: a title's height"
    plt.close("all")


def test_validation_shows_pictures_from_all_over_the_split(split_folder):
    import matplotlib.pyplot as plt

    dls = ImageDataLoaders.from_folder(split_folder, **OPTIONS)
    dls.valid.show_batch(max_n=3, nrows=1)
    assert [ax.get_title() for ax in plt.gcf().axes] == ["ant", "bee", "bee"], "the rows are in the order of the folders"
    plt.close("all")


def test_a_random_split_keeps_the_classes_shares(tmp_path):
    folder = fill(tmp_path / "many", 20, ("common",))
    fill(folder, 8, ("rare",))
    fill(folder, 1, ("single",))
    with captured_notes():
        dls = ImageDataLoaders.from_folder(folder, valid_pct=0.25, **OPTIONS)
    counts = dls.table.groupby(["label", "split"]).size().to_dict()
    assert counts[("common", "valid")] == 5 and counts[("rare", "valid")] == 2 and counts[("single", "train")] == 1


# -- folders called like the sides of a split ----------------------------------------------------------------------
def folders(root, *names):
    for name in names:
        fill(root / name, 5)
    return root


def flat(path, n=3):
    path.mkdir(parents=True)
    for i in range(n):
        Image.new("RGB", (14, 18), (i * 40, 9, 9)).save(path / f"{i}.png")


def sides(path, **options):
    """Which folders the pictures of each side are from, how many, and what was noted."""
    with captured_notes() as notes:
        dls = ImageDataLoaders.from_folder(path, **{**OPTIONS, **options})
    found = {}
    for file, split in zip(dls.table.image, dls.table.split, strict=True):
        counts = found.setdefault(split, {})
        folder = file.relative_to(path).parts[0]
        counts[folder] = counts.get(folder, 0) + 1
    return found, " ".join(notes)


@pytest.mark.parametrize(
    "names",
    [
        ("train", "val"),
        ("training", "validation"),
        ("Train", "Dev"),
        ("TRAIN", "Val", "holdout"),
        ("seg_train", "seg_val"),
        ("train set", "valid set", "test set"),
    ],
)
def test_usual_names_of_folders_are_the_splits(tmp_path, names):
    found, notes = sides(folders(tmp_path, *names))
    assert found == {split: {name: 10} for split, name in zip(("train", "valid", "test"), names, strict=False)}
    assert "at random" not in notes


@pytest.mark.parametrize("test", ["test", "Testing", "eval", "hold-out"])
def test_train_and_test_folders_draw_validation_from_train_alone(tmp_path, test):
    found, notes = sides(folders(tmp_path, "train", test))
    assert found == {"train": {"train": 8}, "valid": {"train": 2}, "test": {test: 10}}
    assert "no folder 'valid': a fifth of the pictures in 'train'" in notes


def test_a_test_folder_beside_class_folders_is_held_out(tmp_path):
    fill(tmp_path)
    found, _ = sides(folders(tmp_path, "test"))
    assert found["test"] == {"test": 10} and set(found["train"]) == set(found["valid"]) == {"ant", "bee"}


@pytest.mark.parametrize("beside", [("train", "valid"), ("train",), ("",)])
def test_pictures_without_class_folders_are_left_out_and_can_be_predicted_on(tmp_path, beside):
    folders(tmp_path, *beside)
    flat(tmp_path / "test")
    found, notes = sides(tmp_path)
    assert "test" not in found and not any("test" in counts for counts in found.values())
    assert "3 picture(s) in 'test'" in notes and "dls.test_dl(get_image_files(" in notes


def test_a_test_folder_with_one_folder_for_all_is_unlabelled(tmp_path):
    folders(tmp_path, "train", "val")
    flat(tmp_path / "test" / "unknown")
    found, notes = sides(tmp_path)
    assert (
        found == {"train": {"train": 10}, "valid": {"val": 10}}
        and "3 picture(s) in 'test' are in no folder of a class that trains" in notes
    )
    with pytest.raises(DataError, match="'unknown'"):
        sides(tmp_path, test="test")


def test_folders_doubled_by_unpacking(tmp_path):
    found, _ = sides(folders(tmp_path, "train/train", "test/test"))
    assert found == {"train": {"train": 8}, "valid": {"train": 2}, "test": {"test": 10}}


@pytest.mark.parametrize("classes", [("control", "test"), ("car", "train")])
def test_a_class_may_be_called_like_the_side_it_is_in(tmp_path, classes):
    for side in ("train", "test"):
        fill(tmp_path / side, 6, classes)
    found, notes = sides(tmp_path)
    assert found["test"] == {"test": 12} and found["train"]["train"] + found["valid"]["train"] == 12 and "left out" not in notes


def test_words_in_the_names_of_classes_make_no_sides(tmp_path):
    folders(tmp_path, "bullet train", "bus")
    assert set(sides(tmp_path)[0]["train"]) == {"bullet train", "bus"}


def test_pictures_beside_class_folders_have_no_label(tmp_path):
    flat(fill(tmp_path / "all", 10) / "loose")
    for file in (tmp_path / "all" / "loose").iterdir():
        file.rename(tmp_path / "all" / file.name)
    found, notes = sides(tmp_path / "all")
    assert sum(map(sum, (c.values() for c in found.values()))) == 20 and "3 picture(s)" in notes and "'.' (3)" in notes


def test_folders_beside_the_sides_are_left_out_and_named(tmp_path):
    folders(tmp_path, "train", "val", "spare")
    found, notes = sides(tmp_path)
    assert found == {"train": {"train": 10}, "valid": {"val": 10}} and "10 picture(s)" in notes and "'spare/ant' (5)" in notes


def test_classes_may_be_called_train_or_test(tmp_path):
    fill(tmp_path / "vehicles", 6, ("bus", "train"))
    assert set(sides(tmp_path / "vehicles")[0]["train"]) == {"bus", "train"}
    fill(tmp_path / "trial", 6, ("control", "test"))
    assert set(sides(tmp_path / "trial")[0]["train"]) == {"control", "test"}


def test_a_class_called_like_a_held_out_side_among_other_words_is_said(tmp_path):
    fill(tmp_path, 6, ("cat", "dog", "test_images", "test tubes"))
    found, notes = sides(tmp_path)
    assert set(found["train"]) == {"cat", "dog", "test_images", "test tubes"}
    assert "'test_images', with 6 picture(s), is taken for a class" in notes and "'cat', with" not in notes


def test_explicit_folders_win(tmp_path):
    folders(tmp_path, "train", "val", "test", "north", "south")
    assert sides(tmp_path, train="north", valid="south")[0] == {"train": {"north": 10}, "valid": {"south": 10}, "test": {"test": 10}}
    assert sides(tmp_path, valid="test")[0] == {"train": {"train": 10}, "valid": {"test": 10}}


def test_a_folder_beside_classes_is_held_out_when_named(tmp_path):
    assert sides(folders(tmp_path, "", "test_images"), test="test_images")[0]["test"] == {"test_images": 10}


def test_valid_pct_draws_from_all_but_the_test_folder(tmp_path):
    found, notes = sides(folders(tmp_path, "train", "val", "test"), valid_pct=0.5)
    assert sum(found["train"].values()) == sum(found["valid"].values()) == 10 and found["test"] == {"test": 10}
    assert "'val' too" in notes


def test_test_pct_draws_from_train_and_never_beside_a_test_folder(tmp_path):
    found, _ = sides(folders(tmp_path / "two", "train", "valid"), test_pct=0.3)
    assert found == {"train": {"train": 7}, "valid": {"valid": 10}, "test": {"train": 3}}
    fill(tmp_path / "none", 10)
    assert sum(sides(tmp_path / "none", test_pct=0.3)[0]["test"].values()) == 6
    with pytest.raises(SettingError, match=r"test_pct=0.3 asks for a random test split, but the folder 'test'.*Leave test_pct out"):
        sides(folders(tmp_path / "three", "train", "test"), test_pct=0.3)


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        (("train", "val"), {"valid": "vall"}, r"valid='vall' names a folder .* that isn't there.*Did you mean: val"),
        (("train", "val", "dev"), {}, r"several folders that may be the valid side: 'dev', 'val'. Say which is: valid='dev'"),
        (("val", "test"), {}, "nothing to train on, only held-out pictures: 'val' .valid., 'test' .test."),
        (("data/train_set", "data/test_set"), {}, r"'data/test_set' .* too deep .* Give the folder that holds it: '.*data'"),
        (("old/old/train_set", "old/old/test_set"), {}, r"'old/old/test_set' .* too deep .* holds it: '.*old/old'"),
        (("", "test_images"), {}, r"'test_images' .* mix it with what trains. If it is held out, say test='test_images'"),
        (("train/deep", "val"), {}, "'train' in .* has no picture directly in a class folder"),
    ],
)
def test_folders_that_cannot_be_told_apart(tmp_path, names, options, message):
    with pytest.raises(DataError, match=message):
        sides(folders(tmp_path, *names), **options)


def test_sides_that_would_become_classes_are_refused(tmp_path):
    flat(tmp_path / "train")
    flat(tmp_path / "test")
    with pytest.raises(DataError, match="would be the classes, are 'test', 'train': sides of a split"):
        sides(tmp_path)
    with pytest.raises(DataError, match=r"valid='train' names a folder .* that holds no pictures in class folders"):
        sides(tmp_path, valid="train")
    folders(tmp_path / "both", "train", "val")
    with pytest.raises(SettingError, match="can't be two sides"):
        sides(tmp_path / "both", train="val", valid="val")


def test_whole_numbers_of_a_table_stay_whole(folder):
    for i in range(8):
        Image.new("RGB", (14, 14), (30 * i, 0, 0)).save(folder / f"{i}.jpg")
    df = pd.DataFrame({"id": range(8), "label": [3, 4] * 4, "weight": np.linspace(0, 1, 8)})
    dls = ImageDataLoaders.from_df(df, folder, suff=".jpg", valid_pct=0.25, **OPTIONS)
    assert dls.vocab == [3, 4] and all(type(v) is int for v in dls.table.label)
    assert dls.table.image[0].name == "0.jpg"


def _written(table, folder, **how):
    table.to_csv(folder / "labels.csv", **{"index": False, **how})


@pytest.mark.parametrize(
    ("write", "error", "message"),
    [
        (lambda t, p: _written(t, p, header=False), DataError, r"looks like data, for 'ant/\w+\.png' is a picture there.*header=None"),
        (lambda t, p: _written(t, p, sep=";"), DataError, r"read as one column.*separated by ';'. Pass delimiter=';'"),
        (lambda t, p: _written(t, p, sep="\t"), DataError, r"delimiter='\\t'"),
        (lambda t, p: _written(t, p, index=True), DataError, r"fn_col=1, label_col=2, or write the file with df.to_csv\(index=False\)"),
        (lambda t, p: _written(t.assign(label=1.0), p), DataError, r"there is nothing to predict"),
    ],
    ids=["no header", "semicolons", "tabs", "index", "numbers"],
)  # fmt: skip
def test_a_csv_that_is_written_otherwise_is_told(folder, write, error, message):
    write(frame(folder)[["name", "label"]], folder)
    with pytest.raises(error, match=message):
        ImageDataLoaders.from_csv(folder, **OPTIONS)


BY_CSV = {"labels.csv": ImageDataLoaders, "masks.csv": SegmentationDataLoaders, "boxes.csv": DetectionDataLoaders}


@pytest.mark.parametrize("name", BY_CSV)
@pytest.mark.parametrize(
    ("written", "message"),
    [
        (
            b"file,label\na.png,ant\nb.png,bee\nc.png,bee\nd.png,ant,big\n",
            r"{}, line 5: it has 3 cells, and 2 were expected.*quotation marks",
        ),
        (b"file,label\na.png,ant,big\nb.png,bee,small\n", r"{}, line 2: it has 3 cells, and the first line has 2 names \(file, label\)"),
        (b"file;label\n1;ant\n1,5;bee\n1,2,3;ant\n", r"{}.*(sep|delimiter)=';'|{}, line 2"),
        (b"", r"{} is empty: 0 bytes"),
        ("file,label\na.png,Käfer\n".encode("cp1252"), r"{} isn't in UTF-8.*encoding='cp1252'"),
    ],
    ids=["one longer", "all longer", "semicolons", "empty", "Windows"],
)
def test_a_csv_that_cannot_be_read_is_told_with_its_name_and_line(tmp_path, name, written, message):
    (tmp_path / name).write_bytes(written)
    with pytest.raises(DataError, match=message.format(*[re.escape(str(tmp_path / name))] * message.count("{}"))):
        BY_CSV[name].from_csv(tmp_path)


@pytest.mark.parametrize(
    ("first", "line"), [("name,label", "{},{},"), ("name,label", "7,{},{}")], ids=["separator at the end", "numbers in front"]
)
def test_rows_longer_than_the_names_that_can_be_told(folder, first, line):
    table = frame(folder)[["name", "label"]]
    rows = [line.format(name, label) for name, label in table.itertuples(index=False)]
    (folder / "labels.csv").write_text("\n".join([first, *rows]))
    dls = ImageDataLoaders.from_csv(folder, valid_pct=0.25, **OPTIONS)
    assert len(dls.table) == 16 and dls.vocab == ["ant", "bee"]


def test_a_csv_read_as_it_is_written(folder):
    table = frame(folder)[["name", "label"]]
    for how, reading in (
        ({"header": False}, {"header": None}),
        ({"sep": ";"}, {"delimiter": ";"}),
        ({"index": True}, {"fn_col": 1, "label_col": 2}),
    ):
        _written(table, folder, **how)
        dls = ImageDataLoaders.from_csv(folder, valid_pct=0.25, **reading, **OPTIONS)
        assert len(dls.table) == 16 and dls.vocab == ["ant", "bee"]
