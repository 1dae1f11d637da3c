"""The command line, as a user runs it."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
import traceback
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image

from burnish.cli import main
from burnish.cli.places import put_earlier_aside
from burnish.cli.saying import end_of
from burnish.data.notes import captured_notes
from burnish.train.export import load_learner


class Ran(NamedTuple):
    """How a command ended, and what it printed."""

    returncode: int
    stdout: str
    stderr: str


def burnish(*args: object, cwd: Path | None = None) -> Ran:
    """Runs a command as the console script does, in this process: starting Python and torch anew takes seconds."""
    out, err, before, folder = io.StringIO(), io.StringIO(), sys.argv, Path.cwd()
    sys.argv = ["burnish", *map(str, args)]
    code: object = 0
    try:
        os.chdir(cwd or folder)
        with redirect_stdout(out), redirect_stderr(err):
            main()
    except SystemExit as end:
        code = end.code
    except Exception:
        err.write(traceback.format_exc())
        code = 1
    finally:
        sys.argv = before
        os.chdir(folder)
    return Ran(int(str(code or 0)), out.getvalue(), err.getvalue())


def process(*args: object) -> subprocess.CompletedProcess[str]:
    """Runs a command in a process of its own."""
    return subprocess.run([sys.executable, "-m", "burnish.cli", *map(str, args)], capture_output=True, text=True, timeout=300)


def test_help_names_the_commands_and_is_quick() -> None:
    started = time.perf_counter()
    got = process("--help")
    took = time.perf_counter() - started
    assert got.returncode == 0
    assert all(re.search(rf"^  {name} ", got.stdout, re.M) for name in ("train", "predict", "show", "doctor"))
    assert "..." not in got.stdout.split("Commands:")[1]  # no line is cut at 80 columns
    assert took < 3  # half a second on a quiet machine


def test_help_loads_nothing_heavy() -> None:
    code = "import sys, burnish.cli; print([m for m in ('torch', 'numpy', 'pandas', 'PIL', 'timm', 'matplotlib') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_version() -> None:
    import burnish as bn

    assert burnish("--version").stdout.strip() == f"burnish {bn.__version__}"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("train", "nowhere"), "There is no folder 'nowhere'"),
        (("show", "nowhere"), "There is no folder 'nowhere'"),
        (("predict", "nothing.burnish", "a.jpg"), "There is no model file 'nothing.burnish'"),
        (("predict", "nothing.burnish", "a.jpg", "--json", "--csv"), "choose one"),
    ],
)
def test_mistakes_are_one_message_without_traceback(tmp_path: Path, args: tuple[str, ...], words: str) -> None:
    got = burnish(*args, cwd=tmp_path)
    assert got.returncode == 2
    assert words in got.stderr and "Traceback" not in got.stderr
    assert got.stdout == ""
    debug = burnish(*args, "--debug", cwd=tmp_path)
    assert "Traceback" in debug.stderr and words in debug.stderr


@pytest.mark.parametrize(
    "args", [("train",), ("train", ".", "--epochs", "0"), ("train", ".", "--nonsense"), ("predict", "x", "y", "--sizes", "3")]
)
def test_wrong_usage_exits_with_2(args: tuple[str, ...]) -> None:
    got = burnish(*args)
    assert got.returncode == 2 and "Usage:" in got.stderr


def test_a_pickle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "export.pkl").write_bytes(b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00.")
    got = burnish("predict", tmp_path / "export.pkl", "a.jpg")
    assert got.returncode == 2 and "a pickle" in got.stderr


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("a.jpg", "a.jpg"),
        ("/home/someone/pictures/of/last/summer/in/the/alps/0123.jpg", "…/of/last/summer/in/the/alps/0123.jpg"),
        ("x" * 50, "…" + "x" * 42),
    ],
)
def test_long_paths_are_cut_at_their_beginning(path: str, shown: str) -> None:
    assert end_of(path) == shown and len(shown) <= 44


def test_doctor_finds_this_installation_well() -> None:
    got = burnish("doctor")
    assert got.returncode == 0, got.stdout + got.stderr
    assert "torch" in got.stdout and "small network" in got.stdout and "All is well." in got.stdout
    assert max(map(len, got.stdout.splitlines())) <= 80


QUICK = ("--arch", "mobilenetv3_small_050", "--no-pretrained", "--epochs", 1, "--size", 32, "--bs", 8, "--device", "cpu")


# -- the whole way ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def coloured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of small pictures that a model can tell apart; one file is no picture."""
    root = tmp_path_factory.mktemp("photos")
    for name, colour in {"red [r]": (200, 30, 30), "green": (30, 180, 40), "blue": (20, 40, 190)}.items():
        (root / name).mkdir()
        for i in range(8):
            Image.new("RGB", (40 + i, 36), tuple(c + 3 * i for c in colour)).save(root / name / f"{i}.jpg")
    (root / "green" / "broken.jpg").write_bytes(b"no picture")
    return root


@pytest.fixture(scope="module")
def trained(coloured: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ran]:
    work = tmp_path_factory.mktemp("work")
    got = burnish("train", coloured, *QUICK, "--test", 0.2, cwd=work)
    assert got.returncode == 0, got.stdout + got.stderr
    return work / "burnish-out", got


def test_train_writes_everything_and_says_what_is_next(trained) -> None:
    out, got = trained
    assert {p.name for p in out.iterdir()} >= {"report.html", "model.burnish", "batch.png", "loss.png", "confusion.png", "top_losses.png"}
    for picture in out.glob("*.png"):
        with Image.open(picture) as image:
            assert min(image.size) > 150
    assert "25 photographs in 3 classes" in got.stdout and "red [r]" in got.stdout
    assert "always answering" in got.stdout + got.stderr  # the baseline, beside the result
    assert "broken.jpg" in got.stderr
    assert "on the test split" in got.stdout
    assert "burnish predict burnish-out/model.burnish PHOTO.jpg" in got.stdout


def test_the_test_result_is_in_the_report_and_the_model(trained) -> None:
    out, _ = trained
    assert "<h2>On the test split</h2>" in (out / "report.html").read_text(encoding="utf-8")
    model = load_learner(out / "model.burnish")
    assert {"valid", "test"} == {row["split"] for row in model.record["results"]} and "Measured on the test split" in model.card


def test_train_is_tidy_at_80_columns(trained) -> None:
    _, got = trained
    assert [line for line in got.stdout.splitlines() if len(line) > 80] == []


def test_the_report_holds_everything_and_fetches_nothing(trained) -> None:
    out, _ = trained
    text = (out / "report.html").read_text(encoding="utf-8")
    assert "data:image/jpeg;base64," in text and "<svg" in text and "Confusion matrix" in text
    assert re.findall(r'(?:src|href)="(?!data:)', text) == []
    assert "baseline" in text and "broken.jpg" in text


def test_predict_says_what_each_file_shows(trained, coloured: Path) -> None:
    out, _ = trained
    files = [coloured / "green" / "1.jpg", coloured / "blue" / "2.jpg"]
    got = process("predict", out / "model.burnish", *files)
    assert got.returncode == 0, got.stderr
    assert "%" in got.stdout and "label" in got.stdout


def test_unreadable_files_have_their_row_and_the_others_are_predicted(trained, coloured: Path) -> None:
    out, _ = trained
    good, bad, none = coloured / "blue" / "0.jpg", coloured / "green" / "broken.jpg", coloured / "none.jpg"
    got = burnish("predict", out / "model.burnish", bad, good, none, "--json")
    assert got.returncode == 1
    rows = json.loads(got.stdout)
    assert [row["file"] for row in rows] == [str(bad), str(good), str(none)]
    assert [row["label"] is None for row in rows] == [True, False, True]
    assert rows[0]["error"] and "none.jpg" in rows[2]["error"]
    assert sum(rows[1]["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert rows[1]["probability"] == max(rows[1]["probabilities"].values())
    table = burnish("predict", out / "model.burnish", bad)
    assert table.returncode == 1 and "can't be read" in table.stdout and "broken.jpg" in table.stderr


def test_a_folder_without_pictures_and_a_missing_file_have_their_rows(trained, coloured: Path, tmp_path: Path) -> None:
    out, _ = trained
    got = burnish("predict", out / "model.burnish", coloured / "blue" / "0.jpg", tmp_path, "nosuch.jpg")
    assert got.returncode == 1 and got.stdout.count("can't be read") == 2 and "blue/0.jpg" in got.stdout
    assert "is a folder, and there are no pictures in it." in got.stderr
    assert "There is no file nosuch.jpg" in got.stderr and "suff=" not in got.stderr


def test_predict_takes_folders_and_gives_csv(trained, coloured: Path) -> None:
    import pandas as pd

    out, _ = trained
    got = burnish("predict", out / "model.burnish", coloured / "blue", "--csv")
    table = pd.read_csv(io.StringIO(got.stdout))
    assert len(table) == 8 and {"file", "label", "probability", "p(red [r])"} <= set(table.columns)


def test_show_counts_checks_and_draws(coloured: Path, tmp_path: Path) -> None:
    got = burnish("show", coloured, "--size", 32, "--out", tmp_path / "look" / "b.png")
    assert got.returncode == 0, got.stderr
    assert "25 photographs in 3 classes" in got.stdout and "broken.jpg" in got.stdout
    assert (tmp_path / "look" / "b.png").exists()


def test_the_picture_is_where_it_is_said_to_be(coloured: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    for given, made in (("s1", "s1.png"), ("my.look", "my.look.png"), ("there", "there/batch.png"), ("a.jpg", "a.jpg")):
        got = burnish("show", coloured, "--size", 32, "--out", given, cwd=tmp_path)
        assert got.returncode == 0 and f"A training batch is drawn in {made}." in got.stdout and (tmp_path / made).is_file(), got.stderr


def test_messages_speak_of_options(coloured: Path, tmp_path: Path) -> None:
    got = burnish("show", coloured, "--size", 32, cwd=tmp_path)
    assert "(--valid changes that)" in got.stderr and "tells all" not in got.stderr  # it does so itself
    weights = burnish("train", coloured, *QUICK[-2:], "--weights", "nowhere.pth", cwd=tmp_path)
    assert weights.returncode == 2 and "--weights 'nowhere.pth': there is no such file" in weights.stderr
    for said in (got.stderr, got.stdout, weights.stderr):
        assert not re.search(r"valid_pct|weights=|dls\.|on_error", said)


def test_a_file_is_no_folder_of_photographs(coloured: Path) -> None:
    got = burnish("train", coloured / "blue" / "0.jpg")
    assert got.returncode == 2 and "is a file, and a folder with a sub-folder of photographs a class was expected" in got.stderr


# -- where results go ---------------------------------------------------------------------------------------------


@pytest.fixture
def own_folder(coloured: Path, tmp_path: Path) -> Path:
    """A copy of the photographs in a folder whose name has a space."""
    return Path(shutil.copytree(coloured, tmp_path / "my photos"))


def test_working_inside_the_photographs_changes_nothing_about_them(own_folder: Path) -> None:
    before, said = sorted(own_folder.rglob("*")), []
    for args in (("show", ".", "--size", 32), ("train", ".", *QUICK), ("show", ".", "--size", 32), ("show", own_folder, "--size", 32)):
        got = burnish(*args, cwd=own_folder)
        assert got.returncode == 0, got.stderr
        assert "25 photographs in 3 classes" in got.stdout
        said.append(got.stdout)
    assert sorted(own_folder.rglob("*")) == before and said[0] == said[2]
    made = {p.name for p in (own_folder.parent / "my photos-burnish").iterdir()}
    assert {"batch.png", "report.html", "model.burnish"} <= made
    assert "burnish predict '../my photos-burnish/model.burnish' PHOTO.jpg" in said[1]


def test_from_a_class_folder_results_go_beside_the_whole(own_folder: Path) -> None:
    got = burnish("show", "..", "--size", 32, cwd=own_folder / "green")
    assert got.returncode == 0 and (own_folder.parent / "my photos-burnish" / "batch.png").exists(), got.stderr


@pytest.mark.parametrize("verb", ["show", "train"])
def test_results_are_not_written_among_the_photographs(own_folder: Path, verb: str) -> None:
    got = burnish(verb, own_folder, "--out", own_folder / "out", cwd=own_folder.parent)
    assert got.returncode == 2 and not (own_folder / "out").exists()
    assert "lies inside the folder of photographs" in got.stderr and "e.g. --out 'my photos-burnish'" in got.stderr


def test_a_folder_that_cannot_be_made_is_named_before_training(own_folder: Path) -> None:
    (own_folder.parent / "a file").write_text("")
    got = burnish("train", own_folder, *QUICK, "--out", own_folder.parent / "a file" / "out")
    assert got.returncode == 2 and "can't be written to" in got.stderr and "--out FOLDER" in got.stderr and "epoch" not in got.stdout


def test_a_training_that_fails_leaves_no_empty_folder(own_folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "new" / "out"
    unknown = burnish("train", own_folder, *QUICK[-2:], "--weights", "nowhere.pth", "--out", place)
    for name in ("green", "blue"):
        shutil.rmtree(own_folder / name)
    one = burnish("train", own_folder, *QUICK, "--out", place)
    assert unknown.returncode == one.returncode == 2 and not (tmp_path / "new").exists()
    assert "8 photographs in 1 class, from" in one.stdout and "print(" not in one.stderr


def test_what_an_earlier_training_left_is_put_aside(trained, own_folder: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(trained[0], tmp_path / "kept"))
    model, names = (out / "model.burnish").read_bytes(), sorted(p.name for p in out.iterdir())
    for mine in ("importance.png", "notes.txt"):
        (out / mine).write_text(mine)
    (out / "models").mkdir()
    got = burnish("train", own_folder, *QUICK, "--out", out)
    assert got.returncode == 0, got.stderr
    said = [line for line in got.stderr.splitlines() if "earlier training" in line]
    assert len(said) == 1 and str(out / "earlier-1") in said[0]
    assert sorted(p.name for p in (out / "earlier-1").iterdir()) == sorted([*names, "importance.png"])
    assert (out / "earlier-1" / "model.burnish").read_bytes() == model != (out / "model.burnish").read_bytes()
    assert sorted(p.name for p in out.iterdir()) == sorted([*names, "earlier-1", "models", "notes.txt"])


def test_put_aside_are_known_names_only_each_time_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "batch.png").touch()
    assert put_earlier_aside(tmp_path) is None, "a picture of 'burnish show'"
    (tmp_path / "earlier-1").touch()
    for n in (2, 3):
        (tmp_path / "report.html").touch(), (tmp_path / "mine.html").touch()
        with captured_notes() as notes:
            assert put_earlier_aside(tmp_path) == tmp_path / f"earlier-{n}" and len(notes) == 1
    assert {p.name for p in tmp_path.iterdir()} == {"earlier-1", "earlier-2", "earlier-3", "mine.html"}
    assert {p.name for p in (tmp_path / "earlier-2").iterdir()} == {"batch.png", "report.html"}


def test_a_suggested_command_can_be_pasted(own_folder: Path) -> None:
    got = burnish("show", "my photos", "--size", 32, cwd=own_folder.parent)
    assert "  burnish train 'my photos'" in got.stdout.splitlines()


@pytest.mark.parametrize("device", ["cuda:99", "gpu"])
def test_a_device_that_is_not_there_is_one_message(trained, coloured: Path, tmp_path: Path, device: str) -> None:
    out, _ = trained
    for args in (("predict", out / "model.burnish", coloured / "blue" / "0.jpg"), ("train", coloured, *QUICK[:-2])):
        got = burnish(*args, "--device", device, cwd=tmp_path)
        assert got.returncode == 2 and "Traceback" not in got.stderr
        assert f"device='{device}'" in got.stderr and "Here it may be one of: cpu" in got.stderr and "burnish doctor" in got.stderr


def test_python_m_is_the_console_script() -> None:
    done = subprocess.run([sys.executable, "-m", "burnish", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("burnish ")
