"""What the code of a user's function or class tells: whether it can draw random numbers, and its text.

Nothing is run to find out. Where the code doesn't tell, the answer is the careful one.
"""

from __future__ import annotations

import builtins
import dis
import inspect
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

from burnish.data.randomness import DRAWING_METHODS

_KNOWN = {"PIL", "math", "numpy"}  # what they do follows from their arguments, apart from numpy.random
_DRAWING_NAMES = {"random", "effect_noise", *DRAWING_METHODS}
_CALM_BUILTINS = set(dir(builtins)) - {"compile", "delattr", "eval", "exec", "getattr", "globals", "locals", "setattr", "vars", "__import__"}  # fmt: skip


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
    if isinstance(value, (type, FunctionType, BuiltinFunctionType)):
        return _is_known(value.__module__)
    return value is None or isinstance(value, (bool, int, float, str, bytes)) or _is_known(type(value).__module__)


def _is_known(module: str | None) -> bool:
    parts = (module or "").split(".")
    return parts[0] in _KNOWN and not any("random" in part for part in parts)


def source_of(cls: type) -> str:
    """The text of a class: its functions and plain values, and those of its bases, without what burnish, torch and Python
    bring. The functions that it calls are not part of it.

    Raises:
        OSError: the text isn't kept anywhere (typed at a bare prompt, made by ``exec``).
    """
    parts = []
    for owner in cls.__mro__:
        if owner.__module__.split(".")[0] in ("burnish", "torch", "torchvision", "abc", "typing"):
            continue
        for name, member in sorted(vars(owner).items()):
            function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
            if isinstance(function, FunctionType):
                parts.append(inspect.getsource(function))
            elif not name.startswith("__") and _harmless(member):
                parts.append(f"{name} = {member!r}")
    return "\n".join(parts)
