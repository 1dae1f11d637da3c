"""Assertions that say what was compared, as notebooks for fastai have them between their cells."""

from __future__ import annotations

import io
import operator
import re
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any

import numpy as np
import torch

__all__ = [
    "ExceptionExpected", "all_equal", "array_equal", "df_equal", "equals", "exception", "expect_fail", "is_close", "nequals", "test", "test_close", "test_eq", "test_eq_type", "test_fail", "test_fig_exists",
    "test_is", "test_ne", "test_shuffled", "test_stdout", "test_warns",
]  # fmt: skip


def equals(a: Any, b: Any) -> bool:
    """Whether two values are equal, in all their elements; arrays, tensors, frames, lists and dictionaries are compared by what is in them."""
    if isinstance(a, type) or isinstance(b, type):
        return a == b
    if isinstance(a, torch.Tensor) or isinstance(b, torch.Tensor):
        return array_equal(_array(a), _array(b))
    if hasattr(a, "iloc") or hasattr(b, "iloc"):
        return df_equal(a, b)
    if hasattr(a, "__array__") or hasattr(b, "__array__"):
        return array_equal(a, b)
    if isinstance(a, (str, bytes)) or isinstance(b, (str, bytes)):
        return a == b
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(equals(a[k], b[k]) for k in a)
    if hasattr(a, "__iter__") and hasattr(b, "__iter__") and not isinstance(a, (set, frozenset)):
        return all_equal(a, b)
    return bool(a == b)


def _array(x: Any) -> Any:
    return x.detach().cpu().numpy() if isinstance(x, torch.Tensor) else np.asarray(x)


def array_equal(a: Any, b: Any) -> bool:
    a, b = _array(a), _array(b)
    return a.shape == b.shape and bool((a == b).all())


def df_equal(a: Any, b: Any) -> bool:
    return bool(a.equals(b)) if hasattr(a, "equals") and type(a) is type(b) else array_equal(a, b)


def all_equal(a: Any, b: Any) -> bool:
    """Whether two collections are equal, element by element."""
    if not hasattr(a, "__iter__") or not hasattr(b, "__iter__"):
        return False
    first, second = list(a), list(b)
    return len(first) == len(second) and all(equals(x, y) for x, y in zip(first, second, strict=True))


def nequals(a: Any, b: Any) -> bool:
    return not equals(a, b)


def is_close(a: Any, b: Any, eps: float = 1e-5) -> bool:
    """Whether all numbers are at most `eps` apart."""
    if hasattr(a, "__array__") or hasattr(b, "__array__"):
        return bool((np.abs(_array(a) - _array(b)) < eps).all())
    if hasattr(a, "__iter__") and hasattr(b, "__iter__"):
        return all(abs(x - y) < eps for x, y in zip(a, b, strict=True))
    return bool(abs(a - b) < eps)


def test(a: Any, b: Any, cmp: Callable[[Any, Any], bool], cname: str | None = None) -> None:
    """Raises AssertionError with both values if ``cmp(a, b)`` is false."""
    if not cmp(a, b):
        raise AssertionError(f"{cname or getattr(cmp, '__name__', cmp)}:\n{a}\n{b}")


def test_eq(a: Any, b: Any) -> None:
    """They are equal."""
    test(a, b, equals, "==")


def test_eq_type(a: Any, b: Any) -> None:
    """They are equal and of one type, in all their elements."""
    test_eq(a, b)
    test(type(a), type(b), operator.eq, "types ==")
    if isinstance(a, (list, tuple)):
        for x, y in zip(a, b, strict=True):
            test_eq_type(x, y)


def test_ne(a: Any, b: Any) -> None:
    """They aren't equal."""
    test(a, b, nequals, "!=")


def test_close(a: Any, b: Any, eps: float = 1e-5) -> None:
    """They are at most `eps` apart."""
    test(a, b, lambda x, y: is_close(x, y, eps), "close")


def test_is(a: Any, b: Any) -> None:
    """They are one object."""
    test(a, b, operator.is_, "is")


def test_shuffled(a: Any, b: Any) -> None:
    """They have the same elements in another order."""
    test_ne(a, b)
    test_eq(sorted(a), sorted(b))


def test_fail(f: Callable[..., Any], msg: str = "", contains: str = "", exc: Any = Exception, args: Any = None, kwargs: Any = None) -> None:
    """``f()`` raises, with `contains` in its message."""
    try:
        f(*(args or ()), **(kwargs or {}))
    except exc as error:
        if contains and contains not in str(error):
            raise AssertionError(f"{contains!r} isn't in the message {str(error)!r}") from error
        return
    raise AssertionError(f"Expected exception but none raised. {msg}")


def test_stdout(f: Callable[[], Any], exp: str, regex: bool = False) -> None:
    """``f()`` prints `exp`."""
    out = io.StringIO()
    with redirect_stdout(out):
        f()
    printed = out.getvalue().removesuffix("\n")
    if regex:
        test(bool(re.search(exp, printed)), True, operator.eq, f"{exp!r} found in {printed!r}")
    else:
        test_eq(exp, printed)


def test_warns(f: Callable[[], Any], show: bool = False) -> None:
    """``f()`` warns."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        f()
    if not caught:
        raise AssertionError("no warning was given")
    if show:
        for w in caught:
            print(f"{w.category}: {w.message}")


def test_fig_exists(ax: Any) -> None:
    """Something is drawn on it."""
    ax.figure.canvas.draw()
    test(len(np.frombuffer(ax.figure.canvas.tostring_argb(), dtype=np.uint8)) > 0, True, operator.eq, "drawn")


class ExceptionExpected:
    """A block in which an exception is raised, with `regex` in its message."""

    def __init__(self, ex: Any = Exception, regex: str = "") -> None:
        self.ex, self.regex = ex, regex

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, value: Any, traceback: Any) -> bool:
        if kind is None or not issubclass(kind, self.ex) or (self.regex and not re.search(self.regex, str(value))):
            raise AssertionError(
                f"Expected {self.ex.__name__}({self.regex}); {'nothing was raised' if kind is None else f'{kind.__name__}({value}) was'}."
            )
        return True


exception = ExceptionExpected()
expect_fail = ExceptionExpected
for _function in (
    test,
    test_eq,
    test_eq_type,
    test_ne,
    test_close,
    test_is,
    test_shuffled,
    test_fail,
    test_stdout,
    test_warns,
    test_fig_exists,
):
    _function.__test__ = False  # type: ignore[attr-defined]  # pytest, which collects functions by their names, leaves them be
