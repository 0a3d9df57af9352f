"""Places in files: ``file#k`` is row or frame k of a file, ``file#k:view`` a part of that frame."""

import re
from typing import NamedTuple

MARK = "#"
_ROW = re.compile(rf"\.\w+{MARK}\d+$", re.ASCII)


class Place(NamedTuple):
    """Where a picture or a row lies.

    Args:
        file: The file.
        number: Of the row or frame, counted from 0, as text; None for the whole file.
        view: The part of the frame; None for all of it.

    >>> Place.parse("Sessions/1/S001-100.avi#12:left")
    Place(file='Sessions/1/S001-100.avi', number='12', view='left')
    >>> str(Place("fer2013.csv", "7"))
    'fer2013.csv#7'
    """

    file: str
    number: str | None = None
    view: str | None = None

    @classmethod
    def parse(cls, name: str) -> "Place":
        """The place that a name tells."""
        file, is_part, part = name.partition(MARK)
        number, is_view, view = part.partition(":")
        return cls(file, number if is_part else None, view if is_view else None)

    @property
    def part(self) -> str:
        """What of the file it is, as text; "" for the whole file."""
        return ":".join(text for text in (self.number, self.view) if text is not None)

    def __str__(self) -> str:
        return self.file if self.number is None else f"{self.file}{MARK}{self.part}"


def row_of(file: str, number: int) -> str:
    """The name of a file's row or frame.

    >>> row_of("fer2013.csv", 7)
    'fer2013.csv#7'
    """
    return str(Place(file, str(number)))


def is_row(name: str) -> bool:
    """Whether a name stands for a whole row or frame of a file.

    >>> [is_row(name) for name in ("list.csv#7", "list.csv", "Sessions/1")]
    [True, False, False]
    """
    return _ROW.search(name) is not None
