"""fastai's middle layer: items through pipelines, loaders with hooks, and burnish's learner on them."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from burnish.compat.blocks import DataBlock, TransformBlock
from burnish.compat.dataloaders import DataLoaders
from burnish.compat.datasets import Datasets, TfmdLists, test_set
from burnish.compat.learner import Learner
from burnish.compat.loaders import DataLoader, SkipItemException
from burnish.compat.tfmd_loaders import PartialDL, TfmdDL, WeightedDL
from burnish.compat.transform import Transform
from burnish.data.collections import L
from burnish.errors import SettingError

test_set.__test__ = False  # pyright: ignore[reportFunctionMemberAccess]  # a function of fastai's, no test


class Lengths(Transform):
    """Words to the number of their letters, told apart in training."""

    def setups(self, items):
        self.vocab = sorted({len(w) for w in items})
        self.o2i = {n: i for i, n in enumerate(self.vocab)}

    def encodes(self, w: str):
        return self.o2i[len(w)]

    def decodes(self, i: int):
        return "x" * self.vocab[i]


WORDS = ["a", "be", "sea", "deed", "at", "i"]


def test_a_list_goes_through_its_pipeline_lazily_and_back():
    tls = TfmdLists(WORDS, [str.strip, Lengths], splits=[[0, 1, 2, 3], [4, 5]])
    assert list(tls) == [0, 1, 2, 3, 1, 0] and tls[[0, 2]] == [0, 2] and tls[:2] == [0, 1] and tls[-1] == 0
    assert list(tls.train) == [0, 1, 2, 3] and list(tls.valid) == [1, 0] and tls.n_subsets == 2 and tls.valid.split_idx == 1
    assert tls.vocab == [1, 2, 3, 4] and tls.decode(3) == "xxxx" and tls.types == [str, str, int]
    assert tls.overlapping_splits() == [] and len(tls.new_empty()) == 0
    with pytest.raises(AttributeError, match="vokab"):
        _ = tls.vokab
    with pytest.raises(IndexError, match="There is no item 6"):
        _ = tls[6]


def test_transforms_learn_from_the_items_that_train():
    tls = TfmdLists(WORDS, Lengths(), splits=[[0, 1], [2]])
    assert tls.vocab == [1, 2]
    assert TfmdLists(WORDS, Lengths(), splits=[[0, 1], [2]], train_setup=False).vocab == [1, 2, 3, 4]
    with pytest.raises(KeyError):
        _ = tls.valid[0]


def test_several_pipelines_make_tuples():
    dsets = Datasets(WORDS, [[str.upper], [Lengths]], splits=[[0, 1, 2, 3], [4, 5]])
    assert dsets[1] == ("BE", 1) and dsets.valid[1] == ("I", 0) and dsets.n_inp == 1 and dsets.vocab == [1, 2, 3, 4]
    assert dsets.decode(dsets[1]) == ("BE", "xx") and dsets.train.items == WORDS[:4] and dsets[[0, 1]] == [("A", 0), ("BE", 1)]
    frame = pd.DataFrame({"w": WORDS, "n": range(6)})
    rows = Datasets(frame, [lambda r: r.w, lambda r: r.n], splits=[[5, 0], [1]])
    assert rows.train[0] == ("i", 5) and len(rows.valid) == 1 and isinstance(rows.train.items, pd.DataFrame)


def test_new_items_are_read_as_those_that_validate():
    seen = []

    class Drawn(Transform):
        split_idx = 0

        def encodes(self, w: str):
            seen.append(w)
            return w

    dsets = Datasets(WORDS, [[str.upper, Drawn()], [Lengths]], splits=[[0, 1, 2, 3], [4, 5]])
    _ = dsets.train[0]
    assert seen == ["A"]
    new = test_set(dsets, ["no", "so"])
    assert new[0] == ("NO",) and seen == ["A"] and test_set(dsets, ["no"], with_labels=True)[0] == ("NO", 1)
    with pytest.raises(Exception, match="empty"):
        test_set(dsets, [])


def test_the_steps_of_a_loader_can_be_taken_over():
    dl = DataLoader(list(range(7)), bs=3, after_item=lambda x: torch.tensor(x * 10), after_batch=lambda b: b + 1)
    assert [b.tolist() for b in dl] == [[1, 11, 21], [31, 41, 51], [61]] and len(dl) == 3
    assert len(DataLoader(list(range(7)), bs=3, drop_last=True)) == 2
    assert [b.tolist() for b in DataLoader(iter(range(5)), bs=2)] == [[0, 1], [2, 3], [4]]
    assert [b.tolist() for b in DataLoader(list(range(9)), bs=2, n=4)] == [[0, 1], [2, 3]]

    class Odd(DataLoader):
        def create_item(self, s):
            if s % 2 == 0:
                raise SkipItemException
            return s

    assert [b.tolist() for b in Odd(list(range(9)), bs=3)] == [[1, 3, 5], [7]]
    pairs = [(torch.ones(2), {"a": 1, "b": "x"})] * 2
    batch = DataLoader(pairs, bs=2).one_batch()
    assert batch[0].shape == (2, 2) and batch[1]["a"].tolist() == [1, 1] and batch[1]["b"] == ["x", "x"]
    assert [b.shape for b in DataLoader([torch.ones(4, 3), torch.ones(2, 3)], bs=None)] == [(4, 3), (2, 3)]


def test_a_loader_draws_its_order_from_pythons_generator():
    random.seed(3)
    first = [b.tolist() for b in DataLoader(list(range(8)), bs=8, shuffle=True)]
    random.seed(3)
    assert [b.tolist() for b in DataLoader(list(range(8)), bs=8, shuffle=True)] == first != [list(range(8))]


@pytest.mark.parametrize("wrong", [{"shufle": True}, {"foo": 1}])
def test_an_unknown_argument_of_a_loader_is_an_error(wrong):
    with pytest.raises(TypeError, match=f"unexpected argument '{next(iter(wrong))}'"):
        TfmdDL(Datasets(WORDS, [[str.upper]]), **wrong)


def test_items_that_do_not_go_together_are_named():
    with pytest.raises(RuntimeError, match=r"element 1 .*\(2,\), \(3,\).*Resize"):
        DataLoader([(torch.ones(2), torch.ones(2)), (torch.ones(2), torch.ones(3))], bs=2).one_batch()
    with pytest.raises(SettingError, match="bs=0"):
        DataLoader([1], bs=0)


def _numbers(n: int = 40):
    x = np.random.default_rng(0).normal(size=(n, 3)).astype(np.float32)
    return [(torch.from_numpy(row), torch.tensor(int(row.sum() > 0))) for row in x]


class Pair(Transform):
    def __init__(self, items):
        self.items = items

    def encodes(self, i: int):
        return self.items[i]


def _dls(**kwargs):
    items = _numbers()
    splits = [list(range(30)), list(range(30, 40))]
    dsets = Datasets(range(40), [[lambda i: items[i][0]], [lambda i: items[i][1]]], splits=splits)
    return dsets.dataloaders(bs=8, num_workers=0, **kwargs)


def test_loaders_of_data_sets_train_validate_and_predict():
    dls = _dls(after_batch=[lambda x: x])
    assert len(dls.train) == 3 and len(dls.valid) == 2 and dls.train.drop_last and not dls.valid.shuffle
    learn = Learner(dls, nn.Linear(3, 2), loss_func=nn.CrossEntropyLoss(), lr=0.1)
    learn.fit(8)
    preds, targs = learn.get_preds()
    assert preds.shape == (10, 2) and targs.tolist() == [int(y) for _, y in _numbers()[30:]]
    assert (preds.argmax(1) == targs).float().mean() > 0.7
    assert learn.get_preds(ds_idx=0)[0].shape == (30, 2)  # every item, in order
    x = _numbers()[30][0]
    assert torch.allclose(learn.get_preds(dl=dls.test_dl([30, 31]))[0], preds[:2]) and x.shape == (3,)
    weights = Learner(_dls(), nn.Linear(3, 2), loss_func=nn.CrossEntropyLoss())
    with pytest.raises(SettingError, match=r"learn\.save"):
        weights.export("model")


def test_settings_for_the_items_that_validate_alone():
    dls = _dls(val_bs=5, val_shuffle=True)
    assert dls.valid.bs == 5 and dls.valid.shuffle and dls.train.bs == 8
    per = DataLoaders.from_dsets(list(range(9)), list(range(4)), bs=2)
    assert [len(dl) for dl in per] == [4, 2] and per.train.shuffle and not per.valid.shuffle


def test_weights_and_portions_are_drawn_in_training_alone():
    items = Datasets(range(30), [[lambda i: i], [lambda i: i]], splits=[list(range(20)), list(range(20, 30))])
    dls = items.weighted_dataloaders(np.arange(30) == 7, bs=10)
    assert isinstance(dls.train, WeightedDL) and set(torch.cat([b[0] for b in dls.train]).tolist()) == {7}
    assert torch.cat([b[0] for b in dls.valid]).tolist() == list(range(20, 30))
    part = items.partial_dataloaders(partial_n=10, bs=5)
    seen = torch.cat([b[0] for b in part.train]).tolist()
    assert isinstance(part.train, PartialDL) and len(part.train) == 2 and len(set(seen)) == 10 and len(list(part.valid)) == 2
    with pytest.raises(SettingError, match="2 weights for 20"):
        WeightedDL(items.train, bs=2, wgts=[1, 2])


def test_transforms_are_set_up_on_the_loader_and_follow_the_split():
    class Shift(Transform):
        def setups(self, dl: DataLoader):
            self.mean = dl.one_batch()[0].mean(0)

        def encodes(self, x: torch.Tensor):
            return x - self.mean if x.is_floating_point() else x

    class Train(Transform):
        split_idx = 0

        def encodes(self, x: torch.Tensor):
            return x + 100 if x.is_floating_point() else x

    dls = _dls(after_item=[Train()], after_batch=[Shift()], shuffle=False)
    tfm = dls.train.after_batch[0]
    assert tfm.mean.mean() > 90 and dls.train.one_batch()[0].mean().abs() < 1e-4
    assert dls.valid.one_batch()[0].mean() < -90  # nothing added where it validates
    dls.add_tfms([lambda x: x * 0 if x.is_floating_point() else x], "after_batch", "valid")
    assert dls.valid.one_batch()[0].abs().max() == 0 and dls.train.one_batch()[0].abs().max() > 0
    with pytest.raises(SettingError, match="after_items"):
        dls.add_tfms([], "after_items")


def test_a_data_block_of_transforms():
    block = DataBlock(
        blocks=(TransformBlock(type_tfms=[str.upper]), TransformBlock(type_tfms=[Lengths])),
        get_items=lambda source: source * 4,
        splitter=lambda items: (list(range(16)), list(range(16, 24))),
        batch_tfms=[],
    )
    assert block.by_pipelines and block.datasets(WORDS).train[1] == ("BE", 1)
    dls = block.dataloaders(WORDS, bs=4)
    x, y = dls.one_batch()
    assert len(x) == 4 and all(w.isupper() for w in x) and y.shape == (4,) and dls.vocab == [1, 2, 3, 4]
    assert DataBlock().datasets([5, 6, 7]).train[0] in [(5, 5), (6, 6), (7, 7)]


def test_order_of_items_is_known_where_some_are_left_out():
    class Odd(TfmdDL):
        def create_item(self, s):
            if s == 2:
                raise SkipItemException
            return super().create_item(s)

    dl = Odd(Datasets(range(6), [[lambda i: i], [lambda i: i]]), bs=2)
    rows = list(itertools.chain.from_iterable((dl.last_rows, b[0].tolist()) for b in dl))
    assert rows == [[0, 1], [0, 1], [3, 4], [3, 4], [5], [5]] or L(rows) == L(0, 1, 0, 1, 3, 4, 3, 4, 5, 5)
