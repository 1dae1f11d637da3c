"""`L`: a list with mapping, filtering and numpy-like indexing, for short notebook code on items and labels."""

from __future__ import annotations

import functools
import itertools
import operator
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, SupportsIndex, TypeVar, overload

import numpy as np

from burnish.errors import SettingError

T = TypeVar("T")
U = TypeVar("U")
_NOTHING: Any = object()


def star(f: Callable[..., U]) -> Callable[[Iterable[Any]], U]:
    """`f` as a function of one tuple: ``L((1, 2), (3, 4)).map(star(operator.add))`` is ``L(3, 7)``."""

    @functools.wraps(f)
    def starred(args: Iterable[Any]) -> U:
        return f(*args)

    return starred


class L(list[T]):
    """A list that maps, filters, groups and is indexed as numpy arrays are.

    ``L(items)`` takes the elements of an iterable; None gives an empty list; a string, bytes, mapping, array, tensor or
    data frame counts as one element (``use_list=True`` takes it apart); ``L(1, 2, 3)`` lists its arguments. With
    ``match=other`` a single element is repeated to the length of `other`.

    Indexing takes an int, a slice, several positions (list, tuple, array, tensor) or a mask of the same length.
    Methods return a new L and leave this one as it is, except those of ``list`` itself (append, sort, ...).

    >>> L("abc"), L(None), L(range(12))
    ((#1) ['abc'], (#0) [], (#12) [0,1,2,3,4,5,6,7,8,9...])
    >>> L(10, 20, 30)[[0, 2]] == L(10, 20, 30)[[True, False, True]] == [10, 30]
    True
    """

    def __init__(self, items: Any = None, *rest: Any, use_list: bool = False, match: Sequence[Any] | None = None) -> None:
        elements = [items, *rest] if rest else _elements(items, use_list)
        if match is not None and len(elements) == 1:
            elements = elements * len(match)
        if match is not None and len(elements) != len(match):
            raise SettingError(f"L got {len(elements)} elements but match= has {len(match)}. Give one element, or as many as match= has.")
        super().__init__(elements)

    # -- indexing and operators ------------------------------------------------------------------------------------
    @overload
    def __getitem__(self, key: SupportsIndex) -> T: ...
    @overload
    def __getitem__(self, key: Any) -> L[T]: ...
    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            return _new(super().__getitem__(key))
        if isinstance(key, int):
            return super().__getitem__(key)
        where = _positions(key, len(self))
        return super().__getitem__(where) if isinstance(where, int) else _new(super(L, self).__getitem__(i) for i in where)

    def __setitem__(self, key: Any, value: Any) -> None:
        if isinstance(key, (int, slice)):
            return super().__setitem__(key, value)
        where = _positions(key, len(self))
        if isinstance(where, int):
            return super().__setitem__(where, value)
        for i, v in zip(where, L(value, match=where), strict=True):
            super().__setitem__(i, v)
        return None

    def __add__(self, other: Any) -> L[Any]:
        return _new([*self, *L(other)])

    def __radd__(self, other: Any) -> L[Any]:
        return L(other) + self

    def __iadd__(self, other: Any) -> L[Any]:
        self.extend(L(other))
        return self

    def __mul__(self, times: SupportsIndex) -> L[T]:
        return _new(super().__mul__(times))

    __rmul__ = __mul__

    def __invert__(self) -> L[bool]:
        return self.map(operator.not_)

    def __repr__(self) -> str:
        return f"(#{len(self)}) [{','.join(repr(o) for o in self[:10])}{'...' if len(self) > 10 else ''}]"

    def copy(self) -> L[T]:
        return _new(self)

    # -- mapping ---------------------------------------------------------------------------------------------------
    def map(self, f: Callable[..., U] | str | Any, *args: Any, **kwargs: Any) -> L[U]:
        """``f(element, *args, **kwargs)`` of each. A string `f` formats ("{:02d}"); a mapping or list looks up."""
        f = _function(f)
        return _new(f(o, *args, **kwargs) for o in self)

    def starmap(self, f: Callable[..., U], *args: Any, **kwargs: Any) -> L[U]:
        """``f(*element, *args, **kwargs)`` of each."""
        return _new(f(*o, *args, **kwargs) for o in self)  # type: ignore[misc]

    def map_dict(self, f: Callable[[T], U] | None = None) -> dict[T, Any]:
        """Element -> ``f(element)``."""
        return {o: o if f is None else f(o) for o in self}

    def map_first(self, f: Callable[[T], Any] | None = None, g: Callable[[Any], Any] | None = None) -> Any:
        """The first ``f(element)`` for which ``g`` of it (or it) is true, or None."""
        return next((v for v in (o if f is None else f(o) for o in self) if (v if g is None else g(v))), None)

    def itemgot(self, *idxs: Any) -> L[Any]:
        """Item `idxs[0]` of each, then item `idxs[1]` of those, and so on."""
        return functools.reduce(lambda out, i: out.map(operator.itemgetter(i)), idxs, self)

    def attrgot(self, name: str, default: Any = None) -> L[Any]:
        """Attribute `name` of each (of a mapping: its value), or `default`."""
        return self.map(lambda o: o.get(name, default) if isinstance(o, Mapping) else getattr(o, name, default))

    def setattrs(self, name: str, value: Any) -> None:
        """Sets attribute `name` of each."""
        for o in self:
            setattr(o, name, value)

    # -- choosing --------------------------------------------------------------------------------------------------
    def filter(self, f: Callable[..., Any] | None = None, negate: bool = False, **kwargs: Any) -> L[T]:
        """The elements for which ``f(element, **kwargs)`` is true (false with `negate`)."""
        return self[self.argwhere(f, negate, **kwargs)]

    def argwhere(self, f: Callable[..., Any] | None = None, negate: bool = False, **kwargs: Any) -> L[int]:
        """Positions of the elements for which ``f(element, **kwargs)`` is true (false with `negate`)."""
        test = bool if f is None else functools.partial(f, **kwargs) if kwargs else f
        return _new(i for i, o in enumerate(self) if bool(test(o)) != negate)

    def argfirst(self, f: Callable[..., Any] | None = None, negate: bool = False) -> int | None:
        """Position of the first such element, or None."""
        return next(iter(self.argwhere(f, negate)), None)

    def partition(self, f: Callable[[T], Any]) -> tuple[L[T], L[T]]:
        """(those for which `f` is true, the others)."""
        return self.filter(f), self.filter(f, negate=True)

    def compress(self, mask: Iterable[Any]) -> L[T]:
        """The elements where `mask` is true."""
        return _new(itertools.compress(self, mask))

    def takewhile(self, f: Callable[[T], Any]) -> L[T]:
        """The elements before the first for which `f` is false."""
        return _new(itertools.takewhile(f, self))

    def dropwhile(self, f: Callable[[T], Any]) -> L[T]:
        """The elements from the first for which `f` is false."""
        return _new(itertools.dropwhile(f, self))

    def first(self, f: Callable[[T], Any] | None = None) -> T | None:
        """The first element (for which `f` is true), or None."""
        return next((o for o in self if f is None or f(o)), None)

    def last(self, f: Callable[[T], Any] | None = None) -> T | None:
        """The last element (for which `f` is true), or None."""
        return next((o for o in reversed(self) if f is None or f(o)), None)

    # -- ordering and grouping -------------------------------------------------------------------------------------
    def sorted(
        self, key: Callable[[T], Any] | str | int | None = None, reverse: bool = False, cmp: Callable[[T, T], int] | None = None
    ) -> L[T]:
        """Sorted by `key`: a function, the name of an attribute, or the position of an item; or by comparing with `cmp`."""
        by: Any = functools.cmp_to_key(cmp) if cmp is not None else _getter(key)
        return _new(sorted(self, key=by, reverse=reverse))

    def unique(self, sort: bool = False, bidir: bool = False, start: Iterable[T] | None = None) -> Any:
        """Each value once, in order of appearance (or sorted), after those of `start`. With `bidir` also value -> position."""
        values: L[T] = _new(dict.fromkeys(itertools.chain(start or (), self)))
        values = values.sorted() if sort else values
        return (values, values.val2idx()) if bidir else values

    def val2idx(self) -> dict[T, int]:
        """Value -> position (of its last appearance)."""
        return {o: i for i, o in enumerate(self)}

    def groupby(self, key: Callable[[T], Any] | str | int, val: Callable[[T], Any] | str | int | None = None) -> dict[Any, L[Any]]:
        """Key -> the elements (or `val` of them) that have it. `key` and `val`: function, attribute name or position."""
        key_of, val_of, groups = _getter(key), _getter(val), {}
        for o in self:
            groups.setdefault(key_of(o) if key_of else o, L()).append(val_of(o) if val_of else o)
        return groups

    def shuffle(self, seed: int | None = None) -> L[T]:
        """A shuffled copy; this list and the global random generators stay as they are."""
        return _new(random.Random(seed).sample(self, len(self)))

    # -- joining ---------------------------------------------------------------------------------------------------
    def zip(self, cycled: bool = False) -> L[tuple[Any, ...]]:
        """The elements, each iterable, zipped; `cycled` repeats the shorter ones to the longest."""
        if not cycled:
            return _new(zip(*self, strict=False))
        columns = [L(o) for o in self]
        longest = max(map(len, columns), default=0)
        return _new(zip(*[itertools.islice(itertools.cycle(c), longest) for c in columns], strict=False))

    def zipwith(self, *rest: Iterable[Any], cycled: bool = False) -> L[tuple[Any, ...]]:
        """This list zipped with others."""
        return _new([self, *rest]).zip(cycled=cycled)

    def map_zip(self, f: Callable[..., U], *args: Any, cycled: bool = False, **kwargs: Any) -> L[U]:
        """``f(*tuple, *args, **kwargs)`` of the zipped elements."""
        return self.zip(cycled=cycled).starmap(f, *args, **kwargs)

    def map_zipwith(self, f: Callable[..., U], *rest: Iterable[Any], cycled: bool = False, **kwargs: Any) -> L[U]:
        """``f(element, *others, **kwargs)`` of this list zipped with others."""
        return self.zipwith(*rest, cycled=cycled).starmap(f, **kwargs)

    def enumerate(self, start: int = 0) -> L[tuple[int, T]]:
        """(position, element) pairs."""
        return _new(enumerate(self, start))

    def renumerate(self, start: int = 0) -> L[tuple[T, int]]:
        """(element, position) pairs."""
        return _new((o, i) for i, o in enumerate(self, start))

    def concat(self) -> L[Any]:
        """The elements' own elements, one level deep."""
        return _new(itertools.chain.from_iterable(map(L, self)))

    def flatten(self) -> L[Any]:
        """The elements' elements, all levels deep; strings, mappings and arrays stay whole."""
        return _new(itertools.chain.from_iterable([o] if _whole(o) else L(o).flatten() for o in self))

    def flatmap(self, f: Callable[[T], Any]) -> L[Any]:
        """``f`` of each, joined."""
        return self.map(f).concat()

    def pairwise(self) -> L[tuple[T, T]]:
        """Neighbours."""
        return _new(itertools.pairwise(self))

    def batched(self, n: int) -> L[L[T]]:
        """Runs of `n` elements; the last may be shorter."""
        return _new(self[i : i + n] for i in range(0, len(self), n))

    def permutations(self, r: int | None = None) -> L[tuple[T, ...]]:
        return _new(itertools.permutations(self, r))

    def combinations(self, r: int) -> L[tuple[T, ...]]:
        return _new(itertools.combinations(self, r))

    def cycle(self) -> Iterator[T]:
        """The elements over and over, without end."""
        return itertools.cycle(self)

    # -- folding ---------------------------------------------------------------------------------------------------
    def reduce(self, f: Callable[[Any, T], Any], initial: Any = _NOTHING) -> Any:
        """``functools.reduce`` of `f`, from `initial` where given."""
        return functools.reduce(f, self) if initial is _NOTHING else functools.reduce(f, self, initial)

    def accumulate(self, f: Callable[[Any, T], Any] = operator.add, initial: Any = None) -> L[Any]:
        """Running results of `f`."""
        return _new(itertools.accumulate(self, f, initial=initial))

    def sum(self) -> Any:
        """The elements added up (0 when empty)."""
        return self.reduce(operator.add) if self else 0

    def product(self) -> Any:
        """The elements multiplied (1 when empty)."""
        return self.reduce(operator.mul, 1)

    # -- tensors ---------------------------------------------------------------------------------------------------
    def tensored(self) -> L[Any]:
        """Each element as a torch tensor."""
        import torch

        return self.map(torch.as_tensor)

    def stack(self, dim: int = 0) -> Any:
        """The elements as tensors, stacked along a new dimension."""
        import torch

        return torch.stack(list(self.tensored()), dim=dim)

    def cat(self, dim: int = 0) -> Any:
        """The elements as tensors, joined along dimension `dim`."""
        import torch

        return torch.cat(list(self.tensored()), dim=dim)

    # -- made from something else ----------------------------------------------------------------------------------
    @classmethod
    def range(cls, a: int | Sequence[Any], b: int | None = None, step: int | None = None) -> L[int]:
        """The numbers of ``range``; for a collection `a` its positions."""
        bounds = (a,) if isinstance(a, int) else (len(a),)
        return _new(range(*bounds) if b is None else range(*bounds, b, 1 if step is None else step))

    @classmethod
    def split(cls, text: str, sep: str | None = None, maxsplit: int = -1) -> L[str]:
        """The parts of ``text.split``."""
        return _new(text.split(sep, maxsplit))

    @classmethod
    def splitlines(cls, text: str, keepends: bool = False) -> L[str]:
        """The lines of ``text.splitlines``."""
        return _new(text.splitlines(keepends))


def _new(elements: Iterable[U]) -> L[U]:
    """An L of exactly these elements: ``L(x)`` would take a lone string or None for something else."""
    out: L[U] = L()
    out.extend(elements)
    return out


def _whole(o: Any) -> bool:
    """Counts as one element, though it may be iterable."""
    return isinstance(o, (str, bytes, Mapping)) or hasattr(o, "__array__") or not hasattr(o, "__iter__")


def _elements(items: Any, use_list: bool) -> list[Any]:
    if items is None:
        return []
    return list(items) if use_list or not _whole(items) else [items]


def _function(f: Any) -> Callable[..., Any]:
    if isinstance(f, str):
        return f.format
    if callable(f):
        return f
    if hasattr(f, "__getitem__"):
        return f.__getitem__
    raise SettingError(
        f"map got {f!r}, a {type(f).__name__}; it needs a function, a format string such as '{{:02d}}', or a mapping to look up in."
    )


def _getter(key: Any) -> Callable[[Any], Any] | None:
    """A key given as function, attribute name or position, as a function."""
    if isinstance(key, str):
        return operator.attrgetter(key)
    return operator.itemgetter(key) if isinstance(key, int) else key


def _positions(key: Any, n: int) -> int | list[int]:
    """Positions meant by an index that is neither an int nor a slice."""
    if not hasattr(key, "__iter__") or getattr(key, "ndim", 1) == 0:
        return operator.index(key)
    picks = key.tolist() if hasattr(key, "tolist") else list(key)
    if picks and all(isinstance(k, (bool, np.bool_)) for k in picks):
        if len(picks) != n:
            raise IndexError(f"A mask of {len(picks)} values was given for an L of {n} elements; a mask needs one value for each element.")
        return [i for i, k in enumerate(picks) if k]
    return [_position(k, n) for k in picks]


def _position(key: Any, n: int) -> int:
    try:
        i = operator.index(key)
    except TypeError:
        raise TypeError(
            f"An L is indexed by ints, a slice, a list of ints or a mask, but {key!r} ({type(key).__name__}) was given."
        ) from None
    if isinstance(key, (bool, np.bool_)) or not -n <= i < n:
        raise IndexError(
            f"Index {key!r} was given for an L of {n} elements." + (" Masks may hold only True and False." if isinstance(key, bool) else "")
        )
    return i
