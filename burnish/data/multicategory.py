"""MultiCategoryBlock: any number of labels out of a fixed list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from burnish.data.block import Block
from burnish.data.category import plain_label
from burnish.data.label import is_missing
from burnish.data.notes import note
from burnish.errors import DataError, SettingError, listed, nearest

_DELIMITERS = (";", "|", ",", " ")
_RAREST = 0.001  # share of the samples: no label begins as rarer, or as more usual


class HeldOut(NamedTuple):
    """For each of the rows that thresholds were chosen on, thresholds that were chosen without it, to judge it by.

    Attributes:
        split: which the rows are of. rows: their places in ``dls.table``. thresholds: ``(rows, labels)``.
    """

    split: str
    rows: np.ndarray
    thresholds: np.ndarray


class MultiCategoryBlock(Block):
    """Several labels per sample, or none: encoded as 0 and 1 for each label of ``vocab``.

    Args:
        encoded: raw cells are rows of 0 and 1, one a label of `vocab`, instead of the labels themselves.
        vocab: the labels, in the order of the model's outputs; kept as given. None learns them from the training rows, sorted.
        add_na: labels that are not in the vocabulary are left out of a sample instead of being refused.
        delim: what stands between the labels of a sample where they come as one text ("cat;dog").
        thresholds: the probability above which each label is given, one a label; None is 0.5 for all. ``tune_thresholds`` chooses them on
            the rows that validate; they are kept in the exported model.

    Shapes: encode gives ``(labels,)``, collate ``(batch, labels)`` float32; ``activation`` maps logits ``(batch, labels)`` to a
    probability a label, ``decide`` to truth values.
    """

    kind: ClassVar[str] = "multicategory"
    name: ClassVar[str] = "labels"
    metrics: ClassVar[tuple[str, ...]] = ("accuracy_multi", "f1_score_multi", "average_precision_multi")

    def __init__(
        self,
        encoded: bool = False,
        vocab: Sequence[Any] | None = None,
        add_na: bool = False,
        *,
        delim: str | None = None,
        thresholds: Sequence[float] | None = None,
    ) -> None:
        if delim == "":
            raise SettingError("delim='' can't separate labels: give the text between them, such as ' ' or ';'.")
        if encoded and vocab is None:
            raise SettingError("MultiCategoryBlock(encoded=True) needs the names of the columns of 0 and 1: vocab=[...], in their order.")
        self.encoded, self.add_na, self.delim = encoded, add_na, delim
        self.vocab = None if vocab is None else [plain_label(v) for v in vocab]
        doubled = [v for v, n in Counter(self.vocab or []).items() if n > 1]
        if doubled:
            raise DataError(f"vocab names {listed(doubled)} more than once; each label may be there once.")
        self.thresholds = None if thresholds is None else checked_thresholds(thresholds, None if vocab is None else len(vocab))
        self.held_out: HeldOut | None = None
        self._index: dict[Any, int] | None = None
        self._shares: dict[Any, float] = {}  # of the training samples that have a label

    @property
    def index(self) -> dict[Any, int]:
        """Label to index."""
        if self.vocab is None:
            raise DataError(
                "This MultiCategoryBlock has no vocabulary yet: it learns it from the training rows, when DataLoaders are made."
            )
        if self._index is None or len(self._index) != len(self.vocab):
            self._index = {v: i for i, v in enumerate(self.vocab)}
        return self._index

    # -- from raw cells to labels ---------------------------------------------------------------------------------
    def open(self, raw: Any) -> list[Any]:
        """The labels of a sample, each once."""
        if is_missing(raw):
            raise DataError("A sample has no labels where they are expected: a sample that has none is given as [].")
        if self.encoded:
            return self._of_marks(raw)
        if isinstance(raw, str):
            parts = [raw] if self.delim is None else raw.split(self.delim)
            return list(dict.fromkeys(stripped for part in parts if (stripped := part.strip())))
        if isinstance(raw, np.ndarray):
            raw = raw.tolist()
        labels = [plain_label(label) for label in raw] if isinstance(raw, Iterable) and not isinstance(raw, dict) else [plain_label(raw)]
        odd = [label for label in labels if isinstance(label, (list, tuple, set, dict)) or is_missing(label)]
        if odd:
            raise DataError(f"{raw!r} is no list of labels: {odd[0]!r} is in it. Expected labels such as ['cat', 'dog'], or [].")
        return list(dict.fromkeys(labels))

    def _of_marks(self, raw: Any) -> list[Any]:
        marks = np.asarray(raw.tolist() if isinstance(raw, Tensor) else raw, dtype=object).reshape(-1)
        vocab = self.vocab or []
        if len(marks) != len(vocab) or any(mark not in (0, 1) for mark in marks):
            raise DataError(
                f"{raw!r} is no row of {len(vocab)} values 0 and 1, one a label ({listed(vocab, 6)}). "
                "Where cells hold the labels themselves: MultiCategoryBlock() without encoded=True."
            )
        return [label for label, mark in zip(vocab, marks, strict=True) if mark]

    def fit(self, raws: Sequence[Any]) -> None:
        opened = [self.open(raw) for raw in raws if not is_missing(raw)]
        if self.vocab is None:
            labels = list(dict.fromkeys(label for cell in opened for label in cell))
            if len({isinstance(label, str) for label in labels}) > 1:
                raise DataError(f"The labels mix texts and other things, for example {listed(map(repr, labels), 6)}: make them all texts.")
            if not labels:
                raise DataError("No sample that trains has a label, so there is nothing to learn. Check the labelling function.")
            self.vocab = sorted(labels)
            self._say_delimiter(raws)
        counts = Counter(label for cell in opened for label in cell)
        self._shares = {label: counts[label] / len(opened) for label in self.vocab}
        if none := sum(not cell for cell in opened):
            note(f"{none} of {len(opened)} samples that train have no label at all: taken as having none of the {len(self.vocab)}.")

    def _say_delimiter(self, raws: Sequence[Any]) -> None:
        """Says so where texts, each taken as one label, look like several labels in one."""
        texts = {raw for raw in raws if isinstance(raw, str)} if self.delim is None else set()
        for delim in _DELIMITERS:
            joined = [text for text in texts if delim in text.strip()]
            parts = Counter(part.strip() for text in texts for part in text.split(delim))
            if joined and sum(parts[part.strip()] > 1 for text in joined for part in text.split(delim)) > len(joined):
                note(
                    f"{len(joined)} of {len(texts)} different labels look like several in one ({joined[0]!r}), and were taken as one. If they are several: "
                    f"MultiCategoryBlock(delim={delim!r})."
                )
                return

    def check(self, raws: Sequence[Any], rows: Sequence[object], split: str) -> None:
        missing = [row for raw, row in zip(raws, rows, strict=True) if is_missing(raw)]
        if missing:
            raise DataError(
                f"{len(missing)} row(s) of the {split} split have no labels: {listed(missing)}. Fill them in ([] for a sample without any), or leave them out."
            )
        unknown: dict[Any, list[object]] = {}
        for raw, row in zip(raws, rows, strict=True):
            try:
                labels = self.open(raw)
            except DataError as error:
                raise DataError(f"{row}: {error}") from None
            for label in labels:
                if label not in self.index:
                    unknown.setdefault(label, []).append(row)
        if not unknown:
            return
        shown = "; ".join(f"{label!r} (rows: {listed(where, 3)})" for label, where in list(unknown.items())[:5])
        if self.add_na:
            note(f"{len(unknown)} label(s) in the {split} split are not known from training, and are left out there: {shown}.")
            return
        why = "only there and never in training" if split != "train" else "not in the vocab that was given"
        raise DataError(
            f"{len(unknown)} label(s) in the {split} split are {why}: {shown}. Known labels: {listed(self.vocab or [], 8)}. "
            "Leave out rare labels, give MultiCategoryBlock(vocab=[...]) all of them, or use MultiCategoryBlock(add_na=True)."
        )

    # -- tensors --------------------------------------------------------------------------------------------------
    def encode(self, value: Any) -> Tensor:
        out = torch.zeros(len(self.index))
        for label in value:
            position = self.index.get(label)
            if position is not None:
                out[position] = 1.0
            elif not self.add_na:
                raise DataError(
                    f"{label!r} is not one of the {len(self.index)} labels known from training ({listed(self.vocab or [], 8)})."
                    f"{nearest(str(label), map(str, self.vocab or []))}"
                )
        return out

    def decode(self, encoded: Tensor) -> list[Any]:
        return [label for label, there in zip(self.vocab or [], (encoded > 0.5).tolist(), strict=True) if there]

    def labels_in(self, raw: Any) -> list[Any]:
        return self.open(raw)

    def say(self, value: Any) -> str:
        return "; ".join(map(str, value)) if len(value) else "(none)"

    # -- as a target ------------------------------------------------------------------------------------------------
    @property
    def n_out(self) -> int:
        return len(self.index)

    def loss(self) -> nn.Module:
        return nn.BCEWithLogitsLoss()

    def prior(self) -> Tensor | None:
        """The log odds of each label in training: with few labels a sample, a model that begins at even odds has long to go
        (Lin et al. 2017, section 4.1)."""
        if not self._shares:
            return None
        return torch.logit(torch.tensor([self._shares[label] for label in self.vocab or []]).clamp(_RAREST, 1 - _RAREST))

    def activation(self, output: Tensor) -> Tensor:
        return output.float().sigmoid()

    def decide(self, preds: Tensor) -> Tensor:
        least = 0.5 if self.thresholds is None else torch.tensor(self.thresholds, dtype=preds.dtype, device=preds.device)
        return preds > least


def checked_thresholds(thresholds: Sequence[float], n: int | None) -> list[float]:
    """Thresholds as a list of floats.

    Raises:
        SettingError: one is no probability, or there are not `n` of them.
    """
    made = [float(t) for t in thresholds]
    if any(not 0 <= t <= 1 for t in made) or (n is not None and len(made) != n):
        raise SettingError(f"thresholds={made}: expected a probability (0 to 1) for each of the {n or ''} labels, in the order of vocab.")
    return made
