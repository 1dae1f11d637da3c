"""Finding files."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from PIL import Image

from burnish.data.collections import L
from burnish.data.files import (
    FileGetter,
    ImageGetter,
    get_files,
    get_image_files,
    get_text_files,
    image_extensions,
    natural_key,
    undecodable_extensions,
)
from burnish.data.notes import captured_notes
from burnish.errors import DataError


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    names = "train/cat/10.jpg train/cat/2.JPG train/dog/1.png valid/cat/3.jpeg notes.txt top.jpg train/cat/.hidden.jpg .git/x.jpg a.csv"
    for name in random.Random(1).sample(names.split(), 9):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def relative(files: list[Path], root: Path) -> list[str]:
    assert isinstance(files, L) and all(isinstance(f, Path) for f in files)
    return [f.relative_to(root).as_posix() for f in files]


def test_images_are_found_sorted_and_hidden_ones_skipped(tree: Path) -> None:
    expected = ["top.jpg", "train/cat/2.JPG", "train/cat/10.jpg", "train/dog/1.png", "valid/cat/3.jpeg"]
    assert relative(get_image_files(tree), tree) == expected == relative(get_image_files(str(tree)), tree)


def test_text_files_and_any_files(tree: Path) -> None:
    assert relative(get_text_files(tree), tree) == ["notes.txt"]
    assert relative(get_files(tree, recurse=False), tree) == ["a.csv", "notes.txt", "top.jpg"]
    for extensions in (".csv", "csv", [".CSV"]):
        assert relative(get_files(tree, extensions), tree) == ["a.csv"]


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        ("valid", ["valid/cat/3.jpeg"]),
        (["valid"], ["valid/cat/3.jpeg"]),
        (["valid", "."], ["top.jpg", "valid/cat/3.jpeg"]),
        (["."], ["top.jpg"]),
    ],
)
def test_folders_restricts_the_first_level_only(tree: Path, folders: object, expected: list[str]) -> None:
    assert relative(get_image_files(tree, folders=folders), tree) == expected  # ("cat", a level below, isn't asked about)


def test_getters(tree: Path) -> None:
    assert relative(ImageGetter("train/dog")(tree), tree) == ["train/dog/1.png"]
    assert relative(ImageGetter("train", folders="cat")(tree), tree) == ["train/cat/2.JPG", "train/cat/10.jpg"]
    assert relative(FileGetter(extensions=".csv")(tree), tree) == ["a.csv"]
    assert repr(ImageGetter("train", recurse=False)) == "ImageGetter(suf='train', recurse=False)"


def test_natural_order() -> None:
    names = ["b1/x", "a10/x", "a2/x", "a2/10", "a2/9b", "a2/9a", "B/x", "a/x", "a2/²"]
    assert sorted(names, key=natural_key) == ["B/x", "a/x", "a2/9a", "a2/9b", "a2/10", "a2/x", "a2/²", "a10/x", "b1/x"]


def test_links_back_up_end(tree: Path) -> None:
    (tree / "train" / "loop").symlink_to(tree, target_is_directory=True)
    (tree / "train" / "self").symlink_to(tree / "train", target_is_directory=True)
    assert len(get_image_files(tree)) == 5


def test_linked_folders_are_followed_or_not(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "7.jpg").write_bytes(b"x")
    (tree / "linked").symlink_to(elsewhere, target_is_directory=True)
    assert "linked/7.jpg" in relative(get_files(tree), tree)
    assert "linked/7.jpg" not in relative(get_files(tree, followlinks=False), tree)


def test_every_image_extension_is_decodable_by_PIL() -> None:
    assert image_extensions <= Image.registered_extensions().keys()
    assert not image_extensions & undecodable_extensions


@pytest.mark.parametrize("find", [get_files, get_image_files, get_text_files, FileGetter(), ImageGetter(), FileGetter(recurse=False)])
def test_a_missing_folder_is_always_an_error(tree: Path, find: object) -> None:
    with pytest.raises(FileNotFoundError, match=r"There is no folder .*trian.*nearest that exists is .*Did you mean: train\?"):
        find(tree / "trian")


def test_a_missing_folder_deep_down_names_what_exists(tree: Path) -> None:
    with pytest.raises(FileNotFoundError, match=rf"nearest that exists is '{tree}'"):
        get_image_files(tree / "x" / "y")


def test_a_file_instead_of_a_folder(tree: Path) -> None:
    with pytest.raises(NotADirectoryError, match=r"is a file; a folder was expected. Give the folder that holds it"):
        get_image_files(tree / "top.jpg")


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"There are no pictures in .* It is empty"):
        get_image_files(tmp_path)


def test_a_folder_without_images_says_what_it_holds(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv", "photos.zip"):
        (tmp_path / name).touch()
    with pytest.raises(DataError, match=r"It holds 3 other file\(s\): 2 .csv, 1 .zip. Unpack the archive first"):
        get_image_files(tmp_path)
    with pytest.raises(DataError, match=r"There are no .txt files in"):
        get_text_files(tmp_path)


def test_nothing_found_without_recursion_says_so(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.jpg").touch()
    with pytest.raises(DataError, match=r"It holds no files, only: sub. With recurse=False"):
        get_image_files(tmp_path, recurse=False)


def test_a_folder_name_that_is_not_there(tree: Path) -> None:
    with pytest.raises(DataError, match=r"folders= names 'vaild'.* It has: .*train.* Did you mean: valid\?"):
        get_image_files(tree, folders=["train", "vaild"])


def test_undecodable_pictures_are_told_not_silently_dropped(tree: Path) -> None:
    (tree / "a.heic").touch()
    (tree / "b.svg").touch()
    with captured_notes() as notes:
        assert len(get_image_files(tree)) == 5
    assert "1 .heic, 1 .svg" in notes[0] and "pillow-heif" in notes[0]


def test_only_undecodable_pictures(tmp_path: Path) -> None:
    (tmp_path / "a.nef").touch()
    with pytest.raises(DataError, match=r"holds 1 .nef, which can't be decoded here, and no other picture. Convert them"):
        get_image_files(tmp_path)


def test_a_registered_plugin_makes_its_pictures_readable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.heic").touch()
    monkeypatch.setitem(Image.EXTENSION, ".heic", "HEIF")
    assert len(get_image_files(tmp_path)) == 1


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_folder_is_noted(tree: Path) -> None:
    (tree / "train").chmod(0)
    try:
        with captured_notes() as notes:
            get_files(tree)
    finally:
        (tree / "train").chmod(0o755)
    assert "1 folder(s) can't be read and are left out" in notes[0]
