"""Small containers that notebooks for fastai use."""

from __future__ import annotations

import functools
import operator
import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

from burnish.compat.classes import GetAttr
from burnish.data.collections import L

__all__ = [
    "NS",
    "AttrDict",
    "AttrDictDefault",
    "CollBase",
    "ContextManagers",
    "ReindexCollection",
    "attrdict",
    "dict2obj",
    "fastuple",
    "obj2dict",
]


class AttrDict(dict[str, Any]):
    """A dictionary whose keys are attributes, too."""

    def __getattr__(self, k: str) -> Any:
        try:
            return self[k]
        except KeyError:
            raise AttributeError(k) from None

    def __setattr__(self, k: str, v: Any) -> None:
        if k.startswith("_"):
            super().__setattr__(k, v)
        else:
            self[k] = v

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *(k for k in self if isinstance(k, str))]

    def copy(self) -> AttrDict:
        return AttrDict(**self)


class AttrDictDefault(AttrDict):
    """An AttrDict that gives None (or `default_`) for what it hasn't."""

    def __init__(self, *args: Any, default_: Any = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        super().__setattr__("_default", default_)

    def __missing__(self, k: str) -> Any:
        return self._default

    def __getattr__(self, k: str) -> Any:
        if k.startswith("_"):
            raise AttributeError(k)
        return self[k]


class NS(SimpleNamespace):
    """A namespace that is indexed and iterated over by its names, too."""

    def __getitem__(self, k: str) -> Any:
        return self.__dict__[k]

    def __setitem__(self, k: str, v: Any) -> None:
        self.__dict__[k] = v

    def __iter__(self) -> Iterator[str]:
        return iter(self.__dict__)


def attrdict(o: Any, *ks: str, default: Any = None) -> dict[str, Any]:
    """Some attributes of an object as a dictionary."""
    return {k: getattr(o, k, default) for k in ks}


def dict2obj(d: Any = None, list_func: Callable[..., Any] = L, dict_func: Callable[..., Any] = AttrDict, **kwargs: Any) -> Any:
    """Dictionaries and lists, one inside the other, as AttrDicts and Ls."""
    d = kwargs if d is None else d
    if isinstance(d, (L, list)):
        return list_func([dict2obj(o, list_func, dict_func) for o in d])
    return dict_func(**{k: dict2obj(v, list_func, dict_func) for k, v in d.items()}) if isinstance(d, dict) else d


def obj2dict(d: Any) -> Any:
    """The way back from `dict2obj`."""
    if isinstance(d, (L, list)):
        return [obj2dict(o) for o in d]
    return {k: obj2dict(v) for k, v in d.items()} if isinstance(d, dict) else d


class fastuple(tuple[Any, ...]):
    """A tuple that adds, multiplies and compares element by element."""

    def __new__(cls, x: Any = None, *rest: Any) -> Any:
        if rest:
            return super().__new__(cls, (x, *rest))
        if x is None:
            return super().__new__(cls)
        return super().__new__(cls, x if isinstance(x, (tuple, list, range)) or hasattr(x, "__next__") or isinstance(x, map) else (x,))

    def _with(self, op: Callable[[Any, Any], Any], other: Any) -> Any:
        others = other if isinstance(other, (tuple, list)) else [other] * len(self)
        return type(self)([op(a, b) for a, b in zip(self, others, strict=True)])

    def add(self, *args: Any) -> Any:
        """The sums, element by element."""
        return functools.reduce(lambda out, other: out._with(operator.add, other), args, self)

    def mul(self, *args: Any) -> Any:
        """The products, element by element."""
        return functools.reduce(lambda out, other: out._with(operator.mul, other), args, self)

    def __mul__(self, other: Any) -> Any:
        return super().__mul__(other) if isinstance(other, int) and not self._numbers() else self.mul(other)

    def _numbers(self) -> bool:
        return bool(self) and all(isinstance(o, (int, float)) for o in self)

    def __add__(self, other: Any) -> Any:
        return type(self)(list(super().__add__(tuple(L(other)))))

    def __sub__(self, other: Any) -> Any:
        return self._with(operator.sub, other)

    def __truediv__(self, other: Any) -> Any:
        return self._with(operator.truediv, other)

    def min(self) -> Any:
        return min(self)

    def max(self) -> Any:
        return max(self)

    def __invert__(self) -> Any:
        return type(self)([not o for o in self])


class CollBase:
    """Holds a list as ``items``."""

    def __init__(self, items: Any) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, k: Any) -> Any:
        return self.items[list(k) if isinstance(k, CollBase) else k]

    def __setitem__(self, k: Any, v: Any) -> None:
        self.items[list(k) if isinstance(k, CollBase) else k] = v

    def __delitem__(self, i: int) -> None:
        del self.items[i]

    def __repr__(self) -> str:
        return repr(self.items)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items)


class ReindexCollection(GetAttr):
    """A collection in another order; the last `cache` elements that were asked for are kept."""

    _default = "coll"

    def __init__(
        self, coll: Any, idxs: Sequence[int] | None = None, cache: int | None = None, tfm: Callable[[Any], Any] = lambda o: o
    ) -> None:
        self.coll, self.idxs, self.cache, self.tfm = coll, list(range(len(coll))) if idxs is None else list(idxs), cache, tfm
        self._get = functools.lru_cache(maxsize=cache)(self._got) if cache is not None else self._got

    def _got(self, i: int) -> Any:
        return self.tfm(self.coll[i])

    def __getitem__(self, i: int) -> Any:
        return self._get(self.idxs[i])

    def __len__(self) -> int:
        return len(self.coll)

    def reindex(self, idxs: Sequence[int]) -> None:
        """Puts another order in place."""
        self.idxs = list(idxs)

    def shuffle(self) -> None:
        """A drawn order."""
        random.shuffle(self.idxs)

    def cache_clear(self) -> None:
        """Lets go of what was kept."""
        if hasattr(self._get, "cache_clear"):
            self._get.cache_clear()  # type: ignore[attr-defined]


class ContextManagers(GetAttr):
    """Several context managers as one."""

    def __init__(self, mgrs: Any) -> None:
        from contextlib import ExitStack

        self.default, self.stack = L(mgrs), ExitStack()

    def __enter__(self) -> Any:
        deque(map(self.stack.enter_context, self.default), maxlen=0)
        return self

    def __exit__(self, *args: Any) -> Any:
        return self.stack.__exit__(*args)
