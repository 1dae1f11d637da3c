"""Running out of memory (injected: a real one can't be had on every machine) changes the parts, not the step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from callbacks_support import small_learner, weights
from torch import Tensor, nn

from burnish.data.notes import captured_notes
from burnish.errors import SettingError
from burnish.train.callbacks import GradientAccumulation, MixUp, OutOfMemoryRetry
from burnish.train.callbacks.memory import is_out_of_memory


class Backward(torch.autograd.Function):
    """Passes a tensor on; its backward asks for memory."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, small: Any) -> Tensor:
        ctx.small = small
        return x.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        ctx.small.ask("backward", len(grad))
        return grad, None


class SmallMemory(nn.Module):
    """A model that runs out of memory when its batch is larger than `room`, forward or backward."""

    def __init__(self, room: int, where: str, dropout: float = 0.0, norm: bool = False) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(1)
            self.first, self.last = nn.Linear(3, 8), nn.Linear(8, 3)
        self.norm, self.drop = (nn.BatchNorm1d(8) if norm else nn.Identity()), nn.Dropout(dropout)
        self.room, self.where, self.asked, self.masks = room, where, [], []

    def ask(self, where: str, n: int) -> None:
        self.asked.append((where, n))
        if where == self.where and n > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    def forward(self, x: Tensor) -> Tensor:
        self.ask("forward", len(x))
        hidden = self.drop(torch.ones(len(x), 8))
        self.masks.append(hidden)
        return self.last(Backward.apply(self.norm(self.first(x)).relu() * hidden, self))


def trained(tmp_path: Path, model: nn.Module, *cbs: Any, lr: float = 0.1, **data: Any) -> tuple[Any, list[str]]:
    learn = small_learner(tmp_path, images=False, opt_func=torch.optim.SGD, data={"bs": 16, "n": 64, "shuffle": False, **data})
    learn.model = model
    with captured_notes() as notes:
        learn.fit(2, lr, cbs=list(cbs))
    return learn, notes


@pytest.mark.parametrize("where", ["forward", "backward"])
@pytest.mark.parametrize(("room", "parts"), [(16, 1), (8, 2), (5, 4), (1, 16)])
def test_the_steps_are_those_of_the_whole_batch(where: str, room: int, parts: int, tmp_path: Path) -> None:
    whole, _ = trained(tmp_path, SmallMemory(10**6, where))
    got, notes = trained(tmp_path, SmallMemory(room, where), OutOfMemoryRetry())
    for key, value in weights(whole).items():
        torch.testing.assert_close(weights(got)[key], value, msg=key)
    assert [row["train_loss"] for row in got.recorder.rows] == pytest.approx([row["train_loss"] for row in whole.recorder.rows])
    assert (len(notes) > 0) is (parts > 1)
    if parts > 1:
        assert "out of memory with 16 samples at once" in notes[-1] and f"parts of {16 // parts}" in notes[-1] and "all 16" in notes[-1]
    assert whole.step == got.step


@pytest.mark.parametrize("where", ["forward", "backward"])
def test_gathered_gradients_survive_a_retry(where: str, tmp_path: Path) -> None:
    class LaterSmall(SmallMemory):
        def ask(self, where: str, n: int) -> None:
            self.room = 10**6 if len([a for a in self.asked if a[0] == where]) < 2 else 4  # the memory gets scarce at the third batch
            super().ask(where, n)

    whole, _ = trained(tmp_path, SmallMemory(10**6, where), GradientAccumulation(48))
    got, notes = trained(tmp_path, LaterSmall(0, where), GradientAccumulation(48), OutOfMemoryRetry())
    assert notes
    for key, value in weights(whole).items():
        torch.testing.assert_close(weights(got)[key], value, msg=key)


def test_works_with_mixed_samples_and_any_loss(tmp_path: Path) -> None:
    whole, _ = trained(tmp_path, SmallMemory(10**6, "forward"), MixUp())
    got, _ = trained(tmp_path, SmallMemory(8, "forward"), MixUp(), OutOfMemoryRetry())
    for key, value in weights(whole).items():
        torch.testing.assert_close(weights(got)[key], value, msg=key)


def test_a_part_goes_backward_with_the_dropout_that_it_went_forward_with(tmp_path: Path) -> None:
    got, _ = trained(tmp_path, SmallMemory(8, "forward", dropout=0.5), OutOfMemoryRetry(), lr=0.0)
    masks = [m for m in got.model.masks if len(m) == 8 and m.unique().numel() > 1][:4]  # two forward, the same two again
    assert torch.equal(masks[0], masks[2]) and torch.equal(masks[1], masks[3]) and not torch.equal(masks[0], masks[1])


def test_statistics_of_norms_are_counted_once(tmp_path: Path) -> None:
    got, _ = trained(tmp_path, SmallMemory(8, "forward", norm=True), OutOfMemoryRetry())
    assert got.model.norm.num_batches_tracked == 2 * 3 * 2  # epochs, batches, parts


def test_validation_is_run_in_parts_too(tmp_path: Path) -> None:
    whole, _ = trained(tmp_path, SmallMemory(10**6, "forward"), lr=0.0)
    got, _ = trained(tmp_path, SmallMemory(4, "forward"), OutOfMemoryRetry(), lr=0.0)
    assert got.recorder.latest["valid_loss"] == pytest.approx(whole.recorder.latest["valid_loss"])


def test_without_room_for_one_sample_the_error_stands(tmp_path: Path) -> None:
    with pytest.raises(torch.OutOfMemoryError, match=r"Tried to allocate"):
        trained(tmp_path, SmallMemory(0, "forward"), OutOfMemoryRetry())


def test_other_errors_pass(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"mat1 and mat2"):
        trained(tmp_path, nn.Linear(5, 3), OutOfMemoryRetry())


def test_what_counts_as_out_of_memory() -> None:
    assert is_out_of_memory(torch.OutOfMemoryError("x"))
    assert is_out_of_memory(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"))
    assert is_out_of_memory(RuntimeError("MPS backend out of memory"))
    assert not is_out_of_memory(RuntimeError("shape mismatch"))


def test_a_model_that_it_cannot_cut_is_named(tmp_path: Path) -> None:
    class Words(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.line = nn.Linear(3, 3)

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"out": self.line(x)}

    with pytest.raises(SettingError, match=r"gives a tensor or a tuple of tensors; this one gives dict"):
        trained(tmp_path, Words(), OutOfMemoryRetry())
