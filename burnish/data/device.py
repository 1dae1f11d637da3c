"""Devices: whether one that was asked for is there, and sending to it."""

from __future__ import annotations

import torch
from torch import Tensor

from burnish.errors import SettingError

ALWAYS = ("cpu", "meta")


def usable_device(device: torch.device | str | int) -> torch.device:
    """`device` as torch knows it.

    Raises:
        SettingError: it is no device's name, or this machine (or this build of torch) has no such device; the message says
            which there are.
    """
    try:
        wanted = torch.device(device)
    except (RuntimeError, TypeError):
        raise SettingError(f"device={device!r} is no device's name. {_there()}") from None
    if wanted.type not in ALWAYS and (wanted.index or 0) >= _count(wanted.type):
        raise SettingError(f"device={str(device)!r}: torch {torch.__version__} finds no such device. {_there()}")
    return wanted


def devices_here() -> list[str]:
    """What `device` may be on this machine: "cpu", and the accelerator with the number of each."""
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    if accelerator is None:
        return ["cpu"]
    n = _count(accelerator.type)
    return ["cpu", accelerator.type, *(f"{accelerator.type}:{i}" for i in range(n) if n > 1)]


def to_device(x: Tensor, device: torch.device) -> Tensor:
    """`x` on `device`, without waiting for it."""
    if device.type == "cpu":
        return x
    return (x.pin_memory() if device.type == "cuda" else x).to(device, non_blocking=True)


def _there() -> str:
    return f"Here it may be one of: {', '.join(devices_here())}. 'burnish doctor' looks at the device."


def _count(kind: str) -> int:
    """How many devices of a kind there are."""
    try:
        module = torch.get_device_module(kind)
        return int(module.device_count()) if module.is_available() else 0
    except (RuntimeError, AttributeError):
        return 0
