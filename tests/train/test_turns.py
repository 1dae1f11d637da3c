"""Threads that share a learner: everybody gets the answer to their own question, and training is left alone."""

from __future__ import annotations

import copy
import pickle
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest
import torch
from tiny import points, same, state, tiny_learner, tiny_model

from burnish.train.callback import Callback
from burnish.train.learner import Learner
from burnish.train.turns import Turns


@pytest.fixture
def quick_switches() -> Iterator[None]:
    """Has Python change threads as often as it can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def together(*work: Callable[[], Any]) -> list[Any]:
    """What each gives, each in a thread of its own."""
    with ThreadPoolExecutor(len(work)) as pool:
        return [f.result() for f in [pool.submit(w) for w in work]]


@pytest.mark.usefixtures("quick_switches")
def test_everybody_gets_their_own_answer() -> None:
    learn = tiny_learner()
    learn.fit_one_cycle(1, 0.1)
    x = points(40, seed=1)[0]
    alone, whole, score = learn.predict(list(x)), learn.get_preds("train").preds, learn.validate()

    def ask(k: int) -> None:
        for j in range(k, 40, 4):
            assert torch.allclose(learn.predict(x[j]).probs, alone[j].probs)

    def check() -> None:
        for _ in range(3):
            assert torch.equal(learn.get_preds("train").preds, whole) and learn.validate() == score

    together(*[lambda k=k: ask(k) for k in range(4)], check, check)
    assert not learn.running
    learn.fit(1)


@pytest.mark.usefixtures("quick_switches")
def test_a_fit_is_not_disturbed_by_who_predicts_meanwhile() -> None:
    begun = Event()

    class Begun(Callback):
        def after_batch(self, learn: Learner) -> None:
            begun.set()

    alone, shared = tiny_learner(model=tiny_model(dropout=0.3)), tiny_learner(model=tiny_model(dropout=0.3))
    alone.fit(2, 0.1)

    def ask() -> list[Any]:
        begun.wait(10)
        return [shared.predict(x) for x in points(8)[0]]

    _, answers = together(lambda: shared.fit(2, 0.1, cbs=Begun()), ask)
    assert same(state(alone), state(shared))
    expected = alone.predict(list(points(8)[0]))
    assert all(torch.allclose(a.probs, e.probs) for a, e in zip(answers, expected, strict=True)), "they are of the trained model"


def test_evaluating_inside_a_fit_does_not_wait_for_its_end() -> None:
    seen: list[float] = []

    class Looks(Callback):
        def after_epoch(self, learn: Learner) -> None:
            seen.extend((learn.validate()[0], float(learn.predict(points()[0][0]).probs.sum())))

    tiny_learner(cbs=Looks()).fit(1)
    assert len(seen) == 2


def test_a_copy_has_turns_of_its_own() -> None:
    learn = tiny_learner()
    other = copy.deepcopy(learn)
    with learn.turns:
        together(lambda: other.predict(points()[0][0]))  # would never end if they shared them
    assert isinstance(pickle.loads(pickle.dumps(learn.turns)), Turns)
