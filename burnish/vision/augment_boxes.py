"""Boxes that move with their pictures: the upright box around what is still seen of a turned or tilted box."""

from __future__ import annotations

import torch
from torch import Tensor

SHARE = 5  # the column of boxes that have moved that says which share of each is still seen


def moved_boxes(boxes: Tensor, there: Tensor, back: Tensor) -> Tensor:
    """Boxes ``(batch, n, 4 ...)``, x1, y1, x2, y2, from -1 to 1 in the picture, through perspective maps.

    Those with a class behind their corners become the upright boxes around the part of their moved corners' quadrilateral that is in the picture, and have as a sixth
    number the share that is still seen: times what it was before, the share that is in the picture of the upright box around the whole quadrilateral. Those of four
    numbers become that whole upright box, which may reach beyond the picture.

    Args:
        there: from places in the source to places in the result ``(batch, 3, 3)``, on the device of the boxes.
        back: the inverse of `there`.
    """
    corners = _corners(boxes[..., :4]) @ there.transpose(1, 2)[:, None]
    flat = corners[..., :2] / corners[..., 2:]
    whole = torch.cat([flat.amin(dim=2), flat.amax(dim=2)], dim=-1)
    if boxes.shape[-1] < SHARE:
        return torch.cat([whole.to(boxes.dtype), boxes[..., 4:]], dim=-1)
    share = area(whole.clamp(-1, 1)) / area(whole).clamp(min=1e-12)
    seen = _seen(boxes[..., :4].clamp(-1, 1), there, back)
    share = share * boxes[..., SHARE] if boxes.shape[-1] > SHARE else share
    return torch.cat([seen, boxes[..., 4:SHARE], share[..., None].to(boxes.dtype)], dim=-1)


def area(boxes: Tensor) -> Tensor:
    """Areas ``(...)`` of boxes ``(..., 4)``; 0 where one has no width or height."""
    return (boxes[..., 2:4] - boxes[..., :2]).clamp(min=0).prod(-1)


def _corners(boxes: Tensor) -> Tensor:
    """The corners of boxes ``(batch, n, 4)``, one after the other around them, as x, y, 1 ``(batch, n, 4, 3)``."""
    left, top, right, bottom = boxes.float().unbind(-1)
    one = torch.ones_like(left)
    return torch.stack([left, top, one, right, top, one, right, bottom, one, left, bottom, one], dim=-1).unflatten(-1, (4, 3))


def _seen(boxes: Tensor, there: Tensor, back: Tensor) -> Tensor:
    """The upright boxes around what is in the picture of boxes ``(batch, n, 4)`` that have moved; 0, 0, 0, 0 where nothing is.

    That part is convex, and its corners are the ends of the quadrilateral's four edges, cut off where they leave the picture (Liang and Barsky 1984, in homogeneous
    coordinates, so that what is behind the viewer is cut off too), and those corners of the picture that are in the quadrilateral.
    """
    start = _corners(boxes) @ there.transpose(1, 2)[:, None]
    step = start.roll(-1, dims=2) - start
    x, y, w = start.unbind(-1)
    a = torch.stack([w + x, w - x, w + y, w - y], dim=-1)  # how far inside of each of the picture's sides
    b = a.roll(-1, dims=2)
    crossing = a / torch.where(a == b, 1, a - b)
    enters = torch.where(a >= 0, 0, torch.where(b >= 0, crossing, 2)).amax(dim=-1, keepdim=True)
    leaves = torch.where(b >= 0, 1, torch.where(a >= 0, crossing, -1)).amin(dim=-1, keepdim=True)
    ends = torch.cat([start + enters * step, start + leaves * step], dim=2)
    there_is = (enters <= leaves).repeat(1, 1, 2, 1)
    left, top, right, bottom = boxes[:, :, None].unbind(-1)
    k = torch.arange(4, device=boxes.device)  # made there: a copy from the CPU would be waited for
    corners = torch.stack([(k + 1) & 2, k & 2], dim=-1).float() - 1  # of the picture
    px, py, pw = (torch.cat([corners, torch.ones_like(corners[:, :1])], dim=1) @ back.transpose(1, 2))[:, None].unbind(-1)
    inside = (pw > 0) & (px >= left * pw) & (px <= right * pw) & (py >= top * pw) & (py <= bottom * pw)
    places = torch.cat([ends[..., :2] / ends[..., 2:], corners.expand(*inside.shape, 2)], dim=2)
    known = torch.cat([there_is, inside[..., None]], dim=2) & (area(boxes) > 0)[..., None, None]  # else it was outside before
    low = torch.where(known, places, torch.inf).amin(dim=2)
    high = torch.where(known, places, -torch.inf).amax(dim=2)
    return torch.where(known.any(dim=2), torch.cat([low, high], dim=-1).clamp(-1, 1), 0).to(boxes.dtype)
