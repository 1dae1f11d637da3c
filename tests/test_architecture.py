"""The rules of docs/architecture.md that a machine can hold: the direction of imports, and the size of files and functions."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "burnish"
FILES = sorted(PACKAGE.rglob("*.py"))

# A room may import from itself and from the rooms before it. Modalities stand on all of the first line and not on each other.
FOUNDATIONS = ["errors", "data", "artifact", "train", "evaluate", "deploy"]
FACE = ["basics"]  # what the modalities' faces share
MODALITIES = ["vision", "tabular", "collab", "text", "audio", "video", "series"]
ON_VISION = ["audio", "video", "series"]  # these may also use vision's models
ON_TABULAR = ["collab", "vision"]  # ratings are a table of two categories and a number; a picture may come with its row of a table
ON_TOP = ["doctor", "wording", "cli", "__main__", "compat"]

DEPENDENCIES = {  # import names of what pyproject.toml requires for everybody
    "torch", "torchvision", "timm", "safetensors", "huggingface_hub", "pandas", "numpy", "PIL", "matplotlib", "sklearn", "rich", "typer",
}  # fmt: skip
LAZY = {"timm", "sklearn", "scipy", "matplotlib.pyplot", "rich"}  # needed, but costly to import: only where they are used
MOST_LINES, MOST_FUNCTION_LINES = 500, 60


def allowed(room: str) -> set[str]:
    """The rooms that `room` may import from."""
    if room in FOUNDATIONS:
        return set(FOUNDATIONS[: FOUNDATIONS.index(room) + 1])
    if room in MODALITIES:
        return {*FOUNDATIONS, *FACE, room, *(["vision"] if room in ON_VISION else []), *(["tabular"] if room in ON_TABULAR else [])}
    if room in FACE:
        return {*FOUNDATIONS, *FACE}
    if room in ON_TOP:
        return {*FOUNDATIONS, *FACE, *MODALITIES, *ON_TOP}
    raise KeyError(f"burnish/{room} is in no list of {Path(__file__).name}: say which rooms it may import from")


def room_of(file: Path) -> str:
    first = file.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), str(file))


def imported(tree: ast.AST, file: Path) -> Iterator[tuple[str, int]]:
    """(module, line) of every import below `tree`, relative ones made absolute, ``from burnish import data`` as burnish.data."""
    package = [*file.relative_to(ROOT).with_suffix("").parts[:-1]]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((a.name, node.lineno) for a in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(p for p in (base, node.module or "") if p)
            yield from ((f"{module}.{a.name}" if module in ("burnish", "matplotlib") else module, node.lineno) for a in node.names)


def at_module_level(tree: ast.Module) -> Iterator[ast.stmt]:
    """Statements that run when the module is imported: not in functions, not below ``if TYPE_CHECKING``."""
    todo: list[ast.stmt] = list(tree.body)
    while todo:
        node = todo.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            todo += node.orelse
            continue
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node
        for field in ("body", "orelse", "finalbody"):
            todo += [s for s in getattr(node, field, []) if isinstance(s, ast.stmt)]
        for handler in getattr(node, "handlers", []):
            todo += handler.body


def below_type_checking(tree: ast.Module) -> set[int]:
    """Lines of imports that only a type checker sees: they may point anywhere."""
    ifs = [n for n in ast.walk(tree) if isinstance(n, ast.If) and "TYPE_CHECKING" in ast.unparse(n.test)]
    return {n.lineno for i in ifs for b in i.body for n in ast.walk(b) if hasattr(n, "lineno")}


def breaches_of_direction(file: Path) -> list[str]:
    tree, room, found = parsed(file), room_of(file), []
    typing_only = below_type_checking(tree)
    for module, line in imported(tree, file):
        parts = module.split(".")
        if parts[0] != "burnish" or len(parts) < 2 or line in typing_only:
            continue
        target = parts[1]
        is_room = (PACKAGE / target).is_dir() or (PACKAGE / f"{target}.py").is_file()  # else a name, such as __version__
        if is_room and target not in allowed(room):
            found.append(f"{file.relative_to(ROOT)}:{line} imports {module}; {room} may import from {sorted(allowed(room))}")
    return found


def breaches_of_laziness(file: Path) -> list[str]:
    lazy = set() if file.name == "all.py" else LAZY
    found = []
    for node in at_module_level(parsed(file)):
        for module, line in imported(node, file):
            top = module.split(".")[0]
            where = f"{file.relative_to(ROOT)}:{line} imports {module} at module level"
            if top not in sys.stdlib_module_names and top != "burnish" and top not in DEPENDENCIES:
                found.append(f"{where}; it is no dependency of everybody: import it in the function that needs it")
            elif top in lazy or ".".join(module.split(".")[:2]) in lazy:
                found.append(f"{where}; it is slow to import: import it in the function that needs it")
    return found


def test_rooms_are_all_known():
    for file in FILES:
        if room_of(file) != "__init__":
            allowed(room_of(file))


@pytest.mark.parametrize("file", [f for f in FILES if room_of(f) != "__init__"], ids=lambda f: str(f.relative_to(PACKAGE)))
def test_imports_run_one_way(file: Path):
    assert breaches_of_direction(file) == []


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_no_optional_or_slow_package_at_module_level(file: Path):
    assert breaches_of_laziness(file) == []


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_files_and_functions_are_short(file: Path):
    text = file.read_text(encoding="utf-8")
    assert len(text.splitlines()) < MOST_LINES, "one concept a file: divide it"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert lines <= MOST_FUNCTION_LINES, f"{file.name}:{node.lineno} {node.name} has {lines} lines"


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_no_star_imports_and_no_swallowed_keywords(file: Path):
    """A function with ``**kwargs`` that nothing reads would take a typo without a word (one that always raises takes nothing)."""
    for node in ast.walk(parsed(file)):
        if isinstance(node, ast.ImportFrom) and file.name not in ("all.py", "basics.py"):  # star-import faces gather names
            assert all(a.name != "*" for a in node.names), f"{file.name}:{node.lineno}: star import"
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.args.kwarg and not isinstance(node.body[-1], ast.Raise):
            used = {n.id for s in node.body for n in ast.walk(s) if isinstance(n, ast.Name)}
            assert node.args.kwarg.arg in used, f"{file.name}:{node.lineno} {node.name} swallows **{node.args.kwarg.arg}"


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("burnish/data/x.py:from burnish.train import learner", "direction"),
        ("burnish/data/x.py:def f():\n    import burnish.vision.image", "direction"),
        ("burnish/train/x.py:from burnish import cli", "direction"),
        ("burnish/train/x.py:from ..vision import image", "direction"),
        ("burnish/vision/x.py:from burnish.text import blocks", "direction"),
        ("burnish/vision/x.py:from burnish.data import block", None),
        ("burnish/data/x.py:from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from burnish.train.learner import Learner", None),
        ("burnish/data/x.py:import pyarrow", "laziness"),
        ("burnish/data/x.py:try:\n    import IPython\nexcept ImportError:\n    IPython = None", "laziness"),
        ("burnish/data/x.py:class A:\n    import gradio", "laziness"),
        ("burnish/data/x.py:from matplotlib import pyplot as plt", "laziness"),
        ("burnish/data/x.py:import timm.models", "laziness"),
        ("burnish/data/x.py:def f():\n    import timm, IPython", None),
        ("burnish/data/x.py:import numpy as np, torch", None),
    ],
)
def test_the_rules_see_what_they_should(source: str, what: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The checks themselves are checked: on a made-up tree, with one breach or none."""
    name, text = source.split(":", 1)
    for room in [*FOUNDATIONS, "vision", "text"]:
        (tmp_path / "burnish" / room).mkdir(parents=True)
    (tmp_path / "burnish" / "cli.py").touch()
    (tmp_path / name).write_text(text)
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path / "burnish")
    found = {"direction": breaches_of_direction(tmp_path / name), "laziness": breaches_of_laziness(tmp_path / name)}
    assert {k for k, v in found.items() if v} == ({what} if what else set())


def test_dependencies_match_pyproject():
    """DEPENDENCIES above is what pyproject.toml says, so that neither can change alone."""
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    imports = {"pillow": "PIL", "scikit-learn": "sklearn"}
    names = [w.split(">")[0].split("=")[0].split("<")[0].strip() for w in wanted]
    assert {imports.get(n, n) for n in names} == DEPENDENCIES


def test_importing_loads_nothing_slow():
    """The faces too: tests/test_all.py."""
    slow = ["timm", "sklearn", "scipy", "matplotlib.pyplot", "rich", "IPython", "gradio", "onnx", "transformers"]
    code = f"import sys, burnish; print([m for m in {slow} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("file", [f for f in FILES if f.name != "__init__.py"], ids=lambda f: str(f.relative_to(PACKAGE)))
def test_the_architecture_names_every_file(file: Path):
    """Each file stands in the table of docs/architecture.md, in a row that begins with its folder."""
    folder = "".join(f"{part}/" for part in file.relative_to(PACKAGE).parts[:-1])
    rows = [line.split("|")[1] for line in (ROOT / "docs/architecture.md").read_text().splitlines() if line.startswith("| `")]
    named = [{n.split("/")[-1] for n in re.findall(r"`([^`]+)`", row)} for row in rows if row.strip().startswith(f"`{folder}")]
    assert file.name in {n for names in named for n in names}
