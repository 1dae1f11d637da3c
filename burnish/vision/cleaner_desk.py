"""What the page and the widget ask of a cleaner, and the answers: one protocol, whatever carries it.

A question is an operation's name and its arguments (JSON); the answer is JSON too. Files are named by their positions in ``cleaner.fns``,
never by paths.
"""

from __future__ import annotations

import io
import math
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from burnish.data.check import short
from burnish.data.notes import captured_notes
from burnish.errors import DataError, SettingError, UnreadableFileError, listed
from burnish.vision.choices import DELETE, KEEP, RELABEL
from burnish.vision.image import open_image

if TYPE_CHECKING:
    from burnish.vision.cleaner import ImagesCleaner

SORTS = {"suspicion": "most suspicious first", "loss": "largest loss first", "file": "by file"}
SHOWN = {"all": "all", "open": "undecided", "chosen": "decided"}
_KEPT_THUMBS = 2000
_REFUSED = (DataError, SettingError, OSError)


class Desk:
    """Answers the questions about one cleaner, one at a time."""

    def __init__(self, cleaner: ImagesCleaner) -> None:
        self.cleaner, self._lock = cleaner, threading.RLock()
        self._thumbs: OrderedDict[tuple[str, int, int], bytes] = OrderedDict()

    def answer(self, op: Any, args: Any) -> dict[str, Any]:
        """The answer to one question; {"error": why} where it can't be had. Never raises for what a page may send."""
        asked = {
            "start": self.start,
            "list": self.list,
            "choose": self.choose,
            "undo": self.undo,
            "plan": self.plan,
            "apply": self.apply,
            "revert": self.revert,
        }
        if op not in asked or not isinstance(args, dict):
            return {"error": f"There is no operation {op!r}; there are: {listed(asked, 9)}."}
        with self._lock, captured_notes() as notes:
            try:
                return {**asked[op](**args), **({"notes": list(notes)} if notes else {})}
            except _REFUSED as error:
                return {"error": str(error)}
            except TypeError as error:  # arguments that the operation doesn't take
                return {"error": f"{op}: {error}"}

    # -- operations -------------------------------------------------------------------------------------------------
    def start(self) -> dict[str, Any]:
        """What the page is built from."""
        table: Any = self.cleaner.table
        sorts = [s for s in SORTS if s == "file" or (s in table and table[s].notna().any())]
        splits = [s for s in ("train", "valid", "test") if (table["split"] == s).any()]
        page = {"height": self.cleaner.height, "width": self.cleaner.width, "max_n": self.cleaner.max_n}
        return {
            "labels": [str(v) for v in self.cleaner.labels], "splits": splits, "sorts": {s: SORTS[s] for s in sorts}, "shown": SHOWN,
            "by_folder": self.cleaner.by_folder, "folder": str(self.cleaner.folder), **page, **self.counts(),
        }  # fmt: skip

    def counts(self) -> dict[str, int]:
        c = self.cleaner
        return {"n": int((~c.gone).sum()), "kept": len(c._chosen(KEEP)), "deleted": len(c.delete()), "relabelled": len(c.change())}

    def list(
        self, sort: str = "suspicion", label: int | None = None, split: str | None = None, shown: str = "all", offset: int = 0
    ) -> dict[str, Any]:
        """A page of pictures, and how many there are in all.

        Args:
            label: position in the labels. shown: "all", "open" (nothing chosen yet) or "chosen".
        """
        found = [i for i in self._order(sort).tolist() if self._is_shown(i, label, split, shown)]
        offset = min(max(int(offset), 0), max(len(found) - 1, 0) // self.cleaner.max_n * self.cleaner.max_n)
        return {
            "rows": [self._row(i) for i in found[offset : offset + self.cleaner.max_n]],
            "total": len(found),
            "offset": offset,
            **self.counts(),
        }

    def choose(self, row: int, do: str | None, to: int | None = None) -> dict[str, Any]:
        labels = self.cleaner.labels
        if do == RELABEL and (not isinstance(to, int) or not 0 <= to < len(labels)):
            raise SettingError(f"There is no label number {to!r}; there are {len(labels)}, numbered from 0.")
        self.cleaner.choose(int(row), do, labels[to] if do == RELABEL and to is not None else None)
        return {"row": self._row(int(row)), **self.counts()}

    def undo(self) -> dict[str, Any]:
        """Takes the last choice back."""
        file = self.cleaner.choices.undo()
        i = None if file is None else self.cleaner._index.get(file)
        return {"row": None if i is None else self._row(i), **self.counts()}

    def plan(self) -> dict[str, Any]:
        """What applying would do, in words."""
        c, changes = self.cleaner, self.cleaner.plan()
        gone, new = [x for x in changes if x.do == DELETE], [x for x in changes if x.do == RELABEL]
        says = []
        if gone:
            says.append(f"{len(gone)} file(s) move to the trash, {c.folder / 'trash'}")
        if new and c.by_folder:
            to = {str(x.new_label) for x in new}
            says.append(f"{len(new)} file(s) move to the folders of their new classes: {listed(sorted(to), 8)}")
        elif new:
            says.append(f"{len(new)} label(s) change in {c.folder / 'labels.csv'}; the files stay where they are")
        return {
            "says": says,
            "files": [{"file": short(x.file), "to": short(x.to), "do": x.do} for x in changes[:50]],
            "total": len(changes),
        }

    def apply(self) -> dict[str, Any]:
        return {"done": len(self.cleaner.apply()), **self.counts()}

    def revert(self) -> dict[str, Any]:
        """Takes the last applying back."""
        return {"done": len(self.cleaner.undo()), **self.counts()}

    # -- rows -------------------------------------------------------------------------------------------------------
    def _order(self, sort: str) -> np.ndarray:
        table: Any = self.cleaner.table
        if sort not in SORTS:
            raise SettingError(f"There is no order {sort!r}; there are: {listed(SORTS)}.")
        column = sort if sort in table and table[sort].notna().any() else "loss" if "loss" in table else "file"
        if column == "file":
            return np.argsort(table["file"].to_numpy(dtype=str), kind="stable")
        values = table[column].to_numpy(dtype=float)
        loss = table["loss"].to_numpy(dtype=float) if "loss" in table else values
        unknown = np.where(np.isnan(values), np.inf, values)  # files that can't be read come first
        return np.lexsort((-np.nan_to_num(loss, nan=np.inf), -unknown))

    def _is_shown(self, i: int, label: int | None, split: str | None, shown: str) -> bool:
        c = self.cleaner
        if c.gone[i] or (split is not None and c.table["split"].iat[i] != split):
            return False
        if label is not None and str(c.table["label"].iat[i]) != str(c.labels[label]):
            return False
        chosen = c.choice(i) is not None
        return shown == "all" or chosen == (shown == "chosen")

    def _row(self, i: int) -> dict[str, Any]:
        row: Any = self.cleaner.table.iloc[i]
        choice = self.cleaner.choice(i)
        said = {
            k: _plain(row.get(k))
            for k in ("label", "split", "prediction", "probability", "probability_actual", "loss", "suspicion", "suggested", "about")
        }
        names = [str(v) for v in self.cleaner.labels]
        suggested = said["suggested"]
        return {
            **said, "id": i, "file": short(str(self.cleaner.fns[i])), "do": choice["do"] if choice else None, "to": str(choice["to"]) if choice and "to" in choice else None,
            "suggested_number": names.index(str(suggested)) if suggested is not None and str(suggested) in names else None,
        }  # fmt: skip

    def thumb(self, i: int) -> bytes | None:
        """The picture at position `i` as a small JPEG; None where there is none or it can't be read."""
        c = self.cleaner
        if not 0 <= i < len(c.fns) or c.gone[i]:
            return None
        key = (str(c.fns[i]), c.width, c.height)
        with self._lock:
            if key in self._thumbs:
                self._thumbs.move_to_end(key)
                return self._thumbs[key]
        made = _thumb(key[0], 2 * c.width, 2 * c.height)  # sharp on dense screens
        if made is not None:
            with self._lock:
                self._thumbs[key] = made
                while len(self._thumbs) > _KEPT_THUMBS:
                    self._thumbs.popitem(last=False)
        return made


def _thumb(file: str, width: int, height: int) -> bytes | None:
    try:
        image = open_image(file, "RGB", lambda size: (width, height))
    except (OSError, UnreadableFileError):
        return None
    image.thumbnail((width, height), Image.Resampling.LANCZOS)
    kept = io.BytesIO()
    image.save(kept, "JPEG", quality=85)
    return kept.getvalue()


def _plain(value: Any) -> Any:
    """A cell as JSON has it."""
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else str(value)
