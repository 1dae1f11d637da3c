"""Collecting pictures as courses do it: what came is kept, what can't be used is found and removed."""

from __future__ import annotations

from pathlib import Path

import pytest
from webserver import Answer

from burnish.compat.vision_tools import download_images
from burnish.data import web
from burnish.data.files import get_image_files
from burnish.data.notes import captured_notes
from burnish.vision.files import verify_images
from burnish.vision.sample import sample_photos


@pytest.fixture(autouse=True)
def no_waits(monkeypatch):
    monkeypatch.setattr(web.persist, "__defaults__", (lambda seconds: None,))


def test_what_is_no_picture_is_kept_found_and_removed(server, tmp_path):
    photo = min((sample_photos() / "orange").glob("*.jpg")).read_bytes()
    server.pages.update({"/1.jpg": Answer(photo), "/2.jpg": Answer(b"<html>no picture</html>")})
    with captured_notes() as notes:
        assert download_images(tmp_path, urls=[f"{server.url}/{n}.jpg" for n in (1, 2, 3)], n_workers=2, timeout=2) is None
        failed = verify_images(get_image_files(tmp_path))
    assert len(failed) == 1 and "1 failed: 1 × HTTP 404" in notes[0] and "web page" in notes[0]
    failed.map(Path.unlink)
    assert len(get_image_files(tmp_path)) == 1


def test_failures_are_told_and_do_not_stop(server, tmp_path):
    (tmp_path / "urls.txt").write_text(f"{server.url}/none.jpg\n")
    with captured_notes() as notes:
        download_images(tmp_path / "a", tmp_path / "urls.txt")
        download_images(tmp_path / "a", urls=[])
    assert "None of 1 pictures could be downloaded" in notes[0] and "no addresses" in notes[1]
