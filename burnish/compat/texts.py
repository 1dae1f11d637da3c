"""The names for texts, which can be imported and not used yet."""

from __future__ import annotations

from typing import Any

from burnish.compat import absent

__all__ = absent.TEXTS  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    return absent.TOKENS[name] if name in absent.TOKENS else getattr(absent, name)
