"""Unpacking archives from elsewhere (tar, tar.gz, tgz, zip): nothing outside of the folder, no links, no devices, within limits.

Only files and folders are ever made, in an empty folder, so there is no link that a later member could be written through.
"""

from __future__ import annotations

import lzma
import os
import posixpath
import re
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from burnish.data.facts import is_web_page
from burnish.data.notes import note
from burnish.data.views import bar
from burnish.errors import DataError, UnreadableFileError, listed

MOST_BYTES, MOST_FILES = 200 * 10**9, 3_000_000
MOST_TIMES = 300  # unpacked over packed: text packs to a tenth, a bomb to a thousandth
_FREE_TO_GROW = 50 * 10**6  # bytes to which a small archive may grow, however many times that is
_BLOCK = 1 << 20
_DRIVE = re.compile(r"[A-Za-z]:")
_DAMAGE = (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError, NotImplementedError, RuntimeError)


class UnsafeArchiveError(DataError):
    """An archive would write elsewhere than into its folder, or more than the limits allow. Nothing of it is kept."""


@dataclass(frozen=True)
class _Member:
    """What is in an archive: a folder, a file (`open` gives its content), or a link to another member (named from the top)."""

    name: str
    open: Callable[[], IO[bytes] | None] | None = None
    link: str | None = None


def unpack(
    archive: str | os.PathLike[str], dest: str | os.PathLike[str], *, max_bytes: int = MOST_BYTES, max_files: int = MOST_FILES,
    show_progress: bool = True,
) -> Path:  # fmt: skip
    """Unpacks a tar (plain, gz, bz2, xz) or zip archive to the new folder `dest`, whole or not at all; gives `dest`.

    Where all of the archive is in one folder, the contents of that folder become `dest`. Links become copies of the files that they
    lead to. What a Mac adds (``__MACOSX``, ``._name``) is left out.

    Raises:
        FileExistsError: `dest` is there already.
        UnsafeArchiveError: a member has an absolute name or one with "..", a link leads out of the archive, a member is a device, or
            there is more than `max_bytes` or `max_files`, or 300 times the size of the archive.
        UnreadableFileError: it is no such archive, or it is damaged or has a password.
    """
    source, target = Path(archive), Path(dest)
    if target.exists():
        raise FileExistsError(f"{target} is there already; an archive is unpacked to a new folder. Remove it, or pass another dest.")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as scratch:
        top = Path(scratch) / "all"
        top.mkdir()
        try:
            _write_all(source, top, _Room(source, top, max_bytes, max_files), show_progress)
        except (*_DAMAGE, NotADirectoryError, IsADirectoryError, FileExistsError) as error:
            page = "is a web page, which a server gave in the place of an archive"
            what = page if is_web_page(source) else f"is no tar or zip archive, or it is damaged: {_brief(error)}"
            raise UnreadableFileError(f"{source} {what}. Fetch it again.") from error
        except OSError as error:
            if error.errno is None:  # what gzip and bz2 say of damaged data
                raise UnreadableFileError(f"{source} is damaged: {_brief(error)}. Fetch it again.") from error
            raise
        inside = list(top.iterdir())
        os.replace(inside[0] if len(inside) == 1 and inside[0].is_dir() else top, target)
    return target


# -- what is in it ------------------------------------------------------------------------------------------------------
def _members(source: Path, tell: Callable[[int], None]) -> Iterator[_Member]:
    """The members, as they come; `tell` hears how far along the archive each of them is, in bytes."""
    if not zipfile.is_zipfile(source):
        yield from _of_tar(source, tell)
        return
    with zipfile.ZipFile(source) as archive:
        for info in archive.infolist():
            tell(info.header_offset)
            if stat.S_ISLNK(info.external_attr >> 16):
                target = archive.open(info).read(4096).decode("utf-8", "replace")
                yield _Member(info.filename, link=posixpath.join(posixpath.dirname(info.filename), target))
            else:
                yield _Member(info.filename, None if info.is_dir() else partial(archive.open, info))


def _of_tar(source: Path, tell: Callable[[int], None]) -> Iterator[_Member]:
    with open(source, "rb") as file, tarfile.open(fileobj=file, mode="r:*") as archive:
        for info in archive:
            tell(file.tell())
            if info.isdir():
                yield _Member(info.name)
            elif info.isreg():
                yield _Member(info.name, partial(archive.extractfile, info))
            elif info.issym():
                yield _Member(info.name, link=posixpath.join(posixpath.dirname(info.name), info.linkname))
            elif info.islnk():
                yield _Member(info.name, link=info.linkname)
            else:
                raise UnsafeArchiveError(
                    f"{source} holds {info.name!r}, a device or a pipe, which no data set needs. Nothing was unpacked."
                )
        assert archive.fileobj is not None
        archive.fileobj.seek(archive.offset)
        if archive.fileobj.read(tarfile.BLOCKSIZE) != bytes(
            tarfile.BLOCKSIZE
        ):  # tarfile takes an archive that was cut off between two files for a whole one
            raise tarfile.ReadError("it was cut off, for the block that ends an archive is missing")


def _parts(name: str, source: Path, what: str = "") -> list[str]:
    """The parts of a member's path, or of a link's target. Raises UnsafeArchiveError when it leads out of the archive's folder."""
    plain = name.replace("\\", "/")
    parts = [p for p in plain.split("/") if p not in ("", ".")]
    if plain.startswith("/") or _DRIVE.match(plain) or ".." in parts or "\0" in name:
        raise UnsafeArchiveError(
            f"{source} holds {what}{name!r}, which is outside of the folder it is unpacked to. Nothing was unpacked; don't trust where it came from."
        )
    return parts


# -- writing it ---------------------------------------------------------------------------------------------------------
def _write_all(source: Path, top: Path, room: _Room, show_progress: bool) -> None:
    links: list[tuple[str, str]] = []
    size, at = os.path.getsize(source), 0
    with bar(f"unpacking {source.name} (MB)", max(1, size // 1_000_000), show_progress) as step:

        def tell(place: int) -> None:
            nonlocal at
            if (more := place // 1_000_000 - at) > 0:
                at += more
                step(more)

        for member in _members(source, tell):
            parts = _parts(member.name, source)
            if not parts or parts[0] == "__MACOSX" or parts[-1].startswith("._"):
                continue
            room.file()
            if member.link is not None:
                links.append(("/".join(parts), member.link))
            elif member.open is None:
                top.joinpath(*parts).mkdir(parents=True, exist_ok=True)
            else:
                _write(member.open, top.joinpath(*parts), room)
    _copy_links(links, top, source, room)


def _write(opened: Callable[[], IO[bytes] | None], path: Path, room: _Room) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = opened()
    if content is None:
        raise tarfile.ReadError(f"{path.name} has no content")
    with content, open(path, "wb") as file:
        while piece := content.read(_BLOCK):
            room.bytes(len(piece))
            file.write(piece)


def _copy_links(links: list[tuple[str, str]], top: Path, source: Path, room: _Room) -> None:
    """Copies of the files that links lead to; a link may lead to a link."""
    waiting = [(name, _parts(_normal(link), source, "a link to ")) for name, link in links]
    while waiting:
        found = [top.joinpath(*to).is_file() for _, to in waiting]
        if not any(found):
            note(
                f"{len(waiting)} link(s) in {source.name} lead to folders or to nothing and are left out: {listed((n for n, _ in waiting), 3)}."
            )
            return
        for (name, to), there in zip(waiting, found, strict=True):
            if there and not (top / name).exists():
                _write(partial(open, top.joinpath(*to), "rb"), top / name, room)
        waiting = [pair for pair, there in zip(waiting, found, strict=True) if not there]


def _normal(link: str) -> str:
    """The path of a link's target without detours; one that leads above the top still begins with ".."."""
    return posixpath.normpath(link.replace("\\", "/"))


class _Room:
    """Counts what is written, and says when it is too much."""

    def __init__(self, source: Path, top: Path, max_bytes: int, max_files: int) -> None:
        times = max(MOST_TIMES * os.path.getsize(source), _FREE_TO_GROW)
        free = shutil.disk_usage(top).free
        self.source, self.left, self.files_left = source, min(max_bytes, times, free), max_files
        self.limit = (
            f"{max_bytes / 1e9:,.4g} GB, the limit (max_bytes={max_bytes})"
            if self.left == max_bytes
            else f"the {free / 1e9:,.4g} GB that are free on the disk"
            if self.left == free
            else f"{times / 1e6:,.0f} MB, {MOST_TIMES} times its size: so much comes only of files made to fill a disk (zip bombs)"
        )
        self.max_files = max_files

    def bytes(self, n: int) -> None:
        self.left -= n
        if self.left < 0:
            raise UnsafeArchiveError(f"{self.source} unpacks to more than {self.limit}. Nothing of it was kept.")

    def file(self) -> None:
        self.files_left -= 1
        if self.files_left < 0:
            raise UnsafeArchiveError(
                f"{self.source} holds more than {self.max_files:,} files, the limit (max_files={self.max_files}). Nothing of it was kept."
            )


def _brief(error: BaseException) -> str:
    said = str(error).strip().splitlines()
    return said[0].rstrip(".:- ") if said else type(error).__name__
