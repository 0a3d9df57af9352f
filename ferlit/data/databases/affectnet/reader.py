"""AffectNet: some 290,000 manually annotated faces from the web.

Mollahosseini et al., AffectNet: a database for facial expression, valence, and arousal computing in
the wild, IEEE Transactions on Affective Computing 2019. It has official training and validation
parts and names nobody. There are two forms. The old one has whole photographs, with the box and 68
landmarks of a face in its lists::

    Manually_Annotated_file_lists/training.csv, validation.csv      the latter may lack its header
    Manually_Annotated_Images/689/737db2483489148d.jpg

and the new one faces of 224 x 224 pixels, each with files of annotations::

    train_set/images/0.jpg       train_set/annotations/0_exp.npy, 0_val.npy (0_aro, 0_lnd: not used)
    val_set/images/0.jpg         val_set/annotations/0_exp.npy, 0_val.npy

The valence is looked at to see whether the codes are AffectNet's own.

The pictures of the new form are cut to the face, so they can be prepared with ``--landmarks none``;
those of the old one are registered by their own landmarks, or by the box where a row has none.
"""

import logging
import os
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath

import pandas as pd

from ferlit.data.databases.affectnet.codes import CODES, OTHERS, Found, parse_code
from ferlit.data.databases.affectnet.lists import check_width, landmarks_of, list_rows
from ferlit.data.databases.affectnet.sets import SETS, new_form
from ferlit.data.databases.affectnet.valence import doubt_of_codes
from ferlit.data.databases.base import RESEARCH_ONLY, Database, Option
from ferlit.data.databases.counts import Published
from ferlit.data.databases.listing import (
    IMAGES,
    below,
    file_below,
    is_stray,
    nothing_read,
    warn_of_unused,
)
from ferlit.data.places import MARK, Place
from ferlit.data.records import record_table
from ferlit.errors import ContradictionError, DataError

__all__ = ["AFFECTNET", "CODES", "OTHERS", "PUBLISHED", "read_affectnet"]

_BY_EXPRESSION = {
    "neutral": 75_374,
    "anger": 25_382,
    "disgust": 4_303,
    "fear": 6_878,
    "happiness": 134_915,
    "sadness": 25_959,
    "surprise": 14_590,
}
# By whether contempt is among the classes.
PUBLISHED = {
    "yes": Published(
        "images",
        total=291_651,
        expressions=_BY_EXPRESSION | {"contempt": 4_250},
        splits={"train": 287_651, "val": 4_000},
    ),
    "no": Published(
        "images",
        total=287_401,
        expressions=_BY_EXPRESSION,
        splits={"train": 283_901, "val": 3_500},
        options={"contempt": "no"},
    ),
}
_LISTS = {"train": "training.csv", "val": "validation.csv"}
_LIST_FOLDERS = ("Manually_Annotated_file_lists", "")
_IMAGE_FOLDERS = ("Manually_Annotated_Images", "Manually_Annotated/Manually_Annotated_Images")
_LAYOUT = (
    "Manually_Annotated_file_lists/training.csv and Manually_Annotated_Images, or "
    "train_set/images and train_set/annotations"
)
logger = logging.getLogger(__name__)


def read_affectnet(root: Path, *, contempt: str = "yes") -> pd.DataFrame:
    """Read AffectNet in either of its forms; the new one is preferred.

    A row, an annotation or a picture that cannot be used is listed as unread, as is a row that
    repeats an earlier one; what is annotated as no expression, as uncertain or as no face is left
    out.

    Args:
        root: The folder with ``train_set`` and ``val_set``, or with the lists and pictures of the
            old form.
        contempt: "yes" for eight expressions, "no" for seven.

    Returns:
        The record table.

    Raises:
        DataError: it is in neither form, not one picture with an expression is there, or its
            annotations contradict each other: two codes for one picture, a picture in both lists,
            or codes that the valence speaks against.

    >>> read_affectnet(Path("nowhere"))
    Traceback (most recent call last):
        ...
    ferlit.errors.DataError: nowhere: there is no AffectNet, that is Manually_Annotated...
    """
    unread: dict[str, str] = {}
    sets = [root / name for name in SETS.values() if (root / name).is_dir()]
    if sets:
        warn_of_unused(root, sets, _lists(root).values())
    found = list((new_form if sets else _old_form)(root, unread))
    codes = {picture.code for picture in found}
    if 0 not in codes and codes.issuperset(range(1, len(CODES) + 1)):
        raise DataError(
            f"{root}: its codes begin with 1, and those of AffectNet with 0 for neutral, so that "
            "each face would have another label; take the annotations as they were published"
        )
    if doubt := doubt_of_codes((picture.code, picture.valence) for picture in found):
        raise DataError(
            f"{root}: {doubt}, so that the codes are not those of AffectNet (0 neutral, 1 "
            "happiness, 2 sadness ...); take the annotations as they were published"
        )
    others = Counter(picture.code for picture in found if picture.code in OTHERS)
    if others:
        counts = ", ".join(f"{others[code]} {name}" for code, name in OTHERS.items())
        logger.info("%s: pictures of no expression are left out: %s", root, counts)
    records = record_table(
        (
            {
                "image": picture.image,
                "expression": CODES[picture.code],
                "split": picture.split,
                "landmarks": picture.landmarks,
            }
            for picture in sorted(found, key=lambda picture: (picture.split, picture.image))
            if picture.code not in OTHERS
            and (contempt == "yes" or CODES[picture.code] != "contempt")
        ),
        unread,
    )
    if records.empty:
        raise nothing_read(f"{root}: not one picture with its expression is there", unread)
    return records


def _old_form(root: Path, unread: dict[str, str]) -> Iterator[Found]:
    """The pictures that the CSV lists speak of."""
    lists = _lists(root)
    if not lists:
        raise DataError(f"{root}: there is no AffectNet, that is {_LAYOUT}")
    folder = next((root / name for name in _IMAGE_FOLDERS if (root / name).is_dir()), None)
    if folder is None:
        raise DataError(
            f"{root}: there is no folder {_IMAGE_FOLDERS[0]}, which the lists speak of; unpack the "
            "parts of Manually_Annotated there"
        )
    seen: dict[str, tuple[str, int]] = {}  # place and code by name
    for split, path in lists.items():
        rows = list_rows(path, below(root, path), unread)
        for place, name, width, expression, valence, has_landmarks in rows:
            try:
                code = parse_code(expression)
                _check_first(root, PurePosixPath(name).as_posix(), place, code, seen)
                if code in OTHERS:  # many of these have no face
                    yield Found("", code, split, valence)
                    continue
                check_width(width)
                if MARK in name:  # in a record it would be the number of a row
                    raise DataError(f"{name[:200]!r} is no name of a picture")
                image = below(root, folder / file_below(folder, name))
            except ContradictionError:
                raise
            except DataError as error:
                unread[place] = str(error)
            else:
                yield Found(image, code, split, valence, place if has_landmarks else "")
    _warn_of_unlisted(folder, seen)


def _check_first(
    root: Path, name: str, place: str, code: int, seen: dict[str, tuple[str, int]]
) -> None:
    """Check that no earlier row speaks of the picture; one that says something else is fatal."""
    first, same = seen.setdefault(name, (place, code))
    if first == place:
        return
    if code == same and Place.parse(first).file == Place.parse(place).file:
        raise DataError(f"{name} was listed before")
    raise ContradictionError(
        f"{root}: {name} has the code {same} in {first} and {code} in {place}; take both lists as "
        "they were published"
    )


def _warn_of_unlisted(folder: Path, listed: Collection[str]) -> None:
    unlisted = sorted(
        name
        for place, _, names in os.walk(folder)
        for file in names
        if not is_stray(file) and PurePosixPath(file).suffix.lower() in IMAGES
        if (name := below(folder, Path(place, file))) not in listed
    )
    if unlisted:
        some = ", ".join(unlisted[:3]) + (" ..." if len(unlisted) > 3 else "")
        logger.warning("%s: %d pictures are in no list: %s", folder, len(unlisted), some)


def _lists(root: Path) -> dict[str, Path]:
    """The lists of the old form that are there, by their split."""
    return {
        split: path
        for split, name in _LISTS.items()
        for folder in reversed(_LIST_FOLDERS)
        if (path := root / folder / name).is_file()
    }


AFFECTNET = Database(
    name="affectnet",
    classes=(),
    reader=read_affectnet,
    layout=_LAYOUT,
    licence=RESEARCH_ONLY,
    unused=("*_set/images/*", "*Annotated_Images/*"),
    has_identities=False,
    read_landmarks=landmarks_of,
    published=tuple(PUBLISHED.values()),
    options=(
        Option(
            "contempt",
            "yes",
            "whether contempt is among the classes: eight, or seven as most results are reported",
            choices=("yes", "no"),
        ),
    ),
)
