import os

import numpy as np
import pytest
from PIL import Image

from burnish.data.cache import ItemCache, make_cache
from burnish.errors import SettingError


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
