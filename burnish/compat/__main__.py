"""``python -m burnish.compat SCRIPT_OR_NOTEBOOK``: runs a file written for fastai on burnish, as it stands."""

from __future__ import annotations

import argparse
import importlib.machinery
import io
import os
import sys
import types
from collections.abc import Sequence
from pathlib import Path

_USAGE = (
    "python -m burnish.compat [options] SCRIPT.py [arguments of the script ...]\n       python -m burnish.compat NOTEBOOK.ipynb [options]"
)
_ABOUT = "Runs a script or a notebook that was written for fastai on burnish, as it stands: its imports of fastai give burnish."


def main(argv: Sequence[str] | None = None) -> int:
    """Runs what the command line names; gives the exit code: 0, 1 when it failed, 2 when it can't be run."""
    given = list(sys.argv[1:] if argv is None else argv)
    parser = _parser(notebook=False)
    options = parser.parse_args(given)
    path = Path(options.file)
    if not path.is_file():
        parser.error(f"{options.file}: {'that is a folder' if path.is_dir() else 'no such file'}; a script or a notebook was expected.")
    if path.suffix.lower() == ".ipynb":
        from burnish.compat.notebooks import run_notebook

        options = _parser(notebook=True).parse_args(given)
        return run_notebook(path, options.execute_to, allow_errors=options.allow_errors)
    if options.execute_to or options.allow_errors:
        parser.error(f"--execute-to and --allow-errors are for notebooks (.ipynb), and {options.file} is run as a script.")
    return run_script(options.file, options.arguments)


def _parser(notebook: bool) -> argparse.ArgumentParser:
    """What is behind a script are its arguments; behind a notebook may be options."""
    parser = argparse.ArgumentParser("python -m burnish.compat", usage=_USAGE, description=_ABOUT, allow_abbrev=False)
    parser.add_argument(
        "--execute-to", type=Path, metavar="OUT.ipynb", help="write the notebook there with what its cells gave, also when one fails"
    )
    parser.add_argument("--allow-errors", action="store_true", help="go on behind a cell that fails")
    parser.add_argument("file", help="a Python script, or a Jupyter notebook (.ipynb)")
    if not notebook:
        parser.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


def run_script(file: str | os.PathLike[str], arguments: Sequence[str] = ()) -> int:
    """Runs a script as ``python SCRIPT arguments`` does, with fastai's names giving burnish's.

    Returns:
        1 when an exception ended it, whose traceback is printed; else 0. What it gives to ``sys.exit`` is raised as SystemExit.
    """
    from burnish.compat import install

    name = os.fspath(file)
    install()
    sys.argv = [name, *arguments]
    sys.path[0] = str(Path(name).resolve().parent)
    module = types.ModuleType("__main__")
    vars(module).update(
        __file__=name,
        __builtins__=__builtins__,
        __spec__=None,
        __cached__=None,
        __loader__=importlib.machinery.SourceFileLoader("__main__", name),
    )
    sys.modules["__main__"] = module
    try:
        with io.open_code(os.path.abspath(name)) as source:
            code = compile(source.read(), name, "exec", dont_inherit=True)
        exec(code, vars(module))
    except Exception as error:
        beyond = error.__traceback__.tb_next if error.__traceback__ else None  # without this function
        sys.excepthook(type(error), error.with_traceback(beyond), beyond)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
