"""`import fastai` gives burnish after install(), and nothing is left of it after uninstall()."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from apart import run


def test_familiar_imports_give_burnish():
    done = run("""
import burnish.compat; burnish.compat.install()
from fastai.vision.all import *
import fastai, fastcore.all, fastdownload
from fastai.data.core import DataLoaders as same
from fastai import vision
assert same is DataLoaders and vision.all.Resize is Resize and fastcore.all.L is L
assert fastai.__version__.startswith("2.8") and "burnish" in fastai.__version__
assert issubclass(DataBlock, __import__("burnish").data.datablock.DataBlock)
assert math.pi and OrderedDict and partial and np.pi and pd.DataFrame and plt.figure and F.relu and Path.home() and Image.new and re.compile
print(len(L(range(3)).map(Self.bit_length())))
""")
    assert done.stdout.strip() == "3"


def test_the_page_for_who_comes_from_fastai_runs():
    page = (Path(__file__).resolve().parents[2] / "docs" / "from-fastai.md").read_text(encoding="utf-8")
    code = page.split("```python\n")[1].split("```")[0]
    assert "burnish.compat.install()" in code
    run(code + "\nassert vision_learner and Path('.').ls() is not None")


def test_uninstalling_takes_everything_back():
    run("""
import sys
from pathlib import Path
import torch, PIL.Image
from burnish.train.attached import HasCallbacks
from burnish.train.learner import Learner
watched = [Path, PIL.Image.Image, torch.Tensor, torch.optim.Optimizer, Learner, HasCallbacks]
from pathlib import PurePath
before = [dict(vars(c)) for c in [*watched, PurePath]]
import burnish.compat
assert [dict(vars(c)) for c in [*watched, PurePath]] == before, "importing patches nothing"
burnish.compat.install(); burnish.compat.install()
from fastai.basics import *
assert Path(".").ls() is not None and "fastai" in sys.modules
burnish.compat.uninstall(); burnish.compat.uninstall()
assert [dict(vars(c)) for c in [*watched, PurePath]] == before
assert not [m for m in sys.modules if m.split(".")[0] in ("fastai", "fastcore")]
try:
    import fastai
except ModuleNotFoundError:
    pass
else:
    raise AssertionError
""")


def test_burnish_alone_imports_nothing_of_it():
    code = "import burnish.vision.all, burnish.tabular.all, burnish.collab.all, sys; assert 'burnish.compat' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)  # in a Python that has imported nothing


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("from fastai.vision.all import vision_lerner", "cannot import name 'vision_lerner'"),
        (
            "import fastai.vision.all as v; v.vision_lerner",
            "nothing in the place of fastai.vision.all.vision_lerner. Did you mean: vision_learner",
        ),
        ("import fastai.visoin", "nothing in the place of the module fastai.visoin"),
    ],
)
def test_names_that_are_not_there_are_said(code, says):
    done = run(f"import burnish.compat; burnish.compat.install()\n{code}", check=False)
    assert says in done.stderr.splitlines()[-1]


def test_what_was_imported_already_is_said():
    done = run(
        "import sys, types; sys.modules['fastai'] = types.ModuleType('fastai'); import burnish.compat; burnish.compat.install()",
        check=False,
    )
    assert "fastai has been imported already" in done.stderr


def test_every_name_of_every_module_is_there():
    """A star import asks for all of them."""
    run("""
import burnish.compat; burnish.compat.install()
import importlib
from burnish.compat import modules
for module in modules._GROUPS:
    made = importlib.import_module(module)
    for name in modules.names_of(module):
        getattr(made, name)
""")


def test_nothing_below_speaks_of_it():
    """Compatibility stands on top: the rooms don't know of it."""
    package = Path(__file__).resolve().parents[2] / "burnish"
    below = [f for f in package.rglob("*.py") if "compat" not in f.relative_to(package).parts[0]]
    assert [f for f in below if "burnish.compat" in f.read_text(encoding="utf-8")] == []
