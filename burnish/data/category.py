"""CategoryBlock: one label out of a fixed list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from burnish.data.block import Block
from burnish.errors import DataError, listed, nearest


class CategoryBlock(Block):
    """A single label per sample, encoded as an int64 index into ``vocab``.

    Args:
        vocab: the labels, in the order of the model's outputs; kept as given. None learns it from the training rows.
        sort: sort a learned vocabulary (numbers as numbers); False keeps the order of appearance. An explicit vocab is
            never re-ordered.
        add_na: put "#na#" first (an explicit vocab may have it elsewhere) and encode unknown or missing labels as it,
            instead of refusing them.

    Shapes: encode gives ``()``, collate ``(batch,)`` int64; ``activation`` maps ``(batch, classes)`` logits to
    probabilities, ``decide`` to indices ``(batch,)``. Outputs beyond the classes stand for nothing: what a model gives to them
    is no prediction, and is missing in the sum of the probabilities.
    """

    kind: ClassVar[str] = "category"
    name: ClassVar[str] = "label"
    metrics: ClassVar[tuple[str, ...]] = ("accuracy",)

    def __init__(self, vocab: Sequence[Any] | None = None, sort: bool = True, add_na: bool = False) -> None:
        self.vocab = None if vocab is None else [plain_label(v) for v in vocab]
        self.sort, self.add_na = sort, add_na
        if self.vocab is not None:
            doubled = [v for v, n in Counter(self.vocab).items() if n > 1]
            if doubled:
                raise DataError(f"vocab names {listed(doubled)} more than once; each label may be there once.")
            if add_na and "#na#" not in self.vocab:
                self.vocab.insert(0, "#na#")
        self._index: dict[Any, int] | None = None
        self._encoded: tuple[Tensor, ...] = ()  # what every sample of a label is given: not to be written into

    @property
    def index(self) -> dict[Any, int]:
        """Label to index."""
        if self.vocab is None:
            raise DataError("This CategoryBlock has no vocabulary yet: it learns it from the training rows, when DataLoaders are made.")
        if self._index is None or len(self._index) != len(self.vocab):
            self._encoded = torch.arange(len(self.vocab)).unbind()  # first: other threads look at the index
            self._index = {v: i for i, v in enumerate(self.vocab)}
        return self._index

    def fit(self, raws: Sequence[Any]) -> None:
        if self.vocab is not None:
            return
        labels = [plain_label(r) for r in raws if not _missing(r)]
        odd = next((v for v in labels if isinstance(v, (list, tuple, set, dict))), None)
        if odd is not None:
            raise DataError(f"A category must be one label, but a row has {odd!r}. For several labels per sample use MultiCategoryBlock.")
        vocab = list(dict.fromkeys(labels))
        if self.sort:
            kinds = {type(v).__name__ for v in vocab if not isinstance(v, (int, float))} | (
                {"number"} if any(isinstance(v, (int, float)) for v in vocab) else set()
            )
            if len(kinds) > 1:
                raise DataError(
                    f"The labels mix types ({listed(sorted(kinds))}), for example {listed(map(repr, vocab))}, so they can't be sorted. Make them all strings, or pass CategoryBlock(sort=False)."
                )
            vocab.sort()
        self.vocab = (["#na#"] if self.add_na else []) + vocab

    def check(self, raws: Sequence[Any], rows: Sequence[object], split: str) -> None:
        if self.add_na:
            return
        missing = [rows[i] for i, r in enumerate(raws) if _missing(r)]
        if missing:
            raise DataError(
                f"{len(missing)} row(s) of the {split} split have no label: {listed(missing)}. Give them labels, leave them out, or use CategoryBlock(add_na=True)."
            )
        unknown: dict[Any, list[object]] = {}
        for raw, row in zip(raws, rows, strict=True):
            if plain_label(raw) not in self.index:
                unknown.setdefault(plain_label(raw), []).append(row)
        if unknown:
            shown = "; ".join(f"{label!r} (rows: {listed(where, 3)})" for label, where in list(unknown.items())[:5])
            why = "only there and never in training" if split != "train" else "not in the vocab that was given"
            raise DataError(
                f"{len(unknown)} label(s) in the {split} split are {why}: {shown}. Known labels: {listed(self.vocab or [], 8)}. "
                "Use a stratified split (TrainTestSplitter(stratify=True)), give CategoryBlock(vocab=[...]) all labels, or use CategoryBlock(add_na=True)."
            )

    def encode(self, value: Any) -> Tensor:
        index = self.index
        unknown = index["#na#"] if self.add_na else None
        position = unknown if unknown is not None and _missing(value) else index.get(plain_label(value), unknown)
        if position is None:
            raise DataError(
                f"{value!r} is not one of the {len(self.index)} labels known from training ({listed(self.vocab or [], 8)}).{nearest(str(value), map(str, self.vocab or []))}"
            )
        return self._encoded[position]

    def decode(self, encoded: Tensor) -> Any:
        return (self.vocab or [])[int(encoded)]

    @property
    def n_out(self) -> int:
        return len(self.index)

    def loss(self) -> nn.Module:
        return nn.CrossEntropyLoss()

    def activation(self, output: Tensor) -> Tensor:
        return output.float().softmax(dim=1)[:, : self.n_out]

    def decide(self, preds: Tensor) -> Tensor:
        return preds[:, : self.n_out].argmax(dim=1)


def plain_label(value: Any) -> Any:
    """numpy scalars as Python's, so that a vocabulary is JSON and compares well."""
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", 0) == 0 else value


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and value != value) or type(value).__name__ in ("NAType", "NaTType")
