"""A record table of one's own: a CSV file with a row for each picture.

Of the columns of the record table (see `ferlit.data.records`) only ``image``, the file below the
root, and ``expression`` are needed; an expression may have any name that a database gives to it,
and is empty where the label is withheld::

    image,expression,identity,sequence,frame,split,landmarks
    faces/anna_0012.png,happy,anna,anna_happy,12,train,points/anna_0012.txt
    clips/ben.avi#40,neutral,ben,,,val,
"""

import csv
import io
import logging
import re
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

import pandas as pd

from ferlit.data.databases.affectnet.lists import landmarks_of
from ferlit.data.databases.base import Database, Option
from ferlit.data.databases.folder import SPLIT_NAMES
from ferlit.data.databases.listing import file_below, nothing_read
from ferlit.data.places import row_of
from ferlit.data.records import COLUMNS, canonical_expression, record_table
from ferlit.data.texts import composed, read_text
from ferlit.errors import ContradictionError, DataError

_NEEDED = ("image", "expression")
_OF_A_SEQUENCE = ("expression", "identity", "split")
_FRAME = re.compile(r"(\d{1,9})(?:\.0*)?", re.ASCII)

_Row = dict[str, str | int]
_Fields = dict[str | None, str | None]
logger = logging.getLogger(__name__)


def read_csv_table(root: Path, *, table: str = "records.csv") -> pd.DataFrame:
    """Read the table and check that the files of each row are there.

    Args:
        root: The folder that the names in the table start from.
        table: The CSV file, below the root.

    Returns:
        The record table, in the order of the file. A row that has not as many values as the header
        has names, names no file, an unknown expression, split or frame, a picture of an earlier row
        that says the same, or a sequence that an earlier row gives to another expression, identity
        or split, is unread.

    Raises:
        DataError: there is no such table, it lacks a column or has it twice, is in an encoding that
            it does not tell, has a quote that is not closed, tells two things of one picture, or
            none of its rows can be used.

    >>> read_csv_table(Path("nowhere"))
    Traceback (most recent call last):
        ...
    ferlit.errors.DataError: nowhere: there is no table records.csv; write one with at least ...
    """
    if not (root / table).is_file():
        raise DataError(
            f"{root}: there is no table {table}; write one with at least the columns "
            f"{' and '.join(_NEEDED)}, or name it by the option table"
        )
    rows: list[_Row] = []
    unread: dict[str, str] = {}
    images: dict[str, tuple[int, _Row]] = {}
    sequences: dict[str, _Row] = {}  # the first row of each
    for number, fields in enumerate(_fields(root / table)):
        try:
            row = _row(root, fields)
            if row["image"] in images:
                _check_same(root / table, number, row, *images[str(row["image"])])
                raise DataError(f"the image {row['image']} is in an earlier row too")
            first = sequences.setdefault(str(row["sequence"]), row) if row["sequence"] else row
            for column in _OF_A_SEQUENCE:
                if row[column] != first[column]:
                    raise DataError(
                        f"the sequence {row['sequence']} has the {column} {row[column]!r} here and "
                        f"{first[column]!r} in an earlier row"
                    )
        except ContradictionError:
            raise
        except DataError as error:
            unread[row_of(table, number)] = str(error)
        else:
            images[str(row["image"])] = number, row
            rows.append(row)
    if not rows:
        raise nothing_read(f"{root / table}: no row can be used", unread)
    return record_table(rows, unread)


def _check_same(path: Path, number: int, row: _Row, first: int, earlier: _Row) -> None:
    """Check that two rows on one picture say the same."""
    for column in _OF_A_SEQUENCE:
        if row[column] != earlier[column]:
            raise ContradictionError(
                f"{path}: row {number} (counted from 0) gives {row['image']} the {column} "
                f"{row[column]!r}, row {first} {earlier[column]!r}; keep the one that is right"
            )


def _fields(path: Path) -> Iterator[_Fields]:
    """The rows by column, without the spaces around the values.

    A value that a row lacks is None, and values beyond the header have the column None.
    """
    try:
        rows = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
        header = _header(path, next(rows, []))
        for row in rows:
            if row:
                yield dict(zip_longest(header, (value.strip() for value in row)))
    except (OSError, csv.Error) as error:
        raise DataError(f"{path}: the CSV file cannot be read ({error})") from error


def _header(path: Path, names: list[str]) -> list[str]:
    """The columns, also where they are written in capitals; others are named.

    Raises:
        DataError: one is missing, or there twice.
    """
    header = [name.strip() for name in names]
    header = [name if name.lower() in header else name.lower() for name in header]
    if missing := [name for name in _NEEDED if name not in header]:
        raise DataError(
            f"{path}: there is no column {' and no column '.join(missing)}; the first line "
            f"is {','.join(names)[:80]!r}"
        )
    if twice := [name for name in COLUMNS if header.count(name) > 1]:
        raise DataError(
            f"{path}: the column {' and the column '.join(twice)} is there more than once; keep "
            "the one that is right"
        )
    if others := [name for name in header if name not in COLUMNS]:
        logger.warning(
            "%s: columns that are not used: %s; known are %s",
            path,
            ", ".join(map(repr, others)),
            ", ".join(COLUMNS),
        )
    return header


def _row(root: Path, fields: _Fields) -> _Row:
    """A row of the record table.

    Raises:
        DataError: a value is wrong, or their number.
    """
    if None in fields or None in fields.values():
        raise DataError("the row has not as many values as the header has names; it may be cut off")
    values = {column: fields.get(column) or "" for column in COLUMNS}
    if not values["image"]:
        raise DataError("the row names no image")
    split, frame = values["split"], values["frame"]
    if split and split.lower() not in SPLIT_NAMES:
        raise DataError(f"the split {split[:40]!r}; known are train, val and test")
    number = _FRAME.fullmatch(frame or "0")
    if number is None:
        raise DataError(f"the frame {frame[:40]!r} is no number")
    points = values["landmarks"]
    return {
        "image": file_below(root, values["image"]),
        "expression": canonical_expression(values["expression"]) if values["expression"] else "",
        "identity": composed(values["identity"]),
        "sequence": composed(values["sequence"]),
        "frame": int(number[1]),
        "split": SPLIT_NAMES[split.lower()] if split else "",
        "landmarks": file_below(root, points) if points else "",
    }


CSV_TABLE = Database(
    name="csv",
    classes=(),
    reader=read_csv_table,
    layout="records.csv with at least the columns image and expression",
    read_landmarks=landmarks_of,  # the rows of AffectNet's lists, too
    options=(Option("table", "records.csv", "the CSV file, below the root"),),
)
