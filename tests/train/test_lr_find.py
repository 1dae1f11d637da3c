"""The learning-rate finder: sensible suggestions, and everything as before afterwards."""

from __future__ import annotations

import random
from functools import partial

import numpy as np
import pytest
import torch
from tiny import Log, points, same, state, tiny_dls, tiny_learner, tiny_model
from torch import nn

from burnish.data.dataloaders import DataLoaders
from burnish.data.notes import captured_notes
from burnish.errors import SettingError
from burnish.train.callback import Callback
from burnish.train.lr_find import SuggestionMethod, minimum, slide, steep, valley

FUNCTIONS = [valley, slide, minimum, steep]


def bowl(n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """A typical curve: flat, falling from 1e-4, lowest at 1e-2, then up."""
    lrs = np.geomspace(1e-6, 1, n)
    at = np.log10(lrs)
    return lrs, 2 - 1.5 / (1 + np.exp(-4 * (at + 3))) + np.exp(4 * (at + 1.3))


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("n", [2, 6, 15, 16, 60])
def test_suggestions_lie_where_the_loss_falls(function, n: int) -> None:
    lrs, losses = bowl(n)
    suggestion = function(lrs, losses)
    assert lrs[0] / 10 <= suggestion <= lrs[-1]
    if n == 60:
        assert (lrs[0] if function is slide else 1e-5) <= suggestion < lrs[losses.argmin()]


def test_valley_is_quick_and_finds_the_longest_run() -> None:
    def plainly(losses: np.ndarray) -> tuple[int, int]:
        longest = [1] * len(losses)
        for i in range(len(losses)):
            longest[i] += max((longest[j] for j in range(i) if losses[j] > losses[i]), default=0)
        return max(longest), int(np.argmax(longest))

    for seed in range(20):
        losses = np.random.default_rng(seed).normal(size=40).round(1) - np.arange(40) / 20
        length, at = plainly(losses)
        start, third = max(0, at - length), (at - max(0, at - length)) / 3
        assert valley(np.arange(40.0), losses) == start + int(third) + int(third / 2)


def learner(**kwargs):
    learn = tiny_learner(model=tiny_model(dropout=0.3), **kwargs)
    learn.fit(1)
    return learn


def everything(learn) -> dict:
    return {
        "weights": state(learn),
        "modes": [m.training for m in learn.model.modules()],
        "trains": [p.requires_grad for p in learn.model.parameters()],
        "opt": id(learn.opt),
        "moments": [{k: v.clone() if isinstance(v, torch.Tensor) else v for k, v in s.items()} for s in learn.opt.state.values()],
        "groups": [{k: v for k, v in g.items() if k != "params"} for g in learn.opt.param_groups],
        "passes": learn.dls.train.epoch,
        "rows": list(learn.recorder.rows),
        "losses": list(learn.recorder.losses),
        "cbs": list(learn.cbs),
        "globals": (random.getstate(), torch.get_rng_state().tolist(), np.random.get_state()[1].tolist()),
        "state": (learn.n_fits, learn.epoch, learn.n_epochs, learn.step, learn.progress, learn.running),
    }


def assert_same(before: dict, after: dict) -> None:
    for name in before:
        if name == "weights":
            assert same(before[name], after[name])
        elif name == "moments":
            assert all(torch.equal(a[k], b[k]) for a, b in zip(before[name], after[name], strict=True) for k in a)
        else:
            assert before[name] == after[name], name


@pytest.mark.parametrize("ends_by", [None, KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("frozen", [False, True])
def test_everything_is_as_before(ends_by, frozen: bool) -> None:
    learn = learner()
    if frozen:
        learn.freeze()
        learn.fit(1)
    learn.model[0].eval()
    before, log = everything(learn), Log(at={"after_step": ends_by()} if ends_by else {}, nth=5)
    learn.add_cb(log)
    if ends_by:
        with pytest.raises(ends_by):
            learn.lr_find(show_plot=False)
    else:
        learn.lr_find(show_plot=False)
    assert log.seen.count("after_step") >= 5, "it must have trained"
    learn.remove_cb(log)
    assert_same(before, everything(learn))


def test_a_fit_after_it_is_the_fit_without_it() -> None:
    plain, found = tiny_learner(), tiny_learner()
    found.lr_find(show_plot=False)
    for learn in (plain, found):
        learn.fit(1)
    assert same(state(plain), state(found))


def test_its_rates_rise_from_start_to_end_over_num_it_batches() -> None:
    learn = tiny_learner()
    learn.lr_find(1e-6, 1e-2, num_it=20, stop_div=False, show_plot=False)
    rates, losses, _ = learn.recorder.finder
    assert len(rates) == len(losses) == 20
    assert (rates[0], rates[-1]) == pytest.approx((1e-6, 1e-2))
    assert np.allclose(np.diff(np.log(rates)), np.diff(np.log(rates))[0])


def test_all_suggestions_in_a_named_tuple_and_functions_of_ones_own() -> None:
    def smallest(lrs, losses):
        return lrs[0]

    found = tiny_learner().lr_find(show_plot=False, suggest_funcs=[*FUNCTIONS, smallest])
    assert found._fields == ("valley", "slide", "minimum", "steep", "smallest")
    assert all(0 < v < 10 for v in found)
    assert tiny_learner().lr_find(show_plot=False, suggest_funcs=SuggestionMethod.Steep)._fields == ("steep",)


def test_functions_of_ones_own_are_named_sensibly() -> None:
    functions = [slide, partial(slide, lr_diff=5), lambda rates, losses: float(rates[0]), lambda rates, losses: 0.5, _private]
    found = tiny_learner().lr_find(show_plot=False, suggest_funcs=functions)
    assert found._fields == ("slide", "slide_2", "suggestion", "suggestion_2", "private") and found.suggestion_2 == 0.5
    assert tiny_learner().lr_find(show_plot=False, suggest_funcs=partial(slide, lr_diff=5))._fields == ("slide",)


def _private(rates, losses) -> float:
    return 0.1


def test_what_is_no_suggestion_function_is_refused_before_training() -> None:
    learn = tiny_learner()
    with pytest.raises(SettingError, match=r"suggest_funcs=\.\.\.\) got 'valley': expected valley, slide, minimum, steep, or functions"):
        learn.lr_find(suggest_funcs=["valley"])
    assert learn.n_passes == 0


def test_the_suggestion_trains_well() -> None:
    learn = tiny_learner()
    assert learn.fit_one_cycle(5, learn.lr_find(show_plot=False).valley)["accuracy"].iloc[-1] > 0.6


def test_no_validation_no_rows_and_no_watchers() -> None:
    class Watches(Callback):
        order = 70
        called = False

        def before_fit(self, learn) -> None:
            self.called = True

    learn, watches, acts = tiny_learner(), Watches(), Log()
    learn.add_cbs([watches, acts])
    learn.lr_find(show_plot=False)
    assert not watches.called
    assert "before_validate" not in acts.seen and "after_batch" in acts.seen
    assert learn.recorder.rows == []


def test_it_stops_when_the_loss_diverges() -> None:
    learn = tiny_learner(opt_func=torch.optim.SGD)
    with captured_notes():
        learn.lr_find(1e-3, 1e6, show_plot=False)
    assert len(learn.recorder.finder[0]) < 100


def test_a_loss_that_is_nan_from_the_start_is_an_error_that_says_so() -> None:
    x, y = points(16)
    learn = tiny_learner(dls=DataLoaders([(x * float("nan"), y)] * 3, device="cpu"))
    with pytest.raises(SettingError, match=r"nan from the start.*nan in the data"):
        learn.lr_find(show_plot=False)


def test_few_points_are_said() -> None:
    learn = tiny_learner(opt_func=torch.optim.SGD)
    with captured_notes() as notes:
        found = learn.lr_find(1e2, 1e9, num_it=30, show_plot=False)
    assert "Begin lower: start_lr=1" in notes[0]
    assert found.valley > 0


@pytest.mark.parametrize("rates", [(0, 1), (1, 0.1), (-1, 1), (1e-3, float("inf"))])
def test_rates_that_cannot_be(rates: tuple[float, float]) -> None:
    with pytest.raises(SettingError, match="expected 0 < start_lr < end_lr"):
        tiny_learner().lr_find(*rates)


def test_the_plot_marks_every_suggestion() -> None:
    import matplotlib.pyplot as plt

    learn = tiny_learner()
    learn.lr_find(suggest_funcs=FUNCTIONS)
    ax = plt.gcf().axes[0]
    assert ax.get_xscale() == "log"
    assert [t.get_text().split(":")[0] for t in ax.get_legend().get_texts()] == [f.__name__ for f in FUNCTIONS]


def test_what_a_loss_learns_is_restored_too() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("seen", torch.zeros(()))

        def forward(self, output, target):
            self.seen += 1
            return nn.functional.cross_entropy(output, target)

    learn = tiny_learner(loss_func=Scaled())
    learn.lr_find(show_plot=False)
    assert learn.loss_func.seen == 0


def test_it_works_without_a_validation_split_and_with_fewer_batches_than_steps() -> None:
    learn = tiny_learner(dls=tiny_dls(n=32, valid=False))
    learn.lr_find(num_it=25, stop_div=False, show_plot=False)
    assert len(learn.recorder.finder[0]) == 25
