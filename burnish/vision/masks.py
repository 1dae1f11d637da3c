"""MaskBlock: the class of every pixel, from grey, indexed or coloured pictures."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from burnish.data.block import Answer, Block
from burnish.data.label import is_missing
from burnish.data.notes import note
from burnish.data.parallel import in_parallel
from burnish.errors import DataError, SettingError, listed, nearest
from burnish.evaluate.losses_masks import PixelCrossEntropy
from burnish.evaluate.segmentation import IGNORED  # the same in a finished batch
from burnish.vision.frames import corner_tracer, frame_of, homographies, moved_planes, picture_of
from burnish.vision.image import load_image
from burnish.vision.windows import predict_windows, windows_of

if TYPE_CHECKING:
    from burnish.data.dataloaders import DataLoaders

_LOSSY = ("JPEG", "MPO", "WEBP")  # formats that change the numbers of classes
VOID = 255  # in an encoded mask: a pixel that doesn't count
_MOST_LOOKED_AT = 500  # masks that are opened to learn what they hold
Colour = tuple[int, int, int]


class FinishedMasks(nn.Module):
    """Masks of bytes as class indices (int64), pixels that don't count as -100."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.where(x == VOID, IGNORED, x.long()) if x.dtype == torch.uint8 else x


class MaskBlock(Block):
    """A class for each pixel of a picture, as a target: a picture of the same size that holds class numbers.

    Raw cells are paths, bytes, PIL images, or arrays and tensors ``(height, width)`` of whole numbers. Indexed pictures (palette PNG) and
    grey ones hold the numbers themselves; coloured ones need a `palette`.

    Args:
        codes: the names of the classes, in the order of their numbers. None names them by the numbers that the training masks hold.
        void: what doesn't count, in loss and metrics: one of the codes, or a number in the masks. By default 255, where that is no class.
        palette: the colour (red, green, blue) of each class, for coloured masks: a list in the order of `codes`, or class to colour.
        values: the number in the masks of each class, where they aren't 0, 1, 2 ...; learned where they can be.

    Shapes: encode gives uint8 ``(height, width)`` with 255 for what doesn't count; a finished batch is int64 ``(batch, height, width)`` with -100
    there. A model gives ``(batch, classes, height, width)``.
    """

    kind: ClassVar[str] = "mask"
    name: ClassVar[str] = "mask"
    located: ClassVar[bool] = True
    metrics: ClassVar[tuple[str, ...]] = ("mean_iou", "pixel_accuracy")

    def __init__(
        self,
        codes: Sequence[str] | None = None,
        void: str | int | None = None,
        palette: Sequence[Sequence[int]] | Mapping[str, Sequence[int]] | None = None,
        values: Sequence[int] | None = None,
    ) -> None:
        if isinstance(codes, str):
            raise SettingError(
                f"codes={codes!r} is one text; expected a list of the names of classes, such as codes=['background', {codes.split(',')[-1].strip()!r}]."
            )
        self.codes = None if codes is None else [str(code) for code in codes]
        if isinstance(palette, Mapping) and self.codes is None:
            self.codes = [str(name) for name in palette]
        self.palette = None if palette is None else _checked_palette(palette, self.codes)
        self.values = None if values is None else [int(v) for v in values]
        self.void = void
        self._check_settings()
        self._table: np.ndarray | None = None

    def _check_settings(self) -> None:
        codes = self.codes
        if codes is not None and (len(set(codes)) < len(codes) or not 2 <= len(codes) < VOID):
            raise SettingError(f"codes={codes}: expected 2 to 254 different names of classes.")
        if self.values is not None and (codes is None or len(self.values) != len(codes) or len(set(self.values)) < len(self.values)):
            raise SettingError(f"values={self.values}: expected another number for each of the codes, {codes}.")
        if isinstance(self.void, str) and self.void not in (codes or []):
            raise SettingError(f"void={self.void!r} is none of the codes, {listed(codes or [], 12)}.{nearest(self.void, codes or [])}")
        if self.palette is not None and self.values is not None:
            raise SettingError("palette and values were both given: coloured masks have colours, grey ones numbers. Leave one of them out.")

    @property
    def vocab(self) -> list[str] | None:
        """The names of the classes, in the order of the outputs."""
        return self.codes

    # -- learning what masks hold -----------------------------------------------------------------------------------
    def fit(self, raws: Sequence[Any]) -> None:
        if self.palette is not None or self.values is not None:
            return
        some = list(raws)[:: max(1, -(-len(raws) // _MOST_LOOKED_AT))]
        held = in_parallel(lambda raw: set(np.unique(self.numbers_of(raw)).tolist()), some, chunk=4)
        found = sorted(set().union(*held))
        void = [] if isinstance(self.void, str) else [VOID if self.void is None else self.void]
        if self.codes is None:
            there = [v for v in found if v not in void] if len(found) > 2 else found
            if len(there) < 2:
                raise DataError(
                    f"All {len(some)} training masks that were looked at hold the number {found[0]} alone: there is nothing to tell apart."
                )
            if len(there) >= VOID:
                raise DataError(
                    f"The masks hold {len(there)} different numbers ({listed(there, 6)}), too many for classes. Are they masks?"
                )
            self.codes, self.values = [str(v) for v in there], there
            left = [v for v in found if v not in there]
            apart = f", but {left[0]}, which is taken as what doesn't count (values=[...] says otherwise)" if left else ""
            note(f"The masks hold the numbers {listed(found, 20)}: each is a class{apart}. MaskBlock(codes=[...]) names them.")
            return
        self._fit_values(found, void, lambda number: [raw for raw, there in zip(some, held, strict=True) if number in there])

    def _fit_values(self, found: list[int], void: list[int], masks_with: Callable[[int], list[Any]]) -> None:
        """Which number stands for which code. `masks_with` gives the masks that hold a number."""
        n = len(self.codes or [])
        beyond = [v for v in found if not 0 <= v < n]
        if not beyond:
            self.values = list(range(n))
        elif beyond == void and len(found) > 2 and (len(found) != n or self.void is not None):
            self.values = list(range(n))
            if self.void is None:
                note(f"The masks hold {VOID}, which is no class: it doesn't count. void= says so.")
        elif n == len(found) == 2 and found[0] == 0:
            self.values = found
            names = self.codes or []
            note(f"The masks hold 0 and {found[1]}: 0 is {names[0]!r}, {found[1]} is {names[1]!r}. values= says otherwise.")
        else:
            often = all(len(masks_with(v)) > 1 for v in beyond)  # in one mask alone a number is rather a slip than a class
            fitting = f" In the order of the codes: values={found}." if len(found) == n and often else ""
            raise DataError(
                f"The masks hold the numbers {listed(found, 20)}, and there are {n} codes, for 0 to {n - 1}: {self._example(beyond[0], masks_with(beyond[0]))}. Name all classes in "
                f"codes, say which number each has (values=), or what doesn't count (void=), or mend the mask.{fitting}"
            )

    def _example(self, number: int, masks: list[Any]) -> str:
        """Where a number is found in masks."""
        numbers = self.numbers_of(masks[0])
        at = np.argwhere(numbers == number)
        y, x = at[0].tolist()
        return f"{number} is in {len(masks)} of the masks that were looked at, in {_called(masks[0])} at x={x}, y={y} ({len(at)} pixel(s) in all)"

    def check(self, raws: Sequence[Any], rows: Sequence[object], split: str) -> None:
        empty = [row for raw, row in zip(raws, rows, strict=True) if is_missing(raw)]
        if empty:
            raise DataError(f"{len(empty)} row(s) of the {split} split have no mask: {listed(empty)}. Give them one, or leave them out.")
        missing = [
            (raw, row) for raw, row in zip(raws, rows, strict=True) if isinstance(raw, (str, os.PathLike)) and not os.path.exists(raw)
        ]
        if missing:
            raise FileNotFoundError(
                f"{len(missing)} of {len(raws)} masks of the {split} split don't exist, for example: {listed((f'{raw} (of {row})' for raw, row in missing), 3)}. "
                "Check the function that names them (label_func, get_y), and the folder and ending that it puts together."
            )

    # -- opening ----------------------------------------------------------------------------------------------------
    def open(self, raw: Any) -> Any:
        from torchvision import tv_tensors

        codes = self._of_colours(raw) if self.palette is not None else self._of_numbers(raw)
        return tv_tensors.Mask(torch.from_numpy(codes))

    def opening(self) -> str:
        return f"{self.codes} {self.values} {self.palette} {self.void}"

    def _of_numbers(self, raw: Any) -> np.ndarray:
        if self.values is None:
            raise DataError(
                "This MaskBlock doesn't know yet what its masks hold: it learns it from the training rows, when DataLoaders are made."
            )
        numbers = self.numbers_of(raw)
        table, low = self._lookup()
        places = numbers.astype(np.int64) - low
        inside = (places >= 0) & (places < len(table))
        codes = np.where(inside, table[np.where(inside, places, 0)], -1)
        if (codes < 0).any():
            y, x = (int(v[0]) for v in np.nonzero(codes < 0))
            raise DataError(
                f"{_called(raw)} holds {int(numbers[y, x])} (at x={x}, y={y}), which is none of its {len(self.values)} classes: "
                f"{listed((f'{v} {c!r}' for v, c in zip(self.values, self.codes or [], strict=True)), 12)}. Name it in codes, or say void={int(numbers[y, x])}."
            )
        return codes.astype(np.uint8)

    def _lookup(self) -> tuple[np.ndarray, int]:
        """From numbers (less the lowest) to codes; -1 for what is none."""
        values = self.values or []
        outside = VOID if self.void is None and VOID not in values else self.void if isinstance(self.void, int) else None
        ends = [*values, *([] if outside is None else [outside])]
        low = min(ends)
        if self._table is None or len(self._table) != max(ends) - low + 1:
            table = np.full(max(ends) - low + 1, -1, dtype=np.int64)
            table[np.array(values) - low] = np.arange(len(values))
            if outside is not None:
                table[outside - low] = VOID
            if isinstance(self.void, str):
                table[values[(self.codes or []).index(self.void)] - low] = VOID
            self._table = table
        return self._table, low

    def numbers_of(self, raw: Any) -> np.ndarray:
        """The numbers that a mask holds ``(height, width)``."""
        if is_missing(raw):
            raise DataError("A picture has no mask where one is expected.")
        if isinstance(raw, (np.ndarray, Tensor)):
            return _as_numbers(raw)
        image = _opened(raw)
        if image.mode in ("RGB", "RGBA"):
            pixels = np.asarray(image)[..., :3]
            if (pixels == pixels[..., :1]).all():
                return pixels[..., 0]
            colours = np.unique(pixels.reshape(-1, 3)[:: max(1, pixels.size // 300_000)], axis=0)
            raise DataError(
                f"{_called(raw)} is a coloured mask ({len(colours)} colours, such as {listed((tuple(c) for c in colours.tolist()), 3)}): say which class has "
                "which colour: MaskBlock(palette={'background': (0, 0, 0), ...})."
            )
        if image.mode not in ("L", "P", "1", "I", "LA") and not image.mode.startswith("I;16"):
            raise DataError(
                f"{_called(raw)} is a picture of mode {image.mode!r}, which is no mask. Expected grey, indexed or coloured PNGs."
            )
        pixels = np.asarray(image.getchannel(0) if image.mode == "LA" else image)
        return pixels.astype(np.uint8) if image.mode == "1" else pixels

    def _of_colours(self, raw: Any) -> np.ndarray:
        palette = self.palette or []
        pixels = np.asarray(raw) if isinstance(raw, np.ndarray) else np.asarray(_opened(raw).convert("RGB"))
        if pixels.ndim != 3 or pixels.shape[2] < 3:
            raise DataError(f"{_called(raw)} is an array of shape {pixels.shape}; with a palette (height, width, 3) is expected.")
        if not np.issubdtype(pixels.dtype, np.integer):
            raise DataError(
                f"{_called(raw)} is an array of {pixels.dtype}, and the colours of a palette are whole numbers, 0 to 255. An array from 0 to 1 (as matplotlib reads pictures) times 255, rounded, has them."
            )
        keys = (pixels[..., :3].astype(np.int64) * (65536, 256, 1)).sum(-1)
        known = np.array([r * 65536 + g * 256 + b for r, g, b in palette])
        order = np.argsort(known)
        at = np.minimum(np.searchsorted(known[order], keys), len(known) - 1)
        wrong = known[order][at] != keys
        if wrong.any():
            y, x = (int(v[0]) for v in np.nonzero(wrong))
            raise DataError(
                f"{_called(raw)} has the colour {tuple(pixels[y, x, :3].tolist())} (at x={x}, y={y}; {int(wrong.sum())} of {wrong.size} pixels are of no colour of the "
                f"palette). Name it in palette, or mend the mask: softened edges and JPEG compression make such colours."
            )
        codes = order[at]
        if isinstance(self.void, str):
            codes = np.where(codes == (self.codes or []).index(self.void), VOID, codes)
        return codes.astype(np.uint8)

    def labels_in(self, raw: Any) -> list[Any]:
        """The classes of a mask's pixels. Reads the mask."""
        numbers = np.unique(self.decode(self.encode(self.open(raw))))
        return [(self.codes or [])[i] for i in numbers.tolist() if i != VOID]

    # -- tensors ------------------------------------------------------------------------------------------------------
    def encode(self, value: Any) -> Tensor:
        if not isinstance(value, Tensor):
            value = self.open(value)
        plain = value.as_subclass(Tensor)
        plain = plain[0] if plain.ndim == 3 and len(plain) == 1 else plain
        if plain.ndim != 2:
            raise DataError(
                f"After the item transforms a mask must be (height, width); it is {tuple(plain.shape)}. Check what the transforms return."
            )
        return plain.to(torch.uint8)

    def collate(self, items: list[Tensor]) -> Tensor:
        if len({item.shape for item in items}) > 1:
            sizes = sorted({f"{item.shape[1]}x{item.shape[0]}" for item in items})
            raise DataError(
                f"The masks of a batch have different sizes (width x height: {listed(sizes)}), so they can't be put together. Add item_tfms=Resize(224), or another size that suits them."
            )
        return torch.stack(items)

    def on_device(self) -> nn.Module:
        return FinishedMasks()

    def decode(self, encoded: Tensor) -> np.ndarray:
        """Class numbers ``(height, width)`` uint8, 255 for what doesn't count."""
        plain = encoded.detach().as_subclass(Tensor).cpu()
        return torch.where(plain < 0, VOID, plain).to(torch.uint8).numpy()

    def draw(self, value: Any, ax: Any, title: str | None = None) -> None:
        """Over what is drawn already, half transparent, each class in its colour."""
        from burnish.vision.drawing import draw_mask

        draw_mask(np.asarray(value), self.codes or [], ax)
        if title is not None:
            ax.set_title(title)

    def say(self, value: Any) -> str:
        numbers, counts = np.unique(np.asarray(value)[np.asarray(value) != VOID], return_counts=True)
        ranked = sorted(zip(counts.tolist(), numbers.tolist(), strict=True), reverse=True)
        shares = [(n / counts.sum(), (self.codes or [])[i]) for n, i in ranked[:4]]
        return ", ".join(f"{code} {share:.0%}" for share, code in shares if share >= 0.005 or share == shares[0][0]) or "(nothing)"

    def as_picture(self, mask: Any) -> Image.Image:
        """A predicted mask (class numbers) as a picture to save: with the numbers, or the colours, of the masks that it was learned from; an indexed one has the
        colours of the figures."""
        from burnish.vision.drawing import colours_of

        classes, known = np.asarray(mask).astype(np.int64), np.asarray(mask) != VOID
        if self.palette is not None:
            return Image.fromarray(
                np.where(known[..., None], np.array(self.palette, np.uint8)[np.where(known, classes, 0)], 255).astype(np.uint8)
            )
        values = np.array(self.values if self.values is not None else range(self.n_out))
        numbers = np.where(known, values[np.where(known, classes, 0)], VOID)
        if values.max() > VOID:
            return Image.fromarray(numbers.astype(np.uint16))
        made = Image.fromarray(numbers.astype(np.uint8), "P")
        colours = np.full((256, 3), 255, np.uint8)
        colours[values] = (colours_of(len(values))[:, :3] * 255).round().astype(np.uint8)
        made.putpalette(colours.reshape(-1).tolist())
        return made

    def cells(self, label: Any) -> dict[str, Any]:
        numbers, codes = np.asarray(label), self.codes or []
        return {"label": self.say(label), **{f"share of {code}": float((numbers == i).mean()) for i, code in enumerate(codes)}}

    # -- as a target --------------------------------------------------------------------------------------------------
    @property
    def n_out(self) -> int:
        if self.codes is None:
            raise DataError("This MaskBlock has no classes yet: it learns them from the training rows, when DataLoaders are made.")
        return len(self.codes)

    def class_counts(self, raws: Sequence[Any]) -> np.ndarray:
        """Pixels of each class, in some hundred masks from all over the rows."""
        some = list(raws)[:: max(1, -(-len(raws) // _MOST_LOOKED_AT))]
        numbers = in_parallel(
            lambda raw: np.bincount(self.encode(self.open(raw)).numpy().reshape(-1), minlength=VOID + 1)[: self.n_out], some, chunk=4
        )
        return np.sum(list(numbers), axis=0)

    def loss(self) -> nn.Module:
        return PixelCrossEntropy()

    def activation(self, output: Tensor) -> Tensor:
        if output.ndim != 4 or output.shape[1] != self.n_out:
            raise DataError(
                f"The model's outputs {tuple(output.shape)} are no probabilities of {self.n_out} classes for every pixel, (batch, {self.n_out}, height, width). "
                "get_preds(act=torch.nn.Identity()) gives them as they are; a loss with `activation` and `decodes` of its own says what they mean."
            )
        return output.float().softmax(dim=1)

    def decide(self, preds: Tensor) -> Tensor:
        return preds.argmax(dim=1)

    # -- predictions of the size of their pictures --------------------------------------------------------------------
    def in_source(self, answer: Answer, dls: DataLoaders, item: Any) -> Answer:
        return self._decided(frame_of(dls, picture_of(dls, item).size).planes(answer[1]))

    def predict_items(self, dls: DataLoaders, items: list[Any], run: Callable[[list[Any]], list[Answer]]) -> list[Answer]:
        """Masks of the size of their pictures. Where the transforms cut pictures, or they are large, they are predicted in overlapping windows, at the
        scale at which the model learned."""
        pictures = [picture_of(dls, item) for item in items]
        frames = {size: frame_of(dls, size) for size in {p.size for p in pictures}}
        windows = {size: windows_of(dls, frame) if len(dls.input_blocks) == 1 else None for size, frame in frames.items()}
        whole = [i for i, picture in enumerate(pictures) if windows[picture.size] is None]
        said = dict(zip(whole, run([items[i] for i in whole]) if whole else [], strict=True))
        made: list[Answer] = []
        for i, picture in enumerate(pictures):
            window = windows[picture.size]
            if window is None:
                made.append(self._decided(frames[picture.size].planes(said.pop(i)[1])))
            else:
                made.append(self._decided(predict_windows(picture, window, lambda some: [preds for _, preds in run(some)])))
        return made

    def tracer(self) -> tuple[Block, Any]:
        return corner_tracer()

    def moved(self, preds: Tensor, traced: Tensor, plain: Tensor) -> tuple[Tensor, Tensor]:
        return moved_planes(preds, homographies(plain, traced))

    def _decided(self, preds: Tensor) -> Answer:
        return self.decide(preds[None])[0], preds


def _opened(raw: Any) -> Image.Image:
    """A mask's picture with its own numbers; nothing of a file whose numbers have been changed."""
    if isinstance(raw, Image.Image):
        return _not_lossy(raw, raw.format in _LOSSY)
    if not isinstance(raw, (str, os.PathLike, bytes)):
        raise DataError(f"A mask was expected (a path, a PIL image, an array), but got {raw!r} of type {type(raw).__name__}.")
    image = load_image(io.BytesIO(raw) if isinstance(raw, bytes) else raw)
    return _not_lossy(image, getattr(image, "format", None) in _LOSSY or _is_jpeg(raw), raw)


def _not_lossy(image: Image.Image, lossy: bool, raw: Any = None) -> Image.Image:
    if lossy:
        raw = image if raw is None else raw
        raise DataError(
            f"{_called(raw)} is a JPEG, whose compression changes the numbers of the classes, so it can't be a mask. Save masks as PNG from the start: "
            "made from this file, edges between classes stay wrong."
        )
    return image


def _is_jpeg(raw: Any) -> bool:
    if isinstance(raw, bytes):
        return raw.startswith(b"\xff\xd8\xff")
    with open(raw, "rb") as file:
        return file.read(3) == b"\xff\xd8\xff"


def _as_numbers(raw: Any) -> np.ndarray:
    numbers = raw.detach().cpu().numpy() if isinstance(raw, Tensor) else raw
    numbers = (
        numbers[0]
        if numbers.ndim == 3 and len(numbers) == 1
        else numbers[..., 0]
        if numbers.ndim == 3 and numbers.shape[-1] == 1
        else numbers
    )
    if numbers.ndim != 2 or not (np.issubdtype(numbers.dtype, np.integer) or numbers.dtype == bool):
        raise DataError(
            f"An array of {numbers.dtype} and shape {numbers.shape} is no mask: expected whole numbers (height, width), the class of each pixel."
        )
    return numbers.astype(np.uint8) if numbers.dtype == bool else numbers


def _called(raw: Any) -> str:
    return str(raw) if isinstance(raw, (str, Path)) else "The mask given"


def _checked_palette(palette: Sequence[Sequence[int]] | Mapping[str, Sequence[int]], codes: Sequence[str] | None) -> list[list[int]]:
    """The colours in the order of the codes.

    Raises:
        SettingError: they are no colours, or not one a code.
    """
    if isinstance(palette, Mapping):
        missing = [code for code in codes or [] if code not in palette]
        if missing or len(palette) != len(codes or []):
            raise SettingError(
                f"palette has the classes {listed(palette, 12)}, and the codes are {listed(codes or [], 12)}: give each code its colour."
            )
        palette = [palette[code] for code in codes or []]
    colours = [[int(v) for v in colour] for colour in palette]
    if any(len(c) != 3 or not all(0 <= v <= 255 for v in c) for c in colours) or len({tuple(c) for c in colours}) < len(colours):
        raise SettingError(f"palette={colours}: expected another colour (red, green, blue), each 0 to 255, for every class.")
    if codes is None or len(colours) != len(codes):
        raise SettingError(f"palette has {len(colours)} colours for {len(codes or [])} codes: one for each is needed, in their order.")
    return colours
