"""JAFFE: the Japanese female facial expression database, 213 pictures of ten women.

Lyons et al., Coding facial expressions with Gabor wavelets, FG 1998. ``jaffedbase.zip`` unpacks
into one flat folder of 256 x 256 grey pictures of whole heads::

    jaffe/KA.AN1.39.tiff       subject, expression and number of the take, serial number

The codes of the expressions are also syllables of subjects' names, so the fields are told apart by
the dots. The pictures need registration.
"""

import logging
import re
from pathlib import Path

import pandas as pd

from ferlit.data.databases.base import Database
from ferlit.data.databases.counts import Published
from ferlit.data.databases.listing import below, image_files, nothing_read
from ferlit.data.records import EXPRESSIONS, record_table

# The expressions by their code in the names.
CODES = {
    "AN": "anger",
    "DI": "disgust",
    "FE": "fear",
    "HA": "happiness",
    "NE": "neutral",
    "SA": "sadness",
    "SU": "surprise",
}
PUBLISHED = Published("images", total=213, subjects=10)
_FOLDERS = ("", "jaffe", "jaffedbase")
_STEM = re.compile(r"([A-Z]{2})\.([A-Z]{2})[0-9]+\.([0-9]+)")
logger = logging.getLogger(__name__)
_LAYOUT = "the folder jaffe with pictures such as KA.AN1.39.tiff"


def read_jaffe(root: Path) -> pd.DataFrame:
    """Read the pictures in ``root``, or in the folder ``jaffe`` or ``jaffedbase`` below it.

    A picture with an unexpected name, or that is there in another file too, is listed as unread.

    Args:
        root: The unpacked folder, or the one above it.

    Returns:
        The record table.

    Raises:
        DataError: there are no such pictures.

    >>> read_jaffe(Path("nowhere"))
    Traceback (most recent call last):
        ...
    ferlit.errors.DataError: nowhere: there is no JAFFE, that is the folder jaffe with pictures ...
    """
    unread: dict[str, str] = {}
    for folder in (root / name for name in _FOLDERS):
        if not folder.is_dir():
            continue
        rows: list[dict[str, str]] = []
        stems: dict[str, str] = {}
        serials: dict[str, str] = {}
        for image in image_files(folder):
            place = below(root, image)
            match = _STEM.fullmatch(image.stem)
            if match is None:
                unread[place] = "the name does not tell subject and expression, as KA.AN1.39 does"
            elif match[2] not in CODES:
                known = ", ".join(f"{code} {name}" for code, name in CODES.items())
                unread[place] = f"the expression {match[2]!r}; known are {known}"
            elif image.stem in stems:
                unread[place] = f"the picture is in {stems[image.stem]} too"
            elif image.is_file():
                stems[image.stem] = image.name
                other = serials.setdefault(match[3], image.name)
                if other != image.name:
                    logger.warning(
                        "%s: %s and %s have one serial number, which is another for each picture "
                        "of the database: one of the names is wrong",
                        root,
                        other,
                        image.name,
                    )
                rows.append({"image": place, "expression": CODES[match[2]], "identity": match[1]})
        if rows:
            return record_table(rows, unread)
    raise nothing_read(
        f"{root}: there is no JAFFE, that is {_LAYOUT}; unpack jaffedbase.zip there", unread
    )


JAFFE = Database(
    name="jaffe",
    classes=tuple(name for name in EXPRESSIONS if name in CODES.values()),
    reader=read_jaffe,
    layout=_LAYOUT,
    licence="research only, not for commercial use",
    published=(PUBLISHED,),
)
