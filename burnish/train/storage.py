"""Training state on disk: weights and optimizer as safetensors and JSON. No pickle is written, and none is read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor, nn

from burnish import artifact
from burnish.data.notes import note
from burnish.errors import ModelFileError, SettingError, listed
from burnish.train.callbacks.checkpoint import load_optimizer
from burnish.train.callbacks.pack import pack, unpack
from burnish.train.freezing import plain

if TYPE_CHECKING:
    from burnish.train.learner import Learner

KIND, SUFFIX = "training state", ".safetensors"


def save(learn: Learner, file: str | os.PathLike[str] = "model", with_opt: bool = True) -> Path:
    """Writes the model's weights, and the optimizer's state if there is one and `with_opt`.

    Args:
        file: a name in ``learn.path / learn.model_dir`` (".safetensors" is added), or an absolute path.

    Returns:
        the file's path. It is written whole or not at all: an older file of the name survives a full disk.
    """
    path = place(learn, file)
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, Tensor] = {}
    state = {"model": dict(plain(learn.model).state_dict()), "opt": learn.opt.state_dict() if with_opt and learn.opt is not None else None}
    artifact.write(path, {"kind": KIND, "state": pack(state, tensors)}, tensors)
    return path


def load(learn: Learner, file: str | os.PathLike[str] = "model", with_opt: bool = True, strict: bool = True) -> Learner:
    """Takes back what :func:`save` wrote; returns the learner.

    Args:
        strict: every weight must be there and fit. False takes those that do, and says which don't.

    Raises:
        FileNotFoundError: there is no such file; the message lists those there are.
        ModelFileError: the file isn't one of these.
        SettingError: it is of another model.
    """
    path = place(learn, file)
    if not path.exists():
        there = sorted(p.stem for p in path.parent.glob(f"*{SUFFIX}")) if path.parent.is_dir() else []
        raise FileNotFoundError(
            f"There is no saved model {str(path)!r}. In that folder there are: {listed(there) or 'none'}. learn.save(name) writes one."
        )
    stored = artifact.read(path)
    if stored.config.get("kind") != KIND:
        raise ModelFileError(
            f"{str(path)!r} holds {stored.config.get('kind', 'something else')}, not weights saved by learn.save(). Open an exported model with load_learner(path)."
        )
    state = unpack(stored.config["state"], stored.tensors)
    _load_weights(plain(learn.model), state["model"], path, strict)
    learn.forget_results()
    if with_opt and state["opt"] is not None:
        _load_optimizer(learn, state["opt"], path)
    return learn


def place(learn: Learner, file: str | os.PathLike[str]) -> Path:
    """Where a saved model of this name is."""
    path = Path(learn.path) / learn.model_dir / file
    return path if path.suffix == SUFFIX else path.with_name(path.name + SUFFIX)


def _load_weights(model: nn.Module, weights: dict[str, Tensor], path: Path, strict: bool) -> None:
    own = model.state_dict()
    missing = [n for n in own if n not in weights]
    unknown = [n for n in weights if n not in own]
    unlike = [n for n in own if n in weights and own[n].shape != weights[n].shape]
    faults = [
        f"{len(names)} {what} ({listed(names, 3)})"
        for names, what in ((missing, "missing in the file"), (unknown, "not in this model"), (unlike, "of another shape"))
        if names
    ]
    if faults and strict:
        raise SettingError(
            f"The weights in {str(path)!r} are of another model: {'; '.join(faults)}. Make the same model first, or load what fits with strict=False."
        )
    if faults:
        note(f"Loaded {len(own) - len(missing) - len(unlike)} of {len(own)} weights from {str(path)!r}: {'; '.join(faults)}.")
    model.load_state_dict({n: w for n, w in weights.items() if n not in unlike}, strict=False)


def _load_optimizer(learn: Learner, state: dict[str, object], path: Path) -> None:
    opt = learn.opt if learn.opt is not None else learn.create_opt()
    try:
        load_optimizer(opt, state)
    except (ValueError, KeyError, RuntimeError) as error:
        learn.opt = None
        note(f"The weights of {str(path)!r} are loaded, its optimizer state isn't ({error}); the optimizer starts afresh.")
