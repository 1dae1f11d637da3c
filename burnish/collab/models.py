"""Networks for ratings: who and what as vectors whose product, with two biases, is the rating; or through layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from burnish.collab.ids import IdFeature, several
from burnish.data.number import SigmoidRange
from burnish.errors import DataError, SettingError, listed, nearest
from burnish.tabular.models import TabularModel


class Looked(nn.Module):
    """What networks of users and items share: they answer to ids.

    Attributes:
        classes: the ids of users and of items, in the order of their codes ("#na#" first).
    """

    classes: tuple[Sequence[Any], Sequence[Any]] = ((), ())

    def codes(self, ids: Any, is_item: bool = True) -> Tensor:
        """The codes of ids ``(ids,)``.

        Raises:
            DataError: an id that the training ratings don't have.
        """
        what, other = ("item", "users") if is_item else ("user", "items")
        known, asked = IdFeature.of_classes(what, self.classes[int(is_item)]), several(ids)
        codes = [known.code(v) for v in asked]
        unknown = [v for v, code in zip(asked, codes, strict=True) if code is None]
        if unknown:
            raise DataError(
                f"{listed(map(repr, unknown))}: no such {what} among the {len(known.classes) - 1} of the training ratings.{nearest(str(unknown[0]), map(str, known.classes[1:]))} "
                f"What only the validation ratings have was not learned; for {other} pass is_item={not is_item}."
            )
        return torch.tensor(codes, dtype=torch.int64)


class EmbeddingDotBias(Looked):
    """The product of a user's and an item's vector and their two biases: ``(batch, 2)`` codes to ``(batch,)``; of a user and several
    items, ``(batch, 1 + items)`` to ``(batch, items)``.

    Matrix factorisation with biases: Koren, Bell and Volinsky 2009.

    Args:
        n_factors: length of the vectors.
        n_users, n_items: codes of users and of items.
        y_range: (low, high) that the rating never leaves.
        final: what it ends in, where there is no `y_range`.
    """

    def __init__(
        self, n_factors: int, n_users: int, n_items: int, y_range: tuple[float, float] | None = None, final: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.u_weight, self.i_weight = nn.Embedding(n_users, n_factors), nn.Embedding(n_items, n_factors)
        self.u_bias, self.i_bias = nn.Embedding(n_users, 1), nn.Embedding(n_items, 1)
        for embed in (self.u_weight, self.i_weight, self.u_bias, self.i_bias):
            nn.init.trunc_normal_(embed.weight, std=0.01)
        self.final = SigmoidRange(*y_range) if y_range is not None else final or nn.Identity()

    @classmethod
    def from_classes(
        cls, n_factors: int, classes: Mapping[str, Sequence[Any]], user: str | None = None, item: str | None = None,
        y_range: tuple[float, float] | None = None,
    ) -> EmbeddingDotBias:  # fmt: skip
        """A model for the users and items of ``dls.classes``; `user` and `item` are their names there, the first two by default."""
        names = list(classes)
        if len(names) < 2:
            raise SettingError(f"classes has {listed(map(repr, names)) or 'nothing'}; expected users and items, as dls.classes has them.")
        chosen = [user if user is not None else names[0], item if item is not None else names[1]]
        if unknown := [name for name in chosen if name not in classes]:
            raise SettingError(
                f"{unknown[0]!r}: no such name in classes, which has {listed(map(repr, names))}.{nearest(str(unknown[0]), map(str, names))}"
            )
        users, items = (classes[name] for name in chosen)
        model = cls(n_factors, len(users) + 1, len(items) + 1, y_range)
        model.classes = (users, items)
        return model

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] == 2:
            users, items = x.unbind(1)
            product = (self.u_weight(users) * self.i_weight(items)).sum(1)
            return self.final((product + self.u_bias(users)[:, 0] + self.i_bias(items)[:, 0])[:, None])[:, 0]
        users, items = x[:, 0], x[:, 1:]
        product = (self.u_weight(users)[:, None] * self.i_weight(items)).sum(2)
        return self.final((product + self.u_bias(users) + self.i_bias(items)[..., 0]).reshape(-1, 1)).reshape(items.shape)

    def of_all(self, users: Tensor, items: Tensor) -> Tensor:
        """Of each user with each item: codes ``(users,)`` and ``(items,)`` to ``(users, items)``, in no more memory than that takes."""
        sums = self.u_weight(users) @ self.i_weight(items).T + self.u_bias(users) + self.i_bias(items)[:, 0]
        return self.final(sums.reshape(-1, 1)).reshape(sums.shape)

    def bias(self, arr: Any, is_item: bool = True) -> Tensor:
        """The biases of ids ``(ids,)``, on the CPU: how much better (or worse) than others an item is liked, or a user rates."""
        layer = self.i_bias if is_item else self.u_bias
        return layer.weight.detach().cpu()[self.codes(arr, is_item)][:, 0]

    def weight(self, arr: Any, is_item: bool = True) -> Tensor:
        """The vectors of ids ``(ids, n_factors)``, on the CPU."""
        layer = self.i_weight if is_item else self.u_weight
        return layer.weight.detach().cpu()[self.codes(arr, is_item)]


class EmbeddingNN(Looked):
    """A user's and an item's embeddings through layers: ``(batch, 2)`` codes to ``(batch,)``.

    Args:
        emb_szs: (rows, width) of the users' and the items' embedding.
        layers: widths of the hidden layers. settings: of ``TabularModel``.
    """

    def __init__(self, emb_szs: Sequence[tuple[int, int]], layers: Sequence[int], final: nn.Module | None = None, **settings: Any) -> None:
        super().__init__()
        self.net = TabularModel(emb_szs, 0, 1, layers, final=final, **settings)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x, x.new_zeros(len(x), 0, dtype=torch.float32))[:, 0]

    def bias(self, arr: Any, is_item: bool = True) -> Tensor:
        """This network has none."""
        raise SettingError(
            "The network with layers has no biases of users and items: make the learner without use_nn=True. The embedding of an id: model.weight([id])."
        )

    def weight(self, arr: Any, is_item: bool = True) -> Tensor:
        """The embeddings of ids ``(ids, width)``, on the CPU."""
        return self.net.embeds[int(is_item)].weight.detach().cpu()[self.codes(arr, is_item)]
