"""The losses as a graph that grows while a model trains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from burnish.data.views import notebook
from burnish.train.callback import Callback

if TYPE_CHECKING:
    from burnish.train.learner import Learner


class ShowGraph(Callback):
    """Draws the training loss, and the validation loss at each epoch's end, anew after every epoch of a fit in a notebook, below its table; elsewhere it draws
    nothing (``learn.recorder.plot_loss()`` does, when the fit has ended).

    Args:
        log: a logarithmic axis of losses.
    """

    order: ClassVar[float] = 65

    def __init__(self, log: bool = False) -> None:
        self.log = log
        self._handle: Any = None

    def before_fit(self, learn: Learner) -> None:
        self._handle = None

    def after_epoch(self, learn: Learner) -> None:
        if not notebook() or not learn.recorder.losses:
            return
        import matplotlib.pyplot as plt
        from IPython.display import display

        figure, ax = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
        learn.recorder.plot_loss(log=self.log, ax=ax)
        plt.close(figure)  # or the notebook draws it once more
        if self._handle is None:
            self._handle = display(figure, display_id=True)
        else:
            self._handle.update(figure)


__all__ = ["ShowGraph"]
