"""RAF-DB: real-world affective faces, 15,339 pictures of the basic expressions from the web.

Li et al., Reliable crowdsourcing and deep locality-preserving learning for expression recognition
in the wild, CVPR 2017. The basic set, with its official split and no identities::

    basic/EmoLabel/list_patition_label.txt              "train_00001.jpg 5" (so spelt)
    basic/Image/aligned/train_00001_aligned.jpg         100 x 100 pixels
    basic/Image/original/train_00001.jpg                as found; they need registration

The aligned pictures are also passed on as flat folders ``train`` and ``valid`` beside the list, and
as class folders ``train/1`` to ``train/7`` and ``test/1`` to ``test/7`` without it. The compound
set, which has a list of the same name, is another database.
"""

import re
from dataclasses import replace
from pathlib import Path, PurePath

import pandas as pd

from ferlit.data.databases.base import RESEARCH_ONLY, Database, Option
from ferlit.data.databases.counts import Published
from ferlit.data.databases.listing import below, image_files, is_stray, nothing_read
from ferlit.data.databases.rafdb.lists import (
    CODES,
    KNOWN,
    LIST,
    OTHER,
    SPLIT_FOLDERS,
    SPLIT_OF,
    Row,
    rows_of_list,
)
from ferlit.data.records import EXPRESSIONS, record_table
from ferlit.errors import DataError

__all__ = ["CODES", "PUBLISHED", "RAFDB", "read_rafdb"]

PUBLISHED = Published(
    "images",
    total=15_339,
    expressions={
        "neutral": 3_204,
        "anger": 867,
        "disgust": 877,
        "fear": 355,
        "happiness": 5_957,
        "sadness": 2_460,
        "surprise": 1_619,
    },
    splits={"train": 12_271, "test": 3_068},
)
_TOPS = ("", "basic", "DATASET")
_ALIGNED = re.compile(r"(train|test)_[0-9]+(?:_aligned)?\.(?:jpe?g|png)", re.IGNORECASE)
_LAYOUT = f"basic/EmoLabel/{LIST} and basic/Image/aligned, or the folders train/1 to test/7"


def read_rafdb(root: Path, *, image: str = "aligned") -> pd.DataFrame:
    """Read the basic set of RAF-DB in any of its forms.

    A line of the list that cannot be understood, that is there twice, or whose picture is missing,
    a picture that no line speaks of, and a picture or class folder with an unexpected name are
    listed as unread.

    Args:
        root: The folder ``basic`` or the one above it.
        image: "aligned" or "original". The original pictures have no landmarks and are not aligned.

    Returns:
        The record table.

    Raises:
        DataError: it is in none of the forms, is the compound set, there are no such pictures, or
            its labels contradict each other: a code that is none of the seven, as in a list that
            counts from 0, two codes for one picture, or a folder of another code or split.

    >>> read_rafdb(Path("nowhere"))
    Traceback (most recent call last):
        ...
    ferlit.errors.DataError: nowhere: there is no RAF-DB, that is basic/EmoLabel/list_patition_...
    """
    unread: dict[str, str] = {}
    for top in (root / name for name in _TOPS):
        for path in (top / "EmoLabel" / LIST, top / LIST):
            if path.is_file():
                return record_table(rows_of_list(path, top, root, image, unread), unread)
        if any((top / part / code).is_dir() for part in SPLIT_FOLDERS for code in CODES):
            if image != "aligned":
                raise DataError(
                    f"{top}: image={image!r}, but class folders hold only aligned pictures; give "
                    f"the folder that holds EmoLabel/{LIST}, or image='aligned'"
                )
            return record_table(_rows_of_folders(top, root, unread), unread)
    raise DataError(f"{root}: there is no RAF-DB, that is {_LAYOUT}")


def _rows_of_folders(top: Path, root: Path, unread: dict[str, str]) -> list[Row]:
    found: dict[str, list[Row]] = {}  # by name
    for part in SPLIT_FOLDERS:
        for folder in sorted((top / part).glob("*/")):
            if is_stray(folder.name):
                continue
            if folder.name == "0":
                raise DataError(f"{folder}: {OTHER}")
            if folder.name not in CODES:
                unread[below(root, folder)] = f"the folder is no expression; known are {KNOWN}"
                continue
            for image in image_files(folder):
                place = below(root, image)
                match = _ALIGNED.fullmatch(image.name)
                if match is None:
                    unread[place] = "the name does not tell the split, as train_00001_aligned.jpg"
                    continue
                split = match[1].lower()
                if split != SPLIT_OF[part]:
                    raise DataError(
                        f"{image}: by its name it is of {split}, by its folder of "
                        f"{SPLIT_OF[part]}; unpack the database anew"
                    )
                if image.is_file():
                    row = {"image": place, "expression": CODES[folder.name], "split": split}
                    found.setdefault(image.name.lower(), []).append(row)
    rows = []
    for same in found.values():
        if len(same) == 1:
            rows += same
        else:
            places = " and ".join(PurePath(row["image"]).parent.as_posix() for row in same)
            unread |= {row["image"]: f"the picture lies in {places}" for row in same}
    if not rows:
        raise nothing_read(
            f"{top}: the class folders hold no pictures such as train_00001_aligned.jpg", unread
        )
    return rows


def _with_pictures(database: Database) -> Database:
    is_aligned = database.chosen["image"] == "aligned"
    other = "original" if is_aligned else "aligned"
    return replace(database, is_aligned=is_aligned, unused=(f"*Image/{other}/*",))


RAFDB = Database(
    name="rafdb",
    classes=tuple(name for name in EXPRESSIONS if name in CODES.values()),
    reader=read_rafdb,
    layout=_LAYOUT,
    licence=RESEARCH_ONLY,
    has_identities=False,
    published=(PUBLISHED,),
    options=(
        Option(
            "image",
            "aligned",
            "the aligned faces, or the original pictures, which need landmarks of their own",
            choices=("aligned", "original"),
        ),
    ),
    vary=_with_pictures,
).with_options({})
