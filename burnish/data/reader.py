"""From a row of the table to encoded tensors: open, deterministic transforms, [cache], drawn transforms, encode."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from torch import Tensor

from burnish import __version__
from burnish.data.apart import SHARES_GEOMETRY, apart, is_own
from burnish.data.block import Block
from burnish.data.cache import ItemCache
from burnish.data.randomness import own_globals, reseed_globals
from burnish.data.transforms import ItemTransform, Size, Values
from burnish.errors import DataError


class Reader:
    """Reads samples for one purpose (training, or validation and prediction).

    Args:
        blocks: the blocks of the columns to read, inputs first.
        item_tfms: applied in order, each in two stages (see ItemTransform.stages).
        train: whether train-only transforms take part and parameters are drawn.
        cache: where the result of the leading deterministic stages is kept, or None.

    Attributes:
        fixed, drawn, held: the stages in order: deterministic ones that the cache may hold; those that run in the reading
            threads; and, from the first that may draw from the process's own generators on, those that run in the thread
            that asks for the batch.
    """

    def __init__(self, blocks: Sequence[Block], item_tfms: Sequence[ItemTransform], train: bool, cache: ItemCache | None = None) -> None:
        self.blocks, self.train, self.cache = list(blocks), train, cache
        self.item_tfms = [t for t in item_tfms if train or t.when != "train"]
        self.fixed, self.drawn, self.held = _lay_out(self.item_tfms)
        hinted = any(b.takes_size_hint for b in blocks) and not any(b.kind in SHARES_GEOMETRY for b in blocks)
        self._share_geometry = any(b.kind == "mask" for b in blocks)
        self._apart = apart([b.kind for b in blocks])
        self.size_hint = self.item_tfms[0].decode_size if hinted and self.item_tfms else None
        rest = [*self.drawn, *self.held]
        self._copy_cached = any(type(t).__module__ != "burnish.vision.transforms" for t in rest)
        self._opened = [type(b).open is not Block.open for b in self.blocks]
        opening = [b for b in self.blocks if type(b).open is not Block.open]
        self._parted = any(b.n_values > 1 for b in self.blocks)
        self._pixels = all(vars(type(t)).get("takes_pixels") for t in rest) and all(b.takes_pixels for b in opening)

    def open(self, raws: Values) -> Values:
        """Raw cells as values: what a person recognises (a picture, a label)."""
        opened: list[Any] = []
        picture: Size | None = None
        for block, raw in zip(self.blocks, raws, strict=True):
            if block.takes_picture_size:
                opened.append(_opened_on(block, raw, picture, raws))
            elif block.takes_size_hint and self.size_hint:
                opened.append(block.open(raw, size_hint=self.size_hint))  # pyright: ignore[reportCallIssue]
            else:
                opened.append(block.open(raw))
            if block.kind == "image":
                picture = getattr(opened[-1], "size", None)  # PIL's
        return tuple(opened)

    def prepare(self, raws: Values) -> Values:
        """The deterministic part: opened, and through the leading transforms that draw nothing; cached when it may be."""
        if self.cache is None:
            return self._prepare(raws)
        return self.cache.get(raws, lambda: self._prepare(raws), copy=self._copy_cached, pixels=self._pixels, opened=self._opened)

    def _prepare(self, raws: Values) -> Values:
        values = self.open(raws)
        if self._share_geometry:
            _check_sizes(self.blocks, raws, values)
        return self.through(self.fixed, values, None)

    def start(self, raws: Values, rng: random.Random | None) -> Values:
        """What the reading threads do of one sample's transforms. `rng` is None for validation and prediction."""
        return self.through(self.drawn, self.prepare(raws), rng)

    def through(self, tfms: Sequence[ItemTransform], values: Values, rng: random.Random | None) -> Values:
        """The values of a sample, one a block, after some transforms; of a block that has several they see each."""
        if not tfms:
            return values
        if self._parted:
            values = tuple(part for b, value in zip(self.blocks, values, strict=True) for part in (value if b.n_values > 1 else (value,)))
        for tfm in tfms:
            values = self._applied(tfm, values, rng)
        if not self._parted:
            return values
        parts = iter(values)
        return tuple(tuple(next(parts) for _ in range(b.n_values)) if b.n_values > 1 else next(parts) for b in self.blocks)

    def _applied(self, tfm: ItemTransform, values: Values, rng: random.Random | None) -> Values:
        """A transform's work on a sample; on each picture of several, with draws of its own (see ``apart``)."""
        if self._apart is None or not is_own(tfm):
            return tfm.apply(values, rng)
        out = list(values)
        for i in self._apart:
            out[i] = tfm.apply((values[i],), rng)[0]
        return tuple(out)

    def end(self, values: Values, rng: random.Random | None, seed: int) -> tuple[Tensor, ...]:
        """The rest: transforms that may draw from the process's generators, seeded with `seed`; then encoded tensors,
        without batch dimension. Where anything is ``held``, only for the thread that asks for the batch, inside ``borrowing``."""
        if self.held:
            reseed_globals(seed)
        values = self.through(self.held, values, rng)
        return tuple(b.encode(v) for b, v in zip(self.blocks, values, strict=True))

    def borrowing(self) -> AbstractContextManager[None]:
        """Around ``end``, for as many samples as there are: the process's generators are as before afterwards."""
        return own_globals(0 if self.held else None)

    def settings(self) -> str:
        """What the cached part depends on besides the raw cell: part of the cache's key."""
        blocks = [f"{type(b).__module__}.{type(b).__qualname__} {b.kind} {b.opening()}" for b in self.blocks]
        hint = (self.item_tfms[0].cache_key() or repr(self.item_tfms[0])) if self.size_hint else None
        return f"burnish {__version__} {blocks} {hint} {[t.cache_key() for t in self.fixed]}"


def _opened_on(block: Block, raw: Any, size: Size | None, raws: Values) -> Any:
    """What lies in a picture of `size`, opened; an error names the sample."""
    try:
        return block.open(raw, size=size)  # pyright: ignore[reportCallIssue]
    except DataError as error:
        file = next((str(r) for r in raws if isinstance(r, (str, Path))), None)
        if file is None or type(error) is not DataError:
            raise
        raise DataError(f"{file}: {error}") from error


def _check_sizes(blocks: Sequence[Block], raws: Values, values: Values) -> None:
    """Raises DataError if a mask has another size than the picture before it."""
    picture: tuple[Any, int, int] | None = None
    for block, raw, value in zip(blocks, raws, values, strict=True):
        if block.kind == "image":
            size = getattr(value, "size", None)
            picture = (raw, *size) if isinstance(size, tuple) else None  # PIL's
        elif block.kind == "mask" and picture is not None:
            height, width = value.shape[-2:]
            if (width, height) != picture[1:]:
                turned = (height, width) == picture[1:]
                hint = (
                    "one of them lies on its side: is the picture turned by its EXIF orientation, and the mask not?"
                    if turned
                    else "are they of one sample?"
                )
                raise DataError(
                    f"{raw if isinstance(raw, (str, Path)) else 'A mask'} is {width} x {height} pixels (width x height), and its picture {picture[0]} {picture[1]} x {picture[2]}: "
                    f"a mask must have the size of its picture; {hint}"
                )


def _lay_out(tfms: Sequence[ItemTransform]) -> tuple[list[ItemTransform], list[ItemTransform], list[ItemTransform]]:
    """All transforms' stages end to end: the leading deterministic ones that the cache can know, the others up to the first
    that may draw from the process's generators, and the rest."""
    fixed: list[ItemTransform] = []
    drawn: list[ItemTransform] = []
    held: list[ItemTransform] = []
    for tfm in tfms:
        first, second = tfm.stages()
        for stage in (first, second):
            if stage is None:
                continue
            if held or stage.draws_globally:
                held.append(stage)
            elif drawn or stage is second or stage.cache_key() is None:
                drawn.append(stage)
            else:
                fixed.append(stage)
    return fixed, drawn, held


def describe_failure(raw: Any, error: BaseException) -> str:
    """`path: why` for what is a file, where the error's own message doesn't name the path already."""
    text = str(error) or type(error).__name__
    return f"{raw}: {text}" if isinstance(raw, (str, Path)) and str(raw) not in text else text
