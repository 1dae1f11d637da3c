"""Where fastai keeps data sets and models, so that what lies there is found, and `untar_data` as it is called there."""

from __future__ import annotations

import configparser
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from burnish.compat.containers import AttrDict
from burnish.data import sets
from burnish.data.collections import L
from burnish.data.download import download_url

__all__ = ["URLs", "download_url", "fastai_cfg", "fastai_path", "nb_urls", "prefetch_data", "untar_data"]


def _home() -> Path | None:
    """fastai's folder, where there is one."""
    given = os.environ.get("FASTAI_HOME")
    folder = Path(given or "~/.fastai").expanduser()
    return folder if given or (folder / "config.ini").is_file() else None


def fastai_cfg() -> AttrDict:
    """The folders of fastai's configuration: data, archive, storage, model ..."""
    cfg = {"data": "data", "archive": "archive", "storage": "tmp", "model": "models"}
    home = _home()
    if home is not None and (file := home / "config.ini").is_file():
        reader = configparser.ConfigParser()
        reader.read(file)
        for section in ("DEFAULT", *reader.sections()):
            cfg.update(reader[section])
    return AttrDict(cfg)


def fastai_path(folder: str) -> Path:
    """One of these folders."""
    home = _home() or sets._base()
    return (home / fastai_cfg().get(folder, folder)).expanduser()


class URLs(sets.URLs):
    """The public sample sets by their familiar names."""

    @staticmethod
    def path(url: str = ".", c_key: str = "archive") -> Path:
        """Where a set's archive (or with ``c_key="data"`` its folder) is: in ./data where it is there, else in the usual place."""
        name = url.split("/")[-1]
        local = Path("data") / name
        return local.absolute() if local.exists() else fastai_path(c_key) / name


def untar_data(
    url: str, archive: Any = None, data: Any = None, c_key: str = "data", force_download: bool = False, base: Any = None
) -> Path:
    """The folder of a data set, downloaded and unpacked where it isn't there already; what fastai has put into its folders is found.

    Args:
        archive, data: the folders of archives and of unpacked sets. c_key: "data" or "model". base: the folder both lie in.
    """
    home = Path(base).expanduser() if base is not None else _home()
    if home is None:
        return sets.untar_data(url, archive, data, force_download)
    cfg = fastai_cfg()
    return sets.untar_data(url, archive or home / cfg["archive"], data or home / cfg.get(c_key, c_key), force_download)


def nb_urls(cells: Iterable[Any]) -> L[str]:
    """The names of `URLs` that the code of a notebook's cells speaks of, in alphabetical order."""

    def part(cell: Any, name: str) -> str:
        return str(cell[name] if isinstance(cell, dict) else getattr(cell, name))

    code = "\n".join(part(cell, "source") for cell in cells if part(cell, "cell_type") == "code")
    return L(sorted({name for name in re.findall(r"\bURLs\.([A-Z][A-Z0-9_]*)", code) if hasattr(URLs, name)}))


def prefetch_data(cells: Iterable[Any]) -> None:
    """Downloads the data sets that the code of a notebook's cells speaks of."""
    for name in nb_urls(cells):
        untar_data(getattr(URLs, name))
