"""A folder that one run at a time writes into."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl


_HOLDERS: dict[str, FolderLock] = {}  # those of this process, by the file: the system's locks don't tell them apart


class FolderLock:
    """Held once at a time for a folder; the operating system lets go of it when the process dies, however it does.

    Args:
        folder: made if it isn't there. The file ``.lock`` stands in it while the lock is held.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / ".lock"
        self._key = os.path.realpath(self.path)
        self._file: int | None = None

    def acquire(self) -> bool:
        """Takes the lock; False if it is taken, here or in another process. A file system that knows no locks gives it to every
        process."""
        if self._file is not None:
            return True
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if _HOLDERS.setdefault(self._key, self) is not self:
            return False  # the file isn't even opened: closing it would end the lock of its holder
        try:
            self._file = _locked_file(self.path)
        finally:
            if self._file is None:
                del _HOLDERS[self._key]
        return self._file is not None

    def release(self) -> None:
        """Lets go of the lock, if it is held."""
        if self._file is None:
            return
        if sys.platform != "win32":  # which removes no open file; the empty file stays there
            self.path.unlink(missing_ok=True)
        os.close(self._file)
        self._file = None
        del _HOLDERS[self._key]


def _locked_file(path: Path) -> int | None:
    """The file at `path`, open and locked; None if another process has locked it."""
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        locked = _locked(file)
        if locked and _is_still(file, path):
            return file
        os.close(file)
        if not locked:
            return None
        # else its holder has let go and removed the file in between


def _locked(file: int) -> bool:
    try:
        if sys.platform == "win32":
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        else:  # of the process itself: workers that it has forked don't keep it when it is killed
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EACCES, errno.EAGAIN, errno.EDEADLK)
    return True


def _is_still(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False
