"""Implicit feedback (views, clicks, purchases): what was done is liked better than what was not, and how high it ranks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from burnish.collab.scores import scores_of
from burnish.data.block import Block
from burnish.data.lazy import pd
from burnish.data.notes import note
from burnish.data.randomness import derive
from burnish.data.table import rows_of
from burnish.data.transforms import BatchTransform
from burnish.data.whole import checked_whole
from burnish.errors import DataError, SettingError
from burnish.evaluate.intervals import bootstrap_mean
from burnish.evaluate.outcome import split_name
from burnish.train.turns import in_turn

if TYPE_CHECKING:
    from burnish.collab.dataloaders import CollabDataLoaders
    from burnish.collab.learner import CollabLearner

_SCORES = 2**22  # scores, of some users and all items, that are looked at at a time
_LOW = 2**62 - 1


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

    def activation(self, output: Tensor) -> Tensor:
        return output if output.ndim == 1 else output[:, 0]  # of what was done, without the items beside it

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
        seed: of the draws outside of training, which are the same every time: they follow from the pair alone, whatever batch it is in.
    """

    def __init__(self, n_items: int, n: int = 4, seed: int = 0) -> None:
        super().__init__()
        self.n_items, self.n, self.seed = n_items, n, seed

    def apply(self, batch: list[Tensor], kinds: Sequence[str], rng: torch.Generator | None) -> list[Tensor]:
        if len(batch) < 2:  # pairs to predict
            return batch
        if rng is None:
            others = self._of_pairs(batch[0])
        else:
            others = torch.randint(1, self.n_items + 1, (len(batch[0]), self.n), generator=rng).to(batch[0].device, non_blocking=True)
        return [torch.cat([batch[0], others], 1), *batch[1:]]

    def _of_pairs(self, pairs: Tensor) -> Tensor:
        """The items ``(batch, n)`` that go with pairs ``(batch, 2)``, drawn by a hash of seed, user, item and place."""
        users, items = pairs[:, :1].long(), pairs[:, 1:2].long()
        places = torch.arange(1, self.n + 1, device=pairs.device)
        mixed = _mixed(_mixed(_mixed(users + derive(self.seed, "others")) + items) + places)
        return (mixed & _LOW) % self.n_items + 1


def _mixed(x: Tensor) -> Tensor:
    """Whole numbers as others that look drawn (the last step of SplitMix64: Steele, Lea and Flood 2014), int64 that wraps around."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = (x ^ _shifted(x, shift)) * (factor - 2**64)
    return x ^ _shifted(x, 31)


def _shifted(x: Tensor, by: int) -> Tensor:
    return (x >> by) & (2 ** (64 - by) - 1)  # without the sign, which >> repeats


@in_turn
def ranking(learn: CollabLearner, split: int | str = "valid", k: int = 10) -> pd.DataFrame:
    """How high what people did next ranks among all items that they had not done before, and the same for ranking by popularity.

    Rows whose item the user had done before, and repeated rows, are no test of what comes next: they are left out, which is said.

    Args:
        split: whose rows are to be found. What was done before is what trains and, for "test", what validates too.
        k: how many items are shown.

    Returns: a row for the model and one for popularity: columns model, hit_rate (the share of the rows among the first `k`), ndcg
        (higher places count more: Jarvelin and Kekalainen 2002), both with NAME_low and NAME_high (95 % interval), and n (rows).
    """
    from burnish.evaluate.tables import Compared

    checked_whole("k", k, least=1)
    dls, name = learn.dls, split_name(split)
    if dls.prepared is None:
        raise DataError("There are no rows to rank for: this learner was loaded from a file. Assign data first: learn.dls = dls.")
    if not len(rows_of(dls.table, name)):
        raise DataError(
            f"There is no {name} split to rank the rows of. Make one: test_pct=0.1, or splitter=LastSplitter(user, time, test_n=1)."
        )
    train, judged = _known(dls, "train"), _known(dls, name)
    done = _known(dls, "train", "valid") if name == "test" else train
    if not len(judged):
        raise DataError(f"No row of the {name} split has a user and an item that training knows, so nothing can be ranked.")
    judged = _without_repeats(judged, done, len(dls.features[1].classes), name)
    items = torch.arange(1, dls.features[1].unknown)
    popular = torch.bincount(train[:, 1], minlength=len(items) + 1)[1:].float()
    places: dict[str, list[Tensor]] = {f"network ({learn.arch})": [], "the most popular": []}
    for chunk in judged[:, 0].unique().split(max(1, _SCORES // len(items))):
        mine, theirs = (_of_users(rows, chunk) for rows in (judged, done))
        for found, scores in zip(places.values(), (scores_of(learn, chunk, items), popular.repeat(len(chunk), 1)), strict=True):
            found.append(_ahead(scores, mine, theirs))
    return Compared([_row(model, torch.cat(found).numpy(), k) for model, found in places.items()])


def _without_repeats(judged: Tensor, done: Tensor, n_items: int, split: str) -> Tensor:
    """The rows whose pair was not done before, each pair once, in their order. What is left out is said."""
    pairs, before = (rows[:, 0] * n_items + rows[:, 1] for rows in (judged, done))
    new = ~torch.isin(pairs, before)
    first = torch.zeros_like(new)
    first[np.unique(pairs.numpy(), return_index=True)[1]] = True
    kept = judged[new & first]
    if len(kept) < len(judged):
        again, twice = int((~new).sum()), int((new & ~first).sum())
        said = " and ".join(
            text for n, text in ((again, f"{again:,} whose user had done the item before"), (twice, f"{twice:,} that repeat another")) if n
        )
        note(f"ranking: of {len(judged):,} rows of the {split} split {said} are left out: they are no test of what comes next.")
    if not len(kept):
        raise DataError(f"All rows of the {split} split are of items that their users had done before, so nothing can be ranked.")
    return kept


def _known(dls: CollabDataLoaders, *splits: str) -> Tensor:
    """The codes ``(rows, 2)`` of some splits' rows whose user and item training knows, in the order of the users."""
    assert dls.prepared is not None
    rows = np.concatenate([rows_of(dls.table, split) for split in splits])
    codes = dls.prepared.tensors[0][torch.from_numpy(rows)].long()
    codes = codes[((codes > 0) & (codes < torch.tensor([feature.unknown for feature in dls.features]))).all(1)]
    return codes[torch.argsort(codes[:, 0], stable=True)]


def _of_users(rows: Tensor, users: Tensor) -> Tensor:
    """Of rows in the order of their users those of some users, as (place among the users, place of the item) ``(rows, 2)``."""
    of = rows[:, 0].contiguous()
    first, last = int(torch.searchsorted(of, users[0])), int(torch.searchsorted(of, users[-1], right=True))
    some = rows[first:last]
    some = some[torch.isin(some[:, 0], users)]
    return torch.stack([torch.searchsorted(users, some[:, 0].contiguous()), some[:, 1] - 1], 1)


def _ahead(scores: Tensor, mine: Tensor, theirs: Tensor) -> Tensor:
    """How many items are ahead of the one in each row of `mine` ``(rows,)``, those that score the same counted half.

    Args:
        scores: ``(users, items)``; written into. theirs: what doesn't count.
    """
    wanted = scores[mine[:, 0], mine[:, 1]]
    scores[theirs[:, 0], theirs[:, 1]] = -math.inf
    found = []
    for at in torch.arange(len(mine)).split(max(1, _SCORES // scores.shape[1])):
        others, own = scores[mine[at, 0]], wanted[at, None]
        others[torch.arange(len(at)), mine[at, 1]] = -math.inf
        found.append((others > own).sum(1) + (others == own).sum(1) / 2)
    return torch.cat(found)


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
