"""Opening pictures: every mode and container looks right, and what can't be read is reported by name."""

import contextlib
import io
import warnings

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from burnish.errors import DataError, SettingError, UnreadableFileError
from burnish.vision.all import CategoryBlock, ImageBlock
from burnish.vision.image import PILImage, PILImageBW, load_image, open_image

RED, GREEN, BLUE, GREY = (220, 30, 40), (20, 200, 60), (30, 60, 210), (128, 128, 128)


def four_colours(width=64, height=48):
    """Red, green / blue, grey quarters: any turn or mirroring shows."""
    image = Image.new("RGB", (width, height))
    for i, colour in enumerate((RED, GREEN, BLUE, GREY)):
        image.paste(colour, (i % 2 * width // 2, i // 2 * height // 2, width, height))
    image.paste(BLUE, (0, height // 2, width // 2, height))
    image.paste(GREY, (width // 2, height // 2, width, height))
    return image


def corners(image):
    """The colours in the middle of the four quarters."""
    w, h = image.size
    return [image.getpixel((x, y)) for y in (h // 4, 3 * h // 4) for x in (w // 4, 3 * w // 4)]


def near(a, b, tolerance=12):
    return np.abs(np.array(a, dtype=int) - np.array(b, dtype=int)).max() <= tolerance


def saved(image, format, **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def photo(width=800, height=600):
    """A smooth picture with detail, as a photo has."""
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([x / width, y / height, 0.5 + 0.4 * np.sin(x / 37) * np.cos(y / 29)], axis=-1)
    return Image.fromarray((pixels * 255).astype(np.uint8))


@pytest.mark.parametrize(
    "format, options", [("PNG", {}), ("JPEG", {"quality": 95}), ("BMP", {}), ("TIFF", {}), ("WEBP", {"lossless": True}), ("PPM", {})]
)
def test_formats_from_path_str_and_bytes(tmp_path, format, options):
    data = saved(four_colours(), format, **options)
    file = tmp_path / "picture.bin"  # the ending doesn't matter, the content does
    file.write_bytes(data)
    for raw in (file, str(file), data, bytearray(data), io.BytesIO(data)):
        image = open_image(raw)
        assert image.mode == "RGB" and image.size == (64, 48)
        assert near(corners(image), [RED, GREEN, BLUE, GREY])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("hinted", [False, True])
def test_exif_orientation_is_honoured(orientation, hinted):
    upright = four_colours(640, 480)
    undo = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
            6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_270}  # fmt: skip
    stored = upright.transpose(undo[orientation]) if orientation in undo else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    seen = []

    def hint(size):
        seen.append(size)
        return (160, 120)

    image = open_image(saved(stored, "JPEG", quality=95, exif=exif), size_hint=hint if hinted else None)
    assert near(corners(image), [RED, GREEN, BLUE, GREY])
    assert image.size == ((160, 120) if hinted else (640, 480))
    assert seen == ([(640, 480)] if hinted else []), "the hint sees the upright size"
    assert image.getexif().get(0x0112, 1) == 1
    assert near(corners(open_image(image)), [RED, GREEN, BLUE, GREY]), "opening what was opened doesn't turn it again"


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF"])
def test_orientation_in_other_formats(format):
    exif = Image.Exif()
    exif[0x0112] = 6
    data = saved(four_colours().transpose(Image.Transpose.ROTATE_90), format, exif=exif)
    assert near(corners(open_image(data)), [RED, GREEN, BLUE, GREY], 60)
    assert open_image(data).size == (64, 48)


def test_lazily_opened_pil_image_gives_what_its_path_gives(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 3
    four_colours().save(tmp_path / "a.jpg", quality=95, exif=exif)
    lazy = Image.open(tmp_path / "a.jpg")
    assert (np.asarray(open_image(lazy)) == np.asarray(open_image(tmp_path / "a.jpg"))).all()


def test_transparency_is_laid_over_white():
    image = four_colours().convert("RGBA")
    image.putalpha(Image.new("L", image.size, 0))
    image.paste((*RED, 255), (0, 0, 32, 24))
    half = Image.new("RGBA", (4, 4), (0, 0, 0, 128))
    assert corners(open_image(saved(image, "PNG"))) == [RED, (255,) * 3, (255,) * 3, (255,) * 3]
    assert near(open_image(half).getpixel((0, 0)), (127,) * 3, 1)
    assert open_image(image, "RGBA").getpixel((40, 40))[3] == 0


def test_grey_with_alpha_and_palettes():
    la = Image.new("LA", (8, 8), (10, 0))
    la.paste((10, 255), (0, 0, 4, 8))
    data = saved(la, "PNG")
    assert open_image(data, "L").getpixel((0, 0)) == 10 and open_image(data, "L").getpixel((6, 0)) == 255
    assert near(corners(open_image(saved(four_colours().quantize(16), "PNG"))), [RED, GREEN, BLUE, GREY])
    clear = four_colours().quantize(16)
    clear.info["transparency"] = clear.getpixel((0, 0))
    assert near(corners(open_image(saved(clear, "PNG"))), [(255, 255, 255), GREEN, BLUE, GREY])


def test_cmyk_including_adobes_inverted_jpeg():
    cmyk = four_colours().convert("CMYK")
    for format in ("JPEG", "TIFF"):  # PIL writes CMYK JPEGs as Adobe does: inverted
        assert near(corners(open_image(saved(cmyk, format))), [RED, GREEN, BLUE, GREY], 20)


def test_one_bit():
    image = Image.new("1", (8, 8), 0)
    image.paste(1, (0, 0, 4, 8))
    assert open_image(saved(image, "PNG")).getpixel((1, 1)) == (255,) * 3
    assert open_image(saved(image, "PNG")).getpixel((6, 6)) == (0,) * 3


@pytest.mark.parametrize("format", ["PNG", "TIFF", "PPM"])
def test_16_bit_is_scaled_not_clipped(format):
    ramp = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(16, 16)
    assert np.abs(np.asarray(open_image(saved(Image.fromarray(ramp), format), "L")).ravel().astype(int) - np.arange(256)).max() <= 1


def test_32_bit_is_scaled_not_clipped():
    fractions = Image.fromarray(np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16))
    wide = Image.fromarray(np.linspace(-1000, 3000, 256, dtype=np.float32).reshape(16, 16))
    counts = Image.fromarray(np.linspace(0, 1_000_000, 256).astype(np.int32).reshape(16, 16))
    for image in (fractions, wide, counts):
        pixels = np.asarray(open_image(saved(image, "TIFF"), "L")).ravel()
        assert (pixels == np.arange(256)).mean() > 0.99 and pixels[0] == 0 and pixels[-1] == 255
    sixteen = Image.fromarray(np.full((4, 4), 32768, dtype=np.int32))
    assert open_image(sixteen, "L").getpixel((0, 0)) == 128
    holes = Image.fromarray(np.array([[np.nan, 1.0]], dtype=np.float32))
    assert list(np.asarray(open_image(holes, "L")).ravel()) == [0, 255]


def test_first_frame_of_an_animation():
    frames = [Image.new("RGB", (20, 10), c) for c in (RED, GREEN)]
    for format in ("GIF", "PNG", "WEBP", "TIFF"):
        options = {"lossless": True} if format == "WEBP" else {}
        data = saved(frames[0], format, save_all=True, append_images=frames[1:], **options)
        assert near(open_image(data).getpixel((3, 3)), RED)


def test_white_of_16_bit_pictures_may_be_less():
    ramp = np.linspace(0, 4095, 256).round().astype(np.uint16).reshape(16, 16)
    levels = np.arange(256).reshape(16, 16)
    buffer = io.BytesIO()
    Image.fromarray(ramp).save(buffer, "PNG")
    for raw in (ramp, buffer.getvalue(), Image.fromarray(ramp), Image.fromarray(ramp.astype(np.int32))):
        assert len(np.unique(open_image(raw, "L"))) < 20
        assert (np.asarray(open_image(raw, "L", white=4095)) == levels).all()
    assert np.asarray(open_image(ramp + 1000, "L", white=4095)).max() == 255, "beyond white is white, not black"
    for white in (0, 70_000, 4095.0, True):
        with pytest.raises(SettingError, match="a whole number from 1 to 65535"):
            open_image(ramp, "L", white=white)


@pytest.mark.parametrize(
    "array",
    [
        np.full((5, 7), 128, np.uint8), np.full((5, 7, 1), 128, np.uint8), np.full((5, 7, 3), 128, np.uint8), np.full((5, 7, 3), 128, np.int64),
        np.full((5, 7, 3), 0.5), np.full((5, 7), 0.5, np.float32), np.full((5, 7), 32896, np.uint16), np.full((5, 7, 3), 0.5, np.float16),
        np.concatenate([np.full((5, 7, 3), 128), np.full((5, 7, 1), 255)], 2).astype(np.uint8),
    ],
)  # fmt: skip
def test_arrays_and_tensors(array):
    for raw in (array, torch.from_numpy(array).permute(2, 0, 1) if array.ndim == 3 else torch.from_numpy(array.copy())):
        for mode, pixel in (("RGB", (128,) * 3), ("L", 128)):
            image = open_image(raw, mode)
            assert image.size == (7, 5) and near(image.getpixel((2, 2)), pixel, 1)


def test_bool_arrays_are_black_and_white():
    assert list(np.asarray(open_image(np.array([[True, False]]), "L")).ravel()) == [255, 0]


@pytest.mark.parametrize(
    "raw, words",
    [
        (np.zeros((3, 8, 8), np.uint8), ["(3, 8, 8)", "transpose(1, 2, 0)"]),
        (np.zeros(9), ["(9,)", "(height, width)"]),
        (np.zeros((0, 4), np.uint8), ["(0, 4)"]),
        (np.full((4, 4, 3), 128.0), ["from 128 to 128", "floats in 0..1"]),
        (np.full((4, 4), 300), ["from 300 to 300", "integers in 0..255"]),
        (np.full((4, 4), np.nan), ["nan"]),
        (torch.zeros(8, 8, 3), ["(8, 8, 3)", "height, width)"]),
        (3.5, ["3.5", "float", "get_x"]),
        (None, ["None"]),
    ],
)
def test_what_is_no_picture_is_refused(raw, words):
    with pytest.raises(DataError) as e:
        open_image(raw)
    assert all(w in str(e.value) for w in words), e.value


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", ["empty (0 bytes)"]),
        (b"hello, this is text", ["it is text"]),
        (b"<!DOCTYPE html><html>404</html>", ["web page"]),
        (b"%PDF-1.7 ...", ["PDF"]),
        (b"PK\x03\x04aaaa", ["zip"]),
        (b"\x00\x00\x00\x18ftypheic\x00\x00", ["HEIC", "pillow-heif"]),
        (b"\x00\x00\x00\x18ftypisom\x00\x00", ["video"]),
        (b"version https://git-lfs.github.com/spec/v1\noid ...", ["Git LFS"]),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", ["SVG"]),
        (bytes(500), ["all zero"]),
        (b"\x94WHAT?\xff\xfe\xfa", ["no known image format"]),
    ],
)
def test_files_that_are_no_pictures_are_named_with_what_they_are(tmp_path, content, words):
    file = tmp_path / "cat.jpg"
    file.write_bytes(content)
    with pytest.raises(UnreadableFileError) as e:
        open_image(file)
    assert str(file) in str(e.value) and all(w in str(e.value) for w in words), e.value
    with pytest.raises(UnreadableFileError, match=f"{len(content)} bytes given"):
        open_image(content)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"])
def test_truncated_files_are_named(tmp_path, format):
    data = saved(photo(), format)
    for share in (0.3, 0.9):
        (tmp_path / "cut.img").write_bytes(data[: int(len(data) * share)])
        with pytest.raises(UnreadableFileError) as e:
            open_image(tmp_path / "cut.img")
        assert "cut.img" in str(e.value)


def test_damaged_files_never_raise_anything_else(tmp_path):
    rng = np.random.default_rng(0)
    for format in ("JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP"):
        data = saved(four_colours(), format)
        for _ in range(40):
            bad = bytearray(data)
            for place in rng.integers(0, len(bad), 8):
                bad[place] = rng.integers(0, 256)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                with contextlib.suppress(UnreadableFileError):
                    open_image(bytes(bad))


def test_decompression_bomb_names_the_limit(tmp_path, monkeypatch):
    four_colours(200, 200).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5_000)
    with pytest.raises(UnreadableFileError) as e:
        open_image(tmp_path / "bomb.png")
    assert "bomb.png" in str(e.value) and "10,000 pixels" in str(e.value) and "MAX_IMAGE_PIXELS" in str(e.value)


def test_missing_file_folder_and_web_address(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file .*gone\.jpg"):
        open_image(tmp_path / "gone.jpg")
    with pytest.raises(FileNotFoundError, match="looked in"):
        open_image("gone.jpg")
    with pytest.raises(FileNotFoundError, match="web address"):
        open_image("https://example.com/a.jpg")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        open_image(tmp_path)


def test_unknown_mode():
    with pytest.raises(SettingError, match=r"mode='rgb': .*'RGB'"):
        open_image(four_colours(), "rgb")


def test_small_decode_gives_at_least_what_was_asked_and_looks_the_same():
    data = saved(photo(1600, 1200), "JPEG", quality=92)
    full = open_image(data)
    for need, size in (
        ((299, 224), (400, 300)),
        ((800, 600), (800, 600)),
        ((900, 675), (1600, 1200)),
        ((10, 10), (200, 150)),
        (None, (1600, 1200)),
    ):
        small = open_image(data, size_hint=lambda _, need=need: need)
        assert small.size == size
        difference = np.abs(np.asarray(full.resize((200, 150))).astype(int) - np.asarray(small.resize((200, 150))))
        assert difference.mean() < 1.0


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("need", [(40, 30), (21, 21), (200, 150), (201, 150), None])
def test_a_picture_looks_alike_however_it_comes(mode, need):
    """One decoded small, the others averaged: only the JPEG decoder's rounding is between them."""
    jpeg = saved(photo(403, 301), "JPEG", quality=95)
    whole = open_image(jpeg)
    png = io.BytesIO()
    whole.save(png, "PNG")
    small = np.asarray(open_image(jpeg, mode, size_hint=lambda _: need)).astype(int)
    for raw in (png.getvalue(), whole, np.asarray(whole), torch.from_numpy(np.array(whole)).permute(2, 0, 1)):
        other = np.asarray(open_image(raw, mode, size_hint=lambda _: need))
        assert other.shape == small.shape and np.abs(other - small).mean() < 1.0


def test_grey_jpeg_is_the_luminance():
    data = saved(photo(), "JPEG", quality=95)
    assert np.abs(np.asarray(open_image(data, "L")).astype(int) - np.asarray(open_image(data).convert("L"))).max() <= 2


def test_familiar_names(tmp_path):
    four_colours().save(tmp_path / "a.png")
    assert PILImage.create(tmp_path / "a.png").mode == "RGB" and PILImageBW.create(tmp_path / "a.png").mode == "L"
    four_colours().quantize(8).save(tmp_path / "p.png")
    assert load_image(tmp_path / "p.png").mode == "P" and load_image(tmp_path / "p.png", "L").mode == "L"


def test_the_given_image_is_left_as_it_is():
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.open(io.BytesIO(saved(four_colours(), "JPEG", exif=exif)))
    open_image(image, "L")
    assert image.mode == "RGB" and image.size == (64, 48) and image.getexif()[0x0112] == 6
    assert ImageOps.exif_transpose(image).size == (48, 64)


# -- arrays that are measurements ---------------------------------------------------------------------------------------
def test_a_value_range_says_what_is_black_and_white_in_all_arrays():
    spectrogram = np.array([[-100.0, -80.0, -40.0, 0.0, 3.0]])
    for raw in (spectrogram, spectrogram.astype(np.float32), torch.from_numpy(spectrogram), spectrogram.astype(np.int16)):
        assert list(np.asarray(open_image(raw, "L", value_range=(-80, 0)))[0]) == [0, 0, 128, 255, 255]
    counts = np.array([[0, 5000, 10_000]], dtype=np.uint16)
    assert list(np.asarray(open_image(counts, "L", value_range=(0, 10_000)))[0]) == [0, 128, 255]


def test_without_a_range_such_arrays_are_refused_with_the_way_out():
    for raw in (np.array([[-80.0, 0.0]]), np.array([[0.0, 255.0]]), np.array([[1e-5, 1e-4]]), np.array([[-1, 5]]), np.array([[0, 256]])):
        with pytest.raises(DataError, match=r"values from .* is no picture: .*ImageBlock\(value_range=\(-80, 0\)\)"):
            open_image(raw)
    assert np.asarray(open_image(np.zeros((2, 2)))).max() == 0, "all black is a picture"
    with pytest.raises(DataError, match="with 1 missing values"):
        open_image(np.array([[np.nan, 0.0]]), value_range=(-80, 0))


@pytest.mark.parametrize("bad", [(0, 0), (1, 0), (0,), "ab", 5, (0, float("inf")), (None, 1)])
def test_bad_value_ranges(bad):
    with pytest.raises(SettingError, match=r"value_range=.*expected \(black, white\), two numbers"):
        ImageBlock(value_range=bad)


def test_files_of_arrays(tmp_path):
    array = np.random.default_rng(0).random((20, 30, 3)).astype(np.float32)
    np.save(tmp_path / "a.npy", array)
    for raw in (tmp_path / "a.npy", str(tmp_path / "a.npy")):
        assert (np.asarray(open_image(raw)) == np.rint(array * 255)).all()
    np.save(tmp_path / "b.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(UnreadableFileError, match=r"b.npy can't be read as an array of numbers.*unpickling them could run anything"):
        open_image(tmp_path / "b.npy")
    (tmp_path / "c.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:500])
    with pytest.raises(UnreadableFileError, match=r"c\.npy can't be read as an array of numbers: it is damaged"):
        open_image(tmp_path / "c.npy")
    with pytest.raises(FileNotFoundError, match="There is no file"):
        open_image(tmp_path / "d.npy")
    (tmp_path / "e.png").write_bytes((tmp_path / "a.npy").read_bytes())
    with pytest.raises(UnreadableFileError, match=r"it is a NumPy array \(whose name should end in .npy\)"):
        open_image(tmp_path / "e.png")


def test_a_model_of_spectrograms_from_files_keeps_their_range(tmp_path):
    """Trained, exported and asked again: the range travels with the model, and the checks of the data don't take arrays for damage."""
    from burnish.data.notes import captured_notes
    from burnish.vision.all import DataBlock, GrandparentSplitter, Learner, Resize, get_files, load_learner, nn, parent_label

    rng = np.random.default_rng(0)
    for side, n in (("train", 16), ("valid", 8)):
        for label, level in (("loud", -10), ("soft", -70)):
            (tmp_path / side / label).mkdir(parents=True)
            for i in range(n):
                np.save(tmp_path / side / label / f"{i}.npy", (level + rng.normal(0, 3, (24, 32))).astype(np.float32))
    block = DataBlock(
        (ImageBlock("L", value_range=(-80, 0)), CategoryBlock), get_items=lambda p: get_files(p, ".npy"), get_y=parent_label,
        splitter=GrandparentSplitter(), item_tfms=Resize(16),
    )  # fmt: skip
    with captured_notes() as notes:
        dls = block.dataloaders(tmp_path, bs=8, seed=1, cache=True)
        dls.show_batch()
        found = dls.check()
        model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 2))
        learn = Learner(dls, model, nn.CrossEntropyLoss(), lr=1.0, seed=1)
        learn.fit(6)
        learn.export(tmp_path / "m.burnish")
    assert "unreadable" not in str(found).lower() and not any("can't be" in n for n in notes)
    loaded = load_learner(tmp_path / "m.burnish", model=nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 2)))
    assert loaded.predict(np.full((24, 32), -12.0))[0] == "loud" and loaded.predict(str(tmp_path / "valid" / "soft" / "3.npy"))[0] == "soft"


@pytest.mark.parametrize("kind", ["bytes", "floats", "grey", "with alpha", "tensor", "one tensor of all"])
def test_anything_that_is_an_array_can_be_learned_from(kind):
    from burnish.data.notes import captured_notes
    from burnish.vision.all import ImageDataLoaders, Resize

    rng = np.random.default_rng(0)
    raws = {
        "bytes": [rng.integers(0, 256, (20, 30, 3), dtype=np.uint8) for _ in range(8)], "floats": [rng.random((20, 30, 3)) for _ in range(8)],
        "grey": [rng.random((20, 30)) for _ in range(8)], "with alpha": [rng.random((20, 30, 4)) for _ in range(8)],
        "tensor": [torch.rand(3, 20, 30) for _ in range(8)], "one tensor of all": torch.rand(8, 1, 20, 30),
    }[kind]  # fmt: skip
    with captured_notes():
        dls = ImageDataLoaders.from_lists(".", raws, list("abababab"), seed=1, bs=4, item_tfms=Resize(16))
        x, _ = dls.one_batch()
        dls.check()
    assert x.shape == (4, 3, 16, 16) and 0 <= x.min() < 0.5 < x.max() <= 1
