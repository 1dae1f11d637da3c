"""The guards around the loss: shapes that would silently broadcast, and targets that can't be right."""

from __future__ import annotations

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from tiny import points, tiny_dls, tiny_learner, tiny_model
from torch import nn

from burnish.data.dataloaders import DataLoaders
from burnish.data.notes import captured_notes
from burnish.errors import DataError, SettingError
from burnish.evaluate.losses import CrossEntropyLossFlat


def regression(y_shape: tuple[int, ...], n_out: int = 1, dtype=torch.float32) -> DataLoaders:
    x, _ = points(16)
    batch = (x, (x.sum(1) > 0).to(dtype).reshape(-1, 1).expand(16, n_out).reshape(y_shape))
    return DataLoaders([batch] * 4, [batch], device="cpu")


ELEMENTWISE = [nn.MSELoss(), nn.L1Loss(), nn.SmoothL1Loss(), nn.HuberLoss(), nn.BCEWithLogitsLoss(), F.mse_loss, partial(F.l1_loss)]


@pytest.mark.parametrize("loss_func", ELEMENTWISE, ids=lambda f: str(f) if isinstance(f, nn.Module) else None)
@pytest.mark.parametrize("dtype", [torch.float32, torch.int64])
def test_shapes_that_would_broadcast_are_brought_together(loss_func, dtype) -> None:
    found = []
    for shape in ((16,), (16, 1)):
        learn = tiny_learner(dls=regression(shape, dtype=dtype), model=tiny_model(n_out=1), loss_func=loss_func, metrics=None)
        found.append(learn.fit(2)["valid_loss"].tolist())
    assert found[0] == found[1]


@pytest.mark.parametrize("loss_func", ELEMENTWISE, ids=lambda f: str(f) if isinstance(f, nn.Module) else None)
def test_shapes_that_do_not_fit_are_an_error_with_both(loss_func) -> None:
    learn = tiny_learner(dls=regression((16,)), model=tiny_model(n_out=3), loss_func=loss_func, metrics=None)
    with pytest.raises(DataError, match=r"output is \(16, 3\) float32 and the target \(16,\) float32.*broadcast"):
        learn.fit(1)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (torch.full((16,), 5), r"class indices go from 5 to 5, but the model has 3 outputs.*n_out=6"),
        (torch.full((16,), -1), "from -1 to -1"),
        (torch.rand(16), "must be whole numbers"),
        (torch.zeros(16, 1, dtype=torch.int64), r"Expected a target of shape \(16,\)"),
    ],
)
@pytest.mark.parametrize("loss_func", [nn.CrossEntropyLoss(), F.cross_entropy], ids=["module", "function"])
def test_targets_that_are_no_class_indices(target, message: str, loss_func) -> None:
    batches = [(points(16)[0], target)]
    with pytest.raises(DataError, match=message):
        tiny_learner(dls=DataLoaders(batches, device="cpu"), loss_func=loss_func).fit(1)


@pytest.mark.parametrize(
    ("wrap", "came"), [(lambda out: (out, out), "a tuple of 2"), (lambda out: {"scores": out}, "a dict with the keys 'scores'")]
)
def test_a_model_that_returns_something_else_than_a_tensor(wrap, came: str) -> None:
    with pytest.raises(
        DataError, match=f"The model returned {came}, and CrossEntropyLoss needs one tensor, or a dict with the key 'logits'"
    ):
        tiny_learner(model=Wrapped(wrap), splitter=None).fit(1)


def test_logits_in_a_dict_are_the_output() -> None:
    found = [tiny_learner(model=Wrapped(wrap), splitter=None) for wrap in (lambda out: out, lambda out: {"logits": out, "hidden": None})]
    losses = [learn.fit(1)["valid_loss"].item() for learn in found]
    assert losses[0] == losses[1] and torch.equal(*(learn.get_preds()[0] for learn in found))


class Wrapped(nn.Module):
    def __init__(self, wrap) -> None:
        super().__init__()
        self.inner, self.wrap = tiny_model(), wrap

    def forward(self, x):
        return self.wrap(self.inner(x))


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss, CrossEntropyLossFlat])
def test_class_weights_of_another_number(loss) -> None:
    with pytest.raises(SettingError, match=rf"{loss.__name__} has 2 class weights, and the model gives 3 outputs"):
        tiny_learner(loss_func=loss(weight=torch.ones(2))).fit(1)


def test_a_batch_of_one_and_batch_norm() -> None:
    x, y = points(17)
    for batches in ([(x[:1], y[:1])], [(x[:16], y[:16]), (x[16:], y[16:])]):
        with pytest.raises(DataError, match=r"batch of 1 sample reached a BatchNorm layer.*bs=2 or more.*drop_last=True"):
            tiny_learner(dls=DataLoaders(batches, device="cpu")).fit(1)


def test_no_validation_can_be_said_by_none() -> None:
    batches = [(points(16)[0], points(16)[1])]
    dls = DataLoaders(batches, None, device="cpu")
    assert len(dls) == 1 and "valid_loss" not in tiny_learner(dls=dls, metrics=None).fit(1)
    with pytest.raises(SettingError, match="None for a split before another one"):
        DataLoaders(batches, None, batches, device="cpu")


def test_a_loss_that_is_not_one_number() -> None:
    with pytest.raises(SettingError, match=r"CrossEntropyLoss returned \(16,\) float32; training needs one number"):
        tiny_learner(loss_func=nn.CrossEntropyLoss(reduction="none")).fit(1)


def test_an_error_inside_a_loss_of_ones_own_keeps_its_type_and_says_what_it_got() -> None:
    def mine(output, target):
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine") as raised:
        tiny_learner(loss_func=mine).fit(1)
    assert raised.value.__notes__ == ["mine got the output (16, 3) float32 and the target (16,) int64."]


def test_data_with_other_classes_cannot_be_given_to_a_trained_model() -> None:
    from burnish.data.category import CategoryBlock

    learn, other = tiny_learner(), tiny_dls(n_inp=0)
    learn.dls._n_inp, learn.dls.blocks, other.blocks = 0, [CategoryBlock(vocab=["a", "b"])], [CategoryBlock(vocab=["b", "a"])]
    with pytest.raises(DataError, match=r"classes b, a, but the model's outputs stand for a, b"):
        learn.dls = other


def test_pictures_too_small_for_the_model_are_told_with_their_shape() -> None:
    x, y = torch.zeros(6, 3, 8, 8), torch.arange(6) % 3
    model = nn.Sequential(nn.Conv2d(3, 4, 5, 2), nn.MaxPool2d(3), nn.Flatten(), nn.Linear(4, 3))
    learn = tiny_learner(dls=DataLoaders([(x, y)], device="cpu"), model=model, splitter=None)
    with pytest.raises(RuntimeError, match="too small") as raised:
        learn.fit(1)
    (said,) = raised.value.__notes__
    assert "its input is (6, 3, 8, 8) float32" in said and "item_tfms=Resize(224)" in said


def test_a_later_failure_of_the_model_is_left_as_it_is() -> None:
    class Fails(nn.Linear):
        calls = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            if self.calls == 2:
                raise RuntimeError("second batch")
            return super().forward(x)

    with pytest.raises(RuntimeError, match="second batch") as raised:
        tiny_learner(model=Fails(4, 3), splitter=None).fit(1)
    assert not hasattr(raised.value, "__notes__")


def first_batch_notes(**settings) -> list[str]:
    with captured_notes() as notes:
        learn = tiny_learner(**settings)
        learn.fit(2)
        learn.fit(1)
    return notes


@pytest.mark.parametrize("loss_func", [nn.CrossEntropyLoss(), F.cross_entropy, CrossEntropyLossFlat()], ids=["module", "function", "ours"])
def test_probabilities_under_cross_entropy_are_told_once(loss_func) -> None:
    (said,) = first_batch_notes(model=nn.Sequential(tiny_model(), nn.Softmax(dim=1)), splitter=None, loss_func=loss_func)
    assert "outputs are probabilities already" in said and "Leave out the model's last Softmax" in said
    assert first_batch_notes(loss_func=loss_func) == []


@pytest.mark.parametrize("loss_func", [nn.NLLLoss(), F.nll_loss], ids=["module", "function"])
def test_raw_outputs_under_nll_are_told_once(loss_func) -> None:
    (said,) = first_batch_notes(loss_func=loss_func)
    assert "expects log-probabilities" in said and "Use nn.CrossEntropyLoss" in said
    assert first_batch_notes(model=nn.Sequential(tiny_model(), nn.LogSoftmax(dim=1)), splitter=None, loss_func=loss_func) == []


def test_the_scale_of_a_loss_of_ones_own_is_its_own_affair() -> None:
    def mine(output, target):
        return F.nll_loss(output.log(), target)

    assert first_batch_notes(model=nn.Sequential(tiny_model(), nn.Softmax(dim=1)), splitter=None, loss_func=mine) == []
