"""burnish's values as typed ones and back: PIL pictures, torchvision's masks, points and boxes; the parts of a batch by their kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from burnish.compat.picture_types import PILBase, PILImage, PILImageBW, PILMask, image2tensor, to_image
from burnish.compat.tensors import (
    TensorBBox,
    TensorCategory,
    TensorImage,
    TensorImageBase,
    TensorImageBW,
    TensorMask,
    TensorMultiCategory,
    TensorPoint,
)
from burnish.data.transforms import Size

_KINDS = ((TensorBBox, "boxes"), (TensorPoint, "points"), (TensorMask, "mask"), (TensorImageBase, "image"))
_BATCH_TYPES = {"mask": TensorMask, "points": TensorPoint, "category": TensorCategory, "multicategory": TensorMultiCategory}


def batch_kind(x: Any) -> str:
    """burnish's name for the kind of a part of a batch, by its type; "other" for what has no place in a picture."""
    return next((kind for cls, kind in _KINDS if isinstance(x, cls)), "other")


def sample_size(values: Sequence[Any]) -> Size | None:
    """(width, height) of the first picture among the values of a sample, or of that which its points were made for."""
    for value in values:
        if isinstance(value, Image.Image):
            return value.size
        if isinstance(value, TensorImageBase):
            return value.shape[-1], value.shape[-2]
    own = next((s for v in values if (s := getattr(v, "img_size", None)) is not None), None)
    return None if own is None else (int(own[0]), int(own[1]))


def is_scaled(x: Tensor) -> bool:
    """Whether points or boxes are places from -1 to 1, not pixels: `PointScaler` says so, or their numbers do."""
    said = getattr(x, "scaled", None)
    return bool(said) if said is not None else bool(x.numel()) and float(x.as_subclass(Tensor).abs().nan_to_num().max()) <= 1


# -- a sample on its way into one of burnish's transforms ------------------------------------------------------------------
def to_own(value: Any, size: Size | None, tensors: bool = False) -> Any:
    """A typed value as burnish's item transforms have them; None for what has no place in a picture. `tensors`: pictures that are tensors stay so."""
    from torchvision import tv_tensors

    if isinstance(value, (PILMask, TensorMask)):
        return tv_tensors.Mask(torch.from_numpy(np.array(value)) if isinstance(value, PILMask) else value.as_subclass(Tensor))
    if isinstance(value, (Image.Image, tv_tensors.TVTensor)):
        return value
    if isinstance(value, TensorPoint):
        return None if size is None else _placed(value, size)
    if isinstance(value, TensorImageBase):
        return tv_tensors.Image(value.as_subclass(Tensor)) if tensors else to_image(value) if value.dtype == torch.uint8 else None
    return None


def _placed(value: TensorPoint, size: Size) -> Any:
    """Points or boxes in pixels as torchvision has them."""
    from torchvision import tv_tensors

    plain = value.as_subclass(Tensor).float()
    if is_scaled(value):
        plain = (plain.reshape(-1, 2) + 1) * torch.tensor(size) / 2
    canvas = (size[1], size[0])
    if isinstance(value, TensorBBox):
        return tv_tensors.BoundingBoxes(plain.reshape(-1, 4), format="XYXY", canvas_size=canvas, clamping_mode=None)  # type: ignore[call-overload]
    return tv_tensors.KeyPoints(plain.reshape(-1, 2), canvas_size=canvas)  # type: ignore[call-arg]


def from_own(value: Any, like: Any) -> Any:
    """What a transform of burnish made, in the class of what it was given."""
    from torchvision import tv_tensors

    if value is like or isinstance(like, tv_tensors.TVTensor):
        return value
    if isinstance(like, TensorPoint):
        return _points_like(value, like)
    if isinstance(value, Tensor):
        plain = value.as_subclass(Tensor)
        if isinstance(like, PILMask):
            return type(like)(Image.fromarray(plain.numpy().astype(np.uint8)))
        if isinstance(like, Image.Image):
            return (like._tensor_cls if isinstance(like, PILBase) else TensorImage)(plain)
        return plain.as_subclass(type(like)).set_meta(like) if isinstance(like, TensorImageBase) else plain
    if isinstance(value, Image.Image):
        if isinstance(like, TensorImageBase):
            return image2tensor(value).as_subclass(type(like)).set_meta(like)
        return type(like)(value) if isinstance(like, PILBase) else value
    return value


def _points_like(value: Any, like: TensorPoint) -> TensorPoint:
    canvas, plain = getattr(value, "canvas_size", None), value.as_subclass(Tensor)
    made = plain.as_subclass(type(like)).set_meta(like)
    if canvas is None:  # of a batch
        return made
    if is_scaled(like):
        sides = torch.tensor([float(canvas[1]), float(canvas[0])])
        made = (plain.reshape(-1, 2) * 2 / sides - 1).reshape(like.shape).as_subclass(type(like)).set_meta(like)
    else:
        made.img_size = (canvas[1], canvas[0])  # type: ignore[attr-defined]
    return made


# -- burnish's values, for a Transform -------------------------------------------------------------------------------------
def typed_value(value: Any, scaled: bool = False) -> Any:
    """A value of burnish's as a typed one; None for what has no place in a picture. `scaled`: points as places from -1 to 1."""
    from torchvision import tv_tensors

    if isinstance(value, Image.Image):
        return value if isinstance(value, PILBase) else PILImageBW(value) if value.mode == "L" else PILImage(value)
    if isinstance(value, tv_tensors.Mask):
        return PILMask(Image.fromarray(value.as_subclass(Tensor).numpy().astype(np.uint8)))
    if isinstance(value, tv_tensors.Image):
        return TensorImage(value.as_subclass(Tensor))
    if isinstance(value, (tv_tensors.KeyPoints, tv_tensors.BoundingBoxes)):
        cls = TensorPoint if isinstance(value, tv_tensors.KeyPoints) else TensorBBox
        height, width = value.canvas_size  # pyright: ignore[reportAttributeAccessIssue]
        plain = value.as_subclass(Tensor).float()
        if scaled:
            plain = (plain.reshape(-1, 2) * 2 / torch.tensor([float(width), float(height)]) - 1).reshape(plain.shape)
        return cls(plain, img_size=(width, height), scaled=scaled)
    return None


def untyped_value(value: Any, size: Size | None) -> Any:
    """A typed value as burnish's blocks encode it, in a picture of `size`."""
    if isinstance(value, (PILMask, TensorMask, TensorPoint)):
        own = to_own(value, size or getattr(value, "img_size", None))
        return value if own is None else own
    return value.as_subclass(Tensor) if isinstance(value, TensorImageBase) else value


def typed_batch(x: Tensor, kind: str) -> Tensor:
    """A part of a batch, typed by burnish's name for its kind. Of boxes the corners alone."""
    if kind == "image":
        return x.as_subclass(TensorImageBW if x.ndim == 4 and x.shape[1] == 1 else TensorImage)
    if kind == "boxes":
        return x[..., :4].as_subclass(TensorBBox)
    return x.as_subclass(_BATCH_TYPES[kind]) if kind in _BATCH_TYPES else x


def plain_batch(new: Any, old: Tensor) -> Any:
    """What a Transform made of a part, as a plain tensor; boxes with the classes that they had."""
    plain = new.as_subclass(Tensor) if isinstance(new, Tensor) else new
    if isinstance(new, TensorBBox) and old.shape[-1] > 4:
        return torch.cat([plain, old[..., 4:].to(plain)], dim=-1)
    return plain
