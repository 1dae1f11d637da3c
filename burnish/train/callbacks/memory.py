"""Going on when the device's memory doesn't hold a batch: the same batch in parts."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from burnish.data.notes import note
from burnish.errors import SettingError
from burnish.train.callback import Callback
from burnish.train.callbacks.generators import rng_from, rng_states

if TYPE_CHECKING:
    from burnish.train.learner import Learner

Inputs = dict[str | int, Any]  # arguments of the model: by position or by name
Outputs = tuple[Tensor, ...]


class OutOfMemoryRetry(Callback):
    """When the device runs out of memory in the forward or the backward pass, runs the same batch again in halves (then
    quarters, ...), for the rest of the fit. Nothing of the batch is lost and the step is still the whole batch's.

    In parts, a batch goes forward without a graph, the loss is taken on the whole batch, and each part then goes forward
    again and backward, adding up its gradients (Gao et al. 2021, arXiv:2101.06983): exact for any loss, about a third
    slower, and batch norm sees the parts' statistics. The model must give one tensor or a tuple of tensors; a loss that
    reaches into the model's inner activations can't be used with it.
    """

    order: ClassVar[float] = -50

    def __init__(self) -> None:
        self.parts = 1
        self._model: nn.Module | None = None
        self._forward: Callable[..., Any] | None = None
        self._own_forward = False
        self._autocast: Callable[[], Any] = nullcontext

    def before_fit(self, learn: Learner) -> None:
        self._model, self._forward = learn.model, learn.model.forward
        self._own_forward = "forward" in vars(learn.model)
        self._autocast = getattr(learn.precision, "autocast", nullcontext)
        learn.model.forward = self._guarded

    def after_fit(self, learn: Learner) -> None:
        if self._model is not None:
            if self._own_forward:
                self._model.forward = self._forward  # type: ignore[assignment]
            else:
                del self._model.forward
        self._model = self._forward = None
        self.parts = 1

    def state_dict(self) -> dict[str, object]:
        return {"parts": self.parts}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.parts = state["parts"]

    # -- forward ----------------------------------------------------------------------------------------------------
    def _guarded(self, *args: Any, **kwargs: Any) -> Any:
        """What the model's ``forward`` is during the fit."""
        inputs: Inputs = {**dict(enumerate(args)), **kwargs}
        if torch.is_grad_enabled():
            trigger = torch.zeros((), requires_grad=True)
            out = _Guarded.apply(trigger, self, inputs)
        else:
            out = self.retried(inputs, lambda: self.forward_parts(inputs))
        return out[0] if len(out) == 1 else out

    def call(self, inputs: Inputs) -> Outputs:
        """The model's own forward; always a tuple."""
        assert self._forward is not None
        named = {k: v for k, v in inputs.items() if isinstance(k, str)}
        out = self._forward(*[v for k, v in inputs.items() if isinstance(k, int)], **named)
        out = (out,) if isinstance(out, Tensor) else out
        if not isinstance(out, (tuple, list)) or not all(isinstance(t, Tensor) for t in out):
            raise SettingError(
                f"OutOfMemoryRetry needs a model that gives a tensor or a tuple of tensors; this one gives {type(out).__name__}. Leave the callback out."
            )
        return tuple(out)

    def forward_parts(self, inputs: Inputs) -> Outputs:
        """The whole batch, part by part; for where there is no graph."""
        return tuple(torch.cat(pieces) for pieces in zip(*(self.call(part) for part in self.split(inputs)), strict=True))

    def split(self, inputs: Inputs) -> list[Inputs]:
        """The arguments of the parts: tensors as long as the batch are cut, everything else goes to every part."""
        n = batch_size(inputs)
        size = -(-n // self.parts)
        return [
            {k: v[i : i + size] if isinstance(v, Tensor) and v.ndim and len(v) == n else v for k, v in inputs.items()}
            for i in range(0, n, size)
        ]

    # -- retrying ---------------------------------------------------------------------------------------------------
    def retried(self, inputs: Inputs, attempt: Callable[[], Any]) -> Any:
        """The result of `attempt`, made again with more parts as long as the memory runs out."""
        while True:
            try:
                return attempt()
            except RuntimeError as error:
                if not is_out_of_memory(error) or self.parts >= batch_size(inputs):
                    raise
            self._more_parts(inputs)  # outside of except: what the failed attempt held is free by now

    def _more_parts(self, inputs: Inputs) -> None:
        n = batch_size(inputs)
        self.parts = min(2 * self.parts, n)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        note(
            f"OutOfMemoryRetry: out of memory with {n} samples at once; going on with parts of {-(-n // self.parts)}, a step still takes all {n}."
        )

    # -- backward ---------------------------------------------------------------------------------------------------
    def backward(self, ctx: Any, grads: Outputs) -> None:
        """Adds the batch's gradients to the parameters', from those of the outputs. `ctx` holds what forward left."""
        assert self._model is not None
        params = list(self._model.parameters())
        earlier = [p.grad for p in params]  # of earlier batches, when gradients are accumulated: must survive a retry

        def attempt() -> None:
            for p in params:
                p.grad = None
            graph, ctx.whole = ctx.whole, None  # nothing else holds the graph, so a failed attempt frees it
            if graph is not None:
                _pull_back(graph, grads)
            else:
                self._backward_parts(ctx.inputs, grads, ctx.states)

        self.retried(ctx.inputs, attempt)
        for p, before in zip(params, earlier, strict=True):
            if before is not None:
                p.grad = before if p.grad is None else before.add_(p.grad)

    def _backward_parts(self, inputs: Inputs, grads: Outputs, states: list[Tensor]) -> None:
        """Each part forward again, as it was (dropout, statistics of norms), and backward."""
        assert self._model is not None
        buffers = [(b, b.clone()) for b in self._model.buffers()]
        first = 0
        with torch.enable_grad(), rng_from(states):
            for part in self.split(inputs):
                with self._autocast():
                    out = self.call(part)
                n = batch_size(part)
                _pull_back(out, tuple(g[first : first + n] for g in grads))
                first += n
        for buffer, kept in buffers:
            buffer.copy_(kept)


class _Guarded(torch.autograd.Function):
    """The model as one node of the graph, whose backward can be tried again."""

    @staticmethod
    def forward(ctx: Any, trigger: Tensor, guard: OutOfMemoryRetry, inputs: Inputs) -> Outputs:
        if any(isinstance(v, Tensor) and v.requires_grad for v in inputs.values()):
            raise SettingError(
                "OutOfMemoryRetry can't give gradients to the inputs of the model, and an input requires them. Leave the callback out."
            )
        ctx.guard, ctx.inputs, ctx.whole, ctx.states = guard, inputs, None, rng_states()

        def attempt() -> Outputs:
            if guard.parts > 1:
                ctx.states = rng_states()
                return guard.forward_parts(inputs)
            with torch.enable_grad():
                ctx.whole = guard.call(inputs)
            return tuple(t.detach() for t in ctx.whole)

        out = guard.retried(inputs, attempt)
        ctx.mark_non_differentiable(*[t for t in out if not t.is_floating_point()])
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, None, None]:
        ctx.guard.backward(ctx, grads)
        return None, None, None


def _pull_back(out: Outputs, grads: Outputs) -> None:
    pairs = [(t, g) for t, g in zip(out, grads, strict=True) if t.requires_grad]
    if pairs:
        torch.autograd.backward([t for t, _ in pairs], [g for _, g in pairs])


def batch_size(inputs: Inputs) -> int:
    """Length of the first tensor among the arguments."""
    return next((len(v) for v in inputs.values() if isinstance(v, Tensor) and v.ndim), 1)


def is_out_of_memory(error: BaseException) -> bool:
    """Is this the device's (or the allocator's) word for a lack of memory?"""
    text = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in text or "can't allocate memory" in text


__all__ = ["OutOfMemoryRetry", "batch_size", "is_out_of_memory"]
