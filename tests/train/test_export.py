"""Exported models: the same numbers elsewhere, without the data and the user's code, and nothing executed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

import burnish.artifact as artifact
from burnish.data.category import CategoryBlock
from burnish.data.datablock import DataBlock
from burnish.data.dataloaders import DataLoaders
from burnish.data.notes import captured_notes
from burnish.data.split import RandomSplitter
from burnish.errors import ModelFileError, NotTrainableError
from burnish.evaluate.classification import F1Score
from burnish.evaluate.functions import accuracy
from burnish.evaluate.losses import FocalLossFlat
from burnish.train.export import BUILDERS, load_learner
from burnish.train.learner import Learner
from burnish.vision.blocks import ImageBlock
from burnish.vision.learner import vision_learner
from burnish.vision.transforms import Resize


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    for name, colour in {"red": (200, 30, 30), "blue": (20, 40, 190)}.items():
        for i in range(8):
            Image.new("RGB", (40 + i, 36), tuple(c + 3 * i for c in colour)).save(root / f"{name}_{i}.png")
    return root


def photos_of(folder: Path, **options) -> DataLoaders:
    label = lambda file: file.name.split("_")[0]  # noqa: E731  (a notebook's lambda: it must not be needed later)
    options = {"item_tfms": Resize(32)} | options
    block = DataBlock(
        (ImageBlock(), CategoryBlock()),
        get_items=lambda p: sorted(p.glob("*.png")),
        get_y=label,
        splitter=RandomSplitter(seed=1),
        **options,
    )
    return block.dataloaders(folder, bs=4, device="cpu", num_workers=0)


@pytest.fixture(scope="module")
def learn(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Learner:
    made = vision_learner(
        photos_of(folder),
        "mobilenetv3_small_050",
        pretrained=False,
        metrics=[accuracy, F1Score(average="macro")],
        path=tmp_path_factory.mktemp("out"),
        seed=3,
        lin_ftrs=[16],
    )
    with captured_notes(), made.no_logging():
        made.fit_one_cycle(1)
    return made


@pytest.fixture(scope="module")
def file(learn: Learner) -> Path:
    return learn.export()


FRESH = """
import json, sys
from burnish.train.export import load_learner
learn = load_learner(sys.argv[1])
got = learn.predict(sys.argv[2:])
print(json.dumps({"labels": [p.label for p in got], "probs": [p.probs.tolist() for p in got], "vocab": learn.dls.vocab}))
"""


def test_a_fresh_process_without_the_users_code_gives_the_same_numbers(learn: Learner, file: Path, folder: Path) -> None:
    files = [str(folder / "red_1.png"), str(folder / "blue_2.png")]
    run = subprocess.run([sys.executable, "-c", FRESH, str(file), *files], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    got, here = json.loads(run.stdout), learn.predict(files)
    assert got["vocab"] == ["blue", "red"] and got["labels"] == [p.label for p in here]
    assert torch.allclose(torch.tensor(got["probs"]), torch.stack([p.probs for p in here]), atol=1e-6)


def test_export_says_where_it_wrote(learn: Learner, file: Path) -> None:
    assert file == learn.path / "model.burnish" and file.exists()
    parameters = sum(t.nbytes for t in learn.model.state_dict().values())
    assert file.stat().st_size < 1.05 * parameters + 50_000


def test_every_path_of_prediction_agrees(learn: Learner, file: Path, folder: Path) -> None:
    loaded, path = load_learner(file), folder / "red_3.png"
    expected = learn.predict(path).probs
    for item in (path, str(path), path.read_bytes(), Image.open(path)):
        assert torch.allclose(loaded.predict(item).probs, expected, atol=1e-6)


def test_what_is_known_about_the_run_travels_along(learn: Learner, file: Path) -> None:
    record = load_learner(file).record
    assert record["seed"] == 3 and record["data_seed"] == learn.dls.seed and record["epochs"] == 1
    assert set(record["history"][0]) >= {"epoch", "train_loss", "valid_loss", "accuracy"}
    assert record["data"] == {"train": 13, "valid": 3}
    assert sum(n for by_class in record["classes"].values() for n in by_class.values()) == 16
    assert {r["metric"] for r in record["results"]} >= {"accuracy"}
    assert "torch" in record["versions"]


def test_the_card_says_what_it_predicts_how_well_and_its_limits(file: Path) -> None:
    card = load_learner(file).card
    assert "blue, red" in card and "13 samples for train" in card and "| red |" in card
    assert "- seed: 3" in card and "- seed of the data: " in card
    assert "accuracy" in card and "95 % interval" in card and "baseline" in card
    assert "Few training samples" in card and "It always answers one of its labels" in card


def test_metrics_and_loss_come_back(file: Path) -> None:
    loaded = load_learner(file)
    assert [m.name for m in loaded.metrics] == ["accuracy", "f1_score_macro"]
    assert type(loaded.loss_func) is nn.CrossEntropyLoss


def test_a_loaded_model_says_how_to_train_it_on(file: Path, folder: Path) -> None:
    loaded = load_learner(file)
    with pytest.raises(NotTrainableError, match=r"learn\.dls ="):
        loaded.fit(1)
    loaded.dls = photos_of(folder)
    with captured_notes(), loaded.no_logging():
        assert len(loaded.fit(1)) == 1


def test_a_loaded_model_can_be_exported_again(file: Path, folder: Path, tmp_path: Path) -> None:
    loaded = load_learner(file)
    again = load_learner(loaded.export(tmp_path / "again.burnish"))
    assert again.record == loaded.record and again.card == loaded.card
    path = folder / "red_0.png"
    assert torch.equal(again.predict(path).probs, loaded.predict(path).probs)


def test_loading_leaves_the_users_generators_alone(file: Path) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    load_learner(file)
    assert torch.equal(torch.get_rng_state(), before)


def test_an_old_name_works_and_is_remarked_upon(learn: Learner, folder: Path, tmp_path: Path) -> None:
    with captured_notes() as notes:
        path = learn.export(tmp_path / "export.pkl")
    assert "safetensors" in notes[0] and "export.pkl" in notes[0]
    assert load_learner(path).dls.vocab == ["blue", "red"]


# -- what burnish can't write down --------------------------------------------------------------------------------


def test_a_plain_function_needed_for_prediction_is_refused(folder: Path, tmp_path: Path) -> None:
    made = vision_learner(
        photos_of(folder, item_tfms=[Resize(32), lambda image: image.rotate(90)]), "mobilenetv3_small_050", pretrained=False
    )
    with pytest.raises(TypeError, match=r"plain function.*no code is stored"):
        made.export(tmp_path / "m.burnish")
    assert not (tmp_path / "m.burnish").exists()


class Net(nn.Module):
    def __init__(self, n_out: int = 2, wide: int = 4) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, wide, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(wide, n_out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


@pytest.fixture(scope="module")
def own(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Learner, Path]:
    made = Learner(
        photos_of(folder), Net(), path=tmp_path_factory.mktemp("own"), metrics=lambda out, target: (out.argmax(1) == target).float().mean()
    )
    return made, made.export()


def test_a_model_of_ones_own_is_passed_on_loading(own: tuple[Learner, Path], folder: Path) -> None:
    made, path = own
    with pytest.raises(ModelFileError, match=r"your own code built.*model=MyModel\(\)"):
        load_learner(path)
    with captured_notes() as notes:
        loaded = load_learner(path, model=Net())
    assert torch.allclose(loaded.predict(folder / "red_1.png").probs, made.predict(folder / "red_1.png").probs, atol=1e-6)
    assert "<lambda>" in notes[0] and loaded.metrics == []


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (Net(wide=5), r"of other shapes: layers\.0\.weight \[4, 3, 3, 3\] in the file"),
        (nn.Linear(2, 2), "missing in the file: weight, bias; only in the file"),
    ],
)
def test_a_model_that_does_not_fit_is_refused(own: tuple[Learner, Path], model: nn.Module, words: str) -> None:
    with pytest.raises(ModelFileError, match=words):
        load_learner(own[1], model=model)


def test_a_changed_architecture_is_noticed_when_it_is_exported(folder: Path, tmp_path: Path) -> None:
    made = vision_learner(photos_of(folder), "mobilenetv3_small_050", pretrained=False, lin_ftrs=[16])
    made.model[1].append(nn.Softmax(1))
    with captured_notes() as notes:
        path = made.export(tmp_path / "m.burnish")
    assert any("changed after burnish built it" in n for n in notes)
    with pytest.raises(ModelFileError, match="model="):
        load_learner(path)
    assert load_learner(path, model=made.model).predict(folder / "red_1.png").label in ("red", "blue")


class OwnLoss(nn.Module):
    def forward(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(output, target)


class OwnDecodingLoss(OwnLoss):
    def activation(self, output: torch.Tensor) -> torch.Tensor:
        return (output / 10).softmax(1)


def test_losses_of_burnish_keep_their_arguments(folder: Path, tmp_path: Path) -> None:
    loss = FocalLossFlat(gamma=1.5, weight=torch.tensor([1.0, 3.0]))
    loaded = load_learner(Learner(photos_of(folder), Net(), loss).export(tmp_path / "m"), model=Net())
    assert loaded.loss_func.gamma == 1.5 and loaded.loss_func.weight.tolist() == [1.0, 3.0]


def test_a_loss_of_ones_own_is_needed_only_if_it_decides_the_predictions(folder: Path, tmp_path: Path) -> None:
    plain = Learner(photos_of(folder), Net(), OwnLoss()).export(tmp_path / "plain")
    assert type(load_learner(plain, model=Net()).loss_func) is nn.CrossEntropyLoss
    decoding = Learner(photos_of(folder), Net(), OwnDecodingLoss()).export(tmp_path / "decoding")
    with pytest.raises(ModelFileError, match=r"OwnDecodingLoss.*loss_func=OwnDecodingLoss\(\)"):
        load_learner(decoding, model=Net())
    assert isinstance(load_learner(decoding, model=Net(), loss_func=OwnDecodingLoss()).loss_func, OwnDecodingLoss)


# -- files that were tampered with ----------------------------------------------------------------------------------


def rewritten(file: Path, target: Path, change) -> Path:
    """The model file with a changed description and a right checksum: what an attacker could make."""
    stored = artifact.read(file)
    config = json.loads(json.dumps(stored.config))
    change(config)
    return artifact.write(target, config, stored.tensors)


TAMPERED = {
    "builder": (lambda c: c["model"].update(builder="os"), "needs the builder 'os'"),
    "loss module": (lambda c: c.update(loss={"module": "os", "type": "system", "args": {}}), "none that burnish knows"),
    "loss name": (lambda c: c.update(loss={"module": "torch.nn.modules.loss", "type": "warnings", "args": {}}), "none that burnish knows"),
    "loss function": (lambda c: c.update(loss={"function": "__import__"}), "none that burnish knows"),
    "block": (lambda c: c["data"]["blocks"][0].update(type="Popen", module="subprocess"), "class 'Popen'"),
    "block argument": (lambda c: c["data"]["blocks"][0].update(run="evil"), "has no parameter"),
    "missing part": (lambda c: c.pop("data"), "can't be used"),
    "wrong type": (lambda c: c.update(model=[1]), "can't be used"),
    "kind": (lambda c: c.update(kind="training state"), "learn.load"),
    "vocab": (lambda c: c["model"].update(n_out=7), "don't fit the model"),
    "weights from an address": (
        lambda c: c["model"].update(arch_args={"pretrained": True, "pretrained_cfg": {"url": "http://127.0.0.1:9/weights.pth"}}),
        "can't be made: arch_args=.*'pretrained'.*would have the architecture fetch or open something",
    ),
    "weights from a file": (lambda c: c["model"].update(arch_args={"checkpoint_path": "/etc/hostname"}), "checkpoint_path.*fetch or open"),
    "weights in an overlay": (
        lambda c: c["model"].update(arch_args={"pretrained_cfg_overlay": {"file": "/etc/hostname"}}),
        "pretrained_cfg_overlay.*fetch or open",
    ),
    "an address deeper down": (
        lambda c: c["model"].update(arch_args={"block": [{"source": "http://127.0.0.1:9"}]}),
        "source.*fetch or open",
    ),
    "arguments of another kind": (lambda c: c["model"].update(arch_args=["pretrained"]), "expected a dict"),
    "architecture": (lambda c: c["model"].update(arch="hf-hub:somebody/model"), "Unknown architecture"),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_tampered_descriptions_are_refused(file: Path, tmp_path: Path, name: str) -> None:
    change, words = TAMPERED[name]
    with pytest.raises(ModelFileError, match=words):
        load_learner(rewritten(file, tmp_path / "m", change))


def test_a_user_class_must_be_defined_before_loading(file: Path, tmp_path: Path) -> None:
    path = rewritten(file, tmp_path / "m", lambda c: c["data"]["item_tfms"].append({"type": "user:Sharpen", "module": "__main__"}))
    with pytest.raises(ModelFileError, match=r"Sharpen.*Import or define it"):
        load_learner(path)


@pytest.mark.parametrize("name", BUILDERS)
def test_every_builder_has_what_loading_needs(name: str) -> None:
    import importlib

    place = importlib.import_module(BUILDERS[name].module)
    assert (
        callable(place.build)
        and callable(getattr(place, BUILDERS[name].splitter))
        and issubclass(getattr(place, BUILDERS[name].learner), Learner)
    )


@pytest.mark.parametrize("precision", ["fp32", "bf16", "auto"])
def test_a_loaded_model_predicts_in_the_precision_it_was_trained_with(
    precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = torch.randn(24, 6, generator=torch.Generator().manual_seed(0)), torch.arange(24) % 3
    with captured_notes():  # bf16 may be slow here
        made = Learner(
            DataLoaders([(x, y)], [(x, y)], device="cpu"), nn.Linear(6, 3), nn.CrossEntropyLoss(), precision=precision, path=tmp_path
        )
        file = made.export("m.burnish")
        before = made.predict(x[0]).probs
        if precision != "auto":  # as on a processor of the other kind
            monkeypatch.setattr("burnish.train.precision.cpu_has_bf16", lambda: precision == "fp32")
        loaded = load_learner(file, model=nn.Linear(6, 3))
    assert loaded.precision.setting == precision
    torch.testing.assert_close(loaded.predict(x[0]).probs, before, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("stored", "expected"),
    [({"setting": "bf16", "device": "cuda"}, "auto"), ({"setting": "fp32", "device": "cuda"}, "fp32"), (None, "auto")],
)
def test_a_short_format_of_another_kind_of_device_is_chosen_anew(stored: dict | None, expected: str, tmp_path: Path) -> None:
    assert load_learner(with_precision(stored, tmp_path), model=nn.Linear(4, 3)).precision.setting == expected


def test_a_precision_of_a_newer_version_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"precision='fp8'; this burnish has auto, fp32, bf16, fp16. Update"):
        load_learner(with_precision({"setting": "fp8", "device": "cpu"}, tmp_path), model=nn.Linear(4, 3))


def with_precision(stored: dict | None, folder: Path) -> Path:
    """A model file whose description says this of the precision it was trained with."""
    x, y = torch.randn(6, 4), torch.arange(6) % 3
    made = Learner(DataLoaders([(x, y)], [(x, y)], device="cpu"), nn.Linear(4, 3), nn.CrossEntropyLoss(), path=folder)
    file = made.export("m.burnish")
    content = artifact.read(file)
    config = {k: v for k, v in content.config.items() if k != "precision"} | ({} if stored is None else {"precision": stored})
    artifact.write(file, config, content.tensors)
    return file
