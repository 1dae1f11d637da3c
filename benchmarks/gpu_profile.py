"""A training step on a GPU under PyTorch's profiler: ``python benchmarks/gpu_profile.py [--trace FILE]``.

Trains resnet50 from large JPEGs with the cache and prints, for some steps in the middle of a later epoch, how long a step takes,
how long the device is at work in it, which kernels take the time and every call in which the host waits for the device. (The
profiler itself waits once when it begins and when it ends.)
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

import pandas as pd
import prepare
from sides import ours

WAITS = ("cudaDeviceSynchronize", "cudaStreamSynchronize", "cudaEventSynchronize", "cudaMemcpy")


def profiled(learn: Any, first: int, steps: int) -> tuple[Any, float]:
    """The profile of `steps` steps of an epoch from number `first` on, and the seconds they took."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    from burnish.vision.all import Callback

    prof = profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA])
    times: list[float] = []

    class Profile(Callback):
        order = -99

        def before_batch(self, learn: Any) -> None:
            if learn.training and learn.batch_index in (first, first + steps):
                torch.accelerator.synchronize()
                if not times:
                    prof.start()
                times.append(perf_counter())
                if len(times) == 2:
                    prof.stop()

    learn.fit(1, 1e-5, cbs=Profile())
    return prof, times[1] - times[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=2048)
    parser.add_argument("--bs", type=int, default=64)
    parser.add_argument("--trace", type=Path, help="also write a trace for a viewer (Perfetto, chrome://tracing)")
    args = parser.parse_args()
    import torch
    from torch.autograd import DeviceType

    if not torch.accelerator.is_available():
        sys.exit("This profile needs a GPU, and torch finds none here; burnish doctor says why.")
    dls = ours.loaders(pd.read_csv(prepare.large_jpegs(args.images)), 224, args.bs, 1, augment=True, cache=True)
    learn = ours.image_learner(dls, "resnet50", None, 1)
    ours.whole_pictures(learn)
    learn.fit(2, 1e-5)
    batches = len(dls.train)
    first, steps = batches // 4, batches // 2
    prof, seconds = profiled(learn, first, steps)
    events = prof.key_averages()
    kernels = [e for e in events if e.device_type == DeviceType.CUDA and not e.is_user_annotation]  # an operation counts its kernels too
    busy = sum(e.self_device_time_total for e in kernels) / 1e3
    print(f"{steps} steps of {args.bs} images: {seconds / steps * 1e3:.1f} ms a step, the device at work for {busy / steps:.1f} ms of it")
    print("host waits for the device:", {e.key: e.count for e in events if e.key in WAITS} or "none")
    print(events.table(sort_by="self_cuda_time_total", row_limit=12, max_name_column_width=60))
    print(events.table(sort_by="self_cpu_time_total", row_limit=12, max_name_column_width=60))
    if args.trace:
        prof.export_chrome_trace(str(args.trace))


if __name__ == "__main__":
    main()
