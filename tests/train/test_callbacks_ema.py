"""The moving average of the weights, against one computed by hand; what is validated, saved and left behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from callbacks_support import same_weights, small_learner, weights, when
from torch import Tensor

from burnish.data.notes import captured_notes
from burnish.errors import SettingError
from burnish.train.callback import CancelFitException
from burnish.train.callbacks import EMA, SaveModel, TerminateOnNaN

Weights = dict[str, Tensor]


def trail(learn: Any, cb: EMA, epochs: int = 2) -> list[Weights]:
    """The training weights at the start and after every step of a fit with `cb`."""
    seen: list[Weights] = []
    record = lambda learn: seen.append(weights(learn))  # noqa: E731
    learn.fit(epochs, 1e-2, cbs=[cb, when(order=99, before_fit=record, after_step=record)])
    return seen


def average(seen: list[Weights], decay: float, warm_up: bool) -> Weights:
    mean = {k: v.clone() for k, v in seen[0].items()}
    for t, now in enumerate(seen[1:], start=1):
        d = min(decay, (1 + t) / (10 + t)) if warm_up else decay
        for k, v in now.items():
            mean[k] = mean[k] * d + v * (1 - d) if v.is_floating_point() else v
    return mean


@pytest.mark.parametrize("warm_up", [True, False])
@pytest.mark.parametrize("decay", [0.5, 0.999])
def test_the_model_ends_with_the_average_of_its_weights_and_statistics(decay: float, warm_up: bool, tmp_path: Path) -> None:
    learn = small_learner(tmp_path)
    seen = trail(learn, EMA(decay, warm_up))
    for key, expected in average(seen, decay, warm_up).items():
        torch.testing.assert_close(weights(learn)[key], expected, msg=key)
    assert not same_weights(weights(learn), seen[-1])


def test_training_itself_is_not_changed(tmp_path: Path) -> None:
    plain: list[Weights] = []
    small_learner(tmp_path).fit(2, 1e-2, cbs=when(order=99, after_step=lambda learn: plain.append(weights(learn))))
    seen = trail(small_learner(tmp_path), EMA())[1:]
    assert len(plain) == len(seen) and all(same_weights(a, b) for a, b in zip(plain, seen, strict=True))


def test_validation_and_later_callbacks_see_the_average(tmp_path: Path) -> None:
    seen: list[Weights] = []
    validated: list[Weights] = []
    after: list[Weights] = []
    learn = small_learner(tmp_path)
    learn.fit(
        2,
        1e-2,
        cbs=[
            EMA(0.9),
            when(
                order=99,
                before_fit=lambda learn: seen.append(weights(learn)),
                after_step=lambda learn: seen.append(weights(learn)),
                before_validate=lambda learn: validated.append(weights(learn)),
                after_epoch=lambda learn: after.append(weights(learn)),
            ),
        ],
    )
    expected = average(seen[: 1 + (len(seen) - 1) // 2], 0.9, True)
    for key, value in expected.items():
        torch.testing.assert_close(validated[0][key], value)
        torch.testing.assert_close(after[0][key], value)
    assert same_weights(weights(learn), after[1])


def test_the_best_weights_are_averaged_ones_and_stay(tmp_path: Path) -> None:
    kept: list[Weights] = []
    learn = small_learner(tmp_path)
    learn.fit(
        3,
        1e-2,
        cbs=[EMA(0.9), SaveModel("valid_loss", comp="higher"), when(order=99, after_epoch=lambda learn: kept.append(weights(learn)))],
    )
    losses = [row["valid_loss"] for row in learn.recorder.rows]
    assert same_weights(weights(learn), kept[losses.index(max(losses))])


def test_an_interrupted_fit_leaves_the_average_too(tmp_path: Path) -> None:
    def interrupt(learn: Any) -> None:
        if learn.epoch == 1 and learn.batch_index == 1:
            raise KeyboardInterrupt

    learn = small_learner(tmp_path)
    seen: list[Weights] = []
    record = lambda learn: seen.append(weights(learn))  # noqa: E731
    with pytest.raises(KeyboardInterrupt):
        learn.fit(2, 1e-2, cbs=[EMA(0.9), when(order=99, before_fit=record, after_step=record, after_batch=interrupt)])
    for key, expected in average(seen, 0.9, True).items():
        torch.testing.assert_close(weights(learn)[key], expected)


def test_a_fit_ended_in_mid_epoch_leaves_the_best_weights_where_they_are_kept(tmp_path: Path) -> None:
    """TerminateOnNaN ends it while the training weights are in the model and the average is beside it."""
    kept: list[Weights] = []

    def spoil(learn: Any) -> None:
        if learn.training and learn.epoch == 2 and learn.batch_index == 1:
            learn.loss = learn.loss * float("nan")

    learn = small_learner(tmp_path)
    watch = when(order=99, after_epoch=lambda learn: kept.append(weights(learn)))
    with captured_notes() as notes:
        learn.fit(4, 1e-2, cbs=[EMA(0.9), SaveModel("valid_loss", comp="higher"), TerminateOnNaN(), when(after_loss=spoil), watch])
    best = [row["valid_loss"] for row in learn.recorder.rows].index(max(row["valid_loss"] for row in learn.recorder.rows))
    assert len(kept) == 2 and any(f"back to the best weights, of epoch {best}" in n for n in notes)
    assert same_weights(weights(learn), kept[best])


def test_what_is_saved_at_the_end_of_a_fit_ended_in_mid_epoch_is_the_average(tmp_path: Path) -> None:
    def end(learn: Any) -> None:
        if learn.batch_index == 1:
            raise CancelFitException

    learn = small_learner(tmp_path)
    seen: list[Weights] = []
    record = lambda learn: seen.append(weights(learn))  # noqa: E731
    saves = SaveModel(every_epoch=True, at_end=True, fname="m")
    learn.fit(1, 1e-2, cbs=[EMA(0.9), saves, when(order=99, before_fit=record, after_step=record, after_batch=end)])
    learn.load("m_end")
    for key, expected in average(seen, 0.9, True).items():
        torch.testing.assert_close(weights(learn)[key], expected)


def test_frozen_weights_stay_exactly_what_they_are(tmp_path: Path) -> None:
    learn = small_learner(tmp_path)
    learn.model[0].weight.requires_grad_(False)
    before = learn.model[0].weight.detach().clone()
    learn.fit(1, 1e-2, cbs=EMA())
    assert torch.equal(learn.model[0].weight, before)


def test_a_decay_that_cannot_be() -> None:
    for wrong in (0, 1, 1.5):
        with pytest.raises(SettingError, match=f"decay={wrong}.*between 0 and 1"):
            EMA(wrong)
