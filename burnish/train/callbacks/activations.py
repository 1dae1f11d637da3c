"""What the layers give while a model trains: mean, spread and how much of it is near zero, a batch at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from burnish.errors import SettingError
from burnish.train.callback import Callback
from burnish.train.hooks import Hooks, mapped

if TYPE_CHECKING:
    from burnish.train.learner import Learner

_NEAR = 0.05  # what counts as near zero: at most this
_BINS, _LOW, _HIGH = 40, 0.0, 10.0  # of the histogram
_FIGURES = ("mean", "std", "near_zero")


class ActivationStats(Callback):
    """Keeps, of every training batch, the mean and standard deviation of each layer's output and the share of it that is at most 0.05, with
    `with_hist` also a histogram. Nothing is read back from the device until it is asked for.

    Args:
        with_hist: 40 bins from 0 to 10, for ``color_dim``.
        modules: the layers; None is every layer that has parameters and no layers in it.
        every: only every so many batches; None is each.

    Example:
        ``learn.fit(1, cbs=ActivationStats(with_hist=True)); learn.activation_stats.plot_layer_stats(-2)``, where it is one of ``learn.cbs``.
    """

    order: ClassVar[float] = -20

    def __init__(self, with_hist: bool = False, modules: Sequence[nn.Module] | None = None, every: int | None = None) -> None:
        if every is not None and every < 1:
            raise SettingError(f"every={every!r}: expected a number of batches of at least 1, or None for each.")
        self.with_hist, self.modules, self.every = with_hist, modules, every
        self._figures: list[list[tuple[Tensor, Tensor | None]]] = []
        self._hooks: Hooks | None = None

    def before_fit(self, learn: Learner) -> None:
        self._figures = []
        self._learn = learn
        layers = self.modules if self.modules is not None else [m for m in learn.model.modules() if _is_layer(m)]
        self._hooks = Hooks(layers, self._measured)

    def before_batch(self, learn: Learner) -> None:
        if self._hooks is not None:
            for hook in self._hooks:
                hook.stored = None

    def after_batch(self, learn: Learner) -> None:
        if self._hooks is not None and learn.training and self._is_due(learn):
            self._figures.append([s for s in self._hooks.stored if s is not None])

    def after_fit(self, learn: Learner) -> None:
        if self._hooks is not None:
            self._hooks.remove()
        self._hooks, self._learn = None, None

    def _is_due(self, learn: Learner) -> bool:
        return self.every is None or (learn.epoch * learn.n_batches + learn.batch_index) % self.every == 0

    def _measured(self, module: nn.Module, input: Any, output: Any) -> tuple[Tensor, Tensor | None] | None:
        learn = self._learn
        if learn is None or not learn.training or not self._is_due(learn):
            return None
        found: list[Tensor] = []
        mapped(output, found.append)
        if not found:
            return None
        out = found[0].float()
        figures = torch.stack([out.mean(), out.std(), (out <= _NEAR).float().mean()])
        return figures, out.histc(_BINS, _LOW, _HIGH) if self.with_hist else None

    # -- what was kept ---------------------------------------------------------------------------------------------
    @property
    def stats(self) -> list[list[dict[str, Any]]]:
        """Of each batch, of each layer: mean, std, near_zero, and hist where it was asked for."""
        out = []
        for batch in self._figures:
            rows: list[dict[str, Any]] = [dict(zip(_FIGURES, figures.tolist(), strict=True)) for figures, _ in batch]
            for row, (_, hist) in zip(rows, batch, strict=True):
                if hist is not None:
                    row["hist"] = hist.cpu()
            out.append(rows)
        return out

    def layer_stats(self, idx: int) -> list[list[float]]:
        """Of one layer: the means, the standard deviations and the shares near zero, a number a batch."""
        kept = torch.stack([batch[idx][0] for batch in self._kept(idx)]).cpu()
        return [kept[:, i].tolist() for i in range(len(_FIGURES))]

    def hist(self, idx: int) -> Tensor:
        """Of one layer: ``log(1 + count)`` of each bin ``(40, batches)``."""
        hists = [batch[idx][1] for batch in self._kept(idx)]
        if any(h is None for h in hists):
            raise SettingError("There are no histograms: make it with ActivationStats(with_hist=True).")
        return torch.stack([h for h in hists if h is not None], dim=1).cpu().float().log1p()

    def _kept(self, idx: int) -> list[list[tuple[Tensor, Tensor | None]]]:
        if not self._figures:
            raise SettingError("Nothing has been measured yet: pass it to a fit first, learn.fit(1, cbs=stats).")
        n = len(self._figures[0])
        if not -n <= idx < n:
            raise SettingError(f"Layer {idx} was asked for, and {n} were measured: 0 to {n - 1}, or -1 for the last.")
        return self._figures

    def plot_layer_stats(self, idx: int) -> Any:
        """Draws them, over the batches; gives the axes."""
        import matplotlib.pyplot as plt

        _, axes = plt.subplots(1, 3, figsize=(12, 3), layout="compressed")
        for ax, values, title in zip(axes, self.layer_stats(idx), ("mean", "standard deviation", "share near zero"), strict=True):
            ax.plot(values)
            ax.set_title(title)
            ax.set_xlabel("training batch")
        return axes

    def color_dim(self, idx: int, figsize: tuple[float, float] = (10, 5), ax: Any = None) -> Any:
        """Draws the histograms of a layer, a column a batch, dark where few values are; gives the axes."""
        if ax is None:
            import matplotlib.pyplot as plt

            ax = plt.subplots(figsize=figsize)[1]
        ax.imshow(self.hist(idx).numpy(), origin="lower", aspect="auto", extent=(0, len(self._figures), _LOW, _HIGH))
        ax.set_xlabel("training batch")
        ax.set_ylabel("activation")
        return ax


def _is_layer(m: nn.Module) -> bool:
    return next(m.children(), None) is None and next(m.parameters(recurse=False), None) is not None


__all__ = ["ActivationStats"]
