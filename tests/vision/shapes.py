"""Pictures with boxes to find, for the tests of detection: grey noise with bright boxes and balls; what is where in a table, as COCO and as VOC have it."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from burnish.vision.transforms import Resize

N = 120
OPTIONS = {"item_tfms": Resize(96, "pad", pad_mode="zeros"), "bs": 8, "seed": 0, "device": "cpu"}


def make_shapes(root):
    """Grey noise with 0 to 2 bright boxes and balls; what is where in a table, as COCO and as VOC have it."""
    rng, rows = np.random.default_rng(0), []
    for name in ("JPEGImages", "Annotations"):
        (root / name).mkdir()
    for i in range(N):
        picture = Image.fromarray(rng.integers(80, 140, (72, 96, 3), dtype=np.uint8))
        for k in range(i % 3):
            w, h = rng.integers(14, 32, 2)
            x, y = rng.integers(0, 48 - w) + 48 * k, rng.integers(0, 72 - h)
            ball, colour = int(rng.integers(2)), tuple(rng.integers(150, 255, 3).tolist())
            draw = ImageDraw.Draw(picture)
            (draw.ellipse if ball else draw.rectangle)((x, y, x + w - 1, y + h - 1), fill=colour)
            rows.append((f"{i:03}.jpg", x, y, x + w, y + h, ("box", "ball")[ball]))
        if i % 3 == 0:
            rows.append((f"{i:03}.jpg", *[None] * 5))
        picture.save(root / "JPEGImages" / f"{i:03}.jpg", quality=95)
    table = pd.DataFrame(rows, columns=["file", "x1", "y1", "x2", "y2", "label"])
    table.to_csv(root / "boxes.csv", index=False)
    write_coco(table, root / "annotations.json")
    for file, objects in table.dropna().groupby("file"):
        told = "".join(
            f"<object><name>{o.label}</name><difficult>0</difficult><bndbox><xmin>{o.x1 + 1:g}</xmin><ymin>{o.y1 + 1:g}</ymin><xmax>{o.x2:g}</xmax><ymax>{o.y2:g}</ymax></bndbox></object>"
            for o in objects.itertuples()
        )
        (root / "Annotations" / f"{file[:-4]}.xml").write_text(f"<annotation><filename>{file}</filename>{told}</annotation>")
    return root


def write_coco(table, file, **changed):
    names, numbers = list(dict.fromkeys(table.file)), {"ball": 7, "box": 31}
    told = {
        "images": [{"id": 100 + i, "file_name": name, "width": 96, "height": 72} for i, name in enumerate(names)],
        "categories": [{"id": k, "name": name} for name, k in numbers.items()],
        "annotations": [
            {"id": i, "image_id": 100 + names.index(o.file), "category_id": numbers[o.label], "bbox": [o.x1, o.y1, o.x2 - o.x1, o.y2 - o.y1], "iscrowd": 0}
            for i, o in enumerate(table.dropna().itertuples())
        ],
    }  # fmt: skip
    file.write_text(json.dumps({**told, **changed}))
    return told
