"""What a model that has learned nothing would score: always the most frequent class, or always the mean.

A constant answer to classes is training's most frequent one, or that of the samples judged on, whichever is right more often
there. The baseline is written as constant raw outputs (the logarithm of how frequent each class is in training, or the mean), so
that every metric and the loss can be computed for it as for a model.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from burnish.errors import DataError, short
from burnish.evaluate.intervals import evaluated
from burnish.evaluate.losses import weights_of_classes
from burnish.evaluate.metrics import resolve_metrics
from burnish.evaluate.outcome import SPLITS, TARGET_KINDS, split_name
from burnish.evaluate.points import seen
from burnish.train.guards import compute_loss


class Baseline:
    """A constant prediction.

    Attributes:
        output: the raw output for one sample ``(classes,)``, ``(labels,)`` or ``(numbers,)``.
        says: what it does, in words: "always answering 'cat'".

    Args:
        targets: encoded targets of the training samples, the samples first.
        kind: "category", "labels" or "numbers".
        vocab: the names of the classes, for the words.
        n_out: how many classes there are; by default as many as `vocab` names or `targets` hold.
    """

    def __init__(self, targets: Tensor, kind: str, vocab: Sequence[Any] | None = None, n_out: int | None = None) -> None:
        if kind not in TARGET_KINDS.values():
            raise DataError(f"There is no baseline for targets of the kind {kind!r}; there is for category, labels and numbers.")
        if not len(targets):
            raise DataError("There is no baseline without training targets.")
        self.kind, self.vocab = kind, vocab
        self.output, self.says = getattr(self, f"_{kind}")(targets, vocab, n_out)

    def _category(self, targets: Tensor, vocab: Sequence[Any] | None, n_out: int | None) -> tuple[Tensor, str]:
        classes = n_out or (len(vocab) if vocab is not None else max(2, int(targets.max()) + 1))
        counts = torch.bincount(targets.reshape(-1).long(), minlength=classes).float()
        most = int(counts.argmax())
        return (
            (counts + 1) / (counts + 1).sum()
        ).log(), f"always answering {vocab[most]!r}" if vocab is not None else f"always answering class {most}"

    def _labels(self, targets: Tensor, vocab: Sequence[Any] | None, n_out: int | None) -> tuple[Tensor, str]:
        flat = targets.reshape(len(targets), -1).float()
        share = (flat.sum(0) + 0.5) / (len(flat) + 1)
        given = [str(vocab[i]) if vocab is not None else f"label {i}" for i in (share > 0.5).nonzero().flatten().tolist()]
        return share.logit().reshape(targets.shape[1:]), f"always answering {' and '.join(given) or 'no label'}"

    def _numbers(self, targets: Tensor, vocab: Sequence[Any] | None, n_out: int | None) -> tuple[Tensor, str]:
        mean = targets.double().mean(0).float()
        shown = ", ".join(short(v) for v in mean.reshape(-1).tolist()[:4])
        return mean, f"always answering the mean ({shown})"

    def on(self, targets: Tensor) -> Baseline:
        """The constant answer to compare a result on these targets with.

        Always answering training's most frequent class scores less than guessing where that class is rare among `targets`; a
        result isn't to be praised for beating that. Then it is `targets`' own most frequent class (the no-information rate).
        """
        if self.kind != "category" or not len(targets):
            return self
        own = Baseline(targets, self.kind, self.vocab, len(self.output))
        hits = [(targets.reshape(-1) == base.output.argmax()).sum() for base in (self, own)]
        own.says += " (the most frequent class here)"
        return own if hits[1] > hits[0] else self

    def outputs(self, n: int) -> Tensor:
        """The constant output for `n` samples ``(n, ...)``."""
        return self.output.expand(n, *self.output.shape).clone()

    def value(self, metric: Any, targets: Tensor) -> float:
        """A metric (name, function or Metric) of the constant prediction; nan where it doesn't exist (a correlation, say)."""
        try:
            return evaluated(copy.copy(resolve_metrics(metric)[0]), self.outputs(len(targets)), targets)
        except Exception:  # a user's metric may raise anything where it has no value
            return math.nan

    def loss(self, loss_func: Any, targets: Tensor) -> float:
        """A loss of the constant prediction; nan where the loss can't be computed for it. With class weights the constant is the
        one that they make best: the classes' frequencies times their weights."""
        device = next(iter(loss_func.buffers()), targets).device if isinstance(loss_func, nn.Module) else targets.device
        output, weight = self.outputs(len(targets)), weights_of_classes(loss_func)
        if weight is not None and output.shape[1:] == weight.shape:
            output = output + weight.to(output).clamp(min=1e-6).log()
        try:
            with torch.no_grad():
                return float(compute_loss(loss_func, output.to(device), (targets.to(device),)).double().mean())
        except ValueError:
            return math.nan

    def __repr__(self) -> str:
        return f"Baseline({self.says})"


class PlacesBaseline(Baseline):
    """The baseline of points: each point's mean place in the pictures that are judged, as those of the training rows aren't known before their pictures are read."""

    def __init__(self, output: Tensor | None = None) -> None:
        self.kind, self.vocab, self.output = "places", None, torch.zeros(0) if output is None else output
        self.says = "always answering each point's mean place here"

    def on(self, targets: Tensor) -> Baseline:
        return PlacesBaseline(torch.where(seen(targets)[..., None], targets, torch.nan).nanmean(0).nan_to_num())

    def loss(self, loss_func: Any, targets: Tensor) -> float:
        return super().loss(loss_func, targets) if self.output.numel() else self.on(targets).loss(loss_func, targets)


def training_targets(dls: Any) -> Tensor | None:
    """The encoded targets of the training rows ``(samples, ...)``, from the table: no file is read. None where they
    aren't in a table, are several, or must be opened (masks)."""
    targets = list(getattr(dls, "target_blocks", None) or [])
    if len(targets) != 1 or "split" not in dls.table or targets[0].kind not in TARGET_KINDS or not (dls.table["split"] == "train").any():
        return None
    return dls.targets_of("train")[0]


def baseline_of(dls: Any) -> Baseline | None:
    """The baseline that the training split gives; None for targets without one (masks, plain loaders)."""
    if [block.kind for block in getattr(dls, "target_blocks", None) or []] == ["points"]:
        return PlacesBaseline()
    targets = training_targets(dls)
    if targets is None:
        return None
    block = dls.target_blocks[0]
    return Baseline(targets, TARGET_KINDS[block.kind], getattr(block, "vocab", None), getattr(block, "n_out", None))


def baseline(dls: Any, split: int | str = "valid", metrics: Any = None) -> dict[str, float]:
    """What always giving the most frequent class (or the mean) scores on `split`: training's, or `split`'s own where that
    scores higher.

    Args:
        metrics: names, functions or Metrics; the target block's own by default.

    Returns: metric name -> value; nan where the metric doesn't exist for a constant.

    Raises:
        DataError: the data set has no table, or its target has no baseline.
    """
    found = baseline_of(dls)
    if found is None or found.kind == "places":
        raise DataError(
            "There is no baseline for these DataLoaders: they need a table with one target that is a category, labels or a number."
        )
    block = dls.target_blocks[0]
    if not (dls.table["split"] == split_name(split)).any():
        raise DataError(
            f"The table has no rows in the {split_name(split)} split (it has {', '.join(s for s in SPLITS if (dls.table['split'] == s).any())})."
        )
    targets = dls.targets_of(split_name(split))[0]
    chosen = resolve_metrics(list(block.metrics) if metrics is None else metrics)
    best = found.on(targets)
    return {m.name: best.value(m, targets) for m in chosen}
