"""RegressionBlock: one number per sample, or several; what a model of them ends in, and the loss that fits their size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from burnish.data.block import Block, names_of
from burnish.errors import DataError, SettingError, listed, short


class RegressionBlock(Block):
    """Numbers to predict: one per sample, or as many as every sample has.

    The model works on a common scale and ends in a layer that gives the target's own units (``final``), so outputs, metrics
    and predictions are in euros, metres or years; the default loss is the squared error in units of the target's variance: 1 is
    no better than the mean, 0 is perfect.

    Args:
        n_out: how many numbers a sample has; None learns it from the training rows.
        y_range: (low, high) that predictions never leave: targets must lie between.
        log: the model predicts logarithms, and errors count in proportion to the number: for prices, populations, counts.
            True needs numbers above 0; "1p" takes the logarithm of 1 + number, for counts that may be 0.
        mean, std: of the training rows, one each a number (of the logarithms where `log`); learned.
        names: of the numbers, in their order, where there are several; those of their columns where a DataBlock reads them with
            ``ColReader([...])``.

    Shapes: encode gives ``()`` or ``(n_out,)`` float32, collate ``(batch,)`` or ``(batch, n_out)``.
    """

    kind: ClassVar[str] = "number"
    name: ClassVar[str] = "number"
    metrics: ClassVar[tuple[str, ...]] = ("rmse", "mae", "r2_score")

    def __init__(
        self,
        n_out: int | None = None,
        y_range: tuple[float, float] | None = None,
        log: bool | str = False,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        names: Sequence[str] | None = None,
    ) -> None:
        if log not in (False, True, "1p"):
            raise SettingError(f"log={log!r}: expected False, True (logarithms) or '1p' (of 1 + the number, where there are zeros).")
        if y_range is not None:
            y_range = checked_range(y_range)
            if log:
                raise SettingError("y_range and log were both given: logarithms have no upper end to hold to. Leave one of them out.")
        self.n_out_given, self.y_range, self.log = n_out, y_range, log
        self.mean = None if mean is None else [float(v) for v in mean]
        self.std = None if std is None else [float(v) for v in std]
        self.names = None if names is None else _checked_names(names, n_out)

    def config(self) -> dict[str, Any]:
        return {**super().config(), "n_out": self.n_out_given}

    @property
    def n_out(self) -> int:
        if self.mean is not None:
            return len(self.mean)
        return self.n_out_given or 1

    def fit(self, raws: Sequence[Any]) -> None:
        values = self._array(raws, names_of(raws))
        if self.n_out_given not in (None, values.shape[1]):
            raise DataError(
                f"The target has {values.shape[1]} number(s) a sample, and RegressionBlock(n_out={self.n_out_given}) was asked for."
            )
        if self.names is not None and len(self.names) != values.shape[1]:
            raise DataError(
                f"The target has {values.shape[1]} number(s) a sample, and names has {len(self.names)}: {listed(self.names, 8)}. Give one name a number, in their order."
            )
        self.check(raws, names_of(raws), "train")
        scaled = self._scaled(values)
        self.mean, spread = scaled.mean(0).tolist(), scaled.std(0)
        if len(values) > 1 and (np.ptp(scaled, axis=0) == 0).any():
            which = int(np.flatnonzero(np.ptp(scaled, axis=0) == 0)[0])
            where = f" (number {which} of {values.shape[1]})" if values.shape[1] > 1 else ""
            raise DataError(
                f"The target{where} is {values[0, which]:g} in all {len(values)} training rows: there is nothing to predict. "
                "Check the column, or how the rows were chosen."
            )
        self.std = [float(s) if s > 0 else 1.0 for s in spread]
        if not self.log:
            self._check_precision(values)

    def _check_precision(self, values: np.ndarray) -> None:
        """Raises DataError where the numbers differ too little, beside how large they are, to be told apart in single precision."""
        lost = np.abs(values).max(axis=0) * 2.0**-24 > 0.01 * np.asarray(self.std)
        if lost.any():
            column = values[:, int(np.flatnonzero(lost)[0])]
            raise DataError(
                f"The target's numbers are around {column.mean():.10g} and spread by {column.std():.4g}: a model works in single precision, which can't "
                f"tell them apart ({len(np.unique(column)):,} different ones become {len(np.unique(column.astype(np.float32))):,}). "
                "Subtract a constant, such as the smallest, and predict the rest."
            )

    def check(self, raws: Sequence[Any], rows: Sequence[object], split: str) -> None:
        if not len(raws):
            return
        values = self._array(raws, rows)
        for wrong, what, advice in (
            (np.isnan(values), "no number", "Fill them in, or leave the rows out"),
            (np.isinf(values), "an infinite number", "Mend the values, or leave the rows out"),
            *self._outside(values),
        ):
            at = np.flatnonzero(wrong.any(axis=1))
            if len(at):
                shown = f" ({listed(values[wrong].tolist(), 3)})" if not np.isnan(values[wrong]).any() else ""
                raise DataError(
                    f"{len(at)} row(s) of the {split} split have {what} as the target{shown}: {listed(rows[int(i)] for i in at)}. {advice}."
                )

    def _outside(self, values: np.ndarray) -> list[tuple[np.ndarray, str, str]]:
        """What `y_range` or `log` rules out, with what to say about it."""
        if self.y_range is not None:
            low, high = self.y_range
            return [
                ((values < low) | (values > high), f"a number outside of y_range=({low:g}, {high:g})", "Widen y_range, or mend the rows")
            ]
        if self.log == "1p":
            return [(values <= -1, "a number that has no logarithm", "log='1p' needs numbers above -1: leave log out")]
        if self.log:
            return [
                (
                    values <= 0,
                    "a number that has no logarithm",
                    "log=True needs numbers above 0; with zeros use log='1p', else leave it out",
                )
            ]
        return []

    @staticmethod
    def _array(raws: Sequence[Any], rows: Sequence[object] | None = None) -> np.ndarray:
        """Raw cells as ``(samples, numbers)`` float64; what is missing is nan."""
        try:
            return np.asarray(raws, dtype=np.float64).reshape(len(raws), -1)
        except (ValueError, TypeError):
            pass
        cells = [_numbers(raw) for raw in raws]
        bad = [i for i, cell in enumerate(cells) if cell is None]
        names = [f"row {i}" for i in range(len(raws))] if rows is None else rows
        if bad:
            raise DataError(
                f"{len(bad)} target(s) are no numbers: {listed((f'{raws[i]!r} ({names[i]})' for i in bad), 3)}. "
                "For labels use CategoryBlock; numbers written as text must read like 1234.5."
            )
        if len({len(c) for c in cells if c is not None}) > 1:
            raise DataError(
                f"The samples have {listed(sorted({len(c) for c in cells if c is not None}))} numbers each: every sample needs as many."
            )
        return np.array(cells, dtype=np.float64)

    def _scaled(self, values: np.ndarray) -> np.ndarray:
        return np.log1p(values) if self.log == "1p" else np.log(values) if self.log else values

    def encode(self, value: Any) -> Tensor:
        numbers = _numbers(value)
        if numbers is None or len(numbers) != self.n_out or not all(map(math.isfinite, numbers)):
            raise DataError(f"{value!r} is no target here: expected {'a number' if self.n_out == 1 else f'{self.n_out} numbers'}.")
        return torch.tensor(numbers[0] if self.n_out == 1 else numbers, dtype=torch.float32)

    def encode_all(self, raws: Sequence[Any]) -> Tensor:
        values = torch.from_numpy(self._array(raws).astype(np.float32))
        return values[:, 0].contiguous() if self.n_out == 1 else values

    def decode(self, encoded: Tensor) -> Any:
        values = encoded.reshape(-1).tolist()
        return values[0] if len(values) == 1 else values

    def say(self, value: Any) -> str:
        values = value if isinstance(value, (list, tuple)) else [value]
        if self.names is None or len(values) != len(self.names):
            return ", ".join(short(v, 5) for v in values)
        return ", ".join(f"{name} {short(v, 3)}" for name, v in zip(self.names, values, strict=True))

    def cells(self, label: Any) -> dict[str, Any]:
        """One number as the label; of several a cell each."""
        if not isinstance(label, (list, tuple)):
            return {"label": label}
        return dict(zip(self.names or [f"number {i}" for i in range(len(label))], label, strict=True))

    begins_flat: ClassVar[bool] = True  # random weights would begin several spreads off the mean

    def prior(self) -> Tensor:
        """What gives the mean."""
        if self.y_range is None:
            return torch.zeros(self.n_out)
        low, high = self.y_range
        mean = torch.tensor(self.mean or [(low + high) / 2] * self.n_out)
        return torch.logit(((mean - low) / (high - low)).clamp(0.01, 0.99))

    def loss(self) -> nn.Module:
        return ScaledMSELoss(self.std or [1.0] * self.n_out, self.log)

    def final(self) -> nn.Module:
        if self.y_range is not None:
            return SigmoidRange(*self.y_range)
        return OutputUnits(self.mean or [0.0] * self.n_out, self.std or [1.0] * self.n_out, self.log)


class SigmoidRange(nn.Module):
    """A sigmoid stretched to `low` ... `high`: for numbers known to lie in a range. Shape stays."""

    def __init__(self, low: float, high: float) -> None:
        super().__init__()
        self.low, self.high = checked_range((low, high))

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(x.float()) * (self.high - self.low) + self.low  # in half precision numbers would come in steps

    def extra_repr(self) -> str:
        return f"{self.low}, {self.high}"


class OutputUnits(nn.Module):
    """From numbers of mean 0 and spread 1 to the target's own units: ``mean + std * x``, of that the exponential where the target
    is predicted by its logarithm. ``(batch, numbers)`` in and out."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float], log: bool | str = False) -> None:
        super().__init__()
        self.log = log
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.addcmul(self.mean, x.float(), self.std)
        return torch.expm1(x) if self.log == "1p" else torch.exp(x) if self.log else x


class ScaledMSELoss(nn.Module):
    """Mean squared error in units of the target's variance; with `log` of the logarithms.

    Args:
        std: the target's spread in training, one a number (of its logarithms where `log`).
        reduction: "mean", "sum" or "none" (the target's shape).
    """

    scale: Tensor

    def __init__(self, std: Sequence[float], log: bool | str = False, reduction: str = "mean") -> None:
        super().__init__()
        self.std, self.log, self.reduction = [float(s) for s in std], log, reduction
        self.register_buffer("scale", 1 / torch.tensor(self.std, dtype=torch.float32))

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        if output.numel() != target.numel() or len(output) != len(target):
            raise ValueError(
                f"ScaledMSELoss: outputs {tuple(output.shape)} for targets {tuple(target.shape)}; expected one output a number: {len(self.std)} a sample."
            )
        out, targ = output.float().reshape(len(target), -1), target.float().reshape(len(target), -1)
        if self.log:
            out, targ = (v.log1p() for v in (out, targ)) if self.log == "1p" else (v.log() for v in (out, targ))
        squared = ((out - targ) * self.scale).square()
        if self.reduction == "none":
            return squared.reshape(target.shape)
        return squared.mean() if self.reduction == "mean" else squared.sum()


def checked_range(y_range: Sequence[float]) -> tuple[float, float]:
    """(low, high) as floats. Raises SettingError unless it is two numbers, the second one larger."""
    try:
        low, high = (float(v) for v in y_range)
        good = high > low
    except (TypeError, ValueError):
        good = False
    if not good:
        raise SettingError(f"y_range={y_range!r}: expected (low, high) with high above low.")
    return low, high


def _checked_names(names: Sequence[str], n_out: int | None) -> list[str]:
    """The names as texts. Raises SettingError unless there is one of its own for each of `n_out` numbers."""
    if isinstance(names, str) or len(set(map(str, names))) < len(names) or n_out not in (None, len(names)):
        raise SettingError(
            f"names={names!r}: expected a list of different names{'' if n_out is None else f', {n_out} of them'}, one a number, such as ['width', 'height']."
        )
    return [str(name) for name in names]


def _numbers(raw: Any) -> list[float] | None:
    """A raw cell as a list of numbers; missing ones nan; None for what is no number."""
    cells: Any = raw if isinstance(raw, (list, tuple, np.ndarray, Tensor)) and np.ndim(raw) else [raw]
    out = []
    for cell in cells:
        if cell is None or type(cell).__name__ in ("NAType", "NaTType"):
            out.append(math.nan)
            continue
        try:
            out.append(float(cell))
        except (TypeError, ValueError):
            return None
    return out
