"""Splitters: a common battery over all of them, and each one's own behaviour and errors."""

from __future__ import annotations

import datetime
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from burnish.data import split as module
from burnish.data.collections import L
from burnish.data.notes import captured_notes
from burnish.data.split import (
    ColSplitter,
    EndSplitter,
    FileSplitter,
    FuncSplitter,
    GrandparentSplitter,
    GroupSplitter,
    IndexSplitter,
    LastSplitter,
    MaskSplitter,
    RandomSplitter,
    RandomSubsetSplitter,
    Splitter,
    TimeSplitter,
    TrainTestSplitter,
    check_sides,
)
from burnish.errors import DataError, SettingError

N = 40
SIDE_OF = ["train"] * 24 + ["valid"] * 10 + ["test"] * 6
ITEMS = L([Path(f"data/{side}/c{i % 3}/{i}.jpg") for i, side in enumerate(SIDE_OF)])
TABLE = pd.DataFrame(
    {
        "image": list(ITEMS),
        "label": [f"c{i % 3}" for i in range(N)],
        "is_valid": [side == "valid" for side in SIDE_OF],
        "side": SIDE_OF,
        "patient": [f"p{i // 4}" for i in range(N)],
        "day": pd.date_range("2024-01-01", periods=N),
    }
)
TABLE.attrs = {"inputs": ["image"], "targets": ["label"]}


def index_of(item: Path) -> int:
    return int(item.stem)


def name_file(tmp_path: Path) -> FileSplitter:
    (tmp_path / "valid.txt").write_text("\n".join(ITEMS[i].name for i in range(5)))
    return FileSplitter(tmp_path / "valid.txt")


TWO: dict[str, Callable[[Path], Splitter]] = {
    "random": lambda _: RandomSplitter(seed=1),
    "subset": lambda _: RandomSubsetSplitter(0.5, 0.5, seed=1),
    "train_test": lambda _: TrainTestSplitter(random_state=1),
    "train_test_count": lambda _: TrainTestSplitter(7, random_state=1),
    "stratified": lambda _: TrainTestSplitter(random_state=1, stratify=True),
    "stratified_column": lambda _: TrainTestSplitter(random_state=1, stratify="label"),
    "unshuffled": lambda _: TrainTestSplitter(shuffle=False),
    "end": lambda _: EndSplitter(),
    "start": lambda _: EndSplitter(valid_last=False),
    "grandparent": lambda _: GrandparentSplitter(train_name=["train", "test"]),
    "index": lambda _: IndexSplitter([3, 1]),
    "func": lambda _: FuncSplitter(lambda o: index_of(o) < 7),
    "mask": lambda _: MaskSplitter([i % 5 == 0 for i in range(N)]),
    "file": name_file,
    "column": lambda _: ColSplitter(),
    "column_on": lambda _: ColSplitter("side", on=["valid", "test"]),
    "last": lambda _: LastSplitter("patient", "day"),
    "group_column": lambda _: GroupSplitter("patient", seed=1),
    "group_function": lambda _: GroupSplitter(lambda o: index_of(o) // 4, seed=1),
    "time_column": lambda _: TimeSplitter("day"),
    "time_values": lambda _: TimeSplitter(list(range(N))),
}
THREE: dict[str, Callable[[Path], Splitter]] = {
    "random": lambda _: RandomSplitter(0.2, test_pct=0.1, seed=1),
    "subset": lambda _: RandomSubsetSplitter(0.6, 0.2, seed=1, test_sz=0.2),
    "train_test": lambda _: TrainTestSplitter(0.2, random_state=1, test_pct=0.1),
    "stratified": lambda _: TrainTestSplitter(0.2, random_state=1, stratify=True, test_pct=0.1),
    "end": lambda _: EndSplitter(0.2, test_pct=0.1),
    "start": lambda _: EndSplitter(0.2, valid_last=False, test_pct=0.1),
    "grandparent": lambda _: GrandparentSplitter(test_name="test"),
    "index": lambda _: IndexSplitter([3, 1], test_idx=np.array([5])),
    "func": lambda _: FuncSplitter(lambda o: o.parent.parent.name),
    "column": lambda _: ColSplitter("side"),
    "group": lambda _: GroupSplitter("patient", 0.2, 0.1, seed=1),
    "time": lambda _: TimeSplitter("day", 0.2, 0.1),
}
CASES = [pytest.param(make, n, id=f"{name}-{n}") for n, cases in ((2, TWO), (3, THREE)) for name, make in cases.items()]
everyone = pytest.mark.parametrize(("make", "sides"), CASES)


def test_the_battery_has_every_splitter(tmp_path: Path) -> None:
    tested = {type(make(tmp_path)) for make in [*TWO.values(), *THREE.values()]}
    assert tested == {c for c in vars(module).values() if isinstance(c, type) and issubclass(c, Splitter) and c is not Splitter}


@everyone
def test_sides_are_disjoint_complete_and_int64(make: Callable[[Path], Splitter], sides: int, tmp_path: Path) -> None:
    got = make(tmp_path)(ITEMS, TABLE)
    assert isinstance(got, tuple) and len(got) == sides
    assert all(isinstance(s, np.ndarray) and s.dtype == np.int64 and len(s) for s in got)
    assert sorted(np.concatenate(got).tolist()) == list(range(N))


@everyone
def test_the_same_seed_gives_the_same_split_and_globals_are_left_alone(
    make: Callable[[Path], Splitter], sides: int, tmp_path: Path
) -> None:
    splitter, before = make(tmp_path), (random.getstate(), str(np.random.get_state()), torch.random.get_rng_state().tolist())
    first, again, other = splitter(ITEMS, TABLE), splitter(ITEMS, TABLE), make(tmp_path)(list(ITEMS), TABLE.copy())
    assert (random.getstate(), str(np.random.get_state()), torch.random.get_rng_state().tolist()) == before
    for a, b, c in zip(first, again, other, strict=True):
        assert a.tolist() == b.tolist() == c.tolist()


@everyone
def test_no_items_is_an_error_and_so_is_another_table(make: Callable[[Path], Splitter], sides: int, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"got no items, so there is nothing to split"):
        make(tmp_path)([])
    with pytest.raises(DataError, match=r"got 40 item\(s\) and a table of 3 row\(s\)"):
        make(tmp_path)(ITEMS, TABLE.head(3))


@everyone
def test_one_item_is_an_error_that_says_so(make: Callable[[Path], Splitter], sides: int, tmp_path: Path) -> None:
    with pytest.raises((DataError, SettingError)) as caught:
        make(tmp_path)(ITEMS[:1], TABLE.head(1))
    assert len(str(caught.value)) > 40


@everyone
def test_the_repr_names_the_class_and_is_short(make: Callable[[Path], Splitter], sides: int, tmp_path: Path) -> None:
    splitter = make(tmp_path)
    assert repr(splitter).startswith(f"{type(splitter).__name__}(") and len(repr(splitter)) < 160 and " at 0x" not in repr(splitter)


FRACTIONS = {
    "random": lambda v, t: RandomSplitter(v, seed=1, test_pct=t),
    "train_test": lambda v, t: TrainTestSplitter(v, random_state=1, test_pct=t),
    "stratified": lambda v, t: TrainTestSplitter(v, random_state=1, test_pct=t, stratify=True),
    "end": lambda v, t: EndSplitter(v, test_pct=t),
    "subset": lambda v, t: RandomSubsetSplitter(1 - v - t, v, seed=1, test_sz=t),
    "time": lambda v, t: TimeSplitter("day", v, t),
    "group": lambda v, t: GroupSplitter(lambda o: o, v, t, seed=1),
}


@pytest.mark.parametrize("name", FRACTIONS)
@pytest.mark.parametrize(("n", "valid", "test", "sizes"), [
    (40, 0.2, 0, (32, 8)), (40, 0.25, 0.1, (26, 10, 4)), (10, 0.3, 0, (7, 3)), (4, 0.1, 0.1, (2, 1, 1)), (7, 0.2, 0, (6, 1)),
])  # fmt: skip
def test_fractions_give_the_nearest_sizes_and_at_least_one(name: str, n: int, valid: float, test: float, sizes: tuple[int, ...]) -> None:
    table = TABLE.head(n).assign(label=["a", "b"] * (n // 2) + ["b"] * (n % 2))
    assert tuple(map(len, FRACTIONS[name](valid, test)(ITEMS[:n], table))) == sizes


@pytest.mark.parametrize("name", [name for name in FRACTIONS if name != "stratified"])
def test_two_items_train_and_validate_and_three_also_test(name: str) -> None:
    assert tuple(map(len, FRACTIONS[name](0.8, 0)(ITEMS[:2], TABLE.head(2)))) == (1, 1)
    assert tuple(map(len, FRACTIONS[name](0.45, 0.45)(ITEMS[:3], TABLE.head(3)))) == (1, 1, 1)
    with pytest.raises(DataError, match=r"at least 3"):
        FRACTIONS[name](0.2, 0.2)(ITEMS[:2], TABLE.head(2))


@pytest.mark.parametrize(
    "make", [RandomSplitter, EndSplitter, TrainTestSplitter, lambda v: GroupSplitter("g", v), lambda v: TimeSplitter("t", v)]
)
@pytest.mark.parametrize(
    ("share", "message"), [(0, "keep a few"), (-0.1, "a share of the items"), (1.0, "a share"), ("0.2", "a share"), (True, "a share")]
)
def test_shares_out_of_range_are_refused(make: Callable[[object], Splitter], share: object, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        make(share)


def test_percent_are_explained_and_too_much_held_out_refused() -> None:
    with pytest.raises(SettingError, match=r"valid_pct=20: .* For 20 percent give 0.2"):
        RandomSplitter(20)
    with pytest.raises(SettingError, match=r"valid_pct=0.5 and test_pct=0.5 leave nothing to train on"):
        RandomSplitter(0.5, test_pct=0.5)
    with pytest.raises(SettingError, match="add up to more than 1"):
        RandomSubsetSplitter(0.8, 0.3)
    with pytest.raises(SettingError, match=r"train_sz=0: a share"):
        RandomSubsetSplitter(0, 0.3)


@pytest.mark.parametrize(
    "make", [lambda s: RandomSplitter(seed=s), lambda s: TrainTestSplitter(random_state=s), lambda s: GroupSplitter("g", seed=s)]
)
def test_a_seed_must_be_a_whole_number(make: Callable[[object], Splitter]) -> None:
    with pytest.raises(SettingError, match="'x': a whole number of 0 or more was expected"):
        make("x")


def test_without_seed_every_draw_is_new_and_can_be_repeated() -> None:
    splitter = RandomSplitter()
    first = splitter(range(1000))
    again = RandomSplitter(seed=splitter.last_seed)(range(1000))
    assert first[1].tolist() == again[1].tolist() and splitter(range(1000))[1].tolist() != first[1].tolist()


def test_other_seeds_give_other_splits() -> None:
    assert len({tuple(RandomSplitter(seed=s)(range(100))[1]) for s in range(5)}) == 5


def test_random_subset_leaves_the_rest_out() -> None:
    assert [len(s) for s in RandomSubsetSplitter(0.1, 0.05, seed=0)(range(200))] == [20, 10]


def test_the_end_validates_and_beyond_it_the_test() -> None:
    assert [s.tolist() for s in EndSplitter(0.3, test_pct=0.2)(range(10))] == [[0, 1, 2, 3, 4], [5, 6, 7], [8, 9]]
    assert [s.tolist() for s in EndSplitter(0.3, valid_last=False)(range(10))] == [list(range(3, 10)), [0, 1, 2]]
    assert [s.tolist() for s in EndSplitter(0.01)(range(5))] == [[0, 1, 2, 3], [4]]


# -- stratified ------------------------------------------------------------------------------------------------------
def test_stratified_keeps_proportions() -> None:
    labels = ["a"] * 60 + ["b"] * 30 + ["c"] * 10
    train, valid, test = TrainTestSplitter(0.2, random_state=0, stratify=labels, test_pct=0.1)(range(100))
    count = [Counter(labels[i] for i in side) for side in (train, valid, test)]
    assert count == [{"a": 42, "b": 21, "c": 7}, {"a": 12, "b": 6, "c": 2}, {"a": 6, "b": 3, "c": 1}]


def test_rare_classes_reach_the_validation_side_and_single_ones_train() -> None:
    labels = ["common"] * 90 + ["rare"] * 3 + ["single"]
    train, valid = TrainTestSplitter(0.1, random_state=0, stratify=labels)(range(94))
    assert "rare" in {labels[i] for i in valid} and len(valid) == 9
    assert {labels[i] for i in train} == {"common", "rare", "single"} and 93 in train


def test_train_size_thins_the_training_side() -> None:
    assert [len(s) for s in TrainTestSplitter(0.2, 0, train_size=0.5)(range(10))] == [5, 2]
    labels = ["a"] * 20 + ["b"] * 20 + ["c"] * 2
    train, _ = TrainTestSplitter(0.2, 0, stratify=labels, train_size=6)(range(42))
    assert len(train) == 6 and {labels[i] for i in train} == {"a", "b", "c"}
    with pytest.raises(DataError, match=r"train_size=0.9 asks for 9 of 10 item\(s\), but 8 are left"):
        TrainTestSplitter(0.2, train_size=0.9)(range(10))


def test_stratify_errors() -> None:
    with pytest.raises(SettingError, match="stratify=True takes the labels from the DataBlock's table, and there is none"):
        TrainTestSplitter(stratify=True)(range(5))
    with pytest.raises(SettingError, match="shuffle=False takes the last items"):
        TrainTestSplitter(stratify=True, shuffle=False)
    with pytest.raises(DataError, match=r"5 class\(es\) have only one"):
        TrainTestSplitter(stratify=list("abcde"))(range(5))
    with pytest.raises(DataError, match=r"there is \{'a': 1\} \(a dict\)"):
        TrainTestSplitter(stratify=[{"a": 1}, "a"])(range(2))
    with pytest.raises(DataError, match=r"2 item\(s\) have no label to stratify by: positions 1, 2"):
        TrainTestSplitter(stratify=["a", None, np.nan])(range(3))
    with pytest.raises(DataError, match="stratify= has 2 values for 3 items"):
        TrainTestSplitter(stratify=["a", "b"])(range(3))
    with pytest.raises(DataError, match=r"test_size=5 of 5 item\(s\)"):
        TrainTestSplitter(5)(range(5))


# -- by folder, index, function, mask, file, column --------------------------------------------------------------------
def test_grandparent_notes_files_elsewhere() -> None:
    with captured_notes() as notes:
        train, valid = GrandparentSplitter()(ITEMS)
    assert (len(train), len(valid)) == (24, 10)
    assert notes == ["6 file(s) in other folders ('test') are left out of the split."]


def test_grandparent_takes_paths_from_text_tuples_rows_and_the_table() -> None:
    expected = [s.tolist() for s in GrandparentSplitter(test_name="test")(ITEMS)]
    rows = [row for _, row in TABLE.iterrows()]
    for items in ([str(i) for i in ITEMS], [(i, "label") for i in ITEMS], rows, TABLE):
        assert [s.tolist() for s in GrandparentSplitter(test_name="test")(items, TABLE)] == expected


def test_grandparent_errors() -> None:
    with pytest.raises(DataError, match=r"found no file for valid: .*'trian' \(2 files\), 'val' \(1 files\)\. Did you mean: val\?"):
        GrandparentSplitter(train_name="trian")(["trian/a/1.jpg", "trian/b/2.jpg", "val/a/3.jpg"])
    with pytest.raises(DataError, match=r"looks at the paths of files, but item 0 is '5' \(a int\)"):
        GrandparentSplitter()([5])


def test_index_keeps_the_order_given() -> None:
    assert [s.tolist() for s in IndexSplitter([3, 1], [0])(range(5))] == [[2, 4], [3, 1], [0]]


@pytest.mark.parametrize(
    ("splitter", "message"),
    [
        (IndexSplitter([5]), r"positions 5 in the valid side, but the 5 item\(s\) have positions 0 to 4"),
        (IndexSplitter([-1]), "positions -1 in the valid side"),
        (IndexSplitter([1, 1]), "positions 1 more than once in the valid side"),
        (IndexSplitter([1], [2, 1]), r"1 item\(s\) in both valid and test: positions 1"),
        (IndexSplitter([]), r"left the valid side of 5 item\(s\) empty \(train 0, valid 0\)"),
        (IndexSplitter(range(5)), r"left the train side of 5 item\(s\) empty \(train 0, valid 5\)"),
        (IndexSplitter([True, False]), "a mask of True and False for the valid side"),
        (IndexSplitter([0.5]), "positions must be whole numbers"),
        (MaskSplitter([True, False]), r"The mask has shape \(2,\), but there are 5 items"),
        (MaskSplitter([0, 1, 2, 3, 4]), r"values other than True and False: 0, 1, 2, 3, 4. For positions use IndexSplitter"),
        (MaskSplitter([True] * 5), r"left the train side of 5 item\(s\) empty.*The mask must be True for some"),
        (FuncSplitter(lambda o: o > 9), r"left the valid side of 5 item\(s\) empty.*must be true for some items"),
        (FuncSplitter(lambda o: "elsewhere"), r"5 value\(s\) that don't say which side an item is on: 'elsewhere' \(positions 0, 1"),
        (FuncSplitter(lambda o: o.nothing), r"failed on item 0 \(0\): AttributeError"),
    ],
)
def test_errors_of_index_mask_and_function(splitter: Splitter, message: str) -> None:
    with pytest.raises(DataError, match=message):
        splitter(range(5))


def test_a_function_counts_by_its_truth() -> None:
    assert FuncSplitter(lambda o: None if o else object())(range(3))[1].tolist() == [0]
    assert FuncSplitter(lambda o: o)(range(3))[1].tolist() == [1, 2]
    with pytest.raises(SettingError, match="needs a function of an item, got 5"):
        FuncSplitter(5)


def test_file_splitter(tmp_path: Path) -> None:
    listed = tmp_path / "valid.txt"
    listed.write_text("\ufeff1.jpg\r\n\ntrain/c2/5.jpg\nc9/7.jpg\n", encoding="utf-8")
    with captured_notes() as notes:
        assert FileSplitter(listed)(ITEMS)[1].tolist() == [1, 5]
    assert "1 of 3 lines" in notes[0] and "name no item: c9/7.jpg" in notes[0]
    listed.write_text("nothing.jpg")
    with pytest.raises(DataError, match=r"None of the 1 line\(s\) of .*valid.txt names an item: they are nothing.jpg; items are data"):
        FileSplitter(listed)(ITEMS)
    with pytest.raises(FileNotFoundError, match=r"There is no file '.*x.txt' with the names of the validation files"):
        FileSplitter(tmp_path / "x.txt")


@pytest.mark.parametrize(
    "values",
    [[False, False, True], [0, 0, 1], [0.0, 0.0, 1.0], ["False", "false", "TRUE"], ["train", "Train ", "valid"], ["no", "no", "yes"], ["train", "training", "val"]],
)  # fmt: skip
def test_columns_of_many_kinds_of_marks(values: list) -> None:
    df = pd.DataFrame({"x": [1, 2, 3], "is_valid": values})
    for items in (df, [row for _, row in df.iterrows()], df.to_dict("records"), list(df.itertuples())):
        assert [s.tolist() for s in ColSplitter()(items)] == [[0, 1], [2]]
    assert [s.tolist() for s in ColSplitter(1)(df)] == [[0, 1], [2]]
    assert [s.tolist() for s in ColSplitter()(["a", "b", "c"], df)] == [[0, 1], [2]]


@pytest.mark.parametrize(("values", "message"), [
    ([0, 1, 2], r"1 value\(s\) that don't say which side an item is on: 2 \(positions 2\).*ColSplitter\(column, on=\[...\]\) says which"),
    ([True, None, False], r"1 value\(s\).*None \(positions 1\)"),
    (["train", "valid", "vlaid"], r"'vlaid' \(positions 2\)"),
    ([False] * 3, "left the valid side"),
])  # fmt: skip
def test_columns_that_do_not_say(values: list, message: str) -> None:
    with pytest.raises(DataError, match=message):
        ColSplitter()(pd.DataFrame({"is_valid": pd.Series(values, dtype=object)}))


def test_column_on_a_value_or_several() -> None:
    df = pd.DataFrame({"fold": [0, 1, 2, 1]})
    assert ColSplitter("fold", on=1)(df)[1].tolist() == [1, 3] and ColSplitter("fold", on=[0, 1])(df)[1].tolist() == [0, 1, 3]
    with pytest.raises(DataError, match=r"No row has 7 in the column 'fold'; it has: 0, 1, 2"):
        ColSplitter("fold", on=7)(df)
    with pytest.raises(DataError, match=r"There is no column 'fodl'|names a column that isn't there.*Did you mean: fold"):
        ColSplitter("fodl")(df)
    with pytest.raises(DataError, match="The items have no columns"):
        ColSplitter("fold")([1, 2])


# -- groups ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("seed", range(8))
def test_no_group_is_on_two_sides_and_sizes_are_near(seed: int) -> None:
    groups = np.random.default_rng(seed).integers(0, 40, 400)
    sides = GroupSplitter(groups, 0.2, 0.1, seed=seed)(range(400))
    found = [set(groups[s]) for s in sides]
    assert not (found[0] & found[1] or found[0] & found[2] or found[1] & found[2])
    assert abs(len(sides[1]) - 80) <= 15 and abs(len(sides[2]) - 40) <= 15


def test_groups_of_rows() -> None:
    assert GroupSplitter("patient").groups(ITEMS, TABLE).tolist() == TABLE["patient"].tolist()
    assert GroupSplitter(lambda row: row["patient"]).groups(TABLE).tolist() == TABLE["patient"].tolist()


def test_a_giant_group_trains_and_a_poor_split_is_said() -> None:
    with captured_notes() as notes:
        train, valid = GroupSplitter(["a"] * 98 + ["b", "c"], 0.3, seed=0)(range(100))
    assert len(valid) == 2 and 0 in train and "valid side has 2% of the items where 30% was asked for" in notes[0]


@pytest.mark.parametrize(("groups", "test", "message"), [
    (["a"] * 5, 0, r"found 1 group\(s\) \('a'\) and needs at least 2"),
    (["a", "b", "a", "b", "b"], 0.2, r"found 2 group\(s\).* needs at least 3"),
    (["a", None, np.nan, "b", "b"], 0, r"2 item\(s\) have no group: positions 1, 2"),
    (["a", "b"], 0, "group= has 2 values for 5 items"),
    ("site", 0, "group='site' names a column that isn't there"),
])  # fmt: skip
def test_group_errors(groups: object, test: float, message: str) -> None:
    with pytest.raises(DataError, match=message):
        GroupSplitter(groups, 0.2, test)(range(5))


# -- time --------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("times", [
    list(pd.date_range("2024-01-01", periods=10)), [f"2024-03-{d:02d}" for d in range(1, 11)], list(range(10)),
    [datetime.date(2020 + i, 1, 1) for i in range(10)], np.arange(10) * 0.5, [datetime.datetime(2024, 1, 1, i, tzinfo=datetime.UTC) for i in range(10)],
])  # fmt: skip
def test_the_latest_validate_whatever_the_kind_of_time(times: list) -> None:
    order = np.random.default_rng(0).permutation(10)
    shuffled = [times[i] for i in order]
    train, valid, test = TimeSplitter(shuffled, 0.3, 0.2)(range(10))
    assert sorted(order[train]) == [0, 1, 2, 3, 4] and sorted(order[valid]) == [5, 6, 7] and sorted(order[test]) == [8, 9]


def test_a_gap_in_rows_or_time_is_left_out_before_each_later_side() -> None:
    with captured_notes() as notes:
        assert [s.tolist() for s in TimeSplitter("day", 0.2, 0.2, gap=2)(ITEMS, TABLE)] == [
            list(range(22)), list(range(24, 30)), list(range(32, 40)),
        ]  # fmt: skip
    assert notes == ["4 item(s) in the gap of 2 before later sides are left out."]
    for gap in (datetime.timedelta(days=3), pd.Timedelta("3D"), np.timedelta64(3, "D")):
        with captured_notes():
            train, valid = TimeSplitter("day", 0.25, gap=gap)(ITEMS, TABLE)
        assert train.tolist() == list(range(28)) and valid.tolist() == list(range(30, 40))


def test_items_of_one_time_stay_together() -> None:
    assert [s.tolist() for s in TimeSplitter([1, 1, 1, 1, 2, 2, 3], 0.2)(range(7))] == [[0, 1, 2, 3, 4, 5], [6]]
    assert [s.tolist() for s in TimeSplitter([1, 2, 2, 2, 2, 2, 2], 0.2)(range(7))] == [[0], [1, 2, 3, 4, 5, 6]]
    assert [s.tolist() for s in TimeSplitter([1, 1, 2, 2, 2, 3, 3], 0.2, 0.2)(range(7))] == [[0, 1], [2, 3, 4], [5, 6]]


@pytest.mark.parametrize(("times", "options", "error", "message"), [
    ([5] * 4, {}, DataError, r"the 4 item\(s\) have 1 different time\(s\)"),
    ([1, 1, 2, 2], {"test_pct": 0.2}, DataError, r"have 2 different time\(s\)"),
    (["03/04/2024"] * 2 + ["01/02/2023"] * 2, {}, DataError, r"can't be understood as dates: '03/04/2024'.*dayfirst"),
    ([1, 2, None, 4], {}, DataError, r"1 item\(s\) have no time: positions 2"),
    ([1, 2, 3, 4], {"gap": 9}, DataError, r"left the train side of 4 item\(s\) empty .*Make gap= smaller"),
    ([1, 2, 3, 4], {"gap": datetime.timedelta(1)}, SettingError, "is a time span, but the times are numbers"),
    ([1, 2, 3, 4], {"gap": -1}, SettingError, "gap=-1: a whole number of 0 or more"),
    ([1, 2, 3, 4], {"gap": datetime.timedelta(-1)}, SettingError, "a time span of 0 or more"),
])  # fmt: skip
def test_time_errors(times: list, options: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        TimeSplitter(times, **options)(range(4))


# -- check_sides -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("sides", "message"), [
    (None, "mine gave a NoneType; a splitter must return"),
    (([0],), "mine gave 1 parts"),
    (([0], [1], [2], [3]), "mine gave 4 parts"),
    (([0], [[1]]), r"a valid side of shape \(1, 1\)"),
    ((["a"], [1]), "a train side with 'a'; positions must be whole numbers from 0 to 4"),
    (([0, 1], [1, 2]), r"mine put 1 item\(s\) in both train and valid: positions 1"),
    (([0], [7]), "positions 7 in the valid side"),
    (([0, 0], [1]), "positions 0 more than once in the train side"),
    (([], [1]), r"mine left the train side of 5 item\(s\) empty \(train 0, valid 1\)"),
    (([0], [1], []), "left the test side"),
])  # fmt: skip
def test_check_sides_names_what_is_wrong(sides: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        check_sides(sides, 5, "mine")


def test_check_sides_takes_lists_ranges_and_tensors() -> None:
    assert [s.tolist() for s in check_sides((range(2), torch.tensor([3]), L([4])), 5, "mine")] == [[0, 1], [3], [4]]


def test_last_splitter_keeps_each_groups_latest():
    table = pd.DataFrame({"user": list("aabbbc"), "when": [2, 1, 5, 9, 7, 1]})
    assert [s.tolist() for s in LastSplitter("user", "when")(table, table)] == [[1, 2, 4, 5], [0, 3]]
    assert [s.tolist() for s in LastSplitter("user")(table, table)] == [[0, 2, 3, 5], [1, 4]]
    assert [s.tolist() for s in LastSplitter("user", "when", 1, 1)(table, table)] == [[0, 1, 2, 5], [4], [3]]
    with pytest.raises(DataError, match="make n= smaller"):
        LastSplitter("user", n=3)(table, table)
