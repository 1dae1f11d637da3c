"""The data that is measured on, made once from the sets of tests/realdata.py and kept in their cache."""

from __future__ import annotations

import shutil
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
import realdata

SMALL = realdata.ROOT / "benchmarks"


def groceries(quick: bool) -> Path:
    """A CSV (file, label, coarse, split) of the set with its official split; `quick`: 4 classes and 12 photographs a class and split."""
    table = realdata.groceries()
    if not quick:
        return _written(table, "groceries.csv")
    some = table[table["label"].isin(["Granny-Smith", "Orange", "Pink-Lady", "Watermelon"])]
    return _written(some.groupby(["label", "split"]).head(12), "groceries_quick.csv")


def small_set(n: int = 60) -> Path:
    """A CSV (file, label, is_valid) of `n` photographs of two classes, half of which validate."""
    table = realdata.groceries()
    some = table[table["label"].isin(["Granny-Smith", "Orange"])].groupby("label").head(n // 2).reset_index(drop=True)
    return _written(some.assign(is_valid=[i % 2 == 1 for i in range(len(some))])[["file", "label", "is_valid"]], "small.csv")


def photographs(n: int) -> Path:
    """A folder of `n` photographs: the set, from the beginning again where it ends."""
    folder = SMALL / f"photographs_{n}"
    files = list(realdata.groceries()["file"])
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        path = folder / f"{i:04}.jpg"
        if not path.is_file():
            shutil.copyfile(files[i % len(files)], path)
    return folder


def large_jpegs(n: int) -> Path:
    """A CSV (file, label, is_valid) of `n` JPEGs of 1,600 x 1,200 and 8 that validate: mosaics of 5 x 4 photographs at their own
    resolution, so that they hold as much detail as a camera's picture (enlarged photographs would decode too fast)."""
    folder = SMALL / f"large_{n}"
    files = list(realdata.groceries()["file"])
    paths = [folder / f"{i:04}.jpg" for i in range(n + 8)]
    parts = [[files[(i * 20 + k) % len(files)] for k in range(20)] for i in range(n + 8)]
    with ProcessPoolExecutor() as pool:
        list(pool.map(_mosaic, parts, paths, chunksize=16))
    rows = [{"file": str(path), "label": "ab"[i % 2], "is_valid": i >= n} for i, path in enumerate(paths)]
    return _written(pd.DataFrame(rows), f"large_{n}.csv")


def many_images(n: int) -> Path:
    """A CSV (file, label, is_valid) of `n` JPEGs of 64 x 64, crops of the photographs; 100 of them validate."""
    folder = SMALL / f"many_{n}"
    folder.mkdir(parents=True, exist_ok=True)
    table = realdata.groceries()
    each = -(-n // len(table))
    rows = []
    for i, (file, label) in enumerate(zip(table["file"], table["label"], strict=True)):
        paths = [folder / f"{i:04}_{k}.jpg" for k in range(each)]
        if not paths[-1].is_file():
            _crops(file, paths)
        rows += [{"file": str(p), "label": label} for p in paths]
    frame = pd.DataFrame(rows[:n])
    frame["is_valid"] = frame.index % (n // 100) == 0
    return _written(frame, f"many_{n}.csv")


def stamps(n: int, size: int) -> dict[str, Any]:
    """Settings of `n` pictures with masks, images/0000.jpg and masks/0000.png in a folder; every fifth validates."""
    folder = SMALL / f"stamps_{n}_{size}"
    if not (folder / "masks" / f"{n - 1:04}.png").is_file():
        for part in ("images", "masks"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        for i, (picture, mask) in enumerate(realdata.stamp_composites(n, size)):
            picture.save(folder / "images" / f"{i:04}.jpg", quality=95)
            Image.fromarray(mask).save(folder / "masks" / f"{i:04}.png")
    return {"folder": str(folder), "codes": list(realdata.STAMP_CLASSES)}


def _mosaic(files: list[str], path: Path) -> None:
    if path.is_file():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = Image.new("RGB", (1600, 1200))
    for k, file in enumerate(files):
        whole.paste(Image.open(file).convert("RGB").crop((0, 0, 320, 300)), (k % 5 * 320, k // 5 * 300))
    whole.save(path, quality=90)


def _crops(file: str, paths: list[Path]) -> None:
    photo = Image.open(file).convert("RGB")
    photo.thumbnail((160, 160))
    for k, path in enumerate(paths):
        left, top = k * 7 % (photo.width - 64), k * 11 % (photo.height - 64)
        photo.crop((left, top, left + 64, top + 64)).save(path, quality=85)


def _written(table: pd.DataFrame, name: str) -> Path:
    SMALL.mkdir(parents=True, exist_ok=True)
    table.to_csv(SMALL / name, index=False)
    return SMALL / name


def weights(arch: str) -> str:
    """A safetensors file of ImageNet weights under timm's names, which both libraries load."""
    return str({"mobilenetv2_100": realdata.mobilenetv2_weights, "resnet50": realdata.resnet50_weights}[arch]())


# -- tables and ratings -------------------------------------------------------------------------------------------------

COUNT = {"ames": np.log, "bikeshare": np.log1p}  # targets whose logarithm is predicted, by both libraries


def table(name: str, quick: bool = False) -> dict[str, Any]:
    """Settings of a real table: a CSV file with its rows and which of them validate (a fifth at random, always the same one; of
    bikeshare the last fifth in time, without the two columns whose sum is the target), and what its columns are."""
    frame, target, kind = {
        "adult": lambda: (realdata.adult(), "income", "class"),
        "titanic": lambda: (realdata.titanic().drop(columns="rownames"), "survived", "class"),
        "ames": lambda: (realdata.ames().drop(columns="rownames"), "Sale_Price", "number"),
        "bikeshare": lambda: (realdata.bikeshare().drop(columns=["date", "casual", "registered"]), "riders", "number"),
    }[name]()
    if name in COUNT:
        frame[target] = COUNT[name](frame[target].astype(float))
    if quick:
        frame = frame.sample(min(len(frame), 2000), random_state=0).sort_index().reset_index(drop=True)
    cont = [c for c in frame if c != target and pd.api.types.is_numeric_dtype(frame[c]) and frame[c].nunique() > 20]
    cat = [c for c in frame if c not in (target, *cont)]
    frame[cat] = frame[cat].astype(str).where(frame[cat].notna())
    n = len(frame)
    frame["is_valid"] = np.arange(n) >= 0.8 * n if name == "bikeshare" else np.random.default_rng(0).permutation(n) < n // 5
    return {"table": _kept(frame, f"table_{name}{'_quick' * quick}"), "cat_names": cat, "cont_names": cont, "target": target, "kind": kind}


def ratings(name: str, fold: int | None = None, quick: bool = False) -> dict[str, Any]:
    """Settings of real ratings: a CSV file of users, items and ratings; a fifth of them validates: fold number `fold` of five."""
    frame, _ = {"movielens_100k": realdata.movielens_100k, "movielens_1m": realdata.movielens_1m}[name]()
    frame = frame[["user_id", "item_id", "rating"]].astype({"user_id": str, "item_id": str, "rating": float})
    if quick:
        frame = frame.head(5000)
    order = np.random.default_rng(0).permutation(len(frame))
    frame["is_valid"] = order % 5 == (fold or 0) % 5
    return {"table": _kept(frame, f"{name}_{fold or 0}{'_quick' * quick}"), "kind": "ratings", "cat_names": ["user_id", "item_id"]}


def folds(name: str, quick: bool = False) -> dict[str, Any]:
    """Settings of real ratings in five folds: each seed has another one of them."""
    made = [ratings(name, fold, quick) for fold in range(5)]
    return {**made[0], "tables": [one["table"] for one in made]}


def large_csv(n: int) -> dict[str, Any]:
    """Settings of a CSV file of `n` rows: the adult table over and over, in another order."""
    frame, path, small = realdata.adult(), SMALL / f"adult_{n}.csv", SMALL / "adult_small.csv"
    if not path.is_file():
        SMALL.mkdir(parents=True, exist_ok=True)
        frame.sample(n, replace=True, random_state=0).to_csv(path, index=False)
    if not small.is_file():
        frame.head(1000).to_csv(small, index=False)
    settings = table("adult")
    return {k: settings[k] for k in ("cat_names", "cont_names", "target")} | {"csv": str(path), "small": str(small)}


def _kept(frame: pd.DataFrame, name: str) -> str:
    SMALL.mkdir(parents=True, exist_ok=True)
    frame.to_csv(SMALL / f"{name}.csv", index=False)
    return str(SMALL / f"{name}.csv")
