"""What the tests of compatibility share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import burnish.compat


@pytest.fixture(scope="module")
def installed() -> Iterator[None]:
    """fastai's names give burnish while a file's tests run."""
    burnish.compat.install()
    yield
    burnish.compat.uninstall()
