"""Learner: data, model, loss and optimizer together, and everything one does with them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
from torch import Tensor, nn

from burnish.data.collections import L
from burnish.data.randomness import derive, fresh_seed, own_globals
from burnish.data.whole import whole_number
from burnish.errors import NotTrainableError, SettingError, hinting
from burnish.train import predict as prediction
from burnish.train import recipes, showing, storage
from burnish.train.attached import Callbacks, HasCallbacks, as_callbacks
from burnish.train.callback import Callback
from burnish.train.freezing import Splitter, is_gentle, layer_groups, set_frozen, steady_norms
from burnish.train.guards import FirstBatchCheck, as_loss, check_classes, check_same_targets, loss_name, tell_trained_on, training_files
from burnish.train.heap import reused_memory
from burnish.train.loop import Events, count_batches, fit_loop, valid_pass
from burnish.train.lr_find import find_lr
from burnish.train.metric import Metric, as_metrics
from burnish.train.optim import (
    AdamW,
    LearningRate,
    OptFunc,
    build_optimizer,
    defaults_of,
    lr_per_group,
    param_groups,
    restore_defaults,
    set_hyper,
)
from burnish.train.precision import Precision, to_channels_last
from burnish.train.progress import Progress
from burnish.train.recorder import Recorder
from burnish.train.schedule import ParamScheduler, Schedule
from burnish.train.scores import Scores
from burnish.train.summary import summarise
from burnish.train.turns import Turns, in_turn

if TYPE_CHECKING:
    from burnish.data.dataloaders import DataLoaders
    from burnish.train.results import Results

Split = int | str


class Learner(HasCallbacks):
    """Trains a model on data, evaluates it and predicts with it.

    Args:
        dls: the data; ``DataLoaders(train_dl, valid_dl)`` makes it of two plain PyTorch loaders.
        model: any module. It is moved to `device`; with 2-D convolutions its weights are laid out channels-last.
        loss_func: called as ``loss_func(output, *targets)``; None takes the target block's own.
        metrics: functions of (output, target) that give a batch's mean, or Metrics; one or a list.
        opt_func: a function of (parameter groups, lr=...) that makes a PyTorch optimizer: a class of torch.optim, a
            partial, or one of burnish.train.optim.
        lr: the learning rate where a fit is given none.
        wd: weight decay where a fit is given none; None leaves the optimizer's own default.
        cbs: callbacks that are always there.
        splitter: the model to its layer groups, from input to output; None is one group.
        path: where models and results are written (never beside the data).
        seed: fixes what is random in training itself (dropout, what callbacks draw, the order of plain loaders that
            shuffle); None draws one, which ``learn.seed`` tells. Order and augmentation of burnish's own loaders follow
            ``dls.seed``, and the model's first weights are whatever they are when it is given.
        precision: "auto" (mixed precision where it is native), "fp32", "bf16" or "fp16".
        device: where to train; the data's device by default.
        model_dir: the folder below `path` for saved weights.
        wd_bn_bias: decay biases and the parameters of normalisation layers too.
        train_bn: keep training the normalisation layers of frozen groups, and move the running statistics of all. By
            default frozen means frozen, and a pretrained body that learns gently (in ``fine_tune``, or at rates up to 1e-4 in
            batches of 16, 5e-4 in batches of 64) keeps its statistics also while its weights are trained.
        moms: momentum at the start, the middle and the end of one cycle.

    Raises:
        SettingError, DataError: an argument can't work; the message says which and why.
    """

    model_config: dict[str, Any] | None = None  # from which the architecture is rebuilt, when burnish built it
    pretrained: bool | None = None  # whether the body has trained weights; None when nobody said
    arch: str | None = None  # the architecture's name, when burnish built it
    record: dict[str, Any] | None = None  # of the run that made a loaded model
    card: str | None = None  # the model card; None has export write one
    phase: str | None  # of fine_tune
    fit_args: dict[str, Any]  # what the last fit was called with, as JSON
    results: dict[str, Any]  # split -> its results with their intervals (a table), where a callback or assess worked them out
    replaced: bool  # whether weights were loaded since the last fit began: its history doesn't tell of them
    usual_precision: ClassVar[str] = "auto"  # what "auto" is for learners of this kind
    standard_cbs: ClassVar[tuple[type[Callback], ...]] = (FirstBatchCheck, Recorder, Progress)  # what every learner has
    xb: tuple[Any, ...]
    yb: tuple[Any, ...]
    pred: Any
    loss: Any  # a scalar tensor; None where a batch has none
    dl: Any
    batches: Iterable[Any]  # of the training pass: `dl`, or what is left of it where a fit is resumed in mid-epoch
    exception: BaseException | None

    @hinting
    def __init__(
        self,
        dls: DataLoaders,
        model: nn.Module,
        loss_func: Callable[..., Tensor] | None = None,
        metrics: Any = None,
        opt_func: OptFunc = AdamW,
        lr: LearningRate = 1e-3,
        wd: float | None = None,
        cbs: Callbacks = (),
        splitter: Splitter | None = None,
        path: str | os.PathLike[str] = ".",
        seed: int | None = None,
        precision: str = "auto",
        device: torch.device | str | None = None,
        model_dir: str | os.PathLike[str] = "models",
        wd_bn_bias: bool = False,
        train_bn: bool = False,
        moms: tuple[float, float, float] = (0.95, 0.85, 0.95),
    ) -> None:
        self.turns = Turns()  # fitting and evaluating, of threads that share the learner
        self.cbs = L[Callback]()
        self.events = Events(self, [])  # bound anew by every run
        self.device = torch.device(device if device is not None else dls.device)
        self._seen: set[str] = set()  # files that trained, of data that other data took the place of
        self._fitted: DataLoaders | None = None  # the data of the last fit
        self.dls = dls
        check_classes(dls)
        self.seed = fresh_seed() if seed is None else int(seed)
        self.lr, self.wd, self.splitter = lr, wd, splitter
        self.opt_func, self.wd_bn_bias = opt_func, wd_bn_bias
        self.train_bn, self.moms = train_bn, recipes.checked_moms(moms)
        self.path, self.model_dir = Path(path), Path(model_dir)
        self.precision = Precision(self.usual_precision if precision == "auto" else precision, self.device)
        self.model = model
        self.loss_func = self._default_loss() if loss_func is None else as_loss(loss_func)
        if isinstance(self.loss_func, nn.Module):
            self.loss_func.to(self.device)
        self.metrics = metrics
        self.n_fits, self.n_passes, self.fit_args, self.phase = 0, 0, {}, None
        self.reset_state()
        self.add_cbs([*(cb() for cb in self.standard_cbs), *as_callbacks(cbs)])

    def _default_loss(self) -> Callable[..., Tensor]:
        if not getattr(self.dls, "target_blocks", ()):
            raise SettingError(
                "No loss is known for this data (plain loaders say nothing about their target): pass loss_func=, e.g. loss_func=nn.CrossEntropyLoss()."
            )
        return self.dls.loss()

    def reset_state(self) -> None:
        """What callbacks find on the learner, before anything has run."""
        self.xb, self.yb, self.pred, self.loss = (), (), None, None
        self.epoch = self.n_epochs = self.batch_index = self.n_batches = self.step = 0
        self.start_epoch = self.start_batch = 0
        self.progress, self.training, self.dl, self.batches = 0.0, False, None, ()
        self.keep_gradients, self.resume, self.exception = False, False, None

    # -- parts ----------------------------------------------------------------------------------------------------
    @property
    def dls(self) -> DataLoaders:
        """The data. Other data may be assigned, to train further on; it must mean the same to the model (its classes, and
        that pictures are normalised once)."""
        return self._dls

    @dls.setter
    def dls(self, dls: DataLoaders) -> None:
        before = self.__dict__.get("_dls")
        if before is not None:
            self.check_new_data(before, dls)
            self._seen |= training_files(before) if self._fitted is before else set()
            tell_trained_on(self._seen, dls)
        if torch.device(dls.device) != self.device:
            dls.to(self.device)
        self._dls = dls

    def check_new_data(self, before: DataLoaders, dls: DataLoaders) -> None:
        """Raises DataError if `dls`, about to take the place of `before`, would mean something else to the model."""
        check_same_targets(before, dls)

    @property
    def model(self) -> nn.Module:
        """The model. Assigning another one makes its layer groups, and forgets the optimizer of the old one."""
        return self._model

    @model.setter
    def model(self, model: nn.Module) -> None:
        if not isinstance(model, nn.Module):
            raise SettingError(
                f"model is a {type(model).__name__}; expected a torch.nn.Module{', made: MyModel()' if isinstance(model, type) else ''}."
            )
        self._model = to_channels_last(model.to(self.device))
        self.groups = layer_groups(self._model, self.splitter)
        self.opt = None
        self.forget_results()

    def forget_results(self) -> None:
        """For who puts other weights in place: nothing that was measured is theirs."""
        self.results, self.replaced = {}, True

    @property
    def metrics(self) -> list[Metric]:
        """The metrics; assign a function, a Metric or a list of them at any time."""
        return self._metrics

    @metrics.setter
    def metrics(self, metrics: Any) -> None:
        blocks = getattr(self.dls, "target_blocks", ())
        self._metrics = as_metrics(metrics, blocks[0] if len(blocks) == 1 else None)

    @property
    def n_inp(self) -> int | None:
        """How many tensors of a batch are inputs; None is all but the last."""
        return getattr(self.dls, "n_inp", None)

    @property
    def has_valid(self) -> bool:
        """Whether there is a validation split."""
        return len(self.dls) > 1

    @property
    def opt(self) -> Any:
        """The optimizer that ``opt_func`` made; None until a fit needs one. Assigning None forgets it and its state."""
        return self._opt

    @opt.setter
    def opt(self, opt: None) -> None:
        if opt is not None:
            raise SettingError(
                f"learn.opt = {type(opt).__name__}(...): a fit makes the optimizer itself, for the layer groups that are to be trained, and sets its rates. "
                "Say how it is made: learn.opt_func = torch.optim.SGD, or partial(torch.optim.SGD, momentum=0.9)."
            )
        self._opt = None

    @property
    def opt_func(self) -> OptFunc:
        """How the optimizer is made. Assigning another one forgets the optimizer that was."""
        return self._opt_func

    @opt_func.setter
    def opt_func(self, opt_func: OptFunc) -> None:
        self._opt_func, self._opt = opt_func, None

    @property
    def wd_bn_bias(self) -> bool:
        """Whether biases and normalisation decay too. Assigning it forgets the optimizer that was."""
        return self._wd_bn_bias

    @wd_bn_bias.setter
    def wd_bn_bias(self, wd_bn_bias: bool) -> None:
        self._wd_bn_bias, self._opt = wd_bn_bias, None

    @property
    def splitter(self) -> Splitter | None:
        """The model to its layer groups. Assigning another one makes the groups anew, and forgets the optimizer that was."""
        return self._splitter

    @splitter.setter
    def splitter(self, splitter: Splitter | None) -> None:
        self._splitter, self._opt = splitter, None
        if "_model" in vars(self):
            self.groups = layer_groups(self._model, splitter)

    def create_opt(self) -> torch.optim.Optimizer:
        """Makes ``learn.opt`` anew, with empty state. A fit does it when it is needed."""
        groups = param_groups(self.model, self.groups, self.wd_bn_bias)
        opt = build_optimizer(self.opt_func, groups, lr_per_group(self.lr, len(self.groups))[-1])
        self._opt, self._opt_defaults = opt, defaults_of(opt)
        return opt

    # -- number formats -------------------------------------------------------------------------------------------
    def to_fp32(self) -> Self:
        """Trains and predicts in fp32 from here on; returns the learner. The weights are fp32 in any precision."""
        return self._to("fp32")

    def to_fp16(self) -> Self:
        """Trains and predicts in fp16 mixed precision from here on, the loss scaled; returns the learner."""
        return self._to("fp16")

    def to_bf16(self) -> Self:
        """Trains and predicts in bf16 mixed precision from here on; returns the learner."""
        return self._to("bf16")

    def _to(self, setting: str) -> Self:
        if self.running:
            raise SettingError(
                f"The precision can't become {setting} in the middle of a run. Set it before the fit: learn.to_{setting}().fit(...)."
            )
        self.precision = Precision(setting, self.device)
        return self

    # -- training: functions with the learner as their first argument ----------------------------------------------
    fit = recipes.fit
    fit_one_cycle = recipes.fit_one_cycle
    fit_flat_cos = recipes.fit_flat_cos
    fit_sgdr = recipes.fit_sgdr
    fine_tune = recipes.fine_tune
    lr_find = find_lr

    @in_turn
    def train_epochs(
        self,
        n_epochs: int,
        lr: LearningRate | None,
        wd: float | None,
        scheds: dict[str, Schedule],
        cbs: Callbacks,
        reset_opt: bool = False,
        start_epoch: int = 0,
        resume: bool = False,
        settings: dict[str, Any] | None = None,
    ) -> Results:
        """What every recipe ends in: prepares the optimizer, runs the loop, gives the table of results.

        Args:
            lr: the rate at the beginning; `scheds` set it from there on.
            settings: what the recipe was called with, as JSON; a checkpoint keeps it, to refuse resuming another run.
        """
        self.check_trainable(n_epochs, start_epoch)
        self._fitted = self.dls
        opt = self.create_opt() if self.opt is None or reset_opt else self.opt
        restore_defaults(opt, self._opt_defaults)  # nothing sticks from the fit before
        set_hyper(opt, "lr", lr_per_group(self.lr if lr is None else lr, len(self.groups)))
        if (wd if wd is not None else self.wd) is not None:
            set_hyper(opt, "wd", wd if wd is not None else self.wd)
        self.reset_state()
        self.n_epochs, self.start_epoch, self.resume = n_epochs, start_epoch, resume
        self.fit_args, self.results, self.replaced = settings or {}, {}, False
        number, self.n_fits = self.n_fits, self.n_fits + 1
        with (
            self.added_cbs([*as_callbacks(cbs), *([ParamScheduler(scheds)] if scheds else [])]),
            own_globals(derive(self.seed, "fit", number)),
        ):
            self._check_resume()
            self.run_fit(self.cbs)
        return self.recorder.results() if not self.progress_shown else self.recorder.results().shown()

    @property
    def progress_shown(self) -> bool:
        """Whether a notebook has the table of the last fit on screen."""
        return any(isinstance(cb, Progress) and cb.in_notebook for cb in self.cbs)

    def run_fit(self, cbs: Sequence[Callback]) -> None:
        """Runs the loop with the events bound to `cbs`, and lets go of the last batch when it ends."""
        self._steady_norms = [] if self.train_bn else steady_norms(self.model, self.groups, self._is_gentle())
        with self.bound(cbs), reused_memory(self.device):
            try:
                self.opt.zero_grad()
                fit_loop(self)
            finally:
                self.opt.zero_grad()
                self.xb, self.yb, self.pred, self.loss, self.dl, self.batches = (), (), None, None, None, ()

    def _is_gentle(self) -> bool:
        """Whether the fit that begins leaves a pretrained body the statistics of its normalisation."""
        rates = {group["layer_group"]: group["lr"] for group in self.opt.param_groups}
        adaptive = "betas" in self.opt.param_groups[0]
        return bool(self.pretrained) and is_gentle(
            [rates[i] for i in range(len(self.groups))], recipes.samples_of_step(self, self.cbs), adaptive
        )

    @contextmanager
    def bound(self, cbs: Sequence[Callback]) -> Iterator[None]:
        """Has the events bound to `cbs` inside the block."""
        before, self.events, self.running = (self.events, self.running), Events(self, cbs), True
        try:
            yield
        finally:
            self.events, self.running = before

    def check_trainable(self, n_epochs: int, start_epoch: int) -> None:
        """Raises an error that says why, if there is nothing to train, nothing to train on, or no such epochs."""
        if self.running:
            raise SettingError("This learner is training already: a callback can't begin another fit of the same learner.")
        recipes.whole_epochs(n_epochs)
        if whole_number(start_epoch, least=0) is None or start_epoch >= n_epochs:
            raise SettingError(f"start_epoch={start_epoch!r}: expected a number from 0 to {n_epochs - 1}, as there are {n_epochs} epochs.")
        if not len(self.dls):
            raise NotTrainableError(
                "There is no training data: this model was loaded from a file, for prediction. To train it further, give it data first: learn.dls = dls (DataLoaders with the same classes)."
            )
        if not any(p.requires_grad for group in self.groups for p in group):
            raise SettingError(
                "Every parameter of the model is frozen, so there is nothing to train. Call learn.unfreeze(), or learn.freeze_to(-1) to train the head."
            )

    def _check_resume(self) -> None:
        if self.resume and not any(type(cb).__name__ == "Checkpoint" for cb in self.cbs):
            raise SettingError(
                "resume=True needs the callback that wrote the state to go on from: pass cbs=Checkpoint(...), with the path it had then."
            )

    # -- what the loop asks ---------------------------------------------------------------------------------------
    def start_pass(self, dl: Any, training: bool) -> None:
        """Sets the learner up for a pass over `dl`: counts, and the model's mode (frozen norms stay in eval mode).

        The order and the draws of a training pass follow from how many this learner has made, whoever else has read the
        same data in between.
        """
        self.dl, self.batches, self.training, self.batch_index = dl, dl, training, 0
        self.n_batches = count_batches(dl, "training" if training else "validation")
        if any(m.training is not training for m in self.model.modules()):
            self.model.train(training)
        if training:
            dl.epoch, self.n_passes = self.n_passes, self.n_passes + 1
            for module in self._steady_norms:
                module.eval()

    # -- freezing -------------------------------------------------------------------------------------------------
    def freeze(self) -> None:
        """Freezes all layer groups but the last (the head). A model of one group, as networks for tables are, stays trainable as a whole: a
        note says so."""
        self.freeze_to(-1)

    def unfreeze(self) -> None:
        """Makes all layer groups trainable."""
        self.freeze_to(0)

    def freeze_to(self, n: int) -> None:
        """Freezes the layer groups before number `n`; negative counts from the end. The optimizer's state is forgotten.

        Frozen means frozen: no gradient, and normalisation layers keep their statistics (unless ``train_bn``).
        """
        set_frozen(self.model, self.groups, n, self.train_bn)
        self.opt = None

    # -- evaluation and prediction --------------------------------------------------------------------------------
    def validate(self, ds_idx: Split = 1, dl: Any = None, cbs: Callbacks = None) -> Scores:
        """Loss and metrics on a split; a note beside them gives each with its interval and the trivial baseline.

        Args:
            ds_idx: "train", "valid" or "test", or 0, 1, 2. The training split is read without augmentation.
            dl: a loader to use instead.

        Returns:
            list of the loss and the metrics, which also answers to their names: ``scores["accuracy"]``, ``scores["loss"]``
            (or, with the split, ``scores["valid_loss"]``).

        Raises:
            DataError: the loader gives no targets.
        """
        loader, recorder = prediction.loader_with_targets(self, ds_idx, dl), Recorder()
        split = self._split(ds_idx, dl)
        watching = [] if self.running else [w for cb in self.cbs if (w := cb.in_validate(split, recorder)) is not None]
        with (
            prediction.undisturbed(self),
            own_globals(derive(self.seed, "validate")),
            self.bound([*self.acting_cbs(), *watching, *as_callbacks(cbs), recorder]),
            reused_memory(self.device),
        ):
            valid_pass(self, loader)
        return Scores(["loss" if split is None else f"{split}_loss", *(m.name for m in self.metrics)], recorder.valid_scores())

    def _split(self, ds_idx: Split, dl: Any) -> str | None:
        """The name of a split, also when its own loader is given; None for any other loader."""
        names = ("train", "valid", "test")
        if dl is None:
            return ds_idx if isinstance(ds_idx, str) else names[ds_idx]
        return next((name for name, own in zip(names, self.dls.loaders, strict=False) if own is dl), None)

    get_preds = prediction.get_preds
    predict = prediction.predict
    tta = prediction.tta
    show_results = showing.show_results
    show_prediction = showing.show_prediction

    # -- keeping --------------------------------------------------------------------------------------------------
    save = storage.save
    load = storage.load

    def export(self, path: str | os.PathLike[str] = "model.burnish") -> Path:
        """Writes the trained model as one safe file, for ``load_learner``; see :func:`burnish.train.export.export`."""
        from burnish.train.export import export

        return export(self, path)

    # -- looking --------------------------------------------------------------------------------------------------
    summary = summarise

    def show_training_loop(self) -> None:
        """Prints the events of training with the callbacks that act at each."""
        events = Events(self, self.cbs)
        for event, names in events.who().items():
            print(f"{event:16} {', '.join(names)}".rstrip())

    def __repr__(self) -> str:
        names = ", ".join(m.name for m in self.metrics) or "none"
        return f"{type(self).__name__}({type(self.model).__name__}, {self.dls!r}; loss: {loss_name(self.loss_func)}, metrics: {names}, seed: {self.seed}, {self.precision.describe()})"
