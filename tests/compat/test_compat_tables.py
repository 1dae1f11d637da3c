"""Tables, ratings and where a model errs, asked with fastai's names."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from burnish.compat import tables, widgets
from burnish.compat.blocks import TransformBlock
from burnish.compat.dataloaders import DataLoaders
from burnish.compat.factories import (
    CollabDataLoaders,
    ImageDataLoaders,
    TabularDataLoaders,
    collab_learner,
    tabular_learner,
    vision_learner,
)
from burnish.compat.interpretation import SegmentationInterpretation
from burnish.compat.learner import Learner
from burnish.compat.losses import MSELossFlat
from burnish.compat.table_loaders import ReadTabBatch, TabDataLoader, TabWeightedDL
from burnish.errors import SettingError
from burnish.evaluate.interpret import ClassificationInterpretation
from burnish.evaluate.metrics import accuracy
from burnish.tabular.models import TabularModel
from burnish.tabular.procs import Categorify, FillMissing, FillStrategy, Normalize
from burnish.vision.sample import sample_photos
from burnish.vision.transforms import Resize

pytestmark = pytest.mark.usefixtures("installed")


@pytest.fixture(scope="module")
def to():
    df = pd.DataFrame({"a": ["x", "y", "z", "x"] * 10, "b": np.arange(40.0), "c": [0.5, 1.5] * 20})
    df.loc[3, "b"] = np.nan
    splits = (list(range(30)), list(range(30, 40)))
    return tables.TabularPandas(df, [Categorify, FillMissing(FillStrategy.median)], ["a"], ["b"], "c", None, splits, True, None, False)


def test_a_table_made_ready(to, tmp_path):
    assert to.x_names == ["a", "b_na", "b"] and to.all_col_names[-1] == "c" and list(to.all_cols) == to.all_col_names
    assert list(to.cats) == ["a", "b_na"] and list(to.conts) == ["b"] and to.conts["b"].notna().all() and len(to.y) == 40
    assert (
        to.train.xs.shape == (30, 3)
        and len(to.valid.y) == 10
        and to.iloc[0]["a"] == to.loc[0]["a"]
        and to.decode_row(to.items.iloc[5])["b"] == 5
    )
    assert to.to_device() is to and to.process() is None and to.targ.equals(to.ys) and len(to.decode()) == 40
    again = pickle.loads(pickle.dumps(to))
    assert again.xs.equals(to.xs)
    rows = to.new(pd.DataFrame({"a": ["x", "new"], "b": [np.nan, 1.0]}))
    rows.process()
    assert (
        len(rows) == 2
        and rows.xs["b"].iloc[0] == to.xs["b"].iloc[3]
        and rows.cats["a"].iloc[0] == to.xs["a"].iloc[0]
        and list(rows.conts) == ["b"]
    )
    assert tables.get_emb_sz(to)[0][0] >= 4 and tables.get_emb_sz(to, {"a": 7})[0][1] == 7
    learn = tabular_learner(to.dataloaders(16), default_cbs=False)
    learn.fit(1)
    assert learn.get_preds()[0].shape == (10, 1)


def test_elapsed_times_are_fastais():
    df = pd.DataFrame(
        {"date": ["2020-01-01", "2020-01-03", "2020-01-05", "2020-01-02"], "store": [1, 1, 2, 2], "promo": [True, False, True, False]}
    )
    out = tables.add_elapsed_times(df, ["promo"], "date", "store")
    assert list(out)[3:] == ["Afterpromo", "Beforepromo", "promo_bw", "promo_fw"]
    assert out.iloc[:, 3:].to_numpy().tolist() == [[0, 0, 1, 1], [2, 0, 1, 0], [0, 0, 1, 1], [0, -3, 0, 1]]
    assert tables.df_shrink_dtypes(pd.DataFrame({"a": [1, 2], "b": [1.0, 2.0], "c": ["x", "y"]})) == {
        "a": np.int8,
        "b": np.float32,
        "c": "category",
    }


def test_a_model_of_ones_own_on_ratings(tmp_path):
    """Its embeddings have as many rows as there are classes, though burnish has one more code, for ids that training hasn't seen."""
    rng = np.random.default_rng(0)
    ratings = pd.DataFrame(
        {"user": rng.integers(0, 20, 300), "item": rng.integers(0, 9, 300), "rating": rng.integers(1, 6, 300).astype(float)}
    )
    dls = CollabDataLoaders.from_df(ratings, bs=32, seed=1)
    users, items = (len(c) for c in dls.classes.values())

    class Dot(nn.Module):
        def __init__(self):
            super().__init__()
            self.users, self.items = nn.Embedding(users, 4), nn.Embedding(items, 4)

        def forward(self, x):
            return (self.users(x[:, 0]) * self.items(x[:, 1])).sum(1, keepdim=True)

    learn = Learner(dls, Dot(), MSELossFlat(), path=tmp_path, default_cbs=False)
    learn.fit(3)
    assert len(learn.get_preds(dl=dls.test_dl(pd.DataFrame({"user": [1, 999], "item": [2, 3]})))[0]) == 2

    _, yb = dls.one_batch()
    assert yb.shape == (32, 1) and max(int(x[:, 0].max()) for x, _ in dls.train) < users
    preds, targs = learn.get_preds()
    assert preds.shape == targs.shape == (60, 1) and tables.get_emb_sz(dls)[0] == (users, 9)


def test_ratings_whose_model_gives_one_number_each(tmp_path):
    """Predictions ``(n,)`` come with targets ``(n,)``, so that what compares them compares each with its own."""
    rng = np.random.default_rng(0)
    ratings = pd.DataFrame({"user": rng.integers(0, 20, 200), "item": rng.integers(0, 9, 200), "rating": rng.integers(1, 6, 200)})
    dls = CollabDataLoaders.from_df(ratings, bs=64, seed=1)
    learn = collab_learner(dls, n_factors=4, y_range=(0, 5.5), default_cbs=False, path=tmp_path)
    learn.fit(1)
    preds, targs = learn.get_preds()
    assert preds.shape == targs.shape == (40,)
    titles = dls.classes["item"]
    assert titles[len(titles)] == "#na#" and titles[1] == 0 and len(learn.model.i_bias.weight) == len(titles) + 1


def test_ratings_made_ready_by_hand_train_as_those_of_the_factory(tmp_path):
    """Documented as what ``CollabDataLoaders.from_df`` does itself: a `TabularCollab` whose loaders are given to `collab_learner`."""
    rng = np.random.default_rng(0)
    ratings = pd.DataFrame({"user": rng.integers(0, 20, 200), "item": rng.integers(0, 9, 200), "rating": rng.integers(1, 6, 200) * 1.0})
    splits = (list(range(160)), list(range(160, 200)))
    to = tables.TabularCollab(ratings, [Categorify], ["user", "item"], y_names=["rating"], y_block=TransformBlock(), splits=splits)
    dls = to.dataloaders(path=tmp_path, bs=32)
    dls.__class__ = CollabDataLoaders
    xb, yb = dls.one_batch()
    assert xb.shape == (32, 2) and yb.shape == (32, 1) and list(dls.classes) == ["user", "item"]
    learn = collab_learner(dls, n_factors=4, y_range=(0.5, 5.5), default_cbs=False)
    learn.fit(1)
    assert learn.get_preds()[0].shape == (40,) and list(to.items) == ["user", "item", "rating"]


def test_what_a_table_has_learned(to):
    assert to.procs.categorify.classes["a"] == to.categorify["a"] == ["#na#", "x", "y", "z"] and to.classes["a"].o2i["y"] == 2
    assert list(to.procs.fill_missing.na_dict) == ["b"] and [type(p).__name__ for p in to.procs] == ["FillMissing", "Categorify"]
    assert not to.procs.normalize and to.c == 1 and not hasattr(to, "vocab") and not hasattr(to, "nonsense")
    with pytest.raises(AttributeError, match=r"no 'categorise'.*categorify"):
        _ = to.procs.categorise
    scaled = tables.TabularPandas(to.frame, [*to.procs, Normalize], ["a"], ["b"], "c", splits=(range(30), range(30, 40)))
    assert scaled.classes == to.classes and scaled.procs.normalize.means["b"] == pytest.approx(to.train.conts["b"].mean())
    assert (
        scaled.procs.normalize.stds["b"] == pytest.approx(to.train.conts["b"].std(ddof=0), rel=1e-5)
        and scaled.decode().items["b"].tolist() == to.items["b"].tolist()
    )


def test_rows_of_a_split_and_new_ones(to, capsys):
    df = pd.DataFrame({"a": ["z", "new", None], "b": [1.0, np.nan, 3.0], "c": [0.5, 1.5, 0.5], "other": [1, 2, 3]})
    rows = to.train.new(df)
    assert rows.items["a"].tolist()[:2] == ["z", "new"]
    rows.process()
    assert list(rows.items) == ["a", "b", "c", "other", "b_na"] and rows.cats["a"].iloc[0] == 3 and rows.ys["c"].tolist() == [0.5, 1.5, 0.5]
    rows.show()
    assert "z" in capsys.readouterr().out and rows.decode().items["b_na"].tolist() == [False, True, False]
    assert (
        to.train.cats.shape == (30, 2)
        and to.valid.items.shape == (10, 4)
        and to.valid.x_names.filter(lambda n: "_na" not in n) == ["a", "b"]
    )
    dl = to.dataloaders(16).valid.new(rows, bs=2)
    assert [len(y) for _, _, y in dl] == [2, 1] and dl.one_batch()[0][:, 0].tolist() == [3, 0] and dl.conts.shape == (3, 1)
    with pytest.raises(SettingError, match=r"dls\.test_dl"):
        dl.new(df)


def test_a_column_of_a_loader_is_changed(tmp_path):
    """What the well-known class that shuffles a column needs."""
    rng = np.random.default_rng(0)
    df = pd.DataFrame({"a": rng.choice(["x", "y"], 300), "b": rng.normal(size=300)})
    df["kind"] = np.where(df["b"] > 0, "yes", "no")
    dls = TabularDataLoaders.from_df(df, y_names="kind", cat_names=["a"], cont_names=["b"], bs=64, valid_idx=range(200, 300))
    learn = tabular_learner(dls, layers=[16], metrics=accuracy, default_cbs=False, path=tmp_path)
    learn.fit(12, 1e-2)
    dl = dls[1]
    assert (
        dl.items["kind"].tolist() == [int(k == "yes") for k in df["kind"][200:]] and dls.y_names == ["kind"] and dls.vocab == ["no", "yes"]
    )
    good, own = learn.validate(dl=dl)[1], dl.items["b"].values
    dl.items["b"] = own[rng.permutation(100)]
    bad = learn.validate(dl=dl)[1]
    dl.items["b"] = own
    assert good > 0.9 and bad < 0.75 and learn.validate(dl=dl)[1] == good
    labelled, bare = dls.test_dl(df.iloc[:9]), dls.test_dl(df.iloc[:9].drop(columns="kind"))
    assert len(labelled.one_batch()) == 3 and len(bare.one_batch()) == 2 and learn.get_preds(dl=bare)[1] is None
    *xb, yb = dls.one_batch()
    assert yb.shape == (64, 1) and learn.loss_func(learn.model(*xb), yb).ndim == 0


def test_embeddings_of_each_column(tmp_path):
    """As the well-known function that puts them in the place of categories, for other models, reads them."""
    rng = np.random.default_rng(0)
    df = pd.DataFrame({"few": rng.choice(["x", "y"], 200), "many": rng.integers(0, 15, 200).astype(str), "b": rng.normal(size=200)})
    dls = TabularDataLoaders.from_df(df, y_names="b", cat_names=["few", "many"], cont_names=[], bs=64)
    learn = tabular_learner(dls, layers=[8], default_cbs=False, path=tmp_path, arch="realmlp")
    made = [learn.model.embeds[i](torch.tensor(dls.xs[name].to_numpy())) for i, name in enumerate(dls.cat_names)]
    assert [tuple(m.shape) for m in made] == [(160, 4), (160, 8)] and len(list(learn.model.embeds)) == 2 and made[0].sum() == 160
    learn.fit(1)
    assert "embeds.weight" in learn.model.state_dict()


def test_loaders_that_are_made_by_hand(to, tmp_path):
    dls = DataLoaders(TabDataLoader(to.train, bs=8, shuffle=True, drop_last=True), TabWeightedDL(to.valid, bs=16), path=tmp_path)
    assert dls.c == 1 and len(dls.train) == 3 and isinstance(dls.valid, TabDataLoader) and dls.path == tmp_path

    def same(preds, targs):
        assert preds.shape == targs.shape
        return ((preds - targs) ** 2).mean()

    learn = tabular_learner(dls, layers=[8], loss_func=nn.functional.mse_loss, metrics=same, default_cbs=False)
    learn.fit(1)
    preds, targs = learn.get_preds()
    assert preds.shape == targs.shape == (10, 1)
    read = ReadTabBatch(to)
    batch = read(to.valid)
    assert [tuple(b.shape) for b in batch] == [(10, 2), (10, 1), (10, 1)] and read.decode(batch).items["b"].tolist() == list(range(30, 40))
    with pytest.raises(SettingError, match="rows of one table"):
        DataLoaders(TabDataLoader(to.train), TabDataLoader(tables.TabularPandas(to.frame, None, ["a"], ["b"], "c").valid))


def test_a_network_of_codes_alone():
    class EmbeddingNN(TabularModel):
        def __init__(self, emb_szs, layers, **kwargs):
            super().__init__(emb_szs, layers=layers, n_cont=0, out_sz=1, **kwargs)

    model = EmbeddingNN([(4, 3), (3, 2)], [8], y_range=(0, 5.5))
    assert model(torch.tensor([[1, 2], [3, 0]])).shape == (2, 1)


def test_where_a_model_errs():
    dls = ImageDataLoaders.from_folder(sample_photos(), valid_pct=0.25, seed=1, bs=9, item_tfms=Resize(32), device="cpu")
    learn = vision_learner(dls, "resnet10t", pretrained=False, default_cbs=False, seed=1)
    interp = ClassificationInterpretation.from_learner(learn, 1, None, None)
    losses, idxs = interp.top_losses(3)
    inputs, preds, targs, decoded, same = interp[idxs]
    assert inputs.shape[1:] == (3, 32, 32) and torch.equal(targs, interp.targs[idxs]) and torch.allclose(same, losses, atol=1e-4)
    assert torch.equal(decoded, preds.argmax(1)) and len(interp[0][1]) == 1 and len(interp[:2][0]) == 2
    with pytest.raises(SettingError, match="there are"):
        interp[10**6]
    assert issubclass(SegmentationInterpretation, type(interp).__mro__[1])


def test_widgets_are_there_where_their_package_is():
    pytest.importorskip("ipywidgets")
    assert widgets.Button and widgets.carousel([widgets.Button()]).children
