"""TensorLoader: batches out of tensors that hold the whole table, in the same order and draws as any loader's."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch

from burnish.data.block import Block
from burnish.data.tensors import Encoded, TensorLoader
from burnish.data.transforms import BatchTransform
from burnish.errors import DataError, SettingError

N = 10


def loader(rows=None, **settings) -> TensorLoader:
    encoded = Encoded([torch.arange(N), torch.arange(N) * 10.0])
    return TensorLoader(encoded, [Block(), Block()], np.arange(N) if rows is None else np.asarray(rows), **{"bs": 4, **settings})


class Jitter(BatchTransform):
    when = "train"

    def apply(self, batch, kinds, rng):
        return [batch[0], batch[1] + torch.rand(len(batch[1]), generator=rng)]


def test_batches_are_the_rows_in_order():
    dl = loader([1, 3, 5, 7, 9])
    batches = [(x.tolist(), y.tolist(), list(dl.last_rows), dl.next_place) for x, y in dl]
    assert batches == [([1, 3, 5, 7], [10, 30, 50, 70], [1, 3, 5, 7], 1), ([9], [90], [9], 2)] and len(dl) == 2


def test_training_passes_differ_and_a_seed_repeats_them():
    dl, again = loader(train=True, seed=3), loader(train=True, seed=3)
    first, second = ([x.tolist() for x, _ in dl] for _ in range(2))
    assert first != second and first == [x.tolist() for x, _ in again]
    assert sorted(row for batch in first for row in batch) == list(range(N))


def test_a_small_last_training_batch_is_left_out_and_others_stay():
    assert len(loader(np.arange(9), bs=8, train=True)) == 1 and len(loader(np.arange(10), bs=4, train=True)) == 3
    assert len(loader(np.arange(9), bs=8)) == 2


def test_a_pass_goes_on_where_it_stood():
    dl = loader(train=True, seed=1)
    whole = [x.tolist() for x, _ in dl]
    dl.epoch = 0
    assert [x.tolist() for x, _ in dl.iter_from(2)] == whole[2:]


def test_transforms_draw_in_training_only_and_alike_for_a_seed():
    dl = loader(train=True, seed=1, batch_tfms=[Jitter()])
    first = [y.tolist() for _, y in dl]
    dl.epoch = 0
    assert [y.tolist() for _, y in dl] == first and any(v != int(v) for batch in first for v in batch)
    assert all(v == int(v) for _, y in loader(batch_tfms=[Jitter()]) for v in y.tolist())


def test_in_order_has_all_rows_and_draws_nothing():
    dl = loader(train=True, batch_tfms=[Jitter()], drop_last=True, weights=np.ones(N)).in_order()
    assert torch.cat([x for x, _ in dl]).tolist() == list(range(N)) and dl.in_order() is dl


def test_weights_draw_some_rows_more_often():
    weights = np.full(N, 1e-6)
    weights[4] = 1.0
    assert sum(x.tolist().count(4) for x, _ in loader(train=True, weights=weights)) > 8


def test_some_rows_alone_and_one_sample():
    dl = loader(train=True)
    assert dl.of_rows(np.array([2, 8])).in_order().one_batch()[0].tolist() == [2, 8]
    assert [t.tolist() for t in dl.sample(6)] == [6, 60] and dl.item(6) == 6


def test_it_is_copied_and_pickled_with_its_rows():
    for made in (copy.deepcopy(loader()), pickle.loads(pickle.dumps(loader()))):
        assert torch.cat([x for x, _ in made]).tolist() == list(range(N))


def test_mapped_tensors_are_read_as_they_are_needed(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(100, dtype=np.int64))
    mapped = torch.from_numpy(np.load(tmp_path / "x.npy", mmap_mode="c"))
    dl = TensorLoader(Encoded([mapped]), [Block()], np.arange(100), bs=25, train=True)
    assert sorted(torch.cat([x for (x,) in dl]).tolist()) == list(range(100))


def test_bad_settings_and_empty_splits_say_so():
    with pytest.raises(SettingError, match="bs=0"):
        loader(bs=0)
    with pytest.raises(DataError, match="no batch to look at"):
        loader([]).one_batch()
