"""Operators that wait for their second operand, and `Self`: attributes, items and calls said now and done later."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

__all__ = [
    "Self", "add", "arg0", "arg1", "arg2", "arg3", "arg4", "argnames", "bind", "eq", "ge", "gt", "in_", "is_", "is_not", "le", "lt", "mod", "mul", "ne", "not_", "sub", "truediv",
]  # fmt: skip
_MISSING: Any = object()


def _later(name: str, op: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def function(a: Any, b: Any = _MISSING) -> Any:
        return (lambda first: op(first, a)) if b is _MISSING else op(a, b)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"``{name}(a, b)``, or with one operand a function of the first: ``gt(3)(4)`` is 4 > 3."
    return function


add, sub, mul, truediv, mod = (_later(n, getattr(operator, n)) for n in ("add", "sub", "mul", "truediv", "mod"))
lt, gt, le, ge, eq, ne = (_later(n, getattr(operator, n)) for n in ("lt", "gt", "le", "ge", "eq", "ne"))
is_, is_not = _later("is_", operator.is_), _later("is_not", operator.is_not)


def in_(x: Any, a: Any = _MISSING) -> Any:
    """Whether `x` is in `a`; with one operand a function: ``in_((1, 2))(1)``."""
    return (lambda first: first in x) if a is _MISSING else x in a


def not_(f: Callable[..., Any]) -> Callable[..., bool]:
    """A function that is true where `f` isn't."""
    return lambda *args, **kwargs: not f(*args, **kwargs)


class _Place:
    """Stands for an argument that comes later, in `bind`."""

    def __init__(self, i: int) -> None:
        self.i = i


arg0, arg1, arg2, arg3, arg4 = (_Place(i) for i in range(5))


class bind:
    """As `functools.partial`, with places: ``bind(f, arg1, 3, arg0)(a, b)`` is ``f(b, 3, a)``."""

    def __init__(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        self.func, self.args, self.kwargs = func, args, kwargs

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        placed = [p.i for p in [*self.args, *self.kwargs.values()] if isinstance(p, _Place)]
        rest = args[max(placed, default=-1) + 1 :]

        def value(p: Any) -> Any:
            return args[p.i] if isinstance(p, _Place) else p

        return self.func(*map(value, self.args), *rest, **{k: value(v) for k, v in self.kwargs.items()}, **kwargs)


def argnames(f: Any, frame: bool = False) -> tuple[str, ...]:
    """The names of a function's positional arguments."""
    code = f.f_code if frame else f.__code__
    return code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]


class _Said:
    """Attributes, items and calls, done one after another on what it is called with."""

    def __init__(self, steps: tuple[Callable[[Any], Any], ...] = (), open_attribute: str | None = None) -> None:
        self.steps, self.open_attribute = steps, open_attribute

    def _with(self, step: Callable[[Any], Any]) -> _Said:
        return _Said((*self._closed(), step))

    def _closed(self) -> tuple[Callable[[Any], Any], ...]:
        """The steps so far; an attribute that was named last is an attribute, not a method."""
        return self.steps if self.open_attribute is None else (*self.steps, operator.attrgetter(self.open_attribute))

    def __getattr__(self, name: str) -> _Said:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Said(self._closed(), name)

    def __getitem__(self, key: Any) -> _Said:
        return self._with(lambda o: o[key])

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """After an attribute, arguments make it a method, and so do none: ``Self.lower()``. Else it is done, on the one argument."""
        if self.open_attribute is None:
            return functools.reduce(lambda o, step: step(o), self.steps, *args)
        return _Said((*self.steps, operator.methodcaller(self.open_attribute, *args, **kwargs)))

    def __hash__(self) -> int:
        return id(self)


def _binary(name: str) -> Callable[[_Said, Any], _Said]:
    op = getattr(operator, name)
    return lambda self, other: self._with(lambda o: op(o, other))


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "lt", "le", "gt", "ge", "eq", "ne", "and_", "or_"):
    setattr(_Said, f"__{_name.strip('_')}__", _binary(_name))
_Said.__invert__ = lambda self: self._with(operator.not_)  # type: ignore[attr-defined]
_Said.__neg__ = lambda self: self._with(operator.neg)  # type: ignore[attr-defined]

Self = _Said()
