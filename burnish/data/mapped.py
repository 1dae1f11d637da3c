"""Tables that stay in files, as columns that Arrow maps: taken out a column, or some rows, at a time; and the files that hold them."""

from __future__ import annotations

import atexit
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from burnish.data.cache import GIB, free_memory
from burnish.data.lazy import pd
from burnish.data.notes import note
from burnish.errors import DataError, listed

FOLDER_VARIABLE = "BURNISH_CACHE"  # the folder of the files that hold what memory doesn't
PIECE = 500_000  # rows that are worked on at a time
SHARE = 4  # a table that takes up more than one part in so many of the free memory stays in files
_INDEX = re.compile(r"__index_level_\d+__")
_EXACT = 2**53  # whole numbers from here on are not all there as float64


def is_mapped(frame: pd.DataFrame) -> bool:
    """Whether a table has columns of Arrow, whose cells may lie in a file."""
    return any(isinstance(dtype, pd.ArrowDtype) for dtype in frame.dtypes)


def plain_column(column: Any) -> pd.Series:
    """A column (a Series) of Arrow as pandas itself has it, in memory; any other column as it is."""
    if not isinstance(column.dtype, pd.ArrowDtype):
        return column
    import pyarrow as pa

    cells: Any = column.array.__arrow_array__()  # type: ignore[attr-defined]
    kind: Any = cells.type
    if pa.types.is_decimal(kind):
        cells = cells.cast(pa.float64())
    whole: dict[Any, Any] = {}
    if pa.types.is_integer(kind) and cells.null_count:
        import pyarrow.compute as pc

        ends = pc.min_max(cells).as_py()  # type: ignore[attr-defined]
        if ends["min"] is not None and max(abs(ends["min"]), abs(ends["max"])) > _EXACT:
            whole = {pa.int64(): pd.Int64Dtype(), pa.uint64(): pd.UInt64Dtype()}
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        texts = pd.Series([""]).dtype  # of pandas 3 Arrow's own, which takes no copy
        if isinstance(texts, pd.StringDtype) and texts.storage == "pyarrow":
            return pd.Series(cells.cast(pa.large_string()), dtype=texts, index=column.index, name=column.name)
    made = cells.to_pandas(types_mapper=whole.get, date_as_object=False)
    made.index, made.name = column.index, column.name
    return made


def plain_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """A table with its columns of Arrow in memory, as pandas itself has them; give it few rows of a large one."""
    if not is_mapped(frame):
        return frame
    made = pd.concat([plain_column(frame.iloc[:, i]) for i in range(frame.shape[1])], axis=1)
    made.columns, made.attrs = frame.columns, dict(frame.attrs)
    return made


def row_at(frame: pd.DataFrame, i: int) -> pd.Series:
    """One row of a table as the user gave it."""
    return plain_rows(frame.iloc[[i]]).iloc[0] if is_mapped(frame) else frame.iloc[i]


# -- what stays in files ------------------------------------------------------------------------------------------------
def keeps_mapped(frame: pd.DataFrame, in_memory: bool | None = None) -> bool:
    """Whether a table of Arrow's columns is to stay where it is: as asked for, as its reader decided, or because it is large."""
    decided = frame.attrs.get("in_memory") if in_memory is None else in_memory
    size = int(frame.memory_usage(index=False).sum())
    if stays_in_memory(size, decided):
        return False
    say_mapped(size, decided)
    return True


def of_arrow(table: Any, in_memory: bool | None = None) -> pd.DataFrame:
    """A table of Arrow's (or what gives one) as a DataFrame of the same cells, nothing copied.

    Args:
        in_memory: what has been decided about it, for ``keeps_mapped``.
    """
    import pyarrow as pa

    made: Any = table if isinstance(table, pa.Table) else pa.table(table)
    index = [name for name in made.schema.names if _INDEX.fullmatch(name)]  # the index of a DataFrame, which has no name
    made = made.drop_columns(index) if index else made
    views = [i for i, kind in enumerate(made.schema.types) if pa.types.is_string_view(kind)]
    for i in views:
        made = made.set_column(i, made.schema.names[i], made.column(i).cast(pa.large_string()))
    frame: pd.DataFrame = made.to_pandas(types_mapper=pd.ArrowDtype, ignore_metadata=True)
    if in_memory is not None:
        frame.attrs["in_memory"] = in_memory
    return frame


def mapped_like(frame: pd.DataFrame, like: pd.DataFrame) -> pd.DataFrame:
    """A table with the columns of another one, in that one's types of Arrow.

    Raises:
        DataError: a column can't be of that type.
    """
    import pyarrow as pa

    of_arrows: dict[Any, Any] = {name: dtype for name, dtype in like.dtypes.items() if isinstance(dtype, pd.ArrowDtype)}
    in_files, columns = list(of_arrows), []
    fields = [pa.field(str(name), dtype.pyarrow_dtype) for name, dtype in of_arrows.items()]
    for field, name in zip(fields, in_files, strict=True):
        try:
            columns.append(pa.array(frame[name], from_pandas=True).cast(field.type))
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
            raise DataError(f"Column {name!r} can't be of the type {field.type}, which it has in the other table: {error}.") from error
    made = of_arrow(pa.Table.from_arrays(columns, schema=pa.schema(fields)), in_memory=False).set_axis(in_files, axis=1)
    rest = {name: frame[name].to_numpy() for name in like.columns if name not in in_files}  # columns that the user has added
    whole: Any = made.assign(**rest)[list(like.columns)] if rest else made
    return whole


def stays_in_memory(size: int, in_memory: bool | None) -> bool:
    """Whether a table of so many bytes is to be read into memory; None lets them decide.

    Raises:
        ImportError: it is not, and there is no pyarrow.
    """
    if in_memory is None:
        return size * SHARE <= free_memory() or find_spec("pyarrow") is None
    if not in_memory and find_spec("pyarrow") is None:
        raise ImportError("in_memory=False needs the package pyarrow: pip install pyarrow")
    return in_memory


def say_mapped(size: int, in_memory: bool | None) -> None:
    """Says that a table stays in files, unless it was asked for."""
    if in_memory is None:
        note(
            f"The table takes up about {size / GIB:.2g} GiB, much of the {free_memory() / GIB:.2g} GiB of memory that are free: it stays in files, "
            "and is read as it is needed. in_memory=True loads it."
        )


# -- files that hold what memory doesn't ---------------------------------------------------------------------------------
def folder() -> Path:
    """Where such files are made: the folder that ``BURNISH_CACHE`` names, else the user's cache folder."""
    base = os.environ.get(FOLDER_VARIABLE)
    place = Path(base).expanduser() if base else Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "burnish"
    place.mkdir(parents=True, exist_ok=True)
    return place


@contextmanager
def _file(size: int) -> Iterator[str]:
    """The name of a new file, which is gone afterwards: who has mapped it by then keeps what it holds.

    Raises:
        DataError: the disk has no room for `size` bytes.
    """
    place = folder()
    free = shutil.disk_usage(place).free
    if size > free:
        raise DataError(
            f"The table needs {size / GIB:.2g} GiB in files, and {str(place)!r} has room for {free / GIB:.2g} GiB. Make room, or name a folder on a "
            f"larger disk in the environment variable {FOLDER_VARIABLE}."
        )
    descriptor, name = tempfile.mkstemp(prefix="table-", dir=place)
    os.close(descriptor)
    try:
        yield name
    finally:
        try:
            os.unlink(name)
        except OSError:  # Windows: not while it is mapped
            atexit.register(_gone, name)


def _gone(name: str) -> None:
    with suppress(OSError):
        os.unlink(name)


def mapped_tensor(shape: tuple[int, int], dtype: torch.dtype) -> Tensor:
    """An empty tensor whose numbers lie in a file."""
    count = shape[0] * shape[1]
    if not count:
        return torch.empty(shape, dtype=dtype)
    with _file(count * dtype.itemsize) as name:
        if hasattr(os, "posix_fallocate"):
            with open(name, "r+b") as file:  # room is taken now: a full disk later would end the process
                os.posix_fallocate(file.fileno(), 0, count * dtype.itemsize)
        return torch.from_file(name, shared=True, size=count, dtype=dtype).reshape(shape)


def stored(table: Any) -> Any:
    """A table of Arrow's as one that is mapped from a file."""
    import pyarrow as pa

    with _file(table.nbytes) as name:
        with pa.OSFile(name, "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table.unify_dictionaries().combine_chunks())
        return pa.ipc.open_file(pa.memory_map(name)).read_all()


def joined(tables: Iterable[Any]) -> pd.DataFrame:
    """Pieces of a table (of Arrow's) as one, whose cells stay where they are."""
    import pyarrow as pa

    return of_arrow(pa.concat_tables(list(tables)), in_memory=False)


def pieces(frame: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """A table some rows at a time, in memory."""
    for start in range(0, len(frame), PIECE):
        yield plain_rows(frame.iloc[start : start + PIECE])


def changed(frame: pd.DataFrame, function: Callable[[pd.DataFrame], pd.DataFrame]) -> pd.DataFrame:
    """What a function, which looks at no other rows, makes of a table: in files too.

    Raises:
        DataError: a column has other types in some rows than in others.
    """
    import pyarrow as pa

    parts = [stored(pa.Table.from_pandas(function(piece), preserve_index=False)) for piece in pieces(frame)]
    other = next((part.schema.names for part in parts if part.schema.names != parts[0].schema.names), None)
    if other is not None:
        raise DataError(
            f"The table has other columns in some rows ({listed(other, 8)}) than in others ({listed(parts[0].schema.names, 8)}): a step must give "
            "every row the same columns, in the same order."
        )
    kinds = common_types(parts)
    mixed = [name for name, kind in kinds.items() if kind is None]
    if mixed:
        raise DataError(f"The columns {listed(map(repr, mixed))} have other types in some rows than in others: make them of one type.")
    return joined(of_types(part, kinds) for part in parts)


def common_types(parts: Sequence[Any]) -> dict[str, Any]:
    """Column to the type that its pieces have in common; None where they have none but text."""
    schemas = [part.schema for part in parts]
    return {name: _common([schema.field(name).type for schema in schemas]) for name in schemas[0].names}


def of_types(part: Any, kinds: Mapping[str, Any]) -> Any:
    """A piece of a table with columns of these types."""
    import pyarrow as pa

    schema = pa.schema(list(kinds.items()))
    return (
        part if part.schema.equals(schema) else stored(part.cast(schema, safe=False))
    )  # whole numbers beside fractions become what pandas makes of them


def _common(kinds: list[Any]) -> Any:
    """The type of a column whose pieces have these types; None if it is read as texts."""
    import pyarrow as pa

    different = [kind for kind in dict.fromkeys(kinds) if not pa.types.is_null(kind)]
    if len(different) < 2:
        return different[0] if different else pa.float64()
    if all(pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in different):
        return pa.float64() if any(map(pa.types.is_floating, different)) else None if pa.uint64() in different else pa.int64()
    if all(pa.types.is_string(kind) or pa.types.is_large_string(kind) for kind in different):
        return pa.large_string()
    return None
