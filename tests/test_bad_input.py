"""What people do wrong, one case a line: each is answered by a message that says what was given, expected, where, and what to do."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from burnish.data.category import CategoryBlock
from burnish.data.datablock import DataBlock
from burnish.data.dataloaders import DataLoaders
from burnish.data.files import get_image_files
from burnish.data.label import parent_label
from burnish.data.notes import captured_notes
from burnish.data.split import FuncSplitter
from burnish.errors import DataError, OfflineError, SettingError, UnreadableFileError
from burnish.evaluate.losses import BCEWithLogitsLossFlat
from burnish.evaluate.metrics import R2Score, accuracy, mse, top_k_accuracy
from burnish.train.callback import EVENTS, Callback
from burnish.train.callbacks import Checkpoint, CSVLogger, EarlyStopping, SaveModel, TerminateOnNaN
from burnish.train.learner import Learner
from burnish.vision.augment import aug_transforms
from burnish.vision.blocks import ImageBlock
from burnish.vision.dataloaders import ImageDataLoaders
from burnish.vision.image import PILImage
from burnish.vision.learner import vision_learner
from burnish.vision.transforms import Resize

SIZE = Resize(32)


def load(folder: Path, **options: Any) -> DataLoaders:
    settings: dict[str, Any] = {"valid_pct": 0.25, "seed": 1, "item_tfms": SIZE, "bs": 8, "num_workers": 0, "device": "cpu", **options}
    return ImageDataLoaders.from_folder(folder, **settings)


def block(**changes: Any) -> DataBlock:
    return DataBlock(
        **{
            "blocks": (ImageBlock, CategoryBlock), "get_items": get_image_files, "get_y": parent_label, "item_tfms": SIZE, **changes
        }
    )  # fmt: skip


def net(n_out: int = 3) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, 4), nn.ReLU(), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, n_out))


def learner(folder: Path, tmp_path: Path, **settings: Any) -> Learner:
    learn = Learner(load(folder), net(), **{"metrics": accuracy, "path": tmp_path, "seed": 0, "precision": "fp32", **settings})
    learn.cbs = [cb for cb in learn.cbs if type(cb).__name__ != "Progress"]
    return learn


def vision(folder: Path, **settings: Any) -> Learner:
    return vision_learner(load(folder), **{"arch": "resnet10t", "pretrained": False, **settings})


def png(width: int, height: int) -> bytes:
    """A PNG that claims a size, and holds nearly nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


# -- the folder --------------------------------------------------------------------------------------------------------
class Case(NamedTuple):
    """One mistake: `make` gets a folder of photographs (its own to change) and does it; the message must hold `says`."""

    name: str
    make: Callable[[Path], Any]
    error: type[BaseException]
    says: tuple[str, ...]


def emptied(folder: Path, keep: str | None = None) -> Path:
    """The folder without its classes; `keep` stays, with one picture in it."""
    for kind in folder.iterdir():
        if kind.name != keep:
            shutil.rmtree(kind)
    if keep is not None:
        for extra in sorted((folder / keep).iterdir())[1:]:
            extra.unlink()
    return folder


def only_texts(folder: Path) -> Path:
    emptied(folder)
    (folder / "notes.txt").write_text("no picture")
    return folder


def one_class(folder: Path) -> Path:
    shutil.rmtree(folder / "orange")
    shutil.rmtree(folder / "granny_smith")
    return folder


def lonely_valid(folder: Path) -> DataLoaders:
    """A class with one image, which validates."""
    for extra in sorted((folder / "orange").iterdir())[1:]:
        extra.unlink()
    return block(splitter=FuncSplitter(lambda f: f.parent.name == "orange" or f.name.endswith("_03.jpg"))).dataloaders(folder)


def frame(folder: Path, **changes: Any) -> Any:
    import pandas as pd

    files = get_image_files(folder)
    return pd.DataFrame({"file": [str(f) for f in files], "kind": [f.parent.name for f in files], **changes})


CASES = [
    Case("folder missing", lambda p: load(p / "orang"), FileNotFoundError, ("There is no folder", "orang'", "Did you mean: orange?")),
    Case("folder empty", lambda p: load(emptied(p)), DataError, ("no pictures in", "It is empty", "Check that this is the folder")),
    Case("no images", lambda p: load(only_texts(p)), DataError, ("no pictures in", "1 other file(s): 1 .txt")),
    Case("a file, not a folder", lambda p: load(p / "orange" / "orange_01.jpg"), NotADirectoryError, ("is a file", "Give the folder")),
    Case("one class only", lambda p: vision(one_class(p)), DataError, ("one class only, 'conference_pear'", "at least one more class")),
    Case("one image", lambda p: load(emptied(p, "orange")), DataError, ("can't split 1 item(s)", "at least 2 are needed", "Add samples")),
    Case("lonely class validates", lonely_valid, DataError, ("'orange' (rows:", "orange_01.jpg", "never in training", "TrainTestSplitter")),
    Case(
        "labels don't match",
        lambda p: ImageDataLoaders.from_name_re(p, get_image_files(p), r"^([A-Z]+)_\d+.jpg$"),
        DataError,
        ("which gives the label", "36 of 36 items", "conference_pear_01.jpg", "doesn't match", "Change the pattern", "and 33 more"),
    ),
    Case("pattern has no group", lambda p: ImageDataLoaders.from_path_re(p, get_image_files(p), "pear"), SettingError, ("no group", "parentheses")),
    Case(
        "label only in validation",
        lambda p: block(splitter=FuncSplitter(lambda f: f.parent.name == "orange")).dataloaders(p),
        DataError,
        ("valid split", "never in training", "'orange'", "orange_01.jpg", "Known labels: conference_pear, granny_smith", "TrainTestSplitter(stratify=True)"),
    ),
    Case("unequal sizes", lambda p: load(p, item_tfms=None).one_batch(), DataError, ("different sizes", "64x64", "item_tfms=Resize(224)")),
    Case("forgotten get_y", lambda p: block(get_y=None).dataloaders(p), DataError, ("get_y was not given", "conference_pear_01.jpg", "parent_label")),
    Case("too few getters", lambda p: block(get_y=None, getters=[parent_label]), SettingError, ("1 functions for 2 blocks", "one a block")),
    Case("too many get_y", lambda p: block(get_y=[parent_label] * 2), SettingError, ("2 function(s) for 1 target", "one a block")),
    Case("a block that is none", lambda p: block(blocks=(ImageBlock, "category")), SettingError, ("blocks[1]", "'category'", "CategoryBlock")),
    Case("batch size 0", lambda p: load(p, bs=0), SettingError, ("bs=0", "at least 1")),
    Case("validation batch size 0", lambda p: load(p, val_bs=0), SettingError, ("bs=0", "at least 1")),
    Case("negative workers", lambda p: load(p, num_workers=-1), SettingError, ("num_workers=-1", "None one a processor")),
    Case("a percentage", lambda p: load(p, valid_pct=25), SettingError, ("valid_pct=25", "For 25 percent give 0.25")),
    Case("no column", lambda p: ImageDataLoaders.from_df(frame(p), fn_col="fiel"), DataError, ("fn_col='fiel'", "file, kind", "Did you mean: file?")),
    Case(
        "no file in a row",
        lambda p: ImageDataLoaders.from_df(frame(p, file=[None] + ["a.jpg"] * 35)),
        DataError,
        ("gives the image", "1 of 36 items", "'file' names no file", "drop the row"),
    ),
    Case("no label in a row", lambda p: ImageDataLoaders.from_df(frame(p, kind=["a", None] * 18)), DataError, ("have no label", ".jpg", "Give them labels")),
    Case("no such CSV", lambda p: ImageDataLoaders.from_csv(p), FileNotFoundError, ("labels.csv", "csv_fname=")),
    Case("an item transform that is none", lambda p: load(p, item_tfms=224), SettingError, ("item_tfms got 224", "expected a transform")),
    Case("a batch transform on items", lambda p: load(p, item_tfms=aug_transforms()), SettingError, ("batch_tfms=",)),
    Case("an item transform on batches", lambda p: load(p, batch_tfms=SIZE), SettingError, ("item_tfms=",)),
    # -- unknown keywords
    Case("keyword of a factory", lambda p: load(p, num_worker=2), TypeError, ("'num_worker'", "Did you mean: num_workers?")),
    Case("keyword of DataBlock", lambda p: block(get_item=get_image_files), TypeError, ("'get_item'", "Did you mean: get_items")),
    Case("keyword of dataloaders", lambda p: block().dataloaders(p, batch_size=2), TypeError, ("'batch_size'", "It takes: source, path, bs,")),
    Case("keyword of vision_learner", lambda p: vision(p, metric=accuracy), TypeError, ("'metric'", "Did you mean: metrics")),
    Case("keyword of aug_transforms", lambda p: aug_transforms(max_rotat=3), TypeError, ("'max_rotat'", "max_rotate")),  # type: ignore[call-arg]
    Case("keyword of Resize", lambda p: Resize(3, metod="pad"), TypeError, ("'metod'",)),  # type: ignore[call-arg]
    Case("value of Resize", lambda p: Resize(3, method="croop"), SettingError, ("method='croop'", "Did you mean: crop?")),
    # -- the model
    Case("unknown architecture", lambda p: vision(p, arch="resnet81"), SettingError, ("'resnet81'", "Did you mean: resnet18")),
    Case("regression metric", lambda p: vision(p, metrics=R2Score()), SettingError, ("'r2_score' doesn't fit", "CategoryBlock", "use accuracy")),
    Case("function for numbers", lambda p: vision(p, metrics=mse), SettingError, ("'mse' doesn't fit", "CategoryBlock", "use accuracy")),
    Case("top 5 of 3", lambda p: vision(p, metrics=top_k_accuracy), SettingError, ("k=5 with 3 classes", "partial(top_k_accuracy, k=")),
    Case("misspelt metric", lambda p: vision(p, metrics="acuracy"), SettingError, ("'acuracy'", "Did you mean: accuracy")),
    Case("metric that is none", lambda p: vision(p, metrics=3), TypeError, ("got 3 (int)", "metrics=[accuracy]")),
    Case("regression loss", lambda p: vision(p, loss_func=nn.MSELoss()), SettingError, ("MSELoss doesn't fit", "CategoryBlock", "CrossEntropyLoss")),
    Case("yes/no loss", lambda p: vision(p, loss_func=BCEWithLogitsLossFlat()), SettingError, ("BCEWithLogitsLossFlat doesn't fit", "CrossEntropyLossFlat")),
    Case("too few outputs", lambda p: vision(p, n_out=2), SettingError, ("n_out=2", "3 classes", "Leave n_out away")),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[c.name for c in CASES])
def test_a_mistake_is_answered_by_a_message_that_helps(case: Case, own_photos: Path) -> None:
    with captured_notes(), pytest.raises(case.error) as told:
        case.make(own_photos)
    missing = [part for part in case.says if part not in str(told.value)]
    assert not missing, f"{missing} not in: {told.value}"


def test_a_missing_folder_is_not_said_to_lack_sub_folders_first(tmp_path: Path) -> None:
    with captured_notes() as notes, pytest.raises(FileNotFoundError):
        ImageDataLoaders.from_folder(tmp_path / "nowhere")
    assert not notes


def test_a_class_with_one_image_trains_and_is_told(own_photos: Path) -> None:
    for extra in sorted((own_photos / "orange").iterdir())[1:]:
        extra.unlink()
    with captured_notes() as notes:
        dls = block(splitter=FuncSplitter(lambda f: f.name.endswith(("_02.jpg", "_03.jpg")))).dataloaders(own_photos)
    assert any("classes with one sample" in n for n in notes) and list(dls.vocab) == ["conference_pear", "granny_smith", "orange"]
    assert "orange" in str(dls.check())


# -- files -------------------------------------------------------------------------------------------------------------
BROKEN: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "zero.jpg": (lambda jpeg: b"", "it is empty (0 bytes)"),
    "truncated.jpg": (lambda jpeg: jpeg[: len(jpeg) // 2], "damaged or truncated"),
    "text.jpg": (lambda jpeg: b"not a picture", "it is text"),
    "page.png": (lambda jpeg: b"<html>404</html>", "it is a web page"),
    "bomb.png": (lambda jpeg: png(60_000, 60_000), "decompression bombs"),
}


@pytest.fixture
def with_broken(own_photos: Path) -> Path:
    """Photographs, among them one of each kind of broken file, a misnamed one and a link that leads nowhere."""
    jpeg = (own_photos / "orange" / "orange_01.jpg").read_bytes()
    for name, (make, _) in BROKEN.items():
        (own_photos / "orange" / name).write_bytes(make(jpeg))
    (own_photos / "orange" / "misnamed.png").write_bytes(jpeg)
    os.symlink("/nowhere/at/all.jpg", own_photos / "orange" / "dangling.jpg")
    return own_photos


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_named_with_the_reason(name: str, with_broken: Path) -> None:
    with pytest.raises(UnreadableFileError) as told:
        PILImage.create(with_broken / "orange" / name)
    assert str(with_broken / "orange" / name) in str(told.value) and BROKEN[name][1] in str(told.value)


def test_broken_files_are_skipped_counted_and_named(with_broken: Path, tmp_path: Path) -> None:
    with captured_notes() as notes:
        learn = learner(with_broken, tmp_path)
        learn.fit(1)
        learn.validate()
    skipped = {**learn.dls.train.skipped, **learn.dls.valid.skipped}
    assert {Path(learn.dls.table.image[row]).name for row in skipped} == set(BROKEN)
    said = " ".join(notes)
    assert all(name in said for name in BROKEN) and "on_error='raise' stops instead" in said
    assert ".." not in said.replace("...", "") and "misnamed" not in said
    assert "1 link(s)" in said and "dangling.jpg" in said  # left out when the files were found


def test_broken_files_stop_when_that_is_asked_for(with_broken: Path) -> None:
    with captured_notes(), pytest.raises(UnreadableFileError, match=r"orange/\w+\.\w+"):
        list(load(with_broken, on_error="raise").train)


def test_the_check_names_broken_and_misnamed_files(with_broken: Path) -> None:
    with captured_notes():
        report = load(with_broken).check()
    text = str(report)
    assert f"{len(BROKEN)} file(s) that can't be read" in text and "misnamed.png is JPEG" in text and "dangling" not in text


# -- the loss ----------------------------------------------------------------------------------------------------------
def nan_loss(output: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(output, target) * float("nan")


def test_a_loss_that_is_nan_is_told_once_and_can_end_training(photos: Path, tmp_path: Path) -> None:
    with captured_notes() as notes:
        learner(photos, tmp_path, loss_func=nan_loss).fit(2)
    told = [n for n in notes if "training loss became nan" in n]
    assert len(told) == 1 and "batch 1" in told[0] and "smaller learning rate" in told[0] and "TerminateOnNaN()" in told[0]
    with captured_notes() as notes:
        learn = learner(photos, tmp_path, loss_func=nan_loss)
        learn.fit(2, cbs=TerminateOnNaN())
    assert any("training stopped" in n for n in notes) and learn.epoch == 0


def test_a_loss_of_ones_own_that_gives_no_number_says_what_it_gave(photos: Path, tmp_path: Path) -> None:
    learn = learner(photos, tmp_path, loss_func=lambda output, target: F.cross_entropy(output, target, reduction="none"))
    with pytest.raises(SettingError, match=r"returned \(8,\) float32; training needs one number .* reduction='mean'"):
        learn.fit(1)


def test_a_metric_of_ones_own_that_fails_says_why_and_training_goes_on(photos: Path, tmp_path: Path) -> None:
    def broken(output: Tensor, target: Tensor) -> Tensor:
        raise ValueError("nothing to divide")

    with captured_notes() as notes:
        results = learner(photos, tmp_path, metrics=[accuracy, broken]).fit(1)
    assert any("'broken' can't be computed" in n and "nothing to divide" in n for n in notes)
    assert results["broken"].isna().all() and results["accuracy"].notna().all()


def test_fine_tune_looks_at_its_epochs_before_it_trains_anything(photos: Path, tmp_path: Path) -> None:
    learn = learner(photos, tmp_path)
    before = {k: v.clone() for k, v in learn.model.state_dict().items()}
    with pytest.raises(SettingError, match=r"number of epochs is 0; .* at least 1.*learn\.freeze\(\)"):
        learn.fine_tune(0)
    assert unchanged(learn, before)


# -- the disk and the network -------------------------------------------------------------------------------------------
def everything(learn: Learner) -> None:
    """All that writes files, with its default paths."""
    learn.fit(1, cbs=[SaveModel(), CSVLogger(), Checkpoint(), EarlyStopping()])
    learn.lr_find(num_it=4, show_plot=False)
    learn.save("mine")
    learn.export()
    learn.get_preds()


def test_nothing_is_written_beside_the_data(own_photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    folders = [own_photos, *(p for p in own_photos.iterdir() if p.is_dir())]
    there = sorted(own_photos.rglob("*"))
    for folder in folders:
        folder.chmod(0o555)
    try:
        with captured_notes():
            learn = vision(own_photos)
            learn.cbs = [cb for cb in learn.cbs if type(cb).__name__ != "Progress"]
            everything(learn)
    finally:
        for folder in folders:
            folder.chmod(0o755)
    assert sorted(own_photos.rglob("*")) == there  # root may write anywhere, so this too is looked at
    assert {p.name for p in work.iterdir()} == {"models", "history.csv", "model.burnish"}


def test_a_full_disk_leaves_the_older_file(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learn = learner(photos, tmp_path)
    exported, saved = learn.export(), learn.save()
    before = exported.read_bytes(), saved.read_bytes()

    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for write, path in ((learn.export, exported), (learn.save, saved)):
        with pytest.raises(OSError, match=r"there is no room for the .* it needs\. Free some space.*from before is as it was") as told:
            write()
        assert told.value.errno == errno.ENOSPC and path.name in str(told.value)
    assert (exported.read_bytes(), saved.read_bytes()) == before
    assert {p.name for p in tmp_path.rglob("*") if p.is_file()} >= {"model.burnish", "model.safetensors"}
    assert not [p for p in tmp_path.iterdir() if p.is_file() and p != exported]  # nothing half-written is left behind


def test_a_best_model_that_could_not_be_saved_is_not_said_to_be(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    learn = learner(photos, tmp_path)
    monkeypatch.setattr(os, "fsync", full)
    with captured_notes() as notes, pytest.raises(OSError, match="no room"):
        learn.fit(1, cbs=SaveModel())
    assert not any("best weights" in n for n in notes)


def test_no_network_for_weights_names_the_ways_out(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(OfflineError) as told:
        vision(photos, arch="resnet18", pretrained=True)
    assert all(way in str(told.value) for way in ("'resnet18'", "pretrained=False", "weights=", "BURNISH_WEIGHTS", "tf_efficientnet_lite0"))


# -- Ctrl-C ------------------------------------------------------------------------------------------------------------
@pytest.fixture(autouse=True)
def _hears_ctrl_c() -> Iterator[None]:
    """Python's own answer to Ctrl-C, which is not installed where a shell started the tests in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Interrupt(Callback):
    """Ctrl-C, as the terminal sends it, at the first `event`."""

    order = 0

    def __init__(self, event: str) -> None:
        self.event: str | None = event

    def note(self, event: str) -> None:
        if event == self.event:
            self.event = None
            os.kill(os.getpid(), signal.SIGINT)


for _event in EVENTS:
    setattr(Interrupt, _event, lambda self, learn, _event=_event: self.note(_event))


def unchanged(learn: Learner, before: dict[str, Tensor]) -> bool:
    return all(torch.equal(v, before[k]) for k, v in learn.model.state_dict().items())


def usable(learn: Learner, callbacks: list[str]) -> None:
    assert [type(cb).__name__ for cb in learn.cbs] == callbacks and not learn.running and learn.phase is None
    assert all(torch.isfinite(v).all() for v in learn.model.state_dict().values())
    assert set(learn.validate()) and len(learn.get_preds().preds)


RUNS: dict[str, Callable[[Learner, Callback], Any]] = {
    "fit": lambda learn, cb: learn.fit(1, cbs=cb),
    "fine_tune": lambda learn, cb: learn.fine_tune(1, cbs=cb),
}


@pytest.mark.parametrize("event", [e for e in EVENTS if e != "on_exception"])
@pytest.mark.parametrize("run", RUNS)
def test_ctrl_c_in_training_leaves_a_usable_learner(run: str, event: str, photos: Path, tmp_path: Path) -> None:
    learn = learner(photos, tmp_path, splitter=lambda model: [list(model[:3].parameters()), list(model[3:].parameters())])
    callbacks = [type(cb).__name__ for cb in learn.cbs]
    with captured_notes():
        with pytest.raises(KeyboardInterrupt):
            RUNS[run](learn, Interrupt(event))
        usable(learn, callbacks)
        assert len(learn.fit(1)) == 1


@pytest.mark.parametrize("event", ["before_fit", "before_batch", "after_loss", "before_step", "after_step", "after_batch", "after_fit"])
def test_ctrl_c_in_lr_find_leaves_everything_as_it_was(event: str, photos: Path, tmp_path: Path) -> None:
    learn = learner(photos, tmp_path)
    learn.add_cb(Interrupt(event))
    before, callbacks = {k: v.clone() for k, v in learn.model.state_dict().items()}, [type(cb).__name__ for cb in learn.cbs]
    with captured_notes():
        with pytest.raises(KeyboardInterrupt):
            learn.lr_find(num_it=5, show_plot=False)
        assert unchanged(learn, before)
        usable(learn, callbacks)


@pytest.mark.parametrize("event", ["before_validate", "before_batch", "after_pred", "after_batch", "after_validate"])
def test_ctrl_c_in_prediction_leaves_everything_as_it_was(event: str, photos: Path, tmp_path: Path) -> None:
    learn = learner(photos, tmp_path)
    learn.model.train()
    before, callbacks = {k: v.clone() for k, v in learn.model.state_dict().items()}, [type(cb).__name__ for cb in learn.cbs]
    with suppress(KeyboardInterrupt):
        learn.get_preds(cbs=Interrupt(event))
        pytest.fail("the interrupt was swallowed")
    assert unchanged(learn, before) and learn.model.training
    usable(learn, callbacks)
