"""Progressive resizing: training from scratch begins on small pictures and ends on whole ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from burnish.errors import SettingError
from burnish.train.callback import Callback
from burnish.train.recipes import WHOLE

if TYPE_CHECKING:
    from burnish.train.learner import Learner


class ProgressiveResize(Callback):
    """Shrinks the pictures of early batches, on the device: a network learns coarse shapes first, at a fraction of the cost.

    The side grows linearly from `start` times the full one to the full one, which it reaches at `full_from` of training.
    An architecture made for one size is left alone. All inputs and targets with a height and width of the pictures' shrink with
    them: pictures and maps of numbers by area, masks by their nearest pixels.

    Args:
        start: side of the first batches, as a share of the full side (0 to 1).
        full_from: share of training (0 to 1) from which pictures have their full size.
        multiple: sides are multiples of this many pixels. least: no side becomes smaller than this many.
        only_from_scratch: act only in ``fine_tune`` of a model without pretrained weights: how ``vision_learner`` adds it.
            ``learn.remove_cb(ProgressiveResize)`` takes it away.

    Source: Tan and Le, EfficientNetV2 (2021), section 4.2, without its growing regularisation.
    """

    order = -5

    def __init__(
        self, start: float = 0.3, full_from: float = 1.0, multiple: int = 16, least: int = 48, only_from_scratch: bool = False
    ) -> None:
        if not 0 < start <= 1 or not 0 < full_from <= 1:
            raise SettingError(f"ProgressiveResize(start={start!r}, full_from={full_from!r}): both must be shares above 0, up to 1.")
        self.start, self.full_from, self.multiple, self.least = start, full_from, multiple, least
        self.only_from_scratch = only_from_scratch
        self._acts: bool | None = None

    def before_fit(self, learn: Learner) -> None:
        wanted = not self.only_from_scratch or (learn.pretrained is False and learn.phase == WHOLE)
        self._acts = None if wanted else False  # None: not known before the first batch

    def before_batch(self, learn: Learner) -> None:
        if not learn.training or self._acts is False:
            return
        sides = {(h, w): self.size(h, w, learn.progress) for h, w in map(_sides, learn.xb) if h}
        if all(full == size for full, size in sides.items()):
            return
        small = tuple(_shrunk(x, sides) for x in learn.xb)
        if self._acts is None:
            self._acts = _takes(learn.model, small)
        if self._acts:
            learn.xb, learn.yb = small, tuple(_shrunk(y, sides) for y in learn.yb)

    def size(self, height: int, width: int, progress: float) -> tuple[int, int]:
        """(height, width) of the pictures at `progress` (0 to 1) of training."""
        share = min(1.0, self.start + (1 - self.start) * progress / self.full_from)
        if share == 1:
            return height, width
        sides = [min(n, max(self.least, round(n * share / self.multiple) * self.multiple)) for n in (height, width)]
        return sides[0], sides[1]


def _sides(x: Any) -> tuple[int, int]:
    """(height, width) of a batch of pictures; (0, 0) of anything else."""
    return (x.shape[-2], x.shape[-1]) if isinstance(x, Tensor) and x.ndim == 4 else (0, 0)


def _shrunk(x: Any, sides: dict[tuple[int, int], tuple[int, int]]) -> Any:
    """A batch of pictures or masks of a (height, width) in `sides` at the one given there; anything else as it is."""
    if not isinstance(x, Tensor) or x.ndim not in (3, 4) or tuple(x.shape[-2:]) not in sides:
        return x
    full, size = tuple(x.shape[-2:]), sides[x.shape[-2], x.shape[-1]]
    planes = x if x.ndim == 4 else x[:, None]
    if x.is_floating_point():
        planes = F.interpolate(planes, size=size, mode="area")
    else:
        rows, columns = (((torch.arange(n, device=x.device) + 0.5) * (m / n)).long() for n, m in zip(size, full, strict=True))
        planes = planes[:, :, rows][..., columns]
    return planes if x.ndim == 4 else planes[:, 0]


@torch.no_grad()
def _takes(model: nn.Module, xb: tuple[Any, ...]) -> bool:
    """Whether the model works on pictures of this size; its modes are as before afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        model(*(x[:1] if isinstance(x, Tensor) else x for x in xb))
    except (RuntimeError, AssertionError, ValueError):  # what architectures of one size raise
        return False
    finally:
        for module, mode in modes:
            module.training = mode
    return True
