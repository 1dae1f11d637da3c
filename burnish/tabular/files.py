"""Tables from files: CSV, Parquet and Arrow; those that are large beside the memory are left in files, as columns that Arrow maps."""

from __future__ import annotations

import codecs
import csv
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from burnish.data.lazy import pd
from burnish.data.mapped import PIECE, common_types, joined, of_arrow, of_types, plain_rows, say_mapped, stays_in_memory, stored
from burnish.errors import DataError, SettingError, listed, nearest
from burnish.tabular.frames import check_frame

_ARROW = (".arrow", ".feather", ".ipc")
_PARQUET = (".parquet", ".pq")
CSV = (".csv", ".tsv", ".txt")
SUFFIXES = (*CSV, *_PARQUET, *_ARROW)
_WRITTEN = (  # pandas' options of how a file is written; others name columns, which its first line as cells has none of
    "sep", "delimiter", "encoding", "encoding_errors", "skiprows", "skip_blank_lines", "skipinitialspace", "comment", "quotechar", "quoting",
    "doublequote", "escapechar", "lineterminator", "dialect", "compression", "engine",
)  # fmt: skip
_BEYOND = "\0"  # the column of what follows the last separator, in rows that end in one
_SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}


def read_file(path: str | os.PathLike[str], in_memory: bool | None = None, **options: Any) -> pd.DataFrame:
    """A table from a file, by its ending: CSV (.csv, .tsv, .txt), Parquet (also a folder of such files), Arrow (.arrow, .feather, .ipc).

    Args:
        in_memory: whether it is read into memory; None lets its size decide. Where not, its columns are Arrow's, mapped from files:
            Arrow's own as it is (it must not change meanwhile), of others a copy that goes with the process (in ``BURNISH_CACHE``, else the user's cache folder).
        options: of ``pandas.read_csv``.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: it can't be read.
    """
    path = Path(path).expanduser()
    suffix = path.suffix.lower()
    folder = path.is_dir() and next(path.rglob("*.parquet"), None) is not None
    if not folder and not path.is_file():
        raise _no_file(path)
    if folder or suffix in (*_PARQUET, *_ARROW):
        return check_frame(_of_arrow(path, "arrow" if suffix in _ARROW else "parquet", in_memory), repr(str(path)))
    if suffix not in SUFFIXES:
        raise DataError(f"{str(path)!r}: a table was expected in a file that ends in one of {', '.join(SUFFIXES)}. {_instead(suffix)}")
    return read_csv(path, in_memory, **({"sep": "\t", **options} if suffix == ".tsv" else options))


def _no_file(path: Path) -> FileNotFoundError:
    if path.is_dir():
        return FileNotFoundError(f"{str(path)!r} is a folder without Parquet files (.parquet): name the table's file.")
    beside = [p.name for p in path.parent.glob(f"*{path.suffix}")] if path.parent.is_dir() else []
    return FileNotFoundError(f"There is no file {str(path)!r} (looked from {str(Path.cwd())!r}).{nearest(path.name, beside)}")


def _instead(suffix: str) -> str:
    if suffix in (".xlsx", ".xls", ".ods"):
        return "Save the sheet as CSV; or pd.read_excel(path) reads it (with the package openpyxl), and its table goes to from_df."
    return "Others are read with pandas, whose table goes to from_df."


def read_csv(path: str | os.PathLike[str], in_memory: bool | None = None, **options: Any) -> pd.DataFrame:
    """A CSV file as a table, by ``pandas.read_csv``, whose options may be given.

    Args:
        in_memory: see ``read_file``.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: it is empty, of another encoding, or its separator is another one (the message says which).
        SettingError: an encoding or a sign that there is not.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise _no_file(path)
    if path.suffix.lower() in (*_PARQUET, *_ARROW):
        raise DataError(f"{str(path)!r} is no CSV file, by its ending: from_file({path.name!r}) reads it.")
    _check_options(options)
    settings, size = {"skipinitialspace": True, **options}, path.stat().st_size
    with _reading(path, options):
        mapped = not stays_in_memory(size, in_memory)
        first: dict[str, Any] = {**settings, "nrows": 100} if mapped else settings
        frame = _read(path, first)  # what is wrong with it shows in its first rows
        _check_names(path, {**settings, **options})
        if len(frame.columns) == 1 and (hint := _other_separator(path, options)):
            raise DataError(f"{str(path)!r} has a single column, {str(frame.columns[0])[:80]!r}.{hint}")
        check_frame(frame, f"{str(path)!r}")
        if mapped:
            say_mapped(size, in_memory)
            beyond = {name: first[name] for name in ("names", "header") if name in first}
            frame = joined(_csv_tables(path, {**settings, **beyond}))
    return frame


def _check_options(options: dict[str, Any]) -> None:
    """Raises SettingError for an encoding that there is not, and signs that pandas can't take."""
    if (encoding := options.get("encoding")) is not None:
        try:
            codecs.lookup(encoding)
        except (LookupError, TypeError):
            raise SettingError(
                f"encoding={encoding!r}: Python knows no such encoding. Often it is 'cp1252', 'latin-1' or 'utf-16'."
            ) from None
    for name in ("decimal", "thousands"):
        sign = options.get(name)
        if sign is not None and (not isinstance(sign, str) or len(sign) != 1):
            raise SettingError(f"{name}={sign!r}: expected one sign, such as ','.")
    if options.get("sep") == "":
        raise SettingError("sep='': expected what is between the cells, such as ';'.")


@contextmanager
def _reading(path: Path, options: dict[str, Any]) -> Iterator[None]:
    """What goes wrong while a CSV file is read, as errors that say what to do."""
    try:
        yield
    except pd.errors.EmptyDataError:
        raise DataError(f"{str(path)!r} is empty: {path.stat().st_size} bytes, without a line of column names.") from None
    except UnicodeDecodeError as error:
        raise DataError(
            f"{str(path)!r} isn't in UTF-8 (byte {error.start} is {error.object[error.start : error.start + 1]!r}). Tables saved by Excel are often in "
            f"Windows' encoding: from_csv({path.name!r}, encoding='cp1252'); one saved as 'CSV UTF-8' needs nothing. Found here: {_encoding(path)}."
        ) from None
    except pd.errors.ParserError as error:
        raise DataError(f"{str(path)!r}{parser_said(error)}{_other_separator(path, options)}") from error


def parser_said(error: pd.errors.ParserError) -> str:
    """What is wrong with a CSV file that pandas can't read, and what to do, to stand behind the file's name."""
    found = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", str(error))
    if found is None:
        return f" can't be read as a CSV file: {str(error).strip()}."
    expected, line, cells = found.groups()
    return (
        f", line {line}: it has {cells} cells, and {expected} were expected, as in the lines before it, so it can't be read as a CSV file. "
        "Take out what is too much there; a cell that holds a comma itself stands in quotation marks."
    )


def _read(path: Path, settings: dict[str, Any]) -> pd.DataFrame:
    """The file read in parts, at once, which is faster; as a whole where the parts of a column turn out to be of different types."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.DtypeWarning)
        try:
            frame = pd.read_csv(path, **settings)
        except pd.errors.DtypeWarning:
            settings["low_memory"] = False
            frame = pd.read_csv(path, **settings)
    if "index_col" not in settings and not frame.index.equals(pd.RangeIndex(len(frame))):
        frame = _of_longer_rows(path, settings, frame)
    return frame


def _of_longer_rows(path: Path, settings: dict[str, Any], frame: pd.DataFrame) -> pd.DataFrame:
    """A file whose rows have more cells than its first line has names: pandas takes the first cells for names of the rows, and moves the
    others. Rows that end in a separator are read right (from here on with these settings); all else is an error."""
    if frame.index.nlevels > 1 or not frame.iloc[:, -1].isna().all():
        if len(frame.columns) == 1 and (hint := _other_separator(path, settings, ", decimal=','")):
            raise DataError(f"{str(path)!r} has a single column, {str(frame.columns[0])[:80]!r}, and commas in its rows.{hint}")
        raise _longer(path, list(map(str, frame.columns)), len(frame.columns) + frame.index.nlevels)
    settings |= {"names": [*frame.columns, _BEYOND], "header": 0}
    return _without_beyond(path, pd.read_csv(path, **settings))


def _without_beyond(path: Path, frame: pd.DataFrame) -> pd.DataFrame:
    """The table without the column of what follows the last separator, which must be empty."""
    if _BEYOND not in frame.columns:
        return frame
    beyond: Any = frame[_BEYOND]
    if beyond.notna().any():
        raise _longer(path, list(map(str, frame.columns[:-1])), len(frame.columns))
    return frame.drop(columns=_BEYOND)


def _longer(path: Path, names: list[str], cells: int) -> DataError:
    return DataError(
        f"{str(path)!r} has {len(names)} names in its first line ({listed(names, 6)}) and {cells} cells in its rows: which cell is whose can't "
        "be told. Give each column a name. If the first cells are names of the rows, as R writes them, pandas reads it: from_df(pd.read_csv(path), ...)."
    )


def _check_names(path: Path, settings: dict[str, Any]) -> None:
    """Raises DataError if the first line has a name twice: pandas would give the second another name."""
    if not {"header", "names"} & set(settings):
        how = {name: value for name, value in settings.items() if name in _WRITTEN}
        line: dict[str, Any] = {**how, "header": None, "nrows": 1, "dtype": str, "index_col": False}
        first = pd.read_csv(path, **line)
        named = [name for name in first.iloc[0].tolist() if isinstance(name, str)]
        check_frame(pd.DataFrame(columns=named, index=[0]), repr(str(path)))


def _other_separator(path: Path, options: dict[str, Any], also: str = "") -> str:
    """A hint, if the first line looks as if it had another separator than the one it was read with; `also` is what else to give then."""
    best, parts = _best_separator(path, options)
    return "" if parts < 2 else f" Its first line has {parts} parts between {_SEPARATORS[best]}s: from_csv(path, sep={best!r}{also})."


def other_separator(path: Path, options: dict[str, Any]) -> str | None:
    """Another separator than the file was read with that its first line looks as if it had; None if it has one cell by any."""
    best, parts = _best_separator(path, options)
    return None if parts < 2 else best


def _best_separator(path: Path, options: dict[str, Any]) -> tuple[str, int]:
    """The separator, other than the one that was used, that makes the most parts of the first line, and how many."""
    with open(path, encoding=options.get("encoding") or "utf-8", errors="replace", newline="") as file:
        first = file.readline().rstrip("\r\n")
    used = options.get("sep") or options.get("delimiter") or ","
    counts = {sep: len(next(csv.reader([first], delimiter=sep), [])) for sep in _SEPARATORS if sep != used}
    best = max(counts, key=lambda sep: counts[sep])
    return best, counts[best]


def _encoding(path: Path) -> str:
    """What a file's bytes look like, in words."""
    with open(path, "rb") as file:
        head = file.read(2)
    if head in (b"\xff\xfe", b"\xfe\xff"):
        return "the mark of UTF-16 (encoding='utf-16')"
    return "no mark of an encoding at its beginning"


# -- the kinds of files ---------------------------------------------------------------------------------------------------
def _of_arrow(path: Path, kind: str, in_memory: bool | None) -> pd.DataFrame:
    try:
        import pyarrow as pa
        import pyarrow.dataset as datasets
    except ImportError as error:
        raise ImportError(f"{str(path)!r} is read with the package pyarrow: pip install pyarrow") from error
    try:
        data = datasets.dataset(path, format=kind, partitioning="hive")
        if path.is_dir():  # whose files may each lack columns that others have
            schemas = [data.schema, *(fragment.physical_schema for fragment in data.get_fragments())]
            data = data.replace_schema(pa.unify_schemas(schemas, promote_options="permissive"))
        n = data.count_rows()
        head = data.head(10_000)
        size = round(head.nbytes / max(1, len(head)) * n)
        if stays_in_memory(size, in_memory):
            return plain_rows(of_arrow(data.to_table()))
        if kind == "arrow" and (table := _as_it_is(path)) is not None:
            say_mapped(size, in_memory)
            return of_arrow(table, in_memory=False)
        say_mapped(size, in_memory)
        return joined(map(stored, _dataset_tables(data)))
    except pa.ArrowException as error:
        raise DataError(
            f"{str(path)!r} can't be read as a file of {kind.capitalize()}: {error}. Is it whole, and what its ending says?"
        ) from error


def _dataset_tables(data: Any) -> Iterator[Any]:
    import pyarrow as pa

    kept: dict[str, Any] = {"batch_readahead": 1, "fragment_readahead": 1}  # else a good part of a file is in memory
    if data.format.default_extname == "parquet":
        import pyarrow.dataset as datasets

        kept["fragment_scan_options"] = datasets.ParquetFragmentScanOptions(pre_buffer=False)
    batches: list[Any] = []
    for batch in data.to_batches(batch_size=PIECE, **kept):
        batches.append(batch)
        if sum(map(len, batches)) >= PIECE:
            yield pa.Table.from_batches(batches)
            batches = []
    if batches:
        yield pa.Table.from_batches(batches)


def _as_it_is(path: Path) -> Any:
    """The table of a file of Arrow's, mapped; None if it has to be unpacked."""
    import pyarrow as pa

    before = pa.total_allocated_bytes()
    file = pa.ipc.open_file(pa.memory_map(str(path)))
    first = file.get_batch(0) if file.num_record_batches else None
    if first is not None and pa.total_allocated_bytes() - before > first.nbytes // 2:
        return None
    return file.read_all()


def _csv_tables(path: Path, options: dict[str, Any], texts: frozenset[str] = frozenset()) -> list[Any]:
    """A CSV file in pieces, each mapped from a file, of the types that the file as a whole would have."""
    import pyarrow as pa

    said: Any = options.get("dtype") or {}
    kept = {**said, **dict.fromkeys(texts, "str")} if isinstance(said, Mapping) else said
    parts: list[Any] = []
    settings: dict[str, Any] = {**options, "dtype": kept or None, "chunksize": PIECE, "low_memory": False}
    for piece in pd.read_csv(path, **settings):
        parts.append(stored(pa.Table.from_pandas(_without_beyond(path, piece), preserve_index=False)))
    kinds = common_types(parts)
    mixed = frozenset(name for name, kind in kinds.items() if kind is None)
    if mixed - texts:
        parts.clear()  # its files go before others are made
        return _csv_tables(path, options, mixed | texts)
    return [of_types(part, kinds) for part in parts]
