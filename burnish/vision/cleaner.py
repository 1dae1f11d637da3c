"""Looking through pictures and deciding what stays, what goes and what gets another label: in a notebook, in a browser, in code."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from burnish.data.lazy import pd
from burnish.data.whole import checked_whole
from burnish.errors import DataError, SettingError, listed, nearest
from burnish.vision import changes as changing
from burnish.vision import retrain as retraining
from burnish.vision.changes import Change, ChangeList
from burnish.vision.choices import DELETE, KEEP, RELABEL, Choices
from burnish.vision.inputs import check_one_picture

if TYPE_CHECKING:
    from burnish.data.dataloaders import DataLoaders
    from burnish.evaluate.tables import Compared
    from burnish.vision.cleaner_server import Page
    from burnish.vision.issues import Issues
    from burnish.vision.learner import VisionLearner

FOLDER = "cleaning"


class ImagesCleaner:
    """Pictures to look through, each to keep, to delete or to give a label. Shown in a notebook by its name at the end of a cell, in a
    browser by ``open()``. Nothing on disk changes before ``apply()``.

    Args:
        opts: labels that can be chosen, besides those that the pictures have.
        height, width: most pixels of a picture as it is shown.
        max_n: pictures on a page; further pages follow.
        path: where choices, the list of changes and deleted files are kept; "cleaning" in the working directory by default.

    Attributes:
        fns: the files, in an order that never changes; what ``delete()`` and ``change()`` tell are positions in it.
        table: what is known of each: file, label, split, prediction, loss ...
    """

    def __init__(
        self, opts: Sequence[Any] = (), height: int = 128, width: int = 256, max_n: int = 30, *, path: str | os.PathLike[str] | None = None
    ) -> None:  # fmt: skip
        self.height, self.width = checked_whole("height", height, least=16), checked_whole("width", width, least=16)
        self.max_n, self.opts = checked_whole("max_n", max_n, least=1), list(opts)
        self._path = None if path is None else Path(path)
        self._widget: Any = None
        self._set(pd.DataFrame({"file": [], "label": [], "split": []}))

    def set_fns(self, fns: Iterable[str | os.PathLike[str]]) -> None:
        """Takes these files, labelled by their folders' names where `opts` has them."""
        files = [Path(f) for f in fns]
        labels = [f.parent.name if f.parent.name in self.opts else None for f in files]
        self._set(pd.DataFrame({"file": [str(f) for f in files], "label": pd.Series(labels, dtype=object), "split": None}))

    def _set(self, table: pd.DataFrame) -> None:
        self.table = table.reset_index(drop=True)
        self.fns = [Path(f) for f in self.table["file"]]
        self.gone = np.zeros(len(self.fns), dtype=bool)
        keys = [_key(f) for f in self.fns]
        if doubled := [k for k, n in pd.Series(keys, dtype=object).value_counts().items() if n > 1]:
            raise DataError(f"{len(doubled)} file(s) are in several rows, so what is chosen for one can't be told: {listed(doubled, 3)}.")
        self._index = {key: i for i, key in enumerate(keys)}
        names = list(dict.fromkeys([*self._vocab(), *self.opts]))
        self.labels = names
        self.folder = self._place()
        self.choices = Choices(self.folder / "choices.json")

    def _vocab(self) -> list[Any]:
        return sorted({v for v in self.table["label"] if v is not None}, key=str)

    def _place(self) -> Path:
        """Where choices are kept; never in a folder of the pictures, where they could be taken for data."""
        if self._path is not None:
            return self._path.absolute()
        folder = self._results() / FOLDER
        root = Path(os.path.commonpath([f.absolute().parent for f in self.fns])) if self.fns else folder / "none"
        inside = folder.is_relative_to(root) and root != root.parent
        return root.parent / f"{root.name}-{FOLDER}" if inside else folder

    def _results(self) -> Path:
        return Path.cwd()

    # -- choosing ---------------------------------------------------------------------------------------------------
    def choose(self, index: int, do: str | None, to: Any = None) -> None:
        """Chooses for the picture at position `index` of ``fns``.

        Args:
            do: "keep", "delete", "relabel" (with `to`), or None, which takes the choice back.
        """
        if not 0 <= index < len(self.fns):
            raise SettingError(f"There is no picture {index}: there are {len(self.fns)}, numbered from 0.")
        if do not in (KEEP, DELETE, RELABEL, None):
            raise SettingError(
                f"choose(do={do!r}): expected 'keep', 'delete', 'relabel' or None.{nearest(str(do), (KEEP, DELETE, RELABEL))}"
            )
        if do == RELABEL and to not in self.labels:
            raise SettingError(
                f"There is no label {to!r}; there are: {listed(map(repr, self.labels), 12)}.{nearest(str(to), map(str, self.labels))} opts= takes further ones."
            )
        if do == RELABEL and to == self.table["label"].iloc[index]:
            do = KEEP  # it has that label
        self.choices.choose(_key(self.fns[index]), do, to)

    def choice(self, index: int) -> dict[str, Any] | None:
        """What was chosen for a picture: {"do": "keep", "delete" or "relabel", "to": the new label}; None before."""
        return self.choices.of(_key(self.fns[index]))

    def _chosen(self, do: str) -> list[tuple[int, Any]]:
        found = [(self._index[file], choice.get("to")) for file, choice in self.choices if choice["do"] == do and file in self._index]
        return sorted((i, to) for i, to in found if self.fns[i].exists())

    def delete(self) -> list[int]:
        """Positions in ``fns`` of the files chosen to be deleted, of all classes and splits: ``for i in cleaner.delete():
        cleaner.fns[i].unlink()``, or ``cleaner.apply()``, which can be undone. Files that are gone are left out."""
        return [i for i, _ in self._chosen(DELETE)]

    def change(self) -> list[tuple[int, Any]]:
        """(position in ``fns``, new label) of the files chosen to get another label, of all classes and splits."""
        return self._chosen(RELABEL)

    # -- changing ---------------------------------------------------------------------------------------------------
    @property
    def by_folder(self) -> bool:
        """Whether each file's label is the name of its folder."""
        return len(self.fns) > 0 and all(f.parent.name == str(label) for f, label in zip(self.fns, self.table["label"], strict=True))

    def plan(self) -> list[Change]:
        """What ``apply()`` would do."""
        labels = self.table["label"].tolist()
        wanted = [(str(self.fns[i]), DELETE, labels[i], None) for i in self.delete()]
        wanted += [(str(self.fns[i]), RELABEL, labels[i], to) for i, to in self.change()]
        return ChangeList(self.folder).plan(wanted, self.by_folder)

    def apply(self) -> pd.DataFrame:
        """Makes the changes chosen: deleted files move to ``folder/trash``; relabelled ones to the folder of their new class, where labels
        are folders' names, else ``folder/labels.csv`` has the labels as they are now. ``undo()`` takes all of it back.

        Returns: what was done, a row a file: do, file, to, label, new_label.
        """
        by_folder, done = self.by_folder, ChangeList(self.folder).apply(self.plan())
        keys = [_key(Path(c.file)) for c in done]
        for change, key in zip(done, keys, strict=True):
            self._follow(self._index[key], change)
        self.choices.forget([*keys, *(key for key, _ in self.choices if key in self._index and not Path(key).exists())])
        if done and not by_folder:
            self._write_labels()
        return pd.DataFrame([vars(c) for c in done], columns=["do", "file", "to", "label", "new_label"])

    def _follow(self, i: int, change: Change, back: bool = False) -> None:
        """Has the table say what became of a file."""
        here = change.file if back else change.to
        self.gone[i] = change.do == DELETE and not back
        self._index.pop(_key(self.fns[i]), None)
        self.fns[i] = Path(here)
        self._index[_key(self.fns[i])] = i
        self.table.loc[i, "file"] = here
        if change.do == RELABEL:
            self.table.loc[i, "label"] = change.label if back else change.new_label

    def _write_labels(self) -> None:
        kept = self.table.loc[~self.gone, ["file", "label", "split"]]
        kept.to_csv(self.folder / changing.LABELS, index=False)

    def undo(self) -> pd.DataFrame:
        """Takes back what the last ``apply()`` did, also that of an earlier session; returns what was taken back."""
        undone = ChangeList(self.folder).undo()
        for change in undone:
            i = self._index.get(_key(Path(change.to)))
            if i is not None:
                self._follow(i, change, back=True)
        if (self.folder / changing.LABELS).is_file():
            self._write_labels()
        return pd.DataFrame([vars(c) for c in undone], columns=["do", "file", "to", "label", "new_label"])

    # -- showing ----------------------------------------------------------------------------------------------------
    def open(self, port: int = 0, browser: bool = True) -> Page:
        """Serves the page on this computer alone, and opens it in the browser; returns it: ``page.url``, ``page.close()``.

        Args:
            port: 0 takes a free one.
        """
        from burnish.vision.cleaner_server import Page

        return Page(self, port, browser)

    def widget(self) -> Any:
        """The cleaner as a widget of a notebook (needs anywidget: ``pip install "burnish[notebook]"``)."""
        from burnish.vision.cleaner_widget import make_widget

        if self._widget is None:
            self._widget = make_widget(self)
        return self._widget

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        try:
            return self.widget()._repr_mimebundle_(include=include, exclude=exclude)
        except ImportError as error:
            return {"text/plain": f"{self!r}\n{error}"}

    def __repr__(self) -> str:
        n, m = len(self.delete()), len(self.change())
        return f"{type(self).__name__}({len(self.fns) - int(self.gone.sum())} pictures; chosen: {n} to delete, {m} to relabel; kept in {self.folder}). cleaner.open() shows them in a browser."


class ImageClassifierCleaner(ImagesCleaner):
    """The pictures of a classifier, ordered by its loss or by suspicion, to keep, relabel or delete.

    Choices hold for all classes and splits together, are kept in a small file at once, and are there again after a restart.

    Args:
        learn: the learner; its losses on all splits are computed once. `opts` ... `path`: see ImagesCleaner; choices are kept in
            ``learn.path/cleaning`` by default, or beside the folder of pictures where that would lie in it.
        issues: what ``find_issues(learn)`` found: then pictures are ordered by suspicion, and labels suggested.

    Raises:
        DataError: the target isn't one label, or the pictures are no files.
    """

    def __init__(
        self, learn: Any, opts: Sequence[Any] = (), height: int = 128, width: int = 256, max_n: int = 30, *, issues: Issues | None = None,
        path: str | os.PathLike[str] | None = None,
    ) -> None:  # fmt: skip
        self.learn = learn
        super().__init__(opts, height, width, max_n, path=path)
        self._set(_looked_at(learn, issues))

    def _vocab(self) -> list[Any]:
        return list(self.learn.dls.vocab) if len(self.table) else []

    def _results(self) -> Path:
        return Path(self.learn.path).absolute()

    # -- what follows -----------------------------------------------------------------------------------------------
    def dataloaders(self) -> DataLoaders:
        """The data as it is now: without what was deleted, with the new labels; every other picture on its side of the split."""
        dls = self.learn.dls
        inputs, targets = dls.table.attrs["inputs"], dls.table.attrs["targets"]
        table = dls.table.copy()
        rows = self.table["row"].to_numpy()
        for name, values in ((inputs[0], self.fns), (targets[0], self.table["label"])):
            column = table[name].copy()
            for row, value in zip(rows, values, strict=True):
                column.iloc[row] = value
            table[name] = column
        table = table.drop(index=table.index[rows[self.gone]]).reset_index(drop=True)
        new = [v for v in self.table.loc[~self.gone, "label"].unique() if v not in list(dls.vocab)]
        if new:
            raise SettingError(
                f"{listed(map(repr, new))} is no class of the learner: make DataLoaders of the folder anew, and a learner for them."
            )
        return retraining.on_table(dls, table)

    def retrain(self, epochs: int | None = None, fit: retraining.Fit | None = None) -> VisionLearner:
        """A new learner like the first one, trained in the same way on the data as it is now; see ``burnish.vision.retrain.retrained``."""
        return retraining.retrained(self.learn, self.dataloaders(), epochs, fit)

    def compare(self, again: Any) -> Compared:
        """The learner before and `again` on the same validation pictures, with the labels that these have now."""
        valid = self.learn.dls.table["split"].iloc[self.table["row"]].to_numpy() == "valid"
        was = self.learn.dls.table[self.learn.dls.table.attrs["targets"][0]].iloc[self.table["row"]].to_numpy()
        changed = int((valid & (self.gone | (was != self.table["label"].to_numpy()))).sum())
        return retraining.compared(self.learn, again, changed)


def _key(file: Path) -> str:
    return os.path.abspath(file)


def _looked_at(learn: Any, issues: Issues | None) -> pd.DataFrame:
    """The rows of a learner's data with prediction, confidence, loss and suspicion."""
    from burnish.evaluate.interpret import Interpretation

    dls = learn.dls
    _check(dls)
    inputs, targets = dls.table.attrs["inputs"], dls.table.attrs["targets"]
    rows = np.flatnonzero(dls.table["split"].notna().to_numpy())
    table = pd.DataFrame({
        "row": rows, "file": [os.fspath(f) for f in dls.table[inputs[0]].iloc[rows]],
        "label": pd.Series(dls.table[targets[0]].iloc[rows].tolist(), dtype=object), "split": dls.table["split"].iloc[rows].tolist(),
    })  # fmt: skip
    seen = []
    for split in ("train", "valid", "test")[: len(dls)]:
        found = Interpretation.from_learner(learn, split)
        columns: dict[str, Any] = found._columns()
        seen.append(pd.DataFrame({"row": found.rows, **columns}))
    table = table.merge(pd.concat(seen, ignore_index=True).drop_duplicates("row"), on="row", how="left")
    return _with_issues(table, issues)


def _check(dls: Any) -> None:
    kinds = [b.kind for b in getattr(dls, "target_blocks", [])]
    if kinds != ["category"] or dls.input_blocks[0].kind != "image":
        raise DataError(
            f"ImageClassifierCleaner is for pictures with one label each (ImageBlock, CategoryBlock); the targets are {listed(kinds) or 'unknown'}. "
            "find_issues(learn) tells what is wrong with several labels; ImagesCleaner takes any files."
        )
    check_one_picture(dls, "ImageClassifierCleaner")
    if not len(dls):
        raise DataError("There are no pictures: this model was loaded from a file. Give it data first: learn.dls = dls.")
    cells = dls.table[dls.table.attrs["inputs"][0]]
    if not all(isinstance(c, (str, os.PathLike)) for c in cells):
        raise DataError(
            "The pictures are no files (arrays, bytes), so there is nothing on disk to clean. find_issues(learn) tells what is wrong with them."
        )


def _with_issues(table: pd.DataFrame, issues: Any) -> pd.DataFrame:
    """The table with suspicion (the highest score of a row's issues), a suggested label, and its issues in words."""
    if issues is None:
        return table.assign(suspicion=np.nan, suggested=None, about="")
    by_row: dict[int, list[dict[str, Any]]] = {}
    for issue in issues.to_dict("records"):
        by_row.setdefault(int(issue["row"]), []).append(issue)
    found = [by_row.get(int(row), []) for row in table["row"]]
    labels = [next((i["suggested"] for i in each if i["issue"] == "wrong_label"), None) for each in found]
    return table.assign(
        suspicion=[max((i["score"] for i in each), default=0.0) for each in found],
        suggested=pd.Series(labels, dtype=object),
        about=["; ".join(_in_words(i) for i in each) for each in found],
    )


def _in_words(issue: dict[str, Any]) -> str:
    if issue["issue"] == "wrong_label":
        return f"label likely wrong ({'over 99' if issue['score'] > 0.99 else format(100 * issue['score'], '.0f')} %)"
    like = f": {os.path.basename(issue['like'])}" if issue["like"] and issue["issue"] != "outlier" else ""
    return f"{issue['issue'].replace('_', ' ')}{like or (': ' + issue['about'] if issue['about'] else '')}"
