"""Optimizers of fastai's in a learner, bars, what is kept for a session, and the small problem of its tests."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from burnish.compat import bars, defaults, test_utils
from burnish.compat import more_optimizers as more
from burnish.compat.callback import TrainEvalCallback
from burnish.compat.learner import Learner
from burnish.compat.more_callbacks import CollectDataCallback
from burnish.compat.optimizers import Lamb, OptimWrapper
from burnish.errors import SettingError

sys.path.append(str(Path(__file__).resolve().parents[1] / "train"))
from callbacks_support import small_data, small_model

pytestmark = pytest.mark.usefixtures("installed")


OPTIMIZERS = {
    "sgd": more.SGD, "sgd_mom": partial(more.SGD, mom=0.9, wd=0.1), "adam": more.Adam, "radam": partial(more.RAdam, beta=10.0, wd=0.1), "qhadam": more.QHAdam,
    "ranger": more.ranger, "lookahead": lambda p, lr: more.Lookahead(more.Adam(p, lr), k=3),
}  # fmt: skip
WEIGHTS = {  # the first ones after 13 steps of fastai 2.8.12 from the same beginning
    "sgd": [-0.0621, 0.138, -0.5279, -0.4571],
    "sgd_mom": [-0.1542, -0.0898, -0.5415, -0.3398],
    "adam": [-0.1029, -0.0552, -0.5688, -0.3268],
    "radam": [-0.0717, 0.1354, -0.5075, -0.4536],
    "qhadam": [-0.1417, -0.077, -0.6082, -0.3398],
    "ranger": [-0.0517, 0.1999, -0.481, -0.4325],
    "lookahead": [-0.166, 0.0034, -0.6071, -0.441],
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_steps_are_fastais(name):
    torch.manual_seed(0)
    m = nn.Linear(4, 2)
    torch.manual_seed(1)
    x, y = torch.randn(8, 4), torch.randn(8, 2)
    opt = OPTIMIZERS[name](list(m.parameters()), lr=0.05)
    for _ in range(13):
        ((m(x) - y) ** 2).mean().backward()
        opt.step()
        opt.zero_grad()
    assert m.weight[0].tolist() == pytest.approx(WEIGHTS[name], abs=2e-4)


@pytest.mark.parametrize(
    "opt_func",
    [
        more.ranger,
        more.QHAdam,
        Lamb,
        more.SGD,
        partial(OptimWrapper, opt=torch.optim.AdamW, mom=0.8, wd=0.1),
        partial(more.Adam, decouple_wd=False),
    ],
    ids=["ranger", "qhadam", "lamb", "sgd", "wrapped", "l2"],
)
def test_in_a_learner(opt_func, tmp_path):
    learn = Learner(small_data(), small_model(), nn.CrossEntropyLoss(), opt_func=opt_func, path=tmp_path, default_cbs=False)
    learn.fit_one_cycle(1, 1e-2)
    assert learn.recorder.values and learn.opt.hypers[0]["lr"] < 1e-2
    learn.save("a")
    before = learn.model[0].weight.clone()
    learn.fit_flat_cos(1, 1e-2)
    assert torch.equal(learn.load("a").model[0].weight, before)


def test_wrapped_optimizers_and_groups():
    w = nn.Linear(2, 2)
    made = OptimWrapper(w.parameters(), torch.optim.AdamW, mom=0.8, eps=1e-6)
    assert made.param_groups[0]["betas"] == (0.8, 0.999) and OptimWrapper(opt=made) is made
    flat = more.detuplify_pg(made.param_groups[0])
    assert (
        flat["betas__0"] == 0.8
        and "params" not in flat
        and more.set_item_pg({"betas": (0.1, 0.2)}, "betas__1", 0.3) == {"betas": (0.1, 0.3)}
    )
    with pytest.raises(SettingError, match="steps of at least 1"):
        more.Lookahead(made, k=0)


def test_bars(capsys):
    seen = []
    mb = bars.master_bar(range(2))
    for _ in mb:
        for i in bars.progress_bar(range(3), parent=mb):
            mb.child.comment = "inner"
            seen.append(i)
        mb.main_bar.comment = "outer"
        mb.write(["a", 0.5], table=True)
    assert seen == [0, 1, 2] * 2 and mb.said() == "2/2 outer" and capsys.readouterr().out == "a  0.500000\n" * 2
    assert list(bars.progress_bar(iter("ab"), total=2, display=False)) == ["a", "b"] and list(bars.progress_bar([])) == []
    mb.update_graph([([1, 2], [3, 4])])


def test_a_sessions_defaults(tmp_path):
    defaults.defaults.lr, defaults.defaults.callbacks = 0.5, [TrainEvalCallback, CollectDataCallback]
    try:
        learn = Learner(small_data(), small_model(), nn.CrossEntropyLoss(), path=tmp_path, default_cbs=False)
        assert (
            learn.lr == 0.5
            and [cb.name for cb in learn.cbs].count("collect_data") == 1
            and "train_eval" not in [cb.name for cb in learn.cbs]
        )
    finally:
        defaults.defaults.lr, defaults.defaults.callbacks = 1e-3, []


def test_small_things(capsys):
    chunks = defaults.Chunks([torch.arange(4), torch.arange(4, 6), torch.arange(6, 9)])
    assert chunks[3:7].tolist() == [3, 4, 5, 6] and chunks[-1] == 8 and defaults.Chunks([[1, 2], [3]])[1:] == [2, 3]
    with pytest.raises(IndexError):
        chunks[9]
    t = torch.arange(3)
    assert defaults.nested_reorder((t, [t]), [2, 0, 1])[1][0].tolist() == [2, 0, 1] and defaults.np_func(lambda a: a * 2)(t).tolist() == [
        0,
        2,
        4,
    ]
    assert defaults.make_cross_image().sum() == 9 and defaults.make_cross_image(False).shape == (3, 5, 5) and defaults.ismin_torch("1.9")
    assert defaults.get_empty_df(3).shape == (3, 0)
    assert defaults.rank0_first(max, 1, 2) == 2 and defaults.setup_distrib(1) == 1 and defaults.teardown_distrib() is None
    defaults.doc(defaults.get_empty_df)
    assert "get_empty_df(n" in capsys.readouterr().out
    with pytest.raises(TypeError, match="nested_reorder takes tensors"):
        defaults.nested_reorder("abc", [0])


def test_the_small_problem(tmp_path, capsys):
    learn = test_utils.synth_learner(lr=1e-2, path=tmp_path, seed=1)
    learn.fit(3, cbs=test_utils.VerboseCallback())
    assert learn.recorder.values[-1][1] < learn.recorder.values[0][1] and "after_backward" in capsys.readouterr().out
    test_utils.show_install()
    assert (
        "burnish" in capsys.readouterr().out
        and test_utils.try_import("no_such_module") is None
        and "not set" in test_utils.get_env("NO_SUCH_NAME")
    )


# -- optimizers of groups that are made by hand ----------------------------------------------------------------------------
@pytest.mark.parametrize(
    "make", [more.Adam, more.SGD, partial(more.Adam, decouple_wd=False), partial(more.SGD, mom=0.9), more.RAdam, more.QHAdam]
)
def test_groups_of_parameters_and_a_rate_of_each(make):
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    opt = make([list(part.parameters()) for part in model], lr=[1e-3, 1e-2])
    assert opt.hypers.attrgot("lr") == [1e-3, 1e-2] and opt.param_lists.map(len) == [2, 2]
    opt.set_hyper("lr", slice(1e-4, 1e-2))
    assert opt.hypers.attrgot("lr") == pytest.approx([1e-4, 1e-2])
    opt.set_hypers(wd=0.3)
    assert [h["wd"] for h in opt.state_dict()["hypers"]] == [0.3, 0.3]
    with pytest.raises(KeyError):
        opt.state_dict()["hyper"]
    with pytest.raises(SettingError, match="3 values"):
        opt.set_hyper("lr", [1.0, 2.0, 3.0])
    opt.freeze()
    assert opt.frozen_idx == 1 and [p.requires_grad for p in model.parameters()] == [False, False, True, True]
    opt.unfreeze()
    model(torch.ones(1, 2)).sum().backward()
    opt.step()
    again = make([list(part.parameters()) for part in model], lr=1.0)
    again.load_state_dict(opt.state_dict())
    assert again.hypers == opt.hypers and len(again.state) == len(opt.state)
    opt.clear_state()
    assert not opt.state
    with pytest.raises(SettingError, match="this optimizer has one"):
        make(model.parameters(), lr=0.1).freeze()


def test_how_much_of_a_fit_is_done():
    class Told(CollectDataCallback):
        def before_fit(self):
            self.shares = []

        def before_batch(self):
            self.shares.append(round(self.pct_train, 6))

        def after_batch(self):
            self.shares.append(round(self.pct_train, 6))

    learn = Learner(small_data(), small_model(), nn.CrossEntropyLoss(), default_cbs=False)
    learn.fit(2, cbs=(told := Told()))
    n = len(learn.dls.train)
    steps = [round(i / (2 * n), 6) for i in range(2 * n + 1)]
    trained = [pair for i in range(n) for pair in (steps[i], steps[i + 1])]
    assert told.shares[: 2 * n] == trained and learn.pct_train == 1.0 and set(told.shares) <= set(steps)
