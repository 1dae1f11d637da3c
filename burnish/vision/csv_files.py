"""CSV files that name pictures and what they are: reading them, and what is wrong with them in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from burnish.data.lazy import pd
from burnish.errors import DataError, listed
from burnish.tabular.files import other_separator, parser_said


def csv_in(path: str | Path, csv_fname: str | Path) -> tuple[Path, Path]:
    """The folder that file names are relative to, and the CSV file in it. Raises FileNotFoundError if it isn't there."""
    file = Path(path) if Path(path).is_file() else Path(path) / csv_fname
    if not file.is_file():
        raise FileNotFoundError(f"There is no {file}. Pass csv_fname= the name of the CSV file in {path}.")
    return (file.parent, file) if file == Path(path) else (Path(path), file)


def read_rows(file: Path, header: Any = "infer", delimiter: str | None = None, quoting: int = 0, *, asks: bool = False) -> pd.DataFrame:
    """The table of a CSV file.

    Args:
        header, delimiter, quoting: see ``pandas.read_csv``.
        asks: the factory has an argument ``delimiter``, which a message may name.

    Raises:
        DataError: the file is empty, of another encoding, or its rows are longer than its first line; with the file and the line, and what to do.
    """
    try:
        df: Any = pd.read_csv(file, header=header, sep=delimiter or ",", quoting=quoting)  # type: ignore[call-overload]
    except pd.errors.EmptyDataError:
        raise DataError(f"{file} is empty: {file.stat().st_size} bytes, without a line of column names.") from None
    except UnicodeDecodeError as error:
        raise DataError(
            f"{file} isn't in UTF-8 (byte {error.start} is {error.object[error.start : error.start + 1]!r}). Save it as 'CSV UTF-8', or read it yourself: "
            "from_df(pd.read_csv(path, encoding='cp1252'), ...)."
        ) from None
    except pd.errors.ParserError as error:
        sep = other_separator(file, {"sep": delimiter or ","})
        way = f"delimiter={sep!r}" if asks else f"from_df(pd.read_csv(path, sep={sep!r}), ...)"
        hint = "" if sep is None else f" Or its cells are separated by {sep!r}, as its first line looks: {way}."
        raise DataError(f"{file}{parser_said(error)}{hint}") from error
    if header == "infer" and not df.index.equals(pd.RangeIndex(len(df))):
        df = _of_longer_rows(file, df, delimiter, quoting)
    return df


def _of_longer_rows(file: Path, df: pd.DataFrame, delimiter: str | None, quoting: int) -> pd.DataFrame:
    """A file whose rows have more cells than its first line has names: pandas takes the first cells for names of the rows. Rows that end in a separator are read right, and
    numbers in front of the rows are left out, as R writes them; all else is an error."""
    if df.index.nlevels == 1 and df.iloc[:, -1].isna().all():
        return pd.read_csv(file, sep=delimiter or ",", quoting=quoting, index_col=False)  # type: ignore[call-overload]
    if df.index.nlevels == 1 and pd.api.types.is_integer_dtype(df.index):
        return df.reset_index(drop=True)
    raise DataError(
        f"{file}, line 2: it has {len(df.columns) + df.index.nlevels} cells, and the first line has {len(df.columns)} names ({listed(df.columns, 6)}): which cell is whose can't be "
        "told. Give each column a name, and put a cell that holds a comma itself in quotation marks."
    )


def check_csv(df: pd.DataFrame, file: Path, header: Any, delimiter: str | None, root: Path, suff: str) -> None:
    """Raises DataError if the file seems to have been read in a way that it isn't written."""
    picture = next((name for name in df.columns if (root / f"{name}{suff}").is_file()), None)
    if picture is not None and header is not None:
        raise DataError(
            f"The first line of {file} looks like data, for {picture!r} is a picture there, and it was taken for the names of the columns. Pass header=None."
        )
    shown = str(df.columns[0] if header is not None else df.iloc[0, 0])
    other = next((mark for mark in (";", "\t", "|") if mark in shown), None)
    if df.shape[1] == 1 and delimiter is None and other is not None:
        raise DataError(f"{file} was read as one column ({shown!r}): its values are separated by {other!r}. Pass delimiter={other!r}.")
