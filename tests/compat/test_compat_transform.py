"""fastai's transforms: methods chosen by type, tuples, set-up, pipelines, and the way back."""

from __future__ import annotations

import pytest
import torch

from burnish.compat.transform import (
    DisplayedTransform,
    Func,
    InplaceTransform,
    ItemTransform,
    Pipeline,
    Transform,
    compose_tfms,
    explode_types,
    mk_transform,
    retain_types,
)
from burnish.compat.typed import TypeDispatch, typedispatch
from burnish.errors import SettingError


class Kind(torch.Tensor): ...


class Other(torch.Tensor): ...


class Typed(Transform):
    def encodes(self, x: int):
        return x + 1

    def encodes(self, x: str):
        return x + "a"

    def decodes(self, x: int):
        return x - 1


class Centred(Transform):
    def setups(self, items):
        self.mean = sum(items) / len(items)

    def encodes(self, x):
        return x - self.mean

    def decodes(self, x):
        return x + self.mean


def test_the_method_is_chosen_by_type_and_what_fits_none_passes():
    t = Typed()
    assert (t(3), t("b"), t(2.5), t((1, "x", 2.0))) == (4, "ba", 2.5, (2, "xa", 2.0)) and t.decode((3, "q")) == (2, "q")


def test_a_class_takes_in_further_methods_by_decoration():
    class Mine(Typed): ...

    @Mine
    def encodes(self, x: list):
        return len(x)

    assert Mine()([1, 2]) == 2 and Mine()(3) == 4 and Typed()([1, 2]) == [1, 2]


def test_a_function_becomes_one():
    @Transform
    def double(x):
        return 2 * x

    assert double(3) == 6 and double((1, 2)) == (2, 4) and double([1]) == [1, 1] and double.name == "double"
    assert mk_transform(Typed)("x") == "xa" and mk_transform(str.upper)("x") == "X"
    with pytest.raises(SettingError, match=r"3 \(a int\) is no transform"):
        mk_transform(3)


def test_types_are_kept():
    class Plus(Transform):
        def encodes(self, x: Kind):
            return x.as_subclass(torch.Tensor) + 1

    class Becomes(Transform):
        def encodes(self, x) -> Other:
            return x

    class Plain(Transform):
        def encodes(self, x: Kind) -> None:
            return x.as_subclass(torch.Tensor)

    x = torch.ones(2).as_subclass(Kind)
    assert type(Plus()(x)) is Kind and type(Becomes()(torch.ones(1))) is Other and type(Plain()(x)) is torch.Tensor
    assert explode_types((1, ["a"])) == {tuple: [int, {list: [str]}]} and type(retain_types((torch.ones(1), 2), (x, 3))[0]) is Kind


def test_whole_tuples_and_splits_and_orders():
    class Second(ItemTransform):
        def encodes(self, x):
            return x[0], 2 * x[1]

    class TrainOnly(Transform):
        order, split_idx = 5, 0

        def encodes(self, x):
            return 10 * x

    assert Second()((1, 2)) == (1, 4) and Second()([1, 2]) == (1, 4)
    t = TrainOnly()
    assert (t(1), t(1, split_idx=0), t(1, split_idx=1)) == (1, 10, 1)
    p = Pipeline([t, Typed(), lambda x: 2 * x])
    assert [f.order for f in p.fs] == [0, 0, 5] and p(1) == 4
    p.split_idx = 0
    assert p(1) == 40 and "Typed -> <lambda> -> TrainOnly" in repr(p)


def test_pipelines_are_set_up_one_after_another_and_go_back():
    p = Pipeline([lambda x: 2 * x, Centred()])
    p.setup([1, 2, 3])
    assert p.mean == 2 and p(3) == 4 and p.decode(2) == 4 and len(p) == 2
    with pytest.raises(AttributeError, match="no attribute 'vocab'"):
        p.vocab

    class Shown(int):
        def show(self, ctx=None):
            return [*(ctx or []), int(self)]

    class ToShown(Transform):
        def decodes(self, x):
            return Shown(x)

    q = Pipeline([Centred(), ToShown()])
    q.setup([1, 3])
    assert q.show(5) == [5] and compose_tfms(1, [Typed(), Typed()]) == 3


def test_a_mistake_in_setups_is_not_swallowed():
    class Bad(Transform):
        def setups(self, items):
            self.vocab = items.nothing

    with pytest.raises(AttributeError, match="nothing"):
        Bad().setup([1])


def test_others():
    class Emptied(InplaceTransform):
        def encodes(self, x: list):
            x.clear()

    class Told(DisplayedTransform):
        def __init__(self, p=0.5):
            super().__init__()
            self.p = p

    items = [1]
    assert Emptied()(items) is items and items == [] and "Told -- {'p': 0.5}" in repr(Told()) and Func("upper")("a")() == "A"


def test_functions_chosen_by_several_arguments():
    @typedispatch
    def show(x: int, y: object):
        return "number"

    @typedispatch
    def show(x: object, y: str):
        return "text"

    @typedispatch
    def show(x: int, y: str):
        return "both"

    assert (show(1, 2), show(None, "a"), show(1, "a")) == ("number", "text", "both") and show[int, str](0, "") == "both"
    with pytest.raises(NotImplementedError, match=r"show is written for none of \(float, float\)"):
        show(1.0, 2.0)
    assert TypeDispatch(lambda x: 1)("anything") == 1
