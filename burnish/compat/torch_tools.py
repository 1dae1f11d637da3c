"""Small functions on tensors and nested batches that notebooks for fastai use."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from burnish.compat.helpers import is_iter
from burnish.compat.layers import norm_types
from burnish.compat.lists import first
from burnish.data.collections import L

__all__ = [
    "apply", "batch_to_samples", "default_device", "distrib_barrier", "find_bs", "find_device", "flatten_check", "get_c", "get_first", "get_model", "get_random_states", "item_find", "logit", "no_random",
    "norm_bias_params", "notmax_torch", "num_distrib", "one_hot", "one_hot_decode", "one_param", "params", "rank_distrib", "set_random_states", "set_seed", "tensor", "to_concat", "to_cpu", "to_detach", "to_device",
    "to_float", "to_half", "to_np", "trainable_params", "unsqueeze", "unsqueeze_",
]  # fmt: skip


# -- making tensors -----------------------------------------------------------------------------------------------------
def tensor(x: Any, *rest: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False) -> Tensor:
    """A tensor of numbers, lists, arrays, series or pictures; of several arguments, of their list. Doubles become single precision, unless `dtype` says otherwise."""
    x = (x, *rest) if rest else x
    made = x if isinstance(x, Tensor) else _made(x)
    if dtype is None and made.dtype is torch.float64 and not isinstance(x, Tensor):
        made = made.float()
    made = made.to(device=device, dtype=dtype) if dtype is not None or device is not None else made
    made = made.pin_memory() if pin_memory else made
    return made.requires_grad_() if requires_grad else made


def _made(x: Any) -> Tensor:
    if isinstance(x, (list, tuple)):
        if x and all(isinstance(o, Tensor) and o.ndim for o in x):
            return torch.stack(list(x))
        return torch.tensor(list(x))
    if hasattr(x, "__array__") or hasattr(x, "__array_interface__"):
        found = np.array(x)
        return torch.from_numpy(found if found.dtype != np.uint16 else found.astype(np.float32))
    return torch.as_tensor(list(x) if is_iter(x) and not isinstance(x, (str, bytes)) else x)


def one_hot(x: Any, c: int) -> Tensor:
    """Zeros ``(c,)`` with 1 at the places in `x`."""
    made = torch.zeros(c, dtype=torch.uint8)
    places = x if isinstance(x, Tensor) else tensor(x)
    if places.numel():
        made[places.long()] = 1
    return made


def one_hot_decode(x: Tensor, vocab: Any = None) -> L[Any]:
    """The places of the ones, or what `vocab` has there."""
    return L([vocab[i] if vocab is not None else i for i, v in enumerate(x) if v == 1])


def logit(x: Tensor) -> Tensor:
    """The inverse of the sigmoid, of numbers kept a little away from 0 and 1."""
    x = x.clamp(1e-7, 1 - 1e-7)
    return -(1 / x - 1).log()


def unsqueeze(x: Tensor, dim: int = -1, n: int = 1) -> Tensor:
    """With `n` more dimensions at `dim`."""
    for _ in range(n):
        x = x.unsqueeze(dim)
    return x


def unsqueeze_(x: Tensor, dim: int = -1, n: int = 1) -> Tensor:
    """The same, in place."""
    for _ in range(n):
        x.unsqueeze_(dim)
    return x


def notmax_torch(max_version: str) -> bool:
    """Whether torch is older than this version."""
    own, other = ([int(part) for part in text.split("+")[0].split(".")[:3] if part.isdigit()] for text in (torch.__version__, max_version))
    return own < other


# -- nested batches -----------------------------------------------------------------------------------------------------
def apply(func: Callable[..., Any], x: Any, *args: Any, **kwargs: Any) -> Any:
    """`func` of each part of lists, tuples and dictionaries."""
    if isinstance(x, (list, tuple)):
        made = [apply(func, o, *args, **kwargs) for o in x]
        return type(x)(*made) if hasattr(x, "_fields") else type(x)(made)
    if isinstance(x, Mapping):
        return {k: apply(func, v, *args, **kwargs) for k, v in x.items()}
    return func(x, *args, **kwargs)


def default_device(use: Any = -1) -> torch.device:
    """Where things are computed: an accelerator where there is one, and `use` isn't False."""
    if use is not False and torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    if use is not False and torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def to_device(b: Any, device: Any = None, non_blocking: bool = False) -> Any:
    """All tensors of a batch on a device."""
    device = default_device() if device is None else default_device(device) if isinstance(device, bool) else device
    return apply(lambda o: o.to(device, non_blocking=non_blocking) if isinstance(o, Tensor) else o, b)


def to_cpu(b: Any) -> Any:
    return to_device(b, "cpu")


def to_half(b: Any) -> Any:
    """Floating point tensors in half precision."""
    return apply(lambda o: o.half() if torch.is_tensor(o) and torch.is_floating_point(o) else o, b)


def to_float(b: Any) -> Any:
    """Floating point tensors in single precision."""
    return apply(lambda o: o.float() if torch.is_tensor(o) and torch.is_floating_point(o) else o, b)


def to_detach(b: Any, cpu: bool = True, gather: bool = True) -> Any:
    """Without the graph, on the CPU."""
    _ = gather
    return apply(lambda o: (o.detach().cpu() if cpu else o.detach()) if isinstance(o, Tensor) else o, b)


def to_np(x: Any) -> Any:
    """As numpy arrays."""
    return apply(lambda o: o.detach().cpu().numpy(), x)


def to_concat(xs: Any, dim: int = 0) -> Any:
    """The batches of a list joined, part by part."""
    if not xs:
        return xs
    if isinstance(xs[0], (list, tuple)):
        return type(xs[0])([to_concat([x[i] for x in xs], dim=dim) for i in range(len(xs[0]))])
    if isinstance(xs[0], Mapping):
        return {k: to_concat([x[k] for x in xs], dim=dim) for k in xs[0]}
    try:
        return torch.cat(list(xs), dim=dim)
    except RuntimeError:  # of different shapes
        return L([o_ for o in xs for o_ in o])


def item_find(x: Any, idx: int = 0) -> Any:
    """The first tensor in nested lists and dictionaries."""
    if isinstance(x, (list, tuple)):
        return item_find(x[idx])
    return item_find(list(x.values())[idx]) if isinstance(x, Mapping) else x


def find_bs(b: Any) -> int:
    """How many samples a batch has."""
    found = item_find(b)
    return found.shape[0] if hasattr(found, "shape") else len(found)


def find_device(b: Any) -> torch.device:
    return item_find(b).device


def batch_to_samples(b: Any, max_n: int = 10) -> L[Any]:
    """A batch as a list of samples, at most `max_n`."""
    if isinstance(b, Tensor):
        return L(list(b[:max_n]), use_list=True)
    return L(list(zip(*(batch_to_samples(part, max_n) for part in b), strict=True)), use_list=True)


def flatten_check(inp: Tensor, targ: Tensor) -> tuple[Tensor, Tensor]:
    """Both flat, of the same number of elements."""
    inp, targ = inp.contiguous().view(-1), targ.contiguous().view(-1)
    if len(inp) != len(targ):
        raise AssertionError(f"==: {len(inp)} {len(targ)}: as many predictions as targets are expected")
    return inp, targ


# -- models -------------------------------------------------------------------------------------------------------------
def params(m: nn.Module) -> list[nn.Parameter]:
    """All parameters."""
    return list(m.parameters())


def trainable_params(m: nn.Module) -> L[nn.Parameter]:
    """Those that are trained."""
    return L([p for p in m.parameters() if p.requires_grad])


def norm_bias_params(m: nn.Module, with_bias: bool = True) -> L[nn.Parameter]:
    """Those of normalisation layers, and biases."""
    if isinstance(m, norm_types):
        return L(list(m.parameters()))
    own = [p for name, p in m.named_parameters(recurse=False) if name == "bias"] if with_bias else []
    return L([*own, *(p for child in m.children() for p in norm_bias_params(child, with_bias))])


def one_param(m: nn.Module) -> nn.Parameter | None:
    """The first."""
    return first(m.parameters())


def get_model(model: Any) -> Any:
    """The model within a wrapper that spreads it over devices."""
    return model.module if isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)) else model


def get_c(dls: Any) -> int:
    """How many outputs data asks for, classes or numbers: as the data says it, else its item or batch transforms, else the length of its (last) vocabulary."""
    for where in ("c", "train.after_item.c", "train.after_batch.c"):
        found: Any = dls
        for name in where.split("."):
            found = getattr(found, name, None)
        found = found[-1] if isinstance(found, (list, tuple)) and found else found
        if isinstance(found, int) and found:
            return found
    vocab = getattr(dls, "vocab", None) or []
    return len(vocab[-1]) if len(vocab) and not isinstance(vocab[-1], str) and hasattr(vocab[-1], "__len__") else len(vocab)


def get_first(c: Any) -> Any:
    """The first of several, or what there is."""
    return c[0] if isinstance(c, (list, tuple)) and len(c) else c


# -- chance and processes -----------------------------------------------------------------------------------------------
def set_seed(s: int, reproducible: bool = False) -> None:
    """Seeds the generators of Python, numpy and PyTorch; burnish's own take ``seed=``."""
    torch.manual_seed(s)
    random.seed(s)
    np.random.seed(s % (2**32))
    if reproducible:
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False


def get_random_states() -> dict[str, Any]:
    """The states of these generators."""
    return {
        "random_state": random.getstate(),
        "numpy_state": np.random.get_state(),
        "torch_state": torch.get_rng_state(),
        "torch_cuda_state": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else None,
        "torch_deterministic": torch.backends.cudnn.deterministic,
        "torch_benchmark": torch.backends.cudnn.benchmark,
    }


def set_random_states(
    random_state: Any,
    numpy_state: Any,
    torch_state: Any,
    torch_cuda_state: Any = None,
    torch_deterministic: bool = False,
    torch_benchmark: bool = False,
) -> None:
    """Puts them back: ``set_random_states(**get_random_states())``."""
    random.setstate(random_state)
    np.random.set_state(numpy_state)
    torch.set_rng_state(torch_state)
    if torch_cuda_state:
        torch.cuda.set_rng_state_all(torch_cuda_state)
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = torch_deterministic, torch_benchmark


@contextmanager
def no_random(seed: int = 42, reproducible: bool = True) -> Iterator[None]:
    """A block with seeded generators, which are put back at its end."""
    states = get_random_states()
    try:
        set_seed(seed, reproducible)
        yield
    finally:
        set_random_states(**states)


def num_distrib() -> int:
    """How many processes train together; 0 where there is one."""
    return torch.distributed.get_world_size() if torch.distributed.is_available() and torch.distributed.is_initialized() else 0


def rank_distrib() -> int:
    """This process's number among them."""
    return torch.distributed.get_rank() if num_distrib() else 0


def distrib_barrier() -> None:
    """Waits for the others."""
    if num_distrib() > 1:
        torch.distributed.barrier()
