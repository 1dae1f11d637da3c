"""From pictures and masks to a model: factories, U-Nets over many bodies, training, export."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.metrics import confusion_matrix, jaccard_score, precision_score, recall_score

from burnish.data.files import get_image_files
from burnish.data.notes import captured_notes
from burnish.errors import DataError, SettingError
from burnish.evaluate.by_class import results_by_class
from burnish.evaluate.interpret import ClassificationInterpretation, Interpretation
from burnish.evaluate.learner import Learner
from burnish.evaluate.losses_masks import CombinedLoss, DiceLoss, FocalLoss, LovaszLoss, PixelCrossEntropy
from burnish.evaluate.metrics import metric_by_name
from burnish.evaluate.summary import assess
from burnish.train.callback import Callback
from burnish.train.callbacks.mix import CutMix, MixUp
from burnish.train.export import load_learner
from burnish.train.readout import sample_losses
from burnish.vision.augment import aug_transforms
from burnish.vision.backbones import create_body
from burnish.vision.masks import MaskBlock
from burnish.vision.segmentation import SegmentationDataLoaders, unet_learner
from burnish.vision.transforms import Resize
from burnish.vision.unet import UNet, init_way_up, probe_maps

CODES = ["rest", "fruit"]
OPTIONS = {"codes": CODES, "item_tfms": Resize(64), "bs": 8, "seed": 0, "device": "cpu"}


@pytest.fixture(scope="module")
def folder(photos, tmp_path_factory):
    """The sample photographs, and as masks their saturated pixels: mostly the fruit."""
    root = tmp_path_factory.mktemp("masks")
    for name in ("images", "masks"):
        (root / name).mkdir()
    for i, file in enumerate(get_image_files(photos)):
        image = Image.open(file).convert("RGB").resize((96, 80))
        image.save(root / "images" / f"{i:02}.jpg", quality=95)
        Image.fromarray((np.asarray(image.convert("HSV"))[..., 1] > 120).astype(np.uint8)).save(root / "masks" / f"{i:02}.png")
    return root


def mask_of(file):
    return file.parent.parent / "masks" / f"{file.stem}.png"


def table(folder):
    files = get_image_files(folder / "images")
    return pd.DataFrame(
        {
            "image": [f"images/{f.name}" for f in files],
            "mask": [f"masks/{f.stem}.png" for f in files],
            "late": [i % 4 == 0 for i in range(len(files))],
        }
    )


FACTORIES = {
    "from_label_func": lambda p, **o: SegmentationDataLoaders.from_label_func(p, get_image_files(p / "images"), mask_of, **o),
    "from_folder": lambda p, **o: SegmentationDataLoaders.from_folder(p, **o),
    "from_df": lambda p, **o: SegmentationDataLoaders.from_df(table(p), p, **o),
    "from_csv": lambda p, **o: (table(p).to_csv(p / "masks.csv", index=False), SegmentationDataLoaders.from_csv(p, **o))[1],
}


@pytest.mark.parametrize("factory", FACTORIES)
def test_every_factory_gives_the_same_data(folder, factory):
    with captured_notes():
        dls, first = FACTORIES[factory](folder, **OPTIONS), FACTORIES["from_folder"](folder, **OPTIONS)
    x, y = dls.one_batch()
    assert x.shape == (8, 3, 64, 64) and y.shape == (8, 64, 64) and y.dtype == torch.int64 and set(y.unique().tolist()) == {0, 1}
    assert dls.table.split.tolist() == first.table.split.tolist() and dls.vocab == CODES and dls.c == 2
    assert torch.equal(dls.valid.one_batch()[1], first.valid.one_batch()[1])


def test_bad_folders_and_sizes_are_told(folder, tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    with captured_notes():
        for i, file in enumerate(get_image_files(folder / "images")[:6]):
            Image.open(file).save(tmp_path / "images" / f"{i}.png")
            Image.open(mask_of(file)).save(tmp_path / "masks" / f"{i}_mask.png")
        with pytest.raises(DataError, match=r"6 of 6 pictures .* have no mask .*suffix='_mask'"):
            SegmentationDataLoaders.from_folder(tmp_path, **OPTIONS)
        assert SegmentationDataLoaders.from_folder(tmp_path, suffix="_mask", **OPTIONS).train.n == 5
        for wrong, says in (((96, 81), "96 x 81 pixels .* 96 x 80: a mask must have the size"), ((80, 96), "lies on its side")):
            for file in (tmp_path / "masks").iterdir():
                Image.open(file).resize(wrong).save(file)
            with pytest.raises(DataError, match=says):
                SegmentationDataLoaders.from_folder(tmp_path, suffix="_mask", **OPTIONS).one_batch()
    with pytest.raises(TypeError, match=r"SegmentationDataLoaders.*unexpected keyword argument 'batch_size'"):
        SegmentationDataLoaders.from_folder(folder, **OPTIONS, batch_size=3)


BODIES = [
    "resnet18",
    "mobilenetv3_small_050",
    "convnext_atto",
    "efficientnet_lite0",
    "densenet121",
    "torchvision:resnet18",
    "torchvision:mobilenet_v2",
]


@pytest.mark.parametrize("arch", BODIES)
def test_a_unet_stands_on_bodies_of_many_kinds_and_takes_any_size(arch):
    with captured_notes():
        body = create_body(arch, pretrained=False)
    model = UNet(body, 4, blur=arch == "resnet18", self_attention=arch == "resnet18")
    init_way_up(model)
    strides = [s for _, _, s in probe_maps(body, 3)]
    assert strides == sorted(strides) and strides[-1] >= 16
    for size in ((64, 64), (50, 75)):
        assert model(torch.rand(2, 3, *size)).shape == (2, 4, *size)
    groups = model.layer_groups()
    assert sum(map(len, groups)) == len(list(model.parameters())) and len(groups) > 2


def test_a_body_made_for_one_size_takes_oblong_pictures():
    with captured_notes():
        model = UNet(create_body("swin_tiny_patch4_window7_224", pretrained=False, arch_args={"img_size": [64, 96]}), 3)
    assert [s for _, _, s in probe_maps(model.body, 3)] == [4, 8, 16, 32] and model(torch.rand(2, 3, 64, 96)).shape == (2, 3, 64, 96)


def test_a_body_of_one_size_is_refused():
    with captured_notes(), pytest.raises(SettingError, match="maps of one size only"):
        UNet(create_body("vit_tiny_patch16_224", pretrained=False), 2)


def test_enlarging_begins_as_repeating_pixels():
    from burnish.vision.unet import Enlarge

    torch.manual_seed(0)
    made = Enlarge(8, 4, 2)(torch.rand(1, 8, 5, 5)).reshape(1, 4, 5, 2, 5, 2)
    assert torch.allclose(made, made[:, :, :, :1, :, :1].expand_as(made), atol=1e-6)


@pytest.fixture(scope="module")
def learn(folder):
    with captured_notes():
        dls = SegmentationDataLoaders.from_folder(folder, **OPTIONS, batch_tfms=aug_transforms())
        made = unet_learner(
            dls, "tf_efficientnet_lite0", weights="offline", loss_func=CombinedLoss(torch.nn.CrossEntropyLoss(), DiceLoss()), seed=0
        )
        with made.no_logging():
            made.fine_tune(3, 3e-3, freeze_epochs=2)
    return made


def test_it_learns(learn):
    assert learn.recorder.results().mean_iou.iloc[-1] > 0.55
    with captured_notes():
        judged = assess(learn)
    assert judged.metric.tolist() == ["mean_iou", "pixel_accuracy", "loss"] and judged[["value", "low", "high"]].notna().all(axis=None)
    assert (judged.low <= judged.value).all() and (judged.value <= judged.high).all()
    assert judged.baseline.iloc[0] < judged.value.iloc[0] and learn.results["valid"].value.iloc[0] == judged.value.iloc[0]


def test_what_is_told_of_masks_is_what_the_metrics_say_of_all_outputs(learn):
    with captured_notes() as notes:
        learn.validate()
        judged = assess(learn, metrics=["mean_iou", "dice_multi", "pixel_accuracy"]).set_index("metric").value
        classes = results_by_class(learn)
    assert "always answering 'rest'" in notes[0] or "always answering 'fruit'" in notes[0]
    found = learn.get_preds(act=torch.nn.Identity())
    for name in ("mean_iou", "dice_multi", "pixel_accuracy"):
        assert judged[name] == pytest.approx(metric_by_name(name)(found.preds, found.targs))
    decided, actual = found.preds.argmax(1).reshape(-1), found.targs.reshape(-1)
    assert classes["class"].tolist() == CODES and classes.pixels.sum() == pytest.approx(1)
    assert classes.iou.tolist() == pytest.approx(jaccard_score(actual, decided, average=None).tolist())
    assert classes.precision.tolist() == pytest.approx(precision_score(actual, decided, average=None).tolist())
    assert classes.recall.tolist() == pytest.approx(recall_score(actual, decided, average=None).tolist())
    constant = (torch.nn.functional.one_hot(torch.full_like(found.targs, int(classes.pixels.argmax())), 2)).permute(0, 3, 1, 2).float()
    with captured_notes():
        assert assess(learn).baseline.iloc[0] == pytest.approx(metric_by_name("mean_iou")(constant, found.targs))


def test_the_body_is_frozen_first_and_then_trained(folder):
    with captured_notes():
        dls = SegmentationDataLoaders.from_folder(folder, **OPTIONS)
        made = unet_learner(dls, "tf_efficientnet_lite0", weights="offline", seed=0)
        before = {k: v.clone() for k, v in made.model.state_dict().items()}
        with made.no_logging():
            made.fit(1, 1e-2)
    changed = [k for k, v in made.model.state_dict().items() if not torch.equal(v, before[k])]
    assert changed and not [k for k in changed if k.startswith("body.")]


def test_the_classes_of_masks_are_checked(folder, tmp_path):
    """Which of them the pictures to validate on don't show."""
    (tmp_path / "masks").mkdir()
    for file in get_image_files(folder / "masks"):
        mask = np.array(Image.open(file))
        mask[:8, :8] = 2 if int(file.stem) % 4 else mask[:8, :8]
        Image.fromarray(mask).save(tmp_path / "masks" / file.name)
    told = table(folder).assign(image=[str(f) for f in get_image_files(folder / "images")])
    with captured_notes():
        dls = SegmentationDataLoaders.from_df(told, tmp_path, valid_col="late", **{**OPTIONS, "codes": [*CODES, "corner"]})
    found = dls.check().issues
    (message,) = found.message[found.kind == "missing_class"]
    assert "1 of 3 classes of mask are missing from valid" in message and "'corner'" in message
    assert "another split" in found.advice[found.kind == "missing_class"].iloc[0]


def test_what_is_drawn(learn):
    learn.dls.show_batch()
    assert all(len(ax.images) == 2 for ax in plt.gcf().axes if ax.images)
    picture = learn.dls.table.iloc[0, 0]
    mask = learn.show_prediction(picture).label
    photo, over = plt.gcf().axes[0].images
    assert photo.get_array().shape[:2] == over.get_array().shape[:2] == mask.shape
    learn.show_results(max_n=3)
    titles = [ax.get_title() for ax in plt.gcf().axes if ax.images]
    assert titles == ["target", "prediction"] * 3
    Interpretation.from_learner(learn).plot_top_losses(2)
    titles = [ax.get_title() for ax in plt.gcf().axes if ax.images]
    assert titles[0] == "actual" and titles[1].startswith("predicted, loss")
    plt.close("all")


def test_an_interpretation_of_masks_keeps_counts_and_no_outputs(learn):
    interp = ClassificationInterpretation.from_learner(learn, "valid")
    found = learn.get_preds(with_decoded=True, with_loss=True)
    held = sum(v.numel() * v.element_size() for v in vars(interp).values() if isinstance(v, torch.Tensor))
    assert held < found.preds.numel(), "far less than the outputs"
    assert np.array_equal(interp.confusion_matrix(), confusion_matrix(found.targs.reshape(-1), found.decoded.reshape(-1)))
    assert torch.allclose(interp.losses, found.losses, atol=1e-5) and np.array_equal(interp.rows, found.rows)
    assert interp.classification_report().equals(results_by_class(learn)) and interp.most_confused()[0][0] in CODES
    row = interp.table.iloc[3]
    assert row.pixel_accuracy == pytest.approx(float((found.decoded[3] == found.targs[3]).float().mean()))
    assert row.mean_iou == pytest.approx(jaccard_score(found.targs[3].reshape(-1), found.decoded[3].reshape(-1), average="macro"))
    assert interp.results().set_index("metric").value["mean_iou"] == pytest.approx(metric_by_name("mean_iou")(found.preds, found.targs))
    by = interp.by_group("split")
    assert by.n.tolist() == [len(interp)] and by.mean_iou[0] == pytest.approx(interp.results().value[0])
    assert torch.equal(interp.preds, found.preds) and torch.equal(interp.decoded, found.decoded), "where they are asked for"
    interp.plot_confusion_matrix()
    plt.close("all")


def test_it_is_exported_and_predicts_the_same(learn, folder, tmp_path):
    learn.export(tmp_path / "model.burnish")
    loaded = load_learner(tmp_path / "model.burnish")
    file = get_image_files(folder / "images")[0]
    mine, theirs = learn.predict(file), loaded.predict(file)
    assert np.array_equal(mine.label, theirs.label) and mine.label.shape == (80, 96) and mine.probs.shape == (2, 80, 96), (
        "of the picture's size"
    )
    assert isinstance(loaded.dls.target_blocks[0], MaskBlock) and loaded.dls.vocab == CODES
    assert [m.name for m in loaded.metrics] == ["mean_iou", "pixel_accuracy"] and type(loaded.loss_func).__name__ == "CombinedLoss"
    assert np.isclose(loaded.get_preds(dl=learn.dls.valid).preds, learn.get_preds().preds, atol=1e-5).all()


def test_a_model_of_another_form_is_trained_and_the_missing_results_are_said(folder):
    """One output a pixel, with a loss of the user's own: no class is chosen, so nothing of classes is told."""
    with captured_notes() as notes:
        dls = SegmentationDataLoaders.from_folder(folder, **OPTIONS)
        model = torch.nn.Conv2d(3, 1, 3, padding=1)
        learn = Learner(
            dls, model, loss_func=lambda out, y: torch.nn.functional.binary_cross_entropy_with_logits(out[:, 0], y.float()), seed=0
        )
        with learn.no_logging():
            learn.fit(1)
        with pytest.raises(DataError, match="no probabilities of 2 classes for every pixel"):
            learn.predict(get_image_files(folder / "images")[0])
    assert any("one output a pixel" in said for said in notes) and np.isfinite(learn.recorder.values[-1]).all()


def test_rare_classes_weigh_more_where_it_is_asked_for(folder):
    with captured_notes():
        dls = SegmentationDataLoaders.from_folder(folder, balance="loss", **OPTIONS)
        plain = SegmentationDataLoaders.from_folder(folder, **OPTIONS)
    masks = [np.asarray(Image.open(f)) for f in dls.table[dls.table["split"] == "train"]["mask"]]
    share = np.mean([m.mean() for m in masks])
    assert dls.loss().weight.tolist() == pytest.approx([(0.5 / (1 - share)) ** 0.5, (0.5 / share) ** 0.5], rel=1e-4)
    assert plain.loss().weight is None
    with captured_notes(), pytest.raises(SettingError, match="balance='sample' needs a CategoryBlock as the target, and it is MaskBlock"):
        SegmentationDataLoaders.from_folder(folder, balance="sample", **OPTIONS)


def test_cutmix_pastes_the_mask_with_its_picture(folder):
    seen = []

    class Look(Callback):
        order = 6  # after CutMix

        def before_batch(self, learn):
            if learn.training:
                seen.append((learn.xb[0].clone(), learn.yb[0].clone()))

    with captured_notes():
        dls = SegmentationDataLoaders.from_folder(folder, codes=CODES, item_tfms=Resize(64, method="squish"), bs=8, seed=0, device="cpu")
        learn = Learner(dls, torch.nn.Conv2d(3, 2, 1), loss_func=torch.nn.CrossEntropyLoss(), cbs=[CutMix(), Look()], seed=0)
        with learn.no_logging():
            learn.fit(1)
    originals = list(dls.train.in_order())
    whole, masks = (torch.cat([batch[i] for batch in originals]) for i in (0, 1))
    x, y = seen[0]
    for picture, mask in zip(x[:4], y[:4], strict=True):
        same = (whole == picture).all(dim=1)  # which original has this pixel
        assert (same.flatten(1).float().mean(1) > 0).any() and same.any(dim=0).all()
        agrees = (same & (masks == mask)).any(dim=0)
        assert agrees.all(), "every pixel has the class of the picture it comes from"


@pytest.mark.parametrize("loss", [None, CombinedLoss(torch.nn.CrossEntropyLoss(), DiceLoss()), FocalLoss(), LovaszLoss()])
def test_masks_of_which_no_pixel_counts_change_nothing(loss):
    """Such batches come of crops of large pictures that are mostly void."""
    loss = MaskBlock(CODES).loss() if loss is None else loss
    output = torch.randn(4, 2, 8, 8, requires_grad=True)
    value = loss(output, torch.full((4, 8, 8), -100))
    value.backward()
    assert value.item() == 0 and (output.grad == 0).all()


@pytest.mark.parametrize(
    "settings", [{}, {"weight": torch.tensor([0.3, 2.0])}, {"label_smoothing": 0.1}, {"reduction": "sum"}, {"reduction": "none"}]
)
def test_the_cross_entropy_of_masks_is_torchs(settings):
    output, target = torch.randn(4, 2, 8, 8), torch.randint(0, 2, (4, 8, 8))
    target[:, :3] = -100
    ours, torchs = PixelCrossEntropy(**settings)(output, target), torch.nn.CrossEntropyLoss(**settings)(output, target)
    assert torch.allclose(ours, torchs, rtol=1e-5)


@pytest.mark.parametrize("loss", [None, DiceLoss(), CombinedLoss(torch.nn.CrossEntropyLoss(), DiceLoss())])
def test_mixup_counts_both_masks_by_their_parts(folder, loss):
    seen = []

    class Look(Callback):
        order = 1000

        def after_loss(self, learn):
            if learn.training:
                partner, part = mix._partner, mix._part
                own, other = (sample_losses(learn.loss_func, learn.pred, (y,)) for y in (learn.yb[0], learn.yb[0][partner]))
                seen.append((learn.loss.item(), (part * own + (1 - part) * other).mean().item()))

    mix = MixUp(1.0)
    with captured_notes():
        dls = SegmentationDataLoaders.from_folder(folder, **OPTIONS)
        learn = Learner(dls, torch.nn.Conv2d(3, 2, 1), loss_func=loss, cbs=[mix, Look()], seed=0)
        with learn.no_logging():
            learn.fit(1)
    assert len(seen) > 3 and all(a == pytest.approx(b, rel=1e-4) for a, b in seen)


def test_a_function_that_moves_the_picture_alone_is_told_or_refused(folder):
    with captured_notes() as notes:
        dls = SegmentationDataLoaders.from_folder(folder, **{**OPTIONS, "item_tfms": [lambda im: im.crop((8, 8, 40, 40)), Resize(32)]})
        with pytest.raises(DataError, match=r"is a function, which is given the picture alone, and it made \(32, 32\) of"):
            dls.one_batch()
        assert "given the pictures alone: what the MaskBlock has in them stays where it is" in notes[-1]
        same = {**OPTIONS, "item_tfms": [Resize(64), lambda im: torch.tensor(np.asarray(im)).permute(2, 0, 1)]}
        assert SegmentationDataLoaders.from_folder(folder, **same).one_batch()[0].shape[-2:] == (64, 64), "of the same size in another form"
        dls = SegmentationDataLoaders.from_folder(folder, **{**OPTIONS, "batch_tfms": [lambda x: x[..., 8:]]})
        with pytest.raises(DataError, match="given the pictures alone, and it made"):
            dls.one_batch()


def test_the_loss_of_a_picture_is_of_the_pixels_that_count():
    output, target = torch.zeros(2, 2, 4, 4), torch.zeros(2, 4, 4, dtype=torch.int64)
    target[0].view(-1)[1:] = -100
    for loss in (torch.nn.CrossEntropyLoss(), CombinedLoss(torch.nn.CrossEntropyLoss())):
        assert sample_losses(loss, output, (target,)).tolist() == pytest.approx([np.log(2)] * 2)
    assert sample_losses(FocalLoss(), output, (target,)).tolist() == pytest.approx([np.log(2) / 4] * 2)
