"""RegressionBlock: numbers in their own units, with a loss and a last layer of their own scale."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from burnish.data.config import from_config
from burnish.data.number import OutputUnits, RegressionBlock, ScaledMSELoss, SigmoidRange
from burnish.errors import DataError, SettingError


def fitted(values, **settings) -> RegressionBlock:
    block = RegressionBlock(**settings)
    block.fit(values)
    return block


@pytest.mark.parametrize("log", [False, True, "1p"])
def test_an_output_of_zero_is_the_mean_in_the_targets_own_units(log):
    prices = [100_000.0, 200_000.0, 400_000.0]
    final = fitted(prices, log=log).final()
    expected = np.mean(prices) if log is False else math.exp(np.mean(np.log(prices)))
    assert float(final(torch.zeros(1, 1))) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e6])
def test_the_loss_of_always_the_mean_is_one_whatever_the_unit(scale):
    values = torch.tensor([1.0, 2.0, 3.0, 6.0]) * scale
    block = fitted(values.tolist())
    outputs = block.final()(torch.zeros(4, 1))
    assert float(block.loss()(outputs, block.encode_all(values.tolist()))) == pytest.approx(1.0, rel=1e-4)


def test_with_logarithms_an_error_counts_in_proportion():
    block = fitted([10.0, 100.0, 1000.0], log=True)
    loss = block.loss()
    low, high = loss(torch.tensor([20.0]), torch.tensor([10.0])), loss(torch.tensor([2000.0]), torch.tensor([1000.0]))
    assert float(low) == pytest.approx(float(high), rel=1e-5)


def test_gradients_through_the_logarithm_are_those_of_the_logarithm():
    block = fitted([10.0, 100.0, 1000.0], log=True)
    raw = torch.tensor([[0.3]], requires_grad=True)
    block.loss()(block.final()(raw), torch.tensor([50.0])).backward()
    scaled = (math.log(50) - block.mean[0]) / block.std[0]
    assert float(raw.grad) == pytest.approx(2 * (0.3 - scaled), rel=1e-3)


def test_several_numbers_have_scales_of_their_own():
    block = fitted([[1.0, 1000.0], [3.0, 5000.0], [2.0, 3000.0]])
    assert block.n_out == 2 and block.encode([1, 2]).shape == (2,)
    out = block.final()(torch.zeros(3, 2))
    assert out[0].tolist() == pytest.approx([2.0, 3000.0])
    assert block.loss()(out, block.encode_all([[1.0, 1000.0], [3.0, 5000.0], [2.0, 3000.0]])).item() == pytest.approx(1.0, rel=1e-4)


def test_reduction_none_gives_the_targets_shape():
    loss = ScaledMSELoss([2.0, 4.0], reduction="none")
    assert loss(torch.ones(3, 2), torch.zeros(3, 2)).tolist() == [[0.25, 0.0625]] * 3
    assert ScaledMSELoss([2.0], reduction="none")(torch.ones(3, 1), torch.zeros(3)).shape == (3,)


def test_outputs_and_targets_of_other_numbers_are_refused():
    with pytest.raises(ValueError, match=r"outputs \(3, 2\) for targets \(3,\)"):
        ScaledMSELoss([1.0])(torch.ones(3, 2), torch.zeros(3))


def test_y_range_ends_in_a_sigmoid_and_holds_targets_to_it():
    block = fitted([1.0, 2.0, 5.0], y_range=(0.5, 5.5))
    assert isinstance(block.final(), SigmoidRange) and float(block.final()(torch.tensor(100.0))) == 5.5
    with pytest.raises(DataError, match=r"outside of y_range=\(2, 4\) as the target \(1.0, 5.0\): row 0, row 2"):
        RegressionBlock(y_range=(2, 4)).check([1.0, 2.0, 5.0], ["row 0", "row 1", "row 2"], "train")


@pytest.mark.parametrize(
    ("settings", "values", "said"),
    [
        ({}, [1.0, math.nan, 2.0], "no number as the target: row 1"),
        ({}, [1.0, math.inf, 2.0], "an infinite number"),
        ({}, [1.0, None, 2.0], "no number as the target: row 1"),
        ({}, [1.0, "cheap", 2.0], "'cheap' .row 1."),
        ({}, [3.0, 3.0, 3.0], "is 3 in all 3 training rows"),
        ({}, [[1, 2], [3]], "every sample needs as many"),
        ({"log": True}, [1.0, 0.0, 2.0], "log='1p'"),
        ({"log": "1p"}, [1.0, -1.0, 2.0], "above -1"),
        ({"n_out": 2}, [1.0, 2.0], "1 number"),
        ({"names": ["a", "b"]}, [[1.0, 2.0, 3.0], [2.0, 3.0, 4.0]], r"3 number\(s\) a sample, and names has 2: a, b"),
    ],
)
def test_targets_that_are_no_use_are_refused_with_their_rows(settings, values, said):
    block = RegressionBlock(**settings)
    with pytest.raises(DataError, match=said):
        block.check(values, [f"row {i}" for i in range(len(values))], "train")
        block.fit(values)


@pytest.mark.parametrize(
    "settings",
    [
        {"log": "2"},
        {"y_range": (3, 1)},
        {"y_range": 3},
        {"log": True, "y_range": (0, 1)},
        {"names": "ab"},
        {"names": ["a", "a"]},
        {"names": ["a"], "n_out": 2},
    ],
)
def test_settings_that_cannot_be_are_refused(settings):
    with pytest.raises(SettingError):
        RegressionBlock(**settings)


def test_several_numbers_are_said_with_their_names():
    block = from_config(fitted([[1.0, 1000.0], [3.0, 5000.0]], names=["area", "left"]).config())
    assert block.say([28.223, 1234.6]) == "area 28.2, left 1,235" and block.cells([1.5, 2.0]) == {"area": 1.5, "left": 2.0}
    assert fitted([[1.0, 2.0], [3.0, 5.0]]).say([28.223, 10.25]) == "28.223, 10.25"
    assert RegressionBlock().cells(1.5) == {"label": 1.5} and RegressionBlock(2).cells([1.5, 2.0]) == {"number 0": 1.5, "number 1": 2.0}


def test_what_it_learned_comes_back():
    block = fitted([10.0, 100.0, 1000.0], log=True)
    again = from_config(block.config())
    x = torch.randn(3, 1)
    assert torch.equal(again.final()(x), block.final()(x)) and again.n_out == 1


def test_texts_that_read_as_numbers_are_numbers():
    assert fitted(["1.5", "2.5", "4"]).encode("2.25").item() == 2.25


def test_units_move_with_the_model():
    assert set(nn.Sequential(OutputUnits([1.0], [2.0])).state_dict()) == {"0.mean", "0.std"}
