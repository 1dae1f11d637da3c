"""Numbers, words and labels that show themselves: as the title of a picture, in a row of a table, or printed."""

from __future__ import annotations

from typing import Any, ClassVar

from burnish.compat.containers import fastuple
from burnish.compat.drawing import show_title
from burnish.compat.tensors import TensorBBox, draw_box
from burnish.data.collections import L

__all__ = ["Category", "LabeledBBox", "MultiCategory", "ShowTitle", "TitledFloat", "TitledInt", "TitledStr", "TitledTuple"]


class ShowTitle:
    """Gives a class ``show``. ``_show_args`` are keywords for `show_title`."""

    _show_args: ClassVar[dict[str, Any]] = {"label": "text"}

    def show(self, ctx: Any = None, **kwargs: Any) -> Any:
        """Sets the title of axes, adds a cell to a row of a table, or prints; gives what it was shown in."""
        return show_title(str(self), ctx=ctx, **{**self._show_args, **kwargs})


class TitledInt(int, ShowTitle):
    """A whole number."""


class TitledFloat(float, ShowTitle):
    """A number."""


class TitledStr(str, ShowTitle):
    """A text."""

    def truncate(self, n: int) -> TitledStr:
        """Its first `n` words."""
        return TitledStr(" ".join(self.split(" ")[:n]))


class TitledTuple(fastuple, ShowTitle):
    """Several numbers."""


class Category(str, ShowTitle):
    """The label of one class."""

    _show_args: ClassVar[dict[str, Any]] = {"label": "category"}


class MultiCategory(L[Any]):
    """The labels of several classes."""

    def show(self, ctx: Any = None, sep: str = ";", color: str = "black", **kwargs: Any) -> Any:
        """Sets the title of axes, adds a cell to a row of a table, or prints: the labels with `sep` between them."""
        return show_title(sep.join(map(str, self)), ctx=ctx, color=color, **kwargs)


class LabeledBBox(L[Any]):
    """Boxes with their labels: ``LabeledBBox(boxes, labels)``."""

    @property
    def bbox(self) -> TensorBBox:
        """The boxes."""
        return self[0]

    @property
    def lbl(self) -> Any:
        """The label of each."""
        return self[1]

    def show(self, ctx: Any = None, **kwargs: Any) -> Any:
        """Draws the boxes and writes their labels; not those that only fill a batch. Gives the axes."""
        for box, label in zip(self.bbox.tolist(), self.lbl, strict=False):
            if label != "#na#":
                draw_box(ctx, box, text=label, **kwargs)
        return ctx
