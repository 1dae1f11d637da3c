"""Choosing what happens to pictures, doing it, undoing it, and training anew."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from burnish.data.notes import captured_notes
from burnish.errors import DataError, SettingError
from burnish.vision.all import ImageClassifierCleaner, ImageDataLoaders, ImagesCleaner, Resize, vision_learner
from burnish.vision.issues_table import COLUMNS, Issues

ARCH = "tf_efficientnet_lite0"


@pytest.fixture
def learn(own_photos, tmp_path, monkeypatch):
    """A learner on photographs that the test may move, not trained."""
    monkeypatch.chdir(tmp_path)
    with captured_notes():
        dls = ImageDataLoaders.from_folder(own_photos, valid_pct=0.25, seed=1, bs=9, item_tfms=Resize(64))
        return vision_learner(dls, ARCH, weights="offline", path=tmp_path, seed=1)


@pytest.fixture
def cleaner(learn):
    return ImageClassifierCleaner(learn)


def at(cleaner, name: str) -> int:
    return next(i for i, f in enumerate(cleaner.fns) if f.name == name)


def tree(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


# -- choosing ---------------------------------------------------------------------------------------------------------


def test_it_knows_loss_and_prediction_of_every_picture(cleaner, learn):
    assert len(cleaner.fns) == 36 == len(cleaner.table) and set(cleaner.table["split"]) == {"train", "valid"}
    predicted = learn.get_preds("valid", with_loss=True)
    rows = cleaner.table.set_index("row").loc[predicted.rows]
    assert np.allclose(rows["loss"], predicted.losses.numpy(), atol=1e-4)
    assert np.allclose(rows["probability"], predicted.preds.max(1).values.numpy(), atol=1e-4)
    assert (rows["file"].map(str).tolist()) == [str(f) for f in learn.dls.table["image"].iloc[predicted.rows]]


def test_choices_of_all_classes_and_splits_hold_together(cleaner):
    a, b = at(cleaner, "orange_01.jpg"), at(cleaner, "granny_smith_02.jpg")
    cleaner.choose(a, "delete")
    cleaner.choose(b, "relabel", "conference_pear")
    assert cleaner.delete() == [a] and cleaner.change() == [(b, "conference_pear")]
    cleaner.choose(a, "keep")
    assert cleaner.delete() == [] and cleaner.choice(a) == {"do": "keep"}
    cleaner.choose(a, None)
    assert cleaner.choice(a) is None
    cleaner.choose(b, "relabel", "granny_smith")  # what it is
    assert cleaner.change() == [] and cleaner.choice(b) == {"do": "keep"}


def test_choices_are_there_after_a_restart(cleaner, learn):
    i = at(cleaner, "orange_01.jpg")
    cleaner.choose(i, "delete")
    again = ImageClassifierCleaner(learn)
    assert again.delete() == [at(again, "orange_01.jpg")]
    assert again.choices.file == cleaner.choices.file == Path(learn.path).absolute() / "cleaning" / "choices.json"


def test_nothing_on_disk_changes_before_it_is_applied(cleaner, own_photos):
    before = tree(own_photos)
    cleaner.choose(0, "delete")
    cleaner.choose(1, "relabel", "orange")
    cleaner.plan()
    repr(cleaner)
    assert tree(own_photos) == before


def test_what_is_kept_never_lies_among_the_photographs(own_photos, monkeypatch):
    monkeypatch.chdir(own_photos)
    with captured_notes():
        dls = ImageDataLoaders.from_folder(own_photos, valid_pct=0.25, seed=1, bs=9, item_tfms=Resize(64))
        cleaner = ImageClassifierCleaner(vision_learner(dls, ARCH, weights="offline", seed=1))
    cleaner.choose(0, "delete")
    assert cleaner.folder == own_photos.parent / "photos-cleaning" and cleaner.choices.file.is_file()
    assert not list(own_photos.rglob("*.json"))
    assert ImagesCleaner(path=own_photos / "mine").folder == own_photos / "mine"  # who says so gets it


def test_a_damaged_file_of_choices_is_named(cleaner, learn):
    cleaner.choose(0, "delete")
    cleaner.choices.file.write_text("{")
    with pytest.raises(DataError, match=r"choices\.json holds the choices of an earlier session and can't be read"):
        ImageClassifierCleaner(learn)


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ((99, "delete"), "no picture 99: there are 36"), ((0, "remove"), "expected 'keep', 'delete', 'relabel' or None"),
        ((0, "relabel", "orang"), r"no label 'orang'.*Did you mean: orange"), ((0, "relabel"), "no label None"),
    ],
)  # fmt: skip
def test_what_can_not_be_chosen_is_said(cleaner, args, says):
    with pytest.raises(SettingError, match=says):
        cleaner.choose(*args)


# -- the familiar way -------------------------------------------------------------------------------------------------


def test_the_familiar_loops_do_the_right_thing(cleaner, own_photos):
    gone, moved = at(cleaner, "orange_01.jpg"), at(cleaner, "granny_smith_02.jpg")
    cleaner.choose(gone, "delete")
    cleaner.choose(moved, "relabel", "orange")
    for idx in cleaner.delete():
        cleaner.fns[idx].unlink()
    for idx, cat in cleaner.change():
        shutil.move(str(cleaner.fns[idx]), own_photos / cat)
    assert not (own_photos / "orange/orange_01.jpg").exists() and (own_photos / "orange/granny_smith_02.jpg").is_file()
    assert cleaner.delete() == [] and cleaner.change() == []  # a second run of the loops finds nothing to do
    assert len(cleaner.apply()) == 0


# -- applying and undoing ---------------------------------------------------------------------------------------------


def test_applying_moves_files_and_undoing_moves_them_back(cleaner, own_photos):
    before = tree(own_photos)
    gone, moved = at(cleaner, "orange_01.jpg"), at(cleaner, "granny_smith_02.jpg")
    cleaner.choose(gone, "delete")
    cleaner.choose(moved, "relabel", "orange")
    done = cleaner.apply()
    assert done["do"].tolist() == ["delete", "relabel"]
    trash = cleaner.folder / "trash/1/orange/orange_01.jpg"
    assert trash.read_bytes() == before["orange/orange_01.jpg"] and not (own_photos / "orange/orange_01.jpg").exists()
    assert (own_photos / "orange/granny_smith_02.jpg").read_bytes() == before["granny_smith/granny_smith_02.jpg"]
    assert cleaner.fns[moved] == own_photos / "orange/granny_smith_02.jpg" and cleaner.table["label"][moved] == "orange"
    assert cleaner.delete() == cleaner.change() == [] and len(cleaner.choices) == 0
    lines = [json.loads(line) for line in (cleaner.folder / "changes.jsonl").read_text().splitlines()]
    assert [(line["do"], Path(line["file"]).name, line["new_label"]) for line in lines] == [
        ("delete", "orange_01.jpg", None), ("relabel", "granny_smith_02.jpg", "orange"),
    ]  # fmt: skip
    cleaner.undo()
    assert tree(own_photos) == before and not trash.parent.exists()
    assert cleaner.fns[moved].parent.name == "granny_smith" and cleaner.table["label"][moved] == "granny_smith" and not cleaner.gone.any()


def test_the_last_change_is_undone_first_in_another_session_too(cleaner, learn, own_photos):
    before = tree(own_photos)
    for name in ("orange_01.jpg", "orange_02.jpg"):
        cleaner.choose(at(cleaner, name), "delete")
        cleaner.apply()
    with captured_notes():
        dls = ImageDataLoaders.from_folder(own_photos, valid_pct=0.25, seed=1, bs=9, item_tfms=Resize(64))
        again = ImageClassifierCleaner(vision_learner(dls, ARCH, weights="offline", path=learn.path, seed=1))
    assert len(again.fns) == 34
    assert Path(again.undo()["file"][0]).name == "orange_02.jpg"
    assert Path(again.undo()["file"][0]).name == "orange_01.jpg"
    assert tree(own_photos) == before
    with pytest.raises(DataError, match="nothing to undo"):
        again.undo()


def test_no_picture_is_written_over(cleaner, own_photos):
    (own_photos / "orange/granny_smith_02.jpg").write_bytes(b"another")
    i = at(cleaner, "granny_smith_02.jpg")
    cleaner.choose(i, "relabel", "orange")
    cleaner.apply()
    assert (own_photos / "orange/granny_smith_02.jpg").read_bytes() == b"another"
    assert cleaner.fns[i] == own_photos / "orange/granny_smith_02_2.jpg" and cleaner.fns[i].is_file()


def test_changes_are_undone_from_any_folder(tmp_path, monkeypatch):
    from burnish.vision.changes import ChangeList

    (tmp_path / "fruit" / "pear").mkdir(parents=True)
    photo = tmp_path / "fruit" / "pear" / "1.jpg"
    photo.write_bytes(b"pear")
    monkeypatch.chdir(tmp_path)
    kept = ChangeList(Path("kept"))
    kept.apply(kept.plan([("fruit/pear/1.jpg", "delete", "pear", None)], by_folder=True))
    assert not photo.exists()
    monkeypatch.chdir(tmp_path / "fruit")
    ChangeList(Path("../kept")).undo()
    assert photo.read_bytes() == b"pear"


def test_undoing_refuses_to_write_over(cleaner, own_photos):
    cleaner.choose(at(cleaner, "orange_01.jpg"), "delete")
    cleaner.choose(at(cleaner, "orange_02.jpg"), "delete")
    cleaner.apply()
    (own_photos / "orange/orange_01.jpg").write_bytes(b"new")
    with pytest.raises(DataError, match=r"in the place of .*orange_01\.jpg there is another file.*nothing was changed"):
        cleaner.undo()
    assert (own_photos / "orange/orange_01.jpg").read_bytes() == b"new" and not (own_photos / "orange/orange_02.jpg").exists()
    (own_photos / "orange/orange_01.jpg").unlink()
    cleaner.undo()
    assert (own_photos / "orange/orange_02.jpg").is_file()


def test_an_interruption_between_list_and_move_is_undone(cleaner, own_photos, monkeypatch):
    """The list is written first; what was not moved yet is left as it is."""
    from burnish.vision import changes

    before, moved = tree(own_photos), []

    def breaks(source: str, target: str) -> None:
        if moved:
            raise KeyboardInterrupt
        moved.append(source)
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        os.replace(source, target)

    for name in ("orange_01.jpg", "orange_02.jpg"):
        cleaner.choose(at(cleaner, name), "delete")
    with monkeypatch.context() as patched:
        patched.setattr(changes, "_move", breaks)
        with pytest.raises(KeyboardInterrupt):
            cleaner.apply()
    assert len(moved) == 1 and (own_photos / "orange/orange_02.jpg").is_file()
    changes.ChangeList(cleaner.folder).undo()
    assert tree(own_photos) == before


def test_files_that_vanished_meanwhile_are_said(cleaner, own_photos):
    from burnish.vision.changes import ChangeList

    cleaner.choose(at(cleaner, "orange_01.jpg"), "delete")
    planned = cleaner.plan()
    (own_photos / "orange/orange_01.jpg").unlink()
    with captured_notes() as notes:
        assert ChangeList(cleaner.folder).apply(planned) == []
    assert any("1 file(s) aren't there any more" in n and "orange_01.jpg" in n for n in notes)


def test_labels_from_a_list_are_corrected_in_a_list(own_photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = sorted(own_photos.rglob("*.jpg"))
    before = tree(own_photos)
    with captured_notes():
        dls = ImageDataLoaders.from_lists(".", files, ["ab"[i % 2] for i in range(36)], valid_pct=0.25, seed=1, bs=9, item_tfms=Resize(64))
        cleaner = ImageClassifierCleaner(vision_learner(dls, ARCH, weights="offline", path=tmp_path, seed=1))
    cleaner.choose(0, "relabel", "b")
    cleaner.choose(1, "delete")
    cleaner.apply()
    labels = pd.read_csv(cleaner.folder / "labels.csv")
    assert (
        len(labels) == 35
        and labels["label"][0] == "b"
        and labels["file"][0] == str(files[0])
        and files[0].is_file()
        and not files[1].exists()
    )
    cleaner.undo()
    assert tree(own_photos) == before
    assert pd.read_csv(cleaner.folder / "labels.csv")["label"].tolist() == ["ab"[i % 2] for i in range(36)]


# -- training anew ----------------------------------------------------------------------------------------------------


def test_three_lines_apply_retrain_and_compare(learn, own_photos):
    for kind, to in (("orange", "granny_smith"), ("granny_smith", "orange")):
        shutil.move(own_photos / kind / f"{kind}_01.jpg", own_photos / to / f"{kind}_01.jpg")
    with captured_notes():
        dls = ImageDataLoaders.from_folder(own_photos, valid_pct=0.25, seed=1, bs=9, item_tfms=Resize(64))
        learn = vision_learner(dls, ARCH, weights="offline", path=learn.path, seed=1)
        learn.fine_tune(1)
        cleaner = ImageClassifierCleaner(learn)
        sides = dict(zip(cleaner.table["file"].map(lambda f: Path(f).name), cleaner.table["split"], strict=True))
        cleaner.choose(at(cleaner, "orange_01.jpg"), "relabel", "orange")
        cleaner.choose(at(cleaner, "granny_smith_01.jpg"), "relabel", "granny_smith")
        gone = next(i for i in range(36) if cleaner.table["split"][i] == "valid")
        cleaner.choose(gone, "delete")

    with captured_notes() as notes:
        cleaner.apply()
        again = cleaner.retrain()
        table = cleaner.compare(again)

    assert (
        table["model"].tolist() == ["before", "after"] and (table["n"] == again.dls.valid.n).all() and again.dls.valid.n == dls.valid.n - 1
    )
    assert {"accuracy", "accuracy_low", "accuracy_high"} <= set(table.columns) and "95 % intervals" in repr(table)
    assert any("same validation pictures with the labels they have now" in n and "changed or left out" in n for n in notes)
    now = again.dls.table
    assert len(now) == 35 and all(sides[Path(f).name] == side for f, side in zip(now["image"], now["split"], strict=True))
    assert all(Path(f).parent.name == label and Path(f).is_file() for f, label in zip(now["image"], now["label"], strict=True))
    assert again is not learn and len(again.recorder.history()) == len(learn.recorder.history()) == 2
    assert again.fit_args["lr"] == pytest.approx(learn.fit_args["lr"]) and again.fit_args["phase"] == learn.fit_args["phase"]
    preds = learn.get_preds(dl=again.dls.valid)  # the figure of "before", by hand
    assert table["accuracy"][0] == pytest.approx((preds.preds.argmax(1) == preds.targs).float().mean().item())


def test_a_learner_that_can_not_be_trained_anew_says_so(cleaner, learn, tmp_path):
    from burnish.train.export import load_learner

    with pytest.raises(SettingError, match=r"no recipe to follow.*retrain"):
        cleaner.retrain()
    loaded = load_learner(learn.export(tmp_path / "m.burnish"))
    loaded.dls = learn.dls
    with pytest.raises(SettingError, match="made by vision_learner in this session"):
        ImageClassifierCleaner(loaded).retrain(1)


def test_other_ways_of_training(cleaner):
    with captured_notes():
        again = cleaner.retrain(fit=lambda new: new.fit_one_cycle(1, 1e-3))
    assert again.fit_args["recipe"] == "fit_one_cycle" and again.fit_args["epochs"] == 1


# -- what else it is given --------------------------------------------------------------------------------------------


def test_unreadable_pictures_are_among_them(own_photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (own_photos / "orange/bad.jpg").write_bytes(b"no picture")
    with captured_notes():
        dls = ImageDataLoaders.from_folder(own_photos, valid_pct=0.25, seed=1, bs=9, item_tfms=Resize(64))
        cleaner = ImageClassifierCleaner(vision_learner(dls, ARCH, weights="offline", seed=1))
    i = at(cleaner, "bad.jpg")
    assert np.isnan(cleaner.table["loss"][i])
    cleaner.choose(i, "delete")
    cleaner.apply()
    assert not (own_photos / "orange/bad.jpg").exists()


def test_issues_order_and_suggest(learn):
    row = int(np.flatnonzero(learn.dls.table["split"].notna())[3])
    issues = Issues([(row, "x", "orange", "train", "wrong_label", 0.97, "granny_smith", 0.9, "", "")], columns=list(COLUMNS))
    cleaner = ImageClassifierCleaner(learn, issues=issues)
    found = cleaner.table.set_index("row").loc[row]
    assert found["suspicion"] == 0.97 and found["suggested"] == "granny_smith" and found["about"] == "label likely wrong (97 %)"


def test_images_without_a_learner(own_photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cleaner = ImagesCleaner(opts=["good", "bad"], max_n=5)
    cleaner.set_fns(sorted(own_photos.rglob("*.jpg"))[:8])
    cleaner.choose(2, "relabel", "bad")
    cleaner.choose(3, "delete")
    assert cleaner.change() == [(2, "bad")] and cleaner.delete() == [3]


def test_what_can_not_be_cleaned_is_said(photos, learn):
    with captured_notes():
        numbers = ImageDataLoaders.from_lists(
            ".", sorted(photos.rglob("*.jpg")), [i / 7 for i in range(36)], seed=1, bs=9, item_tfms=Resize(64)
        )
        of_numbers = vision_learner(numbers, ARCH, weights="offline", seed=1)
    with pytest.raises(DataError, match=r"one label each.*the targets are number"):
        ImageClassifierCleaner(of_numbers)
    with pytest.raises(DataError, match="in several rows"):
        ImagesCleaner().set_fns([learn.dls.table["image"][0]] * 2)
    with pytest.raises(SettingError, match="height"):
        ImagesCleaner(height=2)
