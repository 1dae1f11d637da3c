"""Searching the web for pictures: addresses with the licence, the author and the page of each, from several sources in turn."""

from __future__ import annotations

import html
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol
from urllib.parse import urlencode

from burnish.data.collections import L
from burnish.data.notes import note
from burnish.data.web import FetchError, body, checked_url, persist, request
from burnish.data.whole import checked_whole
from burnish.errors import DataError, OfflineError, SettingError, hinting, nearest

_MOST_JSON = 20_000_000  # bytes of one answer
_TAGS = re.compile(r"<[^>]*>")


class FoundImage(str):
    """A picture's address (a string), and what is known of the picture.

    Attributes:
        source: the page it is on. licence: its short name ("CC BY-SA 4.0"), empty when it isn't known. author, title: as the source
            says. found_by: the name of the search.
    """

    source: str
    licence: str
    author: str
    title: str  # pyright: ignore[reportIncompatibleMethodOverride] - of an address nobody wants str.title()
    found_by: str

    def __new__(cls, url: str, source: str = "", licence: str = "", author: str = "", title: str = "", found_by: str = "") -> FoundImage:
        made = super().__new__(cls, url)
        made.source, made.licence, made.author, made.title, made.found_by = source, licence, author, title, found_by
        return made

    def __getnewargs__(self) -> tuple[str, ...]:
        return (str(self), self.source, self.licence, self.author, self.title, self.found_by)


class ImageSearch(Protocol):
    """A search for pictures. `name` is what messages call it; `find` yields pictures, best first, at most `most`, and raises where it
    fails (a FetchError, or anything else that says why)."""

    name: str

    def find(self, term: str, most: int) -> Iterator[FoundImage]: ...


class Openverse:
    """`Openverse <https://openverse.org>`_: 800 million pictures of free licences. `base`: another address of its API."""

    name = "openverse"

    def __init__(self, base: str | None = None, timeout: float = 15) -> None:
        self.base, self.timeout = base or os.environ.get("BURNISH_OPENVERSE_URL") or "https://api.openverse.org/v1", timeout

    def find(self, term: str, most: int) -> Iterator[FoundImage]:
        page, last = 1, 1
        while page <= last:
            answer = _json(f"{self.base.rstrip('/')}/images/", {"q": term, "page": page, "page_size": 20}, self.timeout)
            if "results" not in answer:
                raise FetchError(self.base, f"it answered {str(answer.get('detail', answer))[:200]}")
            for found in answer["results"]:
                yield FoundImage(
                    found.get("url") or "", found.get("foreign_landing_url") or "", _creative_commons(found), found.get("creator") or "",
                    found.get("title") or "", self.name,
                )  # fmt: skip
            page, last = page + 1, int(answer.get("page_count") or 1)


class WikimediaCommons:
    """`Wikimedia Commons <https://commons.wikimedia.org>`_: pictures of free licences, at most `width` pixels wide. `base`: another
    address of its API."""

    name = "commons"

    def __init__(self, base: str | None = None, timeout: float = 15, width: int = 1280) -> None:
        self.base = base or os.environ.get("BURNISH_COMMONS_URL") or "https://commons.wikimedia.org/w/api.php"
        self.timeout, self.width = timeout, width

    def find(self, term: str, most: int) -> Iterator[FoundImage]:
        query: dict[str, Any] = {
            "action": "query", "format": "json", "formatversion": 2, "generator": "search", "gsrsearch": f"filetype:bitmap {term}",
            "gsrnamespace": 6, "gsrlimit": min(50, most), "prop": "imageinfo", "iiprop": "url|extmetadata", "iiurlwidth": self.width,
            "iiextmetadatafilter": "LicenseShortName|Artist|ObjectName",
        }  # fmt: skip
        going: dict[str, Any] | None = {}
        while going is not None:
            answer = _json(self.base, {**query, **going}, self.timeout)
            if "error" in answer:
                raise FetchError(self.base, str(answer["error"].get("info", answer["error"])))
            pages = answer.get("query", {}).get("pages", [])
            for page in sorted(pages, key=lambda p: p.get("index", 0)):
                for info in page.get("imageinfo", [])[:1]:
                    yield self._found(page, info)
            going = answer.get("continue")

    def _found(self, page: dict[str, Any], info: dict[str, Any]) -> FoundImage:
        told = {key: _plain(value.get("value", "")) for key, value in info.get("extmetadata", {}).items()}
        title = told.get("ObjectName") or page.get("title", "").removeprefix("File:")
        address = info.get("thumburl") or info.get("url") or ""
        return FoundImage(
            address, info.get("descriptionurl", ""), told.get("LicenseShortName", ""), told.get("Artist", ""), title, self.name
        )


class DuckDuckGo:
    """The pictures of the whole web, through the package ddgs (``pip install ddgs``). Their licences are not known."""

    name = "ddgs"

    def find(self, term: str, most: int) -> Iterator[FoundImage]:
        try:
            from ddgs import DDGS  # pyright: ignore[reportMissingImports]
        except ImportError:
            raise ModuleNotFoundError("the package ddgs isn't installed (pip install ddgs)") from None
        for found in DDGS().images(term, max_results=most):
            yield FoundImage(found.get("image") or "", found.get("url") or "", "", "", found.get("title") or "", self.name)


_SEARCHES: dict[str, type[Any]] = {s.name: s for s in (Openverse, WikimediaCommons, DuckDuckGo)}


@hinting
def search_images(
    term: str, max_images: int = 150, *, searches: str | ImageSearch | Sequence[str | ImageSearch] = ("openverse", "commons", "ddgs")
) -> L[FoundImage]:
    """Addresses of pictures for a search term, for :func:`download_images`; each knows its licence, author and page.

    Args:
        term: what to look for ("granny smith apple").
        max_images: how many, at most.
        searches: "openverse" and "commons" (Wikimedia Commons) have free licences and need no key; "ddgs" has the whole web, with
            licences unknown, and needs ``pip install ddgs``. They are asked in turn until there are enough. One that fails is named
            in a note and the next one asked. Objects such as ``Openverse(base=...)`` and your own with `name` and `find` go too.

    Raises:
        OfflineError: all of them failed; the message has each one's reason. DataError: they work, and found nothing.
    """
    if not isinstance(term, str) or not term.strip():
        raise SettingError(f"term={term!r}: words to search for were expected, such as 'granny smith apple'.")
    most = checked_whole("max_images", max_images, least=1)
    found: dict[str, FoundImage] = {}
    failed: list[str] = []
    asked = _chosen(searches)
    for search in asked:
        try:
            for image in _some(search.find(term.strip(), most - len(found)), most):
                found.setdefault(str(image), image)
                if len(found) == most:
                    break
        except Exception as error:  # whatever a search raises, the next one is asked
            failed.append(f"{search.name}: {error.reason if isinstance(error, FetchError) else str(error) or type(error).__name__}")
        if len(found) == most:
            break
    _tell(term, found, failed, len(asked), most)
    return L(list(found.values()))


def _some(images: Iterable[Any], most: int) -> Iterator[FoundImage]:
    """Pictures with usable addresses (plain addresses, which somebody's own search may give, too); of a search that repeats itself, an end."""
    for _, given in zip(range(10 * most + 100), images, strict=False):
        image = given if isinstance(given, FoundImage) else FoundImage(given)
        try:
            checked_url(image)
        except DataError:
            continue
        yield image


def _tell(term: str, found: dict[str, FoundImage], failed: list[str], n_asked: int, most: int) -> None:
    reasons = "; ".join(failed)
    if not found and len(failed) == n_asked:
        raise OfflineError(
            f"No search for {term!r} worked: {reasons}. Check the network, try again later, or give download_images a list of addresses "
            "(urls=) or a text file with one a line (url_file=)."
        )
    if not found:
        raise DataError(f"Nothing was found for {term!r}{f' (failed: {reasons})' if failed else ''}. Try other words.")
    if failed:
        note(f"{len(found)} of {most} pictures were found for {term!r}; not all searches worked: {reasons}.")
    unknown = sum(not image.licence for image in found.values())
    if unknown:
        note(f"The licences of {unknown} of {len(found)} pictures for {term!r} aren't known: their use may need their authors' permission.")


def _chosen(searches: Any) -> list[ImageSearch]:
    several = [searches] if isinstance(searches, str) or hasattr(searches, "find") else list(searches)
    if not several:
        raise SettingError(f"searches={searches!r}: at least one was expected: {', '.join(_SEARCHES)}.")
    chosen = []
    for one in several:
        if isinstance(one, str) and one not in _SEARCHES:
            raise SettingError(f"searches: there is no search {one!r}.{nearest(one, _SEARCHES)} There are: {', '.join(_SEARCHES)}.")
        if not isinstance(one, str) and not (hasattr(one, "find") and hasattr(one, "name")):
            raise SettingError(f"searches: {one!r} is neither a name ({', '.join(_SEARCHES)}) nor an object with `name` and `find`.")
        chosen.append(_SEARCHES[one]() if isinstance(one, str) else one)
    return chosen


def _json(base: str, query: dict[str, Any], timeout: float) -> Any:
    """The answer of an API."""
    url = f"{base}?{urlencode(query)}"

    def attempt() -> Any:
        with request(url, timeout, {"Accept": "application/json"}) as response:
            text = b"".join(body(response, url, timeout, _MOST_JSON))
        try:
            return dict(json.loads(text))
        except (ValueError, TypeError):
            raise FetchError(url, "it answered with something else than JSON (blocked, or behind a log-in page?)") from None

    return persist(attempt, retries=2)


def _creative_commons(found: dict[str, Any]) -> str:
    """ "CC BY-SA 4.0" out of the parts that Openverse tells."""
    code, version = (found.get("license") or "").lower(), found.get("license_version") or ""
    if code in ("", "pdm"):
        return "public domain" if code else ""
    return f"{'CC0' if code == 'cc0' else f'CC {code.upper()}'} {version}".strip()


def _plain(text: Any) -> str:
    """Text without the markup of a web page."""
    return " ".join(html.unescape(_TAGS.sub(" ", str(text))).split())
