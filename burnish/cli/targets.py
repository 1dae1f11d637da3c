"""What a folder of pictures, or a table that names pictures, is for: classes, several labels, numbers, points, masks or boxes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from burnish.cli.tables import Written, check_column, is_table, read
from burnish.data.notes import note
from burnish.errors import DataError, SettingError, listed, nearest

if TYPE_CHECKING:
    import pandas as pd

TASKS = ("auto", "class", "labels", "number", "points", "masks", "boxes")
SAID = {
    "class": "one class a picture", "labels": "several labels a picture", "number": "numbers", "points": "points", "masks": "a class for every pixel",
    "boxes": "boxes",
}  # fmt: skip
WHOLE = ("points", "boxes")  # of which nothing may be cut off: pictures are squeezed instead
IMAGES, MASKS = "images", "masks"  # the folders by which pictures with masks are known


class Asked(NamedTuple):
    """What the command line says of the target; None where it says nothing."""

    pictures: str | None = None
    target: str | None = None
    task: str = "auto"
    delim: str | None = None
    codes: str | None = None
    suffix: str | None = None
    valid_col: str | None = None
    written: Written = Written()


class Found(NamedTuple):
    """What there is to learn.

    Attributes:
        root: the folder of the pictures, into which nothing is written.
        task: one of ``TASKS``. said: in words, what is read.
        loaders: makes the DataLoaders, of the factories' common arguments.
        n: pictures.
    """

    root: Path
    task: str
    said: str
    loaders: Callable[..., Any]
    n: int


def find(data: str, asked: Asked) -> Found | None:
    """What `data` holds beside one class a sub-folder; None for that.

    Raises:
        SettingError, DataError: it can't be told; the message says which option tells it.
    """
    path = Path(data)
    if asked.task not in TASKS:
        raise SettingError(f"--task {asked.task!r}: expected one of {', '.join(map(repr, TASKS))}.{nearest(asked.task, TASKS)}")
    if path.suffix.lower() == ".json" and not path.is_dir():
        return _coco(path, asked)
    if is_table(data):
        return _of_table(path, asked)
    if asked.task == "masks" or ((path / IMAGES).is_dir() and (path / MASKS).is_dir()):
        return _masks(path, asked)
    _refuse_of_masks(asked, ("codes", "suffix"), f"{data!r} is a folder without {IMAGES!r} and {MASKS!r} in it")
    wrong = [f"--{name.replace('_', '-')}" for name in ("pictures", "target", "delim", "valid_col") if getattr(asked, name) is not None]
    if wrong or asked.task not in ("auto", "class"):
        wrong = wrong or [f"--task {asked.task}"]
        raise SettingError(
            f"{listed(wrong)}: these are options of a table that names pictures, and {data!r} is a folder, whose sub-folders are the classes. Give the table, or leave it out."
        )
    return None


def _refuse_of_masks(asked: Asked, names: tuple[str, ...], where: str) -> None:
    """Raises SettingError for options of masks that were given where there are none."""
    given = [f"--{name}" for name in names if getattr(asked, name) is not None]
    if given:
        raise SettingError(
            f"{listed(given)}: an option of {'a folder of ' if names == ('suffix',) else ''}masks, and {where}. Leave it out."
        )


# -- folders and annotation files ---------------------------------------------------------------------------------------
def _masks(root: Path, asked: Asked) -> Found:
    from burnish.data.files import get_image_files
    from burnish.vision.segmentation import SegmentationDataLoaders

    lacking = [name for name in (IMAGES, MASKS) if not (root / name).is_dir()]
    if lacking:
        raise DataError(
            f"--task masks: {str(root)!r} has no folder {listed(map(repr, lacking))}. Pictures are expected in {IMAGES!r}, and their masks, of the same names, in {MASKS!r}."
        )
    codes = _names(asked.codes)
    if codes is None and (root / "codes.txt").is_file():
        codes = [line.strip() for line in (root / "codes.txt").read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    n = len(get_image_files(root / IMAGES))
    return Found(
        root,
        "masks",
        f"{n} photographs and their masks, from {root}",
        lambda **options: SegmentationDataLoaders.from_folder(root, codes=codes, suffix=asked.suffix or "", **options),
        n,
    )


def _coco(file: Path, asked: Asked) -> Found:
    from burnish.vision.annotations import annotated_coco
    from burnish.vision.detection import DetectionDataLoaders

    if asked.target or asked.delim or asked.valid_col or asked.task not in ("auto", "boxes"):
        raise SettingError(
            f"{str(file)!r} is taken as a COCO file of boxes; --target, --delim, --valid-col and other tasks are of tables. Leave them out."
        )
    _refuse_of_masks(asked, ("codes", "suffix"), f"{str(file)!r} is taken as a COCO file of boxes")
    folder = asked.pictures or "."
    n = len(annotated_coco(file))
    made = f"{n} photographs and their boxes, from {file}"
    return Found(
        (file.parent / folder),
        "boxes",
        made,
        lambda **options: DetectionDataLoaders.from_coco(file.parent, file.name, folder, **options),
        n,
    )


# -- tables ---------------------------------------------------------------------------------------------------------------
def _of_table(file: Path, asked: Asked) -> Found:
    frame = read(str(file), asked.written)
    if asked.pictures is None or asked.pictures not in frame.columns:
        raise SettingError(
            f"--pictures {asked.pictures!r}: the table has no such column. It has: {listed(frame.columns, 20)}.{nearest(str(asked.pictures), map(str, frame.columns))}"
        )
    targets = _names(asked.target)
    if not targets:
        others = [c for c in frame.columns if c != asked.pictures]
        raise SettingError(
            f"Say which column is to be predicted: --target NAME, or several with commas between them. The table has besides the pictures: {listed(others, 20)}."
        )
    for name in targets:
        check_column(frame, "target", name)
    task = _task(frame, targets, asked, file.parent) if asked.task == "auto" else asked.task
    _refuse_of_masks(asked, ("suffix",) if task == "masks" else ("codes", "suffix"), f"{file.name!r} is a table of {SAID[task]}")
    _say_what_else(frame, targets, task, asked)
    made = {"class": _classes, "labels": _labels, "number": _numbers, "points": _points, "masks": _mask_column, "boxes": _boxes}[task](
        frame, targets, asked, file.parent
    )
    if asked.valid_col is not None:
        check_column(frame, "valid-col", asked.valid_col)
        made = functools.partial(made, valid_col=asked.valid_col)
    n: Any = frame[asked.pictures].nunique()
    return Found(file.parent, task, f"{n} photographs with {SAID[task]} ({listed(targets, 8)}), from {file}", made, n)


def _task(frame: pd.DataFrame, targets: list[str], asked: Asked, root: Path) -> str:
    """What the columns are, by what is in them."""
    import pandas as pd

    cells: Any = frame[targets]
    numeric = [pd.api.types.is_numeric_dtype(cells[c]) for c in targets]
    if asked.delim is not None:
        return "labels"
    if len(targets) == 1:
        first: Any = next(iter(cells[targets[0]].dropna()), None)
        if isinstance(first, str):
            return "masks" if Path(first).suffix.lower() in (".png", ".bmp", ".tif", ".tiff") and (root / first).is_file() else "class"
        from burnish.tabular.targets import find_targets

        return "class" if find_targets(frame, targets, None)[0].block.kind == "category" else "number"
    if all(numeric):
        values = cells.to_numpy(dtype=float)
        if set(values[values == values].tolist()) <= {0.0, 1.0}:
            return "labels"
        return "points" if len(targets) % 2 == 0 and _in_pairs(targets) else "number"
    if len(targets) == 5 and all(numeric[:4]):
        return "boxes"
    raise SettingError(
        f"--target {','.join(targets)}: what these columns are together can't be told. Say it: --task labels, number, points, masks or boxes."
    )


def _say_what_else(frame: pd.DataFrame, targets: list[str], task: str, asked: Asked) -> None:
    """Says what a table seems to hold and the command doesn't use."""
    split = next((c for c in frame.columns if str(c).lower() in ("is_valid", "is_test", "split", "fold")), None)
    if split is not None and asked.valid_col is None:
        by_it = f" --valid-col {split} splits by it." if _says_sides(frame, split) else ""
        note(f"The column {split!r} isn't used: the pictures that validate are drawn.{by_it}")
    texts = frame[targets[0]].dropna().astype(str) if task == "class" else ()
    mark = next((mark for mark in (";", "|") if len(texts) and sum(mark in t for t in texts) > len(texts) / 2), None)
    if mark is not None:
        note(
            f"The cells of {targets[0]!r} hold {mark!r} ({next(t for t in texts if mark in t)!r}). Several labels each? --delim {mark!r} says so."
        )


def _says_sides(frame: pd.DataFrame, column: str) -> bool:
    """Whether a column says of each row which side it is on; "is_test" says something else of True."""
    from burnish.data.sides import sides_of_marks

    try:
        sides_of_marks(list(frame[column]), column, lenient=False)
    except DataError:
        return False
    return str(column).lower() != "is_test"


def _in_pairs(targets: list[str]) -> bool:
    """Whether columns are called like places: left_x, left_y, right_x, right_y."""
    return all(
        a.lower().replace("x", "y") == b.lower() and a.lower() != b.lower() for a, b in zip(targets[::2], targets[1::2], strict=True)
    )


def _classes(frame: pd.DataFrame, targets: list[str], asked: Asked, root: Path) -> Callable[..., Any]:
    from burnish.data.category import CategoryBlock
    from burnish.vision.dataloaders import ImageDataLoaders

    if len(targets) != 1:
        raise SettingError(f"--task class: one column of classes was expected, and --target names {len(targets)}.")
    return lambda **options: ImageDataLoaders.from_df(
        frame, root, fn_col=str(asked.pictures), label_col=targets[0], y_block=CategoryBlock, **options
    )


def _labels(frame: pd.DataFrame, targets: list[str], asked: Asked, root: Path) -> Callable[..., Any]:
    from burnish.vision.dataloaders import ImageDataLoaders

    if len(targets) == 1 and asked.delim is None:
        raise SettingError(
            f"--task labels: what stands between the labels in the column {targets[0]!r}? Say it: --delim ' ', or --delim ';'."
        )
    given = {"label_col": targets[0], "label_delim": asked.delim} if len(targets) == 1 else {"label_col": targets}
    return lambda **options: ImageDataLoaders.from_df(frame, root, fn_col=str(asked.pictures), **given, **options)  # pyright: ignore[reportArgumentType]


def _numbers(frame: pd.DataFrame, targets: list[str], asked: Asked, root: Path) -> Callable[..., Any]:
    from burnish.data.number import RegressionBlock
    from burnish.vision.dataloaders import ImageDataLoaders

    column = targets[0] if len(targets) == 1 else targets
    return lambda **options: ImageDataLoaders.from_df(
        frame, root, fn_col=str(asked.pictures), label_col=column, y_block=RegressionBlock, **options
    )


def _points(frame: pd.DataFrame, targets: list[str], asked: Asked, root: Path) -> Callable[..., Any]:
    from burnish.vision.dataloaders import ImageDataLoaders
    from burnish.vision.points import PointBlock

    if len(targets) % 2:
        raise SettingError(f"--task points: columns x, y for each point were expected, and --target names {len(targets)}.")
    names = [_shared(a, b) for a, b in zip(targets[::2], targets[1::2], strict=True)]
    block = PointBlock(names=names if len(set(names)) == len(names) else None, n=None if len(set(names)) == len(names) else len(names))
    return lambda **options: ImageDataLoaders.from_df(frame, root, fn_col=str(asked.pictures), label_col=targets, y_block=block, **options)


def _shared(x: str, y: str) -> str:
    """What two columns of a place have in common: "left_eye" of left_eye_x, left_eye_y."""
    same = "".join(a if a == b else "\0" for a, b in zip(x, y, strict=False)).replace("\0", " ").strip(" _-.")
    return same or x


def _mask_column(frame: pd.DataFrame, targets: list[str], asked: Asked, root: Path) -> Callable[..., Any]:
    from burnish.vision.segmentation import SegmentationDataLoaders

    if len(targets) != 1:
        raise SettingError(f"--task masks: one column of mask files was expected, and --target names {len(targets)}.")
    codes = _names(asked.codes)
    return lambda **options: SegmentationDataLoaders.from_df(
        frame, root, fn_col=str(asked.pictures), mask_col=targets[0], codes=codes, **options
    )


def _boxes(frame: pd.DataFrame, targets: list[str], asked: Asked, root: Path) -> Callable[..., Any]:
    from burnish.vision.detection import DetectionDataLoaders

    if len(targets) not in (4, 5):
        raise SettingError(
            f"--task boxes: four columns (left, top, right, bottom) were expected, and perhaps one of labels; --target names {len(targets)}."
        )
    label = targets[4] if len(targets) == 5 else None
    return lambda **options: DetectionDataLoaders.from_df(
        frame, root, fn_col=str(asked.pictures), box_cols=targets[:4], label_col=label, **options
    )


def _names(given: str | None) -> list[str] | None:
    """The names in a list with commas between them."""
    return None if given is None else [name.strip() for name in given.split(",") if name.strip()]


# -- the model --------------------------------------------------------------------------------------------------------------
def learner(found: Found | None, dls: Any, arch: str, **settings: Any) -> Any:
    """The learner that suits the target."""
    if found is not None and found.task == "masks":
        from burnish.vision.segmentation import unet_learner as make
    elif found is not None and found.task == "boxes":
        from burnish.vision.detection import detection_learner as make
    else:
        from burnish.vision.learner import vision_learner as make
    return make(dls, arch, **settings)
