"""Modules that load at first use: what keeps importing burnish cheap while notebooks find the names they expect."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any


class LazyModule(ModuleType):
    """Stands for a module until one of its attributes is asked for.

    >>> plt = LazyModule("matplotlib.pyplot")
    >>> plt.rcParams is not None  # now it is imported
    True
    """

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__") and attribute not in ("__version__", "__all__", "__doc__"):
            raise AttributeError(attribute)
        module = vars(self).get("__module")
        if module is None:
            module = vars(self)["__module"] = importlib.import_module(self.__name__)
        return getattr(module, attribute)

    def __setattr__(self, attribute: str, value: Any) -> None:
        if attribute.startswith("__"):
            super().__setattr__(attribute, value)
        else:
            setattr(importlib.import_module(self.__name__), attribute, value)

    def __dir__(self) -> list[str]:
        return dir(importlib.import_module(self.__name__))

    def __repr__(self) -> str:
        return f"<module {self.__name__!r}, loaded at first use>"


if TYPE_CHECKING:
    import pandas as pd
else:
    pd = LazyModule("pandas")  # more than half of what importing burnish would cost; `from burnish.data.lazy import pd`

__all__ = ["LazyModule", "pd"]
