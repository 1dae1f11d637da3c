"""Where batches of predictions are collected: in memory, or in a file that is mapped back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import torch
from torch import Tensor

from burnish.errors import DataError


class Store:
    """Collects batches and joins them: tensors along the first axis; a tuple of tensors as a tuple."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.parts: list[Any] = []

    def add(self, value: Any) -> None:
        """Takes a batch, to the CPU."""
        self.parts.append(_to_cpu(value))

    def discard(self) -> None:
        """Lets go of what was collected."""
        self.parts = []

    def value(self) -> Any:
        """Everything joined; None when nothing came."""
        if not self.parts:
            return None
        if isinstance(self.parts[0], tuple):
            return tuple(self._join([part[i] for part in self.parts]) for i in range(len(self.parts[0])))
        return self._join(self.parts)

    def _join(self, parts: list[Any]) -> Any:
        if not isinstance(parts[0], Tensor):
            return parts
        shapes = {tuple(p.shape[1:]) for p in parts}
        if len(shapes) > 1:
            raise DataError(
                f"The {self.name} differ in shape from batch to batch ({', '.join(map(str, sorted(shapes)[:4]))} a sample), so they can't be joined. "
                "Use a batch size of 1 with equal sizes, or loop over the loader yourself."
            )
        return torch.cat(parts)


class FileStore(Store):
    """Writes each batch of one tensor to a .npy file at once, so that memory stays bounded.

    The file takes its name when it is whole. An older one of that name, which earlier results may still be mapped from, is
    replaced then, never written to.
    """

    def __init__(self, name: str, path: Path) -> None:
        super().__init__(name)
        self.path, self.count = path, 0
        self._unfinished: Path | None = None
        self.shape: tuple[int, ...] | None = None

    def add(self, value: Any) -> None:
        if not isinstance(value, Tensor):
            raise DataError(f"save_to= writes one tensor a file, but the {self.name} are a {type(value).__name__}. Leave save_to out.")
        batch = np.ascontiguousarray(
            value.detach().cpu().float().numpy() if value.dtype == torch.bfloat16 else value.detach().cpu().numpy()
        )
        if self.shape is None:
            self.shape, self.dtype = batch.shape[1:], batch.dtype
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._unfinished = self.path.with_name(f".{self.path.name}-{uuid4().hex[:8]}")
            self._unfinished.write_bytes(self._header())
        elif batch.shape[1:] != self.shape:
            raise DataError(
                f"The {self.name} differ in shape from batch to batch ({self.shape}, then {batch.shape[1:]} a sample), so they can't be one file."
            )
        self.count += len(batch)
        assert self._unfinished is not None
        with open(self._unfinished, "ab") as file:
            file.write(batch.tobytes())

    def _header(self) -> bytes:
        """A .npy header for `count` samples; numpy pads it so that a larger count still fits."""
        from io import BytesIO

        out = BytesIO()
        np.lib.format.write_array_header_1_0(
            out, {"shape": (self.count, *(self.shape or ())), "fortran_order": False, "descr": np.lib.format.dtype_to_descr(self.dtype)}
        )
        return out.getvalue()

    def discard(self) -> None:
        """Removes what was written of a file that is not going to be finished."""
        if self._unfinished is not None:
            self._unfinished.unlink(missing_ok=True)
            self._unfinished = None

    def value(self) -> Any:
        """The file's content, mapped: it is read as it is used, and changes to it stay in memory. Without any, there is no
        file: none of an earlier run either."""
        if self._unfinished is not None:
            with open(self._unfinished, "r+b") as file:
                file.write(self._header())
            os.replace(self._unfinished, self.path)
            self._unfinished = None
        elif self.shape is None:
            self.path.unlink(missing_ok=True)
            return None
        return torch.from_numpy(np.load(self.path, mmap_mode="c"))


def make_store(folder: Path | None, name: str) -> Store:
    """A store in memory, or in a file of `folder`."""
    return Store(name) if folder is None else FileStore(name, folder / f"{name}.npy")


def _to_cpu(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().cpu()
    if isinstance(value, (tuple, list)):
        return tuple(_to_cpu(v) for v in value)
    if isinstance(value, dict):
        return {k: _to_cpu(v) for k, v in value.items()}
    return value
