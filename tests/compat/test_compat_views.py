"""burnish's own loaders as code written for fastai looks at them; and data sets of known transforms, which these loaders read."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from burnish.compat import patched, showing
from burnish.compat.blocks import DataBlock, ImageBlock
from burnish.compat.data_transforms import IntToFloatTensor, Normalize, ToTensor
from burnish.compat.datasets import Datasets
from burnish.compat.factories import ImageDataLoaders, vision_learner
from burnish.compat.label_transforms import Categorize
from burnish.compat.learner import Learner
from burnish.compat.picture_types import PILImage
from burnish.compat.splitters import RandomSplitter
from burnish.compat.tensors import TensorBBox, TensorCategory, TensorImage, TensorImageBW, TensorMultiCategory
from burnish.compat.tfmd_loaders import TfmdDL
from burnish.compat.transform import Transform
from burnish.compat.typed import typedispatch
from burnish.data.category import CategoryBlock
from burnish.data.files import get_image_files
from burnish.data.label import parent_label
from burnish.data.loader import DataLoader
from burnish.evaluate.interpret import ClassificationInterpretation
from burnish.evaluate.metrics import error_rate
from burnish.train.export import load_learner
from burnish.vision.augment import aug_transforms, imagenet_stats
from burnish.vision.boxes import BBoxBlock, BBoxLblBlock
from burnish.vision.sample import sample_photos
from burnish.vision.transforms import Resize


@pytest.fixture(autouse=True)
def _installed():
    patched.install()
    yield
    patched.uninstall()
    plt.close("all")


@pytest.fixture(scope="module")
def files():
    return get_image_files(sample_photos())[::4]


def _block(**kwargs):
    given = {"get_y": parent_label, "item_tfms": Resize(24), "splitter": RandomSplitter(seed=3)}
    return DataBlock(blocks=(ImageBlock, CategoryBlock), **{**given, **kwargs})


def test_loaders_show_their_samples_labels_and_transforms(files):
    dls = _block(batch_tfms=[Normalize.from_stats(*imagenet_stats)]).dataloaders(files, bs=4)
    x, y = dls.one_batch()
    assert type(x) is TensorImage and type(y) is TensorCategory and type(dls.loss_func).__name__ == "CrossEntropyLossFlat"
    picture, label = dls.train_ds[0]
    assert (
        isinstance(picture, PILImage)
        and type(label) is TensorCategory
        and len(dls.valid_ds) == len(dls.valid_ds.items) == len(dls.valid.items)
    )
    assert dls.vocab.o2i[dls.vocab[2]] == 2 and dls.vocab[[0, 2]] == [dls.vocab[0], dls.vocab[2]] and dls.train.vocab == dls.vocab
    assert [f.name.split(" ")[0] for f in dls.after_item] == ["Resize", "ToTensor"] and len(dls.train.after_batch) == 2
    assert dls.new(bs=2).train.bs == 2 and dls.train.bs == 4 and len(dls.train.decode((x, y))) == 2
    before = plt.get_fignums()
    dls.show_batch(b=(x, y), max_n=2, vmin=1)
    assert len(plt.get_fignums()) == len(before) + 1 and len(plt.gcf().axes) == 2
    with pytest.raises(TypeError, match="max"):
        dls.show_batch(maxn=2)
    grey = (
        _block(blocks=None)
        if False
        else DataBlock(blocks=(ImageBlock(cls=_grey()), CategoryBlock), get_y=parent_label, item_tfms=Resize(8))
    )
    assert type(grey.dataloaders(files, bs=2).one_batch()[0]) is TensorImageBW


def _grey():
    from burnish.compat.picture_types import PILImageBW

    return PILImageBW


def test_a_seed_splits_as_it_does_there():
    train, valid = RandomSplitter(seed=1)(range(10))
    assert list(train) == [1, 2, 0, 8, 9, 3, 7, 4] and list(valid) == [5, 6]  # as fastai 2.8.12 gives them
    state = torch.get_rng_state()
    RandomSplitter(seed=1)(range(10))
    assert torch.equal(state, torch.get_rng_state())


def test_a_splitter_of_a_table_gets_the_table(files):
    frame = pd.DataFrame(
        {"name": [str(f) for f in files], "kind": [f.parent.name for f in files], "held": [i % 3 == 0 for i in range(len(files))]}
    )
    seen = []

    def splitter(df):
        seen.append(type(df))
        return df.index[~df["held"]].tolist(), df.index[df["held"]].tolist()

    dls = _block(get_x=lambda r: r["name"], get_y=lambda r: r["kind"], splitter=splitter).dataloaders(frame, bs=4)
    assert seen == [pd.DataFrame] and dls.valid.n == int(frame["held"].sum())
    assert isinstance(dls.train_ds.items, pd.DataFrame) and set(dls.train_ds.items["held"]) == {False}


def test_normalising_by_a_batch(files):
    for dls in (
        _block(batch_tfms=Normalize()).dataloaders(files, bs=16),
        ImageDataLoaders.from_path_func(".", files, parent_label, item_tfms=Resize(24), batch_tfms=Normalize(), bs=16),
    ):
        x = dls.one_batch()[0]
        assert abs(float(x.mean())) < 0.3 and 0.7 < float(x.std()) < 1.3


def test_transforms_act_in_the_order_that_fastai_has(files):
    class First(Transform):
        order = 0

        def encodes(self, x: PILImage):
            sizes.append(x.size)
            return x

    sizes = []
    _block(item_tfms=[Resize(24), First()]).dataloaders(files, bs=2, num_workers=0).one_batch()
    assert sizes and (24, 24) not in sizes
    block = _block(batch_tfms=[Normalize.from_stats(*imagenet_stats), *aug_transforms()])
    assert type(block.batch_tfms[-1]) is Normalize


def test_boxes_and_their_labels_are_two_targets(files):
    boxes = {f: ([[10.0, 10, 60, 60], [70, 20, 130, 120]] if i % 2 else [[20.0, 20, 100, 90]]) for i, f in enumerate(files)}
    block = DataBlock(
        blocks=(ImageBlock, BBoxBlock, BBoxLblBlock), n_inp=1, get_y=[lambda o: boxes[o], lambda o: ["pear", "apple"][: len(boxes[o])]],
        item_tfms=Resize(32, method="squish"), splitter=RandomSplitter(seed=1),
    )  # fmt: skip
    dls = block.dataloaders(files, bs=len(files) // 2)
    _, places, labels = dls.one_batch()
    assert type(places) is TensorBBox and places.shape[1:] == (2, 4) and places.abs().max() <= 1 and dls.vocab == ["#na#", "apple", "pear"]
    assert type(labels) is TensorMultiCategory and set(labels.flatten().tolist()) == {0, 1, 2}
    dls.show_batch(max_n=2)
    assert {t.get_text() for ax in plt.gcf().axes for t in ax.texts} <= {"pear", "apple"} and plt.gcf().axes


# -- data sets of known transforms -----------------------------------------------------------------------------------------
def _dsets(files):
    return Datasets(files, [[PILImage.create], [parent_label, Categorize()]], splits=RandomSplitter(seed=1)(files))


AFTER = {"after_item": [Resize(24), ToTensor()], "after_batch": [IntToFloatTensor(), Normalize.from_stats(*imagenet_stats, cuda=False)]}


def test_known_transforms_are_read_by_burnish_and_give_the_same(files, tmp_path):
    dsets = _dsets(files)
    own = dsets.dataloaders(bs=4, **AFTER)
    other = dsets.dataloaders(bs=4, after_item=[lambda o: o, Resize(24), ToTensor()], after_batch=AFTER["after_batch"])
    assert isinstance(own.train, DataLoader) and isinstance(other.train, TfmdDL) and type(own.train_ds) is Datasets
    (x, y), (a, b) = own.valid.one_batch(), other.valid.one_batch()
    order = [own.valid.items.index(f) for f in other.valid.items[:4]]
    xs = torch.cat([batch[0] for batch in own.valid])
    assert (xs[order] - a.as_subclass(torch.Tensor)).abs().mean() < 0.06  # files in JPEG are decoded small
    labels = torch.cat([batch[1] for batch in own.valid])[order]
    assert [own.vocab[i] for i in labels] == [other.vocab[int(i)] for i in b]
    assert own.vocab == list(other.vocab) and x.shape == a.shape and y.dtype == b.dtype
    learn = Learner(own, nn.Sequential(nn.Flatten(), nn.Linear(3 * 24 * 24, 6)), lr=0.01)
    learn.fit(1)
    assert str(learn.predict(files[0])[0]) in own.vocab
    learn = vision_learner(own, "resnet10t", pretrained=False, path=tmp_path)
    learn.export("m")
    assert load_learner(tmp_path / "m").predict(files[0])[0] in own.vocab


@pytest.mark.parametrize(
    "changed",
    [
        {"after_item": [Resize(24)]},
        {"after_batch": []},
        {"before_batch": [lambda o: o]},
        {"n": 3},
        {"after_item": [Transform(lambda o: o), ToTensor()]},
    ],
    ids=["no tensors", "no floats", "before_batch", "n", "unknown transform"],
)
def test_anything_unknown_is_left_to_the_pipelines(files, changed):
    assert isinstance(_dsets(files).dataloaders(bs=2, **{**AFTER, **changed}).train, TfmdDL)


def test_what_is_drawn_for_an_item_stays_drawn(files):
    rng = np.random.default_rng(0)
    dsets = Datasets(
        files,
        [[PILImage.create], [lambda o: str(rng.integers(3)), Categorize(vocab=["0", "1", "2"])]],
        splits=RandomSplitter(seed=1)(files),
    )
    assert isinstance(dsets.dataloaders(bs=2, **AFTER).train, TfmdDL)


# -- results by type -------------------------------------------------------------------------------------------------------
class Inverted(PILImage):
    """A picture of a type of its own."""


def test_results_are_shown_by_who_knows_the_type(files):
    class ToInverted(Transform):
        def encodes(self, f: object):
            return Inverted(Image.open(f).convert("RGB"))

    class TensorInverted(TensorImage):
        pass

    Inverted._tensor_cls = TensorInverted
    dsets = Datasets(files, [[ToInverted], [parent_label, Categorize()]], splits=RandomSplitter(seed=1)(files))
    dls = dsets.dataloaders(bs=4, **AFTER)
    assert type(dls.one_batch()[0]) is TensorInverted
    seen = []

    @typedispatch
    def show_batch(x: TensorInverted, y, samples, ctxs=None, max_n=9, **kwargs):
        seen.append(("batch", type(samples[0][0]), str(samples[0][1])))

    @typedispatch
    def show_results(x: TensorInverted, y, samples, outs, ctxs=None, max_n=9, **kwargs):
        seen.append(("results", len(outs), str(outs[0][0])))

    dls.show_batch(max_n=2)
    learn = Learner(dls, nn.Sequential(nn.Flatten(), nn.Linear(3 * 24 * 24, 6)))
    learn.show_results(max_n=3)
    assert (
        [s[0] for s in seen] == ["batch", "results"]
        and seen[0][1] is TensorInverted
        and seen[0][2] in dls.vocab
        and seen[1][2] in dls.vocab
    )


def test_burnishs_own_loaders_are_shown_by_what_a_user_has_written_for_their_types(files, tmp_path, monkeypatch):
    for function in (showing.show_batch, showing.show_results, showing.plot_top_losses):
        monkeypatch.setattr(function, "functions", list(function.functions))
    seen = {}

    @typedispatch
    def show_batch(x: TensorImage, y: TensorCategory, samples, ctxs=None, max_n=6, nrows=None, **kwargs):
        seen["batch"] = x.shape, nrows, samples

    @typedispatch
    def show_results(x: TensorImage, y: TensorCategory, samples, outs, ctxs=None, max_n=6, **kwargs):
        seen["results"] = len(samples), outs

    @typedispatch
    def plot_top_losses(x: TensorImage, y: TensorCategory, samples, outs, raws, losses, **kwargs):
        seen["losses"] = x.shape, raws.shape, losses, kwargs

    dls = ImageDataLoaders.from_path_func(tmp_path, files, parent_label, item_tfms=Resize(24), bs=4, seed=1)
    dls.show_batch(max_n=2, nrows=1)
    shape, nrows, samples = seen["batch"]
    assert (
        shape == (4, 3, 24, 24) and nrows == 1 and len(samples) == 2 and samples[0][1] in dls.vocab and samples[0][0].shape == (3, 24, 24)
    )
    assert hasattr(samples[0][1], "show")
    learn = Learner(dls, nn.Sequential(nn.Flatten(), nn.Linear(3 * 24 * 24, 6)))
    learn.show_results(max_n=3)
    assert seen["results"][0] == 3 and seen["results"][1][0][0] in dls.vocab
    interp = ClassificationInterpretation.from_learner(learn)
    interp.plot_top_losses(2, figsize=(3, 3))
    shape, raws, losses, options = seen["losses"]
    assert shape == (2, 3, 24, 24) and raws == (2, 6) and torch.equal(losses, interp.top_losses(2)[0]) and options == {"figsize": (3, 3)}
    with pytest.raises(NotImplementedError, match="burnish knows"):
        showing.plot_top_losses(1, 2, None, None, None, None)


# -- learners --------------------------------------------------------------------------------------------------------------
def test_two_targets_with_a_loss_and_metrics_of_ones_own(files):
    block = DataBlock(
        blocks=(ImageBlock, CategoryBlock, CategoryBlock), n_inp=1, get_y=[parent_label, lambda f: f.parent.name[0]], item_tfms=Resize(32), splitter=RandomSplitter(seed=3)
    )  # fmt: skip
    dls = block.dataloaders(files, bs=8)

    def loss(out, kind, letter):
        return F.cross_entropy(out[:, :6], kind) + F.cross_entropy(out[:, 6:], letter)

    def kind_err(out, kind, letter):
        return error_rate(out[:, :6], kind)

    n = 6 + len(dls.blocks[2].vocab)
    learn = vision_learner(dls, "resnet10t", loss_func=loss, metrics=kind_err, n_out=n, pretrained=False)
    learn.fit(1)
    assert learn.get_preds()[0].shape == (dls.valid.n, n) and 0 <= learn.recorder.values[-1][-1] <= 1


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_networks_that_look_at_memory_have_it_as_they_expect_it(files, capsys, precision):
    class Views(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.Linear(4 * 144, 6)

        def forward(self, x):
            x = self.conv(x)
            return self.head(x.view(x.size(0), -1))

    learn = Learner(_block().dataloaders(files, bs=8), Views(), precision=precision)
    learn.fit(2)
    assert capsys.readouterr().err.count("x.view(...)") == 1 and learn.get_preds()[0].shape[1] == 6


def test_the_layer_groups_that_are_asked_for(files):
    dls = _block().dataloaders(files, bs=8)
    assert len(vision_learner(dls, "resnet18", pretrained=False).groups) == 3
    learn = vision_learner(dls, "resnet10t", pretrained=False)
    assert (
        len(learn.groups) == 2
        and len(learn.model[0]) == len(list(learn.model[0]))
        and learn.model.get_submodule("0.0") is learn.model[0][0]
    )
    learn.freeze_to(-1)
    assert learn.opt.frozen_idx == 1 and len(learn.opt.param_lists) == 2 and learn.metrics == []


def test_functions_that_make_optimizers_of_lists_of_parameters(files):
    dls = _block().dataloaders(files, bs=8)
    seen = []

    def opt_func(params, lr, **kwargs):
        seen.extend(len(list(p)) for p in params)
        return torch.optim.SGD([{"params": p} for p in params], lr=lr, momentum=0.9)

    learn = Learner(dls, nn.Sequential(nn.Flatten(), nn.Linear(3 * 24 * 24, 6)), opt_func=opt_func)
    learn.fit(1, 0.01)
    assert seen == [1, 1] and len(learn.opt.param_lists) == 1 and learn.opt.hypers[0]["mom"] == 0.9


def test_functions_as_callbacks_get_the_callback(files):
    from burnish.compat.callback import Callback

    seen = []
    learn = Learner(_block().dataloaders(files, bs=8), nn.Sequential(nn.Flatten(), nn.Linear(3 * 24 * 24, 6)))
    learn.fit(1, cbs=[Callback(before_fit=lambda cb: seen.append(cb.learn is learn)), Callback(after_epoch=lambda: seen.append("epoch"))])
    assert seen == [True, "epoch"]


def test_transforms_added_and_calls_that_are_familiar(files, capsys):
    from burnish.compat.augment_classes import aug_transforms as familiar
    from burnish.vision.augment import Brightness

    dls = ImageDataLoaders.from_dblock(_block(), files, bs=4)
    n = len(dls.train.after_batch)
    dls.add_tfms([Brightness(p=1.0)], "after_batch", "train")
    assert len(dls.train.after_batch) == n + 1 and len(dls.valid.after_batch) == n
    familiar(min_scale=0.5)
    assert "no effect without size" in capsys.readouterr().err
    learn = Learner(dls, nn.Sequential(nn.Flatten(), nn.Linear(3 * 24 * 24, 6)), opt_func=torch.optim.SGD)
    learn.fit_one_cycle(1, 0.01, moms=(0, 0, 0))
    assert "without momentum" in capsys.readouterr().err


def test_pictures_are_cut_and_padded(files):
    img = PILImage.create(files[0])
    w, h = img.size
    assert img.crop_pad(30).size == (30, 30) and img.crop_pad((w + 20, h + 10), pad_mode="border").size == (w + 20, h + 10)
    assert img.crop_pad((20, 10), tl=(5, 5)).tobytes() == img.crop((5, 5, 25, 15)).tobytes() and img.crop_pad(
        40, resize_to=(8, 8)
    ).size == (8, 8)
    with pytest.raises(Exception, match="beyond the picture"):
        img.crop_pad(50, tl=(w - 10, 0))


def test_hooks_of_both_kinds_one_after_the_other():
    from burnish.train.hooks import hook_output

    layer = nn.Linear(2, 2)
    layer.register_backward_hook(lambda *args: None).remove()  # PyTorch's old kind
    with hook_output(layer, grad=True) as hook:
        layer(torch.ones(1, 2, requires_grad=True)).sum().backward()
    assert hook.stored is not None


def test_a_view_that_no_layout_allows_stays_an_error(files):
    class Wrong(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x):
            return self.conv(x).transpose(1, 3).view(len(x), -1)

    learn = Learner(_block().dataloaders(files, bs=8), Wrong())
    with pytest.raises(RuntimeError, match="view size is not compatible"):
        learn.fit(1)


def test_the_input_of_a_prediction_by_pipelines_is_decoded(files):
    dls = _dsets(files).dataloaders(bs=4, after_item=[lambda o: o, *AFTER["after_item"]], after_batch=AFTER["after_batch"])
    learn = Learner(dls, nn.Sequential(nn.Flatten(), nn.Linear(3 * 24 * 24, 6)))
    picture, label, _, probs = learn.predict(files[0], with_input=True)
    assert picture.shape == (3, 24, 24) and picture.max() > 100 and label in dls.vocab and len(probs) == 6
