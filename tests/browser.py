"""A headless Chromium that tests press keys in, over the DevTools protocol. Tests skip where there is no Chromium."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
KEYS = {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Enter": 13, "Escape": 27, "Tab": 9, "Backspace": 8}


def chromium() -> str:
    """The browser's program; $BURNISH_TEST_BROWSER names another one."""
    found = os.environ.get("BURNISH_TEST_BROWSER") or next((path for name in NAMES if (path := shutil.which(name))), None)
    return found or pytest.skip("no Chromium on this machine")


class Browser:
    """One page of a browser. Every method waits for its answer."""

    def __init__(self, width: int = 1200, height: int = 900, dark: bool = False) -> None:
        self._profile = tempfile.mkdtemp(prefix="burnish-browser-")
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--remote-debugging-port=0"]
        self._process = subprocess.Popen(
            [chromium(), *flags, f"--user-data-dir={self._profile}", f"--window-size={width},{height}", "about:blank"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self._loop, self._number, self.errors = asyncio.new_event_loop(), 0, list[str]()
        try:
            from tornado.websocket import websocket_connect

            self._socket = self._loop.run_until_complete(self._connected(websocket_connect))
            self.ask("Runtime.enable")
            self.ask("Log.enable")
            self.ask("Page.enable")
            self.size(width, height)
            if dark:
                self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
        except BaseException:
            self.close()
            raise

    async def _connected(self, connect: Any) -> Any:
        port_file = Path(self._profile) / "DevToolsActivePort"
        for _ in range(300):
            if port_file.is_file() and len(port_file.read_text().split()) == 2:
                break
            await asyncio.sleep(0.1)
        port = port_file.read_text().split()[0]
        pages = json.load(urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=20))
        page = next(p for p in pages if p["type"] == "page")
        return await connect(page["webSocketDebuggerUrl"], max_message_size=64 << 20)

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """One command of the protocol, and its result."""
        self._number += 1
        number = self._number
        self._loop.run_until_complete(self._sent(json.dumps({"id": number, "method": method, "params": params})))
        while True:
            text = self._loop.run_until_complete(asyncio.wait_for(self._next(), 30))
            answer = json.loads(text)
            self._note(answer)
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]

    async def _sent(self, message: str) -> None:
        await self._socket.write_message(message)

    async def _next(self) -> str:
        message = await self._socket.read_message()
        assert message is not None, "the browser has gone"
        return message

    def _note(self, event: dict[str, Any]) -> None:
        """Keeps what the page reports as wrong."""
        if event.get("method") == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(event["params"]["exceptionDetails"])[:500])
        elif event.get("method") == "Log.entryAdded" and event["params"]["entry"]["level"] == "error":
            self.errors.append(f"{event['params']['entry']['text']} {event['params']['entry'].get('url', '')}")

    def open(self, url: str) -> None:
        self.ask("Page.navigate", url=url)

    def size(self, width: int, height: int) -> None:
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def run(self, expression: str) -> Any:
        """The value of a JavaScript expression, promises awaited; True for an element."""
        expression = f"Promise.resolve({expression}).then((value) => (value instanceof Node ? true : value))"
        found = self.ask("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait(self, expression: str, seconds: float = 20) -> Any:
        """Waits until JavaScript is true, and gives its value."""
        end = time.monotonic() + seconds
        while not (value := self.run(expression)):
            assert time.monotonic() < end, f"not within {seconds} s: {expression}\n{self.run('document.body.innerText')}\n{self.errors}"
            time.sleep(0.05)
        return value

    def press(self, *keys: str) -> None:
        for key in keys:
            code = KEYS.get(key, ord(key.upper()[0]))
            common: dict[str, Any] = {"key": key, "windowsVirtualKeyCode": code}
            text = {"text": key} if len(key) == 1 else {"text": "\r"} if key == "Enter" else {}
            self.ask("Input.dispatchKeyEvent", type="keyDown", **common, **text)
            self.ask("Input.dispatchKeyEvent", type="keyUp", **common)

    def click(self, selector: str) -> None:
        """A click of the mouse in the middle of an element."""
        at = self.run(
            f"(() => {{ const e = document.querySelector({selector!r}); e.scrollIntoView({{block: 'center'}}); const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; }})()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.ask("Input.dispatchMouseEvent", type=kind, x=at[0], y=at[1], button="left", clickCount=1)

    def screenshot(self, path: str | Path) -> None:
        Path(path).write_bytes(base64.b64decode(self.ask("Page.captureScreenshot")["data"]))

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(10)
        self._loop.close()
        shutil.rmtree(self._profile, ignore_errors=True)
