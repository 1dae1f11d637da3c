"""Checkpoints: a killed run goes on to the same weights, bit for bit; and what happens when it can't go on."""

from __future__ import annotations

import copy
import os
import random
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from callbacks_support import accuracy, same_weights, small_data, small_learner, small_model, weights, when
from torch import Tensor, nn
from torch.utils.data import DataLoader as TorchLoader
from torch.utils.data import Dataset
from torchvision.transforms import v2

from burnish.artifact import read, write
from burnish.data import lock
from burnish.data.dataloaders import DataLoaders
from burnish.data.notes import captured_notes
from burnish.data.transforms import ItemTransform
from burnish.errors import ModelFileError, SettingError
from burnish.train.callbacks import EMA, Checkpoint, EarlyStopping
from burnish.train.callbacks.checkpoint import load_optimizer, read_checkpoint
from burnish.train.callbacks.identity import _said
from burnish.train.callbacks.pack import pack, unpack
from burnish.train.learner import Learner
from burnish.vision.augment import aug_transforms
from burnish.vision.dataloaders import ImageDataLoaders
from burnish.vision.transforms import RandomResizedCrop, Resize

HERE = Path(__file__).parent


def killed_runs(tmp_path: Path, *runs: str) -> list[str]:
    """The verdicts of tests/train/callbacks_killed_run.py."""
    command = [sys.executable, str(HERE / "callbacks_killed_run.py"), str(tmp_path), *runs]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_a_killed_run_ends_with_the_same_weights(tmp_path: Path) -> None:
    verdicts = killed_runs(tmp_path, "everything=1", "photos=1")
    assert len(verdicts) == 2 and all(": same," in v for v in verdicts), verdicts
    assert not any("killed 0" in v for v in verdicts)


KINDS = ["plain", "everything", "epochs_only", "photos"]


@pytest.fixture(scope="module")
def verdicts_on_all(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Six killed runs of each kind, all from one process, which takes seconds to start."""
    return killed_runs(tmp_path_factory.mktemp("killed"), *(f"{kind}=6" for kind in KINDS))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_killed_runs_end_with_the_same_weights_wherever_they_are_killed(kind: str, verdicts_on_all: list[str]) -> None:
    verdicts = [v for v in verdicts_on_all if v.startswith(f"{kind}: ")]
    assert len(verdicts) == 6 and all(": same," in v for v in verdicts), verdicts


# -- within one process: an interrupt at a chosen place instead of a kill ----------------------------------------------------


class Stop(Exception):
    pass


def stop_at(epoch: int, batch: int, event: str = "after_batch", order: float = 2000) -> Any:
    def stop(learn: Any) -> None:
        if learn.epoch == epoch and learn.batch_index == batch and (learn.training or event != "after_batch"):
            raise Stop

    return when(order=order, **{event: stop})


def interrupted(tmp_path: Path, *cbs: Any, epochs: int = 3, **settings: Any) -> Any:
    learn = small_learner(tmp_path, **settings)
    with captured_notes(), pytest.raises(Stop):
        learn.fit_one_cycle(epochs, 1e-2, cbs=list(cbs))
    return learn


def test_resuming_goes_on_where_the_checkpoint_was(tmp_path: Path) -> None:
    interrupted(tmp_path, Checkpoint(every_steps=1), stop_at(1, 1))
    learn, begun = small_learner(tmp_path), []
    with captured_notes() as notes:
        results = learn.fit_one_cycle(
            3,
            1e-2,
            cbs=[Checkpoint(every_steps=1), when(before_batch=lambda learn: begun.append((learn.epoch, learn.batch_index)))],
            resume=True,
        )
    assert begun[0] == (1, 2) and notes == ["Checkpoint: going on at epoch 1, batch 2."]
    assert list(results["epoch"]) == [0, 1, 2] and len(learn.recorder.losses) == 12
    whole = small_learner(tmp_path / "whole")
    whole.fit_one_cycle(3, 1e-2)
    assert same_weights(weights(learn), weights(whole))
    assert learn.recorder.losses == whole.recorder.losses


@pytest.mark.parametrize("cb", [{"every_steps": 1}, {"every_epochs": 1}], ids=["in mid-epoch", "between epochs"])
def test_a_plain_loader_with_a_generator_of_its_own_goes_on_in_its_order(cb: dict[str, int], tmp_path: Path) -> None:
    def make(path: Path) -> Learner:
        data = small_data()
        rows = TorchLoader(data.train.dataset, 8, shuffle=True, generator=torch.Generator().manual_seed(1))
        return Learner(DataLoaders(rows, data.valid.loader, device="cpu"), small_model(), nn.CrossEntropyLoss(), seed=3, path=path)

    whole, learn = make(tmp_path / "whole"), make(tmp_path)
    whole.fit(3, 1e-2)
    with captured_notes(), pytest.raises(Stop):
        make(tmp_path).fit(3, 1e-2, cbs=[Checkpoint(**cb), stop_at(1, 1)])
    with captured_notes():
        learn.fit(3, 1e-2, cbs=Checkpoint(**cb), resume=True)
    assert same_weights(weights(learn), weights(whole))


class Noisy(Dataset[Any]):
    """A data set that augments with the process's own generators, which the model's dropout draws from too."""

    def __init__(self, data: Any) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, i: int) -> Any:
        x, y = self.data[i]
        return x + torch.randn(x.shape) + random.gauss(0, 1) + np.random.randn(), y


@pytest.mark.parametrize("shuffle", [True, False])
def test_a_data_set_that_draws_from_the_global_generators_goes_on_in_its_draws(shuffle: bool, tmp_path: Path) -> None:
    def make(path: Path) -> Learner:
        data = small_data()
        rows = TorchLoader(Noisy(data.train.dataset), 8, shuffle=shuffle)
        return Learner(DataLoaders(rows, data.valid.loader, device="cpu"), small_model(), nn.CrossEntropyLoss(), seed=3, path=path)

    whole, learn = make(tmp_path / "whole"), make(tmp_path)
    whole.fit(3, 1e-2)
    with captured_notes(), pytest.raises(Stop):
        make(tmp_path).fit(3, 1e-2, cbs=[Checkpoint(every_steps=1), stop_at(1, 1)])
    with captured_notes():
        learn.fit(3, 1e-2, cbs=Checkpoint(every_steps=1), resume=True)
    assert same_weights(weights(learn), weights(whole))


@pytest.mark.parametrize("place", [("head", 0, 1), ("whole", 0, 2), ("whole", 1, 0)])
def test_fine_tune_goes_on_in_its_phase(place: tuple[str, int, int], tmp_path: Path) -> None:
    phase, epoch, batch = place

    def make(path: Path) -> Learner:
        split = lambda m: [list(m[:3].parameters()), list(m[3:].parameters())]  # noqa: E731
        return Learner(small_data(), small_model(), nn.CrossEntropyLoss(), metrics=accuracy, seed=3, path=path, splitter=split)

    def stop(learn: Any) -> None:
        if learn.training and (learn.phase, learn.epoch, learn.batch_index) == (phase, epoch, batch):
            raise Stop

    whole = make(tmp_path / "whole")
    whole.fine_tune(2, 1e-2)
    with captured_notes(), pytest.raises(Stop):
        make(tmp_path).fine_tune(2, 1e-2, cbs=[Checkpoint(every_steps=1), when(order=2000, after_batch=stop)])
    learn = make(tmp_path)
    with captured_notes():
        learn.fine_tune(2, 1e-2, cbs=Checkpoint(every_steps=1), resume=True)
    assert same_weights(weights(learn), weights(whole))


def test_a_finished_run_resumes_to_itself(tmp_path: Path) -> None:
    first = small_learner(tmp_path)
    first.fit_one_cycle(2, 1e-2, cbs=[Checkpoint(), EMA(0.9)])
    again = small_learner(tmp_path)
    with captured_notes():
        results = again.fit_one_cycle(2, 1e-2, cbs=[Checkpoint(), EMA(0.9)], resume=True)
    assert same_weights(weights(first), weights(again)) and len(results) == 2


def test_without_a_checkpoint_resume_begins_at_the_beginning(tmp_path: Path) -> None:
    learn = small_learner(tmp_path)
    with captured_notes() as notes:
        learn.fit(1, 1e-2, cbs=Checkpoint(), resume=True)
    assert len(learn.recorder.rows) == 1 and "no checkpoint in" in notes[0] and "begins at the beginning" in notes[0]


@pytest.mark.parametrize("keep", [1, 3])
def test_the_newest_files_stay_and_leftovers_go(keep: int, tmp_path: Path) -> None:
    folder = tmp_path / "models" / "checkpoint"
    folder.mkdir(parents=True)
    (folder / ".checkpoint-00000001.burnish.123.part").write_bytes(b"of a process that was killed while it wrote")
    small_learner(tmp_path).fit(2, 1e-2, cbs=Checkpoint(every_steps=1, keep=keep))
    files = sorted(p.name for p in folder.iterdir())
    assert len(files) == keep and all(f.startswith("checkpoint-") for f in files)
    assert [read_checkpoint(folder / f)["position"]["epoch"] for f in files][-1] == 2


def test_steps_and_epochs_between_checkpoints(tmp_path: Path) -> None:
    def places(**settings: Any) -> list[tuple[int, int]]:
        learn, cb = small_learner(tmp_path / str(settings)), Checkpoint(keep=99, **settings)
        with captured_notes():
            learn.fit(3, 1e-2, cbs=cb)
        positions = [read_checkpoint(p)["position"] for p in sorted(cb.folder.iterdir())]
        return [(p["epoch"], p["batch"]) for p in positions]

    assert places() == [(0, 0), (1, 0), (2, 0), (3, 0)]
    assert places(every_epochs=2) == [(0, 0), (2, 0)]
    assert places(every_epochs=None, every_steps=3) == [(0, 0), (0, 3), (1, 2), (2, 1), (3, 0)]  # four batches an epoch
    assert places(every_epochs=None, every_steps=4) == [(0, 0), (1, 0), (2, 0), (3, 0)]


def test_a_damaged_newest_file_is_passed_over(tmp_path: Path) -> None:
    cb = Checkpoint(every_steps=1, keep=2)
    interrupted(tmp_path, cb, stop_at(1, 1))
    newest = sorted(cb.folder.iterdir())[-1]
    newest.write_bytes(newest.read_bytes()[:-100])
    learn, begun = small_learner(tmp_path), []
    with captured_notes() as notes:
        learn.fit_one_cycle(
            3,
            1e-2,
            cbs=[Checkpoint(every_steps=1), when(before_batch=lambda learn: begun.append((learn.epoch, learn.batch_index)))],
            resume=True,
        )
    assert "passed over" in notes[0] and newest.name in notes[0] and begun[0] == (1, 1)


def test_a_new_fit_sets_an_unfinished_run_aside(tmp_path: Path) -> None:
    interrupted(tmp_path, Checkpoint(every_steps=1), stop_at(1, 1))
    with captured_notes() as notes:
        small_learner(tmp_path).fit(1, 1e-2, cbs=Checkpoint())
    aside = tmp_path / "models/checkpoint/previous.burnish"
    assert len(notes) == 1 and str(aside) in notes[0] and read_checkpoint(aside)["position"] == {"epoch": 1, "batch": 2, "step": 6}
    with captured_notes() as notes:
        small_learner(tmp_path).fit(1, 1e-2, cbs=Checkpoint())  # the fit before it was finished: nothing to keep
    assert notes == []


def test_a_new_fit_of_the_same_callback_sets_an_interrupted_run_aside_too(tmp_path: Path) -> None:
    learn = small_learner(tmp_path, cbs=Checkpoint(every_steps=1, keep=2))
    with captured_notes(), pytest.raises(Stop):
        learn.fit_one_cycle(3, 1e-2, cbs=stop_at(1, 1))
    with captured_notes() as notes:
        learn.fit_one_cycle(1, 1e-2)
    aside = tmp_path / "models/checkpoint/previous.burnish"
    assert len(notes) == 1 and str(aside) in notes[0] and read_checkpoint(aside)["position"]["epoch"] == 1
    with captured_notes() as notes:
        learn.fit_one_cycle(1, 1e-2)
    assert notes == [] and len(list(aside.parent.iterdir())) == 3


@pytest.mark.parametrize(
    ("epochs", "cbs"),
    [(9, [Checkpoint(), EarlyStopping(min_delta=99.0)]), (3, [Checkpoint(every_epochs=2)])],
    ids=["stopped early", "between checkpoints"],
)
def test_a_run_that_ended_in_good_order_is_not_set_aside(epochs: int, cbs: list[Any], tmp_path: Path) -> None:
    with captured_notes():
        small_learner(tmp_path).fit(epochs, 1e-2, cbs=cbs)
    with captured_notes() as notes:
        small_learner(tmp_path).fit(1, 1e-2, cbs=Checkpoint())
    assert notes == []


def test_files_that_can_all_not_be_read_are_said_and_the_newest_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "checkpoint"
    folder.mkdir(parents=True)
    for number in (1, 2):
        (folder / f"checkpoint-0000000{number}.burnish").write_bytes(b"damaged")
    with captured_notes() as notes:
        small_learner(tmp_path).fit(1, 1e-2, cbs=Checkpoint(keep=3), resume=True)
    assert ["passed over" in n for n in notes] == [True, True, False, False]
    assert "there is no checkpoint that can be read in" in notes[2] and "begins at the beginning" in notes[2]
    assert "the checkpoint that can't be read is now" in notes[3] and "previous.burnish" in notes[3]
    kept = sorted(p for p in folder.iterdir() if p.name != "previous.burnish")
    assert [read_checkpoint(p)["position"]["epoch"] for p in kept] == [0, 1]


def test_another_fit_another_model_and_other_callbacks_are_refused(tmp_path: Path) -> None:
    interrupted(tmp_path, Checkpoint(every_steps=1), EarlyStopping(patience=9), stop_at(1, 1))
    cbs = lambda: [Checkpoint(every_steps=1), EarlyStopping(patience=9)]  # noqa: E731
    with pytest.raises(SettingError, match=r"of a fit with epochs=3; this one has epochs=4.*same arguments"):
        small_learner(tmp_path).fit_one_cycle(4, 1e-2, cbs=cbs(), resume=True)
    learn = small_learner(tmp_path, seed=77)
    before = weights(learn)
    with pytest.raises(SettingError, match=r"written with the callbacks early_stopping, which this fit lacks"):
        learn.fit_one_cycle(3, 1e-2, cbs=Checkpoint(), resume=True)
    learn.wd_bn_bias, learn.opt = True, None  # its groups are others
    with pytest.raises(SettingError, match=r"stored optimizer has 2 parameter groups, this one 1"):
        learn.fit_one_cycle(3, 1e-2, cbs=cbs(), resume=True)
    assert same_weights(before, weights(learn)) and learn.seed == 77, "a refused learner stays as it was"
    with pytest.raises(
        SettingError, match=r"is of another model: 8 .*0\.weight.*here \(5, 3, 3, 3\), there \(4, 3, 3, 3\).*as the killed run did"
    ):
        Learner(small_data(), nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5)), nn.CrossEntropyLoss(), path=tmp_path).fit_one_cycle(
            3, 1e-2, cbs=cbs(), resume=True
        )


# -- the same run: its data and seeds, its folder --------------------------------------------------------------------------
def on_photos(
    folder: Path, path: Path, bs: int = 4, files: Any = None, label: Any = None, balance: str | None = None, tfms: Any = (),
    batch_tfms: Any = None, **seeds: Any
) -> Learner:  # fmt: skip
    """A learner on the library's own loader, which draws order and augmentation; without `seeds` both seeds are drawn."""
    files = sorted(folder.rglob("*.jpg"))[::2] if files is None else files
    dls = ImageDataLoaders.from_path_func(
        folder, files, label or (lambda f: f.parent.name), valid_pct=0.25, bs=bs, device="cpu", num_workers=0, balance=balance,
        item_tfms=[RandomResizedCrop(16, min_scale=0.5), *tfms], batch_tfms=aug_transforms() if batch_tfms is None else batch_tfms,
    )  # fmt: skip
    dls.seed = dls.train.seed = dls.valid.seed = seeds.get("data_seed", dls.seed)
    return Learner(dls, small_model(), metrics=accuracy, path=path, precision="fp32", seed=seeds.get("seed"))


def noise(image: Any) -> Any:
    """A function that draws in validation too."""
    return image.rotate(random.random() * 90)


def test_an_unseeded_run_goes_on_with_the_seeds_it_had_drawn(photos: Path, tmp_path: Path) -> None:
    first = on_photos(photos, tmp_path, tfms=[noise])
    with captured_notes(), pytest.raises(Stop):
        first.fit_one_cycle(3, 1e-2, cbs=[Checkpoint(every_steps=1), stop_at(1, 1)])
    learn = on_photos(photos, tmp_path, tfms=[noise])
    assert learn.seed != first.seed and learn.dls.seed != first.dls.seed
    with captured_notes():
        learn.fit_one_cycle(3, 1e-2, cbs=Checkpoint(every_steps=1), resume=True)
    assert (learn.seed, learn.dls.seed, learn.dls.train.seed) == (first.seed, first.dls.seed, first.dls.seed)
    whole = on_photos(photos, tmp_path / "whole", tfms=[noise], seed=first.seed, data_seed=first.dls.seed)
    with captured_notes():
        whole.fit_one_cycle(3, 1e-2)
    assert same_weights(weights(learn), weights(whole))
    assert list(learn.recorder.results()["valid_loss"]) == list(whole.recorder.results()["valid_loss"])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"bs": 5}, r"batch size 4, now 5"),
        ({"slice": slice(0, 30)}, r"number of training rows 13, now 22; number of batches 3, now 6"),
        ({"slice": slice(1, None, 2)}, r"other training rows \(their files, labels or order\).*its dls\.seed was \d+"),
        ({"label": lambda f: f.parent.name.removesuffix("pear")}, r"other training rows"),
        ({"balance": "sample"}, r"other training rows"),
        (
            {"tfms": [lambda image: image.convert("L")]},
            r"on other data: transforms .*RandomResizedCrop.*, now ItemFunction <lambda>\. Make",
        ),
        ({"batch_tfms": aug_transforms(max_rotate=90)}, r"on other data: transforms .*10.*, now .*90"),
        ({"valid": slice(1)}, r"on other data: other validation rows \(their"),
    ],
    ids=["bs", "fewer", "others", "labels", "balance", "item_tfms", "batch_tfms", "valid"],
)
def test_other_data_is_refused(changed: dict[str, Any], message: str, photos: Path, tmp_path: Path) -> None:
    with captured_notes(), pytest.raises(Stop):
        on_photos(photos, tmp_path).fit_one_cycle(3, 1e-2, cbs=[Checkpoint(every_steps=1), stop_at(1, 1)])
    chosen = changed.pop("slice", None)
    if chosen is not None:
        changed["files"] = sorted(photos.rglob("*.jpg"))[chosen]
    valid = changed.pop("valid", slice(None))
    learn = on_photos(photos, tmp_path, **changed)
    learn.dls.valid.rows = learn.dls.valid.rows[valid]
    before = weights(learn)
    with captured_notes(), pytest.raises(SettingError, match=message):
        learn.fit_one_cycle(3, 1e-2, cbs=Checkpoint(every_steps=1), resume=True)
    assert same_weights(before, weights(learn))


def test_the_same_functions_are_the_same_transforms_in_another_process(photos: Path, tmp_path: Path) -> None:
    class Toned(ItemTransform):
        def __init__(self, tones: set[str]) -> None:
            self.tones = tones  # a set, whose order no other process has

        def apply(self, values: Any, rng: Any) -> Any:
            return values

    def tfms(*tones: str) -> list[Any]:
        return [lambda image: image.convert("RGB"), v2.Lambda(lambda image: image), Toned(set(tones))]

    with captured_notes(), pytest.raises(Stop):
        on_photos(photos, tmp_path, tfms=tfms("a", "b")).fit(2, 1e-2, cbs=[Checkpoint(every_steps=1), stop_at(1, 1)])
    with captured_notes() as notes:
        on_photos(photos, tmp_path, tfms=tfms("b", "a")).fit(2, 1e-2, cbs=Checkpoint(every_steps=1), resume=True)
    assert "Checkpoint: going on at epoch 1, batch 2." in notes


@pytest.mark.parametrize(
    ("data", "message"), [({"n": 32}, "number of training rows 30, now 24"), ({"bs": 4}, "batch size 8, now 4; number of batches 4, now 8")]
)
def test_other_plain_loaders_are_refused(data: dict[str, Any], message: str, tmp_path: Path) -> None:
    interrupted(tmp_path, Checkpoint(every_steps=1), stop_at(1, 1))
    with pytest.raises(SettingError, match=rf"of a run on other data: {message}.*Make the data as that run did, or train without resume"):
        small_learner(tmp_path, data=data).fit_one_cycle(3, 1e-2, cbs=Checkpoint(every_steps=1), resume=True)


class Counted:
    """A loader of an iterable data set, with a length: that of its batches."""

    def __init__(self, loader: Any) -> None:
        self.batches, self.dataset = list(loader), (row for row in ())

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Any:
        return iter(self.batches)


def test_of_an_iterable_data_set_the_batches_are_compared(tmp_path: Path) -> None:
    def make(n: int) -> Learner:
        data = small_data(n, shuffle=False)
        dls = DataLoaders(Counted(data.train.loader), data.valid.loader, device="cpu")
        return Learner(dls, small_model(), nn.CrossEntropyLoss(), path=tmp_path, precision="fp32")

    with captured_notes(), pytest.raises(Stop):
        make(40).fit(2, 1e-2, cbs=[Checkpoint(every_steps=1), stop_at(1, 1)])
    with pytest.raises(SettingError, match=r"other data: number of batches 4, now 3"):
        make(30).fit(2, 1e-2, cbs=Checkpoint(every_steps=1), resume=True)
    with captured_notes() as notes:
        make(40).fit(2, 1e-2, cbs=Checkpoint(every_steps=1), resume=True)
    assert "going on at epoch 1, batch 2" in notes[-1]


def test_a_fit_goes_on_behind_batches_of_which_nothing_could_be_read(own_photos: Path, tmp_path: Path) -> None:
    def fetch(image: Any) -> Any:
        if np.asarray(image).sum() % 3 == 0:
            raise ConnectionError("server down")
        return image

    def make(path: Path) -> Learner:
        dls = ImageDataLoaders.from_path_func(
            own_photos, sorted(own_photos.rglob("*.jpg"))[::2], lambda f: f.parent.name, valid_pct=0.25, bs=1, device="cpu", num_workers=0,
            item_tfms=[Resize(16), fetch], seed=5, cache=False,
        )  # fmt: skip
        return Learner(dls, small_model(dropout=0), path=path, precision="fp32", seed=3)

    def rows_read(learn: Learner, *cbs: Any, **more: Any) -> list[int]:
        rows: list[int] = []
        read = when(before_batch=lambda learn: rows.extend(learn.dl.last_rows if learn.training else []))
        with captured_notes(), suppress(Stop):
            learn.fit(1, 1e-2, cbs=[Checkpoint(every_steps=1), read, *cbs], **more)
        return rows

    whole = rows_read(make(tmp_path / "whole"))
    first, learn = rows_read(make(tmp_path), stop_at(0, 3)), make(tmp_path)
    assert first + rows_read(learn, resume=True) == whole and len(whole) < learn.dls.train.n


def test_data_may_be_moved_as_a_whole(own_photos: Path, tmp_path: Path) -> None:
    with captured_notes(), pytest.raises(Stop):
        on_photos(own_photos, tmp_path / "run").fit_one_cycle(3, 1e-2, cbs=[Checkpoint(every_steps=1), stop_at(1, 1)])
    own_photos.rename(tmp_path / "elsewhere")
    with captured_notes() as notes:
        on_photos(tmp_path / "elsewhere", tmp_path / "run").fit_one_cycle(3, 1e-2, cbs=Checkpoint(every_steps=1), resume=True)
    assert "Checkpoint: going on at epoch 1, batch 2." in notes


CELLS = [None, 3, 0.5, "label", b"bytes", ["a", ("b", 2)], {"a": 1}, np.arange(3), np.float32(2), Path("a/b/c.png")]


@pytest.mark.parametrize("cell", CELLS, ids=lambda c: type(c).__name__)
def test_every_kind_of_cell_has_a_fingerprint(cell: Any) -> None:
    assert _said(copy.deepcopy(cell)) == _said(cell)
    assert sum(_said(cell) == _said(other) for other in CELLS) == 1


OTHER_PROCESS = """
import sys, time
from pathlib import Path
from burnish.data.lock import FolderLock
print(FolderLock(Path(sys.argv[1])).acquire(), flush=True)
time.sleep(60)
"""


def test_a_folder_another_process_is_using_is_refused_until_that_dies(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "checkpoint"
    other = subprocess.Popen([sys.executable, "-c", OTHER_PROCESS, str(folder)], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout is not None and other.stdout.readline() == "True\n"
        (folder / "checkpoint-00000001.burnish").write_bytes(b"of the other process")
        with pytest.raises(SettingError, match=r"Another process is training.*checkpoint'.*Checkpoint\(path=\.\.\.\)"):
            small_learner(tmp_path).fit(1, 1e-2, cbs=Checkpoint())
        assert (folder / "checkpoint-00000001.burnish").read_bytes() == b"of the other process"
        small_learner(tmp_path).fit(1, 1e-2, cbs=Checkpoint(path=tmp_path / "mine"))
    finally:
        other.kill()
        other.wait()
    with captured_notes():
        small_learner(tmp_path).fit(1, 1e-2, cbs=Checkpoint())
    assert not (folder / ".lock").exists()


def test_a_folder_another_learner_of_the_process_is_using_is_refused_and_stays_locked(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "checkpoint"

    def others(learn: Any) -> None:
        with pytest.raises(SettingError, match=r"or another Checkpoint of this one is.*Checkpoint\(path=\.\.\.\)"):
            small_learner(tmp_path).fit(1, 1e-2, cbs=Checkpoint(path=folder / "." / ".." / "checkpoint"))
        acquire = "import pathlib, runpy, sys; print(runpy.run_path(sys.argv[1])['FolderLock'](pathlib.Path(sys.argv[2])).acquire())"
        assert subprocess.check_output([sys.executable, "-c", acquire, lock.__file__, str(folder)], text=True) == "False\n"

    small_learner(tmp_path).fit(1, 1e-2, cbs=[Checkpoint(), when(before_train=others)])
    assert not (folder / ".lock").exists()
    small_learner(tmp_path).fit(1, 1e-2, cbs=Checkpoint())


def test_a_file_that_is_no_checkpoint_is_named(tmp_path: Path) -> None:
    write(tmp_path / "model.burnish", {"kind": "learner"}, {})
    with pytest.raises(ModelFileError, match=r"model\.burnish' is a burnish file, but no checkpoint.*load_learner"):
        read_checkpoint(tmp_path / "model.burnish")


def test_settings_that_cannot_be() -> None:
    with pytest.raises(SettingError, match=r"every_steps=0.*at least 1, or None"):
        Checkpoint(every_steps=0)
    with pytest.raises(SettingError, match=r"keep=0: expected a whole number of at least 1\."):
        Checkpoint(keep=0)
    with pytest.raises(SettingError, match=r"would never write"):
        Checkpoint(every_steps=None, every_epochs=None)
    with pytest.raises(SettingError, match=r"keep=2\.0: expected a whole number"):
        Checkpoint(keep=2.0)


def test_whole_numbers_of_any_type_are_settings(tmp_path: Path) -> None:
    cb = Checkpoint(every_steps=np.int64(3), every_epochs=None, keep=np.uint8(2))
    small_learner(tmp_path).fit(2, 1e-2, cbs=cb)
    positions = [read_checkpoint(p)["position"] for p in sorted(cb.folder.iterdir())]
    assert [(p["epoch"], p["batch"]) for p in positions] == [(0, 3), (1, 2)]


@pytest.mark.parametrize("fused", [False, True])
def test_moments_come_back_in_the_layout_of_their_parameter(fused: bool, tmp_path: Path) -> None:
    """A file stores everything contiguous; a fused step walks through parameter and moments alike, whatever their strides."""

    def stepped(p: nn.Parameter, opt: torch.optim.Optimizer, seed: int) -> None:
        p.grad = torch.randn(p.shape, generator=torch.Generator().manual_seed(seed)).to(memory_format=torch.channels_last)
        opt.step()

    make = lambda: nn.Parameter(torch.arange(288.0).view(8, 4, 3, 3).contiguous(memory_format=torch.channels_last))  # noqa: E731
    whole, first = make(), make()
    opt, opt_first = (torch.optim.AdamW([p], 0.1, fused=fused) for p in (whole, first))
    stepped(whole, opt, 1)
    stepped(first, opt_first, 1)
    tensors: dict[str, Tensor] = {}
    write(tmp_path / "opt.burnish", {"opt": pack(opt_first.state_dict(), tensors)}, tensors)
    stored = read(tmp_path / "opt.burnish")
    resumed = nn.Parameter(first.detach().clone(memory_format=torch.preserve_format))
    opt_resumed = torch.optim.AdamW([resumed], 0.5, fused=fused)
    group = opt_resumed.param_groups[0]
    load_optimizer(opt_resumed, unpack(stored.config["opt"], stored.tensors))
    assert opt_resumed.param_groups[0] is group and group["lr"] == 0.1
    stepped(whole, opt, 2)
    stepped(resumed, opt_resumed, 2)
    assert torch.equal(whole, resumed)


VALUES = [
    None, True, 3, 0.1 + 0.2, float("inf"), "text", [1, [2]], (1, (2,)), {"a": 1}, {1: "b", "c": (3,)}, {"a.b": torch.ones(2), "a": {"b": torch.zeros(3)}},
    torch.arange(3, dtype=torch.uint8), torch.tensor(2.5, dtype=torch.bfloat16), np.arange(4, dtype=np.uint32), torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last),
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda v: type(v).__name__)
def test_nested_state_survives_a_file(value: Any, tmp_path: Path) -> None:
    def equal(a: Any, b: Any) -> bool:
        if isinstance(a, (Tensor, np.ndarray)):
            return type(a) is type(b) and a.dtype == b.dtype and a.shape == b.shape and bool((a == b).all())
        if isinstance(a, dict):
            return list(a) == list(b) and all(equal(a[k], b[k]) for k in a)
        return type(a) is type(b) and a == b

    tensors: dict[str, Tensor] = {}
    write(tmp_path / "x.burnish", {"state": pack({"v": value}, tensors)}, tensors)
    stored = read(tmp_path / "x.burnish")
    assert equal(unpack(stored.config["state"], stored.tensors)["v"], value)


def test_what_cannot_be_stored_is_named() -> None:
    with pytest.raises(TypeError, match=r"state\.a\.0 holds a function.*may hold tensors, arrays, numbers"):
        pack({"a": [len.__class__, accuracy][1:]}, {})
