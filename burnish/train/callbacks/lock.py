"""A folder that one process at a time writes into."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl


class FolderLock:
    """Held by one process at a time for a folder; the operating system lets go of it when the process dies, however it does.

    Args:
        folder: made if it isn't there. The file ``.lock`` stands in it while the lock is held.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / ".lock"
        self._file: int | None = None

    def acquire(self) -> bool:
        """Takes the lock; False if another process has it. A file system that knows no locks gives it to everybody."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        while self._file is None:
            file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
            if not _locked(file):
                os.close(file)
                return False
            if _is_still(file, self.path):
                self._file = file
            else:  # its holder has let go and removed the file in between
                os.close(file)
        return True

    def release(self) -> None:
        """Lets go of the lock, if it is held."""
        if self._file is None:
            return
        if sys.platform != "win32":  # which removes no open file; the empty file stays there
            self.path.unlink(missing_ok=True)
        os.close(self._file)
        self._file = None


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
