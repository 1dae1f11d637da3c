"""Boxes in pictures: what a detector's outputs say, the loss it learns by, and mean average precision.

Boxes are x1, y1, x2, y2 in -1 ... 1 of what the model gets, from edge to edge. Targets are ``(batch, boxes, 5)``: box, class; of class -1 are rows that only fill up.
A detector's output is ``(batch, places, 9 + classes)``: of every place of its feature maps the box, the logit of being near the box's centre, the place (x, y), the
size of a step of its map (x, y), and a logit a class.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from burnish.evaluate.base import CallableMetric

COLUMNS = 9  # of an output, before the classes
MOST = 100  # boxes of a picture
NMS = 0.5  # overlap (intersection over union) from which the less certain one of two boxes of a class is dropped
SAME = 0.8  # overlap from which boxes of two classes are one thing
FUSED = 0.55  # overlap from which boxes of several looks are one
LEAST = 0.01  # score below which nothing is kept
NEAR = 1.5  # steps around the centre of a box in which places learn it
REACH = 8.0  # steps of a map; a box that reaches farther is the business of a coarser one
_AT_ONCE = 2_000_000  # weights of boxes that are looked at together
EXTRA = 'pip install "burnish[detection]" (in a clone of burnish: pip install ".[detection]")'


# -- what outputs say -----------------------------------------------------------------------------------------------------
def detections(output: Tensor, most: int = MOST, least: float = LEAST, nms: float = NMS) -> Tensor:
    """The boxes that an output ``(batch, places, 9 + classes)`` tells: ``(batch, most, 6)``, box, class, score, the most certain first; class -1 fills up.

    The score of a class is the root of its probability times that of the place being near a centre (FCOS). Of boxes of one class that overlap by more than `nms` the most
    certain is kept.
    """
    return suppressed(candidates(output, 10 * most), most, least, nms)


def candidates(output: Tensor, n: int) -> Tensor:
    """The `n` most certain pairs of a place and a class, as ``(batch, n, 6)``: box, class, score."""
    output = output.detach().float()
    scores = (output[..., COLUMNS:].sigmoid() * output[..., 4, None].sigmoid()).sqrt()
    classes = scores.shape[-1]
    best, flat = scores.flatten(1).topk(min(n, scores.shape[1] * classes))
    boxes = output[..., :4].gather(1, (flat // classes)[..., None].expand(-1, -1, 4)).clamp(-1, 1)
    return torch.cat([boxes, (flat % classes)[..., None].to(boxes), best[..., None]], dim=-1)


def suppressed(found: Tensor, most: int = MOST, least: float = LEAST, nms: float = NMS) -> Tensor:
    """Of candidates ``(batch, n, 6)`` those that no more certain one of their class overlaps by more than `nms`: ``(batch, most, 6)``."""
    from torchvision.ops import batched_nms

    made = found.new_zeros((len(found), most, 6))
    made[..., 4] = -1
    for row, one in zip(made, found, strict=True):
        one = one[one[:, 5] > least]
        kept = one[batched_nms(one[:, :4], one[:, 5], one[:, 4], nms)[:most]]
        row[: len(kept)] = kept
    return made


def without_doubles(found: Tensor, overlap: float = SAME) -> Tensor:
    """Which boxes ``(batch, n, 6)``, the most certain first, are no second name for one place: ``(batch, n)``. Two classes at one place are two candidates for one thing,
    and who counts things would count it twice."""
    from torchvision.ops import box_iou

    first = torch.ones(found.shape[:2], dtype=torch.bool, device=found.device)
    for row, boxes in zip(first, found, strict=True):
        there = (boxes[:, 4] >= 0).nonzero()[:, 0]
        over = (box_iou(boxes[there, :4], boxes[there, :4]) > overlap).tril(-1)
        row[there] = ~over.any(1)
    return first


def fused(looks: Tensor, weights: Tensor, sees: Callable[[Tensor], Tensor], most: int = MOST, overlap: float = FUSED) -> Tensor:
    """Boxes that several looks at one picture found, as one list (weighted boxes fusion, Solovyev et al. 2021).

    The boxes of a class that overlap the most certain one among them, at most one a look, become their mean, weighted by score. Its score is the mean of theirs over the
    looks that its centre is in: what one of five has found is a fifth as certain.

    Args:
        looks: ``(looks, n, 6)``, box, class, score; class -1 fills up. weights: what each counts ``(looks,)``.
        sees: which looks a place ``(2,)`` is in: ``(looks,)``, 1 or 0.

    Returns: ``(most, 6)``.
    """
    from torchvision.ops import box_iou

    of = torch.arange(len(looks)).repeat_interleave(looks.shape[1])
    found = looks.reshape(-1, 6)
    order = found[:, 5].argsort(descending=True, stable=True)
    order = order[found[order, 4] >= 0]
    found, of = found[order], of[order]
    near = (box_iou(found[:, :4], found[:, :4]) > overlap) & (found[:, None, 4] == found[None, :, 4])
    free, made = torch.ones(len(found), dtype=torch.bool), []
    for i in range(len(found)):
        if not free[i]:
            continue
        group = (near[i] & free).nonzero()[:, 0]
        first = torch.tensor([k for k, look in enumerate(of[group].tolist()) if look not in of[group][:k].tolist()])
        free[group] = False
        one, by = found[group[first]], weights[of[group[first]]]
        share = by * one[:, 5]
        box = (one[:, :4] * share[:, None]).sum(0) / share.sum().clamp(min=1e-9)
        seen = sees((box[:2] + box[2:]) / 2).clone()
        seen[of[group[first]]] = 1
        made.append(torch.cat([box, one[0, 4:5], (share.sum() / (weights * seen).sum())[None]]))
    merged = looks.new_zeros((most, 6))
    merged[:, 4] = -1
    if made:
        best = torch.stack(made)
        best = best[best[:, 5].argsort(descending=True, stable=True)][:most]
        merged[: len(best)] = best
    return merged


def check_outputs(output: Any, target: Any, name: str) -> None:
    """Raises ValueError unless these are a detector's output and its targets."""
    fits = isinstance(output, Tensor) and isinstance(target, Tensor) and output.ndim == 3 and output.shape[-1] > COLUMNS
    if not fits or target.ndim != 3 or target.shape[-1] != 5 or len(output) != len(target):
        shapes = tuple(getattr(output, "shape", ())), tuple(getattr(target, "shape", ()))
        raise ValueError(
            f"{name}: outputs {shapes[0]} for targets {shapes[1]}; expected (batch, places, {COLUMNS} + classes) of a detector, and (batch, boxes, 5)."
        )


# -- the loss -------------------------------------------------------------------------------------------------------------
class DetectionLoss(nn.Module):
    """The loss of FCOS (Tian et al. 2019): focal loss of classes, generalised intersection over union of boxes, cross-entropy of being near the centre; their sum.

    Every place inside a box and near its centre learns that box, on the map whose step suits the box's size, the smallest box where several claim it; a box that no place is
    near learns at the nearest one, so that small ones aren't lost.

    Args:
        alpha, gamma: of the focal loss (Lin et al. 2017).
        reduction: "mean" (over all places that learn a box), or "none": ``(batch,)``, whose mean is the mean.
    """

    def __init__(self, alpha: float = 0.25, gamma: float = 2.0, reduction: str = "mean") -> None:
        super().__init__()
        self.alpha, self.gamma, self.reduction = alpha, gamma, reduction

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        from torchvision.ops import generalized_box_iou_loss, sigmoid_focal_loss

        check_outputs(output, target, "DetectionLoss")
        output, target = output.float(), target.float()
        matched = match(output, target)  # (batch, places): which box, -1 for none
        learns = matched >= 0
        box = target.gather(1, matched.clamp(min=0)[..., None].expand(-1, -1, 5))
        classes = output.shape[-1] - COLUMNS
        label = torch.where(learns, box[..., 4], -1)
        wanted = (label[..., None] == torch.arange(classes, device=label.device)).float()
        focal = sigmoid_focal_loss(output[..., COLUMNS:], wanted, self.alpha, self.gamma).sum((1, 2))
        near = _centredness(output, box)
        on = learns.nonzero(as_tuple=True)
        of_boxes = torch.zeros_like(near).index_put(on, generalized_box_iou_loss(output[..., :4][on], box[..., :4][on]) * near[on])
        of_centres = torch.zeros_like(near).index_put(on, binary_cross_entropy_with_logits(output[..., 4][on], near[on], reduction="none"))
        weight = (near * learns).sum().clamp(min=1e-6) / learns.sum().clamp(min=1)  # boxes count by how central their place is
        share = (learns.sum() / len(output)).clamp(min=1)  # places that learn, of a picture
        losses = (focal + of_boxes.sum(1) / weight + of_centres.sum(1)) / share
        return losses if self.reduction == "none" else losses.mean()


def _centredness(output: Tensor, box: Tensor) -> Tensor:
    """How near each place is to the centre of its box ``(batch, places)``, 1 at the centre, 0 at the edges."""
    x, y = output[..., 5], output[..., 6]
    across, down = (torch.stack([p - box[..., i], box[..., i + 2] - p], dim=-1).clamp(min=1e-9) for i, p in ((0, x), (1, y)))
    return (across.amin(-1) / across.amax(-1) * down.amin(-1) / down.amax(-1)).sqrt()


@torch.no_grad()
def match(output: Tensor, target: Tensor) -> Tensor:
    """Which box each place learns ``(batch, places)``: its position among the targets, -1 for none."""
    place, step = output[..., None, 5:7], output[..., None, 7:9]  # (batch, places, 1, 2)
    box, there = target[:, None, :, :4], target[:, None, :, 4] >= 0
    before, behind = (place - box[..., :2]) / step, (box[..., 2:] - place) / step  # in steps, (batch, places, boxes, 2)
    inside = (torch.minimum(before, behind) > 0).all(-1)
    near = (((box[..., :2] + box[..., 2:]) / 2 - place).abs() <= NEAR * step).all(-1)
    reach = torch.maximum(before, behind).amax(-1)
    finest = (output[..., 7] <= output[..., 7].amin(1, keepdim=True) * 1.01)[..., None]
    coarsest = (output[..., 7] >= output[..., 7].amax(1, keepdim=True) * 0.99)[..., None]
    suits = (finest | (reach >= REACH / 2)) & (coarsest | (reach < REACH))
    area = (box[..., 2:] - box[..., :2]).prod(-1)
    claims = torch.where(inside & near & suits & there, area, math.inf)
    smallest, which = claims.min(-1)
    matched = torch.where(smallest < math.inf, which, -1)
    return _without_losers(matched, output, target)


def _without_losers(matched: Tensor, output: Tensor, target: Tensor) -> Tensor:
    """Boxes that no place learns get the place of the finest map that is nearest to their centre, as far as nobody has it."""
    learned = (matched[..., None] == torch.arange(target.shape[1], device=matched.device)).any(1)
    lost = (target[..., 4] >= 0) & ~learned
    pictures, boxes = lost.nonzero(as_tuple=True)
    if not len(pictures):
        return matched
    centres = (target[..., :2] + target[..., 2:4]) / 2
    far = ((output[pictures, :, 5:7] - centres[pictures, boxes][:, None]) / output[pictures, :, 7:9]).norm(dim=-1)
    far = (
        far
        + torch.where(output[pictures, :, 7] <= output[..., 7].amin() * 1.01, 0, math.inf)
        + torch.where(matched[pictures] < 0, 0, math.inf)
    )
    best, nearest = far.min(-1)
    free = best < math.inf
    return matched.index_put((pictures[free], nearest[free]), boxes[free])


# -- the metric -----------------------------------------------------------------------------------------------------------
class MeanAP(CallableMetric):
    """Mean average precision of boxes, over classes and over the overlaps at which a box counts as found: 0.5 to 0.95 in steps of 0.05, as COCO has it, or one.

    Computed by torchmetrics, with at most 100 boxes a picture, from a detector's outputs or from boxes ``(batch, n, 6)`` as ``get_preds`` and ``tta`` give them.

    Args:
        at: one overlap (intersection over union), 0.5 say; None for COCO's ten.

    Raises:
        ModuleNotFoundError: the packages that compute it aren't installed; it is raised when the metric is made, and not after an epoch.
    """

    better = "higher"

    def __init__(self, at: float | None = None, name: str | None = None) -> None:
        _torchmetrics()
        self.at, self.name = at, name or ("mean_ap" if at is None else f"map_{round(100 * at)}")
        self.reset()

    def reset(self) -> None:
        self._found: list[Tensor] = []
        self._targets: list[Tensor] = []

    def update(self, preds: Tensor, targs: Tensor) -> None:
        told = isinstance(preds, Tensor) and preds.ndim == 3 and preds.shape[-1] == 6
        if not told:
            check_outputs(preds, targs, self.name)
        self._found.append(preds.detach() if told else candidates(preds, 5 * MOST))
        self._targets.append(targs.detach())

    def by_class(self) -> dict[int, float]:
        """The average precision of each class that there are boxes of, by its number."""
        made = self._computed(class_metrics=True)
        values = made["map_per_class"].reshape(-1)
        return {int(c): float(v) for c, v in zip(made["classes"].reshape(-1), values, strict=True) if v >= 0}

    def compute(self) -> float:
        value = float(self._computed()["map"]) if self._targets else math.nan
        return value if value >= 0 else math.nan  # -1: there was no box to find

    def resamples(self, preds: Tensor, targs: Tensor, weights: np.ndarray) -> np.ndarray:
        """The value where each picture counts as often as `weights` ``(resamples, pictures)`` say ``(resamples,)``; nan where there is no box.

        Which boxes are found doesn't depend on the other pictures, so they are matched once.
        """
        at = [self.at] if self.at is not None else [0.5 + 0.05 * i for i in range(10)]
        found, targets = suppressed(candidates(preds, 5 * MOST)).cpu().double(), targs.detach().cpu().double()
        pictures = [_matched(f[f[:, 4] >= 0], t[t[:, 4] >= 0], at) for f, t in zip(found, targets, strict=True)]
        place = np.repeat(np.arange(len(pictures)), [len(scores) for scores, _, _ in pictures])
        scores, labels, hits = (np.concatenate(part) for part in zip(*pictures, strict=True))
        there = {float(c): (targets[..., 4] == c).sum(1).numpy() for c in targets[..., 4].unique().tolist() if c >= 0}
        order = {c: (of := np.flatnonzero(labels == c))[np.argsort(-scores[of], kind="stable")] for c in there}

        def values(some: np.ndarray) -> np.ndarray:
            found = [_average_precisions(hits[order[c]], some[:, place[order[c]]], some @ n) for c, n in there.items()]
            if not found:
                return np.full(len(some), math.nan)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # where a draw has no box: nan
                return np.nanmean(np.concatenate(found), axis=0)

        return np.concatenate([values(some) for some in np.array_split(weights, 1 + weights.shape[0] * len(scores) // _AT_ONCE)])

    def _computed(self, **settings: Any) -> dict[str, Tensor]:
        metric = _torchmetrics()(iou_thresholds=None if self.at is None else [self.at], backend="faster_coco_eval", **settings)
        metric.warn_on_many_detections = False
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for found, target in zip(self._found, self._targets, strict=True):
                pairs = [(f[f[:, 4] >= 0], t[t[:, 4] >= 0]) for f, t in zip(suppressed(found).cpu(), target.cpu(), strict=True)]
                metric.update(
                    [{"boxes": (f[:, :4] + 1) * 500, "labels": f[:, 4].long(), "scores": f[:, 5]} for f, _ in pairs],
                    [{"boxes": (t[:, :4] + 1) * 500, "labels": t[:, 4].long()} for _, t in pairs],
                )
            return metric.compute()


def _matched(found: Tensor, target: Tensor, at: list[float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of a picture's boxes, the most certain first: scores, classes ``(n,)``, and which are right at each overlap ``(n, overlaps)``: each takes the box of its class
    that it overlaps most and that no other has taken."""
    from torchvision.ops import box_iou

    found = found[found[:, 5].argsort(descending=True, stable=True)]
    overlaps = torch.where(found[:, 4, None] == target[None, :, 4], box_iou(found[:, :4], target[:, :4]), -1.0).numpy()
    hits = np.zeros((len(found), len(at)))
    for k, least in enumerate(at):
        free = np.ones(len(target), dtype=bool)
        for i in range(len(found) if len(target) else 0):
            best = int(np.where(free, overlaps[i], -1.0).argmax())
            if free[best] and overlaps[i, best] >= least:
                hits[i, k], free[best] = 1.0, False
    return found[:, 5].numpy(), found[:, 4].numpy(), hits


def _average_precisions(hits: np.ndarray, weights: np.ndarray, there: np.ndarray) -> np.ndarray:
    """The mean of the best precision at 101 recalls from 0 to 1, for each overlap and resample ``(overlaps, resamples)``.

    Args:
        hits: of the boxes said, the most certain first ``(n, overlaps)``. weights: how often each counts ``(resamples, n)``. there: how many there are to find ``(resamples,)``.
    """
    said, wanted = np.maximum(np.cumsum(weights, axis=1), 1e-12), np.linspace(0, 1, 101)
    made = np.full((hits.shape[1], len(weights)), math.nan)
    for i, of in enumerate(hits.T):
        (right_ones,) = np.nonzero(of)  # precision is best, and recall grows, where a box is right: the others needn't be looked at
        right = np.cumsum(weights[:, right_ones], axis=1)
        precision = np.maximum.accumulate((right / said[:, right_ones])[:, ::-1], axis=1)[:, ::-1]
        best = np.concatenate([precision, np.zeros((len(weights), 1))], axis=1)  # 0 where so many are never found
        for k, n in enumerate(there):
            if n:
                made[i, k] = best[k, np.searchsorted(right[k], wanted * n - 1e-9)].mean()
    return made


def mean_ap_is_there() -> bool:
    """Whether mean average precision can be computed on this installation."""
    try:
        _torchmetrics()
    except ModuleNotFoundError:
        return False
    return True


def _torchmetrics() -> Any:
    try:
        import faster_coco_eval  # noqa: F401  # pyright: ignore[reportMissingImports]
        from torchmetrics.detection import MeanAveragePrecision  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ModuleNotFoundError(
            f"Mean average precision needs torchmetrics and faster-coco-eval, which aren't installed: {EXTRA}."
        ) from None
    return MeanAveragePrecision
