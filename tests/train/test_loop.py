"""The loop: its events, what cancelling does, what it does with odd batches, and what it costs."""

from __future__ import annotations

import inspect
import time

import pytest
import torch
from tiny import CLASSES, Log, counted_reads, points, same, state, tiny_dls, tiny_learner, tiny_model
from torch import nn
from torch.utils.data import DataLoader as TorchLoader
from torch.utils.data import IterableDataset

from burnish.data.dataloaders import DataLoaders
from burnish.errors import DataError, SettingError
from burnish.train import loop
from burnish.train.callback import (
    EVENTS,
    Callback,
    CancelBatchException,
    CancelEpochException,
    CancelFitException,
    CancelStepException,
    CancelTrainException,
    CancelValidException,
)

TRAIN_BATCH = ["before_batch", "after_pred", "after_loss", "before_backward", "before_step", "after_step", "after_batch"]
VALID_BATCH = ["before_batch", "after_pred", "after_loss", "after_batch"]


def two_batches(**kwargs):
    return tiny_learner(dls=DataLoaders([points(8)] * 2, [points(8)] * 2, device="cpu"), **kwargs)


def whole_epoch() -> list[str]:
    train = ["before_train", *TRAIN_BATCH * 2, "after_train"]
    return ["before_epoch", *train, "before_validate", *VALID_BATCH * 2, "after_validate", "after_epoch"]


def test_the_loop_fits_on_a_screen() -> None:
    assert len(inspect.getsource(loop.fit_loop).splitlines()) <= 60


def test_events_come_in_order() -> None:
    log = Log()
    two_batches().fit(2, cbs=log)
    assert log.seen == ["before_fit", *whole_epoch() * 2, "after_fit"]


def test_training_is_what_a_hand_written_loop_does() -> None:
    learn, model = two_batches(lr=0.05, opt_func=torch.optim.SGD), tiny_model()
    learn.fit(2)
    opt, loss_func = torch.optim.SGD(model.parameters(), lr=0.05), nn.CrossEntropyLoss()
    for _ in range(4):
        x, y = points(8)
        loss_func(model.train()(x), y).backward()
        opt.step()
        opt.zero_grad()
    assert same(state(learn), model.state_dict())


EXPECTED_AFTER_CANCEL = {
    CancelBatchException: ("before_batch", ["before_batch", "after_batch", "before_batch"]),
    CancelStepException: ("before_step", ["before_step", "after_batch", "before_batch"]),
    CancelTrainException: ("after_loss", ["after_loss", "after_train", "before_validate"]),
    CancelEpochException: ("after_loss", ["after_loss", "after_epoch", "before_epoch"]),
    CancelFitException: ("after_loss", ["after_loss", "after_fit"]),
}


@pytest.mark.parametrize("cancel", EXPECTED_AFTER_CANCEL)
def test_cancelling_leaves_out_what_it_names(cancel: type[Exception]) -> None:
    event, expected = EXPECTED_AFTER_CANCEL[cancel]
    log = Log(at={event: cancel()})
    two_batches().fit(2, cbs=log)
    at = log.seen.index(event)
    assert log.seen[at : at + 3] == expected
    assert log.seen[-1] == "after_fit"


def test_cancelling_validation_goes_on_behind_it() -> None:
    log = Log(at={"before_batch": CancelValidException()}, when=lambda learn: not learn.training)
    two_batches().fit(1, cbs=log)
    assert log.seen[-4:] == ["before_batch", "after_validate", "after_epoch", "after_fit"]


def test_a_cancelled_step_drops_the_gradients_unless_they_are_to_be_kept() -> None:
    class Skip(Callback):
        def __init__(self, keep: bool) -> None:
            self.keep, self.had = keep, []

        def before_batch(self, learn) -> None:
            if learn.training:
                self.had.append(any(p.grad is not None for p in learn.model.parameters()))

        def before_step(self, learn) -> None:
            learn.keep_gradients = self.keep
            raise CancelStepException

    for keep in (False, True):
        learn, skip = two_batches(), Skip(keep)
        before = dict(learn.model.named_parameters())["1.weight"].clone()
        learn.fit(1, cbs=skip)
        assert skip.had == [False, keep]
        assert torch.equal(learn.model[1].weight, before)
        assert all(p.grad is None for p in learn.model.parameters()), "a fit must not leave gradients behind"


@pytest.mark.parametrize("event", [e for e in EVENTS if e not in ("after_fit", "on_exception")])
def test_an_exception_in_a_callback_keeps_its_type_and_everybody_cleans_up(event: str) -> None:
    class Mine(Exception):
        pass

    log, other = Log(at={event: Mine("said")}), Log()
    learn = two_batches()
    with pytest.raises(Mine, match="said") as raised:
        learn.fit(1, cbs=[log, other])
    assert any(frame.name == "note" for frame in raised.traceback), "the traceback must lead to the callback"
    assert log.seen[-2:] == ["on_exception", "after_fit"]
    assert event == "before_fit" or other.seen[-1] == "after_fit"
    assert learn.exception is raised.value


def test_ctrl_c_runs_after_fit_and_leaves_a_usable_learner() -> None:
    learn, log = two_batches(), Log(at={"after_step": KeyboardInterrupt()})
    with pytest.raises(KeyboardInterrupt):
        learn.fit(1, cbs=log)
    assert log.seen[-1] == "after_fit"
    assert log not in learn.cbs
    assert len(learn.fit(1)) == 1


def test_only_callbacks_that_began_clean_up_and_an_error_in_one_spares_the_others() -> None:
    first, second, third = Log(), Log(at={"before_fit": ValueError("no")}), Log()
    with pytest.raises(ValueError, match="no"):
        two_batches().fit(1, cbs=[first, second, third])
    assert "after_fit" in first.seen
    assert third.seen == ["on_exception"]
    fails, other = Log(at={"after_fit": RuntimeError("cleaning failed")}), Log()
    with pytest.raises(RuntimeError, match="cleaning failed"):
        two_batches().fit(1, cbs=[other, fails])  # after_fit runs in reverse order: `fails` first
    assert other.seen[-1] == "after_fit"


def test_after_fit_runs_in_reverse_order() -> None:
    seen: list[str] = []

    class A(Callback):
        def after_fit(self, learn) -> None:
            seen.append("A")

    class B(A):
        def after_fit(self, learn) -> None:
            seen.append("B")

    two_batches().fit(1, cbs=[A(), B()])
    assert seen == ["B", "A"]


def test_without_a_validation_split() -> None:
    learn = tiny_learner(dls=tiny_dls(valid=False))
    results = learn.fit(1)
    assert list(results.columns) == ["epoch", "train_loss", "time"]


def test_progress_goes_from_0_towards_1() -> None:
    class Watch(Callback):
        def __init__(self) -> None:
            self.at: list[float] = []

        def before_batch(self, learn) -> None:
            if learn.training:
                self.at.append(learn.progress)

    watch = Watch()
    two_batches().fit(2, cbs=watch)
    assert watch.at == [0.0, 0.25, 0.5, 0.75]


def test_no_batches_is_an_error_that_says_why() -> None:
    small = TorchLoader(list(zip(*points(4), strict=True)), 16, drop_last=True)
    with pytest.raises(DataError, match=r"training loader has no batches: its 4 sample.*drop_last=False"):
        tiny_learner(dls=DataLoaders(small, device="cpu")).fit(1)


def test_a_loader_without_length_is_an_error_that_says_what_to_do() -> None:
    class Stream(IterableDataset):
        def __iter__(self):
            yield points(4)

    with pytest.raises(SettingError, match=r"no length .*IterableDataset.*__len__"):
        tiny_learner(dls=DataLoaders(TorchLoader(Stream(), batch_size=None), device="cpu")).fit(1)


def test_dict_batches_as_hugging_face_gives_them() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, CLASSES)

        def forward(self, values, scale):
            return type("Output", (), {"logits": self.linear(values) * scale})()

    x, y = points(8)
    batches = [{"values": x, "scale": torch.ones(8, 1), "labels": y}] * 2
    learn = tiny_learner(dls=DataLoaders(batches, batches, device="cpu"), model=Model(), splitter=None)
    assert learn.fit(1)["accuracy"].between(0, 1).all()
    preds = learn.get_preds()
    assert preds.preds.shape == (16, CLASSES)
    torch.testing.assert_close(preds.preds.sum(1), torch.ones(16))
    assert torch.equal(preds.targs, torch.cat([y, y]))


def test_several_inputs_are_split_by_n_inp() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(8, CLASSES)

        def forward(self, a, b):
            return self.linear(torch.cat([a, b], 1))

    x, y = points(8)
    learn = tiny_learner(dls=DataLoaders([(x, x, y)] * 2, [(x, x, y)], device="cpu", n_inp=2), model=Two(), splitter=None)
    assert len(learn.fit(1)) == 1


@pytest.mark.parametrize(("batch", "message"), [("text", "A batch is a str"), (torch.zeros(4, 4), "no target")])
def test_batches_that_cannot_be_trained_on(batch, message: str) -> None:
    with pytest.raises(DataError, match=message):
        tiny_learner(dls=DataLoaders([batch], device="cpu")).fit(1)


def test_nothing_is_read_back_from_the_device_inside_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    learn = tiny_learner(dls=DataLoaders([points(8)] * 50, [points(8)] * 50, device="cpu"))
    learn.fit(1)
    reads = counted_reads(monkeypatch)
    learn.opt_func = torch.optim.SGD  # torch's own AdamW reads its step count, on the CPU
    learn.fit_one_cycle(1, reset_opt=True)
    assert len(reads) <= 8, f"a fit of 100 batches read {len(reads)} values: {sorted(set(reads))}"  # the epoch's row


def test_what_the_loop_adds_to_a_batch_is_small() -> None:
    """The bar is 0.1 ms on a quiet machine; processor time, the best of several, and twice the bar, for busy ones."""
    batches = [points(16)] * 300

    def by_hand() -> float:
        model, loss_func = nn.Linear(4, CLASSES), nn.CrossEntropyLoss()
        opt = torch.optim.AdamW(model.parameters(), fused=True)
        start = time.process_time()
        for x, y in batches:
            loss_func(model(x), y).backward()
            opt.step()
            opt.zero_grad()
        return (time.process_time() - start) / len(batches)

    def ours() -> float:
        learn = tiny_learner(
            dls=DataLoaders(batches, device="cpu"), model=nn.Linear(4, CLASSES), splitter=None, metrics=None, wd_bn_bias=True, quiet=False
        )
        with learn.no_logging():
            start = time.process_time()
            learn.fit(1)
            return (time.process_time() - start) / len(batches)

    pairs = [(by_hand(), ours()) for _ in range(5)]
    added = min(o for _, o in pairs) - min(h for h, _ in pairs)
    assert added < 2e-4, f"{added * 1e3:.3f} ms a batch"
