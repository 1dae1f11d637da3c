"""State as JSON: how blocks, transforms and whatever else an exported model holds are written and rebuilt.

The convention is scikit-learn's: every parameter of ``__init__`` is kept as an attribute of the same name. What is
learned from data (a vocabulary, say) overwrites the attribute, so a configured object rebuilds from ``config()`` alone.
"""

from __future__ import annotations

import enum
import importlib
import inspect
import re
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from burnish.errors import ModelFileError, nearest

_PAIRS = "#pairs#"
_OWN = re.compile(r"^burnish(\.[a-z][a-z0-9_]*)+$")


class Configurable:
    """Base of what can be stored in a model file: registers every subclass by name and gives ``config()``."""

    _registry: ClassVar[dict[str, type[Configurable]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        Configurable._registry[type_name(cls)] = cls

    @classmethod
    def arguments(cls) -> list[str]:
        """Names of the constructor's parameters."""
        return [p.name for p in _parameters(cls.__init__) if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]

    def config(self) -> dict[str, Any]:
        """JSON-able state from which :func:`from_config` rebuilds an equal object."""
        return {
            "type": type_name(type(self)),
            "module": type(self).__module__,
            **{p: jsonable(getattr(self, p), f"{type(self).__name__}.{p}") for p in self.arguments()},
        }

    def __repr__(self) -> str:
        shown = []
        for p in _parameters(type(self).__init__):
            if not hasattr(self, p.name):
                continue
            value = getattr(self, p.name)
            if p.default is p.empty or not _same(value, p.default):
                shown.append(f"{p.name}={value!r}")
        return f"{type(self).__name__}({', '.join(shown)})"


@lru_cache(maxsize=256)
def _parameters(init: Any) -> list[inspect.Parameter]:
    """What a constructor takes, without `self`."""
    return [] if init is object.__init__ else list(inspect.signature(init).parameters.values())[1:]


def _same(a: Any, b: Any) -> bool:
    try:
        return bool(a is b or a == b)
    except (ValueError, TypeError, RuntimeError):
        return False


def type_name(cls: type) -> str:
    """`Resize` for a class of burnish, `user:MyTransform` for a class that somebody else defined."""
    return cls.__qualname__ if cls.__module__.startswith("burnish.") else f"user:{cls.__qualname__}"


def jsonable(value: Any, where: str) -> Any:
    """`value` in JSON's types. Raises TypeError naming `where` when that would lose something."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Configurable):
        return value.config()
    if isinstance(value, (np.integer, np.floating, np.bool_)):
        return value.item()
    if isinstance(value, Path):
        return value.as_posix()
    if isinstance(value, dict):
        made = {k: jsonable(v, f"{where}[{k!r}]") for k, v in value.items()}
        if all(isinstance(k, str) for k in made):
            return made
        return {_PAIRS: [[jsonable(k, f"a key of {where}"), v] for k, v in made.items()]}  # JSON's own keys are texts
    if isinstance(value, (list, tuple)):
        return [jsonable(v, f"{where}[{i}]") for i, v in enumerate(value)]
    if hasattr(value, "tolist"):  # arrays and tensors of moderate size
        return value.tolist()
    raise TypeError(
        f"{where} holds {value!r}, a {type(value).__name__}, which can't be written as JSON into a model file. "
        "Use plain values (numbers, strings, lists), or make it a class that derives from burnish.data.config.Configurable."
    )


def from_config(config: dict[str, Any]) -> Any:
    """Rebuilds the object that ``config()`` described. No code comes from the file: only classes already in burnish,
    or defined by the user before loading, are made.

    Raises:
        ModelFileError: the class isn't known here; the message says what to import.
    """
    args = {k: _revive(v) for k, v in config.items() if k not in ("type", "module")}
    name, module = config.get("type", "?"), config.get("module", "")
    if name not in Configurable._registry and _OWN.match(module):
        importlib.import_module(module)
    cls = Configurable._registry.get(name)
    if cls is None:
        known = nearest(name, Configurable._registry)
        raise ModelFileError(
            f"The file needs the class {name.removeprefix('user:')!r} (from module {module!r}), which is not defined here. Import or define it before loading.{known}"
        )
    unknown = set(args) - set(cls.arguments())
    if unknown:
        raise ModelFileError(
            f"{name} has no parameter {sorted(unknown)}: the file was written by a newer burnish or altered. Update burnish, or export the model again."
        )
    return cls(**args)


def _revive(value: Any) -> Any:
    if isinstance(value, dict) and "type" in value and "module" in value:
        return from_config(value)
    if isinstance(value, dict):
        if list(value) == [_PAIRS]:
            return {tuple(k) if isinstance(k, list) else k: _revive(v) for k, v in value[_PAIRS]}
        return {k: _revive(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_revive(v) for v in value]
    return value
