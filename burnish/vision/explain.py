"""Grad-CAM: where in a picture the model sees what it answers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from burnish.data.notes import note
from burnish.data.whole import whole_number
from burnish.errors import DataError, SettingError, listed, nearest
from burnish.train.freezing import plain
from burnish.vision.backbones import Backbone
from burnish.vision.inputs import check_one_picture

if TYPE_CHECKING:
    from burnish.train.learner import Learner

_LEAST_MAP = 4  # rows and columns of a map that shows a place


@dataclass(frozen=True)
class Explanation:
    """What the model looked at.

    Attributes:
        heat: ``(height, width)`` float32 in 0..1, on the picture as the model got it.
        image: that picture, decoded.
        label: the label explained. index: its position in the vocabulary. prob: the probability given to it.
    """

    heat: np.ndarray
    image: Any
    label: Any
    index: int
    prob: float

    def draw(self, ax: Any = None, alpha: float = 0.75, cmap: str = "turbo") -> Any:
        """Draws the picture in grey with the heat over it on matplotlib axes `ax` (new ones by default); returns the axes."""
        if ax is None:
            from matplotlib import pyplot as plt

            ax = plt.figure(figsize=(4, 4)).add_subplot()
        picture = np.asarray(self.image)
        grey = picture if picture.ndim == 2 else picture[..., :3].mean(-1)  # so that every colour seen is heat
        ax.imshow(grey, cmap="gray", vmin=0, vmax=255)
        ax.imshow(self.heat, cmap=cmap, alpha=alpha * self.heat, vmin=0, vmax=1)
        ax.set_axis_off()
        ax.set_title(f"{self.label} ({self.prob:.0%})")
        return ax

    def __repr__(self) -> str:
        row, column = np.unravel_index(int(self.heat.argmax()), self.heat.shape)
        return f"Explanation({self.label!r}, prob={self.prob:.3f}, hottest at row {row}, column {column} of {self.heat.shape[0]} x {self.heat.shape[1]}; .draw() shows it)"


def explain(learn: Learner, image: Any, target: Any = None, layer: str | nn.Module | None = None) -> Explanation:
    """Grad-CAM (Selvaraju et al. 2017, arXiv:1610.02391) of one picture: the channels of a late layer, weighted by how
    much each moves the output in question.

    Args:
        learn: a learner whose model begins with a body of ``create_body``, or any model with `layer` given.
        image: a path, bytes, picture or array, as ``predict`` takes it.
        target: the label (or its index) to explain; the model's own answer by default.
        layer: a module or its name, as in ``learn.model.named_modules()``. By default the body's last; where its map of
            a small picture is too coarse to show a place, the last whose map is at least 4 x 4.

    Weights, gradients, hooks and the mode of the model are left as they were.

    Raises:
        SettingError: `target` or `layer` is unknown, or the layer's output isn't laid out over the picture.
    """
    check_one_picture(learn.dls, "explain")
    model, block = plain(learn.model), learn.dls.target_blocks[0]
    x = _input(learn, image)
    module = _module(model, layer, min(x.shape[2:]))
    with _quiet(model), _recorded(module) as seen:
        output = model(x.requires_grad_(True))
        if "out" not in seen:
            raise SettingError(f"The layer {layer!r} took no part in the prediction. Choose one that does: {_some_layers(model)}.")
        probs = block.activation(output.detach())[0]
        index = int(output[0, : len(probs)].argmax()) if target is None else _index(target, learn, len(probs))
        grad = torch.autograd.grad(output[0, index], seen["out"])[0]
    maps = _as_maps(seen["out"].detach(), model)
    if layer is None and min(maps.shape[1:]) < _LEAST_MAP:
        note(
            f"explain: the layer's map is only {maps.shape[1]} x {maps.shape[2]}, too coarse to show a place. Larger pictures have a finer one; "
            "or name an earlier layer, layer='...'."
        )
    heat = _heat(maps, _as_maps(grad, model), x.shape[2:])
    picture = learn.dls.input_blocks[0].decode(x[0].detach())
    label = block.decode(torch.tensor(index)) if hasattr(block, "vocab") else index
    return Explanation(heat, picture, label, index, float(probs[index]))


def _input(learn: Learner, image: Any) -> Tensor:
    for batch in learn.dls.test_dl([image], num_workers=0, on_error="raise"):
        return batch[0].detach()
    raise DataError(f"The picture {str(image)[:80]!r} could not be read.")


def _index(target: Any, learn: Learner, n_out: int) -> int:
    vocab = list(getattr(learn.dls.target_blocks[0], "vocab", None) or [])
    if target in vocab:
        return vocab.index(target)
    index = whole_number(target, least=0)
    if index is not None and index < n_out:
        return index
    raise SettingError(
        f"target={target!r} is no label of this model and no index below {n_out}. Labels: {listed(vocab, 8)}.{nearest(str(target), map(str, vocab))}"
    )


# -- the layer --------------------------------------------------------------------------------------------------------
def _module(model: nn.Module, layer: str | nn.Module | None, side: int) -> nn.Module:
    """The layer that was asked for, or the one to look at by default for pictures of `side` pixels."""
    if isinstance(layer, nn.Module):
        return layer
    names = dict(model.named_modules())
    if layer is not None:
        if layer not in names:
            raise SettingError(
                f"layer={layer!r}: the model has no module of this name.{nearest(layer, names)} For example: {_some_layers(model)}."
            )
        return names[layer]
    body = next((m for m in model.modules() if isinstance(m, Backbone)), None)
    if body is None:
        raise SettingError(
            f"This model has no body that burnish made, so the layer must be named: layer='...', for example {_some_layers(model)}."
        )
    return _last_maps(body, side) if body.spatial else _last_tokens(body.model)


def _last_maps(body: Backbone, side: int) -> nn.Module:
    """The last layer whose map of a picture of `side` pixels is fine enough; the body where it is, or nothing says which are."""
    stages: list[dict[str, Any]] = getattr(body.model, "feature_info", None) or []
    fine = [stage for stage in stages if side // stage["reduction"] >= _LEAST_MAP]
    named = dict(body.model.named_modules())
    return body if not fine or fine[-1] is stages[-1] else named.get(fine[-1]["module"], body)


def _last_tokens(model: nn.Module) -> nn.Module:
    """The last layer of a transformer whose tokens all still matter: where the last block begins to mix them."""
    blocks = getattr(model, "blocks", None)
    norm = getattr(blocks[-1], "norm1", None) if isinstance(blocks, (nn.Sequential, nn.ModuleList)) and len(blocks) else None
    # What comes after the last mixing may be read off a single token, and says nothing about the others.
    if isinstance(norm, nn.Module):
        return norm
    info = getattr(model, "feature_info", None) or []
    if not info:
        raise SettingError(
            f"{type(model).__name__} doesn't say where its features are: name a layer, layer='...', for example {_some_layers(model)}."
        )
    return model.get_submodule(info[-1]["module"])


def _some_layers(model: nn.Module) -> str:
    return listed([n for n, m in model.named_modules() if n.count(".") == 2 and any(True for _ in m.parameters())][-5:])


@contextmanager
def _recorded(module: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Keeps the module's last output under "out" while the context lasts."""
    seen: dict[str, Tensor] = {}

    def keep(_module: nn.Module, _inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            seen["out"] = output

    hook = module.register_forward_hook(keep)
    try:
        yield seen
    finally:
        hook.remove()


@contextmanager
def _quiet(model: nn.Module) -> Iterator[None]:
    """The model in evaluation mode, with gradients on; each module's own mode is put back."""
    modes = [(m, m.training) for m in model.modules()]
    model.eval()
    try:
        with torch.enable_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training


# -- the map ----------------------------------------------------------------------------------------------------------
def _as_maps(out: Tensor, model: nn.Module) -> Tensor:
    """A layer's output as maps ``(channel, height, width)``, from maps with channels first or last, or from tokens."""
    body = next((m for m in model.modules() if isinstance(m, Backbone)), None)
    inner = body.model if body is not None else model
    if out.ndim == 4:
        channels_last = body is not None and not body.spatial and out.shape[1] == out.shape[2] != out.shape[3]
        return out[0].permute(2, 0, 1) if channels_last else out[0]
    if out.ndim == 3:
        tokens = out[0, int(getattr(inner, "num_prefix_tokens", 0)) :]
        height, width = _grid(inner, len(tokens))
        if height * width == len(tokens):
            return tokens.T.reshape(-1, height, width)
    raise SettingError(
        f"The layer's output of shape {tuple(out.shape)} isn't laid out over the picture: expected maps (batch, channel, height, width) or a grid of tokens. Name another layer, for example: {_some_layers(model)}."
    )


def _grid(model: nn.Module, n: int) -> tuple[int, int]:
    grid = getattr(getattr(model, "patch_embed", None), "grid_size", None)
    if grid is not None and grid[0] * grid[1] == n:
        return int(grid[0]), int(grid[1])
    return math.isqrt(n), math.isqrt(n)


def _heat(maps: Tensor, grads: Tensor, size: torch.Size) -> np.ndarray:
    weights = grads.mean((1, 2), keepdim=True)
    heat = (maps * weights).sum(0).relu().float()
    heat = nn.functional.interpolate(heat[None, None], size=tuple(size), mode="bilinear", align_corners=False)[0, 0]
    top = heat.max()
    return (heat / top if top > 0 else heat).cpu().numpy()
