"""The face for notebooks: what a star import brings, what ``import burnish as bn`` brings, and what neither loads."""

from __future__ import annotations

import subprocess
import sys

import pytest

import burnish
import burnish.collab.all as collab
import burnish.tabular.all as tabular
import burnish.vision.all as vision

FACES = {"burnish.vision.all": vision, "burnish.tabular.all": tabular, "burnish.collab.all": collab}

SLOW = ["timm", "pandas", "sklearn", "scipy", "matplotlib.pyplot", "rich", "IPython", "gradio", "onnx", "transformers"]

# What people write in a notebook without importing it, by room; each was missing from somebody's first five lines once.
EXPECTED = [
    "Path",
    "np",
    "pd",
    "plt",
    "torch",
    "nn",
    "F",
    "partial",
    "PIL",
    "Image",
    "re",
    "os",
    "json",
    "shutil",
    "random",
    "DataBlock",
    "DataLoaders",
    "ImageDataLoaders",
    "ImageBlock",
    "CategoryBlock",
    "L",
    "get_files",
    "get_image_files",
    "get_text_files",
    "parent_label",
    "using_attr",
    "FileGetter",
    "ImageGetter",
    "RegexLabeller",
    "ColReader",
    "ItemGetter",
    "AttrGetter",
    "RandomSplitter",
    "TrainTestSplitter",
    "GrandparentSplitter",
    "IndexSplitter",
    "EndSplitter",
    "FuncSplitter",
    "MaskSplitter",
    "FileSplitter",
    "ColSplitter",
    "RandomSubsetSplitter",
    "GroupSplitter",
    "TimeSplitter",
    "Resize",
    "RandomResizedCrop",
    "CropPad",
    "RandomCrop",
    "FlipItem",
    "DihedralItem",
    "RatioResize",
    "ResizeMethod",
    "PadMode",
    "aug_transforms",
    "Normalize",
    "RandomErasing",
    "Flip",
    "Rotate",
    "Zoom",
    "Warp",
    "Brightness",
    "Contrast",
    "Saturation",
    "Hue",
    "Learner",
    "vision_learner",
    "cnn_learner",
    "load_learner",
    "Callback",
    "Metric",
    "AverageMetric",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet152",
    "convnext_tiny",
    "EarlyStopping",
    "EarlyStoppingCallback",
    "SaveModel",
    "SaveModelCallback",
    "ReduceLROnPlateau",
    "GradientAccumulation",
    "GradientClip",
    "GradualUnfreeze",
    "MixUp",
    "CutMix",
    "EMA",
    "CSVLog",
    "CSVLogger",
    "TerminateOnNaN",
    "BatchLimit",
    "Checkpoint",
    "OutOfMemoryRetry",
    "Adam",
    "AdamW",
    "SGD",
    "valley",
    "slide",
    "minimum",
    "steep",
    "CrossEntropyLossFlat",
    "LabelSmoothingCrossEntropyFlat",
    "FocalLossFlat",
    "BCEWithLogitsLossFlat",
    "MSELossFlat",
    "L1LossFlat",
    "accuracy",
    "error_rate",
    "top_k_accuracy",
    "F1Score",
    "Precision",
    "Recall",
    "RocAuc",
    "APScoreBinary",
    "CohenKappa",
    "MatthewsCorrCoef",
    "Perplexity",
    "R2Score",
    "mae",
    "rmse",
    "ClassificationInterpretation",
    "Interpretation",
    "PILImage",
    "create_head",
    "create_body",
    "explain",
    "sample_photos",
]


def run(code: str) -> str:
    """What a fresh Python prints. (Here everything is loaded already.)"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("name", sorted({*vision.__all__, *EXPECTED}))
def test_every_name_is_listed_and_there(name: str) -> None:
    assert name in vision.__all__
    assert getattr(vision, name) is getattr(burnish, name)


@pytest.mark.parametrize("face", [tabular, collab], ids=lambda f: f.__name__)
def test_the_names_of_tables_and_ratings_are_there(face) -> None:
    for name in set(face.__all__) - {"Normalize"}:  # of that name there is one for pictures too
        assert getattr(face, name) is getattr(burnish, name)


@pytest.mark.parametrize("face", FACES.values(), ids=FACES)
def test_nothing_stray_comes_in_and_nothing_twice(face) -> None:
    there = {name for name in vars(face) if not name.startswith("_")} - {"annotations", "LazyModule"}
    assert there == set(face.__all__)
    assert sorted(face.__all__) == sorted(set(face.__all__))


@pytest.mark.parametrize("face", FACES)
def test_a_star_import_brings_the_list_and_loads_nothing_slow(face: str) -> None:
    said = run(
        "import sys; before = set(globals())\n"
        f"from {face} import *\n"
        f"print(len(set(globals()) - before - {{'before'}}), [m for m in {SLOW} if m in sys.modules])"
    )
    assert said == f"{len(set(FACES[face].__all__) - {'sys'})} []"


def test_importing_the_package_alone_loads_no_torch_and_its_names_come_at_first_use() -> None:
    said = run("import sys, burnish as bn; print('torch' in sys.modules, bn.__version__); print(bn.DataBlock.__name__, bn.resnet34)")
    assert said.split() == ["False", burnish.__version__, "DataBlock", "resnet34"]


def test_plt_is_matplotlibs_at_first_use() -> None:
    assert run("from burnish.vision.all import plt\nimport matplotlib.pyplot as real\nprint(plt.figure is real.figure)") == "True"


def test_a_wrong_name_names_the_nearest() -> None:
    with pytest.raises(AttributeError, match=r"burnish has no 'vision_lerner'.*vision_learner"):
        _ = burnish.vision_lerner


def test_the_face_completes_names() -> None:
    assert {"DataBlock", "vision_learner", "__version__"} <= set(dir(burnish))


def test_the_star_leaves_torchs_loader_alone() -> None:
    names: dict[str, object] = {}
    exec("from torch.utils.data import DataLoader as before, DataLoader\nfrom burnish.vision.all import *", names)
    assert names["DataLoader"] is names["before"]
