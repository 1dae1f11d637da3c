"""A random forest as a module of plain tensors, and the mean of a network and a forest, which exports like any model."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from burnish.data.number import OutputUnits, RegressionBlock
from burnish.errors import SettingError

if TYPE_CHECKING:
    from burnish.tabular.learner import TabularLearner
    from burnish.train.freezing import Splitter

_LEAST = 1e-7  # a probability that a forest calls 0
LEAF = 5  # rows that a leaf has at least: small files, and no worse answers than from leaves of one row


class Forest(nn.Module):
    """The trees of a forest, asked all at once: ``forest(categories, numbers)`` gives the mean of their answers ``(batch, outputs)``:
    probabilities, or numbers.

    Args:
        trees, nodes: how many trees, and nodes of the largest. outputs: numbers at a leaf. depth: of the deepest.

    The tensors are given by ``of_sklearn``, or by a state dict.
    """

    feature: Tensor
    threshold: Tensor
    left: Tensor
    right: Tensor
    value: Tensor

    def __init__(self, trees: int, nodes: int, outputs: int, depth: int) -> None:
        super().__init__()
        self.depth = depth
        for name in ("feature", "left", "right"):
            self.register_buffer(name, torch.zeros(trees, nodes, dtype=torch.int32))
        self.register_buffer("threshold", torch.zeros(trees, nodes))
        self.register_buffer("value", torch.zeros(trees, nodes, outputs))

    @classmethod
    def of_sklearn(cls, model: Any, classes: int | None = None) -> Forest:
        """The trees of scikit-learn's forest; of classes as many as the data has, also where the forest has seen fewer."""
        trees = [t.tree_ for t in model.estimators_]
        n_out = classes or trees[0].value.shape[1]
        made = cls(len(trees), max(t.node_count for t in trees), n_out, max(t.max_depth for t in trees))
        for i, tree in enumerate(trees):
            n, leaf = tree.node_count, tree.children_left < 0
            own = np.arange(n)
            made.left[i, :n] = torch.from_numpy(np.where(leaf, own, tree.children_left).astype(np.int32))
            made.right[i, :n] = torch.from_numpy(np.where(leaf, own, tree.children_right).astype(np.int32))
            made.feature[i, :n] = torch.from_numpy(np.where(leaf, 0, tree.feature).astype(np.int32))
            made.threshold[i, :n] = torch.from_numpy(_not_above(tree.threshold))
            if classes is None:
                made.value[i, :n] = torch.from_numpy(tree.value[:, :, 0]).float()
            else:
                counts = tree.value[:, 0, :]
                made.value[i, :n, torch.from_numpy(model.classes_.astype(np.int64))] = torch.from_numpy(
                    counts / counts.sum(1, keepdims=True)
                ).float()
        return made

    def forward(self, x_cat: Tensor, x_cont: Tensor) -> Tensor:
        x = torch.cat([x_cat.float(), x_cont.float()], 1)
        trees = torch.arange(len(self.left), device=x.device)
        node = torch.zeros(len(x), len(trees), dtype=torch.long, device=x.device)
        for _ in range(self.depth):
            goes_left = x.gather(1, self.feature[trees, node].long()) <= self.threshold[trees, node]
            node = torch.where(goes_left, self.left[trees, node], self.right[trees, node]).long()
        return self.value[trees, node].mean(1)


def _not_above(threshold: np.ndarray) -> np.ndarray:
    """Each number as the largest float32 that isn't above it: float32 values are then on the same side of it as before."""
    near = threshold.astype(np.float32)
    return np.where(near > threshold, np.nextafter(near, np.float32(-np.inf)), near).astype(np.float32)


class Ensemble(nn.Module):
    """The mean of a network's and a forest's answers, as raw outputs of a network: logarithms of probabilities, or numbers.

    Args:
        weight: the forest's share.
        classes: whether the target is a class. final: of numbers, what makes the target's units of the forest's answers.
    """

    def __init__(self, network: nn.Module, forest: Forest, weight: float, classes: bool, final: nn.Module | None = None) -> None:
        super().__init__()
        self.network, self.forest, self.weight, self.classes = network, forest, weight, classes
        self.final = final or nn.Identity()

    def forward(self, x_cat: Tensor, x_cont: Tensor) -> Tensor:
        ours, theirs = self.network(x_cat, x_cont), self.forest(x_cat, x_cont)
        if self.classes:
            ours = ours[:, : theirs.shape[1]]  # of more outputs than classes those that stand for one
            return torch.lerp(ours.float().softmax(1), theirs, self.weight).clamp(min=_LEAST).log()
        return torch.lerp(ours.float(), self.final(theirs), self.weight)


def ensemble(learn: TabularLearner, weight: float = 0.5, n_trees: int = 100) -> TabularLearner:
    """A learner that answers with the mean of this one's network and a random forest, fitted to the same training rows: often better
    than either. It predicts, is judged, trains on and exports like any other, with the settings of this one but not its callbacks; `learn`
    stays as it is.

    Args:
        weight: the forest's share of the answer.
        n_trees: of the forest.
    """
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    from burnish.tabular.baselines import matrix_of, need_table, to_fit
    from burnish.train.freezing import plain

    if not 0 < weight < 1:
        raise SettingError(f"weight={weight!r}: expected the forest's share of the answer, between 0 and 1.")
    dls = need_table(learn)
    block, (x, y) = dls.target_blocks[0], matrix_of(dls, "train")
    numbers = isinstance(block, RegressionBlock)
    fitted = (RandomForestRegressor if numbers else RandomForestClassifier)(n_trees, min_samples_leaf=LEAF, n_jobs=-1, random_state=0)
    forest = Forest.of_sklearn(fitted.fit(x, to_fit(dls, y)), None if numbers else block.n_out)
    final = OutputUnits([0.0], [1.0], block.log) if isinstance(block, RegressionBlock) and block.log else None
    model = Ensemble(copy.deepcopy(plain(learn.model)), forest, weight, not numbers, final)
    made = type(learn)(
        dls, model, loss_func=copy.deepcopy(learn.loss_func), metrics=copy.deepcopy(learn.metrics), opt_func=learn.opt_func, lr=learn.lr, wd=learn.wd,
        splitter=_of_network(learn.splitter), path=learn.path, seed=learn.seed, device=learn.device,
        precision=learn.precision.setting, model_dir=learn.model_dir, wd_bn_bias=learn.wd_bn_bias, train_bn=learn.train_bn, moms=learn.moms,
    )  # fmt: skip
    made.arch = f"{learn.arch} and forest"
    if learn.model_config is not None:
        made.model_config = {
            "builder": "tabular", "arch": "ensemble", "network": learn.model_config, "weight": weight, "classes": not numbers,
            "log": block.log if isinstance(block, RegressionBlock) else False,
            "forest": [*forest.left.shape, forest.value.shape[2], forest.depth],
        }  # fmt: skip
    return made


def _of_network(splitter: Splitter | None) -> Splitter | None:
    """A splitter of a network as one of an ensemble with it: a forest has nothing to train."""
    return None if splitter is None else lambda both: splitter(both.network)  # type: ignore[arg-type]


def rebuild(config: dict[str, Any], network: nn.Module) -> Ensemble:
    """An ensemble as its ``model_config`` describes it, with empty trees."""
    final = OutputUnits([0.0], [1.0], config["log"]) if config["log"] else None
    return Ensemble(network, Forest(*config["forest"]), config["weight"], config["classes"], final)
