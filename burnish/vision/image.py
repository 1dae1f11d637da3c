"""Opening pictures: whatever holds one (path, bytes, PIL image, array, tensor) as an upright 8-bit PIL image.

What people's folders hold is untidy, so this is one careful door: orientation from EXIF is honoured, transparency is
laid over white, CMYK, palette, 1-bit, 16-bit and 32-bit pictures become what they look like, and a file that can't be
read is reported by name with the reason.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from typing import Any, BinaryIO, ClassVar

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from burnish.data.facts import WHITE
from burnish.data.transforms import Size
from burnish.data.whole import whole_number
from burnish.errors import DataError, SettingError, UnreadableFileError, listed

SizeHint = Callable[[Size], "Size | None"]
MODES = {"RGB": 3, "L": 1, "RGBA": 4}  # what a picture can be opened as, and its channels

_ORIENTATION = 0x0112  # the EXIF tag
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def open_image(
    raw: Any, mode: str = "RGB", size_hint: SizeHint | None = None, white: int = WHITE, value_range: tuple[float, float] | None = None
) -> Image.Image:
    """A picture, upright, in `mode`.

    Args:
        raw: a path; the bytes of an image file, or a binary file object; a PIL image (opened lazily or not); a numpy
            array ``(height, width)`` or ``(height, width, 1 | 3 | 4)`` or the path of one (``.npy``), or a torch tensor ``(height, width)`` or
            ``(1 | 3 | 4, height, width)``: floats in 0..1, uint8, uint16 (scaled), bool; any numbers with `value_range`.
        mode: "RGB", "L" (grey) or "RGBA". In "RGB" and "L" transparency is laid over white.
        size_hint: from the upright picture's (width, height) to the least (width, height) needed, or None for all of
            it. A JPEG is then decoded at 1/2, 1/4 or 1/8 of its size, many times faster, and any other picture averaged
            to the same, so that a picture looks alike however it comes; the result has at least the size asked for.
        white: what counts as white in 16-bit pictures: 4095 for a camera of 12 bits. Values above it become white too.
        value_range: (black, white) in arrays and tensors whose numbers are measurements: (-80, 0) for a spectrogram in decibels. Values
            beyond it become black or white.

    16-bit pictures are scaled to 8 bit (`white` becomes 255), all alike, so that they stay comparable. Pictures of 32-bit
    integers within 0..65535 count as 16-bit, 32-bit floats within 0..1 as fractions; other 32-bit pictures are stretched from their own minimum to maximum.
    Of an animation the first frame is taken. Colour profiles are not applied.

    Raises:
        FileNotFoundError: there is no such file.
        UnreadableFileError: it is no picture, truncated, empty, or larger than ``PIL.Image.MAX_IMAGE_PIXELS`` allows.
        DataError: `raw` is an array, tensor or something else that can't be a picture.
    """
    check_mode(mode)
    white = checked_white(white)
    if isinstance(raw, (str, os.PathLike)) and os.fspath(raw).lower().endswith(".npy"):
        raw = _read_array(os.fspath(raw))
    if isinstance(raw, (str, os.PathLike)):
        return _read(os.fspath(raw), os.fspath(raw), mode, size_hint, white)
    if isinstance(raw, Image.Image):
        return _reduced(_finish(raw, mode, "the PIL image", _orientation, white), size_hint)
    if isinstance(raw, (bytes, bytearray, memoryview)):
        return _read(io.BytesIO(raw), f"the file of {len(raw)} bytes given", mode, size_hint, white)
    if isinstance(raw, torch.Tensor):
        raw = _tensor_as_array(raw)
    if isinstance(raw, np.ndarray):
        return _reduced(_to_mode(_from_array(raw, white, value_range), mode, white), size_hint)
    if hasattr(raw, "read"):
        return _read(raw, getattr(raw, "name", None) or "the file object given", mode, size_hint, white)
    raise DataError(
        f"A picture was expected (a path, bytes, a PIL image, an array or a tensor), but got {raw!r} of type {type(raw).__name__}. "
        "Check the column or function (get_x) that names the pictures."
    )


def load_image(fn: Any, mode: str | None = None) -> Image.Image:
    """Opens a picture upright; ``mode=None`` keeps the file's own mode (palette, 16-bit, ...)."""
    if mode is not None:
        return open_image(fn, mode)
    return _finish(fn, None, "the PIL image", _orientation, WHITE) if isinstance(fn, Image.Image) else _read(fn, str(fn), None, None, WHITE)


class PILImage:
    """The familiar name for opening a colour picture: ``PILImage.create(x)`` gives a plain PIL image in mode "RGB"."""

    mode: ClassVar[str] = "RGB"

    @classmethod
    def create(cls, x: Any) -> Image.Image:
        """Opens `x` (anything that :func:`open_image` takes)."""
        return open_image(x, cls.mode)


class PILImageBW(PILImage):
    """The familiar name for opening a grey picture: ``PILImageBW.create(x)`` gives a PIL image in mode "L"."""

    mode: ClassVar[str] = "L"


def check_mode(mode: str) -> None:
    """Raises SettingError unless pictures can be opened as `mode`."""
    if mode not in MODES:
        raise SettingError(f"mode={mode!r}: a picture is opened as one of {listed(map(repr, MODES))}.")


def checked_white(white: Any) -> int:
    """`white` as an int. Raises SettingError unless it can be the white of 16-bit pictures."""
    number = whole_number(white, least=1)
    if number is None or number > WHITE:
        raise SettingError(f"white={white!r}: a whole number from 1 to {WHITE} was expected, the value of 16-bit pictures that is white.")
    return number


def checked_range(value_range: Any) -> tuple[float, float] | None:
    """`value_range` as two floats. Raises SettingError unless it is None or (black, white) with black below white."""
    if value_range is None:
        return None
    try:
        low, high = (float(v) for v in value_range)
    except (TypeError, ValueError):
        low = high = float("nan")
    if not -float("inf") < low < high < float("inf"):
        raise SettingError(
            f"value_range={value_range!r}: expected (black, white), two numbers of which the first is lower, such as (-80, 0)."
        )
    return low, high


# -- files ----------------------------------------------------------------------------------------------------------
def _read(file: str | BinaryIO, name: str, mode: str | None, hint: SizeHint | None, white: int) -> Image.Image:
    try:
        with Image.open(file) as image:
            jpeg = image.format in ("JPEG", "MPO")
            turn = _orientation(image) if jpeg else 1  # needed before decoding only where there is a small decode
            if jpeg and (hint is not None or mode == "L"):
                _decode_small(image, turn, "L" if mode == "L" else None, hint)
            image.load()
            made = _finish(image, mode, name, (lambda _: turn) if jpeg else _orientation, white)
            return made if jpeg else _reduced(made, hint)
    except (FileNotFoundError, IsADirectoryError, UnreadableFileError) as e:
        raise _missing(name, e) if not isinstance(e, UnreadableFileError) else e from None
    except Image.DecompressionBombError as e:
        raise _too_large(name) from e
    except UnidentifiedImageError as e:
        raise UnreadableFileError(f"{name} is not a picture that can be read: {_what_is_it(file)}.") from e
    except MemoryError:
        raise
    except Exception as e:  # a damaged file makes decoders raise nearly anything
        if isinstance(e, OSError) and e.errno is not None:
            raise  # the system's error (permission, disk, too many files), not the picture's
        raise UnreadableFileError(f"{name} can't be decoded, it is damaged or truncated: {e or type(e).__name__}.") from e


def _decode_small(image: Image.Image, turn: int, mode: str | None, hint: SizeHint | None) -> None:
    """Asks the JPEG decoder for the smallest of its sizes that is enough. The hint sees the upright size."""
    width, height = image.size
    need = hint((height, width) if turn >= 5 else (width, height)) if hint else None
    if need is not None and turn >= 5:
        need = (need[1], need[0])
    if need is not None or mode is not None:
        image.draft(mode, None if need is None else (max(need[0], 1), max(need[1], 1)))


def _reduced(image: Image.Image, hint: SizeHint | None) -> Image.Image:
    """An upright picture averaged down by the factor at which a JPEG of its size would be decoded."""
    need = hint(image.size) if hint else None
    enough = 1 if need is None else min(have // max(least, 1) for have, least in zip(image.size, need, strict=True))
    factor = next((f for f in (8, 4, 2) if f <= enough), 1)
    return image if factor == 1 else image.reduce(factor)


def _orientation(image: Image.Image) -> int:
    return image.getexif().get(_ORIENTATION, 1)


def _finish(image: Image.Image, mode: str | None, name: str, orientation: Callable[[Image.Image], int], white: int) -> Image.Image:
    method = _UPRIGHT.get(orientation(image))
    if method is not None:
        image = image.transpose(method)
        image.info = {k: v for k, v in image.info.items() if k == "transparency"}  # or it would be turned again
    try:
        return image if mode is None else _to_mode(image, mode, white)
    except ValueError as e:
        raise UnreadableFileError(
            f"{name} has the colour mode {image.mode}, which can't be turned into {mode}: {e}. Save it as RGB."
        ) from e


def _missing(name: str, error: OSError) -> OSError:
    if isinstance(error, IsADirectoryError):
        return IsADirectoryError(f"{name} is a folder, and one picture was expected. Use get_image_files(folder) for the pictures in it.")
    if "://" in name:
        return FileNotFoundError(f"{name} is a web address, and a file was expected. Download it first, or pass its bytes.")
    where = "" if os.path.isabs(name) else f" (looked in {os.getcwd()})"
    return FileNotFoundError(f"There is no file {name}{where}. Check the path, and the pref=, suff= or folder it is made from.")


def _too_large(name: str) -> UnreadableFileError:
    limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
    return UnreadableFileError(
        f"{name} claims more than {limit:,} pixels, the limit that guards against files made to fill the memory (decompression bombs). "
        "If you trust it, make it smaller, or set PIL.Image.MAX_IMAGE_PIXELS (the limit is twice that) before reading."
    )


def _read_array(name: str) -> np.ndarray:
    try:
        return np.load(name, allow_pickle=False)
    except (FileNotFoundError, IsADirectoryError) as e:
        raise _missing(name, e) from None
    except (ValueError, EOFError) as e:
        objects = " It holds Python objects, and unpickling them could run anything." if "pickle" in str(e) else ""
        raise UnreadableFileError(f"{name} can't be read as an array of numbers: it is damaged, or no .npy file.{objects}") from e


_SIGNATURES = [
    (b"\x93NUMPY", "it is a NumPy array (whose name should end in .npy)"),
    (b"%PDF", "it is a PDF"),
    (b"PK\x03\x04", "it is a zip archive (or an Office file)"),
    (b"\x1f\x8b", "it is a gzip archive"),
    (b"version https://git-lfs", "it is a Git LFS pointer, not the file itself (run `git lfs pull`)"),
    (b"<svg", "it is an SVG drawing (export it as PNG)"),
    (b"RIFF", "it is a sound or video file"),
    (b"ID3", "it is a sound file"),
    (b"OggS", "it is a sound or video file"),
]


def _what_is_it(file: str | BinaryIO) -> str:
    """What a file that is no picture seems to be, from its first bytes."""
    if isinstance(file, str):
        with open(file, "rb") as f:
            head = f.read(512)
    else:
        file.seek(0)
        head = file.read(512)
    if not head:
        return "it is empty (0 bytes)"
    if head[4:8] == b"ftyp":
        heif = head[8:12] in (b"heic", b"heix", b"hevc", b"mif1", b"msf1")
        return (
            "it is HEIC/HEIF (install pillow-heif and call pillow_heif.register_heif_opener(), or convert it)" if heif else "it is a video"
        )
    for signature, meaning in _SIGNATURES:
        if head.lstrip().startswith(signature):
            return meaning
    if b"<html" in head.lower() or b"<!doctype html" in head.lower():
        return "it is a web page (a download that failed?)"
    if not head.strip(b"\x00"):
        return "its first bytes are all zero (a copy or download that failed?)"
    return (
        "it is text" if head.isascii() and b"\x00" not in head else f"its content (it begins with {head[:8]!r}) is of no known image format"
    )


# -- modes ----------------------------------------------------------------------------------------------------------
def _to_mode(image: Image.Image, mode: str, white: int) -> Image.Image:
    if image.mode == mode and "transparency" not in image.info:
        return image
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = Image.fromarray(_eight_bit(np.asarray(image), image.mode, white))
    if mode != "RGBA" and image.has_transparency_data:
        image = _over_white(image)
    return image if image.mode == mode else image.convert(mode)


def _over_white(image: Image.Image) -> Image.Image:
    image = image.convert("RGBA")
    if image.getchannel("A").getextrema() == (255, 255):
        return image.convert("RGB")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def _eight_bit(pixels: np.ndarray, mode: str, white: int) -> np.ndarray:
    """16-bit and 32-bit grey pixels ``(height, width)`` scaled to uint8; clipped only above `white`."""
    values = np.nan_to_num(pixels.astype(np.float64))
    low, high = float(values.min()), float(values.max())
    if mode.startswith("I;16") or (mode == "I" and low >= 0 and high <= 65535):
        low, high = 0.0, float(white)
    elif mode == "F" and low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    return np.rint((values.clip(low, high) - low) * (255 / max(high - low, 1e-12))).astype(np.uint8)


# -- arrays ---------------------------------------------------------------------------------------------------------
def _tensor_as_array(tensor: torch.Tensor) -> np.ndarray:
    plain = tensor.detach().as_subclass(torch.Tensor).cpu()
    if plain.ndim == 3 and plain.shape[0] not in MODES.values():
        raise DataError(f"A tensor of shape {tuple(plain.shape)} is no picture: expected (1 | 3 | 4, height, width), values 0..1 or uint8.")
    if plain.dtype == torch.bfloat16:
        plain = plain.float()
    return (plain.permute(1, 2, 0) if plain.ndim == 3 else plain).numpy()


def _from_array(array: np.ndarray, white: int, value_range: tuple[float, float] | None) -> Image.Image:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)) or 0 in array.shape:
        hint = " Arrays hold channels last: use array.transpose(1, 2, 0)." if array.ndim == 3 and array.shape[0] in (1, 3, 4) else ""
        raise DataError(f"An array of shape {array.shape} is no picture: expected (height, width) or (height, width, 1 | 3 | 4).{hint}")
    return Image.fromarray(np.ascontiguousarray(_as_uint8(array, white) if value_range is None else _scaled(array, *value_range)))


def _as_uint8(array: np.ndarray, white: int) -> np.ndarray:
    if array.dtype == np.uint8:
        return array
    if array.dtype == bool:
        return array.astype(np.uint8) * 255
    if array.dtype == np.uint16:
        return np.rint(array.clip(0, white) * (255 / white)).astype(np.uint8)
    low, high = array.min(), array.max()
    floating = np.issubdtype(array.dtype, np.floating)
    top = 1 if floating else 255
    slack = 1e-3 if floating else 0
    dark = floating and 0 < high < 1 / 510  # all of it would round to black
    if dark or not (low >= -slack and high <= top + slack):  # also catches nan
        raise DataError(
            f"An array of {array.dtype} with values from {low:.4g} to {high:.4g} is no picture: expected floats in 0..1, or integers in 0..255. "
            "Scale it first, or say what is black and what is white in all of them: ImageBlock(value_range=(-80, 0)), say."
        )
    return np.rint(array.clip(0, 1) * 255).astype(np.uint8) if floating else array.astype(np.uint8)


def _scaled(array: np.ndarray, black: float, white: float) -> np.ndarray:
    """Numbers of any kind as uint8, `black` as 0 and `white` as 255."""
    values = array.astype(np.float64)
    if np.isnan(values).any():
        raise DataError(
            f"An array with {int(np.isnan(values).sum())} missing values (nan) is no picture. Fill them first: np.nan_to_num(array, nan={black:g})."
        )
    return np.rint((values.clip(black, white) - black) / (white - black) * 255).astype(np.uint8)
