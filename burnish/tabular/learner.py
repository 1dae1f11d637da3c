"""tabular_learner: a network for a table's rows and the learner that trains it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from burnish.data.config import from_config
from burnish.data.dataloaders import DataLoaders
from burnish.data.joint import final_of
from burnish.data.notes import note
from burnish.data.number import SigmoidRange
from burnish.data.randomness import derive, fresh_seed, own_globals
from burnish.errors import DataError, SettingError, hinting, nearest
from burnish.evaluate.joint import default_metrics
from burnish.evaluate.learner import Learner
from burnish.evaluate.metrics import resolve_metrics
from burnish.tabular import forest, insight
from burnish.tabular.baselines import BaselineNote, baselines, quick_baselines
from burnish.tabular.dataloaders import TabularDataLoaders
from burnish.tabular.models import TabularModel, emb_sz_rule, get_emb_sz
from burnish.tabular.modern import MOST_ROWS, RealMLP, modern_emb_sz
from burnish.train.freezing import trainable_params
from burnish.train.guards import check_range
from burnish.train.learner import Callbacks
from burnish.train.optim import AdamW, LearningRate, OptFunc

__all__ = ["ARCHITECTURES", "TabularLearner", "build", "tabular_config", "tabular_learner", "trainable_params"]


class Architecture(NamedTuple):
    """A network for tables: its class, the widths of its hidden layers, the rule of its embeddings' widths, the learning rate where none is
    given, and the settings that ``config=`` may name."""

    model: type[nn.Module]
    layers: tuple[int, ...]
    emb_sz: Callable[[int], int]
    lr: float
    settings: tuple[str, ...]


ARCHITECTURES = {
    "realmlp": Architecture(RealMLP, (256, 256, 256), modern_emb_sz, 2e-2, ("ps", "bins", "smooth", "y_range")),
    "mlp": Architecture(
        TabularModel, (200, 100), emb_sz_rule, 1e-3, ("ps", "embed_p", "y_range", "use_bn", "bn_final", "bn_cont", "act_cls", "lin_first")
    ),
}


class TabularLearner(Learner):
    """A learner of a table's rows; a fit tells its result beside those of other models."""

    usual_precision = "fp32"
    standard_cbs = (*Learner.standard_cbs, BaselineNote)
    dls: TabularDataLoaders
    baselines = baselines
    quick_baselines = quick_baselines
    ensemble = forest.ensemble
    feature_importance = insight.feature_importance
    plot_importance = insight.plot_importance
    partial_dependence = insight.partial_dependence
    plot_dependence = insight.plot_dependence
    explain_row = insight.explain_row

    def check_new_data(self, before: DataLoaders, dls: DataLoaders) -> None:
        super().check_new_data(before, dls)
        check_same_columns(before, dls)


def check_same_columns(before: DataLoaders, dls: DataLoaders) -> None:
    """Raises DataError if a model made for `before` would be given something else by `dls`: other columns, codes or scales."""
    old, new = ([block.config() for block in data.blocks] for data in (before, dls))
    if old != new:
        raise DataError(
            "The new data was prepared otherwise than the data this model was made for (other columns, categories, means or targets), so its numbers "
            "would mean something else to it. Prepare it alike: learn.dls = learn.dls.new(df)."
        )


@hinting
def tabular_config(
    ps: float | Sequence[float] | None = None,
    embed_p: float = 0.0,
    y_range: tuple[float, float] | None = None,
    use_bn: bool = True,
    bn_final: bool = False,
    bn_cont: bool = True,
    act_cls: Any = None,
    lin_first: bool = True,
) -> dict[str, Any]:
    """Settings of the network for ``tabular_learner(config=...)``; see ``TabularModel`` for what they are."""
    given = dict(locals())
    return {k: v for k, v in given.items() if not (k == "act_cls" and v is None)}


@hinting
def tabular_learner(
    dls: TabularDataLoaders, layers: Sequence[int] | None = None, emb_szs: Mapping[str, int] | None = None,
    config: Mapping[str, Any] | None = None, n_out: int | None = None, y_range: tuple[float, float] | None = None, *, arch: str | None = None,
    loss_func: Callable[..., Tensor] | None = None, opt_func: OptFunc = AdamW, lr: LearningRate | None = None, cbs: Callbacks = None, metrics: Any = None,
    path: str | Path = ".", model_dir: str | Path = "models", wd: float | None = None, wd_bn_bias: bool = False,
    moms: tuple[float, float, float] = (0.95, 0.85, 0.95), seed: int | None = None, precision: str = "auto",
    device: torch.device | str | None = None,
) -> TabularLearner:  # fmt: skip
    """A learner for a table.

    Args:
        dls: the data.
        layers: widths of the hidden layers; by default three of 256 (of "mlp" [200, 100]).
        emb_szs: widths of embeddings, by feature, where they shouldn't follow ``emb_sz_rule``.
        config: settings of the network, as ``tabular_config(...)`` gives them.
        n_out: outputs; the target's own number by default.
        y_range: (low, high) that predicted numbers never leave.
        arch: "realmlp" (``RealMLP``), or "mlp" (``TabularModel``), faster and less exact; None is "mlp" where `config` is of it alone.
        lr: the learning rate where a fit is given none: by default 2e-2, of "mlp" 1e-3.
        metrics: functions, Metrics or names; the target's own by default, ``[]`` for none.
        precision: as of ``Learner``, but "auto" is fp32: half precision would cost accuracy here and gain nothing.
        seed: fixes the first weights and what is random in training (order follows ``dls.seed``); else drawn.
        The rest: see ``Learner``.

    Raises:
        SettingError: something doesn't fit the data.
    """
    arch = _default_arch(config) if arch is None else arch
    if arch not in ARCHITECTURES:
        raise SettingError(f"arch={arch!r}: expected one of {', '.join(map(repr, ARCHITECTURES))}.{nearest(str(arch), ARCHITECTURES)}")
    if not isinstance(dls, TabularDataLoaders):
        raise SettingError(
            f"tabular_learner needs TabularDataLoaders, and got {type(dls).__name__}. Make them with TabularDataLoaders.from_df(df, y_names=...)."
        )
    if not dls.target_blocks:
        raise DataError("The data has no target: say what is to be predicted, TabularDataLoaders.from_df(df, y_names=...).")
    settings = checked_settings(arch, config, y_range)
    check_range(dls, settings.get("y_range"))
    if len(dls.target_blocks) > 1 and n_out is not None:
        raise SettingError("n_out is of one target, and the data has several.")
    if arch == "realmlp":
        settings = {"smooth": "selu" if dls.target_blocks[0].kind == "category" else "mish", **settings}
    model_config = {
        "builder": "tabular", "arch": arch, "emb_szs": [list(s) for s in get_emb_sz(dls.classes, emb_szs, ARCHITECTURES[arch].emb_sz)],
        "n_cont": len(dls.cont_names), "out_sz": dls.c if n_out is None else n_out,
        "layers": list(layers if layers is not None else ARCHITECTURES[arch].layers), "settings": settings,
        "target": [block.config() for block in dls.target_blocks],
    }  # fmt: skip
    seed = fresh_seed() if seed is None else seed
    learn = TabularLearner(
        dls, _begun(model_config, dls, seed), loss_func=loss_func, opt_func=opt_func, lr=ARCHITECTURES[arch].lr if lr is None else lr, cbs=cbs, metrics=resolve_metrics(default_metrics(dls) if metrics is None else metrics),
        path=path, model_dir=model_dir, wd=wd, wd_bn_bias=wd_bn_bias, moms=moms, seed=seed, precision=precision, device=device,
    )  # fmt: skip
    learn.arch = arch
    if "act_cls" in settings:
        note("act_cls is a function, which a model file can't hold: to load the exported model, load_learner(path, model=...).")
    else:
        learn.model_config = model_config
    return learn


def _default_arch(config: Mapping[str, Any] | None) -> str:
    only = set(ARCHITECTURES["mlp"].settings) - set(ARCHITECTURES["realmlp"].settings)
    return "mlp" if only & set(config or ()) else "realmlp"


def _begun(model_config: dict[str, Any], dls: TabularDataLoaders, seed: int) -> nn.Module:
    """The network with its first weights, and what it takes from training rows (some, spread over all of them)."""
    with own_globals(derive(seed, "init")):
        model = build(model_config)
    if isinstance(model, RealMLP):
        train = dls.train
        rows = torch.from_numpy(np.sort(train.rows)[:: max(1, len(train.rows) // MOST_ROWS)])
        model.learn_bins(*(t[rows.to(t.device)] for t in train.tensors[: dls.n_inp]))
    return model


def build(config: dict[str, Any]) -> nn.Module:
    """The network that a learner's ``model_config`` describes, with fresh weights."""
    if config["arch"] == "ensemble":
        return forest.rebuild(config, build(config["network"]))
    settings = {k: v for k, v in config["settings"].items() if k != "y_range"}
    targets, y_range = [from_config(c) for c in config["target"]], config["settings"].get("y_range")
    final = final_of(targets, config["out_sz"]) if y_range is None else SigmoidRange(*y_range)
    return ARCHITECTURES[config["arch"]].model(
        [(rows, width) for rows, width in config["emb_szs"]], config["n_cont"], config["out_sz"], config["layers"], final=final, **settings
    )


def checked_settings(arch: str, config: Mapping[str, Any] | None, y_range: tuple[float, float] | None) -> dict[str, Any]:
    """The settings of the network, if they are known and not said twice."""
    settings, known = dict(config or {}), ARCHITECTURES[arch].settings
    unknown = [name for name in settings if name not in known]
    if unknown:
        others = [name for other in ARCHITECTURES.values() for name in other.settings]
        raise SettingError(
            f"config has {unknown[0]!r}, which is no setting of the network {arch!r}.{nearest(unknown[0], dict.fromkeys([*known, *others]))} They are: "
            f"{'; '.join(f'of {name!r} ' + ', '.join(a.settings) for name, a in ARCHITECTURES.items())}."
        )
    if y_range is not None:
        if settings.get("y_range") not in (None, y_range):
            raise SettingError(f"y_range={y_range}, and config has y_range={settings['y_range']}; give one of them.")
        settings["y_range"] = list(y_range)
    return settings
