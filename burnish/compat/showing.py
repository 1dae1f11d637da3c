"""Batches and results shown by what they are: the functions ``show_batch`` and ``show_results`` that code for fastai extends for its own types."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from burnish.compat.drawing import get_grid
from burnish.compat.tfmd_loaders import TfmdDL, one_or_all
from burnish.compat.titled import Category, MultiCategory, TitledFloat
from burnish.compat.typed import TypeDispatch, typedispatch
from burnish.compat.view_calls import drawn
from burnish.compat.views import decode
from burnish.data.batches import RowLoader
from burnish.data.block import Block
from burnish.data.collections import L
from burnish.data.loader import DataLoader
from burnish.data.randomness import derive
from burnish.evaluate.interpret import Interpretation
from burnish.train import predict as prediction
from burnish.train import showing

__all__ = ["get_show_batch_func", "plot_top_losses", "show_batch", "show_results"]


def _shows_rows(samples: Any) -> bool:
    """Whether no element of the samples is drawn: they are shown as a table."""
    return not any(hasattr(x, "show") and not _is_words(x) for x in samples[0])


def _is_words(x: Any) -> bool:
    return isinstance(x, (str, int, float, tuple))


def _axes(n: int, nrows: int | None, ncols: int | None, figsize: Any, double: bool = False, title: str | None = None) -> Any:
    return get_grid(n, nrows, ncols, figsize=figsize, double=double, title=title)


def _table(rows: list[dict[str, Any]]) -> None:
    import pandas as pd

    from burnish.train.results import show_frame

    show_frame(pd.DataFrame(rows))


def _each_shown(values: Any, ctx: Any) -> Any:
    for x in values:
        if hasattr(x, "show"):
            ctx = x.show(ctx=ctx) or ctx
    return ctx


def _show_batch(
    x: object, y: object, samples: Any, ctxs: Any = None, max_n: int = 9, nrows: int | None = None, ncols: int | None = None, figsize: Any = None, **kwargs: Any
) -> Any:  # fmt: skip
    """Shows samples of a batch: each element by its ``show``, on one pair of axes a sample; what is in words alone as a table.

    Write one for your own types and register it with ``@typedispatch``: ``def show_batch(x: MyType, y, samples, ctxs=None, max_n=6, **kwargs)``.

    Args:
        x, y: the decoded inputs and targets of the batch. samples: its first ones, decoded one by one; None where the batch shows itself.
        ctxs: axes to draw on.
    """
    if samples is None:
        return x.show(ctxs=ctxs, max_n=max_n, **kwargs)  # type: ignore[attr-defined]
    if ctxs is None and _shows_rows(samples):
        return _table([{f"{i}": str(v) for i, v in enumerate(s)} for s in samples])  # type: ignore[attr-defined]
    n = min(max_n, len(samples))
    ctxs = _axes(n, nrows, ncols, figsize) if ctxs is None else ctxs
    return [_each_shown(s, ctx) for s, ctx in zip(samples, ctxs, strict=False)]


def _show_results(
    x: object, y: object, samples: Any, outs: Any, ctxs: Any = None, max_n: int = 9, nrows: int | None = None, ncols: int | None = None, figsize: Any = None, **kwargs: Any
) -> Any:  # fmt: skip
    """Shows samples with what a model made of them: the sample, then the output, each by its ``show``; words beneath each other, what is drawn on axes
    of its own.

    Write one for your own types and register it with ``@typedispatch``: ``def show_results(x: MyType, y, samples, outs, ctxs=None, max_n=6, **kwargs)``.
    """
    if samples is None:
        return x.show(ctxs=ctxs, max_n=max_n, **kwargs)  # type: ignore[attr-defined]
    if ctxs is None and _shows_rows(samples):
        return _table(
            [{**{f"{i}": str(v) for i, v in enumerate(s)}, "pred": ", ".join(map(str, o))} for s, o in zip(samples, outs, strict=False)]
        )
    n = min(max_n, len(samples))
    drawn = any(hasattr(o, "show") and not _is_words(o) for o in outs[0])
    if drawn:
        n = min(n, 6)
        ctxs = _axes(2 * n, nrows, ncols, figsize, double=False, title="Target/Prediction") if ctxs is None else ctxs
        for i in range(n):
            _each_shown(samples[i], ctxs[2 * i])
            _each_shown([*samples[i][:1], *outs[i]], ctxs[2 * i + 1])
        return ctxs
    ctxs = _axes(n, nrows, ncols, figsize) if ctxs is None else ctxs
    return [_each_shown([*s, *o], ctx) for s, o, ctx in zip(samples, outs, ctxs, strict=False)]


def _plot_top_losses(x: object, y: object, samples: Any, outs: Any, raws: Any, losses: Any, **kwargs: Any) -> Any:
    """Draws samples with the largest losses. burnish's ``interp.plot_top_losses()`` draws what it knows without it.

    Write one for your own types and register it with ``@typedispatch``: ``def plot_top_losses(x: MyType, y, samples, outs, raws, losses, **kwargs)``.
    """
    _ = samples, outs, raws, losses, kwargs
    raise NotImplementedError(
        f"plot_top_losses is written for none of ({type(x).__name__}, {type(y).__name__}). interp.plot_top_losses() draws what burnish knows."
    )


for _f, _name in ((_show_batch, "show_batch"), (_show_results, "show_results"), (_plot_top_losses, "plot_top_losses")):
    _f.__name__ = _f.__qualname__ = _name
show_batch: TypeDispatch = typedispatch(_show_batch)
show_results: TypeDispatch = typedispatch(_show_results)
plot_top_losses: TypeDispatch = typedispatch(_plot_top_losses)


def get_show_batch_func(x_typ: type = object, y_typ: type = object, samples_typ: type = object) -> Any:
    """The ``show_batch`` for these types."""
    return show_batch[x_typ, y_typ, samples_typ]


def written(function: TypeDispatch, *values: Any) -> Callable[..., Any] | None:
    """What someone has written for values of these types; None where only what stands here fits."""
    found = function.find(*values) if len(function.functions) > 1 else None
    return None if found is None or found[0] is function.functions[0][0] else found[0]


# -- batches of burnish's own loaders, as what people write takes them --------------------------------------------------------
def _said(block: Block, x: Any) -> Any:
    """An encoded value as what shows itself."""
    if block.kind in ("image", "mask", "points"):
        return x
    kind = {"category": Category, "multicategory": MultiCategory, "number": TitledFloat}.get(block.kind)
    value = block.decode(x)
    return value if kind is None or (kind is TitledFloat and getattr(x, "numel", int)() != 1) else kind(value)


def _samples(blocks: Sequence[Block], b: Sequence[Any], n: int) -> L[Any]:
    return L([tuple(_said(block, x[i]) for block, x in zip(blocks, b, strict=False)) for i in range(min(n, len(b[0])))], use_list=True)


def shown_parts(dl: DataLoader, b: Any, n: int) -> tuple[Any, Any, L[Any]]:
    """A decoded batch (inputs, targets) of a loader of burnish's, and its first samples."""
    b = decode(dl, b)
    n_inp = max(1, len(dl.blocks) - 1)
    return one_or_all(b[:n_inp]), one_or_all(b[n_inp:]), _samples(dl.blocks, b, n)


def show_batch_as_written(dl: DataLoader, b: Any, max_n: int, ctxs: Any, options: Mapping[str, Any]) -> bool:
    """Whether someone has written a ``show_batch`` for such a batch, by which it is shown then.

    Args:
        b: None takes one. options: the drawing's: nrows, ncols, figsize.
    """
    if len(show_batch.functions) == 1 or isinstance(dl, TfmdDL):
        return False
    x, y, samples = shown_parts(dl, dl.one_batch() if b is None else b, max_n)
    function = written(show_batch, x, y)
    if function is not None:
        function(x, y, samples, ctxs=ctxs, max_n=max_n, **{k: v for k, v in options.items() if v is not None})
    return function is not None


def _show_results_as_written(learn: Any, few: Any, max_n: int, options: Mapping[str, Any]) -> bool:
    x, y, samples = shown_parts(few, few.one_batch(), max_n)
    function = written(show_results, x, y)
    if function is not None:
        decided = learn.get_preds(dl=few, with_decoded=True)[2]
        outs = _samples(learn.dls.target_blocks, decided if isinstance(decided, tuple) else (decided,), max_n)
        function(x, y, samples, outs, ctxs=None, max_n=max_n, **options)
    return function is not None


# -- the learner's --------------------------------------------------------------------------------------------------------
def _few(self: Any, loader: Any, shuffle: bool) -> Any:
    rows = np.random.default_rng(derive(self.seed, "show_results")).permutation(loader.rows) if shuffle else loader.rows
    return loader.of_rows(rows[: min(loader.bs or 64, len(rows))])


@drawn
@functools.wraps(showing.show_results)
def learner_show_results(self: Any, ds_idx: Any = 1, dl: Any = None, max_n: int = 9, shuffle: bool = True, **kwargs: Any) -> Any:
    """``learn.show_results``: for types that someone has written a ``show_results`` for by that, else burnish's own. Such a function gets what the loss decides
    (``loss_func.decodes``), else the model's outputs as they are."""
    loader = prediction.loader_of(self, ds_idx, dl)
    own = len(show_results.functions) > 1
    if not isinstance(loader, TfmdDL):
        drawable = own and isinstance(loader, RowLoader) and self.dls.blocks
        if drawable and _show_results_as_written(self, _few(self, loader, shuffle), max_n, kwargs):
            return None
        return showing.show_results(self, ds_idx, dl, max_n, shuffle, **kwargs)
    few = _few(self, loader, shuffle)
    batch = few.one_batch()
    x, y, _ = few._pre_show_batch(batch, max_n)
    if written(show_results, x, y) is None and self.dls.blocks:
        return showing.show_results(self, ds_idx, dl, max_n, shuffle, **kwargs)
    act = getattr(self.loss_func, "activation", None) or (lambda out: out)
    preds = self.get_preds(dl=[tuple(batch)], act=act)[0]
    decide = getattr(self.loss_func, "decodes", None) or (lambda out: out)
    return few.show_results(batch, decide(preds), max_n, **kwargs)


_own_top_losses = Interpretation.plot_top_losses


@drawn
@functools.wraps(_own_top_losses)
def interp_plot_top_losses(self: Interpretation, k: Any = 9, largest: bool = True, **kwargs: Any) -> Any:
    """``interp.plot_top_losses``: for types that someone has written a ``plot_top_losses`` for by that, else burnish's own."""
    loader: Any = self._loader()
    if len(plot_top_losses.functions) == 1 or not isinstance(loader, RowLoader):
        return _own_top_losses(self, k, largest, **kwargs)
    losses, order = self.top_losses(k if isinstance(k, int) else None, largest)[:2]
    places = list(range(len(order))) if isinstance(k, int) or k is None else list(k)
    losses, order = losses[places], order[places]
    few: Any = loader.of_rows(self.rows[order.numpy()])
    few.bs = max(1, len(order))
    batch = few.one_batch()
    parts = few._pre_show_batch(batch, len(order)) if isinstance(few, TfmdDL) else shown_parts(few, batch, len(order))
    function = written(plot_top_losses, *parts[:2])
    if function is None:
        return _own_top_losses(self, k, largest, **kwargs)
    outs = _samples(self.learn.dls.target_blocks, (self.decoded[order],), len(order))
    return function(*parts, outs, self.preds[order], losses, **kwargs)
