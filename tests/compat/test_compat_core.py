"""The small functions and classes of fastcore that notebooks use, as they are documented there."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import pytest
import torch

from burnish.compat.asserting import (
    ExceptionExpected,
    equals,
    test_close,
    test_eq,
    test_fail,
    test_ne,
    test_shuffled,
    test_stdout,
    test_warns,
)
from burnish.compat.classes import (
    GetAttr,
    PrePostInitMeta,
    basic_repr,
    delegates,
    funcs_kwargs,
    patch,
    patch_to,
    store_attr,
    typed,
    use_kwargs_dict,
)
from burnish.compat.containers import AttrDict, ContextManagers, ReindexCollection, dict2obj, fastuple, obj2dict
from burnish.compat.curried import Self, arg0, arg1, bind, gt, in_, not_
from burnish.compat.helpers import (
    Inf,
    camel2snake,
    compose,
    even_mults,
    humanize,
    ifnone,
    nested_attr,
    noop,
    null,
    otherwise,
    partialler,
    risinstance,
    round_multiple,
    snake2camel,
    sparkline,
    str2bool,
)
from burnish.compat.lists import (
    chunked,
    concat,
    detuplify,
    filter_ex,
    first,
    groupby,
    last,
    listify,
    loop_first_last,
    merge,
    partition,
    range_of,
    tuplify,
    uniqueify,
    zip_cycle,
)
from burnish.compat.parallels import parallel, threaded
from burnish.data.collections import L


def test_choosing():
    assert ifnone(None, 3) == 3 and ifnone(0, 3) == 0 and otherwise(3, gt(2), 5) == 5 and noop(4) == 4 and noop() is None
    assert null(1).x[3]() is null and not null
    assert nested_attr(torch.nn.Linear(2, 3), "weight.shape") == (3, 2) and nested_attr(3, "a.b", 7) == 7
    assert risinstance(int, 3) and risinstance(int)(3) and risinstance("int", 3) and not risinstance((str, float), 3)


def test_lists():
    assert listify(None) == [] and listify("ab") == ["ab"] and listify(range(2)) == [0, 1] and tuplify(3) == (3,)
    assert detuplify((3,)) == 3 and detuplify(()) is None and detuplify((1, 2)) == (1, 2)
    assert list(chunked(range(5), 2)) == [[0, 1], [2, 3], [4]] and list(chunked(range(5), 2, drop_last=True)) == [[0, 1], [2, 3]]
    assert list(chunked(range(5), n_chunks=2)) == [[0, 1, 2], [3, 4]]
    assert first(range(9), gt(3)) == 4 and first([]) is None and last(range(9), lambda o: o < 4) == 3
    assert groupby(["aa", "ab", "b"], 0) == {"a": ["aa", "ab"], "b": ["b"]} and merge({1: 2}, None, {1: 3}) == {1: 3}
    assert range_of("abc") == [0, 1, 2] and concat([1], [2, 3]) == [1, 2, 3] and uniqueify([3, 1, 3], sort=True) == [1, 3]
    assert list(loop_first_last("ab")) == [(True, False, "a"), (False, True, "b")] and list(loop_first_last("a")) == [(True, True, "a")]
    assert list(zip_cycle([1, 2, 3], [4, 5])) == [(1, 4), (2, 5), (3, 4)] and partition([1, 2, 3], gt(1)) == ([2, 3], [1])
    assert filter_ex(range(5), gt(2), negate=True) == [0, 1, 2]


def test_words_and_numbers():
    assert camel2snake("MixedPrecisionX") == "mixed_precision_x" and snake2camel("a_bc") == "ABc" and humanize(1500) == "1.5k"
    assert even_mults(2, 8, 3) == pytest.approx([2, 4, 8]) and even_mults(2, 8, 1) == 8
    assert round_multiple(63, 32) == 64 and round_multiple(40, 32) == 32 and round_multiple(55, 10, round_down=True) == 50
    assert str2bool("off") is False and str2bool("Yes") is True and len(sparkline([1, None, 3])) == 3
    assert Inf > 10**300 and next(iter(Inf.zeros)) == 0
    with pytest.raises(ValueError, match="'maybe' is neither a yes nor a no"):
        str2bool("maybe")


def test_functions():
    assert compose(abs, str)(-3) == "3" and compose()(4) == 4
    assert bind(operator.sub, arg1, arg0)(2, 5) == 3 and bind(operator.sub, 9)(5) == 4
    assert gt(3)(4) and gt(4, 3) and not gt(3)(3) and in_((1, 2))(1) and not_(bool)(0)
    f = partialler(int, base=2, order=3)
    assert f("101") == 5 and f.order == 3


def test_what_is_said_now_is_done_later():
    assert L("ab", "c").map(Self.upper()) == ["AB", "C"] and L([1, 2], [3, 4]).map(Self[1]) == [2, 4]
    assert L("a b", "c d").map(Self.split()[0].upper()) == ["A", "C"] and L("xay", "b").filter(Self.startswith("x")) == ["xay"]


def test_methods_for_classes_that_exist():
    class Square:
        side = 2

    @patch
    def area(self: Square, times: int = 1) -> int:
        return self.side**2 * times

    @patch(as_prop=True)
    def twice(self: Square) -> int:
        return self.side * 2

    @patch_to(Square, cls_method=True)
    def made(cls: Any) -> Any:
        return cls()

    assert area is None and Square().area(3) == 12 and Square().twice == 4 and isinstance(Square.made(), Square)
    assert Square.area.__qualname__ == "Square.area"
    with pytest.raises(TypeError, match="'self' has no annotation"):
        patch(lambda self: 3)


def test_arguments_become_attributes():
    class A:
        def __init__(self, a, b=2, *, c: float = 3):
            store_attr(but="b")

    class B:
        def __init__(self, a, b: float = 2):
            store_attr("a,b", cast=True)

        __repr__ = basic_repr("a,b")

    a = A(1)
    assert a.a == 1 and a.c == 3 and not hasattr(a, "b") and repr(B(1)) == "B(a=1, b=2.0)"


def test_delegating():
    class Outer(GetAttr):
        def __init__(self):
            self.default = [3, 1]

    outer = Outer()
    assert outer.index(1) == 1 and "append" in dir(outer)
    with pytest.raises(AttributeError, match="'Outer' object has no attribute 'nope'"):
        outer.nope

    def base(x, y=1, *, z=2): ...

    @delegates(base, but="z")
    def f(a, **kwargs):
        return kwargs

    @use_kwargs_dict(q=5)
    def g(a, **kwargs):
        return kwargs

    import inspect

    assert str(inspect.signature(f)) == "(a, *, y=1)" and f(1, w=2) == {"w": 2} and str(inspect.signature(g)) == "(a, *, q=5)"


def test_replaceable_methods_and_what_runs_around_init():
    @funcs_kwargs
    class Loader:
        _methods = ["item"]

        def __init__(self, n=1, **kwargs):
            self.n = n

        def item(self, i):
            return i

    class A(metaclass=PrePostInitMeta):
        def __pre_init__(self, *args, **kwargs):
            self.order = ["pre"]

        def __init__(self, x):
            self.order.append(x)

        def __post_init__(self, *args, **kwargs):
            self.order.append("post")

    assert Loader(item=lambda i: i * 10).item(3) == 30 and Loader().item(3) == 3 and A("init").order == ["pre", "init", "post"]


def test_types_checked():
    @typed
    def f(a: int, b: str = "") -> str:
        return b * a

    assert f(2, "x") == "xx"
    with pytest.raises(TypeError, match="a='2' is a str; expected int"):
        f("2")


def test_containers():
    d = AttrDict(a=1)
    d.b = 2
    assert d == {"a": 1, "b": 2} and d.a == 1
    made = dict2obj({"a": [{"b": 1}]})
    assert made.a[0].b == 1 and obj2dict(made) == {"a": [{"b": 1}]}
    t = fastuple(1, 2)
    assert t + (3,) == (1, 2, 3) and t.add((1, 1)) == (2, 3) and t * 2 == (2, 4) and t - 1 == (0, 1) and fastuple([3, 4]).max() == 4
    r = ReindexCollection(["a", "b", "c"], idxs=[2, 0, 1], cache=2)
    assert [r[i] for i in range(3)] == ["c", "a", "b"]
    events = []

    class C:
        def __enter__(self):
            events.append("in")

        def __exit__(self, *args):
            events.append("out")

    with ContextManagers([C(), C()]):
        events.append("between")
    assert events == ["in", "in", "between", "out", "out"]


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (1, 1.0),
        ([1, 2], (1, 2)),
        (torch.ones(2), np.ones(2)),
        ({"a": [1]}, {"a": (1,)}),
        (L(1, 2), [1, 2]),
        ("a", "a"),
        (torch.zeros(0), []),
        (int, int),
    ],
)
def test_what_is_equal(a, b):
    assert equals(a, b)
    test_eq(a, b)
    with pytest.raises(AssertionError, match="!="):
        test_ne(a, b)


@pytest.mark.parametrize(
    ("a", "b"), [(1, 2), ([1], [1, 2]), (torch.ones(2), torch.ones(3)), ("a", ["a"]), ({"a": 1}, {"b": 1}), (int, float), (None, [])]
)
def test_what_is_not(a, b):
    test_ne(a, b)
    with pytest.raises(AssertionError, match="=="):
        test_eq(a, b)


def test_other_assertions():
    test_close([1.0, 2], [1.000001, 2])
    test_shuffled([1, 2, 3], [3, 1, 2])
    test_stdout(lambda: print("hi"), "hi")
    test_fail(lambda: 1 / 0, contains="division")
    test_warns(lambda: __import__("warnings").warn("x", stacklevel=1))
    with ExceptionExpected(ZeroDivisionError, "division"):
        1 / 0
    for wrong in (
        lambda: test_fail(lambda: 1),
        lambda: test_close(1, 2),
        lambda: test_stdout(lambda: None, "x"),
        lambda: test_warns(lambda: None),
    ):
        with pytest.raises(AssertionError):
            wrong()


def _twice(x, more=0):
    return 2 * x + more


def test_parallel_work():
    assert parallel(_twice, range(5), n_workers=2, more=1) == [1, 3, 5, 7, 9] and parallel(_twice, [1], n_workers=0) == [2]
    assert parallel(_twice, range(3), n_workers=2, threadpool=False) == [0, 2, 4]
    caught = parallel(lambda x: 1 / x, [1, 0], n_workers=2, return_exceptions=True)
    assert caught[0] == 1 and isinstance(caught[1], ZeroDivisionError)

    @threaded
    def f(x):
        return x + 1

    worker = f(3)
    worker.join()
    assert worker.result == 4
