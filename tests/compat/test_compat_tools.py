"""Tensors and drawing as notebooks for fastai use them."""

from __future__ import annotations

import random
from collections import namedtuple
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from burnish.compat import module_info, places, resizing, suggestions
from burnish.compat import torch_tools as t
from burnish.compat.dataloaders import DataLoaders
from burnish.compat.drawing import get_grid, show_image, show_images, show_title, show_titled_image, subplots
from burnish.compat.learner import Learner
from burnish.compat.loaders import DataLoader
from burnish.compat.losses import CrossEntropyLossFlat
from burnish.errors import SettingError
from burnish.vision import transforms


@pytest.mark.parametrize(
    ("given", "dtype", "shape"),
    [
        ((1, 2, 3), torch.int64, (3,)), (([1.0, 2.0],), torch.float32, (2,)), ((np.ones((2, 3)),), torch.float32, (2, 3)), ((np.ones(2, dtype=np.uint8),), torch.uint8, (2,)),
        ((pd.Series([1, 2]),), torch.int64, (2,)), (([torch.ones(3), torch.ones(3)],), torch.float32, (2, 3)), ((3.5,), torch.float32, ()), ((range(4),), torch.int64, (4,)),
        ((Image.new("L", (4, 2)),), torch.uint8, (2, 4)),
    ],
)  # fmt: skip
def test_tensors_of_many_things(given, dtype, shape):
    made = t.tensor(*given)
    assert made.dtype is dtype and tuple(made.shape) == shape
    assert t.tensor(1.0, 2.0, requires_grad=True).requires_grad


def test_nested_batches():
    Pair = namedtuple("Pair", "x y")
    b = (torch.ones(3, 2, dtype=torch.float64), [torch.zeros(3)], {"k": torch.ones(3)})
    assert t.to_np(b)[1][0].shape == (3,) and t.to_half(b)[0].dtype is torch.float16 and t.find_bs(b) == 3
    assert t.apply(len, Pair("ab", "c")) == Pair(2, 1) and t.to_detach(torch.ones(2, requires_grad=True) * 2).requires_grad is False
    joined = t.to_concat([(torch.ones(2), torch.ones(2, 1)), (torch.zeros(1), torch.ones(1, 1))])
    assert joined[0].tolist() == [1, 1, 0] and joined[1].shape == (3, 1) and len(t.to_concat([torch.ones(2, 3), torch.ones(1, 4)])) == 3
    assert len(t.batch_to_samples((torch.ones(5, 2), torch.ones(5)), 3)) == 3 and t.batch_to_samples(torch.ones(4, 2)).map(len) == [
        2,
        2,
        2,
        2,
    ]
    with pytest.raises(AssertionError, match="==: 4 5"):
        t.flatten_check(torch.ones(2, 2), torch.ones(5))


def test_models_and_codes():
    m = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1, bias=False))
    m[2].weight.requires_grad_(False)
    assert len(t.params(m)) == 5 and len(t.trainable_params(m)) == 4 and [p.shape[0] for p in t.norm_bias_params(m)] == [3, 3, 3]
    assert (
        len(t.norm_bias_params(m, with_bias=False)) == 2
        and t.one_hot([0, 2], 3).tolist() == [1, 0, 1]
        and t.one_hot_decode(t.one_hot([1], 2), "ab") == ["b"]
    )
    assert torch.allclose(t.logit(torch.sigmoid(torch.tensor([0.3]))), torch.tensor([0.3])) and t.unsqueeze(torch.ones(2), n=2).shape == (
        2,
        1,
        1,
    )
    assert t.rank_distrib() == 0 and t.num_distrib() == 0


def test_chance_comes_back():
    t.set_seed(3)
    first = (random.random(), np.random.rand(), torch.rand(1).item())
    with t.no_random(7):
        inside = torch.rand(1).item()
    after = random.random()
    t.set_seed(3)
    assert (random.random(), np.random.rand(), torch.rand(1).item()) == first and random.random() == after
    with t.no_random(7):
        assert torch.rand(1).item() == inside


def test_pictures_drawn():
    ax = show_image(torch.rand(3, 10, 20), title="a")
    assert ax.images[0].get_array().shape == (10, 20, 3) and ax.get_title() == "a" and not ax.axison
    assert show_image(torch.rand(1, 8, 8), cmap="gray").images[0].get_array().shape == (8, 8)
    assert show_titled_image((Image.new("RGB", (5, 4)), "b")).get_title() == "b"
    figure, axes = subplots(1, 1)
    assert axes.shape == (1,) and figure is not None
    assert len(get_grid(5)) == 5 and len(get_grid(3, double=True)) == 6 and len(get_grid(4, nrows=1)) == 4
    show_images([np.zeros((4, 4))] * 3, nrows=2, titles="abc")
    shown = plt.gcf().axes
    assert [a.get_title() for a in shown[:3]] == ["a", "b", "c"] and not shown[3].axison
    row = pd.Series(dtype=object)
    row = show_title("y", ctx=show_title("x", ctx=row))
    assert row.tolist() == ["x", "y"] and show_title("z", ctx=ax).get_title() == "a\nz"
    plt.close("all")


def test_what_layers_make_of_a_batch(tmp_path):
    x = torch.randn(4, 3, 8, 8)
    loader = DataLoader(list(zip(x, torch.tensor([0, 1, 0, 1]), strict=True)), bs=4)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Dropout(), nn.Flatten(), nn.Linear(144, 2))
    model[2].eval()
    learn = Learner(DataLoaders(loader, loader), model, CrossEntropyLossFlat(), path=tmp_path, default_cbs=False)
    rows = module_info.layer_info(learn, x)
    assert rows[0] == ("Conv2d", 112, True, torch.Size([1, 4, 6, 6]), False) and rows[1] == ("ReLU", "", "", torch.Size([1, 4, 6, 6]), True)
    assert len(rows) == 5 and rows[4][:3] == ("Linear", 290, True) and not model[2].training and model[0].training
    told = module_info.module_summary(learn, x[:2])
    assert told.total == 402 and "2 x 4 x 6 x 6" in repr(told)


@pytest.mark.parametrize("function", [suggestions.valley, suggestions.slide, suggestions.minimum, suggestions.steep])
def test_suggested_rates_with_their_points(function):
    lrs = [1e-4 * 1.2**i for i in range(60)]
    losses = [3 - 0.03 * i for i in range(40)] + [1.8 + 0.2 * i for i in range(20)]
    rate, (at, loss) = function(torch.tensor(lrs), losses, 60)
    i = int(np.abs(np.array(lrs) - at).argmin())
    assert losses[i] == pytest.approx(loss) and at == pytest.approx(rate * (10 if function is suggestions.minimum else 1), rel=1e-3)
    assert rate == pytest.approx(
        {"valley": 0.003195, "slide": 0.30477, "minimum": 0.0146977, "steep": 0.00020736}[function.__name__], rel=1e-3
    )


@pytest.mark.parametrize("cell", [dict, SimpleNamespace])
def test_data_sets_that_a_notebook_speaks_of(cell):
    cells = [
        cell(cell_type="code", source="path = untar_data(URLs.PETS)\nx = URLs.MNIST_TINY # URLs.nothing"),
        cell(cell_type="markdown", source="URLs.MNIST"),
    ]
    assert places.nb_urls(cells) == ["MNIST_TINY", "PETS"]


def test_resizing_with_two_filters(tmp_path):
    own = resizing.Resize(8, "squish", resamples=(Image.Resampling.BICUBIC, Image.Resampling.NEAREST))
    assert own.resample == "bicubic" and own.config() == transforms.Resize(8, "squish", resample="bicubic").config()
    crop = resizing.RandomResizedCrop(8, 0.3, (3 / 4, 4 / 3), (Image.Resampling.BOX, Image.Resampling.NEAREST), 0.2)
    assert crop.resample == "box" and crop.val_xtra == 0.2 and resizing.RatioResize(9, (2, 0)).resample == "bilinear"
    with pytest.raises(SettingError, match="NEAREST"):
        resizing.Resize(8, resamples=(Image.Resampling.BICUBIC, Image.Resampling.BILINEAR))
