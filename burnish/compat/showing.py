"""Batches and results shown by what they are: the functions ``show_batch`` and ``show_results`` that code for fastai extends for its own types."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from burnish.compat.drawing import get_grid
from burnish.compat.tfmd_loaders import TfmdDL
from burnish.compat.typed import TypeDispatch, typedispatch
from burnish.compat.view_calls import drawn
from burnish.data.randomness import derive
from burnish.train import predict as prediction
from burnish.train import showing

__all__ = ["get_show_batch_func", "show_batch", "show_results"]


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


_show_batch.__name__ = _show_batch.__qualname__ = "show_batch"
_show_results.__name__ = _show_results.__qualname__ = "show_results"
show_batch: TypeDispatch = typedispatch(_show_batch)
show_results: TypeDispatch = typedispatch(_show_results)


def get_show_batch_func(x_typ: type = object, y_typ: type = object, samples_typ: type = object) -> Any:
    """The ``show_batch`` for these types."""
    return show_batch[x_typ, y_typ, samples_typ]


def own_show_results(x: Any, y: Any) -> bool:
    """Whether someone has written a ``show_results`` for what these are."""
    found = show_results.find(x, y, None, None)
    return found is not None and found[0] is not _show_results


@drawn
@functools.wraps(showing.show_results)
def learner_show_results(self: Any, ds_idx: Any = 1, dl: Any = None, max_n: int = 9, shuffle: bool = True, **kwargs: Any) -> Any:
    """``learn.show_results``: for types that someone has written a ``show_results`` for by that, else burnish's own. Such a function gets what the loss decides
    (``loss_func.decodes``), else the model's outputs as they are."""
    loader = prediction.loader_of(self, ds_idx, dl)
    if not isinstance(loader, TfmdDL):
        return showing.show_results(self, ds_idx, dl, max_n, shuffle, **kwargs)
    rows = np.random.default_rng(derive(self.seed, "show_results")).permutation(loader.rows) if shuffle else loader.rows
    few = loader.of_rows(rows[: min(loader.bs or 64, len(rows))])
    batch = few.one_batch()
    x, y, _ = few._pre_show_batch(batch, max_n)
    if not own_show_results(x, y) and self.dls.blocks:
        return showing.show_results(self, ds_idx, dl, max_n, shuffle, **kwargs)
    act = getattr(self.loss_func, "activation", None) or (lambda out: out)
    preds = self.get_preds(dl=[tuple(batch)], act=act)[0]
    decide = getattr(self.loss_func, "decodes", None) or (lambda out: out)
    return few.show_results(batch, decide(preds), max_n, **kwargs)
