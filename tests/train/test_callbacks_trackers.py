"""Early stopping, keeping the best weights, lowering the rate: on runs whose monitored values are known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from callbacks_support import same_weights, small_learner, weights, when
from torch import Tensor

from burnish.data.dataloaders import DataLoaders
from burnish.data.notes import captured_notes
from burnish.errors import SettingError
from burnish.evaluate.summary import ResultNote
from burnish.train.callback import Callback, CancelFitException
from burnish.train.callbacks import Checkpoint, EarlyStopping, EarlyStoppingCallback, ReduceLROnPlateau, SaveModel, SaveModelCallback
from burnish.train.callbacks.trackers import Tracker, guess_direction
from burnish.train.metric import Metric


class Script(Metric):
    """A metric that gives the values it was told, an epoch after the other."""

    def __init__(self, values: Sequence[float], name: str = "script", better: str | None = "lower") -> None:
        self.values, self.name, self.better = iter(values), name, better

    def reset(self) -> None: ...

    def update(self, preds: Tensor, targs: Tensor) -> None: ...

    def compute(self) -> float:
        return next(self.values)


def run(
    tmp_path: Path, values: Sequence[float], *cbs: Callback, better: str | None = "lower", epochs: int | None = None, **kwargs: Any
) -> tuple[Any, list[str]]:
    learn = small_learner(tmp_path, metrics=Script(values, better=better), images=False, **kwargs)
    with captured_notes() as notes:
        learn.fit(epochs or len(values), 1e-2, cbs=list(cbs))
    return learn, notes


@pytest.mark.parametrize(
    ("values", "patience", "min_delta", "better", "epochs"),
    [
        ([3, 2, 1, 0], 1, 0.0, "lower", 4),
        ([3, 4, 1, 0], 1, 0.0, "lower", 2),
        ([3, 4, 1, 2, 3, 0], 2, 0.0, "lower", 5),
        ([1, 2, 2, 3], 1, 0.0, "higher", 3),
        ([3, 2.9, 2.8, 2.7], 2, 0.5, "lower", 3),
        ([float("nan"), float("nan"), 1], 2, 0.0, "lower", 2),
    ],
)
def test_stops_after_patience_epochs_without_improvement(
    values: list[float], patience: int, min_delta: float, better: str, epochs: int, tmp_path: Path
) -> None:
    cb = EarlyStopping("script", patience=patience, min_delta=min_delta)
    learn, notes = run(tmp_path, values, cb, better=better)
    assert len(learn.recorder.rows) == epochs
    assert bool(notes) is (epochs < len(values))
    if notes:
        assert "script has not improved" in notes[-1] and f"after epoch {epochs - 1}" in notes[-1]


def test_the_best_weights_come_back(tmp_path: Path) -> None:
    kept: list[dict[str, Tensor]] = []
    learn, notes = run(
        tmp_path, [3, 1, 2, 4], SaveModel("script", fname="best"), when(after_epoch=lambda learn: kept.append(weights(learn)))
    )
    assert same_weights(weights(learn), kept[1]) and not same_weights(kept[1], kept[3])
    assert notes == ["SaveModel: back to the best weights, of epoch 1 (script 1)."]
    other = small_learner(tmp_path, images=False)
    other.load("best", with_opt=False)
    assert same_weights(weights(other), kept[1])


def test_early_stopping_and_the_best_weights_work_together(tmp_path: Path) -> None:
    kept: list[dict[str, Tensor]] = []
    learn, _ = run(
        tmp_path,
        [3, 1, 2, 4],
        EarlyStopping("script", patience=2),
        SaveModel("script"),
        when(after_epoch=lambda learn: kept.append(weights(learn))),
    )
    assert same_weights(weights(learn), kept[1])


def test_without_any_improvement_nothing_is_loaded_and_it_is_said(tmp_path: Path) -> None:
    start_file = small_learner(tmp_path, images=False)
    start_file.save("model", with_opt=False)  # of an earlier run: must not be taken for the best
    before = weights(start_file)
    learn, notes = run(tmp_path, [float("nan")] * 2, SaveModel("script"))
    assert not same_weights(weights(learn), before)
    assert any("never had a value to improve" in n for n in notes)


def test_an_interrupted_fit_keeps_its_weights_and_names_the_file(tmp_path: Path) -> None:
    def interrupt(learn: Any) -> None:
        if learn.epoch == 2:
            raise KeyboardInterrupt

    learn = small_learner(tmp_path, metrics=Script([3, 1, 2]), images=False)
    kept: list[dict[str, Tensor]] = []
    with captured_notes() as notes, pytest.raises(KeyboardInterrupt):
        learn.fit(
            3, 1e-2, cbs=[SaveModel("script"), when(order=99, after_step=lambda learn: kept.append(weights(learn)), after_epoch=interrupt)]
        )
    assert same_weights(weights(learn), kept[-1])
    assert "interrupted" in notes[-1] and "epoch 1" in notes[-1] and "learn.load('model')" in notes[-1]


@pytest.mark.parametrize(("every", "expected"), [(True, [0, 1, 2, 3]), (2, [0, 2])])
def test_every_epoch_saves_each_and_loads_nothing(every: bool | int, expected: list[int], tmp_path: Path) -> None:
    kept: list[dict[str, Tensor]] = []
    learn, _ = run(
        tmp_path,
        [3, 1, 2, 4],
        SaveModel("script", every_epoch=every, at_end=True),
        when(after_epoch=lambda learn: kept.append(weights(learn))),
    )
    assert same_weights(weights(learn), kept[3])
    assert {p.stem for p in (tmp_path / "models").iterdir()} == {*(f"model_{i}" for i in expected), "model_end"}
    for i in expected:
        learn.load(f"model_{i}", with_opt=False)
        assert same_weights(weights(learn), kept[i])


def rates(tmp_path: Path, values: list[float], cb: ReduceLROnPlateau, one_cycle: bool) -> tuple[list[float], Any]:
    seen: list[float] = []
    learn = small_learner(tmp_path, metrics=Script(values), images=False)
    fit = learn.fit_one_cycle if one_cycle else learn.fit
    watch = when(after_step=lambda learn: seen.append(learn.opt.param_groups[-1]["lr"]) if learn.batch_index == 0 else None)
    with captured_notes():
        fit(len(values), 1e-2, cbs=[cb, watch])
    return seen, learn


@pytest.mark.parametrize("one_cycle", [False, True])
def test_the_rate_is_divided_whatever_sets_it(one_cycle: bool, tmp_path: Path) -> None:
    values = [3.0, 4.0, 5.0, 1.0, 0.0]
    plain, _ = rates(tmp_path, [0.0] * 5, ReduceLROnPlateau("script", patience=9), one_cycle)
    got, learn = rates(tmp_path, values, ReduceLROnPlateau("script", patience=1, factor=10), one_cycle)
    assert [g / p for g, p in zip(got, plain, strict=True)] == pytest.approx([1, 1, 0.1, 0.01, 0.01])
    if not one_cycle:
        assert {g["lr"] for g in learn.opt.param_groups} == {1e-2}


def test_no_rate_falls_below_the_least_one(tmp_path: Path) -> None:
    got, _ = rates(tmp_path, [1.0] * 4, ReduceLROnPlateau("script", factor=10, min_lr=5e-4), False)
    assert got == pytest.approx([1e-2, 1e-2, 1e-3, 5e-4])


def test_a_second_fit_begins_anew_unless_told_otherwise(tmp_path: Path) -> None:
    for reset, expected in ((True, 0.0), (False, -5.0)):
        learn = small_learner(tmp_path, metrics=Script([-5.0, 0.0, 0.0]), images=False)
        cb = EarlyStopping("script", patience=9, reset_on_fit=reset)
        learn.fit(1, 1e-2, cbs=cb)
        learn.fit(2, 1e-2, cbs=cb)
        assert cb.best == expected


@pytest.mark.parametrize("make", [EarlyStopping, SaveModel, ReduceLROnPlateau, Tracker])
def test_an_unknown_column_lists_the_columns(make: type[Tracker], tmp_path: Path) -> None:
    learn = small_learner(tmp_path)
    with pytest.raises(
        SettingError, match=rf"{make.__name__}\(monitor='valid_los'\).*Columns: train_loss, valid_loss, accuracy.*Did you mean: valid_loss"
    ):
        learn.fit(1, 1e-2, cbs=make("valid_los"))


@pytest.mark.parametrize(
    ("column", "expected"),
    [("valid_loss", "lower"), ("accuracy", "higher"), ("error_rate", "lower"), ("_rmse", "lower"), ("mae", "lower"), ("perplexity", "lower"), ("dice", "higher"), ("roc_auc", "higher"), ("top_5", "higher")],
)  # fmt: skip
def test_the_direction_follows_from_the_name(column: str, expected: str, tmp_path: Path) -> None:
    assert guess_direction(small_learner(tmp_path), column) == expected


def test_the_metrics_own_word_and_the_users_go_before_the_name(tmp_path: Path) -> None:
    learn, _ = run(tmp_path, [1, 2], EarlyStopping("script", comp=np.greater, patience=1), better="lower")
    assert len(learn.recorder.rows) == 2
    with pytest.raises(SettingError, match=r"monitor='script'.*comp='lower' or comp='higher'"):
        run(tmp_path, [1, 2], EarlyStopping("script"), better=None)
    with pytest.raises(SettingError, match=r"comp='up'.*'lower' or 'higher'"):
        EarlyStopping(comp="up")


def test_bad_settings_are_named() -> None:
    for make in (lambda: EarlyStopping(patience=0), lambda: ReduceLROnPlateau(patience=0)):
        with pytest.raises(SettingError, match=r"patience=0.*at least 1"):
            make()
    with pytest.raises(SettingError, match=r"factor=0\.1.*above 1"):
        ReduceLROnPlateau(factor=0.1)


def test_familiar_names() -> None:
    assert EarlyStoppingCallback is EarlyStopping and SaveModelCallback is SaveModel
    assert (EarlyStopping().name, SaveModel().name, ReduceLROnPlateau().name) == ("early_stopping", "save_model", "reduce_lr_on_plateau")


def test_a_saved_optimizer_comes_back_with_the_best_weights(tmp_path: Path) -> None:
    steps: list[float] = []
    watch = when(order=99, after_epoch=lambda learn: steps.append(float(next(iter(learn.opt.state.values()))["step"])))
    learn, _ = run(tmp_path, [3, 1, 2, 4], SaveModel("script", with_opt=True), watch)
    assert float(next(iter(learn.opt.state.values()))["step"]) == steps[1] < steps[3]
    assert torch.isfinite(next(learn.model.parameters())).all()


def test_without_a_validation_split_the_training_loss_can_be_followed(tmp_path: Path) -> None:
    learn = small_learner(tmp_path)
    learn.dls = DataLoaders(learn.dls.train, device="cpu")
    with pytest.raises(SettingError, match=r"monitor='valid_loss'\).*no such column. Columns: train_loss\."):
        learn.fit(1, cbs=SaveModel())
    learn.fit(2, cbs=SaveModel("train_loss"))
    assert (tmp_path / "models/model.safetensors").is_file()


@pytest.mark.parametrize("stops_first", [True, False])
def test_what_is_told_after_an_early_stop_is_of_the_model_that_is_left(stops_first: bool, tmp_path: Path) -> None:
    told, stop = ResultNote(), EarlyStopping("valid_loss", comp="higher")
    learn = small_learner(tmp_path, images=False, cbs=[stop, told] if stops_first else [told, stop])
    learn.fit(3, 3e-2)
    first, second = (row["accuracy"] for row in learn.recorder.rows)
    assert told.table is not None and told.table["value"].tolist() == [pytest.approx(learn.validate()["accuracy"])]
    assert first != pytest.approx(second) == told.table["value"][0]


def test_what_is_told_after_any_callback_ends_the_fit_is_of_the_model_that_is_left(tmp_path: Path) -> None:
    def end(learn: Any) -> None:
        raise CancelFitException

    told = ResultNote()
    small_learner(tmp_path, images=False, cbs=told).fit(2, 1e-2, cbs=when(after_epoch=end))
    assert told.table is not None, "the first epoch is the model's"


def test_nothing_is_told_of_weights_that_were_never_validated(tmp_path: Path) -> None:
    def end(learn: Any) -> None:
        if learn.epoch == 1 and learn.training:
            raise CancelFitException

    learn = small_learner(tmp_path, images=False, cbs=ResultNote())
    learn.fit(1, 1e-2)
    with captured_notes() as notes:
        learn.fit(2, 1e-2, cbs=when(order=99, after_step=end))
    assert learn.result_note.table is None and not notes


def spoil(learn: Any) -> None:
    with torch.no_grad():
        for p in learn.model.parameters():
            p.copy_(torch.randn(p.shape, generator=torch.Generator().manual_seed(5)) * 30)


def check_told_of_no_other_weights(learn: Any, notes: list[str]) -> None:
    """The best weights are back, of an epoch that this fit didn't see: a note says how to judge them, and that is all."""
    assert learn.result_note.table is None and learn.results == {} and not [n for n in notes if n.startswith("valid:")]
    assert len([n for n in notes if "learn.validate() says how good they are" in n]) == 1
    assert learn.validate()["loss"] == pytest.approx(learn.save_model.saved_value)


def test_after_a_resume_best_weights_of_before_it_are_not_given_a_later_epochs_numbers(tmp_path: Path) -> None:
    def later(learn: Any) -> None:
        if learn.epoch > 0:
            spoil(learn)

    def die(learn: Any) -> None:
        if learn.epoch > 0:
            raise KeyboardInterrupt

    def cbs() -> list[Callback]:
        return [SaveModel(), ResultNote(), when(before_train=later)]

    with pytest.raises(KeyboardInterrupt):
        small_learner(tmp_path, images=False, cbs=cbs()).fit(3, 1e-2, cbs=[Checkpoint(), when(after_train=die)])
    learn = small_learner(tmp_path, images=False, cbs=cbs())
    with captured_notes() as notes:
        learn.fit(3, 1e-2, cbs=Checkpoint(), resume=True)
    check_told_of_no_other_weights(learn, notes)


def test_best_weights_of_an_earlier_fit_are_not_given_this_ones_numbers(tmp_path: Path) -> None:
    learn = small_learner(tmp_path, images=False, cbs=[SaveModel(reset_on_fit=False), ResultNote()])
    learn.fit(1, 1e-2)
    with captured_notes() as notes:
        learn.fit(1, 1e-2, cbs=when(before_train=spoil))
    check_told_of_no_other_weights(learn, notes)
