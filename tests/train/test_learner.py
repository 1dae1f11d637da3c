"""The learner: its parts, freezing, recipes, keeping state, and what it says when something can't be."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny import CLASSES, Log, accuracy, body_and_head, same, state, tiny_dls, tiny_learner, tiny_model
from torch import nn

from burnish.data.dataloaders import DataLoaders
from burnish.data.notes import captured_notes
from burnish.errors import ModelFileError, NotTrainableError, SettingError
from burnish.train.callback import Callback
from burnish.train.callbacks import Checkpoint, EarlyStopping, GradientAccumulation
from burnish.train.learner import Learner
from burnish.train.metric import AverageMetric, Metric
from burnish.train.recorder import Recorder
from burnish.train.results import Results


# -- it learns ----------------------------------------------------------------------------------------------------------
def test_it_learns_with_nothing_but_two_loaders_a_module_and_a_loss() -> None:
    learn = Learner(tiny_dls(400), nn.Linear(4, CLASSES), F.cross_entropy, accuracy)  # of 96 samples some weights learn too little
    with learn.no_logging():
        results = learn.fit_one_cycle(16, 0.1)  # from whatever weights the module has: the worst of 60 reached 0.975
    assert isinstance(results, Results)
    assert list(results.columns) == ["epoch", "train_loss", "valid_loss", "accuracy", "time"]
    assert results["accuracy"].iloc[-1] > 0.9


@pytest.mark.parametrize(
    "run",
    [
        lambda learn: learn.fit(1),
        lambda learn: learn.fit_one_cycle(1),
        lambda learn: learn.fit_flat_cos(1),
        lambda learn: learn.fit_sgdr(2, 1, cycle_mult=1),
        lambda learn: learn.fine_tune(1),
        lambda learn: (learn.lr_find(num_it=8, show_plot=False), learn.fit(1)),
    ],
    ids=["fit", "one_cycle", "flat_cos", "sgdr", "fine_tune", "lr_find"],
)
@pytest.mark.usefixtures("untouched_globals")
def test_one_seed_gives_the_same_numbers_twice_and_leaves_the_users_generators_alone(run) -> None:
    found = []
    for extra_draws in (1, 2):
        before = random.getstate(), torch.get_rng_state(), np.random.get_state()
        torch.rand(extra_draws), np.random.rand(extra_draws)  # what the user draws must not matter
        learn = tiny_learner(model=tiny_model(dropout=0.5))
        run(learn)
        found.append(state(learn))
        random.setstate(before[0]), torch.set_rng_state(before[1]), np.random.set_state(before[2])
    assert same(*found)


def test_another_seed_gives_other_numbers_and_a_drawn_one_is_told() -> None:
    learns = [tiny_learner(seed=s) for s in (1, 2, None)]
    for learn in learns:
        learn.fit(1)
    assert not same(state(learns[0]), state(learns[1]))
    again = tiny_learner(seed=learns[2].seed)
    again.fit(1)
    assert same(state(again), state(learns[2]))


# -- recipes ------------------------------------------------------------------------------------------------------------
def test_flat_cos_is_flat_and_then_falls() -> None:
    learn = tiny_learner()
    learn.fit_flat_cos(4, 0.01, pct_start=0.5)
    lrs = learn.recorder.lrs
    assert set(lrs[: len(lrs) // 2]) == {0.01}
    assert lrs[-1] < 0.001


def test_sgdr_restarts_and_lasts_as_long_as_its_cycles() -> None:
    learn = tiny_learner()
    results = learn.fit_sgdr(3, 1, 0.01)
    lrs, per_epoch = learn.recorder.lrs, 6
    assert len(results) == 7
    assert [lrs[i * per_epoch] for i in (0, 1, 3)] == pytest.approx([0.01] * 3)
    assert lrs[per_epoch - 1] < 0.001
    assert len(learn.fit_sgdr(2, 1, cycle_mult=1)) == 2


def test_fine_tune_trains_the_head_first_then_everything_gently() -> None:
    learn = tiny_learner()
    watch: list[tuple[str | None, bool, list[float]]] = []

    class Watch(Callback):
        order = 45

        def before_batch(self, learn) -> None:
            if learn.training:
                rates = {g["layer_group"]: g["lr"] for g in learn.opt.param_groups}
                watch.append((learn.phase, learn.model[0][0].weight.requires_grad, [rates[0], rates[1]]))

    results = learn.fine_tune(2, base_lr=0.02, freeze_epochs=2, cbs=Watch())
    assert results["phase"].tolist() == ["head", "head", "whole", "whole"]
    assert results["epoch"].tolist() == [0, 1, 0, 1]
    head, whole = [w for w in watch if w[0] == "head"], [w for w in watch if w[0] == "whole"]
    assert not any(trains for _, trains, _ in head)
    assert all(trains for _, trains, _ in whole)
    assert max(rates[1] for _, _, rates in head) == pytest.approx(0.02, rel=0.05)
    share = learn.dls.train.bs / 64  # the body's rates are for steps of 64 samples
    assert share < 1 and whole[0][2] == pytest.approx([0.005 / 10 / 5 * share, 0.005 / 5])
    assert learn.phase is None


@pytest.mark.parametrize(
    ("bs", "n_acc", "share"), [(64, None, 1), (96, None, 1), (32, None, 1 / 2), (8, None, 1 / 8), (8, 32, 1 / 2), (8, 96, 1)]
)
def test_rates_of_fine_tune_are_for_steps_of_64_samples_however_they_are_gathered(bs: int, n_acc: int | None, share: float) -> None:
    learn, seen = tiny_learner(dls=tiny_dls(bs=bs)), []

    class Watch(Callback):
        def before_train(self, learn) -> None:
            seen.append([g["lr"] for g in learn.opt.param_groups])

    cbs = [Watch(), *([] if n_acc is None else [GradientAccumulation(n_acc)])]
    learn.fine_tune(1, base_lr=0.02, freeze_epochs=0, div=1, pct_start=0.99, cbs=cbs)
    assert (min(seen[0]), max(seen[0])) == pytest.approx((0.0005 * share, 0.005))


def test_fine_tune_from_scratch_trains_everything_from_the_start() -> None:
    learn = tiny_learner()
    learn.pretrained = False
    learn.freeze()
    results = learn.fine_tune(2, freeze_epochs=1)
    assert results["phase"].tolist() == ["whole"] * 2
    assert all(p.requires_grad for p in learn.model.parameters())
    assert max(learn.recorder.lrs) == pytest.approx(1e-3, rel=0.05)
    with captured_notes() as notes:
        assert tiny_learner(splitter=None).fine_tune(1)["phase"].tolist() == ["whole"]
    assert "one layer group" in notes[0]


def test_start_epoch_stands_where_the_schedule_would_stand() -> None:
    whole, rest = tiny_learner(), tiny_learner()
    whole.fit_one_cycle(3, 0.1)
    results = rest.fit_one_cycle(3, 0.1, start_epoch=2)
    assert results["epoch"].tolist() == [2]
    assert rest.recorder.lrs == whole.recorder.lrs[-len(rest.recorder.lrs) :]


@pytest.mark.parametrize("recipe", ["fit", "fit_one_cycle", "fit_flat_cos", "fine_tune"])
@pytest.mark.parametrize("n", [0, -1, 1.5, True, "3"])
def test_numbers_of_epochs_that_cannot_be(recipe: str, n) -> None:
    kwargs = {"freeze_epochs": 0} if recipe == "fine_tune" else {}
    with pytest.raises(SettingError, match=r"number of epochs is .*at least 1"):
        getattr(tiny_learner(), recipe)(n, **kwargs)


@pytest.mark.parametrize("whole", [np.int64, np.uint8, torch.tensor], ids=["int64", "uint8", "tensor"])
@pytest.mark.parametrize("recipe", ["fit", "fit_one_cycle", "fit_flat_cos", "fit_sgdr", "fine_tune"])
def test_whole_numbers_of_any_type_are_numbers_of_epochs(recipe: str, whole, tmp_path: Path) -> None:
    more = [whole(1)] if recipe == "fit_sgdr" else []
    learn = tiny_learner(tmp_path)
    results = getattr(learn, recipe)(whole(1), *more, cbs=Checkpoint)
    assert len(results) == (2 if recipe == "fine_tune" else 1) and learn.fit_args["epochs"] == 1


@pytest.mark.parametrize("numbers", [(1.5, 1), (1, 1.0), (True, 1), ("1", 1), (1, 0), (1, 1, 0.5)])
def test_numbers_of_cycles_that_cannot_be(numbers: tuple) -> None:
    cycles, length, mult = (*numbers, 2)[:3]
    with pytest.raises(SettingError, match=rf"n_cycles={cycles!r}, cycle_len={length!r}, cycle_mult={mult!r}\): expected whole numbers"):
        tiny_learner().fit_sgdr(cycles, length, cycle_mult=mult)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda learn: learn.fit(2, start_epoch=0.5), "start_epoch=0.5: expected a number from 0 to 1"),
        (lambda learn: setattr(learn, "opt", torch.optim.SGD(learn.model.parameters(), 0.1)), r"learn\.opt = SGD.*learn\.opt_func = "),
        (lambda learn: learn.fit(2, start_epoch=2), "start_epoch=2: expected a number from 0 to 1"),
        (lambda learn: learn.fit_sgdr(1, 0), "cycle_len=0"),
        (lambda learn: learn.fine_tune(1, freeze_epochs=-1), "freeze_epochs=-1"),
        (lambda learn: learn.fit(1, resume=True), r"resume=True needs .*cbs=Checkpoint"),
        (lambda learn: learn.fit(1, lr=[1, 2, 3]), "3 values"),
        (lambda learn: learn.fit(1, cbs=print), "expected a Callback"),
        (lambda learn: (learn.freeze_to(2), learn.fit(1)), "frozen, so there is nothing to train"),
    ],
)
def test_calls_that_cannot_work_say_why(call, message: str) -> None:
    with captured_notes(), pytest.raises(SettingError, match=message):
        call(tiny_learner())


@pytest.mark.parametrize(
    "method", ["fit", "fit_one_cycle", "fit_flat_cos", "fit_sgdr", "fine_tune", "lr_find", "validate", "get_preds", "predict", "tta"]
)
def test_unknown_keywords_are_errors(method: str) -> None:
    with pytest.raises(TypeError, match="lr_maxx"):
        getattr(tiny_learner(), method)(1, lr_maxx=3)


def test_fine_tune_resumes_with_the_callbacks_class_too(tmp_path: Path) -> None:
    class Die(Callback):
        order = 2000

        def after_epoch(self, learn) -> None:
            if (learn.phase, learn.epoch) == ("whole", 0):
                raise SystemExit

    with captured_notes(), pytest.raises(SystemExit):
        tiny_learner(tmp_path).fine_tune(2, cbs=[Checkpoint, Die])
    again = tiny_learner(tmp_path)
    with captured_notes() as notes:
        results = again.fine_tune(2, cbs=Checkpoint, resume=True)
    assert notes == ["Checkpoint: going on at epoch 1, batch 0."] and results["phase"].tolist() == ["whole", "whole"]


@pytest.mark.parametrize("kill", [("head", 4), ("whole", 9)])
def test_fine_tune_resumes_in_the_phase_it_was_in(tmp_path: Path, kill: tuple[str, int]) -> None:
    whole = tiny_learner(tmp_path / "a", model=tiny_model(dropout=0.3))
    expected = whole.fine_tune(2)

    class Die(Callback):
        order = 2000

        def after_batch(self, learn) -> None:
            if learn.training and (learn.phase, learn.step) == kill:
                raise SystemExit

    with captured_notes(), pytest.raises(SystemExit):
        tiny_learner(tmp_path / "b", model=tiny_model(dropout=0.3)).fine_tune(2, cbs=[Checkpoint(every_steps=2), Die()])
    again = tiny_learner(tmp_path / "b", model=tiny_model(dropout=0.3))
    with captured_notes() as notes:
        results = again.fine_tune(2, cbs=Checkpoint(every_steps=2), resume=True)
    assert "going on at epoch" in notes[0]
    assert same(state(whole), state(again))
    last = expected.iloc[-1].drop("time")
    assert results.iloc[-1].drop("time").equals(last)


# -- layer groups and freezing ------------------------------------------------------------------------------------------
def test_frozen_means_frozen() -> None:
    learn = tiny_learner()
    learn.freeze()
    before = state(learn)
    learn.fit(1, 0.1)
    after = state(learn)
    moved = {k for k in before if not torch.equal(before[k], after[k])}
    assert moved == {"1.weight", "1.bias"}
    learn.unfreeze()
    learn.fit(1, 0.1)
    assert not torch.equal(after["0.1.running_mean"], state(learn)["0.1.running_mean"])


def test_train_bn_keeps_the_norms_of_frozen_groups_training() -> None:
    learn = tiny_learner(train_bn=True)
    learn.freeze()
    before = state(learn)
    learn.fit(1, 0.1)
    after = state(learn)
    assert torch.equal(before["0.0.weight"], after["0.0.weight"])
    assert not torch.equal(before["0.1.weight"], after["0.1.weight"])
    assert not torch.equal(before["0.1.running_mean"], after["0.1.running_mean"])


def test_a_frozen_norm_without_parameters_of_its_own_is_frozen_too() -> None:
    model = nn.Sequential(nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8, affine=False)), nn.Linear(8, CLASSES))
    learn = tiny_learner(model=model)
    learn.freeze()
    learn.fit(1)
    assert torch.equal(model[0][1].running_mean, torch.zeros(8))


def test_freezing_everything_is_said() -> None:
    with captured_notes() as notes:
        tiny_learner().freeze_to(2)
    assert "freezes all 2 layer group(s)" in notes[0]


def test_the_default_splitter_leaves_alone_what_the_user_froze() -> None:
    model = tiny_model()
    model[0].requires_grad_(False)
    learn = tiny_learner(model=model, splitter=None)
    learn.unfreeze()
    assert not model[0][0].weight.requires_grad


@pytest.mark.parametrize(
    "splitter", [lambda m: list(m.parameters()), lambda m: [m[0], m[1]], lambda m: [[m[0][0]], [m[0][1], m[1]]], lambda m: [m.parameters()]]
)
def test_forms_of_a_splitter(splitter) -> None:
    learn = tiny_learner(splitter=splitter)
    assert sum(map(len, learn.groups)) == 6
    assert len(learn.fit(1)) == 1


def test_a_splitter_that_repeats_or_forgets() -> None:
    with pytest.raises(SettingError, match=r"more than one group: 1\.weight"):
        tiny_learner(splitter=lambda m: [m[1], m])
    with captured_notes() as notes:
        tiny_learner(splitter=lambda m: [m[1]])
    assert "4 parameter(s) into no layer group" in notes[0]


# -- parts --------------------------------------------------------------------------------------------------------------
def test_callbacks_are_attributes_by_name_and_a_wrong_name_gets_a_hint() -> None:
    class MyWatcher(Callback):
        pass

    learn = tiny_learner(cbs=MyWatcher)
    assert isinstance(learn.my_watcher, MyWatcher)
    assert isinstance(learn.recorder, Recorder)
    with pytest.raises(AttributeError, match=r"no attribute or callback 'recordr'.*Did you mean: recorder"):
        _ = learn.recordr
    learn.remove_cb(MyWatcher)
    assert not hasattr(learn, "my_watcher")


def test_adding_and_removing_for_a_while() -> None:
    learn, log = tiny_learner(), Log()
    with learn.added_cbs(log):
        assert log in learn.cbs
        with learn.removed_cbs(log):
            assert log not in learn.cbs
        learn.fit(1)
    assert log.seen and log not in learn.cbs


def test_a_callback_added_in_the_middle_of_a_fit_takes_part() -> None:
    late = Log()

    class Adds(Callback):
        def before_train(self, learn) -> None:
            learn.add_cb(late)

    tiny_learner().fit(1, cbs=Adds())
    assert "after_batch" in late.seen


def test_a_second_recorder_takes_the_place_of_the_first() -> None:
    learn = tiny_learner(cbs=Recorder(train_metrics=True))
    assert list(learn.fit(1).columns) == ["epoch", "train_loss", "train_accuracy", "valid_loss", "valid_accuracy", "time"]


def test_a_misspelled_event_is_an_error() -> None:
    class Typo(Callback):
        def after_epoc(self, learn) -> None: ...

    with pytest.raises(TypeError, match=r"after_epoc is not an event.*after_epoch"):
        tiny_learner(cbs=Typo())


def test_metrics_may_be_assigned_any_time_and_must_differ_in_name() -> None:
    learn = tiny_learner(metrics=None)
    learn.metrics = [accuracy, AverageMetric(accuracy, name="again")]
    assert list(learn.fit(1).columns)[3:5] == ["accuracy", "again"]
    with pytest.raises(SettingError, match="Two metrics are called 'accuracy'"):
        learn.metrics = [accuracy, accuracy]
    with pytest.raises(TypeError, match="metrics: got 3"):
        learn.metrics = 3


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"model": nn.Linear}, r"model is a type; expected a torch.nn.Module, made"),
        ({"loss_func": 3}, "loss_func=3: expected a function or module"),
        ({"loss_func": None}, r"No loss is known .* pass loss_func="),
        ({"precision": "half"}, "precision='half'"),
    ],
)
def test_parts_that_cannot_be(kwargs: dict, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        tiny_learner(**kwargs)


def test_a_loss_class_is_made() -> None:
    assert isinstance(tiny_learner(loss_func=nn.CrossEntropyLoss).loss_func, nn.CrossEntropyLoss)


def test_conv_weights_are_laid_out_channels_last() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, CLASSES))
    data = [(torch.rand(4, 3, 8, 8), torch.tensor([0, 1, 2, 0]))]
    learn = tiny_learner(dls=DataLoaders(data, data, device="cpu"), model=model, splitter=None)
    assert learn.model[0].weight.is_contiguous(memory_format=torch.channels_last)
    learn.fit(1)


def test_the_precision_is_set_by_its_familiar_name() -> None:
    learn = tiny_learner()
    with captured_notes() as notes:
        for name in ("bf16", "fp16", "fp32"):
            assert getattr(learn, f"to_{name}")() is learn and learn.precision.format == name
            learn.fit(1)
    assert any("fp16" in n and "emulated" in n for n in notes)

    class Changes(Callback):
        def before_batch(self, learn) -> None:
            learn.to_bf16()

    with pytest.raises(SettingError, match=r"can't become bf16 in the middle of a run.*learn\.to_bf16\(\)\.fit"):
        learn.fit(1, cbs=Changes)


def test_bf16_trains_and_reads_out_in_full_precision() -> None:
    with captured_notes():  # emulated bf16 is said to be slow
        learn = tiny_learner(precision="bf16")
    learn.fit_one_cycle(3, 0.05)
    assert learn.get_preds().preds.dtype == torch.float32
    assert next(learn.model.parameters()).dtype == torch.float32


def test_a_learner_without_data_cannot_train_and_says_what_to_do() -> None:
    learn = tiny_learner(dls=DataLoaders(device="cpu"))
    for call in (lambda: learn.fit(1), lambda: learn.fine_tune(1), lambda: learn.lr_find()):
        with captured_notes(), pytest.raises(NotTrainableError, match=r"no training data.*learn\.dls ="):
            call()
    learn.dls = tiny_dls()
    learn.fit(1)


def test_a_fit_inside_a_fit_is_refused() -> None:
    class Nested(Callback):
        def after_epoch(self, learn) -> None:
            learn.fit(1)

    with pytest.raises(SettingError, match="training already"):
        tiny_learner().fit(1, cbs=Nested())


# -- keeping ------------------------------------------------------------------------------------------------------------
def test_saved_and_loaded_it_goes_on_the_same(tmp_path: Path) -> None:
    learn = tiny_learner(tmp_path)
    learn.fit(1)
    path = learn.save("one")
    assert path == tmp_path / "models" / "one.safetensors"
    other = tiny_learner(tmp_path).load("one")
    assert same(state(learn), state(other))
    other.n_fits = learn.n_fits
    for a in (learn, other):
        a.fit(1)
    assert same(state(learn), state(other)), "the optimizer's moments must have come along"


def test_loading_what_is_not_there_or_of_another_model(tmp_path: Path) -> None:
    learn = tiny_learner(tmp_path)
    learn.save("one")
    with pytest.raises(FileNotFoundError, match=r"no saved model .*two.*there are: one"):
        learn.load("two")
    other = tiny_learner(tmp_path, model=tiny_model(n_out=5))
    with pytest.raises(SettingError, match=r"another model: 2 of another shape \(1\.weight, 1\.bias\).*strict=False"):
        other.load("one")
    with captured_notes() as notes:
        other.load("one", strict=False, with_opt=False)
    assert "Loaded 7 of 9 weights" in notes[0]
    assert torch.equal(other.model[0][0].weight, learn.model[0][0].weight)


def test_an_optimizer_that_does_not_fit_is_said_and_the_weights_are_loaded(tmp_path: Path) -> None:
    learn = tiny_learner(tmp_path)
    learn.fit(1)
    learn.save("one")
    other = tiny_learner(tmp_path, splitter=None)
    with captured_notes() as notes:
        other.load("one")
    assert "optimizer state isn't" in notes[0]
    assert same(state(learn), state(other))


def test_files_of_other_kinds_are_refused(tmp_path: Path) -> None:
    learn = tiny_learner(tmp_path)
    (tmp_path / "models").mkdir()
    torch.save(learn.model.state_dict(), tmp_path / "models" / "pickled.safetensors")
    with pytest.raises(ModelFileError):
        learn.load("pickled")
    exported = learn.export("models/exported.safetensors")
    with pytest.raises(ModelFileError, match="load_learner"):
        learn.load(exported.stem)


# -- looking ------------------------------------------------------------------------------------------------------------
def test_summary_says_layers_shapes_and_what_trains() -> None:
    learn = tiny_learner()
    learn.freeze()
    before, modes = state(learn), [m.training for m in learn.model.modules()]
    summary = learn.summary()
    text = repr(summary)
    for part in (
        "0.0 Linear",
        "16 x 16",
        "1 Linear",
        "16 x 3",
        "163 parameters, of which 51 train and 112 are frozen",
        "keeps its statistics",
    ):
        assert part in text, text
    assert "<table>" in summary._repr_html_()
    assert same(before, state(learn)) and modes == [m.training for m in learn.model.modules()]


def test_summary_counts_parameters_outside_of_layers() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale, self.linear = nn.Parameter(torch.ones(7)), nn.Linear(4, CLASSES)

        def forward(self, x):
            return self.linear(x) * self.scale.mean()

    summary = tiny_learner(model=Own(), splitter=None).summary()
    assert sum(row.params for row in summary.layers) == summary.total == 22


def test_the_training_loop_can_be_shown(capsys: pytest.CaptureFixture[str]) -> None:
    tiny_learner().show_training_loop()
    shown = capsys.readouterr().out
    assert "after_batch      Recorder" in shown
    assert shown.index("before_fit") < shown.index("after_fit")


def test_its_repr_names_model_data_loss_metrics_and_seed() -> None:
    text = repr(tiny_learner())
    for part in ("Sequential", "train 96", "CrossEntropyLoss", "accuracy", "seed: 7", "fp32 on cpu"):
        assert part in text


def test_body_and_head_are_the_groups() -> None:
    assert [len(list(m.parameters())) for m in body_and_head(tiny_model())] == [len(g) for g in tiny_learner().groups]


@pytest.mark.parametrize(("name", "value"), [("opt_func", torch.optim.SGD), ("wd_bn_bias", True)])
def test_how_the_optimizer_is_made_can_be_changed_between_fits(name: str, value) -> None:
    learn = tiny_learner()
    learn.fit(1)
    setattr(learn, name, value)
    learn.fit(1)
    assert isinstance(learn.opt, torch.optim.SGD if name == "opt_func" else torch.optim.AdamW)
    assert all(g["decays"] for g in learn.opt.param_groups) is (name == "wd_bn_bias")


def test_another_splitter_makes_the_groups_anew() -> None:
    learn = tiny_learner()
    learn.fit(1)
    learn.splitter = None
    learn.fit(1, lr=[1e-3])
    assert len(learn.groups) == 1 and {g["layer_group"] for g in learn.opt.param_groups} == {0}


@pytest.mark.parametrize("moms", [(0.9, 0.8), 0.9, (0.9, 0.8, 1.0), ("a", "b", "c")])
def test_momenta_that_cannot_be(moms) -> None:
    with pytest.raises(SettingError, match=r"moms=.*expected three numbers from 0 to below 1"):
        tiny_learner(moms=moms)
    with pytest.raises(SettingError, match=r"moms=.*expected three numbers from 0 to below 1"):
        tiny_learner().fit_one_cycle(1, moms=moms)


def test_callbacks_and_metrics_written_for_fastai_are_told_what_is_needed() -> None:
    class Old(Callback):
        def before_fit(self) -> None: ...

    class Typo(Callback):
        def befor_fit(self, learn) -> None: ...

    class OldMetric(Metric):
        def reset(self) -> None: ...
        def accumulate(self, learn) -> None: ...

    with pytest.raises(TypeError, match=r"Old\.before_fit is called with the learner.*def before_fit\(self, learn\)"):
        tiny_learner().add_cb(Old())
    with pytest.raises(TypeError, match=r"Typo\.befor_fit is not an event.*Did you mean: before_fit"):
        tiny_learner().add_cb(Typo())
    for metric in (OldMetric, OldMetric()):
        with pytest.raises(TypeError, match=r"OldMetric has no update\(...\), compute\(...\). A Metric needs reset\(self\), update"):
            tiny_learner(metrics=metric)
    with pytest.raises(TypeError, match=r"The metric 'nothing' returned None"):
        tiny_learner(metrics=AverageMetric(lambda output, target: None, "nothing")).fit(1)
    assert repr(tiny_learner().metrics) == "[AverageMetric(name='accuracy')]"


def test_a_misspelt_setting_of_a_callback_is_told_what_there_is() -> None:
    with pytest.raises(
        TypeError, match=r"Checkpoint\(\) got an unexpected keyword argument 'folder'.*It takes: every_steps, every_epochs, path, keep\."
    ):
        Checkpoint(folder="x")
    with pytest.raises(TypeError, match=r"EarlyStopping\w*\(\) got an unexpected keyword argument 'patient'.*Did you mean: patience"):
        EarlyStopping(patient=2)
