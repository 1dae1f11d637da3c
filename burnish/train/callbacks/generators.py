"""The states of the global random generators: read, put back, and borrowed for a block."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor


def rng_states() -> list[Tensor]:
    """States of torch's global generators: the CPU's, then each CUDA device's. Nothing is read from a device."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() and torch.cuda.is_initialized() else ()
    return [torch.get_rng_state(), *(torch.cuda.get_rng_state(d) for d in devices)]


def set_rng_states(states: list[Tensor]) -> None:
    """Puts back what ``rng_states`` gave; states of devices that are not here are left out."""
    torch.set_rng_state(states[0])
    present = torch.cuda.device_count() if torch.cuda.is_available() else 0
    for device, state in enumerate(states[1 : 1 + present]):
        torch.cuda.set_rng_state(state, device)


@contextmanager
def rng_from(states: list[Tensor]) -> Iterator[None]:
    """Runs a block with torch's generators as in `states`; afterwards they are as they were before it."""
    before = rng_states()
    set_rng_states(states)
    try:
        yield
    finally:
        set_rng_states(before)


def all_rng_states() -> dict[str, Any]:
    """States of every global generator: python's, numpy's, torch's."""
    return {"python": random.getstate(), "numpy": np.random.get_state(), "torch": rng_states()}


def set_all_rng_states(states: dict[str, Any]) -> None:
    """Puts back what ``all_rng_states`` gave."""
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])
    set_rng_states(states["torch"])
