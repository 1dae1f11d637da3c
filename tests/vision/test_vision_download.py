"""Downloading pictures: only what is a picture is kept, failures have reasons, and an interrupted call can be repeated."""

from __future__ import annotations

import csv
import io
import struct
import time
import zlib

import pytest
from PIL import Image
from webserver import Answer

from burnish.data import web
from burnish.data.files import get_image_files
from burnish.data.lock import FolderLock
from burnish.data.notes import captured_notes
from burnish.errors import DataError, OfflineError, SettingError
from burnish.vision.download import MANIFEST, download_images
from burnish.vision.files import verify_images
from burnish.vision.sample import sample_photos
from burnish.vision.search import FoundImage

PHOTOS = [p.read_bytes() for p in sorted((sample_photos() / "orange").glob("*.jpg"))[:4]]


@pytest.fixture(autouse=True)
def waits(monkeypatch):
    waited = []
    monkeypatch.setattr(web.persist, "__defaults__", (waited.append,))
    return waited


def as_file(format, size=(40, 30), **options):
    file = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert("RGB").save(file, format, **options)
    return file.getvalue()


def png_bomb(side=30_000):
    """A PNG of some kilobytes that claims `side` x `side` pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1_000_000))) + chunk(b"IEND", b"")


def get(dest, urls, **options):
    with captured_notes() as notes:
        table = download_images(dest, urls=urls, show_progress=False, **options)
    return table, notes


def manifest(folder):
    with open(folder / MANIFEST, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def pictures(folder):
    return sorted(p.name for p in folder.iterdir() if p.name != MANIFEST)


def test_pictures_arrive_with_their_sources_and_licences(server, tmp_path):
    for i, photo in enumerate(PHOTOS):
        server.pages[f"/{i}"] = Answer(photo, "text/plain")  # what a server calls it doesn't count
    urls = [FoundImage(f"{server.url}/{i}", "https://page.example", "CC BY 4.0", f"Ann {i}", "=1+1 Oranges\nin a bowl") for i in range(4)]
    table, notes = get(tmp_path / "orange", urls)
    assert list(table.columns) == ["file", "url", "source", "licence", "author", "title", "sha256", "status", "reason"]
    assert set(table["status"]) == {"downloaded"} and list(table["author"]) == [f"Ann {i}" for i in range(4)]
    assert [(tmp_path / "orange" / f).read_bytes() for f in table["file"]] == PHOTOS
    assert {f.name for f in get_image_files(tmp_path / "orange")} == set(table["file"])
    lines = manifest(tmp_path / "orange")
    assert sorted(line["url"] for line in lines) == sorted(table["url"]) and lines[0]["licence"] == "CC BY 4.0"
    assert lines[0]["title"] == "'=1+1 Oranges in a bowl", "a spreadsheet would run it"
    assert len(notes) == 1 and notes[0].startswith(f"4 of 4 pictures are in {tmp_path / 'orange'}. Sources and licences")


BAD = {
    "/missing": (None, "HTTP 404 Not Found"),
    "/page": (Answer(b"<!DOCTYPE html><html>Sign in</html>", "image/jpeg"), "it is a web page, no picture"),
    "/svg": (Answer(b"<svg xmlns='http://www.w3.org/2000/svg'></svg>", "image/png"), "it is an SVG drawing or an XML text, no photograph"),
    "/zip": (Answer(b"PK\x03\x04" + bytes(100), "image/jpeg"), "it is of a kind that isn't accepted (ZIP)"),
    "/eps": (Answer(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "image/jpeg"), "it is no picture"),
    "/empty": (Answer(b"", "image/jpeg"), "it is empty"),
    "/half": (Answer(PHOTOS[0][: len(PHOTOS[0]) // 2], "image/jpeg"), "it is cut off or damaged"),
    "/cut": (Answer(PHOTOS[0], "image/jpeg", cut=1000), "the connection ended before all had come"),
    "/bomb": (Answer(png_bomb(), "image/png"), "it has more than 100 million pixels (max_pixels)"),
    "/wide": (Answer(png_bomb(10_001), "image/png"), "it has more than 100 million pixels (max_pixels)"),
    "/big": (Answer(as_file("BMP", (300, 300)), "image/bmp"), "it is larger than 0.2 MB (max_bytes)"),
    "/round": (Answer(status=302, headers={"Location": "/round"}), "it redirects again and again"),
    "/busy": (Answer(status=429, headers={"Retry-After": "3600"}), "HTTP 429 Too Many Requests, which asks to wait 3,600 s"),
}  # fmt: skip


def test_what_is_no_picture_to_keep_is_refused_with_its_reason(server, tmp_path):
    server.pages.update({path: answer for path, (answer, _) in BAD.items() if answer})
    server.pages["/good"] = Answer(PHOTOS[0])
    table, notes = get(tmp_path, [server.url + path for path in (*BAD, "/good")], max_bytes=200_000, retries=1)
    reasons = {url.removeprefix(server.url): reason for url, reason in zip(table["url"], table["reason"], strict=True)}
    assert reasons == {**{path: reason for path, (_, reason) in BAD.items()}, "/good": ""}
    assert list(table["status"]) == ["failed"] * len(BAD) + ["downloaded"]
    assert pictures(tmp_path) == [table["file"].iloc[-1]]
    assert "1 of 14 pictures are in" in notes[0] and "13 failed: 2 × it has more than 100 million pixels" in notes[0]
    assert {line["url"]: line["reason"] for line in manifest(tmp_path)} == dict(zip(table["url"], table["reason"], strict=True))


def test_a_zip_bomb_is_refused_before_it_is_unpacked(server, tmp_path):
    """A compressed answer: nothing here inflates it."""
    server.pages["/bomb"] = Answer(zlib.compress(bytes(10_000_000)), "image/png", headers={"Content-Encoding": "deflate"})
    server.pages["/good"] = Answer(PHOTOS[0])
    table, _ = get(tmp_path, [f"{server.url}/bomb", f"{server.url}/good"])
    assert table["reason"].iloc[0] == "it is no picture" and server.asked[0][1]["Accept-Encoding"] == "identity"


def test_a_slow_server_holds_nothing_up(server, tmp_path):
    server.pages["/silent"] = Answer(PHOTOS[0], slow=3)
    server.pages["/drip"] = Answer(PHOTOS[0], slow=0.15)  # each wait is short enough, all of them are not
    server.pages["/good"] = Answer(PHOTOS[1])
    begun = time.monotonic()
    table, _ = get(tmp_path, [f"{server.url}/{p}" for p in ("silent", "drip", "good")], timeout=0.2, retries=0)
    assert list(table["reason"]) == ["no answer within 0.2 s", "it took too long in all", ""] and time.monotonic() - begun < 3


def test_a_busy_server_is_asked_again(server, tmp_path, waits):
    answers = iter([Answer(status=429, headers={"Retry-After": "2"}), Answer(status=503), Answer(PHOTOS[0])])
    server.pages["/busy"] = lambda _: next(answers)
    assert list(get(tmp_path, [f"{server.url}/busy"])[0]["status"]) == ["downloaded"] and waits == [2.0, 1.0]


def test_a_second_call_downloads_only_what_is_not_there(server, tmp_path):
    for i in range(3):
        server.pages[f"/{i}"] = Answer(PHOTOS[i])
    urls = [f"{server.url}/{i}" for i in range(4)]
    first, _ = get(tmp_path, urls)
    server.pages["/3"] = Answer(PHOTOS[3])
    (tmp_path / first["file"][1]).unlink()
    before = len(server.asked)
    table, notes = get(tmp_path, urls)
    assert [p for p, _ in server.asked[before:]] == ["/1", "/3"] or [p for p, _ in server.asked[before:]] == ["/3", "/1"]
    assert set(table["status"]) == {"downloaded"} and len(pictures(tmp_path)) == 4
    assert "4 of 4 pictures" in notes[0] and "2 of them were there already" in notes[0]
    assert len(manifest(tmp_path)) >= 4
    get(tmp_path, urls)
    assert len(manifest(tmp_path)) == 4, "a line an address"


def test_a_killed_call_leaves_nothing_half(server, tmp_path):
    """A line of the table that was half written, and a picture without one, are made good."""
    server.pages["/0"], server.pages["/1"] = Answer(PHOTOS[0]), Answer(PHOTOS[1])
    urls = [f"{server.url}/{i}" for i in range(2)]
    table, _ = get(tmp_path, urls)
    lines = (tmp_path / MANIFEST).read_text().splitlines(keepends=True)
    (tmp_path / MANIFEST).write_text("".join(lines[:2]) + lines[2][:30])
    again, _ = get(tmp_path, urls)
    assert sorted(again["file"]) == sorted(table["file"]) and len(pictures(tmp_path)) == 2 and len(manifest(tmp_path)) == 2


def test_the_same_picture_under_two_addresses_is_kept_once(server, tmp_path):
    server.pages["/a"] = server.pages["/b"] = Answer(PHOTOS[0])
    table, notes = get(tmp_path, [f"{server.url}/a", f"{server.url}/b", f"{server.url}/a"], n_workers=1)
    assert list(table["status"]) == ["downloaded", "duplicate"] and table["file"].nunique() == 1 and len(pictures(tmp_path)) == 1
    assert table["reason"][1] == f"the same picture as {table['file'][0]}" and "1 under more than one address" in notes[0]
    get(tmp_path, [f"{server.url}/b"])
    assert server.times("/b") == 1


def test_names_out_of_addresses_stay_in_the_folder_and_apart(server, tmp_path):
    paths = ["/a/pear.jpg", "/b/pear.jpg", "/c/PEAR.jpg", "/%2e%2e%2f%2e%2e%2fevil.exe", "/a.php?id=1"]
    kinds = [as_file("JPEG"), as_file("JPEG", (50, 50)), as_file("PNG"), as_file("WEBP"), as_file("GIF")]
    for path, content in zip(paths, kinds, strict=True):
        server.pages[path] = Answer(content)
    folder = tmp_path / "deep" / "folder"
    table, _ = get(folder, [server.url + p for p in paths], preserve_filename=True, n_workers=1)
    assert list(table["file"]) == ["pear.jpg", "pear-2.jpg", "PEAR.png", "evil.webp", "a.gif"]
    assert pictures(folder) == sorted(table["file"]) and [p.name for p in tmp_path.iterdir()] == ["deep"]


def test_addresses_out_of_a_file(server, tmp_path):
    server.pages["/0"] = Answer(PHOTOS[0])
    (tmp_path / "urls.txt").write_text(f"\ufeff{server.url}/0\n\n{server.url}/0 \nhttp://x.invalid/2\n", encoding="utf-8")
    with captured_notes():
        table = download_images(tmp_path / "out", tmp_path / "urls.txt", max_pics=1)
    assert list(table["url"]) == [f"{server.url}/0"]


def test_when_nothing_comes_it_is_an_error(server, tmp_path):
    with pytest.raises(OfflineError, match=r"None of 2 pictures could be downloaded.*: 2 × the connection was refused.*downloads.csv"):
        get(tmp_path, ["http://127.0.0.1:9/1", "http://127.0.0.1:9/2"])
    with pytest.raises(DataError, match=r"None of 1 pictures.*1 × HTTP 404 Not Found"):
        get(tmp_path, [f"{server.url}/nothing"])


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({}, SettingError, "Give either urls= .* or url_file="),
        ({"urls": []}, DataError, "There are no addresses in urls="),
        ({"urls": "http://a.org/b.jpg"}, SettingError, "is one text; a list of addresses was expected"),
        ({"urls": ["http://a.org"], "max_pics": 0}, SettingError, "max_pics=0: expected a whole number"),
        ({"urls": ["http://a.org"], "n_workers": 0}, SettingError, "n_workers=0"),
        ({"urls": ["http://a.org"], "timeout": 0}, SettingError, "timeout=0: seconds were expected"),
        ({"urls": ["file:///etc/passwd"]}, DataError, "1 × 'file:///etc/passwd' is no web address"),
        ({"urls": ["http://a.org"], "workers": 3}, TypeError, "unexpected keyword argument 'workers'. Did you mean: n_workers"),
    ],
)
def test_bad_arguments(tmp_path, arguments, error, words):
    with pytest.raises(error, match=words):
        download_images(tmp_path, **arguments)


def test_a_table_that_is_another_and_a_folder_in_use(tmp_path):
    (tmp_path / MANIFEST).write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match=r"downloads.csv is not a table of downloads.*Rename it"):
        download_images(tmp_path, urls=["http://127.0.0.1:9/1"])
    assert (tmp_path / MANIFEST).read_text() == "a,b\n1,2\n"
    lock = FolderLock(tmp_path)
    assert lock.acquire()
    with pytest.raises(BlockingIOError, match="Another call of download_images is writing into"):
        download_images(tmp_path, urls=["http://127.0.0.1:9/1"])
    lock.release()


def test_what_is_no_picture_is_kept_where_that_is_asked_for(server, tmp_path):
    page = b"<!DOCTYPE html><html>Sign in</html>"
    server.pages.update({"/a.png": Answer(page), "/run.exe": Answer(page, "text/html"), "/good": Answer(PHOTOS[0])})
    urls = [server.url + path for path in ("/a.png", "/run.exe", "/good", "/absent.jpg")]
    table, notes = get(tmp_path, urls, only_pictures=False, preserve_filename=True)
    assert list(table["status"]) == ["downloaded"] * 3 + ["failed"] and list(table["file"])[:2] == ["a.png", "run.jpg"], "no .exe"
    assert table["reason"][0] == "it is a web page, no picture" and (tmp_path / "a.png").read_bytes() == page
    assert "2 of them can't be used: 2 × it is a web page, no picture" in notes[0] and "1 failed" in notes[0]
    assert sorted(verify_images(get_image_files(tmp_path), show_progress=False)) == [tmp_path / "a.png", tmp_path / "run.jpg"]
