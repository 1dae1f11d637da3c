"""The scores of one validation, and numbers as the display shows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from burnish.errors import nearest


class Scores(list[float]):
    """Loss and metrics of one validation: a list of numbers that knows their names. The first is the loss, whose name says
    the split; it answers to "loss" too.

    >>> scores = Scores(["valid_loss", "accuracy"], [0.5, 0.75])
    >>> scores[0], scores["accuracy"], scores
    (0.5, 0.75, valid_loss 0.5, accuracy 0.75)
    >>> Scores(["test_loss"], [0.5])["loss"]
    0.5
    """

    def __init__(self, names: Sequence[str], values: Sequence[float]) -> None:
        super().__init__(values)
        self.names = list(names)

    def __getitem__(self, which: Any) -> Any:
        return super().__getitem__(self._place(which) if isinstance(which, str) else which)

    def _place(self, name: str) -> int:
        if name == "loss":
            return 0
        if name not in self.names:
            raise KeyError(f"There is no {name!r} among these scores.{nearest(name, self.names)} There are: {', '.join(self.names)}.")
        return self.names.index(name)

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
