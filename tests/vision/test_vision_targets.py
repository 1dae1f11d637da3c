"""Every kind of target on pictures: learns, is judged, drawn, exported, and predicts the same after loading."""

from __future__ import annotations

import re

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from burnish.data.category import CategoryBlock
from burnish.data.datablock import DataBlock
from burnish.data.files import get_image_files
from burnish.data.label import parent_label
from burnish.data.multicategory import MultiCategoryBlock
from burnish.data.notes import captured_notes
from burnish.data.number import RegressionBlock
from burnish.data.split import RandomSplitter
from burnish.errors import SettingError
from burnish.evaluate.by_class import results_by_class
from burnish.evaluate.interpret import Interpretation
from burnish.evaluate.plots import RIGHT, WRONG
from burnish.evaluate.summary import assess
from burnish.evaluate.thresholds import tune_thresholds
from burnish.train.export import load_learner
from burnish.vision.blocks import ImageBlock
from burnish.vision.boxes import BBoxLblBlock
from burnish.vision.dataloaders import ImageDataLoaders
from burnish.vision.detection import detection_learner
from burnish.vision.learner import vision_learner
from burnish.vision.masks import MaskBlock
from burnish.vision.segmentation import unet_learner
from burnish.vision.transforms import Resize

ARCH = "mobilenetv3_small_050"


def files_of(photos):
    return get_image_files(photos)


def several(photos):
    """The kind of fruit, and its initial: two labels each."""
    files = files_of(photos)
    return ImageDataLoaders.from_lists(photos, files, [[f.parent.name, f.parent.name[0]] for f in files], **OPTIONS)


def number(photos):
    files = files_of(photos)
    return ImageDataLoaders.from_lists(photos, files, [len(f.parent.name) + 0.5 for f in files], **OPTIONS)


def numbers(photos):
    files = files_of(photos)
    table = pd.DataFrame({"file": [str(f) for f in files], "a": [len(f.parent.name) for f in files], "b": range(len(files))})
    return ImageDataLoaders.from_df(
        table, ".", label_col=["a", "b"], y_block=RegressionBlock(y_range=(-1, 60)), **{**OPTIONS, "valid_pct": 0.25}
    )


OPTIONS = {"valid_pct": 0.25, "item_tfms": Resize(64), "bs": 9, "seed": 0, "device": "cpu"}
TARGETS = {"several labels": several, "a number": number, "two numbers": numbers}


@pytest.fixture(scope="module", params=TARGETS)
def learn(request, photos):
    with captured_notes():
        made = vision_learner(TARGETS[request.param](photos), "tf_efficientnet_lite0", weights="offline", seed=0)
        with made.no_logging():
            made.fit_one_cycle(4, 5e-3)
    return made


def test_it_learns_and_shows_its_metrics(learn):
    table = learn.recorder.results()
    assert table.train_loss.iloc[-1] < table.train_loss.iloc[0]
    assert set(learn.dls.target_blocks[0].metrics) <= {m.name.removesuffix("_macro") for m in learn.metrics}
    with captured_notes():
        judged = assess(learn)
    assert judged[["value", "baseline"]].notna().all(axis=None) and judged[["low", "high"]].iloc[0].notna().all()


def test_it_is_drawn(learn):
    item = learn.dls.table.iloc[0, 0]
    with captured_notes():
        label = learn.show_prediction(item).label
    (ax,) = plt.gcf().axes
    block, probs = learn.dls.target_blocks[0], learn.predict(item).probs
    of_labels = block.kind == "multicategory"
    said = "; ".join(f"{v} {float(probs[block.vocab.index(v)]):.0%}" for v in label) if of_labels and label else block.say(label)
    assert ax.images and ax.get_title() == said and label == learn.predict(item).label
    assert not of_labels or label, "a picture with labels is looked at"
    for draw in (learn.dls.show_batch, learn.show_results, lambda: Interpretation.from_learner(learn).plot_top_losses(4)):
        draw()
        drawn = [ax for ax in plt.gcf().axes if ax.images and ax.get_title()]
        assert drawn and {ax.title.get_color() for ax in drawn} <= ({"black"} if not of_labels else {"black", "green", "red", RIGHT, WRONG})
        if block.n_out == 2 and not of_labels:
            assert all(re.fullmatch(r"((predicted |actual )?a -?[\d.]+, b -?[\d.]+\n?)+(loss [\d.]+)?", ax.get_title()) for ax in drawn)
        plt.close("all")


def test_a_range_of_numbers_counts_rows(photos):
    with captured_notes() as notes:
        vision_learner(two := numbers(photos), ARCH, pretrained=False, y_range=(0, 1))
    n = two.train.n
    assert f"{n} of {n} training rows have a target outside of y_range=(0, 1)" in notes[-1]
    assert two.target_blocks[0].names == ["a", "b"] and not hasattr(two, "vocab")


def test_targets_of_another_learner_are_refused_with_its_name(photos):
    def made(*targets):
        block = DataBlock(
            (ImageBlock, *targets), n_inp=1, get_y=[values[t if isinstance(t, type) else type(t)] for t in targets], item_tfms=Resize(32),
            splitter=RandomSplitter(0.25, seed=0),
        )  # fmt: skip
        return block.dataloaders(files_of(photos), bs=9, seed=0, device="cpu")

    values = {
        MaskBlock: lambda f: np.arange(np.prod(Image.open(f).size)).reshape(Image.open(f).size[::-1]) % 2,
        BBoxLblBlock: lambda f: ([[1, 1, 20, 20]], ["fruit"]),
        CategoryBlock: parent_label,
        RegressionBlock: lambda f: len(f.name),
    }
    with captured_notes():
        mask, boxes, kind, number, several_kinds = (
            made(MaskBlock(["rest", "fruit"])), made(BBoxLblBlock), made(CategoryBlock), made(RegressionBlock), made(CategoryBlock, RegressionBlock),
        )  # fmt: skip
        mask_and_kind, mask_and_boxes = made(MaskBlock(["rest", "fruit"]), CategoryBlock), made(MaskBlock(["rest", "fruit"]), BBoxLblBlock)
    for make, dls, said in (
        (vision_learner, mask, "the target is MaskBlock. Use unet_learner"),
        (detection_learner, mask, "the target is MaskBlock. Use unet_learner"),
        (vision_learner, boxes, "the target is BBoxLblBlock. Use detection_learner"),
        (unet_learner, boxes, "the target is BBoxLblBlock. Use detection_learner"),
        (unet_learner, kind, "the target is CategoryBlock. Use vision_learner"),
        (unet_learner, number, "the target is RegressionBlock. Use vision_learner"),
        (unet_learner, several_kinds, "the targets are CategoryBlock, RegressionBlock. Use vision_learner"),
        (unet_learner, mask_and_kind, "alone: unet_learner for the mask and vision_learner for the rest."),
        (vision_learner, mask_and_kind, "alone: unet_learner for the mask and vision_learner for the rest."),
        (detection_learner, mask_and_boxes, "alone: unet_learner for the mask and detection_learner for the boxes."),
    ):
        with pytest.raises(SettingError, match=re.escape(said)):
            make(dls, ARCH, pretrained=False)
    with captured_notes():
        own = vision_learner(mask_and_kind, ARCH, pretrained=False, custom_head=torch.nn.Flatten(), metrics=[])
    assert own.model[1].__class__ is torch.nn.Flatten, "a head of one's own may give both"


def test_it_is_exported_and_predicts_the_same(learn, tmp_path, photos):
    learn.export(tmp_path / "model.burnish")
    loaded = load_learner(tmp_path / "model.burnish")
    file = files_of(photos)[0]
    mine, theirs = learn.predict(file), loaded.predict(file)
    assert mine.label == theirs.label and torch.equal(mine.probs, theirs.probs)
    assert [m.name for m in loaded.metrics] == [m.name for m in learn.metrics]
    assert np.isclose(loaded.get_preds(dl=learn.dls.valid).preds, learn.get_preds().preds, atol=1e-6).all()


def test_thresholds_are_the_learners_own_and_are_kept(photos, tmp_path):
    with captured_notes() as notes:
        dls = several(photos)
        learn, other = (vision_learner(dls, ARCH, pretrained=False, seed=s) for s in (0, 1))
        table = tune_thresholds(learn, keep="always")
    assert "Thresholds chosen" in notes[-1] or "share a threshold" in notes[-1]
    assert table.columns.tolist() == ["label", "n", "threshold", "f_at_half", "f_tuned"] and table.label.tolist() == dls.vocab
    own = learn.dls.target_blocks[0].thresholds
    assert own == table.threshold.tolist() and other.dls.target_blocks[0].thresholds is None and dls.target_blocks[0].thresholds is None
    learn.export(tmp_path / "model.burnish")
    loaded = load_learner(tmp_path / "model.burnish")
    assert isinstance(loaded.dls.target_blocks[0], MultiCategoryBlock) and loaded.dls.target_blocks[0].thresholds == own
    found = learn.get_preds(with_decoded=True)
    assert torch.equal(found.decoded, found.preds > torch.tensor(own))
    f1 = next(m for m in learn.metrics if m.name == "f1_score_multi_macro")
    right = {m.name: m for m in other.metrics}["f1_score_multi_macro"]
    for metric, thresh in ((f1, own), (right, 0.5)):
        metric.reset()
        metric.update(found.preds.logit(), found.targs)
        by_hand = type(metric)(thresh=thresh, average="macro")
        by_hand.update(found.preds.logit(), found.targs)
        assert metric.compute() == by_hand.compute()


def test_thresholds_that_are_no_better_are_not_kept(photos, monkeypatch):
    with captured_notes() as notes:
        learn = vision_learner(several(photos), ARCH, pretrained=False, seed=0)
        monkeypatch.setattr("burnish.evaluate.thresholds.best_thresholds", lambda shares, *rest: np.ones(shares.shape[1]))
        table = tune_thresholds(learn)
    assert "Thresholds stay at 0.5, for tuned ones are no better" in notes[-1] and table.threshold.eq(0.5).all()
    assert learn.dls.target_blocks[0].thresholds is None
    with pytest.raises(SettingError, match="keep='never'"):
        tune_thresholds(learn, keep="never")


def test_rows_are_not_judged_by_thresholds_chosen_on_them(photos):
    with captured_notes():
        learn = vision_learner(several(photos), ARCH, pretrained=False, seed=0)
        plain, by_half = assess(learn).set_index("metric").value, results_by_class(learn)
        table = tune_thresholds(learn, least=1, keep="always")
    assert by_half.threshold.eq(0.5).all() and by_half.f1.fillna(0).to_numpy() == pytest.approx(table.f_at_half)
    found = learn.get_preds(with_decoded=True)
    (hits, wanted, given) = ((found.decoded & (found.targs > 0.5)).sum(0), (found.targs > 0.5).sum(0), found.decoded.sum(0))
    by_own = (2 * hits / (wanted + given)).nan_to_num(0).mean()
    assert by_own > table.f_tuned.mean() + 0.01, "they flatter, so there is something to judge fairly"
    with captured_notes() as notes:
        results = assess(learn).set_index("metric").value
        learn.validate()
    told = {
        "assess": results["f1_score_multi_macro"],
        "interpretation": Interpretation.from_learner(learn).results().set_index("metric").value["f1_score_multi_macro"],
        "what is recorded": learn.results["valid"].set_index("metric").value["f1_score_multi_macro"],
        "named": assess(learn, metrics="f1_score_multi").value[0],
        "by label": results_by_class(learn).f1.fillna(0).mean(),
    }
    assert told == pytest.approx(dict.fromkeys(told, table.f_tuned.mean())), "each row by the other half's thresholds"
    assert f"f1_score_multi_macro {table.f_tuned.mean():.1f}" in notes[-1]
    assert results["average_precision_multi"] == plain["average_precision_multi"], "ranks know no thresholds"
    assert results_by_class(learn).threshold.tolist() == learn.dls.target_blocks[0].thresholds
    assert assess(learn, "train").set_index("metric").value["accuracy_multi"] == pytest.approx(
        float((learn.get_preds("train", with_decoded=True).decoded == (learn.get_preds("train").targs > 0.5)).float().mean())
    ), "other rows are judged by the thresholds themselves"


def test_several_targets_at_once(photos, tmp_path):
    files = get_image_files(photos)
    with captured_notes():
        block = DataBlock(
            (ImageBlock, CategoryBlock, RegressionBlock), n_inp=1, get_y=[parent_label, lambda f: 1000.0 * len(f.stem)],
            splitter=RandomSplitter(0.25, seed=0), item_tfms=Resize(32),
        )  # fmt: skip
        learn = vision_learner(block.dataloaders(files, bs=9, seed=0, device="cpu"), ARCH, pretrained=False, seed=0)
        with learn.no_logging():
            learn.fit(1)
        learn.export(tmp_path / "model.burnish")
        loaded = load_learner(tmp_path / "model.burnish")
    assert [m.name for m in learn.metrics] == ["label_accuracy", "number_rmse", "number_mae"]
    learn.show_results(max_n=4)
    for ax in plt.gcf().axes:
        names, said = zip(*(line.split(": ") for line in ax.get_title().split("\n")), strict=True)
        assert names == ("label", "number") * 2 and said[1] != said[3]
        assert ax.title.get_color() == ("green" if said[0] == said[2] else "red"), "a number is neither right nor wrong"
    learn.dls.show_batch(max_n=2)
    assert re.fullmatch(r"label: \w+\nnumber: [\d,]+", plt.gcf().axes[0].get_title())
    with captured_notes():
        learn.show_prediction(files[0])
    assert re.fullmatch(r"label: \w+ [\d.]+%\nnumber: [\d,]+", plt.gcf().axes[0].get_title())
    plt.close("all")
    kind, number = learn.predict(files[0]).label
    assert kind in learn.dls.target_blocks[0].vocab and 5_000 < number < 25_000  # in the target's own units
    assert loaded.predict(files[0]).label == (kind, number)


def test_numbers_of_a_range_come_in_full_precision_under_half_precision():
    module = RegressionBlock(y_range=(0, 2000)).final()
    x = torch.linspace(-2, 2, 50)[:, None]
    with torch.autocast("cpu", torch.bfloat16):
        half = module((x @ torch.ones(1, 1)).to(torch.bfloat16))
    assert half.dtype == torch.float32 and torch.allclose(half, module(x.to(torch.bfloat16).float()))


def test_whole_numbers_as_labels_are_told_and_several_columns_of_numbers_must_be_named(photos):
    files = files_of(photos)
    table = pd.DataFrame({"file": files, "legs": [i % 5 for i in range(len(files))], "x": 3.5, "y": 4.5})
    with captured_notes() as notes:
        dls = ImageDataLoaders.from_df(table, label_col="legs", **OPTIONS)
        assert isinstance(dls.target_blocks[0], CategoryBlock)
    assert any(
        "5 different whole numbers (0, 1, 2, 3, 4): taken as classes, without an order. If they are an amount: y_block=RegressionBlock" in n
        for n in notes
    )
    with captured_notes() as notes:
        ImageDataLoaders.from_df(table.assign(legs=table.legs % 2), label_col="legs", **OPTIONS)
    assert not any("whole numbers" in n for n in notes)
    with pytest.raises(SettingError, match=r"columns 'x', 'y' hold numbers, .*RegressionBlock for numbers to predict, y_block=PointBlock"):
        ImageDataLoaders.from_df(table, label_col=["x", "y"], **OPTIONS)


def test_a_csv_file_is_its_folder_and_its_name(photos, tmp_path):
    files = files_of(photos)
    pd.DataFrame({"file": [str(f) for f in files], "kind": [f.parent.name for f in files]}).to_csv(tmp_path / "kinds.csv", index=False)
    with captured_notes():
        one, other = (ImageDataLoaders.from_csv(*given, **OPTIONS) for given in ((tmp_path / "kinds.csv",), (tmp_path, "kinds.csv")))
    assert one.table.equals(other.table)
    with pytest.raises(FileNotFoundError, match=r"There is no .*none.csv"):
        ImageDataLoaders.from_csv(tmp_path, "none.csv")


def test_a_table_by_label_is_printed_whole(photos, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    with captured_notes():
        table = results_by_class(vision_learner(several(photos), ARCH, pretrained=False, seed=0))
    text = str(table)
    assert "..." not in text and all(name in text for name in table.columns) and max(map(len, text.splitlines())) <= 60
