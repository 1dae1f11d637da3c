"""Bodies, heads and U-Nets put together by hand, as fastai's tutorials do; parameters are as many as fastai 2.8.12's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from burnish.compat import archs, unet
from burnish.compat import vision_models as vm
from burnish.compat.factories import SegmentationDataLoaders, unet_learner
from burnish.compat.layers import Mish
from burnish.errors import SettingError

pytestmark = pytest.mark.usefixtures("installed")


@pytest.fixture(scope="module")
def resnet():
    return archs.__getattr__("resnet18")()


def count(m: nn.Module) -> int:
    return sum(p.numel() for p in m.parameters())


def test_bodies(resnet):
    body = vm.create_body(resnet, 1, False)
    assert len(body) == 8 and body[0].in_channels == 1 and vm.has_pool_type(resnet) and not vm.has_pool_type(nn.Linear(2, 2))
    assert len(vm.create_body(archs.__getattr__("resnet18"), pretrained=False, cut=-3)) == 7 and len(vm.cut_model(resnet, 2)) == 2
    assert vm.cut_model(resnet, lambda m: m.layer1) is resnet.layer1
    with pytest.raises(SettingError, match="no part of it pools"):
        vm.create_body(nn.Sequential(nn.Conv2d(3, 2, 1)))
    with pytest.raises(SettingError, match="a number of parts"):
        vm.cut_model(resnet, "last")


def test_heads():
    names = [type(m).__name__ for m in vm.create_head(64, 3, lin_first=True, bn_final=True, y_range=(0, 1))]
    assert names[2:] == ["Dropout", "Linear", "ReLU", "BatchNorm1d", "Dropout", "Linear", "BatchNorm1d", "SigmoidRange"]
    assert vm.create_head(512, 3)[-1].bias is None and vm.create_head(8, 3, [16, 8], [0.1, 0.2, 0.3], concat_pool=False)(
        torch.ones(2, 8, 4, 4)
    ).shape == (2, 3)


def test_models_and_their_groups():
    arch = archs.__getattr__("resnet18")
    model = vm.create_vision_model(arch, 5, pretrained=False, ps=0.1)
    assert model(torch.zeros(2, 3, 64, 64)).shape == (2, 5)
    assert [len(g) for g in vm.default_split(model)] == [60, 6] and [len(g) for g in vm.model_meta[arch]["split"](model)] == [30, 30, 6]
    assert vm.create_cnn_model is vm.create_vision_model and vm.model_meta[arch]["cut"] == -2
    timm_model, config = vm.create_timm_model("resnet10t", 4, pretrained=False)
    assert timm_model(torch.zeros(2, 3, 64, 64)).shape == (2, 4) and config["input_size"]


def test_unets():
    arch = archs.__getattr__("resnet18")
    made = unet.create_unet_model(arch, 3, (64, 64), pretrained=False)
    assert count(made) == 31113108 and made(torch.randn(2, 3, 64, 64)).shape == (2, 3, 64, 64)
    body = vm.create_body(arch, pretrained=False)
    other = unet.DynamicUnet(body, 2, (64, 96), self_attention=True, blur=True, y_range=(0, 1), last_cross=False, bottle=True)
    out = other(torch.randn(1, 3, 64, 96)).detach()
    assert out.shape == (1, 2, 64, 96) and float(out.min()) >= 0 and float(out.max()) <= 1 and count(other) == 31120707
    with pytest.raises(SettingError, match="all of one size"):
        unet.DynamicUnet(nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU()), 2, (8, 8))


def test_a_learner_of_one(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(6):
        Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(tmp_path / f"p{i}.png")
        Image.fromarray(rng.integers(0, 2, (32, 32), dtype=np.uint8)).save(tmp_path / f"m{i}.png")
    files = sorted(tmp_path.glob("p*.png"))
    dls = SegmentationDataLoaders.from_label_func(
        tmp_path, files, lambda f: f.parent / f"m{f.name[1:]}", codes=["a", "b"], bs=2, device="cpu", seed=1
    )
    learn = unet_learner(dls, archs.__getattr__("resnet18"), pretrained=False, act_cls=Mish, blur_final=False, cut=None, default_cbs=False)
    assert isinstance(learn.model[1], unet.DynamicUnet) and len(learn.groups) == 3 and learn.path == tmp_path
    learn.fit(1)
    assert learn.get_preds()[0].shape[1:] == (2, 32, 32)
    with pytest.raises(TypeError):
        unet_learner(dls, archs.__getattr__("resnet18"), bottel=True)
