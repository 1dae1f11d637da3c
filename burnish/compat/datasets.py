"""fastai's middle layer of data: items through a pipeline (`TfmdLists`), and several pipelines over the same items (`Datasets`), read lazily."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import torch

from burnish.compat.classes import custom_dir
from burnish.compat.helpers import is_indexer, is_listy
from burnish.compat.transform import Pipeline, gather_attr_names, gather_attrs
from burnish.data.collections import L
from burnish.data.lazy import pd
from burnish.errors import DataError, SettingError

__all__ = ["Datasets", "FilteredBase", "TfmdLists", "decode_at", "show_at", "test_set"]


def _held(items: Any, use_list: bool | None = None) -> Any:
    """Items as they are kept: tables and arrays as such, all else in an L."""
    if isinstance(items, (pd.DataFrame, pd.Series, np.ndarray, torch.Tensor)):
        return items
    return L(items, use_list=use_list is not False)


def picked(items: Any, idx: Any) -> Any:
    """One item by its position, or several."""
    if isinstance(items, (pd.DataFrame, pd.Series)):
        return items.iloc[idx if isinstance(idx, (int, np.integer, slice)) else list(idx)]
    if isinstance(items, (np.ndarray, torch.Tensor)):
        return items[idx if isinstance(idx, (int, np.integer, slice)) else list(idx)]
    return items[int(idx)] if isinstance(idx, np.integer) else items[idx]


class FilteredBase:
    """What `TfmdLists` and `Datasets` share: subsets by `splits`, and loaders of them."""

    items: Any
    splits: Any
    _dl_type: Any = None

    @property
    def n_subsets(self) -> int:
        """How many splits there are."""
        return len(self.splits)

    def _new(self, items: Any, splits: Any = None, split_idx: int | None = None) -> Any:
        raise NotImplementedError

    def subset(self, i: int) -> Any:
        """The items of split `i` (0 trains, 1 validates), as such a collection."""
        if i >= len(self.splits):
            raise IndexError(f"There is no split {i}: there are {len(self.splits)}.")
        return self._new(picked(self.items, list(map(int, self.splits[i]))), split_idx=i)

    @property
    def train(self) -> Any:
        """The items that train."""
        return self.subset(0)

    @property
    def valid(self) -> Any:
        """The items that validate."""
        return self.subset(1)

    def overlapping_splits(self) -> L[int]:
        """Positions that are in more than one split."""
        counts: dict[int, int] = {}
        for i in itertools.chain.from_iterable(self.splits):
            counts[int(i)] = counts.get(int(i), 0) + 1
        return L([i for i, n in counts.items() if n > 1])

    def new_empty(self) -> Any:
        """The same without items: for predicting."""
        return self._new(picked(self.items, []), split_idx=getattr(self, "split_idx", None))

    def dataloaders(
        self, bs: int | Sequence[int] = 64, shuffle: bool | None = None, val_shuffle: bool = False, n: int | None = None, path: str | Path = ".", dl_type: Any = None, dl_kwargs: Any = None,
        device: Any = None, drop_last: bool | None = None, val_bs: int | None = None, shuffle_train: bool | None = None, **kwargs: Any,
    ) -> Any:  # fmt: skip
        """Loaders of the splits: the first shuffled, without its incomplete last batch; the others in order.

        Args:
            n: at most so many training items an epoch. dl_type: the class of the loaders. dl_kwargs: one dict a loader.
            kwargs: what the loaders take (``after_item=``, ``after_batch=``, ``num_workers=`` ...); with ``val_`` before the name for those
                that validate alone.
        """
        from burnish.compat.dataloaders import DataLoaders
        from burnish.compat.known_pipelines import own_loaders
        from burnish.compat.tfmd_loaders import TfmdDL

        shuffle = shuffle if shuffle is not None else True if shuffle_train is None else shuffle_train
        if all(v is None for v in (dl_type or self._dl_type, n, dl_kwargs)) and not val_shuffle and isinstance(bs, int):
            known = own_loaders(self, bs, val_bs, shuffle, drop_last, path, device, kwargs)
            if known is not None:
                return known
        drop_last = shuffle if drop_last is None else drop_last
        of_valid = {name[4:]: kwargs.pop(name) for name in list(kwargs) if name.startswith("val_")}
        dl_type = dl_type or self._dl_type or TfmdDL
        each = [{}] * self.n_subsets if dl_kwargs is None else list(dl_kwargs)
        first = dl_type(self.subset(0), bs=bs, shuffle=shuffle, drop_last=drop_last, n=n, device=device, **{**kwargs, **each[0]})
        rest = {"bs": bs if val_bs is None else val_bs, "shuffle": val_shuffle, "drop_last": False, "n": None, **of_valid}
        others = [first.new(self.subset(i), **{**rest, **each[i]}) for i in range(1, self.n_subsets)]
        return DataLoaders(first, *others, path=path, device=device)

    def weighted_dataloaders(self, wgts: Any, bs: int = 64, **kwargs: Any) -> Any:
        """The same, training items drawn with replacement by their weights: one an item of the whole."""
        from burnish.compat.tfmd_loaders import WeightedDL

        wgts = [wgts[int(i)] for i in self.splits[0]] if len(wgts) == len(self.items) else wgts
        return self.dataloaders(bs=bs, dl_type=WeightedDL, dl_kwargs=[{"wgts": wgts}, *({} for _ in range(self.n_subsets - 1))], **kwargs)

    def partial_dataloaders(self, partial_n: int, bs: int = 64, **kwargs: Any) -> Any:
        """The same, an epoch of `partial_n` training items drawn anew."""
        from burnish.compat.tfmd_loaders import PartialDL

        return self.dataloaders(
            bs=bs, dl_type=PartialDL, dl_kwargs=[{"partial_n": partial_n}, *({} for _ in range(self.n_subsets - 1))], **kwargs
        )


class _Sequence(FilteredBase):
    """A collection by positions."""

    def __len__(self) -> int:
        return len(self.items)

    def _get(self, i: int) -> Any:
        raise NotImplementedError

    def __getitem__(self, idx: Any) -> Any:
        if is_indexer(idx) or isinstance(idx, np.integer):
            if not -len(self) <= int(idx) < len(self):
                raise IndexError(f"There is no item {int(idx)}: there are {len(self)} (0 to {len(self) - 1}).")
            return self._get(int(idx))
        places = range(len(self))[idx] if isinstance(idx, slice) else L(range(len(self)))[idx]
        return L([self._get(i) for i in places], use_list=True)

    def __iter__(self) -> Iterator[Any]:
        return (self._get(i) for i in range(len(self)))


class TfmdLists(_Sequence):
    """Items through one pipeline of transforms, each time they are asked for. What it hasn't itself it asks of the transforms (``tls.vocab``).

    Args:
        items: a list, an array or a table. tfms: functions and transforms, in a pipeline by their order.
        use_list: False keeps a lone string or array as one item. do_setup: set the transforms up on the items. split_idx: which split it is of.
        train_setup: set up on the training items alone. splits: positions of the items that train, that validate, ...
        types: of the values before each transform; found out by `setup`. verbose: print what is set up. dl_type: the class of loaders.
    """

    def __init__(
        self, items: Any, tfms: Any, use_list: bool | None = None, do_setup: bool = True, split_idx: int | None = None, train_setup: bool = True, splits: Any = None, types: Any = None,
        verbose: bool = False, dl_type: Any = None,
    ) -> None:  # fmt: skip
        self.items = _held(items, use_list)
        self.splits = L([range(len(self.items)), []], use_list=True) if splits is None else L([list(s) for s in splits], use_list=True)
        self._types = types
        self._dl_type = dl_type
        self.tfms = Pipeline(tfms, split_idx=split_idx)
        if do_setup:
            if verbose:
                print(f"Setting up {self.tfms}")
            self.setup(train_setup=train_setup)

    def _new(self, items: Any, splits: Any = None, split_idx: int | None = None, tfms: Any = None) -> TfmdLists:
        made = object.__new__(type(self))
        made.__dict__.update(self.__dict__)
        made.items = _held(items)
        made.splits = L([range(len(made.items)), []], use_list=True) if splits is None else splits
        made.tfms = Pipeline(self.tfms if tfms is None else tfms, split_idx=self.split_idx if split_idx is None else split_idx)
        return made

    def setup(self, train_setup: bool = True) -> None:
        """Has the transforms learn from the items, each from what those before it make of them."""
        self.tfms.setup(self, train_setup)

    @property
    def types(self) -> Any:
        """The types of the first item before each transform, and at the end."""
        if self._types is None and len(self.items):
            value = picked(self.items, 0)
            found = [type(value)]
            for f in self.tfms.fs:
                value = f(value, split_idx=1 if self.split_idx is None else self.split_idx)
                found.append(type(value))
            self._types = L(found, use_list=True)
        return self._types

    @property
    def split_idx(self) -> int | None:
        """Which split it is of: 0 trains, 1 validates; None is neither."""
        return self.tfms.split_idx

    @split_idx.setter
    def split_idx(self, split_idx: int | None) -> None:
        self.tfms.split_idx = split_idx

    def _get(self, i: int) -> Any:
        return self.tfms(picked(self.items, i))

    def decode(self, o: Any, **kwargs: Any) -> Any:
        """The way back through the pipeline; ``full=False``: until it can show itself."""
        return self.tfms.decode(o, **kwargs)

    def show(self, o: Any, **kwargs: Any) -> Any:
        """Decodes and shows it."""
        return self.tfms.show(o, **kwargs)

    def __call__(self, o: Any, **kwargs: Any) -> Any:
        return self.tfms(o, **kwargs)

    def infer_idx(self, x: Any) -> int:
        """The first transform that takes what `x` is: how many are left out for it."""
        return _place_of(x, list(self.types or ()), list(self.tfms.fs))

    def infer(self, x: Any) -> Any:
        """`x` through the transforms that there are for what it is."""
        from burnish.compat.transform import compose_tfms

        return compose_tfms(x, self.tfms.fs[self.infer_idx(x) :], split_idx=self.split_idx)

    def __repr__(self) -> str:
        return f"{type(self).__name__}: {_brief(self.items)}\ntfms - {self.tfms}"

    def __getattr__(self, k: str) -> Any:
        if k.startswith("_") or k in ("tfms", "items", "splits"):
            raise AttributeError(k)
        try:
            return getattr(self.tfms, k)
        except AttributeError:
            raise AttributeError(f"{type(self).__name__} has no attribute {k!r}, nor has any of its transforms ({self.tfms})") from None

    def __dir__(self) -> list[str]:
        return custom_dir(self, gather_attr_names(self.tfms, "fs"))

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


def _place_of(x: Any, types: Sequence[type], fs: Sequence[Any]) -> int:
    """How many transforms are behind a value of the type of `x`; 0 where nothing tells."""
    for i, kind in enumerate(types):
        if (
            type(x) is kind
            or (isinstance(x, kind) and kind is not object)
            or (isinstance(x, (str, PurePath)) and issubclass(kind, (str, PurePath)))
        ):
            return i
    for i, f in enumerate(fs):  # what a picture's own class opens: bytes, arrays, PIL's pictures
        made_by = getattr(getattr(f.encodes, "functions", [[None]])[0][0], "__self__", None)
        if isinstance(made_by, type) and hasattr(made_by, "create"):
            return i
    return 0


def _brief(items: Any) -> str:
    """A collection in a line."""
    return f"(#{len(items)}) [{', '.join(map(str, list(picked(items, slice(0, 3)) if not isinstance(items, pd.DataFrame) else items.index[:3])))}{' ...' if len(items) > 3 else ''}]"


class Datasets(_Sequence):
    """Several pipelines over the same items: each item is a tuple of what they make of it.

    Args:
        items: a list, an array or a table. tfms: one list of transforms a pipeline: inputs, then targets.
        tls: the TfmdLists, instead. n_inp: how many are inputs; None is all but the last. dl_type: the class of loaders.
        use_list, do_setup, split_idx, train_setup, splits, types, verbose: as of `TfmdLists`.
    """

    def __init__(
        self, items: Any = None, tfms: Any = None, tls: Any = None, n_inp: int | None = None, dl_type: Any = None, use_list: bool | None = None, do_setup: bool = True,
        split_idx: int | None = None, train_setup: bool = True, splits: Any = None, types: Any = None, verbose: bool = False,
    ) -> None:  # fmt: skip
        if tls is None:
            pipelines = [None] if tfms is None else list(tfms) if is_listy(tfms) or isinstance(tfms, Sequence) else [tfms]
            tls = [
                TfmdLists(items, [] if t is None else t, use_list, do_setup, split_idx, train_setup, splits, types, verbose)
                for t in pipelines
            ]
        self.tls = L(tls, use_list=True)
        self._dl_type = dl_type
        self.n_inp = max(1, len(self.tls) - 1) if n_inp is None else n_inp

    @property
    def items(self) -> Any:  # type: ignore[override]
        """The items, before any transform."""
        return self.tls[0].items

    @items.setter
    def items(self, items: Any) -> None:
        for tl in self.tls:
            tl.items = _held(items)

    @property
    def items_are_plain(self) -> bool:
        """Whether all pipelines are over the same items."""
        return all(tl.items is self.items or len(tl.items) == len(self.items) for tl in self.tls)

    @property
    def splits(self) -> Any:  # type: ignore[override]
        """Positions of the items that train, that validate, ..."""
        return self.tls[0].splits

    @property
    def tfms(self) -> L[Any]:
        """The pipelines."""
        return L([tl.tfms for tl in self.tls], use_list=True)

    @property
    def split_idx(self) -> int | None:
        """Which split it is of: 0 trains, 1 validates; None is neither."""
        return self.tls[0].split_idx

    @split_idx.setter
    def split_idx(self, split_idx: int | None) -> None:
        for tl in self.tls:
            tl.split_idx = split_idx

    @contextmanager
    def set_split_idx(self, i: int | None) -> Iterator[Datasets]:
        """Reads as split `i` inside the block."""
        before, self.split_idx = self.split_idx, i
        try:
            yield self
        finally:
            self.split_idx = before

    def _new(self, items: Any, splits: Any = None, split_idx: int | None = None) -> Datasets:
        made = object.__new__(type(self))
        made.__dict__.update(self.__dict__)
        made.tls = L([tl._new(items, splits, split_idx) for tl in self.tls], use_list=True)
        return made

    def _get(self, i: int) -> Any:
        return tuple(tl._get(i) for tl in self.tls)

    def decode(self, o: Any, full: bool = True) -> tuple[Any, ...]:
        """The way back, each element through its pipeline."""
        return tuple(tl.decode(part, full=full) for part, tl in zip(o, self.tls, strict=False))

    def show(self, o: Any, ctx: Any = None, **kwargs: Any) -> Any:
        """Decodes and shows each element, on the same axes."""
        for part, tl in zip(o, self.tls, strict=False):
            ctx = tl.show(part, ctx=ctx, **kwargs)
        return ctx

    def __repr__(self) -> str:
        return f"{type(self).__name__}: {_brief(self.items)}\ntls - {len(self.tls)} pipelines: {'; '.join(str(tl.tfms) for tl in self.tls)}"

    def __getattr__(self, k: str) -> Any:
        if k.startswith("_") or k == "tls":
            raise AttributeError(k)
        return gather_attrs(self, k, "tls")

    def __dir__(self) -> list[str]:
        return custom_dir(self, gather_attr_names(self, "tls"))

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


def test_set(dsets: Any, test_items: Any, rm_tfms: Any = None, with_labels: bool = False) -> Any:
    """New items in the place of a data set's, read as those that validate are.

    Args:
        rm_tfms: how many transforms at the beginning are left out (one a pipeline); None: as many as what the first item is makes needless.
        with_labels: also the targets; else the inputs alone.
    """
    test_items = _held(test_items)
    if not len(test_items):
        raise DataError("There are no items to predict: the list is empty.")
    first = picked(test_items, 0)
    if isinstance(dsets, Datasets):
        tls = dsets.tls if with_labels else dsets.tls[: dsets.n_inp]
        left = [tl.infer_idx(first) for tl in tls] if rm_tfms is None else _several(rm_tfms, len(tls))
        made = [_over(tl, test_items, n) for tl, n in zip(tls, left, strict=True)]
        new = dsets._new(test_items)
        new.tls = L(made, use_list=True)
        return new
    if isinstance(dsets, TfmdLists):
        return _over(dsets, test_items, dsets.infer_idx(first) if rm_tfms is None else _several(rm_tfms, 1)[0])
    raise SettingError(f"test_set: a {type(dsets).__name__} can't be given new items; expected Datasets or TfmdLists.")


def _several(rm_tfms: Any, n: int) -> list[int]:
    return [int(rm_tfms)] * n if isinstance(rm_tfms, int) else [int(r) for r in rm_tfms]


def _over(tl: TfmdLists, items: Any, left_out: int) -> TfmdLists:
    return tl._new(items, split_idx=1, tfms=list(tl.tfms.fs[left_out:]))


def decode_at(o: Any, idx: int) -> Any:
    """The item at a position, decoded."""
    return o.decode(o[idx])


def show_at(o: Any, idx: int, **kwargs: Any) -> Any:
    """The item at a position, shown."""
    return o.show(o[idx], **kwargs)
