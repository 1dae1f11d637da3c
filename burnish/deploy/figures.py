"""Pictures inside a page: files, samples and drawings as data: addresses."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from burnish.train.learner import Learner


def picture_of(learn: Learner, raws: Sequence[Any]) -> str:
    blocks = learn.dls.input_blocks
    pictures = [(block, raw) for block, raw in zip(blocks, raws, strict=True) if block.kind == "image"]
    if not pictures:
        return ""
    try:
        opened = [block.open(raw) for block, raw in pictures]
        return jpeg(opened[0] if len(opened) == 1 else pictures[0][0].beside(opened))
    except (OSError, ValueError):
        return ""


def png(file: str | os.PathLike[str]) -> str:
    """A PNG file as the data: address that holds it."""
    return "data:image/png;base64," + base64.b64encode(Path(file).read_bytes()).decode()


def jpeg(value: Any, side: int = 240) -> str:
    """A picture as the data: address of a small JPEG; empty for what is no picture."""
    from PIL import Image

    if not isinstance(value, Image.Image):
        return ""
    small = value.convert("RGB")
    small.thumbnail((side, side))
    file = io.BytesIO()
    small.save(file, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def drawn(draw: Callable[[], Any]) -> str:
    """What a function draws with matplotlib, as the data: address of a PNG; nothing is shown, and other figures stay."""
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    with plt.ioff():
        draw()
        figure, file = plt.gcf(), io.BytesIO()
        figure.savefig(file, format="png", dpi=110, bbox_inches="tight")
    for number in set(plt.get_fignums()) - set(before):
        plt.close(number)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
