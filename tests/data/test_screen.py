"""What fits a screen: messages broken between words, tables laid out."""

from __future__ import annotations

import io
import sys

import pytest

from burnish.data.notes import note
from burnish.data.screen import folded, laid_out, shortened, wrapped

LONG = "The file /a/very/long/path/that/is/longer/than/any/line/of/this/small/screen.csv holds some words, and more words follow them.\n  - indented, and this line is long too, so that it is broken."


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_messages_are_broken_between_words_in_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    made = wrapped(LONG, Terminal())
    assert made.split() == LONG.split(), "no word is broken"
    assert all(len(line) <= 40 or " " not in line.strip() for line in made.split("\n"))
    assert [line[:2] for line in made.split("\n")[-2:]] == ["  ", "  "], "what is indented stays so"
    assert wrapped(LONG, io.StringIO()) == LONG


@pytest.mark.parametrize("stream", [Terminal, io.StringIO])
def test_notes_too(monkeypatch: pytest.MonkeyPatch, stream: type[io.StringIO]) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(sys, "stderr", stream())
    note("some words that are together longer than a line of the terminal is wide")
    lines = sys.stderr.getvalue().splitlines()
    assert len(lines) == (3 if stream is Terminal else 1) and lines[0].startswith("burnish: some words")
    assert max(map(len, lines)) <= 40 or stream is not Terminal


@pytest.mark.parametrize("room", range(12, 130, 7))
def test_all_columns_are_there_in_any_room(room: int) -> None:
    names = ["epoch", "train_loss", "valid_loss", "average_precision_multi", "withoutanyunderscore", "time"]
    cells = ["0", "1.234567", "12345.678901", "0.123456", "-0.500000", "00:03"]
    layout = laid_out(names, [5 if name in ("epoch", "time") else 9 for name in names], room)
    lines = [*layout.lines_of_header(), *layout.lines_of(cells)]
    assert max(map(len, lines)) <= room and [i for row in layout.rows for i in row] == list(range(6))
    assert ["".join(layout.header[i]) for i in range(6)] == names
    shown = " ".join(layout.lines_of(cells)).split()
    assert len(shown) == 6 and [abs(float(s) - float(c)) < 0.5 for s, c in zip(shown[:5], cells[:5], strict=True)] == [True] * 5


def test_names_and_numbers_get_shorter() -> None:
    assert folded("average_precision_multi", 9) == ["average_", "precision", "_multi"]
    assert [shortened(c, 6) for c in ("1234567.9", "-0.123456", "1e-05", "12")] == ["1234568", "-0.123", "1e-05", "12"]
