"""Asking the web for something: one request with its time limits, tried again where that makes sense, and failures in plain words."""

from __future__ import annotations

import email.utils
import http.client
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit, urlunsplit

from burnish import __version__
from burnish.errors import DataError, OfflineError

T = TypeVar("T")
AGENT = f"burnish/{__version__} (deep learning library; python-urllib)"
LONGEST_WAIT = 60.0  # seconds: who asks for more is not waited for
_TRY_AGAIN = (408, 425, 429, 500, 502, 503, 504)
_BLOCK = 1 << 16


class FetchError(OfflineError):
    """An address couldn't be fetched.

    Attributes:
        reason: why, in a few words, the same for all addresses that fail alike.
        again: whether another try may succeed. wait: seconds that the server asks to wait before it.
        unreached: whether the server wasn't even reached (no network, a wrong name). status: the HTTP status, where there is one.
    """

    def __init__(
        self, url: str, reason: str, again: bool = False, wait: float | None = None, unreached: bool = False, status: int | None = None
    ) -> None:
        super().__init__(f"{url} can't be fetched: {reason}.")
        self.reason, self.again, self.wait, self.unreached, self.status = reason, again, wait, unreached, status


class TooLargeError(DataError):
    """What a server sends is larger than what was allowed."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    """At most 10 of them, and none from https to http."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            raise FetchError(req.full_url, "it leads from https to an unprotected address")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> urllib.request.OpenerDirector:
    """urllib's opener for http and https alone: an address from elsewhere must not read this machine's files (``file:``)."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(context=ssl.create_default_context()),
        urllib.request.HTTPDefaultErrorHandler(),
        _Redirects(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


def request(url: str, timeout: float, headers: Mapping[str, str] | None = None) -> http.client.HTTPResponse:
    """The answer to one GET request, its body not read yet; `timeout` is for each wait on the network, in seconds.

    Raises:
        FetchError: no answer, or one that is an error.
    """
    address = quoted(url)
    given = {"User-Agent": AGENT, "Accept-Encoding": "identity", **(headers or {})}
    with told(url, timeout):
        return _opener().open(urllib.request.Request(address, headers=given), timeout=timeout)


def body(
    response: Any, url: str, timeout: float, max_bytes: int | None = None, deadline: float | None = None, begun: int = 0
) -> Iterator[bytes]:
    """The body of an answer, piece by piece.

    Args:
        timeout: seconds for each wait. deadline: when, by ``time.monotonic()``, all of it must have come: a server that sends a byte
            a second never lets a single wait run out.
        begun: bytes of the same file that are there already; they count in `max_bytes`.

    Raises:
        TooLargeError: it has more than `max_bytes`. FetchError: it ended too early, or took too long.
    """
    length = _length(response)
    if max_bytes is not None and length is not None and begun + length > max_bytes:
        raise TooLargeError(_too_large(url, max_bytes))
    got = 0
    with told(url, timeout):
        while piece := response.read1(_BLOCK):
            got += len(piece)
            if max_bytes is not None and begun + got > max_bytes:
                raise TooLargeError(_too_large(url, max_bytes))
            if deadline is not None and time.monotonic() > deadline:
                raise FetchError(url, "it took too long in all")
            yield piece
    if length is not None and got < length:
        raise FetchError(url, "the connection ended before all had come", again=True)


def persist(attempt: Callable[[], T], retries: int, sleep: Callable[[float], None] = time.sleep) -> T:
    """The result of `attempt`, tried again after 0.5, 1, 2 ... seconds, or when the server says, while that may help."""
    for n in range(retries + 1):
        try:
            return attempt()
        except FetchError as error:
            wait = 0.5 * 2**n if error.wait is None else error.wait
            if not error.again or n == retries or wait > LONGEST_WAIT:
                raise
        sleep(wait)
    raise AssertionError("unreachable")


def checked_url(url: Any) -> str:
    """`url` as a string. Raises DataError unless it is an http or https address."""
    text = str(url).strip()
    try:
        parts = urlsplit(text)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        fine = False
    if not fine:
        raise DataError(f"{text!r} is no web address: one that begins with https:// or http:// was expected.")
    return text


def quoted(url: str) -> str:
    """An address as it is sent: without a fragment, other characters than ASCII escaped, escapes that are there left alone."""
    parts = urlsplit(checked_url(url))
    try:
        host = parts.netloc.encode("ascii").decode()
    except UnicodeEncodeError:
        host = parts.netloc.encode("idna").decode()
    safe = "%/:=&?~+!$,;'@()*[]"
    return urlunsplit((parts.scheme, host, quote(parts.path, safe=safe) or "/", quote(parts.query, safe=safe), ""))


@contextmanager
def told(url: str, timeout: float) -> Iterator[None]:
    """What goes wrong on the network inside the block is a FetchError."""
    try:
        yield
    except (FetchError, DataError):
        raise
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _as_fetch_error(url, error, timeout) from error


def _as_fetch_error(url: str, error: BaseException, timeout: float) -> FetchError:
    if isinstance(error, urllib.error.HTTPError):
        error.close()
        if "infinite loop" in str(error.reason):
            return FetchError(url, "it redirects again and again")
        wait = _retry_after(error.headers.get("Retry-After")) if error.headers else None
        asked = f", which asks to wait {wait:,.0f} s" if wait is not None and wait > LONGEST_WAIT else ""
        reason = f"HTTP {error.code} {error.reason or ''}".rstrip() + asked
        return FetchError(url, reason, again=error.code in _TRY_AGAIN, wait=wait, status=error.code)
    cause = error.reason if isinstance(error, urllib.error.URLError) and isinstance(error.reason, BaseException) else error
    if isinstance(cause, TimeoutError):
        return FetchError(url, f"no answer within {timeout:g} s", again=True)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return FetchError(url, f"the server's certificate can't be verified ({cause.verify_message})", unreached=True)
    if isinstance(cause, socket.gaierror):
        return FetchError(url, f"the name {urlsplit(url).hostname} isn't known (no network?)", unreached=True)
    if isinstance(cause, ConnectionRefusedError):
        return FetchError(url, "the connection was refused", unreached=True)
    if isinstance(cause, (http.client.IncompleteRead, http.client.RemoteDisconnected, ConnectionError)):
        return FetchError(url, "the connection ended before all had come", again=True)
    unreached = isinstance(cause, OSError) and not isinstance(cause, ssl.SSLError)
    return FetchError(url, str(cause) or type(cause).__name__, again=isinstance(cause, http.client.HTTPException), unreached=unreached)


def _retry_after(value: str | None) -> float | None:
    """Seconds to wait, out of a header that tells them or a date."""
    if not value:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        when = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (when - datetime.now(UTC if when.tzinfo else None)).total_seconds())


def _length(response: Any) -> int | None:
    """How many bytes the body will have, where the server says so."""
    said = response.headers.get("Content-Length", "")
    return int(said) if said.isdecimal() and not response.headers.get("Transfer-Encoding") else None


def _too_large(url: str, max_bytes: int) -> str:
    return f"{url} is larger than {max_bytes / 1e6:,.4g} MB, the limit (max_bytes={max_bytes})."
