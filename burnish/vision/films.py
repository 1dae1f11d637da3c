"""Pictures out of films: the frames of a folder of clips at even distances in time."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

from PIL import Image

from burnish.data.files import get_files, image_extensions
from burnish.data.lazy import pd
from burnish.data.notes import note
from burnish.data.parallel import in_parallel
from burnish.data.views import bar
from burnish.data.whole import checked_whole, whole_number
from burnish.errors import DataError, SettingError, UnreadableFileError, hinting, listed
from burnish.vision.files import format_of

video_extensions: frozenset[str] = frozenset({
    ".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".mts", ".m2ts", ".3gp", ".ogv",
})  # fmt: skip
"""Suffixes of the films that are looked for in a folder."""

_EVERY = re.compile(r"\s*([0-9]*\.?[0-9]+)\s*(ms|s|min)\s*")
_SECONDS = {"ms": Fraction(1, 1000), "s": Fraction(1), "min": Fraction(60)}
_WHOLE, _SHORT = 0.9, 2  # a film whose pictures end before so much of it, and so many seconds before its end, was cut off
_TURNS = {90: Image.Transpose.ROTATE_90, 180: Image.Transpose.ROTATE_180, 270: Image.Transpose.ROTATE_270}
FRAMES = "frames.csv"


@hinting
def extract_frames(
    path: str | os.PathLike[str], every: str | float | int = "1s", dest: str | os.PathLike[str] | None = None, *, recurse: bool = True,
    max_size: int | None = None, ext: str = ".jpg", n_workers: int | None = None, show_progress: bool = True,
) -> pd.DataFrame:  # fmt: skip
    """Writes frames of films as pictures; gives a table of them, which ``frames.csv`` in the folder keeps.

    Frames of one clip are alike, so a clip belongs on one side of a split whole: ``splitter=GroupSplitter("clip")`` with the table,
    or ``GroupSplitter(dict(zip(table["file"], table["clip"])).get)`` with files.

    Args:
        path: a folder of clips, or one clip.
        every: the distance in time: "1s", "500ms", "2min", or seconds as a float (0.5); a whole number is a number of frames: 1 for
            each, 25 for each 25th.
        dest: the folder for the pictures, in sub-folders like those of the clips. Default: beside `path`, its name with "-frames".
        recurse: look for clips in sub-folders too.
        max_size: make pictures smaller, so that neither side is longer.
        ext: ".jpg" or ".png", say.
        n_workers: clips at a time; None: one a processor.

    Returns:
        A row a picture: file, clip (its path below `path`), time (seconds from the clip's beginning).

    Pictures are upright as the clip's rotation says, and of square pixels. A clip that can't be read is left out and named in a note,
    as is one that is damaged, whose frames before the damage are kept.

    Needs PyAV: ``pip install av``.

    Raises:
        ModuleNotFoundError: PyAV isn't installed. DataError: there are no clips, or none can be read.
    """
    _checked_av()
    step_in_time, step_in_frames = _distance(every)
    most = None if max_size is None else checked_whole("max_size", max_size, least=1)
    if format_of(ext) is None:
        raise SettingError(f"ext={ext!r} is no format that pictures can be written in; for example '.jpg' or '.png'.")
    given = Path(path).expanduser()
    root = given.parent if given.is_file() else given
    clips = [given] if given.is_file() else list(get_files(root, video_extensions, recurse))
    out = (
        Path(dest).expanduser()
        if dest is not None
        else given.with_name(f"{given.stem if given.is_file() else given.resolve().name}-frames")
    )
    clips = [c for c in clips if out not in c.parents]
    stems = _stems([c.relative_to(root) for c in clips])
    with bar("extracting frames", len(clips), show_progress) as step:

        def one(pair: tuple[Path, Path]) -> tuple[list[tuple[str, float]], str | None]:
            got = _frames_of(pair[0], out / pair[1], ext, step_in_time, step_in_frames, most)
            step(1)
            return got

        results = in_parallel(one, list(zip(clips, stems, strict=True)), n_workers, chunk=1)
    names = [c.relative_to(root).as_posix() for c in clips]
    _tell(names, results, root)
    rows = [(file, name, time) for name, (frames, _) in zip(names, results, strict=True) for file, time in frames]
    table = pd.DataFrame(rows, columns=["file", "clip", "time"])
    table.assign(file=[os.path.relpath(f, out) for f in table["file"]]).to_csv(out / FRAMES, index=False)
    _tell_of_others(out, table["file"])
    return table


def _checked_av() -> None:
    try:
        import av  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ModuleNotFoundError(
            "Reading films needs PyAV, which isn't installed: pip install av (or pip install '.[video]' in a clone of burnish)."
        ) from None


def _distance(every: Any) -> tuple[Fraction | None, int | None]:
    """(distance in seconds, None) or (None, distance in frames)."""
    frames = whole_number(every, least=1)
    if frames is not None:
        return None, frames
    seconds = None
    if isinstance(every, float) and every == every and 0 < every < float("inf"):
        seconds = Fraction(every).limit_denominator(1_000_000)
    elif isinstance(every, str) and (found := _EVERY.fullmatch(every.lower())):
        seconds = Fraction(found[1]) * _SECONDS[found[2]]
    if not seconds:
        raise SettingError(
            f"every={every!r}: a distance in time was expected ('1s', '500ms', '2min', or seconds such as 0.5), or a whole number of frames."
        )
    return seconds, None


def _stems(clips: list[Path]) -> list[Path]:
    """What the frames of each clip are called, without number and ending: the clip's name, with its ending where two differ in that only."""
    counts = Counter(c.with_suffix("") for c in clips)
    return [c.with_suffix("") if counts[c.with_suffix("")] == 1 else c for c in clips]


# -- one clip -----------------------------------------------------------------------------------------------------------
def _frames_of(
    clip: Path, stem: Path, ext: str, seconds: Fraction | None, frames: int | None, most: int | None
) -> tuple[list[tuple[str, float]], str | None]:
    """Writes the frames of a clip; gives their files and times, and what was wrong with the clip."""
    import av  # pyright: ignore[reportMissingImports]

    written: list[tuple[str, float]] = []
    try:
        with av.open(str(clip)) as container:
            if not container.streams.video:
                return [], "it has no pictures, only sound"
            stream = container.streams.video[0]
            stem.parent.mkdir(parents=True, exist_ok=True)
            begin, due = None, Fraction(0)
            for i, frame in enumerate(container.decode(stream)):
                time = _time(frame, stream, i)
                begin = time if begin is None else begin
                if (frames is not None and i % frames) or (seconds is not None and time - begin < due):
                    continue
                while seconds is not None and due <= time - begin:
                    due += seconds
                file = stem.with_name(f"{stem.name}_{i:06}{ext}")
                _picture(frame, stream, most).save(file, quality=90)
                written.append((str(file), round(float(time - begin), 6)))
            if (missing := _missing(container, stream, None if begin is None else time - begin)) is not None:
                return written, missing
    except av.FFmpegError as error:
        reason = error.strerror or str(error)
        return written, f"it is damaged after {written[-1][1]:.3g} s: {reason}" if written else f"it can't be decoded: {reason}"
    return written, None if written else "it has no frames"


def _missing(container: Any, stream: Any, last: Fraction | None) -> str | None:
    """What to say of a film that ends long before it says it does, as one that was cut off."""
    told = stream.duration * stream.time_base if stream.duration else Fraction(container.duration or 0, 1_000_000)
    if stream.frames and stream.average_rate:  # as the film's head has it, where its length is reckoned from what is there
        told = max(told, stream.frames / stream.average_rate)
    if last is None or last >= told * _WHOLE or told - last < _SHORT:
        return None
    return f"it says that it lasts {float(told):.3g} s, and its pictures end after {float(last):.3g} s: it was cut off"


def _time(frame: Any, stream: Any, i: int) -> Fraction:
    """When a frame is shown, in seconds; where the film doesn't say, by the number of the frame."""
    if frame.pts is not None and frame.time_base is not None:
        return frame.pts * frame.time_base
    rate = stream.average_rate
    if not rate:
        raise UnreadableFileError("it tells neither the times of its frames nor how many there are a second")
    return i / Fraction(rate)


def _picture(frame: Any, stream: Any, most: int | None) -> Image.Image:
    """A frame as a person sees it: of square pixels, upright, not larger than asked for."""
    image = frame.to_image()
    width, height = image.size
    if (ratio := stream.sample_aspect_ratio) and ratio != 1:
        width = max(1, round(width * ratio))
    scale = 1.0 if most is None else min(1.0, most / max(width, height))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    if size != image.size:
        image = image.resize(size, Image.Resampling.BILINEAR)
    turn = _TURNS.get(round(frame.rotation) % 360)
    return image if turn is None else image.transpose(turn)


def _tell_of_others(out: Path, written: Iterable[str]) -> None:
    """Pictures of the folder that this call didn't write, of an earlier one most likely: who reads the folder gets them too."""
    there = (Path(folder, name) for folder, _, names in os.walk(out) for name in names)
    others = sorted({str(f) for f in there if f.suffix.lower() in image_extensions} - set(written))
    if others:
        note(
            f"{out} holds {len(others)} pictures that this call didn't write (an earlier one?): {listed((os.path.relpath(f, out) for f in others), 3)}. "
            f"The table and {FRAMES} leave them out; from_folder and get_image_files would take them. Remove them, or choose another dest=."
        )


def _tell(names: list[str], results: list[tuple[list[tuple[str, float]], str | None]], root: Path) -> None:
    bad = [f"{name} ({problem})" for name, (_, problem) in zip(names, results, strict=True) if problem]
    if not any(frames for frames, _ in results):
        raise DataError(f"None of the {len(names)} clip(s) in {root} could be read: {listed(bad)}.")
    if bad:
        note(f"{len(bad)} of {len(names)} clips in {root} couldn't be read, or not to their end: {listed(bad)}.")
