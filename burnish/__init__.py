"""burnish: from your data to a fine-tuned model that you can inspect, trust, share and run, in a few lines.

``import burnish as bn`` costs nothing; every name of ``burnish.vision.all`` is then ``bn.NAME``, loaded at first use.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(name)
    if importlib.util.find_spec(f"burnish.{name}") is not None:
        return importlib.import_module(f"burnish.{name}")
    faces = importlib.import_module("burnish.vision.all")
    if name in faces.__all__:
        return getattr(faces, name)
    from burnish.errors import nearest

    raise AttributeError(f"burnish has no {name!r}.{nearest(name, faces.__all__)}")


def __dir__() -> list[str]:
    return sorted([*importlib.import_module("burnish.vision.all").__all__, "__version__"])
