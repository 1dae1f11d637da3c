"""The data set as a table: finds, labels and splits once, and names every row that doesn't work."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from burnish.data.block import Block
from burnish.data.collections import L
from burnish.data.columns import frame_rows
from burnish.data.lazy import pd
from burnish.data.notes import note
from burnish.data.parallel import in_parallel
from burnish.data.split import Splitter, check_sides
from burnish.errors import DataError, listed

SPLITS = ("train", "valid", "test")
Getter = Callable[[Any], Any]


def find_items(source: Any, get_items: Getter | None) -> list[Any]:
    """The samples of a source: what `get_items` gives, or the source itself when it is a list or a DataFrame.

    Raises:
        DataError: nothing was found, or the source is a folder and nothing says how to find items in it.
    """
    if get_items is not None:
        found = get_items(source)
        if found is None:
            raise DataError(f"get_items ({_called(get_items)}) returned None for {brief(source)}: it must return the list of samples.")
    elif isinstance(source, (str, Path)):
        raise DataError(
            f"The source is {str(source)!r} and no get_items was given to find samples in it. Pass get_items=get_image_files, say, or give a list or a DataFrame."
        )
    else:
        found = source
    if isinstance(found, pd.DataFrame):
        items = frame_rows(found)
    else:
        try:
            items = list(found)
        except TypeError:
            raise DataError(
                f"The source is a {type(found).__name__}; expected a folder with get_items, a list of samples, or a DataFrame."
            ) from None
    if not items:
        raise DataError(
            f"There are no samples: {brief(source)} gave an empty list{f' through get_items={_called(get_items)}' if get_items else ''}."
        )
    return items


def rows_of_columns(source: Any, names: Sequence[str]) -> list[tuple[Any, ...]]:
    """The rows of a source that is given as columns, one for each of `names`: a list of columns, or a DataFrame.

    Raises:
        DataError: there are more or fewer columns than names, or they have unequal lengths.
    """
    frame = isinstance(source, pd.DataFrame)
    columns = [source.iloc[:, i].tolist() for i in range(source.shape[1])] if frame else [list(c) for c in source]
    if len(columns) != len(names):
        there = f" ({listed(source.columns, 8)})" if frame else ""
        hint = "Choose them in this order: df[[...]]." if frame else "A list of samples goes to DataBlock(...) itself."
        raise DataError(
            f"from_columns got {len(columns)} columns{there} for {len(names)} blocks ({', '.join(names)}); one a block was expected. {hint}"
        )
    if len({len(c) for c in columns}) > 1:
        raise DataError(f"The columns must have equal lengths; they have {listed(len(c) for c in columns)}.")
    return list(zip(*columns, strict=True))


def column_names(blocks: Sequence[Block]) -> list[str]:
    """One column name a block: its own name, numbered where two are alike.

    >>> from burnish.data.category import CategoryBlock
    >>> column_names([CategoryBlock(), CategoryBlock()])
    ['label', 'label_2']
    """
    names: list[str] = []
    for block in blocks:
        n = 1
        while (name := block.name if n == 1 else f"{block.name}_{n}") in names:
            n += 1
        names.append(name)
    return names


def with_labels_read(table: pd.DataFrame, blocks: Sequence[Block], n_inp: int, quick: bool = False) -> tuple[pd.DataFrame, dict[str, str]]:
    """The table, its targets of several labels as lists of them, however they are written, missing where a cell can't be read; and the columns of
    the targets that are labels, with the kind of each.

    Args:
        quick: leave out those of which files would have to be read (masks).
    """
    columns = dict[str, str]()
    for name, block in list(zip(column_names(blocks), blocks, strict=True))[n_inp:]:
        several, in_files = type(block).labels_in is not Block.labels_in, block.kind == "mask"
        if not (several or hasattr(block, "vocab")) or (quick and in_files):
            continue
        columns[name] = block.kind
        if several:
            cells = in_parallel(functools.partial(_labels_in, block), list(table[name]), None if in_files else 0)
            table = table.assign(**{name: pd.Series(cells, index=table.index, dtype=object)})
    return table, columns


def _labels_in(block: Block, raw: Any) -> list[Any] | None:
    with suppress(DataError, OSError):
        return block.labels_in(raw)
    return None


def label_items(items: Sequence[Any], getters: Sequence[Getter | None], names: Sequence[str]) -> dict[str, list[Any]]:
    """The raw cells of every column. A getter that fails on some items is a DataError that names them all at once."""
    cells: dict[str, list[Any]] = {}
    for name, getter in zip(names, getters, strict=True):
        if getter is None:
            cells[name] = list(items)
            continue
        column, failed = [], []
        for i, item in enumerate(items):
            try:
                column.append(getter(item))
            except Exception as error:
                failed.append((i, item, error))
        if failed:
            raise DataError(
                f"{_called(getter)}, which gives the {name}, failed on {len(failed)} of {len(items)} items: {_failures(failed)}"
            ) from failed[0][2]
        cells[name] = column
    return cells


def build_table(source: Any, items: Sequence[Any], cells: dict[str, list[Any]], n_inp: int, splitter: Any) -> pd.DataFrame:
    """The table of a data set: a column a block, `split`, `group` where the splitter knows groups, and the source's own
    columns when it is a DataFrame (those of the same name as a block's and other content are called source_NAME)."""
    table = pd.DataFrame({name: pd.Series(column, dtype=object) for name, column in cells.items()})
    names = list(cells)
    if isinstance(source, pd.DataFrame) and len(source) == len(table):
        for column in source.columns:
            values = source[column].reset_index(drop=True)
            taken = str(column) in (*names, "split", "group")
            if str(column) in names and list(values) == cells[str(column)]:
                continue
            table[f"source_{column}" if taken else column] = values
    table.attrs = {"inputs": names[:n_inp], "targets": names[n_inp:]}
    drawn = splitter(items, table) if isinstance(splitter, Splitter) else splitter(items)
    sides = check_sides(drawn, len(items), f"splitter={_called(splitter)}")
    split = pd.Series([None] * len(table), dtype=object)
    for name, side in zip(SPLITS, sides, strict=False):
        split.iloc[side] = name
    table.insert(len(names), "split", split)
    if groups := getattr(splitter, "groups", None):
        table.insert(len(names) + 1, "group", pd.Series(list(groups(items, table)), dtype=object))
    unused = int(split.isna().sum())
    if unused:
        note(f"{unused} of {len(table)} samples are in no split and are not used (dls.table[dls.table.split.isna()] shows them).")
    return table


def rows_of(table: pd.DataFrame, split: str) -> np.ndarray:
    """Positions of a split's rows."""
    return np.flatnonzero((table["split"] == split).to_numpy(dtype=bool))


def as_list(value: Any) -> list[Any]:
    """None as [], a single thing as [thing], anything list-like as a list."""
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple, L)) else [value]


def _failures(failed: list[tuple[int, Any, Exception]]) -> str:
    """The first failure in full, the others by their items."""
    i, item, error = failed[0]
    others = f" So did item {listed((f'{i} ({brief(item)})' for i, item, _ in failed[1:]), 2)}." if len(failed) > 1 else ""
    return f"item {i} ({brief(item)}): {type(error).__name__}: {str(error).rstrip('.')}.{others}"


def _called(f: Any) -> str:
    return getattr(f, "__qualname__", None) or repr(f)


def brief(value: Any) -> str:
    """A sample as messages show it; of a long path the end, which tells it from others."""
    if isinstance(value, pd.Series):
        return listed(f"{k}={v!r}" for k, v in value.items())
    if isinstance(value, (str, Path)):
        text = str(value)
        return text if len(text) < 120 else "..." + text[-117:]
    text = repr(value)
    return text if len(text) < 120 else text[:117] + "..."
