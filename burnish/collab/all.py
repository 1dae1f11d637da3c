"""The face for notebooks: ``from burnish.collab.all import *`` brings every name that work with ratings uses.

The names are listed below and in ``burnish.tabular.all``; nothing else comes in.
"""

from __future__ import annotations

from burnish.collab.dataloaders import CollabDataLoaders
from burnish.collab.implicit import InteractionBlock, PairLoss
from burnish.collab.learner import CollabLearner, collab_learner
from burnish.collab.models import EmbeddingDotBias, EmbeddingNN
from burnish.tabular.all import *
from burnish.tabular.all import __all__ as _tabular

__all__ = sorted({  # pyright: ignore[reportUnsupportedDunderAll]
    *_tabular, "CollabDataLoaders", "CollabLearner", "EmbeddingDotBias", "EmbeddingNN", "InteractionBlock", "PairLoss", "collab_learner",
})  # fmt: skip
