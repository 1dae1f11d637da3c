"""The scores of one validation, and numbers as the display shows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class Scores(list[float]):
    """Loss and metrics of one validation: a list of numbers that knows their names.

    >>> scores = Scores(["valid_loss", "accuracy"], [0.5, 0.75])
    >>> scores[0], scores["accuracy"], scores
    (0.5, 0.75, valid_loss 0.5, accuracy 0.75)
    """

    def __init__(self, names: Sequence[str], values: Sequence[float]) -> None:
        super().__init__(values)
        self.names = list(names)

    def __getitem__(self, which: Any) -> Any:
        return super().__getitem__(self.names.index(which) if isinstance(which, str) else which)

    def as_dict(self) -> dict[str, float]:
        """Name to number."""
        return dict(zip(self.names, self, strict=True))

    def __repr__(self) -> str:
        return ", ".join(f"{name} {value:.6g}" for name, value in zip(self.names, self, strict=True))


def seconds_as_clock(seconds: float) -> str:
    """Seconds as people read them: mm:ss, or h:mm:ss beyond an hour.

    >>> seconds_as_clock(75), seconds_as_clock(3700)
    ('01:15', '1:01:40')
    """
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes:02d}:{rest:02d}"


def as_text(name: str, value: Any) -> str:
    """A cell of the table as the display shows it."""
    if name == "time":
        return seconds_as_clock(value)
    if value is None:
        return ""
    return f"{value:.6f}" if isinstance(value, float) else str(value)
