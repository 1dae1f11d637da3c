"""Transforms from elsewhere in the shape of ours: torchvision's (v2 and v1), modules and plain functions.

What draws runs in training only (a random crop is replaced by the centre elsewhere, so that sizes stay equal), and draws
from our generators. Of torchvision's own classes it is known which draw, and a class derived from one of these draws too; what
else the user wrote, as a function in a Lambda or as a class derived from ``Transform``, may draw anything and always runs,
unless it is called Random... too. torchvision is imported only when one of its objects, or a description of one, is here.

An object of any other class can say itself what it is here: by a method ``as_item_transform()`` that gives an ItemTransform, or
``as_batch_transform()`` that gives a BatchTransform.
"""

from __future__ import annotations

import enum
import importlib
import inspect
import math
import random
import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from burnish.data.apart import SHARES_GEOMETRY
from burnish.data.functions import draws_nothing
from burnish.data.randomness import OwnDraws, own_globals
from burnish.data.transforms import BatchTransform, ItemFunction, ItemTransform, Values
from burnish.errors import DataError, ModelFileError, SettingError

_HOMES = ("torchvision.transforms", "torchvision.transforms.v2")
_DRAWING = {"AugMix", "AutoAugment", "ColorJitter", "ElasticTransform", "GaussianBlur", "GaussianNoise", "JPEG", "RandAugment", "ScaleJitter", "TrivialAugmentWide"}  # fmt: skip
_NEEDS_BYTES = {"JPEG"}
_UNFIT = {
    "MixUp": "mixes pictures and labels of a batch: pass the callback MixUp() to fit instead",
    "CutMix": "mixes pictures and labels of a batch: pass the callback CutMix() to fit instead",
    "FiveCrop": "makes several pictures of one, and a sample has one: use learn.tta() for averaged predictions",
    "TenCrop": "makes several pictures of one, and a sample has one: use learn.tta() for averaged predictions",
}


def is_torchvision(obj: Any) -> bool:
    """Whether `obj` is a transform of torchvision, or of a class derived from one."""
    return any(cls.__module__.startswith("torchvision.transforms") for cls in type(obj).__mro__)


def is_torchvisions_own(obj: Any) -> bool:
    """Whether all code of `obj` is torchvision's: it is of one of its classes, and not one that holds a function."""
    return type(obj).__module__.startswith("torchvision.transforms") and type(obj).__name__ != "Lambda"


def _may_draw_globally(obj: Any) -> bool:
    """Whether a transform (not what is in it) may draw from other generators than torch's."""
    if type(obj).__module__ == "torchvision.transforms.transforms" and type(obj).__name__ in ("RandomChoice", "RandomOrder"):
        return True  # the older ones draw from python's
    if type(obj).__module__.startswith("torchvision.transforms"):
        return type(obj).__name__ == "Lambda" and not draws_nothing(obj.lambd)
    return not draws_nothing(obj)


class TorchvisionTransform(ItemTransform):
    """Any transform object of ``torchvision.transforms.v2``, on the picture and its mask, boxes and points jointly; or of the
    older ``torchvision.transforms``, on the first picture of samples with one picture. Labels are not shown to the user's
    code in it.

    Args:
        transform: the object, or its description as ``config()`` gives it.
    """

    def __init__(self, transform: Any) -> None:
        self.transform = build(transform) if isinstance(transform, dict) else transform
        if not is_torchvision(self.transform):
            raise SettingError(f"TorchvisionTransform({transform!r}): expected a transform of torchvision.transforms.v2.")
        for part in members(self.transform):
            if type(part).__name__ in _UNFIT:
                raise SettingError(f"torchvision's {type(part).__name__} {_UNFIT[type(part).__name__]}.")
            _teach(part)
        self._calm = without_draws(self.transform)
        self._draws = self._calm is not self.transform
        self._own = all(map(is_torchvisions_own, members(self.transform)))
        self.draws_globally = any(map(_may_draw_globally, members(self.transform)))

    def stages(self) -> tuple[ItemTransform | None, ItemTransform | None]:
        return (None, self) if self._draws or not self._own else (self, None)

    def cache_key(self) -> str | None:
        """Its arguments and what it says of itself; None where that doesn't tell everything."""
        try:
            return f"torchvision, aligned {sys.modules['torchvision'].__version__} {_spec(self.transform)} {_plain_repr(self.transform)}"
        except TypeError:
            return None

    def apply(self, values: Values, rng: random.Random | None) -> Values:
        transform = self._calm if rng is None else self.transform
        if transform is None:
            return values
        if self.draws_globally:
            return _call(transform, values, self._own)
        seed = rng.getrandbits(63) if rng is not None and self._draws else 0  # those with nothing to choose may still draw
        with OwnDraws(torch.Generator().manual_seed(seed)):
            return _call(transform, values, self._own)

    def config(self) -> dict[str, Any]:
        return {"type": type(self).__name__, "module": type(self).__module__, "transform": describe(self.transform)}

    def __repr__(self) -> str:
        return f"TorchvisionTransform({' '.join(repr(self.transform).split())})"


class TorchvisionBatch(BatchTransform):
    """A transform of torchvision on batches of images (and their masks): drawn for each picture on its own.

    Args:
        transform: the object, or its description as ``config()`` gives it.
    """

    def __init__(self, transform: Any) -> None:
        super().__init__()
        self._item = TorchvisionTransform(transform)
        self._bytes = any(type(part).__name__ in _NEEDS_BYTES for part in members(self.transform))

    @property
    def transform(self) -> Any:
        return self._item.transform

    def apply(self, batch: list[Tensor], kinds: Sequence[str], rng: torch.Generator | None) -> list[Tensor]:
        transform = self.transform if rng is not None else self._item._calm
        where = [i for i, kind in enumerate(kinds) if kind in ("image", "mask")]
        if transform is None or not where:
            return batch
        if any(kind in ("points", "boxes") for kind in kinds):
            raise SettingError(
                f"{self!r} as a batch transform would leave points and boxes behind: pass it as item_tfms=, or use aug_transforms()."
            )
        together = not self._item.draws_globally and (rng is None or not self._item._draws)
        portions = [slice(None)] if together else [slice(i, i + 1) for i in range(len(batch[where[0]]))]
        with own_globals(None if together else _seed(rng)):
            done = [self._portion(transform, [batch[i][some] for i in where], [kinds[i] for i in where]) for some in portions]
        out = list(batch)
        for place, results in zip(where, zip(*done, strict=True), strict=True):
            out[place] = results[0] if len(results) == 1 else torch.cat(results)
        return out

    def undo(self, batch: list[Tensor], kinds: Sequence[str]) -> list[Tensor]:
        for part in reversed([p for p in members(self.transform) if type(p).__name__ == "Normalize" and is_torchvisions_own(p)]):
            mean, std = (torch.as_tensor(v)[:, None, None] for v in (part.mean, part.std))
            batch = [x * std.to(x) + mean.to(x) if kind == "image" else x for x, kind in zip(batch, kinds, strict=False)]
        return batch

    def _portion(self, transform: Any, tensors: list[Tensor], kinds: list[str]) -> list[Tensor]:
        from torchvision import tv_tensors

        values: list[Any] = []
        for x, kind in zip(tensors, kinds, strict=True):
            x = (x * 255).round().to(torch.uint8) if self._bytes and kind == "image" else x
            values.append(tv_tensors.Image(x) if kind == "image" else tv_tensors.Mask(x))
        results = [r.as_subclass(Tensor) for r in _call(transform, tuple(values), self._item._own)]
        return [r.float().div_(255) if r.dtype == torch.uint8 and k == "image" else r for r, k in zip(results, kinds, strict=True)]

    def config(self) -> dict[str, Any]:
        return {"type": type(self).__name__, "module": type(self).__module__, "transform": describe(self.transform)}

    def __repr__(self) -> str:
        return f"TorchvisionBatch({' '.join(repr(self.transform).split())})"


class BatchFunction(BatchTransform):
    """Any function or module from a batch of images ``(batch, channel, height, width)`` to another, on every image input, in
    training and else. A module is put in training or evaluation mode accordingly."""

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function = function
        self._draws_globally = not draws_nothing(function)

    def apply(self, batch: list[Tensor], kinds: Sequence[str], rng: torch.Generator | None) -> list[Tensor]:
        if isinstance(self.function, nn.Module):
            self.function.train(rng is not None)
        with own_globals(_seed(rng) if self._draws_globally else None):
            made = [self._run(x) if kind == "image" else x for x, kind in zip(batch, kinds, strict=True)]
        if SHARES_GEOMETRY.intersection(kinds):
            for x, out in zip(batch, made, strict=True):
                if out.shape[-2:] != x.shape[-2:]:
                    raise DataError(
                        f"The batch transform {self._name()} is given the pictures alone, and it made {out.shape[-1]} x {out.shape[-2]} pixels of {x.shape[-1]} x {x.shape[-2]}: what lies in "
                        "them (masks, points, boxes) would stay behind. Use one of aug_transforms or torchvision.transforms.v2, or a class deriving from burnish.data.transforms.BatchTransform."
                    )
        return made

    def _run(self, x: Tensor) -> Tensor:
        out = self.function(x)
        if not isinstance(out, Tensor) or len(out) != len(x):
            got = f"a tensor of shape {tuple(out.shape)}" if isinstance(out, Tensor) else repr(type(out).__name__)
            raise DataError(
                f"The batch transform {self._name()} gave {got} for images of shape {tuple(x.shape)}: expected images, as many as it got."
            )
        return out

    def _name(self) -> str:
        return repr(getattr(self.function, "__qualname__", self.function))

    def config(self) -> dict[str, Any]:
        raise TypeError(
            f"The batch transform {self._name()} is a plain function or module, which a model file can't hold (no code is stored). "
            "Write it as a class deriving from burnish.data.transforms.BatchTransform, which the person who loads the file imports first."
        )


def _seed(rng: torch.Generator | None) -> int:
    """What the process's generators are seeded with for a batch, on the CPU and the device: the same one outside training."""
    return 0 if rng is None else int(torch.randint(2**31, (), generator=rng))


def _instance(obj: Any, argument: str) -> Any:
    """An instance of `obj` if it is a class (``Resize`` for ``Resize()``), else `obj`."""
    if not isinstance(obj, type):
        return obj
    try:
        return obj()
    except TypeError as e:
        raise SettingError(
            f"{argument} got the class {obj.__name__}, not an instance, and it needs arguments ({e}). Write {obj.__name__}(...)."
        ) from e


def as_item_transform(obj: Any) -> ItemTransform:
    """`obj` as an ItemTransform: ours, one by itself (``as_item_transform()``), torchvision's (v2 and v1), a class that needs no arguments, or a function.

    Raises:
        SettingError: it is none of these, or a batch transform.
    """
    obj = _instance(obj, "item_tfms")
    if isinstance(obj, ItemTransform):
        return obj
    if hasattr(obj, "as_item_transform"):
        return obj.as_item_transform()
    if isinstance(obj, BatchTransform):
        raise SettingError(f"{type(obj).__name__} works on whole batches: pass it as batch_tfms=, not item_tfms=.")
    if is_torchvision(obj):
        return TorchvisionTransform(obj)
    if callable(obj):
        return ItemFunction(obj)
    raise SettingError(f"item_tfms got {obj!r}, a {type(obj).__name__}: expected a transform, or a function of one picture.")


def as_batch_transform(obj: Any) -> BatchTransform:
    """`obj` as a BatchTransform: ours, one by itself (``as_batch_transform()``), torchvision's, a class that needs no arguments, or a function.

    Raises:
        SettingError: it is none of these, or an item transform.
    """
    obj = _instance(obj, "batch_tfms")
    if isinstance(obj, BatchTransform):
        return obj
    if hasattr(obj, "as_batch_transform"):
        return obj.as_batch_transform()
    if isinstance(obj, ItemTransform):
        raise SettingError(f"{type(obj).__name__} works on single samples: pass it as item_tfms=, not batch_tfms=.")
    if is_torchvision(obj):
        return TorchvisionBatch(obj)
    if callable(obj):
        return BatchFunction(obj)  # pyright: ignore[reportArgumentType]
    raise SettingError(f"batch_tfms got {obj!r}, a {type(obj).__name__}: expected a transform, or a function of a batch of images.")


def as_item_transforms(tfms: Sequence[Any]) -> list[ItemTransform]:
    """A flat list of item transforms, from what the user wrote (lists in it are laid end to end)."""
    return [done for tfm in tfms for done in (as_item_transforms(tfm) if isinstance(tfm, (list, tuple)) else [as_item_transform(tfm)])]


def as_batch_transforms(tfms: Sequence[Any]) -> list[BatchTransform]:
    """A flat list of batch transforms, neighbours that can act in one pass fused."""
    flat = [done for tfm in tfms for done in (as_batch_transforms(tfm) if isinstance(tfm, (list, tuple)) else [as_batch_transform(tfm)])]
    out: list[BatchTransform] = []
    for tfm in flat:
        fused = out[-1].fuse(tfm) if out else None
        out[-1:] = [fused] if fused is not None else [*out[-1:], tfm]
    return out


# -- torchvision: what draws ----------------------------------------------------------------------------------------
def members(transform: Any) -> list[Any]:
    """A transform and, for a container, everything in it."""
    inner = getattr(transform, "transforms", None)
    return [transform] + [m for t in (inner if isinstance(inner, (list, tuple, nn.ModuleList)) else ()) for m in members(t)]


def draws(transform: Any) -> bool:
    """Whether a transform (not a Compose) is nothing but chance, told by its class: torchvision's own, or one of the user's that
    follows their habit and is called Random..."""
    for cls in type(transform).__mro__:
        if not cls.__module__.startswith("torchvision.transforms"):
            if cls.__name__.startswith("Random"):
                return True
            continue
        if cls.__name__ in ("GaussianBlur", "JPEG"):  # random only when given a range
            span = getattr(transform, "sigma" if cls.__name__ == "GaussianBlur" else "quality", (0, 1))
            return span[0] != span[1]
        if cls.__name__ in _DRAWING or cls.__name__.startswith("Random"):
            return True
    return False


def without_draws(transform: Any) -> Any:
    """What remains of a transform outside training: itself if it draws nothing, None if it is nothing but chance."""
    name = next((cls.__name__ for cls in type(transform).__mro__ if cls.__module__.startswith("torchvision.transforms")), "")
    if name == "Compose" and is_torchvisions_own(transform):
        kept = [without_draws(t) for t in transform.transforms]
        if all(a is b for a, b in zip(kept, transform.transforms, strict=True)):
            return transform
        kept = [t for t in kept if t is not None]
        return type(transform)(kept) if kept else None
    if not draws(transform):
        return transform
    if name in ("RandomResizedCrop", "RandomCrop"):
        return _Centre(transform.size, resize=name == "RandomResizedCrop")
    return None


class _Centre(nn.Module):
    """What a random crop does outside training: the centre at `size` (height, width); of a picture made about a seventh larger
    first if it resizes."""

    def __init__(self, size: Sequence[int] | int, resize: bool) -> None:
        super().__init__()
        self.size = [size, size] if isinstance(size, int) else [size[0], size[-1]]
        self.resize = resize

    def forward(self, *values: Any) -> Any:
        where = _placed(values)
        done = tuple(self._one(v) if i in where else v for i, v in enumerate(values))
        return done[0] if len(done) == 1 else done

    def _one(self, value: Any) -> Any:
        from torchvision.transforms.v2 import functional as F

        if self.resize:
            height, width = F.get_size(value)
            extra = math.ceil(max(self.size) * 0.14 / 8) * 8
            factor = max((self.size[0] + extra) / height, (self.size[1] + extra) / width)
            value = F.resize(value, [max(self.size[0], round(height * factor)), max(self.size[1], round(width * factor))])
        return F.center_crop(value, self.size)


def _has_size(value: Any) -> bool:
    from torchvision import tv_tensors

    return hasattr(value, "getbands") or isinstance(value, tv_tensors.TVTensor)


def _placed(values: Values) -> list[int]:
    """Where in a sample the picture is, and what has a place in it. A plain tensor or array is the picture if nothing else is."""
    from torchvision import tv_tensors

    placed = [i for i, v in enumerate(values) if _has_size(v)]
    if not any(hasattr(values[i], "getbands") or isinstance(values[i], tv_tensors.Image) for i in placed):
        plain = (i for i, v in enumerate(values) if i not in placed and getattr(v, "ndim", 0) >= 2)
        placed = sorted([*placed, *[i for i in (next(plain, None),) if i is not None]])
    return placed


def _teach(transform: Any) -> None:
    """A transform of v2 learns of our classes of masks and points."""
    if any(cls.__module__.startswith("torchvision.transforms.v2") for cls in type(transform).__mro__):
        from burnish.data.aligned import teach

        for part in transform.modules() if isinstance(transform, nn.Module) else [transform]:
            teach(part)


def _call(transform: Any, values: Values, own: bool) -> Values:
    """`values` through a transform. One of torchvision's own v2 classes is given all; any other what has a place in the picture. Masks and points go where
    the pixels go (``burnish/data/aligned.py``)."""
    from burnish.data.aligned import aligned, unaligned

    v2 = any(cls.__module__.startswith("torchvision.transforms.v2") for cls in type(transform).__mro__) or isinstance(transform, _Centre)
    where = list(range(len(values))) if v2 and own else _placed(values)
    if not where:
        return values
    if not v2 and len(where) > 1:
        raise SettingError(
            f"{transform!r} is of torchvision's older transforms, which change the picture and would leave its mask, boxes or points behind. "
            "Use the same class from torchvision.transforms.v2."
        )
    out = transform(*[aligned(values[i]) for i in where])
    done = dict(zip(where, map(unaligned, out if len(where) > 1 else (out,)), strict=True))
    return tuple(done.get(i, v) for i, v in enumerate(values))


# -- torchvision: as JSON -------------------------------------------------------------------------------------------
def describe(transform: Any) -> dict[str, Any]:
    """A transform of torchvision as JSON: class name and arguments, read from the attributes of the same names.

    Raises:
        TypeError: it can't be rebuilt from that; the message says why.
    """
    spec = _spec(transform)
    again = build(spec)
    if _spec(again) != spec or _plain_repr(again) != _plain_repr(transform):
        raise TypeError(_unwritable(transform, f"rebuilt from its arguments it would be {_plain_repr(again)}"))
    return spec


def build(spec: dict[str, Any]) -> Any:
    """The transform that :func:`describe` described. Only torchvision's own classes are made."""
    home = importlib.import_module(spec["home"]) if spec.get("home") in _HOMES else None
    cls = getattr(home, str(spec.get("name")), None)
    if not (isinstance(cls, type) and cls.__module__.startswith("torchvision.transforms")):
        raise ModelFileError(
            f"The file names the transform {spec.get('home')}.{spec.get('name')}, which this torchvision doesn't have. Update torchvision."
        )
    args = {k: _revive(v) for k, v in spec.get("args", {}).items()}
    try:
        return cls(**args)
    except (TypeError, ValueError) as e:
        raise ModelFileError(
            f"torchvision's {spec['name']} can't be made from the arguments in the file: {e}. Use the torchvision it was written with."
        ) from e


def _spec(transform: Any) -> dict[str, Any]:
    cls = type(transform)
    home = next(
        (h for h in reversed(_HOMES) if cls.__module__.startswith(h) and getattr(sys.modules.get(h), cls.__name__, None) is cls), None
    )
    if home is None:
        raise TypeError(_unwritable(transform, f"{cls.__module__}.{cls.__qualname__} is not a class of torchvision itself"))
    args = {}
    for p in inspect.signature(cls.__init__).parameters.values():
        if p.name == "self":
            continue
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) or not hasattr(transform, p.name):
            raise TypeError(_unwritable(transform, f"it doesn't keep its argument {p.name!r}"))
        args[p.name] = _plain(getattr(transform, p.name), transform)
    return {"home": home, "name": cls.__name__, "args": args}


def _plain(value: Any, owner: Any) -> Any:
    if value is None or (isinstance(value, (bool, int, float, str)) and not isinstance(value, enum.Enum)):
        return value
    if isinstance(value, enum.Enum):
        return {"enum": type(value).__name__, "member": value.name}
    if isinstance(value, torch.dtype):
        return {"dtype": str(value).removeprefix("torch.")}
    if isinstance(value, (list, tuple, nn.ModuleList)):
        return [_plain(v, owner) for v in value]
    if is_torchvision(value):
        return _spec(value)
    raise TypeError(_unwritable(owner, f"its argument {value!r} is a {type(value).__name__}"))


def _revive(value: Any) -> Any:
    if isinstance(value, list):
        return [_revive(v) for v in value]
    if not isinstance(value, dict):
        return value
    if "home" in value:
        return build(value)
    if "dtype" in value:
        found = getattr(torch, str(value["dtype"]), None)
    else:
        from torchvision.transforms import v2

        kind = {"InterpolationMode": v2.InterpolationMode, "AutoAugmentPolicy": v2.AutoAugmentPolicy}.get(str(value.get("enum")))
        found = kind.__members__.get(str(value.get("member"))) if kind else None
    if not isinstance(found, (torch.dtype, enum.Enum)):
        raise ModelFileError(f"The file holds {value!r} as a transform's argument, which isn't known here. Update torchvision.")
    return found


def _plain_repr(transform: Any) -> str:
    """repr without what a list for a tuple, or a line break, would change."""
    return "".join(repr(transform).split()).translate(str.maketrans("()", "[]")).replace(",]", "]")


def _unwritable(transform: Any, why: str) -> str:
    return (
        f"torchvision's {type(transform).__name__} can't be written into a model file: {why}. Use a transform of burnish, or a class deriving from "
        "burnish.data.transforms.ItemTransform; or do this step on the files, before burnish reads them."
    )
