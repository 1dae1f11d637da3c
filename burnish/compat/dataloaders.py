"""`DataLoaders` as code for fastai makes them: of its own loaders, of data sets, or of PyTorch's loaders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from burnish.compat.datasets import test_set
from burnish.compat.helpers import is_listy
from burnish.compat.tfmd_loaders import TfmdDL
from burnish.data.collections import L
from burnish.data.dataloaders import DataLoaders as OwnDataLoaders
from burnish.data.tensors import TensorLoader
from burnish.errors import DataError, SettingError

__all__ = ["DataLoaders"]

_EVENTS = ("after_item", "before_batch", "after_batch")


class _OfAll(type):
    """All of burnish's DataLoaders count as of it, and what is added to it (``@patch``) is added to all."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, OwnDataLoaders) if cls.__name__ == "DataLoaders" else super().__instancecheck__(instance)

    def __call__(cls, *loaders: Any, **options: Any) -> Any:
        """Loaders of a prepared table make DataLoaders of a table, which tabular_learner takes."""
        if loaders and isinstance(loaders[0], TensorLoader) and cls.__name__ == "DataLoaders":
            from burnish.compat.table_loaders import loaders_of

            return loaders_of(loaders, **options)
        return super().__call__(*loaders, **options)

    def __setattr__(cls, name: str, value: Any) -> None:
        if cls.__name__ == "DataLoaders" and not name.startswith("__"):
            setattr(OwnDataLoaders, name, value)
        else:
            super().__setattr__(name, value)


class DataLoaders(OwnDataLoaders, metaclass=_OfAll):
    """The loaders of a data set's splits. What it hasn't itself it asks of the loader that trains.

    Args:
        loaders: for train, valid (and test): fastai's or PyTorch's. path: where results go. device: where batches go; the accelerator if there is one.
        n_inp: how many elements of a batch are inputs; None asks the loaders.
    """

    def __init__(self, *loaders: Any, path: str | Path = ".", device: Any = None, n_inp: int | None = None) -> None:
        super().__init__(*loaders, path=path, device=device, n_inp=n_inp)
        first: Any = self.loaders[0] if self.loaders else None
        if isinstance(first, TfmdDL):
            self.bs = first.bs or 64
            self.batch_tfms = [t for t in first.after_batch.fs if hasattr(t, "mean") and hasattr(t, "std")]  # who normalises, for the model

    @classmethod
    def from_dsets(
        cls, *ds: Any, path: str | Path = ".", bs: int = 64, device: Any = None, dl_type: Any = TfmdDL, val_bs: int | None = None, shuffle: Any = None, drop_last: Any = None,
        **kwargs: Any,
    ) -> DataLoaders:  # fmt: skip
        """Loaders of data sets: the first shuffled, without its incomplete last batch; the others in order. An argument may be a tuple: one value a
        data set."""
        n = len(ds)

        def each(value: Any, default: list[Any]) -> list[Any]:
            return default if value is None else list(value) if isinstance(value, tuple) else [value, *([default[-1]] * (n - 1))]

        shuffles, drops = each(shuffle, [True] + [False] * (n - 1)), each(drop_last, [True] + [False] * (n - 1))
        sizes = [bs] + [bs if val_bs is None else val_bs] * (n - 1)
        several = {name: value if isinstance(value, tuple) else (value,) * n for name, value in kwargs.items()}
        loaders = [
            dl_type(
                d,
                bs=sizes[i],
                shuffle=shuffles[i],
                drop_last=drops[i],
                device=device,
                **{name: values[i] for name, values in several.items()},
            )
            for i, d in enumerate(ds)
        ]
        return cls(*loaders, path=path, device=device)

    @classmethod
    def from_dblock(
        cls,
        dblock: Any,
        source: Any,
        path: str | Path = ".",
        bs: int = 64,
        val_bs: int | None = None,
        shuffle: bool = True,
        device: Any = None,
        **kwargs: Any,
    ) -> Any:
        """What ``dblock.dataloaders`` makes."""
        return dblock.dataloaders(source, path=path, bs=bs, val_bs=val_bs, shuffle=shuffle, device=device, **kwargs)

    # -- what the data is, found out when it is asked for -----------------------------------------------------------------------------------------
    @property
    def blocks(self) -> Any:  # type: ignore[override]
        """What the elements of a batch are."""
        first: Any = self.loaders[0] if self.__dict__.get("loaders") else None
        return first.blocks if isinstance(first, TfmdDL) else self.__dict__.get("_given_blocks", [])

    @blocks.setter
    def blocks(self, blocks: Any) -> None:
        vars(self).update(_given_blocks=blocks)

    @property
    def _n_inp(self) -> int | None:  # type: ignore[override]
        given = self.__dict__.get("_given_n_inp")
        first: Any = self.loaders[0] if self.__dict__.get("loaders") else None
        return first.n_inp if given is None and isinstance(first, TfmdDL) else given

    @_n_inp.setter
    def _n_inp(self, n_inp: int | None) -> None:
        vars(self).update(_given_n_inp=n_inp)

    @property
    def c(self) -> int:
        """How many outputs a model needs for the target(s)."""
        if (told := self.__dict__.get("_c")) is not None:
            return told
        return OwnDataLoaders.c.fget(self)  # type: ignore[attr-defined]

    @c.setter
    def c(self, c: int) -> None:
        vars(self)["_c"] = c

    @property
    def vocab(self) -> Any:
        """The labels of the target, in the order of the model's outputs."""
        first: Any = self.loaders[0] if self.loaders else None
        found = getattr(first, "vocab", None) if isinstance(first, TfmdDL) else None
        return found if found is not None else OwnDataLoaders.vocab.fget(self)  # type: ignore[attr-defined]

    def loss(self) -> Any:
        """What the transforms of the target say, else their kind."""
        first: Any = self.loaders[0] if self.loaders else None
        told = getattr(first, "loss_func", None) if isinstance(first, TfmdDL) else None
        told = told[-1] if isinstance(told, L) and len(told) else told
        return told if told is not None and not isinstance(told, L) else super().loss()

    def targets_of(self, split: str) -> list[torch.Tensor]:
        """The encoded targets of a split, one tensor a target: each sample's, read once."""
        i = ("train", "valid", "test").index(split)
        n = self._n_inp or 1
        loaders: list[Any] = self.loaders
        ds = loaders[i].dataset
        tls = getattr(ds, "tls", None)
        if tls is None:
            raise DataError("The targets aren't known without reading all samples.")
        return [torch.stack([torch.as_tensor(y) for y in tl]) for tl in tls[n:]]

    # -- more of the same -----------------------------------------------------------------------------------------
    def several(self, item: Any) -> list[Any] | None:
        is_list = type(item) is list or type(item).__name__ in ("L", "Series", "Index")
        return list(item) if is_list and isinstance(self.loaders[0], TfmdDL) else None if type(item) is tuple else super().several(item)

    def test_dl(  # type: ignore[override]
        self,
        test_items: Any,
        rm_type_tfms: Any = None,
        with_labels: bool = False,
        bs: int | None = None,
        num_workers: int | None = None,
        on_error: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """A loader over new items, read as those that validate are, in order.

        Args:
            rm_type_tfms: how many transforms at the beginning are left out; None finds it out. with_labels: also the targets.
            num_workers, on_error: taken, without effect. kwargs: of the loader.
        """
        _ = num_workers, on_error
        valid = self.loaders[min(1, len(self.loaders) - 1)]
        if not isinstance(valid, TfmdDL):
            return super().test_dl(test_items, with_labels, bs)
        made = valid.new(
            test_set(valid.dataset, test_items, rm_type_tfms, with_labels), shuffle=False, drop_last=False, **({} if bs is None else {"bs": bs}), **kwargs
        )  # fmt: skip
        made.__dict__["_blocks"] = self.blocks if with_labels else self.blocks[: self._n_inp]
        made.__dict__["n_inp"] = self._n_inp
        made.__dict__["_types"] = valid._types_of_batch()
        return made

    def new_empty(self) -> DataLoaders:
        """The same without items: for predicting."""
        return DataLoaders(*[dl.new(dl.dataset.new_empty()) for dl in list[Any](self.loaders)], path=self.path, device=self.device)

    def add_tfms(self, tfms: Any, event: str, loaders: Any = None) -> None:
        """Adds transforms to ``after_item``, ``before_batch`` or ``after_batch`` of all loaders, or of those that are named ('train', 'valid', or numbers)."""
        if event not in _EVENTS:
            raise SettingError(f"add_tfms(event={event!r}): expected one of {', '.join(_EVENTS)}.")
        for dl in self.loaders if loaders is None else [self[i] for i in (loaders if is_listy(loaders) else [loaders])]:
            getattr(dl, event).add(tfms)

    def config(self) -> dict[str, Any]:
        """Not to be had: raises SettingError."""
        raise SettingError(
            "export: this data is read by transforms of Datasets, TfmdLists or TransformBlocks, which a model file can't hold (no code is stored). Keep the weights with learn.save(name), "
            "and make the learner by your code before learn.load(name); or describe the data with a DataBlock of ImageBlock, CategoryBlock and the like, whose models export."
        )

    # -- looking at it --------------------------------------------------------------------------------------------
    def show_batch(self, b: Any = None, max_n: int = 9, **kwargs: Any) -> Any:  # type: ignore[override]
        """Draws samples of a training batch; see ``TfmdDL.show_batch``."""
        self._need_blocks("draw their batches", "Look at one_batch() and draw what you know.")
        return self.train.show_batch(b, max_n=max_n, **kwargs)

    def __getattr__(self, k: str) -> Any:
        if k.startswith("_") or k in ("loaders", "device", "blocks", "balance"):
            raise AttributeError(k)
        if not self.loaders:
            raise AttributeError(k)
        try:
            return getattr(self.loaders[0], k)
        except AttributeError:
            raise AttributeError(f"DataLoaders has no attribute {k!r}, nor has its training loader.") from None
