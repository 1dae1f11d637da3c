"""More of fastcore, and generators' states."""

from __future__ import annotations

import http.server
import os
import random
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from PIL import Image

from burnish.compat import fastcore_more as fc
from burnish.compat.torch_tools import get_random_states, no_random, notmax_torch, set_random_states


def test_searching():
    assert fc.argwhere([1, 5, 2], lambda o: o > 1) == [1, 2] and fc.argwhere([1, 5], lambda o: o > 1, negate=True) == [0]
    assert (
        fc.first_match("abcb", lambda o: o == "b") == 1
        and fc.last_match("abcb", lambda o: o == "b") == 3
        and fc.first_match("a", fc.ret_false) is None
    )
    assert fc.partition_dict({"a": 1, "b": 2}, lambda k, v: v > 1) == ({"b": 2}, {"a": 1}) and not fc.negate(fc.ret_true)()
    assert fc.getattrs(1j, "real", "imag", "none") == [0, 1, None] and fc.try_attrs(1j, "nope", "imag") == 1
    assert list(fc.gen(lambda x: x * 2, range(9), lambda o: o < 5)) == [0, 2, 4] and sorted(fc.shufflish(range(9))) == list(range(9))
    assert fc.true(np.zeros(2)) and not fc.true(0) and list(fc.mapped(str, [1])) == ["1"] and fc.mapped(str, 1) == "1"
    d = {}
    assert fc.nested_setdefault(d, "a.b", 3) == 3 and d == {"a": {"b": 3}}


def test_texts_and_classes():
    assert fc.camel2words("AbcDef") == "Abc Def" and fc.truncstr("abcdef", 4) == "abc…" and fc.stringfmt_names("{a}-{b:.2f}") == ["a", "b"]
    assert fc.str2int("on") == 1 and fc.str2float("") == 0 and fc.str2list("a, b") == ["a", "b"] and fc.str2list("[1]") == [1]
    Colour = fc.str_enum("Colour", "red", "blue")
    assert Colour.red == "red" and str(Colour.blue) == "blue" and fc.coll_repr(range(3), 2) == "(#3) [0,1...]"
    kept = fc.SaveReturn((lambda: (yield 1))())
    assert list(kept) == [1] and fc.exec_new("a = 1")["a"] == 1 and fc.exec_eval("b = 2\nb + 1") == 3
    with fc.ignore_exceptions():
        raise ValueError
    assert fc.Str("a") == "a" and ".png" in fc.image_extensions


def test_the_machine(tmp_path, monkeypatch):
    assert fc.run([sys.executable, "-c", "print(3)"]) == "3" and fc.run([sys.executable, "-c", "exit(2)"], ignore_ex=True)[0] == 2
    with pytest.raises(OSError, match="bad"):
        fc.run([sys.executable, "-c", "import sys; sys.exit('bad')"])
    monkeypatch.setenv("GOES", "1")
    with fc.modified_env("GOES", COMES="2"):
        assert "GOES" not in os.environ and os.environ["COMES"] == "2"
    assert os.environ["GOES"] == "1" and "COMES" not in os.environ
    Image.new("RGB", (5, 3)).save(tmp_path / "a.png")
    assert fc.image_size(tmp_path / "a.png") == (5, 3)


def test_a_function_as_a_command(tmp_path):
    script = tmp_path / "s.py"
    script.write_text(
        "from burnish.compat.fastcore_more import *\n@call_parse\ndef main(a: int, b: str = 'x', c: store_true = False):\n    print(a + 1, b, c)\n"
    )
    done = subprocess.run([sys.executable, str(script), "2", "--b", "y", "--c"], capture_output=True, text=True)
    assert done.stdout == "3 y True\n", done.stderr
    assert fc.call_parse(len) is len


def test_the_web(tmp_path):
    (tmp_path / "a b.json").write_text('{"x": 1}')

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(tmp_path))

        def log_message(self, *args): ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/a b.json"
        assert fc.urljson(url) == {"x": 1} and fc.urlread(url, decode=False) == b'{"x": 1}'
        assert fc.urlsave(url, tmp_path / "out" / "b.json").read_text() == '{"x": 1}'
    finally:
        server.shutdown()
        server.server_close()


def test_states_of_the_generators():
    kept = get_random_states()
    drawn = random.random(), np.random.rand(), torch.rand(1)
    set_random_states(**kept)
    assert (random.random(), np.random.rand(), torch.rand(1)) == drawn
    set_random_states(**kept)
    with no_random():
        torch.rand(3)
    assert random.random() == drawn[0] and not notmax_torch("1.9") and notmax_torch("99.0.0")
