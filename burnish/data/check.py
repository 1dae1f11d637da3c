"""The checks of a data set: what would spoil a model, or the trust in it, found before training."""

from __future__ import annotations

import os
import warnings
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

import numpy as np

from burnish.data.block import Block
from burnish.data.check_labels import check_labels, check_sizes_of_sides
from burnish.data.duplicates import looks_same, same_content
from burnish.data.facts import WHITE, FileFacts, look, look_inside, measure
from burnish.data.files import image_extensions, undecodable_extensions
from burnish.data.findings import Issue, Report
from burnish.data.label import is_missing
from burnish.data.lazy import pd
from burnish.data.parallel import in_parallel
from burnish.errors import SettingError, listed, nearest

__all__ = ["Issue", "Report", "check_table"]

QUICK_FILES = 20_000  # a quick check looks at no more files than this, spread evenly
_QUICK_SIZES = 200  # ... and reads the sizes of so many
_QUICK_DEEP = 8  # ... and decodes so many of these that are of 16 bits
_SMALL, _HUGE, _NARROW = 32, 50_000_000, 4.0  # least side in pixels, most pixels, most ratio of the sides


def check_table(
    table: pd.DataFrame,
    inputs: Sequence[str],
    targets: Sequence[str] | Mapping[str, str],
    quick: bool = False,
    n_workers: int | None = None,
    white: int = WHITE,
) -> Report:
    """Checks the data of a table: its picture files, its labels, and the sides of its split.

    Looks for unreadable, misnamed, blank and oddly sized pictures, and 16-bit ones that use a small part of their range; identical and nearly identical ones, also mirrored or on different
    sides of the split (a leak: the model is tested on what it has seen) and with different labels; labels in several
    spellings, uneven or rare classes, classes missing from a side, very small sides.

    Args:
        table: one row a sample, with the columns named in `inputs` and `targets`, and perhaps `split`.
        inputs: columns whose cells may name files (paths or text); others are not looked into.
        targets: columns of labels (or what kind of target each is, by column: "category", "multicategory", "mask" ...). Texts, truth values, whole numbers and lists of labels count as classes; fractions,
            paths and arrays don't.
        quick: only what is cheap: files aren't decoded, nearly identical pictures not looked for.
        n_workers: threads that decode; None one a processor.
        white: what counts as white in 16-bit pictures when they are read.
    """
    for column in [*inputs, *targets]:
        if column not in table.columns:
            raise SettingError(
                f"There is no column {column!r} in the table; it has: {listed(table.columns, 12)}.{nearest(column, map(str, table.columns))}"
            )
    splits = _splits(table)
    issues = [*check_sizes_of_sides(splits)]
    for target in targets:
        issues += check_labels(list(table[target]), splits, target, targets[target] if isinstance(targets, Mapping) else "category")
    files = _Files(table, inputs, quick, n_workers)
    issues += [*files.unusable(), *files.odd(), *files.narrow(white), *_repeated(files, splits, _labels(table, list(targets)))]
    return Report(issues, _scope(table, files, quick))


def white_of(blocks: Sequence[Block]) -> int:
    """What counts as white in 16-bit pictures, by the blocks that open them."""
    return min((getattr(block, "white", WHITE) for block in blocks), default=WHITE)


def _splits(table: pd.DataFrame) -> list[str | None]:
    """The side of each row, None for rows not used. A table without splits is all "train"."""
    if "split" not in table.columns:
        return ["train"] * len(table)
    return [None if is_missing(s) else str(s) for s in table["split"]]


def _labels(table: pd.DataFrame, targets: Sequence[str]) -> list[tuple[Any, ...]]:
    """The labels of each row, as far as they can be compared."""
    columns = [[_comparable(v) for v in table[t]] for t in targets]
    return list(zip(*columns, strict=True)) if columns else [()] * len(table)


def _comparable(value: Any) -> Hashable:
    if isinstance(value, (list, tuple, set)):
        return tuple(sorted(map(str, value)))
    return value if isinstance(value, (str, int, float, np.number, np.bool_)) else None


def _scope(table: pd.DataFrame, files: _Files, quick: bool) -> str:
    parts = [f"{len(table):,} rows"]
    if files.facts:
        seen = f"{len(files.facts):,} files" if len(files.facts) == files.total else f"{len(files.facts):,} of {files.total:,} files"
        parts.append(f"{seen} {'looked at but not decoded' if quick else 'decoded'}")
    return ", ".join(parts)


class _Files:
    """The picture files that the input columns name, each once, with their facts and rows."""

    def __init__(self, table: pd.DataFrame, inputs: Sequence[str], quick: bool, n_workers: int | None) -> None:
        self.rows: dict[str, list[int]] = {}
        columns = [c for c in inputs if _names_files(table[c])]
        for column in columns:
            for row, cell in enumerate(table[column]):
                if isinstance(cell, (str, PurePath)):
                    self.rows.setdefault(os.fspath(cell), []).append(row)
        self.total, self.alone = len(self.rows), len(columns) == 1 and len(inputs) == 1
        paths = list(self.rows)
        if quick and len(paths) > QUICK_FILES:
            paths = [paths[i] for i in np.linspace(0, len(paths) - 1, QUICK_FILES).astype(int)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PIL's, on files that are reported here anyway
            self.facts: list[FileFacts] = in_parallel(look if quick else look_inside, paths, n_workers)
            if quick:
                for i in np.unique(np.linspace(0, len(paths) - 1, min(len(paths), _QUICK_SIZES)).astype(int)) if paths else ():
                    measure(self.facts[i])
                deep = [i for i, f in enumerate(self.facts) if f.deep][:_QUICK_DEEP]
                for i in deep:
                    self.facts[i].top = look_inside(self.facts[i].path).top

    def issue(self, kind: str, severity: str, message: str, advice: str, facts: Sequence[FileFacts]) -> Issue:
        """An Issue about these files."""
        rows = sorted({r for f in facts for r in self.rows[f.path]})
        return Issue(kind, severity, message, advice, rows, [f.path for f in facts])

    def unusable(self) -> Iterator[Issue]:
        """Files that can't be read, one issue each, and misnamed ones."""
        for f in self.facts:
            if f.problem is not None:
                yield self.issue("unreadable", "high", f"{f.path}: {f.problem}.", "Replace or remove it; training leaves it out.", [f])
        wrong = [f for f in self.facts if f.misnamed]
        if wrong:
            shown = listed((f"{short(f.path)} is {f.kind}" for f in wrong), 3)
            yield self.issue(
                "misnamed",
                "low",
                f"{len(wrong)} file(s) are of another type than their name says: {shown}.",
                "They are read all the same; rename them to avoid trouble elsewhere.",
                wrong,
            )

    def narrow(self, white: int) -> Iterator[Issue]:
        """16-bit pictures that all stay so far below white that scaling to 8 bits leaves a quarter of its shades, or fewer."""
        deep = [f for f in self.facts if f.top is not None]
        top = max((f.top for f in deep if f.top is not None), default=0)
        full = (1 << top.bit_length()) - 1  # of the bits that are used
        if 0 < top <= WHITE and 4 * full <= white + 3:
            yield self.issue(
                "narrow_range",
                "medium",
                f"{len(deep)} 16-bit picture(s) have values up to {top:,}, of {white:,} for white: {255 * top // white + 1} of 256 shades remain when they are read: {_shown(deep)}.",
                f"If the instrument gives {top.bit_length()} bits, say so: ImageBlock(white={full}), with a factory img_cls=ImageBlock(white={full}).",
                deep,
            )

    def odd(self) -> Iterator[Issue]:
        """Blank pictures, and sizes unlike the others."""
        blank = [f for f in self.facts if f.thumb is not None and f.thumb.std() < 1.0]
        if blank:
            yield self.issue(
                "blank",
                "medium",
                f"{len(blank)} picture(s) show one plain colour: {_shown(blank)}.",
                "Look at them; remove them if they show nothing.",
                blank,
            )
        sized = [(f, *f.size) for f in self.facts if f.size is not None and f.problem is None]
        usual = np.median([min(w, h) for _, w, h in sized]) if sized else 0
        checks = (
            (f"less than {_SMALL} pixels wide or high", [f for f, w, h in sized if min(w, h) < _SMALL and usual >= 2 * _SMALL], "Check that they are no icons or thumbnails."),
            (f"over {_HUGE // 1_000_000} million pixels", [f for f, w, h in sized if w * h > _HUGE], "Shrink them once, to load them faster."),
            (f"over {_NARROW:g} times as long as wide", [f for f, w, h in sized if max(w, h) > _NARROW * min(w, h)], 'A crop shows little of them: consider Resize(size, method="pad").'),
        )  # fmt: skip
        for what, found, advice in checks:
            if found:
                yield self.issue("odd_size", "low", f"{len(found)} picture(s) are {what}: {_shown(found)}.", advice, found)


def _names_files(column: Iterable[Any]) -> bool:
    """Whether the cells name picture files: paths, or texts that end like a picture's name or name a file."""
    cells = [c for c in column if isinstance(c, (str, PurePath))][:20]
    hits = sum(isinstance(c, PurePath) or _is_file_name(c) for c in cells)
    pictures = sum(os.path.splitext(c)[1].lower() in image_extensions | undecodable_extensions for c in cells)
    return bool(cells) and hits > len(cells) / 2 and pictures > len(cells) / 2


def _is_file_name(text: str) -> bool:
    return len(text) < 1024 and "\n" not in text and (os.path.splitext(text)[1].lower() in image_extensions or os.path.exists(text))


def _repeated(files: _Files, splits: Sequence[str | None], labels: Sequence[tuple[Any, ...]]) -> Iterator[Issue]:
    """Identical and nearly identical pictures. With several inputs a row a picture may repeat rightly, so then it is only asked whether
    the sides of the split share some."""
    usable = [f for f in files.facts if f.problem is None]
    together = same_content([f.path for f in usable], [f.n_bytes for f in usable])
    alone = sorted(set(range(len(usable))) - {i for group in together for i in group})
    contents = together + [[i] for i in alone]
    if not files.alone:
        yield from _shared(files, splits, [[usable[i] for i in group] for group in contents])
        return
    for group in contents:
        members = [usable[i] for i in group]
        if sum(len(files.rows[f.path]) for f in members) > 1:
            yield from _judge(files, members, splits, labels, exact=True)
    firsts = [usable[group[0]] for group in contents]
    drawn = [k for k, f in enumerate(firsts) if f.thumb is not None]
    for group in looks_same(np.stack([firsts[k].thumb for k in drawn])) if len(drawn) > 1 else ():  # type: ignore[arg-type]
        yield from _judge(files, [usable[i] for k in group for i in contents[drawn[k]]], splits, labels, exact=False)


def _shared(files: _Files, splits: Sequence[str | None], contents: Sequence[Sequence[FileFacts]]) -> Iterator[Issue]:
    """Pictures that samples of several sides have; files of the same bytes are one picture in `contents`."""
    sides = [{s for f in group for r in files.rows[f.path] if (s := splits[r]) is not None} for group in contents]
    shared = [group[0] for group, at in zip(contents, sides, strict=True) if len(at) > 1]
    if shared:
        both = sorted(set().union(*(at for at in sides if len(at) > 1)))
        yield files.issue(
            "shared_pictures", "medium", f"{len(shared)} of {len(contents)} pictures are in samples of {' and '.join(both)}: {_shown(shared)}.",
            "The model has seen them in training, so results may look better than they are with new pictures. Split by picture, not by sample, where that matters.",
            shared,
        )  # fmt: skip


def _judge(
    files: _Files, members: list[FileFacts], splits: Sequence[str | None], labels: Sequence[tuple[Any, ...]], exact: bool
) -> Iterator[Issue]:
    """What it means that these pictures are the same (or nearly): a leak, a conflict of labels, or only a repetition."""
    rows = sorted({r for f in members for r in files.rows[f.path]})
    sides = sorted({s for r in rows if (s := splits[r]) is not None})
    given = list(dict.fromkeys(labels[r] for r in rows))
    same = "the same picture" if exact else "nearly the same picture (perhaps mirrored)"
    if len(sides) > 1:
        keep = "Keep one of them, or keep" if exact else "Keep"
        yield files.issue(
            "leak", "high", f"{' and '.join(sides)} hold {same}: {_shown(members)}.",
            f"{keep} such pictures on one side (GroupSplitter does); results on {sides[-1]} look better than they are.", members,
        )  # fmt: skip
    if len(given) > 1:
        said = " and ".join(repr(g[0] if len(g) == 1 else g) for g in given[:4])
        yield files.issue(
            "conflicting_labels",
            "high" if exact else "medium",
            f"{same.capitalize()} is labelled {said}: {_shown(members)}.",
            "Correct the label, or remove the picture.",
            members,
        )
    if len(sides) <= 1 and len(given) <= 1:
        kind = "duplicate" if exact else "near_duplicate"
        yield files.issue(
            kind, "low", f"{len(rows)} rows hold {same}: {_shown(members)}.", "Keep one, unless the repetition is meant.", members
        )


def _shown(facts: Sequence[FileFacts]) -> str:
    return listed((short(f.path) for f in facts), 3)


def short(path: str) -> str:
    """The last parts of a path, as messages show it."""
    return "/".join(PurePath(path).parts[-3:])
