"""What names a library brings, with their signatures and the members of classes, as JSON: run by ``compat_names.py`` in each library's interpreter."""

from __future__ import annotations

import importlib
import inspect
import json
import re
import sys
from pathlib import PurePath
from types import ModuleType
from typing import Any

MODULES = ["fastai.vision.all", "fastai.tabular.all", "fastai.collab", "fastai.callback.all", "fastai.basics"]
OWN = ("fastai", "fastcore", "fasttransform", "fastdownload", "fastprogress")
Signature = list[list[Any]]


def signature(obj: Any) -> Signature | None:
    """[name, kind, its default as text, None where there is none] for each argument; None where they can't be told."""
    try:
        found = inspect.signature(obj).parameters.values()
    except Exception:
        return None
    return [[p.name, p.kind.name, None if p.default is p.empty else text(p.default)] for p in found]


def text(value: Any) -> str:
    """A default in words that are the same wherever it is defined."""
    if isinstance(value, PurePath):
        return "a path" if value.is_absolute() else repr(str(value))
    if (callable(value) or isinstance(value, ModuleType)) and hasattr(value, "__name__"):
        return value.__name__
    return re.sub(r" at 0x[0-9a-f]+|(?:\w+\.)+(?=\w+ object)", "", repr(value))


def origin(name: str, obj: Any) -> str:
    """The module that says in its ``__all__`` that a name is its own; else where the object is from."""
    for module in OWN:
        for found, loaded in sorted(sys.modules.items()):
            if found.split(".")[0] == module and name in (vars(loaded).get("__all__") or ()) and vars(loaded).get(name) is obj:
                return found
    return str(getattr(obj, "__module__", "") or "")


def members(cls: Any) -> dict[str, Signature | None]:
    """What a class of these packages has of its own: name -> arguments, where it takes some."""
    outside = {n for base in cls.__mro__ if not str(base.__module__).startswith(OWN) for n in vars(base)}
    names = [n for n in dir(cls) if not n.startswith("_") and n not in outside]
    return {n: signature(getattr(cls, n, None)) if callable(getattr(cls, n, None)) else None for n in names}


def entry(name: str, obj: Any, given: set[str] | None) -> dict[str, Any]:
    """One name. `given`: None for the peer; else the members to look for in it."""
    made: dict[str, Any] = {"kind": "class" if inspect.isclass(obj) else "function" if callable(obj) else "value", "signature": None}
    if callable(obj):
        made["signature"] = signature(obj)
    if given is None:
        made["origin"] = origin(name, obj)
        if inspect.isclass(obj) and made["origin"].split(".")[0] in OWN:
            made["members"] = members(obj)
    else:
        made["absent"] = obj.why if getattr(type(obj), "__module__", "") == "burnish.compat.absent" else ""
        if inspect.isclass(obj) and not made["absent"]:
            kept = assigned(obj)
            made["members"] = {n: signature(getattr(obj, n, None)) for n in given if n in kept or hasattr(obj, n)}
    return made


def assigned(cls: type) -> set[str]:
    """Names that the classes' own code sets on their objects."""
    found: set[str] = set()
    for base in cls.__mro__:
        if base.__module__.startswith("burnish"):
            try:
                found |= set(re.findall(r"self\.(\w+)[^=\n]*=", inspect.getsource(base)))
            except (OSError, TypeError):
                continue
    return found


def star(module: str) -> dict[str, Any]:
    """What ``from module import *`` brings, without modules."""
    space: dict[str, Any] = {}
    exec(f"from {module} import *", space)
    return {n: o for n, o in space.items() if n != "__builtins__" and not isinstance(o, ModuleType) and not n.startswith("_")}


def main() -> None:
    """``peer``: the names of all modules. ``ours FILE``: what burnish has of the peer's, read from FILE."""
    import warnings

    warnings.simplefilter("ignore")
    if sys.argv[1] == "peer":
        names = {m: star(m) for m in MODULES}
        every = {n: o for m in MODULES for n, o in names[m].items()}
        found = {n: {**entry(n, o, None), "modules": [m for m in MODULES if n in names[m]]} for n, o in sorted(every.items())}
    else:
        importlib.import_module("burnish.compat").install()
        with open(sys.argv[2], encoding="utf-8") as file:
            peer = json.load(file)
        found = {}
        for name, known in peer.items():
            try:
                obj = getattr(importlib.import_module(known["modules"][0]), name)
            except AttributeError:
                continue
            found[name] = entry(name, obj, set(known.get("members") or ()))
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
