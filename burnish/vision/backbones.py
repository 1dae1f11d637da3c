"""Bodies: the part of a network that turns images into features, from timm, torchvision or the user.

A body normalises its input itself, never computes its old classifier, and stores nothing for gradients while frozen.
"""

from __future__ import annotations

import copy
import inspect
import itertools
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from burnish.data.notes import note
from burnish.errors import OfflineError, SettingError
from burnish.vision.architectures import TORCHVISION, resolve
from burnish.vision.weights import Source, create_pretrained, is_network_error, load_weights, ways_out

IMAGENET_STATS = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
Size = tuple[int, int]
_LEADS_OUT = re.compile(r"^pretrained|^weights|checkpoint_path|url|hub|(^|_)(file|dir)$")  # arguments that fetch or open something
ArchLike = str | Callable[..., nn.Module] | nn.Module


class InputNormalize(nn.Module):
    """Images in 0..1 to what a backbone was trained on: ``(x - mean) / std`` for each channel. Shape stays.

    The statistics are kept with the weights, so a model file carries them.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        scale = (1 / self.std).to(x.dtype).view(-1, 1, 1)
        shift = (-self.mean / self.std).to(x.dtype).view(-1, 1, 1)
        return torch.addcmul(shift, x, scale)


class Backbone(nn.Module):
    """Images ``(batch, n_in, height, width)`` in 0..1 to features: ``(batch, num_features, h, w)`` from a body with
    feature maps, ``(batch, num_features)`` from one that pools in its own way.

    Attributes:
        model: the network without its classifier.
        normalize: its input statistics, or an identity.
        num_features: channels of the output.
        spatial: the output has a height and a width.
        arch: the architecture's name, or None for a module of the user's.
        pretrained: it began with trained weights, as far as is known.
    """

    def __init__(
        self, model: nn.Module, normalize: nn.Module, num_features: int, spatial: bool, arch: str | None = None, pretrained: bool = False
    ) -> None:
        super().__init__()
        self.normalize, self.model, self.pretrained = normalize, model, pretrained
        self.num_features, self.spatial, self.arch = num_features, spatial, arch
        self._by_features = spatial and hasattr(model, "forward_features")

    @property
    def frozen(self) -> bool:
        """No parameter is to be trained."""
        return not any(p.requires_grad for p in self.parameters())

    def forward(self, x: Tensor) -> Tensor:
        # Frozen means frozen: nothing is kept for a backward pass that never comes. Who asks for the gradient of the
        # input (an explanation) gets it all the same.
        if torch.is_grad_enabled() and not x.requires_grad and self.frozen:
            with torch.no_grad():
                return self._features(x)
        return self._features(x)

    def _features(self, x: Tensor) -> Tensor:
        x = self.normalize(x)
        return self.model.forward_features(x) if self._by_features else self.model(x)  # pyright: ignore[reportCallIssue]

    def stages(self) -> list[nn.Module]:
        """The network's own children, in order, without what does nothing: ``body[-1]`` is the last of them."""
        return [child for child in self.model.children() if not isinstance(child, nn.Identity)]

    def __getitem__(self, i: int | slice) -> Any:
        found = self.stages()[i]
        return nn.Sequential(*found) if isinstance(found, list) else found

    def __len__(self) -> int:
        return len(self.stages())

    def __iter__(self) -> Iterator[nn.Module]:
        return iter(self.stages())

    def __getattr__(self, name: str) -> Any:
        if name.isdigit() and int(name) < len(self.stages()):  # as of an nn.Sequential: get_submodule("0.4.1.conv2")
            return self.stages()[int(name)]
        return super().__getattr__(name)

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """The body's parameters along its stages, from the input on: at most a handful of groups, each parameter once."""
        return stage_groups(self.model)

    def extra_repr(self) -> str:
        return f"arch={self.arch!r}, num_features={self.num_features}, spatial={self.spatial}"


def create_body(
    arch: ArchLike,
    pretrained: bool | None = None,
    n_in: int = 3,
    weights: Source | None = None,
    *,
    normalize: bool = True,
    arch_args: dict[str, Any] | None = None,
) -> Backbone:
    """The body of an architecture, without its classifier.

    Args:
        arch: a name (timm's, a familiar one, ``torchvision:NAME``), a function that returns a network (torchvision's
            builders), or a network.
        pretrained: with the published weights (see ``weights.create_pretrained``), the default wherever they can be asked for.
            Of a network, or a function that takes neither `weights` nor `pretrained`, it says whether it is trained already;
            unless told, it is taken as untrained (said in a note). Ignored when `weights` is given.
        n_in: channels of the images. Other than 3, the first convolution is adapted, pretrained or not.
        weights: a state dict, a file, a folder or "offline" (see ``weights.load_weights``).
        normalize: the first step normalises with the backbone's own statistics, pretrained or not.
        arch_args: further arguments of the architecture (timm's ``img_size``, ``drop_path_rate`` ...). They shape it and
            don't say where weights come from.

    Raises:
        SettingError: the architecture or its arguments can't be used. OfflineError: its weights can't be had.
    """
    check_arch_args(arch_args or {})
    if n_in < 1:
        raise SettingError(f"n_in={n_in}: expected the number of channels of the images, 1 or more.")
    published = weights is None and _trained(arch, pretrained)
    name = resolve(arch) if isinstance(arch, str) else None
    if not isinstance(arch, str):
        model = _foreign(arch, published, arch_args or {})
    elif resolve(arch).startswith(TORCHVISION):
        model = _foreign(_torchvision_builder(resolve(arch)), published, arch_args or {}, name)
    else:
        model = _timm_model(resolve(arch), published, n_in, arch_args or {})
    sizes = _probe_sizes(model, arch_args or {})
    # timm's networks lose what they don't use before weights are put in, so that a body takes back what it once gave.
    output = _probe(model, n_in, sizes) if hasattr(model, "forward_features") else None
    if weights is not None:
        load_weights(model, weights, name or getattr(arch, "__name__", type(arch).__name__))
    if output is None:
        _adapt_first_conv(model, n_in)
        model = cut_classifier(model, n_in)
        output = _probe(model, n_in, sizes)
    config = getattr(model, "pretrained_cfg", None) or {}
    first = InputNormalize(*input_stats(config, n_in)) if normalize else nn.Identity()
    body = Backbone(model, first, output.shape[1], output.ndim == 4, name, published or weights is not None)
    return body.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


# -- making the network -----------------------------------------------------------------------------------------------
def check_arch_args(arch_args: dict[str, Any]) -> None:
    """Refuses arguments with which an architecture would fetch an address or open a file: those of a model file were
    written by somebody else, and only ``pretrained`` and ``weights`` say where weights come from.

    Raises:
        SettingError: names the argument.
    """
    if not isinstance(arch_args, dict):
        raise SettingError(
            f"arch_args={arch_args!r}: expected a dict of the architecture's further arguments, e.g. {{'drop_path_rate': 0.1}}."
        )
    for name, value in arch_args.items():
        inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else ()
        if _LEADS_OUT.search(str(name)) or (isinstance(value, str) and "://" in value):
            raise SettingError(
                f"arch_args={{{name!r}: {value!r}}} would have the architecture fetch or open something. Expected arguments that shape it; pretrained= and weights= say where weights come from."
            )
        check_arch_args({str(k): v for k, v in inner})


def _timm_model(name: str, pretrained: bool, n_in: int, arch_args: dict[str, Any]) -> nn.Module:
    import timm

    create = partial(timm.create_model, name, num_classes=0, in_chans=n_in, **arch_args)
    try:
        return create_pretrained(create, name) if pretrained else create()
    except TypeError as e:
        raise SettingError(
            f"arch_args={arch_args}: {name!r} doesn't take this ({e}). Expected arguments of timm.create_model({name!r}, ...)."
        ) from e


def _torchvision_builder(name: str) -> Callable[..., nn.Module]:
    import torchvision

    return torchvision.models.get_model_builder(name.removeprefix(TORCHVISION))


def _choice(arch: Callable[..., nn.Module]) -> str | None:
    """The parameter by which a function that makes a network can be asked for trained weights."""
    takes = inspect.signature(arch).parameters
    return next((name for name in ("weights", "pretrained") if name in takes), None)


def _trained(arch: ArchLike, pretrained: bool | None) -> bool:
    """Whether the network begins trained: as the user says, else wherever trained weights can be asked for.

    What nobody knows is taken as untrained: a trained network then learns on, while a random one that is taken as trained
    would stay frozen, and random.
    """
    module = isinstance(arch, nn.Module)
    can_be_asked = isinstance(arch, str) or not callable(arch) or (not module and _choice(arch) is not None)
    if can_be_asked or pretrained is False:
        return pretrained is not False
    called = f"the network given, a {type(arch).__name__}," if module else f"what {getattr(arch, '__name__', 'the function')!r} makes"
    if pretrained is None:
        note(
            f"vision_learner: {called} is taken as untrained and trained whole. If it brings trained weights: pretrained=True, or weights=."
        )
    elif not module:
        note(
            f"pretrained=True: {called} is taken as trained; it has no parameter `pretrained` or `weights` by which to ask for trained weights."
        )
    return bool(pretrained)


def _foreign(arch: Callable[..., nn.Module] | nn.Module, pretrained: bool, arch_args: dict[str, Any], name: str | None = None) -> nn.Module:
    """The network of a module (as it is) or of a function, called as it can be."""
    if isinstance(arch, nn.Module):
        return copy.deepcopy(arch)  # the user's own stays whole
    if not callable(arch):
        raise SettingError(
            f"arch={arch!r} ({type(arch).__name__}): expected a name such as 'resnet34', a function that returns a network, or an nn.Module."
        )
    choices = {"weights": "DEFAULT" if pretrained else None, "pretrained": pretrained}
    choice = _choice(arch)
    try:
        model = arch(**({choice: choices[choice]} if choice else {}), **arch_args)
    except Exception as e:
        if pretrained and is_network_error(e):
            label = name or getattr(arch, "__name__", "arch")
            raise OfflineError(f"The pretrained weights of {label!r} can't be downloaded. {ways_out(label)}") from e
        raise
    if not isinstance(model, nn.Module):
        raise SettingError(f"arch: {getattr(arch, '__name__', arch)!r} returned a {type(model).__name__}; expected an nn.Module.")
    return model


def _adapt_first_conv(model: nn.Module, n_in: int) -> None:
    """Gives a network that was built for other images `n_in` input channels, its weights summed or repeated."""
    found = next(((n, m) for n, m in model.named_modules() if isinstance(m, nn.Conv2d)), None)
    if found is None or found[1].in_channels == n_in:
        return
    from timm.models import adapt_input_conv

    name, old = found
    if old.in_channels != 3 or old.groups != 1:
        raise SettingError(
            f"n_in={n_in}: the first convolution {name!r} takes {old.in_channels} channels, which can't be adapted. Build the network for {n_in} channels."
        )
    new = copy.deepcopy(old)
    new.in_channels = n_in
    new.weight = nn.Parameter(adapt_input_conv(n_in, old.weight.detach()))
    model.set_submodule(name, new)


_FEATURES = ("AlexNet", "VGG", "SqueezeNet", "DenseNet", "MobileNetV2", "MobileNetV3", "EfficientNet", "ConvNeXt")  # torchvision's layouts
_STAGES = ("ResNet", "RegNet")


def cut_classifier(model: nn.Module, n_in: int = 3) -> nn.Module:
    """A network for images of `n_in` channels that isn't timm's, without its classifier.

    Torchvision's convolutional networks give their feature maps. Of any other network the last linear layer is taken
    out, so that it gives what that layer was given. One that gives feature maps already stays as it is.
    """
    kind = type(model).__name__ if type(model).__module__.startswith("torchvision.models.") else ""
    children = dict(model.named_children())
    if kind in _FEATURES:
        between = {"relu": nn.ReLU()} if kind == "DenseNet" else {}  # its forward applies one after the features
        return nn.Sequential(OrderedDict(features=children["features"], **between))
    if kind in _STAGES:
        return nn.Sequential(OrderedDict((n, m) for n, m in children.items() if n not in ("avgpool", "fc")))
    if _probe(model, n_in, _probe_sizes(model, {})).ndim == 4:
        return model
    linears = [n for n, m in model.named_modules() if isinstance(m, nn.Linear) and n]
    if getattr(model, "aux_logits", False):
        raise SettingError(
            f"{type(model).__name__} has auxiliary classifiers. Build it without (arch_args={{'aux_logits': False}}), or use timm's 'inception_v3'."
        )
    if linears:
        model.set_submodule(linears[-1], nn.Identity())
    return model


# -- from network to body ---------------------------------------------------------------------------------------------
def _probe_sizes(model: nn.Module, arch_args: dict[str, Any]) -> list[Size]:
    """Image sizes to try a network with: small where it takes any."""
    config = getattr(model, "pretrained_cfg", None) or {}
    _, height, width = config.get("input_size") or (3, 224, 224)
    own: Size = (height, width)
    chosen = arch_args.get("img_size")
    if chosen is not None:
        return [(chosen, chosen) if isinstance(chosen, int) else tuple(chosen)]
    return [own] if config.get("fixed_input_size") else [(96, 96), own]


def _probe(model: nn.Module, n_in: int, sizes: Sequence[Size]) -> Tensor:
    """What the network gives for one blank image: feature maps where it has them, else its own pooled features.

    Parts that take no part in it (the pooling and the classifier of a convolutional network) are taken out.
    """
    modes = [(m, m.training) for m in model.modules()]
    model.eval()
    used: set[nn.Module] = set()
    hooks = [m.register_forward_hook(lambda m, *_: used.add(m)) for m in model.modules()]
    try:
        output = _first_that_works(model, n_in, sizes)
    finally:
        for hook in hooks:
            hook.remove()
        for m, training in modes:
            m.training = training
    if output.ndim == 4 and hasattr(model, "forward_features"):
        for name, child in model.named_children():
            if not any(m in used for m in child.modules()):
                setattr(model, name, nn.Identity())
    return output


def _first_that_works(model: nn.Module, n_in: int, sizes: Sequence[Size]) -> Tensor:
    failure: Exception | None = None
    for size in sizes:
        try:
            with torch.no_grad():
                return _output(model, torch.zeros(1, n_in, *size))
        except (RuntimeError, AssertionError, ValueError) as e:
            failure = e
    shown = " or ".join(f"{h} x {w}" for h, w in sizes)
    raise SettingError(
        f"The network {type(model).__name__} can't be used as a body: a blank image of {n_in} channels and {shown} pixels fails with {type(failure).__name__}: {failure}. "
        "Expected a network that takes images (batch, channel, height, width); arch_args={'img_size': ...} sets the size of one that is made for a single size."
    ) from failure


def _output(model: nn.Module, x: Tensor) -> Tensor:
    if hasattr(model, "forward_features"):
        maps = model.forward_features(x)  # pyright: ignore[reportCallIssue]
        last_is_channel = (
            isinstance(maps, Tensor) and maps.ndim == 4 and maps.shape[1] != getattr(model, "num_features", maps.shape[1]) == maps.shape[-1]
        )
        if isinstance(maps, Tensor) and maps.ndim == 4 and not last_is_channel:
            return maps
    out = model(x)
    if not isinstance(out, Tensor) or out.ndim not in (2, 4):
        got = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
        raise ValueError(f"it gave {got}, and a body gives features (batch, channel) or feature maps (batch, channel, height, width)")
    return out


def input_stats(config: dict[str, Any], n_in: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(mean, std) for each of `n_in` channels: the backbone's own for 3, their average for any other number."""
    mean, std = config.get("mean") or IMAGENET_STATS[0], config.get("std") or IMAGENET_STATS[1]
    if len(mean) == n_in:
        return tuple(mean), tuple(std)
    return (sum(mean) / len(mean),) * n_in, (sum(std) / len(std),) * n_in


# -- groups -----------------------------------------------------------------------------------------------------------
def layer_groups(model: nn.Module) -> list[list[nn.Parameter]]:
    """The parameter groups of a network, from the input to the output: a learner's ``splitter``.

    For ``nn.Sequential(body, head)`` the body's stages and then the head: a resnet gives
    ``[stem + layer1, layer2, layer3, layer4, head]``. For any other network its stages. Each parameter is in one group.
    """
    if isinstance(getattr(model, "body", None), Backbone) and hasattr(model, "layer_groups"):
        return model.layer_groups()  # pyright: ignore[reportCallIssue]
    body = model[0] if isinstance(model, nn.Sequential) and len(model) else None
    if isinstance(model, nn.Sequential) and isinstance(body, Backbone):
        return [g for g in (*body.layer_groups(), list(model[1:].parameters())) if g]
    return stage_groups(model)


def stage_groups(model: nn.Module, most: int = 4) -> list[list[nn.Parameter]]:
    """The parameters of a network along its stages, in at most `most` groups, shallow to deep; each parameter once.

    Stages that halve the resolution end a group (everything down to a quarter is the first); a network without such
    stages (a transformer) is divided evenly by blocks.
    """
    params = dict(model.named_parameters())
    units = _timm_units(model, params) or _module_units(model, params)
    ends = _stage_ends(model, units) or _even_ends(len(units), most)
    groups = [[params[n] for unit in units[a:b] for n in unit] for a, b in itertools.pairwise([0, *ends])]
    while len(groups) > most:
        groups[:2] = [groups[0] + groups[1]]
    return [g for g in groups if g]


def _timm_units(model: nn.Module, params: dict[str, nn.Parameter]) -> list[list[str]]:
    """Parameter names by timm's own coarse division, in order; empty when the network has none."""
    if not hasattr(model, "group_matcher"):
        return []
    from timm.models._manipulate import group_parameters

    grouped = group_parameters(model, model.group_matcher(coarse=True))  # pyright: ignore[reportCallIssue]
    units = [list(names) for _, names in sorted(grouped.items())]
    rest = set(params).difference(itertools.chain.from_iterable(units))
    return [*units, [n for n in params if n in rest]] if rest else units


def _module_units(model: nn.Module, params: dict[str, nn.Parameter]) -> list[list[str]]:
    """Parameter names by module in order of registration; the largest modules are opened until there are some parts."""
    units: list[list[str]] = [list(params)] if params else []
    depth = [0]
    while units:
        sizes = [sum(params[n].numel() for n in unit) for unit in units]
        big = max(range(len(units)), key=sizes.__getitem__)
        parts: dict[str, list[str]] = {}
        for n in units[big]:
            parts.setdefault(".".join(n.split(".")[: depth[big] + 1]), []).append(n)
        enough = len(units) >= 4 and sizes[big] <= 0.9 * sum(sizes)
        if enough or (len(parts) == 1 and next(iter(parts)) in params):
            break
        units[big : big + 1] = parts.values()
        depth[big : big + 1] = [depth[big] + 1] * len(parts)
    return _without_crumbs(units, params)


def _without_crumbs(units: list[list[str]], params: dict[str, nn.Parameter]) -> list[list[str]]:
    """Parts too small to count (a stem's convolution, a norm) joined to the part after them, or to the last."""
    least = 0.01 * sum(p.numel() for p in params.values())
    joined: list[list[str]] = []
    waiting: list[str] = []
    for unit in units:
        waiting = waiting + unit
        if sum(params[n].numel() for n in waiting) >= least:
            joined.append(waiting)
            waiting = []
    if waiting:
        joined[-1:] = [(joined[-1] if joined else []) + waiting]
    return joined


def _stage_ends(model: nn.Module, units: list[list[str]]) -> list[int]:
    """Where stages end, as positions in `units`, by timm's `feature_info`; empty when resolution doesn't fall in steps."""
    info = [(str(f["module"]), int(f["reduction"])) for f in getattr(model, "feature_info", None) or []]
    reductions = [r for _, r in info]
    if len(info) < 3 or any(b <= a for a, b in itertools.pairwise(reductions)):
        return []
    ends: dict[int, int] = {}  # down to a quarter of the resolution it is all one early stage
    for module, reduction in info:
        place = max((i + 1 for i, unit in enumerate(units) if any(n.startswith(module + ".") for n in unit)), default=0)
        ends[max(reduction, 4)] = max(place, ends.get(max(reduction, 4), 0))
    found = list(ends.values())
    if len(found) < 3 or not all(a < b for a, b in itertools.pairwise([0, *found])):
        return []
    return [*found[:-1], len(units)]


def _even_ends(n: int, most: int) -> list[int]:
    """Ends of at most `most` even groups of `n` parts, the first part (a stem) going with the first group."""
    if n <= most:
        return list(range(1, n + 1))
    return [1 + round((n - 1) * (i + 1) / most) for i in range(most)]
