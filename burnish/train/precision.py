"""Number formats of training: which one is fast here, and what each of them needs (autocast, loss scaling)."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from burnish.data.notes import note
from burnish.errors import SettingError

SETTINGS = ("auto", "fp32", "bf16", "fp16")
_WORDS = {"fp32": "fp32", "bf16": "bf16 mixed precision", "fp16": "fp16 mixed precision with loss scaling"}


class Precision:
    """Mixed precision for one device: the forward pass and the loss in a short format where that is native and fast,
    weights and optimizer in fp32 (Micikevicius et al. 2018, arXiv:1710.03740).

    Args:
        setting: "fp32", "bf16", "fp16" (with dynamic loss scaling), or "auto": on CUDA bf16 from compute capability 8
            on and fp16 before it, on a CPU bf16 only with native bf16 instructions, fp32 anywhere else.
        device: where the model runs.

    Raises:
        SettingError: an unknown setting. One that is slow on the device is obeyed, and said.

    Example:
        >>> precision = Precision("fp32", "cpu")
        >>> precision.describe()
        'fp32 on cpu'
    """

    def __init__(self, setting: str = "auto", device: torch.device | str = "cpu") -> None:
        if setting not in SETTINGS:
            raise SettingError(f"precision={setting!r}: expected one of {', '.join(map(repr, SETTINGS))}.")
        self.setting, self.device = setting, torch.device(device)
        self.format = choose_format(self.device) if setting == "auto" else setting
        _warn_if_slow(self.format, self.device)
        self._scaler = torch.amp.GradScaler(self.device.type) if self.format == "fp16" else None
        self._unscaled = False

    @property
    def dtype(self) -> torch.dtype:
        """The dtype that the fast operations compute in."""
        return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[self.format]

    def autocast(self) -> AbstractContextManager[object]:
        """The context to run the model and the loss in; nothing for fp32."""
        return nullcontext() if self.format == "fp32" else torch.autocast(self.device.type, dtype=self.dtype)

    def scale(self, loss: Tensor) -> Tensor:
        """The loss to call ``backward`` on."""
        if self._scaler is None:
            return loss
        if self._unscaled:  # a step was left out after its gradients had been unscaled: the next ones are scaled again
            self._end_step()
        return self._scaler.scale(loss)

    def unscale(self, opt: torch.optim.Optimizer) -> None:
        """Brings the gradients back to their own size, before anything looks at them (clipping). Once a step, however
        often it is called."""
        if self._scaler is not None and not self._unscaled:
            self._scaler.unscale_(opt)
            self._unscaled = True

    def step(self, opt: torch.optim.Optimizer) -> None:
        """The optimizer's step; with fp16 left out when a gradient overflowed, and the scale adapted."""
        if self._scaler is None:
            opt.step()
            return
        self._scaler.step(opt)
        self._end_step()

    def _end_step(self) -> None:
        assert self._scaler is not None
        self._scaler.update()
        self._unscaled = False

    def describe(self) -> str:
        """One line: format and device."""
        return f"{_WORDS[self.format]} on {self.device}"

    def __repr__(self) -> str:
        return f"Precision({self.setting!r}: {self.describe()})"

    def state_dict(self) -> dict[str, object]:
        """What a checkpoint must keep: the loss scale."""
        return {} if self._scaler is None else dict(self._scaler.state_dict())

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Takes back what ``state_dict`` gave; a state of another format is left aside."""
        if self._scaler is not None and state:
            self._scaler.load_state_dict(state)


def choose_format(device: torch.device) -> str:
    """The format that is native and fast on `device`: what ``precision="auto"`` means there."""
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device)[0] >= 8 else "fp16"
    if device.type == "cpu":
        return "bf16" if cpu_has_bf16() else "fp32"
    return "fp32"  # mps: its fp16 autocast lacks many operations and gains little; it stays a choice of the user


@lru_cache(maxsize=1)
def cpu_has_bf16() -> bool:
    """Does this CPU multiply bf16 natively (AMX, AVX512-BF16, ARM bf16)? Emulated bf16 is slower than fp32."""
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    names = ("amx_bf16", "avx512_bf16", "arm_bf16", "bf16")
    if any(name in capabilities for name in names):
        return any(bool(capabilities.get(name)) for name in names)
    return bool({"amx_bf16", "avx512_bf16", "bf16"} & _cpu_flags())


def _cpu_flags() -> set[str]:
    """Instruction sets as Linux names them, for a torch that doesn't tell."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return set()
    lines = (line.partition(":") for line in text.splitlines())
    return {flag for key, _, flags in lines if key.strip() in ("flags", "Features") for flag in flags.split()}


def _warn_if_slow(chosen: str, device: torch.device) -> None:
    if device.type == "cpu" and (chosen == "fp16" or (chosen == "bf16" and not cpu_has_bf16())):
        note(f"precision={chosen!r} is emulated on this CPU: it works, but slower than fp32. precision='auto' takes what is fast.")


def use_usual_layout(model: nn.Module) -> bool:
    """From here on `model` and what it is given have PyTorch's usual memory layout: for a ``forward`` that calls ``x.view(...)`` on feature maps, which
    channels-last ones don't allow. Says so. False where they have it already."""
    if _contiguous in model._forward_pre_hooks.values():
        return False
    model.to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue]
    torch.clear_autocast_cache()  # of weights in half precision, which it keeps in the layout they had
    model.register_forward_pre_hook(_contiguous)
    note(
        "The model calls x.view(...), which needs PyTorch's usual memory layout: it has it from here on. x.flatten(1) or x.reshape(...) takes the quicker layout too."
    )
    return True


def _contiguous(model: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(x.contiguous() if isinstance(x, Tensor) else x for x in given)


def to_channels_last(model: nn.Module) -> nn.Module:
    """Lays the weights of 2-D convolutions out channels-last, in place (the fast layout on GPUs and CPUs); a model without
    any stays as it is. Parameters stay the same objects, so an optimizer made before goes on working."""
    if any(isinstance(m, (nn.Conv2d, nn.ConvTranspose2d)) for m in model.modules()):
        model.to(memory_format=torch.channels_last)
    return model
