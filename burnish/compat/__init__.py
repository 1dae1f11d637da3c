"""Code written for fastai, run on burnish as it stands.

    import burnish.compat
    burnish.compat.install()          # from here on `import fastai...`, `fastcore...`, `fastdownload...` give burnish

In a notebook ``%load_ext burnish.compat`` does the same. ``python -m burnish.compat SCRIPT.py [arguments]`` runs a script that way, and
``python -m burnish.compat NOTEBOOK.ipynb [--execute-to OUT.ipynb] [--allow-errors]`` a notebook, cell by cell, and writes it with its outputs.
``burnish.compat.uninstall()`` takes everything back. docs/from-fastai.md says what is the same, what is better and what is different.
"""

from __future__ import annotations

from typing import Any

from burnish.compat import finder, patched, shell

__all__ = ["install", "load_ipython_extension", "uninstall", "unload_ipython_extension"]


def install() -> None:
    """Has ``import fastai``, ``fastcore``, ``fasttransform``, ``fastdownload``, ``fastprogress`` and ``fastbook`` give burnish, also where those
    packages are installed, and adds to other people's classes what such code expects there (the list is in burnish/compat/patched.py).

    Raises:
        RuntimeError: one of these packages has been imported already.
    """
    finder.install()
    patched.install()


def uninstall() -> None:
    """Takes back what `install` did. Names that were imported in between stay as they are."""
    patched.uninstall()
    finder.uninstall()


def load_ipython_extension(ipython: Any) -> None:
    """``%load_ext burnish.compat`` in a notebook. From here on ``!pip install fastai ...`` leaves out what burnish stands in the place of."""
    install()
    shell.prepare(ipython)


def unload_ipython_extension(ipython: Any) -> None:
    """``%unload_ext burnish.compat``."""
    shell.restore(ipython)
    uninstall()
