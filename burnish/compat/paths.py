"""What notebooks for fastai ask of a `Path`."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from pathlib import Path, PurePath
from typing import Any

from burnish.data.collections import L

__all__ = ["join_path_file", "load_pickle", "maybe_open", "mkdir", "open_file", "save_pickle", "untar_dir", "working_directory"]


def ls(self: Path, n_max: int | None = None, file_type: str | None = None, file_exts: Any = None) -> L[Path]:
    """What is in the folder, sorted by name; at most `n_max`, of one kind of file (the first part of its media type) or with one of these endings."""
    import mimetypes

    endings = {e.lower() for e in L(file_exts)}
    if file_type is not None:
        endings |= {ending for ending, kind in mimetypes.types_map.items() if kind.startswith(f"{file_type}/")}
    found = sorted(p for p in self.iterdir() if not endings or p.suffix.lower() in endings)
    return L(found[:n_max], use_list=True)


def read_json(self: Path, encoding: str | None = None, errors: str | None = None) -> Any:
    """What a JSON file holds."""
    return json.loads(self.read_text(encoding=encoding, errors=errors))


def read_jsonl(self: Path, encoding: str | None = None, errors: str | None = None) -> L[Any]:
    """What each line of a file of JSON lines holds."""
    return L([json.loads(line) for line in self.read_text(encoding=encoding, errors=errors).splitlines() if line.strip()])


def write_json(self: Path, data: Any, **kwargs: Any) -> None:
    """Writes JSON; keywords go to ``json.dumps``."""
    self.write_text(json.dumps(data, **kwargs))


def mk_write(
    self: Path, data: str | bytes, encoding: str | None = None, errors: str | None = None, mode: int = 511, uid: int = -1, gid: int = -1
) -> None:
    """Writes a text (or bytes), making its folders."""
    self.parent.mkdir(mode, parents=True, exist_ok=True)
    if isinstance(data, bytes):
        self.write_bytes(data)
    else:
        self.write_text(data, encoding=encoding, errors=errors)
    if uid != -1 or gid != -1:
        os.chown(self, uid, gid)


def readlines(self: Path, hint: int = -1, encoding: str = "utf8") -> list[str]:
    """The lines of a file."""
    with self.open(encoding=encoding) as file:
        return file.readlines(hint)


def delete(self: Path) -> None:
    """Deletes a file, or a folder with all that is in it; nothing where there is none."""
    if self.is_dir() and not self.is_symlink():
        shutil.rmtree(self)
    else:
        self.unlink(missing_ok=True)


def relpath(self: Path, start: str | os.PathLike[str] | None = None) -> Path:
    """The way from `start` (the working folder) to it."""
    return self.__class__(os.path.relpath(self, start))


def normpath(self: Path) -> Path:
    """Without `..` and doubled separators."""
    return self.__class__(os.path.normpath(self))


def __repr__(self: PurePath) -> str:
    """Shown from ``Path.BASE_PATH`` on, where that is set and it lies below it."""
    base = getattr(Path, "BASE_PATH", None)
    shown = self
    if base is not None:
        with suppress(ValueError):
            shown = self.relative_to(base)
    return f"Path({shown.as_posix()!r})"


PATCHES = {
    "ls": ls,
    "read_json": read_json,
    "read_jsonl": read_jsonl,
    "write_json": write_json,
    "mk_write": mk_write,
    "readlines": readlines,
    "delete": delete,
    "relpath": relpath,
    "normpath": normpath,
}


# -- files --------------------------------------------------------------------------------------------------------------
def mkdir(path: Any, exist_ok: bool = False, parents: bool = False, overwrite: bool = False, **kwargs: Any) -> Path:
    """Makes a folder; with `overwrite` in the place of what was there."""
    path = Path(path)
    if path.exists() and overwrite:
        shutil.rmtree(path)
    path.mkdir(exist_ok=exist_ok, parents=parents, **kwargs)
    return path


def join_path_file(file: Any, path: Any, ext: str = "") -> Any:
    """``path/file`` with `ext`, its folders made; what is no name as it is."""
    if not isinstance(file, (str, Path)):
        return file
    made = Path(path) / f"{file}{ext}"
    made.parent.mkdir(parents=True, exist_ok=True)
    return made


class working_directory:
    """A block in which another folder is the working one."""

    def __init__(self, path: Any) -> None:
        self.path, self.before = path, os.getcwd()

    def __enter__(self) -> None:
        self.before = os.getcwd()
        os.chdir(self.path)

    def __exit__(self, *args: Any) -> None:
        os.chdir(self.before)


def open_file(fn: Any, mode: str = "r", **kwargs: Any) -> Any:
    """Opens a file, one that is compressed (.gz, .bz2) too."""
    if not isinstance(fn, (str, os.PathLike)):
        return fn
    suffix = Path(fn).suffix
    if suffix == ".gz":
        import gzip

        return gzip.open(fn, mode, **kwargs)
    if suffix == ".bz2":
        import bz2

        return bz2.open(fn, mode, **kwargs)
    return open(fn, mode, **kwargs)


class maybe_open:
    """A block with a file opened by its name, or with the file that was given."""

    def __init__(self, f: Any, mode: str = "r", **kwargs: Any) -> None:
        self.own = isinstance(f, (str, os.PathLike))
        self.file = open(f, mode, **kwargs) if self.own else f  # noqa: SIM115

    def __enter__(self) -> Any:
        return self.file

    def __exit__(self, *args: Any) -> None:
        if self.own:
            self.file.close()


def save_pickle(fn: Any, o: Any) -> None:
    """Writes an object as a pickle. A pickle runs code where it is opened: never share one."""
    import pickle

    with open_file(fn, "wb") as file:
        pickle.dump(o, file)


def load_pickle(fn: Any) -> Any:
    """Opens a pickle of one's own. It runs code that is in the file."""
    import pickle

    with open_file(fn, "rb") as file:
        return pickle.load(file)


def untar_dir(fname: Any, dest: Any, rename: bool = False, overwrite: bool = False) -> Path:
    """Unpacks an archive into a folder of its name below `dest`, safely; gives the folder. One that is there stays, unless `overwrite`."""
    from burnish.data.archives import unpack

    fname, dest = Path(fname), Path(dest)
    name = fname.name.split(".")[0]
    target = dest / name
    if target.exists():
        if not overwrite:
            return target
        shutil.rmtree(target)
    _ = rename
    unpack(fname, target)
    return target
