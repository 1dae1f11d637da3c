"""DetectionDataLoaders and detection_learner: from pictures with boxes to a model that finds the objects of a new one."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch
from torch import Tensor

from burnish.data.datablock import DataBlock
from burnish.data.dataloaders import DataLoaders
from burnish.data.lazy import pd
from burnish.data.notes import note
from burnish.data.randomness import derive, fresh_seed, own_globals
from burnish.data.sides import SIDES, check_shares
from burnish.data.split import ColSplitter, RandomSplitter, Splitter
from burnish.errors import DataError, SettingError, hinting, listed
from burnish.evaluate.boxes import EXTRA
from burnish.evaluate.joint import default_metrics
from burnish.evaluate.metrics import resolve_metrics
from burnish.train.learner import Callbacks
from burnish.train.optim import AdamW, OptFunc
from burnish.vision.annotations import Annotated, annotated_coco, annotated_rows, annotated_voc, check_sizes
from burnish.vision.backbones import ArchLike, create_body
from burnish.vision.boxes import BBoxLblBlock
from burnish.vision.csv_files import csv_in, read_rows
from burnish.vision.dataloaders import LoaderOptions, by_column, image_block, known_options
from burnish.vision.detector import FINEST, Detector
from burnish.vision.inputs import check_one_picture
from burnish.vision.learner import Splitter as GroupsOf
from burnish.vision.learner import VisionLearner, channels_of, check_target, named, normalized_already, with_size
from burnish.vision.normalization import first_batch, first_pictures
from burnish.vision.unet import unet_groups
from burnish.vision.weights import Source


class DetectionDataLoaders(DataLoaders):
    """DataLoaders of pictures whose objects have a box and a label each.

    All factories take: `valid_pct` and `test_pct`, the shares drawn at random for validation and testing; `seed` (42 when not given); `vocab`, the classes (by default
    all that occur); `bbox`, a ``BBoxLblBlock`` with what else there is to say of boxes; `item_tfms` and `batch_tfms`, which move pictures and boxes alike; `img_cls`, see
    ``ImageDataLoaders``; and the options of ``DataBlock.dataloaders``. Item transforms that cut pictures cut objects off: ``Resize(size, "pad")`` keeps all.
    """

    @classmethod
    def from_coco(
        cls, path: str | Path, annotations: str | Path = "annotations.json", images: str | Path = ".", valid_pct: float = 0.2, seed: int | None = None,
        vocab: Any = None, item_tfms: Any = None, batch_tfms: Any = None, img_cls: Any = None, *, bbox: BBoxLblBlock | None = None, test_pct: float = 0.0,
        splitter: Splitter | None = None, **options: Unpack[LoaderOptions],
    ) -> DataLoaders:  # fmt: skip
        """From a COCO JSON file, whose file names are relative to the folder `images`; both relative to `path`."""
        root = Path(path)
        _check_format(bbox, "A COCO file")
        found = annotated_coco(root / annotations, root / images)
        return _loaders(cls, found, valid_pct, seed, vocab, item_tfms, batch_tfms, img_cls, bbox, test_pct, splitter, options)

    @classmethod
    def from_voc(
        cls, path: str | Path, annotations: str | Path = "Annotations", images: str | Path = "JPEGImages", valid_pct: float = 0.2, seed: int | None = None,
        vocab: Any = None, item_tfms: Any = None, batch_tfms: Any = None, img_cls: Any = None, *, difficult: bool = False, bbox: BBoxLblBlock | None = None,
        test_pct: float = 0.0, splitter: Splitter | None = None, **options: Unpack[LoaderOptions],
    ) -> DataLoaders:  # fmt: skip
        """From a folder of pictures and one with a Pascal VOC XML file for each. `difficult`: with the objects that are marked so."""
        root = Path(path)
        _check_format(bbox, "Pascal VOC")
        found = annotated_voc(root / annotations, root / images, difficult)
        return _loaders(cls, found, valid_pct, seed, vocab, item_tfms, batch_tfms, img_cls, bbox, test_pct, splitter, options)

    @classmethod
    def from_df(
        cls, df: pd.DataFrame, path: str | Path = ".", valid_pct: float = 0.2, seed: int | None = None, fn_col: str = "file",
        box_cols: Sequence[str] = ("x1", "y1", "x2", "y2"), label_col: str | None = "label", folder: str | Path | None = None, vocab: Any = None, item_tfms: Any = None,
        batch_tfms: Any = None, img_cls: Any = None, *, valid_col: str | None = None, bbox: BBoxLblBlock | None = None, test_pct: float = 0.0,
        splitter: Splitter | None = None, **options: Unpack[LoaderOptions],
    ) -> DataLoaders:  # fmt: skip
        """From a table with a row a box; a row without numbers names a picture without objects.

        Args:
            fn_col, box_cols, label_col: the columns of the file (in `path` and `folder`), of four numbers, and of the label (None: all are of one kind).
            valid_col: a column that says which pictures validate (True/False, or "train"/"valid"/"test"), the same in all rows of a picture.
        """
        root = Path(path) / folder if folder is not None else Path(path)
        if len(box_cols) != 4:
            raise SettingError(f"box_cols={list(box_cols)}: expected the names of four columns, such as ('x1', 'y1', 'x2', 'y2').")
        columns = [fn_col, *box_cols, *([] if label_col is None else [label_col])]
        found = annotated_rows(df, columns, root, "xyxy" if bbox is None else bbox.format)
        if valid_col is not None:
            splitter = _by_column(df, fn_col, valid_col, test_pct, splitter)
        return _loaders(cls, found, valid_pct, seed, vocab, item_tfms, batch_tfms, img_cls, bbox, test_pct, splitter, options)

    @classmethod
    def from_csv(
        cls, path: str | Path, csv_fname: str | Path = "boxes.csv", valid_pct: float = 0.2, seed: int | None = None, fn_col: str = "file",
        box_cols: Sequence[str] = ("x1", "y1", "x2", "y2"), label_col: str | None = "label", folder: str | Path | None = None, vocab: Any = None, item_tfms: Any = None,
        batch_tfms: Any = None, img_cls: Any = None, *, valid_col: str | None = None, bbox: BBoxLblBlock | None = None, test_pct: float = 0.0,
        splitter: Splitter | None = None, **options: Unpack[LoaderOptions],
    ) -> DataLoaders:  # fmt: skip
        """From a CSV file in `path`; see ``from_df``."""
        path, file = csv_in(path, csv_fname)
        return cls.from_df(
            read_rows(file), path, valid_pct, seed, fn_col, box_cols, label_col, folder, vocab, item_tfms, batch_tfms, img_cls, valid_col=valid_col, bbox=bbox,
            test_pct=test_pct, splitter=splitter, **options,
        )  # fmt: skip


def _by_column(df: pd.DataFrame, fn_col: str, valid_col: str, test_pct: float, splitter: Splitter | None) -> Splitter:
    """The split of the pictures, by a column of their rows."""
    if splitter is not None:
        raise SettingError("valid_col= and splitter= were both given: the pictures are split by one of them.")
    side_of_row = np.empty(len(df), dtype=object)
    for side, rows in zip(SIDES, by_column(df, valid_col, test_pct).split(df, None), strict=False):
        side_of_row[rows] = side
    sides = dict[str, str]()
    for row, (file, side) in enumerate(zip(df[fn_col].astype(str), side_of_row, strict=True)):
        if sides.setdefault(file, side) != side:
            raise DataError(
                f"Row {row} of the table, by its {valid_col!r}, puts {file} on the side {side!r}, and a row before it on {sides[file]!r}. A picture is on one side with all its boxes: mend the column."
            )
    return ColSplitter(list(sides.values()))


def _check_format(bbox: BBoxLblBlock | None, what: str) -> None:
    if bbox is not None and (bbox.format != "xyxy" or bbox.units != "pixels"):
        raise SettingError(
            f"bbox=BBoxLblBlock(format={bbox.format!r}, units={bbox.units!r}): {what} says itself how boxes are written, and they are read so. Leave format= and units= out."
        )


def _loaders(
    cls: type, found: list[Annotated], valid_pct: float, seed: int | None, vocab: Any, item_tfms: Any, batch_tfms: Any, img_cls: Any, bbox: BBoxLblBlock | None,
    test_pct: float, splitter: Splitter | None, options: LoaderOptions,
) -> DataLoaders:  # fmt: skip
    if not found:
        raise DataError("The annotations name no picture.")
    gone = [one.file for one in found if not one.file.is_file()]
    if len(gone) == len(found):
        raise FileNotFoundError(
            f"None of the {len(found)} pictures of the annotations is there, for example {gone[0]}. Say where they are (images=, folder=)."
        )
    if gone:
        raise FileNotFoundError(
            f"{len(gone)} of {len(found)} pictures of the annotations aren't there: {listed(map(str, gone), 3)}. Bring them, or take them out."
        )
    check_sizes(found)
    if bbox is not None and vocab is not None:
        raise SettingError("vocab= and bbox= were both given: pass bbox=BBoxLblBlock(vocab=...).")
    check_shares(valid_pct, test_pct)
    drawn = splitter or RandomSplitter(valid_pct=valid_pct, test_pct=test_pct, seed=42 if seed is None else seed)
    boxes = bbox or BBoxLblBlock(
        vocab or sorted({label for one in found for label in one.labels}, key=lambda label: (str(type(label)), label))
    )
    block = DataBlock(blocks=(image_block(img_cls), boxes), splitter=drawn, item_tfms=item_tfms, batch_tfms=batch_tfms)
    samples = [(one.file, (one.boxes, one.labels)) for one in found]
    return block.dataloaders(samples, seed=seed, **known_options(options, cls.__name__))


# -- the learner ------------------------------------------------------------------------------------------------------------
class DetectionLearner(VisionLearner):
    """A learner whose model finds the objects of a picture."""


def _say_small(pictures: Tensor, boxes: Tensor, finest: int) -> None:
    """Says so where many objects of a batch are smaller than the steps in which the model looks for them."""
    height, width = pictures.shape[-2:]
    there = boxes[boxes[..., 4] >= 0]
    sides = (there[:, 2:4] - there[:, :2]) / 2 * torch.tensor([width, height], device=there.device)
    small = int((sides.amin(1) < finest).sum())
    if small > len(there) / 4:
        finer = ", or finest=4" if finest > 4 else ""
        note(
            f"{small} of the {len(there)} objects in a first batch are less than {finest} pixels wide or high as the model sees them, in pictures of {width} x {height}: "
            f"it will find few of those. Larger pictures help (Resize({2 * max(height, width)}, ...)){finer}."
        )


@hinting
def detection_learner(
    dls: DataLoaders, arch: ArchLike, *, normalize: bool = True, pretrained: bool | None = None, weights: Source | None = None,
    loss_func: Callable[..., Tensor] | None = None, opt_func: OptFunc = AdamW, lr: float = 1e-3, splitter: GroupsOf | None = None, cbs: Callbacks = None,
    metrics: Any = None, path: str | Path = ".", model_dir: str | Path = "models", wd: float | None = None, wd_bn_bias: bool = False, train_bn: bool = False,
    moms: tuple[float, float, float] = (0.95, 0.85, 0.95), finest: int = FINEST, n_in: int | None = None, seed: int | None = None, precision: str = "auto",
    device: torch.device | str | None = None, arch_args: dict[str, Any] | None = None,
) -> DetectionLearner:  # fmt: skip
    """A learner for boxes: a detector in the manner of FCOS over the body of `arch`. Pretrained, the body is frozen.

    Args:
        dls: the data: pictures, and a BBoxLblBlock or BBoxBlock.
        arch: an architecture that gives feature maps of several sizes: ``resnet34``, ``"convnext_tiny"``, ``"efficientnet_b0"``, swin ...
        finest: stride in pixels of the finest feature map that is used; 4 finds smaller objects, at some four times the work.
        The rest: see ``vision_learner``.

    Raises:
        SettingError: something doesn't fit the data, or `arch` has no such maps; OfflineError: the weights can't be had; ModuleNotFoundError: a metric that was
            asked for needs packages that aren't installed.
    """
    if not dls.target_blocks:
        raise SettingError(
            "detection_learner is for boxes, and what the target of these DataLoaders is isn't known. Make the data with a BBoxLblBlock."
        )
    check_target(dls, "detection_learner")
    check_one_picture(dls, "detection_learner")
    batch = first_batch(dls)
    look = functools.cache(lambda: first_pictures(dls, batch))
    _say_small(look(), batch[1], finest)
    config = {
        "builder": "detection", "arch": arch, "n_in": channels_of(dls, n_in, look), "n_out": dls.c, "normalize": normalize and not normalized_already(dls, look),
        "arch_args": with_size(arch, arch_args or {}, look), "finest": finest,
    }  # fmt: skip
    fitting = resolve_metrics(default_metrics(dls) if metrics is None else metrics)
    if metrics is None and not fitting:
        note(
            f"There will be no mean average precision, only losses: it needs torchmetrics and faster-coco-eval, which aren't installed: {EXTRA}."
        )
    seed = fresh_seed() if seed is None else seed
    with own_globals(derive(seed, "init")):
        model = _make(config, pretrained, weights)
    learn = DetectionLearner(
        dls, model, loss_func=loss_func, opt_func=opt_func, lr=lr, splitter=splitter or unet_groups, cbs=cbs, metrics=fitting, path=path,
        model_dir=model_dir, wd=wd, wd_bn_bias=wd_bn_bias, train_bn=train_bn, moms=moms, seed=seed, precision=precision, device=device,
    )  # fmt: skip
    return named(learn, arch, model.body, config)


def build(model_config: dict[str, Any]) -> Detector:
    """The network that a learner's ``model_config`` describes, with fresh weights."""
    return _make(model_config, pretrained=False)


def _make(config: dict[str, Any], pretrained: bool | None, weights: Source | None = None) -> Detector:
    """The network. Draws from torch's global generator."""
    body = create_body(config["arch"], pretrained, config["n_in"], weights, normalize=config["normalize"], arch_args=config["arch_args"])
    model = Detector(body, config["n_out"], config["n_in"], finest=config["finest"])
    return model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
