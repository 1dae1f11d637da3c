"""Looking into a model while it runs: what goes through its layers, forward or backward, kept for the duration of a block."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from burnish.errors import SettingError

HookFunction = Callable[[nn.Module, Any, Any], Any]


def mapped(value: Any, f: Callable[[Tensor], Any]) -> Any:
    """`f` of every tensor in lists, tuples and dictionaries; what is no tensor stays."""
    if isinstance(value, Tensor):
        return f(value)
    if isinstance(value, Mapping):
        return {k: mapped(v, f) for k, v in value.items()}
    return type(value)(mapped(v, f) for v in value) if isinstance(value, (list, tuple)) else value


class Hook:
    """Calls ``hook_func(module, input, output)`` whenever a module has run and keeps what it gives in ``stored``; of a backward pass with
    ``is_forward=False`` (then input and output are gradients). A context manager: the hook is taken off at the end of the block.

    Args:
        m: the module. detach: without the graph. cpu: moved to the CPU.

    Example:
        >>> layer = nn.Linear(2, 3)
        >>> with Hook(layer, lambda m, i, o: o.mean()) as hook:
        ...     _ = layer(torch.ones(4, 2))
        >>> hook.stored.shape
        torch.Size([])
    """

    def __init__(self, m: nn.Module, hook_func: HookFunction, is_forward: bool = True, detach: bool = True, cpu: bool = False) -> None:
        if not isinstance(m, nn.Module):
            raise SettingError(f"A hook is put on a module; {m!r} is a {type(m).__name__}.")
        self.hook_func, self.detach, self.cpu, self.stored, self.removed = hook_func, detach, cpu, None, False
        if not is_forward and not m._backward_hooks:
            m._is_full_backward_hook = None  # PyTorch remembers the kind of hooks that have gone
        self.handle = (m.register_forward_hook if is_forward else m.register_full_backward_hook)(self._called)

    def _called(self, module: nn.Module, input: Any, output: Any) -> None:
        input, output = (mapped(v, self._released) for v in (input, output))
        self.stored = self.hook_func(module, input, output)

    def _released(self, t: Tensor) -> Tensor:
        t = t.detach() if self.detach else t
        return t.cpu() if self.cpu else t

    def remove(self) -> None:
        """Takes the hook off."""
        self.handle.remove()
        self.removed = True

    def __enter__(self) -> Hook:
        return self

    def __exit__(self, *args: Any) -> None:
        self.remove()


class Hooks:
    """A `Hook` on each of several modules; ``stored`` lists what they keep."""

    def __init__(
        self, ms: Iterable[nn.Module], hook_func: HookFunction, is_forward: bool = True, detach: bool = True, cpu: bool = False
    ) -> None:
        self.hooks: list[Hook] = []
        try:
            for m in ms:
                self.hooks.append(Hook(m, hook_func, is_forward, detach, cpu))
        except BaseException:
            self.remove()
            raise

    @property
    def stored(self) -> list[Any]:
        return [hook.stored for hook in self.hooks]

    def remove(self) -> None:
        """Takes them all off."""
        for hook in self.hooks:
            hook.remove()

    def __getitem__(self, i: int) -> Hook:
        return self.hooks[i]

    def __len__(self) -> int:
        return len(self.hooks)

    def __iter__(self) -> Iterator[Hook]:
        return iter(self.hooks)

    def __enter__(self) -> Hooks:
        return self

    def __exit__(self, *args: Any) -> None:
        self.remove()


def _output(module: nn.Module, input: Any, output: Any) -> Any:
    return output


def _first_gradient(module: nn.Module, input: Any, output: Any) -> Any:
    return output[0] if isinstance(output, tuple) and len(output) == 1 else output


def hook_output(module: nn.Module, detach: bool = True, cpu: bool = False, grad: bool = False) -> Hook:
    """Keeps a module's output, or (`grad`) the gradient of it: ``with hook_output(layer) as hook: model(x); hook.stored``."""
    return Hook(module, _first_gradient if grad else _output, is_forward=not grad, detach=detach, cpu=cpu)


def hook_outputs(modules: Sequence[nn.Module], detach: bool = True, cpu: bool = False, grad: bool = False) -> Hooks:
    """Keeps the outputs of several modules, or (`grad`) their gradients."""
    return Hooks(modules, _first_gradient if grad else _output, is_forward=not grad, detach=detach, cpu=cpu)


def dummy_eval(m: nn.Module, size: tuple[int, int] = (64, 64)) -> Tensor:
    """The model's output for one picture of zeros ``(1, channels, *size)``, in evaluation mode; the mode it had comes back."""
    weight = next((p for p in m.parameters() if p.ndim == 4), None)
    if weight is None:
        raise SettingError(f"{type(m).__name__} has no convolution, so it isn't known how many channels it takes.")
    was = {module: module.training for module in m.modules()}
    try:
        with torch.no_grad():
            return m.eval()(torch.zeros(1, weight.shape[1], *size, device=weight.device))
    finally:
        for module, training in was.items():
            module.training = training


def model_sizes(m: nn.Sequential, size: tuple[int, int] = (64, 64)) -> list[tuple[int, ...]]:
    """The shape of what each of a model's parts gives, for one picture of that size."""
    with hook_outputs(list(m.children())) as hooks:
        dummy_eval(m, size)
        return [tuple(o.shape) for o in hooks.stored]


def num_features_model(m: nn.Sequential) -> int:
    """The channels of what a body gives."""
    size = 64
    while True:  # some bodies halve a picture more often than it can be
        try:
            return model_sizes(m, (size, size))[-1][1]
        except Exception:
            size *= 2
            if size > 2048:
                raise


__all__ = ["Hook", "Hooks", "dummy_eval", "hook_output", "hook_outputs", "model_sizes", "num_features_model"]
