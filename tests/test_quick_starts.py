"""The quick-start pages run as they are written."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

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


@pytest.mark.parametrize("page", ["tables.md", "ratings.md", "pictures.md"])
def test_the_python_of_a_page_runs(page, folder):
    with captured_notes():
        exec(compile(blocks(page, "python"), page, "exec"), {})
    assert list(folder.glob("*.burnish"))


@pytest.mark.parametrize("page", ["tables.md", "ratings.md"])
def test_the_commands_of_a_page_run(page, folder):
    for line in blocks(page, "bash").splitlines():
        command = shlex.split(line, comments=True)
        assert command[0] == "burnish"
        done = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
    rows = done.stdout.strip().splitlines()
    assert len(rows) == (8 if page == "ratings.md" else 6) and "_pred" in rows[0]  # the header and a line a row
    assert (folder / "burnish-out" / "report.html").read_text().count("<h2") >= 6
