"""Bodies from timm, torchvision and the user: features, normalisation, channels, groups, freezing."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

import burnish.vision.architectures as architectures
from burnish.errors import SettingError
from burnish.vision.architectures import ARCHITECTURES, Arch, resolve
from burnish.vision.backbones import IMAGENET_STATS, InputNormalize, create_body, input_stats, layer_groups, stage_groups
from burnish.vision.head import create_head

CONVOLUTIONAL = [
    "resnet18",
    "mobilenetv2_100",
    "tf_efficientnet_lite0",
    "convnext_atto",
    "densenet121",
    "regnety_002",
    "mobilenetv3_small_050",
]
POOLED = ["vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"]
FOREIGN = ["torchvision:squeezenet1_1", "torchvision:resnet18", "torchvision:shufflenet_v2_x0_5", "torchvision:mobilenet_v3_small"]
SMALL = {"vit_tiny_patch16_224": {"img_size": 64, "depth": 4}, "swin_tiny_patch4_window7_224": {"img_size": 64, "window_size": 2}}
EVERY = CONVOLUTIONAL + POOLED + FOREIGN


def body_of(arch, n_in=3, **more):
    torch.manual_seed(0)
    return create_body(arch, pretrained=False, n_in=n_in, arch_args=SMALL.get(arch), **more)


# -- names ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_every_familiar_name_is_an_architecture_that_exists(name):
    arch = getattr(architectures, name)
    assert isinstance(arch, Arch) and isinstance(arch, str)
    assert resolve(arch) == resolve(name) == str(arch)


def test_a_name_is_no_function_and_says_so():
    with pytest.raises(TypeError, match=r"'resnet34' is the name of an architecture, not a function.*vision_learner\(dls, 'resnet34'"):
        architectures.resnet34(pretrained=True)
    assert repr(architectures.resnet34) == "Arch('resnet34')"


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ("resnet81", "resnet18"),
        ("resnet18.a1_in2k", "resnet18.a1_in1k"),
        ("torchvision:alexnett", "torchvision:alexnet"),
        ("convnext-tiny", "convnext_tiny"),
    ],
)
def test_unknown_architecture_names_the_nearest(wrong, hint):
    with pytest.raises(SettingError, match=f"Unknown architecture '{wrong}'.*Did you mean: .*{hint}"):
        create_body(wrong, pretrained=False)


def test_a_misspelt_import_names_the_nearest():
    with pytest.raises(AttributeError, match=r"has no 'resnet81'.*Did you mean: .*resnet18"):
        architectures.resnet81  # noqa: B018


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pretrained", True),
        ("pretrained_cfg", {"file": "weights.pth"}),
        ("pretrained_cfg_overlay", {}),
        ("checkpoint_path", "weights.pth"),
        ("cache_dir", "there"),
        ("weights", "DEFAULT"),
        ("weights_backbone", "DEFAULT"),
        ("url", "weights"),
        ("block_args", {"source": "https://example.org"}),
    ],
)
def test_arguments_of_an_architecture_neither_fetch_nor_open(name, value):
    for arch in ("resnet18", "torchvision:resnet18", lambda **args: nn.Conv2d(3, 4, 3)):
        with pytest.raises(SettingError, match=r"would have the architecture fetch or open something.*pretrained= and weights="):
            create_body(arch, pretrained=False, arch_args={name: value})


def test_arguments_that_shape_an_architecture_are_taken():
    assert create_body("resnet10t", pretrained=False, arch_args={"drop_path_rate": 0.1, "stem_type": "deep"}).num_features == 512


# -- features ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("n_in", [1, 3, 4])
@pytest.mark.parametrize("arch", EVERY)
def test_body_gives_features_for_any_number_of_channels(arch, n_in):
    body = body_of(arch, n_in).eval()
    with torch.no_grad():
        features = body(torch.rand(2, n_in, 64, 64))
    assert features.shape[:2] == (2, body.num_features)
    assert (
        body.spatial
        == (features.ndim == 4)
        == (arch in CONVOLUTIONAL or arch.endswith(("squeezenet1_1", "resnet18", "mobilenet_v3_small")))
    )
    assert features.isfinite().all()


@pytest.mark.parametrize("arch", EVERY)
def test_groups_hold_every_parameter_once_and_all_of_them_are_used(arch):
    body = body_of(arch)
    model = nn.Sequential(body, create_head(body.num_features, 3, pool=body.spatial))
    groups = layer_groups(model)
    seen = [id(p) for group in groups for p in group]
    assert len(seen) == len(set(seen)) and set(seen) == {id(p) for p in model.parameters()}
    assert 3 <= len(groups) <= 5
    model.train()
    model(torch.rand(2, 3, 64, 64)).sum().backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("arch", ["resnet18", "torchvision:resnet18"])
def test_groups_follow_the_stages_of_a_resnet(arch: str):
    body = body_of(arch)
    names = {id(p): n.split(".")[1] for n, p in body.named_parameters()}
    stages = [sorted({names[id(p)] for p in g}) for g in body.layer_groups()]
    assert stages == [["bn1", "conv1", "layer1"], ["layer2"], ["layer3"], ["layer4"]]


def test_groups_of_a_transformer_go_from_the_first_block_to_the_last():
    body = body_of("vit_tiny_patch16_224")
    names = {id(p): n for n, p in body.named_parameters()}
    firsts = [min(int(names[id(p)].split(".")[2]) for p in g if ".blocks." in names[id(p)]) for g in body.layer_groups()]
    assert firsts == [0, 1, 2, 3]
    assert any("patch_embed" in names[id(p)] for p in body.layer_groups()[0])


@pytest.mark.parametrize("model", [nn.Linear(3, 2), nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)), nn.ReLU()])
def test_groups_of_any_module(model):
    seen = [id(p) for group in stage_groups(model) for p in group]
    assert sorted(seen) == sorted(id(p) for p in model.parameters())


@pytest.mark.parametrize("arch", ["resnet18", "vit_tiny_patch16_224", "mobilenetv3_small_050"])
def test_the_old_classifier_is_gone(arch):
    classifier = timm.create_model(arch, pretrained=False).pretrained_cfg["classifier"]
    body = body_of(arch)
    assert not list(body.model.get_submodule(classifier).parameters())


def test_features_are_what_the_network_computes_itself():
    body = body_of("resnet18").eval()
    x = torch.rand(2, 3, 64, 64)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in IMAGENET_STATS)
    with torch.no_grad():
        torch.testing.assert_close(body(x), body.model.forward_features((x - mean) / std), atol=1e-4, rtol=1e-4)


# -- normalisation ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("arch", ["tf_efficientnet_lite0", "resnet18", "vit_tiny_patch16_224"])
def test_the_backbones_own_statistics_are_used_also_without_its_weights(arch):
    config = timm.get_pretrained_cfg(arch)
    normalize = body_of(arch).normalize
    torch.testing.assert_close(normalize.mean, torch.tensor(config.mean))
    torch.testing.assert_close(normalize.std, torch.tensor(config.std))
    x = torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(normalize(x), (x - normalize.mean.view(3, 1, 1)) / normalize.std.view(3, 1, 1))


def test_normalisation_can_be_left_out_and_keeps_the_memory_format():
    assert isinstance(body_of("resnet18", normalize=False).normalize, nn.Identity)
    x = torch.rand(2, 3, 8, 8).contiguous(memory_format=torch.channels_last)
    assert InputNormalize(*IMAGENET_STATS)(x).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("n_in", [1, 2, 4])
def test_statistics_of_other_channels_are_the_average(n_in):
    mean, std = input_stats({"mean": (0.2, 0.4, 0.6), "std": (0.1, 0.2, 0.3)}, n_in)
    assert mean == pytest.approx((0.4,) * n_in) and std == pytest.approx((0.2,) * n_in)


# -- frozen means frozen ------------------------------------------------------------------------------------------------
def test_a_frozen_body_keeps_nothing_for_a_backward_pass():
    body = body_of("resnet18")
    assert body(torch.rand(2, 3, 32, 32)).requires_grad
    body.requires_grad_(False)
    assert body.frozen and not body(torch.rand(2, 3, 32, 32)).requires_grad


def test_a_frozen_body_still_explains_its_input():
    body = body_of("resnet18").requires_grad_(False).eval()
    x = torch.rand(1, 3, 32, 32, requires_grad=True)
    body(x).sum().backward()
    assert x.grad.abs().sum() > 0


# -- networks of the user's -------------------------------------------------------------------------------------------
class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.hidden, self.out = nn.Conv2d(3, 8, 3), nn.Linear(8, 6), nn.Linear(6, 2)

    def forward(self, x):
        return self.out(self.hidden(self.conv(x).mean((2, 3))))


def test_a_network_of_the_users_loses_its_last_layer_and_stays_whole_itself():
    net = Small()
    body = create_body(net, n_in=1)
    assert body(torch.rand(2, 1, 16, 16)).shape == (2, 6)
    assert isinstance(net.out, nn.Linear) and net.conv.in_channels == 3


def test_a_network_of_maps_is_a_body_as_it_is_even_with_linear_layers_inside():
    class Gate(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.gate = nn.Conv2d(3, 8, 3), nn.Linear(8, 8)

        def forward(self, x):
            x = self.conv(x)
            return x * self.gate(x.mean((2, 3)))[:, :, None, None]

    net = Gate()
    body = create_body(net, normalize=False)
    x = torch.rand(2, 3, 16, 16)
    assert body.spatial
    torch.testing.assert_close(body(x), net(x))


def test_a_function_that_builds_a_network():
    import torchvision

    assert create_body(torchvision.models.resnet18, pretrained=False).num_features == 512
    with pytest.raises(SettingError, match=r"returned a int; expected an nn.Module"):
        create_body(lambda: 3, pretrained=False)
    with pytest.raises(SettingError, match=r"arch=7 \(int\): expected a name such as 'resnet34'"):
        create_body(7, pretrained=False)


def test_a_network_that_cant_take_images_is_refused():
    with pytest.raises(
        SettingError, match=r"Linear can't be used as a body: a blank image of 3 channels and 96 x 96.*Expected a network that takes images"
    ):
        create_body(nn.Linear(3, 2))


def test_a_network_with_auxiliary_classifiers_is_refused():
    with pytest.raises(SettingError, match=r"GoogLeNet has auxiliary classifiers.*aux_logits"):
        create_body("torchvision:googlenet", pretrained=False, arch_args={"init_weights": False, "aux_logits": True})


# -- bad settings -----------------------------------------------------------------------------------------------------
def test_bad_settings_are_said():
    with pytest.raises(SettingError, match="n_in=0: expected the number of channels"):
        create_body("resnet18", pretrained=False, n_in=0)
    with pytest.raises(SettingError, match=r"arch_args=\{'depht': 3\}: 'resnet18' doesn't take this.*timm.create_model"):
        create_body("resnet18", pretrained=False, arch_args={"depht": 3})


def test_users_generators_are_left_alone_by_the_probe():
    state = torch.get_rng_state()
    net = Small()
    after = torch.get_rng_state()
    create_body(net)
    assert torch.equal(torch.get_rng_state(), after) and not torch.equal(state, after)
