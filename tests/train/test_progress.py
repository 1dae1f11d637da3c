"""The display: rows in a log, a bar in a terminal, one table in a notebook."""

from __future__ import annotations

import io
import re
import sys
import types

import pytest
from tiny import Log, accuracy, tiny_dls, tiny_learner, tiny_model
from torch import nn

from burnish.data.views import NotebookView, PlainView, TerminalView, bar, choose_view
from burnish.evaluate.learner import Learner
from burnish.train import progress
from burnish.train.callback import Callback
from burnish.train.metric import AverageMetric
from burnish.train.scores import as_text, seconds_as_clock


def test_a_log_gets_aligned_rows_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    tiny_learner(quiet=False).fit(2)
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert err == ""
    assert [line.split()[0] for line in lines] == ["epoch", "0", "1"]
    assert len({len(line) for line in lines}) == 1, "right-aligned rows are all as long as the header"
    assert lines[0].split() == ["epoch", "train_loss", "valid_loss", "accuracy", "time"]
    assert "\x1b" not in out and "\r" not in out


def test_fine_tune_names_its_phases(capsys: pytest.CaptureFixture[str]) -> None:
    tiny_learner(quiet=False).fine_tune(1)
    out = capsys.readouterr().out
    assert out.index("training the head (the body is frozen)") < out.index("training the whole model")


def test_no_logging_is_silent_and_no_bar_keeps_the_rows(capsys: pytest.CaptureFixture[str]) -> None:
    learn = tiny_learner(quiet=False)
    with learn.no_logging():
        learn.fit(1)
    assert capsys.readouterr().out == ""
    with learn.no_bar():
        learn.fit(1)
    assert len(capsys.readouterr().out.splitlines()) == 2
    learn.lr_find(show_plot=False)
    learn.validate(), learn.get_preds()
    assert capsys.readouterr().out == ""


def test_no_logging_leaves_out_the_note_of_the_results_too(capsys: pytest.CaptureFixture[str]) -> None:
    learn = Learner(tiny_dls(), tiny_model(), nn.CrossEntropyLoss(), metrics=accuracy)
    with learn.no_logging():
        learn.fit(1)
        learn.validate()
    assert capsys.readouterr() == ("", "") and len(learn.results["valid"]) == 1
    learn.validate()
    assert "valid: accuracy" in capsys.readouterr().err


def test_an_interrupted_fit_says_where(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt):
        tiny_learner(quiet=False).fit(1, cbs=Log(at={"after_step": KeyboardInterrupt()}, nth=3))
    assert capsys.readouterr().out.splitlines()[-1] == "stopped in epoch 0, batch 2, by KeyboardInterrupt"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_rows_and_a_bar_that_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(TerminalView, "every", 0.0)
    tiny_learner(quiet=False).fit(2)
    shown = screen.getvalue()
    assert "epoch 1/2 train" in shown and "epoch 2/2 valid" in shown and "6/6" in shown and "loss 1." in shown
    assert "train_loss  valid_loss" in shown
    assert shown.rstrip().endswith(("\x1b[2K", "\x1b[?25h")), "the bar must be erased and the cursor shown again"


def test_a_table_of_many_metrics_fits_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["f1_score_multi_macro", "average_precision_multi", "accuracy_multi", "hamming_loss_multi"]
    for width in (80, 40):
        screen = Terminal()
        monkeypatch.setattr(sys, "stdout", screen)
        monkeypatch.setenv("TERM", "xterm-256color")
        monkeypatch.setenv("COLUMNS", str(width))
        learn = tiny_learner(quiet=False)
        learn.metrics = [AverageMetric(accuracy, name=name) for name in names]
        learn.fit(1)
        lines = [line for line in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "\n", screen.getvalue()).splitlines() if "/" not in line]
        assert max(map(len, lines)) <= width and lines
        shown = " ".join(lines)
        assert all(name.split("_")[0] in shown for name in (*names, "train_loss", "valid_loss", "epoch", "time"))
        assert len(re.findall(r"\d+\.\d{3,}", shown)) == 2 + len(names), "nothing is left out"


def test_in_a_file_the_table_is_as_wide_as_it_is(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    learn = tiny_learner(quiet=False)
    learn.metrics = [AverageMetric(accuracy, name=name) for name in ("average_precision_multi", "f1_score_multi_macro")]
    learn.fit(1)
    head, row = capsys.readouterr().out.splitlines()
    assert len(head) == len(row) > 80 and "average_precision_multi  f1_score_multi_macro" in head


@pytest.mark.parametrize(("term", "bar", "kind"), [("xterm", True, TerminalView), ("dumb", True, PlainView), ("xterm", False, PlainView)])
def test_where_the_bar_is_drawn(monkeypatch: pytest.MonkeyPatch, term: str, bar: bool, kind: type) -> None:
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("TERM", term)
    assert type(choose_view(bar)) is kind


class Handle:
    """What IPython's display returns, and all that was shown through it."""

    shown: list[str] = []

    def update(self, html) -> None:
        Handle.shown.append(html.data)


@pytest.fixture
def in_notebook(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A stand-in for a Jupyter kernel."""
    Handle.shown = []

    class HTML:
        def __init__(self, data: str) -> None:
            self.data = data

    def display(html, display_id=False):
        Handle.shown.append(html.data)
        return Handle()

    fake = types.ModuleType("IPython")
    fake.get_ipython = lambda: types.SimpleNamespace(kernel=object())  # type: ignore[attr-defined]
    fake.display = types.ModuleType("IPython.display")  # type: ignore[attr-defined]
    fake.display.HTML, fake.display.display = HTML, display
    monkeypatch.setitem(sys.modules, "IPython", fake)
    monkeypatch.setitem(sys.modules, "IPython.display", fake.display)
    return Handle.shown


def test_a_notebook_gets_one_table_updated_in_place(in_notebook: list[str], monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(NotebookView, "every", 0.0)
    results = tiny_learner(quiet=False).fit(2)
    assert any("<progress" in html and "epoch 1/2 train: 3/6" in html for html in in_notebook)
    last = in_notebook[-1]
    assert "<progress" not in last and last.count("<tr>") == 3 and f"{results['valid_loss'].iloc[-1]:.6f}" in last
    assert capsys.readouterr().out == ""
    assert results._ipython_display_() is None, "as the cell's last value it must not appear a second time"


def test_text_is_escaped_in_html() -> None:
    view = NotebookView()
    view._show = lambda: None  # type: ignore[method-assign]
    view.begin(["<b>"], "a & b")
    assert "&lt;b&gt;" in view.html() and "a &amp; b" in view.html()


@pytest.mark.slow
def test_in_a_real_kernel(tmp_path) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    code = [
        "import sys; sys.path.insert(0, "
        + repr(str(__import__("pathlib").Path(__file__).parent))
        + ")\nfrom tiny import tiny_learner\nlearn = tiny_learner(quiet=False)",
        "learn.fine_tune(1)",
        "results = learn.fit(1)\nresults",
        "results",
    ]
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in code])
    nbclient.NotebookClient(nb, timeout=120, kernel_name="python3").execute()
    kinds = [[o.output_type for o in cell.outputs] for cell in nb.cells]
    assert kinds[1:] == [["display_data", "display_data"], ["display_data"], ["execute_result"]]


def test_the_bar_looks_at_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []

    class Counting(PlainView):
        every = 1000.0

        def bar(self, label, done, total, loss) -> None:
            drawn.append(done)

    monkeypatch.setattr(progress, "choose_view", lambda bar: Counting())
    tiny_learner(dls=tiny_dls(n=320), quiet=False).fit(1)
    assert drawn == [0, 0], "only the beginning of each pass"


def test_a_callback_that_prints_does_not_break_it(capsys) -> None:
    class Prints(Callback):
        def after_epoch(self, learn) -> None:
            print("mine")

    tiny_learner(quiet=False).fit(1, cbs=Prints())
    assert "mine" in capsys.readouterr().out


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "00:00"), (75, "01:15"), (3700, "1:01:40")])
def test_times(seconds: float, text: str) -> None:
    assert seconds_as_clock(seconds) == as_text("time", seconds) == text


def test_a_bar_for_any_work_goes_away_and_a_log_gets_nothing(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    with bar("reading", 3) as step:
        step(3)
    assert capsys.readouterr() == ("", "")
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr(TerminalView, "every", 0.0)
    with bar("reading", 3) as step:
        for _ in range(3):
            step(1)
    assert "reading" in screen.getvalue() and "3/3" in screen.getvalue()
    before = screen.getvalue()
    with bar("hidden", 3, show=False) as step:
        step(1)
    assert screen.getvalue() == before


def test_a_bar_in_a_notebook(in_notebook: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NotebookView, "every", 0.0)
    with bar("reading", 2) as step:
        step(1)
        assert 'value="1" max="2"' in in_notebook[-1] and "reading: 1/2" in in_notebook[-1]
    assert in_notebook[-1] == ""
