"""CK+48: the labelled part of CK+ as aligned 48 x 48 faces, one folder a class.

The last three frames of each labelled sequence, ``anger/S010_004_00000017.png``: 981 files of 118
subjects. The class is the folder's; subject, sequence and frame are the name's. Its labels agree
with those of CK+ for all 327 sequences.
"""

import logging
import re
from pathlib import Path

import pandas as pd

from ferlit.data.databases.base import RESEARCH_ONLY, Database
from ferlit.data.databases.ckplus import CKPLUS, PUBLISHED
from ferlit.data.databases.listing import below, image_files, is_stray, nothing_read
from ferlit.data.records import EXPRESSIONS, canonical_expression, record_table
from ferlit.errors import DataError

_FRAMES = 3
logger = logging.getLogger(__name__)
_STEM = re.compile(r"((S\d{3})_\d{3})_(\d{1,9})", re.ASCII)


def read_ck48(root: Path) -> pd.DataFrame:
    """Read the class folders in ``root``, or in the folder ``CK+48`` below it.

    Files that are no images are passed over, other folders with images are unread.

    Args:
        root: The unpacked folder.

    Returns:
        The record table. An image whose name does not tell its subject, or whose sequence lies in
        the folders of two classes or has more than three frames, is unread.

    Raises:
        DataError: there are no class folders, or they hold no images.

    >>> read_ck48(Path("nowhere"))
    Traceback (most recent call last):
        ...
    ferlit.errors.DataError: nowhere: there are no class folders (anger, contempt, ...
    """
    top = root / "CK+48" if (root / "CK+48").is_dir() else root
    folders = sorted(path for path in top.glob("*/") if _is_expression(path.name))
    if not folders:
        raise DataError(
            f"{top}: there are no class folders ({', '.join(CKPLUS.classes)}); give the folder "
            "that holds them"
        )
    images = [(folder.name, path) for folder in folders for path in image_files(folder)]
    classes: dict[str, set[str]] = {}  # of a sequence
    for name, path in images:
        if match := _STEM.fullmatch(path.stem):
            classes.setdefault(match[1], set()).add(name)
    rows: list[dict[str, object]] = []
    unread: dict[str, str] = {
        below(root, path): f"the folder is no expression; known are {', '.join(CKPLUS.classes)}"
        for path in sorted(top.glob("*/"))
        if path not in folders and not is_stray(path.name) and image_files(path)
    }
    frames: dict[tuple[str, int], Path] = {}
    for name, path in images:
        image = below(root, path)
        match = _STEM.fullmatch(path.stem)
        if match is None:
            unread[image] = (
                "the name does not tell subject, sequence and frame, as S010_004_00000017.png does"
            )
            continue
        twin = frames.setdefault((match[1], int(match[3])), path)
        if len(classes[match[1]]) > 1:
            folders_of_it = " and ".join(sorted(classes[match[1]]))
            unread[image] = f"the sequence {match[1]} lies in the folders {folders_of_it}"
        elif twin != path:
            unread[image] = f"the frame is in {twin.name} too"
        else:
            rows.append(
                {
                    "image": image,
                    "expression": canonical_expression(name),
                    "identity": match[2],
                    "sequence": match[1],
                    "frame": int(match[3]),
                }
            )
    if not rows:
        raise nothing_read(f"{top}: the class folders hold no images", unread)
    return record_table(_of_three_frames(rows, top, unread), unread)


def _of_three_frames(
    rows: list[dict[str, object]], top: Path, unread: dict[str, str]
) -> list[dict[str, object]]:
    """The sequences of at most three frames; where more were copied, onsets are among them."""
    numbers: dict[object, list[int]] = {}
    for row in rows:
        numbers.setdefault(row["sequence"], []).append(int(str(row["frame"])))
    for row in rows:
        if (count := len(numbers[row["sequence"]])) > _FRAMES:
            unread[str(row["image"])] = (
                f"the sequence {row['sequence']} has {count} frames, the database only the last "
                f"{_FRAMES} of each; those before show less and less of the expression"
            )
    parted = [
        str(sequence)
        for sequence, frames in sorted(numbers.items(), key=str)
        if len(frames) < _FRAMES or (len(frames) == _FRAMES and max(frames) - min(frames) != 2)
    ]
    if parted:
        some = ", ".join(parted[:5]) + (" ..." if len(parted) > 5 else "")
        logger.warning(
            "%s: %d sequences lack one of their three last frames: %s", top, len(parted), some
        )
    return [row for row in rows if row["image"] not in unread]


def _is_expression(name: str) -> bool:
    try:
        return canonical_expression(name) in EXPRESSIONS
    except DataError:
        return False


CK48 = Database(
    name="ck48",
    classes=CKPLUS.classes,
    reader=read_ck48,
    layout="the folders anger, contempt, ... with images such as S010_004_00000017.png",
    licence=f"as CK+, from which it was cut: {RESEARCH_ONLY}",
    is_aligned=True,
    sequence_rule="max",
    published=(PUBLISHED,),
)
