"""Work on many things at once, by threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import TypeVar

T = TypeVar("T")
U = TypeVar("U")


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def default_workers() -> int:
    """One thread a processor, at most 16."""
    return min(16, processors())


def in_parallel(function: Callable[[T], U], things: Sequence[T], n_workers: int | None = None, chunk: int = 16) -> list[U]:
    """``[function(t) for t in things]`` by threads (None: one a processor, 0: none), `chunk` things at a time."""
    n_workers = default_workers() if n_workers is None else n_workers
    if n_workers <= 1 or len(things) <= chunk:
        return [function(t) for t in things]
    chunks = [things[i : i + chunk] for i in range(0, len(things), chunk)]
    pool = ThreadPoolExecutor(n_workers)
    try:
        return list(chain.from_iterable(pool.map(lambda c: [function(t) for t in c], chunks)))
    finally:
        pool.shutdown(cancel_futures=True)  # an interruption needn't wait for all things
