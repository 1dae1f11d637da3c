"""The states of random generators (the global ones, a loader's own): read, put back, and borrowed for a block."""

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


def loader_states(dl: Any) -> list[Tensor]:
    """States of the generators that a plain PyTorch loader and its samplers were given (``generator=``)."""
    return [generator.get_state() for generator in _of_loader(dl)]


def set_loader_states(dl: Any, states: list[Tensor]) -> None:
    """Puts back what ``loader_states`` gave."""
    for generator, state in zip(_of_loader(dl), states, strict=False):
        generator.set_state(state)


def _of_loader(dl: Any) -> list[torch.Generator]:
    loader = getattr(dl, "loader", None)
    batches = getattr(loader, "batch_sampler", None)
    owners = (loader, getattr(loader, "sampler", None), batches, getattr(batches, "sampler", None))
    return list(dict.fromkeys(g for owner in owners if isinstance(g := getattr(owner, "generator", None), torch.Generator)))
