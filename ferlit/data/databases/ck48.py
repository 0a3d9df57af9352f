"""CK+48: the labelled part of CK+ as aligned 48 x 48 faces, one folder a class.

The last three frames of each labelled sequence, ``anger/S010_004_00000017.png``: 981 files of 118
subjects. The class is the folder's; subject, sequence and frame are the name's. Its labels agree
with those of CK+ for all 327 sequences.
"""

import re
from pathlib import Path

import pandas as pd

from ferlit.data.databases.base import Database
from ferlit.data.databases.ckplus import CKPLUS, PUBLISHED
from ferlit.data.records import EXPRESSIONS, canonical_expression, record_table
from ferlit.errors import DataError

_NAME = re.compile(r"((S\d{3})_\d{3})_(\d+)\.(?:png|jpe?g)", re.IGNORECASE)
_IMAGES = {".png", ".jpg", ".jpeg"}


def read_ck48(root: Path) -> pd.DataFrame:
    """Read the class folders in ``root``, or in the folder ``CK+48`` below it.

    Other folders and files that are no images are passed over.

    Args:
        root: The unpacked folder.

    Returns:
        The record table.

    Raises:
        DataError: there are no class folders, or the name of an image does not tell its subject.

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
    rows: list[dict[str, object]] = []
    for folder in folders:
        for image in sorted(folder.iterdir()):
            if image.name.startswith(".") or image.suffix.lower() not in _IMAGES:
                continue
            match = _NAME.fullmatch(image.name)
            if match is None:
                raise DataError(
                    f"{image}: the name does not tell subject, sequence and frame, as "
                    "S010_004_00000017.png does"
                )
            rows.append(
                {
                    "image": image.relative_to(root).as_posix(),
                    "expression": canonical_expression(folder.name),
                    "identity": match[2],
                    "sequence": match[1],
                    "frame": int(match[3]),
                }
            )
    if not rows:
        raise DataError(f"{top}: the class folders hold no images")
    return record_table(rows)


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
    is_aligned=True,
    sequence_rule="max",
    published=PUBLISHED,
)
