"""The contract of a kind of data: everything the library knows about one kind is one class, in one file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from burnish.data.config import Configurable

if TYPE_CHECKING:
    from burnish.data.dataloaders import DataLoaders


class Cells(list[Any]):
    """Raw cells of training rows, and what a message calls each row."""

    def __init__(self, cells: Iterable[Any], names: Iterable[object]) -> None:
        super().__init__(cells)
        self.names = list(names)


def names_of(raws: Sequence[Any]) -> list[object]:
    """What a message calls the rows of these cells."""
    return raws.names if isinstance(raws, Cells) else [f"row {i}" for i in range(len(raws))]


Answer = tuple[Any, Any]  # of one sample: the decision, and the activated output


class Block(Configurable):
    """One kind of data (an image, a category, a number ...): how it is opened, encoded, batched, decoded and drawn.

    Instances are small, picklable, and rebuild from ``config()``; every constructor parameter is an attribute of the
    same name, and what ``fit`` learns overwrites it. Subclasses override what differs.

    Class attributes:
        kind: what transforms may ask about it: "image", "mask", "points", "boxes", "category", "number", "text" ...
        name: the column of ``dls.table`` that holds its raw cells.
        takes_size_hint: ``open`` accepts ``size_hint``, a function from the file's (width, height) to the least
            (width, height) that is needed, so that large pictures are decoded small.
        takes_picture_size: ``open`` accepts ``size``, the (width, height) of the picture that comes before it in the sample.
        located: as a target, its values have places in the picture; ``predict`` gives them in the picture as it was given.
        of_row: its values are cells of a table's row, which are shown as one, and not drawn.
        blends: a mean of two encoded values means something (MixUp makes such); of codes of categories it doesn't.
        n_values: how many values ``open`` gives: more than one come as a tuple, and the transforms see each.
        reads_outputs: as a target it knows what a model's outputs mean; where it doesn't, the loss says it.
        takes_pixels: ``encode`` also takes a picture as an array (``burnish.data.cache.Pixels``).
    """

    kind: ClassVar[str] = "value"
    name: ClassVar[str] = "value"
    takes_size_hint: ClassVar[bool] = False
    takes_picture_size: ClassVar[bool] = False
    located: ClassVar[bool] = False
    of_row: ClassVar[bool] = False
    blends: ClassVar[bool] = True
    n_values: ClassVar[int] = 1
    reads_outputs: ClassVar[bool] = True
    takes_pixels: bool = False

    # -- inputs and targets -------------------------------------------------------------------------------------
    def fit(self, raws: Sequence[Any]) -> None:
        """Learns what it needs (vocabulary, statistics) from the raw cells of the training rows. Parent process only."""

    def check(self, raws: Sequence[Any], rows: Sequence[object], split: str) -> None:
        """Raises DataError if raw cells of a split can't be used (a label unseen in training, say); `rows` names them."""

    def open(self, raw: Any) -> Any:
        """A raw cell (path, string, number, array, bytes) as a value. Runs in a worker, and in ``predict``."""
        return raw

    def cell(self, given: Any) -> Any:
        """What the table keeps of a raw cell as the getter gave it. Parent process only."""
        return given

    def opening(self) -> str:
        """What ``open`` depends on besides the raw cell: opened values that a cache keeps are of these settings."""
        return ""

    def encode(self, value: Any) -> Tensor:
        """A value as a tensor, without a batch dimension. Runs in a worker."""
        return torch.as_tensor(value)

    def collate(self, items: list[Tensor]) -> Tensor:
        """Encoded items as one batch tensor, the batch dimension first."""
        return torch.stack(items)

    def encode_all(self, raws: Any) -> Tensor:
        """Many raw cells (a list, or for a block of several columns the rows of a table) as one tensor, the samples first."""
        return self.collate([self.encode(self.open(raw)) for raw in raws])

    def on_device(self) -> nn.Module | None:
        """The module that finishes a batch on the device (bytes to float, say), or None."""
        return None

    def settle(self, batch: Tensor) -> Tensor:
        """A batch after the batch transforms, as the model's loss gets it."""
        return batch

    def decode(self, encoded: Tensor) -> Any:
        """One finished item (no batch dimension), back to a value that a person recognises."""
        return encoded

    def draw(self, value: Any, ax: Any, title: str | None = None) -> None:
        """Draws a decoded value on matplotlib axes `ax`. Values without a picture of their own become its title."""
        ax.set_title(self.say(value) if title is None else title)

    def say(self, value: Any) -> str:
        """A decoded value in a few words, as a title or a table shows it."""
        return str(value)

    def beside(self, values: Sequence[Any]) -> Any:
        """Several decoded values of this kind as one that shows them side by side; of kinds that are drawn."""
        raise NotImplementedError(f"{type(self).__name__} has no way to show several values side by side.")

    def news(self, raws: Sequence[Any]) -> list[str]:
        """What raw cells to predict have that the training rows had not, where that matters; for a note."""
        return []

    def labels_in(self, raw: Any) -> list[Any] | None:
        """The labels that a raw cell holds, each once, where it may hold several: by them the data is checked. None where there are none to compare."""
        return None

    def joined(self, following: Block) -> Block | None:
        """One block for what this and the block behind it hold, where they are two parts of one thing; or None."""
        return None

    # -- targets only -------------------------------------------------------------------------------------------
    metrics: ClassVar[tuple[str, ...]] = ()  # names of burnish.evaluate metrics shown when the user names none

    @property
    def n_out(self) -> int:
        """How many outputs a model needs for this target."""
        raise NotImplementedError(f"{type(self).__name__} can't be a target: it doesn't say how many outputs it needs.")

    def class_counts(self, raws: Sequence[Any]) -> np.ndarray | None:
        """How often each class is there ``(classes,)`` in the training rows' raw cells, where its loss takes class weights; else None."""
        return None

    def loss(self) -> nn.Module:
        """The default loss: a plain PyTorch module called as ``loss(output, target)``."""
        raise NotImplementedError(f"{type(self).__name__} has no default loss: pass loss_func= to the learner.")

    def final(self) -> nn.Module | None:
        """What a model of this target must end in (a layer that gives the target's own units, say), or None. Its input and
        output: ``(batch, n_out)``."""
        return None

    def head(self, features: int) -> nn.Module | None:
        """A head of its own on feature maps ``(batch, features, height, width)``, where pooling them first would lose what matters; or None."""
        return None

    def of_maps(self) -> tuple[int, nn.Module] | None:
        """How many values a pixel a network of such outputs needs, and what makes this target of them; None where ``n_out`` and ``final`` say it."""
        return None

    def prior(self) -> Tensor | None:
        """Raw outputs ``(n_out,)`` of who knows only the training targets, where a model does well to begin with them; or None."""
        return None

    begins_flat: ClassVar[bool] = False  # whether it does well to begin with these for every sample

    def activation(self, output: Tensor) -> Tensor:
        """Raw model output ``(batch, ...)`` as predictions a person can read (probabilities, say)."""
        return output

    def decide(self, preds: Tensor) -> Tensor:
        """Activated predictions ``(batch, ...)`` as targets ``(batch, ...)`` in the encoding of ``encode``."""
        return preds

    # -- targets that have places in a picture --------------------------------------------------------------------
    def in_source(self, answer: Answer, dls: DataLoaders, item: Any) -> Answer:
        """A sample's answer, from places in what the model got to places in the picture as it was given: of ``located`` blocks."""
        return answer

    def tracer(self) -> tuple[Block, Any] | None:
        """A block and its raw cell that go through the transforms beside a sample, so that ``moved`` knows where it went; None where a prediction
        means the same wherever the sample went."""
        return None

    def moved(self, preds: Tensor, traced: Tensor, plain: Tensor) -> tuple[Tensor, Tensor]:
        """Predictions ``(batch, ...)`` of samples that were moved, brought to where the plain samples are; and how much each counts (0 or 1), a tensor that
        broadcasts against them.

        Args:
            traced, plain: where the tracer went in both.
        """
        raise NotImplementedError(f"{type(self).__name__} has no way to bring predictions of moved samples back.")

    def averaged(self, looks: Iterable[tuple[Tensor, Tensor]], plain: tuple[Tensor, Tensor], weight: float) -> Tensor:
        """Predictions of samples that were looked at several times, as one.

        Args:
            looks: of the samples as they were moved, one after the other: predictions, and where the tracer went.
            plain: the same of the samples as they are, which count for `weight` (0 to 1), the others together for the rest.
        """
        total, counts = torch.zeros_like(plain[0]), torch.zeros(())
        for preds, traced in looks:
            moved, seen = self.moved(preds, traced, plain[1])
            total, counts = total + moved * seen, counts + seen
        return torch.lerp(torch.where(counts > 0, total / counts.clamp(min=1), plain[0]), plain[0], weight)

    def told(self, answer: Answer) -> Any:
        """A sample's answer as a person reads it: ``predict``'s label."""
        return self.decode(answer[0])

    def cells(self, label: Any) -> dict[str, Any]:
        """``predict``'s label as cells of a table's row."""
        return {"label": label}

    def predict_items(self, dls: DataLoaders, items: list[Any], run: Callable[[list[Any]], list[Answer]]) -> list[Answer]:
        """The answers for `items`; `run` gives what the model says of items as it gets them."""
        return [self.in_source(answer, dls, item) for answer, item in zip(run(items), items, strict=True)]
