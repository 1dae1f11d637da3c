"""RandomErasing, and Normalize."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from burnish.data.transforms import BatchTransform
from burnish.errors import SettingError
from burnish.vision.augment_parts import Rng, check_numbers, float_images
from burnish.vision.transforms import check_p

imagenet_stats = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
cifar_stats = ([0.491, 0.482, 0.447], [0.247, 0.243, 0.261])
mnist_stats = ([0.131], [0.308])


class RandomErasing(BatchTransform):
    """Covers random rectangles with noise, in training: other ones in every picture.

    Args:
        p: probability for each picture.
        sl, sh: least and most share of the picture's area that is covered, all rectangles together.
        min_aspect: the rectangles' height / width is between this and its inverse.
        max_count: most rectangles in one picture; how many is drawn.
        noise_mean, noise_std: the noise; the defaults suit images in 0..1 (after Normalize use 0 and 1).

    Source: Zhong et al. 2017, https://arxiv.org/abs/1708.04896.
    """

    when = "train"

    def __init__(self, p: float = 0.5, sl: float = 0.0, sh: float = 0.3, min_aspect: float = 0.3, max_count: int = 1,
                 noise_mean: float = 0.5, noise_std: float = 0.25) -> None:  # fmt: skip
        super().__init__()
        check_numbers(sl=sl, sh=sh, min_aspect=min_aspect, max_count=max_count, noise_mean=noise_mean, noise_std=noise_std)
        if not 0 <= sl <= sh <= 1:
            raise SettingError(f"sl={sl}, sh={sh}: expected 0 <= sl <= sh <= 1 (shares of the area).")
        if not 0 < min_aspect <= 1 or max_count < 1:
            raise SettingError(
                f"min_aspect={min_aspect}, max_count={max_count}: expected min_aspect in 0..1 (not 0) and max_count of 1 or more."
            )
        self.p, self.sl, self.sh, self.min_aspect, self.max_count = check_p(p), sl, sh, min_aspect, max_count
        self.noise_mean, self.noise_std = noise_mean, noise_std

    def apply(self, batch: list[Tensor], kinds: Sequence[str], rng: Rng | None) -> list[Tensor]:
        if rng is None:
            return batch
        return [self._erased(x, rng) if kind == "image" else x for x, kind in zip(batch, kinds, strict=True)]

    def _erased(self, x: Tensor, rng: Rng) -> Tensor:
        x = float_images(x, "RandomErasing").clone()
        noise = torch.Generator(x.device).manual_seed(int(torch.randint(2**62, (1,), generator=rng)))
        for i, top, left, height, width in self.rectangles(len(x), x.shape[-2], x.shape[-1], rng):
            x[i, :, top : top + height, left : left + width].normal_(self.noise_mean, self.noise_std, generator=noise)
        return x

    def rectangles(self, n: int, height: int, width: int, rng: Rng) -> list[tuple[int, int, int, int, int]]:
        """(picture, top, left, height, width) of each rectangle, drawn on the CPU."""
        happens = (torch.rand(n, generator=rng) < self.p).tolist()
        counts = torch.randint(1, self.max_count + 1, (n,), generator=rng).tolist()
        draws = torch.rand(n, self.max_count, 4, generator=rng).tolist()
        found = []
        for i in range(n):
            for share, shape, down, across in draws[i][: counts[i]] if happens[i] else []:
                area = (self.sl + (self.sh - self.sl) * share) * height * width / counts[i]
                aspect = math.exp((2 * shape - 1) * math.log(self.min_aspect))
                h, w = min(height, round(math.sqrt(area * aspect))), min(width, round(math.sqrt(area / aspect)))
                if h and w:
                    found.append((i, int((height - h + 1) * down), int((width - w + 1) * across), h, w))
        return found


class Normalize(BatchTransform):
    """Subtracts `mean` and divides by `std`, per channel, in training and else.

    Models made by ``vision_learner`` normalise by themselves, with the statistics of their own weights; this is for
    models from elsewhere.

    Args:
        mean, std: one number per channel, for images in 0..1; for example ``Normalize.from_stats(*imagenet_stats)``.
    """

    _mean: Tensor
    _std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.mean, self.std = _numbers(mean), _numbers(std)
        if len(self.mean) != len(self.std) or not self.mean or min(self.std) <= 0:
            raise SettingError(f"Normalize(mean={self.mean}, std={self.std}): expected as many of each as there are channels, std above 0.")
        self.register_buffer("_mean", torch.tensor(self.mean)[:, None, None], persistent=False)
        self.register_buffer("_std", torch.tensor(self.std)[:, None, None], persistent=False)

    @classmethod
    def from_stats(cls, mean: Sequence[float], std: Sequence[float]) -> Normalize:
        """``Normalize.from_stats(*imagenet_stats)``."""
        return cls(mean, std)

    def apply(self, batch: list[Tensor], kinds: Sequence[str], rng: Rng | None) -> list[Tensor]:
        return [self._normalized(x) if kind == "image" else x for x, kind in zip(batch, kinds, strict=True)]

    def _normalized(self, x: Tensor) -> Tensor:
        if float_images(x, "Normalize").shape[1] != len(self.mean):
            raise SettingError(
                f"Normalize has statistics for {len(self.mean)} channel(s), and the images have {x.shape[1]}. Give one mean and std per channel."
            )
        mean, std = (s.to(x.device, x.dtype, non_blocking=True) for s in (self._mean, self._std))
        return (x - mean).div_(std)

    def undo(self, batch: list[Tensor], kinds: Sequence[str]) -> list[Tensor]:
        return [self.decode(x) if kind == "image" else x for x, kind in zip(batch, kinds, strict=False)]

    def decode(self, x: Tensor) -> Tensor:
        """Normalised images ``(..., channel, height, width)`` back in 0..1, for showing."""
        return x * self._std.to(x.device, x.dtype) + self._mean.to(x.device, x.dtype)


def _numbers(values: Sequence[float] | Tensor) -> list[float]:
    flat = values.flatten().tolist() if isinstance(values, Tensor) else list(values)
    return [float(v) for v in flat]
