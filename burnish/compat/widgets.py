"""ipywidgets' classes under the names that ``fastai.vision.widgets`` has, where that package is installed, and burnish's cleaner."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

_CLASSES = ["Box", "Button", "Checkbox", "Dropdown", "FileUpload", "HBox", "Label", "Layout", "Output", "VBox"]
_there = importlib.util.find_spec("ipywidgets") is not None

__all__ = [*_CLASSES, "carousel", "widget", "widgets"] if _there else []  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name == "widgets":
        return importlib.import_module("ipywidgets")
    if name in _CLASSES:
        return getattr(importlib.import_module("ipywidgets"), name)
    raise AttributeError(name)


def widget(im: Any, width: Any = None, height: Any = None, **layout: Any) -> Any:
    """A picture as a widget of ipywidgets'. `width` and `height` in pixels; `layout` are traits of its ``Layout`` (``max_width="50px"``)."""
    import io

    from ipywidgets import Layout, Output  # pyright: ignore[reportMissingImports]

    sizes = {"width": f"{width}px" if width else None, "height": f"{height}px" if height else None}
    shown = Output(layout=Layout(**{**sizes, **layout}))
    with shown:
        from IPython.display import Image, display

        kept = io.BytesIO()
        im.save(kept, format="png")
        display(Image(kept.getvalue()))
    return shown


def carousel(children: Any = (), width: str = "", height: str = "", overflow: str = "scroll hidden") -> Any:
    """Widgets side by side, to be scrolled through."""
    from ipywidgets import Box, Layout  # pyright: ignore[reportMissingImports]

    return Box(
        children=list(children), layout=Layout(display="flex", flex_flow="row", width=width or "100%", height=height, overflow=overflow)
    )
