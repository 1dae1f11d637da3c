"""A detector: a body's feature maps, a pyramid over them, and at every place of it a box and its classes (FCOS, Tian et al. 2019), of torchvision's parts."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from burnish.errors import SettingError
from burnish.vision.backbones import Backbone
from burnish.vision.unet import body_maps, probe_maps

WIDTH = 128  # channels of the pyramid
CONVS = 2  # of the head's two ways
FINEST = 8  # stride of the finest map that is used, in pixels
LIKELY = 0.01  # probability of each class with which training begins
_WIDEST = 6.0  # logarithm of the largest distance from a place to a side of its box, in steps of its map


class Detector(nn.Module):
    """Pictures ``(batch, n_in, height, width)`` to ``(batch, places, 9 + classes)``: see ``burnish.evaluate.boxes``.

    Args:
        body: one that gives feature maps at several sizes.
        n_classes: how many there are.
        finest: stride of the finest map that is used: 4 for objects of few pixels, at four times the work.
    """

    def __init__(self, body: Backbone, n_classes: int, n_in: int = 3, *, finest: int = FINEST, width: int = WIDTH) -> None:
        from torchvision.models.detection.fcos import FCOSClassificationHead, FCOSRegressionHead
        from torchvision.ops import FeaturePyramidNetwork

        super().__init__()
        maps = [(i, channels, stride) for i, channels, stride in probe_maps(body, n_in) if finest <= stride <= 32]
        if not maps:
            raise SettingError(
                f"finest={finest}: {body.arch or 'the body'} has no feature maps of strides from {finest} to 32 pixels. Give 4, 8, 16 or 32."
            )
        self.body, self.finest = body, finest
        self.taken = [i for i, _, _ in maps]
        self.pyramid = FeaturePyramidNetwork([channels for _, channels, _ in maps], width)
        self.coarser = nn.Conv2d(width, width, 3, stride=2, padding=1)
        self.classes = FCOSClassificationHead(width, 1, n_classes, CONVS, LIKELY)
        self.boxes = FCOSRegressionHead(width, 1, CONVS)
        self.scales = nn.Parameter(torch.ones(len(maps) + 1))
        nn.init.constant_(self.boxes.bbox_reg.bias, math.log(4))  # type: ignore[arg-type] - half a side of the usual box, in steps

    def forward(self, x: Tensor) -> Tensor:
        _, maps = body_maps(self.body, x)
        made = list(self.pyramid({str(i): maps[i] for i in self.taken}).values())
        made.append(self.coarser(torch.relu(made[-1])))
        return torch.cat([self._told(level, self.scales[i]) for i, level in enumerate(made)], dim=1)

    def _told(self, level: Tensor, scale: Tensor) -> Tensor:
        """What a map ``(batch, channels, height, width)`` tells of its places ``(batch, height * width, 9 + classes)``."""
        n, _, height, width = level.shape
        seen = self.boxes.conv(level)
        sides = _by_place(self.boxes.bbox_reg(seen)).mul(scale).clamp(max=_WIDEST).float().exp()
        near, logits = _by_place(self.boxes.bbox_ctrness(seen)), _by_place(self.classes.cls_logits(self.classes.conv(level)))
        step = torch.tensor([2 / width, 2 / height], device=level.device)
        rows, columns = torch.meshgrid(*(torch.arange(k, device=level.device) + 0.5 for k in (height, width)), indexing="ij")
        place = (torch.stack([columns, rows], dim=-1).reshape(1, -1, 2) * step - 1).expand(n, -1, 2)
        box = torch.cat([place - sides[..., :2] * step, place + sides[..., 2:] * step], dim=-1)
        return torch.cat([box, near.float(), place, step.expand_as(place), logits.float()], dim=-1)

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """The body's groups, then the rest."""
        inside = {id(p) for p in self.body.parameters()}
        return [g for g in (*self.body.layer_groups(), [p for p in self.parameters() if id(p) not in inside]) if g]


def _by_place(x: Tensor) -> Tensor:
    """``(batch, channels, height, width)`` as ``(batch, height * width, channels)``."""
    return x.flatten(2).transpose(1, 2)
