"""The graph of the losses that grows while a model trains."""

from __future__ import annotations

import pytest
from callbacks_support import small_data, small_model
from torch import nn

from burnish.train.callbacks import ShowGraph, graph
from burnish.train.learner import Learner


def test_it_is_drawn_once_and_then_brought_up_to_date(monkeypatch, tmp_path):
    display = pytest.importorskip("IPython.display")
    shown = []

    class Handle:
        def update(self, figure):
            shown.append(figure)

    def first(figure, display_id):
        shown.append(figure)
        return Handle()

    monkeypatch.setattr(graph, "notebook", lambda: True)
    monkeypatch.setattr(display, "display", first)
    learn = Learner(small_data(), small_model(), nn.CrossEntropyLoss(), path=tmp_path)
    learn.fit(3, cbs=ShowGraph(log=True))
    assert len(shown) == 3 and shown[-1].axes[0].get_yscale() == "log" and len({id(f) for f in shown}) == 3


def test_elsewhere_nothing_is_drawn(tmp_path):
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    learn = Learner(small_data(), small_model(), nn.CrossEntropyLoss(), path=tmp_path)
    learn.fit(1, cbs=ShowGraph)
    assert plt.get_fignums() == before
