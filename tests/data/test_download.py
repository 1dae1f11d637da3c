"""One file from the web: whole or not at all, going on where it stopped, from servers that are slow, cut off, busy or lying."""

from __future__ import annotations

import hashlib
import json
import threading
import time

import pytest
from webserver import Answer, in_parts

from burnish.data import web
from burnish.data.download import download_url, file_name
from burnish.data.notes import captured_notes
from burnish.data.web import FetchError, TooLargeError
from burnish.errors import DataError, OfflineError, SettingError

CONTENT = bytes(range(256)) * 2000  # 512 kB
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def waits(monkeypatch):
    """The seconds that were waited between tries: none in truth."""
    waited = []
    monkeypatch.setattr(web.persist, "__defaults__", (waited.append,))
    return waited


def left_over(folder):
    return sorted(p.name for p in folder.rglob("*") if p.name.startswith("."))


def test_a_file_arrives_whole_and_nothing_else_stays(server, tmp_path):
    server.pages["/a/pear.bin"] = Answer(CONTENT)
    path = download_url(f"{server.url}/a/pear.bin?x=1", tmp_path)
    assert path == tmp_path / "pear.bin" and path.read_bytes() == CONTENT
    assert [p.name for p in tmp_path.iterdir()] == ["pear.bin"]
    assert server.asked[0][1]["User-Agent"].startswith("burnish/")
    assert download_url(f"{server.url}/a/pear.bin", tmp_path / "new" / "other.bin").read_bytes() == CONTENT


@pytest.mark.parametrize(("name", "told"), [("apple.jpg", True), ("page.html", False), ("page", False)])
def test_a_web_page_in_the_place_of_a_file_is_told(server, tmp_path, name, told):
    server.pages[f"/{name}"] = Answer(b"<!DOCTYPE html><p>please log in")
    with captured_notes() as notes:
        download_url(f"{server.url}/{name}", tmp_path)
    assert any("gave a web page, and not what a name as apple.jpg promises" in n for n in notes) is told


def test_a_download_that_is_cut_off_goes_on_where_it_stopped(server, tmp_path):
    server.pages["/f"] = in_parts(CONTENT, cut_first=200_000)
    assert download_url(f"{server.url}/f", tmp_path / "f").read_bytes() == CONTENT
    assert [h.get("Range") for _, h in server.asked] == [None, "bytes=200000-"]


def test_the_next_call_goes_on_where_the_last_one_was_cut_off(server, tmp_path):
    server.pages["/f"] = in_parts(CONTENT, cut_first=200_000)
    with pytest.raises(FetchError, match="ended before all had come"):
        download_url(f"{server.url}/f", tmp_path / "f", retries=0)
    assert not (tmp_path / "f").exists()
    assert download_url(f"{server.url}/f", tmp_path / "f", sha256=DIGEST).read_bytes() == CONTENT
    assert server.asked[1][1]["Range"] == "bytes=200000-" and left_over(tmp_path) == []


def test_a_file_that_changed_meanwhile_is_begun_again(server, tmp_path):
    server.pages["/f"] = in_parts(CONTENT, version='"one"', cut_first=200_000)
    with pytest.raises(FetchError):
        download_url(f"{server.url}/f", tmp_path / "f", retries=0)
    server.pages["/f"] = in_parts(CONTENT[::-1], version='"two"')
    assert download_url(f"{server.url}/f", tmp_path / "f").read_bytes() == CONTENT[::-1]


def test_a_part_of_another_address_or_without_a_version_is_not_gone_on_with(server, tmp_path):
    server.pages["/f"] = in_parts(CONTENT, cut_first=1000)
    server.pages["/g"] = Answer(CONTENT[::-1], cut=1000)
    for page in ("/f", "/g"):
        with pytest.raises(FetchError):
            download_url(server.url + page, tmp_path / "f", retries=0)
    server.pages["/g"] = in_parts(CONTENT[::-1])
    assert download_url(f"{server.url}/g", tmp_path / "f").read_bytes() == CONTENT[::-1]
    assert "Range" not in server.asked[-1][1]


def test_a_part_that_is_all_of_it_already_is_begun_again(server, tmp_path):
    server.pages["/f"] = in_parts(CONTENT)
    work = tmp_path / ".f.part"
    work.mkdir()
    (work / "data").write_bytes(CONTENT)
    (work / "state.json").write_text(json.dumps({"url": f"{server.url}/f", "version": '"one"'}))
    assert download_url(f"{server.url}/f", tmp_path / "f").read_bytes() == CONTENT
    assert [h.get("Range") for _, h in server.asked] == ["bytes=512000-", None]


def test_what_stood_there_stays_when_the_download_fails(server, tmp_path):
    (tmp_path / "f").write_bytes(b"before")
    server.pages["/f"] = Answer(CONTENT, cut=1000)
    with pytest.raises(FetchError, match=r"127.0.0.1:\d+/f can't be fetched: the connection ended before all had come"):
        download_url(f"{server.url}/f", tmp_path / "f", retries=1)
    assert (tmp_path / "f").read_bytes() == b"before" and server.times("/f") == 2


def test_the_digest_is_checked_and_a_file_that_has_it_is_kept(server, tmp_path):
    server.pages["/f"] = Answer(CONTENT)
    with pytest.raises(DataError, match=f"has the SHA-256 {DIGEST}, and {'0' * 64} was expected.*not kept"):
        download_url(f"{server.url}/f", tmp_path / "f", sha256="0" * 64)
    assert list(tmp_path.iterdir()) == []
    for _ in range(2):
        download_url(f"{server.url}/f", tmp_path / "f", sha256=DIGEST.upper())
    assert server.times("/f") == 2
    with pytest.raises(SettingError, match="sha256='abc': 64 hexadecimal digits"):
        download_url(f"{server.url}/f", tmp_path / "f", sha256="abc")


def test_busy_servers_are_asked_again_after_as_long_as_they_say(server, tmp_path, waits):
    answers = iter([Answer(status=429, headers={"Retry-After": "7"}), Answer(status=503), Answer(CONTENT)])
    server.pages["/f"] = lambda _: next(answers)
    assert download_url(f"{server.url}/f", tmp_path / "f").read_bytes() == CONTENT
    assert waits == [7.0, 1.0]


@pytest.mark.parametrize(
    ("answer", "words", "tries"),
    [
        (Answer(status=404), "HTTP 404 Not Found", 1),
        (Answer(status=403), "HTTP 403 Forbidden", 1),
        (Answer(status=500), "HTTP 500 Internal Server Error", 3),
        (Answer(status=429, headers={"Retry-After": "86400"}), "HTTP 429 Too Many Requests, which asks to wait 86,400 s", 1),
        (Answer(status=302, headers={"Location": "/f"}), "it redirects again and again", 1),
        (Answer(status=302, headers={"Location": "file:///etc/passwd"}), "not allowed", 1),
    ],
)
def test_failures_say_why_and_are_tried_again_only_where_that_may_help(server, tmp_path, answer, words, tries):
    server.pages["/f"] = answer
    with pytest.raises(OfflineError, match=words):
        download_url(f"{server.url}/f", tmp_path / "f", retries=2)
    assert list(tmp_path.iterdir()) == []
    assert server.times("/f") == tries or "redirects" in words


def test_a_server_that_says_nothing_is_given_up(server, tmp_path):
    server.pages["/f"] = Answer(CONTENT, slow=2)
    begun = time.monotonic()
    with pytest.raises(FetchError, match=r"no answer within 0.2 s"):
        download_url(f"{server.url}/f", tmp_path / "f", timeout=0.2, retries=0)
    assert time.monotonic() - begun < 1.5


def test_no_network_is_told_apart(tmp_path):
    with pytest.raises(FetchError, match="the connection was refused") as refused:
        download_url("http://127.0.0.1:9/f", tmp_path, retries=0)
    assert refused.value.unreached
    with pytest.raises(FetchError, match=r"the name burnish.invalid isn't known \(no network\?\)"):
        download_url("http://burnish.invalid/f", tmp_path, retries=0)


def test_too_large_is_refused_before_and_while_it_comes(server, tmp_path):
    server.pages["/f"] = Answer(CONTENT)
    with pytest.raises(TooLargeError, match=r"/f is larger than 0.1 MB, the limit \(max_bytes=100000\)"):
        download_url(f"{server.url}/f", tmp_path, max_bytes=100_000)
    server.pages["/f"] = Answer(CONTENT, headers={"Content-Length": ""})
    with pytest.raises(TooLargeError):
        download_url(f"{server.url}/f", tmp_path, max_bytes=100_000)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://a.org/b", "pears.txt", "", "http://", None])
def test_only_web_addresses(url, tmp_path):
    with pytest.raises(DataError, match="is no web address: one that begins with https://"):
        download_url(url, tmp_path)


def test_a_folder_in_the_place_of_the_file(server, tmp_path):
    (tmp_path / "f").mkdir()
    with pytest.raises(IsADirectoryError, match="is a folder, and the download is to become a file of that name"):
        download_url(f"{server.url}/f", tmp_path)


def test_a_misspelt_keyword(tmp_path):
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'sha265'\. Did you mean: sha256"):
        download_url("http://a.org/b", tmp_path, sha265="")  # pyright: ignore[reportCallIssue]


def test_two_at_a_time_take_turns(server, tmp_path):
    server.pages["/f"] = Answer(CONTENT, slow=0.05)
    with captured_notes() as notes:
        threads = [threading.Thread(target=download_url, args=(f"{server.url}/f", tmp_path / "f")) for _ in range(2)]
        [t.start() for t in threads]
        [t.join() for t in threads]
    assert (tmp_path / "f").read_bytes() == CONTENT and left_over(tmp_path) == []
    assert notes == ["f is being fetched by another process or thread; waiting for that to end."]


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://a.org/x/pear.jpg?w=3#top", "pear.jpg"),
        ("https://a.org/%2e%2e/%2e%2e%2fetc%2fpasswd", "passwd"),
        ("https://a.org/a%5C..%5Cb.jpg", "b.jpg"),
        ("https://a.org/", "download"),
        ("https://a.org/..", "download"),
        ("https://a.org/.hidden", "hidden"),
        ("https://a.org/CON.jpg", "_CON.jpg"),
        ("https://a.org/b%C3%A4r%00.jpg", "bär_.jpg"),
        ("https://a.org/" + "x" * 300 + ".jpg", "x" * 116 + ".jpg"),
    ],
)
def test_names_stay_in_their_folder(url, name):
    assert file_name(url) == name


def test_addresses_with_other_characters_are_escaped_once(server, tmp_path):
    server.pages["/b%C3%A4r%20a.bin"] = Answer(CONTENT)
    for path in ("/bär a.bin", "/b%C3%A4r%20a.bin"):
        assert download_url(server.url + path, tmp_path).name == "bär a.bin"
