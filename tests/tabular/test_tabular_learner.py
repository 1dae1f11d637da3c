"""From a table to a model and back from its file: real tables, small networks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import realdata
import torch
from torch import nn

from burnish.data.category import CategoryBlock
from burnish.data.notes import captured_notes
from burnish.data.number import RegressionBlock
from burnish.data.split import RandomSplitter
from burnish.errors import DataError, SettingError
from burnish.evaluate.interpret import ClassificationInterpretation, Interpretation
from burnish.evaluate.summary import assess
from burnish.tabular.dataloaders import TabularDataLoaders
from burnish.tabular.learner import ARCHITECTURES, tabular_config, tabular_learner
from burnish.tabular.models import Embeddings, TabularModel, emb_sz_rule, get_emb_sz
from burnish.tabular.modern import PiecewiseNumbers
from burnish.tabular.procs import TabularProc
from burnish.train.callback import Callback
from burnish.train.callbacks import EMA, Checkpoint, EarlyStopping, GradientClip
from burnish.train.export import load_learner

N = 400


def people(n: int = N, seed: int = 0) -> pd.DataFrame:
    """A made table whose target follows from its columns, so that a model must find it."""
    rng = np.random.default_rng(seed)
    df = pd.DataFrame(
        {"job": rng.choice(["cook", "nurse", "pilot"], n), "age": rng.integers(20, 70, n).astype(float), "hours": rng.normal(40, 5, n)}
    )
    pay = df["job"].map({"cook": 20.0, "nurse": 30.0, "pilot": 60.0}) + df["age"] / 10 + (df["hours"] - 40)
    df.loc[rng.choice(n, n // 20, replace=False), "age"] = np.nan
    return df.assign(pay=pay * 1000, rich=np.where(pay > 38, "yes", "no"))


def loaders(target="rich", **settings) -> TabularDataLoaders:
    with captured_notes():
        return TabularDataLoaders.from_df(
            people(), **{"cat_names": ["job"], "cont_names": ["age", "hours"], "y_names": target, "seed": 1, "bs": 32, **settings}
        )


@pytest.fixture(scope="module")
def classifier():
    learn = tabular_learner(loaders(), metrics=["accuracy", "roc_auc_binary"], seed=1)
    learn.fit_one_cycle(6, 1e-2)
    return learn


@pytest.fixture(scope="module")
def regressor():
    learn = tabular_learner(loaders("pay"), seed=1)
    learn.fit_one_cycle(8, 1e-2)
    return learn


def test_a_batch_is_codes_numbers_and_targets():
    cats, conts, y = loaders().one_batch()
    assert (cats.shape, cats.dtype) == ((32, 2), torch.int64)  # job, and whether the age was missing
    assert (conts.shape, conts.dtype) == ((32, 2), torch.float32) and (y.shape, y.dtype) == ((32,), torch.int64)


def test_it_learns_classes(classifier):
    results = assess(classifier)
    assert results.set_index("metric").loc["accuracy", "value"] > 0.9


def test_it_learns_numbers_in_their_own_units(regressor):
    results = assess(regressor).set_index("metric")
    assert results.loc["r2_score", "value"] > 0.85 and 1000 < results.loc["rmse", "value"] < 8000
    assert results.loc["rmse", "baseline"] > 15_000
    label, index, probs = regressor.predict({"job": "pilot", "age": 50, "hours": 41})
    assert 55_000 < label < 75_000 and label == pytest.approx(float(index)) == pytest.approx(float(probs))


@pytest.mark.parametrize("row", [lambda df: df.iloc[0], lambda df: df.iloc[0].to_dict(), lambda df: next(df.itertuples())])
def test_one_row_is_predicted_from_whatever_it_is(classifier, row):
    df = people()
    label, index, probs = classifier.predict(row(df))
    preds, _ = classifier.get_preds(dl=classifier.dls.test_dl(df))
    assert label == classifier.dls.vocab[int(index)] and torch.allclose(probs, preds[0], atol=1e-6)


@pytest.mark.parametrize("rows", [lambda df: df, lambda df: df.to_dict("records"), lambda df: [df.iloc[i] for i in range(len(df))]])
def test_many_rows_are_predicted_together(classifier, rows):
    df = people().iloc[:5]
    preds, _ = classifier.get_preds(dl=classifier.dls.test_dl(df))
    found = classifier.predict(rows(df))
    assert torch.allclose(torch.stack([p.probs for p in found]), preds, atol=1e-6)


def test_a_model_file_predicts_the_same_from_columns_in_any_order(classifier, regressor, tmp_path):
    df = people(seed=3)
    for learn in (classifier, regressor):
        again = load_learner(learn.export(tmp_path / "model.burnish"))
        ours, _ = learn.get_preds(dl=learn.dls.test_dl(df))
        with captured_notes():
            theirs, _ = again.get_preds(dl=again.dls.test_dl(df[df.columns[::-1]]))
        assert torch.allclose(ours, theirs, atol=1e-6)
        label = learn.predict(df.iloc[0]).label
        assert again.predict(df.iloc[0]).label == (
            label if isinstance(label, str) else pytest.approx(label, rel=1e-6)
        )  # perhaps of another device


def test_a_loaded_model_is_judged_on_new_rows_with_their_targets(classifier, tmp_path):
    again = load_learner(classifier.export(tmp_path / "model.burnish"))
    found = assess(again, dl=again.dls.test_dl(people(seed=5), with_labels=True), metrics="accuracy")
    assert found["value"].iloc[0] > 0.85


def test_rows_without_labels_are_not_validated(classifier):
    df = people(seed=5)
    with pytest.raises(DataError, match=r"validate needs targets.*with_labels=True"):
        classifier.validate(dl=classifier.dls.test_dl(df))
    assert classifier.validate(dl=classifier.dls.test_dl(df, with_labels=True))["accuracy"] > 0.85


def test_what_is_new_in_rows_to_predict_is_said(classifier):
    df = people(seed=3).iloc[:10].drop(columns=["pay", "rich"]).assign(weather="fine")
    df["job"] = df["job"].astype(object)
    df.loc[0, "job"], df.loc[1, "hours"] = "spy", np.nan
    with captured_notes() as notes:
        classifier.dls.test_dl(df)
    said = " ".join(notes)
    assert "'weather'" in said.replace("weather", "'weather'", 1) and "'spy'" in said and "'hours' has 1 missing cell(s)" in said


def test_what_is_new_in_one_row_is_said_once(classifier):
    with captured_notes() as notes:
        for _ in range(3):
            classifier.predict({"job": "astronaut", "age": 30, "hours": None})
            classifier.predict({"job": "cook", "age": 30, "hours": 40})
    assert len(notes) == 1 and "'astronaut'" in notes[0] and "'hours' has 1 missing" in notes[0]


def test_a_missing_column_is_an_error_by_name(classifier):
    for give in (
        lambda: classifier.dls.test_dl(people().drop(columns="hours")),
        lambda: classifier.predict({"job": "cook", "age": 3, "hour": 4}),
    ):
        with pytest.raises(DataError, match="hours"):
            give()


def test_freezing_says_that_there_is_nothing_to_freeze_until_there_are_groups():
    learn = tabular_learner(loaders(), seed=1)
    with captured_notes() as notes:
        learn.unfreeze()
        assert not notes
        learn.freeze()
    assert len(notes) == 1 and "Nothing is frozen" in notes[0] and all(p.requires_grad for p in learn.model.parameters())
    learn.splitter = lambda model: [[p for p in model.parameters() if p is not model.layers[-1].bias], [model.layers[-1].bias]]
    with captured_notes() as notes:
        learn.freeze()
    assert not notes and [name for name, p in learn.model.named_parameters() if p.requires_grad] == [
        f"layers.{len(learn.model.layers) - 1}.bias"
    ]


def test_one_seed_gives_one_model():
    def trained():
        learn = tabular_learner(loaders(), seed=5)
        learn.fit_one_cycle(1)
        return learn.model.state_dict()

    a, b = trained(), trained()
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_several_numbers_are_predicted_together():
    df = people().assign(age2=people()["hours"] * 2)
    with captured_notes():
        dls = TabularDataLoaders.from_df(df, cat_names="job", cont_names=["age", "hours"], y_names=["pay", "age2"], seed=1)
    learn = tabular_learner(dls, seed=1)
    learn.fit_one_cycle(16, 1e-2)
    assert learn.predict(df.iloc[0]).probs.shape == (2,) and assess(learn, metrics="r2_score")["value"].iloc[0] > 0.9


def test_numbers_and_classes_are_predicted_together(tmp_path):
    with captured_notes():
        dls = TabularDataLoaders.from_df(people(), cat_names="job", cont_names=["age", "hours"], y_names=["pay", "rich"], seed=1)
    learn = tabular_learner(dls, seed=1)
    table = learn.fit_one_cycle(16, 1e-2)
    last = table.iloc[-1]
    assert last["pay_rmse"] < 4000 and last["rich_accuracy"] > 0.85
    row = people().iloc[0]
    (pay, rich), _, (_, probs) = learn.predict(row)
    assert 10_000 < pay < 90_000 and rich in ("yes", "no") and probs.shape == (2,)
    with captured_notes():
        again = load_learner(learn.export(tmp_path / "m.burnish"))
    assert again.predict(row).label == (pytest.approx(pay, rel=1e-6), rich) and [m.name for m in again.metrics] == [
        m.name for m in learn.metrics
    ]
    losses = learn.get_preds(with_loss=True).losses
    assert losses.shape == (len(dls.valid.rows),) and float(losses.mean()) == pytest.approx(learn.validate()[0], rel=1e-4)


def test_rare_classes_can_be_balanced():
    dls = loaders(balance="loss")
    assert len(dls.class_weights) == 2 and dls.class_weights[dls.vocab.index("yes")] != 1
    assert loaders(balance="sample").train.weights is not None
    with pytest.raises(SettingError, match="CategoryBlock"):
        loaders("pay", balance="loss")


def test_interpretation_shows_the_rows_themselves(classifier, regressor):
    interp = ClassificationInterpretation.from_learner(classifier)
    assert {"job", "age", "rich", "prediction", "loss"} <= set(interp.table) and interp.confusion_matrix().sum() == len(
        classifier.dls.valid.rows
    )
    losses, _, items = Interpretation.from_learner(regressor).top_losses(3, items=True)
    assert items[0]["job"] in ("cook", "nurse", "pilot") and losses[0] >= losses[2]
    by_job = Interpretation.from_learner(regressor).by_group("job", metrics="rmse")
    assert set(by_job["job"]) == {"cook", "nurse", "pilot"}


class Doubled(TabularProc):
    def apply(self, frame):
        return frame.assign(twice=frame["hours"] * 2)


def test_a_proc_of_ones_own_works_on_rows_to_predict_and_from_the_file(tmp_path):
    with captured_notes():
        dls = TabularDataLoaders.from_df(people(), procs=[Doubled], cat_names="job", cont_names=["twice"], y_names="rich", seed=1)
    learn = tabular_learner(dls, seed=1)
    again = load_learner(learn.export(tmp_path / "m.burnish"))
    row = {"job": "cook", "hours": 40.0}
    assert torch.allclose(learn.predict(row).probs, again.predict(row).probs, atol=1e-6)


# -- what any learner does --------------------------------------------------------------------------------------------------


def test_rows_are_shown_as_a_table(classifier, capsys):
    classifier.dls.show_batch(3)
    batch = capsys.readouterr().out
    assert all(name in batch for name in ("job", "age_na", "hours", "rich")) and len(batch.splitlines()) == 4
    classifier.show_results(max_n=4)
    results = capsys.readouterr().out
    assert "rich_pred" in results and len(results.splitlines()) == 5
    ClassificationInterpretation.from_learner(classifier).plot_top_losses(2)
    assert "loss" in capsys.readouterr().out
    assert "samples in" in classifier.dls.summary() and len(classifier.dls.train_ds) == len(classifier.dls.train.rows)


def test_the_finder_the_summary_and_the_callbacks_work():
    learn = tabular_learner(loaders(), seed=1, cbs=[EarlyStopping(patience=1)])
    before = {k: v.clone() for k, v in learn.model.state_dict().items()}
    assert 1e-5 < learn.lr_find(show_plot=False).valley < 1
    assert all(torch.equal(v, before[k]) for k, v in learn.model.state_dict().items())
    assert "Embedding" in str(learn.summary())
    learn.fit(2, 1e-3, cbs=[GradientClip(1.0), EMA()])
    with pytest.raises(SettingError, match="tables"):
        learn.tta()


def test_weights_are_kept_and_put_back(tmp_path):
    learn, other = (tabular_learner(loaders(), seed=s, path=tmp_path) for s in (1, 2))
    learn.fit(1)
    learn.save("tuned")
    other.load("tuned")
    assert torch.equal(learn.get_preds().preds, other.get_preds().preds)


def test_a_killed_run_goes_on_where_it_was_and_only_with_its_own_rows(tmp_path):
    def made(**settings):
        return tabular_learner(loaders(**settings), seed=1, path=tmp_path)

    whole = made()
    whole.fit(3, 1e-3)

    class Stop(Callback):
        def after_batch(self, learn):
            if learn.training and learn.step == 15:
                raise KeyboardInterrupt

    broken = made()
    with pytest.raises(KeyboardInterrupt):
        broken.fit(3, 1e-3, cbs=[Checkpoint(every_steps=5), Stop()])
    resumed = made()
    resumed.fit(3, 1e-3, cbs=[Checkpoint(every_steps=5)], resume=True)
    assert all(torch.equal(v, whole.model.state_dict()[k]) for k, v in resumed.model.state_dict().items())
    with pytest.raises(SettingError, match="resume"):
        made(splitter=RandomSplitter(0.2, seed=9)).fit(3, 1e-3, cbs=[Checkpoint(every_steps=5)], resume=True)


def test_a_loaded_model_is_trained_further_on_rows_prepared_alike(classifier, tmp_path):
    again = load_learner(classifier.export(tmp_path / "m.burnish"))
    more = people(300, seed=7).assign(job=lambda d: d["job"].replace("cook", "baker"))  # another category, other means
    with captured_notes():
        other = TabularDataLoaders.from_df(more, cat_names=["job"], cont_names=["age", "hours"], y_names="rich", seed=1)
        with pytest.raises(DataError, match=r"learn.dls.new\(df\)"):
            again.dls = other
        alike = again.dls.new(more, seed=1)
        again.dls = alike
        again.fit(1, 1e-4)
    assert alike.classes == classifier.dls.classes and alike.vocab == classifier.dls.vocab
    assert torch.allclose(alike.prepared.tensors[1], classifier.dls.test_dl(more).tensors[1].cpu()) and len(again.recorder.losses)
    unknown = classifier.dls.blocks[0].features[0].unknown
    assert set(alike.prepared.tensors[0][np.flatnonzero(more["job"] == "baker"), 0].tolist()) == {unknown}
    with pytest.raises(DataError, match="hours"):
        again.dls.new(more.drop(columns="hours"))
    with pytest.raises(DataError, match="rich"):
        again.dls.new(more.drop(columns="rich"))


# -- the network ----------------------------------------------------------------------------------------------------------


def test_the_network_is_the_familiar_one():
    model = TabularModel([(4, 3), (10, 6)], 5, 2, [200, 100])
    kinds = [type(m).__name__ for m in model.layers]
    assert kinds == ["Linear", "ReLU", "BatchNorm1d", "Linear", "ReLU", "BatchNorm1d", "Linear"]
    assert model.layers[0].in_features == 3 + 6 + 5 and isinstance(model.bn_cont, nn.BatchNorm1d)
    assert model(torch.zeros(7, 2, dtype=torch.long), torch.zeros(7, 5)).shape == (7, 2)


@pytest.mark.parametrize(("cats", "conts"), [([], ["hours"]), (["job"], [])])
def test_categories_or_numbers_alone_will_do(cats, conts, tmp_path):
    learn = tabular_learner(loaders(cat_names=cats, cont_names=conts), seed=1)
    learn.fit(1)
    assert load_learner(learn.export(tmp_path / "m.burnish")).predict(people().iloc[0]).label in ("yes", "no")


def test_settings_of_the_network():
    learn = tabular_learner(loaders(), layers=[16], emb_szs={"job": 5}, config=tabular_config(ps=0.1, use_bn=False), seed=0)
    assert learn.model.embeds[0].weight.shape == (5, 5)
    assert [type(m).__name__ for m in learn.model.layers] == ["Linear", "ReLU", "Dropout", "Linear"]
    assert emb_sz_rule(100) == 21 and get_emb_sz({"a": ["#na#", "x"]}) == [(3, 2)]


def test_the_default_network_is_realmlp_or_the_one_whose_settings_are_given():
    assert [tabular_learner(loaders(), config=config).arch for config in (None, {"ps": 0.1}, {"use_bn": False})] == [
        "realmlp",
        "realmlp",
        "mlp",
    ]
    learn = tabular_learner(loaders(), emb_szs={"job": 3})
    assert learn.lr == 2e-2 and learn.model.embeds[0].weight.shape == (5, 3) and 0 not in learn.model.few
    assert 0 in tabular_learner(loaders()).model.few and tabular_learner(loaders(), arch="mlp").lr == 1e-3


def test_a_number_is_told_piece_by_piece_as_the_training_rows_divide_it(tmp_path):
    values = torch.cat([torch.zeros(900), torch.rand(90, generator=torch.Generator().manual_seed(0)), torch.tensor([50.0] * 9 + [1000.0])])
    numbers = PiecewiseNumbers(2, bins=16, width=3)
    numbers.learn(torch.stack([values, torch.ones(1000)], 1))
    edges = numbers.edges[0]
    assert edges[0] == 0 and edges.max() == 1000 and (edges.diff() >= 0).all() and ((edges > 0) & (edges < 1)).sum() >= 5
    out = numbers(torch.tensor([[0.0, 1.0], [0.5, 1.0], [1e9, 1.0], [-1e9, 5.0]]))
    assert out.shape == (4, 2 * 4) and out.isfinite().all() and out[:, 0].abs().max() <= 3
    assert not torch.allclose(out[0, 1:4], out[1, 1:4])
    few = torch.cat([torch.zeros(980), torch.arange(1, 17).float() ** 3, torch.zeros(4)])
    numbers.learn(torch.stack([few, few + 1], 1))
    assert numbers.edges[0].tolist() == [float(i**3) for i in range(17)]  # few values: each is told, however rare
    learn = tabular_learner(loaders(), seed=1)
    again = load_learner(learn.export(tmp_path / "m.burnish"))
    assert torch.equal(again.model.numbers.edges, learn.model.numbers.edges.cpu()) and len(learn.model.numbers.edges[0].unique()) >= 50


@pytest.mark.parametrize("code", [-1, 3])
def test_a_code_without_an_embedding_is_an_error_and_not_another_columns(code):
    embeds = Embeddings([(3, 2), (5, 40), (4, 2)])
    assert embeds(torch.tensor([[2, 4, 3]])).shape == (1, 44)
    with pytest.raises(IndexError, match=f"code {code} in row 1, column 0.*from 0 to 2"):
        embeds(torch.tensor([[2, 4, 3], [code, 0, 0]]))


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("target", ["rich", "pay", ["pay", "rich"]])
def test_every_architecture_learns_every_kind_of_target_and_exports(arch, target, tmp_path):
    learn = tabular_learner(loaders(target), arch=arch, seed=1, path=tmp_path)
    with captured_notes():
        table = learn.fit_one_cycle(3, 1e-2)
    assert table["valid_loss"].iloc[-1] < table["valid_loss"].iloc[0] and learn.arch == arch
    again, row = load_learner(learn.export("m.burnish")), people().iloc[0]
    ours, theirs = (label if isinstance(label := made.predict(row).label, tuple) else (label,) for made in (learn, again))
    assert [b if isinstance(b, str) else pytest.approx(b, rel=1e-5) for b in ours] == list(theirs)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_y_range_holds_predictions_in_it(arch, tmp_path):
    learn = tabular_learner(loaders("pay"), y_range=(0, 50_000), arch=arch, seed=1)
    assert load_learner(learn.export(tmp_path / "m.burnish")).predict(people().iloc[0]).label <= 50_000


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"layer": [3]}, "layers"),
        ({"arch": "mlpp"}, "mlp"),
        ({"config": {"embedp": 0.1}}, "embed_p"),
        ({"emb_szs": {"jobs": 3}}, "job"),
        ({"emb_szs": {"job": 0}}, "at least 1"),
        ({"config": {"ps": [0.1]}}, "one for each of the 3 hidden layers"),
        ({"arch": "mlp", "config": {"ps": [0.1]}}, "one for each of the 2 hidden layers"),
        ({"arch": "mlp", "config": {"bins": 8}}, "'realmlp' ps, bins"),
    ],
)
def test_settings_that_are_none_are_refused_with_what_there_is(settings, said):
    with pytest.raises((SettingError, TypeError), match=said):
        tabular_learner(loaders(), **settings)


# -- real tables ------------------------------------------------------------------------------------------------------------


@pytest.mark.data("adult")
def test_a_census_in_a_few_lines():
    df = realdata.adult().sample(4000, random_state=0)
    with captured_notes():
        dls = TabularDataLoaders.from_df(df, y_names="income", splitter=RandomSplitter(0.2, seed=0), seed=0)
    learn = tabular_learner(dls, metrics="accuracy", seed=0)
    learn.fit_one_cycle(3, 1e-2)
    row = learn.results["valid"].iloc[0]
    assert row["value"] > 0.81 > row["baseline"]


def test_a_target_block_is_the_users_own():
    dls = loaders(y_block=CategoryBlock(vocab=["yes", "no"]))
    assert dls.vocab == ["yes", "no"] and loaders("pay", y_block=RegressionBlock(log=True)).target_blocks[0].log is True
