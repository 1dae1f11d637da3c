"""Predictor: an exported model and nothing more than predicting with it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from burnish.data.block import Block
from burnish.data.lazy import pd
from burnish.data.notes import captured_notes
from burnish.data.reader import describe_failure
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
        `all_probabilities` one column a label. Of points there is an x and a y of each, in pixels; of several numbers each; of masks the share of each class; of boxes how many there are of which
        class, and all of them. Several targets have columns each, which begin with the target's name. An item that can't be read has no label and doesn't stop the others.

        Args:
            masks: of a model of masks, a folder that gets each as a PNG, under the name of its picture: with the numbers or colours of the masks that it was learned from.
            drawings: a folder that gets each item drawn with what is said of it, as a PNG (see ``learn.show_prediction``).
        """
        if isinstance(items, (str, bytes, Path)):
            raise SettingError(
                f"table() got one item, {str(items)[:80]!r}; expected a list of items, e.g. table([item]). For one item use predict(item)."
            )
        items, blocks = list(items), self.learn.dls.target_blocks
        if masks is not None and all(block.kind != "mask" for block in blocks):
            raise SettingError("masks= is of a model that predicts masks, and this one doesn't. Leave it out.")
        if masks is not None and drawings is not None and Path(masks).resolve() == Path(drawings).resolve():
            raise SettingError(
                f"masks= and drawings= are both {str(masks)!r}, and their files would have the same names. Give each its own folder."
            )
        to = _Files(masks, items, "mask"), _Files(drawings, items, "drawing")
        errors: dict[int, str] = {}
        located = any(block.located for block in blocks)
        found = {
            i: self._row(i, items[i], made, all_probabilities, *to)
            for i, made in (self._in_place if located else self._in_batches)(items, errors)
        }
        blank = {} if len(blocks) > 1 or any(map(_in_columns, blocks)) else {"label": None, "probability": float("nan")}
        rows = [found.get(i) or {"file": _named(item), **blank, "error": errors.get(i, "it was left out")} for i, item in enumerate(items)]
        columns = list(dict.fromkeys(c for row in sorted(rows, key=len, reverse=True) for c in row)) or [
            "file",
            "label",
            "probability",
            "error",
        ]
        return pd.DataFrame(rows, columns=columns)

    def _in_batches(self, items: list[Any], errors: dict[int, str]) -> Iterator[tuple[int, Prediction]]:
        """The prediction of each item that can be read, with its place; the others' places and what was wrong go to `errors`."""
        where = list(range(len(items)))
        try:
            got, skipped = self._preds(items) if items else ({}, {})
        except DataError:  # not one of a whole batch could be read: find out which, and predict the others
            errors |= {i: why for i, item in enumerate(items) if (why := self._unreadable(item))}
            where = [i for i in where if i not in errors]
            if len(where) == len(items):
                raise
            got, skipped = self._preds([items[i] for i in where]) if where else ({}, {})
        errors |= {where[row]: why for row, why in skipped.items()}
        blocks = self.learn.dls.target_blocks
        for row, probs in got.items():
            index = tuple(block.decide(p[None])[0] for block, p in zip(blocks, probs, strict=True))
            label = tuple(block.decode(one) for block, one in zip(blocks, index, strict=True))
            yield where[row], Prediction(label, index, probs) if len(blocks) > 1 else Prediction(label[0], index[0], probs[0])

    def _preds(self, items: list[Any]) -> tuple[dict[int, tuple[torch.Tensor, ...]], dict[int, str]]:
        """Activated predictions by place, one a target, and what could not be read."""
        dl = self.learn.dls.test_dl(items, on_error="skip")
        with captured_notes():  # what can't be read is told in the table
            got = self.learn.get_preds(dl=dl)
        each = got.preds if isinstance(got.preds, tuple) else (got.preds,)
        return dict(zip(got.rows.tolist(), zip(*each, strict=True), strict=True)), dict(dl.skipped)

    def _in_place(self, items: list[Any], errors: dict[int, str]) -> Iterator[tuple[int, Prediction]]:
        """The same of what has places in the picture, some at a time."""
        errors |= {i: why for i, item in enumerate(items) if (why := self._unreadable(item))}
        good = [i for i in range(len(items)) if i not in errors]
        for some in (good[k : k + _AT_ONCE] for k in range(0, len(good), _AT_ONCE)):
            yield from zip(some, self.learn.predict([items[i] for i in some]), strict=True)

    def _row(self, i: int, item: Any, made: Prediction, all_probabilities: bool, masks: _Files, drawings: _Files) -> dict[str, Any]:
        """A prediction as a row of the table."""
        blocks, names = self.learn.dls.target_blocks, [" ".join(names) for names in self.learn.dls.target_names]
        alone, more = len(blocks) == 1, dict[str, Any]()
        row: dict[str, Any] = {"file": _named(item)}
        for block, name, label, index, probs in zip(blocks, names, *(((one,) if alone else one) for one in made), strict=True):
            if _in_columns(block):
                own = alone and not (block.kind == "number" and _NOT_CELLS & block.cells(label).keys())
                row |= {what if own else f"{name}: {what}": value for what, value in block.cells(label).items()}
            else:
                row["label" if alone else name] = label
            if block.kind == "category" or (alone and not _in_columns(block)):
                sure = float(probs[int(index)]) if block.kind == "category" else float("nan")
                row["probability" if alone else f"{name} probability"] = sure
            if all_probabilities and block.kind in ("category", "multicategory"):
                more |= {f"p({'' if alone else f'{name}='}{v})": float(p) for v, p in zip(block.vocab, probs, strict=True)}  # type: ignore[attr-defined]
            if masks and block.kind == "mask":
                picture = block.as_picture(label)  # type: ignore[attr-defined]
                more["mask"] = masks.write(i, lambda file, picture=picture: picture.save(file, pnginfo=masks.mark()))
        if drawings:
            more["drawing"] = drawings.write(i, lambda file: self._draw(item, made, file, drawings.marks))
        return {**row, "error": "", **more}

    def _draw(self, item: Any, prediction: Prediction, file: Path, marks: dict[str, str]) -> None:
        import matplotlib.pyplot as plt

        before = set(plt.get_fignums())
        self.learn.show_prediction(item, prediction=prediction)
        plt.gcf().savefig(file, dpi=150, bbox_inches="tight", metadata=marks)
        for number in set(plt.get_fignums()) - before:
            plt.close(number)

    def _unreadable(self, item: Any) -> str | None:
        blocks = self.learn.dls.input_blocks
        parts = (item,) if len(blocks) == 1 else item
        try:
            for block, part in zip(blocks, parts, strict=True):
                block.encode(block.open(part)) if block.of_row else block.open(part)
        except (DataError, OSError) as error:
            return describe_failure(item, error)
        return None


class _Files:
    """Where a PNG of each of some items goes: a folder (or None, for nowhere), and in it the item's name.

    Args:
        kind: of picture. It is written into each, so that those of an earlier call are known, and made again.

    Raises:
        SettingError: a file of such a name is there that wasn't written so: a photograph, or a mask that somebody drew, would be lost; or the
            items are in that folder themselves.
    """

    def __init__(self, folder: str | os.PathLike[str] | None, items: list[Any], kind: str) -> None:
        self.marks = {"Software": f"burnish ({kind})"}
        self.files: list[Path] = []
        taken = set[str]()
        for item in items if folder is not None else ():
            stem, n = Path(item).stem if isinstance(item, (str, Path)) else "item", 2
            name = f"{stem}.png"
            while name in taken:
                name, n = f"{stem}_{n}.png", n + 1
            taken.add(name)
            self.files.append(Path(folder or ".") / name)
        foreign = [file for file in self.files if file.exists() and not self._is_own(file)]
        if foreign:
            raise SettingError(
                f"{len(foreign)} of the pictures to write are in {folder} already and are no {kind}s of an earlier call, such as {foreign[0].name}: they would be lost. "
                "Choose another folder."
            )
        among = Path(folder or ".").resolve()
        if self.files and any(isinstance(item, (str, Path)) and Path(item).resolve().parent == among for item in items):
            raise SettingError(
                f"{folder} holds the pictures themselves, and whoever reads it next would take the {kind}s for more of them. Choose another folder."
            )

    def __bool__(self) -> bool:
        return bool(self.files)

    def write(self, i: int, save: Callable[[Path], Any]) -> str:
        """Has `save` write the file of the item at place `i`; gives its name."""
        file = self.files[i]
        file.parent.mkdir(parents=True, exist_ok=True)
        save(file)
        return str(file)

    def mark(self) -> PngInfo:
        """What PIL is to write into each."""
        info = PngInfo()
        for name, text in self.marks.items():
            info.add_text(name, text)
        return info

    def _is_own(self, file: Path) -> bool:
        try:
            with Image.open(file) as picture:
                return self.marks.items() <= picture.info.items()
        except OSError:
            return False


_NOT_CELLS = {"file", "label", "probability", "mask", "drawing", "error"}  # columns of the table's own


def _in_columns(block: Block) -> bool:
    """Whether an answer has a column for each of its parts, and is no label."""
    return block.located or (block.kind == "number" and block.n_out > 1)


def _named(item: Any) -> str:
    if isinstance(item, tuple):
        return ", ".join(map(_named, item))
    return str(item) if isinstance(item, (str, Path)) else f"<{type(item).__name__}>"
