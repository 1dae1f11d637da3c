"""ImageBlock: a picture, colour or grey."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from burnish.data.block import Block
from burnish.data.cache import Pixels
from burnish.data.facts import WHITE
from burnish.errors import DataError, SettingError, listed
from burnish.vision.image import MODES, SizeHint, check_mode, checked_range, checked_white, open_image

_MOST_LOOKED_FOR = 10_000  # files whose existence is checked when DataLoaders are made


class BytesToFloat(nn.Module):
    """uint8 pictures as float32 in 0..1, keeping the memory format; floats as they are."""

    def forward(self, x: Tensor) -> Tensor:
        if x.dtype != torch.uint8:
            return x.float()
        if x.device.type == "cpu":  # one pass, in this thread: torch makes two, and waits for its other threads even for one picture
            return torch.from_numpy(np.divide(x.numpy(), np.float32(255)))
        return x.float().div_(255)


class ImageBlock(Block):
    """A picture.

    Args:
        mode: "RGB", "L" (grey, one channel) or "RGBA"; or the familiar class (``ImageBlock(PILImageBW)``).
        cls: the same by its familiar name, ``ImageBlock(cls=PILImageBW)``.
        white: what counts as white in 16-bit pictures, for instruments that use part of the range: 4095 for 12 bits.
        value_range: (black, white) in arrays whose numbers are measurements, the same for all of them: (-80, 0) for spectrograms in
            decibels. Without it arrays hold floats in 0..1 or integers in 0..255, and others are an error.

    A picture is a file, an array ``(height, width)`` or ``(height, width, channel)``, a tensor ``(channel, height, width)``, or a file of
    one array (``.npy``).

    Shapes: open gives a PIL image; encode uint8 ``(channel, height, width)``, a view of memory laid out
    ``(height, width, channel)``; collate ``(batch, channel, height, width)``, channels-last; on the device it becomes
    float32 in 0..1.
    """

    kind: ClassVar[str] = "image"
    name: ClassVar[str] = "image"
    takes_size_hint: ClassVar[bool] = True

    def __init__(
        self, mode: str | type = "RGB", cls: type | None = None, white: int = WHITE, value_range: Sequence[float] | None = None
    ) -> None:
        chosen = mode if cls is None else cls
        self.mode: str = chosen if isinstance(chosen, str) else getattr(chosen, "mode", None)  # type: ignore[assignment]
        self.cls = None  # said by `mode` from here on
        if not isinstance(self.mode, str):
            raise SettingError(f"ImageBlock({chosen!r}): expected a mode ({listed(map(repr, MODES))}), PILImage or PILImageBW.")
        check_mode(self.mode)
        self.white = checked_white(white)
        self.value_range = checked_range(value_range)

    @property
    def channels(self) -> int:
        """Channels of an encoded picture: what a model's first layer gets."""
        return MODES[self.mode]

    def check(self, raws: Sequence[Any], rows: Sequence[object], split: str) -> None:
        empty = [row for raw, row in zip(raws, rows, strict=True) if raw is None or (isinstance(raw, float) and raw != raw)]
        if empty:
            raise DataError(f"{len(empty)} row(s) of the {split} split name no picture: {listed(empty)}. Fill them in or leave them out.")
        some = list(raws)[:: max(1, len(raws) // _MOST_LOOKED_FOR)]
        missing = [raw for raw in some if isinstance(raw, (str, os.PathLike)) and not os.path.exists(raw)]
        if missing:
            raise FileNotFoundError(
                f"{len(missing)} of {len(some)} pictures of the {split} split don't exist, for example: {listed(missing, 3)}. "
                "Check the folder that the names are joined to (path, folder=, pref=) and the ending (suff=)."
            )

    def open(self, raw: Any, size_hint: SizeHint | None = None) -> Image.Image:
        return open_image(raw, self.mode, size_hint, self.white, self.value_range)

    def opening(self) -> str:
        return f"{self.mode} {self.white}" + ("" if self.value_range is None else f" {self.value_range}")

    @property
    def takes_pixels(self) -> bool:  # type: ignore[override]
        """True, unless a subclass has an ``encode`` of its own, which knows PIL images only."""
        return type(self).encode is ImageBlock.encode

    def encode(self, value: Any) -> Tensor:
        if isinstance(value, Pixels):
            if (value.shape[2] if value.ndim == 3 else 1) == self.channels:
                value = value if min(value.strides) >= 0 else np.ascontiguousarray(value)  # mirrored
                return torch.from_numpy(value if value.ndim == 3 else value[:, :, None]).permute(2, 0, 1)
            value = Image.fromarray(value.view(np.ndarray))
        if isinstance(value, Image.Image):
            pixels = np.array(value if value.mode == self.mode else open_image(value, self.mode, white=self.white))
            return torch.from_numpy(pixels if pixels.ndim == 3 else pixels[:, :, None]).permute(2, 0, 1)
        if isinstance(value, Tensor) and value.ndim == 3 and len(value) == self.channels:
            return value.as_subclass(Tensor)
        if isinstance(value, np.ndarray):
            return self.encode(open_image(value, self.mode, white=self.white))
        shape = f" of shape {tuple(value.shape)}" if isinstance(value, Tensor) else ""
        raise DataError(
            f"After the item transforms a picture must be a PIL image, an array, or a tensor of shape ({self.channels}, height, width); "
            f"it is a {type(value).__name__}{shape}. Check what the transforms return."
        )

    def collate(self, items: list[Tensor]) -> Tensor:
        if len({item.shape for item in items}) > 1:
            sizes = sorted({f"{item.shape[2]}x{item.shape[1]}" for item in items})
            raise DataError(
                f"The pictures of a batch have different sizes (width x height: {listed(sizes)}), so they can't be put together. "
                "Add item_tfms=Resize(224), or another size that suits them."
            )
        if len({item.dtype for item in items}) > 1:
            raise DataError(
                f"The pictures of a batch have different types ({listed(sorted({str(i.dtype) for i in items}))}): an item transform makes tensors of only some."
            )
        if len(items) == 1:  # prediction: nothing to copy, no threads to wake
            return items[0].unsqueeze(0).contiguous(memory_format=torch.channels_last)
        return torch.stack([item.permute(1, 2, 0) for item in items]).permute(0, 3, 1, 2)

    def on_device(self) -> nn.Module:
        return BytesToFloat()

    def decode(self, encoded: Tensor) -> Image.Image:
        pixels = encoded.detach().as_subclass(Tensor).cpu()
        if pixels.dtype != torch.uint8:
            pixels = pixels.float().nan_to_num().clamp(0, 1).mul(255).round().to(torch.uint8)
        return Image.fromarray(
            np.ascontiguousarray(pixels.permute(1, 2, 0).numpy().squeeze(2) if len(pixels) == 1 else pixels.permute(1, 2, 0).numpy())
        )

    def draw(self, value: Any, ax: Any, title: str | None = None) -> None:
        image = value if isinstance(value, Image.Image) else open_image(value, self.mode, white=self.white)
        ax.imshow(np.asarray(image), cmap="gray" if image.mode == "L" else None, vmin=0, vmax=255)
        ax.set_axis_off()
        if title is not None:
            ax.set_title(title)

    def beside(self, values: Sequence[Any]) -> Image.Image:
        pictures = [v if isinstance(v, Image.Image) else open_image(v, self.mode, white=self.white) for v in values]
        gap = max(2, max(p.width for p in pictures) // 32)
        size = sum(p.width for p in pictures) + gap * (len(pictures) - 1), max(p.height for p in pictures)
        mode = "L" if all(p.mode == "L" for p in pictures) else "RGB"
        whole, left = Image.new(mode, size, "white"), 0
        for picture in pictures:
            whole.paste(picture.convert(mode), (left, 0))
            left += picture.width + gap
        return whole
