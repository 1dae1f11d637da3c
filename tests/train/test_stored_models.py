"""Models that earlier versions exported still open, and predict what they predicted then.

``python tests/train/test_stored_models.py`` writes the model of the version at hand. A file that was released is never
written again: a version that can't open it breaks a promise.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from burnish import __version__
from burnish.data.notes import captured_notes
from burnish.train.export import load_learner

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


def test_this_version_has_its_model() -> None:
    assert f"burnish-{__version__}.burnish" in [p.name for p in STORED], "run: python tests/train/test_stored_models.py"


@pytest.mark.parametrize("path", STORED, ids=lambda p: p.stem)
def test_stored_model_predicts_what_it_did(path: Path) -> None:
    expected = json.loads(path.with_suffix(".json").read_text())
    with captured_notes() as notes:
        learn = load_learner(path)
    assert learn.dls.vocab == expected["vocab"] and notes == []
    assert [m.name for m in learn.metrics] == expected["metrics"] and learn.record["epochs"] == expected["epochs"]
    learn.to_fp32()  # a processor that multiplies bf16 natively would
    probs = torch.stack([p.probs for p in learn.predict(pictures())])
    assert torch.allclose(probs, torch.tensor(expected["probs"]), atol=1e-4)  # Pillow's resizing may differ by a grey level


def write_model() -> Path:
    """Trains a tiny model and stores it with its predictions, unless this version has one."""
    import tempfile

    from burnish.vision.augment import aug_transforms
    from burnish.vision.dataloaders import ImageDataLoaders
    from burnish.vision.learner import vision_learner
    from burnish.vision.transforms import Resize

    target = FOLDER / f"burnish-{__version__}.burnish"
    if target.exists():
        raise SystemExit(f"{target} is there already. Remove it first if that version was never released.")
    with tempfile.TemporaryDirectory() as folder:
        for i, picture in enumerate(pictures() * 6):
            file = Path(folder, ("columns", "rows", "checks")[i % 3], f"{i}.png")
            file.parent.mkdir(exist_ok=True)
            picture.rotate(i).save(file)
        dls = ImageDataLoaders.from_folder(
            folder, valid_pct=0.3, seed=1, item_tfms=Resize(32), batch_tfms=aug_transforms(), bs=4, device="cpu"
        )
        tiny = {"channels": [4, 8, 16, 32], "stem_width": 4}
        learn = vision_learner(
            dls, "resnet10t", pretrained=False, arch_args=tiny, lin_ftrs=[8], seed=1, path=folder, metrics=["accuracy", "f1_score"]
        )
        learn.fit_one_cycle(3, 1e-2)
        FOLDER.mkdir(parents=True, exist_ok=True)
        learn.export(target)
    made = load_learner(target)
    said = {
        "vocab": made.dls.vocab,
        "metrics": [m.name for m in made.metrics],
        "epochs": 3,
        "probs": [p.probs.tolist() for p in made.predict(pictures())],
    }
    target.with_suffix(".json").write_text(json.dumps(said, indent=1) + "\n")
    return target


if __name__ == "__main__":
    print(write_model())
