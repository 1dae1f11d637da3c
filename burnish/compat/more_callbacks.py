"""fastai's callbacks that burnish has in another form, or not at all: looking, collecting, predicting within a fit, recurrent models, formats."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Any

import torch
from torch import Tensor, nn

from burnish.compat.callback import Callback
from burnish.compat.helpers import is_listy
from burnish.compat.layers import flatten_model, has_params
from burnish.compat.torch_tools import to_detach
from burnish.data.collections import L
from burnish.data.randomness import derive
from burnish.errors import SettingError
from burnish.train.callback import CancelEpochException
from burnish.train.hooks import Hook, Hooks

__all__ = [
    "AMPMode", "BnFreeze", "ChannelsLast", "CollectDataCallback", "FetchPredsCallback", "GatherPredsCallback", "HookCallback", "MCDropoutCallback",
    "MixedPrecision", "ModelResetter", "ModelToHalf", "NonNativeMixedPrecision", "RNNCallback", "RNNRegularizer", "SkipToEpoch", "rnn_cbs", "set_bn_eval",
]  # fmt: skip


# -- looking ------------------------------------------------------------------------------------------------------------
class HookCallback(Callback):
    """Base of callbacks with a method ``hook(self, m, i, o)``, which is called with each of the modules, its input and its output, in training and in validation;
    what it gives is in ``self.hooks.stored``. ``hook=f`` makes one of a function.

    Args:
        modules: the modules; None is every one that has parameters and no modules in it. every: only at every so many training batches.
        remove_end: take the hooks off when the fit ends. is_forward, detach, cpu: as `Hook` has them. include_paramless: also modules without parameters.
    """

    def __init__(
        self, modules: Iterable[nn.Module] | None = None, every: int | None = None, remove_end: bool = True, is_forward: bool = True, detach: bool = True,
        cpu: bool = True, include_paramless: bool = False, hook: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.modules, self.every, self.remove_end, self.is_forward = modules, every, remove_end, is_forward
        self.detach, self.cpu, self.include_paramless = detach, cpu, include_paramless
        self.hooks: Any = Hooks([], lambda *_: None)
        if hook is not None:
            self.hook = hook

    def hook(self, m: nn.Module, i: Any, o: Any) -> Any:
        """What is kept of a module's output."""
        raise SettingError(f"{type(self).__name__} has no method hook(self, m, i, o), which says what is kept of a module's output.")

    def before_fit(self) -> None:
        if self.modules is None:
            self.modules = [m for m in flatten_model(self.model) if self.include_paramless or has_params(m)]
        if self.every is None:
            self._register()

    def before_batch(self) -> None:
        if self.every is not None and self.training and self.train_iter % self.every == 0:
            self._register()

    def after_batch(self) -> None:
        if self.every is not None:
            self._remove()

    def after_fit(self) -> None:
        if self.remove_end:
            self._remove()

    def _register(self) -> None:
        self.hooks = Hooks(self.modules or [], self.hook, self.is_forward, self.detach, self.cpu)

    def _remove(self) -> None:
        if isinstance(self.hooks, (Hook, Hooks)):
            self.hooks.remove()


class CollectDataCallback(Callback):
    """Keeps inputs, targets, outputs and loss of every batch, in ``data``, on the CPU."""

    def before_fit(self) -> None:
        self.data: L[Any] = L()

    def after_batch(self) -> None:
        self.data.append(to_detach((self.xb, self.yb, self.pred, self.loss)))


class GatherPredsCallback(Callback):
    """Gathers what a pass without training gives, on the CPU: ``preds``, ``targets`` (None without labels), and ``inputs``, ``losses`` where they are asked for.

    Args:
        save_preds, save_targs: not to be had: ``learn.get_preds(save_to=folder)`` is for what doesn't fit memory.
        with_preds, with_targs: False leaves them out. pickle_protocol: has no effect.
    """

    def __init__(
        self, with_input: bool = False, with_loss: bool = False, save_preds: Any = None, save_targs: Any = None, with_preds: bool = True, with_targs: bool = True,
        concat_dim: int = 0, pickle_protocol: int = 2,
    ) -> None:  # fmt: skip
        super().__init__()
        if save_preds is not None or save_targs is not None:
            raise SettingError("GatherPredsCallback(save_preds=, save_targs=) isn't there: use learn.get_preds(save_to=folder).")
        _ = pickle_protocol
        self.with_input, self.with_loss, self.with_preds, self.with_targs, self.concat_dim = (
            with_input,
            with_loss,
            with_preds,
            with_targs,
            concat_dim,
        )

    def before_validate(self) -> None:
        self._parts: dict[str, list[Any]] = {name: [] for name in ("inputs", "preds", "targets", "losses")}

    def after_batch(self) -> None:
        if self.training or self.learn.pred is None:
            return
        wanted = {
            "inputs": self.with_input,
            "preds": self.with_preds,
            "targets": self.with_targs and bool(self.learn.yb),
            "losses": self.with_loss,
        }
        found = {"inputs": self.learn.xb, "preds": self.learn.pred, "targets": self.learn.yb, "losses": self.learn.loss}
        for name in (n for n, asked in wanted.items() if asked):
            value = to_detach(found[name])
            self._parts[name].append(value[0] if isinstance(value, tuple) and len(value) == 1 else value)

    def after_validate(self) -> None:
        for name, parts in self._parts.items():
            setattr(self, name, _joined(parts, self.concat_dim) if parts else None)

    def all_tensors(self) -> list[Any]:
        """[inputs], predictions, targets, [losses]."""
        out = [self.inputs] if self.with_input else []
        out += [self.preds if self.with_preds else None, self.targets if self.with_targs else None]
        return out + ([self.losses] if self.with_loss else [])


def _joined(parts: list[Any], dim: int) -> Any:
    if isinstance(parts[0], (tuple, list)):
        return tuple(_joined([p[i] for p in parts], dim) for i in range(len(parts[0])))
    if not isinstance(parts[0], Tensor):
        return parts
    return torch.cat([p.reshape(1) if p.ndim == 0 else p for p in parts], dim=dim)


class FetchPredsCallback(Callback):
    """Predicts at the end of every epoch; what is found is in ``preds``, as ``learn.get_preds`` gives it.

    Args:
        ds_idx, dl, with_input, with_decoded, reorder: of ``get_preds``. cbs: callbacks of these passes.
    """

    def __init__(
        self, ds_idx: int = 1, dl: Any = None, with_input: bool = False, with_decoded: bool = False, cbs: Any = None, reorder: bool = True
    ) -> None:
        super().__init__()
        _ = reorder
        self.ds_idx, self.dl, self.with_input, self.with_decoded, self.cbs = ds_idx, dl, with_input, with_decoded, cbs

    def after_validate(self) -> None:
        with self.learn.removed_cbs(self):
            self.preds = self.learn.get_preds(
                self.ds_idx, self.dl, with_input=self.with_input, with_decoded=self.with_decoded, cbs=self.cbs
            )


class SkipToEpoch(Callback):
    """Leaves the epochs before one out; a fit's ``start_epoch`` does."""

    order = 70

    def __init__(self, epoch: int) -> None:
        super().__init__()
        self._skip_to = epoch

    def before_epoch(self) -> None:
        if self.epoch < self._skip_to:
            raise CancelEpochException


# -- modes ----------------------------------------------------------------------------------------------------------------
class MCDropoutCallback(Callback):
    """Leaves dropout on while predicting: ``learn.get_preds(cbs=MCDropoutCallback())``, several times, tells how sure a model is (Gal and Ghahramani 2016)."""

    def before_validate(self) -> None:
        number = self.learn.__dict__["_dropout_passes"] = self.learn.__dict__.get("_dropout_passes", 0) + 1
        torch.manual_seed(derive(self.learn.seed, "dropout", number))  # in a block with the learner's own generators: passes differ
        for m in self.model.modules():
            if "dropout" in type(m).__name__.lower():
                m.train()

    def after_validate(self) -> None:
        for m in self.model.modules():
            if "dropout" in type(m).__name__.lower():
                m.eval()


def set_bn_eval(m: nn.Module, use_eval: bool = True) -> None:
    """Batch norms of a model that aren't trained keep their statistics (or, with False, move them again)."""
    for layer in m.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.weight is not None and not layer.weight.requires_grad:
            layer.train(not use_eval)


class BnFreeze(Callback):
    """Batch norms that are frozen keep their statistics while the rest is trained."""

    def before_train(self) -> None:
        set_bn_eval(self.model)


# -- formats --------------------------------------------------------------------------------------------------------------
class AMPMode(Enum):
    """The formats of mixed precision."""

    FP16 = "fp16"
    BF16 = "bf16"


class MixedPrecision(Callback):
    """Has the learner train in mixed precision from here on, as ``learn.to_fp16()`` and ``learn.to_bf16()`` do.

    Args:
        amp_mode: "fp16" or "bf16". The rest: of PyTorch's GradScaler.
    """

    order = 10

    def __init__(
        self, amp_mode: Any = "fp16", init_scale: float = 65536.0, growth_factor: float = 2.0, backoff_factor: float = 0.5, growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        self.mode = AMPMode(amp_mode)
        self.scaler = {
            "init_scale": init_scale, "growth_factor": growth_factor, "backoff_factor": backoff_factor, "growth_interval": growth_interval, "enabled": enabled,
        }  # fmt: skip

    def after_create(self) -> None:
        if self.mode is AMPMode.BF16:
            self.learn.to_bf16()
        else:
            self.learn.to_fp16(**self.scaler)


class NonNativeMixedPrecision(MixedPrecision):
    """`MixedPrecision`: PyTorch's own."""


class ModelToHalf(Callback):
    """Stands for what mixed precision does itself."""

    order = -50


class ChannelsLast(Callback):
    """Stands for what burnish does from the beginning: convolutions in the layout that is fast."""

    order = -1


# -- recurrent models -----------------------------------------------------------------------------------------------------
class ModelResetter(Callback):
    """Has a model forget what it remembers (``model.reset()``) before each pass and when the fit ends."""

    def before_train(self) -> None:
        self.model.reset()

    def before_validate(self) -> None:
        self.model.reset()

    def after_fit(self) -> None:
        self.model.reset()


class RNNCallback(Callback):
    """Takes the first of what a model gives, (output, raw outputs, outputs after dropout), as its output, and keeps the last of each of the others for
    `RNNRegularizer`."""

    def after_pred(self) -> None:
        self.learn.pred, self.raw_out, self.out = [o[-1] if is_listy(o) else o for o in self.pred]


class RNNRegularizer(Callback):
    """Adds to the loss `alpha` times the mean square of the activations, and `beta` times that of their changes from step to step (Merity et al. 2017)."""

    order = 1

    def __init__(self, alpha: float = 0.0, beta: float = 0.0) -> None:
        super().__init__()
        self.alpha, self.beta = alpha, beta

    def after_loss(self) -> None:
        if not self.training:
            return
        if self.alpha:
            self.learn.loss = self.learn.loss + self.alpha * self.learn.rnn.out.float().pow(2).mean()
        raw = self.learn.rnn.raw_out
        if self.beta and raw.shape[1] > 1:
            self.learn.loss = self.learn.loss + self.beta * (raw[:, 1:] - raw[:, :-1]).float().pow(2).mean()


def rnn_cbs(alpha: float = 0.0, beta: float = 0.0) -> list[Callback]:
    """The callbacks of a recurrent model."""
    both = [RNNRegularizer(alpha, beta)] if alpha or beta else []
    return [ModelResetter(), RNNCallback(), *both]
