"""The checks of a table find what was put into it, and nothing in a clean one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from burnish.data.notes import captured_notes
from burnish.data.split import GroupSplitter, TimeSplitter
from burnish.tabular.dataloaders import TabularDataLoaders
from burnish.tabular.transforms import UnknownCategories

N = 300


def clean(**columns) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    df = pd.DataFrame({"x": rng.normal(size=N), "z": rng.normal(size=N), "kind": rng.choice(list("abc"), N)})
    return df.assign(y=np.where(df["x"] + rng.normal(0, 0.5, N) > 0, "yes", "no"), **columns)


def checked(df, **settings):
    with captured_notes() as notes:
        dls = TabularDataLoaders.from_df(df, **{"y_names": "y", "seed": 1, **settings})
    return dls.check(), " ".join(notes)


def kinds(report) -> set[str]:
    return set(report.issues["kind"])


def test_a_clean_table_has_nothing():
    report, said = checked(clean())
    assert not report and "dls.check()" not in said


def test_copies_on_both_sides_are_found_also_when_it_is_made_ready():
    df = pd.concat([clean(), clean().iloc[:100]], ignore_index=True)
    report, said = checked(df)
    leak = report.issues.set_index("kind").loc["row_leak"]
    assert leak["severity"] == "high" and "drop_duplicates" in leak["advice"] and "more than one side of the split" in said
    table = df.iloc[leak["rows"]]
    assert table.duplicated().any() or set(table.index) & (set(range(100)) | set(range(300, 400)))


def test_equal_rows_with_other_targets_or_the_same_are_found():
    df = pd.concat([clean(), clean().iloc[:5].assign(y="maybe")], ignore_index=True)
    assert "conflicting_rows" in kinds(checked(df)[0])
    split = (list(range(100)) + list(range(200, 205)), list(range(100, 200)))
    found = checked(pd.concat([clean().iloc[:200], clean().iloc[:5]], ignore_index=True), splitter=split)[0]
    assert "repeated_rows" in kinds(found) and "row_leak" not in kinds(found)


def test_few_different_values_are_no_copies():
    rng = np.random.default_rng(0)
    df = pd.DataFrame({"a": rng.choice(list("xyz"), N), "b": rng.choice([1, 2], N), "y": rng.choice(["yes", "no"], N)})
    assert not kinds(checked(df)[0]) & {"row_leak", "conflicting_rows", "repeated_rows"}


@pytest.mark.parametrize("target", ["y", "x"])
def test_a_column_that_is_the_answer_is_found(target):
    df = clean(answer=lambda d: d["y"].map({"yes": 1, "no": 2}).astype(str) if target == "y" else d["x"] * 3 + 1)
    report, _ = checked(df, y_names=target)
    assert report.issues.set_index("kind").loc["answer", "message"].startswith("From the column 'answer' alone")


def test_a_column_that_only_nearly_says_the_answer_is_no_answer():
    df = clean(near=lambda d: d["x"] + np.random.default_rng(1).normal(0, 0.2, N), turned=lambda d: -(d["x"] ** 3))
    assert 0.95 < df["near"].rank().corr(df["x"].rank()) < 0.99
    report, _ = checked(df, y_names="x")
    assert [m.split("'")[1] for m in report.issues.query("kind == 'answer'")["message"]] == ["turned"]


def test_ids_on_both_sides_are_found_and_a_split_by_them_ends_it():
    df = clean(patient_id=np.arange(N) // 6)
    report, said = checked(df)
    issue = report.issues.set_index("kind").loc["id_leak"]
    assert "GroupSplitter('patient_id')" in issue["advice"] and "'patient_id'" in issue["message"] and "dls.check()" in said
    assert "id_leak" not in kinds(checked(df, splitter=GroupSplitter("patient_id"))[0])


def test_time_mixed_by_a_random_split_is_found_and_a_split_by_it_ends_it():
    df = clean(when=pd.date_range("2024-01-01", periods=N, freq="h"))
    assert "TimeSplitter('when')" in checked(df)[0].issues.set_index("kind").loc["time_leak", "advice"]
    assert "time_leak" not in kinds(checked(df, splitter=TimeSplitter("when"))[0])
    assert "time_leak" not in kinds(checked(df.sample(frac=1, random_state=0))[0])


def test_columns_that_are_mostly_missing_and_uneven_classes_are_found():
    df = clean(gaps=[1.0, None, None] * (N // 3))
    df["y"] = ["rare"] * 8 + ["often"] * (N - 8)
    assert {"mostly_missing", "imbalance"} <= kinds(checked(df)[0])


def test_texts_that_look_like_numbers_or_dates_are_found():
    amounts, days = np.random.default_rng(1).normal(size=N), pd.date_range("2024-01-01", periods=N)
    report, _ = checked(clean(price=[f"{v:.2f}".replace(".", ",") for v in amounts], day=[f"{d:%d.%m.%Y}" for d in days]))
    found = report.issues.set_index("kind")
    assert "decimal=','" in found.loc["numbers_as_text", "advice"] and "dayfirst=True" in found.loc["dates_as_text", "advice"]
    report, _ = checked(clean(price=[f"{v:.2f}" for v in amounts], day=[f"{d:%Y-%m-%d}" for d in days]))
    assert not kinds(report) & {"numbers_as_text", "dates_as_text"}


def test_categories_in_several_spellings_are_found():
    towns = ["Rome", "rome ", "ROME", "Milan", None, "Turin"] * (N // 6)
    for dtype in ("object", "category", "str"):
        report, _ = checked(clean(town=pd.Series(towns, dtype=dtype), sign=["-1", "1"] * (N // 2)))
        issue = report.issues.set_index("kind").loc["similar_categories"]
        assert "'Rome' (50 rows) and 'rome ' (50 rows) and 'ROME' (50 rows)" in issue["message"] and issue["rows"][:3] == [0, 1, 2]


def test_classes_of_opposite_signs_are_no_spellings():
    assert "similar_labels" not in kinds(checked(clean().assign(y=[-1, 1] * (N // 2)))[0])


def test_categories_are_taken_as_unknown_now_and_then_in_training_alone():
    with captured_notes():
        dls = TabularDataLoaders.from_df(clean(), y_names="y", seed=1, bs=N)
    unknown = dls.blocks[0].features[0].unknown
    shares = [float((x == unknown).float().mean()) for _ in range(20) for x, _, _ in dls.train]
    assert 0.003 < np.mean(shares) < 0.03
    assert not any((x == unknown).any() for x, _, _ in dls.valid) and not any((x == unknown).any() for x, _, _ in dls.train.in_order())


def test_a_column_can_be_left_alone():
    tfm = UnknownCategories([7, -1], p=0.9)
    x = tfm.apply([torch.zeros(100, 2, dtype=torch.long)], ["categories"], torch.Generator().manual_seed(0))[0]
    assert (x[:, 0] == 7).float().mean() > 0.7 and (x[:, 1] == 0).all()
