"""Names for work with pictures that only code for fastai uses."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from PIL import Image

from burnish.data.collections import L
from burnish.data.notes import note
from burnish.errors import DataError, OfflineError
from burnish.vision import download, files, search
from burnish.vision.image import open_image

__all__ = [
    "download_images",
    "resize_image",
    "resize_images",
    "resize_to",
    "search_images_bing",
    "search_images_ddg",
    "search_images_serpapi",
]


def search_images_ddg(term: str, max_images: int = 200) -> L[str]:
    """The addresses of pictures that a search finds."""
    return L(list(search.search_images(term, max_images)))


def search_images_bing(term: str, key: str | None = None, max_images: int = 150) -> L[dict[str, str]]:
    """What a search finds, as Bing's results look: ``.attrgot('contentUrl')``. No key is needed: the search is burnish's."""
    _ = key
    return L([{"contentUrl": str(found)} for found in search.search_images(term, max_images)])


def search_images_serpapi(term: str, engine: str = "bing_images", key: str | None = None, max_images: int = 150) -> L[str]:
    """The addresses of pictures that a search finds. No key is needed: the search is burnish's."""
    _ = engine, key
    return search_images_ddg(term, max_images)


def download_images(
    dest: str | os.PathLike[str], url_file: str | os.PathLike[str] | None = None, urls: Iterable[Any] | None = None, max_pics: int = 1000,
    n_workers: int = 8, timeout: float = 4, preserve_filename: bool = False,
) -> None:  # fmt: skip
    """Downloads into a folder, and keeps whatever comes, so that ``verify_images(...).map(Path.unlink)`` has something to find.

    What failed is told in a note, and is in ``downloads.csv`` in the folder, with the source and licence of each picture.
    """
    try:
        download.download_images(dest, url_file, urls, max_pics, n_workers, timeout, preserve_filename, retries=1, only_pictures=False)
    except (OfflineError, DataError) as error:  # such code goes on with what is there
        note(str(error))


def resize_to(img: Image.Image, targ_sz: int, use_min: bool = False) -> tuple[int, int]:
    """The (width, height) in the picture's proportions whose longer (shorter) side is `targ_sz`."""
    w, h = img.size
    ratio = targ_sz / (min(w, h) if use_min else max(w, h))
    return int(w * ratio), int(h * ratio)


def resize_images(
    path: Any, max_workers: int | None = None, max_size: int | None = None, recurse: bool = False, dest: Any = Path("."), n_channels: int = 3, ext: str | None = None,
    img_format: str | None = None, resample: Any = Image.Resampling.BILINEAR, resume: bool | None = None, **kwargs: Any,
) -> Any:  # fmt: skip
    """Makes the pictures of a folder smaller, into `dest`; keywords such as ``quality`` go to the writing."""
    _ = n_channels, img_format
    name = {v: k for k, v in files.RESAMPLING.items()}.get(resample, "bilinear") if not isinstance(resample, str) else resample
    return files.resize_images(path, max_workers, max_size, recurse, dest, ext=ext, resample=name, resume=resume is not False, **kwargs)


def resize_image(
    file: Any,
    dest: Any,
    src: Any = ".",
    max_size: int | None = None,
    n_channels: int = 3,
    ext: str | None = None,
    resume: bool = False,
) -> None:
    """Makes one picture smaller: ``src/file`` to ``dest/file``."""
    import shutil

    _ = n_channels
    source, target = Path(src) / file, Path(dest) / file
    target = target.with_suffix(ext) if ext else target
    if resume and target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    image = open_image(os.fspath(source))
    if max_size is None or max(image.size) <= max_size:
        shutil.copy2(source, target)
    else:
        image.resize(resize_to(image, max_size)).save(target)
