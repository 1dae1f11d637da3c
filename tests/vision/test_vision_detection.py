"""From pictures and boxes to a detector: the network, its loss, training, what it tells, export."""

from __future__ import annotations

import sys

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from shapes import OPTIONS, make_shapes

from burnish.data.datablock import DataBlock
from burnish.data.notes import captured_notes
from burnish.data.split import RandomSplitter
from burnish.deploy.predictor import Predictor
from burnish.deploy.report import write_report
from burnish.errors import DataError, SettingError
from burnish.evaluate.boxes import COLUMNS, DetectionLoss, MeanAP, detections, fused, match
from burnish.evaluate.by_class import results_by_class
from burnish.evaluate.interpret import Interpretation
from burnish.evaluate.summary import assess
from burnish.train.callbacks.mix import CutMix, MixUp
from burnish.train.export import load_learner
from burnish.vision.augment import aug_transforms
from burnish.vision.backbones import create_body
from burnish.vision.blocks import ImageBlock
from burnish.vision.boxes import BBoxLblBlock
from burnish.vision.dataloaders import ImageDataLoaders
from burnish.vision.detection import DetectionDataLoaders, detection_learner
from burnish.vision.detector import Detector
from burnish.vision.transforms import Resize

SMALL = {**OPTIONS, "item_tfms": Resize(48, "pad", pad_mode="zeros")}  # where nothing need be learned


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_shapes(tmp_path_factory.mktemp("shapes"))


def test_pictures_with_boxes_are_blended_and_not_pasted(folder):
    with captured_notes():
        dls = DetectionDataLoaders.from_csv(folder, folder="JPEGImages", **SMALL)
        learn = detection_learner(dls, "resnet18", pretrained=False, seed=0)
        with (
            pytest.raises(SettingError, match="what the BBoxLblBlock tells of, which would still be asked for"),
            learn.no_logging(),
        ):
            learn.fit(1, cbs=CutMix())
        with learn.no_logging():
            learn.fit(1, cbs=MixUp())
    assert np.isfinite(learn.recorder.raw_losses).all()


@pytest.mark.parametrize("arch", ["resnet18", "convnext_atto", "tf_efficientnet_lite0", "vgg11_bn", "torchvision:resnet18"])
def test_a_detector_stands_on_bodies_of_many_kinds_and_takes_any_size(arch):
    with captured_notes():
        model = Detector(create_body(arch, pretrained=False), 3).eval()
    for size in ((64, 64), (75, 150)):
        made = model(torch.rand(2, 3, *size))
        assert made.shape[0] == 2 and made.shape[2] == COLUMNS + 3 and made.isfinite().all()
        assert (made[..., 5:7].abs() < 1).all(), "places are inside"
    groups = model.layer_groups()
    assert sum(map(len, groups)) == len(list(model.parameters())) and len(groups) > 2
    with captured_notes(), pytest.raises(SettingError, match="finest=64"):
        Detector(create_body(arch, pretrained=False), 3, finest=64)


def places(n=8):
    """An output of a map of n x n places, and one of half as many, of two classes."""
    parts = []
    for k in (n, n // 2):
        at = (torch.arange(k) * 2 + 1) / k - 1
        y, x = torch.meshgrid(at, at, indexing="ij")
        place, step = torch.stack([x, y], -1).reshape(-1, 2), torch.full((k * k, 2), 2 / k)
        parts.append(torch.cat([place - step, place + step, torch.zeros(k * k, 1), place, step, torch.zeros(k * k, 2)], 1))
    return torch.cat(parts)[None]


def test_places_learn_the_box_around_them_and_no_box_is_lost():
    out = places()
    box = torch.tensor([[[-0.5, -0.5, 0.5, 0.5, 1], [0.9, 0.9, 0.92, 0.92, 0], [0, 0, 0, 0, -1]]])
    which = match(out, box)[0]
    learns = out[0, which == 0]
    assert len(learns) > 0 and (learns[:, 5:7].abs() < 0.5).all(), "places inside of it"
    small = out[0, which == 1]
    assert len(small) == 1 and small[0, 5:7].tolist() == [0.875, 0.875], "nearest place of a box that no place is in"
    assert (which < 2).all() and (match(out, box[:, 2:])[0] == -1).all()


def test_the_loss_falls_to_nothing_where_all_is_right():
    box = torch.tensor([[[-0.5, -0.5, 0.5, 0.5, 1.0]]])
    out = places()
    which = match(out, box)[0] == 0
    right = out.clone()
    right[0, :, COLUMNS:] = -20
    right[0, which, :4], right[0, which, COLUMNS + 1] = box[0, 0, :4], 20
    near = (1 - right[0, which, 5:7].abs() / 0.5).clamp(min=0)
    ctr = ((0.5 - right[0, which, 5:7].abs()) / (0.5 + right[0, which, 5:7].abs())).prod(-1).sqrt()
    right[0, which, 4] = ctr.logit(eps=1e-6)
    entropy = torch.nn.functional.binary_cross_entropy(ctr, ctr)
    assert near.numel() and DetectionLoss()(right, box).item() == pytest.approx(entropy.item(), abs=1e-3)
    assert DetectionLoss()(out, box) > DetectionLoss()(right, box) + 0.5
    several = torch.cat([out, right, right]), torch.cat([box, box, torch.tensor([[[0.0, 0, 0, 0, -1]]])])
    each = DetectionLoss(reduction="none")(*several)
    assert each.shape == (3,) and each.mean() == pytest.approx(DetectionLoss()(*several).item(), rel=1e-5)


def test_of_boxes_that_overlap_the_most_certain_is_told():
    out = places()[:, :4].clone()
    out[0, :, :4] = torch.tensor([[-0.5, -0.5, 0.5, 0.5], [-0.5, -0.5, 0.5, 0.55], [-0.5, -0.5, 0.5, 0.5], [0.6, 0.6, 0.9, 2.0]])
    out[0, :, 4], out[0, :, COLUMNS:] = 20, torch.tensor([[3.0, -20], [2, -20], [-20, 1], [0, -20]])
    found = detections(out)[0]
    assert found.shape == (100, 6) and found[:4, 4].tolist() == [0, 1, 0, -1]
    assert found[2, :4].tolist() == pytest.approx([0.6, 0.6, 0.9, 1.0]), "cut off at the edge"
    with pytest.raises(ValueError, match="DetectionLoss: outputs"):
        DetectionLoss()(torch.zeros(2, 3), torch.zeros(2, 1, 5))


# -- training ---------------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def learn(folder):
    with captured_notes():
        dls = DetectionDataLoaders.from_coco(folder, images="JPEGImages", batch_tfms=aug_transforms(max_rotate=5), **OPTIONS)
        made = detection_learner(dls, "tf_efficientnet_lite0", weights="offline", seed=0)
        with made.no_logging():
            made.fine_tune(4, 4e-3)
    return made


@pytest.mark.slow
def test_it_learns(learn):
    assert learn.recorder.results().map_50.iloc[-1] > 0.85 and learn.recorder.results().mean_ap.iloc[-1] > 0.5
    by = results_by_class(learn)
    assert by["class"].tolist() == ["ball", "box"] and by.boxes.sum() > 10 and (by.map_50 > 0.7).all()
    assert MeanAP(0.5).name == "map_50"


@pytest.mark.slow
def test_it_finds_things_in_the_picture_as_it_was_given(learn, folder, tmp_path):
    truth = pd.read_csv(folder / "boxes.csv").dropna()
    rows = learn.dls.table[learn.dls.table.split == "valid"].iloc[:, 0]
    files = [f for f in rows if (truth.file == f.name).sum() == 1][:4]
    learn.export(tmp_path / "model.burnish")
    loaded = load_learner(tmp_path / "model.burnish")
    for file, mine, theirs in zip(files, learn.predict(files), loaded.predict(files), strict=True):
        assert np.allclose(mine.label.boxes, theirs.label.boxes, atol=1e-2) and mine.label.labels == theirs.label.labels
        best = mine.label.table.iloc[0]
        real = truth[truth.file == file.name].iloc[0]
        assert (
            best.label == real.label
            and np.abs(best[["x1", "y1", "x2", "y2"]].astype(float) - real[["x1", "y1", "x2", "y2"]].astype(float)).max() < 8
        )
    assert learn.predict(folder / "JPEGImages" / "000.jpg").label.table.shape[1] == 6
    assert loaded.dls.target_blocks[0].config() == learn.dls.target_blocks[0].config()
    table = Predictor(tmp_path / "model.burnish").table([files[0], folder / "nothing.jpg"])
    assert real.label and table.error.iloc[0] == "" and table.error.iloc[1] and table.label.iloc[0]


def test_new_pictures_with_labels_may_hold_more_boxes_and_no_unknown_class(folder):
    files = sorted((folder / "JPEGImages").glob("*.jpg"))
    told = {f: ([(4, 4, 12, 40)] * (1 + i % 2), ["box"] * (1 + i % 2)) for i, f in enumerate(files[:8])}
    told[files[8]] = ([(4 + 5 * k, 4, 12 + 5 * k, 40) for k in range(9)], ["box"] * 9)
    told[files[9]] = ([(4, 4, 12, 40)], ["tree"])
    block = DataBlock(
        (ImageBlock, BBoxLblBlock),
        get_items=lambda _: files[:8],
        get_y=told.__getitem__,
        item_tfms=Resize(96),
        splitter=RandomSplitter(0.5),
    )
    dls = block.dataloaders(folder, bs=2, seed=0, device="cpu")
    shapes = [tuple(y.shape) for _x, y in dls.test_dl([*files[:2], files[8]], with_labels=True)]
    assert shapes == [(2, 9, 5), (1, 9, 5)]
    with pytest.raises(DataError, match=r"tree.*009.jpg|009.jpg.*tree"):
        dls.test_dl(files[8:10], with_labels=True)


@pytest.mark.slow
def test_what_the_model_does_not_see_is_said(learn, folder, tmp_path):
    learn.export(tmp_path / "model.burnish")
    loaded = load_learner(tmp_path / "model.burnish")
    loaded.dls.item_tfms = [Resize(64)]
    with captured_notes() as notes:
        loaded.predict(Image.new("RGB", (200, 100)))
    assert "cut the picture of 200 x 100 pixels: objects were looked for from (50, 0) to (150, 100) only" in notes[0]


@pytest.mark.slow
def test_what_is_drawn(learn):
    with captured_notes():
        learn.dls.show_batch(max_n=4)
        assert sum(len(ax.patches) for ax in plt.gcf().axes) >= 2
        learn.show_results(max_n=4)
        titles = [ax.get_title() for ax in plt.gcf().axes]
        assert titles[:2] == ["target", "prediction"]
        file = next(f for f in learn.dls.table.image if int(f.stem) % 3 == 2)
        found = learn.show_prediction(file).label
        (ax,) = plt.gcf().axes
        x1, y1, x2, y2 = found.boxes[0]
        drawn = ax.patches[0].get_bbox()
        assert ax.images[0].get_array().shape == (72, 96, 3), "the picture as it was given"
        assert np.allclose([drawn.x0, drawn.y0, drawn.x1, drawn.y1], np.array([x1, y1, x2, y2]) - 0.5, atol=0.1)
        interp = Interpretation.from_learner(learn)
        interp.plot_top_losses(4)
        assert "loss" in " ".join(ax.get_title() for ax in plt.gcf().axes)
    assert len(interp.table) == len(learn.dls.valid.rows) and interp.table.loss.notna().all()
    assert {"mean_ap", "map_50", "loss"} <= set(interp.results().metric)
    plt.close("all")


@pytest.mark.slow
def test_boxes_of_augmented_pictures_are_brought_back_and_become_one(learn):
    def score(preds, targs):
        metric = MeanAP(0.75)  # exact places
        metric.update(preds, targs)
        return metric.compute()

    plain = learn.get_preds()
    averaged = learn.tta(n=3)
    assert averaged.preds.shape == plain.preds.shape and torch.equal(averaged.targs, plain.targs)
    assert score(*averaged) > score(*plain) - 0.05
    sure = averaged.preds[averaged.preds[..., 5] > 0.4]
    assert (sure[:, 5] <= 1).all() and (sure[:, 2:4] > sure[:, :2]).all()
    augmented, again, _ = learn.tta(n=2, beta=None)
    assert torch.equal(again, plain.preds) and score(augmented, plain.targs) > score(*plain) - 0.15
    with captured_notes(), pytest.raises(SettingError, match="use_max=True picks values, not places"):
        learn.tta(use_max=True)


def test_what_several_looks_found():
    def look(*found):
        made = torch.zeros(3, 6)
        made[:, 4] = -1
        made[: len(found)] = torch.tensor(found) if found else made[:0]
        return made

    ball, moved = (-0.5, -0.5, 0.1, 0.1, 0.0, 0.9), (-0.5, -0.5, 0.1, 0.2, 0.0, 0.3)
    looks = torch.stack([look(ball, (-0.5, -0.45, 0.1, 0.1, 0.0, 0.2)), look(moved, (*ball[:4], 1.0, 0.6)), look()])
    everywhere, half = (lambda place: torch.ones(3)), (lambda place: torch.tensor([1.0, 1, 0]))
    found = fused(looks, torch.ones(3) / 3, everywhere)
    assert found.shape == (100, 6) and found[:3, 4].tolist() == [0, 1, -1]
    assert found[0].tolist() == pytest.approx([-0.5, -0.5, 0.1, 0.125, 0, 0.4]), "weighted by score; one of a look; a third saw nothing"
    assert fused(looks, torch.ones(3) / 3, half)[0, 5] == pytest.approx(0.6), "the third could not see it"
    assert (fused(torch.stack([look()] * 2), torch.ones(2) / 2, lambda place: torch.ones(2))[:, 4] == -1).all()


def test_a_detector_is_trained_where_its_metrics_are_not_installed(learn, folder, tmp_path, monkeypatch):
    learn.export(tmp_path / "told.burnish")
    monkeypatch.setitem(sys.modules, "faster_coco_eval", None)
    with captured_notes() as notes:
        dls = DetectionDataLoaders.from_csv(folder, folder="JPEGImages", **SMALL)
        del notes[:]
        made = detection_learner(dls, "resnet18", pretrained=False, seed=0)
        assert [n for n in notes if 'pip install "burnish[detection]"' in n and "no mean average precision" in n] == notes and notes
        with made.no_logging():
            made.fit(1)
        assert made.metrics == [] and assess(made).metric.tolist() == ["loss"]
        write_report(made, tmp_path / "report.html")
        made.export(tmp_path / "model.burnish")
        del notes[:]
        assert load_learner(tmp_path / "model.burnish").metrics == [] and notes == []
        assert load_learner(tmp_path / "told.burnish").metrics == [] and "burnish[detection]" in notes[0] and len(notes) == 1
    for metrics in ("mean_ap", ["map_50"]):
        with pytest.raises(ModuleNotFoundError, match=r"needs torchmetrics and faster-coco-eval.*burnish\[detection\]"):
            detection_learner(dls, "resnet18", pretrained=False, metrics=metrics)


def test_other_targets_are_refused(photos):
    with captured_notes(), pytest.raises(SettingError, match="the target is CategoryBlock"):
        detection_learner(ImageDataLoaders.from_folder(photos, valid_pct=0.25, item_tfms=Resize(32)), "resnet18")
    assert BBoxLblBlock(["a"]).n_out == 1


def test_what_was_seen_in_the_padding_is_not_told(folder):
    with captured_notes():
        dls = DetectionDataLoaders.from_coco(folder, images="JPEGImages", **{**OPTIONS, "item_tfms": Resize(64, "pad")})
        block, file = dls.target_blocks[0], dls.table.iloc[0, 0]
        found = torch.tensor([[-0.5, -1, 0.5, -0.95, 0, 0.9], [-0.5, -0.5, 0.5, 0.5, 0, 0.8], [0, 0, 0, 0, -1, 0]])
        told = block.told(block.in_source((block.decide(found), found), dls, file))
    assert told.scores.tolist() == pytest.approx([0.8]) and (told.boxes[:, 2:] > told.boxes[:, :2]).all()


def test_one_thing_is_told_under_one_name():
    found = torch.tensor([[[-0.5, -0.5, 0, 0, 0, 0.9], [-0.5, -0.48, 0, 0, 1, 0.8], [-0.5, -0.5, 0, 0.2, 1, 0.7], [0, 0, 1, 1, 1, 0.2]]])
    decided = BBoxLblBlock(["a", "b"]).decide(found)
    assert decided[0, :, 4].tolist() == [0, -1, 1, -1], (
        "of two names of one place the most certain; another place has its own; below the threshold"
    )


def test_a_prediction_is_read_at_a_glance(learn, folder):
    shown = repr(learn.predict(folder / "JPEGImages" / "001.jpg"))
    assert "<Tensor (100, 6)>" in shown and len(shown.splitlines()) < 12
