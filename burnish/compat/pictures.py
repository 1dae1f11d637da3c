"""What notebooks for fastai ask of a PIL picture."""

from __future__ import annotations

import io
import math
from typing import Any

from PIL import Image

from burnish.errors import SettingError
from burnish.vision.transforms import CropPad

_TURNS = (
    None, Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_90, Image.Transpose.TRANSPOSE, Image.Transpose.FLIP_TOP_BOTTOM, Image.Transpose.ROTATE_180,
    Image.Transpose.TRANSVERSE, Image.Transpose.ROTATE_270,
)  # fmt: skip


def to_thumb(self: Image.Image, h: int, w: int | None = None) -> Image.Image:
    """A copy that fits into `h` x `w` pixels (`h` both ways by default)."""
    made = self.copy()
    made.thumbnail((h if w is None else w, h))
    return made


def resize_max(
    self: Image.Image, resample: int = 0, max_px: int | None = None, max_h: int | None = None, max_w: int | None = None
) -> Image.Image:
    """A copy with at most so many pixels in all, or a side; itself where it is small enough."""
    w, h = self.size
    ratio = min(1.0, math.sqrt(max_px / (w * h)) if max_px else 1.0, max_h / h if max_h else 1.0, max_w / w if max_w else 1.0)
    return self if ratio == 1.0 else self.resize((max(1, int(w * ratio)), max(1, int(h * ratio))), Image.Resampling(resample))


def to_bytes_format(self: Image.Image, format: str = "png") -> bytes:
    """The bytes of an image file of it."""
    out = io.BytesIO()
    self.save(out, format=format)
    return out.getvalue()


shape = property(lambda self: (self.size[1], self.size[0]), doc="(height, width)")
n_px = property(lambda self: self.size[0] * self.size[1], doc="The number of pixels.")
aspect = property(lambda self: self.size[0] / self.size[1], doc="Width over height.")


def reshape(self: Image.Image, h: int, w: int, resample: int = 0) -> Image.Image:
    """Resized to `h` x `w` pixels."""
    return self.resize((w, h), Image.Resampling(resample))


def flip_lr(self: Image.Image) -> Image.Image:
    """Mirrored."""
    return self.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def dihedral(self: Any, k: int) -> Any:
    """One of the eight symmetries of a square, 0 being the picture itself."""
    turn = _TURNS[k]
    return self if turn is None else self.transpose(turn)


def crop_pad(self: Any, sz: Any, tl: Any = None, pad_mode: str = "zeros", resize_mode: int = 2, resize_to: Any = None) -> Any:
    """Cut, or padded, to `sz` pixels (one number, or (width, height)) around the middle.

    Args:
        tl: another place for the upper left corner (x, y), within the picture. pad_mode: "zeros", "border" or "reflection". resize_to: (width, height) to bring it to at the end.
    """
    w, h = (sz, sz) if isinstance(sz, int) else sz
    if tl is None:
        made = CropPad((h, w), str(pad_mode))(self)
    elif min(tl) >= 0 and tl[0] + w <= self.size[0] and tl[1] + h <= self.size[1]:
        made = self.crop((*tl, tl[0] + w, tl[1] + h))
    else:
        raise SettingError(
            f"crop_pad({sz}, tl={tl}): that goes beyond the picture of {self.size[0]} x {self.size[1]} pixels. Without tl it is padded around the middle."
        )
    return made if resize_to is None else made.resize(tuple(resize_to), Image.Resampling(resize_mode))
