"""The two tables of FER+ that belong together row by row, and whatever both of them tell.

Row k of ``fer2013new.csv`` has the votes on the picture in row k of ``fer2013.csv``, as in the
authors' own ``generate_training_data.py``, which walks both files together. The number in an image
name is not the row: it counts the rows that have a name, so that after the first row without one
all names are behind. A single row that is lost or doubled gives a wrong label to every face after
it, so whatever can show it is compared: the numbers of rows, the Usage, the numbers in the names,
rows that repeat the one before, and the expression that FER2013 has itself.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ferlit.data.databases.fer2013 import CODES, USAGES
from ferlit.data.databases.ferplus.votes import COLUMNS, winners
from ferlit.data.texts import csv_rows, read_text
from ferlit.errors import DataError

NAME = re.compile(r"fer(\d{7})\.png", re.ASCII)
# The published table has these twice, once out of order: the same pictures are in two of its rows.
_TWICE = frozenset({6953, 8403, 11785, 33120})
# More gaps in the numbers than this share of the names: a sample of the rows, not lost ones.
_FEW = 0.05
# The rows from one to the next copy of a label: by how much the votes must fit the expressions of
# another row better. On the published files no stretch reaches more than 4.
_SHIFTS = (-3, -2, -1, 1, 2, 3)
_EVIDENCE = 6.0
_ENOUGH = 100  # labelled rows, to speak of how far the two agree on the whole
_LEAST_AGREEMENT = 0.2  # above chance, of what is possible; 0.54 on the published files
_NO_WINNER = -1


class _Row(NamedTuple):
    """A row of both tables, as texts."""

    emotion: str
    usage: str  # of the pictures
    repeats: bool  # the row before with its picture
    votes_usage: str
    name: str
    counts: tuple[str, ...]


class Votes(NamedTuple):
    """The votes on the picture of a row, as texts."""

    emotion: str
    usage: str
    name: str
    counts: tuple[str, ...]


class _Sign(NamedTuple):
    """Something that shows that the tables do not belong together."""

    row: int
    what: str


def paired_rows(pictures: Path, table: Path) -> list[Votes]:
    """The rows of both tables together, once nothing speaks against their belonging together.

    Args:
        pictures: ``fer2013.csv`` or ``icml_face_data.csv``.
        table: ``fer2013new.csv``.

    Returns:
        The votes of each row.

    Raises:
        DataError: they have different numbers of rows or disagree somewhere; the message has the
            first row that shows it.
    """
    rows, lengths = _read(pictures, table)
    signs = [
        sign
        for find in (_lengths(pictures, table, *lengths), _usages, _names, _repeats, _labels)
        if (sign := find(rows)) is not None
    ]
    if signs:
        first = min(signs, key=lambda sign: sign.row)
        raise DataError(
            f"{pictures} ({lengths[0]:,} rows) and {table.name} ({lengths[1]:,} rows) belong "
            f"together row by row, but not these two: row {first.row} (counted from 0): "
            f"{first.what}. Take both files as they were published, whole and in their own order"
        )
    return [Votes(row.emotion, row.usage, row.name, row.counts) for row in rows]


def _read(pictures: Path, table: Path) -> tuple[list[_Row], tuple[int, int]]:
    of_pictures = []
    before: int | None = None
    for emotion, usage, pixels in csv_rows(pictures, ("emotion", "Usage", "pixels")):
        this = hash((emotion, usage, pixels))
        repeats = this == before and len(set(pixels.split())) > 1  # blank ones are alike
        of_pictures.append((emotion, usage, repeats))
        before = this
    of_votes = list(csv_rows(table, ("Usage", "Image name", *COLUMNS)))
    _check_columns(table)
    rows = [
        _Row(*left, right[0], right[1], right[2:])
        for left, right in zip(of_pictures, of_votes, strict=False)
    ]
    return rows, (len(of_pictures), len(of_votes))


def _check_columns(table: Path) -> None:
    """Check that no row has more values than the header has names, which would shift its votes."""
    lines = [line for line in read_text(table).splitlines() if line.strip()]
    for number, line in enumerate(lines[1:]):
        if line.rstrip(", ").count(",") > lines[0].count(","):
            raise DataError(
                f"{table}: row {number} (counted from 0) has more values than the header has "
                f"names: {line[:60]!r}; take the file as it was published"
            )


def _lengths(
    pictures: Path, table: Path, with_pictures: int, with_votes: int
) -> Callable[[Sequence[_Row]], _Sign | None]:
    def find(rows: Sequence[_Row]) -> _Sign | None:
        if with_pictures == with_votes:
            return None
        shorter, longer = (pictures, table) if with_pictures < with_votes else (table, pictures)
        return _Sign(len(rows), f"{shorter.name} has ended, {longer.name} has not")

    return find


def _usages(rows: Sequence[_Row]) -> _Sign | None:
    for number, row in enumerate(rows):
        if row.usage not in USAGES or row.usage != row.votes_usage:
            known = ", ".join(USAGES)
            return _Sign(
                number,
                f"the Usage is {row.usage[:40]!r} with the picture and {row.votes_usage[:40]!r} "
                f"with the votes; known are {known}",
            )
    return None


def _names(rows: Sequence[_Row]) -> _Sign | None:
    """What the numbers of the names, and rows without one, show."""
    seen: dict[str, int] = {}
    gaps: list[_Sign] = []
    last: tuple[int, int, str] | None = None  # row, number and Usage of the named row before
    for number, row in enumerate(rows):
        if not row.name and any(count.strip("0") for count in row.counts[:-1]):
            what = f"votes on an expression ({','.join(row.counts)}), but no name"
            return min([_Sign(number, what), *gaps])
        match = NAME.fullmatch(row.name)
        if match is None:
            continue
        count = int(match[1])
        if row.name in seen and count not in _TWICE:
            what = f"{row.name} is there again, as in row {seen[row.name]}"
            return min([_Sign(number, what), *gaps])
        seen[row.name] = number
        if last is not None and row.votes_usage == last[2]:
            before = f"fer{last[1]:07d}.png"
            step, most = count - last[1], number - last[0]
            if not 1 <= step <= most and count in _TWICE:
                continue
            if step < 1:
                what = f"{row.name} comes after {before}, out of order"
                return min([_Sign(number, what), *gaps])
            if step > most:
                what = f"{row.name} follows {before} of row {last[0]}, rows between are lost"
                gaps.append(_Sign(number, what))
        last = (number, count, row.votes_usage)
    return gaps[0] if 0 < len(gaps) < max(2, _FEW * len(seen)) else None


def _repeats(rows: Sequence[_Row]) -> _Sign | None:
    for number, row in enumerate(rows):
        if row.repeats and row.name and rows[number - 1].name:
            return _Sign(number, "the picture is that of the row before, it is there twice")
    return None


def _labels(rows: Sequence[_Row]) -> _Sign | None:
    """Whether the votes fit the expression that FER2013 gives to another row better."""
    own = np.array([_code(row.emotion) for row in rows])
    voted = np.array([_winner(row.counts) for row in rows])
    agrees = _agrees(own, voted)
    usable = (own >= 0) & (voted >= 0)
    for shift in _SHIFTS:
        moved = np.full_like(own, _NO_WINNER)
        target = slice(max(0, -shift), len(own) - max(0, shift))
        moved[target] = own[max(0, shift) : len(own) - max(0, -shift)]
        elsewhere = _agrees(moved, voted)
        score = np.where(elsewhere == agrees, np.where(agrees, 0.0, -0.5), elsewhere * 2.0 - 1)
        if (start := _stretch(np.where(usable, score, 0.0))) is not None:
            return _Sign(
                start,
                f"from here on the votes fit the expressions {abs(shift)} row"
                f"{'s' if abs(shift) > 1 else ''} {'further' if shift > 0 else 'before'}",
            )
    own, voted = own[usable], voted[usable]
    if len(own) >= _ENOUGH and len(set(own.tolist())) > 1:
        found = float((own == voted).mean())
        chance = sum(float((own == code).mean() * (voted == code).mean()) for code in set(own))
        if found - chance < _LEAST_AGREEMENT * (1 - chance):
            return _Sign(
                0,
                f"only {found:.0%} of the votes agree with the expression of FER2013 ({chance:.0%} "
                "do by chance), so the rows are in another order",
            )
    return None


def _stretch(scores: NDArray[np.float64]) -> int | None:
    """Where the first stretch begins whose scores sum to the evidence that is needed."""
    total, start = 0.0, 0
    for number, score in enumerate(scores.tolist()):
        if total <= 0:
            total, start = 0.0, number
        total += score
        if total >= _EVIDENCE:
            return start
    return None


def _agrees(own: NDArray[np.int64], voted: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.asarray((own == voted) & (own >= 0))


def _code(emotion: str) -> int:
    return int(emotion) if emotion in map(str, range(len(CODES))) else _NO_WINNER


def _winner(counts: Sequence[str]) -> int:
    """The code of FER2013 for the expression with the most votes, where it has one."""
    if not all(count.isascii() and count.isdecimal() for count in counts[:-2]):
        return _NO_WINNER
    numbers = [int(count) for count in counts[:-2]]
    if not any(numbers):
        return _NO_WINNER
    (name,) = winners([[*numbers, 0, 0]])
    return CODES.index(name) if name in CODES else _NO_WINNER
