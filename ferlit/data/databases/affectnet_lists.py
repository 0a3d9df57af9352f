"""The lists of AffectNet's old form: CSV files, some without a header, with a picture a row."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from ferlit.errors import DataError

# The columns of a list without a header.
COLUMNS = (
    *("subDirectory_filePath", "face_x", "face_y", "face_width", "face_height"),
    *("facial_landmarks", "expression", "valence", "arousal"),
)
NAME, WIDTH, EXPRESSION = "subDirectory_filePath", "face_width", "expression"


def list_rows(
    path: Path, place: str, unread: dict[str, str]
) -> Iterator[tuple[str, str, str, str]]:
    """The rows of a list.

    The lists have no quoted fields, so that lines can be split without a CSV parser, to which one
    damaged row might be the end of the file.

    Args:
        path: The list.
        place: The list below the root.
        unread: Takes the rows that cannot be understood, and the list if it has none.

    Yields:
        Place of the row, counted from 0 after the header, name of the picture, width of the face
        and expression, as texts.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "validation.csv")
    ...     _ = path.write_text("689/a.jpg,10,10,99,99,1;2,3,0.5,0.1")
    ...     list(list_rows(path, path.name, {}))
    [('validation.csv#0', '689/a.jpg', '99', '3')]
    """
    number = -1
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            lines: Iterator[str] = filter(str.strip, file)
            first = next(lines, "")
            columns = _fields(first)
            if NAME not in columns:
                columns, lines = COLUMNS, chain([first] if first else [], lines)
            if missing := [column for column in (WIDTH, EXPRESSION) if column not in columns]:
                unread[place] = f"there is no column {' and no column '.join(missing)}"
                return
            name, width, expression = map(columns.index, (NAME, WIDTH, EXPRESSION))
            for number, line in enumerate(lines):
                fields = _fields(line)
                if len(fields) == len(columns):
                    yield f"{place}#{number}", fields[name], fields[width], fields[expression]
                else:
                    reason = f"{len(fields)} columns instead of {len(columns)}"
                    unread[f"{place}#{number}"] = reason
    except OSError as error:
        unread[place] = f"the list cannot be read ({error.strerror})"
    else:
        if number < 0:
            unread[place] = "the list has no rows"


def check_width(width: str) -> None:
    """Check the width of a face's box, which is negative where no face was found.

    Raises:
        DataError: it is negative, or no number.

    >>> check_width("-1")
    Traceback (most recent call last):
        ...
    ferlit.errors.DataError: there is no box of a face (its width is '-1')
    """
    try:
        is_width = float(width) >= 0
    except ValueError:
        is_width = False
    if not is_width:
        raise DataError(f"there is no box of a face (its width is {width[:20]!r})")


def _fields(line: str) -> tuple[str, ...]:
    return tuple(field.strip() for field in line.split(","))
