"""Where results go, and how a command line takes a path."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from burnish.data.notes import note
from burnish.errors import SettingError, listed


def place(out: Path | None, photos: Path, name: str) -> Path:
    """Where results go: `out`, or `name` in the working directory; never among the photographs, where the next run would take
    them for photographs of a class. Whoever works inside the folder gets them beside it, in FOLDER-burnish.

    Raises:
        SettingError: `out` lies inside the folder of photographs.
    """
    folder = photos.resolve()
    beside = folder.parent / f"{folder.name}-burnish"
    if out is not None and out.resolve().is_relative_to(folder):
        raise SettingError(
            f"--out {str(out)!r} lies inside the folder of photographs, {str(folder)!r}: the next run would take what is written there for "
            f"photographs of a class. Give a folder outside of it, e.g. --out {for_shell(from_here(beside))}."
        )
    if out is not None or not Path.cwd().resolve().is_relative_to(folder):
        return out or Path(name)
    if folder.parent == folder:
        raise SettingError(f"{str(folder)!r} has no folder beside it for the results: say where they go, --out FOLDER.")
    return from_here(beside if name == "burnish-out" else beside / name)


OURS = (
    "report.html", "model.burnish", "batch.png", "loss.png", "confusion.png", "results.png", "top_losses.png", "importance.png", "items.png",
)  # fmt: skip
"""What ``burnish train`` writes, of any kind of data."""


def put_earlier_aside(out: Path) -> Path | None:
    """Moves what an earlier training left in the folder of the results into a folder of its own there, which is said; all else in it stays as it is.

    Called when a training is through, right before its results are written: one that is interrupted leaves the earlier ones where they are.

    Returns: that folder; None where there was nothing.

    Raises:
        SettingError: they can't be moved.
    """
    there = [name for name in OURS if (out / name).is_file()]
    if not set(there) - {"batch.png"}:  # which 'burnish show' writes, too
        return None
    aside = next(folder for n in itertools.count(1) if not os.path.lexists(folder := out / f"earlier-{n}"))
    try:
        aside.mkdir()
        for name in there:
            (out / name).rename(aside / name)
    except OSError as error:
        raise SettingError(
            f"What an earlier training left in {str(out)!r} ({listed(there, 3)}) can't be moved to {str(aside)!r} ({error.strerror}). Make room, or say another folder: --out FOLDER."
        ) from None
    note(f"{str(out)!r} held the results of an earlier training: {listed(there, 3)}. They are in {str(aside)!r} now.")
    return aside


def as_picture(out: Path) -> Path:
    """The file that a picture goes to: in `out` where that is a folder, and with .png where the name isn't a picture's."""
    out = out / "batch.png" if out.is_dir() else out
    return out if out.suffix.lower() in (".png", ".jpg", ".jpeg", ".webp", ".pdf", ".svg") else out.with_name(f"{out.name}.png")


def from_here(path: Path) -> Path:
    """A path as one would type it here."""
    try:
        return Path(os.path.relpath(path))
    except ValueError:  # on another drive
        return path


@contextmanager
def made(folder: Path) -> Iterator[None]:
    """The folder for the results, made before the work begins; where that fails, what was made and is empty goes again."""
    new = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingError(
            f"The results can't be written to {str(folder)!r} ({error.strerror}). Say where they may go: --out FOLDER."
        ) from None
    try:
        yield
    except BaseException:
        with suppress(OSError):  # not empty
            for place in new:
                place.rmdir()
        raise


def for_shell(path: str | Path) -> str:
    """A path as a command line takes it: quoted where it has spaces or the like."""
    import shlex
    import subprocess

    return subprocess.list2cmdline([str(path)]) if os.name == "nt" else shlex.quote(str(path))
