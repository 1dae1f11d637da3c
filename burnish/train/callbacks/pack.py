"""Nested state (of an optimizer, a callback, a generator) as JSON and a flat dict of tensors, and back: exactly, without pickle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

_TAG = "__burnish__"


def pack(value: Any, tensors: dict[str, Tensor], path: str = "state") -> Any:
    """`value` in JSON's types; its tensors and arrays go into `tensors` under their path. Floats, tuples, dtypes, and the
    order and the keys of dicts come back as they were.

    Raises:
        TypeError: something is in it that can't be stored; the message says where.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Tensor):
        return {_TAG: "tensor", "at": _put(value, tensors, path)}
    if isinstance(value, np.ndarray):
        return {_TAG: "array", "at": _put(torch.from_numpy(np.ascontiguousarray(value)), tensors, path)}
    if isinstance(value, (np.integer, np.floating, np.bool_)):
        return value.item()
    if isinstance(value, (list, tuple)):
        items = [pack(v, tensors, f"{path}.{i}") for i, v in enumerate(value)]
        return items if isinstance(value, list) else {_TAG: "tuple", "items": items}
    if isinstance(value, Mapping):
        plain = all(isinstance(k, str) for k in value) and _TAG not in value
        if plain and list(value) == sorted(value):  # the model file sorts its keys
            return {k: pack(v, tensors, f"{path}.{k}") for k, v in value.items()}
        pairs = [[pack(k, tensors, f"{path}.key{i}"), pack(v, tensors, f"{path}.{k}")] for i, (k, v) in enumerate(value.items())]
        return {_TAG: "dict", "pairs": pairs}
    raise TypeError(
        f"{path} holds a {type(value).__name__} ({value!r:.80}), which a checkpoint can't store. A state_dict may hold tensors, arrays, numbers, strings, None, and lists, tuples and dicts of them."
    )


def _put(tensor: Tensor, tensors: dict[str, Tensor], path: str) -> str:
    """Stores a tensor under its path, made different when a key with a dot in it has taken the name."""
    while path in tensors:
        path += "_"
    tensors[path] = tensor
    return path


def unpack(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    """What ``pack`` was given. Tensors are copies, on the CPU."""
    if isinstance(value, list):
        return [unpack(v, tensors) for v in value]
    if not isinstance(value, dict):
        return value
    kind = value.get(_TAG)
    if kind is None:
        return {k: unpack(v, tensors) for k, v in value.items()}
    if kind == "tuple":
        return tuple(unpack(v, tensors) for v in value["items"])
    if kind == "dict":
        return {unpack(k, tensors): unpack(v, tensors) for k, v in value["pairs"]}
    tensor = tensors[value["at"]].clone()
    return tensor.numpy() if kind == "array" else tensor


__all__ = ["pack", "unpack"]
