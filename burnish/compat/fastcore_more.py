"""More of fastcore: searching, names and texts, enumerations, running commands, settings, scripts, and the web."""

from __future__ import annotations

import argparse
import enum
import functools
import inspect
import json
import mimetypes
import os
import random
import re
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from burnish.compat.helpers import in_colab, in_ipython, in_jupyter, in_notebook
from burnish.data.collections import L

__all__ = [
    "IN_COLAB",
    "IN_IPYTHON",
    "IN_JUPYTER",
    "IN_NOTEBOOK",
    "Float",
    "ImportEnum",
    "Int",
    "IterLen",
    "SaveReturn",
    "Str",
    "StrEnum",
    "argwhere",
    "asdict",
    "bool_arg",
    "call_parse",
    "camel2words",
    "coll_repr",
    "compile_re",
    "dumps",
    "exec_eval",
    "exec_new",
    "first_match",
    "gen",
    "getattrs",
    "ignore_exceptions",
    "image_extensions",
    "image_size",
    "is_namedtuple",
    "joins",
    "last_match",
    "loads",
    "mapped",
    "modified_env",
    "negate",
    "nested_setdefault",
    "partition_dict",
    "req",
    "ret_false",
    "ret_true",
    "run",
    "set_num_threads",
    "shufflish",
    "store_false",
    "store_true",
    "str2float",
    "str2int",
    "str2list",
    "str_enum",
    "stringfmt_names",
    "trace",
    "true",
    "truncstr",
    "try_attrs",
    "urljson",
    "urlopen",
    "urlquote",
    "urlread",
    "urlsave",
    "urlwrap",
]  # fmt: skip
Str, Int, Float = (
    type(name, (kind,), {"__doc__": f"A {kind.__name__} that may have attributes."})
    for name, kind in (("Str", str), ("Int", int), ("Float", float))
)


IN_COLAB, IN_IPYTHON, IN_JUPYTER, IN_NOTEBOOK = in_colab(), in_ipython(), in_jupyter(), in_notebook()
image_extensions = {k for k, v in mimetypes.types_map.items() if v.startswith("image/")}


# -- searching ------------------------------------------------------------------------------------------------------------
def argwhere(iterable: Iterable[Any], f: Callable[[Any], Any], negate: bool = False) -> list[int]:
    """The positions where `f` holds (or, with `negate`, doesn't)."""
    return [i for i, o in enumerate(iterable) if bool(f(o)) is not negate]


def first_match(lst: Iterable[Any], f: Callable[[Any], Any], default: Any = None) -> Any:
    """The first position where `f` holds."""
    return next((i for i, o in enumerate(lst) if f(o)), default)


def last_match(lst: Iterable[Any], f: Callable[[Any], Any], default: Any = None) -> Any:
    """The last one."""
    items = list(lst)
    return next((i for i in range(len(items) - 1, -1, -1) if f(items[i])), default)


def partition_dict(d: dict[Any, Any], f: Callable[[Any, Any], Any]) -> tuple[dict[Any, Any], dict[Any, Any]]:
    """Two dictionaries: where ``f(key, value)`` holds, and where not."""
    return {k: v for k, v in d.items() if f(k, v)}, {k: v for k, v in d.items() if not f(k, v)}


def negate(f: Callable[..., Any]) -> Callable[..., bool]:
    """A function that says the opposite."""
    return lambda *args, **kwargs: not f(*args, **kwargs)


def getattrs(o: Any, *attrs: str, default: Any = None) -> list[Any]:
    """Several attributes."""
    return [getattr(o, attr, default) for attr in attrs]


def try_attrs(obj: Any, *attrs: str) -> Any:
    """The first attribute that is there."""
    for attr in attrs:
        if hasattr(obj, attr):
            return getattr(obj, attr)
    raise AttributeError(f"{type(obj).__name__} has none of the attributes {', '.join(attrs)}")


def nested_setdefault(o: Any, attr: str, default: Any) -> Any:
    """A nested attribute or key, "a.b", which is set where it isn't there."""
    *path, last = attr.split(".")
    for part in path:
        o = o.setdefault(part, {})
    return o.setdefault(last, default)


def gen(func: Callable[[Any], Any], seq: Iterable[Any], cond: Callable[[Any], Any] = lambda o: True) -> Iterator[Any]:
    """`func` of each, as long as `cond` holds of the results."""
    for o in map(func, seq):
        if not cond(o):
            return
        yield o


def mapped(f: Callable[..., Any], it: Any) -> Any:
    """`f` of each item, or of the one thing that is no list."""
    return L(it).map(f) if isinstance(it, (list, tuple, L)) else f(it)


def shufflish(x: Iterable[Any], pct: float = 0.04) -> L[Any]:
    """Nearly in order: each item moves by about the share `pct` of the length."""
    items = list(x)
    reach = len(items) * pct
    return L([items[i] for i in sorted(range(len(items)), key=lambda i: i + reach * (random.random() * 2 - 1))])


def ret_true(*args: Any, **kwargs: Any) -> bool:
    """True."""
    _ = args, kwargs
    return True


def ret_false(*args: Any, **kwargs: Any) -> bool:
    """False."""
    _ = args, kwargs
    return False


def true(x: Any) -> bool:
    """Whether a thing counts as yes; of arrays, whether there is anything in them."""
    return bool(len(x)) if isinstance(x, np.ndarray) else bool(x)


# -- texts ----------------------------------------------------------------------------------------------------------------
def camel2words(s: str, space: str = " ") -> str:
    """``AbcDef`` as ``Abc Def``."""
    return re.sub(r"([a-z])([A-Z])", rf"\1{space}\2", s)


def joins(s: str, strs: Iterable[str]) -> str:
    """Texts, joined by `s`."""
    return s.join(strs)


def truncstr(s: str, maxlen: int, suf: str = "…", space: str = "") -> str:
    """A text of at most `maxlen` characters."""
    return s + space if len(s) + len(space) <= maxlen else s[: maxlen - len(suf)] + suf


def compile_re(exp: str | None) -> re.Pattern[str] | None:
    """A compiled pattern; None for None."""
    return None if exp is None else re.compile(exp)


def stringfmt_names(s: str) -> list[str]:
    """The names in a format's braces."""
    import string

    return [name for _, name, _, _ in string.Formatter().parse(s) if name]


def str2int(s: str) -> int:
    """A whole number of a text; "on" is 1, "off" and "" 0."""
    said = s.strip().lower()
    return 1 if said == "on" else 0 if said in ("off", "none", "") else int(said)


def str2float(s: str) -> float:
    """A number of a text; "" is 0."""
    return float(s) if s.strip() else 0.0


def str2list(s: str) -> list[Any] | None:
    """A list of a JSON text, or of words between commas."""
    s = s.strip()
    return None if not s else json.loads(s) if s.startswith("[") else [part.strip() for part in s.split(",")]


def coll_repr(c: Any, max_n: int = 250) -> str:
    """A collection as text, at most `max_n` of its items."""
    items = list(c)
    return f"(#{len(items)}) [{','.join(map(repr, items[:max_n]))}{'...' if len(items) > max_n else ''}]"


loads, dumps = json.loads, json.dumps


# -- enumerations and classes ---------------------------------------------------------------------------------------------
class ImportEnum(enum.Enum):
    """An enumeration whose names can be put into a namespace."""

    @classmethod
    def imports(cls) -> None:
        """Puts the members into the caller's namespace."""
        frame = inspect.currentframe()
        assert frame is not None and frame.f_back is not None
        frame.f_back.f_globals.update({member.name: member for member in cls})


class StrEnum(str, ImportEnum):
    """Members that are texts."""

    def __str__(self) -> str:
        return self.name


def str_enum(name: str, *vals: str) -> Any:
    """A `StrEnum` of these names."""
    return StrEnum(name, {v: v for v in vals})  # type: ignore[call-overload]


def is_namedtuple(cls: Any) -> bool:
    """Whether it is a class of named tuples."""
    return isinstance(cls, type) and issubclass(cls, tuple) and hasattr(cls, "_fields")


def asdict(o: Any) -> Any:
    """The attributes of a dataclass, a named tuple or any other thing."""
    import dataclasses

    if dataclasses.is_dataclass(o) and not isinstance(o, type):
        return dataclasses.asdict(o)
    thing: Any = o
    if hasattr(thing, "_asdict"):
        return thing._asdict()
    return dict(thing) if hasattr(thing, "keys") else {k: v for k, v in vars(thing).items() if not k.startswith("_")}


class IterLen:
    """Gives ``__iter__`` to what has ``__len__`` and ``__getitem__``."""

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))  # type: ignore[index,arg-type]


class SaveReturn:
    """Keeps what a generator returns: ``s = SaveReturn(g()); list(s); s.value``."""

    def __init__(self, its: Any) -> None:
        self.its, self.value = its, None

    def __iter__(self) -> Iterator[Any]:
        self.value = yield from self.its
        return self.value


class ignore_exceptions:
    """A block whose errors are dropped."""

    def __enter__(self) -> None: ...
    def __exit__(self, *args: Any) -> bool:
        return args[0] is None or issubclass(args[0], Exception)


def trace(f: Callable[..., Any]) -> Callable[..., Any]:
    """A function that begins in the debugger."""

    @functools.wraps(f)
    def traced(*args: Any, **kwargs: Any) -> Any:
        breakpoint()
        return f(*args, **kwargs)

    return traced


def exec_new(code: str) -> dict[str, Any]:
    """The names that a piece of code of yours sets."""
    names: dict[str, Any] = {"__name__": None}
    exec(code, names)
    return names


def exec_eval(code: str, g: dict[str, Any] | None = None, l: dict[str, Any] | None = None) -> Any:  # noqa: E741
    """Runs a piece of code of yours; gives the value of its last expression."""
    import ast

    tree, g = ast.parse(code), {} if g is None else g
    last: Any = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "<code>", "exec"), g, l)
    return None if last is None else eval(compile(ast.Expression(last.value), "<code>", "eval"), g, l)


# -- the machine ----------------------------------------------------------------------------------------------------------
def run(cmd: Any, *rest: str, same_in_win: bool = False, ignore_ex: bool = False, as_bytes: bool = False, stderr: bool = False) -> Any:
    """What a command prints; an `OSError` with it where the command fails, or with `ignore_ex` (its status, what it printed).

    Args:
        cmd: a text, which is taken apart at blanks, or a list. stderr: also what it prints to there.
    """
    import shlex

    _ = same_in_win
    parts = [*(shlex.split(cmd) if isinstance(cmd, str) and not rest else [cmd] if isinstance(cmd, str) else cmd), *rest]
    done = subprocess.run(parts, capture_output=True)
    said = done.stdout + (done.stderr if stderr or done.returncode else b"")
    out = said if as_bytes else said.decode().strip()
    if ignore_ex:
        return done.returncode, out
    if done.returncode:
        raise OSError(out)
    return out


@contextmanager
def modified_env(*delete: str, **replace: str) -> Iterator[None]:
    """Other environment variables inside the block."""
    before = dict(os.environ)
    try:
        os.environ.update(replace)
        for name in delete:
            os.environ.pop(name, None)
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def set_num_threads(nt: int) -> None:
    """How many threads PyTorch (and what begins after this) uses."""
    import torch

    torch.set_num_threads(nt)
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(nt)


def image_size(fn: Any) -> tuple[int, int]:
    """The width and height of a picture's file."""
    from PIL import Image

    with Image.open(fn) as im:
        return im.size


# -- scripts --------------------------------------------------------------------------------------------------------------
def store_true() -> Any:
    """A switch that is off; as an annotation of a `call_parse` function."""


def store_false() -> Any:
    """A switch that is on."""


def bool_arg(v: str) -> bool:
    """Yes or no."""
    from burnish.compat.helpers import str2bool

    return str2bool(v)


def req(x: Any) -> Any:
    """Itself: what has no default is required."""
    return x


def call_parse(func: Any = None, *, nested: bool = False) -> Any:
    """A function as a command: its parameters are the command's, when the module that has it is run. It can be called as ever."""
    if func is None:
        return functools.partial(call_parse, nested=nested)
    frame = inspect.currentframe()
    if frame is None or frame.f_back is None or frame.f_back.f_globals.get("__name__") != "__main__" or in_ipython():
        return func
    parser = argparse.ArgumentParser(description=inspect.getdoc(func), formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    hints = inspect.get_annotations(func, eval_str=True)
    for name, p in inspect.signature(func).parameters.items():
        kind, optional = hints.get(name, str), p.default is not inspect.Parameter.empty
        if kind in (store_true, store_false) or (kind is bool and p.default is False):
            parser.add_argument(f"--{name}", action="store_false" if kind is store_false else "store_true")
        else:
            read = bool_arg if kind is bool else kind if callable(kind) else str
            parser.add_argument(f"--{name}" if optional else name, type=read, **({"default": p.default} if optional else {}))
    func(**vars(parser.parse_args(sys.argv[1:])))
    return func


# -- the web --------------------------------------------------------------------------------------------------------------
def urlquote(url: str) -> str:
    """An address with what isn't ASCII escaped."""
    parts = list(urllib.parse.urlsplit(url))
    parts[2] = urllib.parse.quote(parts[2], safe="/%")
    return urllib.parse.urlunsplit(parts)


def urlwrap(url: Any, data: Any = None, headers: dict[str, str] | None = None) -> urllib.request.Request:
    """A request of an address."""
    body = urllib.parse.urlencode(data).encode("ascii") if isinstance(data, dict) else data
    return (
        url
        if isinstance(url, urllib.request.Request)
        else urllib.request.Request(urlquote(url), body, {"User-Agent": "Mozilla/5.0", **(headers or {})})
    )


def urlopen(url: Any, data: Any = None, headers: dict[str, str] | None = None, timeout: float | None = None) -> Any:
    """Opens an address."""
    return urllib.request.urlopen(urlwrap(url, data, headers), timeout=timeout or 30)


def urlread(url: Any, data: Any = None, headers: dict[str, str] | None = None, decode: bool = True, timeout: float | None = None) -> Any:
    """What is at an address, as text, or with ``decode=False`` as bytes."""
    with urlopen(url, data, headers, timeout) as answer:
        body = answer.read()
    return body.decode() if decode else body


def urljson(url: Any, data: Any = None, timeout: float | None = None) -> Any:
    """What is at an address, as JSON."""
    return json.loads(urlread(url, data, timeout=timeout))


def urlsave(url: str, dest: Any = None, timeout: float | None = None) -> Path:
    """Downloads a file to `dest`, a file or a folder."""
    place = Path(dest) if dest is not None else Path(".")
    place = place / url.split("?")[0].rstrip("/").rsplit("/", 1)[-1] if place.is_dir() else place
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(urlread(url, decode=False, timeout=timeout))
    return place
