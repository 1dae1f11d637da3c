"""burnish train, predict and show, for masks, several labels, numbers, points and boxes."""

from __future__ import annotations

import json
import re
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from test_cli import QUICK, Ran, burnish

N = 24


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bright square in each picture: its mask, its corners, its place, what it is called; in folders, tables and a COCO file."""
    root, rng, rows = tmp_path_factory.mktemp("data"), np.random.default_rng(0), []
    for name in ("seg/images", "seg/masks"):
        (root / name).mkdir(parents=True)
    for i in range(N):
        picture, mask = rng.integers(60, 110, (48, 56, 3), dtype=np.uint8), np.zeros((48, 56), np.uint8)
        x, y, red = *rng.integers(2, 30, 2), i % 2
        picture[y : y + 16, x : x + 16] = (230, 60, 60) if red else (60, 60, 230)
        mask[y : y + 16, x : x + 16] = 1
        Image.fromarray(picture).save(root / "seg/images" / f"{i:02}.png")
        Image.fromarray(mask).save(root / "seg/masks" / f"{i:02}.png")
        rows.append(
            (
                f"seg/images/{i:02}.png",
                "red warm" if red else "blue",
                ("blue", "red")[red],
                x / 10,
                f"seg/masks/{i:02}.png",
                x,
                y,
                x + 16,
                y + 16,
                red,
                1 - red,
            )
        )
    names = ["file", "tags", "colour", "place", "mask", "left_x", "left_y", "right_x", "right_y", "is_red", "is_blue"]
    table = pd.DataFrame(rows, columns=names)
    table.to_csv(root / "table.csv", index=False)
    (root / "seg/codes.txt").write_text("rest\nsquare\n")
    told = {
        "images": [{"id": i, "file_name": Path(f).name} for i, f in enumerate(table.file)],
        "categories": [{"id": 3, "name": "blue"}, {"id": 5, "name": "red"}],
        "annotations": [
            {"image_id": i, "category_id": 5 if r.is_red else 3, "bbox": [int(r.left_x), int(r.left_y), 16, 16]} for i, r in enumerate(table.itertuples())
        ],
    }  # fmt: skip
    (root / "coco.json").write_text(json.dumps(told))
    return root


def of_table(*more: str) -> tuple[str, ...]:
    return ("table.csv", "--pictures", "file", *more)


TARGETS = {
    "masks of a folder": (("seg",), "24 photographs and their masks", "rest|square"),
    "masks of a table": (of_table("--target", "mask", "--codes", "rest,square"), "a class for every pixel (mask)", "rest|square"),
    "labels": (of_table("--target", "tags", "--delim", " "), "several labels a picture (tags)", "red|blue|warm|none"),
    "columns of labels": (of_table("--target", "is_red,is_blue"), "several labels a picture (is_red, is_blue)", "is_red|is_blue|none"),
    "a class": (of_table("--target", "colour"), "24 photographs in 2 classes", "red|blue"),
    "a number": (of_table("--target", "place"), "numbers (place)", r"[\d.]+"),
    "numbers": (
        of_table("--target", "place,left_x", "--task", "number"),
        "numbers (place, left_x)",
        r"file +place +left_x\n.+\n\S+ +-?[\d.]+ +-?[\d.]+ *\n",
    ),
    "points": (of_table("--target", "left_x,left_y,right_x,right_y"), "points (left_x, left_y, right_x, right_y)", r"left x"),
    "boxes": (of_table("--target", "left_x,left_y,right_x,right_y,colour"), "boxes (left_x", "nothing|red|blue"),
    "boxes of COCO": (("coco.json", "--pictures", "seg/images"), "24 photographs and their boxes", "nothing|red|blue"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_one_command_trains_reports_and_predicts(data: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given, said, predicted = TARGETS[name]
    got: Ran = burnish("train", *given, *QUICK, "--out", tmp_path / "out", cwd=data)
    assert got.returncode == 0, got.stdout + got.stderr
    assert said in got.stdout.replace("\n", " ").replace("  ", " "), got.stdout
    lines = (
        got.stdout[: got.stdout.index("training ")] + got.stdout[got.stdout.index("Written") :]
    )  # without the table of epochs, as wide as its metrics' names
    assert [line for line in lines.splitlines() if len(line) > 80 and not line.startswith(("24 photo", "  burnish predict"))] == []
    assert "samples asked for" not in got.stdout, "nobody asked"
    written = {p.name for p in (tmp_path / "out").iterdir()}
    assert {"report.html", "model.burnish", "batch.png", "loss.png", "top_losses.png"} <= written and ("results.png" in written) == (
        name != "a class"
    )
    report = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "said <b class" not in report or name in ("a class", "labels", "columns of labels", "a number", "numbers")
    errs = {
        "masks": "Confusion",
        "labels": "By label",
        "number": "Predicted and actual",
        "points": "By point",
        "boxes": "By class",
        "class": "Confusion",
    }
    kind = next(kind for kind in errs if kind in name)
    assert (
        errs[kind] in report
        and ("<h1>mobilenetv3_small_050: place" in report) == (kind == "number")
        and 'said <b class="bad">[' not in report
    )
    assert "None</b>" not in report and "How good is it?" in report and "The most wrong" in report
    monkeypatch.chdir(data)
    done = burnish("predict", tmp_path / "out" / "model.burnish", "seg/images/00.png")
    assert done.returncode == 0, done.stderr
    assert re.search(predicted, done.stdout), done.stdout
    as_json = burnish("predict", tmp_path / "out" / "model.burnish", "seg/images/00.png", "seg/nothing.png", "--json")
    assert as_json.returncode == 1
    good, bad = json.loads(as_json.stdout)
    assert good["error"] is None and "nothing.png" in bad["error"]
    assert next(iter(good)) == "file" and len(good) > 2


@pytest.mark.slow
def test_masks_are_written(data: Path, tmp_path: Path) -> None:
    got = burnish("train", "seg", *QUICK, "--out", tmp_path / "out", cwd=data)
    assert got.returncode == 0, got.stderr
    done = burnish("predict", tmp_path / "out" / "model.burnish", data / "seg/images/00.png", "--masks", tmp_path / "masks")
    assert done.returncode == 0, done.stderr
    mask = np.asarray(Image.open(tmp_path / "masks" / "00.png"))
    assert mask.shape == (48, 56) and set(np.unique(mask)) <= {0, 1}
    assert Image.open(tmp_path / "masks" / "00.png").mode == "P", "in colours that can be seen"
    photo, drawn = data / "seg/images/00.png", tmp_path / "drawn"
    done = burnish("predict", tmp_path / "out" / "model.burnish", photo, data / "none.png", "--draw", drawn)
    assert done.returncode == 1 and [f.name for f in drawn.iterdir()] == ["00.png"] and f"Drawn in {drawn}" in done.stdout.replace("\n", "")
    lines = done.stdout.splitlines()
    assert (
        "00.png" in done.stdout
        and re.search("more columns?: --csv", done.stdout)
        and all(len(line) <= 80 for line in lines if str(drawn) not in line)
    ), lines
    refused = burnish("predict", tmp_path / "out" / "model.burnish", photo, "--threshold", "0.2")
    assert refused.returncode == 2 and "--threshold is of a model of boxes, or of several labels" in refused.stderr


@pytest.mark.slow
def test_a_csv_file_has_a_row_a_box_and_labels_as_one_text(data: Path, tmp_path: Path) -> None:
    burnish("train", "coco.json", "--pictures", "seg/images", *QUICK, "--out", tmp_path / "boxes", cwd=data)
    done = burnish("predict", tmp_path / "boxes" / "model.burnish", data / "seg/images/00.png", data / "seg/none.png", "--csv")
    found = pd.read_csv(StringIO(done.stdout))
    assert found.columns.tolist() == ["file", "label", "score", "x1", "y1", "x2", "y2", "error"] and len(found) >= 2
    assert found.error.iloc[-1].startswith("there is no") or "none.png" in found.error.iloc[-1]
    got = burnish("train", *of_table("--target", "tags"), *QUICK, "--out", tmp_path / "x", cwd=data)
    assert "hold" not in got.stderr, "a space may be in a name"
    burnish("train", *of_table("--target", "tags", "--delim", " "), *QUICK, "--out", tmp_path / "tags", cwd=data)
    done = burnish("predict", tmp_path / "tags" / "model.burnish", data / "seg/images/00.png", "--csv")
    assert "[" not in done.stdout
    for threshold, labels in (("0", "blue; red; warm"), ("1", "nan")):
        done = burnish("predict", tmp_path / "tags" / "model.burnish", data / "seg/images/00.png", "--csv", "--threshold", threshold)
        assert str(pd.read_csv(StringIO(done.stdout)).label[0]) == labels, "those from that probability on"


def test_what_a_table_holds_besides_is_said(data: Path) -> None:
    table = pd.read_csv(data / "table.csv")
    table.assign(is_valid=0, tags=table.tags + ";x").to_csv(data / "more.csv", index=False)
    got = burnish("show", "more.csv", "--pictures", "file", "--target", "tags", cwd=data)
    said = " ".join((got.stdout + got.stderr).split())
    assert (
        "The column 'is_valid' isn't used: the pictures that validate are drawn. --valid-col is_valid splits by it" in said
        and "hold ';' ('blue;x'). Several labels each? --delim ';' says so" in said
    )


@pytest.mark.parametrize("target", ["colour", "tags", "place", "left_x,left_y", "mask", "left_x,left_y,right_x,right_y,colour"])
def test_a_column_says_what_validates(data: Path, target: str) -> None:
    table = pd.read_csv(data / "table.csv")
    table.assign(side=["valid" if i % 3 == 0 else "test" if i % 12 == 1 else "train" for i in range(N)]).to_csv(
        data / "sides.csv", index=False
    )
    more = ("--delim", " ") if target == "tags" else ()
    got = burnish("show", "sides.csv", "--pictures", "file", "--target", target, *more, "--valid-col", "side", "--size", 32, cwd=data)
    assert got.returncode == 0, got.stderr
    assert "14 train, 8 valid, 2 test" in got.stdout or re.search(r"all +14 +8 +2\b", got.stdout), got.stdout
    assert "--valid-col side" in got.stdout


def test_masks_whose_names_have_something_more(data: Path, tmp_path: Path) -> None:
    for file in sorted((data / "seg").rglob("*.png")):
        made = tmp_path / file.parent.name / (f"{file.stem}_mask.png" if file.parent.name == "masks" else file.name)
        made.parent.mkdir(exist_ok=True)
        made.write_bytes(file.read_bytes())
    got = burnish("show", tmp_path, cwd=data)
    assert got.returncode == 2 and "have no mask of their name" in got.stderr and "--suffix _mask" in got.stderr, got.stderr
    got = burnish("show", tmp_path, "--suffix", "_mask", "--codes", "rest,square", "--out", data / "b.png", cwd=data)
    assert got.returncode == 0 and "24 photographs and their masks" in got.stdout and "--suffix _mask" in got.stdout, got.stderr


def test_show_says_the_command_that_trains(data: Path, tmp_path: Path) -> None:
    got = burnish("show", *of_table("--target", "left_x,left_y,right_x,right_y,colour"), "--out", tmp_path / "x.png", cwd=data)
    assert got.returncode == 0, got.stderr
    assert (
        "burnish train table.csv --pictures file --target left_x,left_y,right_x,right_y,colour" in got.stdout
        and (tmp_path / "x.png").is_file()
    )


WRONG = {
    "no such column": (of_table("--target", "colours"), "--target 'colours': the table has no such column.*Did you mean: colour"),
    "no column of pictures": (("table.csv", "--pictures", "files", "--target", "colour"), "--pictures 'files': the table has no such column"),
    "no target": (of_table(), "Say which column is to be predicted: --target NAME"),
    "not decidable": (of_table("--target", "left_x,colour"), "can't be told. Say it: --task labels, number, points, masks or boxes"),
    "no delimiter": (of_table("--target", "tags", "--task", "labels"), "what stands between the labels in the column 'tags'"),
    "odd points": (of_table("--target", "left_x,left_y,right_x", "--task", "points"), "columns x, y for each point were expected, and --target names 3"),
    "few numbers of boxes": (of_table("--target", "left_x,left_y", "--task", "boxes"), "four columns"),
    "a task that isn't": (of_table("--target", "colour", "--task", "clases"), "--task 'clases': expected one of"),
    "a delimiter for a folder": (("seg/images", "--delim", " "), "options of a table that names pictures"),
    "masks without folders": (("seg/images", "--task", "masks"), "has no folder 'images', 'masks'"),
    "a target of COCO": (("coco.json", "--target", "colour"), "taken as a COCO file"),
    "options of pictures": (("table.csv", "--target", "colour", "--delim", " "), r"options of photographs \(--pictures COLUMN"),
    "names of masks for classes": (("seg/images", "--codes", "a,b"), "--codes: an option of masks"),
    "names of masks for numbers": (of_table("--target", "place", "--codes", "a,b"), "--codes: an option of masks, and 'table.csv' is a table of numbers"),
    "a suffix in a table": (of_table("--target", "mask", "--codes", "a,b", "--suffix", "_m"), "--suffix: an option of a folder of masks"),
    "no such column of sides": (of_table("--target", "colour", "--valid-col", "file2"), "--valid-col 'file2': the table has no such column"),
    "two ways to split": (of_table("--target", "colour", "--valid-col", "is_red", "--valid", "0.2"), "--valid-col and --valid were both given"),
    "options of tables": (of_table("--target", "colour", "--group", "file"), "--group: these are options of a table"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_told_is_said(data: Path, name: str) -> None:
    given, said = WRONG[name]
    got = burnish("train", *given, *QUICK, cwd=data)
    assert got.returncode == 2 and re.search(said, got.stderr.replace("\n", " ")), got.stderr
