"""FER+: the faces of FER2013 with the votes of ten people on each.

Barsoum et al., Training deep networks for facial expression recognition with crowd-sourced label
distribution, ICMI 2016. Read in two forms, in the root or in a folder ``ferplus`` below it:

- ``fer2013new.csv`` (Usage,Image name,neutral,...,contempt,unknown,NF) and, beside it or in a
  folder ``fer2013``, ``fer2013.csv`` or ``icml_face_data.csv`` with the pictures; the number in
  ``fer0000032.png`` is the row there. 173 rows without a name show no face.
- the folders ``FER2013Train``, ``FER2013Valid`` and ``FER2013Test`` with the pictures and a
  ``label.csv`` each: ``fer0000000.png,"(0, 0, 48, 48)",4,0,0,1,3,2,0,0,0,0``.
"""

import csv
import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ferlit.data.databases.base import Database, Option
from ferlit.data.databases.counts import Published
from ferlit.data.databases.fer2013 import USAGES
from ferlit.data.databases.ferplus_votes import COLUMNS, RULES, vote_targets, winners
from ferlit.data.databases.listing import below, file_below, nothing_read
from ferlit.data.images import csv_rows
from ferlit.data.records import EXPRESSIONS, record_table
from ferlit.errors import DataError

# What the majority rule keeps of the 35,887 rows.
PUBLISHED = Published("images", total=31_412, splits={"train": 25_060, "val": 3_199, "test": 3_153})
_VOTES = "fer2013new.csv"
_PICTURES = ("fer2013.csv", "icml_face_data.csv")
_LABELS = "label.csv"
_PARTS = {"FER2013Train": "train", "FER2013Valid": "val", "FER2013Test": "test"}
_PLACES = ("", "ferplus", "FERPlus", "data", "ferplus/data", "FERPlus/data")
_NAME = re.compile(r"fer(\d{7})\.png", re.ASCII)
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


def read_ferplus(root: Path, *, votes: str = "majority") -> pd.DataFrame:
    """Read FER+ in either form and keep the faces on which a rule finds the votes clear.

    Args:
        root: The folder that holds it, or the one above.
        votes: The rule, see `ferlit.data.databases.ferplus_votes.vote_targets`.

    Returns:
        The record table; PublicTest is the validation split, PrivateTest the test split, and the
        expression is the one with the most votes. A row whose name, Usage or votes are wrong is
        unread; faces that the rule drops are only counted in the log.

    Raises:
        DataError: it is in neither form, a file of votes or pictures cannot be read, or nothing is
            left.

    >>> read_ferplus(Path("nowhere"))
    Traceback (most recent call last):
        ...
    ferlit.errors.DataError: nowhere: there is no FER+, that is fer2013new.csv beside ...
    """
    unread: _Unread = {}
    faces = _distinct(_faces(root, unread), unread)
    if not faces:
        raise nothing_read(f"{root}: no faces with votes found", unread)
    counts = [face.votes for face in faces]
    is_kept = [bool(target.any()) for target in vote_targets(counts, votes)]
    rows = [
        {"image": face.image, "expression": winner, "split": face.split}
        for face, winner, kept in zip(faces, winners(counts), is_kept, strict=True)
        if kept
    ]
    logger.info("ferplus: votes=%s keeps %d of %d faces", votes, len(rows), len(faces))
    if not rows:
        raise nothing_read(
            f"{root}: votes={votes} keeps none of the {len(faces)} faces; choose another rule",
            unread,
        )
    return record_table(rows, unread)


def read_ferplus_targets(
    root: Path, images: Sequence[str], *, votes: str = "majority"
) -> NDArray[np.float32]:
    """What the ten people saw in some of the faces.

    Args:
        root: The folder, as in `read_ferplus`.
        images: Names of n images of its record table.
        votes: The rule.

    Returns:
        (n, 8) targets, see `ferlit.data.databases.ferplus_votes.vote_targets`.
    """
    unread: _Unread = {}
    counts = {face.image: face.votes for face in _distinct(_faces(root, unread), unread)}
    return vote_targets([counts[image] for image in images], votes).astype(np.float32)


def _faces(root: Path, unread: _Unread) -> Iterator[_Face]:
    table = _first(root, _PLACES, (_VOTES,))
    if table is not None:
        pictures = _first(root, ("", "fer2013", *_PLACES[1:]), _PICTURES)
        if pictures is not None:
            return _faces_of_table(table, pictures, root, unread)
    for place in _PLACES:
        folders = [root / place / part for part in _PARTS if (root / place / part).is_dir()]
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
    usages = [usage for (usage,) in csv_rows(pictures, ("Usage",))]
    rows = csv_rows(table, ("Usage", "Image name", *COLUMNS))
    for row, (usage, name, *counts) in enumerate(rows):
        if not name and usage in USAGES:
            continue  # no face
        try:
            match = _NAME.fullmatch(name)
            if match is None:
                raise DataError(f"the image name {name[:40]!r}, expected one as fer0000032.png")
            picture = int(match[1])
            if picture >= len(usages):
                raise DataError(f"{pictures.name} has only {len(usages)} rows, none for {name}")
            if usage not in USAGES:
                raise DataError(f"the Usage {usage[:40]!r}; known are {', '.join(USAGES)}")
            if usage != usages[picture]:
                raise DataError(
                    f"the Usage {usage}, but {usages[picture][:40]!r} in row {picture} of "
                    f"{pictures.name}"
                )
            face = _Face(f"{below(root, pictures)}#{picture}", USAGES[usage], _votes(counts))
        except DataError as error:
            unread[f"{below(root, table)}#{row}"] = str(error)
        else:
            yield face


def _faces_of_folders(folders: list[Path], root: Path, unread: _Unread) -> Iterator[_Face]:
    for folder in folders:
        table = folder / _LABELS
        row = -1
        try:
            with table.open(encoding="utf-8", errors="replace", newline="") as lines:
                for row, fields in enumerate(csv.reader(lines)):
                    try:
                        name, _, *counts = fields if len(fields) > 1 else ("", "")
                        if not _NAME.fullmatch(name):
                            raise DataError(
                                f"the image name {name[:40]!r}, expected one as fer0000032.png"
                            )
                        image = file_below(root, f"{below(root, folder)}/{name}")
                        face = _Face(image, _PARTS[folder.name], _votes(counts))
                    except DataError as error:
                        unread[f"{below(root, table)}#{row}"] = str(error)
                    else:
                        yield face
            if row < 0:
                unread[below(root, table)] = "the file is empty"
        except (OSError, csv.Error) as error:
            unread[below(root, table)] = f"the file cannot be read after {row + 1} rows ({error})"


def _votes(texts: Sequence[str]) -> list[int]:
    if len(texts) != len(COLUMNS) or not all(_COUNT.fullmatch(text) for text in texts):
        raise DataError(f"the votes {','.join(texts)[:40]!r}, expected {len(COLUMNS)} numbers")
    return [int(text) for text in texts]


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


FERPLUS = Database(
    name="ferplus",
    classes=EXPRESSIONS,
    reader=read_ferplus,
    layout=_LAYOUT,
    unused=("*FER2013T*", "*FER2013Valid*"),
    is_aligned=True,
    has_identities=False,
    published=PUBLISHED,
    options=(
        Option("votes", "majority", "the rule that makes labels of the votes", choices=RULES),
    ),
    target_rule=lambda options: "" if options["votes"] == "majority" else str(options["votes"]),
    targets=read_ferplus_targets,
)
