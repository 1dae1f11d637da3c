"""Predictor: an exported model and nothing more than predicting with it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch

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
        if not items:
            return self._frame([], {}, {}, all_probabilities, _Folder(None))
        if any(block.located for block in self.learn.dls.target_blocks):
            return self._located(items, _Folder(masks), _Folder(drawings))
        try:
            probs, errors = self._probabilities(items, range(len(items)))
        except DataError:  # not one of a whole batch could be read: find out which, and predict the others
            errors = {i: why for i, item in enumerate(items) if (why := self._unreadable(item))}
            good = [i for i in range(len(items)) if i not in errors]
            if len(good) == len(items):
                raise
            probs = self._probabilities([items[i] for i in good], good)[0] if good else {}
        return self._frame(items, probs, errors, all_probabilities, _Folder(drawings))

    def _probabilities(self, items: list[Any], positions: Iterable[int]) -> tuple[dict[int, torch.Tensor], dict[int, str]]:
        """Activated predictions by position, and what could not be read."""
        where = list(positions)
        dl = self.learn.dls.test_dl(items, on_error="skip")
        with captured_notes():  # what can't be read is told in the table
            got = self.learn.get_preds(dl=dl)
        return {where[row]: p for row, p in zip(got.rows, got[0], strict=True)}, {where[row]: why for row, why in dl.skipped.items()}

    def _located(self, items: list[Any], masks: _Folder, drawings: _Folder) -> pd.DataFrame:
        """The table of what has places in the picture."""
        blocks = self.learn.dls.target_blocks
        errors = {i: why for i, item in enumerate(items) if (why := self._unreadable(item))}
        good = [i for i in range(len(items)) if i not in errors]
        found: dict[int, dict[str, Any]] = {}
        for some in (good[k : k + _AT_ONCE] for k in range(0, len(good), _AT_ONCE)):
            for i, made in zip(some, self.learn.predict([items[i] for i in some]), strict=True):
                labels = (made.label,) if len(blocks) == 1 else made.label
                cells = [block.cells(label) for block, label in zip(blocks, labels, strict=True)]
                found[i] = {
                    (name if len(blocks) == 1 else f"target {k}: {name}"): v for k, part in enumerate(cells) for name, v in part.items()
                }
                if masks and blocks[0].kind == "mask":
                    picture = blocks[0].as_picture(labels[0])  # type: ignore[attr-defined]
                    found[i]["mask"] = masks.write(items[i], picture.save)
                if drawings:
                    found[i]["drawing"] = drawings.write(items[i], self._drawn(items[i], made))
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
            figure.savefig(file, dpi=150, bbox_inches="tight")
            for number in set(plt.get_fignums()) - open_before:
                plt.close(number)

        return save

    def _frame(
        self, items: list[Any], probs: dict[int, torch.Tensor], errors: dict[int, str], all_probabilities: bool, drawings: _Folder
    ) -> pd.DataFrame:
        block = self.learn.dls.target_blocks[0]
        rows = []
        for i, item in enumerate(items):
            row: dict[str, Any] = {"file": _named(item), "label": None, "probability": float("nan"), "error": errors.get(i, "")}
            if i in probs:
                chosen = block.decide(probs[i][None])[0]
                row["label"] = block.decode(chosen)
                row["probability"] = float(probs[i][int(chosen)]) if block.kind == "category" else float("nan")
                if all_probabilities and self.vocab is not None:
                    row |= {f"p({label})": float(p) for label, p in zip(self.vocab, probs[i], strict=True)}
                if drawings:
                    row["drawing"] = drawings.write(items[i], self._drawn(items[i], Prediction(row["label"], chosen, probs[i])))
            rows.append(row)
        return pd.DataFrame(rows, columns=None if rows else ["file", "label", "probability", "error"])


class _Folder:
    """A folder (or none) that gets a PNG of each of some items, under the item's name."""

    def __init__(self, path: str | os.PathLike[str] | None) -> None:
        self.path = None if path is None else Path(path)
        self.taken: set[Path] = set()

    def __bool__(self) -> bool:
        return self.path is not None

    def write(self, item: Any, save: Callable[[Path], Any]) -> str:
        """Has `save` write the file of an item; gives its name."""
        assert self.path is not None
        self.path.mkdir(parents=True, exist_ok=True)
        stem = Path(item).stem if isinstance(item, (str, Path)) else "item"
        file, n = self.path / f"{stem}.png", 2
        while file in self.taken:
            file, n = self.path / f"{stem}_{n}.png", n + 1
        self.taken.add(file)
        save(file)
        return str(file)


def _named(item: Any) -> str:
    if isinstance(item, tuple):
        return ", ".join(map(_named, item))
    return str(item) if isinstance(item, (str, Path)) else f"<{type(item).__name__}>"
