"""Looking into layers while a model runs, and what training makes of their outputs."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pytest
import torch
from callbacks_support import small_learner
from torch import nn

from burnish.errors import SettingError
from burnish.train.callbacks import ActivationStats
from burnish.train.hooks import Hook, Hooks, dummy_eval, hook_output, hook_outputs, model_sizes, num_features_model


def test_outputs_are_kept_and_hooks_taken_off():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    x = torch.randn(5, 3)
    with hook_outputs([model[0], model[1]]) as hooks:
        out = model(x)
        first, second = hooks.stored
    assert torch.equal(second, first.clamp(min=0)) and not first.requires_grad and torch.equal(model[2](second), out)
    assert all(hook.removed for hook in hooks) and len(hooks) == 2 and not model[0]._forward_hooks
    with Hook(model[1], lambda m, i, o: (type(m).__name__, (o <= 0).float().mean().item())) as hook:
        model(x)
    assert hook.stored == ("ReLU", (second <= 0).float().mean().item())


def test_gradients_are_kept():
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    with hook_output(model[0], grad=True) as grad, hook_output(model[0]) as act:
        model(torch.randn(5, 3, requires_grad=True))[:, 1].sum().backward()
    assert act.stored.shape == (5, 4) and torch.allclose(grad.stored, model[1].weight[1].expand(5, 4))


def test_hooks_do_not_stay_where_one_can_not_be_put():
    layer = nn.Linear(2, 2)
    with pytest.raises(SettingError, match="A hook is put on a module; 'layer' is a str"):
        Hooks([layer, "layer"], lambda m, i, o: None)
    assert not layer._forward_hooks


def test_sizes_of_a_body():
    body = nn.Sequential(nn.Conv2d(1, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4), nn.Conv2d(4, 8, 3, stride=2, padding=1))
    body[1].train()
    assert model_sizes(body, (32, 48)) == [(1, 4, 16, 24), (1, 4, 16, 24), (1, 8, 8, 12)] and num_features_model(body) == 8
    assert body[1].training and dummy_eval(body).shape == (1, 8, 16, 16)
    with pytest.raises(SettingError, match="Linear has no convolution"):
        dummy_eval(nn.Linear(2, 2))


def test_figures_of_layers_batch_by_batch(tmp_path):
    learn, stats = small_learner(tmp_path), ActivationStats(with_hist=True)
    seen = []

    class Watch(type(stats).__mro__[1]):
        def after_batch(self, learn):
            if learn.training:
                seen.append(learn.pred.detach().float())

    with learn.no_logging():
        learn.fit(2, cbs=[stats, Watch()])
    means, stds, near = stats.layer_stats(-1)
    assert len(means) == len(seen) == len(stats.stats)
    assert means == pytest.approx([p.mean().item() for p in seen], rel=1e-4) and stds == pytest.approx(
        [p.std().item() for p in seen], rel=1e-4
    )
    assert near == pytest.approx([(p <= 0.05).float().mean().item() for p in seen], abs=1e-6)
    assert stats.hist(0).shape == (40, len(seen)) and set(stats.stats[0][0]) == {"mean", "std", "near_zero", "hist"}
    axes = stats.plot_layer_stats(0)
    assert [ax.get_title() for ax in axes] == ["mean", "standard deviation", "share near zero"] and len(
        axes[0].lines[0].get_ydata()
    ) == len(seen)
    assert stats.color_dim(0).images[0].get_array().shape == (40, len(seen))
    plt.close("all")


def test_only_some_batches_and_layers(tmp_path):
    learn = small_learner(tmp_path)
    layer = next(m for m in learn.model.modules() if isinstance(m, nn.Linear))
    stats = ActivationStats(modules=[layer], every=2)
    with learn.no_logging():
        learn.fit(2, cbs=stats)
    assert len(stats.stats) == -(-2 * len(learn.dls.train) // 2) and len(stats.stats[0]) == 1
    with pytest.raises(SettingError, match="Layer 3 was asked for, and 1 were measured"):
        stats.layer_stats(3)
    with pytest.raises(SettingError, match="There are no histograms"):
        stats.hist(0)
    with pytest.raises(SettingError, match="Nothing has been measured yet"):
        ActivationStats().layer_stats(0)
    with pytest.raises(SettingError, match="every=0"):
        ActivationStats(every=0)
