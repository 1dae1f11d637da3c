"""PIL pictures that know what they are: a colour picture, a grey one, a mask. They are ordinary PIL pictures, opened by burnish's one careful door."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from burnish.compat.drawing import show_image
from burnish.compat.tensors import TensorBBox, TensorImage, TensorImageBase, TensorImageBW, TensorMask, TensorPoint
from burnish.errors import DataError
from burnish.evaluate.losses import CrossEntropyLossFlat, MSELossFlat
from burnish.vision import image as opening
from burnish.vision.masks import MaskBlock

__all__ = ["PILBase", "PILImage", "PILImageBW", "PILMask", "image2tensor", "load_image", "to_image"]


def load_image(fn: Any, mode: str | None = None) -> Image.Image:
    """A picture, opened upright, in `mode` ("RGB", "L" ...); None keeps its own."""
    if isinstance(fn, (np.ndarray, Tensor)) and mode not in opening.MODES:
        return to_image(fn) if mode is None else to_image(fn).convert(mode)
    return opening.load_image(fn, mode) if mode is None or mode in opening.MODES else opening.load_image(fn).convert(mode)


def image2tensor(img: Any) -> Tensor:
    """A picture as bytes ``(channel, height, width)``, also a grey one."""
    pixels = np.array(img)
    return torch.from_numpy(pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1)))


def to_image(x: Any) -> Image.Image:
    """A tensor ``(channel, height, width)`` (floats 0..1, or bytes) or an array ``(height, width, channel)`` as a PIL picture."""
    if isinstance(x, Image.Image):
        return x
    channels = x.shape[0] if isinstance(x, Tensor) and x.ndim == 3 else x.shape[-1] if x.ndim == 3 else 1
    return opening.open_image(x, "L" if channels == 1 else "RGBA" if channels == 4 else "RGB")


class _Modes(type):
    """Of classes of pictures: the mode that they are opened in is ``PILImage.mode``, as burnish's ``ImageBlock(cls=PILImage)`` asks for it."""

    @property
    def mode(cls) -> str:
        return getattr(cls, "_open_args", {}).get("mode") or "RGB"


class PILBase(Image.Image, metaclass=_Modes):
    """A picture of PIL that is opened by ``create``, shows itself, and is found by its type. Made of another picture it shares its pixels (`copy` doesn't);
    PIL's other methods (``resize`` ...) give plain pictures.

    Class attributes, for classes of your own: ``_open_args``, arguments of `load_image`; ``_show_args``, keywords for ``imshow``; ``_tensor_cls``, what `ToTensor` makes of it.
    """

    _bypass_type = Image.Image
    _open_args: ClassVar[dict[str, Any]] = {"mode": "RGB"}
    _show_args: ClassVar[dict[str, Any]] = {"cmap": "viridis"}
    _tensor_cls: ClassVar[type] = TensorImage

    def __init__(self, img: Image.Image | None = None) -> None:
        super().__init__()
        if img is None:
            return
        if not isinstance(img, Image.Image):
            raise DataError(
                f"{type(self).__name__}({img!r}): a PIL picture was expected. {type(self).__name__}.create opens paths, bytes, arrays and tensors."
            )
        img.load()
        vars(self).update({name: vars(img)[name] for name in vars(self)})
        self.info = dict(img.info)

    @classmethod
    def create(cls, fn: Any, **kwargs: Any) -> Self:
        """Opens a path, bytes, an array, a tensor or a PIL picture: upright, in the class's mode. Keywords are those of `load_image`, over ``_open_args``."""
        if isinstance(fn, Tensor):
            fn = _as_bytes(fn)
        return cls(load_image(fn, **{**cls._open_args, **kwargs}))

    def copy(self) -> Self:
        """A picture of the same class with pixels of its own."""
        return type(self)(super().copy())

    __copy__ = copy

    def show(self, ctx: Any = None, **kwargs: Any) -> Any:  # type: ignore[override]
        """Draws it; gives the axes. Keywords go to ``imshow``."""
        return show_image(self, ctx=ctx, **{**self._show_args, **kwargs})

    def __repr__(self) -> str:
        return f"{type(self).__name__} mode={self.mode} size={'x'.join(map(str, self.size))}"


def _as_bytes(x: Tensor) -> Tensor:
    """A picture's tensor in which floats up to 255 are what was meant for bytes."""
    if isinstance(x, TensorImageBase) and x.is_floating_point() and x.numel() and float(x.max()) > 1.01:
        return x.clamp(0, 255).round().to(torch.uint8)
    return x


class PILImage(PILBase):
    """A colour picture."""


class PILImageBW(PILImage):
    """A grey picture."""

    _show_args: ClassVar[dict[str, Any]] = {"cmap": "Greys"}
    _open_args: ClassVar[dict[str, Any]] = {"mode": "L"}
    _tensor_cls: ClassVar[type] = TensorImageBW


class PILMask(PILBase):
    """A mask: the class of every pixel, opened without changing the numbers; coloured ones become grey."""

    _open_args: ClassVar[dict[str, Any]] = {"mode": "L"}
    _show_args: ClassVar[dict[str, Any]] = {"alpha": 0.5, "cmap": "tab20"}
    _tensor_cls: ClassVar[type] = TensorMask

    @classmethod
    def create(cls, fn: Any, **kwargs: Any) -> Self:
        """A mask from a path, bytes, an array, a tensor or a PIL picture. Keywords are those of `load_image`."""
        if kwargs or cls._open_args.get("mode") != "L":
            return super().create(fn, **kwargs)
        if isinstance(fn, Tensor) and fn.is_floating_point() and bool((fn == fn.round()).all()):
            fn = fn.long()
        try:
            numbers = MaskBlock().numbers_of(fn)
        except DataError as error:
            if "palette=" not in str(error) and "is a JPEG" not in str(error):
                raise
            return super().create(fn)  # coloured or compressed: what code written for fastai then makes of it is its own affair
        numbers = np.asarray(numbers)
        if numbers.size and (numbers.min() < 0 or numbers.max() > 255):
            raise DataError(
                f"The mask {str(fn)[:80]} holds numbers from {numbers.min()} to {numbers.max()}; a {cls.__name__} holds 0 to 255."
            )
        return cls(Image.fromarray(numbers.astype(np.uint8)))


PILMask.create.__func__.loss_func = CrossEntropyLossFlat(axis=1)  # type: ignore[attr-defined]
for _places in (TensorPoint, TensorBBox):
    _places.create.__func__.loss_func = MSELossFlat()  # type: ignore[attr-defined]
