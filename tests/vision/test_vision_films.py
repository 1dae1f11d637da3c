"""Frames of films: at even distances in time, upright, a clip's frames together; bad clips are named."""

from __future__ import annotations

import struct
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from burnish.data.notes import captured_notes
from burnish.errors import DataError, SettingError
from burnish.vision.all import CategoryBlock, DataBlock, GroupSplitter, ImageBlock, Resize, get_image_files, parent_label
from burnish.vision.films import extract_frames

av = pytest.importorskip("av")


def clip(path, seconds=3.0, rate=10, size=(64, 48), codec="mpeg4", times=None, ratio=None, noisy=False):
    """A film whose frames get lighter by the frame: red at the upper left, else grey of the frame's number times 8."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        if ratio:
            stream.codec_context.sample_aspect_ratio = ratio
        for i in range(round(seconds * rate)):
            picture = np.full((size[1], size[0], 3), min(i * 8, 255), np.uint8)
            picture[: size[1] // 2, : size[0] // 2] = (
                np.random.default_rng(i).integers(0, 256, (size[1] // 2, size[0] // 2, 3)) if noisy else (255, 0, 0)
            )
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            if times:
                frame.pts, frame.time_base = times[i], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def number(file):
    """Which frame of a clip a picture is."""
    return round(np.asarray(Image.open(file).convert("L"))[-10:, -10:].mean() / 8)


def frames(*args, **options):
    with captured_notes() as notes:
        table = extract_frames(*args, show_progress=False, **options)
    return table, notes


@pytest.mark.parametrize(
    ("every", "numbers"),
    [
        ("1s", [0, 10, 20]), ("500ms", [0, 5, 10, 15, 20, 25]), (0.7, [0, 7, 14, 21, 28]), ("0.25 s", [0, 3, 5, 8, 10, 13, 15, 18, 20, 23, 25, 28]),
        ("1min", [0]), (7, [0, 7, 14, 21, 28]), (1, list(range(30))),
    ],
)  # fmt: skip
def test_the_right_frames(tmp_path, every, numbers):
    table, notes = frames(clip(tmp_path / "a.mp4"), every)
    assert list(table.columns) == ["file", "clip", "time"] and notes == []
    assert list(table["time"]) == [n / 10 for n in numbers]
    assert [number(f) for f in table["file"]] == pytest.approx(numbers, abs=1), "compression changes the grey a little"
    assert {Path(f).parent for f in table["file"]} == {tmp_path / "a-frames"} and set(table["clip"]) == {"a.mp4"}


def test_pictures_of_an_earlier_call_are_told(tmp_path):
    frames(clip(tmp_path / "a.mp4"), 7)
    table, notes = frames(tmp_path / "a.mp4", 10)
    assert len(table) == 3 and len(notes) == 1
    assert "a-frames holds 4 pictures that this call didn't write" in notes[0] and "a_000007.jpg" in notes[0]
    assert frames(tmp_path / "a.mp4", 1)[1] == [], "which writes all of them again"


def test_times_are_the_films_own_where_its_rate_changes(tmp_path):
    times = [0, 100, 200, 1900, 2000, 2100, 5000]
    table, _ = frames(clip(tmp_path / "a.mkv", 0.7, times=times), "1s")
    assert list(table["time"]) == [0.0, 1.9, 2.0, 5.0]


def test_a_folder_keeps_its_structure_and_its_clips_apart(tmp_path):
    films = tmp_path / "films"
    for name in ("cat/one.mp4", "cat/two.mp4", "dog/one.mp4", "dog/one.avi", "dog/three.mkv"):
        clip(films / name, 1)
    (films / "dog" / "notes.txt").write_text("not a film")
    table, _ = frames(films, "500ms", tmp_path / "pictures")
    assert sorted(set(table["clip"])) == ["cat/one.mp4", "cat/two.mp4", "dog/one.avi", "dog/one.mp4", "dog/three.mkv"]
    assert len(table) == len(set(table["file"])) == 10 and all(Path(f).is_file() for f in table["file"])
    assert {p.name for p in get_image_files(tmp_path / "pictures" / "dog")} == {
        f"{stem}_{i:06}.jpg" for stem in ("one.avi", "one.mp4", "three") for i in (0, 5)
    }
    kept = pd.read_csv(tmp_path / "pictures" / "frames.csv")
    assert [str(tmp_path / "pictures" / f) for f in kept["file"]] == list(table["file"])
    block = DataBlock(
        (ImageBlock, CategoryBlock),
        get_x=lambda r: r["file"],
        get_y=lambda r: parent_label(r["file"]),
        splitter=GroupSplitter("clip", 0.4, seed=1),
        item_tfms=Resize(32),
    )
    with captured_notes():
        dls = block.dataloaders(table, bs=2)
    sides = dls.table.groupby("group")["split"].nunique()
    assert set(sides) == {1} and len(sides) == 5 and set(dls.table["split"]) == {"train", "valid"}


@pytest.mark.parametrize(("degrees", "corner"), [(90, (-1, 0)), (180, (-1, -1)), (270, (0, -1))])
def test_films_of_a_phone_held_upright_are_turned(tmp_path, degrees, corner):
    """The rotation is in the header (a matrix): by 90 degrees clockwise, the red at the upper left comes to the upper right."""
    file = clip(tmp_path / "a.mp4", 1)
    content = bytearray(file.read_bytes())
    at = content.find(b"tkhd") + 4 + 4 + 20 + 16
    one = 0x10000
    matrix = {90: (0, one, 0, -one, 0, 0), 180: (-one, 0, 0, 0, -one, 0), 270: (0, -one, 0, one, 0, 0)}[degrees]
    content[at : at + 36] = struct.pack(">9i", *matrix, 0, 0, 0x40000000)
    file.write_bytes(content)
    image = Image.open(frames(file, "1s")[0]["file"][0])
    assert image.size == ((64, 48) if degrees == 180 else (48, 64))
    x, y = (v % n for v, n in zip(corner, image.size, strict=True))
    assert image.getpixel((min(max(x, 3), image.width - 4), min(max(y, 3), image.height - 4)))[0] > 200


def test_pixels_that_are_not_square_and_smaller_pictures(tmp_path):
    file = clip(tmp_path / "a.mkv", 1, ratio=Fraction(2, 1))
    assert Image.open(frames(file, "1s")[0]["file"][0]).size == (128, 48)
    assert Image.open(frames(file, "1s", tmp_path / "small", max_size=32, ext=".png")[0]["file"][0]).size == (32, 12)


def test_bad_clips_are_named_with_reasons(tmp_path):
    good = clip(tmp_path / "films" / "good.mp4", 1)
    whole = clip(tmp_path / "films" / "half.mpg", 3, codec="mpeg1video", rate=25).read_bytes()
    (good.parent / "half.mpg").write_bytes(whole[: len(whole) // 2])
    (good.parent / "page.mp4").write_text("<html>not found</html>")
    (good.parent / "empty.mov").write_bytes(b"")
    with av.open(str(good.parent / "sound.mkv"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), layout="mono")
        sound.rate = 8000
        container.mux(stream.encode(sound))
    avi = clip(good.parent / "cut.avi", 9, codec="mpeg4", noisy=True).read_bytes()
    (good.parent / "cut.avi").write_bytes(avi[: len(avi) // 2])  # of such a film what is there decodes without complaint
    clip(good.parent / "slow.avi", 4, rate=1)
    table, notes = frames(good.parent, "500ms")
    assert "cut.avi (it says that it lasts 9 s, and its pictures end after" in notes[0] and "slow.avi" not in notes[0]
    assert set(table["clip"]) >= {"good.mp4"} and not set(table["clip"]) & {"page.mp4", "empty.mov", "sound.mkv"}
    assert "page.mp4 (it can't be decoded: Invalid data found" in notes[0] and "empty.mov (it can't be decoded" in notes[0]
    assert "sound.mkv (it has no pictures, only sound)" in notes[0]
    with pytest.raises(DataError, match=r"None of the 1 clip\(s\) in .* could be read: page.mp4 \(it can't be decoded"):
        frames(good.parent / "page.mp4")


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"every": "1 second"}, SettingError, "every='1 second': a distance in time was expected"),
        ({"every": 0}, SettingError, "every=0"),
        ({"every": -1.0}, SettingError, "every=-1.0"),
        ({"every": "0s"}, SettingError, "every='0s'"),
        ({"every": True}, SettingError, "every=True"),
        ({"ext": "jpg"}, SettingError, "ext='jpg' is no format that pictures can be written in"),
        ({"max_size": 0}, SettingError, "max_size=0"),
        ({"evry": 1}, TypeError, "unexpected keyword argument 'evry'. Did you mean: every"),
    ],
)
def test_bad_arguments(tmp_path, arguments, error, words):
    with pytest.raises(error, match=words):
        extract_frames(tmp_path, **arguments)


def test_no_clips_and_no_folder(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"There are no .3gp, .avi.* files in .* It holds 1 other file"):
        extract_frames(tmp_path)
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        extract_frames(tmp_path / "nowhere")


def test_without_pyav_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ModuleNotFoundError, match="Reading films needs PyAV, which isn't installed: pip install av"):
        extract_frames(tmp_path)
