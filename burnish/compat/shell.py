"""What a notebook's shell is told when code written for fastai runs in it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from burnish.compat.modules import ROOTS

_INSTALLS = re.compile(r"^\s*[!%]\s*(?:\[[^\]]*\]\s*&&\s*)?(?:[\w/.]*python[\d.]*\s+-m\s+)?(?:pip[\d.]*|conda|mamba)\s+install\b(.*)$")
_WITH_VALUE = ("-c", "--channel", "-n", "--name", "-i", "--index-url", "--extra-index-url", "-f", "--find-links")  # and a value behind
_STOOD_FOR = re.compile(rf"^['\"]?({'|'.join(ROOTS)})(?:\[[^\]]*\])?(?:[=<>!~].*)?['\"]?$")


def without_stood_for(line: str) -> str:
    """A line of a notebook; of one that installs packages, those are left out in whose place burnish stands: with them would come their
    requirements, which replace PyTorch by an older one.

    >>> without_stood_for("!pip install -Uqq fastai ddgs")
    '!pip install -Uqq ddgs'
    """
    found = _INSTALLS.match(line)
    if found is None:
        return line
    words = found[1].split("#")[0].split()
    left = [w for w in words if not _STOOD_FOR.match(w)]
    if len(left) == len(words):
        return line
    names = ", ".join(w for w in words if w not in left)
    indent = line[: len(line) - len(line.lstrip())]
    if any(not w.startswith("-") and before not in _WITH_VALUE for before, w in zip(["", *left], left, strict=False)):
        return line[: found.start(1)] + " " + " ".join(left) + ("\n" if line.endswith("\n") else "")
    told = f"Not installed: {names}. burnish stands in the place of it."
    return f"{indent}print({told!r})" + ("\n" if line.endswith("\n") else "")


def _lines(lines: list[str]) -> list[str]:
    return [without_stood_for(line) for line in lines]


def prepare(shell: Any) -> None:
    """Has an IPython shell leave out of ``!pip install`` what burnish stands in the place of."""
    transformers: list[Callable[[list[str]], list[str]]] | None = getattr(shell, "input_transformers_cleanup", None)
    if transformers is not None and _lines not in transformers:
        transformers.append(_lines)


def restore(shell: Any) -> None:
    """Takes that back."""
    if _lines in (transformers := getattr(shell, "input_transformers_cleanup", None) or []):
        transformers.remove(_lines)
