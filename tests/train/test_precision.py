"""Precision: which format is chosen, what it computes in, and that a step is left out on overflow."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from callbacks_support import small_learner, when
from torch import nn

from burnish.data.notes import captured_notes
from burnish.errors import SettingError
from burnish.train import precision as module
from burnish.train.callback import CancelFitException, CancelStepException
from burnish.train.callbacks import GradientClip
from burnish.train.learner import Learner
from burnish.train.precision import SETTINGS, Precision, choose_format, cpu_has_bf16, to_channels_last


@pytest.mark.parametrize("setting", SETTINGS)
def test_trains_with_every_setting(setting: str) -> None:
    with captured_notes():
        precision = Precision(setting, "cpu")
    torch.manual_seed(0)
    model = nn.Linear(4, 2)
    opt = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = torch.randn(32, 4), torch.randint(0, 2, (32,))
    losses = []
    for _ in range(20):
        with precision.autocast():
            out = model(x)
            loss = nn.functional.cross_entropy(out, y)
        assert out.dtype == precision.dtype
        precision.scale(loss).backward()
        precision.unscale(opt)
        precision.unscale(opt)  # twice is once
        precision.step(opt)
        opt.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert model.weight.dtype == torch.float32


def test_unscaled_gradients_have_their_own_size() -> None:
    with captured_notes():
        precision = Precision("fp16", "cpu")
    p = nn.Parameter(torch.tensor([2.0]))
    opt = torch.optim.SGD([p], lr=0.5)
    precision.scale(p * 3.0).sum().backward()
    assert p.grad is not None and p.grad.item() > 1000
    precision.unscale(opt)
    assert p.grad.item() == 3.0
    precision.step(opt)
    assert p.item() == 0.5


def test_a_step_left_out_after_clipping_leaves_nothing_behind(tmp_path: Path) -> None:
    """Each batch's gradients are unscaled once, whatever kept the step before from being taken."""
    norms: list[float] = []

    def leave_out(learn: Learner) -> None:
        norms.append(float(torch.stack([p.grad.norm() for p in learn.model.parameters() if p.grad is not None]).norm()))
        if len(norms) in (1, 3):
            raise CancelStepException if len(norms) == 1 else CancelFitException

    with captured_notes():
        learn = small_learner(tmp_path, images=False, precision="fp16")
        for _ in range(2):
            learn.fit(1, 1e-2, cbs=[GradientClip(1e9), when(order=99, before_step=leave_out)])
    assert len(norms) == 7 and min(norms) > 0 and max(norms) < 10, norms


def test_an_overflow_leaves_the_step_out_and_lowers_the_scale() -> None:
    with captured_notes():
        precision = Precision("fp16", "cpu")
    p = nn.Parameter(torch.tensor([2.0]))
    opt = torch.optim.SGD([p], lr=0.5)
    (precision.scale(p * 1.0).sum() * float("inf")).backward()
    before = precision.state_dict()["scale"]
    precision.step(opt)
    assert p.item() == 2.0
    assert precision.state_dict()["scale"] < before  # type: ignore[operator]
    with captured_notes():
        other = Precision("fp16", "cpu")
    other.load_state_dict(precision.state_dict())
    assert other.state_dict() == precision.state_dict()


def test_auto_takes_what_is_native(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "cpu_has_bf16", lambda: True)
    assert Precision("auto", "cpu").format == "bf16"
    monkeypatch.setattr(module, "cpu_has_bf16", lambda: False)
    assert Precision("auto", "cpu").format == "fp32"
    for major, expected in ((7, "fp16"), (8, "bf16"), (9, "bf16")):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device, major=major: (major, 0))
        assert choose_format(torch.device("cuda")) == expected
    assert choose_format(torch.device("mps")) == "fp32"


def test_cpu_capabilities_agree_with_the_system_where_torch_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    told = cpu_has_bf16()
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict, raising=False)
    for flags, expected in ((set(), False), ({"avx2"}, False), ({"amx_bf16"}, True), ({"avx512_bf16"}, True)):
        monkeypatch.setattr(module, "_cpu_flags", lambda flags=flags: flags)
        cpu_has_bf16.cache_clear()
        assert cpu_has_bf16() is expected
    monkeypatch.undo()
    cpu_has_bf16.cache_clear()
    assert cpu_has_bf16() is told


def test_an_unknown_setting_lists_the_known_ones() -> None:
    with pytest.raises(SettingError, match=r"precision='half'.*'auto', 'fp32', 'bf16', 'fp16'"):
        Precision("half", "cpu")


def test_a_slow_format_on_the_cpu_is_obeyed_and_said() -> None:
    with captured_notes() as notes:
        assert Precision("fp16", "cpu").describe() == "fp16 mixed precision with loss scaling on cpu"
    assert len(notes) == 1 and "slower than fp32" in notes[0] and "precision='auto'" in notes[0]


def test_channels_last_keeps_the_parameters_and_the_output() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.LazyLinear(2))
    x = torch.randn(2, 3, 6, 6)
    expected, parameters = model(x), list(model.parameters())
    assert to_channels_last(model) is model
    assert model[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert all(a is b for a, b in zip(parameters, model.parameters(), strict=True))
    torch.testing.assert_close(model(x), expected)
    linear = nn.Linear(2, 2)
    assert to_channels_last(linear) is linear
