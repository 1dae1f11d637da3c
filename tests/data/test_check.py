"""The checks of the data, on real photographs (tiles of scikit-learn's two sample pictures)."""

from __future__ import annotations

import io
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from burnish.data.check import Report, check_table
from burnish.data.duplicates import looks_same, same_content
from burnish.data.facts import look, look_inside, sniff
from burnish.data.findings import KINDS
from burnish.errors import SettingError

TILES = [
    Image.fromarray(np.ascontiguousarray(picture[y : y + 140, x : x + 200]))
    for picture in load_sample_images().images
    for y in range(0, 420, 140)
    for x in range(0, 600, 200)
]


class Folder:
    """Photographs on disk and the table that lists them: three classes, two thirds train."""

    def __init__(self, path: Path) -> None:
        self.path, self.cells = path, []

    def add(self, name: str, content: Image.Image | bytes, label: object = "a", split: str | None = "train", **save: object) -> Path:
        file = self.path / name
        content.save(file, **save) if isinstance(content, Image.Image) else file.write_bytes(content)
        self.cells.append((file, label, split))
        return file

    def table(self) -> pd.DataFrame:
        return pd.DataFrame(self.cells, columns=["image", "label", "split"]).astype({"image": object})

    def check(self, **options: object) -> Report:
        return check_table(self.table(), ["image"], ["label"], **options)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    out = Folder(tmp_path)
    for i, tile in enumerate(TILES):
        out.add(f"{i}.jpg", tile, "abc"[i % 3], "train" if i % 6 < 4 else "valid")
    return out


def found(report: Report, kind: str) -> pd.DataFrame:
    return report.issues[report.issues["kind"] == kind].reset_index(drop=True)


def jpeg(image: Image.Image, quality: int = 75) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


LARGE = jpeg(TILES[0].resize((800, 600)))


# -- files -------------------------------------------------------------------------------------------------------------
UNREADABLE = {  # content, suffix -> (what the message says, whether a quick check sees it)
    "empty": (b"", ".jpg", r"it is empty \(0 bytes\)", True),
    "web page": (b"<!DOCTYPE html><html>not found</html>", ".jpg", "it is a web page, not a picture", True),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", ".png", "it is an SVG or XML text", True),
    "pdf": (b"%PDF-1.7 ...", ".jpg", "it is a PDF document", True),
    "zip": (b"PK\x03\x04....", ".png", "it is a ZIP archive", True),
    "heic": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", ".jpg", "HEIC picture, which can't be decoded here", True),
    "noise": (bytes(range(1, 200)), ".jpg", "it doesn't begin like a picture", True),
    "truncated jpeg": (LARGE[: len(LARGE) // 2], ".jpg", "it is cut off: its end is missing", False),
    "a little truncated": (LARGE[:-200], ".jpg", "it is cut off", False),
    "only a header": (LARGE[:40], ".jpg", "not a picture that can be decoded|cut off|can't be decoded", True),
}


@pytest.mark.parametrize("case", UNREADABLE)
@pytest.mark.parametrize("quick", [True, False])
def test_unreadable_files_are_named_with_the_reason(folder: Folder, case: str, quick: bool) -> None:
    content, suffix, message, seen_quickly = UNREADABLE[case]
    file = folder.add(f"bad{suffix}", content)
    issues = found(folder.check(quick=quick), "unreadable")
    if quick and not seen_quickly:
        assert issues.empty
        return
    assert (
        issues["files"].tolist() == [[str(file)]] and issues["rows"].tolist() == [[len(TILES)]] and issues["severity"].tolist() == ["high"]
    )
    assert issues["message"].str.contains(f"bad.*{message}").all() and issues["advice"].str.contains("Replace or remove").all()


def test_a_missing_file_and_a_folder(folder: Folder) -> None:
    folder.cells += [(folder.path / "gone.jpg", "a", "train"), (folder.path, "a", "train")]
    messages = found(folder.check(quick=True), "unreadable")["message"].tolist()
    assert len(messages) == 2 and "gone.jpg: there is no such file" in messages[0] and "can't be opened" in messages[1]


def test_a_decompression_bomb(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40_000)
    folder.add("bomb.png", Image.new("RGB", (400, 400)))
    issues = found(folder.check(), "unreadable")
    assert issues["message"].str.contains("bomb.png: it is too large to be a safe picture").tolist() == [True]


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "I;16", "I", "1"])
def test_unusual_but_good_pictures_are_readable(tmp_path: Path, mode: str) -> None:
    image = TILES[3].convert("L").convert("I;16" if mode == "I;16" else mode) if mode in ("I;16", "I") else TILES[3].convert(mode)
    image.save(tmp_path / ("x.tif" if mode in ("CMYK", "I") else "x.png"))
    facts = look_inside(str(next(tmp_path.iterdir())))
    assert facts.problem is None and facts.size == (200, 140) and facts.thumb.shape == (16, 18, 3) and facts.thumb.std() > 20


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "JPEG2000", "ICO", "AVIF"])
def test_first_bytes_tell_the_type(tmp_path: Path, format: str) -> None:
    suffix = {"JPEG": ".jpg", "JPEG2000": ".jp2"}.get(format, f".{format.lower()}")
    try:
        TILES[0].save(tmp_path / f"x{suffix}", format)
    except (OSError, KeyError):
        pytest.skip(f"this PIL doesn't write {format}")
    facts = look(str(tmp_path / f"x{suffix}"))
    assert facts.problem is None and facts.kind.upper().replace(" ", "") == {"PPM": "PNM"}.get(format, format) and not facts.misnamed
    (tmp_path / "x.gif").write_bytes((tmp_path / f"x{suffix}").read_bytes())
    assert look(str(tmp_path / "x.gif")).misnamed == (format != "GIF")


def deep(path: Path, top: int, **save: object) -> Path:
    """A photograph as a grey picture of 16 bits with values up to `top`."""
    grey = np.asarray(TILES[3].convert("L"), dtype=np.float64)
    Image.fromarray((grey * (top / grey.max())).round().astype(np.uint16)).save(path, **save)
    return path


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("quick", [True, False])
def test_16_bit_pictures_of_a_12_bit_camera_are_found(tmp_path: Path, suffix: str, quick: bool) -> None:
    files = [deep(tmp_path / f"{i}{suffix}", top) for i, top in enumerate((3000, 4000, 900))]
    table = pd.DataFrame({"image": pd.Series(files, dtype=object), "label": "a"})
    issues = found(check_table(table, ["image"], ["label"], quick=quick), "narrow_range")
    assert issues["rows"].tolist() == [[0, 1, 2]] and issues["severity"].tolist() == ["medium"]
    assert "values up to 4,000, of 65,535 for white: 16 of 256 shades remain" in issues["message"][0]
    assert "12 bits, say so: ImageBlock(white=4095)" in issues["advice"][0]
    assert found(check_table(table, ["image"], ["label"], quick=quick, white=4095), "narrow_range").empty


def test_16_bit_pictures_that_use_their_range_and_others_are_no_finding(folder: Folder) -> None:
    folder.cells += [(deep(folder.path / "dark.png", 900), "a", "train"), (deep(folder.path / "light.png", 40_000), "a", "train")]
    assert found(folder.check(), "narrow_range").empty


def test_bytes_that_tell_nothing() -> None:
    assert sniff(b"") is None and sniff(b"hello") is None


def test_misnamed_files_are_one_low_finding(folder: Folder) -> None:
    folder.add("really_png.jpg", TILES[0].resize((150, 151)), format="PNG")
    for quick in (True, False):
        issues = found(folder.check(quick=quick), "misnamed")
        assert issues["severity"].tolist() == ["low"] and "really_png.jpg is PNG" in issues["message"][0]


def test_odd_sizes_and_blank_pictures(folder: Folder) -> None:
    folder.add("tiny.png", TILES[1].resize((20, 30)))
    folder.add("long.png", TILES[2].resize((900, 100)))
    folder.add("blank.png", Image.new("RGB", (200, 150), (9, 9, 9)))
    report = folder.check()
    messages = found(report, "odd_size")["message"].tolist()
    assert any("less than 32 pixels" in m and "tiny.png" in m for m in messages) and any(
        "over 4 times" in m and "long.png" in m for m in messages
    )
    assert "blank.png" in found(report, "blank")["message"][0] and len(messages) == 2


def test_small_pictures_are_not_odd_when_all_are(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    for i, tile in enumerate(TILES):
        folder.add(f"{i}.png", tile.resize((28, 28)), "ab"[i % 2])
    assert found(folder.check(), "odd_size").empty


# -- duplicates --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("quick", [True, False])
def test_identical_files(folder: Folder, quick: bool) -> None:
    content = (folder.path / "0.jpg").read_bytes()
    folder.add("same_side.jpg", content, "a", "train")
    issues = found(folder.check(quick=quick), "duplicate")
    assert (
        issues["rows"].tolist() == [[0, 18]]
        and issues["severity"].tolist() == ["low"]
        and "2 rows hold the same picture" in issues["message"][0]
    )
    folder.add("other_side.jpg", content, "a", "valid")
    report = folder.check(quick=quick)
    leak = found(report, "leak")
    assert leak["rows"].tolist() == [[0, 18, 19]] and leak["severity"].tolist() == ["high"] and found(report, "duplicate").empty
    assert "train and valid hold the same picture" in leak["message"][0] and "GroupSplitter" in leak["advice"][0]


def test_identical_files_with_other_labels(folder: Folder) -> None:
    folder.add("b.jpg", (folder.path / "0.jpg").read_bytes(), "b", "train")
    issues = found(folder.check(quick=True), "conflicting_labels")
    assert issues["severity"].tolist() == ["high"] and "The same picture is labelled 'a' and 'b'" in issues["message"][0]


def test_a_file_listed_twice_is_a_leak_too(folder: Folder) -> None:
    folder.cells.append((folder.path / "0.jpg", "a", "valid"))
    assert found(folder.check(quick=True), "leak")["rows"].tolist() == [[0, 18]]


def test_rows_in_no_split_leak_nothing(folder: Folder) -> None:
    folder.add("unused.jpg", (folder.path / "0.jpg").read_bytes(), "a", None)
    assert found(folder.check(), "leak").empty and len(found(folder.check(), "duplicate")) == 1


CHANGES = {
    "recompressed": lambda im: Image.open(io.BytesIO(jpeg(im, 40))),
    "shrunk": lambda im: im.resize((100, 70)),
    "enlarged": lambda im: im.resize((400, 280)),
    "brighter": lambda im: im.point(lambda v: min(255, int(v * 1.06))),
    "other format": lambda im: im.convert("P"),
    "mirrored": lambda im: im.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "mirrored and smaller": lambda im: im.transpose(Image.Transpose.FLIP_LEFT_RIGHT).resize((120, 84)),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("tile", [0, 4, 9, 13])
def test_nearly_identical_pictures(folder: Folder, change: str, tile: int) -> None:
    folder.add("changed.png", CHANGES[change](TILES[tile]), "abc"[tile % 3], "valid" if tile % 6 < 4 else "train")
    report = folder.check()
    assert found(report, "leak")["rows"].tolist() == [[tile, 18]] and "nearly the same picture" in found(report, "leak")["message"][0]
    assert found(folder.check(quick=True), "leak").empty


def test_a_picture_turned_by_its_orientation_tag_is_the_same(folder: Folder) -> None:
    exif = Image.Exif()
    for orientation, turn in ((6, Image.Transpose.ROTATE_90), (3, Image.Transpose.ROTATE_180), (2, Image.Transpose.FLIP_LEFT_RIGHT)):
        exif[0x0112] = orientation
        folder.add(f"turned{orientation}.jpg", TILES[2].transpose(turn), "c", "valid", exif=exif)
    assert found(folder.check(), "leak")["rows"].tolist() == [[2, 18, 19, 20]]


def test_nearly_identical_on_one_side(folder: Folder) -> None:
    folder.add("again.png", TILES[0], "a")
    folder.add("other.png", TILES[1], "a")
    report = folder.check()
    assert found(report, "near_duplicate")["severity"].tolist() == ["low"] and found(report, "conflicting_labels")["severity"].tolist() == [
        "medium"
    ]


def test_different_photographs_are_not_taken_for_the_same(folder: Folder) -> None:
    report = folder.check()
    assert not set(report.issues["kind"]) & {"leak", "near_duplicate", "duplicate", "conflicting_labels", "unreadable", "blank"}
    assert not looks_same(np.stack([look_inside(str(c[0])).thumb for c in folder.cells]))


def test_digits_are_not_taken_for_the_same() -> None:
    from sklearn.datasets import load_digits

    images = (load_digits().images[:600] * 15.9).astype(np.uint8)
    thumbs = np.stack([np.asarray(Image.fromarray(i).convert("RGB").resize((18, 16))) for i in images])
    assert sum(map(len, looks_same(thumbs))) < 0.02 * len(thumbs)


def test_same_content_opens_only_what_could_be_equal(tmp_path: Path) -> None:
    big = bytes(np.random.default_rng(0).integers(0, 256, 20_000, dtype=np.uint8))
    contents = [big, big, big[:-1] + b"?", b"", b"", b"x", b"y", b"x"]
    paths = [str(tmp_path / str(i)) for i in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        Path(path).write_bytes(content)
    assert same_content(paths, [len(c) for c in contents]) == [[0, 1], [5, 7]]
    assert same_content([paths[0], "/nowhere"], [20_000, 20_000]) == []


def test_the_search_scales_to_20_000_pictures() -> None:
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (20_000, 8, 9, 3), dtype=np.uint8)
    thumbs = np.repeat(np.repeat(small, 2, axis=1), 2, axis=2)
    thumbs[19_999] = thumbs[123]
    start = time.process_time()
    assert looks_same(thumbs) == [[123, 19_999]]
    assert time.process_time() - start < 15  # measured: 2 s


# -- labels and sides --------------------------------------------------------------------------------------------------
def labels(rows: list[tuple[object, str]]) -> Report:
    return check_table(pd.DataFrame(rows, columns=["label", "split"]), [], ["label"])


GOOD = [(label, split) for label in "ab" for split in ["train"] * 50 + ["valid"] * 20]


@pytest.mark.parametrize(("extra", "kind", "severity", "message"), [
    ([("c", "train")], "tiny_class", "medium", "1 class.es. of label have one sample only: 'c'"),
    ([("c", "valid")] * 5, "missing_class", "high", r"1 of 3 classes of label are missing from train, so the model can't learn them: 'c'"),
    ([("c", "train")] * 5, "missing_class", "medium", r"missing from valid, so nothing shows"),
    ([("a", "train")] * 900, "imbalance", "low", r"'a' has 950 samples \(95%\), 'b' has 50"),
    ([("a", "train")] * 1950, "imbalance", "medium", r"'a' has 2000 samples"),
    ([("A ", "train")] * 50 + [("A ", "valid")] * 9, "similar_labels", "medium", r"'a' \(70 rows\) and 'A ' \(59 rows\)"),
    ([(f"{x};{y}", s) for x in "ab" for y in "cd" for s in ["train"] * 20 + ["valid"] * 9], "several_labels", "high", r"4 of the 6 classes of label look like several labels in one text, for example 'a;c'"),
    ([("a", "test")] * 4 + [("b", "test")] * 4, "tiny_split", "medium", r"test has only 8 row\(s\): .* off by 35 percentage points"),
])  # fmt: skip
def test_label_findings(extra: list, kind: str, severity: str, message: str) -> None:
    assert not labels(GOOD)
    issues = found(labels(GOOD + extra), kind)
    assert issues["severity"].tolist() == [severity] and issues["message"].str.contains(message).all(), labels(GOOD + extra)


def test_few_training_rows() -> None:
    report = labels([("a", "train"), ("b", "train")])
    assert "train has only 2 row(s)" in found(report, "tiny_split")["message"][0]


def test_one_class_only() -> None:
    issues = found(labels([("a", "train")] * 30), "one_class")
    assert issues["severity"].tolist() == ["high"] and "All rows have the same label, 'a'" in issues["message"][0]


@pytest.mark.parametrize("values", [[0.5, 1.5], [Path("mask.png"), Path("b.png")], [np.zeros(2), np.ones(2)], list(range(100))])
def test_targets_that_are_no_classes(values: list) -> None:
    frame = pd.DataFrame({"y": pd.Series(values * (100 // len(values)), dtype=object)})
    assert not check_table(frame, [], ["y"])


def test_whole_numbers_truth_values_and_lists_are_classes() -> None:
    for pair in ((0, 1), (False, True), (np.int64(3), np.int64(4)), (["a"], ["a", "b"])):
        report = labels([(pair[i % 2], "train") for i in range(100)] + [(pair[0], "valid")] * 40)
        assert len(found(report, "missing_class")) == 1, pair


def test_missing_labels_are_left_to_the_block() -> None:
    assert not labels([*GOOD, (None, "train"), (np.nan, "valid")])


# -- the whole ---------------------------------------------------------------------------------------------------------
def test_text_numbers_and_arrays_as_inputs_are_not_looked_into() -> None:
    frame = pd.DataFrame({"x": pd.Series(["a cat", "1.5", 2, np.zeros(3)] * 10, dtype=object), "label": ["a", "b"] * 20})
    report = check_table(frame, ["x"], ["label"])
    assert not report and "files" not in report.scope


def test_paths_as_text_are_files(folder: Folder) -> None:
    table = folder.table().assign(image=lambda t: t["image"].astype(str))
    assert "18 files decoded" in check_table(table, ["image"], ["label"]).scope


def test_pairs_of_pictures_may_repeat(folder: Folder) -> None:
    table = folder.table().assign(other=lambda t: t["image"].iloc[0])
    assert found(check_table(table, ["image", "other"], ["label"]), "leak").empty


def test_an_unknown_column() -> None:
    with pytest.raises(SettingError, match=r"There is no column 'lable' in the table; it has: label, split. Did you mean: label\?"):
        check_table(pd.DataFrame({"label": ["a"], "split": ["train"]}), [], ["lable"])


def test_an_empty_table_and_one_without_splits() -> None:
    assert not check_table(pd.DataFrame({"x": [], "y": []}), ["x"], ["y"])
    assert found(check_table(pd.DataFrame({"y": ["a"] * 30}), [], ["y"]), "one_class").shape[0] == 1


def test_workers_change_nothing(folder: Folder) -> None:
    folder.add("again.png", TILES[0], "a")
    assert folder.check(n_workers=0).issues.equals(folder.check(n_workers=4).issues)


def test_no_warning_escapes_and_filters_stay(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20_000)  # the tiles are larger: PIL would warn
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        folder.check()
        assert not caught and warnings.filters[0][0] == "always"


def test_report_shows_and_counts(folder: Folder) -> None:
    folder.add("<b>.jpg", b"")
    report = folder.check()
    assert (
        report and len(report) == len(report.issues) and list(report.issues) == ["kind", "severity", "rows", "files", "message", "advice"]
    )
    assert report.issues["severity"].tolist() == sorted(report.issues["severity"], key=("high", "medium", "low").index)
    text, page = repr(report), report._repr_html_()
    assert (
        "HIGH   1 file(s) that can't be read" in text
        and "it is empty" in text
        and "> Replace or remove it" in text
        and "19 files decoded" in text
    )
    assert "&lt;b&gt;.jpg" in page and "<b>.jpg" not in page
    assert report.brief().startswith("The data has 1 file(s) that can't be read")


def test_report_of_good_data() -> None:
    report = labels(GOOD)
    assert not report and len(report) == 0 and report.issues.empty and list(report.issues) == list(Report.columns)
    assert repr(report) == "Data check: nothing found (140 rows)." in report._repr_html_() and report.brief() == "Nothing found (140 rows)."


def test_long_reports_are_shortened(folder: Folder) -> None:
    for i in range(60):
        folder.add(f"bad{i}.jpg", b"")
    report = folder.check(quick=True)
    assert "and 57 more; see .issues" in repr(report) and "more; see .issues" in report._repr_html_() and len(repr(report)) < 4000


def test_pictures_of_pairs_that_are_on_both_sides(folder: Folder) -> None:
    table = folder.table().rename(columns={"image": "one"})
    table.insert(1, "other", table.groupby("split")["one"].transform(lambda files: list(files[1:]) + list(files[:1])))

    def check() -> Report:
        return check_table(table, ["one", "other"], ["label"])

    assert check().issues["kind"].isin(["leak", "duplicate", "near_duplicate", "shared_pictures"]).sum() == 0  # a picture may repeat
    trained = table["one"][table["split"] == "train"].iloc[0]
    copy = folder.path / "copy.jpg"
    copy.write_bytes(trained.read_bytes())  # the same picture by another name
    table.loc[table["split"].eq("valid").idxmax(), "other"] = copy
    issues = found(check(), "shared_pictures")
    assert len(issues) == 1 and "1 of " in issues["message"][0] and "samples of train and valid" in issues["message"][0]


def test_every_kind_of_finding_is_tested() -> None:
    tests = Path(__file__).parent.parent  # findings in tables and ratings are tested beside these
    files = [Path(__file__), *(tests / "tabular").glob("test_*.py"), *(tests / "collab").glob("test_*.py")]
    source = "".join(file.read_text(encoding="utf-8") for file in files)
    assert [kind for kind in KINDS if f'"{kind}"' not in source] == []


def test_a_quick_check_of_5000_files_is_quick(tmp_path: Path) -> None:
    content = jpeg(TILES[0])
    folder = Folder(tmp_path)
    for i in range(5000):
        folder.add(f"{i}.jpg", content + bytes(i % 50) + i.to_bytes(2), "ab"[i % 2], "train")
    table = folder.table()
    start = time.process_time()
    report = check_table(table, ["image"], ["label"], quick=True)
    assert time.process_time() - start < 1.5  # measured: 0.3 s; half a second is the promise on an idle machine
    assert not report, report
