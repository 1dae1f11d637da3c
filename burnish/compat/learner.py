"""`Learner` with fastai's order of arguments, for every learner that burnish makes."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import nn

from burnish.compat.callback import Callback, TrainEvalCallback
from burnish.compat.defaults import defaults
from burnish.errors import ModelFileError
from burnish.evaluate.learner import Learner as OwnLearner
from burnish.train.attached import HasCallbacks, as_callbacks
from burnish.train.callback import Callback as OwnCallback
from burnish.train.optim import Adam
from burnish.train.progress import Progress
from burnish.train.recorder import Recorder

__all__ = ["Learner", "load_learner", "load_model", "save_model"]


class _OfAll(type(OwnLearner)):
    """Every learner counts as one of it, and what is added to it (``@patch``) is added to all."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, OwnLearner)

    def __setattr__(cls, name: str, value: Any) -> None:
        if cls.__name__ == "Learner" and not name.startswith("__"):
            setattr(OwnLearner, name, value)
        else:
            super().__setattr__(name, value)


class Learner(OwnLearner, metaclass=_OfAll):
    """Trains a model on data: burnish's learner, called as fastai's is.

    Differences: ``splitter`` None is one group; ``default_cbs`` False leaves the display out; ``lr`` None is ``defaults.lr``.
    """

    def __init__(
        self, dls: Any, model: Any, loss_func: Any = None, opt_func: Any = Adam, lr: Any = None, splitter: Any = None, cbs: Any = None, metrics: Any = None, path: Any = None,
        model_dir: str | os.PathLike[str] = "models", wd: float | None = None, wd_bn_bias: bool = False, train_bn: bool = True, moms: Any = (0.95, 0.85, 0.95), default_cbs: bool = True,
        seed: int | None = None, precision: str = "auto", device: Any = None,
    ) -> None:  # fmt: skip
        lr = defaults.lr if lr is None else lr
        super().__init__(
            dls, model, loss_func, metrics=metrics, opt_func=opt_func, lr=lr, wd=wd, cbs=[*_standing(), *as_callbacks(cbs)], splitter=splitter, path="." if path is None else path, seed=seed, precision=precision,
            device=device, model_dir=model_dir, wd_bn_bias=wd_bn_bias, train_bn=train_bn, moms=moms,
        )  # fmt: skip
        if not default_cbs:
            self.remove_cb(Progress)


def _standing() -> list[Any]:
    """The callbacks of ``defaults.callbacks`` that aren't burnish's own anyway."""
    return [
        cb
        for cb in as_callbacks(defaults.callbacks)
        if not (isinstance(cb, type) and issubclass(cb, (TrainEvalCallback, Recorder, Progress)))
    ]


_add_cb = HasCallbacks.add_cb


def add_cb(self: Any, cb: Any) -> Any:
    """Adds a callback; one written for fastai belongs to the learner from here on."""
    cb = cb() if isinstance(cb, type) and issubclass(cb, OwnCallback) else cb
    if isinstance(cb, Callback):
        cb.learn = self
    done = _add_cb(self, cb)
    if isinstance(cb, Callback):
        cb.after_create()
    return done


def load_learner(
    fname: str | os.PathLike[str], cpu: bool = True, pickle_module: Any = None, *, model: nn.Module | None = None, loss_func: Any = None
) -> Any:
    """A learner out of a file that ``learn.export`` wrote. fastai's own pickled files aren't opened: opening one runs whatever code is in it.

    Args:
        cpu: on the CPU, else on the default device. pickle_module: has no effect, nothing is unpickled.
        model, loss_func: as burnish's own takes them, where they are the user's.
    """
    from burnish import artifact
    from burnish.compat import losses
    from burnish.train import export

    _ = pickle_module
    device = "cpu" if cpu or not torch.cuda.is_available() else "cuda"
    try:
        return export.load_learner(fname, device, model, loss_func)
    except ModelFileError:
        custom = artifact.read(fname).config.get("loss", {}).get("custom") if loss_func is None else None
        if custom != losses.DiceLoss.__name__:  # the one that can be made without arguments
            raise
        return export.load_learner(fname, device, model, losses.DiceLoss())


def save_model(file: Any, model: nn.Module, opt: Any = None, with_opt: bool = True, pickle_protocol: int = 2) -> None:
    """Writes a model's weights (and the optimizer's state) with ``torch.save``."""
    _ = pickle_protocol
    state = model.state_dict()
    torch.save({"model": state, "opt": opt.state_dict()} if opt is not None and with_opt else state, file)


def load_model(file: Any, model: nn.Module, opt: Any = None, with_opt: bool = True, device: Any = None, strict: bool = True) -> None:
    """Puts back what `save_model` wrote; nothing in the file is executed."""
    state = torch.load(file, map_location=device or "cpu", weights_only=True)
    both = set(state) == {"model", "opt"}
    model.load_state_dict(state["model"] if both else state, strict=strict)
    if both and with_opt and opt is not None:
        opt.load_state_dict(state["opt"])
