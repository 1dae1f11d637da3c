"""The cache of what is deterministic: opened and resized samples, bounded in size, in memory or on disk."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import io
import os
import re
import tempfile
import threading
import time
import weakref
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from burnish.data.transforms import Values
from burnish.errors import SettingError

GIB = 2**30
Key = tuple[Any, ...]
_ENTRY = re.compile(r"[0-9a-f]{40}\.npz")  # 16 digits for the settings, 24 for the raw cells
_UNFINISHED = re.compile(r"[0-9a-f]{40}\.\w+\.tmp")
_PIXEL_MODES = {"L", "RGB", "RGBA"}  # pictures that Pixels tell wholly
_KEPT_MODES = {"1", "L", "LA", "RGB", "RGBA", "I", "F", "I;16"}  # an array tells them; a palette or another colour space is lost in it
_MEDIA = ("ram", "memory", "disk", "disc")
_WORDS = {"", "auto", "true", "false", "none", "on", "off", "yes", "no"}


class Pixels(np.ndarray):
    """A picture as the cache may hold it: uint8, ``(height, width)`` or ``(height, width, 3 | 4)``. Nobody writes into it: what a
    sample of it is cut from serves again. A class of its own, so that it isn't taken for an array that is a value of the user's."""


class ItemCache:
    """Keeps prepared samples by what they were made from: the raw cell, its file's time and size, and the settings.

    A changed file or setting is read afresh. Of the settings in use nothing is evicted: a pass over data larger than the
    budget would throw out exactly what it needs next; what doesn't fit is read again each time. On disk, what other
    settings left makes room, the longest unused first.

    Args:
        settings: what the prepared value depends on besides the raw cell (``Reader.settings()``).
        folder: None keeps samples in memory; a folder keeps them there, also for later runs.
        budget: most bytes to hold, together with the caches that share this one's.
    """

    def __init__(self, settings: str, folder: Path | None = None, budget: int = 2 * GIB) -> None:
        self._use(settings, _Memory(budget) if folder is None else _Disk(folder, budget))

    def sharing(self, settings: str) -> ItemCache:
        """A cache for samples prepared with other settings (another split's), in the same place and within the same budget."""
        other = ItemCache.__new__(ItemCache)
        other._use(settings, self._store)
        return other

    def _use(self, settings: str, store: _Store) -> None:
        self.settings, self._store = settings, store
        self.hits = self.misses = 0
        self._prefix = _digest(settings, 8)
        store.in_use.add(self._prefix)

    def __deepcopy__(self, memo: dict[int, Any]) -> ItemCache:
        """Itself: copies of a loader may share the place."""
        return self

    @property
    def folder(self) -> Path | None:
        """Where samples are kept; None: in memory."""
        return self._store.folder

    @property
    def budget(self) -> int:
        """Most bytes to hold."""
        return self._store.budget

    @property
    def used(self) -> int:
        """Bytes held now, by all that share the budget."""
        return self._store.used

    def get(
        self, raws: Values, make: Callable[[], Values], copy: bool = False, pixels: bool = False, opened: Sequence[bool] | None = None
    ) -> Values:
        """The prepared sample, from the cache or from `make`.

        ``copy=True`` hands out copies that may be changed; ``pixels=True`` pictures as :class:`Pixels`, which take less memory and
        no time to cut from. `opened` tells which of the cells something is opened from (default: all); the others are values.
        """
        opened = opened or [True] * len(raws)
        key = self._key(raws, opened)
        found = self._store.find(*key, raws) if key else None
        as_asked = as_pixels if pixels else _as_image
        values = tuple(as_asked(v) if o else v for v, o in zip(make() if found is None else found, opened, strict=True))
        if found is not None:
            self.hits += 1
        else:
            self.misses += 1
            if key:
                self._keep(*key, raws, values)
        return tuple(v.copy() if isinstance(v, Image.Image) else v for v in values) if copy else values

    def _key(self, raws: Values, opened: Sequence[bool]) -> tuple[Key, Key] | None:
        """(what the sample is, of which time and size its files are); None when a raw cell has no lasting identity (an array,
        an open image). A changed file takes the place of what was made of it before."""
        parts: list[Any] = [self._prefix]
        stamps: list[int] = []
        for raw, may_be_file in zip(raws, opened, strict=True):
            stat = _stat(raw) if may_be_file else None
            if stat is not None:
                path = os.fspath(raw)
                parts.append(path if path.startswith(os.sep) else os.path.abspath(path))
                stamps += (stat.st_mtime_ns, stat.st_size)
            elif isinstance(raw, bytes):
                parts.append(hashlib.blake2b(raw, digest_size=16).hexdigest())
            elif _is_plain(raw):
                parts.append(repr(raw))
            else:
                return None
        return tuple(parts), tuple(stamps)

    def _keep(self, key: Key, stamp: Key, raws: Values, values: Values) -> None:
        """Keeps samples of pictures and plain cells (labels); anything else is made anew each time."""
        pictures = [v for v in values if isinstance(v, _PICTURES)]
        if pictures and all(v is r for v, r in zip(values, raws, strict=True) if not isinstance(v, _PICTURES)):
            self._store.keep(key, stamp, values, sum(map(self._store.size_of, pictures)))


class _Store:
    """Where samples are, within a budget that several caches may share."""

    folder: Path | None = None

    def __init__(self, budget: int) -> None:
        self.budget, self.used = budget, 0
        self.in_use: set[str] = set()  # the settings whose samples are not evicted, as they begin their keys
        self._renew_lock()

    def _renew_lock(self) -> None:
        self.lock = threading.Lock()
        _stores.add(self)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._renew_lock()

    def find(self, key: Key, stamp: Key, raws: Values) -> Values | None:
        raise NotImplementedError

    def keep(self, key: Key, stamp: Key, values: Values, size: int) -> None:
        raise NotImplementedError

    @staticmethod
    def size_of(picture: Image.Image | Pixels) -> int:
        """Bytes that a picture takes here."""
        return picture.nbytes if isinstance(picture, Pixels) else picture.width * picture.height * len(picture.getbands())


_stores: weakref.WeakSet[_Store] = weakref.WeakSet()


def _renew_locks() -> None:
    """In a forked process: the threads that may have held the locks are not here to let go of them."""
    for store in _stores:
        store.lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_locks)


class _Memory(_Store):
    def __init__(self, budget: int) -> None:
        super().__init__(budget)
        self._held: dict[Key, tuple[Key, Values, int]] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Samples stay behind: the process that unpickles it makes them anew."""
        return {**super().__getstate__(), "_held": {}, "used": 0}

    def find(self, key: Key, stamp: Key, raws: Values) -> Values | None:
        held = self._held.get(key)
        return held[1] if held is not None and held[0] == stamp else None

    def keep(self, key: Key, stamp: Key, values: Values, size: int) -> None:
        with self.lock:
            before = self._held[key][2] if key in self._held else 0
            if self.used - before + size <= self.budget:
                self._held[key] = (stamp, values, size)
                self.used += size - before

    @staticmethod
    def size_of(picture: Image.Image | Pixels) -> int:
        if isinstance(picture, Pixels):
            return picture.nbytes
        return picture.width * picture.height * (4 if len(picture.getbands()) > 1 else 1)  # Pillow holds a colour pixel in 4 bytes


class _Disk(_Store):
    """An ``.npz`` file a sample, named by settings and raw cells; files that are not the cache's are left alone."""

    folder: Path

    def __init__(self, folder: Path, budget: int) -> None:
        super().__init__(budget)
        self.folder, self._full = folder, False
        folder.mkdir(parents=True, exist_ok=True)
        found = []
        for entry in os.scandir(folder):
            with contextlib.suppress(OSError):  # another process makes room meanwhile
                if _ENTRY.fullmatch(entry.name):
                    found.append((entry.stat().st_mtime, entry.stat().st_size, entry.path))
                elif _UNFINISHED.fullmatch(entry.name) and entry.stat().st_mtime < time.time() - 3600:  # its process was killed
                    os.unlink(entry.path)
        self._others = [(path, size) for _, size, path in sorted(found, reverse=True)]  # the oldest last
        self.used = sum(size for _, size in self._others)

    def find(self, key: Key, stamp: Key, raws: Values) -> Values | None:
        file, stamped = self._file(key), _stamped(stamp)
        try:
            with np.load(file, allow_pickle=False) as arrays:
                names = [f"{stamped}.{i}" for i in range(len(raws))]
                if not any(name in arrays for name in names):  # of the file as it was before
                    return None
                found = tuple(_of_array(arrays[name]) if name in arrays else raw for name, raw in zip(names, raws, strict=True))
        except (OSError, ValueError, EOFError, zipfile.BadZipFile):  # a damaged entry is an entry not there, until it is made anew
            return None
        except SystemError:  # Python 3.11 at times, where several threads parse at once (an array's header): read it afresh
            return None
        with contextlib.suppress(OSError):
            os.utime(file)  # used: not the first to make room
        return found

    def _file(self, key: Key) -> Path:
        """An entry's file, named by the settings and by the rest of what the sample is."""
        prefix, *parts = map(str, key)
        return self.folder / f"{prefix}{_digest(chr(10).join(parts), 12)}.npz"

    def keep(self, key: Key, stamp: Key, values: Values, size: int) -> None:
        stamped = _stamped(stamp)
        pictures = {f"{stamped}.{i}": v for i, v in enumerate(values) if isinstance(v, _PICTURES)}
        if any(isinstance(v, Image.Image) and v.mode not in _KEPT_MODES for v in pictures.values()):
            return
        file = self._file(key)
        with self.lock:
            if self._full or not self._make_room(size - _size(file)):
                return
        entry = io.BytesIO()
        np.savez(entry, **{name: np.asarray(v) for name, v in pictures.items()})  # type: ignore[arg-type]
        temporary = ""
        try:
            handle, temporary = tempfile.mkstemp(".tmp", f"{file.stem}.", self.folder)
            with os.fdopen(handle, "wb") as f:
                f.write(entry.getbuffer())
            with self.lock:  # what is there now: another thread may have kept the same
                more = entry.tell() - _size(file)
                if self._make_room(more):
                    os.replace(temporary, file)
                    self.used += more
        except OSError:  # a full disk: the cache just stops growing
            self._full = True
        with contextlib.suppress(OSError):
            os.unlink(temporary)  # where it didn't take its place

    def _make_room(self, size: int) -> bool:
        """Whether there is room for `size` more bytes, once what other settings left and was used longest ago is gone."""
        while self.used + size > self.budget and self._others:
            path, freed = self._others.pop()
            if os.path.basename(path)[:16] not in self.in_use:
                with contextlib.suppress(OSError):
                    Path(path).unlink(missing_ok=True)
                    self.used -= freed
        return self.used + size <= self.budget


_PICTURES = (Image.Image, Pixels)


def as_pixels(value: Any) -> Any:
    """A picture as Pixels, where they tell it wholly; any other value as it is."""
    if isinstance(value, Image.Image) and value.mode in _PIXEL_MODES:
        return np.array(value).view(Pixels)
    return value


def _as_image(value: Any) -> Any:
    return Image.fromarray(value.view(np.ndarray)) if isinstance(value, Pixels) else value


def _of_array(array: np.ndarray) -> Image.Image | Pixels:
    """A picture from the array that tells it."""
    if array.dtype == np.uint8 and (array.ndim == 2 or array.shape[2] in (3, 4)):
        return array.view(Pixels)
    return Image.fromarray(array)


def _stat(raw: Any) -> os.stat_result | None:
    """Time and size of the file that a raw cell names; None where it is a cell of another kind. Raises OSError when a Path isn't there."""
    if isinstance(raw, Path):
        return os.stat(raw)
    try:
        return os.stat(raw) if isinstance(raw, str) else None
    except (OSError, ValueError):  # a string that is no file's name
        return None


def _size(file: Path) -> int:
    """Bytes of a file; 0 when there is none."""
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _stamped(stamp: Key) -> str:
    return _digest("\n".join(map(str, stamp)), 8)


def _digest(text: str, size: int) -> str:
    return hashlib.blake2b(text.encode(), digest_size=size).hexdigest()


def _is_plain(raw: Any) -> bool:
    return (
        raw is None
        or isinstance(raw, (str, int, float, bool, list, tuple, dict, Path))
        or (hasattr(raw, "item") and getattr(raw, "ndim", 0) == 0)
    )


def free_memory(root: Path = Path("/")) -> int:
    """Bytes of memory that could be used now: what the machine has free, and no more than the control groups of this process (a
    container, a job of a cluster) leave it; 4 GiB where the system doesn't tell.

    Args:
        root: where the system's files are.
    """
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        free = 4 * GIB
    return min([free, *_left_by_groups(root)])


def _left_by_groups(root: Path) -> Iterator[int]:
    """What each control group that this process is in, and each around it, has left: version 2, and the older version 1."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for controllers, path in (line.split(":", 2)[1:] for line in lines if line.count(":") >= 2):
        if controllers == "":
            base, names = root / "sys/fs/cgroup", ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            base, names = root / "sys/fs/cgroup/memory", ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        own = Path(path.lstrip("/"))
        for group in [own, *own.parents]:  # inside a container the path may be the host's: then only the last is there
            left = _left(base / group, *names)
            if left is not None:
                yield left


def _left(group: Path, limit: str, usage: str, idle: str) -> int | None:
    """Bytes below a group's limit, not counting cached files that nobody uses; None without a limit."""
    try:
        most, used = int((group / limit).read_text()), int((group / usage).read_text())
        idle_bytes = [int(line.split()[1]) for line in (group / "memory.stat").read_text().splitlines() if line.split()[0] == idle]
    except (OSError, ValueError, IndexError):  # ValueError: "max"
        return None
    return max(0, most - used + sum(idle_bytes))


def make_cache(
    setting: bool | str | Path | None, settings: str, n: int, sample_bytes: int, beside: ItemCache | None = None
) -> ItemCache | None:
    """The cache that the user's ``cache=`` asks for.

    Args:
        setting: False none; True or "ram" in memory, up to a quarter of the free memory; a folder there, up to 20 GiB;
            None in memory if all `n` samples of about `sample_bytes` fit into a tenth of the free memory.
        n: samples of all splits.
        beside: the cache of another split, whose place and budget this one shares.
    """
    if beside is not None:
        return beside.sharing(settings)
    if setting is False:
        return None
    if setting is None:
        budget = free_memory() // 10
        return ItemCache(settings, budget=budget) if n * sample_bytes <= budget else None
    if setting is True or setting == "ram":
        return ItemCache(settings, budget=free_memory() // 4)
    if isinstance(setting, (str, Path)) and not _no_folder(setting):
        return ItemCache(settings, Path(setting), budget=20 * GIB)
    raise SettingError(
        f"cache={setting!r}: expected True or 'ram' (in memory), a folder such as './cache' (a Path, or a string that is no word for a kind "
        "of memory), False, or None to let the size of the data decide."
    )


def _no_folder(setting: str | Path) -> bool:
    """Whether a string is rather a misspelt setting than the name of a folder."""
    if not isinstance(setting, str) or re.search(r"[/\\.~]", setting):
        return False
    word = setting.strip().lower()
    return word in _WORDS or bool(difflib.get_close_matches(word, _MEDIA, n=1, cutoff=0.8))
