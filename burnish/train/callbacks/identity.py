"""What a training run is told by (its call, its model, its data), and the refusal to go on with another one."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from burnish.data.batches import RowLoader
from burnish.data.config import Configurable
from burnish.data.foreign import members
from burnish.data.tensors import TensorLoader
from burnish.errors import SettingError, listed
from burnish.train.loop import count_batches

if TYPE_CHECKING:
    from burnish.data.dataloaders import DataLoaders

_WORDS = {"rows": "number of training rows", "bs": "batch size", "batches": "number of batches", "shuffled": "shuffling"}


def describe_data(dls: DataLoaders) -> dict[str, Any]:
    """What must be the same for a run to go on in its middle: rows, batch size, number of batches, shuffling, and of burnish's
    own loaders a fingerprint of the rows of training and validation, the transforms, and the seed of order and augmentation."""
    dl = dls.train
    return {
        "rows": _rows(dl),
        "bs": getattr(dl, "bs", None),
        "batches": count_batches(dl, "training"),
        "shuffled": getattr(dl, "shuffle", None),
        "fingerprint": _fingerprint(dl),
        "valid": _fingerprint(dls.valid) if len(dls) > 1 else None,
        "transforms": [_told(tfm) for tfm in (*dls.item_tfms, *dls.batch_tfms)],
        "seed": getattr(dl, "seed", None),
    }


def adopt_seed(dls: DataLoaders, seed: int | None) -> None:
    """Has burnish's own loaders draw order, augmentation and the seeds of users' functions from `seed`."""
    if seed is None:
        return
    dls.seed = seed
    for dl in dls:
        if hasattr(dl, "seed"):
            dl.seed = seed


def _rows(dl: Any) -> int | None:
    try:
        return dl.n
    except TypeError:  # an iterable data set: only its batches are counted
        return None


def _fingerprint(dl: Any) -> str | None:
    """A digest of which samples a loader's rows are, in order, with their targets and chances to be drawn. Of a file it takes
    the folder's name and its own, so that data may be moved as a whole. None for plain loaders, which don't tell."""
    if not isinstance(dl, RowLoader):
        return None
    digest = hashlib.blake2b(digest_size=16)
    if isinstance(dl, TensorLoader):
        digest.update(dl.rows.tobytes())
        for tensor in dl.encoded.on(torch.device("cpu")):
            digest.update(np.ascontiguousarray(tensor[torch.from_numpy(dl.rows)].numpy()).tobytes())
    else:
        for row in dl.rows.tolist():
            digest.update(f"\n{row}".encode())
            for column in dl.columns:  # pyright: ignore[reportAttributeAccessIssue]
                digest.update(b"\t" + _said(column[row]))
    if dl.weights is not None:
        digest.update(np.asarray(dl.weights, dtype=np.float64).tobytes())
    return digest.hexdigest()


def _said(cell: Any) -> bytes:
    if isinstance(cell, bytes):
        return hashlib.blake2b(cell).digest()
    if isinstance(cell, Path) or (isinstance(cell, str) and os.path.isabs(cell)):
        return "/".join(Path(cell).parts[-2:]).encode()
    if cell is None or isinstance(cell, (str, int, float, np.generic)):
        return repr(cell).encode()
    if isinstance(cell, Mapping):
        cell = list(cell.items())
    if isinstance(cell, (list, tuple)):
        return b"[" + b",".join(_said(c) for c in cell) + b"]"
    if isinstance(cell, np.ndarray) and cell.dtype != object:
        return hashlib.blake2b(cell.tobytes()).digest()
    return f"{type(cell).__name__} {getattr(cell, 'shape', getattr(cell, 'size', ''))}".encode()


def _told(tfm: Configurable) -> str:
    """A transform by its class and arguments; where those can't be told (a function, say) by the names of the code it holds.
    Never by what another process would tell otherwise: an address, a set's order."""
    try:
        return json.dumps({k: v for k, v in tfm.config().items() if k != "module"})
    except (TypeError, ValueError, AttributeError):
        held = getattr(tfm, "function", getattr(tfm, "transform", None))
        parts = [tfm, *(members(held) if held is not None else ())]
        return " ".join(getattr(part, "__qualname__", type(part).__qualname__) for part in parts)


# -- the refusals -----------------------------------------------------------------------------------------------------
def check_same_fit(stored: dict[str, Any], given: dict[str, Any], folder: Path) -> None:
    """Raises SettingError if the fit was called with other arguments than the one that wrote the checkpoint."""
    names = [k for k in {**stored, **given} if stored.get(k) != given.get(k)]
    if names:
        was = ", ".join(f"{k}={stored.get(k)!r}" for k in names)
        now = ", ".join(f"{k}={given.get(k)!r}" for k in names)
        raise SettingError(
            f"resume=True: the checkpoint in {str(folder)!r} is of a fit with {was}; this one has {now}. Call it with the same arguments, or without resume."
        )


def check_same_model(own: dict[str, Tensor], stored: dict[str, Tensor], folder: Path) -> None:
    """Raises SettingError if the weights are of another model; before any is loaded, so that the model stays as it is."""
    shapes = [{name: tuple(t.shape) for name, t in weights.items() if isinstance(t, Tensor)} for weights in (own, stored)]
    unlike = [name for name in {**shapes[0], **shapes[1]} if shapes[0].get(name) != shapes[1].get(name)]
    if unlike:
        first = ", ".join(f"{where} {shape.get(unlike[0], 'nothing')}" for where, shape in zip(("here", "there"), shapes, strict=True))
        raise SettingError(
            f"resume=True: the checkpoint in {str(folder)!r} is of another model: {len(unlike)} weight(s) differ ({listed(unlike, 3)}; of the first, {first}). "
            "Make the learner as the killed run did, or delete the folder."
        )


def check_same_callbacks(stored: list[str], present: list[str], folder: Path) -> None:
    """Raises SettingError if callbacks that have state in the checkpoint are not there to take it."""
    lost = list((Counter(stored) - Counter(present)).elements())
    if lost:
        raise SettingError(
            f"The checkpoint in {str(folder)!r} was written with the callbacks {listed(lost)}, which this fit lacks. Resume with the same callbacks."
        )


def check_same_data(own: dict[str, Any], stored: dict[str, Any], folder: Path) -> None:
    """Raises SettingError if the data isn't what the run was trained on: samples would be left out or seen twice."""
    faults = [f"{word} {stored[k]}, now {own[k]}" for k, word in _WORDS.items() if own[k] != stored[k]]
    if not faults:
        sides = (("fingerprint", "training"), ("valid", "validation"))
        faults = [f"other {side} rows (their files, labels or order)" for k, side in sides if own[k] != stored[k]]
    if own["transforms"] != stored["transforms"]:
        faults.append(
            f"transforms {_beside(stored['transforms'], own['transforms'])}, now {_beside(own['transforms'], stored['transforms'])}"
        )
    if faults:
        seed = "" if stored["seed"] is None else f" (its dls.seed was {stored['seed']})"
        raise SettingError(
            f"resume=True: the checkpoint in {str(folder)!r} is of a run on other data: {'; '.join(faults)}. "
            f"Make the data as that run did{seed}, or train without resume."
        )


def _beside(transforms: list[str], others: list[str]) -> str:
    """Those of `transforms` that are not among the others; all, when each is."""
    return listed([t for t in transforms if t not in others] or transforms) or "none"


__all__ = ["adopt_seed", "check_same_callbacks", "check_same_data", "check_same_fit", "check_same_model", "describe_data"]
