"""vision_learner: a pretrained body, a fresh head for your target, and the learner that trains them."""

from __future__ import annotations

import copy
import functools
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from burnish.data.block import Block
from burnish.data.config import from_config
from burnish.data.dataloaders import DataLoaders
from burnish.data.joint import final_of, first_outputs
from burnish.data.notes import note
from burnish.data.randomness import derive, fresh_seed, own_globals
from burnish.errors import DataError, SettingError, hinting, listed
from burnish.evaluate.joint import default_metrics
from burnish.evaluate.learner import Learner
from burnish.evaluate.metrics import resolve_metrics
from burnish.train.freezing import plain
from burnish.train.guards import as_loss, check_classes, check_range, compute_loss
from burnish.train.learner import Callbacks
from burnish.train.metric import AverageMetric, Metric
from burnish.train.optim import AdamW, OptFunc
from burnish.vision.architectures import TORCHVISION, resolve
from burnish.vision.backbones import ArchLike, Backbone, InputNormalize, create_body, layer_groups
from burnish.vision.head import begin_with, create_head, init_head
from burnish.vision.inputs import MultiInputModel, branches, check_same_inputs, inputs_config, joint_features, narrowing
from burnish.vision.normalization import TO_FLOATS, check_same_normalization, first_pictures, is_tellable, normalised_by
from burnish.vision.progressive import ProgressiveResize
from burnish.vision.weights import Source

if TYPE_CHECKING:
    from burnish.vision.explain import Explanation

Splitter = Callable[[nn.Module], list[list[nn.Parameter]]]


class Again(NamedTuple):
    """What ``vision_learner`` was called with, but for the data."""

    given: dict[str, Any]

    def learner(self, dls: DataLoaders) -> VisionLearner:
        """An untrained learner of the same settings on other data."""
        return vision_learner(dls, **copy.deepcopy(self.given))

    def body(self, normalize: bool) -> Backbone:
        """The body as it was before any training."""
        arch, pretrained, n_in, weights, arch_args = (self.given[k] for k in ("arch", "pretrained", "n_in", "weights", "arch_args"))
        return create_body(arch, pretrained, n_in or 3, weights, normalize=normalize, arch_args=arch_args)


class VisionLearner(Learner):
    """A learner whose inputs are pictures: it can also say where it looks."""

    arch: str | None = None
    again: Again | None = None  # how to make an untrained one like this on other data; None for a loaded model

    def explain(self, image: Any, target: Any = None, layer: str | nn.Module | None = None) -> Explanation:
        """Where in `image` the model sees what it answers: see ``burnish.vision.explain.explain``."""
        from burnish.vision.explain import explain

        return explain(self, image, target, layer)

    def check_new_data(self, before: DataLoaders, dls: DataLoaders) -> None:
        super().check_new_data(before, dls)
        check_same_inputs(before, dls)
        model = plain(self.model)
        body = body_of(model)
        if body is None:
            return
        does = isinstance(body.normalize, InputNormalize)
        if does or is_tellable(before):
            was = None if does else normalised_by(before, lambda: first_pictures(before))
            check_same_normalization(does, was, normalised_by(dls, lambda: first_pictures(dls)))


def body_of(model: nn.Module) -> Backbone | None:
    """The body of a network that ``vision_learner`` built, or None."""
    body = model[0] if isinstance(model, nn.Sequential) and len(model) else getattr(model, "body", None)
    return body if isinstance(body, Backbone) else None


@hinting
def vision_learner(
    dls: DataLoaders, arch: ArchLike, *, normalize: bool = True, n_out: int | None = None, pretrained: bool | None = None, weights: Source | None = None,
    loss_func: Callable[..., Tensor] | None = None, opt_func: OptFunc = AdamW, lr: float = 1e-3, splitter: Splitter | None = None,
    cbs: Callbacks = None, metrics: Any = None, path: str | Path = ".", model_dir: str | Path = "models", wd: float | None = None,
    wd_bn_bias: bool = False, train_bn: bool = False, moms: tuple[float, float, float] = (0.95, 0.85, 0.95),
    init: Callable[[Tensor], Any] | None = nn.init.kaiming_normal_, custom_head: nn.Module | None = None, concat_pool: bool = True,
    pool: bool = True, lin_ftrs: Sequence[int] | None = None, ps: float | Sequence[float] | None = None, first_bn: bool = True,
    bn_final: bool = False, lin_first: bool = False, y_range: tuple[float, float] | None = None, n_in: int | None = None, seed: int | None = None,
    precision: str = "auto", device: torch.device | str | None = None, arch_args: dict[str, Any] | None = None, pairing: str = "compare",
) -> VisionLearner:  # fmt: skip
    """A learner for pictures, one or several a sample, also with a row of a table (``RowBlock``): the body of `arch` with a new
    head (several inputs: ``burnish.vision.inputs``). Pretrained, it is frozen up to the head.

    Args:
        dls: the data.
        arch: an architecture's name (any of timm's, or ``resnet34``, ``convnext_tiny`` ...), or a function or module.
        normalize: the model normalises its input with the backbone's own statistics, unless the data comes normalised: by a
            transform, or from plain loaders with values beyond 0..1 (said in a note).
        n_out: outputs; the target's own number by default (more than the classes are never predicted). n_in: the data's channels.
        pretrained: begin from published weights, as is the default wherever `arch` can be asked for them. A network, or a
            function without a parameter for that, is taken as untrained (said in a note) unless you pass True: it is trained.
        weights: begin from these instead: a file, a folder, "offline", a state dict.
        metrics: functions, Metrics or names; the target's own by default, ``[]`` for none.
        splitter: from the model to its layer groups; along the architecture's own stages by default.
        init: initialises the head's weights; None leaves PyTorch's. A `custom_head` stays as it is given.
        custom_head: a head of your own, in place of the settings of ``head.create_head`` (`concat_pool` ... `y_range`).
        ps: the head's dropout, see there; by default 0.5 on a pretrained body and 0 from scratch.
        seed: fixes the head's first weights and what is random in training (order and augmentation follow ``dls.seed``); else drawn.
        pairing: what the head gets of several pictures: "compare" (each, in order, and how they differ), "concat" (each), "symmetric".
        arch_args: further arguments of the architecture. One made for a single image size gets the data's as `img_size`.
        The rest: see ``Learner``.

    Raises:
        SettingError: something doesn't fit the data; OfflineError: the weights can't be had.
    """
    if custom_head is None:
        check_target(dls, "vision_learner")
    again = Again({k: copy.deepcopy(v) if isinstance(v, nn.Module) else v for k, v in locals().items() if k != "dls"})
    head = {
        "lin_ftrs": None if lin_ftrs is None else list(lin_ftrs), "ps": ps, "pool": pool, "concat_pool": concat_pool, "first_bn": first_bn,
        "bn_final": bn_final, "lin_first": lin_first, "y_range": y_range, "bn_eps": 1e-3,
    }  # fmt: skip
    targets = _apart(dls, n_out, loss_func)
    look = functools.cache(lambda: first_pictures(dls))  # one batch, whoever asks
    config = {
        "builder": "vision", "arch": arch, "n_in": channels_of(dls, n_in, look), "n_out": outputs_of(dls, n_out, loss_func is not None),
        "normalize": normalize and not normalized_already(dls, look), "arch_args": with_size(arch, arch_args or {}, look), "head": head,
        "target": [block.config() for block in targets], **inputs_config(dls, pairing),
    }  # fmt: skip
    fitting = _fitting(dls, metrics, config["n_out"], loss_func, y_range)
    seed = fresh_seed() if seed is None else seed
    with own_globals(derive(seed, "init")):
        model = _make(config, pretrained, weights, custom_head, init, targets)
    learn = VisionLearner(
        dls, model, loss_func=loss_func, opt_func=opt_func, lr=lr, splitter=splitter or layer_groups, cbs=cbs, metrics=fitting, path=path,
        model_dir=model_dir, wd=wd, wd_bn_bias=wd_bn_bias, train_bn=train_bn, moms=moms, seed=seed, precision=precision, device=device,
    )  # fmt: skip
    learn.add_cb(ProgressiveResize(only_from_scratch=True))
    learn.again = Again({**again.given, "seed": seed})
    return named(learn, arch, body_of(model), None if custom_head is not None else config)


cnn_learner = vision_learner


def _apart(dls: DataLoaders, n_out: int | None, loss_func: Any) -> list[Block]:
    """The targets that have an output each; none where a loss of the user's takes `n_out` outputs of one tensor apart itself."""
    return [] if loss_func is not None and n_out is not None and len(dls.target_blocks) > 1 else dls.target_blocks


def named(learn: Any, arch: ArchLike, body: Any, config: dict[str, Any] | None) -> Any:
    """The learner with what its network is called and made from (None: from what no model file can say), frozen if it is pretrained."""
    name = getattr(body, "arch", None)
    learn.arch, learn.pretrained = name or _called(arch), body.pretrained
    if config is not None and name is not None:
        learn.model_config = {**config, "arch": name}
    if learn.pretrained:
        learn.freeze()
    return learn


def build(model_config: dict[str, Any]) -> nn.Module:
    """The network that a learner's ``model_config`` describes, with fresh weights; needs no network connection."""
    return _make(model_config, pretrained=False)


def _make(
    config: dict[str, Any],
    pretrained: bool | None,
    weights: Source | None = None,
    custom_head: nn.Module | None = None,
    init: Callable[[Tensor], Any] | None = None,
    targets: Sequence[Block] = (),
) -> nn.Module:
    """The body and the head, whose outputs begin as suits the targets where it is initialised. Draws from torch's global generator."""
    body = create_body(config["arch"], pretrained, config["n_in"], weights, normalize=config["normalize"], arch_args=config["arch_args"])
    head = config["head"]
    if "ps" in head and head["ps"] is None and custom_head is None:
        head["ps"] = 0.5 if body.pretrained else 0.0  # in `config` too: the model file says what the network is
    if "inputs" not in config:
        return nn.Sequential(body, custom_head if custom_head is not None else _head(config, body, init, targets))
    return _joint(config, body, custom_head, init, targets)


def _joint(
    config: dict[str, Any], body: Backbone, custom_head: nn.Module | None, init: Callable[[Tensor], Any] | None, targets: Sequence[Block]
) -> MultiInputModel:
    """The network of several inputs."""
    head, pool = config["head"], config["head"]["concat_pool"]
    narrow = init_head(narrowing(body, pool, head["ps"] if isinstance(head["ps"], (int, float)) else 0.0), init)
    kinds, rows = [part["kind"] for part in config["inputs"]], branches(config)
    if custom_head is None:
        custom_head = _head({**config, "head": {**head, "pool": False}}, body, init, targets, joint_features(config))
    return MultiInputModel(body, rows, kinds, narrow, custom_head, config["pairing"], pool)


def _head(
    config: dict[str, Any], body: Backbone, init: Callable[[Tensor], Any] | None, targets: Sequence[Block], features: int | None = None
) -> nn.Module:
    """The head on the body's maps, or on so many pooled `features`."""
    head = config["head"]
    blocks: list[Block] = [from_config(target) for target in config.get("target", ())]
    alone = len(blocks) == 1 and body.spatial and features is None
    own = blocks[0].head(body.num_features) if alone and _as_usual(head) else None
    if own is not None:
        return own
    if any(block.head(1) is not None for block in blocks):
        note(
            "Places are predicted from pooled features here, which know little of them. Points as the one target of one picture, with no settings of the head, have a head of their own."
        )
    head = {**head, "pool": head["pool"] and body.spatial}
    final = final_of(blocks, config["n_out"])
    made = init_head(create_head(features or body.num_features, config["n_out"], **head, final=final), init)
    if init is not None and not head["bn_final"]:
        begin_with(made, *first_outputs(targets))
    return made


def _as_usual(head: dict[str, Any]) -> bool:
    """Whether nothing was asked of the head that only a pooling one has."""
    return head["lin_ftrs"] is None and head["pool"] and not head["bn_final"] and not head["lin_first"]


# -- what follows from the data ---------------------------------------------------------------------------------------
def channels_of(dls: DataLoaders, n_in: int | None, look: Callable[[], Tensor]) -> int:
    """Channels of the pictures: as the image block says, or as a batch of plain loaders shows; `n_in` where it is given and
    the pictures have so many."""
    if n_in is not None:
        if len(dls) and n_in >= 1 and (found := look().shape[1]) != n_in:
            raise SettingError(
                f"n_in={n_in}, but the pictures of the data have {found} channels. Leave n_in away, or open them otherwise: ImageBlock('L') for 1 channel, 'RGB' for 3, 'RGBA' for 4."
            )
        return n_in
    if not dls.blocks:
        return look().shape[1]
    channels = next((b.channels for b in dls.input_blocks if b.kind == "image"), None)  # pyright: ignore[reportAttributeAccessIssue]
    if channels is None:
        raise SettingError(
            f"vision_learner needs pictures, and the inputs are {', '.join(type(b).__name__ for b in dls.input_blocks)}. Use an ImageBlock, or pass n_in=."
        )
    return channels


def outputs_of(dls: DataLoaders, n_out: int | None, own_loss: bool = False) -> int:
    """How many outputs a model has.

    Args:
        own_loss: the loss is the user's, who knows what outputs are for.
    """
    if n_out is None:
        if not dls.target_blocks:
            raise SettingError(
                "The number of outputs isn't known, as these DataLoaders have no target block: pass n_out= (for classes, how many there are)."
            )
        return dls.c
    classes = dls.c if any(b.kind == "category" for b in dls.target_blocks) else n_out
    if n_out < classes and not own_loss:
        raise SettingError(f"n_out={n_out}, but the target has {classes} classes, each of which needs an output. Leave n_out away.")
    return n_out


def normalized_already(dls: DataLoaders, look: Callable[[], Tensor]) -> bool:
    found = normalised_by(dls, look)
    if found is not None and found.in_bytes:
        raise DataError(
            f"{found.by}: expected floats in 0..1, or normalised ones. Divide by 255 where they are read, e.g. {TO_FLOATS}; "
            "vision_learner(normalize=False) takes floats as they are."
        )
    if found is not None:
        note(f"{found.by}, so the model doesn't. Leave that away from the data to have each backbone's own statistics.")
    return found is not None


def with_size(arch: ArchLike, arch_args: dict[str, Any], look: Callable[[], Tensor]) -> dict[str, Any]:
    """`arch_args` with the data's image size, for an architecture that is made for a single size."""
    name = resolve(arch) if isinstance(arch, str) else ""
    if not name or name.startswith(TORCHVISION) or "img_size" in arch_args:
        return dict(arch_args)
    import timm

    config = timm.get_pretrained_cfg(name)
    if config is None or not config.fixed_input_size:
        return dict(arch_args)
    size = tuple(look().shape[2:])
    return dict(arch_args) if size == tuple(config.input_size[1:]) else {**arch_args, "img_size": list(size)}


def _called(arch: Any) -> str:
    return getattr(arch, "__name__", None) or type(arch).__name__


# -- what fits ---------------------------------------------------------------------------------------------------------
_LEARN = {
    "vision_learner": "classes, labels, numbers and points",
    "unet_learner": "the class of every pixel, or points",
    "detection_learner": "boxes",
}
_PLACED = {"mask": ("unet_learner",), "boxes": ("detection_learner",)}  # whose model gives them
_WHOLE = ("category", "multicategory", "number")  # said of a picture as a whole


def check_target(dls: DataLoaders, who: str) -> None:
    """Raises SettingError where the targets are for another learner than `who`, or for none."""
    blocks = dls.target_blocks
    placed = [block for block in blocks if block.kind in _PLACED]
    if len(blocks) == 1:
        whole = blocks[0].kind in _WHOLE and blocks[0].of_maps() is None
        fitting = _PLACED.get(blocks[0].kind, ("vision_learner",) if whole else ("vision_learner", "unet_learner"))
    else:
        fitting = () if placed else ("vision_learner",)
    if not blocks or who in fitting:
        return
    names = listed((type(block).__name__ for block in blocks), 8)
    if fitting:
        advice = f"Use {fitting[0]}, which learns {_LEARN[fitting[0]]}{'' if len(blocks) == 1 else ', also several of them at once'}."
    else:
        models = [f"{_PLACED[kind][0]} for the {kind}" for kind in dict.fromkeys(block.kind for block in placed)]
        models += ["vision_learner for the rest"] if len(placed) < len(blocks) else []
        advice = f"There is no ready model for a {type(placed[0]).__name__} beside other targets. Train a model for each, on data with that target alone: {' and '.join(models)}."
    raise SettingError(f"{who} is for {_LEARN[who]}, and the target{'s are' if len(blocks) > 1 else ' is'} {names}. {advice}")


def _fitting(dls: DataLoaders, metrics: Any, n_out: int, loss_func: Any, y_range: Any) -> list[Metric]:
    """The metrics, the target's own where none are given, if they, the loss and the range suit the target."""
    check_classes(dls)
    check_range(dls, y_range)
    found = resolve_metrics(default_metrics(dls) if metrics is None else metrics)
    check_fit(dls, n_out, loss_func, found)
    return found


def check_fit(dls: DataLoaders, n_out: int, loss_func: Any, metrics: Sequence[Metric]) -> None:
    """Tries the loss and the metrics on a few real targets, before anything is trained.

    Only those of PyTorch and burnish are tried: of other people's nobody knows what they ask of a batch.

    Raises:
        SettingError: one of them doesn't fit the target.
    """
    if len(dls.target_blocks) != 1 or not hasattr(dls.train, "columns"):
        return
    block, loader = dls.target_blocks[0], dls.train
    if block.takes_picture_size:
        encoded = [loader.sample(int(row))[-1] for row in loader.rows[:2]]
    else:
        encoded = [block.encode(block.open(loader.columns[-1][row])) for row in loader.rows[: n_out + 1]]
    # One more sample than outputs: (samples, outputs) against (samples,) then can't broadcast into nonsense.
    target = block.settle(block.collate([encoded[i % len(encoded)] for i in range(n_out + 1)]))
    output = torch.zeros(n_out + 1, n_out)
    say = f"the target, a {type(block).__name__} ({_hints.get(block.kind, 'see its own loss and metrics')})"
    if _known(loss_func):
        _try(lambda: compute_loss(_on_cpu(as_loss(loss_func)), output, (target,)), f"The loss {_called(loss_func)} doesn't fit {say}")
    for metric in metrics:
        if _known(metric.function if isinstance(metric, AverageMetric) else metric):
            _try(lambda m=metric: m.update(output, target), f"The metric {metric.name!r} doesn't fit {say}")
            metric.reset()


_hints = {"category": "one label per sample: CrossEntropyLossFlat or FocalLossFlat; accuracy, error_rate, F1Score, RocAuc ..."}


def _known(thing: Any) -> bool:
    while hasattr(thing, "func"):  # functools.partial
        thing = thing.func
    module = getattr(thing, "__module__", None) or ""
    return thing is not None and module.startswith(("burnish.evaluate", "torch.nn.modules.loss", "torch.nn.functional"))


def _on_cpu(loss: Any) -> Any:
    """The loss with its class weights beside the samples it is tried on; the user's own stays where it is."""
    return copy.deepcopy(loss).cpu() if isinstance(loss, nn.Module) else loss


def _try(attempt: Callable[[], Any], message: str) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about shapes that broadcast; what matters raises
            attempt()
    except (ValueError, RuntimeError, IndexError, TypeError) as e:
        raise SettingError(f"{message}: {str(e).splitlines()[0] if str(e) else type(e).__name__}") from e
