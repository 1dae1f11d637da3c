"""Implicit feedback (views, clicks, purchases): what was done is liked better than what was not, and how high it ranks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from burnish.data.block import Block
from burnish.data.lazy import pd
from burnish.data.table import rows_of
from burnish.data.transforms import BatchTransform
from burnish.data.whole import checked_whole
from burnish.errors import DataError, SettingError
from burnish.evaluate.intervals import bootstrap_mean
from burnish.evaluate.outcome import split_name
from burnish.train.freezing import plain

if TYPE_CHECKING:
    from burnish.collab.learner import CollabLearner

_CHUNK = 256  # users whose scores of all items are made at a time


class InteractionBlock(Block):
    """That something was done, as a target: always 1. The loss compares it with what wasn't done."""

    kind: ClassVar[str] = "interaction"
    name: ClassVar[str] = "done"

    @property
    def n_out(self) -> int:
        return 1

    def encode(self, value: Any) -> Tensor:
        try:
            done = float(value) > 0
        except (TypeError, ValueError):
            done = False
        if not done:
            raise DataError(
                f"{value!r} is no interaction: each row is something that was done (1, or how often). Leave rows out where nothing was."
            )
        return torch.tensor(1.0)

    def encode_all(self, raws: Any) -> Tensor:
        return torch.ones(len(raws))

    def decode(self, encoded: Tensor) -> Any:
        return float(encoded.reshape(-1)[0])

    def loss(self) -> nn.Module:
        return PairLoss()


class PairLoss(nn.Module):
    """How much higher the item that was taken scores than others (Bayesian personalised ranking: Rendle et al. 2009).

    Outputs ``(batch, 1 + others)``: the score of what was taken, then those of others; with one score a row, the other rows' are the
    others. ln 2 is no better than chance.
    """

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = reduction

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        scores = output.reshape(len(target), -1)
        others = scores[:, 1:] if scores.shape[1] > 1 else scores.roll(1, 0)
        lost = F.softplus(others - scores[:, :1]).mean(1)
        if self.reduction == "none":
            return lost
        return lost.mean() if self.reduction == "mean" else lost.sum()


class OtherItems(BatchTransform):
    """Puts items beside the one that was taken, drawn at random: ``(batch, 2)`` codes to ``(batch, 2 + n)``.

    Args:
        n_items: items have the codes 1 ... n_items. n: how many others.
        seed: of the draws outside of training, which are the same every time.
    """

    def __init__(self, n_items: int, n: int = 4, seed: int = 0) -> None:
        super().__init__()
        self.n_items, self.n, self.seed = n_items, n, seed

    def apply(self, batch: list[Tensor], kinds: Sequence[str], rng: torch.Generator | None) -> list[Tensor]:
        if len(batch) < 2:  # pairs to predict
            return batch
        rng = rng or torch.Generator().manual_seed(self.seed)
        others = torch.randint(1, self.n_items + 1, (len(batch[0]), self.n), generator=rng).to(batch[0].device, non_blocking=True)
        return [torch.cat([batch[0], others], 1), *batch[1:]]


def ranking(learn: CollabLearner, split: int | str = "valid", k: int = 10) -> pd.DataFrame:
    """How high what people did next ranks among all items that they had not done before, and the same for ranking by popularity.

    Args:
        split: whose rows are to be found.
        k: how many items are shown.

    Returns: a row for the model and one for popularity: columns model, hit_rate (the share of the rows among the first `k`), ndcg
        (higher places count more: Jarvelin and Kekalainen 2002), both with NAME_low and NAME_high (95 % interval), and n (rows).
    """
    checked_whole("k", k, least=1)
    dls = learn.dls
    if dls.prepared is None:
        raise DataError("There are no rows to rank for: this learner was loaded from a file. Assign data first: learn.dls = dls.")
    codes = dls.prepared.tensors[0].long()
    train, judged = (codes[torch.from_numpy(rows_of(dls.table, name))] for name in ("train", split_name(split)))
    items = torch.arange(1, dls.features[1].unknown)
    judged = judged[(judged[:, 0] < dls.features[0].unknown) & (judged[:, 1] < dls.features[1].unknown)]
    if not len(judged):
        raise DataError(f"No row of the {split} split has a user and an item that training knows, so nothing can be ranked.")
    popular = torch.bincount(train[:, 1], minlength=len(items) + 1)[1 : len(items) + 1].float()
    places: dict[str, list[np.ndarray]] = {f"network ({learn.arch})": [], "the most popular": []}
    users = judged[:, 0].unique()
    for chunk in users.split(_CHUNK):
        mine, theirs = (t[torch.isin(t[:, 0], chunk)] for t in (judged, train))
        row = torch.searchsorted(chunk, mine[:, 0].contiguous())
        for name, scores in zip(places, (_scores(learn, chunk, items), popular.expand(len(chunk), -1).clone()), strict=True):
            wanted = scores[row, mine[:, 1] - 1]
            scores[torch.searchsorted(chunk, theirs[:, 0].contiguous()), theirs[:, 1] - 1] = -math.inf
            ahead = (scores[row] > wanted[:, None]).sum(1) + ((scores[row] == wanted[:, None]).sum(1) - 1).clamp(min=0) / 2
            places[name].append(ahead.numpy())
    return pd.DataFrame([_row(name, np.concatenate(found), k) for name, found in places.items()])


def _scores(learn: CollabLearner, users: Tensor, items: Tensor) -> Tensor:
    """Scores of all items for each user ``(users, items)``."""
    model = plain(learn.model).eval()
    with torch.no_grad():
        pairs = torch.stack([users.repeat_interleave(len(items)), items.repeat(len(users))], 1)
        return model(pairs.to(learn.device)).float().cpu().reshape(len(users), len(items))


def _row(name: str, ahead: np.ndarray, k: int) -> dict[str, Any]:
    hit = ahead < k
    gain = np.where(hit, 1 / np.log2(ahead + 2), 0.0)
    row: dict[str, Any] = {"model": name}
    for key, values in (("hit_rate", hit.astype(float)), ("ndcg", gain)):
        low, high = bootstrap_mean(values, method="percentile") if len(values) > 1 else (math.nan, math.nan)
        row |= {key: float(values.mean()), f"{key}_low": low, f"{key}_high": high}
    return {**row, "n": len(ahead)}


def check_implicit(rating_name: str | None, y_range: Any) -> None:
    """Raises SettingError where ratings are spoken of although there are none."""
    if rating_name is not None or y_range is not None:
        raise SettingError("implicit=True takes each row as something that was done, without a rating: leave out rating_name and y_range.")
