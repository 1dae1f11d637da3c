"""Files of the same content, and pictures that look the same."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

import numpy as np

from burnish.data.facts import hashes_of

NEAR_BITS = 6  # differing bits of 64 up to which two pictures are compared more closely
NEAR_LIKENESS = 0.985  # least correlation of the thumbnails of near duplicates
NEAR_SHADE = 14.0  # most mean difference of their pixels, of 255
FLAT = 4.0  # a thumbnail whose pixels deviate less than this shows nothing to compare
_MANY = 100  # pictures from which on their mean is taken off: all digits, say, are white strokes amid black
_PART = 4096


def same_content(paths: Sequence[str], sizes: Sequence[int]) -> list[list[int]]:
    """Groups of two or more positions of files with equal bytes. Only files of equal length are opened, and only those
    equal in the middle are read whole. Empty and vanished files are left out."""
    groups = _alike(range(len(paths)), lambda i: sizes[i] or None)
    groups = [g for group in groups for g in _alike(group, lambda i: _digest(paths[i], sizes[i], whole=False))]
    return [
        g
        for group in groups
        for g in (_alike(group, lambda i: _digest(paths[i], sizes[i], whole=True)) if sizes[group[0]] > _PART else [group])
    ]


def _alike(positions: Sequence[int], key: Callable[[int], Hashable | None]) -> list[list[int]]:
    groups: dict[Hashable, list[int]] = {}
    for i in positions:
        if (k := key(i)) is not None:
            groups.setdefault(k, []).append(i)
    return [g for g in groups.values() if len(g) > 1]


def _digest(path: str, size: int, whole: bool) -> bytes | None:
    try:
        with open(path, "rb") as file:
            if whole:
                return hashlib.file_digest(file, hashlib.blake2b).digest()
            file.seek(max(0, (size - _PART) // 2))
            return hashlib.blake2b(file.read(_PART), digest_size=16).digest()
    except OSError:
        return None


def looks_same(thumbs: np.ndarray) -> list[list[int]]:
    """Groups of two or more positions of pictures that look nearly the same, or the same as another's mirror image (left
    and right exchanged: a flipped copy leaks as any other).

    Args:
        thumbs: uint8 (n, 16, 18, 3).

    Pictures whose 64-bit difference hashes are near are compared more closely: coarsely first, then by their
    thumbnails. All hashes are compared with all, in blocks, twice: a few seconds for 20,000 pictures. Flat pictures (one
    colour) are left out.
    """
    if not len(thumbs):
        return []
    textured = np.flatnonzero(thumbs.reshape(len(thumbs), -1).std(axis=1) >= FLAT)
    shared = thumbs.mean(axis=0, dtype=np.float32) if len(thumbs) >= _MANY else np.zeros(thumbs.shape[1:], np.float32)
    chosen = thumbs[textured]
    hashes, coarse = hashes_of(chosen), _coarse(chosen, shared)
    groups = Groups(len(thumbs))
    for others in (chosen, chosen[:, :, ::-1]):
        coarse_others = _coarse(others, shared)
        for a, b in _near_pairs(hashes, hashes_of(others)):
            likely = np.einsum("ij,ij->i", coarse[a], coarse_others[b]) >= NEAR_LIKENESS
            a, b = a[likely], b[likely]
            alike = _compare(chosen[a], others[b], shared)
            for i, j in zip(textured[a[alike]].tolist(), textured[b[alike]].tolist(), strict=True):
                groups.join(i, j)
    return groups.listed()


def _coarse(thumbs: np.ndarray, shared: np.ndarray) -> np.ndarray:
    """Directions of the pictures on a grid of 9 x 8, for a first comparison."""
    return _directions(
        thumbs.reshape(-1, 8, 2, 9, 2, 3).mean(axis=(2, 4), dtype=np.float32) - shared.reshape(8, 2, 9, 2, 3).mean(axis=(1, 3))
    )


def _near_pairs(hashes: np.ndarray, others: np.ndarray, block: int = 32, most: int = 8192) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs a < b of positions with ``hashes[a]`` and ``others[b]`` at most NEAR_BITS apart, up to `most` at a time."""
    for start in range(0, len(hashes), block):
        apart = np.bitwise_count(hashes[start : start + block, None] ^ others[None, start:])
        a, b = np.divmod(np.flatnonzero(apart <= NEAR_BITS), apart.shape[1])  # np.nonzero takes longer than all the rest
        a, b = a[b > a] + start, b[b > a] + start
        for i in range(0, len(a), most):
            yield a[i : i + most], b[i : i + most]


def _directions(values: np.ndarray) -> np.ndarray:
    """Pictures as vectors (n, values) of mean 0 and length 1, whose products are correlations."""
    flat = values.reshape(len(values), int(np.prod(values.shape[1:])))
    flat = flat - flat.mean(axis=1, keepdims=True)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)


def _compare(x: np.ndarray, y: np.ndarray, shared: np.ndarray) -> np.ndarray:
    """Mask of the pairs (pairs, height, width, 3) that agree in shade, and in structure beyond what all pictures share."""
    alike_in_shade = np.abs(x.astype(np.float32) - y).mean(axis=(1, 2, 3)) <= NEAR_SHADE
    likeness = np.einsum("ij,ij->i", _directions(x - shared), _directions(y - shared))
    return alike_in_shade & (likeness >= NEAR_LIKENESS)


class Groups:
    """Positions joined into groups (a disjoint-set forest)."""

    def __init__(self, n: int) -> None:
        self._up = list(range(n))

    def root(self, i: int) -> int:
        """The position that stands for the group of `i`."""
        while self._up[i] != i:
            self._up[i] = i = self._up[self._up[i]]
        return i

    def join(self, i: int, j: int) -> None:
        """Makes one group of those of `i` and `j`."""
        low, high = sorted((self.root(i), self.root(j)))
        self._up[high] = low

    def listed(self) -> list[list[int]]:
        """The groups of two or more."""
        groups: dict[Any, list[int]] = {}
        for i in range(len(self._up)):
            groups.setdefault(self.root(i), []).append(i)
        return [g for g in groups.values() if len(g) > 1]
