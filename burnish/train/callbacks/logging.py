"""The table of results as a CSV file, a row an epoch, written as training goes."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from burnish.errors import SettingError
from burnish.train.callback import Callback

if TYPE_CHECKING:
    import pandas as pd

    from burnish.train.learner import Learner


class CSVLog(Callback):
    """Writes every epoch's row to ``learn.path / fname`` as soon as the epoch ends, so a crash loses nothing.

    Both phases of ``fine_tune`` are one log, with its column `phase` in front.

    Args:
        fname: the file; an absolute path is taken as it is.
        append: put the rows of a new fit below those of earlier ones (one header, with or without a phase as the first fit
            had it). False begins a new file.

    Raises:
        SettingError: appending to a file that has other columns.
    """

    order: ClassVar[float] = 60

    def __init__(self, fname: str | Path = "history.csv", append: bool = False) -> None:
        self.fname, self.append = Path(fname), append
        self.path = self.fname
        self._size: int | None = None  # of the file after the last row of this log; None before the first
        self._phase: str | None = None  # of fine_tune that has been logged to its end

    def before_fit(self, learn: Learner) -> None:
        from burnish.train.recipes import FROZEN, WHOLE

        self.path = Path(learn.path) / self.fname
        if not (self._phase == FROZEN and learn.phase == WHOLE):
            self._size = None
        self._phase = None

    def after_fit(self, learn: Learner) -> None:
        self._phase = learn.phase if learn.exception is None else None

    def after_epoch(self, learn: Learner) -> None:
        row: dict[str, Any] = {**({} if learn.phase is None else {"phase": learn.phase}), **learn.recorder.latest}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self._size is None or not self.path.exists() or self.path.stat().st_size < self._size:
            self._begin(list(row))
        line = _line(row.get(column, "") for column in self._header())
        with open(self.path, "r+b") as file:
            file.truncate(self._size)  # rows that a resumed fit is going to write again
            file.seek(0, io.SEEK_END)
            file.write(line)
            self._size = file.tell()

    def _begin(self, columns: list[str]) -> None:
        if self.append and self.path.exists() and self.path.stat().st_size:
            present = self._header()
            if [c for c in present if c != "phase"] != [c for c in columns if c != "phase"]:
                raise SettingError(
                    f"CSVLog(append=True): {self.path} has the columns {', '.join(present)}; this fit gives {', '.join(columns)}. Choose another fname, or append=False."
                )
        else:
            self.path.write_bytes(_line(columns))
        self._size = self.path.stat().st_size

    def _header(self) -> list[str]:
        """The columns of the file."""
        with open(self.path, newline="", encoding="utf-8") as file:
            return next(csv.reader(file), [])

    def read_log(self) -> pd.DataFrame:
        """The file as a DataFrame."""
        import pandas as pd

        return pd.read_csv(self.path)

    def state_dict(self) -> dict[str, object]:
        return {"size": self._size}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._size = state["size"]


def _line(values: Iterable[object]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(values)
    return text.getvalue().encode()


CSVLogger = CSVLog

__all__ = ["CSVLog", "CSVLogger"]
