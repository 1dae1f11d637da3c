"""Which modules there are in the place of fastai's and its sisters', and which names each has."""

from __future__ import annotations

from burnish.compat import names

ROOTS = ("fastai", "fastcore", "fasttransform", "fastdownload", "fastprogress", "fastbook")

# Module -> the groups of names (of names.py) that a star import of it brings. A name asked for by itself is found in all of them.
_GROUPS: dict[str, tuple[str, ...]] = {
    "fastai": (),
    **dict.fromkeys(("fastai.basics", "fastai.torch_basics", "fastai.data.all"), ("everyday", "core", "basics")),
    **dict.fromkeys(("fastai.imports", "fastai.torch_imports"), ("everyday",)),
    **dict.fromkeys(
        (
            "fastai.data",
            "fastai.data.block",
            "fastai.data.core",
            "fastai.data.external",
            "fastai.data.load",
            "fastai.data.transforms",
            "fastai.data.download_checks",
        ),
        ("data",),
    ),
    **dict.fromkeys(
        (
            "fastai.learner",
            "fastai.optimizer",
            "fastai.losses",
            "fastai.metrics",
            "fastai.interpret",
            "fastai.torch_core",
        ),
        ("basics",),
    ),
    "fastai.distributed": ("basics", "absent"),
    **dict.fromkeys([f"fastai.callback.{n}" for n in ("azureml", "captum", "comet", "neptune", "tensorboard", "wandb")], ("absent",)),
    "fastai.layers": ("layers",),
    "fastai.test_utils": ("test_utils",),
    **dict.fromkeys(
        [
            "fastai.callback",
            *(
                f"fastai.callback.{n}"
                for n in (
                    "all",
                    "channelslast",
                    "core",
                    "data",
                    "fp16",
                    "hook",
                    "mixup",
                    "preds",
                    "progress",
                    "rnn",
                    "schedule",
                    "tracker",
                    "training",
                )
            ),
        ],
        ("callbacks",),
    ),
    "fastai.vision": (),
    "fastai.vision.all": ("everyday", "core", "basics", "vision"),
    **dict.fromkeys(
        [f"fastai.vision.{n}" for n in ("augment", "core", "data", "learner", "models.unet", "models.xresnet", "utils")], ("vision",)
    ),
    "fastai.vision.models": ("architectures",),
    "fastai.vision.models.all": ("architectures",),
    "fastai.vision.widgets": ("widgets",),
    "fastai.tabular": (),
    "fastai.tabular.all": ("everyday", "core", "basics", "tabular"),
    **dict.fromkeys([f"fastai.tabular.{n}" for n in ("core", "data", "learner", "model")], ("tabular",)),
    "fastai.collab": ("collab",),
    **dict.fromkeys(
        ["fastai.text", *(f"fastai.text.{n}" for n in ("core", "data", "learner", "models", "models.awdlstm", "models.core"))], ("text",)
    ),
    "fastai.text.all": ("everyday", "core", "basics", "text"),
    **dict.fromkeys(
        [
            "fastcore",
            *(
                f"fastcore.{n}"
                for n in (
                    "basics",
                    "dispatch",
                    "foundation",
                    "imports",
                    "meta",
                    "net",
                    "parallel",
                    "script",
                    "style",
                    "test",
                    "transform",
                    "utils",
                    "xtras",
                    "xdg",
                )
            ),
        ],
        ("core",),
    ),
    "fastcore.all": ("core",),
    "fasttransform": ("transforms",),
    "fasttransform.transform": ("transforms",),
    "fastdownload": ("download",),
    "fastdownload.core": ("download",),
    "fastbook": ("everyday", "core", "basics", "widgets", "book"),
    "fastprogress": ("progress",),
    "fastprogress.fastprogress": ("progress",),
}


def is_module(name: str) -> bool:
    """Whether there is something in the place of this module."""
    return name in _GROUPS or any(known.startswith(f"{name}.") for known in _GROUPS)


def names_of(module: str) -> list[str]:
    """What a star import of it brings."""
    return sorted({name for group in _GROUPS.get(module, ()) for name in names.group(group)})
