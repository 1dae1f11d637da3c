"""Downloading one file: whole or not at all, going on where an earlier try stopped, checked against its SHA-256."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urlsplit

from burnish.data.facts import is_web_page
from burnish.data.lock import FolderLock
from burnish.data.notes import note
from burnish.data.views import bar
from burnish.data.web import FetchError, body, checked_url, persist, request
from burnish.errors import DataError, SettingError, hinting

_UNSAFE = re.compile(r"[^\w.+ ()@=-]+")
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")  # device names on Windows
_PAGES = ("", ".html", ".htm", ".xhtml", ".php", ".asp", ".aspx", ".txt")  # endings of files that may be web pages
_SHA256 = re.compile(r"[0-9a-f]{64}")


@hinting
def download_url(
    url: str, dest: str | os.PathLike[str] | None = None, timeout: float = 30, show_progress: bool = True, *,
    sha256: str | None = None, max_bytes: int | None = None, retries: int = 4,
) -> Path:  # fmt: skip
    """Downloads one file; gives its path.

    What stands at `dest` is replaced only by a whole file. A download that was cut off goes on where it stopped, in this call (up to
    `retries` times) and in the next one, where the server can give a part of a file and says by an ETag or a date that it is still
    the same file.

    Args:
        url: an http or https address.
        dest: the file to write, or a folder that exists, which gets a file of the address's name; None: the working directory.
        timeout: seconds for each wait on the network, not for the whole.
        show_progress: a bar, in a terminal and in a notebook.
        sha256: the file's digest. A file at `dest` that has it is kept and not downloaded again; one that comes with another is refused.
        max_bytes: the largest size to accept.
        retries: further tries after a failure that may pass (a broken connection, HTTP 429, 500, 502, 503, 504), waiting 0.5, 1,
            2 ... seconds, or as long as the server says.

    Raises:
        FetchError: (a ConnectionError) it can't be fetched; the message says why.
        DataError: no web address, another digest than `sha256`, or more than `max_bytes`.
    """
    url, sha256 = checked_url(url), checked_digest(sha256)
    target = _target(url, dest)
    with workplace(target) as work:
        if sha256 and target.is_file() and digest_of(target) == sha256:
            return target
        part = work / "data"
        with _bar_of(url, show_progress) as show:
            persist(lambda: _fetch(url, part, timeout, max_bytes, show), retries)
        if sha256 and (found := digest_of(part)) != sha256:
            raise DataError(
                f"{url} has the SHA-256 {found}, and {sha256} was expected: it is another file, or it was altered. It was not kept."
            )
        if target.suffix.lower() not in _PAGES and is_web_page(part):
            note(
                f"{url} gave a web page, and not what a name as {target.name} promises: it was kept as {target}. Open the address in a browser to see what the server says."
            )
        os.replace(part, target)
    return target


def file_name(url: str) -> str:
    """The name of the file that an address leads to, safe on every system: no folders, no characters that mean something.

    >>> file_name("https://example.org/a%2F..%2Fpear.jpg?width=100")
    'pear.jpg'
    """
    last = re.split(r"[/\\]", unquote(urlsplit(url).path).rstrip("/\\"))[-1]
    name = _UNSAFE.sub("_", last).strip(" .")[-120:].strip(" .")
    return f"_{name}" if _RESERVED.fullmatch(name) else name or "download"


def digest_of(path: Path) -> str:
    """The SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def checked_digest(sha256: str | None) -> str | None:
    """`sha256` in small letters. Raises SettingError unless it is one."""
    if sha256 is None:
        return None
    if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256.lower()):
        raise SettingError(f"sha256={sha256!r}: 64 hexadecimal digits were expected.")
    return sha256.lower()


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A file to write to, which takes the place of `path` in one step at the end; `path` stays as it was where the block fails."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            yield file
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file in one step: it is there whole, or as it was before."""
    with whole_file(path) as file:
        file.write(content)


def _target(url: str, dest: str | os.PathLike[str] | None) -> Path:
    path = Path.cwd() if dest is None else Path(dest).expanduser()
    target = path / file_name(url) if path.is_dir() else path
    if target.is_dir():
        raise IsADirectoryError(f"{target} is a folder, and the download is to become a file of that name. Pass dest= with another one.")
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


@contextmanager
def workplace(target: Path) -> Iterator[Path]:
    """A hidden folder beside `target` where what is there of it so far is kept, for one process and thread at a time."""
    work = target.parent / f".{target.name}.part"
    lock, said = FolderLock(work), False
    while not _taken(lock):
        if not said:
            note(f"{target.name} is being fetched by another process or thread; waiting for that to end.")
        said = True
        time.sleep(0.2)
    try:
        yield work
    except DataError:  # what came is not what was wanted: nothing to go on with
        (work / "data").unlink(missing_ok=True)
        raise
    finally:
        if not (work / "data").is_file():
            (work / "state.json").unlink(missing_ok=True)
        lock.release()
        with contextlib.suppress(OSError):  # not empty: there is something to go on with
            work.rmdir()


def _taken(lock: FolderLock) -> bool:
    try:
        return lock.acquire()
    except FileNotFoundError:  # who had it has removed the folder just now
        return False


def _fetch(url: str, part: Path, timeout: float, max_bytes: int | None, show: _Shown) -> None:
    """Brings `part` to the whole file, going on behind what is there of the same version of it."""
    have, version = _begun(url, part)
    headers = {"Range": f"bytes={have}-", "If-Range": version} if have and version else {}
    try:
        response = request(url, timeout, headers)
    except FetchError as error:
        if error.status == 416 and have:  # nothing behind what is there: begin again
            part.unlink()
            error.again = True
        raise
    with contextlib.closing(response):
        begin = have if response.status == 206 and _begins_at(response, have) else 0
        if response.status == 206 and begin == 0:
            raise FetchError(url, "the server sent another part of the file than was asked for")
        _remember(url, part, response)
        length = response.headers.get("Content-Length", "")
        show.total(begin + int(length) if length.isdecimal() else 0, begin)
        _check_room(url, part, int(length) if length.isdecimal() else 0)
        with open(part, "ab" if begin else "wb") as file:
            for piece in body(response, url, timeout, max_bytes, begun=begin):
                file.write(piece)
                show.step(len(piece))


def _begun(url: str, part: Path) -> tuple[int, str]:
    """(how many bytes of the file are there, which version of it they are)."""
    try:
        state = json.loads((part.parent / "state.json").read_text(encoding="utf-8"))
        return (part.stat().st_size, state["version"]) if state["url"] == url else (0, "")
    except (OSError, ValueError, KeyError, TypeError):
        return 0, ""


def _remember(url: str, part: Path, response: Any) -> None:
    tag = response.headers.get("ETag", "")
    version = tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")
    (part.parent / "state.json").write_text(json.dumps({"url": url, "version": version}), encoding="utf-8")


def _begins_at(response: Any, have: int) -> bool:
    return response.headers.get("Content-Range", "").startswith(f"bytes {have}-")


def _check_room(url: str, part: Path, more: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if more > free:
        raise OSError(
            f"{url} has {more / 1e6:,.0f} MB, and there are {free / 1e6:,.0f} MB free in {part.parent.parent}. Make room, or pass another dest=."
        )


class _Shown:
    """A bar in megabytes, whose length is known once the server has answered."""

    def __init__(self, label: str, show: bool) -> None:
        self._label, self._show, self._stack = label, show, contextlib.ExitStack()
        self._tell, self._bytes, self._told = None, 0, 0

    def total(self, n_bytes: int, begun: int) -> None:
        if self._tell is None:
            self._tell = self._stack.enter_context(bar(f"{self._label} (MB)", max(1, n_bytes // 1_000_000), self._show and n_bytes > 0))
        self._bytes = begun
        self.step(0)

    def step(self, n_bytes: int) -> None:
        self._bytes += n_bytes
        if self._tell is not None and (more := self._bytes // 1_000_000 - self._told):
            self._told += more
            self._tell(more)


@contextmanager
def _bar_of(url: str, show: bool) -> Iterator[_Shown]:
    shown = _Shown(file_name(url), show)
    with shown._stack:
        yield shown
