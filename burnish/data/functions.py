"""What the code of a user's function or class tells: whether it can draw random numbers, and what it does, as text.

Nothing is run to find out. Where the code doesn't tell, the answer is the careful one.
"""

from __future__ import annotations

import builtins
import dis
import enum
import functools
import hashlib
import sys
from pathlib import PurePath
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

from burnish.data.randomness import DRAWING_METHODS

_KNOWN = {"PIL", "math", "numpy"}  # what they do follows from their arguments, apart from numpy.random
_DRAWING_NAMES = {"random", "effect_noise", *DRAWING_METHODS}
_CALM_BUILTINS = set(dir(builtins)) - {"compile", "delattr", "eval", "exec", "getattr", "globals", "locals", "setattr", "vars", "__import__"}  # fmt: skip

_PLAIN = (bool, int, float, complex, str, bytes, enum.Enum, np.generic, np.dtype, PurePath, type(None), type(...))


def draws_nothing(function: Any) -> bool:
    """Whether the code of `function` shows that it can't draw random numbers: besides methods of its argument it uses only
    plain values, builtin functions, Pillow, math and numpy without ``numpy.random``. False when in doubt: for a function
    that calls another one, say.

    >>> draws_nothing(lambda image: image.convert("L")), draws_nothing(lambda image: helper(image))
    (True, False)
    """
    if not isinstance(function, FunctionType):
        return False
    try:
        held = [cell.cell_contents for cell in function.__closure__ or ()]
    except ValueError:  # not set yet: it refers to what is defined after it
        return False
    held += [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    return all(map(_harmless, held)) and _code_draws_nothing(function.__code__, function.__globals__)


def _code_draws_nothing(code: CodeType, known: dict[str, Any]) -> bool:
    if _DRAWING_NAMES & set(code.co_names):
        return False
    for step in dis.get_instructions(code):
        if step.opname == "IMPORT_NAME":
            return False
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME") and not (
            _harmless(known[step.argval]) if step.argval in known else step.argval in _CALM_BUILTINS
        ):
            return False
    return all(_code_draws_nothing(inner, known) for inner in code.co_consts if isinstance(inner, CodeType))


def _harmless(value: Any) -> bool:
    """Whether a value that a function refers to is plain data, or of a package that draws nothing."""
    if isinstance(value, (tuple, list)):
        return all(map(_harmless, value))
    if isinstance(value, ModuleType):
        return _is_known(value.__name__)
    if isinstance(value, (type, FunctionType, BuiltinFunctionType, type(np.flip))):
        return _is_known(value.__module__)
    if isinstance(value, np.ufunc):
        return getattr(np, value.__name__, None) is value  # and not made of somebody's function
    if isinstance(value, np.ndarray):
        return not value.dtype.hasobject
    plain = value is None or isinstance(value, (bool, int, float, str, bytes, np.generic, np.dtype))
    return plain or type(value).__module__.startswith("PIL.")


def _is_known(module: str | None) -> bool:
    parts = (module or "").split(".")
    return parts[0] in _KNOWN and not any("random" in part for part in parts)


def _is_builtin(cls: type) -> bool:
    return getattr(builtins, cls.__name__, None) is cls


def code_of(cls: type) -> str:
    """What a class does, as text that changes with it and is the same in every process: its functions as they were compiled
    (the file may have been edited since), its plain values, and those of its bases, without what burnish, torch and Python
    bring. What its functions refer to by a global name is not part of it.

    Raises:
        TypeError: something in it is neither a function nor plain data, so that the text wouldn't tell everything.
        ValueError: a function refers to a local variable that isn't set yet.
    """
    parts = [str(sys.implementation.cache_tag)]
    for owner in cls.__mro__:
        root = owner.__module__.split(".")[0]
        if root in ("burnish", "torch", "torchvision", "abc", "typing") or _is_builtin(owner):
            continue
        for name, member in sorted(vars(owner).items()):
            function = _function_in(member)
            told = isinstance(function, FunctionType) or not name.startswith("__")
            if told and not name.startswith(("_abc_", "__annotate")):  # neither is the user's code
                parts.append(f"{name} = {type(member).__name__} {_told(function)}")
    return "\n".join(parts)


def _function_in(member: Any) -> Any:
    """The function that a method of any kind, or a property that is only read, was made of; else `member` itself."""
    if isinstance(member, property) and not (member.fset or member.fdel):
        return member.fget
    if isinstance(member, functools.cached_property):
        return member.func
    if isinstance(member, (staticmethod, classmethod, functools._lru_cache_wrapper)):
        return _function_in(member.__wrapped__)
    return member


def _told(value: Any, within: tuple[Any, ...] = ()) -> str:
    """A function or plain value as text. `within` are the functions that are being told already."""
    if isinstance(value, CodeType):
        names = value.co_flags, value.co_argcount, value.co_kwonlyargcount, value.co_names, value.co_varnames
        return f"code {value.co_code.hex()} {value.co_exceptiontable.hex()} {names} {_told(value.co_consts)}"
    if isinstance(value, FunctionType):
        if value in within:
            return value.__qualname__
        cells = zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
        held = [cell.cell_contents for name, cell in cells if name != "__class__"]
        return _told([value.__code__, value.__defaults__, value.__kwdefaults__, held], (*within, value))
    if isinstance(value, (tuple, list, dict, set, frozenset)):
        parts = [_told(v, within) for v in (value.items() if isinstance(value, dict) else value)]
        return f"{type(value).__name__}({', '.join(sorted(parts) if isinstance(value, (set, frozenset)) else parts)})"
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        return f"array {value.dtype} {value.shape} {hashlib.blake2b(value.tobytes(), digest_size=16).hexdigest()}"
    if isinstance(value, _PLAIN) or (isinstance(value, type) and (_is_builtin(value) or _is_known(value.__module__))):
        return repr(value)
    raise TypeError(f"{value!r} is neither a function nor plain data.")
