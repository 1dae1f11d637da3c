"""SegmentationDataLoaders and unet_learner: from pictures and their masks to a model that tells the class of every pixel."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Unpack

import torch
from torch import Tensor

from burnish.data.block import Block
from burnish.data.config import from_config
from burnish.data.datablock import DataBlock
from burnish.data.dataloaders import DataLoaders
from burnish.data.files import get_image_files
from burnish.data.label import is_missing
from burnish.data.lazy import pd
from burnish.data.randomness import derive, fresh_seed, own_globals
from burnish.data.sides import check_shares
from burnish.data.split import RandomSplitter, Splitter
from burnish.errors import DataError, SettingError, hinting, listed
from burnish.evaluate.joint import default_metrics
from burnish.evaluate.metrics import resolve_metrics
from burnish.train.learner import Callbacks
from burnish.train.optim import AdamW, OptFunc
from burnish.vision.backbones import ArchLike, create_body
from burnish.vision.csv_files import csv_in, read_rows
from burnish.vision.dataloaders import LoaderOptions, by_column, column_of, image_block, known_options
from burnish.vision.inputs import check_one_picture
from burnish.vision.learner import Splitter as GroupsOf
from burnish.vision.learner import (
    VisionLearner,
    channels_of,
    check_target,
    first_pictures,
    named,
    normalized_already,
    outputs_of,
    with_size,
)
from burnish.vision.masks import MaskBlock
from burnish.vision.smp import SMP, SmpNet, make_smp, parts_of
from burnish.vision.unet import UNet, init_way_up, unet_groups
from burnish.vision.weights import Source

Codes = Sequence[str] | MaskBlock | None


class SegmentationDataLoaders(DataLoaders):
    """DataLoaders of pictures with a mask each.

    All factories take: `codes`, the names of the classes, or a ``MaskBlock`` with what else there is to say of the masks (colours, what doesn't
    count); `valid_pct` and `test_pct`, the shares drawn at random for validation and testing; `seed` (42 when not given); `item_tfms` and
    `batch_tfms`, which act on picture and mask alike; `img_cls`, see ``ImageDataLoaders``; and the options of ``DataBlock.dataloaders``.
    """

    @classmethod
    def from_label_func(
        cls, path: str | Path, fnames: Sequence[Any], label_func: Callable[[Any], Any], valid_pct: float = 0.2, seed: int | None = None,
        codes: Codes = None, item_tfms: Any = None, batch_tfms: Any = None, img_cls: Any = None, *, test_pct: float = 0.0,
        splitter: Splitter | None = None, **options: Unpack[LoaderOptions],
    ) -> DataLoaders:  # fmt: skip
        """From a list of files and a function from a file's Path to its mask (a path, a PIL image, an array)."""
        files = [Path(f) if isinstance(f, str) else f for f in fnames]
        block = _block(codes, img_cls, splitter or _drawn(valid_pct, test_pct, seed), item_tfms, batch_tfms, get_y=label_func)
        return block.dataloaders(files, seed=seed, **known_options(options, cls.__name__))

    @classmethod
    def from_folder(
        cls, path: str | Path, images: str = "images", masks: str = "masks", valid_pct: float = 0.2, seed: int | None = None, codes: Codes = None,
        item_tfms: Any = None, batch_tfms: Any = None, img_cls: Any = None, *, suffix: str = "", test_pct: float = 0.0, **options: Unpack[LoaderOptions],
    ) -> DataLoaders:  # fmt: skip
        """From a folder with the pictures in one sub-folder and their masks, of the same names, in another.

        Args:
            images, masks: the names of these folders in `path`.
            suffix: what a mask's name has beyond its picture's, before the ending ("_mask").
        """
        root = Path(path).expanduser()
        files = get_image_files(root / images)
        found = {_stem(file, root / masks): file for file in get_image_files(root / masks)}
        pairs = [(file, found.get(f"{_stem(file, root / images)}{suffix}")) for file in files]
        lacking = [file for file, mask in pairs if mask is None]
        if lacking:
            raise DataError(
                f"{len(lacking)} of {len(files)} pictures in {root / images} have no mask of their name in {root / masks}: {listed((str(f) for f in lacking), 3)}. "
                f"There are {len(found)} masks, such as {listed(found, 3)}. If their names have something more: suffix='_mask'."
            )
        block = _block(codes, img_cls, _drawn(valid_pct, test_pct, seed), item_tfms, batch_tfms)
        return block.dataloaders(pairs, seed=seed, **known_options(options, cls.__name__))

    @classmethod
    def from_df(
        cls, df: pd.DataFrame, path: str | Path = ".", valid_pct: float = 0.2, seed: int | None = None, fn_col: int | str = 0, mask_col: int | str = 1,
        folder: str | Path | None = None, valid_col: int | str | None = None, codes: Codes = None, item_tfms: Any = None, batch_tfms: Any = None,
        img_cls: Any = None, *, test_pct: float = 0.0, **options: Unpack[LoaderOptions],
    ) -> DataLoaders:  # fmt: skip
        """From a table with a column of pictures and one of masks, files in `path` (and `folder`). `valid_col` says which rows validate."""
        fn_col, mask_col = column_of(df, fn_col, "fn_col"), column_of(df, mask_col, "mask_col")
        root = Path(path) / folder if folder is not None else Path(path)
        splitter = _drawn(valid_pct, test_pct, seed) if valid_col is None else by_column(df, valid_col, test_pct)
        block = _block(codes, img_cls, splitter, item_tfms, batch_tfms, get_x=_Cell(root, fn_col), get_y=_Cell(root, mask_col))
        return block.dataloaders(df, seed=seed, **known_options(options, cls.__name__))

    @classmethod
    def from_csv(
        cls, path: str | Path, csv_fname: str | Path = "masks.csv", valid_pct: float = 0.2, seed: int | None = None, fn_col: int | str = 0,
        mask_col: int | str = 1, folder: str | Path | None = None, valid_col: int | str | None = None, codes: Codes = None, item_tfms: Any = None,
        batch_tfms: Any = None, img_cls: Any = None, *, test_pct: float = 0.0, **options: Unpack[LoaderOptions],
    ) -> DataLoaders:  # fmt: skip
        """From a CSV file in `path`; see ``from_df``."""
        path, file = csv_in(path, csv_fname)
        return cls.from_df(
            read_rows(file), path, valid_pct, seed, fn_col, mask_col, folder, valid_col, codes, item_tfms, batch_tfms, img_cls,
            test_pct=test_pct, **options,
        )  # fmt: skip


class _Cell:
    """The file that a column names in a row."""

    def __init__(self, root: Path, column: str) -> None:
        self.root, self.column = root, column

    def __call__(self, row: Any) -> Path:
        if is_missing(row[self.column]):
            raise DataError(f"The column {self.column!r} names no file in this row. Fill it in, or drop the row.")
        return self.root / str(row[self.column])

    def __repr__(self) -> str:
        return f"the column {self.column!r}"


def _block(codes: Codes, img_cls: Any, splitter: Splitter, item_tfms: Any, batch_tfms: Any, **getters: Any) -> DataBlock:
    masks = codes if isinstance(codes, MaskBlock) else MaskBlock(codes)
    return DataBlock(blocks=(image_block(img_cls), masks), splitter=splitter, item_tfms=item_tfms, batch_tfms=batch_tfms, **getters)


def _drawn(valid_pct: float, test_pct: float, seed: int | None) -> Splitter:
    check_shares(valid_pct, test_pct)
    return RandomSplitter(valid_pct=valid_pct, test_pct=test_pct, seed=42 if seed is None else seed)


def _stem(file: Path, root: Path) -> str:
    return file.relative_to(root).with_suffix("").as_posix()


# -- the learner ------------------------------------------------------------------------------------------------------------
class UnetLearner(VisionLearner):
    """A learner whose model tells something of every pixel."""


@hinting
def unet_learner(
    dls: DataLoaders, arch: ArchLike, *, normalize: bool = True, n_out: int | None = None, pretrained: bool | None = None, weights: Source | None = None,
    loss_func: Callable[..., Tensor] | None = None, opt_func: OptFunc = AdamW, lr: float = 1e-3, splitter: GroupsOf | None = None, cbs: Callbacks = None,
    metrics: Any = None, path: str | Path = ".", model_dir: str | Path = "models", wd: float | None = None, wd_bn_bias: bool = False, train_bn: bool = False,
    moms: tuple[float, float, float] = (0.95, 0.85, 0.95), blur: bool = False, self_attention: bool = False, last_cross: bool = True,
    n_in: int | None = None, seed: int | None = None, precision: str = "auto", device: torch.device | str | None = None,
    arch_args: dict[str, Any] | None = None,
) -> UnetLearner:  # fmt: skip
    """A learner for masks (or other targets of a value a pixel): a U-Net over the body of `arch`. Pretrained, the body is frozen.

    Args:
        dls: the data: pictures, and a target such as a MaskBlock.
        arch: an architecture that gives feature maps of several sizes: ``resnet34``, ``"convnext_tiny"``, ``"efficientnet_b0"``, swin ...; or a network of
            segmentation-models-pytorch (an extra package) over one: ``"smp:unetplusplus"``, ``"smp:fpn/efficientnet_b0"``.
        blur, self_attention, last_cross: of burnish's own way up, see ``burnish.vision.unet.UNet``.
        n_out: outputs a pixel; as many as the target has classes by default.
        The rest: see ``vision_learner``.

    Raises:
        SettingError: something doesn't fit the data, or `arch` has no such maps; OfflineError: the weights can't be had.
    """
    check_one_picture(dls, "unet_learner", "vision_learner takes several.")
    check_target(dls, "unet_learner")
    look = functools.cache(lambda: first_pictures(dls))
    way, body = parts_of(arch)
    own = {"blur": blur, "self_attention": self_attention, "last_cross": last_cross}
    if way is not None and (blur or self_attention or not last_cross):
        raise SettingError(
            f"blur, self_attention and last_cross are of burnish's own way up, and '{SMP}{way}' is another. Leave them away."
        )
    config = {
        "builder": "unet", "arch": arch, "n_in": channels_of(dls, n_in, look), "n_out": outputs_of(dls, n_out, loss_func is not None),
        "normalize": normalize and not normalized_already(dls, look), "arch_args": with_size(body, arch_args or {}, look),
        "target": [block.config() for block in dls.target_blocks],
        **({"unet": own} if way is None else {}),
    }  # fmt: skip
    fitting = resolve_metrics(default_metrics(dls) if metrics is None else metrics)
    seed = fresh_seed() if seed is None else seed
    with own_globals(derive(seed, "init")):
        model = _make(config, pretrained, weights)
    learn = UnetLearner(
        dls, model, loss_func=loss_func, opt_func=opt_func, lr=lr, splitter=splitter or unet_groups, cbs=cbs, metrics=fitting, path=path,
        model_dir=model_dir, wd=wd, wd_bn_bias=wd_bn_bias, train_bn=train_bn, moms=moms, seed=seed, precision=precision, device=device,
    )  # fmt: skip
    named(learn, body, model.body, config)
    if way is not None:
        learn.arch = f"{SMP}{way}/{learn.arch}"
        learn.model_config = {**config, "arch": learn.arch}
    return learn


def build(model_config: dict[str, Any]) -> UNet | SmpNet:
    """The network that a learner's ``model_config`` describes, with fresh weights."""
    return _make(model_config, pretrained=False)


def _make(config: dict[str, Any], pretrained: bool | None, weights: Source | None = None) -> UNet | SmpNet:
    """The network. Draws from torch's global generator."""
    targets: list[Block] = [from_config(target) for target in config["target"]]
    as_told = len(targets) == 1 and targets[0].n_out == config["n_out"]
    maps = targets[0].of_maps() if as_told else None
    n_out, final = maps or (config["n_out"], targets[0].final() if as_told else None)
    n_in, normalize, arch_args = config["n_in"], config["normalize"], config["arch_args"]
    way, arch = parts_of(config["arch"])
    if way is not None:
        model = make_smp(way, arch, pretrained, n_in, n_out, weights, normalize, arch_args, final)
    else:
        body = create_body(arch, pretrained, n_in, weights, normalize=normalize, arch_args=arch_args)
        model = UNet(body, n_out, n_in, final=final, **config["unet"])
        init_way_up(model)
    return model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
