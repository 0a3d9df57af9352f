"""The lists of AffectNet's old form: CSV files, some without a header, with a picture a row."""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ferlit.data.faces.landmarks import landmarks_below
from ferlit.data.faces.registration import FACE_SIZE, canonical_landmarks
from ferlit.data.places import Place, row_of
from ferlit.errors import DataError

# The columns of a list without a header.
BOX = ("face_x", "face_y", "face_width", "face_height")
COLUMNS = (
    *("subDirectory_filePath", *BOX),
    *("facial_landmarks", "expression", "valence", "arousal"),
)
NAME, WIDTH, POINTS, EXPRESSION, VALENCE = COLUMNS[0], BOX[2], *COLUMNS[5:8]
_LANDMARKS = 68
_BOX_SIZE = 48  # of the 60 pixels of a registered face


class ListRow(NamedTuple):
    """A row of a list, as texts."""

    place: str  # the list below the root and the row, counted from 0 after the header
    name: str  # of the picture
    width: str  # of the face's box
    expression: str
    valence: str  # "" where the list has none
    has_landmarks: bool  # whether `landmarks_of` may find some


class _Index(NamedTuple):
    columns: tuple[str, ...]
    offsets: NDArray[np.int64]  # where each row starts in the file, in bytes


def list_rows(path: Path, place: str, unread: dict[str, str]) -> Iterator[ListRow]:
    """The rows of a list.

    The lists have no quoted fields, so that lines can be split without a CSV parser, to which one
    damaged row might be the end of the file.

    Args:
        path: The list.
        place: The list below the root.
        unread: Takes the rows that cannot be understood, and the list if it has none.

    Yields:
        The rows that can.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "validation.csv")
    ...     _ = path.write_text("689/a.jpg,10,10,99,99,1;2,3,0.5,0.1")
    ...     next(list_rows(path, path.name, {}))[:4]
    ('validation.csv#0', '689/a.jpg', '99', '3')
    """
    number = -1
    try:
        with path.open("rb") as file:
            columns, rows = _header_and_rows(file)
            if missing := [column for column in (WIDTH, EXPRESSION) if column not in columns]:
                unread[place] = f"there is no column {' and no column '.join(missing)}"
                return
            wanted = [columns.index(column) for column in (NAME, WIDTH, EXPRESSION)]
            has_landmarks = POINTS in columns or set(BOX) <= set(columns)
            for number, (_, line) in enumerate(rows):
                fields, row = _fields(line), row_of(place, number)
                if any("\udc80" <= sign <= "\udcff" for sign in line):
                    unread[row] = "the row is not UTF-8; save the list as UTF-8"
                elif len(fields) == len(columns):
                    name, width, expression = (fields[column] for column in wanted)
                    valence = fields[columns.index(VALENCE)] if VALENCE in columns else ""
                    values = (name, width, expression, valence)
                    yield ListRow(row, *values, has_landmarks)
                else:
                    reason = f"{len(fields)} columns instead of {len(columns)}"
                    unread[row] = reason
    except OSError as error:
        unread[place] = f"the list cannot be read ({error.strerror})"
    else:
        if number < 0:
            unread[place] = "the list has no rows"


def landmarks_of(root: Path, name: str) -> NDArray[np.float64]:
    """The landmarks of a picture: of a row of a list, or a file of its own.

    Args:
        root: The database's folder.
        name: ``list.csv#k`` for row k of a list, else a file (see
            `ferlit.data.faces.landmarks.read_landmarks`).

    Returns:
        (68, 2) or (49, 2) points.

    Raises:
        DataError: they cannot be read.
    """
    place = Place.parse(name)
    if place.number is None:
        return landmarks_below(root, name)
    return read_row_landmarks(root / place.file, int(place.part))


def read_row_landmarks(path: Path, row: int) -> NDArray[np.float64]:
    """The landmarks of a row, or where they would be in the box of its face.

    Without landmarks the box takes the place of the central 48 x 48 pixels of a registered face,
    as the faces do that databases give out at that size.

    Args:
        path: The list.
        row: Counted from 0 after the header.

    Returns:
        (68, 2) points, or (49, 2) from the box.

    Raises:
        DataError: the list cannot be read, or the row has neither landmarks nor a box.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "validation.csv")
    ...     _ = path.write_text("689/a.jpg,100,50,96,96,,3,0.5,0.1")
    ...     left, right = read_row_landmarks(path, 0)[[19, 28]]
    >>> left.tolist(), right.tolist()
    ([120.5, 77.5], [174.5, 77.5])
    """
    try:
        stat = path.stat()
        columns, offsets = _index(path, stat.st_mtime_ns, stat.st_size)
        if row >= len(offsets):
            raise DataError(f"{path}: the list has only {len(offsets)} rows")
        start = int(offsets[row])
        with path.open("rb") as file:
            file.seek(start)
            fields = _fields(_text(file.readline(), start))
    except OSError as error:
        raise DataError(f"{path}: the list cannot be read ({error.strerror})") from error
    texts = dict(zip(columns, fields, strict=False))
    points = _numbers(texts.get(POINTS, "").split(";"))
    if points is not None and len(points) == 2 * _LANDMARKS:
        return points.reshape(_LANDMARKS, 2)
    box = _numbers([texts.get(column, "") for column in BOX])
    if box is None or box[2:].min() <= 0:
        raise DataError(f"{path}: row {row} has neither {_LANDMARKS} landmarks nor a face's box")
    corner, size = box[:2], box[2:]
    # From the middle of the face; 0.5, as points count from the centre of the first pixel.
    centered = canonical_landmarks() + 0.5 - FACE_SIZE / 2
    placed: NDArray[np.float64] = corner + size / 2 + centered * size.max() / _BOX_SIZE - 0.5
    return placed


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


@lru_cache(maxsize=4)
def _index(path: Path, _modified: int, _size: int) -> _Index:
    """Where the rows are; the time and size make a changed file a new one."""
    with path.open("rb") as file:
        columns, rows = _header_and_rows(file)
        return _Index(columns, np.fromiter((offset for offset, _ in rows), dtype=np.int64))


def _header_and_rows(file: BinaryIO) -> tuple[tuple[str, ...], Iterator[tuple[int, str]]]:
    """The columns, and the rows after them with the place where each starts."""
    lines = _lines(file)
    first = next(lines, (0, ""))
    columns = _fields(first[1])
    if NAME in columns:
        return columns, lines
    return COLUMNS, (line for part in ([first] if first[1] else [], lines) for line in part)


def _lines(file: BinaryIO) -> Iterator[tuple[int, str]]:
    """The lines that are not blank."""
    offset = 0
    for line in file:
        text = _text(line, offset)
        if text.strip():
            yield offset, text
        offset += len(line)


def _text(line: bytes, offset: int) -> str:
    """A line; the first one without the byte order mark that spreadsheets put there."""
    text = line.decode(errors="surrogateescape")
    return text if offset else text.removeprefix("\ufeff")


def _numbers(texts: list[str]) -> NDArray[np.float64] | None:
    try:
        numbers = np.array([float(text) for text in texts])
    except ValueError:
        return None
    return numbers if np.isfinite(numbers).all() else None


def _fields(line: str) -> tuple[str, ...]:
    return tuple(field.strip() for field in line.split(","))
