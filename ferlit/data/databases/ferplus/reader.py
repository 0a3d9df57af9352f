"""FER+: the faces of FER2013 with the votes of ten people on each.

Barsoum et al., Training deep networks for facial expression recognition with crowd-sourced label
distribution, ICMI 2016. Read in two forms, in the root or in a folder ``ferplus`` below it:

- ``fer2013new.csv`` (Usage,Image name,neutral,...,contempt,unknown,NF) and, beside it or in a
  folder ``fer2013``, ``fer2013.csv`` or ``icml_face_data.csv`` with the pictures, row by row (see
  `ferlit.data.databases.ferplus.rows`). 173 rows without a name show no face.
- the folders ``FER2013Train``, ``FER2013Valid`` and ``FER2013Test`` with the pictures and a
  ``label.csv`` each: ``fer0000000.png,"(0, 0, 48, 48)",4,0,0,1,3,2,0,0,0,0``.

FER2013's own label is what the picture was searched by, and tells more of the expressions that are
rare among the votes: it has fear on 5,121 faces, where the votes have it on 805. With
``own_labels`` it gets a share of each target in training; the label stays that of the votes.
"""

import csv
import io
import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ferlit.data.databases.base import Database, Option
from ferlit.data.databases.counts import Published
from ferlit.data.databases.fer2013 import BY_CODE, FER2013, USAGES
from ferlit.data.databases.ferplus.rows import NAME, paired_rows
from ferlit.data.databases.ferplus.votes import COLUMNS, RULES, vote_targets, winners
from ferlit.data.databases.listing import (
    below,
    file_below,
    image_files,
    nothing_read,
    warn_of_unused,
)
from ferlit.data.places import row_of
from ferlit.data.records import EXPRESSIONS, record_table
from ferlit.data.texts import read_text
from ferlit.errors import DataError, UsageError

# What the majority rule keeps of the 35,887 rows.
PUBLISHED = Published("images", total=31_412, splits={"train": 25_060, "val": 3_199, "test": 3_153})
_VOTES = "fer2013new.csv"
_PICTURES = ("fer2013.csv", "icml_face_data.csv")
_LABELS = "label.csv"
_PARTS = {"FER2013Train": "train", "FER2013Valid": "val", "FER2013Test": "test"}
_PLACES = ("", "ferplus", "FERPlus", "data", "ferplus/data", "FERPlus/data")
_PEOPLE = (9, 10)  # one row of the published table has nine votes
_COUNT = re.compile(r"\d{1,3}", re.ASCII)
_LAYOUT = (
    "fer2013new.csv beside fer2013.csv or icml_face_data.csv, or the folders FER2013Train, "
    "FER2013Valid and FER2013Test with a label.csv each"
)
logger = logging.getLogger(__name__)

_Unread = dict[str, str]


class _Face(NamedTuple):
    image: str
    split: str
    votes: list[int]  # 10 counts
    own: str | None = None  # the expression in FER2013


def read_ferplus(root: Path, *, votes: str = "majority", own_labels: float = 0) -> pd.DataFrame:
    """Read FER+ in either form and keep the faces on which a rule finds the votes clear.

    Args:
        root: The folder that holds it, or the one above.
        votes: The rule, see `ferlit.data.databases.ferplus.votes.vote_targets`.
        own_labels: Share of FER2013's label in the targets, see `read_ferplus_targets`.

    Returns:
        The record table; PublicTest is the validation split, PrivateTest the test split, and the
        expression is the one with the most votes. A row whose name or votes are wrong is unread, as
        is a picture without votes; faces that the rule drops are only counted in the log.

    Raises:
        DataError: it is in neither form, a file of votes or pictures cannot be read, the rows of
            votes are not those of the pictures, or nothing is left.
        UsageError: FER2013's own labels are wanted of the folders, which do not have them.

    >>> read_ferplus(Path("nowhere"))
    Traceback (most recent call last):
        ...
    ferlit.errors.DataError: nowhere: there is no FER+, that is fer2013new.csv beside ...
    """
    unread: _Unread = {}
    faces = _distinct(_faces(root, unread), unread)
    if not faces:
        raise nothing_read(f"{root}: no faces with votes found", unread)
    if own_labels and (without := [face.image for face in faces if face.own is None]):
        raise UsageError(
            f"{root}: own_labels={own_labels}: there is no label of FER2013 for {len(without)} "
            f"faces, such as {without[0]}; they are in fer2013.csv and icml_face_data.csv alone"
        )
    counts = [face.votes for face in faces]
    is_kept = [bool(target.any()) for target in vote_targets(counts, votes)]
    rows = [
        {"image": face.image, "expression": winner, "split": face.split}
        for face, winner, kept in zip(faces, winners(counts), is_kept, strict=True)
        if kept
    ]
    if other := [face.image for face in faces if sum(face.votes) not in _PEOPLE]:
        logger.warning(
            "ferplus: the votes on %d faces are not those of ten people, such as on %s",
            len(other),
            other[0],
        )
    logger.info("ferplus: votes=%s keeps %d of %d faces", votes, len(rows), len(faces))
    if not rows:
        raise nothing_read(
            f"{root}: votes={votes} keeps none of the {len(faces)} faces; choose another rule",
            unread,
        )
    return record_table(rows, unread)


def read_ferplus_targets(
    root: Path, images: Sequence[str], *, votes: str = "majority", own_labels: float = 0
) -> NDArray[np.float32]:
    """What the ten people saw in some of the faces.

    Args:
        root: The folder, as in `read_ferplus`.
        images: Names of n images of its record table.
        votes: The rule.
        own_labels: Share of FER2013's own label in each target, from 0 to 1.

    Returns:
        (n, 8) targets, see `ferlit.data.databases.ferplus.votes.vote_targets`.
    """
    unread: _Unread = {}
    known = {face.image: face for face in _distinct(_faces(root, unread), unread)}
    faces = [known[image] for image in images]
    targets = vote_targets([face.votes for face in faces], votes)
    if own_labels:
        own = np.array([[name == face.own for name in EXPRESSIONS] for face in faces])
        targets = (1 - own_labels) * targets + own_labels * own
    return targets.astype(np.float32)


def _faces(root: Path, unread: _Unread) -> Iterator[_Face]:
    table, pictures = _first(root, _PLACES, (_VOTES,)), None
    if table is not None:
        pictures = _first(root, ("", "fer2013", *_PLACES[1:]), _PICTURES)
    places = ([root / place / part for part in _PARTS] for place in _PLACES)
    folders = next((found for parts in places if (found := [p for p in parts if p.is_dir()])), [])
    if table is not None and pictures is not None:
        warn_of_unused(root, [table, pictures], folders)
        return _faces_of_table(table, pictures, root, unread)
    if folders:
        return _faces_of_folders(folders, root, unread)
    if table is not None:
        raise DataError(
            f"{root}: {below(root, table)} has the votes, but the pictures are not there; put "
            f"{' or '.join(_PICTURES)} of FER2013 beside it"
        )
    raise DataError(f"{root}: there is no FER+, that is {_LAYOUT}")


def _faces_of_table(table: Path, pictures: Path, root: Path, unread: _Unread) -> Iterator[_Face]:
    """The faces of ``fer2013new.csv``, the rows of which are those of FER2013."""
    for row, (emotion, usage, name, counts) in enumerate(paired_rows(pictures, table)):
        if not name:
            continue  # no face
        try:
            image = row_of(below(root, pictures), row)
            votes = _votes(_checked(name), counts)
            yield _Face(image, USAGES[usage], votes, BY_CODE.get(emotion))
        except DataError as error:
            unread[row_of(below(root, table), row)] = str(error)


def _faces_of_folders(folders: list[Path], root: Path, unread: _Unread) -> Iterator[_Face]:
    for folder in folders:
        table = folder / _LABELS
        place = below(root, table)
        listed: dict[str, tuple[int, list[str]]] = {}  # row and votes by the name of the picture
        row = -1
        try:
            for row, fields in enumerate(csv.reader(io.StringIO(read_text(table), newline=""))):
                try:
                    name, _, *counts = fields if len(fields) > 1 else ("", "")
                    image = file_below(root, f"{below(root, folder)}/{_checked(name)}")
                    first, same = listed.setdefault(name, (row, counts))
                    if first != row and same == counts:
                        raise DataError(f"{name} is there again with the same votes")
                    face = _Face(image, _PARTS[folder.name], _votes(name, counts))
                except DataError as error:
                    unread[row_of(place, row)] = str(error)
                else:
                    yield face
            if row < 0:
                unread[place] = "the file is empty"
        except (OSError, csv.Error) as error:
            unread[place] = f"the file cannot be read after {row + 1} rows ({error})"
        except DataError as error:
            unread[place] = str(error).removeprefix(f"{table}: ")
        for path in image_files(folder) if listed else ():
            if path.name not in listed:
                unread[below(root, path)] = f"{_LABELS} has no votes on it"


def _checked(name: str) -> str:
    if not NAME.fullmatch(name):
        raise DataError(f"the image name {name[:40]!r}, expected one as fer0000032.png")
    return name


def _votes(name: str, texts: Sequence[str]) -> list[int]:
    if len(texts) != len(COLUMNS) or not all(_COUNT.fullmatch(text) for text in texts):
        raise DataError(f"the votes {','.join(texts)[:40]!r}, expected {len(COLUMNS)} numbers")
    votes = [int(text) for text in texts]
    if not any(votes):
        raise DataError(f"nobody voted on {name}")
    return votes


def _distinct(faces: Iterator[_Face], unread: _Unread) -> list[_Face]:
    """The faces, each once; of those with several rows none, as the rows may contradict."""
    found: dict[str, list[_Face]] = {}
    for face in faces:
        found.setdefault(face.image, []).append(face)
    unread |= {
        image: f"there are {len(same)} rows of votes on it"
        for image, same in found.items()
        if len(same) > 1
    }
    return [same[0] for same in found.values() if len(same) == 1]


def _first(root: Path, places: Sequence[str], names: Sequence[str]) -> Path | None:
    paths = (root / place / name for place in places for name in names)
    return next((path for path in paths if path.is_file()), None)


def _with_votes(database: Database) -> Database:
    votes, own_labels = database.chosen["votes"], database.chosen["own_labels"]
    if not 0 <= own_labels <= 1:
        raise UsageError(f"ferplus: own_labels={own_labels}: from 0 to 1")
    if own_labels and votes == "multi_target":
        raise UsageError(
            f"ferplus: own_labels={own_labels}: votes=multi_target takes several expressions to be "
            "right, which has no share for another label; choose another rule"
        )
    is_soft = votes != "majority" or own_labels
    rule = "crossentropy" if votes == "majority" else votes
    return replace(database, target_rule=rule if is_soft else "")


FERPLUS = Database(
    name="ferplus",
    classes=EXPRESSIONS,
    reader=read_ferplus,
    layout=_LAYOUT,
    licence=f"labels: MIT; pictures: those of FER2013, {FER2013.licence}",
    unused=("*FER2013T*", "*FER2013Valid*"),
    is_aligned=True,
    has_identities=False,
    published=(PUBLISHED,),
    options=(
        Option("votes", "majority", "the rule that makes labels of the votes", choices=RULES),
        Option(
            *("own_labels", 0.0, "share of FER2013's own label in what training learns, 0 to 1"),
            kind=float,
            shapes_targets=True,
        ),
    ),
    vary=_with_votes,
    targets=read_ferplus_targets,
)
