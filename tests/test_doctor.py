"""What doctor says of installations that aren't well."""

from __future__ import annotations

import importlib.metadata

import pytest
import torch

from burnish import doctor


def finding(name: str) -> doctor.Finding:
    return next(f for f in doctor.diagnose() if f.name == name)


@pytest.mark.parametrize(
    ("package", "there", "todo"),
    [
        ("torch", "0.1", "pip install --upgrade 'torch>="),
        ("pandas", "1.5.3", "'pandas>="),
        ("huggingface_hub", "0.36.0", "'huggingface_hub>="),
    ],
)
def test_a_package_that_is_too_old(monkeypatch: pytest.MonkeyPatch, package: str, there: str, todo: str) -> None:
    real = importlib.metadata.version
    monkeypatch.setattr(doctor, "version", lambda name: there if name == package else real(name))
    found = finding(package)
    assert not found.ok and found.found == f"{there}, too old" and todo in found.todo
    assert all(f.ok for f in doctor.diagnose() if f.name != package)


@pytest.mark.parametrize("there", ["99.0", "2.11.0a0+git1", "2.11", "10.0.0+cu130"])
def test_newer_packages_and_builds_are_well(monkeypatch: pytest.MonkeyPatch, there: str) -> None:
    monkeypatch.setattr(doctor, "version", lambda name: there)
    assert doctor._package("torch").ok


def test_a_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(doctor, "version", version)
    assert finding("torch") == doctor.Finding("torch", "missing", False, "Install it: pip install torch")
    assert "pip install '.[offline]' in a clone" in finding("extra offline").found


@pytest.mark.parametrize(
    ("error", "todo"),
    [
        (RuntimeError("The NVIDIA driver on your system is too old\nmore"), "Update the GPU's driver"),
        (AssertionError("Torch not compiled with CUDA enabled"), "--device cpu"),
        (RuntimeError(), "--device cpu"),
    ],
)
def test_a_gpu_that_fails_when_asked_is_a_finding(monkeypatch: pytest.MonkeyPatch, error: Exception, todo: str) -> None:
    def fails(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", fails)
    found = finding("device")
    assert not found.ok and "doesn't answer" in found.found and todo in found.todo and "\n" not in found.found
