"""Predictor: an exported model and nothing more than predicting with it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from burnish.data.block import Block
from burnish.data.lazy import pd
from burnish.data.notes import captured_notes
from burnish.data.reader import describe_failure
from burnish.data.table import column_names
from burnish.errors import DataError, SettingError
from burnish.train.export import load_learner
from burnish.train.predict import Prediction

_AT_ONCE = 16  # pictures of which all predictions are held: a mask is as large as its picture


class Predictor:
    """Predicts with an exported model: ``Predictor("model.burnish").predict("a.jpg")``.

    Args:
        path: what ``learn.export`` wrote.
        device: where it runs.

    Attributes:
        vocab: the labels it can answer (None for a model without labels).
        record: what it was trained on and how well it did, as data; `card`: the same in words.
    """

    def __init__(self, path: str | os.PathLike[str], device: str | torch.device = "cpu") -> None:
        self.learn = load_learner(path, device=device)
        self.vocab: list[Any] | None = next((v for b in self.learn.dls.target_blocks if (v := getattr(b, "vocab", None)) is not None), None)
        self.record, self.card = self.learn.record, self.learn.card

    def predict(self, item: Any) -> Any:
        """The prediction ``(label, index, probs)`` of a path, bytes, picture or array; a list gives a list."""
        return self.learn.predict(item)

    __call__ = predict

    def table(
        self, items: Iterable[Any], all_probabilities: bool = False, masks: str | os.PathLike[str] | None = None,
        drawings: str | os.PathLike[str] | None = None,
    ) -> pd.DataFrame:  # fmt: skip
        """Predictions of many items as a table, a row an item in the order given.

        Columns: file (the item), label, probability, error (why an item could not be read, else empty), and with
        `all_probabilities` one column a label. Of points there is an x and a y of each, in pixels; of masks the share of each class; of boxes how many there are of which
        class, and all of them. An item that can't be read has no label and doesn't stop the others.

        Args:
            masks: of a model of masks, a folder that gets each as a PNG, under the name of its picture: with the numbers or colours of the masks that it was learned from.
            drawings: a folder that gets each item drawn with what is said of it, as a PNG (see ``learn.show_prediction``).
        """
        if isinstance(items, (str, bytes, Path)):
            raise SettingError(
                f"table() got one item, {str(items)[:80]!r}; expected a list of items, e.g. table([item]). For one item use predict(item)."
            )
        items = list(items)
        errors: dict[int, str] = {}
        to_masks, to_drawings = _Files(masks, items), _Files(drawings, items)
        if any(block.located for block in self.learn.dls.target_blocks) and items:
            return self._located(items, to_masks, to_drawings)
        if not items:
            return self._frame([], {}, {}, all_probabilities, to_drawings)
        try:
            probs, errors = self._probabilities(items, range(len(items)))
        except DataError:  # not one of a whole batch could be read: find out which, and predict the others
            errors = {i: why for i, item in enumerate(items) if (why := self._unreadable(item))}
            good = [i for i in range(len(items)) if i not in errors]
            if len(good) == len(items):
                raise
            probs = self._probabilities([items[i] for i in good], good)[0] if good else {}
        return self._frame(items, probs, errors, all_probabilities, to_drawings)

    def _probabilities(self, items: list[Any], positions: Iterable[int]) -> tuple[dict[int, tuple[torch.Tensor, ...]], dict[int, str]]:
        """Activated predictions by position, one a target, and what could not be read."""
        where = list(positions)
        dl = self.learn.dls.test_dl(items, on_error="skip")
        with captured_notes():  # what can't be read is told in the table
            got = self.learn.get_preds(dl=dl)
        each = got.preds if isinstance(got.preds, tuple) else (got.preds,)
        return {where[row]: p for row, p in zip(got.rows, zip(*each, strict=True), strict=True)}, {
            where[row]: why for row, why in dl.skipped.items()
        }

    def _located(self, items: list[Any], masks: _Files, drawings: _Files) -> pd.DataFrame:
        """The table of what has places in the picture."""
        blocks, names = self.learn.dls.target_blocks, self._names()
        errors = {i: why for i, item in enumerate(items) if (why := self._unreadable(item))}
        good = [i for i in range(len(items)) if i not in errors]
        found: dict[int, dict[str, Any]] = {}
        for some in (good[k : k + _AT_ONCE] for k in range(0, len(good), _AT_ONCE)):
            for i, made in zip(some, self.learn.predict([items[i] for i in some]), strict=True):
                labels = (made.label,) if len(blocks) == 1 else made.label
                cells = [block.cells(label) for block, label in zip(blocks, labels, strict=True)]
                found[i] = {
                    (what if len(blocks) == 1 else f"{name}: {what}"): value
                    for name, part in zip(names, cells, strict=True)
                    for what, value in part.items()
                }
                if masks and blocks[0].kind == "mask":
                    picture = blocks[0].as_picture(labels[0])  # type: ignore[attr-defined]
                    found[i]["mask"] = masks.write(i, lambda file, picture=picture: picture.save(file, pnginfo=_marked()))
                if drawings:
                    found[i]["drawing"] = drawings.write(i, self._drawn(items[i], made))
        rows = [{"file": _named(item), **found.get(i, {}), "error": errors.get(i, "")} for i, item in enumerate(items)]
        columns = list(dict.fromkeys(c for row in sorted(rows, key=len, reverse=True) for c in row))
        return pd.DataFrame(rows, columns=columns)

    def _unreadable(self, item: Any) -> str | None:
        blocks = self.learn.dls.input_blocks
        parts = (item,) if len(blocks) == 1 else item
        try:
            for block, part in zip(blocks, parts, strict=True):
                block.encode(block.open(part)) if block.of_row else block.open(part)
        except (DataError, OSError) as error:
            return describe_failure(item, error)
        return None

    def _drawn(self, item: Any, prediction: Prediction) -> Callable[[Path], None]:
        """What writes a picture of an item with its prediction to a file."""

        def save(file: Path) -> None:
            import matplotlib.pyplot as plt

            open_before = set(plt.get_fignums())
            self.learn.show_prediction(item, prediction=prediction)
            figure = plt.gcf()
            figure.savefig(file, dpi=150, bbox_inches="tight", metadata={_MARK: _MADE_BY})
            for number in set(plt.get_fignums()) - open_before:
                plt.close(number)

        return save

    def _names(self) -> list[str]:
        """What the targets are called."""
        dls = self.learn.dls
        return column_names(dls.blocks)[len(dls.input_blocks) :]

    def _frame(
        self,
        items: list[Any],
        probs: dict[int, tuple[torch.Tensor, ...]],
        errors: dict[int, str],
        all_probabilities: bool,
        drawings: _Files,
    ) -> pd.DataFrame:
        blocks, names = self.learn.dls.target_blocks, self._names()
        rows = []
        for i, item in enumerate(items):
            row: dict[str, Any] = {"file": _named(item)}
            made = [_Answer(block, p[None]) for block, p in zip(blocks, probs[i], strict=True)] if i in probs else [None] * len(blocks)
            for name, answer in zip(names, made, strict=True):
                label, sure = ("label", "probability") if len(blocks) == 1 else (name, f"{name} probability")
                row[label] = None if answer is None else answer.label
                if len(blocks) == 1 or blocks[names.index(name)].kind == "category":
                    row[sure] = float("nan") if answer is None else answer.sure
            row["error"] = errors.get(i, "")
            if i in probs and all_probabilities:
                for name, block, p in zip(names, blocks, probs[i], strict=True):
                    first = "" if len(blocks) == 1 else f"{name}="
                    row |= {f"p({first}{label})": float(v) for label, v in zip(getattr(block, "vocab", None) or (), p, strict=False)}
            if i in probs and drawings:
                label, index = (tuple(getattr(answer, what) for answer in made) for what in ("label", "index"))
                parts = (label, index, probs[i]) if len(blocks) > 1 else (label[0], index[0], probs[i][0])
                row["drawing"] = drawings.write(i, self._drawn(item, Prediction(*parts)))
            rows.append(row)
        return pd.DataFrame(rows, columns=None if rows else ["file", "label", "probability", "error"])


class _Answer:
    """What one target's activated predictions ``(1, ...)`` of an item say: label, index, and how sure they are (nan where that isn't known)."""

    def __init__(self, block: Block, probs: torch.Tensor) -> None:
        self.index = block.decide(probs)[0]
        self.label = block.decode(self.index)
        self.sure = float(probs[0][int(self.index)]) if block.kind == "category" else float("nan")


_MARK, _MADE_BY = "Software", "burnish"  # by which PNGs that were written here are known


def _marked() -> PngInfo:
    info = PngInfo()
    info.add_text(_MARK, _MADE_BY)
    return info


class _Files:
    """Where a PNG of each of some items goes: a folder (or None, for nowhere), and in it the item's name.

    Raises:
        SettingError: a file of such a name is there that wasn't written so: a photograph, or a mask that somebody drew, would be lost.
    """

    def __init__(self, folder: str | os.PathLike[str] | None, items: list[Any]) -> None:
        self.files: list[Path] = []
        taken = set[str]()
        for item in items if folder is not None else ():
            stem, n = Path(item).stem if isinstance(item, (str, Path)) else "item", 2
            name = f"{stem}.png"
            while name in taken:
                name, n = f"{stem}_{n}.png", n + 1
            taken.add(name)
            self.files.append(Path(folder or ".") / name)
        foreign = [file for file in self.files if file.exists() and not _is_ours(file)]
        if foreign:
            raise SettingError(
                f"{len(foreign)} of the pictures to write are in {folder} already and are no predictions, such as {foreign[0].name}: they would be lost. Choose another folder."
            )

    def __bool__(self) -> bool:
        return bool(self.files)

    def write(self, i: int, save: Callable[[Path], Any]) -> str:
        """Has `save` write the file of the item at place `i`; gives its name."""
        file = self.files[i]
        file.parent.mkdir(parents=True, exist_ok=True)
        save(file)
        return str(file)


def _is_ours(file: Path) -> bool:
    try:
        with Image.open(file) as picture:
            return picture.info.get(_MARK) == _MADE_BY
    except OSError:
        return False


def _named(item: Any) -> str:
    if isinstance(item, tuple):
        return ", ".join(map(_named, item))
    return str(item) if isinstance(item, (str, Path)) else f"<{type(item).__name__}>"
