"""Tensors and arrays that know what they are: a picture, a mask, points, a class. Views of plain ones, for code that chooses by type.

burnish itself works on plain tensors; these are what code written for fastai names in annotations, and what shows itself.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from burnish.compat.augment_methods import Lighting, Moving
from burnish.compat.drawing import show_image, show_title
from burnish.compat.torch_tools import tensor

__all__ = [
    "ArrayBase", "ArrayImage", "ArrayImageBW", "ArrayImageBase", "ArrayMask", "LMTensorText", "TensorBBox", "TensorBase", "TensorCategory", "TensorFlowField", "TensorImage", "TensorImageBW", "TensorImageBase", "TensorMask",
    "TensorMultiCategory", "TensorPoint", "TensorText", "TitledTensorScalar",
]  # fmt: skip

_BARE = torch.overrides.get_default_nowrap_functions()  # their results are as they are: gradients


class TensorBase(Tensor):
    """A tensor that stays of its class, and keeps its attributes, through operations.

    Where tensors of several classes meet, the result is of the first's class (or of the more special one, where one class is made of the other's).

    Args:
        x: a tensor, numbers, lists, an array or a picture. Doubles that aren't a tensor become single precision.
        kwargs: attributes that it is to carry.

    Example:
        >>> TensorBase([1, 2], note="first")[0].note
        'first'
    """

    if TYPE_CHECKING:

        def __init__(self, x: Any, **kwargs: Any) -> None:
            _ = x, kwargs

    def __new__(cls, x: Any, **kwargs: Any) -> Self:
        made = tensor(x).as_subclass(cls)
        vars(made).update(kwargs)
        return made

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        with torch._C.DisableTorchFunctionSubclass():
            made = func(*args, **kwargs) if kwargs else func(*args)
        if func in _BARE:
            return made
        if type(made) is Tensor:
            return _typed(made, cls, _first(args))
        if isinstance(made, (tuple, list)):  # also torch's results with names
            like = _first(args)
            return type(made)([_typed(part, cls, like) if type(part) is Tensor else part for part in made])
        return made

    def set_meta(self, x: Any, as_copy: bool = False) -> Self:
        """Takes over the attributes of `x`, where it has any."""
        if found := getattr(x, "__dict__", None):
            vars(self).update(copy.copy(found) if as_copy else found)
        return self

    def get_meta(self, n: str, d: Any = None) -> Any:
        """An attribute, `d` where there is none."""
        return getattr(self, n, d)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        if id(self) in memo:
            return memo[id(self)]
        made: Any = self.detach().clone().requires_grad_(self.requires_grad)
        vars(made).update(copy.deepcopy(vars(self), memo))
        memo[id(self)] = made
        return made


def _first(args: Any) -> Any:
    """The first typed tensor among arguments, in lists too."""
    for arg in args:
        if isinstance(arg, TensorBase):
            return arg
        if isinstance(arg, (tuple, list)) and (found := _first(arg)) is not None:
            return found
    return None


def _typed(x: Tensor, cls: type, like: Any) -> Any:
    made = x.as_subclass(cls)
    if like is not None and (found := vars(like)):
        vars(made).update(found)
    return made


# -- pictures -----------------------------------------------------------------------------------------------------------
class TensorImageBase(TensorBase):
    """What is drawn as a picture. ``_show_args`` are keywords for matplotlib's ``imshow``."""

    _show_args: ClassVar[dict[str, Any]] = {"cmap": "viridis"}

    def show(self, ctx: Any = None, **kwargs: Any) -> Any:
        """Draws it; gives the axes. Keywords go to ``imshow``."""
        return show_image(self, ctx=ctx, **{**self._show_args, **kwargs})


class TensorImage(Lighting, Moving, TensorImageBase):
    """A picture ``(channel, height, width)``, or a batch of them."""


class TensorImageBW(TensorImage):
    """A grey picture ``(1, height, width)``."""

    _show_args: ClassVar[dict[str, Any]] = {"cmap": "Greys"}


class TensorMask(Moving, TensorImageBase):
    """The class of every pixel ``(height, width)``. Attribute ``codes``: the names of the classes, where they are known."""

    _show_args: ClassVar[dict[str, Any]] = {"alpha": 0.5, "cmap": "tab20", "interpolation": "nearest"}

    def show(self, ctx: Any = None, **kwargs: Any) -> Any:
        """Draws it over what is there, each class in its own colour; gives the axes."""
        codes = getattr(self, "codes", None)
        return super().show(ctx=ctx, **{**({} if codes is None else {"vmin": 0, "vmax": len(codes)}), **kwargs})


class TensorFlowField(TensorBase):
    """Where each pixel of a result comes from ``(batch, height, width, 2)``, as ``grid_sample`` takes it."""


# -- what isn't a picture -------------------------------------------------------------------------------------------------
class TensorCategory(TensorBase):
    """The number of a class."""


class TensorMultiCategory(TensorCategory):
    """The numbers of several classes, or a one for each of them."""


class TensorText(TensorBase):
    """The numbers of words."""


class LMTensorText(TensorText):
    """The numbers of words whose next one is to be told."""


class TitledTensorScalar(TensorBase):
    """A number that is shown as a title."""

    def show(self, **kwargs: Any) -> Any:
        """Sets the title, or prints the number."""
        return show_title(self.item(), **kwargs)


class TensorPoint(Moving, TensorBase):
    """Points ``(n, 2)`` x, y of a picture: in pixels, or after `PointScaler` from -1 to 1. Attribute ``img_size``: the picture's (width, height)."""

    _show_args: ClassVar[dict[str, Any]] = {"s": 10, "marker": ".", "c": "r"}

    @classmethod
    def create(cls, t: Any, img_size: Any = None) -> Self:
        """Points of lists, arrays or tensors, flat or in pairs."""
        return cls(tensor(t).reshape(-1, 2).float(), img_size=img_size)

    def show(self, ctx: Any = None, **kwargs: Any) -> Any:
        """Draws them on the picture that is there; gives the axes. Keywords go to ``scatter``."""
        ctx = _axes(ctx, kwargs)
        places = self.detach().cpu().reshape(-1, 2).numpy()
        ctx.scatter(places[:, 0], places[:, 1], **{**self._show_args, **kwargs})
        return ctx


class TensorBBox(TensorPoint):
    """Boxes ``(n, 4)`` x1, y1, x2, y2: in pixels, or after `PointScaler` from -1 to 1."""

    @classmethod
    def create(cls, t: Any, img_size: Any = None) -> Self:
        """Boxes of lists, arrays or tensors, flat or in fours."""
        return cls(tensor(t).reshape(-1, 4).float(), img_size=img_size)

    def show(self, ctx: Any = None, **kwargs: Any) -> Any:
        """Draws them on the picture that is there; gives the axes. Keywords: color, text (written beside each)."""
        ctx = _axes(ctx, kwargs)
        for box in self.reshape(-1, 4).tolist():
            draw_box(ctx, box, **kwargs)
        return ctx


def _axes(ctx: Any, kwargs: dict[str, Any]) -> Any:
    """The axes to draw on; `figsize` and `title` are taken out of the keywords."""
    size, title = kwargs.pop("figsize", None), kwargs.pop("title", None)
    kwargs.pop("ax", None)
    if ctx is None:
        import matplotlib.pyplot as plt

        ctx = plt.subplots(figsize=size)[1]
    if title is not None:
        ctx.set_title(title)
    return ctx


def draw_box(ctx: Any, box: Any, color: str = "white", text: Any = None, text_size: float = 14) -> None:
    """A box x1, y1, x2, y2 with a dark rim around its line, and what is written at its corner."""
    from matplotlib import patheffects
    from matplotlib.patches import Rectangle

    rim = [patheffects.Stroke(linewidth=3, foreground="black"), patheffects.Normal()]
    x1, y1, x2, y2 = (float(v) for v in box)
    ctx.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=color, lw=2)).set_path_effects(rim)
    if text is not None:
        ctx.text(x1, y1, str(text), verticalalignment="top", color=color, fontsize=text_size, weight="bold").set_path_effects(rim)


# -- arrays ---------------------------------------------------------------------------------------------------------------
class ArrayBase(np.ndarray):
    """An array that knows what it is, made of anything that numpy makes one of."""

    def __new__(cls, x: Any) -> Self:
        return np.asarray(x).view(cls)


class ArrayImageBase(ArrayBase):
    """What is drawn as a picture."""

    _show_args: ClassVar[dict[str, Any]] = {"cmap": "viridis"}

    def show(self, ctx: Any = None, **kwargs: Any) -> Any:
        """Draws it; gives the axes. Keywords go to ``imshow``."""
        return show_image(self, ctx=ctx, **{**self._show_args, **kwargs})


class ArrayImage(ArrayImageBase):
    """A picture ``(height, width, channel)``."""


class ArrayImageBW(ArrayImage):
    """A grey picture."""

    _show_args: ClassVar[dict[str, Any]] = {"cmap": "Greys"}


class ArrayMask(ArrayImageBase):
    """The class of every pixel."""

    _show_args: ClassVar[dict[str, Any]] = {"alpha": 0.5, "cmap": "tab20", "interpolation": "nearest"}
