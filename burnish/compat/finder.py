"""`fastai` and its sister packages as modules whose names are looked up in burnish."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from burnish.compat.absent import STAY_OUT
from burnish.compat.modules import ROOTS, is_module, names_of
from burnish.compat.names import find
from burnish.errors import nearest

_VERSION = "2.8.12"  # what such code may ask for; the local part says who answers


class _Module(ModuleType):
    """A module of another package: what is asked of it comes out of burnish."""

    def __getattr__(self, name: str) -> Any:
        if name == "__all__":
            return names_of(self.__name__)
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        try:
            found = find(name, self.__name__.split(".")[0])
        except KeyError:
            hint = nearest(name, names_of(self.__name__))
            raise AttributeError(
                f"burnish has nothing in the place of {self.__name__}.{name}.{hint} docs/from-fastai.md says how to go on."
            ) from None
        setattr(self, name, found)
        return found

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *names_of(self.__name__)]


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.split(".")[0] not in ROOTS:
            return None
        if not is_module(fullname):
            why = next(
                (why for out, why in STAY_OUT.items() if f"{fullname}.".startswith(f"{out}.")), "docs/from-fastai.md says what there is."
            )
            raise ModuleNotFoundError(f"burnish has nothing in the place of the module {fullname}: {why}", name=fullname)
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return _Module(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        from burnish import __version__

        if "." not in module.__name__:
            vars(module)["__version__"] = f"{_VERSION}+burnish{__version__}"


_finder = _Finder()


def install() -> None:
    """Puts the finder before all others."""
    if _finder in sys.meta_path:
        return
    loaded = sorted(name for name in sys.modules if name in ROOTS)
    if loaded:
        raise RuntimeError(
            f"{', '.join(loaded)} has been imported already. Begin anew, and call burnish.compat.install() before anything of it is imported."
        )
    sys.meta_path.insert(0, _finder)


def uninstall() -> None:
    """Takes the finder out, and the modules that it made."""
    if _finder in sys.meta_path:
        sys.meta_path.remove(_finder)
    for name, module in list(sys.modules.items()):
        if isinstance(module, _Module):
            del sys.modules[name]
