"""The loader: order, draws, parallel reading, unreadable files, resuming."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import UserDict

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from burnish.data.category import CategoryBlock
from burnish.data.datablock import DataBlock
from burnish.data.dataloaders import DataLoaders
from burnish.data.loader import PlainLoader
from burnish.data.notes import captured_notes
from burnish.data.split import IndexSplitter
from burnish.errors import DataError, SettingError, UnreadableFileError
from burnish.vision.blocks import ImageBlock
from burnish.vision.transforms import RandomResizedCrop, Resize


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for i in range(24):
        Image.fromarray(rng.integers(0, 255, (40 + i, 50, 3), dtype=np.uint8)).save(path / f"{i:02}_{'ab'[i % 2]}.png")
    return path


def make(folder, **kwargs):
    settings = {"item_tfms": Resize(16), "batch_tfms": None, "bs": 4, "num_workers": 2, "seed": 3, "device": "cpu", **kwargs}
    block = DataBlock(
        (ImageBlock, CategoryBlock),
        splitter=settings.pop("splitter", IndexSplitter(range(18, 24))),
        get_y=lambda f: f.stem[-1],  # a lambda: nothing of the user's is pickled
        item_tfms=settings.pop("item_tfms"),
        batch_tfms=settings.pop("batch_tfms"),
    )
    return block.dataloaders(sorted(folder.glob("*.png")), **settings)


def passes(dls, n=2):
    return [[tuple(t.clone() for t in batch) for batch in dls.train] for _ in range(n)]


def same(a, b):
    return all(torch.equal(x, y) for p, q in zip(a, b, strict=True) for s, t in zip(p, q, strict=True) for x, y in zip(s, t, strict=True))


@pytest.mark.parametrize(
    "tfm", [RandomResizedCrop(16), v2.RandomResizedCrop(16), [Resize(16), v2.RandomHorizontalFlip(), v2.ColorJitter(0.4)]], ids=str
)
@pytest.mark.parametrize("workers", [0, 1, 3])
def test_one_seed_gives_the_same_batches_whatever_the_number_of_threads(folder, tfm, workers):
    expected = passes(make(folder, item_tfms=tfm, num_workers=0, cache=False))
    assert same(expected, passes(make(folder, item_tfms=tfm, num_workers=workers, cache=True)))
    assert not same(expected, passes(make(folder, item_tfms=tfm, seed=4)))


def test_every_epoch_has_a_new_order_and_new_draws(folder):
    first, second = passes(make(folder, item_tfms=RandomResizedCrop(16)))
    assert not same([first], [second])


def test_a_user_function_that_draws_from_global_generators_is_reproducible(folder):
    def jitter(image):
        return image.rotate(random.random() * 90 + np.random.rand() * 90 + float(torch.rand(())) * 90)

    state = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()
    runs = [passes(make(folder, item_tfms=[Resize(16), jitter], num_workers=n)) for n in (0, 2)]
    assert same(*runs)
    assert random.getstate() == state[0] and (np.random.get_state()[1] == state[1]).all() and torch.equal(torch.get_rng_state(), state[2])


def test_loading_leaves_the_global_generators_alone(folder):
    before = torch.get_rng_state()
    passes(make(folder, item_tfms=[Resize(16), v2.RandomHorizontalFlip(), v2.ColorJitter(0.5)]))
    assert torch.equal(torch.get_rng_state(), before)


def test_every_sample_comes_once_and_rows_are_known(folder):
    dls = make(folder)
    seen = []
    for _ in dls.train:
        seen += dls.train.last_rows
    assert len(seen) == len(set(seen)) and set(seen) <= set(range(18)) and len(seen) >= 16


def test_validation_is_in_order_and_draws_nothing(folder):
    dls = make(folder, item_tfms=RandomResizedCrop(16))
    assert all(torch.equal(a[0], b[0]) for a, b in zip(dls.valid, dls.valid, strict=True))
    rows = [r for _ in dls.valid for r in dls.valid.last_rows]
    assert rows == list(range(18, 24))


def test_resuming_in_mid_epoch_gives_the_rest(folder):
    whole = list(make(folder, item_tfms=RandomResizedCrop(16)).train)
    rest = list(make(folder, item_tfms=RandomResizedCrop(16)).train.iter_from(2))
    assert same([whole[2:]], [rest])


@pytest.mark.parametrize(
    ("n", "bs", "drop_last", "sizes"),
    [(18, 4, None, [4, 4, 4, 4, 2]), (18, 17, None, [17]), (18, 4, True, [4] * 4), (18, 17, False, [17, 1]), (18, 64, None, [18])],
)
def test_last_batches(folder, n, bs, drop_last, sizes):
    with captured_notes():
        dls = make(folder, bs=bs, drop_last=drop_last)
    assert [len(x) for x, _ in dls.train] == sizes and len(dls.train) == len(sizes)


def test_a_batch_size_above_the_data_says_so(folder):
    with captured_notes() as notes:
        make(folder, bs=64)
    assert any("larger than the training set (18)" in n for n in notes)


@pytest.mark.parametrize("bs", [0, -1, 2.5, True])
def test_impossible_batch_sizes(folder, bs):
    with pytest.raises(SettingError, match="batch size must be a whole number"):
        make(folder, bs=bs)


def test_unreadable_files_are_left_out_counted_and_named(folder, tmp_path):
    for f in folder.glob("*.png"):
        (tmp_path / f.name).write_bytes(f.read_bytes())
    (tmp_path / "03_b.png").write_bytes(b"")
    (tmp_path / "20_a.png").write_bytes((folder / "20_a.png").read_bytes()[:400])
    with captured_notes() as notes:
        dls = make(tmp_path)
        rows = [r for _ in dls.train for r in dls.train.last_rows]
        valid = [r for _ in dls.valid for r in dls.valid.last_rows]
        list(dls.train)
    assert 3 not in rows and valid == [18, 19, 21, 22, 23]
    assert set(dls.train.skipped) == {3}
    named = [n for n in notes if "could not be read" in n]
    assert sum("03_b.png" in n for n in named) == 1 and sum("20_a.png" in n for n in named) == 1, "each file is named once"
    dls = make(tmp_path, on_error="raise", cache=False)
    with pytest.raises(UnreadableFileError, match=r"03_b\.png"):
        list(dls.train)


def test_nothing_readable_at_all_is_an_error(folder, tmp_path):
    for f in folder.glob("*.png"):
        (tmp_path / f.name).write_bytes(b"nothing" if f.name < "18" else f.read_bytes())
    with captured_notes():
        dls = make(tmp_path)
        with pytest.raises(DataError, match="None of the 18 samples could be read"):
            list(dls.train)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("bs", [1, 4])
def test_a_batch_of_unreadable_files_alone_is_left_out(folder, tmp_path, bs, workers):
    """Nine validation files in batches of 4: the last is the broken file alone."""
    for f in folder.glob("*.png"):
        (tmp_path / f.name).write_bytes(b"" if f.name.startswith("23") else f.read_bytes())
    with captured_notes() as notes:
        dls = make(tmp_path, bs=bs, num_workers=workers, splitter=IndexSplitter(range(15, 24)))
        rows = [list(dls.valid.last_rows) for _ in dls.valid]
    assert [row for batch in rows for row in batch] == list(range(15, 23)) and all(rows)
    assert len([n for n in notes if n.startswith("1 file(s) could not be read") and "23_b.png" in n]) == 1


def test_a_first_batch_of_unreadable_files_alone_can_be_looked_past(folder, tmp_path):
    for f in folder.glob("*.png"):
        (tmp_path / f.name).write_bytes(b"" if f.name[:2] in ("18", "19") else f.read_bytes())
    with captured_notes():
        dls = make(tmp_path, bs=2)
        assert len(dls.valid.one_batch()[0]) == 2 and [len(y) for _, y in dls.valid] == [2, 2]


def test_what_was_skipped_is_named_once_at_the_end_of_the_pass(folder, tmp_path):
    broken = [f"{i:02}" for i in range(2, 16, 2)]
    for f in folder.glob("*.png"):
        (tmp_path / f.name).write_bytes(b"" if f.name[:2] in broken else f.read_bytes())
    with captured_notes() as notes:
        dls = make(tmp_path)
        batches = iter(dls.train)
        next(batches)
        said = len(notes)
        list(batches)
        list(dls.train)
    assert len(notes) == said + 1 and notes[-1].startswith("7 file(s) could not be read")
    assert all(f"{number}_a.png" in notes[-1] for number in broken) and "empty" in notes[-1]


def test_resuming_goes_on_behind_batches_of_unreadable_files(folder, tmp_path):
    for f in folder.glob("*.png"):
        (tmp_path / f.name).write_bytes(b"" if f.name[:2] in ("02", "09", "13") else f.read_bytes())
    with captured_notes():
        dl = make(tmp_path, bs=1, item_tfms=RandomResizedCrop(16)).train
        whole, places = zip(*[(batch, dl.next_place) for batch in dl], strict=True)
        for first in (3, 10):
            rest = list(make(tmp_path, bs=1, item_tfms=RandomResizedCrop(16)).train.iter_from(places[first - 1]))
            assert same([whole[first:]], [rest])


def test_a_mistake_in_a_users_function_is_not_taken_for_a_bad_file(folder):
    def broken(image):
        raise KeyError("oops")

    dls = make(folder, item_tfms=[Resize(16), broken])
    with pytest.raises(KeyError, match="oops") as error:
        list(dls.train)
    assert any("reading row" in note for note in error.value.__notes__)


def test_a_file_at_which_a_users_function_meets_an_error_of_the_system_is_named(folder):
    def fetch(image):
        raise ConnectionError("server down")

    with captured_notes(), pytest.raises(DataError, match=r"None of the 18 .*_[ab]\.png: server down; .*_[ab]\.png: server down"):
        list(make(folder, item_tfms=[Resize(16), fetch]).train)


def test_leaving_an_epoch_early_leaves_no_thread_waiting(folder):
    dls, before = make(folder), set(threading.enumerate())
    next(iter(dls.train))
    assert len([t for t in threading.enumerate() if t not in before]) <= dls.train.num_workers + 1
    assert len(list(dls.train)) == len(dls.train)


def test_weighted_sampling_balances_classes(folder):
    table = make(folder).table.assign(label=["rare"] * 3 + ["common"] * 15 + ["rare", "common"] * 3)
    dls = DataLoaders.from_table(
        table, [ImageBlock(), CategoryBlock()], item_tfms=[Resize(16)], bs=6, seed=0, balance="sample", device="cpu"
    )
    labels = torch.cat([y for _ in range(12) for _, y in dls.train])
    share = (labels == dls.vocab.index("rare")).float().mean()
    assert 0.4 < share < 0.6


def test_a_row_drawn_several_times_in_an_epoch_is_cropped_anew_each_time(folder):
    table = make(folder).table.assign(label=["rare"] + ["common"] * 17 + ["rare", "common"] * 3)

    def loaders():
        return DataLoaders.from_table(
            table, [ImageBlock(), CategoryBlock()], item_tfms=[RandomResizedCrop(16)], bs=6, seed=0, balance="sample", device="cpu"
        )

    dls, seen = loaders(), {}
    for x, _ in dls.train:
        for row, picture in zip(dls.train.last_rows, x, strict=True):
            seen.setdefault(row, []).append(picture.numpy().tobytes())
    assert len(seen[0]) > 3 and len(set(seen[0])) == len(seen[0])
    assert same([list(loaders().train)[1:]], [list(loaders().train.iter_from(1))]), "resumed, they are the same"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes don't fork here")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_forked_process_reads_with_threads_of_its_own(folder):
    dls = make(folder, cache=True)
    expected = [y.tolist() for _, y in dls.valid]
    begun = iter(dls.valid)
    next(begun)
    child = os.fork()
    if child == 0:  # ends without running anything of the parent's
        signal.alarm(20)
        again = [y.tolist() for _, y in dls.valid]
        os._exit(0 if again == expected and [y.tolist() for _, y in begun] == expected[1:] else 1)
    deadline = time.monotonic() + 10
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < deadline:
        time.sleep(0.01)
    if ended == (0, 0):
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert ended == (child, 0), "the child hung" if ended == (0, 0) else "the child read something else"


def test_loss_weights_balance_classes(folder):
    table = make(folder).table.assign(label=["rare"] * 3 + ["common"] * 15 + ["rare", "common"] * 3)
    dls = DataLoaders.from_table(table, [ImageBlock(), CategoryBlock()], item_tfms=[Resize(16)], seed=0, balance="loss", device="cpu", bs=6)
    assert dls.loss().weight.tolist() == pytest.approx([18 / (15 * 2), 18 / (3 * 2)])
    assert "the loss weighs classes" in dls.summary()
    with pytest.raises(SettingError, match="balance='other'"):
        DataLoaders.from_table(table, [ImageBlock(), CategoryBlock()], balance="other", bs=6)
    with pytest.raises(SettingError, match=r"balance='sample' draws.*shuffle=False keeps"):
        DataLoaders.from_table(table, [ImageBlock(), CategoryBlock()], balance="sample", shuffle=False, bs=6)


def test_plain_pytorch_loaders_make_dataloaders():
    data = torch.utils.data.TensorDataset(torch.randn(10, 3), torch.arange(10))
    dls = DataLoaders(torch.utils.data.DataLoader(data, batch_size=4), torch.utils.data.DataLoader(data, batch_size=5), device="cpu")
    assert [len(y) for _, y in dls.train] == [4, 4, 2] and len(dls.valid) == 2
    x, _y = dls.one_batch()
    assert x.shape == (4, 3) and torch.equal(torch.cat([y for _, y in dls.train.iter_from(1)]), torch.arange(4, 10))
    with pytest.raises(DataError, match="no vocabulary"):
        _ = dls.vocab
    with pytest.raises(AttributeError, match="there is no target block"):
        _ = dls.c
    assert not hasattr(dls, "vocab") and not hasattr(dls, "c")


def test_of_plain_loaders_any_mapping_goes_to_the_device_and_an_empty_one_says_so():
    batch = UserDict(pixel_values=torch.ones(2), labels=torch.ones(2))  # as Hugging Face's BatchEncoding is
    assert {t.device.type for t in PlainLoader([batch], "meta").one_batch().values()} == {"meta"}
    with pytest.raises(DataError, match=r"no batch to look at: the DataLoader gave none.*drop_last=True"):
        PlainLoader(torch.utils.data.DataLoader(torch.arange(3), batch_size=4, drop_last=True)).one_batch()


def test_a_missing_split_says_so():
    data = torch.utils.data.TensorDataset(torch.randn(10, 3), torch.arange(10))
    dls = DataLoaders(torch.utils.data.DataLoader(data), device="cpu")
    with pytest.raises(DataError, match="no validation split"):
        _ = dls.valid
    assert dls.test is None
