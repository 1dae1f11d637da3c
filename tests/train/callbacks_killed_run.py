"""Run as a script: trains undisturbed, then again and again killed by SIGKILL and resumed, and compares the weights.

Each run is a process of its own, forked before anything has started threads. Arguments: a folder, then ``NAME=TIMES`` for each kind of run. Prints a line for each run that was killed and resumed.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import random
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from callbacks_support import accuracy, small_learner, small_model, when
from torch import nn

from burnish.artifact import read
from burnish.data.notes import captured_notes
from burnish.train.callbacks import (
    EMA,
    BatchLimit,
    Checkpoint,
    CSVLog,
    EarlyStopping,
    GradientAccumulation,
    GradientClip,
    MixUp,
    ReduceLROnPlateau,
    SaveModel,
)
from burnish.train.learner import Learner


def draws(learn: Any) -> None:
    """A user's callback that uses every global generator."""
    learn.loss = learn.loss * (1 + 0.1 * random.random() + 0.1 * np.random.rand() + 0.1 * torch.rand(()))


def plain(path: Path) -> tuple[Any, list[Any]]:
    return small_learner(path), [Checkpoint(every_steps=1), when(after_loss=draws)]


def everything(path: Path) -> tuple[Any, list[Any]]:
    cbs = [
        MixUp(),
        EMA(0.9),
        GradientAccumulation(12),
        GradientClip(0.5),
        SaveModel("valid_loss"),
        EarlyStopping(patience=3),
        ReduceLROnPlateau(factor=2.0),
        CSVLog(),
        Checkpoint(every_steps=1, keep=2),
    ]
    return small_learner(path, data={"bs": 4}), cbs


def epochs_only(path: Path) -> tuple[Any, list[Any]]:
    return small_learner(path, opt_func=torch.optim.SGD), [Checkpoint(every_epochs=1), BatchLimit(3)]


def photos(path: Path) -> tuple[Any, list[Any]]:
    """Real files, the library's own loader with threads, random crops and augmentation on the batch."""
    from burnish.vision.augment import aug_transforms
    from burnish.vision.dataloaders import ImageDataLoaders
    from burnish.vision.sample import sample_photos
    from burnish.vision.transforms import RandomResizedCrop

    files = sorted(sample_photos().glob("*/*_0[1-6].jpg"))
    dls = ImageDataLoaders.from_path_func(
        sample_photos(), files, lambda f: f.parent.name, valid_pct=0.25, seed=5, bs=6, device="cpu", num_workers=2,
        item_tfms=RandomResizedCrop(24, min_scale=0.5), batch_tfms=aug_transforms(),
    )  # fmt: skip
    model = small_model()
    model[-1] = small_head(dls.c)
    learn = Learner(dls, model, metrics=[accuracy], seed=3, path=path, precision="fp32")
    return learn, [Checkpoint(every_steps=2), MixUp()]


def small_head(n: int) -> nn.Linear:
    with torch.random.fork_rng():
        torch.manual_seed(2)
        return nn.Linear(4, n)


RUNS: dict[str, Callable[[Path], Any]] = {f.__name__: f for f in (plain, everything, epochs_only, photos)}
EVENTS = {
    "after_step": 9,
    "before_batch": 12,
    "after_batch": 12,
    "after_loss": 12,
    "before_validate": 3,
    "after_epoch": 3,
    "before_epoch": 3,
}
IN_AN_EPOCH = ("after_step", "before_batch", "after_batch", "after_loss")


def train(make: Callable[[Path], Any], path: Path, event: str | None, count: int, resume: bool) -> None:
    learn, cbs = make(path)
    seen = [0]

    def kill(learn: Any) -> None:
        seen[0] += 1
        if seen[0] == count:
            os.kill(os.getpid(), signal.SIGKILL)

    killers = [when(order=float(count % 2 * 3000), **{event: kill})] if event else []  # before or after the checkpoint's own turn
    with captured_notes(), contextlib.redirect_stdout(io.StringIO()):
        learn.fit_one_cycle(3, 1e-2, cbs=[*cbs, *killers], resume=resume)
    learn.save("final", with_opt=True)


def in_a_process(action: Callable[[], None]) -> int:
    """The signal that ended it, or 0."""
    pid = os.fork()
    if pid == 0:
        try:
            action()
            os._exit(0)
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(1)
    status = os.waitpid(pid, 0)[1]
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise SystemExit("a run failed")
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def main(name: str, folder: Path, n_runs: int) -> None:
    make, rng = RUNS[name], random.Random(name)
    torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.1)  # makes torch import what every child would import again, and so do these:
    for module in ("burnish.train.results", "burnish.vision.dataloaders", "pandas", "safetensors.torch"):
        importlib.import_module(module)
    in_a_process(partial(train, make, folder / "whole", None, 0, False))
    for i in range(n_runs):
        events = [rng.choice(IN_AN_EPOCH) if i % 2 == 0 else rng.choice(list(EVENTS)), *rng.sample(list(EVENTS), rng.randint(0, 2))]
        kills = [(event, rng.randint(1, EVENTS[event] if j == 0 else 2)) for j, event in enumerate(events)]
        path = folder / f"run{i}"
        died = [in_a_process(partial(train, make, path, event, count, j > 0)) == signal.SIGKILL for j, (event, count) in enumerate(kills)]
        in_a_process(partial(train, make, path, None, 0, True))
        verdict = "same" if outcome(path) == outcome(folder / "whole") else "DIFFERENT"
        print(f"{name}: {verdict}, killed {sum(died)} of {len(kills)} times, at {kills}")


def outcome(path: Path) -> tuple[dict[str, bytes], list[list[str]]]:
    """All weights and moments at the end, bit for bit, and the rows of the log without their times."""
    tensors = read(path / "models/final.safetensors").tensors
    log = path / "history.csv"
    return {k: v.numpy().tobytes() for k, v in tensors.items()}, [
        line.split(",")[:-1] for line in log.read_text().split()
    ] if log.exists() else []


if __name__ == "__main__":
    for argument in sys.argv[2:]:
        run, _, times = argument.partition("=")
        main(run, Path(sys.argv[1]) / run, int(times))
