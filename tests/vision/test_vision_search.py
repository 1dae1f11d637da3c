"""Searching for pictures: from several sources in turn, each with licence, author and page; what fails is named."""

from __future__ import annotations

import json
import pickle
import sys
import types

import pytest
from webserver import Answer

from burnish.data import web
from burnish.data.notes import captured_notes
from burnish.errors import DataError, OfflineError, SettingError
from burnish.vision.search import DuckDuckGo, FoundImage, Openverse, WikimediaCommons, search_images


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch):
    monkeypatch.setattr(web.persist, "__defaults__", (lambda _: None,))
    monkeypatch.setitem(sys.modules, "ddgs", None)  # not installed


def as_json(thing, **more):
    return Answer(json.dumps(thing).encode(), "application/json", **more)


def openverse(server, n=45):
    """An Openverse of `n` pictures, 20 a page, as its API answers."""

    def page(request):
        from urllib.parse import parse_qs, urlsplit

        query = parse_qs(urlsplit(request.path).query)
        assert query["q"] == ["granny smith"] and query["page_size"] == ["20"]
        k = int(query["page"][0])
        found = [
            {
                "id": str(i), "title": f"Apple {i}", "url": f"{server.url}/pictures/{i}.jpg", "foreign_landing_url": f"https://flickr.example/{i}",
                "creator": "Ann", "license": "by-sa", "license_version": "4.0",
            }
            for i in range(20 * (k - 1), min(20 * k, n))
        ]  # fmt: skip
        return as_json({"result_count": n, "page_count": -(-n // 20), "page": k, "results": found})

    server.pages["/v1/images/"] = page
    return Openverse(base=f"{server.url}/v1")


def commons(server):
    def page(request):
        second = "gsroffset=2" in request.path
        pages = [
            {
                "title": f"File:Apple {name}.jpg", "index": i,
                "imageinfo": [{
                    "thumburl": f"{server.url}/thumb/{name}.jpg", "url": f"{server.url}/full/{name}.jpg",
                    "descriptionurl": f"https://commons.example/{name}",
                    "extmetadata": {
                        "LicenseShortName": {"value": "CC BY 2.0"}, "Artist": {"value": "<a href='//x'>B&eacute;a</a>"},
                        "ObjectName": {"value": f"Apple {name}"},
                    },
                }],
            }
            for i, name in ([(3, "c")] if second else [(2, "b"), (1, "a")])
        ]  # fmt: skip
        return as_json({"query": {"pages": pages}, **({} if second else {"continue": {"gsroffset": 2, "continue": "gsroffset||"}})})

    server.pages["/w/api.php"] = page
    return WikimediaCommons(base=f"{server.url}/w/api.php")


def test_openverse_gives_as_many_as_asked_over_its_pages(server):
    found = search_images("granny smith", 30, searches=openverse(server))
    assert [str(f) for f in found] == [f"{server.url}/pictures/{i}.jpg" for i in range(30)] and len(server.asked) == 2
    first = found[0]
    assert isinstance(first, str) and first.endswith("/0.jpg")
    assert (first.licence, first.author, first.title, first.source) == ("CC BY-SA 4.0", "Ann", "Apple 0", "https://flickr.example/0")
    assert pickle.loads(pickle.dumps(first)).author == "Ann"


def test_commons_in_the_order_of_its_ranking_without_markup(server):
    found = search_images("granny smith", 10, searches=[commons(server)])
    assert [f.title for f in found] == ["Apple a", "Apple b", "Apple c"] and found[0] == f"{server.url}/thumb/a.jpg"
    assert (found[0].licence, found[0].author, found[0].source) == ("CC BY 2.0", "Béa", "https://commons.example/a")


def test_the_next_search_fills_up_and_nothing_comes_twice(server):
    found = search_images("granny smith", 30, searches=[openverse(server, 5), openverse(server, 5), commons(server)])
    assert len(found) == len(set(found)) == 8 and {f.found_by for f in found} == {"openverse", "commons"}


def test_a_search_that_is_blocked_is_named_and_the_next_one_asked(server):
    server.pages["/blocked/images/"] = Answer(b"<html>are you a robot?</html>", "text/html", 403)
    with captured_notes() as notes:
        found = search_images("granny smith", 3, searches=[Openverse(base=f"{server.url}/blocked"), commons(server)])
    assert len(found) == 3
    assert notes == ["3 of 3 pictures were found for 'granny smith'; not all searches worked: openverse: HTTP 403 Forbidden."]


def test_what_came_before_a_failure_is_kept(server):
    whole = openverse(server, 45)
    page = server.pages["/v1/images/"]
    server.pages["/v1/images/"] = lambda r: Answer(status=429, headers={"Retry-After": "3600"}) if "page=2" in r.path else page(r)
    with captured_notes() as notes:
        assert len(search_images("granny smith", 30, searches=whole)) == 20
    assert "20 of 30" in notes[0] and "openverse: HTTP 429 Too Many Requests, which asks to wait 3,600 s" in notes[0]


def test_when_all_fail_each_is_named_with_its_reason_and_the_way_out(server, monkeypatch):
    monkeypatch.setenv("BURNISH_OPENVERSE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("BURNISH_COMMONS_URL", f"{server.url}/login")
    server.pages["/login"] = Answer(b"<html>Log in to the hotel's network</html>", "text/html")
    with pytest.raises(OfflineError) as failed:
        search_images("granny smith")
    said = str(failed.value)
    assert "openverse: the connection was refused" in said and "commons: it answered with something else than JSON" in said
    assert "ddgs: the package ddgs isn't installed (pip install ddgs)" in said and "url_file=" in said


def test_an_error_that_the_api_tells(server):
    server.pages["/w/api.php"] = as_json({"error": {"code": "ratelimited", "info": "Too many requests."}})
    server.pages["/v1/images/"] = as_json({"detail": "page_size must be lower"})
    with pytest.raises(OfflineError, match=r"openverse: it answered page_size must be lower; commons: Too many requests"):
        search_images("apple", searches=[Openverse(base=f"{server.url}/v1"), WikimediaCommons(base=f"{server.url}/w/api.php")])


def test_nothing_found(server):
    with pytest.raises(DataError, match=r"Nothing was found for 'granny smith'\. Try other words"):
        search_images("granny smith", searches=openverse(server, 0))


def test_ddgs_where_it_is_installed_and_its_licences_are_unknown(monkeypatch):
    class DDGS:
        def images(self, query, max_results):
            assert (query, max_results) == ("apple", 2)
            return [{"image": f"https://a.example/{i}.jpg", "url": "https://a.example", "title": "An apple"} for i in range(2)]

    monkeypatch.setitem(sys.modules, "ddgs", types.SimpleNamespace(DDGS=DDGS))
    with captured_notes() as notes:
        found = search_images("apple", 2, searches="ddgs")
    assert found[0].title == "An apple" and found[0].licence == ""
    assert notes == ["The licences of 2 of 2 pictures for 'apple' aren't known: their use may need their authors' permission."]
    assert DuckDuckGo.name == "ddgs"


def test_a_search_of_your_own_and_addresses_that_are_none():
    class Mine:
        name = "mine"

        def find(self, term, most):
            yield FoundImage("file:///etc/passwd")
            yield FoundImage("")
            yield "https://a.example/2.jpg"  # a plain address
            while True:
                yield FoundImage("https://a.example/1.jpg", licence="CC0")

    found = search_images("apple", 5, searches=Mine())
    assert list(found) == ["https://a.example/2.jpg", "https://a.example/1.jpg"] and found[0].licence == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"term": " "}, "term=' ': words to search for were expected"),
        ({"term": ["apple"]}, "words to search for were expected"),
        ({"term": "apple", "max_images": 0}, "max_images=0: expected a whole number of at least 1"),
        ({"term": "apple", "searches": "openvers"}, "there is no search 'openvers'. Did you mean: openverse"),
        ({"term": "apple", "searches": []}, "at least one was expected: openverse, commons, ddgs"),
        ({"term": "apple", "searches": [3]}, "3 is neither a name"),
    ],
)
def test_what_is_no_search(arguments, words):
    with pytest.raises(SettingError, match=words):
        search_images(**arguments)
