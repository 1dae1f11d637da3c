"""Run as a script: trains undisturbed, then again and again killed by SIGKILL and resumed, and compares the weights.

Each run is a process of its own, forked before anything has started threads. Prints a line for each kill.
"""

from __future__ import annotations

import contextlib
import io
import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from callbacks_support import small_learner, when

from burnish.artifact import read
from burnish.data.notes import captured_notes
from burnish.train.callbacks import EMA, BatchLimit, Checkpoint, CSVLog, EarlyStopping, GradientAccumulation, GradientClip, MixUp, ReduceLROnPlateau, SaveModel


def draws(learn: Any) -> None:
    """A user's callback that uses every global generator."""
    learn.loss = learn.loss * (1 + 0.1 * random.random() + 0.1 * np.random.rand() + 0.1 * torch.rand(()))


def plain(path: Path) -> tuple[Any, list[Any], dict[str, Any]]:
    return small_learner(path), [Checkpoint(every_steps=1), when(after_loss=draws)], {}


def everything(path: Path) -> tuple[Any, list[Any], dict[str, Any]]:
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
    return small_learner(path, data={"bs": 4}), cbs, {"csv": True}


def epochs_only(path: Path) -> tuple[Any, list[Any], dict[str, Any]]:
    return small_learner(path, opt_func=torch.optim.SGD), [Checkpoint(every_epochs=1), BatchLimit(3)], {}


def photos(path: Path) -> tuple[Any, list[Any], dict[str, Any]]:
    """Real files, the library's own loader with threads, random crops and augmentation on the batch."""
    from callbacks_photos import photo_learner

    return photo_learner(path), [Checkpoint(every_steps=2), MixUp()], {}


RUNS: dict[str, Callable[[Path], Any]] = {f.__name__: f for f in (plain, everything, epochs_only, photos)}
EVENTS = {"after_step": 9, "before_batch": 12, "after_batch": 12, "after_loss": 12, "before_validate": 3, "after_epoch": 3, "before_epoch": 3}


def train(make: Callable[[Path], Any], path: Path, event: str | None, count: int, resume: bool) -> None:
    learn, cbs, _ = make(path)
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


def main(name: str, folder: Path, n_kills: int) -> None:
    make, rng = RUNS[name], random.Random(name)
    torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.1)  # makes torch import what every child would import again
    in_a_process(lambda: train(make, folder / "whole", None, 0, False))
    whole = read(folder / "whole/models/final.safetensors").tensors
    for i in range(n_kills):
        path = folder / f"run{i}"
        events = rng.sample(list(EVENTS), rng.randint(1, 3))
        kills = [(event, rng.randint(1, EVENTS[event] if j == 0 else 2)) for j, event in enumerate(events)]
        died = 0
        for j, (event, count) in enumerate(kills):
            died += in_a_process(lambda event=event, count=count, j=j: train(make, path, event, count, j > 0)) == signal.SIGKILL
        in_a_process(lambda: train(make, path, None, 0, True))
        got = read(path / "models/final.safetensors").tensors
        same = got.keys() == whole.keys() and all(torch.equal(got[k], whole[k]) for k in whole)
        csv = [(p / "history.csv").exists() and [r.split(",")[:-1] for r in (p / "history.csv").read_text().split()] for p in (folder / "whole", path)]
        print(f"{'same' if same and csv[0] == csv[1] else 'DIFFERENT'} killed {died} of {len(kills)}: {kills} {len(whole)} tensors")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
