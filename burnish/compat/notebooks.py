"""Running a notebook from the command line: cell by cell in a Jupyter kernel of this Python, with fastai's names giving burnish's."""

from __future__ import annotations

import contextlib
import copy
import os
import platform
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from burnish.data.download import write_whole

INSTALL = 'pip install "burnish[notebook]" (in a clone of burnish: pip install ".[notebook]")'
_STARTUP = 600  # seconds for the kernel to come up, on a busy machine; cells have no limit
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_BAR = re.compile(r"<(IPython\.core\.display\.)?HTML object>")


class _Stopped(NamedTuple):
    """Where and why a notebook stopped."""

    cell: int  # among the cells with code, from 1
    source: str
    why: str


def run_notebook(file: str | os.PathLike[str], execute_to: str | os.PathLike[str] | None = None, allow_errors: bool = False) -> int:
    """Runs the cells of a notebook one by one, in its folder, and prints which one it is at and what they print.

    It stops at the first cell that fails, and says its number, source and traceback; cells with the tag ``raises-exception`` may fail.
    There is no limit of time. Needs the packages nbclient and ipykernel.

    Args:
        file: the notebook. execute_to: where to write it with its outputs (tables, pictures, texts, errors), after each cell, so that
            nothing is lost when it stops in between.
        allow_errors: go on behind cells that fail.

    Returns:
        0, or 1 when a cell failed (also with `allow_errors`).
    """
    missing = _missing()
    if missing:
        print(f"Notebooks are run with the packages nbclient and ipykernel; missing: {missing}. Install them: {INSTALL}.", file=sys.stderr)
        return 2
    path = Path(file)
    notebook = _read(path)
    if notebook is None:
        return 2
    target = None if execute_to is None else Path(execute_to)
    run = _Run(notebook, path, target, allow_errors)
    stopped = run.through()
    if target is not None:
        print(f"burnish: the executed notebook is {target}.", file=sys.stderr)
    return 1 if stopped or run.failed else 0


def _missing() -> str:
    absent = []
    for name in ("nbclient", "ipykernel"):
        try:
            __import__(name)
        except ImportError:
            absent.append(name)
    return " and ".join(absent)


def _read(path: Path) -> Any:
    """A notebook in today's format, without old outputs; None, when it can't be read, which is said."""
    import nbformat

    try:
        notebook = nbformat.read(path, as_version=4)
    except (nbformat.reader.NotJSONError, nbformat.ValidationError, ValueError, KeyError, AttributeError) as error:
        print(f"{path} can't be read as a Jupyter notebook: {str(error).splitlines()[0] if str(error) else error!r}", file=sys.stderr)
        return None
    language = notebook.metadata.get("kernelspec", {}).get("language") or notebook.metadata.get("language_info", {}).get("name") or "python"
    if language.lower() not in ("python", "ipython", "python3"):
        print(f"{path} is a notebook for {language}; one for Python was expected.", file=sys.stderr)
        return None
    for cell in _code(notebook):
        cell.outputs, cell.execution_count = [], None
    return notebook


def _code(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


class _Run:
    """One run of a notebook, and what it tells meanwhile."""

    def __init__(self, notebook: Any, path: Path, target: Path | None, allow_errors: bool) -> None:
        self.notebook, self.path, self.target, self.allow_errors = notebook, path, target, allow_errors
        self.number = {id(cell): n for n, cell in enumerate(_code(notebook), 1)}
        self.failed: list[int] = []
        self.colour = sys.stdout.isatty()

    def through(self) -> _Stopped | None:
        """Runs all cells; where it stopped before the end, which is printed too."""
        self.notebook.metadata["kernelspec"] = {
            "name": "python3",
            "display_name": "Python 3",
            "language": "python",
        }  # not another machine's
        self.notebook.metadata["language_info"] = {
            "name": "python", "version": platform.python_version(), "file_extension": ".py", "mimetype": "text/x-python", "pygments_lexer": "ipython3",
        }  # fmt: skip
        try:
            stopped = self._executed()
        except KeyboardInterrupt:
            print("burnish: interrupted before the first cell.", file=sys.stderr)
            return _Stopped(0, "", "Interrupted.")
        if stopped is not None:
            print(f"\nburnish: stopped at code cell {stopped.cell} of {len(self.number)} in {self.path}:\n", file=sys.stderr)
            print("\n".join(f"    {line}" for line in stopped.source.splitlines()), file=sys.stderr)
            print(f"\n{stopped.why if self.colour else _ANSI.sub('', stopped.why)}", file=sys.stderr)
        return stopped

    def _executed(self) -> _Stopped | None:
        from nbclient.exceptions import CellExecutionError, DeadKernelError

        client = _client(self)
        with _kernel(client):
            for index, cell in enumerate(self.notebook.cells):
                if cell.cell_type != "code":
                    continue
                self._say(cell)
                begun, why = time.perf_counter(), ""
                try:
                    client.execute_cell(cell, index)
                except CellExecutionError as error:
                    why = _traceback(cell) or str(error)
                except DeadKernelError:
                    why = (
                        "The process that ran it ended by itself. Is there too little memory? Smaller batches (bs=) or pictures need less."
                    )
                except KeyboardInterrupt:
                    why = "Interrupted."
                if why:
                    self.failed.append(self.number[id(cell)])
                self._tell(cell, time.perf_counter() - begun)
                client.set_widgets_metadata()
                self.write()
                if why:
                    return _Stopped(self.number[id(cell)], cell.source, why)
        return None

    def _say(self, cell: Any) -> None:
        lines = [line for line in cell.source.splitlines() if line.strip()]
        first = next((line for line in lines if not line.startswith("#")), lines[0] if lines else "(empty)")
        print(f"burnish: code cell {self.number[id(cell)]} of {len(self.number)}: {first.strip()[:80]}", file=sys.stderr, flush=True)

    def _tell(self, cell: Any, seconds: float) -> None:
        """Prints what a cell displayed, and notes whether it failed; streams have been printed as they came."""
        for output in cell.outputs:
            if _is_empty(output):
                continue
            if output.output_type in ("display_data", "execute_result") and (text := output.data.get("text/plain")):
                self.out(text if not _BAR.fullmatch(text.strip()) else _text_of_html(output.data.get("text/html", "")))
            elif output.output_type == "error" and self.number[id(cell)] not in self.failed:
                expected = "raises-exception" in cell.metadata.get("tags", [])
                if self.allow_errors and not expected:
                    self.failed.append(self.number[id(cell)])
                    print("\n".join(output.traceback) if self.colour else _ANSI.sub("", "\n".join(output.traceback)), file=sys.stderr)
                else:
                    self.out(f"{output.ename}: {output.evalue}")
        if seconds > 10:
            print(f"burnish: ({seconds:,.0f} s)", file=sys.stderr, flush=True)

    def out(self, text: str, end: str = "\n", error: bool = False) -> None:
        print(text if self.colour else _ANSI.sub("", text), end=end, flush=True, file=sys.stderr if error else sys.stdout)

    def write(self) -> None:
        if self.target is not None:
            import nbformat

            written = copy.deepcopy(self.notebook)
            for cell in _code(written):
                cell.outputs = [output for output in cell.outputs if not _is_empty(output)]
            self.target.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self.target, nbformat.writes(written).encode("utf-8"))


def _traceback(cell: Any) -> str:
    found = [o for o in cell.outputs if o.output_type == "error"]
    return "\n".join(found[-1].traceback) if found else ""


def _is_empty(output: Any) -> bool:
    """Whether it is a bar that has gone."""
    return output.output_type == "display_data" and output.data.get("text/html") == ""


def _text_of_html(html: str) -> str:
    import html as escapes

    rows = re.sub(r"</(tr|div|p|caption|li|h\d)>", "\n", re.sub(r"\n", " ", html))
    text = escapes.unescape(re.sub(r"<[^>]*>", "", re.sub(r"</t[dh]>", "  ", rows)))
    return "\n".join(line.rstrip() for line in text.splitlines() if line.strip())


@contextlib.contextmanager
def _kernel(client: Any) -> Iterator[None]:
    """Has a kernel while the block runs, and none afterwards, also where it was interrupted while coming up."""
    from jupyter_core.utils import run_sync

    try:
        with client.setup_kernel():
            yield
    finally:
        if client.km is not None:
            run_sync(client.km.shutdown_kernel)(now=True)


def _client(run: _Run) -> Any:
    """A client whose kernel runs this Python, with the names of fastai in place before the first cell."""
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient

    class _OwnPython(KernelSpecManager):
        def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
            options = ["extensions=burnish.compat", "reraise_ipython_extension_failures=True", "log_level=50"]
            return KernelSpec(
                argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", *(f"--IPKernelApp.{o}" for o in options)],
                env=_environment(),
            )

    class _Client(NotebookClient):
        def create_kernel_manager(self) -> Any:
            self.km = AsyncKernelManager(kernel_spec_manager=_OwnPython(), kernel_name="python3")
            return self.km

        def output(self, outs: list[Any], msg: Any, display_id: str, cell_index: int) -> Any:
            if msg["msg_type"] == "stream":
                run.out(msg["content"]["text"], end="", error=msg["content"]["name"] == "stderr")
            return super().output(outs, msg, display_id, cell_index)

    folder = {"metadata": {"path": str(run.path.resolve().parent)}}
    return _Client(run.notebook, timeout=None, startup_timeout=_STARTUP, allow_errors=run.allow_errors, resources=folder)


def _environment() -> dict[str, str]:
    """The same burnish for the kernel, also where it isn't installed."""
    here = str(Path(__file__).resolve().parents[2])
    return {"PYTHONPATH": os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])}
