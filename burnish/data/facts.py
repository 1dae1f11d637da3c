"""Facts about picture files: whether they can be read, what they are, how large, and a thumbnail to compare them by."""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

WHITE = 65535  # the largest value of 16-bit pictures
THUMB = (18, 16)  # width, height: twice the 9 x 8 grid of the difference hash
TURNS = dict(
    zip(
        range(2, 9),
        (
            Image.Transpose.FLIP_LEFT_RIGHT,
            Image.Transpose.ROTATE_180,
            Image.Transpose.FLIP_TOP_BOTTOM,
            Image.Transpose.TRANSPOSE,
            Image.Transpose.ROTATE_270,
            Image.Transpose.TRANSVERSE,
            Image.Transpose.ROTATE_90,
        ),
        strict=True,
    )
)
"""How a picture is turned upright, by its EXIF orientation."""

_SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png", ".apng"),
    "GIF": (".gif",),
    "BMP": (".bmp", ".dib"),
    "TIFF": (".tif", ".tiff"),
    "WebP": (".webp",),
    "AVIF": (".avif",),
    "PNM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "JPEG 2000": (".jp2", ".j2k", ".jpx"),
    "ICO": (".ico",),
    "HEIC": (".heic", ".heif"),
}
_WITH_SIGNATURE = frozenset(chain.from_iterable(_SUFFIXES.values()))
_FOREIGN = {"PDF": "a PDF document", "ZIP": "a ZIP archive", "gzip": "a gzip archive", "HTML": "a web page", "SVG": "an SVG or XML text"}


@dataclass(slots=True)
class FileFacts:
    """What is known of a file. `problem` says why it can't be read, `kind` what its first bytes say it is, `size` is
    (width, height), `deep` whether it is grey of 16 bits; when it was decoded, `thumb` is a picture of 16 x 18 x 3 bytes,
    upright, and `top` the largest value of a deep one."""

    path: str
    n_bytes: int = 0
    kind: str | None = None
    problem: str | None = None
    size: tuple[int, int] | None = None
    deep: bool = False
    thumb: np.ndarray | None = None
    top: int | None = None

    @property
    def misnamed(self) -> bool:
        """It is a readable picture of another type than its suffix says."""
        suffix = os.path.splitext(self.path)[1].lower()
        return self.problem is None and self.kind in _SUFFIXES and suffix in _WITH_SIGNATURE and suffix not in _SUFFIXES[self.kind]


def look(path: str) -> FileFacts:
    """What a picture file's first bytes and length tell, without decoding."""
    facts = FileFacts(path)
    try:
        with open(path, "rb") as file:
            facts.n_bytes = os.fstat(file.fileno()).st_size
            facts.kind = sniff(head := file.read(512))
    except OSError as error:
        facts.problem = (
            "there is no such file" if isinstance(error, FileNotFoundError) else f"it can't be opened ({error.strerror or error})"
        )
        return facts
    if facts.n_bytes == 0:
        facts.problem = "it is empty (0 bytes)"
    elif facts.kind in _FOREIGN:
        facts.problem = f"it is {_FOREIGN[facts.kind]}, not a picture"
    elif facts.kind == "HEIC" and ".heic" not in Image.EXTENSION:
        facts.problem = "it is a HEIC picture, which can't be decoded here"
    elif facts.kind is None and os.path.splitext(path)[1].lower() in _WITH_SIGNATURE:
        facts.problem = f"it doesn't begin like a picture (first bytes: {head[:12]!r})"
    return facts


def look_inside(path: str) -> FileFacts:
    """What :func:`look` tells, and what decoding does: a truncated file, the size, the thumbnail."""
    facts = look(path)
    if facts.n_bytes == 0 or facts.kind == "array":  # arrays have no thumbnail: what in them is black is the block's to know
        return facts
    try:
        with Image.open(path) as image:
            facts.size, facts.deep = image.size, _is_deep(image)
            facts.thumb = _thumbnail(image)
            facts.top = int(np.asarray(image).max()) if facts.deep else None
        facts.problem = None
    except Exception as error:
        facts.problem = facts.problem or _why(error)
    return facts


def measure(facts: FileFacts) -> None:
    """Fills in the size from the file's header, where it can be read."""
    if facts.kind == "array":
        return
    try:
        with Image.open(facts.path) as image:
            facts.size, facts.deep = image.size, _is_deep(image)
    except Exception as error:
        facts.problem = facts.problem or _why(error)


def _is_deep(image: Image.Image) -> bool:
    return image.mode == "I" or image.mode.startswith("I;16")


def sniff(head: bytes) -> str | None:
    """The type of a file that begins with these bytes, or None when they tell nothing."""
    if head[:3] == b"\xff\xd8\xff":
        return "JPEG"
    if head[:8] == b"\x89PNG\r\n\x1a\n":
        return "PNG"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if head[4:8] == b"ftyp":
        return _iso_kind(head)
    for start, kind in _STARTS:
        if head.startswith(start):
            return kind
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "HTML"
    return "SVG" if text.startswith((b"<svg", b"<?xml")) else None


def is_web_page(file: str | os.PathLike[str]) -> bool:
    """Whether a file is one, by its beginning: what servers like to answer with in a file's place."""
    with open(file, "rb") as opened:
        return sniff(opened.read(512)) == "HTML"


_STARTS = (
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\0\0\1\0", "ICO"),
    (b"%PDF", "PDF"),
    (b"PK\3\4", "ZIP"),
    (b"\x1f\x8b", "gzip"),
    (b"\x93NUMPY", "array"),
    *((b"P%d" % i, "PNM") for i in range(1, 8)),
    (b"Pf", "PNM"),
    (b"PF", "PNM"),
)


def _iso_kind(head: bytes) -> str | None:
    brands = head[8:40]
    if b"avif" in brands or b"avis" in brands:
        return "AVIF"
    return "HEIC" if any(b in brands for b in (b"heic", b"heix", b"mif1", b"msf1", b"heim", b"hevc")) else None


def why_unreadable(path: str, error: Exception) -> str:
    """Why a picture file can't be decoded, in a few words, out of its first bytes and the decoder's error."""
    return look(path).problem or _why(error)


def _why(error: Exception) -> str:
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return f"it is too large to be a safe picture ({error})"
    if isinstance(error, UnidentifiedImageError):
        return "it is not a picture that can be decoded here"
    if "truncated" in str(error).lower():
        return "it is cut off: its end is missing"
    return f"it can't be decoded ({type(error).__name__}: {error})"


def _thumbnail(image: Image.Image) -> np.ndarray:
    """The picture as uint8 (16, 18, 3), upright; transparency over grey. JPEGs are decoded at an eighth of their size."""
    image.draft(None, (4 * THUMB[0], 4 * THUMB[1]))
    image.load()
    turn = orientation(image)
    size = THUMB if turn < 5 else (THUMB[1], THUMB[0])
    if image.mode[:1] in "IF":
        image = _stretched(image)
    clear = image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info
    small = image.convert("RGBA" if clear else "RGB").resize(size, Image.Resampling.BOX)
    if clear:
        small = Image.alpha_composite(Image.new("RGBA", size, (128, 128, 128, 255)), small).convert("RGB")
    return np.asarray(small.transpose(TURNS[turn]) if turn in TURNS else small)


def orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8: 1 is upright, from 5 on the sides change places."""
    try:
        return int(image.getexif().get(0x0112, 1))
    except Exception:  # damaged EXIF data; the picture itself may be good
        return 1


def _stretched(image: Image.Image) -> Image.Image:
    """A picture of more than 8 bits with its range stretched to 0..255: PIL's conversion would clip it to white."""
    values = np.asarray(image, dtype=np.float64)
    low, high = float(values.min()), float(values.max())
    return Image.fromarray(((values - low) * (255.0 / (high - low) if high > low else 0.0)).astype(np.uint8))


def hashes_of(thumbs: np.ndarray) -> np.ndarray:
    """Difference hashes (uint64) of thumbnails (n, 16, 18, 3): whether each cell of a 9 x 8 grid is brighter than the
    next (N. Krawetz, "Kind of like that", 2013)."""
    grey: Any = thumbs.astype(np.float32).mean(axis=3)
    grid = grey.reshape(len(thumbs), 8, 2, 9, 2).mean(axis=(2, 4))
    bits = (grid[:, :, :-1] > grid[:, :, 1:]).reshape(len(thumbs), 64)
    return np.packbits(bits, axis=1).view(np.uint64).reshape(len(thumbs))
