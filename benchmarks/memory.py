"""Resident memory of this process and its children (Linux)."""

from __future__ import annotations

import os
from pathlib import Path


def resident_mb() -> float:
    """MB resident: this process and everything it started. Pages that a fork shares count in each of them."""
    return sum(_pages(p) for p in [os.getpid(), *_descendants(os.getpid())]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def _pages(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = [int(p) for p in task.read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue
        found += [d for c in children for d in (c, *_descendants(c))]
    return found
