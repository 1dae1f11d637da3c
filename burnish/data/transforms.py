"""The contract of transforms: item transforms (one sample, in a worker) and batch transforms (a batch, on the device)."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from burnish.data.config import Configurable, jsonable, type_name
from burnish.data.functions import code_of, draws_nothing
from burnish.data.randomness import own_globals
from burnish.errors import DataError

Values = tuple[Any, ...]
Size = tuple[int, int]


class ItemTransform(Configurable):
    """Changes the values of one sample, before they are encoded: images, masks, points together.

    A subclass implements ``apply(values, rng)``. `rng` is a generator in training; it is None in validation, testing
    and prediction, where the transform must be deterministic.

    Class attributes:
        when: "always", or "train" for a transform that leaves validation and prediction alone.
        draws_globally: True for one that may draw from the process's own generators (random, numpy, torch) instead of
            `rng`. They are then seeded for the sample, also outside training; and as the model draws its dropout from
            them too, such a transform and those after it run in the thread that asks for the batch, not beside it.
        takes_pixels: it also takes pictures as arrays (``burnish.data.cache.Pixels``), which it doesn't write into. Where all that
            comes after the cache does, the cache hands them out. Not inherited: what a subclass adds may know PIL images only.
    """

    when: ClassVar[str] = "always"
    draws_globally: bool = False
    takes_pixels: ClassVar[bool] = False

    def apply(self, values: Values, rng: random.Random | None) -> Values:
        raise NotImplementedError

    def stages(self) -> tuple[ItemTransform | None, ItemTransform | None]:
        """(deterministic part, drawn part): the first may run ahead and be cached, the second runs at every reading.
        Together, in this order, they do what the whole does. A transform that draws nothing is (self, None)."""
        return (None, self)

    def cache_key(self) -> str | None:
        """What the cache knows a deterministic transform by; None keeps its results out of the cache.

        For burnish's own it is name and arguments. For anyone else's also the code of the class, so that an edited one
        isn't served what it made before; None where that is more than functions and plain values. What the code refers to
        by a global name is not looked into: when that changes, empty the cache's folder, or override this with a version of
        your own.
        """
        cls = type(self)
        if cls.__module__.startswith("burnish."):
            return repr(self)
        try:
            return f"{type_name(cls)} {json.dumps(jsonable(vars(self), cls.__name__))} {code_of(cls)}"
        except (TypeError, ValueError):
            return None

    def decode_size(self, size: Size) -> Size | None:
        """For a picture of `size` (width, height): the least size it may be decoded at without loss in the result, or
        None when every pixel may matter."""
        return None

    def __call__(self, sample: Any, rng: random.Random | None = None) -> Any:
        """Applies it as in training to one value or a tuple of values, for trying it out."""
        values = sample if isinstance(sample, tuple) else (sample,)
        rng = rng or random.Random()
        with own_globals(rng.getrandbits(32) if self.draws_globally else None):
            out = self.apply(values, rng)
        return out if isinstance(sample, tuple) else out[0]


class BatchTransform(nn.Module, Configurable):
    """Changes an encoded batch on the device, inputs and targets together, with parameters drawn per sample.

    A subclass implements ``apply(batch, kinds, rng)``: `batch` is the list of batch tensors (images are float in 0..1,
    ``(batch, channel, height, width)``), `kinds` the ``Block.kind`` of each, `rng` a CPU generator in training and None
    otherwise. Draw on the CPU with `rng` and send the parameters to the device with ``non_blocking=True``; never read
    a value back.

    Class attributes:
        when: "always", or "train" for one that leaves validation and prediction alone.
        by_sample: True for one that does the same to a sample whatever else is in its batch, so that several batches may be done
            at once. Not inherited: what a subclass adds may look around.
    """

    when: ClassVar[str] = "always"
    by_sample: ClassVar[bool] = False

    def apply(self, batch: list[Tensor], kinds: Sequence[str], rng: torch.Generator | None) -> list[Tensor]:
        raise NotImplementedError

    def undo(self, batch: list[Tensor], kinds: Sequence[str]) -> list[Tensor]:
        """A finished batch as a person recognises it: of a transform that only changes the scale of values, without it."""
        return batch

    def fuse(self, following: BatchTransform) -> BatchTransform | None:
        """This and the transform after it as one that does both in a single pass, or None when they can't be."""
        return None

    def forward(self, x: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """Applies it as in training to a batch of images ``(batch, channel, height, width)``, for trying it out."""
        rng = rng or torch.Generator().manual_seed(random.SystemRandom().randrange(2**31))
        return self.apply([x], ["image"], rng)[0]

    def __repr__(self) -> str:
        return Configurable.__repr__(self)


class ItemFunction(ItemTransform):
    """Any function of one value, applied to the sample's first input. What the user writes as ``item_tfms=[f]``.

    The function may draw from the global generators (random, numpy, torch): they are seeded for the sample and restored
    after it. One whose code shows that it draws nothing runs in the reading threads; any other, and the transforms after
    it, in the thread that asks for the batch. An ItemTransform that draws from its `rng` is read in parallel.
    """

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function
        self.draws_globally = not draws_nothing(function)

    def apply(self, values: Values, rng: random.Random | None) -> Values:
        made = self.function(values[0])
        before, after = (getattr(value, "size", None) for value in (values[0], made))
        resized = isinstance(before, tuple) and isinstance(after, tuple) and before != after  # PIL's: (width, height)
        if resized and any(type(value).__module__.startswith("torchvision.tv_tensors") for value in values[1:]):
            raise DataError(
                f"The item transform {self._name()} is a function, which is given the picture alone, and it made {after} of {before} pixels: what lies in the picture "
                "(a mask, points, boxes) would stay behind. Use a transform that moves all of them, such as Resize, CropPad, or one of torchvision.transforms.v2; or write "
                "a class deriving from burnish.data.transforms.ItemTransform."
            )
        return (made, *values[1:])

    def _name(self) -> str:
        return repr(getattr(self.function, "__qualname__", self.function))

    def config(self) -> dict[str, Any]:
        raise TypeError(
            f"The item transform {self._name()} is a plain function, which a model file can't hold (no code is stored). "
            "Write it as a class deriving from burnish.data.transforms.ItemTransform, which the person who loads the file imports first; or do this step on the files, before burnish reads them."
        )
