"""Interpretation of real small learners: one pass, and every answer against one worked out by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn import metrics as skm
from torch import nn
from torch.utils.data import DataLoader as TorchLoader
from torch.utils.data import TensorDataset

from burnish.data.dataloaders import DataLoaders
from burnish.data.notes import captured_notes
from burnish.errors import DataError, SettingError
from burnish.evaluate.interpret import ClassificationInterpretation, Interpretation
from burnish.evaluate.metrics import accuracy, accuracy_multi, mae
from burnish.evaluate.plots import draw_confusion
from burnish.train.learner import Learner
from burnish.vision.dataloaders import ImageDataLoaders
from burnish.vision.transforms import Resize


class Counted(nn.Module):
    """A small model that counts the samples that went through it."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, classes))
        self.layers[2].weight.data.mul_(10)
        self.seen = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen += len(x)
        return self.layers(x)


@pytest.fixture(scope="module")
def dls(photos: Path) -> DataLoaders:
    found = ImageDataLoaders.from_folder(photos, valid_pct=0.5, seed=2, item_tfms=Resize(32), bs=8, device="cpu")
    found.table["site"] = ["north" if i % 3 else "south" for i in range(len(found.table))]
    return found


@pytest.fixture(scope="module")
def learn(dls: DataLoaders) -> Learner:
    return Learner(dls, Counted(dls.c), metrics=accuracy, seed=0)


@pytest.fixture(scope="module")
def interp(learn: Learner) -> ClassificationInterpretation:
    return ClassificationInterpretation.from_learner(learn)


def titles() -> list[str]:
    return [ax.get_title() for ax in plt.gcf().axes if ax.get_title()]


def test_one_pass_answers_everything(learn: Learner) -> None:
    learn.model.seen = 0
    found = ClassificationInterpretation.from_learner(learn)
    assert learn.model.seen == len(learn.dls.valid.rows) == len(found)
    found.plot_confusion_matrix()
    found.plot_top_losses(4)
    found.show_results(2)
    found.most_confused(), found.top_losses(3), found.classification_report(), found.results(), found.by_group("site"), found.table
    assert learn.model.seen == len(found)


def test_what_is_stored_is_what_get_preds_gives(learn: Learner, interp: ClassificationInterpretation) -> None:
    found = learn.get_preds(with_decoded=True, with_loss=True)
    assert torch.allclose(interp.preds, found.preds) and torch.equal(interp.decoded, found.decoded)
    assert torch.allclose(interp.losses, found.losses, atol=1e-5) and (interp.rows == found.rows).all()
    assert torch.allclose(interp.outputs.softmax(1), interp.preds)


@pytest.mark.parametrize(("ds_idx", "split"), [(0, "train"), ("train", "train"), (1, "valid")])
def test_any_split(learn: Learner, ds_idx: Any, split: str) -> None:
    found = Interpretation.from_learner(learn, ds_idx)
    assert set(found.table["split"]) == {split} and len(Interpretation.from_learner(learn, split=split)) == len(found)
    own = Interpretation.from_learner(learn, dl=learn.dls[split])
    assert own.split == split and own.table.equals(found.table)
    found.plot_top_losses(1)
    with pytest.raises(SettingError, match=r"no split 'validate': expected 'train', 'valid' or 'test'.*Did you mean: valid"):
        Interpretation.from_learner(learn, "validate")


def test_the_table_joins_predictions_with_the_rows_of_the_data(interp: ClassificationInterpretation, dls: DataLoaders) -> None:
    table = interp.table
    assert table.index.equals(dls.table[dls.table["split"] == "valid"].index)
    vocab = list(dls.vocab)
    for i, row in enumerate(table.to_dict("records")):
        actual = vocab.index(row["label"])
        assert row["prediction"] == vocab[int(interp.preds[i].argmax())] and int(interp.targs[i]) == actual
        assert row["probability"] == pytest.approx(float(interp.preds[i].max()))
        assert row["probability_actual"] == pytest.approx(float(interp.preds[i, actual]))
        assert row["loss"] == pytest.approx(-np.log(row["probability_actual"]), abs=1e-4)
    assert "prediction" not in dls.table


def test_columns_that_the_user_has_already_are_kept(interp: ClassificationInterpretation, dls: DataLoaders) -> None:
    dls.table["loss"] = 7
    try:
        table = interp.table
        assert (table["source_loss"] == 7).all() and table["loss"].tolist() == pytest.approx(interp.losses.tolist())
    finally:
        del dls.table["loss"]


@pytest.mark.parametrize("name", ["loss", "prediction", "probability"])
def test_groups_are_of_the_users_column_where_the_interpretation_has_one_of_its_name(
    name: str, interp: ClassificationInterpretation, dls: DataLoaders
) -> None:
    by_site = interp.by_group("site")
    dls.table[name] = dls.table["site"]
    try:
        with captured_notes() as notes:
            found = interp.by_group(name)
        assert found.rename(columns={name: "site"}).equals(by_site)
        assert (
            any(f"'source_{name}'" in said for said in notes) and interp.by_group(f"source_{name}")["n"].tolist() == by_site["n"].tolist()
        )
    finally:
        del dls.table[name]
    assert set(interp.by_group("prediction")["prediction"]) <= set(dls.vocab)


def test_groups_are_of_the_users_column_called_split(interp: ClassificationInterpretation, dls: DataLoaders) -> None:
    dls.table["source_split"] = dls.table["site"]  # what a table's own column of that name is called
    try:
        assert set(interp.by_group("split")["split"]) == {"north", "south"}
    finally:
        del dls.table["source_split"]


def test_top_losses(interp: ClassificationInterpretation, dls: DataLoaders) -> None:
    losses, where, items = interp.top_losses(3, items=True)
    order = np.argsort(-interp.losses.numpy(), kind="stable")
    assert where.tolist() == order[:3].tolist() and losses.tolist() == sorted(interp.losses.tolist(), reverse=True)[:3]
    assert items == dls.table["image"].iloc[interp.rows[order[:3]]].tolist()
    assert interp.top_losses(2, largest=False)[0].tolist() == sorted(interp.losses.tolist())[:2]
    assert len(interp.top_losses()[0]) == len(interp)
    with captured_notes() as notes:
        assert len(interp.top_losses(10_000)[0]) == len(interp)
    assert notes == [f"top_losses: 10000 samples asked for and the split has {len(interp)}; all of them are given."]
    for wrong in (0, -1, 2.5, True):
        with pytest.raises(SettingError, match="expected how many samples"):
            interp.top_losses(wrong)  # type: ignore[arg-type]


def test_plot_top_losses_draws_the_worst_with_both_probabilities(interp: ClassificationInterpretation) -> None:
    interp.plot_top_losses(4)
    worst = interp.table.sort_values("loss", ascending=False, kind="stable").head(4).to_dict("records")
    assert len(titles()) == 4
    for title, row in zip(titles(), worst, strict=True):
        assert title.splitlines()[0] == f"predicted {row['prediction']} {row['probability']:.0%}"
        p = "" if row["label"] == row["prediction"] else f" {row['probability_actual']:.0%}"
        assert title.splitlines()[1:] == [f"actual {row['label']}{p}", f"loss {row['loss']:.2f}"]
    picture = plt.gcf().axes[0].images[0].get_array()
    assert picture.shape == (32, 32, 3) and picture.std() > 5  # the photograph as the model saw it
    interp.plot_top_losses(range(2, 5), largest=False, nrows=1)
    losses = [float(t.splitlines()[-1].split()[1]) for t in titles()]
    assert losses == pytest.approx(sorted(interp.losses.tolist())[2:5], abs=0.006)
    interp.plot_top_losses(np.int64(3))
    assert len(titles()) == 3
    with pytest.raises(SettingError, match=f"k: 99 is outside of the {len(interp)} samples"):
        interp.plot_top_losses([0, 99])


def test_show_results_draws_those_asked_for(interp: ClassificationInterpretation) -> None:
    interp.show_results([3, 1])
    table = interp.table.reset_index()
    assert [t.splitlines()[1].split()[1] for t in titles()] == [table["label"][3], table["label"][1]]
    interp.show_results(np.int32(2), ncols=1)
    assert len(titles()) == 2


def test_confusion_is_scikit_learns(interp: ClassificationInterpretation) -> None:
    table, vocab = interp.table, interp.vocab
    wanted = skm.confusion_matrix(table["label"].tolist(), table["prediction"].tolist(), labels=vocab)
    assert (interp.confusion_matrix() == wanted).all() and wanted.sum() > np.trace(wanted) > 0
    assert interp.confusion_table().loc[vocab[0], vocab[1]] == wanted[0, 1]
    confused = interp.most_confused()
    assert sum(n for *_, n in confused) == wanted.sum() - np.trace(wanted)
    assert [n for *_, n in confused] == sorted((n for *_, n in confused), reverse=True)
    assert all(wanted[vocab.index(a), vocab.index(p)] == n and a != p for a, p, n in confused)
    assert interp.most_confused(min_val=2) == [c for c in confused if c[2] >= 2]
    shares = interp.most_confused_table()
    assert list(shares.columns) == ["actual", "predicted", "count", "share"]
    first = shares.iloc[0]
    assert first["share"] == pytest.approx(first["count"] / (table["label"] == first["actual"]).sum())
    assert (interp.confusion_matrix() == wanted).all()  # asking for the mistakes leaves the matrix as it was


@pytest.mark.parametrize("normalize", [False, True])
def test_the_drawn_matrix_says_its_numbers(interp: ClassificationInterpretation, normalize: bool) -> None:
    interp.plot_confusion_matrix(normalize=normalize, title="Fruit", norm_dec=1)
    (ax,) = plt.gcf().axes
    counts = interp.confusion_matrix()
    rows, columns = np.nonzero(counts)
    wanted = [f"{counts[i, j] / counts[i].sum():.1f}" if normalize else str(counts[i, j]) for i, j in zip(rows, columns, strict=True)]
    assert [t.get_text() for t in ax.texts] == wanted and ax.get_title() == "Fruit"
    assert [t.get_text() for t in ax.get_yticklabels()] == interp.vocab and ax.get_ylabel() == "actual"
    interp.plot_confusion_matrix(plot_txt=False, figsize=(3, 3), dpi=50)
    assert not plt.gcf().axes[0].texts and plt.gcf().get_size_inches().tolist() == [3, 3]


@pytest.mark.parametrize(("names", "rotation"), [(["0", "1", "2"], 0), (["Carabus violaceus", "Carabus nemoralis", "other"], 90)])
def test_names_below_the_matrix_are_turned_only_where_they_do_not_fit(names: list[str], rotation: int) -> None:
    draw_confusion(np.eye(3, dtype=int), names)
    assert {label.get_rotation() for label in plt.gcf().axes[0].get_xticklabels()} == {rotation}


def test_the_report_is_scikit_learns(interp: ClassificationInterpretation, capsys: pytest.CaptureFixture[str]) -> None:
    interp.print_classification_report()
    table = interp.table
    assert (
        capsys.readouterr().out.strip()
        == skm.classification_report(table["label"].tolist(), table["prediction"].tolist(), zero_division=0).strip()
    )
    report = interp.classification_report()
    recall = skm.recall_score(table["label"].tolist(), table["prediction"].tolist(), average=None, labels=interp.vocab)
    assert report.loc[interp.vocab, "recall"].tolist() == pytest.approx(recall.tolist())
    assert report.loc["macro avg", "support"] == len(interp) and {"weighted avg", "accuracy"} <= set(report.index)


def test_results_by_group(interp: ClassificationInterpretation) -> None:
    found = interp.by_group("site")
    table = interp.table
    right = (table["label"] == table["prediction"]).groupby(table["site"]).agg(["mean", "size"]).sort_values("size", ascending=False)
    assert found["site"].tolist() == right.index.tolist() == ["north", "south"] and found["n"].tolist() == right["size"].tolist()
    assert found["accuracy"].tolist() == pytest.approx(right["mean"].tolist())
    assert (found["accuracy_low"] < found["accuracy_high"]).all()
    assert "balanced_accuracy" in interp.by_group("site", "balanced_accuracy")
    with pytest.raises(DataError, match=r"no column 'sites'\. Did you mean: site.*Columns: image, label"):
        interp.by_group("sites")


def test_results_by_group_know_patients_and_the_baseline(interp: ClassificationInterpretation, dls: DataLoaders) -> None:
    alone = interp.by_group("site").set_index("site")
    dls.table["group"] = dls.table["label"] + dls.table["site"]  # photographs of one patient are alike
    try:
        together = interp.by_group("site").set_index("site")
    finally:
        del dls.table["group"]
    assert together["accuracy"].tolist() == alone["accuracy"].tolist()
    width = [table["accuracy_high"] - table["accuracy_low"] for table in (alone, together)]
    assert (width[1] > width[0]).all()
    labels = interp.table.groupby("site")["label"].agg(lambda of: of.value_counts(normalize=True).max())
    assert (alone["accuracy_baseline"] <= labels[alone.index]).all() and (alone["accuracy_baseline"] > 0).all()


def test_a_cell_by_group_that_cannot_be_computed_says_why(interp: ClassificationInterpretation, dls: DataLoaders) -> None:
    dls.table["each"] = [str(i) for i in range(len(dls.table))]
    try:
        with captured_notes() as notes:
            assert interp.by_group("label", "roc_auc")["roc_auc"].isna().all()
            few, notes[:] = list(notes), []
            interp.by_group("each", "roc_auc")
    finally:
        del dls.table["each"]
    assert few[0].startswith("The metric 'roc_auc' is nan for label 'conference_pear': roc_auc can't be computed") and len(few) == 3
    assert len(notes) == 6 and notes[-1] == f"by_group: {len(interp) - 5} more of such notes."


def tabular(target: torch.Tensor, loss: nn.Module, outs: int) -> Learner:
    x = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    loaders = [TorchLoader(TensorDataset(x, target), batch_size=8, shuffle=shuffle) for shuffle in (True, False)]
    torch.manual_seed(0)
    return Learner(DataLoaders(*loaders, device="cpu"), nn.Linear(3, outs), loss_func=loss, seed=0)


def test_plain_loaders_and_a_plain_loss_give_probabilities_and_no_pictures() -> None:
    interp = ClassificationInterpretation.from_learner(tabular(torch.arange(20) % 3, nn.CrossEntropyLoss(), 3), 0)
    assert interp.preds.sum(1).allclose(torch.ones(20)) and interp.vocab == [0, 1, 2]
    assert interp.targs.tolist() == [i % 3 for i in range(20)]  # the shuffled training loader, in the order of the data
    assert interp.confusion_matrix().sum() == 20
    assert {"actual", "prediction", "probability", "probability_actual", "loss"} == set(interp.table.columns)
    assert interp.top_losses(1, items=True)[2] == interp.top_losses(1)[1].tolist()
    with pytest.raises(DataError, match="plain PyTorch loader can't be drawn"):
        interp.plot_top_losses(2)


@pytest.mark.parametrize(
    ("target", "loss", "outs", "says"),
    [
        ((torch.rand(20, 2) > 0.5).float(), nn.BCEWithLogitsLoss(), 2, "several labels per sample"),
        (torch.randn(20, 1), nn.MSELoss(), 1, "numbers"),
    ],
)
def test_no_confusion_matrix_without_classes(target: torch.Tensor, loss: nn.Module, outs: int, says: str) -> None:
    interp = ClassificationInterpretation.from_learner(tabular(target, loss, outs))
    for ask in (interp.confusion_matrix, interp.most_confused, interp.plot_confusion_matrix, interp.classification_report):
        with pytest.raises(DataError, match=f"needs one label per sample, and this model predicts {says}"):
            ask()
    assert len(interp.top_losses(3)[0]) == 3
    results = interp.results(accuracy_multi if outs == 2 else mae).set_index("metric")
    assert results["low"].iloc[0] <= results["value"].iloc[0] <= results["high"].iloc[0]
    assert isinstance(interp.table, pd.DataFrame) and len(interp.table) == 20


def test_samples_without_targets_are_refused(learn: Learner, photos: Path) -> None:
    items = sorted(photos.rglob("*.jpg"))[:3]
    with pytest.raises(DataError, match="with_labels=True"):
        Interpretation.from_learner(learn, dl=learn.dls.test_dl(items))
    labelled = Interpretation.from_learner(learn, dl=learn.dls.test_dl(items, with_labels=True))
    assert labelled.table["actual"].tolist() == [p.parent.name for p in items]
    assert labelled.top_losses(1, items=True)[2][0] in items
    labelled.plot_top_losses(2)
    assert len(titles()) == 2


def test_an_unreadable_file_is_left_out_and_the_rows_still_match(own_photos: Path) -> None:
    broken = own_photos / "orange" / "aaa.jpg"
    broken.write_bytes(b"not a picture")
    dls = ImageDataLoaders.from_folder(own_photos, valid_pct=0.5, seed=1, item_tfms=Resize(32), bs=4, device="cpu")
    side = dls.table.loc[dls.table["image"].map(str) == str(broken), "split"].item()
    with captured_notes() as notes:
        interp = ClassificationInterpretation.from_learner(Learner(dls, Counted(dls.c), seed=0), side)
    assert any("aaa.jpg" in n for n in notes) and len(interp) == (dls.table["split"] == side).sum() - 1
    assert [interp.vocab[int(t)] for t in interp.targs] == interp.table["label"].tolist()
    assert str(broken) not in map(str, interp.table["image"])


def test_groups_are_printed_whole(interp: ClassificationInterpretation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    found = interp.by_group("site", metrics=["accuracy", "f1_score"])
    text = str(found)
    assert "..." not in text and all(name in text for name in ("site", "north", "south", "accuracy", "f1_score", "accuracy_baseline"))
    assert isinstance(found, pd.DataFrame) and found["accuracy_low"].dtype == np.float64
