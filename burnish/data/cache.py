"""The cache of what is deterministic: opened and resized samples, bounded in size, in memory or on disk."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from burnish.data.transforms import Values
from burnish.errors import SettingError

GIB = 2**30


class ItemCache:
    """Keeps prepared samples by what they were made from: the raw cell, its file's time and size, and the settings.

    A changed file or setting has another key, so it is read afresh. Nothing is evicted: a pass over data larger than
    the budget would throw out exactly what it needs next; what doesn't fit is read again each time.

    Args:
        settings: what the prepared value depends on besides the raw cell (``Reader.settings()``).
        folder: None keeps samples in memory; a folder keeps them there, also for later runs.
        budget: most bytes to hold.
    """

    def __init__(self, settings: str, folder: Path | None = None, budget: int = 2 * GIB) -> None:
        self.settings, self.folder, self.budget = settings, folder, budget
        self.used = self.hits = self.misses = 0
        self._held: dict[str, Values] = {}
        self._lock = threading.Lock()
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            self.used = sum(f.stat().st_size for f in folder.glob("*.npz"))

    def get(self, raws: Values, make: Callable[[], Values], copy: bool = False) -> Values:
        """The prepared sample, from the cache or from `make`. ``copy=True`` hands out copies that may be changed."""
        key = self._key(raws)
        values = self._find(key, raws) if key else None
        if values is None:
            self.misses += 1
            values = make()
            if key:
                self._keep(key, raws, values)
        else:
            self.hits += 1
        return tuple(v.copy() if copy and isinstance(v, Image.Image) else v for v in values)

    def _key(self, raws: Values) -> str | None:
        """None when a raw cell has no lasting identity (an array, an open image)."""
        parts = [self.settings]
        for raw in raws:
            if isinstance(raw, Path) or (isinstance(raw, str) and os.path.exists(raw)):
                stat = os.stat(raw)
                parts.append(f"{raw}|{stat.st_mtime_ns}|{stat.st_size}")
            elif isinstance(raw, bytes):
                parts.append(hashlib.blake2b(raw, digest_size=16).hexdigest())
            elif _is_plain(raw):
                parts.append(repr(raw))
            else:
                return None
        return "\n".join(parts) if self.folder is None else hashlib.blake2b("\n".join(parts).encode(), digest_size=20).hexdigest()

    def _find(self, key: str, raws: Values) -> Values | None:
        if self.folder is None:
            return self._held.get(key)
        file = self.folder / f"{key}.npz"
        try:
            with np.load(file, allow_pickle=False) as arrays:
                return tuple(Image.fromarray(arrays[str(i)]) if str(i) in arrays.files else raw for i, raw in enumerate(raws))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, EOFError, zipfile.BadZipFile):  # a damaged entry is an entry not there
            file.unlink(missing_ok=True)
            return None

    def _keep(self, key: str, raws: Values, values: Values) -> None:
        """Keeps samples of pictures and plain cells (labels); anything else is made anew each time."""
        pictures = {str(i): v for i, v in enumerate(values) if isinstance(v, Image.Image)}
        if not pictures or any(v is not r for v, r in zip(values, raws, strict=True) if not isinstance(v, Image.Image)):
            return
        # in memory Pillow holds a colour pixel in 4 bytes
        size = sum(
            v.width * v.height * (4 if self.folder is None and len(v.getbands()) > 1 else len(v.getbands())) for v in pictures.values()
        )
        with self._lock:
            if self.used + size > self.budget:
                return
            self.used += size
        if self.folder is None:
            self._held[key] = values
        else:
            self._write(self.folder / f"{key}.npz", {k: np.asarray(v) for k, v in pictures.items()})

    def _write(self, file: Path, arrays: dict[str, np.ndarray]) -> None:
        temporary = ""
        try:
            handle, temporary = tempfile.mkstemp(dir=file.parent, suffix=".tmp")
            with os.fdopen(handle, "wb") as f:
                np.savez(f, **arrays)  # type: ignore[arg-type]
            os.replace(temporary, file)
        except OSError:  # a full disk: the cache just stops growing
            self.budget = 0
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def _is_plain(raw: Any) -> bool:
    return raw is None or isinstance(raw, (str, int, float, bool, list, tuple)) or (hasattr(raw, "item") and getattr(raw, "ndim", 0) == 0)


def free_memory() -> int:
    """Bytes of memory that could be used now; 4 GiB where the system doesn't tell."""
    try:
        with open("/proc/meminfo") as f:
            return next(int(line.split()[1]) * 1024 for line in f if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return 4 * GIB


def make_cache(setting: bool | str | Path | None, settings: str, n: int, sample_bytes: int) -> ItemCache | None:
    """The cache that the user's ``cache=`` asks for.

    Args:
        setting: False none; True or "ram" in memory, up to a quarter of the free memory; a folder there, up to 20 GiB;
            None in memory if all `n` samples of about `sample_bytes` fit into a tenth of the free memory.
    """
    if setting is False or (setting is None and n * sample_bytes > free_memory() // 10):
        return None
    if setting is None:
        return ItemCache(settings, budget=free_memory() // 10)
    if setting is True or setting == "ram":
        return ItemCache(settings, budget=free_memory() // 4)
    if isinstance(setting, (str, Path)):
        return ItemCache(settings, Path(setting), budget=20 * GIB)
    raise SettingError(
        f"cache={setting!r}: expected True or 'ram' (in memory), a folder, False, or None to let the size of the data decide."
    )
