"""What other models score on the same rows: a constant, a linear model, a forest, gradient boosting (scikit-learn's)."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from burnish.data.lazy import pd
from burnish.data.mapped import is_mapped
from burnish.data.notes import note
from burnish.data.number import RegressionBlock
from burnish.data.table import rows_of
from burnish.errors import DataError, SettingError, listed, nearest, short
from burnish.evaluate import outcome as outcomes
from burnish.evaluate.baselines import baseline_of
from burnish.evaluate.outcome import Outcome, split_name
from burnish.evaluate.summary import chosen_metrics, results_of_metrics
from burnish.tabular.blocks import CategoriesBlock
from burnish.train.callback import Callback
from burnish.train.freezing import plain
from burnish.train.metric import Metric
from burnish.train.predict import undisturbed

if TYPE_CHECKING:
    from burnish.tabular.dataloaders import TabularDataLoaders
    from burnish.tabular.learner import TabularLearner
    from burnish.train.learner import Learner

MODELS = {"linear": "linear model", "forest": "random forest", "boosting": "gradient boosting"}
MOST_CELLS = 3_000_000  # training rows times columns up to which a fit shows these models beside its result, unasked
MOST_FITTED = 100_000_000  # cells that other models are fitted to, of tables that stay in files
MOST_BINS = 255  # categories up to which gradient boosting takes a column as categories
_LEAST = 1e-7  # a probability that a model calls 0


class Fitted(NamedTuple):
    """A model fitted to the training rows."""

    name: str
    model: Any
    seconds: float


def baselines(
    learn: TabularLearner,
    split: int | str = "valid",
    metrics: Any = None,
    models: Sequence[str] = tuple(MODELS),
    embeddings: bool = False,
) -> pd.DataFrame:
    """The network beside other models, fitted to the same training rows and columns and judged on the same others.

    Args:
        split: "valid" or "test" (or 1, 2).
        metrics: names, functions or Metrics; the learner's by default.
        models: which of "linear" (logistic or ridge regression), "forest" (a random forest), "boosting" (histogram gradient
            boosting); with scikit-learn's own settings.
        embeddings: give them the network's embeddings in place of the categories, and see what those are worth.

    Returns: a row a model, the network's first and then always the same answer: columns model, for each metric NAME, NAME_low,
        NAME_high (95 % interval), and seconds (to fit; of the network its last fit, none where that is not known). Printed, each
        metric is one column, with its interval in brackets.

    Raises:
        DataError: the data has no table to fit to (a loaded model), or several targets.
    """
    from burnish.evaluate.tables import Compared

    unknown = [m for m in models if m not in MODELS]
    if unknown:
        raise SettingError(f"models has {unknown[0]!r}; expected some of {', '.join(map(repr, MODELS))}.{nearest(str(unknown[0]), MODELS)}")
    dls, name = need_table(learn), split_name(split)
    chosen = chosen_metrics(learn, metrics)
    found = outcomes.run(learn, name)
    groups = outcomes.groups_of(dls, found.rows)
    base = baseline_of(dls)
    rows = [row_of(f"network ({learn.arch})", chosen, found, groups, fit_seconds(learn))]
    if base is not None:
        constant = base.on(found.target)
        rows.append(row_of(constant.says, chosen, found._replace(output=constant.outputs(len(found.target))), groups, 0.0))
    network = plain(learn.model) if embeddings else None
    if network is not None and not hasattr(network, "inputs"):
        raise SettingError(f"embeddings=True needs a network of burnish's own for tables; this one is a {type(network).__name__}.")
    with nullcontext() if network is None else undisturbed(learn):  # the network is put into another mode
        for fitted in fit_models(dls, models, network):
            output = outputs_of(fitted.model, dls, name, network)
            rows.append(row_of(fitted.name, chosen, found._replace(output=output), groups, fitted.seconds))
    return Compared(rows)


def quick_baselines(learn: TabularLearner) -> pd.DataFrame | None:
    """What ``baselines()`` gives where that takes little time; else None, and a note, once for the data, says how to ask for it."""
    return None if _takes_long(need_table(learn)) else baselines(learn)


def _takes_long(dls: TabularDataLoaders) -> bool:
    """Whether fitting other models to the training rows takes long, which is said once."""
    columns = sum(t.shape[1] for t in dls.prepared.tensors[: dls.prepared.n_inp])  # type: ignore[union-attr]
    if dls.train.n * columns <= MOST_CELLS:
        return False
    if not vars(dls).get("_said_baselines"):
        dls._said_baselines = True  # type: ignore[attr-defined]
        note(
            f"With {dls.train.n:,} training rows of {columns:,} columns other models are not fitted unasked: learn.baselines() fits a linear model, a forest "
            "and gradient boosting to the same rows, to compare with."
        )
    return True


def need_table(learn: TabularLearner) -> TabularDataLoaders:
    """The learner's data, if other models can be fitted to it."""
    dls = learn.dls
    if getattr(dls, "prepared", None) is None:
        raise DataError(
            "There are no training rows to fit other models to: this learner was loaded from a file. Assign data first: learn.dls = dls."
        )
    block = dls.target_blocks[0] if len(dls.target_blocks) == 1 else None
    if block is None or block.kind not in ("category", "number") or (block.kind == "number" and block.n_out > 1):
        raise DataError(
            f"Other models are fitted for one target that is a category or a number; here are {listed(map(repr, dls._target_columns()))}."
        )
    return dls  # pyright: ignore[reportReturnType]


def row_of(name: str, metrics: Sequence[Metric], found: Outcome, groups: Sequence[Any] | None, seconds: float) -> dict[str, Any]:
    """A model's row of such a table: its metrics with their intervals, and the seconds to fit it."""
    row: dict[str, Any] = {"model": name}
    for result in results_of_metrics(metrics, alike(found), None, groups):
        row |= {result["metric"]: result["value"], **{f"{result['metric']}_{k}": result[k] for k in ("low", "high")}}
    return {**row, "seconds": seconds}


def fit_seconds(learn: Learner) -> float:
    """How long the learner's last fit took; nan where its weights are not of a fit here."""
    rows = [] if learn.replaced else learn.recorder.rows
    return sum(row["time"] for row in rows) if rows else math.nan


# -- fitting --------------------------------------------------------------------------------------------------------------
def fit_models(dls: TabularDataLoaders, models: Sequence[str], network: Any = None) -> list[Fitted]:
    """The models, each fitted at the first call for these data and kept with them; those on a network's embeddings anew."""
    kept: dict[str, Fitted] = vars(dls).setdefault("_fitted", {}) if network is None else {}
    block = dls.blocks[0]
    assert isinstance(block, CategoriesBlock)
    sizes = [feature.rows for feature in block.features] if network is None else []
    wanted = [name for name in models if name not in kept]
    if wanted:
        x, y = matrix_of(dls, "train", network, most=MOST_FITTED if is_mapped(dls.table) else None)
        of = "" if network is None else " on the network's embeddings"
    for name in wanted:
        model = make_model(name, isinstance(dls.target_blocks[0], RegressionBlock), sizes, x.shape[1] - len(sizes))
        started = time.perf_counter()  # what importing scikit-learn takes is not the first one's
        model.fit(x, to_fit(dls, y))
        kept[name] = Fitted(f"{MODELS[name]}{of}", model, time.perf_counter() - started)
    return [kept[name] for name in models]


def make_model(name: str, numbers: bool, sizes: Sequence[int], n_cont: int) -> Any:
    """A model of scikit-learn's.

    Args:
        numbers: whether it predicts numbers. sizes: how many codes each of the first columns has, which are categories.
        n_cont: how many numbers come after them.
    """
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import (
        HistGradientBoostingClassifier,
        HistGradientBoostingRegressor,
        RandomForestClassifier,
        RandomForestRegressor,
    )
    from sklearn.linear_model import LogisticRegression, RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    n = len(sizes)
    if name == "forest":
        return (RandomForestRegressor if numbers else RandomForestClassifier)(n_jobs=-1, random_state=0)
    if name == "boosting":
        few: Any = [i for i, rows in enumerate(sizes) if rows <= MOST_BINS] or None
        return (HistGradientBoostingRegressor if numbers else HistGradientBoostingClassifier)(categorical_features=few, random_state=0)
    parts = [("categories", OneHotEncoder(handle_unknown="ignore"), slice(0, n))] if n else []
    parts += [("numbers", StandardScaler(), slice(n, None))] if n_cont else []
    return make_pipeline(ColumnTransformer(parts), RidgeCV(np.logspace(-2, 3, 6)) if numbers else LogisticRegression(max_iter=1000))


def matrix_of(dls: TabularDataLoaders, split: str, network: Any = None, most: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The rows of a split as other models take them: codes, then numbers ``(rows, columns)`` float32 (or what a network makes of
    them before its layers); and the encoded target.

    Args:
        most: cells of the table (rows times columns) from which on some of the rows are drawn, and it is said.
    """
    to = dls.prepared
    assert to is not None
    rows = rows_of(dls.table, split)
    columns = sum(t.shape[1] for t in to.tensors[: to.n_inp])
    if most is not None and len(rows) * columns > most:
        some = np.sort(np.random.default_rng(0).choice(rows, max(1, most // columns), replace=False))
        note(
            f"The other models are fitted to {len(some):,} of the {len(rows):,} {split} rows, drawn at random: they need them all in memory."
        )
        rows = some
    at = torch.from_numpy(rows)
    given = [t[at] for t in to.tensors[: to.n_inp]]
    if network is None:
        x = torch.cat([t.float() for t in given], 1)
    else:
        with torch.no_grad():
            given = [t.to(dls.device) if t.is_floating_point() else t.to(dls.device).long() for t in given]
            x = network.eval().inputs(*given).float().cpu()
    return x.numpy(), to.tensors[to.n_inp][at].numpy()


def to_fit(dls: TabularDataLoaders, y: np.ndarray) -> np.ndarray:
    """The target as a model fits it: logarithms where the block works on them."""
    block = dls.target_blocks[0]
    return block._scaled(y.astype(np.float64)) if isinstance(block, RegressionBlock) else y


def outputs_of(model: Any, dls: TabularDataLoaders, split: str, network: Any = None) -> Tensor:
    """A model's answers on a split as raw outputs of a network: logarithms of probabilities ``(rows, classes)``, or numbers."""
    x, _ = matrix_of(dls, split, network)
    block = dls.target_blocks[0]
    if not isinstance(block, RegressionBlock):
        probs = np.full((len(x), block.n_out), _LEAST)
        probs[:, model.classes_.astype(int)] = np.clip(model.predict_proba(x), _LEAST, 1)
        return torch.from_numpy(np.log(probs)).float()
    made = model.predict(x)
    made = np.expm1(made) if block.log == "1p" else np.exp(made) if block.log else made
    made = made if block.y_range is None else np.clip(made, *block.y_range)
    return torch.from_numpy(made).float().reshape(len(x), -1)


# -- beside a fit's result --------------------------------------------------------------------------------------------------
class BaselineNote(Callback):
    """Says after a fit what other models score on the same rows: for tables a network is not always the best. They are fitted once
    for the same data; where that would take long, a note says how to ask for it."""

    order = 59  # after_fit runs in reverse: after the network's own results (60) are told
    rows = "rows"

    def after_fit(self, learn: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        if learn.silent or getattr(learn, "exception", None) is not None or not learn.has_valid or "valid" not in learn.results:
            return
        metric = next(iter(chosen_metrics(learn)), None)
        others = self.others(learn, metric) if metric is not None else []
        if metric is None or not others:
            return
        own = learn.results["valid"].set_index("metric").loc[metric.name]
        best = clearly_better([other[:2] for other in others], float(own["low"]), float(own["high"]), metric.better)
        text = ", ".join(f"{name} {short(value)} ({seconds:.1f} s)" for name, value, seconds in others)
        note(
            f"other models on the same {self.rows}, {metric.name}: {text}"
            + (f". {best[:1].upper()}{best[1:]} is clearly better here" if best else "")
        )

    def others(self, learn: Any, metric: Metric) -> list[tuple[str, float, float]]:
        """The other models: name, value on the validation rows, seconds; none where they aren't fitted unasked."""
        try:
            dls = need_table(learn)
        except DataError:
            return []
        if _takes_long(dls):
            return []
        _, target = matrix_of(dls, "valid")
        found = Outcome(torch.zeros(0), torch.from_numpy(target), torch.zeros(0), rows_of(dls.table, "valid"))
        others = []
        for fitted in fit_models(dls, tuple(MODELS)):
            output = outputs_of(fitted.model, dls, "valid")
            others.append((fitted.name, value_of(metric, found._replace(output=output)), fitted.seconds))
        return others


def value_of(metric: Metric, found: Outcome) -> float:
    """A metric's value, without its interval."""
    return float(results_of_metrics([metric], alike(found), None, None)[0]["value"])


def alike(found: Outcome) -> Outcome:
    """Numbers that were answered in the shape of those to find: of ``(n, 1)`` and ``(n,)`` a function of the user's would set each beside all."""
    if not found.target.is_floating_point() or found.output.numel() != found.target.numel():
        return found
    return found._replace(output=found.output.reshape(found.target.shape))


def clearly_better(others: Sequence[tuple[str, float]], low: float, high: float, better: str | None) -> str | None:
    """The best of other models (name, value) if it lies beyond the network's 95 % interval; else None.

    Args:
        better: "higher" or "lower"; None says which is better of no metric.
    """
    sign = {"higher": 1, "lower": -1}.get(better or "", 0)
    known = [(name, value) for name, value in others if value == value]
    if not sign or not known:
        return None
    name, value = max(known, key=lambda other: sign * other[1])
    return name if sign * (value - (high if sign > 0 else low)) > 0 else None
