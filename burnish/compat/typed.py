"""Functions chosen by the types of what they are called with, as fastcore's `typedispatch` and fastai's transforms are."""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Callable
from typing import Any

from burnish.compat.classes import type_hints

__all__ = ["TypeDispatch", "dispatch", "typedispatch"]


def _types_of(annotation: Any) -> tuple[type, ...]:
    """The classes that an annotation stands for; object where it says nothing."""
    if annotation in (inspect.Parameter.empty, None, Any):
        return (object,)
    if isinstance(annotation, tuple):
        return annotation
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return tuple(t for part in typing.get_args(annotation) for t in _types_of(part))
    origin = typing.get_origin(annotation)
    return (origin,) if isinstance(origin, type) else (annotation,) if isinstance(annotation, type) else (object,)


def _distance(kind: type, wanted: tuple[type, ...]) -> int | None:
    """How far up its classes a type finds one that is wanted; None where it doesn't."""
    mro = kind.__mro__
    steps = [mro.index(w) if w in mro else len(mro) for w in wanted if issubclass(kind, w)]
    return min(steps) if steps else None


class TypeDispatch:
    """Several functions of one name, of which the one is called whose annotations fit the arguments best (the last written, where two fit alike).

    Args:
        skip: arguments at the beginning that don't count (`self`).
    """

    def __init__(self, *functions: Callable[..., Any], skip: int = 0) -> None:
        self.skip, self.functions = skip, []
        for f in functions:
            self.add(f)

    def add(self, f: Any) -> None:
        """One more."""
        hints = type_hints(f)
        try:
            parameters = list(inspect.signature(f).parameters.values())[self.skip :]
        except (TypeError, ValueError):  # of a function in C nothing is known
            parameters = []
        wanted = [
            _types_of(hints.get(p.name, p.annotation if not isinstance(p.annotation, str) else None))
            for p in parameters
            if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
        gives = hints.get("return", "")
        self.functions.append((f, wanted, "" if gives is Any else gives))
        functools.update_wrapper(self, f)

    def find(self, *args: Any) -> tuple[Callable[..., Any], Any] | None:
        """The function for these arguments, and what it is annotated to give; None where none fits."""
        best: tuple[tuple[int, ...], Any] | None = None
        for f, wanted, gives in self.functions:
            steps = [_distance(type(a), w) for a, w in zip(args, wanted, strict=False)]
            if any(s is None for s in steps):
                continue
            score = tuple(s for s in steps if s is not None)
            if best is None or score <= best[0]:
                best = score, (f, gives)
        return None if best is None else best[1]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        found = self.find(*args[self.skip :])
        if found is None:
            kinds = ", ".join(type(a).__name__ for a in args[self.skip :])
            raise NotImplementedError(f"{getattr(self, '__name__', 'function')} is written for none of ({kinds}).")
        return found[0](*args, **kwargs)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)

    def invoke(self, *kinds: type) -> Callable[..., Any]:
        """The function for arguments of these types."""
        return self[kinds]

    def __getitem__(self, kinds: Any) -> Callable[..., Any]:
        """The function for arguments of these types."""
        kinds = kinds if isinstance(kinds, tuple) else (kinds,)
        fitting = []
        for f, wanted, _ in self.functions:
            steps = [_distance(k, w) for k, w in zip(kinds, wanted, strict=False)]
            if all(s is not None for s in steps):
                fitting.append((tuple(s for s in steps if s is not None), f))
        if not fitting:
            raise KeyError(kinds)
        return min(reversed(fitting), key=lambda pair: pair[0])[1]


_known: dict[tuple[str, str], TypeDispatch] = {}


def typedispatch(f: Any) -> TypeDispatch:
    """Decorates functions of one name, each for the types that its arguments are annotated with."""
    key = ("", f.__name__) if f.__name__ in ("show_batch", "show_results", "plot_top_losses") else (f.__module__, f.__qualname__)
    if key not in _known:
        _known[key] = TypeDispatch()
    _known[key].add(f)
    return _known[key]


dispatch = typedispatch
