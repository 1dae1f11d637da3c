"""The recorder: right numbers, kept without waiting, and its plots."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from tiny import accuracy, points, tiny_dls, tiny_learner
from torch import nn

from burnish.data.dataloaders import DataLoaders
from burnish.data.notes import captured_notes
from burnish.errors import SettingError
from burnish.train.callback import Callback, CancelBatchException, CancelEpochException, CancelFitException, CancelValidException
from burnish.train.metric import Metric
from burnish.train.recorder import Recorder
from burnish.train.results import Results, joined, results_table
from burnish.train.scores import Scores


class Scripted(nn.Module):
    """A model whose training losses are those of a script (with the loss `first`)."""

    def __init__(self, losses: list[float]) -> None:
        super().__init__()
        self.weight, self.losses, self.at = nn.Parameter(torch.zeros(())), losses, 0

    def forward(self, x):
        self.at += self.training
        return self.weight * 0 + (self.losses[self.at - 1] if self.training else 0.0)


def first(output, target):
    return output


def scripted(losses: list[float], per_epoch: int):
    learn = tiny_learner(
        dls=DataLoaders([points(4)] * per_epoch, device="cpu"), model=Scripted(losses), loss_func=first, splitter=None, metrics=None
    )
    return learn, learn.fit(len(losses) // per_epoch)


def test_the_smoothed_loss_is_a_corrected_exponential_average_over_the_whole_fit() -> None:
    raw = [3.0, 1.0, 2.0, 5.0, 0.5, 1.5]
    learn, results = scripted(raw, 3)
    average, expected = 0.0, []
    for i, value in enumerate(raw, start=1):
        average = 0.98 * average + 0.02 * value
        expected.append(average / (1 - 0.98**i))
    assert learn.recorder.losses == pytest.approx(expected)
    assert results["train_loss"].tolist() == pytest.approx([expected[2], expected[5]])
    assert learn.recorder.raw_losses == raw
    assert learn.recorder.iters == [3, 6]
    assert learn.recorder.smooth_loss == pytest.approx(expected[-1])


def test_many_batches_are_stacked_and_none_is_lost() -> None:
    raw = [float(i) for i in range(1200)]
    learn, _ = scripted(raw, 1200)
    assert learn.recorder.raw_losses == raw


def test_valid_loss_and_metrics_are_weighted_by_batch_size() -> None:
    x, y = points(40)
    learn = tiny_learner(dls=DataLoaders([(x, y)], [(x[:33], y[:33]), (x[33:], y[33:])], device="cpu"))
    row = learn.fit(1).iloc[0]
    with torch.no_grad():
        output = learn.model.eval()(x)
    assert row["valid_loss"] == pytest.approx(float(nn.functional.cross_entropy(output, y)), rel=1e-5)
    assert row["accuracy"] == pytest.approx(float(accuracy(output, y)))
    scores = learn.validate()
    assert scores == pytest.approx([row["valid_loss"], row["accuracy"]])
    assert (scores["accuracy"], scores.names) == (scores[1], ["valid_loss", "accuracy"])


def test_latest_values_and_columns() -> None:
    learn = tiny_learner()
    results = learn.fit(2)
    recorder = learn.recorder
    assert recorder.metric_names == list(results.columns) == list(recorder.latest)
    assert recorder.latest["epoch"] == 1
    assert recorder.values == [[row.train_loss, row.valid_loss, row.accuracy] for row in results.itertuples()]
    assert (results["time"] > 0).all()
    assert len(recorder.lrs) == len(recorder.losses) == 12


@pytest.mark.parametrize(
    ("train", "valid", "columns"),
    [
        (True, True, ["train_accuracy", "valid_loss", "valid_accuracy"]),
        (True, False, ["accuracy", "valid_loss"]),
        (False, False, ["valid_loss"]),
    ],
)
def test_metrics_of_training_batches(train: bool, valid: bool, columns: list[str]) -> None:
    results = tiny_learner(cbs=Recorder(train, valid)).fit(1)
    assert list(results.columns) == ["epoch", "train_loss", *columns, "time"]
    assert results.notna().all().all()


def test_history_has_all_fits() -> None:
    learn = tiny_learner()
    assert learn.recorder.history().empty
    learn.fit(2)
    learn.fit(1)
    assert learn.recorder.history()[["fit", "epoch"]].values.tolist() == [[0, 0], [0, 1], [1, 0]]
    assert len(learn.recorder.results()) == 1


@pytest.mark.parametrize(
    ("cancel", "event", "rows", "is_nan"),
    [
        (CancelFitException, "after_loss", 0, None),
        (CancelEpochException, "before_validate", 1, "valid_loss"),
        (CancelValidException, "before_validate", 1, "valid_loss"),
        (CancelBatchException, "before_batch", 1, "train_loss"),
    ],
)
def test_rows_of_cancelled_epochs(cancel: type[Exception], event: str, rows: int, is_nan: str | None) -> None:
    def raises(self, learn) -> None:
        raise cancel

    cb = type("Cancels", (Callback,), {event: raises})()
    results = tiny_learner().fit(1, cbs=cb)
    assert len(results) == rows
    assert list(results.columns) == ["epoch", "train_loss", "valid_loss", "accuracy", "time"]
    if is_nan:
        assert np.isnan(results[is_nan].iloc[0])


def test_a_cancelled_batch_leaves_no_loss_behind() -> None:
    class Second(Callback):
        def before_batch(self, learn) -> None:
            if learn.batch_index == 1:
                raise CancelBatchException

    learn = tiny_learner()
    learn.fit(1, cbs=Second())
    assert len(learn.recorder.losses) == len(learn.recorder.lrs) == 5


def test_a_loss_that_is_nan_is_said_once_with_the_batch_and_what_to_do() -> None:
    with captured_notes() as notes:
        scripted([1.0, 1.0, float("nan"), 1.0, 1.0, 1.0], 2)
    assert len(notes) == 1
    assert "became nan at batch 3 of this fit (epoch 1)" in notes[0] and "smaller learning rate" in notes[0]


@pytest.mark.parametrize("where", ["update", "compute"])
def test_a_metric_that_cannot_be_computed_says_why_and_training_goes_on(where: str) -> None:
    class Sorry(Metric):
        name = "sorry"

        def reset(self) -> None: ...

        def update(self, preds, targs) -> None:
            if where == "update":
                raise ValueError("only one class")

        def compute(self) -> float:
            raise ValueError("only one class")

    learn = tiny_learner(metrics=[Sorry(), accuracy])
    with captured_notes() as notes:
        results = learn.fit(2)
    assert results["sorry"].isna().all() and results["accuracy"].notna().all()
    assert [n for n in notes if "sorry" in n] == ["The metric 'sorry' can't be computed and shows nan: only one class"]


def test_a_metric_without_a_value_is_a_mistake() -> None:
    class Forgot(Metric):
        name = "forgot"

        def reset(self) -> None: ...
        def update(self, preds, targs) -> None: ...
        def compute(self): ...  # no return

    with pytest.raises(TypeError, match=r"Forgot.compute\(\) of the metric 'forgot' returned None; expected one number"):
        tiny_learner(metrics=Forgot()).fit(1)


def test_a_mistake_in_a_metric_is_not_hidden() -> None:
    def broken(output, target):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        tiny_learner(metrics=broken).fit(1)


def test_state_goes_round() -> None:
    learn, again = tiny_learner(), Recorder()
    learn.fit(1)
    learn.fit(2)
    again.load_state_dict(learn.recorder.state_dict())
    assert again.losses == pytest.approx(learn.recorder.losses)
    assert (again.lrs, again.moms, again.iters) == (learn.recorder.lrs, learn.recorder.moms, learn.recorder.iters)
    pd.testing.assert_frame_equal(again.history(), learn.recorder.history())


def test_evaluating_in_the_middle_of_a_fit_disturbs_nothing() -> None:
    class Peeks(Callback):
        order = 20

        def after_batch(self, learn) -> None:
            if learn.training and learn.batch_index == 2:
                learn.validate("train")
                learn.get_preds()

    plain, peeked = tiny_learner(), tiny_learner()
    a, b = plain.fit(2), peeked.fit(2, cbs=Peeks())
    pd.testing.assert_frame_equal(a.drop(columns="time"), b.drop(columns="time"))


# -- plots --------------------------------------------------------------------------------------------------------------
def test_plot_loss_shows_train_and_valid() -> None:
    learn = tiny_learner()
    learn.fit(3)
    ax = learn.recorder.plot_loss(skip_start=2, show_epochs=True, log=True)
    train, valid = ax.get_lines()[:2]
    assert train.get_xdata().tolist() == list(range(3, 19))
    assert train.get_ydata() == pytest.approx(learn.recorder.losses[2:])
    assert valid.get_xdata().tolist() == [6, 12, 18]
    assert ax.get_yscale() == "log" and len(ax.get_lines()) == 5
    assert len(learn.recorder.plot_loss(with_valid=False).get_lines()) == 1


def test_plot_loss_of_a_short_fit_shows_it_all() -> None:
    learn = tiny_learner(dls=tiny_dls(n=32))
    learn.fit(1)
    assert len(learn.recorder.plot_loss().get_lines()[0].get_xdata()) == 2


def test_plot_loss_leaves_out_little_of_a_short_fit_and_counts_whole_batches() -> None:
    learn = tiny_learner(dls=tiny_dls(n=112))
    learn.fit(1)
    ax = learn.recorder.plot_loss()
    n = len(learn.recorder.losses)
    assert 5 < n < 12 and len(ax.get_lines()[0].get_xdata()) >= 0.75 * n
    assert all(tick == int(tick) for tick in ax.get_xticks())


def test_plot_loss_shows_both_phases_of_fine_tune() -> None:
    learn, again = tiny_learner(splitter=lambda m: [list(m[:1].parameters()), list(m[1:].parameters())]), Recorder()
    learn.fine_tune(2, freeze_epochs=1)
    head, whole = learn.recorder.curves()
    assert whole.losses == learn.recorder.losses and len(whole.losses) == 2 * len(head.losses) == 12
    again.load_state_dict(learn.recorder.state_dict())
    for recorder in (learn.recorder, again):
        first, second, valid, border = recorder.plot_loss(skip_start=2).get_lines()
        assert first.get_xdata().tolist() == list(range(3, 7)) and second.get_xdata().tolist() == list(range(7, 19))
        assert valid.get_xdata().tolist() == [6, 12, 18] and border.get_xdata()[0] == 6.5
        assert second.get_ydata() == pytest.approx(whole.losses)
    learn.fit(1)
    assert len(learn.recorder.curves()) == 1, "another fit begins anew"


def test_plot_sched_shows_this_fit() -> None:
    learn = tiny_learner()
    learn.fit_one_cycle(1, 0.01)
    lr, mom = learn.recorder.plot_sched()
    assert max(lr.get_lines()[0].get_ydata()) == pytest.approx(0.01, rel=0.1)
    assert min(mom.get_lines()[0].get_ydata()) == pytest.approx(0.85, abs=0.01)
    learn.fit(1, 0.5)
    assert set(learn.recorder.plot_sched(["lr"])[0].get_lines()[0].get_ydata()) == {0.5}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda r: r.plot_loss(), "no loss to plot yet: train first"),
        (lambda r: r.plot_sched(), "train first"),
        (lambda r: r.plot_sched(["momentum"]), r"\['momentum'\]: expected 'lr' or 'mom'"),
        (lambda r: r.plot_lr_find(), r"run learn.lr_find\(\) first"),
    ],
)
def test_plots_of_nothing_say_what_to_do(call, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        call(tiny_learner().recorder)


# -- results ------------------------------------------------------------------------------------------------------------
def test_results_are_a_data_frame_that_a_notebook_shows_once() -> None:
    results = tiny_learner().fit(1)
    assert isinstance(results, pd.DataFrame)
    with pytest.raises(NotImplementedError):  # IPython then shows it as any DataFrame
        results._ipython_display_()
    shown = results.copy().shown()
    assert shown._ipython_display_() is None
    with pytest.raises(NotImplementedError):
        shown._ipython_display_()
    with pytest.raises(NotImplementedError):
        results.copy().shown().tail(1)._ipython_display_()


def test_phases_joined() -> None:
    a, b = results_table([{"epoch": 0, "train_loss": 1.0}], ["epoch", "train_loss"]), results_table([], ["epoch", "train_loss"])
    whole = joined({"head": a, "whole": b})
    assert isinstance(whole, Results)
    assert whole.values.tolist() == [["head", 0, 1.0]]
    assert list(joined({"head": b}).columns) == ["phase", "epoch", "train_loss"]


def test_scores_read_well() -> None:
    assert repr(Scores(["valid_loss", "accuracy"], [0.5, 0.75])) == "valid_loss 0.5, accuracy 0.75"
    assert Scores(["a"], [1.0]).as_dict() == {"a": 1.0}
