"""Work by several threads or processes, as notebooks for fastai ask for it."""

from __future__ import annotations

import concurrent.futures
import functools
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from burnish.data.collections import L
from burnish.data.parallel import default_workers
from burnish.data.views import bar

__all__ = ["ProcessPoolExecutor", "ThreadPoolExecutor", "parallel", "parallel_async", "startthread", "threaded"]


class _Pool:
    """What both executors have: ``max_workers`` None is one a processor and 0 none, `pause` seconds before each."""

    def __init__(self, max_workers: int | None = None, on_exc: Any = print, pause: float = 0, **kwargs: Any) -> None:
        self.n_workers, self.pause, self.on_exc = default_workers() if max_workers is None else max_workers, pause, on_exc
        super().__init__(max(1, self.n_workers), **kwargs)  # type: ignore[call-arg]

    def map(
        self, f: Callable[..., Any], items: Iterable[Any], *args: Any, timeout: float | None = None, chunksize: int = 1, **kwargs: Any
    ) -> Any:
        call = functools.partial(_paused, f, self.pause, args, kwargs)
        own: Any = super()
        return map(call, items) if not self.n_workers else own.map(call, items, timeout=timeout, chunksize=chunksize)


class ThreadPoolExecutor(_Pool, concurrent.futures.ThreadPoolExecutor):  # type: ignore[misc]
    """Threads; none with ``max_workers=0``."""


class ProcessPoolExecutor(_Pool, concurrent.futures.ProcessPoolExecutor):  # type: ignore[misc]
    """Processes; none with ``max_workers=0``."""


def _paused(f: Callable[..., Any], pause: float, args: Any, kwargs: Any, item: Any) -> Any:
    if pause:
        time.sleep(pause)
    return f(item, *args, **kwargs)


def parallel(
    f: Callable[..., Any], items: Iterable[Any], *args: Any, n_workers: int | None = None, total: int | None = None, progress: bool | None = None, pause: float = 0, method: Any = None,
    threadpool: bool = True, timeout: float | None = None, chunksize: int = 1, return_exceptions: bool = False, **kwargs: Any,
) -> L[Any]:  # fmt: skip
    """``f(item, *args, **kwargs)`` of each, by threads; by processes with ``threadpool=False``.

    Threads are the default: they take functions written in a notebook, which processes can't on every system.

    Args:
        n_workers: None is one a processor, 0 none. progress: shows a bar. pause: seconds before each.
        return_exceptions: gives what was raised in the place of a result.
    """
    _ = method
    items = list(items)
    call = functools.partial(_caught, f) if return_exceptions else f
    pool = (ThreadPoolExecutor if threadpool else ProcessPoolExecutor)(n_workers, pause=pause)
    out: list[Any] = []
    with pool, bar(getattr(f, "__name__", "working"), total or len(items), bool(progress)) as step:
        for result in pool.map(call, items, *args, timeout=timeout, chunksize=chunksize, **kwargs):
            out.append(result)
            step(1)
    return L(out, use_list=True)


def _caught(f: Callable[..., Any], item: Any, *args: Any, **kwargs: Any) -> Any:
    try:
        return f(item, *args, **kwargs)
    except Exception as error:
        return error


async def parallel_async(
    f: Callable[..., Any], items: Iterable[Any], *args: Any, n_workers: int = 16, pause: float = 0, **kwargs: Any
) -> L[Any]:
    """``await f(item)`` of each, at most `n_workers` at a time."""
    import asyncio

    turn = asyncio.Semaphore(n_workers)

    async def one(item: Any) -> Any:
        async with turn:
            if pause:
                await asyncio.sleep(pause)
            return await f(item, *args, **kwargs)

    return L(list(await asyncio.gather(*map(one, items))))


def threaded(process: Any = False) -> Any:
    """Decorates a function to run in a thread of its own (``@threaded(process=True)``: a process); it gives the thread, whose ``result`` is set at the end."""

    def decorated(f: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(f)
        def started(*args: Any, **kwargs: Any) -> Any:
            if process is True:
                import multiprocessing

                worker: Any = multiprocessing.Process(target=f, args=args, kwargs=kwargs)
            else:
                worker = threading.Thread(target=lambda: setattr(worker, "result", f(*args, **kwargs)))
            worker.start()
            return worker

        return started

    return decorated(process) if callable(process) else decorated


def startthread(f: Callable[[], Any]) -> Any:
    """Runs `f` in a thread of its own, now."""
    return threaded(f)()
