"""Whole numbers are taken in any integer type, wherever people give them, and nothing else is taken for one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from burnish.data.whole import whole_number
from burnish.errors import SettingError
from burnish.evaluate.outcome import split_name
from burnish.train.callbacks.limits import BatchLimit
from burnish.train.callbacks.trackers import SaveModel
from burnish.vision.blocks import ImageBlock
from burnish.vision.transforms import RandomResizedCrop, Resize

TAKEN: dict[str, Callable[[Any], Any]] = {
    "Resize": lambda n: Resize(n).size,
    "a pair of sizes": lambda n: Resize((n, n)).size,
    "RandomResizedCrop": lambda n: RandomResizedCrop(n).size,
    "white": lambda n: ImageBlock(white=n).white,
    "BatchLimit": lambda n: BatchLimit(train=n).train,
    "SaveModel": lambda n: SaveModel(every_epoch=n).every_epoch,
    "a split": split_name,
}


@pytest.mark.parametrize("take", TAKEN.values(), ids=TAKEN)
def test_integers_of_numpy_are_integers(take: Callable[[Any], Any]) -> None:
    taken = take(np.int64(2))
    assert taken == take(2) and type(taken) is type(take(2))


@pytest.mark.parametrize("take", TAKEN.values(), ids=TAKEN)
@pytest.mark.parametrize("n", [2.5, "2", -1, float("nan")])
def test_what_is_no_whole_number_is_refused(take: Callable[[Any], Any], n: Any) -> None:
    with pytest.raises(SettingError, match=r"expected"):
        take(n)


@pytest.mark.parametrize(("value", "found"), [(np.uint8(3), 3), (0, 0), (True, None), (np.True_, None), (3.0, None), (None, None)])
def test_whole_numbers(value: Any, found: int | None) -> None:
    assert whole_number(value, least=0) == found
    assert whole_number(value, least=4) is None
