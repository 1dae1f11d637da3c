"""Several inputs of a picture model: pictures through one body, and the row of a table beside a picture."""

from __future__ import annotations

import random

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from burnish.data.apart import apart
from burnish.data.category import CategoryBlock
from burnish.data.datablock import DataBlock
from burnish.data.files import get_image_files
from burnish.data.label import ColReader, ItemGetter, parent_label
from burnish.data.multicategory import MultiCategoryBlock
from burnish.data.notes import captured_notes
from burnish.data.number import RegressionBlock
from burnish.data.split import ColSplitter, RandomSplitter
from burnish.deploy.predictor import Predictor
from burnish.deploy.report import write_report
from burnish.errors import DataError, SettingError
from burnish.evaluate.interpret import ClassificationInterpretation
from burnish.tabular.blocks import CategoriesBlock
from burnish.tabular.row import RowBlock
from burnish.train.callbacks.mix import MixUp
from burnish.train.export import load_learner
from burnish.vision.augment import aug_transforms
from burnish.vision.backbones import InputNormalize
from burnish.vision.blocks import ImageBlock
from burnish.vision.explain import explain
from burnish.vision.inputs import MultiInputModel, joint_features, paired
from burnish.vision.issues import find_issues
from burnish.vision.learner import vision_learner
from burnish.vision.masks import MaskBlock
from burnish.vision.segmentation import unet_learner
from burnish.vision.transforms import RandomResizedCrop, Resize

SMALL = "mobilenetv3_small_050"
TRAINED = "tf_efficientnet_lite0"
FAMILY = {"orange": "citrus", "satsuma": "citrus", "conference_pear": "pear", "granny_smith": "apple", "royal_gala": "apple"}


def family(file) -> str:
    return FAMILY.get(parent_label(file), parent_label(file))


def sides_of(photos) -> tuple[list, list]:
    """Photographs to train with and others to validate with."""
    files = get_image_files(photos)
    return [f for i, f in enumerate(files) if i % 4], files[::4]


def pairs_of(photos, n: int, n_valid: int) -> pd.DataFrame:
    """Pairs of photographs, half of them of one family; no photograph is on both sides."""
    rng, rows = random.Random(0), []
    for files, many, valid in zip(sides_of(photos), (n, n_valid), (False, True), strict=True):
        for i in range(many):
            a = rng.choice(files)
            b = rng.choice([f for f in files if f != a and (family(f) == family(a)) == (i % 2 == 0)])
            rows.append({"a": a, "b": b, "same": "no" if i % 2 else "yes", "is_valid": valid})
    return pd.DataFrame(rows)


def pair_block(target=CategoryBlock, get_y=None, size=96, **more) -> DataBlock:
    return DataBlock(
        blocks=(ImageBlock, ImageBlock, target), n_inp=2, get_x=[ColReader("a"), ColReader("b")], get_y=get_y or ColReader("same"),
        splitter=ColSplitter(), **{"item_tfms": Resize(size), **more},
    )  # fmt: skip


@pytest.fixture(scope="module")
def pairs(photos) -> pd.DataFrame:
    return pairs_of(photos, 40, 16)


def accuracy_of(learn) -> float:
    probs, targets = learn.get_preds()
    return float((probs.argmax(1) == targets).float().mean())


def small(block: DataBlock, source, **settings):
    """An untrained learner of a small network."""
    with captured_notes():
        dls = block.dataloaders(source, bs=8, seed=0, device="cpu")
    return vision_learner(dls, SMALL, pretrained=False, seed=0, **settings)


# -- pairs of pictures --------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def twins(photos):
    """A learner that was trained to say whether two photographs are of one family of fruit."""
    with captured_notes():
        dls = pair_block(batch_tfms=aug_transforms(), size=64).dataloaders(pairs_of(photos, 400, 120), bs=16, seed=0, device="cpu")
        learn = vision_learner(dls, TRAINED, weights="offline", seed=0, metrics="accuracy")
        with learn.no_logging():
            learn.fine_tune(2, 2e-3)
    return learn


def test_it_learns_whether_two_pictures_are_of_a_kind(twins):
    assert isinstance(twins.model, MultiInputModel) and accuracy_of(twins) > 0.75  # half of the pairs are


def test_the_body_is_one_and_begins_frozen_with_the_weights_own_statistics(pairs):
    with captured_notes():
        dls = pair_block().dataloaders(pairs, bs=8, seed=0, device="cpu")
        learn = vision_learner(dls, TRAINED, weights="offline", seed=0)
    alone = vision_learner(dls_of_one(pairs), TRAINED, weights="offline", seed=0)
    assert isinstance(learn.model.body.normalize, InputNormalize)
    batch = dls.one_batch()
    with torch.no_grad():
        mine, theirs = learn.model.body.eval(), alone.model[0].eval()
        for x in batch[:2]:  # each picture is normalised, and seen, as a single one is
            assert torch.allclose(mine(x), theirs(x), atol=1e-5)
    assert len(learn.splitter(learn.model)) == len(alone.splitter(alone.model))
    trains = [name for name, p in learn.model.named_parameters() if p.requires_grad and "bn" not in name]
    assert trains and not any(name.startswith("body.") for name in trains)
    assert any(n.startswith("head.") for n in trains) and any(n.startswith("narrow.") for n in trains)


def dls_of_one(pairs):
    with captured_notes():
        return DataBlock(
            blocks=(ImageBlock, CategoryBlock), get_x=ColReader("a"), get_y=ColReader("same"), splitter=ColSplitter(), item_tfms=Resize(96)
        ).dataloaders(pairs, bs=8, seed=0, device="cpu")  # fmt: skip


def test_each_picture_is_augmented_on_its_own(pairs):
    twice = pairs.assign(b=pairs.a)  # the same picture two times
    for how in ({"batch_tfms": aug_transforms()}, {"item_tfms": RandomResizedCrop(64, min_scale=0.3)}):
        with captured_notes():
            dls = pair_block(**how).dataloaders(twice, bs=8, seed=0, device="cpu")
        a, b, _ = dls.one_batch()
        apart_by = (a - b).abs().mean((1, 2, 3))
        assert (apart_by > 0.01).all(), how
        a, b, _ = next(iter(dls.valid))
        assert torch.equal(a, b)  # nothing is drawn in validation
        again = pair_block(**how).dataloaders(twice, bs=8, seed=0, device="cpu").one_batch()
        assert torch.equal(again[0], dls.one_batch()[0])


def test_pictures_with_a_mask_still_move_together():
    assert apart(["image", "image", "category"]) == [0, 1] and apart(["row", "image", "category"]) == [1]
    assert apart(["image", "image", "mask"]) is None and apart(["image", "category"]) is None


def test_order_matters_unless_the_pairing_is_symmetric(pairs):
    first, second = (dict(pairs.iloc[0])[name] for name in ("a", "b"))
    for pairing, matters in (("compare", True), ("concat", True), ("symmetric", False)):
        learn = small(pair_block(), pairs, pairing=pairing, init=None)
        nn.init.normal_(learn.model.head[-1].weight)
        there, back = learn.predict((first, second)).probs, learn.predict((second, first)).probs
        assert torch.allclose(there, back, atol=1e-5) is not matters, pairing


def test_what_the_head_is_given():
    a, b, c = torch.rand(3, 5, 4).unbind()
    assert [torch.equal(x, y) for x, y in zip(paired([a, b], "concat"), [a, b], strict=True)] == [True, True]
    for made, wanted in zip(paired([a, b], "compare"), [a, b, (a - b).abs(), a * b], strict=True):
        assert torch.allclose(made, wanted, atol=1e-6)
    mean, spread, product = paired([a, b, c], "symmetric")
    assert torch.allclose(product, (a * b + a * c + b * c) / 3, atol=1e-6)
    assert torch.allclose(mean, (a + b + c) / 3) and torch.equal(spread, torch.stack([a, b, c]).amax(0) - torch.stack([a, b, c]).amin(0))


@pytest.mark.parametrize(("n", "pairing"), [(2, "compare"), (3, "compare"), (3, "concat"), (3, "symmetric")])
def test_pictures_of_any_number_and_size(pairs, n, pairing):
    names = ["a", "b", "a"][:n]
    block = DataBlock(
        blocks=(*[ImageBlock] * n, CategoryBlock), n_inp=n, get_x=[ColReader(name) for name in names], get_y=ColReader("same"),
        splitter=ColSplitter(), item_tfms=Resize(64),
    )  # fmt: skip
    learn = small(block, pairs, pairing=pairing)
    config = learn.model_config
    assert config is not None and learn.model.head[0](torch.rand(2, joint_features(config))).shape == (2, joint_features(config))
    learn.model.eval()
    xs = [torch.rand(2, 3, 64, 64), torch.rand(2, 3, 96, 64), torch.rand(2, 3, 64, 64)][:n]
    with torch.no_grad():
        out = learn.model(*xs)
        assert out.shape == (2, 2) and torch.allclose(learn.model(*(x[:1] for x in xs)), out[:1], atol=1e-4)
    with pytest.raises(SettingError, match=f"takes {n} inputs .*got 1"):
        learn.model(xs[0])


@pytest.mark.parametrize(
    ("target", "get_y", "kind"),
    [
        (RegressionBlock, lambda row: float(len(row["a"].name) + len(row["b"].name)), float),
        (MultiCategoryBlock, lambda row: sorted({family(row["a"]), family(row["b"])}), list),
        (CategoryBlock, ColReader("same"), str),
    ],
)
def test_every_target(pairs, target, get_y, kind, tmp_path):
    learn = small(pair_block(target, get_y, size=64), pairs)
    with captured_notes(), learn.no_logging():
        learn.fine_tune(1)
        learn.show_results(max_n=2)
        learn.dls.show_batch(max_n=2)
        learn.export(tmp_path / "pairs.burnish")
    item = (pairs.a[0], pairs.b[0])
    said = learn.predict(item)
    assert isinstance(said.label, kind)
    assert torch.allclose(load_learner(tmp_path / "pairs.burnish").predict(item).probs, said.probs, atol=1e-5)


def test_predictions_of_one_of_many_and_of_a_loaded_model_agree(twins, photos, tmp_path):
    with captured_notes():
        twins.export(tmp_path / "twins.burnish")
    predictor = Predictor(tmp_path / "twins.burnish")
    table = twins.dls.valid.columns
    items = [(table[0][r], table[1][r]) for r in twins.dls.valid.rows[:5]]
    probs, _ = twins.get_preds()
    each = torch.stack([twins.predict(item).probs for item in items])
    assert torch.allclose(each, probs[:5], atol=1e-4)
    assert torch.allclose(torch.stack([p.probs for p in twins.predict(items)]), each, atol=1e-4)
    assert torch.allclose(twins.get_preds(dl=twins.dls.test_dl(items))[0], each, atol=1e-4)
    assert torch.allclose(torch.stack([predictor.predict(item).probs for item in items]), each, atol=1e-4)
    opened = (Image.open(items[0][0]), np.asarray(Image.open(items[0][1]).convert("RGB")))
    assert torch.allclose(predictor.predict(opened).probs, each[0], atol=0.05)  # decoded whole, not small
    said = predictor.table([items[0], (items[0][0], tmp_path / "gone.jpg"), items[1]])
    assert said.label.notna().tolist() == [True, False, True] and "gone.jpg" in said.error[1]
    assert said.file[0] == f"{items[0][0]}, {items[0][1]}"


def test_averages_of_augmented_pairs_are_as_good(twins):
    with captured_notes():
        probs, targets = twins.tta(n=2)
    assert (probs.argmax(1) == targets).float().mean() > 0.7


def test_pictures_of_a_sample_are_drawn_side_by_side(twins):
    with captured_notes():
        twins.dls.show_batch(max_n=3)
    assert [ax.get_title() in ("yes", "no") for ax in plt.gcf().axes[:3]] == [True] * 3
    shape = plt.gcf().axes[0].images[0].get_array().shape
    assert shape[0] == 64 and shape[1] > 2 * 64  # two pictures and a gap
    twins.show_results(max_n=3)
    assert [ax.get_title().count("\n") for ax in plt.gcf().axes[:3]] == [1] * 3 and plt.gcf().axes[0].images[0].get_array().shape == shape
    twins.show_prediction(tuple(twins.dls.table.iloc[0, :2]))
    assert plt.gcf().axes[0].images[0].get_array().shape[1] > 2 * 60 and "%" in plt.gcf().axes[0].get_title()
    found = ClassificationInterpretation.from_learner(twins)
    found.plot_top_losses(4)
    assert all(ax.images[0].get_array().shape == shape for ax in plt.gcf().axes[:4])
    item = found.top_losses(1, items=True)[2][0]
    assert isinstance(item, tuple) and len(item) == 2
    assert found.confusion_matrix().sum() == 120


def test_a_report_shows_the_pairs(twins, tmp_path):
    with captured_notes():
        write_report(twins, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    wrong = ClassificationInterpretation.from_learner(twins).top_losses(1, items=True)[2][0]
    assert f"{wrong[0].name}, {wrong[1].name}" in text


def test_pictures_on_both_sides_of_the_split_are_told(photos):
    files = get_image_files(photos)[:24]
    frame = pd.DataFrame({"a": files, "b": files[1:] + files[:1], "same": ["yes", "no"] * 12})
    block = DataBlock(
        blocks=(ImageBlock, ImageBlock, CategoryBlock), n_inp=2, get_x=[ColReader("a"), ColReader("b")], get_y=ColReader("same"),
        splitter=RandomSplitter(0.3, seed=0), item_tfms=Resize(64),
    )  # fmt: skip
    with captured_notes() as notes:
        dls = block.dataloaders(frame, bs=8, device="cpu")
    assert any("pictures in samples of more than one side" in str(n) for n in notes)
    assert "are in samples of train and valid" in str(dls.check())
    with captured_notes():
        apart_dls = pair_block().dataloaders(pairs_of(photos, 30, 12), bs=8, device="cpu")
    assert "in samples of train and valid" not in str(apart_dls.check())


def test_from_scratch_all_pictures_grow(pairs):
    learn = small(pair_block(size=128), pairs)
    seen = []
    hook = learn.model.body.register_forward_pre_hook(
        lambda module, args: seen.append((module.training, args[0].shape[0], args[0].shape[-1]))
    )
    with captured_notes(), learn.no_logging():
        learn.fine_tune(1)
    hook.remove()
    sizes = [size for training, n, size in seen if training and n > 2]
    assert min(sizes) < 128 and sizes == sorted(sizes)


# -- what can't be built --------------------------------------------------------------------------------------------------------
def test_wrong_numbers_of_inputs_are_told(twins, pairs):
    a, b = pairs.a[0], pairs.b[0]
    for item, got in ((a, "PosixPath|WindowsPath"), ((a, b, a), "a tuple of 3"), ([a, b], "Path"), (None, "NoneType")):
        with pytest.raises(SettingError, match=rf"a tuple of 2 inputs, \(image, image_2\).*got .*({got})"):
            twins.predict(item)
    with pytest.raises(SettingError, match="a tuple of 2 inputs"):
        twins.dls.test_dl([a, b])


def test_inputs_that_nothing_is_built_for_are_told(pairs):
    def learner(blocks, getters, n_inp=2, **settings):
        block = DataBlock(blocks=blocks, n_inp=n_inp, get_x=getters, get_y=ColReader("same"), splitter=ColSplitter(), item_tfms=Resize(64))
        return small(block, pairs, **settings)

    two = [ColReader("a"), ColReader("b")]
    length = lambda row: float(len(row["a"].name))  # noqa: E731
    with pytest.raises(SettingError, match=r"inputs here are ImageBlock, RegressionBlock.*Learner\(dls, model\)"):
        learner((ImageBlock, RegressionBlock, CategoryBlock), [two[0], length])
    with pytest.raises(SettingError, match=r"RowBlock.*inputs here are ImageBlock, CategoriesBlock"):
        learner((ImageBlock, CategoriesBlock, CategoryBlock), [two[0], lambda row: {"n": 1}])
    with pytest.raises(SettingError, match="one body, and they have 3, 1 channels"):
        learner((ImageBlock, ImageBlock("L"), CategoryBlock), two)
    with pytest.raises(SettingError, match="pairing='diff': expected one of 'compare'"):
        learner((ImageBlock, ImageBlock, CategoryBlock), two, pairing="diff")
    with pytest.raises(SettingError, match="pairing='concat' is of several pictures"):
        learner((ImageBlock, CategoryBlock), two[0], n_inp=1, pairing="concat")


def test_what_takes_one_picture_says_so(twins, pairs):
    item = (pairs.a[0], pairs.b[0])
    with pytest.raises(SettingError, match=r"explain takes samples of one picture; the inputs here are ImageBlock, ImageBlock"):
        explain(twins, item)
    with pytest.raises(SettingError, match="find_issues takes samples of one picture"):
        find_issues(twins)
    block = DataBlock(
        blocks=(ImageBlock, ImageBlock, MaskBlock(["a", "b"])),
        n_inp=2,
        get_x=[ItemGetter(0), ItemGetter(1)],
        get_y=ItemGetter(2),
        item_tfms=Resize(64),
    )
    picture, mask = Image.new("RGB", (64, 64)), np.zeros((64, 64), np.uint8)
    mask[:9] = 1
    with captured_notes():
        dls = block.dataloaders([(picture, picture, mask)] * 8, bs=4, device="cpu")
    with pytest.raises(SettingError, match=r"unet_learner takes samples of one picture"):
        unet_learner(dls, SMALL, pretrained=False)


# -- a picture and its row --------------------------------------------------------------------------------------------------------
def rows_of(photos, n: int = 700, n_valid: int = 160) -> pd.DataFrame:
    """Photographs with a market, a weight and a price; `bought` needs the picture and the weight: pears if heavy, others if light."""
    rng, rows = random.Random(0), []
    for files, many, valid in zip(sides_of(photos), (n, n_valid), (False, True), strict=True):
        files = [f for f in files if family(f) in ("pear", "citrus")]
        for _ in range(many):
            file, weight = rng.choice(files), rng.choice([rng.uniform(50, 110), rng.uniform(140, 200)])
            bought = (family(file) == "pear") == (weight > 125)
            market = None if rng.random() < 0.1 else rng.choice(["north", "south"])
            rows.append({
                "file": file, "market": market, "weight": weight, "price": None if rng.random() < 0.1 else rng.uniform(1, 3),
                "bought": "yes" if bought else "no", "is_valid": valid,
            })  # fmt: skip
    return pd.DataFrame(rows)


def row_block(**names) -> DataBlock:
    row = RowBlock(**(names or {"cat_names": "market", "cont_names": ["weight", "price"]}))
    return DataBlock(
        blocks=(ImageBlock, row, CategoryBlock), n_inp=2, get_x=[ColReader("file"), None], get_y=ColReader("bought"), splitter=ColSplitter(),
        item_tfms=Resize(64), batch_tfms=aug_transforms(),
    )  # fmt: skip


@pytest.fixture(scope="module")
def market(photos):
    with captured_notes():
        learn = vision_learner(
            row_block().dataloaders(rows_of(photos), bs=32, seed=0, device="cpu"), TRAINED, weights="offline", seed=0, metrics="accuracy"
        )
        with learn.no_logging():
            learn.fit_one_cycle(4, 3e-3)
    return learn


def test_a_label_that_needs_picture_and_row_is_learned_from_both(market, photos):
    """The row alone, and the picture alone, say nothing of it: half are bought at any weight, and of any fruit."""
    both = accuracy_of(market)
    frame = rows_of(photos)
    with captured_notes():
        blank = row_block(cont_names="price").dataloaders(frame, bs=32, seed=0, device="cpu")
        pictures = vision_learner(blank, TRAINED, weights="offline", seed=0, metrics="accuracy")
        with pictures.no_logging():
            pictures.fit_one_cycle(2, 3e-3)
    from sklearn.ensemble import RandomForestClassifier

    columns, valid = frame[["weight", "price"]].fillna(0), frame.is_valid
    forest = RandomForestClassifier(random_state=0).fit(columns[~valid], frame.bought[~valid])
    rows = forest.score(columns[valid], frame.bought[valid])
    assert both > 0.8 and both > accuracy_of(pictures) + 0.15 and both > rows + 0.15


def test_missing_cells_and_unknown_categories_are_answered_and_told(market, photos):
    file = get_image_files(photos)[0]
    with captured_notes() as notes:
        said = market.predict((file, {"market": "west", "weight": None, "price": 2}))
    assert torch.isfinite(said.probs).all() and any("'west'" in str(n) and "market" in str(n) for n in notes)
    same = [market.predict((file, {"market": cell, "weight": 180.0, "price": float("nan")})).probs for cell in (None, float("nan"), pd.NA)]
    assert torch.equal(same[0], same[1]) and torch.equal(same[0], same[2])
    heavy, light = (market.predict((file, {"market": "north", "weight": w, "price": 2.0})).label for w in (190, 60))
    assert heavy != light  # the row counts


def test_rows_come_in_every_form(market, photos):
    file, row = get_image_files(photos)[0], {"market": "north", "weight": 150.0, "price": 2.0}
    wanted = market.predict((file, row)).probs
    frame = pd.DataFrame([{**row, "other": 1}])
    for given in (frame.iloc[0], frame, next(frame.itertuples()), {**row, "weight": "150.0"}):
        assert torch.equal(market.predict((file, given)).probs, wanted)
    with pytest.raises(DataError, match=r"no column 'weight', 'price'.*It has: market"):
        market.predict((file, {"market": "north"}))
    with pytest.raises(DataError, match="weight"):
        market.predict((file, {**row, "weight": "heavy"}))
    with pytest.raises(DataError, match="A row was expected"):
        market.predict((file, 3))
    with pytest.raises(SettingError, match=r"a tuple of 2 inputs, \(image, row\)"):
        market.predict(file)


def test_a_model_of_picture_and_row_survives_its_file(market, photos, tmp_path):
    frame = rows_of(photos, 4, 4)
    with captured_notes():
        market.export(tmp_path / "market.burnish")
        probs = market.get_preds(dl=market.dls.test_dl(frame))[0]
        labelled = market.get_preds(dl=market.dls.test_dl(frame, with_labels=True))
        loaded = Predictor(tmp_path / "market.burnish")
        items = [(row["file"], row) for row in frame.to_dict("records")]
        again = torch.stack([p.probs for p in loaded.predict(items)])
    assert torch.allclose(probs, again, atol=1e-4) and torch.allclose(labelled[0], probs, atol=1e-5)
    assert [market.dls.vocab[i] for i in labelled[1]] == frame.bought.tolist()


def test_the_cells_are_read_beneath_the_picture(market):
    with captured_notes():
        market.dls.show_batch(max_n=4)
    texts = [ax.texts[0].get_text() for ax in plt.gcf().axes[:4]]
    assert all("market " in text and "weight " in text and "price " in text for text in texts)
    row = {"market": "west", "weight": 180.0, "price": None, "bought": "yes"}
    for given in (row, pd.Series(row), pd.DataFrame([row]).itertuples().__next__(), pd.DataFrame([row])):
        with captured_notes():
            market.show_prediction((market.dls.table.image.iloc[0], given))
        (beneath,) = [text.get_text() for text in plt.gcf().axes[0].texts]
        assert "weight 180" in beneath and "bought" not in beneath, "what the model gets, and nothing else"
    market.show_results(max_n=4)
    assert all("weight " in ax.texts[0].get_text() for ax in plt.gcf().axes[:4])


def test_rows_take_no_mixing_and_any_place(photos):
    frame = rows_of(photos, 40, 16)
    learn = small(row_block(), frame, cbs=MixUp())
    with pytest.raises(SettingError, match=r"MixUp mixes samples.*RowBlock gives can't be mixed"), captured_notes():
        learn.fit(1)
    block = DataBlock(
        blocks=(RowBlock(cont_names="weight"), ImageBlock, ImageBlock, CategoryBlock), n_inp=3, get_x=[None, ColReader("file"), ColReader("file")],
        get_y=ColReader("bought"), splitter=ColSplitter(), item_tfms=Resize(64),
    )  # fmt: skip
    learn = small(block, frame)
    with captured_notes(), learn.no_logging():
        learn.fine_tune(1)
        learn.show_results(max_n=2)
    file = frame.file[0]
    assert learn.predict(({"weight": 100}, file, file)).label in ("yes", "no")


def test_a_row_block_must_be_told_its_columns(photos):
    with pytest.raises(SettingError, match=r"RowBlock\(\) names no column"):
        RowBlock()
    with pytest.raises(DataError, match=r"Row 0: The row has no column 'wieght'.*Did you mean: weight"):
        row_block(cont_names="wieght").dataloaders(rows_of(photos, 9, 9), device="cpu")


def test_missing_numbers_are_shown_as_missing():
    block = RowBlock(cat_names="colour", cont_names="weight")
    block.fit([{"colour": "red", "weight": 1.0}, {"colour": None, "weight": None}, {"colour": "red", "weight": 3.0}])
    shown = block.decode(block.encode({"colour": None, "weight": None}))
    assert block.say(shown) == "colour missing\nweight missing"
    assert block.decode(block.encode({"colour": "red", "weight": 3.0})) == {"colour": "red", "weight": 3.0}


def test_new_data_must_have_the_same_inputs_and_codes(photos, tmp_path):
    frame = rows_of(photos, 40, 16)
    learn = small(row_block(), frame)
    with captured_notes():
        learn.export(tmp_path / "row.burnish")
        loaded = load_learner(tmp_path / "row.burnish")
        loaded.dls = row_block().dataloaders(frame, bs=8, device="cpu")  # of the same rows: the same codes
        other = row_block().dataloaders(frame.assign(market=frame.market.map({"north": "a", "south": "b"})), bs=8, device="cpu")
        for model in (learn, loaded):
            with pytest.raises(DataError, match="rows of the new data were prepared otherwise"):
                model.dls = other
        one = DataBlock(
            (ImageBlock, CategoryBlock), get_x=ColReader("file"), get_y=ColReader("bought"), splitter=ColSplitter(), item_tfms=Resize(64)
        )
        with pytest.raises(DataError, match=r"takes \(image, row\).*new data has \(image\)"):
            learn.dls = one.dataloaders(frame, bs=8, device="cpu")
