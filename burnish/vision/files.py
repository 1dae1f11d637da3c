"""A folder's pictures as files: which can't be read, and all of them made smaller."""

from __future__ import annotations

import errno
import io
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image

from burnish.data.collections import L
from burnish.data.download import whole_file, write_whole
from burnish.data.facts import TURNS, orientation, why_unreadable
from burnish.data.files import get_image_files, root_name
from burnish.data.lazy import pd
from burnish.data.notes import note
from burnish.data.parallel import in_parallel
from burnish.data.views import bar
from burnish.data.whole import checked_whole
from burnish.errors import DataError, SettingError, hinting, listed
from burnish.vision.image import open_image

RESAMPLING = {
    r.name.lower(): r
    for r in (Image.Resampling.NEAREST, Image.Resampling.BOX, Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)
}
_LOST = "the EXIF data (time, camera, place) can't be read"
_EMPTY = 20  # bytes of EXIF data that tell nothing: what opens them, and a list of none
_LARGE = 2**25  # bytes of a file that isn't read at once
_CHUNK = 32  # files a thread takes at a time
_FEW = 64  # a picture of so few values is a mask or a drawing, and its values are not mixed
_DETAILS, _PLACE, _WIDTH, _HEIGHT = 0x8769, 0x8825, 0xA002, 0xA003  # EXIF: time and camera, where it was taken, the size
_TOLD = (0x010E, 0x010F, 0x0110, 0x011A, 0x011B, 0x0128, 0x0131, 0x0132, 0x013B, 0x8298)  # EXIF that describes the picture, not its file
_NO_ROOM = (errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EMFILE)  # what stops everything, not one picture


# -- reading ------------------------------------------------------------------------------------------------------------
@hinting
def verify_images(fns: Iterable[str | os.PathLike[str]], n_workers: int | None = None, show_progress: bool = True) -> L[Path]:
    """Those of the files `fns` that can't be read as pictures: no picture, damaged, cut off, or of too many pixels.

    Every file is decoded to its end: a JPEG at an eighth of its size, which reads all of its data too, in a fraction of the time. A
    note names some with the reasons. The idiom to be rid of them: ``verify_images(files).map(Path.unlink)``.
    """
    if isinstance(fns, (str, os.PathLike)):
        raise SettingError(f"fns={str(fns)!r}: a list of files was expected. For a folder: verify_images(get_image_files({str(fns)!r})).")
    files = [os.fspath(f) for f in fns]
    with bar("verifying", len(files), show_progress) as step:

        def check(file: str) -> str | None:
            reason = _problem(file)
            step(1)
            return reason

        reasons = in_parallel(check, files, n_workers, _CHUNK)
    bad = [(f, r) for f, r in zip(files, reasons, strict=True) if r]
    if bad:
        note(f"{len(bad)} of {len(files)} files can't be read as pictures: {listed((f'{f} ({r})' for f, r in bad), 3)}.")
    return L([Path(f) for f, _ in bad])


def verify_image(fn: str | os.PathLike[str]) -> bool:
    """Whether a file can be read as a picture, to its end."""
    return _problem(os.fspath(fn)) is None


def _problem(file: str) -> str | None:
    """Why a file can't be read; None when it can."""
    try:
        with Image.open(file) as image:
            image.draft("L", (1, 1))  # of a JPEG: all of its data are read, few pixels computed
            image.load()
        return None
    except Exception as error:  # a damaged file makes decoders raise nearly anything
        return "there is no such file" if isinstance(error, FileNotFoundError) else why_unreadable(file, error)


# -- making smaller -----------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class _How:
    max_size: int
    resample: Image.Resampling
    ext: str | None
    quality: int
    resume: bool
    in_place: bool


@dataclass(frozen=True)
class _Done:
    """What became of a picture: "resized", "copied" (small enough), "kept" (small enough, in place), "there" (from an earlier call) or
    "failed", for the `reason`."""

    file: str
    dest: str
    status: str = "failed"
    width: int | None = None
    height: int | None = None
    reason: str = ""


@hinting
def resize_images(
    path: str | os.PathLike[str], max_workers: int | None = None, max_size: int | None = None, recurse: bool = False,
    dest: str | os.PathLike[str] | None = None, *, ext: str | None = None, resample: str = "bilinear", quality: int = 90, resume: bool = True,
    show_progress: bool = True,
) -> pd.DataFrame:  # fmt: skip
    """Makes the pictures of a folder smaller, so that neither side is longer than `max_size`; gives a table of what became of each.

    Pictures are turned upright as their EXIF orientation says; colour profile and the rest of EXIF (time, camera, place) are kept,
    the small preview in it is not. Small ones are copied. A file is replaced only by a whole one. Masks and drawings (at most 64 grey
    values or colours of a palette) keep their values: they are resized without mixing neighbours.

    Args:
        path: the folder. recurse: with its sub-folders, whose structure is kept.
        max_workers: threads; None: one a processor.
        max_size: the longer side in pixels, at most.
        dest: the folder to write to; `path` itself to replace the pictures, whose larger versions are lost then.
        ext: another format, by its ending: ".jpg", ".png". None keeps each picture's.
        resample: "bilinear", "lanczos", "bicubic", "box", or "nearest" for masks of many values.
        quality: of JPEG and WebP, 1 to 100.
        resume: what is in `dest` already, newer than its original and of the size it is to have, is not made again.

    Returns:
        A row a picture: file, dest, status ("resized", "copied", "kept", "there", "failed"), width, height, reason.

    Raises:
        DataError: there is no picture; two would get the same name; none could be read.
    """
    root, target, how = _settings(path, dest, max_size, ext, resample, quality, resume)
    inside = root in target.parents  # what an earlier call made isn't made smaller once more
    files = [f for f in get_image_files(root, recurse) if not (inside and target in f.parents)]
    if not files:
        raise DataError(f"{root_name(root)} holds no pictures but those in {target}, which an earlier call made.")
    base = os.path.join(root, "")
    pairs = [(str(f), _named(os.path.join(target, str(f)[len(base) :]), how.ext)) for f in files]
    _check_names(pairs)
    for folder in sorted({os.path.dirname(d) for _, d in pairs}):
        os.makedirs(folder, exist_ok=True)
    with bar("resizing", len(pairs), show_progress) as step:

        def one(pair: tuple[str, str]) -> tuple[_Done, bool]:
            done = _resize(*pair, how)
            step(1)
            return done

        done = in_parallel(one, pairs, max_workers, _CHUNK)
    _tell([d for d, _ in done], sum(flat for _, flat in done), root)
    return pd.DataFrame([vars(d) for d, _ in done])


def _settings(path: Any, dest: Any, max_size: Any, ext: str | None, resample: str, quality: int, resume: bool) -> tuple[Path, Path, _How]:
    if max_size is None:
        raise SettingError("max_size= is missing: how long the longer side may be, in pixels, such as max_size=400.")
    if dest is None:
        raise SettingError(
            f"dest= is missing: where the smaller pictures go. A new folder, such as dest='small', or dest={str(path)!r} to replace the pictures themselves."
        )
    if resample not in RESAMPLING:
        raise SettingError(f"resample={resample!r}: expected one of {listed(map(repr, RESAMPLING))}.")
    if checked_whole("quality", quality, least=1) > 100:
        raise SettingError(f"quality={quality!r}: expected a whole number from 1 to 100.")
    suffix = None if ext is None else f".{ext.lower().lstrip('.')}"
    if suffix is not None and format_of(suffix) is None:
        raise SettingError(f"ext={ext!r} is no format that pictures can be written in; for example '.jpg', '.png' or '.webp'.")
    root, target = Path(path).expanduser().resolve(), Path(dest).expanduser().resolve()
    if suffix is not None and root == target:
        raise SettingError("ext= with dest= the folder itself would leave each picture there twice. Choose another dest.")
    least = checked_whole("max_size", max_size, least=1)
    return root, target, _How(least, RESAMPLING[resample], suffix, quality, resume, root == target)


def format_of(suffix: str) -> str | None:
    """PIL's name of the format that a file's ending stands for; None for one in which pictures can't be written."""
    Image.preinit()  # the usual ones, which is soon done
    name = Image.EXTENSION.get(suffix.lower()) or Image.registered_extensions().get(suffix.lower())
    return name if name in Image.SAVE else None


def _named(path: str, ext: str | None) -> str:
    return path if ext is None else os.path.splitext(path)[0] + ext


def _check_names(pairs: list[tuple[str, str]]) -> None:
    counts = Counter(d for _, d in pairs)
    twice = [d for d, n in counts.items() if n > 1]
    if twice:
        same = [os.path.basename(f) for f, d in pairs if d == twice[0]]
        raise DataError(
            f"{len(twice)} name(s) would be given to more than one picture, for example {twice[0]} to {listed(same)}. Rename them, or leave ext= out."
        )


def _resize(file: str, dest: str, how: _How) -> tuple[_Done, bool]:
    """Makes one picture smaller; also whether its values were kept from mixing."""
    try:
        if not how.in_place and how.resume and os.path.exists(dest):
            with Image.open(file) as image:  # not more of it than is needed
                size = _fitted(upright_size(image), how.max_size)
            if _is_there(dest, file, size):
                return _Done(file, dest, "there", *size), False
        content = _content(file)
        with Image.open(content) as image:
            upright = upright_size(image)
            size = _fitted(upright, how.max_size)
            flat, told = False, True
            if size == upright and os.path.splitext(dest)[1] == os.path.splitext(file)[1]:
                image.draft("L", (1, 1))
                image.load()  # a damaged picture isn't copied in silence
                status = "kept" if how.in_place else "copied"
                if not how.in_place:
                    write_whole(Path(dest), Path(file).read_bytes() if isinstance(content, str) else content.getvalue())
            else:
                frames = getattr(image, "n_frames", 1)
                if how.in_place and frames > 1 and image.format != "MPO":
                    raise DataError(f"it has {frames} frames, of which one would be left")
                status = "resized"
                flat, told = _write_smaller(image, size, dest, how)
            return _Done(file, dest, status, *size, reason="" if told else _LOST), flat
    except Exception as error:  # a damaged file makes decoders raise nearly anything
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            raise
        system = isinstance(error, OSError) and error.errno is not None
        return _Done(file, dest, reason=str(error) if system or isinstance(error, DataError) else why_unreadable(file, error)), False


def _content(file: str) -> str | io.BytesIO:
    """What to open a picture from: its bytes, read at once, for each small reading would make the threads wait for each other; of a large one the file."""
    if os.stat(file).st_size > _LARGE:
        return file
    with open(file, "rb", buffering=0) as raw:
        return io.BytesIO(raw.readall())


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Width and height of an opened picture, turned as its EXIF orientation says."""
    width, height = image.size
    return (height, width) if orientation(image) >= 5 else (width, height)


def _fitted(size: tuple[int, int], most: int) -> tuple[int, int]:
    """A size of the same proportions whose longer side is at most `most`."""
    ratio = min(1.0, most / max(size))
    return max(1, round(size[0] * ratio)), max(1, round(size[1] * ratio))


def _is_there(dest: str, file: str, size: tuple[int, int]) -> bool:
    """Whether an earlier call made `dest`, all of it, out of `file` as it is now, of this size."""
    try:
        if os.stat(dest).st_mtime_ns < os.stat(file).st_mtime_ns:
            return False
        with Image.open(dest) as made:
            if upright_size(made) != size:
                return False
            made.draft("L", (1, 1))
            made.load()  # raises where a call that was killed left a part
            return True
    except Exception:  # not there, or no picture
        return False


@contextmanager
def _file_for(dest: str) -> Iterator[IO[bytes]]:
    """A file to write to: what is there is replaced in one step at the end; a new one is removed again where the block fails."""
    if os.path.lexists(dest):
        with whole_file(Path(dest)) as file:
            yield file
        return
    try:
        with open(dest, "wb") as file:
            yield file
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(dest)
        raise


def _write_smaller(image: Image.Image, size: tuple[int, int], dest: str, how: _How) -> tuple[bool, bool]:
    """Writes the picture at `size`, upright; whether it is one whose values must not mix; and whether what its EXIF told is kept."""
    suffix = os.path.splitext(dest)[1]
    format = format_of(suffix)
    if format is None:
        raise DataError(f"pictures can't be written as {suffix}: pass ext='.jpg', say")
    needed = (size[1], size[0]) if orientation(image) >= 5 else size
    if how.resample != Image.Resampling.NEAREST:
        image.draft(None, needed)  # a JPEG is decoded at 1/2, 1/4 or 1/8, if that is still enough
    image.load()
    flat = image.format not in ("JPEG", "MPO") and _has_few_values(image)
    turn, (options, told) = TURNS.get(orientation(image)), _metadata(image, size)
    if not flat and how.resample != Image.Resampling.NEAREST:
        image = _mixable(image)
    image = image.resize(needed, Image.Resampling.NEAREST if flat else how.resample)
    if turn is not None:
        image = image.transpose(turn)
    if format in ("JPEG", "BMP") and image.mode not in ("L", "RGB"):
        image = open_image(image, "L" if image.mode[:1] in "IF" else "RGB")
    image.info = {k: v for k, v in image.info.items() if k == "transparency"}
    with _file_for(dest) as file:  # a file of the system: only into such a one does PIL write pictures while other threads go on
        image.save(file, format, **options, **({"quality": how.quality} if format in ("JPEG", "WEBP", "AVIF") else {}))
    return flat, told


def _has_few_values(image: Image.Image) -> bool:
    if image.mode[:1] in "IF":
        return len(np.unique(np.asarray(image))) <= _FEW
    return image.getcolors(_FEW) is not None


def _mixable(image: Image.Image) -> Image.Image:
    """The picture in a mode whose neighbouring pixels can be averaged: no palette, no inks."""
    if image.mode in ("L", "RGB", "RGBA", "F", "I", "I;16"):
        return image
    clear = image.has_transparency_data
    return image.convert("L" if image.mode == "1" else "RGBA" if clear else "RGB")


def _metadata(image: Image.Image, size: tuple[int, int]) -> tuple[dict[str, Any], bool]:
    """What is kept of what the file tells beside the pixels: EXIF for the picture as it will be, and the colour profile; and whether the EXIF could be read."""
    kept: dict[str, Any] = {}
    if (profile := image.info.get("icc_profile")) and image.mode in ("RGB", "RGBA", "L", "P"):  # of inks, it would not fit any more
        kept["icc_profile"] = profile
    try:
        before, exif = image.getexif(), Image.Exif()
        if not len(before):
            return kept, len(image.info.get("exif", b"")) <= _EMPTY
        for tag in _TOLD:
            if tag in before:
                exif[tag] = before[tag]
        for part in (_DETAILS, _PLACE):
            if told := before.get_ifd(part):
                exif[part] = {**told, _WIDTH: size[0], _HEIGHT: size[1]} if part == _DETAILS else told
        if len(exif):
            kept["exif"] = exif.tobytes()
    except Exception:  # damaged EXIF data makes PIL raise nearly anything; the picture itself may be good
        return kept, False
    return kept, True


def _tell(done: list[_Done], n_flat: int, root: Path) -> None:
    failed = [d for d in done if d.status == "failed"]
    named = listed((f"{os.path.relpath(d.file, root)} ({d.reason})" for d in failed), 3)
    if len(failed) == len(done):
        raise DataError(f"None of the {len(done)} pictures in {root} could be made smaller: {named}.")
    if failed:
        note(f"{len(failed)} of {len(done)} pictures were left out: {named}.")
    lost = [d.file for d in done if d.reason == _LOST]
    if lost:
        note(f"Of {len(lost)} pictures {_LOST}, for example of {os.path.relpath(lost[0], root)}: the smaller ones have none.")
    if n_flat:
        note(
            f"{n_flat} of {len(done)} pictures have at most {_FEW} values, as masks and drawings do: they were resized without mixing values."
        )
