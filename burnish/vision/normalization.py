"""Who normalises the pictures: the data or the model. Twice, or never, is wrong, and nothing else would tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from burnish.data.dataloaders import DataLoaders
from burnish.data.foreign import BatchFunction, TorchvisionBatch, TorchvisionTransform, is_torchvisions_own, members
from burnish.data.randomness import own_globals
from burnish.data.transforms import ItemFunction
from burnish.errors import DataError, SettingError, listed
from burnish.train.callbacks.generators import loader_states, set_loader_states

_SLACK = 0.25  # how far interpolation takes pictures out of 0..1
_BYTES_FROM = 16.0  # no normalised picture without a value below 0 goes as high
TO_FLOATS = "with torchvision's v2.ToDtype(torch.float32, scale=True)"


class Normalised(NamedTuple):
    """What brings the pictures out of 0..1 before the model gets them.

    Attributes:
        by: the transform, or what the pictures' values say, as a sentence without its end.
        stats: (mean, std), each a number a channel, where they are known.
        in_bytes: the values are bytes or go from 0 to 255: neither normalised nor in 0..1.
    """

    by: str
    stats: tuple[list[float], list[float]] | None = None
    in_bytes: bool = False


def normalised_by(dls: DataLoaders, look: Callable[[], Tensor]) -> Normalised | None:
    """What in the data normalises the pictures; None when nothing does.

    A transform of burnish or torchvision is known by its class, also inside a Compose, a preset or an ``nn.Sequential``.
    What other code does (plain PyTorch loaders, functions, classes of the user's) shows in the values: pictures as they
    are lie in 0..1, so a batch that goes beyond is taken as normalised, or as in bytes.

    Args:
        look: gives a training batch of pictures ``(batch, channel, height, width)``; called only where it is needed.
    """
    found = _by_transform(dls)
    return _by_values(look()) if found is None and len(dls) and _of_others(dls) else found


def is_tellable(dls: DataLoaders) -> bool:
    """Whether it can be told what normalises the pictures: not where other people's code did and its data is gone."""
    return len(dls) > 0 or not _of_others(dls) or _by_transform(dls) is not None


def _by_transform(dls: DataLoaders) -> Normalised | None:
    for place, tfms in (("batch transforms", dls.batch_tfms), ("item transforms", dls.item_tfms)):
        for part in (part for tfm in tfms for part in _parts(tfm)):
            known = is_torchvisions_own(part) or type(part).__module__.startswith("burnish.")
            if known and hasattr(part, "mean") and hasattr(part, "std"):
                return Normalised(f"The {place} normalise already ({type(part).__name__})", (_numbers(part.mean), _numbers(part.std)))
    return None


def _parts(tfm: Any) -> list[Any]:
    """A transform with everything inside it."""
    inner = tfm.transform if isinstance(tfm, (TorchvisionTransform, TorchvisionBatch)) else getattr(tfm, "function", tfm)
    modules = list(inner.modules()) if isinstance(inner, nn.Module) else [inner]
    return [part for module in modules for part in members(module)]


def _numbers(values: Any) -> list[float]:
    return torch.as_tensor(values, dtype=torch.float64).flatten().tolist()


def _of_others(dls: DataLoaders) -> bool:
    """Whether code that isn't burnish's has a hand in the pictures."""
    wrappers = (ItemFunction, BatchFunction, TorchvisionTransform, TorchvisionBatch)
    return not dls.blocks or any(
        isinstance(t, wrappers) or not type(t).__module__.startswith("burnish.") for t in [*dls.item_tfms, *dls.batch_tfms]
    )


def _by_values(x: Tensor) -> Normalised | None:
    low, high = float(x.min()), float(x.max())
    if not x.is_floating_point() or (low >= 0 and high > _BYTES_FROM):
        kind = str(x.dtype).removeprefix("torch.")
        return Normalised(f"The pictures of a training batch are {kind} from {low:.4g} to {high:.4g}", in_bytes=True)
    if low < -_SLACK or high > 1 + _SLACK:
        return Normalised(f"The pictures come normalised already (a training batch goes from {low:.3g} to {high:.3g}, not from 0 to 1)")
    return None


def check_same_normalization(model_does: bool, before: Normalised | None, now: Normalised | None) -> None:
    """Raises DataError if a model trained on data normalised like `before` would see other data, `now`, otherwise.

    Args:
        model_does: the model normalises its input itself.
    """
    in_bytes = [data for data in (before, now) if data is not None and data.in_bytes]
    if len(in_bytes) == 1:
        here, there = ("the new data", "what this model was made for")[:: 1 if in_bytes[0] is now else -1]
        raise DataError(f"{in_bytes[0].by} in {here}, and not in {there}. Divide by 255, e.g. {TO_FLOATS}, or make a new learner.")
    if model_does and now is not None:
        raise DataError(
            f"{now.by} in the new data, and so does this model: they would be normalised twice. Leave that step away from the data, or make a new learner for it."
        )
    if model_does or (before is None and now is None):
        return
    if before is None or now is None:
        one, other = ("isn't", "the new one is") if before is None else ("was", "the new one isn't")
        step = (now or before).by  # pyright: ignore[reportOptionalMemberAccess]
        raise DataError(
            f"The data that this model was made for {one} normalised, and {other}. {step}. Prepare both alike, or make a new learner for the new data."
        )
    if before.stats and now.stats and not _alike(before.stats, now.stats):
        raise DataError(
            f"The new data is normalised with mean and std {listed(now.stats)}, and the model was made for {listed(before.stats)}. Use the same, or make a new learner."
        )


def _alike(a: tuple[list[float], list[float]], b: tuple[list[float], list[float]]) -> bool:
    return all(len(x) == len(y) and all(abs(v - w) < 1e-4 for v, w in zip(x, y, strict=True)) for x, y in zip(a, b, strict=True))


def first_batch(dls: DataLoaders) -> Any:
    """A training batch. The user's random generators, and the loader, stay as they are."""
    loader = loader_states(dls.train)
    try:
        with own_globals(0):
            return dls.one_batch()
    finally:
        set_loader_states(dls.train, loader)


def first_pictures(dls: DataLoaders, batch: Any = None) -> Tensor:
    """The pictures of a training batch ``(batch, channel, height, width)``: of `batch`, or the first.

    Raises:
        SettingError: its first part is no such thing.
    """
    batch = first_batch(dls) if batch is None else batch
    at = next((i for i, block in enumerate(dls.input_blocks) if block.kind == "image"), 0)
    x = batch[at] if isinstance(batch, (tuple, list)) else batch
    if not isinstance(x, Tensor) or x.ndim != 4:
        got = f"a tensor of shape {tuple(x.shape)}" if isinstance(x, Tensor) else f"a {type(x).__name__}"
        raise SettingError(
            f"vision_learner needs batches whose first part is pictures (batch, channel, height, width); this one's is {got}."
        )
    return x
