"""What a model of a table has learned: which columns it rests on, how an answer moves with one, and why one row got its answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from burnish.data.lazy import pd
from burnish.data.mapped import plain_rows
from burnish.data.randomness import derive
from burnish.data.show import brief
from burnish.data.tensors import Encoded, TensorLoader
from burnish.data.whole import checked_whole
from burnish.errors import DataError, SettingError, listed, nearest
from burnish.evaluate.outcome import split_name
from burnish.evaluate.summary import loss_interval
from burnish.tabular.blocks import ColumnsBlock, as_row
from burnish.tabular.features import NumberFeature
from burnish.tabular.frames import cells_of

if TYPE_CHECKING:
    from burnish.tabular.dataloaders import TabularDataLoaders
    from burnish.tabular.learner import TabularLearner

Places = dict[str, list[tuple[int, int]]]  # column -> (which tensor, which of its columns) of each feature made of it


def feature_importance(learn: TabularLearner, split: int | str = "valid", n: int = 5, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """How much the model's loss grows when a column's cells are shuffled among the rows (permutation importance: Breiman 2001).

    All that is made of a column (a date's parts, whether a number was missing) is shuffled together. Of columns that say the same
    each seems to matter little: the model has the others.

    Args:
        split: the rows to judge on; those that trained would flatter columns that were learned by heart.
        n: how often each column is shuffled.
        columns: only these.

    Returns: a row a column, the most important first: columns column, importance (the mean growth of the loss), low, high (95 %
        interval over the rows), share (of the sum of all that are above 0). An interval around 0: nothing was found.
    """
    dls, places = learn.dls, places_of(learn.dls)
    checked_whole("n", n, least=1)
    chosen = list(places) if columns is None else _known(columns, places)
    loader = dls[split_name(split)].in_order()
    before = learn.get_preds(dl=loader, with_loss=True).losses
    tensors = [t[torch.from_numpy(loader.rows)].clone() for t in loader.tensors]
    rng = np.random.default_rng(derive(learn.seed, "importance"))
    rows = []
    for column in chosen:
        growth = torch.zeros(len(loader.rows))
        for _ in range(n):
            order = torch.from_numpy(rng.permutation(len(loader.rows)))
            growth += learn.get_preds(dl=_loader(loader, _swapped(tensors, places[column], order)), with_loss=True).losses - before
        found = loss_interval(growth / n)
        rows.append({"column": column, "importance": found.value, "low": found.low, "high": found.high})
    table = pd.DataFrame(rows).sort_values("importance", ascending=False, ignore_index=True)
    total = float(np.clip(table["importance"], 0, None).sum())
    table = table.assign(share=table["importance"].clip(lower=0) / total if total > 0 else 0.0)
    table.attrs["about"] = (
        "How much the loss grows when a column's cells are shuffled among the rows, with its 95 % interval (around 0: nothing was found), "
        "and its share of the sum. Of columns that say the same each seems to matter little."
    )
    return table


def plot_importance(learn: TabularLearner, split: int | str = "valid", n: int = 5, most: int = 20) -> None:
    """Draws ``feature_importance``: the `most` important columns with their intervals."""
    import matplotlib.pyplot as plt

    table = feature_importance(learn, split, n).head(most)[::-1]
    _, ax = plt.subplots(figsize=(7, 1 + 0.3 * len(table)), layout="constrained")
    off = np.abs(np.stack([table["importance"] - table["low"], table["high"] - table["importance"]]))
    ax.barh(table["column"].astype(str), table["importance"], xerr=np.nan_to_num(off), color="#4c78a8", ecolor="#888888", capsize=2)
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set_xlabel("growth of the loss when the column is shuffled")
    ax.spines[["top", "right"]].set_visible(False)


def partial_dependence(
    learn: TabularLearner, column: str, split: int | str = "valid", n: int = 20, rows: int = 1000, label: Any = None
) -> pd.DataFrame:
    """How the mean prediction moves when one column is set to each of its values, all else left as it is (Friedman 2001).

    Args:
        column: of the table.
        n: most values: of numbers and dates quantiles, of categories the most frequent.
        rows: how many of the split's rows are averaged over.
        label: the class whose probability is shown; the last by default.

    Returns: columns `column`, prediction (mean), low, high (where the middle 80 % of the rows lie), count (training rows with the
        value; of numbers those nearest to it).
    """
    dls = learn.dls
    frame, where = _frame(dls), _known([column], places_of(dls))[0]
    loader = dls[split_name(split)].in_order()
    rng = np.random.default_rng(derive(learn.seed, "dependence"))
    taken = np.sort(rng.choice(loader.rows, min(rows, len(loader.rows)), replace=False))
    train = cells_of(frame, where).iloc[dls.train.rows]
    values, counts = _values(dls, train, where, n)
    which = None if dls.target_blocks[0].kind != "category" else len(dls.vocab) - 1 if label is None else _class(dls, label)
    found = []
    for value, count in zip(values, counts, strict=True):
        changed = plain_rows(frame.iloc[taken]).copy()
        changed[where] = pd.Series([value] * len(changed), index=changed.index, dtype=train.dtype)
        preds = _preds_of(learn, changed)
        chosen = preds[:, which] if which is not None else preds.reshape(len(preds), -1)[:, 0]
        low, high = np.quantile(chosen.numpy(), [0.1, 0.9])
        found.append({column: value, "prediction": float(chosen.mean()), "low": low, "high": high, "count": count})
    return pd.DataFrame(found)


def plot_dependence(
    learn: TabularLearner, columns: Sequence[str] | str, split: int | str = "valid", n: int = 20, label: Any = None
) -> None:
    """Draws ``partial_dependence`` of one or several columns: the mean prediction, and where the middle 80 % of the rows lie."""
    import matplotlib.pyplot as plt

    names = [columns] if isinstance(columns, str) else list(columns)
    across = min(3, len(names))
    down = -(-len(names) // across)
    _, axes = plt.subplots(down, across, figsize=(4 * across, 3 * down), squeeze=False, layout="constrained")
    for ax in axes.flat[len(names) :]:
        ax.set_axis_off()
    for ax, name in zip(axes.flat, names, strict=False):
        table = partial_dependence(learn, name, split, n, label=label)
        numbers = pd.api.types.is_numeric_dtype(table[name].dtype) or pd.api.types.is_datetime64_any_dtype(table[name].dtype)
        if numbers:
            ax.fill_between(table[name], table["low"], table["high"], color="#4c78a8", alpha=0.2, linewidth=0)
            ax.plot(table[name], table["prediction"], color="#4c78a8", marker="o", markersize=3)
        else:  # categories have no way from one to the next
            x = np.arange(len(table))
            ax.vlines(x, table["low"], table["high"], color="#4c78a8", alpha=0.2, linewidth=6)
            ax.plot(x, table["prediction"], "o", color="#4c78a8", markersize=4)
            ax.set_xticks(x, [brief(str(v), 16) for v in table[name]], rotation=45, ha="right", fontsize=8)
        ax.set_title(str(name), fontsize=10)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0, 0].set_ylabel(_told(learn, label))


def explain_row(learn: TabularLearner, row: Any, n: int = 50, label: Any = None) -> pd.DataFrame:
    """Why a row got its prediction: what each column adds to the mean prediction of the training rows (Shapley values by sampling:
    Strumbelj and Kononenko 2014).

    Args:
        row: a dict, a Series, a table of one row.
        n: orders of the columns that are tried, each beside another training row; more is steadier.
        label: the class whose probability is explained; the predicted one by default.

    Returns: a row a column, the largest contribution first: columns column, value, contribution; in ``.attrs`` the mean prediction
        ("base"), the row's ("prediction") and the class ("label"). The contributions add up to their difference.
    """
    dls, places = learn.dls, places_of(learn.dls)
    checked_whole("n", n, least=1)
    given = [t[0] for t in dls.test_dl([row]).tensors]
    own = learn.predict(row)
    is_class = dls.target_blocks[0].kind == "category"
    which = 0 if not is_class else int(own.index) if label is None else _class(dls, label)
    rng = np.random.default_rng(derive(learn.seed, "explain"))
    train = dls.train.in_order()
    background = train.rows[rng.integers(len(train.rows), size=n)]
    names = list(places)
    orders = [rng.permutation(len(names)) for _ in range(n)]
    mixed = [_steps(train.tensors[i], given[i], i, background, orders, names, places) for i in range(dls.n_inp or 1)]
    preds = _preds(learn, mixed)
    answers = (preds[:, which] if is_class else preds.reshape(len(preds), -1)[:, 0]).reshape(n, len(names) + 1).double()
    added = torch.zeros(len(names), dtype=torch.float64)
    for order, steps in zip(orders, answers, strict=True):
        added[torch.from_numpy(order)] += steps.diff()
    contribution = (added / n).numpy()
    cells = _cells(dls, row, names)
    table = pd.DataFrame({"column": names, "value": pd.Series(cells, dtype=object), "contribution": contribution})
    table = table.sort_values("contribution", key=lambda c: -c.abs(), ignore_index=True)
    table.attrs = {
        "base": float(answers[:, 0].mean()),
        "prediction": float(answers[:, -1].mean()),
        "label": dls.vocab[which] if is_class else None,
    }
    return table


# -- parts --------------------------------------------------------------------------------------------------------------
def places_of(dls: TabularDataLoaders) -> Places:
    """Where the features made of each column are in a batch."""
    places: Places = {}
    for i, block in enumerate(dls.input_blocks):
        if isinstance(block, ColumnsBlock):
            for j, feature in enumerate(block.features):
                places.setdefault(feature.source, []).append((i, j))
    return places


def _known(columns: Sequence[str], places: Places) -> list[str]:
    unknown = [c for c in columns if c not in places]
    if unknown:
        raise SettingError(
            f"The model has no column {listed(map(repr, unknown))}.{nearest(str(unknown[0]), places)} It has: {listed(places, 30)}."
        )
    return list(columns)


def _frame(dls: TabularDataLoaders) -> pd.DataFrame:
    if dls.prepared is None:
        raise DataError("There are no rows to look at: this learner was loaded from a file. Assign data first: learn.dls = dls.")
    return dls.prepared.frame


def _swapped(tensors: Sequence[Tensor], places: Sequence[tuple[int, int]], order: Tensor) -> list[Tensor]:
    """The tensors with some of their columns in another order of the rows."""
    out = list(tensors)
    for i, j in places:
        out[i] = out[i].clone() if out[i] is tensors[i] else out[i]
        out[i][:, j] = tensors[i][order, j]
    return out


def _loader(like: TensorLoader, tensors: Sequence[Tensor]) -> TensorLoader:
    return TensorLoader(
        Encoded(tensors), like.blocks[: len(tensors)], np.arange(len(tensors[0])), bs=max(like.bs, 4096), device=like.device
    )


def _preds(learn: TabularLearner, inputs: Sequence[Tensor]) -> Tensor:
    """Activated predictions for encoded inputs."""
    loader = TensorLoader(
        Encoded([t.cpu() for t in inputs]), learn.dls.input_blocks, np.arange(len(inputs[0])), bs=4096, device=learn.device
    )
    return learn.get_preds(dl=loader).preds


def _preds_of(learn: TabularLearner, frame: pd.DataFrame) -> Tensor:
    return _preds(learn, [block.encode_all(frame) for block in learn.dls.input_blocks])


def _values(dls: TabularDataLoaders, train: pd.Series, column: str, n: int) -> tuple[list[Any], list[int]]:
    """The values to set a column to, and how many training rows are of each."""
    i, j = places_of(dls)[column][0]
    block = dls.input_blocks[i]
    assert isinstance(block, ColumnsBlock)
    number = isinstance(block.features[j], NumberFeature) or pd.api.types.is_datetime64_any_dtype(train.dtype)
    cells = train.dropna()
    if not number:
        counts = cells.value_counts().head(n).sort_index()
        return counts.index.tolist(), counts.tolist()
    ordered = cells.sort_values().to_numpy()
    at = np.unique(np.linspace(0, len(ordered) - 1, n).round().astype(int))
    values = pd.unique(pd.Series(ordered[at]))
    edges = np.searchsorted(ordered, values, side="right")
    return list(values), np.diff(np.concatenate([[0], edges])).tolist()


def _class(dls: TabularDataLoaders, label: Any) -> int:
    if label not in dls.vocab:
        raise SettingError(f"label={label!r} is none of the classes: {listed(dls.vocab, 12)}.{nearest(str(label), map(str, dls.vocab))}")
    return list(dls.vocab).index(label)


def _told(learn: TabularLearner, label: Any) -> str:
    dls = learn.dls
    if dls.target_blocks[0].kind != "category":
        return f"predicted {listed(dls.target_names[0])}"
    return f"probability of {dls.vocab[-1] if label is None else label!r}"


def _steps(
    tensor: Tensor, given: Tensor, which: int, background: np.ndarray, orders: Sequence[np.ndarray], names: Sequence[str], places: Places
) -> Tensor:
    """For each order the way from a training row to the given one, a column at a time ``(orders * (columns + 1), features)``."""
    out = []
    for row, order in zip(background, orders, strict=True):
        now = tensor[int(row)].clone()
        out.append(now.clone())
        for k in order:
            for i, j in places[names[int(k)]]:
                if i == which:
                    now[j] = given[j]
            out.append(now.clone())
    return torch.stack(out)


def _cells(dls: TabularDataLoaders, row: Any, names: Sequence[str]) -> list[Any]:
    cells = as_row(row)
    return [cells.get(name) for name in names]
