"""Stores that an earlier version made with wrong labels."""

import re
from collections.abc import Iterable
from pathlib import Path

from ferlit.errors import DataError

# Rows of FER+ that have no name and so are in no store. An earlier version took the number in a
# name for the row, and has all of these, with the labels of other faces.
_NAMELESS = frozenset({59, 170, 501, 633, 639, 1303, 1648, 2059, 2171})
_ROW = re.compile(r"(?:fer2013|icml_face_data)\.csv#(\d+)", re.ASCII)


def refuse_shifted_ferplus(folder: Path, database: str, images: Iterable[str]) -> None:
    """Refuse a store of FER+ that was made from its CSV form with shifted labels.

    Args:
        folder: Of the store.
        database: What it was made from.
        images: Of its records.

    Raises:
        DataError: it was.

    >>> refuse_shifted_ferplus(Path("store"), "ferplus", (f"fer2013.csv#{k}" for k in range(3000)))
    Traceback (most recent call last):
        ...
    ferlit.errors.DataError: store: an earlier version prepared this store of FER+ and gave most ...
    """
    if database != "ferplus":
        return
    rows = {int(match[1]) for image in images if (match := _ROW.search(image))}
    if rows >= _NAMELESS:
        raise DataError(
            f"{folder}: an earlier version prepared this store of FER+ and gave most faces the "
            "labels of others; prepare it again from fer2013.csv and fer2013new.csv"
        )
