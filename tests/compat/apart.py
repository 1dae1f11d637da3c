"""Code that is run apart from the tests' own process: what `burnish.compat.install` changes would stay with all tests after it.

One Python is started a test process; it imports what is slow to import, and each piece of code runs in a copy (a fork) of it, which ends with the
code. Nothing of `burnish.compat` is imported in it before the code itself does so.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import traceback
from functools import cache
from pathlib import Path

SLOW = (
    "torch",
    "torch._dynamo",
    "torchvision",
    "timm",
    "matplotlib.pyplot",
    "burnish.vision.all",
    "burnish.tabular.all",
    "burnish.collab.all",
)


def run(code: str, *, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Runs `code` as a program of its own, in this process's folder and environment; with `check` it must end well."""
    server = _server()
    assert server.stdin and server.stdout
    server.stdin.write(json.dumps({"code": code, "folder": os.getcwd(), "environment": dict(os.environ)}) + "\n")
    server.stdin.flush()
    done = subprocess.CompletedProcess([sys.executable, "-c", code], **json.loads(server.stdout.readline()))
    assert not check or done.returncode == 0, done.stderr
    return done


@cache
def _server() -> subprocess.Popen[str]:
    server = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(server.communicate)  # its standard input is closed, and so it ends
    return server


def _serve() -> None:
    import importlib

    sys.path[0] = ""  # as with `python -c`
    for name in SLOW:
        importlib.import_module(name)
    assert not [m for m in sys.modules if m.startswith("burnish.compat")]
    for line in sys.stdin:
        print(json.dumps(_forked(**json.loads(line))), flush=True)


def _forked(code: str, folder: str, environment: dict[str, str]) -> dict[str, int | str]:
    """The exit status of `code` in a fork of this process, and what it wrote."""
    with tempfile.TemporaryDirectory() as scratch:
        files = [Path(scratch) / name for name in ("stdout", "stderr")]
        child = os.fork()
        if child == 0:
            status = 1
            with contextlib.suppress(BaseException):
                status = _run_here(code, folder, environment, files)
            os._exit(status)
        _, status = os.waitpid(child, 0)
        out, err = (f.read_text() if f.exists() else "" for f in files)
        return {"returncode": os.waitstatus_to_exitcode(status), "stdout": out, "stderr": err}


def _run_here(code: str, folder: str, environment: dict[str, str], files: list[Path]) -> int:
    """Runs `code` as ``__main__`` of this process, whose standard streams are files; the exit status."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, file in enumerate(files, 1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    main = type(sys)("__main__")
    sys.modules["__main__"] = main
    status = 0
    try:
        exec(compile(code, "<string>", "exec"), vars(main))
    except SystemExit as e:
        status = e.code if isinstance(e.code, int) else int(e.code is not None)
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return status


if __name__ == "__main__":
    _serve()
