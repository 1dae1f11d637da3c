"""What people then want of a model of ratings: what to recommend, to whom also without training, and what is like what."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from burnish.collab.models import EmbeddingDotBias
from burnish.collab.scores import scores_of
from burnish.data.lazy import pd
from burnish.data.notes import note
from burnish.data.number import RegressionBlock
from burnish.data.whole import checked_whole
from burnish.errors import DataError, SettingError, nearest
from burnish.train.freezing import plain
from burnish.train.turns import in_turn

if TYPE_CHECKING:
    from burnish.collab.learner import CollabLearner

_STEPS = 50  # of fitting a new user's vector


@in_turn
def recommend(
    learn: CollabLearner, user: Any = None, k: int = 10, exclude_seen: bool = True, ratings: Mapping[Any, float] | None = None
) -> pd.DataFrame:
    """The items that a user would rate highest.

    Args:
        user: an id. One that training doesn't know is answered from what everybody likes, which is said.
        k: how many.
        exclude_seen: leave out what the user has rated (in any split; a loaded model doesn't know what, and says so).
        ratings: of a new user, in place of `user`: item to rating. The user's vector is fitted to them; the model stays as it is.

    Returns: columns item, title (where the data has titles) and rating (predicted; score where the data is what was done), the
        highest first.
    """
    checked_whole("k", k, least=1)
    if (user is None) == (ratings is None):
        raise SettingError("recommend needs a user, or the ratings of a new one: recommend('u1') or recommend(ratings={'film 3': 5}).")
    items = torch.arange(1, learn.dls.features[1].unknown)
    if ratings is not None:
        scores, seen = _for_new(learn, ratings, items), set(ratings)
    else:
        scores, seen = _for_known(learn, user, items), _seen(learn, user, exclude_seen)
    names = learn.dls.features[1].classes[1:]
    kept = [i for i in torch.argsort(scores, descending=True, stable=True).tolist() if not (exclude_seen and names[i] in seen)][:k]
    if not kept:
        raise DataError(f"Nothing is left to recommend: all {len(names)} items have been rated. To see them: exclude_seen=False.")
    column = "rating" if isinstance(learn.dls.target_blocks[0], RegressionBlock) else "score"
    return learn.dls.named([names[i] for i in kept]).assign(**{column: scores[kept].numpy()})


@in_turn
def similar(learn: CollabLearner, item: Any, k: int = 10) -> pd.DataFrame:
    """The items most like one, by the angle between their vectors: what those who like it like too.

    Returns: columns item, title (where the data has titles) and similarity (cosine, 1 for the same direction).
    """
    checked_whole("k", k, least=1)
    model, names = _vectors(learn), learn.dls.features[1].classes[1:]
    at = int(model.codes([item])[0]) - 1
    weight = torch.nn.functional.normalize(model.i_weight.weight.detach().cpu()[1 : len(names) + 1], dim=1)
    likeness = weight @ weight[at]
    order = [i for i in torch.argsort(likeness, descending=True, stable=True).tolist() if i != at][:k]
    return learn.dls.named([names[i] for i in order]).assign(similarity=likeness[order].numpy())


@in_turn
def plot_items(learn: CollabLearner, n: int = 50, figsize: tuple[float, float] = (9, 7)) -> None:
    """Draws the most rated items on the two main axes of their vectors (principal components): what is near is liked alike. Of names
    that would lie on each other the most rated item's is written."""
    import matplotlib.pyplot as plt

    model, feature = _vectors(learn), learn.dls.features[1]
    if learn.dls.prepared is None:
        raise DataError("Which items are rated most is not known to a loaded model. Assign data first: learn.dls = dls.")
    counts = torch.bincount(learn.dls.prepared.tensors[0][:, 1], minlength=feature.rows)[1 : feature.unknown]
    most = torch.argsort(counts, descending=True, stable=True)[:n]
    weight = model.i_weight.weight.detach().cpu()[1 : feature.unknown]
    _, _, axes = torch.linalg.svd(weight - weight.mean(0), full_matrices=False)
    places = ((weight - weight.mean(0)) @ axes[:2].T)[most].numpy()
    titles = learn.dls.named([feature.classes[1:][i] for i in most.tolist()])
    labels = titles["title"] if "title" in titles else titles["item"].astype(str)
    fig, ax = plt.subplots(figsize=figsize, layout="constrained")
    ax.scatter(places[:, 0], places[:, 1], s=6, color="#4c78a8")
    ax.margins(x=0.12)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    texts = [
        ax.annotate(str(label)[:28], at, (3, 2), textcoords="offset points", fontsize=7.5) for at, label in zip(places, labels, strict=True)
    ]
    fig.canvas.draw()  # only now is it known where they come to lie
    kept: list[Any] = []
    for text in texts:
        box = text.get_window_extent()
        if any(box.overlaps(other) for other in kept):
            text.remove()
        else:
            kept.append(box)


# -- parts --------------------------------------------------------------------------------------------------------------
def _vectors(learn: CollabLearner) -> EmbeddingDotBias:
    model = plain(learn.model)
    if not isinstance(model, EmbeddingDotBias):
        raise SettingError(
            "This needs a vector for each item, which the network with layers has not in one place. Make the learner without use_nn=True."
        )
    return model


def _for_known(learn: CollabLearner, user: Any, items: Tensor) -> Tensor:
    feature = learn.dls.features[0]
    code = int(feature.of_cell(user))
    if code in (0, feature.unknown):
        near = nearest(str(user), map(str, feature.classes[1:]))
        note(
            f"{user!r} is no {feature.name} that training knows: these are what everybody likes.{near} With some ratings of theirs: recommend(ratings={{...}})."
        )
    return scores_of(learn, torch.tensor([code]), items)[0]


def _for_new(learn: CollabLearner, ratings: Mapping[Any, float], items: Tensor) -> Tensor:
    """The ratings that a new user would give, whose vector and bias are fitted to a few of theirs.

    The vector is kept near zero as much as training has kept the others (ridge regression with their spread as the prior).
    """
    model = _vectors(learn)
    block = learn.dls.target_blocks[0]
    if not isinstance(block, RegressionBlock):
        raise SettingError(
            "ratings= is for a model of ratings; this one is of things that were done. Recommend what is like them: similar(item)."
        )
    block.check(list(ratings.values()), [f"the rating of {item!r}" for item in ratings], "given")
    at = model.codes(list(ratings))
    given = torch.tensor([float(v) for v in ratings.values()])
    weights, biases = (e.weight.detach().cpu().float() for e in (model.i_weight, model.i_bias))
    users = torch.cat([model.u_weight.weight, model.u_bias.weight], 1).detach().cpu().float()[1:-1]
    prior = (users.var(0) if len(users) > 1 else users.square().sum(0)).clamp(min=1e-6)  # a single user says how far one is from zero
    noise = float(np.mean([(s**2) for s in block.std or [1.0]])) * 0.5  # of a rating around what a model can know of it
    own = torch.zeros(weights.shape[1] + 1, requires_grad=True)
    final = copy.deepcopy(model.final).cpu()

    def predict(places: Tensor) -> Tensor:
        return final((weights[places] @ own[:-1] + own[-1] + biases[places][:, 0])[:, None])[:, 0]

    opt = torch.optim.LBFGS([own], max_iter=_STEPS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        opt.zero_grad()
        loss = (predict(at) - given).square().sum() / noise + (own.square() / prior).sum()
        loss.backward()
        return loss

    with torch.enable_grad():
        opt.step(closure)
    with torch.no_grad():
        return predict(items).detach()


def _seen(learn: CollabLearner, user: Any, wanted: bool) -> set[Any]:
    """What a user has rated."""
    to = learn.dls.prepared
    if to is None:
        if wanted:
            note("A loaded model doesn't know what a user has rated, so that may be among these.")
        return set()
    code = int(learn.dls.features[0].of_cell(user))
    rated = to.tensors[0][to.tensors[0][:, 0] == code][:, 1].unique().tolist()
    return {learn.dls.features[1].said(c) for c in rated} if code not in (0, learn.dls.features[0].unknown) else set()
