"""Finding files: sorted, the same on every machine, and only what can be opened."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from PIL import Image

from burnish.data.collections import L
from burnish.data.config import Configurable
from burnish.data.notes import note
from burnish.errors import DataError, listed, nearest

# fmt: off
image_extensions: frozenset[str] = frozenset({
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".webp", ".avif",
    ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".jpx", ".tga", ".ico",
})
"""Suffixes of the pictures that PIL's ordinary builds decode."""

undecodable_extensions: frozenset[str] = frozenset({
    ".heic", ".heif", ".svg", ".psd", ".ai", ".eps", ".raw", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".jxl",
    ".dcm", ".nii", ".xcf",
})
"""Suffixes of pictures that PIL doesn't decode by itself (some of them it does once a plug-in such as pillow-heif is registered)."""
# fmt: on

_ARCHIVES = frozenset({".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar"})
_DIGITS = re.compile(r"([0-9]+)")


def get_files(
    path: str | Path,
    extensions: str | Iterable[str] | None = None,
    recurse: bool = True,
    folders: str | Iterable[str] | None = None,
    followlinks: bool = True,
) -> L[Path]:
    """The files under a folder, sorted: natural order of the path parts ("img2" before "img10"), the same on every system.

    Names that start with a dot are skipped, as are links that lead back to a folder they are in.

    Args:
        path: the folder.
        extensions: suffixes to keep, such as ".jpg" (letter case doesn't matter); None keeps every file.
        recurse: look into sub-folders.
        folders: names of the only sub-folders of `path` to look into; "." stands for the files directly in `path`.
        followlinks: look into folders that are symbolic links.

    Raises:
        FileNotFoundError, NotADirectoryError: there is no such folder.
        DataError: nothing was found (the message counts what is there instead), or a name in `folders` isn't there.
    """
    root = _folder(path)
    only = None if folders is None else set(_names(folders))
    if only is not None:
        _check_folders(root, only)
    wanted = None if extensions is None else _suffixes(extensions)
    found = sorted(_walk(root, recurse, only, followlinks), key=lambda rel: natural_key(rel))
    kept = L([root / rel for rel in found if wanted is None or _suffix(rel) in wanted])
    if not kept:
        raise DataError(_nothing_found(root, found, wanted, recurse, only))
    return kept


def get_image_files(path: str | Path, recurse: bool = True, folders: str | Iterable[str] | None = None) -> L[Path]:
    """The pictures under a folder that PIL can decode, sorted; see :func:`get_files`. Pictures of other kinds (HEIC, raw
    camera files ...) are left out and a note says how many.

    Raises:
        FileNotFoundError, NotADirectoryError: there is no such folder.
        DataError: it holds no picture that can be decoded.
    """
    decodable = image_extensions | (undecodable_extensions & Image.EXTENSION.keys())  # a registered plug-in adds its own
    looks_like = image_extensions | undecodable_extensions
    found = get_files(path, looks_like, recurse, folders)
    kept = found.filter(lambda f: f.suffix.lower() in decodable)
    left_out = Counter(f.suffix.lower() for f in found) - Counter(f.suffix.lower() for f in kept)
    if not kept:
        raise DataError(
            f"{root_name(path)} holds {_counts(left_out)}, which can't be decoded here, and no other picture. {_convert_hint(left_out)}"
        )
    if left_out:
        note(f"{_counts(left_out)} under {root_name(path)} can't be decoded here and are left out. {_convert_hint(left_out)}")
    return kept


def get_text_files(path: str | Path, recurse: bool = True, folders: str | Iterable[str] | None = None) -> L[Path]:
    """The ``.txt`` files under a folder, sorted; see :func:`get_files`."""
    return get_files(path, ".txt", recurse, folders)


class FileGetter:
    """A function that lists the files under ``path / suf``, for ``DataBlock(get_items=...)``; see :func:`get_files`."""

    def __init__(
        self, suf: str = "", extensions: str | Iterable[str] | None = None, recurse: bool = True, folders: str | Iterable[str] | None = None
    ) -> None:
        self.suf, self.extensions, self.recurse, self.folders = suf, extensions, recurse, folders

    __repr__ = Configurable.__repr__

    def __call__(self, path: str | Path) -> L[Path]:
        return get_files(Path(path) / self.suf, self.extensions, self.recurse, self.folders)


class ImageGetter:
    """A function that lists the pictures under ``path / suf``, for ``DataBlock(get_items=...)``; see :func:`get_image_files`."""

    def __init__(self, suf: str = "", recurse: bool = True, folders: str | Iterable[str] | None = None) -> None:
        self.suf, self.recurse, self.folders = suf, recurse, folders

    __repr__ = Configurable.__repr__

    def __call__(self, path: str | Path) -> L[Path]:
        return get_image_files(Path(path) / self.suf, self.recurse, self.folders)


def natural_key(relative: str) -> tuple[list[list[tuple[int, int, str]]], str]:
    """Sorting key of a path with "/" between its parts: part by part, runs of digits as numbers.

    >>> sorted(["b/1.jpg", "a/10.jpg", "a/2.jpg"], key=natural_key)
    ['a/2.jpg', 'a/10.jpg', 'b/1.jpg']
    """
    return [
        [(0, int(t), "") if t.isdecimal() and t.isascii() else (1, 0, t) for t in _DIGITS.split(p) if t] for p in relative.split("/")
    ], relative


def root_name(path: str | Path) -> str:
    """A path as messages show it: absolute, in quotes."""
    return repr(os.path.abspath(os.path.expanduser(path)))


def _folder(path: str | Path) -> Path:
    root = Path(path).expanduser()
    if not root.exists():
        parent = next(p for p in Path(os.path.abspath(root)).parents if p.exists())
        near = parent == Path(os.path.abspath(root)).parent and os.access(parent, os.R_OK)
        beside = [e.name for e in os.scandir(parent) if e.is_dir()] if near else []
        raise FileNotFoundError(
            f"There is no folder {root_name(root)}. The nearest that exists is {str(parent)!r}; check the spelling and the "
            f"working directory ({os.getcwd()}).{nearest(Path(os.path.abspath(root)).name, beside)}"
        )
    if not root.is_dir():
        raise NotADirectoryError(
            f"{root_name(root)} is a file; a folder was expected. Give the folder that holds it: {root_name(root.parent)}."
        )
    return root


def _names(names: str | Iterable[str]) -> list[str]:
    return [names] if isinstance(names, str) else [str(n) for n in names]


def _suffixes(extensions: str | Iterable[str]) -> frozenset[str]:
    return frozenset(e.lower() if e.startswith(".") or not e else f".{e.lower()}" for e in _names(extensions))


def _suffix(relative: str) -> str:
    return os.path.splitext(relative)[1].lower()


def _check_folders(root: Path, only: set[str]) -> None:
    there = [e.name for e in os.scandir(root) if e.is_dir()]
    missing = sorted(only - set(there) - {"."})
    if missing:
        raise DataError(
            f"folders= names {listed(map(repr, missing))}, but {root_name(root)} has no such sub-folder. It has: "
            f"{listed(sorted(there), 10) or 'none'}.{nearest(missing[0], there)}"
        )


def _walk(root: Path, recurse: bool, only: set[str] | None, followlinks: bool) -> Iterator[str]:
    """Paths relative to `root`, "/" between the parts, in no particular order."""
    unreadable: list[str] = []
    dangling: list[str] = []
    top = (os.fspath(root), "", (_identity(os.fspath(root)),))
    stack: list[tuple[str, str, tuple[tuple[int, int], ...]]] = [top]
    while stack:
        folder, prefix, ancestors = stack.pop()
        entries = _entries(folder, unreadable)
        for entry in entries:
            named = only is not None and prefix == ""
            if entry.name.startswith(".") and not (named and entry.name in (only or ())):
                continue
            if entry.is_symlink() and not os.path.exists(entry.path):
                dangling.append(prefix + entry.name)
            elif not entry.is_dir():
                if not named or "." in (only or ()):
                    yield prefix + entry.name
            elif recurse and (not named or entry.name in (only or ())) and (followlinks or not entry.is_symlink()):
                identity = _identity(entry.path)
                if identity not in ancestors:  # else a link back up: it would never end
                    stack.append((entry.path, f"{prefix}{entry.name}/", (*ancestors, identity)))
    if dangling:
        note(f"{len(dangling)} link(s) under {root_name(root)} lead to files that don't exist and are left out: {listed(dangling, 3)}.")
    if unreadable:
        note(f"{len(unreadable)} folder(s) can't be read and are left out: {listed(unreadable, 3)}. Change their permissions to use them.")


def _entries(folder: str, unreadable: list[str]) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except PermissionError:
        unreadable.append(folder)
        return []


def _identity(folder: str) -> tuple[int, int]:
    stat = os.stat(folder)
    return stat.st_dev, stat.st_ino


def _counts(suffixes: Counter[str]) -> str:
    return ", ".join(f"{n} {s or 'without extension'}" for s, n in suffixes.most_common(8))


def _convert_hint(left_out: Iterable[str]) -> str:
    heif = "; for HEIC install pillow-heif and call pillow_heif.register_heif_opener() first" if {".heic", ".heif"} & set(left_out) else ""
    return f"Convert them to JPEG or PNG{heif}."


def _nothing_found(root: Path, found: list[str], wanted: frozenset[str] | None, recurse: bool, only: set[str] | None) -> str:
    what = "files" if wanted is None else "pictures" if wanted >= image_extensions else f"{listed(sorted(wanted))} files"
    where = root_name(root) + (f" (folders {listed(sorted(only))})" if only else "")
    suffixes = Counter(_suffix(f) for f in found)
    if found:
        there = f"It holds {len(found)} other file(s): {_counts(suffixes)}."
    else:
        names = sorted(e.name for e in os.scandir(root))
        there = f"It holds no files, only: {listed(names)}." if names else "It is empty."
    hints = [
        "Unpack the archive first." if _ARCHIVES & suffixes.keys() else "",
        "With recurse=False its sub-folders aren't looked into." if not recurse else "",
    ]
    return " ".join([f"There are no {what} in {where}.", there, *filter(None, hints), "Check that this is the folder you mean."])
