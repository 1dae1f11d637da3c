"""Boxes as others write them down: COCO's JSON, Pascal VOC's XML, tables of a row a box."""

from __future__ import annotations

import json
import math
import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

from PIL import Image

from burnish.data.files import get_image_files
from burnish.data.label import is_missing
from burnish.data.lazy import pd
from burnish.data.notes import note
from burnish.data.parallel import in_parallel
from burnish.errors import DataError, UnreadableFileError, listed, nearest
from burnish.vision.files import upright_size


class Annotated(NamedTuple):
    """A picture's file, and what is in it: boxes ``[(x1, y1, x2, y2), ...]`` in pixels, with a label each; and the size that is said of the picture, None for nothing."""

    file: Path
    boxes: list[tuple[float, ...]]
    labels: list[Any]
    size: tuple[int, int] | None = None


def get_annotations(
    fname: str | os.PathLike[str], prefix: str | os.PathLike[str] | None = None
) -> tuple[list[str], list[tuple[list[list[float]], list[str]]]]:
    """What a COCO JSON file tells of the pictures that have boxes: (file names, a pair (boxes, labels) for each), boxes as x1, y1, x2, y2 in pixels.

    Args:
        prefix: put before each file name ("train/").
    """
    found = [one for one in annotated_coco(fname) if one.boxes]
    before = "" if prefix is None else os.fspath(prefix)
    return [f"{before}{one.file}" for one in found], [([list(box) for box in one.boxes], one.labels) for one in found]


# -- COCO -----------------------------------------------------------------------------------------------------------------
def annotated_coco(fname: str | os.PathLike[str], folder: str | os.PathLike[str] | None = None) -> list[Annotated]:
    """The pictures of a COCO JSON file (also those without boxes), in its order. Regions of crowds (``iscrowd``) are left out with a note.

    Args:
        folder: what the file names are relative to.

    Raises:
        DataError: it isn't such a file, or a box is of a picture or category that it doesn't know.
    """
    file = Path(fname)
    told = _read_json(file)
    categories = {c["id"]: str(c["name"]) for c in told["categories"]}
    made = {
        image["id"]: Annotated(Path(folder or "") / image["file_name"], [], [], _size(image.get("width"), image.get("height")))
        for image in told["images"]
    }
    crowds = 0
    for place, entry in enumerate(told["annotations"]):
        if entry.get("iscrowd"):
            crowds += 1
            continue
        if entry.get("image_id") not in made:
            raise DataError(
                f"{file}: annotation {place} is of the image {entry.get('image_id')!r}, which isn't among its {len(made)} images. Mend the file, or take it out."
            )
        if entry.get("category_id") not in categories:
            known = listed(f"{k} ({v})" for k, v in categories.items())
            raise DataError(
                f"{file}: annotation {place} is of the category {entry.get('category_id')!r}, which is none of its categories: {known}. Mend the file, or take it out."
            )
        x, y, width, height = _four(entry.get("bbox"), f"{file}: annotation {place}")
        if width <= 0 or height <= 0:
            raise DataError(
                f"{file}: the box of annotation {place} (of {made[entry['image_id']].file}) is {width:g} x {height:g} pixels; a box (x, y, width, height) must have a size. "
                "Mend it, or take the annotation out."
            )
        made[entry["image_id"]].boxes.append((x, y, x + width, y + height))
        made[entry["image_id"]].labels.append(categories[entry["category_id"]])
    if crowds:
        note(f"{crowds} region(s) of crowds (iscrowd) in {file.name} are left out: they aren't boxes of single objects.")
    return list(made.values())


def _read_json(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise FileNotFoundError(
            f"There is no file {str(file)!r}. Give the JSON file with the annotations, such as 'annotations/instances_train2017.json'."
        )
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise UnreadableFileError(f"{file} is no JSON: {error}.") from None
    lacking = [key for key in ("images", "annotations", "categories") if not isinstance(told, dict) or not isinstance(told.get(key), list)]
    if lacking:
        has = listed(told, 8) if isinstance(told, dict) else f"a {type(told).__name__}"
        raise DataError(f"{file} is no COCO file of objects: it has no list {listed(map(repr, lacking))}; it has {has}.")
    for key, needed in (("images", ("id", "file_name")), ("categories", ("id", "name"))):
        for place, entry in enumerate(told[key]):
            if not isinstance(entry, dict) or any(name not in entry for name in needed):
                raise DataError(f"{file}: {key}[{place}] has no {listed(map(repr, needed))}: {str(entry)[:80]}.")
    return told


def _size(width: Any, height: Any) -> tuple[int, int] | None:
    """What annotations say of a picture's size; None where that is nothing."""
    try:
        made = int(width), int(height)
    except (TypeError, ValueError):
        return None
    return made if min(made) > 0 else None


def check_sizes(found: Sequence[Annotated]) -> None:
    """Raises DataError where a picture isn't of the size that its annotations were made for: boxes would be in other places, without a sign of it."""
    told = [one for one in found if one.size is not None and one.boxes]
    sizes = in_parallel(_sizes_of, [one.file for one in told])
    other = [(one, *of) for one, of in zip(told, sizes, strict=True) if of is not None and of[1] != one.size]
    if not other:
        return
    one, stored, size = other[0]
    said, turned = one.size or (0, 0), stored == one.size
    raise DataError(
        f"{len(other)} of {len(found)} pictures aren't of the size that their annotations say, for example {one.file}: {size[0]} x {size[1]} pixels, and "
        f"{said[0]} x {said[1]} in the annotations{', which is its size before its EXIF orientation turns it upright' if turned else ''}. Its boxes would be in the wrong places. "
        "Use the pictures that were annotated, or bring the boxes and the sizes in the annotations to those of the files."
    )


def _sizes_of(file: Path) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """The size of a picture as it is stored, and upright; None where it can't be opened, of which the one who opens it tells."""
    try:
        with Image.open(file) as picture:
            return picture.size, upright_size(picture)
    except Exception:  # a damaged file makes decoders raise nearly anything
        return None


def _four(box: Any, where: str) -> tuple[float, ...]:
    try:
        made = tuple(float(v) for v in box)
        if len(made) == 4 and all(map(math.isfinite, made)):
            return made
    except (TypeError, ValueError):
        pass
    raise DataError(f"{where} has the box {str(box)[:60]}; four numbers were expected.")


# -- Pascal VOC -----------------------------------------------------------------------------------------------------------
def annotated_voc(annotations: str | os.PathLike[str], images: str | os.PathLike[str], difficult: bool = False) -> list[Annotated]:
    """The pictures of a folder with an XML file each, as Pascal VOC has them; those without a file have no boxes, which is said.

    Args:
        annotations, images: the folders; files belong together by their names without ending.
        difficult: take the objects that are marked so, too.
    """
    tells, root = Path(annotations), Path(images)
    if not tells.is_dir():
        raise FileNotFoundError(f"There is no folder {str(tells)!r} with a VOC XML file for each picture. Pass annotations= its name.")
    files = get_image_files(root)
    by_stem = {f.stem: f for f in sorted(tells.glob("*.xml"))}
    doubled = [stem for stem, n in Counter(f.stem for f in files).items() if n > 1 and stem in by_stem]
    if doubled:
        raise DataError(
            f"{len(doubled)} XML file(s) in {tells} belong to more than one picture each, for example {doubled[0]}.xml to "
            f"{listed(str(f.relative_to(root)) for f in files if f.stem == doubled[0])}. Rename them, or pass images= the folder of one of them."
        )
    if not by_stem:
        raise DataError(f"The folder {str(tells)!r} has no XML files.")
    unknown = sorted(set(by_stem) - {f.stem for f in files})
    if unknown:
        note(f"{len(unknown)} XML file(s) in {tells} belong to no picture in {root}: {listed(unknown, 3)}.")
    made = [_of_xml(by_stem[f.stem], f, difficult) if f.stem in by_stem else Annotated(f, [], []) for f in files]
    _say_bare(sum(f.stem not in by_stem for f in files), len(files), "XML file")
    return made


def _of_xml(xml: Path, picture: Path, difficult: bool) -> Annotated:
    try:
        root = ElementTree.parse(xml).getroot()
    except ElementTree.ParseError as error:
        raise UnreadableFileError(f"{xml} is no XML: {error}.") from None
    made = Annotated(picture, [], [], _size(root.findtext("size/width"), root.findtext("size/height")))
    for place, one in enumerate(root.iter("object")):
        if not difficult and (one.findtext("difficult") or "0").strip() == "1":
            continue
        name, box = one.findtext("name"), one.find("bndbox")
        if not name or box is None:
            raise DataError(f"{xml}: object {place} has no name or no bndbox.")
        x1, y1, x2, y2 = _four([box.findtext(k) for k in ("xmin", "ymin", "xmax", "ymax")], f"{xml}: object {place} ({name})")
        made.boxes.append((x1 - 1, y1 - 1, x2, y2))  # VOC counts pixels from 1, the last one included
        made.labels.append(name.strip())
    return made


# -- tables ---------------------------------------------------------------------------------------------------------------
def annotated_rows(df: pd.DataFrame, columns: Sequence[str], folder: Path, format: str = "xyxy") -> list[Annotated]:
    """The pictures of a table of a row a box; rows without numbers name pictures without boxes.

    Args:
        columns: of the file, the four numbers, and the label (or none: all are an "object").
        folder: what the file names are relative to. format: of the four numbers; see ``BBoxLblBlock``.
    """
    lacking = [c for c in columns if c not in df.columns]
    if lacking:
        raise DataError(
            f"The table has no column {listed(map(repr, lacking))}. It has: {listed(df.columns, 12)}.{nearest(str(lacking[0]), map(str, df.columns))}"
        )
    file, four, label = columns[0], list(columns[1:5]), columns[5] if len(columns) > 5 else None
    if format == "xyxy":
        _refuse_sizes(four)
    made: dict[str, Annotated] = {}
    rows: Any = df[list(columns)]
    for row, cells in enumerate(rows.to_dict("records")):
        if is_missing(cells[file]):
            raise DataError(f"Row {row} of the table names no picture: the column {file!r} is empty.")
        one = made.setdefault(str(cells[file]), Annotated(folder / str(cells[file]), [], []))
        empty = [c for c in four if is_missing(cells[c])]
        if len(empty) == 4:
            continue
        if empty or (label is not None and is_missing(cells[label])):
            raise DataError(
                f"Row {row} of the table ({cells[file]}) has no {listed(map(repr, empty or [label]))}. Fill it in; for a picture without boxes leave all of them empty."
            )
        one.boxes.append(_four([cells[c] for c in four], f"Row {row} of the table ({cells[file]})"))
        one.labels.append("object" if label is None else cells[label])
    return list(made.values())


def _refuse_sizes(four: Sequence[str]) -> None:
    """Columns that by their names hold a width and a height are no right and bottom: with sizes, boxes would be wrong without a sign of it."""
    last = [re.split(r"[^a-z]+", str(name).lower())[-1] for name in four]
    if last[2] in ("w", "width") or last[3] in ("h", "height"):
        x, y, w, h = four
        raise DataError(
            f"The columns {listed(map(repr, four), 4)} were given as left, top, right, bottom, and by their names the last two are sizes. Add the columns: "
            f"df['x2'], df['y2'] = df[{x!r}] + df[{w!r}], df[{y!r}] + df[{h!r}], and name ({x!r}, {y!r}, 'x2', 'y2'); or say bbox=BBoxLblBlock(format='xywh'). "
            "Rename them where they are places."
        )
    if [re.sub(r"[^a-z]", "", str(name).lower()) for name in four] in (
        ["xmin", "xmax", "ymin", "ymax"],
        ["left", "right", "top", "bottom"],
    ):
        x1, x2, y1, y2 = four
        raise DataError(
            f"The columns {listed(map(repr, four), 4)} were given as left, top, right, bottom, and by their names they are in another order: ({x1!r}, {y1!r}, {x2!r}, {y2!r})."
        )


def _say_bare(n: int, of: int, what: str) -> None:
    if n:
        note(f"{n} of {of} pictures have no {what}: they are taken as pictures without objects.")
