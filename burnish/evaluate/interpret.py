"""Where a model errs: one inference pass at the beginning, and every question answered from what it stored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from burnish.data.batches import RowLoader
from burnish.data.lazy import pd
from burnish.data.loader import DataLoader
from burnish.data.mapped import plain_rows
from burnish.data.notes import captured_notes, note
from burnish.data.show import draw_inputs, rows_only
from burnish.errors import DataError, SettingError, listed, nearest
from burnish.evaluate import outcome as outcomes
from burnish.evaluate import plots
from burnish.evaluate.baselines import Baseline, baseline_of
from burnish.evaluate.mask_results import is_of_masks
from burnish.evaluate.outcome import Outcome
from burnish.evaluate.summary import chosen_metrics, keep, results_of, results_of_metrics
from burnish.train.metric import Metric
from burnish.train.predict import loader_of
from burnish.train.readout import readout
from burnish.train.showing import is_drawn

if TYPE_CHECKING:
    from burnish.train.learner import Learner

Indices = int | range | Iterable[int] | None
MOST_NOTES = 5  # on cells of one table that can't be computed


class Interpretation:
    """The predictions of a learner on a split, and what they tell. Made by ``from_learner``.

    Attributes:
        outputs: raw outputs ``(samples, ...)``.
        preds: activated outputs: probabilities for classes.
        decoded: predictions as targets: class indices, say.
        targs: targets.
        losses: the loss of each sample ``(samples,)``.
        rows: the position of each sample in ``dls.table``.
    """

    def __init__(self, learn: Learner, found: Outcome, split: str, dl: Any = None, act: Callable[[Tensor], Tensor] | None = None) -> None:
        self.learn, self.split, self.dl, self.outcome = learn, split, dl, found
        self.outputs, self.targs, self.losses, self.rows = found.output, found.target, found.losses, found.rows
        how = readout(learn, act)
        self.preds = how.activate(self.outputs)
        self.decoded = how.decide(self.preds)
        self.task = outcomes.task(learn, self.outputs, self.targs)
        self.block = outcomes.target_block(learn)

    @classmethod
    def from_learner(
        cls,
        learn: Learner,
        ds_idx: int | str = 1,
        dl: Any = None,
        act: Callable[[Tensor], Tensor] | None = None,
        *,
        split: str | None = None,
    ) -> Interpretation:
        """Runs the one inference pass.

        Args:
            ds_idx: the split: 0 or "train", 1 or "valid", 2 or "test".
            dl: a loader with labels to use instead of a split.
            act: raw outputs to predictions, instead of what the target's block or the loss says.
            split: another name for `ds_idx`.
        """
        which = outcomes.split_name(ds_idx if split is None else split)
        if dl is not None and any(dl is own for own in learn.dls.loaders):
            which, dl = outcomes.SPLITS[[dl is own for own in learn.dls.loaders].index(True)], None
        if act is None and is_of_masks(learn) and (found := _of_masks(learn, which, dl)) is not None:
            return found
        return cls(learn, outcomes.run(learn, which, dl), which, dl, act)

    def __len__(self) -> int:
        return len(self.targs)

    @property
    def vocab(self) -> list[Any]:
        """The labels in the order of the outputs; numbers for plain loaders."""
        vocab = getattr(self.block, "vocab", None)
        return list(vocab) if vocab is not None else list(range(self.outputs.shape[1] if self.outputs.ndim > 1 else 1))

    # -- losses -------------------------------------------------------------------------------------------------
    def top_losses(self, k: int | None = None, largest: bool = True, items: bool = False) -> tuple[Any, ...]:
        """The samples with the largest (or smallest) losses.

        Args:
            k: how many; None, or more than there are, is all of them.
            items: give the raw cells of the input (paths, say) too.

        Returns: losses ``(k,)``, positions in the split ``(k,)`` and, with `items`, a list of raw cells.
        """
        k = _whole(k)
        if k is not None and (not isinstance(k, int) or isinstance(k, bool) or k < 1):
            raise SettingError(f"k={k!r}; expected how many samples (a whole number of at least 1), or None for all.")
        if k is not None and k > len(self):
            note(f"top_losses: {k} samples asked for and the split has {len(self)}; all of them are given.")
        order = torch.argsort(self.losses, descending=largest, stable=True)[:k]
        return (self.losses[order], order, [self._item(i) for i in order.tolist()]) if items else (self.losses[order], order)

    def plot_top_losses(
        self,
        k: Indices = 9,
        largest: bool = True,
        nrows: int | None = None,
        ncols: int | None = None,
        figsize: tuple[float, float] | None = None,
    ) -> None:
        """Draws the samples with the largest losses, with prediction, actual label, their probabilities and the loss; rows of a
        table are shown as a table.

        Args:
            k: how many; or a range or list of places in the order of losses (``range(9, 18)``: the next nine).
        """
        k = _whole(k)
        order = self.top_losses(k if isinstance(k, int) else None, largest)[1].tolist()
        wanted = order if isinstance(k, int) or k is None else [order[i] for i in self._within(k, "k")]
        if self._of_rows():
            self._show_rows(wanted)
            return
        titles = [(f"{self._said(i)}\nloss {self.losses[i]:.2f}", self._right(i)) for i in wanted]
        self._draw(
            wanted,
            titles,
            f"{'Largest' if largest else 'Smallest'} losses",
            nrows,
            ncols,
            figsize,
        )

    def show_results(
        self, idxs: Indices = 9, nrows: int | None = None, ncols: int | None = None, figsize: tuple[float, float] | None = None
    ) -> None:
        """Draws samples with prediction and actual label: the first so many, or those at the positions `idxs`."""
        asked = range(len(self)) if idxs is None else _whole(idxs)
        wanted = list(range(min(asked, len(self)))) if isinstance(asked, int) else self._within(asked, "idxs")
        if self._of_rows():
            self._show_rows(wanted)
            return
        self._draw(wanted, [(self._said(i), self._right(i)) for i in wanted], None, nrows, ncols, figsize)

    def _within(self, places: Iterable[int], name: str) -> list[int]:
        places = [int(i) for i in places]
        outside = [i for i in places if not -len(self) <= i < len(self)]
        if outside:
            raise SettingError(f"{name}: {listed(outside)} is outside of the {len(self)} samples (0 to {len(self) - 1}).")
        return places

    # -- as tables ----------------------------------------------------------------------------------------------
    @property
    def table(self) -> pd.DataFrame:
        """The split's rows of ``dls.table`` with the columns prediction, probability (of the prediction),
        probability_actual (of the true class; both for one label per sample) and loss. A column of that name that the
        table had is called source_NAME."""
        whole = getattr(self.learn.dls, "table", None)
        ours = self._columns()
        if self.dl is not None or whole is None or not len(whole):
            return pd.DataFrame({"actual": self._readable(self.targs), **ours})
        table = plain_rows(whole.iloc[self.rows])
        return table.rename(columns={c: f"source_{c}" for c in ours if c in table}).assign(**ours)

    def _columns(self) -> dict[str, Any]:
        columns: dict[str, Any] = {"prediction": self._readable(self.decoded)}
        if self.task == "category":
            columns["probability"] = self.preds.gather(1, self.decoded[:, None])[:, 0].numpy()
            columns["probability_actual"] = self.preds.gather(1, self.targs.long().reshape(-1, 1))[:, 0].numpy()
        return {**columns, "loss": self.losses.numpy()}

    def _readable(self, encoded: Tensor) -> list[Any]:
        if self.block is not None and self.task != "other":
            return [self.block.decode(e.reshape(()) if e.numel() == 1 and self.task == "category" else e) for e in encoded]
        return encoded.tolist() if encoded.ndim == 1 else [None if e.numel() > 64 else e.tolist() for e in encoded]

    def results(self, metrics: Any = None) -> pd.DataFrame:
        """Each metric with its 95 % interval and the trivial baseline: columns metric, value, low, high, baseline, n.

        Args:
            metrics: names, functions or Metrics; the learner's (or the target's own) by default.
        """
        table = results_of(self.learn, self.outcome, metrics, self._groups())
        if metrics is None:
            keep(self.learn, None if self.dl is not None else self.split, table)
        return table

    def by_group(self, column: str, metrics: Any = None) -> pd.DataFrame:
        """The metrics of the samples that share a value in a column of ``dls.table`` (site, camera, speaker ...), with
        their intervals and the trivial baseline on the same samples: columns `column`, n, and for each metric NAME,
        NAME_low, NAME_high, NAME_baseline; the smallest group last. A cell that can't be computed is nan, and a note says
        why. The samples of one patient or site (``group`` in the table) don't count as independent here either. Printed, each
        metric is one column, with its interval in brackets.

        Args:
            column: of ``dls.table``, also where ``interp.table`` has one of its own of that name and calls it source_NAME; or
                one that is only in ``interp.table`` (prediction).

        Raises:
            DataError: there is no such column.
        """
        from burnish.evaluate.tables import Compared

        values = self._values_of(column).reset_index(drop=True)
        chosen, base, groups = chosen_metrics(self.learn, metrics), baseline_of(self.learn.dls), self._groups()
        with captured_notes() as notes:
            rows = [
                self._of_group({column: value}, torch.as_tensor(np.asarray(at, dtype=np.int64)), chosen, base, groups)
                for value, at in values.groupby(values, sort=True, dropna=False).groups.items()
            ]
        for text in [
            *notes[:MOST_NOTES],
            *([f"by_group: {len(notes) - MOST_NOTES} more of such notes."] if len(notes) > MOST_NOTES else []),
        ]:
            note(text)
        return Compared(rows).sort_values("n", ascending=False, kind="stable", ignore_index=True)

    def _values_of(self, column: str) -> Any:
        """What the samples have in a column of the table, the user's own before those of the interpretation."""
        whole, table = getattr(self.learn.dls, "table", None), self.table
        named = f"source_{column}" if column == "split" and "source_split" in table else column  # all are of one split
        if self.dl is None and whole is not None and named in whole:
            if named in self._columns():
                note(
                    f"by_group: {column!r} is your table's column. The model's own is in interp.table, where yours is called 'source_{column}'."
                )
            return plain_rows(whole[[named]].iloc[self.rows])[named]
        if column not in table:
            raise DataError(
                f"by_group: the table has no column {column!r}.{nearest(column, map(str, table.columns))} Columns: {listed(table.columns, 20)}."
            )
        return table[column]

    def _of_group(
        self, of: dict[str, Any], at: Tensor, metrics: Sequence[Metric], base: Baseline | None, groups: Sequence[Any] | None
    ) -> dict[str, Any]:
        """The row of ``by_group`` of the samples at the positions `at`."""
        held = self.outcome.held_out
        part = Outcome(self.outputs[at], self.targs[at], self.losses[at], self.rows[at.numpy()], None if held is None else held[at])
        own = None if groups is None else [groups[i] for i in at.tolist()]
        where = "".join(f" for {column} {value!r}" for column, value in of.items())
        row: dict[str, Any] = {**of, "n": len(at)}
        for found in results_of_metrics(metrics, part, base, own, where):
            name = found["metric"]
            row |= {name: found["value"], **{f"{name}_{k}": found[k] for k in ("low", "high", "baseline")}}
        return row

    # -- one sample ---------------------------------------------------------------------------------------------
    def _groups(self) -> Sequence[Any] | None:
        return None if self.dl is not None else outcomes.groups_of(self.learn.dls, self.rows)

    def _loader(self) -> RowLoader:
        dl = loader_of(self.learn, self.split, self.dl)
        if not isinstance(dl, RowLoader):
            raise DataError(
                "The samples of a plain PyTorch loader can't be drawn: nothing says how. interp.table has the numbers; "
                "DataLoaders from a DataBlock (ImageDataLoaders.from_folder, say) can be drawn."
            )
        return dl

    def _item(self, i: int) -> Any:
        """The raw cell of a sample's input (a tuple of several); its position where there is none."""
        dl, row = loader_of(self.learn, self.split, self.dl), int(self.rows[i])
        if isinstance(dl, DataLoader) and (n := self.learn.dls.n_inp or 1) > 1:
            return tuple(column[row] for column in dl.columns[:n])
        return dl.item(row) if isinstance(dl, RowLoader) else row

    def _draw_one(self, i: int, ax: Any) -> None:
        """The inputs of a sample as the model saw them."""
        dl, row = self._loader(), int(self.rows[i])
        encoded = dl.sample(row)
        values = []
        blocks = dl.blocks[: self.learn.dls.n_inp]
        for block, tensor in zip(blocks, encoded, strict=False):
            finish = block.on_device()
            batch = block.collate([tensor])
            values.append(block.decode((batch if finish is None else finish(batch))[0]))
        draw_inputs(blocks, values, ax)

    def _of_rows(self) -> bool:
        """Whether the samples are rows of a table, which are shown as such."""
        return rows_only(list(getattr(self.learn.dls, "input_blocks", None) or []))

    def _show_rows(self, wanted: list[int]) -> None:
        from burnish.train.results import show_frame

        table = self.table
        last = [c for c in (*self.learn.dls.table.attrs.get("targets", []), *self._columns()) if c in table]
        show_frame(table.iloc[wanted][[*(c for c in table if c not in (*last, "split")), *last]])

    def _draw(
        self,
        wanted: list[int],
        titles: list[tuple[str, bool | None]],
        heading: str | None,
        nrows: int | None,
        ncols: int | None,
        figsize: Any,
    ) -> None:
        self._loader()
        if is_drawn(self.learn.dls.target_blocks):
            self._draw_beside(wanted, heading, nrows, ncols, figsize)
            return
        plots.draw_samples(
            len(wanted),
            lambda place, ax: self._draw_one(wanted[place], ax),
            titles,
            heading,
            nrows,
            ncols,
            figsize,
            self.learn.dls.input_blocks,
        )

    def _draw_beside(self, wanted: list[int], heading: str | None, nrows: int | None, ncols: int | None, figsize: Any) -> None:
        """Each sample twice: with what is true, and with what was predicted."""
        places = [(i, what) for i in wanted for what in (self.targs, self.decoded)]
        titles = [text for i in wanted for text in ("actual", f"predicted, loss {self.losses[i]:.2f}")]
        columns = ncols if ncols is not None or nrows is not None else min(4, len(places))

        def draw(place: int, ax: Any) -> None:
            i, what = places[place]
            self._draw_one(i, ax)
            assert self.block is not None
            self.block.draw(self.block.decode(what[i]), ax)

        plots.draw_samples(
            len(places), draw, [(text, None) for text in titles], heading, nrows, columns, figsize, self.learn.dls.input_blocks
        )

    def _said(self, i: int) -> str:
        """Prediction and actual value of a sample, with the probabilities of both classes, for its title."""
        if self.task == "other":
            return ""
        said, actual = self.in_words(i)
        if self.task == "category":
            said = f"{said} {float(self.preds[i].max()):.0%}"
            actual = actual if self._right(i) else f"{actual} {float(self.preds[i, int(self.targs[i])]):.0%}"
        return f"predicted {said}\nactual {actual}"

    def in_words(self, i: int) -> tuple[str, str]:
        """What was predicted of the sample at position `i`, and what is true of it, in the words of the target's block."""
        said, actual = (self._readable(v)[0] for v in (self.decoded[i : i + 1], self.targs[i : i + 1]))
        return (str(said), str(actual)) if self.block is None else (self.block.say(said), self.block.say(actual))

    def _right(self, i: int) -> bool | None:
        return bool(torch.equal(self.decoded[i].long(), self.targs[i].long())) if self.task in ("category", "labels") else None


def _of_masks(learn: Learner, split: str, dl: Any) -> Interpretation | None:
    """The interpretation of masks; None where the model's outputs are no classes."""
    from burnish.evaluate.interpret_masks import MaskInterpretation

    try:
        return MaskInterpretation(learn, split, dl)
    except ValueError as error:
        if isinstance(error, DataError):
            raise
        return None


def _whole(given: Any) -> Any:
    """One of numpy's whole numbers as Python's; anything else as it is."""
    return int(given) if isinstance(given, np.integer) else given


class ClassificationInterpretation(Interpretation):
    """Interpretation of one label per sample: which classes are taken for which."""

    def _need_classes(self, what: str) -> None:
        if self.task != "category":
            kinds = {"labels": "several labels per sample", "numbers": "numbers"}
            raise DataError(
                f"{what} needs one label per sample, and this model predicts {kinds.get(self.task, 'something else')}. "
                "Use interp.table, interp.top_losses() and interp.results() instead."
            )

    def confusion_matrix(self) -> np.ndarray:
        """How often each class (row) was predicted as each (column): ``(classes, classes)`` of whole numbers.

        Raises:
            DataError: the target isn't one label per sample.
        """
        self._need_classes("A confusion matrix")
        classes = len(self.vocab)
        cells = self.targs.reshape(-1).long() * classes + self.decoded.reshape(-1).long()
        return torch.bincount(cells, minlength=classes**2).reshape(classes, classes).numpy()

    def confusion_table(self) -> pd.DataFrame:
        """The confusion matrix with the labels as index ("actual") and columns ("predicted")."""
        vocab = self.vocab
        return pd.DataFrame(self.confusion_matrix(), index=pd.Index(vocab, name="actual"), columns=pd.Index(vocab, name="predicted"))

    def plot_confusion_matrix(
        self,
        normalize: bool = False,
        title: str = "Confusion matrix",
        cmap: str = "Blues",
        norm_dec: int = 2,
        plot_txt: bool = True,
        figsize: tuple[float, float] | None = None,
        dpi: float | None = None,
    ) -> None:
        """Draws the confusion matrix; see :func:`burnish.evaluate.plots.draw_confusion`."""
        plots.draw_confusion(
            self.confusion_matrix(), [str(v) for v in self.vocab], normalize=normalize, title=title, cmap=cmap, norm_dec=norm_dec,
            plot_txt=plot_txt, figsize=figsize, dpi=dpi,
        )  # fmt: skip

    def most_confused(self, min_val: int = 1) -> list[tuple[Any, Any, int]]:
        """(actual, predicted, count) of the mistakes made at least `min_val` times, the most frequent first."""
        counts, vocab = self.confusion_matrix(), self.vocab
        np.fill_diagonal(counts, 0)
        found = [(vocab[i], vocab[j], int(counts[i, j])) for i, j in np.argwhere(counts >= max(1, min_val))]
        return sorted(found, key=lambda f: -f[2])

    def most_confused_table(self, min_val: int = 1) -> pd.DataFrame:
        """``most_confused`` as a table, with the share of the actual class's samples that the mistake took."""
        table = pd.DataFrame(self.most_confused(min_val), columns=["actual", "predicted", "count"])
        totals = dict(zip(self.vocab, self.confusion_matrix().sum(1), strict=True))
        return table.assign(share=[n / totals[a] for a, n in zip(table["actual"], table["count"], strict=True)])

    def classification_report(self) -> pd.DataFrame:
        """Precision, recall, f1-score and support (samples) of each class, and their averages; 0 where a class was never
        predicted, as in scikit-learn."""
        report: Any = self._report(output_dict=True)
        accuracy = report.pop("accuracy")
        table = pd.DataFrame(report).T
        table.loc["accuracy"] = [accuracy, accuracy, accuracy, len(self)]
        return table.astype({"support": int})

    def print_classification_report(self) -> None:
        """Prints scikit-learn's report of precision, recall and f1-score by class."""
        print(self._report(output_dict=False))

    def _report(self, output_dict: bool) -> Any:
        self._need_classes("A classification report")
        from sklearn.metrics import classification_report

        names = [str(v) for v in self.vocab]
        actual, decided = self.targs.reshape(-1).numpy(), self.decoded.reshape(-1).numpy()
        options: dict[str, Any] = {"labels": list(range(len(names))), "target_names": names, "zero_division": 0, "output_dict": output_dict}
        return classification_report(actual, decided, **options)
