"""``untar_data``: downloaded once, from its own address, a mirror or a folder; a changed archive is noticed."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile

import pytest
from webserver import Answer, in_parts

from burnish.data.notes import captured_notes
from burnish.data.sets import SampleSet, URLs, untar_data
from burnish.errors import DataError, OfflineError


def archive(**files):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(f"mini/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return made.getvalue()


ONE, TWO = archive(one=b"1"), archive(two=b"2")


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    monkeypatch.setenv("BURNISH_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def names(folder):
    return sorted(p.name for p in folder.iterdir() if not p.name.endswith(".source.json"))


def test_a_set_is_downloaded_once(server, home):
    server.pages["/sets/mini.tgz"] = in_parts(ONE, cut_first=50)
    with captured_notes() as notes:
        path = untar_data(f"{server.url}/sets/mini.tgz")
    assert path == home / "mini" and names(path) == ["one"] and names(home) == ["archives", "mini"]
    assert server.times("/sets/mini.tgz") == 2, "cut off once, and gone on with"
    assert untar_data(f"{server.url}/sets/mini.tgz") == path and server.times("/sets/mini.tgz") == 2
    assert len(notes) == 1 and "The SHA-256 of mini.tgz isn't known to burnish. It was noted" in notes[0]
    noted = json.loads((home / "archives" / "digests.json").read_text())
    assert noted[f"{server.url}/sets/mini.tgz"]["sha256"] == hashlib.sha256(ONE).hexdigest()


def test_an_archive_that_changed_is_refused_until_its_digest_is_given(server, home):
    url = f"{server.url}/mini.tgz"
    server.pages["/mini.tgz"] = Answer(ONE)
    with captured_notes():
        untar_data(url)
        server.pages["/mini.tgz"] = Answer(TWO)
        found = hashlib.sha256(TWO).hexdigest()
        with pytest.raises(
            DataError, match=f"has the SHA-256 {found}, and .* was noted when it first came .*digests.json.*pass sha256='{found}'"
        ):
            untar_data(url, force_download=True)
        assert names(home / "mini") == ["one"] and (home / "archives" / "mini.tgz").read_bytes() == ONE
        assert names(untar_data(url, force_download=True, sha256=found)) == ["two"]
        assert names(untar_data(url, force_download=True)) == ["two"]
    assert names(home) == ["archives", "mini"]


def test_digests_that_are_known_or_given(server, home):
    server.pages["/mini.tgz"] = Answer(ONE)
    right, wrong = hashlib.sha256(ONE).hexdigest(), "0" * 64
    with pytest.raises(DataError, match=f"and {wrong} was given"):
        untar_data(f"{server.url}/mini.tgz", sha256=wrong)
    with pytest.raises(DataError, match=f"and {wrong} is known of it"):
        untar_data(SampleSet(f"{server.url}/mini.tgz", wrong))
    assert not (home / "mini").exists() and names(home / "archives") == []
    with captured_notes() as notes:
        assert names(untar_data(SampleSet(f"{server.url}/mini.tgz", right))) == ["one"]
    assert notes == []


def test_without_a_network_the_ways_out_are_named_and_each_works(home, tmp_path, monkeypatch):
    url = "http://127.0.0.1:9/sets/mini.tgz"
    with pytest.raises(
        OfflineError, match=r"connection was refused.*put the archive mini.tgz into .*archives; set BURNISH_MIRROR.*BURNISH_DATA"
    ):
        untar_data(url)
    with captured_notes():
        (home / "archives" / "mini.tgz").write_bytes(ONE)
        assert names(untar_data(url)) == ["one"]
        monkeypatch.setenv("BURNISH_DATA", str(tmp_path / "other"))
        (tmp_path / "share").mkdir()
        (tmp_path / "share" / "mini.tgz").write_bytes(TWO)
        monkeypatch.setenv("BURNISH_MIRROR", str(tmp_path / "share"))
        assert names(untar_data(url)) == ["two"]
    (tmp_path / "third" / "mini").mkdir(parents=True)
    monkeypatch.setenv("BURNISH_DATA", str(tmp_path / "third"))
    assert untar_data(url) == tmp_path / "third" / "mini"


def test_a_mirror_on_the_web_and_one_that_lacks_the_set(server, home, tmp_path):
    server.pages["/copies/mini.tgz"] = Answer(ONE)
    with captured_notes():
        assert names(untar_data("http://127.0.0.1:9/mini.tgz", mirror=f"{server.url}/copies/")) == ["one"]
    with pytest.raises(FileNotFoundError, match=r"The mirror .* \(mirror= or BURNISH_MIRROR\) has no file other.tgz"):
        untar_data("http://127.0.0.1:9/other.tgz", mirror=tmp_path)


def test_an_archive_on_this_machine(home, tmp_path):
    (tmp_path / "mini.tgz").write_bytes(ONE)
    assert names(untar_data(tmp_path / "mini.tgz", data=tmp_path / "here")) == ["one"]
    with pytest.raises(DataError, match=r"and 0000.* was given"):
        untar_data(tmp_path / "mini.tgz", sha256="0" * 64)


def test_two_archives_of_one_name_are_not_taken_for_each_other(server, home, tmp_path):
    server.pages["/cats/train.tgz"], server.pages["/dogs/train.tgz"] = Answer(ONE), Answer(TWO)
    cats, dogs = (f"{server.url}/{kind}/train.tgz" for kind in ("cats", "dogs"))
    with captured_notes():
        assert names(untar_data(cats)) == ["one"]
        for digest in (None, hashlib.sha256(TWO).hexdigest()):
            with pytest.raises(DataError, match=r"train holds what was unpacked from .*/cats/train.tgz .*force_download=True"):
                untar_data(dogs, sha256=digest)
        assert names(untar_data(dogs, data=tmp_path / "dogs")) == ["two"], "not out of the archive that is there, either"
        assert names(untar_data(cats)) == names(untar_data(cats, sha256=hashlib.sha256(ONE).hexdigest())) == ["one"]
        assert names(untar_data(f"{server.url}/copy/train.tgz", sha256=hashlib.sha256(ONE).hexdigest())) == ["one"], (
            "the digest says that it is the same"
        )
        assert names(untar_data(dogs, force_download=True)) == names(untar_data(dogs)) == ["two"]
        (tmp_path / "train.tgz").write_bytes(ONE)
        with pytest.raises(DataError, match="holds what was unpacked from"):
            untar_data(tmp_path / "train.tgz")


def test_an_unsafe_or_damaged_archive_leaves_no_folder(server, home):
    evil = io.BytesIO()
    with tarfile.open(fileobj=evil, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("../evil"))
    server.pages["/mini.tgz"], server.pages["/other.tgz"] = Answer(evil.getvalue()), Answer(ONE[:60])
    with captured_notes():
        with pytest.raises(DataError, match=r"'../evil', which is outside"):
            untar_data(f"{server.url}/mini.tgz")
        with pytest.raises(DataError, match="Fetch it again"):
            untar_data(f"{server.url}/other.tgz")
        assert names(home) == ["archives"]
        assert names(home / "archives") == []
        server.pages["/other.tgz"] = Answer(ONE)
        assert names(untar_data(f"{server.url}/other.tgz")) == ["one"]


def test_a_page_is_no_archive():
    with pytest.raises(DataError, match=r"'index.html' is no archive that untar_data unpacks.*\.tgz.*download_url"):
        untar_data("https://example.org/index.html")


def test_processes_at_the_same_time_get_one_whole_folder(server, home):
    server.pages["/mini.tgz"] = Answer(ONE, slow=0.05)
    code = f"from burnish.data.sets import untar_data; print(untar_data('{server.url}/mini.tgz'))"
    running = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=os.environ) for _ in range(2)]
    assert {p.communicate(timeout=60)[0].strip() for p in running} == {str(home / "mini")}
    assert names(home / "mini") == ["one"] and names(home) == ["archives", "mini"] and server.times("/mini.tgz") == 1


def test_the_familiar_sets_are_there():
    sets = {k: v for k, v in vars(URLs).items() if not k.startswith("_")}
    assert {"PETS", "MNIST_SAMPLE", "ADULT_SAMPLE", "CAMVID_TINY", "IMAGENETTE_160", "ML_100k", "BIWI_HEAD_POSE", "IMDB"} <= set(sets)
    assert len(sets) == len(set(sets.values())) == 54
    assert all(url.startswith("https://") and url.endswith((".tgz", ".zip")) for url in sets.values())
