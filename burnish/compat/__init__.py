"""Code written for fastai, run on burnish as it stands.

    import burnish.compat
    burnish.compat.install()          # from here on `import fastai...`, `fastcore...`, `fastdownload...` give burnish

In a notebook ``%load_ext burnish.compat`` does the same; ``python -m burnish.compat SCRIPT_OR_NOTEBOOK`` runs a file that way.
``burnish.compat.uninstall()`` takes everything back. docs/from-fastai.md says what is the same, what is better and what is different.
"""

from __future__ import annotations

from typing import Any

from burnish.compat import finder, patched

__all__ = ["install", "load_ipython_extension", "uninstall", "unload_ipython_extension"]


def install() -> None:
    """Has ``import fastai``, ``fastcore``, ``fasttransform``, ``fastdownload`` and ``fastprogress`` give burnish, also where those packages are
    installed, and adds to other people's classes what such code expects there (the list is in burnish/compat/patched.py).

    Raises:
        RuntimeError: one of these packages has been imported already.
    """
    finder.install()
    patched.install()


def uninstall() -> None:
    """Takes back what `install` did. Names that were imported in between stay as they are."""
    patched.uninstall()
    finder.uninstall()


def load_ipython_extension(shell: Any) -> None:
    """``%load_ext burnish.compat`` in a notebook."""
    install()


def unload_ipython_extension(shell: Any) -> None:
    """``%unload_ext burnish.compat``."""
    uninstall()
