"""Somebody new, known by a few ratings or by what they did: a vector fitted to that, the model as it is."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from burnish.collab.models import EmbeddingDotBias
from burnish.data.number import RegressionBlock

_STEPS = 50  # of fitting a new user's vector
_NOISE = 0.5  # of a rating around what a model can know of it: its share of the ratings' variance
_LEAST = 1e-6  # of the users' variance


def of_ratings(model: EmbeddingDotBias, block: RegressionBlock, at: Tensor, given: Tensor, items: Tensor) -> Tensor:
    """What a new user would give to `items` (codes), by the ratings `given` of the items `at`.

    Vector and bias are drawn to the mean of all users' as much as those differ from it: ridge regression with their mean and spread as
    the prior, so that without ratings a new user is an average one.
    """
    weights, biases = _of_items(model)
    final = copy.deepcopy(model.final).cpu()
    noise = float(np.mean([s**2 for s in block.std or [1.0]])) * _NOISE

    def predict(own: Tensor, places: Tensor) -> Tensor:
        return final((weights[places] @ own[:-1] + own[-1] + biases[places])[:, None])[:, 0]

    own = _most_likely(model, lambda own: (predict(own, at) - given).square().sum() / noise)
    with torch.no_grad():
        return predict(own, items).detach()


def of_done(model: EmbeddingDotBias, at: Tensor, items: Tensor) -> Tensor:
    """How high `items` (codes) score for a new user who did something with the items `at`: that those score above all items is weighed
    against how far the users' vectors are from their mean (the training's own loss, with their mean and spread as the prior)."""
    weights, biases = _of_items(model)

    def scores(own: Tensor, places: Tensor) -> Tensor:
        return weights[places] @ own[:-1] + biases[places]

    def loss(own: Tensor) -> Tensor:
        return 2 * torch.nn.functional.softplus(scores(own, items)[None, :] - scores(own, at)[:, None]).mean(1).sum()

    own = _most_likely(model, loss)
    with torch.no_grad():
        return scores(own, items).detach()


def _of_items(model: EmbeddingDotBias) -> tuple[Tensor, Tensor]:
    """The items' vectors and biases, by code."""
    return model.i_weight.weight.detach().cpu().float(), model.i_bias.weight.detach().cpu().float()[:, 0]


def _most_likely(model: EmbeddingDotBias, loss: Callable[[Tensor], Tensor]) -> Tensor:
    """The vector, and at its end the bias, for which a loss (twice a negative log-likelihood) and the squared distance from the mean of the
    users', in units of their spread, add up to the least."""
    mean, precision = _users(model)
    own = mean.clone().requires_grad_()
    opt = torch.optim.LBFGS([own], max_iter=_STEPS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        opt.zero_grad()
        found = loss(own) + (own - mean) @ precision @ (own - mean)
        found.backward()
        return found

    with torch.enable_grad():
        opt.step(closure)
    return own.detach()


def _users(model: EmbeddingDotBias) -> tuple[Tensor, Tensor]:
    """The mean of the users' vectors and biases ``(n,)``, and the inverse of their covariance ``(n, n)``, which is drawn to its diagonal
    where there are few users."""
    users = torch.cat([model.u_weight.weight, model.u_bias.weight], 1).detach().cpu().double()[1:-1]
    n, width = users.shape
    if n == 1:  # who says how far one is from zero
        return users[0].float(), torch.diag(1 / users[0].square().clamp(min=_LEAST)).float()
    spread = torch.cov(users.T)
    apart = torch.diag(spread.diag().clamp(min=_LEAST))
    return users.mean(0).float(), torch.linalg.inv(torch.lerp(spread, apart, width / (n + width))).float()
