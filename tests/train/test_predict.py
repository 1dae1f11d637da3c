"""Prediction: right order, right probabilities with any loss, items and lists of them, augmented copies, pictures."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from tiny import CLASSES, points, same, state, tiny_learner, tiny_model
from torch import nn
from torch.utils.data import DataLoader as TorchLoader
from torch.utils.data import TensorDataset

from burnish.data.dataloaders import DataLoaders
from burnish.data.notes import captured_notes
from burnish.errors import DataError, SettingError, UnreadableFileError
from burnish.train.callback import Callback
from burnish.train.learner import Learner
from burnish.train.predict import Prediction, loader_of
from burnish.vision.all import ImageDataLoaders, Resize, aug_transforms


@pytest.fixture
def trained() -> Learner:
    learn = tiny_learner()
    learn.fit_one_cycle(3, 0.1)
    return learn


# -- whole splits -------------------------------------------------------------------------------------------------------
@pytest.mark.usefixtures("untouched_globals")
def test_predictions_come_in_the_order_of_the_data_also_from_a_shuffling_loader(trained: Learner) -> None:
    x, y = points(96)
    with torch.no_grad():
        expected = trained.model.eval()(x).softmax(1)
    for preds in (trained.get_preds("train"), trained.get_preds(0), trained.get_preds(dl=trained.dls.train)):
        torch.testing.assert_close(preds.preds, expected)
        assert torch.equal(preds.targs, y)
        assert preds.rows.tolist() == list(range(96))


def test_what_is_asked_for_comes_in_its_place(trained: Learner) -> None:
    result = trained.get_preds(with_input=True, with_decoded=True, with_loss=True)
    inputs, preds, targs, decoded, losses = result
    assert torch.equal(inputs, points(40, seed=1)[0])
    assert torch.equal(decoded, preds.argmax(1))
    torch.testing.assert_close(losses, F.nll_loss(preds.log(), targs, reduction="none"))
    assert result.losses is losses and result.inputs is inputs and result.decoded is decoded
    assert trained.get_preds().decoded is None
    assert float(losses.mean()) == pytest.approx(trained.validate()[0], rel=1e-5)


def test_the_learner_is_as_before(trained: Learner) -> None:
    trained.model.train()
    before = state(trained)
    trained.get_preds(), trained.validate(), trained.predict(points()[0][0])
    assert trained.model.training and same(before, state(trained))


LOSSES = {
    "cross-entropy": (nn.CrossEntropyLoss(), lambda out: out.softmax(1)),
    "functional": (F.cross_entropy, lambda out: out.softmax(1)),
    "label smoothing": (nn.CrossEntropyLoss(label_smoothing=0.1, weight=torch.tensor([1.0, 2.0, 3.0])), lambda out: out.softmax(1)),
    "nll": (nn.NLLLoss(), lambda out: out.exp()),
    "unknown": (lambda out, y: F.cross_entropy(out * 2, y), lambda out: out),
}


@pytest.mark.parametrize("name", LOSSES)
def test_any_plain_loss_is_read_out_right(name: str) -> None:
    loss_func, expected = LOSSES[name]
    learn = tiny_learner(loss_func=loss_func)
    found = learn.get_preds(with_loss=True, with_decoded=True)
    x, y = points(40, seed=1)
    with torch.no_grad():
        out = learn.model.eval()(x)
        one_by_one = torch.stack([loss_func(out[i : i + 1], y[i : i + 1]) for i in range(40)])
    torch.testing.assert_close(found.preds, expected(out))
    assert found.losses.shape == (40,)
    if name != "label smoothing":  # weights: the mean over one sample divides by its weight
        torch.testing.assert_close(found.losses, one_by_one)
    if name != "unknown":
        assert torch.equal(found.decoded, out.argmax(1))


def test_a_loss_with_an_activation_of_its_own_is_believed() -> None:
    class Own(nn.CrossEntropyLoss):
        def activation(self, out):
            return out * 100

        def decodes(self, preds):
            return preds.argmin(1)

    found = tiny_learner(loss_func=Own()).get_preds(with_decoded=True)
    assert torch.equal(found.decoded, found.preds.argmin(1)) and found.preds.abs().max() > 5


def test_an_activation_may_be_given(trained: Learner) -> None:
    raw = trained.get_preds(act=lambda out: out)
    torch.testing.assert_close(raw.preds.softmax(1), trained.get_preds().preds)


def test_several_yes_or_no_answers() -> None:
    x, y = points(16)
    target = F.one_hot(y, CLASSES).float()
    learn = tiny_learner(dls=DataLoaders([(x, target)], [(x, target)], device="cpu"), loss_func=nn.BCEWithLogitsLoss(), metrics=None)
    learn.fit(1)
    found = learn.get_preds(with_decoded=True, with_loss=True)
    assert torch.equal(found.decoded, found.preds > 0.5) and found.losses.shape == (16,)


def test_without_targets() -> None:
    learn = tiny_learner()
    x = points(20)[0]
    found = learn.get_preds(dl=TorchLoader(TensorDataset(x), 8))
    assert found.preds.shape == (20, CLASSES) and found.targs is None
    with pytest.raises(DataError, match=r"with_loss=True needs targets.*with_labels=True"):
        learn.get_preds(dl=TorchLoader(TensorDataset(x), 8), with_loss=True)
    scores = learn.validate(dl=TorchLoader(TensorDataset(x), 8))
    assert np.isnan(scores[0])


def test_saved_to_files_they_are_the_same(trained: Learner, tmp_path: Path) -> None:
    plain, mapped = trained.get_preds(), trained.get_preds(save_to=tmp_path / "out")
    assert torch.equal(plain.preds, mapped.preds) and torch.equal(plain.targs, mapped.targs)
    np.testing.assert_array_equal(np.load(tmp_path / "out" / "preds.npy"), plain.preds.numpy())
    mapped.preds.zero_()
    assert np.load(tmp_path / "out" / "preds.npy").any(), "changing the result must not change the file"


def test_results_that_were_handed_out_stay_when_the_files_are_written_anew(trained: Learner, tmp_path: Path) -> None:
    first = trained.get_preds(save_to=tmp_path)
    before = first.preds.clone()
    trained.fit(1, 0.1)
    second = trained.get_preds("train", save_to=tmp_path)
    assert torch.equal(first.preds, before) and len(second.preds) == 96
    assert sorted(p.name for p in tmp_path.iterdir()) == ["preds.npy", "targs.npy"]
    trained.get_preds(dl=TorchLoader(TensorDataset(points(20)[0]), 8), save_to=tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["preds.npy"], "targets of another run would not belong to these predictions"


def test_a_pass_that_fails_leaves_the_files_as_they_were(trained: Learner, tmp_path: Path) -> None:
    trained.get_preds(save_to=tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    class Fails(Callback):
        def before_batch(self, learn: Learner) -> None:
            if learn.batch_index == 2:
                raise RuntimeError("the disk of the data is gone")

    with pytest.raises(RuntimeError, match="gone"):
        trained.get_preds("train", save_to=tmp_path, cbs=Fails())
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_outputs_of_mixed_precision_come_in_fp32(precision: str, tmp_path: Path) -> None:
    x, y = points(16)[0], points(16)[0][:, :CLASSES]
    for loss_func in (nn.MSELoss(), lambda out, target: (out - target).abs().mean()):
        with captured_notes():  # slow on this processor, maybe
            learn = tiny_learner(dls=DataLoaders([(x, y)], [(x, y)], device="cpu"), loss_func=loss_func, metrics=None, precision=precision)
        found = learn.get_preds(with_decoded=True, with_loss=True)
        for part in (*found, learn.predict(x[0]).probs, learn.predict(x[0]).index):
            assert part.numpy().dtype == np.float32


def test_outputs_that_cannot_be_joined_say_so(tmp_path: Path) -> None:
    x, y = points(8)
    learn = tiny_learner(
        dls=DataLoaders([(x, y)], [(x, y), (torch.cat([x, x], 1), y)], device="cpu"),
        model=nn.Identity(),
        splitter=None,
        metrics=None,
        loss_func=lambda p, t: p.mean(),
    )
    for kwargs in ({}, {"save_to": tmp_path}):
        with pytest.raises(DataError, match="differ in shape from batch to batch"):
            learn.get_preds(**kwargs)


def test_callbacks_that_change_outputs_take_part() -> None:
    class Unpacks(Callback):
        def after_pred(self, learn) -> None:
            learn.pred = learn.pred[0]

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = tiny_model()

        def forward(self, x):
            return self.inner(x), "extra"

    learn = tiny_learner(model=Twice(), splitter=None, cbs=Unpacks())
    learn.fit(1)
    assert learn.get_preds().preds.shape == (40, CLASSES)
    assert learn.predict(points()[0][0]).probs.shape == (CLASSES,)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda learn: learn.get_preds("vald"), r"no split 'vald'.*Did you mean: valid"),
        (lambda learn: learn.get_preds(7), "no split 7"),
        (lambda learn: learn.validate("test"), "no test split"),
        (lambda learn: learn.get_preds(dl="photo.jpg"), r"dl='photo.jpg': expected a loader.*test_dl\(items\)"),
        (lambda learn: learn.tta(), "tta needs training transforms"),
        (lambda learn: learn.tta(n=0), "at least one augmented pass"),
        (lambda learn: learn.show_results(), "show_results draws with the blocks"),
        (lambda learn: learn.show_prediction(0), "show_prediction draws pictures and their like"),
    ],
)
def test_what_cannot_be_predicted_says_why(call, message: str) -> None:
    with pytest.raises((SettingError, DataError), match=message):
        call(tiny_learner())


# -- items --------------------------------------------------------------------------------------------------------------
def test_one_item_and_a_list(trained: Learner) -> None:
    x = points(40, seed=1)[0]
    expected = trained.get_preds(with_decoded=True)
    one = trained.predict(x[3])
    label, index, probs = one
    assert isinstance(one, Prediction) and one.label is label
    assert label == int(index) == int(expected.decoded[3])
    torch.testing.assert_close(probs, expected.preds[3])
    one.confidence = 0.5
    assert one.confidence == 0.5
    several = trained.predict(list(x))
    assert [p.label for p in several] == expected.decoded.tolist()
    assert trained.predict([]) == []
    assert trained.predict([[1.0, 2, 3, 4]])[0].probs.shape == (CLASSES,)


def test_items_that_make_no_batch(trained: Learner) -> None:
    with pytest.raises(DataError, match=r"differ in shape \(\(4,\), \(5,\)"):
        trained.predict([torch.zeros(4), torch.zeros(5)])


def test_predict_adds_little() -> None:
    """The bar is 1 ms beyond decoding and the forward pass on a quiet machine; processor time, the best of many."""
    learn, x = tiny_learner(), torch.zeros(4)
    model = learn.model.eval()

    def best(f) -> float:
        times = []
        for _ in range(60):
            start = time.process_time()
            f()
            times.append(time.process_time() - start)
        return min(times)

    with torch.no_grad():
        forward = best(lambda: model(x[None]).softmax(1))
    assert best(lambda: learn.predict(x)) - forward < 1.5e-3


# -- with the blocks of real pictures -----------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def pictures(photos: Path) -> Learner:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 5, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 3))
    dls = ImageDataLoaders.from_folder(
        photos, valid_pct=0.3, seed=3, item_tfms=Resize(32), batch_tfms=aug_transforms(), bs=8, device="cpu", num_workers=0
    )
    learn = Learner(dls, model, seed=1, metrics=None)
    learn.cbs = [cb for cb in learn.cbs if type(cb).__name__ != "Progress"]
    learn.fit(1)
    return learn


def files(learn: Learner, split: str) -> list:
    return learn.dls.table.loc[learn.dls.table["split"] == split, "image"].tolist()


@pytest.mark.parametrize("split", ["train", "valid"])
def test_rows_lead_back_to_the_table(pictures: Learner, split: str) -> None:
    found = pictures.get_preds(split, with_decoded=True)
    table = pictures.dls.table.iloc[found.rows]
    assert set(table["split"]) == {split} and len(table) == len(files(pictures, split))
    assert [pictures.dls.vocab[i] for i in found.targs] == table["label"].tolist()
    assert [p.label for p in pictures.predict(table["image"].tolist())] == [pictures.dls.vocab[i] for i in found.decoded]
    again = pictures.get_preds(split)
    assert torch.equal(found.preds, again.preds), "nothing may be drawn"


def test_an_item_in_any_form(pictures: Learner) -> None:
    file = files(pictures, "valid")[0]
    expected = pictures.predict(file)
    assert expected.label in pictures.dls.vocab
    image = Image.open(file)
    for form in (str(file), Path(file).read_bytes()):
        assert torch.equal(pictures.predict(form).probs, expected.probs)
    for form in (image, np.asarray(image)):  # files are decoded small, arrays are shrunk: the same but for rounding
        torch.testing.assert_close(pictures.predict(form).probs, expected.probs, atol=5e-3, rtol=0)


def test_an_unreadable_item_is_an_error_that_names_it(pictures: Learner, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no picture")
    with pytest.raises(UnreadableFileError, match=r"bad\.jpg"):
        pictures.predict(bad)


def test_tta_averages_augmented_passes(pictures: Learner) -> None:
    plain = pictures.get_preds()
    augmented, unaugmented, targs = pictures.tta(n=2, beta=None)
    assert not torch.equal(augmented, plain.preds)
    torch.testing.assert_close(unaugmented, plain.preds)
    mixed = pictures.tta(n=2)
    torch.testing.assert_close(mixed.preds, 0.75 * augmented + 0.25 * plain.preds)
    assert torch.equal(mixed.targs, targs) and torch.equal(targs, plain.targs)
    assert mixed.rows.tolist() == plain.rows.tolist()
    assert torch.equal(pictures.tta(n=2).preds, mixed.preds)
    highest = pictures.tta(n=2, use_max=True).preds
    assert (highest >= plain.preds).all()
    unlabelled = pictures.tta(dl=pictures.dls.test_dl(files(pictures, "valid")), n=1)
    assert unlabelled.targs is None and unlabelled.preds.shape == plain.preds.shape


def test_validate_on_any_split(pictures: Learner) -> None:
    for split, index in (("train", 0), ("valid", 1)):
        found = pictures.get_preds(split, with_loss=True)
        assert pictures.validate(split)[0] == pytest.approx(float(found.losses.mean()), rel=1e-4) == pictures.validate(index)[0]


def test_show_results_says_target_and_prediction_in_colour(pictures: Learner) -> None:
    import matplotlib.pyplot as plt

    pictures.show_results(max_n=6)
    axes = [ax for ax in plt.gcf().axes if ax.axison or ax.images]
    assert len(axes) == 6
    for ax in axes:
        actual, said = ax.get_title().split("\n")
        assert ax.title.get_color() == ("green" if actual == said else "red")
        assert {actual, said} <= set(pictures.dls.vocab)
    assert plt.gcf().get_suptitle() == "target above, prediction below"
    pictures.show_results(dl=pictures.dls.test_dl(files(pictures, "valid")[:2]))
    assert plt.gcf().axes[0].title.get_color() == "black" and plt.gcf().get_suptitle() == "prediction"


def test_a_training_loader_is_read_as_validation_reads(pictures: Learner) -> None:
    loader = loader_of(pictures, "train", None)
    assert len(loader.rows) == loader.n == len(files(pictures, "train"))
    assert not loader.train and not loader.shuffle
