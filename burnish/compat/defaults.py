"""What fastai keeps for a whole session, ``defaults``, and small things of notebooks."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from burnish.compat.lists import first
from burnish.compat.torch_tools import to_detach
from burnish.data.collections import L
from burnish.data.views import notebook

__all__ = [
    "Chunks",
    "base_doc",
    "defaults",
    "display",
    "display_df",
    "doc",
    "get_empty_df",
    "grad_module",
    "ismin_torch",
    "make_cross_image",
    "maybe_gather",
    "nested_reorder",
    "np_func",
    "rank0_first",
    "setup_cuda",
    "setup_distrib",
    "show_doc",
    "show_image_batch",
    "teardown_distrib",
]  # fmt: skip

defaults = SimpleNamespace(
    cpus=min(os.cpu_count() or 1, 16), use_cuda=None, activation=nn.ReLU, lr=1e-3, callbacks=[], benchmark=True
)  # what code for fastai sets; burnish looks at `lr` and `callbacks` where a learner is made


def display(*objs: Any, **kwargs: Any) -> None:
    """Shows things: IPython's in a notebook, else print."""
    if notebook():
        from IPython.display import display as shown

        shown(*objs, **kwargs)
    else:
        for obj in objs:
            print(obj)


def display_df(df: Any) -> None:
    """Shows a table whole."""
    from burnish.train.results import show_frame

    show_frame(df)


def get_empty_df(n: int) -> Any:
    """A table of `n` rows and no columns."""
    import pandas as pd

    return pd.DataFrame(index=range(n))


def doc(elt: Any) -> None:
    """Prints what a function or class is called with, and what it does."""
    name = getattr(elt, "__qualname__", type(elt).__name__)
    try:
        signature = str(inspect.signature(elt))
    except (TypeError, ValueError):
        signature = ""
    print(f"{name}{signature}\n{inspect.getdoc(elt) or ''}".rstrip())


base_doc = show_doc = doc


def setup_cuda(benchmark: bool = True) -> None:
    """cuDNN's search for the fastest algorithms, on or off; ``DEFAULT_GPU`` in the environment chooses the GPU."""
    if torch.cuda.is_available():
        gpu = int(os.environ.get("DEFAULT_GPU") or 0)
        if torch.cuda.device_count() > gpu:
            torch.cuda.set_device(gpu)
        torch.backends.cudnn.benchmark = benchmark


def rank0_first(func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Calls it: there is one process, which is the first."""
    return func(*args, **kwargs)


def setup_distrib(gpu: int | None = None) -> int | None:
    """Nothing: there is one process. Gives `gpu`."""
    return gpu


def teardown_distrib() -> None:
    """Nothing."""


def ismin_torch(min_version: str) -> bool:
    """Whether torch is at least of this version."""
    return _version(torch.__version__) >= _version(min_version)


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("+")[0].split(".")[:3] if part.isdigit())


def maybe_gather(x: Any, axis: int = 0) -> Any:
    """As it is: there is one process."""
    _ = axis
    return x


def nested_reorder(t: Any, idxs: Any) -> Any:
    """Samples in another order, in tensors, lists and tuples."""
    if isinstance(t, (Tensor, L)):
        return t[idxs]
    if isinstance(t, (list, tuple)):
        return type(t)(nested_reorder(part, idxs) for part in t)
    if t is None:
        return None
    raise TypeError(f"nested_reorder takes tensors, and lists and tuples of them; got a {type(t).__name__}.")


def np_func(f: Callable[..., Any]) -> Callable[..., Any]:
    """A function of arrays as one of tensors."""

    def function(*args: Any, **kwargs: Any) -> Any:
        found = f(*[a.detach().cpu().numpy() if isinstance(a, Tensor) else a for a in args], **kwargs)
        return torch.as_tensor(found) if hasattr(found, "shape") else found

    function.__name__, function.__doc__ = getattr(f, "__name__", "function"), f.__doc__
    return function


def grad_module(cls: Any) -> type[nn.Module]:
    """A module class out of a ``torch.autograd.Function``."""

    class Applied(nn.Module):
        def forward(self, *args: Any) -> Any:
            return cls.apply(*args)

    Applied.__name__ = Applied.__qualname__ = cls.__name__
    return Applied


def make_cross_image(bw: bool = True) -> Tensor:
    """A picture of a cross: ``(5, 5)``, or in colours ``(3, 5, 5)``."""
    if bw:
        im = torch.zeros(5, 5)
        im[2, :] = im[:, 2] = 1.0
    else:
        im = torch.zeros(3, 5, 5)
        im[0, 2, :], im[1, :, 2] = 1.0, 1.0
    return im


def show_image_batch(b: Any, show: Any = None, items: int = 9, cols: int = 3, figsize: Any = None, **kwargs: Any) -> None:
    """Draws the pictures of a batch, with their labels as titles."""
    from burnish.compat.drawing import show_images

    pictures, labels = b[0][:items], b[1][:items] if len(b) > 1 else [""] * items
    if show is not None:
        for im, label in zip(pictures, labels, strict=False):
            show((im, label), **kwargs)
        return
    titles = [str(v.item() if isinstance(v, Tensor) and v.ndim == 0 else v) for v in labels]
    rows = -(-len(pictures) // cols)
    show_images(list(to_detach(pictures)), nrows=rows, ncols=cols, titles=titles, **({"figsize": figsize} if figsize else {}))


class Chunks:
    """Slices of several tensors or lists as if they were one: ``Chunks(parts, lens)[3:9]``."""

    def __init__(self, chunks: Iterable[Any], lens: Iterable[int] | None = None) -> None:
        self.chunks = L(list(chunks), use_list=True)
        sizes = list(map(len, self.chunks)) if lens is None else list(lens)
        self.cumlens = [sum(sizes[:i]) for i in range(len(sizes) + 1)]
        self.totlen = self.cumlens[-1]

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            start, stop, step = i.indices(self.totlen)
            if step != 1:
                raise ValueError(f"Chunks[{i}]: slices go step by step.")
            parts = [
                c[max(0, start - at) : stop - at]
                for c, at in zip(self.chunks, self.cumlens, strict=False)
                if at < stop and at + len(c) > start
            ]
            return (
                torch.cat(parts)
                if parts and isinstance(parts[0], Tensor)
                else type(first(self.chunks))()
                if not parts
                else sum(parts[1:], parts[0])
            )
        place = i + self.totlen if i < 0 else i
        if not 0 <= place < self.totlen:
            raise IndexError(f"Chunks[{i}]: there are {self.totlen}.")
        which = next(n for n in range(len(self.chunks)) if place < self.cumlens[n + 1])
        return self.chunks[which][place - self.cumlens[which]]
