"""collab_learner: a model of who likes what, and the learner that trains it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from burnish.collab import recommend as recommending
from burnish.collab.baselines import RatingsNote, baselines, quick_baselines
from burnish.collab.dataloaders import CollabDataLoaders
from burnish.collab.implicit import ranking
from burnish.collab.models import EmbeddingDotBias, EmbeddingNN, Looked
from burnish.data.config import from_config
from burnish.data.dataloaders import DataLoaders
from burnish.data.number import checked_range
from burnish.data.randomness import derive, fresh_seed, own_globals
from burnish.data.whole import checked_whole, whole_number
from burnish.errors import SettingError, hinting
from burnish.evaluate.learner import Learner
from burnish.evaluate.metrics import resolve_metrics
from burnish.tabular.learner import check_same_columns, checked_settings
from burnish.tabular.models import get_emb_sz
from burnish.train.freezing import plain, trainable_params
from burnish.train.guards import check_range
from burnish.train.learner import Callbacks
from burnish.train.optim import AdamW, OptFunc

__all__ = ["CollabLearner", "build", "collab_learner", "trainable_params"]


class CollabLearner(Learner):
    """A learner of ratings; a fit tells its result beside those of simpler models."""

    usual_precision = "fp32"
    standard_cbs = (*Learner.standard_cbs, RatingsNote)
    dls: CollabDataLoaders
    baselines = baselines
    quick_baselines = quick_baselines
    ranking = ranking
    recommend = recommending.recommend
    similar = recommending.similar
    plot_items = recommending.plot_items

    @property
    def model(self) -> nn.Module:
        """The model; it answers to the ids of the data."""
        return self._model

    @model.setter
    def model(self, model: nn.Module) -> None:
        Learner.model.fset(self, model)  # type: ignore[attr-defined]
        name_ids(self._model, self.dls)

    def check_new_data(self, before: DataLoaders, dls: DataLoaders) -> None:
        super().check_new_data(before, dls)
        check_same_columns(before, dls)


def name_ids(model: nn.Module, dls: DataLoaders) -> None:
    """Tells a model of users and items which ids its codes stand for."""
    inner = plain(model)
    if isinstance(inner, Looked) and isinstance(dls, CollabDataLoaders):
        inner.classes = tuple(dls.classes.values())  # type: ignore[assignment]


@hinting
def collab_learner(
    dls: CollabDataLoaders, n_factors: int = 50, use_nn: bool = False, emb_szs: Mapping[str, int] | None = None,
    layers: Sequence[int] | None = None, config: Mapping[str, Any] | None = None, y_range: tuple[float, float] | None = None,
    loss_func: Callable[..., Tensor] | None = None, *, opt_func: OptFunc = AdamW, lr: float = 5e-3, cbs: Callbacks = None, metrics: Any = None,
    path: str | Path = ".", model_dir: str | Path = "models", wd: float | None = None, wd_bn_bias: bool = False,
    moms: tuple[float, float, float] = (0.95, 0.85, 0.95), seed: int | None = None, precision: str = "auto",
    device: torch.device | str | None = None,
) -> CollabLearner:  # fmt: skip
    """A learner for ratings.

    Args:
        dls: the data.
        n_factors: numbers that describe a user and an item.
        use_nn: embeddings through layers instead of the product of vectors.
        emb_szs, layers, config: of that network: widths by column, hidden layers ([n_factors] by default, [] for none), further settings.
        y_range: (low, high) that predictions never leave; the data's by default.
        wd: weight decay: what keeps vectors of few ratings near zero; None chooses it by how many steps an epoch has (``decay_for``).
        precision: as of ``Learner``, but "auto" is fp32: half precision would cost accuracy here and gain nothing.
        The rest: see ``Learner``.

    Raises:
        SettingError: something doesn't fit the data.
    """
    if not isinstance(dls, CollabDataLoaders):
        raise SettingError(
            f"collab_learner needs CollabDataLoaders, and got {type(dls).__name__}. Make them with CollabDataLoaders.from_df(ratings)."
        )
    _check_network(dls, use_nn, {"emb_szs": emb_szs, "layers": layers, "config": config})
    check_range(dls, y_range)
    n_factors = checked_whole("n_factors", n_factors, least=1)
    model_config = {
        "builder": "collab", "n_factors": n_factors, "use_nn": use_nn, "rows": [len(c) + 1 for c in dls.classes.values()],
        "emb_szs": [list(s) for s in get_emb_sz(dls.classes, emb_szs)], "layers": _checked_layers([n_factors] if layers is None else layers),
        "settings": checked_settings("mlp", config, None), "y_range": None if y_range is None else list(checked_range(y_range)),
        "target": dls.target_blocks[0].config(),
    }  # fmt: skip
    seed, wd = fresh_seed() if seed is None else seed, decay_for(dls) if wd is None else wd
    with own_globals(derive(seed, "init")):
        model = build(model_config)
    learn = CollabLearner(
        dls, model, loss_func=loss_func, opt_func=opt_func, lr=lr, cbs=cbs,
        metrics=resolve_metrics(list(dls.target_blocks[0].metrics) if metrics is None else metrics), path=path, model_dir=model_dir, wd=wd,
        wd_bn_bias=wd_bn_bias, moms=moms, seed=seed, precision=precision, device=device,
    )  # fmt: skip
    learn.arch, learn.model_config = "embeddings and layers" if use_nn else "dot product and biases", model_config
    return learn


def _check_network(dls: CollabDataLoaders, use_nn: bool, of_layers: Mapping[str, Any]) -> None:
    """Raises SettingError for settings of the network with layers without it, and for that network where there are no ratings."""
    given = [name for name, value in of_layers.items() if value is not None]
    if given and not use_nn:
        raise SettingError(f"{' and '.join(given)} belong to the network with layers: pass use_nn=True, or leave them out.")
    if use_nn and dls.implicit:
        raise SettingError("use_nn=True is for ratings; things that were done are ranked by the product of vectors: leave it out.")


def _checked_layers(layers: Any) -> list[int]:
    """The widths of hidden layers, none for []. Raises SettingError unless they are whole numbers of at least 1."""
    widths = [whole_number(width, least=1) for width in layers] if isinstance(layers, (list, tuple, np.ndarray)) else [None]
    if None in widths:
        raise SettingError(f"layers={layers!r}: expected the widths of the hidden layers, e.g. [100, 50]; [] for none.")
    return [width for width in widths if width is not None]


def decay_for(dls: CollabDataLoaders) -> float:
    """The weight decay of ratings, by how many steps an epoch has to decay in: 0.75 at 50 steps, 0.15 at 1,250, 0.05 at 12,500.

    Measured on MovieLens (docs/recipes.md): with it, five epochs and ten end alike.
    """
    if dls.implicit:
        return 0.1
    return 0.15 * math.sqrt(1250 / max(1, len(dls.train)))


def build(config: dict[str, Any]) -> nn.Module:
    """The network that a learner's ``model_config`` describes, with fresh weights."""
    y_range: Any = None if config["y_range"] is None else tuple(config["y_range"])
    final = from_config(config["target"]).final() if y_range is None else None
    if not config["use_nn"]:
        users, items = config["rows"]
        return EmbeddingDotBias(config["n_factors"], users, items, y_range, final)
    settings = {**config["settings"], **({} if y_range is None else {"y_range": y_range})}
    return EmbeddingNN([(rows, width) for rows, width in config["emb_szs"]], config["layers"], final, **settings)
