"""Transforms with chance in them, as code written for fastai makes classes of them."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from burnish.compat.transform import DisplayedTransform

__all__ = ["RandTransform"]


class RandTransform(DisplayedTransform):
    """A transform that happens with probability `p`, by default in training only.

    A class of your own writes ``before_call(self, b, split_idx)``, which draws what is to be for the whole of a tuple and sets ``self.do``, whether it happens; and ``encodes``.
    Draws are made from Python's generator, which ``set_seed`` seeds.

    Args:
        p: the probability. nm: another name. before_call: a function ``(b, split_idx)``, instead of the method. enc, dec, split_idx, order: as of `Transform`.
    """

    do, split_idx = True, 0

    def __init__(
        self, p: float = 1.0, nm: str | None = None, before_call: Callable[..., Any] | None = None, enc: Any = None, dec: Any = None, split_idx: int | None = None, order: float | None = None,
    ) -> None:  # fmt: skip
        super().__init__(enc, dec, split_idx, order)
        self.p = p
        if nm is not None:
            self.__name__ = nm
        if before_call is not None:
            self.before_call = before_call

    def before_call(self, b: Any, split_idx: int | None) -> None:
        """Draws whether it happens."""
        self.do = self.p == 1.0 or random.random() < self.p

    def __call__(self, x: Any, split_idx: int | None = None, **kwargs: Any) -> Any:
        self.before_call(x, split_idx=split_idx)
        return super().__call__(x, split_idx=split_idx, **kwargs) if self.do else x
