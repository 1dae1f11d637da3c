"""Shapes of outputs and targets: what metrics and losses check before they compute, without reading the device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def class_outputs(output: Tensor, target: Tensor, axis: int, where: str) -> tuple[Tensor, Tensor]:
    """Outputs with the classes last, and class indices, both flattened: ``(samples, classes)`` and ``(samples,)``.

    Args:
        output: raw model output with the classes on `axis`, e.g. ``(batch, classes)`` or ``(batch, classes, height, width)``.
        target: class indices, one for each place of `output` without its `axis`; trailing axes of length 1 don't matter.
        where: the name of the metric or loss, for the message.

    Raises:
        ValueError: the target isn't class indices, or the counts don't agree; the message has both shapes.
    """
    if output.ndim < 2:
        raise ValueError(f"{where}: outputs of shape {tuple(output.shape)} have no axis of classes; expected (batch, classes).")
    classes = output.shape[axis]
    if classes == 1:
        raise ValueError(
            f"{where}: the model gives one output per sample {tuple(output.shape)}, so there is no class to choose. "
            "Give the model one output per class, or use a metric and loss for yes/no outputs (accuracy_multi, BCEWithLogitsLossFlat)."
        )
    if target.is_floating_point():
        kind = "one value per output (several labels, or soft labels)" if target.shape == output.shape else "numbers"
        raise ValueError(
            f"{where}: expected class indices (integers) as targets, got {kind}: {str(target.dtype).removeprefix('torch.')} of shape "
            f"{tuple(target.shape)} for outputs {tuple(output.shape)}. For several labels per sample use the ...Multi metrics, for numbers mae or rmse."
        )
    flat = output.movedim(axis, -1).reshape(-1, classes)
    if flat.shape[0] != target.numel():
        hint = (
            f" Are the classes on another axis than axis={axis}?" if target.numel() * classes != output.numel() and output.ndim > 2 else ""
        )
        raise ValueError(
            f"{where}: {flat.shape[0]} outputs for {target.numel()} targets: outputs {tuple(output.shape)} with classes on axis {axis}, "
            f"targets {tuple(target.shape)}.{hint}"
        )
    return flat, target.reshape(-1).long()


def elementwise(output: Tensor, target: Tensor, where: str) -> tuple[Tensor, Tensor]:
    """Output and target of one shape. Axes of length 1 may differ (``(batch, 1)`` and ``(batch,)``); nothing broadcasts.

    Raises:
        ValueError: the shapes differ otherwise; the message has both.
    """
    if output.shape == target.shape:
        return output, target
    if [n for n in output.shape if n != 1] == [n for n in target.shape if n != 1]:
        return output, target.reshape(output.shape)
    hint = ""
    if output.ndim == 2 and target.ndim == 1 and len(output) == len(target) and not target.is_floating_point():
        hint = " The targets look like class indices: use accuracy and CrossEntropyLossFlat for one label per sample."
    raise ValueError(
        f"{where}: outputs {tuple(output.shape)} and targets {tuple(target.shape)} must have the same shape, one target per output.{hint}"
    )


def above(probabilities: Tensor, thresh: float | Sequence[float]) -> Tensor:
    """Which probabilities ``(..., labels)`` are above a threshold, or each above its label's own."""
    if isinstance(thresh, (int, float)):
        return probabilities > thresh
    return probabilities > torch.as_tensor(thresh, dtype=probabilities.dtype, device=probabilities.device)


def wide(device: torch.device) -> torch.dtype:
    """The dtype for long sums: float64, or float32 where the device has no float64 (Apple's)."""
    return torch.float32 if device.type == "mps" else torch.float64
