"""What the tests of metrics and intervals share: imperfect outputs of a detector."""

from __future__ import annotations

import torch


def box_sample(g: torch.Generator, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Two boxes of three classes a picture, one in each half, and three places that say something of them: one nearly right, one less so, one in the other half."""
    corner = torch.rand(n, 2, 2, generator=g) * 0.4 - torch.tensor([[0.95, 0.9], [-0.05, 0.9]])
    boxes = torch.cat([corner, corner + 0.5 + 0.3 * torch.rand(n, 2, 2, generator=g)], dim=-1).clamp(-1, 1)
    label = torch.randint(0, 3, (n, 2), generator=g)
    targets = torch.cat([boxes, label[..., None].float()], dim=-1)
    targets[::4, 1] = torch.tensor([0.0, 0.0, 0.0, 0.0, -1.0])  # which isn't one
    said = torch.cat([boxes + 0.06 * torch.randn(n, 2, 4, generator=g), boxes[:, :1] + 0.2 * torch.randn(n, 1, 4, generator=g)], dim=1)
    said = torch.cat([torch.minimum(said[..., :2], said[..., 2:] - 0.05), said[..., 2:]], dim=-1)
    logits = torch.randn(n, 3, 3, generator=g) + 3 * torch.nn.functional.one_hot(torch.cat([label, label[:, :1]], 1), 3)
    rest = torch.tensor([9.0, 0.0, 0.0, 0.1, 0.1]).expand(n, 3, 5)  # near the centre, a place, its step
    return torch.cat([said, rest, logits], dim=-1), targets
