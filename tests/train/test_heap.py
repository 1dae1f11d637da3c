"""Memory that a batch frees serves the next one, and goes back to the system after training."""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
import sys
from contextlib import nullcontext

import pytest
import torch
from torch import nn

from burnish.data.dataloaders import DataLoaders
from burnish.train.callback import Callback
from burnish.train.heap import reused_memory
from burnish.train.learner import Learner

CPU = torch.device("cpu")
MB = 2**20
FIELDS = ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")  # glibc's malloc.h
pytestmark = [
    pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="this tunes glibc's allocator"),
    pytest.mark.skipif(any(n.startswith("MALLOC_") for n in os.environ), reason="the environment tunes the allocator itself"),
]


class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in FIELDS]


def info() -> Info:
    mallinfo2 = ctypes.CDLL(None).mallinfo2
    mallinfo2.restype = Info
    return mallinfo2()


def borrows() -> bool:
    """Whether a tensor too large for any free place is a block that goes back to the system as soon as it is freed. It is never
    written to. (Where it isn't such a block, it may leave as large a free place behind: ask seldom, or the places double.)"""
    before = info()
    held = torch.empty(before.fordblks + 40 * MB, dtype=torch.uint8)  # glibc borrows blocks of 32 MB and more, whatever was freed before
    return info().hblkhd - before.hblkhd >= held.nbytes


def resident() -> int:
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_freed_memory_stays_inside_the_outermost_block_only():
    assert borrows()
    with reused_memory(CPU):
        assert not borrows()
        with reused_memory(CPU):
            assert not borrows()
        assert not borrows()
    assert borrows()


def test_it_goes_back_to_the_system_afterwards():
    before = resident()
    with reused_memory(CPU):
        torch.ones(128 * MB)
        assert resident() - before > 400 * MB  # still held, though nobody uses it
    assert resident() - before < 64 * MB


def test_also_when_the_block_ends_with_an_error():
    with pytest.raises(KeyboardInterrupt), reused_memory(CPU):
        raise KeyboardInterrupt
    assert borrows()


def test_other_devices_are_left_alone():
    with reused_memory(torch.device("meta")):
        assert borrows()


class Look(Callback):
    def __init__(self) -> None:
        self.seen: list[bool] = []

    def after_pred(self, learn: Learner) -> None:
        if not self.seen:
            self.seen.append(borrows())


@pytest.mark.parametrize("act", ["fit", "validate", "get_preds"])
def test_a_learner_trains_and_predicts_so(act, monkeypatch):
    data = [(torch.randn(4, 3), torch.randn(4, 1)) for _ in range(2)]

    def seen() -> set[bool]:
        look = Look()
        learn = Learner(DataLoaders(data, data, device="cpu"), nn.Linear(3, 1), loss_func=nn.MSELoss(), cbs=[look])
        getattr(learn, act)(*([1] if act == "fit" else []))
        return set(look.seen)

    assert seen() == {False}
    for module in ("learner", "predict"):
        monkeypatch.setattr(f"burnish.train.{module}.reused_memory", lambda device: nullcontext())
    assert seen() == {True}  # without it: the test can tell


def test_an_environment_that_tunes_the_allocator_has_its_way():
    code = "from burnish.train import heap; print(heap._glibc())"
    environment = {**os.environ, "MALLOC_ARENA_MAX": "2"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "None"
