"""Batch limits, the end at a nan loss, and the CSV log."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from callbacks_support import small_learner, weights, when
from torch import nn

from burnish.data.notes import captured_notes
from burnish.errors import SettingError
from burnish.train.callback import Callback
from burnish.train.callbacks import BatchLimit, CSVLog, CSVLogger, ShortEpochCallback, TerminateOnNaN
from burnish.train.callbacks.limits import batches_within


def counted(tmp_path: Path, cb: Callback) -> tuple[int, int, list[float]]:
    """Batches of an epoch's two passes under `cb`, and the progress at the training batches (of 4 and 2 batches)."""
    seen: list[bool] = []
    progress: list[float] = []
    watch = when(after_pred=lambda learn: seen.append(learn.training), after_step=lambda learn: progress.append(learn.progress))
    learn = small_learner(tmp_path)
    learn.fit(1, 1e-2, cbs=[cb, watch])
    assert math.isfinite(learn.recorder.latest["train_loss"]) and math.isfinite(learn.recorder.latest["valid_loss"])
    return sum(seen), len(seen) - sum(seen), progress


@pytest.mark.parametrize(
    ("cb", "train", "valid"),
    [
        (BatchLimit(2, 1), 2, 1),
        (BatchLimit(3), 3, 2),
        (BatchLimit(0.5, 0.5), 2, 1),
        (BatchLimit(None, 1), 4, 1),
        (BatchLimit(100, 100), 4, 2),
        (ShortEpochCallback(0.25), 1, 1),
        (ShortEpochCallback(0.25, short_valid=False), 1, 2),
    ],
    ids=repr,
)
def test_passes_end_at_the_limit_with_a_full_row(cb: Callback, train: int, valid: int, tmp_path: Path) -> None:
    n_train, n_valid, progress = counted(tmp_path, cb)
    assert (n_train, n_valid) == (train, valid)
    assert progress == pytest.approx([i / train for i in range(train)])  # a schedule runs to its end


def test_limits_that_cannot_be() -> None:
    for wrong in (0, -1, 0.0, 1.5, True):
        with pytest.raises(SettingError, match=f"train={wrong!r}.*number of batches"):
            BatchLimit(wrong)
    assert batches_within(0.001, 50) == 1


class Exploding(nn.Module):
    """A model whose output becomes `value` in training call number `when`."""

    def __init__(self, when: int, value: float) -> None:
        super().__init__()
        self.line, self.calls, self.when, self.value = nn.Linear(3, 3), 0, when, value

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += self.training
        return self.line(x) * (self.value if self.training and self.calls == self.when else 1.0)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_training_ends_before_the_bad_step(value: float, tmp_path: Path) -> None:
    learn = small_learner(tmp_path, images=False)
    learn.model = Exploding(3, value)
    kept: list[Any] = []
    with captured_notes() as notes:
        learn.fit(3, 1e-2, cbs=[TerminateOnNaN(), when(order=99, after_step=lambda learn: kept.append(weights(learn)))])
    assert len(kept) == 2 and learn.model.calls == 3
    assert all(torch.equal(v, kept[-1][k]) for k, v in weights(learn).items())
    assert any("nan or infinite (epoch 0, batch 2)" in n and "lower learning rate" in n for n in notes)


def test_a_good_run_is_not_ended(tmp_path: Path) -> None:
    learn = small_learner(tmp_path)
    learn.fit(2, 1e-2, cbs=TerminateOnNaN())
    assert len(learn.recorder.rows) == 2


class Elsewhere(torch.Tensor):
    """A tensor that says it is on an accelerator, and tells when it is read."""

    reads: list[str] = []

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return torch.device("mps")

    def __bool__(self) -> bool:
        self.reads.append("bool")
        return super().__bool__()


def test_on_an_accelerator_the_loss_is_looked_at_once_an_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking makes the processor wait: training goes on with the bad loss, and ends when the epoch does."""
    learn = small_learner(tmp_path, images=False)
    learn.model = Exploding(6, float("nan"))  # in the second of three epochs of 4 batches
    seen: list[Any] = []

    def send(learn: Any) -> None:
        learn.loss = learn.loss.as_subclass(Elsewhere)

    def bring_back(learn: Any) -> None:
        learn.loss = learn.loss.as_subclass(torch.Tensor)

    def look(learn: Any) -> None:
        seen.append((learn.epoch, learn.batch_index, len(Elsewhere.reads)))

    monkeypatch.setattr(Elsewhere, "reads", [])
    cbs = [when(order=7, after_loss=send), TerminateOnNaN(), when(order=9, after_loss=bring_back), when(order=99, after_step=look)]
    with captured_notes() as notes:
        learn.fit(3, 1e-2, cbs=cbs)
    assert seen == [(epoch, batch, epoch) for epoch in (0, 1) for batch in range(4)]
    assert len(Elsewhere.reads) == 2 and any("nan or infinite (epoch 1, batch 3)" in n for n in notes)


def test_the_log_has_the_rows_of_the_table(tmp_path: Path) -> None:
    learn, cb = small_learner(tmp_path), CSVLogger()
    results = learn.fit(3, 1e-2, cbs=cb)
    log = cb.read_log()
    assert (tmp_path / "history.csv").exists() and list(log.columns) == list(results.columns)
    pd.testing.assert_frame_equal(log, pd.DataFrame(results), check_dtype=False)


def test_rows_are_on_disk_as_soon_as_the_epoch_ends(tmp_path: Path) -> None:
    cb, lengths = CSVLog("a/log.csv"), []
    learn = small_learner(tmp_path)
    learn.fit(2, 1e-2, cbs=[cb, when(order=99, after_epoch=lambda learn: lengths.append(len(cb.read_log())))])
    assert lengths == [1, 2] and (tmp_path / "a/log.csv").exists()


def test_a_new_fit_replaces_or_appends(tmp_path: Path) -> None:
    learn = small_learner(tmp_path)
    for append, rows in ((False, 1), (False, 1), (True, 2), (True, 3)):
        cb = CSVLog(append=append)
        learn.fit(1, 1e-2, cbs=cb)
        assert len(cb.read_log()) == rows
    assert (tmp_path / "history.csv").read_text().count("epoch") == 1


@pytest.mark.parametrize("cbs", [CSVLog(), CSVLog], ids=["callback", "class"])
def test_both_phases_of_fine_tune_are_one_log(cbs: Any, tmp_path: Path) -> None:
    learn = small_learner(tmp_path, splitter=lambda m: [m[0], m[1:]])
    for epochs in (2, 1):  # a second one begins a new log
        results = learn.fine_tune(epochs, cbs=cbs)
        log = pd.read_csv(tmp_path / "history.csv")
        pd.testing.assert_frame_equal(log, pd.DataFrame(results), check_dtype=False)
        assert log["phase"].tolist() == ["head"] + ["whole"] * epochs


def test_a_log_of_fits_and_fine_tuning_has_all_rows(tmp_path: Path) -> None:
    learn, cb = small_learner(tmp_path, splitter=lambda m: [m[0], m[1:]]), CSVLog(append=True)
    learn.fit(1, cbs=cb)
    learn.fine_tune(1, cbs=cb)
    assert len(cb.read_log()) == 3 and "phase" not in cb.read_log()
    other = CSVLog("other.csv", append=True)
    learn.fine_tune(1, cbs=other)
    learn.fit(1, cbs=other)
    assert other.read_log()["phase"].fillna("").tolist() == ["head", "whole", ""]


def test_after_an_interrupted_fine_tuning_a_new_log_begins(tmp_path: Path) -> None:
    def interrupt(learn: Any) -> None:
        if learn.epoch == 0 and learn.phase == "whole":
            raise KeyboardInterrupt

    learn, cb = small_learner(tmp_path, splitter=lambda m: [m[0], m[1:]]), CSVLog()
    with pytest.raises(KeyboardInterrupt):
        learn.fine_tune(2, cbs=[cb, when(before_epoch=interrupt)])
    assert cb.read_log()["phase"].tolist() == ["head"]
    learn.fine_tune(1, freeze_epochs=0, cbs=cb)
    assert cb.read_log()["phase"].tolist() == ["whole"]


def test_appending_to_other_columns_is_refused(tmp_path: Path) -> None:
    small_learner(tmp_path).fit(1, 1e-2, cbs=CSVLog())
    with pytest.raises(
        SettingError, match=r"history\.csv has the columns epoch, .*accuracy.*this fit gives epoch, train_loss, valid_loss, time"
    ):
        small_learner(tmp_path, metrics=None).fit(1, 1e-2, cbs=CSVLog(append=True))
