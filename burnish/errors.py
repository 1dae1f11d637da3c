"""Exceptions of burnish: small subclasses of built-in types, so that ``except ValueError`` keeps working.

A message says what was given, what was expected, where (file, row, column) and what to do about it.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class DataError(ValueError):
    """The data, or what was said about it (labels, splits, columns), can't be used as it is."""


class NotInDataError(DataError, AttributeError):
    """What was asked of some data (a vocabulary, say) isn't a thing that it has: ``hasattr`` is False."""


class UnreadableFileError(DataError):
    """A file exists but can't be opened as what it should be."""


class SettingError(ValueError):
    """An argument has a value that can't work."""


class ModelFileError(ValueError):
    """A file isn't a burnish model, or it is damaged, altered, or written by a newer version."""


class NotTrainableError(RuntimeError):
    """Training was asked of something that has no training data (a loaded model, say)."""


class OfflineError(ConnectionError):
    """Something must be downloaded and can't be; the message names the ways out."""


def nearest(name: str, known: Iterable[str], n: int = 4) -> str:
    """A hint naming the known names nearest to `name`, ready to be put at the end of a message.

    >>> nearest("resnet81", ["resnet18", "vit"])
    ' Did you mean: resnet18?'
    """
    close = difflib.get_close_matches(str(name), list(known), n=n, cutoff=0.5)
    return f" Did you mean: {', '.join(close)}?" if close else ""


def listed(things: Iterable[object], most: int = 5) -> str:
    """The first `most` of `things`, comma-separated, and how many more there are.

    >>> listed(range(7), most=3)
    '0, 1, 2, and 4 more'
    """
    items = [str(t) for t in things]
    more = len(items) - most
    return ", ".join(items[:most]) + (f", and {more} more" if more > 0 else "")


def short(value: float, digits: int = 4) -> str:
    """A number as people read it: so many significant digits, but whole numbers whole, with separators of thousands.

    >>> short(0.123456), short(18172.4), short(-2.5e-7), short(3.0)
    ('0.1235', '18,172', '-2.5e-07', '3')
    """
    return f"{value:,.0f}" if 10 ** (digits - 1) <= abs(value) < 1e15 else f"{value:.{digits}g}"


def hinting(function: Callable[P, R]) -> Callable[P, R]:
    """Decorates a function (or ``__init__``) whose keywords people type by hand: a misspelt one is answered with the nearest
    names and all that there are. Python itself, before 3.13, names only the wrong one."""
    parameters = inspect.signature(function).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):  # it looks at them itself
        return function
    known = [name for name in parameters if name not in ("self", "learn")]

    @wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        wrong = [name for name in kwargs if name not in known]
        if wrong:
            called_as = function.__qualname__.removesuffix(".__init__")
            raise TypeError(
                f"{called_as}() got an unexpected keyword argument {wrong[0]!r}.{nearest(wrong[0], known)} It takes: {', '.join(known)}."
            )
        return function(*args, **kwargs)

    return called
