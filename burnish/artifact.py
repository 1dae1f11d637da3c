"""The model file: one safetensors file whose header holds a JSON description and a checksum over all of it.

Layout (https://huggingface.co/docs/safetensors): 8 bytes with the header's length, a JSON header, the tensors' bytes. Any
safetensors reader opens it. The header's metadata has two texts:

- ``burnish``: JSON ``{"format", "versions", "aliases", "config"}``. ``aliases`` names tensors that share their memory
  with another one (tied weights), which is stored once.
- ``sha256``: over that text and every tensor's name, dtype, shape and bytes. It finds damage; it is no signature.

Reading executes nothing: there is no pickle here, and the JSON is only data.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import json
import os
import platform
import struct
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from burnish.errors import ModelFileError, listed

FORMAT = 1
MAX_HEADER = 64 * 2**20  # bytes; the header of a model with a hundred thousand history rows is far below
MAX_DEPTH = 64  # nesting of the JSON description

_DTYPES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.bool: "BOOL",
    torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8",
    torch.uint16: "U16", torch.uint32: "U32", torch.uint64: "U64",
    torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2",
}  # fmt: skip


@dataclass(frozen=True)
class Artifact:
    """What a model file holds: `config` (JSON types), `tensors` by name (on the CPU, mapped from the file: nothing is
    copied until it is used), and `versions` of the libraries that wrote it."""

    config: dict[str, Any]
    tensors: dict[str, Tensor]
    versions: dict[str, str] = field(default_factory=dict)


# -- writing ----------------------------------------------------------------------------------------------------------


def write(path: str | os.PathLike[str], config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Path:
    """Writes `config` and `tensors` to `path` and returns it. The file appears whole or not at all: it is written beside
    its place, flushed to the disk and moved there, so an older file survives a full disk or a power cut.

    Args:
        config: JSON types only (not-a-number and infinity are kept).
        tensors: on any device, of any strides; tensors that are the same memory (tied weights) are stored once.

    Raises:
        TypeError: the config holds something that isn't JSON, or a tensor is sparse, quantized or of an odd dtype.
        OSError: the file can't be written; the message says why and what to do.
    """
    target = Path(os.path.realpath(path))  # a link stays a link: what it points at is replaced
    if target.exists() and not target.is_file():
        raise OSError(f"Can't write a model to {str(path)!r}: it is a folder or a device. Give the name of a file, e.g. 'model.burnish'.")
    unique, aliases = _untie(tensors)
    text = _canonical({"format": FORMAT, "versions": versions(), "aliases": aliases, "config": dict(config)})
    ready = {name: _ready(unique[name]) for name in sorted(unique, key=lambda n: (-unique[n].element_size(), n))}
    header = _header(text, ready)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _write_flushed(temporary, [header, *(_bytes(t) for t in ready.values())])
        os.replace(temporary, target)
    except OSError as error:
        raise _explained(error, path, len(header) + sum(t.nbytes for t in ready.values())) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    return Path(path)


def versions() -> dict[str, str]:
    """The versions that a result depends on: burnish, python, torch, torchvision, timm, and the platform."""
    return dict(_versions())


@functools.cache  # looking packages up reads files; every checkpoint asks
def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "platform": f"{platform.system()} {platform.machine()}"}
    for package in ("burnish", "torch", "torchvision", "timm", "numpy", "pillow"):
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def _untie(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """(each tensor once, alias name to the name it is stored under)."""
    unique: dict[str, Tensor] = {}
    aliases: dict[str, str] = {}
    first: dict[tuple[Any, ...], str] = {}
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor):
            raise TypeError(f"tensors[{name!r}] is a {type(tensor).__name__}, not a tensor; plain values belong into the config.")
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta or tensor.dtype not in _DTYPES:
            raise TypeError(
                f"The tensor {name!r} ({tensor.dtype}, {tensor.layout}, on {tensor.device}) can't be stored in a safetensors file. Make it dense and of a plain dtype, e.g. tensor.to_dense().float()."
            )
        if name == "__metadata__":
            raise ValueError("A tensor can't be called '__metadata__': that name belongs to the file's description.")
        key = (tensor.device, tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype)
        if tensor.numel() and key in first:
            aliases[name] = first[key]
        else:
            unique[name], first[key] = tensor, name
    return unique, aliases


def _ready(tensor: Tensor) -> Tensor:
    return tensor.detach().resolve_neg().resolve_conj().to("cpu").contiguous()


def _bytes(tensor: Tensor) -> memoryview:
    """The bytes of a contiguous CPU tensor, not copied."""
    return tensor.reshape(-1).view(torch.uint8).numpy().data


def _canonical(description: dict[str, Any]) -> str:
    try:
        return json.dumps(description, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(
            f"The description of the model can't be written as JSON: {error}. Use numbers, strings, lists and dicts only."
        ) from error


def _header(text: str, tensors: dict[str, Tensor]) -> bytes:
    entries: dict[str, Any] = {"__metadata__": {"burnish": text, "sha256": _checksum(text, tensors)}}
    position = 0
    for name, tensor in tensors.items():
        entries[name] = {"dtype": _DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [position, position + tensor.nbytes]}
        position += tensor.nbytes
    body = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    if len(body) > MAX_HEADER:
        raise ValueError(
            f"The description of the model takes {len(body):,} bytes; at most {MAX_HEADER:,} can be read back. Store large arrays as tensors."
        )
    body += b" " * (-len(body) % 8)  # so that the tensors start aligned
    return struct.pack("<Q", len(body)) + body


def _checksum(text: str, tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(_counted(text.encode()))
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(_counted(f"{name}|{_DTYPES[tensor.dtype]}|{list(tensor.shape)}".encode()))
        digest.update(_bytes(tensor))
    return digest.hexdigest()


def _counted(data: bytes) -> bytes:
    return struct.pack("<Q", len(data)) + data


def _write_flushed(path: Path, parts: list[bytes | memoryview]) -> None:
    with open(path, "wb") as file:
        for part in parts:
            file.write(part)
        file.flush()
        os.fsync(file.fileno())


def _explained(error: OSError, path: str | os.PathLike[str], size: int) -> OSError:
    need = f"{size / 1e6:,.1f} MB"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        why = f"there is no room for the {need} it needs. Free some space or choose another disk"
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        why = "you may not write there. Choose a folder of your own, e.g. your working folder"
    else:
        why = f"{error.strerror or error}"
    return type(error)(error.errno, f"Can't write the model to {os.fspath(path)!r}: {why}. A file of that name from before is as it was.")


# -- reading ----------------------------------------------------------------------------------------------------------


def read(path: str | os.PathLike[str]) -> Artifact:
    """Reads a model file, checking all of it. Nothing in the file is executed.

    Raises:
        FileNotFoundError: there is no such file.
        ModelFileError: it is no burnish model, or it is truncated, altered, or written by a newer version.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"There is no model file {str(path)!r} (looked in {str(path.absolute().parent)!r}).{_models_nearby(path)}")
    if not path.is_file():
        raise ModelFileError(f"{str(path)!r} is a folder, not a model file.{_models_nearby(path / 'x')}")
    _refuse_others(path)
    metadata, stored = _open_safetensors(path)
    if "burnish" not in metadata:
        raise ModelFileError(
            f"{str(path)!r} is a safetensors file without burnish's description: weights, but not a model that knows its data. "
            "Use it as weights (vision_learner(dls, arch, weights=path)), or export a model with learn.export()."
        )
    description = _parse(path, metadata["burnish"])
    if _checksum(metadata["burnish"], stored) != metadata.get("sha256"):
        raise ModelFileError(
            f"{str(path)!r} was altered or damaged: its content doesn't match its checksum. Copy or download it again, or export it again."
        )
    if not all(isinstance(name, str) and name in stored for name in description["aliases"].values()):
        raise ModelFileError(f"The description inside {str(path)!r} ties tensors to ones that aren't there: the file was altered.")
    aliases = {alias: stored[name] for alias, name in description["aliases"].items()}
    return Artifact(description["config"], stored | aliases, description.get("versions", {}))


def _open_safetensors(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError, RuntimeError, AttributeError) as error:
        raise ModelFileError(f"{str(path)!r} is damaged: {error}. Copy or download it again, or export it again.") from error


def _parse(path: Path, text: str) -> dict[str, Any]:
    try:
        description = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelFileError(
            f"The description inside {str(path)!r} is no JSON that can be read ({error or 'nested too deeply'}): the file is damaged or was altered."
        ) from error
    if not isinstance(description, dict) or not isinstance(description.get("format"), int):
        raise ModelFileError(
            f"The description inside {str(path)!r} doesn't say which format it has: it was not written by burnish, or altered."
        )
    if description["format"] > FORMAT:
        raise ModelFileError(
            f"{str(path)!r} has format {description['format']}, and this burnish ({versions().get('burnish', '?')}) reads up to {FORMAT}; it was written by burnish "
            f"{_said(description.get('versions'))}. Update: pip install -U burnish."
        )
    shapes = {"config": dict, "aliases": dict, "versions": dict}
    wrong = [name for name, kind in shapes.items() if not isinstance(description.get(name, {} if name == "versions" else None), kind)]
    if wrong:
        raise ModelFileError(
            f"In the description inside {str(path)!r}, {listed(wrong)} should be an object and isn't: the file was not written by burnish, or altered."
        )
    if _too_deep(description):
        raise ModelFileError(
            f"The description inside {str(path)!r} is nested more than {MAX_DEPTH} deep, which burnish never writes: the file was altered."
        )
    return description


def _said(stored: Any) -> str:
    return str(stored.get("burnish", "of an unknown version")) if isinstance(stored, dict) else "of an unknown version"


def _too_deep(value: Any) -> bool:
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        level = [child for parent in level for child in _children(parent)]
        if not level:
            return False
    return True


def _children(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "a zip archive, as torch.save and other tools write it. Such files hold pickles, which run code when they are loaded"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"version https://git-lfs", "only a Git LFS pointer: the real file was not fetched (run: git lfs pull)"),
    (b"\x89HDF", "an HDF5 file"),
    (b"{", "a JSON text"),
)


def _refuse_others(path: Path) -> None:
    """Raises ModelFileError, saying what the file is, unless it begins as a whole safetensors file does."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        head = file.read(512)
    what = f"{str(path)!r} is not a burnish model: it is"
    if not size:
        raise ModelFileError(f"{what} empty. Copy or download it again, or export it again.")
    length = struct.unpack("<Q", head[:8])[0] if size >= 8 else -1
    if 2 <= length <= MAX_HEADER and head[8:9] in (b"{", b""):
        if 8 + length > size:
            raise ModelFileError(
                f"{str(path)!r} is truncated: its header should end at byte {8 + length:,}, the file at {size:,}. Copy or download it again."
            )
        return
    raise ModelFileError(f"{what} {_kind(head)}. Nothing in it was executed. Models come from learn.export(path).")


def _kind(head: bytes) -> str:
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "a pickle (an old export.pkl or .pth, say), which could run any code when it is loaded, so burnish never does. Train or export the model again with burnish"
    if head[257:262] == b"ustar":
        return "a tar archive, as old torch.save wrote it. Such files hold pickles, which run code when they are loaded"
    if head.lstrip()[:5].lower() in (b"<!doc", b"<html", b"<?xml", b"<head"):
        return "a web page: the download gave a page (an error or a login, perhaps) instead of the file"
    return next((text for signature, text in _SIGNATURES if head.startswith(signature)), "something else")


def _models_nearby(path: Path) -> str:
    with suppress(OSError):
        names = sorted(p.name for p in path.parent.iterdir() if p.suffix in (".burnish", ".pkl"))
        if names:
            return f" There is: {listed(names)}."
    return " Models come from learn.export(path)."
