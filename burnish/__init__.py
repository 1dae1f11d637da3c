"""burnish: from your data to a fine-tuned model that you can inspect, trust, share and run, in a few lines.

``import burnish as bn`` costs nothing; every name of the faces (``burnish.vision.all``, ``burnish.tabular.all``, ``burnish.collab.all``) is then
``bn.NAME``, loaded at first use.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

__version__ = "0.1.0"
FACES = ("burnish.vision.all", "burnish.collab.all", "burnish.tabular.all")  # a name of several is the first one's


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(name)
    if importlib.util.find_spec(f"burnish.{name}") is not None:
        return importlib.import_module(f"burnish.{name}")
    for face in map(importlib.import_module, FACES):
        if name in face.__all__:
            return getattr(face, name)
    from burnish.errors import nearest

    raise AttributeError(f"burnish has no {name!r}.{nearest(name, _names())}")


def _names() -> list[str]:
    return sorted({name for face in FACES for name in importlib.import_module(face).__all__})


def __dir__() -> list[str]:
    return [*_names(), "__version__"]
