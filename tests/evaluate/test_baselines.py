"""The trivial baseline: what a constant answer scores."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.dummy import DummyClassifier
from sklearn.metrics import log_loss

from burnish.data.block import Block
from burnish.data.category import CategoryBlock
from burnish.data.dataloaders import DataLoaders
from burnish.errors import DataError
from burnish.evaluate.baselines import Baseline, baseline, baseline_of
from burnish.evaluate.metrics import BOXES, MASKS, METRICS, POINTS, SINGLE_LABEL

TRAIN, VALID = ["cat"] * 6 + ["dog"] * 3 + ["eel"], ["dog", "dog", "cat", "eel"]


def dls() -> DataLoaders:
    block = CategoryBlock()
    block.fit(TRAIN)
    table = pd.DataFrame({"image": [f"{i}.jpg" for i in range(14)], "label": TRAIN + VALID, "split": ["train"] * 10 + ["valid"] * 4})
    table.attrs = {"inputs": ["image"], "targets": ["label"]}
    made = DataLoaders(device="cpu", n_inp=1)
    made.table, made.blocks = table, [Block(), block]
    return made


def test_the_majority_class_of_training_is_judged_on_the_split() -> None:
    base, targets = baseline_of(dls()), torch.tensor([1, 0, 0, 2])
    dummy = DummyClassifier(strategy="most_frequent").fit(np.zeros((10, 1)), TRAIN)
    assert base.value("accuracy", targets) == dummy.score(np.zeros((4, 1)), ["dog", "cat", "cat", "eel"]) == 0.5
    assert base.on(targets) is base and base.says == "always answering 'cat'"
    assert base.value("error_rate", targets) == 0.5 and base.value("roc_auc", targets) == pytest.approx(0.5)
    assert baseline(dls(), 0) == {"accuracy": pytest.approx(0.6)}


def test_where_that_class_is_rare_the_split_s_own_is_the_baseline() -> None:
    found = baseline(dls(), "valid", ["accuracy", "error_rate", "roc_auc"])
    assert found == {"accuracy": 0.5, "error_rate": 0.5, "roc_auc": pytest.approx(0.5)}  # two of four are dogs, one is a cat
    own = baseline_of(dls()).on(torch.tensor([1, 1, 0, 2]))
    assert own.says == "always answering 'dog' (the most frequent class here)"
    tie = torch.tensor([1, 1, 0, 0])
    assert baseline_of(dls()).on(tie).says == "always answering 'cat'"
    numbers = Baseline(torch.tensor([1.0, 2.0]), "numbers")
    assert numbers.on(torch.tensor([5.0, 6.0])) is numbers


def test_its_loss_is_that_of_the_class_frequencies() -> None:
    base, targets = baseline_of(dls()), torch.tensor([1, 1, 0, 2])
    shares = np.tile(np.array([7, 4, 2]) / 13, (4, 1))
    assert base.loss(torch.nn.CrossEntropyLoss(), targets) == pytest.approx(log_loss(targets, shares, labels=[0, 1, 2]))


def test_a_class_without_training_samples_costs_something_finite() -> None:
    base = Baseline(torch.tensor([0, 0, 1]), "category", ["a", "b", "c"])
    assert math.isfinite(base.loss(torch.nn.CrossEntropyLoss(), torch.tensor([2])))
    assert Baseline(torch.tensor([0, 0, 1]), "category").says == "always answering class 0"


def test_several_labels_and_numbers() -> None:
    many = Baseline(torch.tensor([[1, 0], [1, 0], [0, 1.0]]), "labels", ["red", "wet"])
    assert many.says == "always answering red" and many.value("accuracy_multi", torch.tensor([[1.0, 1.0]])) == 0.5
    assert Baseline(torch.zeros(3, 2), "labels").says == "always answering no label"
    mean = Baseline(torch.tensor([1.0, 2.0, 6.0]), "numbers")
    assert mean.says == "always answering the mean (3)" and mean.value("mae", torch.tensor([2.0, 5.0])) == 1.5
    assert mean.loss(torch.nn.MSELoss(), torch.tensor([2.0, 5.0])) == 2.5 and math.isnan(
        mean.loss(torch.nn.NLLLoss(), torch.tensor([[1.0]]))
    )
    assert math.isnan(mean.value("pearson", torch.tensor([2.0, 5.0])))


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_has_a_baseline_or_nan_and_never_an_error(name: str) -> None:
    if name in SINGLE_LABEL:
        base, targets = Baseline(torch.arange(6) // 2, "category"), torch.tensor([0, 1, 2, 2])
        if name in ("roc_auc_binary", "average_precision"):
            base, targets = Baseline(torch.tensor([0, 0, 1]), "category"), torch.tensor([0, 1, 1])
    elif name.endswith("multi"):
        targets = torch.tensor([[1.0, 0], [0, 1], [1, 1]])
        base = Baseline(targets, "labels")
    else:
        targets = torch.tensor([1.0, 2.0, 4.0])
        base = Baseline(targets, "numbers")
    value = base.value(name, targets)
    assert math.isnan(value) == (name in ("pearson", "spearman", "top_k_accuracy", *MASKS, *POINTS, *BOXES))


def test_data_without_a_baseline_says_so() -> None:
    without = dls()
    without.blocks = []
    assert baseline_of(without) is None
    with pytest.raises(DataError, match="no baseline for these DataLoaders: they need a table with one target"):
        baseline(without)
    with pytest.raises(DataError, match=r"no rows in the test split \(it has train, valid\)"):
        baseline(dls(), "test")
    with pytest.raises(DataError, match="no baseline for targets of the kind 'mask'"):
        Baseline(torch.zeros(3), "mask")
    with pytest.raises(DataError, match="without training targets"):
        Baseline(torch.zeros(0), "numbers")
