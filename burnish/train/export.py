"""A trained learner as one safe file, and back: what was learned, how to read new data, and what is known about it."""

from __future__ import annotations

import importlib
import inspect
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn

import burnish.artifact as artifact
from burnish.data.dataloaders import DataLoaders
from burnish.data.notes import note
from burnish.data.randomness import own_globals
from burnish.errors import ModelFileError, hinting, listed
from burnish.train.freezing import plain
from burnish.train.metric import AverageMetric, Metric
from burnish.train.precision import SETTINGS
from burnish.train.record import model_card, run_record

if TYPE_CHECKING:
    from burnish.train.learner import Learner


class Builder(NamedTuple):
    """Who rebuilds an architecture: a module of burnish with ``build(model_config) -> nn.Module``, and the names in it of
    the learner that goes with it and of what splits it into layer groups."""

    module: str
    learner: str
    splitter: str


BUILDERS = {  # a file can name these, nothing else
    "vision": Builder("burnish.vision.learner", "VisionLearner", "layer_groups"),
    "unet": Builder("burnish.vision.segmentation", "UnetLearner", "unet_groups"),
    "detection": Builder("burnish.vision.detection", "DetectionLearner", "unet_groups"),
    "tabular": Builder("burnish.tabular.learner", "TabularLearner", "trainable_params"),
    "collab": Builder("burnish.collab.learner", "CollabLearner", "trainable_params"),
}
LOADERS = {  # kind of data -> module and name of its DataLoaders
    "tabular": ("burnish.tabular.dataloaders", "TabularDataLoaders"),
    "collab": ("burnish.collab.dataloaders", "CollabDataLoaders"),
}
_LOSS_MODULES = (
    "torch.nn.modules.loss",
    "burnish.evaluate.losses",
    "burnish.evaluate.losses_masks",
    "burnish.evaluate.points",
    "burnish.evaluate.boxes",
    "burnish.data.number",
)
_LOSS_FUNCTIONS = (
    "cross_entropy",
    "nll_loss",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "mse_loss",
    "l1_loss",
    "smooth_l1_loss",
    "huber_loss",
    "kl_div",
)
_METRICS = "burnish.evaluate.metrics"


def export(learn: Learner, path: str | os.PathLike[str] = "model.burnish") -> Path:
    """Writes the model, its vocabulary, transforms and record to one file, which ``load_learner`` opens anywhere.

    Args:
        path: relative to ``learn.path``. Any name will do; the content is safetensors and JSON whatever it is called.

    Returns:
        The file's path.

    Raises:
        TypeError: a transform that prediction needs is a plain function, which no file can hold.
        OSError: the file can't be written; an older file of that name is as it was.
    """
    target = Path(getattr(learn, "path", ".")) / path
    if target.suffix in (".pkl", ".pth", ".pt"):
        note(
            f"{target.name}: the name says pickle, the content is burnish's own safe format (safetensors and JSON); load_learner opens it."
        )
    model = plain(learn.model)
    record = run_record(learn)
    config = {
        "kind": "learner",
        "data": learn.dls.config(),
        "model": _model_config(learn, model),
        "loss": _describe_loss(learn.loss_func),
        "metrics": [_describe_metric(m) for m in learn.metrics],
        "precision": {"setting": learn.precision.setting, "device": learn.device.type},
        "record": record,
        "card": learn.card or model_card(record, learn.dls.blocks, learn.dls.n_inp),
    }
    artifact.write(target, config, model.state_dict())
    return target


@hinting
def load_learner(
    path: str | os.PathLike[str], device: str | torch.device = "cpu", model: nn.Module | None = None, loss_func: Any = None
) -> Learner:
    """The learner of an exported model, ready to predict: ``load_learner("model.burnish").predict("a.jpg")``.

    It needs neither the training data nor the functions that labelled it, and executes nothing from the file. It has
    ``dls.vocab``, ``record`` (the run's history, counts and results) and ``card`` (the same in words). To train it
    further, assign data: ``learn.dls = dls``.

    Args:
        device: where it runs; with the precision it was trained with, if that was said ("auto" chooses for the device).
        model: the module to load the weights into, for a model that burnish didn't build.
        loss_func: the loss, when it is one of your own that also turns outputs into predictions.

    Raises:
        FileNotFoundError, ModelFileError: see ``burnish.artifact.read``.
    """
    stored = artifact.read(path)
    config = stored.config
    if config.get("kind") != "learner":
        raise ModelFileError(
            f"{str(path)!r} holds training state ({config.get('kind', 'of an unknown kind')}), not an exported model. Load it with learn.load(), or export a model with learn.export()."
        )
    try:
        dls = _loaders_class(config["data"], path).from_config(config["data"], device=device)
        loss = loss_func if loss_func is not None else _revive_loss(config["loss"], path)
        module = _rebuild(config["model"], path) if model is None else model
        learner_class, splitter = _learner_class(config["model"] if model is None else None)
        metrics = _revive_metrics(config["metrics"])
        record, card = config["record"], config["card"]
        precision = _precision_on(torch.device(device), config.get("precision"), path)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ModelFileError(
            f"The description in {str(path)!r} can't be used ({type(error).__name__}: {error}): the file was altered, or written by a newer burnish."
        ) from error
    _load_weights(module, stored.tensors, path)
    learn = learner_class(
        dls, module.to(device), loss_func=loss, metrics=metrics, seed=record.get("seed"), splitter=splitter, precision=precision
    )
    learn.model.eval()
    learn.pretrained, learn.record, learn.card = True, record, card
    if model is None:
        learn.model_config, learn.arch = config["model"], config["model"].get("arch")
    return learn


# -- the architecture -------------------------------------------------------------------------------------------------


def _model_config(learn: Learner, model: nn.Module) -> dict[str, Any] | None:
    """The architecture's description if it rebuilds this very architecture, else None (with a note)."""
    config = learn.model_config
    if config is None:
        return None
    rebuilt = _build(config)
    if _structure(rebuilt) != _structure(model):
        note(
            "The model was changed after burnish built it, so the file can't describe its architecture. To load it, pass the module: load_learner(path, model=...)."
        )
        return None
    return config


def _structure(model: nn.Module) -> tuple[list[tuple[str, str]], dict[str, torch.Size]]:
    return [(n, type(m).__name__) for n, m in model.named_modules()], {k: v.shape for k, v in model.state_dict().items()}


def _build(config: dict[str, Any]) -> nn.Module:
    place = importlib.import_module(BUILDERS[config["builder"]].module)
    try:
        with own_globals(0):  # initialising weights draws from torch's global generator
            return place.build(config)
    except ModelFileError:
        raise
    except ValueError as error:
        raise ModelFileError(f"The architecture that the model file describes can't be made: {error}") from error


def _rebuild(config: dict[str, Any] | None, path: Any) -> nn.Module:
    if config is None:
        raise ModelFileError(
            f"{str(path)!r} holds the weights of a model that your own code built, and no code is stored in a model file. Build the module and pass it: load_learner({str(path)!r}, model=MyModel())."
        )
    if config.get("builder") not in BUILDERS:
        raise ModelFileError(
            f"{str(path)!r} needs the builder {config.get('builder')!r}; this burnish has {listed(BUILDERS)}. Update: pip install -U burnish."
        )
    return _build(config)


def _loaders_class(config: dict[str, Any], path: Any) -> type[DataLoaders]:
    """The class of the DataLoaders that a description is of."""
    if "kind" not in config:
        return DataLoaders
    if config["kind"] not in LOADERS:
        raise ModelFileError(
            f"{str(path)!r} needs data of the kind {config['kind']!r}; this burnish has {listed(LOADERS)}. Update: pip install -U burnish."
        )
    module, name = LOADERS[config["kind"]]
    return getattr(importlib.import_module(module), name)


def _learner_class(config: dict[str, Any] | None) -> tuple[type[Learner], Any]:
    """The learner that goes with an architecture, and what splits it into layer groups."""
    if config is None:
        from burnish.train.learner import Learner

        return Learner, None
    builder = BUILDERS[config["builder"]]
    place = importlib.import_module(builder.module)
    return getattr(place, builder.learner), getattr(place, builder.splitter)


def _load_weights(module: nn.Module, tensors: dict[str, torch.Tensor], path: Any) -> None:
    have = module.state_dict()
    missing, extra = [k for k in have if k not in tensors], [k for k in tensors if k not in have]
    other = [
        f"{k} {list(tensors[k].shape)} in the file, {list(have[k].shape)} in the model"
        for k in have
        if k in tensors and have[k].shape != tensors[k].shape
    ]
    if missing or extra or other:
        said = [
            f"{what}: {listed(names, 3)}"
            for what, names in (("missing in the file", missing), ("only in the file", extra), ("of other shapes", other))
            if names
        ]
        raise ModelFileError(
            f"The weights in {str(path)!r} don't fit the model ({'; '.join(said)}). Pass the same architecture that was trained: load_learner(path, model=...)."
        )
    module.load_state_dict(tensors)


def _precision_on(device: torch.device, stored: dict[str, str] | None, path: Any) -> str:
    """The precision to predict with on `device`: the one it was trained with, so that the numbers are the same. A short format
    asked for on another kind of device says nothing of this one: there it is chosen anew. (Files of 0.1.0 don't tell.)"""
    setting = "auto" if stored is None else stored["setting"]
    if setting not in SETTINGS:
        raise ModelFileError(
            f"{str(path)!r} was trained with precision={setting!r}; this burnish has {listed(SETTINGS)}. Update: pip install -U burnish."
        )
    return setting if stored is None or setting == "fp32" or stored["device"] == device.type else "auto"


# -- loss and metrics, by name ----------------------------------------------------------------------------------------


def _plain_args(thing: Any) -> dict[str, Any] | None:
    """The constructor's arguments of a loss or metric, from its attributes; None when some can't be written."""
    args = {}
    for name in inspect.signature(type(thing).__init__).parameters:
        if name in ("self", "size_average", "reduce"):  # the last two: torch's deprecated ones
            continue
        value = getattr(thing, name, thing)
        value = value.tolist() if isinstance(value, torch.Tensor) else value
        if value is not None and not isinstance(value, (bool, int, float, str, list)):
            return None
        args[name] = value
    return args


def _describe_loss(loss: Any) -> dict[str, Any]:
    """A loss of torch or burnish by name and arguments; of another one only that it was there."""
    kind = type(loss)
    if inspect.isfunction(loss) and loss.__name__ in _LOSS_FUNCTIONS and loss is getattr(nn.functional, loss.__name__):
        return {"function": loss.__name__}
    if kind.__module__ in _LOSS_MODULES and isinstance(getattr(loss, "losses", None), nn.ModuleList):  # a sum of losses
        parts = [_describe_loss(part) for part in loss.losses]
        if not any("custom" in part for part in parts):
            return {"module": kind.__module__, "type": kind.__name__, "losses": parts, "args": {"weights": loss.weights}}
    args = _plain_args(loss) if kind.__module__ in _LOSS_MODULES else None
    if args is not None:
        return {"module": kind.__module__, "type": kind.__name__, "args": args}
    return {"custom": getattr(loss, "__qualname__", kind.__qualname__), "decodes": hasattr(loss, "activation")}


def _revive_loss(config: dict[str, Any], path: Any) -> Any:
    if "custom" in config:
        if config["decodes"]:
            raise ModelFileError(
                f"{str(path)!r} was trained with your own loss {config['custom']!r}, which also turns outputs into predictions; no code is stored. Pass it: load_learner({str(path)!r}, loss_func={config['custom']}())."
            )
        return None
    if config.get("function") in _LOSS_FUNCTIONS:
        return getattr(nn.functional, config["function"])
    kind = getattr(importlib.import_module(config["module"]), config["type"], None) if config.get("module") in _LOSS_MODULES else None
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        raise ModelFileError(f"{str(path)!r} names {config} as its loss, which is none that burnish knows: the file was altered.")
    parts = [_revive_loss(part, path) for part in config.get("losses", ())]
    return kind(*parts, **{k: torch.tensor(v) if isinstance(v, list) else v for k, v in config["args"].items()})


def _describe_metric(metric: Metric) -> dict[str, Any]:
    """A metric of burnish by name and arguments; of another one only its name."""
    said: dict[str, Any] = {"name": metric.name}
    if isinstance(metric, AverageMetric):
        function = metric.function
        own = inspect.isfunction(function) and function.__module__.startswith("burnish.evaluate.")
        return {**said, "function": function.__name__} if own else said
    args = _plain_args(metric) if type(metric).__module__.startswith("burnish.evaluate.") else None
    return said if args is None else {**said, "type": type(metric).__name__, "args": args}


def _revive_metrics(described: list[dict[str, Any]]) -> list[Metric]:
    """The metrics that are burnish's own. Others only matter for validating again, and are named in a note."""
    place = importlib.import_module(_METRICS)
    known = {name: getattr(place, name) for name in place.__all__}
    found: list[Metric] = []
    unknown, lacking = [], []
    for said in described:
        made = known.get(said.get("function", said.get("type")))
        if made is None or not (inspect.isfunction(made) if "function" in said else isinstance(made, type) and issubclass(made, Metric)):
            unknown.append(said["name"])
        else:
            try:
                found.append(AverageMetric(made, said["name"]) if "function" in said else made(**said["args"]))
            except ModuleNotFoundError as error:  # a prediction doesn't need it
                lacking.append(f"{said['name']!r}: {error}")
    if unknown:
        note(
            f"The metrics {listed(unknown)} are not burnish's own, so the loaded model is without them; set learn.metrics again if you validate it."
        )
    if lacking:
        note(f"The loaded model is without {len(lacking)} of its metrics, which only matter for validating it again. {lacking[0]}")
    return found
