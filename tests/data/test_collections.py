"""L: construction, indexing, and every method."""

from __future__ import annotations

import copy
import operator
import pickle
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from burnish.data.collections import L, star
from burnish.errors import SettingError


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (L(), []),
        (L(None), []),
        (L("abc"), ["abc"]),
        (L(b"abc"), [b"abc"]),
        (L(1), [1]),
        (L(1, 2, 3), [1, 2, 3]),
        (L(None, None), [None, None]),
        (L([1, 2]), [1, 2]),
        (L((1, 2)), [1, 2]),
        (L(range(3)), [0, 1, 2]),
        (L(o for o in "ab"), ["a", "b"]),
        (L({"a": 1}), [{"a": 1}]),
        (L({"a": 1}, use_list=True), ["a"]),
        (L("abc", use_list=True), ["a", "b", "c"]),
        (L(np.arange(3), use_list=True), [0, 1, 2]),
        (L(5, match=[7, 8, 9]), [5, 5, 5]),
        (L([1, 2], match="ab"), [1, 2]),
    ],
)
def test_construction(made: L, expected: list) -> None:
    assert isinstance(made, L) and made == expected


def test_an_array_a_tensor_and_a_frame_count_as_one_element() -> None:
    assert len(L(np.arange(3))) == len(L(torch.arange(3))) == 1


def test_match_of_another_length_is_refused() -> None:
    with pytest.raises(SettingError, match="L got 2 elements but match= has 3"):
        L([1, 2], match=[1, 2, 3])


@pytest.mark.parametrize(
    "key",
    [
        [1, 3],
        (1, 3),
        np.array([1, 3]),
        torch.tensor([1, 3]),
        [-3, 3],
        [False, True, False, True],
        np.array([False, True, False, True]),
        torch.tensor([False, True, False, True]),
        slice(1, None, 2),
    ],
)
def test_indexing_by_many(key: object) -> None:
    picked = L("a", "b", "c", "d")[key]
    assert isinstance(picked, L) and picked == ["b", "d"]


@pytest.mark.parametrize("key", [2, -2, np.int64(2), torch.tensor(2), np.array(2)])
def test_indexing_by_one(key: object) -> None:
    assert L("a", "b", "c", "d")[key] == "c"


def test_indexing_keeps_elements_as_they_are() -> None:
    assert L([None, "ab", (1, 2)])[[0, 1, 2]] == [None, "ab", (1, 2)] and L([None])[:] == [None]


@pytest.mark.parametrize(
    ("key", "error", "message"),
    [
        ([True, False], IndexError, "A mask of 2 values was given for an L of 3 elements"),
        ([0, 5], IndexError, "Index 5 was given for an L of 3 elements"),
        ([0, True], IndexError, "Masks may hold only True and False"),
        (["a"], TypeError, "'a' .str. was given"),
        ([0.5], TypeError, "0.5 .float. was given"),
    ],
)
def test_bad_indices_say_what_was_given(key: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        L(1, 2, 3)[key]


def test_assignment_by_int_slice_list_and_mask() -> None:
    items = L(0, 0, 0, 0)
    items[0] = 1
    items[[1, 2]] = 5, 6
    items[[False, False, False, True]] = 9
    assert items == [1, 5, 6, 9]
    items[1:3] = [7]
    assert items == [1, 7, 9]


def test_operators() -> None:
    a = L(1, 2)
    three, zero = [3], [0]
    assert a + three == [1, 2, 3] and a + 3 == [1, 2, 3] and 0 + a == [0, 1, 2] and zero + a == [0, 1, 2]
    assert a * 2 == 2 * a == [1, 2, 1, 2] and ~L(True, False) == [False, True]
    assert all(isinstance(o, L) for o in (a + three, zero + a, a * 2, a.copy(), a[:1]))
    b = a.copy()
    b += "abc"
    assert b == [1, 2, "abc"] and a == [1, 2]


def test_repr() -> None:
    assert repr(L("a", 1)) == "(#2) ['a',1]" and repr(L(range(11))) == "(#11) [0,1,2,3,4,5,6,7,8,9...]" and repr(L()) == "(#0) []"


def test_pickle_and_copy() -> None:
    items = L("a", None, [1])
    for same in (pickle.loads(pickle.dumps(items)), copy.copy(items), copy.deepcopy(items)):
        assert isinstance(same, L) and same == items and same is not items


_people = L(SimpleNamespace(name="Bo", age=9), SimpleNamespace(name="Al", age=30), SimpleNamespace(name="Cy", age=9))
_METHODS = {
    "map": [(L(1, 2).map(str), ["1", "2"]), (L(1, 2).map("{:02d}"), ["01", "02"]), (L("a", "b").map({"a": 1, "b": 2}), [1, 2]), (L(1, 2).map(operator.add, 5), [6, 7]), (L(["a"]).map(lambda o: None), [None])],
    "starmap": [(L((1, 2), (3, 4)).starmap(operator.add), [3, 7])],
    "map_dict": [(L(1, 2).map_dict(str), {1: "1", 2: "2"}), (L(1).map_dict(), {1: 1})],
    "map_first": [(L(0, 3, 4).map_first(lambda o: o * 2), 6), (L(1, 2, 3).map_first(None, lambda o: o > 1), 2), (L().map_first(), None)],
    "itemgot": [(L((1, (2, 3)), (4, (5, 6))).itemgot(1, 0), [2, 5]), (L({"a": 1}, {"a": 2}).itemgot("a"), [1, 2])],
    "attrgot": [(_people.attrgot("name"), ["Bo", "Al", "Cy"]), (L({"a": 1}, {}).attrgot("a", 0), [1, 0])],
    "filter": [(L(1, 0, 2).filter(), [1, 2]), (L(1, 2, 3).filter(lambda o: o > 1, negate=True), [1]), (L(L("ab")).filter(), ["ab"])],
    "argwhere": [(L(5, 0, 6).argwhere(), [0, 2]), (L(5, 0, 6).argwhere(lambda o: o == 0, negate=True), [0, 2])],
    "argfirst": [(L(0, 0, 6).argfirst(), 2), (L(0).argfirst(), None)],
    "partition": [(L(range(4)).partition(lambda o: o % 2), ([1, 3], [0, 2]))],
    "compress": [(L("abc", "d").compress([0, 1]), ["d"])],
    "takewhile": [(L(1, 2, 0, 3).takewhile(bool), [1, 2])],
    "dropwhile": [(L(1, 2, 0, 3).dropwhile(bool), [0, 3])],
    "first": [(L(1, 2).first(), 1), (L(1, 2).first(lambda o: o > 1), 2), (L().first(), None)],
    "last": [(L(1, 2).last(), 2), (L(1, 2).last(lambda o: o < 2), 1), (L().last(), None)],
    "sorted": [(L(3, 1, 2).sorted(), [1, 2, 3]), (L(3, 1, 2).sorted(reverse=True), [3, 2, 1]), (L(1, -3).sorted(abs), [1, -3]), (_people.sorted("name").attrgot("name"), ["Al", "Bo", "Cy"]), (L((1, "b"), (2, "a")).sorted(1), [(2, "a"), (1, "b")]), (L(1, 3, 2).sorted(cmp=lambda a, b: b - a), [3, 2, 1])],
    "unique": [(L(3, 1, 3).unique(), [3, 1]), (L(3, 1, 3).unique(sort=True), [1, 3]), (L(3, 1).unique(bidir=True), ([3, 1], {3: 0, 1: 1})), (L(3, 1).unique(start=["pad", 1]), ["pad", 1, 3])],
    "val2idx": [(L("a", "b").val2idx(), {"a": 0, "b": 1})],
    "groupby": [(_people.groupby("age", "name"), {9: ["Bo", "Cy"], 30: ["Al"]}), (L("ab", "ac").groupby(0), {"a": ["ab", "ac"]}), (L(1, 2, 3).groupby(lambda o: o % 2), {1: [1, 3], 0: [2]})],
    "zip": [(L([1, 2], "ab").zip(), [(1, "a"), (2, "b")]), (L([[1], [2, 3]]).zip(cycled=True), [(1, 2), (1, 3)])],
    "zipwith": [(L(1, 2).zipwith("ab", [3, 4]), [(1, "a", 3), (2, "b", 4)])],
    "map_zip": [(L([[1, 2], [3, 4]]).map_zip(operator.add), [4, 6])],
    "map_zipwith": [(L(1, 2).map_zipwith(operator.mul, [3, 4]), [3, 8])],
    "enumerate": [(L("a", "b").enumerate(1), [(1, "a"), (2, "b")])],
    "renumerate": [(L("a", "b").renumerate(), [("a", 0), ("b", 1)])],
    "concat": [(L([1, 2], [3], "ab").concat(), [1, 2, 3, "ab"])],
    "flatten": [(L(1, [2, [3, (4, "ab")]]).flatten(), [1, 2, 3, 4, "ab"])],
    "flatmap": [(L(1, 2).flatmap(lambda o: [o] * o), [1, 2, 2])],
    "pairwise": [(L(1, 2, 3).pairwise(), [(1, 2), (2, 3)])],
    "batched": [(L(range(5)).batched(2), [[0, 1], [2, 3], [4]])],
    "permutations": [(L(1, 2).permutations(), [(1, 2), (2, 1)])],
    "combinations": [(L(1, 2, 3).combinations(2), [(1, 2), (1, 3), (2, 3)])],
    "cycle": [(L(zip(range(5), L(1, 2).cycle(), strict=False)).itemgot(1), [1, 2, 1, 2, 1])],
    "reduce": [(L(1, 2, 3).reduce(operator.sub), -4), (L().reduce(operator.add, 5), 5)],
    "accumulate": [(L(1, 2, 3).accumulate(), [1, 3, 6])],
    "sum": [(L(1, 2).sum(), 3), (L().sum(), 0), (L("a", "b").sum(), "ab")],
    "product": [(L(2, 3).product(), 6), (L().product(), 1)],
    "range": [(L.range(3), [0, 1, 2]), (L.range(1, 7, 2), [1, 3, 5]), (L.range("abc"), [0, 1, 2])],
    "split": [(L.split("a b"), ["a", "b"]), (L.split("a,b,c", ",", 1), ["a", "b,c"])],
    "splitlines": [(L.splitlines("a\nb"), ["a", "b"])],
    "copy": [(L(1, 2).copy(), [1, 2])],
}  # fmt: skip


@pytest.mark.parametrize(("method", "got", "expected"), [(m, g, e) for m, cases in _METHODS.items() for g, e in cases])
def test_method(method: str, got: object, expected: object) -> None:
    assert got == expected
    assert not isinstance(expected, list) or isinstance(got, L), f"{method} gives an L"


def test_every_method_of_L_is_tested() -> None:
    own = {name for name in vars(L) if not name.startswith("_")}
    assert own == {*_METHODS, "shuffle", "setattrs", "tensored", "stack", "cat"}


def test_map_refuses_what_is_no_function() -> None:
    with pytest.raises(SettingError, match="map got 5, a int; it needs a function"):
        L(1).map(5)


def test_star() -> None:
    assert L((1, 2), (3, 4)).map(star(operator.mul)) == [2, 12]


def test_shuffle_is_a_copy_and_leaves_the_global_generator() -> None:
    items, state = L(range(20)), random.getstate()
    shuffled = items.shuffle(seed=3)
    assert shuffled != items == list(range(20)) and shuffled.sorted() == items and shuffled == items.shuffle(seed=3)
    items.shuffle()
    assert random.getstate() == state


def test_setattrs() -> None:
    things = L(SimpleNamespace(), SimpleNamespace())
    things.setattrs("x", 4)
    assert things.attrgot("x") == [4, 4]


def test_tensors() -> None:
    rows = L([[1, 2], [3, 4]])
    assert all(torch.is_tensor(t) for t in rows.tensored())
    assert (
        rows.stack().tolist() == [[1, 2], [3, 4]] and rows.cat().tolist() == [1, 2, 3, 4] and rows.stack(dim=1).tolist() == [[1, 3], [2, 4]]
    )
