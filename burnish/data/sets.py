"""The public sample sets: ``untar_data(URLs.PETS)`` gives the folder of a data set, downloaded and unpacked at the first call."""

from __future__ import annotations

import json
import os
import shutil
from datetime import date
from pathlib import Path
from typing import Any

from burnish.data.archives import unpack
from burnish.data.download import checked_digest, digest_of, download_url, file_name, workplace, write_whole
from burnish.data.notes import note
from burnish.data.web import FetchError, checked_url
from burnish.errors import DataError, OfflineError, hinting

FOLDER_VARIABLE, MIRROR_VARIABLE = "BURNISH_DATA", "BURNISH_MIRROR"
_ENDINGS = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar", ".zip")
_S3 = "https://s3.amazonaws.com/fast-ai-"


class SampleSet(str):
    """The address of a data set's archive, with its SHA-256 where that is known (`sha256`)."""

    sha256: str | None

    def __new__(cls, url: str, sha256: str | None = None) -> SampleSet:
        made = super().__new__(cls, url)
        made.sha256 = checked_digest(sha256)
        return made


class URLs:
    """The public sample sets of fast.ai and others, by their familiar names: ``untar_data(URLs.PETS)``."""

    ADULT_SAMPLE = SampleSet(f"{_S3}sample/adult_sample.tgz")
    AG_NEWS = SampleSet(f"{_S3}nlp/ag_news_csv.tgz")
    AMAZON_REVIEWS = SampleSet(f"{_S3}nlp/amazon_review_full_csv.tgz")
    AMAZON_REVIEWS_POLARITY = SampleSet(f"{_S3}nlp/amazon_review_polarity_csv.tgz")
    BIWI_HEAD_POSE = SampleSet(f"{_S3}imagelocal/biwi_head_pose.tgz")
    BIWI_SAMPLE = SampleSet(f"{_S3}sample/biwi_sample.tgz")
    CALTECH_101 = SampleSet(f"{_S3}imageclas/caltech_101.tgz")
    CAMVID = SampleSet(f"{_S3}imagelocal/camvid.tgz")
    CAMVID_TINY = SampleSet(f"{_S3}sample/camvid_tiny.tgz")
    CARS = SampleSet(f"{_S3}imageclas/stanford-cars.tgz")
    CIFAR = SampleSet(f"{_S3}sample/cifar10.tgz")
    CIFAR_100 = SampleSet(f"{_S3}imageclas/cifar100.tgz")
    COCO_SAMPLE = SampleSet(f"{_S3}coco/coco_sample.tgz")
    COCO_TINY = SampleSet(f"{_S3}coco/coco_tiny.tgz")
    CUB_200_2011 = SampleSet(f"{_S3}imageclas/CUB_200_2011.tgz")
    DBPEDIA = SampleSet(f"{_S3}nlp/dbpedia_csv.tgz")
    DOGS = SampleSet(f"{_S3}sample/dogscats.tgz")
    FLOWERS = SampleSet(f"{_S3}imageclas/oxford-102-flowers.tgz")
    FOOD = SampleSet(f"{_S3}imageclas/food-101.tgz")
    HUMAN_NUMBERS = SampleSet(f"{_S3}sample/human_numbers.tgz")
    IMAGENETTE = SampleSet(f"{_S3}imageclas/imagenette2.tgz")
    IMAGENETTE_160 = SampleSet(f"{_S3}imageclas/imagenette2-160.tgz")
    IMAGENETTE_320 = SampleSet(f"{_S3}imageclas/imagenette2-320.tgz")
    IMAGEWANG = SampleSet(f"{_S3}imageclas/imagewang.tgz")
    IMAGEWANG_160 = SampleSet(f"{_S3}imageclas/imagewang-160.tgz")
    IMAGEWANG_320 = SampleSet(f"{_S3}imageclas/imagewang-320.tgz")
    IMAGEWOOF = SampleSet(f"{_S3}imageclas/imagewoof2.tgz")
    IMAGEWOOF_160 = SampleSet(f"{_S3}imageclas/imagewoof2-160.tgz")
    IMAGEWOOF_320 = SampleSet(f"{_S3}imageclas/imagewoof2-320.tgz")
    IMDB = SampleSet(f"{_S3}nlp/imdb.tgz")
    IMDB_SAMPLE = SampleSet(f"{_S3}sample/imdb_sample.tgz")
    LSUN_BEDROOMS = SampleSet(f"{_S3}imageclas/bedroom.tgz")
    MACAQUES = SampleSet("https://storage.googleapis.com/ml-animal-sounds-datasets/macaques.zip")
    ML_100k = SampleSet("https://files.grouplens.org/datasets/movielens/ml-100k.zip")
    ML_SAMPLE = SampleSet(f"{_S3}sample/movie_lens_sample.tgz")
    MNIST = SampleSet(f"{_S3}imageclas/mnist_png.tgz")
    MNIST_SAMPLE = SampleSet(f"{_S3}sample/mnist_sample.tgz")
    MNIST_TINY = SampleSet(f"{_S3}sample/mnist_tiny.tgz")
    MNIST_VAR_SIZE_TINY = SampleSet(f"{_S3}imageclas/mnist_var_size_tiny.tgz")
    MT_ENG_FRA = SampleSet(f"{_S3}nlp/giga-fren.tgz")
    PASCAL_2007 = SampleSet(f"{_S3}imagelocal/pascal_2007.tgz")
    PASCAL_2012 = SampleSet(f"{_S3}imagelocal/pascal_2012.tgz")
    PETS = SampleSet(f"{_S3}imageclas/oxford-iiit-pet.tgz")
    PLANET_SAMPLE = SampleSet(f"{_S3}sample/planet_sample.tgz")
    PLANET_TINY = SampleSet(f"{_S3}sample/planet_tiny.tgz")
    SIIM_SMALL = SampleSet(f"{_S3}imagelocal/siim_small.tgz")
    SOGOU_NEWS = SampleSet(f"{_S3}nlp/sogou_news_csv.tgz")
    TCGA_SMALL = SampleSet(f"{_S3}imagelocal/tcga_small.tgz")
    WIKITEXT = SampleSet(f"{_S3}nlp/wikitext-103.tgz")
    WIKITEXT_TINY = SampleSet(f"{_S3}nlp/wikitext-2.tgz")
    YAHOO_ANSWERS = SampleSet(f"{_S3}nlp/yahoo_answers_csv.tgz")
    YELP_REVIEWS = SampleSet(f"{_S3}nlp/yelp_review_full_csv.tgz")
    YELP_REVIEWS_POLARITY = SampleSet(f"{_S3}nlp/yelp_review_polarity_csv.tgz")
    ZEBRA_FINCH = SampleSet("https://storage.googleapis.com/ml-animal-sounds-datasets/zebra_finch.zip")


@hinting
def untar_data(
    url: str, archive: str | os.PathLike[str] | None = None, data: str | os.PathLike[str] | None = None, force_download: bool = False, *,
    sha256: str | None = None, mirror: str | os.PathLike[str] | None = None, show_progress: bool = True,
) -> Path:  # fmt: skip
    """The folder of a data set, downloaded and unpacked where it isn't there already.

    Args:
        url: one of ``URLs``, any other address of a tar, tar.gz, tgz or zip archive, or the path of one on this machine.
        archive, data: the folders of archives and of unpacked sets. Default: those of ``$BURNISH_DATA``, or of
            ``~/.cache/burnish/data``. An archive that somebody has put there is used and not downloaded.
        force_download: download and unpack it again, replacing what is there once that has worked.
        sha256: the archive's digest. Where neither this nor the entry in ``URLs`` tells it, the digest of the first download is noted
            beside the archive (``digests.json``), and a later one that differs is refused.
        mirror: an address or a folder where archives are sought instead, by their file names. Default: ``$BURNISH_MIRROR``.

    What is cut off goes on where it stopped at the next call; a folder that is there is whole. How archives are kept from doing harm:
    :func:`burnish.data.archives.unpack`.

    Raises:
        OfflineError: it can't be downloaded; the message names the ways out.
        DataError: another digest than expected, or an archive that is damaged or unsafe.
    """
    name = Path(url).name if _is_here(url) else file_name(checked_url(url))
    stem = _stem(name)
    base = _base()
    archives, folder = Path(archive or base / "archives").expanduser(), Path(data or base).expanduser() / stem
    if folder.is_dir() and not force_download:
        return _of_same_source(folder, url, sha256)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with workplace(folder) as work:
        if folder.is_dir() and not force_download:  # somebody else was faster
            return _of_same_source(folder, url, sha256)
        for left in (work / "new", work / "old", *work.glob(".new.*")):  # by a process that was killed
            shutil.rmtree(left, ignore_errors=True)
        if _is_here(url):
            found = _unpack_here(Path(url), sha256, work, show_progress)
        else:
            found = _unpack_from_web(url, archives / name, work, force_download, sha256, mirror, show_progress)
        if folder.is_dir():
            os.replace(folder, work / "old")
        _source_of(folder).unlink(missing_ok=True)  # rather nothing noted than something wrong, where this is cut off
        os.replace(work / "new", folder)
        write_whole(_source_of(folder), json.dumps({"from": _address(url), "sha256": found}).encode())
        shutil.rmtree(work / "old", ignore_errors=True)
    return folder


def _unpack_here(packed: Path, sha256: str | None, work: Path, show_progress: bool) -> str:
    found = digest_of(packed)
    _check_digest(packed, found, checked_digest(sha256), "was given")
    unpack(packed, work / "new", show_progress=show_progress)
    return found


def _source_of(folder: Path) -> Path:
    """The file beside a folder that tells what was unpacked there."""
    return folder.with_name(f".{folder.name}.source.json")


def _address(url: str) -> str:
    return str(Path(url).resolve()) if _is_here(url) else str(url)


def _of_same_source(folder: Path, url: str, sha256: str | None) -> Path:
    """The folder, where it isn't known to hold what came from elsewhere. One that somebody has put there tells nothing and is taken as it is."""
    file = _source_of(folder)
    if not file.is_file():
        return folder
    try:
        told = dict(json.loads(file.read_text(encoding="utf-8")))
    except ValueError:
        return folder
    wanted = checked_digest(sha256) or getattr(url, "sha256", None)
    if told.get("sha256") != wanted if wanted else told.get("from") != _address(url):
        raise DataError(
            f"{folder} holds what was unpacked from {told.get('from')} (SHA-256 {str(told.get('sha256'))[:12]}...), and {_address(url)}{f' (SHA-256 {wanted[:12]}...)' if wanted else ''} was "
            "asked for, which would get the same name. Pass data= with another folder, or force_download=True to replace what is there."
        )
    return folder


def _base() -> Path:
    """Where data sets are kept."""
    given = os.environ.get(FOLDER_VARIABLE)
    return Path(given).expanduser() if given else Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "burnish" / "data"


def _is_here(url: str | os.PathLike[str]) -> bool:
    return "://" not in str(url) and Path(url).is_file()


def _stem(name: str) -> str:
    ending = next((e for e in _ENDINGS if name.lower().endswith(e) and len(name) > len(e)), None)
    if ending is None:
        raise DataError(
            f"{name!r} is no archive that untar_data unpacks: its name should end in {', '.join(_ENDINGS)}. For a single file there is download_url."
        )
    return name[: -len(ending)]


def _unpack_from_web(
    url: str, file: Path, work: Path, force: bool, sha256: str | None, mirror: Any, show_progress: bool
) -> str:  # fmt: skip
    """Unpacks the archive `file` to ``work/new``, after downloading it where it isn't there, if its digest is the expected one; gives it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    notes = _Digests(file.parent / "digests.json")
    expected, why = _expected(url, checked_digest(sha256), notes)
    fresh = force or not file.is_file() or notes.is_of_another(file, url)
    got = _download(url, work / file.name, file.parent, mirror, show_progress) if fresh else file
    try:
        found = digest_of(got)
        _check_digest(url if fresh else file, found, expected, why)
        if fresh:
            shutil.move(got, file)
            got = file
        unpack(file, work / "new", show_progress=show_progress)
    except DataError:
        if fresh:  # not kept: it would only be found wanting again
            got.unlink()
        raise
    if notes.of(url) != found:
        notes.keep(url, found)
        if expected is None:
            note(f"The SHA-256 of {file.name} isn't known to burnish. It was noted ({found[:12]}...): from now on another one is refused.")
    return found


def _expected(url: str, sha256: str | None, notes: _Digests) -> tuple[str | None, str]:
    """(the digest an archive must have, why)."""
    if sha256 is not None:
        return sha256, "was given"
    if known := getattr(url, "sha256", None):
        return known, "is known of it"
    return notes.of(url), f"was noted when it first came ({notes.path})"


def _check_digest(name: object, found: str, expected: str | None, why: str) -> None:
    if expected is not None and found != expected:
        raise DataError(
            f"{name} has the SHA-256 {found}, and {expected} {why}: it was changed or altered, and is not used. If you know that it is right, pass sha256={found!r}."
        )


def _download(url: str, to: Path, archives: Path, mirror: Any, show_progress: bool) -> Path:
    place = str(mirror or os.environ.get(MIRROR_VARIABLE) or "").rstrip("/")
    if place and "://" not in place:
        source = Path(place).expanduser() / file_name(url)
        if not source.is_file():
            raise FileNotFoundError(f"The mirror {place!r} (mirror= or {MIRROR_VARIABLE}) has no file {file_name(url)}.")
        return Path(shutil.copyfile(source, to))
    try:
        return download_url(f"{place}/{file_name(url)}" if place else url, to, show_progress=show_progress)
    except FetchError as error:
        raise OfflineError(
            f"{error} Ways out: put the archive {file_name(url)} into {archives}; set {MIRROR_VARIABLE} to a server or folder that has it; "
            f"or set {FOLDER_VARIABLE} to a folder where it is unpacked already."
        ) from error


class _Digests:
    """The digests of archives as they first came, by address, in a JSON file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def _all(self) -> dict[str, dict[str, str]]:
        if not self.path.is_file():
            return {}
        try:
            return dict(json.loads(self.path.read_text(encoding="utf-8")))
        except ValueError as error:
            raise DataError(f"{self.path}, where the digests of archives are noted, is damaged ({error}). Mend or remove it.") from error

    def of(self, url: str) -> str | None:
        return self._all().get(str(url), {}).get("sha256")

    def is_of_another(self, file: Path, url: str) -> bool:
        """Whether an archive is known to have come from another address that ends in the same name."""
        others = [
            told["sha256"] for address, told in self._all().items() if address != str(url) and address.rsplit("/", 1)[-1] == file.name
        ]
        return bool(others) and self.of(url) is None and digest_of(file) in others

    def keep(self, url: str, sha256: str) -> None:
        kept = {**self._all(), str(url): {"sha256": sha256, "date": str(date.today())}}
        write_whole(self.path, json.dumps(kept, indent=1).encode())
