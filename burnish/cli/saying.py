"""What commands say: consoles, tables, figures in files."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from burnish.data.findings import TELLS_ALL
from burnish.data.notes import worded
from burnish.errors import short
from burnish.wording import in_options

if TYPE_CHECKING:
    from rich.console import Console


def check_follows() -> AbstractContextManager[None]:
    """Within it a short check of the data isn't said: the whole one is printed after it."""
    return worded(lambda message: "" if message.endswith(TELLS_ALL) else in_options(message))


def counted(n: int, what: str, ending: str) -> str:
    return f"{n} {what}{'' if n == 1 else ending}"


def console_of(file: Any = None) -> Console:
    from rich.console import Console

    return Console(file=file or sys.stdout, soft_wrap=False)


def table_of(*header: str) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in header:
        table.add_column(name, overflow="fold")
    return table


def plain(value: Any) -> str:
    """A file's name or a label with its brackets as they are: rich would take them for markup."""
    from rich.markup import escape

    return escape(str(value))


def end_of(file: str, most: int = 44) -> str:
    """The end of a long path, cut between folders where it can be: the name tells more than the folders."""
    if len(file) <= most:
        return file
    tail = file[-(most - 2) :]
    cut = tail.find("/")
    return f"…{tail[cut:]}" if cut >= 0 else f"…{tail}"


def save(path: Path, draw: Any) -> None:
    """Draws without a display and writes the figure to `path`."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.close("all")
    draw()
    plt.gcf().savefig(path, dpi=110, bbox_inches="tight")
    plt.close("all")


def say_test(console: Console, learn: Any) -> None:
    """The results on what was kept aside, which nothing was chosen by. The record, the report and the model card keep them."""
    from burnish.evaluate.summary import assess, chosen_metrics, not_clearly_better

    shown, results = table_of("on the test split", "value", "95 % interval", "baseline"), assess(learn, "test")
    for row in results.to_dict("records"):
        known = row["low"] == row["low"]
        shown.add_row(
            row["metric"],
            short(row["value"], 3),
            f"{short(row['low'], 3)} to {short(row['high'], 3)}" if known else "",
            short(row["baseline"], 3),
        )
    console.print()
    console.print(shown)
    doubtful = not_clearly_better(results, {"loss": "lower", **{m.name: m.better for m in chosen_metrics(learn)}})
    if doubtful:
        console.print(f"Not clearly better than the baseline: {', '.join(doubtful)}", highlight=False)
