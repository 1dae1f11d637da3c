"""The cleaner as a widget of Jupyter, JupyterLab, VS Code, Colab, Kaggle and marimo, by anywidget."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from burnish.vision.cleaner_desk import Desk
from burnish.vision.cleaner_server import asset

if TYPE_CHECKING:
    from burnish.vision.cleaner import ImagesCleaner


def make_widget(cleaner: ImagesCleaner) -> Any:
    """The widget: the module of the page, its questions carried by the notebook's messages instead of HTTP.

    Raises:
        ImportError: anywidget isn't installed; says what to do.
    """
    try:
        import anywidget  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ImportError(
            'A notebook shows the cleaner by anywidget, which isn\'t installed: pip install "burnish[notebook]". '
            "Or open it as a page of its own, on this computer: cleaner.open()."
        ) from None
    desk = Desk(cleaner)

    def answer(widget: Any, message: Any, buffers: Any) -> None:
        if not isinstance(message, dict) or "number" not in message:
            return
        args = message.get("args")
        if message.get("op") == "thumb":
            made = desk.thumb(int(args["row"])) if isinstance(args, dict) and isinstance(args.get("row"), int) else None
            said: dict[str, Any] = {"url": None if made is None else "data:image/jpeg;base64," + base64.b64encode(made).decode()}
        else:
            said = desk.answer(message.get("op"), args)
        widget.send({"number": message["number"], "answer": said})

    class CleanerWidget(anywidget.AnyWidget):
        _esm, _css = asset("cleaner.js"), asset("cleaner.css")

    widget = CleanerWidget()
    widget.on_msg(answer)
    return widget
