"""Moving picture files as it was chosen, with a list of every change, by which all of it can be undone."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from burnish.data.notes import note
from burnish.errors import DataError, listed

LIST, TRASH, LABELS = "changes.jsonl", "trash", "labels.csv"


@dataclass
class Change:
    """One change of a file: `do` is "delete" or "relabel", `to` where it goes (its own place where only a list of labels changes)."""

    do: str
    file: str
    to: str
    label: Any
    new_label: Any = None


class ChangeList:
    """The changes made to a data set, a line of JSON each in `folder`/changes.jsonl; deleted files lie in `folder`/trash.

    A line is written before its file is moved, so that what an interruption left half done can be told and undone.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / LIST

    def plan(self, wanted: Sequence[tuple[str, str, Any, Any]], by_folder: bool) -> list[Change]:
        """Where each file would go.

        Args:
            wanted: (file, "delete" or "relabel", label, new label) each.
            by_folder: a file's label is its folder's name: then relabelling moves it to the folder of its new class beside its own.
        """
        batch, taken, planned = self._next(), set[str](), []
        for file, do, label, new in wanted:
            path = Path(file)
            if do == "delete":
                to = _free(self.folder / TRASH / str(batch) / path.parent.name / path.name, taken)
            elif by_folder:
                to = _free(path.parent.parent / str(new) / path.name, taken)
            else:
                to = path
            taken.add(str(to))
            planned.append(Change(do, file, str(to), label, new if do == "relabel" else None))
        return planned

    def apply(self, planned: Sequence[Change]) -> list[Change]:
        """Makes the changes and gives those that were made; files that have vanished are left out with a note.

        Raises:
            OSError: a file can't be moved. What was done before it stays done, and in the list.
        """
        there = [c for c in planned if os.path.exists(c.file)]
        if gone := [c.file for c in planned if not os.path.exists(c.file)]:
            note(f"{len(gone)} file(s) aren't there any more and were left out: {listed(gone, 3)}.")
        batch = self._next()
        self.folder.mkdir(parents=True, exist_ok=True)
        for change in there:
            places = {"file": os.path.abspath(change.file), "to": os.path.abspath(change.to)}  # so that it can be undone from any folder
            self._write({"batch": batch, "time": datetime.now(UTC).isoformat(timespec="seconds"), **asdict(change), **places})
            if change.to != change.file:
                _move(change.file, change.to)
        return there

    def undo(self) -> list[Change]:
        """Takes the last batch of changes back, in reverse; gives those that were taken back.

        Raises:
            DataError: there is nothing to undo; or a file can't go back, as its place is taken (nothing is changed then).
        """
        batch = next((b for b, undone in reversed(self._batches().items()) if not undone), None)
        if batch is None:
            raise DataError(f"There is nothing to undo: {self.file} tells of no changes.")
        lines = [line for line in self._lines() if line.get("batch") == batch and "do" in line]
        changes = [Change(**{k: line[k] for k in ("do", "file", "to", "label", "new_label")}) for line in reversed(lines)]
        moved = [c for c in changes if c.to != c.file and os.path.exists(c.to)]
        lost = [c for c in changes if c.to != c.file and not os.path.exists(c.to) and not os.path.exists(c.file)]
        taken = [c for c in moved if os.path.exists(c.file)]
        if taken or lost:
            what = (
                f"in the place of {listed([c.file for c in taken], 3)} there is another file"
                if taken
                else f"{listed([c.to for c in lost], 3)} is gone"
            )
            raise DataError(f"The changes can't be undone: {what}. Put it right by hand, then undo again; nothing was changed.")
        for change in moved:
            _move(change.to, change.file)
            _remove_empty(Path(change.to).parent, self.folder)
        self._write({"undone": batch, "time": datetime.now(UTC).isoformat(timespec="seconds")})
        return changes

    def _batches(self) -> dict[int, bool]:
        """Each batch in order, and whether it was undone."""
        batches: dict[int, bool] = {}
        for line in self._lines():
            if "undone" in line:
                batches[line["undone"]] = True
            else:
                batches.setdefault(line["batch"], False)
        return batches

    def _next(self) -> int:
        return max(self._batches(), default=0) + 1

    def _lines(self) -> list[dict[str, Any]]:
        if not self.file.is_file():
            return []
        try:
            return [json.loads(line) for line in self.file.read_text(encoding="utf-8").splitlines() if line.strip()]
        except ValueError as error:
            raise DataError(f"{self.file}, the list of changes, can't be read ({error}). Mend the line that isn't JSON.") from None

    def _write(self, line: dict[str, Any]) -> None:
        with open(self.file, "a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())


def _free(path: Path, taken: set[str]) -> Path:
    """`path`, or the first of NAME_2, NAME_3 ... that nothing has: no picture is ever written over."""
    tried, n = path, 2
    while tried.exists() or str(tried) in taken:
        tried, n = path.with_name(f"{path.stem}_{n}{path.suffix}"), n + 1
    return tried


def _move(source: str, target: str) -> None:
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    shutil.move(source, target)


def _remove_empty(folder: Path, root: Path) -> None:
    """Removes the folders of the trash that undoing left empty."""
    while folder != root and folder.is_relative_to(root) and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent
