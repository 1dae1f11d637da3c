"""DataBlock: the table, what is said about mistakes, copies."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from burnish.data.block import Block
from burnish.data.category import CategoryBlock
from burnish.data.datablock import DataBlock
from burnish.data.dataloaders import DataLoaders
from burnish.data.files import get_image_files
from burnish.data.label import ColReader, RegexLabeller, parent_label
from burnish.data.notes import captured_notes
from burnish.data.split import GroupSplitter, IndexSplitter, RandomSplitter
from burnish.errors import DataError, NotTrainableError, SettingError
from burnish.vision.augment import aug_transforms
from burnish.vision.blocks import ImageBlock
from burnish.vision.transforms import RandomResizedCrop, Resize


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for label in ("ant", "bee"):
        (tmp_path / label).mkdir()
        for i in range(10):
            Image.fromarray(rng.integers(0, 255, (20 + i, 30, 3), dtype=np.uint8)).save(tmp_path / label / f"{label}_{i}.png")
    return tmp_path


def pictures(**kwargs):
    settings = {
        "get_items": get_image_files,
        "get_y": parent_label,
        "item_tfms": Resize(16),
        "splitter": RandomSplitter(0.2, seed=1),
        **kwargs,
    }
    return DataBlock((ImageBlock, CategoryBlock), **settings)


def test_the_table_has_a_row_a_sample(folder):
    dls = pictures().dataloaders(folder, bs=4)
    table = dls.table
    assert list(table.columns) == ["image", "label", "split"] and len(table) == 20
    assert table.split.value_counts().to_dict() == {"train": 16, "valid": 4}
    assert (table.label == [p.parent.name for p in table.image]).all()
    assert table.image.tolist() == sorted(table.image)
    assert dls.vocab == ["ant", "bee"] and dls.c == 2


def test_a_table_keeps_its_own_columns(folder):
    files = get_image_files(folder)
    df = pd.DataFrame({"file": [str(f) for f in files], "species": [f.parent.name for f in files], "site": ["n", "s"] * 10, "split": 0})
    dls = DataBlock(
        (ImageBlock, CategoryBlock),
        get_x=ColReader("file"),
        get_y=ColReader("species"),
        splitter=GroupSplitter("site", 0.5, seed=0),
        item_tfms=Resize(8),
    ).dataloaders(df, bs=2)
    assert {"file", "species", "site", "source_split"} <= set(dls.table.columns)
    assert (dls.table.group == dls.table.site).all()
    assert dls.table.groupby("site").split.nunique().eq(1).all()


def test_three_way_splits(folder):
    dls = pictures(splitter=RandomSplitter(0.2, seed=0, test_pct=0.3)).dataloaders(folder, bs=4)
    assert [dl.n for dl in dls] == [10, 4, 6] and dls.test.n == 6 and len(dls.test_ds) == 6


def test_datasets_show_opened_samples(folder):
    with captured_notes() as notes:
        found = pictures().datasets(folder)
    image, label = found.train[0]
    assert isinstance(image, Image.Image) and label in ("ant", "bee") and found.vocab == ["ant", "bee"]
    assert (len(found.train), len(found.valid), found.test, len(found.table)) == (16, 4, None, 20)
    assert found.train.items[0].exists() and not any("batch size" in n for n in notes)
    with pytest.raises(IndexError, match="There is no sample 16"):
        found.train[16]


def test_without_a_splitter_the_split_is_always_the_same(folder):
    block = pictures(splitter=None)
    first, second = block.table(folder), block.table(folder)
    assert first.split.equals(second.split) and (first.split == "valid").sum() == 4
    assert not block.table(folder, seed=5).split.equals(first.split)


def test_new_is_a_changed_copy(folder):
    block = pictures()
    other = block.new(item_tfms=RandomResizedCrop(24), batch_tfms=aug_transforms())
    assert repr(block.item_tfms) == repr([Resize(16)]) and block.batch_tfms == []
    assert other.dataloaders(folder, bs=4).one_batch()[0].shape == (4, 3, 24, 24)
    kept = other.new(batch_tfms=None)
    assert len(kept.item_tfms) == 1 and kept.batch_tfms == [], "what isn't named stays"
    with pytest.raises(TypeError, match="item_tfm"):
        block.new(item_tfm=Resize(8))


def test_two_transforms_of_one_kind_are_both_applied(folder):
    dls = pictures(item_tfms=[Resize(24), Resize(12)]).dataloaders(folder, bs=2)
    assert dls.one_batch()[0].shape[-2:] == (12, 12) and len(dls.train.reader.item_tfms) == 2


def test_a_declaration_serves_many_sources_and_learns_nothing(folder):
    block = pictures()
    block.dataloaders(folder, bs=4)
    assert block.blocks[1].vocab is None


def test_from_columns_and_tuples(folder):
    files = list(get_image_files(folder))
    labels = [f.parent.name for f in files]
    for dls in (
        DataBlock.from_columns((ImageBlock, CategoryBlock), item_tfms=Resize(8)).dataloaders((files, labels), bs=4),
        DataBlock((ImageBlock, CategoryBlock), item_tfms=Resize(8)).dataloaders(list(zip(files, labels, strict=True)), bs=4),
    ):
        assert dls.table.label.tolist() == labels
    with pytest.raises(DataError, match="equal lengths; they have 20, 3"):
        DataBlock.from_columns((ImageBlock, CategoryBlock)).dataloaders((files, labels[:3]))


def test_from_columns_with_any_number_of_blocks(folder):
    files = list(get_image_files(folder))
    species, sites = [f.parent.name for f in files], ["north", "south"] * 10
    two_targets = DataBlock.from_columns((ImageBlock, CategoryBlock, CategoryBlock), n_inp=1, item_tfms=Resize(8))
    x, y, z = two_targets.dataloaders([files, species, sites], bs=4).one_batch()
    assert x.shape == (4, 3, 8, 8) and y.shape == z.shape == (4,)
    two_inputs = DataBlock.from_columns((ImageBlock, ImageBlock, CategoryBlock), getters=[None, None, str.upper], item_tfms=Resize(8))
    dls = two_inputs.dataloaders((files, files[::-1], species), bs=4)
    assert len(dls.one_batch()) == 3 and dls.vocab == ["ANT", "BEE"]
    (only,) = DataBlock.from_columns(ImageBlock, item_tfms=Resize(8)).dataloaders([files], bs=4).one_batch()
    assert only.shape == (4, 3, 8, 8)


def test_from_columns_takes_a_table(folder):
    files = get_image_files(folder)
    df = pd.DataFrame({"file": [str(f) for f in files], "species": [f.parent.name for f in files], "weight": 0.5})
    block = DataBlock.from_columns((ImageBlock, CategoryBlock), item_tfms=Resize(8))
    dls = block.dataloaders(df[["file", "species"]], bs=4)
    assert dls.table.label.tolist() == df.species.tolist() and dls.table.image.tolist() == df.file.tolist()
    with pytest.raises(DataError, match=r"3 columns \(file, species, weight\) for 2 blocks \(image, label\).*df\[\[...\]\]"):
        block.table(df)
    with pytest.raises(DataError, match=r"20 columns for 2 blocks.*list of samples goes to DataBlock"):
        block.table(list(zip(df.file, df.species, strict=True)))


def test_rows_of_a_table_keep_their_types(folder):
    df = pd.DataFrame({"id": range(20), "label": [3, 4] * 10, "weight": np.linspace(0, 1, 20)})
    files = get_image_files(folder)
    block = DataBlock((ImageBlock, CategoryBlock), get_x=lambda row: files[row["id"]], get_y=ColReader("label"), item_tfms=Resize(8))
    assert [type(v) for v in block.table(df).label] == [int] * 20
    groups = GroupSplitter(lambda row: f"group {row['id'] // 5}", 0.5, seed=0).groups(df)
    assert set(groups) == {"group 0", "group 1", "group 2", "group 3"}


def test_summary_follows_a_sample(folder, capsys):
    text = pictures(batch_tfms=aug_transforms()).summary(folder)
    for part in ("20 samples", "opened: picture RGB", "after Resize", "encoded: uint8[3, 16, 16]", "float32[4, 3, 16, 16]"):
        assert part in text
    assert "train counts: ant" in pictures().dataloaders(folder, bs=4).summary()


def test_summary_shows_the_way_until_the_mistake(folder):
    with pytest.raises(DataError) as error:
        pictures(item_tfms=None).summary(folder)
    assert any("The way so far" in n and "opened" in n for n in error.value.__notes__)


def test_new_items_are_read_like_validation_samples(folder):
    dls = pictures().dataloaders(folder, bs=4)
    files = get_image_files(folder)
    (batch,) = next(iter(dls.test_dl(files)))
    assert batch.shape == (4, 3, 16, 16)
    _x, y = next(iter(dls.test_dl(files, with_labels=True)))
    assert [dls.vocab[i] for i in y] == [f.parent.name for f in files[:4]]
    with pytest.raises(SettingError, match="expected a list of items"):
        dls.test_dl(str(files[0]))


def test_dataloaders_without_data_rebuild_from_their_config(folder):
    dls = pictures(batch_tfms=aug_transforms()).dataloaders(folder, bs=4)
    again = type(dls).from_config(dls.config(), device="cpu")
    assert again.vocab == dls.vocab
    a, b = (next(iter(d.test_dl(get_image_files(folder))))[0] for d in (dls, again))
    assert torch.allclose(a.cpu(), b, rtol=0, atol=1e-6)  # a GPU divides by 255 in its own way
    with pytest.raises(NotTrainableError, match="no training data"):
        _ = again.train


def test_what_plain_loaders_cannot_do_is_said(folder):
    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.randn(10, 3), torch.arange(10)), batch_size=4)
    dls = DataLoaders(data, data, device="cpu")
    for ask, what in (
        (dls.check, "be checked: .*check_table"),
        (dls.show_batch, r"draw their batches: .*one_batch\(\)"),
        (lambda: dls.test_dl([1]), "read new items: .*dl="),
    ):
        with pytest.raises(DataError, match=f"plain PyTorch loaders can't {what}.*DataBlock"):
            ask()
    assert "10 samples in 3 batches of 4" in dls.summary()


def test_loaders_of_a_bare_table_are_checked_and_those_of_a_loaded_model_are_not(folder):
    table = pictures().table(folder)
    bare = pd.DataFrame({name: list(table[name]) for name in table.columns})
    dls = DataLoaders.from_table(bare, pictures().blocks, item_tfms=[Resize(8)], bs=4, device="cpu")
    assert "20 rows" in repr(dls.check())
    with pytest.raises(NotTrainableError, match="no training data"):
        DataLoaders.from_config(dls.config(), device="cpu").check()


# -- bad input --------------------------------------------------------------------------------------------------
def test_forgotten_get_y(folder):
    with pytest.raises(DataError, match=r"get_y was not given.*parent_label"):
        pictures(get_y=None).dataloaders(folder)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"get_y": [parent_label, parent_label]}, r"get_y has 2 function\(s\) for 1 target"),
        ({"get_x": [len, len]}, r"get_x has 2 function\(s\) for 1 input"),
        ({"get_y": "label"}, r"ColReader\('label'\)"),
        ({"getters": [None]}, "getters.*get_x/get_y were both given"),
        ({"n_inp": 3}, "n_inp=3: with 2 blocks"),
    ],
)
def test_wrong_getters(kwargs, message):
    with pytest.raises(SettingError, match=message):
        pictures(**kwargs)


def test_wrong_blocks_and_unknown_keywords(folder):
    with pytest.raises(SettingError, match="blocks\\[1\\] is 'category'"):
        DataBlock((ImageBlock, "category"))
    with pytest.raises(TypeError, match="get_item"):
        DataBlock((ImageBlock, CategoryBlock), get_item=get_image_files)
    with pytest.raises(TypeError, match="batch_size"):
        pictures().dataloaders(folder, batch_size=4)


def test_a_label_pattern_that_does_not_match(folder):
    with pytest.raises(DataError, match=r"failed on 20 of 20 items: item 0 .*ant_0\.png"):
        pictures(get_y=RegexLabeller(r"(\d{5})")).dataloaders(folder)


def test_a_label_only_in_validation(folder):
    files = get_image_files(folder)
    with pytest.raises(DataError, match=r"'bee' \(rows: .*bee_8\.png.*only there and never|only there and never.*'bee'"):
        pictures(splitter=IndexSplitter([9, *range(10, 20)])).dataloaders(folder)
    assert len(files) == 20


def test_pictures_of_unequal_size_without_resize(folder):
    dls = pictures(item_tfms=None).dataloaders(folder, bs=8)
    with pytest.raises(DataError, match="Resize"):
        dls.one_batch()


def test_sources_that_give_nothing(tmp_path):
    with pytest.raises(DataError, match="no get_items was given"):
        DataBlock((ImageBlock, CategoryBlock), get_y=parent_label).dataloaders(tmp_path)
    with pytest.raises(DataError, match="There are no samples"):
        DataBlock((ImageBlock, CategoryBlock), get_y=parent_label).dataloaders([])
    with pytest.raises(DataError, match="returned None"):
        DataBlock((ImageBlock, CategoryBlock), get_items=lambda s: None, get_y=parent_label).dataloaders(tmp_path)
    with pytest.raises(FileNotFoundError):
        pictures().dataloaders(tmp_path / "absent")


BAD_SIDES = {
    "empty": (([0, 1], []), "left the valid side of 20 item"),
    "in both": (([0, 1], [1, 2]), r"put 1 item\(s\) in both train and valid: positions 1"),
    "outside": (([0, 1], [99]), "gave positions 99 in the valid side, but the 20 item"),
    "nothing": ((None, [1]), "gave None for the train side; a list of positions was expected"),
    "fractions": (([0.5, 1.2], [3.9]), "gave a train side with 0.5; positions must be whole numbers from 0 to 19"),
    "masks": ((np.arange(20) < 15, np.arange(20) >= 15), "mask of True and False for the train side.*MaskSplitter"),
    "nested": (([[0], [1, 2]], [3]), "lists of unequal length"),
    "one side": ([[0, 1]], r"gave 1 parts; a splitter must return \(train, valid\)"),
    "None": (None, "gave a NoneType; a splitter must return"),
}


@pytest.mark.parametrize("case", BAD_SIDES)
def test_a_user_splitter_is_checked(folder, case):
    sides, message = BAD_SIDES[case]
    with pytest.raises(DataError, match=f"splitter=.*lambda.*{message}"):
        pictures(splitter=lambda items: sides).table(folder)


def test_a_user_splitter_may_give_sets_and_arrays(folder):
    for sides in ((set(range(8)), set(range(8, 20))), (np.arange(8), pd.Series(range(8, 20)))):
        table = pictures(splitter=lambda items, sides=sides: sides).table(folder)
        assert table.split.tolist() == ["train"] * 8 + ["valid"] * 12


def test_a_splitter_may_be_a_class(folder):
    assert pictures(splitter=RandomSplitter).table(folder).split.value_counts().to_dict() == {"train": 16, "valid": 4}
    with pytest.raises(SettingError, match=r"splitter=GroupSplitter is a class that needs arguments.*'group'"):
        pictures(splitter=GroupSplitter)
    with pytest.raises(SettingError, match=r"splitter=0.2: expected a splitter such as RandomSplitter\(0.2"):
        pictures(splitter=0.2)


def test_rows_in_no_split_are_mentioned(folder):
    with captured_notes() as notes:
        dls = pictures(splitter=lambda items: ([*list(range(8)), 11], [9, 12])).dataloaders(folder, bs=4)
    assert any("9 of 20 samples are in no split" in n for n in notes) and dls.table.split.isna().sum() == 9


class Years(Block):
    """A number to be predicted: no classes."""

    kind, name = "number", "years"

    def encode(self, value):
        return torch.tensor(float(value))


def test_only_labels_are_checked_as_classes(folder):
    numbers = DataBlock((ImageBlock, Years), get_items=get_image_files, get_y=lambda f: len(f.parent.name), item_tfms=Resize(16))
    labels = numbers.new(blocks=(ImageBlock, CategoryBlock))
    kinds = {}
    for name, block in {"numbers": numbers, "labels": labels}.items():
        with captured_notes() as notes:
            dls = block.dataloaders(folder, bs=4)
        kinds[name] = set(dls.check().issues["kind"])
        assert any("one class" in n for n in notes) == (name == "labels"), notes
    assert kinds["labels"] - kinds["numbers"] == {"one_class"}
