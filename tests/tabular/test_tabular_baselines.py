"""Other models on the same rows and columns, beside the network's result."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from test_tabular_learner import loaders, people

from burnish.data.notes import captured_notes
from burnish.data.number import RegressionBlock
from burnish.errors import DataError, SettingError
from burnish.tabular.baselines import matrix_of, outputs_of
from burnish.tabular.dataloaders import TabularDataLoaders
from burnish.tabular.learner import tabular_learner
from burnish.train.export import load_learner


def fitted(target="rich", **settings):
    learn = tabular_learner(loaders(target, **settings), seed=1)
    with captured_notes() as notes:
        learn.fit_one_cycle(4, 1e-2)
    return learn, " ".join(notes)


@pytest.mark.parametrize("target", ["rich", "pay"])
def test_each_model_has_a_row_with_its_interval_and_time(target):
    learn, said = fitted(target)
    table = learn.baselines()
    assert table["model"].iloc[0].startswith("network") and table["model"].iloc[1].startswith("always answering")
    assert table["model"].tolist()[2:] == ["linear model", "random forest", "gradient boosting"]
    metric = learn.metrics[0].name
    assert (table[f"{metric}_low"].iloc[2:] < table[metric].iloc[2:]).all() and (table["seconds"].iloc[2:] > 0).all()
    own = learn.results["valid"].set_index("metric").loc[metric, "value"]
    assert table[metric].iloc[0] == pytest.approx(own) and f"other models on the same rows, {metric}: linear model" in said


def test_they_learn_what_there_is_to_learn():
    table = fitted("pay")[0].baselines(metrics="r2_score").set_index("model")["r2_score"]
    assert table["linear model"] > 0.95 and table["gradient boosting"] > 0.9 and abs(table.iloc[1]) < 0.1


def test_a_model_that_is_clearly_better_is_named():
    df = people()
    with captured_notes():
        dls = TabularDataLoaders.from_df(df, cat_names="job", cont_names=["age", "hours"], y_names="pay", seed=1)
    learn = tabular_learner(dls, seed=1)
    with captured_notes() as notes:
        learn.fit(1, 1e-5)
    assert "is clearly better here" in " ".join(notes)


def test_their_rows_and_columns_are_the_networks():
    learn, _ = fitted()
    x, y = matrix_of(learn.dls, "valid")
    cats, conts, target = (np.concatenate([b[i].cpu().numpy() for b in learn.dls.valid]) for i in range(3))
    assert np.array_equal(x, np.concatenate([cats, conts], 1).astype(np.float32)) and np.array_equal(y, target)


def test_a_class_that_training_lacks_has_next_to_no_probability():
    learn, _ = fitted()
    x, y = matrix_of(learn.dls, "train")
    one = LogisticRegression().fit(np.concatenate([x, x[:1]]), np.append(np.zeros(len(y), dtype=int), 1))
    outputs = outputs_of(one, learn.dls, "valid")
    assert outputs.shape == (len(learn.dls.valid.rows), 2) and (outputs[:, 0] > outputs[:, 1]).all()


def test_logarithms_are_taken_back():
    learn, _ = fitted("pay", y_block=RegressionBlock(log=True))
    assert learn.baselines(metrics="r2_score")["r2_score"].iloc[2] > 0.8


def test_it_is_not_asked_of_what_has_no_rows_or_several_targets(tmp_path):
    learn, _ = fitted()
    with pytest.raises(DataError, match="loaded from a file"):
        load_learner(learn.export(tmp_path / "m.burnish")).baselines()
    with pytest.raises(SettingError, match="boosting"):
        learn.baselines(models=["bosting"])


def test_the_networks_embeddings_are_features_for_other_models():
    learn, _ = fitted()
    learn.model.train()
    table = learn.baselines(models=["linear", "boosting"], embeddings=True, metrics="accuracy")
    assert table["model"].tolist()[2:] == ["linear model on the network's embeddings", "gradient boosting on the network's embeddings"]
    assert (table["accuracy"].iloc[2:] > 0.75).all() and learn.model.training, "its mode is put back"


def test_large_tables_are_only_told_of_it(monkeypatch):
    monkeypatch.setattr("burnish.tabular.baselines.MOST_CELLS", 10)
    learn, said = fitted()
    assert "learn.baselines()" in said and "random forest" not in said
    assert learn.quick_baselines() is None
    monkeypatch.undo()
    assert len(learn.quick_baselines()) == 5


def test_the_table_is_plain_numbers():
    table = fitted()[0].baselines(models=["linear"])
    assert isinstance(table, pd.DataFrame) and len(table) == 3 and table["accuracy"].between(0, 1).all()


@pytest.mark.parametrize("target", ["rich", "pay"])
def test_all_of_it_can_be_read_where_it_is_printed(target, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    learn, _ = fitted(target)
    table = learn.baselines(models=["linear", "forest"])
    text = str(table)
    assert "..." not in text and "…" not in text and max(map(len, text.splitlines())) <= 80
    assert all(name in text for name in ("model", *(m.name for m in learn.metrics), "seconds")) and "95 % intervals" in text
    assert all(text.count(name) >= 1 for name in table["model"])
    row, metric = table.iloc[2], learn.metrics[0].name
    value, low, high = (
        f"{row[name]:,.3f}" if target == "rich" else f"{row[name]:,.0f}" for name in (metric, f"{metric}_low", f"{metric}_high")
    )
    assert f"{value} ({low} to {high})" in text
    assert table.columns.tolist()[:4] == ["model", metric, f"{metric}_low", f"{metric}_high"] and table[metric].dtype == np.float64
    assert "..." not in str(table.round(3)) and str(table[["model", "seconds"]]) == str(pd.DataFrame(table[["model", "seconds"]]))


def test_others_keep_to_the_range_of_the_target():
    class Far:
        def predict(self, x):
            return np.linspace(-1e6, 1e6, len(x))

    dls = loaders("pay", y_block=RegressionBlock(y_range=(0, 100_000)))
    outputs = outputs_of(Far(), dls, "valid")
    assert (outputs.min(), outputs.max()) == (0, 100_000)
    assert outputs_of(Far(), loaders("pay"), "valid").max() == 1e6


@pytest.mark.parametrize("target", ["rich", "pay"])
def test_a_model_is_only_better_beyond_the_interval_of_the_network(target, monkeypatch):
    """With the same answers as the network none is; with the right ones, after a poor fit, one is."""
    learn = tabular_learner(loaders(target), seed=1)

    def same(model, dls, split):
        return learn.get_preds(act=torch.nn.Identity()).preds

    def right(model, dls, split):
        y = torch.from_numpy(matrix_of(dls, "valid")[1])
        return torch.nn.functional.one_hot(y).float() * 9 if target == "rich" else y[:, None] + 0.0

    for answers, better in ((same, False), (right, True)):
        monkeypatch.setattr("burnish.tabular.baselines.outputs_of", answers)
        with captured_notes() as notes:
            learn.fit(1, 1e-6)
        assert ("is clearly better here" in " ".join(notes)) is better
