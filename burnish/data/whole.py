"""Whole numbers as people give them: of any integer type."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from burnish.errors import SettingError


def whole_number(value: Any, least: int) -> int | None:
    """`value` as an int if it is a whole number of any integer type (numpy's too) and at least `least`; None for all else,
    True and 1.0 too.

    >>> whole_number(np.int64(5), least=1), whole_number(0, least=1), whole_number(2.0, least=1)
    (5, None, None)
    """
    if isinstance(value, (bool, np.bool_)):
        return None
    try:
        number = operator.index(value)
    except TypeError:
        return None
    return None if number < least else number


def checked_whole(name: str, value: Any, least: int, otherwise: str = "") -> int:
    """The setting `name` as an int. Raises SettingError unless it is a whole number of at least `least`; `otherwise` ends the
    message."""
    number = whole_number(value, least)
    if number is None:
        raise SettingError(f"{name}={value!r}: expected a whole number of at least {least}{otherwise}.")
    return number


__all__ = ["checked_whole", "whole_number"]
