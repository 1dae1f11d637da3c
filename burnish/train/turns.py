"""Threads that share a learner take turns: a pass over data keeps its state on the learner."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from threading import RLock
from typing import Concatenate, ParamSpec, Protocol, TypeVar


class Turns:
    """A lock that a thread may take again while it has it (validation inside a fit); ``with learn.turns: ...``.

    It is never shared by accident: a copy or a pickle of its owner gets one of its own.
    """

    def __init__(self) -> None:
        self._lock = RLock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *raised: object) -> None:
        self._lock.release()

    def __reduce__(self) -> tuple[type[Turns], tuple[()]]:
        return Turns, ()


class _TakesTurns(Protocol):
    turns: Turns


Owner = TypeVar("Owner", bound=_TakesTurns)
P = ParamSpec("P")
R = TypeVar("R")


def in_turn(method: Callable[Concatenate[Owner, P], R]) -> Callable[Concatenate[Owner, P], R]:
    """Decorates a function of a learner: one thread at a time is in it, or in anything else that takes its turn."""

    @wraps(method)
    def waiting(owner: Owner, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with owner.turns:
            return method(owner, *args, **kwargs)

    return waiting
