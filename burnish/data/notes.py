"""Notes to the user: one way for the library to say what it noticed, in words, without stopping the work."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from burnish.data.screen import wrapped

_captured: list[list[str]] = []
_wordings: list[Callable[[str], str]] = []


def note(message: str) -> None:
    """Tells the user something they should know. Printed to stderr as ``burnish: ...``, in a terminal broken between words, or captured by a test."""
    if _captured:
        _captured[-1].append(message)
    else:
        said = _wordings[-1](message) if _wordings else message
        if not said:
            return
        print(wrapped(f"burnish: {said}", sys.stderr), file=sys.stderr, flush=True)


@contextmanager
def captured_notes() -> Iterator[list[str]]:
    """Collects the notes given inside the block, instead of printing them.

    >>> with captured_notes() as notes:
    ...     note("a note")
    >>> notes
    ['a note']
    """
    notes: list[str] = []
    _captured.append(notes)
    try:
        yield notes
    finally:
        _captured[:] = [others for others in _captured if others is not notes]  # not remove(): equal lists aren't the same


@contextmanager
def worded(wording: Callable[[str], str]) -> Iterator[None]:
    """Notes printed inside the block are said in other words: what `wording` makes of them ("" leaves one out)."""
    _wordings.append(wording)
    try:
        yield
    finally:
        _wordings.pop()
