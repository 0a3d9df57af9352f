"""Text files of people and databases: read as they are, or refused with the place that is wrong.

A letter that is replaced because the encoding was guessed makes two names one: ``Zoë`` and ``Zoé``
become the same person.
"""

import unicodedata
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, BOM_UTF32_BE, BOM_UTF32_LE
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from ferlit.errors import DataError

# UTF-32 first: its mark begins with that of UTF-16.
_MARKS = (
    (BOM_UTF32_LE, "utf-32"),
    (BOM_UTF32_BE, "utf-32"),
    (BOM_UTF16_LE, "utf-16"),
    (BOM_UTF16_BE, "utf-16"),
    (BOM_UTF8, "utf-8-sig"),
)
_CHUNK = 2048  # rows of a CSV file that are read at a time


def encoding_of(path: Path) -> str:
    """What the byte order mark of a file tells, or UTF-8, without its mark, where there is none.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "a.csv")
    ...     _ = path.write_text("Zoë", encoding="utf-16")
    ...     encoding_of(path)
    'utf-16'
    """
    with path.open("rb") as file:
        head = file.read(4)
    return next((name for mark, name in _MARKS if head.startswith(mark)), "utf-8-sig")


def read_text(path: Path) -> str:
    r"""The text of a file in UTF-8, or in another Unicode encoding that its first bytes tell.

    Raises:
        OSError: the file cannot be opened.
        DataError: it is in no such encoding; the message tells the line and the byte.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "a.csv")
    ...     _ = path.write_bytes("image,identity\na.png,Zoë\n".encode("latin-1"))
    ...     read_text(path)
    Traceback (most recent call last):
        ...
    ferlit.errors.DataError: /.../a.csv: line 2 has the byte 0xEB, which is not UTF-8; save ...
    """
    try:
        return path.read_bytes().decode(encoding_of(path))
    except UnicodeDecodeError as error:
        raise wrong_encoding(path) from error


def wrong_encoding(path: Path) -> DataError:
    """The error that a file is not in the encoding that `encoding_of` tells, with the place."""
    encoding = encoding_of(path)
    remedy = "save the file as UTF-8 (in a spreadsheet: CSV UTF-8)"
    if encoding != "utf-8-sig":
        return DataError(
            f"{path}: the file begins as {encoding.upper()} does and goes on otherwise; {remedy}"
        )
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                byte = error.object[error.start]
                return DataError(
                    f"{path}: line {number} has the byte 0x{byte:02X}, which is not UTF-8; {remedy}"
                )
    return DataError(f"{path}: the file is not UTF-8; {remedy}")


def csv_rows(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The rows of a CSV file as texts, in the order that ``file.csv#k`` counts them.

    Args:
        path: The file. Spaces around the names in its header do not matter.
        columns: The columns to yield.

    Yields:
        The values of a row.

    Raises:
        DataError: the file cannot be read, is in an encoding that it does not tell (see
            `encoding_of`), or lacks a column or has it twice.
    """
    header = csv_header(path)
    missing = [column for column in columns if column not in header]
    if missing:
        raise DataError(f"{path}: there is no column {' and no column '.join(missing)}")
    if twice := [column for column in columns if header.count(column) > 1]:
        raise DataError(
            f"{path}: the column {' and the column '.join(twice)} is there more than once; keep "
            "the one that is right"
        )
    try:
        with pd.read_csv(
            path,
            dtype=str,
            index_col=False,
            keep_default_na=False,
            encoding=encoding_of(path),
            usecols=lambda column: column.strip() in columns,
            chunksize=_CHUNK,
        ) as chunks:
            for chunk in chunks:
                chunk.columns = chunk.columns.str.strip()
                rows = chunk[list(columns)].fillna("")
                yield from zip(*(rows[column].str.strip() for column in columns), strict=True)
    except UnicodeDecodeError as error:
        raise wrong_encoding(path) from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: the CSV file cannot be read ({error})") from error


def csv_header(path: Path) -> list[str]:
    """The names of a CSV file's columns.

    Raises:
        DataError: the file cannot be read.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "icml_face_data.csv")
    ...     _ = path.write_text("emotion, Usage, pixels")
    ...     csv_header(path)
    ['emotion', 'Usage', 'pixels']
    """
    try:
        # As a row: pandas gives columns of the same name different ones.
        header = pd.read_csv(
            path,
            nrows=1,
            header=None,
            dtype=str,
            keep_default_na=False,
            encoding=encoding_of(path),
        )
    except UnicodeDecodeError as error:
        raise wrong_encoding(path) from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: the CSV file cannot be read ({error})") from error
    return [str(name).strip() for name in header.iloc[0]]


def composed(text: str) -> str:
    r"""A name as most systems write it: without outer spaces, a letter and its accent as one sign.

    macOS splits them in the names of files, so that a person in a folder's name and in a table
    would be two.

    >>> composed(" Zoe\u0308 ") == "Zo\u00eb"
    True
    """
    return unicodedata.normalize("NFC", text.strip())
