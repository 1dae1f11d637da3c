"""fastai.test_utils: a small problem to try things on, and what is installed here."""

from __future__ import annotations

import importlib
import subprocess
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from burnish.compat.callback import EVENTS, Callback
from burnish.compat.learner import Learner
from burnish.compat.more_optimizers import SGD
from burnish.data.dataloaders import DataLoaders

__all__ = [
    "RegModel",
    "VerboseCallback",
    "get_env",
    "nvidia_mem",
    "nvidia_smi",
    "show_install",
    "synth_dbunch",
    "synth_learner",
    "try_import",
]


def synth_dbunch(a: float = 2, b: float = 3, bs: int = 16, n_train: int = 10, n_valid: int = 2, cuda: bool = False) -> DataLoaders:
    """Points of the line ``a * x + b``, with a little noise, in `n_train` and `n_valid` batches of `bs`."""

    def data(n: int) -> TensorDataset:
        x = torch.randn(bs * n, 1)
        return TensorDataset(x, a * x + b + 0.1 * torch.randn(bs * n, 1))

    device = "cuda" if cuda else "cpu"
    return DataLoaders(DataLoader(data(n_train), bs, shuffle=True), DataLoader(data(n_valid), bs), device=device)


class RegModel(nn.Module):
    """``a * x + b``, with both to be found."""

    def __init__(self, a: Tensor | None = None, b: Tensor | None = None) -> None:
        super().__init__()
        self.a, self.b = (nn.Parameter(torch.randn(1) if v is None else v) for v in (a, b))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.a + self.b


def synth_learner(
    n_trn: int = 10, n_val: int = 2, cuda: bool = False, tfms: Any = None, data: Any = None, opt_func: Any = SGD, lr: float = 1e-3, loss_func: Any = None, model: Any = None,
    cbs: Any = None, metrics: Any = None, path: Any = None, model_dir: Any = "models", wd: float | None = None, moms: Any = (0.95, 0.85, 0.95), seed: int | None = None,
) -> Learner:  # fmt: skip
    """A learner of `RegModel` on `synth_dbunch`. `tfms` has no effect."""
    _ = tfms
    opt = (lambda params, lr: SGD(params, lr, mom=0.9)) if opt_func is SGD else opt_func
    return Learner(
        synth_dbunch(n_train=n_trn, n_valid=n_val, cuda=cuda) if data is None else data, RegModel() if model is None else model, nn.MSELoss() if loss_func is None else loss_func,
        opt, lr, cbs=cbs, metrics=metrics, path=path, model_dir=model_dir, wd=wd, moms=moms, seed=seed,
    )  # fmt: skip


def _printing(name: str) -> Any:
    def event(self: Any) -> None:
        print(name)

    event.__name__ = name
    return event


VerboseCallback = type(
    "VerboseCallback", (Callback,), {"__doc__": "Prints the name of every event.", **{name: _printing(name) for name in EVENTS}}
)


def get_env(name: str) -> str:
    """An environment variable, or what says that there is none."""
    import os

    return str(os.environ.get(name, "")) or f"{name} not set"


def try_import(module: str) -> Any:
    """A module, or None where it can't be imported."""
    try:
        return importlib.import_module(module)
    except ImportError:
        return None


def nvidia_smi(cmd: str = "nvidia-smi") -> str | None:
    """What nvidia-smi prints; None where there is none."""
    try:
        return subprocess.run([cmd], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None


def nvidia_mem() -> list[str] | None:
    """The memory of each GPU, as nvidia-smi says it; None where there is none."""
    try:
        said = subprocess.run(
            ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,nounits,noheader"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return said.stdout.strip().split("\n")


def show_install(show_nvidia_smi: bool = False) -> None:
    """Prints what is installed and where: ``burnish doctor`` tells more."""
    import platform

    from burnish import __version__

    rows = {
        "burnish": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cuda": str(torch.cuda.is_available()),
    }
    print("\n".join(f"{name:10}: {value}" for name, value in rows.items()))
    if show_nvidia_smi:
        print(nvidia_smi())
