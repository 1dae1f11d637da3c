"""Results shown: samples drawn with their targets and predictions, or as rows of a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from burnish.data.batches import RowLoader
from burnish.data.block import Block
from burnish.data.randomness import torch_rng
from burnish.data.show import draw_inputs, grid, how_many, named_lines, room_of, rows_only, set_title
from burnish.errors import SettingError, hinting
from burnish.train.predict import Prediction, Predictions, Split, get_preds, loader_of, predict

if TYPE_CHECKING:
    from burnish.train.learner import Learner

_LONGER_SIDE = 6.0  # inches: of one picture


@hinting
def show_results(
    learn: Learner,
    ds_idx: Split = 1,
    dl: Any = None,
    max_n: int = 9,
    shuffle: bool = True,
    nrows: int | None = None,
    ncols: int | None = None,
    figsize: tuple[float, float] | None = None,
) -> None:
    """Draws samples with their target above the prediction, green where they agree and red where not; numbers, which are near or far and not
    right or wrong, in black. Of several targets each line begins with its target's name, and the labels say the colour. What is a picture itself
    (a mask) is drawn over its sample, the prediction beside the target.

    Args:
        shuffle: draw samples from all over the split (the same ones at every call), not its first ones.
    """
    loader = loader_of(learn, ds_idx, dl)
    if not isinstance(loader, RowLoader) or not learn.dls.blocks:
        raise SettingError(
            "show_results draws with the blocks of the data, which plain PyTorch loaders don't have. Use get_preds and draw what you know."
        )
    if rows_only(learn.dls.input_blocks):
        _show_rows(learn, loader, how_many(max_n, nrows, ncols), shuffle)
        return
    rows = loader.rows
    if shuffle:
        rows = rows[torch.randperm(len(rows), generator=torch_rng(learn.seed, "show_results")).numpy()]
    drawn = is_drawn(learn.dls.target_blocks)
    few = loader.of_rows(rows[: how_many(max_n, nrows, ncols) if not drawn else _samples_beside(max_n, nrows, ncols)])
    found = get_preds(learn, dl=few, with_input=True, with_decoded=True)
    found.inputs = few.undone(found.inputs if isinstance(found.inputs, tuple) else (found.inputs,))
    labelled, targets = found.targs is not None, len(learn.dls.blocks) - (learn.n_inp or 1)
    if drawn:
        _draw_beside(learn, found, nrows, ncols, figsize)
        return
    heading = "target above, prediction below" if labelled else "prediction"
    samples = [_decoded(learn.dls.input_blocks, _as_tuple(found.inputs, i)) for i in range(len(found.rows))]
    room = room_of(learn.dls.input_blocks, samples)
    for i, ax in enumerate(grid(len(samples), nrows, ncols, figsize, lines=targets * (1 + labelled), heading=heading, **room)):
        _draw_one(learn, samples[i], _as_tuple(found.targs, i), _as_tuple(found.decoded, i), ax)


@hinting
def show_prediction(
    learn: Learner, item: Any, ax: Any = None, figsize: tuple[float, float] | None = None, prediction: Prediction | None = None
) -> Prediction:
    """Draws one item whole, as it was given, with what the model says of it: masks, points and boxes over it, all else as its title.

    Args:
        item: whatever the input block opens: a path, bytes, a picture, an array.
        ax: matplotlib axes to draw on. figsize: of the figure without them, in inches.
        prediction: what ``predict`` said of it, where that is known already.

    Returns:
        the prediction, as ``predict`` gives it.
    """
    inputs, targets = learn.dls.input_blocks, learn.dls.target_blocks
    if not targets or rows_only(inputs):
        raise SettingError(
            "show_prediction draws pictures and their like, and this data has none, or is loaded in PyTorch's own way. Use predict."
        )
    if learn.dls.several(item) is not None:
        raise SettingError(
            "show_prediction takes one item, and this is a list. Draw them one by one, or several with show_results(dl=learn.dls.test_dl(items))."
        )
    made = predict(learn, item) if prediction is None else prediction
    opened = [_as_given(block, part) for block, part in zip(inputs, (item,) if len(inputs) == 1 else item, strict=True)]
    own = ax is None
    if own:
        (ax,) = grid(1, figsize=figsize or _size_for(opened), lines=len(targets), **room_of(inputs, [opened]))
    draw_inputs(inputs, opened, ax)
    decided, sure = (each if len(targets) > 1 else (each,) for each in (made.index, made.probs))
    for block, index in zip(targets, decided, strict=True):
        if type(block).draw is not Block.draw:
            block.draw(block.decode(index), ax)
    said = "\n".join(named_lines([_how_sure(*one) for one in zip(targets, decided, sure, strict=True)], _names(learn)))
    if own:
        set_title(ax, said)
    else:  # in a figure of the user's, whose layout is theirs
        ax.set_title(said, parse_math=False)
    return made


def _how_sure(block: Block, index: Tensor, probs: Tensor) -> str:
    """An answer in words, labels with their probabilities."""
    value = block.decode(index)
    if block.kind == "category":
        return f"{block.say(value)} {float(probs[int(index)]):.1%}"
    if block.kind == "multicategory" and len(value):
        sure = dict(zip(block.vocab, probs.tolist(), strict=True))  # type: ignore[attr-defined]
        return "; ".join(f"{label} {sure[label]:.0%}" for label in value)
    return block.say(value)


def _as_given(block: Block, part: Any) -> Any:
    """An input as it is drawn: a picture whole, of a row what the model gets."""
    opened = block.open(part)
    return block.decode(block.encode(opened)) if block.of_row else opened


def _size_for(opened: Sequence[Any]) -> tuple[float, float] | None:
    """A figure's size in inches for one picture and its title; None for several."""
    size = getattr(opened[0], "size", None)
    if len(opened) > 1 or not isinstance(size, tuple):
        return None
    ratio = min(2.0, max(0.3, size[1] / size[0]))
    side = _LONGER_SIDE / max(1.0, ratio)
    return side, side * ratio + 0.3


def _decoded(blocks: Sequence[Block], encoded: Sequence[Any]) -> list[Any]:
    return [block.decode(value) for block, value in zip(blocks, encoded, strict=False)]


def is_drawn(blocks: Sequence[Block]) -> bool:
    """Whether the one target is a picture itself, and no words."""
    return len(blocks) == 1 and type(blocks[0]).draw is not Block.draw


def _draw_target(blocks: Sequence[Block], inputs: Sequence[Any], encoded: Tensor | None, ax: Any, title: str) -> None:
    """The finished inputs of a sample, and over them what its target is, or is said to be; with a title.

    Args:
        blocks: of the inputs, then the target's.
    """
    draw_inputs(blocks[: len(inputs)], _decoded(blocks, inputs), ax)
    if encoded is not None:
        blocks[len(inputs)].draw(blocks[len(inputs)].decode(encoded), ax)
    set_title(ax, title)


def _samples_beside(max_n: int, nrows: int | None, ncols: int | None) -> int:
    """How many samples are drawn of which each takes two places."""
    return min(max_n, 6) if nrows is None or ncols is None else max(1, nrows * ncols // 2)


def _draw_beside(learn: Learner, found: Predictions, nrows: int | None, ncols: int | None, figsize: tuple[float, float] | None) -> None:
    """Each sample twice: with its target, and with the prediction."""
    sides = [("target", found.targs)] * (found.targs is not None) + [("prediction", found.decoded)]
    n = len(found.rows) * len(sides)
    columns = ncols if ncols is not None or nrows is not None else min(n, 2 * len(sides))
    for place, ax in enumerate(grid(n, nrows, columns, figsize, **room_of(learn.dls.input_blocks))):
        i, (title, values) = place // len(sides), sides[place % len(sides)]
        _draw_target(learn.dls.blocks, _as_tuple(found.inputs, i), values[i], ax, title)


def _show_rows(learn: Learner, loader: RowLoader, n: int, shuffle: bool) -> None:
    """Rows of a table with their targets and, in columns called NAME_pred, the predictions."""
    import pandas as pd

    from burnish.train.results import show_frame

    rows = loader.rows
    if shuffle:
        rows = rows[torch.randperm(len(rows), generator=torch_rng(learn.seed, "show_results")).numpy()]
    few = loader.of_rows(rows[:n])
    found = get_preds(learn, dl=few, with_decoded=True)
    table = pd.DataFrame([dict(few.item(int(row))) for row in found.rows], index=found.rows)
    names = learn.dls.target_names
    for i, (block, columns) in enumerate(zip(learn.dls.target_blocks, names, strict=True)):
        decided = found.decoded[i] if isinstance(found.decoded, tuple) else found.decoded
        said = [block.decode(d) for d in decided]
        for j, column in enumerate(columns):
            table[f"{column}_pred"] = said if len(columns) == 1 else [values[j] for values in said]
    show_frame(table)


def _as_tuple(value: Any, i: int) -> tuple[Any, ...]:
    return () if value is None else tuple(v[i] for v in (value if isinstance(value, tuple) else (value,)))


def _draw_one(learn: Learner, inputs: Sequence[Any], targets: tuple[Any, ...], decided: tuple[Any, ...], ax: Any) -> None:
    n = len(inputs)
    draw_inputs(learn.dls.blocks[:n], inputs, ax)
    blocks = learn.dls.blocks[n:]
    said = [b.say(b.decode(d)) for b, d in zip(blocks, decided, strict=True)]
    actual = [b.say(b.decode(t)) for b, t in zip(blocks, targets, strict=False)]
    right = [a == s for b, a, s in zip(blocks, actual, said, strict=False) if b.kind != "number" and not b.located]
    colour = "black" if not right else "green" if all(right) else "red"
    names = _names(learn)
    set_title(ax, "\n".join([*named_lines(actual, names), *named_lines(said, names)]), colour)


def _names(learn: Learner) -> list[str]:
    """What each target is called."""
    return [" ".join(names) for names in learn.dls.target_names]
