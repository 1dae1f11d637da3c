"""What people then want of a model of ratings: what to recommend, to whom also without training, and what is like what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from burnish.collab import newcomers
from burnish.collab.models import EmbeddingDotBias
from burnish.collab.scores import scores_of
from burnish.data.lazy import pd
from burnish.data.notes import note
from burnish.data.number import RegressionBlock
from burnish.data.whole import checked_whole
from burnish.errors import DataError, SettingError, listed, nearest
from burnish.tabular.frames import cells_of
from burnish.train.freezing import plain
from burnish.train.turns import in_turn

if TYPE_CHECKING:
    from burnish.collab.learner import CollabLearner


@in_turn
def recommend(
    learn: CollabLearner,
    user: Any = None,
    k: int = 10,
    exclude_seen: bool = True,
    ratings: Mapping[Any, float] | None = None,
    done: Sequence[Any] | None = None,
) -> pd.DataFrame:
    """The items that a user would rate highest.

    Args:
        user: an id. One that training doesn't know is answered from what everybody likes, which is said.
        k: how many.
        exclude_seen: leave out what the user has rated (in any split; a loaded model doesn't know what, and says so).
        ratings: of a new user, in place of `user`: item to rating (a dict, a Series). The user's vector is fitted to them; the model stays
            as it is.
        done: the same where the data is what was done: the items that a new user did something with.

    Returns: columns item, title (where the data has titles) and rating (predicted; score where the data is what was done), the
        highest first.
    """
    checked_whole("k", k, least=1)
    if sum(given is not None for given in (user, ratings, done)) != 1:
        raise SettingError(
            "recommend needs a user, or the ratings of a new one: recommend('u1') or recommend(ratings={'film 3': 5}); where the data is what was "
            "done, recommend(done=['film 3'])."
        )
    items = torch.arange(1, learn.dls.features[1].unknown)
    if user is not None:
        _check_one(user)
        scores, seen = _for_known(learn, user, items), _seen(learn, user, exclude_seen)
    else:
        scores, seen = _for_new(learn, items, ratings, done)
    names = learn.dls.features[1].classes[1:]
    kept = [i for i in torch.argsort(scores, descending=True, stable=True).tolist() if not (exclude_seen and i + 1 in seen)][:k]
    if not kept:
        raise DataError(f"Nothing is left to recommend: all {len(names)} items have been rated. To see them: exclude_seen=False.")
    column = "score" if learn.dls.implicit else "rating"
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


def _check_one(user: Any) -> None:
    """Raises SettingError for several users at once."""
    if not isinstance(user, str) and isinstance(user, Iterable) and np.ndim(user):  # pyright: ignore[reportArgumentType]
        raise SettingError(
            f"recommend answers for one user at a time, and got a {type(user).__name__}. For several: "
            "{user: learn.recommend(user) for user in users}. What a new one has rated: recommend(ratings={...})."
        )


def _for_known(learn: CollabLearner, user: Any, items: Tensor) -> Tensor:
    feature = learn.dls.features[0]
    code = feature.code(user)
    if code is None:
        near = nearest(str(user), map(str, feature.classes[1:]))
        ask = (
            " What they did tells more: recommend(done=[...])."
            if learn.dls.implicit
            else " With some ratings of theirs: recommend(ratings={...})."
        )
        fitted = isinstance(plain(learn.model), EmbeddingDotBias)
        note(f"{user!r} is no {feature.name} that training knows: these are what everybody likes.{near}{ask if fitted else ''}")
    return scores_of(learn, torch.tensor([feature.unknown if code is None else code]), items)[0]


def _for_new(learn: CollabLearner, items: Tensor, ratings: Any, done: Any) -> tuple[Tensor, set[int]]:
    """What a new user would give to each item, and the codes of the items that they are known by."""
    if (done is not None) != learn.dls.implicit:
        wanted = (
            "of things that were done: recommend(done=['film 3'])" if learn.dls.implicit else "of ratings: recommend(ratings={'film 3': 5})"
        )
        raise SettingError(f"{'done' if done is not None else 'ratings'}= doesn't go with this model, which is {wanted}.")
    model = _vectors(learn)
    if done is not None:
        at = model.codes(done)
        if not len(at):
            raise SettingError(f"done={done!r} names no item; expected the items that a new user did something with: done=['film 3'].")
        return newcomers.of_done(model, at.unique(), items), set(at.tolist())
    given = _as_ratings(ratings)
    block = learn.dls.target_blocks[0]
    assert isinstance(block, RegressionBlock)
    block.check(list(given.values()), [f"the rating of {item!r}" for item in given], "given")
    at = model.codes(list(given))
    if len(at.unique()) < len(at):
        raise DataError(f"ratings has an item twice: {listed(map(repr, given), 10)}. Give it one rating.")
    return newcomers.of_ratings(model, block, at, torch.tensor([float(v) for v in given.values()]), items), set(at.tolist())


def _as_ratings(given: Any) -> dict[Any, Any]:
    """Ratings as item to rating."""
    if isinstance(given, pd.Series):
        if not given.index.is_unique:
            raise DataError(f"ratings has an item twice: {listed(map(repr, given.index[given.index.duplicated()]))}. Give it one rating.")
        given = given.to_dict()
    if not isinstance(given, Mapping) or not given:
        raise SettingError(f"ratings={str(given)[:80]}: expected items with their ratings, a dict such as {{'film 3': 5}} or a Series.")
    return dict(given)


def _seen(learn: CollabLearner, user: Any, wanted: bool) -> set[int]:
    """The codes of what a user has rated, in any split, also if none of it is in training."""
    to, feature = learn.dls.prepared, learn.dls.features[0]
    if to is None or not wanted:
        if wanted:
            note("A loaded model doesn't know what a user has rated, so that may be among these.")
        return set()
    codes, code = to.tensors[0], feature.code(user)
    theirs = codes[:, 0] == code if code is not None else torch.from_numpy(feature.same(cells_of(to.frame, feature.source), user))
    return set(codes[theirs, 1].tolist())
