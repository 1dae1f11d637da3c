"""``burnish clean``: the page from a terminal, and what was done taken back."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from test_cli import burnish

from burnish.data.notes import captured_notes
from burnish.vision.all import ImageDataLoaders, Resize, vision_learner
from burnish.vision.changes import ChangeList
from burnish.vision.cleaner_server import Page
from burnish.vision.sample import sample_photos


@pytest.fixture
def place(tmp_path) -> Path:
    """A working folder with photographs, two of them in the wrong folder, and a model of them."""
    for kind in ("conference_pear", "granny_smith", "orange"):
        shutil.copytree(sample_photos() / kind, tmp_path / "fruit" / kind)
    with captured_notes():
        dls = ImageDataLoaders.from_folder(tmp_path / "fruit", valid_pct=0.2, seed=42, bs=16, item_tfms=Resize(96))
        vision_learner(dls, "tf_efficientnet_lite0", weights="offline", seed=1).export(tmp_path / "m.burnish")
    for i in (1, 2):
        shutil.move(tmp_path / f"fruit/orange/orange_0{i}.jpg", tmp_path / f"fruit/conference_pear/orange_0{i}.jpg")
    return tmp_path


def test_it_serves_until_it_is_interrupted_and_keeps_the_choices(place):
    command = [sys.executable, "-m", "burnish", "clean", "m.burnish", "fruit", "--no-browser"]
    running = subprocess.Popen(
        command,
        cwd=place,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.SIG_DFL
        ),  # which is ignored where the tests themselves run in the background
    )
    assert running.stdout is not None
    said = ""
    while "Ctrl-C" not in said:
        line = running.stdout.readline()
        assert line, running.communicate()[1]
        said += line
    url = re.search(r"http://127\.0\.0\.1:\d+/\?t=\S+", said)
    assert url and "labels that are likely wrong" in said and "burnish-out/cleaning" in said.replace("\n", "")
    base, token = url[0].split("/?t=")
    ask = urllib.request.Request(
        f"{base}/ask",
        b'{"op": "choose", "args": {"row": 0, "do": "delete"}}',
        {"X-Burnish-Token": token, "Content-Type": "application/json"},
    )
    assert b'"deleted": 1' in urllib.request.urlopen(ask, timeout=20).read()
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=30)
    assert running.returncode == 0 and "Traceback" not in err, err
    assert "1 choice not applied yet, kept for the next time" in out
    assert (place / "burnish-out/cleaning/choices.json").is_file() and len(list((place / "fruit").rglob("*.jpg"))) == 69


def test_undo_takes_the_last_changes_back(place):
    file = place / "fruit/orange/orange_03.jpg"
    changes = ChangeList((place / "burnish-out/cleaning").absolute())
    changes.apply(changes.plan([(str(file), "delete", "orange", None)], True))
    assert not file.exists()
    done = burnish("clean", "m.burnish", "fruit", "--undo", cwd=place)
    assert done.returncode == 0 and "1 change taken back" in done.stdout and file.is_file()
    again = burnish("clean", "m.burnish", "fruit", "--undo", cwd=place)
    assert again.returncode == 2 and "nothing to undo" in again.stderr


def test_sorting_by_loss_looks_for_nothing_else(place, monkeypatch):
    served = []

    def page(self, cleaner, port, browser):
        served.append((cleaner, port, browser))
        raise KeyboardInterrupt

    monkeypatch.setattr(Page, "__init__", page)
    burnish("clean", "m.burnish", "fruit", "--sort", "loss", "--port", "8123", cwd=place)
    ((cleaner, port, browser),) = served
    assert port == 8123 and browser is True and cleaner.table["suspicion"].isna().all() and len(cleaner.fns) == 69
    assert set(cleaner.table["split"]) == {"train", "valid"}


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("m.burnish", "fruit", "--sort", "size"), "--sort size: expected suspicion or loss"), (("m.burnish", "nowhere"), "There is no folder 'nowhere'"),
        (("m.burnish", "sample"), "isn't changed: copy the photographs"), (("m.burnish", "fruit", "--out", "fruit/x"), "lies inside the folder of photographs"),
        (("fruit/orange/orange_05.jpg", "fruit"), "not a burnish model"),
    ],
)  # fmt: skip
def test_mistakes_are_said(place, args, says):
    done = burnish("clean", *args, cwd=place)
    assert done.returncode == 2 and says in " ".join(done.stderr.split()) and "Traceback" not in done.stderr


def test_photographs_of_other_classes_are_said(place):
    (place / "fruit/plum").mkdir()
    shutil.copy(place / "fruit/orange/orange_05.jpg", place / "fruit/plum/1.jpg")
    done = burnish("clean", "m.burnish", "fruit", cwd=place)
    assert done.returncode == 2 and "plum" in done.stderr
