"""Everything that compatibility adds to other people's classes, in one list; `uninstall` takes all of it back."""

from __future__ import annotations

import importlib
import operator
from typing import Any, NamedTuple

_ABSENT: Any = object()


class Patch(NamedTuple):
    """An attribute of a class, both by where they are."""

    owner: str  # "module:Class"
    name: str
    source: str  # "module:name" of what it becomes


def _each(owner: str, source: str, names: str) -> list[Patch]:
    return [Patch(owner, name, f"burnish.compat.{source}:{name}") for name in names.split()]


PATCHES: list[Patch] = [
    *_each("pathlib:Path", "paths", "ls read_json read_jsonl write_json mk_write readlines delete relpath normpath"),
    Patch("pathlib:PurePath", "__repr__", "burnish.compat.paths:__repr__"),
    *_each("PIL.Image:Image", "pictures", "to_thumb resize_max to_bytes_format shape n_px aspect reshape flip_lr dihedral crop_pad"),
    *_each("torch:Tensor", "tensor_tools", "pca interp_1d"),
    *_each(
        "torch.optim:Optimizer",
        "optimizer_tools",
        "hypers set_hyper set_hypers param_lists all_params state_dict clear_state freeze_to freeze unfreeze frozen_idx",
    ),
    *_each(
        "burnish.train.learner:Learner",
        "learner_tools",
        "n_epoch iter n_iter train_iter pct_train x y loss_grad smooth_loss logger final_record",
    ),
    Patch("burnish.data.transforms:ItemTransform", "name", "burnish.compat.transform_adapters:name"),
    Patch("burnish.data.transforms:BatchTransform", "name", "burnish.compat.transform_adapters:name"),
    Patch("burnish.data.transforms:ItemTransform", "__call__", "burnish.compat.transform_adapters:call_item"),
    Patch("burnish.data.transforms:BatchTransform", "forward", "burnish.compat.transform_adapters:call_batch"),
    Patch("burnish.train.learner:Learner", "_default_loss", "burnish.compat.losses:_default_loss"),
    *[
        Patch(f"burnish.evaluate.losses:{loss}", name, f"burnish.compat.losses:{source}")
        for loss in ("CrossEntropyLossFlat", "FocalLossFlat", "BCEWithLogitsLossFlat", "MSELossFlat", "L1LossFlat")
        for name, source in {
            "flatten": "always",
            "is_2d": "of_classes",
            "floatify": "of_numbers",
            "func": "func",
            "axis": "last_axis",
        }.items()
        if (loss, name) != ("FocalLossFlat", "func") and (name != "axis" or not loss.startswith(("Cross", "Focal")))
    ],
    Patch("burnish.train.learner:Learner", "export", "burnish.compat.factories:export"),
    Patch("burnish.train.learner:Learner", "show_results", "burnish.compat.showing:learner_show_results"),
    *_each("burnish.data.loader:DataLoader", "views", "one_batch after_item before_batch after_batch dataset items decode"),
    Patch("burnish.data.loader:DataLoader", "vocab", "burnish.compat.views:loader_vocab"),
    Patch("burnish.data.loader:DataLoader", "new", "burnish.compat.views:new_loader"),
    *_each(
        "burnish.tabular.prepare:TabularPandas",
        "table_views",
        "cat_names cont_names y_names x_names all_col_names cats conts targ y all_cols iloc loc items classes c vocab procs train valid test decode decode_row new process show",
    ),
    Patch("burnish.tabular.modern:RealMLP", "embeds", "burnish.compat.tables:embeds"),
    Patch("burnish.tabular.prepare:TabularPandas", "__getattr__", "burnish.compat.table_views:of_procs"),
    *_each(
        "burnish.tabular.dataloaders:TabularDataLoaders",
        "table_loaders",
        "cat_names cont_names y_names x_names classes from_prepared test_dl _dataset show_batch",
    ),
    *_each(
        "burnish.data.tensors:TensorLoader",
        "table_loaders",
        "iter_from one_batch decode_batch dataset items xs cats conts ys new show_batch decode",
    ),
    *[
        Patch(f"burnish.{kind}.learner:{kind.title()}Learner", "start_pass", "burnish.compat.table_loaders:start_pass")
        for kind in ("tabular", "collab")
    ],
    Patch("burnish.data.loader:DataLoader", "show_batch", "burnish.compat.view_calls:show_batch"),
    Patch("burnish.data.dataloaders:DataLoaders", "show_batch", "burnish.compat.view_calls:show_batch_of"),
    *_each("burnish.data.dataloaders:DataLoaders", "view_calls", "add_tfms from_dblock from_dsets"),
    Patch("burnish.evaluate.interpret:Interpretation", "plot_top_losses", "burnish.compat.showing:interp_plot_top_losses"),
    *_each("burnish.data.dataloaders:DataLoaders", "views", "_dataset c vocab loss_func new"),
    Patch("burnish.data.dataloaders:DataLoaders", "__getattr__", "burnish.compat.views:delegated"),
    *_each(
        "burnish.train.learner:Learner",
        "calls",
        "get_preds predict tta create_opt freeze_to fit_one_cycle fine_tune lr_find save load to_fp16 to_bf16 to_channelslast to_contiguous to_parallel detach_parallel parallel_ctx distrib_ctx to_distributed "
        "loss_not_reduced validation_context to_detach to_non_native_fp16 to_non_native_fp32 detach_distributed",
    ),
    *_each("burnish.train.learner:Learner", "loop_tools", "ordered_cbs __call__ one_batch all_batches"),
    Patch("burnish.train.attached:HasCallbacks", "no_mbar", "burnish.compat.calls:no_mbar"),
    Patch("burnish.train.attached:HasCallbacks", "__getattr__", "burnish.compat.loop_tools:__getattr__"),
    Patch("burnish.evaluate.interpret:Interpretation", "__getitem__", "burnish.compat.interpretation:__getitem__"),
    Patch("burnish.train.learner:Learner", "metrics", "burnish.compat.metric_kit:metrics"),
    *_each("burnish.train.recorder:Recorder", "training", "log hps plot_lr_find"),
    Patch("burnish.train.attached:HasCallbacks", "add_cb", "burnish.compat.learner:add_cb"),
]
_before: list[tuple[Any, str, Any]] = []


def found(where: str) -> Any:
    """What "module:name" stands for, or "module:Class.name"."""
    module, name = where.split(":")
    return operator.attrgetter(name)(importlib.import_module(module))


def install() -> None:
    """Puts all of the list in place."""
    if _before:
        return
    for patch in PATCHES:
        owner = found(patch.owner)
        _before.append((owner, patch.name, vars(owner).get(patch.name, _ABSENT)))
        setattr(owner, patch.name, found(patch.source))


def uninstall() -> None:
    """Puts back what was there before."""
    while _before:
        owner, name, value = _before.pop()
        if value is _ABSENT:
            delattr(owner, name)
        else:
            setattr(owner, name, value)
