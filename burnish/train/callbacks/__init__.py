"""Callbacks that change or follow training; each restores what it changed when the fit ends, however it ends."""

from burnish.train.callbacks.activations import ActivationStats
from burnish.train.callbacks.checkpoint import Checkpoint
from burnish.train.callbacks.distill import Distillation
from burnish.train.callbacks.ema import EMA
from burnish.train.callbacks.gradients import GradientAccumulation, GradientClip
from burnish.train.callbacks.graph import ShowGraph
from burnish.train.callbacks.limits import BatchLimit, ShortEpoch, ShortEpochCallback, TerminateOnNaN, TerminateOnNaNCallback
from burnish.train.callbacks.logging import CSVLog, CSVLogger
from burnish.train.callbacks.memory import OutOfMemoryRetry
from burnish.train.callbacks.mix import CutMix, MixUp
from burnish.train.callbacks.trackers import (
    EarlyStopping,
    EarlyStoppingCallback,
    ReduceLROnPlateau,
    SaveModel,
    SaveModelCallback,
    TrackerCallback,
)
from burnish.train.callbacks.unfreezing import GradualUnfreeze

__all__ = [
    "EMA", "ActivationStats", "BatchLimit", "CSVLog", "CSVLogger", "Checkpoint", "CutMix", "Distillation", "EarlyStopping", "EarlyStoppingCallback",
    "GradientAccumulation", "GradientClip", "GradualUnfreeze", "MixUp", "OutOfMemoryRetry", "ReduceLROnPlateau", "SaveModel",
    "SaveModelCallback", "ShortEpoch", "ShortEpochCallback", "ShowGraph", "TerminateOnNaN", "TerminateOnNaNCallback", "TrackerCallback",
]  # fmt: skip
