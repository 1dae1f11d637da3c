"""BBoxLblBlock and BBoxBlock: objects of a picture, each with the box around it, as a target."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from burnish.data.block import Answer, Block, names_of
from burnish.data.label import is_missing
from burnish.data.lazy import pd
from burnish.data.notes import note
from burnish.data.transforms import Size
from burnish.errors import DataError, SettingError, listed, nearest
from burnish.evaluate.boxes import DetectionLoss, detections, fused, without_doubles
from burnish.vision.augment_boxes import SHARE, area

if TYPE_CHECKING:
    from burnish.data.dataloaders import DataLoaders

FORMATS = ("xyxy", "xywh", "cxcywh")
UNITS = ("pixels", "fraction")
OBJECT = "object"  # the class of boxes without labels


class Boxes(NamedTuple):
    """Objects of a picture. ``len(boxes.labels)`` says how many there are.

    Attributes:
        boxes: ``(n, 4)`` x1, y1, x2, y2: of what ``predict`` says in pixels of the picture as it was given, else in fractions of the picture.
        labels: the class of each.
        scores: how certain each is, 0 to 1 ``(n,)``; None for what isn't predicted.
    """

    boxes: np.ndarray
    labels: list[Any]
    scores: np.ndarray | None = None

    @property
    def table(self) -> pd.DataFrame:
        """A row an object: label, score (of predictions), x1, y1, x2, y2."""
        made = {"label": self.labels, **({} if self.scores is None else {"score": self.scores})}
        return pd.DataFrame({**made, **{name: self.boxes[:, i] for i, name in enumerate(("x1", "y1", "x2", "y2"))}})


class BBoxLblBlock(Block):
    """Objects of a picture: any number of boxes (none too), each with a label.

    A raw cell is a pair (boxes, labels): boxes ``(n, 4)`` as a list or array, labels a list as long.

    Args:
        vocab: the classes; None learns them from the training rows, in alphabetical order.
        format: of the raw cells' boxes: "xyxy" (left, top, right, bottom), "xywh" (left, top, width, height) or "cxcywh" (centre, width, height).
        units: of the raw cells: "pixels" of the picture as it is in its file (upright), or "fraction" of its width and height.
        min_visible: a box of which less than this share is left inside after cutting and turning is no target any more. Areas of upright boxes are counted: of the one
            around the whole turned box, the share that is inside. What is asked for is the box around what is still seen.
        threshold: score from which a predicted box is told.
        most: the most boxes that a picture of the data has; learned from it.

    Shapes: encode gives float32 ``(n, 5)``: x1, y1, x2, y2 from -1 (left, top) to 1 (right, bottom) of the picture, and the class; batches are filled up with rows
    of class -1. Models give ``(batch, places, 9 + classes)`` (see ``burnish.evaluate.boxes``), ``activation`` makes ``(batch, 100, 6)`` of it: box, class, score.
    """

    kind: ClassVar[str] = "boxes"
    name: ClassVar[str] = "boxes"
    n_values: ClassVar[int] = 2
    takes_picture_size: ClassVar[bool] = True
    located: ClassVar[bool] = True
    metrics: ClassVar[tuple[str, ...]] = ("mean_ap", "map_50")

    def __init__(
        self,
        vocab: Sequence[Any] | None = None,
        format: str = "xyxy",
        units: str = "pixels",
        min_visible: float = 0.1,
        threshold: float = 0.4,
        most: int = 1,
    ) -> None:
        if format not in FORMATS:
            raise SettingError(f"format={format!r}: expected one of {', '.join(map(repr, FORMATS))}.{nearest(str(format), FORMATS)}")
        if units not in UNITS:
            raise SettingError(f"units={units!r}: expected 'pixels' or 'fraction' (of the picture's width and height).")
        for name, value in (("min_visible", min_visible), ("threshold", threshold)):
            if not 0 <= value <= 1:
                raise SettingError(f"{name}={value!r}: expected a share, 0 to 1.")
        self.vocab = None if vocab is None else list(vocab)
        self.format, self.units, self.min_visible, self.threshold, self.most = format, units, min_visible, threshold, most

    # -- what the data holds ----------------------------------------------------------------------------------------
    def fit(self, raws: Sequence[Any]) -> None:
        found = [self._read(raw, f"{name} of the train split") for raw, name in zip(raws, names_of(raws), strict=True)]
        if self.vocab is None:
            self.vocab = self._classes([label for _, labels in found for label in labels])
        if not any(len(boxes) for boxes, _ in found):
            raise DataError(f"None of the {len(found)} training pictures has a box: there is nothing to learn.")
        if self.units == "pixels" and all((boxes <= 1).all() for boxes, _ in found):
            raise DataError(
                "No number of the training boxes is above 1: they are fractions of their pictures, not pixels. units='fraction' says so."
            )
        self.check(raws, names_of(raws), "train")

    def _classes(self, labels: list[Any]) -> list[Any]:
        return sorted(set(labels), key=lambda label: (str(type(label)), label))

    def check(self, raws: Sequence[Any], rows: Sequence[object], split: str) -> None:
        for raw, row in zip(raws, rows, strict=True):
            boxes, labels = self._read(raw, f"{row} of the {split} split")
            unknown = [label for label in labels if self.vocab is not None and label not in self.vocab]
            if unknown:
                raise DataError(
                    f"{row} of the {split} split has a box of the class {unknown[0]!r}, which is none of the classes: {listed(map(repr, self.vocab or []), 8)}."
                    f"{nearest(str(unknown[0]), map(str, self.vocab or []))} Name it in vocab=, or mend it."
                )
            self.most = max(self.most, len(boxes))

    def _read(self, raw: Any, where: str) -> tuple[np.ndarray, list[Any]]:
        """Boxes ``(n, 4)`` and labels of a raw cell."""
        if not isinstance(raw, (tuple, list)) or len(raw) != 2 or isinstance(raw[1], (str, bytes)) or not hasattr(raw[1], "__len__"):
            raise DataError(
                f"{where} has {str(raw)[:80]}, and a pair (boxes, labels) was expected: ([(x1, y1, x2, y2), ...], ['cat', ...])."
            )
        boxes, labels = _numbers(raw[0], where), list(raw[1])
        if len(boxes) != len(labels):
            raise DataError(f"{where} has {len(boxes)} boxes and {len(labels)} labels; expected one label a box, in the same order.")
        missing = [i for i, label in enumerate(labels) if is_missing(label)]
        if missing:
            raise DataError(f"{where}: box {missing[0]} has no label. Give it one, or leave the box out.")
        return boxes, labels

    def labels_in(self, raw: Any) -> list[Any] | None:
        """None where there is one class alone: that says nothing of a picture."""
        return list(dict.fromkeys(self._read(raw, "A sample")[1])) if self.vocab is None or len(self.vocab) > 1 else None

    # -- opening ----------------------------------------------------------------------------------------------------
    def open(self, raw: Any, size: Size | None = None) -> tuple[Any, np.ndarray]:
        from torchvision import tv_tensors

        boxes, labels = self._read(raw, "A sample")
        if size is None:
            if self.units == "pixels":
                raise DataError(
                    "These boxes are in pixels, and there is no picture before them. Put an ImageBlock first, or give fractions: units='fraction'."
                )
            size = (1, 1)
        if self.units == "fraction":
            boxes = boxes * np.array([*size, *size])
        boxes = self._checked(self._corners(boxes), boxes, size)
        index = {label: i for i, label in enumerate(self.vocab or [])}
        unknown = next((label for label in labels if label not in index), None)
        if unknown is not None:
            raise DataError(f"A box has the class {unknown!r}, which is none of the classes: {listed(map(repr, index), 8)}.")
        made = torch.from_numpy(boxes.astype(np.float32).reshape(-1, 4))
        value = tv_tensors.BoundingBoxes(made, format="XYXY", canvas_size=(size[1], size[0]), clamping_mode=None)  # type: ignore[call-overload]
        return value, np.array([index[label] for label in labels], dtype=np.int64)

    def _corners(self, boxes: np.ndarray) -> np.ndarray:
        """Boxes as left, top, right, bottom."""
        if self.format == "xyxy":
            return boxes
        first, size = boxes[:, :2], boxes[:, 2:]
        first = first - size / 2 if self.format == "cxcywh" else first
        return np.concatenate([first, first + size], axis=1)

    def _checked(self, boxes: np.ndarray, given: np.ndarray, size: Size) -> np.ndarray:
        """Boxes as corners, if they are boxes of a picture of `size`, cut off at its edge where they are beyond it by a pixel."""
        slack = 1.0 + 2e-3 * max(size)
        for i, box in enumerate(boxes):
            flat = box[2] <= box[0] or box[3] <= box[1]
            outside = (box[:2] < -slack).any() or box[2] > size[0] + slack or box[3] > size[1] + slack
            if flat or outside:
                raise DataError(
                    f"Box {i}, {_said(given[i])}, {_wrong(box, flat)} a picture of {size[0]} x {size[1]} pixels (width x height).{self._hint(given, size, flat)}"
                )
        return boxes.clip(0, np.array([*size, *size]))

    def _hint(self, given: np.ndarray, size: Size, flat: bool) -> str:
        """What may have been meant by boxes that can't be."""
        if self.units == "pixels" and (given >= 0).all() and (given <= 1).all():
            return " They look like fractions of the picture: units='fraction' says so."
        edges = np.array([*size, *size]) + 1
        for other in FORMATS:
            if other != self.format:
                made = BBoxBlock(format=other)._corners(given)
                if (made[:, 2:] > made[:, :2]).all() and (made >= -1).all() and (made <= edges).all():
                    return f" All of this picture's boxes are right as {other!r}: is that what they are? format={other!r} says so."
        return " Mend it, or leave it out." if not flat else " A box has a width and a height above 0: mend it, or leave it out."

    # -- tensors ------------------------------------------------------------------------------------------------------
    def encode(self, value: Any) -> Tensor:
        boxes, classes = value
        canvas = getattr(boxes, "canvas_size", None)
        if canvas is None or boxes.ndim != 2 or boxes.shape[1] != 4:
            raise DataError(
                f"After the item transforms boxes must be torchvision's BoundingBoxes (n, 4); they are a {type(boxes).__name__}. Check what the transforms return."
            )
        if len(boxes) != len(classes):
            raise DataError(
                f"The item transforms left {len(boxes)} of {len(classes)} boxes, so it isn't known which labels are theirs. Leave out what removes boxes; min_visible= does that."
            )
        side = torch.tensor([float(canvas[1]), float(canvas[0])] * 2)
        places = boxes.as_subclass(Tensor).float().reshape(-1, 4) * 2 / side - 1
        return torch.cat([places, torch.from_numpy(classes).float()[:, None]], dim=1)

    def collate(self, items: list[Tensor]) -> Tensor:
        made = torch.zeros(len(items), max(self.most, *(len(item) for item in items)), 5)
        made[..., 4] = -1
        for row, item in zip(made, items, strict=True):
            row[: len(item)] = item
        return made

    def settle(self, batch: Tensor) -> Tensor:
        """Boxes cut off at the edge of the picture ``(batch, n, 5)``; of those that are nearly gone the class is -1.

        The share that is still seen is what batch transforms counted, where they did (a sixth number), times the share that cutting off at the edge leaves of a box's area.
        """
        cut = batch[..., :4].clamp(-1, 1)
        left, whole = area(cut), area(batch)
        before = batch[..., SHARE] if batch.shape[-1] > SHARE else 1.0
        there = (batch[..., 4] >= 0) & (left > 0) & (left * before >= self.min_visible * whole)
        return torch.cat([torch.where(there[..., None], cut, 0), torch.where(there, batch[..., 4], -1)[..., None]], dim=-1)

    def decode(self, encoded: Tensor) -> Boxes:
        """In fractions of the picture's width and height."""
        there = encoded.detach().as_subclass(Tensor).cpu().float()
        there = there[there[:, 4] >= 0]
        vocab = self.vocab or [OBJECT]
        labels = [vocab[int(c)] for c in there[:, 4]]
        return Boxes(((there[:, :4] + 1) / 2).numpy(), labels, there[:, 5].numpy() if there.shape[1] > 5 else None)

    def draw(self, value: Any, ax: Any, title: str | None = None) -> None:
        """On the picture that is drawn already."""
        from burnish.vision.drawing import draw_boxes

        draw_boxes(value, list(self.vocab or [OBJECT]), ax)
        if title is not None:
            ax.set_title(title)

    def say(self, value: Any) -> str:
        counts = {label: value.labels.count(label) for label in dict.fromkeys(value.labels)}
        return ", ".join(f"{n} {label}" if n > 1 else str(label) for label, n in counts.items()) or "nothing"

    # -- as a target --------------------------------------------------------------------------------------------------
    @property
    def n_out(self) -> int:
        if self.vocab is None:
            raise DataError(
                f"This {type(self).__name__} doesn't know its classes: it learns them from the training rows, or vocab= says them."
            )
        return len(self.vocab)

    def loss(self) -> nn.Module:
        return DetectionLoss()

    def activation(self, output: Tensor) -> Tensor:
        return detections(output)

    def decide(self, preds: Tensor) -> Tensor:
        """Those with a score of at least ``threshold``, of several at one place the most certain; of the others the class is -1."""
        kept = preds.clone()
        kept[..., 4] = torch.where(preds[..., 5] >= self.threshold, preds[..., 4], -1)
        first = without_doubles(kept.reshape(-1, *kept.shape[-2:])).reshape(kept.shape[:-1])  # of one picture, too
        kept[..., 4] = torch.where(first, kept[..., 4], -1)
        return kept

    def in_source(self, answer: Answer, dls: DataLoaders, item: Any) -> Answer:
        from burnish.vision.frames import frame_of, picture_of

        picture = picture_of(dls, item)
        frame = frame_of(dls, picture.size)
        if not frame.sees_all:
            left, top, right, bottom = frame.part
            note(
                f"The item transforms cut the picture of {picture.size[0]} x {picture.size[1]} pixels: objects were looked for from ({left}, {top}) to ({right}, {bottom}) only. "
                "Resize(size, 'pad') or Resize(size, 'squish') let the model see all of it."
            )
        sides = torch.tensor([*picture.size, *picture.size])
        moved = []
        for part in answer:
            x1, y1, x2, y2 = part[:, :4].unbind(-1)
            corners = frame.points(torch.stack([x1, y1, x2, y1, x2, y2, x1, y2], dim=-1).reshape(-1, 2)).reshape(-1, 4, 2)
            whole = torch.cat([corners.amin(1), corners.amax(1)], dim=1)
            pixels = torch.minimum(whole.clamp(min=0), sides)
            areas, left = ((b[:, 2:] - b[:, :2]).prod(-1) for b in (whole, pixels))
            inside = (left > 0) & (left >= self.min_visible * areas)  # what was seen in the padding isn't in the picture
            part = torch.where(inside[:, None], torch.cat([pixels, part[:, 4:]], dim=1), torch.zeros_like(part))
            part[:, 4] = torch.where(inside, part[:, 4], -1)
            moved.append(part)
        decided = torch.cat([moved[0][:, :4] * 2 / sides - 1, moved[0][:, 4:]], dim=1)
        return decided, moved[1]

    def tracer(self) -> tuple[Block, Any]:
        from burnish.vision.frames import corner_tracer

        return corner_tracer()

    def averaged(self, looks: Iterable[tuple[Tensor, Tensor]], plain: tuple[Tensor, Tensor], weight: float) -> Tensor:
        from burnish.vision.frames import homographies, project, project_boxes

        found, back = list[Tensor](), list[Tensor]()
        for preds, traced in looks:
            places = project_boxes(preds[..., :4], homographies(traced, plain[1])).clamp(-1, 1)
            found.append(torch.cat([places.to(preds), preds[..., 4:]], dim=-1))
            back.append(homographies(plain[1], traced))
        n = len(found)
        if weight > 0:
            found, back = [plain[0], *found], [homographies(plain[1], plain[1]), *back]
        weights = torch.tensor([*([weight] if weight > 0 else []), *[(1 - weight) / n] * n])
        made = []
        for i in range(len(plain[0])):
            ways = torch.stack([way[i] for way in back])

            def sees(place: Tensor, ways: Tensor = ways) -> Tensor:
                return (project(place.double().expand(len(ways), 1, 2), ways)[:, 0].abs() <= 1).all(-1).float()

            made.append(fused(torch.stack([look[i] for look in found]), weights, sees, plain[0].shape[1]))
        return torch.stack(made)

    def told(self, answer: Answer) -> Boxes:
        """In pixels of the picture as it was given."""
        found, chosen = answer[1], self.decide(answer[1])[:, 4] >= 0
        vocab = self.vocab or [OBJECT]
        return Boxes(found[chosen, :4].numpy(), [vocab[int(c)] for c in found[chosen, 4]], found[chosen, 5].numpy())

    def cells(self, label: Any) -> dict[str, Any]:
        return {
            "label": self.say(label),
            "boxes": label.table.astype(dict.fromkeys(("score", "x1", "y1", "x2", "y2"), float)).round(3).to_dict("records"),
        }


class BBoxBlock(BBoxLblBlock):
    """Objects of a picture of one kind: any number of boxes (none too).

    A raw cell is a list or array of boxes ``(n, 4)``. In ``blocks=(ImageBlock, BBoxBlock, BBoxLblBlock)`` with a getter for each, the two become one ``BBoxLblBlock``.

    Args: as of ``BBoxLblBlock``; the one class is called "object".
    """

    def __init__(
        self, format: str = "xyxy", units: str = "pixels", min_visible: float = 0.1, threshold: float = 0.4, most: int = 1
    ) -> None:
        super().__init__([OBJECT], format, units, min_visible, threshold, most)

    def _read(self, raw: Any, where: str) -> tuple[np.ndarray, list[Any]]:
        boxes = _numbers(raw, where)
        return boxes, [OBJECT] * len(boxes)

    def joined(self, following: Block) -> Block | None:
        """One block for these boxes and their labels in the block behind it."""
        if not isinstance(following, BBoxLblBlock) or isinstance(following, BBoxBlock):
            return None
        made, plain = {}, BBoxBlock()
        for name in ("format", "units", "min_visible", "threshold"):
            given = {getattr(block, name) for block in (self, following)} - {getattr(plain, name)}
            if len(given) > 1:
                raise SettingError(
                    f"The BBoxBlock and the BBoxLblBlock are one target, and have different {name}: {listed(map(repr, given))}. Say it once."
                )
            made[name] = given.pop() if given else getattr(plain, name)
        return BBoxLblBlock(following.vocab, **made)


def _numbers(raw: Any, where: str) -> np.ndarray:
    """Boxes as an array ``(n, 4)`` of finite numbers."""
    if isinstance(raw, Tensor):
        raw = raw.detach().cpu().numpy()
    try:
        if raw is None or isinstance(raw, (str, bytes)):
            raise TypeError
        array = np.asarray(raw, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError(f"{where} has {str(raw)[:80]}, which is no boxes: expected a list with four numbers each, [] for none.") from None
    if array.size == 0:
        return array.reshape(0, 4)
    if array.ndim != 2 or array.shape[1] != 4:
        raise DataError(f"{where} has boxes of the shape {array.shape}; expected four numbers for each, (n, 4).")
    bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if len(bad):
        raise DataError(
            f"{where}: box {bad[0]}, {_said(array[bad[0]])}, has numbers that are missing or infinite. Mend it, or leave it out."
        )
    return array


def _said(box: np.ndarray) -> str:
    return f"({', '.join(f'{v:g}' for v in box)})"


def _wrong(box: np.ndarray, flat: bool) -> str:
    if not flat:
        return f"from x={box[0]:g}, y={box[1]:g} to x={box[2]:g}, y={box[3]:g}, is outside of"
    width, height = box[2] - box[0], box[3] - box[1]
    kind = "a negative size" if min(width, height) < 0 else "no area"
    return f"of {width:g} x {height:g} pixels, has {kind} in"
