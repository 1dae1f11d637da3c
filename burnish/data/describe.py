"""What the data is, in words: the summary of DataLoaders, and one sample followed from its raw cells to a batch."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from burnish.data.randomness import own_globals
from burnish.errors import listed

if TYPE_CHECKING:
    from burnish.data.datablock import DataBlock
    from burnish.data.dataloaders import DataLoaders


def describe(dls: DataLoaders) -> str:
    """Splits, classes with their counts, transforms and the shapes of a batch."""
    lines = [
        f"{name:<6} {dl.n:>7,} samples in {len(dl):,} batches of {dl.bs}"
        for name, dl in zip(("train", "valid", "test"), dls.loaders, strict=False)
    ]
    for name, block in zip(dls.table.attrs.get("targets", []), dls.target_blocks, strict=False):
        if block.kind == "category":
            counts = Counter(dls.table.loc[dls.table["split"] == "train", name])
            lines.append(f"{name}: {len(dls.vocab)} classes, train counts: {listed((f'{k} {n}' for k, n in counts.most_common()), 12)}")
    if dls.class_weights is not None:
        lines.append(
            f"balance: the loss weighs classes {listed(f'{v} {w:.2f}' for v, w in zip(dls.vocab, dls.class_weights.tolist(), strict=True))}"
        )
    elif getattr(dls.train, "weights", None) is not None:
        lines.append("balance: each class is drawn equally often in training")
    lines.append(f"item transforms: {dls.item_tfms or 'none'}")
    lines.append(f"batch transforms: {dls.batch_tfms or 'none'}")
    lines.append(f"a batch: {', '.join(_shape(t) for t in dls.one_batch())} on {dls.device}")
    lines.append(f"seed {dls.seed}")
    return "\n".join(lines)


class _Told(list[str]):
    """Lines, each told as it comes."""

    def __init__(self, tell: Callable[[str], None] | None) -> None:
        super().__init__()
        self.tell = tell

    def append(self, line: str) -> None:
        super().append(line)
        if self.tell is not None:
            self.tell(line)


def follow(block: DataBlock, source: Any, bs: int, tell: Callable[[str], None] | None = None) -> str:
    """The way of the first training sample, step by step; an error on the way is raised with the text so far.

    Args:
        tell: what gets each line as soon as it is known: also those before an error.
    """
    lines = _Told(tell)
    try:
        dls = block.dataloaders(source, bs=bs, cache=False, num_workers=0, device="cpu", seed=0)
        lines.append(
            f"{len(dls.table)} samples: " + ", ".join(f"{s} {dl.n}" for s, dl in zip(("train", "valid", "test"), dls.loaders, strict=False))
        )
        dl = dls.train
        raws = tuple(c[dl.rows[0]] for c in dl.columns)
        lines.append("the first training sample, raw: " + ", ".join(map(_brief, raws)))
        values = dl.reader.open(raws)
        lines.append("opened: " + ", ".join(map(_brief, values)))
        for tfm in dl.reader.item_tfms:
            with own_globals(0 if tfm.draws_globally else None):
                values = dl.reader.through([tfm], values, random.Random(0))
            lines.append(f"after {tfm!r}: " + ", ".join(map(_brief, values)))
        encoded = tuple(b.encode(v) for b, v in zip(dl.blocks, values, strict=True))
        lines.append("encoded: " + ", ".join(map(_shape, encoded)))
        read = dl._read(dl._batches(0)[0], 0)
        lines.append(f"collated ({len(read.rows)} samples): " + ", ".join(map(_shape, read.tensors)))
        lines.append(f"finished{f' (through {dl.batch_tfms})' if dl.batch_tfms else ''}: " + ", ".join(map(_shape, dl.one_batch())))
    except Exception as error:
        error.add_note("The way so far:\n  " + "\n  ".join(lines or ["nothing was read yet"]))
        raise
    return "\n".join(lines)


def _shape(t: Any) -> str:
    return f"{str(t.dtype).removeprefix('torch.')}{list(t.shape)}" if hasattr(t, "dtype") else _brief(t)


def _brief(value: Any) -> str:
    if hasattr(value, "getbands"):
        return f"picture {value.mode} {value.width}x{value.height}"
    text = str(value)
    return text if len(text) <= 80 else "..." + text[-77:]
