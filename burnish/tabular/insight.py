"""What a model of a table has learned: which columns it rests on, how an answer moves with one, and why one row got its answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

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
from burnish.tabular.dates import DateNumber, moments_of, on_clock
from burnish.tabular.features import Feature, NumberFeature
from burnish.tabular.frames import cells_of

if TYPE_CHECKING:
    from burnish.tabular.dataloaders import TabularDataLoaders
    from burnish.tabular.learner import TabularLearner

Places = dict[str, list[tuple[int, int]]]  # column -> (which tensor, which of its columns) of each feature made of it


def feature_importance(learn: TabularLearner, split: int | str = "valid", n: int = 5, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """How much the model's loss (of several targets the sum of theirs) grows when a column's cells are shuffled among the rows
    (permutation importance: Breiman 2001).

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
    learn: TabularLearner,
    column: str,
    split: int | str = "valid",
    n: int = 20,
    rows: int = 1000,
    label: Any = None,
    target: str | None = None,
) -> pd.DataFrame:
    """How the mean prediction moves when one column is set to each of its values, all else left as it is (Friedman 2001).

    Args:
        column: of the table.
        n: most values: of numbers and dates quantiles, of categories the most frequent.
        rows: how many of the split's rows are averaged over.
        label: the class whose probability is shown; the last by default.
        target: the column that is predicted; needed where the model predicts several.

    Returns: columns `column`, prediction (mean), low, high (where the middle 80 % of the rows lie), count (training rows with the
        value; of numbers and dates those nearest to it); in ``.attrs`` the "target" and of classes the "label".
    """
    dls = learn.dls
    checked_whole("n", n, least=1)
    frame, where = _frame(dls), _known([column], places_of(dls))[0]
    asked = _asked(dls, target, label)
    loader = dls[split_name(split)].in_order()
    rng = np.random.default_rng(derive(learn.seed, "dependence"))
    taken = np.sort(rng.choice(loader.rows, min(rows, len(loader.rows)), replace=False))
    values, counts = _values(_features(dls, where), cells_of(frame, where).iloc[dls.train.rows], n)
    found = []
    for i, (value, count) in enumerate(zip(values.tolist(), counts, strict=True)):
        changed = plain_rows(frame.iloc[taken]).copy()
        changed[where] = pd.Series(values.iloc[[i] * len(changed)].array, index=changed.index)
        chosen = asked.of(_preds_of(learn, changed))
        low, high = np.quantile(chosen.numpy(), [0.1, 0.9])
        found.append({column: value, "prediction": float(chosen.mean()), "low": low, "high": high, "count": count})
    table = pd.DataFrame(found)
    table.attrs = {"target": asked.name, "label": asked.label}
    return table


def plot_dependence(
    learn: TabularLearner,
    columns: Sequence[str] | str,
    split: int | str = "valid",
    n: int = 20,
    label: Any = None,
    target: str | None = None,
) -> None:
    """Draws ``partial_dependence`` of one or several columns: the mean prediction, and where the middle 80 % of the rows lie."""
    import matplotlib.pyplot as plt

    names = [columns] if isinstance(columns, str) else list(columns)
    asked = _asked(learn.dls, target, label)
    across = min(3, len(names))
    down = -(-len(names) // across)
    _, axes = plt.subplots(down, across, figsize=(4 * across, 3 * down), squeeze=False, layout="constrained")
    for ax in axes.flat[len(names) :]:
        ax.set_axis_off()
    for ax, name in zip(axes.flat, names, strict=False):
        table = partial_dependence(learn, name, split, n, label=label, target=target)
        x = _axis(_features(learn.dls, name), table[name])
        if x is not None:
            ax.fill_between(x, table["low"], table["high"], color="#4c78a8", alpha=0.2, linewidth=0)
            ax.plot(x, table["prediction"], color="#4c78a8", marker="o", markersize=3)
            ax.tick_params("x", rotation=0 if pd.api.types.is_numeric_dtype(x) else 45)
        else:  # categories have no way from one to the next
            x = np.arange(len(table))
            ax.vlines(x, table["low"], table["high"], color="#4c78a8", alpha=0.2, linewidth=6)
            ax.plot(x, table["prediction"], "o", color="#4c78a8", markersize=4)
            ax.set_xticks(x, [brief(str(v), 16) for v in table[name]], rotation=45, ha="right", fontsize=8)
        ax.set_title(str(name), fontsize=10)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0, 0].set_ylabel(f"predicted {asked.name}" if asked.label is None else f"probability of {asked.name} {asked.label!r}")


def explain_row(learn: TabularLearner, row: Any, n: int = 50, label: Any = None, target: str | None = None) -> pd.DataFrame:
    """Why a row got its prediction: what each column adds to the mean prediction of the training rows (Shapley values by sampling:
    Strumbelj and Kononenko 2014).

    Args:
        row: a dict, a Series, a table of one row.
        n: orders of the columns that are tried, each beside another training row; more is steadier.
        label: the class whose probability is explained; the predicted one by default.
        target: the column that is predicted; needed where the model predicts several.

    Returns: a row a column, the largest contribution first: columns column, value (after your own procs), contribution; in ``.attrs``
        the mean prediction ("base"), the row's ("prediction"), the "target" and of classes the "label". The contributions add up to
        their difference.
    """
    dls, places = learn.dls, places_of(learn.dls)
    checked_whole("n", n, least=1)
    asked = _asked(dls, target, label)
    loader = dls.test_dl([as_row(row)])
    if label is None:
        asked = asked.predicted(learn.get_preds(dl=loader, with_decoded=True).decoded)
    rng = np.random.default_rng(derive(learn.seed, "explain"))
    train = dls.train.in_order()
    background = train.rows[rng.integers(len(train.rows), size=n)]
    names = list(places)
    orders = [rng.permutation(len(names)) for _ in range(n)]
    mixed = [_steps(train.tensors[i], loader.tensors[i][0], i, background, orders, names, places) for i in range(dls.n_inp or 1)]
    answers = asked.of(_preds(learn, mixed)).reshape(n, len(names) + 1).double()
    added = torch.zeros(len(names), dtype=torch.float64)
    for order, steps in zip(orders, answers, strict=True):
        added[torch.from_numpy(order)] += steps.diff()
    cells = loader.item(0)
    values = pd.Series([cells[name] for name in names], dtype=object)
    table = pd.DataFrame({"column": names, "value": values, "contribution": (added / n).numpy()})
    table = table.sort_values("contribution", key=lambda c: -c.abs(), ignore_index=True)
    table.attrs = {
        "base": float(answers[:, 0].mean()),
        "prediction": float(answers[:, -1].mean()),
        "target": asked.name,
        "label": asked.label,
    }
    return table


# -- which number of a prediction -----------------------------------------------------------------------------------------
class _Asked(NamedTuple):
    """The number of each prediction that is looked at: which of the targets, and of a class its probability.

    Attributes:
        name: the column that is predicted.
        place: of the target among the model's. number: which of its numbers.
        vocab: of a target of classes all of them, else None.
    """

    name: str
    place: int
    number: int
    vocab: list[Any] | None

    @property
    def label(self) -> Any:
        """The class; None where a number is predicted."""
        return None if self.vocab is None else self.vocab[self.number]

    def of(self, preds: Any) -> Tensor:
        """That number of each row ``(rows,)``, from activated predictions."""
        own = self._own(preds)
        return own.reshape(len(own), -1)[:, self.number]

    def predicted(self, decided: Any) -> _Asked:
        """The same for the class that was decided on in the first row; as it is where a number is predicted."""
        return self if self.vocab is None else self._replace(number=int(self._own(decided)[0]))

    def _own(self, values: Any) -> Tensor:
        return values[self.place] if isinstance(values, tuple) else values


def _asked(dls: TabularDataLoaders, target: str | None, label: Any) -> _Asked:
    """What is looked at: of the one target, or the one asked for, the number, or the class `label` (None: the last)."""
    there = {name: (i, j) for i, names in enumerate(dls.target_names) for j, name in enumerate(names)}
    if target is None and len(there) > 1:
        raise SettingError(f"The model predicts {listed(map(repr, there))}: say which one to look at, target={next(iter(there))!r}.")
    if target is not None and target not in there:
        raise SettingError(f"target={target!r} is none of the targets: {listed(map(repr, there), 12)}.{nearest(str(target), there)}")
    name = next(iter(there)) if target is None else target
    i, j = there[name]
    block: Any = dls.target_blocks[i]
    if block.kind != "category":
        if label is not None:
            raise SettingError(f"label={label!r} would be a class, and {name!r} is predicted as a number: leave label out.")
        return _Asked(name, i, j, None)
    vocab = list(block.vocab)
    if label is not None and label not in vocab:
        raise SettingError(f"label={label!r} is none of the classes: {listed(vocab, 12)}.{nearest(str(label), map(str, vocab))}")
    return _Asked(name, i, len(vocab) - 1 if label is None else vocab.index(label), vocab)


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


def _preds(learn: TabularLearner, inputs: Sequence[Tensor]) -> Any:
    """Activated predictions for encoded inputs; a tuple of them where there are several targets."""
    loader = TensorLoader(
        Encoded([t.cpu() for t in inputs]), learn.dls.input_blocks, np.arange(len(inputs[0])), bs=4096, device=learn.device
    )
    return learn.get_preds(dl=loader).preds


def _preds_of(learn: TabularLearner, frame: pd.DataFrame) -> Any:
    return _preds(learn, [block.encode_all(frame) for block in learn.dls.input_blocks])


def _features(dls: TabularDataLoaders, column: str) -> list[Feature]:
    """What is made of a column."""
    blocks: list[Any] = dls.input_blocks
    return [blocks[i].features[j] for i, j in places_of(dls)[column]]


def _number(features: Sequence[Feature]) -> NumberFeature | None:
    """The number that a column is, of a date the time passed; None for a category."""
    return next((f for f in features if isinstance(f, NumberFeature)), None)


def _values(features: Sequence[Feature], train: pd.Series, n: int) -> tuple[pd.Series, list[int]]:
    """The values to set a column to, in their order, and how many training rows are of each (of numbers nearest to each)."""
    cells, number = train.dropna(), _number(features)
    if number is None:
        counts: Any = cells.value_counts()
        counts = counts[counts > 0].head(n)
        values = pd.Series(counts.index, dtype=train.dtype)
        order = np.argsort(features[0].of_column(values), kind="stable")
        return values.iloc[order], counts.iloc[order].tolist()
    keys = number.numbers(cells)
    quantiles = np.argsort(keys, kind="stable")[np.linspace(0, len(keys) - 1, n).round().astype(int)]
    different, first = np.unique(keys[quantiles], return_index=True)
    middles = (different[1:] + different[:-1]) / 2
    return cells.iloc[quantiles[first]], np.bincount(np.searchsorted(middles, keys), minlength=len(different)).tolist()


def _axis(features: Sequence[Feature], cells: Any) -> Any:
    """The values of a column as places on an axis, numbers or dates; None for categories."""
    number = _number(features)
    if number is None:
        return None
    if isinstance(number, DateNumber):
        return on_clock(moments_of(cells, number.source).utc, number.zone)
    return number.numbers(cells)


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
