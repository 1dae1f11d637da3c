"""Results told with interval and baseline: assess, and the note at the end of a fit."""

from __future__ import annotations

import math
import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from burnish.data.category import CategoryBlock
from burnish.data.datablock import DataBlock
from burnish.data.dataloaders import DataLoaders
from burnish.data.files import get_image_files
from burnish.data.label import parent_label
from burnish.data.notes import captured_notes
from burnish.data.split import GroupSplitter
from burnish.evaluate.intervals import wilson
from burnish.evaluate.losses import CrossEntropyLossFlat, FocalLossFlat
from burnish.evaluate.metrics import (
    AccumMetric,
    CohenKappa,
    F1Score,
    MatthewsCorrCoef,
    Recall,
    RocAuc,
    accuracy,
    accuracy_multi,
    error_rate,
    optim_metric,
)
from burnish.evaluate.summary import ResultNote, assess, not_clearly_better
from burnish.train.callback import Callback
from burnish.train.callbacks.trackers import SaveModel
from burnish.train.learner import Learner
from burnish.train.metric import AverageMetric, Metric
from burnish.train.record import model_card, run_record
from burnish.vision.blocks import ImageBlock
from burnish.vision.dataloaders import ImageDataLoaders
from burnish.vision.transforms import Resize


@pytest.fixture(scope="module")
def dls(photos: Path) -> DataLoaders:
    return ImageDataLoaders.from_folder(photos, valid_pct=0.4, seed=2, item_tfms=Resize(16), bs=8, device="cpu")


def learner(dls: DataLoaders, tmp_path: Path, **kwargs: object) -> Learner:
    torch.manual_seed(0)
    model = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, dls.c))
    return Learner(dls, model, seed=0, path=tmp_path, **{"metrics": accuracy, **kwargs})  # type: ignore[arg-type]


def test_evaluate_gives_each_metric_its_interval_and_baseline(dls: DataLoaders, tmp_path: Path) -> None:
    learn = learner(dls, tmp_path, metrics=[accuracy, error_rate, F1Score()])
    table = assess(learn).set_index("metric")
    scores, n = learn.validate(), len(dls.valid.rows)
    assert list(table.index) == ["accuracy", "error_rate", "f1_score_macro", "loss"] and (table["n"] == n).all()
    for name in ("accuracy", "error_rate", "f1_score_macro"):
        assert table.loc[name, "value"] == pytest.approx(scores[name])
    assert table.loc["loss", "value"] == pytest.approx(scores[0], rel=1e-4)
    assert (table["low"] <= table["value"]).all() and (table["value"] <= table["high"]).all()
    right = round(table.loc["accuracy", "value"] * n)
    assert (table.loc["accuracy", "low"], table.loc["accuracy", "high"]) == pytest.approx(wilson(right, n))
    rows = dls.table
    most = rows[rows["split"] == "train"]["label"].value_counts().sort_index().idxmax()
    labels = rows[rows["split"] == "valid"]["label"]
    share = max((labels == most).mean(), labels.value_counts(normalize=True).max())
    assert table.loc["accuracy", "baseline"] == pytest.approx(share) and table.loc["error_rate", "baseline"] == pytest.approx(1 - share)
    assert table.loc["loss", "baseline"] == pytest.approx(math.log(3), abs=0.15)
    assert len(assess(learn, "train", "error_rate")) == 2


def test_without_metrics_the_targets_own_are_used(dls: DataLoaders, tmp_path: Path) -> None:
    assert assess(learner(dls, tmp_path, metrics=None))["metric"].tolist() == ["accuracy", "loss"]


class Never(Metric):
    name = "never"

    def reset(self) -> None: ...
    def update(self, preds: torch.Tensor, targs: torch.Tensor) -> None: ...
    def compute(self) -> float:
        raise ValueError("there is no such thing.")


def test_a_metric_that_cannot_be_computed_is_nan_and_says_why(dls: DataLoaders, tmp_path: Path) -> None:
    with captured_notes() as notes:
        table = assess(learner(dls, tmp_path), metrics=[Never(), accuracy]).set_index("metric")
    assert math.isnan(table.loc["never", "value"]) and table.loc["accuracy", "value"] >= 0
    assert notes == ["The metric 'never' is nan: there is no such thing."]


def test_groups_in_the_table_widen_the_interval(dls: DataLoaders, tmp_path: Path) -> None:
    learn = learner(dls, tmp_path)
    alone = assess(learn).set_index("metric").loc["loss"]
    dls.table["group"] = dls.table["label"] + [str(i % 2) for i in range(len(dls.table))]  # photographs alike, and so are their losses
    try:
        grouped = assess(learn).set_index("metric").loc["loss"]
    finally:
        del dls.table["group"]
    assert grouped["value"] == alone["value"] and grouped["high"] - grouped["low"] > alone["high"] - alone["low"]


def test_of_a_split_by_groups_the_note_after_a_fit_says_what_evaluate_says(photos: Path, tmp_path: Path) -> None:
    block = DataBlock(
        (ImageBlock, CategoryBlock), get_items=get_image_files, get_y=parent_label, item_tfms=Resize(16),
        splitter=GroupSplitter(lambda file: file.stem[-1], valid_pct=0.4),
    )  # fmt: skip
    dls = block.dataloaders(photos, bs=8, device="cpu", seed=0)
    learn = learner(dls, tmp_path, cbs=ResultNote())
    with captured_notes() as notes:
        learn.fit(1, 1e-2)
    assert len(results_said(notes)) == 1 and not any("can't be told" in n for n in notes)
    row = assess(learn).set_index("metric").loc["accuracy"]
    assert learn.result_note.table.set_index("metric").loc["accuracy"].tolist() == pytest.approx(row.tolist(), nan_ok=True)


def test_a_metric_of_the_users_that_is_called_loss_is_told_too(tmp_path: Path) -> None:
    learn = plain(
        torch.arange(20) % 2, nn.CrossEntropyLoss(), [0.0, 1.0], metrics=[AverageMetric(error_rate, "loss"), accuracy], cbs=ResultNote()
    )
    with captured_notes() as notes:
        learn.fit(1, 1e-8)
    (said,) = results_said(notes)
    assert "loss 0.50 (95 % interval" in said and learn.results["valid"]["metric"].tolist() == ["loss", "accuracy"]


def test_after_a_fit_a_metric_that_cannot_be_computed_is_told_once(dls: DataLoaders, tmp_path: Path) -> None:
    learn = learner(dls, tmp_path, metrics=[Never(), accuracy], cbs=ResultNote())
    for run in (lambda: learn.fit(2), learn.validate):
        with captured_notes() as notes:
            run()
        assert sum("'never'" in n for n in notes) == 1 and "never nan" in results_said(notes)[0]


def results_said(notes: list[str]) -> list[str]:
    return [n for n in notes if n.startswith("valid:")]


def test_the_note_after_a_fit_says_what_evaluate_says(dls: DataLoaders, tmp_path: Path) -> None:
    learn = learner(dls, tmp_path, cbs=ResultNote())
    with captured_notes() as notes:
        learn.fit(2, 1e-2)
    (said,) = results_said(notes)
    row = assess(learn).set_index("metric").loc["accuracy"]
    assert said.startswith(
        f"valid: accuracy {row['value']:.2f} (95 % interval {row['low']:.2f} to {row['high']:.2f}, {row['n']:.0f} images); always answering '"
    )
    assert f" {row['baseline']:.2f}" in said.partition("always answering")[2]
    assert learn.result_note.table.set_index("metric").loc["accuracy"].tolist() == pytest.approx(row.tolist())
    assert ("Not clearly better than that: accuracy" in said) == (row["low"] <= row["baseline"])


def test_the_note_names_each_of_several_metrics(dls: DataLoaders, tmp_path: Path) -> None:
    learn = learner(dls, tmp_path, cbs=ResultNote(), metrics=[accuracy, RocAuc()])
    with captured_notes() as notes:
        learn.fit(1)
    (said,) = results_said(notes)
    assert re.fullmatch(
        r"valid: accuracy 0\.\d+ \(95 % interval 0\.\d+ to 0\.\d+, 14 images\), roc_auc 0\.\d+ \(0\.\d+ to 0\.\d+\); "
        r"always answering '\w+'( \(the most frequent class here\))?: accuracy 0\.\d+, roc_auc 0\.50(\. Not clearly better than that: .+)?",
        said,
    )


def test_fine_tune_says_it_once_and_the_finder_never(dls: DataLoaders, tmp_path: Path) -> None:
    learn = learner(dls, tmp_path, cbs=ResultNote(), splitter=lambda m: [list(m[2].parameters())[:1], list(m[2].parameters())[1:]])
    with captured_notes() as notes:
        learn.fine_tune(1)
        learn.lr_find(num_it=3, show_plot=False)
        learn.get_preds()
    assert len(results_said(notes)) == 1


def test_validate_is_told_like_a_fit_and_names_its_split(dls: DataLoaders, tmp_path: Path) -> None:
    learn = learner(dls, tmp_path, cbs=ResultNote())
    with captured_notes() as after_fit:
        learn.fit(1, 1e-2)
    with captured_notes() as notes:
        valid, train = learn.validate(), learn.validate("train")
        own = learn.validate(dl=learn.dls.valid)
        other = learn.validate(dl=learn.dls.test_dl(dls.table["image"].tolist()[:9], with_labels=True))
    assert notes[0] == notes[2] == results_said(after_fit)[0]
    assert notes[1].startswith("train: accuracy ") and "22 images); always answering '" in notes[1]
    assert notes[3].startswith("the given loader: accuracy ") and "9 images)" in notes[3] and len(notes) == 4
    assert (valid.names[0], train.names[0], own.names[0], other.names[0]) == ("valid_loss", "train_loss", "valid_loss", "loss")
    assert valid["loss"] == valid["valid_loss"] == valid[0] and train["loss"] == train["train_loss"]
    with pytest.raises(KeyError, match=r"no 'valid_loss' among these scores.*train_loss, accuracy"):
        train["valid_loss"]
    assert set(learn.results) == {"valid", "train"}
    with captured_notes():
        learn.fit(1, 1e-2)
    assert set(learn.results) == {"valid"}  # what was measured of earlier weights is none of these


def test_validating_in_the_middle_of_a_fit_says_nothing(dls: DataLoaders, tmp_path: Path) -> None:
    class Peeks(Callback):
        def after_epoch(self, learn: Learner) -> None:
            learn.validate("train")

    with captured_notes() as notes:
        learner(dls, tmp_path, cbs=ResultNote()).fit(2, cbs=Peeks())
    assert len(notes) == len(results_said(notes)) == 1


def test_the_learner_that_people_meet_tells_its_results(dls: DataLoaders) -> None:
    from burnish.vision.all import Learner as Met

    torch.manual_seed(0)
    learn = Met(dls, nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, dls.c)), metrics=accuracy, seed=0)
    assert isinstance(learn, Learner)
    with captured_notes() as notes:
        learn.fit(1)
        learn.validate()
    assert len(results_said(notes)) == 2 and all("95 % interval" in n and "always answering" in n for n in results_said(notes))


def test_results_on_the_test_split_are_recorded_and_in_the_card(photos: Path, tmp_path: Path) -> None:
    dls = ImageDataLoaders.from_folder(photos, valid_pct=0.3, test_pct=0.3, seed=2, item_tfms=Resize(16), bs=8, device="cpu")
    learn = learner(dls, tmp_path, cbs=ResultNote())
    with captured_notes():
        learn.fit(1)
        table = assess(learn, "test")
        scored = run_record(learn)
    rows = [r for r in scored["results"] if r["split"] == "test"]
    assert [r["metric"] for r in rows] == ["accuracy", "loss"] and rows[0]["value"] == pytest.approx(table["value"][0])
    assert [r["metric"] for r in scored["results"] if r["split"] == "valid"] == ["accuracy"]
    card = model_card(scored, dls.blocks, 1)
    valid, test = card.index("Measured on the validation split"), card.index("Measured on the test split, which was kept aside")
    assert valid < card.index("- accuracy") < test < card.rindex("- accuracy") and card.count("95 % interval") == 3


class Upset(Callback):
    """Interrupts, or spoils the weights after the first epoch (and after SaveModel has kept them)."""

    order = 65

    def __init__(self, interrupt: bool) -> None:
        self.interrupt = interrupt

    def after_epoch(self, learn: Learner) -> None:
        if self.interrupt:
            raise KeyboardInterrupt
        if learn.epoch == 0:
            with torch.no_grad():
                for p in learn.model.parameters():
                    p.copy_(torch.randn(p.shape, generator=torch.Generator().manual_seed(5)) * 30)


def test_an_interrupted_fit_says_nothing_and_keeps_nothing(dls: DataLoaders, tmp_path: Path) -> None:
    learn = learner(dls, tmp_path, cbs=ResultNote())
    with captured_notes() as notes, pytest.raises(KeyboardInterrupt):
        learn.fit(2, cbs=Upset(interrupt=True))
    assert not results_said(notes) and learn.result_note.table is None and not learn.result_note._kept


@pytest.mark.parametrize(
    ("event", "epoch", "known"),
    [("after_batch", 1, False), ("after_batch", 0, False), ("after_validate", 1, False), ("before_epoch", 1, True)],
)
def test_the_record_of_an_interrupted_fit_has_no_results_of_earlier_weights(
    event: str, epoch: int, known: bool, dls: DataLoaders, tmp_path: Path
) -> None:
    """Ctrl-C in an epoch leaves weights that nobody has measured, except between two epochs."""

    class Stop(Callback):
        def stop(self, learn: Any) -> None:
            if learn.epoch == epoch:
                raise KeyboardInterrupt

    setattr(Stop, event, Stop.stop)
    learn = learner(dls, tmp_path)
    with captured_notes():
        learn.fit(1, 1e-3)
        assert run_record(learn)["results"]
        with pytest.raises(KeyboardInterrupt):
            learn.fit(2, 1e-3, cbs=Stop())
        record = run_record(learn)
        assert len(record["history"]) == 1 + epoch and bool(record["results"]) is known
        assert ("Nothing is known about how good it is" in model_card(record, dls.blocks, 1)) is not known
        learn.validate()
    assert run_record(learn)["results"] or not known


def test_with_the_best_weights_put_back_it_tells_of_the_best_epoch(dls: DataLoaders, tmp_path: Path) -> None:
    learn = learner(dls, tmp_path, cbs=ResultNote())
    with captured_notes():
        learn.fit(3, 1e-3, cbs=[SaveModel(), Upset(interrupt=False)])
        best = assess(learn).set_index("metric")
    told = learn.result_note.table.set_index("metric")
    assert told.loc["accuracy"].tolist() == pytest.approx(best.loc["accuracy"].tolist())
    last = learn.recorder.rows[-1]["valid_loss"]
    assert best.loc["loss", "value"] < last  # the last epoch was indeed another one


def test_results_are_of_the_weights_that_were_measured_and_loading_others_forgets_them(dls: DataLoaders, tmp_path: Path) -> None:
    learn = learner(dls, tmp_path, cbs=ResultNote())
    learn.save("fresh")
    with captured_notes():
        learn.fit(2, 1e-2, cbs=SaveModel())
        assert run_record(learn)["results"][0]["value"] == pytest.approx(learn.results["valid"]["value"][0])
        learn.validate("train")
        learn.load("fresh")
        assert learn.results == {} and run_record(learn)["results"] == []
        assert "Nothing is known about how good it is" in model_card(run_record(learn), dls.blocks, 1)
        scores = learn.validate()
        assert run_record(learn)["results"][0]["value"] == pytest.approx(scores["accuracy"])
        learn.fit(1, 1e-2)
    assert run_record(learn)["results"]


def test_more_output_than_is_kept_has_no_interval_and_a_note_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("burnish.evaluate.summary.MOST_KEPT", 30)
    learn = plain(torch.arange(20) % 2, nn.CrossEntropyLoss(), [-1.0, 1.0], metrics=accuracy, cbs=ResultNote())
    with captured_notes() as notes:
        learn.fit(1, 1e-8)
        learn.validate()
    assert len(notes) == 2 and all(
        "no intervals: the outputs" in n and "more than the 30 numbers" in n and "assess(learn)" in n for n in notes
    )
    assert learn.results == {} and run_record(learn)["results"][-1] == {"split": "valid", "metric": "accuracy", "value": 0.5}


def test_plain_loaders_have_no_baseline(tmp_path: Path) -> None:
    x, y = torch.randn(24, 3), torch.arange(24) % 2
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=8)
    learn = Learner(
        DataLoaders(loader, loader, device="cpu"), nn.Linear(3, 2), nn.CrossEntropyLoss(), metrics=accuracy, cbs=ResultNote(), seed=0
    )
    with captured_notes() as notes:
        learn.fit(1)
    (said,) = results_said(notes)
    assert said.endswith(", 24 samples)") and np.isnan(learn.result_note.table["baseline"]).all()


@pytest.mark.parametrize(
    ("low", "high", "baseline", "direction", "doubted"),
    [(0.8, 0.95, 0.5, "higher", False), (0.4, 0.6, 0.5, "higher", True), (0.1, 0.3, 0.5, "higher", True), (0.1, 0.3, 0.5, "lower", False),
     (0.6, 0.9, 0.5, "lower", True), (0.1, 0.3, math.nan, "higher", False)],
)  # fmt: skip
def test_a_result_on_the_wrong_side_of_its_baseline_is_doubted(
    low: float, high: float, baseline: float, direction: str, doubted: bool
) -> None:
    row = {"metric": "m", "value": (low + high) / 2, "low": low, "high": high, "baseline": baseline, "n": 50}
    assert not_clearly_better(pd.DataFrame([row]), {"m": direction}) == (["m"] if doubted else [])


@pytest.mark.parametrize(
    ("value", "baseline", "direction", "doubted"),
    [(0.0, 0.0, "higher", True), (1.0, 0.5, "higher", False), (0.2, 0.5, "higher", True), (0.0, 0.5, "lower", False),
     (0.5, 0.5, "lower", True), (0.5, 0.5, None, False), (math.nan, 0.5, "higher", False)],
)  # fmt: skip
def test_without_an_interval_the_value_itself_must_be_better(value: float, baseline: float, direction: str | None, doubted: bool) -> None:
    row = {"metric": "m", "value": value, "low": math.nan, "high": math.nan, "baseline": baseline, "n": 50}
    assert not_clearly_better(pd.DataFrame([row]), {"m": direction}) == (["m"] if doubted else [])


def plain(target: torch.Tensor, loss: Any, bias: list[float], **kwargs: Any) -> Learner:
    """A learner on plain loaders whose model gives `bias` for every sample, whatever it sees, and hardly learns."""
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.zeros(len(target), 3), target), batch_size=len(target))
    model = nn.Linear(3, len(bias))
    with torch.no_grad():
        model.bias.copy_(torch.tensor(bias))
    return Learner(DataLoaders(loader, loader, device="cpu"), model, loss, seed=0, **kwargs)


def test_a_model_that_always_answers_the_majority_is_doubted(photos: Path, tmp_path: Path) -> None:
    items = sorted(photos.rglob("*.jpg"))
    dls = ImageDataLoaders.from_lists(
        photos,
        items,
        ["pear" if i % 4 else "other" for i in range(len(items))],
        valid_pct=0.5,
        seed=1,
        item_tfms=Resize(16),
        bs=8,
        device="cpu",
    )
    learn = learner(dls, tmp_path, metrics=[F1Score(), Recall(), MatthewsCorrCoef(), CohenKappa()], cbs=ResultNote())
    with torch.no_grad():
        learn.model[2].weight.zero_()
        learn.model[2].bias.copy_(torch.tensor([-5.0, 5.0]))
    with captured_notes() as notes:
        learn.fit(1, 1e-8)
    (said,) = results_said(notes)
    said, _, of_one_class = said.partition(". Of class ")
    assert of_one_class == "'pear': f1_score, recall"
    for name in learn.result_note.table["metric"]:
        assert name in said.partition("Not clearly better than that: ")[2], said


@pytest.mark.parametrize(
    "loss",
    [
        nn.CrossEntropyLoss(weight=torch.tensor([1.0, 10.0])),
        CrossEntropyLossFlat(weight=[1, 10]),
        FocalLossFlat(weight=[1, 10]),
        partial(nn.functional.cross_entropy, weight=torch.tensor([1.0, 10.0])),
        nn.CrossEntropyLoss(weight=torch.tensor([1.0, 10.0]), label_smoothing=0.1),
        nn.CrossEntropyLoss(ignore_index=1),
    ],
    ids=lambda loss: type(loss).__name__,
)
def test_with_class_weights_the_loss_is_the_validation_loss(loss: Any) -> None:
    learn = plain((torch.arange(40) % 4 == 0).long(), loss, [0.5, 1.0])
    row = assess(learn).set_index("metric").loc["loss"]
    assert row["value"] == pytest.approx(learn.validate()[0], rel=1e-5)


def test_balanced_by_the_loss_a_better_result_is_not_told_as_worse(photos: Path, tmp_path: Path) -> None:
    items = sorted(photos.rglob("*.jpg"))
    dls = ImageDataLoaders.from_lists(
        photos, items, ["pear" if "pear" in str(i) else "other" for i in items], valid_pct=0.4, seed=2, item_tfms=Resize(16), bs=64,
        device="cpu", balance="loss",
    )  # fmt: skip
    learn = learner(dls, tmp_path)
    row = assess(learn).set_index("metric").loc["loss"]
    assert row["value"] == pytest.approx(learn.validate()[0], rel=1e-5) and row["low"] < row["value"] < row["high"]
    assert row["baseline"] == pytest.approx(math.log(2), abs=0.03)  # both classes weigh the same: nobody knows better than a coin
    with torch.no_grad():
        learn.model[2].weight.zero_()
        learn.model[2].bias.zero_()
    coin = assess(learn).set_index("metric").loc["loss"]
    assert coin["value"] == pytest.approx(coin["baseline"], abs=0.03)


def test_a_tuned_threshold_is_told_by_a_name_that_says_so_and_is_there_after_the_fit() -> None:
    target = (torch.arange(40) % 4 == 0).float()[:, None]
    metrics = [optim_metric(accuracy_multi, "thresh", (0.3, 0.9)), optim_metric(accuracy_multi, "thresh", (0.3, 0.9), get_x=True)]
    learn = plain(target, nn.BCEWithLogitsLoss(), [0.0], metrics=metrics, cbs=ResultNote())
    with captured_notes() as notes:
        results = learn.fit(1, 1e-8)
    (said,) = results_said(notes)
    assert said.startswith("valid: accuracy_multi_at_best_thresh 0.75 (95 % interval 0.") and "accuracy_multi_best_thresh 0.7" in said
    assert results["accuracy_multi_best_thresh"].tolist() == [metrics[0].x] and 0.5 < metrics[0].x < 0.9


def by_hand(output: torch.Tensor, target: torch.Tensor) -> float:
    """Precision of class 1 in plain Python: a sample that isn't predicted as 1 has none."""
    said = output.argmax(1).tolist()
    return sum(s == t == 1 for s, t in zip(said, target.tolist(), strict=True)) / sum(s == 1 for s in said)


def squeezed(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """An accuracy that can't take one sample alone."""
    return (output.squeeze().argmax(dim=1) == target).float().mean()


def test_a_metric_that_fails_on_single_samples_has_its_interval_from_resamples(dls: DataLoaders, tmp_path: Path) -> None:
    learn = learner(dls, tmp_path, metrics=[AccumMetric(by_hand, flatten=False), squeezed, accuracy], cbs=ResultNote())
    with torch.no_grad():
        learn.model[2].bias[1] += 1
    with captured_notes() as notes:
        learn.fit(1, 1e-4)
    assert len(results_said(notes)) == 1
    table = learn.result_note.table.set_index("metric")
    assert table.loc["squeezed", "value"] == pytest.approx(table.loc["accuracy", "value"])
    assert table.loc["squeezed", "low"] < table.loc["squeezed", "value"] < table.loc["squeezed", "high"]


def test_a_metric_that_fails_on_every_resample_has_no_interval_and_the_note_says_why() -> None:
    calls: list[int] = []

    def once(output: torch.Tensor, target: torch.Tensor) -> float:
        calls.append(1)
        return 0.5 if len(calls) <= 2 else {}["gone"]

    learn = plain(torch.arange(20) % 2, nn.CrossEntropyLoss(), [0.0, 1.0], metrics=[AccumMetric(once), accuracy], cbs=ResultNote())
    with captured_notes() as notes:
        results = learn.fit(1, 1e-8)
    assert results["once"].tolist() == [0.5]
    table = learn.result_note.table.set_index("metric")
    assert table.loc["once", "value"] == 0.5 and math.isnan(table.loc["once", "low"]) and table.loc["accuracy", "low"] < 0.5
    assert "The metric 'once' has no interval: on 1,000 of 1,000 resamples it raised KeyError: 'gone'" in notes


def test_whatever_a_metric_does_after_training_the_fit_gives_its_results() -> None:
    def first(output: torch.Tensor, target: torch.Tensor) -> float:
        return 0.5 if len(output) == 8 else 1 / 0

    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.zeros(24, 3), torch.arange(24) % 2), batch_size=8)
    learn = Learner(
        DataLoaders(loader, loader, device="cpu"), nn.Linear(3, 2), nn.CrossEntropyLoss(), metrics=first, cbs=ResultNote(), seed=0
    )
    with captured_notes() as notes:
        assert learn.fit(1)["first"].tolist() == [0.5]
    assert any("can't be told with their intervals (ZeroDivisionError" in n for n in notes)
