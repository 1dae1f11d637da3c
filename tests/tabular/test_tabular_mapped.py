"""Tables that stay in files: from each kind of file and table the same data and the same model as in memory, and nothing left behind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import polars
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
import torch

from burnish.data import mapped
from burnish.data.mapped import is_mapped
from burnish.data.notes import captured_notes
from burnish.errors import DataError, SettingError
from burnish.tabular import files
from burnish.tabular.all import *
from burnish.tabular.files import read_file
from burnish.train.export import load_learner

N, PIECE = 700, 128


@pytest.fixture(autouse=True)
def _in_pieces(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Small pieces, so that each table here has several."""
    monkeypatch.setattr(mapped, "PIECE", PIECE)
    monkeypatch.setattr(files, "PIECE", PIECE)
    monkeypatch.setenv("BURNISH_CACHE", str(tmp_path / "cache"))


def table() -> pd.DataFrame:
    """Every kind of column, with gaps; whole numbers that only later rows make fractions, or texts."""
    rng = np.random.default_rng(0)
    size, colour = rng.normal(10, 3, N).round(2), rng.choice(["red", "green", "blue"], N)
    df = pd.DataFrame(
        {
            "colour": colour, "size": size, "doors": rng.choice([2, 4], N), "new": rng.choice([True, False], N),
            "day": pd.date_range("2024-01-01", periods=N, freq="7h"), "code": [str(i % 7) if i < 500 else f"x{i % 5}" for i in range(N)],
            "gaps": np.where(rng.random(N) < 0.1, np.nan, size.round()), "late": [i % 50 + (0.5 if i > 600 else 0) for i in range(N)],
            "sold": np.where(size + (colour == "red") * 4 + rng.normal(size=N) > 11, "yes", "no"),
        }
    )  # fmt: skip
    df.loc[[3, 300], "colour"], df.loc[[5, 400], "sold"] = None, None
    return df


def csv(df: pd.DataFrame, folder: Path) -> Path:
    df.to_csv(folder / "t.csv", index=False)
    return folder / "t.csv"


def parquet(df: pd.DataFrame, folder: Path) -> Path:
    df.to_parquet(folder / "t.parquet")
    return folder / "t.parquet"


def parquet_folder(df: pd.DataFrame, folder: Path) -> Path:
    (folder / "parts").mkdir()
    for i in range(3):
        df.iloc[i * 250 : (i + 1) * 250].to_parquet(folder / "parts" / f"{i}.parquet")
    return folder / "parts"


def packed_arrow(df: pd.DataFrame, folder: Path) -> Path:
    pyarrow.feather.write_feather(df, str(folder / "t.feather"))
    return folder / "t.feather"


def plain_arrow(df: pd.DataFrame, folder: Path) -> Path:
    pyarrow.feather.write_feather(df, str(folder / "t.arrow"), compression="uncompressed", chunksize=200)
    return folder / "t.arrow"


def arrow_table(df: pd.DataFrame, folder: Path) -> pa.Table:
    return pa.Table.from_pandas(df, preserve_index=False)


def pandas_of_arrow(df: pd.DataFrame, folder: Path) -> pd.DataFrame:
    return df.convert_dtypes(dtype_backend="pyarrow")


def polars_table(df: pd.DataFrame, folder: Path) -> polars.DataFrame:
    return polars.from_pandas(df)


SOURCES = [csv, parquet, parquet_folder, packed_arrow, plain_arrow, arrow_table, pandas_of_arrow, polars_table]


def loaders(source, in_memory: bool, **settings) -> TabularDataLoaders:
    make = TabularDataLoaders.from_file if isinstance(source, Path) else TabularDataLoaders.from_df
    with captured_notes():
        return make(source, y_names="sold", seed=1, bs=32, in_memory=in_memory, **settings)


@pytest.mark.parametrize("form", SOURCES)
def test_a_table_in_files_gives_what_it_gives_in_memory(form, tmp_path):
    source = form(table(), tmp_path)
    inside, outside = loaders(source, True), loaders(source, False)
    assert is_mapped(outside.prepared.frame) and not is_mapped(inside.prepared.frame)
    assert [b.config() for b in inside.blocks] == [b.config() for b in outside.blocks]
    assert "code" in inside.cat_names and inside.classes["code"][1:] == [*map(str, range(7)), *(f"x{i}" for i in range(5))]
    kept = outside.table["split"].notna().to_numpy().copy()
    assert np.flatnonzero(~kept).tolist() == [5, 400]  # rows without a target stay in the table that is in files, in no split
    for a, b in zip(inside.prepared.tensors, outside.prepared.tensors, strict=True):
        assert torch.equal(a, b[torch.from_numpy(kept)])
    assert inside.table["split"].tolist() == outside.table["split"][kept].tolist()
    assert list((tmp_path / "cache").glob("*")) == []


def test_it_does_all_that_a_table_in_memory_does(tmp_path, capsys):
    dls = loaders(parquet(table(), tmp_path), False)
    inside = loaders(parquet(table().dropna(subset=["sold"]), tmp_path), True)
    dls.show_batch()
    dls.check()
    with captured_notes():
        learn = tabular_learner(dls, arch="mlp", metrics="accuracy", seed=0, lr=5e-3)
        learn.fit_one_cycle(8)
        own = learn.baselines(models=["linear", "boosting"])
    assert learn.results["valid"].set_index("metric")["value"]["accuracy"] > 0.8 and len(own) == 4
    assert set(learn.feature_importance(n=1)["column"]) >= {"colour", "size", "day"}
    assert learn.feature_importance(n=1)["column"][0] == "size"
    assert len(learn.partial_dependence("size")) > 5 and len(learn.partial_dependence("colour")) == 3
    table_of = ClassificationInterpretation.from_learner(learn).table
    assert not is_mapped(table_of) and len(table_of) == dls.valid.n and table_of["size"].dtype == np.float64
    row = dls.valid.item(int(dls.valid.rows[0]))
    assert str(learn.predict(row)[0]) == str(table_of["prediction"].iloc[0])
    with captured_notes():
        new = dls.test_dl(inside.prepared.frame)
        file = learn.export(tmp_path / "m.burnish")
        loaded = load_learner(file)
    assert torch.equal(learn.get_preds(dl=new).preds, loaded.get_preds(dl=loaded.dls.test_dl(inside.prepared.frame)).preds)
    with captured_notes():
        learn.dls = dls.new(inside.prepared.frame, seed=2)
        learn.fit_one_cycle(1)


def test_other_models_are_fitted_to_as_many_rows_as_memory_may_hold(tmp_path, monkeypatch):
    from burnish.tabular import baselines

    monkeypatch.setattr(baselines, "MOST_FITTED", 1000)
    source = parquet(table(), tmp_path)
    for in_memory in (True, False):
        learn = tabular_learner(loaders(source, in_memory), arch="mlp", seed=0)
        with captured_notes() as notes:
            learn.baselines(models=["linear"])
        assert ("fitted to" in " ".join(notes)) is not in_memory


def test_rows_of_files_are_predicted_in_pieces(tmp_path):
    dls = loaders(table(), True)
    with captured_notes():
        inside = dls.test_dl(table())
        outside = dls.test_dl(read_file(csv(table(), tmp_path), in_memory=False))
    for a, b in zip(inside.tensors, outside.tensors, strict=True):
        assert torch.equal(a, b)


def test_a_pass_has_every_row_once_in_stretches_that_lie_together(tmp_path, monkeypatch):
    from burnish.data import tensors

    monkeypatch.setattr(tensors, "_STRETCH", 16)
    monkeypatch.setattr(tensors, "_MIXED", 4)
    train = loaders(parquet(table(), tmp_path), False).train
    first, second = train.order(0), train.order(1)
    assert sorted(first) == sorted(second) == sorted(train.rows) and list(first) != list(second)
    window = np.sort(first[:64])
    place = np.searchsorted(np.sort(train.rows), window)
    assert len(set(place // 16)) == 4  # four stretches of sixteen, mixed
    assert not (np.diff(first[:64]) > 0).all()


def test_a_large_table_stays_in_files_by_itself_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(mapped, "free_memory", lambda: 50_000)
    for source in (csv(table(), tmp_path), parquet(table(), tmp_path)):
        with captured_notes() as notes:
            dls = TabularDataLoaders.from_file(source, y_names="sold", seed=1)
        assert is_mapped(dls.prepared.frame) and "it stays in files" in " ".join(notes) and "in_memory=True loads it" in " ".join(notes)
    with captured_notes() as notes:
        assert not is_mapped(TabularDataLoaders.from_df(table(), y_names="sold", seed=1).prepared.frame)  # it is in memory already


def test_room_on_the_disk_is_asked_for_before(tmp_path, monkeypatch):
    class Usage:
        free = 1000

    monkeypatch.setattr(mapped.shutil, "disk_usage", lambda place: Usage)
    with pytest.raises(DataError, match=r"has room for .* BURNISH_CACHE"):
        loaders(csv(table(), tmp_path), False)


def test_a_cell_that_is_wrong_is_named_by_its_row(tmp_path):
    df = table().assign(text=[f"{i / 7:.3f}" for i in range(N)])
    df.loc[555, "text"] = "n/a?"
    source = parquet(df, tmp_path)
    for in_memory in (True, False):
        with pytest.raises(DataError, match=r"'n/a\?' \(row 555\)"):
            loaders(source, in_memory, cont_names=["text"], cat_names=["colour"], valid_idx=[555, 600])
        with pytest.raises(DataError, match=r"infinite number\(s\): rows 650"):
            wrong = df.assign(far=np.where(np.arange(N) == 650, np.inf, df["size"]))
            loaders(pa.Table.from_pandas(wrong), in_memory, cont_names=["far"])


class TwiceAsLarge(TabularProc):
    def apply(self, frame):
        return frame.assign(double=frame["size"] * 2)


class LearnsTheLargest(TwiceAsLarge):
    def setup(self, frame):
        self.most = frame["size"].max()


class OfSomeRows(TabularProc):
    def apply(self, frame):
        return frame.assign(late=1) if len(frame) == PIECE else frame.assign(more=1)


def test_steps_of_ones_own_work_piece_by_piece(tmp_path):
    source = parquet(table().dropna(subset=["sold"]), tmp_path)
    inside, outside = (
        loaders(source, in_memory, procs=[TwiceAsLarge, Categorify, FillMissing, Normalize, Dates]) for in_memory in (True, False)
    )
    assert "double" in outside.cont_names
    assert all(torch.equal(a, b) for a, b in zip(inside.prepared.tensors, outside.prepared.tensors, strict=True))
    with pytest.raises(DataError, match="a step must give every row the same columns"):
        loaders(source, False, procs=[OfSomeRows, Categorify])
    with pytest.raises(SettingError, match="learns from all training rows at once"):
        loaders(source, False, procs=[LearnsTheLargest, Categorify])


@pytest.mark.parametrize("splitter", [GroupSplitter("code", seed=1), TimeSplitter("day"), RandomSplitter(0.2, seed=3, test_pct=0.1)])
def test_it_is_split_alike(splitter, tmp_path):
    source = parquet(table().dropna(subset=["sold"]), tmp_path)
    inside, outside = (loaders(source, in_memory, splitter=splitter) for in_memory in (True, False))
    assert inside.table["split"].tolist() == outside.table["split"].tolist()


def test_test_rows_may_be_given(tmp_path):
    df = table().dropna(subset=["sold"]).reset_index(drop=True)
    source = parquet(df.iloc[:500], tmp_path)
    inside, outside = (loaders(source, in_memory, test_df=df.iloc[500:]) for in_memory in (True, False))
    assert outside.test.n == N - 502
    assert all(torch.equal(a, b) for a, b in zip(inside.prepared.tensors, outside.prepared.tensors, strict=True))
    with pytest.raises(DataError, match="'size' can't be of the type double"):
        loaders(source, False, test_df=df.iloc[500:].assign(size="large"))


def test_long_ids_beside_gaps_stay_apart():
    ids = [2**60 + 2 * (i % 10) for i in range(N)]
    for in_memory in (True, False):
        dls = loaders(
            pa.table({"id": [None, *ids[1:]], "size": table()["size"], "sold": ["a", "b"] * (N // 2)}), in_memory, cat_names=["id"]
        )
        assert dls.classes["id"][1:] == sorted(set(ids))


@pytest.mark.parametrize("in_memory", [True, False])
def test_the_index_of_a_table_is_no_column(in_memory, tmp_path):
    df = table().sample(frac=1, random_state=0)
    df.to_parquet(tmp_path / "t.parquet")
    assert "__index_level_0__" in pa.parquet.read_schema(tmp_path / "t.parquet").names
    assert list(read_file(tmp_path / "t.parquet", in_memory).columns) == list(df.columns)


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_folder_of_files_has_the_columns_of_all_and_of_its_folders(in_memory, tmp_path):
    for year, df in (("2023", table().drop(columns="late").head(300)), ("2024", table().tail(300))):
        (tmp_path / f"year={year}").mkdir()
        df.to_parquet(tmp_path / f"year={year}" / "t.parquet")
    found = read_file(tmp_path, in_memory)
    assert set(found.columns) == {*table().columns, "year"} and found["late"].isna().sum() == 300
    assert found["year"].astype(int).tolist() == [2023] * 300 + [2024] * 300


def test_a_table_of_one_column_is_read_whole(tmp_path):
    (tmp_path / "t.csv").write_text("size\n" + "\n".join(map(str, range(N))))
    assert len(read_file(tmp_path / "t.csv", False)) == N


def test_tables_of_categories_alone_and_of_numbers_alone(tmp_path):
    for columns in ({"cat_names": ["colour"]}, {"cont_names": ["size"]}):
        dls = loaders(parquet(table(), tmp_path), False, **columns)
        with captured_notes():
            tabular_learner(dls, arch="mlp", seed=0).fit(1)


def test_test_rows_of_pandas_categories_join_those_of_a_file(tmp_path):
    df = table().dropna(subset=["sold"]).astype({"colour": "category"})
    dls = loaders(parquet(df.iloc[:500], tmp_path), False, test_df=df.iloc[500:])
    assert dls.test.n == len(df) - 500


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("t.xlsx", b"PK", "Save the sheet as CSV"),
        ("t.json", b"{}", "ends in one of .csv"),
        ("t.parquet", b"no parquet", "can't be read as a file of Parquet"),
        ("t.arrow", b"no arrow", "can't be read as a file of Arrow"),
        ("t.csv", b"", "is empty: 0 bytes"),
        ("t.csv", b"a;b\n1;2\n", "sep=';'"),
    ],
)
@pytest.mark.parametrize("in_memory", [True, False])
def test_files_that_are_no_tables_are_refused(name, content, words, in_memory, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=words.replace("(", r"\(")):
        read_file(tmp_path / name, in_memory)


def test_a_file_that_is_not_there_is_named(tmp_path):
    parquet(table(), tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no file .*u.parquet.*Did you mean: t.parquet"):
        read_file(tmp_path / "u.parquet")
