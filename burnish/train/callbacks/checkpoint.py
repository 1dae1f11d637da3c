"""Checkpoints: all of a training run's state on disk, so that a killed run goes on as if nothing had happened."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from burnish.artifact import Artifact, read, write
from burnish.data.lock import FolderLock
from burnish.data.notes import captured_notes, note
from burnish.data.whole import checked_whole
from burnish.errors import ModelFileError, SettingError
from burnish.train.callback import Callback
from burnish.train.callbacks.generators import all_rng_states, loader_states, set_all_rng_states, set_loader_states
from burnish.train.callbacks.identity import (
    adopt_seed,
    check_same_callbacks,
    check_same_data,
    check_same_fit,
    check_same_model,
    describe_data,
)
from burnish.train.callbacks.pack import pack, unpack
from burnish.train.freezing import plain

if TYPE_CHECKING:
    from burnish.train.learner import Learner

KIND = "checkpoint"
ENDED = "-ended"  # in the name of the last file of a run that came to its end


class Checkpoint(Callback):
    """Writes model, optimizer, callbacks, random generators and position to disk, each time whole or not at all.

    ``learn.fit_one_cycle(10, cbs=Checkpoint(every_steps=100))``, killed at any moment (a power cut, SIGKILL), goes on with
    ``learn.fit_one_cycle(10, cbs=Checkpoint(every_steps=100), resume=True)`` in a new process that makes the same learner,
    and ends with the same weights as an undisturbed run (bit for bit on a CPU). The seeds are the killed run's, also where
    they were drawn; the call, the model, the data and its transforms must be the same, or resuming is refused. Without a
    checkpoint ``resume=True`` begins at the beginning. A new fit without ``resume`` sets the checkpoint of an unfinished run
    aside as ``previous.burnish``.

    The files hold no pickle. One is written when a fit begins, too. A folder belongs to one run at a time. With plain
    PyTorch loaders that shuffle, the pass in which the run was killed is read again up to its place; of their data only the
    numbers of rows and batches are compared; of transforms that are functions, the names.

    Args:
        every_steps: optimizer steps between two checkpoints inside an epoch; None writes none there.
        every_epochs: epochs between two checkpoints; None writes at epochs' ends only what `every_steps` asks for.
        path: the folder; ``learn.path / learn.model_dir / "checkpoint"`` by default.
        keep: newest files that stay.

    Raises:
        SettingError: a setting can't be; another run uses the folder; or (on resuming) the checkpoint doesn't fit the
            model, or the fit's arguments, its callbacks or the data are not those of the run that wrote it.
    """

    order: ClassVar[float] = 1000  # the last one in every event: it keeps what the others have made of it

    def __init__(self, every_steps: int | None = None, every_epochs: int | None = 1, path: str | Path | None = None, keep: int = 1) -> None:
        if every_steps is None and every_epochs is None:
            raise SettingError("Checkpoint(every_steps=None, every_epochs=None) would never write. Give one of them.")
        self.every_steps = None if every_steps is None else checked_whole("every_steps", every_steps, 1, ", or None for never")
        self.every_epochs = None if every_epochs is None else checked_whole("every_epochs", every_epochs, 1, ", or None for never")
        self.keep = checked_whole("keep", keep, 1)
        self.path = None if path is None else Path(path)
        self.folder = Path()
        self._lock: FolderLock | None = None
        self._data: dict[str, Any] = {}  # what the run is trained on
        self._mine: list[Path] = []  # what this callback has written, oldest first
        self._step_written = 0
        self._due = False
        self._pass_began: dict[str, Any] = {}
        self._resumed: dict[str, Any] | None = None  # the checkpoint, until the first pass after it

    # -- events -----------------------------------------------------------------------------------------------------
    def before_fit(self, learn: Learner) -> None:
        self.folder = self._folder_of(learn)
        self._due, self._resumed, self._step_written = False, None, 0
        self._lock = FolderLock(self.folder)
        if not self._lock.acquire():
            raise SettingError(
                f"Another process is training with its checkpoints in {str(self.folder)!r}, or another Checkpoint of this one is; they would take each other's place. Give this run a folder of its own: Checkpoint(path=...)."
            )
        self._data = describe_data(learn.dls)
        newest = self._newest() if learn.resume else None
        if newest is None:
            self._set_aside(learn.resume)
            self._write(learn, epoch=learn.start_epoch, batch=0)
        else:
            self._resumed = _state_of(newest[1])
            self._restore(learn, self._resumed)
            self._mine = [path for path in self._files() if path.name <= newest[0].name]

    def before_train(self, learn: Learner) -> None:
        resumed, self._resumed = self._resumed, None
        if resumed is None or not learn.start_batch:
            self._pass_began = {"rng": all_rng_states(), "loader": loader_states(learn.dls.train), "number": learn.n_passes - 1}
            return
        self._pass_began = resumed["pass_began"]
        self._load_callbacks(learn, resumed)  # once more: the events of the epoch's beginning have reset some
        set_all_rng_states(self._pass_began["rng"])  # a plain PyTorch loader draws its order from here
        set_loader_states(learn.dls.train, self._pass_began["loader"])
        learn.batches = learn.dls.train.iter_from(resumed["place"])
        set_all_rng_states(resumed["rng"])  # only now: it has read again what the run had read by then

    def after_batch(self, learn: Learner) -> None:
        if not learn.training or self.every_steps is None or learn.step == self._step_written or learn.step % self.every_steps:
            return
        self._step_written = learn.step
        if learn.batch_index + 1 < learn.n_batches:
            self._write(learn, learn.epoch, learn.batch_index + 1)
        else:
            self._due = True  # at the epoch's end, with its results

    def after_epoch(self, learn: Learner) -> None:
        if self._due or (self.every_epochs is not None and (learn.epoch + 1) % self.every_epochs == 0):
            self._due = False
            self._write(learn, learn.epoch + 1, 0)

    def after_fit(self, learn: Learner) -> None:
        self._resumed, self._pass_began = None, {}
        try:
            if learn.exception is None:
                self._mark_ended()
        finally:
            if self._lock is not None:
                self._lock.release()

    # -- writing ----------------------------------------------------------------------------------------------------
    def _write(self, learn: Learner, epoch: int, batch: int) -> None:
        tensors: dict[str, Tensor] = {}
        state = pack(self._state(learn, epoch, batch), tensors)
        path = self.folder / f"checkpoint-{self._next_number():08d}.burnish"
        write(path, {"kind": KIND, "phase": learn.phase, "state": state}, tensors)
        self._mine.append(path)
        self._prune()

    def _state(self, learn: Learner, epoch: int, batch: int) -> dict[str, Any]:
        return {
            "position": {"epoch": epoch, "batch": batch, "step": learn.step},
            "place": getattr(learn.dls.train, "next_place", batch) if batch else 0,
            "n_fits": learn.n_fits,
            "fit": dict(getattr(learn, "fit_args", None) or {}),
            "seed": learn.seed,
            "data": self._data,
            "model": dict(plain(learn.model).state_dict()),
            "opt": learn.opt.state_dict(),
            "precision": _precision_state(learn),
            "callbacks": [[cb.name, cb.state_dict()] for cb in callbacks_with_state(learn)],
            "rng": all_rng_states(),
            "loader": loader_states(learn.dls.train),
            "pass_began": self._pass_began if batch else {"number": learn.n_passes},
        }

    def _next_number(self) -> int:
        return 1 + max((int(p.stem.split("-")[1]) for p in self._files()), default=0)

    def _folder_of(self, learn: Learner) -> Path:
        return self.path or Path(learn.path) / learn.model_dir / "checkpoint"

    def _files(self) -> list[Path]:
        """The checkpoints in the folder, oldest first."""
        return sorted(p for p in self.folder.glob("checkpoint-*.burnish") if p.stem.removesuffix(ENDED).partition("-")[2].isdigit())

    def _prune(self) -> None:
        self._mine = self._mine[-self.keep :]
        leftovers = self.folder.glob(".checkpoint-*.part")  # of a process that was killed while it wrote
        for path in {*self._files(), *leftovers} - set(self._mine):
            path.unlink(missing_ok=True)

    def _mark_ended(self) -> None:
        """Tells the fits that follow, by the newest file's name, that there is nothing to set aside."""
        last = self._mine[-1]
        if last.exists() and not last.stem.endswith(ENDED):
            self._mine[-1] = last.rename(last.with_stem(last.stem + ENDED))

    def _set_aside(self, resume: bool) -> None:
        """Keeps the newest checkpoint of an unfinished run out of the way of this one."""
        files = self._files()
        if not files or files[-1].stem.endswith(ENDED):
            return
        self._mine, aside = [], self.folder / "previous.burnish"
        os.replace(files[-1], aside)
        why = "that can't be read" if resume else "of an unfinished run (which resume=True would have continued)"
        note(f"Checkpoint: a new fit begins; the checkpoint {why} is now {str(aside)!r}.")

    # -- resuming ---------------------------------------------------------------------------------------------------
    def saved_phase(self, learn: Learner) -> str | None:
        """The phase of fine_tune that the newest checkpoint is of; None when there is none."""
        self.folder = self._folder_of(learn)
        with captured_notes():  # the fit says them
            newest = self._newest()
        return None if newest is None else newest[1].config["phase"]

    def _newest(self) -> tuple[Path, Artifact] | None:
        """The newest checkpoint that can be read; None (said) when there is none."""
        files = self._files()
        for path in reversed(files):
            try:
                return path, _opened(path)
            except ModelFileError as error:
                note(f"Checkpoint: passed over a file that can't be read: {error}")
        which = "that can be read " if files else ""
        note(f"Checkpoint: resume=True, but there is no checkpoint {which}in {str(self.folder)!r}, so training begins at the beginning.")
        return None

    def _restore(self, learn: Learner, saved: dict[str, Any]) -> None:
        check_same_fit(saved["fit"], getattr(learn, "fit_args", None) or {}, self.folder)
        check_same_model(plain(learn.model).state_dict(), saved["model"], self.folder)
        check_same_data(self._data, saved["data"], self.folder)
        check_same_callbacks(
            [name for name, state in saved["callbacks"] if state], [cb.name for cb in callbacks_with_state(learn)], self.folder
        )
        check_same_groups(learn.opt, saved["opt"])
        self._adopt_seeds(learn, saved)
        plain(learn.model).load_state_dict(saved["model"])
        load_optimizer(learn.opt, saved["opt"])
        if saved["precision"]:
            learn.precision.load_state_dict(saved["precision"])
        self._load_callbacks(learn, saved)
        position = saved["position"]
        learn.start_epoch, learn.start_batch, learn.step = position["epoch"], position["batch"], position["step"]
        self._step_written = learn.step
        learn.n_fits, learn.n_passes = saved["n_fits"], saved["pass_began"]["number"]
        set_all_rng_states(saved["rng"])
        set_loader_states(learn.dls.train, saved["loader"])
        note(f"Checkpoint: going on at epoch {position['epoch']}, batch {position['batch']}.")

    def _adopt_seeds(self, learn: Learner, saved: dict[str, Any]) -> None:
        """Goes on with the seeds of the run, which the process that was killed may have drawn."""
        learn.seed = saved["seed"]
        adopt_seed(learn.dls, saved["data"]["seed"])
        self._data = saved["data"]

    def _load_callbacks(self, learn: Learner, saved: dict[str, Any]) -> None:
        waiting = list(saved["callbacks"])
        for cb in callbacks_with_state(learn):
            match = next((entry for entry in waiting if entry[0] == cb.name), None)
            if match is not None:
                waiting.remove(match)
                cb.load_state_dict(match[1])


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """What a checkpoint file holds, as plain values and CPU tensors: position, fit, model, opt, callbacks, rng, ...

    Raises:
        ModelFileError: it is no checkpoint, or damaged.
    """
    return _state_of(_opened(path))


def _opened(path: str | Path) -> Artifact:
    stored = read(path)
    if stored.config.get("kind") != KIND:
        raise ModelFileError(f"{str(path)!r} is a burnish file, but no checkpoint of training. load_learner opens exported models.")
    return stored


def _state_of(stored: Artifact) -> dict[str, Any]:
    return unpack(stored.config["state"], stored.tensors)


def callbacks_with_state(learn: Learner) -> list[Callback]:
    """The learner's callbacks (the recorder among them), without the checkpoints, in order."""
    cbs = list(learn.cbs)
    recorder = getattr(learn, "recorder", None)
    if isinstance(recorder, Callback) and recorder not in cbs:
        cbs.append(recorder)
    return [cb for cb in cbs if not isinstance(cb, Checkpoint)]


def check_same_groups(opt: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Raises SettingError if an optimizer's stored state is of another number of parameter groups."""
    if len(opt.param_groups) != len(state["param_groups"]):
        raise SettingError(
            f"The stored optimizer has {len(state['param_groups'])} parameter groups, this one {len(opt.param_groups)}. Freeze and split the model as the run did that wrote it."
        )


def load_optimizer(opt: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """``opt.load_state_dict`` that keeps the group dicts the same objects (a schedule may hold them), and the memory layout
    of each parameter for its moments (fused steps walk through both alike; files store everything contiguous)."""
    check_same_groups(opt, state)
    groups = opt.param_groups
    opt.load_state_dict(state)
    for mine, loaded in zip(groups, opt.param_groups, strict=True):
        mine.clear()
        mine.update(loaded)
    opt.param_groups = groups
    for parameter, moments in opt.state.items():
        for name, value in moments.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape and value.stride() != parameter.stride():
                moments[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value).detach()


def _precision_state(learn: Learner) -> dict[str, object]:
    get = getattr(getattr(learn, "precision", None), "state_dict", None)
    return get() if get is not None else {}


__all__ = ["Checkpoint", "callbacks_with_state", "load_optimizer", "read_checkpoint"]
