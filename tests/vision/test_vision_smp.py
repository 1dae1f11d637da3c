"""The ways up of segmentation-models-pytorch over burnish's bodies."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from PIL import Image

from burnish.data.notes import captured_notes
from burnish.errors import SettingError
from burnish.train.export import load_learner
from burnish.vision.segmentation import SegmentationDataLoaders, unet_learner
from burnish.vision.smp import make_smp, parts_of
from burnish.vision.transforms import Resize

smp = pytest.importorskip("segmentation_models_pytorch")
WAYS = [w for w in smp.MODEL_ARCHITECTURES_MAPPING if w != "dpt"]


@pytest.fixture(scope="module")
def dls(tmp_path_factory):
    """Bright squares on grey noise, which the masks mark."""
    root, rng = tmp_path_factory.mktemp("squares"), np.random.default_rng(0)
    for name in ("images", "masks"):
        (root / name).mkdir()
    for i in range(40):
        picture, mask = rng.integers(60, 120, (64, 72, 3), dtype=np.uint8), np.zeros((64, 72), np.uint8)
        y, x = rng.integers(0, 40, 2)
        picture[y : y + 24, x : x + 24, :2] = 230
        mask[y : y + 24, x : x + 24] = 1
        Image.fromarray(picture).save(root / "images" / f"{i}.png")
        Image.fromarray(mask).save(root / "masks" / f"{i}.png")
    with captured_notes():
        return SegmentationDataLoaders.from_folder(root, codes=["rest", "square"], item_tfms=Resize(64), bs=8, seed=0, device="cpu")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("body", ["resnet18", "convnext_atto", "tf_efficientnet_lite0", "vgg11_bn"])
def test_networks_take_any_size_and_know_their_groups(way, body):
    try:
        model = make_smp(way, body, False, 3, 5, None, True, {}, None).eval()
    except SettingError as error:
        assert "don't go together" in str(error) and body == "vgg11_bn" and way in ("deeplabv3", "deeplabv3plus", "pan")
        return
    for size in ((128, 128), (150, 131)):
        assert model(torch.rand(2, 3, *size)).shape == (2, 5, *size)
    groups = model.layer_groups()
    assert sum(map(len, groups)) == len(list(model.parameters())) and len(groups) > 2


def test_swin_takes_the_size_it_was_made_for():
    model = make_smp("fpn", "swin_tiny_patch4_window7_224", False, 3, 5, None, True, {}, None).eval()
    assert model(torch.rand(1, 3, 224, 224)).shape == (1, 5, 224, 224)


def test_pretrained_it_learns_is_exported_and_predicts_the_same(dls, tmp_path):
    with captured_notes():
        learn = unet_learner(dls, "smp:unetplusplus/tf_efficientnet_lite0", weights="offline", seed=0)
    assert learn.arch == "smp:unetplusplus/tf_efficientnet_lite0" and learn.pretrained and learn.model.body.frozen
    before = learn.model.body.model.conv_stem.weight.clone()
    with captured_notes(), learn.no_logging():
        learn.fit_one_cycle(2, 3e-3)
        assert torch.equal(learn.model.body.model.conv_stem.weight, before)
        learn.unfreeze()
        learn.fit_one_cycle(1, 1e-3)
    assert not torch.equal(learn.model.body.model.conv_stem.weight, before)
    assert learn.recorder.results().mean_iou.iloc[-1] > 0.9
    learn.export(tmp_path / "model.burnish")
    loaded = load_learner(tmp_path / "model.burnish")
    file = dls.table.iloc[0, 0]
    mine, theirs = learn.predict(file), loaded.predict(file)
    assert np.array_equal(mine.label, theirs.label) and mine.label.shape == (64, 72)
    assert loaded.arch == learn.arch


@pytest.mark.parametrize(
    ("arch", "settings", "said"),
    [
        ("smp:unetplus", {}, "Did you mean: unetplusplus"),
        ("smp:dpt/resnet18", {}, "no 'dpt'"),
        ("smp:unet/resnet19", {}, "Unknown architecture 'resnet19'"),
        ("smp:unet/vit_tiny_patch16_224", {}, "don't go together"),
        ("smp:unet/torchvision:resnet18", {}, "timm's architectures"),
        ("smp:unet", {"self_attention": True}, "burnish's own way up"),
    ],
)
def test_what_cannot_be_made_is_said(dls, arch, settings, said):
    with captured_notes(), pytest.raises(SettingError, match=said):
        unet_learner(dls, arch, pretrained=False, **settings)


def test_the_package_is_named_where_it_is_missing(dls, monkeypatch):
    monkeypatch.setitem(sys.modules, "segmentation_models_pytorch", None)
    with pytest.raises(ModuleNotFoundError, match="pip install segmentation-models-pytorch"):
        unet_learner(dls, "smp:unet")


def test_names_are_read():
    assert parts_of("smp:FPN") == ("fpn", "resnet34") and parts_of("smp:unet/convnext_tiny") == ("unet", "convnext_tiny")
    assert parts_of("resnet34") == (None, "resnet34")
