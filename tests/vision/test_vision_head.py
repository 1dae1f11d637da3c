"""The head: its layers, what each option changes, and what it refuses."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from burnish.errors import SettingError
from burnish.vision.head import AdaptiveConcatPool2d, SigmoidRange, create_head, init_head


def kinds(head):
    return [type(m).__name__ for m in head]


def test_layers_by_default():
    head = create_head(512, 10)
    assert kinds(head) == [
        "AdaptiveConcatPool2d",
        "Flatten",
        "BatchNorm1d",
        "Dropout",
        "Linear",
        "ReLU",
        "BatchNorm1d",
        "Dropout",
        "Linear",
    ]
    assert (head[3].p, head[7].p) == (0.25, 0.5)
    assert (head[4].in_features, head[4].out_features, head[4].bias) == (1024, 512, None)
    assert head[8].out_features == 10 and head[8].bias is not None


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"lin_ftrs": []}, ["AdaptiveConcatPool2d", "Flatten", "BatchNorm1d", "Dropout", "Linear"]),
        ({"lin_ftrs": [], "ps": 0.0, "first_bn": False, "concat_pool": False}, ["AdaptiveAvgPool2d", "Flatten", "Dropout", "Linear"]),
        ({"lin_ftrs": [], "pool": False}, ["Flatten", "BatchNorm1d", "Dropout", "Linear"]),
        (
            {"lin_ftrs": [], "bn_final": True, "y_range": (0, 1)},
            ["AdaptiveConcatPool2d", "Flatten", "BatchNorm1d", "Dropout", "Linear", "BatchNorm1d", "SigmoidRange"],
        ),
        ({"lin_first": True}, ["AdaptiveConcatPool2d", "Flatten", "Dropout", "Linear", "ReLU", "BatchNorm1d", "Dropout", "Linear"]),
    ],
)
def test_each_option_changes_the_layers(options, expected):
    head = create_head(8, 3, **options)
    assert kinds(head) == expected
    x = torch.rand(4, 8) if options.get("pool") is False else torch.rand(4, 8, 3, 5)
    assert head(x).shape == (4, 3)


def test_dropout_for_each_layer():
    assert [m.p for m in create_head(8, 3, ps=[0.1, 0.2]) if isinstance(m, nn.Dropout)] == [0.1, 0.2]


def test_concat_pool_is_the_maximum_and_the_mean():
    x = torch.randn(2, 3, 4, 6)
    out = AdaptiveConcatPool2d()(x)
    assert out.shape == (2, 6, 1, 1)
    torch.testing.assert_close(out[:, :3, 0, 0], x.flatten(2).max(2).values)
    torch.testing.assert_close(out[:, 3:, 0, 0], x.flatten(2).mean(2))
    torch.testing.assert_close(AdaptiveConcatPool2d(2)(x)[:, :3], nn.functional.adaptive_max_pool2d(x, 2))


def test_outputs_stay_in_their_range():
    out = SigmoidRange(-2, 5)(torch.tensor([-100.0, 0.0, 100.0]))
    torch.testing.assert_close(out, torch.tensor([-2.0, 1.5, 5.0]))


def test_initialisation_leaves_norms_alone_and_can_be_left_out():
    torch.manual_seed(0)
    head = create_head(64, 5)
    head[2].weight.data.fill_(7)
    before = head[4].weight.clone()
    assert torch.equal(init_head(head, None)[4].weight, before)
    init_head(head)
    assert head[4].weight.std().item() == pytest.approx((2 / 128) ** 0.5, rel=0.05)
    assert head[8].bias.abs().sum() == 0 and (head[2].weight == 7).all()


def test_bad_settings_are_said():
    with pytest.raises(SettingError, match="n_out=0: expected the number of outputs"):
        create_head(8, 0)
    with pytest.raises(SettingError, match=r"ps=\[0.1\]: expected one number from 0 to below 1, or one for each of the 2 linear layers"):
        create_head(8, 2, ps=[0.1])
    with pytest.raises(SettingError, match=r"ps=1.0"):
        create_head(8, 2, ps=1.0)
    with pytest.raises(SettingError, match=r"y_range=\(5, 0\): expected \(low, high\)"):
        create_head(8, 1, y_range=(5, 0))
    with pytest.raises(TypeError, match="drop"):
        create_head(8, 1, drop=0.3)
