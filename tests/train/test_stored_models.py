"""Models that earlier versions exported still open, and predict what they predicted then.

``python tests/train/test_stored_models.py`` writes those of the version at hand that aren't there. A file that was released is never
written again: a version that can't open it breaks a promise.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from burnish import __version__
from burnish.data.notes import captured_notes
from burnish.train.export import load_learner
from burnish.train.learner import Learner

FOLDER = Path(__file__).parent.parent / "files" / "exported"
STORED = sorted(FOLDER.glob("*.burnish"))


def pictures() -> list[Image.Image]:
    """The same few pictures at all times: stripes and checks of unequal sizes."""
    y, x = np.mgrid[:48, :64]
    kinds = [(x // 8) % 2, (y // 8) % 2, (x // 8 + y // 8) % 2]
    return [
        Image.fromarray(np.stack([k * 200, 255 - k * 150, 40 + 0 * k], -1).astype(np.uint8)).resize((64 + 8 * i, 48))
        for i, k in enumerate(kinds)
    ]


def rows() -> list[dict[str, Any]]:
    """Rows of a table with every kind of column, one with a gap and a category that training has not seen."""
    days = ("2024-03-01", "2024-07-15 18:30", "2025-01-02", "2024-05-05")
    cells = zip(("red", "blue", "green", "violet"), (1.5, -2.0, 0.25, None), (2, 4, 2, 4), days, strict=True)
    return [dict(zip(("colour", "size", "doors", "day"), row, strict=True)) for row in cells]


def pairs() -> list[dict[str, Any]]:
    """Users and items, one of each unknown."""
    return [{"user": user, "item": item} for user, item in (("u1", "i2"), ("u3", "i0"), ("nobody", "i1"), ("u0", "nothing"))]


ITEMS: dict[str, Callable[[], list[Any]]] = {"pictures": pictures, "table": rows, "ratings": pairs}


def file_of(kind: str, version: str = __version__) -> Path:
    return FOLDER / f"burnish-{version}{'' if kind == 'pictures' else f'-{kind}'}.burnish"


@pytest.mark.parametrize("kind", ITEMS)
def test_this_version_has_its_model(kind: str) -> None:
    assert file_of(kind) in STORED, "run: python tests/train/test_stored_models.py"


@pytest.mark.parametrize("path", STORED, ids=lambda p: p.stem)
def test_stored_model_predicts_what_it_did(path: Path) -> None:
    expected = json.loads(path.with_suffix(".json").read_text())
    with captured_notes() as notes:
        learn = load_learner(path)
    assert notes == []
    assert [m.name for m in learn.metrics] == expected["metrics"] and learn.record["epochs"] == expected["epochs"]
    if "vocab" in expected:
        assert learn.dls.vocab == expected["vocab"]
    learn.to_fp32()  # a processor that multiplies bf16 natively would
    with captured_notes():
        preds = predicted(learn, ITEMS[expected.get("items", "pictures")]())
    assert torch.allclose(preds, torch.tensor(expected["probs"]), atol=1e-4)  # Pillow's resizing may differ by a grey level


def predicted(learn: Learner, items: list[Any]) -> torch.Tensor:
    return learn.get_preds(dl=learn.dls.test_dl(items)).preds


def of_pictures(folder: str) -> Learner:
    from burnish.vision.augment import aug_transforms
    from burnish.vision.dataloaders import ImageDataLoaders
    from burnish.vision.learner import vision_learner
    from burnish.vision.transforms import Resize

    for i, picture in enumerate(pictures() * 6):
        file = Path(folder, ("columns", "rows", "checks")[i % 3], f"{i}.png")
        file.parent.mkdir(exist_ok=True)
        picture.rotate(i).save(file)
    dls = ImageDataLoaders.from_folder(folder, valid_pct=0.3, seed=1, item_tfms=Resize(32), batch_tfms=aug_transforms(), bs=4, device="cpu")
    tiny = {"channels": [4, 8, 16, 32], "stem_width": 4}
    return vision_learner(
        dls, "resnet10t", pretrained=False, arch_args=tiny, lin_ftrs=[8], seed=1, path=folder, metrics=["accuracy", "f1_score"]
    )


def of_a_table(folder: str) -> Learner:
    from burnish.tabular.dataloaders import TabularDataLoaders
    from burnish.tabular.learner import tabular_learner

    rng, n = np.random.default_rng(0), 80
    size = rng.normal(size=n).round(2)
    df = pd.DataFrame(
        {
            "colour": rng.choice(["red", "green", "blue"], n), "size": np.where(rng.random(n) < 0.1, np.nan, size), "doors": rng.choice([2, 4], n),
            "day": pd.date_range("2024-01-01", periods=n, freq="41h"), "sold": np.where(size > 0, "yes", "no"),
        }
    )  # fmt: skip
    dls = TabularDataLoaders.from_df(df, y_names="sold", seed=1, bs=16, device="cpu")
    return tabular_learner(dls, layers=[16, 16], config={"bins": 8}, seed=1, path=folder, metrics=["accuracy", "f1_score"])


def of_ratings(folder: str) -> Learner:
    from burnish.collab.dataloaders import CollabDataLoaders
    from burnish.collab.learner import collab_learner

    rng = np.random.default_rng(0)
    df = pd.DataFrame({"user": [f"u{i % 6}" for i in range(60)], "item": [f"i{i % 7}" for i in range(60)], "stars": rng.integers(1, 6, 60)})
    dls = CollabDataLoaders.from_df(df, seed=1, bs=16, device="cpu", titles={f"i{i}": f"Film {i}" for i in range(7)})
    return collab_learner(dls, n_factors=4, seed=1, path=folder)


MAKERS = {"pictures": (of_pictures, 3, 1e-2), "table": (of_a_table, 12, 2e-2), "ratings": (of_ratings, 12, 2e-2)}  # epochs, rate


def write_model(kind: str) -> Path:
    """Trains a tiny model and stores it with its predictions."""
    import tempfile

    target = file_of(kind)
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        make, epochs, lr = MAKERS[kind]
        learn = make(folder)
        learn.fit_one_cycle(epochs, lr)
        learn.export(target)
    made = load_learner(target)
    said = {
        "items": kind,
        **({} if kind == "ratings" else {"vocab": made.dls.vocab}),
        "metrics": [m.name for m in made.metrics],
        "epochs": epochs,
        "probs": predicted(made, ITEMS[kind]()).tolist(),
    }
    target.with_suffix(".json").write_text(json.dumps(said, indent=1) + "\n")
    return target


if __name__ == "__main__":
    for each in MAKERS:
        there = file_of(each).exists()
        print(f"{file_of(each)} is there already. Remove it first if that version was never released." if there else write_model(each))
