"""The star import: time and resident memory beyond ``import torch, torchvision``."""

from __future__ import annotations

from time import perf_counter
from typing import Any

from memory import resident_mb


def measure(side: Any, s: dict[str, Any]) -> dict[str, float]:
    """Figures: seconds, mb (both beyond torch and torchvision), modules loaded, names brought in."""
    import sys

    import torch
    import torchvision  # noqa: F401

    before, modules, start = resident_mb(), len(sys.modules), perf_counter()
    names: dict[str, Any] = {}
    exec(side.STAR, names)
    seconds = perf_counter() - start
    assert torch.__version__
    return {"seconds": seconds, "mb": resident_mb() - before, "modules": len(sys.modules) - modules, "names": len(names)}
