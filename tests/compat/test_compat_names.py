"""docs/from-fastai-names.md: each name that it says is there can be imported, and what is said to be better is held by a test."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "from-fastai-names.md"
NOTES = tomllib.loads((ROOT / "benchmarks" / "compat_names.toml").read_text(encoding="utf-8"))


def listed() -> dict[str, str]:
    """Name -> state, as the page has them."""
    found: dict[str, str] = {}
    for part in PAGE.read_text(encoding="utf-8").split("\n### ")[1:]:
        state = part.split("\n", 1)[0].split(": ")[-1]
        body = part.split("\nLeft out")[0]
        names = re.findall(r"^\| `(\w+)` \|", body, re.M) if "\n| name |" in body else re.findall(r"`(\w+)`", body)
        found.update(dict.fromkeys(names, state))
    return found


def test_the_names_of_the_page_are_there():
    names = listed()
    assert len(names) > 1000 and set(names.values()) == {"same", "better", "other", "missing"}
    code = "import sys, importlib, burnish.compat; burnish.compat.install()\nfrom fastai.vision import all as found\n"
    code += "there = [n for n in sys.stdin.read().split() if hasattr(found, n)]\nprint(*there)"
    done = subprocess.run([sys.executable, "-c", code], input=" ".join(names), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    there = set(done.stdout.split())
    absent = [n for n, state in names.items() if state != "missing" and n not in there]
    assert not absent, f"docs/from-fastai-names.md says that these are there: {absent}"


def test_what_is_better_is_held_by_a_test_and_told_on_the_page():
    names = listed()
    for state, notes in NOTES.items():
        for name, (told, where) in notes.items():
            file, test = where.split("::")
            assert f"def {test}(" in (ROOT / file).read_text(encoding="utf-8"), where
            assert told and names.get(name) == state, f"{name}: run benchmarks/compat_names.py"


@pytest.mark.parametrize(
    ("theirs", "mine", "lacks", "defaults"),
    [
        ("a, b=1, *, c=2", "a, b=1, c=2", "", ""), ("a, b=1", "a, b=3", "", "`b=3` (fastai: 1)"), ("a, b=1", "a", "doesn't take `b`", ""), ("a, b=1", "a, **kw", "", ""),
        ("a, b=1", "a, *, b=1", "by name only: `b`", ""), ("a, b, c", "a, c, b", "another place: `b`", ""), ("a", "a, z", "needs `z`", ""), ("a, **kw", "a", "", ""),
    ],
)  # fmt: skip
def test_arguments_are_compared_by_name_place_and_default(theirs, mine, lacks, defaults, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from compat_collect import signature
    from compat_names import arguments

    made = [signature(eval(f"lambda {arguments}: 0")) for arguments in (theirs, mine)]
    assert arguments(*made) == (lacks, defaults)
