"""A learner's evaluating and keeping, called with fastai's arguments; what burnish's own callers give goes through as it is."""

from __future__ import annotations

import copy
import inspect
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from burnish.compat.table_rows import row_of
from burnish.compat.tfmd_loaders import TfmdDL
from burnish.compat.titled import Category, MultiCategory
from burnish.data.notes import note
from burnish.errors import ModelFileError, SettingError
from burnish.tabular.learner import TabularLearner
from burnish.train import lr_find as finder
from burnish.train import predict as own
from burnish.train import recipes, storage
from burnish.train.attached import as_callbacks
from burnish.train.learner import Learner
from burnish.train.optim import has_momentum
from burnish.train.predict import Predictions
from burnish.train.readout import unreduced


# -- predicting -----------------------------------------------------------------------------------------------------------
def get_preds(
    self: Learner, ds_idx: Any = 1, dl: Any = None, with_input: bool = False, with_decoded: bool = False, with_loss: bool = False,
    act: Callable[[Any], Any] | None = None, inner: bool = False, reorder: bool = True, cbs: Any = None, save_preds: Any = None,
    save_targs: Any = None, with_preds: bool = True, with_targs: bool = True, concat_dim: int = 0, pickle_protocol: int = 2, save_to: Any = None,
) -> Predictions:  # fmt: skip
    """Predictions for a split or a loader: ([inputs], preds, targets, [decoded], [losses]), in the order of the data.

    Args:
        ds_idx, dl, with_input, with_decoded, with_loss, act, cbs, save_to: as burnish's own ``get_preds`` takes them.
        with_preds, with_targs: False has None in their place.
        inner, reorder, pickle_protocol: have no effect: it may be called within a fit, gives the order of the data, and pickles nothing.

    Raises:
        SettingError: `save_preds`, `save_targs` or another `concat_dim` is asked for; the message says what does that here.
    """
    _ = inner, reorder, pickle_protocol
    if save_preds is not None or save_targs is not None:
        raise SettingError(
            "get_preds(save_preds=, save_targs=) isn't there: get_preds(save_to=folder) writes predictions and targets batch by batch to preds.npy and targs.npy, and gives them mapped from there."
        )
    if concat_dim != 0:
        raise SettingError(f"get_preds(concat_dim={concat_dim!r}): predictions are put together sample by sample, along axis 0.")
    found = own.get_preds(self, ds_idx, dl, with_input, with_decoded, with_loss, act, as_callbacks(cbs), save_to)
    targs = found.targs
    if isinstance(found.preds, torch.Tensor) and isinstance(targs, torch.Tensor) and targs.shape == (*found.preds.shape, 1):
        targs = targs[..., 0]  # else what compares them would set each beside all
    if with_preds and with_targs and targs is found.targs:
        return found
    asked = {"inputs": with_input, "decoded": with_decoded, "losses": with_loss}
    given = {name: getattr(found, name) for name, wanted in asked.items() if wanted}
    return Predictions.of(found.preds if with_preds else None, targs if with_targs else None, found.rows, **given)


def predict(self: Learner, item: Any, rm_type_tfms: Any = None, with_input: bool = False) -> Any:
    """The prediction for one item: (label, index, probabilities), with the input before them where that is asked for. Of a table's row, as in fastai,
    (the row with what is predicted, the decision, probabilities).

    Args:
        rm_type_tfms: has no effect: the item is opened as the data's are, whatever it is.
    """
    _ = rm_type_tfms
    found = _worded(self, own.predict(self, item))
    if isinstance(self, TabularLearner):
        return found if isinstance(found, list) else found._replace(label=row_of(self, item, found.label))
    if not with_input or isinstance(found, list):
        return found
    if isinstance(self.dls.train, TfmdDL):
        loader = self.dls.test_dl([item])
        given = tuple(loader.decode_batch(loader.one_batch(), max_n=1)[0])[: self.dls.n_inp]
        return (given[0] if len(given) == 1 else given, *found)
    blocks = self.dls.input_blocks
    opened = tuple(block.open(part) for block, part in zip(blocks, (item,) if len(blocks) == 1 else item, strict=True))
    return (opened[0] if len(opened) == 1 else opened, *found)


def _worded(learn: Learner, found: Any) -> Any:
    """A prediction whose label of a class is a text, as fastai's is."""
    if isinstance(found, list):
        return [_worded(learn, one) for one in found]
    blocks = learn.dls.target_blocks
    if len(blocks) == 1 and blocks[0].kind == "category":
        return found._replace(label=Category(str(found.label)))
    return found._replace(label=MultiCategory(found.label)) if len(blocks) == 1 and blocks[0].kind == "multicategory" else found


def tta(
    self: Learner, ds_idx: Any = 1, dl: Any = None, n: int = 4, item_tfms: Any = None, batch_tfms: Any = None, beta: float | None = 0.25, use_max: bool = False,
) -> Predictions:  # fmt: skip
    """Predictions averaged over `n` augmented passes and a plain one.

    Args:
        item_tfms, batch_tfms: what augments, in place of the data's own; one alone leaves the other as it is.
    """
    loader = own.loader_of(self, ds_idx, dl)
    if isinstance(loader, TfmdDL):
        return _tta_of_pipelines(self, loader, n, item_tfms, batch_tfms, beta, use_max)
    if item_tfms is None and batch_tfms is None:
        return own.tta(self, ds_idx, dl, n, beta, use_max)
    before, made = self.dls, copy.copy(self.dls)
    for name, given in (("item_tfms", item_tfms), ("batch_tfms", batch_tfms)):
        if given is not None:
            vars(made)[name] = list(given) if isinstance(given, (list, tuple)) else [given]
    vars(self)["_dls"] = made
    try:
        return own.tta(self, ds_idx, dl, n, beta, use_max)
    finally:
        vars(self)["_dls"] = before


def _tta_of_pipelines(
    learn: Learner, dl: TfmdDL, n: int, item_tfms: Any, batch_tfms: Any, beta: float | None, use_max: bool
) -> Predictions:
    """The same for loaders made of pipelines: their own transforms act as in training, or those that are given do."""
    plain = own.get_preds(learn, dl=dl)
    changed = {} if item_tfms is None else {"after_item": item_tfms}
    changed |= {} if batch_tfms is None else {"after_batch": batch_tfms}
    drawn = dl.new(dl.dataset._new(dl.dataset.items, split_idx=0), shuffle=False, drop_last=False, **changed)
    drawn.train_as_is = True
    passes = [own.get_preds(learn, dl=drawn).preds for _ in range(n)]
    total = torch.stack(passes)
    if use_max:
        return Predictions.of(torch.maximum(total.max(0).values, plain.preds), plain.targs, plain.rows)
    average = total.mean(0)
    if beta is None:
        return own._apart(average, plain)
    return Predictions.of(torch.lerp(average, plain.preds, beta), plain.targs, plain.rows)


# -- training -------------------------------------------------------------------------------------------------------------
class _Group(dict[str, Any]):
    """A parameter group that is also gone through as the list of its parameters, which functions written for fastai expect."""

    def __iter__(self) -> Iterator[Any]:
        return iter(self["params"])


def create_opt(self: Learner) -> Any:
    """Makes ``learn.opt`` anew."""
    own = self.opt_func
    vars(self)["_opt_func"] = lambda groups, lr: own([_Group(g) for g in groups], lr=lr) if callable(own) else own
    try:
        return _create_opt(self)
    finally:
        vars(self)["_opt_func"] = own


_create_opt = Learner.create_opt


def freeze_to(self: Learner, n: int) -> None:
    """Freezes the layer groups before number `n`; the optimizer is made anew at once, for who looks at it."""
    _freeze_to(self, n)
    opt: Any = self.create_opt()
    opt.frozen_idx = n if n >= 0 else len(self.groups) + n


_freeze_to = Learner.freeze_to


def fit_one_cycle(
    self: Learner, n_epoch: int, lr_max: Any = None, div: float = 25.0, div_final: float = 1e5, pct_start: float = 0.25, wd: float | None = None, moms: Any = None, cbs: Any = None,
    reset_opt: bool = False, start_epoch: int = 0, resume: bool = False,
) -> Any:  # fmt: skip
    """One cycle; `moms` are left out, and said to be, where the optimizer has no momentum."""
    if moms is not None and not has_momentum(self.create_opt() if self.opt is None or reset_opt else self.opt):
        note(f"moms={moms}: {type(self.opt).__name__} was made without momentum, so there is none to schedule.")
        moms = None
    return recipes.fit_one_cycle(
        self, n_epoch, lr_max, div=div, div_final=div_final, pct_start=pct_start, wd=wd, moms=moms, cbs=cbs, reset_opt=reset_opt, start_epoch=start_epoch, resume=resume,
    )  # fmt: skip


def fine_tune(
    self: Learner, epochs: int, base_lr: float = 2e-3, freeze_epochs: int = 1, lr_mult: float | None = None, pct_start: float = 0.3, div: float = 5.0,
    div_final: float = 1e5, wd: float | None = None, moms: Any = None, cbs: Any = None, reset_opt: bool = False, unfreeze_pct: float = 0.5, resume: bool = False,
) -> Any:  # fmt: skip
    """The head alone for `freeze_epochs`, then everything, gently: burnish's recipe, whose rates are its own.

    Args:
        lr_mult: None is burnish's own. reset_opt: forget the optimizer's state first.
    """
    if reset_opt:
        self.opt = None
    more = {} if lr_mult is None else {"lr_mult": lr_mult}
    return recipes.fine_tune(
        self, epochs, base_lr, freeze_epochs, pct_start=pct_start, div=div, div_final=div_final, unfreeze_pct=unfreeze_pct, wd=wd, moms=moms, cbs=cbs,
        resume=resume, **more,
    )  # fmt: skip


def lr_find(
    self: Learner,
    start_lr: float = 1e-7,
    end_lr: float = 10,
    num_it: int = 100,
    stop_div: bool = True,
    show_plot: bool = True,
    suggest_funcs: Any = None,
) -> Any:
    """The learning-rate finder; suggestion functions may take (rates, losses, num_it) and give (rate, (x, y)) as fastai's do."""
    several = [suggest_funcs] if callable(suggest_funcs) else list(suggest_funcs or [])
    return finder.find_lr(self, start_lr, end_lr, num_it, stop_div, show_plot, [_suggestion(f, num_it) for f in several] or None)


def _suggestion(function: Any, num_it: int) -> Any:
    """A function of (rates, losses) that gives a rate, of one that takes the number of steps too."""
    if not callable(function) or function in (finder.valley, finder.slide, finder.minimum, finder.steep):
        return function
    try:
        inspect.signature(function).bind(None, None, None)
    except (TypeError, ValueError):
        return function

    def suggestion(lrs: Any, losses: Any) -> float:
        found: Any = function(torch.tensor(lrs), torch.tensor(losses), num_it)
        return float(found[0] if isinstance(found, tuple) else found)

    suggestion.__name__ = getattr(getattr(function, "func", function), "__name__", "suggestion")
    return suggestion


# -- keeping --------------------------------------------------------------------------------------------------------------
def save(self: Learner, file: Any = "model", with_opt: bool = True, pickle_protocol: int = 2) -> Path:
    """Writes weights and optimizer into ``path/model_dir``; gives the file's path (it ends in .safetensors, nothing is pickled)."""
    _ = pickle_protocol
    return storage.save(self, file, with_opt)


def load(
    self: Learner, file: Any = "model", device: Any = None, with_opt: bool = True, strict: bool = True, weights_only: bool = True
) -> Learner:
    """Takes back what ``save`` wrote; where there is none of that name but a .pth file, that (only weights are read, nothing in it is executed).

    Args:
        device, weights_only: have no effect: weights go where the model is, and nothing is executed.
    """
    _ = weights_only
    if isinstance(device, bool):  # by position, as burnish's own takes it
        with_opt = device
    there, old = storage.place(self, file), _pth(self, file)
    if there.exists() or not old.exists():
        return storage.load(self, file, with_opt, strict)
    try:
        state = torch.load(old, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises several kinds, among them pickle's own
        raise ModelFileError(
            f"{str(old)!r} can't be opened without executing code from it ({error}). Save the weights alone: torch.save(model.state_dict(), file)."
        ) from error
    both = isinstance(state, dict) and set(state) == {"model", "opt"}
    storage._load_weights(self.model, state["model"] if both else state, old, strict)
    self.forget_results()
    if both and with_opt:
        note(f"The weights of {str(old)!r} are loaded; its optimizer's state is fastai's and isn't: the optimizer starts afresh.")
    return self


def _pth(learn: Learner, file: str | os.PathLike[str]) -> Path:
    path = Path(learn.path) / learn.model_dir / file
    return path if path.suffix == ".pth" else path.with_name(f"{path.name}.pth")


# -- number formats and devices -------------------------------------------------------------------------------------------
def to_fp16(
    self: Learner,
    init_scale: float = 65536.0,
    growth_factor: float = 2.0,
    backoff_factor: float = 0.5,
    growth_interval: int = 2000,
    enabled: bool = True,
) -> Learner:
    """Mixed precision in fp16, with the loss scaled as PyTorch's GradScaler does; on a CPU, where fp16 is slower, what is fast there."""
    if self.device.type == "cpu":
        return self._to("auto")
    self._to("fp16")
    self.precision._scaler = torch.amp.GradScaler(self.device.type, init_scale, growth_factor, backoff_factor, growth_interval, enabled)
    return self


def to_bf16(self: Learner) -> Learner:
    """Mixed precision in bf16; on a CPU where that is fast."""
    return self._to("auto" if self.device.type == "cpu" else "bf16")


def to_channelslast(self: Learner, use_amp: bool = True, amp_mode: Any = "fp16", **scaler: Any) -> Learner:
    """Mixed precision; channels-last is what burnish has from the beginning."""
    if not use_amp:
        return self
    return to_bf16(self) if str(getattr(amp_mode, "value", amp_mode)) == "bf16" else to_fp16(self, **scaler)


def to_contiguous(self: Learner, to_fp32: bool = False) -> Learner:
    """The model's weights in PyTorch's usual layout, with `to_fp32` also without mixed precision."""
    self.model.to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue]
    return self.to_fp32() if to_fp32 else self


def to_parallel(self: Learner, device_ids: Any = None) -> Learner:
    """Stays on the learner's device, and says so where there are several."""
    _ = device_ids
    if torch.cuda.device_count() > 1:
        note(
            f"burnish trains on one device, {self.device}: the others aren't used. Run several trainings beside each other, one a device (device='cuda:1')."
        )
    return self


def detach_parallel(self: Learner) -> Learner:
    """Nothing: see `to_parallel`."""
    return self


@contextmanager
def parallel_ctx(self: Learner, device_ids: Any = None) -> Iterator[Learner]:
    """Trains as without it: see `to_parallel`."""
    yield to_parallel(self, device_ids)


@contextmanager
def distrib_ctx(self: Learner, sync_bn: bool = True, in_notebook: bool = False, mixed_precision: str | None = None) -> Iterator[Learner]:
    """Trains as without it, in the one process that there is.

    Raises:
        SettingError: several processes were launched: each would train a model of its own.
    """
    _ = sync_bn, in_notebook, mixed_precision
    n = int(os.environ.get("WORLD_SIZE", "1") or 1)
    if n > 1:
        raise SettingError(
            f"{n} processes were launched, and burnish trains in one: each of them would train a model of its own. Launch the script with python alone."
        )
    yield to_parallel(self)


def to_distributed(self: Learner, sync_bn: bool = True, mixed_precision: str | None = None) -> Learner:
    """As `distrib_ctx`, without an end."""
    with distrib_ctx(self, sync_bn, mixed_precision=mixed_precision):
        return self


# -- blocks of code -------------------------------------------------------------------------------------------------------
@contextmanager
def no_mbar(self: Learner) -> Iterator[Learner]:
    """Shows rows but no bar inside the block."""
    with self.no_bar():
        yield self


@contextmanager
def loss_not_reduced(self: Learner) -> Iterator[Learner]:
    """The loss gives one value a sample inside the block.

    Raises:
        SettingError: the loss has no ``reduction``.
    """
    single = unreduced(self.loss_func)
    if single is None:
        raise SettingError(f"The loss {self.loss_func!r} has no `reduction`, so it can't be had without averaging.")
    before, self.loss_func = self.loss_func, single
    try:
        yield self
    finally:
        self.loss_func = before


@contextmanager
def validation_context(self: Learner, cbs: Any = None, inner: bool = False) -> Iterator[Learner]:
    """Shows nothing, and has `cbs`, inside the block."""
    _ = inner
    with self.no_logging(), self.added_cbs(cbs):
        yield self


def to_detach(self: Learner, b: Any, cpu: bool = True, gather: bool = True) -> Any:
    """Tensors of a batch without their graph."""
    from burnish.compat.torch_tools import to_detach as detached

    return detached(b, cpu, gather)


to_non_native_fp16, to_non_native_fp32, detach_distributed = to_fp16, Learner.to_fp32, detach_parallel
