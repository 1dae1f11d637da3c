"""Transforms from elsewhere: torchvision's and plain functions, in the shape of ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from burnish.data.transforms import BatchTransform, ItemFunction, ItemTransform


def as_item_transforms(tfms: Sequence[Any]) -> list[ItemTransform]:
    out = []
    for t in tfms:
        if isinstance(t, (list, tuple)):
            out += as_item_transforms(t)
        else:
            out.append(t if isinstance(t, ItemTransform) else ItemFunction(t))
    return out


def as_batch_transforms(tfms: Sequence[Any]) -> list[BatchTransform]:
    out = []
    for t in tfms:
        if isinstance(t, (list, tuple)):
            out += as_batch_transforms(t)
        else:
            out.append(t)
    return out
