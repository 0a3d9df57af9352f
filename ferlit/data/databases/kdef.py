"""The Karolinska Directed Emotional Faces: seven expressions of 70 people from five angles.

Lundqvist, Flykt and Öhman, The Karolinska Directed Emotional Faces, Karolinska Institutet 1998.
Everybody was photographed in two sessions, A and B; 4,900 pictures of 562 x 762::

    KDEF/AF01/AF01AFS.JPG
         session A, woman 01, afraid, straight

The person is the gender and the number: AF01 and BF01 are the same woman. A few pictures are plain
black, and two have names that break the pattern.
"""

import re
from pathlib import Path

import pandas as pd

from ferlit.data.databases.base import Database, Option
from ferlit.data.databases.counts import Published
from ferlit.data.databases.listing import below, image_files, is_stray, nothing_read
from ferlit.data.records import EXPRESSIONS, record_table
from ferlit.errors import DataError

CODES = {
    "AF": "fear",
    "AN": "anger",
    "DI": "disgust",
    "HA": "happiness",
    "NE": "neutral",
    "SA": "sadness",
    "SU": "surprise",
}
ANGLES = ("FL", "HL", "S", "HR", "FR")  # full and half left, straight, half and full right
# Names that the database itself has wrong, and what the pictures show.
MISNAMED = {"AF31V": "AF31SAHL", "AM31H": "AM31SUHR"}
# The black pictures are of one size on disk, which no picture of a face has.
BLACK_BYTES = 12_104
# Of one angle; there are five.
PUBLISHED = Published(
    "images", total=980, subjects=70, expressions=dict.fromkeys(sorted(CODES.values()), 140)
)
_PLACES = ("", "KDEF", "KDEF_and_AKDEF/KDEF")
_FOLDER = re.compile(r"[AB][FM](?:0[1-9]|[12]\d|3[0-5])", re.IGNORECASE | re.ASCII)
_NAME = re.compile(rf"({_FOLDER.pattern})({'|'.join(CODES)})({'|'.join(ANGLES)})", re.ASCII)


def read_kdef(root: Path, *, angle: str = "S") -> pd.DataFrame:
    """Read the pictures from one angle, or from all.

    Args:
        root: The folder that holds ``KDEF``, or that folder.
        angle: "S" (straight), "HL" or "HR" (half left or right), "FL" or "FR" (full), or "all".

    Returns:
        The record table. Black pictures and those whose names break the pattern are unread.

    Raises:
        DataError: there are no folders of persons, or no picture from that angle in them.

    >>> read_kdef(Path("nowhere"))
    Traceback (most recent call last):
        ...
    ferlit.errors.DataError: nowhere: there are no folders of persons (AF01, ...); ...
    """
    folders = next((found for place in _PLACES if (found := _folders(root / place))), [])
    if not folders:
        raise DataError(
            f"{root}: there are no folders of persons (AF01, ...); unpack KDEF_and_AKDEF.zip, and "
            "give the folder KDEF in it"
        )
    rows: list[dict[str, object]] = []
    unread: dict[str, str] = {}
    unread |= {
        below(root, path): "the folder's name is no session and person, as AF01 is"
        for path in sorted(folders[0].parent.glob("*/"))
        if path not in folders and not is_stray(path.name) and image_files(path)
    }
    for folder in folders:
        pictures: dict[str, str] = {}  # files by what they show
        for path in image_files(folder):
            image = below(root, path)
            shown = MISNAMED.get(path.stem.upper(), path.stem.upper())
            match = _NAME.fullmatch(shown)
            if match is None:
                unread[image] = (
                    "the name does not tell session, person, expression and angle, as AF01AFS does"
                )
            elif match[1] != folder.name.upper():
                unread[image] = "the file lies in the folder of another person or session"
            elif angle not in (match[3], "all"):
                continue
            elif shown in pictures:
                unread[image] = f"the picture is in {pictures[shown]} too"
            elif not path.is_file():
                unread[image] = "not a file"
            elif path.stat().st_size == BLACK_BYTES:
                unread[image] = "a plain black picture"
            else:
                pictures[shown] = path.name
                rows.append(
                    {
                        "image": image,
                        "expression": CODES[match[2]],
                        "identity": match[1][1:],
                    }
                )
    if not rows:
        raise nothing_read(
            f"{root}: the folders of persons hold no picture of the angle {angle}", unread
        )
    return record_table(rows, unread)


def _folders(top: Path) -> list[Path]:
    return sorted(p for p in top.glob("*/") if _FOLDER.fullmatch(p.name))


KDEF = Database(
    name="kdef",
    classes=tuple(name for name in EXPRESSIONS if name in CODES.values()),
    reader=read_kdef,
    layout="the folder KDEF with pictures such as AF01/AF01AFS.JPG",
    licence="research only, not for commercial use",
    unused=("*[AB][FM][0-9][0-9]/*", "*AKDEF/*"),
    published=(PUBLISHED,),
    options=(Option("angle", "S", "the angle of the camera", choices=(*ANGLES, "all")),),
)
