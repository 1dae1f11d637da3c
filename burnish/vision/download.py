"""Downloading many pictures: in parallel, only what is a picture, with the source and licence of each written beside them."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import os
import threading
import time
import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from burnish.data.download import file_name, write_whole
from burnish.data.facts import sniff
from burnish.data.lazy import pd
from burnish.data.lock import FolderLock
from burnish.data.notes import note
from burnish.data.parallel import in_parallel
from burnish.data.views import bar
from burnish.data.web import FetchError, TooLargeError, body, checked_url, persist, request
from burnish.data.whole import checked_whole
from burnish.errors import DataError, OfflineError, SettingError, hinting, listed

MANIFEST = "downloads.csv"
MOST_PIXELS = 100_000_000
FORMATS = {  # what is accepted, by PIL's names, and the ending it gets: formats of photographs, none that runs another program
    "JPEG": ".jpg", "MPO": ".jpg", "PNG": ".png", "WEBP": ".webp", "GIF": ".gif", "BMP": ".bmp", "TIFF": ".tif", "AVIF": ".avif",
}  # fmt: skip
_OPENED = tuple(f for f in FORMATS if f != "MPO")  # several JPEGs in one file, which PIL opens as JPEG
_MANY_TIMES = 6  # how many times `timeout` one picture may take in all: a server that drips bytes never lets one wait run out
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class _Download:
    """A line of the manifest. `status`: "downloaded", "duplicate" (of the picture `file`) or "failed", for the `reason`."""

    file: str
    url: str
    source: str = ""
    licence: str = ""
    author: str = ""
    title: str = ""
    sha256: str = ""
    status: str = "failed"
    reason: str = ""


_COLUMNS = [f.name for f in fields(_Download)]


@hinting
def download_images(
    dest: str | os.PathLike[str], url_file: str | os.PathLike[str] | None = None, urls: Iterable[Any] | None = None, max_pics: int = 1000,
    n_workers: int = 8, timeout: float = 10, preserve_filename: bool = False, *, max_bytes: int = 50_000_000, max_pixels: int = MOST_PIXELS,
    retries: int = 3, show_progress: bool = True, only_pictures: bool = True,
) -> pd.DataFrame:  # fmt: skip
    """Downloads pictures into a folder; gives a table of what became of each address, which ``downloads.csv`` in the folder keeps.

    Only what is a picture is kept: it is decoded whole. A web page, a file that is cut off, one of too many bytes or pixels fails, with
    its reason. Addresses that the folder's ``downloads.csv`` says are there are not downloaded again, so an interrupted call can be
    repeated. The same picture under several addresses is kept once.

    Args:
        dest: the folder; made if it isn't there.
        url_file: a text file with an address a line. urls: addresses, or what :func:`search_images` gives: then the licence, author,
            title and page of each picture are kept in the table.
        max_pics: how many addresses to take, from the first on.
        n_workers: how many at a time.
        timeout: seconds for each wait on the network; six times as long for a picture in all.
        preserve_filename: names out of the addresses, instead of ones made from their digest. Endings follow the content.
        max_bytes, max_pixels: the largest picture to accept.
        retries: further tries after a failure that may pass, waiting 0.5, 1, 2 ... seconds or as long as the server says.
        only_pictures: False keeps what came but is no picture too (as a file with a picture's ending, so that it runs nothing), for
            :func:`verify_images` to find; the table gives its reason.

    Returns:
        A row an address: file, url, source, licence, author, title, sha256, status ("downloaded", "duplicate", "failed"), reason.

    Raises:
        OfflineError: no server could be reached. DataError: nothing could be downloaded, for other reasons that the message counts.
    """
    folder = Path(dest).expanduser()
    wanted = _wanted(url_file, urls)[: checked_whole("max_pics", max_pics, least=1)]
    limits = _Limits(
        timeout,
        checked_whole("max_bytes", max_bytes, least=1),
        checked_whole("max_pixels", max_pixels, least=1),
        checked_whole("retries", retries, least=0),
        only_pictures,
    )
    checked_whole("n_workers", n_workers, least=1)
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder), _Manifest(folder, preserve_filename) as manifest:
        todo = [d for d in wanted if not manifest.has(d.url)]
        with bar(f"downloading to {folder.name}", len(todo), show_progress) as step:

            def one(download: _Download) -> bool:
                unreached = _try(download, manifest, limits)
                step(1)
                return unreached

            unreached = in_parallel(one, todo, n_workers, chunk=1)
    done = [manifest.lines[d.url] for d in wanted]
    _tell(done, folder, len(todo), bool(todo) and all(unreached))
    return pd.DataFrame([asdict(d) for d in done], columns=_COLUMNS)


@dataclass(frozen=True)
class _Limits:
    timeout: float
    max_bytes: int
    max_pixels: int
    retries: int
    only_pictures: bool

    def __post_init__(self) -> None:
        if not isinstance(self.timeout, (int, float)) or not self.timeout > 0:
            raise SettingError(f"timeout={self.timeout!r}: seconds were expected, more than 0.")


def _wanted(url_file: Any, urls: Iterable[Any] | None) -> list[_Download]:
    """The addresses, each once, with what is known of their pictures."""
    if (url_file is None) == (urls is None):
        raise SettingError(
            "Give either urls= (a list of addresses, or what search_images gives) or url_file= (a text file with one a line)."
        )
    if isinstance(urls, (str, bytes)):
        raise SettingError(f"urls={urls!r} is one text; a list of addresses was expected. For a single file there is download_url.")
    given = Path(url_file).read_text(encoding="utf-8-sig").splitlines() if url_file is not None else list(urls or ())
    given = [g for g in given if str(g).strip()]
    if not given:
        raise DataError(f"There are no addresses in {f'the file {url_file}' if url_file is not None else 'urls='}.")
    known = ("source", "licence", "author", "title")
    found = (_Download("", str(g).strip(), *(_text(getattr(g, k, "")) for k in known)) for g in given)
    return list({d.url: d for d in reversed(list(found))}.values())[::-1]


def _text(value: Any) -> str:
    """Text from elsewhere for a cell: on one line, and none that a spreadsheet would run. (A plain string's `title` is a method.)"""
    text = " ".join(value.split()) if isinstance(value, str) else ""
    return f"'{text}" if text.startswith(_FORMULA) else text


# -- one picture --------------------------------------------------------------------------------------------------------
def _try(download: _Download, manifest: _Manifest, limits: _Limits) -> bool:
    """Downloads one picture and notes it; whether the server couldn't be reached."""
    unreached = False
    try:
        content = persist(lambda: _content(download.url, limits), limits.retries)
        manifest.keep(*_judged(download, content, limits))
    except FetchError as error:
        unreached = error.unreached
        manifest.fail(download, error.reason)
    except TooLargeError:
        manifest.fail(download, f"it is larger than {limits.max_bytes / 1e6:,.4g} MB (max_bytes)")
    except DataError as error:
        manifest.fail(download, str(error))
    return unreached


def _judged(download: _Download, content: bytes, limits: _Limits) -> tuple[_Download, bytes, str]:
    """A download with its content and the ending of its file. Raises DataError for what is not to be kept."""
    try:
        return download, content, _ending(content, limits.max_pixels)
    except DataError as error:
        if limits.only_pictures:
            raise
        suffix = os.path.splitext(file_name(download.url))[1].lower()
        return replace(download, reason=str(error)), content, suffix if suffix in (*FORMATS.values(), ".jpeg") else ".jpg"


def _content(url: str, limits: _Limits) -> bytes:
    checked_url(url)
    deadline = time.monotonic() + _MANY_TIMES * limits.timeout
    with request(url, limits.timeout, {"Accept": "image/*,*/*;q=0.5"}) as response:
        return b"".join(body(response, url, limits.timeout, limits.max_bytes, deadline))


def _ending(content: bytes, max_pixels: int) -> str:
    """The ending of a picture's file, by its content. Raises DataError, in a few words, when it is no picture to keep."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=_OPENED) as image:
                if image.width * image.height > max_pixels:
                    raise DataError(f"it has more than {max_pixels / 1e6:,.4g} million pixels (max_pixels)")
                image.load()
                return FORMATS[str(image.format)]
    except Image.DecompressionBombError:
        raise DataError(f"it has more than {max_pixels / 1e6:,.4g} million pixels (max_pixels)") from None
    except UnidentifiedImageError:
        raise DataError(_what_else(content)) from None
    except DataError:
        raise
    except Exception as error:  # a damaged file makes decoders raise nearly anything
        raise DataError(
            "it is cut off or damaged"
            if isinstance(error, (OSError, SyntaxError, ValueError))
            else f"it can't be decoded ({type(error).__name__})"
        ) from error


def _what_else(content: bytes) -> str:
    kind = sniff(content[:512])
    known = {
        "HTML": "it is a web page, no picture",
        "SVG": "it is an SVG drawing or an XML text, no photograph",
        "PDF": "it is a PDF, no picture",
    }
    return (
        "it is empty"
        if not content
        else known.get(str(kind), f"it is of a kind that isn't accepted ({kind})" if kind else "it is no picture")
    )


# -- what is noted ------------------------------------------------------------------------------------------------------
@contextlib.contextmanager
def _alone(folder: Path):
    """One call at a time writes into a folder."""
    lock = FolderLock(folder)
    if not lock.acquire():
        raise BlockingIOError(f"Another call of download_images is writing into {folder}. Wait for it to end, or choose another folder.")
    try:
        yield
    finally:
        lock.release()


class _Manifest:
    """The table of a folder's pictures, a line written as each is done."""

    def __init__(self, folder: Path, preserve_filename: bool) -> None:
        self.folder, self.path, self.preserve = folder, folder / MANIFEST, preserve_filename
        self.lock = threading.Lock()
        self.lines = {line.url: line for line in _read(self.path)}
        self.by_content = {d.sha256: d.file for d in self.lines.values() if d.status == "downloaded" and (folder / d.file).is_file()}
        self.names = {p.name.lower() for p in folder.iterdir()}

    def __enter__(self) -> _Manifest:
        rows = io.StringIO()
        writer = csv.DictWriter(rows, _COLUMNS)
        writer.writeheader()
        writer.writerows(asdict(line) for line in self.lines.values())
        write_whole(self.path, rows.getvalue().encode())  # without a line that a killed process left half written
        self._file = open(self.path, "a", encoding="utf-8", newline="")
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def has(self, url: str) -> bool:
        """Whether the picture of an address is there."""
        line = self.lines.get(url)
        return line is not None and line.status != "failed" and (self.folder / line.file).is_file()

    def keep(self, download: _Download, content: bytes, ending: str) -> None:
        digest = hashlib.sha256(content).hexdigest()
        with self.lock:
            same = None if download.reason else self.by_content.get(digest)  # what can't be used is kept under each address
            if same is None:
                name = self._name(download.url, ending)
                self.by_content[digest] = name
        if same is not None:
            self._add(replace(download, file=same, sha256=digest, status="duplicate", reason=f"the same picture as {same}"))
            return
        self._add(replace(download, file=name, sha256=digest, status="downloaded"))  # first: no picture without its licence
        write_whole(self.folder / name, content)

    def fail(self, download: _Download, reason: str) -> None:
        self._add(replace(download, reason=reason.rstrip(".")))

    def _name(self, url: str, ending: str) -> str:
        """A name that no file has, or one that no other address can have."""
        if not self.preserve:
            return hashlib.sha256(url.encode()).hexdigest()[:16] + ending
        stem = os.path.splitext(file_name(url))[0]
        name, n = stem + ending, 2
        while name.lower() in self.names:
            name, n = f"{stem}-{n}{ending}", n + 1
        self.names.add(name.lower())
        return name

    def _add(self, line: _Download) -> None:
        with self.lock:
            self.lines[line.url] = line
            csv.DictWriter(self._file, _COLUMNS).writerow(asdict(line))
            self._file.flush()


def _read(path: Path) -> list[_Download]:
    """The lines of a manifest. Raises DataError when the file of that name is something else."""
    if not path.is_file():
        return []
    with open(path, encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        if next(rows, None) != _COLUMNS:
            raise DataError(f"{path} is not a table of downloads as download_images writes it. Rename it, or choose another folder.")
        return [_Download(*row) for row in rows if len(row) == len(_COLUMNS)]


def _tell(done: list[_Download], folder: Path, n_tried: int, unreached: bool) -> None:
    failed = [d.reason for d in done if d.status == "failed"]
    reasons = listed((f"{n} × {reason}" for reason, n in Counter(failed).most_common()), 6)
    if len(failed) == len(done):
        kind = OfflineError if unreached else DataError
        raise kind(
            f"None of {len(done)} pictures could be downloaded to {folder}: {reasons}. {folder / MANIFEST} tells it for each address."
        )
    before, twice = len(done) - n_tried, sum(d.status == "duplicate" for d in done)
    parts = [f"{len(done) - len(failed)} of {len(done)} pictures are in {folder}"]
    parts += [f"{before} of them were there already"] if before else []
    odd = Counter(d.reason for d in done if d.status == "downloaded" and d.reason)
    parts += [f"{sum(odd.values())} of them can't be used: {listed((f'{n} × {r}' for r, n in odd.most_common()), 6)}"] if odd else []
    parts += [f"{twice} under more than one address"] if twice else []
    parts += [f"{len(failed)} failed: {reasons}"] if failed else []
    note("; ".join(parts) + f". Sources and licences: {folder / MANIFEST}.")
