"""Who normalises the pictures: the data or the model. Twice, or never, is wrong, and nothing else would tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from burnish.data.dataloaders import DataLoaders
from burnish.data.foreign import BatchFunction, TorchvisionBatch, TorchvisionTransform, members
from burnish.data.randomness import own_globals
from burnish.data.transforms import ItemFunction
from burnish.errors import DataError, SettingError, listed

_SLACK = 0.25  # how far interpolation takes pictures out of 0..1
_BYTES_FROM = 16.0  # no normalised picture without a value below 0 goes as high


class Normalised(NamedTuple):
    """What normalises the pictures before the model gets them.

    Attributes:
        by: the transform, or what the pictures' values say, as the subject of a sentence.
        stats: (mean, std), each a number a channel, where they are known.
    """

    by: str
    stats: tuple[list[float], list[float]] | None = None


def normalised_by(dls: DataLoaders, look: Callable[[], Tensor]) -> Normalised | None:
    """What in the data normalises the pictures; None when nothing does.

    A transform of burnish or torchvision is known by its class, also inside a Compose, a preset or an ``nn.Sequential``.
    What other code does (plain PyTorch loaders, functions, classes of the user's) shows in the values: pictures as they
    are lie in 0..1, so a batch that goes beyond is taken as normalised.

    Args:
        look: gives a training batch of pictures ``(batch, channel, height, width)``; called only where it is needed.

    Raises:
        DataError: the values are bytes or go from 0 to 255: neither normalised nor in 0..1.
    """
    found = _by_transform(dls)
    return _by_values(look()) if found is None and len(dls) and _of_others(dls) else found


def is_tellable(dls: DataLoaders) -> bool:
    """Whether it can be told what normalises the pictures: not where other people's code did and its data is gone."""
    return len(dls) > 0 or not _of_others(dls) or _by_transform(dls) is not None


def _by_transform(dls: DataLoaders) -> Normalised | None:
    for place, tfms in (("batch transforms", dls.batch_tfms), ("item transforms", dls.item_tfms)):
        for part in (part for tfm in tfms for part in _parts(tfm)):
            if hasattr(part, "mean") and hasattr(part, "std"):
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
        raise DataError(
            f"The pictures of a training batch are {str(x.dtype).removeprefix('torch.')} from {low:.4g} to {high:.4g}: expected floats in 0..1, or normalised ones. "
            "Divide by 255 where they are read, e.g. with torchvision's v2.ToDtype(torch.float32, scale=True); vision_learner(normalize=False) takes floats as they are."
        )
    if low < -_SLACK or high > 1 + _SLACK:
        return Normalised(f"The pictures come normalised already (a training batch goes from {low:.3g} to {high:.3g}, not from 0 to 1)")
    return None


def check_same_normalization(model_does: bool, before: Normalised | None, now: Normalised | None) -> None:
    """Raises DataError if a model trained on data normalised like `before` would see other data, `now`, otherwise.

    Args:
        model_does: the model normalises its input itself.
    """
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


def first_pictures(dls: DataLoaders) -> Tensor:
    """The pictures of a training batch ``(batch, channel, height, width)``. The user's random generators stay as they are.

    Raises:
        SettingError: its first part is no such thing.
    """
    with own_globals(0):
        batch = dls.one_batch()
    x = batch[0] if isinstance(batch, (tuple, list)) else batch
    if not isinstance(x, Tensor) or x.ndim != 4:
        got = f"a tensor of shape {tuple(x.shape)}" if isinstance(x, Tensor) else f"a {type(x).__name__}"
        raise SettingError(
            f"vision_learner needs batches whose first part is pictures (batch, channel, height, width); this one's is {got}."
        )
    return x
