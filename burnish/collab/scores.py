"""Running a model of ratings outside of training: the scores of many items at once, the learner left as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from burnish.collab.models import EmbeddingDotBias
from burnish.train.freezing import plain
from burnish.train.predict import undisturbed

if TYPE_CHECKING:
    from burnish.collab.learner import CollabLearner

_PAIRS = 2**18  # pairs of a user and an item whose vectors are looked up at a time


@contextmanager
def at_rest(learn: CollabLearner) -> Iterator[nn.Module]:
    """The model as it predicts, without gradients. Its modes are put back; other threads that train or evaluate wait meanwhile."""
    with undisturbed(learn), torch.no_grad():
        yield plain(learn.model.eval())


def scores_of(learn: CollabLearner, users: Tensor, items: Tensor) -> Tensor:
    """What each user would give each item ``(users, items)`` float32 on the CPU, from their codes ``(users,)`` and ``(items,)``."""
    with at_rest(learn) as model:
        if type(model) is EmbeddingDotBias:
            return model.of_all(users.to(learn.device), items.to(learn.device)).float().cpu()
        parts = []
        for some in items.split(max(1, _PAIRS // len(users))):
            pairs = torch.stack([users.repeat_interleave(len(some)), some.repeat(len(users))], 1)
            parts.append(model(pairs.to(learn.device)).float().cpu().reshape(len(users), len(some)))
        return torch.cat(parts, 1)
