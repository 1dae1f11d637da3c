"""Grad-CAM: that the heat is where the reason is, for maps and for tokens, and that nothing is left behind."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from burnish.data.category import CategoryBlock
from burnish.data.dataloaders import DataLoaders
from burnish.data.notes import captured_notes
from burnish.errors import SettingError, UnreadableFileError
from burnish.train.learner import Learner
from burnish.vision.backbones import create_body
from burnish.vision.blocks import ImageBlock
from burnish.vision.explain import _module, explain
from burnish.vision.head import create_head
from burnish.vision.learner import VisionLearner

SIDE = 64


def no_data():
    dls = DataLoaders(n_inp=1, device="cpu")
    dls.blocks = [ImageBlock(), CategoryBlock(vocab=["dark", "red"])]
    return dls


def learner(model, kind=VisionLearner):
    return kind(no_data(), model.eval(), seed=0)


class Redness(nn.Module):
    """Answers "red" by how much red there is anywhere: what a right explanation must show is known."""

    def __init__(self):
        super().__init__()
        self.maps = nn.Conv2d(3, 2, 8, stride=8, bias=False)
        weight = torch.zeros(2, 3, 8, 8)
        weight[0, 0], weight[0, 1], weight[0, 2] = 1 / 64, -1 / 64, -1 / 64
        weight[1, 1] = 1 / 64
        self.maps.weight.data.copy_(weight)

    def forward(self, x):
        red = self.maps(x).relu().mean((2, 3))[:, 0]
        return torch.stack([torch.zeros_like(red), red * 20], 1)


def red_square(row, column):
    pixels = np.full((SIDE, SIDE, 3), 90, dtype=np.uint8)
    pixels[row : row + 16, column : column + 16] = (255, 0, 0)
    return Image.fromarray(pixels)


@pytest.mark.parametrize(("row", "column"), [(0, 0), (0, 48), (32, 16), (48, 48)])
def test_the_heat_is_where_the_reason_is(row, column):
    seen = explain(learner(Redness()), red_square(row, column), target="red", layer="maps")
    assert seen.heat.shape == (SIDE, SIDE) and seen.heat.dtype == np.float32
    assert seen.heat.max() == pytest.approx(1) and seen.heat.min() >= 0
    y, x = np.unravel_index(seen.heat.argmax(), seen.heat.shape)
    assert row <= y < row + 16 and column <= x < column + 16
    assert seen.heat[row : row + 16, column : column + 16].sum() > 0.6 * seen.heat.sum()


SMALL = {"vit_tiny_patch16_224": {"img_size": SIDE, "depth": 2}, "swin_tiny_patch4_window7_224": {"img_size": SIDE, "window_size": 2}}


def small(arch):
    torch.manual_seed(0)
    body = create_body(arch, pretrained=False, arch_args=SMALL.get(arch))
    return nn.Sequential(body, create_head(body.num_features, 2, pool=body.spatial))


@pytest.mark.parametrize("arch", ["resnet18", "mobilenetv3_small_050", "convnext_atto", "torchvision:squeezenet1_1", *SMALL])
def test_every_kind_of_body_is_explained(arch, tmp_path):
    red_square(8, 8).save(tmp_path / "a.png")
    learn = learner(small(arch))
    seen = learn.explain(tmp_path / "a.png")
    assert seen.heat.shape == (SIDE, SIDE) and np.isfinite(seen.heat).all() and 0 <= seen.heat.min() <= seen.heat.max() <= 1
    with torch.no_grad():
        probs = learn.model(torch.from_numpy(np.array(red_square(8, 8))).permute(2, 0, 1)[None] / 255).softmax(1)[0]
    assert seen.index == int(probs.argmax()) and seen.label == ["dark", "red"][seen.index]
    assert seen.prob == pytest.approx(float(probs.max()), abs=1e-5)


@pytest.mark.parametrize("arch", ["resnet18", "mobilenetv3_small_050", "convnext_atto"])
def test_a_small_picture_is_explained_by_a_layer_that_still_shows_places(arch):
    seen = []
    learn = learner(small(arch))
    for module in learn.model[0].model.modules():
        module.register_forward_hook(lambda m, i, out: seen.append((m, out.shape[2:])))
    with captured_notes() as notes:
        learn.explain(red_square(8, 8))
        explained = _module(learn.model, None, SIDE)
    assert not notes and {shape for m, shape in seen if m is explained} == {(4, 4)}
    assert _module(learn.model, None, 224) is learn.model[0], "pictures of the usual size by the body's last"


def test_a_map_too_coarse_to_show_a_place_is_said():
    with captured_notes() as notes:
        learner(small("torchvision:squeezenet1_1")).explain(red_square(8, 8))
    assert len(notes) == 1 and "map is only 3 x 3, too coarse to show a place" in notes[0]


@pytest.mark.parametrize("arch", list(SMALL))
def test_tokens_are_laid_out_as_the_picture_is(arch):
    """What changes in one corner of the picture must change the layer's map most there, whatever the layout of tokens."""
    from burnish.vision.explain import _as_maps, _recorded

    model = small(arch).eval()
    blank, corner = torch.zeros(1, 3, SIDE, SIDE), torch.zeros(1, 3, SIDE, SIDE)
    corner[:, :, : SIDE // 2, SIDE // 2 :] = 1
    maps = []
    for x in (blank, corner):
        with torch.no_grad(), _recorded(_module(model, None, SIDE)) as seen:
            model(x)
        maps.append(_as_maps(seen["out"], model))
    change = (maps[0] - maps[1]).abs().sum(0)
    half = len(change) // 2
    quarters = {(i, j): float(change[i * half : (i + 1) * half, j * half : (j + 1) * half].sum()) for i in (0, 1) for j in (0, 1)}
    assert max(quarters, key=quarters.get) == (0, 1)


@pytest.mark.parametrize("frozen", [False, True])
def test_nothing_is_left_behind(frozen):
    model = small("resnet18").requires_grad_(not frozen)
    learn = learner(model)
    model.train()
    model[0].model.layer1.eval()
    modes = [m.training for m in model.modules()]
    before = {k: v.clone() for k, v in model.state_dict().items()}
    learn.explain(red_square(8, 8))
    assert [m.training for m in model.modules()] == modes
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert not any(m._forward_hooks or m._backward_hooks for m in model.modules())


def test_hooks_are_removed_when_the_model_fails():
    class Fails(nn.Sequential):
        def forward(self, x):
            super().forward(x)
            raise RuntimeError("on purpose")

    learn = learner(Fails(nn.Conv2d(3, 2, 3)))
    with pytest.raises(RuntimeError, match="on purpose"):
        explain(learn, red_square(0, 0), layer="0")
    assert not any(m._forward_hooks for m in learn.model.modules())


def test_the_target_may_be_a_label_or_an_index():
    learn = learner(small("resnet18"))
    seen = [learn.explain(red_square(8, 8), target=t) for t in ("red", 1)]
    assert [s.label for s in seen] == ["red", "red"] and np.array_equal(seen[0].heat, seen[1].heat)
    other = learn.explain(red_square(8, 8), target="dark")
    assert other.prob + seen[0].prob == pytest.approx(1, abs=1e-5) and not np.array_equal(other.heat, seen[0].heat)


def test_it_draws_and_describes_itself():
    from matplotlib import pyplot as plt

    seen = learner(small("resnet18")).explain(red_square(8, 8), target="red")
    ax = seen.draw(plt.figure().add_subplot())
    assert ax.get_title() == f"red ({seen.prob:.0%})" and len(ax.images) == 2
    assert seen.draw() is not None and "Explanation('red', prob=" in repr(seen) and "64 x 64" in repr(seen)


def test_bad_input_is_said(tmp_path):
    learn = learner(small("resnet18"))
    with pytest.raises(
        SettingError, match=r"target='rad' is no label of this model and no index below 2. Labels: dark, red. Did you mean: red"
    ):
        learn.explain(red_square(0, 0), target="rad")
    with pytest.raises(SettingError, match=r"target=2 is no label"):
        learn.explain(red_square(0, 0), target=2)
    with pytest.raises(SettingError, match=r"layer='0.model.layer5': the model has no module of this name. Did you mean: .*0.model.layer4"):
        learn.explain(red_square(0, 0), layer="0.model.layer5")
    with pytest.raises(SettingError, match=r"output of shape \(1, 2\) isn't laid out over the picture"):
        learn.explain(red_square(0, 0), layer="1")
    with pytest.raises(SettingError, match=r"took no part in the prediction"):
        learn.explain(red_square(0, 0), layer=nn.Conv2d(3, 3, 1))
    with pytest.raises(SettingError, match="no body that burnish made, so the layer must be named"):
        explain(learner(Redness(), Learner), red_square(0, 0))
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    with pytest.raises(UnreadableFileError, match=r"broken.jpg"):
        learn.explain(tmp_path / "broken.jpg")
