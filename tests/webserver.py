"""A web server on this machine for tests, with the manners of the worst ones."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Answer:
    """What the server says: `cut` closes the connection after so many bytes of the body, `slow` waits so long before each tenth of it."""

    content: bytes = b""
    kind: str = "application/octet-stream"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    slow: float = 0.0


@dataclass
class Server:
    """`pages`: an answer by path, or a function from the request's headers to one. `asked`: the (path, headers) so far."""

    url: str
    pages: dict[str, Answer | Callable[[Any], Answer]]
    asked: list[tuple[str, dict[str, str]]]

    def times(self, path: str) -> int:
        return sum(p == path for p, _ in self.asked)


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    server = Server("", {}, [])

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            server.asked.append((self.path, dict(self.headers)))
            page = server.pages.get(self.path, server.pages.get(self.path.split("?")[0], Answer(b"nothing here", "text/html", 404)))
            answer = page if isinstance(page, Answer) else page(self)
            self.close_connection = True
            self.send_response(answer.status)
            for name, value in {"Content-Type": answer.kind, "Content-Length": str(len(answer.content)), **answer.headers}.items():
                self.send_header(name, value)
            self.send_header("Connection", "close")
            self.end_headers()
            content = answer.content if answer.cut is None else answer.content[: answer.cut]
            with contextlib.suppress(OSError):  # the client has gone
                step = max(1, len(content) // 10) if answer.slow else len(content) or 1
                for i in range(0, len(content), step):
                    time.sleep(answer.slow)
                    self.wfile.write(content[i : i + step])
                    self.wfile.flush()

        def log_message(self, *_: Any) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    server.url = f"http://127.0.0.1:{httpd.server_address[1]}"
    thread = threading.Thread(target=httpd.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        httpd.shutdown()
        httpd.server_close()


def in_parts(content: bytes, version: str = '"one"', cut_first: int | None = None) -> Callable[[Any], Answer]:
    """A file of which parts can be asked for; the first answer may be cut off."""
    state = {"first": True}

    def answer(request: Any) -> Answer:
        cut = cut_first if state["first"] else None
        state["first"] = False
        wanted, same = request.headers.get("Range"), request.headers.get("If-Range") == version
        headers = {"ETag": version, "Accept-Ranges": "bytes"}
        if wanted and same:
            begin = int(wanted.removeprefix("bytes=").split("-")[0])
            if begin >= len(content):
                return Answer(b"", status=416, headers={"Content-Range": f"bytes */{len(content)}"})
            headers["Content-Range"] = f"bytes {begin}-{len(content) - 1}/{len(content)}"
            return Answer(content[begin:], status=206, headers=headers, cut=cut)
        return Answer(content, headers=headers, cut=cut)

    return answer
