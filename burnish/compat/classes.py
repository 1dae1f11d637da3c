"""Tools for writing classes and functions, as notebooks for fastai use them: adding methods, storing arguments, passing signatures on."""

from __future__ import annotations

import copy
import functools
import inspect
import re
import types
import typing
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from burnish.compat.lists import merge

__all__ = [
    "BasicRepr", "GetAttr", "GetAttrBase", "NewChkMeta", "PrePostInitMeta", "Stateful", "add_docs", "add_props", "basic_repr", "class2attr", "copy_func", "custom_dir", "delegate_attr",
    "delegates", "docs", "funcs_kwargs", "get_class", "instantiate", "method", "mk_class", "patch", "patch_property", "patch_to", "properties", "store_attr", "type_hints", "typed", "use_kwargs", "use_kwargs_dict", "wrap_class",
]  # fmt: skip


# -- methods for classes that exist -------------------------------------------------------------------------------------
def copy_func(f: Any) -> Any:
    """A copy of a function; what is no plain function is copied as an object."""
    if not isinstance(f, types.FunctionType):
        return copy.copy(f)
    made = types.FunctionType(f.__code__, f.__globals__, f.__name__, f.__defaults__, f.__closure__)
    made.__kwdefaults__, made.__dict__ = f.__kwdefaults__, {**f.__dict__}
    made.__annotations__, made.__qualname__, made.__doc__ = {**f.__annotations__}, f.__qualname__, f.__doc__
    return made


def patch_to(
    cls: Any, as_prop: bool = False, cls_method: bool = False, set_prop: bool = False, nm: str | None = None, glb: Any = None
) -> Callable[..., Any]:
    """Decorates a function to become a method of `cls`, or of each of a list of classes; `as_prop` makes it a property."""
    classes = list(cls) if isinstance(cls, (list, tuple, set)) else [cls]

    def adder(f: Any) -> Any:
        name = nm or getattr(f, "__name__", None) or f.func.__name__
        for owner in classes:
            made = copy_func(f)
            made.__qualname__ = f"{owner.__name__}.{name}"
            if set_prop:
                setattr(owner, name, getattr(owner, name).setter(made))
            else:
                setattr(owner, name, classmethod(made) if cls_method else property(made) if as_prop else made)
        return globals().get(name, None) if glb is None else glb.get(name)

    return adder


def patch(f: Any = None, *, as_prop: bool = False, cls_method: bool = False, set_prop: bool = False, nm: str | None = None) -> Any:
    """Decorates a function to become a method of the class that its first argument is annotated with: ``@patch`` above
    ``def area(self: Square)``. With ``cls_method=True`` it is a class method."""
    if f is None:
        return functools.partial(patch, as_prop=as_prop, cls_method=cls_method, set_prop=set_prop, nm=nm)
    first = next(iter(inspect.signature(f).parameters))
    hints = type_hints(f)
    if first not in hints:
        raise TypeError(
            f"@patch adds {f.__name__} to the class that its first argument is annotated with, and {first!r} has no annotation: def {f.__name__}({first}: SomeClass, ...)"
        )
    annotated = hints[first]
    if isinstance(annotated, str):  # a class of the function that this is in
        frame = inspect.currentframe()
        local = frame.f_back.f_locals if frame is not None and frame.f_back is not None else {}
        annotated = eval(annotated, f.__globals__, dict(local))
    union = typing.get_origin(annotated) in (typing.Union, types.UnionType)
    return patch_to(list(typing.get_args(annotated)) if union else annotated, as_prop, cls_method, set_prop, nm, f.__globals__)(f)


def patch_property(f: Any) -> Any:
    """``@patch(as_prop=True)``."""
    return patch(f, as_prop=True)


def type_hints(f: Any) -> dict[str, Any]:
    """The annotations of a function, names in quotes looked up."""
    f = f.func if isinstance(f, functools.partial) else f
    try:
        return typing.get_type_hints(f)
    except (NameError, TypeError, AttributeError):
        return dict(getattr(f, "__annotations__", {}))


# -- arguments into attributes ------------------------------------------------------------------------------------------
def store_attr(
    names: str | None = None, self: Any = None, but: Any = "", cast: bool = False, store_args: bool | None = None, **attrs: Any
) -> None:
    """Within a method, stores its arguments (all, or those in `names`, separated by commas, but those in `but`) as attributes of `self`.

    Called in ``__init__``: ``store_attr()`` or ``store_attr('a,b')``. `cast`: numbers and so on are made what they are annotated with.
    """
    frame = inspect.currentframe()
    caller = frame.f_back if frame is not None else None
    if caller is None:
        raise RuntimeError("store_attr is called within a method")
    code, local = caller.f_code, caller.f_locals
    arguments = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    self = local[arguments[0]] if self is None else self
    _ = store_args
    left = set(_named(but))
    values = attrs or {n: local[n] for n in (_named(names) if names else arguments[1:]) if n not in left}
    hints = type_hints(getattr(type(self), code.co_name, None)) if cast else {}
    for name, value in values.items():
        setattr(self, name, hints[name](value) if isinstance(hints.get(name), type) and value is not None else value)
    if isinstance(vars(self).get("__stored_args__"), dict) or values:
        vars(self)["__stored_args__"] = {**vars(self).get("__stored_args__", {}), **values}


def _named(names: Any) -> list[str]:
    return [n for n in re.split(r",\s*", names.strip()) if n] if isinstance(names, str) else list(names)


# -- reading well -------------------------------------------------------------------------------------------------------
def basic_repr(flds: Any = None) -> Callable[[Any], str]:
    """A ``__repr__`` of the class's name and some attributes."""
    names = _named(flds) if flds else None

    def told(self: Any) -> str:
        shown = names if names is not None else [n for n in getattr(self, "__stored_args__", {}) if not n.startswith("_")]
        return f"{type(self).__name__}({', '.join(f'{n}={getattr(self, n)!r}' for n in shown if hasattr(self, n))})"

    return told


class BasicRepr:
    """Told by its stored arguments."""

    __repr__ = basic_repr()  # type: ignore[assignment]


def add_docs(cls: Any, cls_doc: str | None = None, **docs: str) -> None:
    """Gives a class and its methods docstrings."""
    if cls_doc is not None:
        cls.__doc__ = cls_doc
    for name, text in docs.items():
        function = getattr(cls, name)
        (function.__func__ if hasattr(function, "__func__") else function).__doc__ = text


def docs(cls: Any) -> Any:
    """Decorates a class whose ``_docs`` has the docstrings."""
    add_docs(cls, **getattr(cls, "_docs", {}))
    return cls


def properties(cls: Any, *ps: str) -> None:
    """Makes properties of methods."""
    for name in ps:
        setattr(cls, name, property(getattr(cls, name)))


def add_props(f: Callable[[Any, int], Any], g: Callable[[Any, int, Any], None] | None = None, n: int = 2) -> Any:
    """`n` properties that call `f` with the object and their number."""
    return (property(lambda self, i=i: f(self, i), None if g is None else (lambda self, v, i=i, g=g: g(self, i, v))) for i in range(n))


def custom_dir(c: Any, add: Iterable[str]) -> list[str]:
    """What ``dir`` gives for it, and `add`."""
    return [*object.__dir__(c), *list(add)]


def class2attr(self: Any, cls_name: str) -> str:
    """The class's name as an attribute's: without `cls_name` at its end, in snake case."""
    from burnish.compat.helpers import camel2snake

    return camel2snake(re.sub(rf"{cls_name}$", "", type(self).__name__) or cls_name.lower())


# -- classes ------------------------------------------------------------------------------------------------------------
class GetAttr:
    """Attributes that it hasn't are those of its attribute ``default`` (or of what ``_default`` names); ``_xtra`` lists which, where not all."""

    _default = "default"

    def _component_attr_filter(self, k: str) -> bool:
        if k.startswith("__") or k in ("_xtra", self._default):
            return False
        extra = getattr(self, "_xtra", None)
        return extra is None or k in extra

    def _dir(self) -> list[str]:
        return [k for k in dir(getattr(self, self._default)) if self._component_attr_filter(k)]

    def __getattr__(self, k: str) -> Any:
        inner = self.__dict__.get(self._default, getattr(type(self), self._default, None)) if self._component_attr_filter(k) else None
        if inner is not None and hasattr(inner, k):
            return getattr(inner, k)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {k!r}")

    def __dir__(self) -> list[str]:
        return custom_dir(self, self._dir())

    def __setstate__(self, data: dict[str, Any]) -> None:
        self.__dict__.update(data)


GetAttrBase = GetAttr


def delegate_attr(self: Any, k: str, to: str) -> Any:
    """The attribute `k` of its attribute `to`, for a ``__getattr__``."""
    if k.startswith("_") or k == to:
        raise AttributeError(k)
    try:
        return getattr(getattr(self, to), k)
    except AttributeError:
        raise AttributeError(k) from None


class Stateful:
    """Attributes in ``_stateattrs`` are left out when it is copied or pickled; ``_init_state`` makes them anew."""

    _stateattrs: Sequence[str] = ()

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        _ = args, kwargs
        self = super().__new__(cls)
        self._init_state()
        return self

    def _init_state(self) -> None: ...

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in self._stateattrs}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._init_state()
        self.__dict__.update(state)


class PrePostInitMeta(type):
    """Calls ``__pre_init__`` before ``__init__``, and ``__post_init__`` behind it, where there are such methods."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        owner: Any = cls
        made = owner.__new__(owner, *args, **kwargs) if owner.__new__ is not object.__new__ else owner.__new__(owner)
        if isinstance(made, cls):
            if hasattr(made, "__pre_init__"):
                made.__pre_init__(*args, **kwargs)
            made.__init__(*args, **kwargs)
            if hasattr(made, "__post_init__"):
                made.__post_init__(*args, **kwargs)
        return made


class NewChkMeta(type):
    """An object of the class, given alone, is returned as it is."""

    def __call__(cls, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        if not args and not kwargs and x is not None and isinstance(x, cls):
            return x
        return super().__call__(*((x, *args) if x is not None else args), **kwargs)


def get_class(
    nm: str, *fld_names: str, sup: Any = None, doc: str | None = None, funcs: Any = None, anno: dict[str, Any] | None = None, **flds: Any
) -> type:
    """A class with fields and a constructor for them, and functions as its methods."""
    given = {**dict.fromkeys(fld_names), **dict.fromkeys(anno or {}), **flds}

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        unknown = [k for k in kwargs if k not in given]
        if len(args) > len(given) or unknown:
            raise TypeError(f"{nm} takes {', '.join(given)}; given: {len(args)} by position{', ' + ', '.join(unknown) if unknown else ''}")
        for k, v in {**given, **dict(zip(given, args, strict=False)), **kwargs}.items():
            setattr(self, k, v)

    methods = {f.__name__: f for f in (funcs if isinstance(funcs, (list, tuple)) else [funcs] if funcs else [])}
    bases = tuple(sup) if isinstance(sup, (list, tuple)) else (sup,) if sup else ()
    space: dict[str, Any] = {"__init__": init, "__repr__": basic_repr(list(given)), **methods, "__doc__": doc}
    return type(nm, bases, space)


def mk_class(
    nm: str,
    *fld_names: str,
    sup: Any = None,
    doc: str | None = None,
    funcs: Any = None,
    mod: Any = None,
    anno: dict[str, Any] | None = None,
    **flds: Any,
) -> None:
    """`get_class`, put into the module that calls it (or `mod`)."""
    made = get_class(nm, *fld_names, sup=sup, doc=doc, funcs=funcs, anno=anno, **flds)
    frame = inspect.currentframe()
    space = frame.f_back.f_globals if frame is not None and frame.f_back is not None else {}
    (vars(mod) if mod is not None else space)[nm] = made


def wrap_class(nm: str, *fld_names: str, sup: Any = None, doc: str | None = None, funcs: Any = None, **flds: Any) -> Callable[[Any], Any]:
    """Decorates a function, to become a method of a class made by `mk_class`."""
    frame = inspect.currentframe()
    space = frame.f_back.f_globals if frame is not None and frame.f_back is not None else {}

    def wrapped(f: Any) -> Any:
        more = funcs if isinstance(funcs, (list, tuple)) else [funcs] if funcs else []
        space[nm] = get_class(nm, *fld_names, sup=sup, doc=doc, funcs=[*more, f], **flds)
        return f

    return wrapped


def instantiate(t: Any) -> Any:
    """An object of a class; what is no class as it is."""
    return t() if isinstance(t, type) else t


def method(f: Any) -> Any:
    """Marks a function that `funcs_kwargs` replaces as one that takes the object."""
    f.__is_method__ = True
    return f


# -- signatures ---------------------------------------------------------------------------------------------------------
def delegates(to: Any = None, keep: bool = False, but: Any = None) -> Callable[[Any], Any]:
    """Decorates a function (or class) with ``**kwargs``: its signature shows the keywords of `to` (of the base class, where None) in their place."""
    left = set(_named(but)) if but else set()

    def decorated(f: Any) -> Any:
        target: Any
        source: Any
        target, source = (
            (f.__base__.__init__, f.__init__)
            if to is None
            else (to.__init__ if isinstance(to, type) else to, f.__init__ if isinstance(f, type) else f)
        )
        source = getattr(source, "__func__", source)
        if hasattr(source, "__delwrap__"):
            return f
        own = dict(inspect.signature(source).parameters)
        rest = own.pop("kwargs", None)
        named = inspect.signature(target).parameters.items()
        shown = {
            k: v.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for k, v in named
            if v.default is not inspect.Parameter.empty and k not in own and k not in left
        }
        own.update(shown)
        if keep and rest is not None:
            own["kwargs"] = rest
        source.__signature__ = inspect.signature(source).replace(parameters=list(own.values()))
        if not keep:
            source.__delwrap__ = target
        if isinstance(f, type):
            f.__signature__ = source.__signature__.replace(
                parameters=[p for p in source.__signature__.parameters.values() if p.name != "self"]
            )
        return f

    return decorated


def use_kwargs_dict(keep: bool = False, **kwargs: Any) -> Callable[[Any], Any]:
    """Decorates a function with ``**kwargs``: its signature shows these keywords and their defaults in their place."""

    def decorated(f: Any) -> Any:
        own = dict(inspect.signature(f).parameters)
        rest = own.pop("kwargs", None)
        own.update({k: inspect.Parameter(k, inspect.Parameter.KEYWORD_ONLY, default=v) for k, v in kwargs.items() if k not in own})
        if keep and rest is not None:
            own["kwargs"] = rest
        f.__signature__ = inspect.signature(f).replace(parameters=list(own.values()))
        return f

    return decorated


def use_kwargs(names: Iterable[str], keep: bool = False) -> Callable[[Any], Any]:
    """As `use_kwargs_dict`, with None as the defaults."""
    return use_kwargs_dict(keep, **dict.fromkeys(names))


def funcs_kwargs(as_method: Any = False) -> Any:
    """Decorates a class whose ``_methods`` may be replaced by keywords of its constructor: ``Loader(create_item=my_function)``."""

    def decorated(cls: Any, as_method: bool) -> Any:
        before = cls.__init__

        @functools.wraps(before)
        def init(self: Any, *args: Any, **kwargs: Any) -> None:
            for name in [k for k in cls._methods if k in kwargs]:
                function = kwargs.pop(name)
                if function is not None:
                    setattr(self, name, types.MethodType(function, self) if as_method or hasattr(function, "__is_method__") else function)
            before(self, *args, **kwargs)

        cls.__init__ = init
        return use_signature(cls, before)

    return functools.partial(decorated, as_method=as_method) if isinstance(as_method, bool) else decorated(as_method, False)


def use_signature(cls: Any, init: Any) -> Any:
    """Shows the methods that may be replaced in the signature of a class."""
    own = {k: v for k, v in inspect.signature(init).parameters.items() if k not in ("self", "kwargs")}
    more = {k: inspect.Parameter(k, inspect.Parameter.KEYWORD_ONLY, default=None) for k in cls._methods if k not in own}
    cls.__signature__ = inspect.Signature(list(merge(own, more).values()))
    return cls


def typed(f: Any) -> Any:
    """Decorates a function: what it is given, and gives, must be of the types that it is annotated with."""
    hints = {k: v for k, v in type_hints(f).items() if isinstance(v, type)}
    signature = inspect.signature(f)

    @functools.wraps(f)
    def checked(*args: Any, **kwargs: Any) -> Any:
        for name, value in signature.bind(*args, **kwargs).arguments.items():
            if name in hints and not isinstance(value, hints[name]):
                raise TypeError(f"{f.__name__}: {name}={value!r} is a {type(value).__name__}; expected {hints[name].__name__}")
        out = f(*args, **kwargs)
        if "return" in hints and not isinstance(out, hints["return"]):
            raise TypeError(f"{f.__name__} gave a {type(out).__name__}; expected {hints['return'].__name__}")
        return out

    return checked
