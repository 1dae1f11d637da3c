"""The report of a real run: what it shows, what it warns of, and that it stands alone."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn

from burnish.data.dataloaders import DataLoaders
from burnish.data.notes import captured_notes
from burnish.deploy.report import write_report
from burnish.errors import SettingError
from burnish.evaluate.interpret import ClassificationInterpretation
from burnish.evaluate.learner import Learner
from burnish.evaluate.metrics import accuracy
from burnish.evaluate.summary import assess
from burnish.train.export import load_learner
from burnish.vision.dataloaders import ImageDataLoaders
from burnish.vision.learner import VisionLearner, vision_learner
from burnish.vision.transforms import Resize


@pytest.fixture(scope="module")
def learn(tmp_path_factory: pytest.TempPathFactory) -> VisionLearner:
    root = tmp_path_factory.mktemp("photos")
    for name, colour in {"red <i>": (200, 30, 30), "blue": (20, 40, 190)}.items():
        (root / name).mkdir()
        for i in range(9):
            Image.new("RGB", (40 + i, 36), tuple(c + 3 * i for c in colour)).save(root / name / f"{i}.png")
    (root / "blue" / "same.png").write_bytes((root / "blue" / "0.png").read_bytes())
    with captured_notes():
        dls = ImageDataLoaders.from_folder(root, valid_pct=0.3, item_tfms=Resize(32), bs=4, device="cpu", num_workers=0)
        made = vision_learner(dls, "resnet18", pretrained=False, seed=1, lin_ftrs=[16], path=tmp_path_factory.mktemp("out"))
        with made.no_logging():
            made.fit_one_cycle(2)
    return made


@pytest.fixture(scope="module")
def text(learn: VisionLearner) -> str:
    path = write_report(learn, model_file=learn.export())
    assert path == learn.path / "report.html"
    return path.read_text(encoding="utf-8")


class Tags(HTMLParser):
    """Counts tags, and finds those that aren't closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen.append(tag)
        if tag not in ("meta", "img", "br", "rect", "line", "path", "circle", "polyline"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("rect", "line", "path", "circle", "polyline"):
            assert self.open.pop() == tag


def test_it_is_well_formed_and_stands_alone(text: str) -> None:
    tags = Tags()
    tags.feed(text)
    assert tags.open == [] and "script" not in tags.seen and "link" not in tags.seen
    assert re.findall(r'(?:src|href)="(?!data:)', text) == [] and "url(" not in text
    assert "red <i>" not in text and "red &lt;i&gt;" in text


@pytest.mark.parametrize(
    "heading",
    [
        "How good is it?",
        "Before you trust it",
        "Where it errs",
        "The most wrong",
        "Training",
        "What the model saw",
        "Data",
        "Use it",
        "Settings",
    ],
)
def test_every_part_is_there(text: str, heading: str) -> None:
    assert f"<h2>{heading}</h2>" in text


def test_results_have_intervals_and_the_baseline(text: str) -> None:
    assert "95 % interval" in text and "trivial baseline" in text and ">accuracy<" in text


def doubts(text: str) -> str:
    part = text[text.index("Before you trust it") :]
    return part[: part.index("</section>")]


def test_it_warns_of_what_it_knows(learn: VisionLearner, text: str, tmp_path: Path) -> None:
    assert "valid has only" in doubts(text)
    assert "same.png" in doubts(text)  # the doubled picture
    write_report(learn, tmp_path / "r.html", checks=False)
    unchecked = doubts((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert "Only 6 samples of the validation split were judged: the intervals are wide" in unchecked
    assert "fewer than 10 training samples" in unchecked and "same.png" not in unchecked


def test_it_holds_photographs_charts_and_epochs(text: str) -> None:
    assert text.count("data:image/jpeg;base64,") >= 8
    assert '<svg class="chart"' in text and text.count("<polyline") == 2
    assert "train_loss" in text and "resnet18" in text and "seed" in text
    assert "load_learner(&quot;model.burnish&quot;)" in text


def test_an_interpretation_that_is_there_is_used(learn: VisionLearner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    interp = ClassificationInterpretation.from_learner(learn)
    monkeypatch.setattr(type(learn), "get_preds", lambda *a, **k: pytest.fail("a second pass"))
    write_report(learn, tmp_path / "r.html", interp=interp, checks=False, title="My title")
    assert "<h1>My title</h1>" in (tmp_path / "r.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def tested(learn: VisionLearner, tmp_path_factory: pytest.TempPathFactory) -> VisionLearner:
    """A learner with a test split."""
    root = learn.dls.table["image"].iloc[0].parent.parent
    with captured_notes():
        dls = ImageDataLoaders.from_folder(
            root, valid_pct=0.3, test_pct=0.3, seed=1, item_tfms=Resize(32), bs=4, device="cpu", num_workers=0
        )
        made = vision_learner(dls, "resnet18", pretrained=False, seed=1, lin_ftrs=[16], path=tmp_path_factory.mktemp("tested"))
        with made.no_logging():
            made.fit_one_cycle(1)
    return made


def written(learn: VisionLearner, path: Path, **kwargs: Any) -> str:
    return write_report(learn, path, checks=False, **kwargs).read_text(encoding="utf-8")


def test_a_report_on_the_test_split_says_so_everywhere(tested: VisionLearner, tmp_path: Path) -> None:
    text = written(tested, tmp_path / "r.html", interp=ClassificationInterpretation.from_learner(tested, split="test"))
    n = len(tested.dls.test.rows)
    assert f"Measured on {n} samples of the test split, which was kept aside" in text
    assert "The test samples with the highest loss" in text and f"Only {n} samples of the test split were judged" in text
    assert "The test split is a fair judge once" in text and "The validation split also guided choices" not in text
    assert "<h2>On the validation split</h2>" in text and "of the validation split, which the model was not trained on" in text


def test_results_on_the_test_split_stand_beside_those_on_validation(tested: VisionLearner, tmp_path: Path) -> None:
    tested.results.pop("test", None)
    assert "On the test split" not in written(tested, tmp_path / "r.html")
    table = assess(tested, "test").set_index("metric")
    text = written(tested, tmp_path / "r.html")
    part = text[text.index("<h2>On the test split</h2>") : text.index("Before you trust it")]
    assert (
        f'<div class="value">{table.loc["accuracy", "value"]:.3g}</div>' in part and "95 % interval" in part and "trivial baseline" in part
    )
    assert f"Measured on {len(tested.dls.test.rows)} samples of the test split" in part
    assert "samples of the validation split, which the model was not trained on" in text[: text.index("On the test split")]
    assert "Measured on the test split" in load_learner(tested.export(tmp_path / "m.burnish")).card


@pytest.mark.parametrize(
    ("of", "says"), [("train", "of the training split, which the model has learned from"), (None, "of the loader that was given.")]
)
def test_other_samples_are_named_too(tested: VisionLearner, tmp_path: Path, of: str | None, says: str) -> None:
    items = tested.dls.table["image"].tolist()[:5]
    own = None if of else tested.dls.test_dl(items, with_labels=True)
    text = written(tested, tmp_path / "r.html", interp=ClassificationInterpretation.from_learner(tested, of or 1, dl=own))
    assert says in text and "validation samples with the highest loss" not in text


def test_two_plain_loaders_have_a_report_without_pictures(tmp_path: Path) -> None:
    target = torch.arange(24) % 2
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.randn(24, 3), target), batch_size=8)
    learn = Learner(DataLoaders(loader, loader, device="cpu"), nn.Linear(3, 2), nn.CrossEntropyLoss(), metrics=accuracy, path=tmp_path)
    with captured_notes(), learn.no_logging():
        learn.fit(1)
        text = write_report(learn).read_text(encoding="utf-8")
    assert "Measured on 24 samples of the validation split" in text and ">accuracy<" in text and "data:image" not in text


def test_the_command_in_the_report_can_be_pasted(learn: VisionLearner, tmp_path: Path) -> None:
    text = written(learn, tmp_path / "r.html", model_file=tmp_path / "my model.burnish")
    assert html.escape("burnish predict 'my model.burnish' PHOTO.jpg") in text


def test_a_loaded_model_has_nothing_to_report_on(learn: VisionLearner) -> None:
    with pytest.raises(SettingError, match="needs a validation split"):
        write_report(load_learner(learn.export("again.burnish")))
