"""The cleaner's page in a real browser, its server, and the same page as a widget of a notebook."""

from __future__ import annotations

import json
import shutil
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Browser

from burnish.data.notes import captured_notes
from burnish.vision.all import ImageClassifierCleaner, ImageDataLoaders, Resize, vision_learner
from burnish.vision.cleaner_desk import Desk
from burnish.vision.cleaner_server import Page
from burnish.vision.issues_table import COLUMNS, Issues


@pytest.fixture(scope="module")
def learn(photos, tmp_path_factory):
    root = tmp_path_factory.mktemp("page")
    shutil.copytree(photos, root / "fruit")
    (root / "fruit/orange/bad.jpg").write_bytes(b"no picture")
    (root / "fruit/orange/<b>odd'\" name.jpg").write_bytes((root / "fruit/orange/orange_01.jpg").read_bytes())
    with captured_notes():
        dls = ImageDataLoaders.from_folder(root / "fruit", valid_pct=0.25, seed=1, bs=9, item_tfms=Resize(64))
        return vision_learner(dls, "tf_efficientnet_lite0", weights="offline", path=root, seed=1)


@pytest.fixture
def cleaner(learn, tmp_path):
    """Suspicious: the pictures of the first three rows, with suggestions for two."""
    rows = [(i, "", "", "train", "wrong_label", 0.99 - i / 10, "orange" if i else None, 0.9, "", "") for i in range(3)]
    with captured_notes():
        return ImageClassifierCleaner(learn, issues=Issues(rows, columns=list(COLUMNS)), max_n=12, path=tmp_path / "kept")


@pytest.fixture
def page(cleaner) -> Iterator[Page]:
    made = cleaner.open(browser=False)
    yield made
    made.close()


@pytest.fixture(scope="module")
def shared() -> Iterator[Browser]:
    made = Browser()
    yield made
    made.close()


@pytest.fixture
def browser(shared, page) -> Browser:
    shared.errors.clear()
    shared.size(1200, 900)
    shared.open(page.url)
    shared.wait("document.querySelectorAll('figure').length === 12")
    return shared


def chosen(cleaner) -> dict[str, dict]:
    return {cleaner.fns[i].name: c for i in range(len(cleaner.fns)) if (c := cleaner.choice(i))}


def shown(browser) -> list[int]:
    return browser.run("[...document.querySelectorAll('figure')].map((f) => Number(f.dataset.id))")


def pick(browser, name: str, value: str) -> None:
    browser.run(
        f"(() => {{ const s = document.querySelector('select[name={name}]'); s.value = {value!r}; s.dispatchEvent(new Event('change')); }})()"
    )


# -- in the browser ---------------------------------------------------------------------------------------------------


def test_keys_choose_and_move(browser, cleaner):
    order = shown(browser)
    browser.run("document.querySelector('figure').focus()")
    browser.press("d", "k", "a", "1", "ArrowRight", "d", "ArrowLeft")  # as fast as they come
    browser.wait("document.querySelector('.counts').textContent.includes('2 to delete, 2 to relabel, 1 kept')")
    got = {order.index(next(i for i, f in enumerate(cleaner.fns) if f.name == n)): c for n, c in chosen(cleaner).items()}
    assert got == {
        0: {"do": "delete"}, 1: {"do": "keep"}, 2: {"do": "relabel", "to": "orange"}, 3: {"do": "relabel", "to": "conference_pear"}, 5: {"do": "delete"},
    }  # fmt: skip
    browser.press("u")
    browser.wait("document.querySelector('.counts').textContent.includes('1 to delete')")
    assert browser.run("document.activeElement.dataset.id") == str(order[5])
    browser.press("ArrowUp")
    assert browser.run("document.activeElement.dataset.id") == str(order[0])
    browser.press("Backspace")
    browser.wait("document.querySelector('.counts').textContent.includes('0 to delete')")
    assert browser.run("document.activeElement.dataset.id") == str(order[0])


def test_keys_work_before_anything_is_clicked(browser, cleaner):
    order = shown(browser)
    assert browser.run("document.activeElement === document.body")
    browser.press("d", "ArrowRight", "k")
    browser.wait("document.querySelector('.counts').textContent.includes('1 to delete, 0 to relabel, 1 kept')")
    assert cleaner.delete() == [order[0]]


def test_the_mouse_chooses_too(browser, cleaner):
    first = shown(browser)[0]
    browser.click("figure .does button:nth-of-type(2)")
    browser.wait("document.querySelector('figure.delete .badge')")
    assert cleaner.delete() == [first]
    browser.run(
        "(() => { const s = document.querySelectorAll('figure select')[3]; s.value = '0'; s.dispatchEvent(new Event('change')); })()"
    )
    browser.wait("document.querySelector('figure.relabel, figure.keep')")
    assert len(chosen(cleaner)) == 2


def test_choices_survive_filters_pages_reload_and_restart(browser, cleaner, learn, page):
    browser.run("document.querySelector('figure').focus()")
    browser.press("d")
    browser.wait("document.querySelector('figure.delete')")
    pick(browser, "class", "1")
    browser.wait("[...document.querySelectorAll('figure strong')].every((s) => s.textContent === 'granny_smith')")
    browser.press("Tab")
    browser.run("document.querySelector('figure').focus()")
    browser.press("k")
    browser.wait("document.querySelector('figure.keep')")
    pick(browser, "class", "")
    browser.wait("new Set([...document.querySelectorAll('figure strong')].map((s) => s.textContent)).size > 1")
    browser.run("document.querySelector('figure').focus()")
    browser.press("n")
    browser.wait("document.body.innerText.includes('13 to 24 of 38')")
    browser.open(page.url)
    browser.wait("document.querySelectorAll('figure').length === 12 && document.querySelector('figure.delete')")
    assert len(cleaner.delete()) == 1 and len(chosen(cleaner)) == 2
    pick(browser, "show", "chosen")
    browser.wait("document.querySelectorAll('figure').length === 2")
    with captured_notes():
        assert chosen(ImageClassifierCleaner(learn, path=cleaner.folder)) == chosen(cleaner)


def test_what_is_suspicious_comes_first_or_what_the_model_gets_wrong(browser, cleaner):
    assert cleaner.table["row"].iloc[shown(browser)[:3]].tolist() == [0, 1, 2]
    pick(browser, "order", "loss")
    browser.wait("document.querySelectorAll('figure').length === 12")
    largest = cleaner.table["loss"].sort_values(ascending=False).index[:3].tolist()
    browser.wait(
        f"JSON.stringify([...document.querySelectorAll('figure')].slice(1, 4).map((f) => Number(f.dataset.id))) === '{json.dumps(largest, separators=(',', ':'))}'"
    )
    pick(browser, "split", "valid")
    browser.wait("[...document.querySelectorAll('figcaption')].every((c) => c.innerText.includes('valid, loss'))")


def test_pictures_are_there_with_texts_for_who_can_not_see_them(browser):
    browser.wait("[...document.images].filter((i) => i.complete && i.naturalWidth > 20).length >= 6")
    assert browser.run("[...document.images].every((i) => i.alt.includes('.jpg, labelled'))")
    assert browser.wait("[...document.querySelectorAll('.picture')].some((p) => p.textContent.includes('can\\'t be shown'))")
    assert browser.run(
        "[...document.querySelectorAll('figure')].every((f) => f.getAttribute('aria-label').includes('predicted') || f.innerText.includes('bad.jpg'))"
    )
    browser.run("document.querySelector('figure').focus()")
    browser.press("ArrowRight")
    assert browser.run("getComputedStyle(document.activeElement).outlineWidth") == "3px"
    assert [e for e in browser.errors if "/thumb/" not in e] == []


def test_names_of_files_are_text_and_never_html(browser):
    browser.wait("document.querySelectorAll('figure').length === 12")
    pick(browser, "order", "file")
    pick(browser, "class", "2")
    browser.wait("document.body.innerText.includes('<b>odd')")
    assert browser.run("document.querySelectorAll('figure b').length") == 0


def test_it_fits_a_narrow_notebook_and_the_dark(browser, page):
    for width in (320, 480, 760):
        browser.size(width, 800)
        assert browser.run("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), width
    browser.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    dark = browser.run("getComputedStyle(document.querySelector('.burnish-cleaner')).backgroundColor")
    browser.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "light"}])
    assert dark != browser.run("getComputedStyle(document.querySelector('.burnish-cleaner')).backgroundColor")


def test_applying_asks_first_and_can_be_undone(own_photos, tmp_path, shared):
    with captured_notes():
        dls = ImageDataLoaders.from_folder(own_photos, valid_pct=0.25, seed=1, bs=9, item_tfms=Resize(64))
        cleaner = ImageClassifierCleaner(vision_learner(dls, "tf_efficientnet_lite0", weights="offline", path=tmp_path, seed=1), max_n=12)
    page = cleaner.open(browser=False)
    try:
        shared.open(page.url)
        shared.wait("document.querySelectorAll('figure').length === 12")
        assert shared.run("document.querySelector('button.main').disabled")
        shared.run("document.querySelector('figure').focus()")
        shared.press("d", "d")
        shared.wait("document.querySelector('button.main').textContent.includes('Apply 2')")
        files = [cleaner.fns[i] for i in cleaner.delete()]
        shared.click("button.main")
        text = shared.wait("document.querySelector('.ask')?.innerText")
        assert all(f"{f.parent.name}/{f.name}" in text for f in files) and text.count("delete ") == 2 and "→" not in text
        assert "2 file(s) move to the trash" in text and str(cleaner.folder / "trash") in text and all(f.is_file() for f in files)
        shared.press("Enter")  # "Yes" has the focus
        shared.wait("document.body.innerText.includes('2 change(s) made')")
        assert not any(f.exists() for f in files) and len(list((cleaner.folder / "trash").rglob("*.jpg"))) == 2
        shared.wait("document.body.innerText.includes('of 34')")
        shared.run("[...document.querySelectorAll('button')].find((b) => b.textContent === 'Undo last apply').click()")
        shared.wait("document.body.innerText.includes('2 change(s) taken back') && document.body.innerText.includes('of 36')")
        assert all(f.is_file() for f in files)
    finally:
        page.close()


def test_a_program_that_has_stopped_is_said(cleaner, shared):
    page = cleaner.open(browser=False)
    shared.open(page.url)
    shared.wait("document.querySelectorAll('figure').length === 12")
    page.close()
    shared.run("document.querySelector('figure').focus()")
    shared.press("d")
    shared.wait("document.querySelector('.message.bad')?.textContent.includes('What was chosen is kept')")


# -- the server -------------------------------------------------------------------------------------------------------


def fetch(page: Page, path: str, data: object = None, **headers: str) -> tuple[int, bytes]:
    body = None if data is None else json.dumps(data).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{page.port}{path}", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_the_token_opens_it_and_nothing_else_does(page):
    token = page.token
    assert fetch(page, f"/?t={token}")[0] == 200 and fetch(page, f"/thumb/0?t={token}")[1][:2] == b"\xff\xd8"
    for path in ("/", "/?t=", "/?t=x", "/thumb/0", "/cleaner.js", f"/?T={token}"):
        assert fetch(page, path)[0] == 403, path
    ask = {"op": "start", "args": {}}
    right = {"X-Burnish-Token": token, "Content-Type": "application/json"}
    assert fetch(page, "/ask", ask, **right)[0] == 200
    assert fetch(page, "/ask", ask, **{**right, "X-Burnish-Token": "é"})[0] == 403
    assert fetch(page, f"/ask?t={token}", ask, **{"Content-Type": "application/json"})[0] == 403


@pytest.mark.parametrize(
    "headers", [{"Host": "evil.example"}, {"Host": "evil.example:80"}, {"Origin": "http://evil.example"}, {"Origin": "null"}]
)
def test_other_sites_are_refused(page, headers):
    """A name that leads here (DNS rebinding), and pages of other sites."""
    right = {"X-Burnish-Token": page.token, "Content-Type": "application/json"}
    assert fetch(page, "/ask", {"op": "start", "args": {}}, **right, **headers)[0] == 403
    assert fetch(page, f"/?t={page.token}", **headers)[0] == 403


@pytest.mark.parametrize(
    "path",
    [
        "/thumb/9999",
        "/thumb/-1",
        "/thumb/../../etc/passwd",
        "/thumb/%2e%2e%2fsetup.py",
        "/thumb/٣",
        "/thumb/",
        "/cleaner_desk.py",
        "/..%2f",
    ],
)
def test_only_pictures_of_the_table_are_served(page, path):
    assert fetch(page, urllib.request.quote(path, safe="/%.") + f"?t={page.token}")[0] == 404


def test_it_listens_on_this_computer_alone(page):
    assert page._server.server_address[0] == "127.0.0.1"
    with urllib.request.urlopen(page.url, timeout=10) as answer:
        policy = answer.headers["Content-Security-Policy"]
        assert answer.headers.get("Access-Control-Allow-Origin") is None and "default-src 'none'" in policy and "unsafe" not in policy


@pytest.mark.parametrize("body", [b"{", b"[]", b"3", b'{"op": "start"}', b"\xff"])
def test_nonsense_is_refused(page, body):
    headers = {"X-Burnish-Token": page.token, "Content-Type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{page.port}/ask", body, headers)
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(request, timeout=10)


def test_a_port_that_is_taken_is_said(cleaner, page):
    from burnish.errors import SettingError

    with pytest.raises(SettingError, match=rf"port={page.port}: it can't be listened on"):
        cleaner.open(port=page.port, browser=False)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    made = cleaner.open(port=port, browser=False)
    assert made.port == port
    made.close()


@pytest.mark.parametrize(
    ("op", "args", "says"),
    [
        ("steal", {}, "no operation 'steal'"), ("list", {"sort": "size"}, "no order 'size'"), ("choose", {"row": 99, "do": "keep"}, "no picture 99"),
        ("choose", {"row": 0, "do": "relabel", "to": 9}, "no label number 9"), ("choose", {"rows": 0}, "unexpected keyword"), ("list", [], "no operation"),
        ("revert", {}, "nothing to undo"),
    ],
)  # fmt: skip
def test_wrong_questions_get_an_answer_that_says_so(cleaner, op, args, says):
    assert says in Desk(cleaner).answer(op, args)["error"]


# -- the widget -------------------------------------------------------------------------------------------------------

BRIDGE = """
(async () => {
  const token = new URLSearchParams(location.search).get("t");
  const { default: widget } = await import(`/cleaner.js?t=${token}`);
  const headers = { "Content-Type": "application/json", "X-Burnish-Token": token };
  const listeners = [];
  const model = {
    on: (name, f) => name === "msg:custom" && listeners.push(f), off: () => listeners.splice(0),
    send: async (m) => {
      if (m.op === "thumb") return listeners.forEach((f) => f({ number: m.number, answer: { url: `thumb/${m.args.row}?t=${token}` } }));
      const answer = await (await fetch("ask", { method: "POST", headers, body: JSON.stringify({ op: m.op, args: m.args }) })).json();
      listeners.forEach((f) => f({ number: m.number, answer }));
    },
  };
  const el = document.createElement("div");
  document.body.replaceChildren(el);
  window.cleanup = widget.render({ model, el });
  window.left = () => listeners.length;
})()
"""


def test_the_widget_is_the_same_page_over_messages(browser, cleaner):
    browser.run(BRIDGE)
    browser.wait("document.querySelectorAll('.burnish-cleaner figure').length === 12")
    browser.run("document.querySelector('figure').focus()")
    browser.press("d", "d")
    browser.wait("document.querySelector('.counts').textContent.includes('2 to delete')")
    assert len(cleaner.delete()) == 2
    browser.wait("[...document.images].filter((i) => i.naturalWidth > 20).length >= 6")
    browser.run("(() => { window.seen = []; document.addEventListener('keydown', (e) => window.seen.push(e.key)); })()")
    browser.press("x", "m", "d")  # a notebook's keys, to cut a cell for instance
    assert browser.run("window.seen.join()") == "" and browser.run("!!document.querySelector('[data-lm-suppress-shortcuts] figure')")
    browser.run("window.cleanup()")
    assert browser.run("window.left()") == 0


def test_the_widget_answers_messages(cleaner, monkeypatch):
    pytest.importorskip("anywidget")
    widget, sent = cleaner.widget(), []
    assert cleaner.widget() is widget
    monkeypatch.setattr(type(widget), "send", lambda self, content, buffers=None: sent.append(content))
    for message in ({"number": "a-1", "op": "start", "args": {}}, {"number": "a-2", "op": "thumb", "args": {"row": 0}}, {"number": "a-3", "op": "no", "args": {}},
                    {"number": "a-4", "op": "thumb", "args": {"row": 10**6}}, {"number": "a-5", "op": "choose", "args": {"row": 0, "do": "delete"}}, "?"):  # fmt: skip
        widget._handle_custom_msg(message, [])
    assert [m["number"] for m in sent] == ["a-1", "a-2", "a-3", "a-4", "a-5"]
    start, thumb, wrong, none, choice = (m["answer"] for m in sent)
    assert start["labels"] == list(cleaner.labels) and thumb["url"].startswith("data:image/jpeg;base64,/9j/")
    assert "no operation" in wrong["error"] and none["url"] is None and choice["deleted"] == 1 and cleaner.delete() == [0]
    json.dumps(sent)  # what a notebook's messages take


NOTEBOOK = """
from burnish.vision.all import *
dls = ImageDataLoaders.from_folder({folder!r}, valid_pct=0.25, seed=1, bs=9, item_tfms=Resize(64))
cleaner = ImageClassifierCleaner(vision_learner(dls, "tf_efficientnet_lite0", weights="offline", seed=1))
cleaner
"""


@pytest.mark.slow
def test_a_notebook_shows_it(photos, tmp_path):
    pytest.importorskip("anywidget")
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(NOTEBOOK.format(folder=str(photos)))])
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [o["data"] for o in notebook.cells[0]["outputs"] if o["output_type"] == "execute_result"]
    model = shown[0]["application/vnd.jupyter.widget-view+json"]["model_id"]
    state = notebook.metadata["widgets"]["application/vnd.jupyter.widget-state+json"]["state"][model]
    assert state["model_module"] == "anywidget" and "Cleaner" in state["state"]["_esm"] and ".burnish-cleaner" in state["state"]["_css"]


def test_without_anywidget_it_says_what_to_do(cleaner, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "anywidget", None)
    shown = cleaner._repr_mimebundle_()
    assert 'pip install "burnish[notebook]"' in shown["text/plain"] and "cleaner.open()" in shown["text/plain"]


def test_the_page_is_part_of_the_package():
    import tomllib

    root = Path(__file__).resolve().parents[2]
    data = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["burnish"]
    assert "vision/cleaner_page/*" in data and len(list((root / "burnish/vision/cleaner_page").iterdir())) == 3
