"""Devices that are there, and those that aren't."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from burnish.data.dataloaders import DataLoaders, default_device
from burnish.data.device import devices_here, usable_device
from burnish.errors import SettingError


@pytest.mark.parametrize("device", ["cpu", "meta", torch.device("cpu"), str(default_device()), default_device()])
def test_what_is_there_is_taken(device: Any) -> None:
    assert usable_device(device) == torch.device(device)


def test_everything_listed_can_be_asked_for() -> None:
    here = devices_here()
    assert here[0] == "cpu" and [str(usable_device(d)) for d in here] == here


@pytest.mark.parametrize(
    ("device", "why"),
    [
        ("gpu", "is no device's name"),
        ("", "is no device's name"),
        (3.5, "is no device's name"),
        ("cuda:99", "finds no such device"),
        ("xpu:99", "finds no such device"),
    ],
)
def test_what_is_not_there_is_refused_with_what_is(device: Any, why: str) -> None:
    for ask in (usable_device, lambda d: DataLoaders(device=d), DataLoaders(device="cpu").to):
        with pytest.raises(SettingError, match=f"device={device!r}.*{why}.*Here it may be one of: cpu.*'burnish doctor'"):
            ask(device)
