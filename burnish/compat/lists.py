"""Small functions on lists, tuples and dictionaries that notebooks for fastai use."""

from __future__ import annotations

import functools
import itertools
import math
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from burnish.compat.helpers import noop
from burnish.data.collections import L

T = TypeVar("T")

__all__ = [
    "chunked", "concat", "cycle", "detuplify", "filter_dict", "filter_ex", "filter_keys", "filter_values", "first", "flatmap", "flatten", "groupby", "last", "last_index", "listify", "loop_first", "loop_first_last", "loop_last", "map_ex", "mask2idxs", "merge", "only", "partition", "product", "range_of", "renumerate", "replicate", "setify", "sorted_ex", "splitter", "tuplify", "uniqueify", "val2idx", "zip_cycle",
]  # fmt: skip


def listify(o: Any = None, *rest: Any, use_list: bool = False, match: Any = None) -> list[Any]:
    """As a list: None is empty, a string or array one element."""
    return list(L(o, *rest, use_list=use_list, match=match))


def tuplify(o: Any, use_list: bool = False, match: Any = None) -> tuple[Any, ...]:
    """As a tuple, as `listify`."""
    return tuple(L(o, use_list=use_list, match=match))


def detuplify(x: Any) -> Any:
    """The element of a tuple of one; None of an empty one; else as it is."""
    if not isinstance(x, (tuple, list)):
        return x
    return None if len(x) == 0 else x[0] if len(x) == 1 and getattr(x, "ndim", 1) == 1 else x


def replicate(item: Any, match: Any) -> tuple[Any, ...]:
    """`item` as often as `match` is long."""
    return (item,) * len(match)


def setify(o: Any) -> set[Any]:
    return o if isinstance(o, set) else set(L(o))


def uniqueify(x: Iterable[T], sort: bool = False, bidir: bool = False, start: Iterable[T] | None = None) -> Any:
    """Each value once, as ``L.unique``."""
    return L(list(x)).unique(sort=sort, bidir=bidir, start=start)


def val2idx(x: Iterable[T]) -> dict[T, int]:
    """Value -> position."""
    return {v: i for i, v in enumerate(x)}


def merge(*ds: Mapping[Any, Any] | None) -> dict[Any, Any]:
    """All of the mappings in one; None are left out."""
    return {k: v for d in ds if d is not None for k, v in d.items()}


def range_of(a: Any, b: int | None = None, step: int | None = None) -> list[int]:
    """The positions of a collection, or ``list(range(...))``."""
    return list(L.range(a, b, step))


def concat(*ls: Any) -> L[Any]:
    """The elements of several lists, or of the lists in one, in an L."""
    return L(list(itertools.chain.from_iterable(ls if len(ls) > 1 else ls[0] if ls else ())))


def flatten(o: Any) -> Iterator[Any]:
    """The elements of nested lists; strings and arrays stay whole."""
    return iter(L(o).flatten())


def flatmap(f: Callable[..., Any], xs: Any) -> Iterator[Any]:
    """``f`` of each, joined."""
    return itertools.chain.from_iterable(map(f, xs))


def chunked(it: Iterable[Any], chunk_sz: int | None = None, drop_last: bool = False, n_chunks: int | None = None) -> Iterator[list[Any]]:
    """Lists of `chunk_sz` elements, or `n_chunks` lists in all."""
    if (chunk_sz is None) == (n_chunks is None):
        raise ValueError("chunked takes one of chunk_sz and n_chunks")
    if n_chunks is not None:
        it = list(it)
        chunk_sz = max(1, math.ceil(len(it) / n_chunks))
    rest = iter(it)
    while chunk := list(itertools.islice(rest, chunk_sz)):
        if len(chunk) == chunk_sz or not drop_last:
            yield chunk


def groupby(x: Iterable[Any], key: Any, val: Any = noop) -> dict[Any, list[Any]]:
    """Key -> the values that have it; `key` and `val` a function, or the position or name of an item."""
    key, val = (f if callable(f) else operator.itemgetter(f) for f in (key, val))
    out: dict[Any, list[Any]] = {}
    for o in x:
        out.setdefault(key(o), []).append(val(o))
    return out


def partition(coll: Iterable[T], f: Callable[[T], Any]) -> tuple[L[T], L[T]]:
    """(those for which `f` is true, the others)."""
    return L(list(coll)).partition(f)


def product(xs: Iterable[Any]) -> Any:
    """The elements multiplied."""
    return functools.reduce(operator.mul, xs, 1)


def cycle(o: Any) -> Iterator[Any]:
    """The elements over and over; None without end where there is none."""
    return itertools.cycle(listify(o) or [None])


def zip_cycle(x: Iterable[Any], *args: Any) -> Iterator[tuple[Any, ...]]:
    """`x` zipped with others, repeated as often as needed."""
    return zip(x, *map(cycle, args), strict=False)


def renumerate(iterable: Iterable[Any], start: int = 0) -> Iterator[tuple[Any, int]]:
    """(element, position)."""
    return ((o, i) for i, o in enumerate(iterable, start))


def first(x: Iterable[Any] | None, f: Any = None, negate: bool = False, **kwargs: Any) -> Any:
    """The first element (for which `f` is true), or None."""
    test = _test(f, kwargs)
    return next((o for o in (() if x is None else x) if test is None or bool(test(o)) != negate), None)


def last(x: Iterable[Any], f: Any = None, negate: bool = False, **kwargs: Any) -> Any:
    """The last element (for which `f` is true), or None."""
    return first(reversed(list(x)), f, negate, **kwargs)


def last_index(x: Any, o: Any) -> int:
    """The last position of `x` in `o`, or -1."""
    return next((i for i in reversed(range(len(o))) if o[i] == x), -1)


def only(o: Iterable[T]) -> T:
    """The one element there is; ValueError where there are none or several."""
    (one,) = o
    return one


def _test(f: Any, kwargs: Mapping[str, Any]) -> Any:
    return functools.partial(f, **kwargs) if kwargs else f


def filter_ex(iterable: Iterable[T], f: Any = noop, negate: bool = False, gen: bool = False, **kwargs: Any) -> Any:
    """The elements for which `f` is true; lazily with `gen`."""
    test = _test(noop if f is None else f, kwargs)
    out = (o for o in iterable if bool(test(o)) != negate)
    return out if gen else list(out)


def map_ex(iterable: Iterable[Any], f: Any, *args: Any, gen: bool = False, **kwargs: Any) -> Any:
    """``f`` of each, as ``L.map``; lazily with `gen`."""
    out = L(list(iterable)).map(f, *args, **kwargs)
    return iter(out) if gen else list(out)


def sorted_ex(iterable: Iterable[Any], key: Any = None, reverse: bool = False) -> list[Any]:
    """Sorted by a function, the name of an attribute or the position of an item."""
    return list(L(list(iterable)).sorted(key, reverse))


def filter_dict(d: Mapping[Any, Any], func: Callable[[Any, Any], Any]) -> dict[Any, Any]:
    return {k: v for k, v in d.items() if func(k, v)}


def filter_keys(d: Mapping[Any, Any], func: Callable[[Any], Any]) -> dict[Any, Any]:
    return {k: v for k, v in d.items() if func(k)}


def filter_values(d: Mapping[Any, Any], func: Callable[[Any], Any]) -> dict[Any, Any]:
    return {k: v for k, v in d.items() if func(v)}


def mask2idxs(mask: Iterable[Any]) -> L[int]:
    """The positions where a mask is true."""
    return L([i for i, m in enumerate(mask) if m])


def splitter(mask: Iterable[Any]) -> tuple[L[int], L[int]]:
    """The positions where a mask is false, and where it is true."""
    values = [bool(m) for m in mask]
    return mask2idxs(not m for m in values), mask2idxs(values)


def loop_first_last(values: Iterable[T]) -> Iterator[tuple[bool, bool, T]]:
    """(is it the first, is it the last, element)."""
    rest = iter(values)
    try:
        current = next(rest)
    except StopIteration:
        return
    begins = True
    for following in rest:
        yield begins, False, current
        begins, current = False, following
    yield begins, True, current


def loop_first(values: Iterable[T]) -> Iterator[tuple[bool, T]]:
    return ((begins, o) for begins, _, o in loop_first_last(values))


def loop_last(values: Iterable[T]) -> Iterator[tuple[bool, T]]:
    return ((ends, o) for _, ends, o in loop_first_last(values))
