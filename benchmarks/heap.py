"""What keeping freed memory is worth in training on a CPU (burnish/train/heap.py): seconds a step and peak memory, with and without.

    python benchmarks/heap.py [--arch mobilenetv2_100] [--bs 64] [--size 224] [--pairs 5]

Plain steps (forward, backward, AdamW) on one random batch, in fresh processes that take turns.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
from contextlib import nullcontext
from statistics import median
from time import perf_counter

import timm
import torch

from burnish.train.heap import reused_memory


def step_figures(kept: bool, arch: str, bs: int, size: int, steps: int = 3) -> tuple[float, float]:
    """(seconds a step, peak resident memory in MB) of `steps` steps after a first one."""
    device = torch.device("cpu")
    model = timm.create_model(arch).to(memory_format=torch.channels_last)
    opt = torch.optim.AdamW(model.parameters(), fused=True)
    x, y = torch.randn(bs, 3, size, size).to(memory_format=torch.channels_last), torch.randint(0, 1000, (bs,))

    def step() -> None:
        torch.nn.functional.cross_entropy(model(x), y).backward()
        opt.step()
        opt.zero_grad()

    with reused_memory(device) if kept else nullcontext():
        step()
        start = perf_counter()
        for _ in range(steps):
            step()
        return (perf_counter() - start) / steps, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", default="mobilenetv2_100")
    parser.add_argument("--bs", type=int, default=64)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--only", choices=["kept", "given back"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only:
        print(*step_figures(args.only == "kept", args.arch, args.bs, args.size))
        return
    figures: dict[str, list[list[float]]] = {"given back": [], "kept": []}
    for _ in range(args.pairs):
        for name, found in figures.items():
            done = subprocess.run([sys.executable, __file__, *sys.argv[1:], "--only", name], capture_output=True, text=True, check=True)
            found.append([float(v) for v in done.stdout.split()])
    for name, found in figures.items():
        seconds, peak = (median(column) for column in zip(*found, strict=True))
        print(f"freed memory {name:<10}  {seconds:.2f} s a step, peak {peak:,.0f} MB (medians of {args.pairs})")


if __name__ == "__main__":
    main()
