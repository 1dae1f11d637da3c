"""The quick-start pages run as they are written."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from test_cli import burnish

from burnish.data.notes import captured_notes

DOCS = Path(__file__).resolve().parent.parent / "docs"


def blocks(page: str, language: str) -> str:
    """The code of a page, all blocks of a language after each other."""
    return "\n".join(re.findall(rf"```{language}\n(.*?)```", (DOCS / page).read_text(), re.S))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with the files that the pages speak of."""
    import sys

    sys.path.insert(0, str(Path(__file__).parent / "collab"))
    from sklearn.datasets import load_breast_cancer
    from test_collab import ratings

    monkeypatch.chdir(tmp_path)
    ratings().to_csv("ratings.csv", index=False)
    ratings()[["user", "film"]].head(7).to_csv("pairs.csv", index=False)
    frame = load_breast_cancer(as_frame=True).frame.iloc[:, -6:]
    frame["outcome"] = frame.pop("target").map({0: "ill", 1: "well"})
    frame.to_csv("patients.csv", index=False)
    frame.drop(columns="outcome").head(5).to_csv("new.csv", index=False)
    return tmp_path


@pytest.mark.parametrize(
    "page", ["tables.md", "ratings.md", "pictures.md", "cleaning.md", "improving.md", "detection.md", "several_inputs.md"]
)
def test_the_python_of_a_page_runs(page, folder):
    with captured_notes():
        exec(compile(blocks(page, "python"), page, "exec"), {})
    assert list(folder.glob("*.burnish"))


@pytest.mark.parametrize("page", ["tables.md", "ratings.md"])
def test_the_commands_of_a_page_run(page, folder):
    for line in blocks(page, "bash").splitlines():
        command = shlex.split(line, comments=True)
        assert command[0] == "burnish"
        done = burnish(*command[1:])
        assert done.returncode == 0, f"{line}\n{done.stderr}"
    rows = done.stdout.strip().splitlines()
    assert len(rows) == (8 if page == "ratings.md" else 6) and "_pred" in rows[0]  # the header and a line a row
    assert (folder / "burnish-out" / "report.html").read_text().count("<h2") >= 6


def test_the_page_on_collecting_runs_with_servers_of_this_machine(folder, server, monkeypatch):
    """Its searches and downloads go to a stand-in for Openverse on this machine, its public data set comes from a mirror."""
    import json
    import shutil

    from PIL import Image
    from webserver import Answer

    from burnish.data.sets import URLs
    from burnish.vision.sample import sample_photos

    av = pytest.importorskip("av")
    photos = {kind: sorted((sample_photos() / kind).glob("*.jpg"))[:4] for kind in ("granny_smith", "orange")}
    for i, photo in enumerate(photos["granny_smith"] + photos["orange"]):
        server.pages[f"/{i}.jpg"] = Answer(photo.read_bytes(), "image/jpeg")

    def search(request):
        first = 4 * ("q=orange" in request.path)
        found = [{"url": f"{server.url}/{first + i}.jpg", "creator": "Ann", "license": "by", "license_version": "4.0"} for i in range(4)]
        return Answer(json.dumps({"page_count": 1, "results": found}).encode(), "application/json")

    server.pages["/images/"] = search
    monkeypatch.setenv("BURNISH_OPENVERSE_URL", server.url)
    shutil.make_archive(str(folder / "mirror" / Path(URLs.MNIST_TINY).stem), "gztar", sample_photos())
    (folder / "mirror" / "mnist_tiny.tar.gz").rename(folder / "mirror" / "mnist_tiny.tgz")
    monkeypatch.setenv("BURNISH_MIRROR", str(folder / "mirror"))
    for kind, files in photos.items():
        (folder / "films" / kind).mkdir(parents=True)
        for k in range(4):
            with av.open(str(folder / "films" / kind / f"{k}.mp4"), "w") as film:
                stream = film.add_stream("mpeg4", rate=4)
                stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
                for photo in files:
                    film.mux(stream.encode(av.VideoFrame.from_image(Image.open(photo).convert("RGB").resize((64, 64)))))
                film.mux(stream.encode())

    page: dict = {}
    with captured_notes():
        exec(compile(blocks("collecting.md", "python"), "collecting.md", "exec"), page)
    assert len(list((folder / "fruit-400").rglob("*.jpg"))) == 8 and set(page["table"]["licence"]) == {"CC BY 4.0"}
    assert (page["path"] / "orange").is_dir() and len(page["frames"]) == 16
    assert page["dls"].one_batch()[0].shape == (4, 1, 64, 96)
