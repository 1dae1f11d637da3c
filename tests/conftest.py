"""Fixtures that every test may use, and what keeps tests apart from one another and from the machine they run on."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))  # so that a test in any folder can `import realdata`
matplotlib.use("Agg")
torch.set_num_threads(1)

SIDE = 64


def pytest_configure(config: pytest.Config) -> None:
    """No test may find its way to a hub: what a test needs comes from the package registries (realdata.py) or the project."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test marked ``data("name")`` must name something that realdata.py has: a typo would leave it without its data."""
    import realdata

    for item in items:
        for mark in item.iter_markers("data"):
            unknown = [n for n in mark.args if n not in realdata.SETS]
            if unknown or not mark.args:
                raise pytest.UsageError(f"{item.nodeid}: @pytest.mark.data{mark.args} must name one of: {', '.join(realdata.SETS)}.")


def pytest_make_parametrize_id(val: object) -> str | None:
    """Names a function or a functools.partial in a test's id by its name, not by its address: parallel processes must agree on ids."""
    while hasattr(val, "func"):
        val = val.func  # pyright: ignore[reportAttributeAccessIssue]
    return getattr(val, "__name__", None) if callable(val) else None


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fetches what ``@pytest.mark.data`` names, so that a source that is gone fails the test with its own clear message."""
    import realdata

    for mark in item.iter_markers("data"):
        for name in mark.args:
            realdata.SETS[name]()


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No BURNISH_* setting of the person who runs the tests reaches them, and what the library caches goes to a scratch folder."""
    for name in [n for n in os.environ if n.startswith("BURNISH_") and n != "BURNISH_TEST_DATA"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg-cache"))


@pytest.fixture(autouse=True)
def _figures_closed() -> Iterator[None]:
    yield
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")


@pytest.fixture
def untouched_globals() -> Iterator[None]:
    """Fails a test in which the library moved the user's global generators: ``random``, ``numpy.random`` or ``torch``."""
    before = _generators()
    yield
    moved = [name for name, state in _generators().items() if state != before[name]]
    assert not moved, f"the user's global generators were moved: {', '.join(moved)}"


def _generators() -> dict[str, object]:
    legacy = np.random.get_state(legacy=False)
    assert isinstance(legacy, dict)
    state = legacy["state"]
    return {
        "random": random.getstate(),
        "numpy": (state["key"].tobytes(), state["pos"]),
        "torch": torch.get_rng_state().numpy().tobytes(),
    }


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a sub-folder a class: 36 real photographs (12 of each of 3 kinds of fruit), 64 pixels on the short side.

    Shared by the whole session: read it; copy it before changing anything in it (see `own_photos`).
    """
    from burnish.vision.sample import sample_photos

    folder = tmp_path_factory.mktemp("photos")
    for kind in ("conference_pear", "granny_smith", "orange"):
        (folder / kind).mkdir()
        for source in sorted((sample_photos() / kind).glob("*.jpg"))[:12]:
            _shrink(source, folder / kind / source.name)
    return folder


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """A web server on this machine (webserver.Server), reached without a proxy."""
    import webserver

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with webserver.serving() as serving:
        yield serving


@pytest.fixture
def own_photos(photos: Path, tmp_path: Path) -> Path:
    """A copy of `photos` that this test alone may change."""
    import shutil

    return Path(shutil.copytree(photos, tmp_path / "photos"))


def _shrink(source: Path, target: Path) -> None:
    image = Image.open(source)
    factor = SIDE / min(image.size)
    image.resize((round(image.width * factor), round(image.height * factor)), Image.Resampling.BOX).save(target, quality=85)
