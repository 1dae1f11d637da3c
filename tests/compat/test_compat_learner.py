"""Callbacks and learners written as fastai's are, on burnish's loop."""

from __future__ import annotations

from pathlib import Path

import apart
import pytest

BEGIN = """
import sys; sys.path.insert(0, {train!r})
import burnish.compat; burnish.compat.install()
from fastai.vision.all import *
from callbacks_support import small_data, small_model
def learner(**kw):
    return Learner(small_data(), small_model(), nn.CrossEntropyLoss(), **kw)
"""


def run(code: str) -> str:
    train = str(Path(__file__).resolve().parents[1] / "train")
    return apart.run(BEGIN.format(train=train) + code).stdout


def test_events_without_an_argument_and_the_learners_attributes():
    run("""
seen = []
class Watch(Callback):
    order = 1
    def after_create(self): seen.append("made")
    def before_fit(self): seen.append((self.n_epoch, self.learn.lr))
    def after_pred(self): assert self.pred.shape[0] == self.x.shape[0] == self.y.shape[0]
    def after_loss(self):
        if self.training: self.learn.loss = self.learn.loss * 2
    def after_backward(self): seen.append("grad" if any(p.grad is not None for p in self.model.parameters()) else "none")
    def after_batch(self): seen.append((self.epoch, self.iter, self.training, round(self.pct_train, 3)))
    def after_epoch(self): super().after_epoch(); seen.append(len(self.opt.hypers))
learn = learner(cbs=Watch)
learn.fit(2)
n = len(learn.dls.train)
assert seen[0] == "made" and seen[1] == (2, 1e-3), seen[:2]
assert seen.count("grad") == 2 * n and seen.count("none") == 0 and seen.count(1) == 2
assert learn.watch.learn is learn and len(learn.recorder.values) == 2 and len(learn.recorder.losses) == 2 * n
learn.fit(1, cbs=Callback(before_fit=lambda: seen.append("given")))
assert "given" in seen
""")


def test_cancelling_calls_what_follows_it():
    run("""
seen = []
class Skip(Callback):
    def before_batch(self):
        if self.training and self.iter == 1: raise CancelBatchException
    def after_cancel_batch(self): seen.append("batch")
    def after_epoch(self):
        if self.epoch == 1: raise CancelFitException
    def after_cancel_fit(self): seen.append("fit")
    def after_fit(self): seen.append("end")
learn = learner(); learn.fit(5, cbs=Skip())
assert seen == ["batch", "batch", "fit", "end"], seen

class Own(Callback):
    "Its own backward pass: the step is made all the same."
    def before_backward(self):
        self.learn.loss_grad.backward()
        raise CancelBackwardException
learn = learner(seed=1); before = [p.clone() for p in learn.model.parameters()]
learn.fit(1, cbs=Own())
assert any(not torch.equal(a, b) for a, b in zip(before, learn.model.parameters()))
""")


def test_what_is_misspelt_is_said():
    run("""
for make, says in ((lambda: Callback(before_ftt=print), "there is no such event"), (lambda: learner(cbs=type("A", (Callback,), {"after_epoc": lambda self: 0})()), "after_epoc is not an event")):
    try: make()
    except TypeError as e: assert says in str(e), e
    else: raise AssertionError
class A(Callback):
    def before_fit(self): self.no_such_thing
try: learner(cbs=A()).fit(1)
except AttributeError as e: assert "no_such_thing" in str(e), e
else: raise AssertionError
""")


def test_order_and_switching_off():
    run("""
seen = []
class First(Callback):
    run_after = Recorder
    def after_epoch(self): seen.append("after the recorder")
class Never(Callback):
    run_train = False
    def after_batch(self): seen.append(self.training)
assert First.order > Recorder.order and TrainEvalCallback.order == -10
learner(cbs=[First(), Never()]).fit(1)
assert "after the recorder" in seen and True not in seen and False in seen
assert event.after_batch == "after_batch"
""")


def test_methods_added_to_the_learner_are_those_of_all_learners(tmp_path):
    run("""
@patch
def twice(self: Learner, x): return 2 * x
@patch(as_prop=True)
def n_batches_in_all(self: Learner): return len(self.dls.train)
dls = ImageDataLoaders.from_folder(__import__("burnish").vision.sample.sample_photos(), valid_pct=0.25, seed=1, bs=9, item_tfms=Resize(32), device="cpu")
learn = vision_learner(dls, resnet18, pretrained=False)
assert isinstance(learn, Learner) and learn.twice(3) == 6 and learner().twice(2) == 4 and learn.n_batches_in_all == len(dls.train)
""")


def test_data_and_results_lie_where_fastai_has_them(tmp_path):
    run(f"""
import shutil
os.chdir({str(tmp_path)!r})
path = Path("fruit")
shutil.copytree(__import__("burnish").vision.sample.sample_photos(), path)
dls = ImageDataLoaders.from_folder(path, valid_pct=0.25, seed=1, bs=9, item_tfms=Resize(32), device="cpu")
learn = vision_learner(dls, resnet18, True, None, False, default_cbs=False)
assert not [cb for cb in learn.cbs if cb.name == "progress"] and [cb for cb in learner().cbs if cb.name == "progress"]
for wrong in (lambda: vision_learner(dls, resnet18, True, normalize=False), lambda: vision_learner(*range(99))):
    try: wrong()
    except TypeError as e: assert "It takes: dls, arch, normalize" in str(e), e
    else: raise AssertionError
learn.export()
assert (path / "export.pkl").is_file() and not (path / path).exists()
loaded = load_learner(path / "export.pkl")
label, index, probs = loaded.predict(get_image_files(path)[0])
assert label in dls.vocab and abs(float(probs.sum()) - 1) < 1e-4
(path / "bad.pkl").write_bytes(b"\\x80\\x04}}.")
try: load_learner(path / "bad.pkl")
except ValueError as e: assert "bad.pkl" in str(e)
else: raise AssertionError
m = resnet18(); assert isinstance(m, nn.Module) and resnet18 == "resnet18" and resnet18.__name__ == "resnet18"
""")


def test_fastais_folders_are_found(tmp_path, monkeypatch):
    (tmp_path / "home" / "data" / "mnist_tiny" / "train").mkdir(parents=True)
    monkeypatch.setenv("FASTAI_HOME", str(tmp_path / "home"))
    out = run("""
path = untar_data(URLs.MNIST_TINY)
print(path, fastai_path("data"), URLs.path(URLs.PETS, "data"))
assert (path / "train").is_dir()
""")
    assert out.count(str(tmp_path / "home" / "data")) == 3


def test_masks_and_files():
    run("""
import tempfile
os.chdir(tempfile.mkdtemp())
values = np.array([[0, 1, 7], [2, 2, 0]], dtype=np.uint8)
Image.fromarray(values).save("mask.png")
assert (np.asarray(PILMask.create("mask.png")) == values).all() and PILMask.create(values).mode == "L"
from fastcore.all import save_pickle, load_pickle, untar_dir
save_pickle("a.pkl", [1, "b"])
assert load_pickle("a.pkl") == [1, "b"]
Path("in/sub").mkdir(parents=True); Path("in/sub/x.txt").write_text("x")
shutil.make_archive("packed", "gztar", "in")
assert untar_dir("packed.tar.gz", Path("out")) == Path("out/packed") and next(Path("out/packed").rglob("x.txt"))
""")


def test_a_notebook_loads_it():
    pytest.importorskip("IPython")
    run("""
burnish.compat.uninstall()
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_line_magic("load_ext", "burnish.compat")
assert shell.run_cell("from fastai.basics import *\\nL(1, 2)").result == [1, 2]
shell.run_line_magic("unload_ext", "burnish.compat")
assert "fastai" not in sys.modules
""")
