"""Loaders whose steps are pipelines of transforms: `TfmdDL`; and such as draw their items by weights, or a portion of them."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from torch import Tensor

from burnish.compat.helpers import is_listy, noop
from burnish.compat.loaders import DataLoader
from burnish.compat.torch_tools import find_bs
from burnish.compat.transform import Pipeline, retain_types
from burnish.data.collections import L
from burnish.errors import SettingError

__all__ = ["PartialDL", "TfmdDL", "WeightedDL"]


class TfmdDL(DataLoader):
    """A loader whose steps `after_item`, `before_batch` and `after_batch` are pipelines of transforms, set up on what it reads.

    What it hasn't itself it asks of its data set (``dl.vocab``).

    Args:
        dataset: `Datasets`, `TfmdLists` or anything by positions. bs, shuffle, num_workers, **kwargs: as of `DataLoader`.
        verbose: print what is set up. do_setup: set the transforms up.
    """

    after_item: Any
    before_batch: Any
    after_batch: Any

    def __init__(
        self,
        dataset: Any,
        bs: int | None = 64,
        shuffle: bool = False,
        num_workers: int | None = None,
        verbose: bool = False,
        do_setup: bool = True,
        **kwargs: Any,
    ) -> None:
        for name in ("after_item", "before_batch", "after_batch"):
            kwargs[name] = Pipeline(kwargs.get(name))
        super().__init__(dataset, bs=bs, shuffle=shuffle, num_workers=num_workers, **kwargs)
        if do_setup:
            for name in ("after_item", "before_batch", "after_batch"):
                pipeline = getattr(self, name)
                if verbose:
                    print(f"Setting up {name}: {pipeline}")
                self._follow_split()
                pipeline.setup(self)

    def _follow_split(self) -> None:
        split_idx = getattr(self.dataset, "split_idx", None)
        for name in ("after_item", "before_batch", "after_batch"):
            getattr(self, name).split_idx = split_idx

    def _settings(self) -> dict[str, Any]:
        return {**super()._settings(), "do_setup": False}

    def new(self, dataset: Any = None, cls: Any = None, **kwargs: Any) -> Any:
        made = super().new(dataset, cls, **kwargs)
        for name in ("n_inp", "_types"):
            if name in self.__dict__:
                made.__dict__[name] = self.__dict__[name]
        return made

    def to(self, device: Any) -> Any:
        super().to(device)
        for name in ("after_item", "before_batch", "after_batch"):
            for f in getattr(self, name).fs:
                for k, v in vars(f).items():
                    if isinstance(v, Tensor):
                        setattr(f, k, v.to(self.device))
        return self

    @property
    def n_inp(self) -> int:
        """How many elements of a batch are inputs."""
        if (told := getattr(self.dataset, "n_inp", None)) is not None:
            return told
        if "n_inp" not in self.__dict__:
            item = self.do_item(int(self.rows[0])) if self.indexed and self.n else ()
            self.__dict__["n_inp"] = max(1, len(item) - 1) if is_listy(item) else 1
        return self.__dict__["n_inp"]

    @n_inp.setter
    def n_inp(self, n_inp: int) -> None:
        self.__dict__["n_inp"] = n_inp

    @property
    def blocks(self) -> Any:  # type: ignore[override]
        """What the elements of a batch are, for burnish's own functions."""
        from burnish.compat.elements import elements_of

        if "_blocks" not in self.__dict__:
            self.__dict__["_blocks"] = elements_of(self)
        return self.__dict__["_blocks"]

    # -- the way back ---------------------------------------------------------------------------------------------
    def decode(self, b: Any) -> Any:
        """A batch, as it was before the batch's transforms, on the CPU."""
        from burnish.compat.torch_tools import to_cpu

        return to_cpu(self.after_batch.decode(self._retain_dl(b)))

    def decode_batch(self, b: Any, max_n: int = 9, full: bool = True) -> Any:
        """The first samples of a batch, each decoded: until they can show themselves where not `full`."""
        return self._decode_batch(self.decode(b), max_n, full)

    def _decode_batch(self, b: Any, max_n: int = 9, full: bool = True) -> Any:
        decode = getattr(self.dataset, "decode", noop)
        samples = [_sample(b, i) for i in range(min(max_n, find_bs(b)))]
        return L(
            [decode(self.after_item.decode(s), full=full) if decode is not noop else self.after_item.decode(s) for s in samples],
            use_list=True,
        )

    def _retain_dl(self, b: Any) -> Any:
        """A batch of plain tensors in the types that this loader's batches have."""
        types = self._types_of_batch()
        if types is None or not is_listy(b):
            return b if types is None or not isinstance(types, type) else retain_types(b, typs=types)
        parts = [
            x.as_subclass(t) if isinstance(x, Tensor) and type(x) is Tensor and isinstance(t, type) and issubclass(t, Tensor) else x
            for x, t in zip(b, types, strict=False)
        ]
        return type(b)(parts) if type(b) in (tuple, list) else b

    def _types_of_batch(self) -> Any:
        if "_types" not in self.__dict__:
            if not self.n:
                return None
            b = self.one_batch()
            self.__dict__["_types"] = tuple(type(x) for x in b) if is_listy(b) else type(b)
        return self.__dict__["_types"]

    # -- looking at it --------------------------------------------------------------------------------------------
    def show_batch(  # type: ignore[override]
        self, b: Any = None, max_n: int = 9, ctxs: Any = None, show: bool = True, unique: bool = False, **kwargs: Any
    ) -> Any:
        """Shows samples of a batch: by the ``show_batch`` that is written for what they are, else each by its ``show``.

        Args:
            b: the batch; None takes one. ctxs: what to draw on. show: False gives what would be shown. unique: one sample over and over.
            kwargs: of the drawing: nrows, ncols, figsize.
        """
        from burnish.compat.showing import show_batch

        if unique:
            before, self.get_idxs = self.__dict__.get("get_idxs"), lambda: itertools.repeat(int(self.rows[0]), self.n or 1)  # type: ignore[method-assign]
        try:
            b = self.one_batch() if b is None else b
        finally:
            if unique:
                del self.__dict__["get_idxs"]
                if before is not None:
                    self.get_idxs = before  # type: ignore[method-assign]
        made = self._pre_show_batch(b, max_n=max_n)
        if not show:
            return made
        show_batch(*made, ctxs=ctxs, max_n=max_n, **kwargs)
        return None

    def _pre_show_batch(self, b: Any, max_n: int = 9) -> tuple[Any, Any, Any]:
        """A decoded batch (inputs, targets) and its samples."""
        b = self.decode(b)
        if hasattr(b, "show"):
            return b, None, None
        its = self._decode_batch(b, max_n, full=False)
        if not is_listy(b):
            b, its = (b,), L([(o,) for o in its], use_list=True)
        n = self.n_inp
        return one_or_all(b[:n]), one_or_all(b[n:]), its

    def show_results(self, b: Any, out: Any, max_n: int = 9, ctxs: Any = None, show: bool = True, **kwargs: Any) -> Any:
        """Shows samples of a batch with what a model made of them: by the ``show_results`` that is written for what they are.

        Args:
            out: the decisions ``(batch, ...)``, in the encoding of the targets.
        """
        from burnish.compat.showing import show_results

        x, y, its = self._pre_show_batch(b, max_n=max_n)
        n = self.n_inp
        decided = self.decode(tuple(b)[:n] + (out if isinstance(out, tuple) else (out,)))
        if not is_listy(decided):
            decided = (decided,)
        if its is None:  # shows itself: the results are such a thing with the output in the target's place
            made = (x, decided, None, None)
        else:
            outs = self._decode_batch(decided, max_n, full=False)
            made = (x, y, its, L([tuple(o[n:]) for o in outs], use_list=True))
        if not show:
            return made
        show_results(*made, ctxs=ctxs, max_n=max_n, **kwargs)
        return None

    def __getattr__(self, k: str) -> Any:
        if k.startswith("_") or k == "dataset":
            raise AttributeError(k)
        return getattr(self.dataset, k)


def one_or_all(b: Any) -> Any:
    """The part of a batch itself, where there is one; None where there is none."""
    return None if len(b) == 0 else b[0] if len(b) == 1 else b


def _sample(b: Any, i: int) -> Any:
    """A batch's sample number `i`, in the types of the batch."""
    if is_listy(b):
        parts = [_sample(x, i) for x in b]
        return type(b)(parts) if not hasattr(b, "_fields") else type(b)(*parts)
    return b[i]


class WeightedDL(TfmdDL):
    """A loader that, where it shuffles, draws its items with replacement, by weights: one an item."""

    def __init__(self, dataset: Any = None, bs: int | None = None, wgts: Any = None, **kwargs: Any) -> None:
        super().__init__(dataset, bs=bs, **kwargs)
        weights = np.ones(len(dataset)) if wgts is None else np.asarray(wgts, dtype=np.float64)
        if len(weights) != len(dataset) or weights.min() < 0 or weights.sum() <= 0:
            raise SettingError(f"wgts has {len(weights)} weights for {len(dataset)} items; expected one an item, none below 0, not all 0.")
        self.wgts = weights / weights.sum()

    def get_idxs(self) -> Any:
        if not self.n or not self.shuffle:
            return super().get_idxs()
        return list(np.random.choice(self.n, self.n, p=self.wgts).tolist())

    def _settings(self) -> dict[str, Any]:
        return {**super()._settings(), "wgts": None if "wgts" not in self.__dict__ else self.wgts}

    def new(self, dataset: Any = None, cls: Any = None, **kwargs: Any) -> Any:
        if dataset is not None:
            kwargs.setdefault("wgts", None)
        return super().new(dataset, cls, **kwargs)


class PartialDL(TfmdDL):
    """A loader each of whose passes has `partial_n` items, drawn anew."""

    def __init__(self, dataset: Any = None, bs: int | None = None, partial_n: int | None = None, **kwargs: Any) -> None:
        super().__init__(dataset, bs=bs, **kwargs)
        self.partial_n = len(dataset) if partial_n is None else min(partial_n, len(dataset))

    def get_idxs(self) -> Any:
        idxs = super().get_idxs()
        return idxs if self.partial_n >= len(idxs) else np.random.choice(idxs, self.partial_n, replace=False).tolist()

    def __len__(self) -> int:
        n = self.partial_n
        return n if self.bs is None else n // self.bs + (0 if self.drop_last or n % self.bs == 0 else 1)

    def _settings(self) -> dict[str, Any]:
        return {**super()._settings(), "partial_n": self.__dict__.get("partial_n")}

    def new(self, dataset: Any = None, cls: Any = None, **kwargs: Any) -> Any:
        if dataset is not None:
            kwargs.setdefault("partial_n", None)
        return super().new(dataset, cls, **kwargs)
