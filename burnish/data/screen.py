"""What fits a screen: how wide it is, messages broken between words, a table whose columns fit."""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

GAP = 2  # between columns
LEAST = 8  # characters that a column of numbers needs
FEW_DIGITS = 6  # that it needs where there is no room


def width_of(stream: Any) -> int | None:
    """The columns of the terminal that `stream` writes to; None where it is none (a file, a pipe, a notebook), which nothing is broken for."""
    if not getattr(stream, "isatty", lambda: False)():
        return None
    said = os.environ.get("COLUMNS", "")
    if said.isdigit() and int(said) > 0:
        return int(said)
    try:
        return os.get_terminal_size(stream.fileno()).columns or None
    except (OSError, ValueError, AttributeError):  # a terminal that doesn't tell, or no real one
        return None


def wrapped(message: str, stream: Any) -> str:
    """A message with its lines broken between words, where `stream` is a terminal that they are too long for; a path or a word longer than a line stays whole.

    The lines that the message has stay.
    """
    width = width_of(stream)
    if width is None:
        return message
    lines = [line if len(line) <= width else _broken(line, width) for line in message.split("\n")]
    return "\n".join(lines)


def _broken(line: str, width: int) -> str:
    before = line[: len(line) - len(line.lstrip())]
    return textwrap.fill(
        line, width, subsequent_indent=before, break_long_words=False, break_on_hyphens=False, replace_whitespace=False, expand_tabs=False
    )


class Layout(NamedTuple):
    """How a table is shown on a screen.

    Attributes:
        header: the lines of each column's name. widths: of the columns.
        rows: which columns stand beside each other in a line: all of them where there is room.
        tight: numbers that are longer than their column is wide lose digits.
    """

    header: list[list[str]]
    widths: list[int]
    rows: list[list[int]]
    tight: bool = True

    def lines_of_header(self) -> list[str]:
        """The names, over each other where they are in parts, each ending above its numbers."""
        deep = [max(len(self.header[i]) for i in row) for row in self.rows]
        return [
            self._line(row, [([""] * (n - len(self.header[i])) + self.header[i])[k] for i in row])
            for row, n in zip(self.rows, deep, strict=True)
            for k in range(n)
        ]

    def lines_of(self, cells: Sequence[str]) -> list[str]:
        """A row of the table: one line, or several where it doesn't fit in one."""
        return [self._line(row, [shortened(cells[i], self.widths[i]) if self.tight else cells[i] for i in row]) for row in self.rows]

    def _line(self, row: list[int], cells: list[str]) -> str:
        return (" " * GAP).join(f"{cell:>{self.widths[i]}}" for i, cell in zip(row, cells, strict=True))


def laid_out(columns: Sequence[str], least: Sequence[int], room: int | None) -> Layout:
    """The layout in which all columns fit `room`: first the whole names; then names broken at their "_" into lines; then numbers of fewer digits; then rows of
    several lines. Nothing is left out.

    Args:
        least: the width that each column is given at least where there is room.
        room: characters of a line; None for any number.
    """
    every = [list(range(len(columns)))]
    plain = Layout(
        [[name] for name in columns], [max(len(name), n) for name, n in zip(columns, least, strict=True)], every, room is not None
    )
    if room is None or _total(plain.widths) <= room:
        return plain
    for most in (LEAST, FEW_DIGITS):
        for limit in range(max(map(len, columns)), most - 1, -1):
            header = [folded(name, limit) for name in columns]
            widths = [max(min(n, most), *map(len, lines)) for n, lines in zip(least, header, strict=True)]
            if _total(widths) <= room:
                return Layout(header, widths, every)
    header = [folded(name, LEAST) for name in columns]
    widths = [max(min(n, LEAST), *map(len, lines)) for n, lines in zip(least, header, strict=True)]
    return Layout(header, widths, _in_lines(widths, room))


def folded(name: str, limit: int) -> list[str]:
    """A name in lines of at most `limit` characters, broken after "_" and between words where that can be.

    >>> folded("average_precision_multi", 10)
    ['average_', 'precision_', 'multi']
    """
    lines = [""]
    for part in re.findall(r"[^_\s]*[_\s]|[^_\s]+", name):
        while len(part) > limit:
            part = lines.pop() + part if lines[-1] == "_" else part  # no line of nothing else
            lines += [part[:limit], ""]
            part = part[limit:]
        if len(lines[-1]) + len(part) <= limit:
            lines[-1] += part
        else:
            lines.append(part)
    return [line for line in lines if line] or [""]


def shortened(cell: str, most: int) -> str:
    """A number with as many digits as there is room for; anything else as it is.

    >>> shortened("0.123456", 6), shortened("12.345678", 6), shortened("00:03", 6)
    ('0.1235', '12.346', '00:03')
    """
    if len(cell) <= most or not re.fullmatch(r"-?\d+\.\d+", cell):
        return cell
    whole = len(cell.split(".")[0])
    return f"{float(cell):.{max(0, most - whole - 1)}f}"


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + GAP * (len(widths) - 1)


def _in_lines(widths: Sequence[int], room: int) -> list[list[int]]:
    """Columns in lines, each as full as it can be."""
    lines: list[list[int]] = [[]]
    for i in range(len(widths)):
        if lines[-1] and _total([widths[k] for k in (*lines[-1], i)]) > room:
            lines.append([])
        lines[-1].append(i)
    return lines
