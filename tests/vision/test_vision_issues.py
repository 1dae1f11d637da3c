"""What is wrong with the pictures of a folder, put there on purpose and found."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageFilter

from burnish.data.notes import captured_notes
from burnish.errors import DataError, SettingError
from burnish.vision.all import ImageDataLoaders, Resize, find_issues, vision_learner
from burnish.vision.sample import sample_photos

ARCH = "tf_efficientnet_lite0"
WRONG = ("conference_pear_03.jpg", "orange_07.jpg", "granny_smith_11.jpg")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Pears, apples and oranges, three of them in the wrong folder, and what else a folder has."""
    root = tmp_path_factory.mktemp("issues") / "fruit"
    kinds = ["conference_pear", "granny_smith", "orange"]
    for kind in kinds:
        shutil.copytree(sample_photos() / kind, root / kind)
    for kind, file in zip(("conference_pear", "orange", "granny_smith"), WRONG, strict=True):
        shutil.move(root / kind / file, root / kinds[(kinds.index(kind) + 1) % 3] / file)
    orange, pear = root / "orange", root / "conference_pear"
    shutil.copy(orange / "orange_01.jpg", orange / "twin.jpg")
    shutil.copy(orange / "orange_02.jpg", pear / "conflict.jpg")
    with Image.open(pear / "conference_pear_05.jpg") as image:
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(pear / "mirrored.jpg", quality=80)
        image.filter(ImageFilter.GaussianBlur(12)).save(pear / "blurred.jpg")
        image.point(lambda v: v // 20).save(pear / "night.jpg")
        image.resize((400, 40)).save(pear / "long.jpg")
        image.resize((20, 20)).save(pear / "icon.jpg")
    Image.new("RGB", (150, 150), "white").save(orange / "blank.png")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (150, 150, 3), dtype=np.uint8)).save(orange / "static.png")
    (orange / "cut.jpg").write_bytes((orange / "orange_03.jpg").read_bytes()[:2000])
    return root


@pytest.fixture(scope="module")
def found(folder):
    with captured_notes():
        dls = ImageDataLoaders.from_folder(folder, valid_pct=0.2, seed=42, bs=16, item_tfms=Resize(128), num_workers=2)
        learn = vision_learner(dls, ARCH, weights="offline", seed=1)
        return learn, find_issues(learn)


def files(found: pd.DataFrame, kind: str) -> set[str]:
    return {Path(f).name for f in found.loc[found["issue"] == kind, "file"]}


def test_wrong_labels_are_found_with_the_right_ones(found):
    _, issues = found
    wrong = issues[issues["issue"] == "wrong_label"]
    assert set(WRONG) <= files(issues, "wrong_label") and len(wrong) < 16
    for row in wrong.to_dict("records"):
        if Path(row["file"]).name in WRONG:
            assert row["suggested"] == Path(row["file"]).name.rsplit("_", 1)[0] and row["score"] > 0.8 and row["probability"] > 0.5


def test_copies_are_found(found):
    learn, issues = found
    of_copies = issues[issues["issue"].isin(["duplicate", "near_duplicate", "leak", "conflicting_labels"])]
    pairs = {frozenset((Path(r["file"]).name, Path(r["like"]).name)) for r in of_copies.to_dict("records")}
    assert {
        frozenset(p) for p in (("twin.jpg", "orange_01.jpg"), ("conflict.jpg", "orange_02.jpg"), ("mirrored.jpg", "conference_pear_05.jpg"))
    } <= pairs
    assert files(issues, "conflicting_labels") == {"conflict.jpg", "orange_02.jpg"}
    split = dict(zip(learn.dls.table["image"].map(lambda f: Path(f).name), learn.dls.table["split"], strict=True))
    for row in issues[issues["issue"] == "leak"].to_dict("records"):
        assert row["split"] == "valid" and split[Path(row["like"]).name] == "train"


def test_odd_files_are_found(found):
    _, issues = found
    assert files(issues, "unreadable") == {"cut.jpg"} and files(issues, "blank") == {"blank.png"} and files(issues, "dark") == {"night.jpg"}
    assert files(issues, "odd_size") == {"long.jpg", "icon.jpg"}
    assert "blurred.jpg" in files(issues, "blurry") and len(files(issues, "blurry")) <= 4
    assert "static.png" in files(issues, "outlier") and not any(f.startswith("orange_") for f in files(issues, "outlier"))


def test_it_is_one_table_that_prints_whole(found):
    learn, issues = found
    assert list(issues.columns) == ["row", "file", "label", "split", "issue", "score", "suggested", "probability", "like", "about"]
    assert issues["score"].between(0.5, 1).all()
    table = learn.dls.table
    assert (table["image"].iloc[issues["row"]].map(str).to_numpy() == issues["file"].to_numpy()).all()
    assert (table["label"].iloc[issues["row"]].to_numpy() == issues["label"].to_numpy()).all()
    text = repr(issues)
    assert "cut.jpg" in text and "..." not in text and "labels that are likely wrong" in text
    assert repr(issues[issues["issue"] == "none"]) == "No issues found."


def test_the_learner_is_left_as_it_was(found, folder):
    learn, _ = found
    frozen = [p.requires_grad for p in learn.model.parameters()]
    assert not any(frozen[:10]) and any(frozen)


def test_some_kinds_only_and_data_alone(found):
    learn, _ = found
    only = find_issues(learn.dls, ["blank", "unreadable"])
    assert set(only["issue"]) == {"blank", "unreadable"}


def test_probabilities_of_ones_own(found):
    learn, _ = found
    table, vocab = learn.dls.table, list(learn.dls.vocab)
    probs = np.full((len(table), len(vocab)), 0.01)
    probs[np.arange(len(table)), [vocab.index(v) for v in table["label"]]] = 0.98
    probs[5] = np.roll(probs[5], 1)
    issues = find_issues(learn, "wrong_label", probs=probs)
    assert issues["row"].tolist() == [5]
    with pytest.raises(DataError, match=r"probs has 5 rows, and dls.table \d+"):
        find_issues(learn, "wrong_label", probs=probs[:5])


def test_a_body_that_saw_the_labels_is_not_asked(found):
    learn, _ = found
    with captured_notes() as notes:
        scratch = vision_learner(learn.dls, "resnet18", pretrained=False, seed=1)
        issues = find_issues(scratch)
    assert "wrong_label" not in set(issues["issue"]) and "blank" in set(issues["issue"])
    assert any("Wrong labels and outliers aren't looked for" in n and "body='tf_efficientnet_lite0'" in n for n in notes)
    with pytest.raises(SettingError, match="has learned from the labels that are to be judged"):
        find_issues(scratch, "wrong_label")


@pytest.mark.slow
def test_a_learner_without_weights_is_trained_anew_on_parts(found):
    learn, _ = found
    with captured_notes() as notes:
        scratch = vision_learner(learn.dls, "resnet18", pretrained=False, seed=1)
        before = {k: v.clone() for k, v in scratch.model.state_dict().items()}
        issues = find_issues(scratch, "wrong_label", retrain=1, cv=2, least=0)
    assert len(issues) >= 60 and sum("judged by a learner trained on the others" in n for n in notes) == 2
    assert all((before[k] == v).all() for k, v in scratch.model.state_dict().items())


def test_classes_too_small_to_judge_are_said(tmp_path, photos):
    root = tmp_path / "few"
    shutil.copytree(photos, root)
    for file in sorted((root / "orange").iterdir())[3:]:
        file.unlink()
    with captured_notes() as notes:
        dls = ImageDataLoaders.from_folder(root, valid_pct=0.3, seed=1, bs=9, item_tfms=Resize(64))
        issues = find_issues(dls, "wrong_label", weights="offline", least=0)
    assert any("fewer than 5 pictures aren't judged: 'orange'" in n for n in notes)
    assert "orange" not in set(issues["label"]) and len(issues) == 24


def test_several_labels(photos):
    paths = sorted(photos.rglob("*.jpg"))
    tags = [[f.parent.name, "round" if f.parent.name != "conference_pear" else "long"] for f in paths]
    tags[0] = [tags[0][0], "round"]  # a pear
    with captured_notes():
        dls = ImageDataLoaders.from_lists(".", paths, tags, valid_pct=0.25, seed=1, bs=9, item_tfms=Resize(96))
        issues = find_issues(dls, "wrong_label", weights="offline", cv=4, least=0)
    assert len(issues) == 36 * 5
    of_pear = issues[issues["suggested"].isin(["+long", "-long", "+round", "-round"])].iloc[:8]
    assert {"+long", "-round"} <= set(of_pear.loc[of_pear["row"] == 0, "suggested"])
    assert "'long' should be among its labels" in set(of_pear["about"])


def test_what_can_not_be_looked_at_is_said(photos):
    with captured_notes():
        dls = ImageDataLoaders.from_folder(photos, valid_pct=0.25, seed=1, bs=9, item_tfms=Resize(64))
        ages = ImageDataLoaders.from_lists(
            ".", sorted(photos.rglob("*.jpg")), [i / 7 for i in range(36)], seed=1, bs=9, item_tfms=Resize(64)
        )
    with pytest.raises(SettingError, match=r"no kind of issue 'wrong_lable'.*Did you mean: wrong_label"):
        find_issues(dls, "wrong_lable")
    with pytest.raises(DataError, match="the target is RegressionBlock"):
        find_issues(ages, "wrong_label")
    with pytest.raises(SettingError, match="needs one made by vision_learner"):
        find_issues(dls, retrain=2)
    with pytest.raises(SettingError, match=r"Unknown architecture 'resnet81'.*Did you mean: resnet18"):
        find_issues(dls, body="resnet81")
    with pytest.raises(SettingError, match="least=3"):
        find_issues(dls, least=3)
    assert "wrong_label" not in set(find_issues(ages, ["blank", "near_duplicate"])["issue"])


def test_an_empty_table_of_plain_loaders_is_refused():
    from burnish.vision.all import DataLoaders

    with pytest.raises(DataError, match="made from a DataBlock with an ImageBlock"):
        find_issues(DataLoaders([1], [1]))
