import copy
import errno
import functools
import importlib
import linecache
import os
import pickle
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision.transforms import v2

from burnish.data.block import Block
from burnish.data.cache import GIB, ItemCache, free_memory, make_cache
from burnish.data.category import CategoryBlock
from burnish.data.datablock import DataBlock
from burnish.data.notes import captured_notes
from burnish.data.reader import Reader
from burnish.data.split import IndexSplitter
from burnish.data.transforms import ItemTransform
from burnish.errors import SettingError
from burnish.train.learner import Learner
from burnish.vision.blocks import ImageBlock
from burnish.vision.transforms import CropPad, DihedralItem, FlipItem, RandomCrop, RandomResizedCrop, Resize


def picture(side=10):
    return Image.fromarray(np.random.default_rng(side).integers(0, 255, (side, side, 3), dtype=np.uint8))


@pytest.fixture(params=["ram", "disk"])
def cache(request, tmp_path):
    return ItemCache("settings", None if request.param == "ram" else tmp_path / "cache")


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a.png"
    picture().save(path)
    return path


def test_what_was_made_once_is_not_made_again(cache, file):
    made = []

    def make():
        made.append(1)
        return (picture(), "label")

    first = cache.get((file, "label"), make)
    second = cache.get((file, "label"), make)
    assert len(made) == 1 and second[1] == "label"
    assert np.array_equal(np.asarray(first[0]), np.asarray(second[0]))


def test_a_changed_file_label_or_setting_is_read_afresh(cache, file, tmp_path):
    cache.get((file, "a"), lambda: (picture(), "a"))
    assert cache.get((file, "b"), lambda: (picture(), "b"))[1] == "b"
    picture(12).save(file)
    os.utime(file, (1, 1))
    assert cache.get((file, "a"), lambda: (picture(12), "a"))[0].size == (12, 12)
    other = ItemCache("other settings", cache.folder)
    assert other.get((file, "a"), lambda: (picture(14), "a"))[0].size == (14, 14)


def test_it_stays_within_its_budget(tmp_path):
    for folder in (None, tmp_path / "cache"):
        cache = ItemCache("s", folder, budget=1000)
        for i in range(20):
            cache.get((i,), lambda i=i: (picture(10),))
        assert 0 < cache.used <= 1000
        assert cache.get((19,), lambda: (picture(11),))[0].size == (11, 11), "what doesn't fit is made anew"


def test_copies_can_be_changed_without_harm(cache, file):
    cache.get((file,), lambda: (picture(),))
    handed = cache.get((file,), lambda: (picture(),), copy=True)[0]
    handed.paste((0, 0, 0), (0, 0, 10, 10))
    assert np.array_equal(np.asarray(cache.get((file,), lambda: (picture(),))[0]), np.asarray(picture()))


def test_a_damaged_entry_is_made_anew(tmp_path, file):
    cache = ItemCache("s", tmp_path / "cache")
    cache.get((file,), lambda: (picture(),))
    entry = next((tmp_path / "cache").glob("*.npz"))
    entry.write_bytes(entry.read_bytes()[:40])
    assert cache.get((file,), lambda: (picture(),))[0].size == (10, 10)


def test_a_passing_error_leaves_the_entry_alone(tmp_path, file, monkeypatch):
    cache = ItemCache("s", tmp_path / "cache")
    cache.get((file,), lambda: (picture(),))

    def too_many(*args, **kwargs):
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as m:
        m.setattr(np, "load", too_many)
        assert cache.get((file, 1), lambda: (picture(11), 1))[0].size == (11, 11)
        cache._store.budget = 0  # what is made anew can't take the place of what is there
        assert cache.get((file,), lambda: (picture(12),))[0].size == (12, 12)
    assert cache.get((file,), lambda: (picture(12),))[0].size == (10, 10)


MODES = ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "LAB", "I", "F", "I;16"]


@pytest.mark.parametrize("mode", MODES)
def test_what_it_hands_out_is_what_was_made(cache, mode):
    made = picture().quantize(16) if mode == "P" else picture().convert("L").convert(mode) if mode == "I;16" else picture().convert(mode)
    for _ in range(2):
        found = cache.get((1,), lambda: (made,))[0]
        assert found.mode == mode and np.array_equal(np.asarray(found.convert("RGB")), np.asarray(made.convert("RGB")))


def test_threads_that_keep_the_same_sample_count_it_once(tmp_path, monkeypatch):
    cache, both, make_file = ItemCache("s", tmp_path), threading.Barrier(2), tempfile.mkstemp

    def at_once(*args, **kwargs):
        both.wait(10)
        return make_file(*args, **kwargs)

    monkeypatch.setattr(tempfile, "mkstemp", at_once)
    threads = [threading.Thread(target=cache.get, args=((1,), lambda: (picture(),))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cache.used == sum(f.stat().st_size for f in tmp_path.iterdir()) > 0


def test_what_a_killed_process_left_unfinished_is_removed_after_an_hour(tmp_path):
    names = {"old": f"{'0' * 40}.abc_1234.tmp", "new": f"{'1' * 40}.abc_1234.tmp", "other": "mine.tmp"}
    for name in names.values():
        (tmp_path / name).write_bytes(b"x")
        os.utime(tmp_path / name, (1, 1) if name != names["new"] else None)
    ItemCache("s", tmp_path)
    assert {f.name for f in tmp_path.iterdir()} == {names["new"], names["other"]}


def test_another_process_may_make_room_meanwhile(tmp_path, monkeypatch):
    for i in range(3):
        ItemCache("before", tmp_path).get((i,), lambda: (picture(),))
    size, scan = ItemCache("s", tmp_path).used // 3, os.scandir

    def scan_and_remove(folder):
        entries = list(scan(folder))
        os.unlink(entries[0].path)
        return entries

    with monkeypatch.context() as patch:  # pathlib scans folders too
        patch.setattr(os, "scandir", scan_and_remove)
        cache = ItemCache("s", tmp_path, budget=2 * size)
    assert cache.used == 2 * size
    for entry in tmp_path.iterdir():
        entry.unlink()
    for i in range(2):
        cache.get((i,), lambda: (picture(),))
    assert len(list(tmp_path.iterdir())) == 2, "room that another process made is room"


def test_things_without_identity_are_never_cached(cache):
    sizes = [cache.get((np.zeros(3),), lambda n=n: (picture(n),))[0].size[0] for n in (10, 11)]
    assert sizes == [10, 11]


def test_the_setting_decides(tmp_path):
    assert make_cache(False, "s", 10, 10) is None
    assert make_cache(None, "s", 10**9, 10**6) is None, "too large to hold unasked"
    assert make_cache(None, "s", 10, 10).folder is None
    assert make_cache(str(tmp_path), "s", 10, 10).folder == tmp_path
    with pytest.raises(SettingError, match="cache=3"):
        make_cache(3, "s", 1, 1)


def test_words_that_are_no_folder_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for word in ("disk", "Disk", "RAM", "Ram", "memory", "disc", "on", "True", ""):
        with pytest.raises(SettingError, match=r"expected True or 'ram'.*'\./cache'"):
            make_cache(word, "s", 1, 1)
    assert not list(tmp_path.iterdir()), "and none is made"
    for folder in ("./disk", Path("ram"), "kept"):
        assert make_cache(folder, "s", 1, 1).folder == Path(folder)


def test_a_changed_file_takes_the_place_of_what_it_was(cache, file):
    used = []
    for i in range(3):
        os.utime(file, (i, i))
        cache.get((file,), lambda: (picture(),))
        used.append(cache.used)
    assert len(set(used)) == 1


def test_on_disk_what_other_settings_left_makes_room_the_longest_unused_first(tmp_path):
    def filled(settings, n, budget=2 * GIB):
        cache = ItemCache(settings, tmp_path, budget)
        for i in range(n):
            cache.get((i,), lambda: (picture(10),))
        return cache

    one = filled("first", 1).used
    (tmp_path / "mine.npz").write_bytes(b"x" * 10_000)
    filled("second", 2)
    for i, entry in enumerate(sorted(tmp_path.glob("*.npz"), key=lambda f: f.stat().st_mtime_ns)):
        os.utime(entry, (i, i))
    assert ItemCache("first", tmp_path).get((0,), lambda: (picture(12),))[0].size == (10, 10)  # used now
    new = filled("third", 2, budget=3 * one)
    assert new.used == 3 * one and new.get((1,), lambda: (picture(12),))[0].size == (10, 10)
    assert ItemCache("first", tmp_path).get((0,), lambda: (picture(12),))[0].size == (10, 10), "used last of the others"
    filled("third", 9, budget=3 * one)
    again = ItemCache("third", tmp_path, budget=3 * one)
    assert again.used == 3 * one and all(again.get((i,), lambda: (picture(12),))[0].size == (10, 10) for i in range(3)), "its own stay"
    assert (tmp_path / "mine.npz").stat().st_size == 10_000, "other people's files are left alone"


def loaders(folder, cache, tfms=None, block=ImageBlock, bs=4):
    files = [folder / f"{i}.png" for i in range(12)]
    for i, f in enumerate(files):
        picture(20).crop((0, 0, 20, 14 + i % 3)).save(f)
    data = DataBlock(
        (block, CategoryBlock), splitter=IndexSplitter([8, 9, 10, 11]), get_y=lambda f: "ab"[int(f.stem) % 2], item_tfms=tfms or [Resize(8)]
    )
    with captured_notes():
        return data.dataloaders(files, bs=bs, device="cpu", seed=0, cache=cache if isinstance(cache, bool) else folder / cache)


@pytest.mark.parametrize("place", [True, "folder"])
def test_loaders_and_a_learner_with_a_cache_can_be_copied_and_pickled(tmp_path, place):
    dls = loaders(tmp_path, place)
    first = [x for x, _ in dls.valid]
    learner = copy.deepcopy(Learner(dls, nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2)), seed=0))
    for valid in (copy.deepcopy(dls).valid, pickle.loads(pickle.dumps(dls.valid)), learner.dls.valid):
        for _ in range(2):
            assert all(map(torch.equal, first, [x for x, _ in valid]))
        assert valid.reader.cache.hits
    assert dls.valid.reader.cache._store is learner.dls.valid.reader.cache._store, "a copy shares the place"
    assert len(pickle.dumps(dls.train.reader.cache)) < 4000, "what is in memory stays behind"


class Framed(RandomCrop):
    """A user's own, which draws into the picture that the rest of it made."""

    def apply(self, values, rng):
        image, *rest = super().apply(values, rng)
        image.paste(0, (0, 0, 2, 2))
        return (image, *rest)


class OwnBlock(ImageBlock):
    def encode(self, value):
        return super().encode(value.convert("L").convert("RGB"))


PIPELINES = {
    "cut": [Resize(8)], "padded": [Resize(8, "pad")], "squished": [Resize(8, "squish")], "part": [RandomResizedCrop(8)],
    "mirrored": [Resize(8), FlipItem()], "turned": [Resize(8), DihedralItem()], "own": [Framed(8)], "own behind": [Resize(12), Framed(8)],
}  # fmt: skip


@pytest.mark.parametrize("block", [ImageBlock, ImageBlock("L"), OwnBlock])
@pytest.mark.parametrize("tfms", PIPELINES.values(), ids=PIPELINES)
@pytest.mark.parametrize("place", [True, "folder"])
def test_a_cache_changes_no_sample(tmp_path, place, tfms, block):
    batches = []
    for cache in (False, place if place is True else tmp_path / place):
        dls = loaders(tmp_path, cache, tfms=tfms, block=block, bs=3)
        batches.append([x for _ in range(3) for dl in (dls.train, dls.valid) for x, _ in dl])
        dls.train.sample(0)[0].zero_()  # what is handed out is no part of the cache
        batches[-1] += [x for x, _ in dls.train]
    assert all(map(torch.equal, *batches)) and len(batches[0]) == len(batches[1])
    assert dls.train.reader.cache.hits


class Sketch(Block):
    """A user's own kind of data: a picture as a PIL image, read as it is or from a file."""

    name = "sketch"

    def encode(self, value):
        return torch.tensor(np.asarray(value.convert("L")).mean())


class SketchOfFile(Sketch):
    def open(self, raw):
        return Image.open(raw).convert("L")


@pytest.mark.parametrize("given", ["file", "image"])
def test_a_users_own_kind_of_picture_gets_pil_images(tmp_path, given):
    files = [tmp_path / f"{i}.png" for i in range(12)]
    for f in files:
        picture(20).save(f)
    target = SketchOfFile() if given == "file" else Sketch()
    block = DataBlock(
        (ImageBlock, target), splitter=IndexSplitter([8, 9]), get_y=(lambda f: f) if given == "file" else Image.open, item_tfms=CropPad(8)
    )
    with captured_notes():
        dls = block.dataloaders(files, bs=4, device="cpu", cache=True)
    for _ in range(2):
        assert sum(len(x) for x, _ in dls.train) == 10


def test_a_sample_of_the_cache_takes_three_bytes_a_pixel(tmp_path):
    dls = loaders(tmp_path, True)
    list(dls.train)
    small = [Resize(8).stages()[0].apply((Image.open(file),), None)[0] for file in dls.train.columns[0]]
    assert dls.train.reader.cache.used == sum(3 * image.width * image.height for image in small[:8])


@pytest.mark.parametrize("place", [True, "folder"])
def test_the_splits_share_one_budget(tmp_path, place):
    dls = loaders(tmp_path, place)
    list(dls.train), list(dls.valid)
    train, valid = dls.train.reader.cache, dls.valid.reader.cache
    assert train.used == valid.used > 0 and train.budget == valid.budget and valid.hits + valid.misses == 4
    train._store.budget = 0
    assert valid.budget == 0, "one store"


GROUPS = {
    "version 2": ("0::/job/step", "sys/fs/cgroup/job", ("memory.max", "memory.current", "inactive_file")),
    "version 1": ("5:cpu,memory:/job", "sys/fs/cgroup/memory/job", ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")),
    "in a container": ("5:memory:/docker/abc", "sys/fs/cgroup/memory", ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")),
}  # fmt: skip


@pytest.mark.parametrize("line, folder, names", GROUPS.values(), ids=GROUPS)
def test_a_limit_of_the_control_group_bounds_the_free_memory(tmp_path, line, folder, names):
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text("MemTotal: 99999999 kB\nMemAvailable: 8388608 kB\n")
    assert free_memory(tmp_path) == 8 * GIB
    (tmp_path / "proc/self/cgroup").write_text(f"3:pids:/x\n{line}\n")
    group = tmp_path / folder
    group.mkdir(parents=True)
    for name, text in zip(names, ("max", str(GIB), ""), strict=True):
        (group / name).write_text(text)
    (group / "memory.stat").write_text(f"anon 5\n{names[2]} {GIB // 2}\n")
    assert free_memory(tmp_path) == 8 * GIB, "no limit"
    (group / names[0]).write_text(str(2 * GIB))
    assert free_memory(tmp_path) == 3 * GIB // 2, "the limit, less what is used and couldn't be given back"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes don't fork here")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_forked_process_is_not_kept_waiting_by_a_thread_that_is_not_there(cache):
    held, done = threading.Event(), threading.Event()

    def hold():
        with cache._store.lock:
            held.set()
            done.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(10)
    child = os.fork()
    if child == 0:
        cache.get((1,), lambda: (picture(),))
        os._exit(0)
    deadline = time.monotonic() + 10
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < deadline:
        time.sleep(0.01)
    done.set()
    thread.join()
    if ended == (0, 0):
        os.kill(child, 9)
        os.waitpid(child, 0)
    assert ended == (child, 0)


# -- what prepared samples are known by -------------------------------------------------------------------------------
class Darker(ItemTransform):
    """A user's own, which says that it draws nothing."""

    def __init__(self, by=2):
        self._by = by

    def stages(self):
        return self, None

    def apply(self, values, rng):
        return (values[0].point(lambda v: v // self._by), *values[1:])


def settings(*tfms):
    return Reader([ImageBlock()], list(tfms), train=True).settings()


def test_an_edited_transform_of_the_users_is_not_served_what_it_made_before(monkeypatch):
    before = settings(Darker())
    assert settings(Darker()) == before != settings(Darker(3)), "its arguments count, whatever they are kept as"

    def apply(self, values, rng):
        return (values[0].point(lambda v: v // self._by + 1), *values[1:])

    monkeypatch.setattr(Darker, "apply", apply)
    assert settings(Darker()) != before


def defined(text, space=None):
    """A transform of a class whose body says `text`, as it would be typed at a prompt."""
    space = {"ItemTransform": ItemTransform, "np": np, "functools": functools, **(space or {})}
    body = f"{text}\n    def stages(self): return self, None\n    def apply(self, values, rng): return values"
    exec(f"class Typed(ItemTransform):\n    {body}", space)
    return space["Typed"]()


EDITS = [
    ("TABLE = {0: 1}", "TABLE = {0: 2}"),
    ("LUT = np.arange(5000)", "LUT = np.where(np.arange(5000) == 2500, 0, np.arange(5000))"),
    ("LUT = np.zeros(3, np.uint8)", "LUT = np.zeros(3)"),
    ("@functools.cache\n    def lut(self): return 1", "@functools.cache\n    def lut(self): return 2"),
    ("@staticmethod\n    def f(x, by=1): return x", "@staticmethod\n    def f(x, by=2): return x"),
    ("f = (lambda by: lambda self: by)(1)", "f = (lambda by: lambda self: by)(2)"),
    ("def f(self): return [x + 1 for x in self.y]", "def f(self): return [x + 2 for x in self.y]"),
    ("def f(self, *x): return x", "def f(self, x): return x"),
]


@pytest.mark.parametrize("one, two", EDITS)
def test_whatever_is_edited_in_a_class_counts(one, two):
    assert settings(defined(one)) == settings(defined(one)) != settings(defined(two)) and defined(one).cache_key()


def test_code_that_runs_counts_and_not_the_file_it_came_from(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # the second text, of the same second and length, would be taken for the first
    text = "from burnish.data.transforms import ItemTransform\nclass Half(ItemTransform):\n    def apply(self, values, rng): return values[0] // 2"
    (tmp_path / "halving.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("halving")
    before = module.Half().cache_key()
    (tmp_path / "halving.py").write_text(text.replace("2", "3"))
    linecache.checkcache()
    for _ in range(100):
        module.Half().apply((4,), None)
    assert module.Half().cache_key() == before, "nor how often it ran"
    assert importlib.reload(module).Half().cache_key() != before


def test_a_class_is_known_in_another_process():
    code = 'import test_cache as t; print(t.settings(t.defined(\'WORDS = {1, "a", "b", "c"}; f = lambda self, x: x in {"a", "b", "c"}\')))'
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    told = {
        subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True).stdout
        for seed in "12"
    }  # fmt: skip
    assert len(told) == 1 and "WORDS" in told.pop()


def test_a_class_that_holds_more_than_functions_and_plain_values_is_not_cached():
    for text in (
        "THING = object()",
        "class Inner: pass",
        "f = functools.partial(print, 1)",
        "f = Typed",
        "HELD = np.array([print], dtype=object)",
    ):
        reader = Reader([ImageBlock()], [defined(text, {"Typed": Darker}), Resize(8, method="squish")], train=True)
        assert reader.fixed == [] and len(reader.drawn) == 2
    assert len(Reader([ImageBlock()], [defined("by = 2"), Resize(8, method="squish")], train=True).fixed) == 2


def test_the_version_and_all_arguments_of_torchvisions_count():
    from burnish import __version__
    from burnish.data.foreign import as_item_transform

    dark, light = (settings(as_item_transform(v2.Pad(2, fill=fill))) for fill in (0, 255))
    assert dark != light and __version__ in dark
    assert not Reader([ImageBlock()], [as_item_transform(v2.Pad(2, fill={Image.Image: 255}))], train=True).fixed, (
        "its description lacks the fill"
    )
