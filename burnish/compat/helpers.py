"""Small functions on values and collections that notebooks for fastai use."""

from __future__ import annotations

import functools
import itertools
import math
import re
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np

from burnish.data.collections import L, star

T = TypeVar("T")

__all__ = [
    "Inf", "L", "camel2snake", "compose", "even_mults", "getcallable", "hasattrs", "humanize", "ifnone", "in_colab", "in_ipython", "in_jupyter", "in_notebook", "is_array", "is_bool", "is_coll", "is_indexer", "is_iter", "is_listy", "isinstance_str", "maps", "mapt", "maybe_attr", "nested_attr", "nested_callable", "nested_idx", "noop", "noops", "null", "num_cpus", "otherwise", "partialler", "remove_prefix", "remove_suffix", "risinstance", "round_multiple", "setattrs", "snake2camel", "sparkline", "star", "stop", "str2bool", "strcat", "tonull",
]  # fmt: skip


# -- nothing, and choosing ----------------------------------------------------------------------------------------------
class _Null:
    """Any call, attribute or item of it is itself; false."""

    def __call__(self, *args: Any, **kwargs: Any) -> _Null:
        _ = args, kwargs
        return self

    def __getattr__(self, name: str) -> _Null:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __getitem__(self, key: Any) -> _Null:
        return self

    def __bool__(self) -> bool:
        return False


null = _Null()


def noop(x: Any = None, *args: Any, **kwargs: Any) -> Any:
    """Its first argument."""
    _ = args, kwargs
    return x


def noops(self: Any, x: Any = None, *args: Any, **kwargs: Any) -> Any:
    """Its first argument, as a method."""
    _ = self, args, kwargs
    return x


def ifnone(a: Any, b: Any) -> Any:
    """`b` if `a` is None, else `a`."""
    return b if a is None else a


def tonull(x: Any) -> Any:
    """`null` in the place of None."""
    return null if x is None else x


def otherwise(x: Any, test: Callable[[Any], Any], y: Any) -> Any:
    """`y` if ``test(x)``, else `x`."""
    return y if test(x) else x


def stop(e: Any = StopIteration) -> Any:
    """Raises `e`, in an expression."""
    raise e


def maybe_attr(o: Any, attr: str) -> Any:
    """The attribute, or the object itself where it has none."""
    return getattr(o, attr, o)


def nested_attr(o: Any, attr: str, default: Any = None) -> Any:
    """The attribute at a dotted path, or `default`."""
    for name in attr.split("."):
        try:
            o = getattr(o, name)
        except AttributeError:
            return default
    return o


def nested_callable(o: Any, attr: str) -> Any:
    """The callable at a dotted path, or `noop`."""
    found = nested_attr(o, attr, noop)
    return found if callable(found) else noop


def nested_idx(coll: Any, *idxs: Any) -> Any:
    """What lies at several keys or positions, one inside the other; None where there is nothing."""
    for i in idxs:
        try:
            coll = coll[i]
        except (KeyError, IndexError, TypeError):
            return None
    return coll


def getcallable(o: Any, attr: str) -> Any:
    """The method of that name, or `noop`."""
    return getattr(o, attr, noop)


def setattrs(dest: Any, flds: str, src: Any) -> None:
    """Copies the attributes (or keys) named in `flds`, separated by commas, from `src` to `dest`."""
    for name in re.split(r",\s*", flds):
        setattr(dest, name, src[name] if isinstance(src, Mapping) else getattr(src, name))


def hasattrs(o: Any, attrs: Iterable[str]) -> bool:
    """Whether it has all of them."""
    return all(hasattr(o, name) for name in attrs)


# -- what something is --------------------------------------------------------------------------------------------------
def is_iter(o: Any) -> bool:
    """Whether it can be iterated over (arrays and tensors of no dimension can't)."""
    return isinstance(o, (Iterable, Generator)) and getattr(o, "ndim", 1) != 0


def is_coll(o: Any) -> bool:
    """Whether it has a length."""
    return hasattr(o, "__len__") and getattr(o, "ndim", 1) != 0


def is_listy(x: Any) -> bool:
    """Whether it is a list, tuple, L, slice or generator."""
    return isinstance(x, (tuple, list, slice, Generator))


def is_array(x: Any) -> bool:
    """Whether it is an array, tensor, series or frame."""
    return hasattr(x, "__array__") or hasattr(x, "iloc")


def is_bool(x: Any) -> bool:
    return isinstance(x, (bool, np.bool_))


def is_indexer(idx: Any) -> bool:
    """Whether it points at one element."""
    return isinstance(idx, int) or getattr(idx, "ndim", 1) == 0


def isinstance_str(x: Any, cls_name: str) -> bool:
    """Whether a class of that name is among its classes."""
    return cls_name in [t.__name__ for t in type(x).__mro__]


def risinstance(types: Any, obj: Any = None) -> Any:
    """`isinstance` the other way round; with the types alone, a function of the object."""
    if obj is None:
        return functools.partial(risinstance, types)
    if isinstance(types, str) or (isinstance(types, (tuple, list)) and all(isinstance(t, str) for t in types)):
        return any(isinstance_str(obj, t) for t in L(types))
    return isinstance(obj, tuple(types) if isinstance(types, list) else types)


def in_ipython() -> bool:
    """Whether IPython runs this."""
    try:
        from IPython import get_ipython  # type: ignore[import-not-found]
    except ImportError:
        return False
    return get_ipython() is not None


def in_jupyter() -> bool:
    """Whether a notebook runs this."""
    if not in_ipython():
        return False
    from IPython import get_ipython  # type: ignore[import-not-found]

    return type(get_ipython()).__name__ == "ZMQInteractiveShell"


def in_colab() -> bool:
    """Whether Google Colab runs this."""
    import sys

    return "google.colab" in sys.modules


def in_notebook() -> bool:
    """Whether a notebook runs this, of Jupyter or Colab."""
    return in_colab() or in_jupyter()


def num_cpus() -> int:
    """How many processors this process may use."""
    from burnish.data.parallel import processors

    return processors()


# -- functions ----------------------------------------------------------------------------------------------------------
def compose(*funcs: Any, order: Any = None) -> Callable[..., Any]:
    """A function that calls `funcs` one after another (sorted by an attribute `order`); further arguments go to each."""
    steps = L(list(funcs[0]) if len(funcs) == 1 and is_listy(funcs[0]) else list(funcs)).filter(lambda f: f is not None)
    if not steps:
        return noop
    if order is not None:
        steps = steps.sorted(order)

    def composed(x: Any, *args: Any, **kwargs: Any) -> Any:
        for f in steps:
            x = f(x, *args, **kwargs)
        return x

    return composed


def maps(*args: Any, retain: Any = noop) -> Any:
    """``map`` of several functions, one after the other, over the last argument."""
    *funcs, items = args
    done = map(compose(*funcs), items)
    return done if retain is noop else retain(done, items)


def mapt(func: Callable[..., Any], *iterables: Any) -> tuple[Any, ...]:
    """``tuple(map(...))``."""
    return tuple(map(func, *iterables))


def partialler(f: Callable[..., Any], *args: Any, order: Any = None, **kwargs: Any) -> Any:
    """`functools.partial` that keeps the docstring and takes an `order`."""
    made = functools.partial(f, *args, **kwargs)
    made.__doc__ = f.__doc__
    if order is not None or hasattr(f, "order"):
        made.order = order if order is not None else f.order  # type: ignore[attr-defined]
    return made


# -- numbers and words --------------------------------------------------------------------------------------------------
class _Infinite(float):
    """Infinity whose `count`, `zeros`, `ones` and `nones` are endless."""

    @property
    def count(self) -> Iterator[int]:
        return itertools.count()

    @property
    def zeros(self) -> Iterator[int]:
        return itertools.repeat(0)

    @property
    def ones(self) -> Iterator[int]:
        return itertools.repeat(1)

    @property
    def nones(self) -> Iterator[None]:
        return itertools.repeat(None)


Inf = _Infinite("inf")


def even_mults(start: float, stop: float, n: int) -> Any:
    """`n` numbers from `start` to `stop`, each the same multiple of the one before."""
    return stop if n == 1 else np.geomspace(start, stop, n).tolist()


def round_multiple(x: Any, mult: int, round_down: bool = False) -> Any:
    """The nearest multiple of `mult` (or the next below)."""

    def one(v: float) -> int:
        return int(v // mult if round_down else round(v / mult)) * mult

    return L(list(x)).map(one) if is_iter(x) else one(x)


def camel2snake(name: str) -> str:
    """`CamelCase` as `camel_case`."""
    return re.sub("([a-z0-9])([A-Z])", r"\1_\2", re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)).lower()


def snake2camel(s: str) -> str:
    """`snake_case` as `SnakeCase`."""
    return "".join(part.title() for part in s.split("_"))


def remove_prefix(text: str, prefix: str) -> str:
    return text.removeprefix(prefix)


def remove_suffix(text: str, suffix: str) -> str:
    return text.removesuffix(suffix)


def strcat(its: Iterable[Any], sep: str = "") -> str:
    return sep.join(map(str, its))


def str2bool(s: Any) -> bool:
    """What a text such as "yes", "0" or "off" means."""
    if not isinstance(s, str):
        return bool(s)
    word = s.lower()
    if word in ("", "n", "no", "f", "false", "off", "0", "none"):
        return False
    if word in ("y", "yes", "t", "true", "on", "1"):
        return True
    raise ValueError(f"{s!r} is neither a yes nor a no")


def humanize(n: float) -> str:
    """A number with its thousands as letters: 1.5k, 2M."""
    for power, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(n) >= power:
            return f"{n / power:.1f}".rstrip("0").rstrip(".") + letter
    return f"{n:g}"


def sparkline(data: Iterable[Any], mn: float | None = None, mx: float | None = None, empty_zero: bool = False) -> str:
    """The numbers as a line of small bars; what is missing as a gap."""
    values = [None if v is None or (empty_zero and v == 0) or (isinstance(v, float) and math.isnan(v)) else float(v) for v in data]
    told = [v for v in values if v is not None]
    if not told:
        return " " * len(values)
    low, high = min(told) if mn is None else mn, max(told) if mx is None else mx
    bars = "▁▂▃▅▆▇"
    scale = (len(bars) - 1) / (high - low) if high > low else 0
    return "".join(" " if v is None else bars[max(0, min(len(bars) - 1, round((v - low) * scale)))] for v in values)
