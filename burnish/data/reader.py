"""From a row of the table to encoded tensors: open, deterministic transforms, [cache], drawn transforms, encode."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from burnish.data.block import Block
from burnish.data.cache import ItemCache
from burnish.data.transforms import ItemTransform, Values
from burnish.errors import UnreadableFileError

SHARES_GEOMETRY = {"mask", "points", "boxes"}  # kinds whose coordinates belong to the picture at its full size


class Reader:
    """Reads samples for one purpose (training, or validation and prediction).

    Args:
        blocks: the blocks of the columns to read, inputs first.
        item_tfms: applied in order, each in two stages (see ItemTransform.stages).
        train: whether train-only transforms take part and parameters are drawn.
        cache: where the result of the leading deterministic stages is kept, or None.
    """

    def __init__(self, blocks: Sequence[Block], item_tfms: Sequence[ItemTransform], train: bool, cache: ItemCache | None = None) -> None:
        self.blocks, self.train, self.cache = list(blocks), train, cache
        self.item_tfms = [t for t in item_tfms if train or t.when != "train"]
        self.fixed, self.drawn = _lay_out(self.item_tfms)
        hinted = any(b.takes_size_hint for b in blocks) and not any(b.kind in SHARES_GEOMETRY for b in blocks)
        self.size_hint = self.item_tfms[0].decode_size if hinted and self.item_tfms else None
        self._copy_cached = any(type(t).__module__ != "burnish.vision.transforms" for t in self.drawn)

    def open(self, raws: Values) -> Values:
        """Raw cells as values: what a person recognises (a picture, a label)."""
        return tuple(
            b.open(r, size_hint=self.size_hint) if b.takes_size_hint and self.size_hint else b.open(r)  # pyright: ignore[reportCallIssue]
            for b, r in zip(self.blocks, raws, strict=True)
        )

    def prepare(self, raws: Values) -> Values:
        """The deterministic part: opened, and through the leading transforms that draw nothing; cached when it may be."""
        if self.cache is None:
            return self._prepare(raws)
        return self.cache.get(raws, lambda: self._prepare(raws), copy=self._copy_cached)

    def _prepare(self, raws: Values) -> Values:
        values = self.open(raws)
        for tfm in self.fixed:
            values = tfm.apply(values, None)
        return values

    def read(self, raws: Values, rng: random.Random | None) -> tuple[Tensor, ...]:
        """Encoded tensors of one sample, without batch dimension. `rng` is None for validation and prediction."""
        values = self.prepare(raws)
        for tfm in self.drawn:
            values = tfm.apply(values, rng)
        return tuple(b.encode(v) for b, v in zip(self.blocks, values, strict=True))

    def settings(self) -> str:
        """What the cached part depends on besides the raw cell: part of the cache's key."""
        kinds = [b.kind for b in self.blocks]
        return f"{kinds} {[getattr(b, 'mode', '') for b in self.blocks]} {self.fixed!r}"


def _lay_out(tfms: Sequence[ItemTransform]) -> tuple[list[ItemTransform], list[ItemTransform]]:
    """All transforms' stages end to end, cut after the leading deterministic ones."""
    fixed: list[ItemTransform] = []
    drawn: list[ItemTransform] = []
    for tfm in tfms:
        first, second = tfm.stages()
        if first is not None:
            (drawn if drawn else fixed).append(first)
        if second is not None:
            drawn.append(second)
    return fixed, drawn


def describe_failure(raw: Any, error: BaseException) -> str:
    """`path: why`, where the error's own message doesn't name the path already."""
    text = str(error) or type(error).__name__
    return text if str(raw) in text or not isinstance(error, UnreadableFileError) else f"{raw}: {text}"
