"""Pictures as files: which can't be read, and all made smaller without harm to any."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from burnish.data.collections import L
from burnish.data.notes import captured_notes
from burnish.errors import DataError, SettingError
from burnish.vision.files import resize_images, verify_image, verify_images
from burnish.vision.sample import sample_photos

PHOTO = sorted((sample_photos() / "orange").glob("*.jpg"))[0]


def resize(*args, **options):
    with captured_notes() as notes:
        table = resize_images(*args, show_progress=False, **options)
    return table, notes


def pixels(image):
    return np.asarray(image).astype(int)


def size_of(path):
    with Image.open(path) as image:
        return image.size


# -- reading ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"optimize": True}, {"quality": 100, "subsampling": 0}], ids=str)
@pytest.mark.parametrize("missing", [3, 50, 1000, 0.5])
def test_a_cut_off_jpeg_is_found_wherever_it_is_cut(tmp_path, options, missing):
    file = tmp_path / "a.jpg"
    Image.open(PHOTO).save(file, **options)
    whole = file.read_bytes()
    assert verify_image(file)
    file.write_bytes(whole[: -int(missing if missing >= 1 else missing * len(whole))])
    with pytest.raises(OSError), Image.open(file) as image:
        image.load()  # what decoding all of it says
    assert not verify_image(file)


@pytest.mark.parametrize("format", ["PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_cut_off_pictures_of_other_formats_are_found(tmp_path, format):
    file = tmp_path / f"a.{format.lower()}"
    Image.open(PHOTO).save(file, format)
    assert verify_image(file)
    file.write_bytes(file.read_bytes()[:-2000])
    assert not verify_image(file)


def test_the_unreadable_ones_are_listed_in_order_with_reasons(own_photos, monkeypatch):
    files = L(sorted(own_photos.rglob("*.jpg")))
    files[3].write_bytes(files[3].read_bytes()[:-300])
    files[7].write_text("<html>not found</html>")
    files[9].unlink()
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20_000)
    Image.new("RGB", (400, 400)).save(files[11])
    with captured_notes() as notes:
        bad = verify_images(files)
    assert isinstance(bad, L) and list(bad) == [files[3], files[7], files[9], files[11]]
    assert "4 of 36 files can't be read as pictures" in notes[0]
    assert (
        f"{files[3]} (it is cut off: its end is missing), {files[7]} (it is a web page, not a picture), {files[9]} (there is no such file)"
        in notes[0]
    )
    verify_images(bad[:1]).map(os.unlink)
    assert not files[3].exists()
    with captured_notes() as notes:
        assert verify_images([]) == [] and notes == []


def test_one_text_is_no_list_of_files():
    with pytest.raises(SettingError, match=r"fns='photos': a list of files was expected.*verify_images\(get_image_files\('photos'\)\)"):
        verify_images("photos")


# -- making smaller -----------------------------------------------------------------------------------------------------
def test_a_folder_of_photographs_becomes_small_in_the_same_structure(tmp_path):
    table, notes = resize(sample_photos(), max_size=96, recurse=True, dest=tmp_path / "small")
    assert set(table["status"]) == {"resized"} and notes == [] and len(table) == 138
    for row in table.head(20).itertuples():
        assert os.path.relpath(row.dest, tmp_path / "small") == os.path.relpath(row.file, sample_photos())
        with Image.open(row.file) as whole, Image.open(row.dest) as small:
            assert small.size == (row.width, row.height) and max(small.size) == 96 and small.format == "JPEG"
            assert abs(whole.width / whole.height - small.width / small.height) < 0.02
            assert np.abs(pixels(whole.convert("RGB").resize(small.size, Image.Resampling.LANCZOS)) - pixels(small)).mean() < 8
    assert not list((tmp_path / "small").rglob(".*"))


def test_a_second_call_makes_only_what_is_new_changed_or_of_another_size(own_photos, tmp_path):
    def again(**options):
        return resize(own_photos, recurse=True, dest=tmp_path / "small", **{"max_size": 32, **options})[0]["status"]

    assert set(again()) == {"resized"} and set(again()) == {"there"}
    changed, gone = sorted(own_photos.rglob("*.jpg"))[:2]
    os.utime(changed, (time.time() + 5, time.time() + 5))
    (tmp_path / "small" / gone.relative_to(own_photos)).unlink()
    assert (again() == "resized").sum() == 2
    assert set(again(max_size=24)) == {"resized"} and set(again(max_size=24, resume=False)) == {"resized"}


def test_small_ones_are_copied_and_damaged_ones_left_out(own_photos, tmp_path):
    files = sorted((own_photos / "orange").glob("*.jpg"))
    files[0].write_bytes(files[0].read_bytes()[:-500])
    table, notes = resize(own_photos / "orange", max_size=1000, dest=tmp_path / "out")
    assert list(table["status"]) == ["failed"] + ["copied"] * 11 and table["reason"][0] == "it is cut off: its end is missing"
    assert (tmp_path / "out" / files[1].name).read_bytes() == files[1].read_bytes()
    assert not (tmp_path / "out" / files[0].name).exists()
    assert notes == [f"1 of 12 pictures were left out: {files[0].name} (it is cut off: its end is missing)."]


def test_damaged_exif_costs_nobody_the_picture_and_is_told(tmp_path):
    pictures = tmp_path / "in"
    pictures.mkdir()
    Image.open(PHOTO).save(pictures / "good.jpg", exif=b"")
    Image.open(PHOTO).save(pictures / "odd.jpg", exif=b"Exif\x00\x00of no such format")
    table, notes = resize(pictures, max_size=32, dest=tmp_path / "out")
    assert list(table["status"]) == ["resized"] * 2 and list(table["reason"]) == ["", "the EXIF data (time, camera, place) can't be read"]
    assert max(size_of(tmp_path / "out" / "odd.jpg")) == 32
    assert notes == ["Of 1 pictures the EXIF data (time, camera, place) can't be read, for example of odd.jpg: the smaller ones have none."]


def test_in_place_only_what_is_too_large_is_replaced(own_photos):
    folder = own_photos / "orange"
    Image.open(PHOTO).save(folder / "0.jpg")
    before = {p: p.read_bytes() for p in folder.iterdir()}
    table, _ = resize(folder, max_size=max(max(size_of(p)) for p in folder.iterdir() if p.name != "0.jpg"), dest=folder)
    assert dict(table["status"].value_counts()) == {"kept": 12, "resized": 1}
    assert max(size_of(folder / "0.jpg")) < max(size_of(PHOTO))
    assert all((p.read_bytes() == content) == (p.name != "0.jpg") for p, content in before.items())


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["jpg", "png"])
def test_pictures_look_the_same_way_up_after(tmp_path, orientation, format):
    (tmp_path / "in").mkdir()
    photo = Image.open(PHOTO).convert("RGB").crop((0, 0, 300, 200))
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo.save(tmp_path / "in" / f"a.{format}", exif=exif, quality=95)
    table, _ = resize(tmp_path / "in", max_size=100, dest=tmp_path / "out")
    upright = ImageOps.exif_transpose(Image.open(tmp_path / "in" / f"a.{format}"))
    with Image.open(table["dest"][0]) as small:
        assert small.getexif().get(0x0112, 1) == 1 and small.size == ((100, 67) if orientation < 5 else (67, 100))
        assert np.abs(pixels(upright.resize(small.size)) - pixels(small)).mean() < 6


def test_time_camera_place_author_and_colour_profile_are_kept(tmp_path):
    from PIL import ImageCms

    (tmp_path / "in").mkdir()
    photo = Image.open(PHOTO)
    exif = Image.Exif()
    exif[0x0110], exif[0x013B], exif[0x0112], exif[0x8769], exif[0x8825] = (
        "Camera X",
        "Ann",
        6,
        {0x9003: "2024:05:01 10:00:00", 0xA002: photo.width, 0xA003: photo.height},
        {1: "N", 2: (47.0, 22.0, 0.0)},
    )
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    photo.save(tmp_path / "in" / "a.jpg", exif=exif, icc_profile=profile)
    table, _ = resize(tmp_path / "in", max_size=64, dest=tmp_path / "out")
    with Image.open(table["dest"][0]) as small:
        kept = small.getexif()
        assert small.info["icc_profile"] == profile and (kept[0x0110], kept[0x013B]) == ("Camera X", "Ann") and 0x0112 not in kept
        details = kept.get_ifd(0x8769)
        assert details[0x9003] == "2024:05:01 10:00:00" and (details[0xA002], details[0xA003]) == small.size
        assert kept.get_ifd(0x8825)[1] == "N"


@pytest.mark.parametrize("kind", ["grey", "palette", "colours", "deep"])
def test_masks_keep_their_values(tmp_path, kind):
    """Averaging class 1 and class 3 at an edge would give class 2."""
    (tmp_path / "in").mkdir()
    values = np.repeat(np.repeat(np.array([[1, 3, 7], [3, 9, 1]], np.uint8), 50, 0), 50, 1)
    if kind == "palette":
        mask = Image.fromarray(values).convert("P")
        mask.putpalette([i * 11 % 256 for i in range(768)])
    elif kind == "colours":
        mask = Image.fromarray(np.stack([values * 20, values, 255 - values], -1))
    else:
        mask = Image.fromarray(values.astype(np.uint16) * 300 if kind == "deep" else values)
    mask.save(tmp_path / "in" / "mask.png")
    table, notes = resize(tmp_path / "in", max_size=64, dest=tmp_path / "out")
    with Image.open(table["dest"][0]) as small:
        assert small.mode == mask.mode and small.size == (64, 43)
        assert {tuple(np.atleast_1d(v)) for row in pixels(small) for v in row} <= {
            tuple(np.atleast_1d(v)) for row in pixels(mask) for v in row
        }
        assert kind != "palette" or small.getpalette()[:30] == mask.getpalette()[:30]
    assert notes == ["1 of 1 pictures have at most 64 values, as masks and drawings do: they were resized without mixing values."]


def test_other_modes_and_formats(tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    photo = Image.open(PHOTO).convert("RGB")
    photo.convert("P", palette=Image.Palette.ADAPTIVE, colors=256).save(source / "palette.png")
    photo.convert("RGBA").save(source / "clear.png")
    photo.convert("CMYK").save(source / "inks.jpg")
    photo.convert("L").save(source / "grey.jpg")
    Image.fromarray(np.asarray(photo.convert("L")).astype(np.uint16) * 200).save(source / "deep.png")
    photo.save(source / "a.webp")
    photo.save(source / "b.tif")
    photo.save(source / "c.gif")
    table, notes = resize(source, max_size=64, dest=tmp_path / "out")
    assert set(table["status"]) == {"resized"} and notes == []
    modes = {os.path.basename(d): (i.format, i.mode) for d in table["dest"] for i in [Image.open(d)]}
    assert modes == {
        "palette.png": ("PNG", "RGB"), "clear.png": ("PNG", "RGBA"), "inks.jpg": ("JPEG", "RGB"), "grey.jpg": ("JPEG", "L"),
        "deep.png": ("PNG", "I;16"), "a.webp": ("WEBP", "RGB"), "b.tif": ("TIFF", "RGB"), "c.gif": ("GIF", "P"),
    }  # fmt: skip
    small = photo.resize(size_of(tmp_path / "out" / "a.webp"))
    for name in ("palette.png", "inks.jpg", "a.webp", "b.tif", "c.gif"):
        assert np.abs(pixels(Image.open(tmp_path / "out" / name).convert("RGB")) - pixels(small)).mean() < 10
    assert np.abs(pixels(Image.open(tmp_path / "out" / "deep.png")) / 200 - pixels(small.convert("L"))).mean() < 4


def test_another_format_over_white_and_names_that_would_meet(tmp_path):
    (tmp_path / "in").mkdir()
    Image.new("RGBA", (200, 100), (255, 0, 0, 0)).save(tmp_path / "in" / "a.png")
    table, _ = resize(tmp_path / "in", max_size=50, dest=tmp_path / "out", ext="jpg")
    with Image.open(table["dest"][0]) as small:
        assert small.format == "JPEG" and small.size == (50, 25) and small.getpixel((5, 5)) == (255, 255, 255)
    Image.new("RGB", (20, 10)).save(tmp_path / "in" / "a.bmp")
    with pytest.raises(DataError, match=r"1 name\(s\) would be given to more than one picture.*a.jpg to a.bmp, a.png"):
        resize(tmp_path / "in", max_size=50, dest=tmp_path / "new", ext="jpg")
    assert not (tmp_path / "new").exists()


def test_an_animation_is_not_replaced_by_its_first_frame(tmp_path):
    frames = [Image.open(PHOTO).convert("RGB").rotate(a).resize((100, 100)) for a in (0, 90)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    shutil.copy(PHOTO, tmp_path / "b.jpg")
    before = (tmp_path / "a.gif").read_bytes()
    table, _ = resize(tmp_path, max_size=50, dest=tmp_path)
    assert table["reason"][0] == "it has 2 frames, of which one would be left" and (tmp_path / "a.gif").read_bytes() == before


def test_a_destination_inside_the_folder_is_not_made_smaller_again(own_photos):
    for _ in range(2):
        table, _ = resize(own_photos, max_size=32, recurse=True, dest=own_photos / "small")
        assert len(table) == 36
    assert not (own_photos / "small" / "small").exists()


def test_a_failing_disk_stops_and_leaves_the_original(own_photos, monkeypatch):
    folder = own_photos / "orange"
    before = {p: p.read_bytes() for p in folder.iterdir()}

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("burnish.data.download.os.replace", full)
    with pytest.raises(OSError, match="No space left"):
        resize_images(folder, 1, max_size=32, dest=folder)
    assert {p: p.read_bytes() for p in folder.iterdir()} == before


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"dest": "x"}, SettingError, "max_size= is missing"),
        (
            {"max_size": 100},
            SettingError,
            "dest= is missing: where the smaller pictures go. A new folder.* to replace the pictures themselves",
        ),
        ({"max_size": 0, "dest": "x"}, SettingError, "max_size=0: expected a whole number"),
        ({"max_size": 9, "dest": "x", "resample": "linear"}, SettingError, "resample='linear': expected one of 'nearest'"),
        ({"max_size": 9, "dest": "x", "ext": ".xyz"}, SettingError, "ext='.xyz' is no format that pictures can be written in"),
        ({"max_size": 9, "dest": "x", "quality": 101}, SettingError, "quality=101"),
        ({"max_size": 9, "dest": "x", "maxsize": 3}, TypeError, "unexpected keyword argument 'maxsize'"),
    ],
)
def test_bad_arguments(own_photos, monkeypatch, arguments, error, words):
    monkeypatch.chdir(own_photos)
    with pytest.raises(error, match=words):
        resize_images(own_photos / "orange", **arguments)
    with pytest.raises(SettingError, match="would leave each picture there twice"):
        resize_images(own_photos / "orange", max_size=9, dest=own_photos / "orange", ext=".png")


def test_sub_folders_without_recurse_and_a_folder_of_damaged_files(own_photos, tmp_path):
    with pytest.raises(DataError, match="With recurse=False its sub-folders aren't looked into"):
        resize_images(own_photos, max_size=9, dest=tmp_path / "out")
    for file in (own_photos / "orange").iterdir():
        file.write_bytes(b"\xff\xd8\xff nothing")
    with pytest.raises(DataError, match=r"None of the 12 pictures in .* could be made smaller"):
        resize_images(own_photos / "orange", max_size=9, dest=tmp_path / "out")


def test_what_a_killed_call_left_in_part_is_made_again(tmp_path):
    for name in ("a.jpg", "b.png"):
        Image.effect_noise((90, 60), 80).save(tmp_path / name)
    first = resize_images(tmp_path, max_size=45, dest=tmp_path / "small", show_progress=False)
    whole = {file: Path(file).read_bytes() for file in first.dest}
    for file, content in whole.items():
        Path(file).write_bytes(content[: len(content) // 2])
    again = resize_images(tmp_path, max_size=45, dest=tmp_path / "small", show_progress=False)
    assert again.status.tolist() == ["resized", "resized"] and {f: Path(f).read_bytes() for f in again.dest} == whole
    assert resize_images(tmp_path, max_size=45, dest=tmp_path / "small", show_progress=False).status.tolist() == ["there", "there"]
