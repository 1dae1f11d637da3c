"""The cleaner as a page in the browser, served to this computer alone."""

from __future__ import annotations

import hmac
import json
import secrets
import socket
import threading
import webbrowser
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from burnish.errors import SettingError
from burnish.vision.cleaner_desk import Desk

if TYPE_CHECKING:
    from burnish.vision.cleaner import ImagesCleaner

HOST = "127.0.0.1"
MOST_BYTES = 100_000  # of a question
ASSETS = {"/cleaner.js": "text/javascript", "/cleaner.css": "text/css"}
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def asset(name: str) -> str:
    """A file of the page."""
    return (files("burnish.vision") / "cleaner_page" / name).read_text(encoding="utf-8")


class Page:
    """The page of a cleaner, served in a thread until ``close()``.

    Everything but the names of the files of the page itself needs the token in the address, which changes with every start: other
    programs and web pages can't guess it. Only 127.0.0.1 is listened on, and requests for another host's name are refused.

    Args:
        port: 0 takes a free one. browser: open it.

    Raises:
        SettingError: the port is taken.
    """

    def __init__(self, cleaner: ImagesCleaner, port: int = 0, browser: bool = True) -> None:
        self.desk, self.token = Desk(cleaner), secrets.token_urlsafe(24)
        self.connections: set[socket.socket] = set()
        try:
            self._server = ThreadingHTTPServer((HOST, port), _handler(self))
        except (OSError, OverflowError) as error:
            raise SettingError(f"port={port}: it can't be listened on ({error}). Leave port= away to take a free one.") from None
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)
        self._thread.start()
        if browser:
            webbrowser.open(self.url)

    @property
    def url(self) -> str:
        """The address, with the token."""
        return f"http://{HOST}:{self.port}/?t={self.token}"

    def close(self) -> None:
        """Stops serving, also on connections that a browser keeps open. The choices stay."""
        self._server.shutdown()
        self._server.server_close()
        for connection in list(self.connections):
            with suppress(OSError):  # closed already
                connection.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)

    def __repr__(self) -> str:
        return f"The cleaner is at {self.url} (on this computer alone)"


def _handler(page: Page) -> type[BaseHTTPRequestHandler]:
    class Handler(_Handler):
        owner = page

    return Handler


class _Handler(BaseHTTPRequestHandler):
    owner: Page
    protocol_version = "HTTP/1.1"
    timeout = 30

    def setup(self) -> None:
        super().setup()
        self.owner.connections.add(self.connection)

    def finish(self) -> None:
        self.owner.connections.discard(self.connection)
        super().finish()

    def handle(self) -> None:
        with suppress(ConnectionError):  # the browser went, or close() ended it
            super().handle()

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if not self._is_ours(parse_qs(parts.query).get("t", [""])[0]):
            return
        if parts.path == "/":
            self._send(HTTPStatus.OK, "text/html", asset("index.html").replace("TOKEN", self.owner.token).encode())
        elif parts.path in ASSETS:
            self._send(HTTPStatus.OK, ASSETS[parts.path], asset(parts.path[1:]).encode())
        elif (
            parts.path.startswith("/thumb/")
            and (number := parts.path.removeprefix("/thumb/")).isascii()
            and number.isdigit()
            and len(number) < 10
        ):
            made = self.owner.desk.thumb(int(number))
            if made is None:
                self._refuse(HTTPStatus.NOT_FOUND, "There is no such picture, or it can't be read.")
            else:
                self._send(HTTPStatus.OK, "image/jpeg", made, cache=True)
        else:
            self._refuse(HTTPStatus.NOT_FOUND, "There is no such page.")

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > MOST_BYTES:
            self.close_connection = True
            self._refuse(HTTPStatus.BAD_REQUEST, "A question of a stated length was expected.")
            return
        body = self.rfile.read(int(length))
        if not self._is_ours(self.headers.get("X-Burnish-Token", "")):
            return
        if self.path != "/ask" or self.headers.get_content_type() != "application/json":
            self._refuse(HTTPStatus.BAD_REQUEST, "JSON to /ask was expected.")
            return
        try:
            asked = json.loads(body)
            op, args = asked["op"], asked["args"]
        except (ValueError, KeyError, TypeError):
            self._refuse(HTTPStatus.BAD_REQUEST, 'A question like {"op": "start", "args": {}} was expected.')
            return
        answer = self.owner.desk.answer(op, args)
        self._send(HTTPStatus.OK, "application/json", json.dumps(answer).encode())

    def _is_ours(self, token: str) -> bool:
        """Whether the request comes from the page itself: by its host, its origin and the token. Refuses it otherwise."""
        hosts = {f"{name}:{self.owner.port}" for name in (HOST, "localhost")}
        origin = self.headers.get("Origin")
        if self.headers.get("Host") not in hosts or (origin is not None and origin.removeprefix("http://") not in hosts):
            self._refuse(HTTPStatus.FORBIDDEN, "This page is for this computer alone.")
            return False
        if not hmac.compare_digest(token.encode("utf-8", "replace"), self.owner.token.encode()):
            self._refuse(HTTPStatus.FORBIDDEN, "The address lacks its token: take the whole address that was printed.")
            return False
        return True

    def _send(self, status: HTTPStatus, kind: str, body: bytes, cache: bool = False) -> None:
        self.send_response(status)
        for name, value in {
            "Content-Type": kind if kind.startswith("image") else f"{kind}; charset=utf-8", "Content-Length": str(len(body)),
            "Cache-Control": "private, max-age=300" if cache else "no-store", "Content-Security-Policy": POLICY, "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "same-origin",
        }.items():  # fmt: skip
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        self._send(status, "text/plain", why.encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing: the terminal is for the user."""
