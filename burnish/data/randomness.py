"""Randomness that one seed fixes and nobody else feels.

Every draw in the library comes from a generator made for one purpose: ``derive(seed, "split")``, an item's
``item_rng(seed, epoch, row)``, a batch's generator. The user's global generators (random, numpy, torch) are never
reseeded: code that can only draw from the globals (dropout, weight initialisation) runs inside ``own_globals``, which
puts the user's state back.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode


def derive(seed: int, *keys: object) -> int:
    """A seed (0 to 2**63-1) for the purpose named by `keys`, the same on every machine and in every process.

    >>> derive(42, "split") == derive(42, "split") != derive(42, "order")
    True
    """
    text = "/".join([str(int(seed)), *map(str, keys)]).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1


def fresh_seed() -> int:
    """A seed nobody chose, from the operating system; the library keeps and reports it, so a run can be repeated."""
    return random.SystemRandom().randrange(2**31)


def item_rng(seed: int, epoch: int, row: int, occurrence: int = 0) -> random.Random:
    """The generator of one sample in one epoch: independent of workers and of the order of loading. `occurrence` is how
    often the row came before in this epoch (sampling with replacement)."""
    return random.Random((seed * 1_000_003 + epoch) * 4_294_967_311 + row + (occurrence << 128))


def torch_rng(seed: int, *keys: object) -> torch.Generator:
    """A CPU ``torch.Generator`` for the purpose named by `keys`. Draws are made on the CPU and sent to the device, so
    they are the same on every device and never read back."""
    return torch.Generator().manual_seed(derive(seed, *keys))


@contextmanager
def own_globals(seed: int | None) -> Iterator[None]:
    """Runs the block with the global generators (random, numpy, torch and its devices) seeded, then restores the
    user's. With ``seed=None`` nothing happens.

    They belong to the whole process: only the thread that trains or evaluates may borrow them, never one that reads ahead,
    beside which the model draws its dropout."""
    if seed is None:
        yield
        return
    python, legacy = random.getstate(), np.random.get_state()
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() and torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        reseed_globals(seed)
        if not torch.cuda.is_initialized() and torch.accelerator.is_available():
            torch.manual_seed(seed)  # a device that starts later, or isn't CUDA; it takes a millisecond
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(legacy)


def reseed_globals(seed: int) -> None:
    """Seeds the global generators anew, inside ``own_globals`` only: for each sample of a batch, which borrows them once."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)


_FACTORIES = {torch.rand, torch.randn, torch.randint, torch.randperm, torch.normal, torch.bernoulli, torch.multinomial}
DRAWING_METHODS = (
    "uniform_",
    "normal_",
    "random_",
    "bernoulli_",
    "exponential_",
    "geometric_",
    "cauchy_",
    "log_normal_",
    "bernoulli",
    "multinomial",
)
_METHODS = {getattr(torch.Tensor, name) for name in DRAWING_METHODS}
_ALIKE = {torch.randn_like: torch.randn, torch.rand_like: torch.rand}  # take no generator themselves
_RANDOM_CALLS = _FACTORIES | _METHODS


class OwnDraws(TorchFunctionMode):
    """Inside this context torch's random functions draw from `generator` instead of the global one, in this thread only.

    It lets transforms written for the global generator (torchvision's) run in parallel threads, reproducibly.
    """

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self.generator = generator

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in _ALIKE and self._on_cpu(args, {}):
            return _ALIKE[func](args[0].shape, dtype=args[0].dtype, generator=self.generator)
        if func is torch._sample_dirichlet and self._on_cpu(args, {}):
            return func(*args, generator=self.generator)
        if func in _RANDOM_CALLS and kwargs.get("generator") is None and self._on_cpu(args, kwargs):
            kwargs = {**kwargs, "generator": self.generator}
        return func(*args, **kwargs)

    @staticmethod
    def _on_cpu(args: Any, kwargs: Any) -> bool:
        tensors = [a for a in args if isinstance(a, torch.Tensor)]
        device = tensors[0].device if tensors else torch.device(kwargs.get("device") or "cpu")
        return device.type == "cpu"
