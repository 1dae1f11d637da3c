"""``python -m burnish.compat SCRIPT_OR_NOTEBOOK``: files written for fastai run as they stand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from burnish.compat import shell
from burnish.compat.notebooks import run_notebook

HERE = str(Path(__file__).resolve().parents[2])


def run(*args: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "burnish.compat", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env={**os.environ, "PYTHONPATH": HERE})


def notebook(path, *sources, **tags):
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("nbclient")
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# From a course"), *map(nbformat.v4.new_code_cell, sources)])
    made.metadata["kernelspec"] = {"name": "somewhere-else", "display_name": "other", "language": "python"}
    for number, several in tags.items():
        made.cells[int(number[1:])].metadata["tags"] = several
    nbformat.write(made, path)
    return path


def outputs(path):
    import nbformat

    return [cell.outputs for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def test_a_script_runs_as_python_runs_it(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "mine.py").write_text("ANSWER = 42\n")
    (tmp_path / "sub" / "train.py").write_text(
        "import sys, pickle\nfrom fastai.basics import *\nfrom mine import ANSWER\n\nclass Own: pass\n\n"
        "if __name__ == '__main__':\n    pickle.loads(pickle.dumps(Own()))\n    print(sys.argv, Path(__file__).name, ANSWER, L(1, 2))\n"
        "    sys.exit(3)\n"
    )
    (tmp_path / "bad.py").write_text("def f():\n    raise ValueError('boom')\n\nf()\n")
    script = str(Path("sub") / "train.py")
    done = run(script, "-x", "--help", cwd=tmp_path)
    assert done.returncode == 3 and done.stdout == f"{[script, '-x', '--help']} train.py 42 (#2) [1,2]\n" and not done.stderr
    done = run("bad.py", cwd=tmp_path)
    assert done.returncode == 1 and done.stderr.startswith("Traceback (most recent call last):\n") and "ValueError: boom" in done.stderr
    assert "runpy" not in done.stderr and "burnish" not in done.stderr.replace(HERE, ""), "only the script's own lines"


def test_what_cannot_be_run_is_said(tmp_path, monkeypatch, capsys):
    (tmp_path / "a.py").write_text("")
    (tmp_path / "bad.ipynb").write_text("no notebook")
    done = run("nope.py", cwd=tmp_path)
    assert done.returncode == 2 and "nope.py: no such file" in done.stderr
    assert "are for notebooks" in run("--allow-errors", "a.py", cwd=tmp_path).stderr
    assert run_notebook(tmp_path / "bad.ipynb") == 2 and "can't be read as a Jupyter notebook" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "nbclient", None)
    assert run_notebook(tmp_path / "bad.ipynb") == 2
    said = capsys.readouterr().err
    assert "missing: nbclient" in said and 'pip install "burnish[notebook]"' in said


COURSE = (
    "#hide\n! [ -e /content ] && pip install -Uqq fastbook\nimport fastbook\nfastbook.setup_book()",
    "%matplotlib inline\n#|export\nfrom fastbook import *\nfrom fastai.tabular.all import *\nimport sys\nprint('told', file=sys.stderr)",
    "await __import__('asyncio').sleep(0)\n!echo from the shell",
    "df = pd.DataFrame({'age': range(40), 'job': ['a', 'b'] * 20, 'rich': ['y', 'n', 'n', 'y'] * 10})\ndf.head(2)",
    "1 / 0",
    "df.nope",
    "dls = TabularDataLoaders.from_df(df, procs=[Categorify, Normalize], cat_names='job', cont_names='age', y_names='rich', bs=8, seed=1)\n"
    "learn = tabular_learner(dls, metrics=accuracy, layers=[4])\nlearn.fit_one_cycle(2)",
    "plot_function(torch.tanh, 'x', 'y', title='tanh')",
    "%%time\ngv('a->b')",
)


def test_a_notebook_of_a_course_runs_and_keeps_what_its_cells_gave(tmp_path):
    path, out = notebook(tmp_path / "course.ipynb", *COURSE, _5=["raises-exception"]), tmp_path / "new" / "out.ipynb"
    done = run(path, "--execute-to", out, "--allow-errors", cwd=tmp_path)
    assert done.returncode == 1 and "AttributeError: 'DataFrame' object has no attribute 'nope'" in done.stderr
    assert "code cell 4 of 9: df = pd.DataFrame" in done.stderr and "told" in done.stderr
    for printed in (
        "Not installed: fastbook",
        "from the shell",
        "age job rich",
        "ZeroDivisionError: division by zero",
        "epoch  train_loss",
        "a->b",
    ):
        assert printed in done.stdout
    got = outputs(out)
    assert "<table" in got[3][0].data["text/html"] and got[4][0].output_type == "error"
    tables = [o for o in got[6] if "text/html" in o.get("data", {})]
    assert len(tables) == 1 and tables[0].data["text/html"].count("<tr>") == 3, "the fit's table, without a bar"
    assert "progress" not in tables[0].data["text/html"] and "image/png" in got[7][-1].data


def test_a_notebook_stops_where_a_cell_fails_and_nothing_is_lost(tmp_path):
    path, out = notebook(tmp_path / "a.ipynb", "x = 1\nprint(x)", "y = x\ny.nope", "print('after')"), tmp_path / "out.ipynb"
    done = run("--execute-to", out, path, cwd=tmp_path)
    assert done.returncode == 1 and done.stdout == "1\n"
    assert "stopped at code cell 2 of 3" in done.stderr and "    y.nope" in done.stderr
    assert "AttributeError: 'int' object has no attribute 'nope'" in done.stderr and "\x1b" not in done.stderr
    first, second, third = outputs(out)
    assert first[0].text == "1\n" and second[0].ename == "AttributeError" and third == []


@pytest.mark.parametrize(
    ("line", "becomes"),
    [
        ("!pip install -Uqq fastai ddgs", "!pip install -Uqq ddgs"), ("!pip install ddgs", "!pip install ddgs"), ("import fastai", "import fastai"),
        ("%pip install 'fastai>=2.7'\n", 'print("Not installed: \'fastai>=2.7\'. burnish stands in the place of it.")\n'),
        ("    ! [ -e /content ] && pip install -Uqq fastbook # once", "    print('Not installed: fastbook. burnish stands in the place of it.')"),
        ("!conda install -y -c fastchan fastai", "print('Not installed: fastai. burnish stands in the place of it.')"),
        ("!python -m pip install fastai -q", "print('Not installed: fastai. burnish stands in the place of it.')"),
    ],
)  # fmt: skip
def test_fastai_is_not_installed_over_burnish(line, becomes):
    assert shell.without_stood_for(line) == becomes
