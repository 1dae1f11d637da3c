"""fastai's transforms: `encodes` and `decodes` chosen by type, set up on data, in pipelines. Adapters onto plain functions, for code that is written so."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

import torch

from burnish.compat.classes import custom_dir
from burnish.compat.helpers import is_listy
from burnish.compat.lists import first
from burnish.compat.typed import TypeDispatch
from burnish.data.collections import L
from burnish.data.foreign import is_torchvision
from burnish.data.label import AttrGetter, ColReader, ItemGetter
from burnish.data.transforms import BatchTransform as _OwnBatchTransform
from burnish.data.transforms import ItemTransform as _OwnItemTransform
from burnish.errors import SettingError

__all__ = [
    "DisplayedTransform", "Func", "InplaceTransform", "ItemTransform", "Pipeline", "Sig", "Transform", "cast", "compose_tfms", "explode_types", "gather_attr_names", "gather_attrs", "get_func", "mk_transform",
    "retain_meta", "retain_type", "retain_types",
]  # fmt: skip
_NAMES = ("encodes", "decodes", "setups")


# -- types kept ---------------------------------------------------------------------------------------------------------
def cast(x: Any, typ: type) -> Any:
    """`x` as an object of a class: a tensor as a subclass of it, anything else by the constructor."""
    if typ is None or isinstance(x, typ):
        return x
    if isinstance(x, torch.Tensor) and issubclass(typ, torch.Tensor):
        return x.as_subclass(typ)
    return typ(x)


def retain_meta(x: Any, res: Any) -> Any:
    """Gives `res` the attributes that `x` carries."""
    if hasattr(res, "set_meta"):
        res.set_meta(x)
    elif isinstance(res, torch.Tensor) and isinstance(x, torch.Tensor) and vars(x):
        for name, value in vars(x).items():
            setattr(res, name, value)
    return res


def retain_type(new: Any, old: Any = None, typ: Any = None, as_copy: bool = False) -> Any:
    """`new` in the class of `old` (or `typ`), where it came out in a more general one."""
    _ = as_copy
    if new is None:
        return None
    typ = typ if isinstance(typ, type) else type(old) if isinstance(old, type(new)) else type(new)
    if typ is type(None) or isinstance(new, typ):
        return new
    return retain_meta(old, cast(new, typ))


def retain_types(new: Any, old: Any = None, typs: Any = None) -> Any:
    """The same for each element of tuples."""
    if not is_listy(new):
        return retain_type(new, old, typs)
    if typs is not None:
        if isinstance(typs, dict):
            outer, inner = first(typs.items())
        else:
            outer, inner = tuple, typs
        return outer(retain_types(n, None, t) for n, t in zip(new, inner, strict=False))
    return type(old)(L([retain_types(n, o) for n, o in zip(new, old, strict=False)])) if is_listy(old) else new


def explode_types(o: Any) -> Any:
    """The types of all that is in lists and tuples."""
    return {type(o): [explode_types(x) for x in o]} if is_listy(o) else type(o)


# -- transforms ---------------------------------------------------------------------------------------------------------
class _Body(dict[str, Any]):
    """The body of a class in which a method may be written several times, for several types."""

    def __setitem__(self, name: str, value: Any) -> None:
        if name in _NAMES and callable(value) and not isinstance(value, TypeDispatch):
            if not isinstance(self.get(name), TypeDispatch):
                super().__setitem__(name, TypeDispatch(skip=1))
            self[name].add(value)
        else:
            super().__setitem__(name, value)


class _Transforms(type):
    """Of a class of transforms: several `encodes` in one body; called with a function of that name, it takes it in."""

    @classmethod
    def __prepare__(mcs, name: str, bases: tuple[type, ...]) -> Any:
        return _Body()

    def __new__(mcs, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> Any:
        made = super().__new__(mcs, name, bases, dict(body))
        for method in _NAMES:  # those of the classes before it count too, but come after
            inherited = [
                f for base in reversed(made.__mro__[1:]) if isinstance(d := vars(base).get(method), TypeDispatch) for f, *_ in d.functions
            ]
            own = vars(made).get(method)
            setattr(
                made, method, TypeDispatch(*inherited, *([f for f, *_ in own.functions] if isinstance(own, TypeDispatch) else []), skip=1)
            )
        return made

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        function = args[0] if args else None
        name = getattr(function, "__name__", None)
        if len(args) == 1 and not kwargs and name in _NAMES and callable(function) and not isinstance(function, TypeDispatch):
            for owner in [cls, *cls.__subclasses__()]:
                vars(owner)[name].add(function)
            return function
        return super().__call__(*args, **kwargs)


class Transform(metaclass=_Transforms):
    """Encodes and, on the way back, decodes: by methods `encodes` and `decodes`, chosen by the type that their argument is annotated with (what fits none
    passes untouched), or by functions that are given. Tuples are taken element by element. A result that came out more general is given its type back.

    Args:
        enc, dec: functions, instead of methods. split_idx: None is always, 0 in training only, 1 in validation only. order: the place in a Pipeline.
    """

    split_idx: int | None = None
    order: float = 0
    train_setup: bool | None = None
    init_enc: bool | None = None
    encodes: Any
    decodes: Any
    setups: Any

    def __init__(self, enc: Any = None, dec: Any = None, split_idx: int | None = None, order: float | None = None) -> None:
        self.split_idx = split_idx if split_idx is not None else self.split_idx
        self.init_enc = enc is not None or dec is not None
        if order is not None:
            self.order = order
        if self.init_enc:
            self.encodes, self.decodes = (TypeDispatch(*(L(f))) for f in (enc, dec))
            if enc is not None:
                self.order = getattr(enc, "order", self.order) if order is None else order
                self.__name__ = _called(L(enc)[0])
            if (loss := getattr(enc, "loss_func", None)) is not None:  # what a target is learned with
                self.loss_func = loss

    def as_item_transform(self) -> Any:
        """Itself as an item transform of burnish's own `DataBlock`."""
        from burnish.compat.transform_adapters import TransformOfItems

        return TransformOfItems(self)

    def as_batch_transform(self) -> Any:
        """Itself as a batch transform of burnish's own `DataBlock`."""
        from burnish.compat.transform_adapters import TransformOfBatches

        return TransformOfBatches(self)

    @property
    def name(self) -> str:
        """What it is called."""
        return getattr(self, "__name__", type(self).__name__)

    def __repr__(self) -> str:
        return f"{self.name}(enc:{len(self._functions('encodes'))},dec:{len(self._functions('decodes'))})"

    def _functions(self, which: str) -> list[Any]:
        return getattr(type(self) if not self.init_enc else self, which).functions

    def setup(self, items: Any = None, train_setup: bool = False) -> Any:
        """Learns from items (the training ones, where `train_setup`) what `setups` wants."""
        train_setup = train_setup if self.train_setup is None else self.train_setup
        found = getattr(items, "train", items) if train_setup else items
        dispatcher = type(self).setups
        if dispatcher.functions and (f := dispatcher.find(found)) is not None:
            return f[0](self, found)
        return None

    def __call__(self, x: Any, split_idx: int | None = None, **kwargs: Any) -> Any:
        return self._call("encodes", x, split_idx, **kwargs)

    def decode(self, x: Any, split_idx: int | None = None, **kwargs: Any) -> Any:
        """The way back."""
        return self._call("decodes", x, split_idx, **kwargs)

    def _call(self, which: str, x: Any, split_idx: int | None = None, **kwargs: Any) -> Any:
        if split_idx != self.split_idx and self.split_idx is not None:
            return x
        return self._do(which, x, **kwargs)

    def _do(self, which: str, x: Any, **kwargs: Any) -> Any:
        if isinstance(x, tuple) and not self._fits_whole(which, x):
            made = [self._do(which, o, **kwargs) for o in x]
            return type(x)(*made) if hasattr(x, "_fields") else type(x)(made)  # type: ignore[attr-defined]
        return self._one(which, x, **kwargs)

    def _fits_whole(self, which: str, x: Any) -> bool:
        """Whether a method is written for tuples."""
        return any(wanted and tuple in wanted[0] for _, wanted, _ in self._functions(which))

    def _one(self, which: str, x: Any, **kwargs: Any) -> Any:
        dispatcher = getattr(type(self) if not self.init_enc else self, which)
        found = dispatcher.find(x) if dispatcher.functions else None
        if found is None:
            return x
        f, gives = found
        out = f(x, **kwargs) if self.init_enc else f(self, x, **kwargs)
        return out if gives is type(None) else retain_type(out, x, gives)  # annotated with None: as it is


def _called(f: Any) -> str:
    """The name of a function: with its class's, where it is a class method."""
    if isinstance(getattr(f, "__self__", None), type):
        return f.__qualname__
    return getattr(f, "__name__", None) or type(f).__name__


class _Whole(Transform):
    """A function of the whole of an item, also of a tuple: what takes one element of it, say."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self.function, self.__name__ = function, type(function).__name__

    def __call__(self, x: Any, split_idx: int | None = None) -> Any:
        return self.function(x)

    def decode(self, x: Any, split_idx: int | None = None) -> Any:
        return x

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "function":
            raise AttributeError(name)
        return getattr(self.function, name)


class ItemTransform(Transform):
    """A transform of the whole tuple."""

    _retain = True

    def __call__(self, x: Any, split_idx: int | None = None, **kwargs: Any) -> Any:
        return self._whole("encodes", x, split_idx, **kwargs)

    def decode(self, x: Any, split_idx: int | None = None, **kwargs: Any) -> Any:
        return self._whole("decodes", x, split_idx, **kwargs)

    def _whole(self, which: str, x: Any, split_idx: int | None, **kwargs: Any) -> Any:
        if split_idx != self.split_idx and self.split_idx is not None:
            return x
        out = self._one(which, list(x) if isinstance(x, tuple) and type(x) is tuple else x, **kwargs)
        if not self._retain:
            return out
        if is_listy(out) and not isinstance(out, tuple):
            out = tuple(out)
        return retain_type(out, x)


class InplaceTransform(Transform):
    """A transform that changes what it is given."""

    def _one(self, which: str, x: Any, **kwargs: Any) -> Any:
        super()._one(which, x, **kwargs)
        return x


class DisplayedTransform(Transform):
    """A transform that is told with its arguments."""

    def __repr__(self) -> str:
        import inspect

        names = [
            n
            for n in inspect.signature(type(self).__init__).parameters
            if n not in ("self", "kwargs", "args", "enc", "dec", "split_idx", "order")
        ]
        return f"{type(self).__name__} -- { {n: getattr(self, n) for n in names if hasattr(self, n)} }:\n{super().__repr__()}"


# -- functions as transforms --------------------------------------------------------------------------------------------
def get_func(t: Any, name: str, *args: Any, **kwargs: Any) -> Any:
    """The method of that name with some arguments given, or a place for it."""
    found = getattr(t, name, None)
    if found is None:
        return Func(name, *args, **kwargs)
    return functools.partial(found, *args, **kwargs) if args or kwargs else found


class Func:
    """A method by its name, to be found in a type later."""

    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        self.name, self.args, self.kwargs = name, args, kwargs

    def __repr__(self) -> str:
        return f"sig: {self.name}({self.args}, {self.kwargs})"

    def __call__(self, t: Any) -> Any:
        return (
            L(t).map(lambda o: get_func(o, self.name, *self.args, **self.kwargs))
            if is_listy(t)
            else get_func(t, self.name, *self.args, **self.kwargs)
        )


class _Sig:
    def __getattr__(self, name: str) -> Callable[..., Func]:
        return lambda *args, **kwargs: Func(name, *args, **kwargs)


Sig = _Sig()


def mk_transform(f: Any) -> Transform:
    """A function, a class of transforms or a transform, also one of burnish's own or torchvision's, as a transform."""
    if isinstance(f, Transform):
        return f
    if isinstance(f, type) and issubclass(f, (Transform, _OwnItemTransform, _OwnBatchTransform)):
        f = f()
        return f if isinstance(f, Transform) else mk_transform(f)
    if isinstance(f, (ItemGetter, AttrGetter, ColReader)):
        return _Whole(f)
    if isinstance(f, (_OwnItemTransform, _OwnBatchTransform)) or is_torchvision(f):
        from burnish.compat.transform_adapters import adapted

        return adapted(f) or Transform(f)
    if not callable(f):
        raise SettingError(f"{f!r} (a {type(f).__name__}) is no transform: expected a function, a Transform, or a class of Transforms.")
    return Transform(f)


def compose_tfms(x: Any, tfms: Iterable[Any], is_enc: bool = True, reverse: bool = False, **kwargs: Any) -> Any:
    """`x` through several transforms, or (``is_enc=False``) back through them."""
    for f in reversed(list(tfms)) if reverse else tfms:
        x = (f if is_enc else f.decode)(x, **kwargs)
    return x


def gather_attrs(o: Any, k: str, nm: str) -> Any:
    """The attribute `k` of those in ``o.<nm>`` that have it: one, or an L of several."""
    if k.startswith("_") or k == nm:
        raise AttributeError(k)
    found = [t for t in L(getattr(o, nm)).attrgot(k) if t is not None]
    if not found:
        raise AttributeError(f"{type(o).__name__!r} object has no attribute {k!r}")
    return found[0] if len(found) == 1 else L(found)


def gather_attr_names(o: Any, nm: str) -> L[str]:
    """The names that `gather_attrs` finds."""
    return L(getattr(o, nm)).map(dir).concat().unique()


class Pipeline:
    """Transforms one after another, by their order; an attribute that it hasn't is that of the transform that has it.

    Args:
        funcs: functions and transforms. split_idx: in training (0) or validation (1) only, for those that ask.
    """

    def __init__(self, funcs: Any = None, split_idx: int | None = None) -> None:
        self.split_idx, self.default = split_idx, None
        self.fs: L[Transform] = (
            funcs.fs if isinstance(funcs, Pipeline) else L(funcs if is_listy(funcs) else L(funcs)).map(mk_transform).sorted("order")
        )

    def __repr__(self) -> str:
        return f"Pipeline: {' -> '.join(f.name for f in self.fs if f.name != 'noop')}"

    def __getitem__(self, i: int) -> Transform:
        return self.fs[i]

    def __len__(self) -> int:
        return len(self.fs)

    def __iter__(self) -> Any:
        return iter(self.fs)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def __getattr__(self, k: str) -> Any:
        if k == "fs":
            raise AttributeError(k)
        return gather_attrs(self, k, "fs")

    def __dir__(self) -> list[str]:
        return custom_dir(self, gather_attr_names(self, "fs"))

    def setup(self, items: Any = None, train_setup: bool = False) -> None:
        """Has each transform learn from the items as those before it leave them."""
        tfms, self.fs = list(self.fs), L()
        for t in tfms:
            self.add(t, items, train_setup)

    def add(self, ts: Any, items: Any = None, train_setup: bool = False) -> None:
        """One more, or several, set up and in their places."""
        for t in ts if is_listy(ts) else [ts]:
            t = mk_transform(t)
            if items is not None:
                t.setup(items, train_setup)
            self.fs = L([*self.fs, t]).sorted("order")

    def __call__(self, o: Any) -> Any:
        return compose_tfms(o, self.fs, split_idx=self.split_idx)

    def decode(self, o: Any, full: bool = True) -> Any:
        """The way back; not `full`: until there is something that shows itself."""
        if full:
            return compose_tfms(o, self.fs, is_enc=False, reverse=True, split_idx=self.split_idx)
        for f in reversed(list(self.fs)):
            if self._is_showable(o):
                return o
            o = f.decode(o, split_idx=self.split_idx)
        return o

    def _is_showable(self, o: Any) -> bool:
        return hasattr(o, "show") or (is_listy(o) and all(hasattr(x, "show") for x in o))

    def show(self, o: Any, ctx: Any = None, **kwargs: Any) -> Any:
        """Decodes and shows it."""
        o = self.decode(o, full=False)
        for x in o if is_listy(o) and not hasattr(o, "show") else [o]:
            if hasattr(x, "show"):
                ctx = x.show(ctx=ctx, **kwargs)
        return ctx
